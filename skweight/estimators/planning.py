"""The plan of a fit: everything that is learned from the rows before the network is trained.

``fit`` makes a plan and trains it; searches make many plans and train them together.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skweight.data import split_validation
from skweight.estimators.class_task import ClassTask
from skweight.estimators.inputs import validate
from skweight.estimators.make_training import make_training
from skweight.estimators.number_task import NumberTask
from skweight.estimators.weight_warnings import (
    warn_of_few_effective_rows,
    warn_of_flattened_copies,
)
from skweight.losses import RowLoss, from_criterion
from skweight.training import Training, resolve_early_stopping
from skweight.weights import DistinctRows, merge, to_mean_one

Task = ClassTask | NumberTask


@dataclass(frozen=True)
class FitData:
    """The arguments of ``fit``, as the user passed them."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None


@dataclass
class PartialFits:
    """What later calls of ``partial_fit`` need to know of the first: scales of weights, and a seed.

    ``mass_unit`` is the mean ``sample_weight`` of a distinct row, ``weight_unit`` the mean of what
    powers and class weights make of it.
    """

    mass_unit: float
    weight_unit: float
    first_seed: int | None = None
    n_calls: int = 0


def plan(estimator: Any, data: FitData) -> Training:
    """Plan a fit on all rows: the estimator learns everything but its network.

    ``train(plan(...))``, or ``train_together`` for several plans, gives the network.
    """
    estimator._check_params()
    _check_validation_arguments(data, estimator.early_stopping)
    continues = bool(estimator.warm_start) and hasattr(estimator, "net_")
    criterion = make_criterion(estimator)
    X, y = validate(estimator, data.X, data.y, data.sample_weight, reset=not continues)
    task: Task = estimator._make_task(y, continues)
    codes = task.encode(y)
    rows = merge(X, codes, data.sample_weight, estimator.sample_weight_power)
    n_distinct = len(rows.index)
    task.learn(rows, criterion)
    rows = task.weigh(rows)
    task.check(rows)
    warn_of_few_effective_rows(estimator, task, codes, data.sample_weight)
    warn_of_flattened_copies(estimator, data.sample_weight, len(codes), n_distinct)
    seed = draw_seed(estimator.random_state)
    if data.X_val is None:
        parts = _split(estimator, rows, seed)
    else:
        parts = [rows, _validation_rows(estimator, task, data)]
    targets = task.targets(parts, criterion)
    estimator._keep(task)
    estimator._partial_fits = scales_of_weights(parts[0], task, estimator.sample_weight_power)
    row_weights = [to_mean_one(part.weight) for part in parts]
    previous = estimator.net_ if continues else None
    return make_training(estimator, parts, targets, row_weights, criterion, seed, previous)


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a training."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def make_criterion(estimator: Any) -> RowLoss:
    """The loss per row that the parameters of an estimator name."""
    params = estimator._params_for("criterion")
    return from_criterion(estimator.criterion, params, estimator._criteria)


def _check_validation_arguments(data: FitData, early_stopping: bool | str) -> None:
    if (data.X_val is None) != (data.y_val is None):
        given, missing = ("X_val", "y_val") if data.y_val is None else ("y_val", "X_val")
        raise ValueError(f"{missing} must be given together with {given}, got None.")
    if data.X_val is None and data.sample_weight_val is not None:
        raise ValueError("sample_weight_val needs X_val and y_val, got None for both.")
    if data.X_val is not None and not early_stopping:
        raise ValueError(
            "X_val and y_val are used by early stopping: they need early_stopping=True "
            'or "auto", got False.'
        )


def _split(estimator: Any, rows: DistinctRows, seed: int) -> list[DistinctRows]:
    """Rows for training and, with early stopping, rows for validation."""
    n_rows = len(rows.index)
    if not resolve_early_stopping(estimator.early_stopping, n_rows):
        return [rows]
    codes = rows.y if rows.y.dtype.kind == "i" and rows.y.ndim == 1 else None
    try:
        split = split_validation(n_rows, estimator.validation_fraction, seed, codes)
    except ValueError:  # no row can be held out, and the user did not ask for it
        if estimator.early_stopping == "auto":
            return [rows]
        raise
    return [rows.take(part) for part in split]


def _validation_rows(estimator: Any, task: Task, data: FitData) -> DistinctRows:
    weight = data.sample_weight_val
    try:
        X, y = validate(estimator, data.X_val, data.y_val, weight, reset=False)
    except ValueError as error:
        raise ValueError(f"X_val and y_val: {error}") from error
    y = task.encode(y, "y_val")
    rows = merge(X, y, weight, estimator.sample_weight_power, name="sample_weight_val")
    rows = task.weigh(rows)
    task.check(rows, "y_val")
    return rows


def scales_of_weights(rows: DistinctRows, task: Task, power: float) -> PartialFits:
    """The mean mass of a row, and the mean of its weight on that scale."""
    unit = float(rows.mass.mean())
    rows = task.weigh(rows.on_scale(unit, power))
    return PartialFits(unit, float(rows.weight.mean()) if len(rows.index) else 0.0)
