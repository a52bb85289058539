"""Cells of X that are no numbers: errors that say where they are and what to do about them.

scikit-learn decides what a number is: strings that hold one are converted. Its errors and NumPy's
name neither row nor column, and dates alone become large numbers without an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight.weights import refuse_masked

NUMBERS, BOOLEANS, STRINGS = "numbers", "booleans", "strings"
# What else cells may hold: the classes, and what to do with them.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    STRINGS: (
        (str, bytes),
        "Make them categories by categorical_features, or encode them with OneHotEncoder in a "
        "Pipeline",
    ),
    "durations": (
        (timedelta, np.timedelta64),
        'Divide them by a unit, such as np.timedelta64(1, "D")',
    ),
    "dates": (
        (date, time, np.datetime64),
        "Turn them into numbers, such as days since the first of them: "
        '(dates - dates.min()) / np.timedelta64(1, "D")',
    ),
    "complex numbers": (
        (complex, np.complexfloating),
        "Give real and imaginary parts a column each",
    ),
    "several values in one cell": (
        (Mapping, list, tuple, set, frozenset, np.ndarray, np.void),
        "Give each value a column of its own",
    ),
}
_TIMES = {"M": "dates", "m": "durations"}  # by the kind of their dtype


@contextmanager
def explained_cells(X: Any) -> Iterator[None]:
    """Explain an error of the checks of X by its cells; refuse what would pass these checks."""
    refuse_masked(X, "X")
    _refuse_times(X)
    refuse_unread(X)
    try:
        yield
    except (TypeError, ValueError) as error:
        explanation = _explain(X)
        if not explanation:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        first_line = next(iter(str(error).splitlines()), "")  # others show all of X
        raise kind(f"{explanation} ({first_line.rstrip(':')})") from error


def refuse_unread(X: Any) -> None:
    """Refuse a query of polars, whose rows are not read yet."""
    if hasattr(X, "collect_schema") and not hasattr(X, "shape"):
        raise TypeError(f"X must hold its rows, got a {type(X).__name__}. Pass X.collect().")


def _refuse_times(X: Any) -> None:
    """Refuse arrays of dates and durations: NumPy makes numbers of them."""
    if isinstance(X, np.ndarray):
        found = _TIMES.get(X.dtype.kind)
        if found:
            raise TypeError(f"X holds {found}, got dtype {X.dtype}. {_KINDS[found][1]}.")


def _explain(X: Any) -> str:
    """Which cells of X are no numbers, and what to do; empty if all are."""
    X = X.to_numpy() if hasattr(X, "to_numpy") else X  # a column without a table
    if isinstance(X, np.ndarray):
        return _explain_fields(X) or _explain_cells(np.ndenumerate(X))
    if isinstance(X, (list, tuple)):
        return _explain_rows(X) or _explain_cells(_cells(X))
    if X is None or isinstance(X, (Mapping, str, bytes, set, frozenset, Iterator)):
        hint = " Pass pandas.DataFrame(X)." if isinstance(X, Mapping) else ""
        return f"X must be a table of numbers with rows and columns, got {type(X).__name__}.{hint}"
    return ""


def about_column(name: Any, kind: str, *example: Any) -> str:
    """That a column holds cells of a kind which is of no use, and what to do with them."""
    return _with_remedy(f"Column {name!r} of X holds {kind}", kind, *example)


def _explain_fields(X: NDArray[Any]) -> str:
    if not X.dtype.names:
        return ""
    return (
        f"X must be a table of numbers, got an array with the fields {[*X.dtype.names]}. "
        "Pass numpy.lib.recfunctions.structured_to_unstructured(X)."
    )


def _explain_rows(X: Sequence[Any]) -> str:
    """What is wrong with the rows of a list: dicts, or rows of different lengths."""
    lengths = [*map(_length, X)]
    for number, row in enumerate(X):
        if isinstance(row, Mapping):
            return (
                f"X must have rows of numbers, got a dict in row {number}. Pass "
                "pandas.DataFrame(X)."
            )
        if lengths[number] != lengths[0]:
            first, other = (
                f"{n} values" if n is not None else f"{type(value).__name__} {value!r}"
                for n, value in ((lengths[0], X[0]), (lengths[number], row))
            )
            return (
                f"X must have rows of one length, got {first} in row 0 and {other} in row "
                f"{number}. Give every row the same features."
            )
    return ""


def _length(row: Any) -> int | None:
    """How many values a row has; None of what is no row."""
    is_row = isinstance(row, (list, tuple)) or len(getattr(row, "shape", ())) > 0
    return len(row) if is_row else None


def _cells(X: Sequence[Any]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Places and values of the cells of nested lists; a list beside numbers is a cell."""
    is_nested = all(isinstance(item, (list, tuple, np.ndarray)) for item in X)
    for number, item in enumerate(X):
        if is_nested:
            yield from (((number, *place), value) for place, value in _cells(item))
        else:
            yield (number,), item


def _explain_cells(cells: Iterator[tuple[tuple[int, ...], Any]]) -> str:
    """The first cell that is no number."""
    for place, value in cells:
        if not _is_number(value):
            kind = _kind_of(value)
            names = ("row", "column", *(f"axis {axis}" for axis in range(2, len(place))))
            where = ", ".join(f"{name} {index}" for name, index in zip(names, place))
            return _with_remedy(f"X holds {kind} in {where}", kind, value)
    return ""


def _is_number(value: Any) -> bool:
    """Whether scikit-learn converts a cell to a number, or sees that it is missing."""
    if value is None or type(value).__name__ == "NAType":
        return True
    if isinstance(value, (np.ndarray, np.void)) or np.iscomplexobj(value):
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def is_missing_label(value: Any) -> bool:
    """Whether a cell is missing, or NaT: a missing date among categories, but no missing number."""
    return is_missing(value) or type(value).__name__ == "NaTType"


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN or the missing value of pandas."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, (float, np.floating, Decimal)) and bool(value != value)


def kind_of_cell(value: Any) -> str:
    """What a cell that is not missing holds, in words."""
    if isinstance(value, (bool, np.bool_)):
        return BOOLEANS
    if isinstance(value, int):  # also one that no float holds
        return NUMBERS
    kind = _kind_of(value)
    return NUMBERS if kind not in _KINDS and _is_number(value) else kind


def _kind_of(value: Any) -> str:
    for kind, (classes, _) in _KINDS.items():
        if isinstance(value, classes):
            return kind
    return f"values of type {type(value).__name__}"


def _with_remedy(text: str, kind: str, *example: Any) -> str:
    values = (value.item() if isinstance(value, np.generic) else value for value in example)
    shown = "".join(f", such as {value!r}" for value in values)
    remedy = _KINDS[kind][1] if kind in _KINDS else "Turn them into numbers"
    return f"{text}{shown}. {remedy}."
