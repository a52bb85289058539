"""PyTorch networks that behave like scikit-learn estimators and take weights seriously."""

from skweight.ensembles import (
    GroupDifference,
    MarginalEffect,
    ReplicateEstimator,
    mean_prediction,
)
from skweight.estimators import WeightedTorchClassifier, WeightedTorchRegressor, skops_types
from skweight.inspection import calibration_table
from skweight.modules import FeatureWeight, WeightedLinear
from skweight.search import DesignKFold, RandomizedWeightSearchCV, WeightSearchCV
from skweight.training import TrainingCheckpoint
from skweight.weights import (
    EffectiveSampleSizeWarning,
    ReplicateWeights,
    bootstrap_weights,
    brr_weights,
    clip_weights,
    effective_number,
    effective_sample_size,
    jackknife_weights,
    time_decay,
    weight_summary,
)

__version__ = "0.1.0"

__all__ = [
    "DesignKFold",
    "EffectiveSampleSizeWarning",
    "FeatureWeight",
    "GroupDifference",
    "MarginalEffect",
    "RandomizedWeightSearchCV",
    "ReplicateEstimator",
    "ReplicateWeights",
    "TrainingCheckpoint",
    "WeightSearchCV",
    "WeightedLinear",
    "WeightedTorchClassifier",
    "WeightedTorchRegressor",
    "bootstrap_weights",
    "brr_weights",
    "calibration_table",
    "clip_weights",
    "effective_number",
    "effective_sample_size",
    "jackknife_weights",
    "mean_prediction",
    "skops_types",
    "time_decay",
    "weight_summary",
]


def __dir__() -> list[str]:
    """What is public: the names above, and packages with more losses, layers and functions."""
    return sorted([*__all__, "__version__", "inspection", "losses", "modules", "weights"])
