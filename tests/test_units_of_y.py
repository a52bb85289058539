"""The law of units: a fit to ``a * y + b`` predicts ``a * prediction + b``, under every criterion.

And what follows from it: losses of one's own in dollars, several targets of different size, and
robust losses under outliers of any size. Functions are tested in ``losses/test_units.py``.
"""

import pickle
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn
from torch.nn import functional as F

from skweight import WeightedTorchRegressor, WeightSearchCV

rng = np.random.default_rng(0)
N_ROWS = 300
X = rng.normal(size=(N_ROWS, 4))
SIGNAL = X[:, 0] + np.sin(2 * X[:, 1])
Y = SIGNAL + 0.1 * rng.normal(size=N_ROWS)
WEIGHT = rng.integers(0, 4, N_ROWS)
POSITIVE = np.exp(0.5 * Y)
QUICK = {"max_epochs": 30, "random_state": 0, "lr": 0.003, "device": "cpu"}


def squares(output, target):
    return (output - target) ** 2


def pinball(output, target):
    return torch.maximum(0.8 * (target - output), 0.2 * (output - target))


EQUIVARIANT = {
    "squared_error": {},
    "absolute_error": {"criterion": "absolute_error"},
    "huber": {"criterion": "huber", "criterion__delta": 0.5},
    "quantile": {"criterion": "quantile", "criterion__quantile": 0.8},
    "quantiles": {"criterion": "quantile", "criterion__quantile": [0.9, 0.1, 0.5]},
    "gaussian_nll": {"criterion": "gaussian_nll"},
    "MSELoss": {"criterion": nn.MSELoss},
    "L1Loss": {"criterion": nn.L1Loss},
    "mse_loss": {"criterion": partial(F.mse_loss, reduction="none")},
    "l1_loss": {"criterion": F.l1_loss, "criterion__reduction": "none"},
    "squares": {"criterion": squares},
    "pinball": {"criterion": pinball},
    "instance": {"criterion": nn.MSELoss(reduction="none")},
    "sampling": {"criterion": squares, "weighting": "sampling"},
    "no_early_stopping": {"criterion": squares, "early_stopping": False},
}


@cache
def fitted_to_y(name):
    return WeightedTorchRegressor(**EQUIVARIANT[name], **QUICK).fit(X, Y, WEIGHT)


@pytest.mark.parametrize(
    ("a", "b"), [(1e-6, 0.0), (1e-6, 1e-4), (1e-3, 1.0), (7.0, -3.0), (1e3, 1e5), (1e6, 3e6)]
)
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_a_fit_to_shifted_and_scaled_y_predicts_shifted_and_scaled_numbers(name, a, b):
    expected = fitted_to_y(name).predict(X)
    found = clone(fitted_to_y(name)).fit(X, a * Y + b, WEIGHT).predict(X)
    assert np.std(expected) > 0.3
    # Rounding of y in float64 is 1e-12 of its spread here, and training may amplify it.
    assert_allclose((found - b) / a, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_by_a_power_of_two_it_is_the_same_to_the_bit(name):
    expected = fitted_to_y(name)
    found = clone(expected).fit(X, 2.0**20 * Y, WEIGHT)
    assert_array_equal(found.predict(X), 2.0**20 * expected.predict(X))
    histories = [
        [net.history[:, "train_loss"] for net in model.nets_] for model in (found, expected)
    ]
    assert histories[0] == histories[1]
    assert found.n_iter_ == expected.n_iter_ > 1


IDENTITY = {"criterion": nn.PoissonNLLLoss, "criterion__log_input": False}


@pytest.mark.parametrize(
    ("settings", "a"),
    [
        *product(
            [
                {"criterion": "poisson"},
                {"criterion": "gamma"},
                {"criterion": "tweedie", "criterion__power": 1.7},
                {"criterion": nn.PoissonNLLLoss},
            ],
            [1e-6, 1e-3, 5.0, 1e6],
        ),
        (IDENTITY, 5.0),  # it adds 1e-8 to means, which are to be far above
        (IDENTITY, 1e6),
    ],
)
def test_amounts_in_another_currency_are_predicted_in_that_currency(settings, a):
    model = WeightedTorchRegressor(**settings, **QUICK)
    expected = clone(model).fit(X, POSITIVE, WEIGHT).predict(X)
    found = model.fit(X, a * POSITIVE, WEIGHT).predict(X)
    assert np.std(expected) > 0.3
    assert_allclose(found / a, expected, rtol=1e-4)


@pytest.mark.parametrize("unit", [1e-5, 1.0, 1e5])
@pytest.mark.parametrize("loss", [nn.HuberLoss, nn.SmoothL1Loss, nn.MSELoss, F.huber_loss])
def test_losses_of_torch_fit_y_in_any_unit(loss, unit):
    criterion = loss if isinstance(loss, type) else partial(loss, reduction="none")
    model = WeightedTorchRegressor(criterion=criterion, random_state=0, lr=0.003)
    y = unit * Y + 3 * unit
    assert model.fit(X, y).score(X, y) > 0.9
    one_by_one = cross_val_score(model, X, y, cv=3)
    assert one_by_one.min() > 0.7


def test_a_threshold_is_in_the_units_of_y():
    spoiled = Y.copy()
    spoiled[::10] += 20
    # As squares up to 1000, as absolute errors beyond 0.01.
    models = {
        delta: WeightedTorchRegressor(
            criterion=nn.HuberLoss, criterion__delta=delta, random_state=0, lr=0.003
        ).fit(X, spoiled)
        for delta in (0.01, 1000.0)
    }
    errors = {
        delta: np.median(np.abs(model.predict(X) - SIGNAL)) for delta, model in models.items()
    }
    assert errors[0.01] < 0.3 < 1 < errors[1000.0]


def test_the_example_of_the_readme_fits_with_any_huber_loss():
    features, y = load_diabetes(return_X_y=True)
    scores = {
        name: cross_val_score(
            WeightedTorchRegressor(criterion=criterion, random_state=0), features, y, cv=3
        )
        for name, criterion in {"ours": "huber", "torch's": nn.HuberLoss}.items()
    }
    assert scores["ours"].min() > 0.3
    assert_allclose(scores["torch's"], scores["ours"], atol=0.08)


def test_every_target_is_learned_at_its_own_scale():
    targets = np.c_[Y, 1e6 * (X[:, 2] + 5), 1e-6 * SIGNAL]
    for criterion in ("squared_error", nn.MSELoss, nn.HuberLoss, squares, pinball):
        model = WeightedTorchRegressor(criterion=criterion, random_state=0, lr=0.003)
        predicted = model.fit(X, targets).predict(X)
        assert r2_score(targets, predicted, multioutput="raw_values").min() > 0.8


def test_a_loss_with_a_log_link_of_its_own_keeps_its_meaning():
    def log_poisson(output, target):
        return output.exp() - target * output

    for mean in (200, 20_000):  # exp(20_000) is infinite
        counts = rng.poisson(mean * POSITIVE)
        model = WeightedTorchRegressor(criterion=log_poisson, random_state=0, lr=0.003)
        raw = model.fit(X, counts).predict(X)
        assert r2_score(counts, np.exp(raw)) > 0.9


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e-3, 1e3, 1e6])
def test_a_log_link_of_its_own_learns_rates_and_amounts_of_any_size(unit):
    def log_poisson(output, target):
        return output.exp() - target * output

    model = WeightedTorchRegressor(criterion=log_poisson, random_state=0, lr=0.003)
    expected = model.fit(X, POSITIVE).predict(X)
    found = model.fit(X, unit * POSITIVE).predict(X) - np.log(unit)
    assert r2_score(POSITIVE, np.exp(expected)) > 0.9
    assert_allclose(found, expected, atol=0.05)  # a log of a small number has fewer digits after 0


