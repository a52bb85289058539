"""Losses of batches and their gradients are those of autograd, by a short formula or without."""

import pytest
import torch
from torch import nn

from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    formula_of_one_column,
    from_criterion,
    gradient_formula,
    loss_and_gradient,
    means_of_batches,
    slopes_of_batches,
    weighted_mean,
)

N = 11
DRAW = torch.Generator().manual_seed(0)
WEIGHT = torch.rand(N, generator=DRAW) * 3
OFFSET = torch.randn(N, 1, generator=DRAW)
LABELS = torch.arange(N) % 2
NUMBERS = torch.rand(N, generator=DRAW) + 0.1


def scores(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * 2


def of_classes(name, **params):
    return from_criterion(name, params, CLASSIFIER_CRITERIA)


def of_numbers(name, **params):
    return from_criterion(name, params, REGRESSOR_CRITERIA)


def adjusted(loss):
    loss.adjust(torch.tensor([-1.5, -0.25], dtype=torch.float64))
    return loss


# A loss, scores, a target, and whether its gradient has a formula.
CASES = {
    "binary": (of_classes("cross_entropy"), scores(N, 1), LABELS, True),
    "adjusted": (adjusted(of_classes("cross_entropy")), scores(N, 1), LABELS, True),
    "smoothed": (of_classes("cross_entropy", label_smoothing=0.1), scores(N, 1), LABELS, False),
    "focal": (of_classes("focal"), scores(N, 1), LABELS, False),
    "three classes": (of_classes("cross_entropy"), scores(N, 3), torch.arange(N) % 3, False),
    "squared error": (of_numbers("squared_error"), scores(N, 1), NUMBERS, True),
    "of two columns": (
        of_numbers("squared_error"),
        scores(N, 2),
        torch.stack([NUMBERS, -NUMBERS], 1),
        False,
    ),
    "without columns": (of_numbers("squared_error"), scores(N), NUMBERS, False),
    "poisson": (of_numbers("poisson"), scores(N, 1), NUMBERS, False),
    "huber": (of_numbers("huber"), scores(N, 1), NUMBERS, False),
    "of torch": (of_numbers(nn.MSELoss), scores(N, 1), NUMBERS, False),
}


def by_autograd(criterion, output, target, offset):
    """The weighted mean loss of rows, divided by their number, and its gradient."""
    output = output.clone().requires_grad_()
    raw = output if offset is None else output + offset.reshape(offset.shape[: output.ndim])
    loss = (criterion(raw, target) * WEIGHT).sum() / N
    return loss.detach(), *torch.autograd.grad(loss, output)


@pytest.mark.parametrize("offset", [None, OFFSET], ids=["plain", "offset"])
@pytest.mark.parametrize("name", CASES)
def test_the_loss_and_the_gradient_are_those_of_autograd(name, offset):
    criterion, output, target, has_formula = CASES[name]
    if offset is not None and (output.shape != (N, 1) or name == "of torch"):
        offset = None if output.ndim == 1 else OFFSET.expand(output.shape).contiguous()
    before = output.clone()
    assert (gradient_formula(criterion, output, WEIGHT) is not None) == has_formula
    loss, gradient = loss_and_gradient(criterion, output, target, WEIGHT, offset)
    expected = by_autograd(criterion, output, target, offset)
    torch.testing.assert_close((loss, gradient), expected, rtol=1e-6, atol=1e-7)
    assert gradient.abs().min() > 0 and gradient.shape == output.shape
    assert not loss.requires_grad and not gradient.requires_grad
    torch.testing.assert_close(output, before, rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[-1]])
def test_a_formula_has_the_bits_of_autograd(name):
    criterion, output, target, _ = CASES[name]
    tracked = output.clone().requires_grad_()
    loss = weighted_mean(criterion(tracked, target), WEIGHT)
    (expected,) = torch.autograd.grad(loss, tracked)
    found = loss_and_gradient(criterion, output, target, WEIGHT)
    assert torch.equal(found[0], loss) and torch.equal(found[1], expected)


def test_there_is_no_formula_for_weights_of_labels_nor_for_other_losses():
    criterion = of_classes("cross_entropy")
    assert gradient_formula(criterion, scores(N, 1), WEIGHT) is not None
    assert gradient_formula(criterion, scores(N, 1), WEIGHT[:, None]) is None
    assert gradient_formula(criterion, scores(N, 1, 1), WEIGHT) is None
    assert formula_of_one_column(of_classes("poly_tailed")) is None
    assert formula_of_one_column(of_numbers("absolute_error")) is None


def test_an_output_on_which_the_loss_does_not_depend_has_a_gradient_of_zero():
    constant = from_criterion(
        lambda output, target: torch.ones_like(target).requires_grad_(), {}, REGRESSOR_CRITERIA
    )
    loss, gradient = loss_and_gradient(constant, scores(N, 1), NUMBERS, WEIGHT)
    assert loss == pytest.approx(float(WEIGHT.mean())) and gradient.shape == (N, 1)
    assert not gradient.any()


@pytest.mark.parametrize("shape", [(), (4,)], ids=["one network", "a stack"])
@pytest.mark.parametrize("sizes", [[3, 3, 3, 2], [11], [4, 4, 3], [2, 5, 2, 2]], ids=str)
def test_means_and_slopes_of_batches_are_those_of_each_batch(shape, sizes):
    losses, weight = scores(*shape, N).exp(), (scores(*shape, N) + 0.5).abs()
    means, slopes = means_of_batches(losses, weight, sizes), slopes_of_batches(weight, sizes)
    assert means.shape == (*shape, len(sizes)) and slopes.shape == (*shape, N)
    batches = zip(*(part.split(sizes, -1) for part in (losses, weight, slopes)), strict=True)
    for number, (loss, of_rows, slope) in enumerate(batches):
        n_rows = loss.shape[-1]
        torch.testing.assert_close(means[..., number], (loss * of_rows).sum(-1) / n_rows)
        torch.testing.assert_close(slope, of_rows / n_rows)
