"""When a training ends: early stopping, and losses that are not finite."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.history import History

from skweight.training.net import WeightedNet


class Patience:
    """Count the epochs without improvement of the validation loss.

    The lowest loss is kept, not the last one that was lower by ``tol``.
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
    """The mean losses of epochs, each recorded with whether it is the lowest so far."""

    def __init__(self) -> None:
        self._lowest: dict[str, float] = {}

    def record(self, history: History, prefix: str, loss: float) -> None:
        """Record ``prefix_loss`` of the current epoch."""
        lowest = self._lowest.get(prefix, math.inf)
        history.record(f"{prefix}_loss", loss)
        history.record(f"{prefix}_loss_best", loss < lowest)
        self._lowest[prefix] = min(loss, lowest)


def check_finite_losses(epoch: Mapping[str, Any], lr: float) -> None:
    """Refuse an epoch whose loss is NaN or infinite."""
    for name in ("train_loss", "valid_loss"):
        if not math.isfinite(epoch.get(name, 0.0)):
            raise divergence_error(f"{name} became {epoch[name]}", epoch["epoch"], lr)


class EarlyStopping(Callback):  # type: ignore[misc]
    """End training when the weighted validation loss stalls, and restore its best state.

    Unlike skorch's, it keeps the lowest loss, not the last one that was lower by ``tol``.
    """

    def __init__(self, patience: int, tol: float) -> None:
        self.patience = patience
        self.tol = tol

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start without a best state."""
        self.best_loss_, self.best_state_, self.misses_ = math.inf, None, 0

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Count epochs without improvement, keep the state of the best one."""
        loss = net.history[-1, "valid_loss"]
        self.misses_ = 0 if loss < self.best_loss_ - self.tol else self.misses_ + 1
        if loss < self.best_loss_:
            self.best_loss_ = loss
            self.best_state_ = copy.deepcopy(net.module_.state_dict())
        if self.misses_ == self.patience:
            raise KeyboardInterrupt

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best state and let go of it."""
        if self.best_state_ is not None:
            net.module_.load_state_dict(self.best_state_)
        self.best_state_ = None


class FiniteLoss(Callback):  # type: ignore[misc]
    """Stop with an error in the first epoch whose loss is NaN or infinite."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check the losses that the epoch recorded."""
        check_finite_losses(net.history[-1], net.lr)


def _check_finite(net: WeightedNet) -> None:
    """Refuse a network whose last step led out of the finite numbers."""
    if not all(bool(parameter.isfinite().all()) for parameter in net.module_.parameters()):
        what = "The network's parameters became NaN or infinite"
        raise divergence_error(what, net.history[-1, "epoch"], net.lr)


def divergence_error(what: str, epoch: int, lr: float) -> ValueError:
    """The error of a training that left the finite numbers."""
    return ValueError(f"{what} in epoch {epoch}. Try a smaller lr (it was {lr}), or scale X and y.")
