"""X and y as an estimator reads them: what a fit learns of the columns of X, and later keeps."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats, Mask, did_you_mean, warn
from skweight.data import (
    BOOLEAN,
    CATEGORY,
    Column,
    ColumnCodes,
    ColumnsAsGiven,
    Encoding,
    Float32Columns,
    NamedInputs,
    XReader,
    find_float32,
    has_named_inputs,
    learn_codes,
    learn_float32,
    row_shape,
    validate_inputs,
    validate_inputs_y,
)
from skweight.estimators.inputs import check_kind_of_X, show_inputs
from skweight.modules import is_mlp, takes_categories
from skweight.weights import DistinctRows, order_categories, pool_categories, sort_rows

# A column of more categories than this that are more than this share of its rows names the rows.
_MANY_CATEGORIES, _NEARLY_UNIQUE = 10_000, 0.5


def validate(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    reset: bool,
    only_known: bool = False,
) -> tuple[Any, Any]:
    """X as training reads it, with rows of the shape of those of ``fit``, and y.

    With ``reset`` the estimator learns how X is encoded. With ``only_known``, y of rows of weight 0
    may be an unknown label or no number.
    """
    check_kind_of_X(estimator, X, reset)
    if has_named_inputs(X):
        X, y = validate_inputs_y(estimator, X, y, sample_weight, only_known=only_known)
    else:
        reader = _fit_reader(estimator) if reset else _reader(estimator, estimator._encoding)
        X, y = reader.read_with_y(X, y, sample_weight, only_known=only_known)
    _check_row_shape(estimator, X, reset)
    return X, y


def validate_to_predict(estimator: Any, X: Any) -> Any:
    """X as prediction reads it, with rows of the shape of those of ``fit``."""
    check_kind_of_X(estimator, X, reset=False)
    X = (
        validate_inputs(X)
        if has_named_inputs(X)
        else _reader(estimator, estimator._encoding).read(X)
    )
    _check_row_shape(estimator, X, reset=False)
    return X


def columns_as_given(estimator: Any, X: Any) -> Any:
    """Checked X as float64 with categories as codes; a dict of arrays for several inputs."""
    check_kind_of_X(estimator, X, reset=False)
    if has_named_inputs(X):
        named = validate_inputs(X)
        _check_row_shape(estimator, named, reset=False)
        return dict(named.by_name)
    found = _reader(estimator, ColumnsAsGiven(estimator._encoding.categories)).read(X)
    _check_row_shape(estimator, found, reset=False)
    return found


def _fit_reader(estimator: Any) -> XReader:
    """A reader that learns how X is encoded."""

    def learn(X: Any, has_weight: Mask | None) -> Encoding:
        encoding: Encoding = _learn_encoding(estimator, X, has_weight)
        estimator._encoding = encoding
        return encoding

    given = estimator.categorical_features
    lists_columns = given is not None and not isinstance(given, str) and len(given) > 0
    return XReader(estimator, True, *_allowed(estimator), lists_columns, learn)


def _reader(estimator: Any, encoding: Encoding) -> XReader:
    """A reader that encodes X in this way."""
    return XReader(
        estimator,
        False,
        *_allowed(estimator),
        has_categories=bool(encoding.categories),
        find_encoding=lambda X, has_weight: encoding,
    )


def _allowed(estimator: Any) -> tuple[bool, bool]:
    """Whether X may have more than two dimensions, and whether NaN is a missing number."""
    return estimator.module is not None, is_mlp(estimator.module)


def _check_row_shape(estimator: Any, X: Any, reset: bool) -> None:
    shape = row_shape(X)
    if reset:
        estimator._row_shape = shape
        if isinstance(X, NamedInputs):
            estimator._encoding = Encoding()  # every input is taken as it is
            show_inputs(estimator)
    elif shape != estimator._row_shape:
        raise ValueError(
            f"X must have rows of shape {estimator._row_shape}, as in fit, got {shape}."
        )


# What a fit learns --------------------------------------------------------------------------


def _learn_encoding(estimator: Any, X: Any, has_weight: Mask | None) -> Encoding:
    """Codes of the categories, in an order to be found later, and the shift of the columns."""
    if not isinstance(X, list):
        found = find_float32(X, has_weight)
        _warn_of_unseen(estimator, found, range(estimator.n_features_in_))
        return Encoding(shift=_usable_shift(estimator, found.shift))
    places = category_places(estimator.categorical_features, X, takes_categories(estimator.module))
    numbers = [place for place in range(len(X)) if place not in places]
    found = learn_float32([X[place] for place in numbers])
    _warn_of_unseen(estimator, found, numbers)
    shift = None
    if found.shift is not None:
        shift = np.zeros(len(X))
        shift[numbers] = found.shift
    is_listed = not isinstance(estimator.categorical_features, str)
    return Encoding(
        {place: learn_codes(X[place], is_listed) for place in places},
        _usable_shift(estimator, shift),
    )


def _warn_of_unseen(estimator: Any, found: Float32Columns, places: Sequence[int]) -> None:
    """Warn of columns whose values differ, but not for any network.

    ``places`` are the positions in X of the columns that were looked at.
    """
    names = column_names(estimator)
    for columns, what, remedy in (
        (
            found.too_small,
            "numbers below 1.2e-38 only, which float32 cannot tell apart",
            "Multiply them by a constant before.",
        ),
        (
            found.too_large,
            "integers above 2**53 that differ too little for float64",
            "Subtract a constant from the integers before.",
        ),
        (
            found.too_close,
            "numbers that differ by little more than the rounding errors of float64",
            "Leave them out, or if the differences count, compute them without the constant part.",
        ),
    ):
        if columns:
            warn(
                f"Columns {[names[places[column]] for column in columns]} of X hold {what}, so the "
                f"network takes each for a constant. {remedy}"
            )


def _usable_shift(estimator: Any, shift: Floats | None) -> Floats | None:
    """What is subtracted from the columns of X; nothing for a network that may not expect it."""
    if shift is None or is_mlp(estimator.module):
        return shift
    names = [name for name, of_column in zip(column_names(estimator), shift) if of_column]
    warn(
        f"Columns {names} of X vary so little, compared with their size, "
        "that float32 makes different values equal. The module gets them as they are: "
        "subtract a constant from them before, or use StandardScaler."
    )
    return None


def column_names(estimator: Any) -> list[Any]:
    """The names of the columns of X, or their positions."""
    names = getattr(estimator, "feature_names_in_", np.arange(estimator.n_features_in_))
    return [*names.tolist()]


def with_weights_in_order(estimator: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the default network, with feature weights by name as a list; 1 for others."""
    given = params.get("feature_weights")
    if given is None or not is_mlp(estimator.module):
        return params
    names = column_names(estimator)
    weights = _as_mapping(given)
    if weights is not None:
        for name in weights:
            _find_name(name, names, "module__feature_weights")
        given = [weights.get(name, 1.0) for name in names]
    every = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(every, str):
        raise TypeError(
            f"module__feature_weights must be a number or hold one for each column, got {every!r}."
        )
    if isinstance(every, (list, tuple)) and len(every) == len(names):
        for name, weight in zip(names, every):
            _check_feature_weight(weight, name)
    return params | {"feature_weights": given}


