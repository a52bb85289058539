"""Uses that a type checker must accept, and mistakes that it must find: ``mypy`` reads this file.

A mistake has a comment ``# type: ignore[...]``, which mypy reports where it finds no mistake.
"""

import pandas as pd
import torch
from numpy import array, bool_, float32, float64, int64, ones
from numpy.typing import NDArray
from torch import nn
from typing_extensions import assert_type

from skweight import (
    RandomizedWeightSearchCV,
    ReplicateEstimator,
    ReplicateWeights,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
    effective_number,
)
from skweight.modules import MLP

Floats = NDArray[float64]


class Own(WeightedTorchClassifier):
    """A subclass with a method of its own."""

    def own(self) -> int:
        return 1


class Network(nn.Module):
    def __init__(self, n_features: int, n_outputs: int, width: int = 8) -> None:
        super().__init__()


def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (output - target) ** 2


def constructors() -> None:
    WeightedTorchClassifier()
    WeightedTorchClassifier(None, module__hidden_sizes=(32,), module__activation="gelu")
    WeightedTorchClassifier(module__hidden_sizes=[8, 8], module__activation=nn.ELU)
    WeightedTorchClassifier(module__n_bins=0, module__clip=None, module__max_indicators="auto")
    WeightedTorchClassifier(Network, module__width=4, optimizer=torch.optim.SGD)
    WeightedTorchClassifier(nn.Linear(2, 1), optimizer__momentum=0.9)
    WeightedTorchClassifier(lambda n, k: nn.Linear(n, k), criterion=nn.CrossEntropyLoss)
    WeightedTorchClassifier(criterion="focal", criterion__gamma=1.5, weighting="sampling")
    WeightedTorchClassifier(class_weight="balanced", early_stopping="auto", batch_size=-1)
    WeightedTorchClassifier(class_weight={"a": 1, "b": 2.5}, max_epochs=3, n_members="auto")
    WeightedTorchClassifier(class_weight=effective_number(0.9), device=torch.device("cpu"))
    WeightedTorchClassifier(class_weight=["balanced", {0: 1.0, 1: 2.0}], random_state=int64(3))
    WeightedTorchClassifier(categorical_features=["city"], module__feature_weights=ones(3))
    WeightedTorchClassifier(categorical_features=pd.Index(["city"]), compile=True)
    WeightedTorchClassifier(categorical_features=array([True, False]), callbacks=[object()])
    WeightedTorchRegressor(criterion=loss, module__feature_weights=torch.ones(2))
    WeightedTorchRegressor(criterion="quantile", criterion__quantile=[0.1, 0.9])
    MLP(3, 1, activation="tanh", n_bins="auto")


def mistakes_in_constructors() -> None:
    WeightedTorchClassifier(module__activation="rleu")  # type: ignore[arg-type]
    WeightedTorchClassifier(module__hidden_sizes=64)  # type: ignore[arg-type]
    WeightedTorchClassifier(module__n_bins="many")  # type: ignore[arg-type]
    WeightedTorchClassifier(criterion="poisson")  # type: ignore[arg-type]
    WeightedTorchRegressor(criterion="cross_entropy")  # type: ignore[arg-type]
    WeightedTorchRegressor(criterion__quantile="median")  # type: ignore[arg-type]
    WeightedTorchClassifier(weighting="losses")  # type: ignore[arg-type]
    WeightedTorchClassifier(class_weight="balance")  # type: ignore[arg-type]
    WeightedTorchClassifier(categorical_features="city")  # type: ignore[arg-type]
    WeightedTorchClassifier(batch_size="all")  # type: ignore[arg-type]
    WeightedTorchClassifier(early_stopping="yes")  # type: ignore[arg-type]
    WeightedTorchClassifier(optimizer="adam")  # type: ignore[arg-type]
    WeightedTorchClassifier(lr="0.1")  # type: ignore[arg-type]
    WeightedTorchClassifier(None, "focal")  # type: ignore[call-arg, arg-type]
    MLP(3, 1, activation="rleu")  # type: ignore[arg-type]
    ReplicateEstimator(Own(), method="jk")  # type: ignore[arg-type]
    WeightSearchCV(Own(), {}, stack_size="all")  # type: ignore[arg-type]
    bootstrap_weights(None, None, [1.0, 2.0], single_cluster="skip")  # type: ignore[arg-type]


def fits(X: pd.DataFrame, y: pd.Series, weight: pd.Series) -> None:
    assert_type(Own().fit(X, y).own(), int)
    assert_type(Own().partial_fit(X, y, classes=[0, 1]), Own)
    assert_type(Own().set_params(lr=0.1), Own)
    Own().fit(X, y, weight)
    Own().fit(X, y, [1, 2.5], groups=["a", "b"], offset=ones(2))
    Own().fit(X, y, sample_weight=torch.ones(2), X_val=X, y_val=y, sample_weight_val=None)
    WeightSearchCV(Own(), {"lr": [0.1]}, error_score="raise").fit(X, y).stacked_.all()
    RandomizedWeightSearchCV(Own(), {}, stack_size=3).fit(X, y, sample_weight=weight).predictions_
    Own().fit(X, y, sample_weight=lambda row: 1)  # type: ignore[arg-type]
    Own().fit(X, y, sample_weights=weight)  # type: ignore[call-arg]
    Own().fit(X, y, weight, ["a", "b"])  # type: ignore[call-arg]
    Own().fit(X)  # type: ignore[call-arg]


def predictions(X: pd.DataFrame, y: pd.Series, std_too: bool) -> None:
    regressor = WeightedTorchRegressor().fit(X, y)
    assert_type(regressor.predict(X), Floats)
    assert_type(regressor.predict(X, return_std=True), tuple[Floats, Floats])
    assert_type(regressor.predict(X, std_too), Floats | tuple[Floats, Floats])
    assert_type(Own().predict_proba(X), Floats)
    assert_type(Own().score(X, y, None), float)
    regressor.predict(X, return_std="yes")  # type: ignore[call-overload]


def replicates(X: pd.DataFrame, y: pd.Series) -> None:
    weights = ReplicateWeights([[0, 2], [2, 0]], method="jk1", scale=0.5)
    fitted = ReplicateEstimator(Own(), method=None).fit(X, y, replicate_weights=weights)
    assert_type(fitted, ReplicateEstimator)
    assert_type(fitted.predict_proba(X), Floats)
    assert_type(fitted.predict_proba(X, return_std=True), tuple[Floats, Floats])
    assert_type(fitted.predict(X, True), tuple[Floats, Floats])
    fitted.predict_proba(X, return_std=1)  # type: ignore[call-overload]
    fitted.predict(X).shape
    fitted.predict(X, return_std=True).shape  # type: ignore[attr-defined]
    weights.method = "brr"  # type: ignore[misc]


def rows_are_numpy(value: NDArray[bool_], other: NDArray[float32]) -> None:
    Own().fit(value, other, other)
