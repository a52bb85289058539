"""Searches with offsets: scores, held-out predictions, and what is not silently left out."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from searches import AMOUNT, BINARY, WEIGHT, X, Y, assert_same_search_results, classifier, regressor
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweight import WeightedTorchClassifier, WeightSearchCV

OFFSET = 0.5 * X[:, 1] + np.random.default_rng(1).normal(size=len(X))
COUNT = np.random.default_rng(2).poisson(np.exp(0.3 * AMOUNT + OFFSET - 1)).astype(float)
POISSON = {"sample_weight_power": [0.5, 1.0], "random_state": [0, 1]}
PROBLEMS = {
    "classifier": (classifier(), BINARY, Y),
    "poisson": (regressor(criterion="poisson"), POISSON, COUNT),
    "residuals": (regressor(), POISSON, COUNT),
    "members": (regressor(criterion="poisson", n_members=3, early_stopping=True), POISSON, COUNT),
}
SHARES_COPIES = pytest.mark.filterwarnings("ignore:sample_weight_power=0.5 acts on")


def routed(model, **names):
    """The estimator with requests for weights and offset, which has any name given."""
    requests = {"sample_weight": True, "offset": True, **names}
    return model.set_fit_request(**requests).set_score_request(**requests)


@SHARES_COPIES
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_search_with_routing_is_the_search_of_scikit_learn(problem):
    model, grid, y = PROBLEMS[problem]
    with config_context(enable_metadata_routing=True):
        model = routed(clone(model))
        expected, found = (
            kind(clone(model), grid, cv=3).fit(X, y, sample_weight=WEIGHT, offset=OFFSET)
            for kind in (GridSearchCV, WeightSearchCV)
        )
        assert_same_search_results(found, expected)
        assert np.isfinite(found.cv_results_["mean_test_score"]).all()
        best = found.best_estimator_
        assert_array_equal(
            best.predict(X, offset=OFFSET), expected.best_estimator_.predict(X, offset=OFFSET)
        )
        assert found.stacked_.all()
        without = cross_val_score(clone(model), X, y, cv=3, params={"offset": 0 * OFFSET})
        assert found.cv_results_["mean_test_score"][0] != without.mean()


@SHARES_COPIES
@pytest.mark.parametrize("problem", PROBLEMS)
def test_predictions_for_held_out_rows_have_their_offset(problem):
    model, grid, y = PROBLEMS[problem]
    with config_context(enable_metadata_routing=True):
        search = WeightSearchCV(
            routed(clone(model), offset="logs"), grid, cv=3, return_predictions=True, refit=False
        ).fit(X, y, sample_weight=WEIGHT, logs=list(OFFSET))
    test, found = search.predictions_[0]
    train = np.setdiff1d(np.arange(len(y)), test)
    for number, params in enumerate(search.cv_results_["params"]):
        fitted = clone(model).set_params(**params)
        fitted.fit(X[train], y[train], WEIGHT[train], offset=OFFSET[train])
        predict = getattr(fitted, "predict_proba", fitted.predict)
        assert_array_equal(found[number], predict(X[test], offset=OFFSET[test]))


@pytest.mark.parametrize("with_routing", [False, True])
def test_a_pipeline_hands_on_the_offset(with_routing):
    if with_routing and sklearn.__version__.startswith("1.6."):
        pytest.skip("there, searches route nothing to the score of a pipeline")
    model, y = regressor(criterion="poisson"), COUNT
    grid = {"weightedtorchregressor__random_state": [0, 1]}
    options = {"cv": 3, "return_predictions": True, "refit": False}
    with config_context(enable_metadata_routing=with_routing):
        if with_routing:
            model = model.set_fit_request(offset=True).set_score_request(offset=True)
            name = "offset"
        else:
            name, options["scoring"] = "weightedtorchregressor__offset", lambda *args: 1.0
        pipeline = make_pipeline(StandardScaler(), model)
        search = WeightSearchCV(pipeline, grid, **options).fit(X, y, **{name: OFFSET})
    test, found = search.predictions_[1]
    train = np.setdiff1d(np.arange(len(y)), test)
    alone = make_pipeline(StandardScaler(), regressor(criterion="poisson"))
    alone.fit(X[train], y[train], weightedtorchregressor__offset=OFFSET[train])
    assert_array_equal(found[0], alone.predict(X[test], offset=OFFSET[test]))


@pytest.mark.parametrize("kind", [GridSearchCV, WeightSearchCV])
def test_no_search_scores_without_the_offset(kind):
    """Without routing only ``fit`` is passed it, and scorers by name never are."""
    with pytest.raises(ValueError, match=r"^offset must be given, because .*enable_metadata_rout"):
        kind(classifier(), BINARY, cv=3, error_score="raise").fit(X, Y, offset=OFFSET)
    with config_context(enable_metadata_routing=True):
        model = classifier().set_fit_request(offset=True)
        with pytest.raises(ValueError, match=r"^offset must be given"):
            kind(model, BINARY, scoring="accuracy", cv=3, error_score="raise").fit(
                X, Y, offset=OFFSET
            )
    with pytest.warns(UserWarning, match="Scoring failed"), pytest.warns(match="are non-finite"):
        search = kind(classifier(), {"class_weight": [None]}, cv=3).fit(X, Y, offset=OFFSET)
    assert np.isnan(search.cv_results_["mean_test_score"]).all()


def test_requests_for_offsets_are_no_methods_of_fit():
    """scikit-learn adds them to every class, which does not make a class one with its own fit."""

    class Own(WeightedTorchClassifier):
        pass

    assert callable(Own.set_decision_function_request) and callable(Own.set_predict_proba_request)
    model = Own(max_epochs=2, n_members=1, random_state=0, device="cpu")
    search = WeightSearchCV(model, {"class_weight": [None, "balanced", {0: 2}]}, cv=3).fit(X, Y)
    assert search.stacked_.all()
