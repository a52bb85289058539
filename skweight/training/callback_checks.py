"""Callbacks that would do nothing, or fail after an epoch, are refused before the training.

skorch leaves out a score of validation rows where there are none, and looks for what a callback
monitors when the first epoch is over. What is recorded is known before.
"""

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EpochScoring,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
    WandbLogger,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skweight._keywords import did_you_mean

_SCORES = (EpochScoring, BatchScoring, PassthroughScoring)
_OF_VALIDATION = {"valid_loss", "valid_loss_best", "valid_batch_count", "valid_batch_size"}
_OF_EPOCHS = {"epoch", "dur", "train_loss", "train_loss_best", "train_batch_count"}
_OF_BATCHES = {"train_loss", "train_batch_size"}
_SHOWN_BY_DEFAULT = ["train_loss", "valid_loss"]  # by skorch's ProgressBar
_WAYS_TO_VALIDATE = "pass early_stopping=True, or X_val and y_val to fit"
# What skorch's classifiers record unless they are told not to.
_ACCURACY = "EpochScoring('accuracy', name='valid_acc', lower_is_better=False)"


def check_callbacks(net: NeuralNet) -> None:
    """Refuse callbacks that need skorch's dataset, or read or score what this fit does not have."""
    has_valid_rows = net.train_split is not None
    callbacks = [(name, callback) for name, callback in net.callbacks_]
    for number, (name, callback) in enumerate(callbacks):
        _refuse_unsupported(name, callback)
        if not has_valid_rows:
            _refuse_without_validation(name, callback)
        if isinstance(callback, PrintLog) and callback.sink is print and not net.verbose:
            raise ValueError(
                f"callbacks: {name} prints nothing with verbose=0: pass verbose=1, or a sink "
                "other than print."
            )
        _check_names(name, callback, callbacks[:number], callbacks[number:], has_valid_rows)


def refuse_files_of_members(callbacks: Any) -> None:
    """Refuse callbacks that save and load files, which all members would share."""
    for item in callbacks or []:
        callback = item[1] if isinstance(item, tuple) else item
        kind = callback if isinstance(callback, type) else type(callback)
        if issubclass(kind, (Checkpoint, TrainEndCheckpoint, LoadInitState)):
            raise ValueError(
                f"callbacks: {kind.__name__} must be used with n_members=1, because all members "
                "would use the same files."
            )


def _refuse_unsupported(name: str, callback: Any) -> None:
    if isinstance(callback, InputShapeSetter):
        raise ValueError(
            f"callbacks: {name} is not supported, because the network is made before "
            "callbacks are called. It is made by module(n_features, n_outputs, **module__), "
            "with the number of columns of X."
        )
    if isinstance(callback, EpochScoring) and not callback.use_caching:
        raise ValueError(
            f"callbacks: {name} must have use_caching=True, got False: "
            "without caching it needs a skorch Dataset, which this net does not use."
        )


def _refuse_without_validation(name: str, callback: Any) -> None:
    """Refuse what skorch leaves out, or fails at, where there are no validation rows."""
    if isinstance(callback, _SCORES) and not callback.on_train and not _has_own_rows(callback):
        raise ValueError(
            f"callbacks: {name} scores validation rows, and this fit has none: "
            f"{_WAYS_TO_VALIDATE}, or score the training rows with on_train=True."
        )
    if isinstance(callback, WandbLogger) and callback.save_model:
        raise ValueError(
            f"callbacks: {name} saves the network with the lowest 'valid_loss', which is recorded "
            f"with validation rows only: {_WAYS_TO_VALIDATE}, or pass save_model=False to it."
        )


def _has_own_rows(callback: Any) -> bool:
    """Whether a class of the user's says itself what is scored."""
    kind = type(callback)
    known = next(known for known in _SCORES if isinstance(callback, known))
    methods = ("on_epoch_end", "on_batch_end", "get_test_data")
    return any(getattr(kind, name, None) is not getattr(known, name, None) for name in methods)


# Names in the history ----------------------------------------------------------------------


