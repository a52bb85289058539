"""Copies of callbacks for one fit: the user's own objects are used, and never changed."""

import copy
import inspect
from typing import Any


def copy_for_fit(callback: Any) -> Any:
    """A new callback with the parameters of the given one, which are not copied.

    Lists, loggers and open files that the user passes to a callback stay the user's; otherwise this
    is :func:`sklearn.base.clone`. A callback that cannot be made from its parameters is copied,
    with the lists, dicts and sets that its constructor made. One that defines
    ``__sklearn_clone__`` says itself what its copy is.
    """
    if isinstance(callback, tuple):
        name, named = callback
        return name, copy_for_fit(named)
    if isinstance(callback, type):  # skorch makes it
        return callback
    if hasattr(callback, "__sklearn_clone__"):
        return callback.__sklearn_clone__()
    signature = inspect.signature(type(callback))
    if hasattr(callback, "get_params"):
        params = callback.get_params(deep=False)
        if _takes(signature, params):
            return type(callback)(**params)
    copied = copy.copy(callback)
    for name, value in getattr(callback, "__dict__", {}).items():  # none with __slots__
        if name not in signature.parameters and isinstance(value, (list, dict, set)):
            setattr(copied, name, copy.copy(value))
    return copied


def _takes(signature: inspect.Signature, params: dict[str, Any]) -> bool:
    try:
        signature.bind(**params)
    except TypeError:
        return False
    return True
