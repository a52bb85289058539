"""The laws of ``test_weight_laws.py`` under every criterion, weighting and kind of target.

Bit for bit, in predictions and in recorded losses: there is no tolerance here.
"""

from functools import partial
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

N_ROWS = 200

rng = np.random.default_rng(0)
X = rng.normal(size=(N_ROWS, 4))
X[100:110] = X[:10]
signal = X[:, 0] + 0.5 * X[:, 1] ** 2
noisy = signal + rng.normal(size=N_ROWS)
amounts = rng.gamma(2.0, np.exp(signal / 2))
TARGETS = {
    "binary": (noisy > 1).astype(int),
    "classes3": np.digitize(noisy, [0, 1.5]),
    "labels": np.c_[noisy > 1, noisy + rng.normal(size=N_ROWS) > 0, signal > 1].astype(int),
    "real": 10 * noisy + 3,
    "counts": rng.poisson(np.exp(signal / 2)),
    "amounts": amounts,
    "claims": amounts * (rng.random(N_ROWS) < 0.6),
    "two_targets": np.c_[noisy, 100 * signal],
    "two_counts": rng.poisson(np.exp(signal / 2), size=(2, N_ROWS)).T,
}
for target in TARGETS.values():
    target[100:105] = target[:5]  # five rows are there twice, five have another y the second time
COUNTS = rng.integers(0, 4, N_ROWS)  # as weights
FRACTIONS = rng.exponential(size=N_ROWS)
IMAGES = np.stack([X, X**2, rng.normal(size=X.shape)], axis=1)  # 3 channels of 4 values
IMAGES[100:105] = IMAGES[:5]
X_FIXED = {2: X[:80], 3: IMAGES[:80]}  # what is predicted, whatever is fitted


def convolution(n_features, n_outputs):
    return nn.Sequential(
        nn.Conv1d(n_features, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 3, n_outputs)
    )


CRITERIA = {
    "cross_entropy": ("classes3", {}),
    "label_smoothing": ("classes3", {"criterion__label_smoothing": 0.1}),
    "focal": ("classes3", {"criterion": "focal"}),
    "poly_tailed": ("binary", {"criterion": "poly_tailed"}),
    "squared_error": ("real", {}),
    "absolute_error": ("real", {"criterion": "absolute_error"}),
    "huber": ("real", {"criterion": "huber", "criterion__delta": 0.5}),
    "quantile": ("real", {"criterion": "quantile", "criterion__quantile": 0.8}),
    "quantiles": ("real", {"criterion": "quantile", "criterion__quantile": [0.9, 0.1, 0.5]}),
    "poisson": ("counts", {"criterion": "poisson"}),
    "gamma": ("amounts", {"criterion": "gamma"}),
    "tweedie": ("claims", {"criterion": "tweedie", "criterion__power": 1.4}),
    "gaussian_nll": ("real", {"criterion": "gaussian_nll"}),
}
KINDS = {
    "logit_adjustment": ("classes3", {"logit_adjustment": 1.0}),
    "correct_prior": ("classes3", {"correct_prior": True, "class_weight": "balanced"}),
    "both_for_focal": (
        "binary",
        {
            "criterion": "focal",
            "logit_adjustment": 0.5,
            "correct_prior": True,
            "class_weight": {1: 3},
        },
    ),
    "labels": ("labels", {}),
    "labels_balanced": ("labels", {"class_weight": "balanced"}),
    "labels_dict": ("labels", {"class_weight": {0: 0.3, 1: 2}, "criterion": "poly_tailed"}),
    "labels_list": (
        "labels",
        {
            "class_weight": [{1: 3}, None, "balanced"],
            "logit_adjustment": 1.0,
            "correct_prior": True,
        },
    ),
    "two_targets": ("two_targets", {}),
    "two_targets_quantiles": (
        "two_targets",
        {"criterion": "quantile", "criterion__quantile": [0.2, 0.8]},
    ),
    "two_counts": ("two_counts", {"criterion": "poisson"}),
    "three_dimensions": ("classes3", {"module": convolution}),
    "three_dimensions_of_numbers": ("real", {"module": convolution}),
}


def fit(X, y, sample_weight=None, *, stop=False, validation=None, **params):
    """Fit and return what the model predicts for 80 rows, then what it recorded."""
    of_classes = y.dtype.kind == "i" and "poisson" not in params.values()
    estimator = WeightedTorchClassifier if of_classes else WeightedTorchRegressor
    small = {} if "module" in params else {"module__hidden_sizes": (16,)}
    settings = {"batch_size": 32, "max_epochs": 6, "lr": 0.01, "random_state": 0, "n_members": 1}
    model = estimator(early_stopping=stop, n_iter_no_change=3, **small | settings | params)
    model.fit(X, y, sample_weight, **validation or {})
    rows = X_FIXED[X.ndim]
    if model.criterion == "gaussian_nll":
        predicted = np.concatenate(model.predict(rows, return_std=True))
    else:
        predicted = getattr(model, "predict_proba", model.predict)(rows).ravel()
    recorded = [model.history_[:, f"{part}_loss"] for part in ["train", "valid"][: 1 + stop]]
    return np.concatenate([predicted, *recorded])


class Case:
    """One criterion, weighting and stopping, with the fits that several laws compare with."""

    def __init__(self, name, weighting, stop):
        target, params = (CRITERIA | KINDS)[name]
        self.X = IMAGES if "module" in params else X
        self.y = TARGETS[target]
        self.fit = partial(fit, weighting=weighting, stop=stop, **params)
        self.unweighted = self.fit(self.X, self.y)
        self.by_counts = self.fit(self.X, self.y, COUNTS)
        self.by_fractions = self.fit(self.X, self.y, FRACTIONS)


