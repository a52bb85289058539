"""From arrays, sparse matrices and tensors to the batches that training reads.

Also the device and the validation split, all exact. Drawing by weight is left to
``test_sampling.py``, training to ``test_training.py``, bad input to ``test_bad_input.py``.
"""

from itertools import chain

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight.data import (
    Rows,
    TensorBatches,
    as_array,
    as_tensor,
    canonical_csr,
    gather,
    place,
    resolve_device,
    rows_at_once,
    split_validation,
)

CPU = torch.device("cpu")


# Arrays, tensors, sparse matrices


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([1.5, -2.0]),
        torch.tensor([1.5, -2.0], dtype=torch.float64, requires_grad=True),
        torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        torch.tensor([1.5, -2.0], dtype=torch.float16, requires_grad=True) * 1,
    ],
)
def test_a_tensor_of_any_float_type_becomes_an_array(tensor):
    array = as_array(tensor)
    assert type(array) is np.ndarray
    assert_array_equal(array, [1.5, -2.0])
    if tensor.dtype != torch.bfloat16:
        assert torch.from_numpy(array).dtype == tensor.dtype


@pytest.mark.parametrize("values", [[1, 2], np.ones(2), "text", None, sparse.csr_array(np.eye(2))])
def test_what_is_no_tensor_stays_the_object_it_is(values):
    assert as_array(values) is values


@pytest.mark.parametrize("writeable", [True, False])
def test_a_tensor_shares_its_memory_with_the_array_and_no_warning_is_given(writeable):
    array = np.arange(6.0).reshape(2, 3)
    view = array.view()
    view.setflags(write=writeable)
    torch.set_warn_always(True)  # or only the first warning of a process is seen
    try:
        tensor = as_tensor(view)
    finally:
        torch.set_warn_always(False)
    array[1, 2] = 99.0
    assert_array_equal(tensor, array)
    assert tensor.data_ptr() == array.ctypes.data


def messy_csr(kind):
    """[[0, 3, 1], [2, 0, 0]] with unsorted indices, duplicates or stored zeros."""
    data, column, start = {
        "unsorted": ([1.0, 3.0, 2.0], [2, 1, 0], [0, 2, 3]),
        "duplicates": ([1.0, 2.0, 1.0, 2.0], [1, 1, 2, 0], [0, 3, 4]),
        "stored zeros": ([0.0, 3.0, 1.0, 2.0, -0.0], [0, 1, 2, 0, 1], [0, 3, 5]),
        "sums to zero": ([5.0, 3.0, 1.0, -5.0, 2.0], [0, 1, 2, 0, 0], [0, 4, 5]),
    }[kind]
    return sparse.csr_array((np.float32(data), column, start), shape=(2, 3))


@pytest.mark.parametrize("kind", ["unsorted", "duplicates", "stored zeros", "sums to zero"])
def test_csr_becomes_canonical_in_a_copy(kind):
    X = messy_csr(kind)
    before = [part.copy() for part in (X.data, X.indices, X.indptr)]
    canonical = canonical_csr(X)
    for part, then in zip((X.data, X.indices, X.indptr), before, strict=True):
        assert_array_equal(part, then)
    assert_array_equal(canonical.data, np.float32([3, 1, 2]), strict=True)
    assert_array_equal(canonical.indices, [1, 2, 0])
    assert_array_equal(canonical.indptr, [0, 2, 3])
    assert canonical.has_canonical_format


def test_canonical_csr_and_dense_input_are_not_copied():
    X = sparse.csr_array(np.diag(np.arange(1.0, 6)))
    dense = X.toarray()
    assert X.nnz > 0
    assert canonical_csr(X) is X
    assert canonical_csr(dense) is dense


def test_dense_input_is_placed_without_a_copy_and_csr_stays_as_it_is():
    X = np.ones((3, 2), dtype=np.float32)
    assert place(X, CPU).data_ptr() == X.ctypes.data
    S = sparse.csr_array(X)
    assert place(S, CPU) is S


# The device


