"""Callbacks that skorch comes with do what they do in skorch, or are refused with a reason."""

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors, copy_of_state
from sklearn.metrics import d2_pinball_score, r2_score
from skorch import NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    Freezer,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    TrainEndCheckpoint,
    Unfreezer,
)
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

QUICK = {
    "max_epochs": 4,
    "batch_size": 64,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
# The last network is the best one, and the one that was scored.
SCORED = QUICK | {"max_epochs": 5, "ema_decay": 0, "early_stopping": True, "n_iter_no_change": 9}
ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]

# Scores


CRITERIA = {
    "squared_error": {},
    "absolute_error": {},
    "huber": {},
    "quantile": {"criterion__quantile": 0.8},
    "several quantiles": {"criterion": "quantile", "criterion__quantile": [0.1, 0.5, 0.9]},
    "poisson": {},
    "gamma": {},
    "gaussian_nll": {},
    "nn": {"criterion": nn.PoissonNLLLoss},
}


@pytest.mark.parametrize("n_targets", [0, 1, 2])
@pytest.mark.parametrize("name", CRITERIA)
def test_the_score_of_a_regressor_in_callbacks_is_that_of_the_estimator(
    name, n_targets, regression
):
    X, y, weight = regression
    y = np.exp(y / np.abs(y).max())  # positive
    if n_targets:
        y = np.column_stack([y, 100 * y[::-1]])[:, :n_targets]
    score = EpochScoring(None, lower_is_better=False)
    params = SCORED | {"criterion": name} | CRITERIA[name]
    model = WeightedTorchRegressor(callbacks=[score], **params)
    model.fit(X[100:], y[100:], weight[100:], X_val=X[:100], y_val=y[:100])
    best = np.argmin(model.history_[:, "valid_loss"])
    recorded = model.history_[int(best), "score"]
    assert recorded == pytest.approx(model.score(X[:100], y[:100]), rel=1e-4, abs=1e-5)
    assert len(set(model.history_[:, "score"])) == 5


def test_the_score_of_a_regressor_is_that_of_a_skorch_regressor(regression):
    X, y, weight = regression
    train = EpochScoring(None, name="train_score", on_train=True, lower_is_better=False)
    batches = BatchScoring(None, name="batch_score", lower_is_better=False)
    callbacks = [EpochScoring(None, lower_is_better=False), train, batches]
    params = SCORED | {"max_epochs": 1, "lr": 1e-9}  # the network stays as it is
    model = WeightedTorchRegressor(callbacks=callbacks, **params)
    model.fit(X[100:], y[100:], weight[100:], X_val=X[:100], y_val=y[:100])
    peer = NeuralNetRegressor(model.module_).initialize()
    standard = ((y - model.target_location_) / model.target_scale_).astype(np.float32)
    for rows, column in ((np.arange(100), "score"), (100 + np.flatnonzero(weight[100:]), None)):
        expected = peer.score(X[rows].astype(np.float32), standard[rows, None])
        found = model.history_[0, column or "train_score"]
        assert found == pytest.approx(expected, abs=1e-5)
        assert found == pytest.approx(r2_score(y[rows], model.predict(X[rows])), abs=1e-5)
    assert model.history_[0, "batch_score"] == model.history_[0, "score"]


def test_a_score_of_quantiles_is_that_of_their_levels(regression):
    X, y, _ = regression
    params = SCORED | {"criterion": "quantile", "criterion__quantile": [0.2, 0.8]}
    model = WeightedTorchRegressor(callbacks=[EpochScoring(None)], **params).fit(X, y)
    net, standard = model.net_, (y - model.target_location_) / model.target_scale_
    predicted = net.predict(X.astype(np.float32))[:, 0]
    levels = [d2_pinball_score(standard, f, alpha=a) for f, a in zip(predicted.T, (0.2, 0.8))]
    assert net.score(X.astype(np.float32), standard) == pytest.approx(np.mean(levels))
    assert net.score(X, standard, np.arange(420)) != net.score(X, standard)


def mean_score(net, X, y):
    """A score that a user writes: the mean of the first output."""
    return float(np.reshape(net.predict_proba(X), (len(y), -1))[:, 0].mean())


@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", mean_score, None])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_batch_may_be_scored_by_a_prediction_of_its_own(kind, scoring, binary):
    callbacks = [
        BatchScoring(scoring, name="cached", use_caching=True),
        BatchScoring(scoring, name="predicted", use_caching=False),
    ]
    params = QUICK | {"early_stopping": True, "module__dropout": 0.3}
    history = kind(callbacks=callbacks, **params).fit(*binary).history_
    np.testing.assert_allclose(history[:, "predicted"], history[:, "cached"], rtol=1e-5)
    assert len(set(history[:, "cached"])) > 1
    plain = kind(**params).fit(*binary).history_
    assert history[:, "valid_loss"] == plain[:, "valid_loss"]


