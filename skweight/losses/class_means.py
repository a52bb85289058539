"""The shift of raw scores with which mean probabilities of classes or labels are as wanted.

Those of one class or label are solved for along a line on which their mean rises, of several
classes by Newton's method for all of them, and class by class where its step does not help.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from skweight.losses.classification import ClassLink

_SOLVED = 1e-12
_MOST_STEPS, _MOST_SWEEPS_IN_VAIN = 200, 5
_PARTS_OF_A_STEP = (1.0, 0.5, 0.25, 0.125)
_LARGEST_FIRST_STEP = 8.0

Means = Callable[[Tensor], Tensor]


def matching_shift_of_classes(
    link: ClassLink, raw: Tensor, weight: Tensor, mean: Tensor
) -> tuple[Tensor, float]:
    """Shift of shape (n_outputs,), and the largest difference of the means, relative to them.

    Parameters
    ----------
    link : ClassLink
    raw : Tensor of shape (n, n_outputs), float64
    weight : Tensor of shape (n, 1) or (n, n_labels), float64
        The sum of each column is 1.
    mean : Tensor of shape (n_classes,) or (n_labels,), float64
        Shares of the classes or labels, between 0 and 1.
    """

    def found(shift: Tensor) -> Tensor:
        return (weight * link.probabilities(raw + shift)).sum(dim=0)

    if link.multilabel:
        shift = _solve_each(found, torch.zeros_like(mean), mean)
    elif len(mean) == 2:
        # What one number does to the columns: the scores of two classes are shifted apart.
        apart = raw.new_ones(1) if raw.shape[1] == 1 else raw.new_tensor([-0.5, 0.5])
        step = _solve_each(lambda one: found(one * apart)[1:], torch.zeros_like(mean[1:]), mean[1:])
        shift = step * apart
    else:
        shift = _solve_together(found, _jacobian_of(link, raw, weight, found), mean)
    return shift, _error(found(shift), mean)


# Means that rise with a number each ------------------------------------------------------------


def _solve_each(means: Means, start: Tensor, wanted: Tensor, tol: float = _SOLVED) -> Tensor:
    """The numbers at which means of probabilities are as wanted; each rises with its own number.

    Newton's method for the log-odds of the means, within bounds that each step makes narrower.
    """
    x, step = start, torch.full_like(start, _LARGEST_FIRST_STEP)
    low, high = torch.full_like(x, -torch.inf), torch.full_like(x, torch.inf)
    before = high
    for _ in range(_MOST_STEPS):
        found, slope = _with_slope(means, x)
        error = found - wanted
        is_solved = error.abs() <= tol * wanted * (1 - wanted)
        if bool(is_solved.all()):
            break
        low, high = torch.where(error < 0, x, low), torch.where(error > 0, x, high)
        # Where the mean does not move at all, a step is infinite or NaN.
        newton = (wanted.logit() - found.logit()) * found * (1 - found) / slope
        newton = torch.where(newton.isnan(), -error.sign() * step, newton)
        tried = x + torch.minimum(torch.maximum(newton, -step), step)
        middle = torch.where(low.isinf() | high.isinf(), tried, (low + high) / 2)
        is_slow = error.abs() > before / 2
        tried = torch.where((tried > low) & (tried < high) & ~is_slow, tried, middle)
        tried = torch.where(is_solved, x, tried)
        if torch.equal(tried, x):  # float64 has no number between the bounds
            break
        x, step, before = tried, 2 * step, error.abs()
    return x


def _with_slope(means: Means, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        found = means(x)
        (slope,) = torch.autograd.grad(found.sum(), x)
    return found.detach(), slope


# Means of several classes ----------------------------------------------------------------------


def _solve_together(means: Means, jacobian: Means, wanted: Tensor) -> Tensor:
    """The shift of several classes, whose sum is 0."""
    shift, found = torch.zeros_like(wanted), means(torch.zeros_like(wanted))
    best, least, n_in_vain = shift, torch.inf, 0
    while n_in_vain < _MOST_SWEEPS_IN_VAIN:
        shift, found = _newton(means, jacobian, wanted, shift, found)
        error = _error(found, wanted)
        n_in_vain = 0 if error < least / 2 else n_in_vain + 1
        best, least = (shift, error) if error < least else (best, least)
        if least <= _SOLVED:
            break
        shift = _sweep(means, wanted, shift, tol=min(error, 1.0) / 100)
        found = means(shift)
    return best - best.mean()


def _newton(
    means: Means, jacobian: Means, wanted: Tensor, shift: Tensor, found: Tensor
) -> tuple[Tensor, Tensor]:
    """Newton's method as long as its steps, or parts of them, help as much as they should."""
    while (error := _error(found, wanted)) > _SOLVED:
        # A common shift of all classes changes nothing: the second term rules it out.
        matrix = jacobian(shift) + torch.outer(found, found)
        step, info = torch.linalg.solve_ex(matrix, wanted - found)
        for part in () if info else _PARTS_OF_A_STEP:
            tried = shift + part * step
            means_there = means(tried)
            if _error(means_there, wanted) <= (1 - part / 2) * error:
                shift, found = tried, means_there
                break
        else:
            break
    return shift, found


def _sweep(means: Means, wanted: Tensor, shift: Tensor, tol: float) -> Tensor:
    """Match one class after the other."""
    for c, share in enumerate(wanted):
        unit = torch.eye(len(wanted), dtype=shift.dtype)[c]
        before = shift

        def of_class(x: Tensor, c: int = c, before: Tensor = before, unit: Tensor = unit) -> Tensor:
            return means(before + x * unit)[c : c + 1]

        solved = _solve_each(of_class, shift.new_zeros(1), share.reshape(1), tol)
        shift = before + solved * unit
    return shift


def _error(found: Tensor, wanted: Tensor) -> float:
    """The largest relative error; a mean of nearly 0 is as wrong as its logarithm says."""
    return float((found / wanted).log().abs().max())


def _jacobian_of(link: ClassLink, raw: Tensor, weight: Tensor, means: Means) -> Means:
    """What the shift of each class does to the mean of each: shape (n_classes, n_classes)."""

    def of_softmax(shift: Tensor) -> Tensor:
        probability = link.probabilities(raw + shift)
        weighted = weight * probability
        return weighted.sum(dim=0).diag() - weighted.T @ probability

    def by_autograd(shift: Tensor) -> Tensor:
        with torch.enable_grad():
            shift = shift.detach().requires_grad_()
            rows = means(shift)
            found = [torch.autograd.grad(row, shift, retain_graph=True)[0] for row in rows]
        return torch.stack(found)

    return of_softmax if link.keeps_differences else by_autograd
