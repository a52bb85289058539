"""The default network.

Whatever depends on the data is set before training, by one call each of ``adapt_input``,
``adapt_bins`` and ``adapt_output``.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from skweight._keywords import did_you_mean
from skweight.modules.bins import PiecewiseLinear
from skweight.modules.feature_weights import FeatureWeight, Weights, check_weights

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
# A float32 column whose ratio of spread to mean is smaller varies by rounding errors only.
_SMALLEST_RELATIVE_SPREAD = 1e-6
# Largest number of bins of all features together.
_MAX_BINS = 1024
# Standardised values are cut here before they are squared: their squares are finite in float32.
_LARGEST_VALUE = 1e15


class MLP(nn.Module):
    """A multilayer perceptron that standardises its input and encodes it in bins.

    Parameters
    ----------
    n_features : int
    n_outputs : int
        1 for a regression or a binary logit, otherwise one per class.
    hidden_sizes : sequence of int, default=(64, 64)
        Width of each hidden layer; empty for a linear model.
    n_bins : 0, int >= 2 or "auto", default="auto"
        Number of bins of each feature. The first layer sees, beside the value itself, how far it
        is through each bin, see :class:`~skweight.modules.PiecewiseLinear`. The edges are weighted
        quantiles of the training rows; a feature with fewer than three different ones has no bins.
        "auto" is 8, or fewer for more than 128 features, none for more than 512, and none without
        hidden layers. Setting the bins replaces the first layer by one of the right width.
    clip : float, None or "auto", default="auto"
        Standardised values ``z`` become ``z / sqrt(1 + (z / clip)^2)``, which is about ``z`` near
        0 and stays between ``-clip`` and ``clip``, so that outliers neither dominate the training
        nor are extrapolated to. None leaves values as they are; "auto" is 3, and None without
        hidden layers.
    activation : {"relu", "gelu", "silu", "tanh"} or callable, default="relu"
        A name, or a callable without arguments that returns an ``nn.Module``.
    dropout : float, default=0.0
        Probability of dropping a hidden unit, in [0, 1).
    feature_weights : float, sequence or Tensor of shape (n_features,), default=None
        Initial weights on the standardised features, in the order of the columns, see
        :class:`~skweight.FeatureWeight`. None is a network without that layer.
    learnable_feature_weights : bool, default=True
        Whether training changes ``feature_weights``.

    Attributes
    ----------
    decays_by_default : bool
        True with hidden layers: weights then decay, unless settings of the optimizer say how.

    Notes
    -----
    **Shape.** Input ``(n, n_features)``, output ``(n, n_outputs)``, raw scores.

    References
    ----------
    D. Holzmüller, L. Grinsztajn & I. Steinwart, Better by default, NeurIPS 2024 (smooth clipping);
    for the bins see :class:`~skweight.modules.PiecewiseLinear`.

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
        n_bins: int | str = "auto",
        clip: float | str | None = "auto",
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
        sizes = _check_sizes(hidden_sizes)
        is_linear = len(sizes) == 0
        self.n_bins = _check_bins(n_bins, math.inf if is_linear else n_features)
        self.clip = _check_clip(clip, is_linear)
        # A weight is on a feature and on its bins alike, so every feature needs bins.
        self.bins = PiecewiseLinear(self.n_bins, every=feature_weights is not None)
        layers: list[nn.Module] = []
        width = n_features
        for size in sizes:
            layers += [nn.Linear(width, size), make_activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(width, n_outputs)

    @property
    def decays_by_default(self) -> bool:
        """Whether weights decay if the user sets no decay: in a network with hidden layers."""
        return len(self.hidden) > 0

    def forward(self, X: Tensor) -> Tensor:
        """Raw scores of shape (n, n_outputs)."""
        return self.output(self.hidden(self.encode(X)))  # type: ignore[no-any-return]

    def encode(self, X: Tensor) -> Tensor:
        """Input of the first layer: standardised, clipped, binned and weighed features."""
        n_features = X.shape[-1]
        X = (X - self.shift).div_(self.scale)  # in place on the difference, X is not changed
        if self.clip is not None:
            X = X.clamp_(-_LARGEST_VALUE, _LARGEST_VALUE)
            X = X / (X / self.clip).square_().add_(1).sqrt_()
        X = self.bins(X)
        if self.feature_weight is None:
            return X
        # A feature and its bins as rows, so that each has its weight.
        weighed: Tensor = self.feature_weight(X.reshape(*X.shape[:-2], -1, n_features))
        return weighed.reshape(X.shape)

    @torch.no_grad()
    def adapt_input(self, mean: Tensor, spread: Tensor) -> None:
        """Set the weighted mean and spread with which the input is standardised.

        Parameters
        ----------
        mean, spread : Tensor of shape (n_features,), float64
        """
        constant = spread <= _SMALLEST_RELATIVE_SPREAD * mean.abs()
        constant |= spread < torch.finfo(self.scale.dtype).tiny
        self.shift.copy_(mean)
        self.scale.copy_(spread.masked_fill(constant, 1.0))

    @torch.no_grad()
    def adapt_bins(self, edges: Tensor) -> None:
        """Set weighted quantiles of the input as edges of its bins; after ``adapt_input``.

        Replaces the first layer if its width changes.

        Parameters
        ----------
        edges : Tensor of shape (n_bins + 1, n_features), float64
        """
        edges = (edges - self.shift.cpu().double()) / self.scale.cpu().double()
        if self.clip is not None:
            edges = edges / (1 + (edges / self.clip) ** 2).sqrt()
        self.bins.adapt(edges)
        path = "hidden.0" if len(self.hidden) else "output"
        first = self.get_submodule(path)
        width = self.bins.n_outputs(len(self.shift))
        if isinstance(first, nn.Linear) and first.in_features != width:
            first = nn.Linear(width, first.out_features, device="cpu")  # the same on every device
            self.set_submodule(path, first.to(self.shift.device))

    @torch.no_grad()
    def adapt_output(self, constant: Tensor) -> None:
        """Set the bias of the output, so that training starts from a model that ignores X.

        Parameters
        ----------
        constant : Tensor of shape (n_outputs,)
            The raw scores of the best such model under the weights and the loss.
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
            hint = did_you_mean(activation, ACTIVATIONS.keys())
            raise ValueError(
                f"module__activation must be one of {list(ACTIVATIONS)} or a callable that "
                f"makes an nn.Module, got {activation!r}.{hint}"
            )
        return ACTIVATIONS[activation]
    return activation


def _check_bins(n_bins: int | str, n_features: float) -> int:
    """Number of bins; "auto" keeps the first layer from growing with many features."""
    if isinstance(n_bins, str) and n_bins == "auto":
        found = min(8, int(_MAX_BINS // n_features))
        return found if found > 1 else 0  # one bin would repeat the feature
    is_integer = hasattr(n_bins, "__index__") and not isinstance(n_bins, bool)
    if not is_integer or int(n_bins) < 0 or int(n_bins) == 1:
        raise ValueError(f'module__n_bins must be 0, an integer >= 2 or "auto", got {n_bins!r}.')
    return int(n_bins)


def _check_clip(clip: float | str | None, is_linear: bool) -> float | None:
    if isinstance(clip, str) and clip == "auto":
        return None if is_linear else 3.0
    is_number = isinstance(clip, Real) and not isinstance(clip, bool)
    if clip is not None and not (is_number and 0 < float(clip) < math.inf):
        raise ValueError(f'module__clip must be a number > 0, None or "auto", got {clip!r}.')
    return None if clip is None else float(clip)


def _check_sizes(hidden_sizes: Sequence[int]) -> Sequence[int]:
    iterable = isinstance(hidden_sizes, Iterable) and not isinstance(hidden_sizes, str)
    if not iterable or any(not hasattr(s, "__index__") or s < 1 for s in hidden_sizes):
        raise ValueError(
            "module__hidden_sizes must be a sequence of positive integers, such as (64, 64), "
            f"got {hidden_sizes!r}."
        )
    return hidden_sizes
