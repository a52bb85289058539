"""The weighted mean of the losses of a batch with its gradient by the scores.

For the losses of most trainings the gradient has a short formula; it is that of autograd, to the
bit. All others are asked of autograd.
"""

import torch
from torch import Tensor

from skweight.losses.classification import CrossEntropy
from skweight.losses.reduction import weighted_mean, width
from skweight.losses.regression import SquaredError
from skweight.losses.row_loss import RowLoss


def loss_and_gradient(
    criterion: RowLoss, output: Tensor, target: Tensor, row_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The weighted mean of the losses of a batch, and its gradient by the scores.

    Parameters
    ----------
    criterion : RowLoss
    output : Tensor of shape (n, k)
        Raw scores, without a graph.
    target, row_weight : Tensor
        As :class:`RowLoss` and :func:`weighted_mean` take them.

    Returns
    -------
    loss : Tensor of shape ()
    gradient : Tensor of shape (n, k)
    """
    slope = row_weight * (1 / row_weight.numel())
    if row_weight.ndim == 1 and width(output) == 1:
        kind = criterion.criterion
        if type(kind) is SquaredError:
            error = output - target.to(output.dtype).reshape(output.shape)
            return weighted_mean((error**2).flatten(), row_weight), ...
    scores = output.detach().requires_grad_()
    with torch.enable_grad():
        losses = criterion(scores, target)
    ...
