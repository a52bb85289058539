"""The fits of one task, in the process that runs it: in a stack or one by one."""

import copy
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import Any

from sklearn.pipeline import Pipeline

from skweight._keywords import shown_before
from skweight.estimators import (
    FitData,
    FitPlan,
    FitTasks,
    begin_tasks,
    callbacks_of,
    have_same_codes,
    observing,
    plan,
    shown,
    within_callbacks,
)
from skweight.search.folds import Fold, failure_text
from skweight.stacks import NotStackable, Outcome, train_together
from skweight.training import (
    Observer,
    Training,
    TrainingInterrupted,
    WeightedNet,
    if_out_of_memory,
    lower_batch_size,
    watched,
)


@dataclass
class Result:
    """A fitted estimator, or the error of its fit."""

    estimator: Any = None
    error: Exception | None = None  # only in the process that trains
    failure: str = ""  # the traceback of the error, for other processes
    seconds: float = 0.0
    stacked: bool = False
    not_stackable: str = ""  # why it had to be trained by itself


@dataclass
class Task:
    """Estimators that one process trains, each on the fold of a split."""

    estimators: list[Any]
    splits: list[int]  # of the estimators
    folds: dict[int, Fold]  # of the splits
    not_stackable: str  # why they cannot be stacked; empty if they can
    raises: bool  # whether the first error is raised
    # Makes the observers of fits, by their number, from the number of their networks.
    progress: dict[int, Callable[[int], Observer]] = field(default_factory=dict)
    # Of scikit-learn's callbacks, one for each estimator; empty if no callback hears of the fits.
    contexts: list[Any] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        """Leave observers in this process: bars of another one are not seen."""
        return {**vars(self), "progress": {}}


@dataclass
class Planned:
    """An estimator that has learned everything but its networks, and the trainings of these."""

    estimator: Any
    plan: FitPlan


def run_task(task: Task) -> list[Result]:
    """Train the estimators of a task, as one stack where that is possible."""
    results = _fit_all(task)
    for result in results:
        if result.error is not None:
            result.failure, result.error = failure_text(result.error, task.raises), None
    return results


def _fit_all(task: Task) -> list[Result]:
    reason = task.not_stackable
    if len(task.estimators) > 1 and not reason:
        try:
            return _fit_in_stack(task)
        except NotStackable as error:
            reason = str(error)
        except Exception as error:  # one by one, only the fits that cause it will fail
            reason = f"{type(error).__name__}: {error}"
    results = []
    for number, split in enumerate(task.splits):
        arguments = task.folds[split].fit_arguments()
        results.append(_fit_alone(task.estimators[number], task, number, arguments, reason))
    return results


def _fit_alone(
    estimator: Any, task: Task, number: int, arguments: tuple[Any, Any, Any], reason: str = ""
) -> Result:
    """Fit an estimator as one of a task, of which observers and callbacks are told."""
    start, progress = time.perf_counter(), task.progress.get(number)
    X, y, params = arguments
    try:
        with (
            nullcontext() if progress is None else observing(progress),
            task.contexts[number].propagate_callback_context(estimator)
            if task.contexts
            else nullcontext(),
        ):
            estimator.fit(X, y, **params)
    except Exception as error:  # scikit-learn decides what to do about candidates that fail
        return Result(error=error, seconds=time.perf_counter() - start)
    step = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    for net in getattr(step, "nets_", ()):  # a subclass may have fitted something else
        if isinstance(net, WeightedNet):
            net.release_optimizer()  # all fits are held until they are scored
    return Result(estimator, seconds=time.perf_counter() - start, not_stackable=reason)


def _fit_in_stack(task: Task) -> list[Result]:
    start = time.perf_counter()
    planned: dict[int, Planned] = {}
    results: dict[int, Result] = {}
    for split, numbers in groupby(range(len(task.estimators)), task.splits.__getitem__):
        planned |= _plan_on_fold(task, numbers, task.folds[split], results)
    with ExitStack() as stack:
        for number, fit in planned.items():
            if task.contexts:
                context = task.contexts[number].propagate_callback_context(fit.estimator)
                stack.enter_context(context)
        estimators = [fit.estimator for fit in planned.values()]
        within_callbacks(estimators, partial(_train_planned, task, planned, results))
    seconds = (time.perf_counter() - start) / len(task.estimators)
    for number in planned:
        results[number].seconds = seconds
    return [results[number] for number in range(len(task.estimators))]


