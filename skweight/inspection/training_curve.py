"""The losses of the epochs of a fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skweight._keywords import Floats, check_flag
from skweight.inspection.plotting import BLUE, GREY, RED, last_step, one_axes, tidy
from skweight.weights import n_rows_of


class TrainingCurveDisplay:
    """Weighted training and validation losses by epoch, with the best epoch.

    Use :meth:`from_estimator`. The validation loss may be the lower one, since the two are not
    measured alike: the training loss is the mean over the batches of the epoch, each before its
    update and with dropout; the validation loss is that of the network at the end of the epoch, or
    of its moving average.

    Parameters
    ----------
    train_loss : list of ndarray of shape (n_epochs,)
        Training losses of each member; numbers of epochs may differ.
    valid_loss : list of ndarray of shape (n_epochs,), default=None
        Validation losses of each member; None if there were no validation rows.
    is_averaged : bool, default=True
        Whether the validation loss is that of a moving average of the network, for the legend.

    Attributes
    ----------
    best_epoch : list of int
        The first epoch with the lowest validation loss, counted from 1, of each member; empty
        without validation losses.
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure that holds it.
    train_lines_, valid_lines_ : list of matplotlib Line2D
        One for each member; ``valid_lines_`` is empty without validation losses.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skweight import WeightedTorchClassifier
    >>> from skweight.inspection import TrainingCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = WeightedTorchClassifier(max_epochs=5, n_members=1, early_stopping=True).fit(X, y)
    >>> display = TrainingCurveDisplay.from_estimator(clf)
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    def __init__(
        self,
        train_loss: Sequence[ArrayLike],
        valid_loss: Sequence[ArrayLike] | None = None,
        *,
        is_averaged: bool = True,
    ) -> None:
        self.train_loss = _as_losses(train_loss, "train_loss")
        self.valid_loss = None if valid_loss is None else _as_losses(valid_loss, "valid_loss")
        if self.valid_loss is not None:
            _check_alike(self.valid_loss, self.train_loss)
        self.is_averaged = check_flag(is_averaged, "is_averaged")

    @property
    def best_epoch(self) -> list[int]:
        """The first epoch with the lowest validation loss of each member."""
        return [int(np.argmin(losses)) + 1 for losses in self.valid_loss or []]

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> "TrainingCurveDisplay":
        """Draw the epochs of a fitted estimator.

        Parameters
        ----------
        estimator : WeightedTorchClassifier or WeightedTorchRegressor
            Fitted; or a pipeline or a search that ends with one. Of a fit that was interrupted, the
            finished epochs are drawn.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If estimator is not as described, or finished no epoch.
        """
        histories = _finished_epochs(last_step(estimator))
        train = [[epoch["train_loss"] for epoch in history] for history in histories]
        has_valid = all("valid_loss" in epoch for history in histories for epoch in history)
        valid = (
            [[epoch["valid_loss"] for epoch in history] for history in histories]
            if has_valid
            else None
        )
        is_averaged = bool(last_step(estimator).nets_[0].ema_decay)
        return cls(train, valid, is_averaged=is_averaged).plot(ax)

    def plot(self, ax: Any = None) -> "TrainingCurveDisplay":
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TrainingCurveDisplay
            This display, with ``ax_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If ax is not as described.
        """
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        one = len(self.train_loss) == 1
        width, alpha = (1.8, 1.0) if one else (1.1, 0.7)
        style: dict[str, Any] = {"linewidth": width, "alpha": alpha}
        self.train_lines_ = self._draw(self.train_loss, color=BLUE, linestyle="--", **style)
        self.valid_lines_ = self._draw(self.valid_loss or [], color=RED, linestyle="-", **style)
        self.train_lines_[0].set_label("training: mean over batches, before each update")
        if self.valid_lines_:
            of = "averaged network" if self.is_averaged else "network"
            self.valid_lines_[0].set_label(f"validation: {of} after the epoch")
            self._mark_best(one)
        self.ax_.set(xlabel="epoch", ylabel="weighted mean loss")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.legend(frameon=False, fontsize="small")
        tidy(self.ax_)
        return self

    def _draw(self, losses: Sequence[Floats], **style: Any) -> list[Any]:
        marker = "o" if max(map(len, losses), default=0) == 1 else ""
        return [
            self.ax_.plot(np.arange(len(values)) + 1, values, marker=marker, **style)[0]
            for values in losses
        ]

    def _mark_best(self, one: bool) -> None:
        """A point at the best epoch of each member; for one network also a line and its loss."""
        best = self.best_epoch
        lowest = [losses[epoch - 1] for losses, epoch in zip(self.valid_loss or [], best)]
        label = f"best epoch {best[0]}: {lowest[0]:.4g}" if one else "best epoch of each member"
        self.ax_.plot(best, lowest, "o", color=RED, markeredgecolor="black", label=label)
        if one:
            self.ax_.axvline(best[0], color=GREY, linewidth=0.8, linestyle=":")


def _finished_epochs(estimator: Any) -> list[list[Any]]:
    """Epochs by member, without one in which the fit was stopped."""
    found = [[epoch for epoch in net.history if "train_loss" in epoch] for net in estimator.nets_]
    if not any(found):
        raise ValueError(
            "estimator must have finished an epoch, got a fit that was stopped in its first one."
        )
    return [epochs for epochs in found if epochs]


def _as_losses(losses: Any, name: str) -> list[Floats]:
    """An array for each member."""
    expected = f"{name} must hold an array of shape (n_epochs,) for each member"
    if not n_rows_of(losses):
        raise ValueError(f"{expected}, got {losses!r}.")
    try:
        found = [np.asarray(of_member, dtype=np.float64) for of_member in losses]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold numbers: {error}.") from error
    for of_member in found:
        if of_member.ndim != 1 or not len(of_member):
            raise ValueError(f"{expected}, got shape {of_member.shape}.")
    return found


def _check_alike(valid_loss: list[Floats], train_loss: list[Floats]) -> None:
    """Refuse other numbers of members or epochs."""
    if len(valid_loss) != len(train_loss):
        raise ValueError(
            f"valid_loss must hold one array for each of {len(train_loss)} members, got "
            f"{len(valid_loss)}."
        )
    n_valid, n_train = [*map(len, valid_loss)], [*map(len, train_loss)]
    if n_valid != n_train:
        raise ValueError(
            f"valid_loss must hold as many epochs as train_loss, {n_train}, got {n_valid}."
        )
