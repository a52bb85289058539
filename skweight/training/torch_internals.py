"""The corners of torch that are not public, each with the reason why it is needed.

The tests have run with torch 2.13, and with 2.11 before the kernels of Adam and of embeddings and
the section on optimizers were added. Look here first when a new version of torch breaks something.
"""

from collections.abc import Callable, Sequence
from copy import copy
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# Operations on lists of tensors, in one call instead of one per tensor. torch's own optimizers use
# them; there is no public form.


def move_each_(tensors: Sequence[Tensor], others: Sequence[Tensor], share: float | Tensor) -> None:
    """Move tensors in place towards others, by a share of the differences.

    Subtraction, multiplication and addition are separate calls: kernels that do all three in one
    round some of a tensor's last numbers differently.
    """
    differences = torch._foreach_sub(list(others), list(tensors))
    torch._foreach_mul_(differences, share)
    torch._foreach_add_(list(tensors), differences)


def copy_each_(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """Copy into tensors, in one call."""
    torch._foreach_copy_(list(tensors), list(others))


def zero_each_(tensors: Sequence[Tensor]) -> None:
    """Set tensors to zero, in one call."""
    torch._foreach_zero_(list(tensors))


def relu_gradient(gradient: Tensor, rectified: Tensor, out: Tensor) -> Tensor:
    """The gradient of ReLU, written to ``out``.

    This is the kernel that autograd uses. It has no public form, and any other way to write the
    gradient needs a second pass over the memory.
    """
    torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=out)
    return out


def adam_(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    decoupled: bool,
    **settings: Any,
) -> None:
    """Step number ``steps`` of Adam, or of AdamW if weight decay is decoupled, by its fused kernel.

    torch.optim calls the same kernel, after Python code that takes longer than the kernel itself.
    """
    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    kernel(
        parameters, gradients, means, squares, [], steps, amsgrad=False, maximize=False, **settings
    )


def embedding_gradient(gradient: Tensor, codes: Tensor, n_rows: int) -> Tensor:
    """The gradient of a table of ``n_rows`` vectors by that of the vectors of ``codes``."""
    found: Tensor = torch.ops.aten.embedding_dense_backward(gradient, codes, n_rows, -1, False)
    return found


# Optimizers


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether functions were registered to run before or after each step."""
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def count_as_step(optimizer: torch.optim.Optimizer) -> None:
    """Tell schedulers that a step was made: they warn if the first one comes after theirs."""
    optimizer._opt_called = True  # type: ignore[attr-defined]


# torch.compile


def with_own_code(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A copy of a function with code of its own.

    ``torch.compile`` compiles the same code eight times at most, and then silently runs it as it
    is. The limit has a setting, but one for the whole process, which is the user's.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"function must be a Python function, got {type(function).__name__}.")
    return FunctionType(function.__code__.replace(co_name=name), function.__globals__)


def is_compiler_error(error: Exception) -> bool:
    """Whether an error comes from ``torch.compile`` itself.

    The classes of its errors are not public and change with the version. To import the packages
    that define them would load the compiler.
    """
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


# CUDA


def cuda_generator(device: torch.device) -> torch.Generator:
    """The random generator of a GPU; the list of them is not documented.

    ``torch.cuda.set_rng_state`` cannot be used after a recording that failed: the generator would
    wait for the end of the recording. Its method ``graphsafe_set_state`` can.
    """
    generator: torch.Generator = torch.cuda.default_generators[device.index]
    return generator


# Modules


def children_of(module: nn.Module) -> dict[str, nn.Module | None]:
    """The submodules by name, with those that are None, which ``named_children`` leaves out."""
    return dict(module._modules)


def empty_copy(module: nn.Module) -> nn.Module:
    """A copy with the attributes of a module, but without its tensors and submodules.

    ``copy.copy`` shares the dictionaries that hold them, so what is registered with the copy
    would be registered with the module as well.
    """
    empty = copy(module)
    empty._modules, empty._parameters, empty._buffers = {}, {}, {}
    return empty


def add_parametrized_properties(module: nn.Module, names: Sequence[str]) -> None:
    """Make tensors of a module those that its ``parametrizations`` compute, as before a pickle.

    torch does this when a parametrization is registered, which would compute the originals anew.
    """
    parametrize._inject_new_class(module)
    for name in names:
        parametrize._inject_property(module, name)


def is_compiled(value: Any) -> bool:
    """Whether this is the result of ``torch.compile``; importing its class takes seconds."""
    return type(value).__module__.startswith("torch._dynamo")


def copy_versions(source: Any, target: Any) -> None:
    """Give a copy of a state dict the versions of its modules, which convert older states."""
    if hasattr(source, "_metadata"):
        target._metadata = source._metadata


_HOOKS_OF_MODULES = (
    *("_forward_hooks", "_forward_pre_hooks"),
    *("_backward_hooks", "_backward_pre_hooks"),
)
_HOOKS_OF_TENSORS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def has_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks on ``forward`` or on gradients: torch has no function that tells.

    Those on the gradients of its own parameters count, such as ``wandb.watch`` adds.
    """
    of_parameters = (
        getattr(parameter, name)
        for parameter in module.parameters(recurse=False)
        for name in _HOOKS_OF_TENSORS
    )
    return any(getattr(module, name) for name in _HOOKS_OF_MODULES) or any(of_parameters)
