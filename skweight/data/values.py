"""Values of single columns that the network tells apart: categories, "missing", mass points."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from skweight._keywords import Floats, Mask
from skweight.data.moments import (
    blocks_of_rows,
    dense_rows_at_once,
    sampled_rows,
    weight_of_rows,
)
from skweight.data.rows import RowDataset, gather

# A mass point is a value with at least this weighted share of the rows, in at least this number of
# distinct rows, in a column that has at least this number of other values.
_SMALLEST_SHARE, _FEWEST_ROWS, _FEWEST_OTHERS = 0.2, 10, 3
# Mass points of a table with more numbers would double a first layer that is wide already.
_MOST_COLUMNS = 512


def find_values(
    rows: RowDataset, cardinalities: tuple[int, ...] = (), mass_points: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Values of columns with their weighted shares of the rows.

    These are all codes of category columns, "missing" (NaN) in number columns, and mass points of
    number columns, such as the zero of a column that is mostly zero: each with the share of the
    rows that have it, if that is not 0. Shares of mass points are those of at most 65,536 rows,
    evenly spaced in their canonical order.

    Parameters
    ----------
    rows : RowDataset
    cardinalities : tuple of int, default=()
        Number of codes of each category column of X, and 0 for a number column; empty if no column
        is a category. X is dense then.
    mass_points : bool, default=True
        Whether to look for mass points.

    Returns
    -------
    columns : Tensor of shape (n_values,), int64
        Positions of columns, ascending.
    values : Tensor of shape (n_values,), float32
        Ascending within a column, with NaN last.
    shares : Tensor of shape (n_values,), float64
        All on the CPU. They are empty if X has more than two dimensions.
    """
    if len(rows.X.shape) != 2:
        return _as_tensors([])
    is_number = np.ones(rows.X.shape[1], dtype=bool)
    if cardinalities:
        is_number = np.array(cardinalities) == 0
    found = [] if sparse.issparse(rows.X) else _codes_and_missing(rows, cardinalities, is_number)
    if mass_points and is_number.sum() <= _MOST_COLUMNS:
        found += _mass_points(rows, is_number)
    return _as_tensors(sorted(found, key=lambda of: (of[0], np.isnan(of[1]), of[1])))


Value = tuple[int, float, float]  # column, value, share


def _as_tensors(found: list[Value]) -> tuple[Tensor, Tensor, Tensor]:
    columns, values, shares = zip(*found) if found else ((), (), ())
    return (
        torch.tensor(columns, dtype=torch.int64, device="cpu"),
        torch.tensor(values, dtype=torch.float32, device="cpu"),
        torch.tensor(shares, dtype=torch.float64, device="cpu"),
    )


def _codes_and_missing(
    rows: RowDataset, cardinalities: tuple[int, ...], is_number: Mask
) -> list[Value]:
    """Codes of category columns, and "missing" in number columns, from all rows."""
    total = float(weight_of_rows(rows).sum())
    of_codes = {column: np.zeros(n) for column, n in enumerate(cardinalities) if n > 0}
    of_missing = np.zeros(len(is_number))
    for index, weight in blocks_of_rows(rows, dense_rows_at_once(rows)):
        X = gather(rows.X, index, index.device)
        if X.isnan().any():
            of_missing += weight.numpy() @ X.isnan().cpu().numpy()
        for column, mass in of_codes.items():
            codes = X[:, column].long().cpu().numpy()
            mass += np.bincount(codes, weights=weight.numpy(), minlength=len(mass))
    found = [
        (int(column), float("nan"), of_missing[column] / total)
        for column in np.flatnonzero(is_number & (of_missing > 0))
    ]
    for column, mass in of_codes.items():
        found += [(column, float(code), mass[code] / total) for code in np.flatnonzero(mass > 0)]
    return found


def _mass_points(rows: RowDataset, is_number: Mask) -> list[Value]:
    """Mass points of number columns."""
    table, mass = sampled_rows(rows)
    found: list[Value] = []
    if not mass.any():
        return found
    for column in np.flatnonzero(is_number):
        for value, share in _mass_points_of(table[column], mass):
            found.append((int(column), value, share))
    return found


def _mass_points_of(column: NDArray[np.float32], mass: Floats) -> list[tuple[float, float]]:
    """Mass points of a column and their shares."""
    ordered = np.sort(column)  # much faster than np.unique, and most columns have no such value
    if not np.any(ordered[_FEWEST_ROWS - 1 :] == ordered[: 1 - _FEWEST_ROWS]):
        return []
    values, at, counts = np.unique(column, return_inverse=True, return_counts=True)
    share = np.bincount(at, weights=mass) / mass.sum()
    is_point = (share >= _SMALLEST_SHARE) & (counts >= _FEWEST_ROWS) & ~np.isnan(values)
    n_others = len(values) - is_point.sum() - np.isnan(values).sum()
    if n_others < _FEWEST_OTHERS:
        return []
    # 0.0 and -0.0 are the same value.
    return [(float(value) + 0.0, float(p)) for value, p in zip(values[is_point], share[is_point])]
