"""From the user's ``criterion``, a name, a class, an instance or a function, to a loss per row."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from skweight._keywords import check_keywords, did_you_mean, parameters_of
from skweight.losses.row_loss import RowLoss


def from_criterion(
    criterion: Any, params: Mapping[str, Any], names: Mapping[str, type[nn.Module]]
) -> RowLoss:
    """Make a loss per row of what :func:`build_criterion` makes of the same arguments."""
    return RowLoss(build_criterion(criterion, params, names))


def build_criterion(
    criterion: Any, params: Mapping[str, Any], names: Mapping[str, type[nn.Module]]
) -> Any:
    """The module or callable that the user's ``criterion`` and ``criterion__*`` parameters mean.

    None is the first of ``names``. A class is built with ``params``, and with
    ``reduction="none"`` if it takes that. An instance is copied. A callable
    ``f(output, target)`` gets ``params`` as keywords.
    """
    found: Any = _named_or_given(criterion, names)
    if isinstance(found, nn.Module) and params:
        raise ValueError(
            "criterion must be a class for criterion__* parameters to be applied, got an "
            f"instance of {type(found).__name__} and {['criterion__' + p for p in params]}."
        )
    while isinstance(found, partial) and isinstance(found.func, type):
        found, params = found.func, {**found.keywords, **params}
    check_keywords(found, params, "criterion")
    if isinstance(found, type):
        return _build(found, params)
    if isinstance(found, nn.Module):
        return copy.deepcopy(found)  # it may be moved to another device
    return partial(found, **params) if params else found


# What other libraries call the criteria.
_SYNONYMS = {
    **dict.fromkeys(("mse", "l2", "rmse", "mean_squared_error", "least_squares"), "squared_error"),
    **dict.fromkeys(("mae", "l1", "mean_absolute_error"), "absolute_error"),
    **dict.fromkeys(("smooth_l1", "huber_loss"), "huber"),
    **dict.fromkeys(("log_loss", "logloss", "bce", "nll", "binary_crossentropy"), "cross_entropy"),
    "pinball": "quantile",
}


def _named_or_given(criterion: Any, names: Mapping[str, type[nn.Module]]) -> Any:
    """The class of a name; a class, instance or callable as it is."""
    expected = (
        f"one of {list(names)}, an nn loss class or a callable (output, target) -> one loss per row"
    )
    if criterion is None:
        return next(iter(names.values()))
    if isinstance(criterion, str):
        if criterion not in names:
            synonym = _SYNONYMS.get(criterion.lower(), criterion)
            hint = (
                did_you_mean(synonym, list(names))
                if synonym in names or synonym is criterion
                else ""
            )
            raise ValueError(f"criterion must be {expected}, got {criterion!r}.{hint}")
        return names[criterion]
    if not callable(criterion):
        raise TypeError(f"criterion must be None, {expected}, got {type(criterion).__name__}.")
    return criterion


def _build(criterion: type, params: Mapping[str, Any]) -> nn.Module:
    if not issubclass(criterion, nn.Module):
        raise TypeError(
            f"criterion must be an nn loss class when it is a class, got {criterion.__name__}."
        )
    if params.get("reduction", "none") != "none":
        raise ValueError(
            "criterion__reduction must be 'none', since weights are applied to one loss per "
            f"row, got {params['reduction']!r}."
        )
    reduction = {"reduction": "none"} if "reduction" in parameters_of(criterion) else {}
    try:
        return criterion(**{**params, **reduction})
    except TypeError as error:
        given = ", ".join(f"criterion__{name}={value!r}" for name, value in params.items())
        raise TypeError(
            f"criterion {criterion.__name__} could not be built with {given or 'its defaults'}: "
            f"{error}."
        ) from error
