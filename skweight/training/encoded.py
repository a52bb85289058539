"""Rows of the default network that are encoded once, and not again in every epoch."""

import torch

from skweight.data import TensorBatches
from skweight.training.direct import DirectNetwork

# Bytes of all encoded rows of a fit at most. Larger tables do not stay in the cache of a CPU, and
# reading them takes longer than encoding their rows again.
MOST_BYTES = 2**25


class EncodedBatches:
    """The encoded rows of a fit: of its training rows, and of its validation rows."""

    def __init__(self) -> None:
        self._n_bytes_left = MOST_BYTES
        self._known: dict[TensorBatches, TensorBatches | None] = {}

    def get(self, batches: TensorBatches, network: DirectNetwork) -> TensorBatches | None:
        """The same batches with encoded rows as X, or None if there is no space for them."""
        if not network.has_encoding:
            return batches
        if batches not in self._known:
            self._known[batches] = self._encode(batches, network)
        return self._known[batches]

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
