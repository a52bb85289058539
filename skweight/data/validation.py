"""X and y as scikit-learn checks them, as float32 rows for training."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array, validate_data

from skweight._keywords import Floats
from skweight.data.arrays import MappedRows, as_array, canonical_csr, is_mapped
from skweight.data.cells import explained_cells
from skweight.data.shift import to_float32
from skweight.weights import fill_targets_without_weight, rows_with_weight

# Values of X on disk that are checked at once; scikit-learn copies what it checks.
CHECKED_AT_ONCE = 2**20
Mask = NDArray[np.bool_]
# Arrays of these are taken as they are, and all others as float64, also strings of numbers.
NUMERIC = [np.float64, np.float32, np.float16, np.bool_]
NUMERIC += [np.dtype(f"{kind}{size}").type for kind in "iu" for size in (1, 2, 4, 8)]
# What is subtracted from the columns of X, given X and which of its rows have weight.
ShiftOf = Callable[[Any, Mask | None], Floats | None]


def validate_X(
    estimator: Any, X: Any, *, reset: bool, allow_nd: bool, shift_of: ShiftOf | None = None
) -> Any:
    """X as a C-ordered float32 array, a canonical CSR matrix or ``MappedRows``.

    The estimator stores the number and names of the features if ``reset``, else they must match.
    """
    X = as_array(X)
    with explained_cells(X):
        if is_mapped(X):
            X = _check_mapped(estimator, X, None, reset, allow_nd)
        else:
            X = validate_data(estimator, X, **_expected(reset, allow_nd))
    return _finish(estimator, X, None, shift_of)


def validate_X_y(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    reset: bool,
    allow_nd: bool,
    only_known: bool = False,
    shift_of: ShiftOf | None = None,
) -> tuple[Any, Any]:
    """X as in :func:`validate_X`, and y as an array or sparse matrix with as many rows.

    Rows whose ``sample_weight`` is 0 may hold anything: NaN and infinity in X, missing targets, and
    with ``only_known`` unknown labels and targets that are no numbers.
    """
    X, sample_weight = as_array(X), as_array(sample_weight)
    y = fill_targets_without_weight(as_array(y), sample_weight, all_rows=only_known)
    with explained_cells(X):
        if is_mapped(X):
            has_weight = rows_with_weight(sample_weight, X.shape[0]) if X.ndim else None
            X = _check_mapped(estimator, X, has_weight, reset, allow_nd)
            y = check_targets(estimator, y, len(X))
        else:
            X, y = validate_data(estimator, X, y, multi_output=True, **_expected(reset, allow_nd))
            has_weight = rows_with_weight(sample_weight, X.shape[0])
    return _finish(estimator, X, has_weight, shift_of), y


def _expected(reset: bool, allow_nd: bool) -> dict[str, Any]:
    """What scikit-learn is to make of an X in memory: finite is only checked where it counts."""
    return {
        "reset": reset,
        "dtype": NUMERIC,
        "accept_sparse": "csr",
        "allow_nd": allow_nd,
        "ensure_all_finite": False,
    }


def _finish(estimator: Any, X: Any, has_weight: Mask | None, shift_of: ShiftOf | None) -> Any:
    """Shifted float32 X, with finite numbers in every row with weight."""
    X = canonical_csr(X)
    converted = to_float32(X, None if shift_of is None else shift_of(X, has_weight))
    if not isinstance(X, MappedRows):
        _check_finite(estimator, converted, has_weight)
    return canonical_csr(converted)  # the smallest numbers have become 0


def _check_finite(estimator: Any, X: Any, has_weight: Mask | None) -> None:
    values = X.data if sparse.issparse(X) else X
    try:
        assert_all_finite(values, estimator_name=type(estimator).__name__, input_name="X")
    except ValueError:
        if has_weight is None:
            raise
        _check_finite(estimator, X[has_weight], None)  # a copy, and so only made if needed


def _check_mapped(
    estimator: Any, X: NDArray[Any], has_weight: Mask | None, reset: bool, allow_nd: bool
) -> MappedRows:
    """Check X some rows at a time: scikit-learn would make a copy of all of it in memory."""
    step = max(1, CHECKED_AT_ONCE // max(1, int(np.prod(X.shape[1:]))))
    for start in range(0, max(1, X.shape[0]) if X.ndim else 1, step):
        block = check_array(
            X[start : start + step] if X.ndim else X,
            dtype=NUMERIC,
            allow_nd=allow_nd,
            ensure_all_finite=False,
            estimator=estimator,
            input_name="X",
        )
        kept = None if has_weight is None else has_weight[start : start + step]
        _check_finite(estimator, to_float32(block, None), kept)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return MappedRows(X)


def check_targets(estimator: Any, y: Any, n_rows: int) -> Any:
    """Y as an array or sparse matrix with a row for each row of X."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} needs y, the targets, got None.")
    y = check_array(
        y, accept_sparse="csr", ensure_2d=False, dtype=None, estimator=estimator, input_name="y"
    )
    if y.shape[0] != n_rows:
        raise ValueError(f"y must have one entry for each of {n_rows} rows of X, got {y.shape[0]}.")
    return y
