"""An offset is added to the raw scores of each row: what models with one find, and their laws.

Kinds of steps are in ``tests/training/test_offset_steps.py``, searches in
``tests/search/test_search_offset.py``, and what is refused in ``test_offset_input.py``.
"""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from glm_reference import AMOUNT, COEFFICIENTS, COUNT, EXPOSURE, HIT, OFFSET, TARGETS, WEIGHT, X
from helpers import TO_CONVERGENCE
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import EpochScoring
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.weights import merge

QUICK = {"max_epochs": 4, "lr": 0.01, "random_state": 0, "device": "cpu"}
ONE = QUICK | {"n_members": 1}
rng = np.random.default_rng(0)
AT_ZERO = np.vstack([np.zeros(3), np.eye(3)])  # where predictions are coefficients
CLASSES = np.digitize(X[:, 0] + 0.5 * X[:, 2] + rng.normal(size=200), [-0.5, 0.4])
LABELS = np.c_[HIT, COUNT > 2].astype(int)


class Linear(nn.Linear):
    """A linear model that takes the input as it is."""


def own_poisson(output, target):
    """A user's Poisson loss, whose best score is a logarithm of y."""
    return output.exp() - target * output


def absolute(output, target):
    """A user's loss of predictions in units of y, which depends on y beside the error."""
    return (output - target).abs() * (1 + target.abs())


# --------------------------------------------------------------------------------------
# The models that it stands for
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_a_linear_module_is_the_generalised_linear_model_of_statsmodels(name):
    if name == "logistic":
        model = WeightedTorchClassifier(Linear, **TO_CONVERGENCE)
    else:
        model = WeightedTorchRegressor(Linear, criterion=name, **TO_CONVERGENCE)
    model.fit(X, TARGETS[name], WEIGHT, offset=OFFSET)
    none = np.zeros(4)
    scores = (
        model.decision_function(AT_ZERO, offset=none)
        if name == "logistic"
        else np.log(model.predict(AT_ZERO, offset=none))
    )
    found = np.r_[scores[0], scores[1:] - scores[0]]
    assert_allclose(found, COEFFICIENTS[name], atol=1e-4)
    without = clone(model).fit(X, TARGETS[name], WEIGHT)
    predict = getattr(model, "predict_proba", model.predict)
    assert np.abs(getattr(without, predict.__name__)(X) - predict(X, offset=OFFSET)).max() > 0.05


def test_log_exposures_of_counts_are_weights_of_rates():
    counts = WeightedTorchRegressor(Linear, criterion="poisson", **TO_CONVERGENCE)
    rates = clone(counts).fit(X, COUNT / EXPOSURE, EXPOSURE)
    counts.fit(X, COUNT, offset=OFFSET)
    assert_allclose(counts.predict(X, offset=OFFSET) / EXPOSURE, rates.predict(X), rtol=1e-4)
    assert_allclose(counts.predict(X, offset=0 * OFFSET), rates.predict(X), rtol=1e-4)
    assert np.ptp(rates.predict(X)) > 0.5


def test_multinomial_scores_have_an_offset_for_each_class():
    """Beside offsets ``X @ B`` the coefficients of a logistic regression are smaller by B."""
    B = np.array([[0.5, -0.2, 0.1], [0.0, 0.3, -0.4], [0.2, 0.2, 0.0]])
    plain = WeightedTorchClassifier(Linear, **TO_CONVERGENCE).fit(X, CLASSES, WEIGHT)
    beside = clone(plain).fit(X, CLASSES, WEIGHT, offset=X @ B)
    assert_allclose(beside.predict_proba(X, offset=X @ B), plain.predict_proba(X), atol=1e-3)
    found, expected = (model.module_.weight.detach().numpy() for model in (beside, plain))
    centred = B.T - B.T.mean(axis=0)
    assert_allclose(found - found.mean(0), expected - expected.mean(0) - centred, atol=5e-3)


