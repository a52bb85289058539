"""Recordings as CUDA graphs: what torch.cuda is asked for, and the fits themselves on a GPU."""

import gc
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from weakref import WeakSet

import numpy as np
import pytest
import torch
from helpers import RecordedKernels, make_batches
from skorch.callbacks import EpochScoring
from torch import nn

from skweight import WeightedTorchClassifier
from skweight.losses import CrossEntropy, RowLoss
from skweight.training import CudaGraphs, ReplayedStep

asked = []  # of torch.cuda, see ``Cuda``


class Looks(nn.Linear):
    """Do what no recording allows, while it is trained."""

    def forward(self, X):
        scale = 1.0 if not self.training or X.sum().item() > -np.inf else 2.0
        return super().forward(X) * scale


class Replaces(nn.Linear):
    """Keep a statistic in ever new tensors."""

    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, X):
        self.mean = 0.9 * self.mean + 0.1 * X.detach().mean()
        return super().forward(X) + self.mean


class Interrupted(nn.Linear):
    def forward(self, X):
        if asked and asked[-1] == "begin":
            raise KeyboardInterrupt
        return super().forward(X)


class Cuda:
    """What training on a GPU asks of torch.cuda, written down; graphs are ``RecordedKernels``."""

    def __init__(self):
        self.log = []
        self.default_generators = {1: self}
        self.n_streams = 0

    def clone_state(self):
        return "as it was"

    def graphsafe_set_state(self, state):
        self.log.append(state)

    def Stream(self, device):
        self.n_streams += 1
        waits = partial(self.log.append, "own waits")
        return SimpleNamespace(device=torch.device("cuda:1"), wait_stream=lambda other: waits())

    def current_stream(self, device):
        assert device == torch.device("cuda:1")
        waits = partial(self.log.append, "computing waits")
        return SimpleNamespace(wait_stream=lambda other: waits())

    @contextmanager
    def stream(self, stream):
        yield

    CUDAGraph = RecordedKernels

    def graph_pool_handle(self):
        self.n_pools = getattr(self, "n_pools", 0) + 1
        return "the pool"

    @contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert (
            pool == "the pool" and stream.device.index == 1 and capture_error_mode == "thread_local"
        )
        self.log.append("begin")
        try:
            with graph:
                yield
        except BaseException:  # as in torch: the end of a recording that failed fails too
            raise RuntimeError("CUDA error: invalidated") from None
        self.log.append("end")


@pytest.fixture
def cuda(monkeypatch):
    fake = Cuda()
    names = ("CUDAGraph", "Stream", "current_stream", "default_generators", "graph", "stream")
    for name in (*names, "graph_pool_handle"):
        monkeypatch.setattr(f"torch.cuda.{name}", getattr(fake, name))
    monkeypatch.setattr("test_cuda_graphs.asked", fake.log)
    return fake


def run(module, n_batches):
    graphs = CudaGraphs(torch.device("cuda"))
    return run_with(graphs, module, n_batches)


def run_with(graphs, module, n_batches):
    step = ReplayedStep(module, RowLoss(CrossEntropy()), graphs.record, graphs.warmup)
    return [step(batch) for batch in make_batches([7] * n_batches)]


def test_steps_are_recorded_in_a_stream_of_their_own_after_two_steps_there(cuda):
    run(nn.Linear(5, 1), 5)
    assert cuda.n_streams == cuda.n_pools == 1
    assert cuda.log == ["own waits", "computing waits"] * 2 + ["begin", "end"]


def test_the_memory_of_a_recording_is_kept_until_the_next_one_has_been_made(cuda, monkeypatch):
    """torch refuses a pool all of whose graphs are gone while a tensor still lies in it."""
    alive = WeakSet()

    class Graph(RecordedKernels):
        def __init__(self):
            super().__init__()
            self.found = len(alive)
            alive.add(self)

    monkeypatch.setattr("torch.cuda.CUDAGraph", Graph)
    graphs = CudaGraphs(torch.device("cuda"))
    for expected in (0, 1, 1):  # the step, with its recordings, is dropped each time
        run_with(graphs, nn.Linear(5, 1), 3)
        gc.collect()
        assert [graph.found for graph in alive] == [expected]


REFUSED = {
    Looks: "RuntimeError: operation not permitted when stream is capturing",
    Replaces: "a forward that puts another tensor in place of a buffer",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_recorded_is_refused_with_the_reason(kind, cuda):
    run(kind(5, 1), 2)
    message = rf"^compile=True on a GPU .*, got {REFUSED[kind]}\. Pass compile=False\.$"
    with pytest.raises(ValueError, match=message):
        run(kind(5, 1), 3)
    assert cuda.log[-1] == ("as it was" if kind is Looks else "end")


class Fails(nn.Linear):
    def forward(self, X):
        if asked:
            raise KeyboardInterrupt
        return super().forward(X)


def test_the_device_waits_for_an_interrupted_step_on_the_other_stream(cuda):
    with pytest.raises(KeyboardInterrupt):
        run(Fails(5, 1), 1)
    assert cuda.log == ["own waits", "computing waits"]


def test_an_interrupt_while_a_step_is_recorded_passes_and_leaves_the_generator_as_it_was(cuda):
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(5, 1), 3)
    assert cuda.log[-2:] == ["begin", "as it was"]


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
# 120 steps: enough to be recorded.
ON_GPU = {"max_epochs": 20, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cuda"}


@needs_gpu
@pytest.mark.parametrize("per_batch", [False, True])
def test_a_fit_with_cuda_graphs_is_close_to_that_without(binary, per_batch):
    X, y, weight = binary
    score = EpochScoring("accuracy", name="accuracy", on_train=True, lower_is_better=False)
    params = ON_GPU | {"callbacks": [score] if per_batch else None}
    losses = []
    for compile in (False, True):
        model = WeightedTorchClassifier(early_stopping=True, compile=compile, **params)
        losses.append(model.fit(X, y, weight).history_[:, ("train_loss", "valid_loss")])
    assert losses[0][-1][0] < 0.9 * losses[0][0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


@needs_gpu
def test_a_network_that_looks_at_values_is_refused_by_a_cuda_graph(binary):
    X, y, _ = binary
    params = ON_GPU
    with pytest.raises(ValueError, match=r"^compile=True .* Pass compile=False\.$"):
        WeightedTorchClassifier(Looks, compile=True, **params).fit(X, y)
    assert WeightedTorchClassifier(Looks, **params).fit(X, y).predict(X).shape == y.shape
