"""Rows and the batches that training reads, all exact, however many are gathered at once.

How likely a row is drawn by its weight is in ``test_sampling.py``, X on disk in
``test_memory_mapped.py``, training in ``test_run.py``.
"""

from itertools import chain

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight.data import RowDataset, TensorBatches, gather, rows_at_once
from skweight.data import batches as batches_file
from skweight.data import rows as rows_file

CPU = torch.device("cpu")
KINDS = {
    "dense": torch.from_numpy,
    "csr": sparse.csr_array,
    "csr matrix": sparse.csr_matrix,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


# Rows

DENSE = np.arange(12, dtype=np.float32).reshape(4, 3) * (np.arange(12).reshape(4, 3) % 2)
INDEX = np.array([3, 1, 2])
WEIGHT = np.array([0.5, 1.0, 1.5])


def make_rows(kind="dense", y=(7, 8, 9), weight=WEIGHT):
    return RowDataset(KINDS[kind](DENSE), INDEX, np.asarray(y), weight, CPU)


@each_kind
def test_a_batch_has_the_rows_weights_and_targets_of_its_positions(kind):
    rows = make_rows(kind)
    assert len(rows) == 3
    batch, y = rows.batch(torch.tensor([2, 0]))
    assert set(batch) == {"X", "row_weight"}
    assert_array_equal(batch["X"], DENSE[[2, 3]], strict=True)
    assert_array_equal(batch["row_weight"], np.float32([1.5, 0.5]), strict=True)
    assert_array_equal(y, [9, 7])


@each_kind
def test_one_row_is_a_batch_without_its_first_dimension(kind):
    batch, y = make_rows(kind)[1]
    assert_array_equal(batch["X"], DENSE[1], strict=True)
    assert batch["row_weight"] == 1.0
    assert y == 8
    assert y.ndim == batch["row_weight"].ndim == 0


@each_kind
def test_all_rows_come_in_the_order_of_the_index(kind):
    X, y, weight = make_rows(kind).tensors()
    assert X.is_sparse is (kind != "dense")
    assert_array_equal(X.to_dense(), DENSE[INDEX], strict=True)
    if X.is_sparse:
        assert X.is_coalesced()
        assert X.values().numel() == np.count_nonzero(DENSE[INDEX])
    assert_array_equal(y, [7, 8, 9])
    assert_array_equal(weight, WEIGHT)


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (np.array([0, 1, 2], dtype=np.int32), torch.int64),
        (np.array([0, 1, 2]), torch.int64),
        (np.array([0.5, 1.0, 2.0]), torch.float64),
        (np.array([0.5, 1.0, 2.0], dtype=np.float32), torch.float32),
    ],
)
def test_codes_are_int64_and_floats_keep_their_digits(y, dtype):
    rows = make_rows(y=y)
    assert rows.y.dtype == dtype
    assert_array_equal(rows.y, y)
    assert rows.row_weight.dtype == torch.float32
    assert rows.index.dtype == torch.int64


@each_kind
def test_several_targets_and_weights_of_labels_stay_with_their_rows(kind):
    weight = np.array([[0.5, 1.0], [2.0, 0.5], [1.0, 1.0]])
    rows = make_rows(kind, np.array([[0, 1], [1, 1], [1, 0]]), weight)
    batch, target = rows.batch(torch.tensor([1, 0]))
    assert_array_equal(batch["X"], DENSE[[1, 3]], strict=True)
    assert_array_equal(batch["row_weight"], np.float32([[2.0, 0.5], [0.5, 1.0]]), strict=True)
    assert_array_equal(target, np.array([[1, 1], [0, 1]]), strict=True)
    one, its_y = rows[2]
    assert_array_equal(one["row_weight"], [1, 1])
    assert_array_equal(its_y, [1, 0])


@each_kind
def test_rows_do_not_copy_x_and_batches_are_made_where_it_is(kind):
    X = KINDS[kind](DENSE)
    rows = RowDataset(X, INDEX, np.zeros(3), WEIGHT, CPU)
    assert rows.X is X
    assert not rows.is_copied
    assert rows.batch(torch.arange(2))[0]["X"].device == rows.row_weight.device == CPU


