"""The scores of a search over weight settings, and precision and recall of every setting."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.metrics import precision_recall_curve

from skweight._keywords import Floats
from skweight.inspection.labels import place_of_label
from skweight.inspection.plotting import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    names_below,
    one_axes,
    tidy,
)
from skweight.inspection.setting_names import is_number, names_of, varied_parameters
from skweight.weights import as_float64, as_numbers, check_sample_weight, n_rows_of

_MOST_LINES = 8
_LETTERS = 36  # of a name beside an axis, in a line
_LOG_FROM = 50.0  # settings whose largest is so many times the smallest are drawn on a log scale
_BARS = "mean ± standard deviation of the folds"
Curve = tuple[Floats, Floats]


class WeightSearchDisplay:
    """The scores of the candidates of a search, or their precision-recall curves.

    Use :meth:`from_estimator` or :meth:`from_predictions`. Scores are means over the folds. Bars
    reach one standard deviation of the folds up and down: they show how much folds differ. They do
    not show how sure the difference of two candidates is, since all have the same folds.

    Parameters
    ----------
    settings : list of dict
        The parameters of each candidate.
    scores : array-like of shape (n_candidates, n_splits)
        The score of each candidate in each fold; NaN where a fit failed.
    best_index : int, default=None
        Position of the candidate that was chosen; None marks none.
    metric : str, default="score"
        Name of the score, for the axis.
    curves : list of (ndarray, ndarray), default=None
        Recall and precision of each candidate, which are drawn in place of the scores.

    Attributes
    ----------
    mean_score, std_score : ndarray of shape (n_candidates,)
        Mean and standard deviation over the folds.
    varied : list of str
        Names of parameters that differ between candidates.
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure that holds it.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skweight import WeightedTorchClassifier, WeightSearchCV
    >>> from skweight.inspection import WeightSearchDisplay
    >>> X, y = make_classification(200, weights=[0.9], random_state=0)
    >>> search = WeightSearchCV(
    ...     WeightedTorchClassifier(class_weight="balanced", max_epochs=5, random_state=0),
    ...     {"class_weight_power": [0.0, 0.5, 1.0]},
    ... ).fit(X, y)
    >>> WeightSearchDisplay.from_estimator(search).ax_.get_xlabel()
    'class_weight_power'
    """

    def __init__(
        self,
        settings: Sequence[Mapping[str, Any]],
        scores: ArrayLike,
        best_index: int | None = None,
        *,
        metric: str = "score",
        curves: Sequence[Curve] | None = None,
    ) -> None:
        self.settings = _as_dicts(settings)
        self.scores = as_float64(scores, "scores")
        if self.scores.ndim != 2 or len(self.scores) != len(self.settings):
            raise ValueError(
                f"scores must have shape (n_candidates, n_splits) with {len(self.settings)} "
                f"candidates, got {self.scores.shape}."
            )
        n_candidates = len(self.settings)
        is_integer = isinstance(best_index, Integral) and not isinstance(best_index, bool)
        if best_index is not None and not (is_integer and 0 <= best_index < n_candidates):
            raise ValueError(
                f"best_index must be None or an integer from 0 to {n_candidates - 1}, got "
                f"{best_index!r}."
            )
        if not isinstance(metric, str):
            raise TypeError(f"metric must be a str, got {metric!r}.")
        if curves is not None and n_rows_of(curves) != n_candidates:
            raise ValueError(
                f"curves must hold one pair for each of {n_candidates} candidates, got "
                f"{n_rows_of(curves)}."
            )
        self.best_index = best_index
        self.metric = metric
        self.curves = curves
        self.mean_score = self.scores.mean(axis=1)
        self.std_score = self.scores.std(axis=1)
        self.varied = varied_parameters(self.settings)

    @classmethod
    def from_estimator(
        cls, search: Any, *, metric: str | None = None, ax: Any = None
    ) -> "WeightSearchDisplay":
        """Draw the scores of a fitted search.

        Parameters
        ----------
        search : WeightSearchCV, RandomizedWeightSearchCV, or a search of scikit-learn
            Fitted.
        metric : str, default=None
            Which score to draw if the search has several. None is the one that ``refit`` names.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        WeightSearchDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError, TypeError, ValueError
            If search or metric is not as described.
        """
        return cls(*_results(search, metric), metric=_name(search, metric)).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        search: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        metric: str | None = None,
        ax: Any = None,
    ) -> "WeightSearchDisplay":
        """Draw precision against recall for every candidate, on the rows that were held out.

        Each curve is that of the predictions of all folds together.

        Parameters
        ----------
        search : WeightSearchCV or RandomizedWeightSearchCV
            Fitted with ``return_predictions=True``.
        y : array-like of shape (n_samples,)
            The y of ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in precision and recall. None is 1 for every row.
        pos_label : label, default=None
            The class that is to be found. None is the second of two classes.
        metric : str, default=None
            Name of a score of the search; only needed if it has several and ``refit`` names none.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        WeightSearchDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError, TypeError, ValueError
            If an argument is not as described, or the search has not kept its predictions.
        """
        settings, scores, best = _results(search, metric)
        curves = _curves(search, y, sample_weight, pos_label)
        name = _name(search, metric)
        return cls(settings, scores, best, metric=name, curves=curves).plot(ax)

    def plot(self, ax: Any = None) -> "WeightSearchDisplay":
        """Draw the curves if there are some, else the scores.

        Scores are drawn against the numeric parameter with the most values, with a line for each
        combination of the others; or, if these are more than eight lines, in order of the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        WeightSearchDisplay
            This display, with ``ax_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If ax is not as described.
        """
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        x = self._parameter_on_axis()
        if self.curves is not None:
            self._draw_curves(self.curves)
        elif x is None:
            self._draw_ranking(ax is None)
        else:
            self._draw_lines(x)
        names_below(self.ax_, ax is None)
        tidy(self.ax_)
        return self

    # Scores -------------------------------------------------------------------------------------

    def _parameter_on_axis(self) -> str | None:
        """The parameter with the most numbers, if few lines are enough for the others."""
        numbers = {
            name: len({repr(s[name]) for s in self.settings if name in s})
            for name in self.varied
            if all(name in s and is_number(s[name]) for s in self.settings)
        }
        if not numbers:
            return None
        found = max(numbers, key=lambda name: numbers[name])
        return found if len(self._lines(found)) <= _MOST_LINES else None

    def _lines(self, x: str) -> dict[str, list[int]]:
        """Candidates by the names of their settings without the parameter on the axis."""
        lines: dict[str, list[int]] = {}
        others = [name for name in self.varied if name != x]
        for number, name in enumerate(names_of(self.settings, others)):
            lines.setdefault(name, []).append(number)
        return lines

    def _draw_lines(self, x: str) -> None:
        lines = self._lines(x)
        for number, (label, candidates) in enumerate(lines.items()):
            values = np.array([float(self.settings[c][x]) for c in candidates])
            order = np.argsort(values, kind="stable")
            chosen = np.array(candidates)[order]
            self.ax_.errorbar(
                values[order],
                self.mean_score[chosen],
                self.std_score[chosen],
                capsize=3,
                color=COLOURS[number % len(COLOURS)],
                linestyle=LINES[number % len(LINES)],
                marker=MARKERS[number % len(MARKERS)],
                label=label or _BARS,
            )
        if len(lines) > 1:  # otherwise the legend says it
            self.ax_.set_title(_BARS, fontsize="medium")
        if self.best_index is not None:
            place = float(self.settings[self.best_index][x])
            self.ax_.plot(
                place,
                self.mean_score[self.best_index],
                "o",
                markersize=15,
                markerfacecolor="none",
                markeredgecolor="black",
                linestyle="",
                label="chosen",
            )
        values = np.array([float(setting[x]) for setting in self.settings])
        if values.max() > _LOG_FROM * values.min() > 0:
            self.ax_.set_xscale("log")
        self.ax_.set(xlabel=x, ylabel=self.metric)

    def _draw_ranking(self, is_new: bool) -> None:
        """Candidates from the best to the worst, by name; failed ones last."""
        order = np.argsort(-np.nan_to_num(self.mean_score, nan=-np.inf), kind="stable")
        place = np.arange(len(order))[::-1]
        self.ax_.errorbar(
            self.mean_score[order],
            place,
            xerr=self.std_score[order],
            fmt="o",
            capsize=3,
            color=COLOURS[0],
            label=_BARS,
        )
        names, failed = names_of(self.settings, self.varied), np.isnan(self.mean_score)
        texts = [fill(f"{names[k]}{' (failed)' * bool(failed[k])}", _LETTERS) for k in order]
        self.ax_.set_yticks(place, texts, fontsize="small")
        self.ax_.set(xlabel=self.metric, ylim=(-0.6, len(order) - 0.4))
        n_lines = max(text.count("\n") + 1 for text in texts) * len(texts)
        if is_new and n_lines > 12:
            self.figure_.set_figheight(1.4 + 0.11 * len(texts) + 0.17 * n_lines)

    # Precision and recall -----------------------------------------------------------------------

    def _draw_curves(self, curves: Sequence[Curve]) -> None:
        """Every setting; by name if they are few, else the chosen one before the others."""
        few = len(curves) <= _MOST_LINES
        others: list[Any] = []
        names = names_of(self.settings, self.varied)
        for number, (recall, precision) in enumerate(curves):
            is_best = number == self.best_index
            style: dict[str, Any] = {"color": GREY, "linewidth": 0.8}
            if few or is_best:
                name = names[number] or "all settings"
                style = {
                    "color": COLOURS[number % len(COLOURS)] if few else COLOURS[0],
                    "linestyle": LINES[number % len(LINES)] if few else "-",
                    "linewidth": 2.4 if is_best else 1.3,
                    "label": f"{name} (chosen)" if is_best else name,
                    "zorder": 3 if is_best else 2,
                }
            drawn = self.ax_.plot(recall, precision, drawstyle="steps-post", **style)
            others += [] if "label" in style else drawn
        if others:
            the_other = "the other " if len(others) < len(curves) else ""
            others[0].set_label(f"{the_other}{len(others)} settings")
        self.ax_.set(
            xlabel="recall, share of the weight of the class that is found",
            ylabel="precision",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
        )


def _as_dicts(settings: Any) -> list[dict[str, Any]]:
    is_list = not isinstance(settings, (str, Mapping)) and hasattr(settings, "__iter__")
    found = [*settings] if is_list else [settings]
    if not is_list or not all(isinstance(setting, Mapping) for setting in found):
        raise TypeError(f"settings must be a list of dicts of parameters, got {settings!r}.")
    return [dict(setting) for setting in found]


def _results(search: Any, metric: str | None) -> tuple[list[dict[str, Any]], Floats, int | None]:
    """Settings, scores of shape (n_candidates, n_splits), and the best of them."""
    if not hasattr(search, "cv_results_"):
        if hasattr(search, "fit") and hasattr(search, "estimator"):
            raise NotFittedError(f"This {type(search).__name__} is not fitted yet. Call fit first.")
        raise TypeError(
            f"search must be a fitted search, such as WeightSearchCV, got {type(search).__name__}."
        )
    results = search.cv_results_
    name = (_of_refit(search) or "score") if metric is None else metric
    known = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"metric must be one of the scores {known} of the search, got {metric!r}.")
    n_splits = search.n_splits_
    columns = [results[f"split{number}_test_{name}"] for number in range(n_splits)]
    best = getattr(search, "best_index_", None)
    return results["params"], np.column_stack(columns), best


def _name(search: Any, metric: str | None) -> str:
    """What the score is called on the axis."""
    if metric is not None or (metric := _of_refit(search)) is not None:
        return metric
    scoring = getattr(search, "scoring", None)
    return scoring if isinstance(scoring, str) else "score"


def _of_refit(search: Any) -> str | None:
    """The score that ``refit`` names, if the search has several."""
    refit = getattr(search, "refit", None)
    return refit if isinstance(refit, str) and f"mean_test_{refit}" in search.cv_results_ else None


def _curves(search: Any, y: ArrayLike, sample_weight: Any, pos_label: Any) -> list[Curve]:
    """Recall and precision of each candidate, on the held-out rows of all folds."""
    if not hasattr(search, "predictions_"):
        raise ValueError("search must have been fitted with return_predictions=True.")
    targets = as_numbers(y, "y")
    try:
        classes = np.unique(targets)
    except TypeError as error:
        raise TypeError(f"y must hold labels of one kind, which can be sorted: {error}.") from error
    if targets.ndim != 1 or search.predictions_[0][1].shape[2:] != (len(classes),):
        raise ValueError(
            "y must hold the labels that the search was fitted with, one per row, got shape "
            f"{targets.shape} with {len(classes)} values."
        )
    if pos_label is None and len(classes) != 2:
        raise ValueError(f"pos_label must be one of {classes.tolist()}, got None.")
    column = 1 if pos_label is None else place_of_label(classes, pos_label)
    wanted = classes[column]
    rows = [_positions(test) for test, _ in search.predictions_]
    together = np.concatenate(rows)
    _check_n_rows(len(targets), together)
    weight = check_sample_weight(sample_weight, len(targets))
    if not weight[together][targets[together] == wanted].any():
        raise ValueError(
            "sample_weight must leave weight to held-out rows of the class that is to be found, "
            f"{classes[column]!s}, got 0 for all of them."
        )
    return [
        _curve(targets[together] == wanted, probability, weight[together])
        for probability in np.concatenate(
            [predicted[:, :, column] for _, predicted in search.predictions_], axis=1
        )
    ]


def _check_n_rows(n_rows: int, held_out: NDArray[np.intp]) -> None:
    """Refuse fewer rows than the search had, and more where folds hold out every row."""
    known = int(held_out.max()) + 1
    if n_rows < known or (n_rows > known and len(np.unique(held_out)) == known):
        raise ValueError(
            f"y must have a label for each of {known} rows of the search, got {n_rows}."
        )


def _curve(is_class: NDArray[np.bool_], probability: Floats, weight: Floats) -> Curve:
    """Recall and precision; empty if a fit failed."""
    kept = weight > 0
    if np.isnan(probability[kept]).any():
        return np.zeros(0), np.zeros(0)
    found = precision_recall_curve(is_class[kept], probability[kept], sample_weight=weight[kept])
    return found[1], found[0]


def _positions(test: Any) -> NDArray[np.intp]:
    """Positions of held-out rows, which a splitter may also give as a mask."""
    test = np.asarray(test)
    return np.flatnonzero(test) if test.dtype == bool else test
