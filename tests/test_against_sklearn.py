"""A linear module trained to convergence is scikit-learn's weighted linear model."""

import numpy as np
import pytest
import torch
from helpers import TO_CONVERGENCE
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from sklearn.metrics import mean_pinball_loss
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

# A line search is lost where the loss has kinks: smaller and smaller steps instead.
ANNEALED = {
    "optimizer": torch.optim.Adam,
    "lr": 0.1,
    "batch_size": -1,
    "early_stopping": False,
    "max_epochs": 800,
    "random_state": 0,
    "callbacks": [LRScheduler("CosineAnnealingLR", T_max=800)],
}


class Linear(nn.Linear):
    """A linear model that takes the input as it is."""


class ConstantSpread(nn.Module):
    """A linear mean, and one raw score of the variance for all rows."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.mean = nn.Linear(n_features, 1)
        self.raw = nn.Parameter(torch.zeros(n_outputs - 1))

    def forward(self, X):
        return torch.cat([self.mean(X), self.raw.expand(len(X), -1)], dim=1)


@pytest.fixture(scope="module")
def skewed():
    """A target that is not linear, has a long tail and spreads with X; so do the weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    noise = rng.exponential(size=300) * np.exp(0.8 * X[:, 0])
    y = 500 + 40 * (X @ [1.0, -2.0, 0.5, 0.0] + X[:, 0] * X[:, 1] + noise)
    return X, y, rng.exponential(size=300) * np.exp(X[:, 0])


@pytest.fixture(scope="module")
def outliers(skewed):
    """The same with every 20th target far away."""
    X, y, weight = skewed
    return X, y + 1000 * (np.arange(300) % 20 == 0), weight


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1, 1: 4}])
def test_linear_module_is_weighted_logistic_regression(n_classes, class_weight):
    X, y = make_classification(
        500, 6, n_informative=6, n_redundant=0, n_classes=n_classes, flip_y=0.2, random_state=0
    )
    X = StandardScaler().fit_transform(X)
    weight = np.random.default_rng(0).exponential(size=500) + 0.1
    ours = WeightedTorchClassifier(Linear, class_weight=class_weight, **TO_CONVERGENCE)
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
    ours = WeightedTorchRegressor(Linear, **TO_CONVERGENCE).fit(X, y, weight)
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
        early_stopping=False,
        max_epochs=400,
        optimizer__param_groups=[("weight", {"weight_decay": decay})],
        random_state=0,
    ).fit(X, y, weight)
    # sum_i w_i (y_i - f_i)^2 / sum(w) + decay / 2 |b|^2, times sum(w), is Ridge's objective.
    theirs = Ridge(alpha=decay / 2 * weight.sum(), tol=1e-12).fit(X, y, weight)
    coef = ours.module_.weight.detach().numpy()[0] * ours.target_scale_
    assert np.abs(theirs.coef_ - LinearRegression().fit(X, y, weight).coef_).max() > 5
    np.testing.assert_allclose(coef, theirs.coef_, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_linear_module_is_weighted_quantile_regression(skewed, level):
    X, y, weight = skewed
    ours = WeightedTorchRegressor(
        Linear, criterion="quantile", criterion__quantile=level, **ANNEALED
    ).fit(X, y, weight)
    _assert_as_good_and_close(level, skewed, ours.predict(X), _quantiles(skewed, [level])[0])


def test_several_quantiles_at_once_are_as_many_quantile_regressions(skewed):
    """In the order in which levels are given, and sorted where the lines cross."""
    X, y, weight = skewed
    ours = WeightedTorchRegressor(
        Linear, criterion="quantile", criterion__quantile=[0.9, 0.1, 0.5], **ANNEALED
    ).fit(X, y, weight)
    high, low, middle = ours.predict(X).T
    lines = _quantiles(skewed, [0.1, 0.5, 0.9])
    assert 0 < (np.diff(lines, axis=0) < 0).any(axis=0).sum() < 15
    assert (low <= middle).all() and (middle <= high).all()
    for level, predicted, theirs in zip((0.1, 0.5, 0.9), (low, middle, high), np.sort(lines, 0)):
        _assert_as_good_and_close(level, skewed, predicted, theirs)


def _quantiles(problem, levels):
    X, y, weight = problem
    return [QuantileRegressor(quantile=q, alpha=0).fit(X, y, weight).predict(X) for q in levels]


def _assert_as_good_and_close(level, problem, ours, theirs):
    """The minimum may be reached on a whole set, so losses are compared before predictions."""
    X, y, weight = problem
    unweighted = QuantileRegressor(quantile=level, alpha=0).fit(X, y).predict(X)
    loss = [
        mean_pinball_loss(y, predicted, sample_weight=weight, alpha=level)
        for predicted in (ours, theirs, unweighted)
    ]
    assert loss[2] > 1.1 * loss[1]
    assert loss[0] == pytest.approx(loss[1], rel=1e-3)
    distance = [np.average(abs(f - theirs), weights=weight) for f in (ours, unweighted)]
    assert distance[0] < 0.02 * distance[1]


def test_absolute_error_is_twice_the_pinball_loss_of_the_median(skewed):
    """With half the step, the same way to the same place."""
    X, y, weight = skewed
    params = {"optimizer": torch.optim.SGD, "max_epochs": 50, "batch_size": 32, "random_state": 0}
    median = WeightedTorchRegressor(
        Linear, criterion="quantile", criterion__quantile=0.5, lr=0.1, **params
    ).fit(X, y, weight)
    absolute = WeightedTorchRegressor(Linear, criterion="absolute_error", lr=0.05, **params)
    absolute.fit(X, y, weight)
    np.testing.assert_allclose(absolute.predict(X), median.predict(X), rtol=1e-6)
    losses = [np.array(m.history_[:, "train_loss"]) for m in (absolute, median)]
    np.testing.assert_allclose(losses[0], 2 * losses[1], rtol=1e-5)
    assert losses[0][-1] < 0.8 * losses[0][0]


@pytest.mark.parametrize(
    ("criterion", "params", "theirs"),
    [
        ("poisson", {}, PoissonRegressor),
        ("gamma", {}, GammaRegressor),
        ("tweedie", {"power": 1.5}, TweedieRegressor),
        ("tweedie", {"power": 1.9}, TweedieRegressor),
    ],
)
def test_linear_module_is_a_weighted_generalised_linear_model(criterion, params, theirs):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    mean = 30 * np.exp(X @ [0.5, -0.3, 0.2, 0.0] + 0.3 * X[:, 0] * X[:, 1])
    y = rng.gamma(2.0, mean / 2)
    if criterion != "gamma":
        y = np.where(rng.random(400) < 0.2, 0, y).round()
    weight = rng.exponential(size=400) * np.exp(X[:, 1])
    own = {f"criterion__{name}": value for name, value in params.items()}
    ours = WeightedTorchRegressor(Linear, criterion=criterion, **own, **TO_CONVERGENCE)
    ours.fit(X, y, weight)
    if params:
        params = {**params, "link": "log"}
    theirs = theirs(alpha=0, tol=1e-8, max_iter=1000, **params)
    unweighted = theirs.fit(X, y).coef_
    theirs.fit(X, y, weight)
    assert np.abs(theirs.coef_ - unweighted).max() > 0.05
    # Targets were divided by their mean: a factor, which a logarithm makes an intercept.
    intercept = ours.module_.bias.item() + np.log(ours.target_scale_)
    np.testing.assert_allclose(ours.module_.weight.detach().numpy()[0], theirs.coef_, atol=1e-3)
    assert intercept == pytest.approx(theirs.intercept_, abs=1e-3)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=3e-3)
    assert ours.score(X, y, weight) == pytest.approx(theirs.score(X, y, weight), abs=1e-5)
    assert ours.score(X, y, weight) > 0.05


