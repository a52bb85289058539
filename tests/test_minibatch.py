"""Mini-batches estimate the weighted gradient without bias, whatever their size.

Exact laws are in ``test_weight_laws.py``.
"""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from helpers import Intercept

from skweight import WeightedTorchClassifier
from skweight.losses import cross_entropy, weighted_mean
from skweight.weights import to_mean_one


@pytest.fixture(scope="module")
def rare():
    """One percent positives and no signal."""
    rng = np.random.default_rng(0)
    y = np.zeros(20_000, dtype=int)
    y[:200] = 1
    return rng.normal(size=(len(y), 2)), y


@pytest.mark.parametrize(
    ("weighting", "expectation"),
    [
        ("loss", pytest.warns(UserWarning, match=r"^A few rows have most of the weight")),
        ("sampling", nullcontext()),
    ],
)
def test_balanced_weights_lead_to_one_half_at_one_percent_positives_and_batches_of_32(
    rare, weighting, expectation
):
    X, y = rare
    model = WeightedTorchClassifier(
        class_weight="balanced",
        weighting=weighting,
        batch_size=32,
        max_epochs=10,
        lr=1e-3,
        module__hidden_sizes=(),
        random_state=0,
    )
    with expectation:
        model.fit(X, y)
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(0.5, abs=0.02)


def test_dividing_by_the_weights_of_the_batch_would_not_lead_there(rare):
    """The same rows, weights and batches with the other normalisation: the answer is 0.21."""
    _, y = rare
    weight = torch.tensor(np.where(y == 1, 99.0, 1.0))
    target = torch.tensor(y, dtype=torch.float64)
    answers = {}
    for name, total in [("batch", lambda w: w.sum()), ("global", lambda w: len(w) * weight.mean())]:
        logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([logit], lr=0.05)
        generator = torch.Generator().manual_seed(0)
        tail = []
        for _ in range(12):
            for rows in torch.randperm(len(y), generator=generator).split(32):
                w = weight[rows]
                loss = (w * cross_entropy(logit.expand(len(rows)), target[rows])).sum() / total(w)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                tail.append(logit.sigmoid().item())
        answers[name] = np.mean(tail[-3000:])
    assert answers["batch"] == pytest.approx(0.21, abs=0.03)
    assert answers["global"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_the_mean_of_the_batch_gradients_is_the_gradient_of_the_whole(batch_size):
    rng = np.random.default_rng(1)
    X = torch.tensor(rng.normal(size=(224, 5)))
    y = torch.tensor(rng.integers(0, 2, 224), dtype=torch.float64)
    mass = rng.exponential(size=224) ** 3
    weight = torch.tensor(to_mean_one(mass))
    theta = torch.tensor(rng.normal(size=5), requires_grad=True)

    def gradient(rows, w):
        loss = weighted_mean(cross_entropy(X[rows] @ theta, y[rows]), w[rows])
        return torch.autograd.grad(loss, theta)[0]

    batches = torch.randperm(224, generator=torch.Generator().manual_seed(0)).split(batch_size)
    mean = torch.stack([gradient(rows, weight) for rows in batches]).mean(0)
    plain = torch.tensor(mass / mass.sum() * len(mass))
    whole = gradient(torch.arange(224), plain)
    assert whole.norm() > 0.1
    torch.testing.assert_close(mean, whole, rtol=1e-12, atol=1e-12)


def test_the_recorded_losses_are_weighted_means_over_all_rows(binary):
    X, y, weight = binary
    model = WeightedTorchClassifier(
        Intercept, early_stopping=True, batch_size=50, max_epochs=1, lr=1e-12, random_state=0
    )
    model.fit(X, y, weight + 1)
    # Before any step the logit is 0, so that every row's loss is log 2, weighted or not.
    assert model.history_[0, "train_loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert model.history_[0, "valid_loss"] == pytest.approx(np.log(2), rel=1e-6)

    module = Intercept(8, 1)
    with torch.no_grad():
        module.logit.fill_(1.0)
    model = WeightedTorchClassifier(
        module, batch_size=50, max_epochs=1, lr=1e-12, early_stopping=False
    )
    model.fit(X, y, weight)
    losses = np.where(y == 1, np.log1p(np.exp(-1)), np.log1p(np.exp(1)))
    expected = np.average(losses, weights=weight)
    assert abs(expected - losses.mean()) > 1e-3
    assert model.history_[0, "train_loss"] == pytest.approx(expected, rel=1e-6)
