"""Weighted mean and spread of the input, compared with numpy in float64.

What the default network does with them is in ``test_mlp.py``, when they are handed over
in ``test_prepare.py``.
"""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skweight.data import RowDataset, gather, moments, weighted_moments, weighted_quantiles

CPU = torch.device("cpu")
N = 300
KINDS = {"dense": torch.from_numpy, "csr": sparse.csr_array, "csr matrix": sparse.csr_matrix}
each_kind = pytest.mark.parametrize("kind", KINDS)
both_kinds = pytest.mark.parametrize("kind", ["dense", "csr"])
# More rows than there are, one by one, and numbers that do and do not divide theirs.
each_size = pytest.mark.parametrize("n_rows", [10**6, 1, 7, 100])


@pytest.fixture
def data():
    """300 rows, 3 columns of different units; half of the values 0; weights with zeros."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(N, 3)) * [1, 1000, 0.01] + [5, -3000, 0]).astype(np.float32)
    X[rng.random(X.shape) < 0.5] = 0
    return X, rng.exponential(size=N).astype(np.float32) * (rng.random(N) < 0.8)


def in_blocks_of(monkeypatch, n_rows, n_values=3):
    monkeypatch.setattr(moments, "MOMENTS_AT_ONCE", n_rows * n_values)
    monkeypatch.setattr(moments, "SPARSE_ROWS_AT_ONCE", n_rows)


def moments_of(X, weight, kind="dense", index=None):
    index = np.arange(len(X)) if index is None else index
    rows = RowDataset(KINDS[kind](X), index, np.zeros(len(index)), np.asarray(weight), CPU)
    mean, spread = weighted_moments(rows)
    assert mean.dtype == spread.dtype == torch.float64
    assert mean.device == spread.device == CPU
    assert mean.shape == spread.shape == X.shape[1:]
    return mean.numpy(), spread.numpy()


def by_numpy(X, weight):
    X, weight = X.astype(np.float64), weight.astype(np.float64)
    mean = np.average(X, axis=0, weights=weight)
    return mean, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))


@each_size
@each_kind
def test_they_are_the_weighted_mean_and_standard_deviation(monkeypatch, data, kind, n_rows):
    in_blocks_of(monkeypatch, n_rows)
    X, weight = data
    mean, spread = moments_of(X, weight, kind)
    expected_mean, expected_spread = by_numpy(X, weight)
    assert_allclose(mean, expected_mean, rtol=1e-12)
    assert_allclose(spread, expected_spread, rtol=1e-12)
    for found, unweighted in zip((mean, spread), by_numpy(X, np.ones(N)), strict=True):
        assert np.abs(found / unweighted - 1).min() > 1e-4


@each_kind
def test_only_rows_of_the_index_count_each_with_its_own_weight(data, kind):
    X, weight = data
    index = np.random.default_rng(1).permutation(N)[:80]
    found = moments_of(X, weight[:80], kind, index)
    assert_allclose(found, by_numpy(X[index], weight[:80]), rtol=1e-12)
    assert not np.allclose(found, by_numpy(X[:80], weight[:80]), rtol=1e-4)


@both_kinds
def test_more_rows_than_are_summed_at_once_give_the_same_moments(monkeypatch, kind):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(150_000, 2)).astype(np.float32), rng.random(150_000)
    weight = weight.astype(np.float32)
    assert len(X) > 2 * max(moments.MOMENTS_AT_ONCE // 2, moments.SPARSE_ROWS_AT_ONCE)
    found = moments_of(X, weight, kind)
    in_blocks_of(monkeypatch, 10**6)
    assert_allclose(found, moments_of(X, weight, kind), rtol=1e-12)
    assert_allclose(found, by_numpy(X, weight), rtol=1e-11)


def test_sparse_rows_have_the_moments_of_dense_ones(data):
    X, weight = data
    assert sparse.csr_array(X).nnz < 0.6 * X.size
    dense = moments_of(X, weight)
    for kind in ("csr", "csr matrix"):
        assert_allclose(moments_of(X, weight, kind), dense, rtol=1e-12)


@both_kinds
def test_integer_weights_are_copies(data, kind):
    X, _ = data
    count = np.random.default_rng(1).integers(0, 4, N)
    weighted = moments_of(X, count.astype(float), kind)
    copied = np.repeat(np.arange(N), count)
    assert_allclose(weighted, moments_of(X[copied], np.ones(len(copied)), kind), rtol=1e-12)
    assert not np.allclose(weighted, moments_of(X, np.ones(N), kind), rtol=1e-3)


@both_kinds
def test_the_scale_of_the_weights_does_not_matter(data, kind):
    X, weight = data
    found = moments_of(X, weight, kind)
    for factor in (2.0**-100, 1024.0):
        assert_array_equal(moments_of(X, weight * np.float32(factor), kind), found)
    assert not np.array_equal(moments_of(X, weight**2, kind), found)


@each_size
def test_rows_of_three_dimensions_have_moments_of_the_shape_of_a_row(monkeypatch, data, n_rows):
    in_blocks_of(monkeypatch, n_rows, 6)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2, 3)).astype(np.float32) * np.float32([[1, 2, 3], [4, 5, 6]])
    weight = data[1]
    found = moments_of(X, weight)
    assert_allclose(found, by_numpy(X, weight), rtol=1e-12, atol=1e-12)
    flat = moments_of(X.reshape(N, 6), weight)
    assert_array_equal(np.reshape(flat, (2, 2, 3)), found)
    assert (found[1][1] > found[1][0] + 1).all()


@each_size
@both_kinds
def test_weights_of_labels_are_averaged_over_each_row(monkeypatch, data, kind, n_rows):
    in_blocks_of(monkeypatch, n_rows)
    X, _ = data
    # Quarters, whose mean float32 has exactly.
    weight = np.random.default_rng(2).integers(0, 9, (N, 2)) / 4
    found = moments_of(X, weight, kind)
    assert_array_equal(found, moments_of(X, weight.mean(axis=1), kind))
    assert_allclose(found, by_numpy(X, weight.mean(axis=1)), rtol=1e-12)
    for column in (0, 1):
        assert not np.allclose(found, moments_of(X, weight[:, column], kind), rtol=1e-3)


@pytest.mark.parametrize("where", ["first", "middle", "last", "all but one"])
@pytest.mark.parametrize("zero", [0.0, 1e-60])  # 0 in float32, as in a row of next to no weight
@both_kinds
def test_blocks_without_weight_take_no_part(monkeypatch, data, kind, where, zero):
    in_blocks_of(monkeypatch, 50)
    X, weight = data[0], data[1].astype(float)
    without = {"first": (0, 100), "middle": (50, 200), "last": (250, 300), "all but one": (50, 300)}
    weightless = slice(*without[where])
    weight[weightless] = zero
    X[weightless] += 1000
    kept = np.delete(np.arange(N), weightless)
    assert 0 < len(kept) <= 250
    found = moments_of(X, weight, kind)
    assert np.isfinite(found).all()
    assert_allclose(found, by_numpy(X[kept], weight[kept]), rtol=1e-12)


@each_size
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-20, -1e30])
@both_kinds
def test_a_constant_column_has_its_value_and_next_to_no_spread(monkeypatch, kind, value, n_rows):
    in_blocks_of(monkeypatch, n_rows, 2)
    rng = np.random.default_rng(0)
    X = np.full((N, 2), value, dtype=np.float32)
    X[:, 1] = rng.normal(size=N)
    mean, spread = moments_of(X, rng.random(N), kind)
    assert np.float32(mean[0]) == X[0, 0]
    assert spread[0] <= 1e-13 * abs(value)
    assert 0.9 < spread[1] < 1.1


@each_size
@both_kinds
def test_a_large_offset_leaves_the_spread_visible(monkeypatch, kind, n_rows):
    in_blocks_of(monkeypatch, n_rows, 1)
    rng = np.random.default_rng(0)
    X = (1e6 + rng.normal(scale=0.5, size=(N, 1))).astype(np.float32)
    weight = rng.random(N).astype(np.float32)
    mean, spread = moments_of(X, weight, kind)
    expected_mean, expected_spread = by_numpy(X, weight)
    # A mean has a relative error of 1e-16 or so, which is 1e-10 of the spread.
    assert_allclose(mean, expected_mean, rtol=4e-15)
    assert_allclose(spread, expected_spread, rtol=1e-9)
    assert 0.4 < spread < 0.6


@pytest.mark.parametrize("value", [1.4e-45, 3e38])
@both_kinds
def test_the_smallest_and_the_largest_numbers_have_a_spread(kind, value):
    X = np.zeros((100, 1), dtype=np.float32)
    X[::4] = value
    mean, spread = moments_of(X, np.ones(100), kind)
    assert X[0, 0] > 0
    assert_allclose(mean, X[0].astype(float) / 4, rtol=1e-12)
    assert_allclose(spread, X[0].astype(float) * 3**0.5 / 4, rtol=1e-12)


def test_one_row_has_its_own_values_and_no_spread(data):
    X, _ = data
    mean, spread = moments_of(X, [0.5], index=np.array([7]))
    assert_array_equal(mean, X[7])
    assert X[7].any()
    assert_array_equal(spread, np.zeros(3))


def test_never_more_than_a_block_is_gathered_and_nothing_is_written(monkeypatch, data):
    in_blocks_of(monkeypatch, 64)
    X, weight = data[0], data[1] + 1
    lengths = []
    monkeypatch.setattr(
        moments, "gather", lambda X, at, where: lengths.append(len(at)) or gather(X, at, where)
    )
    rows = RowDataset(torch.from_numpy(X), np.arange(N)[::-1].copy(), np.zeros(N), weight, CPU)
    before = X.copy(), rows.row_weight.clone(), rows.index.clone()
    weighted_moments(rows)
    assert lengths == [64, 64, 64, 64, 44]
    after = X, rows.row_weight, rows.index
    for name, now, then in zip(("X", "row_weight", "index"), after, before, strict=True):
        assert_array_equal(now, then, err_msg=name)
    in_blocks_of(monkeypatch, 0)  # rows of more values than a block come one by one
    weighted_moments(rows)
    assert lengths[5:] == [1] * N


# Missing values


@each_size
def test_missing_values_do_not_count_towards_mean_and_spread(monkeypatch, data, n_rows):
    in_blocks_of(monkeypatch, n_rows)
    X, weight = data[0].copy(), data[1]
    complete = moments_of(X, weight)
    rng = np.random.default_rng(3)
    X[rng.random(N) < 0.3, 0] = np.nan
    X[:150, 1] = np.nan  # whole blocks
    found = moments_of(X, weight)
    for column in (0, 1):
        there = ~np.isnan(X[:, column])
        expected = by_numpy(X[there, column], weight[there])
        assert_allclose([of[column] for of in found], expected, rtol=1e-11)
        assert abs(found[0][column] / complete[0][column] - 1) > 1e-4
    assert_allclose([of[2] for of in found], [of[2] for of in complete], rtol=1e-12)


@each_size
def test_a_column_that_is_always_missing_has_mean_and_spread_zero(monkeypatch, data, n_rows):
    in_blocks_of(monkeypatch, n_rows)
    X, weight = data[0].copy(), data[1]
    X[:, 1] = np.nan
    X[weight == 0, 1] = 7  # rows without weight do not count
    mean, spread = moments_of(X, weight)
    assert mean[1] == spread[1] == 0
    assert (spread[[0, 2]] > 0).all()


# Quantiles


def quantiles(X, weight, n_bins):
    index = np.arange(X.shape[0])
    X = X if sparse.issparse(X) else torch.from_numpy(X.astype(np.float32))
    rows = RowDataset(X, index, np.zeros(len(index)), weight, torch.device("cpu"))
    return weighted_quantiles(rows, n_bins).numpy()


@pytest.mark.parametrize("csr", [False, True])
def test_quantiles_have_equal_shares_of_the_weight_between_them(csr):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) * (rng.random((500, 3)) < 0.7)
    weight = rng.exponential(size=500)
    given = sparse.csr_array(X.astype(np.float32)) if csr else X
    found = quantiles(given, weight / weight.mean(), 5)
    X = X.astype(np.float32)
    np.testing.assert_array_equal(found[[0, -1]], [X.min(axis=0), X.max(axis=0)])
    for share, edges in zip(np.linspace(0, 1, 6)[1:-1], found[1:-1]):
        for column, edge in zip(X.T, edges):
            assert weight[column <= edge].sum() >= share * weight.sum() * (1 - 1e-6)
            assert weight[column < edge].sum() < share * weight.sum()
    assert np.abs(found - quantiles(given, np.ones(500), 5)).max() > 1e-3


def test_quantiles_of_repeated_rows_are_those_of_their_weights():
    X = np.array([[3.0], [1.0], [2.0]])
    np.testing.assert_array_equal(quantiles(X, np.array([1.0, 1, 2]), 4).T, [[1, 1, 2, 2, 3]])
    np.testing.assert_array_equal(quantiles(X, np.array([0.0, 3, 0]), 2).T, [[1, 1, 1]])


def test_of_many_rows_some_are_sorted_and_they_tell_nearly_the_same(monkeypatch):
    X = np.random.default_rng(0).normal(size=(5000, 2))
    whole = quantiles(X, np.ones(5000), 4)
    monkeypatch.setattr(moments, "ROWS_SORTED", 1000)
    monkeypatch.setattr(moments, "MOMENTS_AT_ONCE", 64)
    some = quantiles(X, np.ones(5000), 4)
    assert not np.array_equal(some, whole)
    np.testing.assert_allclose(some[1:-1], whole[1:-1], atol=0.1)


def test_quantiles_are_those_of_values_that_are_there_and_not_left_out():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)).astype(np.float32)
    X[:, 2] = np.nan
    weight = rng.exponential(size=400)
    X[rng.random(400) < 0.6, 0] = 0
    X[rng.random(400) < 0.2, 0] = 1
    X[rng.random(400) < 0.3, 1] = np.nan
    rows = RowDataset(torch.from_numpy(X), np.arange(400), np.zeros(400), weight, CPU)
    columns, values = torch.tensor([0, 0, 1]), torch.tensor([0.0, 1.0, torch.nan])
    found = weighted_quantiles(rows, 4, columns, values).numpy()
    for column, kept in ((0, ~np.isin(X[:, 0], [0, 1])), (1, ~np.isnan(X[:, 1]))):
        alone = quantiles(X[kept, column : column + 1], weight[kept], 4)
        assert_array_equal(found[:, column], alone[:, 0])
        assert len(np.unique(found[:, column])) == 5
    assert_array_equal(found[:, 2], np.zeros(5))
    assert len(np.unique(quantiles(X, weight, 4)[:, 0])) < 5  # without leaving any out
