"""Losses of class scores, and their links from raw scores to probabilities."""
# ruff: noqa: D102 - overrides do what the base class says, by the formula of their own class.

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from skweight.losses.base import ClassLoss, CriterionError, Traits, as_columns, check_real


def cross_entropy(output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """``-log p_y`` as in ``ClassLoss.forward``, see :class:`CrossEntropy`."""
    if target.is_floating_point():
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    return F.cross_entropy(output, target, reduction="none", label_smoothing=label_smoothing)


class CrossEntropy(ClassLoss):
    """``-log p_y``, optionally with smoothed labels.

    Smoothing replaces the target t of a logit by ``t (1 - eps) + eps / 2``, and the loss of k
    classes by ``(1 - eps) (-log p_y) + eps mean_c (-log p_c)`` (Szegedy et al. 2016, CVPR).
    The weight of a row multiplies all of that. ``CrossEntropyLoss(weight=, label_smoothing=)``
    gives the smoothed part the weights of the other classes, and so has another minimum.

    ``logits`` is the identity: smoothing is a regulariser, whose shrinkage is not undone.

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
        self.traits = replace(self.traits, has_probabilities=not self.label_smoothing)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(output, target, self.label_smoothing)


class Focal(ClassLoss):
    """``-(1 - p_y)^gamma log p_y`` (Lin et al. 2017, ICCV, arXiv 1708.02002).

    Without their alpha, which is a class weight. The scores that minimise it are less confident
    than the posterior, ``p_c ~ q_c / phi(q_c)`` with ``phi(v) = (1-v)^gamma - gamma
    (1-v)^(gamma-1) v log v`` and q the sigmoid or softmax of the scores (Charoenphakdee et al.
    2021, CVPR, arXiv 2011.09172): ``logits`` corrects this.

    Parameters
    ----------
    gamma : float, default=2.0
        At least 0; 0 is cross entropy.
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
        # 1 - q loses digits where q is near 1, which only the largest can be.
        others = scores.scatter(1, scores.argmax(dim=1, keepdim=True), -torch.inf)
        log_others = others.logsumexp(dim=1, keepdim=True) - total
        q = log_q.exp()
        # Clamped, so that the branch that is not used has a finite slope as well.
        log_rest = torch.where(q > 0.5, log_others, torch.log1p(-q.clamp(max=0.5)))
        return scores - self._log_phi(log_q, log_rest)

    def _log_phi(self, log_q: Tensor, log_rest: Tensor) -> Tensor:
        """``log phi(q) = gamma log(1 - q) + log(1 + gamma x / (e^x - 1))``, x = -log q."""
        x = -log_q.clamp(max=0)
        # Above 300 the ratio is nothing beside 1; the bounds keep its slope finite too.
        used = torch.where(x > 0, x, 1.0).clamp(max=300)
        ratio = torch.where(x > 0, used / torch.expm1(used), 1.0)
        return self.gamma * log_rest + torch.log1p(self.gamma * ratio)


class PolyTailed(ClassLoss):
    """A loss of the margin ``v = (2 t - 1) z`` with a heavy tail, which keeps weights effective.

    ``v^-alpha`` for v >= 1 and ``2 alpha log(1 + e^(1-v)) + 1 - 2 alpha log 2`` below.
    In networks that separate their training data, class weights lose their effect under cross
    entropy, and less so under such a tail (Wang, Chatterji, Haque & Hashimoto 2022, ICLR, arXiv
    2112.12986). Their code has ``log(1 + e^(1-v)) / log 2`` below 1, whose slope jumps at 1; here
    value and slope are continuous and the loss phi is convex. ``logits`` is
    ``log(phi'(-z) / phi'(z))``.

    Parameters
    ----------
    alpha : float, default=1.0
        Above 0: how fast the tail falls.
    """

    traits = Traits(binary_only=True, has_mean=True)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = check_real("alpha", alpha, lambda v: v > 0, "a number > 0")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if not target.is_floating_point():
            raise CriterionError(
                'criterion "poly_tailed" is a loss of one logit. Only binary classification is '
                "supported, or multilabel y, got class codes for scores of shape "
                f"{tuple(output.shape)}."
            )
        margin = (2 * target - 1) * output
        tail = margin.clamp(min=1) ** -self.alpha  # also finite where it is not used
        body = 1 - 2 * self.alpha * (F.logsigmoid(margin - 1) + math.log(2))
        return torch.where(margin >= 1, tail, body)

    def logits(self, scores: Tensor, per_column: bool) -> Tensor:
        return self._log_slope(-scores) - self._log_slope(scores)

    def _log_slope(self, margin: Tensor) -> Tensor:
        """``log(-phi'(v) / alpha)``."""
        tail = -(self.alpha + 1) * margin.clamp(min=1).log()
        return torch.where(margin >= 1, tail, math.log(2) + F.logsigmoid(1 - margin))


ClassifierCriterion = Literal["cross_entropy", "focal", "poly_tailed"]
CLASSIFIER_CRITERIA: dict[str, type[ClassLoss]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "poly_tailed": PolyTailed,
}


def class_probabilities(scores: Tensor) -> Tensor:
    """Probabilities of shape (n, n_classes) from one column of logits or k of scores.

    None of them is 0: the smallest is the smallest normal number of the dtype, so that
    logarithms and a log loss are finite.
    """
    if scores.shape[1] == 1:
        probability = torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], dim=1)
    else:
        probability = torch.softmax(scores, dim=1)
    return probability.clamp(min=torch.finfo(scores.dtype).tiny)


