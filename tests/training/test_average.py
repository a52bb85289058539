"""The average of the parameters along a training: what it is, when it is seen, what it leaves."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.training import WeightAverage, resolve_ema_decay

ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]
QUICK = {"module__hidden_sizes": (8,), "lr": 0.01, "random_state": 0, "device": "cpu"}
STEPS = {"max_epochs": 5, "batch_size": 50, "early_stopping": False}


class Parameters(Callback):
    """What the network is after each step, at the ends of epochs and at their beginnings."""

    def __init__(self):
        self.steps, self.ends, self.begins = [], [], []

    def __sklearn_clone__(self):
        return self  # a fit works with copies of its callbacks

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.steps.append(flat(net.module_))

    def on_epoch_begin(self, net, **kwargs):
        self.begins.append(flat(net.module_))

    def on_epoch_end(self, net, **kwargs):
        self.ends.append(flat(net.module_))


def flat(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.fixture
def seen(binary):
    """A fit with an average, and what a callback saw of it."""
    spy = Parameters()
    model = WeightedTorchClassifier(ema_decay=0.8, callbacks=[spy], **QUICK, **STEPS)
    return model.fit(*binary), spy


def check_average(model, spy, decay):
    """It is the recursion, written out."""
    average = spy.begins[0].double()
    for t, parameters in enumerate(spy.steps, start=1):
        d = min(decay, (1 + t) / (10 + t))
        average = d * average + (1 - d) * parameters.double()
    torch.testing.assert_close(flat(model.module_).double(), average, rtol=1e-5, atol=1e-6)


def test_it_is_the_recursion_written_by_hand(seen):
    model, spy = seen
    assert len(spy.steps) >= 35  # from there on the decay is 0.8
    check_average(model, spy, 0.8)
    assert (flat(model.module_) - spy.steps[-1]).abs().max() > 1e-3


def test_it_is_seen_between_epochs_and_steps_continue_from_the_parameters(seen, binary):
    _, spy = seen
    n_steps = len(spy.steps) // 5
    for epoch in range(1, 5):
        assert torch.equal(spy.begins[epoch], spy.steps[epoch * n_steps - 1])
        assert not torch.equal(spy.ends[epoch - 1], spy.begins[epoch])
    without = WeightedTorchClassifier(ema_decay=0, **QUICK, **STEPS).fit(*binary)
    assert torch.equal(spy.steps[-1], flat(without.module_))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_validation_loss_and_the_kept_state_are_those_of_the_average(estimator, binary):
    X, y, weight = binary
    settings = QUICK | {"max_epochs": 8, "batch_size": 50, "tol": 0.0}
    validation = {"X_val": X[:100], "y_val": y[:100], "sample_weight_val": weight[:100] + 1.0}
    fit = (X[100:], y[100:], weight[100:])
    model = estimator(early_stopping=True, **settings).fit(*fit, **validation)
    plain = estimator(early_stopping=True, ema_decay=0, **settings).fit(*fit, **validation)
    assert model.history_[:, "train_loss"] == plain.history_[:, "train_loss"]
    assert model.history_[:, "valid_loss"] != plain.history_[:, "valid_loss"]
    best = int(np.argmin(model.history_[:, "valid_loss"])) + 1
    again = estimator(early_stopping=False, ema_decay=0.99, **settings | {"max_epochs": best})
    assert_array_equal(again.fit(*fit).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("given", "early_stopping", "found"),
    [("auto", True, 0.99), ("auto", False, 0.0), (0, True, 0.0), (0.5, False, 0.5)],
)
def test_by_default_what_is_validated_is_averaged(given, early_stopping, found):
    assert resolve_ema_decay(given, early_stopping) == found


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_zero_is_no_average_and_auto_none_without_early_stopping(estimator, binary):
    zero, auto = (
        estimator(ema_decay=decay, **QUICK, **STEPS).fit(*binary) for decay in (0, "auto")
    )
    assert_array_equal(zero.predict(binary[0]), auto.predict(binary[0]))
    averaged = estimator(ema_decay=0.99, **QUICK, **STEPS).fit(*binary)
    assert (flat(averaged.module_) - flat(zero.module_)).abs().max() > 1e-4


class Interrupts(Callback):
    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == 3:
            raise KeyboardInterrupt


def test_after_a_stop_within_an_epoch_the_network_is_the_average_so_far(binary):
    spy = Parameters()
    model = WeightedTorchClassifier(
        ema_decay=0.999, callbacks=[spy, Interrupts()], **QUICK | STEPS | {"lr": 0.1}
    )
    model.fit(*binary)
    assert model.n_iter_ == 3
    check_average(model, spy, 0.999)
    assert (flat(model.module_) - spy.steps[-1]).abs().max() > 0.01
    assert model.net_.fit_state_ is None


def test_parameters_that_join_begin_as_their_own_average():
    first, second = torch.zeros(2), torch.ones(3)
    average = WeightAverage([first], 0.9)
    first += 1
    average.update()
    kept = first - 2 / 11
    average.track([first, second])
    average.update()
    average.apply()
    torch.testing.assert_close(first, kept + (1 - kept) * (1 - 3 / 12))
    assert torch.equal(second, torch.ones(3))
    average.restore()
    assert torch.equal(first, torch.ones(2))


def test_nothing_of_it_is_kept_in_a_pickle(binary):
    averaged, plain = (
        WeightedTorchClassifier(ema_decay=decay, **QUICK, **STEPS).fit(*binary)
        for decay in (0.9, 0)
    )
    sizes = [len(pickle.dumps(model)) for model in (averaged, plain)]
    assert abs(sizes[0] - sizes[1]) < 500
    again = pickle.loads(pickle.dumps(averaged))
    assert_array_equal(again.predict_proba(binary[0]), averaged.predict_proba(binary[0]))


def test_a_warm_start_continues_from_the_average(binary):
    model = WeightedTorchClassifier(ema_decay=0.99, warm_start=True, **QUICK, **STEPS)
    before = copy.deepcopy(model.fit(*binary).module_)
    model.set_params(lr=1e-12).fit(*binary)
    torch.testing.assert_close(flat(model.module_), flat(before), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_partial_fit_has_no_average(estimator, binary):
    first = {"classes": [0, 1]} if estimator is WeightedTorchClassifier else {}
    with pytest.raises(AttributeError) as caught:
        estimator(ema_decay=0.9, **QUICK).partial_fit(*binary[:2])
    assert re.search(r'ema_decay="auto" or 0.*got 0\.9', str(caught.value.__cause__))
    models = [
        estimator(ema_decay=d, **QUICK).partial_fit(*binary[:2], **first) for d in (0, "auto")
    ]
    assert_array_equal(*(model.predict(binary[0]) for model in models))
