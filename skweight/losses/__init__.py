"""Losses per row, their inverse links, and the one reduction. Only torch here."""

from skweight.losses.classification import (
    CLASSIFIER_CRITERIA,
    ClassLink,
    CrossEntropy,
    Focal,
    PolyTailed,
    cross_entropy,
    to_columns,
)
from skweight.losses.reduction import backpropagate_weighted_mean, weighted_mean, width
from skweight.losses.regression import (
    GammaDeviance,
    PoissonDeviance,
    REGRESSOR_CRITERIA,
    GaussianNLL,
    Quantile,
    SquaredError,
)
from skweight.losses.row_loss import RowLoss
from skweight.losses.torch_losses import from_criterion

__all__ = [
    "GammaDeviance",
    "PoissonDeviance",
    "CLASSIFIER_CRITERIA",
    "REGRESSOR_CRITERIA",
    "ClassLink",
    "CrossEntropy",
    "Focal",
    "GaussianNLL",
    "PolyTailed",
    "Quantile",
    "RowLoss",
    "SquaredError",
    "backpropagate_weighted_mean",
    "cross_entropy",
    "from_criterion",
    "to_columns",
    "weighted_mean",
    "width",
]
