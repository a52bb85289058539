"""X and y of ``fit``, ``partial_fit`` and ``predict``, checked against network and last fit."""

from typing import Any

from skweight.data import validate_X, validate_X_y


def validate(estimator: Any, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Any]:
    """X as training reads it, with rows of the shape of those of ``fit``, and y."""
    _check_dimensions(estimator, X)
    allow_nd = estimator.module is not None
    X, y = validate_X_y(estimator, X, y, sample_weight, reset=reset, allow_nd=allow_nd)
    _check_row_shape(estimator, X, reset)
    return X, y


def validate_to_predict(estimator: Any, X: Any) -> Any:
    """X as prediction reads it, with rows of the shape of those of ``fit``."""
    _check_dimensions(estimator, X)
    X = validate_X(estimator, X, reset=False, allow_nd=estimator.module is not None)
    _check_row_shape(estimator, X, reset=False)
    return X


def _check_dimensions(estimator: Any, X: Any) -> None:
    if estimator.module is None and getattr(X, "ndim", 2) > 2:
        raise ValueError(
            "X must be 2-D for the default network, with shape (n_samples, n_features), got "
            f"shape {tuple(X.shape)}. Pass a module that takes such X."
        )


def _check_row_shape(estimator: Any, X: Any, reset: bool) -> None:
    if reset:
        estimator._row_shape = X.shape[1:]
    elif X.shape[1:] != estimator._row_shape:
        raise ValueError(
            f"X must have rows of shape {estimator._row_shape}, as in fit, got {X.shape[1:]}."
        )
