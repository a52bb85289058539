"""The warning that a few rows have most of the weight, and its remedies."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    clip_weights,
)

MESSAGE = "effective sample size is below 10 %"
QUICK = {"max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def rare():
    """2,000 rows, 1 % of them positive: balanced weights have an effective share of 4 %."""
    X = np.random.default_rng(0).normal(size=(2000, 4))
    return X, (np.arange(2000) < 20).astype(int)


def warnings_of(estimator, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(*args)
    return [str(w.message) for w in caught]


def test_weights_in_the_loss_that_rest_on_few_rows_warn_once_and_name_the_remedies(rare):
    messages = warnings_of(WeightedTorchClassifier(class_weight="balanced", **QUICK), *rare)
    assert len(messages) == 1 and MESSAGE in messages[0]
    for remedy in ('weighting="sampling"', "sample_weight_power", "clip_weights"):
        assert remedy in messages[0]


DATA = """
import numpy as np
from sklearn.model_selection import GridSearchCV
from skweight import WeightedTorchClassifier, WeightSearchCV
X = np.random.default_rng(0).normal(size=(2000, 2))
y = np.arange(2000) % 100 == 0
model = WeightedTorchClassifier(class_weight="balanced", max_epochs=1, random_state=0)
"""
FITS = {
    "loop": """
for power in (1, 1.1, 1.2):
    model.set_params(class_weight_power=power).fit(X, y)  # the line that is named
""",
    "grid": "GridSearchCV(model, {'class_weight_power': [1, 1.1, 1.2]}, cv=3).fit(X, y)",
    "stack": "WeightSearchCV(model, {'class_weight_power': [1, 1.1, 1.2]}, cv=3).fit(X, y)",
}


@pytest.mark.parametrize("kind", FITS)
def test_the_warning_comes_once_in_a_process_however_many_fits_deserve_it(kind, tmp_path):
    """Searches run each fit under a copy of the filters that were there before."""
    script = tmp_path / "fits.py"
    script.write_text(DATA + FITS[kind])
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stderr.count("EffectiveSampleSizeWarning") == 1
    if kind == "loop":
        line = 1 + script.read_text().splitlines().index(FITS[kind].splitlines()[2])
        assert f"{script}:{line}: " in done.stderr


def test_the_warning_has_a_category_to_filter_it_by(rare):
    model = WeightedTorchClassifier(class_weight="balanced", **QUICK)
    with pytest.warns(EffectiveSampleSizeWarning, match=MESSAGE) as caught:
        model.fit(*rare)
    assert caught[0].filename == __file__


def test_remedies_and_even_weights_do_not_warn(rare):
    X, y = rare
    for params in ({"weighting": "sampling"}, {"class_weight_power": 0.5}, {"class_weight": None}):
        params = {"class_weight": "balanced"} | params
        assert not warnings_of(WeightedTorchClassifier(**QUICK, **params), X, y)


def test_heavy_rows_of_a_regression_warn_until_they_are_clipped(rare):
    X, _ = rare
    weight = np.where(np.arange(2000) < 10, 1000.0, 1.0)
    model = WeightedTorchRegressor(**QUICK)
    assert MESSAGE in warnings_of(model, X, X[:, 0], weight)[0]
    assert not warnings_of(model, X, X[:, 0], clip_weights(weight, 3))
    assert not warnings_of(model, X, X[:, 0])


def test_copies_of_rows_are_no_weights_that_rest_on_few_rows(rare):
    """1,000 rows of two kinds, 5 of them of the other class: merged, four rows are left."""
    X = np.arange(1000).reshape(-1, 1) % 2
    y = (np.arange(1000) < 5).astype(float)
    assert not warnings_of(WeightedTorchRegressor(**QUICK), X, y, np.ones(1000))


def test_a_power_that_would_flatten_copies_and_not_only_weights_warns(rare):
    X, y = rare
    weight = np.random.default_rng(0).exponential(size=2000)
    model = WeightedTorchClassifier(sample_weight_power=0.5, **QUICK)
    assert not warnings_of(model, X, y, weight)
    (message,) = warnings_of(model, np.round(X[:, :1]), y, weight)
    assert "sample_weight_power=0.5" in message and "9" in re.search(r"(\d+)% of", message)[1]
    assert "raise them to that power before you pass them" in message
    assert not warnings_of(model.set_params(sample_weight_power=1), np.round(X[:, :1]), y, weight)
