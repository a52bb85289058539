"""Models that earlier versions saved as pickles open, and predict what they predicted then."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "tests/data/saved").glob("*/predictions.json"))


def kept(folder, name):
    """The rows of a folder as a DataFrame, and what a model predicted for them."""
    found = json.loads((folder / "predictions.json").read_text())
    types = {"a": float, "b": float, "city": "category"}
    return pd.DataFrame(found["rows"]).astype(types), np.array(found[name])


def predictions(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("name", ["classifier", "regressor"])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_pickle_of_an_earlier_version_predicts_the_same(folder, name):
    X, expected = kept(folder, name)
    model = pickle.loads((folder / f"{name}.pkl").read_bytes())
    np.testing.assert_allclose(predictions(model, X), expected, rtol=1e-5, atol=1e-6)
    assert expected.std() > 0.01 and len(model.nets_) == (2 if name == "classifier" else 1)
    target = expected[:, 0] if name == "regressor" else np.array(["yes", "no"] * 4)
    assert model.set_params(warm_start=True).fit(X, target).n_iter_ > 0


def test_there_are_files_and_they_are_small():
    files = [path for folder in FOLDERS for path in folder.iterdir()]
    assert len(files) >= 5
    assert sum(path.stat().st_size for path in files) < 80_000 * len(FOLDERS)
