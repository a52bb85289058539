"""Replicate weights as users have them: an array, a table, or columns of X."""

from typing import Any

import narwhals as nw
import numpy as np
from narwhals.dependencies import is_into_dataframe

from skweight._keywords import Floats, did_you_mean
from skweight.weights import ReplicateWeights, as_float64, check_sample_weight

# The sums of replicate weights differ from that of the sample weights by less than this factor.
_MOST_DIFFERENCE = 2.0


def columns_named(replicate_weights: Any) -> list[str]:
    """The names of columns of X that hold replicate weights; empty if weights were given."""
    is_list = isinstance(replicate_weights, list | tuple) or (
        isinstance(replicate_weights, np.ndarray) and replicate_weights.dtype.kind in "OU"
    )
    if not is_list or not len(replicate_weights):
        return []
    return [*replicate_weights] if all(isinstance(n, str) for n in replicate_weights) else []


def take_columns(X: Any, names: list[str]) -> Any:
    """The columns of X with these names, as a table."""
    if not is_into_dataframe(X):
        raise TypeError(
            "replicate_weights may name columns of a DataFrame X only, got an X of type "
            f"{type(X).__name__}. Give an array of shape (n_samples, n_replicates) instead."
        )
    frame = nw.from_native(X, eager_only=True)
    for name in names:
        if name not in frame.columns:
            hint = did_you_mean(name, frame.columns)
            raise ValueError(
                f"replicate_weights must name columns of X, got {name!r}, which is none.{hint}"
            )
    return frame.select(names).to_native()


def without_columns(X: Any, names: list[str]) -> Any:
    """X without the columns of these names, of which it need not have all."""
    if not names or not is_into_dataframe(X):
        return X
    frame = nw.from_native(X, eager_only=True)
    return frame.drop(*[name for name in names if name in frame.columns]).to_native()


def check_replicate_weights(given: Any, sample_weight: Any, n_samples: int) -> tuple[Any, Floats]:
    """Sample weights of shape (n,), and replicate weights of shape (n_samples, n_replicates)."""
    name = "replicate_weights"
    if isinstance(given, ReplicateWeights):
        given = given.weights
    elif is_into_dataframe(given):
        given = nw.from_native(given, eager_only=True).to_numpy()
    weights = as_float64(given, name)
    if weights.ndim != 2 or weights.shape[1] < 2:
        raise ValueError(
            f"{name} must have shape (n_samples, n_replicates) with two or more replicates, got "
            f"shape {weights.shape}."
        )
    full = check_sample_weight(sample_weight, n_samples)
    for number, column in enumerate(weights.T):
        check_sample_weight(column, n_samples, f"{name}[:, {number}]")
    outside = np.argwhere((weights > 0) & (full == 0)[:, None])
    if len(outside):
        row, number = outside[0].tolist()
        raise ValueError(
            f"{name} must be 0 where sample_weight is 0, got {weights[row, number]} in row {row} "
            f"of replicate {number}."
        )
    _check_totals(weights.sum(axis=0), float(full.sum()), name)
    return full, weights


def _check_totals(totals: Floats, expected: float, name: str) -> None:
    """Refuse factors of sample weights, which files of replicates may hold in place of weights."""
    found = float(np.median(totals))
    if not 1 / _MOST_DIFFERENCE < found / expected < _MOST_DIFFERENCE:
        raise ValueError(
            f"{name} must be on the scale of sample_weight, whose sum is {expected:.6g}, got a "
            f"median sum of {found:.6g}. Factors, as some files have, must be multiplied by the "
            "sample weights."
        )
