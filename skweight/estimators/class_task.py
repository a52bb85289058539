"""The task of classes: labels in, class weights and priors, probabilities out.

What a class weight is worth is decided in ``skweight.weights``, the inverse link of a loss in
``skweight.losses``.
"""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skweight._keywords import Floats, warn, warn_once
from skweight.estimators.offsets import as_float32
from skweight.losses import ClassLink, RowLoss
from skweight.training import Output
from skweight.weights import (
    DistinctRows,
    as_numbers,
    flatten_mass,
    refuse_masked,
    resolve_class_weight,
    scale_near_one,
)

Codes = NDArray[np.int32]
_ABSENT_PRESENT = np.array([0, 1])


class UnusedPowerWarning(UserWarning):
    """An exponent of class weights that there are not; once in a process, as grids may have it."""


class Labels:
    """The classes of y, or the labels of a multilabel y, whose ``classes`` are column numbers."""

    def __init__(self, classes: NDArray[Any], multilabel: bool = False) -> None:
        self.classes = classes
        self.multilabel = multilabel

    @classmethod
    def of(cls, y: Any, name: str = "y", warns: bool = True) -> "Labels":
        """The labels in y; anything but classes, or zeros and ones in columns, is refused.

        ``warns`` is whether a single column in place of a 1-D y warns.
        """
        y = _dense(y)
        if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
            kind = type_of_target(y, input_name=name)
            if kind == "multilabel-indicator":
                values = np.unique(y)
                if np.isin(values, _ABSENT_PRESENT).all():
                    return cls(np.arange(y.shape[1]), multilabel=True)
                kind += f" (of {values.tolist()})"
            raise ValueError(
                f"{name} must have one column, or zeros and ones in one column per label; "
                f"several outputs of several classes are not supported, got {kind} y with "
                f"shape {y.shape}."
            )
        try:
            check_classification_targets(y)
            if warns and np.ndim(y) == 2:
                warn(
                    f"A column-vector {name} was passed when a 1d array was expected: pass "
                    f"{name}.ravel().",
                    DataConversionWarning,
                )
            return cls(np.unique(column_or_1d(y)))
        except ValueError as error:
            raise ValueError(f"{name} must hold labels: {error}") from error
        except TypeError as error:
            raise TypeError(
                f"{name} must hold labels of one kind, which can be sorted: {error}."
            ) from error

    @classmethod
    def from_classes(cls, classes: Any) -> "Labels":
        """The labels that the user lists as ``classes`` for ``partial_fit``."""
        refuse_masked(classes, "classes")
        given = as_numbers(classes, "classes")
        if given.ndim != 1 or len(given) < 2:
            raise ValueError(f"classes must be a list of at least two classes, got {classes!r}.")
        labels = cls.of(given, "classes (sample weights are passed as sample_weight=)")
        if len(labels.classes) < len(given):
            raise ValueError(
                f"classes must hold each class once, got {len(given)} entries with "
                f"{len(labels.classes)} values. Sample weights are passed as sample_weight=."
            )
        return labels

    def encode(self, y: Any, name: str = "y") -> Codes:
        """Codes of shape (n,), or zeros and ones of shape (n, n_labels)."""
        y = _dense(y)
        columns = y.shape[1] if getattr(y, "ndim", 1) == 2 else 1
        if self.multilabel:
            found = Labels.of(y, name)
            if found != self:
                raise ValueError(f"{name} must be {self._kind()}, got {found._kind()}.")
            return np.asarray(y, dtype=np.int32)
        if columns > 1:
            raise ValueError(f"{name} must be {self._kind()}, got {columns} columns.")
        y = column_or_1d(y)
        try:
            codes = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
            unknown = np.asarray(self.classes[codes] != y)
        except TypeError as error:
            raise TypeError(f"{name} must be {self._kind()}: {error}.") from error
        if unknown.any():
            raise ValueError(
                f"{name} must hold classes among {self.classes.tolist()}, got "
                f"{y[unknown].tolist()[0]!r}."
            )
        return np.asarray(codes, dtype=np.int32)

    def check_alike(self, y: Any) -> None:
        """Refuse a y to score on that is of another kind; labels may be others than in the fit."""
        found = Labels.of(y, warns=False)
        is_other = found.multilabel != self.multilabel
        if is_other or (self.multilabel and len(found.classes) != len(self.classes)):
            raise ValueError(f"y must be {self._kind()}, got {found._kind()}.")
        if _are_strings(found.classes) != _are_strings(self.classes):
            raise ValueError(
                f"y must hold labels as in fit, {self.classes.tolist()}, got "
                f"{found.classes.tolist()[0]!r}."
            )

    def _kind(self) -> str:
        if self.multilabel:
            return f"multilabel with {len(self.classes)} labels"
        return f"one column of {len(self.classes)} classes"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same classes or labels."""
        return (
            isinstance(other, Labels)
            and self.multilabel == other.multilabel
            and np.array_equal(self.classes, other.classes)
        )

    __hash__ = None  # type: ignore[assignment]

    def decode(self, scores: Floats) -> NDArray[Any]:
        """The class of the highest score; for one logit, and for labels, whether it is above 0."""
        if self.multilabel:
            return np.asarray(scores > 0, dtype=np.int64)
        codes = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes[codes])

    def decode_probabilities(self, probability: Floats) -> NDArray[Any]:
        """The most probable class, or whether each label is more probable than not."""
        if self.multilabel:
            return self.decode(probability - 0.5)
        is_binary = probability.shape[1] == 2
        return self.decode(probability[:, 1] - probability[:, 0] if is_binary else probability)

    def priors(self, codes: Codes, mass: Floats) -> Floats:
        """Share of each class in the mass: shape (n_classes,), or (n_labels, 2)."""
        mass = scale_near_one(mass)
        if self.multilabel:
            shares = [[mass @ (column == c) for c in _ABSENT_PRESENT] for column in codes.T]
            return np.asarray(np.array(shares) / mass.sum())
        counts = np.bincount(codes, weights=mass, minlength=len(self.classes))
        return np.asarray(counts / mass.sum())

    def class_weights(self, class_weight: Any, codes: Codes, mass: Floats, power: float) -> Floats:
        """Weights of shape (n_classes,), or (n_labels, 2) for a label's absence and presence."""
        if not self.multilabel:
            return resolve_class_weight(class_weight, self.classes, codes, mass, power=power)
        n_labels = codes.shape[1]
        given = class_weight if isinstance(class_weight, list) else [class_weight] * n_labels
        if len(given) != n_labels:
            raise ValueError(
                f"class_weight must have one entry for each of {n_labels} labels when it is a "
                f"list, got {len(given)}."
            )
        return np.array(
            [
                resolve_class_weight(
                    one,
                    _ABSENT_PRESENT,
                    column,
                    mass,
                    power=power,
                    name=f"class_weight of label {label} (classes 0 and 1)",
                )
                for label, (one, column) in enumerate(zip(given, codes.T))
            ]
        )

    def weigh(self, mass: Floats, codes: Codes, class_weight: Floats) -> Floats:
        """Weights of the rows, shape (n,), or of rows and labels, shape (n, n_labels)."""
        if not self.multilabel:
            return np.asarray(mass * class_weight[codes])
        if (class_weight == 1).all():
            return mass
        return np.asarray(mass[:, None] * class_weight[np.arange(codes.shape[1]), codes])

    def shares(self, codes: Codes, weight: Floats) -> Floats:
        """Share of each class in weights of shape (n, 1) or (n, n_labels), as :meth:`priors`."""
        if not self.multilabel:
            found = np.array([weight[codes == c].sum() for c in range(len(self.classes))])
            return np.asarray(found / found.sum())
        weight = np.broadcast_to(weight, codes.shape)
        pairs = [[w[y == c].sum() for c in _ABSENT_PRESENT] for w, y in zip(weight.T, codes.T)]
        total = np.sum(pairs, axis=1, keepdims=True)
        return np.asarray(pairs / np.where(total > 0, total, 1.0))

    def log(self, values: Floats, what_needs_it: str) -> Floats:
        """Logarithms of priors or class weights, none of which may be 0."""
        zeros = np.argwhere(values == 0)
        if len(zeros):
            raise ValueError(f"{what_needs_it}, got 0 for {self.name(tuple(zeros[0]))}.")
        return np.asarray(np.log(values))

    def name(self, place: tuple[int, ...]) -> str:
        """The class at a place in an array of :meth:`priors` or :meth:`class_weights`."""
        if self.multilabel:
            return f"{('absence', 'presence')[place[1]]} of label {place[0]}"
        return f"class {self.classes[[place[0]]].tolist()[0]!r}"


