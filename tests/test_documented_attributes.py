"""The sections "Attributes" of docstrings name every public attribute that a fit leaves."""

import inspect
import re

import numpy as np
import pytest

from skweight import (
    RandomizedWeightSearchCV,
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)

rng = np.random.default_rng(0)
X, y, weight = rng.normal(size=(60, 2)), np.arange(60) % 2, rng.uniform(1, 2, size=60)
W = bootstrap_weights(None, None, weight, n_replicates=3, random_state=0)
GRID = {"sample_weight_power": [0.5, 1.0]}
OF_SEARCH = {"cv": 2, "return_predictions": True}
# Attributes that ``__getattr__`` finds, so that ``dir`` does not list them.
OF_PARTS = ("classes_", "n_features_in_")


def network(kind, n_members):
    """An estimator whose fit leaves as many attributes as possible."""
    return kind(max_epochs=1, n_members=n_members, early_stopping=True, module__feature_weights=1.0)


def fitted(kind, n_members):
    """An estimator of one network or of members, or one around it."""
    if issubclass(kind, (WeightedTorchClassifier, WeightedTorchRegressor)):
        return network(kind, n_members).fit(X, y, weight)
    inner = network(WeightedTorchClassifier, n_members)
    if kind is ReplicateEstimator:
        return kind(inner).fit(X, y, weight, replicate_weights=W)
    options = OF_SEARCH | ({"n_iter": 2} if kind is RandomizedWeightSearchCV else {})
    return kind(inner, GRID, **options).fit(X, y, sample_weight=weight)


def documented(kind):
    """Names of the section "Attributes"."""
    section = inspect.getdoc(kind).split("\nAttributes\n-")[1]
    section = re.split(r"\n\n\w[\w ]*\n---", section)[0]
    entries = re.findall(r"^(\w.*?)(?: : .*)?$", section, flags=re.MULTILINE)
    return {name for entry in entries for name in entry.split(", ")}


def public(estimator):
    """Names of fitted attributes, those that raise an error left out."""
    names = {name for name in (*dir(estimator), *OF_PARTS) if re.fullmatch("[a-z]\\w*_", name)}
    return {name for name in names if hasattr(estimator, name)}


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize(
    "kind",
    [
        WeightedTorchClassifier,
        WeightedTorchRegressor,
        ReplicateEstimator,
        WeightSearchCV,
        RandomizedWeightSearchCV,
    ],
)
def test_every_public_attribute_of_a_fit_is_documented(kind, n_members):
    found = public(fitted(kind, n_members))
    assert len(found) > 4
    assert found - documented(kind) == set()
