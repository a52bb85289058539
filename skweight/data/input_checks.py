"""From the user's dict of arrays to ``NamedInputs``: numbers, each input as float32 or int64."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_array

from skweight._keywords import Mask, warn
from skweight.data.arrays import MappedRows, as_array, holds_integers, is_mapped, slices_of_rows
from skweight.data.cells import explained_cells, missing_as_nan
from skweight.data.inputs import NamedInputs
from skweight.data.shift import find_shift, to_float32
from skweight.data.validation import NUMERIC, check_targets
from skweight.weights import fill_targets_without_weight, rows_with_weight

# Rows are compared as float64, which does not hold every larger integer.
_LARGEST_INTEGER = 2**53


def validate_inputs(X: Mapping[Any, Any]) -> NamedInputs:
    """The user's inputs as float32 and int64: arrays, or ``MappedRows`` of files."""
    return _convert(_read(X), None)


def validate_inputs_y(
    estimator: Any, X: Mapping[Any, Any], y: Any, sample_weight: Any, *, only_known: bool
) -> tuple[NamedInputs, Any]:
    """Inputs as in :func:`validate_inputs`, and y as an array or sparse matrix with as many rows.

    Rows of weight 0 and ``only_known`` are as in :meth:`~skweight.data.XReader.read_with_y`.
    """
    sample_weight = as_array(sample_weight)
    y = fill_targets_without_weight(as_array(y), sample_weight, all_rows=only_known)
    inputs = _read(X)
    y = check_targets(estimator, y, len(inputs))
    has_weight = rows_with_weight(sample_weight, len(inputs))
    for name, values in inputs.by_name.items():
        _warn_of_coarse_columns(name, values, has_weight)
    return _convert(inputs, has_weight), y


def _read(X: Mapping[Any, Any]) -> NamedInputs:
    """The user's inputs as arrays of numbers, all with the same number of rows."""
    names = [*X.keys()]
    if not names:
        raise ValueError("X must hold at least one input, got an empty dict.")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                "X must have strings as names of its inputs, those of the arguments of the "
                f"module's forward, got {name!r}."
            )
    if "row_weight" in names:
        raise ValueError(
            'X must not have an input called "row_weight", as the weights in a batch are called: '
            "give it another name."
        )
    if "sample_weight" in names:
        raise ValueError(
            'X must not have an input called "sample_weight", because the module never sees '
            "weights and the loss would not use it: pass it as fit(X, y, sample_weight=...), and "
            "leave it out of forward."
        )
    inputs = {}
    for name in names:
        with _about(name):
            inputs[name] = _numbers(X[name])
    lengths = {name: len(values) for name, values in inputs.items()}
    if len({*lengths.values()}) > 1:
        raise ValueError(f"X must have inputs with the same number of rows, got {lengths}.")
    return NamedInputs(inputs)


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Say in an error which input it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Input {name!r} of X: {error}") from error


def _numbers(values: Any) -> Any:
    """An input as an array of numbers with rows, of any shape."""
    if sparse.issparse(values):
        raise TypeError("expected a dense array, got a sparse matrix. Pass its toarray().")
    values = as_array(values)
    if is_mapped(values) and values.ndim and values.dtype.kind in "fiub":
        return values
    with explained_cells(values, is_input=True):
        values = missing_as_nan(_as_array(values))
    with explained_cells(values, is_input=True):  # dates are seen in an array
        return check_array(
            values,
            dtype=NUMERIC,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=False,
            input_name="X",
        )


def _as_array(values: Any) -> Any:
    """Lists, and tables and columns of numbers, as arrays: scikit-learn would make floats of them.

    Anything else unchanged.
    """
    is_list = isinstance(values, (list, tuple))
    if not (is_list or hasattr(values, "to_numpy")):
        return values
    if not is_list and holds_integers(values):
        return np.asarray(values, dtype=np.int64)
    array = np.asarray(values)
    return values if array.dtype.kind in "OUS" else array


def _convert(inputs: NamedInputs, has_weight: Mask | None) -> NamedInputs:
    """Arrays as float32 and int64, checked in every row with weight."""
    converted: dict[str, Any] = {}
    for name, values in inputs.by_name.items():
        with _about(name):
            if is_mapped(values):
                converted[name] = _convert_mapped(values, has_weight)
            else:
                converted[name] = _convert_block(values, has_weight)
    return NamedInputs(converted)


def _convert_mapped(values: NDArray[Any], has_weight: Mask | None) -> MappedRows:
    """A file whose rows are converted when they are read; all are checked now."""
    for rows in slices_of_rows(values):
        kept = None if has_weight is None else has_weight[rows]
        _convert_block(values[rows], kept, rows.start)
    return MappedRows(values, dtype=np.float32 if values.dtype.kind == "f" else np.int64)


def _convert_block(
    values: NDArray[Any], has_weight: Mask | None, first_row: int = 0
) -> NDArray[Any]:
    """Floats as float32, integers and booleans as int64; ``first_row`` is for errors."""
    if values.dtype.kind == "f":
        converted: NDArray[Any] = to_float32(values, None)
        is_bad, wanted = ~np.isfinite(converted), "finite numbers, also as float32"
    else:
        converted = np.asarray(values, dtype=np.int64, order="C")
        is_bad, wanted = np.zeros(0, dtype=bool), "integers from -2**53 to 2**53"
        if values.dtype.itemsize == 8:
            is_bad = (values < -_LARGEST_INTEGER) | (values > _LARGEST_INTEGER)
    if is_bad.any():
        is_bad = is_bad.reshape(len(values), -1)
        bad_rows = is_bad.any(axis=1) & (True if has_weight is None else has_weight)
        if bad_rows.any():
            row = int(bad_rows.argmax())
            place = np.unravel_index(is_bad[row].argmax(), values.shape[1:])
            raise ValueError(
                f"expected {wanted}, got {values[row][place]} in row {first_row + row}"
                f"{_place_in_row(place)}."
            )
    return converted


def _place_in_row(place: tuple[Any, ...]) -> str:
    names = ["column"] if len(place) == 1 else [f"axis {axis + 1}" for axis in range(len(place))]
    return "".join(f", {name} {index}" for name, index in zip(names, place))


def _warn_of_coarse_columns(name: str, values: Any, has_weight: Mask | None) -> None:
    """Warn of columns of which float32 makes different values equal."""
    shift = find_shift(values, has_weight) if values.dtype.kind == "f" else None
    if shift is not None:
        warn(
            f"Columns {np.flatnonzero(shift).tolist()} of input {name!r} of X vary so little, "
            "compared with their size, that float32 makes different values equal. Subtract a "
            "constant from them before, or use StandardScaler."
        )
