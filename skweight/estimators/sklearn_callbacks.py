"""scikit-learn's callbacks, which it has from version 1.9 on, and what they are told of a fit.

A fit has a task for each epoch; with several members, a task for each member that has these.
"""

import copy
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from skweight.estimators.members import FitPlan
from skweight.training import (
    EpochEnd,
    Reason,
    WeightedNet,
    max_epochs_of,
    net_as_of_now,
    watched,
)

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # an older scikit-learn

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: there are no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


SelectRows = Callable[[], tuple[Any, Any, dict[str, Any] | None]]


def callbacks_of(estimator: Any) -> list[Any]:
    """Those that ``set_callbacks`` has given to an estimator, or that a search propagates to it."""
    return [*vars(estimator).get("_skl_callbacks", ())]


def within_callbacks(estimators: Iterable[Any], function: Callable[[], Any]) -> Any:
    """Call a function that fits these estimators; their callbacks are torn down afterwards."""
    for estimator in estimators:
        if callbacks_of(estimator):
            function = partial(with_callbacks(_call), estimator, function)
    return function()


def _call(estimator: Any, function: Callable[[], Any]) -> Any:
    return function()


class FitTasks:
    """The task of a fit, of which the callbacks of an estimator are told, if it has any.

    ``begin`` makes the context of the fit, and ``rows`` X, y and the metadata that scorers need.
    ``trainings`` are those of the plan. Call :meth:`end` when the estimator is fitted.
    """

    def __init__(
        self, estimator: Any, planned: FitPlan, begin: Callable[..., Any], rows: SelectRows
    ) -> None:
        self.estimator, self.trainings = estimator, planned.trainings
        self.data = _Data(rows)
        self.context: Any = None
        if callbacks_of(estimator):
            self._begin(planned, begin)

    def _begin(self, planned: FitPlan, begin: Callable[..., Any]) -> None:
        n_members, max_epochs = len(self.trainings), max_epochs_of(self.trainings[0])
        if n_members == 1:
            context = begin(max_subtasks=max_epochs)
        else:  # they may be trained together
            context = begin(max_subtasks=n_members, sequential_subtasks=False)
        context.call_on_fit_task_begin(estimator=self.estimator, **self.data.arguments)
        contexts = [context]
        if n_members > 1:
            contexts = [
                context.subcontext(task_name="member", task_id=number, max_subtasks=max_epochs)
                for number in range(n_members)
            ]
        self.context = context
        told = _EpochTasks(self.estimator, planned, contexts, self.data)
        self.trainings = watched(self.trainings, told)

    def end(self) -> None:
        """Tell callbacks that the estimator is fitted."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, **self.data.arguments, reconstruction_attributes={}
            )


class _Data:
    """The rows of a fit, which are selected when a callback first asks for them."""

    def __init__(self, rows: SelectRows) -> None:
        self._rows = rows
        self._found: tuple[Any, ...] = ()

    def _get(self, position: int) -> Any:
        self._found = self._found or self._rows()
        return self._found[position]

    @property
    def arguments(self) -> dict[str, Any]:
        """What hooks of scikit-learn may ask for, as functions."""
        return {
            name: partial(self._get, position)
            for position, name in enumerate(("X", "y", "metadata"))
        }


class _EpochTasks:
    """Tell callbacks of epochs, each of which is a task of the fit or of one of its members."""

    def __init__(
        self, estimator: Any, planned: FitPlan, contexts: Sequence[Any], data: _Data
    ) -> None:
        self.estimator, self.planned = estimator, planned
        self.contexts, self.data = contexts, data
        self.has_members = len(contexts) > 1
        self._epochs: dict[Hashable, Any] = {}  # those that have begun
        self._begun: set[Hashable] = set()

    def epoch_began(self, keys: Sequence[Any]) -> None:
        """Begin a task for each network."""
        for key in keys:
            context = self.contexts[key]
            if self.has_members and key not in self._begun:
                self._begun.add(key)
                context.call_on_fit_task_begin(estimator=self.estimator, **self.data.arguments)
            epoch = self._epochs[key] = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data.arguments)

    def epoch_ended(self, epochs: Sequence[EpochEnd]) -> None:
        """End the tasks; a callback may end the training of a network."""
        for end in epochs:
            context = self._epochs.pop(end.key)
            end.stop |= self._end(context, end.net, end.copy_network)

    def training_ended(self, key: Any, net: WeightedNet, reason: Reason) -> None:
        """End the task of a member, with the network that is kept of it."""
        if self.has_members and reason not in ("user", "error"):
            self._end(self.contexts[key], net, partial(copy.deepcopy, net.module_))

    def _end(self, context: Any, net: WeightedNet, copy_network: Callable[[], Any]) -> bool:
        """End a task; what callbacks compute does not change the random numbers of training."""
        device = torch.device(net.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            stops: bool = context.call_on_fit_task_end(
                estimator=self.estimator,
                **self.data.arguments,
                reconstruction_attributes=lambda: self._fitted(net_as_of_now(net, copy_network())),
            )
        return stops

    def _fitted(self, net: WeightedNet) -> dict[str, Any]:
        """The attributes of an estimator whose fit has ended with this net."""
        self.planned.match_means(self.estimator, [net])
        return {"nets_": [net]}
