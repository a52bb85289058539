"""A step that is recorded and replayed is the step; recordings are made anew where they must be.

A CPU plays the GPU: ``kernels`` records and replays what a CUDA graph would.
"""

from itertools import pairwise

import pytest
import torch
from helpers import (
    RecordedKernels,
    address,
    assert_same_steps,
    assert_same_tensors,
    assert_same_training,
    make_batches,
    network_with_spare_parameter,
    train_thirty_batches,
)
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.data import NamedInputs
from skweight.losses import CrossEntropy, RowLoss, weighted_mean
from skweight.training import ReplayedStep, TrainingStep, WeightedNet

QUICK = {"max_epochs": 8, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}


def kernels(module):
    """Make a ``record`` that changes nothing, and whose replays run no Python of the step."""

    def record(step):
        touched = [*module.state_dict().values()]
        touched += [p.grad for p in module.parameters() if p.grad is not None]
        before, random_state = [t.clone() for t in touched], torch.get_rng_state()
        with RecordedKernels() as recording:
            step()
        for tensor, value in zip(touched, before):
            tensor.detach().copy_(value)
        torch.set_rng_state(random_state)
        return recording.replay

    return record


def steps(module):
    """Make a ``record`` whose replays are the step itself."""
    return lambda step: step


def replayed(record):
    return lambda module, criterion: ReplayedStep(module, criterion, record(module))


# Replayed


class OfTwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.table = nn.Embedding(6, 2), nn.Linear(3, 2)

    def forward(self, tokens, table):
        return self.embedding(tokens).sum(1) + self.table(table)


def batches_of_two_inputs(n_batches):
    generator = torch.Generator().manual_seed(0)
    for _ in range(n_batches):
        inputs = {
            "tokens": torch.randint(6, (9, 4), generator=generator),
            "table": torch.randn(9, 3, generator=generator),
        }
        weight = torch.rand(9, generator=generator)
        yield {"X": NamedInputs(inputs), "row_weight": weight}, inputs["tokens"][:, 0] % 2


def test_a_replayed_step_copies_every_one_of_several_inputs():
    trained = []
    for make in (TrainingStep, replayed(kernels)):
        torch.manual_seed(0)
        module = OfTwoInputs()
        step = make(module, RowLoss(CrossEntropy()))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        losses = []
        for batch in batches_of_two_inputs(6):
            losses.append(step(batch)[0].item())
            optimizer.step()
        trained.append((losses, module))
    assert trained[0][0] == trained[1][0]
    assert len({*trained[0][0]}) == 6
    assert_same_tensors(*(module.state_dict() for _, module in trained))


def clipped(module):
    nn.utils.clip_grad_norm_(module.parameters(), 0.05)


def replaced(module):
    for parameter in module.parameters():
        parameter.grad = None if parameter.grad is None else parameter.grad.sign()


TRAININGS = {
    "plain": {},
    "dropout": {"between": [lambda: nn.Dropout(0.3)]},
    "batch_norm": {"between": [lambda: nn.BatchNorm1d(8)]},
    "both": {"between": [lambda: nn.BatchNorm1d(8), lambda: nn.Dropout(0.3)], "after": clipped},
    "clipped": {"after": clipped},
    "replaced": {"after": replaced},
    "momentum": {"optimizer": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})},
    "fused": {"optimizer": (torch.optim.AdamW, {"lr": 0.01, "fused": True})},
    "LBFGS": {"optimizer": (torch.optim.LBFGS, {"lr": 0.1, "max_iter": 4})},
}


@pytest.mark.parametrize("record", [steps, kernels])
@pytest.mark.parametrize("kind", TRAININGS)
def test_a_replayed_training_is_that_without_recordings_to_the_bit(kind, record):
    options = dict(TRAININGS[kind])
    between = options.pop("between", [])
    expected = train_thirty_batches(TrainingStep, *between, **options)
    assert_same_training(train_thirty_batches(replayed(record), *between, **options), expected)
    losses, weights = expected.losses, expected.weights
    assert losses[-1] < losses[0] and (weights[-1] - weights[0]).abs().max() > 0.1
    if kind == "batch_norm":
        assert expected.module[1].num_batches_tracked == 30
    if kind != "plain":
        assert not torch.equal(losses[-1], train_thirty_batches(TrainingStep).losses[-1])