@pytest.fixture(
    scope="module",
    params=product(CRITERIA | KINDS, ["loss", "sampling"], [False, True]),
    ids=lambda case: f"{case[0]}-{case[1]}" + "-early_stopping" * case[2],
)
def case(request):
    return Case(*request.param)


def test_weights_change_the_fit_and_predictions_vary(case):
    for weighted in (case.by_counts, case.by_fractions):
        assert weighted[:80].std() > 0.01
        assert np.abs(weighted[:80] - case.unweighted[:80]).max() > 0.01


def test_no_weights_are_weights_of_one(case):
    assert_array_equal(case.fit(case.X, case.y, np.ones(N_ROWS)), case.unweighted)


def test_weight_zero_is_a_missing_row(case):
    kept = COUNTS > 0
    assert_array_equal(case.fit(case.X[kept], case.y[kept], COUNTS[kept]), case.by_counts)


def test_an_integer_weight_is_as_many_copies(case):
    copies = case.fit(np.repeat(case.X, COUNTS, axis=0), np.repeat(case.y, COUNTS, axis=0))
    assert_array_equal(copies, case.by_counts)


def test_neither_order_nor_a_power_of_two_on_all_weights_means_anything(case):
    order = np.random.default_rng(5).permutation(N_ROWS)
    to_device = case.fit(case.X[order], case.y[order], FRACTIONS[order] * 2.0**-20)
    assert_array_equal(to_device, case.by_fractions)


def test_a_weight_may_be_split_over_two_copies(case):
    first = COUNTS * 0.25  # exact in binary
    twice = np.concatenate([first, COUNTS - first])
    split = case.fit(np.concatenate([case.X] * 2), np.concatenate([case.y] * 2), twice)
    assert_array_equal(split, case.by_counts)


# --------------------------------------------------------------------------------------
# Class weights
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("weighting", ["loss", "sampling"])
@pytest.mark.parametrize("name", ["cross_entropy", "label_smoothing", "focal", "poly_tailed"])
def test_a_class_weight_is_the_sample_weight_it_means(name, weighting, stop):
    target, params = CRITERIA[name]
    y = TARGETS[target]
    fit_one = partial(fit, X, y, weighting=weighting, stop=stop, **params)
    by_class = fit_one(COUNTS, class_weight={0: 0.3, 1: 5})
    assert np.abs(by_class[:80] - fit_one(COUNTS)[:80]).max() > 0.02
    assert_array_equal(by_class, fit_one(COUNTS * np.array([0.3, 5, 1])[y]))
    # As a power: 0.5 is the square root.
    assert_array_equal(
        fit_one(COUNTS, class_weight={0: 0.25, 1: 4}, class_weight_power=0.5),
        fit_one(COUNTS * np.array([0.5, 2, 1])[y]),
    )


# --------------------------------------------------------------------------------------
# Validation rows of the user's own
# --------------------------------------------------------------------------------------

train, valid = slice(0, 140), slice(140, None)
VALIDATED = ["cross_entropy", "labels_dict", "huber", "poisson", "gaussian_nll", "two_targets"]


def validation(X_val, y_val, sample_weight_val=None):
    return {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}


@pytest.fixture(params=product(VALIDATED, ["loss", "sampling"]), ids="-".join)
def validated(request):
    """Fit on the first rows; stop, and restore, by what the last ones are given as."""
    name, weighting = request.param
    target, params = (CRITERIA | KINDS)[name]
    y = TARGETS[target]

    def fit_validated(*rows):
        fixed = {"weighting": weighting, "stop": True, "max_epochs": 8, **params}
        return fit(X[train], y[train], COUNTS[train], validation=validation(*rows), **fixed)

    return fit_validated, X[valid], y[valid], COUNTS[valid]


def test_copies_of_validation_rows_are_their_weights(validated):
    fit_validated, X_val, y_val, weight = validated
    weighted = fit_validated(X_val, y_val, weight)
    copies = fit_validated(np.repeat(X_val, weight, axis=0), np.repeat(y_val, weight, axis=0))
    kept = weight > 0
    assert not np.array_equal(weighted, fit_validated(X_val, y_val))
    assert_array_equal(copies, weighted)
    assert_array_equal(fit_validated(X_val[kept], y_val[kept], weight[kept]), weighted)


def test_neither_order_nor_scale_of_validation_weights_means_anything(validated):
    fit_validated, X_val, y_val, _ = validated
    weight = FRACTIONS[valid]
    order = np.random.default_rng(5).permutation(len(weight))
    weighted = fit_validated(X_val, y_val, weight)
    assert_array_equal(fit_validated(X_val[order], y_val[order], weight[order] * 2.0**12), weighted)


def test_class_weights_apply_to_validation_rows_too():
    y = TARGETS["classes3"]
    meant = np.array([0.3, 5, 1])[y]
    fixed = {"stop": True, "weighting": "loss"}
    by_class = fit(
        X[train],
        y[train],
        validation=validation(X[valid], y[valid], COUNTS[valid]),
        class_weight={0: 0.3, 1: 5},
        **fixed,
    )
    by_row, others = (
        fit(X[train], y[train], meant[train], validation=validation(X[valid], y[valid], w), **fixed)
        for w in (COUNTS[valid] * meant[valid], COUNTS[valid])
    )
    assert_array_equal(by_class, by_row)
    assert abs(by_class[-1] - others[-1]) > 0.01  # the last validation loss
