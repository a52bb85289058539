"""``ReplicateEstimator``: replicates are the same training with other weights."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import get_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import (
    MarginalEffect,
    ReplicateEstimator,
    ReplicateWeights,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    bootstrap_weights,
    brr_weights,
    jackknife_weights,
    mean_prediction,
)
from skweight.stacks import Stack
from skweight.weights import variance_factors

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=(N, 4)).round(2)
AMOUNT = X[:, 0] + RNG.normal(size=N)
Y = (AMOUNT > 0.8).astype(int)
CLASSES = np.digitize(AMOUNT, [-0.5, 0.5])
WEIGHT = RNG.uniform(0.5, 3, size=N).round(2)
CLUSTER = np.arange(N) // 6
OFFSET = RNG.normal(size=N)
FRAME = pd.DataFrame(X, columns=["age", "b", "c", "d"])
W = bootstrap_weights(None, CLUSTER, WEIGHT, n_replicates=6, random_state=0)
QUICK = {
    "max_epochs": 5,
    "module__hidden_sizes": (8,),
    "batch_size": 32,
    "early_stopping": True,
    "random_state": 0,
}


def net(y=AMOUNT, **params):
    """An estimator for y that is quick to fit."""
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
    return kind(**{"n_members": 1, **QUICK, **params})


def output(model, rows=X, offset=None):
    """Probabilities, or predicted numbers."""
    method = model.predict_proba if is_classifier(model) else model.predict
    return method(rows, offset=offset)


def fitted(y=AMOUNT, weights=W, rows=X, weight=WEIGHT, options=None, offset=None, **params):
    """A fitted ReplicateEstimator."""
    model = ReplicateEstimator(net(y, **params), **(options or {}))
    return model.fit(rows, y, weight, replicate_weights=weights, offset=offset)


def own_loss(output, target):
    """A loss in units of y."""
    return (output - target).abs() ** 1.5


def with_dropout(n_features, n_outputs, hidden_sizes):
    """A network of one's own, which cannot be stacked."""
    (width,) = hidden_sizes
    return nn.Sequential(
        nn.Linear(n_features, width), nn.Dropout(0.2), nn.ReLU(), nn.Linear(width, n_outputs)
    )


