"""What stands for the estimator and the splitter while scikit-learn runs a search.

The fits that it asks for were made before, see ``candidates``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from skweight.candidates import Result, Trainings


class StandIn:
    """Takes the estimator's place in scikit-learn's search, and becomes a trained one in ``fit``.

    Fits come in the order of candidates and splits; the one after them is that on all rows.
    """

    def __init__(self, estimator: Any, fits: "Fits") -> None:
        self.estimator = estimator
        self.fits = fits

    def fit(self, X: Any, y: Any = None, **params: Any) -> "StandIn":
        """Become the fitted estimator, or raise the error of its training."""
        fitted = self.fits.next()
        if fitted is None:
            fitted = self.estimator.fit(X, y, **params)
        if isinstance(fitted, Exception):
            raise fitted
        given = {k: v for k, v in vars(self).items() if k not in ("estimator", "fits")}
        self.__class__, self.__dict__ = type(fitted), vars(fitted) | given
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the estimator."""
        params: dict[str, Any] = self.estimator.get_params(deep)
        return params

    def set_params(self, **params: Any) -> "StandIn":
        """Set parameters of the estimator."""
        self.estimator.set_params(**params)
        return self

    def get_metadata_routing(self) -> Any:
        """Ask for what the estimator asks for."""
        return get_routing_for_object(self.estimator)

    def __sklearn_clone__(self) -> "StandIn":
        return StandIn(clone(self.estimator), self.fits)

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def __getattr__(self, name: str) -> Any:
        if name in ("estimator", "fits"):
            raise AttributeError(name)
        return getattr(self.estimator, name)


class Splitter:
    """A splitter after whose splits, which are the last thing that was missing, all fits are made.

    Later, in ``fit`` of an estimator, every error would be taken for that of a candidate.
    """

    def __init__(self, cv: Any, checked: Any, fits: "Fits") -> None:
        self.cv = cv
        self.checked = checked
        self.fits = fits

    def get_n_splits(self, *args: Any, **kwargs: Any) -> int:
        """Return the number of splits."""
        n_splits: int = self.checked.get_n_splits(*args, **kwargs)
        return n_splits

    def split(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Return the splits."""
        splits = [*self.checked.split(*args, **kwargs)]
        self.fits.make(splits)
        return iter(splits)

    def get_metadata_routing(self) -> Any:
        """Ask for what the splitter that was given asks for."""
        return get_routing_for_object(self.cv)


class Fits:
    """The fits of a search, one after the other, as scikit-learn asks for them."""

    def __init__(self, trainings: Trainings, predict: bool) -> None:
        self.trainings = trainings
        self.predict = predict
        self.results: dict[tuple[int, int], Result] = {}
        self.n_given = 0
        self.predictions: list[list[Any]] = []

    def make(self, splits: list[tuple[Any, Any]]) -> None:
        """Make all fits."""
        self.trainings.splits = splits
        self.predictions = [[] for _ in splits]
        self.results = self.trainings.results()

    def next(self) -> Any:
        """The next fitted estimator or error, or None after the last one."""
        trainings = self.trainings
        if self.n_given == len(self.results):
            return None
        candidate, split = divmod(self.n_given, len(trainings.splits))
        self.n_given += 1
        result = self.results[candidate, split]
        fitted, result.fitted = result.fitted, None
        if self.predict:
            self.predictions[split].append(_predictions(fitted, trainings, split))
        return fitted

    def seconds(self) -> NDArray[np.float64]:
        """Of shape (n_candidates, n_splits)."""
        shape = len(self.trainings.candidates), len(self.trainings.splits)
        return np.array([self.results[place].seconds for place in np.ndindex(*shape)]).reshape(
            shape
        )


def _predictions(fitted: Any, trainings: Trainings, split: int) -> Any:
    """What an estimator says of its held-out rows; None if its training failed."""
    if isinstance(fitted, Exception):
        return None
    X = _safe_indexing(trainings.X, trainings.splits[split][1])
    return fitted.predict_proba(X) if is_classifier(fitted) else fitted.predict(X)
