"""How scikit-learn's search, which fits one estimator after the other, gets fits made before.

``fit`` of the estimator that scikit-learn scores is given neither the candidate nor the split that
it is for. Its parameters do not tell: they are copies, need not be comparable, and a candidate may
be given twice. So the fits are handed out in the order in which scikit-learn 1.6 to 1.9 ask for
them in one process: all splits of the first candidate, all of the second, and the refit at last.
The number of rows is compared each time.
"""

from collections import deque
from contextlib import nullcontext
from typing import Any

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skweight.search.fits import Result
from skweight.search.folds import n_rows, n_selected


class FitQueue:
    """Results of fits in the order in which scikit-learn asks for them."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Result, int]] = deque()  # with their numbers of training rows
        self.mismatch = ""

    def fill(self, results: list[list[Result]], splits: list[tuple[Any, Any]]) -> None:
        """Add the results of each candidate on each split."""
        sizes = [n_selected(train) for train, _ in splits]
        for candidate_results in results:
            self.waiting.extend(zip(candidate_results, sizes))

    def take(self, X: Any) -> Result | None:
        """The result of the fit on the rows X, or None if all results have been taken."""
        if not self.waiting:
            return None
        result, n_expected = self.waiting.popleft()
        if n_rows(X) != n_expected:
            found = f"a fit on {n_rows(X)} rows where one on {n_expected} rows was next"
            self.mismatch = self.mismatch or found
            self.check()
        return result

    def check(self) -> None:
        """Refuse results that may have been taken for those of other candidates or splits."""
        if self.waiting and not self.mismatch:
            self.mismatch = f"the results of {len(self.waiting)} fits were never asked for"
        if self.mismatch:
            raise RuntimeError(
                "scikit-learn asked for fits in another order than skweight knows: "
                f"{self.mismatch}. Use sklearn.model_selection.GridSearchCV with this version."
            )


class StandIn:
    """Takes the estimator's place in scikit-learn's search, with a ``fit`` of its own.

    As with scikit-learn's ``FrozenEstimator``, everything else is delegated to ``estimator``: an
    unfitted estimator before ``fit``, and the fitted one after it.
    """

    def __init__(self, estimator: Any, queue: FitQueue) -> None:
        self.estimator = estimator
        self.queue: FitQueue | None = queue  # None after fit

    def fit(self, X: Any, y: Any = None, **params: Any) -> "StandIn":
        """Take the next result of the queue; the refit, after all of them, is a fit."""
        queue, self.queue = self.queue, None
        result = None if queue is None else queue.take(X)
        if result is None:
            parent = vars(self).get("_parent_callback_ctx")  # of scikit-learn's callbacks
            with (
                nullcontext()
                if parent is None
                else parent.propagate_callback_context(self.estimator)
            ):
                self.estimator.fit(X, y, **params)
        elif result.failure:
            raise RuntimeError(f"the training failed:\n{result.failure}")
        else:  # the queue's reference to it goes, so that it can be freed once it is scored
            self.estimator, result.estimator = result.estimator, None
        return self

    def set_params(self, **params: Any) -> "StandIn":
        """Set parameters of the estimator."""
        self.estimator.set_params(**params)
        return self

    def set_callbacks(self, *callbacks: Any) -> "StandIn":
        """Take callbacks of scikit-learn for the task of this fit, which have heard of it before.

        Those of the estimator are its own.
        """
        self._skl_callbacks = [*callbacks]
        return self

    def __sklearn_clone__(self) -> Any:
        """A stand-in for another fit; of a fitted one, for scorers, an unfitted estimator."""
        estimator = clone(self.estimator)
        return estimator if self.queue is None else StandIn(estimator, self.queue)

    def __sklearn_is_fitted__(self) -> bool:
        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return False
        return True

    def __getitem__(self, index: Any) -> Any:
        """Steps of a pipeline: Python does not look for this method through ``__getattr__``."""
        return self.estimator[index]

    def __getattr__(self, name: str) -> Any:
        if name == "estimator":  # it is being copied, and has no attributes yet
            raise AttributeError(name)
        return getattr(self.estimator, name)
