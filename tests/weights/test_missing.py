"""Missing targets in rows of weight 0, and rows of tables, arrays, lists and dicts of them."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight.weights import (
    fill_targets_without_weight,
    n_rows_of,
    rows_with_weight,
    take_rows,
)

WEIGHT = [1.0, 0.0, 2.0, 0.0]


# Targets


@pytest.mark.parametrize(
    "missing", [np.nan, np.inf, -np.inf, None, pd.NA, pd.NaT, np.datetime64("NaT")], ids=repr
)
def test_a_missing_target_of_a_row_without_weight_is_that_of_the_first_row_that_counts(missing):
    y = np.array([3.0, missing, 5.0, 7.0], dtype=object)
    found = fill_targets_without_weight(y, WEIGHT)
    assert_array_equal(found, [3.0, 3.0, 5.0, 7.0])
    assert y[1] is missing and found.dtype == np.float64


def test_all_targets_of_rows_without_weight_are_replaced_if_asked_for():
    y = np.array([3.0, 4.0, 5.0, np.nan])
    assert_array_equal(fill_targets_without_weight(y, WEIGHT), [3.0, 4.0, 5.0, 3.0])
    assert_array_equal(fill_targets_without_weight(y, WEIGHT, all_rows=True), [3.0, 3.0, 5.0, 3.0])
    assert_array_equal(y, [3.0, 4.0, 5.0, np.nan])
    assert fill_targets_without_weight(y[:3], None, all_rows=True) is not None
    complete = np.array([3.0, 4.0, 5.0, 6.0])
    assert fill_targets_without_weight(complete, WEIGHT) is complete
    assert fill_targets_without_weight(complete, [1, 1, 1, 1], all_rows=True) is complete


def test_targets_of_several_columns_are_replaced_row_by_row():
    y = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0], [7.0, 8.0]])
    expected = [[1.0, 2.0], [1.0, 2.0], [5.0, 6.0], [7.0, 8.0]]
    assert_array_equal(fill_targets_without_weight(y, WEIGHT), expected)


COLUMNS = {
    "pandas": pd.Series,
    "polars": pl.Series,
    "list": list,
    "tuple": tuple,
    "arrow": pa.array,
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_what_is_replaced_stays_of_its_kind(column):
    found = fill_targets_without_weight(column(["a", None, "b", "c"]), WEIGHT)
    assert isinstance(found, list if column is tuple else type(column(["a"])))
    assert [str(value) for value in found] == ["a", "a", "b", "c"]


def test_objects_that_are_all_numbers_are_an_array_of_numbers():
    integers = fill_targets_without_weight(np.array([1, 2, 3, 4], dtype=object), None)
    assert integers.dtype == np.int64 and integers.tolist() == [1, 2, 3, 4]
    booleans = fill_targets_without_weight(np.array([True, np.bool_(False)], dtype=object), None)
    assert booleans.dtype == np.bool_ and booleans.tolist() == [True, False]
    for kept in (
        np.array([2**80, 1, 1], dtype=object),  # no array of numbers holds it
        np.array([1, "a"], dtype=object),
        ["a", "b"],
        [1, 2],
        pd.Series([1, 2]),
        sparse.csr_array([[1, 0]]),
        [[1], [2, 3]],
        None,
    ):
        assert fill_targets_without_weight(kept, None) is kept


REFUSED = {
    "NaN": (
        [1.0, 2.0, np.nan],
        "y must not be missing in a row with weight, got NaN at position 2",
    ),
    "infinity": (
        [np.inf, 2.0],
        "y must be finite in a row with weight, got infinity at position 0",
    ),
    "minus": ([1.0, -np.inf], "y must be finite in a row with weight, got -infinity at position 1"),
    "None": (["a", None], "y must not be missing in a row with weight, got None at position 1"),
    "column": (
        [[1.0, 2.0], [np.nan, 3.0]],
        "y must not be missing in a row with weight, got NaN in row 1, column 0",
    ),
    "date": (
        np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
        f"y must not be missing in a row with weight, got {np.datetime64('NaT', 'D')!r} "
        "at position 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_missing_target_of_a_row_with_weight_is_named(name):
    y, expected = REFUSED[name]
    with pytest.raises(ValueError) as refused:
        fill_targets_without_weight(y, None)
    remedy = "Leave such rows out, or give them sample_weight 0."
    assert str(refused.value) == f"{expected}. {remedy}"
    with pytest.raises(ValueError, match=r"^y_val must "):
        fill_targets_without_weight(y, [1] * len(y), "y_val")


@pytest.mark.parametrize(
    ("y", "got"),
    [
        ("price", "'price'. Pass the column itself, such as table['price']."),
        (3.5, "3.5."),
        (b"ab", "b'ab'."),
        (datetime.date(2020, 1, 1), "date."),
    ],
)
def test_a_single_value_is_no_column_of_targets(y, got):
    with pytest.raises(TypeError) as refused:
        fill_targets_without_weight(y, None)
    assert str(refused.value) == f"y must hold a target for each row of X, got {got}"


@pytest.mark.parametrize(
    "y",
    [
        np.array(["2020-01-01", "NaT", "2021-01-01", "2021-01-01"], dtype="M8[D]"),
        np.array([3, "NaT", 5, 5], dtype="m8[s]"),
        np.array([[1.0, 2.0], [np.inf, 3.0], [5.0, 6.0], [5.0, 6.0]]),
        np.array(["a", np.float32("nan"), "b", "b"], dtype=object),
    ],
    ids=["dates", "durations", "columns", "objects"],
)
def test_missing_values_are_found_in_every_kind_of_array(y):
    found = fill_targets_without_weight(y, WEIGHT)
    assert found.dtype == y.dtype
    assert_array_equal(found, y[[0, 0, 2, 3]])


def test_texts_that_name_what_is_missing_are_labels():
    y = np.array(["nan", "None", "a", "b"])
    assert fill_targets_without_weight(y, WEIGHT) is y


# Weights


def test_rows_with_weight_are_none_if_all_count_or_weights_are_bad():
    assert rows_with_weight(WEIGHT, 4).tolist() == [True, False, True, False]
    assert rows_with_weight([True, False], 2).tolist() == [True, False]
    for weights in (
        None,
        [1, 2, 3, 4],
        [0, 0, 0, 0],
        [1, 0, 1],
        [[1], [0], [1], [1]],
        ["a", "b", "c", "d"],
        [1, 0, 1j, 1],
        [10**400, 0, 1, 1],
    ):
        assert rows_with_weight(weights, 4) is None


# Rows


class OnlyArray:
    """A container that numpy makes an array of."""

    def __array__(self, dtype=None, copy=None):
        return np.arange(6.0).reshape(3, 2)


TABLES = {
    "array": np.arange(6).reshape(3, 2),
    "list": [1, 2, 3],
    "tuple": (1, 2, 3),
    "frame": pd.DataFrame({"a": [1, 2, 3]}),
    "polars": pl.DataFrame({"a": [1, 2, 3]}),
    "arrow": pa.table({"a": [1, 2, 3]}),
    "sparse": sparse.csr_array(np.eye(3)),
    "dok": sparse.dok_matrix(np.eye(3)),  # a dict, too
    "only an array": OnlyArray(),
    "dict": {"a": [1, 2, 3], "b": np.zeros((3, 4))},
}


@pytest.mark.parametrize("name", TABLES)
def test_the_rows_of_any_table_are_counted(name):
    assert n_rows_of(TABLES[name]) == 3


@pytest.mark.parametrize("value", [None, 3, "abc", b"abc", np.array(1), {}, {1}], ids=repr)
def test_what_has_no_rows_has_no_number_of_them(value):
    assert n_rows_of(value) is None


@pytest.mark.parametrize("name", ["array", "list", "tuple", "frame", "polars", "sparse", "dict"])
def test_rows_are_taken_from_any_table(name):
    table = TABLES[name]
    found = take_rows(table, np.array([2, 0, 0]))
    assert n_rows_of(found) == 3
    if name == "dict":
        assert found.keys() == {"a", "b"} and found["a"] == [3, 1, 1]
        assert found["b"].shape == (3, 4)
    elif name in ("list", "tuple"):
        assert found == [3, 1, 1]
    elif name == "sparse":
        assert_array_equal(found.toarray(), np.eye(3)[[2, 0, 0]])
    else:
        assert type(found) is type(table)
        assert np.asarray(found)[:, 0].tolist() == [np.asarray(table)[row, 0] for row in (2, 0, 0)]


def test_rows_of_a_column_of_arrow_are_taken():
    assert take_rows(pa.chunked_array([[1, 2], [3]]), np.array([2, 0])).to_pylist() == [3, 1]
