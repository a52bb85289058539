"""The state of a training at the end of an epoch, and a training that goes on from it."""

from typing import Any

import torch
from skorch.history import History

from skweight.training.callback_state import (
    NotPlain,
    from_plain,
    restore_callback,
    state_of_callback,
    to_plain,
)
from skweight.training.checkpoint import TrainingCheckpoint
from skweight.training.fit_state import Interrupted
from skweight.training.isolation import random_states, set_random_states

_MODULES = ("module_", "criterion_")


def state_of_training(net: Any) -> dict[str, Any]:
    """All that the next epoch depends on, in plain values and tensors; the average is applied."""
    state = net.fit_state_
    average = None
    if state.average is not None:
        average = {"values": state.average.stored(), "n_updates": state.average.n_updates}
    parts = {
        **{name: getattr(net, name).state_dict() for name in _MODULES},
        "requires_grad": {name: p.requires_grad for name, p in net.get_all_learnable_params()},
        "optimizer": net.optimizer_.state_dict(),
        "average": average,
        "history": net.history.to_list(),
        "order": state.batches.generator.get_state(),
        "random": random_states(torch.device(net.device)),
    }
    plain = {name: _plain_part(name, part) for name, part in parts.items()}
    return {**plain, "callbacks": states_of_callbacks(net)}


def states_of_callbacks(net: Any) -> dict[str, Any]:
    """The states of callbacks by their names; those that cannot be kept are refused."""
    return {
        name: state_of_callback(name, callback)
        for name, callback in net.callbacks_
        if not isinstance(callback, TrainingCheckpoint)
    }


def restore_training(net: Any, state: dict[str, Any], goes_on: bool) -> None:
    """Put a state into a net whose training has begun, for more epochs if it ``goes_on``."""
    for name in _MODULES:
        getattr(net, name).load_state_dict(from_plain(state[name]))
    for name, parameter in net.get_all_learnable_params():
        parameter.requires_grad_(state["requires_grad"][name])
    net.optimizer_.load_state_dict(from_plain(state["optimizer"]))
    net.history_ = History(from_plain(state["history"]))
    for name, callback in net.callbacks_:
        if name in state["callbacks"]:
            restore_callback(callback, state["callbacks"][name])
    if goes_on:
        net.interrupted_ = _interrupted(net, state)
    set_random_states(state["random"], torch.device(net.device))


def _interrupted(net: Any, state: dict[str, Any]) -> Interrupted:
    """What the loop goes on from; parameters get their own values in the place of averages."""
    if state["average"] is None:
        return Interrupted(state["order"])
    parameters = [*net.module_.parameters()]
    averages = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, value in zip(parameters, state["average"]["values"]):
            parameter.copy_(value)
    return Interrupted(state["order"], averages, state["average"]["n_updates"])


def _plain_part(name: str, part: Any) -> Any:
    try:
        return to_plain(part)
    except NotPlain as error:
        what = {"module_": "the state_dict() of the module", "history": "the history"}
        raise ValueError(
            f"callbacks: TrainingCheckpoint cannot keep a {error}, which is in "
            f"{what.get(name, name)}: it keeps numbers, texts, tensors, arrays, and lists "
            "and dicts of those."
        ) from None
