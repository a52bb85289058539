"""The scikit-learn estimators, and the plan of a fit."""

from skweight.estimators.classifier import WeightedTorchClassifier
from skweight.estimators.estimator import WeightedTorchEstimator
from skweight.estimators.labels import Labels
from skweight.estimators.planning import FitData, draw_seed, plan
from skweight.estimators.regressor import WeightedTorchRegressor

__all__ = [
    "FitData",
    "Labels",
    "WeightedTorchClassifier",
    "WeightedTorchEstimator",
    "WeightedTorchRegressor",
    "draw_seed",
    "plan",
]
