"""Columns of tables: which are categories by their dtype, and what numbers and labels they hold."""

from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skweight.data import BOOLEAN, CATEGORY
from skweight.data.columns import NUMBER, columns_of, is_frame

STRINGS, HOLES = ["x", None, "y", "x"], [1.5, None, 2.0, 1.5]
COLUMNS = {  # made by a library, what it is, and its values
    "floats": (pd.Series(HOLES), NUMBER, HOLES),
    "integers": (pd.Series([1, 2, 3, 1]), NUMBER, [1, 2, 3, 1]),
    "nullable": (pd.Series([1, None, 2, 1], dtype="Int64"), NUMBER, [1, None, 2, 1]),
    "objects": (pd.Series([1, None, 2.5, Decimal(1)], dtype=object), NUMBER, [1, None, 2.5, 1]),
    "arrow numbers": (pd.Series(HOLES, dtype="float64[pyarrow]"), NUMBER, HOLES),
    "sparse": (pd.Series(pd.arrays.SparseArray([0.0, 1, 0, 2])), NUMBER, [0, 1, 0, 2]),
    "all missing": (pd.Series([None] * 4, dtype=object), BOOLEAN, [None] * 4),
    "missing strings": (pd.Series([None] * 4, dtype="string"), CATEGORY, [None] * 4),
    "missing arrow strings": (pa.array([None] * 4, pa.string()), CATEGORY, [None] * 4),
    "strings": (pd.Series(STRINGS), CATEGORY, STRINGS),
    "string objects": (pd.Series(STRINGS, dtype=object), CATEGORY, STRINGS),
    "arrow strings": (pd.Series(STRINGS, dtype="string[pyarrow]"), CATEGORY, STRINGS),
    "categories": (pd.Series(STRINGS, dtype="category"), CATEGORY, STRINGS),
    "ordered": (pd.Series(pd.Categorical(STRINGS, [*"yx"], ordered=True)), CATEGORY, STRINGS),
    "numbers as categories": (
        pd.Series([3, 1, None, 3], dtype="category"),
        CATEGORY,
        [3, 1, None, 3],
    ),
    "booleans": (pd.Series([True, False, True, True]), BOOLEAN, [True, False, True, True]),
    "boolean objects": (pd.Series([True, None, False, True]), BOOLEAN, [True, None, False, True]),
    "nullable booleans": (
        pd.Series([True, None, False, True], dtype="boolean"),
        BOOLEAN,
        [True, None, False, True],
    ),
    "polars floats": (pl.Series(HOLES), NUMBER, HOLES),
    "polars integers": (pl.Series([1, None, 2, 1]), NUMBER, [1, None, 2, 1]),
    "polars decimals": (
        pl.Series(HOLES).cast(pl.Decimal(10, 1)),
        NUMBER,
        HOLES,
    ),
    "polars nulls": (pl.Series([None] * 4), BOOLEAN, [None] * 4),
    "polars strings": (pl.Series(STRINGS), CATEGORY, STRINGS),
    "polars categories": (pl.Series(STRINGS, dtype=pl.Categorical), CATEGORY, STRINGS),
    "polars enum": (pl.Series(STRINGS, dtype=pl.Enum([*"yxz"])), CATEGORY, STRINGS),
    "polars booleans": (pl.Series([True, None, False, True]), BOOLEAN, [True, None, False, True]),
    "pyarrow floats": (pa.array(HOLES), NUMBER, HOLES),
    "pyarrow strings": (pa.array(STRINGS), CATEGORY, STRINGS),
    "pyarrow dictionary": (pa.array(STRINGS).dictionary_encode(), CATEGORY, STRINGS),
    "pyarrow chunks": (
        pa.chunked_array([pa.array(p).dictionary_encode() for p in (["x", None], ["y", "x"])]),
        CATEGORY,
        STRINGS,
    ),
    "pyarrow booleans": (pa.array([True, None, False, True]), BOOLEAN, [True, None, False, True]),
}
if hasattr(pl, "Int128"):  # from polars 1.19 on
    COLUMNS["large integers"] = (pl.Series([1, 3, None], dtype=pl.Int128), NUMBER, [1, 3, None])


