"""Which kind of step a training takes: eager, compiled, or replayed."""

import os
import shutil
import sys

import torch
from torch import nn

from skweight.training.cuda_graphs import CudaGraphs, ReplayedStep
from skweight.training.steps import CompiledStep, TrainingStep, _warn_of_no_effect

# It waits for the device and empties caches: about as long as this many steps.
_STEPS_THAT_PAY = 100


def make_step(
    module: nn.Module,
    criterion: nn.Module,
    device: torch.device,
    compile: bool,
    n_steps: int,
) -> "TrainingStep":
    """Choose how gradients are computed.

    Parameters
    ----------
    module, criterion : nn.Module
        On ``device``. The criterion returns one loss per row, or per row and label.
    device : torch.device
    compile : bool
        Whether to spend time on the first batches to save it on the others.
    n_steps : int
        Number of steps that are to come.

    Returns
    -------
    TrainingStep
    """
    if not compile:
        return TrainingStep(module, criterion)
    if device.type == "cuda":
        if n_steps < _STEPS_THAT_PAY:
            return TrainingStep(module, criterion)
        graphs = CudaGraphs(device)
        return ReplayedStep(module, criterion, graphs.record, graphs.aside)
    if device.type == "cpu" and _missing_compiler():
        _warn_of_no_effect(f"torch.compile needs a C++ compiler, and {_missing_compiler()}")
        return TrainingStep(module, criterion)
    return CompiledStep(module, criterion)


def _missing_compiler() -> str:
    """Why there is no C++ compiler for torch.compile; empty if there is one."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    name = os.environ.get("CXX", usual)
    if shutil.which(name):
        return ""
    return f"{name!r} is not a program on the PATH (the environment variable CXX may name one)"
