"""Losses of numbers: values, gradients, constants and predictions.

Values are compared with scipy, scikit-learn and formulas in numpy, derivatives with finite
differences, constants with what minimises the loss. Parameters are in ``test_classification.py``.
"""

import numpy as np
import torch
from helpers import assert_finite_but_not_flat, assert_gradients_are_right, each_loss
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import huber
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss, mean_tweedie_deviance

from skweight.losses import (
    AbsoluteError,
    GammaDeviance,
    GaussianNLL,
    Huber,
    PoissonDeviance,
    Quantile,
    SquaredError,
    TweedieDeviance,
    weighted_mean,
)

RNG = np.random.default_rng(0)
LOGITS = torch.from_numpy(RNG.normal(scale=3, size=(7, 4)))
Y = torch.from_numpy(RNG.gamma(2, size=(7, 2)))
MASS = torch.from_numpy(RNG.exponential(size=7))

ZERO_TARGETS = [PoissonDeviance(), TweedieDeviance(1.2), TweedieDeviance(1.9)]
LOG_LINKS = [*ZERO_TARGETS, GammaDeviance(), TweedieDeviance(3)]
LEVELS = [0.9, 0.1, 0.5]
QUANTILES = [Quantile(0.3), Quantile([0.3]), Quantile(LEVELS)]
SMOOTH = [SquaredError(), GaussianNLL(), *LOG_LINKS]
TARGET_LOSSES = [AbsoluteError(), Huber(0.7), *QUANTILES, *SMOOTH]


def output_shape(loss, n_rows=7, n_targets=2):
    return (n_rows, n_targets) + ((loss.traits.n_columns,) if loss.traits.n_columns > 1 else ())


def raw_scores(loss):
    return torch.from_numpy(RNG.normal(size=output_shape(loss)))


def test_losses_of_residuals_are_those_of_scipy_and_numpy():
    output = Y + torch.from_numpy(RNG.normal(size=(7, 2)))
    residual = (Y - output).numpy()
    assert 0 < (np.abs(residual) > 0.7).sum() < 14
    assert_allclose(SquaredError()(output, Y), residual**2, rtol=1e-12)
    assert_allclose(AbsoluteError()(output, Y), np.abs(residual), rtol=1e-12)
    assert_allclose(Huber(0.7)(output, Y), huber(0.7, residual), rtol=1e-12)
    assert_array_equal(Huber()(output, Y), Huber(1)(output, Y))


def test_pinball_loss_is_that_of_sklearn_averaged_over_the_levels():
    output = Y[:, :1, None] + torch.from_numpy(RNG.normal(size=(7, 1, 3)))
    expected = [
        np.mean([mean_pinball_loss(y, z[:, j], alpha=q) for j, q in enumerate(LEVELS)])
        for y, z in zip(Y[:, :1].numpy(), output.numpy())
    ]
    assert np.std(expected) > 0.05
    assert_allclose(Quantile(LEVELS)(output, Y[:, :1])[:, 0], expected, rtol=1e-12)
    alone = [Quantile(q)(output[..., j], Y[:, :1]) for j, q in enumerate(LEVELS)]
    assert_allclose(sum(alone)[:, 0] / 3, expected, rtol=1e-12)


@each_loss(*LOG_LINKS)
def test_deviances_are_half_of_those_of_sklearn(loss):
    z, y = RNG.normal(size=(2, 6))
    y = np.exp(y)
    y[:2] *= loss not in ZERO_TARGETS
    pairs = zip(y, np.exp(z))
    expected = [mean_tweedie_deviance([a], [b], power=loss.power) / 2 for a, b in pairs]
    assert min(expected) > 0
    assert_allclose(loss(torch.tensor(z), torch.tensor(y)), expected, rtol=1e-10)
    assert_allclose(loss(torch.tensor(y[2:]).log(), torch.tensor(y[2:])), 0, atol=1e-14)


def test_a_tweedie_deviance_of_power_1_and_2_is_that_of_poisson_and_gamma():
    z = raw_scores(SquaredError())
    poisson = torch.exp(z) - Y * z + torch.xlogy(Y, Y) - Y
    gamma = Y * torch.exp(-z) + z - Y.log() - 1
    assert (poisson - gamma).abs().max() > 0.1
    for power, loss, expected in [(1, ZERO_TARGETS[0], poisson), (2, LOG_LINKS[3], gamma)]:
        assert_allclose(loss(z, Y), expected, rtol=1e-10)
        assert_array_equal(TweedieDeviance(power)(z, Y), loss(z, Y))
        assert_allclose(TweedieDeviance(power + 1e-9)(z, Y), expected, rtol=1e-6)


def test_gaussian_loss_is_the_negative_log_density_without_its_constant():
    loss, scores = GaussianNLL(), raw_scores(GaussianNLL())
    spread = loss.spread(scores).numpy()
    assert_allclose(spread**2, np.log1p(np.exp(scores[..., 1].numpy())) + 1e-6, rtol=1e-12)
    density = norm.logpdf(Y.numpy(), scores[..., 0].numpy(), spread)
    assert_allclose(loss(scores, Y), -density - np.log(2 * np.pi) / 2, rtol=1e-10)


@each_loss(*TARGET_LOSSES)
def test_gradients_are_those_of_finite_differences_and_can_be_stacked(loss):
    assert_gradients_are_right(loss, raw_scores(loss), Y)


@each_loss(*TARGET_LOSSES)
def test_losses_and_gradients_are_finite_far_out_in_float32(loss):
    for far in (12.0, -12.0) if loss in LOG_LINKS else (1000.0, -1000.0):
        assert_finite_but_not_flat(loss, torch.full(output_shape(loss), far), Y.float())


