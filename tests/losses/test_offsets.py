"""Offsets beside raw scores: how they are added, and the best constant beside them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    add_offset,
    from_criterion,
    log_mean_ratio,
)

rng = np.random.default_rng(0)
N = 40
WEIGHT = torch.from_numpy(rng.uniform(0.2, 3, N))


def drawn(*shape):
    return torch.from_numpy(rng.normal(size=shape))


def mean_loss(loss, scores, target, weight):
    return (weight * loss(scores, target)).sum() / weight.sum()


# How they are added


@pytest.mark.parametrize("output", [drawn(7, 3), drawn(7, 1), drawn(7), drawn(2, 7, 1)])
def test_an_offset_of_the_shape_of_the_output_is_added(output):
    offset = drawn(*output.shape) if output.ndim > 1 else drawn(7, 1)
    found = add_offset(output, offset)
    assert found.shape == output.shape
    assert torch.equal(found, output + offset.reshape(output.shape))


@pytest.mark.parametrize("shape", [(7,), (3, 7)], ids=str)
def test_one_offset_of_two_classes_is_added_to_the_score_of_the_second(shape):
    output, offset = drawn(*shape, 2), drawn(*shape, 1)
    found = add_offset(output, offset)
    assert torch.equal(found[..., 0], output[..., 0])
    assert torch.equal(found[..., 1], output[..., 1] + offset[..., 0])


def test_raw_scores_are_in_the_unit_of_y_that_a_loss_has_learned():
    y, offset = drawn(N, 2) * torch.tensor([1.0, 50.0]) + 3, drawn(N, 2)
    loss = from_criterion(nn.MSELoss, {}, REGRESSOR_CRITERIA)
    assert torch.equal(loss.scaled_offset(offset), offset)  # no unit has been learned
    loss.learn_units(y, WEIGHT, torch.zeros(5, 2), offset)
    output = drawn(N, 2)
    assert loss.scale[1] > 10 * loss.scale[0]
    torch.testing.assert_close(loss.scaled_offset(offset), offset / loss.scale)
    predicted = loss.predictions(loss.with_offset(output, offset))
    torch.testing.assert_close(predicted, loss.predictions(output) + offset)


def test_a_loss_of_log_probabilities_gets_them_beside_an_offset():
    loss = from_criterion(nn.NLLLoss, {}, CLASSIFIER_CRITERIA)
    output, offset = drawn(N, 3).log_softmax(1), drawn(N, 3)
    found = loss.with_offset(output, offset)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(N, dtype=torch.float64))
    torch.testing.assert_close(found, (output + offset).log_softmax(1))


# The best constant


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("adjustment", [None, [-1.0, 0.5]], ids=["plain", "adjusted"])
def test_beside_an_offset_no_constant_of_two_classes_has_a_smaller_loss(n_outputs, adjustment):
    loss = from_criterion(None, {}, CLASSIFIER_CRITERIA)
    if adjustment:
        loss.adjust(torch.tensor(adjustment))
    codes, offset = (drawn(N) > 0.5).long(), 2 * drawn(N, 1)
    constant = loss.constant(codes, WEIGHT, n_outputs, offset)
    assert constant.shape == (n_outputs,) and constant.dtype == torch.float64
    scores = constant.clone().requires_grad_()
    raw = loss.with_offset(scores.expand(N, n_outputs), offset)
    mean_loss(loss, raw, codes, WEIGHT).backward()
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores), rtol=0, atol=1e-7)
    assert (constant - loss.constant(codes, WEIGHT, n_outputs)).abs().max() > 0.01


def test_beside_an_offset_no_constant_of_several_classes_has_a_smaller_loss():
    loss = from_criterion(None, {}, CLASSIFIER_CRITERIA)
    codes, offset = torch.from_numpy(rng.choice(3, N, p=[0.6, 0.3, 0.1])), 2 * drawn(N, 3)
    scores = loss.constant(codes, WEIGHT, 3, offset).requires_grad_()
    mean_loss(loss, loss.with_offset(scores.expand(N, 3), offset), codes, WEIGHT).backward()
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores), rtol=0, atol=1e-9)
    assert (scores - loss.constant(codes, WEIGHT, 3)).abs().max() > 0.01


@pytest.mark.parametrize("per_label", [False, True], ids=["weights of rows", "of labels"])
def test_beside_an_offset_no_constant_of_labels_has_a_smaller_loss(per_label):
    loss = from_criterion(None, {}, CLASSIFIER_CRITERIA)
    labels, offset = (drawn(N, 3) > torch.tensor([0.0, 1.0, -0.5])).long(), drawn(N, 3)
    weight = WEIGHT[:, None] * torch.tensor([1.0, 2.0, 0.5]) if per_label else WEIGHT
    weight = weight * (1 + labels) if per_label else weight
    scores = loss.constant(labels, weight, 3, offset).requires_grad_()
    raw = loss.with_offset(scores.expand(N, 3), offset)
    losses = nn.functional.binary_cross_entropy_with_logits(raw, labels.double(), reduction="none")
    (losses * (weight if per_label else weight[:, None])).sum().backward()
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores), rtol=0, atol=1e-8)
    assert (scores - loss.constant(labels, weight, 3)).abs().min() > 0.001


@pytest.mark.parametrize("name", ["poisson", "gamma", "tweedie"])
def test_beside_an_offset_no_constant_of_means_has_a_smaller_deviance(name):
    loss = from_criterion(name, {}, REGRESSOR_CRITERIA)
    y, offset = drawn(N, 2).exp() + 0.1, drawn(N, 2)
    scores = loss.constant(y, WEIGHT, 2, offset).requires_grad_()
    mean_loss(loss, loss.with_offset(scores.expand(N, 2), offset), y, WEIGHT).backward()
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores), rtol=0, atol=1e-9)
    assert (scores - loss.constant(y, WEIGHT, 2)).abs().min() > 0.01
    each = [log_mean_ratio(y[:, k], WEIGHT, offset[:, k], loss.traits.power) for k in (0, 1)]
    assert torch.equal(torch.stack(each), scores.detach())


def test_a_mean_of_zero_has_a_finite_logarithm_beside_an_offset():
    loss = from_criterion("poisson", {}, REGRESSOR_CRITERIA)
    constant = loss.constant(torch.zeros(N), WEIGHT, 1, drawn(N, 1))
    assert constant.item() == math.log(torch.finfo(torch.float32).tiny)


# Scores whose predictions are the offset alone


def test_neutral_scores_replace_all_but_spreads():
    neutral = torch.tensor([0.25, -2.0], dtype=torch.float64)
    constant = drawn(4)
    gaussian = from_criterion("gaussian_nll", {}, REGRESSOR_CRITERIA)
    found = gaussian.without_effect(constant, neutral)
    assert found.tolist() == [0.25, constant[1].item(), -2.0, constant[3].item()]
    poisson = from_criterion("poisson", {}, REGRESSOR_CRITERIA)
    assert torch.equal(poisson.without_effect(constant[:2], neutral), neutral)
    levels = from_criterion("quantile", {"quantile": [0.1, 0.9]}, REGRESSOR_CRITERIA)
    assert levels.without_effect(constant, neutral).tolist() == [0.25, 0.25, -2.0, -2.0]


def test_without_effect_in_units_of_y_predictions_are_zero():
    loss = from_criterion(nn.MSELoss, {}, REGRESSOR_CRITERIA)
    y = drawn(N, 2) * 3 + torch.tensor([10.0, -4.0])
    loss.learn_units(y, WEIGHT, torch.zeros(5, 2))
    found = loss.without_effect(drawn(2), drawn(2))
    assert found.abs().min() > 0.5
    zeros = torch.zeros(1, 2, dtype=torch.float64)
    torch.testing.assert_close(loss.predictions(found[None]), zeros, rtol=0, atol=1e-12)
