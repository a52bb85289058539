"""Targets that are missing: no class and no number, and allowed only in rows of weight 0."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from skweight.weights.sample_weight import as_numbers, check_sample_weight, refuse_masked

# pandas is not imported for them.
_MISSING_TYPES = ("NAType", "NaTType")


def fill_targets_without_weight(
    y: Any, sample_weight: Any, name: str = "y", *, all_rows: bool = False
) -> Any:
    """Replace missing targets of rows of weight 0 by the target of a row with weight.

    Such a row counts as missing, whatever it holds: a rate of 0 claims in 0 years is NaN.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Of any kind. Missing are None, NaN, infinity, NaT and the missing values of pandas.
    sample_weight : array-like of shape (n_samples,) or None
        Bad weights are left for later checks, unless they may be why a target is refused.
    name : str, default="y"
        What errors call y.
    all_rows : bool, default=False
        Whether to replace the target of every row of weight 0: a label may be unknown, or a target
        no number.

    Returns
    -------
    array-like
        y itself if there is nothing to replace, else a copy of the same kind; objects that are all
        numbers or booleans as an array of these.

    Raises
    ------
    TypeError
        If y is a single value.
    ValueError
        If a target is missing in a row with weight, or weights are bad where targets are missing.
    """
    refuse_masked(y, name)
    values = _as_values(y, name)
    if values is None:
        return y
    missing = missing_rows(values)
    has_weight = rows_with_weight(sample_weight, len(values))
    weightless = np.zeros(len(values), dtype=bool) if has_weight is None else ~has_weight
    if missing.any():
        check_sample_weight(sample_weight, len(values))  # else targets would be blamed for weights
        _refuse_missing(values, missing & ~weightless, name)
    usable = ~missing & ~weightless
    replaced = weightless & (True if all_rows else missing)
    if replaced.any() and usable.any():
        positions = np.where(replaced, usable.argmax(), np.arange(len(values)))
        y, values = take_rows(y, positions), values[positions]
    return _numbers_of_objects(values, y)


def _numbers_of_objects(values: NDArray[Any], y: Any) -> Any:
    """Objects that are all numbers or booleans as an array of these, and else y."""
    has_objects = values.dtype == object and getattr(y, "dtype", values.dtype) == values.dtype
    if not has_objects or not all(isinstance(value, (Real, np.bool_)) for value in values.flat):
        return y
    numbers = np.array(values.tolist())
    return y if numbers.dtype == object else numbers  # integers beyond 64 bits


def n_rows_of(values: Any) -> int | None:
    """How many rows a table, an array or a list has, or each in a dict; None if it has none."""
    if isinstance(values, Mapping) and not hasattr(values, "toarray"):
        return next((n_rows_of(value) for value in values.values()), None)
    shape = getattr(values, "shape", None)
    if shape is None and hasattr(values, "__array__"):
        shape = np.asarray(values).shape
    if shape is not None:
        return int(shape[0]) if shape else None
    is_sequence = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    return len(values) if is_sequence else None


def take_rows(values: Any, positions: NDArray[np.intp]) -> Any:
    """Rows of an array, sparse matrix, list, or column of a DataFrame, as the same kind.

    Of a dict of them, the rows of each, in a dict.
    """
    if isinstance(values, Mapping) and not hasattr(values, "toarray"):  # nor a sparse matrix
        return {name: take_rows(value, positions) for name, value in values.items()}
    if hasattr(values, "iloc"):
        return values.iloc[positions]
    if hasattr(values, "to_pylist"):  # of pyarrow
        return values.take(positions)
    if isinstance(values, (list, tuple)):
        return [values[position] for position in positions]
    return values[positions]


def _as_values(y: Any, name: str) -> NDArray[Any] | None:
    """Y as an array whose missing values can be seen, or None if there is nothing to see.

    Raises TypeError for a single value.
    """
    if y is None or hasattr(y, "toarray"):  # no or sparse y
        return None
    try:
        values = np.asarray(y)
        if values.dtype.kind in "US" and isinstance(y, (list, tuple)):
            values = np.asarray(y, dtype=object)  # else NaN beside strings is the string "nan"
    except ValueError:  # of a ragged list
        return None
    if values.ndim == 0:
        _refuse_single(values.item(), name)
    return values if values.ndim in (1, 2) and values.size else None


def _refuse_single(value: Any, name: str) -> NoReturn:
    is_simple = isinstance(value, (str, bytes, Real))
    got = repr(value) if is_simple else type(value).__name__
    hint = f" Pass the column itself, such as table[{value!r}]." if isinstance(value, str) else ""
    raise TypeError(f"{name} must hold a target for each row of X, got {got}.{hint}")


def missing_rows(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Rows of an array that hold a missing or infinite value."""
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
    elif values.dtype.kind in "mM":
        missing = np.isnat(values)
    elif values.dtype.kind == "O":
        flags = [_is_missing(value) for value in values.flat]
        missing = np.array(flags, dtype=bool).reshape(values.shape)
    else:
        return np.zeros(len(values), dtype=bool)
    return np.asarray(missing.reshape(len(values), -1).any(axis=1))


def _refuse_missing(values: NDArray[Any], missing: NDArray[np.bool_], name: str) -> None:
    """Refuse missing values of these rows."""
    if not missing.any():
        return
    row = int(missing.argmax())
    found = ((place, value) for place, value in np.ndenumerate(values[row]) if _is_missing(value))
    place, value = next(found)
    expected, got = "not be missing", repr(value)
    if isinstance(value, (float, np.floating)):
        got = "NaN"
        if np.isinf(value):
            expected, got = "be finite", "infinity" if value > 0 else "-infinity"
    raise ValueError(
        f"{name} must {expected} in a row with weight, got {got} {name_place((row, *place))}. "
        "Leave such rows out, or give them sample_weight 0."
    )


def name_place(place: tuple[int, ...]) -> str:
    """A place in y, in words."""
    return f"at position {place[0]}" if len(place) == 1 else f"in row {place[0]}, column {place[1]}"


def _is_missing(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return not np.isfinite(value)
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return value is None or type(value).__name__ in _MISSING_TYPES


def rows_with_weight(sample_weight: Any, n_rows: int) -> NDArray[np.bool_] | None:
    """Rows whose weight is not 0; None if these are all, or if weights are not as they should be.

    Bad weights are left for later checks.
    """
    if sample_weight is None:
        return None
    try:
        numbers = as_numbers(sample_weight, "sample_weight")
        if numbers.dtype.kind == "c":
            return None
        weight = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if weight.shape != (n_rows,) or weight.all() or not weight.any():
        return None
    return np.asarray(weight != 0)
