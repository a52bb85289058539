"""X and y as scikit-learn checks them, as float32 rows for training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from skweight.data.arrays import MappedRows, as_array, canonical_csr, is_mapped
from skweight.weights import fill_targets_without_weight

_VALUES_AT_ONCE = 2**20


def validate_rows(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    weight: Any = None,
    *,
    reset: bool,
    allow_nd: bool,
) -> Any:
    """Check X, and y if it is passed.

    Parameters
    ----------
    estimator : estimator
        Names and number of features are kept in it, or compared with what it has.
    X : array-like, DataFrame, tensor, CSR matrix or memory-mapped array
    y : array-like, optional
    weight : array-like, default=None
        Targets of rows that weigh nothing may be missing.
    reset : bool
        Whether the estimator meets its features for the first time.
    allow_nd : bool
        Whether X may have more than two dimensions.

    Returns
    -------
    X : ndarray (C-ordered, float32), canonical CSR matrix or MappedRows
    y : ndarray
        Only if it was passed.
    """
    X = as_array(X)
    with_y = not (isinstance(y, str) and y == "no_validation")
    y = fill_targets_without_weight(as_array(y), as_array(weight)) if with_y else y
    if is_mapped(X):
        rows = _check_mapped(estimator, X, reset, allow_nd)
        return (rows, _check_targets(estimator, y, len(rows))) if with_y else rows
    checked = validate_data(
        estimator,
        X,
        y,
        **({"multi_output": True} if with_y else {}),
        reset=reset,
        accept_sparse="csr",
        dtype=np.float32,
        order="C",
        allow_nd=allow_nd,
    )
    return (canonical_csr(checked[0]), checked[1]) if with_y else canonical_csr(checked)


def _check_mapped(estimator: Any, X: NDArray[Any], reset: bool, allow_nd: bool) -> MappedRows:
    """Check X some rows at a time, or none: scikit-learn would make a copy of it in memory."""
    step = max(1, _VALUES_AT_ONCE // max(1, int(np.prod(X.shape[1:]))))
    for start in range(0, max(1, X.shape[0]) if X.ndim else 1, step):
        check_array(
            X[start : start + step] if X.ndim else X,
            dtype=np.float32,
            allow_nd=allow_nd,
            estimator=estimator,
            input_name="X",
        )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return MappedRows(X)


def _check_targets(estimator: Any, y: Any, n_rows: int) -> Any:
    if y is None:
        raise ValueError(f"{type(estimator).__name__} needs y, the targets, got None.")
    y = check_array(
        y, accept_sparse="csr", ensure_2d=False, dtype=None, estimator=estimator, input_name="y"
    )
    if y.shape[0] != n_rows:
        raise ValueError(f"y must have one entry for each of {n_rows} rows of X, got {y.shape[0]}.")
    return y


def validate_X(estimator: Any, X: Any, *, reset: bool, allow_nd: bool) -> Any:
    return validate_rows(estimator, X, reset=reset, allow_nd=allow_nd)


def validate_X_y(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool, allow_nd: bool
) -> Any:
    return validate_rows(estimator, X, y, sample_weight, reset=reset, allow_nd=allow_nd)
