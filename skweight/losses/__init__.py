"""Losses of rows, the link from scores to predictions, and the one reduction. Only torch here.

The losses that have names are in ``classification`` and ``regression``; what a loss says about
itself is in ``base``, and what is known of torch's own losses in ``torch_losses``. ``criterion``
makes a ``RowLoss`` of the user's argument, which is tried on a few rows before training calls it.
``mean_matching`` solves for the shift of scores that gives predictions the mean of y.
``units`` finds location and scale of y, so that networks work at unit scale under any loss.
``reduction`` is the only place where losses of rows are averaged, and ``gradients`` knows the
gradients of these averages. ``offsets`` are numbers of the user's that are added to raw scores.
"""

from skweight.losses.base import CriterionError, Traits, as_columns
from skweight.losses.class_means import matching_shift_of_classes
from skweight.losses.classification import (
    CLASSIFIER_CRITERIA,
    ClassifierCriterion,
    ClassLink,
    CrossEntropy,
    Focal,
    PolyTailed,
    class_probabilities,
    cross_entropy,
    to_columns,
)
from skweight.losses.criterion import build_criterion, from_criterion
from skweight.losses.gradients import (
    Formula,
    formula_of_one_column,
    gradient_formula,
    loss_and_gradient,
    means_of_batches,
    slopes_of_batches,
)
from skweight.losses.mean_matching import (
    TOLERANCE,
    matching_shift_of_numbers,
)
from skweight.losses.offsets import add_offset, log_mean_ratio
from skweight.losses.reduction import (
    backpropagate_weighted_mean,
    backpropagate_weighted_means,
    validation_mean,
    weighted_mean,
    width,
)
from skweight.losses.regression import (
    REGRESSOR_CRITERIA,
    AbsoluteError,
    GammaDeviance,
    GaussianNLL,
    Huber,
    PoissonDeviance,
    Quantile,
    RegressorCriterion,
    SquaredError,
    TweedieDeviance,
)
from skweight.losses.row_loss import NumberLink, RowLoss
from skweight.losses.torch_losses import traits_of
from skweight.losses.units import mean_and_deviation, quantile_and_deviation

_PUBLIC = (*CLASSIFIER_CRITERIA.values(), *REGRESSOR_CRITERIA.values(), CriterionError)


def __dir__() -> list[str]:
    """What is public: the losses that have names, and their error."""
    return sorted(loss.__name__ for loss in _PUBLIC)