def column_of(values):
    """A table of one column in the library of the values, read."""
    if isinstance(values, pd.Series):
        return columns_of(pd.DataFrame({"a": values}))[0]
    table = (
        pl.DataFrame({"a": values}) if isinstance(values, pl.Series) else pa.table({"a": values})
    )
    assert is_frame(table)
    return columns_of(table)[0]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_what_its_dtype_or_its_cells_say(name):
    values, role, expected = COLUMNS[name]
    column = column_of(values)
    assert column.name == "a" and column.role == role
    if role == NUMBER:
        assert_array_equal(column.numbers().astype(float), np.array(expected, dtype=float))
        return
    found = column.categories()
    assert [found.labels[code] for code in found.codes] == expected
    known = "booleans" if True in expected and role == BOOLEAN else "numbers"
    known = "strings" if "x" in expected else known
    assert found.kind == (known if any(label is not None for label in expected) else None)


@pytest.mark.parametrize("name", [name for name, (_, role, _) in COLUMNS.items() if role == NUMBER])
def test_numbers_may_be_taken_as_categories(name):
    values, _, expected = COLUMNS[name]
    found = column_of(values).categories()
    assert [found.labels[code] for code in found.codes] == expected


LARGE = [2**60, 2**60 + 1, None, 2**60]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(LARGE, dtype="Int64"),
        pd.Series(LARGE, dtype="int64[pyarrow]"),
        pd.Series(LARGE, dtype=object),
        pl.Series(LARGE),
        pl.Series(LARGE, dtype=getattr(pl, "Int128", pl.Int64)),
        pa.array(LARGE),
    ],
)
def test_large_integers_are_different_categories_beside_missing_ones(values):
    """Two of them would be equal as floats, which NumPy makes of integers with missing ones."""
    found = column_of(values).categories()
    assert [found.labels[code] for code in found.codes] == LARGE


DAYS = [datetime(2020, 1, 1), None, datetime(2020, 1, 2), datetime(2020, 1, 1)]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(DAYS, dtype="datetime64[ns]"),
        pd.Series(pd.to_datetime(DAYS), dtype=object),
        pd.Series(DAYS, dtype="category"),
        pl.Series(DAYS),
        pa.array(DAYS),
    ],
)
def test_dates_as_categories_have_the_same_labels_in_every_library(values):
    found = column_of(values).categories()
    assert [found.labels[code] for code in found.codes] == DAYS
    assert {*found.labels} == {*DAYS}


def test_an_integer_that_is_no_float_is_named_and_may_be_a_category():
    column = column_of(pd.Series([1, 10**400], dtype=object))
    with pytest.raises(ValueError, match=r"Column 'a' of X holds an integer.*of 1329 bits"):
        column.numbers()
    assert column.categories().labels == [1, 10**400]


def test_an_array_has_positions_as_names():
    table = np.array([[1, "x"], [None, "y"]], dtype=object)
    number, category = columns_of(table)
    assert (number.name, number.role, category.name, category.role) == (0, NUMBER, 1, CATEGORY)
    assert_array_equal(number.numbers(), [1, np.nan])
    assert not is_frame(table) and not is_frame(pd.Series([1])) and not is_frame({"a": [1]})


@pytest.mark.parametrize(
    "make",
    [
        lambda values: pd.Series(values, dtype="Int64"),
        lambda values: pl.Series(values, dtype=pl.Int64),
        lambda values: pa.array(values, pa.int64()),
    ],
)
def test_large_integers_beside_missing_ones_keep_their_values(make):
    values = [2**60, 2**60 + 1, None, 2**60]
    found = column_of(make(values)).categories()
    assert [found.labels[code] for code in found.codes] == values
