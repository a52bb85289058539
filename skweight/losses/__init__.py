"""Losses per row, their inverse links, and the one reduction. Only torch here."""

from skweight.losses.classification import (
    CLASSIFIER_CRITERIA,
    ClassLink,
    CrossEntropy,
    Focal,
    PolyTailed,
    class_probabilities,
    cross_entropy,
    to_columns,
)
from skweight.losses.reduction import backpropagate_weighted_mean, weighted_mean, width
from skweight.losses.regression import (
    REGRESSOR_CRITERIA,
    AbsoluteError,
    GammaDeviance,
    GaussianNLL,
    Huber,
    PoissonDeviance,
    Quantile,
    SquaredError,
    TweedieDeviance,
)
from skweight.losses.row_loss import RowLoss
from skweight.losses.torch_losses import from_criterion

__all__ = [
    "CLASSIFIER_CRITERIA",
    "REGRESSOR_CRITERIA",
    "AbsoluteError",
    "ClassLink",
    "CrossEntropy",
    "Focal",
    "GammaDeviance",
    "GaussianNLL",
    "Huber",
    "PoissonDeviance",
    "PolyTailed",
    "Quantile",
    "RowLoss",
    "SquaredError",
    "TweedieDeviance",
    "backpropagate_weighted_mean",
    "class_probabilities",
    "cross_entropy",
    "from_criterion",
    "to_columns",
    "weighted_mean",
    "width",
]
