"""Ctrl-C at any moment of a fit raises KeyboardInterrupt and leaves the process as it was.

A function of the profiler presses it at a chosen call: where Python itself would notice a signal,
but at the same call in each run.
"""

import gc
import signal
import sys
from functools import lru_cache

import numpy as np
import pytest
from faulty_parts import (
    LABELS,
    NUMBERS,
    SETTINGS,
    WEIGHT,
    X,
    another_thread_can_fit,
    arrays_of,
    process_state,
    unusual_process_state,
)
from sklearn.exceptions import NotFittedError

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)

pytestmark = pytest.mark.usefixtures("python_handles_ctrl_c")
SHORT = {**SETTINGS, "max_epochs": 2}
DESIGN = bootstrap_weights(None, None, WEIGHT, n_replicates=3, random_state=0)
ISOLATION = "skweight/training/isolation.py"


class Lone:
    def __init__(self):
        self.model = WeightedTorchClassifier(**SHORT, n_members=1, early_stopping=True)

    def run(self):
        self.model.fit(X, LABELS, WEIGHT)

    def bits(self):
        return arrays_of(self.model)


class Members(Lone):
    def __init__(self):
        self.model = WeightedTorchRegressor(**SHORT, n_members=3)

    def run(self):
        self.model.fit(X, NUMBERS)


class Search(Lone):
    def __init__(self):
        model = WeightedTorchClassifier(**SHORT, n_members=1)
        grid = {"class_weight": [None, "balanced"]}
        self.model = WeightSearchCV(model, grid, cv=2, scoring="neg_log_loss", refit=False)

    def run(self):
        self.model.fit(X, LABELS)

    def bits(self):
        return [self.model.cv_results_[f"split{n}_test_score"].tobytes() for n in (0, 1)]


class Replicates(Lone):
    def __init__(self):
        self.model = ReplicateEstimator(WeightedTorchRegressor(**SHORT, n_members=1))

    def run(self):
        self.model.fit(X, NUMBERS, WEIGHT, replicate_weights=DESIGN)

    def bits(self):
        return [values.tobytes() for values in self.model.predict(X, return_std=True)]


class Prediction(Lone):
    def __init__(self):
        self.model = fitted_once()

    def run(self):
        self.model.predict(X)


@lru_cache
def fitted_once():
    return WeightedTorchRegressor(**SHORT).fit(X, NUMBERS)


class Presses:
    """Counts the calls of a run, and presses Ctrl-C at that with the number ``at``."""

    def __init__(self, at=0):
        self.at, self.n_calls, self.in_isolation = at, 0, {}

    def run(self, function):
        """The KeyboardInterrupt that ended the function, with its traceback; None if none did."""
        sys.setprofile(self._count)
        try:
            function()
        except KeyboardInterrupt as stop:
            return stop
        finally:
            sys.setprofile(None)
        return None

    def _count(self, frame, event, argument):
        if event not in ("call", "c_return"):
            return
        self.n_calls += 1
        callers = [frame, frame.f_back, frame.f_back and frame.f_back.f_back]
        if any(caller and caller.f_code.co_filename.endswith(ISOLATION) for caller in callers):
            self.in_isolation[self.n_calls] = frame.f_code.co_filename
        if self.n_calls == self.at:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def calls_are_the_same_in_each_run():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def lost(monkeypatch):
    """Interrupts that Python reports and drops, as it does in ``__del__`` of an object."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    return found


def counted(kind):
    """The bits of an undisturbed run, and the calls of the next one."""
    expected = kind()
    expected.run()
    calls = Presses()
    assert not calls.run(kind().run)
    return expected.bits(), calls


def assert_nothing_is_half_made(run):
    try:
        bits = run.bits()
    except (NotFittedError, AttributeError):  # as before its fit
        return
    assert all(np.isfinite(np.frombuffer(bits[-1])))


@pytest.mark.parametrize(
    "kind, n_moments", [(Lone, 40), (Members, 24), (Search, 24), (Replicates, 24), (Prediction, 40)]
)
def test_ctrl_c_at_any_moment_is_not_lost_and_leaves_nothing_behind(kind, n_moments, lost):
    expected, calls = counted(kind)
    assert calls.n_calls > 4 * n_moments
    before, n_pressed = process_state(), 0
    for number in range(n_moments):
        run, at = kind(), int(calls.n_calls * (number + 0.5) / n_moments)
        is_ended = Presses(at).run(run.run) is not None
        assert is_ended or lost
        n_pressed += is_ended
        lost.clear()
        assert process_state() == before
        assert_nothing_is_half_made(run)
        if number % 6 == 0:
            assert another_thread_can_fit()
            run.run()
            assert run.bits() == expected
    assert n_pressed >= n_moments - 2


def test_ctrl_c_anywhere_where_the_state_of_torch_is_changed_restores_it(lost):
    """At once, though a notebook keeps the traceback with all that it holds.

    If it comes in the few instructions of a ``with`` itself: when the traceback is dropped.
    """
    expected, calls = counted(Lone)
    assert len(calls.in_isolation) > 40
    kept = []
    with unusual_process_state():
        before = process_state()
        for at, file in calls.in_isolation.items():
            run = Lone()
            stop = Presses(at).run(run.run)
            assert type(stop) is KeyboardInterrupt
            kept += [stop] * (not file.endswith("contextlib.py"))
            del stop
            assert process_state() == before
            assert another_thread_can_fit()
        n_kept = len(kept)
        kept.clear()
        gc.collect()  # what ends now restores the state of this block
    run.run()
    assert run.bits() == expected
    assert n_kept > 40 and not lost


def test_an_interrupted_refit_is_not_undone_or_redone_by_a_later_one():
    """What an interrupt leaves suspended may end at any time, and then changes nothing."""
    run, kept = Lone(), []
    run.run()

    def refit():
        run.model.fit(X[::-1], 1 - LABELS)

    refit()  # the next ones need not try whether steps may be direct
    calls = Presses()
    calls.run(refit)
    for at in range(10, calls.n_calls * 9 // 10, calls.n_calls // 25):
        kept.append(Presses(at).run(refit))
    assert {type(stop) for stop in kept} == {KeyboardInterrupt} and len(kept) > 20
    run.run()
    expected = run.bits()
    kept.clear()
    gc.collect()
    assert run.bits() == expected
