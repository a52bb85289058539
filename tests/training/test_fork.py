"""Processes that are forked while a thread of their parent fits."""

import multiprocessing
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

pytestmark = [
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
    ),
    # Python 3.12 and later warn of any fork of a process that has threads.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
SECONDS = 30  # that a child may take; it needs less than one
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X[:, 0]
LABELS = (X[:, 0] > 0).astype(int)


@contextmanager
def a_thread_that_fits():
    """A thread in the middle of a fit, which ends with the context."""
    waits, go_on = threading.Event(), threading.Event()

    class Wait(Callback):
        def on_epoch_end(self, net, **kwargs):
            waits.set()
            go_on.wait(SECONDS)

    fit = WeightedTorchRegressor(max_epochs=2, callbacks=[Wait()]).fit
    thread = threading.Thread(target=fit, args=(X, Y))
    thread.start()
    assert waits.wait(SECONDS)
    try:
        yield
    finally:
        go_on.set()
        thread.join()


def run_in_fork(function):
    """Run a function in a forked process; return its exit code, or None if it hangs."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    process.join(SECONDS)
    exit_code = process.exitcode
    process.kill()
    process.join()
    return exit_code


def fit_classifier():
    WeightedTorchClassifier(max_epochs=2).fit(X, LABELS)


def fit_and_call_partial_fit():
    WeightedTorchRegressor(max_epochs=2, n_members=1).fit(X, Y).partial_fit(X, Y)


def search():
    WeightSearchCV(WeightedTorchClassifier(max_epochs=2), {"class_weight": [None, "balanced"]}).fit(
        X, LABELS
    )


@pytest.mark.parametrize("function", [fit_classifier, fit_and_call_partial_fit, search])
def test_a_process_forked_during_a_fit_of_another_thread_can_fit(function):
    torch.set_num_threads(1)
    with a_thread_that_fits():
        assert run_in_fork(function) == 0


def test_fits_of_the_parent_still_wait_for_each_other_after_a_fork():
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(fit_classifier()))
    with a_thread_that_fits():
        assert run_in_fork(fit_classifier) == 0
        waiting.start()
        waiting.join(1)
        assert not ended
    waiting.join(SECONDS)
    assert ended


def test_a_forked_process_has_the_default_dtype_and_random_state_of_the_caller():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)

    def check():
        assert torch.get_default_dtype() == torch.float64
        assert torch.equal(torch.rand(4, dtype=torch.float32), expected)
        fit_classifier()
        assert torch.get_default_dtype() == torch.float64

    torch.set_default_dtype(torch.float64)
    try:
        with a_thread_that_fits():
            assert torch.get_default_dtype() == torch.float32  # of the fit
            assert run_in_fork(check) == 0
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_fit_goes_on_after_its_own_thread_has_forked():
    class Fork(Callback):
        def on_epoch_end(self, net, **kwargs):
            assert run_in_fork(fit_classifier) == 0
            assert torch.get_default_dtype() == torch.float32

    torch.set_default_dtype(torch.float64)
    try:
        found = WeightedTorchRegressor(max_epochs=2, callbacks=[Fork()], random_state=0).fit(X, Y)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    expected = WeightedTorchRegressor(max_epochs=2, n_members=1, random_state=0).fit(X, Y)
    assert found.predict(X).tolist() == expected.predict(X).tolist()
