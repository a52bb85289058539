"""Every public callable with arguments that are right; a case of the table makes one of them wrong.

``CALLS`` has a ``Call`` for each callable by its name. A method is called on a fresh copy of the
``SUBJECTS`` entry that the call names, which is fitted once.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

import skweight
from skweight import (
    DesignKFold,
    GroupDifference,
    MarginalEffect,
    RandomizedWeightSearchCV,
    ReplicateEstimator,
    ReplicateWeights,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    inspection,
    losses,
    mean_prediction,
    modules,
)
from skweight.ensembles import ReplicateStatistic

N = 40
_rng = np.random.default_rng(0)
X = _rng.normal(size=(N, 3))
LABELS = np.arange(N) % 2
WORDS = np.array(["no", "yes"])[LABELS]
NUMBERS = X[:, 0] + _rng.gamma(2.0, size=N)
ONES = np.ones(N)
GROUPS = np.arange(N) // 4
FRAME = pd.DataFrame(X, columns=["age", "income", "size"]).assign(city=["a", "b"] * (N // 2))
MULTILABEL = np.column_stack([LABELS, np.arange(N) // 2 % 2])
REPLICATES = np.random.default_rng(1).uniform(0.9, 1.1, size=(N, 4))
QUICK = {
    "max_epochs": 1,
    "n_members": 1,
    "early_stopping": False,
    "random_state": 0,
    "device": "cpu",
    "module__hidden_sizes": (4,),
}
UNSIZED = {name: value for name, value in QUICK.items() if name != "module__hidden_sizes"}
NAN, INF = float("nan"), float("inf")


def spoiled(values: Any, value: Any, row: Any = 3) -> Any:
    """A copy of values of which one is another; as objects if it has to be."""
    is_float = isinstance(value, float)
    values = np.array(values, dtype=np.float64 if is_float else object)
    values[row] = value
    return values


# Criteria and modules -----------------------------------------------------------------------


def detached_loss(output, target):
    return ((output - target) ** 2).detach()


def numpy_loss(output, target):
    return torch.from_numpy((output.numpy() - target.numpy()) ** 2)


def loss_of_one_argument(output):
    return output**2


def mean_loss(output, target):
    return ((output - target) ** 2).mean()


def broadcast_loss(output, target):
    return (output.squeeze(-1) - target) ** 2


class NoParameters(torch.nn.Module):
    def forward(self, X):
        return X[:, :1]


class Detached(torch.nn.Linear):
    def forward(self, X):
        return super().forward(X).detach()


@dataclass(frozen=True)
class Call:
    """``run(subject, **arguments)``; ``good`` are arguments with which it works."""

    run: Callable[..., Any]
    good: dict[str, Any] = field(default_factory=dict)
    subject: str | None = None


def _method(name: str) -> Callable[..., Any]:
    return lambda subject, **arguments: getattr(subject, name)(**arguments)


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda subject, **arguments: function(**arguments)


# What methods are called on -----------------------------------------------------------------


def _classifier() -> Any:
    return WeightedTorchClassifier(**QUICK).fit(X, LABELS)


def _regressor() -> Any:
    return WeightedTorchRegressor(**QUICK).fit(X, NUMBERS)


def _replicates() -> Any:
    regressor = ReplicateEstimator(WeightedTorchRegressor(**QUICK), method="bootstrap")
    return regressor.fit(X, NUMBERS, replicate_weights=REPLICATES)


def _search() -> Any:
    grid = {"class_weight": [None, "balanced"]}
    search = WeightSearchCV(
        WeightedTorchClassifier(**QUICK), grid, cv=2, return_predictions=True, error_score="raise"
    )
    return search.fit(X, LABELS)


SUBJECTS = {
    "classifier": _classifier,
    "classifier of a frame": lambda: WeightedTorchClassifier(**QUICK).fit(FRAME, LABELS),
    "multilabel classifier": lambda: WeightedTorchClassifier(**QUICK).fit(X, MULTILABEL),
    "regressor": _regressor,
    "replicates": _replicates,
    "replicates of a classifier": lambda: ReplicateEstimator(
        WeightedTorchClassifier(**QUICK), method="bootstrap"
    ).fit(X, LABELS, replicate_weights=REPLICATES),
    "statistic": lambda: fresh("replicates").statistic(mean_prediction, X),
    "search": _search,
    "randomized search": lambda: RandomizedWeightSearchCV(
        WeightedTorchClassifier(**QUICK), {"lr": [0.01]}, n_iter=1, cv=2, error_score="raise"
    ).fit(X, LABELS),
    "folds": lambda: DesignKFold(2),
    "replicate weights": lambda: ReplicateWeights(REPLICATES, "bootstrap", 0.25),
    "feature weights": lambda: inspection.FeatureWeightDisplay(np.ones(3)),
    "training curve": lambda: inspection.TrainingCurveDisplay([[2.0, 1.0]]),
    "calibration": lambda: inspection.CalibrationDisplay(
        skweight.calibration_table(LABELS, ONES / 2), ONES / 2, ONES
    ),
    "weights": lambda: inspection.WeightDisplay(ONES, skweight.weight_summary(LABELS)),
    "scores": lambda: inspection.WeightSearchDisplay([{"lr": 0.1}, {"lr": 0.2}], [[1.0], [2.0]]),
}


@cache
def _fitted(name: str) -> Any:
    return SUBJECTS[name]()


def fresh(name: str) -> Any:
    """A copy of what methods are called on."""
    return copy.deepcopy(_fitted(name))


# Callables ----------------------------------------------------------------------------------


def _constructed(kind: Any, y: Any) -> Callable[..., Any]:
    return lambda subject, **params: kind(**QUICK | params).fit(X, y)


def _set(y: Any) -> Callable[..., Any]:
    return lambda subject, **params: subject.set_params(**params).fit(X, y)


def _search_with(kind: Any) -> Callable[..., Any]:
    return lambda subject, **params: kind(**params).fit(X, LABELS)


def _replicate_with(subject: Any, **params: Any) -> Any:
    return ReplicateEstimator(**params).fit(X, NUMBERS, replicate_weights=REPLICATES)


def _split(subject: Any, **params: Any) -> Any:
    return [*DesignKFold(**params).split(X, LABELS)]


_ROWS = {"X": X, "offset": None}
_FIT = {
    "X": X,
    "sample_weight": ONES,
    "groups": GROUPS,
    "offset": np.zeros(N),
    "X_val": X + 1,
    "sample_weight_val": ONES,
    "offset_val": np.zeros(N),
}
_SEARCH = {"cv": 2, "error_score": "raise"}
_QUICK_CLASSIFIER = WeightedTorchClassifier(**QUICK)
_DESIGN = {"strata": np.arange(N) % 4, "clusters": np.arange(N) % 8, "sample_weight": ONES}

CALLS: dict[str, Call] = {
    "WeightedTorchClassifier": Call(_constructed(WeightedTorchClassifier, LABELS)),
    "WeightedTorchRegressor": Call(_constructed(WeightedTorchRegressor, NUMBERS)),
    "WeightedTorchClassifier with a module": Call(
        lambda subject, **params: WeightedTorchClassifier(**UNSIZED | params).fit(X, LABELS),
        {"module": torch.nn.Linear(3, 1)},
    ),
    "WeightedTorchClassifier.set_params": Call(_set(LABELS), {}, "classifier"),
    "WeightedTorchRegressor.set_params": Call(_set(NUMBERS), {}, "regressor"),
    "WeightedTorchClassifier.fit": Call(
        lambda subject, **fit_params: subject.set_params(early_stopping=True).fit(**fit_params),
        {**_FIT, "y": LABELS, "y_val": LABELS},
        "classifier",
    ),
    "WeightedTorchRegressor.fit": Call(
        lambda subject, **fit_params: subject.set_params(early_stopping=True).fit(**fit_params),
        {**_FIT, "y": NUMBERS, "y_val": NUMBERS},
        "regressor",
    ),
    "WeightedTorchClassifier.partial_fit": Call(
        _method("partial_fit"),
        {"X": X, "y": LABELS, "classes": [0, 1], "sample_weight": ONES, "offset": None},
        "classifier",
    ),
    "WeightedTorchRegressor.partial_fit": Call(
        _method("partial_fit"),
        {"X": X, "y": NUMBERS, "sample_weight": ONES, "offset": None},
        "regressor",
    ),
    **{
        f"WeightedTorchClassifier.{name}": Call(_method(name), _ROWS, "classifier")
        for name in (
            *("predict", "predict_proba", "predict_log_proba", "decision_function"),
            "predict_members",
        )
    },
    "WeightedTorchClassifier.score": Call(
        _method("score"), {**_ROWS, "y": LABELS, "sample_weight": ONES}, "classifier"
    ),
    "WeightedTorchClassifier.predict_proba after correct_prior": Call(
        lambda subject, **params: subject.set_params(**params).predict_proba(X), {}, "classifier"
    ),
    "WeightedTorchClassifier.score of labels": Call(
        _method("score"),
        {**_ROWS, "y": MULTILABEL, "sample_weight": ONES},
        "multilabel classifier",
    ),
    "WeightedTorchClassifier.to_onnx": Call(
        _method("to_onnx"), {"path": "model.onnx", "opset_version": 18}, "classifier"
    ),
    "WeightedTorchRegressor.to_onnx": Call(
        _method("to_onnx"), {"path": "model.onnx", "opset_version": 18}, "regressor"
    ),
    "WeightedTorchRegressor.predict": Call(
        _method("predict"), {**_ROWS, "return_std": False}, "regressor"
    ),
    "WeightedTorchRegressor.predict_members": Call(_method("predict_members"), _ROWS, "regressor"),
    "WeightedTorchRegressor.score": Call(
        _method("score"), {**_ROWS, "y": NUMBERS, "sample_weight": ONES}, "regressor"
    ),
    "WeightedTorchClassifier.encode_columns": Call(
        _method("encode_columns"), {"X": FRAME}, "classifier of a frame"
    ),
    "WeightedTorchRegressor.encode_columns": Call(_method("encode_columns"), {"X": X}, "regressor"),
    # Searches and splits
    "WeightSearchCV": Call(
        _search_with(WeightSearchCV),
        {**_SEARCH, "estimator": _QUICK_CLASSIFIER, "param_grid": {"class_weight": ["balanced"]}},
    ),
    "RandomizedWeightSearchCV": Call(
        _search_with(RandomizedWeightSearchCV),
        {
            **_SEARCH,
            "estimator": _QUICK_CLASSIFIER,
            "param_distributions": {"class_weight": ["balanced"]},
            "n_iter": 1,
        },
    ),
    "WeightSearchCV.fit": Call(
        _method("fit"), {"X": X, "y": LABELS, "sample_weight": ONES}, "search"
    ),
    "RandomizedWeightSearchCV.fit": Call(
        _method("fit"), {"X": X, "y": LABELS, "sample_weight": ONES}, "randomized search"
    ),
    "WeightSearchCV.predict": Call(_method("predict"), {"X": X}, "search"),
    "DesignKFold": Call(
        _split,
        {"n_splits": 2, "strata": None, "clusters": None, "sample_weight": None},
    ),
    "DesignKFold.split": Call(
        lambda subject, **arguments: [*subject.split(**arguments)],
        {"X": X, "y": LABELS, "groups": GROUPS},
        "folds",
    ),
    # Weights
    "weight_summary": Call(
        _function(skweight.weight_summary),
        {"y": LABELS, "sample_weight": ONES, "class_weight": None},
    ),
    "effective_sample_size": Call(
        _function(skweight.effective_sample_size), {"sample_weight": ONES}
    ),
    "effective_number": Call(_function(skweight.effective_number), {"beta": 0.9}),
    "effective_number called": Call(
        _function(skweight.effective_number(0.9)), {"counts": [10, 20]}
    ),
    "time_decay": Call(_function(skweight.time_decay), {"age": ONES, "half_life": 2.0}),
    "clip_weights": Call(_function(skweight.clip_weights), {"sample_weight": ONES, "ratio": 2}),
    "bootstrap_weights": Call(
        _function(skweight.bootstrap_weights),
        {**_DESIGN, "n_replicates": 4, "random_state": 0, "single_cluster": "error"},
    ),
    "jackknife_weights": Call(
        _function(skweight.jackknife_weights), {**_DESIGN, "single_cluster": "error"}
    ),
    "brr_weights": Call(
        _function(skweight.brr_weights), {**_DESIGN, "fay": 0.0, "single_cluster": "error"}
    ),
    "ReplicateWeights": Call(
        _function(ReplicateWeights),
        {"weights": REPLICATES, "method": "bootstrap", "scale": 0.25, "degrees_of_freedom": 3},
    ),
    # Standard errors
    "ReplicateEstimator": Call(
        _replicate_with,
        {"estimator": WeightedTorchRegressor(**QUICK), "method": "bootstrap"},
    ),
    "ReplicateEstimator.fit": Call(
        _method("fit"),
        {
            "X": X,
            "y": NUMBERS,
            "sample_weight": ONES,
            "replicate_weights": REPLICATES,
            "groups": GROUPS,
            "offset": np.zeros(N),
        },
        "replicates",
    ),
    "ReplicateEstimator.predict": Call(
        _method("predict"), {**_ROWS, "return_std": True}, "replicates"
    ),
    "ReplicateEstimator.predict of classes": Call(
        _method("predict"), {**_ROWS, "return_std": False}, "replicates of a classifier"
    ),
    "ReplicateEstimator.predict_proba": Call(
        _method("predict_proba"), {**_ROWS, "return_std": True}, "replicates of a classifier"
    ),
    "ReplicateEstimator.decision_function": Call(
        _method("decision_function"), _ROWS, "replicates of a classifier"
    ),
    "ReplicateEstimator.score": Call(
        _method("score"), {**_ROWS, "y": NUMBERS, "sample_weight": ONES}, "replicates"
    ),
    "ReplicateEstimator.statistic": Call(
        _method("statistic"),
        {
            "function": mean_prediction,
            "X": X,
            "sample_weight": ONES,
            "replicate_weights": REPLICATES,
            "degrees_of_freedom": 3,
            "names": "mean",
        },
        "replicates",
    ),
    "ReplicateStatistic": Call(
        _function(ReplicateStatistic),
        {"value": 1.0, "replicates": ONES[:4], "factors": ONES[:4], "degrees_of_freedom": 3},
    ),
    "ReplicateStatistic.confidence_interval": Call(
        _method("confidence_interval"), {"level": 0.9}, "statistic"
    ),
    "mean_prediction": Call(
        lambda subject, **arguments: mean_prediction(**{"estimator": subject, **arguments}),
        {"X": X, "sample_weight": ONES},
        "regressor",
    ),
    "GroupDifference": Call(
        lambda subject, **arguments: GroupDifference(**arguments)(subject, X, sample_weight=ONES),
        {"in_group": LABELS == 1},
        "regressor",
    ),
    "GroupDifference.__call__": Call(
        lambda subject, **arguments: GroupDifference(LABELS == 1)(
            **{"estimator": subject, **arguments}
        ),
        {"X": X, "sample_weight": ONES},
        "regressor",
    ),
    "MarginalEffect": Call(
        lambda subject, **arguments: MarginalEffect(**arguments)(subject, X, sample_weight=ONES),
        {"column": 0},
        "regressor",
    ),
    "MarginalEffect of a frame": Call(
        lambda subject, **arguments: MarginalEffect(**arguments)(subject, FRAME),
        {"column": "city", "values": ("a", "b")},
        "classifier of a frame",
    ),
    "MarginalEffect.__call__": Call(
        lambda subject, **arguments: MarginalEffect(0)(**{"estimator": subject, **arguments}),
        {"X": X, "sample_weight": ONES},
        "regressor",
    ),
    # Layers and losses
    "FeatureWeight": Call(
        _function(skweight.FeatureWeight), {"n_features": 3, "init": 1.0, "learnable": True}
    ),
    "WeightedLinear": Call(
        _function(skweight.WeightedLinear),
        {
            "in_features": 3,
            "out_features": 2,
            "feature_weights": 1.0,
            "output_weights": 1.0,
            "learnable": True,
            "bias": True,
        },
    ),
    "MLP": Call(_function(modules.MLP), {"n_features": 3, "n_outputs": 1}),
    "CrossEntropy": Call(_function(losses.CrossEntropy)),
    "Focal": Call(_function(losses.Focal)),
    "PolyTailed": Call(_function(losses.PolyTailed)),
    "Huber": Call(_function(losses.Huber)),
    "Quantile": Call(_function(losses.Quantile)),
    "TweedieDeviance": Call(_function(losses.TweedieDeviance)),
    # Saved files
    "TrainingCheckpoint": Call(
        lambda subject, **arguments: WeightedTorchClassifier(
            **QUICK, callbacks=[skweight.TrainingCheckpoint(**arguments)]
        ).fit(X, LABELS),
        {"path": "training.pt", "every": 1},
    ),
    "skops_types": Call(lambda subject, own: skweight.skops_types(own), {"own": Detached}),
    # Calibration and pictures
    "calibration_table": Call(
        _function(skweight.calibration_table),
        {
            "y_true": LABELS,
            "y_prob": ONES / 2,
            "sample_weight": ONES,
            "n_bins": 3,
            "pos_label": None,
        },
    ),
    "WeightDisplay": Call(
        _function(inspection.WeightDisplay),
        {"sample_weight": ONES, "summary": skweight.weight_summary(LABELS)},
    ),
    "WeightDisplay.from_weights": Call(
        _function(inspection.WeightDisplay.from_weights),
        {"sample_weight": ONES, "y": LABELS, "class_weight": None, "ax": None},
    ),
    "WeightDisplay.from_estimator": Call(
        lambda subject, **arguments: inspection.WeightDisplay.from_estimator(
            **{"estimator": subject, **arguments}
        ),
        {"y": LABELS, "sample_weight": ONES, "ax": None},
        "classifier",
    ),
    "WeightDisplay.plot": Call(_method("plot"), {"ax": None}, "weights"),
    "TrainingCurveDisplay": Call(
        _function(inspection.TrainingCurveDisplay),
        {"train_loss": [[2.0, 1.0]], "valid_loss": None, "is_averaged": True},
    ),
    "TrainingCurveDisplay.from_estimator": Call(
        lambda subject, **arguments: inspection.TrainingCurveDisplay.from_estimator(
            **{"estimator": subject, **arguments}
        ),
        {"ax": None},
        "classifier",
    ),
    "TrainingCurveDisplay.plot": Call(_method("plot"), {"ax": None}, "training curve"),
    "CalibrationDisplay": Call(
        _function(inspection.CalibrationDisplay),
        {
            "table": skweight.calibration_table(LABELS, ONES / 2),
            "y_prob": ONES / 2,
            "sample_weight": ONES,
        },
    ),
    "CalibrationDisplay.from_predictions": Call(
        _function(inspection.CalibrationDisplay.from_predictions),
        {"y_true": LABELS, "y_prob": ONES / 2, "sample_weight": ONES, "n_bins": 3},
    ),
    "CalibrationDisplay.from_estimator": Call(
        lambda subject, **arguments: inspection.CalibrationDisplay.from_estimator(
            **{"estimator": subject, **arguments}
        ),
        {"X": X, "y": LABELS, "sample_weight": ONES, "n_bins": 3},
        "classifier",
    ),
    "CalibrationDisplay.plot": Call(
        _method("plot"), {"ax": None, "scale": "linear"}, "calibration"
    ),
    "WeightSearchDisplay": Call(
        _function(inspection.WeightSearchDisplay),
        {"settings": [{"lr": 0.1}], "scores": [[1.0, 2.0]], "best_index": 0},
    ),
    "WeightSearchDisplay.from_estimator": Call(
        lambda subject, **arguments: inspection.WeightSearchDisplay.from_estimator(
            **{"search": subject, **arguments}
        ),
        {"metric": None, "ax": None},
        "search",
    ),
    "WeightSearchDisplay.from_predictions": Call(
        lambda subject, **arguments: inspection.WeightSearchDisplay.from_predictions(
            **{"search": subject, **arguments}
        ),
        {"y": LABELS, "sample_weight": ONES},
        "search",
    ),
    "WeightSearchDisplay.plot": Call(_method("plot"), {"ax": None}, "scores"),
    "FeatureWeightDisplay": Call(
        _function(inspection.FeatureWeightDisplay), {"weights": np.ones(3)}
    ),
    "FeatureWeightDisplay.from_estimator": Call(
        lambda subject, **arguments: inspection.FeatureWeightDisplay.from_estimator(
            **{"estimator": subject, **arguments}
        ),
        {},
        "classifier with feature weights",
    ),
    "FeatureWeightDisplay.plot": Call(
        _method("plot"), {"ax": None, "max_features": 2}, "feature weights"
    ),
}
SUBJECTS["classifier with feature weights"] = lambda: WeightedTorchClassifier(
    **QUICK, module__feature_weights=1.0
).fit(X, LABELS)
