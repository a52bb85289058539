"""What may be given as a criterion, what it asks for, and that it returns one loss per row.

Several targets, labels, offsets and constants are in ``test_row_loss.py``, the losses by name
in ``test_classification.py`` and ``test_regression.py``.
"""

import copy
import pickle
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional as F

from skweight._keywords import check_keywords
from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    CriterionError,
    RowLoss,
    Traits,
    from_criterion,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(7, 4))
CODES = np.array([0, 1, 2, 3, 2, 1, 0])
BINARY = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def build(criterion, params=None, names=REGRESSOR_CRITERIA):
    return from_criterion(criterion, params or {}, names)


# from_criterion


class OwnLoss(nn.Module):
    """A user's loss without a ``reduction``."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, output, target):
        return self.scale * (output - target).abs()


def own_function(output, target, scale=1.0):
    return scale * (output - target).abs()


@pytest.mark.parametrize("names", [CLASSIFIER_CRITERIA, REGRESSOR_CRITERIA])
def test_no_criterion_is_the_first_name_and_a_name_is_its_class(names):
    assert len(names) >= 3
    first, *_ = names.values()
    assert type(build(None, names=names).criterion) is first
    for name, criterion in names.items():
        assert type(build(name, names=names).criterion) is criterion


def test_parameters_reach_the_class_behind_a_name():
    assert build("focal", {"gamma": 0.5}, CLASSIFIER_CRITERIA).criterion.gamma == 0.5
    assert build("quantile", {"quantile": [0.9, 0.1]}).criterion.levels == (0.9, 0.1)
    assert build(partial(nn.HuberLoss, delta=3.0)).criterion.delta == 3
    with pytest.raises(ValueError, match=r"^criterion__gamma must be .*got -1"):
        build("focal", {"gamma": -1}, CLASSIFIER_CRITERIA)


@pytest.mark.parametrize("criterion", [OwnLoss, own_function, partial(own_function)])
def test_parameters_reach_classes_and_functions(criterion):
    output, target = torch.tensor([[1.0], [5.0]]), torch.tensor([0.0, 2.0])
    assert_array_equal(build(criterion)(output, target), [1, 3])
    assert_array_equal(build(criterion, {"scale": 10.0})(output, target), [10, 30])


def test_a_loss_class_is_built_without_reduction_and_with_its_parameters():
    loss = build(nn.HuberLoss, {"delta": 0.5})
    values = loss(torch.tensor([[0.1], [2.0]]), torch.zeros(2))
    assert loss.criterion.reduction == "none"
    assert_allclose(values, [0.1**2 / 2, 0.5 * (2 - 0.25)], rtol=1e-6)
    assert_array_equal(
        build(nn.HuberLoss, {"delta": 0.5, "reduction": "none"})(torch.ones(2, 1), torch.zeros(2)),
        loss(torch.ones(2, 1), torch.zeros(2)),
    )


def test_an_instance_is_copied_and_never_moved_or_changed():
    given = nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor([3.0]))
    loss = build(given)
    assert type(loss.criterion) is type(given)
    assert loss.criterion is not given
    loss.to(dtype=torch.float64, device="meta").eval()
    assert (given.pos_weight.device.type, given.pos_weight.dtype) == ("cpu", torch.float32)
    assert given.training
    assert loss.criterion.pos_weight.device.type == "meta"


@pytest.mark.parametrize(
    ("criterion", "params", "error", "came"),
    [
        ("squared_eror", {}, ValueError, "got 'squared_eror'.*Did you mean 'squared_error'"),
        ("xyz", {}, ValueError, r"\['squared_error', .*'poisson'.*\].*got 'xyz'\.$"),
        ("mse", {}, ValueError, r"got 'mse'\. Did you mean 'squared_error'\?$"),
        ("MAE", {}, ValueError, r"got 'MAE'\. Did you mean 'absolute_error'\?$"),
        ("log_loss", {}, ValueError, r"got 'log_loss'\.$"),  # a loss of classes
        ("quantile", {"quantiles": [0.5]}, ValueError, "Did you mean 'criterion__quantile'"),
        (3, {}, TypeError, "got int"),
        (nn.HuberLoss, {"delt": 1}, ValueError, "Did you mean 'criterion__delta'"),
        (own_function, {"scal": 1}, ValueError, "Did you mean 'criterion__scale'"),
        (OwnLoss, {"xyz": 1}, ValueError, r"criterion__xyz.*takes \['scale'\]\.$"),
        (None, {"beta": 1}, (TypeError, ValueError), "criterion__beta"),
        (dict, {}, TypeError, "nn loss class when it is a class, got dict"),
        (nn.SmoothL1Loss(reduction="none"), {"beta": 2}, (TypeError, ValueError), "beta"),
        (nn.MSELoss, {"reduction": "sum"}, ValueError, "criterion__reduction .*got 'sum'"),
        (nn.MSELoss, {"reduction": "mean"}, ValueError, "criterion__reduction .*got 'mean'"),
    ],
)
def test_what_is_no_criterion_or_no_parameter_of_it_is_refused(criterion, params, error, came):
    with pytest.raises(error, match=f"(?=.*criterion).*{came}"):
        build(criterion, params)


def test_keywords_that_a_function_may_take_are_not_refused():
    check_keywords(lambda **anything: None, {"whatever": 1}, "module")
    check_keywords(dict, {"whatever": 1}, "module")  # a builtin has no signature
    with pytest.raises(ValueError, match=r"module__whatever: module <lambda> takes \[\]"):
        check_keywords(lambda: None, {"whatever": 1}, "module")


# RowLoss


@pytest.mark.parametrize(
    ("criterion", "got"),
    [
        (nn.MSELoss(), r"got shape \(\)"),
        (lambda output, target: (output - target).sum(), r"got shape \(\)"),
        (lambda output, target: (output - target)[:2], r"got shape \(2, 1\)"),
        (lambda output, target: (output - target).T, r"got shape \(1, 3\)"),
        (lambda output, target: 1.0, "got float"),
        (lambda output, target: None, "got NoneType"),
    ],
)
def test_anything_but_one_loss_per_row_is_refused_with_a_way_out(criterion, got):
    with pytest.raises(ValueError, match=rf'(?s)one loss per row.*\(3,\).*{got}.*"none"'):
        build(criterion)(torch.ones(3, 1), torch.zeros(3))


def test_trailing_dimensions_are_averaged():
    loss = RowLoss(lambda output, target: output.reshape(2, 2, 3))
    values = torch.arange(12.0).reshape(2, 6)
    assert_array_equal(loss(values, torch.zeros(2).long()), [2.5, 8.5])


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64])
def test_targets_take_the_shape_and_dtype_of_one_column(shape, dtype):
    seen = []

    def criterion(output, target):
        seen.append(target)
        return output - target

    loss = RowLoss(criterion)(torch.zeros(shape), torch.tensor([1, 2, 3], dtype=dtype))
    assert seen[0].shape == shape
    assert seen[0].dtype == torch.float32
    # Broadcasting (3,) against (3, 1) would give every row the same mean, -2.
    assert_array_equal(loss, [-1, -2, -3])


def test_codes_stay_codes_beside_several_columns():
    output, codes = torch.from_numpy(LOGITS), torch.from_numpy(CODES)
    for criterion in (None, nn.CrossEntropyLoss, nn.MultiMarginLoss):
        loss = build(criterion, names=CLASSIFIER_CRITERIA)
        assert loss(output, codes).shape == (7,)
    plain = F.cross_entropy(output, codes, reduction="none")
    assert_array_equal(build(nn.CrossEntropyLoss)(output, codes), plain)


WEIGHT = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("criterion", "params", "name"),
    [
        (nn.CrossEntropyLoss, {"weight": WEIGHT}, "weight"),
        (nn.CrossEntropyLoss(weight=WEIGHT, reduction="none"), {}, "weight"),
        (nn.BCEWithLogitsLoss, {"pos_weight": WEIGHT[1:]}, "pos_weight"),
        (partial(nn.BCEWithLogitsLoss(pos_weight=WEIGHT[1:])), {}, "pos_weight"),
        (nn.CrossEntropyLoss, {}, None),
        (nn.BCEWithLogitsLoss, {}, None),
        (nn.MSELoss, {}, None),
        (None, {}, None),
        (own_function, {"scale": 2.0}, None),
    ],
)
def test_class_weights_inside_the_criterion_are_seen(criterion, params, name):
    assert build(criterion, params).traits.own_weight == name


class SubclassOfCrossEntropy(nn.CrossEntropyLoss):
    pass


@pytest.mark.parametrize(
    ("criterion", "needs_two_columns", "units"),
    [
        (nn.CrossEntropyLoss, True, "as_given"),
        (SubclassOfCrossEntropy, True, "as_given"),
        (nn.NLLLoss(reduction="none"), True, "as_given"),
        (nn.MultiMarginLoss, True, "as_given"),
        (partial(F.cross_entropy, reduction="none"), True, "as_given"),
        (nn.BCEWithLogitsLoss, False, "as_given"),
        ("squared_error", False, "standardised"),
        ("gaussian_nll", False, "standardised"),
        ("tweedie", False, "mean_one"),
        (nn.MSELoss, False, "standardised"),
        (nn.L1Loss(reduction="none"), False, "robust"),
        (nn.HuberLoss, False, "as_given"),
        (nn.PoissonNLLLoss, False, "mean_one"),
        (own_function, False, "as_given"),
    ],
)
def test_columns_and_units_that_a_criterion_asks_for(criterion, needs_two_columns, units):
    loss = build(criterion)
    assert loss.traits.one_column_per_class is needs_two_columns
    assert loss.traits.units == units


@dataclass
class Equal:
    """A callable that cannot be hashed, since it compares by value."""

    scale: float = 1.0

    def __call__(self, output, target):
        return self.scale * (output - target).abs()


def test_a_callable_of_any_kind_has_traits_and_keeps_them_when_copied():
    assert build(Equal()).traits == build(own_function).traits == Traits()
    for criterion in (nn.NLLLoss, partial(F.nll_loss, reduction="none")):
        loss = build(criterion)
        assert loss.traits.takes_log_probabilities and loss.traits.one_column_per_class
        for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert copied.traits == loss.traits != Traits()


@pytest.mark.parametrize("name", CLASSIFIER_CRITERIA)
def test_losses_of_classes_by_name_take_one_logit_and_leave_targets_alone(name):
    traits = build(name, names=CLASSIFIER_CRITERIA).traits
    assert not traits.one_column_per_class
    assert (traits.units, traits.n_columns, traits.log_link) == ("as_given", 1, False)


@pytest.mark.parametrize(
    ("criterion", "params", "known"),
    [
        ("cross_entropy", {}, True),
        ("cross_entropy", {"label_smoothing": 0.1}, False),
        ("focal", {}, True),
        ("poly_tailed", {}, True),
        (nn.CrossEntropyLoss, {}, True),
        (nn.CrossEntropyLoss, {"label_smoothing": 0.1}, False),
        (nn.MultiMarginLoss, {}, False),
        (nn.SoftMarginLoss, {}, False),
    ],
)
def test_smoothed_labels_and_margins_tell_no_probabilities(criterion, params, known):
    assert build(criterion, params, CLASSIFIER_CRITERIA).traits.has_probabilities is known


@pytest.mark.parametrize(
    "criterion", [nn.MSELoss, nn.L1Loss, "squared_error", "absolute_error", "quantile"]
)
def test_a_standardised_target_scales_the_loss_by_a_constant(criterion):
    loss = build(criterion)
    output, target = torch.from_numpy(LOGITS[:, :1]), torch.from_numpy(LOGITS[:, 1])
    ratio = loss(output * 7 + 3, target * 7 + 3) / loss(output, target)
    assert ratio[0] > 1
    assert_allclose(ratio, ratio[0].expand(7), rtol=1e-12)


# Trying a criterion


def complaining(output, target):
    raise ValueError("criterion of mine")


@pytest.mark.parametrize(
    ("criterion", "output", "target", "came"),
    [
        (nn.BCELoss, LOGITS[:, :1], BINARY.astype(int), "raw scores, but BCELoss takes prob"),
        (nn.MSELoss, LOGITS[:, :1], BINARY.astype(int), "class scores .*got MSELoss"),
        (nn.CrossEntropyLoss, LOGITS, LOGITS > 1, "multilabel y, got CrossEntropyLoss"),
        (nn.NLLLoss, LOGITS, CODES, "NLLLoss takes logarithms"),
        ("poly_tailed", LOGITS, CODES, r"one logit.*\(7, 4\)\.$"),
        (nn.MultiLabelMarginLoss, LOGITS, CODES, r"failed on .*\(7, 4\).*\(7,\), torch.int64"),
        (lambda o, t: F.softmax(o, 1)[:, 0], LOGITS[:, :1], BINARY.astype(int), "not depend on"),
        (lambda o, t: t, LOGITS[:, :1], BINARY.astype(int), "losses with a gradient"),
        (
            lambda o, t: (o.squeeze(1) > 0).long(),
            LOGITS[:, :1],
            BINARY.astype(int),
            r"losses that are real numbers, got torch.int64\.$",
        ),
        (lambda o, t: o.sum(), LOGITS[:, :1], BINARY.astype(int), "one loss per row"),
        (partial(F.nll_loss, reduction="none"), LOGITS, CODES, "nll_loss takes logarithms"),
        (complaining, LOGITS, CODES, r"complaining failed on .*: criterion of mine"),
    ],
)
def test_a_criterion_that_cannot_be_used_says_why(criterion, output, target, came):
    loss = build(criterion, names=CLASSIFIER_CRITERIA)
    codes = torch.from_numpy(np.asarray(target, dtype=np.int64))
    with pytest.raises(CriterionError, match=rf"(?s)^criterion .*{came}"):
        loss.check(torch.from_numpy(output), codes)


def test_a_criterion_that_can_be_used_passes_its_trial():
    output = torch.from_numpy(LOGITS)
    for name in CLASSIFIER_CRITERIA:
        loss = build(name, names=CLASSIFIER_CRITERIA)
        loss.check(output[:, :1], torch.from_numpy(BINARY).long())
        loss.check(output, torch.from_numpy(LOGITS > 1).long())
        assert loss.adjustment is None and not loss.per_column
    for name in REGRESSOR_CRITERIA:
        loss = build(name)
        loss.check(output[:, : loss.traits.n_columns], output[:, 0].exp())
