"""What is checked of a criterion before training, on the scores of a few rows."""

from collections.abc import Callable

import torch
from torch import Tensor

from skweight.losses.base import CriterionError, Traits


def check_suits(traits: Traits, name: str, output: Tensor, target: Tensor) -> None:
    """Refuse a criterion that by its traits is for other scores or for another y."""
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
            "return: pass nn.CrossEntropyLoss, or a module that ends with nn.LogSoftmax."
        )


def check_depends_on_logit(
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
