"""What the squared deviation of each replicate is multiplied by."""

from typing import Any

import numpy as np

from skweight._keywords import Floats
from skweight.weights import ReplicateWeights, variance_factors


def factors_of(
    given: Any, n_replicates: int, method: str | None, fay: float, scale: Any, mse: bool
) -> Floats:
    """The factors of replicate weights, of which only :class:`ReplicateWeights` know their own."""
    if isinstance(given, ReplicateWeights):
        return _factors_of_known(given, method, fay, scale, mse)
    if method is None:
        raise ValueError(
            "method must say how the replicate weights were made, because it decides about the "
            'scale of standard errors: "bootstrap", "brr", "jk1", "jkn" or "sdr", got None.'
        )
    return variance_factors(method, n_replicates, fay, scale, mse)


def _factors_of_known(
    given: ReplicateWeights, method: str | None, fay: float, scale: Any, mse: bool
) -> Floats:
    """Those of weights that know how they were made, which parameters may not contradict."""
    n_replicates = given.shape[1]
    if method not in (None, given.method):
        raise ValueError(
            f"method must be None or that of replicate_weights, {given.method!r}, got {method!r}."
        )
    if scale is not None:
        return variance_factors(given.method, n_replicates, fay, scale, mse)
    if fay:
        of_fay = variance_factors(given.method, n_replicates, fay)
        if not np.allclose(of_fay, given.scale, rtol=1e-6, atol=0):
            raise ValueError(
                "fay must be 0 or the one that replicate_weights were made with, whose scale is "
                f"{given.scale[0]:.6g}, got {fay!r} with the scale {of_fay[0]:.6g}."
            )
    if given.method == "bootstrap" and (given.scale == 1 / n_replicates).all():
        return variance_factors(given.method, n_replicates, mse=mse)
    return given.scale
