"""The one reduction of the package: the weighted mean of the losses of rows.

The objective is ``R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i``. A criterion knows nothing
of weights: it returns one loss per row, and :func:`weighted_mean` does the rest.
"""

import math

import torch
from torch import Tensor


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