@each_loss(*ZERO_TARGETS)
def test_a_target_of_0_has_no_loss_and_no_gradient_at_a_mean_of_0(loss):
    z = torch.tensor([-1000.0, 0.0], requires_grad=True)
    value = loss(z, torch.zeros(2))
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert_allclose(value.detach(), [0, 1 / (2 - loss.power)], rtol=1e-6, atol=1e-40)
    assert_allclose(gradient, [0, 1], atol=1e-40)


def objective(loss, scores):
    return weighted_mean(loss(scores.expand(output_shape(loss, 7, 1)), Y[:, :1])[:, 0], MASS)


@each_loss(*SMOOTH)
def test_the_constant_is_a_minimum_of_the_weighted_loss(loss):
    scores = loss.constant(Y[:, 0], MASS).requires_grad_()
    assert (scores.shape, scores.dtype) == ((loss.traits.n_columns,), torch.float64)
    (gradient,) = torch.autograd.grad(objective(loss, scores), scores)
    assert_allclose(gradient, 0, atol=1e-12)
    for step in 0.05 * torch.from_numpy(RNG.normal(size=(50, loss.traits.n_columns))):
        assert objective(loss, scores + step) > objective(loss, scores)


@each_loss(AbsoluteError(), *QUANTILES)
def test_the_constant_of_quantiles_has_the_smallest_weighted_loss_of_all_targets(loss):
    constant = loss.constant(Y[:, 0], MASS)
    assert constant.shape == (loss.traits.n_columns,)
    for j in range(loss.traits.n_columns):
        trials = constant.repeat(7, 1)
        trials[:, j] = Y[:, 0]
        assert Y[np.argmin([objective(loss, trial) for trial in trials]), 0] == constant[j]


def test_the_constant_of_quantiles_is_the_smallest_value_that_reaches_the_level():
    y, mass = torch.tensor([[3.0, 1.0, 2.0, 5.0], [2.0, 3.0, 1.0, 4.0]]).double()
    levels = [0.5, 0.05, 0.3, 0.31, 0.6, 0.61, 0.99]
    expected = np.quantile(np.repeat(y.numpy(), mass.int()), levels, method="inverted_cdf")
    assert_array_equal(expected, [3, 1, 1, 2, 3, 5, 5])
    for unit in (1, 0.1, 1 / 3, 7e5):
        assert_array_equal(Quantile(levels).constant(y, mass * unit), expected)
    assert_array_equal(Huber().constant(y, mass), [3])


def test_the_constant_of_quantiles_knows_neither_order_nor_rows_without_mass():
    y, loss = torch.from_numpy(RNG.integers(0, 5, 200)).double(), Quantile(LEVELS)
    mass = torch.from_numpy(RNG.exponential(size=200))
    constant = loss.constant(y, mass)
    for _ in range(20):
        order = RNG.permutation(200)
        assert_array_equal(loss.constant(y[order], mass[order]), constant)
    nothing = torch.linspace(-9, 9, 50).double()
    padded = torch.cat([nothing, y]), torch.cat([0 * nothing, mass])
    assert_array_equal(loss.constant(*padded), constant)
    assert loss.constant(y, mass * (y > 2)).min() > 2 > constant.min()


def test_constants_of_degenerate_targets_are_finite():
    zeros, mass = torch.zeros(4).double(), torch.ones(4).double()
    assert 0 < ZERO_TARGETS[0].constant(zeros, mass).float().exp() < 1e-30
    scores = GaussianNLL().constant(zeros + 3, mass)
    assert scores[0] == 3
    assert 1e-3 < GaussianNLL().spread(scores) < 2e-3


def test_predictions_are_scores_exponentials_or_the_first_column():
    for loss in (SquaredError(), AbsoluteError(), Huber(), *QUANTILES[:2], *LOG_LINKS):
        assert_array_equal(loss.mean(LOGITS), LOGITS.exp() if loss in LOG_LINKS else LOGITS)
    assert_array_equal(GaussianNLL().mean(LOGITS.reshape(7, 2, 2)), LOGITS[:, [0, 2]])


def test_predicted_quantiles_are_sorted_into_the_order_of_the_levels():
    scores = torch.tensor([[[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]], [[2.0, 3.0, 1.0], [5.0, 9.0, 5.0]]])
    expected = torch.tensor([[[3, 1, 2], [3, 1, 2]], [[3, 1, 2], [9, 5, 5]]])
    assert_array_equal(Quantile(LEVELS).mean(scores), expected)
    assert_array_equal(Quantile(sorted(LEVELS)).mean(scores), expected.sort(-1).values)


def test_losses_of_numbers_say_what_they_take_and_what_they_return():
    for given in [0.3, np.float64(0.3), [0.3], (0.9, 0.1), np.array([0.9, 0.1])]:
        loss = Quantile(given)
        assert loss.levels == tuple(np.ravel(given))
        assert loss.traits.n_columns == np.size(given)
    for loss in TARGET_LOSSES:
        units = "mean_one" if loss in LOG_LINKS else "standardised"
        is_robust = isinstance(loss, (AbsoluteError, Quantile))
        assert loss.traits.units == ("robust" if is_robust else units)
    assert [loss.traits.positive for loss in LOG_LINKS] == ["non-negative"] * 3 + ["positive"] * 2
    assert SquaredError.traits.positive is GaussianNLL.traits.positive is None
    assert GaussianNLL.traits.n_columns == 2
