"""Members: every row trains networks, and is predicted by one that has not seen it."""

import pickle
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import assert_same_tensors
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from skorch.callbacks import Callback
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV
from skweight.estimators import FitData, plan
from skweight.search.fits import Task, _plan_on_fold
from skweight.search.folds import Fold
from skweight.stacks import NotStackable, Stack, StackedNetwork
from skweight.training import TrainingInterrupted

rng = np.random.default_rng(0)
X = rng.normal(size=(170, 4)).astype(np.float32)
TWO = (X[:, 0] + rng.normal(size=170) > 0.5).astype(int)
THREE = np.digitize(X[:, 0] + rng.normal(size=170), [-0.5, 0.8])
LABELS = np.stack([TWO, X[:, 1] > 0.2], axis=1).astype(int)
AMOUNT = X[:, 0] + 0.1 * rng.normal(size=170)
WEIGHT = rng.integers(0, 4, 170).astype(float)
GROUPS = rng.integers(0, 20, 170)
QUICK = {"n_members": 3, "random_state": 0, "device": "cpu", "max_epochs": 8, "batch_size": 32}
CASES = {
    "two classes": (WeightedTorchClassifier, TWO, {}),
    "balanced": (
        WeightedTorchClassifier,
        TWO,
        {"class_weight": "balanced", "correct_prior": True},
    ),
    "three classes": (WeightedTorchClassifier, THREE, {"logit_adjustment": 1.0}),
    "labels": (WeightedTorchClassifier, LABELS, {"class_weight": "balanced"}),
    "focal": (WeightedTorchClassifier, TWO, {"criterion": "focal"}),
    "sampling": (WeightedTorchClassifier, THREE, {"weighting": "sampling"}),
    "number": (WeightedTorchRegressor, AMOUNT, {}),
    "two numbers": (WeightedTorchRegressor, np.stack([AMOUNT, 1e5 * AMOUNT], axis=1), {}),
    "gaussian": (WeightedTorchRegressor, AMOUNT, {"criterion": "gaussian_nll"}),
    "gamma": (WeightedTorchRegressor, np.exp(AMOUNT), {"criterion": "gamma"}),
    "huber of torch": (WeightedTorchRegressor, 1e5 * AMOUNT, {"criterion": nn.HuberLoss}),
    "quantiles": (
        WeightedTorchRegressor,
        AMOUNT,
        {"criterion": "quantile", "criterion__quantile": [0.1, 0.5, 0.9]},
    ),
}


def fitted(name, X=X, weight=WEIGHT, take=slice(None), **params):
    kind, y, settings = CASES[name]
    return kind(**QUICK | settings | params).fit(X[take], y[take], sample_weight=weight[take])


def values(model, X):
    is_classifier = isinstance(model, WeightedTorchClassifier)
    return model.predict_proba(X) if is_classifier else model.predict(X)


@pytest.mark.parametrize("name", CASES)
def test_members_are_those_of_their_own_trainings_to_the_bit(name, monkeypatch):
    together = fitted(name)

    def refuse(*args):
        raise NotStackable("to compare")

    monkeypatch.setattr("skweight.stacks.train.models_at_once", refuse)
    alone = fitted(name)
    assert len(together.nets_) == len(alone.nets_) == 3
    for one, other in zip(together.nets_, alone.nets_):
        assert_same_tensors(one.module_.state_dict(), other.module_.state_dict())
    assert np.array_equal(together.oof_prediction_, alone.oof_prediction_)
    assert together.oof_score_ == alone.oof_score_


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_the_mean_of_those_of_the_members(name):
    model = fitted(name)
    of_members = model.predict_members(X)
    assert of_members.shape == (3, *values(model, X).shape)
    assert np.allclose(values(model, X), of_members.mean(axis=0), rtol=1e-12, atol=1e-15)
    assert not np.allclose(of_members[0], of_members[1])
    assert model.oof_prediction_.shape == of_members.shape[1:]
    assert np.isfinite(model.oof_prediction_).all()


@pytest.mark.parametrize("name", ["two classes", "balanced", "three classes", "labels"])
def test_scores_and_classes_are_those_of_the_mean_probabilities(name):
    model = fitted(name)
    probability, scores = model.predict_proba(X), model.decision_function(X)
    if name == "labels":
        odds = np.log(probability) - np.log1p(-probability)
        assert np.array_equal(model.predict(X), (probability > 0.5).astype(int))
    elif name == "three classes":
        odds = np.log(probability)
        assert np.array_equal(model.predict(X), probability.argmax(axis=1))
    else:
        odds = np.log(probability[:, 1]) - np.log(probability[:, 0])
        assert np.array_equal(model.predict(X), (probability[:, 1] > 0.5).astype(int))
    assert np.allclose(scores, odds)


