"""From the user's ``module`` to the network that will be trained."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from skweight._keywords import check_keywords, name_of, parameters_of, unwrap
from skweight.modules.mlp import MLP


def build_module(
    module: Any, n_features: int | dict[str, int], n_outputs: int, params: Mapping[str, Any]
) -> nn.Module:
    """Make the network of the user's ``module`` and ``module__*`` parameters.

    None is :class:`MLP`. A class or callable is called with the two numbers and ``params``, unless
    it knows its sizes: see :func:`_arguments`. With several inputs ``n_features`` is a dict. An
    instance is deep-copied.
    """
    check_module(module, params)
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    factory: Callable[..., Any] = MLP if module is None else module
    args, keywords = _arguments(factory, n_features, n_outputs, params)
    try:
        built = factory(*args, **keywords)
    except TypeError as error:
        shown = [repr(value) for value in args] + [f"{k}={v!r}" for k, v in keywords.items()]
        raise TypeError(
            f"module {name_of(factory)} could not be called as module({', '.join(shown)}), because "
            f"{error}. It must take the number of features and of outputs first, or have a default "
            "for all that module__* does not give; else pass a function that makes it, such as "
            "lambda n_features, n_outputs: Net(...)."
        ) from error
    if not isinstance(built, nn.Module):
        raise TypeError(f"module must make an nn.Module, got {type(built).__name__}.")
    return built


def _arguments(
    factory: Callable[..., Any], n_features: Any, n_outputs: int, params: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with which a module is made.

    Parameters called ``n_features`` and ``n_outputs`` are given by name, unless the user gives
    them. Otherwise the first two parameters are the sizes, but not if the first has a default or
    the user gives one of them: such a module knows its sizes, as those of skorch do. A number of
    features in place of its first default would be taken for whatever that is.
    """
    sizes = {"n_features": n_features, "n_outputs": n_outputs}
    if factory is MLP:  # which cannot know them
        return (n_features, n_outputs), {**params}
    try:
        parameters = parameters_of(factory)
    except ValueError:  # some builtins have no signature
        return (n_features, n_outputs), {**params}
    by_name = {
        p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    if sizes.keys() <= by_name:
        return (), {**sizes, **unwrap(factory)[1], **params}
    first = [
        p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ][:2]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    is_given = any(p.name in params for p in first)
    has_default = bool(first) and first[0].default is not first[0].empty
    takes_sizes = (len(first) == 2 or takes_any) and not is_given and not has_default
    return (n_features, n_outputs) if takes_sizes else (), {**params}


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
