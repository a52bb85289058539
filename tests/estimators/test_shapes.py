"""Shapes of X and y: labels, several targets, quantiles, spreads, images and sequences."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import r2_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils import get_tags
from skorch.callbacks import EpochScoring
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def labelled():
    X, y = make_multilabel_classification(600, 10, n_classes=4, n_labels=1, random_state=0)
    return X, y, np.random.default_rng(0).exponential(size=600)


# Multilabel y


def test_labels_are_predicted_each_by_a_logit_of_its_own(labelled):
    X, y, weight = labelled
    model = WeightedTorchClassifier(n_members=1, random_state=0).fit(X, y, weight)
    probability, scores = model.predict_proba(X), model.decision_function(X)
    assert probability.shape == scores.shape == model.predict(X).shape == (600, 4)
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    assert_array_equal(model.predict(X), (probability > 0.5).astype(int))
    assert_allclose(probability, 1 / (1 + np.exp(-scores)), rtol=1e-12)
    assert (model.predict(X) == y).mean(axis=0).min() > 0.8
    assert_allclose(np.exp(model.predict_log_proba(X)), probability, rtol=1e-12)


def test_a_sparse_or_boolean_y_of_labels_is_the_same_y(labelled):
    X, y, weight = labelled
    fit = WeightedTorchClassifier(max_epochs=5, random_state=0).fit
    dense = fit(X, y, weight).predict_proba(X)
    for same in (sparse.csr_matrix(y), y.astype(bool), y.astype(float), y.tolist()):
        assert_array_equal(fit(X, same, weight).predict_proba(X), dense)


class Zero(nn.Linear):
    """A linear model that starts from zero."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def test_labels_of_a_linear_network_are_those_of_one_network_each(labelled):
    """Full batches of plain gradient steps: labels do not meet in a linear model."""
    X, y, weight = labelled
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    fit = WeightedTorchClassifier(
        Zero,
        class_weight="balanced",
        optimizer=torch.optim.SGD,
        lr=0.4,
        batch_size=-1,
        early_stopping=False,
        max_epochs=60,
        random_state=0,
    )
    apart = MultiOutputClassifier(fit).fit(X, y, sample_weight=weight)
    together = fit.set_params(lr=4 * 0.4).fit(X, y, weight)  # the loss is the mean over labels
    expected = np.stack([p[:, 1] for p in apart.predict_proba(X)], axis=1)
    assert expected.std(axis=0).min() > 0.05
    assert_allclose(together.predict_proba(X), expected, atol=1e-4)
    weights = [model.class_weight_ for model in apart.estimators_]
    assert_allclose(together.class_weight_, weights, rtol=1e-12)


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_class_weights_of_labels_move_the_labels_that_they_are_for(labelled, weighting):
    X, y, weight = labelled
    fit = WeightedTorchClassifier(max_epochs=20, weighting=weighting, random_state=0)
    plain = fit.fit(X, y, weight).predict_proba(X).mean(axis=0)
    raised = fit.set_params(class_weight=[{}, {1: 8}, {}, {0: 8}]).fit(X, y, weight)
    change = raised.predict_proba(X).mean(axis=0) - plain
    assert change[1] > 0.1 and change[3] < -0.03
    assert abs(change[0]) < 0.05 and abs(change[2]) < 0.05
    assert_array_equal(raised.class_weight_, [[1, 1], [1, 8], [1, 1], [8, 1]])


def test_a_label_that_is_never_there_or_always_there_is_learned(labelled):
    X, y, _ = labelled
    y = y.copy()
    y[:, 0], y[:, 1] = 0, 1
    model = WeightedTorchClassifier(class_weight="balanced", random_state=0).fit(X, y)
    probability = model.predict_proba(X)
    assert probability[:, 0].max() < 0.01 and probability[:, 1].min() > 0.99
    assert probability[:, 2].std() > 0.1


def test_callbacks_score_labels(labelled):
    X, y, _ = labelled
    scoring = EpochScoring("f1_micro", lower_is_better=False, name="f1")
    model = WeightedTorchClassifier(early_stopping=True, callbacks=[scoring], random_state=0)
    assert model.fit(X, y).history_[-1, "f1"] > 0.5


@pytest.mark.parametrize("n_labels", [2, 4])
def test_callbacks_score_probabilities_of_labels(labelled, n_labels):
    X, y, _ = labelled
    scoring = EpochScoring("roc_auc", lower_is_better=False, name="auc")
    model = WeightedTorchClassifier(early_stopping=True, callbacks=[scoring], random_state=0)
    assert model.fit(X, y[:, :n_labels]).history_[-1, "auc"] > 0.8


# Several targets


def test_several_targets_come_back_in_their_units_and_shapes(rng):
    X = rng.normal(size=(400, 5))
    y = np.stack([1000 * X[:, 0] + 5000, 0.001 * X[:, 1] ** 2, X[:, 2]], axis=1)
    model = WeightedTorchRegressor(random_state=0).fit(X, y, rng.exponential(size=400))
    assert model.predict(X).shape == (400, 3)
    assert_allclose(model.target_location_, y.mean(axis=0), rtol=0.3, atol=0.3)
    assert r2_score(y, model.predict(X), multioutput="raw_values").min() > 0.7
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)))
    column = WeightedTorchRegressor(random_state=0).fit(X, y[:, :1])
    alone = WeightedTorchRegressor(random_state=0).fit(X, y[:, 0])
    assert column.predict(X).shape == (400, 1)
    assert_array_equal(column.predict(X)[:, 0], alone.predict(X))


