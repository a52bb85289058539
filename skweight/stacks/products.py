"""Batched matrix products that give each model the bits it has alone."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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
