"""An epoch of direct steps, with as little as possible between them."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from skweight.data import TensorBatches, split_offset
from skweight.losses import (
    gradient_formula,
    loss_and_gradient,
    means_of_batches,
    slopes_of_batches,
)
from skweight.training.adam import FusedAdam
from skweight.training.average import WeightAverage
from skweight.training.direct import DirectStep
from skweight.training.direct_layers import KeptBuffers


@torch.no_grad()
def run_direct_epoch(
    step: DirectStep,
    batches: TensorBatches,
    encode: Callable[[Tensor], Tensor],
    optimizer: FusedAdam,
    average: WeightAverage | None,
) -> Tensor:
    """Make a step for each batch; return the loss of each, shape (n_batches,).

    ``batches`` have dense rows, of which ``encode`` makes the input of the step. Where the gradient
    has a formula, losses of many batches are computed at once, after their steps.
    """
    rows = _GatheredRows(batches.rows.X)

    def update() -> None:
        optimizer.update()
        if average is not None:
            average.update()

    return torch.cat(
        [_run_block(step, rows, encode, update, *block) for block in batches.blocks_in_order()]
    )


def _run_block(
    step: DirectStep,
    rows: "_GatheredRows",
    encode: Callable[[Tensor], Tensor],
    update: Callable[[], None],
    sizes: list[int],
    index: Tensor,
    weights: Tensor,
    y: Tensor,
    offset: Tensor | None,
) -> Tensor:
    """The same for some batches of these sizes, of rows at the positions ``index`` in X."""
    outputs = weights.new_empty(len(index), 1)
    formula = gradient_formula(step.criterion, outputs, weights) if step.can_join_losses else None
    offsets = split_offset(offset, sizes)
    if formula is None:
        losses = []
        for of_rows, weight, target in _batches(sizes, index, weights, y):
            X = encode(rows.get(of_rows))
            losses.append(_step_with_loss(step, X, weight, target, next(offsets)))
            update()
        return torch.stack(losses)
    targets = y.to(outputs.dtype).reshape(outputs.shape)
    slopes = slopes_of_batches(weights, sizes).unsqueeze(1)
    for of_rows, scores, target, slope in _batches(sizes, index, outputs, targets, slopes):
        output = step.network.forward(encode(rows.get(of_rows)))
        if (of_batch := next(offsets)) is not None:
            output = step.criterion.with_offset(output, of_batch)
        scores.copy_(output)
        step.network.backward(formula(output, target, slope))
        update()
    return means_of_batches(step.criterion(outputs, y), weights, sizes)


def _batches(sizes: list[int], *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The parts of the tensors that belong to each batch."""
    yield from zip(*(tensor.split_with_sizes(sizes) for tensor in tensors))


def _step_with_loss(
    step: DirectStep, X: Tensor, row_weight: Tensor, y: Tensor, offset: Tensor | None
) -> Tensor:
    output = step.network.forward(X)
    loss, gradient = loss_and_gradient(step.criterion, output, y, row_weight, offset)
    step.network.backward(gradient)
    return loss


class _GatheredRows:
    """Rows of a tensor, in a tensor that is written to again for the next ones."""

    def __init__(self, X: Tensor) -> None:
        self.X = X
        self._kept = KeptBuffers()

    def get(self, index: Tensor) -> Tensor:
        """The rows at these positions."""
        kept = self._kept.get(index.shape[0], *self.X.shape[1:])
        return torch.index_select(self.X, 0, index, out=kept)
