"""Replicates of a fit: the same training with other weights of the rows.

All but the weights is that of the fit on the full sample: rows and their order, rows held out,
random numbers, units, and the network that the training begins with. The spread of replicates is
then that of the weights, and not that of random numbers.
"""

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from skweight._keywords import Floats, shown_before, underflow_is_zero
from skweight.data import RowDataset
from skweight.estimators.balance import plan_balance
from skweight.estimators.members import FitPlan
from skweight.estimators.planning import ADVICE_ON_ROWS
from skweight.training import advised_if_out_of_memory
from skweight.weights import DistinctRows, to_mean_one


@advised_if_out_of_memory(ADVICE_ON_ROWS)
@underflow_is_zero
def plan_replicate(estimator: Any, planned: FitPlan, sample_weight: Floats) -> tuple[Any, FitPlan]:
    """An estimator and its plan, for a replicate of a plan that was made with ``keep_copies``.

    Parameters
    ----------
    estimator : TorchEstimator
        That of the plan.
    planned : FitPlan
        Of the fit on the full sample.
    sample_weight : ndarray of shape (n_samples,), float64
        Checked, and 0 for rows without weight in the full sample.

    Raises
    ------
    ValueError
        If a part of the rows is left without weight.
    """
    rows = planned.rows.with_sample_weight(sample_weight, estimator.sample_weight_power)
    first = planned.trainings[0]
    replicate, criterion = copy.copy(estimator), copy.deepcopy(first.criterion)
    with shown_before():  # by the plan of the full sample
        task = estimator._task.reweighted(rows, criterion)
    replicate._keep(task)
    weight_of = _weights_of_positions(rows, task.weights(rows))
    trainings = [
        replace(
            training,
            criterion=copy.deepcopy(criterion),
            rows=_reweighted(training.rows, weight_of, "rows that are trained on"),
            valid_rows=_reweighted_if_any(training.valid_rows, weight_of),
            output=replicate._output(criterion),
            adapt_rows=training.rows,
        )
        for training in planned.trainings
    ]
    balance = plan_balance(replicate, task, criterion, rows)
    return replicate, FitPlan(trainings, rows, balance=balance)


def _weights_of_positions(rows: DistinctRows, weight: Floats) -> Floats:
    """Weights by the position in X of the distinct rows."""
    found = np.zeros((rows.X.shape[0], *weight.shape[1:]))
    found[rows.index] = weight
    return found


def _reweighted_if_any(rows: RowDataset | None, weight_of: Floats) -> RowDataset | None:
    return None if rows is None else _reweighted(rows, weight_of, "rows that are held out")


def _reweighted(rows: RowDataset, weight_of: Floats, name: str) -> RowDataset:
    """The rows of a training with the weights of a replicate."""
    weight = weight_of[rows.index.cpu().numpy()]
    if not weight.any():
        raise ValueError(
            f"it leaves no weight to the {len(rows)} {name}. Where groups are clusters, these may "
            "be a single one: hold out more of them, by a larger validation_fraction or fewer "
            "members, or none, by early_stopping=False."
        )
    return rows.with_weight(to_mean_one(weight))
