"""The trainings of a search: which are put together, in which process, and what comes of them.

How a stack is trained is decided in ``stacks``; candidates, folds and scores are those of
scikit-learn, see ``search``.
"""

import copy
import inspect
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import joblib
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed

from skweight.estimators import WeightedTorchEstimator
from skweight.stacked_networks import NotStackable
from skweight.stacks import models_at_once, train_together
from skweight.training import Training

# What trainings of one stack may differ in.
STACKABLE = (
    *("class_weight", "class_weight_power", "sample_weight_power", "logit_adjustment"),
    *("weighting", "correct_prior", "random_state", "module__feature_weights"),
)


@dataclass
class Fold:
    """What the last step of a pipeline is fitted on: rows of a split, transformed if need be."""

    X: Any
    y: Any
    params: dict[str, Any]
    step: Any  # the last step, unfitted, with what the group of candidates sets
    rows: Any = None  # None: all
    pipeline: Any = None  # fitted up to its last step
    seconds: float = 0.0
    error: Exception | None = None

    def data(self) -> tuple[Any, Any, dict[str, Any]]:
        """X, y and the parameters of ``fit``."""
        if self.rows is None:
            return self.X, self.y, self.params
        y = None if self.y is None else _safe_indexing(self.y, self.rows)
        params = {k: _rows_of(v, self.rows, self.X) for k, v in self.params.items()}
        return _safe_indexing(self.X, self.rows), y, params

    def complete(self, step: Any) -> Any:
        """The fitted estimator with its fitted last step; folds share transformers."""
        if self.pipeline is None or isinstance(step, Exception):
            return step
        fitted = copy.copy(self.pipeline)
        fitted.steps = [*self.pipeline.steps[:-1], (self.pipeline.steps[-1][0], step)]
        return fitted


@dataclass
class Result:
    """What came of a training: a fitted estimator or an error."""

    fitted: Any
    seconds: float
    stacked: bool = False
    reason: str = ""  # why it could not be


@dataclass
class Group:
    """Numbers of candidates that a stack may hold together."""

    others: dict[str, Any]
    numbers: list[int] = field(default_factory=list)
    reason: str = ""  # why they are trained one by one
    size: int = 1


