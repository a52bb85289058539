"""The distinct rows of a table with their targets and weights."""

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

    ``mass`` is the summed ``sample_weight`` of the copies of a row. ``weight``, of shape (n,) or
    (n, n_labels), is the mass after powers and class weights; only its ratios mean something.
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
        """Weights in units of ``unit``, which are comparable between calls of ``partial_fit``."""
        return replace(self, weight=(self.mass / unit) ** power)


def merge(
    X: Any, y: NDArray[Any], sample_weight: Any, power: float, name: str = "sample_weight"
) -> DistinctRows:
    """Distinct rows of checked X and encoded y, their masses to the power of ``power``."""
    index, mass = distinct_rows(X, y, check_sample_weight(sample_weight, len(y), name))
    return DistinctRows(X, index, y[index], mass, scale_near_one(flatten_mass(mass, power)))


def fill_targets_without_weight(y: Any, sample_weight: Any) -> Any:
    """Replace targets that are NaN or infinite by a finite value where their weight is 0.

    Such a row counts as missing; a rate of 0 claims in 0 years is NaN. Other bad targets and
    bad weights are left for later checks.
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
