"""``match_mean=True``: after training, predictions get the weighted mean of y.

Which rows and weights are meant, and which criteria have a mean, is decided here; the shift of the
raw scores is solved for in ``skweight.losses``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_regressor

from skweight._keywords import Floats, warn
from skweight.losses import TOLERANCE, RowLoss, add_offset
from skweight.training import WeightedNet, predict
from skweight.weights import DistinctRows

# Criteria that have no name here.
_OF_NUMBERS = ("nn.MSELoss", "nn.PoissonNLLLoss with log_input=True")
_OF_CLASSES = ("nn.CrossEntropyLoss", "nn.NLLLoss", "nn.BCEWithLogitsLoss")


@dataclass(frozen=True)
class Balance:
    """The rows whose predictions are to have the weighted mean of y.

    ``X`` is checked, ``index`` are the positions of the distinct rows in it, in canonical order,
    and ``y`` and ``offset`` are their encoded targets and offsets. ``weight``, of shape (n, 1) or
    (n, n_labels), has the sum 1 in each column.
    """

    X: Any
    index: NDArray[np.intp]
    y: NDArray[Any]
    weight: Floats
    offset: Floats | None = None

    def match(self, estimator: Any, nets: Sequence[WeightedNet]) -> None:
        """Give each net the shift with which its predictions have the mean of y."""
        weight = torch.from_numpy(self.weight)
        mean = torch.from_numpy(estimator._task.mean_to_match(self.y, self.weight))
        offset, gaps = estimator._task.offset_of_scores(self.offset), []
        for net in nets:
            raw = self._raw_scores(net, offset)
            shift, gap = estimator._matching_shift(net, raw, weight, mean)
            is_finite = bool(shift.isfinite().all())
            net.score_shift_ = shift.numpy() if is_finite else None
            gaps.append(gap if is_finite else np.inf)
        largest = float(np.max(gaps))  # NaN if one of them is
        if not largest <= TOLERANCE:
            warn(
                "match_mean=True: the weighted mean of the predictions still differs from that of "
                f"y, relatively by {largest:.1e}, because the scores of some rows are too large "
                "to be shifted more exactly."
            )

    def _raw_scores(self, net: WeightedNet, offset: Floats | None) -> torch.Tensor:
        """Raw scores of the distinct rows with their offsets, without a shift.

        All of X is predicted as the user will do it, in the same order and chunks: the kernels of
        some processors round a row by its place, which the mean would show.
        """
        device = torch.device(net.device)
        output = predict(net.module_, self.X, device, as_integers=net.takes_integers)
        output = output[torch.from_numpy(self.index)]
        if offset is None:
            return output
        return add_offset(output, net.criterion_.scaled_offset(torch.from_numpy(offset)))


def plan_balance(estimator: Any, task: Any, criterion: RowLoss, rows: DistinctRows) -> Any:
    """The balance of a fit on these rows; None unless the estimator asks for it."""
    if not estimator.match_mean:
        return None
    _check_has_mean(estimator, criterion)
    power = estimator.sample_weight_power
    weight = task.weight_of_predictions(rows, power, getattr(estimator, "correct_prior", False))
    weight = weight.reshape(len(weight), -1)
    task.check_means(rows.y, weight)
    return Balance(rows.X, rows.index, rows.y, weight / weight.sum(axis=0), rows.offset)


def _check_has_mean(estimator: Any, criterion: RowLoss) -> None:
    """Refuse a criterion whose best constant prediction is not the weighted mean of y."""
    traits, of_numbers = criterion.traits, is_regressor(estimator)
    # In a regression, the output under a loss of logits is no prediction of y.
    has_mean = traits.has_mean and (traits.units != "as_given") == of_numbers
    if has_mean and not traits.own_weight:
        return
    named = [f'"{name}"' for name, kind in estimator._criteria.items() if kind.traits.has_mean]
    listed = ", ".join([*named, *(_OF_NUMBERS if of_numbers else _OF_CLASSES)])
    hint = (
        ""
        if of_numbers
        else ", without label smoothing and without class weights of its own (pass these as "
        "class_weight)"
    )
    given = f"criterion={estimator.criterion!r}"
    faults = [
        f"criterion__{name}={value!r}" for name, value in estimator._params_for("criterion").items()
    ]
    raise ValueError(
        "match_mean=True needs a criterion whose best constant prediction is the weighted mean of "
        f"y: {listed}{hint}, got {', '.join([given, *faults])}."
    )
