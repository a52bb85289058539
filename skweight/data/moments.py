"""Weighted mean, standard deviation and quantiles of the columns of X, without a copy of X."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
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

    On the CPU. Moments of blocks are computed in float64 in the order of the rows, and combined
    by the formula of Chan, Golub & LeVeque (1983, The American Statistician 37).
    """
    shape = rows.X.shape[1:]
    total, mean, squares = 0.0, np.zeros(int(np.prod(shape))), np.zeros(int(np.prod(shape)))
    for weight, block_mean, block_squares in _moments_of_blocks(rows):
        total += weight
        step = block_mean - mean
        mean += step * (weight / total)
        squares += block_squares + step**2 * (weight * (1 - weight / total))
    spread = np.sqrt(squares / total)
    return torch.from_numpy(mean).reshape(shape), torch.from_numpy(spread).reshape(shape)


def weighted_quantiles(rows: RowDataset, n_bins: int) -> Tensor:
    """Weighted quantiles of each feature, shape (n_bins + 1, n_features), float64, on the CPU.

    ``inf{v : weight of {x <= v} >= q * weight of all}`` for q = 0, 1 / n_bins, ..., 1. Of many
    rows at most 65,536 are used, evenly spaced in their canonical order, which is that of a random
    projection. X has two dimensions.
    """
    most = max(1, min(ROWS_SORTED, VALUES_SORTED // max(1, rows.X.shape[1])))
    step = -(-len(rows) // most)
    weight = rows.row_weight if rows.row_weight.ndim == 1 else rows.row_weight.mean(dim=1)
    index, mass = rows.index[::step], weight[::step].cpu().double()
    if mass.any():
        index, mass = index[(mass > 0).to(index.device)], mass[mass > 0]
    values = np.empty((rows.X.shape[1], len(mass)), dtype=np.float32)
    for start in range(0, len(mass), at_once := max(1, MOMENTS_AT_ONCE // max(1, len(values)))):
        block = index[start : start + at_once]
        values[:, start : start + at_once] = gather(rows.X, block, block.device).cpu().numpy().T
    quantiles = np.empty((n_bins + 1, len(values)))
    for column, edges in zip(values, quantiles.T):
        order = np.argsort(column, kind="stable")
        reached = mass.numpy()[order].cumsum()
        places = np.searchsorted(reached, np.linspace(0, 1, n_bins + 1) * reached[-1])
        edges[:] = column[order[np.minimum(places, len(column) - 1)]]
    return torch.from_numpy(quantiles)


def _moments_of_blocks(rows: RowDataset) -> Iterator[tuple[float, Floats, Floats]]:
    """Total weight, mean, and weighted squares about the mean of each block with weight."""
    moments = _sparse_moments if hasattr(rows.X, "indptr") else _dense_moments
    n_values = max(1, int(np.prod(rows.X.shape[1:])))
    n_rows = (
        SPARSE_ROWS_AT_ONCE if moments is _sparse_moments else max(1, MOMENTS_AT_ONCE // n_values)
    )
    weights = rows.row_weight if rows.row_weight.ndim == 1 else rows.row_weight.mean(dim=1)
    blocks = (torch.split(part, n_rows) for part in (rows.index, weights.cpu().double()))
    for index, weight in zip(*blocks):
        if weight.any():
            yield moments(rows.X, index, weight.numpy())


def _dense_moments(X: Any, index: Tensor, weight: Floats) -> tuple[float, Floats, Floats]:
    # On the CPU: not every device has float64, nor keeps the order of a sum.
    where = index.device
    values = gather(X, index, where).flatten(1).cpu().numpy().astype(np.float64)
    total = float(weight.sum())
    mean = weight @ values / total
    values -= mean
    values *= values
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
