"""What follows the gradients in a step, in a form that a CUDA graph can hold.

A graph repeats the kernels of a step with the numbers that they were given. So the number of the
step is counted on the GPU, and the share by which the average moves is written there before each
step.
"""

from typing import Any

import torch
from torch import Tensor

from skweight.training.average import WeightAverage
from skweight.training.torch_internals import has_step_hooks

# Optimizers of torch with a kernel for all parameters that counts its steps on the GPU.
_WITH_KERNEL = (torch.optim.Adam, torch.optim.AdamW)


class RecordedUpdate:
    """The step of an optimizer, and then that of the average.

    Learning rates must not change: a graph would repeat the first ones. ``average`` is None for no
    average.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, average: WeightAverage | None) -> None:
        self.optimizer = optimizer
        self.average = average
        first: Tensor = optimizer.param_groups[0]["params"][0]
        # In the precision of the average: float32 would round the share of a float64 network.
        self._share = torch.ones((), dtype=first.dtype, device=first.device)
        self._capturable = [group["capturable"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["capturable"] = True

    def prepare(self) -> None:
        """Call it before each step, outside of the graph."""
        if self.average is not None:
            self._share.fill_(self.average.next_share())

    def __call__(self) -> None:
        """Make the step, with the gradients that the parameters have."""
        self.optimizer.step()
        if self.average is not None:
            self.average.move(self._share)

    def release(self) -> None:
        """Leave the optimizer as it was; after this there are no more steps."""
        for group, value in zip(self.optimizer.param_groups, self._capturable):
            group["capturable"] = value


def recorded_update(optimizer: Any, average: WeightAverage | None) -> RecordedUpdate | None:
    """The update that a graph may hold; None for optimizers of other kinds and settings."""
    if type(optimizer) not in _WITH_KERNEL or has_step_hooks(optimizer):
        return None
    groups = optimizer.param_groups
    if not all(group.get("fused") and not group["differentiable"] for group in groups):
        return None
    return RecordedUpdate(optimizer, average)
