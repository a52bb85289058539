"""Errors of memory keep their type, and say what to lower."""

import pickle
import re

import numpy as np
import pytest
import torch
from faulty_parts import (
    LABELS,
    NUMBERS,
    SETTINGS,
    WEIGHT,
    RaisingBackward,
    RaisingForward,
    X,
    another_thread_can_fit,
    arrays_of,
    fault,
    process_state,
    raising_criterion_of_numbers,
)
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)
from skweight.training import DirectNetwork, FusedAdam


def error_of(function):
    """What a function raises."""
    try:
        function()
    except (RuntimeError, MemoryError) as error:
        return error
    raise AssertionError("there is so much memory")


OF_TORCH = error_of(lambda: torch.empty(10**15))
ERRORS = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "GPU of another make": RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    "Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 byte"),
    "torch": OF_TORCH,
    "NumPy": error_of(lambda: np.empty(10**15)),
    "Python": MemoryError(),
}
KINDS = {
    name: MemoryError if isinstance(error, MemoryError) else type(error)
    for name, error in ERRORS.items()
}
PARTS = {
    "forward": {"module": RaisingForward},
    "backward": {"module": RaisingBackward},
    "criterion": {"criterion": raising_criterion_of_numbers},
}
LOWER = r"^Out of memory: lower (.*)batch_size, which is 30 here\. "


@pytest.fixture(autouse=True)
def no_fault_is_left():
    yield
    fault.disarm()


class AlwaysRaising(RaisingForward):
    name = ""  # of the error

    def forward(self, X):
        raise ERRORS[self.name]


def made(part="forward", **params):
    return WeightedTorchRegressor(**{**SETTINGS, **PARTS[part], **params})


