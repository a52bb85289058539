"""One training step: from a batch to the gradients of its weighted loss."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from skweight._keywords import warn
from skweight.data import Batch, NamedInputs, call_module
from skweight.losses import backpropagate_weighted_mean
from skweight.training.torch_internals import is_compiler_error, with_own_code

LossAndOutput = tuple[Tensor, Tensor]
Inputs = Tensor | NamedInputs
Losses = Callable[[nn.Module, nn.Module, Inputs, Tensor, Tensor | None], LossAndOutput]


class TrainingStep:
    """Compute the loss of a batch and leave its gradients in the parameters.

    ``criterion`` returns one loss per row, or per row and label. Gradients of ``parameters`` are
    dropped before a step, or ``reset`` is called: ``zero_grad`` of an optimizer that overrides it.
    Outputs that steps return have the offset of their rows, if there is one.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module) -> None:
        self.module = module
        self.criterion = criterion
        self.parameters: list[Tensor] = [*module.parameters(), *criterion.parameters()]
        self.reset: Callable[[], None] | None = None

    def attach(self, optimizer: Any) -> None:
        """Use the current optimizer: its parameters, and its own ``zero_grad`` if it has one."""
        groups = optimizer.param_groups
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        usual = torch.optim.Optimizer.zero_grad
        own_reset = getattr(type(optimizer), "zero_grad", usual) is not usual
        self.reset = optimizer.zero_grad if own_reset else None

    @property
    def has_update(self) -> bool:
        """Whether a call also makes the update of the optimizer and of the average."""
        return False

    def is_current(self) -> bool:
        """Whether the step may go on with the network as it is now."""
        return True

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph."""
        if self.reset is not None:
            self.reset()
        else:
            for parameter in self.parameters:
                parameter.grad = None
        rows, y = batch
        return self.add_gradients(rows["X"], rows["row_weight"], y, rows.get("offset"))

    def add_gradients(
        self, X: Inputs, row_weight: Tensor, y: Tensor, offset: Tensor | None = None
    ) -> LossAndOutput:
        """Add the gradients of a batch to those of the parameters; return loss and output."""
        losses, output = self.losses(X, y, offset)
        return backpropagate_weighted_mean(losses, row_weight), output.detach()

    def losses(self, X: Inputs, y: Tensor, offset: Tensor | None = None) -> LossAndOutput:
        """The losses of the rows, and the output, both with a graph."""
        return _losses(self.module, self.criterion, X, y, offset)


class CompiledStep(TrainingStep):
    """A step by :func:`torch.compile`, network and criterion in one; eager if that fails."""

    def __init__(self, module: nn.Module, criterion: nn.Module) -> None:
        super().__init__(module, criterion)
        shapes = [tuple(tensor.shape) for tensor in dense_tensors(module, criterion)]
        self.compiled: Losses | None = compiled_losses(f"{module!r} {criterion!r} {shapes}")

    def losses(self, X: Inputs, y: Tensor, offset: Tensor | None = None) -> LossAndOutput:
        """The losses of the rows, and the output, both with a graph."""
        if self.compiled is not None:
            try:
                return self.compiled(self.module, self.criterion, X, y, offset)
            except Exception as error:
                if not is_compiler_error(error):
                    raise
                warn_of_no_effect(f"torch.compile failed: {first_line(error)}")
            self.compiled = None
        return super().losses(X, y, offset)


_numbers = count()


@lru_cache(maxsize=256)
def compiled_losses(structure: str) -> Losses:
    """A compiled function for the networks of one structure, which many fits may share."""
    compiled: Losses = torch.compile(
        with_own_code(_losses, f"losses_of_structure_{next(_numbers)}")
    )
    return compiled


def _losses(
    module: nn.Module,
    criterion: nn.Module,
    X: Inputs,
    y: Tensor,
    offset: Tensor | None,
) -> LossAndOutput:
    output = with_row_axis(call_module(module, X), len(y))
    if offset is not None:
        output = criterion.with_offset(output, offset)  # type: ignore[operator]
    return criterion(output, y), output


def with_row_axis(output: Tensor, n_rows: int) -> Tensor:
    """Scores of shape (n,) or (n, k), also of a module that ends with ``squeeze()``.

    For one row that drops the axis of the rows as well.
    """
    if output.ndim < 2 and n_rows == 1:
        return output.reshape(1) if output.numel() == 1 else output.unsqueeze(0)
    return output


def dense_tensors(*modules: nn.Module) -> Iterator[Tensor]:
    """The tensors that the modules compute with: parameters and dense buffers."""
    for module in modules:
        yield from module.parameters()
        yield from (buffer for buffer in module.buffers() if buffer.layout == torch.strided)


def first_line(error: Exception) -> str:
    """The class of an error and the first line of its text."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def warn_of_no_effect(reason: str) -> None:
    """Warn that the network is trained as with ``compile=False``."""
    warn(f"compile=True has no effect: {reason}. The network is trained without it.")
