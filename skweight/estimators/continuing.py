"""Fits that continue an earlier one: when they are possible, and what must not change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from skweight.estimators.labels import is_fixed

# The loss and the weights of ``partial_fit`` are made of these.
_WEIGHT_PARAMETERS = (
    "criterion",
    "class_weight",
    "class_weight_power",
    "logit_adjustment",
    "sample_weight_power",
)


def check_partial_fit(estimator: Any) -> bool:
    """Say why ``partial_fit`` is unavailable under the parameters of an estimator, if it is."""
    class_weight = getattr(estimator, "class_weight", None)
    if not is_fixed(class_weight):
        raise ValueError(
            "partial_fit needs class_weight to be None or a dict, because the classes of later "
            f"rows cannot be counted yet, got {class_weight!r}. Compute the weights from rows "
            "that you have with sklearn.utils.class_weight.compute_class_weight, and pass them "
            "as a dict."
        )
    adjustment = getattr(estimator, "logit_adjustment", 0)
    if adjustment:
        raise ValueError(
            "partial_fit does not support logit_adjustment, because class priors are unknown "
            f"before all rows have arrived, got {adjustment!r}. Pass class weights as a dict."
        )
    if estimator.early_stopping and estimator.early_stopping != "auto":
        raise ValueError(
            'partial_fit needs early_stopping=False or "auto", because it makes one pass over '
            "its rows, got True. Evaluate the model on validation rows of your own between calls."
        )
    if estimator.ema_decay not in ("auto", 0):
        raise ValueError(
            'partial_fit needs ema_decay="auto" or 0, because later calls train the parameters '
            f"themselves and not their average, got {estimator.ema_decay!r}."
        )
    return True


def shaping_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters that decide about the network, and about loss and weights."""
    nested = estimator.get_params(deep=False)
    names = ("module", *_WEIGHT_PARAMETERS)
    own = {name: nested.get(name) for name in names}
    return own | {k: v for k, v in nested.items() if k.startswith(("module__", "criterion__"))}


def check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any], is_partial: bool) -> None:
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
