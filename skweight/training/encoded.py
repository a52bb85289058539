"""Rows of the default network that are encoded once, and not again in every epoch."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from skweight.training.direct import unchanged

# Bytes of all encoded rows of a fit or stack at most, so that they take little memory beside X. To
# encode the rows of larger tables again takes hardly longer than to read what is not in the cache.
MOST_BYTES = 2**25


class Batches(Protocol):
    """Batches of one model or of all models of a stack."""

    def n_mapped_values(self, function: Callable[[Tensor], Tensor]) -> int:
        """The number of values that :meth:`mapped` would make."""

    def mapped(self, function: Callable[[Tensor], Tensor], n_values: int) -> Any:
        """The same batches with the results of a function as X."""


AnyBatches = TypeVar("AnyBatches", bound=Batches)


class EncodedBatches:
    """The encoded rows of a fit or stack: of its training rows, and of its validation rows."""

    def __init__(self) -> None:
        self._n_bytes_left = MOST_BYTES
        self._known: dict[Batches, Batches | None] = {}

    def get(
        self, batches: AnyBatches, encode: Callable[[Tensor], Tensor]
    ) -> tuple[AnyBatches, Callable[[Tensor], Tensor]]:
        """Batches, and what makes the input of the network of their X.

        They are encoded already, unless there is no space for that.
        """
        if encode is unchanged:
            return batches, unchanged
        if batches not in self._known:
            self._known[batches] = self._encode(batches, encode)
        encoded: Any = self._known[batches]
        return (batches, encode) if encoded is None else (encoded, unchanged)

    @torch.no_grad()
    def _encode(self, batches: Batches, encode: Callable[[Tensor], Tensor]) -> Any:
        n_values = batches.n_mapped_values(encode)
        if 4 * n_values > self._n_bytes_left:
            return None
        self._n_bytes_left -= 4 * n_values
        return batches.mapped(encode, n_values)