CASES = {
    "numbers": (AMOUNT, {}),
    "counts": (np.floor(np.exp(AMOUNT)), {"criterion": "poisson"}),
    "own loss in units of y": (AMOUNT, {"criterion": own_loss}),
    "binary": (Y, {}),
    "balanced": (Y, {"class_weight": "balanced", "correct_prior": True}),
    "classes": (CLASSES, {"class_weight": {1: 3.0}, "logit_adjustment": 0.5}),
    "labels": (np.stack([Y, CLASSES > 1], axis=1).astype(int), {"class_weight": "balanced"}),
    "members": (AMOUNT, {"n_members": 3}),
    "members of classes": (Y, {"n_members": 3, "class_weight": "balanced"}),
    "own network with dropout": (AMOUNT, {"module": with_dropout}),
    "drawn by weight": (AMOUNT, {"weighting": "sampling"}),
    "power": (AMOUNT, {"sample_weight_power": 0.5}),
    "matched": (Y, {"match_mean": True, "class_weight": "balanced"}),
    "matched members": (AMOUNT, {"match_mean": True, "n_members": 3}),
    "offset": (np.floor(np.exp(AMOUNT)), {"criterion": "poisson", "offset": OFFSET}),
    "matched with offset": (Y, {"match_mean": True, "n_members": 3, "offset": OFFSET}),
    "no power": (AMOUNT, {"sample_weight_power": 0.0}),
    "all rows": (AMOUNT, {"early_stopping": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_replicate_with_the_weights_of_the_full_sample_is_its_fit_to_the_bit(name):
    y, params = CASES[name]
    weights = np.column_stack([WEIGHT, W.weights[:, 0], WEIGHT])
    model = fitted(y, weights, options={"method": "bootstrap"}, **params)
    offset = params.get("offset")
    of_net = {name: value for name, value in params.items() if name != "offset"}
    alone = output(net(y, **of_net).fit(X, y, WEIGHT, offset=offset), offset=offset)
    same, other, again = (output(one, offset=offset) for one in model.replicates_)
    for found in (output(model, offset=offset), same, again):
        np.testing.assert_array_equal(found, alone)
    assert np.abs(other - alone).max() > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_stacks_and_processes_change_no_bit(name):
    y, params = CASES[name]
    ways = [{"stack_size": 1}, {"stack_size": 3}, {"n_jobs": 2}, {}]
    one, *others = [fitted(y, options=way, **params) for way in ways]
    for other in others:
        for left, right in zip(one.replicates_, other.replicates_, strict=True):
            found = [output(one, offset=params.get("offset")) for one in (left, right)]
            np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("power", [1.0, 0.3])
def test_weight_0_in_a_replicate_is_the_limit_of_small_weights(power):
    left_out = CLUSTER == 3
    small = [np.where(left_out, factor * WEIGHT, WEIGHT) for factor in (0, 1e-30)]
    params = {"lr": 0.01, "sample_weight_power": power}
    model = fitted(weights=np.stack(small, axis=1), options={"method": "bootstrap"}, **params)
    zero, tiny = (replicate.predict(X) for replicate in model.replicates_)
    np.testing.assert_allclose(zero, tiny, atol=1e-5)
    assert np.abs(zero - model.predict(X)).max() > 1e-3


def test_class_weights_and_priors_of_a_replicate_are_those_of_its_weights():
    model = fitted(Y, class_weight="balanced")
    for replicate, weight in zip(model.replicates_, W.weights.T, strict=True):
        share = np.bincount(Y, weight) / weight.sum()
        np.testing.assert_allclose(replicate.class_prior_, share)
        np.testing.assert_allclose(replicate.class_weight_, 0.5 / share)


@pytest.mark.parametrize("power", [1.0, 0.0])
def test_each_replicate_is_balanced_under_its_own_weights(power):
    for y in (AMOUNT, Y):
        model = fitted(y, match_mean=True, sample_weight_power=power)
        for replicate, weight in zip(model.replicates_, W.weights.T, strict=True):
            weight = np.where(weight > 0, weight**power, 0)
            found = output(replicate) if y is AMOUNT else output(replicate)[:, 1]
            assert np.average(found, weights=weight) == pytest.approx(
                np.average(y, weights=weight), abs=1e-9
            )


def test_replicates_begin_with_the_network_and_the_units_of_the_full_sample():
    model = fitted(lr=1e-12, max_epochs=1, ema_decay=0)
    first = model.estimator_.module_
    for replicate in model.replicates_:
        np.testing.assert_allclose(replicate.predict(X), model.predict(X), atol=1e-6)
        assert replicate.target_scale_ == model.estimator_.target_scale_
        assert torch.equal(replicate.module_.shift, first.shift)
        assert torch.equal(replicate.module_.scale, first.scale)


# Laws ---------------------------------------------------------------------------------------


def as_permuted(order):
    """The same data in another order."""
    return X[order], AMOUNT[order], WEIGHT[order], W.weights[order]


def as_copies():
    """Some rows as two copies, which share the weights."""
    rows = np.concatenate([np.arange(N), np.arange(20)])
    share = np.ones(len(rows))
    share[:20], share[N:] = 0.25, 0.75
    return X[rows], AMOUNT[rows], WEIGHT[rows] * share, W.weights[rows] * share[:, None]


def as_scaled():
    """Weights in other units."""
    return X, AMOUNT, 8 * WEIGHT, 8 * W.weights


def with_rows_of_no_weight():
    """Rows that no replicate and no fit counts, whatever they hold."""
    none = np.zeros((3, W.weights.shape[1]))
    return (
        np.concatenate([X, np.full((3, 4), 7.0)]),
        np.append(AMOUNT, [1e6, np.nan, 0]),
        np.append(WEIGHT, [0, 0, 0]),
        np.concatenate([W.weights, none]),
    )


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize(
    "data",
    [
        as_permuted(np.random.default_rng(1).permutation(N)),
        as_copies(),
        as_scaled(),
        with_rows_of_no_weight(),
    ],
    ids=["permuted", "copies", "scaled", "no weight"],
)
def test_replicates_depend_on_the_weighted_data_only(data, n_members):
    rows, y, weight, weights = data
    options = {"method": "bootstrap"}
    expected = fitted(weights=W.weights, options=options, n_members=n_members)
    found = fitted(y, weights, rows, weight, options=options, n_members=n_members)
    for one, other in zip(expected.replicates_, found.replicates_, strict=True):
        np.testing.assert_array_equal(one.predict(X), other.predict(X))


# Standard errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("mse", [True, False])
def test_standard_errors_of_predictions_are_those_of_the_formula(mse):
    model = fitted(Y, options={"mse": mse})
    probability, std = model.predict_proba(X, return_std=True)
    replicates = np.stack([r.predict_proba(X) for r in model.replicates_])
    centre = probability if mse else replicates.mean(axis=0)
    factor = 1 / 6 if mse else 1 / 5
    np.testing.assert_allclose(std, np.sqrt(factor * ((replicates - centre) ** 2).sum(axis=0)))
    assert std.shape == probability.shape and std.min() > 0
    result = model.statistic(lambda model, X, y, sample_weight: output(model)[:5], X)
    np.testing.assert_allclose(result.standard_error, std[:5])
    variances = np.diagonal(result.covariance).reshape(5, 2)
    np.testing.assert_allclose(np.sqrt(variances), std[:5])


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        ({"method": "brr"}, variance_factors("brr", 6)),
        ({"method": "brr", "fay": 0.3}, np.full(6, 1 / (6 * 0.49))),
        ({"method": "jk1"}, np.full(6, 5 / 6)),
        ({"method": "jkn", "scale": np.arange(6) / 6}, np.arange(6) / 6),
        ({"method": "sdr"}, np.full(6, 4 / 6)),
        ({"method": "bootstrap", "scale": 0.1}, np.full(6, 0.1)),
    ],
)
def test_the_method_decides_about_the_factors(options, factors):
    np.testing.assert_allclose(fitted(weights=W.weights, options=options).factors_, factors)


def test_weights_that_were_made_here_know_their_method_and_degrees_of_freedom():
    strata = np.where(CLUSTER < 8, "a", "b")
    made = jackknife_weights(strata, CLUSTER, WEIGHT)
    model = fitted(weights=made)
    np.testing.assert_array_equal(model.factors_, made.scale)
    assert len(model.replicates_) == 20
    result = model.statistic(mean_prediction, X)
    assert result.degrees_of_freedom == 18
    low, high = result.confidence_interval()
    assert (high - low) / 2 == pytest.approx(2.100922 * result.standard_error)
    low, high = model.statistic(mean_prediction, X, degrees_of_freedom=1e9).confidence_interval()
    assert (high - low) / 2 == pytest.approx(1.959964 * result.standard_error)


def known(method, scale):
    """The weights with another method and scale."""
    return ReplicateWeights(W.weights, method, scale)


FAYS = known("brr", variance_factors("brr", 6, fay=0.5))


@pytest.mark.parametrize(
    ("weights", "options", "factors"),
    [
        (W, {"mse": False}, np.full(6, 1 / 5)),
        (known("bootstrap", 7 / 6), {}, np.full(6, 7 / 6)),  # of means of 7 bootstrap samples
        (known("bootstrap", 7 / 6), {"mse": False}, np.full(6, 7 / 6)),
        (FAYS, {"method": "brr"}, FAYS.scale),
        (FAYS, {"fay": 0.5}, FAYS.scale),
        (known("jkn", np.arange(6) / 6), {"method": "jkn"}, np.arange(6) / 6),
        (known("jkn", np.arange(6) / 6), {"scale": 0.5}, np.full(6, 0.5)),
    ],
)
def test_the_scale_of_known_weights_is_not_lost(weights, options, factors):
    np.testing.assert_allclose(fitted(weights=weights, options=options).factors_, factors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "jk1"}, r"method must be None or that of replicate_weights, 'brr', got 'jk1'"),
        ({"method": "bbr"}, r"method must be one of .*, got 'bbr'. Did you mean 'brr'"),
        ({"fay": 0.3}, r"fay must be 0 or the one .* whose scale is 0.666667, got 0.3 with .*0.34"),
    ],
)
def test_parameters_may_not_contradict_known_weights(options, message):
    with pytest.raises(ValueError, match=message):
        fitted(weights=FAYS, options=options)


