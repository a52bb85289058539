"""The training of a stack: epochs, early stopping, and models that leave the stack."""

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import Tensor, nn

from skweight._keywords import unwrap
from skweight.data import TensorBatches
from skweight.losses import backpropagate_weighted_means, validation_mean
from skweight.stacks.batches import StackedBatches
from skweight.stacks.direct import DirectStack
from skweight.stacks.eligibility import stack_networks, validation_batches
from skweight.stacks.networks import StackedNetwork
from skweight.stacks.steps import (
    StackedLosses,
    StackedParameters,
    StackedSchedules,
)
from skweight.training import (
    EncodedBatches,
    EpochEnd,
    EpochLosses,
    FusedAdam,
    NotDirect,
    Patience,
    Reason,
    Training,
    Watch,
    WeightAverage,
    WeightedNet,
    check_finite_losses,
    fused_adam,
    tell_beginning,
    tell_end,
)


@dataclass
class StackedModel:
    """One model of a stack: its net, its early stopping and the error that ended its training.

    ``watches`` are told of its epochs, and ``stopped`` says that one of them ended its training.
    """

    net: WeightedNet
    patience: Patience
    watches: tuple[Watch, ...] = ()
    losses: EpochLosses = field(default_factory=EpochLosses)
    error: Exception | None = None
    stopped: bool = False

    @property
    def has_stopped(self) -> bool:
        """Whether its training is over before that of the stack."""
        return self.error is not None or self.stopped or self.patience.is_over

    def tell_of_its_end(self, otherwise: Reason) -> None:
        """Tell its observers that it is over, and why."""
        reason = otherwise
        if self.has_stopped:
            reason = "early_stopping" if self.patience.is_over else "callback"
        if self.error is not None:
            reason = "error"
        for watch in self.watches:
            watch.observer.training_ended(watch.key, self.net, reason)

    def record(self, losses: dict[str, float], others: dict[str, Any]) -> bool:
        """Record an epoch; return whether its validation loss is the lowest so far."""
        history = self.net.history
        history.new_epoch()
        history.record("epoch", len(history))
        for name, value in others.items():
            history.record(name, value)
        for prefix, loss in losses.items():
            self.losses.record(history, prefix, loss)
        try:
            check_finite_losses(history[-1], self.net.lr)
        except ValueError as error:
            self.error = error
            return False
        return "valid" in losses and self.patience.update(losses["valid"])


