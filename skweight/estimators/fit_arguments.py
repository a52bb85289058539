"""Arguments of ``fit`` that other libraries have: an error that says where they go here."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from skweight._keywords import did_you_mean
from skweight.estimators.parameters import SYNONYMS

Arguments = ParamSpec("Arguments")
Fitted = TypeVar("Fitted")
# What fit of xgboost, lightgbm, catboost and Keras takes, and what it is here.
_ELSEWHERE = {
    **dict.fromkeys(
        ("eval_set", "validation_data", "valid_data", "val_data", "eval_data"), "X_val and y_val"
    ),
    **dict.fromkeys(("X_valid", "X_validation", "X_eval", "X_test"), "X_val"),
    **dict.fromkeys(("y_valid", "y_validation", "y_eval", "y_test"), "y_val"),
    **dict.fromkeys(
        (
            *("eval_sample_weight", "sample_weight_eval_set", "sample_weight_valid"),
            *("sample_weight_validation", "sample_weight_eval", "sample_weight_test"),
        ),
        "sample_weight_val",
    ),
    **dict.fromkeys(("init_score", "base_margin", "baseline"), "offset"),
    "exposure": "offset (the logarithm of the exposure)",
    **dict.fromkeys(("eval_init_score", "base_margin_eval_set"), "offset_val"),
    **dict.fromkeys(("weight", "weights", "w", "sample_weights"), "sample_weight"),
}


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
    argument = _ELSEWHERE.get(name, "")
    if argument and argument.partition(" ")[0] in known:
        hint = f"Did you mean {argument}?"
    elif parameter in own or "__" in parameter:
        hint = f"Did you mean {class_name}({parameter}=...)?"
    else:
        hint = did_you_mean(name, known).strip()
    text = f"{class_name}.{method} got an unexpected argument {name!r}: it takes {known}."
    return f"{hint} {text}".strip()
