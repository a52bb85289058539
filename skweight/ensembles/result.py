"""A statistic with its standard error under the design of a survey."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skweight._keywords import Floats, as_real
from skweight.weights import Table


@dataclass(frozen=True)
class ReplicateStatistic:
    """A statistic, its values in the replicates, and the standard error that they give.

    Prints as a table; :meth:`to_frame` makes a pandas DataFrame of it.

    Attributes
    ----------
    value : float or ndarray
        The statistic of the estimator that was fitted to the full sample.
    replicates : ndarray of shape (n_replicates, ...)
        The statistic of each replicate.
    factors : ndarray of shape (n_replicates,)
        The factor of each replicate's squared deviation in the variance.
    mse : bool
        Whether deviations are from ``value``. If False, from the mean of the replicates.
    degrees_of_freedom : float or None
        Degrees of freedom of the design: confidence intervals use Student's t. None is the normal
        distribution.
    names : list of str
        Names of the entries of ``value``, for the table.
    """

    value: Any
    replicates: NDArray[Any]
    factors: Floats
    mse: bool = True
    degrees_of_freedom: float | None = None
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        df, n_names, size = self.degrees_of_freedom, len(self.names), np.size(self.value)
        if df is not None and not as_real(df) > 0:
            raise ValueError(f"degrees_of_freedom must be None or a positive number, got {df!r}.")
        if n_names not in (0, size):
            raise ValueError(
                f"names must hold one name for each of the {size} entries of the statistic, got "
                f"{n_names}: {self.names}."
            )

    @property
    def deviations(self) -> Floats:
        """Differences of the replicates, of shape (n_replicates, ...), from their centre."""
        centre = self.value if self.mse else self.replicates.mean(axis=0)
        return np.asarray(self.replicates - centre)

    @property
    def standard_error(self) -> Any:
        """Square root of the weighted sum of squared deviations; of the shape of ``value``."""
        found = standard_error(self.deviations, self.factors)
        return float(found) if np.ndim(found) == 0 else found

    @property
    def covariance(self) -> Floats:
        """Covariance matrix of the entries of ``value``, flattened: shape (n, n)."""
        flat = self.deviations.reshape(len(self.factors), -1)
        return np.asarray(flat.T @ (flat * self.factors[:, None]))

    def confidence_interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Ends of the confidence interval.

        Parameters
        ----------
        level : float, default=0.95
            Probability, between 0 and 1, with which such intervals hold the true value.

        Returns
        -------
        low, high : float or ndarray of the shape of ``value``

        Raises
        ------
        ValueError
            If level is not between 0 and 1.
        """
        if not 0 < as_real(level) < 1:
            raise ValueError(f"level must be between 0 and 1, got {level!r}.")
        df = self.degrees_of_freedom
        quantile = stats.norm.ppf if df is None else stats.t(df).ppf
        reach = float(quantile((1 + level) / 2)) * self.standard_error
        return self.value - reach, self.value + reach

    def table(self) -> Table:
        """Columns by name, with an entry for each entry of ``value``."""
        low, high = self.confidence_interval()
        columns = {
            "value": self.value,
            "standard_error": self.standard_error,
            "low_95": low,
            "high_95": high,
        }
        is_number = np.ndim(self.value) == 0
        places = ["statistic"] if is_number else map(str, range(np.size(self.value)))
        names = self.names or [*places]
        named = {name: np.ravel(values) for name, values in columns.items()}
        return Table({"": np.array(names), **named})

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns value, standard_error, low_95 and high_95.

        Returns
        -------
        pandas.DataFrame
            With a row for each entry of ``value``.
        """
        import pandas as pd

        columns = dict(self.table())
        return pd.DataFrame(columns, index=columns.pop(""))

    def __repr__(self) -> str:
        return repr(self.table())


def standard_error(deviations: Floats, factors: Floats) -> Any:
    """Standard errors from deviations of replicates of shape (n_replicates, ...)."""
    return np.sqrt(np.tensordot(factors, deviations**2, axes=1))


def spread(value: Floats, replicates: Iterable[Floats], factors: Floats, mse: bool) -> Floats:
    """Standard errors of many values, of which replicates are not kept."""
    mean, weighted, squares = np.zeros((3, *value.shape))
    for factor, values in zip(factors, replicates):
        change = values - value
        mean += change / len(factors)
        weighted += factor * change
        squares += factor * change**2
    if not mse:  # sum c (d - m)^2
        squares += mean * (mean * factors.sum() - 2 * weighted)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
