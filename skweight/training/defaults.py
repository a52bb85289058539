"""Batch size, epochs, early stopping and averaging where the user says "auto".

All depend on the number of distinct rows alone, so that neither the order of rows nor copies of
them change a fit. ``docs/defaults.md`` has the measurements.
"""

import math

# With fewer distinct rows a share of them is too few to tell when to stop.
_ENOUGH_TO_HOLD_OUT = 60
_BATCHES_OF_AN_EPOCH = 32
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 256
# Epochs, and the updates that they must at least and may at most come to.
_EPOCHS, _FEWEST_UPDATES = 20, 500
_TIMES_UNTIL_STOPPED, _MOST_UPDATES = 5, 100_000
_EMA_DECAY = 0.99


def resolve_batch_size(batch_size: int | str, n_rows: int) -> int:
    """Give "auto" a number: small batches for few rows, so that an epoch has enough updates.

    Parameters
    ----------
    batch_size : int or "auto"
        -1 is all rows at once.
    n_rows : int
        Number of distinct training rows.

    Returns
    -------
    int
        For "auto" a power of two between 32 and 256.
    """
    if batch_size != "auto":
        return n_rows if batch_size == -1 else int(batch_size)
    wanted = min(max(n_rows / _BATCHES_OF_AN_EPOCH, _SMALLEST_BATCH), _LARGEST_BATCH)
    return int(2 ** math.floor(math.log2(wanted)))


def resolve_epochs(max_epochs: int | str, n_batches: int, early_stopping: bool) -> int:
    """Give "auto" a number; rows merged into few would otherwise get too few updates.

    Parameters
    ----------
    max_epochs : int or "auto"
    n_batches : int
        Number of updates in an epoch.
    early_stopping : bool

    Returns
    -------
    int
        For "auto" 20 epochs, or 500 updates if that is more. Early stopping ends training by
        itself: then five times as many, but for the sake of very many rows no more than 100,000
        updates where that is above 20 epochs.
    """
    if max_epochs != "auto":
        return int(max_epochs)
    at_least = max(_EPOCHS, math.ceil(_FEWEST_UPDATES / n_batches))
    if not early_stopping:
        return at_least
    return max(at_least, min(_TIMES_UNTIL_STOPPED * at_least, _MOST_UPDATES // n_batches))


def resolve_ema_decay(ema_decay: float | str, early_stopping: bool) -> float:
    """Give "auto" a number: an average of the last hundred updates where it is looked at.

    Parameters
    ----------
    ema_decay : float or "auto"
    early_stopping : bool

    Returns
    -------
    float
        0 is no average.
    """
    if ema_decay == "auto":
        return _EMA_DECAY if early_stopping else 0.0
    return float(ema_decay)


def resolve_early_stopping(early_stopping: bool | str, n_rows: int) -> bool:
    """Give "auto" a truth value: whether there are rows enough to hold some out.

    Parameters
    ----------
    early_stopping : bool or "auto"
    n_rows : int
        Number of distinct rows.
    """
    if early_stopping == "auto":
        return n_rows >= _ENOUGH_TO_HOLD_OUT
    return bool(early_stopping)
