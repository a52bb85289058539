"""A network before its training: adapted to its data and tried on a few rows."""

from typing import Any

import torch
from torch import Tensor, nn

from skweight._keywords import warn
from skweight.data import (
    NamedInputs,
    RowDataset,
    call_module,
    describe,
    to_integers,
    weighted_moments,
    weighted_quantiles,
)
from skweight.losses import RowLoss, width
from skweight.training.steps import with_row_axis

# What modules raise that cannot compute with the X they are given.
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError)


def prepare(
    module: nn.Module,
    criterion: RowLoss,
    rows: RowDataset,
    widths: tuple[int, ...],
    adapt: bool,
    holds_integers: bool = False,
) -> nn.Module:
    """Adapt the module to its training rows, and try it and the criterion on a few of them.

    Its methods ``adapt(X, y, row_weight)``, ``adapt_input(mean, spread)``, ``adapt_bins(edges)``
    with ``n_bins + 1`` quantiles, and then ``adapt_output(constant)`` are called if it has them,
    unless ``adapt`` is False because the module has been trained before. ``widths`` are the
    numbers of output columns that the problem allows. With ``holds_integers``, a module that fails
    on floats is given X as integers from then on.

    Raises
    ------
    ValueError
        If the module does not return raw scores of one of the widths, or if the
        criterion cannot compare them with the targets.
    """
    if adapt:
        _adapt_to_input(module, rows)
    module.eval()  # neither dropout nor running statistics
    output, tried_y = _try(module, rows, widths, holds_integers)
    _warn_of_probabilities(module, output, tried_y)
    criterion.to(rows.device).check(output, tried_y)
    if criterion.compares_with_y and tried_y.is_floating_point():
        criterion.learn_units(rows.y, rows.row_weight, output)
        criterion.check(output, tried_y)
    if adapt and _has_method(module, "adapt_output"):
        constant = criterion.constant(rows.y, rows.row_weight, width(output))
        module.adapt_output(constant)  # type: ignore[operator]
    return module.train()


def prepare_validation(module: nn.Module, rows: RowDataset, valid_rows: RowDataset) -> None:
    """Have validation rows as integers if the training rows are, and try the module on integers."""
    if rows.as_integers:
        valid_rows.use_integers("X" if valid_rows.X is rows.X else "X_val")
    module.eval()
    _try_extremes(module, valid_rows)
    module.train()


def _adapt_to_input(module: Any, rows: RowDataset) -> None:
    if _has_method(module, "adapt"):
        X, y, weight = rows.tensors()
        y = y.float() if y.is_floating_point() else y
        X = X.by_name if isinstance(X, NamedInputs) else X
        module.adapt(X, y, weight if weight.ndim == 1 else weight.mean(dim=1))
        del X
    if isinstance(rows.X, NamedInputs):
        _adapt_to_inputs(module, rows, rows.X)
        return
    if _has_method(module, "adapt_input"):
        module.adapt_input(*weighted_moments(rows))
    if _has_method(module, "adapt_bins") and getattr(module, "n_bins", False):
        module.adapt_bins(weighted_quantiles(rows, module.n_bins))


def _adapt_to_inputs(module: Any, rows: RowDataset, X: NamedInputs) -> None:
    """Give the module dicts of the moments of the inputs of floats, and of their quantiles."""
    floats = {name: rows.of_input(name) for name in X.by_name if X.holds_floats(name)}
    if _has_method(module, "adapt_input"):
        moments = {name: weighted_moments(of_input) for name, of_input in floats.items()}
        mean = {name: mean for name, (mean, _) in moments.items()}
        spread = {name: spread for name, (_, spread) in moments.items()}
        module.adapt_input(mean, spread)
    if _has_method(module, "adapt_bins") and getattr(module, "n_bins", False):
        tables = [name for name, of_input in floats.items() if of_input.X.ndim == 2]
        edges = {name: weighted_quantiles(floats[name], module.n_bins) for name in tables}
        module.adapt_bins(edges)


def _has_method(module: nn.Module, name: str) -> bool:
    return callable(getattr(module, name, None))


def _try(
    module: nn.Module, rows: RowDataset, widths: tuple[int, ...], holds_integers: bool
) -> tuple[Tensor, Tensor]:
    """Run the module on the first rows; return its scores and the targets of these rows."""
    # Another number of rows than of columns, so that a broadcast cannot look like a result.
    n_rows = min(4 if 5 in widths else 5, len(rows))
    batch, y = rows.batch(torch.arange(n_rows, device="cpu"))
    output = _output(module, rows, batch["X"], holds_integers)
    _try_extremes(module, rows)
    if isinstance(output, Tensor):
        output = with_row_axis(output, n_rows)
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    allowed: list[Any] = [(n_rows, columns) for columns in widths]
    if shape not in allowed + [(n_rows,)] * (1 in widths):
        wanted = " or ".join(f"(n, {columns})" for columns in widths)
        raise ValueError(
            f"module {type(module).__name__} must return raw scores of shape {wanted} for this y "
            f"and criterion, got {shape} for {n_rows} rows."
        )
    return output, y


@torch.no_grad()
def _try_extremes(module: nn.Module, rows: RowDataset) -> None:
    """Try the rows with the smallest and largest integers, which may be unknown tokens."""
    positions = rows.extreme_rows()
    if len(positions):
        X = rows.batch(positions)[0]["X"]
        try:
            call_module(module, X)
        except _FAILURES as error:
            raise _failure(module, X, error) from error


def _failure(module: nn.Module, X: Any, error: Exception) -> ValueError:
    return ValueError(f"module {type(module).__name__} failed on {describe(X)}: {error}")


@torch.no_grad()
def _output(module: nn.Module, rows: RowDataset, X: Any, holds_integers: bool) -> Any:
    """The module's output for X, the first of the rows, on floats or else on integers.

    A module that takes integers, such as token ids, is given them from now on.
    """
    try:
        return call_module(module, X)
    except _FAILURES as error:
        if isinstance(X, NamedInputs) or rows.as_integers or not holds_integers:
            raise _failure(module, X, error) from error
        on_floats = error
    try:
        output = module(to_integers(X))
    except _FAILURES as error:
        raise ValueError(
            f"module {type(module).__name__} failed on {describe(X)} as float32, {on_floats}, and "
            f"as integers: {error}"
        ) from error
    rows.use_integers()
    return output


def _warn_of_probabilities(module: nn.Module, output: Tensor, y: Tensor) -> None:
    last = [*module.modules()][-1]
    link = type(last).__name__ if isinstance(last, (nn.Sigmoid, nn.Softmax)) else ""
    if width(output) > 1 and bool((output >= 0).all()):
        sums = output.sum(dim=1)
        if torch.allclose(sums, torch.ones_like(sums), atol=1e-5):
            link = link or "a softmax"
    if link and not y.is_floating_point():
        warn(
            f"module {type(module).__name__} ends with {link}, but must return raw "
            "scores: predict and predict_proba would apply it a second time."
        )
