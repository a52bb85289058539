"""The training of a stack."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.history import History
from torch import Tensor

from skweight._keywords import unwrap
from skweight.data import TensorBatches
from skweight.losses import weighted_mean
from skweight.stacks.eligibility import (
    _FEWEST,
    _network,
    _of_one_kind,
    _validation_batches,
    check_stackable,
)
from skweight.stacks.steps import StackedBatches, StackedLosses, StackedParameters
from skweight.training import (
    Training,
    WeightAverage,
    WeightedNet,
    divergence_error,
    finish,
    isolated_torch,
    make_net,
    train,
)

# A stack is made anew without those that have stopped when this share of it is still trained.
_STILL_TRAINED = 0.75


@dataclass
class Outcome:
    """The net of a training, or the error that it raised."""

    net: WeightedNet | None = None
    error: Exception | None = None
    stacked: bool = False


def train_together(trainings: Sequence[Training]) -> list[Outcome]:
    """Make trainings of one kind side by side.

    Parameters
    ----------
    trainings : sequence of Training
        With the same options apart from seeds, on rows of the same shape. Each has rows, weights,
        targets, a seed and class offsets of its own.

    Returns
    -------
    list of Outcome
        The net that :func:`~skweight.training.train` would have returned, on a CPU to the bit, or
        the error that it would have raised. Where stacks would be too small to save anything,
        nets are not ``stacked``.

    Raises
    ------
    NotStackable
        If they can only be made one by one, with the reason. Nothing is trained then.
    """
    check_stackable(trainings[0])
    outcomes: list[Outcome | None] = [None] * len(trainings)
    nets: dict[int, WeightedNet] = {}
    for number, training in enumerate(trainings):
        try:
            with isolated_torch(training.options.seed, training.rows.device):
                nets[number] = make_net(training)
        except Exception as error:  # of this one; the others go on
            outcomes[number] = Outcome(error=error)
    for numbers in _of_one_kind(trainings, nets):
        of_kind = [trainings[n] for n in numbers]
        found = _in_a_stack(of_kind, [nets[n] for n in numbers])
        for number, outcome in zip(numbers, found or map(_alone, of_kind)):
            outcomes[number] = outcome
    return outcomes  # type: ignore[return-value]


def _in_a_stack(trainings: list[Training], nets: list[WeightedNet]) -> list[Outcome] | None:
    """Make trainings of one kind side by side, unless that takes longer than one by one."""
    if len(trainings) == 1:
        return None
    with isolated_torch(trainings[0].options.seed, trainings[0].rows.device):
        stack = Stack(trainings, nets)
        pays = stack.network.is_layered or len(trainings) >= _FEWEST[False]
        return stack.train() if pays else None


def _alone(training: Training) -> Outcome:
    try:
        return Outcome(train(training))
    except Exception as error:  # of this one; the others go on
        return Outcome(error=error)


@dataclass
class _Model:
    """One training of a stack: what it has come to."""

    net: WeightedNet
    history: list[dict[str, Any]] = field(default_factory=list)
    lowest: dict[str, float] = field(default_factory=dict)
    best_loss: float = math.inf
    misses: int = 0
    error: Exception | None = None


class Stack:
    """Networks that are trained side by side.

    Parameters
    ----------
    trainings : sequence of Training
    nets : sequence of WeightedNet
        Made for them, untrained; they will hold the trained networks.
    """

    def __init__(self, trainings: Sequence[Training], nets: Sequence[WeightedNet]) -> None:
        lead, self.options = nets[0], trainings[0].options
        self.models = [_Model(net) for net in nets]
        # Which model is at each place of the stack; -1 if it has stopped.
        self.at = list(range(len(nets)))
        self.network = _network(trainings, nets)
        in_keywords = unwrap(lead.optimizer)[1].get("fused", False)
        fused = bool(getattr(lead, "optimizer__fused", in_keywords))
        self.gradients = StackedParameters(self.network, fused)
        args, kwargs = lead.get_params_for_optimizer("optimizer", self.gradients.named)
        self.optimizer = lead.optimizer(*args, **kwargs)
        followed, decay = self.gradients.in_order, lead.ema_decay
        self.average = WeightAverage(followed, decay) if decay else None
        self.losses = StackedLosses([net.criterion_ for net in nets])
        self.batches = StackedBatches(
            [
                TensorBatches(
                    t.rows, net.batch_size, True, t.options.weighting == "sampling", t.options.seed
                )
                for t, net in zip(trainings, nets)
            ]
        )
        valid = [_validation_batches(t.valid_rows) for t in trainings if t.valid_rows is not None]
        self.valid_batches = StackedBatches(valid) if valid else None
        callbacks = [callback for _, callback in lead.callbacks_]
        self.schedules = [c for c in callbacks if isinstance(c, LRScheduler)]
        self.clippings = [c for c in callbacks if isinstance(c, GradientNormClipping)]

    def train(self) -> list[Outcome]:
        """Train all of them to their ends."""
        lead = self.models[0].net
        # Schedules act on the optimizer of a net: for a while that is the one of the stack.
        lead.optimizer_, of_lead = self.optimizer, lead.optimizer_
        for schedule in self.schedules:
            schedule.on_train_begin(lead)
        for _ in range(lead.max_epochs):
            if not self.at:
                break
            self._epoch(lead)
        lead.optimizer_ = of_lead
        for schedule in self.schedules:
            schedule.initialize()
        for place, number in enumerate(self.at):
            if number >= 0 and self.valid_batches is None:
                self.network.copy_to(self.models[number].net.module_, place)
        return [self._outcome(model) for model in self.models]

    def _epoch(self, lead: WeightedNet) -> None:
        start = time.perf_counter()
        lead.history_.new_epoch()
        if self.average is not None:
            self.average.hide()
        losses = {"train": self._train(lead)}
        if self.average is not None:
            self.average.show()
        counts = {"train": len(self.batches)}
        if self.valid_batches is not None:
            losses["valid"] = self._validate(self.valid_batches)
            counts["valid"] = len(self.valid_batches)
        for schedule in self.schedules:
            schedule.on_epoch_end(lead, dataset_train=None, dataset_valid=None)
        recorded = {k: v for k, v in lead.history_[-1].items() if k != "batches"}
        recorded["dur"] = (time.perf_counter() - start) / sum(number >= 0 for number in self.at)
        of_models = zip(*(values.tolist() for values in losses.values()))
        goes_on = [
            self._record(number, place, dict(zip(losses, of_model)), counts, recorded)
            for place, (number, of_model) in enumerate(zip(self.at, of_models))
        ]
        self.at = [number if on else -1 for number, on in zip(self.at, goes_on)]
        if sum(goes_on) <= _STILL_TRAINED * len(goes_on):
            self._keep([place for place, on in enumerate(goes_on) if on])

    def _train(self, lead: WeightedNet) -> Tensor:
        """Make the steps of an epoch; return the mean losses of the models."""
        total = torch.zeros(len(self.at), dtype=torch.float64, device=self.batches.device)
        for X, weight, y in self.batches:
            self.gradients.reset()
            losses = self.losses(self.network(X), y)
            torch.autograd.backward(losses, weight * (1 / weight[0].numel()))
            self.gradients.hand_on(self.clippings)
            self.optimizer.step()
            if self.average is not None:
                self.average.update()
            total += (weight * losses.detach()).flatten(1).mean(1) * X.shape[1]
            for schedule in self.schedules:
                if schedule.step_every == "batch":
                    lead.history_.new_batch()
                schedule.on_batch_end(lead, training=True)
        return total / self.batches.n_rows

    @torch.no_grad()
    def _validate(self, batches: StackedBatches) -> Tensor:
        """Mean losses of the models, rounded as those of one, since best states hang on them."""
        total = torch.zeros(len(self.at), dtype=torch.float64, device="cpu")
        for X, weight, y in batches:
            losses = self.losses(self.network(X), y)
            means = [weighted_mean(*pair) for pair in zip(losses, weight)]
            total += torch.stack(means).cpu().double() * X.shape[1]
        return total / batches.n_rows

    def _record(
        self,
        number: int,
        place: int,
        losses: dict[str, float],
        counts: dict[str, int],
        recorded: dict[str, Any],
    ) -> bool:
        """Keep what an epoch did to a model; return whether its training goes on."""
        if number < 0:
            return False
        model = self.models[number]
        epoch = {"batches": [], **recorded, "epoch": len(model.history) + 1}
        for name, loss in losses.items():
            lowest = model.lowest.get(name, math.inf)
            best, n_batches = f"{name}_loss_best", f"{name}_batch_count"
            epoch |= {f"{name}_loss": loss, best: loss < lowest, n_batches: counts[name]}
            model.lowest[name] = min(loss, lowest)
        model.history.append(epoch)
        for name, loss in losses.items():
            if not math.isfinite(loss):
                model.error = divergence_error(
                    f"{name}_loss became {loss}", epoch["epoch"], model.net.lr
                )
                return False
        return "valid" not in losses or self._watch(model, place, losses["valid"])

    def _watch(self, model: _Model, place: int, loss: float) -> bool:
        """Stop early and keep the best state, as ``training.EarlyStopping`` does for one net."""
        model.misses = 0 if loss < model.best_loss - self.options.tol else model.misses + 1
        if loss < model.best_loss:
            model.best_loss = loss
            self.network.copy_to(model.net.module_, place)
        return model.misses < self.options.n_iter_no_change

    def _keep(self, places: list[int]) -> None:
        """Go on with the models at some places only."""
        self.at = [self.at[place] for place in places]
        if not places:
            return
        positions = torch.tensor(places, device=self.batches.device)
        for parameter, state in self.optimizer.state.items():
            for name, value in state.items():
                stacked = parameter in self.gradients.stacked and value.ndim > 0
                state[name] = value[positions] if stacked else value
        parts = self.network, self.gradients, self.average, self.losses, self.batches
        for part in (*parts, self.valid_batches):
            if part is not None:
                part.keep(positions)
        kept = {*self.gradients.stacked, *chain(*self.gradients.alone.values())}
        for group in self.optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if parameter in kept]
        for parameter in self.optimizer.state.keys() - kept:
            del self.optimizer.state[parameter]

    def _outcome(self, model: _Model) -> Outcome:
        if model.error is not None:
            return Outcome(error=model.error)
        net = model.net
        net.n_beside = len(self.models) - 1
        net.history_ = History(model.history)
        try:
            return Outcome(finish(net), stacked=len(self.models) > 1)
        except ValueError as error:
            return Outcome(error=error)
