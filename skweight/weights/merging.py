"""Merging equal rows and sorting the distinct rows into a canonical order.

A fit then depends on the weighted data and not on the table: neither on the order of the rows nor
on how a weight is divided among copies of a row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats, divide
from skweight.weights.sample_weight import (
    check_sample_weight,
    flatten_mass,
    scale_near_one,
)

Indices = NDArray[np.intp]
# Rows per block are chosen so that a block of the projection stays in the cache.
_BLOCK_ELEMENTS = 2**17
_WIDE_BLOCK_ELEMENTS = 2**22
# Values that are compared with those of the next row at once.
COMPARED_AT_ONCE = 2**19
# What stands for NaN in the projection.
_MISSING = -1.6180339887498949


def distinct_rows(X: Any, y: NDArray[Any], mass: Floats) -> tuple[Indices, Floats]:
    """Merge equal ``(x, y)`` rows and sort the distinct rows.

    The result depends on the set of rows and on the summed weight, the mass, of each; neither
    on the order of the rows nor on how a mass is divided among copies. Rows are equal if all
    their numbers are, without tolerance; 0.0 and -0.0 are equal, and NaN equals NaN. Rows without
    mass are left out. No data are copied.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...) or CSR matrix of shape (n_samples, n_features)
        Or an object whose rows are indexed like those of an ndarray. A CSR matrix must have
        sorted indices, no duplicates and no stored zeros.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Numbers: targets, or classes as codes.
    mass : ndarray of shape (n_samples,), float64
        Non-negative.

    Returns
    -------
    index : ndarray of shape (n_distinct,)
        Position of one representative of each distinct row, in canonical order.
    mass : ndarray of shape (n_distinct,), float64
        Summed mass of each distinct row.

    Notes
    -----
    Rows are sorted by a fixed random projection of ``x`` in float64, and where it ties by
    ``y``, so that the order is the same in any unit of ``y``. Rows that still tie are compared as
    a whole: equal ones are merged, different ones (a tie by rounding) are sorted by their bytes.
    """
    order, same, _ = _canonical_order(_Columns(X, y), mass)
    is_first = _first_of_copies(same, len(order))
    return order[is_first], _mass_of_copies(order, is_first, mass)


def _first_of_copies(same: NDArray[np.bool_], n_rows: int) -> NDArray[np.bool_]:
    """Which rows differ from the one before."""
    return np.concatenate([[True] * (n_rows > 0), ~same])


def _mass_of_copies(order: Indices, is_first: NDArray[np.bool_], mass: Floats) -> Floats:
    """The summed mass of each distinct row, rounded once: the order of copies has no effect.

    A sum that rounds each time would depend on the order, and on how a mass is divided.
    """
    in_order, start = mass[order], np.flatnonzero(is_first)
    if len(start) == len(order):
        return in_order
    total = np.asarray(np.add.reduceat(in_order, start))
    if in_order.sum() < 2**53 and (in_order == np.floor(in_order)).all():
        return total  # sums of integers are exact
    end = np.append(start[1:], len(order))
    of_several = np.flatnonzero(end - start > 2)  # the sum of two numbers is rounded once
    parts = in_order.tolist()
    total[of_several] = [math.fsum(parts[i:j]) for i, j in zip(start[of_several], end[of_several])]
    return total


def sort_rows(rows: "DistinctRows") -> "DistinctRows":
    """The same rows in canonical order, after their X has changed; equal ones by their weight."""
    columns = _Columns(rows.X, _with_offset(rows.y, rows.offset), rows.index)
    order, same, same_key = _canonical_order(columns, rows.weight_per_row)
    if same.any():
        group = np.concatenate([[0], np.cumsum(~same)])
        order = order[np.lexsort((rows.weight_per_row[order], group))]
    return replace(rows.take(order), inputs=_number_inputs(columns, order, same_key))


def _canonical_order(
    columns: "_Columns", mass: Floats
) -> tuple[Indices, NDArray[np.bool_], NDArray[np.bool_]]:
    """Positions of the rows with mass in canonical order.

    Also which equal the one before, and of which x has the projection of the one before.
    """
    key = columns.projection()
    order = np.argsort(key, kind="stable")
    order = order[mass[order] > 0]
    in_order = key[order]
    tied = in_order[1:] == in_order[:-1]
    same_key = tied.copy()
    del in_order
    if tied.any():
        if (tied & ~columns.equal_y(order)).any():
            order = order[np.lexsort((*columns.y[order].T[::-1], key[order]))]
        tied &= columns.equal_y(order)
    if not tied.any():
        return order, tied, same_key
    same = columns.equal_neighbours(order, tied)
    if (tied & ~same).any():
        order = _sort_mixed_ties(columns, order, tied, same)
        same = columns.equal_neighbours(order, tied)
    return order, same, same_key


def _number_inputs(
    columns: "_Columns", index: Indices, same_key: NDArray[np.bool_]
) -> Indices | None:
    """For distinct rows in canonical order the number of their x; None if all x differ.

    ``same_key`` says of which x has the projection of the one before.
    """
    if not same_key.any():
        return None
    same = columns.equal_neighbours(index, same_key)
    numbers = np.concatenate([[0], np.cumsum(~same)])
    differ = same_key & ~same
    if differ.any():  # different x whose projections are equal after rounding
        run = np.concatenate([[0], np.cumsum(~same_key)])
        places = np.flatnonzero(np.isin(run, run[1:][differ]))
        numbers[places] = len(index) + columns.number_contents(index[places])
    return numbers if len(np.unique(numbers)) < len(index) else None


def _sort_mixed_ties(
    columns: "_Columns", order: Indices, tied: NDArray[np.bool_], same: NDArray[np.bool_]
) -> Indices:
    """Sort the rows of every tie that holds different rows by their bytes."""
    run = np.concatenate([[0], np.cumsum(~tied)])
    mixed = np.isin(run, run[1:][tied & ~same])
    places = np.flatnonzero(mixed)
    by_content = sorted(zip(run[places], map(columns.content, order[places]), order[places]))
    order = order.copy()
    order[places] = [row for _, _, row in by_content]
    return order


class _Columns:
    """``(x, y)`` rows, dense or CSR: what merging asks of them.

    ``index`` of shape (n_rows,) says which rows of a dense X they are; None if all.
    """

    def __init__(self, X: Any, y: NDArray[Any], index: Indices | None = None) -> None:
        self.index = index
        self.sparse = hasattr(X, "indptr")
        self.X: Any = np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X
        self.n_columns = int(np.prod(X.shape[1:]))
        self.y = np.ascontiguousarray(y).reshape(len(y), -1)

    def projection(self) -> Floats:
        """Random projection of the x of every row, with the same bits for equal rows.

        Columns are added one after the other: a matrix product may round a row
        differently at another position, and then copies would not be merged.
        """
        direction = _direction(self.n_columns)
        key = np.zeros(len(self.y))
        with np.errstate(invalid="ignore"):  # rows without mass may hold infinity
            if self.sparse:
                return np.asarray(self.X @ direction, dtype=np.float64)
            _add_projection(key, self._dense, direction)
        missing = np.flatnonzero(np.isnan(key))
        if len(missing):
            key[missing] = _project(
                lambda part: self._dense(missing[part]), len(missing), direction
            )
        return key

    def equal_y(self, order: Indices) -> NDArray[np.bool_]:
        """Whether the y of ``order[i]`` and ``order[i + 1]`` are equal."""
        y = self.y[order]
        return equal_rows(y[:-1], y[1:])

    def equal_neighbours(self, order: Indices, tied: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the x of ``order[i]`` and ``order[i + 1]`` are equal, where tied."""
        same = np.zeros(len(tied), dtype=bool)
        places = np.flatnonzero(tied)
        n_values = self._n_values(order[places]).cumsum() // COMPARED_AT_ONCE
        for place in np.split(places, np.flatnonzero(np.diff(n_values)) + 1):
            left, right = order[place], order[place + 1]
            if self.sparse:
                unequal = self.X[left] != self.X[right]
                same[place] = np.diff(unequal.tocsr().indptr) == 0
            else:
                same[place] = equal_rows(self._dense(left), self._dense(right))
        return same

    def _n_values(self, rows: Indices) -> NDArray[np.integer[Any]]:
        """Number of values to compare for each of the rows."""
        if self.sparse:
            return np.asarray(self.X.indptr[rows + 1] - self.X.indptr[rows] + 1, dtype=np.int64)
        return np.full(len(rows), max(1, self.n_columns))

    def _dense(self, rows: Any) -> NDArray[Any]:
        part = np.asarray(self.X[rows if self.index is None else self.index[rows]])
        return part.reshape(len(part), -1)

    def number_contents(self, rows: Indices) -> Indices:
        """Numbers of the different x of some rows."""
        if self.sparse:
            return np.unique([self.content(row) for row in rows], return_inverse=True)[1]
        values = _without_nan(self._dense(rows) + 0)  # -0.0 + 0 is 0.0
        return np.unique(values, axis=0, return_inverse=True)[1].ravel()

    def content(self, row: int) -> bytes:
        """The x of a row as bytes, which differ between different rows."""
        if not self.sparse:
            # -0.0 + 0 is 0.0, and NaN may have several bit patterns.
            return bytes(_without_nan(self._dense([row]) + 0).tobytes())
        stored = slice(self.X.indptr[row], self.X.indptr[row + 1])
        indices = self.X.indices[stored].astype(np.int64)
        return bytes(indices.tobytes() + self.X.data[stored].tobytes())


