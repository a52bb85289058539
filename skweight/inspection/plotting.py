"""What the displays share: matplotlib, axes, and colours that also differ in grey.

matplotlib is optional and imported only when something is drawn.
"""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from sklearn.exceptions import NotFittedError

# Of Okabe & Ito, Color universal design, 2008: their lightness differs too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#808080"
COLOURS = (BLUE, RED, GREEN, ORANGE, "#56B4E9", "#CC79A7", "#000000", GREY)
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LETTERS_BELOW = 76  # that are as wide as a new figure
_INCHES_OF_A_LINE = 0.18


def pyplot() -> Any:
    """``matplotlib.pyplot``."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"Displays need matplotlib: pip install 'skweight[examples]' ({error})"
        ) from error
    return plt


def one_axes(ax: Any) -> Any:
    """The axes to draw on: those given, or those of a new figure."""
    plt = pyplot()
    if ax is None:
        return plt.subplots(layout="constrained")[1]
    return check_axes(ax)


def two_axes(ax: Any, ratios: Sequence[float]) -> Any:
    """Two axes, one above the other, in a new figure or in the place of the axes given."""
    plt = pyplot()
    if ax is None:
        figure = plt.figure(layout="constrained")
        grid: Any = figure.add_gridspec
    else:
        place = check_axes(ax).get_subplotspec()
        if place is None:
            raise ValueError(
                "ax must be one of a grid, as matplotlib.pyplot.subplots makes them, since it is "
                "divided in two, got axes with a place of their own."
            )
        ax.set_axis_off()
        figure, grid = ax.figure, place.subgridspec
    return [figure.add_subplot(cell) for cell in grid(2, 1, height_ratios=ratios)]


def check_axes(ax: Any) -> Any:
    """Refuse what is no matplotlib axes."""
    if not hasattr(ax, "get_subplotspec") or not hasattr(ax, "plot"):
        raise TypeError(f"ax must be axes of matplotlib, or None, got {type(ax).__name__}.")
    if not ax.axison:  # as ``two_axes`` leaves them; pictures would lie on each other
        raise ValueError(
            "ax must be axes with nothing in their place, got axes that are switched off, as they "
            "are after a display of two panels was drawn there. Pass other axes, or None."
        )
    return ax


def tidy(ax: Any) -> None:
    """No frame at the top and the right."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_below(ax: Any, n_columns: int) -> None:
    """A legend that hides nothing of what is drawn."""
    ax.legend(
        frameon=False,
        fontsize="small",
        ncols=n_columns,
        loc="upper center",
        bbox_to_anchor=(0.5, _place_below(ax)),
    )


def _place_below(ax: Any) -> float:
    """Where a legend begins that is below the label of the axis, in heights of the panel."""
    return -0.14 * min(1.0, 4.8 / float(ax.figure.get_figheight()))


def legend_above(ax: Any, n_columns: int) -> None:
    """The same in the place of a title."""
    ax.legend(
        frameon=False,
        fontsize="small",
        ncols=n_columns,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )


def names_below(ax: Any, is_new: bool) -> None:
    """A legend of names that may be long and many; a new figure grows by what it takes."""
    handles, names = ax.get_legend_handles_labels()
    names = [fill(name, _LETTERS_BELOW) for name in names]
    has_columns = is_new and len(names) > 3 and max(map(len, names)) < _LETTERS_BELOW // 2 - 6
    n_lines = sum(name.count("\n") + 1 for name in names) / (1 + has_columns)
    height = ax.figure.get_figheight()
    if is_new:
        ax.figure.set_figheight(height + _INCHES_OF_A_LINE * max(n_lines - 2, 0))
    ax.legend(
        handles,
        names,
        frameon=False,
        fontsize="small",
        ncols=1 + has_columns,
        loc="upper center",
        bbox_to_anchor=(0.5, _place_below(ax)),
    )


def short(name: Any, longest: int = 24) -> str:
    """A name that fits beside an axis."""
    text = str(name)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def last_step(estimator: Any) -> Any:
    """The fitted skweight estimator in a search or a pipeline, or the estimator itself."""
    found = getattr(estimator, "best_estimator_", estimator)
    found = found.steps[-1][1] if hasattr(found, "steps") else found
    if hasattr(found, "nets_"):
        return found
    if hasattr(type(found), "net_"):
        raise NotFittedError(
            f"This {type(found).__name__} is not fitted yet. Call fit before it is drawn."
        )
    raise TypeError(
        "estimator must be a fitted WeightedTorchClassifier or WeightedTorchRegressor, or a "
        f"pipeline or search that ends with one, got {type(found).__name__}."
    )
