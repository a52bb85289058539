"""The rows of one split, transformed by the steps before the last of a pipeline."""

import copy
import time
import traceback
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metadata_routing import get_routing_for_object

from skweight.estimators import TorchEstimator


@dataclass
class Failure:
    """An exception as text: not every one survives the way from one process to another."""

    text: str

    @classmethod
    def of(cls, error: Exception, raises: bool) -> "Failure":
        """Keep the traceback, or raise the error where that is what was asked for."""
        if raises:
            raise error
        return cls("".join(traceback.format_exception(error)))


@dataclass
class Fold:
    """Rows of a split, or what the transformers of a fitted pipeline made of them."""

    X: Any
    y: Any
    params: dict[str, Any]  # of ``fit``
    rows: Any = None  # None: all
    pipeline: Any = None  # fitted up to its last step
    seconds: float = 0.0
    failure: Failure | None = None

    def data(self) -> tuple[Any, Any, dict[str, Any]]:
        """X, y and the parameters of ``fit``."""
        if self.rows is None:
            return self.X, self.y, self.params
        y = None if self.y is None else rows_of(self.y, self.rows)
        params = {k: _rows_of_param(v, self.rows, self.X) for k, v in self.params.items()}
        return rows_of(self.X, self.rows), y, params

    def complete(self, step: Any) -> Any:
        """The fitted estimator with its fitted last step; folds share transformers."""
        if self.pipeline is None or isinstance(step, Failure):
            return step
        fitted = copy.copy(self.pipeline)
        fitted.steps = [*self.pipeline.steps[:-1], (self.pipeline.steps[-1][0], step)]
        return fitted


class LastStep:
    """Stands for the last step while a pipeline is fitted, and keeps what that would get."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.got: Any = None

    def fit(self, X: Any, y: Any = None, **params: Any) -> "LastStep":
        """Keep what is passed."""
        self.got = X, y, params
        return self

    def get_metadata_routing(self) -> Any:
        """Ask for what the last step asks for."""
        return get_routing_for_object(self.estimator)

    def __sklearn_tags__(self) -> Any:
        """Be what the last step is."""
        return self.estimator.__sklearn_tags__()


def last_step(estimator: Any) -> tuple[Any, str]:
    """The estimator that is ours, and the prefix of its parameters.

    Raises
    ------
    TypeError
        If it is none of ours.
    """
    is_pipeline = isinstance(estimator, Pipeline) and bool(estimator.steps)
    name, step = estimator.steps[-1] if is_pipeline else ("", estimator)
    if not isinstance(step, TorchEstimator):
        last = f" that ends with {type(step).__name__}" * is_pipeline
        raise TypeError(
            "estimator must be a WeightedTorchClassifier or WeightedTorchRegressor, or a Pipeline "
            f"whose last step is one, got {type(estimator).__name__}{last}. Pass others to "
            "sklearn.model_selection.GridSearchCV."
        )
    return step, f"{name}__" * is_pipeline


def make_fold(estimator: Any, fold: Fold, raises: bool) -> Fold:
    """Fit the steps before the last one on a fold, if there are any."""
    if not isinstance(estimator, Pipeline):
        return fold
    start = time.perf_counter()
    pipeline = clone(estimator)
    name, step = pipeline.steps[-1]
    last = LastStep(step)
    pipeline.steps[-1] = name, last
    try:
        X, y, params = fold.data()
        pipeline.fit(X, y, **params)
    except Exception as error:  # of every candidate, for GridSearchCV to treat as such
        fold = Fold(None, None, {}, failure=Failure.of(error, raises))
    else:
        (X, y, params), last.got = last.got, None
        fold = Fold(X, y, params, pipeline=pipeline)
    fold.seconds = time.perf_counter() - start
    return fold


def rows_of(values: Any, rows: Any) -> Any:
    """Rows of X, y or anything else that is as long."""
    return _safe_indexing(values, rows)


def _rows_of_param(value: Any, rows: Any, X: Any) -> Any:
    """Rows of a parameter of ``fit`` that has one entry for each row of X."""
    array_like = hasattr(value, "shape") or hasattr(value, "__array__")
    if not array_like and not isinstance(value, (list, tuple)):
        return value
    length, n_rows = (v.shape[:1] if hasattr(v, "shape") else (len(v),) for v in (value, X))
    return rows_of(indexable(value)[0], rows) if length == n_rows else value
