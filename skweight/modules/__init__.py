"""The default network and the layers it is made of. Only torch here."""

from skweight.modules.bins import PiecewiseLinear, append_bins
from skweight.modules.build import build_module
from skweight.modules.feature_weights import FeatureWeight, WeightedLinear, feature_weights
from skweight.modules.mlp import MLP

__all__ = [
    "MLP",
    "FeatureWeight",
    "PiecewiseLinear",
    "WeightedLinear",
    "append_bins",
    "build_module",
    "feature_weights",
]
