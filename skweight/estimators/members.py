"""Members: several networks of one fit, of which each is trained without some of the rows.

The distinct rows are divided into as many folds as there are members. A member is trained on all
folds but its own, which tells it when to stop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skweight._keywords import Floats, warn
from skweight.estimators.balance import Balance
from skweight.estimators.held_out import HeldOutUnits
from skweight.training import Training, WeightedNet, predict
from skweight.weights import DistinctRows

Link = Callable[[Tensor], Tensor]
# "auto": with fewer distinct rows, or fewer of a class, members are worth their time. See
# docs/members.md.
_FEW_ROWS, _FEW_ROWS_OF_CLASS, _MOST_MEMBERS = 2000, 100, 10
# With fewer different x, a network that does not see some of them says little about those.
_FEWEST_INPUTS = 20
# Rows that are predicted at once, so that their copies take little memory.
_ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class HeldOut:
    """Which rows each member is trained without.

    ``X`` is checked, ``y`` and ``sample_weight`` are those of ``fit``. ``by_member`` are positions
    of rows of X, and ``by_all`` those of the rows of weight 0, which no member has seen.
    ``offset`` is checked.
    """

    X: Any
    y: Any
    sample_weight: Any
    by_member: list[NDArray[np.intp]]
    by_all: NDArray[np.intp]
    offset: Floats | None = None


@dataclass(frozen=True)
class FitPlan:
    """The trainings of a fit: one, or one for each member with the rows that they hold out.

    ``rows`` are all distinct rows, with the weights of the objective. ``balance`` are the rows on
    which predictions are matched with y, if the user asked for it.
    """

    trainings: list[Training]
    rows: DistinctRows
    held_out: HeldOut | None = None
    balance: Balance | None = None

    @property
    def training(self) -> Training:
        """The only training."""
        (training,) = self.trainings
        return training

    def complete(self, estimator: Any, nets: list[WeightedNet]) -> None:
        """Give an estimator its trained nets, and what they predict for rows held out."""
        set_nets(estimator, nets)
        if self.held_out is not None:
            # Numbers that are too small or too large for a score are no reason to lose the fit.
            with np.errstate(all="ignore"):
                self._predict_and_score(estimator, self.held_out)
        self.match_means(estimator, nets)  # last: held-out rows must not know y of theirs

    def match_means(self, estimator: Any, nets: list[WeightedNet]) -> None:
        """Shift the scores of the nets so that their predictions have the mean of y."""
        if self.balance is not None:
            self.balance.match(estimator, nets)

    def with_X_of(self, other: "FitPlan") -> "FitPlan":
        """The same plan with the X of another one, which is equal, beside the trainings."""
        changed = {
            name: replace(getattr(self, name), X=getattr(other, name).X)
            for name in ("held_out", "balance")
            if getattr(self, name) is not None and getattr(other, name) is not None
        }
        return replace(self, **changed) if changed else self

    def _predict_and_score(self, estimator: Any, held_out: HeldOut) -> None:
        """Set the predictions for rows held out, and their score."""
        found = estimator.oof_prediction_ = _predict_held_out(estimator, held_out)
        rows = np.setdiff1d(np.arange(len(found)), held_out.by_all, assume_unique=True)
        weight = held_out.sample_weight
        weight = None if weight is None else np.asarray(weight)[rows]
        estimator.oof_score_ = estimator._score_of(held_out.y[rows], found[rows], weight)


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
            offset = None if held_out.offset is None else held_out.offset[part]
            values = estimator._values([net], held_out.X[part], offset)
            if not len(found):
                found = np.zeros((len(counts), *values.shape[1:]))
            found[part] += values
            counts[part] += 1
    return found / counts.reshape(-1, *[1] * (found.ndim - 1))


def mean_output(
    nets: Sequence[WeightedNet],
    X: Any,
    link_of: Callable[[WeightedNet], Link],
    offset: Floats | None = None,
) -> Floats:
    """The mean of what the links of nets make of their raw scores for checked X.

    ``offset``, of shape (n_samples, n_offsets), is added to the scores.
    """
    found = output(nets[0], X, link_of(nets[0]), offset)
    for net in nets[1:]:
        found += output(net, X, link_of(net), offset)
    return found / len(nets) if len(nets) > 1 else found


def output(net: WeightedNet, X: Any, link: Link, offset: Floats | None = None) -> Floats:
    """What ``link`` makes of the raw scores of a net for checked X; a new array."""
    device, of_scores = torch.device(net.device), None
    if offset is not None:
        of_scores = net.criterion_.scaled_offset(torch.from_numpy(offset))
    shift = None if net.score_shift_ is None else torch.from_numpy(net.score_shift_)
    found = predict(net.module_, X, device, link, net.takes_integers, of_scores, shift)
    return np.asarray(found.numpy())


def members_asked_for(estimator: Any, has_validation: bool) -> int | str:
    """The number of members that the parameters ask for; "auto" if that depends on the rows."""
    if estimator.n_members != "auto":
        return int(estimator.n_members)
    if estimator.warm_start and hasattr(estimator, "nets_"):
        return len(estimator.nets_)
    trains_one = has_validation or estimator.callbacks or not estimator.early_stopping
    return 1 if trains_one or estimator.module is not None else "auto"


def resolve_n_members(
    n_members: int | str,
    validation_fraction: float,
    units: HeldOutUnits,
    classes: NDArray[Any] | None,
) -> int:
    """How many members there can be: every member needs rows of each class.

    ``classes`` are the labels of codes in the y of the rows; None if y holds no classes.
    """
    if n_members == "auto":
        wanted = round(min(1 / validation_fraction, _MOST_MEMBERS))
        pays = units.n >= wanted and _pays(units, has_classes=classes is not None)
        return wanted if pays else 1
    wanted = int(n_members)
    if units.are_groups and units.n < wanted:
        raise ValueError(
            f"n_members must be at most the number of groups with weight, {units.n}, got "
            f"{n_members}. Groups that have an equal row count as one."
        )
    smallest, of_class = units.n, ""
    if classes is not None and wanted > 1:
        present, counts = units.counts_of_classes()
        smallest = int(counts.min())
        of_class = f" of class {classes[present[counts.argmin()]]!s}"
    if smallest >= wanted:
        return wanted
    found = max(1, smallest)
    warn(
        f"n_members={n_members} needs as many {units.name}{of_class}, got {smallest}: "
        f"{found} {'networks are' if found > 1 else 'network is'} trained."
    )
    return found


def _pays(units: HeldOutUnits, has_classes: bool) -> bool:
    """Whether "auto" makes several members; each of them sees a row of every class then."""
    is_few = units.n_inputs < _FEW_ROWS
    if has_classes:
        smallest = units.counts_of_classes()[1].min()
        if smallest < 2:
            return False
        is_few |= bool(smallest < _FEW_ROWS_OF_CLASS)
    return is_few and units.n_inputs >= _FEWEST_INPUTS


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
