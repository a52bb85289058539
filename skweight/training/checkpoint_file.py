"""The file of a training: it is written after epochs, and read when the same fit begins again."""

import os
from pathlib import Path
from typing import Any

import torch

from skweight.training.checkpoint import find_checkpoint, refuse_checkpoint
from skweight.training.checkpoint_state import (
    restore_training,
    state_of_training,
    states_of_callbacks,
)
from skweight.training.files import open_whole
from skweight.training.fingerprint import differences, fingerprint
from skweight.training.plan import Training

_FORMAT = "skweight training 1"
_WAYS_OUT = (
    "To go on, fit the same rows with the same parameters; to begin anew, delete the file or pass "
    "another path."
)


class CheckpointFile:
    """The file of one training.

    ``content`` is what it holds when the fit begins, None if there is no file. ``was_stopped``
    tells that a callback, or early stopping, has ended the training in it.
    """

    def __init__(self, path: Path, every: int, fit: dict[str, dict[str, str]]) -> None:
        self.path, self.every, self.fit = path, every, fit
        self.content: dict[str, Any] | None = None
        if path.exists():
            self.content = self._read()
        elif not os.access(path.parent, os.W_OK):
            raise PermissionError(
                f"callbacks: TrainingCheckpoint may not write to the folder {str(path.parent)!r}."
            )
        self.was_stopped = self.content is not None and bool(self.content["was_stopped"])

    def _read(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            try:
                content = torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:  # of many kinds
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                raise self._not_ours(reason) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise self._not_ours("it was written by something else")
        if differing := differences(content["fit"], self.fit):
            raise ValueError(
                f"callbacks: TrainingCheckpoint found the file {str(self.path)!r} of another fit. "
                f"It differs in: {'; '.join(differing)}. {_WAYS_OUT}"
            )
        return content

    def _not_ours(self, reason: str) -> ValueError:
        return ValueError(
            f"callbacks: TrainingCheckpoint cannot read {str(self.path)!r}, which is no file of a "
            f"training or is damaged ({reason}). {_WAYS_OUT}"
        )

    def resume(self, net: Any) -> int:
        """Let a net whose training has begun go on; return the number of epochs that are left."""
        states_of_callbacks(net)  # what cannot be kept is refused before the first epoch
        if self.content is None:
            return int(net.max_epochs)
        n_epochs = len(self.content["training"]["history"])
        if n_epochs > net.max_epochs:
            raise ValueError(
                f"callbacks: TrainingCheckpoint found {n_epochs} epochs in {str(self.path)!r}, so "
                f"max_epochs must be at least {n_epochs}, got {net.max_epochs}."
            )
        n_left = 0 if self.was_stopped else net.max_epochs - n_epochs
        restore_training(net, self.content["training"], goes_on=n_left > 0)
        self.content = None  # its tensors are in the net now
        if net.verbose:
            print(f"continued after epoch {n_epochs}, from {str(self.path)!r}", flush=True)
        return int(n_left)

    def epoch_ended(self, net: Any, is_over: bool) -> None:
        """Write the file, if it is the turn of this epoch or a callback has ended the training."""
        n_epochs = len(net.history)
        if n_epochs % self.every and not is_over and n_epochs < net.max_epochs:
            return
        content = {
            "format": _FORMAT,
            "fit": self.fit,
            "was_stopped": is_over,
            "training": state_of_training(net),
        }
        try:
            with open_whole(self.path, "wb") as file:
                torch.save(content, file)
        except OSError as error:
            raise OSError(
                f"callbacks: TrainingCheckpoint could not write epoch {n_epochs}, so the fit was "
                f"stopped: {error}. The same fit goes on after the epoch of the last file, if "
                "there is one."
            ) from error


def begin_checkpoint(net: Any, training: Training) -> CheckpointFile | None:
    """The file of a training that is about to begin; None if no callback asks for one."""
    found = find_checkpoint(net.callbacks_)
    if found is None:
        return None
    if training.is_partial:
        refuse_checkpoint(
            net.callbacks_,
            "must be used with fit: a call of partial_fit makes one pass over its rows. Save the "
            "estimator between calls, with joblib.dump.",
        )
    return CheckpointFile(found._checked_path(), int(found.every), fingerprint(net, training))