def to_columns(values: Tensor, n_columns: int) -> Tensor:
    """Values of classes (n_classes,) or labels (n_labels, 2) as values of columns (n_columns,).

    A single logit, and the logit of a label, gets the difference of its two values.
    """
    if values.ndim == 2:
        return values[:, 1] - values[:, 0]
    return values[1:] - values[:1] if n_columns == 1 else values


class ClassLink:
    """Raw scores of a network -> scores and probabilities of the classes.

    Parameters
    ----------
    loss : nn.Module or callable
        If it is a :class:`~skweight.losses.ClassLoss`, its own inverse link is applied.
    multilabel : bool
        Whether each column is one label.
    adjustment : Tensor of shape (n_classes,) or (n_labels, 2), or None
        Logit adjustment that was added to the scores in training, to be added again.
    log_weight : Tensor of shape (n_classes,) or (n_labels, 2), or None
        Logarithms of the class weights, to be subtracted from the scores.

    Notes
    -----
    A network that minimises the loss under class weights w estimates odds that are
    ``w_1 / w_0`` times those of the population, and the same for more classes: the corrected
    scores are ``z_c - log w_c``.

    References
    ----------
    C. Elkan, The foundations of cost-sensitive learning, IJCAI 2001; M. Saerens et al.,
    Adjusting the outputs of a classifier to new a priori probabilities, Neural Computation
    14, 2002.
    """

    def __init__(
        self,
        loss: Any,
        multilabel: bool,
        adjustment: Tensor | None = None,
        log_weight: Tensor | None = None,
    ) -> None:
        self.loss = loss if isinstance(loss, ClassLoss) else None
        self.multilabel = multilabel
        self.adjustment = adjustment
        self.log_weight = log_weight

    @property
    def keeps_differences(self) -> bool:
        """Whether scores differ from raw scores by constants only."""
        return self.loss is None or type(self.loss).logits is ClassLoss.logits

    def scores(self, raw: Tensor) -> Tensor:
        """Logarithms of the odds, or of the probabilities up to a constant.

        Parameters
        ----------
        raw : Tensor of shape (n,) or (n, n_columns)

        Returns
        -------
        Tensor of shape (n, n_columns)
        """
        raw = as_columns(raw)
        n_columns = raw.shape[1]
        if self.adjustment is not None:
            raw = raw + to_columns(self.adjustment, n_columns).to(raw)
        if self.loss is not None:
            raw = self.loss.logits(raw, per_column=self.multilabel or n_columns == 1)
        if self.log_weight is not None:
            raw = raw - to_columns(self.log_weight, n_columns).to(raw)
        return raw

    def __call__(self, raw: Tensor) -> Tensor:
        """The same as :meth:`probabilities`."""
        return self.probabilities(raw)

    def probabilities(self, raw: Tensor) -> Tensor:
        """Probabilities of shape (n, n_classes) or (n, n_labels), none of them 0."""
        scores = self.scores(raw)
        if not self.multilabel:
            return class_probabilities(scores)
        return torch.sigmoid(scores).clamp(min=torch.finfo(scores.dtype).tiny)

    def all_probabilities(self, raw: Tensor) -> Tensor:
        """Probabilities of shape (n, n_classes), or (n, n_labels, 2) of absence and presence."""
        if not self.multilabel:
            return self.probabilities(raw)
        scores = self.scores(raw)
        pairs = torch.stack([-scores, scores], dim=-1).sigmoid()
        return pairs.clamp(min=torch.finfo(scores.dtype).tiny)
