"""Shifts of raw scores that match means, also of saturated scores, rare classes, heavy weights."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.nn import functional as F

from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    ClassLink,
    CrossEntropy,
    Focal,
    PolyTailed,
    from_criterion,
    matching_shift_of_classes,
    matching_shift_of_numbers,
)

N = 2000
LINKS = [CrossEntropy(), Focal(2.0), Focal(0.5), PolyTailed(), PolyTailed(0.3)]
KINDS = {"one logit": 2, "two scores": 2, "three classes": 3, "ten classes": 10, "labels": 4}
# "poly_tailed" is a loss of one logit.
BOTH = [
    (loss, kind)
    for loss in LINKS
    for kind in KINDS
    if kind in ("one logit", "labels") or not isinstance(loss, PolyTailed)
]


def problem(kind, scale, rare, far):
    """Raw scores, heavy-tailed weights and shares; the last score is far from the others."""
    rng = np.random.default_rng(0)
    n = KINDS[kind]
    raw = scale * rng.normal(size=(N, 1 if kind == "one logit" else n))
    raw[:, -1] += far
    weight = rng.pareto(1.05, size=(N, n if kind == "labels" else 1)) + 1e-3
    share = np.full(n, 1e-7) if rare else rng.dirichlet(np.ones(n))
    if kind != "labels":
        share[0] += 1 - share.sum()
    return [torch.from_numpy(a) for a in (raw, weight / weight.sum(axis=0), share)]


@pytest.mark.parametrize("far", [0.0, 300.0], ids=["near", "far"])
@pytest.mark.parametrize("rare", [False, True], ids=["common", "rare"])
@pytest.mark.parametrize("scale", [0.0, 2.0, 40.0])
@pytest.mark.parametrize(("loss", "kind"), BOTH, ids=lambda v: getattr(v, "_get_name", str)())
def test_shares_are_matched_however_far_the_scores_are_from_them(loss, kind, scale, rare, far):
    raw, weight, share = problem(kind, scale, rare, far)
    link = ClassLink(loss, multilabel=kind == "labels")
    if isinstance(loss, PolyTailed) and rare:
        share = share.clamp(1e-3, 1 - 1e-3)  # beyond, its scores leave float64
    shift, gap = matching_shift_of_classes(link, raw, weight, share)
    assert shift.shape == raw.shape[1:]
    assert shift.dtype == torch.float64
    mean = (weight * link.probabilities(raw + shift)).sum(dim=0)
    assert_allclose(mean, share, rtol=1e-10)
    assert gap < 1e-10
    if raw.shape[1] > 1 and kind != "labels":
        assert abs(shift.sum()) < 1e-12 * (1 + shift.abs().max())


def test_columns_of_labels_are_solved_apart():
    raw, weight, share = problem("labels", 2.0, False, 0.0)
    together, _ = matching_shift_of_classes(ClassLink(CrossEntropy(), True), raw, weight, share)
    for label in range(4):
        alone, _ = matching_shift_of_classes(
            ClassLink(CrossEntropy(), multilabel=True),
            raw[:, [label]],
            weight[:, [label]],
            share[[label]],
        )
        assert_allclose(alone[0], together[label], rtol=1e-9)


def test_steps_that_no_number_can_divide_are_told_by_the_gap():
    raw = torch.tensor([[-1e18], [1e18]], dtype=torch.float64)
    weight, share = torch.tensor([[0.3], [0.7]]).double(), torch.tensor([0.6, 0.4]).double()
    shift, gap = matching_shift_of_classes(ClassLink(CrossEntropy(), False), raw, weight, share)
    assert shift.isfinite().all()
    assert gap > 0.1


@pytest.mark.parametrize("gamma", [0.5, 2.0, 10.0])
@pytest.mark.parametrize("n_columns", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 50.0, 2000.0])
def test_the_focal_link_has_finite_slopes_at_saturated_scores(gamma, n_columns, scale):
    raw = scale * torch.randn(50, n_columns, dtype=torch.float64, generator=torch.manual_seed(0))
    raw[0] = 0
    shift = torch.zeros(n_columns, dtype=torch.float64, requires_grad=True)
    link = ClassLink(Focal(gamma), multilabel=False)
    (slope,) = torch.autograd.grad(link.scores(raw + shift)[:, 0].sum(), shift)
    assert slope.isfinite().all()
    assert slope[0] > 0


# --------------------------------------------------------------------------------------
# Which criteria have a mean
# --------------------------------------------------------------------------------------

OF_NUMBERS = [
    *REGRESSOR_CRITERIA,
    *(nn.MSELoss, nn.L1Loss, nn.PoissonNLLLoss, nn.HuberLoss, nn.SmoothL1Loss),
]
OF_CLASSES = [
    *[(name, {}) for name in CLASSIFIER_CRITERIA],
    *[(kind, {}) for kind in (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.SoftMarginLoss)],
    (nn.NLLLoss, {}),
    (F.cross_entropy, {"reduction": "none"}),
    (F.binary_cross_entropy_with_logits, {"reduction": "none"}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    (nn.CrossEntropyLoss, {"label_smoothing": 0.1}),
]
SHARE = torch.tensor([0.8, 0.2], dtype=torch.float64)


def name_of(value):
    return str(getattr(value, "__name__", value))


@pytest.mark.parametrize("criterion", OF_NUMBERS, ids=name_of)
def test_has_mean_says_whether_the_best_constant_is_the_mean_of_numbers(criterion):
    y = torch.from_numpy(np.random.default_rng(0).gamma(1.0, size=501))
    y /= y.mean()
    loss = from_criterion(criterion, {}, REGRESSOR_CRITERIA)
    raw = torch.zeros(len(y), loss.traits.n_columns, dtype=torch.float64)
    weight = torch.full((len(y), 1), 1 / len(y), dtype=torch.float64)
    shift, _ = matching_shift_of_numbers(loss, raw, weight, y.mean().reshape(1))
    constant = shift.requires_grad_()
    (slope,) = torch.autograd.grad(loss(constant.expand(len(y), -1), y).mean(), constant)
    assert (abs(slope[0]) < 1e-6) == loss.traits.has_mean


@pytest.mark.parametrize(("criterion", "params"), OF_CLASSES, ids=name_of)
def test_has_mean_says_whether_the_best_constant_is_the_share_of_a_class(criterion, params):
    loss = from_criterion(criterion, params, CLASSIFIER_CRITERIA)
    traits, y = loss.traits, torch.tensor([0, 1])
    raw = torch.zeros(2, 2 if traits.one_column_per_class else 1, dtype=torch.float64)
    link = ClassLink(loss.criterion, multilabel=False)
    shift, _ = matching_shift_of_classes(link, raw, SHARE[:, None], SHARE)
    constant = shift.requires_grad_()
    scores = constant.expand(2, -1)
    scores = scores.log_softmax(dim=1) if traits.takes_log_probabilities else scores
    (slope,) = torch.autograd.grad((SHARE * loss(scores, y)).sum(), constant)
    assert (slope.abs().max() < 1e-6) == traits.has_mean
