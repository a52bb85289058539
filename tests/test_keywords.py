"""``_keywords``: the line that a warning points at, warnings shown once, and hints at near names.

When a fit warns of few effective rows is in ``test_effective_rows.py``. Each test of filters has a
Python process of its own: pytest turns warnings into errors here, and Python remembers what it has
shown.
"""

import warnings

import pytest
import sklearn.pipeline
from helpers import run_python
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler

from skweight import EffectiveSampleSizeWarning
from skweight._keywords import did_you_mean, warn, warn_once

# --------------------------------------------------------------------------------------
# The line that a warning points at
# --------------------------------------------------------------------------------------


@pytest.fixture
def caught():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def defined_in(package, source, **names):
    """Run source code as if it were a file of this package; return the names that it defines."""
    names["__name__"] = f"{package}.inner"
    exec(source, names)
    return names


def test_a_warning_is_a_user_warning_unless_it_has_a_category(caught):
    warn("some text")
    warn("some text", EffectiveSampleSizeWarning)
    assert [w.category for w in caught] == [UserWarning, EffectiveSampleSizeWarning]
    assert {str(w.message) for w in caught} == {"some text"}
    assert issubclass(EffectiveSampleSizeWarning, UserWarning)


@pytest.mark.parametrize(
    "packages", [[], ["skweight"], ["skweight"] * 5, ["skweight", "skorch", "torch", "skweight"]]
)
def test_a_warning_points_at_the_line_that_called_skweight_however_deep_the_call_is(
    packages, caught
):
    def users_line(call):
        call("some text")

    call = warn
    for package in packages:
        source = "def call(text):\n    inner(text)"
        call = defined_in(package, source, inner=call)["call"]
    users_line(call)
    assert caught[0].filename == __file__
    assert caught[0].lineno == users_line.__code__.co_firstlineno + 1


def test_a_package_whose_name_begins_like_skweight_is_the_users(caught):
    defined_in("skweights", "def call(text):\n    warn(text)", warn=warn)["call"]("some text")
    assert caught[0].filename == "<string>" and caught[0].lineno == 2


def test_through_a_pipeline_it_points_at_the_pipeline_that_called_skweight(caught):
    fit = defined_in("skweight", "def fit(self, X, y):\n    warn('of fit')", warn=warn)["fit"]
    final = type("Final", (BaseEstimator,), {"fit": fit})()
    sklearn.pipeline.make_pipeline(StandardScaler(), final).fit([[0.0], [1.0]], [0, 1])
    assert [(str(w.message), w.filename) for w in caught] == [("of fit", sklearn.pipeline.__file__)]


# --------------------------------------------------------------------------------------
# The filter: once in a process, unless the user says otherwise
# --------------------------------------------------------------------------------------

IMPORT = """
import warnings
{before_the_import}
from skweight import EffectiveSampleSizeWarning
from skweight._keywords import warn_once
"""
WARN_AT_TWO_LINES = """
for _ in range(2):
    warn_once("few rows", EffectiveSampleSizeWarning)
    with warnings.catch_warnings():  # as a fit does, after which Python's own "once" begins anew
        warnings.simplefilter("ignore", ImportWarning)
warn_once("few rows", EffectiveSampleSizeWarning)
"""


def warned(code, *options, before_the_import=""):
    """Run code that may warn in a fresh process: how many warnings it shows, and how it ended."""
    code = IMPORT.format(before_the_import=before_the_import) + code
    process = run_python(code, *options)
    return process.stderr.count("EffectiveSampleSizeWarning: few rows"), process.returncode


def test_it_is_shown_once_in_a_process_unless_the_user_sets_a_filter():
    """Python's own choice would be once for each line that warns."""
    always = "warnings.simplefilter('always', EffectiveSampleSizeWarning)"
    assert warned(WARN_AT_TWO_LINES + always + WARN_AT_TWO_LINES) == (1 + 3, 0)


def test_filters_that_the_user_set_before_the_import_come_first():
    before = "warnings.simplefilter('always')"
    assert warned(WARN_AT_TWO_LINES, before_the_import=before) == (3, 0)


def test_an_option_of_the_command_line_comes_first():
    assert warned(WARN_AT_TWO_LINES, "-W", "error::UserWarning") == (1, 1)


def test_each_test_of_pytest_sees_it(caught):
    """No fixture is needed: pytest sets its filters before each test."""
    for _ in range(2):
        warn_once("few rows", EffectiveSampleSizeWarning)
    assert len(caught) == 2
    with pytest.warns(EffectiveSampleSizeWarning, match="few rows"):
        warn_once("few rows", EffectiveSampleSizeWarning)


# --------------------------------------------------------------------------------------
# Hints
# --------------------------------------------------------------------------------------


def test_a_hint_names_the_nearest_of_the_known_names():
    known = ["quantile", "squared_error", "absolute_error"]
    assert did_you_mean("square_error", known) == " Did you mean 'squared_error'?"
    assert did_you_mean("absolut_error", iter(known)) == " Did you mean 'absolute_error'?"


def test_a_hint_shows_what_a_name_stands_for():
    assert (
        did_you_mean("lern", {"learn": "optimizer__learn"}) == " Did you mean 'optimizer__learn'?"
    )


def test_there_is_no_hint_where_no_name_is_near():
    assert did_you_mean("unlike", ["quantile", "huber"]) == ""
    assert did_you_mean("anything", []) == ""


def test_the_cutoff_says_how_near_a_name_must_be():
    assert did_you_mean("weights", ["feature_weight"], cutoff=0.9) == ""
    assert did_you_mean("weights", ["feature_weight"], cutoff=0.4) != ""
