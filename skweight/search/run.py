"""One run of a search: its splits, and what is kept of the fits on them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from skweight.search.fits import Result
from skweight.search.predictions import predict_held_out
from skweight.search.stand_in import FitQueue
from skweight.search.trainings import Trainings

Splits = list[tuple[Any, Any]]


@dataclass
class SearchRun:
    """One call of ``fit`` of a search: what it trains on, and what is known of its fits."""

    X: Any
    y: Any
    split_params: dict[str, Any]
    trainings: Trainings
    keep_predictions: bool
    queue: FitQueue = field(default_factory=FitQueue)
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    stacked: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    one_by_one: dict[str, list[int]] = field(default_factory=dict)
    predictions: list[tuple[Any, NDArray[Any]]] = field(default_factory=list)

    def train(self, candidates: list[dict[str, Any]], cv: Any) -> Splits:
        """Train all candidates on all splits, and return the splits."""
        cv = check_cv(cv, self.y, classifier=is_classifier(self.trainings.estimator))
        splits = [*cv.split(self.X, self.y, **self.split_params)]
        if len(splits) != cv.get_n_splits(self.X, self.y, **self.split_params):
            # scikit-learn refuses them: before fits, or after them in version 1.6
            refused = Result(failure="cv.split and cv.get_n_splits returned inconsistent results")
            self.queue.fill([[refused] * len(splits) for _ in candidates], splits)
            return splits
        results = self.trainings.run(self.X, self.y, candidates, splits)
        self.seconds = np.array([[r.seconds for r in of_candidate] for of_candidate in results])
        self.stacked = np.array([all(r.stacked for r in of_one) for of_one in results], dtype=bool)
        for number, of_candidate in enumerate(results):
            for reason in dict.fromkeys(r.not_stackable for r in of_candidate):
                if reason:
                    self.one_by_one.setdefault(reason, []).append(number)
        if self.keep_predictions:
            self.predictions = predict_held_out(self.X, self.y, splits, results)
        self.queue.fill(results, splits)
        return splits
