"""The fits of a search: which are stacked, and in which process."""

import copy
import inspect
import math
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise, product
from numbers import Integral
from typing import Any

import joblib
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from skweight.search.folds import Failure, Fold, last_step, make_fold
from skweight.stacks import NotStackable, models_at_once, train_together
from skweight.training import Training

# What trainings of one stack may differ in.
STACKABLE = (
    *("class_weight", "class_weight_power", "sample_weight_power", "logit_adjustment"),
    *("weighting", "correct_prior", "random_state", "module__feature_weights"),
)
Pair = tuple[int, int]  # numbers of a candidate and a split


@dataclass
class Result:
    """What came of a training: a fitted estimator or its failure."""

    fitted: Any  # an Exception until it leaves the process that trains
    seconds: float
    stacked: bool = False
    reason: str = ""  # why it could not be


@dataclass
class Group:
    """Numbers of candidates that a stack may hold together."""

    numbers: list[int] = field(default_factory=list)
    reason: str = ""  # why they are trained one by one
    size: int = 1


class Trainings:
    """All fits of a search: candidates times splits.

    Parameters
    ----------
    estimator : estimator
    params : dict
        For ``fit`` of the estimator.
    n_jobs, pre_dispatch : int, str or None
        As in :class:`~sklearn.model_selection.GridSearchCV`.
    stack_size : "auto" or int
    verbose : int
    raises : bool
        Whether the first error ends the search.
    """

    def __init__(
        self,
        estimator: Any,
        params: dict[str, Any],
        *,
        n_jobs: int | None,
        pre_dispatch: int | str,
        stack_size: int | str,
        verbose: int,
        raises: bool,
    ) -> None:
        whole = isinstance(stack_size, Integral) and not isinstance(stack_size, bool)
        if stack_size != "auto" and not (whole and int(stack_size) >= 1):
            raise ValueError(f'stack_size must be "auto" or an int >= 1, got {stack_size!r}.')
        last_step(estimator)
        self.estimator, self.params = estimator, params
        self.stack_size, self.verbose, self.raises = stack_size, verbose, raises
        self.workers: dict[str, Any] = {"n_jobs": n_jobs, "pre_dispatch": pre_dispatch}
        self.estimators: list[Any] = []  # one for each candidate
        self.states: dict[Pair, Any] = {}

    def results(
        self, X: Any, y: Any, candidates: list[dict[str, Any]], splits: list[tuple[Any, Any]]
    ) -> dict[Pair, Result]:
        """Make them all: for each candidate and split a fitted estimator, or its failure."""
        self.estimators = [*map(self._set, candidates)]
        self.states = self._states(len(splits))
        results: dict[Pair, Result] = {}
        with _progress(self.verbose, len(candidates) * len(splits)) as bar:
            for groups in self._grouped(candidates):
                rows = [Fold(X, y, self.params, train) for train, _ in splits]
                for pairs, of_task in self._made(groups, rows):
                    results.update(zip(pairs, of_task))
                    if bar is not None:
                        bar.update(len(pairs))
        return results

    def _set(self, candidate: dict[str, Any]) -> Any:
        """The estimator, unfitted, with all that a candidate sets."""
        estimator = clone(self.estimator).set_params(**clone(candidate, safe=False))
        try:
            last_step(estimator)
        except TypeError as error:
            raise TypeError(f"Candidate {candidate}: {error}") from None
        return estimator

    def _states(self, n_splits: int) -> dict[Pair, Any]:
        """Numpy's global random state as fits without a seed would find it, one by one."""
        states = {}
        for pair in product(range(len(self.estimators)), range(n_splits)):
            step = last_step(self.estimators[pair[0]])[0]
            if step.random_state is None:
                states[pair] = copy.deepcopy(check_random_state(None))
                step._draw_seed()
        return states

    def _grouped(self, candidates: list[dict[str, Any]]) -> list[list[Group]]:
        """What stacks may hold together, for each setting of the transformers."""
        settings: dict[Any, dict[Any, Group]] = {}
        for number, candidate in enumerate(candidates):
            prefix = last_step(self.estimators[number])[1]
            names = {prefix + name for name in STACKABLE}
            of_step = {name for name in candidate if name.startswith(prefix)}
            outer = _key(candidate, candidate.keys() - of_step)
            groups = settings.setdefault(outer, {})
            groups.setdefault(_key(candidate, of_step - names), Group()).numbers.append(number)
        return [[*groups.values()] for groups in settings.values()]

    def _made(
        self, groups: list[Group], rows: list[Fold]
    ) -> Iterator[tuple[list[Pair], list[Result]]]:
        """Make the fits of groups that share transformers; nothing of their data is kept."""
        numbers = [number for group in groups for number in group.numbers]
        folds = self._folds(self.estimators[numbers[0]], rows)
        for s, fold in enumerate(folds):
            if fold.failure is not None:
                seconds = fold.seconds / len(numbers)
                yield [(c, s) for c in numbers], [Result(fold.failure, seconds) for _ in numbers]
        tasks = [(group, pairs) for group in groups for pairs in self._stacks(group, folds)]
        jobs = (delayed(_train)(*self._task(pairs, folds, g.reason)) for g, pairs in tasks)
        for results, (_, pairs) in zip(_as_they_come(self.workers, jobs), tasks):
            for (number, s), result in zip(pairs, results):
                if (number, s) in self.states and not isinstance(result.fitted, Failure):
                    result.fitted.random_state = None
                result.fitted = folds[s].complete(result.fitted)
                result.seconds += folds[s].seconds / len(numbers)
            yield pairs, results

    def _folds(self, estimator: Any, rows: list[Fold]) -> list[Fold]:
        workers = self.workers if last_step(estimator)[1] else {"n_jobs": 1}
        jobs = (delayed(make_fold)(estimator, fold, self.raises) for fold in rows)
        return [*Parallel(**workers)(jobs)]

    def _stacks(self, group: Group, folds: list[Fold]) -> list[list[Pair]]:
        """Pairs of candidates and splits to train together; folds are kept together."""
        usable = [s for s, fold in enumerate(folds) if fold.failure is None]
        pairs = [(c, s) for s in usable for c in group.numbers]
        if not pairs:
            return []
        if self.stack_size != 1 and len(pairs) > 1:
            self._choose_size(group, [folds[s] for s in usable])
        n_jobs = joblib.effective_n_jobs(self.workers["n_jobs"])
        n_stacks = max(math.ceil(len(pairs) / group.size), min(n_jobs, len(pairs)))
        bounds = [round(i * len(pairs) / n_stacks) for i in range(n_stacks + 1)]
        return [pairs[start:stop] for start, stop in pairwise(bounds)]

    def _choose_size(self, group: Group, folds: list[Fold]) -> None:
        """Look at the first training that can be planned; the others will fail by themselves."""
        for fold, number in product(folds, group.numbers):
            step = clone(last_step(self.estimators[number])[0])
            step.set_params(random_state=0, weighting="sampling")  # draw and say nothing
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    group.size = models_at_once(_plan(step, *fold.data()))
                break
            except NotStackable as reason:
                group.reason = str(reason)
                return
            except Exception:
                continue
        if self.stack_size != "auto":
            group.size = int(self.stack_size)

    def _task(self, pairs: list[Pair], folds: list[Fold], reason: str) -> tuple[Any, ...]:
        splits = [s for _, s in pairs]
        needed = {s: replace(folds[s], pipeline=None) for s in splits}  # it need not travel
        steps = [clone(last_step(self.estimators[c])[0]) for c, _ in pairs]
        for step, pair in zip(steps, pairs):
            step.random_state = self.states.get(pair, step.random_state)
        return steps, splits, needed, reason, self.raises


