"""Predicted probabilities beside what was observed, with weights."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skweight._keywords import Floats, check_choice
from skweight.inspection.calibration import (
    CalibrationTable,
    calibration_table,
    check_probabilities,
)
from skweight.inspection.labels import codes_of_labels, place_of_label
from skweight.inspection.plotting import BLUE, GREY, tidy, two_axes

_BINS_OF_MASS = 40
_ERRORS_IN_BAR = 1.96
_ONE_AGAINST_OTHERS = (
    " For one class against all others pass y == label and a column of predict_proba to "
    "from_predictions."
)


class CalibrationDisplay:
    """The observed share of a class against its predicted probability, in bins of equal weight.

    Use :meth:`from_estimator` or :meth:`from_predictions`. Bars are 95 % intervals: 1.96 standard
    errors of the weighted share of the bin, see :func:`~skweight.calibration_table`. The lower
    panel shows how the weight is spread over the probabilities.

    Parameters
    ----------
    table : CalibrationTable
        What :func:`~skweight.calibration_table` returned.
    y_prob : array-like of shape (n_samples,)
        The probabilities that the table was made of.
    sample_weight : array-like of shape (n_samples,) or None
        Their weights; None is 1 for every row.
    name : str, default=None
        Name of the model in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The upper panel.
    axes_ : list of matplotlib Axes
        Both panels.
    figure_ : matplotlib Figure
        The figure that holds them.
    mass_edges_ : ndarray of shape (n + 1,)
        Bins of the probability in the lower panel.
    mass_share_ : ndarray of shape (n,)
        Share of the weight in each of these bins; the first and the last also hold probabilities
        beyond the ends of the axis.
    errorbar_ : matplotlib ErrorbarContainer
        Points and bars of the upper panel.

    Notes
    -----
    Rows of weight 0 count as missing, and the scale of the weights and the order of rows mean
    nothing. An integer weight is the same as copies of the row, but for the length of the bars.

    Examples
    --------
    >>> from skweight.inspection import CalibrationDisplay
    >>> y_true, y_prob = [0, 0, 1, 0, 1, 1], [0.1, 0.1, 0.2, 0.4, 0.6, 0.9]
    >>> display = CalibrationDisplay.from_predictions(y_true, y_prob, n_bins=2)
    >>> display.table["mean_probability"].round(2).tolist()
    [0.13, 0.63]
    """

    def __init__(
        self,
        table: CalibrationTable,
        y_prob: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        name: str | None = None,
    ) -> None:
        if not isinstance(table, CalibrationTable):
            raise TypeError(f"table must be that of calibration_table, got {type(table).__name__}.")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str or None, got {name!r}.")
        self.table = table
        self.y_prob, self.sample_weight = check_probabilities(y_prob, sample_weight)
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        pos_label: Any = None,
        name: str | None = None,
        scale: str = "linear",
        ax: Any = None,
    ) -> "CalibrationDisplay":
        """Draw the calibration of predicted probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels of two classes at most. For one class of several, pass ``y == label``.
        y_prob : array-like of shape (n_samples,)
            The predicted probability of the class ``pos_label``.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. None is 1 for every row.
        n_bins : int, default=10
            The largest number of bins.
        pos_label : label, default=None
            The label of the class whose probability is given. None is 1 if the labels are 0 and 1,
            -1 and 1, or booleans, and an error otherwise.
        name : str, default=None
            Name of the model in the legend.
        scale : {"linear", "log"}, default="linear"
            Scale of both axes. "log" is for small probabilities; bins without a row of the class
            are not in it.
        ax : matplotlib Axes, default=None
            Axes, such as one of a grid, in whose place both panels are drawn. None makes a figure.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If an argument is not as described.
        """
        table = calibration_table(y_true, y_prob, sample_weight, n_bins=n_bins, pos_label=pos_label)
        return cls(table, y_prob, sample_weight, name=name).plot(ax, scale=scale)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        pos_label: Any = None,
        name: str | None = None,
        scale: str = "linear",
        ax: Any = None,
    ) -> "CalibrationDisplay":
        """Draw the calibration of a fitted classifier.

        Parameters
        ----------
        estimator : classifier with ``predict_proba``
            Fitted; of any library.
        X : array-like of shape (n_samples, n_features)
            Rows that it was not fitted to.
        y : array-like of shape (n_samples,)
            Their labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. None is 1 for every row.
        n_bins : int, default=10
            The largest number of bins.
        pos_label : label, default=None
            The class to draw, against all others. None is ``classes_[1]`` of two classes.
        name : str, default=None
            Name of the model in the legend. None is the name of the estimator's class.
        scale : {"linear", "log"}, default="linear"
            Scale of both axes. "log" is for small probabilities; bins without a row of the class
            are not in it.
        ax : matplotlib Axes, default=None
            Axes, such as one of a grid, in whose place both panels are drawn. None makes a figure.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If an argument is not as described, or y is multilabel.
        """
        _check_classifier(estimator)
        probability = np.asarray(estimator.predict_proba(X))
        _check_of_classes(estimator, y, probability)
        column = _column(estimator, pos_label)
        codes = codes_of_labels(estimator, y, sample_weight, _ONE_AGAINST_OTHERS)
        return cls.from_predictions(
            codes == column,
            probability[:, column],
            sample_weight=sample_weight,
            n_bins=n_bins,
            name=type(estimator).__name__ if name is None else name,
            scale=scale,
            ax=ax,
        )

    def plot(self, ax: Any = None, *, scale: str = "linear") -> "CalibrationDisplay":
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes, such as one of a grid, in whose place both panels are drawn. None makes a figure.
        scale : {"linear", "log"}, default="linear"
            Scale of both axes. "log" is for small probabilities; bins without a row of the class
            are not in it.

        Returns
        -------
        CalibrationDisplay
            This display, with ``ax_``, ``axes_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If ax or scale is not as described.
        """
        check_choice(scale, ("linear", "log"), "scale")
        self.axes_ = two_axes(ax, ratios=(4, 1))
        self.ax_, below = self.axes_
        self.figure_ = self.ax_.figure
        mean, share = self.table["mean_probability"], self.table["observed_share"]
        bar = _ERRORS_IN_BAR * self.table["standard_error"]
        low, high = _limits(mean, share, bar, scale)
        self.ax_.plot([low, high], [low, high], "--", color=GREY, label="perfect")
        # Shares are no more than 1 and no less than 0, whatever their standard error.
        bars = np.array([np.minimum(bar, share), np.minimum(bar, 1 - share)])
        label = "observed share, 95 % interval"
        self.errorbar_ = self.ax_.errorbar(
            mean,
            share,
            bars,
            fmt="o-",
            color=BLUE,
            capsize=3,
            linewidth=1.2,
            label=label if self.name is None else f"{self.name}: {label}",
        )
        self.mass_edges_, self.mass_share_ = _mass(
            self.y_prob, self.sample_weight, (max(low, 0.0), min(high, 1.0)), scale
        )
        below.stairs(self.mass_share_, self.mass_edges_, fill=True, color=GREY)
        for axes in self.axes_:
            axes.set_xscale(scale)
            axes.set_xlim(low, high)
            tidy(axes)
        self.ax_.set_yscale(scale)
        self.ax_.set(ylim=(low, high), ylabel="observed share of the weight")
        self.ax_.tick_params(labelbottom=False)
        self.ax_.legend(frameon=False, fontsize="small", loc="best")
        below.set(xlabel="predicted probability", ylabel="mass")
        return self