def assert_says_what_to_lower(function, error, match):
    """It raises a new error of the same type, from the old one, with the old text in it."""
    with pytest.raises((RuntimeError, MemoryError), match=match) as raised:
        function()
    kind = MemoryError if isinstance(error, MemoryError) else type(error)
    assert type(raised.value) is kind
    assert raised.value.__cause__ is error
    assert str(error) in str(raised.value)
    return raised.value


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ERRORS)
def test_a_fit_keeps_the_type_and_names_batch_size(name, part):
    expected = made(part).fit(X, NUMBERS)
    n_calls = fault.n_calls
    model, before = made(part), process_state()
    fault.arm(2 * n_calls // 3, ERRORS[name])
    found = assert_says_what_to_lower(lambda: model.fit(X, NUMBERS), ERRORS[name], LOWER)
    several = part == "criterion"  # networks of the default kind, for so few rows
    assert re.match(LOWER, str(found)).group(1) == ("n_members or " if several else "")
    assert process_state() == before and another_thread_can_fit()
    with pytest.raises(NotFittedError):
        model.predict(X)
    fault.disarm()
    assert arrays_of(model.fit(X, NUMBERS)) == arrays_of(expected)


@pytest.mark.parametrize("name", ERRORS)
def test_the_errors_can_be_sent_to_another_process(name):
    fault.arm(5, ERRORS[name])
    with pytest.raises(KINDS[name]) as raised:
        made().fit(X, NUMBERS)
    copied = pickle.loads(pickle.dumps(raised.value))
    assert type(copied) is KINDS[name] and str(copied) == str(raised.value)


def test_the_texts_are_those_of_torch_and_numpy():
    assert "DefaultCPUAllocator: can't allocate memory" in str(OF_TORCH)
    assert type(OF_TORCH) is RuntimeError
    assert issubclass(torch.OutOfMemoryError, RuntimeError)


def test_what_is_no_error_of_memory_is_left_alone():
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    made().fit(X, NUMBERS)
    fault.arm(2 * fault.n_calls // 3, error)
    with pytest.raises(RuntimeError) as raised:
        made().fit(X, NUMBERS)
    assert raised.value is error


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
@pytest.mark.parametrize("part", PARTS)
def test_the_first_batch_of_all_runs_out_of_memory_too(name, part):
    """Before the training, modules and criteria are tried on a few rows."""
    for call in (1, 2, 3):
        fault.arm(call, ERRORS[name])
        if part == "backward" and call > 1:  # of which there is one before the training
            break
        assert_says_what_to_lower(lambda: made(part).fit(X, NUMBERS), ERRORS[name], LOWER)


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_a_trial_of_direct_steps_that_runs_out_of_memory_is_not_remembered(name, monkeypatch):
    def raises(*args):
        raise ERRORS[name]

    settings = {**SETTINGS, "n_members": 1, "module__hidden_sizes": (3 + [*ERRORS].index(name),)}
    with monkeypatch.context() as patch:
        patch.setattr(DirectNetwork, "forward", raises)
        without = WeightedTorchRegressor(**settings).fit(X, NUMBERS)
    assert without.net_.step_ == "autograd, because its trial runs out of memory"
    found = WeightedTorchRegressor(**settings).fit(X, NUMBERS)
    assert found.net_.step_ == "direct"
    assert arrays_of(found) == arrays_of(without)


def raise_in_update(monkeypatch, error, n_updates=4):
    """The update of the direct loop, of one network or of a stack, raises an error."""
    updates = []
    update = FusedAdam.update

    def counted(optimizer):
        updates.append(optimizer)
        if len(updates) >= n_updates:
            raise error
        update(optimizer)

    monkeypatch.setattr(FusedAdam, "update", counted)


NAMED = {1: "", 3: "n_members or ", 5: "n_members or "}


@pytest.mark.parametrize("n_members", NAMED)
@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_the_direct_loop_and_members_name_what_to_lower(name, n_members, monkeypatch):
    settings = {**SETTINGS, "batch_size": 20, "n_members": n_members}
    expected = arrays_of(WeightedTorchRegressor(**settings).fit(X, NUMBERS))
    model, before = WeightedTorchRegressor(**settings), process_state()
    match = f"^Out of memory: lower {NAMED[n_members]}batch_size, which is 20 here"
    with monkeypatch.context() as patch:
        raise_in_update(patch, ERRORS[name])
        assert_says_what_to_lower(lambda: model.fit(X, NUMBERS), ERRORS[name], match)
    assert process_state() == before
    assert arrays_of(model.fit(X, NUMBERS)) == expected


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_partial_fit_names_batch_size(name, monkeypatch):
    model = WeightedTorchRegressor(**SETTINGS, early_stopping=False).partial_fit(X, NUMBERS)
    before = arrays_of(model)
    raise_in_update(monkeypatch, ERRORS[name], n_updates=2)
    assert_says_what_to_lower(lambda: model.partial_fit(X, NUMBERS), ERRORS[name], LOWER)
    assert arrays_of(model) == before


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_replicates_name_stack_size(name, monkeypatch):
    design = bootstrap_weights(None, None, WEIGHT, n_replicates=4, random_state=0)
    raise_in_update(monkeypatch, ERRORS[name])
    model = ReplicateEstimator(WeightedTorchRegressor(**SETTINGS), stack_size=5)
    match = LOWER.replace("(.*)", "stack_size or ")
    assert_says_what_to_lower(
        lambda: model.fit(X, NUMBERS, WEIGHT, replicate_weights=design), ERRORS[name], match
    )


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_a_replicate_that_runs_out_of_memory_by_itself_keeps_the_type(name):
    design = bootstrap_weights(None, None, WEIGHT, n_replicates=4, random_state=0)
    model = ReplicateEstimator(made(), stack_size=1)
    model.fit(X, NUMBERS, WEIGHT, replicate_weights=design)
    fault.arm(fault.n_calls - 1, ERRORS[name])
    assert_says_what_to_lower(
        lambda: model.fit(X, NUMBERS, WEIGHT, replicate_weights=design), ERRORS[name], LOWER
    )


GRID = {"class_weight": [None, "balanced", {0: 1, 1: 3}]}


def search_in_stack(**params):
    return WeightSearchCV(
        WeightedTorchClassifier(**SETTINGS, n_members=1),
        GRID,
        cv=2,
        scoring="neg_log_loss",
        refit=False,
        stack_size=6,
        **params,
    )


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_a_stack_of_a_search_that_runs_out_of_memory_is_trained_one_by_one(name, monkeypatch):
    expected = search_in_stack().fit(X, LABELS)
    assert expected.stacked_.all()
    update = FusedAdam.update

    def raise_in_stacks(optimizer):
        if max(parameter.ndim for parameter in optimizer.param_groups[0]["params"]) > 2:
            raise ERRORS[name]
        update(optimizer)

    monkeypatch.setattr(FusedAdam, "update", raise_in_stacks)
    match = "(?s)3 of 3 candidates were trained one by one, .*Out of memory: lower stack_size, "
    match += "which is 6 here, or batch_size, which is 30 here"
    with pytest.warns(UserWarning, match=match):
        found = search_in_stack(error_score="raise").fit(X, LABELS)
    assert not found.stacked_.any()
    for score in ("split0_test_score", "split1_test_score"):
        assert found.cv_results_[score].tolist() == expected.cv_results_[score].tolist()


@pytest.mark.parametrize("name", ["GPU", "torch", "NumPy"])
def test_a_search_reports_a_failed_fit_as_grid_search_does(name):
    grid = {"module": [AlwaysRaising, None], "random_state": [0]}
    reports = []
    AlwaysRaising.name = name
    for kind in (GridSearchCV, WeightSearchCV):
        model = WeightedTorchRegressor(**SETTINGS)
        search = kind(model, grid, cv=2, refit=False)
        with pytest.warns() as warned:
            search.fit(X, NUMBERS)
        (report,) = [str(one.message) for one in warned if one.category is FitFailedWarning]
        assert report.strip().startswith("2 fits failed out of a total of 4")
        assert "Out of memory: lower batch_size, which is 30 here." in report
        reports.append(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*reports)
    assert np.isnan(reports[0]).tolist() == [True, False]
    with pytest.raises(KINDS[name], match=LOWER):
        WeightSearchCV(made(module=AlwaysRaising), {"lr": [0.1]}, cv=2, error_score="raise").fit(
            X, NUMBERS
        )


@pytest.mark.parametrize("name", ERRORS)
def test_predictions_ask_for_fewer_rows(name):
    model = made().fit(X, NUMBERS)
    expected = model.predict(X)
    fault.arm(1, ERRORS[name])
    match = r"^Out of memory: predict fewer rows at a time\. "
    assert_says_what_to_lower(lambda: model.predict(X), ERRORS[name], match)
    fault.disarm()
    assert model.predict(X).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["NumPy", "Python"])
def test_rows_that_do_not_fit_are_not_blamed_on_the_batch_size(name, monkeypatch):
    def raises(*args, **kwargs):
        raise ERRORS[name]

    monkeypatch.setattr("skweight.estimators.planning.merge", raises)
    match = r"^Out of memory: the rows do not fit\. Pass X as a C-ordered float32 array"
    model = WeightedTorchRegressor(**SETTINGS)
    assert_says_what_to_lower(lambda: model.fit(X, NUMBERS), ERRORS[name], match)
