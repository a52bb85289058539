"""X becomes float32, with columns shifted in float64 first where float32 would merge their values.

Seconds since 1970 differ by 128 or not at all in float32. Less a constant that is near all of them,
they keep their differences.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skweight._keywords import Floats, Mask
from skweight.data.arrays import MappedRows, slices_of_rows

# A column is shifted if float32 has fewer numbers than this between its ends.
_FEWEST_NUMBERS = 2**13
# A column whose range is a smaller share of its values varies by rounding errors of float64 only.
# Integers have none, unless they are larger than float64 can hold.
# Between a few of them and this share nobody can tell.
_FEW_ROUNDING, _ROUNDING = 8 * np.finfo(np.float64).eps, 20 * np.finfo(np.float64).eps
_LARGEST_INTEGER = 2.0**53
_SMALLEST = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Float32Columns:
    """What float32 makes of the columns of X, by the ends of their range over rows with weight.

    ``shift`` is that of :func:`find_shift`. ``too_small`` are the positions of columns whose values
    differ but are all below the smallest normal number of float32, ``too_large`` those of
    different integers that are equal, or nearly so, in float64, and ``too_close`` those that
    differ by little more than rounding errors of float64.
    """

    shift: Floats | None = None
    too_small: tuple[int, ...] = ()
    too_large: tuple[int, ...] = ()
    too_close: tuple[int, ...] = ()


def find_shift(X: Any, has_weight: Mask | None) -> Floats | None:
    """What to subtract from each column, shape (n_features,): the middle of its range, or 0.

    None if no column needs it. Only rows with weight count, by the ends of their range, which
    depend neither on their order nor on weights. ``X`` is a numeric array with two dimensions,
    ``MappedRows`` or CSR; None for ``has_weight`` is all rows.
    """
    return find_float32(X, has_weight).shift


def find_float32(X: Any, has_weight: Mask | None) -> Float32Columns:
    """What float32 makes of columns; arguments are those of :func:`find_shift`."""
    X = X.array if isinstance(X, MappedRows) else X
    if X.ndim != 2 or not X.shape[0]:
        return Float32Columns()
    columns, dense = np.arange(X.shape[1]), X
    if sparse.issparse(X):
        # Zeros that are not stored are far from all other values of a column that needs a shift.
        columns = _full_columns(X, has_weight)
        dense = X[:, columns].toarray()
    holds_integers = X.dtype.kind in "iu"
    with np.errstate(all="ignore"):  # of columns with infinity, which are refused later
        low, high = _ranges(dense, has_weight)
        size = np.maximum(np.abs(low), np.abs(high))
        is_coarse = np.spacing(size.astype(np.float32)) * _FEWEST_NUMBERS > high - low
        is_rounding = high - low <= _ROUNDING * size
        too_small = (size < _SMALLEST) & (high > low)
        too_close = is_rounding & (high - low > _FEW_ROUNDING * size) & (X.dtype.kind == "f")
    is_exact = holds_integers & (size <= _LARGEST_INTEGER)
    is_coarse &= ~is_rounding | is_exact & (high > low)
    too_large = [
        place
        for place in np.flatnonzero(is_rounding & ~is_exact if holds_integers else [])
        if _differ(dense[:, place], has_weight)
    ]
    shift = None
    if X.dtype != np.float32:
        places = np.flatnonzero(is_coarse & ~too_small)
        coarse = [place for place in places if _changes(dense[:, place], has_weight)]
        if coarse:
            shift = np.zeros(X.shape[1])
            shift[columns[coarse]] = (low + (high - low) / 2)[coarse]
    named = (columns[found].tolist() for found in (too_small, too_large, too_close))
    return Float32Columns(shift, *map(tuple, named))


def to_float32(X: Any, shift: Floats | None) -> Any:
    """X less the shift of its columns, as a C-ordered float32 array, CSR or ``MappedRows``.

    An array that is that already is returned as it is.
    """
    if isinstance(X, MappedRows):
        return MappedRows(X.array, shift)
    if sparse.issparse(X):
        return (X if shift is None else _shifted_csr(X, shift)).astype(np.float32, copy=False)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if shift is None:
            return np.asarray(X, dtype=np.float32, order="C")
        return np.subtract(X, shift, dtype=np.float64).astype(np.float32, order="C")


def _full_columns(X: Any, has_weight: Mask | None) -> NDArray[np.intp]:
    """Columns of which every row with weight is stored."""
    indices, n_rows = X.indices, X.shape[0]
    if has_weight is not None:
        indices = indices[np.repeat(has_weight, np.diff(X.indptr))]
        n_rows = np.count_nonzero(has_weight)
    return np.flatnonzero(np.bincount(indices, minlength=X.shape[1]) == n_rows)


def _ranges(X: Any, has_weight: Mask | None) -> tuple[Floats, Floats]:
    """Smallest and largest value of each column."""
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for rows in slices_of_rows(X):
        block = np.asarray(X[rows])
        if has_weight is not None:
            block = block[has_weight[rows]]
        if len(block):
            low = np.fmin(low, np.fmin.reduce(block, axis=0))  # NaN is missing
            high = np.fmax(high, np.fmax.reduce(block, axis=0))
    return low, high


def _changes(column: NDArray[Any], has_weight: Mask | None) -> bool:
    """Whether float32 changes any value of a column."""
    column = np.asarray(column if has_weight is None else column[has_weight])
    as_float32 = column.astype(np.float32)
    return bool(((as_float32 != column) & (column == column)).any())


def _differ(column: NDArray[Any], has_weight: Mask | None) -> bool:
    """Whether a column of integers holds different ones."""
    column = column if has_weight is None else column[has_weight]
    return bool((column != column[:1]).any())


def _shifted_csr(X: Any, shift: Floats) -> Any:
    """CSR whose columns with a shift are stored whole, less the shift."""
    columns = np.flatnonzero(shift)
    others = X.astype(np.float64)
    others.data[np.isin(others.indices, columns)] = 0
    n_rows = X.shape[0]
    values = X[:, columns].toarray().astype(np.float64) - shift[columns]
    starts = np.arange(n_rows + 1) * len(columns)
    shifted = type(X)((values.ravel(), np.tile(columns, n_rows), starts), shape=X.shape)
    return others + shifted
