"""What a weight means: checking, class weights, powers, effective size.

A training set is a set of distinct rows with a mass each. This file turns what the
user passes (``sample_weight``, ``class_weight`` and their powers) into such masses.
Equal rows are merged in ``merging``, ways to make weights are in ``recipes``, a look at
them is in ``summary``. Only numpy here.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> Floats:
    """Check weights per row and return them as a new float64 array.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        Numbers of any real dtype: an array, list, Series or tensor. None means ones.
    n_samples : int
        Number of rows that the weights belong to.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        A copy; the caller's object is never changed.

    Raises
    ------
    TypeError
        If the weights are not real numbers.
    ValueError
        If the shape is not ``(n_samples,)``, or if a weight is negative, NaN or
        infinite, or if all of them are zero.
    """
    if sample_weight is None:
        return np.ones(n_samples)
    weight = as_float64(sample_weight, "sample_weight")
    if weight.ndim != 1:
        raise ValueError(
            f"sample_weight must be 1-D with one weight per row, shape ({n_samples},), got "
            f"{weight.ndim}-D with shape {weight.shape}."
            + " Pass its one column."
            * (weight.ndim == 2 and weight.shape[1] == 1)
        )
    if len(weight) != n_samples:
        raise ValueError(
            f"sample_weight must have one weight per row: expected {n_samples} for X "
            f"with {n_samples} rows, got {len(weight)}."
        )
    for bad, what in ((np.isnan(weight), "NaN"), (np.isinf(weight), "infinite")):
        if bad.any():
            raise ValueError(
                f"sample_weight must be finite, got {bad.sum()} {what} value(s), the "
                f"first at position {bad.argmax()}."
            )
    if (weight < 0).any():
        raise ValueError(
            "sample_weight must be non-negative, got a smallest value of "
            f"{weight.min()} at position {weight.argmin()}."
        )
    if not weight.any():
        raise ValueError(
            f"sample_weight must hold at least one positive weight, but all {n_samples} are zero."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError(
            "sample_weight must have a sum that float64 can hold, got a largest value "
            f"of {weight.max()}: divide the weights by a constant."
        )
    return weight


def as_numbers(values: Any) -> NDArray[Any]:
    """An ndarray of any dtype; a tensor may sit on any device and require gradients."""
    return np.asarray(values.tolist() if hasattr(values, "detach") else values)


def as_float64(values: Any, name: str) -> Floats:
    """Copy real numbers to float64, or refuse what was given as ``name``."""
    try:
        array = as_numbers(values)
        if array.dtype.kind == "O" and not any(isinstance(v, (str, bytes)) for v in array.flat):
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} must hold real numbers: {error}.") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return array.astype(np.float64)


def effective_sample_size(sample_weight: ArrayLike) -> float:
    """Kish's effective number of rows, ``(sum w)^2 / sum w^2``.

    The number of equally weighted rows with which a weighted mean would be as precise.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,)
        Non-negative weights on any scale.

    Returns
    -------
    float
        Between 1 and ``n_samples``.

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
    weight = around_one(check_lone_weight(sample_weight))
    weight /= weight.max()  # equal weights become ones, and give their number to the last bit
    return float(weight.sum() ** 2 / (weight**2).sum())


def check_lone_weight(sample_weight: ArrayLike) -> Floats:
    """Check weights that no rows came with."""
    weight = as_float64(sample_weight, "sample_weight")
    return check_sample_weight(weight, len(np.atleast_1d(weight)))


# --------------------------------------------------------------------------------------
# Class weights and row weights
# --------------------------------------------------------------------------------------