def test_labels_have_an_offset_each():
    plain = WeightedTorchClassifier(Linear, **TO_CONVERGENCE).fit(X, LABELS, WEIGHT)
    offset = np.c_[0.7 * X[:, 0], -0.3 * X[:, 1] + 1]
    beside = clone(plain).fit(X, LABELS, WEIGHT, offset=offset)
    assert_allclose(
        beside.predict_proba(X, offset=offset), plain.predict_proba(X), atol=1e-3, rtol=1e-2
    )


RESIDUALS = {
    "squared_error": {},
    "absolute_error": {},
    "huber": {},
    "quantile": {"criterion__quantile": [0.9, 0.1]},
    "gaussian_nll": {},
}


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("criterion", [*RESIDUALS, nn.MSELoss, nn.L1Loss])
def test_under_a_loss_of_residuals_it_is_the_fit_to_what_it_leaves(criterion, n_members):
    params = RESIDUALS.get(criterion, {}) | QUICK | {"early_stopping": True}
    model = WeightedTorchRegressor(criterion=criterion, n_members=n_members, **params)
    beside = clone(model).fit(X, COUNT, WEIGHT, offset=EXPOSURE)
    plain = model.fit(X, COUNT - EXPOSURE, WEIGHT)
    found, left = beside.predict(X, offset=EXPOSURE), plain.predict(X)
    added = EXPOSURE.reshape(-1, *[1] * (left.ndim - 1))
    assert_array_equal(found, left + added)
    assert np.ptp(left) > 0.1
    if n_members > 1:
        assert_allclose(beside.oof_prediction_, plain.oof_prediction_ + added, rtol=1e-12)
        assert_array_equal(
            beside.predict_members(X, offset=EXPOSURE), plain.predict_members(X) + added
        )
    if criterion == "gaussian_nll":
        mean, std = beside.predict(X, return_std=True, offset=EXPOSURE)
        assert_array_equal(mean, found)
        assert_array_equal(std, plain.predict(X, return_std=True)[1])


def test_every_target_has_an_offset_of_its_own():
    y, offset = np.c_[COUNT, AMOUNT**2], np.c_[EXPOSURE, -3 * EXPOSURE]
    beside = WeightedTorchRegressor(**ONE).fit(X, y, offset=offset)
    plain = WeightedTorchRegressor(**ONE).fit(X, y - offset)
    assert_array_equal(beside.predict(X, offset=offset), plain.predict(X) + offset)
    model = WeightedTorchRegressor(Linear, criterion="poisson", **TO_CONVERGENCE)
    logs = np.c_[OFFSET, -0.5 * OFFSET]
    both = clone(model).fit(X, y, offset=logs).predict(X, offset=logs)
    for column in (0, 1):
        one = clone(model).fit(X, y[:, column], offset=logs[:, column])
        assert_allclose(both[:, column], one.predict(X, offset=logs[:, column]), rtol=1e-3)


def test_two_scores_of_two_classes_differ_by_the_offset():
    one = WeightedTorchClassifier(nn.Linear(3, 1), **TO_CONVERGENCE).fit(X, HIT, offset=OFFSET)
    two = WeightedTorchClassifier(nn.Linear(3, 2), **TO_CONVERGENCE).fit(X, HIT, offset=OFFSET)
    assert_allclose(
        two.predict_proba(X, offset=OFFSET), one.predict_proba(X, offset=OFFSET), atol=1e-4
    )
    pair = np.c_[np.full(200, 3.0), 3.0 + OFFSET]  # of which only the difference counts
    as_pair = clone(one).fit(X, HIT, offset=pair)
    assert_allclose(
        as_pair.predict_proba(X, offset=pair), one.predict_proba(X, offset=OFFSET), atol=1e-6
    )


@pytest.mark.parametrize(
    ("own", "named"), [(own_poisson, "poisson"), (nn.PoissonNLLLoss, "poisson")]
)
def test_a_criterion_of_the_user_is_given_outputs_with_their_offset(own, named):
    found, expected = (
        WeightedTorchRegressor(Linear, criterion=criterion, **TO_CONVERGENCE)
        .fit(X, COUNT, WEIGHT, offset=OFFSET)
        .predict(X, offset=OFFSET)
        for criterion in (own, named)
    )
    found = np.exp(found) if own is own_poisson else found
    assert_allclose(found, expected, rtol=1e-3)


