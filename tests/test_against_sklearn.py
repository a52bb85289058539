"""A linear module trained to convergence is scikit-learn's weighted linear model."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

CONVERGED = {
    "optimizer": torch.optim.LBFGS,
    "lr": 1.0,
    "optimizer__max_iter": 50,
    "optimizer__line_search_fn": "strong_wolfe",
    "optimizer__tolerance_grad": 1e-9,
    "optimizer__tolerance_change": 1e-12,
    "batch_size": -1,
    "max_epochs": 8,
    "random_state": 0,
}


class Linear(nn.Linear):
    """A linear model that takes the input as it is."""


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1, 1: 4}])
def test_linear_module_is_weighted_logistic_regression(n_classes, class_weight):
    X, y = make_classification(
        500, 6, n_informative=6, n_redundant=0, n_classes=n_classes, flip_y=0.2, random_state=0
    )
    X = StandardScaler().fit_transform(X)
    weight = np.random.default_rng(0).exponential(size=500) + 0.1
    ours = WeightedTorchClassifier(Linear, class_weight=class_weight, **CONVERGED)
    ours.fit(X, y, weight)
    # C=inf in all versions, without the deprecated penalty=None.
    # Class weights as sample weights: "balanced" counts rows, not weights, before 1.7.
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000)
    theirs.fit(X, y, weight * ours.class_weight_[y])
    coef = ours.module_.weight.detach().numpy()
    intercept = ours.module_.bias.detach().numpy()
    if n_classes > 2:  # scores are only determined up to a common shift
        coef, intercept = coef - coef.mean(0), intercept - intercept.mean()
    assert np.abs(theirs.coef_).max() > 0.3
    np.testing.assert_allclose(coef, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(intercept, theirs.intercept_, atol=2e-3)


def test_linear_module_is_weighted_least_squares():
    X, y = make_regression(300, 6, noise=30.0, random_state=0)
    weight = np.random.default_rng(0).exponential(size=300)
    ours = WeightedTorchRegressor(Linear, **CONVERGED).fit(X, y, weight)
    theirs = LinearRegression().fit(X, y, weight)
    coef = ours.module_.weight.detach().numpy()[0] * ours.target_scale_
    assert np.abs(theirs.coef_ - LinearRegression().fit(X, y).coef_).max() > 1
    np.testing.assert_allclose(coef, theirs.coef_, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4, atol=1e-2)


def test_weight_decay_on_the_slope_is_weighted_ridge():
    """SGD adds ``weight_decay * theta`` to the gradient: the penalty of a ridge."""
    X, y = make_regression(300, 6, noise=30.0, random_state=0)
    weight = np.random.default_rng(0).exponential(size=300)
    decay = 0.5
    ours = WeightedTorchRegressor(
        Linear,
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=-1,
        max_epochs=400,
        optimizer__param_groups=[("weight", {"weight_decay": decay})],
        random_state=0,
    ).fit(X, y, weight)
    # sum_i w_i (y_i - f_i)^2 / sum(w) + decay / 2 |b|^2, times sum(w), is Ridge's objective.
    theirs = Ridge(alpha=decay / 2 * weight.sum(), tol=1e-12).fit(X, y, weight)
    coef = ours.module_.weight.detach().numpy()[0] * ours.target_scale_
    assert np.abs(theirs.coef_ - LinearRegression().fit(X, y, weight).coef_).max() > 5
    np.testing.assert_allclose(coef, theirs.coef_, rtol=1e-4, atol=1e-3)


def test_default_network_does_as_well_as_a_linear_model_on_raw_columns():
    """Columns on scales from 1e-4 to 1e6 and far from zero need no scaler in front."""
    X, y = make_classification(2000, 6, n_informative=4, flip_y=0.1, random_state=0)
    raw = X * np.array([1e-4, 1, 1e6, 10, 1e3, 0.1]) + np.array([0, 2000, 1e7, 0, -1e4, 5])
    weight = np.random.default_rng(0).exponential(size=2000)
    half = slice(0, 1000), slice(1000, 2000)
    ours = WeightedTorchClassifier(random_state=0).fit(raw[half[0]], y[half[0]], weight[half[0]])
    theirs = LogisticRegression().fit(X[half[0]], y[half[0]], weight[half[0]])
    accuracy = [m.score(x[half[1]], y[half[1]]) for m, x in ((ours, raw), (theirs, X))]
    assert accuracy[0] > accuracy[1] - 0.01
