"""Columns of X that are read together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Columns(nn.Module):
    """Some columns of X: ``(..., n_features)`` to ``(..., len(columns))``.

    ``columns`` are their positions, and the buffer ``index`` holds the same as int64.
    """

    index: Tensor

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.register_buffer("index", positions(columns))

    def forward(self, X: Tensor) -> Tensor:
        """The columns in their order."""
        return X.index_select(-1, self.index)

    def extra_repr(self) -> str:
        """The columns, for ``repr``."""
        return f"{self.columns}"


def positions(columns: Sequence[int]) -> Tensor:
    """Positions of columns as an int64 tensor on the CPU."""
    return torch.tensor(columns, dtype=torch.int64, device="cpu")
