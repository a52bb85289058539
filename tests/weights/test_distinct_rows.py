"""Weighted rows between the user's table and training.

Which rows are equal is in ``test_merging.py``, what a weight may be in ``test_sample_weight.py``.
"""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skweight.weights import DistinctRows, fill_targets_without_weight, merge

X = np.float32([[1, 2], [0, 3], [1, 2], [5, 5], [0, 3], [1, 2]])
Y = np.array([0, 1, 0, 1, 1, 1])
WEIGHT = np.array([1.0, 2.0, 3.0, 0.0, 4.0, 8.0])


def by_content(rows):
    """Mass and weight of each distinct row, whatever the order."""
    X = rows.X.toarray() if sparse.issparse(rows.X) else rows.X
    return {
        (*X[position].tolist(), str(y.tolist())): (mass, weight)
        for position, y, mass, weight in zip(rows.index, rows.y, rows.mass, rows.weight)
    }


# merge


@pytest.mark.parametrize("convert", [np.array, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("several", [False, True])
def test_equal_rows_are_one_row_of_their_summed_mass(convert, several):
    y = np.stack([Y, 1 - Y], axis=1) if several else Y
    rows = merge(convert(X), y, WEIGHT, 1.0)
    name = ("[0, 1]", "[1, 0]") if several else ("0", "1")
    masses = {key: mass for key, (mass, _) in by_content(rows).items()}
    assert masses == {(1, 2, name[0]): 4, (0, 3, name[1]): 6, (1, 2, name[1]): 8}
    assert_array_equal(rows.y, y[rows.index], strict=True)


def test_no_weights_are_ones():
    rows = merge(X, Y, None, 1.0)
    assert sorted(rows.mass) == [1, 1, 2, 2]
    assert rows.mass.dtype == rows.weight.dtype == np.float64


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_power_is_taken_of_the_summed_mass(power):
    rows = merge(X, Y, WEIGHT, power)
    ratio = rows.weight / rows.mass**power
    assert len(set(rows.mass)) == 3
    assert_allclose(ratio, ratio[0], rtol=1e-15)
    # Taken before the sum it would tell three copies from a weight of 3.
    copies = np.repeat(np.arange(6), WEIGHT.astype(int))
    repeated = merge(X[copies], Y[copies], None, power)
    assert_array_equal(repeated.weight, rows.weight)


@pytest.mark.parametrize("factor", [2.0**-1000, 2.0**900])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_weights_of_any_scale_stay_far_from_the_ends_of_float64(power, factor):
    rows, plain = merge(X, Y, WEIGHT * factor, power), merge(X, Y, WEIGHT, power)
    assert_array_equal(rows.mass, plain.mass * factor)
    assert rows.weight.min() > 1e-3 and rows.weight.max() < 1e3
    assert len(set(rows.weight)) == 3
    assert_allclose(rows.weight / rows.weight.sum(), plain.weight / plain.weight.sum(), rtol=1e-12)


def test_merging_copies_no_rows_and_changes_nothing_of_the_caller():
    given = [X.copy(), Y.copy(), WEIGHT.copy()]
    for array in given:
        array.setflags(write=False)
    rows = merge(*given, 0.5)
    assert rows.X is given[0]
    for name, array, before in zip(("X", "y", "weight"), given, (X, Y, WEIGHT)):
        assert_array_equal(array, before, err_msg=name)
    assert not np.shares_memory(rows.mass, given[2])


def test_the_order_of_the_rows_means_nothing():
    order = np.random.default_rng(0).permutation(6)
    first, other = merge(X, Y, WEIGHT, 1.0), merge(X[order], Y[order], WEIGHT[order], 1.0)
    assert not np.array_equal(order, np.arange(6))
    assert_array_equal(X[order][other.index], X[first.index])
    assert_array_equal(other.y, first.y)
    assert_array_equal(other.weight, first.weight)


@pytest.mark.parametrize(
    ("weight", "match"),
    [([1.0, 2.0], "sample_weight"), (-WEIGHT, "sample_weight"), (np.zeros(6), "sample_weight")],
)
def test_bad_weights_are_refused(weight, match):
    with pytest.raises(ValueError, match=match):
        merge(X, Y, weight, 1.0)


# Weighted

ROWS = DistinctRows(
    X, np.array([3, 1, 0]), np.array([1, 1, 0]), np.array([2.0, 6.0, 4.0]), np.array([3.0, 1, 2])
)


@pytest.mark.parametrize(
    "positions", [np.array([2, 0]), np.array([True, False, True]), np.array([], dtype=int)]
)
def test_some_of_the_rows_keep_what_belongs_to_them(positions):
    some = ROWS.take(positions)
    assert some.X is X
    for name in ("index", "y", "mass", "weight"):
        assert_array_equal(getattr(some, name), getattr(ROWS, name)[positions], strict=True)
    assert len(some.index) < len(ROWS.index) == 3


@pytest.mark.parametrize("kind", ["dense", "CSR", "images"])
def test_rows_are_numbered_by_their_x(kind):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(12, 4)).astype(np.float32) * (rng.random((12, 4)) < 0.6)
    table[3, 1], table[4] = 0.0 if kind == "CSR" else np.nan, 0.0
    cell, y = rng.integers(0, 12, 80), rng.integers(0, 3, 80)
    X = np.where((table == 0)[cell] & (rng.random((80, 4)) < 0.5), np.float32(-0.0), table[cell])
    X = {"dense": X, "CSR": sparse.csr_matrix(table[cell]), "images": X.reshape(80, 2, 2)}[kind]
    rows = merge(X, y, rng.random(80), 1.0)
    _, expected = np.unique(cell[rows.index], return_inverse=True)
    _, found = np.unique(rows.inputs, return_inverse=True)
    pairs = np.unique(np.stack([expected, found]), axis=1)
    assert pairs.shape[1] == found.max() + 1 == 12 < len(rows.index)
    some = rows.take(np.arange(0, len(rows.index), 3))
    assert_array_equal(some.inputs, rows.inputs[::3])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix], ids=["dense", "CSR"])
