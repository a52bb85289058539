"""The parameters of the optimizer: fused kernels and default weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any

import torch
from torch import nn

from skweight._keywords import unwrap
from skweight.modules import MLP
from skweight.training.plan import TrainingOptions

# Optimizers with a fused kernel, and where it runs. That of SGD takes no sparse gradients, and
# no parameters whose first gradient comes later than that of others.
_FUSED = (torch.optim.AdamW, torch.optim.Adam)
_FUSED_ON = ("cpu", "cuda", "mps")
# What a step takes away of the weights of the default network, and of them times the learning
# rate, at most. The former is what decay does where large learning rates do not enlarge it.
_DECAY_OF_A_STEP, _DECAY = 0.001, 1.0
# With these of the optimizer's settings the user has chosen how weights decay.
_DECAY_SETTINGS = {"weight_decay", "param_groups"}


def _optimizer_params(options: TrainingOptions, module: nn.Module) -> Iterable[tuple[str, Any]]:
    """Parameters of the optimizer; one kernel for all of the network's, where torch has one."""
    params = dict(options.optimizer_params)
    has_own_decay = bool(_DECAY_SETTINGS & {*params})
    if (
        options.optimizer is None
        and not has_own_decay
        and isinstance(module, MLP)
        and len(module.hidden)
    ):
        of_weights = {"weight_decay": min(_DECAY, _DECAY_OF_A_STEP / options.lr)}
        params |= {"weight_decay": 0.0, "param_groups": [("*.weight", of_weights)]}
    optimizer, keywords = unwrap(options.optimizer_class)
    chosen = {"fused", "foreach", "capturable", "differentiable"} & {*params, *keywords}
    tensors = [*module.parameters()]
    if optimizer in _FUSED and not chosen and all(map(_has_fused_kernel, tensors)):
        params["fused"] = True
    return params.items()


def _has_fused_kernel(parameter: torch.Tensor) -> bool:
    # The kernels go through memory from one end to the other, whatever the strides are.
    return (
        parameter.is_floating_point()
        and parameter.is_contiguous()
        and parameter.device.type in _FUSED_ON
    )


def _check_param_groups(module: nn.Module, groups: Any) -> None:
    """Refuse a pattern that no parameter's name matches: skorch would leave it out silently."""
    names = [name for name, _ in module.named_parameters()]
    for pattern, _ in groups:
        if not any(fnmatch(name, pattern) for name in names):
            near = get_close_matches(pattern, names, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                "optimizer__param_groups must name parameters of the network, "
                f"{names}, got {pattern!r}.{hint}"
            )
