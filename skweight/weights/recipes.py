"""Ways to make weights: effective number of samples, time decay, clipping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skweight._keywords import Floats, as_real, underflow_is_zero
from skweight.weights.sample_weight import (
    as_float64,
    as_numbers,
    check_weights_alone,
    refuse_masked,
)


@dataclass(frozen=True, repr=False)
class _EffectiveNumber:
    beta: float

    @underflow_is_zero
    def __call__(self, counts: ArrayLike) -> Floats:
        count = as_float64(counts, "counts")
        present = count > 0
        # 1 - beta**n without cancellation for beta close to 1. An underflow to 0 must not be a
        # divisor.
        log_beta = math.log(self.beta) if self.beta else -math.inf
        number = np.maximum(-np.expm1(count[present] * log_beta), np.finfo(np.float64).tiny)
        share = number.min() / number  # normalising cancels the factor 1 - beta
        weight = np.ones(len(count))
        weight[present] = share * (len(share) / share.sum())
        return weight

    def __repr__(self) -> str:
        return f"effective_number({self.beta!r})"


def effective_number(beta: float) -> Callable[[ArrayLike], Floats]:
    """Class weights between none and balanced, for ``class_weight=effective_number(beta)``.

    The weight of class c is ``(1 - beta) / (1 - beta**n_c)``, where n_c is its weighted count, up
    to a factor: the weights of the classes that have rows sum to the number of these classes.

    Parameters
    ----------
    beta : float
        In [0, 1). 0 gives all classes the same weight; close to 1, weights are inverse to the
        frequency of the class.

    Returns
    -------
    callable
        Maps counts of shape (n_classes,) to weights of that shape, float64. It can be pickled, and
        two of the same beta are equal.

    Raises
    ------
    ValueError
        If beta is no real number in [0, 1).

    References
    ----------
    Y. Cui et al., Class-balanced loss based on effective number of samples, CVPR 2019,
    arXiv 1901.05555.

    Examples
    --------
    >>> from skweight import effective_number
    >>> effective_number(0.999)([10, 1000]).round(3)
    array([1.969, 0.031])
    """
    if isinstance(beta, np.ndarray):
        raise ValueError(
            "beta must be a real number in [0, 1), got an array: pass effective_number(0.99) as "
            "class_weight, and not effective_number itself."
        )
    if not 0 <= as_real(beta) < 1:
        raise ValueError(f"beta must be a real number in [0, 1), got {beta!r}.")
    return _EffectiveNumber(float(beta))


@underflow_is_zero
def time_decay(age: ArrayLike, half_life: Any) -> Floats:
    """Weights that halve with every ``half_life`` of age, ``2**(-age / half_life)``.

    For data that drift: the older a row is, the less it counts. Very old rows get weight 0 by
    underflow.

    Parameters
    ----------
    age : array-like of shape (n_samples,)
        Age of each row, non-negative and finite: numbers in any unit, or timedeltas of numpy,
        pandas or the standard library.
    half_life : float or timedelta
        Age at which the weight is one half. Positive; a number in the unit of age, or a timedelta
        if age holds timedeltas.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and 1, and 1 at age 0.

    Raises
    ------
    TypeError
        If only one of them is a timedelta, or if one is neither a number nor a timedelta, or
        is a timedelta in months, in years or without a unit.
    ValueError
        If an age is negative or not finite, half_life is not one positive, finite value, or age is
        not 1-D.

    References
    ----------
    J. Gama et al., A survey on concept drift adaptation, ACM Computing Surveys 46(4), 2014.

    Examples
    --------
    >>> from skweight import time_decay
    >>> time_decay([0, 30, 90], half_life=30)
    array([1.   , 0.5  , 0.125])
    """
    ages, is_timedelta = _as_durations(age, "age")
    half, half_is_timedelta = _as_durations(half_life, "half_life")
    if is_timedelta != half_is_timedelta:
        kind = "timedelta" if is_timedelta else "number"
        raise TypeError(f"half_life must be a {kind}, as age holds {kind}s, got {half_life!r}.")
    if half.ndim or not 0 < half < np.inf:
        raise ValueError(f"half_life must be one positive, finite value, got {half_life!r}.")
    if ages.ndim != 1:
        raise ValueError(f"age must be 1-D with one value per row, got shape {ages.shape}.")
    bad = ~((ages >= 0) & (ages < np.inf))
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"age must be non-negative and finite, got {as_numbers(age, 'age')[first]} at "
            f"position {first}."
        )
    with np.errstate(over="ignore"):
        return np.asarray(np.exp2(-ages / half))


def _as_durations(values: Any, name: str) -> tuple[Floats, bool]:
    """Numbers as they are, timedeltas in microseconds, and whether they were timedeltas.

    In float64: numpy divides timedeltas of different units in int64, which in ns ends at
    292 years and then wraps around silently.
    """
    refuse_masked(values, name)
    array = as_numbers(values, name)
    microsecond = timedelta(microseconds=1)
    try:
        if array.dtype.kind == "m":
            if np.datetime_data(array.dtype)[0] == "generic":
                raise TypeError("these have no unit")
            ticks = np.where(np.isnat(array), np.nan, array.astype(np.int64))
            return ticks * (np.ones((), array.dtype) / np.timedelta64(1, "us")), True
        if array.dtype.kind == "O" and any(isinstance(value, timedelta) for value in array.flat):
            return np.vectorize(lambda value: value / microsecond, [np.float64])(array), True
    except TypeError as error:
        raise TypeError(f"{name} must hold timedeltas of a fixed length: {error}.") from error
    return as_float64(array, name), False


@underflow_is_zero
def clip_weights(sample_weight: ArrayLike, ratio: float) -> Floats:
    """Cut weights at ``ratio`` times their mean, which lowers the variance of a fit and adds bias.

    The mean is taken over positive weights, since a row of weight 0 counts as missing.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,)
        Non-negative weights on any scale.
    ratio : float
        Largest weight, in multiples of the mean; finite and at least 1. 1 cuts most.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        ``min(w, ratio * mean)``, on the scale of the weights, as a new array.

    Raises
    ------
    TypeError, ValueError
        If ratio is no such number, or the weights are not 1-D, finite and non-negative with a
        positive one.

    References
    ----------
    E. L. Ionides, Truncated importance sampling, Journal of Computational and Graphical
    Statistics 17(2), 2008.

    Examples
    --------
    >>> from skweight import clip_weights
    >>> clip_weights([1, 1, 0, 10], ratio=2)
    array([1., 1., 0., 8.])
    """
    if not 1 <= as_real(ratio) < math.inf:
        raise ValueError(f"ratio must be a finite number of at least 1, got {ratio!r}.")
    weight = check_weights_alone(sample_weight)
    top = weight.max()
    # As shares of the largest weight, no sum overflows and equal weights stay exact.
    cap = ratio * ((weight / top).sum() / np.count_nonzero(weight))
    return np.asarray(np.minimum(weight, min(cap, 1.0) * top))
