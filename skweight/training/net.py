"""The skorch net that trains on ``(x, y, row_weight)``."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from operator import mul
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from skorch.utils import TeeGenerator, to_tensor
from torch import Tensor, nn

from skweight.data import Batch, MappedRows, RowDataset, is_mapped, place
from skweight.losses import weighted_mean
from skweight.training.average import WeightAverage
from skweight.training.choose_step import make_step
from skweight.training.resume import to_cpu
from skweight.training.steps import TrainingStep

# Each loss is a tensor, which takes hundreds of bytes until it is put together with others.
_LOSSES_AT_ONCE = 2**12


class StoppedByCallback(Exception):
    """A callback ended the training, the skorch way: by raising KeyboardInterrupt."""


class WeightedNet(NeuralNet):  # type: ignore[misc]
    """A skorch net whose batches are ``({"X": ..., "row_weight": ...}, y)``.

    The weights travel beside X, so that callbacks which collect y (``EpochScoring``)
    find nothing but targets in it. Without its optimizer and callbacks, which only
    training needs, it is pickled on the CPU; in a stream the optimizer's state goes along.
    """

    resume_state: Any = None  # what a call of ``partial_fit`` hands on, see ``streams``
    step: TrainingStep = None  # type: ignore[assignment]  # only while it is trained
    lowest_losses: dict[str, float]
    ema_decay: float = 0.0  # 0 is no average
    average: WeightAverage | None = None  # only while it is trained
    n_epochs_before: int = 0  # of a stream, when this fit began
    n_steps: int = 0  # of this fit
    n_beside: int = 0  # nets that were trained with it in one stack

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Give the module X alone: it never sees weights."""
        X = x["X"] if isinstance(x, Mapping) else x
        return self.module_(to_tensor(X, device=self.device))  # type: ignore[no-any-return]

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Reduce the losses of the rows with their weights."""
        return weighted_mean(self.criterion_(y_pred, y_true), X["row_weight"])

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Wrap plain arrays, as skorch's own methods and scorers pass them."""
        if isinstance(X, torch.utils.data.Dataset):
            return X
        n_rows = X.shape[0]
        y = np.zeros(n_rows, dtype=np.int64) if y is None else np.asarray(y)
        device = torch.device(self.device)
        if is_mapped(X):
            X = MappedRows(X)
        elif not sparse.issparse(X):
            X = np.asarray(X, dtype=np.float32)
        return RowDataset(place(X, device), np.arange(n_rows), y, np.ones(n_rows), device)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell every callback, also of the epoch in which one of them ends the training.

        skorch's way to end it is KeyboardInterrupt, which must not be taken for the user's.
        """
        stopped = None
        getattr(self, method_name)(self, **cb_kwargs)
        if method_name == "on_epoch_begin":
            self.forget_batches(-2)
            if self.average is not None:
                self.average.hide()
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as stop:
                if not method_name.startswith("on_epoch"):
                    raise
                stopped = stop
        if stopped is not None:
            raise StoppedByCallback from stopped

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Leave modules as they are: what is compiled is a step, see ``steps``."""
        return module

    def get_default_callbacks(self) -> list[Any]:
        """Leave out skorch's means of losses, which are taken here, and a log that is silent."""
        log = [("print_log", PrintLog())] if self.verbose else []
        return [("epoch_timer", EpochTimer()), *log]

    # Epochs ---------------------------------------------------------------------------------

    def fit_loop(self, X: Any, y: Any = None, epochs: Any = None, **fit_params: Any) -> Any:
        """Train as skorch does, with steps that ``steps`` makes."""
        self.lowest_losses = {}
        self.n_epochs_before = len(self.history)
        try:
            return super().fit_loop(X, y, epochs, **fit_params)
        finally:
            if self.average is not None:
                self.average.show()  # also if the training ends within an epoch
            for name in ("step", "average"):  # a step may hold recordings
                self.__dict__.pop(name, None)

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Make an update; return the loss and the output before it."""
        self._set_training(True)  # a callback may have used the network
        self._renew_step()
        return self._update(batch, grad_followed=self._followed("on_grad_computed"))

    def _renew_step(self) -> None:
        """Make a step for the network, the criterion and the optimizer as they now are.

        Callbacks may replace them, or let the optimizer have more parameters.
        """
        parts = self.module_, self.criterion_
        if self.step is None or parts != (self.step.module, self.step.criterion):
            self.step = make_step(*parts, torch.device(self.device), self.compile, self.n_steps)
        self.step.follow(self.optimizer_)
        if self.average is not None:
            self.average.follow(self.module_.parameters())
        elif self.ema_decay:
            self.average = WeightAverage(self.module_.parameters(), self.ema_decay)

    def _update(self, batch: Batch, grad_followed: bool = False) -> dict[str, Tensor]:
        before: dict[str, Tensor] = {}

        def closure() -> Tensor:
            loss, output = self.step(batch)
            if not before:  # an optimizer may try several steps in one
                before.update(loss=loss, y_pred=output)
            if grad_followed:
                parameters = TeeGenerator(self.get_all_learnable_params())
                self.notify(
                    "on_grad_computed", named_parameters=parameters, batch=batch, training=True
                )
            return loss

        self.optimizer_.step(closure)
        if self.average is not None:
            self.average.update()
        return before

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Go through the batches once, and record the mean of their losses.

        What skorch does for every batch, records and calls, is done if a callback follows
        batches. Otherwise losses stay on the device until the epoch is over.
        """
        if iterator is None:
            return
        if training:
            self.n_steps = self.max_epochs * len(iterator)
        if self._followed("on_batch_begin", "on_batch_end"):
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        else:
            self._quick_epoch(iterator, training, prefix, step_fn)
        if training and self.average is not None:
            self.average.show()
        names = f"{prefix}_loss", f"{prefix}_batch_size"
        batches = [batch for batch in self.history[-1]["batches"] if names[0] in batch]
        losses, sizes = ([batch[name] for batch in batches] for name in names)
        mean = sum(map(mul, losses, sizes)) / sum(sizes)
        lowest = self.lowest_losses.get(prefix, math.inf)
        self.history.record(f"{prefix}_loss", mean)
        self.history.record(f"{prefix}_loss_best", mean < lowest)
        self.lowest_losses[prefix] = min(mean, lowest)

    def _quick_epoch(self, iterator: Any, training: bool, prefix: str, step_fn: Any) -> None:
        """Make the steps with nothing between them, and record them when all are made."""
        self._set_training(training)
        if training:
            self._renew_step()
        quick = training and not self._followed("on_grad_computed")
        step = self._update if quick else step_fn
        batches, start = self.history[-1]["batches"], len(self.history[-1]["batches"])
        losses, latest, sizes = [], [], []
        for batch in iterator:
            batches.append({})
            latest.append(step(batch)["loss"])
            sizes.append(len(batch[1]))
            if len(latest) == _LOSSES_AT_ONCE:
                losses.append(torch.stack(latest))
                latest = []
        losses += [torch.stack(latest)] if latest else []
        for record, loss, size in zip(batches[start:], torch.cat(losses).tolist(), sizes):
            record |= {f"{prefix}_loss": loss, f"{prefix}_batch_size": size}
        self.history.record(f"{prefix}_batch_count", len(sizes))

    @property
    def follows_batches(self) -> bool:
        """Whether a callback is called for every batch, and may record something of it."""
        return self._followed("on_batch_begin", "on_grad_computed", "on_batch_end")

    def forget_batches(self, epoch: int) -> None:
        """Drop an epoch's records of batches if it is of this fit and no callback follows them."""
        of_this_fit = len(self.history) + epoch >= self.n_epochs_before
        if of_this_fit and not self.follows_batches:
            self.history[epoch]["batches"] = []

    def _followed(self, *methods: str) -> bool:
        """Whether a callback has one of the methods as its own; all inherit them, empty."""
        return any(
            getattr(type(callback), method, empty) is not empty
            for method in methods
            for empty in [getattr(Callback, method)]
            for _, callback in self.callbacks_
        )

    def release_optimizer(self) -> None:
        """Let go of the optimizer, whose moments take memory."""
        del self.optimizer_

    def __getstate__(self) -> dict[str, Any]:
        """Keep what prediction needs, on the CPU: network, loss, settings and history."""
        state = dict(self.__dict__)
        for name in ("optimizer_", "callbacks", "callbacks_", "step", "average"):
            state.pop(name, None)
        if "module_" in state:
            state["module"] = state["module_"] = on_cpu(self.module_)
            state["criterion"] = state["criterion_"] = on_cpu(self.criterion_)
        state["resume_state"] = to_cpu(self.resume_state)
        return state | {"callbacks": None, "callbacks_": [], "device": "cpu"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`__getstate__` kept."""
        self.__dict__.update(state)


class WeightedClassifierNet(ClassifierMixin, WeightedNet):  # type: ignore[misc]
    """A :class:`WeightedNet` that scorers in callbacks recognise as a classifier of codes."""

    def __init__(self, *args: Any, n_classes: int, multilabel: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_classes = n_classes
        self.multilabel = multilabel

    @property
    def classes_(self) -> Any:
        """Class codes, 0 to n_classes - 1, or a list of those of each label."""
        return [np.arange(2)] * self.n_classes if self.multilabel else np.arange(self.n_classes)

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Return the code of the most probable class, or 1 for each probable label."""
        probability = self.predict_proba(X)
        if self.multilabel:
            return np.asarray(probability > 0.5, dtype=np.intp)
        return np.asarray(probability.argmax(axis=1))


def on_cpu(module: nn.Module) -> nn.Module:
    """Return the module if it lies on the CPU, else a copy that does."""
    if all(t.device.type == "cpu" for t in [*module.parameters(), *module.buffers()]):
        return module
    return copy.deepcopy(module).cpu()
