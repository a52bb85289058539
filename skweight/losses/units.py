"""Location and scale of y, on which networks predict numbers, and the scale of a loss of y itself.

A network learns at the scale 1. The losses of this package get y standardised. Any other loss gets
y as it is, and ``location + scale * output`` as the prediction.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

# Difference between the quartiles of a normal distribution in standard deviations.
_NORMAL_QUARTILES = 1.349
# A loss that grows more than this when the error grows tenfold is taken for one of squares.
_GROWTH = 10**1.5
# Of more rows than this, evenly spaced ones tell which constant a loss prefers.
_MOST_ROWS_TRIED = 2**14
# Its exponential is just within float64.
_LARGE_SCORE = 700.0
_LEVELS = [level / 20 for level in range(1, 20)]
_TRIED_LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]


@dataclass(frozen=True)
class LossUnits:
    """How a loss of y itself is used: predictions, and the unit of the loss. float64.

    A prediction is ``location + scale * output``, of shape (n_targets,), and losses are divided by
    ``loss_unit``, of their trailing shape. ``start`` is the output from which training starts, of
    shape (n_targets,). A loss ``has_own_link`` if the score that minimises it is another number
    than y, such as its logarithm: then its predictions are the output as it is.
    """

    location: Tensor
    scale: Tensor
    loss_unit: Tensor
    start: Tensor
    has_own_link: bool


# One target -----------------------------------------------------------------------------------


def quantiles(target: Tensor, weight: Tensor, levels: Any) -> Tensor:
    """Smallest values whose cumulated weight reaches the levels, shape (n_levels,)."""
    weight, order = weight.sort()  # weights of equal targets are then always summed in one order
    target, by_target = target[order].sort(stable=True)
    reached = weight[by_target].cumsum(0)
    # Rounding of the sum must not make a weight miss a level that it reaches exactly.
    wanted = torch.tensor(levels, dtype=reached.dtype, device=reached.device) * (1 - 1e-12)
    return target[torch.searchsorted(reached, wanted * reached[-1])]


def mean_and_deviation(target: Tensor, weight: Tensor) -> tuple[float, float]:
    """Weighted mean and standard deviation; the deviation of a constant is 1."""
    mean = float((weight * target).sum() / weight.sum())
    distance = (target - mean).abs()
    largest = float(distance.max())
    if _is_rounding_error(largest, mean):
        return mean, 1.0
    # Divided first: squares of very large or small numbers leave float64.
    variance = float((weight * (distance / largest) ** 2).sum() / weight.sum())
    # Where one row has nearly all the weight, the others must stay within float32.
    return mean, largest * max(math.sqrt(variance), 1e-9)


def quantile_and_deviation(
    target: Tensor, weight: Tensor, level: float = 0.5
) -> tuple[float, float]:
    """A weighted quantile, the median by default, and a standard deviation that ignores outliers.

    The deviation is the weighted interquartile range over 1.349, its value for a normal
    distribution with standard deviation 1. Where the quartiles are equal it is the weighted median
    distance from that value of the rows that differ from it, and 1 for a constant.
    """
    location, low, middle, high = quantiles(target, weight, [level, 0.25, 0.5, 0.75]).tolist()
    distance = (target - middle).abs()
    deviation = (high - low) / _NORMAL_QUARTILES
    if _is_rounding_error(high - low, middle):
        differs = distance > 10 * torch.finfo(torch.float64).eps * abs(middle)
        if not differs.any():
            return location, 1.0
        deviation = float(quantiles(distance[differs], weight[differs], [0.5]))
    return location, max(deviation, 1e-30 * float(distance.max()))  # all within float32


def _is_rounding_error(spread: float, location: float) -> bool:
    return spread <= 10 * torch.finfo(torch.float64).eps * abs(location)


# A loss of y itself ---------------------------------------------------------------------------


def _usual_links(y: Tensor) -> list[Tensor]:
    """Scores for which losses with a link of their own may be smallest: NaN where there is none."""
    return [torch.zeros_like(y), y, y.log(), y.logit()]


@dataclass(frozen=True)
class TriedLoss:
    """A loss of y, on rows to try it on.

    ``loss`` takes predictions and targets, ``target`` has the shape (n, n_targets) and ``weight``
    (n,), both in float64, and ``shape`` is that of the network's output but for its rows.
    ``offset``, of the shape of ``target``, is what is added to the predictions.
    """

    loss: Callable[[Tensor, Tensor], Any]
    target: Tensor
    weight: Tensor
    shape: tuple[int, ...]
    offset: Tensor

    def units(self, location: Tensor | None = None, scale: Tensor | None = None) -> LossUnits:
        """Units for the loss, with this location and scale if they are given."""
        mean = self.weight @ self._residual / self.weight.sum()
        if self._has_own_link():
            one, start = torch.ones_like(mean), self._best_start()
            return LossUnits(0 * one, one, self._loss_of_constant(start), start, True)
        if location is not None and scale is not None:
            start = (mean - location) / scale
        else:
            location, scale = self._location_and_scale()
            start = torch.zeros_like(mean)
        return LossUnits(location, scale, self._loss_of(scale), start, False)

    @property
    def _residual(self) -> Tensor:
        """What the offset leaves of y."""
        return self.target - self.offset

    def _best_start(self) -> Tensor:
        """The best of the scores that usual links make of the weighted mean, less the offset's."""
        parts = self.target, self.offset
        mean, offset = (self.weight @ part / self.weight.sum() for part in parts)
        links = [scores - offset for scores in _usual_links(mean) if scores.isfinite().all()]
        return links[int(torch.stack([self._mean(scores).mean() for scores in links]).argmin())]

    def _loss_of_constant(self, start: Tensor) -> Tensor:
        """How much higher the mean loss of a constant is than with the best usual link of each y.

        1 if it is not higher by more than rounding errors.
        """
        n_rows = len(self.target)
        constant = self._losses(start + self.offset, self.target).reshape(n_rows, -1)
        lowest = constant
        for scores in _usual_links(self.target):
            # The logarithm of 0 as a number: 0 times infinity is NaN.
            scores = scores.nan_to_num(math.nan, _LARGE_SCORE, -_LARGE_SCORE)
            losses = self._losses(scores, self.target).reshape(n_rows, -1)
            lowest = torch.where(losses < lowest, losses, lowest)
        total = self.weight.sum()
        added, size = (self.weight @ part / total for part in (constant - lowest, constant.abs()))
        return torch.where(added.isfinite() & (added > 1e-9 * size), added, 1.0)

    def _has_own_link(self) -> bool:
        """Whether for some value of y the loss is smaller at another score than at y.

        Tried are scores a little beside y, and those of the usual links: a loss may overflow near
        large y, and hardly change near small ones.
        """
        tried = self._some_targets
        step = 0.1 * self._columns(
            lambda y, weight: quantile_and_deviation(y, weight)[1], self._residual
        )
        at_target = self._losses(tried, tried)
        limit = torch.where(at_target.isinf(), at_target, at_target - 1e-9 * at_target.abs())
        others = [tried - step, tried + step, *_usual_links(tried)]
        return any(bool((self._losses(scores, tried) < limit).any()) for scores in others)

    def _location_and_scale(self) -> Tensor:
        """Location and scale of each target, shape (2, n_targets).

        Mean and standard deviation where the largest errors count about as their squares, and else
        the quantile that the loss prefers, and a deviation that ignores outliers.
        """
        largest = self._columns(
            lambda y, weight: (y - quantiles(y, weight, [0.5])).abs().max(), self._residual
        )
        growth = self._loss_of(largest) / self._loss_of(largest / 10)
        is_square = (growth > _GROWTH).expand(len(self.target.T)).tolist()
        levels = self._best_levels().expand(len(self.target.T)).tolist()
        pairs = [
            mean_and_deviation(y, self.weight)
            if square
            else quantile_and_deviation(y, self.weight, level)
            for y, square, level in zip(self._residual.T, is_square, levels)
        ]
        return torch.tensor(pairs, dtype=torch.float64).T

    def _best_levels(self) -> Tensor:
        """Levels of the quantiles of y with the least loss, one for all targets or for each."""
        step = -(-len(self.target) // _MOST_ROWS_TRIED)
        some = {name: getattr(self, name)[::step] for name in ("target", "weight", "offset")}
        rows = replace(self, **some)
        constants = rows._columns(lambda y, weight: quantiles(y, weight, _LEVELS), rows._residual)
        means = torch.stack([rows._mean(constant) for constant in constants])
        return torch.tensor(_LEVELS)[means.reshape(len(constants), -1).argmin(dim=0)]

    def _loss_of(self, error: Tensor) -> Tensor:
        """How much an error of this size adds to the loss: the mean over both signs.

        The median over some values of y; 1 if it is not positive.
        """
        tried = self._some_targets
        at_target = self._losses(tried, tried)
        added = [self._losses(tried + sign * error, tried) - at_target for sign in (-1, 1)]
        median = torch.stack(added).nanmean(dim=0).nanmedian(dim=0).values
        return torch.where(median.isfinite() & (median > 0), median, 1.0)

    @property
    def _some_targets(self) -> Tensor:
        """A few quantiles of each target, shape (n, n_targets)."""
        return self._columns(lambda y, weight: quantiles(y, weight, _TRIED_LEVELS), self.target)

    def _columns(
        self, function: Callable[[Tensor, Tensor], Tensor | float], values: Tensor
    ) -> Tensor:
        """What a function of values and weight makes of each column of the values, as columns."""
        made = [torch.as_tensor(function(column, self.weight)) for column in values.T]
        return torch.stack([column.double().reshape(-1) for column in made], dim=1)

    def _losses(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Losses of shape (n, ...) of predictions and targets of shape (n, n_targets)."""
        with torch.no_grad():
            losses = self.loss(predicted.reshape(-1, *self.shape), target.reshape(-1, *self.shape))
        return torch.as_tensor(losses).detach().cpu().double()

    def _mean(self, constant: Tensor) -> Tensor:
        """Weighted mean loss of a constant prediction (n_targets,); infinite if it is NaN."""
        losses = self._losses(constant + self.offset, self.target)
        mean = (self.weight @ losses.reshape(len(self.target), -1)) / self.weight.sum()
        return torch.where(mean.isnan(), math.inf, mean)