def test_auto_is_a_device_that_is_there():
    device = resolve_device("auto")
    if torch.cuda.is_available():
        assert device.type == "cuda"
    elif torch.backends.mps.is_available():
        assert device.type == "mps"
    else:
        assert device == CPU
    assert torch.ones(1, device=device).item() == 1


@pytest.mark.parametrize("given", ["cpu", CPU])
def test_a_named_device_is_the_one_that_is_used(given):
    assert resolve_device(given) == CPU


@pytest.mark.parametrize(
    "bad", ["gpu", "", "cpu:x", "cuda:99", "meta", None, 3.5, -1, [], CPU.__class__]
)
def test_a_device_that_is_not_there_is_refused_by_name_and_value(bad):
    with pytest.raises(ValueError, match=r"^device must be \"auto\" or .*got ") as caught:
        resolve_device(bad)
    assert f"got {bad!r}" in str(caught.value)


@pytest.mark.parametrize(("width", "rows"), [(1, 8192), (2000, 8192), (60_000, 256), (10**9, 64)])
def test_wide_data_are_computed_on_in_smaller_chunks(width, rows):
    X = sparse.csr_array((3, width), dtype=np.float32)
    assert rows_at_once(X) == rows
    assert rows % 64 == 0


# The validation split


@pytest.mark.parametrize("classes", [None, np.arange(100) % 3])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_the_two_parts_are_sorted_disjoint_and_complete(fraction, classes):
    train, valid = split_validation(100, fraction, 0, classes)
    assert_array_equal(np.sort(np.concatenate([train, valid])), np.arange(100))
    assert_array_equal(train, np.sort(train))
    assert_array_equal(valid, np.sort(valid))
    assert len(valid) == round(100 * fraction) > 0


@pytest.mark.parametrize("classes", [None, np.arange(100) % 3])
def test_the_split_depends_on_the_seed_alone(classes):
    first, again, other = (split_validation(100, 0.2, s, classes)[1] for s in (0, 0, 1))
    assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    _, keys, position, *_ = np.random.get_state()
    split_validation(100, 0.2, 0, classes)
    assert np.random.get_state()[2] == position
    assert_array_equal(np.random.get_state()[1], keys)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_each_class_gives_its_share_to_the_nearest_row(fraction, seed):
    size = np.array([400, 60, 20, 4])
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(4), size))
    _, valid = split_validation(len(classes), fraction, seed, classes)
    given = np.bincount(classes[valid], minlength=4)
    assert np.abs(given - fraction * size).max() <= 1
    assert given[2] > 0


def test_rare_classes_give_no_more_than_their_share_wherever_their_labels_sort():
    for seed in range(5):
        classes = np.repeat([0, 1, 2], [2, 96, 2])
        _, valid = split_validation(100, 0.1, seed, classes)
        assert_array_equal(np.bincount(classes[valid], minlength=3), [0, 10, 0])


def test_over_many_seeds_every_row_is_chosen_about_equally_often():
    chosen = np.zeros(20)
    for seed in range(500):
        chosen[split_validation(20, 0.25, seed, np.arange(20) % 2)[1]] += 1
    # Binomial of mean 125 and deviation 9.7: five of them.
    assert np.abs(chosen - 125).max() < 48


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_every_class_keeps_a_row_for_training(fraction, seed):
    classes = np.repeat([0, 1, 2, 3, 4], [30, 1, 2, 1, 3])
    train, valid = split_validation(len(classes), fraction, seed, classes)
    assert set(classes[train]) == {0, 1, 2, 3, 4}
    assert len(valid) >= fraction * 30 / 2


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_zero_and_one_is_refused(fraction):
    with pytest.raises(ValueError, match=f"^validation_fraction must .*got {fraction}"):
        split_validation(10, fraction, 0)


@pytest.mark.parametrize(("n_rows", "fraction"), [(1, 0.1), (2, 0.9), (10, 0.99)])
def test_too_few_rows_to_train_and_validate_are_refused(n_rows, fraction):
    with pytest.raises(ValueError, match=rf"n_samples = {n_rows} .*validation_fraction={fraction}"):
        split_validation(n_rows, fraction, 0)