@pytest.mark.parametrize("positions", [[3, 0], [2, 2, 1], [1]])
@each_kind
def test_rows_are_gathered_in_the_order_that_is_asked_for(kind, positions):
    gathered = gather(KINDS[kind](DENSE), torch.tensor(positions), CPU)
    assert type(gathered) is torch.Tensor
    assert_array_equal(gathered, DENSE[positions], strict=True)
    gathered.fill_(-1)  # a copy
    assert DENSE.min() == 0 < DENSE[positions].max()


@pytest.mark.parametrize(
    ("shape", "on_cpu", "on_gpu"),
    [
        ((1,), 1024, 65_536),
        ((2000,), 1024, 8384),
        ((28, 28), 1024, 21_376),
        ((60_000,), 256, 256),
        ((10**9,), 64, 64),
    ],
)
def test_wide_data_are_computed_on_in_smaller_chunks(shape, on_cpu, on_gpu):
    X = np.broadcast_to(np.float32(0), (3, *shape))
    assert rows_at_once(X, CPU) == on_cpu
    assert rows_at_once(X, torch.device("cuda")) == on_gpu
    assert on_cpu % 64 == on_gpu % 64 == 0


# TensorBatches


def numbered(n_rows, width=1):
    """Rows whose X, weight and target are their own number."""
    number = np.arange(n_rows)
    X = torch.from_numpy(np.repeat(number[:, None].astype(np.float32), width, axis=1))
    return RowDataset(X, number, number, number.astype(float), CPU)


def passes(batches, n_passes=1):
    return [[y.tolist() for _, y in batches] for _ in range(n_passes)]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (10, 3, [3, 3, 2, 2]),
        (9, 3, [3, 3, 3]),
        (129, 128, [65, 64]),
        (5, 100, [5]),
        (3, 1, [1, 1, 1]),
        (1, 256, [1]),
    ],
)
def test_a_pass_covers_every_row_once_in_batches_of_equal_size(n_rows, batch_size, sizes, shuffle):
    batches = TensorBatches(numbered(n_rows), batch_size, shuffle)
    assert len(batches) == len(sizes)
    for batch_rows in passes(batches, 2):
        assert [len(rows) for rows in batch_rows] == sizes
        assert sorted(chain(*batch_rows)) == list(range(n_rows))


def test_rows_weights_and_targets_stay_together_under_shuffling():
    for batch, y in TensorBatches(numbered(20), 6, shuffle=True):
        assert_array_equal(batch["X"][:, 0], y)
        assert_array_equal(batch["row_weight"], y)


def test_without_shuffling_rows_come_in_order_in_every_pass():
    batches = TensorBatches(numbered(5), 2, shuffle=False, seed=3)
    assert passes(batches, 2) == [[[0, 1], [2, 3], [4]]] * 2


def test_shuffled_orders_differ_between_passes_and_repeat_with_the_seed():
    first, again, other = (
        passes(TensorBatches(numbered(50), 8, shuffle=True, seed=seed), 3) for seed in (0, 0, 1)
    )
    assert again == first
    assert other != first
    orders = [list(chain(*batches)) for batches in first]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert list(range(50)) not in orders


def test_shuffling_neither_reads_nor_moves_the_global_random_state():
    state = torch.get_rng_state()
    first = passes(TensorBatches(numbered(50), 8, shuffle=True))
    assert_array_equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert passes(TensorBatches(numbered(50), 8, shuffle=True)) == first


# Blocks of batches


def at_once(monkeypatch, n_values):
    monkeypatch.setattr(batches_file, "VALUES_AT_ONCE", {"cpu": n_values})


@pytest.mark.parametrize(
    ("n_values", "width", "sizes"),
    [
        (1, 1, [[3], [3], [2], [2]]),
        (5, 1, [[3], [3], [2], [2]]),
        (6, 1, [[3, 3], [2, 2]]),
        (6, 2, [[3], [3], [2], [2]]),
        (9, 1, [[3, 3, 2], [2]]),
        (12, 1, [[3, 3, 2, 2]]),
        (2**18, 1, [[3, 3, 2, 2]]),
    ],
)
def test_as_many_batches_are_gathered_together_as_have_that_many_values(
    monkeypatch, n_values, width, sizes
):
    at_once(monkeypatch, n_values)
    rows, gathered = numbered(10, width), []
    monkeypatch.setattr(
        rows_file, "gather", lambda X, at, *where: gathered.append(len(at)) or gather(X, at, CPU)
    )
    batches = TensorBatches(rows, 3)
    assert batches.sizes == sizes
    assert [len(batch["X"]) for batch, _ in batches] == list(chain(*sizes))
    assert gathered == [sum(block) for block in sizes]


