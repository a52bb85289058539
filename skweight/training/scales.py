"""Warnings of columns of X that a network gets at a scale at which it learns nothing from them."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skweight._keywords import Mask, warn
from skweight.data import RowDataset, sampled_rows
from skweight.modules import SMALLEST_MIDDLE

# Values of this size that reach a linear layer as they are leave nothing to be learned: one step of
# the optimizer changes scores by far more than 1, or by nothing.
_LARGE, _SMALL = 1e6, 1e-6
# Changes of a score that no training brings down, and that no training can see.
_LARGE_EFFECT, _SMALL_EFFECT = 1e3, 1e-5
_ROWS_TRIED, _ROWS_SORTED = 64, 2048


def warn_of_scales(module: nn.Module, rows: RowDataset, names: Sequence[Any]) -> None:
    """Warn of columns that a module gets unscaled, if its scores are very large or blind for them.

    It is tried on the rows, since a module may scale X itself.
    """
    table, _ = sampled_rows(rows)
    size = np.abs(table).max(axis=1, initial=0.0)
    large, small = size > _LARGE, (size < _SMALL) & (size > 0)
    if table.shape[1] < 2 or not (large | small).any():  # batch normalisation needs two rows
        return
    effects = _Effects(module, rows, _some_rows(table, large))
    is_unseen = np.zeros(len(size), dtype=bool)
    is_too_large = np.zeros(len(size), dtype=bool)
    for column in np.flatnonzero(large | small).tolist():
        effect = effects.of_zero(column)
        is_too_large[column] = large[column] and not effect <= _LARGE_EFFECT
        is_unseen[column] = effect < _SMALL_EFFECT <= effects.of_ordinary(column)
    for found, what in ((is_too_large | is_unseen) & large, "large"), (is_unseen & small, "small"):
        if found.any():
            furthest = size[found].max() if what == "large" else size[found].min()
            # Of all members of a fit, and so shown once.
            furthest = 10.0 ** np.floor(np.log10(furthest))
            warn(
                f"Columns {[name for name, is_found in zip(names, found) if is_found]} of X hold "
                f"numbers as {what} as {furthest:.0e}, and module {type(module).__name__} gets "
                "them as they are, from which it can hardly learn. Scale X before, as with "
                "StandardScaler in a Pipeline, or give the module a method "
                "adapt_input(mean, spread)."
            )


def warn_of_outliers(rows: RowDataset, spread: Tensor, names: Sequence[Any]) -> None:
    """Warn of columns that are standardised by a spread that only a few outliers make so large."""
    table, _ = sampled_rows(rows)
    ordered = np.sort(table[:, :: -(-table.shape[1] // _ROWS_SORTED)], axis=1)  # NaN is last
    last = np.maximum(np.count_nonzero(~np.isnan(ordered), axis=1) - 1, 0)
    low, high = (ordered[np.arange(len(last)), last * part // 4] for part in (1, 3))
    rounding = 3 * np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))
    is_hidden: Mask = (high - low > rounding) & (high - low < SMALLEST_MIDDLE * spread.numpy())
    if is_hidden.any():
        warn(
            f"Columns {[name for name, hidden in zip(names, is_hidden) if hidden]} of X hold "
            "numbers so far out that the network hardly sees how all others differ. Clip these "
            "columns before, or take logarithms; a network with hidden layers and bins does not "
            "need it."
        )


def _some_rows(table: NDArray[np.float32], large: Mask) -> NDArray[np.float32]:
    """Evenly spaced rows, and those with the largest values, of shape (n, n_features)."""
    even = np.linspace(0, table.shape[1] - 1, min(_ROWS_TRIED, table.shape[1])).astype(np.intp)
    furthest = np.abs(table[large]).argmax(axis=1)
    return np.ascontiguousarray(table[:, np.r_[even, furthest]].T)


class _Effects:
    """How much the scores of some rows change if a column is another."""

    def __init__(self, module: nn.Module, rows: RowDataset, X: NDArray[np.float32]) -> None:
        # In training, where batch normalisation uses the batch.
        self.module = copy.deepcopy(module).train()
        self.X = torch.from_numpy(X).to(rows.device)
        self.scores = self._scores_of(self.X)

    def of_zero(self, column: int) -> float:
        """The largest change if the column is 0; NaN or infinite if scores are."""
        return self._of(column, torch.zeros(len(self.X)))

    def of_ordinary(self, column: int) -> float:
        """The largest change if the column has values between -1 and 1."""
        return self._of(column, torch.linspace(-1, 1, len(self.X)))

    def _of(self, column: int, values: Tensor) -> float:
        X = self.X.clone()
        X[:, column] = values.to(X)
        return float((self._scores_of(X) - self.scores).abs().max())

    @torch.no_grad()
    def _scores_of(self, X: Tensor) -> Any:
        devices = [X.device] if X.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)  # the same units are dropped
            return self.module(X)
