"""Warnings about weights that do not do what the user may expect of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import warn
from skweight.weights import (
    DistinctRows,
    EffectiveSampleSizeWarning,
    check_sample_weight,
    effective_sample_size,
    flatten_mass,
    scale_near_one,
)

_FEW_EFFECTIVE_ROWS = 0.1
_MOSTLY_DISTINCT = 0.9


def warn_of_few_effective_rows(
    estimator: Any, task: Any, y: NDArray[Any], sample_weight: Any
) -> None:
    """Warn if the effective sample size is small.

    Of the rows as they were passed: that a row has many copies is nobody's setting.
    """
    weighted = sample_weight is not None or getattr(estimator, "class_weight", None) is not None
    if not weighted or estimator.weighting != "loss":
        return
    mass = check_sample_weight(sample_weight, len(y))
    weight = scale_near_one(flatten_mass(mass, estimator.sample_weight_power))
    passed = DistinctRows(None, np.arange(len(y)), y, mass, weight)
    per_row = task.weigh(passed if mass.all() else passed.take(mass > 0)).weight
    per_row = per_row if per_row.ndim == 1 else per_row.mean(axis=1)
    if effective_sample_size(per_row) < _FEW_EFFECTIVE_ROWS * len(per_row):
        warn(
            "The weights rest on few rows: their effective sample size is below 10 % of the "
            'rows, so gradients are noisy. weighting="sampling" draws heavy rows more often '
            "instead; sample_weight_power or class_weight_power below 1, or clip_weights, make "
            "the weights more even. weight_summary shows them.",
            EffectiveSampleSizeWarning,
        )


def warn_of_flattened_copies(
    estimator: Any, sample_weight: Any, n_rows: int, n_distinct: int
) -> None:
    """Warn where ``sample_weight_power`` does more than to flatten the weights that were passed."""
    power = estimator.sample_weight_power
    if power == 1:
        return
    n_weighted = np.count_nonzero(check_sample_weight(sample_weight, n_rows))
    if n_distinct > _MOSTLY_DISTINCT * n_weighted:
        return
    warn(
        f"sample_weight_power={power} acts on the total weight of equal "
        f"rows (x, y), and {1 - n_distinct / n_weighted:.0%} of the rows are copies of others: "
        "frequent rows, and with them frequent values of y, count less. To flatten only the "
        "weights that you pass, raise them to that power before you pass them to fit."
    )
