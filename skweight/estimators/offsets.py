"""The user's ``offset``: its checks. Predictions need it if and only if ``fit`` was given one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats, Mask
from skweight.data import as_array, missing_as_nan
from skweight.weights import as_float64, name_place, refuse_masked, rows_with_weight, take_rows

_ROUTING = (
    "A search or cross_validate passes it on to fit and score with sklearn.set_config("
    "enable_metadata_routing=True) and estimator.set_fit_request(offset=True)"
    ".set_score_request(offset=True); cross_val_predict and scorers by name call predict "
    "without an offset."
)


def check_offset(
    offset: Any, n_rows: int, task: Any, name: str = "offset", sample_weight: Any = None
) -> Floats | None:
    """An offset as finite numbers of shape (n_rows, n_offsets); None if there is none.

    Rows of weight 0 may hold anything, also NaN in the result. For two classes, columns of both
    become their difference.
    """
    if offset is None:
        return None
    values = _as_rows(offset, n_rows, task, name)
    has_weight = rows_with_weight(as_array(sample_weight), n_rows)
    numbers = _numbers(values, has_weight, name)
    is_bad = ~np.isfinite(numbers)
    if has_weight is not None:
        numbers[is_bad & ~has_weight.reshape(-1, *[1] * (numbers.ndim - 1))] = np.nan
        is_bad[~has_weight] = False
    if is_bad.any():
        place = tuple(np.argwhere(is_bad)[0].tolist())
        got = f"{numbers[place]} {name_place(place)}"
        raise ValueError(f"{name} must be finite, got {got}. {_remedy(numbers[place], name)}")
    numbers = numbers.reshape(n_rows, -1) + 0.0  # no -0.0
    if numbers.shape[1] > task.n_offsets:
        numbers = numbers[:, 1:] - numbers[:, :1]
    return numbers


def _remedy(bad: float, name: str) -> str:
    what = "log of an exposure of 0" if bad == -np.inf else "row of which it is unknown"
    where = "" if name == "offset" else "_val"
    return f"Leave out a {what}; in fit and score it may have sample_weight{where} 0 instead."


def _as_rows(offset: Any, n_rows: int, task: Any, name: str) -> Any:
    """The offset as an array of the right shape, or as a list of numbers."""
    refuse_masked(offset, name)
    values = as_array(offset)
    if hasattr(values, "toarray"):
        raise TypeError(f"{name} must be dense, got a sparse matrix. Pass its toarray().")
    try:
        values = missing_as_nan(np.asarray(values, dtype=object if _is_list(values) else None))
    except ValueError as error:  # of a ragged list
        raise ValueError(f"{name} must hold numbers: {error}") from error
    shapes = task.shapes_of_offset(n_rows)
    if values.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        hint = " Pass numpy.full(len(X), offset)." if values.ndim == 0 else ""
        raise ValueError(
            f"{name} must have shape {wanted}, {task.meaning_of_offset}, got {values.shape}.{hint}"
        )
    return values


def _is_list(values: Any) -> bool:
    """Whether NumPy would make strings of numbers that are beside strings."""
    return isinstance(values, (list, tuple))


def _numbers(values: NDArray[Any], has_weight: Mask | None, name: str) -> Floats:
    """Numbers of the rows with weight; those of other rows may be NaN."""
    try:
        return as_float64(values, name)
    except (TypeError, ValueError):
        if has_weight is None:
            raise
    numbers = np.full(values.shape, np.nan)
    kept = np.flatnonzero(has_weight)
    numbers[kept] = as_float64(take_rows(values, kept), name)
    return numbers


def as_float32(offset: Floats | None) -> NDArray[np.float32] | None:
    """An offset of rows with weight in the precision of training."""
    if offset is None:
        return None
    with np.errstate(over="ignore"):
        found = offset.astype(np.float32)
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise ValueError(
            "offset must be finite in float32 beside raw scores, whose scale it has, got "
            f"{offset[row, column]}."
        )
    return found


def check_given_as_in_fit(estimator: Any, offset: Any) -> None:
    """Refuse to predict without an offset after a fit with one, or the other way round."""
    name, has_offset = type(estimator).__name__, estimator._task.has_offset
    if has_offset and offset is None:
        raise ValueError(
            f"offset must be given, because this {name} was fitted with one, got None. {_ROUTING}"
        )
    if offset is not None and not has_offset:
        raise ValueError(
            f"offset must be None, because this {name} was fitted without one. Pass one to fit "
            "too, for example zeros."
        )


def check_continued(estimator: Any, offset: Any, what: str) -> None:
    """Refuse a fit that continues an earlier one with an offset and has none, or vice versa."""
    had, has = estimator._task.has_offset, offset is not None
    if had != has:
        words = ("with", "without") if had else ("without", "with")
        raise ValueError(
            f"{what} continues a fit {words[0]} an offset, got a call {words[1]} one. Pass zeros "
            "for rows that have none."
        )


def check_offset_of_validation(data: Any) -> None:
    """Refuse an offset of validation rows alone, and one that is missing."""
    if data.X_val is None and data.offset_val is not None:
        raise ValueError("offset_val needs X_val and y_val, got None for both.")
    if data.X_val is not None and (data.offset is None) != (data.offset_val is None):
        given, missing = (
            ("offset", "offset_val") if data.offset_val is None else ("offset_val", "offset")
        )
        raise ValueError(f"{missing} must be given together with {given} and X_val, got None.")


def as_keyword(offset: Any) -> dict[str, Any]:
    """The keyword for a method of a subclass, which need not know of offsets."""
    return {} if offset is None else {"offset": offset}


def of_weighted_rows(offset: Any, sample_weight: Any) -> Any:
    """The offset of the rows that ``score`` keeps: those whose weight is not 0."""
    values = as_array(offset)
    if values is None or not hasattr(values, "__len__"):
        return values
    has_weight = rows_with_weight(as_array(sample_weight), len(values))
    return values if has_weight is None else take_rows(values, np.flatnonzero(has_weight))
