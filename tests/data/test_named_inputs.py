"""X of several inputs as one object: its rows, its values, and what the user may pass.

Fits are in ``test_named_inputs_fit.py``.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from skorch.helper import SliceDict
from torch import nn

from skweight.data import (
    MappedRows,
    NamedInputs,
    RowDataset,
    TensorBatches,
    batches,
    call_module,
    describe,
    gather,
    has_named_inputs,
    place,
    row_shape,
    to_integers,
    validate_inputs,
    validate_inputs_y,
)
from skweight.weights import distinct_rows

CPU = torch.device("cpu")
N = 12
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(N, 3))
TOKENS = RNG.integers(0, 9, size=(N, 5))
IMAGE = RNG.normal(size=(N, 2, 4, 4)).astype(np.float32)
X = {"table": TABLE, "tokens": TOKENS, "image": IMAGE, "age": np.arange(N)}


def read(X, y=None, sample_weight=None):
    """X as fit reads it."""
    y = np.arange(len(next(iter(X.values())))) if y is None else y
    return validate_inputs_y(None, X, y, sample_weight, only_known=True)[0]


# As an array


def test_named_inputs_have_the_rows_and_the_shape_of_all_inputs():
    inputs = validate_inputs(X)
    assert len(inputs) == N
    assert inputs.shape == (N, 1 + 2 * 4 * 4 + 3 + 5)
    assert row_shape(inputs) == {"age": (), "image": (2, 4, 4), "table": (3,), "tokens": (5,)}
    some = inputs[[3, 1]]
    assert len(some) == 2
    assert_array_equal(some["tokens"], TOKENS[[3, 1]])
    assert_array_equal(inputs[2:4]["image"], IMAGE[2:4])


def test_floats_become_float32_and_integers_and_booleans_int64():
    given = {
        "float64": TABLE,
        "float16": TABLE.astype(np.float16),
        "int8": TOKENS.astype(np.int8),
        "uint64": TOKENS.astype(np.uint64),
        "bool": TABLE > 0,
        "list": TOKENS.tolist(),
        "tensor": torch.from_numpy(TOKENS).int(),
        "bfloat16": torch.from_numpy(TABLE).bfloat16(),
        "frame": pd.DataFrame(TABLE),
        "column": pd.Series(TOKENS[:, 0]),
        "nested": TABLE.tolist(),
    }
    inputs = validate_inputs(given)
    floats = {name for name in inputs.by_name if inputs.holds_floats(name)}
    assert floats == {"float64", "float16", "bfloat16", "frame", "nested"}
    for name in given:
        expected = np.float32 if name in floats else np.int64
        assert inputs[name].dtype == expected, name
    assert_array_equal(inputs["bool"], TABLE > 0)
    assert_array_equal(inputs["tensor"], TOKENS)
    assert inputs["column"].shape == (N,)


def test_float32_and_int64_are_not_copied():
    inputs = validate_inputs({"image": IMAGE, "tokens": TOKENS})
    assert np.shares_memory(inputs["image"], IMAGE)
    assert np.shares_memory(inputs["tokens"], TOKENS)
    placed = place(inputs, CPU)
    assert placed["image"].data_ptr() == IMAGE.ctypes.data
    assert placed.device == CPU


def test_the_matrix_of_all_values_holds_each_of_them_exactly():
    large = np.array([[2**53, 2**53 - 1], [-(2**53), 3]])
    inputs = validate_inputs({"large": large, "table": TABLE[:2]})
    matrix = np.asarray(inputs)
    assert matrix.dtype == np.float64
    assert_array_equal(matrix[:, :2].astype(np.int64), large)
    assert_array_equal(matrix[:, 2:], TABLE[:2].astype(np.float32))


def test_rows_are_merged_if_all_their_inputs_are_equal():
    tokens, table = np.zeros((4, 2), dtype=int), np.ones((4, 1))
    tokens[3], table[2] = 1, 2
    index, mass = distinct_rows(validate_inputs({"a": tokens, "b": table}), np.zeros(4), np.ones(4))
    assert sorted(mass.tolist()) == [1, 1, 2]
    assert {*index.tolist()} - {0, 1} == {2, 3}


# In batches


class Takes(nn.Module):
    def forward(self, table, tokens):
        return table.sum(1) + tokens.sum(1)


def test_a_module_gets_the_inputs_of_a_batch_by_their_names():
    inputs = place(validate_inputs({"tokens": TOKENS, "table": TABLE}), CPU)
    rows = RowDataset(inputs, np.arange(N)[::-1].copy(), np.zeros(N), np.ones(N), CPU)
    batch, _ = rows.batch(torch.tensor([0, 2]))
    expected = TABLE.astype(np.float32)[[11, 9]].sum(1) + TOKENS[[11, 9]].sum(1)
    np.testing.assert_allclose(call_module(Takes(), batch["X"]), expected, rtol=1e-5)
    np.testing.assert_allclose(Takes()(**batch["X"]), expected, rtol=1e-5)
    one, _ = rows[0]
    assert_array_equal(one["X"]["tokens"], TOKENS[11])


def test_every_input_of_a_batch_begins_at_a_cache_line(monkeypatch):
    monkeypatch.setitem(batches.VALUES_AT_ONCE, "cpu", 10**6)
    inputs = place(validate_inputs({"tokens": TOKENS, "table": TABLE}), CPU)
    rows = RowDataset(inputs, np.arange(N), np.zeros(N), np.ones(N), CPU)
    made = [*TensorBatches(rows, 5)]
    assert [len(y) for _, y in made] == [4, 4, 4]
    for of_batch, _ in made:
        assert {values.data_ptr() % 64 for values in of_batch["X"].by_name.values()} == {0}
    joined = torch.cat([of_batch["X"]["tokens"] for of_batch, _ in made])
    assert_array_equal(joined, TOKENS)


# On disk


@pytest.fixture
def mapped(tmp_path):
    """Tokens of int32 and a table of float64, on disk."""
    files = {}
    for name, values in {"tokens": TOKENS.astype(np.int32), "table": TABLE}.items():
        np.save(tmp_path / f"{name}.npy", values)
        files[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    return files


def test_inputs_on_disk_are_read_row_by_row_with_the_dtype_of_their_kind(mapped):
    inputs = place(read(mapped), CPU)
    assert all(isinstance(inputs[name], MappedRows) for name in mapped)
    batch = gather(inputs, torch.tensor([4, 2]), CPU)
    assert (batch["tokens"].dtype, batch["table"].dtype) == (torch.int64, torch.float32)
    assert_array_equal(batch["tokens"], TOKENS[[4, 2]])
    assert_array_equal(batch["table"], TABLE[[4, 2]].astype(np.float32))


def test_bad_numbers_on_disk_are_refused_in_rows_with_weight(tmp_path, monkeypatch):
    monkeypatch.setattr("skweight.data.arrays.COPIED_AT_ONCE", 6)
    table = TABLE.copy()
    table[7, 1] = np.inf
    np.save(tmp_path / "table.npy", table)
    given = {"table": np.load(tmp_path / "table.npy", mmap_mode="r")}
    with pytest.raises(ValueError, match=r"Input 'table' of X: .*got inf in row 7, column 1\."):
        read(given)
    read(given, sample_weight=np.arange(N) != 7)


# Refused


WRONG = {
    "no input": ({}, "at least one input, got an empty dict"),
    "number as name": ({3: TABLE}, "strings as names of its inputs, .*got 3"),
    "name of the weights": ({"row_weight": TABLE}, 'not have an input called "row_weight"'),
    "weights of rows": (
        {"a": TABLE, "sample_weight": np.ones(N)},
        r'an input called "sample_weight", .*: pass it as fit\(X, y, sample_weight=...\)',
    ),
    "lengths": (
        {"a": TABLE, "b": TOKENS[:-1]},
        r"the same number of rows, got \{'a': 12, 'b': 11\}",
    ),
    "strings": (
        {"a": TABLE, "b": [["x"]] * N},
        "Input 'b' of X: X holds strings in row 0.*before, with Ord",
    ),
    "column of strings": ({"a": pd.Series(["x"] * N)}, "Input 'a' of X: X holds strings in row 0"),
    "dates": ({"a": np.array(["2020-01-01"] * N, dtype="M8[D]")}, "Input 'a' of X: X holds dates"),
    "NaN": (
        {"a": np.where(TABLE[3, 1] == TABLE, np.nan, TABLE)},
        "'a' of X: .*got nan in row 3, column 1",
    ),
    "beyond float32": ({"a": TABLE * 1e200}, "finite numbers, also as float32"),
    "large integers": ({"a": [[1], [2**53 + 1]]}, r"got 9007199254740993 in row 1, column 0"),
    "missing integers": (
        {"a": pd.Series([1, None], dtype="Int64")},
        "Input 'a' of X: .*missing values",
    ),
    "sparse": ({"a": sparse.csr_array(TABLE)}, r"Input 'a' of X: .*Pass its toarray\(\)"),
    "number": ({"a": 3.0}, "Input 'a' of X: "),
    "no rows": ({"a": TABLE[:0]}, "Input 'a' of X: .*0 sample"),
    "dict in a dict": ({"a": {"b": TABLE}}, "Input 'a' of X: .*got dict"),
}


@pytest.mark.parametrize(("X", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_dict_of_numbers_is_refused(X, message):
    with pytest.raises((TypeError, ValueError), match=message):
        validate_inputs(X)


def test_rows_without_weight_may_hold_anything():
    table, ids = TABLE.copy(), TOKENS.copy()
    table[2], ids[2] = np.nan, 2**60
    weight = np.ones(N)
    weight[2] = 0
    assert np.isnan(read({"table": table, "ids": ids}, sample_weight=weight)["table"][2]).all()
    with pytest.raises(ValueError, match=r"Input 'ids' of X: .*in row 2"):
        read({"table": TABLE, "ids": ids})


def test_float32_that_merges_values_of_an_input_is_warned_of():
    seconds = np.column_stack([1.7e9 + np.arange(N), np.arange(N)])
    with pytest.warns(UserWarning, match=r"Columns \[0\] of input 'table' of X vary so little"):
        read({"table": seconds, "tokens": TOKENS})


def test_y_needs_as_many_rows_as_the_inputs():
    with pytest.raises(ValueError, match="y must have one entry for each of 12 rows of X, got 11"):
        read(X, y=np.zeros(11))


# Integers


def test_only_whole_numbers_that_float32_holds_become_integers():
    assert to_integers(torch.tensor([3.0, -1.0, 2.0**24 - 1])).tolist() == [3, -1, 2**24 - 1]
    for bad in (0.5, 2.0**24, float("nan")):
        with pytest.raises(ValueError, match=rf"whole numbers below 2\*\*24 .*got {bad}"):
            to_integers(torch.tensor([1.0, bad]))


def test_an_error_can_name_all_inputs():
    inputs = place(validate_inputs(SliceDict(tokens=TOKENS, table=TABLE)), CPU)
    assert describe(inputs) == (
        "the inputs 'table' (12, 3) of torch.float32, 'tokens' (12, 5) of torch.int64 from 0 to 8"
    )
    assert describe(inputs["table"]) == "X of shape (12, 3)"
    assert isinstance(inputs, NamedInputs)


def test_a_sparse_matrix_of_the_format_that_is_a_dict_is_no_dict_of_inputs():
    assert isinstance(sparse.dok_matrix(TABLE), dict)
    assert not has_named_inputs(sparse.dok_matrix(TABLE))
    assert has_named_inputs(X) and has_named_inputs(SliceDict(a=TABLE))
