"""Constructor parameters of the estimators: their names, and which values they may have.

scikit-learn reads parameters from the signature of ``__init__``. The network, the loss and the
optimizer have parameters of their own, ``module__*``, ``criterion__*`` and ``optimizer__*``. Those
of the default network and of named criteria are in the signature too, so that they can be found.
But they belong to the part that has them: an estimator stores only those that it was given, since
other networks and criteria know other names and have other defaults.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec

import numpy as np
import torch
from torch import nn

from skweight._keywords import as_real, did_you_mean, is_flag, is_integer, parameters_of
from skweight.estimators.skorch_names import parameter_instead, refuse_class_weights_of_skorch
from skweight.modules import MLP

Arguments = ParamSpec("Arguments")
PREFIXES = ("module", "criterion", "optimizer")
# Suggestions beside the names of the signature, and for names of scikit-learn's MLP.
_OF_OPTIMIZERS = ("optimizer__weight_decay", "optimizer__momentum")
SYNONYMS = {
    "alpha": "optimizer__weight_decay",
    "loss": "criterion",
    "quantile": "criterion__quantile",
    "epochs": "max_epochs",
    "hidden_layer_sizes": "module__hidden_sizes",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "l2": "optimizer__weight_decay",
    "max_iter": "max_epochs",
    "patience": "n_iter_no_change",
    "seed": "random_state",
}
# What fit of xgboost, lightgbm, catboost and Keras takes, and what it is here.
FIT_SYNONYMS = {
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

# What is no parameter, but belongs elsewhere.
_ELSEWHERE = {
    **{name: f"{argument} to fit" for name, argument in FIT_SYNONYMS.items()},
    **{
        name: f"{name} to fit"
        for name in ("sample_weight", "groups", "offset", "X_val", "y_val", "sample_weight_val")
    },
    "n_jobs": "n_jobs to a search, or call torch.set_num_threads",
}


_LARGEST_SEED = 2**32 - 1


def _is_integer(low: int) -> Callable[[Any], bool]:
    return lambda value: is_integer(value, low)


def _is_real(low: float) -> Callable[[Any], bool]:
    return lambda value: low <= as_real(value) < float("inf")


def _is_seed(value: Any) -> bool:
    if value is None or value is np.random or isinstance(value, np.random.RandomState):
        return True
    return is_integer(value, 0) and int(value) <= _LARGEST_SEED


def _is_callback(value: Any) -> bool:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return hasattr(value, "on_epoch_end")


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _is_columns(value: Any) -> bool:
    """Whether a value is a list of names or positions of columns, or a mask."""
    has_entries = hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0
    return has_entries and not isinstance(value, (str, bytes, Mapping))


ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "categorical_features": (
        lambda v: v is None or (isinstance(v, str) and v == "from_dtype") or _is_columns(v),
        '"from_dtype", None, a mask, or a list of names or positions of columns',
    ),
    "class_weight_power": (_is_real(0), "a number >= 0"),
    "sample_weight_power": (_is_real(0), "a number >= 0"),
    "logit_adjustment": (_is_real(0), "a number >= 0"),
    "weighting": (
        lambda v: isinstance(v, str) and v in ("loss", "sampling"),
        'one of ["loss", "sampling"]',
    ),
    "correct_prior": (is_flag, "True or False"),
    "match_mean": (is_flag, "True or False"),
    "optimizer": (lambda v: v is None or callable(v), "None or a torch.optim.Optimizer class"),
    "lr": (lambda v: _is_real(0)(v) and v > 0, "a number > 0"),
    "batch_size": (
        lambda v: _is_integer(1)(v) or _is_auto(v) or (is_integer(v, -1) and v == -1),
        'an integer >= 1, -1 for all rows, or "auto"',
    ),
    "max_epochs": (lambda v: _is_integer(1)(v) or _is_auto(v), 'an integer >= 1 or "auto"'),
    "early_stopping": (lambda v: is_flag(v) or _is_auto(v), 'True, False or "auto"'),
    "n_members": (lambda v: _is_integer(1)(v) or _is_auto(v), 'an integer >= 1 or "auto"'),
    "validation_fraction": (lambda v: _is_real(0)(v) and 0 < v < 1, "a number between 0 and 1"),
    "ema_decay": (
        lambda v: _is_auto(v) or (_is_real(0)(v) and v < 1),
        'a number in [0, 1) or "auto"',
    ),
    "n_iter_no_change": (_is_integer(1), "an integer >= 1"),
    "tol": (_is_real(0), "a number >= 0"),
    "compile": (is_flag, "True or False"),
    "warm_start": (is_flag, "True or False"),
    "callbacks": (
        lambda v: v is None or (isinstance(v, (list, tuple)) and all(map(_is_callback, v))),
        "None or a list of skorch callbacks or (name, callback) pairs",
    ),
    "random_state": (
        _is_seed,
        f"None, an integer from 0 to {_LARGEST_SEED}, or a numpy.random.RandomState",
    ),
    "verbose": (lambda v: is_flag(v) or _is_integer(0)(v), "an integer >= 0"),
}


def has_prefix(name: str) -> bool:
    """Whether a name is ``module__*``, ``criterion__*`` or ``optimizer__*``."""
    prefix, delimiter, rest = name.partition("__")
    return prefix in PREFIXES and bool(delimiter and rest)


def defaults_of_parts(
    module: Any, criterion: Any, named: Mapping[str, type[nn.Module]]
) -> dict[str, Any]:
    """Parameters of the default network and of a criterion that is None or a name.

    What other networks and criteria take is known only when they are made.
    """
    parts: dict[str, Any] = {}
    if module is None or module is MLP:
        parts["module"] = MLP
    if criterion is None:
        parts["criterion"] = next(iter(named.values()))
    elif isinstance(criterion, str) and criterion in named:
        parts["criterion"] = named[criterion]
    return {
        f"{prefix}__{parameter.name}": parameter.default
        for prefix, part in parts.items()
        for parameter in parameters_of(part).values()
        if parameter.default is not parameter.empty
    }


def stores_params(
    named: Mapping[str, type[nn.Module]],
) -> Callable[[Callable[Arguments, None]], Callable[Arguments, None]]:
    """Decorate a constructor: ``_params`` is what it is given for parts; other names are refused.

    The defaults that it has for parts are for readers. At run time its signature has those of parts
    that ``named`` criteria have only if they are parameters of the default one: a scikit-learn
    check wants ``get_params`` of a new estimator to list all. It has no types, among whose names
    those of the parameters would be lost in ``help``.
    """
    default = defaults_of_parts(None, None, named)

    def decorate(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
        parameters = [*inspect.signature(init).parameters.values()]
        known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD][1:]  # without self
        # scikit-learn's checks pass the name of **params too, and want no error before fit.
        unchecked = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]

        @wraps(init)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
            estimator: Any = args[0]
            for name in kwargs:
                if name not in known and name not in unchecked and not has_prefix(name):
                    raise TypeError(unknown_parameter(name, known, type(estimator).__name__))
            init(*args, **kwargs)
            estimator._params = {
                name: value
                for name, value in kwargs.items()
                if has_prefix(name) or name in unchecked
            }

        shown = [p for p in parameters if p.name in default or not has_prefix(p.name)]
        plain = [p.replace(annotation=p.empty) for p in shown]
        vars(checked)["__signature__"] = inspect.Signature(plain)
        return checked

    return decorate


def without_prefix(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What was given as ``prefix__*``, by the names without the prefix."""
    start = prefix + "__"
    return {k[len(start) :]: v for k, v in params.items() if k.startswith(start)}


