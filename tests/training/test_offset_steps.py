"""Every kind of step adds the offset to the output: eager, direct, compiled, recorded, stacked."""

import numpy as np
import pytest
import torch
from helpers import RecordedKernels, assert_same_tensors
from torch import nn

import skweight.training.net as net_of_training
from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.data import RowDataset, TensorBatches
from skweight.estimators import FitData, plan
from skweight.losses import CrossEntropy, RowLoss, weighted_mean
from skweight.stacks import train_together
from skweight.training import (
    CompiledStep,
    NotDirect,
    ReplayedStep,
    TrainingStep,
    compiled_losses,
    train,
)

rng = np.random.default_rng(0)
N_ROWS = 303
X = rng.normal(size=(N_ROWS, 5)).astype(np.float32)
OFFSET = 0.5 * X[:, 1] + rng.normal(size=N_ROWS)
SIGNAL = X[:, 0] + OFFSET + rng.normal(size=N_ROWS)
Y = (SIGNAL > 0.5).astype(int)
CLASSES = np.digitize(SIGNAL, [-0.5, 1.0])
LABELS = np.c_[Y, X[:, 2] > OFFSET].astype(int)
COUNT = rng.poisson(np.exp(0.3 * SIGNAL)).astype(float)
WEIGHT = rng.integers(1, 4, N_ROWS)
QUICK = {
    "batch_size": 32,
    "max_epochs": 5,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
STOPPING = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 20, "lr": 0.03}


def squared(output, target):
    """A user's loss of numbers in units of y."""
    return (output - target) ** 2


CASES = {
    "binary": (Y, OFFSET, {}),
    "binary by sampling": (Y, OFFSET, {"weighting": "sampling"}),
    "binary stopping": (Y, OFFSET, STOPPING),
    "binary adjusted": (Y, OFFSET, {"logit_adjustment": 1.0}),
    "focal": (Y, OFFSET, {"criterion": "focal"}),
    "of torch": (Y, OFFSET, {"criterion": nn.CrossEntropyLoss}),
    "two columns": (
        Y,
        OFFSET,
        {"module": nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))},
    ),
    "classes": (CLASSES, np.c_[OFFSET, -OFFSET, X[:, 3]], STOPPING),
    "labels": (LABELS, np.c_[OFFSET, -OFFSET], {}),
    "weighted labels": (LABELS, np.c_[OFFSET, -OFFSET], {"class_weight": "balanced"}),
    "poisson": (COUNT, OFFSET, {"criterion": "poisson"}),
    "poisson stopping": (COUNT, OFFSET, {"criterion": "poisson", "ema_decay": 0.9, **STOPPING}),
    "two gammas": (
        np.c_[COUNT, COUNT**2] + 1,
        np.c_[OFFSET, -OFFSET],
        {"criterion": "gamma"},
    ),
    "own": (COUNT, OFFSET, {"criterion": squared, **STOPPING}),
    "poisson of torch": (COUNT, OFFSET, {"criterion": nn.PoissonNLLLoss}),
    "residuals": (COUNT, OFFSET, {"criterion": "huber"}),
}
each_case = pytest.mark.parametrize("case", CASES)


def make(case, **params):
    """An estimator for a case, its y and its offset."""
    y, offset, settings = CASES[case]
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
    return kind(**QUICK | settings | params), y, offset


def predicted(model, offset):
    return getattr(model, "predict_proba", model.predict)(X, offset=offset)


@each_case
def test_a_direct_step_has_the_bits_of_autograd(case, monkeypatch):
    def refuse(*args):
        raise NotDirect("it is the reference")

    direct, y, offset = make(case)
    direct.fit(X, y, WEIGHT, offset=offset)
    assert direct.net_.step_ == "direct"
    monkeypatch.setattr(net_of_training, "direct_step", refuse)
    monkeypatch.setattr(net_of_training, "fused_adam", lambda *args: None)
    monkeypatch.setattr(net_of_training, "with_kernel", lambda optimizer: optimizer)
    eager, *_ = make(case)
    eager.fit(X, y, WEIGHT, offset=offset)
    assert eager.net_.step_.startswith("autograd")
    assert_same_tensors(direct.module_.state_dict(), eager.module_.state_dict())
    for name in ("train_loss", "valid_loss"):
        losses = [[epoch.get(name) for epoch in model.history_] for model in (direct, eager)]
        assert losses[0] == losses[1]
    other = make(case)[0].fit(X, y, WEIGHT, offset=0 * offset)
    assert np.abs(predicted(other, offset) - predicted(direct, offset)).max() > 1e-3


def plans(case, **params):
    """Plans with other weights, seeds and offsets."""
    for number in range(3):
        model, y, offset = make(case, **params | {"random_state": number})
        weight = np.roll(WEIGHT, number)
        yield plan(model, FitData(X, y, weight, offset=offset * (1 + number))).training


@each_case
def test_a_stack_trains_the_networks_that_single_fits_do(case):
    singly = [train(training) for training in plans(case)]
    for single, outcome in zip(singly, train_together([*plans(case)]), strict=True):
        assert outcome.stacked
        assert_same_tensors(outcome.net.module_.state_dict(), single.module_.state_dict())
        histories = single.history, outcome.net.history
        valid, losses = (
            [[epoch.get(name) for epoch in history] for history in histories]
            for name in ("valid_loss", "train_loss")
        )
        assert valid[0] == valid[1]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    states = [net.module_.state_dict() for net in singly]
    assert any(not torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values()))


