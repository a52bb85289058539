"""Fitted estimators of many kinds, for tests of files; there are markers in all their data.

No training data may be in a file: the bytes of these numbers are looked for in it.
"""

import datetime

import numpy as np
import pandas as pd
from scipy import sparse
from torch import nn

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    bootstrap_weights,
)

QUICK = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
ONE = {**QUICK, "n_members": 1}
# In columns of X, in y and in the weights. They are neither means nor quantiles of these.
X_MARKER, Y_MARKER, WEIGHT_MARKER = 0.7316509128, 0.4172835061, 1.2387190446

rng = np.random.default_rng(0)
N = 230
X = rng.normal(size=(N, 3)).astype(np.float64)
X[5, 1] = X_MARKER
LABELS = np.where(X[:, 0] + rng.normal(size=N) > 0.3, "yes", "no")
NUMBERS = np.exp(X[:, 0] + 0.5 * rng.normal(size=N))
NUMBERS[7] = Y_MARKER
WEIGHT = rng.uniform(0.5, 2, size=N)
WEIGHT[9] = WEIGHT_MARKER
OFFSET = rng.normal(size=N) / 10
FRAME = pd.DataFrame(X.copy(), columns=["a", "b", "c"])
FRAME["city"] = rng.choice(["Ulm", "Bonn", None], N)
FRAME["size"] = pd.Categorical(rng.choice([1, 2, 3], N))
FRAME["is_new"] = rng.choice([True, False], N)
FRAME["day"] = pd.Categorical(rng.choice([datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)], N))
FRAME.loc[:20, "c"] = np.nan
REPLICATES = bootstrap_weights(None, None, WEIGHT, n_replicates=3, random_state=0)


class Own(nn.Module):
    """A network of one's own, in a file that can be imported."""

    def __init__(self, n_features, n_outputs, kind=nn.LSTM):
        super().__init__()
        self.recurrent = kind(1, 4, batch_first=True)
        self.output = nn.Linear(4, n_outputs)

    def forward(self, X):
        return self.output(self.recurrent(X.unsqueeze(-1))[0][:, -1])


def squared(output, target):
    """A loss of one's own."""
    return (output - target) ** 2


def classifier(**params):
    return WeightedTorchClassifier(**{**ONE, **params})


def regressor(**params):
    return WeightedTorchRegressor(**{**ONE, **params})


# Name -> how it is fitted, and the rows that it predicts, with the keywords of ``predict``.
MODELS = {
    "classifier": lambda: (classifier().fit(X, LABELS, WEIGHT), X),
    "members": lambda: (classifier(n_members=3).fit(X, LABELS, WEIGHT), X),
    "frame": lambda: (
        classifier(class_weight={"yes": 3.0, "no": 1.0}, correct_prior=True).fit(
            FRAME, LABELS, WEIGHT
        ),
        FRAME,
    ),
    "booleans": lambda: (
        classifier(class_weight={True: 3, False: 1}).fit(X, LABELS == "yes", WEIGHT),
        X,
    ),
    "logit adjustment": lambda: (
        classifier(logit_adjustment=1.0, correct_prior=True, criterion="focal").fit(X, LABELS),
        X,
    ),
    "multilabel": lambda: (
        classifier(class_weight="balanced").fit(X, (X > 0).astype(int), WEIGHT),
        X,
    ),
    "three classes": lambda: (classifier().fit(X, np.digitize(X[:, 0], [-0.5, 0.5])), X),
    "offset": lambda: (classifier().fit(X, LABELS, WEIGHT, offset=OFFSET), X, OFFSET),
    "sparse": lambda: (classifier().fit(sparse.csr_array(X), LABELS, WEIGHT), sparse.csr_array(X)),
    "partial_fit": lambda: (
        classifier().partial_fit(X, LABELS, sample_weight=WEIGHT, classes=["no", "yes"]),
        X,
    ),
    "match_mean": lambda: (classifier(match_mean=True).fit(X, LABELS, WEIGHT), X),
    "regressor": lambda: (regressor().fit(FRAME, NUMBERS, WEIGHT), FRAME),
    "quantiles": lambda: (
        regressor(criterion="quantile", criterion__quantile=[0.1, 0.9]).fit(X, NUMBERS, WEIGHT),
        X,
    ),
    "targets": lambda: (regressor().fit(X, np.c_[NUMBERS, X[:, 1]], WEIGHT), X),
    "poisson": lambda: (
        regressor(criterion="poisson", match_mean=True).fit(X, NUMBERS, WEIGHT, offset=OFFSET),
        X,
        OFFSET,
    ),
    "gamma": lambda: (regressor(criterion="gamma").fit(X, NUMBERS, WEIGHT), X),
    "tweedie": lambda: (regressor(criterion="tweedie", n_members=3).fit(X, NUMBERS), X),
    "feature weights": lambda: (
        regressor(module__feature_weights=[1.0, 2.0, 0.5], module__max_indicators=0).fit(
            FRAME[["a", "b", "city"]], NUMBERS, WEIGHT
        ),
        FRAME,
    ),
    "huber instance": lambda: (
        regressor(criterion=nn.HuberLoss(reduction="none")).fit(X, NUMBERS),
        X,
    ),
    "own loss": lambda: (regressor(criterion=squared).fit(X, NUMBERS), X),
    "own class": lambda: (regressor(module=Own, module__kind=nn.GRU).fit(X, NUMBERS), X),
    "own instance": lambda: (classifier(module=Own(3, 1)).fit(X, LABELS, WEIGHT), X),
    "replicates": lambda: (
        ReplicateEstimator(classifier()).fit(X, LABELS, WEIGHT, replicate_weights=REPLICATES),
        X,
    ),
}
# Here the columns of X that are fitted are fewer.
_COLUMNS = {"feature weights": ["a", "b", "city"]}


def fitted(name):
    """A fitted estimator and a function that predicts with one such as it, bit for bit."""
    model, rows, *offset = MODELS[name]()
    rows = rows[_COLUMNS[name]] if name in _COLUMNS else rows
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    keywords = {"offset": offset[0]} if offset else {}
    return model, lambda other: getattr(other, method)(rows, **keywords)


def markers_in(content):
    """Which markers are in the bytes of a file, in any precision and order of bytes, or as text."""
    numbers = {"X": X_MARKER, "y": Y_MARKER, "sample_weight": WEIGHT_MARKER}
    found = []
    for name, number in numbers.items():
        bits = [np.array(number, dtype) for dtype in ("<f4", ">f4", "<f8", ">f8")]
        texts = [array.tobytes() for array in bits] + [f"{number}"[:8].encode()]
        found += [name] if any(text in content for text in texts) else []
    return found
