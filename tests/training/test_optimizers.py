"""Optimizers: their steps see the current network, parameters and learning rate."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn

from skweight import WeightedTorchClassifier

QUICK = {
    "max_epochs": 5,
    "batch_size": 64,
    "lr": 0.05,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
MOMENTUM = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}


class Grows(nn.Module):
    """A linear model that may get a second part."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_features, n_outputs)
        self.second = None

    def forward(self, X):
        return self.first(X) if self.second is None else self.first(X) + self.second(X)


class InThirdEpoch(Callback):
    """Do something to the net at the beginning of the third epoch."""

    def __init__(self, what):
        self.what = what

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            self.what(net)


class HasBatchMethod(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


def grow(net):
    second = nn.Linear(8, 1)
    for parameter in second.parameters():
        nn.init.zeros_(parameter)
    net.module_.second = second
    net.optimizer_.add_param_group({"params": [*second.parameters()]})


def replace(net):
    net.module_ = copy.deepcopy(net.module_)
    net._initialize_optimizer()


@pytest.mark.parametrize("per_batch", [False, True])
def test_a_network_that_a_callback_replaces_is_trained_as_the_old_one_would_be(binary, per_batch):
    X, y, weight = binary
    callbacks = [HasBatchMethod()] * per_batch
    settings = QUICK | {"optimizer": torch.optim.SGD}
    plain = WeightedTorchClassifier(Grows, callbacks=callbacks, **settings).fit(X, y, weight)
    replaced = WeightedTorchClassifier(
        Grows, callbacks=[*callbacks, InThirdEpoch(replace)], **settings
    ).fit(X, y, weight)
    losses = plain.history_[:, "train_loss"]
    assert replaced.history_[:, "train_loss"] == losses and losses[-1] < losses[2]


@pytest.mark.parametrize("per_batch", [False, True])
def test_parameters_that_a_callback_adds_learn_from_one_batch_at_a_time(binary, per_batch):
    """Two equal parts with half the learning rate each move as one with all of it."""
    X, y, weight = binary
    halve = InThirdEpoch(lambda net: net.optimizer_.param_groups[0].update(lr=0.025))
    both = InThirdEpoch(lambda net: (grow(net), [g.update(lr=0.025) for g in groups(net)]))
    settings = QUICK | {"optimizer": torch.optim.SGD, "max_epochs": 6}
    others = [HasBatchMethod()] * per_batch
    two = WeightedTorchClassifier(Grows, callbacks=[*others, both], **settings).fit(X, y, weight)
    one = WeightedTorchClassifier(Grows, callbacks=others, **settings).fit(X, y, weight)
    slow = WeightedTorchClassifier(Grows, callbacks=[*others, halve], **settings)
    slow.fit(X, y, weight)
    assert_allclose(two.decision_function(X), one.decision_function(X), atol=1e-5)
    assert np.abs(slow.decision_function(X) - one.decision_function(X)).max() > 0.01


def groups(net):
    return net.optimizer_.param_groups


def test_an_optimizer_with_a_reset_of_its_own_is_asked_to_reset(binary):
    X, y, weight = binary
    resets = []

    class Resets(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            resets.append(set_to_none)
            super().zero_grad(set_to_none)

    plain = WeightedTorchClassifier(optimizer=torch.optim.SGD, **QUICK).fit(X, y, weight)
    found = WeightedTorchClassifier(optimizer=Resets, **QUICK).fit(X, y, weight)
    assert len(resets) == found.history_[:, "train_batch_count"][0] * 5
    assert_array_equal(found.predict_proba(X), plain.predict_proba(X))


class Strided(nn.Module):
    """Its weights lie in memory with gaps."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        start = torch.arange(2.0 * n_features * n_outputs).reshape(n_features, -1) / 50
        self.weight = nn.Parameter(start[:, ::2])

    def forward(self, X):
        return X @ self.weight


class Packed(Strided):
    """The same weights without gaps."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        self.weight = nn.Parameter(self.weight.detach().contiguous())


@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam, torch.optim.SGD])
def test_weights_that_lie_in_memory_with_gaps_learn_like_others(binary, optimizer):
    X, y, weight = binary
    strided, packed = (
        WeightedTorchClassifier(module, optimizer=optimizer, **QUICK).fit(X, y, weight)
        for module in (Strided, Packed)
    )
    assert not strided.module_.weight.is_contiguous() and packed.module_.weight.is_contiguous()
    assert_allclose(strided.predict_proba(X), packed.predict_proba(X), rtol=1e-4)
    start = Packed(8, 1).weight
    assert (packed.module_.weight - start).abs().max() > 0.1


class WakesUp(nn.Module):
    """A part of it takes part from the fourth training batch on."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.early, self.late = (nn.Linear(n_features, n_outputs) for _ in range(2))
        self.batches = 0

    def forward(self, X):
        self.batches += self.training
        return self.early(X) + (self.late(X) if self.batches > 3 else 0)


@pytest.mark.parametrize("settings", [MOMENTUM, {"optimizer": torch.optim.Adam}, {}])
def test_parameters_may_get_their_first_gradient_late(binary, settings):
    X, y, weight = binary
    model = WeightedTorchClassifier(WakesUp, **QUICK | settings).fit(X, y, weight)
    assert model.score(X, y) > 0.8 and model.module_.batches > 20


def test_complex_weights_are_learned(binary):
    X, y, weight = binary

    class Complex(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(n_features, n_outputs, dtype=torch.complex64))

        def forward(self, X):
            return (X.to(torch.complex64) @ self.weight).real

    model = WeightedTorchClassifier(Complex, **QUICK).fit(X, y, weight)
    losses = model.history_[:, "train_loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_adam_and_its_relatives_take_one_kernel_unless_told_otherwise(binary):
    X, y, weight = binary

    def fused(**settings):
        model = WeightedTorchClassifier(**QUICK | {"max_epochs": 1} | settings).fit(X, y, weight)
        return model.net_.optimizer_.param_groups[0].get("fused")

    assert fused() and fused(optimizer=torch.optim.Adam)
    assert not fused(optimizer__foreach=True) and fused(optimizer__fused=False) is False
    assert not fused(optimizer=torch.optim.SGD)


@pytest.mark.parametrize(
    ("params", "came"),
    [
        (
            {"optimizer__weight_decay": "0.1"},
            "a setting of AdamW, got '0.1'",
        ),
        ({"optimizer__weight_decay": -1}, "got -1: Invalid weight_decay value: -1"),
        ({"optimizer__betas": 0.9}, "a setting of AdamW, got 0.9"),
        ({"optimizer": torch.optim.SGD, "optimizer__momentum": -1}, "of SGD, got -1"),
        ({"optimizer": lambda params, lr: 1 / "a"}, "takes, got .*: TypeError"),
    ],
)
@pytest.mark.parametrize("n_members", [1, 3])
def test_settings_that_an_optimizer_does_not_take_are_named(binary, params, came, n_members):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK | params | {"n_members": n_members})
    with pytest.raises(ValueError, match=f"optimizer__.* must be .*{came}"):
        model.fit(X, y)
