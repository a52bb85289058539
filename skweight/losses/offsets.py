"""Offsets: numbers that are added to the raw scores of each row, and the best constant beside them.

An offset has one number for each target, label or class, and one for two classes, whose difference
of scores it is.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from skweight.losses.base import average

# Newton's method doubles the correct digits in each step, once it is near.
_MOST_STEPS, _SMALLEST_GRADIENT = 50, 1e-13
# Steps are halved at most so often, until the loss is lower.
_MOST_HALVINGS = 40


def add_offset(output: Tensor, offset: Tensor) -> Tensor:
    """Raw scores with their offset.

    Parameters
    ----------
    output : Tensor of shape (..., n_outputs) or (...)
    offset : Tensor of shape (..., n_offsets)
        ``n_offsets`` is ``n_outputs``, or 1 for the two scores of two classes.
    """
    if output.numel() == 2 * offset.numel():  # of the second class
        offset = F.pad(offset, (1, 0))
    return output + offset.reshape(output.shape)


def log_mean_ratio(target: Tensor, weight: Tensor, offset: Tensor, power: float) -> Tensor:
    """The constant ``z`` with the smallest deviance of means ``exp(z + offset)``, shape ().

    ``e^z = sum w y e^((1-p) o) / sum w e^((2-p) o)`` for the variance power p: the derivative of
    the deviance by z is 0 there. Of a target of shape (n,), with an offset of this shape.
    """
    numerator = (weight * target).log() + (1 - power) * offset
    denominator = weight.log() + (2 - power) * offset
    return numerator.logsumexp(0) - denominator.logsumexp(0)


def log_prior_ratio(prior: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """The constant scores whose mean probabilities beside offsets are the priors, (n_classes,).

    They minimise the cross entropy of models ``softmax(scores + offset)``, which is convex; their
    sum is 0.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,)
        Positive, with the sum 1.
    weight : Tensor of shape (n,)
    offset : Tensor of shape (n, n_classes)
    """
    scores = prior.log() - average_of_columns(offset, weight)
    loss = _cross_entropy(scores, prior, weight, offset)
    for _ in range(_MOST_STEPS):
        probability = (scores + offset).softmax(dim=1)
        mean = average_of_columns(probability, weight)
        gradient = mean - prior
        if float(gradient.abs().max()) < _SMALLEST_GRADIENT:
            break
        product = (weight[:, None] * probability).T @ probability / weight.sum()
        # The last term rules out a common shift of all scores, which changes nothing.
        curvature = torch.diag(mean) - product + 1 / len(prior)
        step, failed = torch.linalg.solve_ex(curvature, gradient)
        if failed or not bool(step.isfinite().all()):
            break
        for _ in range(_MOST_HALVINGS):
            tried = scores - step
            found = _cross_entropy(tried, prior, weight, offset)
            if found <= loss:
                break
            step = step / 2
        else:
            break
        scores, loss = tried, found
    return scores - scores.mean()


def average_of_columns(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted averages of shape (k,) of values of shape (n, k)."""
    return torch.stack([average(column, weight) for column in values.T])


def _cross_entropy(scores: Tensor, prior: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    return average((scores + offset).logsumexp(dim=1), weight) - scores @ prior
