"""What several test files use, each with a docstring that says for what."""

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skweight.losses import CrossEntropy, RowLoss

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


class Intercept(nn.Module):
    """One score for all rows: a view of a parameter, even where no gradient is wanted."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, X):
        return self.logit.expand(len(X), -1)


def each(*losses):
    """One test per loss, with its class and its numbers as a name."""

    def name(loss):
        values = [v for v in vars(loss).values() if isinstance(v, float)]
        return "-".join(map(str, [type(loss).__name__, *values]))

    return pytest.mark.parametrize("loss", losses, ids=name)


def check_gradients(loss, output, target):
    """Gradients are those of finite differences and can be stacked."""
    total = torch.func.grad(lambda z: loss(z, target).sum())
    assert torch.autograd.gradcheck(lambda z: loss(z, target), output.clone().requires_grad_())
    stacked = torch.func.vmap(total)(torch.stack([output, -output]))
    assert stacked.abs().max() > 0.05
    assert_allclose(stacked, torch.stack([total(output), total(-output)]), atol=1e-15)


def check_far_out(loss, output, target):
    """The loss is large, its gradient is not zero, and both are finite."""
    value = loss(output.requires_grad_(), target)
    (gradient,) = torch.autograd.grad(value.sum(), output)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient.any()
    assert value.max() > 1


class Kernels(TorchDispatchMode):
    """Keep every operation with the tensors that it reads and writes, as a CUDA graph does."""

    def __init__(self):
        super().__init__()
        self.launches = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        results = function(*args, **(kwargs or {}))
        given = {place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        new = [t for t in tree_leaves(results) if isinstance(t, torch.Tensor)]
        written = [None if place(t) in given else t for t in new]  # not views, nor in place
        self.launches.append((function, args, kwargs or {}, written))
        return results

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, written in self.launches:
            results = tree_leaves(function(*args, **kwargs))
            results = [t for t in results if isinstance(t, torch.Tensor)]
            for old, new in zip(written, results, strict=True):
                if old is not None:
                    old.copy_(new)


def place(tensor):
    return tensor.untyped_storage().data_ptr()


def network(*between):
    """A network with a parameter that takes no part."""
    module = nn.Sequential(nn.Linear(5, 8), *between, nn.Tanh(), nn.Linear(8, 1))
    module.register_parameter("spare", nn.Parameter(torch.ones(3)))
    return module


def make_batches(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for size in sizes:
        X = torch.randn(size, 5, generator=generator)
        y = (X[:, 0] + torch.randn(size, generator=generator) > 0).long()
        yield {"X": X, "row_weight": torch.rand(size, generator=generator) * 2}, y


def training(make, *between, optimizer=None, after=lambda module: None, frozen=()):
    """Train on 30 batches of two sizes; return the module, and losses, outputs and weights."""
    torch.manual_seed(0)
    module = network(*(layer() for layer in between))
    step = make(module, RowLoss(CrossEntropy()))
    kind, options = optimizer or (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1})
    stepping = kind(module.parameters(), **options)
    losses, outputs, weights = [], [], [module[0].weight.detach().clone()]
    for i, batch in enumerate(make_batches([13, 13, 12, 12, 12] * 6)):
        module[0].weight.requires_grad_(i not in frozen)

        def closure(batch=batch):
            loss, output = step(batch)
            after(module)
            losses.append(loss)
            outputs.append(output)
            return loss

        stepping.step(closure)
        weights.append(module[0].weight.detach().clone())
    return module, losses, outputs, weights


def check_same(found, expected):
    """Networks with their gradients, losses, outputs and weights are equal bit for bit."""
    for a, b in zip(found[1:], expected[1:]):
        assert len(a) == len(b) and all(map(torch.equal, a, b))
    states = found[0].state_dict(), expected[0].state_dict()
    assert [*states[0]] == [*states[1]]
    assert all(map(torch.equal, states[0].values(), states[1].values()))
    assert torch.equal(expected[0].spare, torch.ones(3))  # and did not decay
    for a, b in zip(found[0].parameters(), expected[0].parameters()):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or torch.equal(a.grad, b.grad)
