"""What several test files share: networks, batches, trainings, comparisons that name tensors.

Fixtures (tables of rows) are in ``conftest.py``.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skweight.losses import CrossEntropy, RowLoss

ROOT = Path(__file__).parents[1]

# Settings under which a convex problem is solved to the end.
TO_CONVERGENCE = {
    "early_stopping": False,
    "optimizer": torch.optim.LBFGS,
    "lr": 1.0,
    "optimizer__max_iter": 50,
    "optimizer__line_search_fn": "strong_wolfe",
    "optimizer__tolerance_grad": 1e-9,
    "optimizer__tolerance_change": 1e-12,
    "batch_size": -1,
    "max_epochs": 8,
    "random_state": 0,
}


# --------------------------------------------------------------------------------------
# Scripts and processes
# --------------------------------------------------------------------------------------


def load_script(path):
    """Import a script of this repository, such as ``examples/crash_survey.py``, as a module.

    Scripts that import their neighbours find them.
    """
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def run_python(code, *options):
    """Run code in a fresh Python process; return the process with its output as text."""
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def full_disk(n_bytes=5000):
    """No file may become larger, as on a disk with a quota. Python ignores the signal for it."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --------------------------------------------------------------------------------------
# Comparisons
# --------------------------------------------------------------------------------------


def assert_same_tensors(found: Mapping[Any, Tensor], expected: Mapping[Any, Tensor]) -> None:
    """Two dicts of tensors, such as state dicts, are equal bit for bit; says which one differs."""
    assert [*found] == [*expected], "other names, or in another order"
    for name, tensor in found.items():
        other = expected[name]
        kinds = [(t.dtype, tuple(t.shape)) for t in (tensor, other)]
        assert kinds[0] == kinds[1], f"{name!r} has dtype and shape {kinds[0]}, not {kinds[1]}"
        if not torch.equal(tensor, other):
            differs = tensor != other
            first = tuple(differs.nonzero()[0].tolist())
            pytest.fail(
                f"{name!r} differs in {int(differs.sum())} of {differs.numel()} elements: "
                f"{tensor[first].item()} at {first}, not {other[first].item()}"
            )


def copy_of_state(module):
    """Copy the parameters and buffers of a network, to be compared with after it has changed."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


# --------------------------------------------------------------------------------------
# Losses
# --------------------------------------------------------------------------------------


def each_loss(*losses):
    """Run a test once per loss, named by the class of the loss and its numbers."""

    def name(loss):
        values = [v for v in vars(loss).values() if isinstance(v, float)]
        return "-".join(map(str, [type(loss).__name__, *values]))

    return pytest.mark.parametrize("loss", losses, ids=name)


def assert_gradients_are_right(loss, output, target):
    """Gradients are those of finite differences, and ``torch.func.vmap`` can stack them."""
    total = torch.func.grad(lambda z: loss(z, target).sum())
    assert torch.autograd.gradcheck(lambda z: loss(z, target), output.clone().requires_grad_())
    stacked = torch.func.vmap(total)(torch.stack([output, -output]))
    assert stacked.abs().max() > 0.05
    assert_allclose(stacked, torch.stack([total(output), total(-output)]), atol=1e-15)


def assert_finite_but_not_flat(loss, output, target):
    """At extreme scores the loss is large, its gradient is not zero, and both are finite."""
    value = loss(output.requires_grad_(), target)
    (gradient,) = torch.autograd.grad(value.sum(), output)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient.any()
    assert value.max() > 1


# --------------------------------------------------------------------------------------
# Networks and trainings without an estimator
# --------------------------------------------------------------------------------------


class Intercept(nn.Module):
    """One score for all rows: a view of a parameter, even where no gradient is wanted."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, X):
        """The same scores for every row."""
        return self.logit.expand(len(X), -1)


def network_with_spare_parameter(*between):
    """Make a network of 5 features with a parameter ``spare`` that its forward does not use."""
    module = nn.Sequential(nn.Linear(5, 8), *between, nn.Tanh(), nn.Linear(8, 1))
    module.register_parameter("spare", nn.Parameter(torch.ones(3)))
    return module


