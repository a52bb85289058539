"""One loss per row: of several targets or labels, under an offset, and its best constant.

Predictions of numbers are here too. What may be given as a criterion is in
``test_torch_losses.py``, what becomes of class scores in ``test_links.py``.
"""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skweight.losses import CLASSIFIER_CRITERIA, REGRESSOR_CRITERIA, RowLoss, from_criterion

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(7, 4))
CODES = np.array([0, 1, 2, 3, 2, 1, 0])
BINARY = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def build(criterion, params=None, names=REGRESSOR_CRITERIA):
    return from_criterion(criterion, params or {}, names)


def own_function(output, target):
    return (output - target).abs()


# Several targets, several columns

SCORES = torch.from_numpy(RNG.normal(size=(7, 6)))
TARGETS = torch.from_numpy(RNG.exponential(size=(7, 3)))


@pytest.mark.parametrize("criterion", [*REGRESSOR_CRITERIA, nn.MSELoss, nn.HuberLoss, own_function])
def test_the_loss_of_several_targets_is_the_mean_of_those_of_each(criterion):
    loss = build(criterion)
    k = loss.traits.n_columns
    assert k == (2 if criterion == "gaussian_nll" else 1)
    output = SCORES[:, : 3 * k]
    each = [loss(output[:, k * j : k * (j + 1)], TARGETS[:, j]) for j in range(3)]
    assert_allclose(loss(output, TARGETS), torch.stack(each).mean(0), rtol=1e-12)
    assert not torch.allclose(each[0], each[1])


def test_every_target_has_its_columns_side_by_side():
    loss = build("quantile", {"quantile": [0.9, 0.1]})
    assert loss.traits.n_columns == 2
    assert_array_equal(loss.by_target(SCORES)[:, 1], SCORES[:, 2:4])
    residual = TARGETS[:, :, None] - SCORES.reshape(7, 3, 2)
    level = torch.tensor([0.9, 0.1])
    expected = torch.where(residual > 0, level, level - 1) * residual
    assert (residual > 0).any() and (residual < 0).any()
    assert_allclose(loss(SCORES, TARGETS), expected.mean(dim=(1, 2)), rtol=1e-6)


def test_float64_targets_meet_float32_scores_in_float32():
    for criterion in ("gamma", nn.HuberLoss):
        assert build(criterion)(SCORES[:, :3].float(), TARGETS).dtype == torch.float32


@pytest.mark.parametrize("criterion", ["poisson", "tweedie", nn.PoissonNLLLoss])
def test_predictions_under_a_logarithm_are_exponentials(criterion):
    loss = build(criterion)
    assert loss.traits.log_link
    assert_array_equal(loss.predictions(SCORES), SCORES.exp())


def test_predictions_have_a_column_for_each_target():
    plain = build("squared_error")
    assert_array_equal(plain.predictions(SCORES[:, 0]), SCORES[:, :1])
    assert_array_equal(plain.predictions(SCORES), SCORES)
    assert_array_equal(build(nn.PoissonNLLLoss, {"log_input": False}).predictions(SCORES), SCORES)
    assert_array_equal(build("gaussian_nll").predictions(SCORES), SCORES[:, ::2])
    levels = build("quantile", {"quantile": [0.9, 0.1]}).predictions(SCORES)
    assert levels.shape == (7, 3, 2)
    assert (levels[..., 0] >= levels[..., 1]).all()
    assert (SCORES[:, ::2] < SCORES[:, 1::2]).any()


# Scores that are shifted for the loss alone


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_an_offset_is_added_to_the_scores_before_the_loss(name):
    loss, plain = (build(name, names=CLASSIFIER_CRITERIA) for _ in range(2))
    output, codes = torch.from_numpy(LOGITS), torch.from_numpy(CODES)
    before = plain(output, codes)
    loss.adjust(torch.tensor([0.0, -1.0, 2.0, 0.5], dtype=torch.float64))
    assert loss.adjustment.dtype == torch.float32
    shifted = output + torch.tensor([0.0, -1.0, 2.0, 0.5])
    assert_allclose(loss(output, codes), plain(shifted, codes), rtol=1e-12)
    assert not torch.allclose(loss(output, codes), before)
    assert_array_equal(output, LOGITS)


