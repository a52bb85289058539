"""Layers of several models as one layer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight.modules import (
    CategoryEmbedding,
    WeightedLinear,
    append_bins,
    category_indicators,
    value_indicators,
    weights_of_owners,
)
from skweight.stacks.products import (
    input_gradient,
    linear,
    linear_without_bias,
    sum_over_rows,
    weight_gradient,
)
from skweight.training import relu_gradient

# Numbers that a vectorised kernel takes at once, at most; it treats the remaining ones one by one.
_LARGEST_VECTOR = 64


class ReusedBuffers:
    """Buffers that a layer writes to again at every step.

    The results of a stack are too large for the allocator to keep: it would ask the system for
    new pages each time.
    """

    def __init__(self) -> None:
        self._buffers: dict[Any, Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The buffer of this name and shape, which still holds its last values."""
        if (name, shape) not in self._buffers:
            self._buffers[name, shape] = like.new_empty(shape)
        return self._buffers[name, shape].detach()

    def __deepcopy__(self, memo: Any) -> "ReusedBuffers":
        return ReusedBuffers()


class StackedLinear(nn.Module):
    """Linear layers of all models: ``(n_models, n, ..., in)`` to ``(n_models, n, ..., out)``."""

    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = stack_tensors([layer.weight for layer in layers], rows=False)
        biases = [layer.bias for layer in layers]
        self.bias = None if biases[0] is None else stack_tensors(biases, rows=True)
        self.reused = ReusedBuffers()

    def forward(self, X: Tensor) -> Tensor:
        """Batched matrix products."""
        flat = X if X.ndim == 3 else X.flatten(1, -2)
        product: Tensor = _Linear.apply(flat, self.weight, self.bias, self.reused)  # type: ignore[no-untyped-call]
        return product if X.ndim == 3 else product.reshape(*X.shape[:-1], -1)


class StackedReLU(nn.Module):
    """ReLU that overwrites its input, which the layer before it does not need again."""

    def __init__(self) -> None:
        super().__init__()
        self.reused = ReusedBuffers()

    def forward(self, X: Tensor) -> Tensor:
        """``max(X, 0)``."""
        rectified: Tensor = _ReLU.apply(X, self.reused)  # type: ignore[no-untyped-call]
        return rectified


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, X: Tensor, reused: ReusedBuffers) -> Tensor:
        if not X.requires_grad:  # it may be the caller's tensor
            return X.relu()
        ctx.mark_dirty(X)
        ctx.reused = reused
        ctx.save_for_backward(X.relu_())
        return X

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (rectified,) = ctx.saved_tensors
        out = ctx.reused.get("gradient", gradient.shape, gradient)
        return relu_gradient(gradient, rectified, out), None


