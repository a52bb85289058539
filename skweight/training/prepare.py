"""A network before its training: adapted to its data and tried on a few rows."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from skweight.data import RowDataset, weighted_moments, weighted_quantiles
from skweight.losses import RowLoss, width


def prepare(
    module: nn.Module, criterion: RowLoss, rows: RowDataset, widths: tuple[int, ...], adapt: bool
) -> nn.Module:
    """Show the module its training data, and try it and the criterion on a few rows.

    Parameters
    ----------
    module : nn.Module
        On the rows' device. Its methods ``adapt(X, y, row_weight)``, ``adapt_input(mean,
        spread)``, ``adapt_bins(edges)`` with ``n_bins + 1`` quantiles, and then
        ``adapt_output(constant)`` are called, if it has them.
    criterion : RowLoss
    rows : RowDataset
        The training rows.
    widths : tuple of int
        The numbers of output columns that the problem allows.
    adapt : bool
        False for a network that goes on with what it has learned.

    Returns
    -------
    nn.Module
        The module, ready for training.

    Raises
    ------
    ValueError
        If the module does not return raw scores of one of the widths, or if the
        criterion cannot compare them with the targets.
    """
    if adapt and callable(getattr(module, "adapt", None)):
        X, y, weight = rows.tensors()
        module.adapt(X, y, weight if weight.ndim == 1 else weight.mean(dim=1))  # type: ignore[operator]
        del X
    if adapt and callable(getattr(module, "adapt_input", None)):
        module.adapt_input(*weighted_moments(rows))  # type: ignore[operator]
    if adapt and callable(getattr(module, "adapt_bins", None)) and getattr(module, "n_bins", False):
        edges = weighted_quantiles(rows, module.n_bins)  # type: ignore[arg-type]
        module.adapt_bins(edges)  # type: ignore[operator]
    module.eval()  # neither dropout nor running statistics
    output, few_y = _try(module, rows, widths)
    _warn_of_probabilities(module, output, few_y)
    criterion.to(rows.device).check(output, few_y)
    if adapt and callable(getattr(module, "adapt_output", None)):
        constant = criterion.constant(rows.y, rows.row_weight, width(output))
        module.adapt_output(constant)  # type: ignore[operator]
    return module.train()


def _try(module: nn.Module, rows: RowDataset, widths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Run the module on a few rows; return its scores and the targets of these rows."""
    # Another number of rows than of columns, so that a broadcast cannot look like a result.
    n_few = 4 if 5 in widths else 5
    few, y = rows.batch(torch.arange(min(n_few, len(rows)), device="cpu"))
    X = few["X"]
    try:
        with torch.no_grad():
            output = module(X)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"module {type(module).__name__} failed on X of shape {tuple(X.shape)}: {error}"
        ) from error
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    allowed: list[Any] = [(len(X), columns) for columns in widths]
    if shape not in allowed + [(len(X),)] * (1 in widths):
        wanted = " or ".join(f"(n, {columns})" for columns in widths)
        raise ValueError(
            f"module {type(module).__name__} must return raw scores of shape {wanted} for this y "
            f"and criterion, got {shape} for {len(X)} rows."
        )
    return output, y


def _warn_of_probabilities(module: nn.Module, output: Tensor, y: Tensor) -> None:
    last = [*module.modules()][-1]
    link = type(last).__name__ if isinstance(last, (nn.Sigmoid, nn.Softmax)) else ""
    if width(output) > 1 and bool((output >= 0).all()):
        sums = output.sum(dim=1)
        if torch.allclose(sums, torch.ones_like(sums), atol=1e-5):
            link = link or "a softmax"
    if link and not y.is_floating_point():
        warnings.warn(
            f"module {type(module).__name__} ends with {link}, but must return raw "
            "scores: predict and predict_proba would apply it a second time.",
            stacklevel=7,
        )
