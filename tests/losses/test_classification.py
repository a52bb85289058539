"""Losses of class scores, their links and probabilities, the reduction, names and parameters.

Compared with scipy, formulas in numpy, finite differences and what minimises the loss. Losses
of numbers are left to ``test_regression.py``, mini-batches to ``test_minibatch.py``.
"""

import math

import numpy as np
import pytest
import torch
from helpers import assert_finite_but_not_flat, assert_gradients_are_right, each_loss
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq, minimize
from scipy.special import expit, softmax
from torch.nn import functional as F

from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    CrossEntropy,
    Focal,
    Huber,
    PolyTailed,
    Quantile,
    TweedieDeviance,
    backpropagate_weighted_mean,
    class_probabilities,
    cross_entropy,
    weighted_mean,
)

RNG = np.random.default_rng(0)
LOGITS = torch.from_numpy(RNG.normal(scale=3, size=(7, 4)))
ONE = LOGITS[:, :1]
CODES = torch.tensor([0, 1, 2, 3, 2, 1, 0])
LABELS = F.one_hot(CODES, 4).double()
BINARY = torch.tensor([0, 1, 1, 0, 1, 0, 0])
FLOATS = BINARY.double()[:, None]

FOCALS = [Focal(gamma) for gamma in (0.0, 0.5, 1.0, 2.0, 5.0)]
POLY_TAILED = [PolyTailed(alpha) for alpha in (0.5, 1.0, 3.0)]
SOFTMAX_LOSSES = [CrossEntropy(), CrossEntropy(0.2), *FOCALS]
CLASS_LOSSES = [*SOFTMAX_LOSSES, *POLY_TAILED]


def test_weighted_mean_divides_by_the_number_of_rows_and_not_by_their_weights():
    loss = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    mean = weighted_mean(loss, torch.tensor([0.0, 3.0, 1.0, 1.0]))
    assert mean.item() == 18 / 4 != 18 / 5
    assert_array_equal(torch.autograd.grad(mean, loss)[0], [0, 0.75, 0.25, 0.25])


def test_weighted_means_of_equal_batches_average_to_that_of_all_rows():
    loss, weight = torch.from_numpy(RNG.exponential(size=(2, 40)))
    weight = weight / weight.mean()
    batches = [weighted_mean(loss[i : i + 8], weight[i : i + 8]) for i in range(0, 40, 8)]
    objective = (weight * loss).sum() / weight.sum()
    assert np.std(batches) > 0.1
    assert_allclose(np.mean(batches), objective, rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [(), (1,), (3,), (4,)], ids=["rows", "1", "3", "4"])
@pytest.mark.parametrize("n", [1, 3, 7, 63, 100, 256])
def test_backpropagation_of_the_weighted_mean_is_its_backward_to_the_bit(n, columns, dtype):
    shape = (n, *columns)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(shape, generator=generator, dtype=dtype)
    weight = torch.rand(shape, generator=generator) ** 3  # float32, as training has them
    means, gradients = [], []
    for backpropagate in (backpropagate_weighted_mean, weighted_mean):
        parameter = z.clone().requires_grad_()
        means.append(backpropagate(F.softplus(parameter), weight))
        if means[-1].requires_grad:
            means[-1].backward()
        gradients.append(parameter.grad)
    assert [mean.requires_grad for mean in means] == [False, True]
    assert torch.equal(*means) and means[0].dtype == dtype
    assert torch.equal(*gradients) and gradients[0].all()


def test_backpropagation_of_the_weighted_mean_adds_to_the_gradients_that_are_there():
    parameter = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    parameter.grad = torch.tensor([10.0, 20.0, 30.0, 40.0])
    weight = torch.tensor([0.0, 3.0, 1.0, 1.0])
    mean = backpropagate_weighted_mean(parameter * 1, weight)
    assert mean.item() == 18 / 4 and mean.grad_fn is None
    assert_array_equal(parameter.grad, [10, 20.75, 30.25, 40.25])


# Losses of class scores


