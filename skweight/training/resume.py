"""The training state that one call of ``partial_fit`` hands to the next."""

import copy
from typing import Any

from torch import Tensor

from skweight._keywords import unwrap


def training_state(net: Any) -> dict[str, Any]:
    """The part of a trained net's training that the next call of ``partial_fit`` continues."""
    optimizer = net.optimizer_.state_dict()
    return {
        "settings": (net.lr, _optimizer_settings(net)),
        "moments": optimizer["state"],
        "groups": optimizer["param_groups"],
        "schedules": [(type(s), s.state_dict()) for s in _schedulers(net)],
    }


def restore_optimizer(net: Any, previous: Any) -> None:
    """Give a new net the moments of the previous one, if they are of the same optimizer.

    The learning rate may differ. After ``fit``, which keeps no state, moments start anew.
    """
    for group in net.optimizer_.param_groups:  # schedulers that resume read it
        group["initial_lr"] = group["lr"]
    last = previous.resume_state
    if last is None or last["settings"][1] != _optimizer_settings(net):
        return
    state = net.optimizer_.state_dict()
    # A copy, since steps of this net would change the moments of the other.
    state["state"] = copy.deepcopy(last["moments"])
    net.optimizer_.load_state_dict(state)
    for group, before in zip(net.optimizer_.param_groups, last["groups"]):
        for name in before.keys() - group.keys():  # kept there by schedulers
            group[name] = before[name]


def restore_schedules(net: Any, previous: Any) -> None:
    """Continue the schedulers where they stopped, from the learning rates that they had reached.

    skorch makes new ones that start at the epoch after those of the history. Some schedulers then
    change the learning rate again when they are made, and others do not.
    """
    for group in net.optimizer_.param_groups:
        group["lr"] = group["initial_lr"]
    last, now = previous.resume_state, _schedulers(net)
    if last is None or [type(s) for s in now] != [kind for kind, _ in last["schedules"]]:
        return
    same = last["settings"] == (net.lr, _optimizer_settings(net))
    for scheduler, (_, state) in zip(now, last["schedules"]):
        own = {} if same or "base_lrs" not in state else {"base_lrs": scheduler.base_lrs}
        scheduler.load_state_dict(copy.deepcopy(state) | own)
    if same:
        for group, before in zip(net.optimizer_.param_groups, last["groups"]):
            group.update({name: value for name, value in before.items() if name != "params"})


def to_cpu(resume_state: Any) -> Any:
    """A copy of the state with its tensors on the CPU, for a pickle."""
    if isinstance(resume_state, Tensor):
        return resume_state.cpu()
    if isinstance(resume_state, dict):
        return {name: to_cpu(value) for name, value in resume_state.items()}
    if isinstance(resume_state, (list, tuple)):
        return type(resume_state)(to_cpu(value) for value in resume_state)
    return resume_state


def _optimizer_settings(net: Any) -> dict[str, Any]:
    own = {name: value for name, value in vars(net).items() if name.startswith("optimizer__")}
    return own | {"optimizer": unwrap(net.optimizer)}


def _schedulers(net: Any) -> list[Any]:
    found = (getattr(callback, "lr_scheduler_", None) for _, callback in net.callbacks_)
    return [scheduler for scheduler in found if scheduler is not None]
