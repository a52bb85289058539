"""The weights of the features after a fit."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skweight._keywords import Floats
from skweight.inspection.plotting import BLUE, GREY, last_step, legend_below, one_axes, short, tidy
from skweight.modules import input_feature_weights

_NOTE = "Weights are not importances:\nthe next layer can make up for a small one."


class FeatureWeightDisplay:
    """Feature weights after training, the largest first, beside the initial ones.

    Use :meth:`from_estimator`. A weight is not the importance of its feature: the layer behind it
    can make up for a small weight, so such a feature may still decide predictions. To learn what a
    feature is worth, compare models with and without it, or permute it
    (:func:`sklearn.inspection.permutation_importance`).

    Parameters
    ----------
    weights : array-like of shape (n_members, n_features)
        Weights of each member after training; of shape (n_features,) for one network.
    feature_names : sequence of str, default=None
        Names of the features; None numbers them.
    initial : array-like of shape (n_features,), default=None
        Weights before training; None if they are unknown.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure that holds it.
    order_ : ndarray of int
        Positions of the features that are drawn, the largest mean weight first.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skweight import WeightedTorchClassifier
    >>> from skweight.inspection import FeatureWeightDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = WeightedTorchClassifier(max_epochs=2, module__feature_weights=1.0).fit(X, y)
    >>> FeatureWeightDisplay.from_estimator(clf).order_.shape
    (4,)
    """

    def __init__(
        self,
        weights: ArrayLike,
        feature_names: Sequence[Any] | None = None,
        initial: ArrayLike | None = None,
    ) -> None:
        self.weights = np.atleast_2d(_as_finite(weights, "weights"))
        n_features = self.weights.shape[1]
        names: Any = [f"feature {j}" for j in range(n_features)]
        names = names if feature_names is None else feature_names
        if np.ndim(names) != 1 or len(names) != n_features:
            got = f"{len(names)}" if np.ndim(names) == 1 else f"{names!r}"
            raise ValueError(
                f"feature_names must hold one entry for each of {n_features} features, got {got}."
            )
        self.feature_names = [*map(str, names)]
        self.initial = None if initial is None else _as_finite(initial, "initial", n_features)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, max_features: int = 20, ax: Any = None
    ) -> "FeatureWeightDisplay":
        """Draw the weights of a fitted estimator.

        Parameters
        ----------
        estimator : WeightedTorchClassifier or WeightedTorchRegressor
            Fitted, with ``module__feature_weights`` or another layer of weights on its inputs; or a
            pipeline or a search that ends with one.
        max_features : int, default=20
            The largest number of features to draw: those with the largest weights.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        FeatureWeightDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        AttributeError
            If the network has no feature weights.
        TypeError, ValueError
            If an argument is not as described.
        """
        fitted = last_step(estimator)
        n_features = len(fitted.feature_weights_)  # an error that explains itself if there are none
        layers = (input_feature_weights(net.module_, n_features) for net in fitted.nets_)
        weights = [layer.detach().cpu().numpy() for layer in layers if layer is not None]
        names = getattr(fitted, "feature_names_in_", None)
        names = None if names is None else names.tolist()
        given = fitted.get_params().get("module__feature_weights")
        initial = _initial(given, names, n_features)
        return cls(weights, names, initial).plot(ax, max_features=max_features)

    def plot(self, ax: Any = None, *, max_features: int = 20) -> "FeatureWeightDisplay":
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        max_features : int, default=20
            The largest number of features to draw: those with the largest weights.

        Returns
        -------
        FeatureWeightDisplay
            This display, with ``ax_``, ``figure_`` and ``order_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If ax or max_features is not as described.
        """
        is_integer = isinstance(max_features, Integral) and not isinstance(max_features, bool)
        if not is_integer or max_features < 1:
            raise ValueError(f"max_features must be an integer >= 1, got {max_features!r}.")
        mean = self.weights.mean(axis=0)
        self.order_ = np.argsort(-mean, kind="stable")[:max_features]
        n_drawn = len(self.order_)
        place = np.arange(n_drawn)[::-1]
        is_new = ax is None
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        if is_new and n_drawn > 12:
            self.figure_.set_figheight(1.6 + 0.26 * n_drawn)
        if self.initial is not None:
            self.ax_.plot(
                self.initial[self.order_],
                place,
                linestyle="",
                marker="|",
                markersize=14,
                color=GREY,
                label="before training",
            )
        if len(self.weights) > 1:
            for member in self.weights:
                drawn = self.ax_.plot(member[self.order_], place, "x", color=GREY, markersize=5)
            drawn[0].set_label("members")
        label = "mean of the members" if len(self.weights) > 1 else "after training"
        self.ax_.plot(mean[self.order_], place, "o", color=BLUE, label=label)
        self.ax_.set_yticks(place, [short(self.feature_names[j]) for j in self.order_])
        self.ax_.set(xlabel="feature weight", ylim=(-0.6, n_drawn - 0.4))
        self.ax_.set_title(self._title(), fontsize="small")
        self.ax_.grid(axis="y", linewidth=0.4)
        legend_below(self.ax_, 3)
        tidy(self.ax_)
        return self

    def _title(self) -> str:
        n_features, n_drawn = self.weights.shape[1], len(self.order_)
        if n_drawn == n_features:
            return _NOTE
        return f"The {n_drawn} largest of {n_features} weights.\n{_NOTE}"


def _as_finite(values: Any, name: str, n_features: int | None = None) -> Floats:
    """Finite numbers of shape (n_features,), or also (n_members, n_features) of any number."""
    try:
        given = np.asarray(values)
        found = given.astype(np.float64) if given.dtype.kind in "biufO" else np.full(0, np.nan)
    except (TypeError, ValueError, OverflowError):  # no numbers, or lists of several lengths
        found = np.full(0, np.nan)
    has_shape = found.ndim in (1, 2) if n_features is None else found.shape == (n_features,)
    if has_shape and found.size and np.isfinite(found).all():
        return found
    shape = "(n_features,) or (n_members, n_features)" if n_features is None else f"({n_features},)"
    raise ValueError(f"{name} must be finite numbers of shape {shape}, got {values!r}.")


def _initial(given: Any, names: Sequence[Any] | None, n_features: int) -> Floats | None:
    """The weights that the parameter of the default network gives to each feature."""
    if given is None:
        return None
    if isinstance(given, Mapping) or hasattr(given, "items"):
        by_name = dict(given.items())
        known = range(n_features) if names is None else names
        return np.array([float(by_name.get(name, 1.0)) for name in known])
    values = given.tolist() if hasattr(given, "tolist") else given
    return np.asarray(np.broadcast_to(np.asarray(values, dtype=np.float64), n_features))
