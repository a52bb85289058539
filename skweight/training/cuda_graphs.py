"""Training steps recorded as CUDA graphs, and the choice of the kind of step."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from skweight._keywords import is_out_of_memory
from skweight.data import Batch
from skweight.training.recorded_update import RecordedUpdate
from skweight.training.steps import (
    CompiledStep,
    LossAndOutput,
    TrainingStep,
    dense_tensors,
    first_line,
    warn_of_no_effect,
)
from skweight.training.torch_internals import cuda_generator, has_hooks, zero_each_

# A graph is recorded when a shape of batches comes for the third time: kernels then have their
# workspaces, and a fit of few updates is over before a recording would pay.
_N_WARMUP_STEPS = 2
# A recording waits for the device and empties caches: it takes about as long as this many steps.
_FEWEST_STEPS_TO_RECORD = 100


class ReplayedStep(TrainingStep):
    """The kernels of a step, recorded once for each shape of batches and launched as one.

    A recording reads a batch from tensors of its own and adds to gradients that stay at the same
    address: they are set to zero at its beginning instead of being dropped. Every replay draws
    new dropout masks and updates running statistics. If a parameter or buffer has moved to
    another address, steps are recorded anew. The Python code of ``forward`` runs only while it
    is recorded: a branch, or a rate of dropout that a callback changes, stays as it was then.

    An ``update``, if there is one, follows the gradients in each step, and is recorded with them.

    ``record`` takes a function without arguments and returns one that repeats its work on the
    device; ``warmup`` makes the context of the steps before a recording.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        record: Callable[[Callable[[], None]], Callable[[], None]],
        warmup: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(module, criterion)
        self._record = record
        self._warmup = warmup
        self.update: RecordedUpdate | None = None
        self._tensors = [*dense_tensors(module, criterion)]
        self._forget()

    def _forget(self) -> None:
        self._addresses = [_address(tensor) for tensor in self._tensors]
        self._n_seen: dict[Any, int] = {}
        self._has_gradient: dict[Any, list[bool]] = {}
        self._recorded: dict[Any, Callable[..., LossAndOutput]] = {}

    @property
    def has_update(self) -> bool:
        """Whether a call also makes the update of the optimizer and of the average."""
        return self.update is not None

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Use the current optimizer; drop recordings if the network has other tensors."""
        could_be_recorded = self.reset is None
        super().attach(optimizer)
        if could_be_recorded and self.reset is not None:
            warn_of_no_effect("the optimizer has its own zero_grad, which no graph can record")
        tensors = [*self.parameters, *dense_tensors(self.module, self.criterion)]
        if not _same(tensors, self._tensors):
            self._tensors = tensors
            self._forget()

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph.

        The next step overwrites the output.
        """
        if self.reset is not None:
            return super().__call__(batch)
        if self.update is not None:
            self.update.prepare()
        if self._addresses != [_address(tensor) for tensor in self._tensors]:
            self._forget()
        rows, y = batch
        tensors: tuple[Any, ...] = rows["X"], rows["row_weight"], y
        tensors += (rows["offset"],) if "offset" in rows else ()
        trained = tuple(parameter.requires_grad for parameter in self.parameters)
        shape = (tuple(tensor.shape for tensor in tensors), trained)
        if shape not in self._recorded:
            self._n_seen[shape] = self._n_seen.get(shape, 0) + 1
            if self._n_seen[shape] <= _N_WARMUP_STEPS:
                with self._warmup():
                    result = super().__call__(batch)
                    if self.update is not None:
                        self.update()
                self._has_gradient[shape] = [p.grad is not None for p in self.parameters]
                return result
            self._recorded[shape] = self._make_recording(self._has_gradient[shape], *tensors)
        return self._recorded[shape](*tensors)

    def _make_recording(
        self, has_gradient: list[bool], *tensors: Any
    ) -> Callable[..., LossAndOutput]:
        """Record a step for tensors of these shapes.

        A parameter without a gradient in an eager step has none here: optimizers skip it.
        """
        inputs = [tensor.clone() for tensor in tensors]
        kept = [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
            if has
            else None
            for parameter, has in zip(self.parameters, has_gradient)
        ]
        gradients = [gradient for gradient in kept if gradient is not None]
        results: list[Tensor] = []

        def set_gradients() -> None:
            for parameter, gradient in zip(self.parameters, kept):
                parameter.grad = gradient

        def step() -> None:
            zero_each_(gradients)
            results[:] = [result.detach() for result in self.add_gradients(*inputs)]
            if self.update is not None:
                self.update()

        set_gradients()
        before = [*dense_tensors(self.module, self.criterion)]
        replay = self._record(step)
        if not _same(before, [*dense_tensors(self.module, self.criterion)]):
            raise _cannot_be_recorded("a forward that puts another tensor in place of a buffer")

        def replay_with(*tensors: Any) -> LossAndOutput:
            set_gradients()
            for recorded_input, tensor in zip(inputs, tensors):
                recorded_input.copy_(tensor)
            replay()
            loss, output = results  # which the next replay overwrites
            return loss.clone(), output

        return replay_with


