"""The task of classes: labels in, class weights and priors, probabilities out.

What a class weight is worth is decided in ``skweight.weights``, the inverse link of a loss in
``skweight.losses``.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skweight._keywords import Floats, warn
from skweight.estimators.labels import Codes, Labels
from skweight.losses import ClassLink, RowLoss
from skweight.training import Output
from skweight.weights import DistinctRows


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

    def encode(self, y: Any, name: str = "y") -> Codes:
        """Labels to codes of shape (n,), or zeros and ones of shape (n, n_labels)."""
        return self.labels.encode(y, name)

    def learn(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Learn priors and class weights; tell the criterion what it needs of them."""
        self._warn_of_double_weights(criterion)
        labels = self.labels
        self.prior = labels.priors(rows.y, rows.weight)
        self.weight = labels.class_weights(
            self.class_weight, rows.y, rows.weight, self.class_weight_power
        )
        if self.logit_adjustment:
            log_prior = labels.log(self.prior, "logit_adjustment needs weight in every class of y")
            criterion.adjust(self.logit_adjustment * torch.from_numpy(log_prior))
        criterion.per_column = labels.multilabel and bool((self.weight != 1).any())
        if not (criterion.of_a_stream or labels.multilabel):
            self._check_two_classes(rows)

    def weigh(self, rows: DistinctRows) -> DistinctRows:
        """Multiply the weights of rows by their class weights; drop rows left without weight."""
        weight = self.labels.weigh(rows.weight, rows.y, self.weight)
        has_weight = weight > 0 if weight.ndim == 1 else np.asarray((weight > 0).any(axis=1))
        rows = dataclasses.replace(rows, weight=weight)
        return rows if has_weight.all() else rows.take(has_weight)

    def check(self, rows: DistinctRows, name: str = "y") -> None:
        """Refuse rows none of which has weight, after :meth:`weigh`."""
        if not len(rows.index):
            raise ValueError(
                f"{name} must hold a row whose class has weight, got none: class_weight leaves no "
                "row any."
            )

    def targets(self, parts: list[DistinctRows], criterion: RowLoss) -> list[NDArray[Any]]:
        """Codes of the training and validation rows, as the loss sees them."""
        return [part.y for part in parts]

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
        return Output(widths, link.probabilities, n_classes, multilabel)

    def link(self, criterion: RowLoss, correct_prior: bool) -> ClassLink:
        """From raw scores to scores and probabilities of the classes.

        With ``correct_prior``, class weights and logit adjustment are taken out of them.
        """
        offset = log_weight = None
        if correct_prior:
            if criterion.traits.own_weight or not criterion.traits.has_probabilities:
                raise ValueError(
                    "correct_prior=True needs a criterion whose scores give probabilities, without "
                    "label smoothing and without class weights of its own (pass these as "
                    f"class_weight), got {criterion.criterion!r}."
                )
            what_needs_it = "correct_prior=True needs class weights above 0"
            log_weight = torch.from_numpy(self.labels.log(self.weight, what_needs_it))
            offset = None if criterion.offset is None else criterion.offset.cpu().double()
        return ClassLink(criterion.criterion, self.labels.multilabel, offset, log_weight)

    def _warn_of_double_weights(self, criterion: RowLoss) -> None:
        own = criterion.traits.own_weight
        if own and self.class_weight is not None:
            warn(
                f"The criterion has class weights of its own ({own}) and class_weight="
                f"{self.class_weight!r} is given too: classes are weighted twice."
            )

    def _check_two_classes(self, rows: DistinctRows) -> None:
        present = np.unique(self.weigh(rows).y)
        if len(present) < 2:
            raise ValueError(
                "y must hold at least two classes whose rows have weight, got "
                f"{len(present)} class{'es' * (len(present) != 1)}: "
                f"{self.labels.classes[present].tolist()}."
            )
