"""A search fits subclasses of the estimators and of Pipeline by the fit that they have."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from searches import (
    AMOUNT,
    BASE,
    BINARY,
    WEIGHT,
    CountedScaler,
    X,
    Y,
    assert_same_search_results,
    classifier,
    fit_both,
    grid_of,
)
from sklearn.base import TransformerMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

CLASS_WEIGHT = {"class_weight": [None, "balanced"]}


def fit_both_one_by_one(estimator, grid, reason, y=Y, fit_params=None, **params):
    """Fit both searches, of which WeightSearchCV says why it trains one by one; return it."""
    with pytest.warns(UserWarning) as warned:
        found = fit_both(estimator, grid, X, y, fit_params, **{"cv": 3} | params)
    n_candidates = len(found.stacked_)
    message = f"{n_candidates} of {n_candidates} candidates were trained one by one, with the same"
    assert [str(warning.message) for warning in warned] == [f"{message} results: {reason}."]
    assert found.one_by_one_ == {reason: [*range(n_candidates)]} and not found.stacked_.any()
    return found


# Fits that are overridden


class Flip(WeightedTorchClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, 1 - y, sample_weight)


class ReturnsNothing(WeightedTorchClassifier):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, 1 - y, sample_weight)


class Weighs(WeightedTorchClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        return super().fit(X, y, np.where(X[:, 1] > 0, 5.0, 1.0), **validation)


class Mixin:
    def fit(self, X, y, sample_weight=None):
        return super().fit(X[:, ::-1], 1 - y, sample_weight)

    def predict(self, X):
        return super().predict(X[:, ::-1])


class Mixed(Mixin, WeightedTorchClassifier):
    pass


class Deeper(Flip):
    pass


class BoundWhenMade(WeightedTorchClassifier):
    def __init__(self, module=None, *, class_weight=None, **params):
        super().__init__(module, class_weight=class_weight, **BASE | params)
        self.fit = lambda X, y: WeightedTorchClassifier.fit(self, X, 1 - y)


class Private(WeightedTorchClassifier):
    def _fit(self, data):
        return super()._fit(type(data)(data.X, 1 - data.y))


class Adapts(WeightedTorchClassifier):
    def _make_task(self, y, continues):
        self.lr = 0.001 if self.class_weight is None else 0.1
        return super()._make_task(y, continues)


class SetsMore(WeightedTorchClassifier):
    def set_params(self, **params):
        super().set_params(**params)
        self.lr = 0.001 if self.class_weight is None else 0.1
        return self


class HasProperty(WeightedTorchClassifier):
    @property
    def lr(self):
        return self.given_lr if self.class_weight is None else 20 * self.given_lr

    @lr.setter
    def lr(self, value):
        self.given_lr = value

    def get_params(self, deep=True):
        return super().get_params(deep) | {"lr": self.given_lr}


class SetsAttributes(WeightedTorchClassifier):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "_row_shape":
            self.lr = 0.001 if self.class_weight is None else 0.1


# A class from exec has no module of its own: it is said to be one of builtins.
_names = {"base": WeightedTorchClassifier}
exec("class Executed(base):\n    def fit(self, X, y): return super().fit(X, 1 - y)", _names)
Executed = _names["Executed"]

OVERRIDING = {
    Flip: "fit",
    Executed: "fit",
    ReturnsNothing: "fit",
    Weighs: "fit",
    Mixed: "fit",
    Deeper: "fit",
    BoundWhenMade: "fit",
    Private: "_fit",
    Adapts: "_make_task",
    SetsMore: "set_params",
    SetsAttributes: "__setattr__",
    HasProperty: "get_params and lr",
}


@pytest.mark.parametrize("kind", OVERRIDING, ids=lambda kind: kind.__name__)
def test_an_estimator_that_changes_its_fit_is_trained_by_it(kind):
    reason = f"{kind.__name__} overrides {OVERRIDING[kind]}"
    found = fit_both_one_by_one(kind(**BASE), CLASS_WEIGHT, reason, scoring="neg_log_loss")
    plain = WeightSearchCV(classifier(), CLASS_WEIGHT, cv=3, scoring="neg_log_loss").fit(X, Y)
    scores = [search.cv_results_["mean_test_score"] for search in (found, plain)]
    assert not np.array_equal(*scores)


def test_the_best_estimator_is_consistent_with_its_score():
    reason = "Flip overrides fit"
    found = fit_both_one_by_one(Flip(**BASE), CLASS_WEIGHT, reason, scoring="accuracy")
    assert found.best_score_ < 0.3 and found.score(X, Y) < 0.3


class FlipAmount(WeightedTorchRegressor):
    def fit(self, X, y, sample_weight=None, cost=None):
        return super().fit(X, -y, cost if sample_weight is None else sample_weight)


def test_a_regressor_takes_parameters_of_its_own_fit():
    grid = {"sample_weight_power": [0.5, 1.0]}
    reason = "FlipAmount overrides fit"
    for name in ("sample_weight", "cost"):
        fit_params = {name: WEIGHT}
        found = fit_both_one_by_one(FlipAmount(**BASE), grid, reason, AMOUNT, fit_params)
        assert len({*found.cv_results_["mean_test_score"]}) == 2


def test_a_fit_may_take_routed_parameters_of_its_own():
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = FlipAmount(**BASE).set_fit_request(sample_weight=False, cost=True)
        grid, fit_params = {"sample_weight_power": [0.5, 1.0]}, {"cost": WEIGHT}
        fit_both_one_by_one(estimator, grid, "FlipAmount overrides fit", AMOUNT, fit_params)


@pytest.mark.parametrize("params", [{"n_jobs": 2}, {"stack_size": 4}, {"return_predictions": True}])
def test_options_of_the_search_do_not_stack_a_fit_that_is_changed(params):
    estimator, expected = Flip(**BASE), {"cv": 3, "scoring": "neg_log_loss"}
    with pytest.warns(UserWarning, match="Flip overrides fit"):
        found = WeightSearchCV(estimator, BINARY, **params, **expected).fit(X, Y)
    assert_same_search_results(found, GridSearchCV(estimator, BINARY, **expected).fit(X, Y))


def test_a_stack_size_of_one_asks_for_no_stacks_and_no_warning():
    params = {"cv": 3, "scoring": "neg_log_loss"}
    found = WeightSearchCV(Flip(**BASE), CLASS_WEIGHT, stack_size=1, **params).fit(X, Y)
    expected = GridSearchCV(Flip(**BASE), CLASS_WEIGHT, **params).fit(X, Y)
    assert_same_search_results(found, expected)
    assert found.one_by_one_ == {}


class DrawsTwice(WeightedTorchClassifier):
    """One that draws rows before it is trained, and trains a second time on other rows."""

    def fit(self, X, y, sample_weight=None):
        if self.random_state is not None:
            raise AssertionError("it was given a seed")
        for _ in range(1 if self.class_weight is None else 2):
            rows = np.random.permutation(len(X))[:100]
            super().fit(X[rows], y[rows])
        return self


def test_a_fit_that_draws_from_numpys_global_state_draws_what_it_does_in_grid_search():
    estimator = DrawsTwice(**BASE | {"random_state": None})
    grid = CLASS_WEIGHT | {"lr": [0.01, 0.02, 0.01]}
    searches, drawn = [], []
    for kind in (GridSearchCV, WeightSearchCV):
        np.random.seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            searches.append(kind(estimator, grid, cv=2, scoring="neg_log_loss").fit(X, Y))
        drawn.append(np.random.random())
    assert_same_search_results(*searches[::-1])
    assert_array_equal(searches[0].predict_proba(X), searches[1].predict_proba(X))
    assert drawn[0] == drawn[1]
    assert len({*searches[1].cv_results_["mean_test_score"]}) == 6


class RefusesBalance(WeightedTorchClassifier):
    def fit(self, X, y, sample_weight=None):
        if self.class_weight == "balanced":
            raise ArithmeticError("no balance")
        return super().fit(X, y, sample_weight)


def test_a_fit_of_a_subclass_that_fails_is_treated_as_grid_search_does():
    searches = []
    for kind in (GridSearchCV, WeightSearchCV):
        search = kind(RefusesBalance(**BASE), CLASS_WEIGHT, cv=2, error_score=-1.0)
        with pytest.warns(Warning) as warned:
            searches.append(search.fit(X, Y))
        failed = [warning for warning in warned if warning.category is FitFailedWarning]
        assert "ArithmeticError: no balance" in str(failed[0].message)
        with pytest.raises(ArithmeticError, match=r"^no balance"):
            search.set_params(error_score="raise").fit(X, Y)
    assert_same_search_results(*searches[::-1])
    assert searches[1].cv_results_["mean_test_score"][1] == -1


# Pipelines


def test_a_last_step_that_changes_its_fit_is_trained_by_it_behind_shared_transformers():
    pipeline = Pipeline([("scale", CountedScaler()), ("net", Flip(**BASE))])
    grid = grid_of("net", class_weight=[None, "balanced", {0: 1, 1: 3}])
    fit_params = {"net__sample_weight": WEIGHT}
    fit_both_one_by_one(pipeline, grid, "Flip overrides fit", fit_params=fit_params)
    CountedScaler.n_fits = 0
    with pytest.warns(UserWarning, match="Flip overrides fit"):
        WeightSearchCV(pipeline, grid, cv=3, refit=False).fit(X, Y)
    assert CountedScaler.n_fits == 3


def test_only_candidates_whose_fit_is_changed_are_trained_one_by_one():
    pipeline = Pipeline([("scale", StandardScaler()), ("net", classifier())])
    grid = {"net": [classifier(), Flip(**BASE), Shifted(**BASE)]}
    grid |= grid_of("net", class_weight=[None, "balanced"])
    with pytest.warns(UserWarning, match="^2 of 6 candidates .*: Flip overrides fit"):
        found = fit_both(pipeline, grid, X, Y, cv=2)
    assert found.stacked_.tolist() == [True, True, False, False, True, True]


class FlippedPipeline(Pipeline):
    def fit(self, X, y, **params):
        super().fit(X, 1 - y, **params)
        self.share_ = self.predict(X).mean()
        return self


class ReplacesItsLastStep(Pipeline):
    def fit(self, X, y, **params):
        self.steps = [*self.steps[:-1], ("net", LogisticRegression())]
        return super().fit(X, y, **params)


def test_a_pipeline_may_put_another_estimator_in_its_last_step_when_it_is_fitted():
    pipeline = ReplacesItsLastStep([("scale", StandardScaler()), ("net", classifier())])
    grid, reason = {"scale": ["passthrough", PCA(1)]}, "ReplacesItsLastStep overrides fit"
    fit_both_one_by_one(pipeline, grid, reason)


class PredictsOtherwise(Pipeline):
    def predict(self, X, **params):
        return 1 - super().predict(X, **params)


@pytest.mark.parametrize("random_state", [0, None])
def test_a_pipeline_that_changes_its_fit_is_trained_as_a_whole(random_state):
    steps = [("scale", StandardScaler()), ("net", classifier(random_state=random_state))]
    grid = {"scale__with_mean": [True, False]} | grid_of("net", **CLASS_WEIGHT)
    searches = []
    for kind in (GridSearchCV, WeightSearchCV):
        np.random.seed(0)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            searches.append(kind(FlippedPipeline(steps), grid, cv=2).fit(X, Y))
    expected, found = searches
    assert_same_search_results(found, expected)
    assert found.best_estimator_.share_ == expected.best_estimator_.share_
    assert found.best_estimator_[-1].random_state == random_state
    reason = "FlippedPipeline overrides fit"
    assert found.one_by_one_ == {reason: [0, 1, 2, 3]} and reason in str(warned[-1].message)


def test_a_pipeline_that_only_predicts_otherwise_is_stacked():
    pipeline = PredictsOtherwise([("scale", StandardScaler()), ("net", classifier())])
    grid = grid_of("net", **CLASS_WEIGHT)
    found = fit_both(pipeline, grid, X, Y, cv=2, scoring="accuracy")
    assert found.stacked_.all() and found.best_score_ < 0.4


# What does not change a fit


class Shifted(WeightedTorchClassifier):
    """One that predicts otherwise, and is a transformer too."""

    threshold = 0.2

    @property
    def n_parameters_(self):
        return sum(parameter.numel() for parameter in self.module_.parameters())

    @property
    def feature_weights_(self):
        return np.ones(self.n_features_in_)

    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]

    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 0] > self.threshold).astype(int)]

    def decision_function(self, X):
        return -super().decision_function(X)

    def score(self, X, y, sample_weight=None):
        return super().score(X, y, sample_weight) + self.threshold

    def __repr__(self):
        return "Shifted"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        return tags


class Transforms(TransformerMixin, WeightedTorchClassifier):
    """One with scikit-learn's mixin before the estimator, and a method of its own."""

    def transform(self, X):
        return self.predict_proba(X)