def test_classes_of_one_row_each_are_refused():
    with pytest.raises(ValueError, match=r"early_stopping=True .*n_samples = 4 .*only one"):
        split_validation(4, 0.5, 0, np.arange(4))


# Rows

DENSE = np.arange(12, dtype=np.float32).reshape(4, 3) * (np.arange(12).reshape(4, 3) % 2)
INDEX = np.array([3, 1, 2])
WEIGHT = np.array([0.5, 1.0, 1.5])


def make_rows(kind="dense", y=(7, 8, 9)):
    X = {"dense": torch.from_numpy(DENSE), "csr": sparse.csr_array(DENSE)}[kind]
    return Rows(X, INDEX, np.asarray(y), WEIGHT, CPU)


both_kinds = pytest.mark.parametrize("kind", ["dense", "csr"])


@both_kinds
def test_a_batch_has_the_rows_weights_and_targets_of_its_positions(kind):
    rows = make_rows(kind)
    assert len(rows) == 3
    batch, y = rows.batch(torch.tensor([2, 0]))
    assert set(batch) == {"X", "row_weight"}
    assert_array_equal(batch["X"], DENSE[[2, 3]], strict=True)
    assert_array_equal(batch["row_weight"], np.float32([1.5, 0.5]), strict=True)
    assert_array_equal(y, [9, 7])


@both_kinds
def test_one_row_is_a_batch_without_its_first_dimension(kind):
    batch, y = make_rows(kind)[1]
    assert_array_equal(batch["X"], DENSE[1], strict=True)
    assert batch["row_weight"] == 1.0
    assert y == 8
    assert y.ndim == batch["row_weight"].ndim == 0


@both_kinds
def test_all_rows_come_in_the_order_of_the_index(kind):
    X, y, weight = make_rows(kind).tensors()
    assert X.is_sparse is (kind == "csr")
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
        (np.array([0.5, 1.0, 2.0]), torch.float32),
        (np.array([0.5, 1.0, 2.0], dtype=np.float32), torch.float32),
    ],
)
def test_codes_are_int64_and_everything_else_is_float32(y, dtype):
    rows = make_rows(y=y)
    assert rows.y.dtype == dtype
    assert_array_equal(rows.y, y)
    assert rows.row_weight.dtype == torch.float32
    assert rows.index.dtype == torch.int64


@both_kinds
def test_several_targets_and_weights_of_labels_stay_with_their_rows(kind):
    X = {"dense": torch.from_numpy(DENSE), "csr": sparse.csr_array(DENSE)}[kind]
    y, weight = np.array([[0, 1], [1, 1], [1, 0]]), np.array([[0.5, 1.0], [2.0, 0.5], [1.0, 1.0]])
    rows = Rows(X, INDEX, y, weight, CPU)
    batch, target = rows.batch(torch.tensor([1, 0]))
    assert_array_equal(batch["X"], DENSE[[1, 3]], strict=True)
    assert_array_equal(batch["row_weight"], np.float32([[2.0, 0.5], [0.5, 1.0]]), strict=True)
    assert_array_equal(target, np.array([[1, 1], [0, 1]]), strict=True)
    one, its_y = rows[2]
    assert_array_equal(one["row_weight"], [1, 1])
    assert_array_equal(its_y, [1, 0])


def test_rows_do_not_copy_x():
    X = torch.from_numpy(DENSE)
    assert Rows(X, INDEX, np.zeros(3), WEIGHT, CPU).X is X


@pytest.mark.parametrize("positions", [torch.tensor([3, 0]), slice(1, 3)])
def test_rows_are_gathered_from_dense_and_csr_alike(positions):
    dense = gather(torch.from_numpy(DENSE), positions, CPU)
    assert_array_equal(dense, DENSE[positions], strict=True)
    assert_array_equal(gather(sparse.csr_array(DENSE), positions, CPU), dense, strict=True)


# TensorBatches


def numbered(n_rows):
    """Rows whose X, weight and target are their own number."""
    number = np.arange(n_rows)
    X = torch.from_numpy(number[:, None].astype(np.float32))
    return Rows(X, number, number, number.astype(float), CPU)


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
