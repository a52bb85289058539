"""A history as columns, which take less room in a file than a dict for each epoch."""

from typing import Any

import numpy as np
from skorch.history import History

_NUMBERS = (bool, int, float)  # which come back from an array as they were


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
