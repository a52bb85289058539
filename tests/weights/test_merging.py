"""Merging of equal rows, without tolerance: which rows meet, in which order, with which mass.

That a whole fit keeps the laws that follow is left to ``test_weight_laws.py``.
"""

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight.weights import distinct_rows, merging

# distinct_rows


def rows_of(kind, seed):
    """120 rows (600 for "blocks"), drawn from few kinds; small numbers, many zeros."""
    rng = np.random.default_rng(seed)
    n, n_columns = (600, 1000) if kind == "blocks" else (120, 6)
    X = rng.integers(-1, 2, (n // 6, n_columns)).astype(np.float32) / 3 + 0.0
    if "swallowed" in kind:
        # Whatever projection sums the columns in float64, the others vanish beside 1e30.
        X[:, rng.integers(n_columns)] = rng.choice([1e30, 2e30], len(X))
    X = X[rng.integers(0, len(X), n)]
    y = rng.integers(0, 2, n)
    if "float64" in kind:
        X = X.astype(np.float64)
    if "3-D" in kind:
        X = X.reshape(n, 2, 3)
    if "one column" in kind:
        X = X[:, :1].copy()
    if "y" in kind:
        y = y + 0.1 if "1-D" in kind else np.stack([y / 3, rng.integers(0, 2, n)], axis=1)
    return (sparse.csr_array(X) if "csr" in kind else X), y


KINDS = [
    "float32",
    "float64, 1-D y",
    "3-D, 2-D y",
    "one column",
    "csr",
    "csr, 2-D y",
    "blocks",
    "swallowed",
    "swallowed, csr",
]


def merge(X, y, mass):
    """Distinct rows as bytes, in the order in which they come, and their masses."""
    index, total = distinct_rows(X, y, mass)
    return row_bytes(X[index], y[index]), total


def row_bytes(X, y):
    X = X.toarray() if sparse.issparse(X) else X
    return [x.tobytes() + target.tobytes() for x, target in zip(X, y, strict=True)]


def assert_same_merge(first, second):
    assert first[0] == second[0], "other rows"
    assert_array_equal(first[1], second[1], err_msg="mass")


def assert_same_rows(found, expected):
    """What ``distinct_rows`` returns is equal to the bit."""
    for name, part, wanted in zip(("index", "mass"), found, expected, strict=True):
        assert_array_equal(part, wanted, strict=True, err_msg=name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_merging_adds_the_masses_of_equal_rows_and_of_no_others(kind, seed):
    X, y = rows_of(kind, seed)
    # Quarters, so that sums are exact in any order; some of them 0.
    mass = np.random.default_rng(seed).integers(0, 5, X.shape[0]) / 4
    expected = {}
    for row, quarter in zip(row_bytes(X, y), mass, strict=True):
        if quarter:
            expected[row] = expected.get(row, 0.0) + quarter
    rows, total = merge(X, y, mass)
    assert len(rows) == len(expected) < (mass > 0).sum()
    assert dict(zip(rows, total, strict=True)) == expected


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_in_which_rows_arrive_changes_no_bit(kind, seed):
    X, y = rows_of(kind, seed)
    rng = np.random.default_rng(seed)
    mass = rng.random(X.shape[0])
    arrival = rng.permutation(X.shape[0])
    assert_same_merge(merge(X, y, mass), merge(X[arrival], y[arrival], mass[arrival]))
    backwards = np.arange(X.shape[0])[::-1]
    assert_same_merge(merge(X, y, mass), merge(X[backwards], y[backwards], mass[backwards]))


@pytest.mark.parametrize("kind", KINDS)
def test_weight_on_a_row_equals_copies_of_it_and_weight_zero_a_missing_row(kind):
    X, y = rows_of(kind, 0)
    count = np.random.default_rng(1).integers(0, 4, X.shape[0])
    assert set(count) == {0, 1, 2, 3}
    weighted = merge(X, y, count.astype(float))
    copied = np.repeat(np.arange(X.shape[0]), count)
    assert_same_merge(weighted, merge(X[copied], y[copied], np.ones(len(copied))))
    kept = np.flatnonzero(count)
    assert_same_merge(weighted, merge(X[kept], y[kept], count[kept].astype(float)))


def test_a_sum_does_not_depend_on_the_order_of_its_parts():
    parts = list(itertools.permutations([0.1, 0.2, 0.3, 0.7]))
    assert len({sum(part) for part in parts}) > 1
    totals = {distinct_rows(np.ones((4, 2)), np.zeros(4), np.array(p))[1].item() for p in parts}
    assert len(totals) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_sum_is_the_exact_one_rounded_once(seed):
    """Then it depends neither on the order of copies nor on how a weight is divided."""
    rng = np.random.default_rng(seed)
    n_copies = rng.integers(1, 8, 30)
    row = np.repeat(np.arange(30.0), n_copies)[:, None]
    mass = rng.random(len(row)) * 10.0 ** rng.integers(-12, 13, len(row))
    divided = np.concatenate([mass / 2, mass / 4, mass / 4])  # without rounding
    rows = np.concatenate([row, row, row])
    arrival = rng.permutation(len(rows))
    index, total = distinct_rows(row, np.zeros(len(row)), mass)
    exact = [float(sum(map(Fraction, mass[row[:, 0] == kind]))) for kind in row[index, 0]]
    assert_array_equal(total, exact)
    _, again = distinct_rows(rows[arrival], np.zeros(len(rows)), divided[arrival])
    assert_array_equal(again, total)
    counts = np.floor(mass)  # integers take another way
    index, total = distinct_rows(row, np.zeros(len(row)), counts)
    exact = [float(sum(map(Fraction, counts[row[:, 0] == kind]))) for kind in row[index, 0]]
    assert_array_equal(total, exact)


@pytest.mark.parametrize("kind", ["float32", "blocks", "float64, 1-D y"])
def test_csr_and_dense_rows_are_merged_alike(kind):
    X, y = rows_of(kind, 0)
    mass = np.random.default_rng(0).random(len(X))
    index, total = distinct_rows(X, y, mass)
    index_csr, total_csr = distinct_rows(sparse.csr_matrix(X), y, mass)
    assert len(index) < len(X)
    assert_array_equal(index_csr, index)
    assert_array_equal(total_csr, total)


class OnlyRows:
    """What gives its rows as an ndarray does and is none; lengths of reads are written down."""

    def __init__(self, array):
        self.array, self.shape, self.reads = array, array.shape, []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        self.reads.append(len(self.array[rows]))
        return self.array[rows]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "csr" not in kind])
def test_what_gives_its_rows_as_an_array_does_is_merged_like_one(monkeypatch, kind, seed):
    X, y = rows_of(kind, seed)
    mass = np.random.default_rng(seed).random(len(X))
    expected = distinct_rows(X, y, mass)
    monkeypatch.setattr(merging, "COMPARED_AT_ONCE", 50)
    rows = OnlyRows(X)
    assert_same_rows(distinct_rows(rows, y, mass), expected)
    assert len(expected[0]) < len(X)
    # The projection reads 256 rows of 1,000 columns at once, and here 120 of fewer.
    assert max(rows.reads) <= 256
    assert sum(rows.reads) > len(X)


def with_minus_zeros(values):
    """The same numbers; of the zeros some have a minus sign, copies of a row other ones."""
    minus = np.random.default_rng(2).random(values.shape) < 0.5
    signed = np.where((values == 0) & minus, values.dtype.type(-0.0), values)
    assert 0 < np.signbit(signed[values == 0]).sum() < (values == 0).sum()
    return signed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "csr" not in kind])
