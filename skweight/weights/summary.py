"""Tables of numbers, and the one that ``weight_summary`` shows: the weights of each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, underflow_is_zero, warn
from skweight.weights.class_weight import resolve_class_weight
from skweight.weights.missing import fill_targets_without_weight
from skweight.weights.sample_weight import (
    as_labels,
    as_numbers,
    check_sample_weight,
    effective_sample_size,
    scale_near_one,
)


class Table(dict[str, NDArray[Any]]):
    """Columns by name, with an entry per row; prints as a table."""

    def __repr__(self) -> str:
        columns = []
        for name, values in self.items():
            cells = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
            width = max(map(len, [name, *cells]))
            columns.append([cell.rjust(width) for cell in [name, *cells]])
        return "\n".join("  ".join(row) for row in zip(*columns))


class WeightSummary(Table):
    """Columns by name, with an entry per class and one for all."""


@underflow_is_zero
def weight_summary(
    y: ArrayLike, sample_weight: ArrayLike | None = None, class_weight: Any = None
) -> WeightSummary:
    """Table of the classes: rows, total weight, effective size, and share in the loss.

    ``sample_weight_power`` and ``class_weight_power`` are not applied. Copies of a row are not
    merged, as a fit merges them; if there are copies, a callable ``class_weight`` may therefore
    return other weights in a fit.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any dtype that can be sorted. Floats that are not all integral are a
        regression target and give the row "all" only. Where the weight is 0 they may be missing.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. None is 1 for every row.
    class_weight : None, "balanced", dict or callable, default=None
        As for :class:`~skweight.WeightedTorchClassifier`.

    Returns
    -------
    WeightSummary
        A dict of arrays of shape (n_classes + 1,), which prints as a table; the last entry is
        "all". "class" is the label; "rows" the number of rows with positive weight; "mass" the sum
        of their weights; "effective_size" the :func:`~skweight.effective_sample_size` of the
        weights in the class, 0 if there are none, and for "all" that of sample times class weight;
        "class_weight" the weight of the class; "loss_share" the share of the class in the sum of
        sample times class weight.

    Raises
    ------
    TypeError, ValueError
        If y is not 1-D, has no rows, is not finite or cannot be sorted; if class_weight is given
        for a regression target or is 0 for every class with rows; or if sample_weight or
        class_weight is not what ``fit`` takes.

    References
    ----------
    L. Kish, Survey Sampling, Wiley 1965, section 11.7, for the effective size.

    Examples
    --------
    >>> from skweight import weight_summary
    >>> weight_summary(["no", "no", "no", "yes"], [1, 1, 2, 1], "balanced")
    class  rows  mass  effective_size  class_weight  loss_share
       no     3     4         2.66667         0.625         0.5
      yes     1     1               1           2.5         0.5
      all     4     5         2.90909           nan           1
    """
    y = as_numbers(y, "y") if hasattr(y, "detach") else y
    y = fill_targets_without_weight(y, sample_weight)
    classes, codes, continuous = _as_classes(as_labels(y, "y"), class_weight)
    weight = check_sample_weight(sample_weight, len(codes))
    kept = weight > 0  # a callable must not count rows of weight 0
    factor = resolve_class_weight(class_weight, classes, codes[kept], weight[kept])
    final = scale_near_one(weight) * scale_near_one(factor)[codes]
    if not final.any():
        raise ValueError(
            "class_weight must leave a weight to some class with mass, got "
            f"{dict(zip(classes.tolist(), factor.tolist()))}."
        )
    if continuous and sample_weight is None:
        warn(
            "y holds numbers that are no labels, and sample_weight is None, so that every row "
            "counts 1. To look at weights, pass them as weight_summary(y, sample_weight)."
        )
    n_classes = len(classes)
    rows = np.bincount(codes[kept], minlength=n_classes)
    share = np.bincount(codes, final) / final.sum()
    size = _sizes_by_class(codes, weight, n_classes)
    columns = {
        "rows": (rows, rows.sum()),
        "mass": (np.bincount(codes, weight), weight.sum()),
        "effective_size": (size, effective_sample_size(final)),
        "class_weight": (factor, np.nan),
        "loss_share": (share, 1.0),
    }
    shown = 0 if continuous else n_classes
    names = np.array([*classes[:shown].tolist(), "all"], dtype=object)
    return WeightSummary(
        {"class": names}
        | {name: np.append(values[:shown], total) for name, (values, total) in columns.items()}
    )


def _as_classes(y: NDArray[Any], class_weight: Any) -> tuple[NDArray[Any], NDArray[np.intp], bool]:
    """Labels, the code of each row, and whether y is continuous, which makes one class."""
    if y.ndim != 1 or not len(y):
        raise ValueError(f"y must be 1-D with one label per row, got shape {y.shape}.")
    if not _is_continuous(y):
        try:
            return *np.unique(y, return_inverse=True), False
        except TypeError as error:
            raise TypeError(
                f"y must hold labels of one kind, which can be sorted: {error}."
            ) from error
    if class_weight is not None:
        raise ValueError(
            "class_weight must be None where y is a regression target, got "
            f"{class_weight!r} and non-integral floats in y."
        )
    return y[:1], np.zeros(len(y), dtype=np.intp), True


def _is_continuous(y: NDArray[Any]) -> bool:
    """Whether y holds floats that are not labels, by scikit-learn's rule."""
    if y.dtype.kind != "f":
        return False
    return bool((y != np.floor(y)).any())


def _sizes_by_class(codes: NDArray[np.intp], weight: Floats, n_classes: int) -> Floats:
    """Kish's effective number of rows within each class, 0 for a class without weight."""
    top = np.zeros(n_classes)
    np.maximum.at(top, codes, weight)
    top[top == 0] = 1
    scaled = weight / top[codes]  # by the largest weight of the class, so that no square underflows
    squares = np.bincount(codes, scaled**2)
    return np.asarray(np.bincount(codes, scaled) ** 2 / np.maximum(squares, 1))
