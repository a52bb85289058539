"""Batch size, epochs, early stopping and averaging where the user says "auto".

All depend on the number of distinct rows alone, so that neither the order of rows nor copies of
them change a fit. ``docs/defaults.md`` has the measurements.
"""

import math

# With fewer distinct rows a share of them is too few to tell when to stop.
_FEWEST_ROWS_TO_HOLD_OUT = 60
_BATCHES_PER_EPOCH = 32
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 256
# Epochs, and limits on the number of updates in all of them.
_EPOCHS, _FEWEST_UPDATES = 20, 500
_TIMES_UNTIL_STOPPED, _MOST_UPDATES = 5, 100_000
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


def resolve_epochs(max_epochs: int | str, n_batches: int, early_stopping: bool) -> int:
    """Number of epochs of ``n_batches`` updates.

    "auto" is 20 epochs, or 500 updates if that is more, since rows that are merged into few would
    get too few updates. With early stopping, which ends training by itself, it is five times as
    many, but to limit the time that very many rows take, no more than 100,000 updates where that
    is above 20 epochs.
    """
    if max_epochs != "auto":
        return int(max_epochs)
    at_least = max(_EPOCHS, math.ceil(_FEWEST_UPDATES / n_batches))
    if not early_stopping:
        return at_least
    return max(at_least, min(_TIMES_UNTIL_STOPPED * at_least, _MOST_UPDATES // n_batches))


def resolve_ema_decay(ema_decay: float | str, early_stopping: bool) -> float:
    """Decay of the average of weights; 0 is no average.

    "auto" averages the last hundred updates where validation rows tell when to stop.
    """
    if ema_decay == "auto":
        return _EMA_DECAY if early_stopping else 0.0
    return float(ema_decay)


def resolve_early_stopping(early_stopping: bool | str, n_rows: int) -> bool:
    """Whether to hold rows out; "auto" if there are at least 60 distinct rows."""
    if early_stopping == "auto":
        return n_rows >= _FEWEST_ROWS_TO_HOLD_OUT
    return bool(early_stopping)
