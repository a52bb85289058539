"""X of several named inputs: one object that the rest of the package treats like an array.

What the user passes is checked in ``input_checks``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn


class NamedInputs:
    """The inputs of a network by name, of which the same rows are taken together.

    The inputs are arrays, ``MappedRows`` or tensors with as many rows, in the order of their names.
    Like a dict it gives an input by its name, ``X["table"]``, and may be unpacked, ``module(**X)``.
    Like an array or a tensor it has a length, a shape and rows, ``X[:10]``.
    """

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.by_name = {name: inputs[name] for name in sorted(inputs)}

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def keys(self) -> Iterable[str]:
        """Names of the inputs."""
        return self.by_name.keys()

    def __getitem__(self, key: Any) -> Any:
        """Return the input of a name, or the rows at a position, a slice or positions."""
        if isinstance(key, str):
            return self.by_name[key]
        return self.map(lambda values: values[key])

    def map(self, function: Callable[[Any], Any]) -> "NamedInputs":
        """The results of a function of each input."""
        return NamedInputs({name: function(values) for name, values in self.by_name.items()})

    @property
    def row_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each input."""
        return {name: tuple(values.shape[1:]) for name, values in self.by_name.items()}

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows, and of values in a row of all inputs."""
        n_values = sum(int(np.prod(shape)) for shape in self.row_shapes.values())
        return next(iter(self.by_name.values())).shape[0], n_values

    def holds_floats(self, name: str) -> bool:
        """Whether an input is one of floats, and not of integers."""
        return self.by_name[name].dtype in (torch.float32, np.float32)

    @property
    def device(self) -> torch.device:
        """Where the tensors are: the CPU if an input is on disk."""
        found = [getattr(values, "device", "cpu") for values in self.by_name.values()]
        return torch.device(found[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All values of arrays as one matrix of float64, which holds each of them exactly."""
        parts = [values.reshape(len(values), -1) for values in self.by_name.values()]
        return np.concatenate(parts, axis=1, dtype=np.float64)

    # As of tensors --------------------------------------------------------------------------

    def clone(self) -> "NamedInputs":
        """Copy the tensors."""
        return self.map(lambda values: values.clone())

    def copy_(self, other: "NamedInputs") -> None:
        """Copy the values of other tensors into these."""
        for name, values in self.by_name.items():
            values.copy_(other[name])

    def split(self, sizes: list[int]) -> list["NamedInputs"]:
        """Consecutive rows, in parts of these sizes."""
        parts = {name: values.split(sizes) for name, values in self.by_name.items()}
        return [NamedInputs(dict(zip(parts, part))) for part in zip(*parts.values())]


def has_named_inputs(X: Any) -> bool:
    """Whether the user passed a dict of inputs; sparse matrices of the format DOK are dicts too."""
    return isinstance(X, Mapping) and not sparse.issparse(X)


def each_input(function: Callable[[Any], Any], X: Any) -> Any:
    """The result of a function of X, or of each of its inputs."""
    return X.map(function) if isinstance(X, NamedInputs) else function(X)


def call_module(module: nn.Module, X: Any) -> Any:
    """The output of a module, which gets inputs by their names."""
    return module(**X.by_name) if isinstance(X, NamedInputs) else module(X)


def row_shape(X: Any) -> Any:
    """The shape of a row of X, or a dict of those of its inputs."""
    return X.row_shapes if isinstance(X, NamedInputs) else tuple(X.shape[1:])


def describe(X: Tensor | NamedInputs) -> str:
    """What a module was given, for an error."""
    if not isinstance(X, NamedInputs):
        return f"X of shape {tuple(X.shape)}{_range_of_integers(X)}"
    inputs = (
        f"{name!r} {tuple(values.shape)} of {values.dtype}{_range_of_integers(values)}"
        for name, values in X.by_name.items()
    )
    return f"the inputs {', '.join(inputs)}"


def _range_of_integers(X: Tensor) -> str:
    return "" if X.is_floating_point() else f" from {X.min().item()} to {X.max().item()}"
