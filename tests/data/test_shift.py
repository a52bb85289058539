"""Columns that float32 cannot tell apart are shifted in float64 before they become float32."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV
from skweight.data import find_shift
from skweight.modules import MLP

rng = np.random.default_rng(0)
N_ROWS = 400
SECONDS = 1.7e9 + 60 * rng.random(N_ROWS)  # since 1970, in one minute
X = np.c_[SECONDS, rng.normal(size=N_ROWS)]
Y = np.sin((SECONDS - 1.7e9) / 8) + 0.1 * rng.normal(size=N_ROWS)
WEIGHT = rng.integers(0, 3, N_ROWS)
SETTINGS = {"random_state": 0, "n_members": 1, "lr": 0.005, "device": "cpu"}


def fitted(rows=X, y=Y, weight=None, **settings):
    return WeightedTorchRegressor(**SETTINGS | settings).fit(rows, y, weight)


def on_disk(folder, rows):
    np.save(folder / "X.npy", rows)
    return np.load(folder / "X.npy", mmap_mode="r")


KINDS = {
    "fortran": lambda folder, rows: np.asfortranarray(rows),
    "frame": lambda folder, rows: pd.DataFrame(rows),
    "list": lambda folder, rows: rows.tolist(),
    "tensor": lambda folder, rows: torch.from_numpy(rows.copy()),
    "file": on_disk,
    "csr": lambda folder, rows: sparse.csr_array(rows),
    "csc": lambda folder, rows: sparse.csc_matrix(rows),
}


@pytest.mark.parametrize("kind", KINDS)
def test_seconds_of_one_minute_are_seen_in_any_kind_of_X(kind, tmp_path):
    dense = fitted()
    assert dense.score(X, Y) > 0.9
    rows = KINDS[kind](tmp_path, X)
    model = fitted(rows)
    assert_array_equal(model.predict(rows), dense.predict(X))
    assert_array_equal(model.predict(X), dense.predict(X))


@pytest.mark.parametrize("start", [2**24, 10**8, 10**15, 1.7e18])
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_neighbouring_numbers_far_from_zero_get_predictions_of_their_own(start, dtype):
    step = 1000 if start > 1e16 else 1
    ids = (int(start) + step * np.arange(200)).astype(dtype)[:, None]
    amount = rng.normal(size=200)
    model = fitted(np.repeat(ids, 5, axis=0), np.repeat(amount, 5))
    assert len(np.unique(model.predict(ids))) == 200


def test_the_laws_hold_for_shifted_columns():
    spoiled = X.copy()
    spoiled[WEIGHT == 0] = 0.0  # a row of weight 0 does not change the range
    order = rng.permutation(N_ROWS)
    expected = fitted(np.repeat(X, WEIGHT, axis=0), np.repeat(Y, WEIGHT)).predict(X)
    for found in (
        fitted(spoiled, Y, WEIGHT),
        fitted(X[order], Y[order], WEIGHT[order]),
        fitted(X, Y, 1024.0 * WEIGHT),
    ):
        assert_array_equal(found.predict(X), expected)


def test_rows_that_are_distinct_only_in_float64_are_not_merged():
    y = (np.arange(N_ROWS) % 2).astype(int)
    rows = np.c_[1e12 + np.arange(N_ROWS)]
    model = WeightedTorchClassifier(early_stopping=False, max_epochs=1, batch_size=1, **SETTINGS)
    assert model.fit(rows, y).history_[0, "train_batch_count"] == N_ROWS


def test_later_rows_are_shifted_as_those_of_the_fit(tmp_path):
    model = fitted(early_stopping=True)
    expected = model.predict(X[:50])
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X[:50]), expected)
    assert_array_equal(model.predict(on_disk(tmp_path, X[:50])), expected)
    given = clone(model).fit(X, Y, X_val=X[:50], y_val=Y[:50])
    assert given.history_[-1, "valid_loss"] < 0.5
    online = WeightedTorchRegressor(**SETTINGS)
    for _ in range(30):
        online.partial_fit(X[:200], Y[:200]).partial_fit(X[200:], Y[200:])
    assert online.score(X, Y) > 0.8
    warm = clone(model).set_params(warm_start=True).fit(X, Y)
    losses = warm.history_[:, "train_loss"]
    assert warm.fit(X, Y).history_[0, "train_loss"] < losses[0] / 3


def test_a_search_shifts_as_fits_do():
    grid = {"weighting": ["loss", "sampling"], "random_state": [0, 1]}
    search = WeightSearchCV(WeightedTorchRegressor(**SETTINGS), grid, cv=2).fit(X, Y)
    assert search.stacked_.all()
    assert search.cv_results_["mean_test_score"].min() > 0.7


def test_entries_that_are_stored_in_parts_are_shifted_as_their_sum():
    rows = sparse.coo_matrix(X)
    parts = sparse.csr_matrix((N_ROWS, 2))
    parts.indptr = np.arange(N_ROWS + 1, dtype=np.int32) * 3
    parts.indices = np.tile(np.int32([0, 1, 0]), N_ROWS)
    parts.data = np.c_[X[:, 0] - 1e9, X[:, 1], np.full(N_ROWS, 1e9)].ravel()
    assert not parts.has_canonical_format
    whole = fitted(parts.toarray())
    assert_array_equal(fitted(parts).predict(rows), whole.predict(X))
    assert len(parts.data) == 3 * N_ROWS


def test_zeros_that_are_not_stored_are_shifted_too():
    rows = np.array([[0.0, 1.0], [1.7e9 + 3, 0.0], [0.0, 0.0]])
    model = fitted()
    assert_array_equal(model.predict(sparse.csr_matrix(rows)), model.predict(rows))


class Identity(nn.Module):
    """Keeps what it sees."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.output = nn.Linear(n_features, n_outputs)

    def forward(self, X):
        self.seen = X
        return self.output(0 * X)


