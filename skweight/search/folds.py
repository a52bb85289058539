"""The training rows of one split, transformed by the steps before the last of a pipeline."""

import copy
import time
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metadata_routing import get_routing_for_object

from skweight.search.parts import trained_part


@dataclass
class Fold:
    """The training rows of a split, or what the fitted transformers of a pipeline made of them."""

    X: Any
    y: Any
    params: dict[str, Any]  # of fit
    rows: Any = None  # positions or a mask of rows; None: all of them
    pipeline: Any = None  # whose transformers are fitted
    seconds: float = 0.0  # that fitting the transformers took
    failure: str = ""  # the traceback of a transformer's error

    def fit_arguments(self) -> tuple[Any, Any, dict[str, Any]]:
        """X, y and the keyword arguments of ``fit``, of the rows of this fold."""
        if self.rows is None:
            return self.X, self.y, self.params
        y = None if self.y is None else rows_of(self.y, self.rows)
        params = {k: rows_of_param(v, self.rows, self.X) for k, v in self.params.items()}
        return rows_of(self.X, self.rows), y, params

    def complete(self, step: Any) -> Any:
        """Put a fitted last step behind the fitted transformers, which several candidates share."""
        if self.pipeline is None:
            return step
        fitted = copy.copy(self.pipeline)
        fitted.steps = [*self.pipeline.steps[:-1], (self.pipeline.steps[-1][0], step)]
        return fitted


class RecordingStep:
    """Takes the place of the last step of a pipeline, and records what its ``fit`` is passed."""

    def __init__(self, step: Any) -> None:
        self.step = step
        self.fit_arguments: Any = None

    def fit(self, X: Any, y: Any = None, **params: Any) -> "RecordingStep":
        """Record the transformed rows."""
        self.fit_arguments = X, y, params
        return self

    def get_metadata_routing(self) -> Any:
        """Request the metadata that the last step requests."""
        return get_routing_for_object(self.step)

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the last step."""
        return self.step.__sklearn_tags__()


def transform_fold(estimator: Any, fold: Fold, raises: bool) -> Fold:
    """Fit the transformers before the trained part; without any the fold stays as it is."""
    _, prefix = trained_part(estimator)
    if not prefix:
        return fold
    start = time.perf_counter()
    pipeline = clone(estimator)
    name, step = pipeline.steps[-1]
    recorder = RecordingStep(step)
    pipeline.steps[-1] = name, recorder
    try:
        X, y, params = fold.fit_arguments()
        pipeline.fit(X, y, **params)
    except Exception as error:  # scikit-learn decides what to do about candidates that fail
        transformed = Fold(None, None, {}, failure=failure_text(error, raises))
    else:
        X, y, params = recorder.fit_arguments
        transformed = Fold(X, y, params, pipeline=pipeline)
        recorder.fit_arguments = None  # the pipeline is kept longer than these rows
    transformed.seconds = time.perf_counter() - start
    return transformed


def failure_text(error: Exception, raises: bool) -> str:
    """The traceback as text, since not every exception can be sent to another process.

    With ``raises`` the error is raised instead.
    """
    if raises:
        raise error
    return "".join(traceback.format_exception(error))


def rows_of(values: Any, rows: Any) -> Any:
    """Select rows of X, y or anything else that has as many."""
    return _safe_indexing(values, rows)


def n_selected(rows: Any) -> int:
    """How many rows positions or a mask select."""
    rows = np.asarray(rows)
    return int(np.count_nonzero(rows)) if rows.dtype == bool else len(rows)


def n_rows(values: Any) -> int | None:
    """How many rows a table, array or list has; None for a scalar."""
    if hasattr(values, "shape"):
        return int(values.shape[0]) if len(values.shape) else None
    return len(values)


def rows_of_param(value: Any, rows: Any, X: Any) -> Any:
    """Select rows of a parameter of ``fit`` if it has one entry for each row of X."""
    is_array_like = hasattr(value, "shape") or hasattr(value, "__array__")
    if not is_array_like and not isinstance(value, (list, tuple)):
        return value
    return rows_of(indexable(value)[0], rows) if n_rows(value) == n_rows(X) else value
