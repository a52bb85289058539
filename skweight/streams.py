"""What one call of a stream carries on to the next: moments, learning rates, schedules.

The network and the units of weights and targets are handed on by ``estimators``. Only torch
here.
"""

import copy
from typing import Any

from torch import Tensor

from skweight.keywords import unwrap


def carry(net: Any) -> dict[str, Any]:
    """Take from a trained net what the next call of the stream needs of its training."""
    optimizer = net.optimizer_.state_dict()
    return {
        "settings": (net.lr, _settings(net)),
        "moments": optimizer["state"],
        "groups": optimizer["param_groups"],
        "schedules": [(type(s), s.state_dict()) for s in _schedulers(net)],
    }


def go_on(net: Any, previous: Any) -> None:
    """Give a new net the moments of the last one, if they are of the same optimizer.

    The learning rate may differ. After a fit that was no part of a stream they start anew.
    """
    for group in net.optimizer_.param_groups:  # what a scheduler asks for that is not at its start
        group["initial_lr"] = group["lr"]
    last = previous.carried
    if last is None or last["settings"][1] != _settings(net):
        return
    state = net.optimizer_.state_dict()
    # A copy: or the steps of this net would change the moments of the other.
    state["state"] = copy.deepcopy(last["moments"])
    net.optimizer_.load_state_dict(state)
    for group, before in zip(net.optimizer_.param_groups, last["groups"]):
        for name in before.keys() - group.keys():  # what schedulers keep there
            group[name] = before[name]


def go_on_scheduling(net: Any, previous: Any) -> None:
    """Let schedulers go on where they stopped, from the learning rates they had come to.

    skorch makes them anew, at the epoch that the history tells; what they do to the learning
    rate then differs from one to the other.
    """
    for group in net.optimizer_.param_groups:
        group["lr"] = group["initial_lr"]
    last, now = previous.carried, _schedulers(net)
    if last is None or [type(s) for s in now] != [kind for kind, _ in last["schedules"]]:
        return
    same = last["settings"] == (net.lr, _settings(net))
    for scheduler, (_, state) in zip(now, last["schedules"]):
        own = {} if same or "base_lrs" not in state else {"base_lrs": scheduler.base_lrs}
        scheduler.load_state_dict(copy.deepcopy(state) | own)
    if same:
        for group, before in zip(net.optimizer_.param_groups, last["groups"]):
            group.update({name: value for name, value in before.items() if name != "params"})


def on_cpu_too(carried: Any) -> Any:
    """Copy what was carried with its tensors on the CPU, for a pickle."""
    if isinstance(carried, Tensor):
        return carried.cpu()
    if isinstance(carried, dict):
        return {name: on_cpu_too(value) for name, value in carried.items()}
    if isinstance(carried, (list, tuple)):
        return type(carried)(on_cpu_too(value) for value in carried)
    return carried


def _settings(net: Any) -> dict[str, Any]:
    own = {name: value for name, value in vars(net).items() if name.startswith("optimizer__")}
    return own | {"optimizer": unwrap(net.optimizer)}


def _schedulers(net: Any) -> list[Any]:
    found = (getattr(callback, "lr_scheduler_", None) for _, callback in net.callbacks_)
    return [scheduler for scheduler in found if scheduler is not None]