def scores_of(all_probabilities: Floats) -> Floats:
    """Scores of classes or labels from :meth:`ClassLink.all_probabilities`.

    Log-odds of shape (n,) for two classes and (n, n_labels) for labels, else logarithms.
    """
    scores = np.log(all_probabilities)
    if scores.shape[-1] != 2:
        return np.asarray(scores)
    return np.asarray(scores[..., 1] - scores[..., 0])


def _are_strings(labels: NDArray[Any]) -> bool:
    return all(isinstance(label, str) for label in labels.tolist())


def _dense(y: Any) -> Any:
    """Y as an array if it is sparse: labels take little memory."""
    return y.toarray() if sparse.issparse(y) else y


def is_fixed(class_weight: Any) -> bool:
    """Whether class weights are numbers that do not depend on the rows."""
    if isinstance(class_weight, list):
        return all(map(is_fixed, class_weight))
    return class_weight is None or isinstance(class_weight, Mapping)


@dataclass
class ClassTask:
    """What a fit does with classes: codes, class weights, and what its scores mean.

    ``class_weight``, ``class_weight_power`` and ``logit_adjustment`` are parameters of the
    classifier. ``prior`` and ``weight``, of shape (n_classes,) or (n_labels, 2), are learned.
    """

    labels: Labels
    class_weight: Any = None
    class_weight_power: float = 1.0
    logit_adjustment: float = 0.0
    prior: Floats = field(init=False)
    weight: Floats = field(init=False)
    has_offset: bool = field(default=False, init=False)  # whether the fit has an offset

    # Offsets, which have the shape (n, n_offsets) once they are checked.
    meaning_of_offset = "one number for each label, or for each class if there are more than two"

    @property
    def n_offsets(self) -> int:
        """Numbers in an offset: one of two classes is for the log-odds of the second."""
        n_classes = len(self.labels.classes)
        return 1 if n_classes == 2 and not self.labels.multilabel else n_classes

    def shapes_of_offset(self, n_rows: int) -> list[tuple[int, ...]]:
        """Shapes that the user's offset may have."""
        if self.n_offsets == 1:
            return [(n_rows,), (n_rows, 1), (n_rows, 2)]
        return [(n_rows, self.n_offsets)]

    def take_offset(
        self, codes: NDArray[Any], offset: Floats | None, criterion: RowLoss
    ) -> tuple[NDArray[Any], Floats | None]:
        """The codes, and the offset of their rows."""
        self.has_offset = offset is not None
        return codes, offset

    def offset_of_scores(self, offset: Floats | None) -> Floats | None:
        """What is added to raw scores."""
        return offset

    def encode(self, y: Any, name: str = "y") -> Codes:
        """Labels to codes of shape (n,), or zeros and ones of shape (n, n_labels)."""
        return self.labels.encode(y, name)

    def learn(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Learn priors and class weights; tell the criterion what it needs of them."""
        self._warn_of_double_weights(criterion)
        self._warn_of_unused_power()
        labels = self.labels
        self.prior = labels.priors(rows.y, rows.weight)
        self.weight = labels.class_weights(
            self.class_weight, rows.y, rows.weight, self.class_weight_power
        )
        if self.logit_adjustment:
            log_prior = labels.log(self.prior, "logit_adjustment needs weight in every class of y")
            criterion.adjust(self.logit_adjustment * torch.from_numpy(log_prior))
        criterion.per_column = labels.multilabel and bool((self.weight != 1).any())
        if not criterion.more_rows_follow:
            weighted = self.weigh(rows)
            self.check(weighted)
            self._check_two_classes(weighted)

    @property
    def has_class_weights(self) -> bool:
        """Whether the user gave class weights."""
        return self.class_weight is not None

    def reweighted(self, rows: DistinctRows, criterion: RowLoss) -> "ClassTask":
        """The same task with the priors and class weights of rows that have other weights."""
        task = copy.copy(self)
        task.learn(rows, criterion)
        return task

    def weights(self, rows: DistinctRows) -> Floats:
        """The weights of rows times their class weights."""
        return self.labels.weigh(rows.weight, rows.y, self.weight)

    def weigh(self, rows: DistinctRows) -> DistinctRows:
        """Multiply the weights of rows by their class weights; drop rows left without weight."""
        weight = self.weights(rows)
        has_weight = weight > 0 if weight.ndim == 1 else np.asarray((weight > 0).any(axis=1))
        rows = dataclasses.replace(rows, weight=weight)
        return rows if has_weight.all() else rows.take(has_weight)

    def classes_of(self, rows: DistinctRows) -> NDArray[Any] | None:
        """The labels of the codes in ``rows.y``; None for a multilabel y."""
        return None if self.labels.multilabel else self.labels.classes

    def check(self, rows: DistinctRows, name: str = "y") -> None:
        """Refuse rows of which :meth:`weigh` has left none."""
        if not len(rows.index):
            raise ValueError(
                f"{name} must hold a row whose class has weight: class_weight gives every row of "
                "it weight 0."
            )

    def weight_of_predictions(
        self, rows: DistinctRows, power: float, correct_prior: bool
    ) -> Floats:
        """Weights of rows, or of rows and labels, in the data that probabilities are for.

        Logit adjustment does to the probabilities what class weights ``1 / prior ** tau`` do.
        """
        weight = scale_near_one(flatten_mass(rows.mass, power))
        if correct_prior:
            return weight
        factor = self.weight
        if self.logit_adjustment:
            with np.errstate(divide="ignore"):  # of classes of weight 0
                log_factor = np.log(factor) - self.logit_adjustment * np.log(self.prior)
            factor = np.exp(log_factor - log_factor.max(axis=-1, keepdims=True))
        return self.labels.weigh(weight, rows.y, factor)

    def check_means(self, codes: Codes, weight: Floats) -> None:
        """Refuse a class of which no probability can have the mean, which is 0."""
        shares = self.labels.shares(codes, weight)
        self.labels.log(shares, "match_mean=True needs weight in every class of y")

    def mean_to_match(self, codes: Codes, weight: Floats) -> Floats:
        """What the mean probability of each class or label is to be."""
        shares = self.labels.shares(codes, weight)
        return np.ascontiguousarray(shares[:, 1]) if self.labels.multilabel else shares

    def targets(self, parts: list[DistinctRows]) -> list[NDArray[Any]]:
        """Codes of the training and validation rows, as the loss sees them."""
        return [part.y for part in parts]

    def offsets(self, parts: list[DistinctRows]) -> list[NDArray[Any] | None]:
        """Offsets of training and validation rows, as the loss sees them."""
        return [as_float32(part.offset) for part in parts]

    def attributes(self) -> dict[str, Any]:
        """What a fitted classifier shows of it."""
        return {
            "classes_": self.labels.classes,
            "class_prior_": self.prior,
            "class_weight_": self.weight,
        }

    def output(self, criterion: RowLoss, correct_prior: bool) -> Output:
        """What the output of the network is for."""
        n_classes, multilabel = len(self.labels.classes), self.labels.multilabel
        if multilabel or n_classes > 2:
            widths: tuple[int, ...] = (n_classes,)
        else:
            widths = (2,) if criterion.traits.one_column_per_class else (1, 2)
        link = self.link(criterion, correct_prior)
        neutral = torch.zeros(1, dtype=torch.float64) if self.has_offset else None
        return Output(widths, link, n_classes, multilabel, neutral)

    def link(self, criterion: RowLoss, correct_prior: bool) -> ClassLink:
        """From raw scores to scores and probabilities of the classes.

        With ``correct_prior``, class weights and logit adjustment are taken out of them.
        """
        adjustment = log_weight = None
        if correct_prior:
            own = criterion.traits.own_weight
            if own or not criterion.traits.has_probabilities:
                fault = f"class weights of its own ({own})" if own else "smoothed or margin scores"
                raise ValueError(
                    "correct_prior=True needs a criterion whose scores give probabilities, without "
                    "label smoothing and without class weights of its own (pass these as "
                    f"class_weight), got {criterion.criterion!r} with {fault}."
                )
            what_needs_it = "correct_prior=True needs class weights above 0"
            log_weight = torch.from_numpy(self.labels.log(self.weight, what_needs_it))
            given = criterion.adjustment
            adjustment = None if given is None else given.cpu().double()
        return ClassLink(criterion.criterion, self.labels.multilabel, adjustment, log_weight)

    def _warn_of_double_weights(self, criterion: RowLoss) -> None:
        own = criterion.traits.own_weight
        if own and self.class_weight is not None:
            warn(
                f"The criterion has class weights of its own ({own}) and class_weight="
                f"{self.class_weight!r} is given too: classes are weighted twice."
            )

    def _warn_of_unused_power(self) -> None:
        if self.class_weight is None and self.class_weight_power != 1:
            warn_once(
                f"class_weight_power={self.class_weight_power} has no effect, because class_weight "
                'is None: there are no class weights. Pass class_weight="balanced", for example.',
                UnusedPowerWarning,
            )

    def _check_two_classes(self, rows: DistinctRows) -> None:
        present = np.unique(rows.y)
        if len(present) < 2 and not self.labels.multilabel:
            raise ValueError(
                "y must hold at least two classes whose rows have weight, got "
                f"{len(present)} class{'es' * (len(present) != 1)}: "
                f"{self.labels.classes[present].tolist()}."
            )
