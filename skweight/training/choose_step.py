"""Which kind of step a training takes: eager, compiled, or replayed."""

import os
import shutil
import sys
from collections.abc import Callable

import torch
from torch import nn

from skweight.training.cuda_graphs import CudaGraphs, ReplayedStep
from skweight.training.steps import CompiledStep, TrainingStep, warn_of_no_effect

# A recording waits for the device and empties caches: it takes about as long as this many steps.
_FEWEST_STEPS_TO_RECORD = 100


def make_step(
    module: nn.Module,
    criterion: nn.Module,
    device: torch.device,
    compile: bool,
    n_steps: int,
    graphs: Callable[[torch.device], CudaGraphs] = CudaGraphs,
) -> TrainingStep:
    """Choose how gradients are computed in a training of ``n_steps`` steps.

    ``compile`` spends time on the first batches to save it on the others. ``graphs`` makes the
    recorder of steps on a GPU.
    """
    if not compile:
        return TrainingStep(module, criterion)
    if device.type == "cuda":
        if n_steps < _FEWEST_STEPS_TO_RECORD:
            return TrainingStep(module, criterion)
        recorder = graphs(device)
        return ReplayedStep(module, criterion, recorder.record, recorder.warmup)
    if device.type == "cpu" and _missing_compiler():
        warn_of_no_effect(f"torch.compile needs a C++ compiler, and {_missing_compiler()}")
        return TrainingStep(module, criterion)
    return CompiledStep(module, criterion)


def _missing_compiler() -> str:
    """Why there is no C++ compiler for torch.compile; empty if there is one."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    name = os.environ.get("CXX", usual)
    if shutil.which(name):
        return ""
    return f"{name!r} is not a program on the PATH (the environment variable CXX may name one)"
