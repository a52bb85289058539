"""What a fit learns about the columns of X to make numbers of them: codes of categories, shifts.

Codes count from 1; 0 is any label without a code of its own. Which categories share a code, and in
which order they are numbered, is decided by the weighted rows, see ``skweight.weights``.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skweight._keywords import Floats, warn
from skweight.data.arrays import MappedRows
from skweight.data.cells import BOOLEANS, NUMBERS
from skweight.data.columns import Column
from skweight.data.shift import Float32Columns, find_float32, to_float32

# So few dates are taken for categories that are meant, such as the days of some surveys.
_FEW_DATES = 16
_DAY = r"(0?[1-9]|[12]\d|3[01])"  # or a month
_DATES = rf"\d{{4}}(?P<a>[-/.]){_DAY}(?P=a){_DAY}|{_DAY}(?P<b>[-/.]){_DAY}(?P=b)(\d{{4}}|\d\d)"
_TIME = r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?( ?[AaPp][Mm])?( ?(Z|UTC|[-+]\d\d:?(\d\d)?))?"
_LOOKS_LIKE_DATE = re.compile(rf"\s*({_DATES})([T ]{_TIME})?\s*")


@dataclass(frozen=True)
class ColumnCodes:
    """The codes of the labels of a column; None is the label of a missing cell.

    ``kind`` says what the labels are; None if all were missing.
    """

    name: Any
    kind: str | None
    codes: Mapping[Hashable, int]

    @property
    def cardinality(self) -> int:
        """The number of codes, with 0."""
        return max(self.codes.values(), default=0) + 1

    def recode(self, new_codes: NDArray[np.int64]) -> "ColumnCodes":
        """The same labels, with the new code of each old one."""
        return replace(self, codes={label: int(new_codes[c]) for label, c in self.codes.items()})

    def encode(self, column: Column) -> NDArray[np.float32]:
        """The code of each row of a column; 0 for a label that is not known."""
        found = column.categories()
        is_alike = found.kind == self.kind or {found.kind, self.kind} == {NUMBERS, BOOLEANS}
        if None not in (found.kind, self.kind) and not is_alike:
            held = "numbers or booleans" if self.kind == BOOLEANS else self.kind
            raise TypeError(
                f"Column {self.name!r} of X must hold {held}, as in fit, got {found.kind}."
            )
        codes = [self.codes.get(label, 0) for label in found.labels]
        return np.asarray(np.array(codes, dtype=np.float32)[found.codes])


@dataclass(frozen=True)
class Encoding:
    """The codes of the category columns by position, and what is subtracted from the columns.

    ``shift`` has the shape (n_columns,); None is 0 for every column.
    """

    categories: Mapping[int, ColumnCodes] = field(default_factory=dict)
    shift: Floats | None = None

    def cardinalities(self, n_columns: int) -> tuple[int, ...]:
        """The number of codes of each column, 0 if it holds numbers; empty without categories."""
        if not self.categories:
            return ()
        known = {place: column.cardinality for place, column in self.categories.items()}
        return tuple(known.get(place, 0) for place in range(n_columns))

    def encode(self, X: Any) -> Any:
        """X as float32: a list of columns, or numbers in an array, CSR or mapped rows."""
        return self._encode_columns(X) if isinstance(X, list) else to_float32(X, self.shift)

    def _encode_columns(self, columns: list[Column]) -> NDArray[np.float32]:
        """The columns as one array; NaN where a number is missing."""
        n_rows = len(columns[0].values)
        X = np.empty((n_rows, len(columns)), dtype=np.float32)
        for place, column in enumerate(columns):
            if place in self.categories:
                X[:, place] = self.categories[place].encode(column)
            else:
                shift = None if self.shift is None else self.shift[[place]]
                X[:, place] = to_float32(column.numbers(as_in_fit=True)[:, None], shift)[:, 0]
        return X


class ColumnsAsGiven(Encoding):
    """The same codes beside numbers as the user gave them, in float64: no column is shifted."""

    def encode(self, X: Any) -> NDArray[np.float64]:
        """X as one dense array; NaN where a number is missing."""
        if not isinstance(X, list):
            X = X.array if isinstance(X, MappedRows) else X
            dense = X.toarray() if sparse.issparse(X) else X
            return np.array(dense, dtype=np.float64)
        encoded = np.empty((len(X[0].values), len(X)))
        for place, column in enumerate(X):
            if place in self.categories:
                encoded[:, place] = self.categories[place].encode(column)
            else:
                encoded[:, place] = column.numbers(as_in_fit=True)
        return encoded


def learn_codes(column: Column, is_listed: bool) -> ColumnCodes:
    """Codes 1, 2, ... for the labels that rows have.

    ``is_listed`` tells whether the user named the column as one of categories; else labels that
    look like dates are warned of.
    """
    found = column.categories()
    labels = {found.labels[code] for code in np.unique(found.codes)}
    ordered = sorted(labels, key=lambda label: (label is not None, str(label)))
    codes_of = {label: place + 1 for place, label in enumerate(ordered)}
    if not (is_listed or column.has_category_dtype):
        _warn_of_dates(column.name, [label for label in ordered if label is not None])
    return ColumnCodes(column.name, found.kind, codes_of)


def _warn_of_dates(name: Any, labels: list[Hashable]) -> None:
    """Warn of many labels that all look like dates, as they come from a CSV file."""
    if len(labels) <= _FEW_DATES or not all(map(_looks_like_date, labels)):
        return
    first = labels[0]
    warn(
        f"Column {name!r} of X holds strings that look like dates, such as {first!r}, and is taken "
        "as categories. Turn it into numbers, such as days since a fixed date: "
        f"(pandas.to_datetime(X[{name!r}]) - pandas.Timestamp({first!r})) / "
        'np.timedelta64(1, "D"). If its strings are meant as categories, list the column in '
        "categorical_features."
    )


def _looks_like_date(label: Hashable) -> bool:
    """Whether a label is a string with a date in it, such as 2021-03-04 12:30 or 4.3.2021."""
    return isinstance(label, str) and _LOOKS_LIKE_DATE.fullmatch(label) is not None


def learn_float32(columns: Sequence[Column]) -> Float32Columns:
    """What float32 makes of columns of numbers; positions are those in ``columns``."""
    found = [find_float32(column.numbers()[:, None], None) for column in columns]
    shift = np.array([0.0 if of.shift is None else of.shift[0] for of in found])
    return Float32Columns(
        shift if shift.any() else None,
        tuple(place for place, of in enumerate(found) if of.too_small),
        tuple(place for place, of in enumerate(found) if of.too_large),
        tuple(place for place, of in enumerate(found) if of.too_close),
    )
