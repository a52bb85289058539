"""What networks have in common that differ in nothing but their tensors."""

from torch import nn


def structure(module: nn.Module) -> str:
    """Text that is equal for networks that differ in nothing but their tensors."""
    return repr((module, [*map(_plain_attributes, module.modules())]))


def _plain_attributes(part: nn.Module) -> dict[str, str]:
    """The attributes of a module besides tensors and layers."""
    plain = (bool, int, float, str, list, tuple, dict, set)
    return {
        name: repr(value)
        for name, value in vars(part).items()
        if isinstance(value, plain) and name != "training" and not name.startswith("_")
    }
