"""What X is: an array, or several inputs by name; the same in every call as in ``fit``."""

from collections.abc import Mapping
from typing import Any

from skweight.data import has_named_inputs
from skweight.estimators.skorch_names import refuse_datasets
from skweight.modules import is_mlp


def check_kind_of_X(estimator: Any, X: Any, reset: bool) -> None:
    """Refuse X that the default network does not take, or of another kind than in ``fit``."""
    refuse_datasets(X)
    if has_named_inputs(X):
        if is_mlp(estimator.module):
            raise ValueError(
                f"X must be one table for the default network, got {_described(X)}. Pass a module "
                "whose forward takes these names; or, if they are columns of one table, pass "
                f"pandas.DataFrame({'[X]' if _is_single_row(X) else 'X'})."
            )
        given = estimator.categorical_features
        if given is not None and not isinstance(given, str):
            raise ValueError(
                'categorical_features must be "from_dtype" or None for a dict X, whose inputs are '
                f"taken as they are, got {given!r}."
            )
    elif estimator.module is None and getattr(X, "ndim", 2) > 2:
        raise ValueError(
            "X must be 2-D for the default network, with shape (n_samples, n_features), got "
            f"shape {tuple(X.shape)}. Pass a module that takes such X."
        )
    if not reset and has_named_inputs(X) != isinstance(estimator._row_shape, Mapping):
        wanted = _described(estimator._row_shape)
        raise ValueError(f"X must be {wanted}, as in fit, got {_described(X)}.")


def _is_single_row(X: Mapping[Any, Any]) -> bool:
    return all(isinstance(v, (str, bytes)) or not hasattr(v, "__len__") for v in X.values())


def _described(X: Any) -> str:
    return f"a dict of the inputs {[*X.keys()]}" if has_named_inputs(X) else "one array"


def n_features_of(estimator: Any) -> int | dict[str, int]:
    """The number of columns of X, or of each input: 1 for an input of shape (n_samples,)."""
    if not isinstance(estimator._row_shape, Mapping):
        return int(estimator.n_features_in_)
    return {name: shape[0] if shape else 1 for name, shape in estimator._row_shape.items()}


def show_inputs(estimator: Any) -> None:
    """Show the number of columns of all inputs, which have no names, as ``n_features_in_``."""
    n_features = n_features_of(estimator)
    estimator.n_features_in_ = sum(n_features.values()) if isinstance(n_features, dict) else 0
    vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
