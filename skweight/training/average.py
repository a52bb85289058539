"""An exponential moving average of a network's parameters over its training."""

from collections.abc import Iterable
from operator import is_

import torch
from torch import Tensor

from skweight.training.joined import JoinedTensors, can_be_joined
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

    def __init__(self, parameters: Iterable[Tensor], decay: float, join: bool = False) -> None:
        self.decay = decay
        self.n_updates = 0
        self.is_applied = False
        self._parameters = [*parameters]
        self._joined: JoinedTensors | None = None
        if join and can_be_joined(self._parameters):
            self._joined = JoinedTensors(self._parameters)
        # What is averaged: the parameters, or the tensor in which they lie.
        self._values = self._parameters if self._joined is None else [self._joined.values]
        # The averages, or the values while those are applied.
        self._stored = [values.detach().clone() for values in self._values]
        self._difference = torch.empty_like(self._stored[0])

    def track(self, parameters: Iterable[Tensor]) -> None:
        """Use the current parameters; those that were averaged before keep their averages."""
        now = [*parameters]
        self._divide_if_moved()
        if len(now) == len(self._parameters) and all(map(is_, now, self._parameters)):
            return
        self._divide()
        before = {id(p): average for p, average in zip(self._parameters, self._stored)}
        self._values = self._parameters = now
        self._stored = [before.get(id(p), p.detach()).clone() for p in now]

    def update(self) -> None:
        """Update the average with the parameters after a step."""
        self.move(self.next_share())

    def next_share(self) -> float:
        """Count an update; return the share of the way to the parameters that it makes."""
        self.n_updates += 1
        return 1 - min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))

    def move(self, share: float | Tensor) -> None:
        """Move the average towards the parameters."""
        if self._joined is None:
            with torch.no_grad():
                move_each_(self._stored, self._values, share)
        else:  # the same numbers
            torch.sub(self._values[0], self._stored[0], out=self._difference)
            self._stored[0].add_(self._difference.mul_(share))

    def apply(self) -> None:
        """Put the average into the parameters, and store their values."""
        if not self.is_applied:
            self._swap()

    def restore(self) -> None:
        """Put the values of the parameters back, for the next step."""
        if self.is_applied:
            self._swap()

    def stored(self) -> list[Tensor]:
        """The average of each parameter, or its value while averages are applied."""
        return self._stored if self._joined is None else self._joined.parts(self._stored[0])

    def resume(self, averages: Iterable[Tensor], n_updates: int) -> None:
        """Go on with these averages of the parameters, which hold their values now."""
        self.n_updates = n_updates
        for stored, average in zip(self.stored(), averages):
            stored.copy_(average)

    def _divide_if_moved(self) -> None:
        """Go on parameter by parameter if one has been given other memory."""
        if self._joined is not None and not self._joined.is_intact():
            self._divide()

    def _divide(self) -> None:
        if self._joined is not None:
            self._stored = [part.clone() for part in self._joined.parts(self._stored[0])]
            self._joined.release()
            self._values, self._joined = self._parameters, None

    @torch.no_grad()
    def _swap(self) -> None:
        self._divide_if_moved()
        values = [values.detach().clone() for values in self._values]
        copy_each_(self._values, self._stored)
        copy_each_(self._stored, values)  # in place: recorded kernels read there
        self.is_applied = not self.is_applied

    def release(self) -> None:
        """Give the parameters memory of their own again; after this there are no more updates."""
        if self._joined is not None:
            self._joined.release()

    def keep(self, positions: Tensor) -> None:
        """Keep only these models of a stack, whose parameters have already been reduced."""
        self._stored = [stored[positions] for stored in self._stored]