def test_linear_module_is_weighted_huber_regression(outliers):
    """Their threshold is in units of the spread that they estimate, ours in those of y."""
    X, y, weight = outliers
    theirs = HuberRegressor(alpha=0, tol=1e-8, max_iter=1000).fit(X, y, weight)
    reached = np.cumsum(weight[np.argsort(y)]) / weight.sum()
    low, high = np.sort(y)[np.searchsorted(reached, [0.25, 0.75])]
    spread = (high - low) / 1.349
    ours = WeightedTorchRegressor(
        Linear,
        criterion="huber",
        criterion__delta=theirs.epsilon * theirs.scale_ / spread,
        **TO_CONVERGENCE,
    ).fit(X, y, weight)
    assert ours.target_scale_ == pytest.approx(spread)
    coef = ours.module_.weight.detach().numpy()[0] * ours.target_scale_
    unweighted = HuberRegressor(alpha=0, max_iter=1000).fit(X, y)
    squares = LinearRegression().fit(X, y, weight)
    for other in (unweighted, squares):
        assert np.abs(theirs.coef_ - other.coef_).max() > 5
    np.testing.assert_allclose(coef, theirs.coef_, atol=0.01)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=0.02)


def test_gaussian_likelihood_with_one_spread_is_weighted_least_squares_and_its_residual(skewed):
    X, y, weight = skewed
    ours = WeightedTorchRegressor(ConstantSpread, criterion="gaussian_nll", **TO_CONVERGENCE)
    mean, std = ours.fit(X, y, weight).predict(X, return_std=True)
    theirs = LinearRegression().fit(X, y, weight)
    residual = np.sqrt(np.average((y - theirs.predict(X)) ** 2, weights=weight))
    unweighted = LinearRegression().fit(X, y)
    assert abs(np.sqrt(np.mean((y - unweighted.predict(X)) ** 2)) - residual) > 0.05 * residual
    assert np.abs(unweighted.predict(X) - theirs.predict(X)).max() > 10
    np.testing.assert_allclose(mean, theirs.predict(X), atol=0.1)
    np.testing.assert_allclose(std, residual, rtol=1e-3)


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