class LastStep:
    """Stands for the last step while a pipeline is fitted, and keeps what that would get."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.got: Any = None

    def fit(self, X: Any, y: Any = None, **params: Any) -> "LastStep":
        """Keep what is passed."""
        self.got = X, y, params
        return self

    def get_metadata_routing(self) -> Any:
        """Ask for what the last step asks for."""
        return get_routing_for_object(self.estimator)

    def __sklearn_tags__(self) -> Any:
        """Be what the last step is."""
        return self.estimator.__sklearn_tags__()


def last_step(estimator: Any) -> tuple[Any, str]:
    """The estimator that is ours, and the prefix of its parameters.

    Raises
    ------
    TypeError
        If it is none of ours.
    """
    is_pipeline = isinstance(estimator, Pipeline) and bool(estimator.steps)
    name, step = estimator.steps[-1] if is_pipeline else ("", estimator)
    if not isinstance(step, WeightedTorchEstimator):
        last = f" that ends with {type(step).__name__}" * is_pipeline
        raise TypeError(
            "estimator must be a WeightedTorchClassifier or WeightedTorchRegressor, or a Pipeline "
            f"whose last step is one, got {type(estimator).__name__}{last}. Pass others to "
            "sklearn.model_selection.GridSearchCV."
        )
    return step, f"{name}__" * is_pipeline


class Trainings:
    """All fits of a search: candidates times splits.

    Parameters
    ----------
    estimator : estimator
    X, y : array-like
    params : dict
        For ``fit`` of the estimator.
    n_jobs, pre_dispatch : int, str or None
        As in :class:`~sklearn.model_selection.GridSearchCV`.
    stack_size : "auto" or int
    verbose : int
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        params: dict[str, Any],
        *,
        n_jobs: int | None,
        pre_dispatch: int | str,
        stack_size: int | str,
        verbose: int,
    ) -> None:
        whole = isinstance(stack_size, int) and not isinstance(stack_size, bool)
        if stack_size != "auto" and not (whole and int(stack_size) >= 1):
            raise ValueError(f'stack_size must be "auto" or an int >= 1, got {stack_size!r}.')
        self.estimator, self.prefix = estimator, last_step(estimator)[1]
        self.X, self.y, self.params = X, y, params
        self.stack_size, self.verbose = stack_size, verbose
        self.workers: dict[str, Any] = {"n_jobs": n_jobs, "pre_dispatch": pre_dispatch}
        self.candidates: list[dict[str, Any]] = []
        self.splits: list[tuple[Any, Any]] = []
        self.groups: list[Group] = []

    def results(self) -> dict[tuple[int, int], Result]:
        """Make them all: for each candidate and split a fitted estimator, or its error."""
        self.groups = self._grouped()
        cells = [(g, s) for g in range(len(self.groups)) for s in range(len(self.splits))]
        fits = (delayed(self._fold)(self.groups[g].others, self.splits[s][0]) for g, s in cells)
        is_pipeline = bool(self.prefix)
        fold_workers = self.workers if is_pipeline else {"n_jobs": 1}
        folds = dict(zip(cells, Parallel(**fold_workers)(fits)))
        tasks = [
            (g, pairs)
            for g, group in enumerate(self.groups)
            for pairs in self._stacks(group, folds[g, 0])
        ]
        jobs = (delayed(_train)(*self._task(pairs, g, folds)) for g, pairs in tasks)
        results: dict[tuple[int, int], Result] = {}
        with _progress(self.verbose, len(self.candidates) * len(self.splits)) as bar:
            done = Parallel(**self.workers, return_as="generator")(jobs)
            for (g, pairs), of_task in zip(tasks, done):
                for pair, result in zip(pairs, of_task):
                    fold = folds[g, pair[1]]
                    result.fitted = fold.complete(result.fitted)
                    result.seconds += fold.seconds / len(self.groups[g].numbers)
                    results[pair] = result
                if bar is not None:
                    bar.update(len(pairs))
        return results

    def _grouped(self) -> list[Group]:
        names = {self.prefix + name for name in STACKABLE}
        groups: dict[Any, Group] = {}
        for number, candidate in enumerate(self.candidates):
            others = {name: value for name, value in candidate.items() if name not in names}
            key = tuple((name, _identity(value)) for name, value in others.items())
            groups.setdefault(key, Group(others)).numbers.append(number)
        return [*groups.values()]

    def _fold(self, others: dict[str, Any], rows: Any) -> Fold:
        """Fit the steps before the last one, if there are any."""
        start = time.perf_counter()
        estimator = clone(self.estimator).set_params(**clone(others, safe=False))
        fold = Fold(self.X, self.y, self.params, last_step(estimator)[0], rows)
        if not self.prefix:
            return fold
        X, y, params = fold.data()
        last = LastStep(fold.step)
        estimator.steps[-1] = (estimator.steps[-1][0], last)
        try:
            estimator.fit(X, y, **params)
        except Exception as error:  # of every candidate, for GridSearchCV to treat as such
            fold.error = error
            return fold
        (X, y, params), last.got = last.got, None
        return Fold(X, y, params, fold.step, None, estimator, time.perf_counter() - start)

    def _stacks(self, group: Group, fold: Fold) -> list[list[tuple[int, int]]]:
        """Pairs of candidates and splits to train together; folds are kept together."""
        pairs = [(c, s) for s in range(len(self.splits)) for c in group.numbers]
        if self.stack_size != 1 and len(pairs) > 1:
            try:
                step = self._step(group.numbers[0], fold)
                group.size = models_at_once(_plan(step, *fold.data()))
            except NotStackable as reason:
                group.reason = str(reason)
            except (TypeError, ValueError, RuntimeError):  # each of them will fail by itself
                group.size = 1
            if self.stack_size != "auto" and not group.reason:
                group.size = int(self.stack_size)
        n_jobs = joblib.effective_n_jobs(self.workers["n_jobs"])
        n_stacks = max(math.ceil(len(pairs) / group.size), min(n_jobs, len(pairs)))
        bounds = [round(i * len(pairs) / n_stacks) for i in range(n_stacks + 1)]
        return [pairs[start:stop] for start, stop in pairwise(bounds)]

    def _step(self, number: int, fold: Fold) -> Any:
        """The last step with all that a candidate sets."""
        names = {self.prefix + name: name for name in STACKABLE}
        candidate = self.candidates[number]
        own = {names[name]: value for name, value in candidate.items() if name in names}
        return clone(fold.step).set_params(**clone(own, safe=False))

    def _task(
        self, pairs: list[tuple[int, int]], g: int, folds: dict[tuple[int, int], Fold]
    ) -> tuple[list[Any], list[int], dict[int, Fold], str]:
        of_splits = [s for _, s in pairs]
        needed = {s: copy.copy(folds[g, s]) for s in of_splits}
        for fold in needed.values():
            fold.pipeline = None  # it need not travel
        steps = [self._step(c, needed[s]) for c, s in pairs]
        return steps, of_splits, needed, self.groups[g].reason


