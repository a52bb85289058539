"""Replicate weights as users have them: an array, a table, or columns of X."""

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import numpy as np
from narwhals.dependencies import is_into_dataframe

from skweight._keywords import Floats, did_you_mean
from skweight.data import refuse_equal_names
from skweight.weights import ReplicateWeights, as_float64, check_sample_weight

# The sums of replicate weights differ from that of the sample weights by less than this factor.
_MOST_DIFFERENCE = 2.0
# What adjustments of replicates to known totals change in the mean weight of a row, at most.
_MOST_ADJUSTMENT = 0.15


def columns_named(replicate_weights: Any) -> list[str]:
    """The names of columns of X that hold replicate weights; empty if weights were given."""
    given = replicate_weights
    if given is None or isinstance(given, str):
        raise TypeError(
            "replicate_weights must be an array, a DataFrame, ReplicateWeights or a list of names "
            f"of columns, got {given!r}."
        )
    refuse_equal_names(given, "replicate_weights")
    if isinstance(given, ReplicateWeights) or is_into_dataframe(given):
        return []
    is_sequence = hasattr(given, "__getitem__") and not isinstance(given, Mapping)
    if not is_sequence or not getattr(given, "ndim", 1) or not isinstance(_first(given), str):
        return []
    names = [*given]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"replicate_weights must name each column once, got {twice[0]!r} twice.")
    return names


def _first(values: Any) -> Any:
    return next(iter(values), None)


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
            hint = did_you_mean(str(name), map(str, frame.columns))
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


def refuse_features(X: Any, given: Any) -> None:
    """Refuse replicate weights that were taken from X, where they have been left as features."""
    if not (is_into_dataframe(X) and is_into_dataframe(given)):
        return
    frame, weights = (nw.from_native(table, eager_only=True) for table in (X, given))
    for name in weights.columns:
        if name in frame.columns and _are_equal(frame.get_column(name), weights.get_column(name)):
            raise ValueError(
                f"replicate_weights are columns of X too, such as {name!r}: they would be "
                "features. Give their names, replicate_weights=[...], or an X without them."
            )


def _are_equal(left: Any, right: Any) -> bool:
    return np.array_equal(left.to_numpy(), right.to_numpy())


def are_in(X: Any, names: list[str], weights: Floats) -> bool:
    """Whether the columns of X with these names, of which it need not have all, are the weights."""
    if not is_into_dataframe(X):
        return True
    frame = nw.from_native(X, eager_only=True)
    return all(
        np.array_equal(frame.get_column(name).to_numpy(), weight)
        for name, weight in zip(names, weights.T)
        if name in frame.columns
    )


def check_replicate_weights(
    given: Any, sample_weight: Any, n_samples: int, method: str | None
) -> tuple[Any, Floats]:
    """Sample weights of shape (n,), and replicate weights of shape (n_samples, n_replicates).

    ``method`` is how they were made; None if that is unknown.
    """
    name = "replicate_weights"
    method = given.method if isinstance(given, ReplicateWeights) else method
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
        _refuse_negative(column, f"{name}[:, {number}]")
        check_sample_weight(column, n_samples, f"{name}[:, {number}]")
    outside = np.argwhere((weights > 0) & (full == 0)[:, None])
    if len(outside):
        row, number = outside[0].tolist()
        raise ValueError(
            f"{name} must be 0 where sample_weight is 0, got {weights[row, number]} in row {row} "
            f"of replicate {number}."
        )
    _check_totals(weights.sum(axis=0), float(full.sum()), name)
    _check_means(weights, full, method, is_given=sample_weight is not None)
    return full, weights


def _refuse_negative(weight: Floats, name: str) -> None:
    row = int(weight.argmin()) if len(weight) else 0
    if len(weight) and weight[row] < 0:
        raise ValueError(
            f"{name} must be non-negative, got {weight[row]} in row {row}. The few negative ones "
            "that some files have, as of the American Community Survey, may be set to 0."
        )


def _check_totals(totals: Floats, expected: float, name: str) -> None:
    """Refuse factors of sample weights, which files of replicates may hold in place of weights."""
    found = float(np.median(totals))
    if not 1 / _MOST_DIFFERENCE < found / expected < _MOST_DIFFERENCE:
        raise ValueError(
            f"{name} must be on the scale of sample_weight, whose sum is {expected:.6g}, got a "
            f"median sum of {found:.6g}. Factors, as some files have, must be multiplied by the "
            "sample weights."
        )


def _check_means(weights: Floats, full: Floats, method: str | None, is_given: bool) -> None:
    """Refuse weights that were not made from the sample weights.

    The mean over the replicates is about the sample weight of a row, but for chance where clusters
    are drawn, and for adjustments of each replicate to known totals.
    """
    has_weight, n = full > 0, weights.shape[1]
    # Twice the median of what the draws of a bootstrap make of it, and more for a few of them.
    chance = 1.35 / np.sqrt(n) + 2 / n if method in (None, "bootstrap") else 1 / n
    change = np.abs(weights[has_weight].mean(axis=1) / full[has_weight] - 1)
    if np.median(change) <= _MOST_ADJUSTMENT + chance:
        return
    hint = (
        "Factors must be multiplied by the sample weights, and all must have their rows in the "
        "same order."
        if is_given
        else "sample_weight was not given, so that it is 1 for every row."
    )
    raise ValueError(
        "replicate_weights must belong to sample_weight, from which their mean over the replicates "
        f"differs by {np.median(change):.0%} in the median row. {hint}"
    )
