"""Learning-rate schedules that act on the optimizer of a stack."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from skorch.callbacks import LRScheduler
from skorch.history import History


class StackedSchedules:
    """Copies of skorch's schedules, for which this is a net: ``optimizer_`` and ``history``."""

    def __init__(self, callbacks: Iterable[LRScheduler], optimizer: torch.optim.Optimizer) -> None:
        self.optimizer_ = optimizer
        self.history = History()
        self._schedules = [copy.copy(callback).initialize() for callback in callbacks]
        for schedule in self._schedules:
            schedule.on_train_begin(self)

    def begin_epoch(self) -> None:
        """Begin to record an epoch."""
        self.history.new_epoch()

    def end_batch(self) -> None:
        """Call the schedules that change the learning rate after a batch."""
        for schedule in self._schedules:
            if schedule.step_every == "batch":
                self.history.new_batch()
            schedule.on_batch_end(self, training=True)

    def end_epoch(self) -> dict[str, Any]:
        """Call those that change it after an epoch; return what they recorded of the epoch."""
        for schedule in self._schedules:
            schedule.on_epoch_end(self)
        return {name: value for name, value in self.history[-1].items() if name != "batches"}
