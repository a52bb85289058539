"""The epochs of a fit for the user: what is shown while it runs, and a table afterwards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from skweight.training import (
    EpochLines,
    Observer,
    Training,
    TrainingBar,
    WeightedNet,
    best_epoch,
    watched,
)

MakeObserver = Callable[[int], Observer]
# They make the observers of all fits within a ``with observing(...)``.
_OBSERVERS: ContextVar[tuple[MakeObserver, ...]] = ContextVar("observers", default=())


@contextmanager
def observing(make: MakeObserver) -> Iterator[None]:
    """Tell an observer of each fit in this block; it is made from the number of its networks."""
    token = _OBSERVERS.set((*_OBSERVERS.get(), make))
    try:
        yield
    finally:
        _OBSERVERS.reset(token)


@contextmanager
def shown(verbose: int, trainings: Sequence[Training]) -> Iterator[list[Training]]:
    """The same trainings, which are shown as ``verbose`` says: 1 lines, 2 a bar."""
    found = [*trainings]
    with ExitStack() as stack:
        for make in _OBSERVERS.get():
            found = watched(found, make(len(trainings)))
        if verbose:
            is_partial = trainings[0].is_partial
            has_lines = int(verbose) == 1 or is_partial
            n = len(trainings)
            made = EpochLines(n, is_partial) if has_lines else TrainingBar(n)
            found = watched(found, stack.enter_context(closing(made)))
        yield found


def best_epochs(nets: Sequence[WeightedNet], name: str) -> list[tuple[int, float]]:
    """Number and validation loss of the best epoch of each net; AttributeError without one."""
    found = []
    for number, net in enumerate(nets):
        best = best_epoch(net)
        if best is None:
            of_member = f" (member {number})" if len(nets) > 1 else ""
            raise AttributeError(f"{name} is unavailable{of_member}: {_why_none(net)}")
        found.append(best)
    return found


def _why_none(net: WeightedNet) -> str:
    """Why a net has no best epoch."""
    if net.resume_state is not None:
        return "partial_fit has no validation rows, and the network is that of its last call."
    if any("valid_loss" in epoch for epoch in net.history):
        return "the network is not that of one epoch."
    return (
        "no epoch was validated. It needs rows held out for early stopping: early_stopping=True, "
        "or X_val and y_val."
    )


def history_frame(nets: Sequence[WeightedNet]) -> Any:
    """A pandas DataFrame with a row for each epoch of each net."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            'history_frame needs pandas: pip install "skweight[pandas]". history_ has the same '
            "numbers as a list of dicts."
        ) from error
    rows = [row for number, net in enumerate(nets) for row in _rows(number, net)]
    names = [*dict.fromkeys(name for row in rows for name in row if name != "is_best"), "is_best"]
    first = [name for name in ("member", "epoch", "train_loss", "valid_loss") if name in names]
    others = [name for name in names if name not in first]
    return pd.DataFrame(rows, columns=[*first, *others])


def _rows(number: int, net: WeightedNet) -> list[dict[str, Any]]:
    best = best_epoch(net)
    return [
        {"member": number}
        | {name: value for name, value in epoch.items() if _is_shown(name)}
        | {"is_best": best is not None and epoch["epoch"] == best[0]}
        for epoch in net.history
    ]


def _is_shown(name: str) -> bool:
    return name != "batches" and not name.endswith(("_loss_best", "_batch_count"))


def per_member(values: Sequence[Any]) -> Any:
    """The value of the only member, or an array of those of all."""
    return values[0] if len(values) == 1 else np.array(values)