class CudaGraphs:
    """Recordings as CUDA graphs, made in a CUDA stream of their own."""

    def __init__(self, device: torch.device) -> None:
        # torch's default stream for recordings is one of the device that recorded first.
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # Recordings of one fit run one after the other, and what they return is read before the
        # next one runs: they may compute in the same memory.
        self.pool = torch.cuda.graph_pool_handle()
        # torch refuses to record into a pool whose graphs are all gone while something still lies
        # there, such as a tensor that a callback keeps: so the latest one stays.
        self._latest: torch.cuda.CUDAGraph | None = None

    @contextmanager
    def warmup(self) -> Iterator[None]:
        """Work in that stream, after earlier work of the current stream and before later work.

        Libraries then have their workspaces there when a step is recorded.
        """
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            current.wait_stream(self.stream)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels of a step without running them; return a function that runs them."""
        graph = torch.cuda.CUDAGraph()
        random = cuda_generator(self.stream.device)
        state = random.clone_state()
        # In this thread only: fits in other threads may do what no recording allows.
        recording = torch.cuda.graph(
            graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
        )
        try:
            # No kernel runs while it is recorded, so no stream has to wait for it.
            with torch.cuda.stream(self.stream), recording:
                step()
        except BaseException as error:
            random.graphsafe_set_state(state)  # or it would wait for the end of the recording
            # Ending a failed recording raises a second error: report the first error.
            before, reason = error.__context__, error
            if isinstance(before, RuntimeError) or not isinstance(before, Exception | None):
                reason = before
            if not isinstance(reason, RuntimeError) or is_out_of_memory(reason):
                raise reason from None
            raise _cannot_be_recorded(first_line(reason)) from error
        self._latest = graph
        return graph.replay


def _cannot_be_recorded(got: str) -> ValueError:
    return ValueError(
        "compile=True on a GPU records the training step once and replays it, which needs a "
        "network and a criterion whose operations do not depend on values (no .item(), no "
        f"tensor in an if) and change buffers in place, got {got}. Pass compile=False."
    )


def _address(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def _same(tensors: list[Tensor], others: list[Tensor]) -> bool:
    return len(tensors) == len(others) and all(map(is_, tensors, others))


def make_step(
    module: nn.Module,
    criterion: nn.Module,
    device: torch.device,
    compile: bool,
    n_steps: int,
    graphs: Callable[[torch.device], CudaGraphs] = CudaGraphs,
) -> TrainingStep:
    """Choose how gradients are computed in a training of ``n_steps`` steps.

    ``compile`` spends time on the first batches to save it on the others. ``graphs`` makes the
    recorder of steps on a GPU.
    """
    if not compile:
        return TrainingStep(module, criterion)
    if device.type == "cuda":
        if n_steps < _FEWEST_STEPS_TO_RECORD:
            return TrainingStep(module, criterion)
        if any(map(has_hooks, module.modules())):
            warn_of_no_effect("hooks of the network would run only while its step is recorded")
            return TrainingStep(module, criterion)
        recorder = graphs(device)
        return ReplayedStep(module, criterion, recorder.record, recorder.warmup)
    if device.type == "cpu" and _missing_compiler():
        warn_of_no_effect(f"torch.compile needs a C++ compiler, and {_missing_compiler()}")
        return TrainingStep(module, criterion)
    return CompiledStep(module, criterion)


def _missing_compiler() -> str:
    """Why there is no C++ compiler for torch.compile; empty if there is one."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    name = os.environ.get("CXX", usual)
    if shutil.which(name):
        return ""
    return f"{name!r} is not a program on the PATH (the environment variable CXX may name one)"
