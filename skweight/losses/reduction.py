"""The one reduction of the package: the weighted mean of the losses of rows.

The objective is ``R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i``. A criterion does not see
weights: it returns one loss per row, and :func:`weighted_mean` averages them.
"""

import math

import torch
from torch import Tensor


def weighted_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """The loss of a batch, ``sum_i w_i loss_i / len(batch)``.

    With ``row_weight`` of mean 1 over the whole training set this estimates the
    gradient of ``sum_i w_i loss_i / sum_i w_i`` without bias at any batch size. Dividing
    by the weights of the batch instead, as ``CrossEntropyLoss(weight=...)`` does,
    gives heavy rows too little influence: they enlarge the sum that they are divided by.

    Parameters
    ----------
    loss, row_weight : Tensor of shape (n,), or (n, n_labels) for weights of labels

    Returns
    -------
    Tensor of shape ()
    """
    return (row_weight * loss).mean()


def validation_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """The weighted mean in float64, in which large losses of outliers hide no improvement.

    A loss that float32 cannot hold counts as the largest that it can. A row far outside of the
    training rows may have one, from which no training has to be given up.
    """
    loss = loss.clamp(max=torch.finfo(loss.dtype).max)
    if loss.device.type != "mps":  # which has no float64
        loss, row_weight = loss.double(), row_weight.double()
    return weighted_mean(loss, row_weight)


def backpropagate_weighted_mean(loss: Tensor, row_weight: Tensor) -> Tensor:
    """Add the gradients of the weighted mean to the parameters, and return it without a graph.

    Not by ``torch.autograd.backward(loss, slope)``: a slope imports a library for symbols when it
    is first given, which takes half a second. Shapes are those of ``weighted_mean``.
    """
    mean = weighted_mean(loss, row_weight)
    mean.backward()  # type: ignore[no-untyped-call]
    return mean.detach()


def backpropagate_weighted_means(loss: Tensor, row_weight: Tensor) -> Tensor:
    """The same for several models: a weighted mean, and its gradients, for each.

    Both tensors have the models as their first axis, and so has the result, of shape (n_models,).
    """
    means = (row_weight * loss).flatten(1).mean(1)
    means.sum().backward()  # type: ignore[no-untyped-call]
    return means.detach()


def mean_of_columns(loss: Tensor) -> Tensor:
    """Means of shape (n,) of losses of shape (n, ...)."""
    # The mean of one value would take as long as that of many.
    return loss.flatten() if width(loss) == 1 else loss.flatten(1).mean(1)


def width(output: Tensor) -> int:
    """Number of values in a row."""
    return math.prod(output.shape[1:])
