"""What callbacks have counted so far, for a file that holds plain values and tensors only."""

import inspect
from collections import Counter, OrderedDict, deque
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from skweight.training.torch_internals import copy_versions

_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_DICTS = (dict, OrderedDict, Counter)
# Predictions and targets of an epoch, which skorch's scores forget before the next one.
_OF_ONE_EPOCH = ("y_trues_", "y_preds_")
# What ``torch.load`` would not make again; the tag is the name of what is.
_ARRAY, _DEQUE = "numpy.ndarray", "collections.deque"


class NotPlain(Exception):
    """A value that a file of plain values cannot hold; the message is its class."""


def to_plain(value: Any) -> Any:
    """A value as :func:`torch.load` makes it again with ``weights_only=True``."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, Tensor):
        return _on_cpu(value)
    if isinstance(value, np.ndarray):
        return {_ARRAY: _tensor_of(value)}
    if kind is deque:
        return {_DEQUE: [value.maxlen, to_plain([*value])]}
    if kind in _DICTS:
        made = kind({to_plain(key): to_plain(item) for key, item in value.items()})
        copy_versions(value, made)
        return made
    if kind in (list, tuple, set):
        return kind(map(to_plain, value))
    raise NotPlain(kind.__name__)


def from_plain(value: Any) -> Any:
    """What :func:`to_plain` was given."""
    kind = type(value)
    if kind in (list, tuple):
        return kind(map(from_plain, value))
    if kind in _DICTS:
        if _ARRAY in value:
            return value[_ARRAY].numpy()
        if _DEQUE in value:
            n_most, items = value[_DEQUE]
            return deque(from_plain(items), n_most)
        made = kind({key: from_plain(item) for key, item in value.items()})
        copy_versions(value, made)
        return made
    return value


def state_of_callback(name: str, callback: Any) -> Any:
    """What a callback needs to go on in another process.

    That is its ``state_dict()``; without such a method, its attributes, of which an object may have
    one. Parameters are those of the callback that goes on, unless they are numbers or texts, which
    it may have changed.
    """
    if _has_state(callback):
        return _plain_state(name, callback, "", callback.state_dict())
    params, is_known = _parameters(callback), _is_known(callback)
    attributes, states = {}, {}
    for key, value in getattr(callback, "__dict__", {}).items():
        is_param = key.strip("_") in params
        if key in _OF_ONE_EPOCH or (is_param and type(value) not in _SCALARS):
            continue
        if _has_state(value):
            states[key] = _plain_state(name, callback, key, value.state_dict())
            continue
        try:
            attributes[key] = to_plain(value)
        except NotPlain as error:
            if not is_known:
                raise _cannot_keep(name, callback, key, str(error)) from None
    return {"attributes": attributes, "states": states}


def restore_callback(callback: Any, state: Any) -> None:
    """Let a callback go on; its training has begun."""
    if _has_state(callback):
        callback.load_state_dict(from_plain(state))
        return
    for key, value in state["attributes"].items():
        setattr(callback, key, from_plain(value))
    for key, value in state["states"].items():
        getattr(callback, key).load_state_dict(from_plain(value))


def _plain_state(name: str, callback: Any, key: str, state: Any) -> Any:
    try:
        return to_plain(state)
    except NotPlain as error:
        raise _cannot_keep(name, callback, key, str(error)) from None


def _cannot_keep(name: str, callback: Any, key: str, kind: str) -> ValueError:
    where = f"in its attribute {key}" if key else "in its state_dict()"
    return ValueError(
        f"callbacks: {name} has a {kind} {where}, which a TrainingCheckpoint cannot keep. Give "
        f"{type(callback).__name__} methods state_dict(), which returns numbers, texts, tensors, "
        "arrays, and lists and dicts of those, and load_state_dict(state)."
    )


def _has_state(value: Any) -> bool:
    return not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in ("state_dict", "load_state_dict")
    )


def _parameters(callback: Any) -> set[str]:
    if hasattr(callback, "get_params"):
        return {name.strip("_") for name in callback.get_params(deep=False)}
    return {*inspect.signature(type(callback)).parameters}


def _is_known(callback: Any) -> bool:
    """Whether a callback is one of skorch's, or a kind of one: it makes its objects itself."""
    return any(
        kind.__module__.partition(".")[0] == "skorch" and kind is not Callback
        for kind in type(callback).__mro__
    )


def _on_cpu(tensor: Tensor) -> Tensor:
    """A tensor without a graph, which takes no more of a file than its own numbers."""
    tensor = tensor.detach().cpu()
    is_part = tensor.layout is torch.strided and tensor.untyped_storage().nbytes() > tensor.nbytes
    return tensor.clone() if is_part else tensor


def _tensor_of(array: Any) -> Tensor:
    try:
        return torch.from_numpy(np.array(array))
    except TypeError:
        raise NotPlain(f"ndarray of {array.dtype}") from None
