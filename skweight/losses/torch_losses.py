"""From the user's ``criterion`` to a loss per row: names, torch's losses and callables."""

import copy
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import nn

from skweight._keywords import check_keywords, parameters_of
from skweight.losses.row_loss import RowLoss


def from_criterion(
    criterion: Any, params: Mapping[str, Any], names: Mapping[str, type[nn.Module]]
) -> "RowLoss":
    """Build the loss per row from what the user gave as ``criterion``.

    Parameters
    ----------
    criterion : None, str, nn.Module class or callable
        None is the first of ``names``. A class is built with ``params``, and with
        ``reduction="none"`` where it knows it. A callable ``f(output, target)`` gets
        ``params`` as keywords.
    params : mapping
        The user's ``criterion__*``.
    names : mapping of str to nn.Module class
        The names that the estimator offers.

    Returns
    -------
    RowLoss

    Raises
    ------
    TypeError, ValueError
        If ``criterion`` is none of the above or does not take ``params``.
    """
    if criterion is None:
        criterion = next(iter(names.values()))
    elif isinstance(criterion, str):
        if criterion not in names:
            near = get_close_matches(criterion, list(names), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"criterion must be one of {list(names)}, an nn loss class or a callable "
                f"(output, target) -> one loss per row, got {criterion!r}.{hint}"
            )
        criterion = names[criterion]
    elif not callable(criterion):
        raise TypeError(
            f"criterion must be None, one of {list(names)}, an nn loss class or a callable "
            f"(output, target) -> one loss per row, got {type(criterion).__name__}."
        )
    if isinstance(criterion, nn.Module) and params:
        raise ValueError(
            "criterion must be a class for criterion__* parameters to be applied, got an "
            f"instance of {type(criterion).__name__} and {['criterion__' + p for p in params]}."
        )
    while isinstance(criterion, partial) and isinstance(criterion.func, type):
        criterion, params = criterion.func, {**criterion.keywords, **params}
    check_keywords(criterion, params, "criterion")
    if isinstance(criterion, type):
        return RowLoss(_build(criterion, params))
    if isinstance(criterion, nn.Module):
        criterion = copy.deepcopy(criterion)  # it may be moved to another device
    return RowLoss(partial(criterion, **params) if params else criterion)


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
