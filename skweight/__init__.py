"""PyTorch networks that behave like scikit-learn estimators and take weights seriously."""

from skweight.estimators import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.modules import FeatureWeight, WeightedLinear
from skweight.search import RandomizedWeightSearchCV, WeightSearchCV
from skweight.weights import (
    EffectiveSampleSizeWarning,
    clip_weights,
    effective_number,
    effective_sample_size,
    time_decay,
    weight_summary,
)

__version__ = "0.1.0"

__all__ = [
    "EffectiveSampleSizeWarning",
    "FeatureWeight",
    "RandomizedWeightSearchCV",
    "WeightSearchCV",
    "WeightedLinear",
    "WeightedTorchClassifier",
    "WeightedTorchRegressor",
    "clip_weights",
    "effective_number",
    "effective_sample_size",
    "time_decay",
    "weight_summary",
]
