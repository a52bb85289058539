"""The order and the pooling of categories depend on the weighted rows, not on their codes."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skweight.weights import merge, order_categories, pool_categories, sort_rows

rng = np.random.default_rng(0)
CATEGORIES = [0, 2]


def make_table(n_rows=400, n_numbers=2, digits=1):
    """Two columns of codes from 1 on, around columns of numbers; some numbers are missing."""
    codes = np.c_[rng.integers(1, 12, n_rows), rng.integers(1, 4, n_rows)]
    numbers = rng.normal(size=(n_rows, n_numbers)).round(digits)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    return np.c_[codes[:, 0], numbers[:, :1], codes[:, 1], numbers[:, 1:]].astype(np.float32)


def settle(X, y, weight=None):
    """Ordered and pooled rows, and the new code of each old one in each category column."""
    X = X.copy()
    rows = merge(X, y, weight, 1.0)
    tables = []
    for find in (order_categories, pool_categories):
        found = find(rows, CATEGORIES)
        for column, new in zip(CATEGORIES, found):
            X[:, column] = new[X[:, column].astype(int)]
        tables.append(found)
        rows = sort_rows(rows)
    return rows, [pooled[ordered] for ordered, pooled in zip(*tables)]


def rename(X):
    """The same table with other codes, and the new code of each old one."""
    X, names = X.copy(), []
    for column in CATEGORIES:
        n_codes = int(X[:, column].max())
        names.append(np.r_[0, rng.permutation(n_codes) + 1])
        X[:, column] = names[-1][X[:, column].astype(int)]
    return X, names


def assert_same_rows(rows, others):
    """That both have the same rows, in one order, with the same weights."""
    assert_array_equal(rows.X[rows.index], others.X[others.index])
    assert_array_equal(rows.y, others.y)
    assert_array_equal(rows.mass, others.mass)


@pytest.mark.parametrize("n_numbers", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_other_codes_and_another_order_of_rows_change_nothing(n_numbers, weighted):
    X = make_table(n_numbers=n_numbers)
    y, weight = rng.integers(0, 3, 400), rng.exponential(size=400) if weighted else None
    rows, codes = settle(X, y, weight)
    renamed, names = rename(X)
    order = rng.permutation(400)
    others, other_codes = settle(renamed[order], y[order], weight[order] if weighted else None)
    assert_same_rows(rows, others)
    for new, other, name in zip(codes, other_codes, names):
        assert_array_equal(other[name[: len(new)]], new)
        assert sorted(new[1:]) == [*range(1, len(new))]


def test_categories_with_equal_rows_are_told_apart_by_their_weights():
    X = np.array([[1, 0, 1], [2, 0, 1], [3, 0, 1]] * 2, dtype=np.float32)
    y = np.repeat([0, 1], 3)
    weight = np.array([1.0, 2, 3, 3, 2, 2])
    _, codes = settle(X, y, weight)
    for scale in (0.1, 3.0, 7.3):
        for order in ([1, 2, 3], [2, 3, 1], [3, 2, 1]):
            renamed = X.copy()
            renamed[:, 0] = np.array([0, *order])[X[:, 0].astype(int)]
            _, others = settle(renamed, y, weight * scale)
            assert_array_equal(others[0][[0, *order]], codes[0])
    assert_array_equal(np.sort(codes[0]), [0, 1, 2, 3])


def test_columns_that_say_the_same_are_numbered_together():
    """What the data do not tell apart is numbered in one column, and other columns follow."""
    city = rng.permutation(np.repeat([1, 2, 3, 4], 5))
    X = np.c_[city, np.zeros(20), city].astype(np.float32)
    y = np.zeros(20, dtype=int)
    expected, _ = settle(X, y)
    assert len(np.unique(expected.X, axis=0)) == 4
    for names in ([0, 3, 1, 4, 2], [0, 2, 1, 4, 3]):
        for column in CATEGORIES:
            renamed = X.copy()
            renamed[:, column] = np.array(names)[city]
            rows, _ = settle(renamed, y)
            assert_same_rows(rows, expected)


def cycles(*lengths):
    """Edges of cycles of these lengths, as pairs of categories of two columns."""
    starts = np.cumsum([0, *lengths[:-1]])
    at = np.concatenate([start + np.arange(2 * n) // 2 for start, n in zip(starts, lengths)])
    after = np.concatenate(
        [start + (np.arange(2 * n) + 1) // 2 % n for start, n in zip(starts, lengths)]
    )
    return np.c_[at, after] + 1


# Pairs of categories, all of which have the same rows as long as no two are told apart.
TIED_PAIRS = {
    "cities of states": np.c_[np.arange(12), np.arange(12) // 3] + 1,
    "states of cities": np.c_[np.arange(12) // 3, np.arange(12)] + 1,
    "mirrored": np.c_[np.arange(8), (5 * np.arange(8) + 3) % 8] + 1,
    "every pair": np.c_[np.arange(20) // 4, np.arange(20) % 4] + 1,
    "a cycle": cycles(7),
    "cycles of different lengths": cycles(3, 6, 4, 3),
}


@pytest.mark.parametrize("pairs", TIED_PAIRS.values(), ids=TIED_PAIRS)
@pytest.mark.parametrize("weight", [None, 0.3])
def test_categories_that_could_change_places_are_numbered_as_one_table(pairs, weight):
    """Whichever of them is first, the rows are those of the same table with other labels."""
    X = np.insert(pairs, 1, 0, axis=1).astype(np.float32)
    y, weight = np.zeros(len(X), dtype=int), None if weight is None else np.full(len(X), weight)
    expected, tables = settle(X, y, weight)
    assert [sorted(table[1:]) for table in tables] == [
        [*range(1, n + 1)] for n in pairs.max(axis=0)
    ]
    for _ in range(5):
        renamed, _ = rename(X)
        order = rng.permutation(len(X))
        rows, _ = settle(renamed[order], y, weight)
        assert_same_rows(rows, expected)


def test_many_categories_that_could_change_places_are_numbered():
    """A cycle is told apart one category after another, which is given up if it takes too long."""
    X = np.insert(cycles(100_000), 1, 0, axis=1).astype(np.float32)
    found = order_categories(merge(X, np.zeros(len(X), dtype=int), None, 1.0), CATEGORIES)
    for codes in found:
        assert sorted(codes) == [*range(100_001)]


def test_the_unit_of_y_does_not_matter():
    X, y = make_table(), rng.normal(size=400)
    _, codes = settle(X, y)
    for scale, shift in ((1e6, 0.0), (2.0**-20, 0.0), (1.0, 1e3)):
        _, others = settle(X, scale * y + shift)
        for new, other in zip(codes, others):
            assert_array_equal(new, other)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [False, True])
def test_categories_of_few_distinct_rows_are_pooled_whatever_their_weights(weighted, classes):
    codes = np.repeat([1, 2, 3, 4], [600, 395, 3, 2])
    X = np.c_[codes, rng.normal(size=1000), np.ones(1000)].astype(np.float32)
    y = rng.integers(0, 2, 1000) if classes else rng.normal(size=1000)
    weight = np.where(codes == 4, 1e4, 1.0) * np.where(codes == 3, 1e-4, 1.0)
    _, tables = settle(X, y, weight if weighted else None)
    assert tables[0][4] == 0 and sorted(tables[0][:4]) == [0, 1, 2, 3]


def test_rows_that_differ_in_their_class_only_count_once():
    codes = np.repeat([1, 2, 3], [990, 5, 5])
    numbers = rng.normal(size=1000)
    numbers[990:995], numbers[995:] = [1, 1, 1, 2, 2], [1, 1, 2, 2, 3]
    X = np.c_[codes, numbers, np.ones(1000)].astype(np.float32)
    y = np.arange(1000) % 2
    _, tables = settle(X, y)
    assert tables[0][2] == 0 and tables[0][1] > 0 and tables[0][3] > 0
    _, tables = settle(X, y + np.arange(1000) / 7)  # other numbers make other rows
    assert (tables[0][1:] > 0).all()


@pytest.mark.parametrize("column", [0, 1])
def test_the_pool_does_not_tell_the_class(column):
    """Categories and classes are independent: the pool has the share of classes that all have."""
    codes = rng.integers(1, 2001, 4000)
    numbers = rng.integers(0, 3, 4000) if column else rng.normal(size=4000)
    X = np.c_[codes, numbers, np.ones(4000)].astype(np.float32)
    y = (rng.random(4000) < 0.05).astype(int)
    rows, _ = settle(X, y, np.where(y == 1, 20.0, 1.0))
    is_pooled = rows.X[rows.index, 0] == 0
    groups = rows.y[is_pooled], rows.y[~is_pooled]
    assert min(map(len, groups)) > 500
    error = np.sqrt(rows.y.var() * sum(1 / len(group) for group in groups))
    assert abs(groups[0].mean() - groups[1].mean()) < 4 * error


def test_of_few_rows_a_category_with_a_hundredth_of_the_weight_is_kept():
    X = np.c_[np.arange(60) // 3 + 1, np.arange(60), np.ones(60)].astype(np.float32)
    _, tables = settle(X, np.zeros(60, dtype=int))
    assert sorted(tables[0]) == [*range(21)]


def test_codes_of_rows_without_weight_are_unknown():
    X = make_table()
    X[:50, 0] = 11 + np.arange(50)
    weight = np.r_[np.zeros(50), np.ones(350)]
    rows = merge(X, np.zeros(400, dtype=int), weight, 1.0)
    found = order_categories(rows, CATEGORIES)[0]
    assert len(found) <= 12 and found[0] == 0 and (found[1:] > 0).all()


def test_many_rows_and_categories_are_numbered():
    X = np.c_[rng.integers(1, 5001, 200_000), rng.normal(size=(200_000, 3))].astype(np.float32)
    rows = merge(X, np.zeros(200_000, dtype=int), None, 1.0)
    [found] = order_categories(rows, [0])
    assert sorted(found) == [*range(5001)]
