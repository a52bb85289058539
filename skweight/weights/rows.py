"""Distinct rows with their weights, on their way from the user's table to training."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats
from skweight.weights.merging import distinct_rows
from skweight.weights.sample_weight import check_sample_weight, flatten_mass, scale_near_one


@dataclass(frozen=True)
class DistinctRows:
    """Distinct rows: the position in X, the encoded target, mass and weight of each.

    ``mass`` is the summed ``sample_weight``; ``weight``, of shape (n,) or (n, n_labels), is
    what powers and class weights make of it, on no scale of its own.
    """

    X: Any
    index: NDArray[np.intp]
    y: NDArray[Any]
    mass: Floats
    weight: Floats

    def take(self, positions: NDArray[Any]) -> "DistinctRows":
        """Some of the rows."""
        fields = (self.index, self.y, self.mass, self.weight)
        return DistinctRows(self.X, *(field[positions] for field in fields))

    def on_scale(self, unit: float, power: float) -> "DistinctRows":
        """Weights that mean the same beside other rows: in units of ``unit`` and not their own."""
        return replace(self, weight=(self.mass / unit) ** power)


def merge(
    X: Any, y: NDArray[Any], sample_weight: Any, power: float, name: str = "sample_weight"
) -> DistinctRows:
    """Distinct rows of checked X and encoded y, their masses to the power of ``power``."""
    index, mass = distinct_rows(X, y, check_sample_weight(sample_weight, len(y), name))
    return DistinctRows(X, index, y[index], mass, scale_near_one(flatten_mass(mass, power)))


def fill_targets_without_weight(y: Any, sample_weight: Any) -> Any:
    """Give targets that are NaN or infinite a finite value where their weight is 0.

    Such a row is as good as missing, and a rate of 0 claims in 0 years is NaN. Other bad
    targets, and whatever is wrong with the weights, are left for the checks that follow.
    """
    if sample_weight is None:
        return y
    array = np.asarray(y)
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or not array.size:
        return y
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        return y
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if weight.shape != bad.shape or not (bad & (weight == 0)).any() or (weight == 0).all():
        return y
    array = array.copy()
    array[bad & (weight == 0)] = array[(weight != 0).argmax()]
    return array
