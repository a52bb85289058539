"""Streams as they come: rare classes, schedulers, bad classes. Laws: ``test_partial_fit.py``."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler

from skweight import WeightedTorchClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 4))
y = (X[:, 0] + 0.5 * rng.normal(size=3000) > 0).astype(int)


def test_a_class_that_the_first_rows_lack_is_learned_with_default_settings():
    model = WeightedTorchClassifier(random_state=0)
    zeros = np.flatnonzero(y == 0)[:100]
    model.partial_fit(X[zeros], y[zeros], classes=[0, 1])
    for start in range(0, 2000, 100):
        model.partial_fit(X[start : start + 100], y[start : start + 100])
    assert model.score(X, y) > 0.75
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), abs=0.15)


def test_a_label_that_the_first_rows_lack_is_learned_with_default_settings():
    labels = np.stack([y, X[:, 1] > 0], axis=1).astype(int)
    first = np.flatnonzero(labels[:, 0] == 0)[:100]
    model = WeightedTorchClassifier(random_state=0).partial_fit(X[first], labels[first])
    for start in range(0, 2000, 100):
        model.partial_fit(X[start : start + 100], labels[start : start + 100])
    assert (model.predict(X) == labels).mean(axis=0).min() > 0.75


@pytest.mark.parametrize("pickled", [False, True])
def test_a_scheduler_goes_on_from_call_to_call(pickled):
    halve = LRScheduler("StepLR", step_size=1, gamma=0.5)
    model = WeightedTorchClassifier(
        optimizer=torch.optim.SGD, lr=0.1, callbacks=[halve], random_state=0
    )
    rates = []
    for _ in range(4):
        model.partial_fit(X[:200], y[:200], classes=[0, 1])
        rates += model.net_.epoch_lrs
        model = pickle.loads(pickle.dumps(model)) if pickled else model
    assert rates == [0.1, 0.05, 0.025, 0.0125]
    model.set_params(lr=1.0, callbacks=None).partial_fit(X[:200], y[:200])
    assert model.net_.epoch_lrs == [1.0]


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([], "^classes must be a list of at least two"),
        ([0], "^classes must be a list of at least two"),
        ([[0, 1], [1, 0]], "^classes must be a list of at least two"),
        (2, "^classes must be a list of at least two classes, got 2"),
        ([0, 1, 1], "^classes must hold each class once, got 3 .* 2 values. Weights are passed"),
        (
            np.linspace(0, 1, 3000),
            "^classes must hold labels.*Weights are passed as",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_list_of_classes_is_refused(classes, match):
    model = WeightedTorchClassifier()
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y, classes)
    assert not hasattr(model, "net_")


def test_a_logit_adjustment_of_a_fit_is_not_forgotten_in_the_stream_after_it():
    model = WeightedTorchClassifier(logit_adjustment=1.0, max_epochs=2).fit(X, y)
    with pytest.raises(ValueError, match=r"logit_adjustment was 1\.0, got 0\.0"):
        model.set_params(logit_adjustment=0.0).partial_fit(X, y)