def _check_feature_weight(weight: Any, name: Any) -> None:
    """Refuse what is no weight of a column."""
    is_scalar = hasattr(weight, "detach") and weight.ndim == 0  # of torch
    is_number = is_scalar or isinstance(weight, (Real, np.bool_))
    if not (is_number and 0 <= float(weight) < float("inf")):
        shown = weight.item() if isinstance(weight, np.generic) else weight
        raise (ValueError if is_number else TypeError)(
            f"module__feature_weights must hold finite numbers >= 0, got {shown!r} for column "
            f"{name!r}."
        )


def _as_mapping(weights: Any) -> Mapping[Any, Any] | None:
    """Weights by name: a dict, or a Series of pandas with names; None if they go by position."""
    if not hasattr(weights, "index") or not hasattr(weights, "items"):
        return weights if isinstance(weights, Mapping) else None
    if [*weights.index] == [*range(len(weights))]:
        return None
    if not weights.index.is_unique:
        twice = weights.index[weights.index.duplicated()][0]
        raise ValueError(
            f"module__feature_weights must name each column once, got {twice!r} more than once."
        )
    return dict(weights.items())


def category_places(given: Any, columns: Sequence[Column], takes_categories: bool) -> list[int]:
    """Positions of the categories among the columns of X.

    ``given`` is the parameter ``categorical_features``. By their dtype, booleans are categories for
    networks that are known to take them, and numbers for others.
    """
    if given is None:
        return []
    if isinstance(given, str):  # "from_dtype"
        roles = (CATEGORY, BOOLEAN) if takes_categories else (CATEGORY,)
        return [place for place, column in enumerate(columns) if column.role in roles]
    wanted = np.asarray(given)
    if wanted.ndim == 1 and len(wanted) and all(isinstance(one, bool) for one in wanted.tolist()):
        wanted = wanted.astype(bool)  # of objects
    if wanted.ndim != 1:
        raise ValueError(
            "categorical_features must be a list of names or positions of columns, or a mask, with "
            f"one dimension, got shape {wanted.shape}."
        )
    names = [column.name for column in columns]
    if wanted.dtype.kind == "b":
        if wanted.shape != (len(names),):
            raise ValueError(
                f"categorical_features must have one entry for each of {len(names)} columns of X "
                f"if it is a mask, got shape {wanted.shape}."
            )
        return [int(place) for place in np.flatnonzero(wanted)]
    if wanted.dtype.kind in "iu":
        listed = wanted.tolist()
        places = [_check_position(position, len(names)) for position in listed]
    else:
        listed = [*given]
        places = [_find_name(name, names, "categorical_features") for name in listed]
    _refuse_twice(listed, places)
    return places