def test_a_statistic_uses_the_estimator_and_the_weights_of_each_replicate():
    model = fitted(Y)
    result = model.statistic("roc_auc", X, Y)
    expected = [
        roc_auc_score(Y, replicate.predict_proba(X)[:, 1], sample_weight=weight)
        for replicate, weight in zip(model.replicates_, W.weights.T, strict=True)
    ]
    np.testing.assert_allclose(result.replicates, expected)
    full = roc_auc_score(Y, model.predict_proba(X)[:, 1], sample_weight=WEIGHT)
    assert result.value == pytest.approx(full)
    again = model.statistic(get_scorer("roc_auc"), X, Y)
    np.testing.assert_array_equal(again.replicates, result.replicates)


def test_statistics_and_scores_are_given_the_offset():
    counts = np.floor(np.exp(AMOUNT))
    model = fitted(counts, criterion="poisson", offset=OFFSET, match_mean=True)
    result = model.statistic(mean_prediction, X, offset=OFFSET)
    expected = [np.average(counts, weights=weight) for weight in W.weights.T]
    np.testing.assert_allclose(result.replicates, expected, rtol=1e-8)
    found = model.score(X, counts, WEIGHT, offset=OFFSET)
    assert found == model.estimator_.score(X, counts, WEIGHT, offset=OFFSET)
    _, std = model.predict(X, return_std=True, offset=OFFSET)
    assert std.min() > 0
    with pytest.raises(ValueError, match="offset must be given, because"):
        model.statistic(mean_prediction, X)


