"""One update: from a batch to the gradients of its weighted loss.

They are computed operation by operation, by a compiled function, or by replaying a CUDA
graph, and are the same up to what a compiler rounds. What an optimizer does with them and
which batches there are is left to ``training``. Only torch here.
"""

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from itertools import count
from operator import is_
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from skweight.batches import Batch
from skweight.losses import backpropagate_weighted_mean

# A graph is recorded when a shape of batches comes for the third time: kernels then have their
# workspaces, and a fit of few updates is over before a recording would pay.
_EAGER_FIRST = 2
# It waits for the device and empties caches: about as long as this many steps.
_STEPS_THAT_PAY = 100

LossAndOutput = tuple[Tensor, Tensor]
Losses = Callable[[nn.Module, nn.Module, Tensor, Tensor], LossAndOutput]


def make_step(
    module: nn.Module,
    criterion: nn.Module,
    device: torch.device,
    compile: bool,
    n_steps: int,
) -> "Gradients":
    """Choose how gradients are computed.

    Parameters
    ----------
    module, criterion : nn.Module
        On ``device``. The criterion returns one loss per row, or per row and label.
    device : torch.device
    compile : bool
        Whether to spend time on the first batches to save it on the others.
    n_steps : int
        Number of steps that are to come.

    Returns
    -------
    Gradients
    """
    if not compile:
        return Gradients(module, criterion)
    if device.type == "cuda":
        if n_steps < _STEPS_THAT_PAY:
            return Gradients(module, criterion)
        graphs = CudaGraphs(device)
        return ReplayedGradients(module, criterion, graphs.record, graphs.aside)
    if device.type == "cpu" and _missing_compiler():
        _warn_of_no_effect(f"torch.compile needs a C++ compiler, and {_missing_compiler()}")
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


class CompiledGradients(Gradients):
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


class ReplayedGradients(Gradients):
    """The kernels of a step, recorded once for each shape of batches and launched as one.

    The recording reads a batch from tensors of its own and adds to gradients that stay where
    they are: they are set to zero at its beginning instead of being dropped. Dropout draws
    anew and running statistics go on at every replay. If parameters or buffers are no longer
    where they were, steps are recorded anew. What Python does in ``forward`` is done once: a
    branch, or a rate of dropout that a callback changes, stays as it was recorded.

    Parameters
    ----------
    module, criterion : nn.Module
    record : callable
        Takes a function without arguments and returns one that does again what it does on the
        device.
    aside : callable, default=nullcontext
        Makes the context of the steps before a recording.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        record: Callable[[Callable[[], None]], Callable[[], None]],
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(module, criterion)
        self._record = record
        self._aside = aside
        self._tensors = [*_tensors(module, criterion)]
        self._forget()

    def _forget(self) -> None:
        self._places = [_place(tensor) for tensor in self._tensors]
        self._seen: dict[Any, int] = {}
        self._takes_part: dict[Any, list[bool]] = {}
        self._recorded: dict[Any, Callable[..., LossAndOutput]] = {}

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Forget recordings of a network that is no longer made of the same tensors."""
        followed = self.reset is None
        super().follow(optimizer)
        if followed and self.reset is not None:
            _warn_of_no_effect(
                "the optimizer has a zero_grad of its own, which no graph can follow"
            )
        tensors = [*self.parameters, *_tensors(self.module, self.criterion)]
        if not _same(tensors, self._tensors):
            self._tensors = tensors
            self._forget()

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph."""
        if self.reset is not None:
            return super().__call__(batch)
        if self._places != [_place(tensor) for tensor in self._tensors]:
            self._forget()
        tensors = batch[0]["X"], batch[0]["row_weight"], batch[1]
        trained = tuple(parameter.requires_grad for parameter in self.parameters)
        shape = (tuple(tensor.shape for tensor in tensors), trained)
        if shape not in self._recorded:
            self._seen[shape] = self._seen.get(shape, 0) + 1
            if self._seen[shape] <= _EAGER_FIRST:
                with self._aside():
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
        before = [*_tensors(self.module, self.criterion)]
        replay = self._record(step)
        if not _same(before, [*_tensors(self.module, self.criterion)]):
            raise _cannot_be_recorded("a forward that puts another tensor in place of a buffer")

        def again(*tensors: Tensor) -> LossAndOutput:
            place_gradients()
            for place, tensor in zip(inputs, tensors):
                place.copy_(tensor)
            replay()
            loss, output = results  # which the next replay overwrites
            return loss.clone(), output.clone()

        return again


class CudaGraphs:
    """Recordings as CUDA graphs, made in a stream of their own.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        # torch's default stream for recordings is one of the device that recorded first.
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work in that stream, after what is under way and before what follows.

        Libraries then have their workspaces there when a step is recorded.
        """
        around = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(around)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            around.wait_stream(self.stream)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record what a step does, without doing it, and return what does it."""
        graph = torch.cuda.CUDAGraph()
        random = torch.cuda.default_generators[self.stream.device.index]
        state = random.clone_state()
        # In this thread only: fits in other threads may do what no recording allows.
        recording = torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local")
        try:
            # Nothing is done while it is recorded, so that nothing has to wait for it.
            with torch.cuda.stream(self.stream), recording:
                step()
        except BaseException as error:
            random.graphsafe_set_state(state)  # or it would wait for the end of the recording
            # The end of a failed recording fails too: the reason is what went wrong before it.
            before, reason = error.__context__, error
            if isinstance(before, RuntimeError) or not isinstance(before, Exception | None):
                reason = before
            if not isinstance(reason, RuntimeError):
                raise reason from None
            raise _cannot_be_recorded(_first_line(reason)) from error
        return graph.replay


def _cannot_be_recorded(got: str) -> ValueError:
    return ValueError(
        "compile=True on a GPU records the training step once and replays it, which needs a "
        "network and a criterion whose operations do not depend on values (no .item(), no "
        f"tensor in an if) and change buffers in place, got {got}. Pass compile=False."
    )


def _tensors(*modules: nn.Module) -> Iterator[Tensor]:
    """What the modules compute with: parameters and dense buffers."""
    for module in modules:
        yield from module.parameters()
        yield from (buffer for buffer in module.buffers() if buffer.layout == torch.strided)


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def _same(tensors: list[Tensor], others: list[Tensor]) -> bool:
    return len(tensors) == len(others) and all(map(is_, tensors, others))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _missing_compiler() -> str:
    """Why there is no C++ compiler for torch.compile; empty if there is one."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    name = os.environ.get("CXX", usual)
    if shutil.which(name):
        return ""
    return f"{name!r} is not a program on the PATH (the environment variable CXX may name one)"


def _warn_of_no_effect(why: str) -> None:
    message = f"compile=True has no effect: {why}. The network is trained without it."
    warnings.warn(message, stacklevel=2)
