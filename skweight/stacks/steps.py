"""A training step of a stack: losses, gradients and learning rates of several models."""

import copy
from collections.abc import Iterable, Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.history import History
from torch import Tensor, nn
from torch.nn import functional as F

from skweight.losses import (
    CrossEntropy,
    Formula,
    RowLoss,
    SquaredError,
    backpropagate_weighted_means,
    formula_of_one_column,
    to_columns,
    width,
)
from skweight.stacks.networks import StackedNetwork

# Numbers that a fused kernel treats at once, at most.
_FUSED_WIDTH = 16


class StackedParameters:
    """Parameters as the optimizer gets them, and their gradients.

    A fused kernel rounds the last numbers of a tensor, those beyond a multiple of its width,
    differently. Parameters that have such numbers are given to it model by model, as views.
    """

    def __init__(self, network: StackedNetwork, fused: bool) -> None:
        # Those that the optimizer gets as they are, and the others with a view for each model.
        self.stacked: dict[nn.Parameter, None] = {}
        self.per_model: dict[nn.Parameter, list[nn.Parameter]] = {}
        # What the optimizer gets, with names as in one network.
        self.named: list[tuple[str, nn.Parameter]] = []
        self.in_order = [parameter for _, parameter in network.named_parameters()]
        self._given: dict[nn.Parameter, Tensor | None] = {}  # gradients that the views have
        for name, parameter in network.named_parameters():
            if fused and parameter.device.type == "cpu" and parameter[0].numel() % _FUSED_WIDTH:
                views = [nn.Parameter(part, parameter.requires_grad) for part in parameter.data]
                self.per_model[parameter] = views
                self.named += [(name, view) for view in views]
            else:
                self.stacked[parameter] = None
                self.named.append((name, parameter))

    def drop_gradients(self) -> None:
        """Drop the gradients of the last step."""
        for parameter in self.in_order:
            parameter.grad = None

    def clip_gradients(self, clipping: GradientNormClipping) -> None:
        """Clip the gradients of each model by their own norm."""
        if clipping.gradient_clip_value is None:
            return
        # In the network's order, since the rounding of a norm depends on the order of its sum.
        gradients = [p.grad for p in self.in_order if p.grad is not None]
        for own_gradients in zip(*gradients):
            holders = [SimpleNamespace(grad=gradient) for gradient in own_gradients]
            nn.utils.clip_grad_norm_(
                holders,  # type: ignore[arg-type]
                clipping.gradient_clip_value,
                norm_type=clipping.gradient_clip_norm_type,
            )

    def give_gradients_to_views(self) -> None:
        """Give the views for single models their parts of the gradients."""
        for parameter, views in self.per_model.items():
            gradient = parameter.grad
            if gradient is self._given.get(parameter):
                continue  # its numbers may be others, in the same memory
            parts = [None] * len(views) if gradient is None else gradient
            for view, part in zip(views, parts):
                view.grad = part
            self._given[parameter] = gradient

    def keep(self, positions: Tensor, optimizer: Any) -> None:
        """Keep only these models, in the optimizer too; the network has already been reduced."""
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                is_stacked = parameter in self.stacked and value.ndim > 0
                state[name] = value[positions] if is_stacked else value
        for parameter, views in self.per_model.items():
            kept_views = [views[position] for position in positions.tolist()]
            for view, part in zip(kept_views, parameter.data):
                view.data, view.grad = part, None
            self.per_model[parameter] = kept_views
        self._given.clear()
        kept = {*self.stacked, *chain(*self.per_model.values())}
        for group in optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if parameter in kept]
        for parameter in optimizer.state.keys() - kept:
            del optimizer.state[parameter]


