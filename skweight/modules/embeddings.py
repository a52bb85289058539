"""Embeddings: a few trained numbers for each category."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight.modules.columns import positions

# Standard deviation of initial numbers. The norm of a row of 8 is then about 0.3, less than the 1
# of a standardised number: a category begins near the average, and only its rows move it away.
_INITIAL_SPREAD = 0.1


class CategoryEmbedding(nn.Module):
    """A trained vector for each code of category columns, in one table for all columns.

    Vectors begin as small normal numbers. Those of code 0 and of codes without training rows (see
    :meth:`adapt`) begin at 0, and without rows stay there. Since vectors begin around 0, and
    weight decay draws them back to it, 0 stands for an average category.

    Parameters
    ----------
    columns : sequence of int
        Positions of the columns in X.
    cardinalities : sequence of int
        Number of codes of each of these columns.
    size : int
        Length of a vector.

    Attributes
    ----------
    embedded : tuple of (int, int)
        Position and cardinality of each column.
    weight : nn.Parameter of shape (sum of cardinalities, size)
        The vectors, one column after the other.
    columns, start : buffers of shape (n_columns,), int64
        Positions of the columns in X, and where their vectors begin in ``weight``.

    Notes
    -----
    **Shape.** Input ``(..., n_features)`` with codes as whole numbers, output
    ``(..., n_columns * size)``.

    References
    ----------
    C. Guo & F. Berkhahn, Entity embeddings of categorical variables, arXiv:1604.06737, 2016.

    Examples
    --------
    >>> import torch
    >>> from skweight.modules import CategoryEmbedding
    >>> layer = CategoryEmbedding([1], [20], size=3)
    >>> layer(torch.tensor([[0.5, 0.0], [0.5, 19.0]])).shape
    torch.Size([2, 3])
    """

    columns: Tensor
    start: Tensor

    def __init__(self, columns: Sequence[int], cardinalities: Sequence[int], size: int) -> None:
        super().__init__()
        self.embedded = tuple(zip(columns, cardinalities))
        self.size = size
        ends = positions(cardinalities).cumsum(0)
        self.register_buffer("columns", positions(columns))
        self.register_buffer("start", ends - positions(cardinalities))
        self.weight = nn.Parameter(torch.empty(sum(cardinalities), size, device="cpu"))
        nn.init.normal_(self.weight, std=_INITIAL_SPREAD)
        with torch.no_grad():
            self.weight[self.start] = 0.0

    @torch.no_grad()
    def adapt(self, shares: Mapping[int, Tensor]) -> None:
        """Set the vectors of codes without training rows to 0.

        Parameters
        ----------
        shares : mapping of int to Tensor of shape (cardinality,)
            For the position of each column the weighted shares of the codes 0, 1, ...
        """
        share = torch.cat([shares[column] for column, _ in self.embedded])
        self.weight[(share <= 0).to(self.weight.device)] = 0.0

    def forward(self, X: Tensor) -> Tensor:
        """The vectors of all columns, side by side."""
        return F.embedding(self.codes(X).long() + self.starts(), self.weight).flatten(-2)

    def codes(self, X: Tensor) -> Tensor:
        """The embedded columns of X."""
        return X.index_select(-1, self.columns)

    def starts(self) -> Tensor:
        """Where the vectors of each column begin in ``weight``, shape (n_columns,)."""
        return self.start

    def extra_repr(self) -> str:
        """Columns with their cardinalities, and the size of a vector."""
        return f"{self.embedded}, size={self.size}"
