"""From the user's ``module`` to the network that will be trained."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from skweight._keywords import check_keywords, name_of, unwrap
from skweight.modules.mlp import MLP


def build_module(
    module: Any, n_features: int | dict[str, int], n_outputs: int, params: Mapping[str, Any]
) -> nn.Module:
    """Make the network of the user's ``module`` and ``module__*`` parameters.

    None is :class:`MLP`. A class or callable is called with ``n_features``, ``n_outputs`` and
    ``params``; with several inputs ``n_features`` is a dict. An instance is deep-copied.
    """
    check_module(module, params)
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    factory: Callable[..., Any] = MLP if module is None else module
    try:
        built = factory(n_features, n_outputs, **params)
    except TypeError as error:
        raise TypeError(
            f"module {name_of(factory)} could not be called as "
            f"module({n_features}, {n_outputs}, **module__), that is with the number of "
            f"features and of outputs: {error}"
        ) from error
    if not isinstance(built, nn.Module):
        raise TypeError(f"module must make an nn.Module, got {type(built).__name__}.")
    return built


def check_module(module: Any, params: Mapping[str, Any]) -> None:
    """Refuse what is no module, and parameters that it does not take, before it is made."""
    if isinstance(module, nn.Module):
        if params:
            raise ValueError(
                "module must be a class or callable for module__* parameters to be applied, "
                f"got an instance of {type(module).__name__} and "
                f"{['module__' + name for name in params]}."
            )
        return
    if module is not None and not callable(module):
        raise TypeError(
            "module must be None, an nn.Module class or instance, or a callable "
            f"(n_features, n_outputs, **module__) -> nn.Module, got {type(module).__name__}."
        )
    check_keywords(MLP if module is None else module, params, "module")


def is_mlp(module: Any) -> bool:
    """Whether the user's ``module`` makes an :class:`MLP`, which shifts and scales its input."""
    found = unwrap(module)[0]
    return (
        module is None
        or isinstance(found, MLP)
        or (isinstance(found, type) and issubclass(found, MLP))
    )


def takes_categories(module: Any) -> bool:
    """Whether the user's ``module`` has a method ``adapt_categories``, as far as that is known.

    A function that makes a network may make one that has it.
    """
    return is_mlp(module) or callable(getattr(unwrap(module)[0], "adapt_categories", None))