def test_a_criterion_of_the_user_gets_predictions_in_units_of_y_with_their_offset():
    seen = []

    def squared(output, target):
        seen.append((output.detach().clone(), target.clone()))
        return (output - target) ** 2

    y, offset = 1000 * X[:, 0] + 5e6 + COUNT, 5e6 + 100 * OFFSET
    model = WeightedTorchRegressor(Linear, criterion=squared, **TO_CONVERGENCE)
    model.fit(X, y, WEIGHT, offset=offset)
    expected = WeightedTorchRegressor(Linear, **TO_CONVERGENCE).fit(X, y - offset, WEIGHT)
    assert_allclose(model.predict(X, offset=offset), expected.predict(X) + offset, atol=0.1)
    output, target = seen[-1]
    assert output.dtype == torch.float64
    assert float((output - target).abs().max()) < 2000 and float(target.min()) > 4e6


@pytest.mark.parametrize("criterion", [nn.HuberLoss, nn.SmoothL1Loss, absolute])
def test_losses_in_units_of_y_follow_a_shift_by_the_offset(criterion):
    """A constant moves predictions only, though the loss is given y as it is."""
    y = COUNT if criterion is not absolute else X[:, 0]
    model = WeightedTorchRegressor(criterion=criterion, **ONE)
    plain = clone(model).fit(X, y, offset=np.zeros(200)).predict(X, offset=np.zeros(200))
    without = clone(model).fit(X, y).predict(X)
    assert_allclose(plain, without, rtol=1e-5, atol=1e-5)
    if criterion is not absolute:
        c = np.full(200, 64.0)
        beside = clone(model).fit(X, y, offset=c).predict(X, offset=c)
        assert_allclose(beside, without, rtol=1e-4, atol=1e-4)
    assert np.ptp(without) > 0.1


# --------------------------------------------------------------------------------------
# Constants, and the start of training
# --------------------------------------------------------------------------------------

PROBLEMS = {
    "binary": (WeightedTorchClassifier, {}, HIT, OFFSET),
    "classes": (WeightedTorchClassifier, {}, CLASSES, np.c_[OFFSET, -OFFSET, X[:, 0]]),
    "labels": (WeightedTorchClassifier, {}, LABELS, np.c_[OFFSET, X[:, 1]]),
    "adjusted": (WeightedTorchClassifier, {"logit_adjustment": 1.0}, HIT, OFFSET),
    "weighted labels": (WeightedTorchClassifier, {"class_weight": "balanced"}, LABELS, X[:, :2]),
    "focal": (WeightedTorchClassifier, {"criterion": "focal"}, HIT, OFFSET),
    "poisson": (WeightedTorchRegressor, {"criterion": "poisson"}, COUNT, OFFSET),
    "gamma": (WeightedTorchRegressor, {"criterion": "gamma"}, AMOUNT, OFFSET),
    "tweedie": (WeightedTorchRegressor, {"criterion": "tweedie"}, COUNT, OFFSET),
    "squared error": (WeightedTorchRegressor, {}, COUNT, EXPOSURE),
    "own": (WeightedTorchRegressor, {"criterion": absolute}, COUNT, EXPOSURE),
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS)


def make(problem, **params):
    """An estimator for a problem, its y and its offset."""
    kind, settings, y, offset = PROBLEMS[problem]
    return kind(**ONE | settings | params), y, offset


def predicted(model, offset, rows=X):
    """Probabilities, or predicted numbers."""
    return getattr(model, "predict_proba", model.predict)(rows, offset=offset)


# The others' loss depends on y beside the error, and they start from the best constant under
# cross entropy.
shiftable = pytest.mark.parametrize("problem", [p for p in PROBLEMS if p != "own"])
best_starts = pytest.mark.parametrize("problem", sorted(PROBLEMS.keys() - {"adjusted", "focal"}))


