"""One run of a search: makes the splits, trains on them, and keeps times and reasons."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from skweight.search.callbacks import FitContexts
from skweight.search.fits import Result
from skweight.search.predictions import offset_of, predict_held_out
from skweight.search.stand_in import FitQueue
from skweight.search.trainings import Trainings

Splits = list[tuple[Any, Any]]


@dataclass
class SearchRun:
    """What one call of a search's ``fit`` trains on, and a summary of the fits."""

    X: Any
    y: Any
    split_params: dict[str, Any]
    trainings: Trainings
    keep_predictions: bool
    queue: FitQueue = field(default_factory=FitQueue)
    n_expected: int = 0  # splits, as the splitter says
    # Of scikit-learn's callbacks, by the numbers of a candidate and a split.
    contexts: dict[tuple[int, int], Any] = field(default_factory=dict)
    seconds: NDArray[np.float64] = field(init=False)  # of shape (n_candidates, n_splits)
    stacked: NDArray[np.bool_] = field(init=False)  # likewise
    one_by_one: dict[str, list[int]] = field(default_factory=dict)
    predictions: list[tuple[Any, NDArray[Any]]] = field(default_factory=list)

    def split(self, cv: Any, candidates: list[dict[str, Any]], context: Any) -> tuple[Splits, Any]:
        """Make the splits, and the tasks of fits in the context of scikit-learn's callbacks."""
        cv = check_cv(cv, self.y, classifier=is_classifier(self.trainings.estimator))
        splits = [*cv.split(self.X, self.y, **self.split_params)]
        self.n_expected = cv.get_n_splits(self.X, self.y, **self.split_params)
        if context is not None and len(splits) == self.n_expected:
            context = FitContexts(context, len(candidates), len(splits))
            self.contexts = context.of_pairs
        return splits, context

    def train(self, candidates: list[dict[str, Any]], splits: Splits) -> None:
        """Train all candidates on all splits."""
        if len(splits) != self.n_expected:
            # scikit-learn refuses them: before fits, or after them in version 1.6
            refused = Result(failure="cv.split and cv.get_n_splits returned inconsistent results")
            self.queue.fill([[refused] * len(splits) for _ in candidates], splits)
            return
        results = self.trainings.run(self.X, self.y, candidates, splits, self.contexts)
        self._summarize(results)
        if self.keep_predictions:
            offset = offset_of(self.trainings.estimator, self.trainings.params)
            self.predictions = predict_held_out(self.X, self.y, splits, results, offset)
        self.queue.fill(results, splits)

    def _summarize(self, results: list[list[Result]]) -> None:
        """Keep times, and which candidates were stacked; estimators are freed after scoring."""
        self.seconds = np.array([[r.seconds for r in candidate] for candidate in results])
        self.stacked = np.array([[r.stacked for r in candidate] for candidate in results])
        for number, candidate in enumerate(results):
            for reason in {r.not_stackable: None for r in candidate if r.not_stackable}:
                self.one_by_one.setdefault(reason, []).append(number)
