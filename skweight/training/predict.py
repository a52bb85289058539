"""The output of a trained network, chunk by chunk, each row independent of the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skweight.data import (
    as_dense,
    as_tensor,
    call_module,
    describe,
    each_input,
    rows_at_once,
    to_integers,
)
from skweight.losses import add_offset
from skweight.training.isolation import remember_use
from skweight.training.out_of_memory import advised_if_out_of_memory

# Links are computed in float64, on chunks that stay in the cache of a CPU.
_ROWS_PER_LINK = 2**15


@advised_if_out_of_memory("predict fewer rows at a time.")
def predict(
    module: nn.Module,
    X: Any,
    device: torch.device,
    link: Callable[[Tensor], Tensor] | None = None,
    as_integers: bool = False,
    offset: Tensor | None = None,
    shift: Tensor | None = None,
) -> Tensor:
    """Return the network's output for X as float64 on the CPU.

    Every chunk is padded to a multiple of 64 rows, so that the output of a row does not depend on
    the rows that are predicted with it. On some processors, a layer of 2 to 11 outputs whose input
    width is no multiple of 4 still rounds differently at different positions of a row.

    Parameters
    ----------
    module : nn.Module
        On ``device``, in evaluation mode.
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32, or NamedInputs
    device : torch.device
    link : callable, default=None
        Applied to raw scores of shape (n, n_outputs), in float64. None returns the scores.
    as_integers : bool, default=False
        Whether the module takes X as integers.
    offset : Tensor of shape (n_samples, n_offsets), float64, default=None
        Added to the output of the module, in units of raw scores, which are the sum.
    shift : Tensor of shape (n_outputs,), default=None
        Added too, in float64.
    """
    remember_use()
    output = _forward(module, X, device, as_integers)
    if link is None:
        return _raw_scores(output, offset, shift, slice(None))
    first = _apply_link(link, _raw_scores(output, offset, shift, slice(_ROWS_PER_LINK)))
    if len(output) <= _ROWS_PER_LINK:
        return first
    linked = first.new_empty((len(output), *first.shape[1:]))
    linked[:_ROWS_PER_LINK] = first
    for start in range(_ROWS_PER_LINK, len(output), _ROWS_PER_LINK):
        rows = slice(start, start + _ROWS_PER_LINK)
        linked[rows] = _apply_link(link, _raw_scores(output, offset, shift, rows))
    return linked


def _raw_scores(output: Tensor, offset: Tensor | None, shift: Tensor | None, rows: slice) -> Tensor:
    """Raw scores of some rows in float64: output of the module, offset of the row, and shift."""
    scores = output[rows].double()
    scores = scores if offset is None else add_offset(scores, offset[rows])
    return scores if shift is None else scores + shift


def _apply_link(link: Callable[[Tensor], Tensor], scores: Tensor) -> Tensor:
    return link(_padded(scores))[: len(scores)]


def _padded(rows: Tensor) -> Tensor:
    """Rows with the last one repeated until their number is a multiple of 64.

    Kernels round the last rows of a matrix, beyond a multiple of their width, and a matrix of one
    row differently: by 2e-7 in products of float32, which is visible in predictions near zero.
    """
    missing = -len(rows) % 64
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows


def _forward(module: nn.Module, X: Any, device: torch.device, as_integers: bool) -> Tensor:
    """Raw scores of shape (n_samples, n_outputs) as the network returns them, on the CPU."""
    X = each_input(lambda rows: as_tensor(rows) if isinstance(rows, np.ndarray) else rows, X)
    n_rows, step = X.shape[0], rows_at_once(X, device)
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        first = _scores(module, X[:step], device, as_integers)
        if n_rows <= step:
            # A copy: a module may return one of its parameters.
            return first.detach().to("cpu", copy=True)
        raw = torch.empty((n_rows, first.shape[1]), dtype=first.dtype, device="cpu")
        raw[:step] = first
        for start in range(step, n_rows, step):
            rows = X[start : start + step]
            raw[start : start + step] = _scores(module, rows, device, as_integers)
    return raw


def _scores(module: nn.Module, rows: Any, device: torch.device, as_integers: bool) -> Tensor:
    """Scores of a chunk, computed on a padded one."""
    X = each_input(as_dense, rows)
    n_rows = len(X)
    X = to_integers(X) if as_integers else X
    try:
        output: Tensor = call_module(module, each_input(lambda part: _padded(part).to(device), X))
    except IndexError as error:  # of an embedding that does not know a token
        raise ValueError(
            f"module {type(module).__name__} failed on {describe(X)}: {error}"
        ) from error
    output = output if output.ndim == 2 else output.reshape(len(output), -1)
    return output[:n_rows]
