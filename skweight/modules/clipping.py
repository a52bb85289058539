"""Smooth clipping of standardised values."""

from torch import Tensor

# Values are cut here before they are squared: their squares are finite in float32.
_LARGEST_VALUE = 1e15


def smooth_clip(values: Tensor, clip: float | None) -> Tensor:
    """``v / sqrt(1 + (v / clip)^2)``: about v near 0, and between -clip and clip.

    None returns the values as they are; otherwise ``values`` may be overwritten.
    """
    if clip is None:
        return values
    values = values.clamp_(-_LARGEST_VALUE, _LARGEST_VALUE)
    return values / (values / clip).square_().add_(1).sqrt_()
