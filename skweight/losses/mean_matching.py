"""The shift of raw scores with which the weighted mean of predicted numbers is that of y.

One number for each target, in float64. Of additive scores and of logarithms of means it has a
formula.
"""

import torch
from torch import Tensor

from skweight.losses.row_loss import RowLoss

# A mean is matched if it differs by less than this, in units of the mean of y or, for additive
# scores, of the standard deviation of y.
TOLERANCE = 1e-9
# The formulas are exact but for rounding, which further turns remove.
_TURNS = 3


def matching_shift_of_numbers(
    criterion: RowLoss, raw: Tensor, weight: Tensor, mean: Tensor
) -> tuple[Tensor, float]:
    """Shift of shape (n_outputs,), and by how much the means still differ.

    Parameters
    ----------
    criterion : RowLoss
        With the trait ``has_mean``.
    raw : Tensor of shape (n, n_outputs), float64
    weight : Tensor of shape (n, 1), float64
        Its sum is 1.
    mean : Tensor of shape (n_targets,), float64
        Of y in units of training.
    """
    traits = criterion.traits

    def of_outputs(shift: Tensor) -> Tensor:
        first_columns = shift.new_zeros(len(mean), traits.n_columns)
        first_columns[:, 0] = shift
        return first_columns.reshape(-1)

    def found(shift: Tensor) -> Tensor:
        return (weight * criterion.predictions(raw + of_outputs(shift))).sum(dim=0)

    shift = torch.zeros_like(mean)
    for _ in range(_TURNS):
        shift = shift + ((mean / found(shift)).log() if traits.log_link else mean - found(shift))
    return of_outputs(shift), float((found(shift) - mean).abs().max())
