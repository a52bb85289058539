"""Torch's global state during a fit: seeded, float32, and restored afterwards."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class _TorchState:
    """Torch's random state and default dtype, which belong to the process.

    Only one thread may fit at a time. ``before`` is that thread, and what it found.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.before: tuple[int, torch.dtype, Tensor] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait until no other thread fits, and let none begin."""
        with self.lock:
            outer = self.before
            if outer is None:
                dtype, random_state = torch.get_default_dtype(), torch.get_rng_state()
                self.before = threading.get_ident(), dtype, random_state
            try:
                yield
            finally:
                self.before = outer

    def after_fork(self) -> None:
        """Make a new lock in a forked process, and end the fit of a thread that it does not have.

        No thread would ever release the old lock, or restore what that fit has changed.
        """
        self.lock = threading.RLock()
        if self.before is not None and self.before[0] != threading.get_ident():
            _, dtype, random_state = self.before
            torch.set_default_dtype(dtype)
            torch.set_rng_state(random_state)
            self.before = None


_torch_state = _TorchState()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_torch_state.after_fork)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The random states of the CPU and of ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on from what :func:`random_states` returned; within :func:`isolated_torch`."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if "mps" in states:
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def isolated_torch(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from ``seed`` and compute gradients in float32, whatever the caller has set.

    The random states of the CPU and of ``device`` are seeded, and restored afterwards.
    """
    cuda_devices = [device] if device.type == "cuda" else []
    with (
        _torch_state.held(),
        torch.random.fork_rng(devices=cuda_devices),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        dtype = torch.get_default_dtype()
        mps_state = torch.mps.get_rng_state() if device.type == "mps" else None
        # torch.manual_seed would also seed devices whose state is not kept here.
        torch.default_generator.manual_seed(seed)
        for cuda_device in cuda_devices:
            with torch.cuda.device(cuda_device):
                torch.cuda.manual_seed(seed)
        if mps_state is not None:
            torch.mps.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            if mps_state is not None:
                torch.mps.set_rng_state(mps_state)
