"""``ReplicateEstimator``: an estimator on the full sample and on each replicate of its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from itertools import islice, pairwise
from typing import Any, Literal, TypeVar, overload

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skweight._keywords import (
    Auto,
    Floats,
    Self,
    check_choice,
    check_flag,
    did_you_mean,
    is_flag,
    is_integer,
    is_out_of_memory,
    name_of,
)
from skweight.ensembles.evaluation import evaluate
from skweight.ensembles.factors import factors_of
from skweight.ensembles.result import ReplicateStatistic, spread
from skweight.ensembles.weight_columns import (
    are_in,
    check_replicate_weights,
    columns_named,
    refuse_features,
    take_columns,
    without_columns,
)
from skweight.estimators import (
    FitData,
    FitPlan,
    TorchEstimator,
    callbacks_of,
    doc_link_template,
    overrides,
    plan,
    plan_replicate,
    shown,
)
from skweight.stacks import Outcome, train_in_stacks
from skweight.training import (
    Bar,
    Training,
    TrainingInterrupted,
    if_out_of_memory,
    if_process_is_killed,
    lower_batch_size,
    refuse_checkpoint,
    watched,
)
from skweight.weights import REPLICATE_METHODS, ReplicateMethod, n_rows_of

Method = TypeVar("Method", bound=Callable[..., Any])

_MOST_PROCESSES = 2**31
# Attributes of the estimator that this one has too.
_OF_ESTIMATOR = ("classes_", "n_features_in_", "feature_names_in_")


def _if_estimator_has(name: str) -> Callable[[Method], Method]:
    """Decorate a method that is there if the estimator has a method of this name."""
    decorate: Callable[[Method], Method] = available_if(
        lambda replicates: hasattr(replicates.estimator, name)
    )
    return decorate


class ReplicateEstimator(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Standard errors of predictions and statistics from the replicate weights of a survey.

    The estimator is fitted once with ``sample_weight``, the full sample, and once with each column
    of ``replicate_weights``. A statistic of the fitted networks, such as a prediction or the mean
    of all predictions, then has the variance

        V = sum_r c_r (t_r - t)^2

    where t is the statistic of the full sample, t_r that of replicate r, and c_r a factor that
    depends on the ``method`` by which the replicate weights were made. See docs/surveys.md.

    The standard errors are those of sampling under the design of the survey: they say how much the
    result would differ if the survey were drawn again. They do not contain the random numbers of
    training, the choice of the model, or bias. For these, compare fits with other ``random_state``
    and other models.

    Parameters
    ----------
    estimator : WeightedTorchClassifier or WeightedTorchRegressor
        The estimator to fit; it is cloned. In a pipeline, make the ReplicateEstimator the last
        step. The estimator may not have callbacks of scikit-learn.
    method : None, "bootstrap", "brr", "jk1", "jkn" or "sdr", default=None
        How the replicate weights were made, which decides the factors c_r. The documentation of a
        survey says it; see docs/surveys.md. None is enough for
        :class:`~skweight.ReplicateWeights`, which know it.
    fay : float, default=0.0
        Fay's coefficient k, in [0, 1), for "brr": weights were multiplied by k and 2 - k, and not
        by 0 and 2.
    scale : None, float or array-like of shape (n_replicates,), default=None
        The factors c_r, if they are not those of the method. "jkn" needs them, unless the weights
        are :class:`~skweight.ReplicateWeights`.
    mse : bool, default=True
        Whether deviations are from the statistic of the full sample. If False, they are from the
        mean of the R replicates, and c_r of the bootstrap is 1/(R - 1).
    stack_size : "auto" or int, default="auto"
        Largest number of networks that are trained as one stack, which is faster and needs more
        memory. "auto" chooses it; 1 trains one network after the other. Results are the same.
    n_jobs : int, default=None
        Number of processes that train; None is 1, and -1 one for each core.
    verbose : int, default=0
        Above 0, a progress bar is shown. It moves with each epoch in this process, and, with
        several processes, when one of them has trained its share.

    Attributes
    ----------
    estimator_ : WeightedTorchClassifier or WeightedTorchRegressor
        The estimator that was fitted with ``sample_weight``.
    replicates_ : list of WeightedTorchClassifier or WeightedTorchRegressor
        The estimators that were fitted with the columns of ``replicate_weights``.
    factors_ : ndarray of shape (n_replicates,)
        The factors c_r.
    classes_ : ndarray of shape (n_classes,)
        The labels in y. Only of a classifier.
    n_features_in_ : int
        Number of columns of X, without replicate weights.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a DataFrame. Only if all of them are strings.

    Notes
    -----
    Replicates differ from the fit on the full sample in their weights, and in class weights and
    priors, which follow from the weights. Everything else is the same: the rows and their order,
    the rows held out for early stopping, the random numbers, the scaling and bins of X, the units
    of y and the initial network. A replicate with the weights of the full sample is therefore the
    same network, bit for bit.

    References
    ----------
    K. M. Wolter, Introduction to Variance Estimation, 2nd edition, Springer 2007, chapters 3 to 5.

    Examples
    --------
    >>> import numpy as np
    >>> from skweight import ReplicateEstimator, WeightedTorchRegressor, bootstrap_weights
    >>> from skweight import mean_prediction
    >>> rng = np.random.default_rng(0)
    >>> X, weight = rng.normal(size=(200, 3)), rng.uniform(1, 3, size=200)
    >>> y = X[:, 0] + rng.normal(size=200)
    >>> W = bootstrap_weights(None, None, weight, n_replicates=20, random_state=0)
    >>> net = WeightedTorchRegressor(max_epochs=5, n_members=1, random_state=0)
    >>> fitted = ReplicateEstimator(net).fit(X, y, weight, replicate_weights=W)
    >>> prediction, std = fitted.predict(X, return_std=True)
    >>> result = fitted.statistic(mean_prediction, X)
    >>> low, high = result.confidence_interval()
    >>> bool(low < result.value < high)
    True
    """

    _doc_link_module = "skweight"
    _doc_link_template = property(doc_link_template)
    estimator_: Any
    replicates_: list[Any]
    factors_: Floats
    _columns: list[str]  # of X, with replicate weights
    _weights: tuple[Floats, Floats]  # sample weights and replicate weights of the rows of fit
    _degrees_of_freedom: float | None

    def __init__(
        self,
        estimator: Any,
        *,
        method: ReplicateMethod | None = None,
        fay: float = 0.0,
        scale: ArrayLike | None = None,
        mse: bool = True,
        stack_size: int | Auto = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.fay = fay
        self.scale = scale
        self.mse = mse
        self.stack_size = stack_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        replicate_weights: Any,
        groups: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> Self:
        """Fit the estimator to the full sample and to each replicate.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            What the estimator takes.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the full sample; None is 1 for every row.
        replicate_weights : ReplicateWeights, array-like or DataFrame of shape \
(n_samples, n_replicates), or list of str
            Non-negative, and on the scale of ``sample_weight``, which they contain. A list of str
            names columns of X, which are then not used as features.
        groups : array-like of shape (n_samples,), default=None
            The group of each row; groups are held out whole, as in ``fit`` of the estimator.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Numbers that are added to the raw scores, as in ``fit`` of the estimator. Predictions
            then need an offset too.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or an argument is not as described, or a fit fails. The message names
            the argument or the replicate.
        KeyboardInterrupt
            If the user stops the fit, which is then lost.
        """
        self._check_params()
        names = columns_named(replicate_weights)
        given = take_columns(X, names) if names else replicate_weights
        X = without_columns(X, names)
        refuse_features(X, given)
        weight, weights = check_replicate_weights(given, sample_weight, _n_rows(X), self.method)
        made = self.method, self.fay, self.scale, self.mse
        factors = factors_of(given, weights.shape[1], *made)
        estimator = clone(self.estimator)
        data = FitData(X, y, sample_weight, groups=groups, offset=offset)
        planned = [(estimator, plan(estimator, data, keep_copies=True))]
        for number, column in enumerate(weights.T):
            try:
                planned.append(plan_replicate(*planned[0], column))
            except ValueError as error:
                raise ValueError(f"replicate_weights[:, {number}]: {error}") from error
        self._train(planned)
        (self.estimator_, _), *replicates = planned
        self.replicates_ = [replicate for replicate, _ in replicates]
        self.factors_, self._columns, self._weights = factors, names, (weight, weights)
        self._degrees_of_freedom = getattr(given, "degrees_of_freedom", None)
        return self

    def _check_params(self) -> None:
        estimator, size = self.estimator, self.stack_size
        if not isinstance(estimator, TorchEstimator):
            hint = (
                " In a pipeline, ReplicateEstimator is the last step, around the estimator."
                if hasattr(estimator, "steps")
                else ""
            )
            raise TypeError(
                "estimator must be a WeightedTorchClassifier or WeightedTorchRegressor, got "
                f"{type(estimator).__name__}.{hint}"
            )
        if callbacks := callbacks_of(estimator):
            raise ValueError(
                "estimator must have no callbacks of scikit-learn, which would not be told of "
                f"replicates, got {[type(callback).__name__ for callback in callbacks]}. Remove "
                "them by estimator.set_callbacks(), or fit the estimator itself; verbose=1 shows "
                "a bar over the replicates."
            )
        refuse_checkpoint(
            estimator.callbacks,
            "cannot be used in ReplicateEstimator, whose replicates would share its file. Fit the "
            "estimator by itself with it.",
        )
        if own := overrides(estimator):
            raise TypeError(
                f"estimator must have the fit of skweight, but {own}: replicates are trained from "
                "the plan of that fit."
            )
        if self.method is not None:
            check_choice(self.method, REPLICATE_METHODS, "method")
        if not is_flag(self.mse):
            raise TypeError(f"mse must be True or False, got {self.mse!r}.")
        if not is_flag(self.verbose) and not is_integer(self.verbose, 0):
            raise ValueError(f"verbose must be an integer >= 0, got {self.verbose!r}.")
        n_jobs = self.n_jobs
        if n_jobs is not None and (not is_integer(n_jobs, -_MOST_PROCESSES) or n_jobs == 0):
            raise ValueError(f"n_jobs must be None or an integer other than 0, got {n_jobs!r}.")
        if not is_integer(size, 1) and not (isinstance(size, str) and size == "auto"):
            raise ValueError(f'stack_size must be "auto" or an int >= 1, got {size!r}.')

    def _train(self, planned: Sequence[tuple[Any, FitPlan]]) -> None:
        """Train all networks, and give them to their estimators."""
        with closing(Bar(len(planned), "fits")) if self.verbose else nullcontext() as bar:
            outcomes = iter(self._outcomes(planned, bar))
        for number, (estimator, fit) in enumerate(planned):
            own = [*islice(outcomes, len(fit.trainings))]
            errors = [outcome.error for outcome in own if outcome.error is not None]
            if errors and (number == 0 or is_out_of_memory(errors[0])):
                raise errors[0]
            if errors:
                raise ValueError(
                    f"replicate_weights[:, {number - 1}]: its fit failed: {errors[0]}"
                ) from errors[0]
            fit.complete(estimator, [outcome.net for outcome in own if outcome.net is not None])

    def _outcomes(self, planned: Sequence[tuple[Any, FitPlan]], bar: Bar | None) -> list[Outcome]:
        """Train in one or several processes."""
        most = None if self.stack_size == "auto" else int(self.stack_size)
        trainings: list[Training] = []
        of_fits: list[int] = []  # the numbers of their fits
        for number, (_, fit) in enumerate(planned):
            own = fit.trainings
            trainings += own if bar is None else watched(own, bar.of_fit(number)(len(own)))
            of_fits += [number] * len(own)
        n_jobs = min(joblib.effective_n_jobs(self.n_jobs), len(trainings))
        bounds = [round(i * len(trainings) / n_jobs) for i in range(n_jobs + 1)]
        if bar is not None:
            bar.name(f"{n_jobs} processes" if n_jobs > 1 else "")
        jobs = (delayed(_train_part)(trainings[i:j], most) for i, j in pairwise(bounds))
        found: list[Outcome] = []
        try:
            with if_process_is_killed(self.n_jobs):
                for part in _run(jobs, n_jobs, in_order=bar is not None):
                    found += part
                    if bar is not None:  # a fit of members may be that of two processes
                        bar.end({*of_fits[: len(found)]} - {*of_fits[len(found) :]})
        except TrainingInterrupted:  # networks of some replicates are of no use
            raise KeyboardInterrupt("The fit of replicates was stopped.") from None
        return found

    # Predictions ----------------------------------------------------------------------------

    @overload
    def predict(
        self, X: Any, return_std: Literal[False] = False, *, offset: ArrayLike | None = None
    ) -> NDArray[Any]: ...
    @overload
    def predict(
        self, X: Any, return_std: Literal[True], *, offset: ArrayLike | None = None
    ) -> tuple[Floats, Floats]: ...
    @overload
    def predict(
        self, X: Any, return_std: bool, *, offset: ArrayLike | None = None
    ) -> NDArray[Any] | tuple[Floats, Floats]: ...
    def predict(self, X: Any, return_std: bool = False, *, offset: ArrayLike | None = None) -> Any:
        """Predictions for the full sample, with their standard errors if asked for.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            With the columns of ``fit``. Columns that ``fit`` was told are replicate weights are
            ignored, and may be missing.
        return_std : bool, default=False
            Whether to return standard errors too. Only for a regressor; for a classifier use
            :meth:`predict_proba`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the rows of X; needed after a fit with an offset.

        Returns
        -------
        prediction : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            That of the estimator that was fitted to the full sample.
        std : ndarray of the same shape
            Standard errors of the predictions, if ``return_std``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described, or ``return_std=True`` for a classifier.
        """
        if check_flag(return_std, "return_std") and is_classifier(self.estimator):
            raise ValueError(
                "return_std=True needs predict_proba: labels have no standard errors, got a "
                "classifier's predict."
            )
        return self._predict("predict", X, return_std, offset)

    @overload
    def predict_proba(
        self, X: Any, return_std: Literal[False] = False, *, offset: ArrayLike | None = None
    ) -> Floats: ...
    @overload
    def predict_proba(
        self, X: Any, return_std: Literal[True], *, offset: ArrayLike | None = None
    ) -> tuple[Floats, Floats]: ...
    @overload
    def predict_proba(
        self, X: Any, return_std: bool, *, offset: ArrayLike | None = None
    ) -> Floats | tuple[Floats, Floats]: ...
    @_if_estimator_has("predict_proba")
    def predict_proba(
        self, X: Any, return_std: bool = False, *, offset: ArrayLike | None = None
    ) -> Any:
        """Probabilities for the full sample, with their standard errors if asked for.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            As for :meth:`predict`.
        return_std : bool, default=False
            Whether to return standard errors too.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the rows of X; needed after a fit with an offset.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            That of the classifier that was fitted to the full sample.
        std : ndarray of the same shape
            Standard errors of the probabilities, if ``return_std``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
        """
        return self._predict("predict_proba", X, return_std, offset)

    @_if_estimator_has("decision_function")
    def decision_function(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores of the classifier that was fitted to the full sample.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            As for :meth:`predict`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the rows of X; needed after a fit with an offset.

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            As ``decision_function`` of :class:`~skweight.WeightedTorchClassifier`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
        """
        found: NDArray[np.float64] = self._predict("decision_function", X, False, offset)
        return found

    def _predict(self, method: str, X: Any, return_std: bool, offset: Any) -> Any:
        """What a method of the estimator returns for X, and its standard errors."""
        check_is_fitted(self)
        check_flag(return_std, "return_std")
        X = without_columns(X, self._columns)
        found = getattr(self.estimator_, method)(X, offset=offset)
        if not return_std:
            return found
        replicates = (
            getattr(replicate, method)(X, offset=offset) for replicate in self.replicates_
        )
        return found, spread(found, replicates, self.factors_, self.mse)

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> float:
        """The score of the estimator that was fitted to the full sample.

        Weighted accuracy of a classifier; R2 or D2 of a regressor, as its ``score``. For a score
        with a standard error use :meth:`statistic`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            As for :meth:`predict`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers. Rows of weight 0 are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows of X; None is 1 for every row.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the rows of X; needed after a fit with an offset.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If an argument is not as described.
        """
        check_is_fitted(self)
        X = without_columns(X, self._columns)
        return float(self.estimator_.score(X, y, sample_weight=sample_weight, offset=offset))

    # Statistics -----------------------------------------------------------------------------

    def statistic(
        self,
        function: Any,
        X: Any,
        y: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        replicate_weights: Any = None,
        degrees_of_freedom: float | None = None,
        names: str | Sequence[str] = (),
        **params: Any,
    ) -> ReplicateStatistic:
        """A statistic with its standard error under the design of the survey.

        Parameters
        ----------
        function : callable or str
            Called as ``function(estimator, X, y, sample_weight=...)`` for the full sample, and for
            each replicate with its estimator and its weights. It returns a finite number, or an
            array of the same shape in all calls. :func:`~skweight.mean_prediction` and scorers of
            scikit-learn that take weights are such functions; a str, such as "roc_auc", names a
            scorer.
        X : array-like or DataFrame of shape (n_samples, n_features)
            The X of ``fit``, or other rows, which need weights of their own.
        y : array-like, default=None
            Targets of the rows of X, passed on to ``function``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows of X; None is those of ``fit``, for its X.
        replicate_weights : as in ``fit``, default=None
            Replicate weights of the rows of X; needed if ``sample_weight`` is given.
        degrees_of_freedom : float, default=None
            Degrees of freedom of the design, usually the number of clusters minus that of strata:
            confidence intervals use Student's t. None is those of
            :class:`~skweight.ReplicateWeights`; without them intervals use the normal distribution.
        names : str or sequence of str, default=()
            A name for each entry of the result, for its table.
        **params
            Keyword arguments for ``function``, such as the ``offset`` of the rows of X.

        Returns
        -------
        ReplicateStatistic
            It prints as a table. Attributes are ``value``, ``standard_error``, ``covariance`` and
            ``replicates``; ``confidence_interval(level)`` and ``to_frame()`` are methods.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If an argument is not as described, if X is not that of ``fit`` and has no weights, or
            if ``function`` cannot be called so or returns something else.
        """
        check_is_fitted(self)
        given = function
        function = _scorer(function) if isinstance(function, str) else function
        n_rows, n_targets = _n_rows(X), n_rows_of(y)
        if n_targets not in (None, n_rows):
            raise ValueError(
                f"y must have one entry for each of {n_rows} rows of X, got {n_targets}."
            )
        full, weights = self._weights_of(X, sample_weight, replicate_weights)
        X = without_columns(X, self._columns)
        fits = zip([self.estimator_, *self.replicates_], [full, *weights.T])
        found = evaluate(function, fits, X, y, params)
        value = found[0] if np.ndim(found[0]) else float(found[0])
        df = self._degrees_of_freedom if degrees_of_freedom is None else degrees_of_freedom
        names = _as_names(names)
        if not names and np.ndim(value) == 0:
            names = _name_of_statistic(given)
        return ReplicateStatistic(value, np.stack(found[1:]), self.factors_, self.mse, df, names)

    def _weights_of(
        self, X: Any, sample_weight: Any, replicate_weights: Any
    ) -> tuple[Floats, Floats]:
        """Weights of the rows of X, of the full sample and of the replicates."""
        if (sample_weight is None) != (replicate_weights is None):
            raise ValueError(
                "sample_weight and replicate_weights of the rows of X must be given together, got "
                f"None for {'sample_weight' if sample_weight is None else 'replicate_weights'}."
            )
        n_rows, n_replicates = _n_rows(X), len(self.replicates_)
        if sample_weight is None:
            if n_rows != len(self._weights[0]):
                raise ValueError(
                    "X must be the X of fit unless sample_weight and replicate_weights are given: "
                    f"expected {len(self._weights[0])} rows, got {n_rows}."
                )
            if not are_in(X, self._columns, self._weights[1]):
                raise ValueError(
                    "X must be the X of fit unless sample_weight and replicate_weights are given: "
                    "it holds other replicate weights."
                )
            return self._weights
        names = columns_named(replicate_weights)
        given = take_columns(X, names) if names else replicate_weights
        full, weights = check_replicate_weights(given, sample_weight, n_rows, self.method)
        if weights.shape[1] != n_replicates:
            raise ValueError(
                f"replicate_weights must have the {n_replicates} replicates of fit, got "
                f"{weights.shape[1]}."
            )
        return full, weights

    # What scikit-learn asks for -------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        """Those of the estimator: whether it is a classifier, and what X may hold."""
        tags = super().__sklearn_tags__()
        own = get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "input_tags"):
            setattr(tags, name, getattr(own, name))
        return tags

    def __getattr__(self, name: str) -> Any:
        """``classes_``, ``n_features_in_`` and ``feature_names_in_`` are the estimator's."""
        if name in _OF_ESTIMATOR and "estimator_" in vars(self):
            return getattr(self.estimator_, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _train_part(trainings: list[Training], most: int | None) -> list[Outcome]:
    """Train some of the networks, and print what they ask for by their ``verbose``."""
    advice = lower_batch_size(trainings[0], "stack_size")
    with if_out_of_memory(advice), shown(trainings[0].options.verbose, trainings) as observed:
        return train_in_stacks(observed, most)


def _run(jobs: Iterable[Any], n_jobs: int, in_order: bool) -> Iterable[list[Outcome]]:
    """The results of jobs, as soon as each is there where the backend can do so."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator" if in_order else "list")
    except ValueError:
        parallel = Parallel(n_jobs=n_jobs)
    found: Iterable[list[Outcome]] = parallel(jobs)
    return found


def _n_rows(X: Any) -> int:
    found = n_rows_of(X)
    if found is None:
        raise ValueError(f"X must have rows and columns, got {type(X).__name__}.")
    return found


def _scorer(name: str) -> Any:
    try:
        return get_scorer(name)
    except ValueError as error:
        hint = did_you_mean(name, get_scorer_names())
        raise ValueError(
            "function must be callable or the name of a scorer of scikit-learn, got "
            f"{name!r}.{hint}"
        ) from error


def _as_names(names: Any) -> list[str]:
    if isinstance(names, str):
        return [names]
    if not isinstance(names, Iterable):
        raise TypeError(f"names must be a str or a sequence of str, got {names!r}.")
    return [str(name) for name in names]


def _name_of_statistic(function: Any) -> list[str]:
    """What the table calls a single number; nothing for a function without a name."""
    name = function if isinstance(function, str) else name_of(function)
    return [name] if name.isidentifier() and not name.startswith("_") else []
