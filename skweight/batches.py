"""The rows that training sees, and the batches that it reads them in.

Rows are addressed through an index into the X that the user gave; X itself is neither
sorted nor copied. How batches are used is left to ``training``.
"""

import math
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from skweight.data import as_dense

# Values of X to gather at once: 1 MiB stays in the cache of a CPU; a GPU wants few kernels.
VALUES_AT_ONCE = {"cpu": 2**18, "cuda": 2**25}
_CACHE_LINE = 64  # bytes
Item = TypeVar("Item")
Batch = tuple[dict[str, Tensor], Tensor]


class Rows(torch.utils.data.Dataset[Any]):
    """Distinct rows with their targets and weights: all that training sees.

    Parameters
    ----------
    X : Tensor or MappedRows of shape (n_samples, ...), or CSR matrix
        float32, in the order in which it came, from ``data.place``.
    index : ndarray of shape (n_rows,)
        Position in X of each row.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Class codes, labels 0 and 1 (int64), or float targets.
    row_weight : ndarray of shape (n_rows,) or (n_rows, n_labels)
        Weights of mean 1, but for the later rows of a stream.
    device : torch.device
        Where targets, weights and batches are; X too, unless it is sparse, on disk or too large.
    """

    def __init__(
        self,
        X: Any,
        index: NDArray[np.intp],
        y: NDArray[Any],
        row_weight: NDArray[np.float64],
        device: torch.device,
    ) -> None:
        self.X = X
        where = X.device if isinstance(X, Tensor) else torch.device("cpu")
        self.index = torch.from_numpy(index.astype(np.int64, copy=False)).to(where)
        dtype = torch.int64 if y.dtype.kind == "i" else torch.float32
        self.y = torch.from_numpy(y).to(dtype).to(device)
        self.row_weight = torch.from_numpy(row_weight).to(torch.float32).to(device)
        self.device = device

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
        # Positions before X: what is copied later arrives later.
        there = moved(positions, self.device)
        positions = positions if self.index.device.type == "cpu" else there
        X = gather(self.X, self.index[positions], self.device)
        row_weight = self.row_weight.index_select(0, there)
        return {"X": X, "row_weight": row_weight}, self.y.index_select(0, there)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of ``(X, y, row_weight)``; X is sparse COO where the user's X is CSR."""
        if not sparse.issparse(self.X):
            return gather(self.X, self.index, self.device), self.y, self.row_weight
        coo = self.X[self.index.cpu().numpy()].tocoo()
        with warnings.catch_warnings():
            # torch 2.11 asks whether to check, also when it is told to.
            warnings.filterwarnings("ignore", message="Sparse invariant checks")
            X = torch.sparse_coo_tensor(
                torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64)),
                torch.from_numpy(coo.data),
                coo.shape,
                device="cpu",
                check_invariants=True,
            ).coalesce()
        return X.to(self.device), self.y, self.row_weight


