"""Steps of a stack without autograd's graph of the networks, see ``skweight.training.direct``."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skweight.losses import (
    Formula,
    backpropagate_weighted_means,
    means_of_batches,
    slopes_of_batches,
)
from skweight.stacks.layers import (
    StackedActivation,
    StackedEncodedFeatureWeight,
    StackedFeatureWeight,
    StackedLinear,
    StackedReLU,
    StackedWeightedLinear,
)
from skweight.stacks.networks import StackedNetwork
from skweight.stacks.products import (
    input_gradient,
    linear,
    linear_without_bias,
    sum_over_rows,
    weight_gradient,
)
from skweight.stacks.steps import StackedBatches, StackedLosses
from skweight.training import (
    AutogradLayer,
    DirectLayer,
    DirectNetwork,
    DirectReLU,
    KeptBuffers,
    NotDirect,
)


class DirectStackedLinear:
    """Linear layers of all models, with the kernels of :class:`StackedLinear`."""

    is_linear = True

    def __init__(self, layer: StackedLinear) -> None:
        self.layer = layer
        self.weight, self.bias = layer.weight, layer.bias
        self.parameters: list[Any] = [p for p in (self.weight, self.bias) if p is not None]
        self.scores, self.input_gradients = KeptBuffers(), KeptBuffers()

    def begin(self, needs_input_gradient: bool) -> None:
        """Read where the parameters are."""
        self.needs_input_gradient = needs_input_gradient
        self.matrix = self.weight.detach()
        self.constant = None if self.bias is None else self.bias.detach()

    def forward(self, X: Tensor) -> Tensor:
        """Products in a kept buffer."""
        self.X = X
        out = self.scores.get(*X.shape[:2], self.matrix.shape[1])
        if self.constant is None:
            return linear_without_bias(X, self.matrix, out=out)
        return linear(X, self.matrix, self.constant, out=out)

    def backward(self, gradient: Tensor) -> Tensor | None:
        """The products that autograd computes for one model."""
        if self.weight.requires_grad:
            self.weight.grad = weight_gradient(gradient, self.X).contiguous()
        if self.bias is not None and self.bias.requires_grad:
            self.bias.grad = sum_over_rows(gradient)
        if not self.needs_input_gradient:
            return None
        out = self.input_gradients.get(*self.X.shape)
        return input_gradient(gradient, self.matrix, out=out)


def stacked_layers_of(module: nn.Module, after_linear: bool) -> list[DirectLayer]:
    """The direct layers of a layer of stacked networks."""
    kind: Any = type(module)
    layer: Any = module
    if kind is StackedLinear:
        return [DirectStackedLinear(layer)]
    if kind is StackedWeightedLinear:
        return _layers_of_weighted(layer)
    if kind in (StackedReLU, nn.ReLU):
        return [DirectReLU(in_place=after_linear)]
    own = (StackedActivation, StackedFeatureWeight, StackedEncodedFeatureWeight)
    if kind in own or kind.__module__.startswith("torch.nn.modules"):
        return [AutogradLayer(module, [*module.parameters()])]
    raise NotDirect(f"{kind.__name__} is stacked by autograd")


def _layers_of_weighted(layer: StackedWeightedLinear) -> list[DirectLayer]:
    weights = layer.feature_weights
    before = [] if weights is None else stacked_layers_of(weights, False)
    if layer.output_weights is None:
        return [*before, DirectStackedLinear(layer)]
    trained = [layer.output_weights] if isinstance(layer.output_weights, nn.Parameter) else []
    return [*before, DirectStackedLinear(layer), AutogradLayer(layer.weigh_outputs, trained)]


class DirectStack:
    """Stacked networks without autograd.

    It is tried on a batch of each size, see :func:`skweight.training.direct_step`.

    Raises
    ------
    NotDirect
        If some of their layers need autograd, or if a trial shows another bit.
    """

    def __init__(
        self, network: StackedNetwork, losses: StackedLosses, batches: StackedBatches
    ) -> None:
        if not network.has_known_forward or batches.device.type != "cpu":
            raise NotDirect("the networks are not known, or not on the CPU")
        if any(parameter.dtype != torch.float32 for _, parameter in network.named_parameters()):
            raise NotDirect("a parameter is not float32")
        self.losses = losses
        self.network = DirectNetwork(network.tensors, stacked_layers_of)
        self.network.begin()
        self.can_join_losses = True
        self._padded = KeptBuffers()
        for size in {*batches.sizes}:
            self._try(network, *batches.first_rows(size))

    def _try(self, network: StackedNetwork, X: Tensor, weight: Tensor, y: Tensor) -> None:
        """Make a step of both kinds; no parameter changes."""
        parameters = [parameter for _, parameter in network.named_parameters()]
        found = self.add_gradients(X, weight, y)
        gradients = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        output = network(X)
        losses = self.losses(output, y)
        expected = backpropagate_weighted_means(losses, weight)
        pairs = [(found, expected)]
        for gradient, parameter in zip(gradients, parameters):
            if gradient is None or parameter.grad is None:
                if gradient is not parameter.grad:
                    raise NotDirect("another parameter has a gradient")
            else:
                pairs.append((gradient, parameter.grad))
            parameter.grad = None
        if not all(torch.equal(a, b) for a, b in pairs):
            raise NotDirect(f"batches of {X.shape[1]} rows are rounded differently")
        self.can_join_losses &= self._has_formula(output.detach(), weight, y, expected)

    @torch.no_grad()
    def _has_formula(self, output: Tensor, weight: Tensor, y: Tensor, means: Tensor) -> bool:
        """Whether gradients by a formula, and losses of two batches at once, have the same bits."""
        formula = self.losses.formula(output, weight)
        if formula is None:
            return False
        size = output.shape[1]
        _, gradient = self.losses.with_gradient(output, y, weight)
        found = self._by_formula(formula, output, y.to(output.dtype), weight * (1 / size))
        twice = self.losses(*(torch.cat([part] * 2, dim=1) for part in (output, y)))
        at_once = means_of_batches(twice, torch.cat([weight] * 2, dim=1), [size] * 2)
        return torch.equal(found, gradient) and torch.equal(
            at_once, torch.stack([means] * 2, dim=1)
        )

    def _by_formula(
        self, formula: Formula, output: Tensor, target: Tensor, slope: Tensor
    ) -> Tensor:
        """The gradients by scores of shape (n_models, n, 1)."""
        # With a gap after each model, so that kernels treat each as a tensor of its own.
        n_models, size = output.shape[:2]
        scores = self._padded.get(n_models, size + 1)[:, :size]
        scores.copy_(output.squeeze(2))
        return formula(scores, target, slope).unsqueeze(2)

    @torch.no_grad()
    def add_gradients(self, X: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        """Set the gradients of a batch; return the weighted mean losses, shape (n_models,)."""
        output = self.network.forward(self.network.encode(X))
        means, gradient = self.losses.with_gradient(output, y, weight)
        self.network.backward(gradient)
        return means

    @torch.no_grad()
    def run_epoch(self, batches: StackedBatches, update: Callable[[], None]) -> Tensor:
        """Make all steps of dense rows; return the losses of shape (n_models, n_batches).

        ``update`` makes a step with the gradients that the parameters have.
        """
        rows = _GatheredRows([of_model.rows.X for of_model in batches.batches])
        losses = [self._run_block(rows, update, *block) for block in batches.blocks_in_order()]
        return torch.cat(losses, dim=1)

    def _run_block(
        self,
        rows: "_GatheredRows",
        update: Callable[[], None],
        sizes: list[int],
        index: list[Tensor],
        weights: Tensor,
        y: Tensor,
    ) -> Tensor:
        """The same for some batches, of rows at the positions ``index`` in each X."""
        places = zip(*(of_model.split_with_sizes(sizes) for of_model in index))
        outputs = weights.new_empty(*weights.shape[:2], 1)
        formula = self.losses.formula(outputs, weights) if self.can_join_losses else None
        if formula is None:
            means = []
            parts = (part.split_with_sizes(sizes, dim=1) for part in (weights, y))
            for of_rows, weight, target in zip(places, *parts):
                means.append(self.add_gradients(rows.get(of_rows), weight, target))
                update()
            return torch.stack(means, dim=1)
        slopes = slopes_of_batches(weights, sizes)
        kept = (outputs, y.to(outputs.dtype), slopes)
        parts = (part.split_with_sizes(sizes, dim=1) for part in kept)
        for of_rows, scores, target, slope in zip(places, *parts):
            output = self.network.forward(self.network.encode(rows.get(of_rows)))
            scores.copy_(output)
            self.network.backward(self._by_formula(formula, output, target, slope))
            update()
        return means_of_batches(self.losses(outputs, y), weights, sizes)


class _GatheredRows:
    """Rows of the X of each model, in a tensor that is written to again for the next ones."""

    def __init__(self, tables: list[Tensor]) -> None:
        self.tables = tables
        self._kept = KeptBuffers()

    def get(self, index: Sequence[Tensor]) -> Tensor:
        """The rows at these positions, shape (n_models, n, n_features)."""
        kept = self._kept.get(len(index), index[0].shape[0], *self.tables[0].shape[1:])
        for table, of_model, out in zip(self.tables, index, kept):
            torch.index_select(table, 0, of_model, out=out)
        return kept
