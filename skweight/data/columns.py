"""The columns of a table: of a DataFrame of pandas, polars or pyarrow, or of an array.

A column is read as numbers, or as categories: a list of labels and a code for each row. What the
codes mean to the network is decided in ``encoding``.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np
from narwhals.dependencies import is_into_dataframe
from numpy.typing import NDArray

from skweight.data.cells import (
    BOOLEANS,
    DATES,
    DURATIONS,
    NUMBERS,
    STRINGS,
    TIMES,
    about_column,
    is_missing,
    is_missing_label,
    is_number,
    kind_of_cell,
    such_as,
)

# What a column is by default.
NUMBER, BOOLEAN, CATEGORY = "number", "boolean", "category"
# A column of missing cells may hold strings in other tables: it is a category where booleans are.
_ALL_MISSING = BOOLEAN
_KINDS_OF_TIME = {nw.Duration: DURATIONS, nw.Time: TIMES}
_BY_DTYPE = {nw.Boolean: BOOLEAN, nw.Categorical: CATEGORY, nw.Enum: CATEGORY}


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame of pandas, polars or pyarrow."""
    return not isinstance(X, np.ndarray) and bool(is_into_dataframe(X))


@dataclass(frozen=True)
class Categories:
    """A column as categories: ``labels[codes[i]]`` is the label of row i, None where it is missing.

    ``codes`` has the shape (n,); -1 is the last label. ``kind`` says what labels are; None if all
    are missing.
    """

    labels: list[Hashable]
    codes: NDArray[np.integer[Any]]
    kind: str | None


