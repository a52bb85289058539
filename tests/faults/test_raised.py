"""What the user's own code raises in a fit arrives as it is, and leaves nothing half-made."""

import copy
import pickle

import numpy as np
import pytest
from faulty_parts import (
    LABELS,
    NUMBERS,
    SETTINGS,
    WEIGHT,
    RaisingBackward,
    RaisingBatchCallback,
    RaisingCallback,
    RaisingForward,
    X,
    another_thread_can_fit,
    arrays_of,
    fault,
    process_state,
    raising_criterion_of_classes,
    raising_criterion_of_numbers,
    unusual_process_state,
)
from numpy.testing import assert_array_equal
from sklearn.exceptions import FitFailedWarning, NotFittedError
from torch import nn

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)


class Own(Exception):
    """One with parts that cannot be copied or pickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


PARTS = {
    "callback": {"callbacks": [RaisingCallback()]},
    "callback of batches": {"callbacks": [RaisingBatchCallback()]},
    "forward": {"module": RaisingForward},
    "forward of an instance": {"module": RaisingForward(4, 1)},
    "backward": {"module": RaisingBackward},
    "criterion": {},
    "criterion of one's own network": {"module": nn.Linear(4, 1)},
}
TARGETS = {WeightedTorchClassifier: LABELS, WeightedTorchRegressor: NUMBERS}
KINDS = [*TARGETS]
ONE_BY_ONE = pytest.mark.filterwarnings("ignore:.*candidates were trained one by one:UserWarning")


@pytest.fixture(autouse=True)
def no_fault_is_left():
    yield
    fault.disarm()


def made(kind, part, **params):
    params = {**SETTINGS, **PARTS[part], **params}
    if part.startswith("criterion"):
        is_classifier = kind is WeightedTorchClassifier
        criteria = [raising_criterion_of_numbers, raising_criterion_of_classes]
        params["criterion"] = criteria[is_classifier]
    return kind(**params)


def number_of_calls(fit):
    """How often a fit without a fault calls the part."""
    fault.disarm()
    fit()
    return fault.n_calls


def assert_fails(fit, at, state_of_process=True):
    """A fit raises the error of its part, and changes nothing of the process."""
    error = Own("no", "more")
    fault.arm(at, error)
    before = process_state()
    with pytest.raises(Own) as raised:
        fit()
    assert raised.value is error
    assert process_state() == before
    fault.disarm()


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS, ids=["classifier", "regressor"])
def test_what_a_part_raises_arrives_unchanged_and_the_estimator_stays_unfitted(
    kind, part, n_members
):
    y = TARGETS[kind].copy()
    given = X.copy(), y.copy(), WEIGHT.copy()
    fresh = made(kind, part, n_members=n_members)
    n_calls = number_of_calls(lambda: fresh.fit(*given))
    assert n_calls >= 5
    model = made(kind, part, n_members=n_members)
    parts = model.module, model.callbacks, copy.copy(model.callbacks)
    weights = [*model.module.state_dict().values()] if isinstance(model.module, nn.Module) else []
    before = [value.clone() for value in weights], pickle.dumps(model.get_params()["callbacks"])
    with unusual_process_state():
        assert_fails(lambda: model.fit(*given), at=3 * n_calls // 5)
    assert another_thread_can_fit()
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert not [name for name in vars(model) if name.endswith("_") and name[0] != "_"]
    for array, expected in zip(given, (X, TARGETS[kind], WEIGHT)):
        assert_array_equal(array, expected)
    assert (model.module, model.callbacks, model.callbacks) == parts
    assert all(map(lambda a, b: a.equal(b), weights, before[0]))
    assert pickle.dumps(model.get_params()["callbacks"]) == before[1]
    assert arrays_of(model.fit(*given)) == arrays_of(fresh)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("part", ["callback", "forward", "criterion"])
def test_an_estimator_that_was_fitted_keeps_that_fit(part, n_members):
    model = made(WeightedTorchRegressor, part, n_members=n_members)
    n_calls = number_of_calls(lambda: model.fit(X, NUMBERS))
    before, attributes = arrays_of(model), vars(model).copy()
    assert_fails(lambda: model.fit(X[:60], -NUMBERS[:60], WEIGHT[:60]), at=n_calls // 3)
    assert arrays_of(model) == before
    assert vars(model) == attributes
    other = made(WeightedTorchRegressor, part, n_members=n_members)
    other.fit(X[:60], -NUMBERS[:60], WEIGHT[:60])
    assert arrays_of(model.fit(X[:60], -NUMBERS[:60], WEIGHT[:60])) == arrays_of(other) != before


@pytest.mark.parametrize("part", PARTS)
def test_a_warm_start_that_fails_continues_from_the_fit_before_it(part):
    models = [made(WeightedTorchRegressor, part, warm_start=True) for _ in range(2)]
    n_calls = [number_of_calls(lambda m=model: m.fit(X, NUMBERS)) for model in models]
    assert_fails(lambda: models[0].fit(X, NUMBERS), at=n_calls[0] // 2)
    first, second = (arrays_of(model.fit(X, NUMBERS)) for model in models)
    assert first == second


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS, ids=["classifier", "regressor"])
def test_a_call_of_partial_fit_that_fails_is_as_if_it_had_not_been_made(kind, part):
    y = TARGETS[kind]
    parts = [slice(0, 30), slice(30, 60), slice(60, 90)]
    models = [made(kind, part, early_stopping=False) for _ in range(2)]
    first_call = {"classes": [0, 1]} if kind is WeightedTorchClassifier else {}
    for model in models:
        model.partial_fit(X[parts[0]], y[parts[0]], **first_call)
    before, attributes = arrays_of(models[0]), vars(models[0]).copy()
    calls = number_of_calls(lambda: models[1].partial_fit(X[parts[1]], y[parts[1]]))
    assert_fails(lambda: models[0].partial_fit(X[parts[1]], y[parts[1]]), at=calls)
    assert arrays_of(models[0]) == before
    assert vars(models[0]) == attributes
    models[0].partial_fit(X[parts[1]], y[parts[1]])
    first, second = (arrays_of(model.partial_fit(X[parts[2]], y[parts[2]])) for model in models)
    assert first == second != before


@pytest.mark.parametrize("part", PARTS)
def test_a_first_call_of_partial_fit_that_fails_leaves_it_unfitted(part):
    model = made(WeightedTorchRegressor, part, early_stopping=False)
    expected = made(WeightedTorchRegressor, part, early_stopping=False)
    calls = number_of_calls(lambda: expected.partial_fit(X, NUMBERS))
    assert_fails(lambda: model.partial_fit(X, NUMBERS), at=calls)
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert arrays_of(model.partial_fit(X, NUMBERS)) == arrays_of(expected)


def search(part, **params):
    """A search of which some candidates have a part that may raise."""
    model = made(WeightedTorchClassifier, part)
    grid = {"class_weight": [None, "balanced", {0: 1, 1: 3}]}
    params = {"cv": 2, "scoring": "neg_log_loss", **params}
    return WeightSearchCV(model, grid, **params)


@ONE_BY_ONE
@pytest.mark.parametrize("part", PARTS)
def test_a_search_that_is_to_raise_raises_it_unchanged(part):
    expected = search(part, refit=False)
    n_calls = number_of_calls(lambda: expected.fit(X, LABELS))
    found = search(part, refit=False, error_score="raise")
    assert_fails_somewhere(lambda: found.fit(X, LABELS), n_calls)
    assert not hasattr(found, "cv_results_")
    found.fit(X, LABELS)
    scores = [one.cv_results_["mean_test_score"] for one in (found, expected)]
    assert_array_equal(*scores)
    assert len(np.unique(scores[0])) == 3


def assert_fails_somewhere(fit, n_calls):
    """Fail in the last third and in each later call, since a fit of a stack is tried again."""
    error = Own("no", "more")
    fault.arm(None, error)
    fault.call = lambda: raise_after(2 * n_calls // 3)
    before = process_state()
    try:
        with pytest.raises(Own) as raised:
            fit()
    finally:
        del fault.call
    assert raised.value is error
    assert process_state() == before
    fault.disarm()


def raise_after(n_calls):
    fault.n_calls += 1
    if fault.n_calls > n_calls:
        raise fault.error


@pytest.mark.parametrize("part", PARTS)
def test_a_search_scores_a_fit_that_fails_as_missing_and_the_others_as_ever(part):
    expected = search(part, refit=False, stack_size=1)
    n_calls = number_of_calls(lambda: expected.fit(X, LABELS))
    fault.arm(n_calls // 2, Own("no", "more"))
    found = search(part, refit=False, stack_size=1)
    with pytest.warns() as warned:
        found.fit(X, LABELS)
    (failure,) = [str(one.message) for one in warned if one.category is FitFailedWarning]
    assert failure.strip().startswith("1 fits failed out of a total of 6")
    assert "Own: no more" in failure
    names = ["split0_test_score", "split1_test_score"]
    scores = [np.stack([one.cv_results_[name] for name in names]) for one in (found, expected)]
    failed = np.isnan(scores[0])
    assert failed.sum() == 1
    assert_array_equal(scores[0][~failed], scores[1][~failed])


@pytest.mark.parametrize("part", ["callback", "forward", "backward", "criterion"])
def test_replicates_raise_it_too_and_say_in_which_replicate_it_was(part):
    design = bootstrap_weights(None, None, WEIGHT, n_replicates=4, random_state=0)
    models = [
        ReplicateEstimator(made(WeightedTorchRegressor, part, n_members=1), stack_size=1)
        for _ in range(2)
    ]

    def fit(model):
        return model.fit(X, NUMBERS, sample_weight=WEIGHT, replicate_weights=design)

    fit(models[1])  # the next ones need not try whether steps may be direct
    n_calls = number_of_calls(lambda: fit(models[1]))
    assert_fails(lambda: fit(models[0]), at=n_calls // 10)
    assert not hasattr(models[0], "estimator_")
    error = Own("no", "more")
    fault.arm(n_calls - 1, error)
    match = r"replicate_weights\[:, 3\]: its fit failed: no more"
    with pytest.raises(ValueError, match=match) as raised:
        fit(models[0])
    assert raised.value.__cause__ is error
    fault.disarm()
    results = [fit(model).predict(X, return_std=True) for model in models]
    assert_array_equal(results[0], results[1])
    assert results[0][1].max() > 0
