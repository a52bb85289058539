"""PyTorch networks that behave like scikit-learn estimators and take weights seriously."""

from skweight.classifier import WeightedTorchClassifier
from skweight.layers import FeatureWeight, WeightedLinear
from skweight.regressor import WeightedTorchRegressor
from skweight.weights import effective_sample_size

__version__ = "0.1.0"

__all__ = [
    "FeatureWeight",
    "WeightedLinear",
    "WeightedTorchClassifier",
    "WeightedTorchRegressor",
    "effective_sample_size",
]
