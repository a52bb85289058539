"""Arguments of ``fit`` and ``set_params`` that do not exist, and what was meant."""

import inspect

import numpy as np
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
both = pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])


@both
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("eval_set", "X_val and y_val"),
        ("validation_data", "X_val and y_val"),
        ("X_valid", "X_val"),
        ("y_valid", "y_val"),
        ("eval_sample_weight", "sample_weight_val"),
        ("sample_weight_eval_set", "sample_weight_val"),
        ("weights", "sample_weight"),
        ("base_margin", "offset"),
        ("exposure", "offset (the logarithm of the exposure)"),
        ("sample_wieght", "'sample_weight'"),
        ("epochs", "{estimator}(max_epochs=...)"),
        ("batch_size", "{estimator}(batch_size=...)"),
        ("callbacks", "{estimator}(callbacks=...)"),
        ("verbose", "{estimator}(verbose=...)"),
        ("learning_rate", "{estimator}(lr=...)"),
        ("module__dropout", "{estimator}(module__dropout=...)"),
    ],
)
def test_fit_says_where_an_argument_of_other_libraries_goes(estimator, name, meant):
    model = estimator(max_epochs=1)
    with pytest.raises(TypeError) as caught:
        model.fit(X, Y, **{name: 1})
    text = str(caught.value)
    meant = meant.format(estimator=estimator.__name__)
    assert text.startswith(f"Did you mean {meant}? {estimator.__name__}.fit got an unexpected")
    assert f"{name!r}: it takes ['X', 'y', 'sample_weight', 'groups', 'offset'," in text
    assert not hasattr(model, "net_")


@both
def test_a_name_that_resembles_nothing_is_refused_with_the_names_that_exist(estimator):
    with pytest.raises(TypeError, match=rf"^{estimator.__name__}\.fit got an unexpected .*'xyz'"):
        estimator().fit(X, Y, xyz=1)


def test_partial_fit_does_not_point_at_arguments_that_it_does_not_have():
    with pytest.raises(TypeError, match=r"^WeightedTorchRegressor.partial_fit got .*'eval_set'"):
        WeightedTorchRegressor().partial_fit(X, Y, eval_set=[(X, Y)])
    with pytest.raises(TypeError, match=r"^Did you mean WeightedTorchRegressor\(max_epochs=...\)"):
        WeightedTorchRegressor().partial_fit(X, Y, epochs=3)
    with pytest.raises(TypeError, match=r"^Did you mean 'classes'"):
        WeightedTorchClassifier().partial_fit(X, Y, clases=[0, 1])


@both
def test_the_signature_that_other_libraries_read_has_only_the_real_arguments(estimator):
    expected = ["self", "X", "y", "sample_weight", "groups", "offset"]
    expected += ["X_val", "y_val", "sample_weight_val", "offset_val"]
    assert [*inspect.signature(estimator.fit).parameters] == expected
    assert has_fit_parameter(estimator(), "sample_weight")
    assert not has_fit_parameter(estimator(), "eval_set")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        estimator().fit(X)


def test_a_pipeline_passes_the_hint_on_and_routes_what_exists():
    pipeline = make_pipeline(StandardScaler(), WeightedTorchRegressor(max_epochs=1))
    with pytest.raises(TypeError, match=r"^Did you mean X_val and y_val"):
        pipeline.fit(X, Y, weightedtorchregressor__eval_set=[(X, Y)])
    with config_context(enable_metadata_routing=True):
        routed = WeightedTorchRegressor(max_epochs=1).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        make_pipeline(scaler, routed).fit(X, Y, sample_weight=np.ones(len(Y)))


@both
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("epochs", "'max_epochs'"),
        ("optimiser__lr", "'optimizer'"),
        ("dropout", "'module__dropout'"),
    ],
)
def test_set_params_refuses_unknown_names_in_the_same_words(estimator, name, near):
    match = rf"^Did you mean {near}\? Unknown parameter '{name}' of {estimator.__name__}: expected"
    with pytest.raises(ValueError, match=match):
        estimator().set_params(**{name: 1})
