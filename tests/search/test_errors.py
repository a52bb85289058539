"""WeightSearchCV refuses what GridSearchCV refuses, and treats candidates that fail as it does."""

import re
import warnings

import numpy as np
import pytest
import sklearn
import torch
from searches import BINARY, WEIGHT, N, X, Y, assert_same_search_results, classifier, grid_of
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, check_cv
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler

from skweight import WeightedTorchClassifier, WeightSearchCV
from skweight.stacks import train_together


def failure_warning(warned):
    """The text of scikit-learn's warning of fits that failed."""
    kind = sklearn.exceptions.FitFailedWarning
    (failed,) = [warning for warning in warned if warning.category is kind]
    return str(failed.message)


def fit_both_with_failures(estimator, grid, y=Y, fit_params=None, **params):
    """Fit both searches, whose fits fail with the same errors as often; return WeightSearchCV."""
    searches, failures = [], []
    for kind in (GridSearchCV, WeightSearchCV):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            searches.append(kind(estimator, grid, **params).fit(X, y, **fit_params or {}))
        failures.append(failure_warning(warned))
    counts = [re.findall(r"^\d+ fits failed.*", text, re.MULTILINE) for text in failures]
    assert counts[0] == counts[1]
    errors = [
        {line for line in text.splitlines() if re.match(r"\S*(Error|Parts)\b", line)}
        for text in failures
    ]
    assert errors[0] and errors[0] <= errors[1]
    assert_same_search_results(*searches[::-1])
    return searches[1]


@pytest.mark.parametrize("wrong", [{"class_weight": {9: 1}}, {"class_weight_power": -1}])
def test_a_candidate_that_fails_does_not_spoil_the_others(wrong):
    grid = [{"class_weight": [None, "balanced"]}, {k: [v] for k, v in wrong.items()}]
    searches = []
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.warns() as warned:
            searches.append(kind(classifier(), grid, cv=2, error_score=-9.0).fit(X, Y))
        assert next(iter(wrong)) in failure_warning(warned)
    assert_same_search_results(*searches[::-1])
    assert searches[1].cv_results_["mean_test_score"][2] == -9
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}"):
            kind(classifier(), grid, cv=2, error_score="raise").fit(X, Y)


class Miscounted(KFold):
    def get_n_splits(self, *args, **kwargs):
        return 2


class OnlySplits:
    def split(self, X, y=None, groups=None):
        return KFold(2).split(X, y)


BAD = {
    "unknown parameter": (classifier(), {"class_wait": [1]}, {}, {}),
    "empty grid": (classifier(), {"class_weight": []}, {}, {}),
    "not even a grid": (classifier(), 3, {}, {}),
    "no list": (classifier(), {"class_weight": "balanced"}, {}, {}),
    "scorer": (classifier(), BINARY, {"scoring": "no_such_score"}, {}),
    "refit": (classifier(), BINARY, {"scoring": ["accuracy", "recall"]}, {}),
    "cv": (classifier(), BINARY, {"cv": 1000}, {}),
    **{f"cv={cv!r}": (classifier(), BINARY, {"cv": cv}, {}) for cv in ("abc", 1, 0, -3, 2.5, [])},
    "splits that are not told": (classifier(), BINARY, {"cv": OnlySplits()}, {}),
    "splits that are miscounted": (classifier(), BINARY, {"cv": Miscounted(3)}, {}),
    "verbose": (classifier(), BINARY, {"verbose": -1}, {}),
    "verbose word": (classifier(), BINARY, {"verbose": "abc"}, {}),
    "refit alone": (classifier(), BINARY, {"refit": 3}, {}),
    "error_score": (classifier(), BINARY, {"error_score": "bad"}, {}),
    "n_jobs": (classifier(), BINARY, {"n_jobs": "two"}, {}),
    "fit parameter": (classifier(), BINARY, {"error_score": "raise"}, {"sample_wait": WEIGHT}),
    "all fail": (classifier(lr=-1), BINARY, {}, {}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_grid_search_refuses_is_refused_with_the_same_error(name):
    estimator, grid, params, fit_params = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as expected:
            GridSearchCV(estimator, grid, **params).fit(X, Y, **fit_params)
        with pytest.raises(type(expected.value)) as found:
            WeightSearchCV(estimator, grid, **params).fit(X, Y, **fit_params)
    assert type(found.value) is type(expected.value)
    grid_search = str(expected.value).replace("GridSearchCV", "WeightSearchCV")
    assert str(found.value)[:40] == grid_search[:40]


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())]
)
def test_other_estimators_are_sent_to_grid_search(estimator):
    with pytest.raises(TypeError, match=r"^estimator must be .*model_selection\.GridSearchCV\.$"):
        WeightSearchCV(estimator, {"C": [1]}).fit(X, Y)


