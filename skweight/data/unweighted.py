"""Rows of plain arrays, as skorch's own methods and scorers pass them: each has weight 1."""

from typing import Any

import numpy as np
import torch
from scipy import sparse

from skweight.data.arrays import MappedRows, as_array, is_mapped
from skweight.data.device import place
from skweight.data.input_checks import validate_inputs
from skweight.data.inputs import NamedInputs, each_input, has_named_inputs
from skweight.data.rows import RowDataset


def rows_of_arrays(X: Any, y: Any, device: torch.device) -> RowDataset:
    """Rows of X without weights, and with zeros for y if there is none."""
    X = each_input(as_array, X)
    X = validate_inputs(X) if has_named_inputs(X) else X
    n_rows = X.shape[0]
    y = np.zeros(n_rows, dtype=np.int64) if y is None else np.asarray(y)
    if is_mapped(X):
        X = MappedRows(X)
    elif not (sparse.issparse(X) or isinstance(X, NamedInputs)):
        X = np.asarray(X, dtype=np.float32)
    return RowDataset(place(X, device), np.arange(n_rows), y, np.ones(n_rows), device)
