"""When a training ends: early stopping, and losses that are not finite.

``Patience``, ``EpochLosses`` and ``check_finite_losses`` serve a net that is trained by itself,
through the callbacks below, and each network of a stack.
"""

import copy
import dis
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.history import History


class StoppedByCallback(Exception):
    """A callback ended the training, which in skorch it does by raising KeyboardInterrupt."""


class TrainingInterrupted(KeyboardInterrupt):
    """The user stopped a fit of ``n_trainings`` networks, of which ``nets`` were begun.

    Each is the network so far; with ``is_best`` the best one so far.
    """

    def __init__(self, nets: Sequence[NeuralNet], is_best: bool, n_trainings: int = 1) -> None:
        n_epochs = max(len(net.history) for net in nets)
        when = f"in epoch {n_epochs}"
        networks = "best network" if is_best else "network as it was"
        if n_trainings > 1:  # a stack counts epochs when they are complete
            when = f"after {n_epochs} epochs"
            networks = "best networks" if is_best and n_epochs else "networks as they were"
            networks += f" of {len(nets)} of {n_trainings} members"
        super().__init__(
            f"The training was stopped {when}. The estimator is fitted with the {networks} so far."
        )
        self.nets = [*nets]

    def __reduce__(self) -> Any:
        """Between processes it is a plain one, without the networks."""
        return KeyboardInterrupt, (str(self),)


def is_from_statement(error: KeyboardInterrupt) -> bool:
    """Whether a ``raise`` statement raised the error, as callbacks do, and not the user's Ctrl-C.

    Python raises that one between two instructions of whatever code is running, also of a callback.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code.co_code
    return code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


class Patience:
    """Count the epochs without improvement of the validation loss.

    ``best_loss`` is the lowest loss so far, even if it improved by less than ``tol``.
    """

    def __init__(self, n_iter_no_change: int, tol: float) -> None:
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.best_loss = math.inf
        self.n_misses = 0

    def update(self, loss: float) -> bool:
        """Take the loss of an epoch; return whether it is the lowest so far."""
        self.n_misses = 0 if loss < self.best_loss - self.tol else self.n_misses + 1
        is_best = loss < self.best_loss
        if is_best:
            self.best_loss = loss
        return is_best

    @property
    def is_over(self) -> bool:
        """Whether training should end."""
        return self.n_misses >= self.n_iter_no_change


class EpochLosses:
    """Record the mean losses of epochs, each with whether it is the lowest so far."""

    def __init__(self) -> None:
        self._lowest: dict[str, float] = {}

    def resume(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Go on after these epochs."""
        for epoch in history:
            for prefix in ("train", "valid"):
                loss = epoch.get(f"{prefix}_loss", math.inf)
                self._lowest[prefix] = min(loss, self._lowest.get(prefix, math.inf))

    def record(self, history: History, prefix: str, loss: float) -> None:
        """Record ``prefix_loss`` and ``prefix_loss_best`` of the current epoch."""
        lowest = self._lowest.get(prefix, math.inf)
        history.record(f"{prefix}_loss", loss)
        history.record(f"{prefix}_loss_best", loss < lowest)
        self._lowest[prefix] = min(loss, lowest)


def check_finite_losses(epoch: Mapping[str, Any], lr: float) -> None:
    """Refuse an epoch whose loss is NaN or infinite."""
    for name in ("train_loss", "valid_loss"):
        if not math.isfinite(epoch.get(name, 0.0)):
            raise _divergence_error(f"{name} became {epoch[name]}", epoch["epoch"], lr)


def check_finite_parameters(net: NeuralNet) -> None:
    """Refuse a trained network whose last step made parameters NaN or infinite."""
    if not all(bool(parameter.isfinite().all()) for parameter in net.module_.parameters()):
        what = "The network's parameters became NaN or infinite"
        raise _divergence_error(what, net.history[-1, "epoch"], net.lr)


def _divergence_error(what: str, epoch: int, lr: float) -> ValueError:
    return ValueError(f"{what} in epoch {epoch}. Try a smaller lr (it was {lr}), or scale X and y.")


class EarlyStopping(Callback):  # type: ignore[misc]
    """End training when the weighted validation loss stalls, and restore the best state."""

    def __init__(self, n_iter_no_change: int, tol: float) -> None:
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start without a best state."""
        self.patience_ = Patience(self.n_iter_no_change, self.tol)
        self.best_state_: dict[str, Any] | None = None
        self.n_kept_ = 0  # epochs until the one whose state is kept

    def state_dict(self) -> dict[str, Any]:
        """What a training that is interrupted needs to go on."""
        patience = {"best_loss": self.patience_.best_loss, "n_misses": self.patience_.n_misses}
        return {"patience": patience, "best_state": self.best_state_, "n_kept": self.n_kept_}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        vars(self.patience_).update(state["patience"])
        self.best_state_, self.n_kept_ = state["best_state"], state["n_kept"]

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep a copy of the best state; end training when the patience is over."""
        if self.patience_.update(net.history[-1, "valid_loss"]):
            self.best_state_ = copy.deepcopy(net.module_.state_dict())
            self.n_kept_ = len(net.history)
        if self.patience_.is_over:
            raise KeyboardInterrupt

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best state and free its copy.

        If the user stopped the training after the best epoch was recorded and before its state was
        copied, the network has that state.
        """
        is_now_best = self.n_kept_ < len(net.history) and net.history[-1].get("valid_loss_best")
        if self.best_state_ is not None and not is_now_best:
            net.module_.load_state_dict(self.best_state_)
        self.best_state_ = None


class FiniteLoss(Callback):  # type: ignore[misc]
    """Stop with an error in the first epoch whose loss is NaN or infinite."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check the losses that the epoch recorded."""
        check_finite_losses(net.history[-1], net.lr)
