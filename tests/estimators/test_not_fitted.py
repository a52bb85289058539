"""Attributes of a fit before there is one: scikit-learn's error, in its words."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
both = pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
each_attribute = pytest.mark.parametrize(
    "attribute", ["history_", "module_", "n_iter_", "feature_weights_"]
)


@both
@each_attribute
def test_attributes_of_a_fit_need_one(estimator, attribute):
    model = estimator(module__feature_weights=1.0, max_epochs=1, n_members=1)
    fitted = clone(model).fit(X, Y)
    with pytest.raises(ValueError, match=r"y must be finite|NaN"):
        model.fit(X, np.where(Y, np.nan, 1.0))  # which leaves it as it was
    for unfitted in (model, clone(fitted)):
        assert not hasattr(unfitted, attribute)
        with pytest.raises(NotFittedError) as caught:
            getattr(unfitted, attribute)
        with pytest.raises(NotFittedError) as expected:
            LogisticRegression().predict(X)
        words = str(expected.value).replace("LogisticRegression", estimator.__name__)
        assert str(caught.value) == words
    assert hasattr(fitted, attribute)


@both
def test_a_network_without_feature_weights_has_no_such_attribute(estimator):
    model = estimator(max_epochs=1).fit(X, Y)
    assert not hasattr(model, "feature_weights_")
    with pytest.raises(AttributeError, match="needs a network with a FeatureWeight"):
        model.feature_weights_


@both
@pytest.mark.parametrize(
    ("attribute", "instead"),
    [
        ("oof_prediction_", r"a fit of several members \(n_members\) makes it, unless it is stopp"),
        ("oof_score_", r"a fit of several members \(n_members\) makes it, unless it is stopped"),
        ("loss_curve_", r'use history_frame\(\)\["train_loss"\]'),
        ("validation_scores_", r'use history_frame\(\)\["valid_loss"\]'),
        ("best_iteration_", "use best_epoch_"),
        ("feature_importances_", "use sklearn.inspection.permutation_importance"),
        ("coefs_", r"use module_.parameters\(\)"),
    ],
)
def test_attributes_of_members_and_of_other_libraries_say_what_to_use(
    estimator, attribute, instead
):
    model = estimator(max_epochs=1, n_members=1)
    for either in (model, clone(model).fit(X, Y)):
        assert not hasattr(either, attribute)
        with pytest.raises(
            AttributeError, match=f"^{estimator.__name__} has no '{attribute}': {instead}"
        ):
            getattr(either, attribute)
