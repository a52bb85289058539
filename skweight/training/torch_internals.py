"""The corners of torch that are not public, each with the reason and the versions it was seen in.

Everything here works in torch 2.11 and 2.13.
"""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor


def subtract_each(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Differences of pairs of tensors, in one call: there is no public form of ``_foreach_sub``."""
    return list(torch._foreach_sub(list(tensors), list(others)))


def multiply_each_(tensors: Sequence[Tensor], factor: float) -> None:
    """Multiply tensors in place by a number, in one call."""
    torch._foreach_mul_(list(tensors), factor)


def add_each_(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """Add to tensors in place, in one call."""
    torch._foreach_add_(list(tensors), list(others))


def copy_each_(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """Copy into tensors, in one call."""
    torch._foreach_copy_(list(tensors), list(others))


def zero_each_(tensors: Sequence[Tensor]) -> None:
    """Set tensors to zero, in one call."""
    torch._foreach_zero_(list(tensors))


def with_own_code(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A copy of a function with code of its own, for ``torch.compile``.

    torch compiles the same code a few times only, and then silently runs it as it is.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"function must be a Python function, got {type(function).__name__}.")
    return FunctionType(function.__code__.replace(co_name=name), function.__globals__)


def is_compiler_error(error: Exception) -> bool:
    """Whether an error comes from ``torch.compile`` itself; its classes are not public."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def relu_gradient(gradient: Tensor, rectified: Tensor, out: Tensor) -> Tensor:
    """The gradient of ReLU, written to ``out``: autograd's kernel has no public form with it."""
    torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=out)
    return out