def resolve_class_weight(
    class_weight: str | Mapping[Any, float] | Callable[[Floats], ArrayLike] | None,
    classes: NDArray[Any],
    codes: NDArray[np.integer[Any]],
    mass: Floats,
    *,
    power: float = 1.0,
) -> Floats:
    """Turn ``class_weight`` into one weight per class.

    Parameters
    ----------
    class_weight : None, "balanced", dict or callable
        None is 1 for every class. "balanced" is ``M / (k * M_c)``, M_c the mass of class
        c, M the mass of all and k the number of classes that have mass. A dict maps
        labels to weights; a label that it leaves out has weight 1. A callable gets the
        weighted class counts, shape (n_classes,), in units of the average distinct row,
        and returns as many weights.
    classes : ndarray of shape (n_classes,)
        The labels, of any dtype.
    codes : ndarray of shape (n_distinct,)
        The class of each distinct row, as a position in ``classes``.
    mass : ndarray of shape (n_distinct,), float64
        The mass of each distinct row.
    power : float, default=1.0
        Exponent on the weights: 0 takes them away, 0.5 is the square root.

    Returns
    -------
    ndarray of shape (n_classes,), float64
        Finite and non-negative. A class without mass has weight 1 under "balanced" and
        under a callable: it has no rows that could be weighted.

    Raises
    ------
    TypeError
        If ``class_weight`` is of another type or holds something that is no number.
    ValueError
        If it is another string, names a label that is not in ``classes``, or holds a
        weight that is negative or not finite.
    """
    n_classes = len(classes)
    counts = np.bincount(codes, weights=around_one(mass), minlength=n_classes)
    present = counts > 0
    weight = np.ones(n_classes)
    if class_weight is None:
        return weight
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                'class_weight must be None, "balanced", a dict or a callable, got '
                f"{class_weight!r}."
            )
        weight[present] = counts.sum() / (present.sum() * counts[present])
    elif isinstance(class_weight, Mapping):
        weight = _from_dict(class_weight, classes.tolist())
    elif callable(class_weight):
        with np.errstate(divide="ignore", invalid="ignore"):
            returned = class_weight(counts * (len(mass) / counts.sum()))
        returned = as_float64(returned, "The result of class_weight")
        if returned.shape != (n_classes,):
            raise ValueError(
                f"class_weight, a callable, must return one weight per class, shape "
                f"({n_classes},), got shape {returned.shape}."
            )
        weight[present] = returned[present]
    else:
        hint = " Name the classes: {0: 1, 1: 5}." * isinstance(
            class_weight, (list, tuple, np.ndarray)
        )
        raise TypeError(
            'class_weight must be None, "balanced", a dict or a callable, got '
            f"{type(class_weight).__name__}.{hint}"
        )
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise ValueError(
            "class_weight must be finite and non-negative, got "
            f"{weight[bad][0]} for class {classes[bad].tolist()[0]!r}."
        )
    with np.errstate(over="ignore"):
        weight = np.where(weight > 0, weight**power, 0.0)  # 0 ** 0: a class without weight has none
    if not np.isfinite(weight).all():
        raise ValueError(
            "class_weight to the power of class_weight_power must be finite, got "
            f"{weight.max()} with class_weight_power={power}."
        )
    return weight


def _from_dict(class_weight: Mapping[Any, float], labels: list[Any]) -> Floats:
    unknown = [key for key in class_weight if key not in labels]
    if unknown:
        written = {str(label): label for label in labels}
        near = get_close_matches(str(unknown[0]), list(written), n=1)
        hint = f" Did you mean {written[near[0]]!r}?" if near else ""
        raise ValueError(
            f"class_weight must name classes that are in y, {labels}, got "
            f"{unknown[0]!r} ({type(unknown[0]).__name__}).{hint}"
        )
    values = [class_weight.get(label, 1.0) for label in labels]
    return as_float64(values, "class_weight")


def flatten_mass(mass: Floats, power: float) -> Floats:
    """Masses to the power of ``power``, up to a common factor.

    Shimodaira's trade of bias for variance: 1 keeps the masses to the last bit, 0 makes
    every distinct row count the same. It acts on the mass of a distinct row, so copies
    of a row and a weight on it remain one and the same.

    References
    ----------
    H. Shimodaira, Improving predictive inference under covariate shift by weighting the
    log-likelihood function, Journal of Statistical Planning and Inference 90, 2000.
    """
    return mass if power == 1 else (mass / mass.max()) ** power


def to_mean_one(mass: Floats) -> Floats:
    """Scale masses to mean 1: the ``row_weight`` that training sees."""
    mass = around_one(mass)
    return np.asarray(mass / mass.mean())


def around_one(mass: Floats) -> Floats:
    """Scale by a power of two, which is exact: sums and ratios then stay in float64."""
    return np.asarray(np.ldexp(mass, -int(np.frexp(mass.max())[1])))
