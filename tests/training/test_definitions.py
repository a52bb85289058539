"""Networks and losses of a notebook: files of them open elsewhere, or say why they do not.

A notebook is a process whose ``__main__`` defines the class, and files are opened in another one.
"""

import copy
import json
import pickle
import textwrap

import numpy as np
import pytest
from helpers import run_python
from torch import nn

from skweight import WeightedTorchClassifier

CLASS = """
class Net(nn.Module):
    def __init__(self, n_features, n_outputs, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, width), nn.ReLU())
        self.output = nn.Linear(width, n_outputs)
    def forward(self, X):
        return self.output(self.layers(X))
"""
CHANGED = CLASS.replace("self.output(", "3 * self.output(")
LOCKED = CLASS.replace("Net", "Locked").replace("return self", "lock.locked(); return self")
HELPED = CLASS.replace("Net", "Helped").replace("return self", "return local_helper.scale * self")
WITH_DATA = CLASS.replace("Net", "Other").replace("__init__()", "__init__(); self.mean = X.mean()")

# Each ``save`` writes a model, X and what it predicts.
SAVE = f"""
import pickle, threading, numpy as np, torch
import cloudpickle, joblib
from functools import partial
from sklearn.model_selection import cross_validate
from torch import nn
from skweight import WeightedTorchClassifier
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)); y = (X[:, 0] > 0).astype(int)

def fit(module, criterion=None):
    model = WeightedTorchClassifier(
        module, criterion=criterion, max_epochs=2, random_state=0, device="cpu", n_members=1
    )
    return model.fit(X, y)

def save(name, model, dump=pickle.dump):
    with open(folder + "/" + name, "wb") as file:
        dump((model, X, model.predict_proba(X)), file)

{CLASS}
save("class", fit(Net))
save("instance", fit(Net(3, 1)))
save("partial", fit(partial(Net, width=3)))
def factory(n_features, n_outputs):
    return Net(n_features, n_outputs)
save("factory", fit(factory))
save("lambda", fit(lambda n_features, n_outputs: Net(n_features, n_outputs)))
def make():
{textwrap.indent(CLASS, "    ")}
    return Net
save("of a function", fit(make()))
save("loss", fit(None, lambda output, target: (output - target) ** 2))
save("cloudpickle", fit(Net), cloudpickle.dump)
save("joblib", fit(Net), joblib.dump)

found = cross_validate(fit(Net), X, y, cv=2, n_jobs=2, return_estimator=True)
assert np.isfinite(found["test_score"]).all()
assert all(type(one.module_) is Net for one in found["estimator"])

old = fit(Net)
{CHANGED}
again = pickle.loads(pickle.dumps(old))
assert np.array_equal(again.predict_proba(X), old.predict_proba(X))
save("changed", old)

lock = threading.Lock()
{LOCKED}
save("locked", fit(Locked))

import local_helper
{HELPED}
save("helped", fit(Helped))

import warnings
{WITH_DATA}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    save("data", fit(Other))
assert ["refers to a ndarray of shape (60, 3)" in str(w.message) for w in caught] == [True]
"""
LOAD = """
import json, pickle, numpy as np, joblib
from torch import nn

def load(name):
    try:
        with open(folder + "/" + name, "rb") as file:
            model, X, expected = (joblib if name == "joblib" else pickle).load(file)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    assert np.array_equal(model.predict_proba(X), expected)
    model.fit(X, X[:, 0] > 0)
    return pickle.loads(pickle.dumps(model)).module_.__class__.__name__

found = {name: load(name) for name in NAMES}
"""
KINDS = "class", "instance", "partial", "factory", "lambda", "of a function", "loss"
NAMES = [*KINDS, "cloudpickle", "joblib", "changed", "locked", "helped", "data"]
LOADED_LATER = f"""
from torch import nn
{CHANGED}
with open(folder + "/class", "rb") as file:
    assert type(pickle.load(file)[0].module_) is Net
assert load("changed") == "Net"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each file in another process: the name of the network's class, or an error."""
    folder = tmp_path_factory.mktemp("notebook")
    library = tmp_path_factory.mktemp("library")
    (library / "local_helper.py").write_text("scale = 2.0\n")
    begin = f"folder = {str(folder)!r}\n"
    saved = run_python(f"import sys; sys.path.append({str(library)!r})\n{begin}{SAVE}")
    assert saved.returncode == 0, saved.stderr
    loaded = run_python(f"{begin}NAMES = {NAMES!r}\n{LOAD}{LOADED_LATER}")
    assert loaded.returncode == 0, loaded.stderr
    return json.loads(loaded.stdout)


@pytest.mark.parametrize("kind", [*KINDS, "cloudpickle", "joblib", "changed", "data"])
def test_a_model_of_a_notebook_is_the_same_in_another_process(kind, found):
    assert found[kind] == {"loss": "MLP", "data": "Other"}.get(kind, "Net")


def test_code_that_cannot_be_saved_is_looked_up_by_name_and_its_absence_explained(found):
    error = found["locked"]
    assert error.startswith("ImportError: Locked was defined in a notebook or script (__main__)")
    assert "is not known here" in error and ".py file" in error and "import it" in error


def test_code_that_fails_elsewhere_says_what_is_missing(found):
    error = found["helped"]
    assert error.startswith("ImportError: Helped was defined in a notebook or script (__main__)")
    assert "No module named 'local_helper'" in error and "from Python 3." in error


def local_network():
    class Net(nn.Linear):
        pass

    return Net


def test_a_copy_has_the_class_itself(binary):
    X, y, _ = binary
    kind = local_network()
    model = WeightedTorchClassifier(kind, max_epochs=1, n_members=1).fit(X, y)
    for made in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert type(made.module_) is kind is made.module
        np.testing.assert_array_equal(made.predict_proba(X), model.predict_proba(X))


class Outer:
    class Net(nn.Linear):
        pass


def test_a_class_within_a_class_is_found_by_its_name(binary):
    X, y, _ = binary
    model = WeightedTorchClassifier(Outer.Net, max_epochs=1, n_members=1).fit(X, y)
    saved = pickle.dumps(model)
    assert type(pickle.loads(saved).module_) is Outer.Net
    assert b"cloudpickle" not in saved


def test_libraries_that_save_names_only_are_told_what_to_do():
    state = WeightedTorchClassifier(local_network()).__getstate__()
    with pytest.raises(TypeError, match=r"Net is defined in .*test_definitions.* \.py file"):
        state["module"].__getstate__()