@each_loss(*FOCALS)
def test_focal_loss_is_its_formula_with_a_sigmoid_or_a_softmax(loss):
    p = expit(ONE.numpy())
    one = np.where(FLOATS == 1, p, 1 - p)
    several = softmax(LOGITS.numpy(), axis=1)[np.arange(7), CODES]
    # p near 1 loses digits in 1 - p, which the loss does not: |z| < 8 leaves 1e-12 of them.
    for output, target, p_y in [(ONE, FLOATS, one), (LOGITS, CODES, several)]:
        expected = -((1 - p_y) ** loss.gamma) * np.log(p_y)
        assert expected.std() > 0.1
        assert_allclose(loss(output, target), expected, rtol=1e-10)


@pytest.mark.parametrize(("output", "target"), [(ONE, FLOATS), (LOGITS, LABELS), (LOGITS, CODES)])
def test_focal_loss_without_gamma_is_cross_entropy_and_gamma_lowers_it(output, target):
    loss = cross_entropy(output, target)
    assert_allclose(Focal(0)(output, target), loss, rtol=1e-12)
    assert_array_equal(CrossEntropy()(output, target), loss)
    assert (Focal(0.5)(output, target) < loss).all()


@each_loss(*SOFTMAX_LOSSES)
def test_one_logit_and_two_columns_have_the_same_loss(loss):
    binary = loss(ONE, FLOATS)[:, 0]
    assert binary.std() > 0.1
    assert_allclose(binary, loss(torch.cat([0 * ONE, ONE], dim=1), BINARY), rtol=1e-12)


@each_loss(*CLASS_LOSSES)
def test_every_label_is_a_binary_problem_of_its_own(loss):
    alone = [loss(LOGITS[:, [j]], LABELS[:, [j]]) for j in range(4)]
    assert_array_equal(loss(LOGITS, LABELS), torch.cat(alone, dim=1))


def test_label_smoothing_is_that_of_torch():
    expected = F.cross_entropy(LOGITS, CODES, reduction="none", label_smoothing=0.2)
    assert_array_equal(CrossEntropy(0.2)(LOGITS, CODES), expected)
    by_hand = 0.8 * cross_entropy(LOGITS, CODES) - 0.2 * LOGITS.log_softmax(1).mean(1)
    assert_allclose(expected, by_hand, rtol=1e-12)
    assert (expected - cross_entropy(LOGITS, CODES)).abs().max() > 0.1


def test_balanced_weights_outside_of_a_smoothed_loss_learn_one_half():
    weight, codes = torch.tensor([1.0, 99.0]).double(), torch.tensor([0] * 99 + [1])

    def slope_at_one_half(loss):
        return torch.func.grad(lambda z: loss(z.expand(100, 2)))(torch.zeros(2).double())

    inside = torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1)
    assert slope_at_one_half(lambda z: inside(z, codes))[1] < -0.3
    smoothed = CrossEntropy(0.1)
    outside = slope_at_one_half(lambda z: weighted_mean(smoothed(z, codes), weight[codes]))
    assert_allclose(outside, 0, atol=1e-14)


@each_loss(*POLY_TAILED)
def test_poly_tailed_loss_is_logistic_below_a_margin_of_1_and_a_power_above(loss):
    z, target = np.linspace(-5, 5, 41)[:, None], np.arange(41)[:, None] % 2
    margin, alpha = np.where(target == 1, z, -z), loss.alpha
    body = 2 * alpha * np.log1p(np.exp(1 - margin)) + 1 - 2 * alpha * np.log(2)
    expected = np.where(margin >= 1, np.maximum(margin, 1) ** -alpha, body)
    assert (margin >= 1).sum() > 10 < (margin < 1).sum()
    result = loss(torch.from_numpy(z), torch.from_numpy(target).double())
    assert_allclose(result, expected, rtol=1e-12)


@each_loss(*POLY_TAILED)
def test_poly_tailed_loss_is_convex_with_a_continuous_slope_at_1(loss):
    z = np.sort(np.append(np.linspace(-30, 30, 6000), [1 - 1e-9, 1, 1 + 1e-9]))
    near = np.abs(z - 1) < 1e-8
    z = torch.from_numpy(z).requires_grad_()
    value = loss(z[:, None], torch.ones(6003, 1))
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert slope.diff().min() > -1e-14
    assert (slope.diff() > 0).sum() > 3000
    assert slope.max() < 0
    assert near.sum() == 3
    assert_allclose(value.detach()[near], 1, atol=1e-7)
    assert_allclose(slope[near], -loss.alpha, rtol=1e-7)


