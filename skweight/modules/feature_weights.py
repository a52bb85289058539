"""Layers with weights on features: :class:`FeatureWeight` and :class:`WeightedLinear`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skweight._keywords import HasArray, check_flag, is_integer

FeatureWeights = float | Sequence[float] | Tensor | HasArray


class FeatureWeight(nn.Module):
    """Multiply each feature by a weight of its own, learnable or fixed.

    A fixed weight keeps its value, and a fixed 0 excludes a feature. A learnable weight is where
    training starts: a linear layer behind it can make up for any weight but 0, so that it acts only
    through the optimizer, weight decay and early stopping. Weight decay on both the weights and
    that layer works like a group lasso on the features. A standardisation or batch norm directly
    behind this layer undoes it.

    Parameters
    ----------
    n_features : int
        Length of the last dimension of the input.
    init : float, sequence or Tensor of shape (n_features,), default=1.0
        Initial weights, finite and non-negative; a number is the weight of every feature.
    learnable : bool, default=True
        Whether training changes the weights.

    Attributes
    ----------
    weight : nn.Parameter, or buffer if not learnable, of shape (n_features,)
        The current weights.

    Raises
    ------
    TypeError, ValueError
        If ``init`` is not as described.

    Notes
    -----
    **Shape.** Input ``(..., n_features)``, output the same.

    References
    ----------
    P. D. Hoff, Lasso, fractional norm and structured sparse estimation using a Hadamard
    product parametrization, Computational Statistics & Data Analysis 115, 2017.

    Examples
    --------
    >>> import torch
    >>> from skweight import FeatureWeight
    >>> layer = FeatureWeight(3, init=[1, 0, 2], learnable=False)
    >>> layer(torch.ones(2, 3))
    tensor([[1., 0., 2.],
            [1., 0., 2.]])
    """

    weight: Tensor

    def __init__(self, n_features: int, init: FeatureWeights = 1.0, learnable: bool = True) -> None:
        super().__init__()
        check_count(n_features, "n_features")
        check_flag(learnable, "learnable")
        self.n_features = n_features
        weight = check_weights(init, n_features, "init")
        if learnable:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, X: Tensor) -> Tensor:
        """``X * weight``."""
        return X * self.weight

    def extra_repr(self) -> str:
        """Arguments of the constructor, for ``repr``."""
        return f"{self.n_features}, learnable={isinstance(self.weight, nn.Parameter)}"


class EncodedFeatureWeight(FeatureWeight):
    """Multiply numbers that were made of features by the weights of those features.

    An encoding makes several numbers of a feature, such as bins, indicators or an embedding; each
    of them gets the weight of its feature. Before :meth:`adapt` is called the input is the features
    themselves.

    Attributes
    ----------
    weight : nn.Parameter or buffer of shape (n_features,)
    owner : buffer of shape (n_numbers,), int64
        Position of the feature that each number was made of.

    Notes
    -----
    **Shape.** Input ``(..., n_numbers)``, output the same.
    """

    owner: Tensor

    def __init__(self, n_features: int, init: FeatureWeights = 1.0, learnable: bool = True) -> None:
        super().__init__(n_features, init, learnable)
        self.register_buffer("owner", torch.arange(n_features, device="cpu"))

    def adapt(self, owner: Tensor) -> None:
        """Set the position of the feature that each number of the input was made of."""
        self.owner = owner.to(self.owner.device)

    def forward(self, X: Tensor) -> Tensor:
        """``X * weight[owner]``."""
        return X * weights_of_owners(self.weight.unsqueeze(-1), self.owner).squeeze(-1)


def weights_of_owners(weight: Tensor, owner: Tensor) -> Tensor:
    """Rows of ``weight``, of shape (n_features, n_models), for each owner.

    The gradient of a lookup in an embedding is a sum in a fixed order on every device. That of
    ``index_select`` is not on a GPU.
    """
    return F.embedding(owner, weight)


class WeightedLinear(nn.Linear):
    """A linear layer with optional weights on its inputs and on its outputs.

    ``f(x) = output_weights * (weight (feature_weights * x) + bias)``, with * elementwise.

    Parameters
    ----------
    in_features, out_features : int
        Numbers of inputs and outputs, as for ``nn.Linear``.
    feature_weights : float, sequence or Tensor of shape (in_features,), default=None
        Initial weight of each *input*: ``[1, 1, 1, 3, 1]`` gives the fourth one three times the
        weight of the others. None leaves the inputs as they are.
    output_weights : float, sequence or Tensor of shape (out_features,), default=None
        Initial weight of each output. None leaves the outputs as they are.
    learnable : bool, default=True
        Whether training changes ``feature_weights`` and ``output_weights``.
    bias : bool, default=True
        Whether a bias is added, before the output weights.

    Attributes
    ----------
    feature_weights : FeatureWeight or None
        The layer of weights on the inputs.
    output_weights : nn.Parameter or buffer of shape (out_features,), or None
        The current weights of the outputs.

    Raises
    ------
    TypeError, ValueError
        If ``feature_weights`` or ``output_weights`` are not finite, non-negative and of that shape.

    Notes
    -----
    **Shape.** Input ``(..., in_features)``, output ``(..., out_features)``.

    See :class:`FeatureWeight` for what a learnable weight can and cannot do. This layer itself, and
    a linear layer behind it, can make up for any output weight but 0.

    Examples
    --------
    >>> import torch
    >>> from skweight import WeightedLinear
    >>> layer = WeightedLinear(5, 10, feature_weights=[1, 1, 1, 3, 1])
    >>> layer(torch.ones(2, 5)).shape
    torch.Size([2, 10])
    """

    output_weights: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        feature_weights: FeatureWeights | None = None,
        output_weights: FeatureWeights | None = None,
        learnable: bool = True,
        bias: bool = True,
    ) -> None:
        check_count(in_features, "in_features")
        check_count(out_features, "out_features")
        check_flag(learnable, "learnable")
        check_flag(bias, "bias")
        super().__init__(in_features, out_features, bias=bias)
        self.feature_weights: FeatureWeight | None = None
        if feature_weights is not None:
            checked = check_weights(feature_weights, in_features, "feature_weights")
            self.feature_weights = FeatureWeight(in_features, checked, learnable)
        if output_weights is None:
            self.output_weights = None
            return
        checked = check_weights(output_weights, out_features, "output_weights")
        if learnable:
            self.output_weights = nn.Parameter(checked)
        else:
            self.register_buffer("output_weights", checked)

    def forward(self, X: Tensor) -> Tensor:
        """Weigh the inputs, map them, weigh the outputs."""
        if self.feature_weights is not None:
            X = self.feature_weights(X)
        return self.weigh_outputs(F.linear(X, self.weight, self.bias))

    def weigh_outputs(self, X: Tensor) -> Tensor:
        """``X * output_weights``, or X if there are none."""
        return X if self.output_weights is None else X * self.output_weights


def check_count(value: Any, name: str) -> None:
    """Refuse what is no positive number of features."""
    if not is_integer(value, 1):
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}.")


def check_weights(weights: FeatureWeights, length: int, name: str) -> Tensor:
    """Copy weights to a tensor of shape (length,), finite and non-negative."""
    if hasattr(weights, "tolist"):  # arrays, numpy scalars, Series and tensors
        weights = weights.tolist()
    try:
        if isinstance(weights, (int, float)) and not isinstance(weights, bool):
            weights = [float(weights)] * length
        checked = torch.tensor(weights, dtype=torch.get_default_dtype(), device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"{name} must be a number or hold one number for each of {length} features, got "
            f"{type(weights).__name__}: {error}."
        ) from error
    if checked.shape != (length,):
        raise ValueError(
            f"{name} must be a number or hold one number for each of {length} features, "
            f"shape ({length},), got shape {tuple(checked.shape)}."
        )
    if not bool(torch.isfinite(checked).all()) or bool((checked < 0).any()):
        raise ValueError(
            f"{name} must be finite and non-negative, got values from "
            f"{checked.min().item()} to {checked.max().item()}."
        )
    return checked


def input_feature_weights(module: nn.Module, n_features: int) -> Tensor | None:
    """Weights of the layer that weighs the ``n_features`` inputs of a network, or None.

    Layers are looked through in the order of their registration, up to the first one that mixes
    features: weights behind it are not weights of the inputs.
    """
    for layer in module.modules():
        if isinstance(layer, WeightedLinear):
            layer = layer.feature_weights or layer
        if isinstance(layer, FeatureWeight):
            return layer.weight if layer.n_features == n_features else None
        if any(parameter.ndim > 1 for parameter in layer.parameters(recurse=False)):
            return None
    return None
