"""``to_onnx``: a file that predicts what the estimator predicts, in an ONNX runtime."""

import builtins
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from helpers import full_disk
from numpy.testing import assert_allclose
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

sys.path.insert(0, str(Path(__file__).parents[1] / "estimators"))
from exported_cases import CLASSIFIERS, NAMES, QUICK, fitted, table, targets

pytestmark = pytest.mark.clients
X = table()


@pytest.mark.parametrize("name", NAMES)
def test_the_file_predicts_what_the_estimator_predicts(name, tmp_path, capfd):
    model, expected, offset = fitted(name, X)
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    assert capfd.readouterr() == ("", "") and os.listdir(tmp_path) == ["model.onnx"]
    session = onnxruntime.InferenceSession(path)
    inputs = {"X": model.encode_columns(X)}
    if offset is not None:
        inputs["offset"] = offset[:, None]
    assert [one.name for one in session.get_inputs()] == [*inputs]
    output = "probabilities" if name in CLASSIFIERS else "predictions"
    assert [one.name for one in session.get_outputs()] == [output]
    assert onnx.load(path).opset_import[0].version == 18
    size = np.abs(expected).max()
    for n in (192, 7, 1, 0):
        (found,) = session.run(None, {key: part[:n] for key, part in inputs.items()})
        assert found.dtype == np.float64
        assert_allclose(found, expected[:n], rtol=0, atol=1e-6 * size)


def test_modules_of_ones_own_are_written(tmp_path):
    rng, y = np.random.default_rng(0), targets(64)["classes"]
    images = rng.normal(size=(64, 1, 4, 4)).astype(np.float32)
    tokens = rng.integers(0, 10, (64, 3))
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    words = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 3))
    for module, data in ((network, images), (words, tokens)):
        model = WeightedTorchClassifier(module, **QUICK).fit(data, y)
        model.to_onnx(str(tmp_path / "own.onnx"))
        session = onnxruntime.InferenceSession(tmp_path / "own.onnx")
        (found,) = session.run(None, {"X": model.encode_columns(data)})
        assert_allclose(found, model.predict_proba(data), atol=1e-6)


def test_the_file_says_what_its_numbers_mean(tmp_path):
    when = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"] * 20)
    table = pd.DataFrame({"age": np.arange(60.0), "city": ["Bonn", "Ulm", None] * 20, "day": when})
    table["day"] = table["day"].astype("category")
    table["city"] = table["city"].astype("category")
    table["door"] = pd.Categorical([True, False, False] * 20)
    y = np.arange(60) % 2
    for labels in (y, y == 1, np.array(["no", "yes"])[y], pd.Series(["no", "yes"])[y]):
        model = WeightedTorchClassifier(**QUICK).fit(table, labels)
        model.to_onnx(tmp_path / "named.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "named.onnx")
        texts = session.get_modelmeta().custom_metadata_map
        found = {name: json.loads(text) for name, text in texts.items()}
        assert found["columns"] == ["age", "city", "day", "door"]
        assert found["classes"] == model.classes_.tolist()
        codes = {name: dict(pairs) for name, pairs in found["category_codes"]}
        expected = model.category_codes_
        assert codes["city"] == expected["city"] and codes["door"] == expected["door"]
        assert codes["day"] == {str(day): code for day, code in expected["day"].items()}
    model = WeightedTorchRegressor(**QUICK).fit(table[["age"]].to_numpy(), y)
    model.to_onnx(tmp_path / "bare.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "bare.onnx")
    assert session.get_modelmeta().custom_metadata_map == {"category_codes": "[]"}


class TakesLength(nn.Module):
    """Depends on the number of rows as a number of Python."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs)

    def forward(self, X):
        return self.linear(X).reshape(len(X), -1)


class Dicts(TakesLength):
    """Takes an input by its name."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features["table"], n_outputs)

    def forward(self, table):
        return self.linear(table)


def test_what_cannot_be_written_is_refused_with_the_way_out(tmp_path, binary, monkeypatch):
    data, y, _ = binary
    model = WeightedTorchClassifier(TakesLength, **QUICK).fit(data, y)
    with pytest.raises(ValueError, match=r"X.shape\[0\] in place of len\(X\)"):
        model.to_onnx(tmp_path / "own.onnx")
    model = WeightedTorchClassifier(Dicts, **QUICK).fit({"table": data}, y)
    with pytest.raises(ValueError, match=r"takes a dict, got the inputs \['table'\]"):
        model.to_onnx(tmp_path / "own.onnx")
    model = WeightedTorchClassifier(**QUICK).fit(data, y)
    with pytest.raises(ValueError, match="path must be that of a file in a folder that exists"):
        model.to_onnx(tmp_path / "missing" / "model.onnx")
    with pytest.raises(ValueError, match="path must be that of a file"):
        model.to_onnx(tmp_path)
    for bad in (None, 3.0, io.BytesIO(), ["model.onnx"]):
        with pytest.raises(TypeError, match="path must be a str or path-like object, got"):
            model.to_onnx(bad)
    for bad in (17, True, "18"):
        with pytest.raises(ValueError, match="opset_version must be an integer >= 18, got"):
            model.to_onnx(tmp_path / "model.onnx", opset_version=bad)
    for bad in (30, 99, np.int64(1000)):  # torch would write version 18 instead
        with pytest.raises(ValueError, match=f"opset_version must be one that .* got {bad}"):
            model.to_onnx(tmp_path / "model.onnx", opset_version=bad)
    installed = builtins.__import__

    def without_onnx(name, *args, **kwargs):
        if name == "onnxscript":
            raise ImportError("No module named 'onnxscript'")
        return installed(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(ImportError, match=r"pip install 'skweight\[onnx\]'"):
        model.to_onnx(tmp_path / "model.onnx")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("version", [19, np.int64(21)])
def test_a_later_opset_is_written_if_asked_for(version, tmp_path, binary):
    data, y, _ = binary
    path = os.fsencode(tmp_path / "model.onnx")
    WeightedTorchClassifier(**QUICK).fit(data, y).to_onnx(path, version)
    assert onnx.load(tmp_path / "model.onnx").opset_import[0].version == version


def test_a_full_disk_is_an_error_and_leaves_the_file_of_before(tmp_path):
    model, path = WeightedTorchClassifier(**QUICK).fit(X, targets()["classes"]), tmp_path / "m.onnx"
    for before in (None, b"before"):
        with full_disk(), pytest.raises(OSError, match=r"m\.onnx'"):
            model.to_onnx(path)
        assert os.listdir(tmp_path) == ([] if before is None else ["m.onnx"])
        assert before is None or path.read_bytes() == before
        path.write_bytes(b"before")
    model.to_onnx(path)
    onnx.checker.check_model(onnx.load(path))
