"""Arrays, sparse matrices and tensors, the device, and the validation split, all exact.

Batches are in ``test_batches.py``, X on disk in ``test_memory_mapped.py``, bad input in
``test_bad_input.py``, training in ``test_run.py``.
"""

import time

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight.data import (
    as_array,
    as_dense,
    as_tensor,
    canonical_csr,
    place,
    resolve_device,
    split_folds,
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
    before = {name: getattr(X, name).copy() for name in ("data", "indices", "indptr")}
    canonical = canonical_csr(X)
    for name, then in before.items():
        assert_array_equal(getattr(X, name), then, err_msg=name)
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


@pytest.mark.parametrize(("n_free", "moves"), [(95, False), (96, True), (10**9, True)])
def test_x_is_moved_to_a_gpu_if_half_of_its_free_memory_holds_it(monkeypatch, n_free, moves):
    X = np.ones((4, 3), dtype=np.float32)
    asked = []
    free, reserved, allocated = n_free - 7, 10, 3  # torch gives out again what it reserved
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: asked.append(device) or self)
    placed = place(X, torch.device("cuda"))
    assert X.nbytes == 48
    assert placed.data_ptr() == X.ctypes.data
    assert asked == [torch.device("cuda")] * moves


def test_a_few_rows_of_any_kind_become_a_dense_tensor_and_a_tensor_stays_itself():
    X = np.float32([[0, 3, 1], [2, 0, 0]])
    tensor = torch.from_numpy(X)
    assert as_dense(tensor) is tensor
    for rows in (X, sparse.csr_array(X), sparse.csr_matrix(X)):
        assert_array_equal(as_dense(rows), X, strict=True)
    assert as_dense(X).data_ptr() == X.ctypes.data


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


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("pair", [0, 30, 58])
def test_a_row_is_found_wherever_the_only_class_of_two_rows_sorts(pair, fraction):
    classes = np.sort(np.append(np.arange(59), pair))
    for seed in range(5):
        train, valid = split_validation(60, fraction, seed, classes)
        assert_array_equal(classes[valid], [pair])
        assert set(classes[train]) == set(range(59))


def test_classes_of_one_row_take_no_share_from_the_others():
    classes = np.append(np.arange(60), np.repeat(np.arange(60, 80), 2))
    for seed in range(5):
        _, valid = split_validation(100, 0.25, seed, classes)
        assert len(valid) == 10 and classes[valid].min() >= 60


def test_classes_of_one_row_each_are_refused():
    with pytest.raises(ValueError, match=r"early_stopping=True .*n_samples = 4 .*only one"):
        split_validation(4, 0.5, 0, np.arange(4))


def random_groups(seed):
    """Groups, classes, weights and a number of folds; None if there are fewer groups."""
    rng = np.random.default_rng(seed)
    n_rows, n_groups, n_classes = rng.integers(6, 60), rng.integers(2, 10), rng.integers(1, 5)
    groups = np.unique(rng.integers(0, n_groups, n_rows), return_inverse=True)[1]
    drawn = rng.integers(0, n_classes, n_rows) ** rng.integers(1, 3)
    classes = np.unique(drawn, return_inverse=True)[1]
    n_folds = int(rng.integers(2, 7))
    weight = rng.exponential(size=n_rows) ** rng.integers(1, 4)
    return (n_folds, seed, weight, classes, groups) if n_folds <= groups.max() + 1 else None


def test_folds_of_groups_are_whole_and_none_holds_all_groups_of_a_class():
    n_tried = 0
    for case in filter(None, map(random_groups, range(600))):
        _, _, _, classes, groups = case
        folds = split_folds(*case)
        assert np.array_equal(np.sort(np.concatenate(folds)), np.arange(len(groups)))
        assert all(len(fold) for fold in folds)
        fold_of = np.empty(len(groups), dtype=int)
        for number, fold in enumerate(folds):
            fold_of[fold] = number
        assert all(len({*fold_of[groups == group]}) == 1 for group in groups)
        for label in np.unique(classes):
            several = len({*groups[classes == label]}) > 1
            assert not several or len({*fold_of[classes == label]}) > 1
        n_tried += 1
    assert n_tried > 200


