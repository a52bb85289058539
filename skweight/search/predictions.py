"""What all candidates predict for the rows that they were not trained on."""

import warnings
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from skweight.estimators import Labels
from skweight.search.fits import Result
from skweight.search.folds import n_selected, rows_of


def predict_held_out(
    X: Any, y: Any, splits: list[tuple[Any, Any]], results: list[list[Result]]
) -> list[tuple[Any, NDArray[Any]]]:
    """The held-out rows of each split, and predictions of shape (n_candidates, n_test, ...)."""
    estimators = [[result.estimator for result in candidate] for candidate in results]
    fitted = [e for e in chain(*estimators) if e is not None]
    classes = _classes(y) if fitted and is_classifier(fitted[0]) else None
    predicted = []
    for split, (_, test) in enumerate(splits):
        rows = rows_of(X, test)
        predicted.append([_predict(candidate[split], rows, classes) for candidate in estimators])
    columns = next((p.shape[1:] for p in chain(*predicted) if p is not None), ())
    kept = []
    for (_, test), predictions in zip(splits, predicted):
        missing = np.full((n_selected(test), *columns), np.nan)
        kept.append((test, np.stack([missing if p is None else p for p in predictions])))
    return kept


def _predict(estimator: Any, X: Any, classes: NDArray[Any] | None) -> NDArray[Any] | None:
    """Predictions, or probabilities of all classes of y; None if there are none."""
    if estimator is None:
        return None
    try:
        found = np.asarray(estimator.predict(X) if classes is None else estimator.predict_proba(X))
    except Exception:  # a transformer that refuses these rows: scoring will say so
        return None
    if classes is None or len(estimator.classes_) == len(classes):
        return found
    probability = np.zeros((len(found), len(classes)))
    probability[:, np.searchsorted(classes, estimator.classes_)] = found
    return probability


def _classes(y: Any) -> NDArray[Any]:
    """All classes of y, or the numbers of its labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fits have shown them
        return Labels.of(y).classes