@shiftable
def test_a_constant_on_all_offsets_changes_nothing(problem):
    model, y, offset = make(problem)
    found = predicted(clone(model).fit(X, y, offset=offset), offset)
    shift = 4.0
    moved = predicted(clone(model).fit(X, y, offset=offset + shift), offset + shift)
    assert_allclose(moved, found, rtol=2e-3, atol=1e-4)
    assert np.ptp(found) > 0.02
    assert (
        np.abs(predicted(clone(model).fit(X, y, offset=0 * offset), 0 * offset) - found).max()
        > 0.01
    )


@shiftable
@pytest.mark.parametrize("shift", [-80.0, 200.0])
def test_constants_may_be_large(problem, shift):
    """Of two classes the odds would be beyond float32, and so would a mean."""
    model, y, offset = make(problem)
    found = predicted(clone(model).fit(X, y, offset=offset), offset)
    moved = predicted(clone(model).fit(X, y, offset=offset + shift), offset + shift)
    assert_allclose(moved, found, rtol=0.05, atol=0.01)


@each_problem
def test_an_offset_of_zeros_is_no_offset(problem):
    model, y, offset = make(problem)
    zeros = 0 * offset
    found = predicted(clone(model).fit(X, y, WEIGHT, offset=zeros), zeros)
    plain = clone(model).fit(X, y, WEIGHT)
    without = getattr(plain, "predict_proba", plain.predict)(X)
    assert_allclose(found, without, rtol=1e-4, atol=1e-5)