def make_batches(sizes, seed=0):
    """Yield random batches of these sizes, with row weights, as training steps take them."""
    generator = torch.Generator().manual_seed(seed)
    for size in sizes:
        X = torch.randn(size, 5, generator=generator)
        y = (X[:, 0] + torch.randn(size, generator=generator) > 0).long()
        yield {"X": X, "row_weight": torch.rand(size, generator=generator) * 2}, y


class Trained(NamedTuple):
    """A trained network, the loss and output of each step, and the first weights over time."""

    module: nn.Module
    losses: list[Tensor]
    outputs: list[Tensor]
    weights: list[Tensor]  # of the first layer: before training and after each batch


def train_thirty_batches(
    make_step, *between, optimizer=None, after=lambda module: None, frozen=()
) -> Trained:
    """Train on 30 batches of two sizes with the steps that ``make_step(module, loss)`` makes.

    ``between`` are layers to put in the network, ``after`` is called after each step, and in
    the batches whose numbers are in ``frozen`` the first weight takes no gradient.
    """
    torch.manual_seed(0)
    module = network_with_spare_parameter(*(layer() for layer in between))
    step = make_step(module, RowLoss(CrossEntropy()))
    kind, options = optimizer or (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1})
    stepping = kind(module.parameters(), **options)
    losses, outputs, weights = [], [], [module[0].weight.detach().clone()]
    for i, batch in enumerate(make_batches([13, 13, 12, 12, 12] * 6)):
        module[0].weight.requires_grad_(i not in frozen)

        def closure(batch=batch):
            loss, output = step(batch)
            after(module)
            losses.append(loss)
            outputs.append(output.clone())  # the next step may overwrite it
            return loss

        stepping.step(closure)
        weights.append(module[0].weight.detach().clone())
    return Trained(module, losses, outputs, weights)


def assert_same_steps(found: Trained, expected: Trained) -> None:
    """Losses, outputs and weights after every step are equal bit for bit."""
    for name in ("losses", "outputs", "weights"):
        of_steps = [
            {f"{name}[{i}]": tensor for i, tensor in enumerate(getattr(trained, name))}
            for trained in (found, expected)
        ]
        assert_same_tensors(*of_steps)


def assert_same_training(found: Trained, expected: Trained) -> None:
    """As ``assert_same_steps``; so are the networks and their gradients at the end."""
    assert_same_steps(found, expected)
    assert_same_tensors(found.module.state_dict(), expected.module.state_dict())
    assert torch.equal(expected.module.spare, torch.ones(3))  # and did not decay
    assert_same_tensors(gradients_of(found.module), gradients_of(expected.module))


def gradients_of(module):
    """Gradients by the name of their parameter; parameters without one are left out."""
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


# --------------------------------------------------------------------------------------
# A CPU that plays the GPU
# --------------------------------------------------------------------------------------


class RecordedKernels(TorchDispatchMode):
    """Record every operation with the tensors that it reads and writes, as a CUDA graph does."""

    def __init__(self):
        super().__init__()
        self.launches = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation and keep it; refuse to read a value, as a recording on a GPU does."""
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        results = function(*args, **(kwargs or {}))
        given = {address(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        new = [t for t in tree_leaves(results) if isinstance(t, Tensor)]
        written = [None if address(t) in given else t for t in new]  # not views, nor in place
        self.launches.append((function, args, kwargs or {}, written))
        return results

    @torch.no_grad()
    def replay(self):
        """Run all operations again, without the Python code that asked for them."""
        for function, args, kwargs, written in self.launches:
            results = tree_leaves(function(*args, **kwargs))
            results = [t for t in results if isinstance(t, Tensor)]
            for old, new in zip(written, results, strict=True):
                if old is not None:
                    old.copy_(new)


def address(tensor):
    """Where the memory of a tensor begins: equal for a tensor and its views."""
    return tensor.untyped_storage().data_ptr()
