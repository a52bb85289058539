"""Cells of X that are no numbers: the error says where they are and what to do with them."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skweight import WeightedTorchRegressor

N_ROWS = 6
A = np.arange(N_ROWS) / 2
Y = A * 2
DAYS = pd.date_range("2020-01-01", periods=N_ROWS)


def frame(**named):
    """A table with a column of numbers before the given ones."""
    return pd.DataFrame({"a": A} | named)


ENCODE = r"List their columns in categorical_features, or encode them before"
SUBTRACT = r"Turn them into numbers, such as days since the first of them"
HOURS = r"Turn them into numbers, such as hours since midnight"
DIVIDE = r"Divide them by a unit, such as np.timedelta64\(1, \"D\"\)"
SPREAD = r"Give each value a column of its own"
PARTS = r"Give real and imaginary parts a column each"
SAME = r"Make them one kind"
CITY = [*"xyzxyz"]
FRAMES = {
    "object": (
        frame(o=pd.Series([1, "2", None, "high", 5, 6], dtype=object)),
        rf"Column 'o' of X mixes numbers, such as 1, and strings, such as '2'\. {SAME}",
    ),
    "categories": (
        frame(c=pd.Categorical([1, "x", "y", 1, "x", "y"])),
        rf"Column 'c' of X mixes numbers, such as 1, and strings, such as '[xy]'\. {SAME}",
    ),
    "flags": (
        frame(c=pd.Series([True, "x", "y", True, "x", "y"], dtype=object)),
        rf"Column 'c' of X mixes booleans, such as True, and strings, such as 'x'\. {SAME}",
    ),
    "missing dates": (
        frame(day=pd.Series([pd.NaT, *A[1:]], dtype=object)),
        "Column 'day' of X mixes dates, such as NaT, and numbers, such as",
    ),
    "equal names": (
        pd.DataFrame([[1.0, 2.0]] * N_ROWS, columns=["a", "a"]),
        "X must have a different name for each column, got 'a' more than once. Rename",
    ),
    "dates": (frame(day=DAYS), rf"Column 'day' of X holds dates\. {SUBTRACT}"),
    "only dates": (pd.DataFrame({"day": DAYS}), "Column 'day' of X holds dates"),
    "zone": (frame(day=DAYS.tz_localize("UTC")), "Column 'day' of X holds dates"),
    "objects": (
        frame(day=pd.Series([dt.date(2020, 1, 1)] * N_ROWS, dtype=object)),
        rf"Column 'day' of X holds dates, such as datetime.date\(2020, 1, 1\)\. {SUBTRACT}",
    ),
    "times": (
        frame(t=pd.Series([dt.time(1, 30)] * N_ROWS, dtype=object)),
        rf"Column 't' of X holds times of day, such as datetime.time\(1, 30\)\. {HOURS}",
    ),
    "dates and times": (
        frame(t=pd.Series([dt.date(2020, 1, 1), *[dt.time(1, 30)] * 5], dtype=object)),
        r"Column 't' of X mixes dates, such as .*, and times of day, such as datetime.time",
    ),
    "durations": (frame(age=DAYS - DAYS[0]), rf"Column 'age' of X holds durations\. {DIVIDE}"),
    "periods": (
        frame(p=DAYS.to_period("D")),
        r"Column 'p' of X holds values of type Period, such as .*\. Turn them into numbers",
    ),
    "complex": (frame(z=A * 1j), rf"Column 'z' of X holds complex numbers, such as 0j\. {PARTS}"),
    "dicts": (
        frame(d=[{"x": 1}] * N_ROWS),
        rf"Column 'd' of X holds several .*{{'x': 1}}\. {SPREAD}",
    ),
    "tuples": (frame(t=[(1, 2)] * N_ROWS), rf"Column 't' of X holds several .*\(1, 2\)\. {SPREAD}"),
    "lists": (frame(t=[[1, 2]] * N_ROWS), rf"Column 't' of X holds several .*\[1, 2\]\. {SPREAD}"),
}
OTHERS = {
    "str": (np.array([["1", "x"]] * N_ROWS), "X holds strings in row 0, column 1, such as 'x'"),
    "bytes": (
        np.array([[b"1", b"x"]] * N_ROWS),
        "X holds strings in row 0, column 1, such as b'x'",
    ),
    "objects": (
        np.array([[1, 2]] * (N_ROWS - 1) + [[1, "x"]], dtype=object),
        "X holds strings in row 5, column 1, such as 'x'",
    ),
    "dates": (DAYS.to_numpy().reshape(-1, 1), rf"X holds dates, got dtype datetime64.*{SUBTRACT}"),
    "durations": (
        np.arange(N_ROWS).astype("m8[D]").reshape(-1, 1),
        rf"X holds durations, got dtype timedelta64\[D\]\. {DIVIDE}",
    ),
    "date objects": (
        np.array([[1, dt.datetime(2020, 1, 1)]] * N_ROWS, dtype=object),
        r"X holds dates in row 0, column 1, such as datetime.datetime\(2020, 1, 1, 0, 0\)",
    ),
    "times of day": (
        np.array([[1, dt.time(1, 30)]] * N_ROWS, dtype=object),
        rf"X holds times of day in row 0, column 1, such as datetime.time\(1, 30\)\. {HOURS}",
    ),
    "complex": (A.reshape(-1, 1) * 1j, rf"X holds complex numbers in row 0, column 0.*{PARTS}"),
    "fields": (
        np.array([(1.0, 2)] * N_ROWS, dtype=[("a", float), ("b", int)]),
        r"X must be a table .*fields \['a', 'b'\]\. Pass numpy.lib.recfunctions.structured_to",
    ),
    "ragged": ([[1, 2], [3], [1, 2]] * 2, "got 2 values in row 0 and 1 values in row 1"),
    "numbers and rows": ([[1, 2], 3, [1, 2]] * 2, "got 2 values in row 0 and int 3 in row 1"),
    "rows and numbers": ([3.0, [1, 2], [1, 2]] * 2, "got float 3.0 in row 0 and 2 values in row 1"),
    "ragged series": ([pd.Series([1, 2]), pd.Series([1])] * 3, "2 values in row 0 and 1 values"),
    "ragged tensors": (
        [torch.ones(1), torch.ones(3)] * 3,
        "1 values in row 0 and 3 values in row 1",
    ),
    "series": (
        pd.Series(CITY, name="city"),
        r"X must be a table with rows and columns, got a Series\. .* X.iloc\[\[0\]\] is a",
    ),
    "missing dates": (
        np.array([[1, 2]] * (N_ROWS - 1) + [[1, pd.NaT]], dtype=object),
        "X holds dates in row 5, column 1, such as NaT",
    ),
    "ragged tuples": ([(1,), (1,), (1, 2)] * 2, "got 1 values in row 0 and 2 values in row 2"),
    "list in a cell": ([[1, [2]], [1, 2]] * 3, r"X holds several .* in row 0, column 1, .*\[2\]"),
    "rows of strings": ([["x", 1]] * N_ROWS, "X holds strings in row 0, column 0, such as 'x'"),
    "strings in a list": (["x"] * N_ROWS, "X holds strings in row 0, such as 'x'"),
    "list of dicts": ([{"a": 1}] * N_ROWS, r"got a dict in row 0. Pass pandas.DataFrame\(X\)"),
    "dict of columns": (
        {"a": A, "b": A},
        r"got a dict of the inputs \['a', 'b'\]\. .*pass pandas.DataFrame\(X\)",
    ),
    "set": ({1, 2}, "X must be a table of numbers with rows and columns, got set"),
    "string": ("data.csv", "X must be a table of numbers with rows and columns, got str"),
    "generator": ((row for row in [[1], [2]]), "X must be a table of numbers .*, got generator"),
    "nothing": (None, "X must be a table of numbers .*, got NoneType"),
}
CASES = {f"frame: {name}": case for name, case in FRAMES.items()} | OTHERS
FITTED = WeightedTorchRegressor(max_epochs=1).fit(np.c_[A, A], Y)


@pytest.mark.parametrize(("X", "message"), CASES.values(), ids=CASES)
def test_fit_names_the_column_or_the_cell_and_says_what_to_do(X, message):
    with pytest.raises((TypeError, ValueError), match=message):
        WeightedTorchRegressor(max_epochs=1).fit(X, Y)


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (FRAMES["flags"][0], "Column 'c' of X must hold numbers, as in fit, got strings"),
        (FRAMES["dates"][0], "Column 'day' of X must hold numbers, as in fit, got dates"),
        *(OTHERS[name] for name in ("objects", "ragged", "set")),
    ],
)
def test_prediction_and_validation_rows_are_explained_alike(X, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FITTED.predict(X)
    with pytest.raises((TypeError, ValueError), match=f"^X_val and y_val: .*{message}"):
        WeightedTorchRegressor(max_epochs=1).fit(np.c_[A, A], Y, X_val=X, y_val=Y)


@pytest.mark.parametrize(
    "X",
    [
        frame(b=pd.Categorical([1, 2, 3] * 2)),
        frame(b=pd.array([1, 2, 3] * 2, dtype="Int64")),
        frame(b=pd.array([True, False] * 3, dtype="boolean")),
        np.array([["1", "2.5"]] * N_ROWS),
        np.array([[1, "2"]] * N_ROWS, dtype=object),
        [(1, 2)] * N_ROWS,
        sparse.csr_matrix(np.eye(N_ROWS)[:, :2]),
    ],
)
def test_what_scikit_learn_reads_as_numbers_is_still_taken(X):
    assert np.isfinite(WeightedTorchRegressor(max_epochs=1).fit(X, Y).predict(X)).all()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (A, "Expected 2D array, got 1D array"),
        (3.0, "Expected 2D array, got scalar array"),
        (np.c_[A, A][:4], "^y must have one entry for each of 4 rows of X, got 6"),
        ([[1, 2]] * 4, "^y must have one entry for each of 4 rows of X, got 6"),
    ],
)
def test_a_wrong_shape_of_x_or_y_is_named(X, message):
    with pytest.raises(ValueError, match=message):
        WeightedTorchRegressor().fit(X, Y)


def test_the_advice_works():
    times = [dt.time(hour, 30) for hour in range(N_ROWS)]
    X = frame(city=CITY, day=DAYS.tz_localize("UTC"), at=[t.hour + t.minute / 60 for t in times])
    X["day"] = (X["day"] - X["day"].min()) / np.timedelta64(1, "D")
    encode = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    pipeline = make_pipeline(encode, WeightedTorchRegressor(max_epochs=1)).fit(X, Y)
    assert pipeline.predict(X).shape == (N_ROWS,)
    assert X["day"].tolist() == [0, 1, 2, 3, 4, 5]


def test_frames_of_polars_are_explained_alike():
    pl = pytest.importorskip("polars")
    days = [day.date() for day in DAYS]
    cases = {
        "Column 'd' of X holds dates": {"d": days},
        "Column 'e' of X holds durations": {"e": [day - days[0] for day in days]},
        rf"Column 't' of X holds times of day\. {HOURS}": {"t": [dt.time(1, 30)] * N_ROWS},
        "Column 'f' of X holds several values": {"f": [[1, 2]] * N_ROWS},
        "Column 'g' of X holds several values": {"g": [{"x": 1}] * N_ROWS},
    }
    for message, columns in cases.items():
        with pytest.raises((TypeError, ValueError), match=message):
            WeightedTorchRegressor().fit(pl.DataFrame({"a": A} | columns), Y)
    with pytest.raises(TypeError, match="Column 'd' of X holds dates"):
        WeightedTorchRegressor().fit(pl.DataFrame({"d": days}), Y)


def test_batches_of_pyarrow_are_refused_with_the_table_to_pass():
    pa = pytest.importorskip("pyarrow")
    batch = pa.RecordBatch.from_pydict({"a": A, "city": CITY})
    table = pa.Table.from_batches([batch])
    models = (
        FITTED,
        WeightedTorchRegressor(max_epochs=1).fit(table, Y),
        WeightedTorchRegressor(max_epochs=1, categorical_features=["city"]).fit(table, Y),
    )
    of_batch = (
        r"X must hold its rows in a table, got a RecordBatch\. Pass pyarrow.Table.from_batches"
    )
    for model in models:
        with pytest.raises(TypeError, match=of_batch):
            clone(model).fit(batch, Y)
        with pytest.raises(TypeError, match=of_batch):
            model.predict(batch)
        reader = pa.RecordBatchReader.from_batches(batch.schema, [batch])
        with pytest.raises(TypeError, match=r"got a RecordBatchReader\. Pass X.read_all\(\)"):
            model.predict(reader)


@pytest.mark.parametrize("categorical_features", ["from_dtype", ["city"], None])
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_row_or_a_column_is_no_table(library, categorical_features):
    columns = {"a": A} | ({} if categorical_features is None else {"city": CITY})
    X = pytest.importorskip(library)
    X = X.table(columns) if library == "pyarrow" else X.DataFrame(columns)
    params = {"max_epochs": 1, "categorical_features": categorical_features}
    model = WeightedTorchRegressor(**params).fit(X, Y)
    row = r"X\.iloc\[\[0\]\]" if library == "pandas" else r"X\.slice\(0, 1\)"
    for series in [X["a"]] + ([X.iloc[0]] if library == "pandas" else []):
        message = rf"^X must be a table with .*, got a (Series|ChunkedArray)\. Of a .*, {row} is a"
        with pytest.raises(TypeError, match=message):
            model.predict(series)
        with pytest.raises(TypeError, match=message):
            clone(model).fit(series, Y)
    one = X.iloc[[0]] if library == "pandas" else X.slice(0, 1)
    assert_array_equal(model.predict(one), model.predict(X)[:1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0.5, "x"), r"got shape \(2,\)\. Pass a single row as \[X\]"),
        ([0.5, "x"], r"got shape \(2,\)\. Pass a single row as \[X\]"),
        (np.array([0.5, "x"], dtype=object), r"Reshape .*, a single row with X.reshape\(1, -1\)"),
        ({"a": 0.5, "city": "x"}, r"pass pandas.DataFrame\(\[X\]\)"),
        ({"a": A, "city": CITY}, r"pass pandas.DataFrame\(X\)"),
    ],
)
def test_a_single_row_of_another_kind_is_told_how_to_be_a_table(row, message):
    model = WeightedTorchRegressor(max_epochs=1).fit(frame(city=CITY), Y)
    with pytest.raises(ValueError, match=message):
        model.predict(row)
