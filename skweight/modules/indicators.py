"""Indicators: numbers that tell whether a column of X has a certain value."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skweight.modules.clipping import smooth_clip
from skweight.modules.columns import positions

# An indicator with a smaller standard deviation counts as constant, as a number does.
_SMALLEST_SPREAD = 1e-6


class CategoryIndicators(nn.Module):
    """Standardised indicators of the codes of category columns.

    The indicator of a code with weighted share ``p`` of the training rows is ``(1 - p) / s`` for
    rows of this code and ``-p / s`` for rows of other codes, with ``s = sqrt(p (1 - p))``: over
    the training rows it has weighted mean 0 and standard deviation 1. For a code without
    training rows all indicators of its column are 0, their mean, so that the network answers for
    such a row as for an average category.

    A column has one indicator for each code with a share; of two such codes only the second, whose
    indicator is the negative of that of the first; and none if all rows have the same code.

    Parameters
    ----------
    shares : mapping of int to Tensor of shape (cardinality,), float64
        For the position of each column the weighted shares of the codes 0, 1, ...
    clip : float or None, default=None
        Numbers are clipped as in :class:`~skweight.modules.MLP`; None leaves them as they are.

    Attributes
    ----------
    indicated : tuple of (int, int, int)
        Column, cardinality and code of each indicator.
    columns : buffer of shape (n_indicators,), int64
        The column that each indicator reads.
    table : buffer of shape (n_numbers,)
        The numbers of each indicator for the codes 0, 1, ..., one indicator after the other.
    start : buffer of shape (n_indicators,), int64
        Where the numbers of each indicator begin in ``table``.

    Notes
    -----
    **Shape.** Input ``(..., n_features)`` with codes as whole numbers, output
    ``(..., n_indicators)``.

    Examples
    --------
    >>> import torch
    >>> from skweight.modules import CategoryIndicators
    >>> layer = CategoryIndicators({0: torch.tensor([0.0, 0.8, 0.2], dtype=torch.float64)})
    >>> layer(torch.tensor([[1.0], [2.0], [0.0]]))  # two categories, and an unknown one
    tensor([[-0.5000],
            [ 2.0000],
            [ 0.0000]])
    """

    columns: Tensor
    table: Tensor
    start: Tensor

    def __init__(self, shares: Mapping[int, Tensor], clip: float | None = None) -> None:
        super().__init__()
        indicated: list[tuple[int, int, int]] = []
        numbers = [torch.zeros(0, dtype=torch.float64, device="cpu")]
        for column, share in shares.items():
            for code in _codes_with_indicator(share):
                on, off = standardised_indicator(share[code], clip)
                of_codes = off.expand(len(share)).clone()
                of_codes[code] = on
                numbers.append(of_codes.masked_fill(share <= 0, 0.0))
                indicated.append((column, len(share), code))
        self.indicated = tuple(indicated)
        lengths = positions([len(part) for part in numbers])
        self.register_buffer("columns", positions([column for column, _, _ in indicated]))
        self.register_buffer("table", torch.cat(numbers).to(torch.get_default_dtype()))
        self.register_buffer("start", lengths.cumsum(0)[:-1])

    def forward(self, X: Tensor) -> Tensor:
        """The indicators."""
        return category_indicators(X, self.columns, self.table, self.start)

    def extra_repr(self) -> str:
        """Columns and codes for ``repr``, by which networks are compared before stacking."""
        return f"{self.indicated}"


class ValueIndicators(nn.Module):
    """Standardised indicators of values of number columns; NaN is the value "missing".

    The numbers are those of :class:`CategoryIndicators`: ``(1 - p) / s`` where the column has the
    value and ``-p / s`` elsewhere, and 0 if all rows have it.

    Parameters
    ----------
    columns : Tensor of shape (n_indicators,), int64
        Positions of the columns in X.
    values : Tensor of shape (n_indicators,)
    shares : Tensor of shape (n_indicators,), float64
        Weighted share of the training rows with the value.
    clip : float or None, default=None
        Numbers are clipped as in :class:`~skweight.modules.MLP`; None leaves them as they are.

    Attributes
    ----------
    indicated : tuple of (int, float)
        Column and value of each indicator.
    columns, values, is_missing : buffers of shape (n_indicators,)
        The same as tensors: the value is 0 and ``is_missing`` True for "missing".
    on, off : buffers of shape (n_indicators,)
        The number if the column has the value, and if it has not.

    Notes
    -----
    **Shape.** Input ``(..., n_features)``, output ``(..., n_indicators)``.

    Examples
    --------
    >>> import torch
    >>> from skweight.modules import ValueIndicators
    >>> column, missing = torch.tensor([0]), torch.tensor([torch.nan])
    >>> layer = ValueIndicators(column, missing, torch.tensor([0.2], dtype=torch.float64))
    >>> layer(torch.tensor([[5.0], [torch.nan]]))
    tensor([[-0.5000],
            [ 2.0000]])
    """

    columns: Tensor
    values: Tensor
    is_missing: Tensor
    on: Tensor
    off: Tensor

    def __init__(
        self, columns: Tensor, values: Tensor, shares: Tensor, clip: float | None = None
    ) -> None:
        super().__init__()
        on, off = standardised_indicator(shares, clip)
        self.indicated = tuple(zip(columns.tolist(), values.tolist()))
        self.register_buffer("columns", columns.clone())
        # A NaN in a buffer would be unequal to itself when networks are compared.
        self.register_buffer("values", values.to(torch.get_default_dtype()).nan_to_num(0.0))
        self.register_buffer("is_missing", values.isnan())
        self.register_buffer("on", on.to(torch.get_default_dtype()))
        self.register_buffer("off", off.to(torch.get_default_dtype()))

    def forward(self, X: Tensor) -> Tensor:
        """The indicators."""
        found = X.index_select(-1, self.columns)
        return value_indicators(found, self.values, self.is_missing, self.on, self.off)

    def extra_repr(self) -> str:
        """Columns and values for ``repr``, by which networks are compared before stacking."""
        return f"{self.indicated}"


def standardised_indicator(share: Tensor, clip: float | None) -> tuple[Tensor, Tensor]:
    """The numbers for "yes" and "no" of indicators with these shares; 0 for constant ones."""
    spread = (share * (1 - share)).sqrt()
    is_constant = spread < _SMALLEST_SPREAD
    on, off = ((part / spread).masked_fill(is_constant, 0.0) for part in (1 - share, -share))
    return smooth_clip(on, clip), smooth_clip(off, clip)


def _codes_with_indicator(share: Tensor) -> list[int]:
    codes: list[int] = share.nonzero().flatten().tolist()
    return codes[1:] if len(codes) <= 2 else codes


def category_indicators(X: Tensor, columns: Tensor, table: Tensor, start: Tensor) -> Tensor:
    """What the table says for the codes in these columns of X."""
    place = X.index_select(-1, columns).long() + start
    return table.expand(*place.shape[:-1], -1).gather(-1, place)


def value_indicators(
    found: Tensor, values: Tensor, is_missing: Tensor, on: Tensor, off: Tensor
) -> Tensor:
    """``on`` where the value is found, or NaN if that is the one asked for; elsewhere ``off``."""
    has_value = (found.isnan() & is_missing) | ((found == values) & ~is_missing)
    return torch.where(has_value, on, off)