class StackedLosses:
    """Losses of all models, by one call of the criterion where that rounds as one call for each."""

    def __init__(self, criteria: Sequence[RowLoss]) -> None:
        self.criteria = list(criteria)
        self._adjustment: Tensor | None = None

    def keep(self, positions: Tensor) -> None:
        """Keep only the models at these positions."""
        self.criteria = [self.criteria[position] for position in positions.tolist()]
        self._adjustment = None

    def __call__(self, output: Tensor, y: Tensor) -> Tensor:
        """Losses of shape (n_models, n) or (n_models, n, n_labels)."""
        first = self.criteria[0]
        if type(first.criterion) not in (CrossEntropy, SquaredError) or y.ndim > 2:
            parts = zip(self.criteria, output, y)
            return torch.stack([criterion(scores, target) for criterion, scores, target in parts])
        if any(criterion.adjustment is not None for criterion in self.criteria):
            output = output + self._adjustments(output)
        if width(output[0]) > 1:
            losses: Tensor = first.criterion(output.flatten(0, 1), y.flatten())
            return losses.reshape(y.shape)
        # With a gap after each model, so that kernels treat each as a tensor of its own.
        scores = F.pad(output.flatten(1), (0, 1))[:, :-1]
        losses = first.criterion(scores, y.to(scores.dtype))
        return losses

    def with_offset(self, output: Tensor, offset: Tensor | None) -> Tensor:
        """Raw scores with their offset, if there is one."""
        if offset is None:
            return output
        if all(criterion.scale is None for criterion in self.criteria):
            return self.criteria[0].with_offset(output, offset)
        parts = zip(self.criteria, output, offset)  # which have units of their own
        return torch.stack([criterion.with_offset(*of_model) for criterion, *of_model in parts])

    def with_gradient(
        self, output: Tensor, y: Tensor, row_weight: Tensor, offset: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Weighted means of the losses of a batch, shape (n_models,), and gradients by the scores.

        ``output`` has neither a graph nor its offset; the gradients are a new tensor of its shape.
        """
        scores = output.detach().requires_grad_()
        with torch.enable_grad():
            losses = self(self.with_offset(scores, offset), y)
            means = backpropagate_weighted_means(losses, row_weight)
        return means, torch.zeros_like(output) if scores.grad is None else scores.grad

    def formula(self, output: Tensor, row_weight: Tensor) -> Formula | None:
        """The gradient of losses times ``slope`` by the scores, all of shape (n_models, n).

        Only for an output of shape (n_models, n, 1). The formula may overwrite the scores.
        """
        if output.ndim != 3 or output.shape[2] != 1 or row_weight.ndim != 2:
            return None
        formula = formula_of_one_column(self.criteria[0])
        if formula is None or all(criterion.adjustment is None for criterion in self.criteria):
            return formula
        adjustments = self._adjustments(output).flatten(1)
        # In place, since a sum would have no gaps between the models.
        return lambda output, target, slope: formula(output.add_(adjustments), target, slope)

    def _adjustments(self, output: Tensor) -> Tensor:
        if self._adjustment is None:
            n_columns = width(output[0])
            none = output.new_zeros(n_columns)
            columns = [
                none if c.adjustment is None else to_columns(c.adjustment, n_columns)
                for c in self.criteria
            ]
            self._adjustment = torch.stack(columns).reshape(len(columns), 1, *output.shape[2:])
        return self._adjustment


class StackedSchedules:
    """Runs copies of ``LRScheduler``, and is their net, with ``optimizer_`` and ``history``."""

    def __init__(self, callbacks: Iterable[LRScheduler], optimizer: torch.optim.Optimizer) -> None:
        self.optimizer_ = optimizer
        self.history = History()
        self._schedules = [copy.copy(callback).initialize() for callback in callbacks]
        for schedule in self._schedules:
            schedule.on_train_begin(self)

    @property
    def follow_batches(self) -> bool:
        """Whether a schedule changes the learning rate after each batch."""
        return any(schedule.step_every == "batch" for schedule in self._schedules)

    def begin_epoch(self) -> None:
        """Begin to record an epoch."""
        self.history.new_epoch()

    def end_batch(self) -> None:
        """Call the schedules that change the learning rate after a batch."""
        for schedule in self._schedules:
            if schedule.step_every == "batch":
                self.history.new_batch()
            schedule.on_batch_end(self, training=True)

    def end_epoch(self) -> dict[str, Any]:
        """Call those that change it after an epoch; return what they recorded of the epoch."""
        for schedule in self._schedules:
            schedule.on_epoch_end(self)
        return {name: value for name, value in self.history[-1].items() if name != "batches"}