def test_zero_and_minus_zero_are_the_same_number(kind, seed):
    X, y = rows_of(kind, seed)
    y = y - y.min(axis=0).astype(float)
    mass = np.random.default_rng(seed).random(len(X))
    expected = distinct_rows(X, y, mass)
    assert len(expected[0]) < len(X)
    signed = with_minus_zeros(X)
    before = signed.tobytes()
    for version in [(signed, y), (X, with_minus_zeros(y)), (signed, with_minus_zeros(y))]:
        assert_same_rows(distinct_rows(*version, mass), expected)
    assert signed.tobytes() == before


@pytest.mark.parametrize("kind", ["csr, 2-D y", "swallowed, csr"])
def test_minus_zeros_of_y_are_zeros_beside_a_sparse_x_too(kind):
    X, y = rows_of(kind, 0)
    y = y - y.min(axis=0).astype(float)
    mass = np.random.default_rng(0).random(X.shape[0])
    found = distinct_rows(X, with_minus_zeros(y), mass)
    assert_same_rows(found, distinct_rows(X, y, mass))


def test_equal_x_with_different_y_stay_apart():
    y = np.array([0, 1, 0])
    index, total = distinct_rows(np.ones((3, 2)), y, np.ones(3))
    assert dict(zip(y[index], total, strict=True)) == {0: 2, 1: 1}


