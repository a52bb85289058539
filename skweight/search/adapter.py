"""What scikit-learn's search gets in place of the estimator and the splitter."""

import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from skweight.estimators import Labels
from skweight.search.folds import Failure, rows_of
from skweight.search.trainings import Result, Trainings


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
        if isinstance(fitted, Failure):
            raise RuntimeError(f"the training failed:\n{fitted.text}")
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

    Parameters
    ----------
    cv : int, splitter, iterable or None
        As given, and found to be right by scikit-learn.
    candidates : list of dict
    fits : Fits
    """

    def __init__(self, cv: Any, candidates: list[dict[str, Any]], fits: "Fits") -> None:
        self.cv = cv
        self.candidates = candidates
        self.fits = fits

    def split(self, X: Any, y: Any = None, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Return the splits; if they are not as many as was told, scikit-learn refuses them."""
        checked = check_cv(self.cv, y, classifier=is_classifier(self.fits.trainings.estimator))
        splits = [*checked.split(X, y, **kwargs)]
        if len(splits) == checked.get_n_splits(X, y, **kwargs):
            self.fits.make(X, y, self.candidates, splits)
        else:  # some versions ask for fits before they count
            self.fits.refused = True
        return iter(splits)


class Fits:
    """The fits of a search, one after the other, as scikit-learn asks for them.

    Parameters
    ----------
    trainings : Trainings
    predict : bool
        Whether to keep what each says of its held-out rows.
    """

    def __init__(self, trainings: Trainings, predict: bool) -> None:
        self.trainings = trainings
        self.predict = predict
        self.X: Any = None
        self.y: Any = None
        self.tests: list[Any] = []
        self.results: dict[tuple[int, int], Result] = {}
        self.shape = 0, 0
        self.n_given = 0
        self.refused = False
        self.predictions: dict[tuple[int, int], NDArray[Any]] = {}

    def make(
        self, X: Any, y: Any, candidates: list[dict[str, Any]], splits: list[tuple[Any, Any]]
    ) -> None:
        """Make all fits."""
        self.X, self.y, self.tests = X, y, [test for _, test in splits]
        self.shape = len(candidates), len(splits)
        self.results = self.trainings.results(X, y, candidates, splits)

    def next(self) -> Any:
        """The next fitted estimator or failure, or None after the last one."""
        if self.refused:
            return Failure("cv.split and cv.get_n_splits returned inconsistent results")
        if self.n_given == len(self.results):
            return None
        place = divmod(self.n_given, self.shape[1])
        self.n_given += 1
        result = self.results[place]
        fitted, result.fitted = result.fitted, None
        if self.predict and not isinstance(fitted, Failure):
            self.predictions[place] = self._predict(fitted, place[1])
        return fitted

    def _predict(self, fitted: Any, split: int) -> NDArray[Any]:
        """What an estimator says of its held-out rows: of classes, of all that are in y."""
        X = rows_of(self.X, self.tests[split])
        if not is_classifier(fitted):
            return np.asarray(fitted.predict(X))
        found = fitted.predict_proba(X)
        if len(fitted.classes_) == len(self.classes):
            return np.asarray(found)
        probability = np.zeros((len(found), len(self.classes)))
        probability[:, np.searchsorted(self.classes, fitted.classes_)] = found
        return probability

    @cached_property
    def classes(self) -> NDArray[Any]:
        """All classes of y, or the numbers of its labels."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fits said it
            return Labels.of(self.y).classes

    def predicted(self) -> list[tuple[Any, NDArray[Any]]]:
        """Held-out rows of the splits, and what all candidates say of them; NaN if they failed."""
        of_row = next(iter(self.predictions.values())).shape[1:]
        kept = []
        for split, test in enumerate(self.tests):
            n_test = np.count_nonzero(test) if np.asarray(test).dtype == bool else len(test)
            missing = np.full((n_test, *of_row), np.nan)
            places = [(candidate, split) for candidate in range(self.shape[0])]
            kept.append((test, np.stack([self.predictions.get(p, missing) for p in places])))
        return kept

    def seconds(self) -> NDArray[np.float64]:
        """Of shape (n_candidates, n_splits)."""
        return self._of_results("seconds", np.float64)

    def stacked(self) -> NDArray[np.bool_]:
        """Whether all fits of a candidate were made in stacks."""
        return np.asarray(self._of_results("stacked", np.bool_).all(axis=1))

    def _of_results(self, name: str, dtype: Any) -> NDArray[Any]:
        values = [getattr(self.results[place], name) for place in np.ndindex(*self.shape)]
        return np.array(values, dtype).reshape(self.shape)

    def one_by_one(self) -> dict[str, list[int]]:
        """Why candidates could not be stacked, and which."""
        reasons: dict[str, set[int]] = {}
        for (candidate, _), result in self.results.items():
            if result.reason:
                reasons.setdefault(result.reason, set()).add(candidate)
        return {reason: sorted(numbers) for reason, numbers in reasons.items()}
