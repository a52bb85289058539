"""Layers with forward and backward passes that do not need autograd's graph of a network.

A layer keeps what its backward pass needs, and writes the gradients of its parameters to ``grad``.
Kernels and their order are those of autograd, so every number is the same to the bit.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight.training.torch_internals import embedding_gradient, relu_gradient


class DirectLayer(Protocol):
    """A layer of a :class:`~skweight.training.direct.DirectNetwork`."""

    parameters: list[nn.Parameter]
    # Whether the output may be overwritten, as that of a linear layer.
    is_linear: bool

    def begin(self, needs_input_gradient: bool) -> None:
        """Prepare for steps with the current parameters."""

    def forward(self, X: Tensor) -> Tensor:
        """The output for rows X; the next call may overwrite it, and backward may X."""

    def backward(self, gradient: Tensor) -> Tensor | None:
        """Set the gradients of parameters; return that of X if it is needed.

        ``gradient`` is that of the last output, and may be overwritten.
        """


class KeptBuffers:
    """Tensors that are written to again in every step, one for each shape."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = device
        self._buffers: dict[tuple[int, ...], Tensor] = {}

    def get(self, *shape: int) -> Tensor:
        """The buffer of a shape, with its last values."""
        found = self._buffers.get(shape)
        if found is None:
            found = self._buffers[shape] = torch.empty(shape, device=self._device)
        return found


class DirectLinear:
    """``X W' + b``, see :class:`torch.nn.Linear`."""

    is_linear = True

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        self.weight, self.bias = weight, bias
        self.parameters = [weight] if bias is None else [weight, bias]
        self.scores, self.input_gradients = KeptBuffers(), KeptBuffers()
        self.weight_gradient = torch.empty_like(weight, requires_grad=False)
        self.bias_gradient = None if bias is None else torch.empty_like(bias, requires_grad=False)

    def begin(self, needs_input_gradient: bool) -> None:
        """Read where the parameters are, and give them their gradients."""
        self.needs_input_gradient = needs_input_gradient
        self.matrix = self.weight.detach()
        self.n_outputs = len(self.matrix)
        self.transposed = self.matrix.t()
        self.constant = None if self.bias is None else self.bias.detach()
        self.weight.grad = self.weight_gradient if self.weight.requires_grad else None
        if self.bias is not None:
            self.bias.grad = self.bias_gradient if self.bias.requires_grad else None

    def forward(self, X: Tensor) -> Tensor:
        """Products in a kept buffer."""
        self.X = X
        out = self.scores.get(X.shape[0], self.n_outputs)
        if self.constant is None:
            return torch.mm(X, self.transposed, out=out)
        return torch.addmm(self.constant, X, self.transposed, out=out)

    def backward(self, gradient: Tensor) -> Tensor | None:
        """The products that autograd computes."""
        if self.weight.grad is not None:
            torch.mm(gradient.t(), self.X, out=self.weight_gradient)
        if self.bias is not None and self.bias.grad is not None:
            torch.sum(gradient, 0, out=self.bias_gradient)
        if not self.needs_input_gradient:
            return None
        out = self.input_gradients.get(*self.X.shape)
        return torch.mm(gradient, self.matrix, out=out)


class DirectReLU:
    """``max(X, 0)``, which overwrites X if ``in_place``."""

    is_linear = False

    def __init__(self, in_place: bool) -> None:
        self.in_place = in_place
        self.parameters: list[nn.Parameter] = []

    def begin(self, needs_input_gradient: bool) -> None:
        """Nothing to prepare."""
        self.needs_input_gradient = needs_input_gradient

    def forward(self, X: Tensor) -> Tensor:
        """The positive part."""
        self.rectified = X.relu_() if self.in_place else X.relu()
        return self.rectified

    def backward(self, gradient: Tensor) -> Tensor | None:
        """The gradient where X is positive."""
        if not self.needs_input_gradient:
            return None
        return relu_gradient(gradient, self.rectified, out=gradient)


class DirectEmbedding:
    """Vectors in place of the codes in the last columns, see :class:`skweight.modules.MLP`.

    ``weight`` has the vectors of one model, shape (n_vectors, size), or of several, shape
    (n_models, n_vectors, size). ``starts`` returns where the vectors of each column begin, for
    each model if there are several.
    """

    is_linear = False

    def __init__(self, weight: nn.Parameter, starts: Callable[[], Tensor]) -> None:
        self.weight, self.starts = weight, starts
        self.parameters = [weight]

    def begin(self, needs_input_gradient: bool) -> None:
        """Read where the parameters are. Nothing is trained before this layer."""
        self.vectors = self.weight.detach().flatten(0, -2)
        self.start = self.starts()
        self.weight.grad = None

    def forward(self, X: Tensor) -> Tensor:
        """The other columns, and the vectors."""
        self.n_values = X.shape[-1] - self.start.shape[-1]
        values, codes = X[..., : self.n_values], X[..., self.n_values :]
        self.codes = codes.long() + self.start
        return torch.cat([values, F.embedding(self.codes, self.vectors).flatten(-2)], dim=-1)

    def backward(self, gradient: Tensor) -> Tensor | None:
        """What autograd computes."""
        if self.weight.requires_grad:
            of_vectors = gradient[..., self.n_values :].reshape(*self.codes.shape, -1)
            found = embedding_gradient(of_vectors, self.codes, len(self.vectors))
            self.weight.grad = found.reshape(self.weight.shape)
        return None


class AutogradLayer:
    """Any function of rows with parameters, with the graph of this layer alone."""

    is_linear = False

    def __init__(
        self, function: Callable[[Tensor], Tensor], parameters: Sequence[nn.Parameter]
    ) -> None:
        self.function = function
        self.parameters = list(parameters)

    def begin(self, needs_input_gradient: bool) -> None:
        """Find out which parameters are trained."""
        self.needs_input_gradient = needs_input_gradient
        self.trained = [parameter for parameter in self.parameters if parameter.requires_grad]
        self.has_gradient = bool(self.trained) or needs_input_gradient
        # A graph that is kept remembers the shapes of parameters, which change when models leave a
        # stack.
        self.output: Any = None

    def forward(self, X: Tensor) -> Tensor:
        """The function of X, with a graph for its backward pass."""
        self.X = X.detach().requires_grad_(self.needs_input_gradient)
        if not self.has_gradient:
            return self.function(self.X)
        with torch.enable_grad():
            output = self.output = self.function(self.X)
        return output.detach()

    def backward(self, gradient: Tensor) -> Tensor | None:
        """What autograd computes."""
        if not self.has_gradient:
            return None
        inputs: list[Any] = [*self.trained] + [self.X] * self.needs_input_gradient
        # The gradient of this sum is that of the output; see backpropagate_weighted_mean.
        with torch.enable_grad():
            total = (self.output * gradient).sum()
        found = torch.autograd.grad(total, inputs, allow_unused=True)
        for parameter, of_parameter in zip(self.trained, found):
            parameter.grad = _laid_out_like(parameter, of_parameter)
        return found[-1] if self.needs_input_gradient else None


def _laid_out_like(parameter: Tensor, gradient: Tensor | None) -> Tensor | None:
    """A gradient that lies in memory as its parameter does, which kernels of optimizers need."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
