"""Every bad input of the table is refused, within a second, and nothing is touched."""

import copy
import inspect
import time

import cloudpickle
import numpy as np
import pytest
import torch
from calls import CALLS, FRAME, NUMBERS, X, fresh
from case_table import AREAS, TABLE
from helpers import ROOT
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, clone

import skweight
from skweight import inspection, losses, modules
from skweight.ensembles import ReplicateStatistic

plt = pytest.importorskip("matplotlib.pyplot")
# An old matplotlib with a new pyparsing.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FEWEST_CASES = 200
# Seconds of this process: others on the machine do not count.
MOST_SECONDS = 1.0
ESTIMATORS = {
    "WeightedTorchClassifier": ("classifier", X),
    "WeightedTorchRegressor": ("regressor", X),
}
# scikit-learn's searches set these before they look at their input.
_OF_SEARCHES = ("scorer_", "multimetric_", "n_splits_")


@pytest.fixture(autouse=True)
def no_figures_are_left():
    yield
    plt.close("all")


def check_message(case, error):
    """The message names the argument, and says what was expected and what came, in this order."""
    text, place = str(error), 0
    assert case.names in text
    for part in case.says.split(" ... "):
        assert part in text[place:], f"{part!r} is not in {text!r}"
        place = text.index(part, place) + len(part)


def content(value):
    """What a caller's object holds; an iterator, which cannot be copied, is left out."""
    if hasattr(value, "__next__"):
        return None
    if sparse.issparse(value):  # which remembers what it was asked
        return content((value.data, value.indices, value.indptr))
    if isinstance(value, dict):
        return {name: content(held) for name, held in value.items()}
    return cloudpickle.dumps(value)


def fitted_state(model):
    """All that a fit leaves, apart from parameters."""
    return {
        name: value
        for name, value in vars(model).items()
        if name.endswith("_") and name not in _OF_SEARCHES and not name.startswith("__")
    }


def predicted(model):
    """Predictions, if there are some, whatever the model was fitted to."""
    if not hasattr(model, "predict"):
        return np.zeros(0)
    return model.predict(FRAME if hasattr(model, "feature_names_in_") else X)


def raises(case, call):
    started = time.process_time()
    with pytest.raises(case.error) as caught:
        call()
    assert time.process_time() - started < MOST_SECONDS
    check_message(case, caught.value)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.id)
def test_a_bad_input_is_refused_and_nothing_is_touched(case):
    call = CALLS[case.call]
    subject = fresh(call.subject) if call.subject else None
    arguments = {**call.good, **case.arguments}
    before = content(arguments)
    is_fitted = isinstance(subject, BaseEstimator)
    parameters = subject.get_params() if is_fitted else {}
    state, expected = (fitted_state(subject), predicted(subject)) if is_fitted else ({}, None)
    raises(case, lambda: call.run(subject, **arguments))
    assert content(arguments) == before
    if is_fitted:
        after = fitted_state(subject)
        assert after.keys() == state.keys()
        assert all(after[name] is value for name, value in state.items())
        subject.set_params(**parameters)
        assert_array_equal(predicted(subject), expected)


OF_PARAMETERS = [case for case in TABLE if case.call in ESTIMATORS and case.error is not TypeError]


@pytest.mark.parametrize("case", OF_PARAMETERS, ids=lambda case: case.id)
def test_a_fitted_estimator_that_refuses_a_parameter_still_predicts_the_same(case):
    name, rows = ESTIMATORS[case.call]
    subject = fresh(name)
    parameters, state, expected = subject.get_params(deep=False), fitted_state(subject), None
    expected = predicted(subject)
    target = NUMBERS if name == "regressor" else np.arange(len(rows)) % 2
    subject.set_params(**case.arguments)
    given = subject.get_params(deep=False)
    raises(case, lambda: subject.fit(rows, target))
    assert subject.get_params(deep=False).keys() == given.keys()
    assert all(subject.get_params(deep=False)[key] is given[key] for key in given)
    after = fitted_state(subject)
    assert after.keys() == state.keys() and all(after[key] is state[key] for key in state)
    good = clone(subject).set_params(**{key: parameters.get(key) for key in parameters})
    vars(subject).update({k: v for k, v in vars(good).items() if not k.endswith("_")})
    assert_array_equal(predicted(subject), expected)


