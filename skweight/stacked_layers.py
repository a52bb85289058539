"""Layers of several models as one layer, rounded as each model by itself rounds.

A network amplifies rounding errors, so that a sum in another order is another score. On a CPU the
way to batch a product is therefore chosen, by its shape, among those that give every model the bits
that it has alone. Only torch here.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight.encodings import append_bins
from skweight.layers import WeightedLinear


class Scratch:
    """Memory that a layer writes to again at every step.

    What a stack computes is too large for the allocator to keep: it would ask the system for
    new pages each time.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, Tensor] = {}

    def like(self, use: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory for a use, with what is left of the last time."""
        if (use, shape) not in self._kept:
            self._kept[use, shape] = like.new_empty(shape)
        return self._kept[use, shape].detach()

    def __deepcopy__(self, memo: Any) -> "Scratch":
        return Scratch()


class StackedLinear(nn.Module):
    """Linear layers side by side: ``(n_models, n, ..., in)`` to ``(n_models, n, ..., out)``."""

    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = stack_tensors([layer.weight for layer in layers], rows=False)
        biases = [layer.bias for layer in layers]
        self.bias = None if biases[0] is None else stack_tensors(biases, rows=True)
        self.scratch = Scratch()

    def forward(self, X: Tensor) -> Tensor:
        """Batched matrix products."""
        flat = X if X.ndim == 3 else X.flatten(1, -2)
        product: Tensor = _Linear.apply(flat, self.weight, self.bias, self.scratch)  # type: ignore[no-untyped-call]
        return product if X.ndim == 3 else product.reshape(*X.shape[:-1], -1)


class StackedReLU(nn.Module):
    """ReLU that overwrites its input, which no layer before it looks at again."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = Scratch()

    def forward(self, X: Tensor) -> Tensor:
        """``max(X, 0)``."""
        rectified: Tensor = _ReLU.apply(X, self.scratch)  # type: ignore[no-untyped-call]
        return rectified


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, X: Tensor, scratch: Scratch) -> Tensor:
        if not X.requires_grad:  # it may be the caller's
            return X.relu()
        ctx.mark_dirty(X)
        ctx.scratch = scratch
        ctx.save_for_backward(X.relu_())
        return X

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (rectified,) = ctx.saved_tensors
        out = ctx.scratch.like("gradient", gradient.shape, gradient)
        torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=out)
        return out, None