def _train(
    steps: list[Any], splits: list[int], folds: dict[int, Fold], reason: str
) -> list[Result]:
    """Train estimators on their folds, together if there are several."""
    data = {s: fold.error or fold.data() for s, fold in folds.items()}
    if len(steps) > 1 and not reason:
        try:
            return _train_together(steps, splits, data)
        except NotStackable as error:
            reason = str(error)
        except (TypeError, ValueError, RuntimeError) as error:  # alone each fails by itself
            reason = f"{type(error).__name__}: {error}"
    return [_train_alone(step, data[s], reason) for step, s in zip(steps, splits)]


def _train_alone(step: Any, data: Any, reason: str) -> Result:
    start = time.perf_counter()
    if isinstance(data, Exception):
        return Result(data, 0.0, reason=reason)
    X, y, params = data
    try:
        fitted = clone(step).fit(X, y, **params)
    except Exception as error:  # for GridSearchCV to treat as such
        fitted = error
    return Result(fitted, time.perf_counter() - start, reason=reason)


def _train_together(steps: list[Any], splits: list[int], data: dict[int, Any]) -> list[Result]:
    start = time.perf_counter()
    steps = [clone(step) for step in steps]
    plans: dict[int, Training] = {}
    fitted: list[Any] = [*steps]
    tensors: dict[int, Any] = {}
    for number, (step, s) in enumerate(zip(steps, splits)):
        try:
            if isinstance(data[s], Exception):
                raise data[s]
            plan = _plan(step, *data[s])
        except Exception as error:  # of this one
            fitted[number] = error
            continue
        # The candidates of a fold read one X.
        own, shared = plan.rows.X, tensors.setdefault(s, plan.rows.X)
        for rows in (plan.rows, plan.valid_rows):
            if rows is not None and rows.X is own:
                rows.X = shared
        plans[number] = plan
    if plans:
        for number, net in zip(plans, train_together([*plans.values()])):
            if isinstance(net, Exception):
                fitted[number] = net
            else:
                steps[number].net_ = net
    seconds = (time.perf_counter() - start) / len(steps)
    return [Result(of_step, seconds, True) for of_step in fitted]


def _plan(step: Any, X: Any, y: Any, params: dict[str, Any]) -> Training:
    inspect.signature(step.fit).bind(X, y, **params)  # or an unknown one would be ignored
    validation = tuple(params.get(name) for name in ("X_val", "y_val", "sample_weight_val"))
    training: Training = step._plan(X, y, params.get("sample_weight"), validation)
    return training


def _identity(value: Any) -> Any:
    """The same for plain values that are equal, and for one and the same object."""
    return (type(value), value) if isinstance(value, (str, int, float)) else id(value)


def _rows_of(value: Any, rows: Any, X: Any) -> Any:
    """Rows of a parameter of ``fit`` that has one entry for each row of X."""
    if not hasattr(value, "shape") and not isinstance(value, (list, tuple)):
        return value
    length, n_rows = (v.shape[:1] if hasattr(v, "shape") else (len(v),) for v in (value, X))
    return _safe_indexing(value, rows) if length == n_rows else value


def _progress(verbose: int, total: int) -> Any:
    if not verbose:
        return nullcontext()
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="fit")
