"""``WeightSearchCV`` and ``RandomizedWeightSearchCV``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, check_cv
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import process_routing

from skweight._keywords import Auto, Self, check_flag, warn
from skweight.estimators import callbacks_of, doc_link_template
from skweight.search.callbacks import SearchCallback
from skweight.search.run import SearchRun
from skweight.search.stand_in import StandIn
from skweight.search.trainings import Trainings
from skweight.weights import n_rows_of


class StackedSearch:
    """A search of scikit-learn whose candidates are trained together before they are scored."""

    _doc_link_module = "skweight"
    _doc_link_template = property(doc_link_template)
    estimator: Any
    n_jobs: int | None
    cv: Any
    error_score: float | str
    pre_dispatch: int | str
    verbose: int
    scoring: Any
    stack_size: int | str
    return_predictions: bool

    predictions_: list[tuple[Any, NDArray[Any]]]
    stacked_: NDArray[np.bool_]
    one_by_one_: dict[str, list[int]]

    _run: SearchRun  # of the copy that scikit-learn's fit runs on

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train all candidates on all splits, and fit the best one on all rows.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
            What the estimator takes; for a dict of inputs, a ``SliceDict`` of ``skorch.helper``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers.
        **params : dict
            ``sample_weight`` and other arguments for ``fit`` of the estimator, and ``groups`` for
            the splitter. As in :class:`~sklearn.model_selection.GridSearchCV`, the scores of a
            pipeline are weighted only with metadata routing, and so are all scores before
            scikit-learn 1.7, see docs/routing.md.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator, or the last step of the pipeline, is not a WeightedTorchClassifier
            or WeightedTorchRegressor; if a candidate replaces it by another class; or if X is a
            dict.
        ValueError
            If ``stack_size`` is neither "auto" nor an int of at least 1, and in all cases in which
            ``GridSearchCV`` raises it.
        """
        if isinstance(X, Mapping) and not hasattr(X, "shape"):
            raise TypeError(
                "X must be something whose rows can be selected, for the splits, got "
                f"{type(X).__name__}. Pass skorch.helper.SliceDict(**X)."
            )
        check_flag(self.return_predictions, "return_predictions")
        n_rows, n_targets = n_rows_of(X), n_rows_of(y)
        if y is not None and n_targets is None:
            raise TypeError(f"y must hold a target for each row of X, got {y!r}.")
        if None not in (n_rows, n_targets) and n_rows != n_targets:
            raise ValueError(
                f"y must have one entry for each of {n_rows} rows of X, got {n_targets}."
            )
        X, y = indexable(X, y)
        search: Any = copy.copy(self)
        search._run = self._prepare(X, y, params)
        search.estimator = StandIn(self.estimator, search._run.queue)
        # scikit-learn only scores, in this process. Wrong values are left for it to refuse.
        search.cv = [*self.cv] if isinstance(self.cv, Iterator) else self.cv  # is read twice
        if self.n_jobs is None or isinstance(self.n_jobs, Integral):
            search.n_jobs = 1
        if isinstance(self.verbose, Integral) and self.verbose >= 0:
            search.verbose = 0
        if callbacks := callbacks_of(self):  # of scikit-learn 1.9
            search.set_callbacks(*(SearchCallback(c, self._search_of) for c in callbacks))
        super(StackedSearch, search).fit(X, y, **params)  # type: ignore[misc]
        self._take_results(search)
        if not self.return_predictions:
            vars(self).pop("predictions_", None)  # of an earlier fit
        self._warn_of_one_by_one()
        return self

    def _prepare(self, X: Any, y: Any, params: dict[str, Any]) -> SearchRun:
        """Route the parameters of ``fit`` as scikit-learn does."""
        fit_params = {name: value for name, value in params.items() if name != "groups"}
        split_params = {"groups": params.get("groups")}
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **params)
            fit_params, split_params = dict(routed.estimator.fit), dict(routed.splitter.split)
        trainings = Trainings(
            self.estimator,
            fit_params,
            n_jobs=self.n_jobs,
            pre_dispatch=self.pre_dispatch,
            stack_size=self.stack_size,
            verbose=self.verbose,
            raises=isinstance(self.error_score, str),
            are_heard=bool(callbacks_of(self)),
        )
        return SearchRun(X, y, split_params, trainings, self.return_predictions)

    def _run_search(
        self, evaluate_candidates: Callable[..., Any], *, callback_ctx: Any = None
    ) -> None:
        """Train the candidates, then have them scored.

        This is scikit-learn's documented hook for searches; from 1.9 on it passes
        ``callback_ctx``.
        """

        def evaluate(candidates: Iterable[dict[str, Any]], **kwargs: Any) -> Any:
            run, candidates = self._run, [*candidates]
            splits, made = run.split(self.cv, candidates, kwargs.get("callback_ctx"))
            kwargs |= {} if made is None else {"callback_ctx": made}
            run.train(candidates, splits)
            results = evaluate_candidates(candidates, cv=check_cv(splits), **kwargs)
            run.queue.check()
            results["mean_fit_time"] = run.seconds.mean(axis=1)
            results["std_fit_time"] = run.seconds.std(axis=1)
            self.stacked_ = np.asarray(run.stacked.all(axis=1))
            self.one_by_one_ = run.one_by_one
            if self.return_predictions:
                self.predictions_ = run.predictions
            return results

        context = {} if callback_ctx is None else {"callback_ctx": callback_ctx}
        super()._run_search(evaluate, **context)  # type: ignore[misc]

    def _take_results(self, search: Any) -> Any:
        """Take what scikit-learn's fit of the copy has found so far, with the real estimator."""
        found = {k: v for k, v in vars(search).items() if k.endswith("_") and k[0] != "_"}
        for name, value in found.items():
            setattr(self, name, value.estimator if isinstance(value, StandIn) else value)
        if self.scoring is None and "scorer_" in found:
            self.scorer_ = check_scoring(self.estimator)
        return self

    def _search_of(self, estimator: Any) -> Any:
        """What a callback is given for an estimator: the search itself for its copy."""
        return self._take_results(estimator) if hasattr(estimator, "_run") else estimator

    def _warn_of_one_by_one(self) -> None:
        for reason, numbers in self.one_by_one_.items():
            warn(
                f"{len(numbers)} of {len(self.stacked_)} candidates were trained one by one, with "
                f"the same results: {reason}."
            )


