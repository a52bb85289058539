"""Keywords that a class or function takes, checked before it is called."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache, partial
from typing import Any


def check_keywords(function: Callable[..., Any], params: Mapping[str, Any], prefix: str) -> None:
    """Refuse ``prefix__*`` parameters that ``function`` does not take, naming the nearest."""
    if not params:
        return
    try:
        parameters = parameters_of(function).values()
    except ValueError:  # some builtins have no signature: the call itself will tell
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in params:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {prefix}__{near[0]}?" if near else ""
            raise ValueError(
                f"Unknown parameter {prefix}__{name}: {prefix} "
                f"{name_of(function)} takes {known}.{hint}"
            )


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Parameters by name; classes are looked at once, since many fits name the same."""
    return _of_class(function) if isinstance(function, type) else _parameters(function)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


_of_class = lru_cache(maxsize=32)(_parameters)


def name_of(function: Any) -> str:
    """Name of a function, class or object, through partials."""
    function = unwrap(function)[0]
    return str(getattr(function, "__name__", type(function).__name__))


def unwrap(criterion: Any) -> tuple[Any, dict[str, Any]]:
    """The function inside of partials, and the keywords that they hold."""
    keywords: dict[str, Any] = {}
    while isinstance(criterion, partial):
        criterion, keywords = criterion.func, {**criterion.keywords, **keywords}
    return criterion, keywords
