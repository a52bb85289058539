"""Fits and predictions in eight threads have the bits of those in one."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from faulty_parts import LABELS, NUMBERS, SETTINGS, WEIGHT, X, arrays_of, fault, process_state
from joblib import Parallel, delayed
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)

N_THREADS = 8
DESIGN = bootstrap_weights(None, None, WEIGHT, n_replicates=3, random_state=0)
GRID = {"class_weight": [None, "balanced"]}
# scikit-learn's checks of arrays and of classes add them for a moment. In threads one of them may
# stay, as after a fit of any of its estimators.
OF_SKLEARN = {np.exceptions.ComplexWarning, np.exceptions.VisibleDeprecationWarning}


class Noisy(nn.Module):
    """Draws from torch's generator whenever it is trained."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs)
        self.dropout = nn.Dropout(0.4)

    def forward(self, X):
        noise = 0.1 * torch.randn_like(X) if self.training else 0.0
        return self.linear(self.dropout(X) + noise)


class Remembering(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("drawn", float(torch.rand(1)))


@pytest.fixture(autouse=True)
def threads_change_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def lone(seed):
    model = WeightedTorchClassifier(**{**SETTINGS, "random_state": seed}, n_members=1)
    return arrays_of(model.fit(read_only(X), LABELS, WEIGHT))


def with_dropout(seed):
    settings = {**SETTINGS, "random_state": seed, "module": Noisy, "n_members": 1}
    callbacks = [Remembering(), EpochScoring("r2", on_train=True)]
    model = WeightedTorchRegressor(**settings, callbacks=callbacks).fit(X, NUMBERS)
    return [*arrays_of(model), model.history_[:, ("drawn", "r2")]]


def members(seed):
    model = WeightedTorchRegressor(**{**SETTINGS, "random_state": seed}, n_members=3)
    return [*arrays_of(model.fit(X, NUMBERS)), model.oof_prediction_.tolist()]


def in_parts(seed):
    model = WeightedTorchRegressor(**{**SETTINGS, "random_state": seed}, early_stopping=False)
    return arrays_of(model.partial_fit(X[:50], NUMBERS[:50]).partial_fit(X[50:], NUMBERS[50:]))


def search(seed):
    model = WeightedTorchClassifier(**{**SETTINGS, "random_state": seed}, n_members=1)
    found = WeightSearchCV(model, GRID, cv=2, scoring="neg_log_loss").fit(X, LABELS)
    return [*arrays_of(found.best_estimator_), found.cv_results_["mean_test_score"].tolist()]


def replicates(seed):
    model = WeightedTorchRegressor(**{**SETTINGS, "random_state": seed}, n_members=1)
    found = ReplicateEstimator(model).fit(X, NUMBERS, WEIGHT, replicate_weights=DESIGN)
    return [values.tolist() for values in found.predict(X, return_std=True)]


KINDS = [lone, with_dropout, members, in_parts, search, replicates]


def threads_of_joblib(function, numbers):
    return Parallel(n_jobs=N_THREADS, backend="threading")(delayed(function)(n) for n in numbers)


def threads_of_a_pool(function, numbers):
    with ThreadPoolExecutor(N_THREADS) as pool:
        return [*pool.map(function, numbers)]


def assert_same_state(before):
    """Apart from the filters that scikit-learn may leave behind."""
    after = process_state()
    filters = [state.pop("filters of warnings") for state in (before, after)]
    assert after == before
    kinds = [{(action, kind) for action, _, kind, *_ in of_state} for of_state in filters]
    assert kinds[1] - kinds[0] <= {("error", kind) for kind in OF_SKLEARN}


@pytest.mark.parametrize("run", [threads_of_joblib, threads_of_a_pool])
def test_fits_of_all_kinds_in_eight_threads_are_those_of_one(run):
    jobs = [(kind, seed) for seed in range(3) for kind in KINDS]

    def fit(number):
        kind, seed = jobs[number]
        return kind(seed)

    with warnings.catch_warnings():
        expected = [fit(number) for number in range(len(jobs))]
        before = process_state()
        found = run(fit, range(len(jobs)))
        assert_same_state(before)
    differ = [jobs[n][0].__name__ for n in range(len(jobs)) if found[n] != expected[n]]
    assert not differ
    assert expected[: len(KINDS)] != expected[len(KINDS) : 2 * len(KINDS)]


@pytest.mark.parametrize("kind", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_one_estimator_predicts_in_eight_threads_what_it_predicts_in_one(kind):
    y = LABELS if kind is WeightedTorchClassifier else NUMBERS
    model = kind(**SETTINGS).fit(X, y)
    rows = read_only(X)
    expected = [model.predict(rows[n:]).tolist() for n in range(20)]
    before = process_state()
    found = threads_of_a_pool(lambda n: model.predict(rows[n % 20 :]).tolist(), range(200))
    assert found == expected * 10
    assert process_state() == before
    assert len(np.unique(expected[0])) > 1


def test_predictions_do_not_wait_for_a_fit_of_another_thread():
    model = WeightedTorchRegressor(**SETTINGS).fit(X, NUMBERS)
    expected, found = model.predict(X).tolist(), []

    class Predicts(Callback):
        def on_epoch_end(self, net, **kwargs):
            with ThreadPoolExecutor(1) as pool:
                found.append(pool.submit(model.predict, X).result(timeout=30).tolist())

    WeightedTorchRegressor(**SETTINGS, callbacks=[Predicts()], n_members=1).fit(X, NUMBERS)
    assert found == [expected] * 5


def test_an_error_in_one_thread_leaves_the_fits_of_others_alone():
    expected = [lone(seed) for seed in range(N_THREADS)]

    def fit(seed):
        if seed % 2:
            return lone(seed)
        with pytest.raises(ZeroDivisionError):
            WeightedTorchClassifier(**SETTINGS, class_weight=lambda counts: 1 / 0).fit(X, LABELS)
        with pytest.raises(ZeroDivisionError):
            WeightedTorchClassifier(**SETTINGS, callbacks=[Divides()]).fit(X, LABELS)
        return lone(seed)

    assert threads_of_a_pool(fit, range(N_THREADS)) == expected
    assert fault.error is None


class Divides(Callback):
    def on_epoch_end(self, net, **kwargs):
        1 / 0
