"""Losses per row, the reduction, probabilities.

Values are compared with formulas written in numpy, derivatives with finite differences.
How a loss is minimised is left to ``test_training.py``, that mini-batches are unbiased to
``test_minibatch.py``.
"""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skweight.criteria import RowLoss
from skweight.losses import (
    binary_cross_entropy,
    class_probabilities,
    cross_entropy,
    squared_error,
    weighted_mean,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(7, 4))
CODES = np.array([0, 1, 2, 3, 2, 1, 0])
BINARY = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


# weighted_mean


def test_weighted_mean_divides_by_the_number_of_rows_and_not_by_their_weights():
    loss, weight = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0.0, 3.0, 1.0, 1.0])
    assert weighted_mean(loss, weight).item() == 18 / 4 != 18 / 5


def test_weighted_means_of_equal_batches_average_to_that_of_all_rows():
    loss, weight = torch.from_numpy(RNG.exponential(size=(2, 40)))
    weight = weight / weight.mean()
    batches = [weighted_mean(loss[i : i + 8], weight[i : i + 8]) for i in range(0, 40, 8)]
    objective = (weight * loss).sum() / weight.sum()
    assert np.std(batches) > 0.1
    assert_allclose(np.mean(batches), objective, rtol=1e-14)


def test_weighted_mean_passes_gradients_times_weight_over_n():
    loss = torch.ones(4, requires_grad=True)
    weighted_mean(loss, torch.tensor([0.0, 1.0, 2.0, 5.0])).backward()
    assert_array_equal(loss.grad, [0, 0.25, 0.5, 1.25])


# Values and derivatives


def test_cross_entropy_of_float_targets_is_the_binary_formula():
    z = LOGITS[:, :1]
    target = BINARY[:, None]
    loss = cross_entropy(torch.from_numpy(z), torch.from_numpy(target))
    p = 1 / (1 + np.exp(-z))
    assert loss.shape == (7, 1)
    # p near 1 loses digits in 1 - p, which the loss does not: |z| < 8 leaves 1e-12 of them.
    assert_allclose(loss, -np.log(np.where(target == 1, p, 1 - p)), rtol=1e-11)


def test_cross_entropy_of_codes_is_the_softmax_formula():
    loss = cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(CODES))
    log_sum = np.log(np.exp(LOGITS).sum(axis=1))
    assert loss.shape == (7,)
    assert_allclose(loss, log_sum - LOGITS[np.arange(7), CODES], rtol=1e-12)


def test_one_logit_and_two_scores_have_the_same_cross_entropy():
    z = torch.from_numpy(LOGITS[:, :1])
    scores = torch.cat([torch.zeros_like(z), z], dim=1)
    binary = cross_entropy(z[:, 0], torch.from_numpy(BINARY))
    assert_allclose(binary, cross_entropy(scores, torch.from_numpy(BINARY).long()), rtol=1e-12)


def test_cross_entropy_stays_finite_far_out():
    z = torch.tensor([1000.0, -1000.0])
    assert_array_equal(binary_cross_entropy(z, torch.tensor([0.0, 1.0])), [1000, 1000])
    assert_array_equal(cross_entropy(torch.stack([z, -z], 1), torch.tensor([1, 0])), [2000, 2000])


def test_squared_error_is_elementwise():
    output = torch.tensor([[1.0], [-2.0], [0.5]])
    assert_array_equal(squared_error(output, torch.ones(3, 1)), [[0], [9], [0.25]])


@pytest.mark.parametrize(
    ("criterion", "width", "target"),
    [
        (squared_error, 1, BINARY),
        (binary_cross_entropy, 1, BINARY),
        (cross_entropy, 1, BINARY),
        (cross_entropy, 4, CODES),
    ],
)
def test_gradients_are_those_of_finite_differences(criterion, width, target):
    output = torch.from_numpy(LOGITS[:, :width].copy()).requires_grad_()
    loss, target = RowLoss(criterion), torch.from_numpy(target)
    weight = torch.from_numpy(RNG.random(7))
    assert torch.autograd.gradcheck(lambda z: loss(z, target), output)
    assert torch.autograd.gradcheck(lambda z: weighted_mean(loss(z, target), weight), output)


# class_probabilities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_probabilities_are_positive_and_sum_to_one(width, dtype):
    scores = torch.from_numpy(RNG.normal(scale=5, size=(50, width))).to(dtype)
    scores[:4, 0] = torch.tensor([1000.0, -1000.0, 90.0, -90.0])
    probability = class_probabilities(scores)
    assert probability.shape == (50, max(width, 2))
    assert probability.dtype == dtype
    assert probability.min() > 0
    assert probability.log().isfinite().all()
    # A few roundings, of a sum of at most four numbers.
    assert_allclose(probability.sum(1), np.ones(50), rtol=4 * torch.finfo(dtype).eps)


def test_one_logit_gives_the_sigmoid_and_its_complement():
    z = LOGITS[:, :1]
    expected = 1 / (1 + np.exp(np.concatenate([z, -z], axis=1)))
    assert_allclose(class_probabilities(torch.from_numpy(z)), expected, rtol=1e-12)


def test_several_scores_give_the_softmax():
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    assert_allclose(class_probabilities(torch.from_numpy(LOGITS)), expected, rtol=1e-12)


def test_probabilities_far_out_are_the_smallest_normal_number_and_one():
    tiny = torch.finfo(torch.float32).tiny
    far = class_probabilities(torch.tensor([[1000.0], [-1000.0]]))
    assert_array_equal(far, torch.tensor([[tiny, 1.0], [1.0, tiny]]))
    assert_array_equal(class_probabilities(torch.tensor([[0.0, 1000.0]])), far[:1])
    assert math.isfinite(math.log(tiny))


def test_small_probabilities_keep_their_digits():
    probability = class_probabilities(torch.tensor([[30.0]]))[0, 0].item()
    assert_allclose(probability, math.exp(-30), rtol=1e-6)
