"""Columns of tables: which are categories by their dtype, and what numbers and labels they hold."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skweight.data import BOOLEAN, CATEGORY, NUMBER, is_frame
from skweight.data.columns import columns_of

STRINGS, HOLES = ["x", None, "y", "x"], [1.5, None, 2.0, 1.5]
COLUMNS = {  # made by a library, what it is, and its values
    "floats": (pd.Series(HOLES), NUMBER, HOLES),
    "integers": (pd.Series([1, 2, 3, 1]), NUMBER, [1, 2, 3, 1]),
    "nullable": (pd.Series([1, None, 2, 1], dtype="Int64"), NUMBER, [1, None, 2, 1]),
    "objects": (pd.Series([1, None, 2.5, Decimal(1)], dtype=object), NUMBER, [1, None, 2.5, 1]),
    "arrow numbers": (pd.Series(HOLES, dtype="float64[pyarrow]"), NUMBER, HOLES),
    "sparse": (pd.Series(pd.arrays.SparseArray([0.0, 1, 0, 2])), NUMBER, [0, 1, 0, 2]),
    "all missing": (pd.Series([None] * 4, dtype=object), CATEGORY, [None] * 4),
    "missing strings": (pd.Series([None] * 4, dtype="string"), CATEGORY, [None] * 4),
    "missing floats": (pd.Series([None] * 4, dtype=float), NUMBER, [None] * 4),
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
    "polars nulls": (pl.Series([None] * 4), CATEGORY, [None] * 4),
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
    kind = None if expected == [None] * 4 else "numbers"
    assert found.kind == ("strings" if "x" in expected else kind)


@pytest.mark.parametrize("name", [name for name, (_, role, _) in COLUMNS.items() if role == NUMBER])
def test_numbers_may_be_taken_as_categories(name):
    values, _, expected = COLUMNS[name]
    found = column_of(values).categories()
    assert [found.labels[code] for code in found.codes] == expected


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
