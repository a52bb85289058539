"""What a trained network returns for X: chunk by chunk, each row by itself.

What the numbers mean, labels, probabilities or units, is left to the estimators.
"""

from collections.abc import Callable
from typing import Any

import torch
from scipy import sparse
from torch import Tensor, nn

from skweight.data import as_tensor, gather, rows_at_once


def predict(
    module: nn.Module,
    X: Any,
    device: torch.device,
    link: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the network's output for X as float64 on the CPU.

    Every chunk has a length that kernels treat alike, so that the output for a row does
    not depend on the rows that are predicted with it.

    Parameters
    ----------
    module : nn.Module
        On ``device``, in evaluation mode.
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32
    device : torch.device
    link : callable, default=None
        Applied to raw scores of shape (n, n_outputs). None returns the scores.

    Returns
    -------
    Tensor of shape (n_samples, n_outputs) or as ``link`` returns it
    """
    X = X if sparse.issparse(X) else as_tensor(X)
    outputs = []
    step = rows_at_once(X)
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        for start in range(0, X.shape[0], step):
            chunk = gather(X, slice(start, start + step), device)
            output = module(_pad(chunk))[: len(chunk)]
            output = output.reshape(len(chunk), -1).detach().cpu().double()
            outputs.append(output if link is None else link(output))
    return torch.cat(outputs)


def _pad(X: Tensor) -> Tensor:
    """Repeat the last row until the length is a multiple of 64.

    Matrix products round a row differently at the ragged end of a matrix and in a matrix
    of one row: 2e-7 for float32, which is visible in predictions near zero.
    """
    missing = -len(X) % 64
    return torch.cat([X, X[-1:].expand(missing, *X.shape[1:])]) if missing else X