class Constant(nn.Module):
    """Records the constant that it is to begin with."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(n_outputs))

    def adapt_output(self, constant):
        """Begin there."""
        self.scores.data.copy_(constant)

    def forward(self, X):
        """The same for every row."""
        return self.scores.expand(len(X), -1)


@best_starts
def test_training_starts_from_the_best_constant_beside_the_offset(problem):
    """Gradient steps do not find a better one."""
    settings = {"module": Constant, "batch_size": -1, "early_stopping": False}
    first, y, offset = make(problem, **settings, max_epochs=1, lr=1e-12)
    best, *_ = make(problem, **settings | TO_CONVERGENCE)
    losses = [
        model.fit(X, y, WEIGHT, offset=offset).history_[-1, "train_loss"] for model in (first, best)
    ]
    tolerance = 0.1 if problem == "own" else 1e-5
    assert losses[0] == pytest.approx(losses[1], abs=tolerance)
    zeros = 0 * offset
    other = clone(first).fit(X, y, WEIGHT, offset=zeros)
    assert np.abs(predicted(other, offset) - predicted(first, offset)).max() > 1e-3


@each_problem
@pytest.mark.parametrize("hidden_sizes", [(64, 64), ()])
def test_a_network_with_zero_output_starts_at_the_offset_alone(problem, hidden_sizes):
    """With the linear predictor of a fitted model, as in a CANN, its first predictions are those
    of the model, also where its constant is not the best one."""
    still = {"max_epochs": 1, "lr": 1e-12, "module__hidden_sizes": hidden_sizes}
    model, y, offset = make(problem, module__zero_output=True, **still)
    model.fit(X, y, WEIGHT, offset=offset)
    found = predicted(model, offset)
    multinomial = np.exp(offset) / np.exp(offset).sum(1, keepdims=True) if offset.ndim > 1 else 0
    sigmoid = 1 / (1 + np.exp(-offset))
    expected = {
        "binary": lambda: np.c_[1 - sigmoid, sigmoid],
        "adjusted": lambda: np.c_[1 - sigmoid, sigmoid],
        "classes": lambda: multinomial,
        "labels": lambda: sigmoid,
        "weighted labels": lambda: sigmoid,
        "squared error": lambda: offset,
        "own": lambda: offset,
    }
    if problem == "focal":
        assert_array_equal(found[:, 1] > 0.5, offset > 0)
    else:
        assert_allclose(found, expected.get(problem, lambda: np.exp(offset))(), rtol=2e-6)
    trained, *_ = make(problem, module__zero_output=True, module__hidden_sizes=hidden_sizes)
    moved = predicted(trained.fit(X, y, WEIGHT, offset=offset), offset)
    assert np.abs(moved - found).max() > 0.01


def test_zero_output_keeps_spreads_and_levels():
    still = {"max_epochs": 1, "lr": 1e-12, "early_stopping": False, "module__zero_output": True}
    gaussian = WeightedTorchRegressor(criterion="gaussian_nll", **ONE | still)
    mean, std = gaussian.fit(X, COUNT, offset=EXPOSURE).predict(X, True, offset=EXPOSURE)
    assert_allclose(mean, EXPOSURE, rtol=1e-6)
    assert_allclose(std, np.std(COUNT - EXPOSURE), rtol=1e-3)
    levels = WeightedTorchRegressor(criterion="quantile", criterion__quantile=[0.1, 0.9], **still)
    found = levels.fit(X, COUNT, offset=EXPOSURE).predict(X, offset=EXPOSURE)
    assert_allclose(found, np.c_[EXPOSURE, EXPOSURE], rtol=1e-6)


def test_zero_output_without_an_offset_starts_at_the_best_constant():
    still = {"max_epochs": 1, "lr": 1e-12, "early_stopping": False, "module__zero_output": True}
    model = WeightedTorchRegressor(criterion="poisson", **ONE | still).fit(X, COUNT, WEIGHT)
    assert_allclose(model.predict(X), np.average(COUNT, weights=WEIGHT), rtol=1e-6)
    with pytest.raises(ValueError, match=r"^module__zero_output must be True or False, got 1\."):
        WeightedTorchRegressor(module__zero_output=1).fit(X, COUNT)


def test_units_are_those_of_what_the_offset_leaves():
    model = WeightedTorchRegressor(criterion="poisson", **ONE)
    days = np.log(365 * EXPOSURE)
    years, in_days = (clone(model).fit(X, COUNT, offset=o) for o in (OFFSET, days))
    assert in_days.offset_location_ - years.offset_location_ == pytest.approx(np.log(365))
    assert_allclose(in_days.history_[:, "train_loss"], years.history_[:, "train_loss"], rtol=1e-5)
    found = years.module_(torch.zeros(1, 3)).exp().item() * years.target_scale_
    expected = years.predict(np.zeros((1, 3)), offset=[years.offset_location_])
    assert found == pytest.approx(expected[0], rel=1e-5)
    assert clone(model).fit(X, COUNT).offset_location_ == 0.0


# --------------------------------------------------------------------------------------
# The laws of weights, bit for bit
# --------------------------------------------------------------------------------------

STOPS = {
    "no_stopping": {"early_stopping": False},
    "stopping": {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 8},
    "members": {"early_stopping": True, "n_members": 3},
    "sampling": {"weighting": "sampling", "early_stopping": False},
}
GRID = np.round(X)  # with equal x
COPIES = rng.integers(0, 4, 200)


@pytest.fixture(params=STOPS)
def fit(request):
    """Fit a problem to a version of the rows; return predictions and losses."""

    def found(problem, rows, y, weight, offset):
        kind, settings, *_, grid_offset = PROBLEMS[problem]
        model = kind(**QUICK | {"n_members": 1, "batch_size": 32} | settings | STOPS[request.param])
        model.fit(rows, y, weight, offset=offset)
        losses = [net.history[:, "train_loss"] for net in model.nets_]
        values = predicted(model, np.round(2 * grid_offset) / 2, GRID).ravel()
        return np.concatenate([values, *losses])

    return found


LAWFUL = ["binary", "classes", "labels", "poisson", "gamma", "squared error", "own"]


@pytest.mark.parametrize("problem", LAWFUL)
def test_the_laws_of_weights_hold_with_offsets(problem, fit):
    y, offset = PROBLEMS[problem][2], np.round(2 * PROBLEMS[problem][3]) / 2
    weighted = fit(problem, GRID, y, COPIES, offset)
    kept = COPIES > 0
    assert_array_equal(fit(problem, GRID[kept], y[kept], COPIES[kept], offset[kept]), weighted)
    repeated = (np.repeat(part, COPIES, axis=0) for part in (GRID, y))
    copies = fit(problem, *repeated, None, np.repeat(offset, COPIES, axis=0))
    assert_array_equal(copies, weighted)
    order = rng.permutation(200)
    shuffled = fit(problem, GRID[order], y[order], COPIES[order], offset[order])
    assert_array_equal(shuffled, weighted)
    assert_array_equal(fit(problem, GRID, y, COPIES * 1024.0, offset), weighted)
    minus = np.where(offset == 0, -0.0, offset)
    assert_array_equal(fit(problem, GRID, y, COPIES, minus), weighted)
    assert np.abs(fit(problem, GRID, y, COPIES, 0 * offset)[:200] - weighted[:200]).max() > 1e-3


def test_rows_with_other_offsets_are_other_rows_with_the_same_x():
    x, y = np.zeros((5, 1)), np.ones(5)
    offset = np.array([[2.0], [1.0], [2.0], [1.0], [-1.0]])
    rows = merge(x, y, None, 1.0, keep_copies=True, offset=offset)
    assert_array_equal(rows.offset, [[-1.0], [1.0], [2.0]])
    assert_array_equal(rows.mass, [1, 2, 2])
    assert_array_equal(rows.numbers(), [2, 1, 2, 1, 0])
    assert len(np.unique(rows.inputs)) == 1  # held out together
    assert_array_equal(rows.take(np.array([2, 0])).offset, [[2.0], [-1.0]])
    assert len(merge(x, y, None, 1.0).index) == 1


def test_categories_are_ordered_with_their_offsets():
    frame = pd.DataFrame({"kind": rng.choice([*"abcde"], 200), "number": np.round(X[:, 0])})
    offset = np.round(2 * OFFSET) / 2
    model = WeightedTorchRegressor(criterion="poisson", **ONE)
    expected = clone(model).fit(frame, COUNT, COPIES, offset=offset).predict(frame, offset=offset)
    order = np.flatnonzero(COPIES)[::-1]
    order = np.repeat(order, COPIES[order])
    found = clone(model).fit(frame.iloc[order], COUNT[order], offset=offset[order])
    assert_array_equal(found.predict(frame, offset=offset), expected)


# --------------------------------------------------------------------------------------
# Members, validation rows, scores, callbacks, continued fits
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["binary", "classes", "poisson"])
def test_members_and_their_held_out_predictions_have_the_offset(problem):
    model, y, offset = make(problem, n_members=3, early_stopping=True)
    model.fit(X, y, WEIGHT, offset=offset)
    each = model.predict_members(X, offset=offset)
    assert each.shape[0] == 3
    assert_allclose(each.mean(axis=0), predicted(model, offset), rtol=1e-12)
    held_out = model.oof_prediction_
    matches = np.stack([(np.abs(m - held_out) < 1e-12).reshape(200, -1).all(1) for m in each])
    assert matches.any(axis=0).mean() > 0.98  # a few rows are in two folds
    assert matches.sum(axis=1).min() > 50
    assert model.oof_score_ == pytest.approx(model._score_of(y, held_out, WEIGHT))
    if problem == "binary":
        log_odds = model.decision_function(X, offset=offset)
        assert_allclose(1 / (1 + np.exp(-log_odds)), predicted(model, offset)[:, 1], rtol=1e-9)
        assert_array_equal(model.predict(X, offset=offset), log_odds > 0)


@each_problem
def test_validation_rows_have_an_offset_too(problem):
    """Early stopping on rows of one's own is that on rows that were held out."""
    model, y, offset = make(problem, early_stopping=True, max_epochs=30, n_iter_no_change=2)
    train, valid = slice(0, 150), slice(150, 200)
    val = {"X_val": X[valid], "y_val": y[valid], "sample_weight_val": WEIGHT[valid]}
    found = clone(model).fit(
        X[train], y[train], offset=offset[train], offset_val=offset[valid], **val
    )
    other = clone(model).fit(
        X[train], y[train], offset=offset[train], offset_val=-offset[valid], **val
    )
    losses = [np.array(m.history_[:, "valid_loss"])[0] for m in (found, other)]
    assert losses[0] != losses[1]
    if problem in ("binary", "classes"):  # the best epoch's loss is that of the predictions
        probability = found.predict_proba(X[valid], offset=offset[valid])[range(50), y[valid]]
        loss = np.average(-np.log(probability), weights=WEIGHT[valid])
        assert loss == pytest.approx(min(found.history_[:, "valid_loss"]), rel=1e-5)


