"""What the package says of itself is the same wherever it says it."""

import re

import pytest
from helpers import ROOT, load_script

import skweight
from skweight.estimators import doc_link_template

PROJECT = (ROOT / "pyproject.toml").read_text()
CITATION = (ROOT / "CITATION.cff").read_text()


def stated(name, text):
    """The values that a file of settings gives to a name."""
    return re.findall(rf'^{name}(?::| =) "?([^"\n]*)"?$', text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("cited", "named"),
    [
        ("title", "name"),
        ("abstract", "description"),
        ("license", "license"),
        ("url", "Documentation"),
        ("repository-code", "Source"),
    ],
)
def test_the_citation_says_what_the_package_says(cited, named):
    (value,) = stated(cited, CITATION)
    assert stated(named, PROJECT)[:1] == [value.removesuffix(".")]


def test_the_citation_names_this_version():
    assert stated("version", CITATION) == [skweight.__version__]


def test_addresses_of_files_and_issues_lie_in_the_repository():
    (source,) = stated("Source", PROJECT)
    assert stated("Issues", PROJECT) == [f"{source}/issues"]
    assert stated("Changelog", PROJECT) == [f"{source}/blob/main/CHANGELOG.md"]
    assert source == load_script("docs/conf.py").REPOSITORY


def test_the_site_makes_the_page_to_which_the_question_mark_of_a_notebook_leads(monkeypatch):
    documentation = f"Documentation, {stated('Documentation', PROJECT)[0]}"
    found = type("Metadata", (), {"get_all": lambda self, name: [documentation]})()
    monkeypatch.setitem(doc_link_template.__globals__, "metadata", lambda name: found)
    pages = load_script("docs/conf.py").autosummary_filename_map
    for estimator in (skweight.WeightedTorchClassifier, skweight.WeightSearchCV):
        address = doc_link_template(None).format(estimator_name=estimator.__name__)
        page = address.removeprefix("https://skweight.readthedocs.io/en/stable/api/")
        assert page == pages[f"skweight.{estimator.__name__}"] + ".html"
