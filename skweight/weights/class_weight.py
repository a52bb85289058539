"""Class weights: from ``class_weight`` to one number per class."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats
from skweight.weights.sample_weight import as_float64, scale_near_one


def resolve_class_weight(
    class_weight: str | Mapping[Any, float] | Callable[[Floats], ArrayLike] | None,
    classes: NDArray[Any],
    codes: NDArray[np.integer[Any]],
    mass: Floats,
    *,
    power: float = 1.0,
    name: str = "class_weight",
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
    counts = np.bincount(codes, weights=scale_near_one(mass), minlength=n_classes)
    present = counts > 0
    weight = np.ones(n_classes)
    if class_weight is None:
        return weight
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f'{name} must be None, "balanced", a dict or a callable, got {class_weight!r}.'
            )
        weight[present] = counts.sum() / (present.sum() * counts[present])
    elif isinstance(class_weight, Mapping):
        weight = _from_dict(class_weight, classes.tolist(), name)
    elif callable(class_weight):
        with np.errstate(divide="ignore", invalid="ignore"):
            returned = class_weight(counts * (len(mass) / counts.sum()))
        returned = as_float64(returned, f"The result of {name}")
        if returned.shape != (n_classes,):
            raise ValueError(
                f"{name}, a callable, must return one weight per class, shape "
                f"({n_classes},), got shape {returned.shape}."
            )
        weight[present] = returned[present]
    else:
        hint = " Name the classes: {0: 1, 1: 5}." * isinstance(
            class_weight, (list, tuple, np.ndarray)
        )
        raise TypeError(
            f'{name} must be None, "balanced", a dict or a callable, got '
            f"{type(class_weight).__name__}.{hint}"
        )
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise ValueError(
            f"{name} must be finite and non-negative, got "
            f"{weight[bad][0]} for class {classes[bad].tolist()[0]!r}."
        )
    with np.errstate(over="ignore"):
        weight = np.where(weight > 0, weight**power, 0.0)  # 0 ** 0: a class without weight has none
    if not np.isfinite(weight).all():
        raise ValueError(
            f"{name} to the power of class_weight_power must be finite, got "
            f"{weight.max()} with class_weight_power={power}."
        )
    return weight


def _from_dict(class_weight: Mapping[Any, float], labels: list[Any], name: str) -> Floats:
    unknown = [key for key in class_weight if key not in labels]
    if unknown:
        written = {str(label): label for label in labels}
        near = get_close_matches(str(unknown[0]), list(written), n=1)
        hint = f" Did you mean {written[near[0]]!r}?" if near else ""
        raise ValueError(
            f"{name} must name classes that are in y, {labels}, got "
            f"{unknown[0]!r} ({type(unknown[0]).__name__}).{hint}"
        )
    values = [class_weight.get(label, 1.0) for label in labels]
    return as_float64(values, name)