class WeightSearchCV(StackedSearch, GridSearchCV):  # type: ignore[misc]
    """Grid search that trains many weight settings at once, with the results of GridSearchCV.

    It is used like :class:`~sklearn.model_selection.GridSearchCV`, and is faster if candidates
    differ only in weight settings (``class_weight``, ``sample_weight_power`` and the like),
    ``random_state`` or initial feature weights: these are trained together as one stacked network.
    Each candidate keeps its own rows, order of rows and early stopping, and its results are those
    of training it by itself: on a CPU bit for bit if the network consists of linear layers and
    activations. See docs/searching.md.

    Parameters
    ----------
    estimator : WeightedTorchClassifier, WeightedTorchRegressor or Pipeline
        The estimator to fit; it is cloned. The last step of a pipeline must be one of the two.
    param_grid : dict or list of dict
        Lists of values by the names of parameters. Parameters that are no weight settings may be
        among them; candidates that differ in these are trained in different stacks.
    scoring : str, callable, list, tuple or dict, default=None
        The score or scores, as in ``GridSearchCV``; None is ``score`` of the estimator. A callable
        is given an object that passes everything on to the fitted estimator but is of another
        class, so that ``isinstance`` checks fail.
    cv : int, splitter or iterable, default=None
        Number of folds, a splitter, or pairs of positions for training and testing. None is five
        folds, stratified for a classifier.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate on all rows. With several scores, the name of the one that
        chooses it. Or a function that is given ``cv_results_`` and returns the position of a
        candidate.
    n_jobs : int, default=None
        Number of processes that train stacks; None is 1. Scores are computed in the calling
        process.
    error_score : "raise" or float, default=nan
        Score of a fit that fails. With "raise" the first error ends the search.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has scores of the training rows too.
    stack_size : "auto" or int, default="auto"
        Largest number of networks in one stack; lower it if memory runs out. "auto" is as many as
        fit into 64 MiB, or into a quarter of a GPU's free memory, or 1 where stacking would save no
        time.
    return_predictions : bool, default=False
        Whether to keep the predictions of every candidate for its held-out rows, in
        ``predictions_``.
    verbose : int, default=0
        Above 0, a progress bar is shown. It moves with the epochs of all fits that are trained in
        this process, and names the settings that these share.
    pre_dispatch : int or str, default="2*n_jobs"
        Number of tasks that are given to processes before one of them has ended; fewer need less
        memory.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As in ``GridSearchCV``. The fit time of a stack is divided equally among its fits, and so
        is the time for fitting transformers that candidates share.
    best_estimator_ : WeightedTorchClassifier, WeightedTorchRegressor or Pipeline
        Fitted by itself on all rows.
    best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As in ``GridSearchCV``.
    classes_, n_features_in_, feature_names_in_
        Those of ``best_estimator_``, if it has them.
    stacked_ : ndarray of bool of shape (n_candidates,)
        Whether all fits of a candidate were trained in stacks. A fit that failed was not.
    one_by_one_ : dict of str to list of int
        For each reason why candidates could not be stacked, their positions in ``cv_results_``.
        Candidates that could be stacked, but without saving time, are not listed.
    predictions_ : list of tuple of (ndarray, ndarray)
        Only with ``return_predictions=True``. For each split, the positions of the held-out rows,
        of shape (n_test,) (or their mask, if ``cv`` gives masks), and the predictions of all
        candidates for these rows, of shape (n_candidates, n_test, ...): ``predict_proba`` of a
        classifier, ``predict`` of a regressor. Probabilities have one column for each class of y,
        which is 0 if the class is in no training row. They are NaN where a fit or its prediction
        failed.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skweight import WeightedTorchClassifier, WeightSearchCV
    >>> X, y = make_classification(200, weights=[0.9], random_state=0)
    >>> search = WeightSearchCV(
    ...     WeightedTorchClassifier(max_epochs=5, random_state=0, device="cpu"),
    ...     {"class_weight": ["balanced", {0: 1, 1: 3}], "class_weight_power": [0.5, 1.0]},
    ...     scoring="balanced_accuracy",
    ... ).fit(X, y)
    >>> search.stacked_
    array([ True,  True,  True,  True])
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        scoring: Any = None,
        cv: Any = None,
        refit: bool | str | Callable[..., int] = True,
        n_jobs: int | None = None,
        error_score: float | Literal["raise"] = np.nan,
        return_train_score: bool = False,
        stack_size: int | Auto = "auto",
        return_predictions: bool = False,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            cv=cv,
            refit=refit,
            n_jobs=n_jobs,
            error_score=error_score,
            return_train_score=return_train_score,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
        )
        self.stack_size = stack_size
        self.return_predictions = return_predictions


class RandomizedWeightSearchCV(StackedSearch, RandomizedSearchCV):  # type: ignore[misc]
    """Randomized search that trains many weight settings at once.

    It trains as :class:`WeightSearchCV` does, and has the same attributes. Its ``n_iter``
    candidates are those that :class:`~sklearn.model_selection.RandomizedSearchCV` draws.

    Parameters
    ----------
    estimator : WeightedTorchClassifier, WeightedTorchRegressor or Pipeline
        The estimator to fit; it is cloned. The last step of a pipeline must be one of the two.
    param_distributions : dict or list of dict
        Lists of values, or distributions with a method ``rvs``, by the names of parameters.
    n_iter : int, default=10
        Number of candidates to draw.
    scoring, cv, refit, n_jobs, error_score, return_train_score, verbose, pre_dispatch
        As in :class:`WeightSearchCV`.
    random_state : int, RandomState or None, default=None
        Seed for drawing the candidates.
    stack_size : "auto" or int, default="auto"
        As in :class:`WeightSearchCV`.
    return_predictions : bool, default=False
        As in :class:`WeightSearchCV`.

    Attributes
    ----------
    cv_results_, best_estimator_, stacked_, one_by_one_, predictions_
        As in :class:`WeightSearchCV`.
    best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As in :class:`WeightSearchCV`.
    classes_, n_features_in_, feature_names_in_
        As in :class:`WeightSearchCV`.

    Examples
    --------
    >>> from scipy.stats import uniform
    >>> from sklearn.datasets import make_classification
    >>> from skweight import RandomizedWeightSearchCV, WeightedTorchClassifier
    >>> X, y = make_classification(200, weights=[0.9], random_state=0)
    >>> search = RandomizedWeightSearchCV(
    ...     WeightedTorchClassifier(class_weight="balanced", max_epochs=5, device="cpu"),
    ...     {"class_weight_power": uniform(0, 1), "random_state": [0]},
    ...     n_iter=4,
    ...     random_state=0,
    ... ).fit(X, y)
    >>> search.stacked_.all().item()
    True
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        cv: Any = None,
        refit: bool | str | Callable[..., int] = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        error_score: float | Literal["raise"] = np.nan,
        return_train_score: bool = False,
        stack_size: int | Auto = "auto",
        return_predictions: bool = False,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            cv=cv,
            refit=refit,
            n_jobs=n_jobs,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
        )
        self.stack_size = stack_size
        self.return_predictions = return_predictions
