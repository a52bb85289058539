"""Which values of which columns are found, and with which shares of the weight."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skweight.data import MappedRows, RowDataset, find_values, moments

CPU = torch.device("cpu")
N = 300
KINDS = {
    "dense": torch.from_numpy,
    "mapped": MappedRows,
    "csr": sparse.csr_array,
}


def values_of(X, weight, cardinalities=(), kind="dense", index=None):
    index = np.arange(len(X)) if index is None else index
    rows = RowDataset(KINDS[kind](X), index, np.zeros(len(index)), np.asarray(weight), CPU)
    columns, values, shares = find_values(rows, cardinalities)
    assert (columns.dtype, values.dtype, shares.dtype) == (
        *(torch.int64, torch.float32, torch.float64),
    )
    return columns.tolist(), values.numpy(), shares.numpy()


@pytest.fixture
def data():
    """Plain numbers, codes 1 to 3 of 5, many zeros, missing numbers; and weights of mean 1."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    X[:, 1] = rng.integers(1, 4, N)
    X[rng.random(N) < 0.4, 2] = 0
    X[rng.random(N) < 0.1, 3] = np.nan
    weight = rng.exponential(size=N) * (rng.random(N) < 0.8)
    return X, (weight / weight.mean()).astype(np.float32)


CARDINALITIES = (0, 5, 0, 0)


def share(chosen, weight):
    return weight[chosen].sum(dtype=float) / weight.sum(dtype=float)


@pytest.mark.parametrize("n_values", [10**6, 4, 28])
@pytest.mark.parametrize("kind", ["dense", "mapped"])
def test_codes_missing_values_and_mass_points_come_with_their_weighted_shares(
    monkeypatch, data, kind, n_values
):
    monkeypatch.setattr(moments, "MOMENTS_AT_ONCE", n_values)
    X, weight = data
    columns, values, shares = values_of(X, weight, CARDINALITIES, kind)
    assert columns == [1, 1, 1, 2, 3]
    assert_array_equal(values, np.float32([1, 2, 3, 0, np.nan]))
    chosen = [X[:, 1] == 1, X[:, 1] == 2, X[:, 1] == 3, X[:, 2] == 0, np.isnan(X[:, 3])]
    assert_allclose(shares, [share(rows, weight) for rows in chosen], rtol=1e-12)
    assert np.abs(shares - [np.mean(rows) for rows in chosen]).min() > 1e-4


def test_a_table_of_plain_numbers_has_none(data):
    X, weight = data
    assert values_of(X[:, :1], weight)[0] == []
    columns, values, _ = values_of(X[:, [0, 3]], weight)
    assert columns == [1] and np.isnan(values).all()


def test_codes_in_rows_without_weight_are_not_found(data):
    X, weight = data[0].copy(), data[1].copy()
    X[:50, 1], weight[:50] = 4, 0
    X[50, 1], weight[50] = 0, 1
    columns, values, shares = values_of(X, weight, CARDINALITIES)
    assert columns[:5] == [1, 1, 1, 1, 2]
    assert_array_equal(values[:4], [0, 1, 2, 3])
    assert_allclose(shares[:4].sum(), 1)


def test_weights_are_copies_and_the_order_of_rows_changes_rounding_only(data):
    X, _ = data
    count = np.random.default_rng(1).integers(0, 4, N)
    copied = np.repeat(np.arange(N), count)
    weighted = values_of(X, count.astype(float), CARDINALITIES)
    repeated = values_of(X, np.ones(len(copied)), CARDINALITIES, index=copied)
    assert weighted[0] == repeated[0]
    assert_allclose(weighted[2], repeated[2], rtol=1e-12)
    order = np.random.default_rng(2).permutation(N)
    shuffled = values_of(X, count[order].astype(float), CARDINALITIES, index=order)
    assert_allclose(weighted[2], shuffled[2], rtol=1e-12)
    assert not np.allclose(weighted[2], values_of(X, np.ones(N), CARDINALITIES)[2])


def column(n_points, n_others, n_rows=200):
    """A column in which the first rows hold 5, and the others so many different numbers."""
    values = np.full(n_rows, 5, dtype=np.float32)
    values[n_points:] = np.arange(n_rows - n_points) % n_others + 10
    return values[:, None]


@pytest.mark.parametrize(
    ("X", "found"),
    [
        (column(60, 50), [5]),
        (column(30, 50), []),  # a share of 0.15
        (column(199, 1), []),  # two values
        (column(150, 2), []),  # two others
        (column(150, 3), [5]),
        (column(9, 3, 12), []),  # too few rows
        (column(10, 3, 13), [5]),
        (column(60, 3), []),  # every value has a large share, so that no others are left
    ],
)
def test_a_mass_point_has_a_large_share_some_rows_and_other_values_beside_it(X, found):
    assert_array_equal(values_of(X, np.ones(len(X)))[1], np.float32(found))


def test_a_heavy_value_is_found_by_its_weight_and_minus_zero_is_zero():
    X = column(20, 150)
    weight = np.ones(200)
    assert values_of(X, weight)[0] == []
    weight[:20] = 10
    assert_allclose(values_of(X, weight)[2], [200 / 380])
    X[:20], X[0] = 0.0, -0.0
    _, values, shares = values_of(X, weight)
    assert_allclose(shares, [200 / 380])
    assert not np.signbit(values).any()


def test_sparse_rows_have_the_mass_points_of_dense_ones(data):
    X, weight = data
    X = X[:, [0, 2]]
    dense, csr = values_of(X, weight), values_of(X, weight, kind="csr")
    assert dense[0] == csr[0] == [1]
    assert_array_equal(dense[2], csr[2])


def test_wide_tables_and_rows_of_more_dimensions_have_no_mass_points():
    X = np.tile(column(100, 50), (1, 512))
    assert len(values_of(X, np.ones(200))[0]) == 512
    X = np.tile(column(100, 50), (1, 513))
    assert values_of(X, np.ones(200))[0] == []
    X[0, 0] = np.nan
    assert values_of(X, np.ones(200))[0] == [0]
    assert values_of(X[:, :12].reshape(200, 3, 4), np.ones(200))[0] == []


def test_rows_without_any_weight_have_no_values(data):
    assert values_of(data[0], np.zeros(N), CARDINALITIES)[0] == []


def test_of_many_rows_some_tell_the_share_of_a_mass_point(monkeypatch):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(5000, 1)) * (rng.random((5000, 1)) < 0.6)).astype(np.float32)
    whole = values_of(X, np.ones(5000))
    monkeypatch.setattr(moments, "ROWS_SORTED", 1000)
    some = values_of(X, np.ones(5000))
    assert whole[0] == some[0] == [0] and whole[2] != some[2]
    assert_allclose(some[2], whole[2], atol=0.05)