def _train_planned(task: Task, planned: dict[int, Planned], results: dict[int, Result]) -> None:
    """Train all planned fits together, and complete them."""
    trainings: list[Training] = []
    tasks: dict[int, FitTasks] = {}
    for number, fit in planned.items():
        fold = task.folds[task.splits[number]]
        tasks[number] = begin_tasks(fit.estimator, fit.plan, partial(_data_of, fold))
        progress, of_fit = task.progress.get(number), tasks[number].trainings
        trainings += of_fit if progress is None else watched(of_fit, progress(len(of_fit)))
    try:
        outcomes = iter(_train(trainings) if trainings else [])
    except TrainingInterrupted:  # its networks are of no use
        raise KeyboardInterrupt("The search was stopped.") from None
    for number, fit in planned.items():
        own = [*islice(outcomes, len(fit.plan.trainings))]
        results[number] = _complete(fit, own)
        if results[number].error is None:
            tasks[number].end()


def _data_of(fold: Fold) -> FitData:
    X, y, params = fold.fit_arguments()
    return FitData(X, y, **params)


def _train(trainings: list[Training]) -> list[Outcome]:
    """Train all in stacks, and print what they ask for by ``verbose``."""
    advice = lower_batch_size(trainings[0], f"stack_size, which is {len(trainings)} here,")
    with if_out_of_memory(advice), shown(trainings[0].options.verbose, trainings) as observed:
        return train_together(observed)


def _complete(fit: Planned, outcomes: list[Outcome]) -> Result:
    """The result of a fit whose networks have been trained."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors:
        return Result(error=errors[0])
    fit.plan.complete(fit.estimator, [outcome.net for outcome in outcomes if outcome.net])
    stacked = all(outcome.stacked for outcome in outcomes)
    return Result(fit.estimator, stacked=stacked)


def _plan_on_fold(
    task: Task, numbers: Iterable[int], fold: Fold, results: dict[int, Result]
) -> dict[int, Planned]:
    """Plan fits on one fold, whose rows are released afterwards; equal tensors X are shared.

    An estimator that cannot be planned is fitted by itself, so that its error is that of ``fit``.
    Copies are fitted, since all are fitted anew if their stack fails. They are no clones, which
    would lose what a subclass stores beside its parameters.
    """
    planned: dict[int, Planned] = {}
    arguments = X, y, params = fold.fit_arguments()
    for number in numbers:
        estimator, error = _copy(task.estimators[number]), None
        try:
            planned[number] = Planned(estimator, plan(estimator, FitData(X, y, **params)))
        except Exception as raised:
            error = raised
        if error is None:
            _share_X(planned)
        else:  # not in the handler: the traceback of fit would show the error of plan as well
            results[number] = _fit_unplanned(task, number, arguments, error)
    return planned


def _share_X(planned: dict[int, Planned]) -> None:
    """Let the last training read the tensor X of an earlier one with the same codes, if any.

    X is equal then. Which categories are rare, and so their codes, depends on the weights.
    """
    *earlier, last = planned.values()
    same = [fit for fit in earlier if have_same_codes(fit.estimator, last.estimator)]
    if not same:
        return
    shared, own = same[0].plan.trainings[0].rows.X, last.plan.trainings[0].rows.X
    for training in last.plan.trainings:
        for rows in (training.rows, training.valid_rows):
            if rows is not None and rows.X is own:
                rows.X = shared
    last.plan = last.plan.with_X_of(same[0].plan)


def _fit_unplanned(
    task: Task, number: int, arguments: tuple[Any, Any, Any], error: Exception
) -> Result:
    with nullcontext() if isinstance(error, Warning) else shown_before():  # by planning
        return _fit_alone(_copy(task.estimators[number]), task, number, arguments)


def _copy(estimator: Any) -> Any:
    """A copy to be fitted, which shares the callbacks of scikit-learn, as clones do."""
    return copy.deepcopy(
        estimator, {id(callback): callback for callback in callbacks_of(estimator)}
    )