class StackedActivation(nn.Module):
    """An elementwise activation whose kernel rounds the last numbers of a tensor in another way.

    It is used for one model after the other where there are such numbers.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, X: Tensor) -> Tensor:
        """The activation of every number."""
        if X.device.type != "cpu" or X[0].numel() % _NUMBERS_AT_ONCE == 0:
            return self.activation(X)  # type: ignore[no-any-return]
        return torch.stack([self.activation(of_model) for of_model in X])


class StackedWeightedLinear(StackedLinear):
    """The same with weights on inputs and outputs, see :class:`~skweight.WeightedLinear`."""

    def __init__(self, layers: Sequence[WeightedLinear]) -> None:
        super().__init__(layers)
        inputs = [layer.feature_weights for layer in layers if layer.feature_weights is not None]
        self.feature_weights = StackedFeatureWeight(inputs) if inputs else None
        outputs = [layer.output_weights for layer in layers if layer.output_weights is not None]
        stacked = stack_tensors(outputs, rows=True) if outputs else None
        if isinstance(stacked, nn.Parameter):
            self.output_weights: Tensor | None = stacked
        else:
            self.register_buffer("output_weights", stacked)

    def forward(self, X: Tensor) -> Tensor:
        """Weigh the inputs, map them, weigh the outputs."""
        X = X if self.feature_weights is None else self.feature_weights(X)
        X = super().forward(X)
        return X if self.output_weights is None else _scaled(X, self.output_weights)


class StackedPiecewiseLinear(nn.Module):
    """Bins side by side, of the same features, see :class:`~skweight.encodings.PiecewiseLinear`."""

    start: Tensor
    slope: Tensor
    index: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """The features and their bins."""
        return append_bins(X, self.index[0, 0], self.start, self.slope)


class StackedFeatureWeight(nn.Module):
    """Feature weights side by side, see :class:`~skweight.FeatureWeight`."""

    weight: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """``X * weight``."""
        return _scaled(X, self.weight)


def _scaled(X: Tensor, weight: Tensor) -> Tensor:
    flat = X if X.ndim == 3 else X.flatten(1, -2)
    return _Scale.apply(flat, weight).reshape(X.shape)  # type: ignore[no-untyped-call, no-any-return]


class _Scale(torch.autograd.Function):
    """``X * weight`` with weights of shape (n_models, 1, n_features)."""

    @staticmethod
    def forward(ctx: Any, X: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(X, weight)
        return X * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        X, weight = ctx.saved_tensors
        of_X, of_weight = ctx.needs_input_grad
        return (
            gradient * weight if of_X else None,
            _as_alone(_SUMS, gradient * X) if of_weight else None,
        )


class _Linear(torch.autograd.Function):
    """Linear layers side by side, and the gradients that autograd gives to one."""

    @staticmethod
    def forward(
        ctx: Any, X: Tensor, weight: Tensor, bias: Tensor | None, scratch: Scratch
    ) -> Tensor:
        ctx.save_for_backward(X, weight)
        ctx.scratch = scratch
        out = scratch.like("scores", (*X.shape[:2], weight.shape[1]), X)
        if bias is None:
            return _as_alone(_PRODUCTS, X, weight, out=out)
        return _as_alone(_LINEAR, X, weight, bias, out=out)

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        X, weight = ctx.saved_tensors
        of_X, of_weight, of_bias, _ = ctx.needs_input_grad
        out = ctx.scratch.like("gradient", X.shape, X)
        return (
            _as_alone(_OF_X, gradient, weight, out=out) if of_X else None,
            _as_alone(_OF_WEIGHT, gradient, X) if of_weight else None,
            _as_alone(_SUMS, gradient) if of_bias else None,
            None,
        )


Way = Callable[..., Tensor]


def _one_by_one(operation: Way) -> Way:
    """For one model after the other, on tensors that begin where those of one model do.

    Kernels may round by where in a cache line a tensor begins.
    """

    def one_by_one(*tensors: Tensor, out: Tensor | None = None) -> Tensor:
        parts = [operation(*(t.clone() for t in of_one)) for of_one in zip(*tensors)]
        return torch.stack(parts, out=out)

    return one_by_one


def _linear(X: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.baddbmm(bias, X, weight.transpose(1, 2), out=out)


def _products(X: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.bmm(X, weight.transpose(1, 2), out=out)


def _turned(X: Tensor, weight: Tensor, bias: Tensor | None = None, out: Any = None) -> Tensor:
    """As a lone layer with one output multiplies a matrix by a vector."""
    product = torch.bmm(weight, X.transpose(1, 2)).transpose(1, 2)
    return product if bias is None else product + bias


def _of_weight(gradient: Tensor, X: Tensor, out: Any = None) -> Tensor:
    return torch.bmm(gradient.transpose(1, 2), X)


def _of_weight_turned(gradient: Tensor, X: Tensor, out: Any = None) -> Tensor:
    return torch.bmm(X.transpose(1, 2), gradient).transpose(1, 2)


def _sum(values: Tensor, out: Any = None) -> Tensor:
    return values.sum(dim=1, keepdim=True)


# Ways to do something for all models, and last of all to do it for one after the other.
_LINEAR: tuple[Way, ...] = (
    _linear,
    _turned,
    _one_by_one(lambda X, weight, bias: F.linear(X, weight, bias[0])),
)
_PRODUCTS: tuple[Way, ...] = (_products, _turned, _one_by_one(F.linear))
_OF_X: tuple[Way, ...] = (torch.bmm, _one_by_one(torch.mm))
_OF_WEIGHT: tuple[Way, ...] = (
    _of_weight,
    _of_weight_turned,
    _one_by_one(lambda gradient, X: gradient.t() @ X),
)
_SUMS: tuple[Way, ...] = (_sum, _one_by_one(lambda values: values.sum(dim=0, keepdim=True)))
_chosen: dict[Any, Way] = {}
# What a vectorised kernel takes at once at most; it treats what is left number by number.
_NUMBERS_AT_ONCE = 64
_FLOATS_IN_A_LINE, _NUMBERS_TRIED, _MOST_TRIALS, _LARGE = 16, 2**18, 10, 2**20


def _as_alone(ways: tuple[Way, ...], *tensors: Tensor, out: Tensor | None = None) -> Tensor:
    """Do it in the first way that rounds each model as if it were alone.

    Which one does depends on the shapes: libraries choose their kernels by them. On a GPU the
    first way is taken: rounding differs from one GPU to the other anyway.
    """
    if tensors[0].device.type != "cpu":
        return ways[0](*tensors, out=out)
    tensors = tuple(tensor.contiguous() for tensor in tensors)
    kind = (ways, torch.get_num_threads(), *(tensor.shape[1:] for tensor in tensors))
    if kind not in _chosen:
        _chosen[kind] = _choose(ways, [tensor.shape[1:] for tensor in tensors])
    return _chosen[kind](*tensors, out=out)


def _choose(ways: tuple[Way, ...], of_model: list[torch.Size]) -> Way:
    n_largest = max(shape.numel() for shape in of_model)
    if n_largest > _LARGE:  # a product by itself keeps a core busy
        return ways[-1]
    # Sixteen models begin at every place in a cache line that there is.
    aligned = not any(shape.numel() % _FLOATS_IN_A_LINE for shape in of_model)
    shapes = [(3 if aligned else _FLOATS_IN_A_LINE, *shape) for shape in of_model]
    n_trials = max(2, min(_MOST_TRIALS, _NUMBERS_TRIED // (shapes[0][0] * n_largest)))
    agreeing = (way for way in ways[:-1] if all(_agrees(way, ways[-1], shapes, n_trials)))
    return next(agreeing, ways[-1])


def _agrees(way: Way, reference: Way, shapes: list[Any], n_trials: int) -> Iterator[bool]:
    """Whether a way gives the bits of the reference, in one trial after the other."""
    generator = torch.Generator("cpu").manual_seed(0)
    for _ in range(n_trials):
        drawn = [torch.randn(shape, generator=generator, device="cpu") for shape in shapes]
        yield torch.equal(way(*drawn), reference(*drawn))


def set_tensors(together: nn.Module, modules: Sequence[nn.Module], rows: bool) -> None:
    """Give a layer the parameters and buffers of all models, see :func:`stack_tensors`."""
    for name, _ in modules[0].named_parameters(recurse=False):
        stacked = stack_tensors([getattr(module, name) for module in modules], rows)
        together.register_parameter(name, stacked)  # type: ignore[arg-type]
    for name, _ in modules[0].named_buffers(recurse=False):
        buffers = [getattr(module, name) for module in modules]
        together.register_buffer(name, stack_tensors(buffers, rows))


def stack_tensors(tensors: Sequence[Tensor], rows: bool) -> Tensor:
    """The tensors of the models along a first axis, before one for the rows if it is wanted."""
    stacked = torch.stack([tensor.detach() for tensor in tensors])
    stacked = stacked.unsqueeze(1) if rows else stacked
    if isinstance(tensors[0], nn.Parameter):
        return nn.Parameter(stacked, requires_grad=tensors[0].requires_grad)
    return stacked
