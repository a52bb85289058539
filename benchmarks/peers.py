"""The peers that skweight is timed against, each as a person who knows it well would write it.

All train an MLP with two hidden layers of 64 on weighted rows of two classes: batches of
256 in an order that changes with each epoch, AdamW (Adam in scikit-learn), binary cross entropy.
"""

from functools import partial

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetBinaryClassifier
from torch import nn
from torch.nn import functional as F

BATCH_SIZE = 256
# Switches off what skweight does by default and the peers do not; ``defaults.py`` measures it.
PLAIN = {
    "module__n_bins": 0,
    "module__clip": None,
    "batch_size": BATCH_SIZE,
    "early_stopping": False,
    "optimizer__weight_decay": 0.01,
}


def rows(n_rows: int, n_features: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X in float32, classes and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.standard_normal(n_rows) > 0).astype(np.int64)
    return X, y, rng.exponential(size=n_rows)


def network(n_features: int) -> nn.Sequential:
    """The network that the loop and skorch train."""
    return nn.Sequential(
        *(nn.Linear(n_features, 64), nn.ReLU()), *(nn.Linear(64, 64), nn.ReLU()), nn.Linear(64, 1)
    )


def loop(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray, epochs: int, device: str = "cpu"
) -> nn.Module:
    """The loop of the tutorials, written well: tensors instead of a DataLoader, a fused step."""
    torch.manual_seed(0)
    inputs = torch.from_numpy(X).to(device)
    inputs = (inputs - inputs.mean(dim=0)) / inputs.std(dim=0)
    targets = torch.from_numpy(y).float().to(device)
    weights = torch.from_numpy(weight / weight.mean()).float().to(device)
    module = network(X.shape[1]).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(inputs), device=device)
        batches = zip(*(part[order].split(BATCH_SIZE) for part in (inputs, targets, weights)))
        losses_of_batches = []
        for x, target, w in batches:
            optimizer.zero_grad()
            logit = module(x).squeeze(1)
            losses = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
            loss = (losses * w).mean()
            loss.backward()
            optimizer.step()
            losses_of_batches.append(loss.detach())
        if not torch.stack(losses_of_batches).isfinite().all():
            raise RuntimeError("The loss is not finite.")
    return module


class _TakesWeights(nn.Module):
    """A module for skorch, whose ``forward`` has a parameter for every key of the dict X."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.network = network(n_features)

    def forward(self, X: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return self.network(X).squeeze(1)


class _WeightedSkorch(NeuralNetBinaryClassifier):
    """Sample weights as skorch's FAQ recommends them."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        losses = super().get_loss(y_pred, y_true.float(), X=X, training=training)
        return (losses * X["weight"]).mean()


def skorch(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray, epochs: int, device: str = "cpu"
) -> NeuralNetBinaryClassifier:
    """Train with skorch, on all rows and in silence; its other defaults are left as they are."""
    net = _WeightedSkorch(
        _TakesWeights,
        module__n_features=X.shape[1],
        criterion__reduction="none",
        optimizer=partial(torch.optim.AdamW, fused=True),
        lr=1e-3,
        batch_size=BATCH_SIZE,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        device=device,
    )
    return net.fit({"X": X, "weight": (weight / weight.mean()).astype(np.float32)}, y)


def scikit_learn(X: np.ndarray, y: np.ndarray, weight: np.ndarray, epochs: int) -> MLPClassifier:
    """Train scikit-learn's MLP for just as many epochs."""
    mlp = MLPClassifier(
        (64, 64),
        batch_size=min(BATCH_SIZE, len(X)),
        learning_rate_init=1e-3,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        random_state=0,
    )
    return mlp.fit(X, y, weight)
