"""The training of a plan: rows as tensors, a network that is new or continues, and options."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skweight._keywords import Floats, check_keywords
from skweight.data import RowDataset, place, resolve_device
from skweight.losses import RowLoss
from skweight.modules import build_module
from skweight.training import Training, TrainingOptions, WeightedNet
from skweight.weights import DistinctRows

# The loss and the weights of ``partial_fit`` are made of these.
_WEIGHT_PARAMETERS = (
    "criterion",
    "class_weight",
    "class_weight_power",
    "logit_adjustment",
    "sample_weight_power",
)


def make_training(
    estimator: Any,
    parts: Sequence[DistinctRows],
    targets: Sequence[NDArray[Any]],
    row_weights: Sequence[Floats],
    criterion: RowLoss,
    seed: int,
    continue_from: WeightedNet | None,
    is_partial: bool = False,
) -> Training:
    """Training on parts of the rows: those to train on and, if there are any, those to validate.

    With ``continue_from``, the network of an earlier fit is trained further.
    """
    row_sets = _row_sets(parts, targets, row_weights, resolve_device(estimator.device))
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
        is_partial=is_partial,
        previous=continue_from if is_partial else None,
    )


def _row_sets(
    parts: Sequence[DistinctRows],
    targets: Sequence[NDArray[Any]],
    row_weights: Sequence[Floats],
    device: Any,
) -> list[RowDataset]:
    """Training rows and, if there are any, validation rows as tensors; X is placed once."""
    sets: list[RowDataset] = []
    for part, y, weight in zip(parts, targets, row_weights):
        X = sets[0].X if sets and part.X is parts[0].X else place(part.X, device)
        sets.append(RowDataset(X, part.index, y, weight, device))
    return sets


def _new_module(estimator: Any, n_outputs: int) -> nn.Module:
    params = estimator._params_for("module")
    return build_module(estimator.module, estimator.n_features_in_, n_outputs, params)


def _options(estimator: Any, seed: int, is_partial: bool) -> TrainingOptions:
    names = {field.name for field in fields(TrainingOptions)} - {"optimizer_params", "seed"}
    given = {name: getattr(estimator, name) for name in names}
    if is_partial:
        given["max_epochs"] = 1
    params = estimator._params_for("optimizer")
    options = TrainingOptions(**given, optimizer_params=params, seed=seed)
    # param_groups is skorch's: pairs of a pattern of parameter names and their settings.
    own = {k: v for k, v in params.items() if k != "param_groups"} | {"lr": options.lr}
    check_keywords(options.optimizer_class, own, "optimizer")
    if "lr" in params:
        raise ValueError(
            "The learning rate must be given as lr, got optimizer__lr="
            f"{params['lr']!r} beside lr={options.lr!r}."
        )
    return options


def _shaping_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters that decide about the network, and about loss and weights."""
    nested = estimator.get_params(deep=False)
    names = ("module", *_WEIGHT_PARAMETERS)
    own = {name: nested.get(name) for name in names}
    return own | {k: v for k, v in nested.items() if k.startswith(("module__", "criterion__"))}


def _check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any], is_partial: bool) -> None:
    """Refuse a continued fit whose network, or loss and weights, are to be others than before."""
    for name in before.keys() | now.keys():
        if not (is_partial or name.startswith("module")):
            continue
        old, new = before.get(name), now.get(name)
        copies = isinstance(old, nn.Module) and type(old) is type(new)
        if not (old is new or copies or _equal(old, new)):
            continues = "partial_fit" if is_partial else "warm_start=True"
            kept = "module, criterion and class weights" if is_partial else "module and module__*"
            raise ValueError(
                f"{continues} continues with the network of the last fit, so {kept} must not "
                f"change: {name} was {old!r}, got {new!r} (None: not given)."
            )


def _equal(old: Any, new: Any) -> bool:
    try:
        return bool(old == new)
    except (ValueError, RuntimeError, TypeError):  # of arrays and tensors
        return np.array_equal(old, new)
