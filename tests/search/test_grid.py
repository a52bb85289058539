"""Weight settings in scikit-learn's searches: one grid over all of them, and its refit."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    StratifiedKFold,
    StratifiedShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, effective_number

QUICK = {"module__hidden_sizes": (4,), "max_epochs": 2, "batch_size": 32, "random_state": 0}
GRID = {
    "class_weight": [None, "balanced", {0: 1, 1: 5}, effective_number(0.99)],
    "class_weight_power": [0.5, 1.0],
    "sample_weight_power": [0.5, 1.0],
    "weighting": ["loss", "sampling"],
    "logit_adjustment": [0.0, 1.0],
    "criterion": ["cross_entropy", "focal"],
}
REGRESSOR_GRID = {
    "criterion": [
        "squared_error",
        "absolute_error",
        "huber",
        "quantile",
        "poisson",
        "gaussian_nll",
    ],
    "weighting": ["loss", "sampling"],
    "sample_weight_power": [0.5, 1.0],
}


@pytest.fixture(scope="module")
def rows():
    """150 rows, a fifth of them positive, with weights."""
    X, y = make_classification(150, 4, weights=[0.8], flip_y=0.1, random_state=0)
    return X, y, np.random.default_rng(0).exponential(size=150)


@pytest.fixture(scope="module")
def positive():
    """150 rows, a positive target, weights."""
    X, y = make_regression(150, 4, noise=20.0, random_state=0)
    return X, np.exp(y / 100), np.random.default_rng(0).exponential(size=150)


def scores_by(search, name):
    """Mean scores with a row for each value of a parameter, and a column for each of the rest."""
    values = search.param_grid[name]
    scores = {}
    for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
        rest = repr(sorted((key, repr(value)) for key, value in params.items() if key != name))
        scores.setdefault(rest, {})[repr(params[name])] = score
    return np.array([[column[repr(value)] for column in scores.values()] for value in values])


@pytest.fixture(scope="module")
def search(rows):
    """One grid over everything that decides about weights, in a pipeline, in two processes."""
    X, y, weight = rows
    pipe = Pipeline([("scale", StandardScaler()), ("net", WeightedTorchClassifier(**QUICK))])
    search = GridSearchCV(
        pipe,
        {f"net__{name}": values for name, values in GRID.items()},
        scoring="neg_log_loss",
        cv=StratifiedShuffleSplit(1, test_size=0.4, random_state=0),
        n_jobs=2,
        error_score="raise",
    )
    return search.fit(X, y, net__sample_weight=weight)


def test_one_grid_runs_over_every_setting(search):
    assert len(search.cv_results_["params"]) == len(ParameterGrid(GRID)) == 128
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    for name, values in GRID.items():
        scores = scores_by(search, f"net__{name}")
        assert scores.shape == (len(values), 128 // len(values))
        assert (np.ptp(scores, axis=0) > 0).any(), name


def test_settings_that_mean_the_same_have_the_same_scores_in_any_process(search):
    """A power has nothing to act on without class weights."""
    scores = scores_by(search, "net__class_weight_power")
    none = [
        params["net__class_weight"] is None
        for params in search.cv_results_["params"]
        if params["net__class_weight_power"] == 1.0
    ]
    assert sum(none) == 16
    same = scores[0] == scores[1]
    assert same.sum() == 16


def test_the_refit_is_a_lone_fit_with_the_best_settings(search, rows):
    X, y, weight = rows
    best = {name.removeprefix("net__"): value for name, value in search.best_params_.items()}
    scaled = StandardScaler().fit_transform(X)
    lone = WeightedTorchClassifier(**QUICK, **best).fit(scaled, y, weight)
    assert_array_equal(search.predict_proba(X), lone.predict_proba(scaled))
    again = clone(search.best_estimator_).fit(X, y, net__sample_weight=weight)
    assert_array_equal(search.predict_proba(X), again.predict_proba(X))
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    unweighted = WeightedTorchClassifier(**QUICK, **best).fit(scaled, y)
    assert np.abs(search.predict_proba(X) - unweighted.predict_proba(scaled)).max() > 1e-3


def test_a_candidate_in_another_process_is_a_lone_fit_here(search, rows):
    X, y, weight = rows
    train, test = next(search.cv.split(X, y))
    for number in (0, 77, 127):
        lone = clone(search.estimator).set_params(**search.cv_results_["params"][number])
        lone.fit(X[train], y[train], net__sample_weight=weight[train])
        expected = -log_loss(y[test], lone.predict_proba(X[test]))
        found = search.cv_results_["split0_test_score"][number]
        assert found == pytest.approx(expected, rel=1e-12)


def test_each_criterion_may_have_a_grid_of_its_own_parameters(rows):
    X, y, weight = rows
    grid = [
        {"criterion": ["focal"], "criterion__gamma": [0.0, 3.0], "class_weight": ["balanced"]},
        {"criterion": ["poly_tailed"], "criterion__alpha": [0.5, 2.0]},
        {"criterion__label_smoothing": [0.0, 0.2], "correct_prior": [False]},
        {"correct_prior": [True], "class_weight": ["balanced", None]},
    ]
    search = GridSearchCV(
        WeightedTorchClassifier(**QUICK), grid, scoring="neg_log_loss", cv=2, error_score="raise"
    ).fit(X, y, sample_weight=weight)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 8
    assert scores[7] == scores[4]  # no class weights: nothing to take out
    assert len(np.unique(scores)) == 7


def test_a_grid_of_the_regressor_over_criteria_and_weightings(positive):
    X, y, weight = positive
    search = GridSearchCV(
        WeightedTorchRegressor(**QUICK),
        REGRESSOR_GRID,
        scoring="neg_mean_absolute_error",
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(X, y, sample_weight=weight)
    assert len(search.cv_results_["params"]) == 24
    for name in REGRESSOR_GRID:
        assert (np.ptp(scores_by(search, name), axis=0) > 0).all(), name
    lone = WeightedTorchRegressor(**QUICK, **search.best_params_).fit(X, y, weight)
    assert_array_equal(search.predict(X), lone.predict(X))
    assert np.abs(lone.predict(X) - lone.fit(X, y).predict(X)).max() > 1e-3


def test_levels_of_a_quantile_are_searched_by_the_score_of_their_own(positive):
    X, y, weight = positive
    search = GridSearchCV(
        WeightedTorchRegressor(**{**QUICK, "max_epochs": 40}, criterion="quantile"),
        {"criterion__quantile": [0.5, [0.5], [0.1, 0.9]]},
        cv=2,
        error_score="raise",
    ).fit(X, y, sample_weight=weight)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == scores[1] > 0 and scores[2] != scores[0]


@pytest.mark.parametrize("scored", [True, False])
def test_weights_are_routed_to_the_fits_and_scores_of_a_cross_validation(rows, scored):
    X, y, weight = rows
    folds = StratifiedKFold(3)
    params = {**QUICK, "class_weight": "balanced", "weighting": "sampling", "correct_prior": True}
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)
        scores = cross_val_score(
            WeightedTorchClassifier(**params).set_fit_request(sample_weight=True),
            X,
            y,
            cv=folds,
            scoring=scorer.set_score_request(sample_weight=scored),
            params={"sample_weight": weight},
        )
    for (train, test), score in zip(folds.split(X, y), scores):
        lone = WeightedTorchClassifier(**params).fit(X[train], y[train], weight[train])
        probability = lone.predict_proba(X[test])
        expected = [-log_loss(y[test], probability, sample_weight=w) for w in (weight[test], None)]
        assert score == pytest.approx(expected[0 if scored else 1], rel=1e-12)
        assert abs(expected[0] - expected[1]) > 1e-4


def test_weights_are_routed_through_a_search_to_the_score_of_the_regressor(positive):
    X, y, weight = positive
    with sklearn.config_context(enable_metadata_routing=True):
        net = WeightedTorchRegressor(**QUICK, criterion="poisson")
        net.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(net, {"sample_weight_power": [0.0, 1.0]}, cv=2)
        search.fit(X, y, sample_weight=weight)
    train, test = slice(75, 150), slice(0, 75)
    lone = clone(search.best_estimator_).set_params(sample_weight_power=1.0)
    lone.fit(X[train], y[train], weight[train])
    expected = lone.score(X[test], y[test], weight[test])
    assert search.cv_results_["split0_test_score"][1] == expected
    assert expected != lone.score(X[test], y[test])


def test_every_setting_survives_clone_repr_and_pickle():
    default = WeightedTorchClassifier()
    for params in ParameterGrid(GRID):
        model = WeightedTorchClassifier(**QUICK, correct_prior=True).set_params(**params)
        for copied in (clone(model), pickle.loads(pickle.dumps(model))):
            assert copied.get_params() == model.get_params()
            assert repr(copied) == repr(model)
        shown = model.__repr__(N_CHAR_MAX=10_000)
        for name, value in params.items():
            assert (f"{name}={value!r}" in shown) == (value != getattr(default, name)), shown
