"""Statistics that are ready to use: means of predictions, groups, marginal effects."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.neural_network import MLPClassifier

from skweight import (
    GroupDifference,
    MarginalEffect,
    ReplicateEstimator,
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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("of", [WeightedTorchClassifier, MLPClassifier])
def test_two_labels_are_not_two_classes(of):
    labels = np.stack([AMOUNT > 0, CLASSES > 1], axis=1).astype(int)
    params = QUICK if of is WeightedTorchClassifier else {"random_state": 0, "max_iter": 5}
    model = of(**params).fit(X, labels)
    expected = model.predict_proba(X).mean(axis=0)
    np.testing.assert_allclose(mean_prediction(model, X), expected)
    for statistic in (MarginalEffect(0), GroupDifference(X[:, 1] > 0)):
        assert statistic(model, X).shape == (2,)


class TenTimesTheFirst(RegressorMixin, BaseEstimator):
    """A model whose effects are known."""

    def predict(self, X):
        X = X.toarray() if sparse.issparse(X) else np.asarray(X, dtype=float)
        return 10 * X[:, 0] + X[:, 1]


WHOLE = np.arange(-60, 60).reshape(-1, 2)


@pytest.mark.parametrize(
    ("of", "effect", "change"),
    [
        # A half is not cut off, and small integers do not overflow.
        (np.array, MarginalEffect(0, step=0.5), 0.5),
        (np.array, MarginalEffect(-2, values=(0.25, 2)), 1.75),
        (sparse.csr_array, MarginalEffect(0, step=0.5), 0.5),
        (sparse.csc_matrix, MarginalEffect(0, values=(0, 1.5)), 1.5),
        (torch.tensor, MarginalEffect(0, step=0.5), 0.5),
        (np.ndarray.tolist, MarginalEffect(np.int64(0), values=(0, 0.5)), 0.5),
        (pd.DataFrame, MarginalEffect(0, values=(0.25, 0.75)), 0.5),
        (lambda x: pd.DataFrame(x, columns=[5, 7]), MarginalEffect(5, step=0.5), 0.5),
        (lambda x: pl.DataFrame(x), MarginalEffect(0, values=(0, 0.5)), 0.5),
        (lambda x: x.astype("int8"), MarginalEffect(0, step=120), 120),
        (lambda x: x.astype("int8"), MarginalEffect(0, values=(0, 300)), 300),
        (lambda x: x > 0, MarginalEffect(0, values=(0.25, 0.5)), 0.25),
        (lambda x: pd.DataFrame(x.astype("int8")), MarginalEffect(0, step=120), 120),
        (lambda x: pl.DataFrame(x.astype("int8")), MarginalEffect(0, values=(0, 300)), 300),
        (lambda x: pl.DataFrame(x > 0), MarginalEffect(0, values=(0.25, 0.5)), 0.25),
        (lambda x: x.astype(str), MarginalEffect(0, values=("0", "12345.5")), 12345.5),
    ],
)
def test_a_changed_column_is_not_rounded(of, effect, change):
    rows = of(WHOLE)
    before = copy.deepcopy(rows)
    assert effect(TenTimesTheFirst(), rows) == pytest.approx(10 * change)
    old, new = (x.toarray() if sparse.issparse(x) else np.asarray(x) for x in (before, rows))
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (MarginalEffect("aeg"), r"column must be a column of X, got 'aeg'.*Did you mean 'age'"),
        (GroupDifference(np.ones(N)), r"in_group must hold a bool.*got dtype float64"),
        (GroupDifference(np.ones(3, bool)), r"for each of 120 rows.*shape \(3,\)"),
        (GroupDifference(np.ones(N, bool)), r"no row with weight outside of the group"),
        (MarginalEffect(9), r"column must be a column of X, got 9, which is none"),
        (MarginalEffect("sex"), r"values must be given for column 'sex', to which no step can be"),
        (
            MarginalEffect("age", values=(0, "high")),
            r"values must be numbers for column 'age' .*, got 'high'",
        ),
    ],
)
def test_statistics_refuse_what_they_cannot_use(statistic, message):
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, AMOUNT)
    with pytest.raises(ValueError, match=message):
        statistic(model, FRAME)


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        (X, 3, "column must be a position from -3 to 2 in an X without names, got 3"),
        (X, "age", "column must be a position from -3 to 2 in an X without names, got 'age'"),
        (sparse.csr_array(X), -4, "column must be a position from -3 to 2 .*, got -4"),
        ({"table": X}, 0, "X must be one table, got several named inputs"),
    ],
)
def test_positions_that_an_array_lacks_are_refused(rows, column, message):
    with pytest.raises(ValueError, match=message):
        MarginalEffect(column)(TenTimesTheFirst(), rows)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"values": (1, 2, 3)}, r"values must be a pair, got \(1, 2, 3\)"),
        ({"values": "ab"}, "values must be a pair, got 'ab'"),
        ({"step": "1"}, "step must be a finite number, got '1'"),
        ({"step": np.nan}, "step must be a finite number, got nan"),
    ],
)
def test_changes_that_mean_nothing_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        MarginalEffect("age", **params)


def test_values_may_be_missing():
    frame = FRAME.assign(age=FRAME["age"].mask(X[:, 1] > 1))
    model = WeightedTorchRegressor(**QUICK).fit(frame, AMOUNT)
    for column, missing in (("age", None), ("age", np.nan), ("sex", None)):
        value = 0.0 if column == "age" else "f"
        parts = [model.predict(frame.assign(**{column: v})) for v in (value, missing)]
        found = MarginalEffect(column, values=(value, missing))(model, frame)
        assert found == pytest.approx(np.mean(parts[1] - parts[0]))


def test_the_row_of_a_single_number_has_the_name_of_the_statistic():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    net = WeightedTorchRegressor(max_epochs=1, n_members=1, random_state=0)
    weights = rng.uniform(0.9, 1.1, size=(40, 3))
    fitted = ReplicateEstimator(net, method="bootstrap").fit(X, X[:, 0], replicate_weights=weights)

    def names(function, y=None):
        return fitted.statistic(function, X, y).table()[""].tolist()

    assert names(mean_prediction) == ["mean_prediction"]
    assert names(GroupDifference(X[:, 0] > 0)) == ["GroupDifference"]
    assert names("r2", X[:, 0]) == ["r2"]
    assert names(lambda *args, sample_weight: 1.0) == ["statistic"]
    assert names(lambda model, X, y, sample_weight: model.predict(X[:3])) == ["0", "1", "2"]