def _mass(
    probability: Floats, weight: Floats, limits: tuple[float, float], scale: str
) -> tuple[Floats, Floats]:
    """Edges of bins that look equal on the axis, and the share of the weight in each."""
    probability, weight = probability[weight > 0], weight[weight > 0]
    weight = weight / weight.max()
    make = np.geomspace if scale == "log" else np.linspace
    edges = np.asarray(make(*limits, _BINS_OF_MASS + 1))
    found = np.searchsorted(edges, probability, side="right") - 1
    found = np.clip(found, 0, _BINS_OF_MASS - 1)
    share = np.bincount(found, weight, minlength=_BINS_OF_MASS) / weight.sum()
    return edges, np.asarray(share)


def _limits(mean: Floats, share: Floats, bar: Floats, scale: str) -> tuple[float, float]:
    """Ends of both axes: all of 0 to 1, unless probabilities are small."""
    smallest = float(np.finfo(np.float64).tiny)  # what is smaller is drawn as 0
    high = min(1.0, 1.1 * float(max(mean.max(), (share + bar).max())))
    high = 1.02 if high > 0.6 or high <= smallest else high
    if scale == "linear":
        return -0.02 * high, high
    positive = np.concatenate([mean, share])
    positive = positive[positive > smallest]
    return (max(float(positive.min()) / 2, smallest) if len(positive) else 1e-3), high


def _check_classifier(estimator: Any) -> None:
    if isinstance(estimator, type) or not hasattr(estimator, "predict_proba"):
        is_class = isinstance(estimator, type)
        got = f"the class {estimator.__name__}" if is_class else type(estimator).__name__
        raise TypeError(f"estimator must be a fitted classifier with predict_proba, got {got}.")


def _check_of_classes(estimator: Any, y: Any, probability: Any) -> None:
    """Refuse several labels per row: the probabilities of one row are those of one label."""
    is_of_classes = probability.ndim == 2 and np.allclose(probability.sum(axis=1), 1, atol=1e-3)
    if np.ndim(y) == 1 and is_of_classes:
        return
    got = f"y of shape {np.shape(y)}" if is_of_classes else "a multilabel classifier"
    raise ValueError(
        f"y must hold one label per row, of a classifier of one label, got {got}. Draw one label "
        "of a multilabel y by from_predictions(y[:, 0], estimator.predict_proba(X)[:, 0])."
    )


def _column(estimator: Any, pos_label: Any) -> int:
    """The column of probabilities of the class to draw."""
    classes = np.asarray(estimator.classes_)
    if pos_label is None:
        if len(classes) != 2:
            raise ValueError(
                f"pos_label must be one of the classes {classes.tolist()}, which is drawn against "
                "the others, got None."
            )
        return 1
    return place_of_label(classes, pos_label)