class StackedActivation(nn.Module):
    """An elementwise activation whose kernel rounds the last numbers of a tensor differently.

    Where a model has such numbers, the activation is applied to one model after the other.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, X: Tensor) -> Tensor:
        """The activation of every number."""
        if X.device.type != "cpu" or X[0].numel() % _LARGEST_VECTOR == 0:
            return self.activation(X)  # type: ignore[no-any-return]
        return torch.stack([self.activation(part) for part in X])


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
        return self.weigh_outputs(super().forward(X))

    def weigh_outputs(self, X: Tensor) -> Tensor:
        """X times the weights on the outputs, or X if there are none."""
        return X if self.output_weights is None else _scaled(X, self.output_weights)


class StackedPiecewiseLinear(nn.Module):
    """Bins of the same features, see :class:`~skweight.modules.PiecewiseLinear`."""

    start: Tensor
    slope: Tensor
    index: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """The features and their bins."""
        return append_bins(X, self.index[0, 0], self.start, self.slope)


class StackedColumns(nn.Module):
    """The same columns for all models, see :class:`~skweight.modules.Columns`."""

    index: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """The columns in their order."""
        return X.index_select(-1, self.index[0, 0])


class StackedCategoryIndicators(nn.Module):
    """Indicators of the same codes, see :class:`~skweight.modules.CategoryIndicators`."""

    columns: Tensor
    table: Tensor
    start: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """The indicators, with the numbers of each model."""
        return category_indicators(X, self.columns[0, 0], self.table, self.start)


class StackedValueIndicators(nn.Module):
    """Indicators of the same values, see :class:`~skweight.modules.ValueIndicators`."""

    columns: Tensor
    values: Tensor
    is_missing: Tensor
    on: Tensor
    off: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """The indicators, with the numbers of each model."""
        found = X.index_select(-1, self.columns[0, 0])
        return value_indicators(found, self.values, self.is_missing, self.on, self.off)


class StackedCategoryEmbedding(nn.Module):
    """Embeddings of the same columns, see :class:`~skweight.modules.CategoryEmbedding`.

    The tables of all models are read as one, in which each model has its own rows.
    """

    columns: Tensor
    start: Tensor

    def __init__(self, layers: Sequence[CategoryEmbedding]) -> None:
        super().__init__()
        self.weight = stack_tensors([layer.weight for layer in layers], rows=False)
        self.register_buffer("columns", stack_tensors([layer.columns for layer in layers], True))
        self.register_buffer("start", stack_tensors([layer.start for layer in layers], True))

    def forward(self, X: Tensor) -> Tensor:
        """The vectors of all columns, side by side."""
        codes = self.codes(X).long() + self.starts()
        return F.embedding(codes, self.weight.flatten(0, 1)).flatten(-2)

    def codes(self, X: Tensor) -> Tensor:
        """The embedded columns of X."""
        return X.index_select(-1, self.columns[0, 0])

    def starts(self) -> Tensor:
        """Where the vectors of each model and column begin in the table of all models."""
        n_models, n_vectors, _ = self.weight.shape
        first = torch.arange(n_models, device=self.start.device) * n_vectors
        return self.start + first.reshape(-1, 1, 1)


class StackedFeatureWeight(nn.Module):
    """Feature weights of all models, see :class:`~skweight.FeatureWeight`."""

    weight: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """``X * weight``."""
        return _scaled(X, self.weight)


class StackedEncodedFeatureWeight(StackedFeatureWeight):
    """The same for encoded features, see :class:`~skweight.modules.EncodedFeatureWeight`."""

    owner: Tensor

    def forward(self, X: Tensor) -> Tensor:
        """``X * weight[owner]``."""
        by_feature = self.weight.squeeze(1).t()
        weight = weights_of_owners(by_feature, self.owner[0, 0])
        return _scaled(X, weight.t().unsqueeze(1))


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
        needs_X, needs_weight = ctx.needs_input_grad
        return (
            gradient * weight if needs_X else None,
            sum_over_rows(gradient * X) if needs_weight else None,
        )


class _Linear(torch.autograd.Function):
    """Linear layers of all models, with the gradients that autograd computes for one."""

    @staticmethod
    def forward(
        ctx: Any, X: Tensor, weight: Tensor, bias: Tensor | None, reused: ReusedBuffers
    ) -> Tensor:
        ctx.save_for_backward(X, weight)
        ctx.reused = reused
        out = reused.get("scores", (*X.shape[:2], weight.shape[1]), X)
        if bias is None:
            return linear_without_bias(X, weight, out=out)
        return linear(X, weight, bias, out=out)

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        X, weight = ctx.saved_tensors
        needs_X, needs_weight, needs_bias, _ = ctx.needs_input_grad
        out = ctx.reused.get("gradient", X.shape, X)
        return (
            input_gradient(gradient, weight, out=out) if needs_X else None,
            weight_gradient(gradient, X) if needs_weight else None,
            sum_over_rows(gradient) if needs_bias else None,
            None,
        )


def set_tensors(stacked_layer: nn.Module, modules: Sequence[nn.Module], rows: bool) -> None:
    """Give a layer the parameters and buffers of all models, see :func:`stack_tensors`."""
    for name, _ in modules[0].named_parameters(recurse=False):
        stacked = stack_tensors([getattr(module, name) for module in modules], rows)
        stacked_layer.register_parameter(name, stacked)  # type: ignore[arg-type]
    for name, _ in modules[0].named_buffers(recurse=False):
        buffers = [getattr(module, name) for module in modules]
        stacked_layer.register_buffer(name, stack_tensors(buffers, rows))


def stack_tensors(tensors: Sequence[Tensor], rows: bool) -> Tensor:
    """The tensors of the models along a new first axis, then with one of length 1 for the rows."""
    stacked = torch.stack([tensor.detach() for tensor in tensors])
    stacked = stacked.unsqueeze(1) if rows else stacked
    if isinstance(tensors[0], nn.Parameter):
        return nn.Parameter(stacked, requires_grad=tensors[0].requires_grad)
    return stacked