def test_x_whose_projections_are_equal_after_rounding_have_numbers_of_their_own(convert):
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 300, 4000)
    table = np.stack([1e18 + np.arange(300) // 6, np.arange(300) % 6], axis=1)  # such as times
    rows = merge(convert(table[cell]), rng.integers(0, 3, 4000), None, 1.0)
    x = table[cell][rows.index]
    by_number = {number: x[rows.inputs == number] for number in rows.inputs}
    assert all((found == found[0]).all() for found in by_number.values())
    assert len(by_number) == len(np.unique(table, axis=0)) < len(rows.index)


def test_where_all_x_differ_they_have_no_numbers():
    X = np.random.default_rng(0).normal(size=(30, 2))
    twice = np.repeat(X, 2, axis=0)
    assert merge(X, np.arange(30) % 2, None, 1.0).inputs is None
    assert merge(twice, np.repeat(np.arange(30) % 2, 2), None, 1.0).inputs is None
    assert merge(twice, np.arange(60) % 2, None, 1.0).inputs is not None
    weight = np.arange(60) % 2.0  # the other y of each x has no weight
    assert merge(twice, np.arange(60) % 2, weight, 1.0).inputs is None


def test_rows_with_a_weight_for_each_label_are_taken_whole():
    weight = np.arange(6.0).reshape(3, 2)
    rows = DistinctRows(X, ROWS.index, np.eye(3)[:, :2].astype(int), ROWS.mass, weight)
    some = rows.take(np.array([2, 1]))
    assert_array_equal(some.weight, [[4, 5], [2, 3]])
    assert_array_equal(some.y, [[0, 0], [0, 1]])
    assert_array_equal(some.mass, [4, 6])


def test_rows_cannot_be_changed_by_name():
    with pytest.raises(FrozenInstanceError):
        ROWS.weight = np.ones(3)


@pytest.mark.parametrize(("unit", "power"), [(1.0, 1.0), (2.0, 1.0), (2.0, 0.5), (0.5, 0.0)])
def test_weights_on_a_given_scale_are_powers_of_masses_in_its_unit(unit, power):
    scaled = ROWS.on_scale(unit, power)
    assert_allclose(scaled.weight, (np.array([2.0, 6.0, 4.0]) / unit) ** power, rtol=1e-15)
    assert_array_equal(scaled.mass, ROWS.mass)
    assert_array_equal(ROWS.weight, [3, 1, 2])
    assert scaled.X is ROWS.X and scaled.index is ROWS.index


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_on_one_scale_a_row_weighs_the_same_beside_any_others(power):
    alone = merge(X[:2], Y[:2], WEIGHT[:2], power)
    beside = merge(X[[0, 1, 5]], Y[[0, 1, 5]], WEIGHT[[0, 1, 5]], power)
    names = by_content(alone).keys()
    assert len(names) == 2 < len(by_content(beside))
    unlike = [by_content(rows) for rows in (alone, beside)]
    assert any(unlike[0][name][1] != unlike[1][name][1] for name in names)
    alike = [by_content(rows.on_scale(3.0, power)) for rows in (alone, beside)]
    assert all(alike[0][name] == alike[1][name] for name in names)


# Targets of rows without weight

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_no_number_is_replaced_where_it_weighs_nothing(bad, dtype):
    y = np.array([bad, 2.0, 3.0, bad], dtype=dtype)
    before = y.copy()
    found = fill_targets_without_weight(y, [0, 1, 2, 0])
    assert np.isfinite(found).all()
    assert found.dtype == dtype
    assert_array_equal(found[1:3], [2, 3])
    assert_array_equal(y, before)
    assert found is not y


def test_a_row_of_several_targets_is_replaced_as_a_whole():
    y = np.array([[1.0, NAN], [2.0, 3.0], [INF, 4.0]])
    found = fill_targets_without_weight(y, np.array([0.0, 1.0, 0.0]))
    assert_array_equal(found, [[2, 3]] * 3)
    assert np.isnan(y[0, 1])


def test_other_targets_without_weight_stay_what_they_are():
    y = np.array([7.0, NAN, 3.0])
    assert_array_equal(fill_targets_without_weight(y, [0, 0, 1]), [7, 3, 3])


def test_a_list_of_targets_and_weights_that_are_flags_are_understood():
    y = [NAN, 2.0, 3.0]
    assert_array_equal(fill_targets_without_weight(y, np.array([False, True, True])), [2, 2, 3])
    assert np.isnan(y[0])


@pytest.mark.parametrize(
    ("y", "weight"),
    [
        (np.array([1.0, 2.0, 3.0]), [0, 1, 1]),  # nothing to replace
        (np.array([1.0, 2.0, 3.0]), [0, NAN, 1]),
        (np.array([1.0, 2.0, 3.0]), ["a", "b", "c"]),
        (np.array([1, 2, 3]), [0, 1, 1]),
        (np.array(["a", "b", "c"]), [0, 1, 1]),
        (np.full((3, 1, 1), NAN), [0, 1, 1]),
        (np.array([1j, NAN, 3.0]), [0, 1, 1]),
        (np.array([]), []),
    ],
)
def test_what_is_not_about_them_is_left_to_the_checks_that_follow(y, weight):
    assert fill_targets_without_weight(y, weight) is y


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (
            [1.0, NAN, 3.0],
            None,
            "y must not be missing in a row with weight, got NaN at position 1",
        ),
        ([1.0, NAN, 3.0], [0, 1, 1], "y must not be missing .*, got NaN at position 1"),
        ([1.0, NAN, INF], [1, 0, 2], "y must be finite in a row with weight, got infinity at .* 2"),
        (np.float32([1, 2, -INF]), None, "y must be finite .*, got -infinity at position 2"),
        ([[1.0, 2.0], [3.0, NAN]], [1, 1], "y must not be missing .*, got NaN in row 1, column 1"),
        ([1.0, NAN, 3.0], [0, NAN, 1], "sample_weight must be finite"),
        ([1.0, NAN, 3.0], [0, 0, 0], "sample_weight must hold at least one positive weight"),
        ([1.0, NAN, 3.0], [0, 0], "sample_weight must have one weight per row"),
        ([1.0, NAN, 3.0], [[0], [0], [1]], "sample_weight must be 1-D"),
        ([1.0, NAN, 3.0], ["a", "b", "c"], "sample_weight must hold real numbers"),
    ],
)
def test_what_is_no_number_is_refused_where_it_weighs_something(y, weight, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        fill_targets_without_weight(np.asarray(y), weight)


def test_rows_that_were_merged_without_a_record_have_no_numbers():
    X = np.array([[1.0], [1.0], [2.0]])
    with pytest.raises(ValueError, match=r"^The rows were merged without keep_copies=True\.$"):
        merge(X, np.array([0, 0, 1]), None, 1.0).numbers()
    numbers = merge(X, np.array([0, 0, 1]), None, 1.0, keep_copies=True).numbers()
    assert numbers[0] == numbers[1] != numbers[2]
