"""Piecewise linear encoding of numbers: the position of a value in the bins of its feature."""

from typing import Any

import torch
from torch import Tensor, nn

# Of smaller widths the inverse is beyond float32.
_SMALLEST_WIDTH = torch.finfo(torch.float32).tiny


class PiecewiseLinear(nn.Module):
    """Append to the features how far each value is through the bins of its feature.

    A bin from ``a`` to ``b`` maps a value ``x`` to ``(x - a) / (b - a) - 1/2``, clipped to -1/2 and
    1/2. A linear layer behind it computes a piecewise linear function of each feature, so that it
    can be steep in some bins and flat in others.

    Before :meth:`adapt` is called there are no bins, and the input is returned as it is.

    Parameters
    ----------
    n_bins : int
        Number of bins of a feature, until :meth:`adapt` sets it; bins between equal edges are
        constant.

    Attributes
    ----------
    features : tuple of int
        Positions of the features that have bins.
    start, slope : buffers of shape (n_bins, len(features))
        Where bins begin, and one over their widths.
    index : buffer of shape (len(features),), int64
        ``features`` as a tensor.

    Notes
    -----
    **Shape.** Input ``(..., n_features)``, output ``(..., n_features + n_bins * len(features))``:
    the features, then the first bins of those that have bins, then their second bins, ...

    References
    ----------
    Y. Gorishniy, I. Rubachev & A. Babenko, On embeddings for numerical features in tabular deep
    learning, NeurIPS 2022 (piecewise linear encoding; there from 0 to 1).

    Examples
    --------
    >>> import torch
    >>> from skweight.modules import PiecewiseLinear
    >>> layer = PiecewiseLinear(2)
    >>> layer.adapt(torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 1.0]]))  # edges of two features
    >>> layer(torch.tensor([[2.0, 1.0]]))
    tensor([[2.0000, 1.0000, 0.5000, 0.0000]])
    """

    start: Tensor
    slope: Tensor
    index: Tensor

    def __init__(self, n_bins: int) -> None:
        super().__init__()
        self.n_bins = n_bins
        self.features: tuple[int, ...] = ()
        self.register_buffer("start", torch.zeros(n_bins, 0))
        self.register_buffer("slope", torch.zeros(n_bins, 0))
        self.register_buffer("index", torch.zeros(0, dtype=torch.int64))

    @torch.no_grad()
    def adapt(self, edges: Tensor) -> None:
        """Set the bins.

        Parameters
        ----------
        edges : Tensor of shape (n_bins + 1, n_features)
            Ascending. A feature with fewer than three different edges gets no bins; edges that
            differ by less than float32 can divide by are equal.
        """
        self.n_bins = len(edges) - 1
        widths = edges.diff(dim=0)
        widths = widths.masked_fill(widths < _SMALLEST_WIDTH, 0.0)
        index = ((widths > 0).sum(dim=0) > 1).nonzero().flatten()
        widths = widths[:, index]
        slope = torch.where(widths > 0, 1 / widths, 0.0)
        where: dict[str, Any] = {"device": self.start.device}
        self.features = tuple(index.tolist())
        self.index = index.to(**where)
        self.start = edges[:-1, index].to(self.start.dtype).to(**where)
        self.slope = slope.to(self.slope.dtype).to(**where)

    def forward(self, X: Tensor) -> Tensor:
        """The features and their bins."""
        return append_bins(X, self.index, self.start, self.slope)

    def extra_repr(self) -> str:
        """Settings for ``repr``, by which networks are compared before they are stacked."""
        return f"{self.n_bins}, features={self.features}"


def append_bins(X: Tensor, index: Tensor, start: Tensor, slope: Tensor) -> Tensor:
    """X of shape (..., n_features), followed by its bins.

    The difference and the product are rounded separately: a fused kernel rounds a number in a way
    that depends on its position in the tensor.
    """
    n_features = X.shape[-1]
    if len(index) == 0:
        return X
    binned = X if len(index) == n_features else X.index_select(-1, index)
    bins = (binned.unsqueeze(-2) - start).mul_(slope).sub_(0.5).clamp_(-0.5, 0.5)
    return torch.cat([X, bins.flatten(-2)], dim=-1)
