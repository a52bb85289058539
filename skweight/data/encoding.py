"""What a fit learns about the columns of X to make numbers of them: codes of categories, shifts.

Codes count from 1; 0 is any label without a code of its own. Which categories share a code, and in
which order they are numbered, is decided by the weighted rows, see ``skweight.weights``.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats
from skweight.data.columns import Column
from skweight.data.shift import find_shift, to_float32


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
        if None not in (found.kind, self.kind) and found.kind != self.kind:
            raise TypeError(
                f"Column {self.name!r} of X must hold {self.kind}, as in fit, got {found.kind}."
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


def learn_codes(column: Column) -> ColumnCodes:
    """Codes 1, 2, ... for the labels that rows have."""
    found = column.categories()
    labels = {found.labels[code] for code in np.unique(found.codes)}
    ordered = sorted(labels, key=lambda label: (label is not None, str(label)))
    codes_of = {label: place + 1 for place, label in enumerate(ordered)}
    return ColumnCodes(column.name, found.kind, codes_of)


def learn_shift(columns: Sequence[Column]) -> Floats | None:
    """What to subtract from each column of numbers, shape (n_columns,); None if nothing."""
    found = [find_shift(column.numbers()[:, None], None) for column in columns]
    shift = np.array([0.0 if of_column is None else of_column[0] for of_column in found])
    return shift if shift.any() else None