class Predicts(Callback):
    """Record the mean prediction for each batch after its step."""

    def on_batch_end(self, net, batch, training, **kwargs):
        if training:
            X = batch[0]["X"].numpy()
            net.history.record_batch("by_hand", mean_score(net, X, X))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_training_batch_without_caching_is_scored_after_its_step(kind, binary):
    scores = [
        BatchScoring(mean_score, name=name, on_train=True, use_caching=name == "cached")
        for name in ("cached", "predicted")
    ]
    model = kind(callbacks=[*scores, Predicts()], early_stopping=False, **QUICK).fit(*binary)
    cached, predicted, by_hand = np.transpose(
        model.history_[-1, "batches", :, ("cached", "predicted", "by_hand")]
    )
    np.testing.assert_array_equal(predicted, by_hand)
    assert np.abs(predicted - cached).min() > 1e-6


class OwnScoring(EpochScoring):
    pass


REFUSED = {
    "EpochScoring": EpochScoring("r2", use_caching=False),
    "OwnScoring": OwnScoring("r2", use_caching=False),
    "InputShapeSetter": InputShapeSetter(),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_callback_that_cannot_work_is_refused_by_name(kind, name, binary):
    reason = "is not supported, .*n_features" if name == "InputShapeSetter" else "must have use_cac"
    with pytest.raises(ValueError, match=rf"^callbacks: {name} {reason}"):
        kind(callbacks=[REFUSED[name]], **QUICK).fit(*binary)


# Other callbacks


class Begins(Callback):
    """Keep the parameters with which the training began."""

    def on_train_begin(self, net, **kwargs):
        self.state_ = copy_of_state(net.module_)


def fit_and_compare(kind, rows, *callbacks, **params):
    """Fit with callbacks; return the model and which of its parameters have changed."""
    params = QUICK | {"ema_decay": 0, "early_stopping": False} | params
    model = kind(callbacks=[*callbacks, ("begins", Begins())], **params).fit(*rows)
    state = dict(model.net_.callbacks_)["begins"].state_
    changed = {n: not torch.equal(p, state[n]) for n, p in model.module_.named_parameters()}
    assert len(changed) > 4
    return model, changed


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_parameters_are_frozen_and_unfrozen(kind, early_stopping, binary):
    params = {"early_stopping": early_stopping, "lr": 0.002}  # the last epoch is the best one
    _, changed = fit_and_compare(kind, binary, Freezer("*.bias"), **params)
    assert all(changed[name] != name.endswith("bias") for name in changed)
    later = Unfreezer("*.bias", at=3)
    assert all(fit_and_compare(kind, binary, Freezer("*.bias"), later, **params)[1].values())


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_parameters_are_set_before_the_first_epoch_or_a_later_one(kind, binary):
    still = {"lr": 1e-9}
    initial = Initializer("*.weight", fn=nn.init.zeros_)
    mapped = ParamMapper("*.weight", at=4, fn=lambda parameter: parameter.data.zero_())
    for callback in (initial, mapped):
        model, _ = fit_and_compare(kind, binary, callback, **still)
        weights = [p for name, p in model.module_.named_parameters() if name.endswith("weight")]
        assert max(float(weight.detach().abs().max()) for weight in weights) < 1e-6
        losses = model.history_[:, "train_loss"]
        assert (abs(losses[3] - losses[2]) > 1e-4) == (callback is mapped)


@pytest.mark.parametrize("checkpoint", [Checkpoint, TrainEndCheckpoint])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_training_continues_from_a_checkpoint(kind, checkpoint, binary, tmp_path):
    saved = checkpoint(dirname=tmp_path, **{"monitor": None} if checkpoint is Checkpoint else {})
    params = QUICK | {"ema_decay": 0, "early_stopping": False}
    callbacks = [saved, LoadInitState(saved), ("begins", Begins())]
    first = kind(callbacks=callbacks, **params).fit(*binary)
    state = copy_of_state(first.module_)
    second = kind(callbacks=callbacks, **params | {"random_state": 5}).fit(*binary)
    assert (
        second.n_iter_ == 8 and second.history_[:4, "train_loss"] == first.history_[:, "train_loss"]
    )
    assert_same_tensors(dict(second.net_.callbacks_)["begins"].state_, state)
    assert second.history_[7, "train_loss"] < first.history_[3, "train_loss"]


def test_a_loss_of_the_batches_may_be_passed_through(binary):
    through = PassthroughScoring("train_loss", on_train=True)
    found = WeightedTorchClassifier(callbacks=[through], **QUICK).fit(*binary).history_
    expected = WeightedTorchClassifier(**QUICK).fit(*binary).history_
    assert found[:, "train_loss"] == pytest.approx(expected[:, "train_loss"])
    assert found[:, "train_loss_best"] == expected[:, "train_loss_best"]


def test_a_learning_rate_may_change_after_every_batch(binary):
    policy = {"policy": torch.optim.lr_scheduler.OneCycleLR, "max_lr": 0.1, "total_steps": 99}
    schedule = LRScheduler(step_every="batch", event_name="lr", **policy)
    model = WeightedTorchClassifier(callbacks=[schedule], early_stopping=False, **QUICK)
    rates = np.ravel(model.fit(*binary).history_[:, "batches", :, "lr"])
    expected = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9), 0.1, 99
    )
    for rate in rates:
        assert rate == pytest.approx(expected.get_last_lr()[0])
        expected.optimizer.step()
        expected.step()
    assert len(rates) == 4 * model.history_[0, "train_batch_count"]
