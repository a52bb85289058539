"""Distinct rows as a torch dataset: an index into X, which is neither sorted nor copied."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from skweight.data.arrays import as_dense
from skweight.data.inputs import NamedInputs

# X, a tensor or ``NamedInputs``, weights and any offsets by name; and the targets.
Batch = tuple[dict[str, Any], Tensor]
# float32 holds every whole number below.
_END_OF_WHOLE_NUMBERS = 2**24


class RowDataset(torch.utils.data.Dataset[Any]):
    """Distinct rows with their targets and weights, which is all that training sees.

    Parameters
    ----------
    X : Tensor or MappedRows of shape (n_samples, ...), CSR matrix or NamedInputs
        In the user's order, as returned by ``place``. All but named inputs are float32.
    index : ndarray of shape (n_rows,)
        Position in X of each row.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Class codes, labels 0 and 1 (int64), or float targets, which keep their precision where
        the device has it.
    row_weight : ndarray of shape (n_rows,) or (n_rows, n_labels)
        Weights of mean 1, except in later calls of ``partial_fit``.
    device : torch.device
        Device of targets, weights and batches, and of X unless it is sparse, on disk or too
        large.
    offset : ndarray of shape (n_rows, n_offsets), default=None
        What is added to the raw scores of each row. Batches have an ``"offset"`` then.
    """

    def __init__(
        self,
        X: Any,
        index: NDArray[np.intp],
        y: NDArray[Any],
        row_weight: NDArray[np.float64],
        device: torch.device,
        offset: NDArray[Any] | None = None,
    ) -> None:
        self.X = X
        self.as_integers = False  # whether batches have X as int64
        where = X.device if isinstance(X, (Tensor, NamedInputs)) else torch.device("cpu")
        self.index = torch.from_numpy(index.astype(np.int64, copy=False)).to(where)
        dtype = torch.int64 if y.dtype.kind == "i" else None
        if device.type == "mps" and y.dtype == np.float64:
            dtype = torch.float32
        self.y = torch.from_numpy(y).to(device=device, dtype=dtype)
        self.offset: Tensor | None = None
        if offset is not None:
            dtype = torch.float32 if device.type == "mps" else None
            self.offset = torch.from_numpy(offset).to(device=device, dtype=dtype)
        self.device = device
        self.row_weight = self._on_device(row_weight)

    def _on_device(self, row_weight: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(row_weight).to(torch.float32).to(self.device)

    def __len__(self) -> int:
        """Return the number of distinct rows."""
        return len(self.index)

    @property
    def is_copied(self) -> bool:
        """Whether batches are copied to a GPU that does not hold X."""
        return self.device.type == "cuda" and not self.index.is_cuda

    def __getitem__(self, position: int) -> Batch:
        """Return one row, its weight and its target."""
        batch, y = self.batch(torch.tensor([position], device="cpu"))
        return {name: value[0] for name, value in batch.items()}, y[0]

    def batch(self, positions: Tensor) -> Batch:
        """Rows and weights as a dict, and the targets."""
        # Copied first, since a device receives copies in their order, and that of X takes longest.
        on_device = to_device(positions, self.device)
        positions = positions if self.index.device.type == "cpu" else on_device
        X = gather(self.X, self.index[positions], self.device)
        X = X.long() if self.as_integers else X
        batch = {"X": X, "row_weight": self.row_weight.index_select(0, on_device)}
        if self.offset is not None:
            batch["offset"] = self.offset.index_select(0, on_device)
        return batch, self.y.index_select(0, on_device)

    def use_integers(self, name: str = "X") -> None:
        """Have X as integers in batches from now on; X with other numbers is refused."""
        for block in self._blocks_of(self.X):
            to_integers(block, name)
        self.as_integers = True

    def extreme_rows(self) -> Tensor:
        """Positions of the rows with the smallest and the largest integer of each input."""
        found = []
        for values in self._inputs_of_integers():
            ends = [
                block.reshape(len(block), -1).aminmax(dim=1) for block in self._blocks_of(values)
            ]
            smallest, largest = (torch.cat(parts) for parts in zip(*ends))
            found += [smallest.argmin().item(), largest.argmax().item()]
        return torch.tensor(sorted({*found}), dtype=torch.int64, device="cpu")

    def _inputs_of_integers(self) -> list[Any]:
        if isinstance(self.X, NamedInputs):
            return [self.X[name] for name in self.X.by_name if not self.X.holds_floats(name)]
        return [self.X] if self.as_integers else []

    def _blocks_of(self, X: Any) -> Iterator[Tensor]:
        """These rows of X or of one of its inputs, some at a time."""
        for index in torch.split(self.index, rows_at_once(X, self.index.device)):
            yield gather(X, index, index.device)

    def mapped(self, function: Callable[[Tensor], Tensor], n_values: int) -> "RowDataset":
        """The same rows with the results of a function as X, ``n_values`` for each row.

        The function is one of each row by itself, and is called now.
        """
        X = torch.empty(len(self), n_values, dtype=torch.float32, device=self.device)
        step = min(rows_at_once(self.X, self.device), rows_at_once(X, self.device))
        for into, index in zip(torch.split(X, step), torch.split(self.index, step)):
            into.copy_(function(gather(self.X, index, self.device)))
        return self.at(X, torch.arange(len(self), device=self.device))

    def at(self, X: Tensor, index: Tensor) -> "RowDataset":
        """The same rows in another form: those of ``X`` at ``index``."""
        rows = copy.copy(self)
        rows.X, rows.index = X, index
        return rows

    def with_weight(self, row_weight: NDArray[np.float64]) -> "RowDataset":
        """The same rows with other weights."""
        rows = copy.copy(self)
        rows.row_weight = self._on_device(row_weight)
        return rows

    def of_input(self, name: str) -> "RowDataset":
        """The same rows of one of several inputs."""
        rows = copy.copy(self)
        rows.X = self.X[name]
        return rows

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of ``(X, y, row_weight)``; X is sparse COO where the user's X is CSR."""
        if not sparse.issparse(self.X):
            return gather(self.X, self.index, self.device), self.y, self.row_weight
        coo = self.X[self.index.cpu().numpy()].tocoo()
        with warnings.catch_warnings():
            # torch 2.11 warns that checks are off by default, also when they are asked for.
            warnings.filterwarnings("ignore", message="Sparse invariant checks")
            X = torch.sparse_coo_tensor(
                torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64)),
                torch.from_numpy(coo.data),
                coo.shape,
                device="cpu",
                check_invariants=True,
            ).coalesce()
        return X.to(self.device), self.y, self.row_weight


