"""Weighted means of the losses of batches, with their gradients by the scores.

For the losses of most trainings the gradient has a short formula, that of autograd to the bit. For
all others autograd is asked.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor

from skweight.losses.classification import CrossEntropy, to_columns
from skweight.losses.reduction import backpropagate_weighted_mean, weighted_mean
from skweight.losses.regression import SquaredError
from skweight.losses.row_loss import RowLoss

# ``(output, target, slope) -> gradient``, all of the same shape.
Formula = Callable[[Tensor, Tensor, Tensor], Tensor]


def loss_and_gradient(
    criterion: RowLoss,
    output: Tensor,
    target: Tensor,
    row_weight: Tensor,
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The weighted mean of the losses of a batch, and its gradient by the scores.

    Parameters
    ----------
    criterion : RowLoss
    output : Tensor of shape (n, k) or (n,)
        Raw scores, without a graph and without their offset.
    target : Tensor
        As :meth:`RowLoss.forward` takes it.
    row_weight : Tensor of shape (n,) or (n, n_labels)
    offset : Tensor of shape (n, n_offsets), default=None

    Returns
    -------
    loss : Tensor of shape ()
    gradient : Tensor of the shape of ``output``
        A new one.
    """
    formula = gradient_formula(criterion, output, row_weight)
    if formula is None:
        scores = output.detach().requires_grad_()
        with torch.enable_grad():
            raw = scores if offset is None else criterion.with_offset(scores, offset)
            loss = backpropagate_weighted_mean(criterion(raw, target), row_weight)
        return loss, torch.zeros_like(output) if scores.grad is None else scores.grad
    output = output if offset is None else criterion.with_offset(output, offset)
    slope = (row_weight * (1 / len(row_weight))).unsqueeze(1)
    gradient = formula(output, target.to(output.dtype).reshape(output.shape), slope)
    return weighted_mean(criterion(output, target), row_weight), gradient


def gradient_formula(criterion: RowLoss, output: Tensor, row_weight: Tensor) -> Formula | None:
    """The gradient of losses times ``slope`` by the scores, or None if only autograd knows it."""
    if output.ndim != 2 or output.shape[1] != 1 or row_weight.ndim != 1:
        return None
    formula = formula_of_one_column(criterion)
    if formula is None or criterion.adjustment is None:
        return formula
    adjustment = to_columns(criterion.adjustment, 1)
    return lambda output, target, slope: formula(output + adjustment, target, slope)


def formula_of_one_column(criterion: RowLoss) -> Formula | None:
    """The same for one score in a row, to which any adjustment has been added."""
    loss = criterion.criterion
    if type(loss) is SquaredError:
        return _of_squared_error
    is_known = type(loss) is CrossEntropy and not loss.label_smoothing
    return _of_one_logit if is_known else None


def _of_squared_error(output: Tensor, target: Tensor, slope: Tensor) -> Tensor:
    return (output - target).mul_(2).mul_(slope)


def _of_one_logit(output: Tensor, target: Tensor, slope: Tensor) -> Tensor:
    return output.sigmoid().sub_(target).mul_(slope)


def slopes_of_batches(row_weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The derivatives of the weighted means of batches by the losses of their rows.

    ``row_weight`` has the shape (..., n), as in :func:`means_of_batches`, and so has the result.
    """
    shares = [torch.full((size,), 1 / size, device=row_weight.device) for size in sizes]
    return row_weight * torch.cat(shares)


def means_of_batches(losses: Tensor, row_weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The weighted mean of each of several batches, shape (..., n_batches).

    ``losses`` and ``row_weight``, of shape (..., n), hold the rows of all batches, one after the
    other.
    """
    products = row_weight * losses
    means, start = [], 0
    for size, group in groupby(sizes):
        n_batches = len([*group])
        stop = start + n_batches * size
        of_group = products[..., start:stop]
        means.append(of_group.reshape(*of_group.shape[:-1], n_batches, size).mean(-1))
        start = stop
    return torch.cat(means, dim=-1)
