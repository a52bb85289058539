"""A training step of a stack: batches, losses and gradients of several models."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight.data import VALUES_AT_ONCE, TensorBatches
from skweight.losses import CrossEntropy, RowLoss, SquaredError, to_columns, width
from skweight.stacks.networks import StackedNetwork

# Numbers that a fused kernel treats at once, at most.
_FUSED_WIDTH = 16


class StackedParameters:
    """Parameters as the optimizer gets them, and their gradients.

    A fused kernel rounds the last numbers of a tensor, those beyond a multiple of its width, in
    another way. Parameters that have such numbers are handed on model by model, as views.

    Parameters
    ----------
    network : StackedNetwork
    fused : bool
    """

    def __init__(self, network: StackedNetwork, fused: bool) -> None:
        self.stacked: dict[nn.Parameter, None] = {}
        self.alone: dict[nn.Parameter, list[nn.Parameter]] = {}
        self.named: list[tuple[str, nn.Parameter]] = []
        self.in_order = [parameter for _, parameter in network.named_parameters()]
        for name, parameter in network.named_parameters():
            if fused and parameter[0].numel() % _FUSED_WIDTH:
                views = [nn.Parameter(part, parameter.requires_grad) for part in parameter.data]
                self.alone[parameter] = views
                self.named += [(name, view) for view in views]
            else:
                self.stacked[parameter] = None
                self.named.append((name, parameter))

    def reset(self) -> None:
        """Drop the gradients."""
        for parameter in (*self.stacked, *self.alone):
            parameter.grad = None

    def hand_on(self, clippings: Sequence[Any]) -> None:
        """Clip the gradients of each model by their own norm, and show them to the optimizer."""
        # In the network's order: a norm is a sum.
        gradients = [p.grad for p in self.in_order if p.grad is not None]
        for clipping in clippings:
            if clipping.gradient_clip_value is not None:
                for of_model in zip(*gradients):
                    holders = [SimpleNamespace(grad=gradient) for gradient in of_model]
                    nn.utils.clip_grad_norm_(
                        holders,  # type: ignore[arg-type]
                        clipping.gradient_clip_value,
                        norm_type=clipping.gradient_clip_norm_type,
                    )
        for parameter, views in self.alone.items():
            parts = [None] * len(views) if parameter.grad is None else parameter.grad
            for view, part in zip(views, parts):
                view.grad = part

    def keep(self, positions: Tensor) -> None:
        """Keep some of the models only; the network has done so."""
        for parameter, views in self.alone.items():
            kept = [views[position] for position in positions.tolist()]
            for view, part in zip(kept, parameter.data):
                view.data = part
            self.alone[parameter] = kept


class StackedLosses:
    """Losses of all models, by one call of the criterion where that rounds as one for each.

    Parameters
    ----------
    criteria : sequence of RowLoss
    """

    def __init__(self, criteria: Sequence[RowLoss]) -> None:
        self.criteria = list(criteria)
        self._offset: Tensor | None = None

    def keep(self, positions: Tensor) -> None:
        """Keep some of the models only."""
        self.criteria = [self.criteria[position] for position in positions.tolist()]
        self._offset = None

    def __call__(self, output: Tensor, y: Tensor) -> Tensor:
        """Losses of shape (n_models, n) or (n_models, n, n_labels)."""
        first = self.criteria[0]
        if type(first.criterion) not in (CrossEntropy, SquaredError) or y.ndim > 2:
            parts = zip(self.criteria, output, y)
            return torch.stack([criterion(scores, target) for criterion, scores, target in parts])
        if any(criterion.offset is not None for criterion in self.criteria):
            output = output + self._offsets(output)
        if width(output[0]) > 1:
            losses: Tensor = first.criterion(output.flatten(0, 1), y.flatten())
            return losses.reshape(y.shape)
        # With a gap after each model, so that kernels begin anew with each as they do with one.
        scores = F.pad(output.flatten(1), (0, 1))[:, :-1]
        losses = first.criterion(scores, y.to(scores.dtype))
        return losses

    def _offsets(self, output: Tensor) -> Tensor:
        if self._offset is None:
            n_columns = width(output[0])
            none = output.new_zeros(n_columns)
            columns = [
                none if c.offset is None else to_columns(c.offset, n_columns) for c in self.criteria
            ]
            self._offset = torch.stack(columns).reshape(len(columns), 1, *output.shape[2:])
        return self._offset


class StackedBatches:
    """Batches of several models side by side: each of its own rows in its own order.

    Parameters
    ----------
    batches : sequence of TensorBatches
        Over as many rows for each model.
    """

    def __init__(self, batches: Sequence[TensorBatches]) -> None:
        self.batches = list(batches)
        rows = batches[0].rows
        self.device = rows.device
        self.n_rows = len(rows)
        self.sizes = [*chain(*batches[0].sizes)]
        self.n_values = self.sizes[0] * max(1, math.prod(rows.X.shape[1:]))

    def keep(self, positions: Tensor) -> None:
        """Keep some of the models only."""
        self.batches = [self.batches[position] for position in positions.tolist()]

    def __len__(self) -> int:
        """Return the number of batches of each model in a pass."""
        return len(self.sizes)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield X, weights and targets of shape (n_models, n, ...)."""
        most = VALUES_AT_ONCE.get(self.device.type, VALUES_AT_ONCE["cpu"])
        together = max(1, most // (self.n_values * len(self.batches)))
        blocks = [self.sizes[i : i + together] for i in range(0, len(self.sizes), together)]
        lengths = [sum(sizes) for sizes in blocks]
        orders = [torch.split(batches.positions(), lengths) for batches in self.batches]
        for sizes, *positions in zip(blocks, *orders):
            rows = [batches.block(part) for batches, part in zip(self.batches, positions)]
            tensors = zip(*((of["X"], of["row_weight"], y) for of, y in rows))
            yield from zip(*(torch.split(torch.stack(parts), sizes, dim=1) for parts in tensors))
