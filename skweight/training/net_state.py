"""What a file keeps of a net: what prediction and further training need, and the history."""

from typing import Any

import numpy as np
import torch
from skorch.dataset import Dataset
from skorch.history import History

from skweight.data import TensorBatches
from skweight.training.resume import to_cpu
from skweight.training.saved import on_cpu

# Classes that nearly every net has, and a file need not name.
_USUAL = {
    "dataset": Dataset,
    "optimizer": torch.optim.AdamW,
    "iterator_train": TensorBatches,
    "iterator_valid": TensorBatches,
}
# What exists only in a training, or only training needs.
_OF_TRAINING = (
    *("optimizer_", "callbacks", "callbacks_", "fit_state_", "watches"),
    *("unsaved_", "checkpoint_", "interrupted_"),
)
_NUMBERS = (bool, int, float)  # which come back from an array as they were


def state_to_save(net: Any) -> dict[str, Any]:
    """The attributes of a net that a file keeps, with tensors on the CPU."""
    state = dict(vars(net))
    for name in _OF_TRAINING:
        state.pop(name, None)
    for name, usual in _USUAL.items():
        if state.get(name) is usual:
            del state[name]
    if "module_" in state:
        state = {k: v for k, v in state.items() if k not in ("module", "criterion")}  # the same
        state["module_"], state["criterion_"] = map(on_cpu, (net.module_, net.criterion_))
    if "history_" in state:
        state["history_"] = to_columns(net.history_)
    state["resume_state"] = to_cpu(net.resume_state)
    return state | {"callbacks": None, "callbacks_": [], "device": "cpu"}


def saved_state(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a net from :func:`state_to_save`."""
    state = _USUAL | state
    if "module_" in state:
        state |= {"module": state["module_"], "criterion": state["criterion_"]}
    if "history_" in state:
        state["history_"] = from_columns(state["history_"])
    return state


def to_columns(history: History) -> Any:
    """A history as a dict of arrays; as a list where its epochs hold something else."""
    epochs = history.to_list()
    names = [*epochs[0]] if epochs else []
    is_table = len(names) > 1 and all([*epoch] == names for epoch in epochs)
    if not is_table or any(epoch.get("batches") for epoch in epochs):
        return epochs
    columns: dict[str, Any] = {}
    for name in names:
        values = [epoch[name] for epoch in epochs]
        kinds = {*map(type, values)}
        if name == "batches":
            columns[name] = None
        elif len(kinds) == 1 and kinds <= {*_NUMBERS} and _fits(values):
            columns[name] = np.array(values)
        else:
            columns[name] = values
    return columns


def from_columns(columns: Any) -> History:
    """The history that :func:`to_columns` was given."""
    if isinstance(columns, list):
        return History(columns)
    lists = {name: _as_list(column) for name, column in columns.items() if column is not None}
    n_epochs = len(next(iter(lists.values()), []))
    return History(
        {name: [] if column is None else lists[name][i] for name, column in columns.items()}
        for i in range(n_epochs)
    )


def _fits(values: list[Any]) -> bool:
    return not isinstance(values[0], int) or max(map(abs, values)) < 2**63


def _as_list(column: Any) -> list[Any]:
    return [*(column.tolist() if isinstance(column, np.ndarray) else column)]
