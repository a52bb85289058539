"""The default network and the layers it is made of. Only torch here.

The network is in ``mlp``, its layers in ``feature_weights`` and ``bins``; ``build`` makes the
network to be trained from the user's ``module``.
"""

from skweight.modules.bins import PiecewiseLinear, append_bins
from skweight.modules.build import build_module, is_mlp, takes_categories
from skweight.modules.feature_weights import FeatureWeight, WeightedLinear, input_feature_weights
from skweight.modules.mlp import MLP