def gather(X: Any, rows: Tensor, device: torch.device) -> Any:
    """Rows of X as a dense tensor on ``device``; ``rows`` must be on the device of X."""
    if isinstance(X, NamedInputs):
        return X.map(lambda values: gather(values, rows, device))
    if not isinstance(X, Tensor):
        return to_device(as_dense(X[rows.numpy()]), device)
    if device.type != "cuda" or X.is_cuda:
        return X.index_select(0, rows).to(device)
    # Into pinned memory at once: to pin what has been gathered would copy it a second time. Torch
    # uses this memory again as soon as the copy to the GPU is done.
    pinned = torch.empty(len(rows), *X.shape[1:], dtype=X.dtype, device="cpu", pin_memory=True)
    return torch.index_select(X, 0, rows, out=pinned).to(device, non_blocking=True)


def to_integers(X: Tensor, name: str = "X") -> Tensor:
    """float32 numbers as int64; those that float32 rounds, and fractions, are refused."""
    integers = X.long()
    is_bad = (integers != X) | (X.abs() >= _END_OF_WHOLE_NUMBERS)
    if bool(is_bad.any()):
        raise ValueError(
            f"{name} must hold whole numbers below 2**24 for this module, which takes integers, "
            f"got {X[is_bad][0].item()}. A dict of integers, such as {{'tokens': X}}, may hold "
            "larger ones."
        )
    return integers


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on ``device``; copies to CUDA do not wait for work that is queued there."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def rows_at_once(X: Any, device: torch.device) -> int:
    """Number of rows of X in a chunk of a prediction: at most 64 MiB, and a multiple of 64.

    At most 1,024 on a CPU, so that bins and hidden layers stay in the cache, and 65,536 elsewhere.
    The training package explains the 64, see ``predict``.
    """
    n_values = max(1, int(math.prod(X.shape[1:])))
    most = 2**10 if device.type == "cpu" else 2**16
    return max(64, min(most, 2**24 // n_values // 64 * 64))
