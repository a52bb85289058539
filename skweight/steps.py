"""One update: from a batch to the gradients of its weighted loss.

They are computed operation by operation, by a compiled function, or by replaying a CUDA
graph, and are the same up to what a compiler rounds. What an optimizer does with them and
which batches there are is left to ``training``. Only torch here.
"""

import os
import shutil
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from skweight.batches import Batch
from skweight.losses import backpropagate_weighted_mean

# A graph is recorded when a shape of batches comes for the third time: kernels then have their
# workspaces, and a fit of few updates is over before a recording would pay.
_EAGER_FIRST = 2

LossAndOutput = tuple[Tensor, Tensor]
Losses = Callable[[nn.Module, nn.Module, Tensor, Tensor], LossAndOutput]


def make_step(
    module: nn.Module, criterion: nn.Module, device: torch.device, compile: bool
) -> "Gradients":
    """Choose how gradients are computed.

    Parameters
    ----------
    module, criterion : nn.Module
        On ``device``. The criterion returns one loss per row, or per row and label.
    device : torch.device
    compile : bool
        Whether to spend time on the first batches to save it on the others.

    Returns
    -------
    Gradients
    """
    if not compile:
        return Gradients(module, criterion)
    if device.type == "cuda":
        return ReplayedGradients(module, criterion, partial(_record_cuda_graph, device))
    if device.type == "cpu" and _missing_compiler():
        _warn_of_no_compiler(f"torch.compile needs a C++ compiler, and {_missing_compiler()}")
        return Gradients(module, criterion)
    return CompiledGradients(module, criterion)


class Gradients:
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
        Those whose gradients are reset; at first all of network and criterion.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module) -> None:
        self.module = module
        self.criterion = criterion
        self.parameters: list[Tensor] = [*module.parameters(), *criterion.parameters()]

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph."""
        for parameter in self.parameters:
            parameter.grad = None
        return self._add(batch[0]["X"], batch[0]["row_weight"], batch[1])

    def _add(self, X: Tensor, row_weight: Tensor, y: Tensor) -> LossAndOutput:
        """Add the gradients to what the parameters have."""
        losses, output = self._losses(X, y)
        return backpropagate_weighted_mean(losses, row_weight), output.detach()

    def _losses(self, X: Tensor, y: Tensor) -> LossAndOutput:
        return _losses_of(self.module, self.criterion, X, y)


class CompiledGradients(Gradients):
    """The same by :func:`torch.compile`, network and criterion in one; without it if it fails."""

    def __init__(self, module: nn.Module, criterion: nn.Module) -> None:
        super().__init__(module, criterion)
        self._compiled: Losses | None = _compiled(f"{module!r} {criterion!r}")

    def _losses(self, X: Tensor, y: Tensor) -> LossAndOutput:
        if self._compiled is not None:
            try:
                return self._compiled(self.module, self.criterion, X, y)
            except Exception as error:
                if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                _warn_of_no_compiler(f"torch.compile failed: {_first_line(error)}")
            self._compiled = None
        return super()._losses(X, y)


@lru_cache(maxsize=256)
def _compiled(structure: str) -> Losses:
    """A compiled function for networks of one structure, which many fits may share.

    torch compiles the same code a few times only, and then silently runs it as it is: each
    structure has code of its own.
    """
    code = _losses_of.__code__.replace(co_name=f"losses_{hash(structure):x}")
    compiled: Losses = torch.compile(FunctionType(code, globals()))
    return compiled


def _losses_of(module: nn.Module, criterion: nn.Module, X: Tensor, y: Tensor) -> LossAndOutput:
    output = module(X)
    return criterion(output, y), output


class ReplayedGradients(Gradients):
    """The kernels of a step, recorded once for each shape of batches and launched as one.

    The recording reads a batch from tensors of its own and adds to gradients that stay where
    they are: they are set to zero at its beginning instead of being dropped. Dropout draws
    anew and running statistics go on at every replay. A network must do the same for
    every batch: what Python decides in ``forward`` is decided once.

    Parameters
    ----------
    module, criterion : nn.Module
    record : callable
        Takes a function without arguments and returns one that does again what it does on the
        device.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        record: Callable[[Callable[[], None]], Callable[[], None]],
    ) -> None:
        super().__init__(module, criterion)
        self._record = record
        self._seen: dict[Any, int] = {}
        self._takes_part: dict[Any, list[bool]] = {}
        self._recorded: dict[Any, Callable[..., LossAndOutput]] = {}

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph."""
        tensors = batch[0]["X"], batch[0]["row_weight"], batch[1]
        trained = tuple(parameter.requires_grad for parameter in self.parameters)
        shape = (tuple(tensor.shape for tensor in tensors), trained)
        if shape not in self._recorded:
            self._seen[shape] = self._seen.get(shape, 0) + 1
            if self._seen[shape] <= _EAGER_FIRST:
                result = super().__call__(batch)
                self._takes_part[shape] = [p.grad is not None for p in self.parameters]
                return result
            self._recorded[shape] = self._recording(self._takes_part[shape], *tensors)
        return self._recorded[shape](*tensors)

    def _recording(self, takes_part: list[bool], *tensors: Tensor) -> Callable[..., LossAndOutput]:
        """Record a step for tensors of these shapes.

        A parameter that takes no part has no gradient, as in a step without a recording:
        optimizers leave it alone.
        """
        inputs = [tensor.clone() for tensor in tensors]
        kept = [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
            if takes
            else None
            for parameter, takes in zip(self.parameters, takes_part)
        ]
        gradients = [gradient for gradient in kept if gradient is not None]
        results: list[Tensor] = []

        def place_gradients() -> None:
            for parameter, gradient in zip(self.parameters, kept):
                parameter.grad = gradient

        def step() -> None:
            torch._foreach_zero_(gradients)
            results[:] = [result.detach() for result in self._add(*inputs)]

        place_gradients()
        replay = self._record(step)

        def again(*tensors: Tensor) -> LossAndOutput:
            place_gradients()
            for place, tensor in zip(inputs, tensors):
                place.copy_(tensor)
            replay()
            loss, output = results  # which the next replay overwrites
            return loss.clone(), output.clone()

        return again


def _record_cuda_graph(device: torch.device, step: Callable[[], None]) -> Callable[[], None]:
    graph = torch.cuda.CUDAGraph()
    try:
        # In this thread only: fits in other threads may do what no recording allows.
        with (
            torch.cuda.device(device),
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
        ):
            step()
    except RuntimeError as error:
        raise ValueError(
            "compile=True on a GPU records the training step once and replays it, which needs a "
            "network and a criterion whose operations do not depend on values (no .item(), no "
            f"tensor in an if), got {_first_line(error)}. Pass compile=False."
        ) from error
    return graph.replay


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _missing_compiler() -> str:
    """Why there is no C++ compiler for torch.compile; empty if there is one."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    name = os.environ.get("CXX", usual)
    if shutil.which(name):
        return ""
    return f"{name!r} is not a program on the PATH (the environment variable CXX may name one)"


def _warn_of_no_compiler(why: str) -> None:
    warnings.warn(
        f"compile=True has no effect: {why}. The network is trained without it.", stacklevel=2
    )