def gather(X: Any, rows: Tensor, device: torch.device) -> Tensor:
    """Rows of X as a dense tensor on ``device``; ``rows`` is where X is."""
    in_tensor = isinstance(X, Tensor)
    return moved(X.index_select(0, rows) if in_tensor else as_dense(X[rows.numpy()]), device)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on ``device``; on a GPU of CUDA without waiting for what is under way there."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def rows_at_once(X: Any, device: torch.device) -> int:
    """Number of rows of X to compute on without gradients: at most 64 MiB of them.

    On a CPU 4,096, whose hidden layers stay in the cache; a GPU wants more. A multiple of
    64, see ``prediction``.
    """
    n_values = max(1, int(math.prod(X.shape[1:])))
    most = 2**12 if device.type == "cpu" else 2**16
    return max(64, min(most, 2**24 // n_values // 64 * 64))


class TensorBatches:
    """Iterate over :class:`Rows` in batches, in place of a ``DataLoader``.

    Batches are at most ``batch_size`` long and differ by at most one row: a short last batch
    would take a full step on a noisy gradient, and batch norm refuses a batch of one row.
    Rows are gathered for many batches at once, as many as the cache or the GPU easily holds.

    Parameters
    ----------
    rows : Rows
    batch_size : int
    shuffle : bool, default=False
        Whether each pass has an order of its own, drawn from ``seed``.
    sampling : bool, default=False
        Whether a pass draws as many rows as there are, with replacement and with probability
        proportional to their weight, and leaves to the loss what the draw did not account
        for: the mean weight of all rows, which is 1 but in a stream, times the weight of a
        label over the mean of its row.
    seed : int, default=0
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        shuffle: bool = False,
        sampling: bool = False,
        seed: int = 0,
    ) -> None:
        self.rows = rows
        self.shuffle = shuffle
        self.n_batches = math.ceil(len(rows) / batch_size)
        self.sizes = self._sizes()
        self.generator = torch.Generator(device="cpu").manual_seed(seed)
        self.copying: Any = None
        if rows.is_copied:
            self.copying = torch.cuda.Stream(rows.device)  # type: ignore[no-untyped-call]
        self.drawn_by: Tensor | None = None
        if sampling:
            weight = rows.row_weight
            per_row = weight if weight.ndim == 1 else weight.mean(dim=1)
            # On the CPU, so that every device draws the same rows.
            self.cumulated = per_row.cpu().double().cumsum(0)
            if self.cumulated[-1] > 0:  # weights of a stream may be too small for float32
                # The mean as float32, so that a mean of 1 up to rounding is 1.
                self.drawn_by = per_row / (self.cumulated[-1] / len(rows)).float().item()

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return self.n_batches

    def positions(self) -> Tensor:
        """Positions of the rows of one pass."""
        n_rows = len(self.rows)
        if self.drawn_by is not None:
            uniform = torch.rand(
                n_rows, generator=self.generator, dtype=torch.float64, device="cpu"
            )
            # To the right: a row whose weight float32 took for 0 is never drawn.
            drawn = torch.searchsorted(self.cumulated, uniform * self.cumulated[-1], right=True)
            return drawn.clamp(max=n_rows - 1)
        if self.shuffle:
            return torch.randperm(n_rows, generator=self.generator, device="cpu")
        return torch.arange(n_rows, device="cpu")

    def __iter__(self) -> Iterator[Batch]:
        """Yield ``({"X": ..., "row_weight": ...}, y)``."""
        positions = torch.split(self.positions(), [sum(sizes) for sizes in self.sizes])
        blocks: Iterator[Batch] = map(self.block, positions)
        if self.copying is not None:
            blocks = copied_ahead(blocks, self.copying)
        on_cpu = self.rows.device.type == "cpu"
        for sizes, (rows, y) in zip(self.sizes, blocks):
            if len(sizes) == 1:
                yield rows, y
                continue
            parts = rows["X"], rows["row_weight"], y
            for X, row_weight, target in zip(*(torch.split(part, sizes) for part in parts)):
                # Kernels may round by where in a cache line a tensor begins.
                X = X.clone() if on_cpu and X.data_ptr() % _CACHE_LINE else X
                yield {"X": X, "row_weight": row_weight}, target

    def _sizes(self) -> list[list[int]]:
        """Sizes of the batches, in a list for each block that is gathered at once."""
        size, n_larger = divmod(len(self.rows), self.n_batches)
        sizes = [size + 1] * n_larger + [size] * (self.n_batches - n_larger)
        values = VALUES_AT_ONCE.get(self.rows.device.type, VALUES_AT_ONCE["cpu"])
        together = max(1, values // (sizes[0] * max(1, math.prod(self.rows.X.shape[1:]))))
        return [sizes[i : i + together] for i in range(0, len(sizes), together)]

    def block(self, positions: Tensor) -> Batch:
        """Rows of several batches, with the weights that the loss will see."""
        rows, y = self.rows.batch(positions)
        if self.drawn_by is not None:
            weight, drawn_by = rows["row_weight"], self.drawn_by[moved(positions, self.rows.device)]
            rows["row_weight"] = weight / drawn_by.reshape(-1, *[1] * (weight.ndim - 1))
        return rows, y


def copied_ahead(blocks: Iterator[Batch], stream: Any) -> Iterator[Batch]:
    """Gather and copy each block in a stream of its own while the one before is computed on."""
    stream.wait_stream(torch.cuda.current_stream(stream.device))

    def copied() -> Iterator[tuple[Batch, Any]]:
        while True:
            with torch.cuda.stream(stream):
                block = next(blocks, None)
                if block is None:
                    return
                arrived = stream.record_event()
            yield block, arrived

    for (rows, y), arrived in one_ahead(copied()):
        computing = torch.cuda.current_stream(stream.device)
        computing.wait_event(arrived)
        for tensor in (*rows.values(), y):
            tensor.record_stream(computing)  # its memory is not free before that is done
        yield rows, y


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Ask for the next item before the one at hand is used."""
    at_hand = list(islice(items, 1))
    while at_hand:
        following = list(islice(items, 1))
        yield at_hand[0]
        at_hand = following
