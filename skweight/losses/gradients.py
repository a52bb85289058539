"""The weighted mean of the losses of a batch, with its gradient by the scores.

For the losses of most trainings the gradient has a short formula, that of autograd to the bit. For
all others autograd is asked.
"""

import torch
from torch import Tensor

from skweight.losses.classification import CrossEntropy, to_columns
from skweight.losses.reduction import backpropagate_weighted_mean, weighted_mean
from skweight.losses.regression import SquaredError
from skweight.losses.row_loss import RowLoss


def loss_and_gradient(
    criterion: RowLoss, output: Tensor, target: Tensor, row_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The weighted mean of the losses of a batch, and its gradient by the scores.

    Parameters
    ----------
    criterion : RowLoss
    output : Tensor of shape (n, k) or (n,)
        Raw scores, without a graph.
    target : Tensor
        As :meth:`RowLoss.forward` takes it.
    row_weight : Tensor of shape (n,) or (n, n_labels)

    Returns
    -------
    loss : Tensor of shape ()
    gradient : Tensor of the shape of ``output``
        A new one.
    """
    kind = type(criterion.criterion)
    if output.ndim == 2 and output.shape[1] == 1 and row_weight.ndim == 1:
        if kind is SquaredError:
            return _squared_error(output, target, row_weight)
        if kind is CrossEntropy and not criterion.criterion.label_smoothing:  # type: ignore[union-attr]
            return _of_one_logit(criterion, output, target, row_weight)
    return _by_autograd(criterion, output, target, row_weight)


def _slope(row_weight: Tensor) -> Tensor:
    """The derivative of the weighted mean by the losses, shape (n, 1)."""
    return (row_weight * (1 / row_weight.numel())).unsqueeze(1)


def _squared_error(output: Tensor, target: Tensor, row_weight: Tensor) -> tuple[Tensor, Tensor]:
    error = output - target.to(output.dtype).reshape(output.shape)
    loss = weighted_mean((error**2).flatten(), row_weight)
    return loss, error.mul_(2).mul_(_slope(row_weight))


def _of_one_logit(
    criterion: RowLoss, output: Tensor, target: Tensor, row_weight: Tensor
) -> tuple[Tensor, Tensor]:
    if criterion.offset is not None:
        output = output + to_columns(criterion.offset, 1)
    target = target.to(output.dtype).reshape(output.shape)
    losses = criterion.criterion(output, target)
    gradient = output.sigmoid().sub_(target).mul_(_slope(row_weight))
    return weighted_mean(losses.flatten(), row_weight), gradient


def _by_autograd(
    criterion: RowLoss, output: Tensor, target: Tensor, row_weight: Tensor
) -> tuple[Tensor, Tensor]:
    scores = output.detach().requires_grad_()
    with torch.enable_grad():
        loss = backpropagate_weighted_mean(criterion(scores, target), row_weight)
    gradient = torch.zeros_like(output) if scores.grad is None else scores.grad
    return loss, gradient
