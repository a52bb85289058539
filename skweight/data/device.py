"""The device to train on, and whether X fits there."""

from typing import Any

import numpy as np
import torch

from skweight.data.arrays import as_tensor

# Of the free memory of a GPU, for X: networks and batches need some too.
_SHARE = 0.5


def place(X: Any, device: torch.device) -> Any:
    """Dense X as a tensor, moved to ``device`` once if it fits there; other X as it is."""
    if not isinstance(X, np.ndarray):
        return X
    X = as_tensor(X)
    return X.to(device) if _fits(X.nbytes, device) else X


def _fits(n_bytes: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    # torch keeps memory that it does not use, and gives it out again.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes <= _SHARE * (torch.cuda.mem_get_info(device)[0] + kept)


def resolve_device(device: Any) -> torch.device:
    """Turn "auto", a name or a ``torch.device`` into a device that is there.

    "auto" is CUDA, then MPS, then the CPU.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            'device must be "auto" or a device that torch can use here, such as "cpu", '
            f'"cuda", "cuda:1" or "mps", got {device!r}: {reason}'
        ) from error
    return resolved
