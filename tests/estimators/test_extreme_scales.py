"""Fits and predictions with weights and y of any scale, where ``np.seterr`` raises errors."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import r2_score

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    effective_number,
)

N_ROWS = 90
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 3))
LABELS = (X[:, 0] > 0).astype(int)
Y = np.exp(X[:, 1])
WEIGHTS = {
    "near underflow": 10.0 ** RNG.uniform(-323, 0, N_ROWS),
    "over all of float64": 10.0 ** RNG.uniform(-300, 300, N_ROWS),
    "the largest": np.full(N_ROWS, 1e306),
    "the smallest": np.full(N_ROWS, 5e-324),
}
each_weights = pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
FAST = {"max_epochs": 2, "random_state": 0}


@pytest.fixture(autouse=True)
def _every_floating_point_error_is_raised():
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        yield


@each_weights
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"class_weight": {0: 1e-150, 1: 1.0}, "class_weight_power": 0.5},
        {"class_weight": effective_number(0.999)},
        {"logit_adjustment": 1.0},
        {"sample_weight_power": 0.5, "correct_prior": True, "class_weight": "balanced"},
        {"weighting": "sampling"},
    ],
    ids=str,
)
def test_a_classifier_is_fitted_and_predicts(weight, params):
    classifier = WeightedTorchClassifier(**FAST, **params).fit(X, LABELS, weight)
    assert np.isfinite(classifier.predict_proba(X)).all()
    assert 0 <= classifier.score(X, LABELS, weight) <= 1


@each_weights
@pytest.mark.parametrize("criterion", ["squared_error", "poisson", "gamma", "quantile"])
def test_a_regressor_is_fitted_and_scored(weight, criterion):
    regressor = WeightedTorchRegressor(criterion=criterion, **FAST).fit(X, Y, weight)
    assert np.isfinite(regressor.predict(X)).all()
    assert np.isfinite(regressor.score(X, Y, weight))


@each_weights
def test_validation_rows_calls_of_partial_fit_and_searches_are_trained(weight):
    regressor = WeightedTorchRegressor(**FAST)
    regressor.fit(X, Y, weight, X_val=X, y_val=Y, sample_weight_val=weight)
    assert len(regressor.history_) == 2
    assert WeightedTorchRegressor().partial_fit(X, Y, weight).partial_fit(X, Y, weight).n_iter_ == 2
    search = WeightSearchCV(WeightedTorchClassifier(**FAST), {"class_weight": [None]}, cv=2)
    assert search.fit(X, LABELS, sample_weight=weight).best_score_ > 0


@pytest.mark.parametrize("unit", [1e-300, 2.0**-1000, 2.0**1000, 1e300])
def test_r2_of_very_large_and_very_small_y_is_that_of_y_in_other_units(unit):
    regressor = WeightedTorchRegressor(**FAST).fit(X, Y * unit)
    expected = r2_score(Y, regressor.predict(X) / unit)
    assert regressor.score(X, Y * unit) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01


@pytest.mark.parametrize("scale", [2.0**-1060, 2.0**1000])
@pytest.mark.parametrize("criterion", ["squared_error", "poisson", "quantile"])
def test_the_score_does_not_depend_on_the_scale_of_the_weights(scale, criterion):
    weight = np.arange(N_ROWS) % 5 + 1.0
    regressor = WeightedTorchRegressor(criterion=criterion, **FAST).fit(X, Y, weight)
    assert regressor.score(X, Y, weight * scale) == regressor.score(X, Y, weight)


def test_predictions_that_are_too_small_are_0():
    y = np.where(np.arange(N_ROWS) % 3, 1e-320, 5e-324)
    prediction = WeightedTorchRegressor(criterion="poisson", **FAST).fit(X, y).predict(X)
    assert ((prediction >= 0) & (prediction < 1e-318)).all()


@pytest.mark.parametrize("unit", [1.0, 1e10, 1e20, 1e30])
@pytest.mark.parametrize("ratio", [1e-4, 1e-12, 1e-21, 1e-30])
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_other_rows_than_the_one_with_nearly_all_weight_may_be_large(unit, ratio, hidden):
    """Their column is nearly constant by its weighted spread, but the rows are not alike."""
    rows, y = unit * X[:4, :1], np.array([-3.0, -0.5, -7.0, 6.0])
    model = WeightedTorchRegressor(**FAST, module__hidden_sizes=hidden, n_members=1)
    model.fit(rows, y, [1, ratio, ratio, ratio])
    assert np.isfinite(model.predict(rows)).all()
    assert abs(model.predict(rows[:1])[0] + 3) < 0.1


@pytest.mark.parametrize("small", [1e-323, 1e-200, 1e-30])
@pytest.mark.parametrize("n_heavy", [8, 9])
@pytest.mark.parametrize(
    "params",
    [
        {"early_stopping": True, "n_members": 1},
        {"early_stopping": True, "n_members": 3},
        {"early_stopping": False, "n_members": 3, "sample_weight_power": 0.5},
    ],
    ids=str,
)
def test_weights_that_are_0_beside_the_largest_are_weights_of_0(small, n_heavy, params):
    """Held-out rows may otherwise have no weight together."""
    weight = np.full(N_ROWS, small)
    weight[:n_heavy] = 1e300
    model = WeightedTorchRegressor(**FAST, **params).fit(X, Y, weight)
    heavy = weight == 1e300
    expected = WeightedTorchRegressor(**FAST, **params).fit(X, Y, np.where(heavy, weight, 0))
    assert np.isfinite(model.predict(X)).all()
    assert all(np.isfinite(net.history[:, "train_loss"]).all() for net in model.nets_)
    if small < 1e-30 and "sample_weight_power" not in params:  # the ratio is no float64
        np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("small", [1e-310, 1e-322])
@pytest.mark.parametrize("power", [1.0, 0.5])
def test_classes_too_far_apart_to_be_balanced_are_named(small, power):
    weight = np.where(LABELS == 1, 1.0, small)
    model = WeightedTorchClassifier(**FAST, class_weight="balanced", class_weight_power=power)
    with pytest.raises(ValueError, match=r"class_weight must be finite .*got inf for class 0"):
        model.fit(X, LABELS, weight)
    model.set_params(class_weight=effective_number(0.999)).fit(X, LABELS, weight)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("criterion", ["poisson", "tweedie"])
@pytest.mark.parametrize("small", [1e-60, 1e-90])
@pytest.mark.parametrize("n_members", [1, 2])
def test_targets_far_above_nearly_all_of_the_weight_are_named(criterion, small, n_members):
    y, weight = (np.arange(N_ROWS) % 3).astype(float), np.full(N_ROWS, small**2)
    weight[y == 0] = 1
    model = WeightedTorchRegressor(**FAST, criterion=criterion, n_members=n_members)
    with pytest.raises(ValueError, match=r"^y must not span more .*of 2.0 and a mean"):
        model.fit(X, y, weight)
    model.set_params(criterion="squared_error").fit(X, y, weight)
    assert np.isfinite(model.predict(X)).all()