@pytest.mark.parametrize("kind", [*KINDS, "one column, float64, 1-D y"])
def test_merging_writes_to_none_of_its_inputs(kind):
    X, y = rows_of(kind, 0)
    mass = np.random.default_rng(0).random(X.shape[0])
    parts = [X.data, X.indices, X.indptr, y, mass] if sparse.issparse(X) else [X, y, mass]
    before = [part.tobytes() for part in parts]
    writable = merge(X, y, mass)
    assert [part.tobytes() for part in parts] == before
    for part in parts:
        part.setflags(write=False)
    assert_same_merge(merge(X, y, mass), writable)


class RowsAskedFor:
    """X that records how many rows it was asked for at once."""

    def __init__(self, X):
        self.X, self.lengths = X, []

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray):
            self.lengths.append(len(rows))
        return self.X[rows]

    def __getattr__(self, name):
        return getattr(self.X, name)

    def __matmul__(self, direction):
        return self.X @ direction


@pytest.mark.parametrize("sparse_rows", [True, False])
def test_rows_are_compared_in_blocks_of_what_they_store(sparse_rows, monkeypatch):
    monkeypatch.setattr(merging, "COMPARED_AT_ONCE", 300)
    X = np.zeros((200, 100), dtype=np.float32)
    X[:100, :2] = 1
    X[100:] = np.arange(1, 101)
    recorder = RowsAskedFor(sparse.csr_matrix(X) if sparse_rows else X)
    index, mass = distinct_rows(recorder, np.zeros(200), np.ones(200))
    assert len(index) == 2 and sum(mass) == 200
    blocks = recorder.lengths[::2]  # left and right neighbours
    assert sum(blocks) == 198
    # Rows of 2 stored values or of 100, a hundred of each.
    assert max(blocks) >= 50 if sparse_rows else max(blocks) == 3
    assert sorted(blocks)[len(blocks) // 2] in (2, 3)


def test_rows_have_the_same_order_in_any_unit_of_y():
    rng = np.random.default_rng(0)
    X = rng.integers(2, size=(60, 2)).astype(np.float32)  # many rows differ in y alone
    y, mass = rng.normal(size=(60, 2)), rng.random(60)
    index, _ = distinct_rows(X, y, mass)
    other, _ = distinct_rows(X, y * [1e6, 1e-6] + [3.0, 0.0], mass)
    assert len(index) == 60
    assert_array_equal(other, index)


@pytest.mark.parametrize("n_rows", [1, 2, 200_000])
def test_equal_rows_become_one(n_rows):
    X, y = np.full((n_rows, 2), 0.1), np.full(n_rows, 0.3)
    index, total = distinct_rows(X, y, np.ones(n_rows))
    assert len(index) == 1
    assert total == [n_rows]


def test_a_million_rows_of_twenty_columns_are_merged_in_the_time_of_a_few_sorts():
    """Of sorts of one column, side by side: a clock alone would tell of the machine."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 500_000, 1_000_000)
    X = rng.standard_normal((500_000, 20), dtype=np.float32)[drawn]
    y, mass, ratios = drawn % 2, np.ones(len(drawn)), []
    for _ in range(3):
        start = time.perf_counter()
        index, total = distinct_rows(X, y, mass)
        merged = time.perf_counter()
        np.argsort(X[:, 0].astype(np.float64), kind="stable")
        ratios.append((merged - start) / (time.perf_counter() - merged))
    assert len(index) == len(np.unique(drawn)) < len(drawn)
    assert total.sum() == len(drawn)
    assert 1 < min(ratios) < 5
