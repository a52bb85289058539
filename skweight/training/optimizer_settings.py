"""Settings of the user's optimizer: which of them it does not take, and why."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from skweight._keywords import did_you_mean, name_of, parameters_of, unwrap


def check_groups(groups: Any, optimizer: Any) -> None:
    """Refuse groups of parameters that are no pairs, and settings that the optimizer lacks."""
    pairs = isinstance(groups, (list, tuple)) and all(map(_is_pair, groups))
    if not pairs:
        raise ValueError(
            "optimizer__param_groups must be a list of pairs of a pattern of parameter names and a "
            f'dict of settings, such as [("*.bias", {{"weight_decay": 0}})], got {groups!r}.'
        )
    try:
        known = parameters_of(unwrap(optimizer)[0])
    except ValueError:  # some builtins have no signature
        return
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for pattern, settings in groups:
        for name in settings:
            if name not in known and name != "initial_lr" and not takes_any:
                hint = did_you_mean(str(name), [*known])
                raise ValueError(
                    "optimizer__param_groups must hold settings that "
                    f"{name_of(optimizer)} takes, got {name!r} for {pattern!r}.{hint}"
                )


def _is_pair(group: Any) -> bool:
    is_pair = isinstance(group, (list, tuple)) and len(group) == 2
    return is_pair and isinstance(group[0], str) and isinstance(group[1], Mapping)


def wrong_setting(optimizer: Any, lr: float, params: Mapping[str, Any]) -> str:
    """The first setting with which an optimizer cannot be made, for an error; empty if unknown."""
    for name, value in params.items():
        if name in ("param_groups", "fused", "params"):
            continue
        try:
            optimizer([nn.Parameter(torch.zeros(1, 1))], **{"lr": lr, name: value})
        except Exception as error:  # whatever the optimizer raises
            what = f"a setting of {name_of(optimizer)}"
            return f"optimizer__{name} must be {what}, got {value!r}: {error}"
    return ""
