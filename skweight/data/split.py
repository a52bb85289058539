"""The validation split."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def split_validation(
    n_rows: int, fraction: float, seed: int, classes: NDArray[np.integer[Any]] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose training and validation rows at random, stratified if ``classes`` is given.

    Returns sorted positions, which depend on ``n_rows``, ``fraction``, ``classes`` and ``seed``
    alone. Every class keeps a row for training, so a class of one row gives none for validation.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction must lie between 0 and 1, got {fraction!r}.")
    if max(1, round(fraction * n_rows)) >= n_rows:
        raise ValueError(
            "early_stopping=True needs distinct rows for training and for validation, got "
            f"n_samples = {n_rows} of them with validation_fraction={fraction}."
        )
    shuffled = np.random.default_rng(seed).permutation(n_rows)
    if classes is not None:
        shuffled = _sort_by_class(shuffled, classes)
    if not len(shuffled):
        raise ValueError(
            "early_stopping=True needs a class with two distinct rows to take validation rows "
            f"from, got n_samples = {n_rows} distinct rows, each the only one of its class."
        )
    # Rows are shuffled within classes, so evenly spaced places give each class its share.
    n_valid = max(1, round(fraction * len(shuffled)))
    places = (np.arange(n_valid) + 0.5) * (len(shuffled) / n_valid)
    valid = np.zeros(n_rows, dtype=bool)
    valid[shuffled[places.astype(np.intp)]] = True
    if classes is not None:
        n_left = np.bincount(classes[~valid], minlength=int(classes.max()) + 1)
        of_class = classes[shuffled]
        is_first = np.concatenate([[True], of_class[1:] != of_class[:-1]])
        valid[[row for row in shuffled[is_first] if n_left[classes[row]] == 0]] = False
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def _sort_by_class(
    shuffled: NDArray[np.intp], classes: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    """Shuffled rows sorted by class, without classes of one row."""
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    kept: NDArray[np.intp] = order[np.bincount(classes)[classes[order]] > 1]
    return kept
