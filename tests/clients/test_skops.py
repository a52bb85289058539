"""skops, which looks at every object that it saves, and lists the types in a file."""

import datetime
import enum
import importlib
import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io as sio
from numpy.testing import assert_array_equal
from saved_models import (
    LABELS,
    MODELS,
    NUMBERS,
    WEIGHT,
    Own,
    X,
    classifier,
    fitted,
    markers_in,
    regressor,
    squared,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import RandomizedWeightSearchCV, WeightSearchCV, skops_types

pytestmark = pytest.mark.clients
KNOWN = set(skops_types())


class Size(enum.Enum):
    """Labels of categories."""

    SMALL = 1
    LARGE = 2


def saved(model):
    """A compressed file of a model, the types in it that are not trusted, and the model of it."""
    file = io.BytesIO()
    sio.dump(model, file, compression=zipfile.ZIP_DEFLATED)
    content = file.getvalue()
    types = sio.get_untrusted_types(data=content)
    return content, types, sio.loads(content, trusted=types)


def unpacked(content):
    """All bytes of the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


# What some of the models name that is the user's own.
ALSO = {
    "own loss": {"saved_models.squared"},
    "own class": {"saved_models.Own"},
    "own instance": {"saved_models.Own"},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_predicts_the_same_and_its_file_names_few_types_and_no_data(name):
    model, predict = fitted(name)
    content, types, loaded = saved(model)
    own = {"own loss": [squared], "own class": [Own], "own instance": [Own]}.get(name, [])
    assert_array_equal(predict(sio.loads(content, trusted=skops_types(*own))), predict(model))
    assert_array_equal(predict(loaded), predict(model))
    assert set(types) - KNOWN == ALSO.get(name, set())
    assert 10 < len(types) < 32
    assert markers_in(unpacked(content)) == (["sample_weight"] if name == "replicates" else [])
    with pytest.raises(sio.exceptions.UntrustedTypesFoundException):
        sio.loads(content, trusted=types[1:])


def test_a_loaded_model_is_fitted_further():
    model, predict = fitted("partial_fit")
    _, _, loaded = saved(model)
    labels = np.where(X[:, 1] > 0, "yes", "no")
    expected = predict(model.partial_fit(X, labels))
    assert_array_equal(predict(loaded.partial_fit(X, labels)), expected)
    warm = classifier(warm_start=True).fit(X, LABELS)
    again = saved(warm)[2]
    assert_array_equal(again.fit(X, LABELS).predict_proba(X), warm.fit(X, LABELS).predict_proba(X))


def test_a_loaded_model_has_the_same_parameters_and_history():
    model = classifier(class_weight={"yes": 2.0, "no": 1}, early_stopping=True).fit(X, LABELS)
    loaded = saved(model)[2]
    assert repr(loaded) == repr(model) and [*loaded.history_] == [*model.history_]
    assert_array_equal(loaded.class_weight_, model.class_weight_)


def pipeline(**params):
    return make_pipeline(StandardScaler(), classifier(**params))


NAME = "weightedtorchclassifier__"
AROUND = {
    "pipeline": pipeline,
    "grid": lambda: GridSearchCV(classifier(), {"class_weight": [None, "balanced"]}, cv=2),
    "grid over a pipeline": lambda: GridSearchCV(pipeline(), {f"{NAME}lr": [0.01, 0.001]}, cv=2),
    "weight search": lambda: WeightSearchCV(
        classifier(), {"class_weight": [None, "balanced"]}, cv=2, return_predictions=True
    ),
    "randomized weight search": lambda: RandomizedWeightSearchCV(
        pipeline(class_weight="balanced"),
        {f"{NAME}class_weight_power": [0.0, 0.5]},
        n_iter=2,
        cv=2,
        random_state=0,
    ),
    "calibrated": lambda: CalibratedClassifierCV(classifier(), cv=2),
}


@pytest.mark.parametrize("name", AROUND)
def test_a_model_within_another_one_predicts_the_same(name):
    model = AROUND[name]().fit(X, LABELS)
    content, types, loaded = saved(model)
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert set(types) <= KNOWN
    assert markers_in(unpacked(content)) == []


@pytest.mark.parametrize(
    "labels",
    [
        pd.date_range("2020-01-01", periods=3, freq="MS"),
        pd.date_range("2020-01-01", periods=3, freq="MS", tz="Europe/Berlin"),
        pd.to_datetime([1, 2, 10**18]),
        pd.to_timedelta([1, 2, 3], "D"),
        pd.interval_range(0, 3),
        pd.period_range("2020", periods=3, freq="M"),
        [*Size],
        [(1, pd.Timestamp("2020")), (1, pd.Timestamp("2021")), (2, Size.SMALL)],
        [datetime.time(1), datetime.time(2)],
    ],
    ids=["month", "with zone", "nanosecond", "days", "interval", "period", "enum", "tuple", "time"],
)
def test_categories_of_any_class_are_found_again(labels):
    labels = pd.Index([*labels], tupleize_cols=False)
    codes = np.random.default_rng(0).integers(0, len(labels), len(X))
    table = pd.DataFrame({"a": X[:, 0], "label": pd.Categorical.from_codes(codes, labels)})
    model = classifier().fit(table, LABELS, WEIGHT)
    assert len(model.category_codes_["label"]) == len(labels)
    _, _, loaded = saved(model)
    assert loaded.category_codes_ == model.category_codes_
    assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))
    unpickled = pickle.loads(pickle.dumps(loaded))
    assert_array_equal(unpickled.predict_proba(table), model.predict_proba(table))


def test_networks_of_a_notebook_are_refused_with_what_to_do():
    class Net(nn.Linear):
        pass

    for model in (classifier(module=Net), classifier(module=Net(3, 1))):
        with pytest.raises(TypeError, match=r"Net is defined in .* \.py file, import it"):
            sio.dumps(model.fit(X, LABELS))
    with pytest.raises(TypeError, match="<lambda> is defined in"):
        sio.dumps(regressor(criterion=lambda output, y: (output - y) ** 2).fit(X, NUMBERS))


class Parent(nn.Module):
    """A network whose attribute is a method of its own."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)
        self.compute = self.layer.forward

    def forward(self, X):
        return self.compute(X)


def test_a_network_that_only_pickle_can_save_is_refused_with_the_reason():
    model = regressor(module=Parent).fit(X, NUMBERS)
    with pytest.raises(TypeError, match="Parent can be saved by pickle and joblib only, because"):
        sio.dumps(model)


def test_a_file_runs_nothing_that_it_does_not_list():
    """Every class and function that the file names is in the list that the user is shown."""
    model = regressor(module=Own, criterion=nn.SmoothL1Loss).fit(X, NUMBERS, WEIGHT)
    content, types, _ = saved(model)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "npy"}
    named = set()

    def collect(node):
        if isinstance(node, dict):
            if "__loader__" in node:
                named.add((node["__loader__"], f"{node['__module__']}.{node['__class__']}"))
            for part in node.values():
                collect(part)
        elif isinstance(node, list):
            for part in node:
                collect(part)

    collect(schema)
    loaders = {loader for loader, _ in named}
    # No methods, partial objects or bytes: nothing that another name could hide in.
    assert loaders <= {
        "DictNode", "JsonNode", "ListNode", "NdArrayNode", "ObjectNode", "SetNode", "TupleNode",
        "TypeNode",
    }  # fmt: skip
    seen = {name for loader, name in named if loader == "ObjectNode"}
    seen |= {name for loader, name in named if loader == "TypeNode"} - {"builtins.str"}
    assert {name for name in seen if not name.startswith("numpy")} == {*types}


