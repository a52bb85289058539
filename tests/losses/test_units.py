"""Location and scale of y, and what is found out about a loss that is given y itself.

Whole fits in other units of y are in ``tests/test_units_of_y.py``.
"""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.nn import functional as F

from skweight.losses import REGRESSOR_CRITERIA as NAMES
from skweight.losses import (
    CriterionError,
    RowLoss,
    from_criterion,
    mean_and_deviation,
    quantile_and_deviation,
)

rng = np.random.default_rng(0)
Y = torch.from_numpy(rng.gamma(2.0, 1.5, 4000) - 1)
WEIGHT = torch.from_numpy(rng.exponential(size=4000))
ONES = torch.ones_like(Y)


# Location and scale


def test_moments_are_weighted():
    mean, deviation = mean_and_deviation(Y, WEIGHT)
    assert mean == pytest.approx(np.average(Y, weights=WEIGHT))
    assert deviation == pytest.approx(np.sqrt(np.average((Y - mean) ** 2, weights=WEIGHT)))


def test_the_robust_deviation_of_normal_numbers_is_their_standard_deviation():
    normal = torch.from_numpy(np.random.default_rng(1).normal(5, 3, 100_000))
    location, deviation = quantile_and_deviation(normal, torch.ones_like(normal))
    assert location == pytest.approx(5, abs=0.05)
    assert deviation == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("size", [1e2, 1e6, 1e12])
def test_outliers_do_not_move_quantile_and_robust_deviation(size):
    spoiled = Y.clone()
    spoiled[::100] += size
    before, after = (quantile_and_deviation(y, ONES) for y in (Y, spoiled))
    assert_allclose(after, before, rtol=0.05)
    assert mean_and_deviation(spoiled, ONES)[1] > 4 * mean_and_deviation(Y, ONES)[1]


def test_integer_weights_are_copies_for_both():
    counts = torch.from_numpy(rng.integers(0, 4, 4000)).double()
    copies = Y.repeat_interleave(counts.long())
    for learn in (mean_and_deviation, quantile_and_deviation):
        assert_allclose(learn(Y, counts), learn(copies, torch.ones_like(copies)), rtol=1e-12)


def test_where_quartiles_are_equal_the_other_rows_tell_the_scale():
    y = torch.zeros(1000, dtype=torch.float64)
    y[:200] = torch.linspace(8, 12, 200)
    y[0] = 1e9
    location, deviation = quantile_and_deviation(y, torch.ones(1000, dtype=torch.float64))
    assert location == 0
    assert deviation == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1 + 0.2, 1e300, -1e-300])
def test_a_constant_has_scale_1(value):
    y = torch.full((50,), value, dtype=torch.float64)
    y[7] = math.nextafter(value, math.inf) if abs(value) > 1e-10 else value
    for learn in (mean_and_deviation, quantile_and_deviation):
        location, deviation = learn(y, torch.ones(50, dtype=torch.float64))
        assert location == pytest.approx(value)
        assert deviation == 1


def test_the_largest_outlier_stays_a_float32():
    y = Y.clone()
    y[3] = 1e300
    location, deviation = quantile_and_deviation(y, ONES)
    assert np.isfinite(np.float32((1e300 - location) / deviation))


# A loss of y itself


def log_cosh(output, target):
    return torch.log(torch.cosh(output - target))


def expectile(output, target):
    error = target - output
    return torch.where(error > 0, 0.9, 0.1) * error**2


def pinball(output, target):
    return torch.maximum(0.9 * (target - output), 0.1 * (output - target))


def relative(output, target):
    return (output - target).abs() / (target.abs() + 1)


def log_poisson(output, target):
    return output.exp() - target * output


def squared_log(output, target):
    return (output - torch.log1p(target)) ** 2


def thousandths(output, target):
    return (1000 * output - target) ** 2


def logistic(output, target):
    return F.binary_cross_entropy_with_logits(output, target, reduction="none")


def learned(criterion, y=Y, weight=ONES):
    loss: RowLoss = from_criterion(criterion, {}, NAMES)
    assert loss.compares_with_y
    loss.learn_units(y, weight, torch.zeros(5, 1 if y.ndim == 1 else y.shape[1]))
    return loss


LOCATION_LOSSES = [log_cosh, expectile, pinball, relative, nn.HuberLoss, nn.SmoothL1Loss]


