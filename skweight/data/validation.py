"""X and y as scikit-learn checks them, as float32 rows for training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array, validate_data

from skweight._keywords import Mask
from skweight.data.arrays import MappedRows, as_array, canonical_csr, is_mapped, slices_of_rows
from skweight.data.cells import (
    explained_cells,
    missing_as_nan,
    refuse_series,
    refuse_unread,
)
from skweight.data.columns import Column, columns_of, is_frame, refuse_equal_names
from skweight.data.encoding import Encoding
from skweight.data.shift import to_float32
from skweight.weights import fill_targets_without_weight, refuse_masked, rows_with_weight

# Arrays of these are taken as they are, and all others as float64, also strings of numbers.
NUMERIC = [np.float64, np.float32, np.float16, np.bool_]
NUMERIC += [np.dtype(f"{kind}{size}").type for kind in "iu" for size in (1, 2, 4, 8)]


@dataclass(frozen=True)
class XReader:
    """How X is checked, and how it becomes float32.

    Parameters
    ----------
    estimator : BaseEstimator
        Named in errors. It stores the number and names of the features if ``reset``, else they must
        match.
    reset : bool
    allow_nd : bool
        Whether X may have more than two dimensions.
    allow_nan : bool
        Whether NaN is a missing number.
    has_categories : bool
        Whether columns of an array are categories, so that it is read column by column, as
        DataFrames always are.
    find_encoding : callable
        ``find_encoding(X, has_weight)`` is the encoding that makes X float32: X is an array of
        numbers, a CSR matrix or ``MappedRows``, and ``has_weight`` tells its rows with weight, None
        if all. Or it is a list of columns of the rows with weight.
    """

    estimator: Any
    reset: bool
    allow_nd: bool
    allow_nan: bool
    has_categories: bool
    find_encoding: Callable[[Any, Mask | None], Encoding]

    def read(self, X: Any) -> Any:
        """X as a C-ordered float32 array, a canonical CSR matrix or ``MappedRows``."""
        X = as_array(X)
        if self._is_as_in_fit(X):
            return self._finish(X, None)
        refuse_series(X)
        X = missing_as_nan(X)
        if self._by_columns(X):
            return self._finish(self._check_columns(X), None)
        with explained_cells(X):
            if is_mapped(X):
                X = self._check_mapped(X, None)
            else:
                X = validate_data(self.estimator, X, **self._expected)
        return self._finish(X, None)

    def read_with_y(
        self, X: Any, y: Any, sample_weight: Any, *, only_known: bool = False
    ) -> tuple[Any, Any]:
        """X as :meth:`read` gives it, and y as an array or sparse matrix with as many rows.

        Rows whose ``sample_weight`` is 0 may hold anything: NaN and infinity in X, missing targets,
        and with ``only_known`` unknown labels and targets that are no numbers.
        """
        refuse_series(X)
        X, sample_weight = missing_as_nan(as_array(X)), as_array(sample_weight)
        y = fill_targets_without_weight(as_array(y), sample_weight, all_rows=only_known)
        if self._by_columns(X):
            columns = self._check_columns(X)
            n_rows = len(columns[0].values)
            y = check_targets(self.estimator, y, n_rows)
            return self._finish_columns(columns, rows_with_weight(sample_weight, n_rows)), y
        with explained_cells(X):
            if is_mapped(X):
                has_weight = rows_with_weight(sample_weight, X.shape[0]) if X.ndim else None
                X = self._check_mapped(X, has_weight)
                y = check_targets(self.estimator, y, len(X))
            else:
                X = validate_data(self.estimator, X, **self._expected)
                y = check_targets(self.estimator, y, X.shape[0])
                has_weight = rows_with_weight(sample_weight, X.shape[0])
        return self._finish(X, has_weight), y

    @property
    def _expected(self) -> dict[str, Any]:
        """What scikit-learn is to make of an array: finite is only checked where it counts."""
        return {
            "reset": self.reset,
            "dtype": NUMERIC,
            "accept_sparse": "csr",
            "allow_nd": self.allow_nd,
            "ensure_all_finite": False,
        }

    def _is_as_in_fit(self, X: Any) -> bool:
        """Whether X is a plain array of floats, of which only its numbers need to be checked.

        scikit-learn finds nothing else in it, and takes longer for that than a network for rows.
        """
        return (
            type(X) is np.ndarray
            and X.dtype in (np.float32, np.float64)
            and X.ndim == 2
            and len(X) > 0
            and not (self.reset or self.has_categories)
            and X.shape[1] == self.estimator.n_features_in_
            and not hasattr(self.estimator, "feature_names_in_")
            and not is_mapped(X)
        )

    def _by_columns(self, X: Any) -> bool:
        return is_frame(X) or self.has_categories

    def _check_columns(self, X: Any) -> Any:
        """The columns of a DataFrame, or of an array with categories."""
        if is_frame(X):
            refuse_equal_names(X)
        else:
            X = _as_table(X)
        if 0 in X.shape:
            what = "sample(s)" if X.shape[0] == 0 else "feature(s)"
            raise ValueError(
                f"X must have rows and columns, found 0 {what} (shape={X.shape}) while a minimum "
                "of 1 is required."
            )
        validate_data(self.estimator, X, reset=self.reset, skip_check_array=True)
        return columns_of(X)

    def _finish_columns(self, columns: list[Column], has_weight: Mask | None) -> Any:
        """Encoded columns; rows without weight, which may hold anything, are not read but 0."""
        if has_weight is None:
            return self._finish(columns, None)
        kept = np.flatnonzero(has_weight)
        X = np.zeros((len(has_weight), len(columns)), dtype=np.float32)
        X[kept] = self._finish([column.take(kept) for column in columns], None)
        return X

    def _finish(self, X: Any, has_weight: Mask | None) -> Any:
        """Encoded X, with finite numbers in every row with weight."""
        X = canonical_csr(X)
        encoding = self.find_encoding(X, has_weight)
        encoded = encoding.encode(X)
        if not isinstance(X, MappedRows):
            self._check_finite(encoded, has_weight, bool(encoding.categories))
        return canonical_csr(encoded)  # the smallest numbers have become 0

    def _check_finite(self, X: Any, has_weight: Mask | None, has_categories: bool = False) -> None:
        is_sparse = sparse.issparse(X)
        try:
            with np.errstate(invalid="ignore"):  # of the sum of both infinities
                assert_all_finite(
                    X.data if is_sparse else X,
                    allow_nan=self.allow_nan and not is_sparse,
                    estimator_name=type(self.estimator).__name__,
                    input_name="X",
                )
        except ValueError as error:
            if has_weight is not None:
                # A copy, and so only made if needed.
                self._check_finite(X[has_weight], None, has_categories)
                return
            raise ValueError(self._explain(X, error, has_categories)) from error

    def _explain(self, X: Any, error: ValueError, has_categories: bool) -> str:
        """Which columns hold NaN or infinity, and what to do."""
        text = str(error).splitlines()[0]
        if sparse.issparse(X):
            return f"{text} In a sparse matrix NaN is not a missing number: pass X.toarray()."
        if X.ndim != 2:
            return text
        has_nan = not self.allow_nan and bool(np.isnan(X).any())
        is_bad = (np.isnan(X) if has_nan else np.isinf(X)).any(axis=0)
        names = getattr(self.estimator, "feature_names_in_", np.arange(X.shape[1]))
        bad = names[is_bad].tolist()
        if has_nan:
            beside = " beside categories" if has_categories else ""
            remedy = _remedy_of_missing(bad, has_categories)
            return f"X holds NaN in columns {bad}{beside}. {remedy} ({text})"
        or_nan = " or by NaN" if self.allow_nan else ""
        return (
            "X holds infinity, or numbers beyond those of float32 (3.4e38), in columns "
            f"{bad}. Replace them by smaller numbers{or_nan}, or scale the columns. ({text})"
        )

    def _check_mapped(self, X: NDArray[Any], has_weight: Mask | None) -> MappedRows:
        """Check X some rows at a time: scikit-learn would make a copy of all of it in memory."""
        blocks = slices_of_rows(X) if X.size > 0 else [...]  # what is empty is refused as it is
        for rows in blocks:
            block = check_array(
                X[rows],
                dtype=NUMERIC,
                allow_nd=self.allow_nd,
                ensure_all_finite=False,
                estimator=self.estimator,
                input_name="X",
            )
            kept = None if has_weight is None else has_weight[rows]
            self._check_finite(to_float32(block, None), kept)
        validate_data(self.estimator, X, reset=self.reset, skip_check_array=True)
        return MappedRows(X)


def _remedy_of_missing(columns: list[Any], has_categories: bool) -> str:
    """What to do about missing numbers in these columns, which have names or positions."""
    only = "Only the default network takes missing numbers: impute"
    imputer = "SimpleImputer(add_indicator=True)"
    if not has_categories:
        return f"{only} them in a Pipeline, for example with {imputer}."
    encode = "A module without a method adapt_categories needs the categories encoded as well."
    if not isinstance(columns[0], str):
        return f"{only} these columns alone, because SimpleImputer fails on strings. {encode}"
    return (
        f"{only} them in a Pipeline, for example with make_column_transformer(({imputer}, "
        f'{columns}), remainder="passthrough", verbose_feature_names_out=False)'
        f'.set_output(transform="pandas"), which leaves the categories as they are. {encode}'
    )


def check_targets(estimator: Any, y: Any, n_rows: int) -> Any:
    """Y as an array or sparse matrix, with a row for each row of X."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
    refuse_equal_names(y, "y")
    if np.iscomplexobj(y if sparse.issparse(y) else np.asarray(y)):  # y may be like an array
        raise ValueError("y must hold labels or real numbers, got complex numbers.")
    if getattr(y, "shape", (len(y) if isinstance(y, list) else 1,))[:1] == (0,):
        raise ValueError(f"y must have one entry for each of {n_rows} rows of X, got none.")
    y = check_array(
        y, accept_sparse="csr", ensure_2d=False, dtype=None, estimator=estimator, input_name="y"
    )
    if y.shape[0] != n_rows:
        raise ValueError(f"y must have one entry for each of {n_rows} rows of X, got {y.shape[0]}.")
    return y


def _as_table(X: Any) -> NDArray[Any]:
    """X in memory as an array with rows and columns, of which some are categories."""
    if sparse.issparse(X) or is_mapped(X):
        kind = "sparse matrix" if sparse.issparse(X) else "memory-mapped array"
        way = "X.toarray()" if sparse.issparse(X) else "numpy.array(X)"
        raise ValueError(
            f"categorical_features needs X as a DataFrame or array in memory, got a {kind}. "
            f"Pass {way}, or encode the categories before."
        )
    refuse_masked(X, "X")
    refuse_unread(X)
    table = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    if table.ndim != 2:
        way = "Pass a single row as [X]"
        if isinstance(X, np.ndarray):
            way = "Reshape your data, a single row with X.reshape(1, -1)"
        raise ValueError(
            "X must have rows and columns, shape (n_samples, n_features), got shape "
            f"{table.shape}. {way}."
        )
    return table