@pytest.mark.parametrize("name", CLASSIFIER_CRITERIA)
def test_an_offset_of_two_classes_is_a_difference_beside_one_logit(name):
    loss, plain = (build(name, names=CLASSIFIER_CRITERIA) for _ in range(2))
    loss.adjust(torch.tensor([1.0, 3.0]))
    output, codes = torch.from_numpy(LOGITS[:, :1]), torch.from_numpy(BINARY).long()
    assert_array_equal(loss(output, codes), plain(output + 2, codes))
    assert_array_equal(loss(output[:, 0], codes), loss(output, codes))
    assert not torch.allclose(loss(output, codes), plain(output, codes))


def test_an_offset_of_labels_is_a_difference_for_each():
    loss, plain = (build(None, names=CLASSIFIER_CRITERIA) for _ in range(2))
    loss.adjust(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [2.0, 2.5]]))
    shifted = torch.from_numpy(LOGITS) + torch.tensor([1.0, -1.0, 0.0, 0.5])
    labels = torch.from_numpy((LOGITS > 1).astype(int))
    assert 0 < labels.sum() < labels.numel()
    assert_allclose(loss(torch.from_numpy(LOGITS), labels), plain(shifted, labels), rtol=1e-12)


# One loss per row and label


def test_labels_keep_their_columns_where_each_has_a_weight():
    loss = build(None, names=CLASSIFIER_CRITERIA)
    output, labels = torch.from_numpy(LOGITS), torch.from_numpy((LOGITS > 1).astype(int))
    together = loss(output, labels)
    loss.per_column = True
    each = loss(output, labels)
    assert (together.shape, each.shape) == ((7,), (7, 4))
    assert_allclose(each.mean(dim=1), together, rtol=1e-12)
    assert_allclose(each[:, 2], loss(output[:, 2], labels[:, 2]), rtol=1e-12)


@pytest.mark.parametrize(
    ("criterion", "got"),
    [
        (lambda output, target: (output - target).mean(1), r"got shape \(7,\)"),
        (lambda output, target: (output - target)[:, :2], r"got shape \(7, 2\)"),
        (lambda output, target: (output - target).mean(), r"got shape \(\)"),
        (lambda output, target: 0.0, "got float"),
    ],
)
def test_without_a_loss_for_each_label_class_weights_are_refused(criterion, got):
    loss = RowLoss(criterion)
    loss.per_column = True
    match = rf"^criterion .*row and label, .*class_weight.*\(7, 4\), {got}"
    with pytest.raises(ValueError, match=match):
        loss(torch.from_numpy(LOGITS), torch.from_numpy(LOGITS > 1).long())


# A model that ignores X

MASS = torch.from_numpy(RNG.exponential(size=7))


def mean_loss(loss, scores, target, weight):
    """The objective of a model that returns ``scores`` for every row."""
    losses = loss(scores.expand(len(target), -1), target)
    return (weight * losses).sum() / weight.sum()


@pytest.mark.parametrize("criterion", [*REGRESSOR_CRITERIA, nn.MSELoss, nn.PoissonNLLLoss])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_no_other_constant_has_a_smaller_weighted_loss(criterion, n_targets):
    params = {"quantile": [0.2, 0.7]} if criterion == "quantile" else {}
    loss = build(criterion, params)
    target = TARGETS if n_targets == 3 else TARGETS[:, 0]
    n_outputs = n_targets * loss.traits.n_columns
    constant = loss.constant(target, MASS, n_outputs)
    assert (constant.shape, constant.dtype) == ((n_outputs,), torch.float64)
    assert not torch.allclose(constant, loss.constant(target, torch.ones(7), n_outputs))
    smallest = mean_loss(loss, constant, target, MASS)
    # The weighted median is near the minimum of a Huber loss, not in it.
    steps, slack = ([0.5], 0) if criterion == "huber" else ([1e-3, 0.1], 1e-12)
    for column in range(n_outputs):
        for step in (sign * size for size in steps for sign in (-1, 1)):
            other = constant.clone()
            other[column] += step
            assert mean_loss(loss, other, target, MASS) > smallest - slack


