"""Members: several networks of one fit, of which each is trained without some of the rows.

The distinct rows are divided into as many folds as there are members. A member is trained on all
folds but its own, which tells it when to stop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skweight._keywords import warn
from skweight.data import join_groups, split_folds
from skweight.training import Training, WeightedNet, predict
from skweight.weights import DistinctRows

Link = Callable[[Tensor], Tensor]
# "auto": with fewer distinct rows, or fewer of a class, so many members are better than one
# network, and more of them are hardly better. See docs/members.md.
_FEW_ROWS, _FEW_ROWS_OF_CLASS, _MEMBERS_OF_FEW = 500, 100, 4
# Rows that are predicted at once, so that their copies take little memory.
_ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class HeldOut:
    """Which rows each member is trained without.

    ``X`` is checked, ``y`` and ``sample_weight`` are those of ``fit``. ``by_member`` are positions
    of rows of X, and ``by_all`` those of the rows of weight 0, which no member has seen.
    """

    X: Any
    y: Any
    sample_weight: Any
    by_member: list[NDArray[np.intp]]
    by_all: NDArray[np.intp]


@dataclass(frozen=True)
class FitPlan:
    """The trainings of a fit: one, or one for each member with the rows that they hold out."""

    trainings: list[Training]
    held_out: HeldOut | None = None

    @property
    def training(self) -> Training:
        """The only training."""
        (training,) = self.trainings
        return training

    def complete(self, estimator: Any, nets: list[WeightedNet]) -> None:
        """Give an estimator its trained nets, and what they predict for rows held out."""
        set_nets(estimator, nets)
        if self.held_out is not None:
            found = _predict_held_out(estimator, self.held_out)
            estimator.oof_prediction_ = found
            held_out, y, weight = self.held_out, self.held_out.y, self.held_out.sample_weight
            rows = np.setdiff1d(np.arange(len(found)), held_out.by_all, assume_unique=True)
            estimator.oof_score_ = estimator._score_of(
                y[rows], found[rows], None if weight is None else np.asarray(weight)[rows]
            )


def set_nets(estimator: Any, nets: list[WeightedNet]) -> None:
    """Give an estimator its nets; forget what others have predicted for rows held out."""
    estimator.nets_ = nets
    for name in ("oof_prediction_", "oof_score_"):
        vars(estimator).pop(name, None)


def _predict_held_out(estimator: Any, held_out: HeldOut) -> NDArray[np.float64]:
    """The mean of what the members that were not trained on a row predict for it."""
    found: NDArray[np.float64] = np.zeros(0)
    counts = np.zeros(held_out.X.shape[0])
    for net, unseen in zip(estimator.nets_, held_out.by_member):
        rows = np.concatenate([unseen, held_out.by_all])
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            values = estimator._values([net], held_out.X[part])
            if not len(found):
                found = np.zeros((len(counts), *values.shape[1:]))
            found[part] += values
            counts[part] += 1
    return found / counts.reshape(-1, *[1] * (found.ndim - 1))


def mean_output(
    nets: Sequence[WeightedNet], X: Any, link_of: Callable[[WeightedNet], Link]
) -> NDArray[np.float64]:
    """The mean of what the links of nets make of their raw scores for checked X."""
    found = output(nets[0], X, link_of(nets[0]))
    for net in nets[1:]:
        found += output(net, X, link_of(net))
    return found / len(nets) if len(nets) > 1 else found


def output(net: WeightedNet, X: Any, link: Link | None = None) -> NDArray[np.float64]:
    """Raw scores of a net for checked X, or what ``link`` makes of them; a new array."""
    device = torch.device(net.device)
    return np.asarray(predict(net.module_, X, device, link, net.takes_integers).numpy())


def resolve_n_members(
    n_members: int | str,
    rows: DistinctRows,
    groups: NDArray[Any] | None,
    classes: NDArray[Any] | None,
) -> int:
    """How many members there can be: every member needs a row, or group, of each class.

    ``classes`` are the labels of codes in ``rows.y``; None if y holds no classes.
    """
    if n_members == 1:
        return 1
    units = np.arange(len(rows.index)) if groups is None else groups
    smallest, of_class = len(np.unique(units)), ""
    if n_members != "auto" and groups is not None and smallest < int(n_members):
        raise ValueError(
            f"n_members must be at most the number of groups with weight, {smallest}, got "
            f"{n_members}. Groups that have an equal row count as one."
        )
    is_few = len(rows.index) < _FEW_ROWS
    if classes is not None:
        is_few |= bool(np.unique(rows.y, return_counts=True)[1].min() < _FEW_ROWS_OF_CLASS)
        pairs = np.unique(np.stack([units, rows.y]), axis=1)[1]
        present, counts = np.unique(pairs, return_counts=True)
        smallest = int(counts.min())
        of_class = f" of class {classes[present[counts.argmin()]]!s}"
    if n_members == "auto":
        return max(1, min(_MEMBERS_OF_FEW, smallest)) if is_few else 1
    if smallest >= int(n_members):
        return int(n_members)
    found = max(1, smallest)
    what = "distinct rows" if groups is None else "groups"
    warn(
        f"n_members={n_members} needs as many {what}{of_class}, got {smallest}: "
        f"{found} {'networks are' if found > 1 else 'network is'} trained."
    )
    return found


def folds_of_members(
    n_members: int, seed: int, rows: DistinctRows, groups: NDArray[Any] | None
) -> list[NDArray[np.intp]]:
    """The distinct rows that each member does not see."""
    has_classes = rows.y.dtype.kind == "i" and rows.y.ndim == 1
    return split_folds(
        n_members, seed, rows.weight_per_row, rows.y if has_classes else None, groups
    )


def groups_of_rows(
    groups: NDArray[np.integer[Any]], rows: DistinctRows
) -> NDArray[np.integer[Any]]:
    """The group of each distinct row, by the groups of the rows of X.

    Groups that have an equal row count as one.
    """
    number = rows.numbers()
    is_used = number >= 0
    return join_groups(groups[is_used], number[is_used])


def rows_in_folds(
    folds: Sequence[NDArray[np.intp]], rows: DistinctRows
) -> tuple[list[NDArray[np.intp]], NDArray[np.intp]]:
    """The rows of X in each fold of distinct rows, and those without weight."""
    number = rows.numbers()
    in_folds = [np.flatnonzero(np.isin(number, fold)) for fold in folds]
    return in_folds, np.flatnonzero(number < 0)


def seed_of_member(seed: int, number: int) -> int:
    """Another seed for each member."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
