"""Losses per row, their inverse links, and the one reduction of the package.

The objective is ``R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i``. A criterion knows
nothing of weights: it returns one loss per row, and :func:`weighted_mean` does the rest.
What else may be given as a criterion is left to ``criteria``. Only torch here.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Criterion = Callable[[Tensor, Tensor], Tensor]


def weighted_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """The loss of a batch, ``sum_i w_i loss_i / len(batch)``.

    With ``row_weight`` of mean 1 over the whole training set this estimates the
    gradient of ``sum_i w_i loss_i / sum_i w_i`` without bias at any batch size. Dividing
    by the weights of the batch instead, as ``CrossEntropyLoss(weight=...)`` does,
    discounts a heavy row by its share of its own batch.

    Parameters
    ----------
    loss, row_weight : Tensor of shape (n,)

    Returns
    -------
    Tensor of shape ()
    """
    return (row_weight * loss).mean()


# --------------------------------------------------------------------------------------
# Criteria: (output, target) -> one loss per row
# --------------------------------------------------------------------------------------


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """``-log sigmoid(z)`` for target 1 and ``-log sigmoid(-z)`` for 0, elementwise."""
    return F.binary_cross_entropy_with_logits(output, target, reduction="none")


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """``-log p_y``: binary on one column of logits, softmax on one column per class.

    Parameters
    ----------
    output : Tensor of shape (n,), (n, 1) or (n, n_classes)
    target : Tensor
        Floats 0 or 1 in the shape of ``output``, or class codes of shape (n,).
    """
    if target.is_floating_point():
        return binary_cross_entropy(output, target)
    return F.cross_entropy(output, target, reduction="none")


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """``(output - target)^2``, elementwise."""
    return (output - target) ** 2


CLASSIFIER_CRITERIA: dict[str, Criterion] = {"cross_entropy": cross_entropy}
REGRESSOR_CRITERIA: dict[str, Criterion] = {"squared_error": squared_error}


# --------------------------------------------------------------------------------------
# Inverse links: raw scores -> probabilities
# --------------------------------------------------------------------------------------


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
