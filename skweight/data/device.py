"""The device to train on, and whether X fits there."""

from typing import Any

import numpy as np
import torch

from skweight._keywords import is_out_of_memory
from skweight.data.arrays import MappedRows, as_tensor
from skweight.data.inputs import NamedInputs

# Share of the free memory of a GPU that X may take; networks and batches need some too.
SHARE_FOR_X = 0.5


def place(X: Any, device: torch.device) -> Any:
    """Dense X as a tensor, moved to ``device`` if it fits there; other X unchanged."""
    if isinstance(X, NamedInputs):
        return _place_inputs(X, device)
    if not isinstance(X, np.ndarray):
        return X
    X = as_tensor(X)
    return X.to(device) if _fits_in_memory(X.nbytes, device) else X


def _place_inputs(X: NamedInputs, device: torch.device) -> NamedInputs:
    """All inputs on one device: the rows of all are read by the same positions."""
    X = X.map(lambda values: as_tensor(values) if isinstance(values, np.ndarray) else values)
    inputs = X.by_name.values()
    if any(isinstance(values, MappedRows) for values in inputs):
        return X
    n_bytes = sum(values.nbytes for values in inputs)
    return X.map(lambda values: values.to(device)) if _fits_in_memory(n_bytes, device) else X


def _fits_in_memory(n_bytes: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    return n_bytes <= SHARE_FOR_X * free_memory(device)


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that are free, or that torch keeps without using them."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def resolve_device(device: Any) -> torch.device:
    """Turn "auto" (CUDA, else MPS, else the CPU), a name or a device into a usable device."""
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        raise ValueError(
            'device must be "auto" or a device that torch can use here, such as "cpu", '
            f'"cuda", "cuda:1" or "mps", got {device!r}: {reason}'
        ) from error
    return resolved
