"""Constructor parameters: their names, and which values they may have."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

PREFIXES = ("module", "criterion", "optimizer")
# What is offered to someone who left out the prefix, or who knows scikit-learn's MLP.
_COMMON = (
    "module__hidden_sizes",
    "module__activation",
    "module__dropout",
    "module__feature_weights",
    "optimizer__weight_decay",
    "optimizer__momentum",
    "criterion__label_smoothing",
    "criterion__gamma",
    "criterion__quantile",
    "criterion__power",
    "criterion__delta",
)
_SYNONYMS = {
    "alpha": "optimizer__weight_decay",
    "loss": "criterion",
    "quantile": "criterion__quantile",
    "epochs": "max_epochs",
    "hidden_layer_sizes": "module__hidden_sizes",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "max_iter": "max_epochs",
}


def _is_integer(low: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low
    )


def _is_real(low: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and low <= float(value) < float("inf")
    )


def _is_callback(value: Any) -> bool:
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    return hasattr(value, "on_epoch_end")


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "class_weight_power": (_is_real(0), "a number >= 0"),
    "sample_weight_power": (_is_real(0), "a number >= 0"),
    "logit_adjustment": (_is_real(0), "a number >= 0"),
    "weighting": (
        lambda v: isinstance(v, str) and v in ("loss", "sampling"),
        'one of ["loss", "sampling"]',
    ),
    "correct_prior": (_is_flag, "True or False"),
    "optimizer": (lambda v: v is None or callable(v), "None or a torch.optim.Optimizer class"),
    "lr": (lambda v: _is_real(0)(v) and v > 0, "a number > 0"),
    "batch_size": (
        lambda v: _is_integer(1)(v) or _is_auto(v) or v == -1,
        'an integer >= 1, -1 for all rows, or "auto"',
    ),
    "max_epochs": (lambda v: _is_integer(1)(v) or _is_auto(v), 'an integer >= 1 or "auto"'),
    "early_stopping": (lambda v: _is_flag(v) or _is_auto(v), 'True, False or "auto"'),
    "validation_fraction": (lambda v: _is_real(0)(v) and 0 < v < 1, "a number between 0 and 1"),
    "ema_decay": (
        lambda v: _is_auto(v) or (_is_real(0)(v) and v < 1),
        'a number in [0, 1) or "auto"',
    ),
    "n_iter_no_change": (_is_integer(1), "an integer >= 1"),
    "tol": (_is_real(0), "a number >= 0"),
    "compile": (_is_flag, "True or False"),
    "warm_start": (_is_flag, "True or False"),
    "callbacks": (
        lambda v: v is None or (isinstance(v, (list, tuple)) and all(map(_is_callback, v))),
        "None or a list of skorch callbacks or (name, callback) pairs",
    ),
    "verbose": (lambda v: _is_flag(v) or _is_integer(0)(v), "an integer >= 0"),
}


def _has_prefix(name: str) -> bool:
    prefix, delimiter, rest = name.partition("__")
    return prefix in PREFIXES and bool(delimiter and rest)


@cache
def _own_names(init: Callable[..., None]) -> list[str]:
    return list(inspect.signature(init).parameters)[1:-1]


class PrefixedParameters(BaseEstimator):  # type: ignore[misc]
    """A scikit-learn estimator whose last ``__init__`` argument is ``**params``.

    The constructor stores them, unchecked, as ``self._params``.
    """

    _params: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, ``module__*`` and the like included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of contained estimators.

        Returns
        -------
        dict
        """
        return {**super().get_params(deep), **self._params}

    def set_params(self, **params: Any) -> "PrefixedParameters":
        """Set parameters; ``module__*``, ``criterion__*``, ``optimizer__*`` may be new ones.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        self
        """
        extra = {k: v for k, v in params.items() if k in self._params or _has_prefix(k)}
        super().set_params(**{k: v for k, v in params.items() if k not in extra})
        self._params = {**self._params, **extra}
        return self

    def _params_for(self, prefix: str) -> dict[str, Any]:
        """Return what was given as ``prefix__*``, without the prefix."""
        start = prefix + "__"
        return {k[len(start) :]: v for k, v in self._params.items() if k.startswith(start)}

    def _check_params(self) -> None:
        """Refuse unknown names and values out of range.

        Raises
        ------
        ValueError
            Names the parameter, what was expected and what came.
        """
        names = _own_names(type(self).__init__)
        prefixes = [f"{prefix}__" for prefix in PREFIXES]
        for name in self._params:
            if not _has_prefix(name):
                same = [_SYNONYMS[name]] if name in _SYNONYMS else []
                near = same or get_close_matches(name, [*names, *_COMMON], n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"Unknown parameter {name!r} of {type(self).__name__}: expected one of "
                    f"{names} or a name that begins with one of {prefixes}.{hint}"
                )
        for name, (is_allowed, expected) in _ALLOWED.items():
            value = getattr(self, name, None)
            if name in names and not is_allowed(value):
                raise ValueError(f"{name} must be {expected}, got {value!r}.")