@pytest.mark.parametrize(
    ("criterion", "units"),
    [
        (squares, (2.0**-20, 1.0, 2.0**20)),
        ("squared_error", (2.0**-20, 1.0, 2.0**20)),
        (nn.HuberLoss, (2.0**10, 2.0**30)),  # so that its threshold is small in all
        (nn.HuberLoss, (2.0**-30, 2.0**-10)),
    ],
)
def test_tol_is_in_units_of_the_loss_and_not_of_y(criterion, units):
    settings = {"criterion": criterion, "early_stopping": True, "n_iter_no_change": 3}
    epochs = [
        WeightedTorchRegressor(**settings, tol=0.05, random_state=0).fit(X, unit * Y).n_iter_
        for unit in units
    ]
    assert len({*epochs}) == 1
    assert epochs[0] > 4
    loose = WeightedTorchRegressor(**settings, tol=10.0, random_state=0).fit(X, units[0] * Y)
    assert loose.n_iter_ == 4  # nothing improves by ten times the loss of one error


def test_a_fitted_model_with_units_of_its_own_is_saved_continued_and_searched():
    y = 1e5 * Y + 3e5
    model = WeightedTorchRegressor(criterion=nn.HuberLoss, warm_start=True, **QUICK).fit(X, y)
    before = model.predict(X)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), before)
    assert model.fit(X, y).score(X, y) > 0.9
    online = WeightedTorchRegressor(criterion=nn.HuberLoss, random_state=0, lr=0.01)
    for _ in range(40):
        online.partial_fit(X, y)
    assert online.score(X, y) > 0.9
    grid = {"weighting": ["loss", "sampling"], "random_state": [0, 1]}
    searches = [
        search(clone(model).set_params(warm_start=False), grid, cv=2).fit(
            X, y, sample_weight=WEIGHT
        )
        for search in (GridSearchCV, WeightSearchCV)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert_array_equal(*scores)
    assert scores[0].min() > 0.5


@pytest.mark.parametrize("size", [1e2, 1e6, 1e10])
@pytest.mark.parametrize(
    "criterion",
    [
        "huber",
        "absolute_error",
        "quantile",
        nn.L1Loss,
        nn.HuberLoss,
        lambda output, target: (output - target).abs(),
    ],
    ids=["huber", "absolute_error", "quantile", "L1Loss", "HuberLoss", "own"],
)
def test_outliers_of_any_size_do_not_spoil_a_robust_loss(criterion, size):
    draws = np.random.default_rng(0)
    features = draws.normal(size=(1000, 5))
    signal = features[:, 0] + np.sin(2 * features[:, 1])
    y = signal + 0.3 * draws.normal(size=1000)
    y[::100] += size * np.where(np.arange(10) % 2, 1, -1)
    boosting = HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
    model = WeightedTorchRegressor(criterion=criterion, random_state=0)
    errors = [
        np.median(np.abs(fitted.fit(features, y).predict(features) - signal))
        for fitted in (model, boosting)
    ]
    assert errors[0] < 1.5 * errors[1] < 0.5


def test_the_robust_units_are_those_of_the_weighted_rows():
    y = Y.copy()
    y[WEIGHT == 0] = 1e9
    model = WeightedTorchRegressor(criterion="huber", **QUICK).fit(X, y, WEIGHT)
    copies = clone(model).fit(np.repeat(X, WEIGHT, axis=0), np.repeat(Y, WEIGHT))
    assert_array_equal(model.predict(X), copies.predict(X))
    assert model.target_scale_ == copies.target_scale_ < 3
    assert model.target_location_ == pytest.approx(np.median(np.repeat(Y, WEIGHT)), abs=0.5)
