"""Class weights: from ``class_weight`` to one number per class."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, did_you_mean
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
    """One finite, non-negative weight per class, shape (n_classes,), to the power of ``power``.

    Parameters
    ----------
    class_weight : None, "balanced", dict or callable
        None is 1 for every class. "balanced" is ``M / (k * M_c)``, M_c the summed weight of the
        rows of class c, M that of all rows and k the number of classes with M_c > 0. A dict maps
        labels to weights; a label that it leaves out has weight 1. A callable gets the
        weighted class counts, shape (n_classes,), in units of the average distinct row,
        and returns as many weights. Under "balanced" and a callable a class with M_c = 0 has
        weight 1.
    classes : ndarray of shape (n_classes,)
        The labels, of any dtype.
    codes : ndarray of shape (n_distinct,)
        The class of each distinct row, as a position in ``classes``.
    mass : ndarray of shape (n_distinct,), float64
        The summed weight of each distinct row.
    power : float, default=1.0
        0 takes the weights away, 0.5 is the square root.
    name : str, default="class_weight"
        What errors call ``class_weight``.
    """
    if class_weight is None:
        return np.ones(len(classes))
    counts = np.bincount(codes, scale_near_one(mass), len(classes)).astype(np.float64)
    if isinstance(class_weight, str) and class_weight == "balanced":
        weight = _balanced(counts)
    elif isinstance(class_weight, Mapping):
        weight = _from_dict(class_weight, classes.tolist(), name)
    elif callable(class_weight):
        weight = _from_callable(class_weight, counts, len(mass), name)
    else:
        raise _wrong_kind(class_weight, name)
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise ValueError(
            f"{name} must be finite and non-negative, got "
            f"{weight[bad][0]} for class {classes[bad].tolist()[0]!r}."
        )
    return _to_power(weight, power, name)


def _balanced(counts: Floats) -> Floats:
    present = counts > 0
    weight = np.ones(len(counts))
    with np.errstate(over="ignore"):  # infinite weights are refused
        weight[present] = counts.sum() / (present.sum() * counts[present])
    return weight


def _from_dict(class_weight: Mapping[Any, float], labels: list[Any], name: str) -> Floats:
    unknown = [key for key in class_weight if key not in labels]
    if unknown:
        hint = did_you_mean(str(unknown[0]), {str(label): label for label in labels})
        raise ValueError(
            f"{name} must name classes that are in y, {labels}, got "
            f"{unknown[0]!r} ({type(unknown[0]).__name__}).{hint}"
        )
    return as_float64([class_weight.get(label, 1.0) for label in labels], name)


def _from_callable(
    class_weight: Callable[[Floats], ArrayLike], counts: Floats, n_rows: int, name: str
) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        returned = class_weight(counts * (n_rows / counts.sum()))
    weight = as_float64(returned, f"The result of {name}")
    if weight.shape != counts.shape:
        raise ValueError(
            f"{name}, a callable, must return one weight per class, shape "
            f"{counts.shape}, got shape {weight.shape}."
        )
    return np.where(counts > 0, weight, 1.0)


def _wrong_kind(class_weight: Any, name: str) -> Exception:
    expected = f'{name} must be None, "balanced", a dict or a callable, got'
    if isinstance(class_weight, str):
        return ValueError(f"{expected} {class_weight!r}.")
    is_list = isinstance(class_weight, list | tuple | np.ndarray)
    hint = " Name the classes: {0: 1, 1: 5}." if is_list else ""
    return TypeError(f"{expected} {type(class_weight).__name__}.{hint}")


def _to_power(weight: Floats, power: float, name: str) -> Floats:
    with np.errstate(over="ignore"):
        weight = np.where(weight > 0, weight**power, 0.0)  # a weight of 0 stays 0, also 0 ** 0
    if not np.isfinite(weight).all():
        raise ValueError(
            f"{name} to the power of class_weight_power must be finite, got "
            f"{weight.max()} with class_weight_power={power}."
        )
    return weight
