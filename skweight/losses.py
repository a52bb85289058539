"""Losses of class scores, their inverse links, and the one reduction of the package.

The objective is ``R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i``. A criterion knows
nothing of weights: it returns losses, and :func:`weighted_mean` does the rest. It does know
what its raw scores mean: ``ClassLoss.logits`` says so. Losses of numbers are in
``target_losses``; what else may be given as a criterion is left to ``criteria``. Only torch here.
"""
# ruff: noqa: D102 - overrides do what the base class says, by the formula of their own class.

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def weighted_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """The loss of a batch, ``sum_i w_i loss_i / len(batch)``.

    With ``row_weight`` of mean 1 over the whole training set this estimates the
    gradient of ``sum_i w_i loss_i / sum_i w_i`` without bias at any batch size. Dividing
    by the weights of the batch instead, as ``CrossEntropyLoss(weight=...)`` does,
    discounts a heavy row by its share of its own batch.

    Parameters
    ----------
    loss, row_weight : Tensor of shape (n,), or (n, n_labels) for weights of labels

    Returns
    -------
    Tensor of shape ()
    """
    return (row_weight * loss).mean()


def backpropagate_weighted_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """Return the weighted mean without a graph, after adding its gradients to the parameters.

    ``weighted_mean(loss, row_weight).backward()`` to the bit, but for the two operations at the
    end of the graph whose derivative is known: ``row_weight / len(batch)``.

    Parameters
    ----------
    loss, row_weight : Tensor of shape (n,), or (n, n_labels) for weights of labels

    Returns
    -------
    Tensor of shape ()
    """
    dtype = torch.promote_types(loss.dtype, row_weight.dtype)
    slope = row_weight.to(dtype) * (1 / row_weight.numel())
    torch.autograd.backward(loss, slope.to(loss.dtype))
    return weighted_mean(loss.detach(), row_weight)


def mean_of_columns(loss: Tensor) -> Tensor:
    """Means of shape (n,) of losses of shape (n, ...)."""
    # The mean of one value takes as long as that of many.
    return loss.flatten() if width(loss) == 1 else loss.flatten(1).mean(1)


def width(output: Tensor) -> int:
    """Number of values in a row."""
    return math.prod(output.shape[1:])


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


def cross_entropy(output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """``-log p_y`` as in ``ClassLoss.forward``, see :class:`CrossEntropy`."""
    if target.is_floating_point():
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    return F.cross_entropy(output, target, reduction="none", label_smoothing=label_smoothing)


class CrossEntropy(ClassLoss):
    """``-log p_y``, with smoothed labels if asked for.

    Smoothing replaces the target t of a logit by ``t (1 - eps) + eps / 2``, and the loss of k
    classes by ``(1 - eps) (-log p_y) + eps mean_c (-log p_c)`` (Szegedy et al. 2016, CVPR).
    The weight of a row multiplies all of that. ``CrossEntropyLoss(weight=, label_smoothing=)``
    gives the smoothed part the weights of the other classes, and learns something else.

    ``logits`` is the identity: smoothing is a regulariser, whose shrinkage stays.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        The eps, in [0, 1).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = check_real(
            "label_smoothing", label_smoothing, lambda v: 0 <= v < 1, "a number in [0, 1)"
        )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(output, target, self.label_smoothing)


class Focal(ClassLoss):
    """``-(1 - p_y)^gamma log p_y`` (Lin et al. 2017, ICCV, arXiv 1708.02002).

    Without their alpha, which is a class weight. What minimises it is less confident than the
    posterior, ``p_c ~ q_c / phi(q_c)`` with ``phi(v) = (1-v)^gamma - gamma (1-v)^(gamma-1) v
    log v`` and q the sigmoid or softmax of the scores (Charoenphakdee et al. 2021, CVPR, arXiv
    2011.09172): ``logits`` takes that back.

    Parameters
    ----------
    gamma : float, default=2.0
        At least 0, which is cross entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = check_real("gamma", gamma, lambda v: v >= 0, "a number >= 0")

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

    ``v^-alpha`` for v >= 1 and ``2 alpha log(1 + e^(1-v)) + 1 - 2 alpha log 2`` below.
    Networks that separate their training data forget class weights under cross entropy, less
    so under such a tail (Wang, Chatterji, Haque & Hashimoto 2022, ICLR, arXiv 2112.12986). Their
    code has ``log(1 + e^(1-v)) / log 2`` below 1, which has a kink there; here value and slope
    are continuous and the loss phi is convex. ``logits`` is ``log(phi'(-z) / phi'(z))``.

    Parameters
    ----------
    alpha : float, default=1.0
        Above 0: how fast the tail falls.
    """

    binary_only = True

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = check_real("alpha", alpha, lambda v: v > 0, "a number > 0")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if not target.is_floating_point():
            raise ValueError(
                'criterion "poly_tailed" is a loss of one logit. Only binary classification is '
                "supported, or multilabel y, got class codes for scores of shape "
                f"{tuple(output.shape)}."
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


CLASSIFIER_CRITERIA: dict[str, type[ClassLoss]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "poly_tailed": PolyTailed,
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