def _as_they_come(workers: dict[str, Any], jobs: Iterable[Any]) -> Iterable[Any]:
    """Results of jobs; all at once from backends of joblib that know no other way."""
    try:
        parallel = Parallel(**workers, return_as="generator")
    except ValueError:
        parallel = Parallel(**workers)
    results: Iterable[Any] = parallel(jobs)
    return results


def _train(
    steps: list[Any], splits: list[int], folds: dict[int, Fold], reason: str, raises: bool
) -> list[Result]:
    """Train estimators on their folds, together if there are several."""
    results = _attempt(steps, splits, folds, reason)
    for result in results:
        if isinstance(result.fitted, Exception):
            result.fitted = Failure.of(result.fitted, raises)
    return results


def _attempt(
    steps: list[Any], splits: list[int], folds: dict[int, Fold], reason: str
) -> list[Result]:
    if len(steps) > 1 and not reason:
        try:
            return _train_together(steps, splits, folds)
        except NotStackable as error:
            reason = str(error)
        except Exception as error:  # alone each that fails does so by itself
            reason = f"{type(error).__name__}: {error}"
    return [_train_alone(step, folds[s].data(), reason) for step, s in zip(steps, splits)]


def _train_alone(step: Any, data: tuple[Any, Any, dict[str, Any]], reason: str = "") -> Result:
    start = time.perf_counter()
    X, y, params = data
    try:
        fitted = clone(step).fit(X, y, **params)
    except Exception as error:  # for GridSearchCV to treat as such
        return Result(error, time.perf_counter() - start)
    fitted.net_.release_optimizer()  # or the moments of all fits would be held until scored
    return Result(fitted, time.perf_counter() - start, reason=reason)