def _check_names(
    name: str, callback: Any, before: list[Any], others: list[Any], has_valid_rows: bool
) -> None:
    """Refuse a callback that reads a name of the history that is not recorded before it."""
    record, names = _names_read(callback, has_valid_rows)
    # What is recorded of batches is there when an epoch ends, whoever recorded it.
    seen = [*before, *others] if record == "batches" else before
    recorded = _recorded(seen, record, has_valid_rows)
    for monitor in names:
        if monitor in recorded:
            continue
        if monitor in _OF_VALIDATION and not has_valid_rows:
            raise ValueError(
                f"callbacks: {name} monitors {monitor!r}, which is recorded with validation rows "
                f"only: {_WAYS_TO_VALIDATE}, or let it monitor 'train_loss'."
            )
        if not any(_may_record_anything(other) for _, other in (*before, *others)):
            raise _not_recorded(name, monitor, recorded, record, others)


def _names_read(callback: Any, has_valid_rows: bool) -> tuple[str, list[str]]:
    """The record of the history that a callback reads, and the names that it looks for there.

    A record is that of "epochs", of "batches", or of "training batches" at their end.
    """
    if isinstance(callback, PassthroughScoring):
        return "batches", [callback.name]
    if isinstance(callback, ProgressBar):
        shown = [*callback.postfix_keys]
        is_default = shown == _SHOWN_BY_DEFAULT and not has_valid_rows
        return "batches", shown[:1] if is_default else shown
    monitor = getattr(callback, "monitor", None)
    if not isinstance(monitor, str):
        return "epochs", []
    if isinstance(callback, LRScheduler):  # only this one of the schedules uses it
        is_plateau = isinstance(callback.policy_, type) and issubclass(
            callback.policy_, ReduceLROnPlateau
        )
        record = "training batches" if callback.step_every == "batch" else "epochs"
        return record, [monitor] if is_plateau else []
    return "epochs", [monitor]


def _recorded(callbacks: list[Any], record: str, has_valid_rows: bool) -> set[str]:
    """Names in a record of the history when these callbacks have been called."""
    names = _OF_EPOCHS if record == "epochs" else _OF_BATCHES
    names = names | (_OF_VALIDATION if has_valid_rows and record != "training batches" else set())
    return names.union(*(_names_recorded(callback, record) for _, callback in callbacks))


def _names_recorded(callback: Any, record: str) -> set[str]:
    """The names that a callback of skorch records there."""
    if isinstance(callback, _SCORES):
        score = str(callback.name if isinstance(callback, PassthroughScoring) else callback.name_)
        if record == "epochs":
            return {score} if callback.lower_is_better is None else {score, f"{score}_best"}
        is_there = callback.on_train or record == "batches"
        return {score} if isinstance(callback, BatchScoring) and is_there else set()
    of_epochs = getattr(callback, "step_every", "epoch") == "epoch"
    event = getattr(callback, "event_name", None)
    return {event} if event is not None and of_epochs == (record == "epochs") else set()


def _may_record_anything(callback: Any) -> bool:
    """Whether a callback is the user's own, which may record any names."""
    return type(callback).__module__.partition(".")[0] not in ("skorch", "skweight")


def _not_recorded(
    name: str, monitor: str, recorded: set[str], record: str, others: list[Any]
) -> ValueError:
    """The error for a name that is not recorded, with what would record it."""
    hint = ""
    later = [other for other, found in others if monitor in _names_recorded(found, record)]
    if later:
        way = f"put it after {later[0]}, which records it"
    elif record != "epochs":
        way = "a BatchScoring records a score of batches"
    elif monitor.removesuffix("_best") == "valid_acc":
        way = f"put {_ACCURACY} before it"
    else:
        way, hint = "put a score with this name before it", did_you_mean(monitor, recorded)
    return ValueError(
        f"callbacks: {name} monitors {monitor!r}, which is not among what is recorded of {record}, "
        f"{sorted(recorded)}: {way}.{hint}"
    )
