"""Whether predicted probabilities are what is observed, in weighted bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, divide, is_integer, underflow_is_zero
from skweight.weights import (
    Table,
    as_float64,
    as_labels,
    as_numbers,
    check_sample_weight,
    fill_targets_without_weight,
    scale_near_one,
)

# Where two shares of the weight differ by less, as sums in another order do, they are the same.
_DIGITS = 9


class CalibrationTable(Table):
    """Columns by name, with an entry per bin; prints as a table.

    Attributes
    ----------
    calibration_error : float
        The weighted mean over bins of how far the mean probability is from the observed share.
    """

    def __init__(self, columns: dict[str, NDArray[Any]], calibration_error: float) -> None:
        super().__init__(columns)
        self.calibration_error = calibration_error

    def __reduce__(self) -> tuple[Any, ...]:
        return CalibrationTable, (dict(self), self.calibration_error)

    def __repr__(self) -> str:
        return f"{super().__repr__()}\ncalibration error {self.calibration_error:.6g}"


@underflow_is_zero
def calibration_table(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    sample_weight: ArrayLike | None = None,
    n_bins: int = 10,
    *,
    pos_label: Any = None,
) -> CalibrationTable:
    """Compare predicted probabilities with the observed share of the class, bin by bin.

    Bins are intervals of the probability that hold about the same weight each. Equal probabilities
    are in one bin, so there may be fewer bins than asked for.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes at most, of any dtype. May be missing where the weight is 0.
    y_prob : array-like of shape (n_samples,)
        The predicted probability of the class ``pos_label``, such as one column of
        ``predict_proba``. May be missing where the weight is 0.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. None is 1 for every row.
    n_bins : int, default=10
        The largest number of bins, at least 1. More show more detail, with larger standard errors.
    pos_label : label, default=None
        The label of the class whose probability is given. None is 1 if the labels are 0 and 1,
        -1 and 1, or booleans, and an error otherwise.

    Returns
    -------
    CalibrationTable
        A dict of arrays of shape (n_bins_found,), by increasing probability, which prints as a
        table. "lowest" and "highest" are the ends of the probabilities in the bin; "rows" the
        number of rows with positive weight; "weight_share" the share of the bin in all weight;
        "mean_probability" the weighted mean of the probabilities; "observed_share" the weighted
        share of rows of the class; "standard_error" that of the observed share.

        Its attribute ``calibration_error`` is the weighted expected calibration error,
        ``sum_b weight_share_b |mean_probability_b - observed_share_b|``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or y_true holds other labels and pos_label is None.

    Notes
    -----
    The standard error is that of the ratio of two weighted sums by linearisation,
    ``sqrt(sum w^2 (y - p)^2) / sum w`` over the rows of a bin with the observed share p. It treats
    rows as independent, so it is too small where rows of one cluster are alike; for the standard
    error of a survey design use replicate weights. It is 0 where all rows of a bin are of one
    class, which does not mean that their share is known.

    The calibration error is biased upwards, since it adds up the chance deviations of bins: for
    perfect probabilities it is about ``0.8 * sum(weight_share * standard_error)`` and not 0, and it
    grows with the number of bins and with uneven weights. Compare it only between predictions for
    the same rows, weights and number of bins.

    A row of weight 0 counts as missing. The scale of the weights and the order of rows mean
    nothing. An integer weight is the same as copies of the row, except for "rows" and
    "standard_error", which count copies as rows of their own.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks, ICML
    2017, for the calibration error.

    K. M. Wolter, Introduction to Variance Estimation, Springer, 2nd edition 2007, chapter 6, for
    the standard error.

    Examples
    --------
    >>> from skweight import calibration_table
    >>> y_true = [0, 0, 1, 0, 1, 1, 0, 1]
    >>> y_prob = [0.1, 0.1, 0.2, 0.4, 0.6, 0.6, 0.7, 0.9]
    >>> calibration_table(y_true, y_prob, [1, 2, 1, 2, 1, 1, 2, 2], n_bins=3)
    lowest  highest  rows  weight_share  mean_probability  observed_share  standard_error
       0.1      0.2     3      0.333333             0.125            0.25        0.233854
       0.4      0.6     3      0.333333               0.5             0.5        0.306186
       0.7      0.9     2      0.333333               0.8             0.5        0.353553
    calibration error 0.141667
    """
    if not is_integer(n_bins, 1):
        raise ValueError(f"n_bins must be an integer of at least 1, got {n_bins!r}.")
    probability, weight = check_probabilities(y_prob, sample_weight)
    positive = _is_positive(y_true, sample_weight, len(weight), pos_label)
    weight = scale_near_one(weight)
    # In an order of their own, so that no sum depends on that of the table.
    order = np.lexsort((weight, positive, probability))
    order = order[weight[order] > 0]
    probability, weight, positive = probability[order], weight[order], positive[order]
    return _table(
        probability, weight, positive, _bins(probability, weight, min(int(n_bins), 2**53))
    )


def _table(
    probability: Floats, weight: Floats, positive: NDArray[np.bool_], bins: NDArray[np.intp]
) -> CalibrationTable:
    """The table of sorted rows, whose bins are numbered without gaps."""
    mass = np.bincount(bins, weight)
    share, mean = divide(mass, mass.sum()), np.bincount(bins, weight * probability) / mass
    observed = np.bincount(bins, weight * positive) / mass
    # As shares of the bin's weight, squares do not underflow.
    residual = weight / mass[bins] * (positive - observed[bins])
    first = np.flatnonzero(np.diff(bins, prepend=-1))
    columns = {
        "lowest": probability[first],
        "highest": probability[np.append(first[1:], len(bins)) - 1],
        "rows": np.bincount(bins),
        "weight_share": share,
        "mean_probability": mean,
        "observed_share": observed,
        "standard_error": np.sqrt(np.bincount(bins, np.square(residual))),
    }
    return CalibrationTable(columns, float(share @ np.abs(mean - observed)))


def _bins(probability: Floats, weight: Floats, n_bins: int) -> NDArray[np.intp]:
    """The bin of each sorted row: where the middle of the mass of its probability lies."""
    of_rows = np.unique(probability, return_inverse=True)[1]
    mass = np.bincount(of_rows, weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    found = np.floor(np.round(middle * n_bins, _DIGITS))
    return np.asarray(np.unique(found, return_inverse=True)[1][of_rows])


def check_probabilities(y_prob: Any, sample_weight: Any) -> tuple[Floats, Floats]:
    """The probabilities, 0 where the weight is 0, and the weights of the rows."""
    probability = as_float64(y_prob, "y_prob")
    if probability.ndim != 1 or not len(probability):
        columns = probability.ndim == 2 and probability.shape[1] > 1
        hint = " Pass the column of one class, such as y_prob[:, 1]." if columns else ""
        raise ValueError(
            f"y_prob must be 1-D with one probability per row, got shape {probability.shape}.{hint}"
        )
    weight = check_sample_weight(sample_weight, len(probability))
    probability[weight == 0] = 0.0
    bad = ~((probability >= 0) & (probability <= 1))
    if bad.any():
        raise ValueError(
            f"y_prob must be in [0, 1], got {probability[bad][0]} at position {bad.argmax()}."
        )
    return probability, weight


def _is_positive(y_true: Any, sample_weight: Any, n_rows: int, pos_label: Any) -> NDArray[np.bool_]:
    """Whether each row is of the class whose probability is given."""
    if hasattr(y_true, "detach"):
        y_true = as_numbers(y_true, "y_true")
    y = as_labels(
        fill_targets_without_weight(y_true, sample_weight, "y_true", all_rows=True), "y_true"
    )
    if y.shape != (n_rows,):
        raise ValueError(
            f"y_true must be 1-D with one label per row of y_prob, shape ({n_rows},), got shape "
            f"{y.shape}."
        )
    try:
        found, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise TypeError(
            f"y_true must hold labels of one kind, which can be sorted: {error}."
        ) from error
    labels = found.tolist()
    if len(labels) > 2:
        more = " and more" if len(labels) > 5 else ""
        raise ValueError(
            f"y_true must hold two classes at most, got {len(labels)}: {labels[:5]}{more}. For one "
            "class against the others pass y_true == label."
        )
    if pos_label is None:
        is_plain = {*labels} <= {0, 1} or {*labels} <= {-1, 1}
        if not is_plain:
            raise ValueError(
                "pos_label must be given unless the labels are 0 and 1, -1 and 1, or booleans, got "
                f"None and the labels {labels}."
            )
        pos_label = 1
    elif np.ndim(pos_label) != 0 or (pos_label not in labels and len(labels) == 2):
        raise ValueError(f"pos_label must be a label in y_true, {labels}, got {pos_label!r}.")
    return np.array([bool(label == pos_label) for label in labels])[codes]
