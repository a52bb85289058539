"""Models that earlier versions saved with skops open, and predict what they predicted then."""

import json

import numpy as np
import pandas as pd
import pytest
import skops.io
from helpers import ROOT

from skweight import skops_types

pytestmark = pytest.mark.clients
FILES = sorted((ROOT / "tests/data/saved").glob("*/*.skops"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.stem} {path.parent.name}")
def test_a_file_of_an_earlier_version_predicts_the_same(path):
    kept = json.loads((path.parent / "predictions.json").read_text())
    X = pd.DataFrame(kept["rows"]).astype({"a": float, "b": float, "city": "category"})
    model = skops.io.load(path, trusted=skops_types())
    method = "predict_proba" if path.stem == "classifier" else "predict"
    found, expected = getattr(model, method)(X), np.array(kept[path.stem])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert expected.std() > 0.01


def test_there_are_files():
    assert len(FILES) >= 2
