"""Who is told how trainings go on: the beginning and end of each epoch, and of the training.

An observer changes nothing, but it may end a training. It is told outside of the steps, so that it
neither costs time where there is none nor slows down an epoch.
"""

import copy
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from skorch.history import History
from torch import nn

if TYPE_CHECKING:
    from skweight.training.plan import Training

# Why a training ended. "callback" is also an observer that ended it.
Reason = Literal["early_stopping", "max_epochs", "callback", "user", "error"]


@dataclass
class EpochEnd:
    """The end of an epoch of one network.

    The last entry of ``net.history`` is the epoch, but ``net.module_`` need not be the network of
    this epoch: ``copy_network`` copies that. An observer that sets ``stop`` ends the training.
    """

    key: Hashable
    net: Any
    copy_network: Callable[[], nn.Module]
    in_stack: bool = False
    stop: bool = False


class Observer(Protocol):
    """What is told of some trainings, which it knows by their keys."""

    def epoch_began(self, keys: Sequence[Hashable]) -> None:
        """Hear which networks begin an epoch, those of a stack together."""

    def epoch_ended(self, epochs: Sequence[EpochEnd]) -> None:
        """Hear which networks have ended an epoch."""

    def training_ended(self, key: Hashable, net: Any, reason: Reason) -> None:
        """Hear that a training is over. A training that fails before its first epoch never is."""


@dataclass(frozen=True)
class Watch:
    """An observer of a training, and by which key it knows the training."""

    observer: Observer
    key: Hashable


def watched(trainings: Iterable["Training"], observer: Observer) -> list["Training"]:
    """The same trainings, of which an observer is told; their keys are their numbers."""
    return [
        replace(training, watches=(*training.watches, Watch(observer, number)))
        for number, training in enumerate(trainings)
    ]


def tell_beginning(watches: Iterable[Watch]) -> None:
    """Tell each observer which of its networks begin an epoch."""
    for observer, keys in _by_observer((watch, watch.key) for watch in watches):
        observer.epoch_began(keys)


def tell_end(epochs: Iterable[tuple[Watch, EpochEnd]]) -> None:
    """Tell each observer which of its networks have ended an epoch."""
    for observer, ends in _by_observer(epochs):
        observer.epoch_ended(ends)


def tell_of_one(net: Any) -> bool:
    """Tell the observers of a net of its epoch; return whether one of them ends the training."""
    copy_network = partial(copy.deepcopy, net.module_)
    ends = [(watch, EpochEnd(watch.key, net, copy_network)) for watch in net.watches]
    tell_end(ends)
    return any(end.stop for _, end in ends)


def net_as_of_now(net: Any, network: nn.Module) -> Any:
    """A net that predicts with this copy of its network, as if its training had ended now."""
    kind: Any = type(net)
    found = kind.__new__(kind)
    found.__dict__.update(net.__dict__)
    for name in ("optimizer_", "fit_state_", "watches"):
        found.__dict__.pop(name, None)
    found.__dict__.update(callbacks=None, callbacks_=[], train_split=None)
    found.__dict__.update(module_=network.eval(), history_=History(net.history))
    return found


def _by_observer(pairs: Iterable[tuple[Watch, Any]]) -> list[tuple[Observer, list[Any]]]:
    found: dict[int, tuple[Observer, list[Any]]] = {}
    for watch, item in pairs:
        found.setdefault(id(watch.observer), (watch.observer, []))[1].append(item)
    return [*found.values()]
