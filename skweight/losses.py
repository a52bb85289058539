"""The losses offered by name, their inverse links, and the one reduction of the package.

The objective is ``R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i``. A criterion knows
nothing of weights: it returns losses, and :func:`weighted_mean` does the rest. It does know
what its raw scores mean: ``ClassLoss.logits`` and ``TargetLoss.mean`` say so. What else may be
given as a criterion is left to ``criteria``. Only torch here.
"""
# ruff: noqa: D102 - overrides do what the base class says, by the formula of their own class.

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Criterion = Callable[[Tensor, Tensor], Tensor]


def weighted_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """The loss of a batch, ``sum_i w_i loss_i / len(batch)``, from two of shape (n,).

    With ``row_weight`` of mean 1 over the whole training set this estimates the
    gradient of ``sum_i w_i loss_i / sum_i w_i`` without bias at any batch size. Dividing
    by the weights of the batch instead, as ``CrossEntropyLoss(weight=...)`` does,
    discounts a heavy row by its share of its own batch.
    """
    return (row_weight * loss).mean()


def _check_real(name: str, value: Any, holds: Callable[[float], bool], expected: str) -> float:
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
        """Losses in the shape of ``target``, before any weight.

        Targets are floats 0 or 1 in the shape of ``output``, which has a logit for each, or
        class codes of shape (n,) beside an output of shape (n, n_classes).
        """
        raise NotImplementedError

    def logits(self, scores: Tensor, per_column: bool) -> Tensor:
        """Logits of the posterior for which ``scores`` minimise the expected loss.

        Of shape (n, n_labels) if ``per_column``, where a sigmoid of each column is the
        posterior, or (n, n_classes), where the softmax of all is. A single column is always a
        logit. Strictly increasing: neither ranking nor argmax changes. Identity by default.
        """
        return scores


