"""The steps of a fit that are about numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight.estimators.estimator import WeightedTorchEstimator
from skweight.losses import REGRESSOR_CRITERIA, RowLoss, from_criterion
from skweight.training import Output
from skweight.weights import DistinctRows, to_mean_one


class RegressionSteps(WeightedTorchEstimator):
    """What is done with targets on their way into training, and with predictions on their way out.

    ``target_mean_`` and ``target_scale_`` are floats, or arrays for y of two dimensions.
    """

    target_mean_: Any
    target_scale_: Any
    _target_shape: tuple[int, ...]  # of one row
    _positive: str | None
    _output_kind: tuple[Any, ...]

    def _make_criterion(self) -> RowLoss:
        return from_criterion(self.criterion, self._params_for("criterion"), REGRESSOR_CRITERIA)

    def _learn_target(self, y: Any) -> NDArray[Any]:
        if not self._continues or np.prod(np.shape(y)[1:]) == np.prod(self._target_shape):
            self._target_shape = np.shape(y)[1:]
        return self._encode(y, "y")

    def _announce(self, announced: Any, y: Any, first: bool) -> None:
        if first:
            self._target_shape = np.shape(y)[1:]

    def _encode(self, y: Any, name: str) -> NDArray[np.float64]:
        if np.shape(y)[1:] != self._target_shape:
            raise ValueError(
                f"{name} must have shape {('n_samples', *self._target_shape)}, as before, got "
                f"{np.shape(y)}."
            )
        if hasattr(y, "toarray"):
            raise TypeError(f"{name} must be dense, got a sparse matrix.")
        try:
            numbers = np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} must hold numbers: {error}.") from error
        bad = ~np.isfinite(numbers)  # None among objects is only now NaN
        if bad.any():
            raise ValueError(f"{name} must be finite, got {numbers[bad][0]}.")
        return numbers

    def _learn_weights(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Keep what targets must be; there are no weights but the rows' own."""
        self._positive = criterion.traits.positive

    def _multiply(self, rows: DistinctRows) -> DistinctRows:
        return rows

    def _check_domain(self, rows: DistinctRows) -> None:
        lowest = rows.y.min()
        if (self._positive and lowest < 0) or (self._positive == "positive" and lowest == 0):
            raise ValueError(
                f"y must be {self._positive} for criterion={self.criterion!r}, got a smallest "
                f"value of {lowest}."
            )

    def _learn_units(self, rows: DistinctRows, criterion: RowLoss) -> None:
        traits = criterion.traits
        several = type(criterion.criterion) if traits.n_columns > 1 else None
        kind = traits.units, traits.n_columns, traits.log_link, several
        if self._continues:
            if kind != self._output_kind:
                raise ValueError(
                    "warm_start=True goes on with the network of the last fit, whose output means "
                    f"something else than criterion={self.criterion!r} takes it for."
                )
            self._shape_units()
            return
        self._output_kind = kind
        columns = rows.y.reshape(len(rows.y), -1).T
        weight = to_mean_one(rows.weight)
        units = [_units(y, weight, traits.units) for y in columns]
        self.target_mean_, self.target_scale_ = np.array(units).T
        self._shape_units()

    def _shape_units(self) -> None:
        """Floats for y of one dimension, arrays for two."""
        for name in ("target_mean_", "target_scale_"):
            values = np.reshape(getattr(self, name), -1)
            setattr(self, name, values if self._target_shape else float(values[0]))

    def _in_units(self, y: NDArray[Any]) -> NDArray[Any]:
        scaled = np.asarray((y - self.target_mean_) / self.target_scale_)
        if self._positive == "positive" and not scaled.astype(np.float32).all():
            raise ValueError(
                f"y must not span more than float32 holds for criterion={self.criterion!r}, got a "
                f"smallest value of {y.min()} beside a mean of {self.target_scale_}."
            )
        return scaled

    def _output(self, criterion: RowLoss) -> Output:
        n_outputs = int(np.prod(self._target_shape)) * criterion.traits.n_columns
        return Output((n_outputs,), criterion.predictions)

    def _in_units_of_y(self, values: NDArray[np.float64], shift: bool = True) -> Any:
        """Scale (n, n_targets, ...) values, shift them, and give them the shape of y."""
        trailing = (1,) * (values.ndim - 2)
        scale = np.reshape(self.target_scale_, (-1, *trailing))
        mean = np.reshape(self.target_mean_, (-1, *trailing)) if shift else 0.0
        values = values * scale + mean
        return np.asarray(values if self._target_shape else values[:, 0])

    def __sklearn_tags__(self) -> Any:
        """Y may have several columns, and must be positive where the criterion says so."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        criterion = self._criterion_for_tags(REGRESSOR_CRITERIA)
        tags.target_tags.positive_only = bool(criterion and criterion.traits.positive)
        return tags


def _units(y: NDArray[np.float64], weight: NDArray[np.float64], units: str) -> tuple[float, float]:
    """What one target is shifted and divided by; weighted moments, in canonical order."""
    if units == "as_given":
        return 0.0, 1.0
    mean = float(np.average(y, weights=weight))
    if units == "mean_one":
        if not mean > 0:
            raise ValueError(
                "y must hold at least one positive value with weight for a logarithm of its mean, "
                f"got a weighted mean of {mean}."
            )
        return 0.0, mean
    largest = np.abs(y - mean).max()
    # A spread of rounding errors alone is no spread.
    if largest <= 10 * np.finfo(np.float64).eps * abs(mean):
        return mean, 1.0
    # Divided first: squares of very large or small numbers leave float64.
    squares = ((y - mean) / largest) ** 2
    # Where one row has nearly all the weight, the others must stay within float32.
    return mean, float(largest * max(np.sqrt(np.average(squares, weights=weight)), 1e-9))
