"""Weighted rows on their way from the user's table to training.

What a weight means is decided in ``weights``, which rows are equal in ``merging``.
Only numpy here.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight.merging import distinct_rows
from skweight.weights import around_one, check_sample_weight, flatten_mass

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weighted:
    """Distinct rows: the position in X, the encoded target, mass and weight of each.

    ``mass`` is the summed ``sample_weight``; ``weight``, of shape (n,) or (n, n_labels), is
    what powers and class weights make of it, on no scale of its own.
    """

    X: Any
    index: NDArray[np.intp]
    y: NDArray[Any]
    mass: Floats
    weight: Floats

    def take(self, positions: NDArray[Any]) -> "Weighted":
        """Some of the rows."""
        fields = (self.index, self.y, self.mass, self.weight)
        return Weighted(self.X, *(field[positions] for field in fields))

    def on_scale(self, unit: float, power: float) -> "Weighted":
        """Weights that mean the same beside other rows: in units of ``unit`` and not their own."""
        return replace(self, weight=(self.mass / unit) ** power)


def merge(X: Any, y: NDArray[Any], sample_weight: Any, power: float) -> Weighted:
    """Distinct rows of checked X and encoded y, their masses to the power of ``power``."""
    index, mass = distinct_rows(X, y, check_sample_weight(sample_weight, len(y)))
    return Weighted(X, index, y[index], mass, around_one(flatten_mass(mass, power)))


def ignore_weightless(y: Any, sample_weight: Any) -> Any:
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
