"""PyTorch networks that behave like scikit-learn estimators and take weights seriously."""

from skweight.classifier import WeightedTorchClassifier
from skweight.layers import FeatureWeight, WeightedLinear
from skweight.recipes import clip_weights, effective_number, time_decay
from skweight.regressor import WeightedTorchRegressor
from skweight.search import RandomizedWeightSearchCV, WeightSearchCV
from skweight.summary import weight_summary
from skweight.weights import effective_sample_size

__version__ = "0.1.0"

__all__ = [
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
