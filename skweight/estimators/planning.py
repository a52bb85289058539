"""The plan of a fit: everything that is learned from the rows before the network is trained.

``fit`` makes a plan and trains it; searches make many plans and train them together.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.utils import check_random_state
from torch import nn

from skweight._keywords import Floats, underflow_is_zero, warn, warn_once
from skweight.data import (
    RowDataset,
    group_codes,
    holds_integers,
    place,
    resolve_device,
)
from skweight.estimators.balance import plan_balance
from skweight.estimators.class_task import ClassTask
from skweight.estimators.held_out import held_out_units
from skweight.estimators.inputs import n_features_of
from skweight.estimators.members import (
    FitPlan,
    HeldOut,
    members_asked_for,
    resolve_n_members,
    rows_in_folds,
    seed_of_member,
)
from skweight.estimators.number_task import NumberTask
from skweight.estimators.offsets import (
    check_continued,
    check_offset,
    check_offset_of_validation,
)
from skweight.estimators.tables import (
    column_names,
    order_by_rows,
    pool_rare,
    validate,
    with_weights_in_order,
)
from skweight.losses import RowLoss, from_criterion
from skweight.modules import build_module
from skweight.training import (
    Training,
    TrainingOptions,
    WeightedNet,
    advised_if_out_of_memory,
    callbacks_of_member,
    find_checkpoint,
    refuse_files_of_members,
)
from skweight.weights import (
    DistinctRows,
    EffectiveSampleSizeWarning,
    check_sample_weight,
    effective_sample_size,
    flatten_mass,
    merge,
    scale_near_one,
    to_mean_one,
)

_FEW_EFFECTIVE_ROWS = 0.1
_MOSTLY_DISTINCT = 0.9
# The loss and the weights of ``partial_fit`` are made of these.
_WEIGHT_PARAMETERS = (
    "criterion",
    "class_weight",
    "class_weight_power",
    "logit_adjustment",
    "sample_weight_power",
)
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
    groups: Any = None
    offset: Any = None
    offset_val: Any = None


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


# Where the rows themselves do not fit into memory.
ADVICE_ON_ROWS = (
    "the rows do not fit. Pass X as a C-ordered float32 array, which is not copied, or as an "
    "np.memmap, which is read in blocks."
)


@advised_if_out_of_memory(ADVICE_ON_ROWS)
@underflow_is_zero
def plan(estimator: Any, data: FitData, keep_copies: bool = False) -> FitPlan:
    """Plan a fit on all rows: the estimator learns everything but its networks.

    With ``keep_copies`` the rows of the plan know which rows of X are copies of which.
    """
    estimator._check_params()
    _check_checkpoint(estimator)
    _check_validation_arguments(data, estimator)
    continues = bool(estimator.warm_start) and hasattr(estimator, "nets_")
    criterion = make_criterion(estimator)
    given = data.X, data.y, data.sample_weight
    only_known = continues or is_regressor(estimator)  # labels of new rows become classes
    X, y = validate(estimator, *given, reset=not continues, only_known=only_known)
    task: Task = estimator._make_task(y, continues)
    if continues:
        check_continued(estimator, data.offset, "warm_start=True")
    codes, of_rows, offset = encode(task, y, data, criterion)
    groups = None if data.groups is None else group_codes(data.groups, len(codes))
    n_members = members_asked_for(estimator, data.X_val is not None)
    _refuse_validation_of_members(data, n_members)
    keep_copies |= groups is not None or n_members != 1
    power = estimator.sample_weight_power
    rows = merge(X, codes, data.sample_weight, power, keep_copies=keep_copies, offset=of_rows)
    n_distinct = len(rows.index)
    rows = rows if continues else order_by_rows(estimator, rows)
    task.learn(rows, criterion)
    rows = task.weigh(rows)
    if not continues:
        if len(rows.index) < n_distinct:  # rows of a class without weight count for nothing
            rows = order_by_rows(estimator, rows)
        rows = pool_rare(estimator, rows)
    warn_of_few_effective_rows(estimator, task, codes, data.sample_weight)
    warn_of_flattened_copies(estimator, data.sample_weight, len(codes), n_distinct)
    del codes  # a table may fill the memory
    validation = None if data.X_val is None else _validation_rows(estimator, task, data, criterion)
    balance = plan_balance(estimator, task, criterion, rows)
    units = held_out_units(rows, groups)
    fraction = estimator.validation_fraction
    n_members = resolve_n_members(n_members, fraction, units, task.classes_of(rows))
    previous = _previous_nets(estimator, n_members) if continues else [None] * n_members
    estimator._n_folds = n_members
    seed = draw_seed(estimator.random_state)  # last: refused rows draw none
    make = _Trainings(estimator, task, criterion, seed, holds_integers(data.X))
    if n_members == 1:
        own = [rows, validation] if validation else None
        parts = own or units.split(estimator.early_stopping, fraction, seed)
        return FitPlan([make.alone(parts, previous[0])], rows, balance=balance)
    refuse_files_of_members(estimator.callbacks)
    # Members go on without the rows that they were trained without before.
    estimator._fold_seed = seed if not continues else estimator._fold_seed
    folds = units.folds(n_members, estimator._fold_seed)
    held_out = HeldOut(rows.X, y, data.sample_weight, *rows_in_folds(folds, rows), offset)
    return FitPlan(make.members(rows, folds, previous), rows, held_out, balance)


@dataclass
class _Trainings:
    """Makes the trainings of a fit from its rows."""

    estimator: Any
    task: Task
    criterion: RowLoss
    seed: int
    holds_integers: bool

    def alone(self, parts: Sequence[DistinctRows], previous: WeightedNet | None) -> Training:
        """That of one network, on the first of the parts; the second, if any, is for validation."""
        estimator = self.estimator
        targets, offsets = self.task.targets([*parts]), self.task.offsets([*parts])
        estimator._keep(self.task)
        estimator._partial_fits = scales_of_weights(
            parts[0], self.task, estimator.sample_weight_power
        )
        device = resolve_device(estimator.device)
        row_sets: list[RowDataset] = []
        for part, y, offset in zip(parts, targets, offsets):
            same_X = bool(row_sets) and part.X is parts[0].X
            X = row_sets[0].X if same_X else place(part.X, device)
            row_sets.append(RowDataset(X, part.index, y, to_mean_one(part.weight), device, offset))
        return self._make(row_sets, self.criterion, self.seed, previous)

    def members(
        self,
        rows: DistinctRows,
        folds: Sequence[NDArray[np.intp]],
        previous: Sequence[WeightedNet | None],
    ) -> list[Training]:
        """Those of members, whose targets have the units of all rows."""
        estimator = self.estimator
        (targets,), (offsets,) = self.task.targets([rows]), self.task.offsets([rows])
        estimator._keep(self.task)
        estimator._partial_fits = scales_of_weights(rows, self.task, estimator.sample_weight_power)
        device = resolve_device(estimator.device)
        X = place(rows.X, device)
        trainings = []
        for number, (fold, net) in enumerate(zip(folds, previous)):
            seen = np.setdiff1d(np.arange(len(targets)), fold, assume_unique=True)
            row_sets = []
            for chosen in [seen, fold] if estimator.early_stopping else [seen]:
                part, y = rows.take(chosen), targets[chosen]
                offset = None if offsets is None else offsets[chosen]
                weight = to_mean_one(part.weight)
                row_sets.append(RowDataset(X, part.index, y, weight, device, offset))
            seed = seed_of_member(self.seed, number)
            made = self._make(row_sets, copy.deepcopy(self.criterion), seed, net)
            callbacks = callbacks_of_member(made.options.callbacks, number)
            trainings.append(replace(made, options=replace(made.options, callbacks=callbacks)))
        return trainings

    def _make(
        self,
        row_sets: Sequence[RowDataset],
        criterion: RowLoss,
        seed: int,
        previous: WeightedNet | None,
    ) -> Training:
        if previous is not None:
            criterion.keep_units_of(previous.criterion_)
        holds_integers = self.holds_integers
        return make_training(
            self.estimator, row_sets, criterion, seed, previous, holds_integers=holds_integers
        )


def _previous_nets(estimator: Any, n_members: int) -> list[WeightedNet]:
    """The nets that a warm start continues with."""
    nets: list[WeightedNet] = estimator.nets_
    if len(nets) != n_members:
        raise ValueError(
            "warm_start=True continues with the networks of the last fit, so their number must "
            f"not change: it was {len(nets)}, got n_members={n_members}."
        )
    if getattr(estimator, "_n_folds", 1) != n_members:
        raise ValueError(
            "warm_start=True continues members without the rows that each was trained without "
            "before, got an estimator whose fit was stopped, or on which partial_fit was called. "
            "Call fit with warm_start=False first."
        )
    return nets


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a training."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def make_criterion(estimator: Any) -> RowLoss:
    """The loss per row that the parameters of an estimator name."""
    return from_criterion(*criterion_arguments(estimator))


def criterion_arguments(estimator: Any) -> tuple[Any, dict[str, Any], Any]:
    """The criterion with its parameters, and the named ones."""
    return estimator.criterion, estimator._params_for("criterion"), estimator._criteria


def _check_checkpoint(estimator: Any) -> None:
    """Refuse a checkpoint whose fit could not go on, since it would draw other random numbers."""
    if find_checkpoint(estimator.callbacks) is not None and estimator.random_state is None:
        raise ValueError(
            "random_state must be an int, or a RandomState that the script seeds, where callbacks "
            "have a TrainingCheckpoint: a fit that goes on must draw the same random numbers, got "
            "None."
        )


def _check_validation_arguments(data: FitData, estimator: Any) -> None:
    early_stopping = estimator.early_stopping
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
    check_offset_of_validation(data)


def _refuse_validation_of_members(data: FitData, n_members: int | str) -> None:
    if data.X_val is not None and n_members != 1:
        raise ValueError(
            "X_val needs n_members=1, because each of several members stops early on the rows that "
            f"it is not trained on, got {n_members} members. Leave X_val out, or add its rows to X."
        )


def encode(
    task: Task, y: Any, data: FitData, criterion: RowLoss
) -> tuple[NDArray[Any], Floats | None, Floats | None]:
    """Checked y and offset as rows have them, and the offset as the user gave it."""
    codes = task.encode(y)
    offset = check_offset(data.offset, len(codes), task, sample_weight=data.sample_weight)
    return *task.take_offset(codes, offset, criterion), offset


def _validation_rows(estimator: Any, task: Task, data: FitData, criterion: RowLoss) -> DistinctRows:
    weight = data.sample_weight_val
    try:
        X, y = validate(estimator, data.X_val, data.y_val, weight, reset=False, only_known=True)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"X_val and y_val: {error}") from error
    y = task.encode(y, "y_val")
    offset = check_offset(data.offset_val, len(y), task, "offset_val", weight)
    y, offset = task.take_offset(y, offset, criterion)
    power = estimator.sample_weight_power
    rows = merge(X, y, weight, power, name="sample_weight_val", offset=offset)
    rows = task.weigh(rows)
    task.check(rows, "y_val")
    return rows


def scales_of_weights(rows: DistinctRows, task: Task, power: float) -> PartialFits:
    """The mean mass of a row, and the mean of its weight on that scale."""
    unit = float(rows.mass.mean())
    rows = task.weigh(rows.on_scale(unit, power))
    return PartialFits(unit, float(rows.weight.mean()) if len(rows.index) else 0.0)


# Warnings about weights ---------------------------------------------------------------------


def warn_of_few_effective_rows(
    estimator: Any, task: Any, y: NDArray[Any], sample_weight: Any
) -> None:
    """Warn if the effective sample size is small.

    It is computed before equal rows are merged: many copies of a row are not uneven weights.
    """
    has_weights = sample_weight is not None or task.has_class_weights
    if not has_weights or estimator.weighting != "loss":
        return
    mass = check_sample_weight(sample_weight, len(y))
    weight = scale_near_one(flatten_mass(mass, estimator.sample_weight_power))
    passed = DistinctRows(None, np.arange(len(y)), y, mass, weight)
    per_row = task.weigh(passed if mass.all() else passed.take(mass > 0)).weight
    per_row = per_row if per_row.ndim == 1 else per_row.mean(axis=1)
    if effective_sample_size(per_row) < _FEW_EFFECTIVE_ROWS * len(per_row):
        warn_once(
            "A few rows have most of the weight: the effective sample size is below 10 % of the "
            'rows, so gradients are noisy. weighting="sampling" draws heavy rows more often '
            "instead; sample_weight_power or class_weight_power below 1, or clip_weights, make "
            "the weights more even. weight_summary shows them.",
            EffectiveSampleSizeWarning,
        )


def warn_of_flattened_copies(
    estimator: Any, sample_weight: Any, n_rows: int, n_distinct: int
) -> None:
    """Warn if ``sample_weight_power`` also flattens how often rows occur."""
    power = estimator.sample_weight_power
    if power == 1:
        return
    weight = flatten_mass(check_sample_weight(sample_weight, n_rows), power)
    n_weighted = np.count_nonzero(weight)  # as many as are merged
    if n_distinct > _MOSTLY_DISTINCT * n_weighted:
        return
    warn(
        f"sample_weight_power={power} acts on the total weight of equal "
        f"rows (x, y), and {1 - n_distinct / n_weighted:.0%} of the rows are copies of others: "
        "frequent rows, and with them frequent values of y, count less. To flatten only the "
        "weights that you pass, raise them to that power before you pass them to fit."
    )


# The training -------------------------------------------------------------------------------


def make_training(
    estimator: Any,
    row_sets: Sequence[RowDataset],
    criterion: RowLoss,
    seed: int,
    continue_from: WeightedNet | None,
    is_partial: bool = False,
    holds_integers: bool = False,
) -> Training:
    """Training on the first of the row sets; the second, if there is one, is for validation.

    With ``continue_from``, the network of an earlier fit is trained further. ``holds_integers``
    says whether the user passed X as integers.
    """
    output = estimator._output(criterion)
    given = _shaping_parameters(estimator)
    if continue_from is None:
        make_module = partial(_new_module, estimator, output.widths[0])
    else:
        _check_unchanged(estimator._shaping, given, is_partial)
        make_module = partial(copy.deepcopy, continue_from.module_)
    estimator._shaping = given
    return Training(
        make_module,
        criterion,
        row_sets[0],
        row_sets[1] if len(row_sets) > 1 else None,
        _options(estimator, seed, is_partial),
        output,
        adapt=continue_from is None,
        cardinalities=estimator._encoding.cardinalities(estimator.n_features_in_),
        column_names=tuple(column_names(estimator)),
        is_partial=is_partial,
        previous=continue_from if is_partial else None,
        holds_integers=holds_integers
        or (continue_from is not None and continue_from.takes_integers),
    )


def _new_module(estimator: Any, n_outputs: int) -> nn.Module:
    params = with_weights_in_order(estimator, estimator._params_for("module"))
    return build_module(estimator.module, n_features_of(estimator), n_outputs, params)


def _options(estimator: Any, seed: int, is_partial: bool) -> TrainingOptions:
    names = {field.name for field in fields(TrainingOptions)} - {"optimizer_params", "seed"}
    given = {name: getattr(estimator, name) for name in names}
    if is_partial:
        given["max_epochs"] = 1
    params = estimator._params_for("optimizer")
    return TrainingOptions(**given, optimizer_params=params, seed=seed)


def _shaping_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters that decide about the network, and about loss and weights."""
    names = ("module", "categorical_features", *_WEIGHT_PARAMETERS)
    own = {name: getattr(estimator, name, None) for name in names}
    nested = estimator._params.items()
    return own | {k: v for k, v in nested if k.startswith(("module__", "criterion__"))}


def _check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any], is_partial: bool) -> None:
    """Refuse a continued fit whose network, or loss and weights, are to be others than before."""
    for name in before.keys() | now.keys():
        if not (is_partial or name.startswith(("module", "categorical_features"))):
            continue
        old, new = before.get(name), now.get(name)
        copies = isinstance(old, nn.Module) and type(old) is type(new)
        if not (old is new or copies or _equal(old, new)):
            continues = "partial_fit" if is_partial else "warm_start=True"
            kept = "criterion and class weights" if is_partial else "module__*"
            raise ValueError(
                f"{continues} continues with the network of the last fit, so module, "
                f"categorical_features, {kept} must not change: {name} was {old!r}, got {new!r} "
                "(None: not given)."
            )


def _equal(old: Any, new: Any) -> bool:
    try:
        return bool(old == new)
    except (ValueError, RuntimeError, TypeError):  # of arrays and tensors
        return np.array_equal(old, new)
