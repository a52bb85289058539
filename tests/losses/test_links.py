"""From raw scores to class scores and probabilities, without the effect of class weights.

Logit adjustment and class weights are taken out of the scores here; the inverse links of the losses
by themselves are in ``test_classification.py``.
"""

import numpy as np
import pytest
import torch
from helpers import Intercept
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skweight import WeightedTorchClassifier
from skweight.losses import (
    ClassLink,
    CrossEntropy,
    Focal,
    PolyTailed,
    class_probabilities,
    to_columns,
)

RNG = np.random.default_rng(0)
RAW = torch.from_numpy(RNG.normal(scale=2, size=(9, 3)))
LOGIT = RAW[:, :1]
WEIGHT = torch.tensor([0.5, 3.0, 8.0], dtype=torch.float64)
LABEL_WEIGHT = torch.tensor([[1.0, 4.0], [0.5, 0.5], [9.0, 1.0]], dtype=torch.float64)


def posterior(loss, raw):
    """What raw scores say under the weights of the training."""
    return class_probabilities(loss.logits(raw, per_column=raw.shape[1] == 1))


def weighted(population, weight):
    """Posteriors of a population whose classes have these weights."""
    return population * weight / (population * weight).sum(dim=1, keepdim=True)


# Values of classes as columns of scores


def test_two_classes_beside_one_column_are_a_difference_and_otherwise_stay():
    assert_array_equal(to_columns(torch.tensor([2.0, 5.0]), 1), [3])
    assert_array_equal(to_columns(torch.tensor([2.0, 5.0]), 2), [2, 5])
    assert_array_equal(to_columns(WEIGHT, 3), WEIGHT)


@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_every_label_has_a_difference_of_its_own(n_labels):
    columns = to_columns(LABEL_WEIGHT[:n_labels], n_labels)
    assert columns.shape == (n_labels,)
    assert_array_equal(columns, [3, 0, -8][:n_labels])


# Without a correction


@pytest.mark.parametrize("loss", [None, nn.CrossEntropyLoss(), CrossEntropy(), CrossEntropy(0.2)])
@pytest.mark.parametrize("raw", [LOGIT, RAW[:, :2], RAW], ids=["logit", "two", "three"])
@pytest.mark.parametrize("labels", [False, True])
def test_scores_are_what_the_network_returns_where_nothing_is_corrected(loss, raw, labels):
    before = raw.clone()
    assert_array_equal(ClassLink(loss, labels).scores(raw), raw, strict=True)
    assert_array_equal(raw, before)
    assert len(raw.unique()) == raw.numel()


def test_a_network_without_columns_has_one():
    link = ClassLink(None, multilabel=False, log_weight=torch.tensor([0.0, 1.0]))
    assert_array_equal(link.scores(RAW[:, 0]), LOGIT - 1)
    assert_array_equal(link.probabilities(RAW[:, 0]), link.probabilities(LOGIT))


def test_labels_have_a_sigmoid_each_and_classes_share_a_softmax():
    assert_array_equal(ClassLink(None, multilabel=True).probabilities(RAW), torch.sigmoid(RAW))
    assert_allclose(
        ClassLink(None, multilabel=False).probabilities(RAW), torch.softmax(RAW, 1), rtol=1e-12
    )
    both = torch.cat([1 - torch.sigmoid(LOGIT), torch.sigmoid(LOGIT)], dim=1)
    assert_allclose(ClassLink(None, multilabel=False).probabilities(LOGIT), both, rtol=1e-12)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("loss", [Focal(2.0), PolyTailed()])
def test_the_inverse_link_of_the_loss_is_applied(loss, labels):
    raw = RAW if labels else LOGIT
    scores = ClassLink(loss, labels).scores(raw)
    assert_array_equal(scores, loss.logits(raw, per_column=True))
    assert (scores - raw).abs().max() > 0.1
    assert_array_equal(scores > 0, raw > 0)


# Class weights taken out of the odds