@pytest.mark.parametrize("n_targets", [None, 1, 3])
def test_quantiles_are_the_last_axis_and_do_not_cross(rng, n_targets):
    X = rng.normal(size=(300, 3))
    noise = rng.normal(size=(300, n_targets or 1)) * np.exp(X[:, :1])
    y = X[:, :1] + noise if n_targets else X[:, 0] + noise[:, 0]
    levels = [0.5, 0.05, 0.95]
    settings = {"criterion": "quantile", "criterion__quantile": levels, "max_epochs": 300}
    model = WeightedTorchRegressor(early_stopping=True, random_state=0, **settings).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == (*y.shape, 3)
    middle, low, high = np.moveaxis(predicted, -1, 0)
    assert (low <= middle).all() and (middle <= high).all()
    for level, quantile in zip(levels, (middle, low, high)):
        assert abs((y <= quantile).mean() - level) < 0.08
    assert 0 < model.score(X, y) < 1


def test_one_level_has_no_axis_whether_in_a_list_or_not(rng):
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    settings = {"criterion": "quantile", "max_epochs": 2, "random_state": 0}
    number = WeightedTorchRegressor(criterion__quantile=0.3, **settings).fit(X, y)
    listed = WeightedTorchRegressor(criterion__quantile=[0.3], **settings).fit(X, y)
    assert number.predict(X).shape == listed.predict(X).shape == (50,)
    assert_array_equal(number.predict(X), listed.predict(X))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_predicted_spread_is_in_the_units_of_y(rng, scale):
    X = rng.uniform(-1, 1, size=(2000, 1))
    spread = 0.2 + 0.15 * (X[:, 0] > 0)
    y = scale * (X[:, 0] + spread * rng.normal(size=2000) + 7)
    model = WeightedTorchRegressor(criterion="gaussian_nll", lr=0.01, random_state=0).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert_array_equal(mean, model.predict(X))
    assert std.shape == mean.shape == (2000,)
    for half in (X[:, 0] > 0, X[:, 0] < 0):
        assert std[half].mean() == pytest.approx(scale * spread[half].mean(), rel=0.15)
        assert abs(mean[half] - scale * (X[half, 0] + 7)).mean() < 0.1 * scale
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X, return_std=True)[1], std)


# X of more dimensions


class Convolution(nn.Module):
    """A user's network for images: channels, rows, columns."""

    def __init__(self, n_channels, n_outputs, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_channels, width, 3),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(width, n_outputs),
        )

    def forward(self, X):
        return self.layers(X)


class Recurrence(nn.Module):
    """A user's network for sequences: steps, features."""

    def __init__(self, n_steps, n_outputs):
        super().__init__()
        self.steps = nn.GRU(2, 8, batch_first=True)
        self.output = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.output(self.steps(X)[0][:, -1])


@pytest.fixture(scope="module")
def images():
    """A bright spot somewhere, or none."""
    rng = np.random.default_rng(0)
    X = rng.normal(scale=0.3, size=(400, 1, 8, 8)).astype(np.float32)
    y = np.arange(400) % 2
    row, column = rng.integers(0, 8, size=(2, 400))
    X[np.arange(400), 0, row, column] += 3 * y
    return X, y, rng.integers(0, 4, size=400)


def test_images_are_classified_with_exact_weights(images):
    X, y, weight = images
    settings = {"batch_size": 32, "max_epochs": 15, "lr": 0.02, "random_state": 0}
    model = WeightedTorchClassifier(Convolution, module__width=4, **settings).fit(X, y, weight)
    assert model.score(X, y) > 0.9
    assert model.n_features_in_ == 1
    copies = WeightedTorchClassifier(Convolution, module__width=4, **settings)
    copies.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_array_equal(copies.predict_proba(X), model.predict_proba(X))
    assert_array_equal(model.predict_proba(X[:1]), model.predict_proba(X)[:1])


def test_sequences_are_regressed_on_with_validation_rows_and_sampling(rng):
    X = rng.normal(size=(500, 6, 2))
    y = 10 * X[:, :, 0].mean(axis=1) + 100
    model = WeightedTorchRegressor(
        Recurrence, weighting="sampling", early_stopping=True, lr=0.02, random_state=0
    )
    model.fit(X[:400], y[:400], rng.exponential(size=400), X_val=X[400:], y_val=y[400:])
    assert model.score(X[400:], y[400:]) > 0.8


def test_tags_say_which_shapes_are_welcome():
    for estimator in (WeightedTorchClassifier, WeightedTorchRegressor):
        assert not get_tags(estimator()).input_tags.three_d_array
        assert get_tags(estimator(Convolution)).input_tags.three_d_array
        assert get_tags(estimator()).input_tags.sparse
    assert get_tags(WeightedTorchClassifier()).classifier_tags.multi_label
    assert not get_tags(WeightedTorchClassifier()).target_tags.multi_output
    assert get_tags(WeightedTorchRegressor()).target_tags.multi_output
    for criterion in ("poisson", "gamma", "tweedie"):
        assert get_tags(WeightedTorchRegressor(criterion=criterion)).target_tags.positive_only
    assert not get_tags(WeightedTorchRegressor()).target_tags.positive_only
