"""Statistics that are ready to use: means of predictions, groups, marginal effects."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skweight import (
    GroupDifference,
    MarginalEffect,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    mean_prediction,
)

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=(N, 3))
AMOUNT = X[:, 0] + RNG.normal(size=N)
CLASSES = np.digitize(AMOUNT, [-0.5, 0.5])
WEIGHT = RNG.uniform(0.5, 3, size=N)
QUICK = {"max_epochs": 5, "module__hidden_sizes": (8,), "n_members": 1, "random_state": 0}
FRAME = pd.DataFrame(X, columns=["age", "b", "c"]).assign(
    region=np.where(X[:, 1] > 0, "north", "south"), sex=np.where(X[:, 2] > 0, "f", "m")
)


@pytest.mark.parametrize("of", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
@pytest.mark.parametrize(
    ("effect", "before", "after"),
    [
        (MarginalEffect("age", step=0.5), {}, {"age": FRAME["age"] + 0.5}),
        (MarginalEffect(0, step=-1), {}, {"age": FRAME["age"] - 1}),
        (MarginalEffect("age", values=(0, 1)), {"age": 0.0}, {"age": 1.0}),
        (
            MarginalEffect("region", values=("north", "south")),
            {"region": "north"},
            {"region": "south"},
        ),
    ],
)
def test_the_effect_of_a_column_is_the_mean_difference_of_predictions(of, effect, before, after):
    model = WeightedTorchRegressor(**QUICK).fit(of(FRAME), AMOUNT, WEIGHT)
    old, new = (model.predict(of(FRAME.assign(**values))) for values in (before, after))
    expected = np.average(new - old, weights=WEIGHT)
    found = effect(model, of(FRAME), sample_weight=WEIGHT)
    assert found == pytest.approx(expected, abs=1e-12) != 0
    assert (FRAME["age"] == X[:, 0]).all()


def test_the_difference_of_groups_is_that_of_their_weighted_means():
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, AMOUNT, WEIGHT)
    is_female, values = FRAME["sex"] == "f", model.predict(FRAME)
    means = [np.average(values[g], weights=WEIGHT[g]) for g in (is_female, ~is_female)]
    found = GroupDifference(is_female)(model, FRAME, sample_weight=WEIGHT)
    assert found == pytest.approx(means[0] - means[1]) != 0


def test_classes_have_a_mean_and_an_effect_each_unless_there_are_two():
    before = X.copy()
    model = WeightedTorchClassifier(**QUICK).fit(X, CLASSES, WEIGHT)
    effect = MarginalEffect(1, step=2.0)(model, X, sample_weight=WEIGHT)
    assert effect.shape == (3,) and effect.sum() == pytest.approx(0, abs=1e-12)
    assert np.abs(effect).max() > 0
    shares = mean_prediction(model, X, sample_weight=WEIGHT)
    assert shares.shape == (3,) and shares.sum() == pytest.approx(1)
    np.testing.assert_array_equal(X, before)
    binary = WeightedTorchClassifier(**QUICK).fit(X, CLASSES > 0, WEIGHT)
    expected = np.average(binary.predict_proba(X)[:, 1], weights=WEIGHT)
    assert mean_prediction(binary, X, sample_weight=WEIGHT) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (MarginalEffect("aeg"), r"column must be a column of X, got 'aeg'.*Did you mean 'age'"),
        (GroupDifference(np.ones(N)), r"in_group must hold a bool.*got dtype float64"),
        (GroupDifference(np.ones(3, bool)), r"for each of 120 rows.*shape \(3,\)"),
        (GroupDifference(np.ones(N, bool)), r"no row with weight outside of the group"),
    ],
)
def test_statistics_refuse_what_they_cannot_use(statistic, message):
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, AMOUNT)
    with pytest.raises(ValueError, match=message):
        statistic(model, FRAME)
