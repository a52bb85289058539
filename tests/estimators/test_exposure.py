"""Rates weighted by exposure are an offset model; a row without exposure counts as missing."""

import numpy as np
import pytest
import torch
from helpers import TO_CONVERGENCE
from sklearn.metrics import d2_pinball_score, d2_tweedie_score
from torch import nn

from skweight import WeightedTorchRegressor
from skweight.losses import GammaDeviance, PoissonDeviance, weighted_mean

# Rates of rows that were exposed to nothing: one of NaN, one infinite.
NOTHING = slice(3, 5)


class Linear(nn.Linear):
    """A linear model that takes the input as it is."""


@pytest.fixture(scope="module")
def policies():
    """Claims of 300 policies, a Poisson count each, and the years that each was in force."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    exposure = rng.exponential(size=300) * np.exp(X[:, 0]) + 0.01
    claims = rng.poisson(exposure * np.exp(X @ [0.5, -0.4, 0.2] - 0.5 * X[:, 0] * X[:, 1]))
    return X, claims.astype(float), exposure


@pytest.fixture(scope="module")
def with_nothing(policies):
    """The same, with 0 claims in 0 years in one row and 2 claims in 0 years in another."""
    X, claims, exposure = (values.copy() for values in policies)
    exposure[NOTHING], claims[NOTHING] = 0, [0, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = claims / exposure
    assert np.isnan(rate[3]) and np.isinf(rate[4])
    return X, rate, exposure


def gradient(loss, model):
    slopes = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    return torch.cat([slope.flatten() for slope in slopes])


def fit_by_hand(X, loss_of, n_features=3):
    """A linear model in float64, until its gradient is gone."""
    X = torch.as_tensor(X)
    model = nn.Linear(n_features, 1).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model(X)[:, 0])
        loss.backward()
        return loss

    optimizer.step(closure)
    assert gradient(loss_of(model(X)[:, 0]), model).abs().max() < 1e-3
    return model


def test_a_rate_under_exposure_has_the_gradient_of_a_count_with_an_offset(policies):
    X, claims, exposure = (torch.from_numpy(values) for values in policies)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    score = network(X)[:, 0]
    loss = PoissonDeviance()
    offset = loss(score + exposure.log(), claims).sum()
    weighted = (exposure * loss(score, claims / exposure)).sum()
    unweighted = loss(score, claims / exposure).sum()
    expected, found, other = (gradient(one, network) for one in (offset, weighted, unweighted))
    scale = expected.abs().max()
    assert (found - expected).abs().max() < 1e-12 * scale
    assert (other - expected).abs().max() > 0.5 * scale


def test_a_fit_of_rates_is_the_offset_model(policies):
    X, claims, exposure = policies
    ours = WeightedTorchRegressor(Linear, criterion="poisson", **TO_CONVERGENCE)
    ours.fit(X, claims / exposure, exposure)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        offset, count = torch.from_numpy(exposure).log(), torch.from_numpy(claims)
        by_hand = fit_by_hand(
            X, lambda z: nn.functional.poisson_nll_loss(z + offset, count, reduction="sum")
        )
    ignoring = WeightedTorchRegressor(Linear, criterion="poisson", **TO_CONVERGENCE)
    ignoring.fit(X, claims / exposure)
    coef, other = (m.module_.weight.detach().numpy() for m in (ours, ignoring))
    theirs = by_hand.weight.detach().numpy()
    assert np.abs(other - theirs).max() > 0.1
    np.testing.assert_allclose(coef, theirs, atol=1e-3)
    intercept = ours.module_.bias.item() + np.log(ours.target_scale_)
    assert intercept == pytest.approx(by_hand.bias.item(), abs=1e-3)
    # It expects as many claims as there were.
    assert ours.predict(X) @ exposure == pytest.approx(claims.sum(), rel=1e-4)
    assert abs(ignoring.predict(X) @ exposure / claims.sum() - 1) > 0.01


@pytest.mark.parametrize("epochs", [1, 50])
def test_the_default_network_goes_the_same_way_in_any_unit_of_exposure(policies, epochs):
    """Days instead of years: the weights are scaled, and so is the target."""
    X, claims, years = policies
    # Other rows would be held out: they are chosen by their place in an order that y decides too.
    params = {"batch_size": -1, "early_stopping": False, "max_epochs": epochs, "random_state": 0}
    params["criterion"] = "poisson"
    per_year = WeightedTorchRegressor(**params).fit(X, claims / years, years)
    days = years * 365.25
    per_day = WeightedTorchRegressor(**params).fit(X, claims / days, days)
    np.testing.assert_allclose(per_day.predict(X) * 365.25, per_year.predict(X), rtol=1e-4)
    assert np.ptp(per_year.predict(X)) > 0.1


def test_mean_claims_under_their_number_are_the_fit_of_single_claims():
    """Severity: a gamma model of the mean claim of a policy, weighted by its claims."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    number = rng.integers(0, 6, 200)
    amounts = rng.gamma(2.0, 500 * np.exp(np.repeat(X @ [0.3, 0.2, -0.4], number)))
    policy = np.repeat(np.arange(200), number)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(policy, amounts, minlength=200) / number
    assert np.isnan(mean).sum() == (number == 0).sum() > 10
    params = {"criterion": "gamma", **TO_CONVERGENCE}
    by_policy = WeightedTorchRegressor(Linear, **params).fit(X, mean, number)
    by_claim = WeightedTorchRegressor(Linear, **params).fit(X[policy], amounts)
    unweighted = WeightedTorchRegressor(Linear, **params).fit(X, mean, number > 0)
    theirs = by_claim.module_.weight.detach().numpy()
    np.testing.assert_allclose(by_policy.module_.weight.detach().numpy(), theirs, atol=1e-3)
    np.testing.assert_allclose(by_policy.predict(X), by_claim.predict(X), rtol=2e-3)
    assert np.abs(unweighted.module_.weight.detach().numpy() - theirs).max() > 0.01
    score = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    score.requires_grad_()
    used = torch.from_numpy(number > 0)
    weight, target = (torch.from_numpy(v).double()[used] for v in (number, mean))
    means = (weight * GammaDeviance()(score[used], target)).sum()
    claims = GammaDeviance()(score[torch.from_numpy(policy)], torch.from_numpy(amounts)).sum()
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, score)[0] for loss in (means, claims)), rtol=1e-12, atol=1e-12
    )


