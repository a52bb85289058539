"""Tensors that lie in one, so that one operation changes all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

# A multiple of 16 floats is one of 64 bytes, a cache line: rounding in kernels may depend on where
# in a cache line a tensor begins, and tensors of torch begin with one.
_ALIGNMENT = 16


class JoinedTensors:
    """Moves the data of tensors into one tensor, ``values``, and back with :meth:`release`.

    Until then they are views of it. Nothing else may share memory with them, see
    :func:`can_be_joined`.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)
        self._starts = [0]
        for tensor in self.tensors:
            end = self._starts[-1] + tensor.numel()
            self._starts.append(end + -end % _ALIGNMENT)
        self.values = torch.zeros(self._starts[-1], dtype=torch.float32, device="cpu")
        self._views = self.parts(self.values)
        for tensor, view in zip(self.tensors, self._views):
            view.copy_(tensor.detach())
            tensor.data = view

    def parts(self, values: Tensor) -> list[Tensor]:
        """The parts of a tensor like ``values`` that belong to each tensor, in its shape."""
        return [
            values[start : start + tensor.numel()].view(tensor.shape)
            for tensor, start in zip(self.tensors, self._starts)
        ]

    def is_intact(self) -> bool:
        """Whether no tensor has been given other memory since."""
        return all(
            tensor.data_ptr() == view.data_ptr() and tensor.shape == view.shape
            for tensor, view in zip(self.tensors, self._views)
        )

    def release(self) -> None:
        """Give each tensor memory of its own."""
        for tensor, view in zip(self.tensors, self._views):
            if tensor.data_ptr() == view.data_ptr():
                tensor.data = tensor.detach().clone()


def can_be_joined(tensors: Sequence[Tensor]) -> bool:
    """Whether tensors are as :class:`JoinedTensors` needs them, as far as they can tell."""
    memory = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    return len(memory) == len(tensors) and all(
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and tensor.is_contiguous()
        and tensor.untyped_storage().nbytes() == tensor.nbytes
        for tensor in tensors
    )
