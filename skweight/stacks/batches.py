"""Batches of all models of a stack at once."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import NamedTuple

import torch
from torch import Tensor

from skweight.data import ROWS_IN_ORDER, VALUES_AT_ONCE, TensorBatches, split_offset
from skweight.losses import width
from skweight.training import KeptBuffers, unchanged


class Block(NamedTuple):
    """Several batches: their sizes, X of one after the other, and weights and targets of all.

    Tensors have the shape (n_models, n, ...). X of a batch may overwrite that of the batch before.
    ``offset`` is that of the raw scores, None if there is none.
    """

    sizes: list[int]
    X: Iterator[Tensor]
    weights: Tensor
    y: Tensor
    offset: Tensor | None


# X, weights, targets and any offset of a batch, of shape (n_models, n, ...).
Rows = tuple[Tensor, Tensor, Tensor, Tensor | None]


class StackedBatches:
    """Batches of all models at once: for each its own rows in its own order.

    ``batches`` has those of each model, over the same number of rows. Those that have one generator
    draw one order for each pass. If the models have the same rows in the same order, X is gathered
    for one of them, and expanded.
    """

    def __init__(self, batches: Sequence[TensorBatches]) -> None:
        rows = batches[0].rows
        self.device = rows.device
        self.n_rows = len(rows)
        self.sizes = [*chain(*batches[0].sizes)]
        self.n_values_per_row = max(1, width(rows.X))
        # What is made of X, of shape (n_models, n, ...), when it is gathered. If it encodes one, it
        # is given the X of one model, of shape (1, n, ...), for all of them.
        self.encode: Callable[[Tensor], Tensor] = unchanged
        self.encodes_one = False
        self.use(batches)

    def use(self, batches: Sequence[TensorBatches]) -> None:
        """Have the batches of these models from now on."""
        self.batches = list(batches)
        tables = [of_model.rows.X for of_model in batches]
        where = self.device.type
        is_in_memory = all(isinstance(X, Tensor) and X.device.type == where for X in tables)
        self.have_same_rows = is_in_memory and where == "cpu" and _have_same_rows(self.batches)
        own = tables[:1] if self.have_same_rows else tables
        self.tables = StackedTables(own) if is_in_memory else None

    def keep(self, positions: Tensor) -> None:
        """Keep only the models at these positions."""
        self.use([self.batches[position] for position in positions.tolist()])

    def __len__(self) -> int:
        """Return the number of batches of each model in a pass."""
        return len(self.sizes)

    def first_rows(self, n_rows: int) -> Rows:
        """The first rows, again if there are fewer, with X as it is."""
        positions = torch.arange(n_rows, device="cpu") % self.n_rows
        X, weights, y, offset = self._rows_at([positions] * len(self.batches))
        X = self._expanded(X[:1]) if self.have_same_rows else X
        return X, weights, y, offset

    def __iter__(self) -> Iterator[Rows]:
        """Yield the batches of one pass."""
        for sizes, X, weights, y, offset in self.blocks():
            parts = (part.split_with_sizes(sizes, 1) for part in (weights, y))
            yield from zip(X, *parts, split_offset(offset, sizes, 1))

    def blocks(self) -> Iterator[Block]:
        """Yield the batches of one pass, several at a time."""
        together = max(1, self._most_rows() // self.sizes[0])
        blocks = [self.sizes[i : i + together] for i in range(0, len(self.sizes), together)]
        lengths = [sum(sizes) for sizes in blocks]
        orders = [order.split_with_sizes(lengths) for order in self._orders()]
        for sizes, *positions in zip(blocks, *orders):
            if self.tables is None:
                X, weights, y, offset = self._rows_at(positions)
                of_batches = map(self.encode, X.split_with_sizes(sizes, 1))
            else:
                rows = [of.in_order(own) for of, own in zip(self.batches, positions)]
                index, weights, y, offset = _stack_rows(rows)
                if self.have_same_rows:
                    of_batches = map(self._of_all, self.tables.batches(index[:1], sizes))
                else:
                    of_batches = map(self.encode, self.tables.batches(index, sizes))
            yield Block(sizes, of_batches, weights, y, offset)

    def _of_all(self, X: Tensor) -> Tensor:
        """What all models are given for the X of one of them."""
        if self.encodes_one:
            return self._expanded(self.encode(X))
        return self.encode(self._expanded(X))

    def _expanded(self, X: Tensor) -> Tensor:
        """X of shape (1, n, ...) as that of all models, which is not copied."""
        return X.expand(len(self.batches), *X.shape[1:])

    def _most_rows(self) -> int:
        """Number of rows of each model that a block has, unless a batch has more."""
        if self.tables is not None and self.device.type == "cpu":
            return ROWS_IN_ORDER // len(self.batches)
        values = VALUES_AT_ONCE.get(self.device.type, VALUES_AT_ONCE["cpu"])
        return values // (self.n_values_per_row * len(self.batches))

    def _orders(self) -> list[Tensor]:
        """Positions of the rows of each model in one pass."""
        drawn: dict[int, Tensor] = {}
        for of_model in self.batches:
            if id(of_model.generator) not in drawn:
                drawn[id(of_model.generator)] = of_model.positions()
        return [drawn[id(of_model.generator)] for of_model in self.batches]

    def _rows_at(self, positions: Sequence[Tensor]) -> Rows:
        """The rows at the positions of each model."""
        rows = [of_model.block(own) for of_model, own in zip(self.batches, positions)]
        return _stack_rows([(of["X"], of["row_weight"], y, of.get("offset")) for of, y in rows])

    @property
    def _encoded(self) -> list[TensorBatches]:
        """The batches of the models whose X :meth:`mapped` encodes: one if that is for all."""
        return self.batches[:1] if self.encodes_one else self.batches

    def n_mapped_values(self, function: Callable[[Tensor], Tensor]) -> int:
        """The number of values that :meth:`mapped` would make."""
        n_models = len(self._encoded)
        return function(self.first_rows(1)[0][:n_models]).shape[2] * self.n_rows * n_models

    def mapped(self, function: Callable[[Tensor], Tensor], n_values: int) -> "StackedBatches":
        """The same batches with the results of a function as X, in one tensor for all models.

        There are ``n_values`` for all rows of all models, or of one if it encodes for all. The
        function is one of each row by itself, and is called now, for all models at once.
        """
        encoded = self._encoded
        n_models = len(encoded)
        X = torch.empty(n_models, self.n_rows, n_values // (n_models * self.n_rows), device="cpu")
        together = max(1, VALUES_AT_ONCE["cpu"] // (self.n_values_per_row * n_models))
        order = torch.arange(self.n_rows, device="cpu")
        for into, positions in zip(torch.split(X, together, dim=1), torch.split(order, together)):
            rows = [of_model.block(positions)[0]["X"] for of_model in encoded]
            into.copy_(function(torch.stack(rows)))
        X = X.flatten(0, 1)
        index = torch.split(torch.arange(len(X), device="cpu"), self.n_rows)
        own = index * len(self.batches) if n_models == 1 else index
        return StackedBatches(
            [of.over(of.rows.at(X, of_model)) for of, of_model in zip(self.batches, own)]
        )


def _have_same_rows(batches: Sequence[TensorBatches]) -> bool:
    """Whether all models are given the same rows in the same order, with weights of their own."""
    first = batches[0]
    is_ordered = not first.shuffle and first.drawn_by is None
    return len(batches) > 1 and all(
        of_model.rows.X is first.rows.X
        and (is_ordered or of_model.generator is first.generator)
        and _are_equal(of_model.rows.index, first.rows.index)
        for of_model in batches
    )


def _are_equal(left: Tensor, right: Tensor) -> bool:
    return left is right or torch.equal(left, right)


def _stack_rows(rows: Sequence[Rows]) -> Rows:
    """Rows of all models from those of each; all of them have an offset, or none."""
    X, weights, y, offsets = zip(*rows)
    offset = None if offsets[0] is None else torch.stack(offsets)
    return torch.stack(X), torch.stack(weights), torch.stack(y), offset


class StackedTables:
    """X of each model, which models next to each other may share."""

    def __init__(self, tables: Sequence[Tensor]) -> None:
        self._row_shape = tables[0].shape[1:]
        self._shared: list[tuple[Tensor, int]] = []  # with the number of models that share it
        for _, of_models in groupby(tables, key=id):
            table, *others = of_models
            self._shared.append((table, 1 + len(others)))
        self._kept = KeptBuffers(tables[0].device)

    def batches(self, index: Tensor, sizes: list[int]) -> Iterator[Tensor]:
        """Yield the rows at ``index``, of shape (n_models, n), for batches of these sizes."""
        if index.is_cuda:  # where one kernel for many batches costs less
            yield from self.get(index).split_with_sizes(sizes, 1)
        else:
            yield from map(self.get, index.split_with_sizes(sizes, 1))

    def get(self, index: Tensor) -> Tensor:
        """The rows at these positions, in a tensor that is written to again for the next ones."""
        found = self._kept.get(*index.shape, *self._row_shape)
        start = 0
        for table, n_models in self._shared:
            own = slice(start, start := start + n_models)
            torch.index_select(table, 0, index[own].flatten(), out=found[own].flatten(0, 1))
        return found
