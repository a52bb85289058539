"""What searches do with data: its forms, its splits, transformers, seeds and predictions."""

import inspect
import warnings
import weakref

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from searches import (
    BINARY,
    RARE,
    WEIGHT,
    CountedScaler,
    N,
    X,
    Y,
    assert_same_search_results,
    classifier,
    fit_both,
    grid_of,
)
from sklearn.base import clone, is_classifier
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
)

CLASS_WEIGHT = {"class_weight": [None, "balanced"]}


# Forms of data


class Convertible:
    """An array that can be neither indexed nor asked for its shape."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def __len__(self):
        return len(self.values)


def test_what_can_only_be_converted_is_converted():
    fit_params = {"sample_weight": Convertible(WEIGHT)}
    params = {"cv": 2, "scoring": "neg_log_loss", "refit": False}
    fit_both(classifier(), CLASS_WEIGHT, Convertible(X), Convertible(Y), fit_params, **params)


@pytest.mark.parametrize("form", ["coo_matrix", "coo_array", "csc_array", "dok_matrix"])
def test_sparse_x_may_come_in_every_form(form):
    sparse_X = getattr(sparse, form)(X * (X > 0))
    fit_both(classifier(), CLASS_WEIGHT, sparse_X, Y, cv=2, scoring="neg_log_loss")


QUICK = {"max_epochs": 10, "lr": 0.03, "device": "cpu", "random_state": 0}


@parametrize_with_checks(
    [
        WeightSearchCV(WeightedTorchClassifier(**QUICK), CLASS_WEIGHT, cv=2),
        WeightSearchCV(WeightedTorchRegressor(**QUICK), {"sample_weight_power": [0.5, 1]}, cv=2),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_a_search_passes_scikit_learns_checks_or_fails_as_grid_search_does(estimator, check):
    error = None
    try:
        check(clone(estimator))
    except Exception as raised:
        error = raised
    if error is not None:  # not in the handler: GridSearchCV's text would show this error as well
        with pytest.raises(type(error)):
            check(GridSearchCV(estimator.estimator, estimator.param_grid, cv=2))


# Splits and transformers


def test_a_backend_of_joblib_that_gives_all_results_at_once_trains_too():
    params = {"cv": 2, "scoring": "neg_log_loss"}
    one = WeightSearchCV(classifier(), BINARY, **params).fit(X, Y)
    with joblib.parallel_config("multiprocessing", n_jobs=2):
        assert_same_search_results(WeightSearchCV(classifier(), BINARY, **params).fit(X, Y), one)


def test_transformers_are_fitted_once_a_fold_also_where_the_last_step_varies():
    pipeline = make_pipeline(CountedScaler(), classifier())
    grid = grid_of("weightedtorchclassifier", lr=[0.01, 0.02, 0.03], **CLASS_WEIGHT)
    CountedScaler.n_fits = 0
    WeightSearchCV(pipeline, grid, cv=2, refit=False).fit(X, Y)
    assert CountedScaler.n_fits == 2
    fit_both(pipeline, grid, X, Y, cv=2, scoring="neg_log_loss")


def test_a_last_step_may_be_replaced_by_another_skweight_estimator():
    pipeline = make_pipeline(StandardScaler(), classifier())
    grid = {"weightedtorchclassifier": [classifier(), classifier(lr=0.1)]}
    grid |= grid_of("weightedtorchclassifier", **CLASS_WEIGHT)
    assert fit_both(pipeline, grid, X, Y, cv=2, scoring="neg_log_loss").stacked_.all()


class Kept(StandardScaler):
    """Counts how many of the arrays that it made are in use."""

    made = []
    most = 0

    def fit(self, X, y=None):
        Kept.most = max(Kept.most, sum(array() is not None for array in Kept.made))
        return super().fit(X, y)

    def transform(self, X):
        result = super().transform(X)
        Kept.made.append(weakref.ref(result))
        return result


def test_transformed_data_are_dropped_before_those_of_the_next_setting_are_made():
    grid = {"kept__with_mean": [True, False], "kept__with_std": [True, False]}
    grid |= grid_of("weightedtorchclassifier", **CLASS_WEIGHT)
    fit_both(make_pipeline(Kept(), classifier()), grid, X, Y, cv=3, scoring="neg_log_loss")
    Kept.made, Kept.most = [], 0
    WeightSearchCV(make_pipeline(Kept(), classifier()), grid, cv=3, refit=False).fit(X, Y)
    assert Kept.most == 2  # of the splits before the last one


# Seeds and warnings


def seeded(kind, random_state, grid, seed=0):
    """A search from a global seed, and what numpy draws after it."""
    np.random.seed(seed)
    estimator = classifier(random_state=random_state)
    search = kind(estimator, grid, cv=3, scoring="neg_log_loss").fit(X, Y)
    return search, np.random.randint(1000)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])
def test_seeds_are_drawn_in_the_order_of_grid_search(random_state):
    grid = [CLASS_WEIGHT, {"random_state": [0, None], "lr": [0.02, 0.03]}]
    expected, next_draw = seeded(GridSearchCV, random_state, grid)
    found, next_draw_found = seeded(WeightSearchCV, random_state, grid)
    assert_same_search_results(found, expected)
    assert next_draw == next_draw_found
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    other, _ = seeded(WeightSearchCV, random_state, grid, seed=1)
    to_device = other.cv_results_["mean_test_score"] != found.cv_results_["mean_test_score"]
    by_default = random_state is None
    assert to_device.tolist() == [by_default, by_default, False, True, False, True]


def test_scorers_see_the_parameters_that_were_given():
    seen = []

    def scorer(estimator, X, y):
        seen.append(estimator.get_params()["random_state"])
        return estimator.score(X, y)

    params = {"cv": 2, "scoring": scorer, "refit": False}
    WeightSearchCV(classifier(random_state=None), CLASS_WEIGHT, **params).fit(X, Y)
    assert seen == [None] * 4


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_scorers_may_ask_a_fit_what_they_may_ask_the_estimator(in_pipeline):
    def scorer(estimator, X, y):
        check_is_fitted(estimator)
        assert is_classifier(estimator) and estimator.n_features_in_ == 6
        assert not in_pipeline or estimator[-1] is estimator.named_steps["weightedtorchclassifier"]
        again = clone(estimator).fit(X, y)  # another fit, which takes no result of the search
        assert type(again) is type(searched)
        assert not np.array_equal(again.predict_proba(X), estimator.predict_proba(X))
        return -log_loss(y, estimator.predict_proba(X), labels=estimator.classes_)

    searched, grid = classifier(), CLASS_WEIGHT
    if in_pipeline:
        searched = make_pipeline(StandardScaler(), searched)
        grid = grid_of("weightedtorchclassifier", **grid)
    params = {"cv": 2, "scoring": scorer, "error_score": "raise"}
    found = WeightSearchCV(searched, grid, **params).fit(X, Y)
    expected = GridSearchCV(searched, grid, **params).fit(X, Y)
    assert_same_search_results(found, expected)
    assert type(found.best_estimator_) is type(searched)


@pytest.mark.parametrize("grid", [CLASS_WEIGHT, {"class_weight": [None, "wrong"]}])
def test_warnings_come_as_often_as_from_grid_search(grid):
    counts = []
    for kind in (GridSearchCV, WeightSearchCV):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            kind(classifier(), grid, cv=2).fit(X, Y[:, None])
        counts.append(sum(w.category is DataConversionWarning for w in warned))
    assert counts[0] == counts[1] > 0


def test_the_warning_of_few_effective_rows_comes_as_often_as_from_grid_search():
    """Choosing the size of stacks, which plans a fit, neither adds one nor uses one up."""
    heavy = np.where(np.arange(N) % 50, 1e-3, 1.0)
    counts = []
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.warns(EffectiveSampleSizeWarning, match="few rows have most") as warned:
            kind(classifier(), CLASS_WEIGHT, cv=2).fit(X, Y, sample_weight=heavy)
        counts.append(len(warned))
    assert counts == [5, 5]  # of four fits and the refit; pytest shows what else comes once


def test_a_warning_points_at_the_line_that_searches():
    search = WeightSearchCV(classifier(module__dropout=0.3), CLASS_WEIGHT, cv=2)
    with pytest.warns(UserWarning, match="one by one") as warned:
        line = inspect.currentframe().f_lineno + 1
        search.fit(X, Y)
    assert [(w.filename, w.lineno) for w in warned] == [(__file__, line)]


# Predictions


def test_probabilities_have_a_column_for_every_class_of_y():
    params = {"cv": KFold(5), "scoring": "accuracy", "return_predictions": True}
    search = WeightSearchCV(classifier(), CLASS_WEIGHT, **params).fit(X, RARE)
    assert search.classes_.tolist() == ["a", "b", "c", "d"]
    for split, (test, probability) in enumerate(search.predictions_):
        assert probability.shape == (2, N // 5, 4)
        assert (probability[..., 3] == 0).all() == (split == 0)
        for candidate in range(2):
            labels = search.classes_[probability[candidate].argmax(axis=1)]
            accuracy = np.mean(labels == RARE[test])
            assert accuracy == search.cv_results_[f"split{split}_test_score"][candidate]


def test_probabilities_are_kept_for_masks_and_columns_too():
    splits = [(np.arange(N) % 3 != k, np.arange(N) % 3 == k) for k in range(3)]
    params = {"return_predictions": True, "refit": False}
    column = RARE[:, None]
    with pytest.warns(DataConversionWarning) as warned:
        masked = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=splits, **params).fit(X, column)
    assert len(warned) == 6  # one a fit
    listed = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in splits]
    search = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=listed, **params).fit(X, RARE)
    for (_, probability), (_, expected) in zip(masked.predictions_, search.predictions_):
        assert_array_equal(probability, expected)


def test_probabilities_of_labels_have_a_column_each():
    labels = np.stack([Y, X[:, 1] > 0.3], axis=1).astype(int)
    search = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=2, return_predictions=True)
    assert [p.shape for _, p in search.fit(X, labels).predictions_] == [(2, N // 2, 2)] * 2


def test_predictions_of_an_earlier_fit_do_not_stay():
    search = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=2, return_predictions=True).fit(X, Y)
    assert hasattr(search, "predictions_")
    assert not hasattr(search.set_params(return_predictions=False).fit(X, Y), "predictions_")


# Callbacks of scikit-learn


def test_callbacks_of_scikit_learn_hear_what_grid_search_tells_them():
    pytest.importorskip("sklearn.callback")
    heard = []
    for kind in (GridSearchCV, WeightSearchCV):
        search = kind(classifier(), CLASS_WEIGHT, cv=2)
        listener = Listener()
        search.set_callbacks(listener)
        search.fit(X, Y)
        heard.append(listener.tasks)
    assert heard[0] == heard[1]
    assert heard[0].count("candidate-split-evaluation") == 4


class Listener:
    """A callback for scikit-learn 1.9."""

    def __init__(self):
        self.tasks = []

    def setup(self, *args, **kwargs):
        pass

    def teardown(self, *args, **kwargs):
        pass

    def on_fit_task_begin(self, *args, **kwargs):
        given = [*args, *kwargs.values()]
        self.tasks += [value.task_name for value in given if hasattr(value, "task_name")]

    def on_fit_task_end(self, *args, **kwargs):
        pass