# Which gradients there are when a step is recorded may be due to a step of another kind.
@pytest.mark.parametrize(
    "frozen",  # of every five batches the first two have one row more
    [
        pytest.param(range(15, 30), id="from_the_middle_on"),
        pytest.param(range(10, 20), id="for_a_while"),
        pytest.param(range(5, 10), id="before_a_recording"),
        pytest.param([*range(5, 10), *range(15, 20)], id="by_turns"),
    ],
)
def test_a_frozen_parameter_stays_as_it_is_and_moves_when_it_is_not_frozen(frozen):
    expected = train_thirty_batches(TrainingStep, frozen=frozen)
    assert_same_training(train_thirty_batches(replayed(kernels), frozen=frozen), expected)
    for i, (before, after) in enumerate(pairwise(expected.weights)):
        assert torch.equal(before, after) == (i in frozen), f"weights around batch {i}"


@pytest.mark.parametrize("record", [steps, kernels])
def test_a_step_is_recorded_at_the_third_batch_of_a_shape_and_once_for_each_shape(record):
    at, passed, calls = [], [], []

    def counted(module):
        def counting(step):
            at.append(len(passed))
            return record(module)(step)

        return counting

    module = network_with_spare_parameter()
    module.register_forward_hook(lambda *given: calls.append(given))
    step = replayed(counted)(module, RowLoss(CrossEntropy()))
    for batch in make_batches([7, 8, 8, 7, 7, 7, 8, 8, 9, 9, 7]):
        passed.append(step(batch))
    assert at == [4, 6]
    assert len(calls) == (8 if record is kernels else 11)  # a replay does not ask Python again


@pytest.mark.parametrize("record", [steps, kernels])
def test_losses_are_not_overwritten_by_the_next_step_and_outputs_hold_until_then(record):
    module = network_with_spare_parameter()
    step = replayed(record)(module, RowLoss(CrossEntropy()))
    results = []
    for batch in make_batches([7] * 8):
        loss, output = step(batch)
        assert not output.requires_grad
        results.append((loss, output.clone()))
    assert len({loss.item() for loss, _ in results}) == 8
    assert len({tuple(output.flatten().tolist()) for _, output in results}) == 8
    for (loss, output), (X, y) in zip(results, make_batches([7] * 8)):
        assert torch.equal(output, module(X["X"]))
        again = weighted_mean(RowLoss(CrossEntropy())(output, y), X["row_weight"])
        assert torch.equal(again, loss)


@pytest.mark.parametrize("dropped_from", [12, 6, 0])
def test_replays_find_gradients_where_the_recording_left_them(dropped_from):
    module = network_with_spare_parameter()
    step = replayed(kernels)(module, RowLoss(CrossEntropy()))
    places = {7: set(), 8: set()}
    for position, batch in enumerate(make_batches([7, 8] * 6)):
        step(batch)
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        assert len(gradients) == 4 and all(gradient.any() for gradient in gradients)
        if position >= 4:
            places[len(batch[1])].add(tuple(map(address, gradients)))
        if position >= dropped_from:
            module.zero_grad()
    assert [len(found) for found in places.values()] == [1, 1]


def record_in_fits(monkeypatch):
    """Let ``compile=True`` record on a CPU; return a list with an item for each recording."""
    recorded = []

    def make_step(net, n_steps):
        def record(step):
            recorded.append(n_steps)
            return kernels(net.module_)(step)

        if not net.compile:
            return TrainingStep(net.module_, net.criterion_)
        return ReplayedStep(net.module_, net.criterion_, record)

    monkeypatch.setattr(WeightedNet, "make_step", make_step)
    return recorded


def fits(model, data):
    """What a fit without and one with recordings lead to."""
    for compile in (False, True):
        model.set_params(compile=compile).fit(*data)
        losses = model.history_[
            :, [n for n in model.history_[0] if n in ("train_loss", "valid_loss")]
        ]
        yield losses, model.module_.state_dict()


