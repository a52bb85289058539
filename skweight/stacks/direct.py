"""Steps of a stack without autograd's graph of the networks, see ``skweight.training.direct``."""

from typing import Any

import torch
from torch import Tensor, nn

from skweight.stacks.layers import (
    StackedActivation,
    StackedEncodedFeatureWeight,
    StackedFeatureWeight,
    StackedLinear,
    StackedReLU,
    StackedWeightedLinear,
)
from skweight.stacks.products import (
    input_gradient,
    linear,
    linear_without_bias,
    sum_over_rows,
    weight_gradient,
)
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


def direct_stack(tensors: nn.Module) -> DirectNetwork:
    """The direct form of stacked networks.

    Raises
    ------
    NotDirect
        If some of their layers need autograd.
    """
    if any(parameter.dtype != torch.float32 for parameter in tensors.parameters()):
        raise NotDirect("a parameter is not float32")
    return DirectNetwork(tensors, stacked_layers_of)
