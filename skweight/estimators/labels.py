"""Labels to codes and back, their priors and class weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from torch import Tensor

from skweight._keywords import Floats
from skweight.weights import resolve_class_weight, scale_near_one

Codes = NDArray[np.int64]
_ABSENT_PRESENT = np.array([0, 1])


class Labels:
    """The classes of a y, or the labels of a multilabel y.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Of a multilabel y, the numbers of its columns.
    multilabel : bool, default=False
    """

    def __init__(self, classes: NDArray[Any], multilabel: bool = False) -> None:
        self.classes = classes
        self.multilabel = multilabel

    @classmethod
    def of(cls, y: Any, name: str = "y") -> "Labels":
        """Find out which there are in y.

        Raises
        ------
        ValueError, TypeError
            If y holds numbers to be regressed on, several outputs of several classes each,
            or labels of several kinds.
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
            return cls(np.unique(column_or_1d(y, warn=True)))
        except ValueError as error:
            raise ValueError(f"{name} must hold labels: {error}") from error
        except TypeError as error:
            raise TypeError(
                f"{name} must hold labels of one kind, which can be sorted: {error}."
            ) from error

    @classmethod
    def announced(cls, classes: Any) -> "Labels":
        """Take the classes that a stream will bring."""
        given = np.asarray(classes)
        way_out = "Weights are passed as sample_weight=."
        if given.ndim != 1 or len(given) < 2:
            raise ValueError(f"classes must be a list of at least two classes, got {classes!r}.")
        try:
            labels = cls.of(given, "classes")
        except ValueError as error:
            raise ValueError(f"{error} {way_out}") from error
        if len(labels.classes) < len(given):
            raise ValueError(
                f"classes must hold each class once, got {len(given)} entries with "
                f"{len(labels.classes)} values. {way_out}"
            )
        return labels

    def encode(self, y: Any, name: str = "y") -> Codes:
        """Codes of shape (n,), or zeros and ones of shape (n, n_labels).

        Raises
        ------
        ValueError
            If y holds a class that is not among ``classes``, or other labels.
        """
        y = _dense(y)
        columns = y.shape[1] if getattr(y, "ndim", 1) == 2 else 1
        if self.multilabel:
            found = Labels.of(y, name)
            if found != self:
                raise ValueError(f"{name} must be {self._kind()}, got {found._kind()}.")
            return np.asarray(y, dtype=np.int64)
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
        return np.asarray(codes, dtype=np.int64)

    def _kind(self) -> str:
        if self.multilabel:
            return f"multilabel with {len(self.classes)} labels"
        return f"one column of {len(self.classes)} classes"

    def __eq__(self, other: object) -> bool:
        """Whether both stand for the same y."""
        return (
            isinstance(other, Labels)
            and self.multilabel == other.multilabel
            and np.array_equal(self.classes, other.classes)
        )

    __hash__ = None  # type: ignore[assignment]

    def decode(self, scores: Floats) -> NDArray[Any]:
        """Labels of the highest scores; of one score, or of labels, whether it is above 0."""
        if self.multilabel:
            return np.asarray(scores > 0, dtype=np.int64)
        codes = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes[codes])

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
        given = class_weight if isinstance(class_weight, list) else [class_weight] * codes.shape[1]
        if len(given) != codes.shape[1]:
            raise ValueError(
                f"class_weight must have one entry for each of {codes.shape[1]} labels when it is "
                f"a list, got {len(given)}."
            )
        resolved = []
        for label, (one, column) in enumerate(zip(given, codes.T)):
            try:
                weight = resolve_class_weight(one, _ABSENT_PRESENT, column, mass, power=power)
            except (TypeError, ValueError) as error:
                raise type(error)(
                    f"{error} Of label {label}: the classes of a label are 0 and 1."
                ) from error
            resolved.append(weight)
        return np.array(resolved)

    def multiply(self, mass: Floats, codes: Codes, class_weight: Floats) -> Floats:
        """Weights of the rows, shape (n,), or of rows and labels, shape (n, n_labels)."""
        if not self.multilabel:
            return np.asarray(mass * class_weight[codes])
        if (class_weight == 1).all():
            return mass
        return np.asarray(mass[:, None] * class_weight[np.arange(codes.shape[1]), codes])

    def name(self, place: tuple[int, ...]) -> str:
        """The class at a place in an array of :meth:`priors` or :meth:`class_weights`."""
        if self.multilabel:
            return f"{('absence', 'presence')[place[1]]} of label {place[0]}"
        return f"class {self.classes[place[0]].tolist()!r}"


def _dense(y: Any) -> Any:
    """Labels are few and short: their sparse form only travels in."""
    return y.toarray() if sparse.issparse(y) else y


def log_of(values: Floats, labels: Labels, what: str) -> Tensor:
    """Logarithms as a tensor.

    Raises
    ------
    ValueError
        Beginning with ``what``, if a value is 0.
    """
    zeros = np.argwhere(values == 0)
    if len(zeros):
        raise ValueError(f"{what}, got 0 for {labels.name(tuple(zeros[0]))}.")
    return torch.from_numpy(np.log(values))


def is_fixed(class_weight: Any) -> bool:
    """Whether class weights are numbers, known before any row is seen."""
    if isinstance(class_weight, list):
        return all(map(is_fixed, class_weight))
    return class_weight is None or isinstance(class_weight, Mapping)
