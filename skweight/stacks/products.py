"""Batched products, bit-identical to computing each model alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Operation = Callable[..., Tensor]


class ExactOperation:
    """An operation on stacked tensors that rounds each model as if it were computed alone.

    Which batched implementation does so depends on the shapes, by which libraries choose their
    kernels, and is found by trials. On a GPU the first one is always used: there, rounding
    differs from one model of GPU to the next anyway.

    ``batched`` are implementations for tensors of shape (n_models, ...), the fastest first;
    ``single`` is the operation on the tensors of one model.
    """

    def __init__(self, *batched: Operation, single: Operation) -> None:
        self.batched = batched
        self.one_by_one = _one_by_one(single)

    def __call__(self, *tensors: Tensor, out: Tensor | None = None) -> Tensor:
        """The result for all models, which is written to ``out`` if that is given."""
        return self.chosen(*tensors)(*tensors, out=out)

    def chosen(self, *tensors: Tensor) -> Operation:
        """What computes the result for tensors of these shapes, as a call does."""
        if tensors[0].device.type != "cpu":
            return self.batched[0]
        shapes = tuple(tensor.shape[1:] for tensor in tensors)
        same = tuple(_is_same_for_all(tensor) for tensor in tensors)
        found = choose_implementation(self, shapes, same, torch.get_num_threads())
        return lambda *tensors, out=None: found(*map(_contiguous, tensors), out=out)


def _is_same_for_all(tensor: Tensor) -> bool:
    """Whether a tensor is that of one model, expanded to several."""
    return len(tensor) > 1 and tensor.stride(0) == 0 and tensor[0].is_contiguous()


def _contiguous(tensor: Tensor) -> Tensor:
    """A tensor whose matrices are contiguous, of which there may be only one for all models."""
    return tensor if _is_same_for_all(tensor) else tensor.contiguous()


def _one_by_one(single: Operation) -> Operation:
    """An operation for one model after the other.

    Each runs on copies of its tensors, which begin at the same byte of a cache line as those of
    a single model: kernels may round by where in a cache line a tensor begins.
    """

    def one_by_one(*tensors: Tensor, out: Tensor | None = None) -> Tensor:
        parts = [single(*(t.clone() for t in own)) for own in zip(*tensors)]
        return torch.stack(parts, out=out)

    return one_by_one


def _linear(X: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.baddbmm(bias, X, weight.transpose(1, 2), out=out)


def _product(X: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.bmm(X, weight.transpose(1, 2), out=out)


def _transposed(
    X: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """As a linear layer with one output multiplies a matrix by a vector."""
    product = torch.bmm(weight, X.transpose(1, 2)).transpose(1, 2)
    return _written(product if bias is None else product + bias, out)


def _weight_gradient(gradient: Tensor, X: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.bmm(gradient.transpose(1, 2), X, out=out)


def _transposed_weight_gradient(gradient: Tensor, X: Tensor, out: Tensor | None = None) -> Tensor:
    return _written(torch.bmm(X.transpose(1, 2), gradient).transpose(1, 2), out)


def _written(result: Tensor, out: Tensor | None) -> Tensor:
    return result if out is None else out.copy_(result)


def _sum(values: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.sum(values, dim=1, keepdim=True, out=out)  # type: ignore[call-overload, no-any-return]


# Forward and backward of linear layers. Weights are (n_models, n_outputs, n_inputs), biases
# (n_models, 1, n_outputs), inputs and gradients of outputs (n_models, n, ...).
linear = ExactOperation(
    _linear,
    _transposed,
    single=lambda X, weight, bias: F.linear(X, weight, bias[0]),
)
linear_without_bias = ExactOperation(_product, _transposed, single=F.linear)
input_gradient = ExactOperation(torch.bmm, single=torch.mm)
weight_gradient = ExactOperation(
    _weight_gradient, _transposed_weight_gradient, single=lambda gradient, X: gradient.t() @ X
)
sum_over_rows = ExactOperation(_sum, single=lambda values: values.sum(dim=0, keepdim=True))

_FLOATS_PER_CACHE_LINE = 16
# A product with more values than this in a factor keeps a core busy by itself.
_LARGE = 2**20
# Trials of an implementation: as many as this number of values allows, within limits.
_VALUES_TRIED, _FEWEST_TRIALS, _MOST_TRIALS = 2**18, 2, 10


@cache
def choose_implementation(
    operation: ExactOperation,
    shapes: tuple[torch.Size, ...],
    same: tuple[bool, ...],
    n_threads: int,
) -> Operation:
    """The first implementation that gives every model its own bits, for tensors of these shapes.

    ``shapes`` are those of one model, and ``same`` says which tensors are the same for all;
    ``n_threads`` is part of the key only, since rounding depends on it.
    """
    n_largest = max(1, *(shape.numel() for shape in shapes))  # or 0: X without information
    if n_largest > _LARGE:
        return operation.one_by_one
    # The tensors of sixteen models begin at every possible float of a cache line.
    is_aligned = not any(shape.numel() % _FLOATS_PER_CACHE_LINE for shape in shapes)
    n_models = 3 if is_aligned else _FLOATS_PER_CACHE_LINE
    n_trials = max(_FEWEST_TRIALS, min(_MOST_TRIALS, _VALUES_TRIED // (n_models * n_largest)))
    for batched in operation.batched:
        of_all = [(1 if is_same else n_models, *s) for s, is_same in zip(shapes, same)]
        if _agrees(batched, operation.one_by_one, of_all, n_models, n_trials):
            return batched
    return operation.one_by_one


def _agrees(
    batched: Operation, reference: Operation, shapes: list[Any], n_models: int, n_trials: int
) -> bool:
    """Whether both give the same bits for random tensors, in each of the trials."""
    generator = torch.Generator("cpu").manual_seed(0)
    for _ in range(n_trials):
        drawn = [torch.randn(shape, generator=generator, device="cpu") for shape in shapes]
        drawn = [tensor.expand(n_models, *tensor.shape[1:]) for tensor in drawn]
        if not torch.equal(batched(*drawn), reference(*drawn)):
            return False
    return True
