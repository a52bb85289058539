"""What a weight means: weights of rows and of classes, merged rows, recipes. Only numpy here.

``sample_weight`` checks and scales weights of rows, ``class_weight`` resolves class weights.
``merging`` finds the distinct rows of a table and holds them with their weights, ``categories``
orders and pools categories by these, and ``missing`` knows which targets are missing. Users make
weights with ``recipes`` and look at them with ``summary``.

``replicate_weights`` holds the replicate weights of a survey, and ``survey_design`` makes them from
strata and clusters, which ``survey_clusters`` finds in the rows, with signs of ``hadamard``.
"""

from skweight.weights.categories import order_categories, pool_categories
from skweight.weights.class_weight import resolve_class_weight
from skweight.weights.merging import (
    DistinctRows,
    distinct_rows,
    merge,
    sort_rows,
)
from skweight.weights.missing import (
    fill_targets_without_weight,
    n_rows_of,
    name_place,
    rows_with_weight,
    take_rows,
)
from skweight.weights.recipes import clip_weights, effective_number, time_decay
from skweight.weights.replicate_weights import (
    REPLICATE_METHODS,
    ReplicateMethod,
    ReplicateWeights,
    variance_factors,
)
from skweight.weights.sample_weight import (
    EffectiveSampleSizeWarning,
    as_float64,
    as_labels,
    as_numbers,
    check_sample_weight,
    effective_sample_size,
    flatten_mass,
    refuse_masked,
    scale_near_one,
    to_mean_one,
)
from skweight.weights.summary import Table, WeightSummary, weight_summary
from skweight.weights.survey_clusters import SurveyClusters, find_clusters
from skweight.weights.survey_design import bootstrap_weights, brr_weights, jackknife_weights