# --------------------------------------------------------------------------------------
# No exposure
# --------------------------------------------------------------------------------------

STOP = {"early_stopping": True, "max_epochs": 5}


@pytest.mark.parametrize("params", [{"max_epochs": 3}, STOP, {"weighting": "sampling"}])
@pytest.mark.parametrize("criterion", ["poisson", "tweedie", "squared_error", "quantile"])
def test_a_row_without_exposure_is_a_missing_row(with_nothing, criterion, params):
    X, rate, exposure = with_nothing
    params = {"criterion": criterion, "random_state": 0, "max_epochs": 3, **params}
    seen = exposure > 0
    with_rows = WeightedTorchRegressor(**params).fit(X, rate, exposure)
    without = WeightedTorchRegressor(**params).fit(X[seen], rate[seen], exposure[seen])
    np.testing.assert_array_equal(with_rows.predict(X), without.predict(X))
    score = with_rows.score(X, rate, exposure)
    assert score == without.score(X[seen], rate[seen], exposure[seen])
    assert np.isfinite(score)


def test_partial_fit_and_rows_for_stopping_may_hold_rows_without_exposure(with_nothing):
    X, rate, exposure = with_nothing
    seen = exposure > 0
    continued = [WeightedTorchRegressor(criterion="poisson", random_state=0) for _ in range(2)]
    for _ in range(2):
        continued[0].partial_fit(X, rate, exposure)
        continued[1].partial_fit(X[seen], rate[seen], exposure[seen])
    np.testing.assert_array_equal(continued[0].predict(X), continued[1].predict(X))
    stopped = [
        WeightedTorchRegressor(criterion="poisson", random_state=0, **STOP).fit(
            X[rows],
            rate[rows],
            exposure[rows],
            X_val=X[rows],
            y_val=rate[rows],
            sample_weight_val=exposure[rows],
        )
        for rows in (slice(None), seen)
    ]
    np.testing.assert_array_equal(*(model.history_[:, "valid_loss"] for model in stopped))
    np.testing.assert_array_equal(*(model.predict(X) for model in stopped))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_rate_that_is_no_number_is_refused_where_there_is_exposure(policies, value):
    X, claims, exposure = policies
    rate = claims / exposure
    model = WeightedTorchRegressor(criterion="poisson", max_epochs=1).fit(X, rate, exposure)
    rate[7] = value
    for call in (model.fit, model.score):
        with pytest.raises(
            ValueError, match=r"^y must .* in a row with weight, got (NaN|infinity) at position 7"
        ):
            call(X, rate, exposure)
        with pytest.raises(
            ValueError, match=r"^y must .* in a row with weight, got (NaN|infinity) at position 7"
        ):
            call(X, rate)