def test_a_statistic_of_other_rows_needs_their_weights():
    model, some = fitted(), slice(0, 60)
    found = model.statistic(
        mean_prediction, X[some], sample_weight=WEIGHT[some], replicate_weights=W.weights[some]
    )
    expected = [
        np.average(r.predict(X[some]), weights=w)
        for r, w in zip(model.replicates_, W.weights[some].T, strict=True)
    ]
    np.testing.assert_allclose(found.replicates, expected)
    with pytest.raises(ValueError, match=r"expected 120 rows, got 60"):
        model.statistic(mean_prediction, X[some])
    with pytest.raises(ValueError, match=r"given together, got None for replicate_weights"):
        model.statistic(mean_prediction, X[some], sample_weight=WEIGHT[some])
    weights = {"sample_weight": WEIGHT, "replicate_weights": W.weights[:, :5]}
    with pytest.raises(ValueError, match=r"must have the 6 replicates of fit, got 5"):
        model.statistic(mean_prediction, X, **weights)


def test_a_statistic_prints_as_a_table_and_opens_as_a_frame():
    result = fitted(CLASSES).statistic(mean_prediction, X, names=["low", "middle", "high"])
    frame = result.to_frame()
    assert [*frame.index] == ["low", "middle", "high"]
    assert [*frame.columns] == ["value", "standard_error", "low_95", "high_95"]
    np.testing.assert_allclose(frame["value"], result.value)
    assert (frame["low_95"] < frame["value"]).all() and (frame["value"] < frame["high_95"]).all()
    lines = repr(result).splitlines()
    assert len(lines) == 4 and lines[0].split() == [*frame.columns]
    assert lines[2].split()[0] == "middle"
    share = fitted(Y).statistic(mean_prediction, X, names="share")
    assert [*share.to_frame().index] == ["share"]
    with pytest.raises(ValueError, match=r"level must be between 0 and 1, got 95"):
        result.confidence_interval(95)


# What users bring ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_replicate_weights_may_be_columns_of_x(make):
    names = [f"rep{i}" for i in range(6)]
    columns = {name: X[:, i] for i, name in enumerate("abcd")}
    reps = {name: W.weights[:, i] for i, name in enumerate(names)}
    table, whole = make(columns), make(columns | reps)
    model = ReplicateEstimator(net(), method="bootstrap")
    model.fit(whole, AMOUNT, WEIGHT, replicate_weights=names)
    expected = ReplicateEstimator(net(), method="bootstrap")
    expected.fit(table, AMOUNT, WEIGHT, replicate_weights=make(reps))
    assert model.n_features_in_ == 4 and [*model.feature_names_in_] == [*"abcd"]
    for rows in (whole, table):
        np.testing.assert_array_equal(model.predict(rows), expected.predict(table))
    found = model.statistic(mean_prediction, whole)
    assert found.standard_error == expected.statistic(mean_prediction, table).standard_error > 0
    assert model.score(whole, AMOUNT, WEIGHT) == expected.score(table, AMOUNT, WEIGHT)