class Routes(WeightedTorchClassifier):
    __metadata_request__fit = {"sample_weight": True}
    __metadata_request__score = {"sample_weight": False}


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "roc_auc"])
@pytest.mark.parametrize("kind", [Shifted, Transforms, Routes])
def test_a_subclass_that_only_predicts_otherwise_is_stacked(kind, scoring):
    found = fit_both(kind(**BASE), CLASS_WEIGHT, X, Y, cv=3, scoring=scoring)
    assert found.stacked_.all() and type(found.best_estimator_) is kind


def test_requests_of_a_class_reach_its_stacked_fits():
    with sklearn.config_context(enable_metadata_routing=True):
        found = fit_both(Routes(**BASE), CLASS_WEIGHT, X, Y, {"sample_weight": WEIGHT}, cv=3)
    assert found.stacked_.all()


# Constructors of their own


class Narrow(WeightedTorchClassifier):
    def __init__(self, class_weight=None, lr=0.01):
        super().__init__(class_weight=class_weight, lr=lr, max_epochs=3, random_state=0)


class Derived(WeightedTorchClassifier):
    """One whose constructor derives settings: those of the estimator that is cloned count."""

    def __init__(self, heavy=2.0, class_weight=None):
        n_epochs = 2 if class_weight is None else 9
        super().__init__(class_weight=class_weight, lr=0.005 * heavy, max_epochs=n_epochs)
        self.heavy = heavy
        self.random_state = 3


