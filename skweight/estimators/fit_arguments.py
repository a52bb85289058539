"""Arguments of ``fit`` that other libraries have: an error that says where they go here."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from skweight._keywords import did_you_mean
from skweight.estimators.parameters import FIT_SYNONYMS, SYNONYMS

Arguments = ParamSpec("Arguments")
Fitted = TypeVar("Fitted")


def explain_unknown(fit: Callable[Arguments, Fitted]) -> Callable[Arguments, Fitted]:
    """Decorate ``fit``: an unknown keyword is refused with a hint; the signature stays the same."""
    known = [*inspect.signature(fit).parameters][1:]  # without self

    @wraps(fit)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Fitted:
        for name in kwargs:
            if name not in known:
                raise TypeError(_error_text(args[0], fit.__name__, name, known))
        return fit(*args, **kwargs)

    return checked


def _error_text(estimator: Any, method: str, name: str, known: list[str]) -> str:
    """The hint first, then what the method takes."""
    class_name, own = type(estimator).__name__, estimator.get_params(deep=False)
    parameter = SYNONYMS.get(name, name)
    argument = FIT_SYNONYMS.get(name, "")
    if argument and argument.partition(" ")[0] in known:
        hint = f"Did you mean {argument}?"
    elif parameter in own or "__" in parameter:
        hint = f"Did you mean {class_name}({parameter}=...)?"
    else:
        hint = did_you_mean(name, known).strip()
    text = f"{class_name}.{method} got an unexpected argument {name!r}: it takes {known}."
    return f"{hint} {text}".strip()
