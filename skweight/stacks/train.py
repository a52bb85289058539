"""Trainings of one architecture, in stacks where that is possible."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
from skweight.training import Training, WeightedNet, finish, isolated_torch, make_net, train

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
    for numbers in group_alike(trainings, nets):
        group = [trainings[number] for number in numbers]
        trained = _train_group(group, [nets[number] for number in numbers], still_trained)
        outcomes.update(zip(numbers, trained))
    return [outcomes[number] for number in range(len(trainings))]


def train_in_stacks(trainings: Sequence[Training]) -> list[Outcome]:
    """Train several networks, in stacks as large as pays, or one by one where none pays.

    The arguments and results are those of :func:`train_together`; nothing is refused.
    """
    try:
        size = models_at_once(trainings[0], len(trainings))
        if size > 1:
            n_stacks = math.ceil(len(trainings) / size)
            bounds = [round(i * len(trainings) / n_stacks) for i in range(n_stacks + 1)]
            parts = [trainings[start:stop] for start, stop in pairwise(bounds)]
            return [outcome for part in parts for outcome in train_together(part)]
    except NotStackable:
        pass
    return [_attempt(train, training) for training in trainings]


def _train_group(
    trainings: list[Training], nets: list[WeightedNet], still_trained: float
) -> list[Outcome]:
    """Train networks of the same shape in a stack, or one by one if that is as fast."""
    if may_be_worth_stacking(trainings[0], nets[0], len(trainings)):
        with isolated_torch(trainings[0].options.seed, trainings[0].rows.device):
            stack = Stack(trainings, nets, still_trained)
            if is_worth_stacking(stack.network):
                return [
                    Outcome(error=model.error, stacked=True)
                    if model.error is not None
                    else _attempt(finish, model.net, stacked=True)
                    for model in stack.train()
                ]
    return [_attempt(train, training) for training in trainings]


def _make_net(training: Training) -> WeightedNet:
    with isolated_torch(training.options.seed, training.rows.device):
        return make_net(training)


def _attempt(
    function: Callable[[Subject], WeightedNet], argument: Subject, stacked: bool = False
) -> Outcome:
    """The outcome of a function; its error ends this training only."""
    try:
        return Outcome(function(argument), stacked=stacked)
    except Exception as error:
        return Outcome(error=error, stacked=stacked)
