"""The parameters of the optimizer: fused kernels and default weight decay."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from typing import Any

import torch
from torch import nn

from skweight._keywords import check_keywords, did_you_mean, unwrap
from skweight.training.optimizer_settings import check_groups
from skweight.training.plan import TrainingOptions, optimizer_class

# Optimizers with a fused kernel, and where it runs. That of SGD takes no sparse gradients, and
# no parameters whose first gradient comes later than that of others.
_FUSED = (torch.optim.AdamW, torch.optim.Adam)
_FUSED_ON = ("cpu", "cuda", "mps")
# The default weight decay is min(1, 0.001 / lr). A step of AdamW multiplies weights by
# 1 - lr * decay, so it takes off a share of 0.001, or of lr if that is less: a large learning
# rate does not enlarge it.
_DECAY_PER_STEP, _LARGEST_DECAY = 0.001, 1.0
# With these of the optimizer's settings the user has chosen how weights decay.
_DECAY_SETTINGS = {"weight_decay", "param_groups"}


def check_optimizer(optimizer: Any, params: Mapping[str, Any], lr: float) -> None:
    """Refuse parameters that the user's optimizer does not take, before there is a network."""
    # param_groups is skorch's: pairs of a pattern of parameter names and their settings.
    own = {k: v for k, v in params.items() if k != "param_groups"} | {"lr": lr}
    if "param_groups" in params:
        check_groups(params["param_groups"], optimizer_class(optimizer))
    check_keywords(optimizer_class(optimizer), own, "optimizer")
    if "lr" in params:
        raise ValueError(
            f"The learning rate must be given as lr, got optimizer__lr={params['lr']!r} beside "
            f"lr={lr!r}."
        )


def optimizer_params(options: TrainingOptions, module: nn.Module) -> dict[str, Any]:
    """The user's parameters of the optimizer, with default weight decay and fused kernels.

    Weights decay by default in modules whose attribute ``decays_by_default`` is True.
    """
    params = dict(options.optimizer_params)
    has_own_decay = options.optimizer is not None or bool(_DECAY_SETTINGS & {*params})
    if not has_own_decay and getattr(module, "decays_by_default", False):
        weight_settings = {"weight_decay": min(_LARGEST_DECAY, _DECAY_PER_STEP / options.lr)}
        params |= {"weight_decay": 0.0, "param_groups": [("*.weight", weight_settings)]}
    optimizer, keywords = unwrap(options.optimizer_class)
    chosen = {"fused", "foreach", "capturable", "differentiable"} & {*params, *keywords}
    tensors = [*module.parameters()]
    if optimizer in _FUSED and not chosen and all(map(_has_fused_kernel, tensors)):
        params["fused"] = True
    return params


def _has_fused_kernel(parameter: torch.Tensor) -> bool:
    # The kernels go through memory from one end to the other, whatever the strides are.
    return (
        parameter.is_floating_point()
        and parameter.is_contiguous()
        and parameter.device.type in _FUSED_ON
    )


def check_param_groups(module: nn.Module, groups: Iterable[tuple[str, Any]]) -> None:
    """Refuse a pattern that matches no parameter's name: skorch would ignore it silently."""
    names = [name for name, _ in module.named_parameters()]
    for pattern, _ in groups:
        if not any(fnmatch(name, pattern) for name in names):
            hint = did_you_mean(pattern, names, cutoff=0.4)
            raise ValueError(
                "optimizer__param_groups must name parameters of the network, "
                f"{names}, got {pattern!r}.{hint}"
            )
