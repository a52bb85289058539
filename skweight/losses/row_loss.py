"""A criterion as training uses it: exactly one loss per row."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight._keywords import name_of, unwrap
from skweight.losses.base import ClassLoss, TargetLoss
from skweight.losses.classification import to_columns
from skweight.losses.reduction import mean_of_columns, width
from skweight.losses.regression import TweedieDeviance, exponential

# Losses that need a column for each class, two for a binary problem as well.
_ONE_COLUMN_PER_CLASS = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
_ONE_COLUMN_PER_CLASS_FUNCTIONS = (F.cross_entropy, F.nll_loss, F.multi_margin_loss)
# Losses whose minimiser follows the target when it is shifted and scaled, and that have
# no threshold in the units of the target: the target may be standardised under them.
_LOCATION_SCALE = (nn.MSELoss, nn.L1Loss)
_FOR_NUMBERS = (*_LOCATION_SCALE, nn.HuberLoss, nn.SmoothL1Loss, nn.PoissonNLLLoss)
# Losses of margins: what they are minimised by is no function of the probability.
_MARGIN_LOSSES = (nn.MultiMarginLoss, nn.SoftMarginLoss, nn.HingeEmbeddingLoss)
_MARGIN_FUNCTIONS = (F.multi_margin_loss, F.soft_margin_loss, F.hinge_embedding_loss)
# A class without mass gets this prior as a start, instead of a score of minus infinity.
_SMALLEST_PRIOR = 1e-6


class CriterionError(ValueError):
    """A criterion returned something else than one loss per row."""


class RowLoss(nn.Module):
    """A criterion, made to return exactly one loss per row.

    Parameters
    ----------
    criterion : nn.Module or callable
        ``(output, target)`` -> Tensor of shape (n,) or (n, ...); trailing dimensions are
        averaged.

    Attributes
    ----------
    per_column : bool
        Whether every column of the output has a target and a weight of its own, as
        labels have under class weights. Then losses keep the shape of the output.
    offset : Tensor of shape (n_classes,) or (n_labels, 2), or None
        Added to the scores of the classes, see :meth:`adjust`.
    of_a_stream : bool
        Whether rows are yet to come, so that a class without mass is no rare class.
    """

    offset: Tensor | None

    def __init__(self, criterion: Any) -> None:
        super().__init__()
        self.criterion = criterion
        self.per_column = False
        self.of_a_stream = False
        self.register_buffer("offset", None)

    def adjust(self, offset: Tensor) -> None:
        """Add ``offset`` to the scores before the criterion: logit adjustment.

        References
        ----------
        A. K. Menon et al., Long-tail learning via logit adjustment, ICLR 2021.
        """
        self.offset = offset.to(torch.float32)

    @property
    def traits(self) -> "RowLoss":
        """What the estimators must know about the loss; becomes data of its own."""
        return self

    @property
    def one_column_per_class(self) -> bool:
        """Whether even a binary problem needs two columns of scores."""
        function = unwrap(self.criterion)[0]
        return (
            isinstance(self.criterion, _ONE_COLUMN_PER_CLASS)
            or function in _ONE_COLUMN_PER_CLASS_FUNCTIONS
        )

    @property
    def binary_only(self) -> bool:
        """Whether there is no form of the loss for more than two classes."""
        return bool(getattr(self.criterion, "binary_only", False))

    @property
    def positive(self) -> str | None:
        """What targets must be: None, "non-negative" or "positive"."""
        return "non-negative" if self._is_poisson else getattr(self.criterion, "positive", None)

    @property
    def power(self) -> float | None:
        """Power of the deviance that the loss is, if it is one."""
        if isinstance(self.criterion, TweedieDeviance):
            return self.criterion.power
        return 1.0 if self._is_poisson else None

    @property
    def _is_poisson(self) -> bool:
        """Whether it is torch's own Poisson loss of logarithms of rates."""
        return isinstance(self.criterion, nn.PoissonNLLLoss) and bool(self.criterion.log_input)

    @property
    def n_columns(self) -> int:
        """Number of raw scores for each target of a regression."""
        return self.criterion.n_columns if isinstance(self.criterion, TargetLoss) else 1

    @property
    def units(self) -> str:
        """What targets are brought to: "standardised", "mean_one", or "as_given"."""
        if isinstance(self.criterion, TargetLoss):
            return self.criterion.units
        if self._is_poisson:
            return "mean_one"
        return "standardised" if isinstance(self.criterion, _LOCATION_SCALE) else "as_given"

    @property
    def log_link(self) -> bool:
        """Whether predictions are exponentials of the scores."""
        return self.power is not None

    @property
    def own_weight(self) -> str | None:
        """Name of the class weights that the criterion brings along, if it does."""
        function, keywords = unwrap(self.criterion)
        for name in ("weight", "pos_weight"):
            if keywords.get(name, getattr(function, name, None)) is not None:
                return name
        return None

    @property
    def has_probabilities(self) -> bool:
        """Whether scores that minimise the loss tell the probabilities of the classes."""
        function, keywords = unwrap(self.criterion)
        smoothing = keywords.get("label_smoothing", getattr(function, "label_smoothing", 0))
        of_margins = isinstance(function, _MARGIN_LOSSES) or function in _MARGIN_FUNCTIONS
        return not (smoothing or of_margins)

    def predictions(self, raw: Tensor) -> Tensor:
        """Raw scores -> predictions in the units of training.

        Parameters
        ----------
        raw : Tensor of shape (n,) or (n, n_targets * n_columns)

        Returns
        -------
        Tensor of shape (n, n_targets), or (n, n_targets, n_levels) for several quantiles
        """
        scores = self.by_target(raw)
        if isinstance(self.criterion, TargetLoss):
            return self.criterion.mean(scores)
        return exponential(scores) if self.log_link else scores

    def by_target(self, raw: Tensor) -> Tensor:
        """Raw scores in the shape (n, n_targets) or (n, n_targets, n_columns)."""
        columns = (self.n_columns,) if self.n_columns > 1 else ()
        return raw.reshape(len(raw), -1, *columns)

    def constant(self, target: Tensor, row_weight: Tensor, n_outputs: int) -> Tensor:
        """Raw scores of a model that ignores X, to start from.

        Parameters
        ----------
        target : Tensor of shape (n,) or (n, n_targets)
        row_weight : Tensor of shape (n,) or (n, n_labels)
        n_outputs : int

        Returns
        -------
        Tensor of shape (n_outputs,), float64
        """
        # On the CPU: not every device has float64, nor keeps the order of a sum.
        target, weight = target.cpu(), row_weight.cpu().double()
        if not target.is_floating_point():
            return self._constant_classes(target, weight, n_outputs)
        target = target.double().reshape(len(target), -1)
        if isinstance(self.criterion, TargetLoss):
            return torch.cat([self.criterion.constant(y, weight) for y in target.T])
        mean = (weight @ target / weight.sum()).expand(n_outputs)
        # Zeros alone have no logarithm of their mean.
        return mean.clamp(min=torch.finfo(torch.float32).tiny).log() if self.log_link else mean

    def _constant_classes(self, codes: Tensor, weight: Tensor, n_outputs: int) -> Tensor:
        """Log-priors of shape (n_classes,), or (n_labels, 2) where codes are of labels."""
        if codes.ndim == 1:
            mass = weight.new_zeros(max(n_outputs, 2)).index_add_(0, codes, weight)
        else:
            weight = weight.reshape(len(codes), -1)
            mass = torch.stack([(weight * (codes == c)).sum(0) for c in (0, 1)], dim=1)
        if self.of_a_stream:  # rows that lack a class tell nothing of how frequent it is
            mass = torch.where((mass == 0).any(-1, keepdim=True), 1.0, mass)
        scores = (mass / mass.sum(-1, keepdim=True)).clamp(min=_SMALLEST_PRIOR).log()
        if self.offset is not None:
            scores = scores - self.offset.cpu()
        return to_columns(scores, n_outputs)

    def check(self, output: Tensor, target: Tensor) -> None:
        """Try the criterion on a few rows, so that it fails here and by name if at all.

        Parameters
        ----------
        output : Tensor of shape (n,) or (n, k)
        target : Tensor of shape (n,) or (n, n_targets)

        Raises
        ------
        ValueError
            If it raises an error, does not return one loss per row, does not take raw scores,
            or cannot tell two classes apart by one column of logits.
        """
        name = name_of(self.criterion)
        if isinstance(self.criterion, nn.BCELoss):
            raise ValueError(
                "criterion must take raw scores, but BCELoss takes probabilities: pass "
                "nn.BCEWithLogitsLoss and a module without a final sigmoid."
            )
        if isinstance(self.criterion, _FOR_NUMBERS) and not target.is_floating_point():
            raise ValueError(
                f"criterion must be a loss of class scores for a classifier, got {name}, which "
                "compares numbers."
            )
        if self.one_column_per_class and not target.is_floating_point() and target.ndim > 1:
            raise ValueError(
                f"criterion must score each label by itself for multilabel y, got {name}, which is "
                "for one class per row: pass nn.BCEWithLogitsLoss."
            )
        if isinstance(self.criterion, nn.NLLLoss) and output.exp().sum(1).sub(1).abs().max() > 1e-3:
            raise ValueError(
                "criterion NLLLoss takes logarithms of probabilities, which the module does not "
                "return: pass nn.CrossEntropyLoss, or a module that ends with nn.LogSoftmax."
            )
        try:
            self(output, target)
        except CriterionError:
            raise
        except (RuntimeError, ValueError, TypeError) as error:
            if str(error).startswith("criterion"):  # it says itself what it wants
                raise
            raise ValueError(
                f"criterion {name} failed on output of shape {tuple(output.shape)} and target of "
                f"shape {tuple(target.shape)}, {target.dtype}: {error}"
            ) from error
        known = isinstance(self.criterion, ClassLoss)
        if not (known or target.is_floating_point() or target.ndim > 1 or width(output) > 1):
            self._check_binary(name, output)

    def _check_binary(self, name: str, output: Tensor) -> None:
        """A softmax over one column is 1 whatever the logit: nothing could be learned."""
        shape = (8, *output.shape[1:])
        logits = torch.linspace(-2, 2, 8, device=output.device).reshape(shape).requires_grad_()
        loss = self(logits, torch.arange(8, device=output.device) % 2).sum()
        if not loss.requires_grad or not bool(torch.autograd.grad(loss, logits)[0].any()):
            raise ValueError(
                f"criterion {name} does not depend on the one column of logits that a binary y "
                "has. If it wants one column per class, pass a module that returns 2 columns."
            )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        output : Tensor of shape (n,) or (n, k)
        target : Tensor of shape (n,) or (n, n_targets)
            Floats; integer class codes of shape (n,); or integers 0 and 1 of labels, shape
            (n, n_labels). The criterion gets them in the shape of the output, so that (n,)
            never meets (n, 1), and codes stay codes only beside several columns.

        Returns
        -------
        Tensor of shape (n,), or that of the output if ``per_column``
        """
        if isinstance(self.criterion, TargetLoss):
            return self._of_targets(output, target)
        if self.offset is not None:
            output = output + to_columns(self.offset, width(output))
            if isinstance(self.criterion, nn.NLLLoss) or unwrap(self.criterion)[0] is F.nll_loss:
                output = output.log_softmax(dim=1)  # it takes log-probabilities as they come
        if target.is_floating_point() or target.ndim > 1 or width(output) == 1:
            target = target.to(output.dtype).reshape(output.shape)
        loss = self.criterion(output, target)
        sizes = (width(output),) if self.per_column else (1, width(output))
        if (
            not isinstance(loss, Tensor)
            or loss.ndim == 0
            or len(loss) != len(output)
            or width(loss) not in sizes
        ):
            raise self._wrong_shape(output, loss)
        return loss if self.per_column else mean_of_columns(loss)

    def _of_targets(self, output: Tensor, target: Tensor) -> Tensor:
        target = target.to(output.dtype).reshape(len(output), -1)
        return mean_of_columns(self.criterion(self.by_target(output), target))

    def _wrong_shape(self, output: Tensor, loss: Any) -> CriterionError:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        built = isinstance(self.criterion, nn.Module)
        name = f"nn.{type(self.criterion).__name__}" if built else "nn.HuberLoss"
        if self.per_column:
            return CriterionError(
                "criterion must return one loss per row and label, so that class_weight can be "
                f"applied to labels: expected shape {tuple(output.shape)}, got {got}."
            )
        return CriterionError(
            "criterion must return one loss per row, so that weights can be applied to "
            f"it: expected shape ({len(output)},) or {tuple(output.shape)}, got {got}. Pass "
            f"the loss class itself ({name}, not {name}()), or build it with "
            'reduction="none", or leave out the final mean or sum. The target comes in the '
            "shape of the output, so neither must be squeezed alone."
        )
