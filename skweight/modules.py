"""The default network, and how a network is made from what the user gave as ``module``.

Whatever in a network depends on data comes through its methods ``adapt``, ``adapt_input`` and
``adapt_output``, which are called once, before training. Only torch here.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skweight.keywords import check_keywords
from skweight.layers import FeatureWeight, Weights, check_weights

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
# Below this ratio of spread to mean a float32 column holds rounding errors only.
_CONSTANT = 1e-6


def build_module(
    module: Any, n_features: int, n_outputs: int, params: Mapping[str, Any]
) -> nn.Module:
    """Make the network that will be trained.

    Parameters
    ----------
    module : None, nn.Module class, callable or nn.Module instance
        None is :class:`MLP`. A class or callable is called with ``n_features``,
        ``n_outputs`` and ``params``. An instance is deep-copied.
    n_features, n_outputs : int
    params : mapping
        The user's ``module__*``.

    Returns
    -------
    nn.Module

    Raises
    ------
    TypeError, ValueError
        If ``module`` is none of the above, returns no module, or does not take
        ``params``.
    """
    if isinstance(module, nn.Module):
        if params:
            raise ValueError(
                "module must be a class or callable for module__* parameters to be applied, "
                f"got an instance of {type(module).__name__} and "
                f"{['module__' + name for name in params]}."
            )
        return copy.deepcopy(module)
    factory: Callable[..., Any] = MLP if module is None else module
    if not callable(factory):
        raise TypeError(
            "module must be None, an nn.Module class or instance, or a callable "
            f"(n_features, n_outputs, **module__) -> nn.Module, got {type(module).__name__}."
        )
    check_keywords(factory, params, "module")
    try:
        built = factory(n_features, n_outputs, **params)
    except TypeError as error:
        raise TypeError(
            f"module {getattr(factory, '__name__', factory)!s} could not be called as "
            f"module({n_features}, {n_outputs}, **module__), that is with the number of "
            f"features and of outputs: {error}"
        ) from error
    if not isinstance(built, nn.Module):
        raise TypeError(f"module must make an nn.Module, got {type(built).__name__}.")
    return built


class MLP(nn.Module):
    """A multilayer perceptron that standardises its own input.

    Parameters
    ----------
    n_features : int
    n_outputs : int
        1 for a regression or a binary logit, otherwise one per class.
    hidden_sizes : sequence of int, default=(64, 64)
        Width of each hidden layer; empty for a linear model.
    activation : {"relu", "gelu", "silu", "tanh"} or callable, default="relu"
        A name, or what makes an ``nn.Module`` when called without arguments.
    dropout : float, default=0.0
        Probability of dropping a hidden unit, in [0, 1).
    feature_weights : float, sequence or Tensor of shape (n_features,), default=None
        Initial weights on the standardised features, in the order of the columns, see
        :class:`~skweight.FeatureWeight`. None has no such layer.
    learnable_feature_weights : bool, default=True
        Whether training changes ``feature_weights``.

    Notes
    -----
    **Shape.** Input ``(n, n_features)``, output ``(n, n_outputs)``, raw scores.

    Examples
    --------
    >>> import torch
    >>> from skweight.modules import MLP
    >>> MLP(4, 3, hidden_sizes=(8,))(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden_sizes: Sequence[int] = (64, 64),
        activation: str | Callable[[], nn.Module] = "relu",
        dropout: float = 0.0,
        feature_weights: Weights | None = None,
        learnable_feature_weights: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.feature_weight: FeatureWeight | None = None
        if feature_weights is not None:
            checked = check_weights(feature_weights, n_features, "module__feature_weights")
            self.feature_weight = FeatureWeight(n_features, checked, learnable_feature_weights)
        if feature_weights is None and not learnable_feature_weights:
            raise ValueError(
                "module__learnable_feature_weights=False needs module__feature_weights to hold, "
                "got None."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"module__dropout must lie in [0, 1), got {dropout!r}.")
        make_activation = _check_activation(activation)
        layers: list[nn.Module] = []
        width = n_features
        for size in _check_sizes(hidden_sizes):
            layers += [nn.Linear(width, size), make_activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(width, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Raw scores of shape (n, n_outputs)."""
        X = (X - self.shift).div_(self.scale)  # in place: X itself is left alone
        if self.feature_weight is not None:
            X = self.feature_weight(X)
        return self.output(self.hidden(X))  # type: ignore[no-any-return]

    @torch.no_grad()
    def adapt_input(self, mean: Tensor, spread: Tensor) -> None:
        """Take the weighted mean and spread of the input, to standardise with them.

        Parameters
        ----------
        mean, spread : Tensor of shape (n_features,), float64
        """
        constant = spread <= _CONSTANT * mean.abs()
        constant |= spread < torch.finfo(self.scale.dtype).tiny
        self.shift.copy_(mean)
        self.scale.copy_(spread.masked_fill(constant, 1.0))

    @torch.no_grad()
    def adapt_output(self, constant: Tensor) -> None:
        """Start from a model that ignores X: the output's bias.

        Parameters
        ----------
        constant : Tensor of shape (n_outputs,)
            The raw scores of such a model under the weights and the loss.
        """
        self.output.bias.copy_(constant)


def _check_activation(activation: str | Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    if isinstance(activation, nn.Module):
        raise ValueError(
            "module__activation must make a new nn.Module for each layer, such as nn.ELU, got the "
            f"instance {activation!r}."
        )
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"module__activation must be one of {list(ACTIVATIONS)} or a callable that "
                f"makes an nn.Module, got {activation!r}."
            )
        return ACTIVATIONS[activation]
    return activation


def _check_sizes(hidden_sizes: Sequence[int]) -> Sequence[int]:
    iterable = isinstance(hidden_sizes, Iterable) and not isinstance(hidden_sizes, str)
    if not iterable or any(not hasattr(s, "__index__") or s < 1 for s in hidden_sizes):
        raise ValueError(
            "module__hidden_sizes must be a sequence of positive integers, such as (64, 64), "
            f"got {hidden_sizes!r}."
        )
    return hidden_sizes
