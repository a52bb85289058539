"""What a user sees of trainings: a line for each epoch, or a bar."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from threading import RLock
from typing import Any

import numpy as np

from skweight.training.best_epoch import best_epoch
from skweight.training.observers import EpochEnd, Observer, Reason

_LOSSES = ("train_loss", "valid_loss")
_MEANING = "train_loss is the mean over the batches of an epoch, each before its update"
_MEANING_OF_VALID = "valid_loss that of the network after the epoch, on rows held out"
_BAR = "{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]"
# What a history has beside losses and the values of a user's callbacks.
_NO_VALUES = ("epoch", "dur")
_ENDINGS: Mapping[Reason, str] = {
    "early_stopping": "stopped at {}",
    "max_epochs": "reached max_epochs at {}",
    "callback": "stopped by a callback at {}",
    "user": "stopped by the user in {}",
    "error": "failed in {}",
}


class _Endings:
    """How the trainings of a fit ended, in a sentence that is printed last."""

    def __init__(self, n_trainings: int) -> None:
        self.n_trainings = n_trainings
        self._ended: list[tuple[Any, Reason]] = []
        self._sentence = ""

    def epoch_began(self, keys: Sequence[Hashable]) -> None:
        """Show nothing new."""

    def training_ended(self, key: Hashable, net: Any, reason: Reason) -> None:
        """Make the sentence now, since a net that is handed out has no validation rows."""
        self._ended.append((net, reason))
        self._sentence = ending(self._ended, self.n_trainings)

    def close(self) -> None:
        """Print the sentence; none if the fit fails."""
        if self._sentence:
            print(self._sentence, flush=True)


class EpochLines(_Endings):
    """Print a line for each epoch, and how the training ended.

    Of networks that are trained together, lines show means. ``n_trainings`` is their number, and
    ``is_partial`` says that a training is one call of ``partial_fit``.
    """

    def __init__(self, n_trainings: int, is_partial: bool = False) -> None:
        super().__init__(n_trainings)
        self.is_partial = is_partial
        self._has_begun = False
        self._network = ""  # that of the last line, if it was trained alone

    def epoch_ended(self, epochs: Sequence[EpochEnd]) -> None:
        """Print the losses, or their means."""
        nets = [end.net for end in epochs]
        if not self._has_begun and len(nets[0].history) == 1:
            has_valid = "valid_loss" in nets[0].history[-1]
            print(f"{_MEANING}; {_MEANING_OF_VALID}" if has_valid else _MEANING)
        self._has_begun = True
        self._network = "" if epochs[0].in_stack else _which(epochs[0], self.n_trainings)
        networks = _networks(epochs, self.n_trainings, self.is_partial)
        print(f"{networks}: {_values(nets)}", flush=True)

    def training_ended(self, key: Hashable, net: Any, reason: Reason) -> None:
        """Print how the training ended if the next one begins now."""
        if self.is_partial and reason == "max_epochs":
            return
        super().training_ended(key, net, reason)
        if self._network:
            print(f"{self._network}{ending([(net, reason)], 1)}", flush=True)


class TrainingBar(_Endings):
    """A bar over the epochs of the networks of a fit, with losses and the time that is left.

    It comes to its end with the training, however many epochs of ``max_epochs`` that took. The time
    left is that of all these epochs.
    """

    def __init__(self, n_trainings: int) -> None:
        super().__init__(n_trainings)
        self._bar = Bar(n_trainings)

    def epoch_ended(self, epochs: Sequence[EpochEnd]) -> None:
        """Move the bar, and show the losses or their means."""
        nets = [end.net for end in epochs]
        text = f"{_networks(epochs, self.n_trainings)}, {_values(nets)}"
        for end in epochs:
            self._bar.move(end.key, _share(end.net), text)

    def training_ended(self, key: Hashable, net: Any, reason: Reason) -> None:
        """Move the bar to where it would be after all epochs, unless the user stopped it."""
        super().training_ended(key, net, reason)
        if reason != "user":
            self._bar.move(key, 1.0)

    def close(self) -> None:
        """Leave the bar as it is, and print how the training ended."""
        self._bar.close()
        super().close()


class Bar:
    """A bar of tqdm over things that are done by and by, known by keys.

    With ``what`` it shows how many of them are done.
    """

    def __init__(self, total: int, what: str = "") -> None:
        self.total, self.what = total, what
        self._shares: dict[Hashable, float] = {}
        self._name = self._text = ""
        self._bar: Any = None  # until there is something to show
        self._lock = RLock()  # fits may run in threads

    def of_fit(self, key: Hashable) -> Callable[[int], Observer]:
        """What makes the observer of a fit, one of the things, from the number of its networks."""
        return lambda n_trainings: _FitOnBar(self, key, n_trainings)

    def move(self, key: Hashable, share: float, text: str | None = None) -> None:
        """Show that a share of something is done."""
        with self._lock:
            self._shares[key] = share
            self._text = self._text if text is None else text
            self._show()

    def end(self, keys: Iterable[Hashable]) -> None:
        """Show that things are done."""
        with self._lock:
            self._shares.update(dict.fromkeys(keys, 1.0))
            self._text = ""
            self._show()

    def name(self, name: str) -> None:
        """Show what is done next."""
        with self._lock:
            self._name, self._text = name, ""
            self._show()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()

    def _show(self) -> None:
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.total, bar_format=_BAR)
        n_done = sum(share >= 1 for share in self._shares.values())
        counted = f"{n_done} of {self.total} {self.what}" if self.what else ""
        parts = [part for part in (counted, self._name, self._text) if part]
        self._bar.set_description_str(", ".join(parts), refresh=False)
        self._bar.update(sum(self._shares.values()) - self._bar.n)


class _FitOnBar:
    """Move a bar with the epochs of the networks of one fit."""

    def __init__(self, bar: Bar, key: Hashable, n_trainings: int) -> None:
        self.bar, self.key, self.n_trainings = bar, key, n_trainings
        self._shares: dict[Hashable, float] = {}

    def epoch_began(self, keys: Sequence[Hashable]) -> None:
        """Show nothing new."""

    def epoch_ended(self, epochs: Sequence[EpochEnd]) -> None:
        """Show the epoch."""
        self._shares.update({end.key: _share(end.net) for end in epochs})
        self._move(_epoch(epochs[0].net))

    def training_ended(self, key: Hashable, net: Any, reason: Reason) -> None:
        """Count all epochs of a network as done, unless the user stopped it."""
        if reason != "user":
            self._shares[key] = 1.0
            self._move()

    def _move(self, text: str | None = None) -> None:
        self.bar.move(self.key, sum(self._shares.values()) / self.n_trainings, text)


def _share(net: Any) -> float:
    """The share of the epochs of a training that are over."""
    return len(net.history) / int(net.max_epochs)


def ending(ended: Sequence[tuple[Any, Reason]], n_trainings: int) -> str:
    """How trainings ended, in a sentence: ``stopped at epoch 17, best 7 (valid_loss 0.3120)``.

    If the user stops a fit, some of its ``n_trainings`` may not have begun.
    """
    reasons = {reason: [net for net, r in ended if r == reason] for _, reason in ended}
    parts, are_all = [], len(reasons) == 1 and len(ended) == n_trainings
    for reason, nets in reasons.items():
        subject = "" if are_all else f"{len(nets)} of {n_trainings} networks "
        parts.append(subject + _ENDINGS[reason].format(_epochs([len(n.history) for n in nets])))
    nets = [net for net, _ in ended]
    found = [best for net in nets if (best := best_epoch(net)) is not None]
    mean = "mean " if len(nets) > 1 else ""
    if len(found) == len(nets):
        loss = _mean([loss for _, loss in found])
        losses = f", best {_range([epoch for epoch, _ in found])} ({mean}valid_loss {loss:.4f})"
    else:
        why = "no validation rows" if nets[0].train_split is None else "no validated epoch"
        last = [epoch["train_loss"] for net in nets for epoch in _last_trained(net)]
        losses = f" ({mean}train_loss {_mean(last):.4f}, {why})" if last else f" ({why})"
    several = f"{len(nets)} networks: " if len(nets) > 1 and are_all else ""
    return f"{several}{'; '.join(parts)}{losses}"


def _last_trained(net: Any) -> list[Any]:
    return [epoch for epoch in net.history if "train_loss" in epoch][-1:]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _epochs(numbers: Sequence[int]) -> str:
    return f"{'epoch' if min(numbers) == max(numbers) else 'epochs'} {_range(numbers)}"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _networks(epochs: Sequence[EpochEnd], n_trainings: int, is_partial: bool = False) -> str:
    """The epoch, and which of several networks are trained."""
    if is_partial or not epochs[0].in_stack or n_trainings == 1:
        return f"{_which(epochs[0], n_trainings)}{_epoch(epochs[0].net, is_partial)}"
    return f"{_epoch(epochs[0].net)}, {len(epochs)} of {n_trainings} networks"


def _which(end: EpochEnd, n_trainings: int) -> str:
    number = end.key if isinstance(end.key, int) else 0
    return f"network {number + 1} of {n_trainings}, " if n_trainings > 1 else ""


def _epoch(net: Any, is_partial: bool = False) -> str:
    n_epochs = len(net.history)
    if is_partial:
        return f"epoch {n_epochs}"
    return f"epoch {n_epochs:{len(str(net.max_epochs))}} of {net.max_epochs}"


def _values(nets: Sequence[Any]) -> str:
    """The losses of the last epoch and what the user's callbacks recorded, or their means."""
    last = [net.history[-1] for net in nets]
    names = [*_LOSSES, *sorted(name for name in last[0] if _is_value(name, last[0][name]))]
    found = {name: [epoch[name] for epoch in last] for name in names if name in last[0]}
    mean = "mean " if len(nets) > 1 else ""
    best = ""
    if len(nets) == 1 and last[0].get("valid_loss_best"):
        best = " (best)"
    texts = [f"{mean}{name} {_mean(values):.4f}" for name, values in found.items()]
    return ", ".join(texts) + best


def _is_value(name: str, value: Any) -> bool:
    if name in (*_LOSSES, *_NO_VALUES) or name.startswith("event_"):
        return False
    is_number = isinstance(value, (float, np.floating))
    return is_number and not name.endswith(("_best", "_batch_count"))
