"""Statistics that are ready to use with ``ReplicateEstimator.statistic``.

Each is called as a scorer of scikit-learn is: ``f(estimator, X, y, sample_weight=...)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final

import narwhals as nw
import numpy as np
from narwhals.dependencies import is_into_dataframe
from scipy import sparse
from sklearn.base import is_classifier

from skweight._keywords import Floats, as_real, did_you_mean
from skweight.data import as_array, has_named_inputs
from skweight.weights import as_numbers, check_sample_weight

# What takes the place of a value: the step is added.
_ADD_STEP: Final = object()


def mean_prediction(
    estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **params: Any
) -> Any:
    """The weighted mean of the predictions, such as the mean in the population of a survey.

    For :meth:`ReplicateEstimator.statistic <skweight.ReplicateEstimator.statistic>`, which gives it
    a standard error; also a function by itself.

    Parameters
    ----------
    estimator : fitted classifier or regressor
        With ``predict_proba`` or ``predict``.
    X : array-like or DataFrame of shape (n_samples, n_features)
        The rows to predict.
    y : object, default=None
        Ignored.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None is 1 for every row.
    **params
        Keyword arguments for ``predict`` or ``predict_proba``, such as an ``offset``.

    Returns
    -------
    float or ndarray
        Of a regressor, the mean of ``predict``, for each target. Of a classifier, the mean
        probability of ``classes_[1]`` if there are two classes, else that of each class or label.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from skweight import mean_prediction
    >>> model = DummyRegressor().fit([[0], [1]], [1.0, 2.0])
    >>> mean_prediction(model, [[0], [1]], sample_weight=[1, 3])
    1.5
    """
    values = _predictions(estimator, X, params)
    found = np.average(values, axis=0, weights=check_sample_weight(sample_weight, len(values)))
    return float(found) if np.ndim(found) == 0 else found


@dataclass(frozen=True)
class GroupDifference:
    """The weighted mean prediction in one group minus that of all other rows.

    An object to call, or to pass to
    :meth:`ReplicateEstimator.statistic <skweight.ReplicateEstimator.statistic>`.

    Parameters
    ----------
    in_group : array-like of bool, of shape (n_samples,)
        Which rows of the X that it is called with are in the group.

    Raises
    ------
    ValueError
        When it is called, if ``in_group`` does not have a bool for each row, or one side has no
        row with weight.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skweight import GroupDifference
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = LinearRegression().fit(X, 10 * X[:, 0])
    >>> difference = GroupDifference(X[:, 0] > 1)
    >>> round(difference(model, X, sample_weight=[1, 1, 1, 3]), 6)
    22.5
    """

    in_group: Any

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **params: Any
    ) -> Any:
        """Compute it; arguments and result are those of :func:`mean_prediction`."""
        values = _predictions(estimator, X, params)
        chosen = as_numbers(self.in_group, "in_group")
        if chosen.dtype != bool or chosen.shape != values.shape[:1]:
            raise ValueError(
                f"in_group must hold a bool for each of {len(values)} rows, got dtype "
                f"{chosen.dtype} with shape {chosen.shape}."
            )
        weight = check_sample_weight(sample_weight, len(values))
        means = []
        for part, name in ((chosen, "in"), (~chosen, "outside of")):
            if not weight[part].any():
                raise ValueError(f"in_group leaves no row with weight {name} the group.")
            means.append(np.average(values[part], axis=0, weights=weight[part]))
        found = means[0] - means[1]
        return float(found) if np.ndim(found) == 0 else found


@dataclass(frozen=True)
class MarginalEffect:
    """The weighted mean change of the predictions when one column of X changes in all rows.

    This is an average marginal effect for a finite change. It describes the model; it is a causal
    effect only if the model is causal. An object to call, or to pass to
    :meth:`ReplicateEstimator.statistic <skweight.ReplicateEstimator.statistic>`.

    Parameters
    ----------
    column : str or int
        Name of the column in a DataFrame, or its position.
    step : float, default=1.0
        What is added to the column, in its units; not used if ``values`` are given.
    values : pair, default=None
        Two values, such as two categories: the effect is the prediction with the column set to the
        second one in all rows, minus that with the first. None uses ``step``.

    Raises
    ------
    ValueError
        If step is not a finite number or values are not a pair; and when it is called, if X has no
        such column, or it is not numeric and there are no values.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skweight import MarginalEffect
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]])
    >>> model = LinearRegression().fit(X, 10 * X[:, 0] + X[:, 1])
    >>> round(MarginalEffect(0, step=2)(model, X), 6)
    20.0
    >>> round(MarginalEffect(1, values=(0, 1))(model, X), 6)
    1.0
    """

    column: Any
    step: float = 1.0
    values: tuple[Any, Any] | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(as_real(self.step)):
            raise ValueError(f"step must be a finite number, got {self.step!r}.")
        values = self.values
        is_pair = isinstance(values, (tuple, list, np.ndarray)) and len(values) == 2
        if values is not None and not (is_pair and all(np.ndim(value) == 0 for value in values)):
            raise ValueError(f"values must be a pair, got {values!r}.")

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **params: Any
    ) -> Any:
        """Compute it; arguments and result are those of :func:`mean_prediction`."""
        if self.values is None:
            before, after = X, _changed(X, self, _ADD_STEP)
        else:
            _check_labels(X, self, estimator)
            before, after = (_changed(X, self, value) for value in self.values)
        change = _predictions(estimator, after, params) - _predictions(estimator, before, params)
        found = np.average(change, axis=0, weights=check_sample_weight(sample_weight, len(change)))
        return float(found) if np.ndim(found) == 0 else found


def _predictions(estimator: Any, X: Any, params: dict[str, Any]) -> Floats:
    """Predicted numbers; of a classifier, probabilities: of the second of two classes."""
    if not hasattr(estimator, "predict"):
        raise TypeError(f"estimator must have a method predict, got {type(estimator).__name__}.")
    if not is_classifier(estimator):
        return np.asarray(estimator.predict(X, **params))
    found = np.asarray(estimator.predict_proba(X, **params))
    return found[:, 1] if _are_of_two_classes(estimator, found) else found


def _are_of_two_classes(estimator: Any, probability: Floats) -> bool:
    """Whether probabilities are those of two classes; two labels have as many columns."""
    if probability.shape[1] != 2 or np.ndim(getattr(estimator, "class_prior_", 0)) == 2:
        return False
    return bool(np.allclose(probability.sum(axis=1), 1, rtol=0, atol=1e-5))


def _changed(X: Any, effect: MarginalEffect, value: Any) -> Any:
    """A copy of X with a value in the column, or with the step added to it if there is none.

    The column gets a dtype that holds it: an integer cannot become a half, nor a small one large.
    """
    if is_into_dataframe(X):
        return _changed_frame(nw.from_native(X, eager_only=True), effect, value)
    if has_named_inputs(X):
        raise ValueError(f"X must be one table, got several named inputs: {[*X]}.")
    X = X if sparse.issparse(X) else np.asarray(as_array(X))
    if len(X.shape) != 2:
        raise ValueError(f"X must have rows and columns, got shape {X.shape}.")
    column, n_columns = effect.column, X.shape[1]
    if not isinstance(column, Integral) or not -n_columns <= int(column) < n_columns:
        raise ValueError(
            f"column must be a position from {-n_columns} to {n_columns - 1} in an X without "
            f"names, got {column!r}."
        )
    place = int(column) % n_columns
    if value is _ADD_STEP:
        old = X[:, [place]]
        old = old.toarray() if sparse.issparse(old) else old
        value = (old.astype(np.int64) if old.dtype.kind in "biu" else old) + effect.step
    new = np.broadcast_to(value, (X.shape[0], 1))
    new = new.astype(X.dtype) if X.dtype.kind == "f" else new
    parts = [X[:, :place], new, X[:, place + 1 :]]
    return sparse.hstack(parts, "csr") if sparse.issparse(X) else np.concatenate(parts, axis=1)


def _check_labels(X: Any, effect: MarginalEffect, estimator: Any) -> None:
    """Refuse labels of a column of categories that neither X nor the estimator knows: typos."""
    if not is_into_dataframe(X):
        return
    frame = nw.from_native(X, eager_only=True)
    column = effect.column
    if column not in frame.columns or frame.get_column(column).dtype.is_numeric():
        return
    found = frame.get_column(column)
    if found.dtype == nw.Boolean:
        return
    codes = getattr(estimator, "category_codes_", {}).get(column, {})
    known = [*dict.fromkeys([*found.unique().to_list(), *codes])]
    for label in effect.values or ():
        if label is not None and label not in known:
            hint = did_you_mean(str(label), map(str, known))
            raise ValueError(
                f"values must be labels of column {column!r}, got {label!r}, which neither X nor "
                f"the estimator knows.{hint}"
            )


def _changed_frame(frame: Any, effect: MarginalEffect, value: Any) -> Any:
    """The same of a DataFrame."""
    column, names = effect.column, frame.columns
    is_position = isinstance(column, Integral) and -len(names) <= int(column) < len(names)
    name = names[int(column)] if is_position and column not in names else column
    if name not in names:
        hint = did_you_mean(str(column), map(str, names))
        raise ValueError(f"column must be a column of X, got {column!r}, which is none.{hint}")
    old = frame.get_column(name)
    is_whole = old.dtype.is_integer() or old.dtype == nw.Boolean
    if not (is_whole or old.dtype.is_numeric()):
        if value is _ADD_STEP:
            raise ValueError(
                f"values must be given for column {name!r}, to which no step can be added, got a "
                f"column of {old.dtype}."
            )
        new = nw.lit(value, dtype=old.dtype)
    elif value is _ADD_STEP:
        new = (old.cast(nw.Int64) if is_whole else old) + effect.step
    else:
        new = _number(name, value, old.dtype)
    return frame.with_columns(new.alias(name)).to_native()


def _number(name: Any, value: Any, dtype: Any) -> Any:
    """A value of a column of numbers, of a dtype that holds it; None is NaN."""
    value = np.nan if value is None else value
    if not isinstance(value, Real):
        raise ValueError(f"values must be numbers for column {name!r} of {dtype}, got {value!r}.")
    if dtype == nw.Boolean and value in (0, 1):
        return nw.lit(bool(value), dtype=dtype)
    if dtype.is_integer() and float(value).is_integer():
        return nw.lit(int(float(value)), dtype=nw.Int64)
    return nw.lit(float(value), dtype=dtype if dtype.is_float() else nw.Float64)