class Stack:
    """Networks that are trained at the same time.

    ``nets`` are made for the trainings, and hold the trained networks in the end. ``models`` are
    all of them, ``in_stack`` those that are still in the stack, by their position in its tensors.
    When the share ``still_trained`` of the stack, or less, is still trained, the others leave it.
    Until then they are still computed, because removal costs time.
    """

    def __init__(
        self, trainings: Sequence[Training], nets: Sequence[WeightedNet], still_trained: float
    ) -> None:
        options, first = trainings[0].options, nets[0]
        self.still_trained = still_trained
        self.max_epochs = first.max_epochs
        self.models = [
            StackedModel(net, Patience(options.n_iter_no_change, options.tol), training.watches)
            for training, net in zip(trainings, nets)
        ]
        self.in_stack = list(self.models)
        self._improved: list[int] = []  # positions of models whose nets are to get new networks
        self.network = stack_networks(trainings, nets)
        self.losses = StackedLosses([net.criterion_ for net in nets])
        self.batches = _training_batches(trainings, nets)
        valid = [validation_batches(t.valid_rows) for t in trainings if t.valid_rows is not None]
        self.valid_batches = StackedBatches(valid) if valid else None
        self.direct = self._find_direct()
        if self.direct is not None:
            known = EncodedBatches()
            self.batches = self.direct.encoded(self.batches, known)
            if self.valid_batches is not None:
                self.valid_batches = self.direct.encoded(self.valid_batches, known)
        self.parameters, self.optimizer = _make_optimizer(first, self.network)
        self.average: WeightAverage | None = None
        if first.ema_decay:
            self.average = WeightAverage(self.parameters.in_order, first.ema_decay)
        callbacks = [callback for _, callback in first.callbacks_]
        schedules = [c for c in callbacks if isinstance(c, LRScheduler)]
        self.schedules = StackedSchedules(schedules, self.optimizer)
        self.clippings = [c for c in callbacks if isinstance(c, GradientNormClipping)]

    def _find_direct(self) -> DirectStack | None:
        """The networks without autograd, or None if they need it."""
        try:
            return DirectStack(self.network, self.losses, self.batches)
        except NotDirect:
            return None

    def train(self) -> bool:
        """Train all models, whose nets hold the networks afterwards.

        Returns
        -------
        bool
            False if the user stopped the training. Nets then hold the best networks so far, and
            without validation rows the networks as they were.
        """
        is_complete = True
        try:
            for _ in range(self.max_epochs):
                if self.in_stack:
                    self._run_epoch()
        except KeyboardInterrupt:
            is_complete = False
        if self.valid_batches is None:
            if self.average is not None:
                self.average.apply()  # also if the training ends within an epoch
            self._improved = [p for p, model in enumerate(self.in_stack) if not model.has_stopped]
        self._copy_improved()
        for model in self.in_stack:
            if not model.has_stopped:
                model.tell_of_its_end("max_epochs" if is_complete else "user")
        return is_complete

    def _run_epoch(self) -> None:
        start = time.perf_counter()
        trained = [p for p, model in enumerate(self.in_stack) if not model.has_stopped]
        tell_beginning(watch for p in trained for watch in self.in_stack[p].watches)
        self.schedules.begin_epoch()
        means = {"train": self._train_epoch()}
        others: dict[str, Any] = {"train_batch_count": len(self.batches)}
        if self.valid_batches is not None:
            means["valid"] = self._validate(self.valid_batches)
            others["valid_batch_count"] = len(self.valid_batches)
        others |= self.schedules.end_epoch()
        others["dur"] = (time.perf_counter() - start) / len(trained)
        self._record(means, others)
        self._tell(trained)
        self._shrink()

    def _train_epoch(self) -> Tensor:
        """Make the steps of an epoch; return the mean losses of the models."""
        if self.average is not None:
            self.average.restore()
        total = torch.zeros(len(self.in_stack), dtype=torch.float64, device=self.batches.device)
        for losses, size in zip(self._losses_of_batches(), self.batches.sizes):
            total += losses * size
        if self.average is not None:
            self.average.apply()
        return total / self.batches.n_rows

    def _losses_of_batches(self) -> Iterable[Tensor]:
        """Make the steps of an epoch; the losses of the models before each of them."""
        is_disturbed = self.clippings or self.schedules.follow_batches
        if self.direct is not None and not is_disturbed:
            return self.direct.run_epoch(self.batches, self._update).unbind(dim=1)
        return self._steps()

    def _steps(self) -> Iterator[Tensor]:
        for batch in self.batches:
            yield self._step(*batch)
            self.schedules.end_batch()

    def _step(self, X: Tensor, weight: Tensor, y: Tensor, offset: Tensor | None) -> Tensor:
        """Update all models; return their mean losses before it."""
        if self.direct is None:
            self.parameters.drop_gradients()
            output = self.losses.with_offset(self.network(X), offset)
            means = backpropagate_weighted_means(self.losses(output, y), weight)
        else:
            means = self.direct.add_gradients(X, weight, y, offset)
        for clipping in self.clippings:
            self.parameters.clip_gradients(clipping)
        self._update()
        return means

    def _update(self) -> None:
        """Make a step with the gradients that the parameters have."""
        self.parameters.give_gradients_to_views()
        if isinstance(self.optimizer, FusedAdam):
            with torch.no_grad():
                self.optimizer.update()
        else:
            self.optimizer.step()
        if self.average is not None:
            self.average.update()

    @torch.no_grad()
    def _validate(self, batches: StackedBatches) -> Tensor:
        """Mean losses, rounded as those of single models: they decide which state is the best."""
        run = self.network if self.direct is None else self.direct.network.forward
        means = []
        for X, weight, y, offset in batches:
            losses = self.losses(self.losses.with_offset(run(X), offset), y)
            means.append(torch.stack([validation_mean(*pair) for pair in zip(losses, weight)]))
        total = torch.zeros(len(self.in_stack), dtype=torch.float64, device="cpu")
        for of_batch, size in zip(torch.stack(means).cpu().double(), batches.sizes):
            total += of_batch * size
        return total / batches.n_rows

    def _record(self, means: dict[str, Tensor], others: dict[str, Any]) -> None:
        """Record the epoch for each model that is still trained, and keep the best states."""
        per_model = zip(*(values.tolist() for values in means.values()))
        for position, (model, losses) in enumerate(zip(self.in_stack, per_model)):
            if not model.has_stopped and model.record(dict(zip(means, losses)), others):
                self._improved.append(position)
        self._copy_improved()

    def _tell(self, trained: list[int]) -> None:
        """Tell observers of the epoch of the models at these positions, and of those now over."""
        ends = []
        for position in trained:
            model = self.in_stack[position]
            copied = partial(self._copy_of, model, position)
            if model.error is None:
                ends += [
                    (position, watch, EpochEnd(watch.key, model.net, copied, in_stack=True))
                    for watch in model.watches
                ]
        tell_end((watch, end) for _, watch, end in ends)
        for position in {position for position, _, end in ends if end.stop}:
            model = self.in_stack[position]
            model.stopped = True
            if self.valid_batches is None:
                self.network.copy_to(model.net.module_, position)
        for position in trained:
            if self.in_stack[position].has_stopped:
                self.in_stack[position].tell_of_its_end("callback")

    def _copy_of(self, model: StackedModel, position: int) -> nn.Module:
        """The network of a model as it is now, which need not be the best one."""
        copied: nn.Module = copy.deepcopy(model.net.module_)
        self.network.copy_to(copied, position)
        return copied

    def _copy_improved(self) -> None:
        """Copy networks to nets; after an interrupt again, since it may have come in between."""
        for position in self._improved:
            self.network.copy_to(self.in_stack[position].net.module_, position)
        self._improved = []

    def _shrink(self) -> None:
        """Drop the models that have stopped if there are enough of them."""
        positions = [p for p, model in enumerate(self.in_stack) if not model.has_stopped]
        if len(positions) <= self.still_trained * len(self.in_stack):
            self.keep(positions)

    def keep(self, positions: list[int]) -> None:
        """Keep only the models at these positions."""
        self.in_stack = [self.in_stack[position] for position in positions]
        if not positions:
            return
        kept = torch.tensor(positions, device=self.batches.device)
        self.network.keep(kept)
        self.parameters.keep(kept, self.optimizer)
        if isinstance(self.optimizer, FusedAdam):
            self.optimizer.forget()
        if self.direct is not None:
            self.direct.network.begin()
        for part in (self.average, self.losses, self.batches, self.valid_batches):
            if part is not None:
                part.keep(kept)