def test_poly_tailed_loss_says_that_it_has_no_softmax_form():
    binary_only = [loss.traits.binary_only for loss in (PolyTailed, CrossEntropy, Focal)]
    assert binary_only == [True, False, False]
    with pytest.raises(ValueError, match=r'^criterion "poly_tailed" is a loss of one logit'):
        PolyTailed()(LOGITS, CODES)


def logits_of(loss, z):
    return loss.logits(torch.tensor(z, dtype=torch.float64)[:, None], True)[:, 0].numpy()


@each_loss(*FOCALS, *POLY_TAILED)
@pytest.mark.parametrize("p", [1e-4, 0.01, 0.2, 0.5, 0.8, 0.95, 0.999])
def test_logits_of_the_score_with_the_smallest_expected_loss_are_those_of_the_posterior(loss, p):
    def expected_loss(z):
        return p * loss(z, torch.ones_like(z)) + (1 - p) * loss(z, torch.zeros_like(z))

    slope = torch.func.grad(expected_loss)
    z = brentq(lambda z: slope(torch.tensor(z, dtype=torch.float64)).item(), -1e6, 1e6, xtol=1e-12)
    grid = torch.linspace(-99, 99, 10_001).double()
    assert expected_loss(torch.tensor(z, dtype=torch.float64)) <= expected_loss(grid).min() + 1e-12
    assert_allclose(expit(logits_of(loss, [z])), p, rtol=1e-9)
    assert abs(z - np.log(p / (1 - p))) > 0.05 or p == 0.5 or loss is FOCALS[0]


@each_loss(*FOCALS)
@pytest.mark.parametrize("posterior", [(0.2, 0.3, 0.5), (0.02, 0.08, 0.9), (0.34, 0.33, 0.33)])
def test_softmax_of_the_logits_is_the_posterior_of_three_classes(loss, posterior):
    p = torch.tensor(posterior).double()

    def expected_loss(z):
        scores = torch.from_numpy(z).requires_grad_()
        value = loss(scores.expand(3, 3), torch.arange(3)) @ p
        return value.item(), torch.autograd.grad(value, scores)[0].numpy()

    found = minimize(expected_loss, np.zeros(3), jac=True, method="BFGS", tol=1e-12)
    scores = torch.from_numpy(found.x)[None]
    assert np.abs(found.jac).max() < 1e-8
    assert_allclose(loss.logits(scores, False).softmax(1)[0], p, rtol=1e-6)
    assert loss.gamma < 1 or max(posterior) < 0.4 or (scores.softmax(1)[0] - p).abs().max() > 0.03


