"""What several test files use, and one thread per process for small networks."""

import os

# Before torch and scikit-learn are imported. scikit-learn skips its array-API check
# unless SciPy was told that it may be asked for one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification, make_regression
from torch import nn


@pytest.fixture(autouse=True)
def warn_again(monkeypatch):
    """The warning of few effective rows comes once per process: here once per test."""
    monkeypatch.setattr("skweight.estimators._warned_of_few_rows", False)


# Settings under which a convex problem is solved to the end.
TO_CONVERGENCE = {
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


@pytest.fixture(scope="session")
def classes3():
    """420 rows, 8 features, three classes, integer weights with zeros among them."""
    X, y = make_classification(420, 8, n_informative=5, n_classes=3, flip_y=0.1, random_state=0)
    return X, y, np.random.default_rng(0).integers(0, 4, len(y))


@pytest.fixture(scope="session")
def binary():
    """420 rows, 8 features, a fifth of them positive, integer weights with zeros."""
    X, y = make_classification(420, 8, weights=[0.8], flip_y=0.1, random_state=1)
    return X, y, np.random.default_rng(1).integers(0, 4, len(y))


@pytest.fixture(scope="session")
def regression():
    """420 rows, 8 features, a noisy target, integer weights with zeros among them."""
    X, y = make_regression(420, 8, noise=20.0, random_state=2)
    return X, y, np.random.default_rng(2).integers(0, 4, len(y))


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
