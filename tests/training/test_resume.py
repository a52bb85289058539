"""What one ``partial_fit`` hands to the next: schedules, learning rates, classes seen late.

The laws of ``partial_fit`` are in ``test_partial_fit.py``.
"""

import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, LRScheduler
from torch.optim import lr_scheduler

from skweight import WeightedTorchClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 4))
y = (X[:, 0] + 0.5 * rng.normal(size=3000) > 0).astype(int)


def test_a_class_that_the_first_rows_lack_is_learned_with_default_settings():
    model = WeightedTorchClassifier(random_state=0)
    zeros = np.flatnonzero(y == 0)[:100]
    model.partial_fit(X[zeros], y[zeros], classes=[0, 1])
    for start in range(0, 2000, 100):
        model.partial_fit(X[start : start + 100], y[start : start + 100])
    assert model.score(X, y) > 0.75
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), abs=0.15)


def test_a_label_that_the_first_rows_lack_is_learned_with_default_settings():
    labels = np.stack([y, X[:, 1] > 0], axis=1).astype(int)
    first = np.flatnonzero(labels[:, 0] == 0)[:100]
    model = WeightedTorchClassifier(random_state=0).partial_fit(X[first], labels[first])
    for start in range(0, 2000, 100):
        model.partial_fit(X[start : start + 100], labels[start : start + 100])
    assert (model.predict(X) == labels).mean(axis=0).min() > 0.75


class Fails(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("in a callback")


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_leaves_the_records_of_those_before_it(fails):
    model = scheduled("StepLR", {"step_size": 2})
    for _ in range(2):
        model.partial_fit(X, y, classes=[0, 1])
    epochs = [dict(epoch) for epoch in model.history_]
    assert all(len(epoch["batches"]) > 1 for epoch in epochs)
    model.set_params(callbacks=[Fails()] if fails else None)
    with pytest.raises(RuntimeError, match="in a callback") if fails else nullcontext():
        model.partial_fit(X, y)
    assert list(model.history_)[:2] == epochs
    assert fails or model.history_[2]["batches"] == []
    assert len(model.history_) == 3 - fails


class Rates(Callback):
    """The learning rate of every batch."""

    def on_batch_begin(self, net, training, **kwargs):
        net.history.record_batch("rate", net.optimizer_.param_groups[0]["lr"])


SCHEDULES = [
    ("StepLR", {"step_size": 2, "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 5}),
    ("LinearLR", {"total_iters": 3}),
    ("LambdaLR", {}),
    ("ReduceLROnPlateau", {"monitor": "train_loss", "patience": 0, "threshold": 10.0}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "step_every": "batch"}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 40, "step_every": "batch"}),
]


def scheduled(policy, params, **settings):
    params = params | ({"lr_lambda": inverse} if policy == "LambdaLR" else {})
    return WeightedTorchClassifier(
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=50,
        callbacks=[LRScheduler(getattr(lr_scheduler, policy), **params), Rates()],
        random_state=0,
        **settings,
    )


def inverse(epoch):
    return 1 / (1 + epoch)


def rates_of(model):
    return [batch["rate"] for epoch in model.history_ for batch in epoch["batches"]]


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(("policy", "params"), SCHEDULES, ids=[name for name, _ in SCHEDULES])
def test_a_schedule_continues_from_call_to_call_as_from_epoch_to_epoch(policy, params, pickled):
    whole = scheduled(policy, params, max_epochs=5, early_stopping=False)
    expected = rates_of(whole.fit(X[:200], y[:200]))
    model = scheduled(policy, params)
    for _ in range(5):
        model.partial_fit(X[:200], y[:200], classes=[0, 1])
        model = pickle.loads(pickle.dumps(model)) if pickled else model
    assert len(set(expected)) > 1
    np.testing.assert_allclose(rates_of(model), expected, rtol=1e-12)


def test_learning_rates_that_are_set_between_calls_take_effect():
    model = WeightedTorchClassifier(lr=0.01, callbacks=[Rates()], random_state=0)
    model.partial_fit(X, y, classes=[0, 1])
    model.set_params(lr=0.5).partial_fit(X, y)
    assert rates_of(model)[0] == 0.01 and rates_of(model)[-1] == 0.5
    held = [("output*", {"lr": 0.0})]
    before = model.module_.output.weight.clone()
    model.set_params(optimizer__param_groups=held).partial_fit(X, y)
    assert torch.equal(model.module_.output.weight, before)
    held = [("hidden.0*", {"lr": 0.0}), ("output*", {"lr": 0.1})]
    model.set_params(optimizer__param_groups=held).partial_fit(X, y)
    assert not torch.equal(model.module_.output.weight, before)


def test_partial_fit_continues_after_a_fit_that_a_callback_stopped_at_once():
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    model = WeightedTorchClassifier(callbacks=[Stop()], random_state=0).fit(X, y)
    assert model.n_iter_ == 1
    assert model.set_params(callbacks=None).partial_fit(X, y).n_iter_ == 2


def test_rows_that_weigh_next_to_nothing_change_next_to_nothing():
    for weighting in ("loss", "sampling"):
        model = WeightedTorchClassifier(
            weighting=weighting, optimizer=torch.optim.SGD, random_state=0
        ).partial_fit(X, y, classes=[0, 1])
        before = model.predict_proba(X)
        model.partial_fit(X, y, sample_weight=np.full(3000, 1e-50))
        np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([], "^classes must be a list of at least two"),
        ([0], "^classes must be a list of at least two"),
        ([[0, 1], [1, 0]], "^classes must be a list of at least two"),
        (2, "^classes must be a list of at least two classes, got 2"),
        (
            [0, 1, 1],
            "^classes must hold each class once, got 3 .* 2 values. Sample weights are passed",
        ),
        (
            np.linspace(0, 1, 3000),
            r"^classes \(sample weights are passed as sample_weight=\) must hold labels",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_list_of_classes_is_refused(classes, match):
    model = WeightedTorchClassifier()
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y, classes)
    assert not hasattr(model, "net_")


def test_a_logit_adjustment_of_a_fit_is_not_forgotten_in_partial_fit_after_it():
    model = WeightedTorchClassifier(logit_adjustment=1.0, max_epochs=2).fit(X, y)
    with pytest.raises(ValueError, match=r"logit_adjustment was 1\.0, got 0\.0"):
        model.set_params(logit_adjustment=0.0).partial_fit(X, y)