def _training_batches(trainings: Sequence[Training], nets: Sequence[WeightedNet]) -> StackedBatches:
    """The batches of all models; those that draw the same order draw it once."""
    batches: list[TensorBatches] = []
    drawn: dict[int, TensorBatches] = {}
    for training, net in zip(trainings, nets):
        seed, sampling = training.options.seed, training.options.weighting == "sampling"
        made = TensorBatches(
            training.rows, net.batch_size, shuffle=True, sampling=sampling, seed=seed
        )
        # What is sampled depends on the weights of a model.
        same = made if sampling else drawn.setdefault(seed, made)
        batches.append(same.over(training.rows))
    return StackedBatches(batches)


def _make_optimizer(net: WeightedNet, network: StackedNetwork) -> tuple[StackedParameters, Any]:
    """The parameters of a stack and an optimizer for them, with the settings of a net."""
    fused = getattr(net, "optimizer__fused", unwrap(net.optimizer)[1].get("fused", False))
    parameters = StackedParameters(network, bool(fused))
    args, kwargs = net.get_params_for_optimizer("optimizer", parameters.named)
    is_seen = any(isinstance(callback, LRScheduler) for _, callback in net.callbacks_)
    own = None if is_seen else fused_adam(net.optimizer, args, kwargs)
    return parameters, net.optimizer(*args, **kwargs) if own is None else own
