"""Batch size, epochs, early stopping and averaging where the user says "auto".

All depend on the number of distinct rows alone, so that neither the order of rows nor copies of
them change a fit. ``docs/defaults.md`` has the measurements.
"""

import math

# With fewer distinct rows, those held out are missed more than they help to tell when to stop.
_FEWEST_ROWS_TO_HOLD_OUT = 200
_BATCHES_PER_EPOCH = 32
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 256
# Without rows that tell when to stop, more updates would learn few rows by heart.
_EPOCHS, _FEWEST_UPDATES, _UPDATES_OF_LARGE_BATCHES = 20, 60, 500
_EPOCHS_UNTIL_STOPPED, _UPDATES_UNTIL_STOPPED, _MOST_UPDATES = 100, 2500, 100_000
_EMA_DECAY = 0.99


def resolve_batch_size(batch_size: int | str, n_rows: int) -> int:
    """Number of rows in a batch; -1 is all rows at once.

    "auto" is a power of two between 32 and 256: small for few rows, so that an epoch has enough
    updates.
    """
    if batch_size != "auto":
        return n_rows if batch_size == -1 else int(batch_size)
    wanted = min(max(n_rows / _BATCHES_PER_EPOCH, _SMALLEST_BATCH), _LARGEST_BATCH)
    return int(2 ** math.floor(math.log2(wanted)))


def resolve_epochs(max_epochs: int | str, n_rows: int, n_batches: int, early_stopping: bool) -> int:
    """Number of epochs, each of ``n_batches`` updates for ``n_rows`` distinct rows.

    Without early stopping, "auto" is 20 epochs, or 60 updates if that is more. Large batches get
    as many updates as batches of 32 rows would, up to 500. With early stopping, which ends training
    by itself, it is 100 epochs or 2,500 updates, but to limit the time that very many rows take, no
    more than 100,000 updates where that is above 20 epochs.
    """
    if max_epochs != "auto":
        return int(max_epochs)
    if early_stopping:
        until_stopped = max(_EPOCHS_UNTIL_STOPPED, math.ceil(_UPDATES_UNTIL_STOPPED / n_batches))
        return max(_EPOCHS, min(until_stopped, _MOST_UPDATES // n_batches))
    updates = _EPOCHS * math.ceil(n_rows / _SMALLEST_BATCH)
    updates = min(max(updates, _FEWEST_UPDATES), _UPDATES_OF_LARGE_BATCHES)
    return max(_EPOCHS, math.ceil(updates / n_batches))


def resolve_ema_decay(ema_decay: float | str, early_stopping: bool) -> float:
    """Decay of the average of weights; 0 is no average.

    "auto" averages the last hundred updates where validation rows tell when to stop.
    """
    if ema_decay == "auto":
        return _EMA_DECAY if early_stopping else 0.0
    return float(ema_decay)


def resolve_early_stopping(early_stopping: bool | str, n_rows: int) -> bool:
    """Whether to hold rows out; "auto" if there are at least 200 distinct rows."""
    if early_stopping == "auto":
        return n_rows >= _FEWEST_ROWS_TO_HOLD_OUT
    return bool(early_stopping)
