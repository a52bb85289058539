"""A training step recorded as a CUDA graph and replayed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from skweight.data import Batch
from skweight.training.steps import (
    LossAndOutput,
    TrainingStep,
    _first_line,
    _tensors,
    _warn_of_no_effect,
)

# A graph is recorded when a shape of batches comes for the third time: kernels then have their
# workspaces, and a fit of few updates is over before a recording would pay.
_EAGER_FIRST = 2


class ReplayedStep(TrainingStep):
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


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def _same(tensors: list[Tensor], others: list[Tensor]) -> bool:
    return len(tensors) == len(others) and all(map(is_, tensors, others))