def test_the_spread_of_a_mixture_is_within_and_between_its_members():
    model = fitted("gaussian")
    mean, std = model.predict(X, return_std=True)
    nets = model.nets_
    parts = []
    for net in nets:
        model.nets_ = [net]
        parts.append(model.predict(X, return_std=True))
    means, stds = map(np.stack, zip(*parts))
    assert np.allclose(mean, means.mean(axis=0))
    assert np.allclose(std**2, (stds**2).mean(axis=0) + means.var(axis=0))


def test_quantiles_do_not_cross():
    predicted = fitted("quantiles").predict(X)
    assert (np.diff(predicted, axis=-1) >= 0).all()


# Held-out rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("name", ["two classes", "three classes", "labels", "number"])
def test_no_member_is_trained_on_a_row_that_it_predicts(name, groups):
    kind, y, settings = CASES[name]
    copies = np.concatenate([np.arange(170), np.arange(40)])
    belongs_to = None if groups is None else np.concatenate([groups, groups[:40] + 100])
    data = FitData(X[copies], y[copies], WEIGHT[copies], groups=belongs_to)
    planned = plan(kind(**QUICK | settings | {"early_stopping": True}), data)
    held_out = planned.held_out
    for training, unseen in zip(planned.trainings, held_out.by_member):
        seen = training.rows.index.numpy()
        assert not {*copies[seen]} & {*copies[unseen]}
        assert {*copies[training.valid_rows.index.numpy()]} == {*copies[unseen]}
        if groups is not None:
            # Copies belong to two groups, which therefore count as one.
            assert not {*groups[copies[seen]]} & {*groups[copies[unseen]]}
    times = np.bincount(np.concatenate(held_out.by_member), minlength=len(copies))
    assert (times[held_out.by_all] == 0).all()
    assert (WEIGHT[copies][held_out.by_all] == 0).all()
    has_weight = WEIGHT[copies] > 0
    assert (times[has_weight] >= 1).all()
    assert (times == 2).sum() <= (0 if groups is not None else 4)


def test_folds_have_the_same_shares_of_classes_and_weight():
    own = np.random.default_rng(1)
    y, weight = (np.arange(900) % 10 == 0).astype(int), own.exponential(size=900)
    table = own.normal(size=(900, 2))
    planned = plan(WeightedTorchClassifier(**QUICK | {"n_members": 4}), FitData(table, y, weight))
    parts = [training.valid_rows for training in planned.trainings]
    unseen = planned.held_out.by_member
    assert {len(part) for part in parts} == {225}
    assert {int(part.y.sum()) for part in parts} <= {22, 23}
    assert {len(training.rows) for training in planned.trainings} == {675}
    for label in (0, 1):
        shares = [
            weight[fold][y[fold] == label].sum() / weight[y == label].sum() for fold in unseen
        ]
        # 0.04 and 0.14 on average where rows are dealt out at random
        assert max(shares) - min(shares) < (0.01, 0.05)[label]


def test_predictions_for_held_out_rows_are_honest():
    """Labels that are noise: a network learns its rows by heart, and out of fold is no better."""
    noise = rng.integers(0, 2, 170)
    settings = QUICK | {"early_stopping": False, "max_epochs": 200, "lr": 0.01}
    model = WeightedTorchClassifier(**settings).fit(X, noise)
    assert model.score(X, noise) > 0.9
    assert 0.35 < model.oof_score_ < 0.65


def test_the_score_out_of_fold_is_weighted():
    model = fitted("two classes")
    right = model.oof_prediction_.argmax(axis=1) == TWO
    assert model.oof_score_ == pytest.approx(np.average(right, weights=WEIGHT))
    model = fitted("number")
    residual = np.average((AMOUNT - model.oof_prediction_) ** 2, weights=WEIGHT)
    variance = np.average((AMOUNT - np.average(AMOUNT, weights=WEIGHT)) ** 2, weights=WEIGHT)
    assert model.oof_score_ == pytest.approx(1 - residual / variance)


