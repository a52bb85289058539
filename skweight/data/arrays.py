"""X as arrays and tensors: in memory, sparse, or memory-mapped."""

import mmap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from skweight._keywords import Floats

# Values of X that are copied at once while it is checked.
COPIED_AT_ONCE = 2**20


def as_array(values: Any) -> Any:
    """A tensor as an array on the CPU; anything else unchanged."""
    if not isinstance(values, Tensor):
        return values
    if values.layout != torch.strided:
        raise TypeError(
            f"Sparse data must come as a SciPy sparse matrix, got a tensor of {values.layout}."
        )
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def holds_integers(X: Any) -> bool:
    """Whether X, as the user passed it, holds nothing but integers and booleans."""
    if isinstance(X, Tensor):
        return not (X.is_floating_point() or X.is_complex())
    if hasattr(X, "schema") and hasattr(X, "column_names"):  # a table of pyarrow
        return all("int" in str(kind) or str(kind) == "bool" for kind in X.schema.types)
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        return all(map(_is_of_integers, X.dtypes))
    if hasattr(X, "dtype"):
        return _is_of_integers(X.dtype)
    return not isinstance(X, Mapping) and _is_of_integers(np.asarray(X).dtype)


def _is_of_integers(dtype: Any) -> bool:
    """Whether a dtype of NumPy, pandas or polars is one of integers or booleans."""
    if hasattr(dtype, "is_integer") and callable(dtype.is_integer):  # polars
        return bool(dtype.is_integer() or str(dtype) == "Boolean")
    return getattr(dtype, "kind", "O") in "iub"


def canonical_csr(X: Any) -> Any:
    """CSR with sorted indices, no duplicates and no stored zeros; dense X unchanged."""
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
    if array.flags.writeable:
        return torch.from_numpy(array)
    return torch.from_numpy(np.asarray(_Writable(array)))


class _Writable:
    """The memory of a read-only array, as NumPy's array interface describes one that is not.

    torch warns of read-only memory, since writing to it would be undefined; nothing here writes.
    To ignore a warning would change the filters of all threads.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # kept while its memory is used
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def slices_of_rows(X: NDArray[Any]) -> Iterator[slice]:
    """Slices of the rows of X, in order, that are small enough to be copied."""
    step = max(1, COPIED_AT_ONCE // max(1, int(np.prod(X.shape[1:]))))
    for start in range(0, len(X), step):
        yield slice(start, start + step)


def is_mapped(X: Any) -> bool:
    """Whether X is a file that tensors cannot read in place: not float32, or not C-ordered."""
    if not isinstance(X, np.ndarray):
        return False
    memory: Any = X  # views of a file may be plain arrays: find what holds their memory
    while memory is not None and not isinstance(memory, mmap.mmap):
        memory = memory.obj if isinstance(memory, memoryview) else getattr(memory, "base", None)
    if memory is None:
        return False
    return X.dtype != np.float32 or not X.flags.c_contiguous


class MappedRows:
    """A memory-mapped array of numbers; only the rows asked for are read, as ``dtype``.

    ``shift`` of shape (n_features,), if any, is subtracted from the columns first.
    """

    def __init__(
        self, array: NDArray[Any], shift: Floats | None = None, dtype: Any = np.float32
    ) -> None:
        self.array = array
        self.shape = array.shape
        self.ndim = array.ndim
        self.shift = shift
        self.dtype = dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.array)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Read the rows of a slice or an array of positions."""
        values = self.array[rows] if self.shift is None else self.array[rows] - self.shift
        return np.array(values, dtype=self.dtype, order="C")


def as_dense(rows: Any) -> Tensor:
    """Rows of any kind of X as a dense tensor."""
    if isinstance(rows, Tensor):
        return rows
    return torch.from_numpy(rows.toarray() if sparse.issparse(rows) else rows)
