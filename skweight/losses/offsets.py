"""Offsets: numbers that are added to the raw scores of each row, and the best constant beside them.

An offset has one number for each target, label or class, and one for two classes, whose difference
of scores it is.
"""

from torch import Tensor
from torch.nn import functional as F


def add_offset(output: Tensor, offset: Tensor) -> Tensor:
    """Raw scores with their offset.

    Parameters
    ----------
    output : Tensor of shape (..., n_outputs) or (...)
    offset : Tensor of shape (..., n_offsets)
        ``n_offsets`` is ``n_outputs``, or 1 for the two scores of two classes.
    """
    if output.numel() == 2 * offset.numel():  # of the second class
        offset = F.pad(offset, (1, 0))
    return output + offset.reshape(output.shape)


def log_mean_ratio(target: Tensor, weight: Tensor, offset: Tensor, power: float) -> Tensor:
    """The constant ``z`` with the smallest deviance of means ``exp(z + offset)``, shape ().

    ``e^z = sum w y e^((1-p) o) / sum w e^((2-p) o)`` for the variance power p: the derivative of
    the deviance by z is 0 there. Of a target of shape (n,), with an offset of this shape.
    """
    numerator = (weight * target).log() + (1 - power) * offset
    denominator = weight.log() + (2 - power) * offset
    return numerator.logsumexp(0) - denominator.logsumexp(0)
