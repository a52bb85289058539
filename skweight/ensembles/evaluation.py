"""What a function of a fitted estimator returns for the full sample and for each replicate."""

from collections.abc import Iterable, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats


def evaluate(
    function: Any, fits: Iterable[tuple[Any, Floats]], X: Any, y: Any, params: dict[str, Any]
) -> list[NDArray[Any]]:
    """Its finite results for pairs of an estimator and weights, that of the full sample first.

    Raises
    ------
    TypeError, ValueError
        If it cannot be called so, or returns no numbers or arrays of different shapes.
    """
    found = [
        _finite(_call(function, estimator, X, y, weight, params), number)
        for number, (estimator, weight) in enumerate(fits)
    ]
    _check_same_shape(found)
    return found


def _call(
    function: Any, estimator: Any, X: Any, y: Any, weight: Floats, params: dict[str, Any]
) -> Any:
    """What a function returns, or how it should be called."""
    arguments = (estimator, X, y)
    try:
        signature(function).bind(*arguments, sample_weight=weight, **params)
    except TypeError as error:
        raise TypeError(
            f"function must accept (estimator, X, y, sample_weight=...), got {function!r}. A "
            "metric with sample_weight becomes such a function by sklearn.metrics.make_scorer."
        ) from error
    return function(*arguments, sample_weight=weight, **params)


def _finite(found: Any, number: int) -> NDArray[Any]:
    """What a function returned for the full sample, number 0, or for a replicate."""
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"function must return a number or an array of numbers, got {found!r} for "
            f"{_named(number)}."
        ) from error
    if not np.isfinite(values).all():
        raise ValueError(f"function must return finite numbers, got {found} for {_named(number)}.")
    return values


def _check_same_shape(found: Sequence[NDArray[Any]]) -> None:
    """Refuse arrays of different shapes, as those of the values that occur in a replicate."""
    for number, values in enumerate(found):
        if values.shape != found[0].shape:
            raise ValueError(
                "function must return an array of the same shape for each replicate, got shape "
                f"{found[0].shape} for {_named(0)} and {values.shape} for {_named(number)}."
            )


def _named(number: int) -> str:
    """The full sample, number 0, or a replicate, for an error."""
    return f"replicate_weights[:, {number - 1}]" if number else "the full sample"