def test_what_is_no_class_is_refused():
    with pytest.raises(TypeError, match="own must be classes or functions, got 'Net'"):
        skops_types("Net")


# Files that somebody made to harm -----------------------------------------------------------


def test_the_known_types_are_classes_by_their_own_names():
    """A name that another module imported, or a function, might be called with anything."""
    for name in KNOWN:
        module, _, kind = name.rpartition(".")
        found = getattr(importlib.import_module(module), kind)
        assert isinstance(found, type)
        if not name.startswith("sklearn."):
            assert (found.__module__, found.__qualname__) == (module, kind)


def calling(function, *arguments):
    """A file of skops that asks for a call; schema as skops writes that of a constructor."""
    file = io.BytesIO()
    sio.dump(arguments, file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    module, _, name = function.rpartition(".")
    content = {
        key: part for key, part in schema.items() if key.startswith("__") or key == "content"
    }
    schema |= {"__module__": module, "__class__": name, "__loader__": "ConstructorFromReduceNode"}
    parts["schema.json"] = json.dumps({**schema, "content": content, "__id__": 1}).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()


class Writes:
    """Writes a file when its pickle is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "function",
    [
        "skweight.training.definitions.restore_definition",  # opens a pickle
        "skweight.training.saved.make_native",
        "skweight.estimators.onnx_file.Path",  # imported there
        "torch.nn.modules.module.warnings",
        "os.system",
        "builtins.eval",
    ],
)
def test_a_file_that_calls_something_else_is_refused(function, tmp_path):
    path = tmp_path / "written"
    content = calling(function, "m", "none", False, pickle.dumps(Writes(path)), "3.11")
    with pytest.raises(sio.exceptions.UntrustedTypesFoundException, match=re.escape(function)):
        sio.loads(content, trusted=skops_types())
    assert not path.exists()


def test_the_file_would_have_run_code(tmp_path):
    path, function = tmp_path / "written", "skweight.training.definitions.restore_definition"
    content = calling(function, "m", "none", False, pickle.dumps(Writes(path)), "3.11")
    sio.loads(content, trusted=[function])
    assert path.exists()
