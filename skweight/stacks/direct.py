"""Steps of a stack without autograd's graph of the networks, see ``skweight.training.direct``."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skweight.data import split_offset
from skweight.losses import (
    Formula,
    backpropagate_weighted_means,
    means_of_batches,
    slopes_of_batches,
)
from skweight.stacks.batches import Block, StackedBatches
from skweight.stacks.layers import (
    StackedActivation,
    StackedCategoryEmbedding,
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
from skweight.stacks.steps import StackedLosses
from skweight.training import (
    AutogradLayer,
    DirectEmbedding,
    DirectLayer,
    DirectNetwork,
    DirectReLU,
    EncodedBatches,
    KeptBuffers,
    NotDirect,
)


class DirectStackedLinear:
    """Linear layers of all models, with the kernels of :class:`StackedLinear`."""

    is_linear = True

    def __init__(self, layer: StackedLinear) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.parameters: list[Any] = [p for p in (self.weight, self.bias) if p is not None]

    def begin(self, needs_input_gradient: bool) -> None:
        """Read where the parameters are, and give them their gradients."""
        self.needs_input_gradient = needs_input_gradient
        self.matrix = self.weight.detach()
        self.constant = None if self.bias is None else self.bias.detach()
        for parameter in self.parameters:
            is_trained = parameter.requires_grad
            parameter.grad = torch.empty_like(parameter) if is_trained else None
        self._products: dict[int, _Products] = {}

    def forward(self, X: Tensor) -> Tensor:
        """Products in a kept buffer."""
        products = self._products.get(X.shape[1])
        if products is None:
            products = self._products[X.shape[1]] = _Products(X, self)
        self.X, self.current = X, products
        if self.constant is None:
            return products.linear(X, self.matrix, out=products.scores)
        return products.linear(X, self.matrix, self.constant, out=products.scores)

    def backward(self, gradient: Tensor) -> Tensor | None:
        """The products that autograd computes for one model."""
        products = self.current
        if self.weight.grad is not None:
            products.weight_gradient(gradient, self.X, out=self.weight.grad)
        if self.bias is not None and self.bias.grad is not None:
            products.sum_over_rows(gradient, out=self.bias.grad)
        if not self.needs_input_gradient:
            return None
        return products.input_gradient(gradient, self.matrix, out=products.input_gradients)


class _Products:
    """The products of a layer for batches of one size, and the tensors that they write to."""

    def __init__(self, X: Tensor, layer: DirectStackedLinear) -> None:
        matrix, constant = layer.matrix, layer.constant
        self.scores = X.new_empty(*X.shape[:2], matrix.shape[1])
        self.input_gradients = torch.empty_like(X) if layer.needs_input_gradient else None
        if constant is None:
            self.linear = linear_without_bias.chosen(X, matrix)
        else:
            self.linear = linear.chosen(X, matrix, constant)
        self.weight_gradient = weight_gradient.chosen(self.scores, X)
        self.sum_over_rows = sum_over_rows.chosen(self.scores)
        self.input_gradient = input_gradient.chosen(self.scores, matrix)


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
    if kind is StackedCategoryEmbedding:
        return [DirectEmbedding(layer.weight, layer.starts)]
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
        self._encode_one = self._find_encoding_of_one(network, batches)
        self.can_join_losses = True
        self._padded = KeptBuffers()
        for size in {*batches.sizes}:
            self._try(network, *batches.first_rows(size))
        self.network.begin()

    def _find_encoding_of_one(
        self, network: StackedNetwork, batches: StackedBatches
    ) -> Callable[[Tensor], Tensor] | None:
        """What encodes X of one model for all of them, if they have the same rows and encoding."""
        if not (self.network.has_encoding and batches.have_same_rows):
            return None
        if not network.have_same_buffers():
            return None
        first: Any = network.first()
        encode: Callable[[Tensor], Tensor] = first.encode_untrained
        return encode

    def _try(
        self,
        network: StackedNetwork,
        X: Tensor,
        weight: Tensor,
        y: Tensor,
        offset: Tensor | None,
    ) -> None:
        """Make a step of both kinds; no parameter changes."""
        parameters = [parameter for _, parameter in network.named_parameters()]
        self.network.begin()
        found = self.add_gradients(self._encode_tried(X), weight, y, offset)
        gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        output = self.losses.with_offset(network(X), offset)
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

    def _encode_tried(self, X: Tensor) -> Tensor:
        """The input of the first layer, of one model for all if that is possible."""
        encoded = self.network.encode(X)
        if self._encode_one is None:
            return encoded
        of_one = self._encode_one(X[:1])
        if not torch.equal(of_one.expand_as(encoded), encoded):
            raise NotDirect("the encoding of one model is rounded differently")
        return of_one.expand_as(encoded)

    @torch.no_grad()
    def _has_formula(self, output: Tensor, weight: Tensor, y: Tensor, means: Tensor) -> bool:
        """Whether gradients by a formula, and losses of two batches at once, have the same bits.

        ``output`` has its offset.
        """
        formula = self.losses.formula(output, weight)
        if formula is None:
            return False
        size = output.shape[1]
        _, gradient = self.losses.with_gradient(output, y, weight)
        target = y.to(output.dtype).reshape(weight.shape)
        found = self._by_formula(formula, output, target, weight * (1 / size))
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

    def encoded(self, batches: StackedBatches, known: EncodedBatches) -> StackedBatches:
        """The same batches with encoded X: encoded now if there is space, else batch by batch."""
        encode = self.network.encode
        if self._encode_one is not None and batches.have_same_rows:
            encode, batches.encodes_one = self._encode_one, True
        batches, batches.encode = known.get(batches, encode)
        return batches

    @torch.no_grad()
    def add_gradients(self, X: Tensor, weight: Tensor, y: Tensor, offset: Tensor | None) -> Tensor:
        """Set the gradients of a batch of encoded rows; return the mean losses of the models."""
        output = self.network.forward(X)
        means, gradient = self.losses.with_gradient(output, y, weight, offset)
        self.network.backward(gradient)
        return means

    @torch.no_grad()
    def run_epoch(self, batches: StackedBatches, update: Callable[[], None]) -> Tensor:
        """Make all steps of encoded rows; return the losses of shape (n_models, n_batches).

        ``update`` makes a step with the gradients that the parameters have.
        """
        losses = [self._run_block(update, block) for block in batches.blocks()]
        return torch.cat(losses, dim=1)

    def _run_block(self, update: Callable[[], None], block: Block) -> Tensor:
        """The same for some batches."""
        sizes, weights, y = block.sizes, block.weights, block.y
        outputs = weights.new_empty(*weights.shape[:2], 1)
        formula = self.losses.formula(outputs, weights) if self.can_join_losses else None
        offsets = split_offset(block.offset, sizes, 1)
        if formula is None:
            means = []
            for X, weight, target in zip(block.X, *_split(sizes, weights, y)):
                means.append(self.add_gradients(X, weight, target, next(offsets)))
                update()
            return torch.stack(means, dim=1)
        targets = y.to(outputs.dtype).reshape(weights.shape)
        of_batches = _split(sizes, outputs, targets, slopes_of_batches(weights, sizes))
        for X, scores, target, slope in zip(block.X, *of_batches):
            output = self.losses.with_offset(self.network.forward(X), next(offsets))
            scores.copy_(output)
            self.network.backward(self._by_formula(formula, output, target, slope))
            update()
        return means_of_batches(self.losses(outputs, y), weights, sizes)


def _split(sizes: list[int], *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """The parts of tensors of shape (n_models, n, ...) that belong to each batch."""
    return [tensor.split_with_sizes(sizes, dim=1) for tensor in tensors]
