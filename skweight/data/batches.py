"""Batches of rows: shuffled or sampled by weight, gathered in blocks, copied ahead to a GPU."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, repeat
from typing import Any, TypeVar

import torch
from torch import Tensor

from skweight.data.inputs import each_input
from skweight.data.rows import Batch, RowDataset, to_device

# Values of X to gather at once: 1 MiB stays in the cache of a CPU; on a GPU few kernels are faster.
VALUES_AT_ONCE = {"cpu": 2**18, "cuda": 2**25}
_CACHE_LINE = 64  # bytes
# Rows whose weights and targets are gathered at once: they take about 40 bytes each.
ROWS_IN_ORDER = 2**17
Item = TypeVar("Item")


class TensorBatches:
    """Batches of a :class:`RowDataset`, instead of a ``DataLoader``.

    Batches have at most ``batch_size`` rows and differ by at most one row: a short last batch
    would take a full step on a noisy gradient, and batch norm refuses a batch of one row.
    Rows are gathered for many batches at once, see ``VALUES_AT_ONCE``.

    Parameters
    ----------
    rows : RowDataset
    batch_size : int
    shuffle : bool, default=False
        Whether each pass has another random order, which depends on ``seed``.
    sampling : bool, default=False
        Whether a pass draws as many rows as there are, with replacement and with probability
        proportional to their weight. Weights are then divided by the draw probability, up to a
        constant: what is left is the mean weight of all rows (1 except in ``partial_fit``), times
        the weight of a label over the mean of its row.
    seed : int, default=0
    """

    def __init__(
        self,
        rows: RowDataset,
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
            if self.cumulated[-1] > 0:  # may be 0 in float32 in partial_fit
                # The mean as float32, so that a mean of 1 up to rounding is 1.
                self.drawn_by = per_row / (self.cumulated[-1] / len(rows)).float().item()

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return self.n_batches

    def n_mapped_values(self, function: Callable[[Tensor], Tensor]) -> int:
        """The number of values that :meth:`mapped` would make."""
        first, _ = self.rows.batch(torch.zeros(1, dtype=torch.int64, device="cpu"))
        return function(first["X"]).shape[1] * len(self.rows)

    def mapped(self, function: Callable[[Tensor], Tensor], n_values: int) -> "TensorBatches":
        """The same batches with the results of a function as X, ``n_values`` for all rows.

        See :meth:`RowDataset.mapped`.
        """
        return self.over(self.rows.mapped(function, n_values // len(self.rows)))

    def over(self, rows: RowDataset) -> "TensorBatches":
        """The same batches of the same rows in another form, with the same random draws."""
        batches = copy.copy(self)
        batches.rows = rows
        batches.sizes = batches._sizes()
        return batches

    def positions(self) -> Tensor:
        """Positions of the rows of one pass."""
        n_rows = len(self.rows)
        if self.drawn_by is not None:
            uniform = torch.rand(
                n_rows, generator=self.generator, dtype=torch.float64, device="cpu"
            )
            # side="right": a row whose weight is 0 in float32 is never drawn.
            drawn = torch.searchsorted(self.cumulated, uniform * self.cumulated[-1], right=True)
            return drawn.clamp(max=n_rows - 1)
        if self.shuffle:
            return torch.randperm(n_rows, generator=self.generator, device="cpu")
        return torch.arange(n_rows, device="cpu")

    def __iter__(self) -> Iterator[Batch]:
        """Yield ``({"X": ..., "row_weight": ...}, y)``; rows with an offset have it as well."""
        positions = torch.split(self.positions(), [sum(sizes) for sizes in self.sizes])
        blocks: Iterator[Batch] = map(self.block, positions)
        if self.copying is not None:
            blocks = copy_ahead(blocks, self.copying)
        on_cpu = self.rows.device.type == "cpu"
        for sizes, (rows, y) in zip(self.sizes, blocks):
            if len(sizes) == 1:
                yield rows, y
                continue
            parts = rows["X"], rows["row_weight"], y
            offsets = split_offset(rows.get("offset"), sizes)
            for X, row_weight, target in zip(*(part.split(sizes) for part in parts)):
                X = each_input(_aligned, X) if on_cpu else X
                batch, offset = {"X": X, "row_weight": row_weight}, next(offsets)
                yield (batch if offset is None else {**batch, "offset": offset}), target

    def blocks_in_order(self) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor, Tensor | None]]:
        """What :meth:`in_order` says of the rows of one pass, for many batches at a time.

        With the sizes of these batches. X itself is not read.
        """
        sizes = [size for of_block in self.sizes for size in of_block]
        together = max(1, ROWS_IN_ORDER // sizes[0])
        blocks = [sizes[i : i + together] for i in range(0, len(sizes), together)]
        for of_block, positions in zip(
            blocks, torch.split(self.positions(), [sum(of_block) for of_block in blocks])
        ):
            yield of_block, *self.in_order(positions)

    def in_order(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Positions in X, weights, targets and any offset of these rows. X itself is not read."""
        rows, on_device = self.rows, to_device(positions, self.rows.device)
        index = rows.index.index_select(0, to_device(positions, rows.index.device))
        weight = self._weights(rows.row_weight.index_select(0, on_device), positions)
        offset = None if rows.offset is None else rows.offset.index_select(0, on_device)
        return index, weight, rows.y.index_select(0, on_device), offset

    def _sizes(self) -> list[list[int]]:
        """Sizes of the batches, in one list for each block that is gathered at once."""
        size, n_larger = divmod(len(self.rows), self.n_batches)
        sizes = [size + 1] * n_larger + [size] * (self.n_batches - n_larger)
        values = VALUES_AT_ONCE.get(self.rows.device.type, VALUES_AT_ONCE["cpu"])
        together = max(1, values // (sizes[0] * max(1, math.prod(self.rows.X.shape[1:]))))
        return [sizes[i : i + together] for i in range(0, len(sizes), together)]

    def block(self, positions: Tensor) -> Batch:
        """Rows of several batches, with the weights that multiply their losses."""
        rows, y = self.rows.batch(positions)
        return {**rows, "row_weight": self._weights(rows["row_weight"], positions)}, y

    def _weights(self, row_weight: Tensor, positions: Tensor) -> Tensor:
        """What the losses of these rows are multiplied by."""
        if self.drawn_by is None:
            return row_weight
        drawn_by = self.drawn_by[to_device(positions, self.rows.device)]
        return row_weight / drawn_by.reshape(-1, *[1] * (row_weight.ndim - 1))


def split_offset(
    offset: Tensor | None, sizes: Sequence[int], dim: int = 0
) -> Iterator[Tensor | None]:
    """The offset of each batch of these sizes; None for each if there is no offset."""
    return repeat(None) if offset is None else iter(offset.split_with_sizes([*sizes], dim))


def _keep_memory(stream: Any, tensor: Tensor) -> None:
    """Do not reuse the memory of a tensor before the work that is queued in a stream is done."""
    tensor.record_stream(stream)


def _aligned(tensor: Tensor) -> Tensor:
    """A tensor at the beginning of a cache line: rounding in kernels may depend on where it is."""
    return tensor.clone() if tensor.data_ptr() % _CACHE_LINE else tensor


def copy_ahead(blocks: Iterator[Batch], stream: Any) -> Iterator[Batch]:
    """Gather and copy each block in its own CUDA stream, while the previous one is in use."""
    stream.wait_stream(torch.cuda.current_stream(stream.device))

    def copied() -> Iterator[tuple[Batch, Any]]:
        while True:
            with torch.cuda.stream(stream):
                block = next(blocks, None)
                if block is None:
                    return
                arrived = stream.record_event()
            yield block, arrived

    for (rows, y), arrived in prefetch(copied()):
        computing = torch.cuda.current_stream(stream.device)
        computing.wait_event(arrived)
        for tensors in (*rows.values(), y):
            each_input(partial(_keep_memory, computing), tensors)
        yield rows, y


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """Ask for the next item before the current one is yielded."""
    current = list(islice(items, 1))
    while current:
        following = list(islice(items, 1))
        yield current[0]
        current = following