@pytest.mark.parametrize(
    "of", [tuple, np.array, pd.Index, pd.Series, pl.Series], ids=lambda of: of.__name__
)
def test_names_of_columns_may_come_in_any_sequence(of):
    names = [f"rep{i}" for i in range(6)]
    whole = FRAME.assign(**dict(zip(names, W.weights.T, strict=True)))
    model = ReplicateEstimator(net(), method="bootstrap")
    model.fit(whole, AMOUNT, WEIGHT, replicate_weights=of(names))
    assert model.n_features_in_ == 4 and len(model.replicates_) == 6


def test_other_rows_are_noticed_where_x_holds_their_weights():
    names = [f"rep{i}" for i in range(6)]
    whole = FRAME.assign(**dict(zip(names, W.weights.T, strict=True)))
    model = ReplicateEstimator(net(), method="bootstrap")
    model.fit(whole, AMOUNT, WEIGHT, replicate_weights=names)
    older = whole.assign(age=whole["age"] + 10)  # X of fit but for the age
    assert model.statistic(mean_prediction, older).standard_error > 0
    assert model.statistic(mean_prediction, older[[*FRAME]]).standard_error > 0
    for other in (
        whole.sort_values("age"),
        whole.assign(rep3=1.0),
        whole[::-1].drop(columns="rep1"),
    ):
        with pytest.raises(ValueError, match=r"be the X of fit .* other replicate weights"):
            model.statistic(mean_prediction, other)
    order = np.argsort(X[:, 0])
    found = model.statistic(
        mean_prediction, whole.iloc[order], sample_weight=WEIGHT[order], replicate_weights=names
    )
    expected = model.statistic(mean_prediction, whole).standard_error
    assert found.standard_error == pytest.approx(expected)


def test_it_is_the_last_step_of_a_pipeline_and_clones_and_pickles():
    pipeline = make_pipeline(StandardScaler(), ReplicateEstimator(net(Y)))
    name = "replicateestimator"
    pipeline.fit(X, Y, **{f"{name}__sample_weight": WEIGHT, f"{name}__replicate_weights": W})
    scaled = StandardScaler().fit_transform(X)
    expected = ReplicateEstimator(net(Y)).fit(scaled, Y, WEIGHT, replicate_weights=W)
    np.testing.assert_array_equal(pipeline.predict_proba(X), expected.predict_proba(scaled))
    model = pipeline[-1]
    assert is_classifier(model) and [*model.classes_] == [0, 1]
    copy = pickle.loads(pickle.dumps(model))
    found, other = (m.predict_proba(X, return_std=True)[1] for m in (model, copy))
    np.testing.assert_array_equal(found, other)
    assert not hasattr(clone(model), "estimator_") and not hasattr(clone(model), "classes_")
    assert clone(model).set_params(estimator__lr=0.5).estimator.lr == 0.5
    numbers = ReplicateEstimator(net())
    assert is_regressor(numbers) and not hasattr(numbers, "predict_proba")


def test_weights_are_requested_through_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        model = ReplicateEstimator(net())
        model.set_fit_request(sample_weight=True, replicate_weights=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model)
        pipeline.fit(X, AMOUNT, sample_weight=WEIGHT, replicate_weights=W)
    assert len(pipeline[-1].replicates_) == 6


def test_weights_are_split_with_the_rows():
    rows, other_rows, y, _, weight, _, made, others = train_test_split(
        X, AMOUNT, WEIGHT, W, random_state=0
    )
    assert made.shape == (90, 6) and len(others) == len(other_rows) == 30
    model = ReplicateEstimator(net()).fit(rows, y, weight, replicate_weights=made)
    expected = ReplicateEstimator(net(), method="bootstrap")
    expected.fit(rows, y, weight, replicate_weights=made.weights)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.statistic(mean_prediction, rows).degrees_of_freedom == W.degrees_of_freedom
    search = GridSearchCV(ReplicateEstimator(net()), {"estimator__lr": [0.001, 0.1]}, cv=2)
    search.fit(X, AMOUNT, sample_weight=WEIGHT, replicate_weights=W)
    assert search.best_estimator_.predict(X, return_std=True)[1].min() > 0