class Seedless(WeightedTorchClassifier):
    def __init__(self, class_weight=None):
        super().__init__(class_weight=class_weight, max_epochs=3, lr=0.01)


class Open(WeightedTorchClassifier):
    def __init__(self, **params):
        super().__init__(**{"max_epochs": 3, "lr": 0.01} | params)


class NarrowRegressor(WeightedTorchRegressor):
    def __init__(self, sample_weight_power=1.0):
        super().__init__(sample_weight_power=sample_weight_power, max_epochs=3, lr=0.01)


CONSTRUCTORS = {
    "narrow": (Narrow(), CLASS_WEIGHT, Y),
    "narrow, several groups": (Narrow(), CLASS_WEIGHT | {"lr": [0.01, 0.02]}, Y),
    "derived": (Derived(), CLASS_WEIGHT | {"heavy": [1.0, 4.0]}, Y),
    "seedless": (Seedless(), CLASS_WEIGHT, Y),
    "open": (Open(), {"module__feature_weights": [0.3, 1.0]}, Y),
    "regressor": (NarrowRegressor(), {"sample_weight_power": [0.0, 1.0]}, AMOUNT),
}


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("error_score", [np.nan, "raise"])
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_a_constructor_may_take_other_parameters(name, error_score, in_pipeline):
    estimator, grid, y = CONSTRUCTORS[name]
    fit_params = {"sample_weight": WEIGHT}
    if in_pipeline:
        estimator = Pipeline([("scale", StandardScaler()), ("net", estimator)])
        grid, fit_params = grid_of("net", **grid), grid_of("net", **fit_params)
    scoring = "neg_log_loss" if y is Y else "r2"
    params = {"cv": 2, "error_score": error_score, "scoring": scoring}
    searches = []
    for kind in (GridSearchCV, WeightSearchCV):
        np.random.seed(0)
        searches.append(kind(estimator, grid, **params).fit(X, y, **fit_params))
    expected, found = searches
    assert_same_search_results(found, expected)
    assert_array_equal(found.predict(X), expected.predict(X))
    assert found.stacked_.all()


@pytest.mark.parametrize("error_score", [np.nan, "raise"])
@pytest.mark.parametrize("name", ["weighting", "random_state", "no_such"])
def test_a_parameter_that_the_constructor_lacks_is_refused_as_grid_search_refuses_it(
    name, error_score
):
    for kind in (GridSearchCV, WeightSearchCV):
        search = kind(Narrow(), {name: [1]}, error_score=error_score)
        with pytest.raises(ValueError, match=f"Unknown parameter '{name}' of Narrow"):
            search.fit(X, Y)
