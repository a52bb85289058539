"""Callbacks of scikit-learn 1.9 on the estimators; those on searches are in ``tests/search``."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers import assert_same_tensors
from sklearn.base import clone
from sklearn.metrics import accuracy_score, d2_pinball_score, make_scorer, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
QUICK = {"lr": 0.02, "random_state": 0, "device": "cpu", "n_members": 1, "max_epochs": 5}
STOPPING = {"early_stopping": True, "n_iter_no_change": 3, "max_epochs": 60, "lr": 0.05}


def monitor(scoring="accuracy"):
    return callback.ScoringMonitor(scoring=scoring)


def scores_of(log, task="epoch", name="accuracy"):
    return [row[name] for row in log.get_logs().data if row["task_name"] == task]


class Records:
    """Record tasks, and the estimators that are fitted so far."""

    max_propagation_depth = None

    def __init__(self, stop_after=10**9):
        self.calls, self.fitted, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.calls.append(("begin", context.task_name, context.task_id, context.max_subtasks))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.calls.append(("end", context.task_name, context.task_id, context.max_subtasks))
        self.fitted.append((X, y, metadata, fitted_estimator))
        return context.task_name == "epoch" and context.task_id + 1 >= self.stop_after


# --------------------------------------------------------------------------------------
# One fit
# --------------------------------------------------------------------------------------


def test_a_fit_has_a_task_for_each_epoch(binary):
    X, y, weight = binary
    record = Records()
    model = WeightedTorchClassifier(**QUICK).set_callbacks(record).fit(X, y, weight)
    epochs = [(hook, "epoch", n, 0) for n in range(5) for hook in ("begin", "end")]
    fit = [("begin", "fit", 0, 5), ("end", "fit", 0, 5)]
    assert record.calls == ["setup", fit[0], *epochs, fit[1], "teardown"]
    assert not {"_callback_fit_ctx", "_skl_callbacks_to_teardown"} & {*vars(model)}


@pytest.mark.parametrize(
    "params",
    [
        {"class_weight": "balanced", "correct_prior": True},
        {"class_weight": "balanced", "match_mean": True},
        STOPPING,
        STOPPING | {"ema_decay": 0, "criterion": "focal"},
        {"module__dropout": 0.2},
    ],
    ids=str,
)
def test_each_epoch_is_scored_with_the_weights_as_if_the_fit_had_ended_there(binary, params):
    X, y, weight = binary
    y = np.array(["no", "yes"])[y]
    log = monitor(["accuracy", "neg_log_loss"])
    params = QUICK | {"early_stopping": False} | params
    plain = WeightedTorchClassifier(**params).fit(X, y, weight)
    model = clone(plain).set_callbacks(log).fit(X, y, weight)
    assert_same_tensors(model.module_.state_dict(), plain.module_.state_dict())
    assert model.net_.step_ == plain.net_.step_
    found, losses = scores_of(log), scores_of(log, name="neg_log_loss")
    assert len(found) == model.n_iter_ and len({*found}) > 2
    for n in (1, 3):  # what is drawn in earlier epochs does not depend on max_epochs
        until = clone(plain).set_params(max_epochs=n, n_iter_no_change=100)
        if params["early_stopping"]:  # the monitor sees the network of the epoch, not the best one
            until.set_params(max_epochs=model.best_epoch_)
            n = model.best_epoch_
        until.fit(X, y, weight)
        assert found[n - 1] == until.score(X, y, weight)
        assert accuracy_score(y, until.predict(X), sample_weight=weight) == found[n - 1]
        assert losses[n - 1] == pytest.approx(-log_loss_of(until, X, y, weight), rel=1e-9)
    assert scores_of(log, "fit") == [model.score(X, y, weight)]


def log_loss_of(model, X, y, weight):
    p = model.predict_proba(X)[np.arange(len(y)), (y == "yes").astype(int)]
    return np.average(-np.log(p), weights=weight)


def test_units_of_y_and_criteria_are_those_of_predict(regression):
    X, y, weight = regression
    for criterion, scorer, of in [
        ("squared_error", "r2", r2_score),
        ("quantile", make_scorer(d2_pinball_score), d2_pinball_score),
    ]:
        log = monitor({"score": scorer} if criterion == "quantile" else scorer)
        model = WeightedTorchRegressor(**QUICK | STOPPING, criterion=criterion).set_callbacks(log)
        model.fit(X, 1000 * y + 5, weight)
        name = "score" if criterion == "quantile" else "r2"
        found = scores_of(log, name=name)
        best = of(1000 * y + 5, model.predict(X), sample_weight=weight)
        assert found[model.best_epoch_ - 1] == pytest.approx(best, rel=1e-9)
        assert scores_of(log, "fit", name) == [pytest.approx(best, rel=1e-9)]


def test_categories_and_missing_values_reach_the_scorer_as_the_user_passed_them():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=200), "b": rng.choice(["u", "v", None], 200)})
    y = (X["b"] == "u").to_numpy()
    record, log = Records(), monitor()
    WeightedTorchClassifier(**QUICK).set_callbacks(record, log).fit(X, y)
    assert all(found is X and metadata is None for found, _, metadata, _ in record.fitted)
    assert scores_of(log)[-1] > 0.9


def test_rows_without_weight_are_no_training_data(regression):
    X, y, _ = regression
    weight = np.arange(len(y)) % 3
    y = np.where(weight == 0, np.nan, y)
    kept = weight > 0
    logs = monitor("r2"), monitor("r2")
    WeightedTorchRegressor(**QUICK).set_callbacks(logs[0]).fit(X, y, weight)
    WeightedTorchRegressor(**QUICK).set_callbacks(logs[1]).fit(X[kept], y[kept], weight[kept])
    assert scores_of(logs[0], name="r2") == scores_of(logs[1], name="r2")


def test_an_offset_is_among_the_metadata_and_needed_by_scorers(regression):
    X, y, weight = regression

    def r2(estimator, X, y, sample_weight, offset):
        return {"own": r2_score(y, estimator.predict(X, offset=offset), sample_weight=weight)}

    log, offset = monitor(r2), X[:, 0]
    model = WeightedTorchRegressor(**QUICK).set_callbacks(log)
    model.fit(X, y, weight + 1.0, offset=offset)
    expected = r2_score(y, model.predict(X, offset=offset), sample_weight=weight)
    assert scores_of(log, "fit", "own") == [pytest.approx(expected, rel=1e-9)]
    with pytest.raises((TypeError, ValueError), match="offset"):
        model.set_callbacks(monitor("r2")).fit(X, y, offset=offset)


def test_a_callback_may_end_the_training(binary):
    X, y, _ = binary
    for params, n_trained in [({}, 1), ({"n_members": 3}, 3), (STOPPING, 1)]:
        model = WeightedTorchClassifier(**QUICK | params).set_callbacks(Records(stop_after=2))
        model.fit(X, y)
        assert [len(net.history) for net in model.nets_] == [2] * n_trained
    until = WeightedTorchClassifier(**QUICK | {"max_epochs": 2, "early_stopping": False})
    stopped = clone(until).set_params(max_epochs=9).set_callbacks(Records(stop_after=2)).fit(X, y)
    expected = until.fit(X, y).module_.state_dict()
    assert_same_tensors(stopped.module_.state_dict(), expected)


def test_each_member_is_a_task_and_scored_by_itself(binary):
    X, y, weight = binary
    log = monitor()
    for params in (STOPPING, STOPPING | {"module__dropout": 0.1}):
        model = WeightedTorchClassifier(**QUICK | params | {"n_members": 3}).set_callbacks(log)
        model.fit(X, y, weight)
        single = [
            accuracy_score(y, p.argmax(axis=1), sample_weight=weight)
            for p in model.predict_members(X)
        ]
        assert scores_of(log, "member") == single
        assert len(scores_of(log)) == sum(len(net.history) for net in model.nets_)
        assert scores_of(log, "fit") == [model.score(X, y, weight)]


def test_beside_callbacks_of_skorch_which_change_nothing_of_it(binary):
    X, y, _ = binary
    log, score = monitor(), EpochScoring("accuracy", name="held_out", lower_is_better=False)
    model = WeightedTorchClassifier(**QUICK | STOPPING, callbacks=[score]).set_callbacks(log)
    model.fit(X, y)
    assert len(model.history_[:, "held_out"]) == len(scores_of(log)) == model.n_iter_


def test_a_fit_that_fails_tears_callbacks_down_and_leaves_the_estimator_as_it_was(binary):
    X, y, _ = binary
    record = Records()
    model = WeightedTorchClassifier(**QUICK).set_callbacks(record).fit(X, y)
    before = vars(model).copy()

    def fails(output, target):
        raise ArithmeticError("of the criterion")

    with pytest.raises(ArithmeticError):
        model.set_params(criterion=fails).fit(X, y)
    assert record.calls.count("setup") == record.calls.count("teardown") == 2
    assert vars(model).keys() == before.keys() and model.nets_ is before["nets_"]
    with pytest.raises(TypeError, match="FitCallback protocol"):
        model.set_callbacks(object())


def test_partial_fit_calls_no_callbacks(binary):
    X, y, _ = binary
    record = Records()
    WeightedTorchClassifier(**QUICK).set_callbacks(record).partial_fit(X, y, classes=[0, 1])
    assert record.calls == []


# --------------------------------------------------------------------------------------
# Copies
# --------------------------------------------------------------------------------------


def test_clones_share_callbacks_and_pickles_of_fitted_estimators_have_none(binary):
    X, y, _ = binary
    log = monitor()
    model = WeightedTorchClassifier(**QUICK).set_callbacks(log)
    assert clone(model)._skl_callbacks == [log]
    assert len(pickle.loads(pickle.dumps(model))._skl_callbacks) == 1  # for other processes
    model.fit(X, y)
    assert model._skl_callbacks == [log] and clone(model)._skl_callbacks == [log]
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert "_skl_callbacks" not in vars(copied)
        assert (copied.predict(X) == model.predict(X)).all()
    assert copy.copy(model)._skl_callbacks == [log]
    assert "_skl_callbacks" not in vars(model.set_callbacks())


# --------------------------------------------------------------------------------------
# Within other estimators
# --------------------------------------------------------------------------------------


def rows_of(log):
    return [
        {name: value for name, value in row.items() if name != "estimator_name"}
        for row in log.get_logs(include_lineage=True).data
    ]


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("params", [{}, {"n_members": 2}, STOPPING])
def test_a_search_scores_the_epochs_of_its_stacks_as_grid_search_does(binary, params, n_jobs):
    X, y, weight = binary
    grid, found = {"class_weight": [None, "balanced"]}, []
    for kind, own in [(GridSearchCV, {}), (WeightSearchCV, {"n_jobs": n_jobs})]:
        log = monitor()
        estimator = WeightedTorchClassifier(**QUICK | params).set_callbacks(log)
        search = kind(estimator, grid, cv=2, **own).fit(X, y, sample_weight=weight)
        assert len(log.get_logs("all")) == 1
        found.append(rows_of(log))
    assert found[0] == found[1] and len(found[0]) > 25
    assert search.stacked_.all()


def test_epochs_are_scored_in_a_pipeline_and_in_a_search_over_it(binary):
    X, y, weight = binary
    log = monitor()
    step = WeightedTorchClassifier(**QUICK).set_callbacks(log)
    pipeline = make_pipeline(StandardScaler(), step)
    pipeline.fit(X, y, weightedtorchclassifier__sample_weight=weight)
    assert len(scores_of(log)) == 5
    assert scores_of(log, "fit") == [pipeline.score(X, y, weight)]
    grid = {"weightedtorchclassifier__class_weight": [None, "balanced"]}
    search = WeightSearchCV(pipeline, grid, cv=2)
    search.fit(X, y, weightedtorchclassifier__sample_weight=weight)
    assert len(scores_of(log)) == 5 * 5 and search.stacked_.all()
    assert len(log.get_logs("all")) == 2


def test_replicates_refuse_callbacks_that_would_hear_nothing(binary):
    X, y, _ = binary
    W = bootstrap_weights(None, None, np.ones(len(y)), n_replicates=2, random_state=0)
    net = WeightedTorchClassifier(**QUICK).set_callbacks(monitor())
    with pytest.raises(ValueError, match=r"must have no callbacks .* \['ScoringMonitor'\]\. Remo"):
        ReplicateEstimator(net).fit(X, y, replicate_weights=W)


# Rich draws in a thread of its own.
@pytest.mark.parametrize("n_members", [1, 2])
def test_progress_bars_show_epochs_members_and_the_fits_of_a_search(binary, capsys, n_members):
    pytest.importorskip("rich", reason="ProgressBar draws with rich")
    X, y, _ = binary
    bar = callback.ProgressBar()
    model = WeightedTorchClassifier(**QUICK | {"n_members": n_members}).set_callbacks(bar)
    model.fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (1 if n_members == 1 else 3)
    assert "WeightedTorchClassifier - fit" in lines[0] and all("100%" in line for line in lines)
    search = WeightSearchCV(model.set_callbacks(), {"class_weight": [None, "balanced"]}, cv=2)
    search.set_callbacks(bar).fit(X, y)
    out = capsys.readouterr().out
    assert out.count("WeightedTorchClassi") == 5 * (1 if n_members == 1 else 3)
    assert search.stacked_.all()
