"""Statistics that are ready to use with ``ReplicateEstimator.statistic``.

Each is called as a scorer of scikit-learn is: ``f(estimator, X, y, sample_weight=...)``.
"""

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from narwhals.dependencies import is_into_dataframe
from sklearn.base import is_classifier

from skweight._keywords import Floats, did_you_mean


def mean_prediction(
    estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **params: Any
) -> Any:
    """The mean of the predictions in the population: weighted over the rows of X.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    X : array-like or DataFrame of shape (n_samples, n_features)
    y : ignored
    sample_weight : array-like of shape (n_samples,), default=None
    **params
        For ``predict`` or ``predict_proba``, such as an ``offset``.

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
    found = np.average(_predictions(estimator, X, params), axis=0, weights=sample_weight)
    return float(found) if np.ndim(found) == 0 else found


@dataclass(frozen=True)
class GroupDifference:
    """The mean prediction in one group minus that in the others.

    Parameters
    ----------
    in_group : array-like of bool, of shape (n_samples,)
        Which rows of X are in the group.

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
        chosen = np.asarray(self.in_group)
        if chosen.dtype != bool or chosen.shape != values.shape[:1]:
            raise ValueError(
                f"in_group must hold a bool for each of {len(values)} rows, got dtype "
                f"{chosen.dtype} with shape {chosen.shape}."
            )
        weight = np.ones(len(values)) if sample_weight is None else np.asarray(sample_weight)
        means = []
        for part, name in ((chosen, "in"), (~chosen, "outside of")):
            if not weight[part].any():
                raise ValueError(f"in_group leaves no row with weight {name} the group.")
            means.append(np.average(values[part], axis=0, weights=weight[part]))
        found = means[0] - means[1]
        return float(found) if np.ndim(found) == 0 else found


@dataclass(frozen=True)
class MarginalEffect:
    """The mean change of the predictions when one column of X changes for all rows.

    The average marginal effect of a finite change, of the model: it is what the model says, and
    causal only if the model is.

    Parameters
    ----------
    column : str or int
        Name of the column in a DataFrame, or position in an array.
    step : float, default=1.0
        What is added to the column; without effect if ``values`` are given.
    values : pair, default=None
        The difference between the predictions with the column set to the second of these values
        for all rows, and to the first: of two categories, for instance.

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

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **params: Any
    ) -> Any:
        """Compute it; arguments and result are those of :func:`mean_prediction`."""
        if self.values is None:
            before, after = X, _changed(X, self.column, lambda old: old + self.step)
        else:
            before, after = (_changed(X, self.column, lambda _, v=v: v) for v in self.values)
        change = _predictions(estimator, after, params) - _predictions(estimator, before, params)
        found = np.average(change, axis=0, weights=sample_weight)
        return float(found) if np.ndim(found) == 0 else found


def _predictions(estimator: Any, X: Any, params: dict[str, Any]) -> Floats:
    """Predicted numbers; of a classifier, probabilities: of the second of two classes."""
    if not is_classifier(estimator):
        return np.asarray(estimator.predict(X, **params))
    found = np.asarray(estimator.predict_proba(X, **params))
    is_binary = found.shape[1] == 2 and len(estimator.classes_) == 2
    return found[:, 1] if is_binary else found


def _changed(X: Any, column: Any, change: Any) -> Any:
    """A copy of X with another column."""
    if is_into_dataframe(X):
        frame = nw.from_native(X, eager_only=True)
        name = frame.columns[column] if isinstance(column, int) else column
        if name not in frame.columns:
            hint = did_you_mean(str(column), frame.columns)
            raise ValueError(f"column must be a column of X, got {column!r}, which is none.{hint}")
        old = frame[name]
        new = change(old)
        if new is not None and not isinstance(new, nw.Series):
            new = nw.lit(new, dtype=old.dtype)
        return frame.with_columns(new.alias(name)).to_native()
    X = np.array(X)
    X[:, column] = change(X[:, column])
    return X
