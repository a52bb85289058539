"""The default score of a regression, of an estimator and of its net."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, r2_score

from skweight.losses import Quantile, RowLoss


def explained_share(
    y: NDArray[Any], predicted: NDArray[Any], weight: NDArray[Any] | None, criterion: RowLoss
) -> float:
    """R2, or D2 if the criterion is a deviance or a quantile loss; averaged over targets.

    It is the same in the units of y and in those of training. ``y`` has the shape (n_samples,) or
    (n_samples, n_targets), and ``predicted`` may have one more axis, of levels.
    """
    targets = y.reshape(len(y), -1)
    predicted = predicted.reshape(*targets.shape, -1)
    scores = [
        _of_one_target(column, levels, weight, criterion)
        for column, levels in zip(targets.T, np.moveaxis(predicted, 1, 0))
    ]
    return float(np.mean(scores))


def _of_one_target(
    y: NDArray[Any], predicted: NDArray[Any], weight: NDArray[Any] | None, criterion: RowLoss
) -> float:
    """R2 or D2 of one target; ``predicted`` has shape (n_samples, n_levels)."""
    if isinstance(criterion.criterion, Quantile):
        scores = [
            d2_pinball_score(y, column, sample_weight=weight, alpha=level)
            for column, level in zip(predicted.T, criterion.criterion.levels)
        ]
        return float(np.mean(scores))
    predicted = predicted[:, 0]
    if criterion.traits.power is None:
        unit = -int(np.frexp(np.abs(y).max())[1])  # squares of very large or small y leave float64
        y, predicted = np.ldexp(y, unit), np.ldexp(predicted, unit)
        return float(r2_score(y, predicted, sample_weight=weight))
    if np.ptp(y) == 0:  # no deviance to explain: what r2_score says of a constant y
        return float(np.array_equal(y, predicted))
    return float(d2_tweedie_score(y, predicted, sample_weight=weight, power=criterion.traits.power))