@pytest.mark.parametrize("case", OF_PARAMETERS, ids=lambda case: case.id)
def test_a_new_estimator_that_refuses_a_parameter_stays_unfitted(case):
    name, rows = ESTIMATORS[case.call]
    fitted = fresh(name)
    model = clone(fitted).set_params(**case.arguments)
    target = NUMBERS if name == "regressor" else np.arange(len(rows)) % 2
    with pytest.raises(case.error):
        model.fit(rows, target)
    assert fitted_state(model) == {}


# The table is whole ---------------------------------------------------------------------------


def public_callables():
    """Functions, classes and losses that are public, by name."""
    warning = {"EffectiveSampleSizeWarning"}
    found = {name: getattr(skweight, name) for name in skweight.__all__ if name not in warning}
    found |= {name: getattr(inspection, name) for name in inspection.__all__}
    del found["CalibrationTable"]  # which calibration_table makes
    named = {**losses.CLASSIFIER_CRITERIA, **losses.REGRESSOR_CRITERIA}.values()
    found |= {loss.__name__: loss for loss in named if parameters_of(loss)}
    return found | {"MLP": modules.MLP, "ReplicateStatistic": ReplicateStatistic}


def parameters_of(function):
    found = inspect.signature(function).parameters.values()
    return {p.name for p in found if p.kind is not p.VAR_KEYWORD} - {"self", "cls"}


PUBLIC = public_callables()
# Methods that take nothing that could be wrong, or are scikit-learn's, torch's or dict's own.
OTHERS_OWN = {"get_params", "get_metadata_routing", "get_n_splits", "on_train_begin"}
# Arguments that are ignored, or that only ``statistic`` gives.
ANYTHING = {
    "mean_prediction": {"y"},
    "GroupDifference.__call__": {"y"},
    "MarginalEffect.__call__": {"y"},
    "ReplicateStatistic": {"value", "replicates", "factors", "mse"},
}


def own_methods(name, kind):
    """Methods with arguments that skweight defines for a class, and other constructors.

    A module has none here: its methods are called by training.
    """
    if not inspect.isclass(kind) or issubclass(kind, torch.nn.Module):
        return
    for method in dir(kind):
        function = getattr(kind, method)
        is_own = (getattr(function, "__module__", "") or "").startswith("skweight")
        is_public = not method.startswith("_") or method == "__call__"
        if is_own and is_public and method not in OTHERS_OWN and parameters_of(function):
            yield f"{name}.{method}"


def test_the_table_has_every_public_callable_and_method_and_at_least_200_cases():
    assert len(TABLE) >= FEWEST_CASES
    calls = {case.call for case in TABLE}
    assert calls == CALLS.keys()
    for name, function in PUBLIC.items():
        cases = [case for case in TABLE if case.call.partition(" ")[0] == name]
        assert len(cases) >= 3, f"{name} has {len(cases)} cases"
        missing = [method for method in own_methods(name, function) if method not in calls]
        assert not missing


def test_the_counts_on_the_page_of_promises_are_those_of_the_table():
    page = (ROOT / "docs" / "reliability.md").read_text()
    counts = {area: sum(case.area == area for case in TABLE) for area in AREAS}
    assert all(f"\n| {area} | {n} |\n" in page for area, n in counts.items())
    together = f"| together, for {len(CALLS)} functions and methods | {len(TABLE)} |"
    assert len(counts) == 6 and together in page


@pytest.mark.parametrize("name", [*PUBLIC, *(call for call in CALLS if "." in call)])
def test_every_parameter_of_a_callable_has_a_bad_value_in_the_table(name):
    function = PUBLIC.get(name.partition(" ")[0].partition(".")[0])
    if "." in name:
        function = getattr(function, name.partition(" ")[0].partition(".")[2], None)
    if name in ESTIMATORS:  # defaults of parts are in the signature as it is written
        function = inspect.unwrap(function.__init__)
    known = parameters_of(function) - ANYTHING.get(name.partition(" ")[0], set())
    base = name.partition(" ")[0]
    tried = {arg for case in TABLE if case.call.partition(" ")[0] == base for arg in case.arguments}
    assert known <= tried, f"no bad value of {sorted(known - tried)}"


@pytest.mark.parametrize("name", CALLS)
def test_the_right_arguments_work(name, tmp_path):
    """So that a refused call is refused for the argument that the row has."""
    call = CALLS[name]
    if "onnx" in name:
        pytest.importorskip("onnx")
    arguments = copy.copy(call.good)
    if "path" in arguments:
        arguments["path"] = tmp_path / arguments["path"]
    call.run(fresh(call.subject) if call.subject else None, **arguments)
