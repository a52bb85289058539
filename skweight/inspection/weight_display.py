"""How uneven sample weights are, and what they and class weights make of the classes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, divide, underflow_is_zero
from skweight.inspection.labels import codes_of_labels
from skweight.inspection.plotting import (
    BLUE,
    GREY,
    ORANGE,
    last_step,
    legend_above,
    one_axes,
    short,
    tidy,
    two_axes,
)
from skweight.weights import WeightSummary, check_sample_weight, n_rows_of, weight_summary

_BINS = 24
_LOG_FROM = 20.0  # weights whose largest is so many times the smallest are drawn on a log scale
_MOST_CLASSES = 12
_CLASSES_OF_A_PANEL = 6  # whose bars are as high as hatches need; with more, the figure is higher


class WeightDisplay:
    """How uneven sample weights are, and the share of each class in the loss.

    Use :meth:`from_weights` or :meth:`from_estimator`. The first panel is a histogram of the
    weights as multiples of their mean, with the share of the rows and the share of the mass (the
    total weight) in each bin. Where the two lie far apart, a few rows decide the fit. The second
    panel, if there are classes, shows the share of each class in the rows, in the mass, and in the
    loss, where class weights count too.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,)
        Non-negative weights. Rows of weight 0 are left out.
    summary : WeightSummary
        What :func:`~skweight.weight_summary` returned for the same weights.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins, in multiples of the mean weight.
    row_share, mass_share : ndarray of shape (n_bins,)
        Shares of rows and of mass in each bin.
    ax_ : matplotlib Axes
        The histogram.
    axes_ : list of matplotlib Axes
        Both panels, or the only one.
    figure_ : matplotlib Figure
        The figure that holds them.

    Notes
    -----
    The scale of the weights and the order of rows mean nothing. Copies of a row are counted as rows
    of their own: the histogram and the effective size of two rows of weight 1 differ from those of
    one row of weight 2, while the shares of mass and loss are the same.

    Examples
    --------
    >>> from skweight.inspection import WeightDisplay
    >>> display = WeightDisplay.from_weights([1.0, 1.0, 4.0, 2.0], ["no", "no", "no", "yes"])
    >>> display.summary["loss_share"].tolist()
    [0.75, 0.25, 1.0]
    """

    @underflow_is_zero
    def __init__(self, sample_weight: ArrayLike, summary: WeightSummary) -> None:
        weight = check_sample_weight(sample_weight, _n_rows(sample_weight, "sample_weight"))
        weight = weight[weight > 0]
        # What underflows to 0 has no place on a logarithmic axis.
        weight = np.maximum(divide(weight, weight.max()), np.finfo(np.float64).tiny)
        weight = weight / weight.mean()
        if not isinstance(summary, WeightSummary):
            raise TypeError(
                f"summary must be that of weight_summary, got {type(summary).__name__}."
            )
        self.summary = summary
        self.edges = _edges(weight)
        bins = np.clip(np.searchsorted(self.edges, weight, side="right") - 1, 0, _BINS - 1)
        self.row_share = np.bincount(bins, minlength=_BINS) / len(weight)
        self.mass_share = np.bincount(bins, weight, minlength=_BINS) / weight.sum()

    @classmethod
    def from_weights(
        cls,
        sample_weight: ArrayLike | None,
        y: ArrayLike | None = None,
        *,
        class_weight: Any = None,
        ax: Any = None,
    ) -> "WeightDisplay":
        """Draw weights, by class if y holds labels.

        Parameters
        ----------
        sample_weight : array-like of shape (n_samples,) or None
            Non-negative weights. None is 1 for every row, and needs y.
        y : array-like of shape (n_samples,), default=None
            Labels. None or a regression target draws the histogram only.
        class_weight : None, "balanced", dict or callable, default=None
            Class weights, as for :class:`~skweight.WeightedTorchClassifier`.
        ax : matplotlib Axes, default=None
            Axes, such as one of a grid, in whose place both panels are drawn. None makes a figure.

        Returns
        -------
        WeightDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If an argument is not as described, or there are neither weights nor y.
        """
        if sample_weight is None and y is None:
            raise ValueError("sample_weight or y must be given, got None for both.")
        given: Any = sample_weight if y is None else y
        n_rows = _n_rows(given, "sample_weight" if y is None else "y")
        weight = check_sample_weight(sample_weight, n_rows)
        labels = np.full(n_rows, 0.5) if y is None else y
        return cls(weight, weight_summary(labels, sample_weight, class_weight)).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        ax: Any = None,
    ) -> "WeightDisplay":
        """Draw the weights with which an estimator was fitted.

        Parameters
        ----------
        estimator : WeightedTorchClassifier or WeightedTorchRegressor
            Fitted; or a pipeline or a search that ends with one. Its class weights and powers of
            weights are used. ``sample_weight_power`` is applied to each row; ``fit`` applies it to
            the total weight of equal rows, which differs if there are copies of rows.
        y : array-like of shape (n_samples,)
            The y of ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of ``fit``; None is 1 for every row.
        ax : matplotlib Axes, default=None
            Axes, such as one of a grid, in whose place both panels are drawn. None makes a figure.

        Returns
        -------
        WeightDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If an argument is not as described, or y is multilabel.
        """
        fitted = last_step(estimator)
        weight = check_sample_weight(sample_weight, _n_rows(y, "y"))
        power = fitted.sample_weight_power
        weight = np.where(weight > 0, weight**power, 0.0)
        class_weight = None
        if hasattr(fitted, "class_weight_"):
            if fitted.class_weight_.ndim > 1:
                raise ValueError(
                    "y must hold one label per row, got a multilabel y. Draw one label with "
                    "WeightDisplay.from_weights(sample_weight, y[:, 0], class_weight=...)."
                )
            codes_of_labels(fitted, y, weight)
            class_weight = dict(zip(fitted.classes_.tolist(), fitted.class_weight_.tolist()))
        return cls.from_weights(weight, y, class_weight=class_weight, ax=ax)

    def plot(self, ax: Any = None) -> "WeightDisplay":
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes, such as one of a grid, in whose place both panels are drawn. None makes a figure.

        Returns
        -------
        WeightDisplay
            This display, with ``ax_``, ``axes_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If ax is not as described.
        """
        n_bars = min(len(self.summary["class"]) - 1, _MOST_CLASSES)
        if n_bars:
            ratio = max(1.0, n_bars / _CLASSES_OF_A_PANEL)
            self.axes_ = two_axes(ax, ratios=(1, ratio))
            if ax is None:
                figure = self.axes_[0].figure
                figure.set_figheight(figure.get_figheight() * (1 + ratio) / 2)
            self._draw_classes(self.axes_[1])
        else:
            self.axes_ = [one_axes(ax)]
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        self._draw_histogram(self.ax_)
        return self

    def _draw_histogram(self, ax: Any) -> None:
        ax.stairs(self.row_share, self.edges, fill=True, color=GREY, alpha=0.5, label="rows")
        ax.stairs(self.mass_share, self.edges, color=BLUE, linewidth=1.8, label="mass")
        if self.edges[-1] > _LOG_FROM * self.edges[0]:
            ax.set_xscale("log")
        rows, mass, size = (self.summary[k][-1] for k in ("rows", "mass", "effective_size"))
        title = (
            f"{rows:,.0f} rows, mass {_count(mass)}, effective size {size:,.0f} ({size / rows:.0%})"
        )
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="weight / mean weight", ylabel="share in the bin")
        ax.legend(frameon=False, fontsize="small")
        tidy(ax)

    def _draw_classes(self, ax: Any) -> None:
        shares, names = _shares_of_classes(self.summary)
        place = np.arange(len(names))
        styles = [("rows", GREY, ""), ("mass", BLUE, "//"), ("loss", ORANGE, "..")]
        for number, (name, colour, hatch) in enumerate(styles):
            ax.barh(
                place + 0.27 * (number - 1),
                shares[number],
                0.25,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                label=f"share of {name}",
            )
        ax.set_yticks(place, [short(name) for name in names])
        ax.set(xlabel="share", ylim=(len(names) - 0.4, -0.6))  # the first class at the top
        legend_above(ax, 3)
        tidy(ax)


