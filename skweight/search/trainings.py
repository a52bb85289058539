"""All fits of a search: which of them are stacked, and in which process they are trained."""

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

import joblib
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from skweight._keywords import is_integer, shown_before
from skweight.estimators import FitData, callbacks_of, draw_seed, overrides, plan
from skweight.search.fits import Result, Task, run_task
from skweight.search.folds import Fold, transform_fold
from skweight.search.parts import last_step, trained_part
from skweight.stacks import NotStackable, models_at_once
from skweight.training import Bar, if_process_is_killed, refuse_checkpoint

# Parameters in which the estimators of one stack may differ.
STACKABLE = (
    *("class_weight", "class_weight_power", "sample_weight_power", "logit_adjustment"),
    *("weighting", "correct_prior", "match_mean", "random_state"),
    "module__feature_weights",
)
_LONGEST_VALUE = 30
# Fits of a stack whose callbacks are torn down one within the other.
_MOST_WITH_CALLBACKS = 100
Pair = tuple[int, int]  # numbers of a candidate and a split


@dataclass
class Group:
    """Candidates that one stack may hold together."""

    candidates: list[int] = field(default_factory=list)
    not_stackable: str = ""  # why they are trained one by one
    stack_size: int = 1


class Trainings:
    """The fits of a search: candidates times splits."""

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
        are_heard: bool,
    ) -> None:
        is_auto = isinstance(stack_size, str) and stack_size == "auto"
        if not (is_auto or is_integer(stack_size, 1)):
            raise ValueError(f'stack_size must be "auto" or an int >= 1, got {stack_size!r}.')
        last_step(estimator)
        self.estimator, self.params = estimator, params
        self.stack_size, self.verbose, self.raises = stack_size, verbose, raises
        self.are_heard = are_heard  # by callbacks of the search
        self.workers: dict[str, Any] = {"n_jobs": n_jobs, "pre_dispatch": pre_dispatch}
        self.candidates: list[dict[str, Any]] = []
        self.estimators: list[Any] = []  # of the candidates
        self.overrides: list[str] = []  # of their fits
        self.random_states: dict[Pair, Any] = {}
        self.bar: Bar | None = None
        self.contexts: dict[Pair, Any] = {}  # of scikit-learn's callbacks

    def run(
        self,
        X: Any,
        y: Any,
        candidates: list[dict[str, Any]],
        splits: list[tuple[Any, Any]],
        contexts: dict[Pair, Any],
    ) -> list[list[Result]]:
        """Train every candidate on every split; return the results of each candidate."""
        self.candidates, self.contexts = candidates, contexts
        self.estimators = [self._with_parameters(candidate) for candidate in candidates]
        self.overrides = [overrides(trained_part(estimator)[0]) for estimator in self.estimators]
        self.random_states = self._draw_random_states(len(splits))
        results: dict[Pair, Result] = {}
        n_fits = len(candidates) * len(splits)
        with (
            if_process_is_killed(self.workers["n_jobs"]),
            closing(Bar(n_fits, "fits")) if self.verbose else nullcontext() as self.bar,
        ):
            for groups in self._group(candidates):
                folds = [Fold(X, y, self.params, train) for train, _ in splits]
                for pairs, trained in self._run_groups(groups, folds):
                    results.update(zip(pairs, trained))
                    if self.bar is not None:
                        self.bar.end(pairs)
        return [[results[c, s] for s in range(len(splits))] for c in range(len(candidates))]

    def _with_parameters(self, candidate: dict[str, Any]) -> Any:
        estimator = clone(self.estimator).set_params(**clone(candidate, safe=False))
        step, _ = last_step(estimator, name=f"estimator of candidate {candidate}")
        refuse_checkpoint(
            step.callbacks,
            "cannot be used in a search, whose fits would share its file. Fit the best parameters "
            "with it afterwards.",
        )
        return estimator

    def _draw_random_states(self, n_splits: int) -> dict[Pair, Any]:
        """Numpy's global random state as each fit without a seed would find it in GridSearchCV.

        A subclass with a fit of its own draws from the global state itself, as often as it likes.
        """
        states = {}
        for pair in product(range(len(self.estimators)), range(n_splits)):
            step = last_step(self.estimators[pair[0]])[0]
            if step.random_state is None and not self.overrides[pair[0]]:
                states[pair] = copy.deepcopy(check_random_state(None))
                draw_seed(None)
        return states

    def _group(self, candidates: list[dict[str, Any]]) -> list[list[Group]]:
        """Candidates that one stack may hold; a list for each setting of the transformers."""
        settings: dict[Any, dict[Any, Group]] = {}
        for number, candidate in enumerate(candidates):
            prefix = trained_part(self.estimators[number])[1]
            step_names = {name for name in candidate if name.startswith(prefix)}
            stackable = {prefix + name for name in STACKABLE}
            transformers = _comparable(candidate, candidate.keys() - step_names)
            groups = settings.setdefault(transformers, {})
            key = _comparable(candidate, step_names - stackable)
            if self.overrides[number]:  # trained one by one, in the order of GridSearchCV
                key = number
            groups.setdefault(key, Group(not_stackable=self.overrides[number]))
            groups[key].candidates.append(number)
        return [[*groups.values()] for groups in settings.values()]

    def _run_groups(
        self, groups: list[Group], folds: list[Fold]
    ) -> Iterator[tuple[list[Pair], list[Result]]]:
        """Train groups that share transformers, whose output is released afterwards."""
        candidates = [number for group in groups for number in group.candidates]
        folds = self._transform(self.estimators[candidates[0]], folds)
        shares = [fold.seconds / len(candidates) for fold in folds]
        for s, fold in enumerate(folds):
            if fold.failure:
                failed = [Result(failure=fold.failure, seconds=shares[s]) for _ in candidates]
                yield [(c, s) for c in candidates], failed
        tasks = [(group, pairs) for group in groups for pairs in self._divide(group, folds)]
        jobs = (delayed(run_task)(self._task(group, pairs, folds)) for group, pairs in tasks)
        found = iter(_run_in_order(self.workers, jobs))
        for group, pairs in tasks:
            if self.bar is not None:
                self.bar.name(self._name_of(group))
            results = next(found)
            for (c, s), result in zip(pairs, results):
                result.seconds += shares[s]
                if result.estimator is not None:
                    if (c, s) in self.random_states:  # as the user set it
                        last_step(result.estimator)[0].random_state = None
                    result.estimator = folds[s].complete(result.estimator)
            yield pairs, results

    def _transform(self, estimator: Any, folds: list[Fold]) -> list[Fold]:
        has_transformers = bool(trained_part(estimator)[1])
        workers = self.workers if has_transformers else {"n_jobs": 1}
        jobs = (delayed(transform_fold)(estimator, fold, self.raises) for fold in folds)
        return [*Parallel(**workers)(jobs)]

    def _divide(self, group: Group, folds: list[Fold]) -> list[list[Pair]]:
        """Divide a group into tasks, in which the fits on one fold are side by side."""
        usable = [s for s, fold in enumerate(folds) if not fold.failure]
        pairs = [(c, s) for s in usable for c in group.candidates]
        if not pairs:
            return []
        if self.stack_size != 1 and len(pairs) > 1 and not group.not_stackable:
            self._choose_stack_size(group, [folds[s] for s in usable], len(pairs))
        n_jobs = joblib.effective_n_jobs(self.workers["n_jobs"])
        n_tasks = max(math.ceil(len(pairs) / group.stack_size), min(n_jobs, len(pairs)))
        bounds = [round(i * len(pairs) / n_tasks) for i in range(n_tasks + 1)]
        return [pairs[start:stop] for start, stop in pairwise(bounds)]

    def _choose_stack_size(self, group: Group, folds: list[Fold], n_fits: int) -> None:
        """Choose by the first training that can be planned."""
        for fold, number in product(folds, group.candidates):
            step = copy.deepcopy(trained_part(self.estimators[number])[0])
            step.random_state = 0  # take no draw from the generator of the search
            try:
                X, y, params = fold.fit_arguments()
                with shown_before():  # rather, by the fit itself
                    members = plan(step, FitData(X, y, **params)).trainings
                    size = models_at_once(members[0], n_fits * len(members))
                    group.stack_size = max(1, size // len(members))
                break
            except NotStackable as reason:
                group.not_stackable = str(reason)
                return
            except Exception:  # the fit itself will raise it
                continue
        if self.stack_size != "auto":
            group.stack_size = int(self.stack_size)
        if self._has_callbacks([self.estimators[number] for number in group.candidates]):
            group.stack_size = min(group.stack_size, _MOST_WITH_CALLBACKS)

    def _task(self, group: Group, pairs: list[Pair], folds: list[Fold]) -> Task:
        parts = []
        for c, s in pairs:
            part, _ = trained_part(self._with_parameters(self.candidates[c]))
            if (c, s) in self.random_states:
                last_step(part)[0].random_state = self.random_states[c, s]
            parts.append(part)
        splits = [s for _, s in pairs]
        rows = {s: replace(folds[s], pipeline=None) for s in splits}  # workers need no transformers
        reason = "" if self.stack_size == 1 else group.not_stackable
        progress = {} if self.bar is None else {n: self.bar.of_fit(p) for n, p in enumerate(pairs)}
        contexts = [self.contexts[pair] for pair in pairs] if self._has_callbacks(parts) else []
        return Task(parts, splits, rows, reason, self.raises, progress, contexts)

    def _has_callbacks(self, estimators: list[Any]) -> bool:
        """Whether callbacks of scikit-learn are to hear of the fits of these estimators."""
        has_own = any(callbacks_of(last_step(estimator)[0]) for estimator in estimators)
        return bool(self.contexts) and (has_own or self.are_heard)

    def _name_of(self, group: Group) -> str:
        """The settings that the candidates of a group share, or all of its only candidate."""
        candidates = [self.candidates[number] for number in group.candidates]
        shared = {
            name: value
            for name, value in candidates[0].items()
            if all(
                name in other and _identity(other[name]) == _identity(value)
                for other in candidates[1:]
            )
        }
        names = dict.fromkeys(name for candidate in candidates for name in candidate)
        varied = [name for name in names if name not in shared]
        settings = [f"{name}={_short(value)}" for name, value in shared.items()]
        return ", ".join([*settings, *varied])


def _run_in_order(workers: dict[str, Any], jobs: Iterable[Any]) -> Iterable[Any]:
    """Yield results as soon as they are there, or all at the end where a backend cannot do so."""
    try:
        parallel = Parallel(**workers, return_as="generator")
    except ValueError:
        parallel = Parallel(**workers)
    results: Iterable[Any] = parallel(jobs)
    return results


def _comparable(candidate: dict[str, Any], names: Iterable[str]) -> Any:
    """A key of these settings: numbers and strings by value, other objects by identity."""
    return tuple((name, _identity(candidate[name])) for name in sorted(names))


def _identity(value: Any) -> Any:
    return (type(value), value) if isinstance(value, (str, int, float)) else id(value)


def _short(value: Any) -> str:
    """What a bar shows of a value."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
