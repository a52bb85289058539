"""``callbacks__name`` and ``callbacks__name__param``: the parameters of callbacks, as in skorch."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from skweight._keywords import did_you_mean
from skweight.estimators.skorch_names import parameter_instead
from skweight.training import copy_for_fit

PREFIX = "callbacks__"


def callback_params(callbacks: Any) -> dict[str, Any]:
    """Callbacks as ``callbacks__name``, and their parameters as ``callbacks__name__param``."""
    params: dict[str, Any] = {}
    for name, callback in _by_name(callbacks).items():
        params[PREFIX + name] = callback
        if hasattr(callback, "get_params") and not isinstance(callback, type):
            for param, value in callback.get_params(deep=True).items():
                params[f"{PREFIX}{name}__{param}"] = value
    return params


def set_callback_params(callbacks: Any, params: Mapping[str, Any]) -> list[Any]:
    """A new list with other callbacks or parameters; the callbacks, which clones share, are kept.

    ``callbacks__name`` replaces a callback, or leaves it out if it is None.
    """
    changed = _by_name(callbacks)
    for key in sorted(params, key=lambda key: key.count("__")):  # whole callbacks first
        name, _, param = key.removeprefix(PREFIX).partition("__")
        if name not in changed:
            if instead := parameter_instead(PREFIX + name):
                raise ValueError(
                    f"{key} is about a callback that skorch's nets have by default: {instead}."
                )
            raise ValueError(
                f"{key} must name one of the callbacks {[*changed]}, got {name!r}."
                + did_you_mean(name, [*changed])
            )
        value = params[key]
        changed[name] = _with_param(key, changed[name], param, value) if param else value
    pairs = zip(callbacks, changed.items())
    return [
        (name, callback) if isinstance(given, tuple) else callback
        for given, (name, callback) in pairs
        if callback is not None
    ]


def _with_param(key: str, callback: Any, param: str, value: Any) -> Any:
    """A copy of a callback with another value of a parameter."""
    if isinstance(callback, type) or not hasattr(callback, "set_params"):
        raise ValueError(
            f"{key} needs a callback with a method set_params, such as an instance of skorch's "
            f"Callback, got {callback!r}."
        )
    copied = copy_for_fit(callback)
    copied.set_params(**{param: value})
    return copied


def _by_name(callbacks: Any) -> dict[str, Any]:
    """Callbacks by the user's names or those of their classes, numbered where several are equal.

    None of anything but a list of them and of pairs, which ``fit`` refuses.
    """
    if not isinstance(callbacks, (list, tuple)):
        return {}
    pairs = [item if isinstance(item, tuple) else (_class_name(item), item) for item in callbacks]
    if not all(len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        return {}
    n_equal, n_seen = Counter(name for name, _ in pairs), Counter[str]()
    named = {}
    for name, callback in pairs:
        n_seen[name] += 1
        named[f"{name}_{n_seen[name]}" if n_equal[name] > 1 else name] = callback
    return named


def _class_name(callback: Any) -> str:
    return (callback if isinstance(callback, type) else type(callback)).__name__
