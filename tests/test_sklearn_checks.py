"""scikit-learn's estimator checks: all of them pass, none is expected to fail or skipped."""

import unittest

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from skweight import FeatureWeight, WeightedTorchClassifier, WeightedTorchRegressor


class OwnModule(nn.Module):
    """A user's module: one hidden layer behind a learnable weight on each feature."""

    def __init__(self, n_features, n_outputs, width=32):
        super().__init__()
        self.layers = nn.Sequential(
            FeatureWeight(n_features),
            nn.Linear(n_features, width),
            nn.Tanh(),
            nn.Linear(width, n_outputs),
        )

    def forward(self, X):
        return self.layers(X)


QUICK = {"max_epochs": 60, "lr": 0.01}


@parametrize_with_checks(
    [
        WeightedTorchClassifier(),
        WeightedTorchRegressor(),
        WeightedTorchClassifier(class_weight="balanced", batch_size=8, max_epochs=30),
        WeightedTorchRegressor(batch_size=8, max_epochs=20, lr=0.01),
        WeightedTorchClassifier(early_stopping=True, **QUICK),
        WeightedTorchRegressor(early_stopping=True, **QUICK),
        WeightedTorchClassifier(
            OwnModule, criterion=nn.CrossEntropyLoss, **QUICK | {"max_epochs": 150}
        ),
        WeightedTorchRegressor(
            OwnModule, module__width=16, sample_weight_power=0.5, **QUICK | {"max_epochs": 150}
        ),
    ]
)
def test_estimator_check_passes(estimator, check):
    try:
        check(estimator)
    except (unittest.SkipTest, pytest.skip.Exception) as skipped:  # a check left out proves nothing
        raise AssertionError(f"skipped: {skipped}") from skipped