def test_a_row_of_weight_0_is_predicted_by_all_members():
    model = fitted("number")
    rows = WEIGHT == 0
    assert np.allclose(model.oof_prediction_[rows], model.predict(X[rows]), rtol=1e-12)
    assert not np.allclose(model.oof_prediction_[~rows], model.predict(X[~rows]), rtol=1e-6)


# Laws ---------------------------------------------------------------------------------------


def assert_same_members(one, other):
    for net, its_net in zip(one.nets_, other.nets_, strict=True):
        assert_same_tensors(net.module_.state_dict(), its_net.module_.state_dict())


@pytest.mark.parametrize("name", CASES)
def test_weights_copies_order_and_scale_mean_what_they_mean_for_one_network(name):
    expected = fitted(name)
    order = rng.permutation(170)
    shuffled = fitted(name, take=order)
    assert_same_members(shuffled, expected)
    assert np.array_equal(shuffled.oof_prediction_, expected.oof_prediction_[order])
    copies = np.repeat(np.arange(170), WEIGHT.astype(int))
    copied = fitted(name, take=copies, weight=np.ones(170))
    assert_same_members(copied, expected)
    assert np.array_equal(copied.oof_prediction_, expected.oof_prediction_[copies])
    assert copied.oof_score_ == pytest.approx(expected.oof_score_)
    assert_same_members(fitted(name, weight=WEIGHT * 2.0**-9), expected)


# Kinds of X, modules and early stopping -----------------------------------------------------


def test_tables_with_categories_and_missing_numbers():
    table = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 1, np.nan, X[:, 1])})
    table["town"] = rng.integers(0, 30, 170).astype(str)
    model = WeightedTorchClassifier(**QUICK).fit(table, TWO, sample_weight=WEIGHT)
    unseen = plan(clone(model), FitData(table, TWO, WEIGHT)).held_out.by_member
    # Each row as the member that has not seen it predicts it from the user's own table.
    once = [
        np.setdiff1d(f, np.concatenate(unseen[:i] + unseen[i + 1 :])) for i, f in enumerate(unseen)
    ]
    for number, rows in enumerate(once):
        predicted = model.predict_members(table.iloc[rows])[number]
        assert np.array_equal(predicted, model.oof_prediction_[rows])


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asfortranarray, torch.from_numpy])
def test_other_forms_of_X(form):
    model = WeightedTorchClassifier(**QUICK).fit(form(X), TWO, sample_weight=WEIGHT)
    assert np.allclose(model.oof_prediction_, fitted("two classes").oof_prediction_, atol=1e-5)