@pytest.mark.parametrize("stack_size", [0, -1, 2.5, "many", None, True])
def test_a_stack_size_must_be_auto_or_a_positive_int(stack_size):
    with pytest.raises(ValueError, match=f'^stack_size must be "auto" or .*, got {stack_size!r}'):
        WeightSearchCV(classifier(), BINARY, stack_size=stack_size).fit(X, Y)


def test_a_transformer_that_fails_follows_error_score():
    pipeline = make_pipeline(PCA(), classifier())
    grid = {"pca__n_components": [2, 50]}
    grid |= grid_of("weightedtorchclassifier", class_weight=[None, "balanced"])
    searches = []
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.warns() as warned:
            searches.append(kind(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, Y))
        assert "n_components=50" in failure_warning(warned)
    assert_same_search_results(*searches[::-1])
    assert np.isnan(searches[1].cv_results_["mean_test_score"]).tolist() == [False] * 2 + [True] * 2


# Exceptions of every kind


class TwoParts(Exception):
    """One that can be pickled but not unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


def two_parts(counts):
    raise TwoParts("no", "weights")


def no_key(output, target):
    raise KeyError("no criterion")


class NoKey(torch.nn.Linear):
    def forward(self, X):
        raise KeyError("no network")


FAILING = {
    "weights": {"class_weight": [lambda counts: 1 / 0, None, "balanced"]},
    "weights last": {"class_weight": [None, "balanced", lambda counts: 1 / 0]},
    "two parts": {"class_weight": [two_parts, None, "balanced"]},
    "schedule": {"callbacks": [[LRScheduler("StepLRR")], None], "class_weight": [None, "balanced"]},
    "criterion": {"criterion": [no_key, None], "class_weight": [None, "balanced"]},
    "module": {"module": [NoKey, None], "class_weight": [None, "balanced"]},
    "first of many": {"class_weight": ["wrong", None, *["balanced"] * 6]},
}


@pytest.mark.parametrize("name, n_jobs", [*((name, 1) for name in FAILING), ("two parts", 2)])
def test_exceptions_of_every_kind_are_those_of_their_candidates_alone(name, n_jobs):
    params = {"cv": 2, "scoring": "neg_log_loss", "n_jobs": n_jobs}
    found = fit_both_with_failures(classifier(), FAILING[name], **params)
    failed = np.isnan(found.cv_results_["mean_test_score"])
    assert failed.any() and found.stacked_.tolist() == (~failed).tolist()
    assert found.one_by_one_ == {}


# The first split lacks a class; the second is as the others are.
HALF = np.where(np.arange(N) < 40, Y, 0)
SPLITS = [(np.arange(60, N), np.arange(60)), (np.arange(90), np.arange(90, N))]


@pytest.mark.parametrize("splits", [SPLITS, SPLITS[::-1]], ids=["first", "last"])
def test_a_split_that_fails_leaves_the_others_in_their_stacks(splits, monkeypatch):
    stacks = []
    monkeypatch.setattr(
        "skweight.search.fits.train_together",
        lambda plans: stacks.append(len(plans)) or train_together(plans),
    )
    grid = {"class_weight": [None, "balanced", {0: 1, 1: 3}]}
    found = fit_both_with_failures(classifier(), grid, HALF, cv=splits, error_score=0.0)
    assert stacks == [3]
    assert not found.stacked_.any()  # each has a fit that failed


def test_predictions_of_a_split_in_which_all_fail_are_missing():
    params = {"cv": SPLITS, "return_predictions": True, "error_score": 0.0}
    search = WeightSearchCV(classifier(), {"class_weight": [None, "balanced"]}, **params)
    with pytest.warns(sklearn.exceptions.FitFailedWarning):
        (_, failed), (_, made) = search.fit(X, HALF).predictions_
    assert failed.shape == (2, 60, 2) and np.isnan(failed).all()
    assert made.shape == (2, N - 90, 2) and np.isfinite(made).all()


def test_a_transformer_that_fails_in_another_process_is_told_as_grid_search_tells_it():
    pipeline = make_pipeline(Refusing(), classifier())
    grid = {"refusing__refuse": [True, False]}
    grid |= grid_of("weightedtorchclassifier", class_weight=[None, "balanced"])
    found = fit_both_with_failures(pipeline, grid, cv=2, n_jobs=2)
    assert found.stacked_.tolist() == [False, False, True, True]


class Refusing(StandardScaler):
    def __init__(self, refuse=False):
        super().__init__()
        self.refuse = refuse

    def fit(self, X, y=None):
        if self.refuse:
            raise TwoParts("no", "scale")
        return super().fit(X, y)


def test_the_first_error_ends_a_search_that_is_to_raise_it():
    fits = []

    class Counted(WeightedTorchClassifier):
        def fit(self, X, y, **params):
            fits.append(self.class_weight)
            return super().fit(X, y, **params)

    estimator = Counted(**classifier().get_params(deep=False))
    params = {"cv": 3, "error_score": "raise", "stack_size": 1}
    grid = {"lr": [-1.0, 0.01, 0.02], "class_weight": [None, "balanced"]}
    with pytest.raises(ValueError, match=r"^lr must be"):
        WeightSearchCV(estimator, grid, **params).fit(X, Y)
    assert len(fits) == 1
    with pytest.raises(ZeroDivisionError):
        WeightSearchCV(classifier(), FAILING["weights"], cv=2, error_score="raise").fit(X, Y)


OTHER_STEPS = {
    "estimator": {"c": [LogisticRegression()]},
    "passthrough": {"c": ["passthrough"]},
    "steps": {"steps": [[("c", StandardScaler())]]},
}


@pytest.mark.parametrize("name", OTHER_STEPS)
def test_a_grid_that_puts_another_estimator_in_the_last_step_is_refused_before_any_fit(name):
    pipeline = Pipeline([("s", Refusing(True)), ("c", classifier())])
    grid = [{"c__class_weight": [None]}, OTHER_STEPS[name]]
    parameter = next(iter(OTHER_STEPS[name]))
    with pytest.raises(TypeError, match=rf"(?s)\{{'{parameter}'.*model_selection\.GridSearchCV\.$"):
        WeightSearchCV(pipeline, grid, error_score="raise").fit(X, Y)


def test_a_numpy_integer_is_a_stack_size():
    assert (
        WeightSearchCV(classifier(), BINARY, cv=2, stack_size=np.int64(4)).fit(X, Y).stacked_.all()
    )


def test_miscounted_splits_are_refused_before_anything_is_trained():
    counted = []
    grid = {"class_weight": [lambda counts: counted.append(counts) or 1 / counts]}
    with pytest.raises(ValueError, match="inconsistent results"):
        WeightSearchCV(classifier(), grid, cv=Miscounted(3)).fit(X, Y)
    assert counted == []
    WeightSearchCV(classifier(), grid, cv=KFold(3)).fit(X, Y)
    assert counted


def test_splits_in_another_order_than_the_fits_are_refused():
    class Reordered(WeightSearchCV):
        """Stands for a scikit-learn that asks for fits in another order."""

        def _run_search(self, evaluate_candidates, callback_ctx=None):
            def evaluate(candidates, cv, **kwargs):
                first, second, third = cv.split()
                splits = check_cv([second, first, third])
                return evaluate_candidates(candidates, cv=splits, **kwargs)

            super()._run_search(evaluate, callback_ctx=callback_ctx)

    splits = [*SPLITS, (np.arange(50, N), np.arange(50))]
    params = {"cv": splits, "scoring": "neg_log_loss", "error_score": -9.0}
    WeightSearchCV(classifier(), BINARY, **params).fit(X, Y)
    match = "in another order than .*: a fit on 90 rows where one on 190 rows was next"
    failed = pytest.warns(sklearn.exceptions.FitFailedWarning)
    with failed, pytest.raises(RuntimeError, match=match):
        Reordered(classifier(), BINARY, **params).fit(X, Y)
