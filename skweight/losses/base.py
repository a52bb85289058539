"""What a loss says about itself besides its value: columns, units, domain, inverse link."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from torch import Tensor, nn


def check_real(name: str, value: Any, holds: Callable[[float], bool], expected: str) -> float:
    """Return ``value`` as a float, or say what ``criterion__<name>`` must be."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    number = float(value) if is_real else math.nan
    if not (math.isfinite(number) and holds(number)):
        raise ValueError(f"criterion__{name} must be {expected}, got {value!r}.")
    return number


class ClassLoss(nn.Module):
    """A loss of class scores; ``binary_only`` if there is no softmax form of it."""

    binary_only = False

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Losses before any weight.

        Parameters
        ----------
        output : Tensor of shape (n, n_columns)
        target : Tensor
            Floats 0 or 1 in the shape of ``output``, which has a logit for each, or class
            codes of shape (n,) beside one column per class.

        Returns
        -------
        Tensor of the shape of ``target``
        """
        raise NotImplementedError

    def logits(self, scores: Tensor, per_column: bool) -> Tensor:
        """Logits of the posterior for which ``scores`` minimise the expected loss.

        Strictly increasing: neither ranking nor argmax changes. The identity by default.

        Parameters
        ----------
        scores : Tensor of shape (n, n_columns)
        per_column : bool
            Whether the sigmoid of each column is a posterior; else the softmax of all
            columns is. A single column is always a logit.

        Returns
        -------
        Tensor of shape (n, n_columns)
        """
        return scores


def _mean(target: Tensor, weight: Tensor) -> Tensor:
    return (weight * target).sum() / weight.sum()


class TargetLoss(nn.Module):
    """A loss of numbers.

    Attributes
    ----------
    n_columns : int
        Raw scores of each target. Scores have a trailing axis only if there are several.
    units : "standardised" or "mean_one"
        What y may be brought to without changing the fit: shifted and scaled, or scaled.
    positive : None, "non-negative" or "positive"
        What y must be.
    """

    n_columns: int = 1
    units: str = "standardised"
    positive: str | None = None

    def __init__(self) -> None:  # nn.Module's takes any keyword
        super().__init__()

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Losses before any weight.

        Parameters
        ----------
        output : Tensor of shape (n, n_targets) or (n, n_targets, n_columns)
        target : Tensor of shape (n, n_targets)

        Returns
        -------
        Tensor of shape (n, n_targets)
        """
        raise NotImplementedError

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        """Raw scores of the best model that ignores X; the weighted mean by default.

        Parameters
        ----------
        target, weight : Tensor of shape (n,), float64
            One target, and the mass of its rows.

        Returns
        -------
        Tensor of shape (n_columns,)
        """
        return _mean(target, weight).reshape(1)

    def mean(self, scores: Tensor) -> Tensor:
        """Predictions in the units of training; the scores themselves by default.

        Parameters
        ----------
        scores : Tensor of shape (...,) or (..., n_columns)

        Returns
        -------
        Tensor of shape (...,), or (..., n_columns) for quantiles
        """
        return scores