def assert_recordings_change_no_fit(model, data):
    (losses, state), (expected_losses, expected) = fits(model, data)
    assert losses == expected_losses and len({*map(str, losses)}) == len(losses)
    assert_same_tensors(state, expected)


def module():
    between = nn.BatchNorm1d(16), nn.Dropout(0.5)
    return nn.Sequential(nn.Linear(8, 16), *between, nn.Linear(16, 1))


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_a_replayed_fit_is_the_fit_to_the_bit(estimator, binary, monkeypatch):
    recorded = record_in_fits(monkeypatch)
    clipping = [GradientNormClipping(0.1)]
    model = estimator(module(), early_stopping=True, callbacks=clipping, **QUICK)
    assert_recordings_change_no_fit(model, binary)
    assert recorded == [8 * 5] * 2  # one for each of two sizes


# Recorded anew


def to_device(module):
    """Put the parameters elsewhere, as other values, as an average of networks does."""
    for parameter in module.parameters():
        parameter.data = parameter.data * 0.9


def transposed(module):
    """Let the weight be read from the same memory in another order."""
    module[0].weight.data = module[0].weight.data.reshape(5, 8).t()


@pytest.mark.parametrize("move", [to_device, transposed])
@pytest.mark.parametrize("at", [3, 10, 20])
def test_a_step_is_recorded_anew_when_parameters_lie_elsewhere(at, move):
    def training_where_they_move(make):
        passed = []

        def after(module):
            passed.append(None)
            if len(passed) == at:
                move(module)

        return train_thirty_batches(make, after=after, optimizer=(torch.optim.SGD, {"lr": 0.1}))

    found, expected = map(training_where_they_move, (replayed(kernels), TrainingStep))
    assert_same_steps(found, expected)
    still = train_thirty_batches(TrainingStep, optimizer=(torch.optim.SGD, {"lr": 0.1}))
    assert not torch.equal(expected.weights[-1], still.weights[-1])


class AtThirdEpoch(Callback):
    def __init__(self, change):
        self.change = change

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            torch.manual_seed(0)
            self.change(net)


def new_layer(net):
    net.module_[0] = nn.Linear(8, 16)
    net.optimizer_ = torch.optim.SGD(net.module_.parameters(), lr=0.1)


def new_statistics(net):
    net.module_[1].running_mean = torch.ones(16)


def more_parameters(net):
    net.module_.append(nn.Linear(1, 1))
    net.optimizer_.add_param_group({"params": [*net.module_[-1].parameters()]})


def elsewhere(net):
    to_device(net.module_)


def frozen(net):
    net.module_[0].requires_grad_(False)


def nothing(net):
    pass


CHANGES = [frozen, elsewhere, new_layer, new_statistics, more_parameters]


@pytest.mark.parametrize("change", [nothing, *CHANGES])
def test_a_callback_may_change_the_network_between_two_epochs(change, binary, monkeypatch):
    recorded = record_in_fits(monkeypatch)
    model = WeightedTorchClassifier(
        module(), callbacks=[AtThirdEpoch(change)], early_stopping=False, **QUICK
    )
    assert_recordings_change_no_fit(model, binary)
    assert len(recorded) == 1 + (change is not nothing)


class Accumulates(torch.optim.SGD):
    """Reset gradients before every third step only."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.n_resets = 0

    def zero_grad(self, set_to_none=True):
        if self.n_resets % 3 == 0:
            super().zero_grad(set_to_none)
        self.n_resets += 1


def test_with_an_optimizer_that_resets_in_its_own_way_nothing_is_recorded(binary, monkeypatch):
    recorded = record_in_fits(monkeypatch)
    model = WeightedTorchClassifier(module(), optimizer=Accumulates, **QUICK)
    with pytest.warns(UserWarning, match="^compile=True has no effect: the optimizer") as warned:
        assert_recordings_change_no_fit(model, binary)
    assert len(warned) == 1 and not recorded
