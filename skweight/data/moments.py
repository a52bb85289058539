"""Weighted mean, standard deviation and quantiles of the columns of X, without a copy of X."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from skweight._keywords import Floats
from skweight.data.rows import RowDataset, gather

# Values of dense X in a block, whose squares in float64 stay in the cache; rows of sparse X.
MOMENTS_AT_ONCE = 2**17
SPARSE_ROWS_AT_ONCE = 2**13
# Largest numbers of rows and of values to sort: more rows hardly change the quantiles.
ROWS_SORTED, VALUES_SORTED = 2**16, 2**21


def weighted_moments(rows: RowDataset) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of each input, float64, in the shape of a row.

    On the CPU. Missing values (NaN) do not count; an input that is always missing has mean and
    standard deviation 0. Moments of blocks are computed in float64 in the order of the rows, and
    combined by the formula of Chan, Golub & LeVeque (1983, The American Statistician 37).
    """
    shape = rows.X.shape[1:]
    total, mean, squares = np.zeros((3, int(np.prod(shape))))
    for weight, block_mean, block_squares in _moments_of_blocks(rows):
        total += weight
        share = np.divide(weight, total, out=np.zeros_like(total), where=total > 0)
        step = block_mean - mean
        mean += step * share
        squares += block_squares + step**2 * (weight * (1 - share))
    spread = np.sqrt(np.divide(squares, total, out=np.zeros_like(total), where=total > 0))
    return torch.from_numpy(mean).reshape(shape), torch.from_numpy(spread).reshape(shape)


def weighted_quantiles(
    rows: RowDataset, n_bins: int, columns: Tensor | None = None, values: Tensor | None = None
) -> Tensor:
    """Weighted quantiles of each feature, shape (n_bins + 1, n_features), float64, on the CPU.

    ``inf{v : weight of {x <= v} >= q * weight of all}`` for q = 0, 1 / n_bins, ..., 1. Missing
    values (NaN) do not count, nor do the ``values`` of ``columns``; where nothing is left the
    quantiles are 0. Of many rows at most 65,536 are used, evenly spaced in their canonical order,
    which is that of a random projection. X has two dimensions.
    """
    table, mass = sampled_rows(rows)
    left_out: dict[int, list[float]] = {}
    if columns is not None and values is not None:
        for column, value in zip(columns.tolist(), values.tolist()):
            left_out.setdefault(column, []).append(value)
    quantiles = np.zeros((n_bins + 1, len(table)))
    for position, (column, edges) in enumerate(zip(table, quantiles.T)):
        counts = ~np.isnan(column) & ~np.isin(column, left_out.get(position, []))
        of_column, of_mass = (column, mass) if counts.all() else (column[counts], mass[counts])
        if len(of_column) == 0:
            continue
        order = np.argsort(of_column, kind="stable")
        reached = of_mass[order].cumsum()
        places = np.searchsorted(reached, np.linspace(0, 1, n_bins + 1) * reached[-1])
        edges[:] = of_column[order[np.minimum(places, len(of_column) - 1)]]
    return torch.from_numpy(quantiles)


def sampled_rows(rows: RowDataset) -> tuple[NDArray[np.float32], Floats]:
    """At most 65,536 rows with weight, evenly spaced in their order, and their weights.

    The rows are the columns of a table of shape (n_features, n_rows).
    """
    most = max(1, min(ROWS_SORTED, VALUES_SORTED // max(1, rows.X.shape[1])))
    step = -(-len(rows) // most)
    index, mass = rows.index[::step], weight_of_rows(rows)[::step]
    if mass.any():
        index, mass = index[(mass > 0).to(index.device)], mass[mass > 0]
    values = np.empty((rows.X.shape[1], len(mass)), dtype=np.float32)
    for start in range(0, len(mass), at_once := max(1, MOMENTS_AT_ONCE // max(1, len(values)))):
        block = index[start : start + at_once]
        values[:, start : start + at_once] = gather(rows.X, block, block.device).cpu().numpy().T
    return values, mass.numpy()


def weight_of_rows(rows: RowDataset) -> Tensor:
    """Weights of shape (n_rows,), float64, on the CPU; those of several labels are averaged."""
    weight = rows.row_weight if rows.row_weight.ndim == 1 else rows.row_weight.mean(dim=1)
    return weight.cpu().double()


def blocks_of_rows(rows: RowDataset, n_rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions in X and weights of ``n_rows`` rows at a time; blocks without weight are left out.

    X is read block by block because a copy of it may not fit into memory.
    """
    blocks = (torch.split(part, n_rows) for part in (rows.index, weight_of_rows(rows)))
    for index, weight in zip(*blocks):
        if weight.any():
            yield index, weight


def dense_rows_at_once(rows: RowDataset) -> int:
    """Number of rows of dense X in a block."""
    return max(1, MOMENTS_AT_ONCE // max(1, int(np.prod(rows.X.shape[1:]))))


def _moments_of_blocks(rows: RowDataset) -> Iterator[tuple[Any, Floats, Floats]]:
    """Total weight, mean, and weighted squares about the mean of each block with weight."""
    if sparse.issparse(rows.X):
        for index, weight in blocks_of_rows(rows, SPARSE_ROWS_AT_ONCE):
            yield _sparse_moments(rows.X, index, weight.numpy())
        return
    for index, weight in blocks_of_rows(rows, dense_rows_at_once(rows)):
        yield _dense_moments(rows.X, index, weight.numpy())


def _dense_moments(X: Any, index: Tensor, weight: Floats) -> tuple[Any, Floats, Floats]:
    # On the CPU: not every device has float64, nor keeps the order of a sum.
    where = index.device
    values = gather(X, index, where).flatten(1).cpu().numpy().astype(np.float64)
    total: Any = float(weight.sum())
    mean = weight @ values / total
    if not np.isnan(mean).any():
        values -= mean
        values *= values
        return total, mean, weight @ values
    missing = np.isnan(values)
    values[missing] = 0.0
    total = weight @ ~missing
    mean = np.divide(weight @ values, total, out=np.zeros_like(total), where=total > 0)
    values -= mean
    values *= values
    values[missing] = 0.0
    return total, mean, weight @ values


def _sparse_moments(X: Any, index: Tensor, weight: Floats) -> tuple[float, Floats, Floats]:
    stored = X[index.numpy()]
    value, column = stored.data.astype(np.float64), stored.indices
    value_weight = np.repeat(weight, np.diff(stored.indptr))

    def sums(values: Floats) -> Floats:
        counts = np.bincount(column, weights=values, minlength=X.shape[1])
        return counts.astype(np.float64)

    total = float(weight.sum())
    mean = sums(value_weight * value) / total
    squares = sums(value_weight * (value - mean[column]) ** 2)
    absent = np.maximum(total - sums(value_weight), 0)
    return total, mean, squares + absent * mean**2
