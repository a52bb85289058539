"""Torch's global state during a fit: seeded, float32, and restored afterwards."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class _Found:
    """What a fit changes of torch's state, as it found it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.dtype = torch.get_default_dtype()
        self.has_gradients = torch.is_grad_enabled()
        self.random_states = random_states(device)

    def restore(self) -> None:
        """Restore all of it; to do so twice changes nothing."""
        torch.set_default_dtype(self.dtype)
        torch.set_grad_enabled(self.has_gradients)
        set_random_states(self.random_states, self.device)


class _TorchState:
    """Torch's random state and default dtype, which belong to the process.

    Only one thread may fit at a time. ``before`` is that thread, and what it found. ``is_used``
    tells that the process has computed with torch.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.before: tuple[int, _Found] | None = None
        self.is_used = False

    def after_fork(self) -> None:
        """Make a new lock in a forked process, and end the fit of a thread that it does not have.

        No thread would ever release the old lock, or restore what that fit has changed. The threads
        with which torch has computed are not there either: it would wait for them for ever, and so
        computes in one.
        """
        self.lock = threading.RLock()
        if self.is_used and torch.get_num_threads() > 1:
            torch.set_num_threads(1)
        if self.before is not None and self.before[0] != threading.get_ident():
            _, found = self.before
            torch.set_default_dtype(found.dtype)
            torch.set_rng_state(found.random_states["cpu"])
            self.before = None


_torch_state = _TorchState()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_torch_state.after_fork)


def remember_use() -> None:
    """Remember that this process computes with torch, for those that are forked from it."""
    _torch_state.is_used = True


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

    The random states of the CPU and of ``device`` are seeded, and restored afterwards. No other
    thread fits meanwhile.
    """
    remember_use()
    with _torch_state.lock:
        outer, found = _torch_state.before, _Found(device)
        try:
            _torch_state.before = outer or (threading.get_ident(), found)
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
                torch.autocast(device.type, enabled=False),
            ):
                _seed(seed, device)
                torch.set_default_dtype(torch.float32)
                yield
        finally:
            _torch_state.before = outer
            try:
                found.restore()
            except KeyboardInterrupt:  # it came in the middle
                found.restore()
                raise


def _seed(seed: int, device: torch.device) -> None:
    """Seed the CPU and ``device``; ``torch.manual_seed`` would seed other devices too."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)
