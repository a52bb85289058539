"""X to tensors, the device, and the batches that training reads.

Rows are addressed through an index into the X that the user gave; X itself is neither
sorted nor copied. How batches are used is left to ``training``.
"""

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

Batch = tuple[dict[str, Tensor], Tensor]


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


def place(X: Any, device: torch.device) -> Any:
    """Dense X as a tensor on ``device``, moved there once; CSR X as it is."""
    return X if sparse.issparse(X) else as_tensor(X).to(device)


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
    keeps a row for training.

    Returns
    -------
    train, valid : ndarray
        Sorted positions.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction must lie between 0 and 1, got {fraction!r}.")
    n_valid = max(1, round(fraction * n_rows))
    if n_valid >= n_rows:
        raise ValueError(
            "early_stopping=True needs distinct rows for training and for validation, got "
            f"n_samples = {n_rows} of them with validation_fraction={fraction}."
        )
    shuffled = np.random.default_rng(seed).permutation(n_rows)
    if classes is not None:
        shuffled = shuffled[np.argsort(classes[shuffled], kind="stable")]
    # Evenly spaced places in rows that are shuffled within classes: each class gets its share.
    places = (np.arange(n_valid) + 0.5) * (n_rows / n_valid)
    valid = np.zeros(n_rows, dtype=bool)
    valid[shuffled[places.astype(np.intp)]] = True
    if classes is not None:
        all_chosen = ~np.isin(classes, classes[~valid])
        _, first = np.unique(classes[shuffled], return_index=True)
        valid[[row for row in shuffled[first] if all_chosen[row]]] = False
    if not valid.any():
        raise ValueError(
            "early_stopping=True needs a class with two distinct rows to take validation rows "
            f"from, got n_samples = {n_rows} distinct rows, each the only one of its class."
        )
    return np.flatnonzero(~valid), np.flatnonzero(valid)


class Rows(torch.utils.data.Dataset[Any]):
    """Distinct rows with their targets and weights: all that training sees.

    Parameters
    ----------
    X : Tensor of shape (n_samples, ...) or CSR matrix of shape (n_samples, n_features)
        float32, in the order in which it came, from :func:`place`.
    index : ndarray of shape (n_rows,)
        Position in X of each row.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Class codes, labels 0 and 1 (int64), or float targets.
    row_weight : ndarray of shape (n_rows,) or (n_rows, n_labels)
        Weights of mean 1, but for the later rows of a stream.
    device : torch.device
        Where dense X is already and where batches of CSR X go.
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
        self.index = torch.from_numpy(index.astype(np.int64)).to(device)
        dtype = torch.int64 if y.dtype.kind == "i" else torch.float32
        self.y = torch.from_numpy(y).to(dtype).to(device)
        self.row_weight = torch.from_numpy(row_weight).to(torch.float32).to(device)
        self.device = device

    def __len__(self) -> int:
        """Return the number of distinct rows."""
        return len(self.index)

    def __getitem__(self, position: int) -> Batch:
        """Return one row, its weight and its target."""
        batch, y = self.batch(torch.tensor([position], device=self.device))
        return {name: value[0] for name, value in batch.items()}, y[0]

    def batch(self, positions: Tensor) -> Batch:
        """Rows and weights as a dict, and the targets."""
        rows = {
            "X": gather(self.X, self.index[positions], self.device),
            "row_weight": self.row_weight[positions],
        }
        return rows, self.y[positions]

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of ``(X, y, row_weight)``; X is sparse COO where the user's X is CSR."""
        if not sparse.issparse(self.X):
            return self.X[self.index], self.y, self.row_weight
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


def gather(X: Any, rows: Any, device: torch.device) -> Tensor:
    """Rows of a dense tensor or of a CSR matrix as a dense tensor on ``device``."""
    if not sparse.issparse(X):
        return X[rows].to(device)  # type: ignore[no-any-return]
    rows = rows.cpu().numpy() if isinstance(rows, Tensor) else rows
    return torch.from_numpy(X[rows].toarray()).to(device)


def rows_at_once(X: Any) -> int:
    """Number of rows of X to compute on without gradients: 64 MiB of them, at most 8,192.

    A multiple of 64, see ``prediction``.
    """
    n_values = max(1, int(math.prod(X.shape[1:])))
    return max(64, min(2**13, 2**24 // n_values // 64 * 64))


class TensorBatches:
    """Iterate over :class:`Rows` in batches, in place of a ``DataLoader``.

    Batches are at most ``batch_size`` long and differ by at most one row: a short last batch
    would take a full step on a noisy gradient, and batch norm refuses a batch of one row.

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
        self.generator = torch.Generator(device="cpu").manual_seed(seed)
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

    def _pass(self) -> Tensor:
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
        for positions in self._pass().to(self.rows.device).tensor_split(self.n_batches):
            batch, y = self.rows.batch(positions)
            if self.drawn_by is not None:
                weight, drawn_by = batch["row_weight"], self.drawn_by[positions]
                batch["row_weight"] = weight / drawn_by.reshape(-1, *[1] * (weight.ndim - 1))
            yield batch, y