def test_a_module_of_ones_own_gets_X_as_it_is_and_one_warning_names_the_columns():
    frame = pd.DataFrame(X, columns=["time", "size"])
    with pytest.warns(UserWarning, match=r"Columns \['time'\] of X .* StandardScaler") as caught:
        model = fitted(frame, module=Identity, max_epochs=1)
    assert len(caught) == 1
    model.predict(frame)
    assert_array_equal(model.module_.seen[:N_ROWS], X.astype(np.float32))
    with pytest.warns(UserWarning, match=r"Columns \[0\] of X"):
        fitted(module=Identity, max_epochs=1)


@pytest.mark.parametrize("module", [MLP, MLP(2, 1)])
def test_the_default_network_may_be_named_and_is_shifted_alike(module):
    assert fitted(module=module).score(X, Y) > 0.9


# What needs a shift


@pytest.mark.parametrize(
    "column",
    [
        rng.normal(size=N_ROWS),
        rng.normal(size=N_ROWS) + 1000,
        1e9 * rng.random(N_ROWS),
        np.arange(N_ROWS),
        1990 + np.arange(N_ROWS) % 30,
        np.arange(N_ROWS) + 2**23,  # float32 holds them all
        np.full(N_ROWS, 0.1),
        np.full(N_ROWS, 0.1) + 1e-18 * np.arange(N_ROWS),  # a constant with rounding errors
        1e300 * np.ones(N_ROWS),
        rng.random(N_ROWS) > 0.5,
        X[:, 0].astype(np.float32),
        np.where(np.arange(N_ROWS) == 3, np.inf, X[:, 0]),
        np.where(np.arange(N_ROWS) == 3, 0, X[:, 0]),  # wide
    ],
)
def test_other_columns_are_left_alone(column):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_shift(column[:, None], None) is None


def test_a_shift_is_the_middle_of_the_range_of_rows_with_weight():
    kept = WEIGHT > 0
    shift = find_shift(X, kept)
    assert shift[0] == pytest.approx((SECONDS[kept].min() + SECONDS[kept].max()) / 2, abs=1e-6)
    assert shift[1] == 0
    assert_array_equal(find_shift(sparse.csr_matrix(X), kept), shift)
