"""What exists only while a net is trained."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from skorch.callbacks import EpochTimer, GradientNormClipping, LRScheduler, PrintLog
from torch import Tensor

from skweight.data import TensorBatches
from skweight.training.average import WeightAverage
from skweight.training.checkpoint import TrainingCheckpoint
from skweight.training.encoded import EncodedBatches
from skweight.training.recorded_update import RecordedUpdate
from skweight.training.steps import TrainingStep
from skweight.training.stopping import EarlyStopping, EpochLosses, FiniteLoss

# Callbacks that do not look at the optimizer, and those that change nothing but its learning rates
# and the gradients.
_BLIND_CALLBACKS = (FiniteLoss, EarlyStopping, EpochTimer, PrintLog, TrainingCheckpoint)
_KNOWN_CALLBACKS = (*_BLIND_CALLBACKS, GradientNormClipping, LRScheduler)


@dataclass
class Interrupted:
    """What the loop of an interrupted training had at the end of an epoch, for one that goes on.

    ``order`` is the state of the generator of batches, and ``averages`` are those of the
    parameters after ``n_updates``; None without an average.
    """

    order: Tensor
    averages: list[Tensor] | None = None
    n_updates: int = 0


@dataclass
class FitState:
    """What ``fit_loop`` makes and drops.

    ``n_epochs_before`` is the number of epochs of earlier calls of ``partial_fit``,
    ``n_steps`` the number of steps of this fit, and ``is_undisturbed`` tells that no callback is
    the user's own, so that nothing changes the network, its mode or its optimizer between epochs.
    ``is_unwatched`` tells that there are no schedules and no clipping of gradients either.
    ``interrupted`` is what this fit continues, until it does.
    """

    n_epochs_before: int
    is_undisturbed: bool
    is_unwatched: bool
    n_steps: int = 0
    losses: EpochLosses = field(default_factory=EpochLosses)
    batches: TensorBatches | None = None
    step: TrainingStep | None = None
    optimizer: Any = None
    average: WeightAverage | None = None
    recorded_update: RecordedUpdate | None = None
    encoded: EncodedBatches = field(default_factory=EncodedBatches)
    interrupted: Interrupted | None = None

    def begin_pass(self, batches: TensorBatches, max_epochs: int) -> None:
        """Take the batches of an epoch, in the order that an interrupted fit would have drawn."""
        if self.interrupted is not None and self.batches is None:
            batches.generator.set_state(self.interrupted.order)
        self.n_steps, self.batches = max_epochs * len(batches), batches

    def begin_average(self, average: WeightAverage) -> None:
        """Take a new average, or that of an interrupted fit."""
        self.average = average
        if self.interrupted is not None and self.interrupted.averages is not None:
            average.resume(self.interrupted.averages, self.interrupted.n_updates)


def begin_fit(net: Any) -> FitState:
    """The state of a fit of a net, which may continue an interrupted one."""
    kinds = {type(callback) for _, callback in net.callbacks_}
    state = FitState(
        len(net.history) if net.interrupted_ is None else 0,
        is_undisturbed=kinds <= {*_KNOWN_CALLBACKS},
        is_unwatched=kinds <= {*_BLIND_CALLBACKS},
        interrupted=net.interrupted_,
    )
    state.losses.resume(net.history[state.n_epochs_before :])
    return state


def is_blind(callbacks: Iterable[tuple[str, Any]]) -> bool:
    """Whether no callback looks at the optimizer."""
    return all(type(callback) in _BLIND_CALLBACKS for _, callback in callbacks)