@pytest.mark.parametrize(
    ("criterion", "value", "match"),
    [
        ("poisson", -1.0, "y must be non-negative for criterion='poisson', got .* -1.0"),
        ("tweedie", -1.0, "y must be non-negative for criterion='tweedie', got .* -1.0"),
        ("gamma", -1.0, "y must be positive for criterion='gamma', got .* -1.0"),
        ("gamma", 0.0, "y must be positive for criterion='gamma', got .* 0.0"),
    ],
)
def test_targets_that_a_deviance_cannot_have_are_refused_where_they_weigh(
    policies, criterion, value, match
):
    X, claims, exposure = policies
    y, weight = claims / exposure + 0.1, exposure.copy()
    y[7] = value
    model = WeightedTorchRegressor(criterion=criterion, random_state=0, max_epochs=2)
    with pytest.raises(ValueError, match=match):
        model.fit(X, y, weight)
    weight[7] = 0
    rest = weight > 0
    model.fit(X, y, weight)
    score = model.score(X, y, weight)
    model.fit(X[rest], y[rest], weight[rest])
    assert score == model.score(X[rest], y[rest], weight[rest])


def test_no_claim_at_all_has_no_logarithm_of_its_mean(policies):
    X, _, exposure = policies
    with pytest.raises(ValueError, match="at least one positive value with weight"):
        WeightedTorchRegressor(criterion="poisson").fit(X, np.zeros(len(X)), exposure)


# --------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "params", "power"),
    [
        ("poisson", {}, 1),
        ("gamma", {}, 2),
        ("tweedie", {"criterion__power": 1.7}, 1.7),
        ("tweedie", {"criterion__power": 3}, 3),
    ],
)
def test_the_score_of_a_deviance_is_its_explained_share_by_exposure(
    policies, criterion, params, power
):
    X, claims, exposure = policies
    y = claims / exposure + (0.1 if power >= 2 else 0)
    model = WeightedTorchRegressor(criterion=criterion, random_state=0, max_epochs=20, **params)
    predicted = model.fit(X, y, exposure).predict(X)
    expected = d2_tweedie_score(y, predicted, sample_weight=exposure, power=power)
    assert model.score(X, y, exposure) == pytest.approx(expected, rel=1e-12)
    assert model.score(X, y) == pytest.approx(d2_tweedie_score(y, predicted, power=power))
    assert abs(expected - model.score(X, y)) > 0.01


@pytest.mark.parametrize("levels", [0.8, [0.8], [0.9, 0.2]])
def test_the_score_of_quantiles_is_the_mean_explained_pinball_loss(policies, levels):
    X, claims, exposure = policies
    y = claims / exposure
    model = WeightedTorchRegressor(
        criterion="quantile", criterion__quantile=levels, random_state=0, max_epochs=20
    )
    predicted = model.fit(X, y, exposure).predict(X).reshape(len(X), -1)
    expected = [
        d2_pinball_score(y, column, sample_weight=exposure, alpha=level)
        for level, column in zip(np.atleast_1d(levels), predicted.T)
    ]
    assert model.score(X, y, exposure) == pytest.approx(np.mean(expected), rel=1e-12)
    assert abs(model.score(X, y, exposure) - model.score(X, y)) > 0.01


def test_the_recorded_loss_is_the_deviance_by_exposure(policies):
    X, claims, exposure = policies
    rate = claims / exposure
    model = WeightedTorchRegressor(
        criterion="poisson",
        optimizer=torch.optim.SGD,
        lr=1e-30,
        max_epochs=1,
        early_stopping=False,
        random_state=0,
    ).fit(X, rate, exposure)
    score, target = (
        torch.from_numpy(values / model.target_scale_) for values in (model.predict(X), rate)
    )
    weight = torch.from_numpy(exposure / exposure.mean())
    expected = weighted_mean(PoissonDeviance()(score.log(), target), weight)
    assert model.history_[-1, "train_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert model.target_scale_ == pytest.approx(claims.sum() / exposure.sum())