def test_one_logit_loses_the_logarithm_of_the_ratio_of_weights():
    link = ClassLink(None, multilabel=False, log_weight=WEIGHT[:2].log())
    assert_allclose(link.scores(LOGIT), LOGIT - np.log(6), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_class_loses_the_logarithm_of_its_weight(n_classes):
    link = ClassLink(None, multilabel=False, log_weight=WEIGHT[:n_classes].log())
    expected = RAW[:, :n_classes].numpy() - np.log([0.5, 3.0, 8.0][:n_classes])
    assert_allclose(link.scores(RAW[:, :n_classes]), expected, rtol=1e-12)


def test_every_label_loses_the_logarithm_of_the_ratio_of_its_weights():
    link = ClassLink(None, multilabel=True, log_weight=LABEL_WEIGHT.log())
    expected = RAW.numpy() - np.log([4.0, 1.0, 1 / 9])
    assert_allclose(link.scores(RAW), expected, rtol=1e-12)


def test_one_logit_and_two_columns_are_corrected_alike():
    link = ClassLink(None, multilabel=False, log_weight=WEIGHT[:2].log())
    columns = torch.cat([torch.zeros_like(LOGIT), LOGIT], dim=1)
    assert_allclose(link.probabilities(columns), link.probabilities(LOGIT), rtol=1e-12)
    assert (link.probabilities(LOGIT) - class_probabilities(LOGIT)).abs().max() > 0.1


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(0.5), Focal(3.0)])
def test_corrected_probabilities_are_those_of_the_population(loss, n_classes):
    raw, weight = RAW[:, :n_classes], WEIGHT[:n_classes]
    link = ClassLink(loss, multilabel=False, log_weight=weight.log())
    found = link.probabilities(raw)
    # Their weights put back in, they are the posterior that the training saw.
    assert_allclose(weighted(found, weight), posterior(loss, raw), rtol=1e-9)
    assert (found - posterior(loss, raw)).abs().max() > 0.1


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(), PolyTailed()])
def test_a_corrected_logit_tells_the_probability_of_the_population(loss):
    found = ClassLink(loss, multilabel=False, log_weight=WEIGHT[:2].log()).probabilities(LOGIT)
    assert_allclose(weighted(found, WEIGHT[:2]), posterior(loss, LOGIT), rtol=1e-9)
    of_label = ClassLink(loss, multilabel=True, log_weight=WEIGHT[None, :2].log())
    assert_allclose(of_label.probabilities(LOGIT)[:, 0], found[:, 1], rtol=1e-12)


def test_ten_percent_under_balanced_weights_are_one_half_and_ten_percent_again():
    balanced = torch.tensor([1 / 0.9, 1 / 0.1], dtype=torch.float64)
    link = ClassLink(None, multilabel=False, log_weight=balanced.log())
    assert_allclose(class_probabilities(torch.zeros(1, 1)), [[0.5, 0.5]])
    found = link.probabilities(torch.zeros(1, 1, dtype=torch.float64))
    assert_allclose(found, [[0.9, 0.1]], rtol=1e-12)


def test_equal_weights_correct_nothing_whatever_they_are():
    for n_columns in (1, 2, 3):
        raw, weight = RAW[:, :n_columns], torch.full((max(n_columns, 2),), 7.0).double()
        corrected = ClassLink(None, multilabel=False, log_weight=weight.log())
        plain = ClassLink(None, multilabel=False)
        assert_allclose(corrected.probabilities(raw), plain.probabilities(raw), rtol=1e-12)


# What the training added to the scores


@pytest.mark.parametrize(
    ("raw", "offset", "labels", "expected"),
    [
        (LOGIT, [1.0, -0.5], False, [-1.5]),
        (RAW[:, :2], [1.0, -0.5], False, [1.0, -0.5]),
        (RAW, [1.0, -0.5, 2.0], False, [1.0, -0.5, 2.0]),
        (RAW, [[1.0, -0.5], [0.0, 3.0], [2.0, 2.0]], True, [-1.5, 3.0, 0.0]),
    ],
)
def test_an_offset_is_added_as_in_training(raw, offset, labels, expected):
    link = ClassLink(None, labels, adjustment=torch.tensor(offset))
    assert_allclose(link.scores(raw), raw + torch.tensor(expected), rtol=1e-12)


def test_offset_then_inverse_link_then_weights():
    loss, offset = Focal(2.0), torch.tensor([0.5, -1.0, 1.0]).double()
    scores = ClassLink(loss, False, offset, WEIGHT.log()).scores(RAW)
    expected = loss.logits(RAW + offset, per_column=False) - WEIGHT.log()
    assert_allclose(scores, expected, rtol=1e-12)
    # No other order gives the same, not even up to a constant of the row.
    for other in (
        loss.logits(RAW, per_column=False) + offset - WEIGHT.log(),
        loss.logits(RAW + offset - WEIGHT.log(), per_column=False),
    ):
        difference = other - expected
        assert (difference - difference.mean(dim=1, keepdim=True)).abs().max() > 0.1


