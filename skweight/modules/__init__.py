"""The default network and the layers it is made of. Only torch here.

The network is in ``mlp``. Its layers are in ``feature_weights`` and in the files that encode X:
``columns``, ``clipping`` and ``bins`` for numbers, ``indicators`` and ``embeddings`` for categories
and special values. ``build`` makes the network to be trained from the user's ``module``.
"""

from skweight.modules.bins import PiecewiseLinear, append_bins
from skweight.modules.build import build_module, check_module, is_mlp, takes_categories
from skweight.modules.columns import Columns
from skweight.modules.embeddings import CategoryEmbedding
from skweight.modules.feature_weights import (
    EncodedFeatureWeight,
    FeatureWeight,
    FeatureWeights,
    WeightedLinear,
    input_feature_weights,
    weights_of_owners,
)
from skweight.modules.indicators import (
    CategoryIndicators,
    ValueIndicators,
    category_indicators,
    value_indicators,
)
from skweight.modules.mlp import MLP, SMALLEST_MIDDLE, Activation
