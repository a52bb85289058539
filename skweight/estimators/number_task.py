"""The task of numbers: their domain, and the units that they are trained in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skweight._keywords import Floats, divide
from skweight.data import is_number
from skweight.estimators.offsets import as_float32
from skweight.losses import (
    NumberLink,
    RowLoss,
    Traits,
    log_mean_ratio,
    mean_and_deviation,
    quantile_and_deviation,
)
from skweight.training import Output
from skweight.weights import DistinctRows, name_place, to_mean_one


@dataclass(frozen=True)
class Units:
    """What targets are shifted and divided by in training: arrays of shape (n_targets,).

    ``meaning`` says what the outputs of the network mean; a warm start needs the same meaning.
    ``offset`` is what offsets under a log link are shifted by, so that 0 is the best constant
    output beside them.
    """

    location: Floats
    scale: Floats
    meaning: tuple[Any, ...]
    offset: Floats


class NumberTask:
    """What a fit does with numbers: checks, units of training and back.

    ``target_shape`` is the shape of y but for its rows, ``given`` the criterion as the user gave
    it, for error texts, and ``previous`` the task of the fit that this one continues, if any.
    """

    traits: Traits  # of the criterion
    meaning: tuple[Any, ...]  # of the outputs of the network
    has_offset: bool = False  # whether the fit has an offset

    def __init__(
        self, target_shape: tuple[int, ...], given: Any, previous: "NumberTask | None" = None
    ) -> None:
        self.target_shape: tuple[int, ...] = target_shape
        self.units: Units | None = None
        if previous is not None:
            self.units = previous.units
            if previous.n_targets != self.n_targets:
                self.target_shape = previous.target_shape  # so that ``encode`` refuses y
        self._given = given

    @property
    def n_targets(self) -> int:
        """Number of targets in a row of y."""
        return int(np.prod(self.target_shape))

    def encode(self, y: Any, name: str = "y") -> Floats:
        """Finite float64 numbers of the shape that was learned."""
        if np.shape(y)[1:] != self.target_shape:
            raise ValueError(
                f"{name} must have shape {('n_samples', *self.target_shape)}, as in fit, got "
                f"{np.shape(y)}."
            )
        if hasattr(y, "toarray"):
            raise TypeError(f"{name} must be dense, got a sparse matrix.")
        dtype = np.asarray(y).dtype
        if dtype.kind in "mM":  # NumPy would make very large numbers of them
            raise TypeError(
                f"{name} must hold numbers, got dtype {dtype}. Divide durations by a unit, such as "
                'np.timedelta64(1, "D"); of dates, subtract the first of them before.'
            )
        try:
            numbers = np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(_explain(y, name)) from error
        bad = ~np.isfinite(numbers)  # "nan" among strings is only now NaN
        if bad.any():
            place = tuple(np.argwhere(bad)[0].tolist())
            raise ValueError(f"{name} must be finite, got {numbers[place]} {name_place(place)}.")
        return numbers

    # Offsets, which have the shape (n, n_offsets) once they are checked.
    meaning_of_offset = "one number for each target"

    @property
    def n_offsets(self) -> int:
        """Numbers in an offset: one for each target."""
        return self.n_targets

    def shapes_of_offset(self, n_rows: int) -> list[tuple[int, ...]]:
        """Shapes that the user's offset may have."""
        n_targets = self.n_targets
        return [(n_rows,), (n_rows, 1)] if n_targets == 1 else [(n_rows, n_targets)]

    def take_offset(
        self, y: NDArray[Any], offset: Floats | None, criterion: RowLoss
    ) -> tuple[NDArray[Any], Floats | None]:
        """Targets, and the offset of their scores in training.

        Under a loss of residuals it is subtracted from y instead: the same data, and exact.
        """
        self.has_offset = offset is not None
        if offset is None or not criterion.traits.of_residuals:
            return y, offset
        with np.errstate(over="ignore"):
            left = y - offset.reshape(y.shape)
        if np.isinf(left).any():
            row = int(np.argwhere(np.isinf(left))[0, 0])
            raise ValueError(
                f"offset must leave a finite y - offset, got {offset[row].max()} for y = "
                f"{np.max(y[row])} in row {row}."
            )
        return left, None

    def offset_of_scores(self, offset: Floats | None) -> Floats | None:
        """What is added to raw scores; None if it is added to predictions instead."""
        if offset is None or self.traits.of_residuals:
            return None
        return offset - self.learned_units.offset

    def offset_of_predictions(self, offset: Floats | None, predicted: Floats) -> Floats:
        """Predictions with what is not added to their raw scores."""
        if offset is None or not self.traits.of_residuals:
            return predicted
        n_levels = (1,) * (predicted.ndim - 1 - len(self.target_shape))
        return predicted + offset.reshape(len(offset), *self.target_shape, *n_levels)

    def learn(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Learn what the criterion needs, and refuse targets that it does not allow."""
        self.traits = criterion.traits
        several = type(criterion.criterion) if self.traits.n_columns > 1 else None
        # Of all standardised targets the output means the same.
        units = "standardised" if self.traits.units == "robust" else self.traits.units
        self.meaning = units, self.traits.n_columns, self.traits.log_link, several
        self.check(rows)

    @property
    def has_class_weights(self) -> bool:
        """False: only classes have weights."""
        return False

    def reweighted(self, rows: DistinctRows, criterion: RowLoss) -> "NumberTask":
        """The same task: networks on rows that have other weights are trained in the same units."""
        return self

    def weights(self, rows: DistinctRows) -> Floats:
        """The weights of rows."""
        return rows.weight

    def weigh(self, rows: DistinctRows) -> DistinctRows:
        """Rows with their weights: numbers have no class weights."""
        return rows

    def weight_of_predictions(
        self, rows: DistinctRows, power: float, correct_prior: bool
    ) -> Floats:
        """The weights of the rows: numbers have no class weights that could be corrected."""
        return rows.weight

    def check_means(self, y: Floats, weight: Floats) -> None:
        """Refuse a mean of 0, which no exponential has.

        Under the weights of a replicate it may be 0 where :meth:`targets` has found none.
        """
        if self.traits.log_link:
            for values in np.ascontiguousarray((weight * y.reshape(len(y), -1)).T):
                _check_has_logarithm(float(values.sum()))

    def mean_to_match(self, y: Floats, weight: Floats) -> Floats:
        """Mean of each target in units of training, by weights whose sum is 1."""
        units = self.learned_units
        scaled = divide(y.reshape(len(y), -1) - units.location, units.scale)
        return np.array([values.sum() for values in np.ascontiguousarray((weight * scaled).T)])

    def classes_of(self, rows: DistinctRows) -> None:
        """None: numbers are no classes."""

    def check(self, rows: DistinctRows, name: str = "y") -> None:
        """Refuse targets that the criterion does not allow."""
        positive, lowest = self.traits.positive, rows.y.min()
        if (positive and lowest < 0) or (positive == "positive" and lowest == 0):
            text = (
                f"{name} must be {positive} for criterion={self._given!r}, got a smallest value of "
            )
            takes_zeros = (
                " Where some amounts are 0, use criterion='tweedie' with criterion__power below 2."
            )
            raise ValueError(f"{text}{lowest}.{takes_zeros if lowest == 0 else ''}")

    def targets(self, parts: list[DistinctRows]) -> list[NDArray[Any]]:
        """Training and validation targets in units of training, learned from the training rows.

        In float32, but in float64 for a loss that compares predictions with y itself.
        """
        if self.units is None:
            self.units = self._learn_units(parts[0])
        elif self.units.meaning != self.meaning:
            raise ValueError(
                "warm_start=True continues with the network of the last fit, whose output does not "
                f"mean what criterion={self._given!r} needs."
            )
        return [self._to_units(part.y, self.units) for part in parts]

    def offsets(self, parts: list[DistinctRows]) -> list[NDArray[Any] | None]:
        """Offsets of training and validation rows in units of training; after :meth:`targets`."""
        found = [self.offset_of_scores(part.offset) for part in parts]
        return found if self.traits.units == "as_given" else [*map(as_float32, found)]  # type: ignore[return-value]

    def _learn_units(self, rows: DistinctRows) -> Units:
        columns = rows.y.reshape(len(rows.y), -1).T
        weight = to_mean_one(rows.weight)
        pairs = [_location_and_scale(y, weight, self.traits.units) for y in columns]
        location, scale = np.array(pairs).T
        of_offset = np.zeros(len(columns))
        if rows.offset is not None and self.traits.power is not None:
            best = [
                _best_constant(y, weight, offset, self.traits.power)
                for y, offset in zip(columns, rows.offset.T)
            ]
            of_offset = np.log(scale) - best
        return Units(location, scale, self.meaning, of_offset)

    def _to_units(self, y: Floats, units: Units) -> NDArray[Any]:
        if self.traits.units == "as_given":
            return y
        location, scale = (
            (units.location, units.scale)
            if self.target_shape
            else (float(units.location[0]), float(units.scale[0]))
        )
        exact = divide(y - location, scale)
        if np.abs(exact).max(initial=0.0) > np.finfo(np.float32).max:
            raise ValueError(self._spans_too_much(f"largest value of {y.max()}", scale))
        scaled = exact.astype(np.float32)
        if self.traits.positive == "positive" and not scaled.all():
            raise ValueError(self._spans_too_much(f"smallest value of {y.min()}", scale))
        return scaled

    def _spans_too_much(self, value: str, scale: Any) -> str:
        unit = "mean" if self.traits.units == "mean_one" else "spread"
        return (
            f"y must not span more than float32 can hold for criterion={self._given!r}, got a "
            f"{value} and a {unit} of {scale}."
        )

    def from_units(self, values: Floats, shift: bool = True) -> Floats:
        """Values of shape (n, n_targets, ...) in the units and the shape of y.

        Without ``shift`` they are only scaled, as standard deviations are.
        """
        units = self.learned_units
        trailing = (1,) * (values.ndim - 2)
        values = values * np.reshape(units.scale, (-1, *trailing))
        values = values + (np.reshape(units.location, (-1, *trailing)) if shift else 0.0)
        return np.asarray(values if self.target_shape else values[:, 0])

    @property
    def learned_units(self) -> Units:
        """The units of y, once they are learned."""
        if self.units is None:
            raise ValueError("The units of y are learned in fit.")
        return self.units

    def attributes(self) -> dict[str, Any]:
        """What a fitted regressor shows of it: floats for y of one dimension, else arrays."""
        units, one = self.learned_units, not self.target_shape
        return {
            "target_location_": float(units.location[0]) if one else units.location,
            "target_scale_": float(units.scale[0]) if one else units.scale,
            "offset_location_": float(units.offset[0]) if one else units.offset,
        }

    def output(self, criterion: RowLoss) -> Output:
        """What the output of the network is for."""
        width = self.n_targets * criterion.traits.n_columns
        neutral = self._neutral_scores() if self.has_offset else None
        return Output((width,), NumberLink(criterion), neutral=neutral)

    def _neutral_scores(self) -> torch.Tensor:
        """Raw scores of the targets with which predictions are those of the offset alone."""
        units = self.learned_units
        scores = -units.location / units.scale
        if self.traits.log_link:
            scores = units.offset - np.log(units.scale)
        return torch.from_numpy(scores)


def _best_constant(y: Floats, weight: Floats, offset: Floats, power: float) -> float:
    """What is best added to the offset of one target, from its rows in canonical order."""
    columns = [torch.from_numpy(np.ascontiguousarray(part)) for part in (y, weight, offset)]
    return float(log_mean_ratio(columns[0], columns[1], columns[2], power))


def _explain(y: Any, name: str) -> str:
    """The first target that is no number."""
    cells = np.ndenumerate(np.asarray(y))
    place, value = next((place, value) for place, value in cells if not is_number(value))
    value = value.item() if isinstance(value, np.generic) else value
    hint = " For labels use WeightedTorchClassifier." if isinstance(value, (str, bytes)) else ""
    return f"{name} must hold numbers, got {value!r} {name_place(place)}.{hint}"


def _check_has_logarithm(mean: float) -> None:
    if not mean > 0:
        raise ValueError(
            "y must hold at least one positive value with weight for a logarithm of its mean, "
            f"got a weighted mean of {mean}."
        )


def _location_and_scale(y: Floats, weight: Floats, units: str) -> tuple[float, float]:
    """What one target is shifted and divided by, from its rows in canonical order."""
    if units == "as_given":
        return 0.0, 1.0
    if units == "mean_one":
        mean = float(np.average(y, weights=weight))
        _check_has_logarithm(mean)
        return 0.0, mean
    learn = mean_and_deviation if units == "standardised" else quantile_and_deviation
    return learn(torch.from_numpy(np.ascontiguousarray(y)), torch.from_numpy(weight))
