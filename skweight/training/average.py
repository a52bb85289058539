"""An exponential moving average of a network's parameters over its training."""

from collections.abc import Iterable
from operator import is_

import torch
from torch import Tensor


class WeightAverage:
    """An exponential moving average that trades places with the parameters that it follows.

    After the ``t``-th update it is ``d * average + (1 - d) * parameter`` with
    ``d = min(decay, (1 + t) / (10 + t))``, so that initial values are soon forgotten.

    Parameters
    ----------
    parameters : iterable of Tensor
        They are their own average until they are updated.
    decay : float
        In [0, 1).

    Attributes
    ----------
    shown : bool
        Whether the average is where the parameters belong.

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
    >>> average.show()
    >>> parameter
    tensor([9.])
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.decay = decay
        self.n_updates = 0
        self.shown = False
        self._parameters: list[Tensor] = []
        self._hidden: list[Tensor] = []  # the averages, or the parameters while those are shown
        self.follow(parameters)

    def follow(self, parameters: Iterable[Tensor]) -> None:
        """Average these from now on; those that were followed before keep their averages."""
        now = [*parameters]
        if len(now) != len(self._parameters) or not all(map(is_, now, self._parameters)):
            before = {id(p): hidden for p, hidden in zip(self._parameters, self._hidden)}
            self._hidden = [before.get(id(p), p.detach().clone()) for p in now]
            self._parameters = now

    @torch.no_grad()
    def update(self) -> None:
        """Take in what a step has made of the parameters.

        Each number is rounded by itself: kernels that do it all at once round some of a tensor's
        last numbers in another way.
        """
        self.n_updates += 1
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        gaps = torch._foreach_sub(self._parameters, self._hidden)
        torch._foreach_mul_(gaps, 1 - decay)
        torch._foreach_add_(self._hidden, gaps)

    def show(self) -> None:
        """Put the average where the parameters are, and keep them."""
        if not self.shown:
            self._trade()

    def hide(self) -> None:
        """Put the parameters back, for the next step."""
        if self.shown:
            self._trade()

    @torch.no_grad()
    def _trade(self) -> None:
        kept = [parameter.detach().clone() for parameter in self._parameters]
        torch._foreach_copy_(self._parameters, self._hidden)
        self._hidden = kept
        self.shown = not self.shown

    def keep(self, positions: Tensor) -> None:
        """Keep some of the models only, if parameters are those of a stack; they have done so."""
        self._hidden = [hidden[positions] for hidden in self._hidden]