def check_parameters(params: Mapping[str, Any], own: Collection[str], estimator: str) -> None:
    """Refuse unknown names and values out of range.

    ``own`` are the names in the constructor's signature, ``estimator`` is the name of the class.
    """
    for name in sorted(params.keys() - own):
        if not has_prefix(name):
            raise ValueError(unknown_parameter(name, own, estimator))
    refuse_class_weights_of_skorch(params, estimator)
    for name, (is_allowed, expected) in ALLOWED.items():
        if name in own and not is_allowed(params[name]):
            example = _EXAMPLES[name](params[name]) if name in _EXAMPLES else ""
            raise ValueError(f"{name} must be {expected}{example}, got {params[name]!r}.")


def _in_a_list(column: Any) -> str:
    """How to name a single column, for the end of what is expected; empty for other values."""
    is_column = isinstance(column, (str, Integral)) and not isinstance(column, bool)
    if not is_column or did_you_mean(str(column), ["from_dtype"]):
        return ""
    return f", such as [{column!r}]"


def _class_of_optimizer(name: Any) -> str:
    """The optimizer that a text names, for the end of what is expected; empty for other values."""
    classes = {known.lower(): known for known in dir(torch.optim) if known[0].isupper()}
    found = classes.get(name.lower()) if isinstance(name, str) else None
    return f", such as torch.optim.{found}" if found else ""


_EXAMPLES = {"categorical_features": _in_a_list, "optimizer": _class_of_optimizer}


def unknown_parameter(name: str, known: Collection[str], estimator: str) -> str:
    """The error for a name that is no parameter: first the nearest name, then all of them."""
    if instead := parameter_instead(name):
        return f"Unknown parameter {name!r} of {estimator}, which skorch's nets have: {instead}."
    if name.startswith("callbacks__"):
        return (
            f"Unknown parameter {name!r} of {estimator}: give it to the callback in callbacks, or "
            "pass it to set_params."
        )
    if name in _ELSEWHERE:
        return f"Unknown parameter {name!r} of {estimator}: pass {_ELSEWHERE[name]}."
    near = {full: full for full in [*known, *_OF_OPTIMIZERS]}
    near = {full.rpartition("__")[2]: full for full in near} | near
    synonym = SYNONYMS.get(name, name)
    hint = did_you_mean(synonym, near) if synonym in near or name not in SYNONYMS else ""
    text = (
        f"Unknown parameter {name!r} of {estimator}: expected one of "
        f"{[full for full in known if not has_prefix(full)]} or a name that begins with one of "
        f"{[f'{prefix}__' for prefix in PREFIXES]}."
    )
    return f"{hint} {text}".strip()
