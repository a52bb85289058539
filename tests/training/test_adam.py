"""Adam by its kernel makes the steps of torch's own optimizers, and exchanges states with them."""

import warnings
from functools import partial

import pytest
import torch
from helpers import assert_same_tensors
from torch import nn

from skweight import WeightedTorchRegressor
from skweight.training import fused_adam, with_kernel

KINDS = {"AdamW": torch.optim.AdamW, "Adam": torch.optim.Adam}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def parameters():
    """Parameters of several sizes, always the same."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(64, 20), (64,), (1, 7), (1,)]
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def groups_of(tensors):
    """Two groups with settings of their own, and one with the default ones."""
    return [
        {"params": tensors[:1], "weight_decay": 0.5, "lr": 0.1},
        {"params": tensors[1:2], "betas": (0.5, 0.9), "eps": 1e-3},
        {"params": tensors[2:]},
    ]


def run(optimizer, tensors, n_steps, first=0):
    """Steps with gradients that depend on the number of the step; one is missing at times."""
    for number in range(first, first + n_steps):
        generator = torch.Generator().manual_seed(number)

        def closure(generator=generator, number=number):
            for tensor in tensors:
                tensor.grad = torch.randn(tensor.shape, generator=generator)
            if number % 3 == 1:
                tensors[3].grad = None
            return torch.zeros(())

        optimizer.step(closure)


def by_number(tensors):
    return {str(number): tensor.detach() for number, tensor in enumerate(tensors)}


@each_kind
@pytest.mark.parametrize("settings", [{}, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.9)}])
def test_steps_are_those_of_torch(kind, settings):
    own, expected = parameters(), parameters()
    run(fused_adam(kind, (groups_of(own),), {"fused": True, **settings}), own, 9)
    run(kind(groups_of(expected), fused=True, **settings), expected, 9)
    assert_same_tensors(by_number(own), by_number(expected))
    around = parameters()
    optimizer = kind(groups_of(around), fused=True, **settings)
    for first in (0, 5):  # made anew, with the state of the optimizer
        run(with_kernel(optimizer), around, 5 - first // 5, first)
    assert_same_tensors(by_number(around), by_number(expected))
    assert optimizer.state[around[0]]["step"] == 9 and optimizer.state[around[3]]["step"] == 6


@each_kind
@pytest.mark.parametrize("own_first", [True, False])
def test_a_state_can_be_continued_by_either(kind, own_first):
    def make(tensors, own):
        if own:
            return fused_adam(kind, (groups_of(tensors),), {"fused": True})
        return kind(groups_of(tensors), fused=True)

    tensors, expected = parameters(), parameters()
    run(kind(groups_of(expected), fused=True), expected, 10)
    first = make(tensors, own_first)
    run(first, tensors, 4)
    second = make(tensors, not own_first)
    second.load_state_dict(first.state_dict())
    run(second, tensors, 6, first=4)
    assert_same_tensors(by_number(tensors), by_number(expected))


def test_optimizers_that_do_more_than_the_kernel_stay_as_they_are():
    tensors = parameters()
    for optimizer in (
        torch.optim.AdamW(tensors),
        torch.optim.AdamW(tensors, fused=True, amsgrad=True),
        torch.optim.AdamW(tensors, fused=True, maximize=True),
        torch.optim.AdamW(tensors, fused=True, lr=torch.tensor(0.1)),
        torch.optim.SGD(tensors, lr=0.1),
        type("Own", (torch.optim.AdamW,), {})(tensors, fused=True),
    ):
        assert with_kernel(optimizer) is optimizer
    hooked = torch.optim.AdamW(tensors, fused=True)
    hooked.register_step_post_hook(lambda *args: None)
    assert with_kernel(hooked) is hooked
    assert with_kernel(torch.optim.AdamW(tensors, fused=True)) is not None


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.AdamW, {}),
        (torch.optim.AdamW, {"fused": True, "amsgrad": True}),
        (torch.optim.AdamW, {"fused": True, "betas": (1.5, 0.9)}),
        (torch.optim.AdamW, {"fused": True, "lr": -1.0}),
        (torch.optim.AdamW, {"fused": True, "momentum": 0.9}),
        (torch.optim.SGD, {"fused": True}),
        (lambda params, **settings: torch.optim.AdamW(params, **settings), {"fused": True}),
    ],
)
def test_what_torch_must_decide_about_is_left_to_it(kind, settings):
    assert fused_adam(kind, (groups_of(parameters()),), settings) is None


def test_keywords_of_a_partial_count():
    tensors, expected = parameters(), parameters()
    kind = partial(torch.optim.AdamW, betas=(0.5, 0.6))
    run(fused_adam(kind, (groups_of(tensors),), {"fused": True}), tensors, 3)
    run(kind(groups_of(expected), fused=True), expected, 3)
    assert_same_tensors(by_number(tensors), by_number(expected))


def test_bad_settings_get_the_errors_of_torch(regression):
    X, y, _ = regression
    with pytest.raises(ValueError, match="Invalid beta parameter"):
        WeightedTorchRegressor(optimizer__betas=(1.5, 0.9), device="cpu").fit(X, y)


def test_schedules_do_not_warn_that_no_step_was_made():
    tensors = parameters()
    optimizer = torch.optim.AdamW(tensors, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(with_kernel(optimizer), tensors, 1)
        schedule.step()
    assert optimizer.param_groups[0]["lr"] < 1e-3