def project_rows(X: Any, index: Indices, columns: Indices) -> Floats:
    """Random projection of some rows and columns of dense X, which may hold NaN."""
    direction = _direction(X.shape[1])[columns]
    return _project(lambda part: X[index[part]][:, columns], len(index), direction)


def _direction(n_columns: int) -> Floats:
    """What columns are multiplied by in the projection, always the same."""
    return np.random.default_rng(20240229).standard_normal(n_columns)


def _project(rows: Callable[[slice], NDArray[Any]], n_rows: int, direction: Floats) -> Floats:
    """The projection of rows with NaN, for which a number stands."""
    key = np.zeros(n_rows)
    with np.errstate(invalid="ignore"):
        _add_projection(key, lambda part: _without_nan(rows(part)), direction)
    return key


def _add_projection(key: Floats, rows: Callable[[slice], NDArray[Any]], direction: Floats) -> None:
    n_columns = max(1, len(direction))
    # Enough wide rows to be worth a pass over the columns, fewer if a row is as wide as an image.
    step = max(1, _BLOCK_ELEMENTS // n_columns, min(256, _WIDE_BLOCK_ELEMENTS // n_columns))
    for start in range(0, len(key), step):
        block = np.array(rows(slice(start, start + step)).T, dtype=np.float64, order="C")
        part = key[start : start + step]
        for column, factor in zip(block, direction):
            column *= factor
            part += column


def _without_nan(rows: NDArray[Any]) -> NDArray[Any]:
    """A copy of rows in which a number stands for NaN."""
    return np.where(rows != rows, rows.dtype.type(_MISSING), rows)


def equal_rows(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows are equal as numbers: 0.0 equals -0.0, which sparse X does not store."""
    unequal = left != right
    if unequal.any():  # NaN equals NaN
        unequal &= (left == left) | (right == right)
    return np.asarray(~unequal.any(axis=1), dtype=bool)


@dataclass(frozen=True)
class DistinctRows:
    """Distinct rows: the position in X, the encoded target, mass and weight of each.

    ``mass`` is the summed ``sample_weight`` of the copies of a row. ``weight``, of shape (n,) or
    (n, n_labels), is the mass after powers and class weights; only its ratios mean something.
    ``same_as``, of shape (n_samples,), says for each row of X which row is the one in ``index``
    that it equals, -1 for a row without mass; None if nobody will ask. ``inputs``, of shape (n,),
    numbers the different x of the rows; None if no two rows have the same. ``offset``, of shape
    (n, n_offsets), is what is added to the raw scores of the rows, if the user gave it: rows that
    differ in it are different rows, but have the same x.
    """

    X: Any
    index: NDArray[np.intp]
    y: NDArray[Any]
    mass: Floats
    weight: Floats
    same_as: Indices | None = None
    inputs: Indices | None = None
    offset: Floats | None = None

    @property
    def weight_per_row(self) -> Floats:
        """Weights of shape (n,): the means over labels."""
        return self.weight if self.weight.ndim == 1 else np.asarray(self.weight.mean(axis=1))

    def take(self, positions: NDArray[Any]) -> "DistinctRows":
        """Some of the rows."""
        names = ("index", "y", "mass", "weight")
        taken = {name: getattr(self, name)[positions] for name in names}
        inputs = None if self.inputs is None else self.inputs[positions]
        offset = None if self.offset is None else self.offset[positions]
        return replace(self, **taken, inputs=inputs, offset=offset)

    def numbers(self) -> Indices:
        """For each row of X the number of its distinct row; -1 if it is none of these."""
        if self.same_as is None:
            raise ValueError("The rows were merged without keep_copies=True.")
        of_row = np.full(len(self.same_as) + 1, -1, dtype=np.intp)  # the last one is for -1
        of_row[self.index] = np.arange(len(self.index))
        return np.asarray(of_row[self.same_as])

    def with_sample_weight(self, sample_weight: Floats, power: float) -> "DistinctRows":
        """The same rows if the rows of X had other weights, checked; those without weight stay."""
        number = self.numbers()
        order = np.argsort(number, kind="stable")
        order = order[number[order] >= 0]
        is_first = _first_of_copies(np.diff(number[order]) == 0, len(order))
        mass = _mass_of_copies(order, is_first, sample_weight)
        return replace(self, mass=mass, weight=scale_near_one(flatten_mass(mass, power)))

    def on_scale(self, unit: float, power: float) -> "DistinctRows":
        """Weights in units of ``unit``, which are comparable between calls of ``partial_fit``."""
        return replace(self, weight=divide(self.mass, unit) ** power)


def merge(
    X: Any,
    y: NDArray[Any],
    sample_weight: Any,
    power: float,
    name: str = "sample_weight",
    keep_copies: bool = False,
    offset: Floats | None = None,
) -> DistinctRows:
    """Distinct rows of checked X, encoded y and offset, their masses to the power of ``power``.

    Rows whose weight is 0 beside the largest in float64 are left out, as rows of weight 0 are. With
    ``keep_copies`` they know which rows of X equal which.
    """
    given = check_sample_weight(sample_weight, len(y), name)
    columns = _Columns(X, _with_offset(y, offset))
    order, same, same_key = _canonical_order(columns, given)
    is_first = _first_of_copies(same, len(order))
    index, mass = order[is_first], _mass_of_copies(order, is_first, given)
    inputs = _number_inputs(columns, index, same_key[is_first[1:]])
    same_as = None
    if keep_copies:
        same_as = np.full(len(given), -1, dtype=np.intp)
        same_as[order] = index[np.cumsum(is_first) - 1]
    weight = scale_near_one(flatten_mass(mass, power))
    of_rows = None if offset is None else offset[index]
    rows = DistinctRows(X, index, y[index], mass, weight, same_as, inputs, of_rows)
    # A weight may be 0 beside the largest: float64 cannot hold their ratio.
    return rows if weight.all() else rows.take(np.flatnonzero(weight))


def _with_offset(y: NDArray[Any], offset: Floats | None) -> NDArray[Any]:
    """What tells rows with the same x apart: y, and then the offset."""
    return y if offset is None else np.column_stack([y, offset])