class Dropped(nn.Module):
    """A network that draws random numbers, so that it cannot be stacked, of named inputs."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, n_outputs))

    def forward(self, table):
        return self.layers(table)


def test_own_modules_of_named_inputs_are_trained_one_by_one():
    model = WeightedTorchClassifier(Dropped, **QUICK).fit({"table": X}, TWO, sample_weight=WEIGHT)
    assert len(model.nets_) == 3
    assert model.oof_prediction_.shape == (170, 2)
    assert model.score({"table": X}, TWO) > 0.5


def test_without_early_stopping_members_are_trained_to_the_end():
    model = fitted("two classes", early_stopping=False)
    assert [len(net.history) for net in model.nets_] == [8, 8, 8]
    assert "valid_loss" not in model.nets_[0].history[-1]
    assert model.n_iter_ == 8


@pytest.mark.parametrize("criterion", ["squared_error", "poisson", "gaussian_nll"])
def test_a_score_that_numbers_are_too_small_for_does_not_fail_the_fit(criterion):
    model = WeightedTorchRegressor(criterion=criterion, **QUICK)
    with np.errstate(all="raise"):
        model.fit(X, np.where(TWO, 1e-320, 5e-324))
    assert model.oof_prediction_.shape == (170,)
    assert isinstance(model.oof_score_, float)


# Searches, copies, continued fits -----------------------------------------------------------


def test_a_search_over_weights_is_that_of_grid_search_to_the_bit():
    settings = {"class_weight": [None, "balanced"], "n_members": [1, 3]}
    model = WeightedTorchClassifier(**QUICK)
    searches = [
        kind(model, settings, cv=2, scoring="neg_log_loss").fit(X, TWO, sample_weight=WEIGHT)
        for kind in (WeightSearchCV, GridSearchCV)
    ]
    ours, theirs = (search.cv_results_["mean_test_score"] for search in searches)
    assert np.array_equal(ours, theirs)
    assert searches[0].stacked_[[1, 3]].all()


def test_copies_predict_the_same():
    model = fitted("balanced")
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert copy.oof_score_ == model.oof_score_
    assert clone(model).n_members == 3


def test_what_one_network_has_is_explained_for_several():
    model = fitted("two classes", module__feature_weights=1.0)
    for name in ("net_", "module_", "history_"):
        with pytest.raises(AttributeError, match=r"3 members: nets_ is a list"):
            getattr(model, name)
    single = [net.module_.feature_weight.weight.detach().numpy() for net in model.nets_]
    assert np.allclose(model.feature_weights_, np.mean(single, axis=0))
    model.set_params(n_members=1).fit(X, TWO)
    assert model.net_ is model.nets_[0]
    assert not hasattr(model, "oof_prediction_")


def test_a_warm_start_goes_on_without_the_rows_that_a_member_was_trained_without():
    model = WeightedTorchRegressor(**QUICK, warm_start=True)
    data = FitData(X, AMOUNT, WEIGHT)
    first = plan(clone(model), data).held_out.by_member
    other = plan(clone(model).set_params(random_state=1), data).held_out.by_member
    model.fit(X, AMOUNT, sample_weight=WEIGHT).set_params(random_state=1)
    continued = plan(model, data).held_out.by_member
    assert all(map(np.array_equal, continued, first))
    assert not all(map(np.array_equal, continued, other))
    before = [net.module_.state_dict() for net in model.nets_]
    model.fit(X, AMOUNT, sample_weight=WEIGHT)
    for state, net in zip(before, model.nets_):
        assert not torch.equal(state["output.bias"], net.module_.state_dict()["output.bias"])
    with pytest.raises(ValueError, match="it was 3, got n_members=2"):
        model.set_params(n_members=2).fit(X, AMOUNT)


# Chosen by the number of rows ---------------------------------------------------------------


def n_chosen(y, **fit_params):
    X = rng.normal(size=(len(y), 3)).astype(np.float32)
    kind = WeightedTorchClassifier if y.dtype.kind == "i" else WeightedTorchRegressor
    groups = fit_params.get("groups")
    if groups is not None:
        fit_params["groups"] = np.arange(len(y)) % groups
    model = kind(n_members="auto", max_epochs=1, random_state=0, device="cpu")
    return len(model.fit(X, y, **fit_params).nets_)


def classes_of(*counts):
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("y", "fit_params", "expected"),
    [
        (rng.normal(size=20), {}, 5),
        (rng.normal(size=19), {}, 1),
        (rng.normal(size=1999), {}, 5),
        (rng.normal(size=2000), {}, 1),
        (classes_of(1000, 999), {}, 5),
        (classes_of(1900, 100), {}, 1),
        (classes_of(1901, 99), {}, 5),
        (classes_of(1998, 2), {}, 5),
        (classes_of(1900, 1), {}, 1),
        (rng.normal(size=300), {"groups": 5}, 5),
        (rng.normal(size=300), {"groups": 4}, 1),
        (rng.normal(size=300), {"X_val": np.ones((9, 3)), "y_val": np.ones(9)}, 1),
    ],
)
def test_auto_makes_five_members_of_few_rows_or_of_a_rare_class(y, fit_params, expected):
    assert n_chosen(y, **fit_params) == expected


def test_auto_counts_distinct_rows_with_weight():
    y, weight = classes_of(1200, 1200), np.r_[np.ones(1200), np.zeros(600), np.ones(600)]
    assert n_chosen(y) == 1
    assert n_chosen(y, sample_weight=weight) == 5
    model = WeightedTorchClassifier(max_epochs=1, device="cpu")
    assert len(model.fit(np.repeat(X, 13, axis=0), np.repeat(TWO, 13)).nets_) == 5


@pytest.mark.parametrize("y", [TWO, AMOUNT], ids=["classes", "numbers"])
def test_partial_fit_after_a_fit_of_members_trains_each_of_them(y):
    kind = WeightedTorchClassifier if y is TWO else WeightedTorchRegressor
    model = kind(max_epochs=3, random_state=0, device="cpu").fit(X, y, WEIGHT)
    before, copied = model.predict_members(X), pickle.loads(pickle.dumps(model))
    for each in (model, copied):
        each.partial_fit(X[:50], y[:50], sample_weight=WEIGHT[:50])
    after = model.predict_members(X)
    assert len(after) == 5 and model.n_iter_ == 4
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(after, before))
    assert_array_equal(copied.predict_members(X), after)
    assert not hasattr(model, "oof_prediction_")
    # Weights are on the scale of all rows of the fit, and equal rows still count once.
    twice = kind(max_epochs=3, random_state=0, device="cpu").fit(X, y, 2 * WEIGHT)
    rows = np.r_[:50, :50]
    twice.partial_fit(X[rows], y[rows], sample_weight=WEIGHT[rows])
    assert_array_equal(twice.predict_members(X), after)


class Nothing(Callback):
    pass


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, 5),
        ({"early_stopping": True}, 5),
        ({"validation_fraction": 0.25}, 4),
        ({"validation_fraction": 0.01}, 10),
        ({"validation_fraction": 0.8}, 1),
        ({"early_stopping": False}, 1),
        ({"module": nn.Linear}, 1),
        ({"callbacks": [Nothing]}, 1),
        ({"callbacks": []}, 5),
    ],
)
def test_auto_trains_one_network_where_the_user_has_more_to_do_with_it(params, expected):
    model = WeightedTorchRegressor(max_epochs=1, device="cpu", **params).fit(X, AMOUNT)
    assert len(model.nets_) == expected


def test_auto_goes_on_with_as_many_as_there_are():
    model = WeightedTorchRegressor(max_epochs=1, device="cpu", warm_start=True).fit(X, AMOUNT)
    table = rng.normal(size=(2200, 4))
    assert len(model.fit(table, table[:, 0]).nets_) == 5
    model = WeightedTorchClassifier(device="cpu", warm_start=True, max_epochs=1)
    model.partial_fit(X, TWO, classes=[0, 1])
    assert len(model.nets_) == len(model.fit(X, TWO).nets_) == 1


def test_validation_rows_are_refused_where_members_go_on():
    model = WeightedTorchClassifier(max_epochs=1, device="cpu", warm_start=True).fit(X, TWO)
    with pytest.raises(ValueError, match=r"X_val needs n_members=1.* got 5 members"):
        model.fit(X, TWO, X_val=X[:20], y_val=TWO[:20])


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("n_members", ["auto", 5])
def test_members_that_have_seen_the_rows_they_held_out_do_not_go_on(n_members, monkeypatch):
    params = {"max_epochs": 4, "device": "cpu", "warm_start": True}
    seen = WeightedTorchRegressor(**params).fit(X, AMOUNT).partial_fit(X, AMOUNT)
    with pytest.raises(ValueError, match="on which partial_fit was called"):
        seen.fit(X, AMOUNT)
    monkeypatch.setattr(PressesCtrlC, "n_calls", 0)
    stopped = WeightedTorchRegressor(n_members=5, callbacks=[PressesCtrlC], **params)
    with pytest.raises(KeyboardInterrupt, match="2 of 5 members"):
        stopped.fit(X, AMOUNT)
    stopped.set_params(n_members=n_members, callbacks=None)
    expected = "fit was stopped" if n_members == "auto" else "it was 2, got n_members=5"
    with pytest.raises(ValueError, match=expected):
        stopped.fit(X, AMOUNT)
    assert len(stopped.set_params(warm_start=False).fit(X, AMOUNT).nets_) == 5


# Rows with the same X -----------------------------------------------------------------------

CELLS = rng.normal(size=(40, 4)).astype(np.float32)
CELL = rng.integers(0, 40, 3000)
HAPPENED = (rng.random(3000) < 1 / (1 + np.exp(-CELLS[CELL, 0] - 1))).astype(int)


def held_out_cells(model, y, **fit_params):
    """For each training the cells of its training rows and of its validation rows."""
    found = []
    for training in plan(model, FitData(CELLS[CELL], y, **fit_params)).trainings:
        parts = [training.rows, training.valid_rows]
        found.append([{*CELL[part.index]} for part in parts if part is not None])
    return found


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize(
    "y",
    [HAPPENED, HAPPENED + CELL % 2, np.stack([HAPPENED, CELL % 2], axis=1), rng.poisson(1.0, 3000)],
    ids=["two classes", "three classes", "labels", "counts"],
)
def test_rows_with_the_same_x_are_held_out_together(y, n_members):
    is_count = y.ndim == 1 and y.max() > 2
    kind = WeightedTorchRegressor if is_count else WeightedTorchClassifier
    parts = held_out_cells(kind(early_stopping=True, n_members=n_members, random_state=0), y)
    assert len(parts) == n_members
    for train, valid in parts:
        assert not train & valid
        assert len(train | valid) == 40 and len(valid) >= 8
    # A row of X that occurs with one value of y only is a row as any other.
    assert sum(len(valid) for _, valid in parts) == 40 or n_members == 1


TABLE = pd.DataFrame({"group": pd.Categorical(CELL // 8), "level": CELL % 8})


@pytest.mark.parametrize("n_members", [1, 3])
def test_the_names_of_categories_do_not_matter_to_what_is_held_out(n_members):
    named = TABLE.assign(group=TABLE["group"].cat.rename_categories([*"dbeca"]).astype(str))
    predicted = []
    for table in (TABLE, named):
        model = WeightedTorchClassifier(max_epochs=4, early_stopping=True, n_members=n_members)
        model.set_params(random_state=0, device="cpu").fit(table, HAPPENED)
        predicted.append(model.predict_proba(table))
    assert_array_equal(*predicted)
    assert len(np.unique(predicted[0])) > 30


def test_a_warm_start_holds_out_the_same_rows_of_a_table_with_categories():
    model = WeightedTorchClassifier(max_epochs=1, random_state=0, device="cpu", warm_start=True)
    data = FitData(TABLE, HAPPENED)
    first = plan(clone(model), data).held_out.by_member
    again = plan(model.fit(TABLE, HAPPENED), data).held_out.by_member
    assert all(map(np.array_equal, again, first)) and len(first) == 5


@pytest.mark.parametrize("n_members", [1, 3])
def test_rates_of_which_most_are_zero_are_held_out_together_by_x(n_members):
    """The zeros of a cell become one heavy row, while its claims have a rate of their own each."""
    years = rng.uniform(0.1, 1.0, 3000)
    rates = rng.poisson(0.3 * years) / years
    model = WeightedTorchRegressor(early_stopping=True, n_members=n_members, random_state=0)
    for train, valid in held_out_cells(model, rates, sample_weight=years):
        assert not train & valid and valid


def test_of_numbers_that_do_not_recur_single_rows_are_held_out():
    model = WeightedTorchRegressor(early_stopping=True, n_members=1, random_state=0)
    ((train, valid),) = held_out_cells(model, rng.normal(size=3000))
    assert len(train & valid) > 30


def test_groups_of_the_user_are_held_out_instead_of_rows_with_the_same_x():
    model = WeightedTorchRegressor(early_stopping=True, n_members=1, random_state=0)
    y = np.where(np.arange(3000) < 1500, 0.0, 1.0) + rng.integers(0, 50, 3000)
    groups = CELL // 4  # so that equal rows have the same group
    ((train, valid),) = held_out_cells(model, y, groups=groups)
    assert not {cell // 4 for cell in train} & {cell // 4 for cell in valid}


def test_probabilities_of_many_copies_of_few_rows_are_their_shares():
    shares = np.bincount(CELL, HAPPENED) / np.bincount(CELL)
    model = WeightedTorchClassifier(random_state=0).fit(CELLS[CELL], HAPPENED)
    assert len(model.nets_) == 5
    error = np.abs(model.predict_proba(CELLS)[:, 1] - shares)
    assert 0 < error.mean() < 0.06 and shares.std() > 0.1


# Groups and scikit-learn --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_early_stopping_holds_out_whole_groups(kind):
    y = TWO if kind == "classes" else AMOUNT
    estimator = WeightedTorchClassifier if kind == "classes" else WeightedTorchRegressor
    planned = plan(
        estimator(random_state=0, early_stopping=True, n_members=1),
        FitData(X, y, WEIGHT, groups=GROUPS),
    )
    seen, unseen = (
        rows.index.numpy() for rows in (planned.training.rows, planned.training.valid_rows)
    )
    assert not {*GROUPS[seen]} & {*GROUPS[unseen]}
    assert 0.1 < WEIGHT[unseen].sum() / WEIGHT.sum() < 0.3
    assert len(seen) + len(unseen) == (WEIGHT > 0).sum()


def test_groups_of_a_search_go_to_its_splitter_alone_unless_the_fit_asks_for_them():
    model = WeightedTorchClassifier(**QUICK | {"n_members": 1})
    scores = cross_val_score(model, X, TWO, groups=GROUPS, cv=GroupKFold(3))
    assert len(scores) == 3
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(model, X, TWO, params={"groups": GROUPS}, cv=GroupKFold(3))
        assert len(scores) == 3
        asking = clone(model).set_params(early_stopping=True).set_fit_request(groups=True)
        with pytest.raises(ValueError, match="groups must have no missing value"):
            cross_val_score(
                asking,
                X,
                TWO,
                params={"groups": np.where(GROUPS == 3, np.nan, GROUPS)},
                cv=2,
                error_score="raise",
            )


# Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1, 1.5, "many", True, None])
def test_the_number_must_be_one(bad):
    with pytest.raises(ValueError, match='n_members must be an integer >= 1 or "auto", got'):
        WeightedTorchClassifier(n_members=bad).fit(X, TWO)


def test_what_makes_no_sense_with_members_is_refused_with_the_way_out():
    model = WeightedTorchClassifier(**QUICK)
    with pytest.raises(ValueError, match=r"X_val needs n_members=1.*Leave X_val out"):
        model.fit(X, TWO, X_val=X, y_val=TWO)
    with pytest.raises(AttributeError) as caught:
        model.partial_fit(X, TWO, classes=[0, 1])
    assert "partial_fit needs n_members=1 or" in str(caught.value.__cause__)


@pytest.mark.parametrize("n_rare", [1, 2])
def test_a_class_of_few_rows_makes_fewer_members_and_is_named(n_rare):
    y = np.array(["common"] * 170, dtype=object)
    y[:n_rare] = "rare"
    expected = "1 network is" if n_rare == 1 else "2 networks are"
    message = f"n_members=3 needs as many distinct rows of class rare, got {n_rare}: {expected}"
    with pytest.warns(UserWarning, match=message):
        model = WeightedTorchClassifier(**QUICK).fit(X, y)
    assert len(model.nets_) == n_rare


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (GROUPS[:10], r"one group for each of 170 rows of X, got shape \(10,\)"),
        (np.where(GROUPS == 3, np.nan, GROUPS), "no missing value, got nan in row"),
        (np.array([None, *"ab" * 84, "a"], dtype=object), "no missing value, got None in row 0"),
        (np.array([1, *"ab" * 84, "a"], dtype=object), "labels of one kind"),
        (pd.Series([pd.NA, *[1] * 169], dtype="Int64"), "no missing value, got nan in row 0"),
        (pd.Series(pd.NaT, index=range(170)), "no missing value, got .*NaT.* in row 0"),
        (pd.Categorical([None, *"ab" * 84, "a"]), "no missing value, got nan in row 0"),
        (np.ma.masked_array(GROUPS, GROUPS == 3), "masked"),
        (GROUPS % 2, "at most the number of groups with weight, 2, got 3"),
        (np.zeros((170, 2)), r"got shape \(170, 2\)"),
    ],
)
def test_bad_groups_are_refused(groups, message):
    with pytest.raises((ValueError, TypeError), match=f"groups|group .*{message}"):
        WeightedTorchRegressor(**QUICK).fit(X, AMOUNT, groups=groups)


class PressesCtrlC(Callback):
    """Presses it when it is called for the ``n``-th time."""

    n_calls = 0

    def on_epoch_end(self, net, **kwargs):
        PressesCtrlC.n_calls += 1
        if PressesCtrlC.n_calls == 6:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def python_handles_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_in(monkeypatch, owner, name, n_calls):
    """Press it before a method of a class is called for the ``n_calls``-th time."""
    method, calls = getattr(owner, name), []

    def interrupted(*args):
        calls.append(name)
        if len(calls) == n_calls:
            signal.raise_signal(signal.SIGINT)
        return method(*args)

    monkeypatch.setattr(owner, name, interrupted)


# Networks of a stack whose validation losses go up and down.
UNSTEADY = QUICK | {"lr": 0.3, "max_epochs": 12, "n_iter_no_change": 12, "ema_decay": 0.0}


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize(
    ("owner", "name", "n_calls", "n_epochs"),
    [
        (Stack, "_train_epoch", 10, 9),
        (Stack, "_validate", 10, 9),
        (Stack, "_record", 10, 9),
        (StackedNetwork, "copy_to", 2, 1),  # of three best networks, one has been copied
    ],
)
def test_an_interrupted_stack_keeps_the_best_networks_so_far(
    owner, name, n_calls, n_epochs, monkeypatch
):
    model = WeightedTorchClassifier(**UNSTEADY)
    press_ctrl_c_in(monkeypatch, owner, name, n_calls)
    message = f"stopped after {n_epochs} epochs.* best networks of 3 of 3 members so far"
    with pytest.raises(KeyboardInterrupt, match=message) as stop:
        model.fit(X, TWO)
    assert type(stop.value) is KeyboardInterrupt
    expected = clone(model).set_params(max_epochs=n_epochs).fit(X, TWO)
    assert_array_equal(model.predict_members(X), expected.predict_members(X))
    best = [int(np.argmin(net.history[:, "valid_loss"])) for net in model.nets_]
    assert n_epochs == 1 or min(best) < n_epochs - 1  # the last network is not the best
    assert not hasattr(model, "oof_prediction_")  # only a complete fit makes them


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_an_interrupted_stack_without_validation_rows_keeps_its_networks(ema_decay, monkeypatch):
    model = WeightedTorchClassifier(**UNSTEADY | {"early_stopping": False, "ema_decay": ema_decay})
    press_ctrl_c_in(monkeypatch, Stack, "_train_epoch", 6)
    with pytest.raises(
        KeyboardInterrupt, match=r"after 5 epochs.* networks as they were of 3 of 3"
    ):
        model.fit(X, TWO)
    expected = clone(model).set_params(max_epochs=5).fit(X, TWO)
    assert_array_equal(model.predict_members(X), expected.predict_members(X))


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_before_the_first_epoch_has_ended_no_network_is_the_best(monkeypatch):
    press_ctrl_c_in(monkeypatch, Stack, "_train_epoch", 1)
    model = WeightedTorchClassifier(**QUICK)
    with pytest.raises(
        KeyboardInterrupt, match=r"after 0 epochs.* networks as they were of 3 of 3"
    ):
        model.fit(X, TWO)
    assert model.predict_proba(X).shape == (170, 2)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_members_trained_one_by_one_are_kept_as_far_as_they_were_begun(monkeypatch):
    monkeypatch.setattr(PressesCtrlC, "n_calls", 0)
    model = WeightedTorchClassifier(**QUICK | {"max_epochs": 4}, callbacks=[PressesCtrlC])
    with pytest.raises(KeyboardInterrupt, match="best networks of 2 of 3 members"):
        model.fit(X, TWO)
    assert [len(net.history) for net in model.nets_] == [4, 2]
    assert model.predict_proba(X).shape == (170, 2)
    assert not hasattr(model, "oof_score_")


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_fit_that_is_interrupted_before_the_first_network_leaves_the_estimator_as_it_was(
    monkeypatch,
):
    model = fitted("two classes")
    nets = model.nets_
    press_ctrl_c_in(monkeypatch, Stack, "train", 1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, TWO)
    assert model.nets_ is nets


def test_an_interrupt_that_travels_between_processes_holds_no_network():
    net = fitted("two classes").nets_[0]
    stop = pickle.loads(pickle.dumps(TrainingInterrupted([net], is_best=True)))
    assert type(stop) is KeyboardInterrupt
    assert "best network so far" in str(stop)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_search_that_is_stopped_holds_no_network(monkeypatch):
    press_ctrl_c_in(monkeypatch, Stack, "_train_epoch", 3)
    search = WeightSearchCV(WeightedTorchClassifier(**QUICK), {"class_weight": [None, "balanced"]})
    with pytest.raises(KeyboardInterrupt, match="The search was stopped") as stop:
        search.fit(X, TWO)
    assert type(stop.value) is KeyboardInterrupt
    assert not hasattr(search, "best_estimator_")


def test_an_error_of_one_member_is_that_of_the_fit():
    table, y = make_classification(200, random_state=0)
    with pytest.raises(ValueError, match="train_loss became"):
        WeightedTorchRegressor(**QUICK | {"lr": 1e30}).fit(table, y.astype(float))


def test_candidates_of_a_search_hold_one_copy_of_their_rows():
    table = X.astype(np.float64)  # so that each plan makes float32 of it
    settings = [{"class_weight": None}, {"class_weight": "balanced"}]
    fold = Fold(table, TWO, {}, np.arange(170))
    task = Task(
        [WeightedTorchClassifier(**QUICK | s) for s in settings], [0, 0], {0: fold}, "", True
    )
    planned = [*_plan_on_fold(task, [0, 1], fold, {}).values()]
    held_out = [fit.plan.held_out for fit in planned]
    assert held_out[0].X is held_out[1].X
    assert len({id(t.rows.X) for fit in planned for t in fit.plan.trainings}) == 1
