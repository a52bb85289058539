"""The skorch net that trains on ``(x, y, row_weight)``."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from operator import mul
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochTimer,
    LoadInitState,
    LRScheduler,
    TrainEndCheckpoint,
)
from skorch.utils import TeeGenerator, to_tensor
from torch import Tensor, nn

from skweight._keywords import name_of
from skweight.data import (
    Batch,
    TensorBatches,
    call_module,
    each_input,
    has_named_inputs,
    rows_of_arrays,
    validate_inputs,
)
from skweight.losses import validation_mean
from skweight.training.adam import FusedAdam, fused_adam, with_kernel
from skweight.training.average import WeightAverage
from skweight.training.cuda_graphs import ReplayedStep, make_step
from skweight.training.direct import DirectStep, NotDirect, direct_step
from skweight.training.direct_loop import run_direct_epoch
from skweight.training.encoded import EncodedBatches
from skweight.training.files import lost_file, opened_whole
from skweight.training.fit_state import FitState, Interrupted, begin_fit, is_blind
from skweight.training.net_state import saved_state, state_to_save
from skweight.training.observers import Watch, tell_beginning, tell_of_one
from skweight.training.optimizer_settings import wrong_setting
from skweight.training.recorded_update import recorded_update
from skweight.training.scores import explained_share
from skweight.training.steps import LossAndOutput, TrainingStep, with_row_axis
from skweight.training.stopping import StoppedByCallback, is_from_statement

# Callbacks that go on if they cannot save a file.
_SAVING_CALLBACKS = (Checkpoint, TrainEndCheckpoint)


class WeightedNet(NeuralNet):  # type: ignore[misc]
    """A skorch net whose batches are ``({"X": ..., "row_weight": ...}, y)``.

    The weights, and the offset of rows that have one, are passed beside X, so that callbacks which
    collect y (``EpochScoring``) find nothing but targets in it. It is pickled on the CPU without
    optimizer and callbacks, which only training needs.

    ``ema_decay`` is that of :class:`WeightAverage`; 0 is no average. The other arguments are those
    of :class:`skorch.NeuralNet`.
    """

    # The state of optimizer and schedules that the next call of ``partial_fit`` continues.
    resume_state: Any = None
    # Whether the module is given X as integers, see ``prepare``.
    takes_integers: bool = False
    # What is added to the output of the network for predictions, in float64, shape (n_outputs,);
    # solved after training with ``match_mean=True``.
    score_shift_: NDArray[np.float64] | None = None
    # How the gradients of the last training were computed: see ``direct.py``.
    step_: str = "autograd"
    # None unless the net is being trained.
    fit_state_: FitState | None = None
    # Who is told of each epoch while the net is being trained.
    watches: tuple[Watch, ...] = ()
    # The files that a callback has failed to save, with the errors, until it returns.
    unsaved_: Mapping[str, Exception] = MappingProxyType({})
    # What writes a file of the training after its epochs, see ``TrainingCheckpoint``.
    checkpoint_: Any = None
    # What the next ``fit_loop`` continues.
    interrupted_: Interrupted | None = None
    # Losses of batches to join at once: until then each is a tensor, of hundreds of bytes.
    losses_at_once: int = 2**12

    def __init__(self, *args: Any, ema_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ema_decay = ema_decay

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Give the module X without the weights, which it never sees; add any offset."""
        X = _without_weights(x)
        X = validate_inputs(X) if has_named_inputs(X) else X
        X = each_input(partial(to_tensor, device=self.device), X)
        scores = with_row_axis(call_module(self.module_, X), len(X))
        if isinstance(x, Mapping) and "row_weight" in x and "offset" in x:
            scores = self.criterion_.with_offset(scores, x["offset"])
        if self.score_shift_ is None:
            return scores
        return scores + torch.from_numpy(self.score_shift_).to(scores).reshape(scores.shape[1:])

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Reduce the losses of validation rows with their weights."""
        return validation_mean(self.criterion_(y_pred, y_true), X["row_weight"])

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Wrap plain arrays and batches, as skorch's own methods and scorers pass them."""
        if isinstance(X, torch.utils.data.Dataset):
            return X
        rows = rows_of_arrays(_without_weights(X), y, torch.device(self.device))
        if self.takes_integers:
            rows.use_integers()
        return rows

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call every callback, also in the epoch in which one of them ends the training."""
        stopped = None
        getattr(self, method_name)(self, **cb_kwargs)
        if method_name == "on_epoch_begin" and self.fit_state_ is not None:
            self._begin_epoch(self.fit_state_)
            tell_beginning(self.watches)
        for name, callback in self.callbacks_:
            self.unsaved_ = {}
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as stop:
                if method_name.startswith("on_train") or not is_from_statement(stop):
                    raise
                stopped = stop
            if self.unsaved_ and isinstance(callback, _SAVING_CALLBACKS):
                raise lost_file(name, self.unsaved_)
        is_over = stopped is not None
        if method_name == "on_epoch_end":
            is_over |= tell_of_one(self)
            if self.checkpoint_ is not None:
                self.checkpoint_.epoch_ended(self, is_over)
        if is_over:
            raise StoppedByCallback from stopped

    def save_params(
        self,
        f_params: Any = None,
        f_optimizer: Any = None,
        f_criterion: Any = None,
        f_history: Any = None,
        use_safetensors: bool = False,
        **files: Any,
    ) -> None:
        """Save files as skorch does, but each of them whole or not at all."""
        files |= {"f_params": f_params, "f_optimizer": f_optimizer}
        files |= {"f_criterion": f_criterion, "f_history": f_history}
        given = {name: file for name, file in files.items() if file is not None}
        self.unsaved_ = {k: v for k, v in self.unsaved_.items() if k not in given}
        try:
            with opened_whole(given) as opened:
                super().save_params(**opened, use_safetensors=use_safetensors)
        except Exception as error:  # after which skorch's callbacks go on
            self.unsaved_ = {**self.unsaved_, **dict.fromkeys(given, error)}
            raise

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Leave modules as they are: the whole training step is compiled, see ``steps.py``."""
        return module

    def initialize_callbacks(self) -> Any:
        """Initialize also a checkpoint to load, a copy of the one that is among the callbacks."""
        super().initialize_callbacks()
        for _, callback in self.callbacks_:
            if isinstance(callback, LoadInitState) and isinstance(
                callback.checkpoint, TrainEndCheckpoint
            ):
                callback.checkpoint.initialize()
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make no optimizer of torch where the kernel alone is enough, see :mod:`.adam`.

        Callbacks of the user may expect one, and schedules need one.
        """
        if is_blind(self.callbacks_):
            parameters, settings = self.get_params_for_optimizer(
                "optimizer", self.get_all_learnable_params()
            )
            made = fused_adam(self.optimizer, parameters, settings)
            if made is not None:
                self.optimizer_ = made
                # What skorch does for optimizers of torch: parameters optimizer__* are known.
                self.prefixes_: list[str] = [*self.prefixes_, "optimizer"]
                return self
        try:
            return super().initialize_optimizer(*args, **kwargs)
        except (TypeError, ValueError) as error:
            given = self.get_params_for("optimizer")
            text = wrong_setting(self.optimizer, self.lr, given) or (
                f"optimizer__* must be settings that {name_of(self.optimizer)} takes, got {given}: "
                f"{type(error).__name__}: {error}"
            )
            raise ValueError(text) from error

    def get_default_callbacks(self) -> list[Any]:
        """Drop skorch's loss averages, which this class records, and its table of epochs.

        A timer of the user's takes the place of the default one.
        """
        given = [item[1] if isinstance(item, tuple) else item for item in self.callbacks or []]
        kinds = {item if isinstance(item, type) else type(item) for item in given}
        return [] if EpochTimer in kinds else [("epoch_timer", EpochTimer())]

    # Epochs ---------------------------------------------------------------------------------

    def fit_loop(self, X: Any, y: Any = None, epochs: Any = None, **fit_params: Any) -> Any:
        """Train as skorch does, with steps from :meth:`make_step`."""
        state = self.fit_state_ = begin_fit(self)
        try:
            return super().fit_loop(X, y, epochs, **fit_params)
        finally:
            if state.average is not None:
                state.average.apply()  # also if the training ends within an epoch
                state.average.release()
            if state.recorded_update is not None:
                state.recorded_update.release()
            self.fit_state_ = None  # a step may hold recordings

    def make_step(self, n_steps: int) -> TrainingStep:
        """Make the step for the network and criterion, for a training of ``n_steps`` steps."""
        module, criterion = self.module_, self.criterion_
        device, batches = torch.device(self.device), self._current_fit.batches
        if device.type == "cpu" and not self.compile and batches is not None:
            try:
                step = direct_step(module, criterion, batches)
            except NotDirect as reason:
                self.step_ = f"autograd, because {reason}"
            else:
                self.step_ = "direct"
                return step
        return make_step(module, criterion, device, self.compile, n_steps)

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Make an update; return the loss and the output before it."""
        step = self._begin_steps(self._current_fit)
        notify_gradients = self._has_callback("on_grad_computed")
        return self._update(batch, step, notify_gradients, keep_output=True)

    def release_optimizer(self) -> None:
        """Free the memory of the optimizer; the net can predict, but no longer be trained."""
        if hasattr(self, "optimizer_"):
            del self.optimizer_

    @property
    def _current_fit(self) -> FitState:
        if self.fit_state_ is None:
            raise RuntimeError("The net is not being trained: its steps are made by fit_loop.")
        return self.fit_state_

    def _begin_epoch(self, state: FitState) -> None:
        earlier = max(state.n_epochs_before, len(self.history) - 2)
        self.forget_batches(self.history[earlier:-1])
        if state.average is not None:
            state.average.restore()

    def _begin_steps(self, state: FitState) -> TrainingStep:
        """The step for the next batches; callbacks may have changed or used the network."""
        self._set_mode(state, training=True)
        if state.is_undisturbed and state.step is not None:
            return state.step
        return self._refresh_step()

    def _set_mode(self, state: FitState, training: bool) -> None:
        """Set the mode of all modules, unless they have it already."""
        if not state.is_undisturbed or self.module_.training is not training:
            self._set_training(training)

    def _refresh_step(self) -> TrainingStep:
        """Use the current network, criterion and optimizer.

        Callbacks may replace them, or give the optimizer more parameters.
        """
        state, parts = self._current_fit, (self.module_, self.criterion_)
        step = state.step
        if step is None or parts != (step.module, step.criterion) or not step.is_current():
            step = state.step = self.make_step(state.n_steps)
            state.encoded = EncodedBatches()
        if state.average is not None:
            state.average.track(self.module_.parameters())
        elif self.ema_decay:
            is_known = isinstance(step, DirectStep)  # no layer keeps views of its parameters
            parameters = self.module_.parameters()
            state.begin_average(WeightAverage(parameters, self.ema_decay, join=is_known))
        step.attach(self.optimizer_)
        state.optimizer = with_kernel(self.optimizer_)
        if isinstance(step, ReplayedStep) and state.is_unwatched and step.reset is None:
            step.update = state.recorded_update = recorded_update(self.optimizer_, state.average)
        return step

    def _update(
        self,
        batch: Batch,
        step: Callable[[Batch], LossAndOutput],
        notify_gradients: bool = False,
        keep_output: bool = False,
    ) -> dict[str, Tensor]:
        before: dict[str, Tensor] = {}
        state = self._current_fit
        if state.step is not None and state.step.has_update:
            loss, output = step(batch)
            return {"loss": loss, "y_pred": output.clone() if keep_output else output}

        def closure() -> Tensor:
            loss: Tensor
            loss, output = step(batch)
            if not before:  # some optimizers compute the loss several times in a step
                # A copy: the next evaluation in this step may overwrite the output.
                before.update(loss=loss, y_pred=output.clone() if keep_output else output)
            if notify_gradients:
                parameters = TeeGenerator(self.get_all_learnable_params())
                self.notify(
                    "on_grad_computed", named_parameters=parameters, batch=batch, training=True
                )
            return loss

        state.optimizer.step(closure)
        if state.average is not None:
            state.average.update()
        return before

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Go through the batches once, and record the mean of their losses.

        skorch's own loop, which records each batch and calls callbacks, runs only if a callback
        has a per-batch method. Otherwise losses stay on the device until the epoch is over.
        """
        if iterator is None:
            return
        state = self._current_fit
        if training:
            state.begin_pass(iterator, self.max_epochs)
        if self._has_callback("on_batch_begin", "on_batch_end"):
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        else:
            self._quick_epoch(iterator, training, prefix, step_fn)
        if training and state.average is not None:
            state.average.apply()
        names = f"{prefix}_loss", f"{prefix}_batch_size"
        batches = [batch for batch in self.history[-1]["batches"] if names[0] in batch]
        losses, sizes = ([batch[name] for batch in batches] for name in names)
        state.losses.record(self.history, prefix, sum(map(mul, losses, sizes)) / sum(sizes))

    def _quick_epoch(self, iterator: Any, training: bool, prefix: str, step_fn: Any) -> None:
        """Make all steps without calling anything between them, then record their losses."""
        state = self._current_fit
        if training:
            self._begin_steps(state)
        else:
            self._set_mode(state, training)
        sizes = [*chain(*iterator.sizes)]
        batches, start = self.history[-1]["batches"], len(self.history[-1]["batches"])
        losses = self._losses_of_batches(iterator, training, step_fn, state)
        batches += [{} for _ in range(start + len(sizes) - len(batches))]
        for record, loss, size in zip(batches[start:], losses.tolist(), sizes):
            record |= {f"{prefix}_loss": loss, f"{prefix}_batch_size": size}
        self.history.record(f"{prefix}_batch_count", len(sizes))

    def _losses_of_batches(
        self, batches: TensorBatches, training: bool, step_fn: Any, state: FitState
    ) -> Tensor:
        """Go through the batches; return the loss of each, shape (n_batches,)."""
        step = state.step
        if isinstance(step, DirectStep) and state.is_undisturbed:
            encoded, encode = state.encoded.get(batches, step.network.encode)
            if not training:
                return torch.stack([step.validation_loss(batch, encode) for batch in encoded])
            if self._may_run_direct_epoch(encoded, state):
                return run_direct_epoch(step, encoded, encode, state.optimizer, state.average)
        if training and step is not None and not self._has_callback("on_grad_computed"):
            step_fn = partial(self._update, step=step)
        losses, latest = [], []
        for batch in batches:
            self.history.new_batch()  # to which callbacks may add
            latest.append(step_fn(batch)["loss"])
            if len(latest) == self.losses_at_once:
                losses.append(torch.stack(latest))
                latest = []
        losses += [torch.stack(latest)] if latest else []
        return torch.cat(losses)

    def _may_run_direct_epoch(self, batches: TensorBatches, state: FitState) -> bool:
        """Whether nothing comes between the steps but what the direct epoch does itself."""
        return (
            isinstance(state.optimizer, FusedAdam)
            and isinstance(batches.rows.X, Tensor)
            and not self._has_callback("on_grad_computed")
        )

    def forget_batches(self, epochs: list[dict[str, Any]]) -> None:
        """Drop the records of batches in these epochs of the history, unless callbacks use them."""
        if not self._has_callback("on_batch_begin", "on_grad_computed", "on_batch_end"):
            for epoch in epochs:
                epoch["batches"] = []

    def _has_callback(self, *methods: str) -> bool:
        """Whether a callback overrides one of these methods, which are empty in skorch's class."""
        return any(
            getattr(type(callback), method, empty) is not empty
            for method in methods
            for empty in [getattr(Callback, method)]
            for _, callback in self.callbacks_
            if not _is_schedule_of_epochs(callback)
        )

    def __getstate__(self) -> dict[str, Any]:
        """Keep what prediction needs, on the CPU: network, loss, settings and history."""
        return state_to_save(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`__getstate__` kept."""
        self.__dict__.update(saved_state(state))


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


class WeightedRegressorNet(RegressorMixin, WeightedNet):  # type: ignore[misc]
    """A :class:`WeightedNet` that scorers in callbacks recognise as a regressor."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of the estimator: it does not depend on the units of y."""
        return explained_share(np.asarray(y), self.predict(X), sample_weight, self.criterion_)


def _is_schedule_of_epochs(callback: Any) -> bool:
    """Whether a callback has methods for batches that do nothing."""
    return type(callback) is LRScheduler and callback.step_every == "epoch"


def _without_weights(X: Any) -> Any:
    """X of a batch; X that is none unchanged, such as a dict of several inputs."""
    return X["X"] if has_named_inputs(X) and "row_weight" in X else X
