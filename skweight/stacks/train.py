"""Trainings of one architecture, in stacks where that is possible."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import TypeVar

from skweight.stacks.eligibility import (
    check_stackable,
    check_takes_floats,
    group_alike,
    is_worth_stacking,
    may_be_worth_stacking,
    models_at_once,
)
from skweight.stacks.networks import NotStackable
from skweight.stacks.stack import Stack
from skweight.training import (
    Training,
    TrainingInterrupted,
    WeightedNet,
    finish,
    if_out_of_memory,
    isolated_torch,
    lower_batch_size,
    make_net,
    train,
)

Subject = TypeVar("Subject", Training, WeightedNet)


@dataclass
class Outcome:
    """The net that a training led to or the error that it raised, and whether it was stacked."""

    net: WeightedNet | None = None
    error: Exception | None = None
    stacked: bool = False


def train_together(trainings: Sequence[Training], still_trained: float = 0.75) -> list[Outcome]:
    """Train several networks at the same time.

    Parameters
    ----------
    trainings : sequence of Training
        With the same options apart from seeds, on rows of the same shape. Each has rows, weights,
        targets, a seed and class offsets of its own.
    still_trained : float, default=0.75
        Models that have stopped leave their stack when this share of it, or less, is still
        trained.

    Returns
    -------
    list of Outcome
        With the net that :func:`~skweight.training.train` would have returned, on a CPU to the
        bit, or with the error that it would have raised. ``stacked`` is False for trainings whose
        stack would be too small to save anything.

    Raises
    ------
    NotStackable
        If the networks can only be trained one by one, with the reason. Nothing is trained then.
    TrainingInterrupted
        If the user stops the training, with the networks so far of those that were begun.
    """
    check_stackable(trainings[0])
    outcomes: dict[int, Outcome] = {}
    nets: dict[int, WeightedNet] = {}
    for number, training in enumerate(trainings):
        made = _attempt(_make_net, training)
        if made.net is None:
            outcomes[number] = made
        else:
            nets[number] = made.net
            check_takes_floats(made.net)
    groups = [*group_alike(trainings, nets)]
    parts = [
        partial(
            _train_group, [trainings[i] for i in group], [nets[i] for i in group], still_trained
        )
        for group in groups
    ]
    outcomes.update(zip(chain(*groups), _in_turn(parts, trainings)))
    return [outcomes[number] for number in range(len(trainings))]


def train_in_stacks(trainings: Sequence[Training], most: int | None = None) -> list[Outcome]:
    """Train several networks, in stacks as large as pays, or one by one where none pays.

    The arguments and results are those of :func:`train_together`; nothing is refused. Stacks have
    at most ``most`` networks; None chooses the size that is fastest.
    """
    try:
        size = models_at_once(trainings[0], len(trainings)) if most is None else most
        if size > 1:
            n_stacks = math.ceil(len(trainings) / size)
            bounds = [round(i * len(trainings) / n_stacks) for i in range(n_stacks + 1)]
            parts = [partial(train_together, trainings[i:j]) for i, j in pairwise(bounds)]
            return _in_turn(parts, trainings)
    except NotStackable:
        pass
    return _train_one_by_one(trainings)


def _train_group(
    trainings: list[Training], nets: list[WeightedNet], still_trained: float
) -> list[Outcome]:
    """Train networks of the same shape in a stack, or one by one if that is as fast."""
    if may_be_worth_stacking(trainings[0], nets[0], len(trainings)):
        with isolated_torch(trainings[0].options.seed, trainings[0].rows.device):
            stack = Stack(trainings, nets, still_trained)
            if is_worth_stacking(stack.network):
                is_complete = stack.train()
                outcomes = [
                    Outcome(error=model.error, stacked=True)
                    if model.error is not None
                    else _attempt(finish, model.net, stacked=True)
                    for model in stack.models
                ]
                if not is_complete:
                    raise _interrupted(outcomes, trainings)
                return outcomes
    return _train_one_by_one(trainings)


def _train_one_by_one(trainings: Sequence[Training]) -> list[Outcome]:
    return _in_turn([partial(_train_alone, t) for t in trainings], trainings)


def _train_alone(training: Training) -> list[Outcome]:
    return [_attempt(train, training)]


def _in_turn(
    parts: Iterable[Callable[[], list[Outcome]]], trainings: Sequence[Training]
) -> list[Outcome]:
    """Call functions that train some of the trainings each; return the outcomes of all.

    An interrupt keeps the nets of the parts before it.
    """
    outcomes: list[Outcome] = []
    try:
        for train_part in parts:
            outcomes += train_part()
    except KeyboardInterrupt as stop:
        if isinstance(stop, TrainingInterrupted):
            outcomes += [Outcome(net) for net in stop.nets]
        raise _interrupted(outcomes, trainings) from None
    return outcomes


def _interrupted(outcomes: Sequence[Outcome], trainings: Sequence[Training]) -> KeyboardInterrupt:
    """What to raise if the user stopped some trainings, with these outcomes so far."""
    nets = [outcome.net for outcome in outcomes if outcome.net is not None]
    if not nets:
        return KeyboardInterrupt()
    is_best = trainings[0].valid_rows is not None
    return TrainingInterrupted(nets, is_best, n_trainings=len(trainings))


def _make_net(training: Training) -> WeightedNet:
    with (
        if_out_of_memory(lower_batch_size(training)),
        isolated_torch(training.options.seed, training.rows.device),
    ):
        return make_net(training)


def _attempt(
    function: Callable[[Subject], WeightedNet], argument: Subject, stacked: bool = False
) -> Outcome:
    """The outcome of a function; its error ends this training only."""
    try:
        return Outcome(function(argument), stacked=stacked)
    except Exception as error:
        return Outcome(error=error, stacked=stacked)