def _n_rows(values: Any, name: str) -> int:
    found = n_rows_of(values)
    if found is None:
        raise TypeError(f"{name} must have one entry per row, got {values!r}.")
    return found


def _count(mass: float) -> str:
    return f"{mass:,.0f}" if mass >= 1000 else f"{mass:.4g}"


def _edges(weight: Floats) -> Floats:
    """Edges of equal bins, of logarithms if the weights differ much."""
    low, high = float(weight.min()), float(weight.max())
    if high <= low * (1 + 1e-9):
        return np.linspace(low / 2, low * 1.5, _BINS + 1)
    if high > _LOG_FROM * low:
        return np.asarray(np.geomspace(low, high, _BINS + 1))
    return np.linspace(low, high, _BINS + 1)


def _shares_of_classes(summary: WeightSummary) -> tuple[NDArray[np.float64], list[Any]]:
    """Shares in rows, mass and loss, shape (3, n_classes), and names; small classes together."""
    columns = ("rows", "mass", "loss_share")
    shares = np.array([summary[name][:-1] / summary[name][-1] for name in columns])
    names = summary["class"][:-1].tolist()
    if len(names) <= _MOST_CLASSES:
        return shares, names
    order = np.argsort(-shares[2], kind="stable")
    kept, others = order[: _MOST_CLASSES - 1], order[_MOST_CLASSES - 1 :]
    together = shares[:, others].sum(axis=1, keepdims=True)
    named = [names[place] for place in kept]
    return np.hstack([shares[:, kept], together]), [*named, f"{len(others)} other classes"]
