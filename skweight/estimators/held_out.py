"""What is held out as a whole, from one network or from each of several members."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight.data import join_groups, split_folds, split_groups, split_validation
from skweight.training import resolve_early_stopping
from skweight.weights import DistinctRows

Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class HeldOutUnits:
    """Distinct rows, and which of them are held out together.

    ``of_row``, of shape (n_rows,), numbers the units; None if each row is one. Units are groups of
    the user or rows with the same x.
    """

    rows: DistinctRows
    of_row: Codes | None = None
    are_groups: bool = False

    @cached_property
    def n(self) -> int:
        """The number of units."""
        return len(self.rows.index) if self.of_row is None else len(np.unique(self.of_row))

    @property
    def n_inputs(self) -> int:
        """The number of distinct rows, or of different x if rows are held out by x."""
        return len(self.rows.index) if self.are_groups else self.n

    @property
    def name(self) -> str:
        """What the units are, for messages."""
        if self.are_groups:
            return "groups"
        return "distinct rows" if self.of_row is None else "rows with different X"

    @property
    def _classes(self) -> Codes | None:
        """Codes of classes by which rows are stratified, if they have one each."""
        y = self.rows.y
        return y if y.dtype.kind == "i" and y.ndim == 1 else None

    def counts_of_classes(self) -> tuple[Codes, Codes]:
        """Codes of the classes that are there, and in how many units."""
        y = self.rows.y
        if self.of_row is not None:
            n_classes = int(y.max()) + 1
            y = np.unique(self.of_row * n_classes + y) % n_classes
        return np.unique(y, return_counts=True)

    def split(
        self, early_stopping: bool | str, fraction: float, seed: int
    ) -> Sequence[DistinctRows]:
        """Rows for training and, with early stopping, rows for validation."""
        if not resolve_early_stopping(early_stopping, self.n_inputs):
            return [self.rows]
        rows, units = self.rows, self.of_row
        try:
            if units is None or not self.are_groups:
                n_rows = len(rows.index)
                parts = split_validation(n_rows, fraction, seed, self._classes, units)
            else:
                parts = split_groups(units, fraction, seed, rows.weight_per_row, self._classes)
        except ValueError:  # no row can be held out, and the user did not ask for it
            if early_stopping == "auto":
                return [rows]
            raise
        return [rows.take(part) for part in parts]

    def folds(self, n_folds: int, seed: int) -> list[NDArray[np.intp]]:
        """The rows that each member does not see."""
        kind = "groups" if self.are_groups else "together"
        return split_folds(
            n_folds, seed, self.rows.weight_per_row, self._classes, **{kind: self.of_row}
        )


def held_out_units(rows: DistinctRows, groups: Codes | None) -> HeldOutUnits:
    """What is held out together: the user's groups of rows of X, or rows with the same x.

    A row (x, y) stands for all its copies. If x is held out with one class and not with another,
    a network learns that x always has the other. This holds for all values of y that recur, such
    as the rate zero of the many policies without a claim.
    """
    if groups is not None:
        return HeldOutUnits(rows, _groups_of_rows(groups, rows), are_groups=True)
    if rows.inputs is None or not _values_recur(rows):
        return HeldOutUnits(rows)
    return HeldOutUnits(rows, rows.inputs)


def _values_recur(rows: DistinctRows) -> bool:
    """Whether rows with half of the weight have a value of y that other rows have too."""
    if rows.y.dtype.kind == "i":
        return True
    _, number, count = np.unique(rows.y, axis=0, return_inverse=True, return_counts=True)
    weight = rows.weight_per_row
    return bool(weight[count[number.ravel()] > 1].sum() >= weight.sum() / 2)


def _groups_of_rows(groups: Codes, rows: DistinctRows) -> Codes:
    """The group of each distinct row, by the groups of the rows of X.

    Groups that have an equal row count as one.
    """
    number = rows.numbers()
    is_used = number >= 0
    return join_groups(groups[is_used], number[is_used])
