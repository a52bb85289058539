"""A criterion as training uses it: exactly one loss per row."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skweight._keywords import is_out_of_memory, name_of
from skweight.losses.base import ClassLoss, CriterionError, TargetLoss, Traits, as_columns
from skweight.losses.class_means import matching_shift_of_classes
from skweight.losses.classification import ClassLink, to_columns
from skweight.losses.offsets import add_offset, log_mean_ratio
from skweight.losses.reduction import mean_of_columns, width
from skweight.losses.regression import exponential
from skweight.losses.torch_losses import traits_of
from skweight.losses.units import TriedLoss, quantiles

# A class without weight gets this prior as a start, instead of a score of minus infinity.
_SMALLEST_PRIOR = 1e-6


class RowLoss(nn.Module):
    """A criterion, made to return exactly one loss per row.

    Parameters
    ----------
    criterion : nn.Module or callable
        ``(output, target)`` -> Tensor of shape (n,) or (n, ...); trailing dimensions are
        averaged.

    Attributes
    ----------
    traits : Traits
        Requirements of the criterion on y and on the network.
    per_column : bool
        Whether every column of the output has a target and a weight of its own, as
        labels have under class weights. Then losses keep the shape of the output.
    adjustment : Tensor of shape (n_classes,) or (n_labels, 2), or None
        Added to the scores of the classes, see :meth:`adjust`.
    more_rows_follow : bool
        Whether this is a call of ``partial_fit``: a class that has no weight now may still come.
    location, scale, loss_unit : Tensor or None
        Units of a criterion that compares predictions with y itself, see :meth:`learn_units`.
    """

    adjustment: Tensor | None
    location: Tensor | None
    scale: Tensor | None
    loss_unit: Tensor | None
    start: Tensor | None

    def __init__(self, criterion: Any) -> None:
        super().__init__()
        self.criterion = criterion
        self.traits = traits_of(criterion)
        self.per_column = False
        self.more_rows_follow = False
        self.has_own_link = False
        for name in ("adjustment", "location", "scale", "loss_unit", "start"):
            self.register_buffer(name, None)

    def adjust(self, adjustment: Tensor) -> None:
        """Add ``adjustment`` to the scores before the criterion: logit adjustment.

        References
        ----------
        A. K. Menon et al., Long-tail learning via logit adjustment, ICLR 2021.
        """
        self.adjustment = adjustment.to(torch.float32)

    # Units of y -------------------------------------------------------------------------

    @property
    def compares_with_y(self) -> bool:
        """Whether a criterion of a regression gets y as it is, and not rescaled."""
        return self.traits.units == "as_given" and not isinstance(self.criterion, TargetLoss)

    def learn_units(
        self, target: Tensor, row_weight: Tensor, output: Tensor, offset: Tensor | None = None
    ) -> None:
        """Learn location and scale of the predictions that the criterion compares with y.

        The criterion gets ``location + scale * output`` in float64, which holds every digit of y,
        and its losses are divided by that of an error of one ``scale``. So neither the training
        nor the recorded losses depend on the units of y. A criterion with a link of its own, whose
        best score for y is another number than y, gets the output as it is, and its losses are
        divided by that of the best constant.

        Units that are known from an earlier fit are kept.

        Parameters
        ----------
        target : Tensor of shape (n,) or (n, n_targets)
        row_weight : Tensor of shape (n,)
        output : Tensor of shape (m,) or (m, n_targets)
            Of the network, for any rows: the criterion is tried on scores of this shape.
        offset : Tensor of shape (n, n_targets), default=None
            In units of y: location and scale are those of what it leaves of y.
        """
        if self.loss_unit is not None:
            return
        # MPS has no float64.
        to = output.device, torch.float32 if output.device.type == "mps" else torch.float64
        if isinstance(self.criterion, nn.Module):
            self.criterion.to(*to)
        # On the CPU: not every device keeps the order of a sum.
        y, weight = target.cpu().double().reshape(len(target), -1), row_weight.cpu().double()
        tried = TriedLoss(
            lambda predicted, y: self.criterion(predicted.to(*to), y.to(*to)),
            y,
            weight,
            tuple(output.shape[1:]),
            torch.zeros_like(y) if offset is None else offset.cpu().double(),
        )
        continues = self.location is not None
        if self.location is None and self.traits.positive:  # no prediction may be negative
            mean = weight @ y / weight.sum()
            self.location, self.scale = torch.zeros_like(mean), torch.where(mean > 0, mean, 1.0)
        try:
            units = tried.units(self.location, self.scale)
        except (RuntimeError, ValueError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            raise CriterionError(
                f"criterion {name_of(self.criterion)} failed on output and target of {to[1]}, in "
                "which a loss gets them that compares predictions with y itself. Give its own "
                f"tensors the dtype of the output, as in weight.to(output): {error}"
            ) from error
        if continues and units.has_own_link != self.has_own_link:
            raise CriterionError(
                "warm_start=True continues with the network of the last fit, whose output does not "
                f"mean what criterion {name_of(self.criterion)} needs."
            )
        self.has_own_link = units.has_own_link
        for name in ("location", "scale", "loss_unit", "start"):
            setattr(self, name, getattr(units, name).to(*to))

    def keep_units_of(self, previous: "RowLoss") -> None:
        """Use location and scale of an earlier fit, whose network is trained further."""
        self.location, self.scale = previous.location, previous.scale
        self.has_own_link = previous.has_own_link

    def in_units_of_y(self, output: Tensor) -> Tensor:
        """Predictions of y from the output of the network, once units are known."""
        if self.location is None or self.scale is None:
            return output
        dtype = torch.promote_types(output.dtype, self.scale.dtype)
        scale, location = (part.to(output.device, dtype) for part in (self.scale, self.location))
        return output * scale + location

    # Offsets ----------------------------------------------------------------------------

    def scaled_offset(self, offset: Tensor) -> Tensor:
        """An offset in units of raw scores: that of predictions in units of y is divided."""
        return offset if self.scale is None else offset / self.scale.to(offset)

    def with_offset(self, output: Tensor, offset: Tensor) -> Tensor:
        """Raw scores of shape (..., n, n_outputs) or (..., n) with the offset of their rows.

        In the precision of the offset, which is float64 for a criterion that compares predictions
        with y itself. Shapes of the offset are those of :func:`add_offset`.
        """
        output = add_offset(output, self.scaled_offset(offset))
        return output.log_softmax(dim=-1) if self.traits.takes_log_probabilities else output

    def without_effect(self, constant: Tensor, neutral: Tensor) -> Tensor:
        """Constant raw scores whose predictions are the offset alone.

        Spreads of y remain as in ``constant``. ``neutral`` has one number, or one for each target;
        scores that are compared with y itself have units of their own, in which it is not used.
        """
        if self.scale is not None and self.location is not None:
            return -(self.location / self.scale).cpu()
        columns = constant.reshape(-1, self.traits.n_columns).clone()
        columns[:, : self.traits.n_columns - self.traits.n_spreads] = neutral[:, None]
        return columns.reshape(-1)

    # Losses -----------------------------------------------------------------------------

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        output : Tensor of shape (n,) or (n, k)
        target : Tensor of shape (n,) or (n, n_targets)
            Floats; integer class codes of shape (n,); or integers 0 and 1 of labels, shape
            (n, n_labels). The criterion gets them in the shape of the output, so that shapes
            (n,) and (n, 1) are never broadcast, except class codes of several columns.

        Returns
        -------
        Tensor of shape (n,), or that of the output if ``per_column``
        """
        if isinstance(self.criterion, TargetLoss):
            target = target.to(output.dtype).reshape(len(output), -1)
            return mean_of_columns(self.criterion(self.by_target(output), target))
        if self.loss_unit is not None:
            predicted = self.in_units_of_y(output)
            losses = self.criterion(predicted, target.to(predicted).reshape(output.shape))
            return self._per_row(output, losses, self.loss_unit).to(output.dtype)
        if self.adjustment is not None:
            output = output + to_columns(self.adjustment, width(output))
            if self.traits.takes_log_probabilities:
                output = output.log_softmax(dim=1)
        if target.is_floating_point() or target.ndim > 1 or width(output) == 1:
            target = target.to(output.dtype).reshape(output.shape)
        return self._per_row(output, self.criterion(output, target))

    def _per_row(self, output: Tensor, loss: Any, unit: Tensor | None = None) -> Tensor:
        """The criterion's losses in a unit, one for each row of the output or each label."""
        sizes = (width(output),) if self.per_column else (1, width(output))
        if (
            not isinstance(loss, Tensor)
            or loss.ndim == 0
            or len(loss) != len(output)
            or width(loss) not in sizes
        ):
            raise self._wrong_shape(output, loss)
        loss = loss if unit is None else loss / unit
        return loss if self.per_column else mean_of_columns(loss)

    def _wrong_shape(self, output: Tensor, loss: Any) -> CriterionError:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        if self.per_column:
            return CriterionError(
                "criterion must return one loss per row and label, so that class_weight can be "
                f"applied to labels: expected shape {tuple(output.shape)}, got {got}."
            )
        built = isinstance(self.criterion, nn.Module)
        name = f"nn.{type(self.criterion).__name__}" if built else "nn.HuberLoss"
        return CriterionError(
            "criterion must return one loss per row, so that weights can be applied to "
            f"it: expected shape ({len(output)},) or {tuple(output.shape)}, got {got} from "
            f"{name_of(self.criterion)}. Pass "
            f"the loss class itself ({name}, not {name}()), or build it with "
            'reduction="none", or leave out the final mean or sum. The target comes in the '
            "shape of the output, so do not squeeze only one of them."
        )

    def check(self, output: Tensor, target: Tensor) -> None:
        """Try the criterion on a few rows; raise CriterionError if it cannot be used for them.

        Shapes are those of :meth:`forward`.
        """
        name = name_of(self.criterion)
        _check_suits(self.traits, name, output, target)
        try:
            with torch.enable_grad():
                losses = self(output.detach().requires_grad_() * 1, target)
        except CriterionError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            raise CriterionError(
                f"criterion {name} failed on output of shape {tuple(output.shape)} and target of "
                f"shape {tuple(target.shape)}, {target.dtype}: {error}"
            ) from error
        _check_differentiable(losses, name)
        has_one_logit = not target.is_floating_point() and target.ndim == 1 and width(output) == 1
        if has_one_logit and not isinstance(self.criterion, ClassLoss):
            _check_depends_on_logit(self, name, output)

    # Scores -----------------------------------------------------------------------------

    def predictions(self, raw: Tensor) -> Tensor:
        """Raw scores -> predictions in the units of training.

        Parameters
        ----------
        raw : Tensor of shape (n,) or (n, n_targets * n_columns)

        Returns
        -------
        Tensor of shape (n, n_targets), or (n, n_targets, n_levels) for several quantiles
        """
        scores = self.in_units_of_y(self.by_target(raw))
        if isinstance(self.criterion, TargetLoss):
            return self.criterion.mean(scores)
        return exponential(scores) if self.traits.log_link else scores

    def by_target(self, raw: Tensor) -> Tensor:
        """Raw scores in the shape (n, n_targets) or (n, n_targets, n_columns)."""
        raw, n_columns = as_columns(raw), self.traits.n_columns
        if n_columns == 1:
            return raw
        return raw.reshape(raw.shape[0], raw.shape[1] // n_columns, n_columns)

    def constant(
        self, target: Tensor, row_weight: Tensor, n_outputs: int, offset: Tensor | None = None
    ) -> Tensor:
        """Raw scores of a model that ignores X, from which training starts.

        Parameters
        ----------
        target : Tensor of shape (n,) or (n, n_targets)
        row_weight : Tensor of shape (n,) or (n, n_labels)
        n_outputs : int
        offset : Tensor of shape (n, n_offsets), default=None
            What is added to the scores of each row.

        Returns
        -------
        Tensor of shape (n_outputs,), float64
        """
        # On the CPU: not every device has float64, nor keeps the order of a sum.
        target, weight = target.cpu(), row_weight.cpu().double()
        offset = None if offset is None else offset.cpu().double()
        if not target.is_floating_point():
            return self._log_priors(target, weight, n_outputs, offset)
        if self.start is not None:
            return self.start
        target = target.double().reshape(len(target), -1)
        if offset is not None and self.traits.power is not None:
            return self._log_means(target, weight, offset, self.traits.power)
        if isinstance(self.criterion, TargetLoss):
            return torch.cat([self.criterion.constant(y, weight) for y in target.T])
        if self.traits.units == "robust":
            return torch.cat([quantiles(y, weight, [0.5]) for y in target.T])
        mean = (weight @ target / weight.sum()).expand(n_outputs)
        if not self.traits.log_link:
            return mean
        return mean.clamp(min=torch.finfo(torch.float32).tiny).log()  # a mean of 0 has none

    def _log_means(self, target: Tensor, weight: Tensor, offset: Tensor, power: float) -> Tensor:
        """Best constants beside an offset under a deviance, one for each target."""
        pairs = zip(target.T, offset.T)
        logs = torch.stack([log_mean_ratio(y, weight, of_target, power) for y, of_target in pairs])
        return logs.clamp(min=math.log(torch.finfo(torch.float32).tiny))  # a mean of 0 has none

    def _log_priors(
        self, codes: Tensor, weight: Tensor, n_outputs: int, offset: Tensor | None = None
    ) -> Tensor:
        """Log-priors of the classes or labels less the adjustment, one for each output.

        Beside an offset, the scores with which probabilities have the priors as their means.
        """
        if codes.ndim == 1:
            mass = weight.new_zeros(max(n_outputs, 2)).index_add_(0, codes, weight)
        else:
            weight = weight.reshape(len(codes), -1)
            mass = torch.stack([(weight * (codes == c)).sum(0) for c in (0, 1)], dim=1)
        if self.more_rows_follow:  # a class that is missing now may still come, and be frequent
            mass = torch.where((mass == 0).any(-1, keepdim=True), 1.0, mass)
        prior = (mass / mass.sum(-1, keepdim=True)).clamp(min=_SMALLEST_PRIOR)
        scores = prior.log() if offset is None else _beside_offset(prior, weight, offset)
        if self.adjustment is not None:
            scores = scores - self.adjustment.cpu()
        return to_columns(scores, n_outputs)


def _beside_offset(prior: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """Scores of classes or labels whose mean probabilities beside an offset are the priors.

    They have the smallest cross entropy of all constants. ``prior`` has the shape (n_classes,) or
    (n_labels, 2), and so has the result.
    """
    prior, weight = prior / prior.sum(-1, keepdim=True), weight.reshape(len(offset), -1)
    link = ClassLink(None, multilabel=prior.ndim == 2)
    mean = prior[:, 1] if link.multilabel else prior
    scores, _ = matching_shift_of_classes(link, offset, weight / weight.sum(dim=0), mean)
    if len(scores) < prior.numel():  # log-odds of the second of two
        scores = torch.stack([-scores / 2, scores / 2], dim=-1)
    return scores.reshape(prior.shape)


class NumberLink:
    """Raw scores -> :meth:`RowLoss.predictions`."""

    def __init__(self, criterion: RowLoss) -> None:
        self.criterion = criterion

    def __call__(self, raw: Tensor) -> Tensor:
        """Predictions in the units of training."""
        return self.criterion.predictions(raw)


def _check_suits(traits: Traits, name: str, output: Tensor, target: Tensor) -> None:
    """Refuse a criterion whose traits do not fit the scores or y."""
    has_classes = not target.is_floating_point()
    if traits.takes_probabilities:
        raise CriterionError(
            f"criterion must take raw scores, but {name} takes probabilities: pass "
            "nn.BCEWithLogitsLoss and a module without a final sigmoid."
        )
    if traits.for_numbers and has_classes:
        raise CriterionError(
            f"criterion must be a loss of class scores for a classifier, got {name}, which "
            "compares numbers."
        )
    if traits.one_column_per_class and has_classes and target.ndim > 1:
        raise CriterionError(
            f"criterion must score each label by itself for multilabel y, got {name}, which is "
            "for one class per row: pass nn.BCEWithLogitsLoss."
        )
    if traits.takes_log_probabilities and output.exp().sum(1).sub(1).abs().max() > 1e-3:
        raise CriterionError(
            f"criterion {name} takes logarithms of probabilities, which the module does not "
            "return: pass nn.CrossEntropyLoss and a module that returns raw scores, or a module "
            "that ends with nn.LogSoftmax. skorch takes the logarithms itself, skweight does not."
        )


def _check_differentiable(losses: Tensor, name: str) -> None:
    """Refuse losses from which nothing can be learned."""
    if not losses.is_floating_point():
        raise CriterionError(
            f"criterion {name} must return losses that are real numbers, got {losses.dtype}."
        )
    if not losses.requires_grad:
        raise CriterionError(
            f"criterion {name} must return losses with a gradient by the output, got losses "
            "without one. Compute them from the output by functions of torch, without detach() "
            "and NumPy."
        )


def _check_depends_on_logit(
    loss: Callable[[Tensor, Tensor], Tensor], name: str, output: Tensor
) -> None:
    """Refuse a softmax over one column: it is 1 whatever the logit, and nothing is learned."""
    shape = (8, *output.shape[1:])
    logits = torch.linspace(-2, 2, 8, device=output.device).reshape(shape).requires_grad_()
    total = loss(logits, torch.arange(8, device=output.device) % 2).sum()
    if not total.requires_grad or not bool(torch.autograd.grad(total, logits)[0].any()):
        raise CriterionError(
            f"criterion {name} does not depend on the one column of logits that a binary y "
            "has. If it wants one column per class, pass a module that returns 2 columns."
        )
