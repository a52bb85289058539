"""Batches of rows that are drawn by their weight, and the weights that are left to them.

Batches that cover every row once, and how they are gathered, are in ``test_batches.py``.
"""

from itertools import chain

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skweight.data import RowDataset, TensorBatches
from skweight.weights import to_mean_one

CPU = torch.device("cpu")
LARGEST = 1 - 2.0**-53


def passes(batches, n_passes=1):
    return [[y.tolist() for _, y in batches] for _ in range(n_passes)]


def weighing(weight):
    """Rows whose X and target are their own number, with these weights."""
    number = np.arange(len(weight))
    X = torch.from_numpy(number[:, None].astype(np.float32))
    return RowDataset(X, number, number, np.asarray(weight, dtype=float), CPU)


def drawn(weight, n_passes, seed=0, batch_size=7):
    batches = TensorBatches(weighing(weight), batch_size, sampling=True, seed=seed)
    return np.array([list(chain(*rows)) for rows in passes(batches, n_passes)])


@pytest.mark.parametrize(
    "weight",
    [
        [1, 2, 3, 4, 10],
        [0, 5, 0, 0, 1, 4, 0],
        [1e-3, 1e3, 500, 1e-3],
        [1] * 30,
        [[1, 3], [10, 2], [0, 4]],
    ],
)
def test_rows_are_drawn_in_proportion_to_their_weight(weight):
    found = drawn(weight, 400).ravel()
    counts = np.bincount(found, minlength=len(weight))
    mass = np.asarray(weight, dtype=float).reshape(len(weight), -1).mean(axis=1)
    expected = len(found) * mass / mass.sum()
    assert (counts[mass == 0] == 0).all()
    likely = expected > 5
    chi_square = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    # Mean k and variance 2 k: five deviations above.
    assert likely.sum() > 1
    assert chi_square < likely.sum() + 5 * np.sqrt(2 * likely.sum())
    assert len(set(counts)) > 1


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"), [(10, 3, [3, 3, 2, 2]), (5, 100, [5]), (1, 8, [1])]
)
def test_a_pass_draws_as_many_rows_as_there_are(n_rows, batch_size, sizes):
    batches = TensorBatches(weighing(np.arange(n_rows) + 1), batch_size, sampling=True)
    assert len(batches) == len(sizes)
    for batch_rows in passes(batches, 3):
        assert [len(rows) for rows in batch_rows] == sizes
    if n_rows == 10:
        assert any(len(set(chain(*rows))) < n_rows for rows in passes(batches, 3))


def test_drawn_rows_weigh_one_and_keep_what_belongs_to_them():
    weight = to_mean_one(np.array([0.1, 3.0, 1e-20, 7.0, 0.3] * 5))
    rows = weighing(weight)
    seen = set()
    for batch, y in TensorBatches(rows, 2, shuffle=True, sampling=True):
        assert_array_equal(batch["X"][:, 0], y)
        assert_array_equal(batch["row_weight"], np.ones(len(y), dtype=np.float32), strict=True)
        seen |= set(y.tolist())
    assert len(seen) > 5
    assert_array_equal(rows.row_weight, np.float32(weight))


def test_weights_of_labels_are_left_over_their_mean_in_the_row():
    weight = to_mean_one(np.array([[1.0, 3.0], [10.0, 2.0], [0.0, 4.0]]))
    seen = set()
    for batch, y in TensorBatches(weighing(np.repeat(weight, 10, axis=0)), 8, sampling=True):
        left = weight[y // 10] / weight[y // 10].mean(axis=1, keepdims=True)
        assert_allclose(batch["row_weight"], left, rtol=1e-6)
        seen |= set((y // 10).tolist())
    assert seen == {0, 1, 2}


def test_rows_of_later_calls_of_partial_fit_keep_their_weight_when_they_are_drawn():
    weight = 3 * to_mean_one(np.array([1.0, 2.0, 5.0, 0.5]))
    left = [b["row_weight"] for b, _ in TensorBatches(weighing(weight), 2, sampling=True)]
    assert_allclose(np.concatenate(left), 3.0, rtol=1e-6)


def test_what_is_drawn_and_what_is_left_make_the_weights_together():
    weight = to_mean_one(np.random.default_rng(0).exponential(size=(6, 3)))
    total = np.zeros((6, 3))
    batches = TensorBatches(weighing(weight), 4, sampling=True)
    for _ in range(2000):
        for batch, y in batches:
            np.add.at(total, y.numpy(), batch["row_weight"].numpy().astype(float))
    # 12,000 draws; the rarest row has 6 % of them, which makes 4 % of relative error.
    assert_allclose(total / 12_000, weight / weight.mean() / 6, rtol=0.15)
    assert np.ptp(weight / weight.mean()) > 1


def test_draws_differ_between_passes_and_repeat_with_the_seed():
    weight = np.arange(1, 31)
    first, again, other = (drawn(weight, 3, seed) for seed in (0, 0, 1))
    assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    assert not np.array_equal(first[0], first[1])
    # How rows are cut into batches is another matter.
    assert_array_equal(drawn(weight, 3, 0, batch_size=30), first)


def test_drawing_neither_reads_nor_moves_the_global_random_state():
    state = torch.get_rng_state()
    first = drawn(np.arange(1, 31), 2)
    assert_array_equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert_array_equal(drawn(np.arange(1, 31), 2), first)


@pytest.mark.parametrize("factor", [3, 2.0**-20])
def test_the_scale_of_the_weights_does_not_decide_what_is_drawn(factor):
    weight = np.arange(1, 31) ** 2
    assert_array_equal(drawn(weight * factor, 5), drawn(weight, 5))
    assert not np.array_equal(drawn(weight[::-1], 5), drawn(weight, 5))


@pytest.mark.parametrize(
    ("weight", "uniform", "row"),
    [
        ([1, 1, 2], 0.0, 0),
        ([1, 1, 2], 0.25, 1),
        ([1, 1, 2], 0.5, 2),
        ([1, 1, 2], LARGEST, 2),
        ([0, 0, 1, 2], 0.0, 2),
        ([1, 0, 0, 1], 0.5, 3),
        ([1, 2, 0, 0], LARGEST, 1),
        ([1e-60, 1, 1e-60], 0.0, 1),  # 0 in float32
        ([1e-60, 1, 1e-60], LARGEST, 1),
        ([0.1] * 9 + [0], LARGEST, 8),  # a total that is no float64
    ],
)
def test_the_ends_of_the_unit_interval_lead_to_rows_with_weight(monkeypatch, weight, uniform, row):
    monkeypatch.setattr(
        torch, "rand", lambda n, **_: torch.full((n,), uniform, dtype=torch.float64)
    )
    assert set(drawn(weight, 1).ravel().tolist()) == {row}


def test_light_rows_are_not_swallowed_by_a_heavy_one():
    weight = np.ones(200_001)
    weight[0] = 1e8
    found = drawn(weight, 1, batch_size=len(weight)).ravel()
    light = found[found > 0]
    assert 300 < len(light) < 500  # binomial of mean 399, deviation 20
    # float32 has no number between 1e8 and 1e8 + 8: one row in eight would be drawn.
    assert np.bincount(light % 8, minlength=8).min() > 20
