"""Class weights and logit adjustment taken back out of scores, probabilities and labels."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from helpers import TO_CONVERGENCE, Intercept
from sklearn.datasets import make_classification
from torch import nn
from torch.nn import functional as F

from skweight import WeightedTorchClassifier, effective_number

CONVERGED = TO_CONVERGENCE | {"max_epochs": 4}
SETTINGS = [
    {"class_weight": {1: 7.0}},
    {"class_weight": {0: 6.0, 1: 0.3}},
    {"class_weight": "balanced"},
    {"class_weight": "balanced", "class_weight_power": 0.5},
    {"class_weight": effective_number(0.99)},
    {"logit_adjustment": 1.0},
    {"logit_adjustment": 0.5, "class_weight": "balanced", "class_weight_power": 0.5},
]
CRITERIA = [
    {"criterion": "cross_entropy"},
    {"criterion": "focal"},
    {"criterion": "focal", "criterion__gamma": 0.5},
    {"criterion": "poly_tailed"},
]
PROBLEMS = ["binary", "three classes", "labels"]
# "poly_tailed" is a loss of one logit.
BOTH = [(n, c) for n in PROBLEMS for c in CRITERIA if (n, c) != ("three classes", CRITERIA[-1])]
N_CELLS = 4


def describe(value):
    if isinstance(value, dict):
        text = ", ".join(f"{name.split('__')[-1]}={entry!r}" for name, entry in value.items())
        return re.sub(r" at 0x\w+", "", text)  # the same in every process
    return str(value)


class Saturated(nn.Linear):
    """A score of its own for each cell, which X tells as zeros and ones."""


def make_problem(name):
    """Rows in cells, with weights that depend on the cell and on y; X tells the cell."""
    rng = np.random.default_rng(0)
    cell = rng.integers(0, N_CELLS, 600)
    if name == "labels":
        y = (rng.random((600, 3)) < 0.05 + 0.05 * np.arange(3) + 0.1 * cell[:, None]).astype(int)
        kind = y[:, 0]
    else:
        n_classes = 2 if name == "binary" else 3
        y = np.minimum(rng.geometric(0.85 - 0.1 * cell) - 1, n_classes - 1)
        kind = y
    weight = rng.exponential(size=600) * (1 + cell) / (1 + kind)
    return np.eye(N_CELLS)[cell], y, weight


@pytest.fixture(scope="module", params=PROBLEMS)
def problem(request):
    return make_problem(request.param)


def shares(y, weight):
    """Weighted share of each class, or of the rows that have each label."""
    present = y if y.ndim == 2 else y[:, None] == np.unique(y)
    return np.average(present, axis=0, weights=weight)


def fitted(module, problem, **params):
    X, y, weight = problem
    return WeightedTorchClassifier(module, **{**CONVERGED, **params}).fit(X, y, weight)


def probabilities(model, X):
    """Without and with correction, by one and the same network."""
    found = [model.set_params(correct_prior=on).predict_proba(X) for on in (False, True)]
    model.set_params(correct_prior=False)
    return found


# --------------------------------------------------------------------------------------
# What is exact
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=describe)
@pytest.mark.parametrize(("name", "criterion"), BOTH, ids=describe)
def test_the_best_constant_is_corrected_to_the_weighted_base_rate(name, criterion, setting):
    X, y, weight = problem = make_problem(name)
    raw, corrected = probabilities(fitted(Intercept, problem, **criterion, **setting), X)
    base_rate = shares(y, weight)
    np.testing.assert_allclose(corrected.mean(axis=0), base_rate, atol=2e-4)
    assert np.abs(raw.mean(axis=0) - base_rate).max() > 0.05
    # Weights of rows stay: the corrected share is not that of the unweighted rows.
    assert np.abs(corrected.mean(axis=0) - shares(y, None)).max() > 0.05


@pytest.mark.parametrize("setting", SETTINGS, ids=describe)
def test_a_saturated_model_is_corrected_in_every_cell(problem, setting):
    X, y, weight = problem
    raw, corrected = probabilities(fitted(Saturated, problem, **setting), X)
    for cell in range(N_CELLS):
        rows = X[:, cell] == 1
        here = shares(y[rows], weight[rows])
        np.testing.assert_allclose(corrected[rows], np.tile(here, (rows.sum(), 1)), atol=1e-3)
        assert np.abs(raw[rows] - here).max() > 0.01
    np.testing.assert_allclose(
        np.average(corrected, axis=0, weights=weight), shares(y, weight), atol=1e-3
    )


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_uncorrected_shares_are_multiplied_by_the_class_weights(power):
    """By hand: a share s under weights v and w becomes v s / (v s + w (1 - s))."""
    X, y, weight = problem = make_problem("binary")
    model = fitted(Intercept, problem, class_weight={0: 0.5, 1: 8.0}, class_weight_power=power)
    s = shares(y, weight)[1]
    expected = 8**power * s / (8**power * s + 0.5**power * (1 - s))
    raw, corrected = probabilities(model, X[:1])
    assert raw[0, 1] == pytest.approx(expected, abs=1e-4)
    assert corrected[0, 1] == pytest.approx(s, abs=1e-4)


def test_a_heavier_class_raises_its_probability_and_not_the_corrected_one():
    """A division the wrong way would raise the corrected one twice as much."""
    X, _, _ = problem = make_problem("binary")
    found = [
        probabilities(fitted(Intercept, problem, class_weight={1: heavy}), X[:1])
        for heavy in (1, 4, 16)
    ]
    raw, corrected = np.array(found)[:, :, 0, 1].T
    assert raw[1] > raw[0] + 0.1 and raw[2] > raw[1] + 0.1
    np.testing.assert_allclose(corrected, corrected[0], atol=2e-4)


def test_adjusted_logits_learn_the_balanced_posterior_and_give_the_prior_back():
    X, y, weight = problem = make_problem("three classes")
    model = fitted(Saturated, problem, logit_adjustment=1.0)
    raw, corrected = probabilities(model, X)
    prior = shares(y, weight)
    np.testing.assert_allclose(model.class_prior_, prior, rtol=1e-12)
    balanced = corrected / prior
    np.testing.assert_allclose(raw, balanced / balanced.sum(1, keepdims=True), atol=1e-5)
    constant, _ = probabilities(fitted(Intercept, problem, logit_adjustment=1.0), X[:1])
    np.testing.assert_allclose(constant, 1 / 3, atol=1e-4)


@pytest.mark.parametrize("class_weight", [None, "as sample weights"])
def test_weights_of_rows_are_never_taken_out(problem, class_weight):
    """Nor those that a class weight means: as weights of rows they define the population."""
    X, y, weight = problem
    if class_weight and y.ndim == 1:
        weight = weight * np.array([1.0, 7.0, 3.0])[y]
    model = fitted(Saturated, (X, y, weight))
    raw, corrected = probabilities(model, X)
    np.testing.assert_array_equal(raw, corrected)
    np.testing.assert_allclose(
        np.average(corrected, axis=0, weights=weight), shares(y, weight), atol=1e-3
    )
    assert np.abs(corrected.mean(axis=0) - shares(y, None)).max() > 0.05


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_class_weight_per_label_is_taken_out_of_its_label(name):
    X, y, weight = problem = make_problem(name)
    if y.ndim == 1:
        with pytest.raises(TypeError, match="class_weight"):
            fitted(Intercept, problem, class_weight=[{1: 2}] * 3)
        return
    each = [{1: 5.0}, None, {0: 3.0}]
    raw, corrected = probabilities(fitted(Intercept, problem, class_weight=each), X[:1])
    base_rate = shares(y, weight)
    np.testing.assert_allclose(corrected[0], base_rate, atol=1e-4)
    assert raw[0, 0] > base_rate[0] + 0.1 and raw[0, 2] < base_rate[2] - 0.1
    assert raw[0, 1] == pytest.approx(base_rate[1], abs=1e-4)


def test_two_columns_of_scores_are_corrected_as_one_logit_is():
    X, y, weight = problem = make_problem("binary")
    model = fitted(
        Saturated, problem, criterion=nn.CrossEntropyLoss, class_weight="balanced", max_epochs=8
    )
    assert model.module_.out_features == 2
    one = fitted(Saturated, problem, class_weight="balanced", max_epochs=8)
    for two_columns, one_logit in zip(probabilities(model, X), probabilities(one, X)):
        np.testing.assert_allclose(two_columns, one_logit, atol=1e-3)
    np.testing.assert_allclose(
        np.average(probabilities(model, X)[1], axis=0, weights=weight), shares(y, weight), atol=1e-3
    )


# --------------------------------------------------------------------------------------
# Scores, probabilities and labels are one
# --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks():
    """A default network for each problem, under class weights and an adjustment."""
    params = {"class_weight": "balanced", "logit_adjustment": 0.5, "random_state": 0}
    plain = {"module__n_bins": 0, "module__clip": None}  # X far out is predicted, too
    return {
        name: WeightedTorchClassifier(max_epochs=20, early_stopping=False, **plain, **params).fit(
            *make_problem(name)
        )
        for name in PROBLEMS
    }


@pytest.mark.parametrize("correct", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_scores_probabilities_and_labels_agree(networks, name, correct):
    X = np.random.default_rng(1).normal(scale=3, size=(200, N_CELLS))
    model = networks[name].set_params(correct_prior=correct)
    score, probability = model.decision_function(X), model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(probability))
    if name == "three classes":
        softmax = np.exp(score - score.max(1, keepdims=True))
        np.testing.assert_allclose(probability, softmax / softmax.sum(1, keepdims=True), rtol=1e-5)
        np.testing.assert_array_equal(model.predict(X), score.argmax(1))
        np.testing.assert_array_equal(model.predict(X), probability.argmax(1))
    else:
        positive = probability if name == "labels" else probability[:, 1]
        np.testing.assert_allclose(positive, 1 / (1 + np.exp(-score)), rtol=1e-5)
        np.testing.assert_array_equal(model.predict(X), score > 0)
        np.testing.assert_array_equal(model.predict(X), positive > 0.5)
    assert len(np.unique(model.predict(X))) > 1


@pytest.mark.parametrize("name", PROBLEMS)
def test_setting_it_after_the_fit_is_as_good_as_before(networks, name):
    X = np.random.default_rng(1).normal(scale=3, size=(200, N_CELLS))
    late = networks[name].set_params(correct_prior=False)
    before = late.decision_function(X), late.predict(X)
    late.set_params(correct_prior=True)
    params = {**late.get_params(), "correct_prior": True}
    early = WeightedTorchClassifier(**params).fit(*make_problem(name))
    for method in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        np.testing.assert_array_equal(getattr(late, method)(X), getattr(early, method)(X))
    shift = late.decision_function(X) - before[0]
    log_odds = np.log(late.class_weight_) - 0.5 * np.log(late.class_prior_)
    expected = -log_odds if name == "three classes" else log_odds[..., 0] - log_odds[..., 1]
    np.testing.assert_allclose(shift, np.broadcast_to(expected, shift.shape), atol=1e-5)
    assert np.mean(late.predict(X) != before[1]) > 0.02
    late.set_params(correct_prior=False)
    np.testing.assert_array_equal(late.decision_function(X), before[0])


def test_under_sampling_the_weights_are_taken_out_too():
    X, y, weight = problem = make_problem("binary")
    params = {"class_weight": {1: 10.0}, "random_state": 0, "lr": 0.003, "max_epochs": 60}
    found = {
        weighting: probabilities(
            WeightedTorchClassifier(weighting=weighting, **params).fit(*problem), X
        )
        for weighting in ("loss", "sampling")
    }
    for raw, corrected in found.values():
        mean = np.average(corrected[:, 1], weights=weight)
        assert mean == pytest.approx(shares(y, weight)[1], abs=0.03)
        assert np.average(raw[:, 1], weights=weight) > mean + 0.3


# --------------------------------------------------------------------------------------
# What is refused
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"criterion__label_smoothing": 0.1},
        {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1},
        {"criterion": nn.CrossEntropyLoss, "criterion__weight": torch.ones(3)},
        {"criterion": partial(F.cross_entropy, weight=torch.ones(3), reduction="none")},
        {"criterion": nn.MultiMarginLoss},
        {"criterion": partial(F.cross_entropy, label_smoothing=0.1, reduction="none")},
        {"criterion": partial(F.multi_margin_loss, reduction="none")},
    ],
    ids=describe,
)
def test_scores_that_tell_no_probabilities_are_refused(params):
    X, y, weight = make_problem("three classes")
    model = WeightedTorchClassifier(correct_prior=True, max_epochs=1, **params)
    with pytest.raises(ValueError, match="correct_prior=True needs a criterion whose scores"):
        model.fit(X, y, weight)
    assert not hasattr(model, "classes_")
    model.set_params(correct_prior=False).fit(X, y, weight)
    with pytest.raises(ValueError, match="correct_prior=True needs a criterion whose scores"):
        model.set_params(correct_prior=True).predict_proba(X)


@pytest.mark.parametrize("late", [False, True])
def test_a_class_weight_of_0_cannot_be_taken_out(late):
    X, y, weight = make_problem("three classes")
    model = WeightedTorchClassifier(class_weight={2: 0}, correct_prior=not late, max_epochs=1)
    match = "correct_prior=True needs class weights above 0, got 0 for class 2"
    if late:
        model.fit(X, y, weight).set_params(correct_prior=True)
    with pytest.raises(ValueError, match=match):
        model.predict_proba(X) if late else model.fit(X, y, weight)


# --------------------------------------------------------------------------------------
# What it is good for
# --------------------------------------------------------------------------------------


def test_correction_makes_probabilities_of_balanced_training_true():
    """The mean distance between claimed probabilities and shares shrinks threefold."""
    X, y = make_classification(
        6000, 20, n_informative=6, weights=[0.95], flip_y=0.02, class_sep=1.0, random_state=0
    )
    model = WeightedTorchClassifier(
        class_weight="balanced", module__hidden_sizes=(16,), lr=0.003, max_epochs=15, random_state=0
    ).fit(X[:3000], y[:3000])
    errors = [calibration_error(y[3000:], p[:, 1]) for p in probabilities(model, X[3000:])]
    assert errors[0] > 0.08
    assert errors[1] < errors[0] / 3


def calibration_error(y, probability, n_bins=10):
    """Expected calibration error over bins of equal width."""
    bins = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    return np.abs(np.bincount(bins, probability - y, minlength=n_bins)).sum() / len(y)


class LogProbabilities(nn.Linear):
    def forward(self, X):
        return torch.log_softmax(super().forward(X), dim=1)


def test_a_loss_of_log_probabilities_takes_part_in_logit_adjustment():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 3))
    y = (rng.random(1500) < 1 / (1 + np.exp(2.2 - 1.5 * X[:, 0]))).astype(int)
    settings = {"logit_adjustment": 1.0, "lr": 0.02, "max_epochs": 30, "random_state": 0}
    logs = WeightedTorchClassifier(LogProbabilities, criterion=nn.NLLLoss, **settings).fit(X, y)
    scores = WeightedTorchClassifier(nn.Linear, criterion=nn.CrossEntropyLoss, **settings)
    scores.fit(X, y)
    for correct in (False, True):
        means = [
            model.set_params(correct_prior=correct).predict_proba(X)[:, 1].mean()
            for model in (logs, scores)
        ]
        assert means[0] == pytest.approx(means[1], abs=1e-3)
        assert means[0] == pytest.approx(y.mean() if correct else 0.4, abs=0.02)