@dataclass(frozen=True)
class Column:
    """A column with its name, which is a position in an array."""

    name: Any
    values: Any  # an array of shape (n,), or a Series of narwhals

    @cached_property
    def role(self) -> str:
        """NUMBER, BOOLEAN or CATEGORY, by the dtype; by the cells if these are objects.

        Raises TypeError for columns that hold neither numbers nor strings.
        """
        dtype = self.values.dtype
        if isinstance(self.values, np.ndarray):
            return NUMBER if dtype.kind in "fiub" else self._role_of_cells()
        if dtype.is_numeric():
            return NUMBER
        self._refuse_times()
        for kind, role in _BY_DTYPE.items():
            if isinstance(dtype, kind):
                return role
        return self._role_of_cells()

    @property
    def has_category_dtype(self) -> bool:
        """Whether the dtype is one for categories."""
        is_array = isinstance(self.values, np.ndarray)
        return not is_array and isinstance(self.values.dtype, (nw.Categorical, nw.Enum))

    def take(self, rows: NDArray[np.intp]) -> "Column":
        """Some rows of the column."""
        return Column(self.name, self.values[rows])

    def _role_of_cells(self) -> str:
        kinds = self._kinds()
        if not kinds:
            return CATEGORY if self._is_of_strings() else _ALL_MISSING
        if {*kinds} == {STRINGS}:
            return CATEGORY
        if {*kinds} == {BOOLEANS}:
            return BOOLEAN
        if kinds.keys() <= {NUMBERS, BOOLEANS}:
            return NUMBER
        raise self._error(kinds)

    def _is_of_strings(self) -> bool:
        """Whether the dtype is one of strings, whatever the cells are."""
        dtype = self.values.dtype
        if isinstance(self.values, np.ndarray):
            return dtype.kind in "SU"
        is_object = getattr(nw.to_native(self.values), "dtype", None) == np.dtype(object)
        return isinstance(dtype, nw.String) and not is_object

    def _kinds(self) -> dict[str, Any]:
        """The kinds of the cells that are not missing, with an example of each."""
        examples: dict[type, Any] = {}
        for cell in self._cells():
            if type(cell) not in examples and not is_missing(cell):
                examples[type(cell)] = cell
        kinds: dict[str, Any] = {}
        for cell in examples.values():
            kinds.setdefault(kind_of_cell(cell), cell)
        return kinds

    def _refuse_times(self, as_in_fit: bool = False) -> None:
        dtype = self.values.dtype
        if not isinstance(self.values, np.ndarray) and dtype.is_temporal():
            kinds = (kind for cls, kind in _KINDS_OF_TIME.items() if isinstance(dtype, cls))
            raise self._error({next(kinds, DATES): None}, as_in_fit)

    def _error(self, kinds: dict[str, Any], as_in_fit: bool = False) -> TypeError:
        if as_in_fit:
            kinds = {kind: kinds[kind] for kind in kinds if kind not in (NUMBERS, BOOLEANS)}
        found = ", and ".join(f"{kind}{such_as(cell)}" for kind, cell in kinds.items())
        if as_in_fit:
            return TypeError(
                f"Column {self.name!r} of X must hold numbers, as in fit, got {found}."
            )
        if len(kinds) > 1:
            remedy = "Make them one kind: with pandas X[column].astype(str) makes strings"
            return TypeError(f"Column {self.name!r} of X mixes {found}. {remedy}.")
        [(kind, cell)] = kinds.items()
        return TypeError(about_column(self.name, kind, cell))

    def _cells(self) -> Iterable[Any]:
        """The values of the column as Python sees them."""
        cells = np.asarray(self._objects())
        return cells if cells.ndim == 1 else [*cells]  # structs of polars are rows

    def _objects(self) -> Any:
        """The values as an array in which missing ones are None or NaN."""
        if isinstance(self.values, np.ndarray):
            return self.values
        dtype = self.values.dtype
        if isinstance(dtype, (nw.Int128, nw.UInt128)):  # NumPy has none
            return np.array(self.values.to_list(), dtype=object)
        values = self.values.to_numpy()
        if isinstance(dtype, nw.Categorical) and (missing := self._missing()).any():
            values = values.astype(object)
            values[missing] = None  # pyarrow puts a label there
        return values

    def _missing(self) -> Any:
        return self.values.is_null().to_numpy()

    def numbers(self, as_in_fit: bool = False) -> NDArray[Any]:
        """The column as an array of numbers, NaN where one is missing.

        Strings that hold numbers are numbers in an array, as they are for scikit-learn.
        ``as_in_fit`` tells, for errors, whether the column held numbers in ``fit``.
        """
        self._refuse_times(as_in_fit)
        values = self._objects()
        if values.ndim == 1 and values.dtype.kind in "fiub":
            return np.asarray(values)
        kinds = self._kinds()
        if isinstance(self.values, np.ndarray) and STRINGS in kinds:
            strings = (cell for cell in values if isinstance(cell, (str, bytes)))
            kinds[STRINGS] = next((cell for cell in strings if not is_number(cell)), None)
            if kinds[STRINGS] is None:
                del kinds[STRINGS]
        if kinds.keys() - {NUMBERS, BOOLEANS}:
            raise self._error(kinds, as_in_fit)
        numbers = (np.nan if is_missing(cell) else self._as_float(cell) for cell in values)
        return np.fromiter(numbers, dtype=np.float64, count=len(values))

    def _as_float(self, cell: Any) -> float:
        try:
            return float(cell)
        except OverflowError as error:
            raise ValueError(
                f"Column {self.name!r} of X holds an integer that is too large for a number, of "
                f"{cell.bit_length()} bits. Divide the column by a constant, or list it in "
                "categorical_features."
            ) from error

    def categories(self) -> Categories:
        """The column as categories, in no particular order.

        Raises TypeError for labels that cannot be looked up, or are of several kinds.
        """
        labels, codes = self._labels_and_codes()
        labels = [None if is_missing_label(label) else label for label in labels]
        used = [labels[code] for code in np.unique(codes)]  # a dtype may list others
        kinds = {kind_of_cell(label): label for label in used if label is not None}
        if BOOLEANS in kinds and NUMBERS in kinds:
            del kinds[BOOLEANS]
        if len(kinds) > 1:
            raise self._error(kinds)
        return Categories(labels, codes, next(iter(kinds), None))

    def _labels_and_codes(self) -> tuple[list[Any], NDArray[np.integer[Any]]]:
        if not isinstance(self.values, np.ndarray):
            accessor: Any = getattr(nw.to_native(self.values), "cat", None)
            if hasattr(accessor, "codes"):  # of pandas; -1 is missing, and so the last label
                return [*accessor.categories.tolist(), None], accessor.codes.to_numpy()
            if self.values.dtype.is_integer() and (missing := self._missing()).any():
                # NumPy would make floats of all of them, which are equal for many large integers.
                of_known = Column(self.name, self.values.drop_nulls())
                labels, codes_of_known = of_known._labels_and_codes()
                codes = np.full(len(missing), -1)
                codes[~missing] = codes_of_known
                return [*labels, None], codes
        values = self._objects()
        if values.dtype.kind in "mM":
            different, codes = np.unique(values, return_inverse=True)
            is_day = np.datetime_data(values.dtype) == ("D", 1)
            unit = "D" if is_day else "us"  # the units of Python, whose labels are the same
            return different.astype(f"{values.dtype.kind}8[{unit}]").tolist(), codes
        if values.ndim == 1 and values.dtype.kind in "fiubUS":
            different, codes = np.unique(values, return_inverse=True)
            return different.tolist(), codes
        known: dict[Any, int] = {}
        try:
            found = (known.setdefault(cell, len(known)) for cell in self._cells())
            codes = np.fromiter(found, dtype=np.int64, count=len(values))
        except TypeError as error:  # lists, dicts and arrays have no hash
            raise self._error({kind_of_cell(cell): cell for cell in self._cells()}) from error
        return [*known], codes


def columns_of(X: Any) -> list[Column]:
    """The columns of a DataFrame or of an array of shape (n, n_features)."""
    if not is_frame(X):
        return [Column(position, values) for position, values in enumerate(X.T)]
    frame = nw.from_native(X, eager_only=True)
    return [Column(name, values) for name, values in zip(frame.columns, frame.iter_columns())]


def refuse_equal_names(table: Any, argument: str = "X") -> None:
    """Refuse a DataFrame in which a name stands for several columns; other tables pass."""
    names: Any = getattr(table, "column_names", None)
    names = getattr(table, "columns", ()) if names is None else names
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"{argument} must have a different name for each column, got {name!r} more than "
                "once. Rename one of these columns, or leave it out."
            )
        seen.add(name)
