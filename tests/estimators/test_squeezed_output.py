"""Modules that end with ``squeeze()``, which for one row also drops the axis of the rows."""

import numpy as np
import pytest
from helpers import assert_same_tensors
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EpochScoring
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

RNG = np.random.default_rng(0)
X = RNG.normal(size=(33, 4)).astype(np.float32)
Y = X[:, 0] + RNG.normal(size=33)
SEVERAL = np.stack([Y, X[:, 1]], axis=1)
BINARY = (Y > 0).astype(int)
CLASSES = np.arange(33) % 3
LABELS = np.stack([BINARY, X[:, 1] > 0], axis=1).astype(int)


class Plain(nn.Module):
    """A linear model, whose output keeps its two dimensions."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs)

    def forward(self, X):
        return self.linear(X)


class Squeezed(Plain):
    def forward(self, X):
        return self.linear(X).squeeze()


class FirstAxisSqueezed(Plain):
    def forward(self, X):
        return self.linear(X).squeeze(0)


class LastAxisSqueezed(Plain):
    def forward(self, X):
        return self.linear(X).squeeze(1)


FAST = {"batch_size": 32, "max_epochs": 3, "random_state": 0, "early_stopping": False}
TASKS = {
    "one target": (WeightedTorchRegressor, Y, {}),
    "two targets": (WeightedTorchRegressor, SEVERAL, {}),
    "own loss": (WeightedTorchRegressor, Y, {"criterion": nn.SmoothL1Loss}),
    "two quantiles": (
        WeightedTorchRegressor,
        Y,
        {"criterion": "quantile", "criterion__quantile": [0.1, 0.9]},
    ),
    "two classes": (WeightedTorchClassifier, BINARY, {}),
    "three classes": (WeightedTorchClassifier, CLASSES, {}),
    "two labels": (WeightedTorchClassifier, LABELS, {}),
    "weighted labels": (WeightedTorchClassifier, LABELS, {"class_weight": "balanced"}),
}
each_task = pytest.mark.parametrize(("kind", "y", "params"), TASKS.values(), ids=TASKS)
each_module = pytest.mark.parametrize("module", [Squeezed, FirstAxisSqueezed, LastAxisSqueezed])


def assert_same_fit(found, expected):
    assert_same_tensors(found.module_.state_dict(), expected.module_.state_dict())
    for loss in expected.history_[0].keys() & {"train_loss", "valid_loss"}:
        assert found.history_[:, loss] == expected.history_[:, loss]
    for rows in (X[:1], X):
        assert_array_equal(found.predict(rows), expected.predict(rows))


@each_module
@each_task
def test_a_batch_of_one_row_is_trained_as_without_the_squeeze(module, kind, y, params):
    fits = [kind(m, **FAST | params | {"batch_size": 1}).fit(X, y) for m in (module, Plain)]
    assert_same_fit(*fits)


@each_module
@each_task
def test_one_validation_row_is_validated_as_without_the_squeeze(module, kind, y, params):
    params = FAST | {"early_stopping": True} | params
    fits = [kind(m, **params).fit(X, y, X_val=X[:1], y_val=y[:1]) for m in (module, Plain)]
    assert_same_fit(*fits)
    assert len({*fits[0].history_[:, "valid_loss"]}) > 1


@each_module
@pytest.mark.parametrize("y", [Y, SEVERAL], ids=["one target", "two targets"])
def test_one_training_row_and_calls_of_partial_fit_with_one_row_are_trained(module, y):
    fits = [WeightedTorchRegressor(m, **FAST).fit(X[:1], y[:1]) for m in (module, Plain)]
    assert_same_fit(*fits)
    partial = [WeightedTorchRegressor(m, **FAST).partial_fit(X, y) for m in (module, Plain)]
    assert_same_fit(*[regressor.partial_fit(X[:1], y[:1]) for regressor in partial])


@each_module
@pytest.mark.parametrize("y", [Y, SEVERAL], ids=["one target", "two targets"])
def test_callbacks_see_an_axis_for_the_rows(module, y):
    def r2(net, rows, targets):
        return float(((net.predict(rows) - np.reshape(targets, (len(targets), -1))) ** 2).mean())

    scores = [
        WeightedTorchRegressor(m, **FAST, callbacks=[EpochScoring(r2, name="r2", on_train=True)])
        .fit(X, y)
        .history_[:, "r2"]
        for m in (module, Plain)
    ]
    assert scores[0] == scores[1]


@each_module
@pytest.mark.parametrize("batch_size", [1, 8, 10])
@pytest.mark.parametrize("task", ["one target", "two targets", "two classes", "three classes"])
def test_a_search_trains_such_networks_as_single_fits_do(module, batch_size, task):
    kind, y, _ = TASKS[task]
    name, values = "sample_weight_power", [0.5, 1.0]
    estimator = kind(module, **FAST).set_params(batch_size=batch_size, max_epochs=2)
    searches = [
        search(estimator, {name: values}, cv=3, error_score="raise")
        for search in (WeightSearchCV, GridSearchCV)
    ]
    weight = np.arange(33) % 4 + 1
    found, expected = (s.fit(X, y, sample_weight=weight).cv_results_ for s in searches)
    assert_array_equal(found["mean_test_score"], expected["mean_test_score"])
    assert len({*found["mean_test_score"]}) == 2 or kind is WeightedTorchClassifier


def test_an_output_without_the_rows_is_still_refused():
    class Mean(Plain):
        def forward(self, X):
            return self.linear(X).mean()

    with pytest.raises(ValueError, match=r"must return raw scores of shape \(n, 1\)"):
        WeightedTorchRegressor(Mean, **FAST).fit(X, Y)
    with pytest.raises(ValueError, match=r"got \(2, 2\) for 1 rows"):
        WeightedTorchRegressor(
            lambda n, k: nn.Sequential(nn.Linear(n, 4), nn.Unflatten(1, (2, 2)), Squeezed(2, 2)),
            **FAST,
        ).fit(X[:1], SEVERAL[:1])
