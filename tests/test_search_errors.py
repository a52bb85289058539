"""WeightSearchCV refuses what GridSearchCV refuses, and treats candidates that fail as it does."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_search import BINARY, WEIGHT, X, Y, check_same, classifier, grid_of

from skweight import WeightSearchCV


def failure(warned):
    """What scikit-learn says of fits that failed."""
    kind = sklearn.exceptions.FitFailedWarning
    (failed,) = [warning for warning in warned if warning.category is kind]
    return str(failed.message)


@pytest.mark.parametrize("wrong", [{"class_weight": {9: 1}}, {"class_weight_power": -1}])
def test_a_candidate_that_fails_does_not_spoil_the_others(wrong):
    grid = [{"class_weight": [None, "balanced"]}, {k: [v] for k, v in wrong.items()}]
    searches = []
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.warns() as warned:
            searches.append(kind(classifier(), grid, cv=2, error_score=-9.0).fit(X, Y))
        assert next(iter(wrong)) in failure(warned)
    check_same(*searches[::-1])
    assert searches[1].cv_results_["mean_test_score"][2] == -9
    for kind in (GridSearchCV, WeightSearchCV):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}"):
            kind(classifier(), grid, cv=2, error_score="raise").fit(X, Y)


BAD = {
    "unknown parameter": (classifier(), {"class_wait": [1]}, {}, {}),
    "empty grid": (classifier(), {"class_weight": []}, {}, {}),
    "no list": (classifier(), {"class_weight": "balanced"}, {}, {}),
    "scorer": (classifier(), BINARY, {"scoring": "no_such_score"}, {}),
    "refit": (classifier(), BINARY, {"scoring": ["accuracy", "recall"]}, {}),
    "cv": (classifier(), BINARY, {"cv": 1000}, {}),
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
        assert "n_components=50" in failure(warned)
    check_same(*searches[::-1])
    assert np.isnan(searches[1].cv_results_["mean_test_score"]).tolist() == [False] * 2 + [True] * 2
