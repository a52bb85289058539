"""The steps of a fit that are about classes."""

import dataclasses
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight.estimators.estimator import WeightedTorchEstimator
from skweight.estimators.labels import Labels, is_fixed, log_of
from skweight.losses import CLASSIFIER_CRITERIA, ClassLink, RowLoss, from_criterion
from skweight.training import Output
from skweight.weights import DistinctRows


class ClassificationSteps(WeightedTorchEstimator):
    """What is done with labels on their way into training, and with scores on their way out."""

    classes_: NDArray[Any]
    class_weight_: NDArray[np.float64]
    class_prior_: NDArray[np.float64]
    _labels: Labels

    def _check_streams(self) -> None:
        """Say why there is no ``partial_fit``, and what to do, if there is none."""
        if not is_fixed(self.class_weight):
            raise ValueError(
                "partial_fit needs class_weight to be None or a dict, since the classes of rows "
                f"that are still to come cannot be counted, got {self.class_weight!r}. Compute the "
                "weights from rows that you have, with sklearn.utils.class_weight."
                "compute_class_weight, and pass them as a dict."
            )
        if self.logit_adjustment:
            raise ValueError(
                "partial_fit needs logit_adjustment=0, since the priors of rows that are still to "
                f"come are not known, got {self.logit_adjustment!r}. Pass class weights as a dict."
            )
        super()._check_streams()

    def _make_criterion(self) -> RowLoss:
        criterion = from_criterion(
            self.criterion, self._params_for("criterion"), CLASSIFIER_CRITERIA
        )
        own_weight = criterion.traits.own_weight
        if own_weight and self.class_weight is not None:
            warnings.warn(
                f"The criterion carries class weights of its own ({own_weight}) and "
                f"class_weight={self.class_weight!r} is given too: classes are weighted twice.",
                stacklevel=5,
            )
        return criterion

    def _learn_target(self, y: Any) -> NDArray[Any]:
        labels = Labels.of(y)
        if self._continues and labels != self._labels:
            raise ValueError(
                "warm_start=True needs the classes of the last fit, "
                f"{self.classes_.tolist()}, got {labels.classes.tolist()}."
            )
        self._labels, self.classes_ = labels, labels.classes
        return labels.encode(y)

    def _announce(self, announced: Any, y: Any, first: bool) -> None:
        labels = Labels.of(y) if first else self._labels
        if announced is None:
            if first and not labels.multilabel:
                raise ValueError(
                    "classes must be given in the first call of partial_fit: all classes that "
                    "will ever come, got None."
                )
        elif first and not labels.multilabel:
            labels = announced
        elif not np.array_equal(announced.classes, labels.classes):
            raise ValueError(
                f"classes must be {labels.classes.tolist()}, "
                f"{'the columns of y' if first else 'those of the first call or of fit'}, got "
                f"{announced.classes.tolist()}."
            )
        self._labels, self.classes_ = labels, labels.classes

    def _encode(self, y: Any, name: str) -> NDArray[Any]:
        return self._labels.encode(y, name)

    def _learn_weights(self, rows: DistinctRows, criterion: RowLoss) -> None:
        labels = self._labels
        self.class_prior_ = labels.priors(rows.y, rows.weight)
        self.class_weight_ = labels.class_weights(
            self.class_weight, rows.y, rows.weight, self.class_weight_power
        )
        if self.logit_adjustment:
            log_prior = log_of(
                self.class_prior_, labels, "logit_adjustment needs weight in every class of y"
            )
            criterion.adjust(self.logit_adjustment * log_prior)
        criterion.per_column = labels.multilabel and bool((self.class_weight_ != 1).any())
        self._link(criterion)  # says now what it cannot take back later

    def _check_present(self, rows: DistinctRows) -> None:
        present = np.unique(rows.y)
        if len(present) < 2 and not self._labels.multilabel:
            raise ValueError(
                "y must hold at least two classes whose rows have weight, got "
                f"{len(present)} class{'es' * (len(present) != 1)}: "
                f"{self.classes_[present].tolist()}."
            )

    def _multiply(self, rows: DistinctRows) -> DistinctRows:
        weight = self._labels.multiply(rows.weight, rows.y, self.class_weight_)
        weighs = weight > 0 if weight.ndim == 1 else np.asarray((weight > 0).any(axis=1))
        rows = dataclasses.replace(rows, weight=weight)
        return rows if weighs.all() else rows.take(weighs)

    def _learn_units(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Labels have no units."""

    def _in_units(self, y: NDArray[Any]) -> NDArray[Any]:
        return y

    def _output(self, criterion: RowLoss) -> Output:
        n_classes, labels = len(self.classes_), self._labels.multilabel
        if labels or n_classes > 2:
            widths: tuple[int, ...] = (n_classes,)
        else:
            widths = (2,) if criterion.traits.one_column_per_class else (1, 2)
        link = self._link(criterion)
        return Output(widths, link.probabilities, n_classes, labels)

    def _link(self, criterion: RowLoss) -> ClassLink:
        """What makes class scores of raw scores."""
        offset = log_weight = None
        if self.correct_prior:
            if criterion.traits.own_weight or not criterion.traits.has_probabilities:
                raise ValueError(
                    "correct_prior=True needs a criterion whose scores tell probabilities, without "
                    "label smoothing and without class weights of its own (pass these as "
                    f"class_weight), got criterion={self.criterion!r} with "
                    f"{self._params_for('criterion')}."
                )
            log_weight = log_of(
                self.class_weight_, self._labels, "correct_prior=True needs class weights above 0"
            )
            offset = None if criterion.offset is None else criterion.offset.cpu().double()
        return ClassLink(criterion.criterion, self._labels.multilabel, offset, log_weight)
