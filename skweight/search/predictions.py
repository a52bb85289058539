"""What all candidates predict for the rows that they were not trained on."""

from contextlib import nullcontext
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import is_classifier
from sklearn.utils.metadata_routing import get_routing_for_object

from skweight._keywords import shown_before
from skweight.estimators import Labels
from skweight.search.fits import Result
from skweight.search.folds import n_selected, rows_of, rows_of_param
from skweight.search.parts import last_step


def offset_of(estimator: Any, params: dict[str, Any]) -> Any:
    """The offset among the parameters of ``fit``, whatever it is called there; None without one."""
    step, prefix = last_step(estimator)
    name = f"{prefix}offset"
    if get_config()["enable_metadata_routing"]:
        name = "offset"
        request = get_routing_for_object(step).fit.requests.get(name)
        if prefix and isinstance(request, str):  # a pipeline translates the user's name
            name = request
    return params.get(name)


def predict_held_out(
    X: Any,
    y: Any,
    splits: list[tuple[Any, Any]],
    results: list[list[Result]],
    offset: Any = None,
) -> list[tuple[Any, NDArray[Any]]]:
    """The held-out rows of each split, and predictions of shape (n_candidates, n_test, ...)."""
    estimators = [[result.estimator for result in candidate] for candidate in results]
    fitted = [e for e in chain(*estimators) if e is not None]
    classes = _classes(y) if fitted and is_classifier(fitted[0]) else None
    predicted = []
    for split, (_, test) in enumerate(splits):
        rows = rows_of(X, test)
        params = {} if offset is None else {"offset": rows_of_param(offset, test, X)}
        predicted.append([_predict(e[split], rows, classes, params) for e in estimators])
    columns = next((p.shape[1:] for p in chain(*predicted) if p is not None), ())
    kept = []
    for (_, test), predictions in zip(splits, predicted):
        missing = np.full((n_selected(test), *columns), np.nan)
        kept.append((test, np.stack([missing if p is None else p for p in predictions])))
    return kept


def _predict(
    estimator: Any, X: Any, classes: NDArray[Any] | None, params: dict[str, Any]
) -> NDArray[Any] | None:
    """Predictions, or probabilities of all classes of y; None if there are none."""
    if estimator is None:
        return None
    predict = estimator.predict if classes is None else estimator.predict_proba
    try:
        # Without routing, a pipeline passes what it is given to its last step.
        with config_context(enable_metadata_routing=False) if params else nullcontext():
            found = np.asarray(predict(X, **params))
    except Exception:  # a transformer that refuses these rows: scoring will say so
        return None
    if classes is None or len(estimator.classes_) == len(classes):
        return found
    probability = np.zeros((len(found), len(classes)))
    probability[:, np.searchsorted(classes, estimator.classes_)] = found
    return probability


def _classes(y: Any) -> NDArray[Any]:
    """All classes of y, or the numbers of its labels."""
    with shown_before():  # by the fits
        return Labels.of(y).classes
