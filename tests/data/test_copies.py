"""Batches that are copied to a GPU ahead of their use; on a CPU, what torch.cuda is asked for."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight.data import RowDataset, TensorBatches, batches, gather, place, prefetch
from skweight.data import rows as rows_file

CPU = torch.device("cpu")
KINDS = {"dense": np.asarray, "csr": sparse.csr_array}
SETTINGS = {"in order": {}, "shuffled": {"shuffle": True}, "sampled": {"sampling": True}}
WIDE = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
WIDE[np.random.default_rng(1).random(WIDE.shape) < 0.4] = 0


def make_rows(X, device):
    """29 of the 40 rows, in batches of 5 that have 30 values of X."""
    rng = np.random.default_rng(2)
    return RowDataset(X, rng.permutation(40)[:29], np.arange(29), rng.exponential(size=29), device)


class Streams:
    """Streams, events and the blocks that are gathered, written down as they are asked for."""

    def __init__(self):
        self.log, self.n_streams, self.n_events = [], 0, 0
        self.current = "computing"

    def Stream(self, device):
        self.n_streams += 1
        return SimpleNamespace(
            device=device,
            wait_stream=lambda other: self.log.append("copying waits"),
            record_event=self.record_event,
        )

    def record_event(self):
        assert self.current == "copying"
        self.n_events += 1
        return self.n_events - 1

    def current_stream(self, device):
        return SimpleNamespace(wait_event=lambda event: self.log.append(f"wait for {event}"))

    @contextmanager
    def stream(self, stream):
        self.current = "copying"
        yield
        self.current = "computing"


@pytest.mark.parametrize("setting", SETTINGS)
def test_blocks_are_copied_ahead_in_one_stream_and_each_is_waited_for(monkeypatch, setting):
    monkeypatch.setattr(batches, "VALUES_AT_ONCE", {"cpu": 60})  # two batches
    rows, kept = make_rows(sparse.csr_array(WIDE), CPU), []
    expected = [list(TensorBatches(rows, 5, seed=1, **SETTINGS[setting])) for _ in range(2)]
    streams = Streams()
    for name in ("Stream", "current_stream", "stream"):
        monkeypatch.setattr(f"torch.cuda.{name}", getattr(streams, name))
    monkeypatch.setattr(RowDataset, "is_copied", True)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda t, stream: kept.append(t.data_ptr()))

    def gathered(*args):
        assert streams.current == "copying"
        streams.log.append("gather")
        return gather(*args)

    monkeypatch.setattr(rows_file, "gather", gathered)
    copied = TensorBatches(rows, 5, seed=1, **SETTINGS[setting])
    for number, (batch, y) in enumerate(copied):
        assert streams.current == "computing"
        streams.log.append("compute")
        their, their_y = expected[0][number]
        assert_array_equal(y, their_y, err_msg="y")
        assert_array_equal(batch["X"], their["X"], err_msg="X")
        assert_array_equal(batch["row_weight"], their["row_weight"], err_msg="row_weight")
        if number % 2 == 0:
            parts = batch["row_weight"], y  # X may be copied once more
            assert kept[-2:] == [part.data_ptr() for part in parts] and len(kept) % 3 == 0
    pair = ["compute"] * 2
    assert streams.log == [
        *["copying waits", "gather", "gather", "wait for 0", *pair],
        *["gather", "wait for 1", *pair, "wait for 2", *pair],
    ]
    assert len(list(copied)) == number + 1 == 6
    assert streams.n_streams == 1 and streams.n_events == 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_batches_on_a_gpu_that_does_not_hold_x_are_those_on_the_cpu(monkeypatch, kind, setting):
    monkeypatch.setattr(batches, "VALUES_AT_ONCE", {"cpu": 60, "cuda": 60})
    monkeypatch.setattr("skweight.data.device.SHARE_FOR_X", 0)
    X = KINDS[kind](WIDE)
    found, expected = (
        TensorBatches(make_rows(place(X, device), device), 5, seed=1, **SETTINGS[setting])
        for device in (torch.device("cuda"), CPU)
    )
    assert found.rows.is_copied
    for _ in range(2):
        for (batch, y), (their, their_y) in zip(found, expected, strict=True):
            assert y.is_cuda and batch["X"].is_cuda and batch["row_weight"].is_cuda
            assert_array_equal(y.cpu(), their_y, err_msg="y")
            assert_array_equal(batch["X"].cpu(), their["X"], err_msg="X")
            assert_array_equal(batch["row_weight"].cpu(), their["row_weight"], err_msg="row_weight")


@pytest.mark.parametrize("shape", [(40, 6), (40, 2, 3), (40,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_rows_for_a_gpu_are_gathered_into_pinned_memory_and_copied_without_waiting(
    monkeypatch, shape, dtype
):
    X = torch.arange(np.prod(shape)).reshape(shape).to(dtype)
    index, log, empty = torch.tensor([3, 0, 3, 39]), [], torch.empty

    def pinned(*size, pin_memory, **options):
        assert pin_memory
        log.append(empty(*size, **options))
        return log[-1]

    def to(tensor, device, non_blocking):
        assert device.type == "cuda" and non_blocking
        return tensor

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pytest.fail("copied twice"))
    found = gather(X, index, torch.device("cuda"))
    assert [memory.data_ptr() for memory in log] == [found.data_ptr()]
    assert torch.equal(found, X[index]) and found.dtype == dtype


@pytest.mark.parametrize("items", [[], ["only"], [1, 2], [3, None, 0, False, 3]])
def test_one_ahead_yields_every_item_in_its_order(items):
    assert list(prefetch(iter(items))) == items


def test_an_item_is_asked_for_before_the_one_at_hand_is_used():
    log = []

    def items():
        for number in range(3):
            log.append(f"made {number}")
            yield number
        log.append("none left")

    for number in prefetch(items()):
        log.append(f"used {number}")
    expected = ["made 0", "made 1", "used 0", "made 2", "used 1", "none left", "used 2"]
    assert log == expected


def test_nothing_is_made_before_the_first_item_is_wanted_nor_two_ahead():
    asked = []
    waiting = prefetch(asked.append(number) or number for number in range(10))
    assert asked == []
    assert next(waiting) == 0
    assert asked == [0, 1]
