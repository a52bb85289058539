"""Digests of rows, which tell whether two fits have the same data."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from skweight.data.inputs import NamedInputs
from skweight.data.rows import RowDataset, gather, rows_at_once


def digests(rows: RowDataset) -> dict[str, str]:
    """Digests of X, y and the weights of rows in their order, and of any offset.

    Numbers that were computed in float64 count as float32: another processor may have rounded them
    differently.
    """
    found = {"X": _digest_of_inputs(rows), "y": _digest([rows.y]), "weights": ""}
    found["weights"] = _digest([rows.row_weight])
    return found if rows.offset is None else {**found, "offset": _digest([rows.offset])}


def _digest_of_inputs(rows: RowDataset) -> str:
    X, parts = rows.X, [rows.X]
    if isinstance(X, NamedInputs):
        parts = [X[name] for name in X.by_name]
    return _digest(block for part in parts for block in _blocks(part, rows.index))


def _blocks(X: Any, index: Tensor) -> Any:
    for positions in torch.split(index, rows_at_once(X, index.device)):
        yield gather(X, positions, index.device)


def _digest(tensors: Any) -> str:
    state = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        values = tensor.float() if tensor.is_floating_point() else tensor
        state.update(values.contiguous().cpu().numpy().tobytes())
    return state.hexdigest()
