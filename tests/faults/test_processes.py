"""Fits and predictions in other processes have the bits of those in this one."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from faulty_parts import LABELS, NUMBERS, SETTINGS, WEIGHT, X, arrays_of, process_state
from joblib.externals.loky import ProcessPoolExecutor as Loky

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

SECONDS = 120  # that a process may take; it needs a few


def classifier(**params):
    return WeightedTorchClassifier(**SETTINGS, module__dropout=0.3, **params)


def work(pickled):
    """The bits of fits of several kinds, and of the predictions of a model."""
    model = pickle.loads(pickled)
    predicted = model.predict(X).tobytes()
    lone = classifier(n_members=1).fit(X, LABELS, WEIGHT)
    members = WeightedTorchRegressor(**SETTINGS, n_members=3).fit(X, NUMBERS)
    grid = {"class_weight": [None, "balanced"]}
    model = WeightedTorchClassifier(**SETTINGS, n_members=1)
    search = WeightSearchCV(model, grid, cv=2, scoring="neg_log_loss")
    search.fit(X, LABELS)
    scores = search.cv_results_["mean_test_score"].tobytes()
    return [*arrays_of(lone), *arrays_of(members), scores, predicted]


def fork():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))


def spawn():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def loky():
    return Loky(1)


# Python 3.12 and later warn of any fork of a process that has threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("start", [fork, spawn, loky])
def test_a_child_has_the_bits_of_its_parent_which_fitted_before(start):
    if start.__name__ not in {*multiprocessing.get_all_start_methods(), "loky"}:
        pytest.skip(f"no {start.__name__} on this system")
    assert torch.get_num_threads() == 1  # what a child of another number of threads rounds differs
    model = pickle.dumps(WeightedTorchRegressor(**SETTINGS).fit(X, NUMBERS))
    before = process_state()
    with start() as pool:
        found = [pool.submit(work, model).result(SECONDS) for _ in range(2)]
    assert process_state() == before
    assert found == [work(model)] * 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("function", ["fit", "predict"])
def test_a_child_of_a_parent_that_computed_in_several_threads_does_not_hang(function):
    """OpenMP would wait for threads that only the parent has."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    rows = np.random.default_rng(0).normal(size=(4000, 60)).astype(np.float32)
    settings = {**SETTINGS, "max_epochs": 2, "batch_size": 2000, "n_members": 1}
    torch.set_num_threads(4)
    try:
        model = WeightedTorchRegressor(**settings).fit(rows, rows[:, 0])
        run = partial(getattr(model, function), rows, *[rows[:, 0]] * (function == "fit"))
        run()
        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join(SECONDS)
        exit_code = process.exitcode
        process.kill()
        assert exit_code == 0
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(1)
