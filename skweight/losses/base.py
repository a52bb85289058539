"""The two kinds of losses, of classes and of numbers, and the traits that describe a loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from skweight._keywords import as_real


class CriterionError(ValueError):
    """The criterion cannot be used for this problem; the message says why."""


@dataclass(frozen=True)
class Traits:
    """Requirements of a loss on y and on the network, and the meaning of its scores.

    Attributes
    ----------
    one_column_per_class : bool
        Whether even a binary problem needs two columns of scores.
    binary_only : bool
        Whether the loss has no form for more than two classes.
    takes_probabilities, takes_log_probabilities : bool
        Whether the loss takes these instead of raw scores.
    for_numbers : bool
        Whether the loss compares numbers, and so is for regression only.
    has_probabilities : bool
        Whether probabilities of classes can be computed from the scores that minimise the loss.
    own_weight : str or None
        Name of the parameter with which the loss weighs classes itself, if it does.
    n_columns : int
        Number of raw scores for each target of a regression.
    n_spreads : int
        How many of them, the last ones, are of the spread of y and not of its location.
    units : "standardised", "robust", "mean_one" or "as_given"
        How y is rescaled for training: to mean 0 and standard deviation 1, to median 0 and a
        standard deviation of 1 that ignores outliers, to mean 1, or not. A parameter such as
        Huber's delta is in the units of the rescaled y.
    positive : None, "non-negative" or "positive"
        What y must be.
    power : float or None
        Variance power of the deviance that the loss is, if it is one.
    has_mean : bool
        Whether the best constant prediction is the weighted mean of y, of numbers or of
        indicators of the classes.
    """

    one_column_per_class: bool = False
    binary_only: bool = False
    takes_probabilities: bool = False
    takes_log_probabilities: bool = False
    for_numbers: bool = False
    has_probabilities: bool = True
    own_weight: str | None = None
    n_columns: int = 1
    n_spreads: int = 0
    units: str = "as_given"
    positive: str | None = None
    power: float | None = None
    has_mean: bool = False

    @property
    def log_link(self) -> bool:
        """Whether predictions are exponentials of the scores, as under every deviance."""
        return self.power is not None

    @property
    def of_residuals(self) -> bool:
        """Whether the loss depends on the difference of prediction and y alone."""
        return self.units in ("standardised", "robust")


def check_real(name: str, value: Any, holds: Callable[[float], bool], expected: str) -> float:
    """Return ``value`` as a float, or say what ``criterion__<name>`` must be."""
    number = as_real(value)
    if not (math.isfinite(number) and holds(number)):
        raise ValueError(f"criterion__{name} must be {expected}, got {value!r}.")
    return number


class ClassLoss(nn.Module):
    """A loss of class scores."""

    traits = Traits(has_mean=True)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Losses before any weight.

        Parameters
        ----------
        output : Tensor of shape (n, n_columns)
        target : Tensor
            Floats 0 or 1 in the shape of ``output``, whose columns are then logits, or class
            codes of shape (n,) if ``output`` has one column per class.

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


class TargetLoss(nn.Module):
    """A loss of numbers. Scores have a trailing axis only if ``traits.n_columns > 1``."""

    traits = Traits(units="standardised")

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
            One target, and the weights of its rows.

        Returns
        -------
        Tensor of shape (n_columns,)
        """
        return average(target, weight).reshape(1)

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


def as_columns(values: Tensor) -> Tensor:
    """Values of shape (n,) or (n, ...) as (n, n_columns), also if there are no rows.

    ``torch.export`` takes the ``n`` of ``len`` as a constant, and ``reshape(n, -1)`` needs rows.
    """
    return values.flatten(1) if values.ndim > 1 else values[:, None]


def average(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted average of shape () of values of shape (n,)."""
    return (weight * values).sum() / weight.sum()
