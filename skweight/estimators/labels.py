"""Labels to codes and back, their priors and class weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skweight._keywords import Floats
from skweight.weights import resolve_class_weight, scale_near_one

Codes = NDArray[np.int64]
_ABSENT_PRESENT = np.array([0, 1])


class Labels:
    """The classes of y, or the labels of a multilabel y, whose ``classes`` are column numbers."""

    def __init__(self, classes: NDArray[Any], multilabel: bool = False) -> None:
        self.classes = classes
        self.multilabel = multilabel

    @classmethod
    def of(cls, y: Any, name: str = "y") -> "Labels":
        """The labels in y; anything but classes, or zeros and ones in columns, is refused."""
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
    def from_classes(cls, classes: Any) -> "Labels":
        """The labels that the user lists as ``classes`` for ``partial_fit``."""
        given = np.asarray(classes)
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
        """Whether both have the same classes or labels."""
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
        return f"class {self.classes[place[0]].tolist()!r}"


def _dense(y: Any) -> Any:
    """Y as an array if it is sparse: labels take little memory."""
    return y.toarray() if sparse.issparse(y) else y


def is_fixed(class_weight: Any) -> bool:
    """Whether class weights are numbers that do not depend on the rows."""
    if isinstance(class_weight, list):
        return all(map(is_fixed, class_weight))
    return class_weight is None or isinstance(class_weight, Mapping)
