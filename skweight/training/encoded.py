"""Rows of the default network that are encoded once, and not again in every epoch."""

from collections.abc import Callable

import torch
from torch import Tensor

from skweight.data import TensorBatches
from skweight.training.direct import DirectNetwork, unchanged

# Bytes of all encoded rows of a fit at most, so that it takes little memory beside X. To encode the
# rows of larger tables again takes hardly longer than to read what does not stay in the cache.
MOST_BYTES = 2**25


class EncodedBatches:
    """The encoded rows of a fit: of its training rows, and of its validation rows."""

    def __init__(self) -> None:
        self._n_bytes_left = MOST_BYTES
        self._known: dict[TensorBatches, TensorBatches | None] = {}

    def get(
        self, batches: TensorBatches, network: DirectNetwork
    ) -> tuple[TensorBatches, Callable[[Tensor], Tensor]]:
        """Batches, and what makes the input of the network of their X.

        They are encoded already, unless there is no space for that.
        """
        if not network.has_encoding:
            return batches, unchanged
        if batches not in self._known:
            self._known[batches] = self._encode(batches, network)
        encoded = self._known[batches]
        return (batches, network.encode) if encoded is None else (encoded, unchanged)

    @torch.no_grad()
    def _encode(self, batches: TensorBatches, network: DirectNetwork) -> TensorBatches | None:
        rows = batches.rows
        first, _ = rows.batch(torch.zeros(1, dtype=torch.int64, device="cpu"))
        n_values = network.encode(first["X"]).shape[1]
        n_bytes = 4 * n_values * len(rows)
        if n_bytes > self._n_bytes_left:
            return None
        self._n_bytes_left -= n_bytes
        return batches.over(rows.mapped(network.encode, n_values))