def rows_together(seed):
    """Numbers of rows that are held out together, of which most are one row, and classes."""
    rng = np.random.default_rng(seed)
    n_rows, n_classes = rng.integers(20, 200), rng.integers(1, 5)
    together = rng.permutation(3 * n_rows)[rng.integers(0, rng.integers(12, n_rows + 1), n_rows)]
    return together, np.unique(rng.integers(0, n_classes, n_rows), return_inverse=True)[1]


@pytest.mark.parametrize("stratified", [True, False])
def test_rows_that_are_held_out_together_are_on_one_side(stratified):
    n_mixed = 0
    for seed in range(200):
        together, classes = rows_together(seed)
        n_rows, strata = len(together), classes if stratified else None
        train, valid = split_validation(n_rows, 0.2, seed, strata, together)
        assert_array_equal(np.sort(np.concatenate([train, valid])), np.arange(n_rows))
        assert not {*together[train]} & {*together[valid]}
        n_units = len(np.unique(together))
        assert 0 < len(np.unique(together[valid])) <= max(1, round(0.2 * n_units))
        assert not stratified or {*classes[train]} == {*classes}
        n_mixed += len(np.unique(np.stack([together, classes]), axis=1)[0]) > n_units
    assert n_mixed > 100


def test_folds_of_rows_that_are_held_out_together_are_whole_and_even():
    for seed in range(200):
        together, classes = rows_together(seed)
        weight = np.random.default_rng(seed).exponential(size=len(classes))
        folds = split_folds(4, seed, weight, classes, together=together)
        assert_array_equal(np.sort(np.concatenate(folds)), np.arange(len(classes)))
        units = [{*together[fold]} for fold in folds]
        assert sum(map(len, units)) == len({*together})
        assert max(map(len, units)) - min(map(len, units)) <= 3
        for label in np.unique(classes):
            several = len({*together[classes == label]}) > 1
            assert not several or sum(label in classes[fold] for fold in folds) > 1


@pytest.mark.parametrize("n_classes", [2, 10, 40])
def test_cells_of_many_classes_give_their_share_too(n_classes):
    """Where nearly every cell has a set of classes that no other has."""
    rng = np.random.default_rng(0)
    cells = np.r_[rng.integers(0, 300, 3000), np.arange(300, 600)]
    classes = rng.integers(0, n_classes, 3300)
    for seed in range(5):
        _, valid = split_validation(3300, 0.2, seed, classes, cells)
        assert 0.17 < (valid < 3000).sum() / 3000 < 0.23
        assert 0.17 < (valid >= 3000).sum() / 300 < 0.23
        folds = split_folds(5, seed, np.ones(3300), classes, together=cells)
        assert all(0.17 < (fold < 3000).sum() / 3000 < 0.23 for fold in folds)


def test_a_class_of_one_cell_keeps_it_for_training():
    together, classes = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 2])
    for seed in range(20):
        train, valid = split_validation(6, 0.4, seed, classes, together)
        assert {*classes[train]} == {0, 1, 2} and len(valid) > 0
    together, classes = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"early_stopping=True needs rows to hold out.* got 2"):
        split_validation(4, 0.5, 0, classes, together)


def test_rows_alone_are_divided_as_if_nothing_were_held_together():
    for seed in range(20):
        classes = np.random.default_rng(seed).integers(0, 3, 60)
        together = np.arange(60)
        expected = split_validation(60, 0.2, seed, classes)
        found = split_validation(60, 0.2, seed, classes, together)
        assert all(map(np.array_equal, found, expected))
        expected = split_folds(5, seed, np.ones(60), classes)
        found = split_folds(5, seed, np.ones(60), classes, together=together)
        assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("n_classes", [3, 1000])
def test_many_rows_are_divided_in_seconds(n_classes):
    rng = np.random.default_rng(0)
    together, classes = rng.integers(0, 500_000, 1_000_000), rng.integers(0, n_classes, 1_000_000)
    start = time.process_time()
    _, valid = split_validation(1_000_000, 0.2, 0, classes, together)
    assert len(split_folds(5, 0, np.ones(1_000_000), classes, together=together)) == 5
    assert 190_000 < len(valid) < 210_000
    assert time.process_time() - start < 20  # two seconds on an idle machine
