"""One update: from a batch to the gradients of its weighted loss."""

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count
from types import FunctionType

import torch
from torch import Tensor, nn

from skweight.data import Batch
from skweight.losses import backpropagate_weighted_mean

LossAndOutput = tuple[Tensor, Tensor]
Losses = Callable[[nn.Module, nn.Module, Tensor, Tensor], LossAndOutput]


class TrainingStep:
    """Compute the loss of a batch and leave its gradients in the parameters.

    Parameters
    ----------
    module : nn.Module
        ``forward(X)`` returns raw scores.
    criterion : nn.Module
        ``forward(output, target)`` returns one loss per row, or per row and label.

    Attributes
    ----------
    parameters : list of nn.Parameter
        Those whose gradients are dropped before a step.
    reset : callable or None
        What is called instead of dropping them.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module) -> None:
        self.module = module
        self.criterion = criterion
        self.parameters: list[Tensor] = [*module.parameters(), *criterion.parameters()]
        self.reset: Callable[[], None] | None = None

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Reset the gradients of all that the optimizer now has, in its own way if it has one."""
        groups = optimizer.param_groups
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        own_reset = type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad
        self.reset = optimizer.zero_grad if own_reset else None

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph."""
        if self.reset is not None:
            self.reset()
        else:
            for parameter in self.parameters:
                parameter.grad = None
        return self._add(batch[0]["X"], batch[0]["row_weight"], batch[1])

    def _add(self, X: Tensor, row_weight: Tensor, y: Tensor) -> LossAndOutput:
        """Add the gradients to what the parameters have."""
        losses, output = self._losses(X, y)
        return backpropagate_weighted_mean(losses, row_weight), output.detach()

    def _losses(self, X: Tensor, y: Tensor) -> LossAndOutput:
        return _losses_of(self.module, self.criterion, X, y)


class CompiledStep(TrainingStep):
    """The same by :func:`torch.compile`, network and criterion in one; without it if it fails."""

    def __init__(self, module: nn.Module, criterion: nn.Module) -> None:
        super().__init__(module, criterion)
        shapes = [tuple(tensor.shape) for tensor in _tensors(module, criterion)]
        self._fast: Losses | None = _compiled(f"{module!r} {criterion!r} {shapes}")

    def _losses(self, X: Tensor, y: Tensor) -> LossAndOutput:
        if self._fast is not None:
            try:
                return self._fast(self.module, self.criterion, X, y)
            except Exception as error:
                if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                _warn_of_no_effect(f"torch.compile failed: {_first_line(error)}")
            self._fast = None
        return super()._losses(X, y)


_numbers = count()


@lru_cache(maxsize=256)
def _compiled(structure: str) -> Losses:
    """A compiled function for networks of one structure, which many fits may share.

    torch compiles the same code a few times only, and then silently runs it as it is: each
    structure has code of its own.
    """
    code = _losses_of.__code__.replace(co_name=f"losses_of_structure_{next(_numbers)}")
    compiled: Losses = torch.compile(FunctionType(code, globals()))
    return compiled


def _losses_of(module: nn.Module, criterion: nn.Module, X: Tensor, y: Tensor) -> LossAndOutput:
    output = module(X)
    return criterion(output, y), output


def _tensors(*modules: nn.Module) -> Iterator[Tensor]:
    """What the modules compute with: parameters and dense buffers."""
    for module in modules:
        yield from module.parameters()
        yield from (buffer for buffer in module.buffers() if buffer.layout == torch.strided)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _warn_of_no_effect(why: str) -> None:
    message = f"compile=True has no effect: {why}. The network is trained without it."
    warnings.warn(message, stacklevel=2)