def _train_together(steps: list[Any], splits: list[int], folds: dict[int, Fold]) -> list[Result]:
    start = time.perf_counter()
    steps = [clone(step) for step in steps]
    found: dict[int, Training | Result] = {}
    for s, numbers in groupby(range(len(steps)), splits.__getitem__):
        found.update(_plan_fold(steps, [*numbers], folds[s]))
    plans = {number: plan for number, plan in found.items() if isinstance(plan, Training)}
    results = {number: made for number, made in found.items() if isinstance(made, Result)}
    outcomes = train_together([*plans.values()]) if plans else []
    seconds = (time.perf_counter() - start) / len(steps)
    for number, outcome in zip(plans, outcomes):
        if outcome.error is not None:
            results[number] = Result(outcome.error, seconds)
        else:
            steps[number].net_ = outcome.net
            results[number] = Result(steps[number], seconds, outcome.stacked)
    return [results[number] for number in range(len(steps))]


def _plan_fold(
    steps: list[Any], numbers: list[int], fold: Fold
) -> Iterator[tuple[int, Training | Result]]:
    """Plans for a fold whose data are let go afterwards; they read one X as a tensor.

    A fit whose plan fails is left to itself, to fail in its own words.
    """
    data, X = fold.data(), None
    for number in numbers:
        failed: Exception | None = None
        try:
            plan = _plan(steps[number], *data)
        except Exception as error:
            failed = error
        if failed is not None:
            with warnings.catch_warnings():
                if not isinstance(failed, Warning):
                    warnings.simplefilter("ignore")  # they were said in planning
                alone = _train_alone(steps[number], data)
            yield number, alone
            continue
        own = plan.rows.X
        X = own if X is None else X
        for rows in (plan.rows, plan.valid_rows):
            if rows is not None and rows.X is own:
                rows.X = X
        yield number, plan


def _plan(step: Any, X: Any, y: Any, params: dict[str, Any]) -> Training:
    inspect.signature(step.fit).bind(X, y, **params)  # or an unknown one would be ignored
    validation = tuple(params.get(name) for name in ("X_val", "y_val", "sample_weight_val"))
    training: Training = step._plan(X, y, params.get("sample_weight"), validation)
    return training


def _key(candidate: dict[str, Any], names: Iterable[str]) -> Any:
    """The same for settings that are equal, or made of the same objects."""
    return tuple((name, _identity(candidate[name])) for name in sorted(names))


def _identity(value: Any) -> Any:
    return (type(value), value) if isinstance(value, (str, int, float)) else id(value)


def _progress(verbose: int, total: int) -> Any:
    if not verbose:
        return nullcontext()
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="fit")