class OfTwoInputs(nn.Module):
    """A network of X with two named inputs."""

    def __init__(self, n_features, n_outputs, hidden_sizes):
        super().__init__()
        self.table = nn.Linear(n_features["table"], n_outputs)
        self.size = nn.Linear(n_features["size"], n_outputs)

    def forward(self, table, size):
        return self.table(table) + self.size(size)


def test_x_may_be_several_named_inputs():
    inputs = {"table": X[:, :3].astype("float32"), "size": X[:, 3:].astype("float32")}
    model = fitted(rows=inputs, module=OfTwoInputs)
    result = model.statistic(mean_prediction, inputs)
    assert result.value == pytest.approx(np.average(model.predict(inputs), weights=WEIGHT))
    assert result.standard_error > 0
    some = {name: values[:50] for name, values in inputs.items()}
    with pytest.raises(ValueError, match="expected 120 rows, got 50"):
        model.statistic(mean_prediction, some)


def test_groups_are_held_out_together():
    model = ReplicateEstimator(net()).fit(X, AMOUNT, WEIGHT, replicate_weights=W, groups=CLUSTER)
    alone = net().fit(X, AMOUNT, WEIGHT, groups=CLUSTER)
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    assert np.abs(alone.predict(X) - net().fit(X, AMOUNT, WEIGHT).predict(X)).max() > 1e-4


def test_a_fit_that_is_stopped_raises_a_plain_interrupt(monkeypatch):
    calls, run_epoch = [], Stack._run_epoch

    def stop(self):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return run_epoch(self)

    monkeypatch.setattr(Stack, "_run_epoch", stop)
    model = ReplicateEstimator(net())
    with pytest.raises(KeyboardInterrupt, match="fit of replicates was stopped"):
        model.fit(X, AMOUNT, WEIGHT, replicate_weights=W)
    assert len(calls) == 3 and not hasattr(model, "estimator_")


def column(number, values):
    """Replicate weights of which one replicate is replaced."""
    weights = W.weights.copy()
    weights[:, number] = values
    return weights


