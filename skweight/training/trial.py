"""A module tried on a few rows before it is trained: what it takes, and what it returns."""

from typing import Any

import torch
from torch import Tensor, nn

from skweight._keywords import is_out_of_memory
from skweight.data import NamedInputs, RowDataset, call_module, describe, to_integers
from skweight.training.steps import with_row_axis

# What modules raise that cannot compute with the X they are given.
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError)
# Functions that only arrange numbers, as autograd calls them.
_VIEWS = ("Alias", "Clone", "Reshape", "Select", "Slice", "Squeeze", "Unsqueeze", "View")


def try_module(
    module: nn.Module, rows: RowDataset, widths: tuple[int, ...], holds_integers: bool
) -> tuple[Tensor, Tensor]:
    """Run the module on the first rows; return its scores and the targets of these rows."""
    # Another number of rows than of columns, so that a broadcast cannot look like a result.
    n_rows = min(4 if 5 in widths else 5, len(rows))
    batch, y = rows.batch(torch.arange(n_rows, device="cpu"))
    output = _output(module, rows, batch["X"], holds_integers)
    _try_extremes(module, rows)
    if isinstance(output, Tensor):
        _check_trainable(module, output)
        output = with_row_axis(output.detach(), n_rows)
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    allowed: list[Any] = [(n_rows, columns) for columns in widths]
    if shape not in allowed + [(n_rows,)] * (1 in widths):
        wanted = " or ".join(f"(n, {columns})" for columns in widths)
        raise ValueError(
            f"module {type(module).__name__} must return raw scores of shape {wanted} for this y "
            f"and criterion, got {shape} for {n_rows} rows."
        )
    return output, y


@torch.enable_grad()
def last_function(module: nn.Module, rows: RowDataset, n_rows: int) -> str:
    """What autograd calls the function that makes the scores, such as "SoftmaxBackward0"."""
    output = call_module(module, rows.batch(torch.arange(n_rows, device="cpu"))[0]["X"])
    node = output.grad_fn
    while node is not None and type(node).__name__.startswith(_VIEWS):
        node = node.next_functions[0][0]
    return "" if node is None else type(node).__name__


def try_on_validation(module: nn.Module, rows: RowDataset, valid_rows: RowDataset) -> None:
    """Have validation rows as integers if the training rows are, and try the module on integers."""
    if rows.as_integers:
        valid_rows.use_integers("X" if valid_rows.X is rows.X else "X_val")
    module.eval()
    _try_extremes(module, valid_rows)
    module.train()


@torch.no_grad()
def _try_extremes(module: nn.Module, rows: RowDataset) -> None:
    """Try the rows with the smallest and largest integers, which may be unknown tokens."""
    positions = rows.extreme_rows()
    if len(positions):
        X = rows.batch(positions)[0]["X"]
        try:
            call_module(module, X)
        except _FAILURES as error:
            if is_out_of_memory(error):
                raise
            raise _failure(module, X, error) from error


def _failure(module: nn.Module, X: Any, error: Exception) -> ValueError:
    return ValueError(f"module {type(module).__name__} failed on {describe(X)}: {error}")


def _check_trainable(module: nn.Module, output: Tensor) -> None:
    """Refuse a module of which no training could change the output."""
    if output.requires_grad:
        return
    parameters = [*module.parameters()]
    if not parameters:
        got = "a module without parameters"
    elif not any(parameter.requires_grad for parameter in parameters):
        got = f"{len(parameters)} parameters that all have requires_grad=False"
    else:
        got = "an output without a gradient: do not call detach() or NumPy in forward"
    raise ValueError(
        f"module {type(module).__name__} must compute its output from parameters that training "
        f"can change, got {got}."
    )


@torch.enable_grad()
def _output(module: nn.Module, rows: RowDataset, X: Any, holds_integers: bool) -> Any:
    """The module's output for X, the first of the rows, on floats or else on integers.

    A module that takes integers, such as token ids, is given them from now on.
    """
    try:
        return call_module(module, X)
    except _FAILURES as error:
        if is_out_of_memory(error):
            raise
        if isinstance(X, NamedInputs) or rows.as_integers or not holds_integers:
            raise _failure(module, X, error) from error
        on_floats = error
    try:
        output = module(to_integers(X))
    except _FAILURES as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"module {type(module).__name__} failed on {describe(X)} as float32, {on_floats}, and "
            f"as integers: {error}"
        ) from error
    rows.use_integers()
    return output
