"""X to arrays and tensors, the device, and which rows are for validation.

How rows become batches is left to ``batches``.
"""

import mmap
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

# Of the free memory of a GPU, for X: networks and batches need some too.
_SHARE = 0.5


def as_array(values: Any) -> Any:
    """A tensor as an array on the CPU; anything else as it is."""
    if not isinstance(values, Tensor):
        return values
    if values.layout != torch.strided:
        raise TypeError(
            f"Sparse data must come as a SciPy sparse matrix, got a tensor of {values.layout}."
        )
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def canonical_csr(X: Any) -> Any:
    """CSR with sorted indices, no duplicates, no stored zeros; dense X as it is."""
    if not sparse.issparse(X):
        return X
    if X.has_canonical_format and X.data.all():
        return X
    X = X.copy()
    X.sum_duplicates()
    X.eliminate_zeros()
    return X


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor that shares its memory with ``array``, which may be read-only."""
    with warnings.catch_warnings():
        # torch warns that a write would be undefined behaviour: nothing here writes.
        warnings.filterwarnings("ignore", message=".*not writable", category=UserWarning)
        return torch.from_numpy(array)


def is_mapped(X: Any) -> bool:
    """Whether X lies on disk and is not what tensors can read there."""
    if not isinstance(X, np.ndarray):
        return False
    memory: Any = X  # of a view, also one that is no memmap by its type
    while memory is not None and not isinstance(memory, mmap.mmap):
        memory = memory.obj if isinstance(memory, memoryview) else getattr(memory, "base", None)
    if memory is None:
        return False
    return X.dtype != np.float32 or not X.flags.c_contiguous


class MappedRows:
    """A memory-mapped array of any numbers, read as float32 and only the rows asked for.

    Parameters
    ----------
    array : ndarray of shape (n_samples, ...)
        A memmap or a view of one.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.shape = array.shape

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.array)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Read the rows of a slice or an array of positions."""
        return np.array(self.array[rows], dtype=np.float32, order="C")


def as_dense(rows: Any) -> Tensor:
    """A few rows of X, whatever X is, as a dense tensor."""
    if isinstance(rows, Tensor):
        return rows
    return torch.from_numpy(rows.toarray() if sparse.issparse(rows) else rows)


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


def split_validation(
    n_rows: int, fraction: float, seed: int, classes: NDArray[np.integer[Any]] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose validation rows at random, in each class its share if ``classes`` is given.

    The choice depends on the rows' number (and classes) and on ``seed`` alone. Every class
    keeps a row for training, so a class of one row takes no part.

    Returns
    -------
    train, valid : ndarray
        Sorted positions.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction must lie between 0 and 1, got {fraction!r}.")
    if max(1, round(fraction * n_rows)) >= n_rows:
        raise ValueError(
            "early_stopping=True needs distinct rows for training and for validation, got "
            f"n_samples = {n_rows} of them with validation_fraction={fraction}."
        )
    shuffled = np.random.default_rng(seed).permutation(n_rows)
    if classes is not None:
        shuffled = _grouped(shuffled, classes)
    if not len(shuffled):
        raise ValueError(
            "early_stopping=True needs a class with two distinct rows to take validation rows "
            f"from, got n_samples = {n_rows} distinct rows, each the only one of its class."
        )
    # Evenly spaced places in rows that are shuffled within classes: each class gets its share.
    n_valid = max(1, round(fraction * len(shuffled)))
    places = (np.arange(n_valid) + 0.5) * (len(shuffled) / n_valid)
    valid = np.zeros(n_rows, dtype=bool)
    valid[shuffled[places.astype(np.intp)]] = True
    if classes is not None:
        all_chosen = ~np.isin(classes, classes[~valid])
        _, first = np.unique(classes[shuffled], return_index=True)
        valid[[row for row in shuffled[first] if all_chosen[row]]] = False
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def _grouped(shuffled: NDArray[np.intp], classes: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Shuffled rows class by class, without those that are the only ones of their class."""
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    _, inverse, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    kept: NDArray[np.intp] = order[counts[inverse] > 1]
    return kept
