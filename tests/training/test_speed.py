"""What costs time, counted instead of timed: a clock would tell of the machine."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.modules import MLP
from skweight.training import compiled_losses

ROWS, FEATURES, BATCH = 640, 5, 64


class Counts(TorchDispatchMode):
    """Count the kernels that torch is asked for."""

    def __init__(self):
        super().__init__()
        self.kernels = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.kernels[function.name()] += 1
        return function(*args, **(kwargs or {}))


def kernels(function):
    with Counts() as counts:
        function()
    return counts.kernels


def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(np.int64), rng.uniform(0.5, 2, ROWS)


def loop(X, y, weight, epochs):
    """The loop by hand, of the default network without bins, which take their edges from rows."""
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y).float()
    weights = torch.from_numpy(weight).float()
    module = MLP(FEATURES, 1, n_bins=0)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for x, t, w in zip(*(part[order].split(BATCH) for part in (inputs, targets, weights))):
            optimizer.zero_grad()
            logit = module(x).squeeze(1)
            losses = F.binary_cross_entropy_with_logits(logit, t, reduction="none")
            (losses * w).mean().backward()
            optimizer.step()
    return module


def of_an_epoch(train):
    """What three more epochs ask for, by epoch: everything before and after them left out."""
    more = kernels(lambda: train(4))
    more.subtract(kernels(lambda: train(1)))
    return {name: count / 3 for name, count in more.items() if count}


def products(counts):
    """The number of matrix products."""
    names = ("aten::mm", "aten::mm.out", "aten::addmm", "aten::addmm.out")
    return sum(counts.get(name, 0) for name in names)


def test_a_step_asks_torch_for_no_more_than_a_loop_by_hand():
    data, steps = rows(), ROWS / BATCH

    def fit(epochs):
        model = WeightedTorchClassifier(
            max_epochs=epochs,
            batch_size=BATCH,
            early_stopping=False,
            module__n_bins=0,
            optimizer__weight_decay=0.01,
            device="cpu",
            random_state=0,
        )
        return model.fit(*data)

    fit(1)  # its steps are tried in the first fit
    own = of_an_epoch(fit)
    by_hand = of_an_epoch(lambda epochs: loop(*data, epochs))
    assert own["aten::_fused_adamw_"] == by_hand["aten::_fused_adamw_"] == steps
    assert products(own) == products(by_hand) == 8 * steps
    views = ("aten::detach", "aten::view", "aten::_unsafe_view", "aten::t", "aten::squeeze.dim")
    work = [sum(n for name, n in counts.items() if name not in views) for counts in (own, by_hand)]
    assert 10 * steps < work[0] <= work[1]


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_an_epoch_asks_for_nothing_that_waits_for_the_device(estimator):
    X, y, weight = rows()
    waiting = of_an_epoch(
        lambda epochs: estimator(
            max_epochs=epochs, batch_size=BATCH, early_stopping=False, device="cpu"
        ).fit(X, y, weight)
    )
    waits = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero"}
    assert waiting["aten::index_select"] > 0 and not waits & waiting.keys()


def test_prediction_reads_float32_where_it_lies(monkeypatch):
    X, y, weight = rows()
    model = WeightedTorchClassifier(max_epochs=1, n_members=1, device="cpu").fit(X, y, weight)
    addresses = []
    forward = type(model.module_).forward

    def look(self, chunk):
        addresses.append(chunk.data_ptr())
        return forward(self, chunk)

    monkeypatch.setattr(type(model.module_), "forward", look)
    model.predict_proba(X)
    assert addresses == [X.ctypes.data]


def test_each_structure_is_compiled_from_code_of_its_own(monkeypatch):
    """torch compiles the same code eight times at most, and then silently runs it as it is."""
    monkeypatch.setattr("torch.compile", lambda function: function)
    compiled_losses.cache_clear()
    functions = [compiled_losses(structure) for structure in ("one", "another", "one")]
    compiled_losses.cache_clear()
    assert functions[0] is functions[2]
    assert functions[0].__code__ != functions[1].__code__
    y = torch.full((2,), 3)
    assert functions[0](torch.neg, torch.add, torch.ones(2), y, None)[0].tolist() == [2, 2]


def test_importing_the_package_loads_no_compiler_and_no_plots():
    code = "import skweight, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    modules = set(loaded.stdout.split())
    assert {"skweight.training", "skorch"} <= modules
    assert not {"torch._dynamo", "torch._inductor", "matplotlib", "IPython", "pytest"} & modules
