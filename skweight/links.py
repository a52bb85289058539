"""From raw scores to classes: inverse links, and class weights taken back out of the odds.

A loss knows its own inverse link (``losses``); which weights there were is known to the
classifier. Only torch here.
"""

from typing import Any

import torch
from torch import Tensor

from skweight.losses import ClassLoss, class_probabilities


def to_columns(values: Tensor, n_columns: int) -> Tensor:
    """Bring values of classes to columns of scores: one for two classes is a difference.

    Parameters
    ----------
    values : Tensor of shape (n_classes,) or (n_labels, 2)
    n_columns : int

    Returns
    -------
    Tensor of shape (n_columns,)
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
    labels : bool
        Whether each column is a label of its own.
    offset : Tensor of shape (n_classes,) or (n_labels, 2), or None
        What the training added to the scores and is to be taken out of the odds.
    log_weight : Tensor of shape (n_classes,) or (n_labels, 2), or None
        Logarithms of the class weights that are to be taken out of the odds.

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
        labels: bool,
        offset: Tensor | None = None,
        log_weight: Tensor | None = None,
    ) -> None:
        self.loss = loss if isinstance(loss, ClassLoss) else None
        self.labels = labels
        self.offset = offset
        self.log_weight = log_weight

    def scores(self, raw: Tensor) -> Tensor:
        """Logarithms of the odds, or of the probabilities up to a constant.

        Parameters
        ----------
        raw : Tensor of shape (n,) or (n, n_columns)

        Returns
        -------
        Tensor of shape (n, n_columns)
        """
        raw = raw.reshape(len(raw), -1)
        n_columns = raw.shape[1]
        if self.offset is not None:
            raw = raw + to_columns(self.offset, n_columns).to(raw)
        if self.loss is not None:
            raw = self.loss.logits(raw, per_column=self.labels or n_columns == 1)
        if self.log_weight is not None:
            raw = raw - to_columns(self.log_weight, n_columns).to(raw)
        return raw

    def probabilities(self, raw: Tensor) -> Tensor:
        """Probabilities of shape (n, n_classes) or (n, n_labels), none of them 0."""
        scores = self.scores(raw)
        if not self.labels:
            return class_probabilities(scores)
        return torch.sigmoid(scores).clamp(min=torch.finfo(scores.dtype).tiny)