def _refuse_twice(listed: Sequence[Any], places: Sequence[int]) -> None:
    """Refuse entries for the same column, as a mask of integers has them."""
    counts = Counter(places)
    twice = [entry for entry, place in zip(listed, places) if counts[place] > 1]
    if twice:
        hint = "; a mask must hold booleans" if all(entry in (0, 1) for entry in listed) else ""
        raise ValueError(
            f"categorical_features must not name a column twice, got {twice[0]!r} twice{hint}."
        )


def _check_position(position: int, n_columns: int) -> int:
    if not 0 <= position < n_columns:
        raise ValueError(
            f"categorical_features must hold positions from 0 to {n_columns - 1}, because X has "
            f"{n_columns} columns, got {position}."
        )
    return position


def _find_name(name: Any, names: list[Any], parameter: str) -> int:
    if name not in names:
        has_names = all(isinstance(known, str) for known in names)
        expected = f"columns of X, {names}" if has_names else "positions: X has no column names"
        hint = did_you_mean(str(name), names) if has_names else ""
        raise ValueError(f"{parameter} must hold {expected}, got {name!r}.{hint}")
    return names.index(name)


def order_by_rows(estimator: Any, rows: DistinctRows) -> DistinctRows:
    """Number the categories by the rows that have them; return the rows in their new order."""
    return _recode(estimator, rows, order_categories)


def pool_rare(estimator: Any, rows: DistinctRows) -> DistinctRows:
    """Give rare categories the code of unseen ones; return the rows in their new order."""
    before = estimator._encoding.categories
    rows = _recode(estimator, rows, pool_categories)
    for place, column in estimator._encoding.categories.items():
        _warn_of_useless(column, before[place].cardinality - 1, len(rows.mass))
    return rows


def _warn_of_useless(column: ColumnCodes, n_categories: int, n_rows: int) -> None:
    """Warn of a column whose categories are all rare, or nearly as many as the rows."""
    counts = f"{n_categories:,} categories in {n_rows:,} distinct rows"
    if column.cardinality == 1:
        warn(
            f"Column {column.name!r} of X is not used, because each of its categories is rare: "
            f"{counts}. Leave it out, or merge its categories into larger ones."
        )
    elif n_categories > max(_MANY_CATEGORIES, _NEARLY_UNIQUE * n_rows):
        warn(
            f"Column {column.name!r} of X has {counts}. Leave it out if it only identifies rows; "
            "split it into columns if it holds more."
        )


def have_same_codes(one: Any, other: Any) -> bool:
    """Whether two planned estimators have the same codes for the same categories."""
    return bool(one._encoding.categories == other._encoding.categories)


def _recode(
    estimator: Any,
    rows: DistinctRows,
    find_codes: Callable[[DistinctRows, list[int]], list[NDArray[np.int64]]],
) -> DistinctRows:
    """Write new codes into X, which holds no data of the user's, and into the encoding."""
    encoding: Encoding = estimator._encoding
    places = [*encoding.categories]
    if not places:
        return rows
    categories, has_changed = {}, False
    for place, found in zip(places, find_codes(rows, places)):
        # Codes beyond those found are of rows without weight.
        new_codes = np.zeros(encoding.categories[place].cardinality, dtype=np.int64)
        new_codes[: len(found)] = found
        has_changed |= bool((new_codes != np.arange(len(new_codes))).any())
        rows.X[:, place] = new_codes[rows.X[:, place].astype(np.intp)]
        categories[place] = encoding.categories[place].recode(new_codes)
    estimator._encoding = replace(encoding, categories=categories)
    return sort_rows(rows) if has_changed else rows