def test_score_is_that_of_predictions_with_the_offset():
    from sklearn.metrics import accuracy_score, d2_tweedie_score

    model, y, offset = make("poisson")
    model.fit(X, y, WEIGHT, offset=offset)
    expected = d2_tweedie_score(y, predicted(model, offset), sample_weight=WEIGHT, power=1)
    assert model.score(X, y, WEIGHT, offset) == pytest.approx(expected)
    labels, y, offset = make("binary")
    labels.fit(X, y, WEIGHT, offset=offset)
    expected = accuracy_score(y, labels.predict(X, offset=offset), sample_weight=WEIGHT)
    assert labels.score(X, y, WEIGHT, offset=offset) == expected > 0.5
    logs = labels.predict_log_proba(X, offset=offset)
    assert_array_equal(logs, np.log(labels.predict_proba(X, offset=offset)))


@pytest.mark.parametrize("on_train", [True, False])
@pytest.mark.parametrize("problem", ["binary", "poisson"])
def test_scores_of_callbacks_are_those_of_outputs_with_the_offset(problem, on_train):
    name = "accuracy" if problem == "binary" else "neg_mean_poisson_deviance"
    score = EpochScoring(name, lower_is_better=False, on_train=on_train, name="found")
    settings = {"early_stopping": True, "callbacks": [score], "batch_size": -1, "ema_decay": 0.0}
    model, y, offset = make(problem, max_epochs=1, lr=1e-12, **settings)
    valid = {"X_val": X, "y_val": y, "offset_val": offset}
    model.fit(X, y, offset=offset, **valid)
    found = model.history_[-1, "found"]
    if problem == "binary":
        assert found == pytest.approx(model.score(X, y, offset=offset))
    else:
        from sklearn.metrics import mean_poisson_deviance

        scaled = [part / model.target_scale_ for part in (y, predicted(model, offset))]
        assert found == pytest.approx(-mean_poisson_deviance(*scaled), rel=1e-5)


