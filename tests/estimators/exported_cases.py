"""Estimators of all kinds with their data, to be exported."""

import numpy as np
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

QUICK = {"max_epochs": 2, "random_state": 0, "device": "cpu"}


def table(n_rows=192, seed=0):
    """Columns of all kinds: numbers, few and many categories, times, zeros, missing numbers."""
    import pandas

    rng = np.random.default_rng(seed)
    missing, zero = rng.random(n_rows) < 0.2, rng.random(n_rows) < 0.5
    return pandas.DataFrame(
        {
            "number": rng.normal(size=n_rows),
            "colour": rng.choice(["red", "green", None], n_rows),
            "street": rng.choice([f"street {i}" for i in range(30)], n_rows),
            "second": 1.7e9 + rng.integers(0, 10_000, n_rows),
            "often zero": np.where(zero, 0.0, rng.normal(size=n_rows)),
            "sometimes missing": np.where(missing, np.nan, rng.normal(size=n_rows)),
        }
    )


def targets(n_rows=192, seed=1):
    """Targets of all kinds by name, and an offset."""
    rng = np.random.default_rng(seed)
    classes, amount = rng.integers(0, 3, n_rows), rng.gamma(2.0, size=n_rows)
    return {
        "binary": np.where(classes == 2, "yes", "no"),
        "classes": classes,
        "labels": np.c_[classes > 0, classes > 1].astype(int),
        "amount": 1_000 * amount,
        "two amounts": np.c_[amount, -50 * amount],
        "offset": rng.normal(size=n_rows),
    }


CLASSIFIERS = {
    "two classes, corrected, matched": (
        {"class_weight": "balanced", "correct_prior": True, "match_mean": True, "n_members": 2},
        "binary",
    ),
    "three classes, adjusted, corrected": (
        {"class_weight": "balanced", "logit_adjustment": 1.0, "correct_prior": True},
        "classes",
    ),
    "focal": ({"criterion": "focal", "criterion__gamma": 3.0}, "classes"),
    "poly-tailed": ({"criterion": "poly_tailed"}, "binary"),
    "torch's cross entropy": ({"criterion": nn.CrossEntropyLoss}, "classes"),
    "labels, feature weights": (
        {"module__feature_weights": 2.0, "class_weight": "balanced", "correct_prior": True},
        "labels",
    ),
    "offset": ({"n_members": 2}, "binary"),
}
REGRESSORS = {
    "squared error": ({"n_members": 2}, "amount"),
    "linear": ({"module__hidden_sizes": (), "match_mean": True}, "amount"),
    "absolute error": ({"criterion": "absolute_error"}, "amount"),
    "huber, dropout, gelu": (
        {"criterion": "huber", "module__dropout": 0.2, "module__activation": "gelu"},
        "amount",
    ),
    "quantiles": ({"criterion": "quantile", "criterion__quantile": [0.9, 0.1, 0.5]}, "amount"),
    "quantiles of two": (
        {"criterion": "quantile", "criterion__quantile": [0.9, 0.5]},
        "two amounts",
    ),
    "two amounts": ({}, "two amounts"),
    "gaussian": ({"criterion": "gaussian_nll", "module__activation": "tanh"}, "amount"),
    "torch's loss": ({"criterion": nn.SmoothL1Loss}, "two amounts"),
    "poisson, offset": ({"criterion": "poisson", "n_members": 2}, "amount"),
    "gamma": ({"criterion": "gamma"}, "amount"),
    "tweedie": ({"criterion": "tweedie", "criterion__power": 1.5}, "amount"),
    "squared error, offset": ({"module__zero_output": True}, "amount"),
}
NAMES = [*CLASSIFIERS, *REGRESSORS]


def fitted(name, X):
    """The fitted estimator of a case, what it predicts for X, and its offset or None."""
    y, is_classifier = targets(len(X)), name in CLASSIFIERS
    params, target = (CLASSIFIERS if is_classifier else REGRESSORS)[name]
    kind = WeightedTorchClassifier if is_classifier else WeightedTorchRegressor
    offset = y["offset"] if "offset" in name else None
    keyword = {} if offset is None else {"offset": offset}
    weight = np.random.default_rng(2).integers(1, 4, len(X))
    model = kind(**QUICK | {"n_members": 1} | params).fit(X, y[target], weight, **keyword)
    predict = model.predict_proba if is_classifier else model.predict
    return model, predict(X, **keyword), offset
