"""The "?" beside an estimator in a notebook: there is one as soon as the package has an address."""

import re
from email.message import Message
from importlib.metadata import PackageNotFoundError

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from skweight import (
    RandomizedWeightSearchCV,
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
)
from skweight.estimators import doc_link_template

CLASSIFIER = WeightedTorchClassifier()
ESTIMATORS = [
    CLASSIFIER,
    WeightedTorchRegressor(),
    ReplicateEstimator(CLASSIFIER),
    WeightSearchCV(CLASSIFIER, {}),
    RandomizedWeightSearchCV(CLASSIFIER, {}),
]


def linked(estimator):
    """Addresses of the "?" in the picture of an estimator."""
    html = estimator_html_repr(estimator)
    return re.findall(r'class="sk-estimator-doc-link[^>]*href="([^"]*)"', html)


@pytest.fixture
def package(monkeypatch):
    """Metadata of the package, with addresses to be added."""
    found = Message()
    monkeypatch.setitem(doc_link_template.__globals__, "metadata", lambda name: found)
    return found


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("address", ["https://docs.example.org/", "https://docs.example.org"])
def test_the_link_is_that_of_the_class_below_the_address_of_the_package(
    package, estimator, address
):
    assert not [url for url in linked(estimator) if "scikit-learn.org" not in url]
    package["Project-URL"] = "Source, https://source.example.org"
    package["Project-URL"] = f"Documentation, {address}"
    name = type(estimator).__name__
    found = linked(estimator)
    assert f"https://docs.example.org/api/{name}.html" in found
    assert linked(make_pipeline(estimator))[-len(found) :] == found
    if estimator is CLASSIFIER:
        assert linked(GridSearchCV(estimator, {}))[-1:] == found
    assert "scikit-learn.org" in linked(make_pipeline(StandardScaler(), estimator))[0]


def test_classes_of_the_user_have_no_link(package):
    package["Project-URL"] = "Documentation, https://docs.example.org"
    assert linked(type("Sub", (WeightedTorchClassifier,), {})()) == []


def test_there_is_no_link_without_an_address_or_without_metadata(package, monkeypatch):
    package["Project-URL"] = "Source, https://source.example.org"
    assert linked(CLASSIFIER) == []

    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setitem(doc_link_template.__globals__, "metadata", not_installed)
    assert linked(CLASSIFIER) == []
