"""Callbacks of scikit-learn 1.9 on a search see what they see on GridSearchCV."""

import gc
import weakref
from collections import Counter

import numpy as np
import pytest
from searches import WEIGHT, X, Y, classifier, grid_of, regressor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skweight import RandomizedWeightSearchCV, WeightSearchCV

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
CLASS_WEIGHT = {"class_weight": [None, "balanced"]}


class Records:
    """Record every hook with its task, the estimator that it is given, and the data."""

    def __init__(self):
        self.calls = []
        self.estimators = []

    def record(self, hook, estimator, context, *data):
        """What can be compared between two searches."""
        self.estimators.append(estimator)
        task = context.task_name, context.task_id, context.max_subtasks
        shapes = [np.shape(values) for values in data]
        found = sorted(name for name in vars(estimator) if name.endswith("_"))
        self.calls.append((hook, task, shapes, found, estimator.get_params(deep=False)))

    def setup(self, estimator, context):
        self.record("setup", estimator, context)

    def teardown(self, estimator, context):
        self.record("teardown", estimator, context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.record("begin", estimator, context, X, y)

    def on_fit_task_end(self, estimator, context, *, X=None, metadata=None):
        self.record("end", estimator, context, X, (metadata or {}).get("sample_weight"))


class Propagated(Records):
    """One that scikit-learn passes on to estimators that support callbacks."""

    max_propagation_depth = None


def record_both(estimator, grid, y=Y, kind=Records, **params):
    """Fit both searches with a callback on each; return the searches and the callbacks."""
    searches, records = [], []
    for search in (
        GridSearchCV(estimator, grid, **params),
        WeightSearchCV(estimator, grid, **params),
    ):
        records.append(kind())
        searches.append(search.set_callbacks(records[-1]).fit(X, y))
    return searches, records


OWN = {"stack_size", "return_predictions"}
FOUND = {"stacked_", "one_by_one_", "predictions_"}


def assert_same_calls(found, expected):
    """Every hook was called with the same task, data and settings, in the same order."""
    assert len(found.calls) == len(expected.calls) > 4
    for (*call, names, params), (*other, other_names, other_params) in zip(
        found.calls, expected.calls
    ):
        assert call == other
        assert [name for name in names if name not in FOUND] == other_names
        assert {name: value for name, value in params.items() if name not in OWN} == other_params


@pytest.mark.parametrize("params", [{}, {"refit": False}, {"n_jobs": None, "verbose": 0, "cv": 4}])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_callback_is_given_the_search_as_grid_search_gives_itself(in_pipeline, params):
    estimator, grid = classifier(), CLASS_WEIGHT
    if in_pipeline:
        estimator = Pipeline([("scale", StandardScaler()), ("net", estimator)])
        grid = grid_of("net", **grid)
    searches, records = record_both(estimator, grid, **{"cv": 3} | params)
    assert_same_calls(*records[::-1])
    assert {*map(id, records[1].estimators)} == {id(searches[1])}
    assert searches[1].stacked_.all()


def test_a_callback_sees_the_settings_of_the_search():
    record, splits = Records(), [(np.arange(100), np.arange(100, 250))]
    estimator = classifier()
    search = WeightSearchCV(estimator, CLASS_WEIGHT, cv=splits, n_jobs=2, verbose=1)
    search.set_callbacks(record).fit(X, Y)
    for *_, params in record.calls:
        assert params["estimator"] is estimator and params["cv"] is splits
        assert (params["n_jobs"], params["verbose"]) == (2, 1)
    assert "StandIn" not in repr(record.estimators)


class Reads(Records):
    """Read the results of the search when its fit ends, and the best estimator before."""

    def record(self, hook, estimator, context, *data):
        if context.task_name == "refit-with-best-params":
            self.calls.append((type(estimator.best_estimator_), estimator.best_params_))
        if (hook, context.task_name) == ("end", "fit"):
            results = estimator.cv_results_["mean_test_score"].tolist()
            scorer = estimator.scorer_(estimator.best_estimator_, X, Y)
            self.calls.append((results, scorer, estimator.score(X, Y), estimator.best_score_))


def test_a_callback_can_read_what_the_search_has_found_so_far():
    searches, records = record_both(classifier(), CLASS_WEIGHT, kind=Reads, cv=2)
    assert records[0].calls == records[1].calls
    assert len(records[0].calls) == 3
    assert (searches[1].cv_results_["mean_fit_time"] > 1e-4).all()


def test_metadata_and_failures_reach_callbacks_too():
    estimator, records = classifier(), []
    for kind in (GridSearchCV, WeightSearchCV):
        records.append(Records())
        search = kind(estimator, {"class_weight": [None, {9: 1}]}, cv=2, error_score=-1.0)
        with pytest.warns(Warning, match="fits failed"):
            search.set_callbacks(records[-1]).fit(X, Y, sample_weight=WEIGHT)
    assert_same_calls(*records[::-1])


class Stops(Records):
    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        super().on_fit_task_begin(estimator, context, X=X, y=y)
        if context.task_name == "refit-with-best-params":
            raise ArithmeticError("stopped")


def test_a_callback_that_raises_ends_the_search_and_is_torn_down():
    estimator, records = classifier(), []
    for kind in (GridSearchCV, WeightSearchCV):
        records.append(Stops())
        search = kind(estimator, CLASS_WEIGHT, cv=2, error_score=0.0).set_callbacks(records[-1])
        with pytest.raises(ArithmeticError, match=r"^stopped$"):
            search.fit(X, Y)
        assert records[-1].calls[-1][0] == "teardown"
    assert_same_calls(*records[::-1])


def test_several_callbacks_a_clone_and_a_second_fit_are_served():
    first, second = Records(), Records()
    search = RandomizedWeightSearchCV(
        regressor(), {"sample_weight_power": [0.0, 1.0]}, n_iter=2, cv=2
    )
    search.set_callbacks(first, second).fit(X, Y)
    n_calls = len(first.calls)
    assert len(second.calls) == n_calls
    search.fit(X, Y)
    assert len(first.calls) == 2 * n_calls
    copied = clone(search).fit(X, Y)
    assert len(first.calls) == 3 * n_calls and first.estimators[-1] is copied
    assert search.set_callbacks().fit(X, Y) is search
    assert len(first.calls) == 3 * n_calls


PIPELINE = Pipeline([("scale", StandardScaler()), ("net", classifier())])
NESTED = {"alone": (classifier(), CLASS_WEIGHT), "pipe": (PIPELINE, grid_of("net", **CLASS_WEIGHT))}


def tasks_of(record):
    """How often each hook was called for each task, with the kind of estimator it was given."""
    kinds = [type(estimator).__name__.replace("Weight", "Grid") for estimator in record.estimators]
    return Counter((kind, *call[:2]) for kind, call in zip(kinds, record.calls))


@pytest.mark.parametrize("params", [{}, {"stack_size": 1}, {"n_jobs": 2}])
@pytest.mark.parametrize("n_members", [1, 2])
def test_a_callback_that_is_propagated_hears_of_the_epochs_of_stacks(n_members, params):
    grid_record, record = Propagated(), Propagated()
    estimator = classifier(n_members=n_members)
    GridSearchCV(estimator, CLASS_WEIGHT, cv=2).set_callbacks(grid_record).fit(X, Y)
    search = WeightSearchCV(estimator, CLASS_WEIGHT, cv=2, **params).set_callbacks(record).fit(X, Y)
    expected, found = tasks_of(grid_record), tasks_of(record)
    if "n_jobs" in params:  # these records are not those of the other processes
        found_here = {task: n for task, n in found.items() if "GridSearchCV" in task[0]}
        assert found_here.items() <= expected.items() and len(found_here) > 4
        return
    assert found == expected
    n_epochs = sum(n for (*_, (task, *_)), n in found.items() if task == "epoch")
    assert n_epochs == 2 * 4 * n_members * (4 + 1)
    assert search.stacked_.all() == (not params)


def test_in_a_pipeline_the_fit_of_the_network_takes_the_place_of_that_of_the_pipeline():
    record = Propagated()
    search = WeightSearchCV(*NESTED["pipe"], cv=2).set_callbacks(record).fit(X, Y)
    found = tasks_of(record)
    network = {task: n for task, n in found.items() if "TorchClassifier" in task[0]}
    fits = sum(n for (*_, hook, (task, *_)), n in network.items() if (hook, task) == ("end", "fit"))
    assert fits == 5 and search.stacked_.all()


class Depth(Propagated):
    max_propagation_depth = 0


def test_a_callback_that_is_not_propagated_stays_with_the_search():
    record = Depth()
    search = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=2).set_callbacks(record).fit(X, Y)
    assert {*map(id, record.estimators)} == {id(search)}
    tasks = [task for hook, (task, *_), *_ in record.calls if hook == "end"]
    assert tasks == [
        *["candidate-split-evaluation"] * 4,
        "search",
        *["refit-with-best-params", "fit"],
    ]


def test_a_callback_that_would_be_propagated_is_refused_on_the_estimator_as_in_grid_search():
    estimator = classifier().set_callbacks(Propagated())
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.raises(TypeError, match="can't have auto-propagated callbacks"):
            kind(estimator, CLASS_WEIGHT, cv=2, error_score="raise").fit(X, Y)


def test_a_search_within_a_search_is_torn_down_by_the_outer_one():
    record = Propagated()
    inner = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=2)
    GridSearchCV(inner, {"refit": [True]}, cv=2).set_callbacks(record).fit(X, Y)
    hooks = [hook for hook, *_ in record.calls]
    assert hooks.count("setup") == hooks.count("teardown") == 1
    kinds = [type(estimator).__name__ for estimator in record.estimators]
    assert kinds.count("WeightSearchCV") > kinds.count("GridSearchCV") > 0


def test_a_search_with_callbacks_is_freed_with_its_data():
    search = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=2).set_callbacks(Records())
    rows = X.copy()
    search.fit(rows, Y).get_params()
    search.set_callbacks()
    kept = weakref.ref(rows)
    del rows
    gc.collect()
    assert kept() is None
