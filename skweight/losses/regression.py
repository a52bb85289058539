"""Losses of numbers: squared and absolute error, quantiles, deviances."""
# ruff: noqa: D102 - overrides do what the base class says, by the formula of their own class.

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from skweight.losses.base import TargetLoss, average, check_real
from skweight.losses.units import quantiles

# Each halves the distance from the minimum at least where half of the rows are within delta.
_HUBER_ITERATIONS = 30


class SquaredError(TargetLoss):
    """``(y - f)^2``: f estimates the mean."""

    traits = replace(TargetLoss.traits, has_mean=True)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target) ** 2


class AbsoluteError(TargetLoss):
    """``|y - f|``: f estimates the median."""

    traits = replace(TargetLoss.traits, units="robust")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs()

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        return quantiles(target, weight, [0.5])


class Huber(AbsoluteError):
    """``r^2 / 2`` where ``|r| <= delta``, ``delta (|r| - delta / 2)`` outside, r = y - f.

    Huber 1964, Annals of Mathematical Statistics 35.

    Parameters
    ----------
    delta : float, default=1.0
        Above 0, in robust standard deviations of y, since that is what the target is divided by.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = check_real("delta", delta, lambda v: v > 0, "a number > 0")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(output, target, reduction="none", delta=self.delta)

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        """The minimum, by iteratively reweighted means from the median on."""
        center = super().constant(target, weight)
        for _ in range(_HUBER_ITERATIONS):
            # A residual beyond delta pulls like one of delta.
            pull = weight * (self.delta / (target - center).abs()).clamp(max=1)
            center = average(target, pull).reshape(1)
        return center


class Quantile(TargetLoss):
    """``max(q r, (q - 1) r)``, r = y - f, averaged over the levels q.

    f estimates the quantile of level q (Koenker & Bassett 1978, Econometrica 46).

    Parameters
    ----------
    quantile : float or sequence of float, default=0.5
        One level strictly between 0 and 1, or distinct ones with a column of scores each.

    Attributes
    ----------
    levels : tuple of float
    """

    traits = replace(TargetLoss.traits, units="robust")

    def __init__(self, quantile: float | Sequence[float] = 0.5) -> None:
        super().__init__()
        given: Any = quantile.tolist() if hasattr(quantile, "tolist") else quantile
        one = not isinstance(given, list | tuple)
        expected = "a number strictly between 0 and 1, or distinct ones in a list"
        self.levels = tuple(
            check_real("quantile", level, lambda v: 0 < v < 1, expected)
            for level in ([given] if one else given)
        )
        if not self.levels or len(set(self.levels)) < len(self.levels):
            raise ValueError(f"criterion__quantile must be {expected}, got {given!r}.")
        self.traits = replace(self.traits, n_columns=len(self.levels))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if len(self.levels) == 1:
            output = output[..., None]
        level = torch.tensor(self.levels, dtype=output.dtype, device=output.device)
        residual = target[..., None] - output
        return torch.maximum(level * residual, (level - 1) * residual).mean(dim=-1)

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        return quantiles(target, weight, self.levels)

    def mean(self, scores: Tensor) -> Tensor:
        """Quantiles in the order of ``levels``, the i-th smallest for the i-th smallest level.

        Sorted quantiles do not cross and are nearer to the true ones (Chernozhukov,
        Fernandez-Val & Galichon 2010, Econometrica 78(3)).
        """
        if len(self.levels) == 1:
            return scores
        ascending = sorted(self.levels)
        return scores.sort(dim=-1).values[..., [ascending.index(level) for level in self.levels]]


class TweedieDeviance(TargetLoss):
    """Half the unit deviance of a variance ``mean^p``, with the mean ``exp(z)``.

    ``y^(2-p) / ((1-p)(2-p)) - y e^((1-p)z) / (1-p) + e^((2-p)z) / (2-p)``, and its limits at
    p = 1 and p = 2 (Jorgensen 1987, JRSS B 49).

    Parameters
    ----------
    power : float, default=1.5
        p, at least 1: 1 is Poisson, 2 gamma, 3 inverse Gaussian, between 1 and 2 a Poisson
        number of gamma amounts. From 2 on targets must be positive.
    """

    traits = replace(TargetLoss.traits, has_mean=True)

    def __init__(self, power: float = 1.5) -> None:
        super().__init__()
        self.power = check_real("power", power, lambda v: v >= 1, "a number >= 1")
        self.traits = replace(
            self.traits,
            units="mean_one",
            positive="non-negative" if self.power < 2 else "positive",
            power=self.power,
        )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        # y^h (B_h(d) - B_g(d)), where d = z - log y, h = 2 - p, g = 1 - p and B is the Box-Cox
        # power of e^d. This form has no poles and no large terms that cancel.
        used, g, h = target > 0, 1 - self.power, 2 - self.power
        d = torch.where(used, output - target.log(), 0)
        loss = target**h * (_box_cox(d, h) - _box_cox(d, g))
        if h > 0:  # where y = 0, only the last term remains
            loss = loss + torch.exp(h * torch.where(used, -torch.inf, output)) / h
        return loss

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        """Logarithm of the weighted mean, or of the smallest normal number if that is 0."""
        return average(target, weight).clamp(min=torch.finfo(torch.float32).tiny).log().reshape(1)

    def mean(self, scores: Tensor) -> Tensor:
        return exponential(scores)


def exponential(scores: Tensor) -> Tensor:
    """``exp(z)`` with z clipped, so that it is positive and finite in float64 in any unit of y."""
    return scores.clamp(-500, 500).exp()


def _box_cox(log_x: Tensor, power: float) -> Tensor:
    """``(x^power - 1) / power``, or ``log x`` at 0, from log x."""
    return log_x if power == 0 else torch.expm1(power * log_x) / power


class PoissonDeviance(TweedieDeviance):
    """``e^z - y z + y log y - y``, for counts and rates (McCullagh & Nelder 1989)."""

    def __init__(self) -> None:
        super().__init__(1.0)


class GammaDeviance(TweedieDeviance):
    """``y e^-z + z - log y - 1``, for positive amounts (McCullagh & Nelder 1989)."""

    def __init__(self) -> None:
        super().__init__(2.0)


class GaussianNLL(TargetLoss):
    """``(log s^2 + (y - m)^2 / s^2) / 2`` of a mean and a variance that depend on X.

    Nix & Weigend 1994, ICNN. The columns are m and a raw score r of the variance,
    ``s^2 = log(1 + e^r) + 1e-6`` (Lakshminarayanan et al. 2017, NeurIPS, arXiv 1612.01474).
    """

    traits = replace(TargetLoss.traits, n_columns=2, n_spreads=1, has_mean=True)
    floor = 1e-6

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        s = self.spread(output)
        return s.log() + ((target - self.mean(output)) / s) ** 2 / 2

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        mean = average(target, weight)
        # A constant y has variance 0, and no raw score gives the floor exactly.
        above = (average((target - mean) ** 2, weight) - self.floor).clamp(min=self.floor)
        return torch.stack([mean, above + torch.log(-torch.expm1(-above))])

    def mean(self, scores: Tensor) -> Tensor:
        return scores[..., 0]

    def spread(self, scores: Tensor) -> Tensor:
        """Standard deviation s in training units, in the shape of ``mean(scores)``."""
        return (F.softplus(scores[..., 1]) + self.floor).sqrt()


RegressorCriterion = Literal[
    "squared_error",
    "absolute_error",
    "huber",
    "quantile",
    "poisson",
    "gamma",
    "tweedie",
    "gaussian_nll",
]
REGRESSOR_CRITERIA: dict[str, type[TargetLoss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
    "poisson": PoissonDeviance,
    "gamma": GammaDeviance,
    "tweedie": TweedieDeviance,
    "gaussian_nll": GaussianNLL,
}