@each_loss(*FOCALS, *POLY_TAILED)
def test_logits_increase_strictly_and_change_sign_with_the_score(loss):
    z = np.linspace(-700, 700, 200_001)
    logits = logits_of(loss, z)
    assert np.isfinite(logits).all()
    assert (np.diff(logits) > 0).all()
    assert_allclose(logits_of(loss, -z), -logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", [0.5, 2.0, 20.0])
def test_logits_far_out_follow_their_asymptotes(power):
    z = np.array([50.0, 300.0, 740.0, 1e4])
    assert_allclose(logits_of(Focal(power), z), (1 + power) * z - np.log1p(power), rtol=1e-12)
    tail = np.log(2) + (power + 1) * np.log(z)
    assert_allclose(logits_of(PolyTailed(power), z), tail, rtol=1e-12)


@each_loss(*FOCALS)
def test_logits_of_one_column_are_the_difference_of_those_of_two(loss):
    z = torch.linspace(-600, 600, 1201).double()[:, None]
    columns = loss.logits(torch.cat([0 * z, z], dim=1) + 5, False)
    assert_allclose(columns.diff(dim=1), loss.logits(z, True), rtol=1e-10, atol=1e-10)
    assert_array_equal(loss.logits(z, False), loss.logits(z, True))


@each_loss(*FOCALS)
@pytest.mark.parametrize("scale", [1, 30, 300])
def test_logits_of_classes_are_finite_and_keep_their_order_and_ties(loss, scale):
    scores = torch.from_numpy(RNG.normal(scale=scale, size=(2000, 5)))
    scores[:, 1] = scores[:, 3]
    logits = loss.logits(scores, False)
    assert logits.isfinite().all()
    assert_array_equal(logits[:, 1], logits[:, 3])
    assert_array_equal(logits.argsort(stable=True), scores.argsort(stable=True))


def test_logits_of_cross_entropy_are_the_scores_even_if_labels_were_smoothed():
    for loss in (CrossEntropy(), CrossEntropy(0.3), Focal(0)):
        assert_array_equal(loss.logits(LOGITS, False), LOGITS)
        assert_array_equal(loss.logits(LOGITS, True), LOGITS)


@each_loss(*CLASS_LOSSES)
def test_gradients_are_those_of_finite_differences_and_can_be_stacked(loss):
    for target in (LABELS, CODES) if loss in SOFTMAX_LOSSES else (LABELS,):
        assert_gradients_are_right(loss, LOGITS, target)


@each_loss(*CLASS_LOSSES)
def test_losses_and_gradients_are_finite_far_out_in_float32(loss):
    for far in (1000.0, -1000.0):
        assert_finite_but_not_flat(loss, torch.full((7, 1), far), FLOATS.float())
        if loss in SOFTMAX_LOSSES:
            assert_finite_but_not_flat(loss, torch.tensor([[far, -far]]).repeat(7, 1), BINARY)


# Names and parameters, of losses of numbers too


def test_names_lead_to_classes_that_need_no_parameters():
    names = {**CLASSIFIER_CRITERIA, **REGRESSOR_CRITERIA}
    assert next(iter(CLASSIFIER_CRITERIA)) == "cross_entropy"  # the default
    assert next(iter(REGRESSOR_CRITERIA)) == "squared_error"
    assert len({type(criterion()) for criterion in names.values()}) == len(names) >= 11


@pytest.mark.parametrize(
    ("criterion", "name", "refused"),
    [
        (CrossEntropy, "label_smoothing", [1, 1.0, -0.1]),
        (Focal, "gamma", [-0.1, -1]),
        (PolyTailed, "alpha", [0, -1.0]),
        (Huber, "delta", [0, -1.0]),
        (TweedieDeviance, "power", [0, 0.99]),
        (Quantile, "quantile", [0, 1, 1.5, [], [0.1, 0.1], [0.1, 1.0], ["0.1"], [[0.1]], {0.1}]),
    ],
)
def test_parameters_are_refused_by_name_with_what_was_expected(criterion, name, refused):
    for value in [*refused, True, np.True_, None, "0.5", math.nan, math.inf, 1j, np.float32("nan")]:
        with pytest.raises(ValueError, match=rf"^criterion__{name} must be a number .*, got .+\.$"):
            criterion(**{name: value})
    criterion(**{name: np.float32(0.5) if name != "power" else np.int64(3)})


# Probabilities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_probabilities_are_positive_and_sum_to_one(width, dtype):
    scores = torch.from_numpy(RNG.normal(scale=5, size=(50, width))).to(dtype)
    scores[:4, 0] = torch.tensor([1000.0, -1000.0, 90.0, -90.0])
    probability = class_probabilities(scores)
    assert (probability.shape, probability.dtype) == ((50, max(width, 2)), dtype)
    assert probability.min() > 0
    assert probability.log().isfinite().all()
    # A few roundings, of a sum of at most four numbers.
    assert_allclose(probability.sum(1), np.ones(50), rtol=4 * torch.finfo(dtype).eps)


def test_probabilities_are_the_sigmoid_of_one_logit_and_the_softmax_of_several():
    expected = expit(np.concatenate([-ONE, ONE], axis=1))
    assert_allclose(class_probabilities(ONE), expected, rtol=1e-12)
    assert_allclose(class_probabilities(LOGITS), softmax(LOGITS.numpy(), axis=1), rtol=1e-12)


def test_small_probabilities_keep_their_digits_down_to_the_smallest_normal_number():
    assert_allclose(class_probabilities(torch.tensor([[30.0]]))[0, 0], math.exp(-30), rtol=1e-6)
    tiny = torch.finfo(torch.float32).tiny
    far = class_probabilities(torch.tensor([[1000.0], [-1000.0]]))
    assert_array_equal(far, torch.tensor([[tiny, 1.0], [1.0, tiny]]))
    assert_array_equal(class_probabilities(torch.tensor([[0.0, 1000.0]])), far[:1])