def test_values_of_rows_of_any_shape_are_counted_and_every_device_has_a_number(monkeypatch):
    at_once(monkeypatch, 24)
    number = np.arange(6)
    X = torch.zeros(6, 2, 3)
    assert TensorBatches(RowDataset(X, number, number, np.ones(6), CPU), 2).sizes == [[2, 2], [2]]
    rows = numbered(6, 6)
    rows.device = torch.device("mps")
    assert TensorBatches(rows, 1).sizes == [[1] * 4, [1] * 2]


N = 29
WIDE = np.random.default_rng(0).normal(size=(40, 2, 3)).astype(np.float32)
WIDE[np.random.default_rng(1).random(WIDE.shape) < 0.4] = 0
PLACES = np.random.default_rng(2).permutation(40)[:N]
SETTINGS = {
    "in order": {},
    "shuffled": {"shuffle": True},
    "sampled": {"shuffle": True, "sampling": True},
}


def wide_rows(kind, n_labels=0):
    X = {"3-D": torch.from_numpy(WIDE)}.get(kind)
    X = KINDS[kind](WIDE.reshape(40, 6)) if X is None else X
    weight = np.random.default_rng(3).exponential(size=(N, n_labels) if n_labels else N)
    return RowDataset(X, PLACES, np.arange(N), weight / weight.mean(), CPU)


@pytest.mark.parametrize("n_labels", [0, 2])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", [*KINDS, "3-D"])
def test_batches_are_those_that_are_gathered_each_by_itself(monkeypatch, kind, setting, n_labels):
    rows, seen = wide_rows(kind, n_labels), []
    # A row has 6 values and a batch 5 rows, the last one 4: one, two, three and all at once.
    for n_values in (1, 60, 95, 2**18):
        at_once(monkeypatch, n_values)
        batches = TensorBatches(rows, 5, seed=1, **SETTINGS[setting])
        seen.append(list(chain(batches, batches)))
    for several in seen:
        assert [len(y) for _, y in several] == [5, 5, 5, 5, 5, 4] * 2
        for (batch, y), (expected, expected_y) in zip(several, seen[0], strict=True):
            weight, X = batch["row_weight"], batch["X"]
            compared = {
                "y": (y, expected_y),  # also the rows' positions
                "X, gathered": (X, gather(rows.X, rows.index[y], CPU)),
                "X, indexed": (X, WIDE[PLACES[y]].reshape(X.shape)),
                "row_weight": (weight, expected["row_weight"]),
            }
            if setting != "sampled":
                compared["row_weight, indexed"] = weight, rows.row_weight[y]
            for name, (found, wanted) in compared.items():
                assert_array_equal(found, wanted, strict=True, err_msg=name)
            assert all(part.is_contiguous() for part in (*batch.values(), y))
    first = torch.cat([y for _, y in seen[0][:6]]).tolist()
    assert (first == list(range(N))) is (setting == "in order")
    assert (len(set(first)) == N) is (setting != "sampled")
    left = torch.cat([batch["row_weight"] for batch, _ in seen[0]])
    assert (left == 1).all().item() is (setting == "sampled" and not n_labels)


def test_changing_one_batch_changes_no_other(monkeypatch):
    at_once(monkeypatch, 2**18)
    rows = numbered(7, 2)
    seen = []
    for batch, y in TensorBatches(rows, 2):
        seen.append(batch["X"][:, 0].tolist())
        assert_array_equal(batch["X"][:, 1], y)
        for part in (*batch.values(), y):
            part.fill_(-1)
    assert seen == [[0, 1], [2, 3], [4, 5], [6]]
    assert_array_equal(rows.X[:, 0], np.arange(7))
    assert_array_equal(rows.row_weight, np.arange(7))