@pytest.mark.parametrize("criterion", LOCATION_LOSSES)
def test_a_loss_that_is_least_at_y_has_no_link_of_its_own(criterion):
    loss = learned(criterion)
    assert not loss.has_own_link
    assert 0.5 < loss.scale.item() < 3
    assert not loss.start.any()


def squares_of_exp(output, target):
    return (output.exp() - target) ** 2


def log_gamma(output, target):
    return output + target * (-output).exp()


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6, 1.0, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("criterion", [log_poisson, squares_of_exp, log_gamma])
def test_a_log_link_is_found_for_numbers_of_every_size(criterion, size):
    # exp(y) is infinite in float64 for thousands, and of tiny y nearly the same for all.
    y = size * (Y + 2)
    loss = learned(criterion, y)
    assert loss.has_own_link
    assert loss.start.item() == pytest.approx(math.log(y.mean()), abs=1e-6)


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0, 1e3, 1e9])
@pytest.mark.parametrize("zeros", [0.0, 0.9])
def test_losses_with_a_log_link_are_measured_by_that_of_the_best_constant(size, zeros):
    y = (Y + 2) * (torch.from_numpy(np.random.default_rng(0).random(4000)) >= zeros)
    units = [learned(log_poisson, part, WEIGHT).loss_unit.item() for part in (y, size * y)]
    assert units[0] > 0
    assert units[1] == pytest.approx(size * units[0], rel=1e-5)
    if not zeros:  # the Poisson deviance of the mean
        mean = float(WEIGHT @ y / WEIGHT.sum())
        deviance = WEIGHT @ (y * (y / mean).log() - y + mean) / WEIGHT.sum()
        assert units[0] == pytest.approx(deviance.item(), rel=1e-6)


def test_a_constant_y_leaves_losses_with_a_log_link_as_they_are():
    assert learned(log_poisson, 0 * Y + 7).loss_unit == 1


@pytest.mark.parametrize(
    ("criterion", "link"),
    [
        (log_poisson, np.log),
        (squared_log, np.log),
        (thousandths, lambda mean: 0 * mean),
        (logistic, lambda mean: np.log(mean / (1 - mean))),
        (nn.BCEWithLogitsLoss, lambda mean: np.log(mean / (1 - mean))),
    ],
)
def test_a_loss_with_a_link_of_its_own_gets_raw_scores_from_a_sensible_start(criterion, link):
    rate = torch.from_numpy(np.random.default_rng(0).random(4000)) ** 2
    y = rate if "ogi" in repr(criterion) else rate * 30
    loss = learned(criterion, y)
    assert loss.has_own_link
    assert (loss.location.item(), loss.scale.item()) == (0, 1)
    assert loss.start.item() == pytest.approx(link(y.mean().item()), rel=1e-6)
    raw = torch.randn(5, 1, dtype=torch.float64)
    assert torch.equal(loss.predictions(raw), raw)


def test_squared_errors_are_scaled_by_moments_and_absolute_ones_by_quantiles():
    squared = learned(lambda output, target: (output - target) ** 2)
    assert_allclose((squared.location.item(), squared.scale.item()), mean_and_deviation(Y, ONES))
    absolute = learned(lambda output, target: (output - target).abs())
    expected = quantile_and_deviation(Y, ONES)
    assert_allclose((absolute.location.item(), absolute.scale.item()), expected)
    high = learned(pinball)
    assert high.location.item() == pytest.approx(np.quantile(Y, 0.9), abs=0.2)


@pytest.mark.parametrize("criterion", LOCATION_LOSSES)
def test_losses_are_measured_by_an_error_of_one_scale(criterion):
    loss = learned(criterion)
    errors = torch.tensor([[1.0], [-1.0]])
    y = loss.in_units_of_y(torch.zeros(2, 1))
    found = loss(errors, y).mean()
    assert 0.3 < found < 3
    assert found.dtype == torch.float32


@pytest.mark.parametrize("unit", [1e-20, 1e-6, 1.0, 1e6, 1e20])
@pytest.mark.parametrize("criterion", [expectile, pinball, nn.MSELoss(reduction="none").forward])
def test_neither_losses_nor_gradients_depend_on_the_unit_of_y(criterion, unit):
    losses = []
    for scale in (1.0, unit):
        loss = learned(criterion, Y * scale)
        output = torch.linspace(-2, 2, 9).reshape(9, 1).requires_grad_()
        found = loss(output, Y[:9] * scale)
        (slope,) = torch.autograd.grad(found.sum(), output)
        losses += [found.detach(), slope]
    assert losses[1].abs().max() > 0.1
    assert_allclose(losses[2], losses[0], rtol=1e-6)
    assert_allclose(losses[3], losses[1], rtol=1e-6)


