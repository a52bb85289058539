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
from narwhals.dependencies import is_into_series
from numpy.typing import NDArray

from skweight.weights import refuse_masked

NUMBERS, BOOLEANS, STRINGS = "numbers", "booleans", "strings"
DATES, DURATIONS, TIMES = "dates", "durations", "times of day"
# What else cells may hold: the classes, and what to do with them.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    STRINGS: (
        (str, bytes),
        "List their columns in categorical_features, or encode them before, with OneHotEncoder in "
        "a Pipeline",
    ),
    DURATIONS: (
        (timedelta, np.timedelta64),
        'Divide them by a unit, such as np.timedelta64(1, "D")',
    ),
    DATES: (
        (date, np.datetime64),
        "Turn them into numbers, such as days since the first of them: "
        '(dates - dates.min()) / np.timedelta64(1, "D")',
    ),
    TIMES: (
        (time,),
        "Turn them into numbers, such as hours since midnight: "
        "[time.hour + time.minute / 60 for time in times]",
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
_BY_DTYPE = {"M": DATES, "m": DURATIONS}
_PANDAS_NA = "missing values of pandas"
_STRINGS_IN_INPUT = "Encode them before, with OrdinalEncoder for example"


@contextmanager
def explained_cells(X: Any, is_input: bool = False) -> Iterator[None]:
    """Explain an error of the checks of X by its cells; refuse what would pass these checks.

    ``is_input`` tells whether X is one of several named inputs, which have no categories.
    """
    refuse_masked(X, "X")
    _refuse_times(X)
    refuse_unread(X)
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        explanation = _explain(X, _STRINGS_IN_INPUT if is_input else _KINDS[STRINGS][1])
        explanation = explanation or _explain_shape(X, is_input)
        if not explanation:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        first_line = next(iter(str(error).splitlines()), "")  # others show all of X
        raise kind(f"{explanation} ({first_line.rstrip(':')})") from error


def refuse_unread(X: Any) -> None:
    """Refuse what becomes a table first: a query of polars, batches of rows of pyarrow."""
    kind = type(X).__name__
    if hasattr(X, "collect_schema") and not hasattr(X, "shape"):
        raise TypeError(f"X must hold its rows, got a {kind}. Pass X.collect().")
    if kind == "RecordBatchReader":
        raise TypeError(f"X must hold its rows, got a {kind}. Pass X.read_all().")
    if kind == "RecordBatch":
        raise TypeError(
            f"X must hold its rows in a table, got a {kind}. Pass pyarrow.Table.from_batches([X])."
        )


def refuse_series(X: Any) -> None:
    """Refuse a row or a column of a DataFrame where a table is expected."""
    if not is_into_series(X):
        return
    row, column = (
        ("X.iloc[[0]]", "X[[name]]")
        if hasattr(X, "iloc")
        else ("X.slice(0, 1)", "X.select([name])")
    )
    raise TypeError(
        f"X must be a table with rows and columns, got a {type(X).__name__}. Of a DataFrame X, "
        f"{row} is a table of one row, and {column} a table of one column."
    )


def _refuse_times(X: Any) -> None:
    """Refuse arrays of dates and durations: NumPy makes numbers of them."""
    if isinstance(X, np.ndarray):
        found = _BY_DTYPE.get(X.dtype.kind)
        if found:
            raise TypeError(f"X holds {found}, got dtype {X.dtype}. {_KINDS[found][1]}.")


def missing_as_nan(X: Any) -> Any:
    """An array of objects with NaN for the missing value of pandas; anything else unchanged."""
    if not (isinstance(X, np.ndarray) and X.dtype == object):
        return X
    is_missing = np.array([_is_pandas_na(cell) for cell in X.flat], dtype=bool).reshape(X.shape)
    return np.where(is_missing, np.nan, X) if is_missing.any() else X


def _is_pandas_na(cell: Any) -> bool:
    return type(cell).__name__ == "NAType"


def _explain(X: Any, of_strings: str) -> str:
    """Which cells of X are no numbers, and what to do; empty if all are."""
    X = X.to_numpy() if hasattr(X, "to_numpy") else X  # a column without a table
    if isinstance(X, np.ndarray):
        return _explain_fields(X) or _explain_cells(np.ndenumerate(X), of_strings)
    if isinstance(X, (list, tuple)):
        return _explain_rows(X) or _explain_cells(_cells(X), of_strings)
    if X is None or isinstance(X, (Mapping, str, bytes, set, frozenset, Iterator)):
        hint = " Pass pandas.DataFrame(X)." if isinstance(X, Mapping) else ""
        return f"X must be a table of numbers with rows and columns, got {type(X).__name__}.{hint}"
    return ""


def _explain_shape(X: Any, is_input: bool) -> str:
    """That X has no rows and columns; empty if it has some. An input may have any dimensions."""
    if not hasattr(X, "shape") and not isinstance(X, (list, tuple)):
        return f"X must have rows and columns, shape (n_samples, n_features), got {X!r}."
    shape = np.shape(X)
    if is_input or (len(shape) > 1 and 0 not in shape[:2]):
        return ""
    hint = " Reshape your data: X.reshape(-1, 1) is one column, X.reshape(1, -1) is one row."
    return (
        f"X must have rows and columns, shape (n_samples, n_features), got shape {shape}."
        f"{hint if len(shape) == 1 else ''}"
    )


def about_column(name: Any, kind: str, example: Any) -> str:
    """That a column holds cells of a kind which is of no use, and what to do with them."""
    return f"Column {name!r} of X holds {kind}{such_as(example)}. {_remedy(kind)}."


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


def _explain_cells(cells: Iterator[tuple[tuple[int, ...], Any]], of_strings: str) -> str:
    """The first cell that is no number."""
    for place, value in cells:
        if not is_number(value):
            kind = _kind_of(value)
            names = ("row", "column", *(f"axis {axis}" for axis in range(2, len(place))))
            where = ", ".join(f"{name} {index}" for name, index in zip(names, place))
            remedy = of_strings if kind == STRINGS else _remedy(kind)
            return f"X holds {kind} in {where}{such_as(value)}. {remedy}."
    return ""


def is_number(value: Any) -> bool:
    """Whether scikit-learn converts a cell to a number, or sees that it is missing."""
    if value is None:
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
    if value is None or _is_pandas_na(value):
        return True
    return isinstance(value, (float, np.floating, Decimal)) and bool(value != value)


def kind_of_cell(value: Any) -> str:
    """What a cell that is not missing holds, in words."""
    if isinstance(value, (bool, np.bool_)):
        return BOOLEANS
    if isinstance(value, int):  # also one that no float holds
        return NUMBERS
    kind = _kind_of(value)
    return NUMBERS if kind not in _KINDS and is_number(value) else kind


def _kind_of(value: Any) -> str:
    for kind, (classes, _) in _KINDS.items():
        if isinstance(value, classes):
            return kind
    return _PANDAS_NA if _is_pandas_na(value) else f"values of type {type(value).__name__}"


def such_as(example: Any) -> str:
    """An example of a cell, to follow its kind; empty for None."""
    if example is None:
        return ""
    return f", such as {(example.item() if isinstance(example, np.generic) else example)!r}"


def _remedy(kind: str) -> str:
    if kind == _PANDAS_NA:
        return "Write numpy.nan instead, or pass a DataFrame"
    return _KINDS[kind][1] if kind in _KINDS else "Turn them into numbers"