@each_problem
def test_fits_continue_with_offsets(problem):
    model, y, offset = make(problem, warm_start=True, max_epochs=1)
    losses = [model.fit(X, y, offset=offset).history_[0, "train_loss"] for _ in range(4)]
    assert losses[-1] < losses[0]
    if problem in ("weighted labels", "adjusted"):
        return
    online, *_ = make(problem)
    labels = {"classes": np.unique(y)} if y.dtype.kind == "i" and y.ndim == 1 else {}
    online.partial_fit(X, y, **labels, offset=offset)
    before = predicted(online, offset)
    units = getattr(online, "target_scale_", 1), getattr(online, "offset_location_", 0)
    online.partial_fit(X[:100], y[:100], offset=offset[:100])
    assert np.abs(predicted(online, offset) - before).max() > 1e-4
    now = getattr(online, "target_scale_", 1), getattr(online, "offset_location_", 0)
    assert now == units


@each_problem
def test_a_pickle_and_a_copy_predict_the_same(problem):
    model, y, offset = make(problem)
    model.fit(X, y, offset=offset)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_array_equal(predicted(other, offset), predicted(model, offset))
        with pytest.raises(ValueError, match=r"^offset must be given"):
            other.predict(X)


def test_chunks_of_predictions_have_the_offsets_of_their_rows():
    model, y, offset = make("poisson")
    model.fit(X, y, offset=offset)
    rows = np.tile(np.arange(200), 400)
    found = predicted(model, offset[rows], X[rows])
    assert_array_equal(found, np.tile(found[:200], 400))
    one = [predicted(model, offset[i : i + 1], X[i : i + 1])[0] for i in range(5)]
    assert_array_equal(one, found[:5])