def test_an_inverse_link_under_an_offset_tells_the_population():
    loss, offset = Focal(2.0), torch.tensor([2.0, -1.0]).double()
    link = ClassLink(loss, False, offset, WEIGHT[:2].log())
    seen = posterior(loss, LOGIT + to_columns(offset, 1))
    assert_allclose(weighted(link.probabilities(LOGIT), WEIGHT[:2]), seen, rtol=1e-9)
    assert (link.probabilities(LOGIT)[:, 1] - seen[:, 1]).abs().max() > 0.1


# Numbers


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_keep_the_type_of_the_network_whatever_that_of_the_weights(dtype, labels):
    offset, log_weight = torch.zeros(3), WEIGHT.log()
    if labels:
        offset, log_weight = torch.zeros(3, 2), LABEL_WEIGHT.log()
    link = ClassLink(CrossEntropy(), labels, offset, log_weight)
    assert link.scores(RAW.to(dtype)).dtype == dtype
    assert link.probabilities(RAW.to(dtype)).dtype == dtype


@pytest.mark.parametrize("loss", [None, CrossEntropy(), Focal(0.5), Focal(5.0)])
@pytest.mark.parametrize("scale", [1, 100])
def test_probabilities_are_positive_and_sum_to_one_in_float64(loss, scale):
    for n_columns in (1, 2, 3):
        weight = WEIGHT[: max(n_columns, 2)]
        link = ClassLink(loss, multilabel=False, log_weight=weight.log())
        found = link.probabilities(scale * RAW[:, :n_columns])
        assert found.shape == (9, max(n_columns, 2)) and found.dtype == torch.float64
        assert (found > 0).all()
        assert_allclose(found.sum(dim=1), np.ones(9), rtol=1e-14)
        assert found.max() - found.min() > 0.5


def test_probabilities_of_labels_are_positive_and_one_for_each():
    link = ClassLink(Focal(), multilabel=True, log_weight=LABEL_WEIGHT.log())
    for scale in (1, 1000):
        found = link.probabilities(scale * RAW)
        assert found.shape == RAW.shape
        assert (found > 0).all() and (found <= 1).all()
    assert found.min() == torch.finfo(torch.float64).tiny
    assert found.log().isfinite().all()


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(), PolyTailed()])
def test_a_correction_moves_the_threshold_and_not_the_ranking_of_a_logit(loss):
    plain = ClassLink(loss, multilabel=False).scores(LOGIT)[:, 0]
    corrected = ClassLink(loss, multilabel=False, log_weight=WEIGHT[:2].log()).scores(LOGIT)[:, 0]
    assert_array_equal(corrected.argsort(), plain.argsort())
    assert (corrected > 0).sum() < (plain > 0).sum()


# In a classifier


class StartsAtTheConstant(Intercept):
    """A model without inputs, at its best before any step."""

    def adapt_output(self, constant):
        with torch.no_grad():
            self.logit.copy_(constant)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize(
    ("params", "seen"),
    [
        ({"class_weight": {0: 1, 1: 4}}, 0.5),
        ({"class_weight": {0: 1, 1: 16}, "class_weight_power": 0.5}, 0.5),
        ({"class_weight": "balanced", "logit_adjustment": 0.5}, 1 / (1 + 4**-0.5)),
        ({"logit_adjustment": 1.0}, 0.5),
    ],
)
def test_a_classifier_tells_the_prior_of_its_rows_if_asked_to(params, seen, n_outputs):
    X, y = np.arange(50.0)[:, None], np.repeat([0, 1], [40, 10])
    params = {**params, "max_epochs": 1, "lr": 1e-12, "device": "cpu"}
    module = StartsAtTheConstant(1, n_outputs)
    asked = WeightedTorchClassifier(module, correct_prior=True, **params).fit(X, y)
    assert_allclose(asked.predict_proba(X[:1]), [[0.8, 0.2]], rtol=1e-6)
    assert_allclose(asked.decision_function(X[:1]), [np.log(0.25)], rtol=1e-6)
    plain = WeightedTorchClassifier(module, **params).fit(X, y)
    assert_allclose(plain.predict_proba(X[:1])[:, 1], [seen], rtol=1e-6)
