"""A fitted estimator as one module of torch: raw columns in, probabilities or predictions out.

It computes what ``predict_proba`` or ``predict`` do, without their checks, and without the padding
of rows that makes the output of a row independent of the rows beside it: results differ by the
rounding of float32 in the network.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from skweight.estimators.number_task import NumberTask
from skweight.losses import add_offset, as_columns
from skweight.training import WeightedNet


class ExportedMember(nn.Module):
    """One network with all that is between its output and probabilities or predictions.

    ``link`` is that of a net whose tensors are on the CPU.
    """

    score_shift: Tensor | None

    def __init__(self, net: WeightedNet, link: Any) -> None:
        super().__init__()
        self.network = net.module_
        self.criterion = net.criterion_
        self.takes_integers = net.takes_integers
        self.link = link
        shift = net.score_shift_
        self.register_buffer("score_shift", None if shift is None else torch.from_numpy(shift))

    def forward(self, X: Any, offset: Tensor | None) -> Tensor:
        """Probabilities or predictions in the units of training, in float64."""
        output = self._output(X)
        scores = as_columns(output).double()
        if offset is not None:
            scores = add_offset(scores, self.criterion.scaled_offset(offset))
        linked: Tensor = self.link(
            scores if self.score_shift is None else scores + self.score_shift
        )
        return linked

    def _output(self, X: Any) -> Tensor:
        if isinstance(X, dict):
            inputs = {n: x.float() if x.is_floating_point() else x.long() for n, x in X.items()}
            return self.network(**inputs)  # type: ignore[no-any-return]
        output: Tensor = self.network(X.long() if self.takes_integers else X.float())
        return output


class ExportedModel(nn.Module):
    """What a fitted estimator predicts, as a module that is complete in itself.

    Made by ``to_module`` of an estimator. It is in evaluation mode, on the CPU, and not to be
    trained.

    Notes
    -----
    **Input.** ``X`` of shape (n, n_features) as ``encode_columns`` gives it: float64 (float32 is
    taken too), categories as codes, NaN for missing numbers. For a module of your own X of shape
    (n, ...), or a dict of inputs. ``offset`` of shape (n, n_offsets), or (n,) if there is one
    number a row, and only after a fit with an offset.

    **Output.** float64, as ``predict_proba`` of a classifier and ``predict`` of a regressor.
    """

    shift: Tensor | None

    def __init__(self, members: list[ExportedMember], shift: Any, has_offset: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.has_offset = has_offset
        self.register_buffer("shift", None if shift is None else torch.from_numpy(shift))

    def forward(self, X: Any, offset: Tensor | None = None) -> Tensor:
        """Probabilities or predictions for raw columns."""
        if (offset is None) is self.has_offset:
            expected = "a tensor, as in fit" if self.has_offset else "None, as in fit"
            raise ValueError(f"offset must be {expected}, got {type(offset).__name__}.")
        if self.shift is not None:
            X = X.double() - self.shift
        offset = None if offset is None else as_columns(offset.double())
        of_scores = self.offset_of_scores(offset)
        total = self.members[0](X, of_scores)
        for member in [*self.members][1:]:
            total = total + member(X, of_scores)
        return self.finish(total / len(self.members), offset)

    def offset_of_scores(self, offset: Tensor | None) -> Tensor | None:
        """The part of an offset that is added to raw scores."""
        return offset

    def finish(self, values: Tensor, offset: Tensor | None) -> Tensor:
        """Mean probabilities as they are."""
        return values


class ExportedRegressor(ExportedModel):
    """The same for numbers, whose predictions are put in the units and the shape of y."""

    location: Tensor
    scale: Tensor
    offset_location: Tensor

    def __init__(self, members: list[ExportedMember], shift: Any, task: NumberTask) -> None:
        super().__init__(members, shift, task.has_offset)
        self.has_columns = bool(task.target_shape)
        self.adds_offset_to_predictions = task.traits.of_residuals
        units = task.learned_units
        self.register_buffer("location", torch.from_numpy(units.location))
        self.register_buffer("scale", torch.from_numpy(units.scale))
        self.register_buffer("offset_location", torch.from_numpy(units.offset))

    def offset_of_scores(self, offset: Tensor | None) -> Tensor | None:
        """None if the offset is added to predictions instead."""
        if offset is None or self.adds_offset_to_predictions:
            return None
        return offset - self.offset_location

    def finish(self, values: Tensor, offset: Tensor | None) -> Tensor:
        """Mean predictions of shape (n, n_targets, ...) in units of y, with the offset."""
        trailing = (1,) * (values.ndim - 2)
        values = values * self.scale.reshape(-1, *trailing) + self.location.reshape(-1, *trailing)
        if offset is not None and self.adds_offset_to_predictions:
            values = values + offset.reshape(*offset.shape, *trailing)
        return values if self.has_columns else values[:, 0]


def to_module(estimator: Any) -> ExportedModel:
    """The module of a fitted estimator; nothing of it is shared with the estimator."""
    task = estimator._task
    nets = [copy.deepcopy(net) for net in estimator.nets_]  # copies are on the CPU
    members = [ExportedMember(net, estimator._link_of_values(net)) for net in nets]
    shift = copy.copy(estimator._encoding.shift)
    if isinstance(task, NumberTask):
        module: ExportedModel = ExportedRegressor(members, shift, copy.deepcopy(task))
    else:
        module = ExportedModel(members, shift, task.has_offset)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.data = tensor.clone()  # training keeps parameters as parts of a longer tensor
    return module.eval().requires_grad_(False)
