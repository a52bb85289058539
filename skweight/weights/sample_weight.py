"""Weights of rows: checking them, scaling them, and their effective sample size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, divide, underflow_is_zero


class EffectiveSampleSizeWarning(UserWarning):
    """A few rows have most of the weight: the effective sample size is below 10 % of the rows.

    A fit with ``weighting="loss"`` warns of it, once in a process unless a filter of
    :mod:`warnings` says otherwise. Gradients are then noisy; ``weighting="sampling"``,
    ``sample_weight_power`` below 1 and :func:`~skweight.clip_weights` are remedies.
    """


def check_sample_weight(
    sample_weight: ArrayLike | None, n_samples: int, name: str = "sample_weight"
) -> Floats:
    """Check weights of rows, of any real dtype, and copy them to float64; None is ones."""
    if sample_weight is None:
        return np.ones(n_samples)
    weight = as_float64(sample_weight, name)
    if weight.ndim != 1:
        hint = " Pass its one column." if weight.shape[1:] == (1,) else ""
        raise ValueError(
            f"{name} must be 1-D with one weight per row, shape ({n_samples},), got "
            f"{weight.ndim}-D with shape {weight.shape}.{hint}"
        )
    if len(weight) != n_samples:
        raise ValueError(
            f"{name} must have one weight per row: expected {n_samples} for the {n_samples} rows "
            f"of X or y, got {len(weight)}."
        )
    _check_values(weight, name)
    return weight


def _check_values(weight: Floats, name: str) -> None:
    """Refuse weights that are not finite, negative, all zero, or too large to be summed."""
    for bad, what in ((np.isnan(weight), "NaN"), (np.isinf(weight), "infinite")):
        if bad.any():
            raise ValueError(
                f"{name} must be finite, got {bad.sum()} {what} value(s), the "
                f"first at position {bad.argmax()}."
            )
    if (weight < 0).any():
        raise ValueError(
            f"{name} must be non-negative, got a smallest value of "
            f"{weight.min()} at position {weight.argmin()}."
        )
    if not weight.any():
        raise ValueError(
            f"{name} must hold at least one positive weight, but all {len(weight)} are zero."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"{name} must have a sum that float64 can hold, got a largest value "
            f"of {weight.max()}: divide the weights by a constant."
        )


_FILL = "Fill masked values and give their rows sample_weight 0: "
_INSTEAD_OF_MASKS = {
    "X": f"{_FILL}X.filled(0). Or impute them: SimpleImputer takes X.filled(np.nan).",
    "y": f"{_FILL}y.filled(y.compressed()[0]).",
    "sample_weight": "Give masked rows weight 0: sample_weight.filled(0).",
    "sample_weight_val": "Give masked rows weight 0: sample_weight_val.filled(0).",
}


def refuse_masked(values: Any, name: str) -> None:
    """Refuse masked values of a NumPy array: what lies under the mask would be used."""
    if not (isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values)):
        return
    places = np.argwhere(np.atleast_1d(np.ma.getmaskarray(values))).tolist()
    first = places[0][0] if len(places[0]) == 1 else tuple(places[0])
    remedy = _INSTEAD_OF_MASKS.get(name, "Leave them out, or fill them.")
    raise ValueError(
        f"{name} must hold no masked values, got {len(places)} of them, the first at position "
        f"{first}. {remedy}"
    )


def as_numbers(values: Any, name: str) -> NDArray[Any]:
    """An ndarray of any dtype; a tensor may sit on any device and require gradients."""
    try:
        return np.asarray(values.tolist() if hasattr(values, "detach") else values)
    except ValueError as error:
        raise ValueError(f"{name} must have the same shape in every row: {error}.") from error


def as_labels(values: Any, name: str) -> NDArray[Any]:
    """Labels as an array, in which labels of a list stay what they are beside strings."""
    array = as_numbers(values, name)
    is_list = isinstance(values, (list, tuple))
    return np.asarray(values, dtype=object) if array.dtype.kind in "US" and is_list else array


def as_float64(values: Any, name: str) -> Floats:
    """Copy real numbers to float64; ``name`` is what errors call them."""
    refuse_masked(values, name)
    array = as_numbers(values, name)
    try:
        if array.dtype.kind == "O" and not any(isinstance(v, (str, bytes)) for v in array.flat):
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} must hold real numbers: {error}.") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return array.astype(np.float64)


@underflow_is_zero
def effective_sample_size(sample_weight: ArrayLike) -> float:
    """Kish's effective sample size, ``(sum w)^2 / sum w^2``.

    It is the number of rows with equal weights with which a mean would be as precise as the
    weighted mean, if weights and values are independent.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,)
        Non-negative weights on any scale.

    Returns
    -------
    float
        Between 1 and the number of rows with positive weight.

    Raises
    ------
    TypeError, ValueError
        If the weights are not 1-D, finite and non-negative with a positive one.

    References
    ----------
    L. Kish, Survey Sampling, Wiley 1965, section 11.7.

    Examples
    --------
    >>> from skweight import effective_sample_size
    >>> effective_sample_size([1, 1, 1, 1])
    4.0
    >>> effective_sample_size([1, 0, 0, 0])
    1.0
    """
    weight = scale_near_one(check_weights_alone(sample_weight))
    weight /= weight.max()  # equal weights become ones, whose result is exact
    return float(weight.sum() ** 2 / (weight**2).sum())


def check_weights_alone(sample_weight: ArrayLike) -> Floats:
    """Check weights without knowing the number of rows."""
    weight = as_float64(sample_weight, "sample_weight")
    return check_sample_weight(weight, len(np.atleast_1d(weight)))


@underflow_is_zero
def flatten_mass(mass: Floats, power: float) -> Floats:
    """Summed weights of distinct rows to the power of ``power``, up to a common factor.

    Shimodaira's trade of bias for variance: 1 keeps the weights to the last bit, 0 makes
    every distinct row count the same. It acts on the sum over copies of a row, so that a
    weight of 3 and three copies remain the same data.

    References
    ----------
    H. Shimodaira, Improving predictive inference under covariate shift by weighting the
    log-likelihood function, Journal of Statistical Planning and Inference 90, 2000.
    """
    if power == 1:
        return mass
    return np.where(mass > 0, divide(mass, mass.max()) ** power, 0.0)  # also 0 ** 0


@underflow_is_zero
def to_mean_one(mass: Floats) -> Floats:
    """Scale weights to mean 1: the ``row_weight`` that training sees."""
    mass = scale_near_one(mass)
    return np.asarray(mass / mass.mean())


@underflow_is_zero
def scale_near_one(mass: Floats) -> Floats:
    """Scale by a power of two, which is exact, so that sums and ratios do not overflow."""
    return np.asarray(np.ldexp(mass, -int(np.frexp(mass.max())[1])))
