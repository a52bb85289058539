"""X and y as scikit-learn checks them, as float32 rows for training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from skweight.data.arrays import MappedRows, as_array, canonical_csr, is_mapped
from skweight.data.cells import explained_cells
from skweight.weights import fill_targets_without_weight

# Values of X on disk that are checked at once; scikit-learn copies what it checks.
CHECKED_AT_ONCE = 2**20


def validate_X(estimator: Any, X: Any, *, reset: bool, allow_nd: bool) -> Any:
    """X as a C-ordered float32 array, a canonical CSR matrix or ``MappedRows``.

    The estimator stores the number and names of the features if ``reset``, else they must match.
    """
    X = as_array(X)
    with explained_cells(X):
        if is_mapped(X):
            return _check_mapped(estimator, X, reset, allow_nd)
        return canonical_csr(validate_data(estimator, X, **_expected(reset, allow_nd)))


def validate_X_y(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool, allow_nd: bool
) -> tuple[Any, Any]:
    """X as in :func:`validate_X`, and y as an array or sparse matrix with as many rows.

    Targets of rows whose ``sample_weight`` is 0 may be missing.
    """
    X = as_array(X)
    y = fill_targets_without_weight(as_array(y), as_array(sample_weight))
    with explained_cells(X):
        if is_mapped(X):
            rows = _check_mapped(estimator, X, reset, allow_nd)
            return rows, _check_targets(estimator, y, len(rows))
        X, y = validate_data(estimator, X, y, multi_output=True, **_expected(reset, allow_nd))
    return canonical_csr(X), y


def _expected(reset: bool, allow_nd: bool) -> dict[str, Any]:
    """What scikit-learn is to make of an X in memory."""
    return {
        "reset": reset,
        "accept_sparse": "csr",
        "dtype": np.float32,
        "order": "C",
        "allow_nd": allow_nd,
    }


def _check_mapped(estimator: Any, X: NDArray[Any], reset: bool, allow_nd: bool) -> MappedRows:
    """Check X some rows at a time: scikit-learn would make a copy of all of it in memory."""
    step = max(1, CHECKED_AT_ONCE // max(1, int(np.prod(X.shape[1:]))))
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