def test_every_target_has_its_own_units():
    y = torch.stack([Y, 1e6 * Y + 7, 1e-6 * Y], dim=1)
    loss = learned(nn.HuberLoss, y)
    ratio = loss.scale / loss.scale[0]
    assert_allclose(ratio, [1, 1e6, 1e-6], rtol=0.3)
    output = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss(output, y[:9]).sum().backward()
    size = output.grad.abs().mean(0)
    assert size.max() < 4 * size.min()


def test_a_loss_of_all_targets_together_has_one_unit():
    y = torch.stack([Y, 10 * Y], dim=1)
    loss = learned(lambda output, target: ((output - target) ** 2).sum(1), y)
    assert loss.loss_unit.shape == ()
    assert loss(torch.zeros(9, 2), y[:9]).shape == (9,)


def test_y_reaches_the_loss_to_its_last_digit():
    seen = []

    def spy(output, target):
        seen.append(target)
        return (output - target) ** 2

    y = (1e9 + Y).double()
    learned(spy, y)(torch.zeros(9, 1), y[:9])
    assert torch.equal(seen[-1][:, 0], y[:9])


def test_parameters_of_a_loss_work_in_float64_too():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Parameter(torch.eye(2))

        def forward(self, output, target):
            return (((output - target) @ self.mix) ** 2).mean(1)

    loss = learned(Mixed, torch.stack([Y, 2 * Y], dim=1))
    assert loss(torch.zeros(9, 2), torch.zeros(9, 2)).isfinite().all()


def test_a_loss_whose_own_tensors_are_float32_is_told_so():
    importance = torch.tensor([1.0, 2.0])
    y = torch.stack([Y, 2 * Y], dim=1)
    for criterion in (
        lambda output, target: (output - target) ** 2 @ importance,
        lambda output, target: torch.einsum("nk,k->n", (output - target).abs(), importance),
        lambda output, target: F.linear((output - target) ** 2, importance[None])[:, 0],
    ):
        with pytest.raises(CriterionError, match=r"failed on .*float64.*weight\.to\(output\)"):
            learned(criterion, y)
    mended = learned(lambda output, target: (output - target) ** 2 @ importance.to(output), y)
    assert mended.scale[1] == 2 * mended.scale[0]


def test_units_are_learned_once_and_those_of_an_earlier_fit_are_kept():
    first = learned(nn.HuberLoss)
    before = first.location.clone(), first.scale.clone(), first.loss_unit.clone()
    first.learn_units(1000 * Y, ONES, torch.zeros(5, 1))
    assert all(map(torch.equal, before, (first.location, first.scale, first.loss_unit)))
    second = from_criterion(nn.SmoothL1Loss, {}, NAMES)
    second.keep_units_of(first)
    second.learn_units(1000 * Y, ONES, torch.zeros(5, 1))
    assert all(map(torch.equal, before[:2], (second.location, second.scale)))
    own_link = from_criterion(log_poisson, {}, NAMES)
    own_link.keep_units_of(first)
    with pytest.raises(ValueError, match=r"warm_start=True .* log_poisson"):
        own_link.learn_units(Y + 1, ONES, torch.zeros(5, 1))


def test_means_that_may_not_be_negative_start_from_the_mean():
    counts = torch.from_numpy(rng.poisson(3.0, 4000)).double()
    loss = learned(nn.PoissonNLLLoss(log_input=False, reduction="none"), counts)
    assert loss.location.item() == 0
    assert loss.scale.item() == pytest.approx(counts.mean().item())
    assert loss.start.item() == pytest.approx(1)
    none = learned(nn.PoissonNLLLoss(log_input=False, reduction="none"), 0 * counts)
    assert (none.scale.item(), none.start.item()) == (1, 0)


def test_the_start_under_huber_loss_is_its_minimum():
    for delta in (0.1, 1.0, 100.0):
        loss = NAMES["huber"](delta)
        start = loss.constant(Y, WEIGHT)
        around = start + torch.tensor([-1e-3, 0.0, 1e-3]).double()
        values = [(WEIGHT * loss(value.expand_as(Y), Y)).sum() for value in around]
        assert values[1] < min(values[0], values[2])
