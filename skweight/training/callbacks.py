"""Copies of callbacks for one fit: the user's own objects are used, and never changed."""

import copy
import inspect
from collections import deque
from typing import Any

import numpy as np
from torch import Tensor


def copy_for_fit(callback: Any) -> Any:
    """A new callback with the parameters of the given one, which are not copied.

    Lists, loggers and open files that the user passes to a callback stay the user's; otherwise this
    is :func:`sklearn.base.clone`. A callback that cannot be made from its parameters is copied,
    with the containers and arrays that its constructor made: those that are not called like one of
    its parameters. One that defines ``__sklearn_clone__`` says itself what its copy is.
    """
    if isinstance(callback, tuple):
        name, named = callback
        return name, copy_for_fit(named)
    if isinstance(callback, type):  # skorch makes it
        return callback
    if hasattr(callback, "__sklearn_clone__"):
        return callback.__sklearn_clone__()
    signature = inspect.signature(type(callback))
    made = _made_from_parameters(callback, signature)
    if made is not None:
        return made
    copied = copy.copy(callback)
    for name, value in getattr(callback, "__dict__", {}).items():  # none with __slots__
        if name.strip("_") not in signature.parameters:
            setattr(copied, name, _new_containers(value))
    return copied


def _made_from_parameters(callback: Any, signature: inspect.Signature) -> Any:
    """A new callback, or None if not all that the callback calls its parameters are some."""
    if not hasattr(callback, "get_params"):
        return None
    params = callback.get_params(deep=False)
    try:
        signature.bind(**params)
    except TypeError:
        return None
    made = type(callback)(**params)
    # Constructors that collect keywords take any. LRScheduler stores each of them by its name.
    collected = params.keys() - signature.parameters.keys()
    collected |= {p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD}
    missing = object()
    is_equal = all(
        getattr(made, name, missing) is params[name] for name in collected & params.keys()
    )
    return made if is_equal else None


def _new_containers(value: Any) -> Any:
    """A copy of containers and arrays, at any depth, that share the objects in them."""
    if isinstance(value, (np.ndarray, Tensor)):
        return copy.deepcopy(value)
    if type(value) is tuple:
        return tuple(map(_new_containers, value))
    if not isinstance(value, (list, deque, dict, set)):
        return value
    copied: Any = copy.copy(value)
    if not isinstance(value, set):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            copied[key] = _new_containers(item)
    return copied
