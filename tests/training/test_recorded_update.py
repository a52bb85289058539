"""Optimizer and average in a recorded step: the same training as outside of it.

A CPU plays the GPU: ``RecordedKernels`` records and replays what a CUDA graph would.
"""

import pytest
import torch
from helpers import RecordedKernels, assert_same_tensors
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.training import (
    ReplayedStep,
    TrainingStep,
    WeightAverage,
    WeightedNet,
    recorded_update,
)

QUICK = {"max_epochs": 6, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}


def state_of(net):
    """All tensors that a step changes: a recording changes none of them."""
    fit = net.fit_state_
    states = [value for of in net.optimizer_.state.values() for value in of.values()]
    averages = [] if fit.average is None else fit.average._stored
    gradients = [p.grad for p in net.module_.parameters() if p.grad is not None]
    return [*net.module_.state_dict().values(), *gradients, *states, *averages]


@pytest.fixture
def recordings(monkeypatch):
    """Let ``compile=True`` record on a CPU, with torch's optimizer as on a GPU."""
    made = []

    def make_step(net, n_steps):
        def record(step):
            touched = state_of(net)
            before, random_state = [t.clone() for t in touched], torch.get_rng_state()
            with RecordedKernels() as recording:
                step()
            for tensor, value in zip(touched, before, strict=True):
                tensor.detach().copy_(value)
            torch.set_rng_state(random_state)
            names = [function.__name__ for function, *_ in recording.launches]
            made.append(any("fused_adam" in name for name in names))
            return recording.replay

        if not net.compile:
            return TrainingStep(net.module_, net.criterion_)
        return ReplayedStep(net.module_, net.criterion_, record)

    monkeypatch.setattr(WeightedNet, "make_step", make_step)
    monkeypatch.setattr("skweight.training.net.fused_adam", lambda *args: None)
    monkeypatch.setattr("skweight.training.net.with_kernel", lambda optimizer: optimizer)
    return made


def assert_recordings_change_no_fit(model, data):
    found = []
    for compile in (False, True):
        model.set_params(compile=compile).fit(*data)
        optimizer = model.net_.optimizer_
        assert not any(group.get("capturable") for group in optimizer.param_groups)
        states = [tensor for of in optimizer.state.values() for tensor in of.values()]
        losses = [{k: v for k, v in row.items() if "loss" in k} for row in model.history_]
        found.append((losses, model.module_.state_dict(), states))
    (losses, module, states), (its_losses, its_module, its_states) = found
    assert losses == its_losses
    assert_same_tensors(module, its_module)
    assert all(map(torch.equal, states, its_states))


@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_updates_in_a_recording_are_those_outside_of_it(
    estimator, early_stopping, optimizer, binary, recordings
):
    module = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    model = estimator(module, early_stopping=early_stopping, optimizer=optimizer, **QUICK)
    assert_recordings_change_no_fit(model, binary)
    assert recordings and all(recordings)


class Watches(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(parameter.grad is not None for _, parameter in named_parameters)


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [LRScheduler("StepLR", step_size=2, gamma=0.5)]},
        {"callbacks": [Watches]},
        {"optimizer": torch.optim.SGD},
        {"optimizer__fused": False},
        {"optimizer__differentiable": False, "optimizer": torch.optim.RMSprop},
    ],
    ids=["schedule", "gradients watched", "another optimizer", "not fused", "rmsprop"],
)
def test_what_a_graph_would_freeze_stays_outside(params, binary, recordings):
    model = WeightedTorchClassifier(nn.Linear(8, 1), early_stopping=True, **QUICK | params)
    assert_recordings_change_no_fit(model, binary)
    assert recordings and not any(recordings)


def test_partial_fits_go_on_after_recorded_updates(binary, recordings):
    module = nn.Linear(8, 1)
    models = [
        WeightedTorchClassifier(module, compile=compile, **QUICK | {"batch_size": 20})
        for compile in (False, True)
    ]
    X, y, weight = binary
    for model in models:
        for _ in range(3):
            model.partial_fit(X, y, [0, 1], weight)
    assert recordings and all(recordings)
    assert_same_tensors(*(model.module_.state_dict() for model in models))


def averaged(update_of, dtype):
    """The average after 200 steps, which has then had the share of ``decay``."""
    generator = torch.Generator().manual_seed(0)
    parameter = nn.Parameter(torch.zeros(50, dtype=dtype))
    optimizer = torch.optim.AdamW([parameter], lr=0.01, fused=True)
    average = WeightAverage([parameter], 0.99)
    update = update_of(optimizer, average)
    for _ in range(200):
        parameter.grad = torch.randn(50, generator=generator, dtype=dtype)
        update()
    average.apply()
    return {"average": parameter.detach().clone(), "parameters": average._stored[0]}


def outside(optimizer, average):
    def update():
        optimizer.step()
        average.update()

    return update


def recorded(optimizer, average):
    update = recorded_update(optimizer, average)

    def prepared():
        update.prepare()
        update()

    return prepared


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_share_in_a_tensor_moves_the_average_by_the_same_bits(dtype):
    found, expected = averaged(recorded, dtype), averaged(outside, dtype)
    assert_same_tensors(found, expected)
    assert (found["average"] - found["parameters"]).abs().max() > 1e-3


@pytest.mark.parametrize("capturable", [False, True])
def test_the_optimizer_is_left_as_the_user_made_it(capturable):
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "capturable": capturable}]
    optimizer = torch.optim.AdamW(groups, fused=True)
    update = recorded_update(optimizer, None)
    assert all(group["capturable"] for group in optimizer.param_groups)
    update.release()
    assert [group["capturable"] for group in optimizer.param_groups] == [False, capturable]
