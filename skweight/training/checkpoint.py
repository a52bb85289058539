"""The callback that lets a fit survive the end of its process."""

import copy
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from skorch.callbacks import Callback


class TrainingCheckpoint(Callback):  # type: ignore[misc]
    """Keep a training in a file after its epochs, from which the same fit goes on.

    If the process is killed, run the same script again: the fit reads the file and goes on after
    the last epoch that is in it. On the same machine with the same libraries, its losses,
    parameters and predictions are those of a fit that was never interrupted, bit for bit on a CPU.

    The file holds the network, the optimizer, learning rates, random numbers, the average, early
    stopping with the best network, the history, and what other callbacks have counted. It is
    replaced as a whole: a process that is killed while it writes leaves the file of the epoch
    before. A file that cannot be written ends the fit with an error.

    Parameters
    ----------
    path : str or path-like
        Of the file, in a folder that exists. Each fit needs a file of its own; with several members
        each member has one, ``fit-member-0.pt`` beside ``fit.pt`` and so on.
    every : int, default=1
        Number of epochs after which the file is written. It is also written after the last epoch.

    Notes
    -----
    The file stays when the fit is over. The same fit then takes its result from the file without
    training. With a larger ``max_epochs`` it goes on, unless a callback or early stopping has ended
    it. Delete the file to train anew.

    A file of another fit is refused, with what differs: rows, weights, parameters, or the initial
    values of the network. Code is not compared, such as that of ``forward``.

    ``random_state`` must not be None, since each run would draw other random numbers. ``verbose``
    and ``max_epochs`` may change. ``partial_fit``, searches and :class:`ReplicateEstimator` refuse
    the callback.

    Attributes of other callbacks are kept if they are numbers, texts, tensors, arrays, or lists and
    dicts of those. A callback with other ones needs methods ``state_dict()`` and
    ``load_state_dict(state)``, like an optimizer of torch. What is not kept: attributes of a module
    that are neither parameters nor buffers, and the random states of Python and NumPy.

    The file is read with ``torch.load(path, weights_only=True)``, which runs no code. It holds no
    rows, but a network knows some values of them: see docs/saving.md.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skweight import TrainingCheckpoint, WeightedTorchClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "fit.pt")
    >>> clf = WeightedTorchClassifier(
    ...     max_epochs=5, random_state=0, callbacks=[TrainingCheckpoint(path)]
    ... )
    >>> clf.fit(X, y).n_iter_
    5
    >>> clf.set_params(max_epochs=8).fit(X, y).n_iter_  # goes on after epoch 5
    8
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = path
        self.every = every

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Refuse nets of other libraries, which would not be kept."""
        if not hasattr(net, "checkpoint_"):
            raise TypeError(
                "TrainingCheckpoint must be among the callbacks of a WeightedTorchClassifier or "
                f"WeightedTorchRegressor, got a {type(net).__name__}."
            )

    def _checked_path(self) -> Path:
        """The path of the file; wrong parameters are refused."""
        if not isinstance(self.path, (str, os.PathLike)):
            raise TypeError(
                "callbacks: TrainingCheckpoint must have a str or path-like object as path, got "
                f"{type(self.path).__name__}."
            )
        path = Path(os.fsdecode(self.path))
        if path.is_dir() or not path.parent.is_dir():
            raise ValueError(
                "callbacks: TrainingCheckpoint must have the path of a file in a folder that "
                f"exists, got {os.fsdecode(self.path)!r}."
            )
        is_integer = isinstance(self.every, Integral) and not isinstance(self.every, bool)
        if not is_integer or self.every < 1:
            raise ValueError(
                "callbacks: TrainingCheckpoint must have an integer >= 1 as every, got "
                f"{self.every!r}."
            )
        return path


def find_checkpoint(callbacks: Any) -> TrainingCheckpoint | None:
    """The only checkpoint among callbacks, which may be pairs with names."""
    found = [_without_name(item) for item in callbacks or [] if _is_checkpoint(item)]
    if len(found) > 1:
        raise ValueError("callbacks: there must be one TrainingCheckpoint at most, got several.")
    if found and isinstance(found[0], type):
        raise TypeError(
            "callbacks: TrainingCheckpoint needs a path, as in TrainingCheckpoint('fit.pt'), got "
            "the class."
        )
    return found[0] if found else None


def refuse_checkpoint(callbacks: Any, reason: str) -> None:
    """Refuse a checkpoint where no fit could go on from its file."""
    if find_checkpoint(callbacks) is not None:
        raise ValueError(f"callbacks: TrainingCheckpoint {reason}")


def callbacks_of_member(callbacks: Sequence[Any] | None, number: int) -> list[Any] | None:
    """The callbacks of one of several members, with a file of its own."""
    if find_checkpoint(callbacks) is None or callbacks is None:
        return None if callbacks is None else [*callbacks]
    return [_for_member(item, number) if _is_checkpoint(item) else item for item in callbacks]


def _for_member(item: Any, number: int) -> Any:
    checkpoint = copy.copy(_without_name(item))
    path = checkpoint._checked_path()
    checkpoint.path = path.with_name(f"{path.stem}-member-{number}{path.suffix}")
    return (item[0], checkpoint) if isinstance(item, tuple) else checkpoint


def _is_checkpoint(item: Any) -> bool:
    callback = _without_name(item)
    kind = callback if isinstance(callback, type) else type(callback)
    return issubclass(kind, TrainingCheckpoint)


def _without_name(item: Any) -> Any:
    return item[1] if isinstance(item, tuple) else item