@pytest.mark.parametrize("name", CLASSIFIER_CRITERIA)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_constant_of_two_classes_is_their_weighted_log_odds(name, n_outputs):
    codes, weight = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([2.0, 2.0, 0.1, 0.2, 0.7])
    loss = build(name, names=CLASSIFIER_CRITERIA)
    constant = loss.constant(codes, weight, n_outputs)
    assert constant.dtype == torch.float64
    # The weights are float32 as in training.
    expected = np.log(1 / 4) if n_outputs == 1 else np.log([0.8, 0.2])
    assert_allclose(constant, np.atleast_1d(expected), rtol=1e-6)
    loss.adjust(torch.tensor([0.5, -1.0]))
    offset = [-1.5] if n_outputs == 1 else [0.5, -1.0]
    adjusted = loss.constant(codes, weight, n_outputs)
    assert_allclose(constant - adjusted, offset, rtol=1e-12)


def test_the_constant_of_several_classes_has_no_gradient_under_any_offset():
    loss = build(None, names=CLASSIFIER_CRITERIA)
    codes = torch.from_numpy(CODES)
    constant = loss.constant(codes, MASS, 4)
    prior = np.bincount(CODES, MASS) / MASS.sum().item()
    assert np.abs(prior - np.bincount(CODES) / 7).max() > 0.01
    assert_allclose(constant, np.log(prior), rtol=1e-12)
    for offset in (None, torch.tensor([3.0, 0.0, -1.0, 0.25])):
        if offset is not None:
            loss.adjust(offset)
        scores = loss.constant(codes, MASS, 4).requires_grad_()
        mean_loss(loss, scores, codes, MASS).backward()
        assert_allclose(scores.grad, np.zeros(4), atol=1e-12)
    assert not torch.allclose(scores, constant)


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("offset", [None, [[0.5, 0.0], [0.0, 2.0], [0.0, 0.0]]])
def test_the_constant_of_labels_has_no_gradient_under_weights_of_rows_or_labels(per_column, offset):
    loss = build(None, names=CLASSIFIER_CRITERIA)
    loss.per_column = per_column
    if offset:
        loss.adjust(torch.tensor(offset))
    labels = torch.from_numpy((LOGITS[:, :3] > [-1, 0, 1]).astype(int))
    weight = MASS[:, None] * torch.tensor([1.0, 2.0, 0.5]) ** labels if per_column else MASS
    scores = loss.constant(labels, weight, 3)
    assert scores.shape == (3,) and scores.isfinite().all()
    weight_of_labels = weight.reshape(7, -1)
    share = (weight_of_labels * labels).sum(0) / weight_of_labels.sum(0)
    shift = torch.tensor([row[1] - row[0] for row in offset]) if offset else 0
    assert_allclose(scores, share.logit() - shift, rtol=1e-9)
    scores.requires_grad_()
    mean_loss(loss, scores, labels, weight).backward()
    assert_allclose(scores.grad, np.zeros(3), atol=1e-12)


@pytest.mark.parametrize(("n_outputs", "present"), [(1, 0), (1, 1), (2, 1), (3, 1)])
def test_a_class_without_mass_has_a_low_and_finite_score(n_outputs, present):
    codes = torch.tensor([0, 1, 0, 1])
    constant = build(None, names=CLASSIFIER_CRITERIA).constant(
        codes, 2.0 * (codes == present), n_outputs
    )
    assert constant.isfinite().all()
    scores = torch.cat([torch.zeros(1), constant]) if n_outputs == 1 else constant
    assert scores.argmax() == present
    assert scores.max() - scores.min() > 10


@pytest.mark.parametrize("criterion", ["poisson", "tweedie", nn.PoissonNLLLoss])
def test_the_constant_of_zeros_alone_has_a_finite_logarithm(criterion):
    constant = build(criterion).constant(torch.zeros(7), MASS, 1)
    assert constant.isfinite().all()
    assert constant.exp() < 1e-30
    # One that rests on the scores is a mean without a logarithm.
    plain = build(nn.PoissonNLLLoss, {"log_input": False})
    assert_array_equal(plain.constant(torch.tensor([2.0, 4.0]), torch.ones(2), 1), [3])
