"""The default network.

Whatever depends on the data is set before training, by one call each of ``adapt_categories``,
``adapt_input``, ``adapt_values``, ``adapt_bins`` and ``adapt_output``, in this order.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from skweight._keywords import Auto, as_real, check_flag, did_you_mean, is_integer
from skweight.modules.bins import PiecewiseLinear
from skweight.modules.clipping import smooth_clip
from skweight.modules.columns import Columns, positions
from skweight.modules.embeddings import CategoryEmbedding
from skweight.modules.feature_weights import (
    EncodedFeatureWeight,
    FeatureWeights,
    check_count,
    check_weights,
)
from skweight.modules.indicators import CategoryIndicators, ValueIndicators

Activation = Literal["relu", "gelu", "silu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
# A float32 column whose ratio of spread to mean is smaller varies by rounding errors only.
_ROUNDING = 3 * torch.finfo(torch.float32).eps
# What such a column is divided by, as a share of its mean.
_SCALE_OF_CONSTANT = 1e-6
_TINY = torch.finfo(torch.float32).tiny
# Without hidden layers standardised numbers end here: rows of hardly any weight may be further out
# by any factor, and exponentials of their scores would be infinite.
_FURTHEST = 1e3
# Where the middle half of a column is a smaller share of its spread, the spread is that of a few
# outliers, beside which float32 would take all others for equal.
SMALLEST_MIDDLE = 1e-4
# Numbers of bins of a feature to choose from, and the largest number of all features together.
_FEWEST_BINS, _MOST_BINS = 8, 32
_MAX_BINS = 1024
# Most categories of a column that are encoded by indicators.
_MAX_INDICATORS = {"hidden layers": 16, "linear": 1000}


class MLP(nn.Module):
    """A multilayer perceptron that reads numbers, categories and missing values.

    What the first layer sees of a column of X depends on the kind of the column:

    - A **number** is standardised and clipped, and encoded in bins too. A missing number (NaN) is
      replaced by the weighted mean, and a column with missing numbers in the training rows has an
      indicator that tells so. With bins, a value that a large share of the rows have (zero, say)
      also has an indicator, and the bins of its column are for the other values.
    - A **category** with few values has an indicator for each of them, and one with many values an
      embedding: a trained vector for each. For a category that is not in the training rows the
      indicators and the vector are 0, which stands for an average category.

    An indicator is standardised and clipped like a number, see
    :class:`~skweight.modules.CategoryIndicators`.

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
        Categories have none, and missing values and values with an indicator do not count.
        "auto" is the cube root of the number of distinct training rows, between 8 and 32; for many
        number columns it is 1,024 over their number, if that is less, and none for more than 512;
        and none without hidden layers. Setting the bins replaces the first layer by one of the
        right width.
    clip : float, None or "auto", default="auto"
        Standardised values ``z`` become ``z / sqrt(1 + (z / clip)^2)``, which is about ``z`` near
        0 and stays between ``-clip`` and ``clip``, so that outliers neither dominate the training
        nor are extrapolated to. None leaves values as they are. "auto" is 3; without hidden layers
        it is None, but values beyond -1,000 and 1,000 count as these.
    max_indicators : int >= 0 or "auto", default="auto"
        A category column with at most so many categories is encoded by indicators, any other by
        an embedding. 0 embeds all. "auto" is 16; it is 1,000 without hidden layers, so that the
        model is linear in its parameters.
    embedding_size : int >= 1, default=8
        Length of the vector of a category, see :class:`~skweight.modules.CategoryEmbedding`.
    activation : {"relu", "gelu", "silu", "tanh"} or callable, default="relu"
        A name, or a callable without arguments that returns an ``nn.Module``.
    dropout : float, default=0.0
        Probability of dropping a hidden unit, in [0, 1).
    feature_weights : float, sequence or Tensor of shape (n_features,), default=None
        Initial weights on the features, in the order of the columns, see
        :class:`~skweight.FeatureWeight`. The weight of a column multiplies all numbers that the
        first layer sees of it. None is a network without that layer.
    learnable_feature_weights : bool, default=True
        Whether training changes ``feature_weights``.
    zero_output : bool, default=False
        Whether the weights of the output layer begin at zero, so that training starts from a model
        that ignores X: the best constant or, in a fit with an offset, the offset alone. With the
        linear predictor of a generalised linear model as the offset, the first predictions are
        those of that model (Schelldorfer & Wüthrich 2019).

    Attributes
    ----------
    decays_by_default : bool
        True with hidden layers: weights then decay, unless settings of the optimizer say how.
    starts_at_offset : bool
        The same as ``zero_output``: in a fit with an offset, ``adapt_output`` is given the scores
        with which predictions are the offset alone, and not those of the best constant beside it.

    Notes
    -----
    **Shape.** Input ``(n, n_features)``, output ``(n, n_outputs)``, raw scores. A category column
    holds whole numbers, its codes: 0 for everything that is no known category, then 1, 2, ...

    References
    ----------
    D. Holzmüller, L. Grinsztajn & I. Steinwart, Better by default, NeurIPS 2024 (smooth clipping;
    indicators of few categories, embeddings of size 8 of many); for the bins see
    :class:`~skweight.modules.PiecewiseLinear`. J. Schelldorfer & M. V. Wüthrich, Nesting classical
    actuarial models into neural networks, SSRN 3320525, 2019 (``zero_output``).

    Examples
    --------
    >>> import torch
    >>> from skweight.modules import MLP
    >>> MLP(4, 3, hidden_sizes=(8,))(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    shift: Tensor
    scale: Tensor
    furthest: float | None = None  # also of networks that were pickled before there was a bound

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden_sizes: Sequence[int] = (64, 64),
        n_bins: int | Auto = "auto",
        clip: float | Auto | None = "auto",
        max_indicators: int | Auto = "auto",
        embedding_size: int = 8,
        activation: Activation | Callable[[], nn.Module] = "relu",
        dropout: float = 0.0,
        feature_weights: FeatureWeights | None = None,
        learnable_feature_weights: bool = True,
        zero_output: bool = False,
    ) -> None:
        super().__init__()
        check_count(n_features, "n_features")
        check_count(n_outputs, "n_outputs")
        self.n_features = n_features
        self.register_buffer("shift", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.feature_weight: EncodedFeatureWeight | None = None
        is_learnable = check_flag(learnable_feature_weights, "module__learnable_feature_weights")
        if feature_weights is not None:
            checked = check_weights(feature_weights, n_features, "module__feature_weights")
            self.feature_weight = EncodedFeatureWeight(n_features, checked, is_learnable)
        if feature_weights is None and not is_learnable:
            raise ValueError(
                "module__learnable_feature_weights=False needs module__feature_weights to hold, "
                "got None."
            )
        if not 0 <= as_real(dropout) < 1:
            raise ValueError(f"module__dropout must be a number in [0, 1), got {dropout!r}.")
        make_activation = _check_activation(activation)
        sizes = _check_sizes(hidden_sizes)
        is_linear = len(sizes) == 0
        self.chooses_bins = isinstance(n_bins, str) and not is_linear
        self.n_bins = _check_bins(n_bins, math.inf if is_linear else n_features)
        self.clip = _check_clip(clip, is_linear)
        if is_linear and isinstance(clip, str):
            self.furthest = _FURTHEST
        self.max_indicators = _check_max_indicators(max_indicators, is_linear)
        if not is_integer(embedding_size, 1):
            raise ValueError(
                f"module__embedding_size must be an integer >= 1, got {embedding_size!r}."
            )
        self.embedding_size = int(embedding_size)
        self.bins = PiecewiseLinear(self.n_bins)
        # Number of codes of each column, 0 for a number column; empty without categories.
        self.cardinalities: tuple[int, ...] = ()
        self.numbers: Columns | None = None
        self.category_indicators: CategoryIndicators | None = None
        self.value_indicators: ValueIndicators | None = None
        self.embedding: CategoryEmbedding | None = None
        layers: list[nn.Module] = []
        width = n_features
        for size in sizes:
            layers += [nn.Linear(width, size), _make_activation(make_activation)]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(width, n_outputs)
        self.starts_at_offset = check_flag(zero_output, "module__zero_output")
        self._clear_output()

    def _clear_output(self) -> None:
        if self.starts_at_offset:
            self.forget_input()

    @property
    def decays_by_default(self) -> bool:
        """Whether weights decay if the user sets no decay: in a network with hidden layers."""
        return len(self.hidden) > 0

    @property
    def uses_mass_points(self) -> bool:
        """Whether values that many rows have get indicators: not in a network without bins."""
        # It sees numbers only as they are, so that a linear model remains linear.
        return self.n_bins != 0

    def forward(self, X: Tensor) -> Tensor:
        """Raw scores of shape (n, n_outputs)."""
        return self.output(self.hidden(self.encode(X)))  # type: ignore[no-any-return]

    def encode(self, X: Tensor) -> Tensor:
        """Input of the first layer: encoded and weighed numbers and categories."""
        encoded = self.encode_values(X)
        if self.embedding is not None:
            encoded = torch.cat([encoded, self.embedding(X)], dim=-1)
        if self.feature_weight is None:
            return encoded
        weighed: Tensor = self.feature_weight(encoded)
        return weighed

    def encode_values(self, X: Tensor) -> Tensor:
        """The part of the encoding that is not trained: numbers and indicators."""
        numbers = X if self.numbers is None else self.numbers(X)
        numbers = (numbers - self.shift).div_(self.scale)  # in place on the difference, not on X
        numbers = smooth_clip(numbers, self.clip)
        numbers = numbers.nan_to_num_(0.0, math.inf, -math.inf)  # infinities stay
        indicators = (self.category_indicators, self.value_indicators)
        parts = [self.bins(numbers), *(layer(X) for layer in indicators if layer is not None)]
        encoded: Tensor = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        return encoded if self.furthest is None else encoded.clamp_(-self.furthest, self.furthest)

    def encode_untrained(self, X: Tensor) -> Tensor:
        """What training does not change: :meth:`encode_values`, then the embedded codes themselves.

        The trained part of :meth:`encode` puts vectors in their place, and weighs all numbers.
        """
        encoded = self.encode_values(X)
        if self.embedding is None:
            return encoded
        return torch.cat([encoded, self.embedding.codes(X)], dim=-1)

    def choose_n_bins(self, n_rows: int) -> int:
        """The number of bins for so many distinct training rows.

        Bins as narrow as the error of their height allows are about as many as the cube root of
        the rows (D. Freedman & P. Diaconis, On the histogram as a density estimator, Zeitschrift
        für Wahrscheinlichkeitstheorie 57, 1981).
        """
        if not self.chooses_bins or self.n_bins == 0:
            return self.n_bins
        return int(min(self.n_bins, max(_FEWEST_BINS, round(n_rows ** (1 / 3)))))

    @torch.no_grad()
    def adapt_categories(self, cardinalities: Sequence[int]) -> None:
        """Set which columns are categories; before all other calls.

        Makes the embeddings. Indicators follow with :meth:`adapt_values`. A network without
        categories stays as it is if no column is one.

        Parameters
        ----------
        cardinalities : sequence of int, of length n_features
            Number of codes of each category column, code 0 included; 0 for a number column.
        """
        has_categories = any(cardinalities)
        if not has_categories and not self.cardinalities:
            return
        if len(cardinalities) != self.n_features:
            raise ValueError(
                f"cardinalities must hold a number for each of {self.n_features} columns, got "
                f"{len(cardinalities)}."
            )
        self.cardinalities = tuple(map(int, cardinalities)) if has_categories else ()
        where = self.shift.device
        of_numbers = [j for j, n_codes in enumerate(cardinalities) if n_codes == 0]
        self.numbers = Columns(of_numbers).to(where) if has_categories else None
        if self.chooses_bins:
            self.n_bins = _most_bins(len(of_numbers))
        self.shift = self.shift.new_zeros(len(of_numbers))
        self.scale = self.scale.new_ones(len(of_numbers))
        embedded = {j: n for j, n in enumerate(self.cardinalities) if self._is_embedded(n)}
        self.embedding = None
        if embedded:
            found = CategoryEmbedding([*embedded], [*embedded.values()], self.embedding_size)
            self.embedding = found.to(where)

    def _is_embedded(self, cardinality: int) -> bool:
        return cardinality - 1 > self.max_indicators

    @torch.no_grad()
    def adapt_input(self, mean: Tensor, spread: Tensor) -> None:
        """Set the weighted mean and spread with which numbers are standardised.

        Parameters
        ----------
        mean, spread : Tensor of shape (n_features,), float64
            Of values that are not missing. Those of category columns are not used.
        """
        if self.numbers is not None:
            mean, spread = mean[[*self.numbers.columns]], spread[[*self.numbers.columns]]
        constant = (spread <= _ROUNDING * mean.abs()) | (spread < _TINY)
        self.shift.copy_(mean)
        # Rows of hardly any weight may differ by much: theirs are not to become infinite.
        largest = (_SCALE_OF_CONSTANT * mean.abs()).clamp(min=1.0)
        self.scale.copy_(torch.where(constant, largest, spread))

    @torch.no_grad()
    def adapt_values(self, columns: Tensor, values: Tensor, shares: Tensor) -> None:
        """Set the indicators, and embeddings of categories without training rows to 0.

        Replaces the first layer if its width changes and no bins will follow.

        Parameters
        ----------
        columns : Tensor of shape (n_values,), int64
            Positions of columns.
        values : Tensor of shape (n_values,)
            Values in these columns: codes of categories, NaN for "missing" in a number column,
            and numbers that a large share of the rows have.
        shares : Tensor of shape (n_values,), float64
            The weighted share of the training rows whose column has the value.
        """
        of_codes = {
            column: _shares_of_codes(n_codes, values[columns == column], shares[columns == column])
            for column, n_codes in enumerate(self.cardinalities)
            if n_codes > 0
        }
        if self.embedding is not None:
            self.embedding.adapt(of_codes)
        few = {j: s for j, s in of_codes.items() if not self._is_embedded(len(s))}
        used = torch.full_like(values, self.uses_mass_points, dtype=torch.bool) | values.isnan()
        used &= ~torch.isin(columns, positions([*of_codes]))
        where = self.shift.device
        self.category_indicators = self.value_indicators = None
        if few:
            in_categories = CategoryIndicators(few, self.clip).to(where)
            self.category_indicators = in_categories if in_categories.indicated else None
        if used.any():
            in_numbers = ValueIndicators(columns[used], values[used], shares[used], self.clip)
            self.value_indicators = in_numbers.to(where)
        if self.n_bins == 0:
            self._set_first_layer()

    @torch.no_grad()
    def adapt_bins(self, edges: Tensor) -> None:
        """Set weighted quantiles of the input as edges of its bins; after ``adapt_input``.

        Replaces the first layer if its width changes. A column whose spread is that of a few
        outliers is standardised by its middle half instead.

        Parameters
        ----------
        edges : Tensor of shape (n_bins + 1, n_features), float64
            Those of category columns are not used.
        """
        if self.numbers is not None:
            edges = edges[:, [*self.numbers.columns]]
        self.n_bins = len(edges) - 1
        self._look_past_outliers(edges)
        edges = (edges - self.shift.cpu().double()) / self.scale.cpu().double()
        self.bins.adapt(smooth_clip(edges, self.clip))
        self._set_first_layer()

    def _look_past_outliers(self, edges: Tensor) -> None:
        low, high = edges[self.n_bins // 4], edges[-1 - self.n_bins // 4]
        middle, center = high - low, (low + high) / 2
        smallest = (_ROUNDING * center.abs()).clamp(min=_TINY)
        spread = self.scale.cpu().double()
        outlying = (middle > smallest) & (middle < SMALLEST_MIDDLE * spread)
        if outlying.any():
            self.shift.copy_(torch.where(outlying, center, self.shift.cpu().double()))
            # Quartiles of a normal distribution are 1.35 standard deviations apart.
            self.scale.copy_(torch.where(outlying, middle / 1.35, spread))

    def _set_first_layer(self) -> None:
        """Give feature weights and the first layer, if they need it, another width."""
        owner = self._owner()
        if self.feature_weight is not None:
            self.feature_weight.adapt(owner)
        path = "hidden.0" if len(self.hidden) else "output"
        first = self.get_submodule(path)
        if isinstance(first, nn.Linear) and first.in_features != len(owner):
            first = _linear(len(owner), first.out_features)
            self.set_submodule(path, first.to(self.shift.device))
            self._clear_output()  # it is the first layer where there are no hidden ones

    def _owner(self) -> Tensor:
        """The column of each number that the first layer sees."""
        every = torch.arange(self.n_features, device=self.shift.device)
        numbers = every if self.numbers is None else self.numbers.index
        parts = [numbers, numbers[self.bins.index].repeat(self.n_bins)]
        for layer in (self.category_indicators, self.value_indicators):
            if layer is not None:
                parts.append(layer.columns)
        if self.embedding is not None:
            parts.append(self.embedding.columns.repeat_interleave(self.embedding_size))
        return torch.cat(parts)

    @torch.no_grad()
    def forget_input(self) -> None:
        """Set the weights of the output to zero, so that all rows have its bias as their score."""
        nn.init.zeros_(self.output.weight)

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
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if not callable(activation):
        is_name = isinstance(activation, str)
        hint = did_you_mean(activation, ACTIVATIONS.keys()) if is_name else ""
        raise ValueError(
            f"module__activation must be one of {list(ACTIVATIONS)} or a callable that "
            f"makes an nn.Module, got {activation!r}.{hint}"
        )
    return activation


def _make_activation(activation: Callable[[], nn.Module]) -> nn.Module:
    """A new activation, or an error for a function such as ``torch.relu``."""
    made: Any = None
    try:
        made = activation()
    except TypeError as error:
        made = error
    if not isinstance(made, nn.Module):
        raise ValueError(
            "module__activation must make an nn.Module, such as nn.ReLU, when it is called "
            f"without arguments, got {made!r} from {activation!r}."
        )
    return made


def _check_bins(n_bins: int | str, n_numbers: float) -> int:
    if isinstance(n_bins, str) and n_bins == "auto":
        return _most_bins(n_numbers)
    if not is_integer(n_bins, 0) or int(n_bins) == 1:
        raise ValueError(f'module__n_bins must be 0, an integer >= 2 or "auto", got {n_bins!r}.')
    return int(n_bins)


def _most_bins(n_numbers: float) -> int:
    """Largest "auto" number of bins, so that the first layer does not grow with many columns."""
    found = min(_MOST_BINS, int(_MAX_BINS // max(n_numbers, 1)))
    return found if found > 1 else 0  # one bin would repeat the column


def _check_max_indicators(value: int | str, is_linear: bool) -> int:
    if isinstance(value, str) and value == "auto":
        return _MAX_INDICATORS["linear" if is_linear else "hidden layers"]
    if not is_integer(value, 0):
        raise ValueError(
            f'module__max_indicators must be an integer >= 0 or "auto", got {value!r}.'
        )
    return int(value)


def _check_clip(clip: float | str | None, is_linear: bool) -> float | None:
    if isinstance(clip, str) and clip == "auto":
        return None if is_linear else 3.0
    if clip is not None and not 0 < as_real(clip) < math.inf:
        raise ValueError(f'module__clip must be a number > 0, None or "auto", got {clip!r}.')
    return None if clip is None else float(clip)


def _check_sizes(hidden_sizes: Sequence[int]) -> Sequence[int]:
    is_sequence = hasattr(hidden_sizes, "__len__") and hasattr(hidden_sizes, "__getitem__")
    is_other = isinstance(hidden_sizes, (str, bytes, Mapping)) or not is_sequence
    if is_other or not all(is_integer(size, 1) for size in hidden_sizes):
        raise ValueError(
            "module__hidden_sizes must be a sequence of positive integers, such as (64, 64), "
            f"got {hidden_sizes!r}."
        )
    return hidden_sizes


def _shares_of_codes(cardinality: int, codes: Tensor, shares: Tensor) -> Tensor:
    """The shares of all codes of a column, 0 where none is given."""
    of_all = shares.new_zeros(cardinality)
    of_all[codes.long()] = shares
    return of_all


def _linear(n_inputs: int, n_outputs: int) -> nn.Linear:
    """A layer drawn on the CPU, the same on every device."""
    if n_inputs > 0:
        return nn.Linear(n_inputs, n_outputs, device="cpu")
    with warnings.catch_warnings():  # of no numbers at all: there is nothing to draw
        warnings.filterwarnings("ignore", "Initializing zero-element", UserWarning)
        return nn.Linear(n_inputs, n_outputs, device="cpu")