def cross_entropy(output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """``-log p_y`` as in ``ClassLoss.forward``, see :class:`CrossEntropy`."""
    if target.is_floating_point():
        target = target * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    return F.cross_entropy(output, target, reduction="none", label_smoothing=label_smoothing)


class CrossEntropy(ClassLoss):
    """``-log p_y``, with labels smoothed by ``label_smoothing``, an eps in [0, 1).

    Smoothing replaces the target t of a logit by ``t (1 - eps) + eps / 2``, and the loss of k
    classes by ``(1 - eps) (-log p_y) + eps mean_c (-log p_c)`` (Szegedy et al. 2016, CVPR).
    The weight of a row multiplies all of that. ``CrossEntropyLoss(weight=, label_smoothing=)``
    gives the smoothed part the weights of the other classes, and learns something else.

    ``logits`` is the identity: smoothing is a regulariser, whose shrinkage stays.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = _check_real(
            "label_smoothing", label_smoothing, lambda v: 0 <= v < 1, "a number in [0, 1)"
        )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(output, target, self.label_smoothing)


class Focal(ClassLoss):
    """``-(1 - p_y)^gamma log p_y``, gamma >= 0 (Lin et al. 2017, ICCV, arXiv 1708.02002).

    Without their alpha, which is a class weight. What minimises it is less confident than the
    posterior, ``p_c ~ q_c / phi(q_c)`` with ``phi(v) = (1-v)^gamma - gamma (1-v)^(gamma-1) v
    log v`` and q the sigmoid or softmax of the scores (Charoenphakdee et al. 2021, CVPR, arXiv
    2011.09172): ``logits`` takes that back. gamma = 0 is cross entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = _check_real("gamma", gamma, lambda v: v >= 0, "a number >= 0")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if target.is_floating_point():
            margin = (2 * target - 1) * output
            log_p, log_rest = F.logsigmoid(margin), F.logsigmoid(-margin)
        else:
            column, total = target[:, None], output.logsumexp(dim=1)
            log_p = output.gather(1, column)[:, 0] - total
            log_rest = output.scatter(1, column, -torch.inf).logsumexp(dim=1) - total
        # A power of 1 - p itself has an infinite slope at p = 1 for gamma < 1.
        return -torch.exp(self.gamma * log_rest) * log_p

    def logits(self, scores: Tensor, per_column: bool) -> Tensor:
        if per_column or scores.shape[1] == 1:
            log_q, log_rest = F.logsigmoid(scores), F.logsigmoid(-scores)
            return scores - self._log_phi(log_q, log_rest) + self._log_phi(log_rest, log_q)
        total = scores.logsumexp(dim=1, keepdim=True)
        log_q = scores - total
        # 1 - q loses its digits where q is near 1, which is so for one class at most.
        others = scores.scatter(1, scores.argmax(dim=1, keepdim=True), -torch.inf)
        log_others = others.logsumexp(dim=1, keepdim=True) - total
        q = log_q.exp()
        log_rest = torch.where(q > 0.5, log_others, torch.log1p(-q))
        return scores - self._log_phi(log_q, log_rest)

    def _log_phi(self, log_q: Tensor, log_rest: Tensor) -> Tensor:
        """``log phi(q) = gamma log(1 - q) + log(1 + gamma x / (e^x - 1))``, x = -log q."""
        x = -log_q.clamp(max=0)
        ratio = torch.where(x > 0, x / torch.expm1(x), 1.0)
        return self.gamma * log_rest + torch.log1p(self.gamma * ratio)


class PolyTailed(ClassLoss):
    """A loss of the margin ``v = (2 t - 1) z`` with a heavy tail, for weights that last.

    ``v^-alpha`` for v >= 1 and ``2 alpha log(1 + e^(1-v)) + 1 - 2 alpha log 2`` below, alpha > 0.
    Networks that separate their training data forget class weights under cross entropy, less
    so under such a tail (Wang, Chatterji, Haque & Hashimoto 2022, ICLR, arXiv 2112.12986). Their
    code has ``log(1 + e^(1-v)) / log 2`` below 1, which has a kink there; here value and slope
    are continuous and the loss phi is convex. ``logits`` is ``log(phi'(-z) / phi'(z))``.
    """

    binary_only = True

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = _check_real("alpha", alpha, lambda v: v > 0, "a number > 0")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if not target.is_floating_point():
            raise ValueError(
                'criterion "poly_tailed" is a loss of one logit, for two classes or multilabel y, '
                f"got class codes for scores of shape {tuple(output.shape)}."
            )
        margin = (2 * target - 1) * output
        tail = margin.clamp(min=1) ** -self.alpha  # the branch not taken must be finite too
        body = 1 - 2 * self.alpha * (F.logsigmoid(margin - 1) + math.log(2))
        return torch.where(margin >= 1, tail, body)

    def logits(self, scores: Tensor, per_column: bool) -> Tensor:
        return self._log_slope(-scores) - self._log_slope(scores)

    def _log_slope(self, margin: Tensor) -> Tensor:
        """``log(-phi'(v) / alpha)``."""
        tail = -(self.alpha + 1) * margin.clamp(min=1).log()
        return torch.where(margin >= 1, tail, math.log(2) + F.logsigmoid(1 - margin))


def _mean(target: Tensor, weight: Tensor) -> Tensor:
    return (weight * target).sum() / weight.sum()


def _quantiles(target: Tensor, weight: Tensor, levels: Sequence[float]) -> Tensor:
    """Smallest values whose cumulated weight reaches the levels, shape (n_levels,)."""
    weight, order = weight.sort()  # so that equal targets are cumulated in one order
    target, by_target = target[order].sort(stable=True)
    reached = weight[by_target].cumsum(0)
    # A weight that reaches a level exactly must not miss it by the rounding of a sum.
    wanted = torch.tensor(levels, dtype=reached.dtype, device=reached.device) * (1 - 1e-12)
    return target[torch.searchsorted(reached, wanted * reached[-1])]


class TargetLoss(nn.Module):
    """A loss of numbers."""

    n_columns: int = 1  # raw scores of a target, with a trailing axis only if there are several
    units: str = "standardised"  # what y may be brought to; "mean_one" if scaled, but not shifted
    positive: str | None = None  # what y must be: None, "non-negative" or "positive"

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Losses in the shape of ``target``, before any weight.

        Outputs have shape (n, n_targets), or (n, n_targets, n_columns) with several columns,
        targets (n, n_targets).
        """
        raise NotImplementedError

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        """Raw scores, shape (n_columns,), of the best model that ignores X.

        From one target and the mass of its rows, both float64 of shape (n,). The weighted
        mean unless overridden.
        """
        return _mean(target, weight).reshape(1)

    def mean(self, scores: Tensor) -> Tensor:
        """Predictions in training units from raw scores of shape (...,) or (..., n_columns)."""
        return scores


class SquaredError(TargetLoss):
    """``(y - f)^2``: f estimates the mean."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target) ** 2


class AbsoluteError(TargetLoss):
    """``|y - f|``: f estimates the median."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs()

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        return _quantiles(target, weight, [0.5])


class Huber(AbsoluteError):
    """``r^2 / 2`` where ``|r| <= delta``, ``delta (|r| - delta / 2)`` outside, r = y - f.

    ``delta`` > 0 is in weighted standard deviations of y, since the target is standardised
    (Huber 1964, Ann. Math. Statist. 35). The constant is the weighted median, near the
    minimiser and as robust.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = _check_real("delta", delta, lambda v: v > 0, "a number > 0")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(output, target, reduction="none", delta=self.delta)


class Quantile(TargetLoss):
    """``max(q r, (q - 1) r)``, r = y - f, averaged over the levels q.

    f estimates the quantile of level q (Koenker & Bassett 1978, Econometrica 46). ``quantile``
    is a number strictly between 0 and 1 or a sequence of distinct ones, with a column of scores
    for each; ``levels`` is a tuple of them, ``single`` whether a number was given.
    """

    def __init__(self, quantile: float | Sequence[float] = 0.5) -> None:
        super().__init__()
        given: Any = quantile.tolist() if hasattr(quantile, "tolist") else quantile
        self.single = not isinstance(given, list | tuple)
        expected = "a number strictly between 0 and 1, or distinct ones in a list"
        self.levels = tuple(
            _check_real("quantile", level, lambda v: 0 < v < 1, expected)
            for level in ([given] if self.single else given)
        )
        self.n_columns = len(self.levels)
        if not self.levels or len(set(self.levels)) < self.n_columns:
            raise ValueError(f"criterion__quantile must be {expected}, got {given!r}.")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if self.n_columns == 1:
            output = output[..., None]
        level = torch.tensor(self.levels, dtype=output.dtype, device=output.device)
        residual = target[..., None] - output
        return torch.maximum(level * residual, (level - 1) * residual).mean(dim=-1)

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        return _quantiles(target, weight, self.levels)

    def mean(self, scores: Tensor) -> Tensor:
        """Quantiles in the order of ``levels``, the i-th smallest for the i-th smallest level.

        Sorting ends crossings and brings them nearer to the true quantiles (Chernozhukov,
        Fernandez-Val & Galichon 2010, Econometrica 78(3)).
        """
        if self.n_columns == 1:
            return scores
        ascending = sorted(self.levels)
        return scores.sort(dim=-1).values[..., [ascending.index(level) for level in self.levels]]


class TweedieDeviance(TargetLoss):
    """Half the unit deviance of a variance ``mean^p``, with the mean ``exp(z)``.

    ``y^(2-p) / ((1-p)(2-p)) - y e^((1-p)z) / (1-p) + e^((2-p)z) / (2-p)``, and its limits at
    p = 1 and p = 2 (Jorgensen 1987, JRSS B 49). ``power`` p >= 1: 1 is Poisson, 2 gamma, 3
    inverse Gaussian. From 2 on targets must be positive.
    """

    units = "mean_one"

    def __init__(self, power: float = 1.5) -> None:
        super().__init__()
        self.power = _check_real("power", power, lambda v: v >= 1, "a number >= 1")
        self.positive = "non-negative" if self.power < 2 else "positive"

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        # y^h (B_h(d) - B_g(d)), where d = z - log y, h = 2 - p, g = 1 - p and B is the Box-Cox
        # power of e^d: the formula without its poles and without large terms that cancel.
        used, g, h = target > 0, 1 - self.power, 2 - self.power
        d = torch.where(used, output - target.log(), 0)
        loss = target**h * (_box_cox(d, h) - _box_cox(d, g))
        if h > 0:  # where y = 0, only the last term of the formula is left
            loss = loss + torch.exp(h * torch.where(used, -torch.inf, output)) / h
        return loss

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        """Logarithm of the weighted mean, or of the smallest normal number if that is 0."""
        return _mean(target, weight).clamp(min=torch.finfo(torch.float32).tiny).log().reshape(1)

    def mean(self, scores: Tensor) -> Tensor:
        return scores.exp()


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

    n_columns = 2
    floor = 1e-6

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        s = self.spread(output)
        return s.log() + ((target - self.mean(output)) / s) ** 2 / 2

    def constant(self, target: Tensor, weight: Tensor) -> Tensor:
        mean = _mean(target, weight)
        # A constant y has no variance, and no raw score gives the floor itself.
        above = (_mean((target - mean) ** 2, weight) - self.floor).clamp(min=self.floor)
        return torch.stack([mean, above + torch.log(-torch.expm1(-above))])

    def mean(self, scores: Tensor) -> Tensor:
        return scores[..., 0]

    def spread(self, scores: Tensor) -> Tensor:
        """Standard deviation s in training units, in the shape of ``mean(scores)``."""
        return (F.softplus(scores[..., 1]) + self.floor).sqrt()


CLASSIFIER_CRITERIA: dict[str, type[ClassLoss]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "poly_tailed": PolyTailed,
}
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


def class_probabilities(scores: Tensor) -> Tensor:
    """Probabilities of shape (n, n_classes) from one column of logits or k of scores.

    None of them is 0: one too small for its dtype is the smallest normal number, so that
    its logarithm and a log loss stay finite.
    """
    if scores.shape[1] == 1:
        probability = torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], dim=1)
    else:
        probability = torch.softmax(scores, dim=1)
    return probability.clamp(min=torch.finfo(scores.dtype).tiny)
