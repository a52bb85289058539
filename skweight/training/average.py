"""An exponential moving average of a network's parameters over its training."""

from collections.abc import Iterable
from operator import is_

import torch
from torch import Tensor

from skweight.training.torch_internals import copy_each_, move_each_


class WeightAverage:
    """An exponential moving average of parameters, which can be put into the parameters.

    After the ``t``-th update it is ``d * average + (1 - d) * parameter`` with
    ``d = min(decay, (1 + t) / (10 + t))``, so that initial values are soon forgotten.

    Parameters are their own average until the first update. ``decay`` is in [0, 1), and
    ``is_applied`` tells whether the parameters hold the average now.

    References
    ----------
    B. T. Polyak & A. B. Juditsky, Acceleration of stochastic approximation by averaging, SIAM
    Journal on Control and Optimization 30, 1992. The first decays are those of TensorFlow's
    ``ExponentialMovingAverage``.

    Examples
    --------
    >>> import torch
    >>> from skweight.training import WeightAverage
    >>> parameter = torch.zeros(1)
    >>> average = WeightAverage([parameter], decay=0.1)
    >>> _ = parameter.add_(10.0)  # a step
    >>> average.update()
    >>> average.apply()
    >>> parameter
    tensor([9.])
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.decay = decay
        self.n_updates = 0
        self.is_applied = False
        self._parameters: list[Tensor] = []
        self._stored: list[Tensor] = []  # the averages, or the parameters while those are applied
        self.track(parameters)

    def track(self, parameters: Iterable[Tensor]) -> None:
        """Use the current parameters; those that were averaged before keep their averages."""
        now = [*parameters]
        if len(now) != len(self._parameters) or not all(map(is_, now, self._parameters)):
            before = {id(p): stored for p, stored in zip(self._parameters, self._stored)}
            self._stored = [before.get(id(p), p.detach().clone()) for p in now]
            self._parameters = now

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the parameters after a step."""
        self.n_updates += 1
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        move_each_(self._stored, self._parameters, 1 - decay)

    def apply(self) -> None:
        """Put the average into the parameters, and store their values."""
        if not self.is_applied:
            self._swap()

    def restore(self) -> None:
        """Put the values of the parameters back, for the next step."""
        if self.is_applied:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        stored = [parameter.detach().clone() for parameter in self._parameters]
        copy_each_(self._parameters, self._stored)
        self._stored = stored
        self.is_applied = not self.is_applied

    def keep(self, positions: Tensor) -> None:
        """Keep only these models of a stack, whose parameters have already been reduced."""
        self._stored = [stored[positions] for stored in self._stored]