class Squeezing(nn.Module):
    """A network of scores without a column, which has a forward of its own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, X):
        return self.layers(X).squeeze()


@pytest.mark.parametrize("case", ["binary", "poisson", "own"])
def test_scores_without_a_column_have_their_offset(case):
    own, y, offset = make(case, module=Squeezing())
    plain, *_ = make(case, module=Squeezing().layers)
    for name, parameter in own.module.layers.named_parameters():
        parameter.data.copy_(plain.module.get_parameter(name).data)
    found, expected = (m.fit(X, y, WEIGHT, offset=offset) for m in (own, plain))
    np.testing.assert_allclose(predicted(found, offset), predicted(expected, offset), rtol=1e-4)
    singly = [train(training) for training in plans(case, module=own.module)]
    outcomes = train_together([*plans(case, module=own.module)])
    for single, outcome in zip(singly, outcomes, strict=True):
        assert_same_tensors(outcome.net.module_.state_dict(), single.module_.state_dict())


def batches(sizes):
    """Random batches with offsets."""
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        X = torch.randn(size, 5, generator=generator)
        offset = torch.randn(size, 1, generator=generator)
        weight = torch.rand(size, generator=generator) * 2
        y = (X[:, :1] + offset > 0).long()[:, 0]
        yield {"X": X, "row_weight": weight, "offset": offset}, y


def recorded(module):
    """Make a ``record`` that changes nothing, and whose replays run no Python of the step."""

    def record(step):
        touched = [*module.state_dict().values()]
        touched += [p.grad for p in module.parameters() if p.grad is not None]
        before = [tensor.clone() for tensor in touched]
        with RecordedKernels() as recording:
            step()
        for tensor, value in zip(touched, before):
            tensor.detach().copy_(value)
        return recording.replay

    return record


def test_a_replayed_step_copies_the_offsets_of_each_batch():
    trained = []
    for is_replayed in (True, False):
        torch.manual_seed(0)
        module, criterion = nn.Linear(5, 1), RowLoss(CrossEntropy())
        step = TrainingStep(module, criterion)
        if is_replayed:
            step = ReplayedStep(module, criterion, recorded(module))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
        steps = []
        for batch in batches([9] * 6):
            steps += [part.clone() for part in step(batch)]
            optimizer.step()
        trained.append({**module.state_dict(), **dict(enumerate(steps))})
    assert_same_tensors(*trained)


def test_a_step_returns_the_output_with_its_offset():
    module, criterion = nn.Linear(5, 1), RowLoss(CrossEntropy())
    (rows, y), *_ = batches([9])
    loss, output = TrainingStep(module, criterion)((rows, y))
    expected = module(rows["X"]) + rows["offset"]
    assert torch.equal(output, expected)
    assert loss == weighted_mean(criterion(expected, y), rows["row_weight"])


def test_batches_have_the_offsets_of_their_rows():
    index, y = np.arange(10)[::-1].copy(), np.arange(10.0)
    offset = np.c_[y, -y]
    table, device = torch.arange(10.0)[:, None], torch.device("cpu")
    rows = RowDataset(table, index, y, np.ones(10), device, offset)
    found = [*TensorBatches(rows, 3, shuffle=True, seed=0)]
    assert len(found) == 4
    for batch, target in found:
        assert torch.equal(batch["offset"], torch.stack([target, -target], dim=1))
        assert torch.equal(9 - batch["X"][:, 0], target.float())
    without = RowDataset(table, index, y, np.ones(10), device)
    assert "offset" not in next(iter(TensorBatches(without, 3)))[0]


@pytest.mark.parametrize("case", ["binary", "poisson"])
def test_a_recorded_fit_is_the_eager_one(case, monkeypatch):
    """As on a GPU, with steps that are replayed."""
    eager, y, offset = make(case, max_epochs=8)

    def make_step(module, criterion, *args):
        return ReplayedStep(module, criterion, lambda step: step)

    eager.fit(X, y, WEIGHT, offset=offset)
    monkeypatch.setattr(net_of_training, "make_step", make_step)
    replayed, *_ = make(case, max_epochs=8, compile=True)
    replayed.fit(X, y, WEIGHT, offset=offset)
    for name, tensor in replayed.module_.state_dict().items():
        np.testing.assert_allclose(tensor, eager.module_.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_compiled_step_hands_the_offset_to_what_is_compiled(monkeypatch):
    monkeypatch.setattr("torch.compile", lambda function: function)
    compiled_losses.cache_clear()
    module, criterion = nn.Linear(5, 1), RowLoss(CrossEntropy())
    (batch,) = batches([9])
    expected = [*TrainingStep(module, criterion)(batch), module.weight.grad.clone()]
    step = CompiledStep(module, criterion)
    found = [*step(batch), module.weight.grad]
    compiled_losses.cache_clear()
    assert step.compiled is not None
    assert all(map(torch.equal, found, expected))
