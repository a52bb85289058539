"""What the tests of searches share: rows, estimators, grids, and the comparison with GridSearchCV.

pytest puts this folder on ``sys.path``, so that ``from searches import X`` finds it.
"""

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

# Rows -----------------------------------------------------------------------------------

rng = np.random.default_rng(0)
N = 250
X = rng.normal(size=(N, 6))
Y = (X[:, 0] + rng.normal(size=N) > 0.8).astype(int)
CLASSES = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + rng.normal(size=N), [-0.5, 0.9])]
AMOUNT = 3 * X[:, 0] + rng.normal(size=N)
WEIGHT = rng.integers(0, 3, N).astype(float)
GROUPS = rng.integers(0, 9, N)
RARE = CLASSES.copy()  # with a class in five rows only
RARE[:5] = "d"

# Estimators and grids -------------------------------------------------------------------

BASE = {
    "batch_size": 32,
    "max_epochs": 4,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
STOPPING = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 20}
BINARY = {"class_weight": [None, "balanced", {0: 1, 1: 3}], "class_weight_power": [0.5, 1.0]}


def classifier(**params):
    """Make a classifier that trains for four epochs."""
    return WeightedTorchClassifier(**BASE | params)


def regressor(**params):
    """Make a regressor that trains for four epochs."""
    return WeightedTorchRegressor(**BASE | params)


def grid_of(step, **grid):
    """Name the parameters of a grid as those of a step of a pipeline."""
    return {f"{step}__{name}": values for name, values in grid.items()}


class CountedScaler(StandardScaler):
    """Counts how often scalers are fitted."""

    n_fits = 0

    def fit(self, X, y=None, sample_weight=None):
        """Count, and fit."""
        CountedScaler.n_fits += 1
        return super().fit(X, y, sample_weight)


# Comparisons ----------------------------------------------------------------------------


def assert_same_search_results(found, expected):
    """Two searches have the same results, of the same types, apart from times."""
    assert [*found.cv_results_] == [*expected.cv_results_], "other names, or in another order"
    for name, values in found.cv_results_.items():
        assert_same_column(name, values, expected.cv_results_[name])
    for name in ("n_splits_", "multimetric_", "best_index_", "best_params_"):
        assert hasattr(found, name) == hasattr(expected, name), f"one search has no {name}"
        if hasattr(found, name):
            values = getattr(found, name), getattr(expected, name)
            assert values[0] == values[1], f"{name} is {values[0]}, not {values[1]}"
    means = [v for name, v in found.cv_results_.items() if name.startswith("mean_test")]
    assert any(np.unique(values).size > 1 for values in means), "all candidates have one score"


def assert_same_column(name, values, others):
    """A column of ``cv_results_`` is the same in two searches; of times only the form is."""
    assert type(values) is type(others), f"{name} is a {type(values)}, not a {type(others)}"
    if name == "params":
        assert values == others, name
        return
    if name.endswith("_time"):
        assert values.shape == others.shape, name
        assert (values >= 0).all(), name
        return
    assert values.dtype == others.dtype, f"{name} has dtype {values.dtype}, not {others.dtype}"
    assert [*map(str, values)] == [*map(str, others)], name
    if "_test_" in name or "_train_" in name:
        assert_array_equal(values, others, err_msg=name)


def fit_both(estimator, grid, X, y, fit_params=None, **params):
    """Fit a GridSearchCV and a WeightSearchCV, compare them, and return the latter."""
    expected, found = (
        kind(clone(estimator), grid, **params).fit(X, y, **fit_params or {})
        for kind in (GridSearchCV, WeightSearchCV)
    )
    assert_same_search_results(found, expected)
    if found.refit:
        assert type(found.best_estimator_) is type(expected.best_estimator_)
        assert_array_equal(found.predict(X), expected.predict(X), err_msg="predictions")
        assert found.score(X, y) == expected.score(X, y)
    return found