class OwnFit(WeightedTorchRegressor):
    """Has a fit of its own."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight)


WITH_WEIGHTS = FRAME.assign(r0=W.weights[:, 0], r1=W.weights[:, 1])
BAD = {
    "no method": ({"method": None}, {}, r"method must say how .* got None"),
    "another method": (
        {"method": "bbr"},
        {},
        r"method must be one of .*'bbr'.* Did you mean 'brr'",
    ),
    "fay": ({"method": "brr", "fay": 1.0}, {}, r"fay must be a number in \[0, 1\), got 1.0"),
    "fay of another method": ({"method": "jk1", "fay": 0.5}, {}, r"fay must be 0 unless"),
    "no scale": ({"method": "jkn"}, {}, r"scale must be given for method"),
    "scale": ({"scale": [1, 2]}, {}, r"scale must .* each of the 6 replicates, got shape \(2,\)"),
    "mse": ({"mse": "yes"}, {}, r"mse must be True or False, got 'yes'"),
    "stack size": ({"stack_size": 0}, {}, r"stack_size must be \"auto\" or an int >= 1, got 0"),
    "zero": ({}, {"replicate_weights": column(2, 0.0)}, r"weights\[:, 2\] must hold at least one"),
    "negative": (
        {},
        {"replicate_weights": column(1, -1.0)},
        r"weights\[:, 1\] must be non-neg.*American Community Survey, may be set to 0",
    ),
    "a name": (
        {},
        {"X": FRAME, "replicate_weights": "rep"},
        r"replicate_weights must be an array, .* or a list of names of columns, got 'rep'",
    ),
    "a number": ({}, {"replicate_weights": np.array(5.0)}, r"two or more .*, got shape \(\)"),
    "none": ({}, {"replicate_weights": None}, r"replicate_weights must be an array.* got None"),
    "a name twice": (
        {},
        {"X": WITH_WEIGHTS, "replicate_weights": ["r0", "r1", "r0"]},
        r"replicate_weights must name each column once, got 'r0' twice",
    ),
    "features": (
        {},
        {"X": WITH_WEIGHTS, "replicate_weights": WITH_WEIGHTS[["r0", "r1"]]},
        r"replicate_weights are columns of X too, such as 'r0': they would be features. .* names",
    ),
    "missing": ({}, {"replicate_weights": column(0, np.nan)}, r"weights\[:, 0\] must be finite"),
    "length": ({}, {"replicate_weights": W.weights[:50]}, r"expected 120 .* got 50"),
    "one": ({}, {"replicate_weights": W.weights[:, :1]}, r"two or more replicates, got shape"),
    "one column": ({}, {"replicate_weights": WEIGHT}, r"two or more replicates, got shape \(120,"),
    "words": ({}, {"replicate_weights": np.full((N, 3), "a")}, r"replicate_weights must hold real"),
    "factors": ({}, {"replicate_weights": W.weights / 100}, r"scale of sample_weight.*Factors"),
    "weight in a replicate only": (
        {},
        {"sample_weight": np.where(np.arange(N) == 3, 0, WEIGHT)},
        r"must be 0 where sample_weight is 0, got .* in row 3 of replicate",
    ),
    "column of an array": ({}, {"replicate_weights": ["a", "b"]}, r"may name columns of a DataFr"),
    "no column": (
        {},
        {"X": FRAME, "replicate_weights": ["aeg", "b"]},
        r"must name columns of X, got 'aeg'.*Did you mean 'age'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_name(name):
    options, arguments, message = BAD[name]
    given = {"X": X, "y": AMOUNT, "sample_weight": WEIGHT, "replicate_weights": W.weights}
    model = ReplicateEstimator(net(), **{"method": "bootstrap", **options})
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(**given | arguments)
    assert not hasattr(model, "estimator_")


MADE = {
    "jackknife": jackknife_weights(None, CLUSTER, WEIGHT),
    "bootstrap": bootstrap_weights(None, CLUSTER, WEIGHT, n_replicates=200, random_state=0),
    "half-samples": brr_weights(CLUSTER // 2, CLUSTER, WEIGHT),
    "Fay": brr_weights(CLUSTER // 2, CLUSTER, WEIGHT, fay=0.5),
}


@pytest.mark.parametrize("name", MADE)
def test_replicate_weights_that_do_not_belong_to_the_sample_weights_are_refused(name):
    made = MADE[name]
    model = ReplicateEstimator(net(max_epochs=1))
    assert len(model.fit(X, AMOUNT, WEIGHT, replicate_weights=made).replicates_) == made.shape[1]
    normalised = WEIGHT / WEIGHT.mean()
    factors = known_as(made, made.weights / WEIGHT[:, None])
    without = known_as(made, made.weights / WEIGHT.mean())
    of_other_rows = known_as(made, made.weights[::-1])
    for weight, weights, message in (
        (None, without, "sample_weight was not given"),
        (normalised, factors, "Factors must be multiplied by the sample weights"),
        (WEIGHT, of_other_rows, "rows in the same order"),
    ):
        with pytest.raises(ValueError, match=rf"belong to sample_weight, .* differ.* {message}"):
            model.fit(X, AMOUNT, weight, replicate_weights=weights)
    # Adjustments for nonresponse and known totals change weights of replicates by less than that.
    noise = np.random.default_rng(0).lognormal(sigma=0.1, size=made.shape)
    adjusted = known_as(made, made.weights * noise * np.where(X[:, :1] > 0, 1.05, 0.95))
    assert model.fit(X, AMOUNT, WEIGHT, replicate_weights=adjusted)


def known_as(made, weights):
    """Other weights of the same method and scale."""
    return ReplicateWeights(weights, made.method, made.scale)


def test_a_replicate_that_cannot_be_fitted_is_named():
    of_class = np.where(Y == 1, 0, WEIGHT)
    weights = column(4, of_class * WEIGHT.sum() / of_class.sum())
    model = ReplicateEstimator(net(Y), method="bootstrap")
    with pytest.raises(ValueError, match=r"replicate_weights\[:, 4\]: y must hold at least two cl"):
        model.fit(X, Y, WEIGHT, replicate_weights=weights)
    weights = column(1, np.where(np.arange(N) == 0, WEIGHT.sum(), 0))
    model = ReplicateEstimator(net(), method="bootstrap")
    with pytest.raises(ValueError, match=r"weights\[:, 1\]: it leaves no .*\d+ rows.*groups"):
        model.fit(X, AMOUNT, WEIGHT, replicate_weights=weights)


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("criterion", ["poisson", "tweedie"])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_a_mean_of_0_that_no_logarithm_gives_is_refused_by_name(criterion, n_targets, n_members):
    rare = np.where(np.isin(CLUSTER, [3, 4]), RNG.poisson(2, N), 0).astype(float)
    y = rare if n_targets == 1 else np.stack([rare + 1, rare], axis=1)
    weights = column(1, np.where(rare > 0, 0, WEIGHT))
    params = {"criterion": criterion, "n_members": n_members}
    options = {"method": "bootstrap"}
    assert fitted(y, weights, options=options, **params)  # the network predicts something near 0
    message = r"replicate_weights\[:, 1\]: y must hold at least one positive .* mean of 0.0"
    with pytest.raises(ValueError, match=message):
        fitted(y, weights, options=options, match_mean=True, **params)
    assert fitted(y - 0.5, weights, options=options, match_mean=True, n_members=n_members)


def test_other_estimators_are_refused():
    for estimator, message in (
        (StandardScaler(), "got StandardScaler"),
        (make_pipeline(StandardScaler(), net()), "got Pipeline.*is the last step"),
        (OwnFit(), "OwnFit overrides fit"),
    ):
        with pytest.raises(TypeError, match=message):
            ReplicateEstimator(estimator).fit(X, AMOUNT, replicate_weights=W)


def test_what_is_not_fitted_and_labels_have_no_standard_errors():
    with pytest.raises(sklearn.exceptions.NotFittedError):
        ReplicateEstimator(net()).predict(X, return_std=True)
    model = fitted(Y)
    with pytest.raises(ValueError, match=r"return_std=True needs predict_proba"):
        model.predict(X, return_std=True)
    np.testing.assert_array_equal(model.predict(X), model.estimator_.predict(X))
    np.testing.assert_array_equal(model.decision_function(X), model.estimator_.decision_function(X))


def values_with_weight(model, X, y, sample_weight):
    """As many numbers as there are clusters with weight: one of the replicates lacks some."""
    return np.bincount(CLUSTER, sample_weight)[np.bincount(CLUSTER, sample_weight) > 0]


@pytest.mark.parametrize(
    "function", [lambda model, X: 1.0, lambda model, X, y: 1.0, roc_auc_score, MarginalEffect]
)
def test_functions_that_cannot_be_called_are_told_how_they_are(function):
    message = r"^function must accept \(estimator, X, y, sample_weight=\.\.\.\), got .*make_scorer"
    with pytest.raises(TypeError, match=message):
        fitted(Y).statistic(function, X, Y)


def test_errors_within_a_function_are_those_of_the_function():
    def function(model, X, y, sample_weight):
        raise TypeError("a fault of its own")

    with pytest.raises(TypeError, match="a fault of its own"):
        fitted().statistic(function, X)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda *args, sample_weight: np.nan, {}, "must return finite numbers, got nan for the fu"),
        (lambda *args, sample_weight: None, {}, "must return finite numbers, got None for the fu"),
        (lambda *args, sample_weight: {"a": 1}, {}, r"must return a number .*, got \{'a': 1\} for"),
        (lambda *args, sample_weight: "high", {}, "must return a number or an array.*, got 'high'"),
        (
            values_with_weight,
            {},
            r"the same shape .* \(20,\) for the full .* for replicate",
        ),
        (mean_prediction, {"names": ["a", "b"]}, r"names must .* of the 1 entries .* got 2: \['a'"),
        *(
            (mean_prediction, {"degrees_of_freedom": df}, f"must be None or a pos.*, got {df!r}")
            for df in (0, -1, np.nan, "18")
        ),
    ],
)
def test_statistics_that_would_say_nothing_are_refused(function, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fitted().statistic(function, X, **options)
