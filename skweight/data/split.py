"""Which rows a network does not see: one validation split, or folds of which each is held out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from skweight.data.arrays import as_array
from skweight.data.cells import missing_as_nan
from skweight.weights import as_numbers, refuse_masked

# Moves of groups that undo each other, where too few groups leave no way, end after so many passes.
_MOST_PASSES = 10


def split_validation(
    n_rows: int,
    fraction: float,
    seed: int,
    classes: NDArray[np.integer[Any]] | None = None,
    together: NDArray[np.integer[Any]] | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose training and validation rows at random, stratified if ``classes`` is given.

    Returns sorted positions, which depend on the arguments alone. Rows with the same code in
    ``together`` are on the same side. Every class keeps a row for training, so a class of one row
    gives none for validation.
    """
    if together is not None:
        given = np.zeros(n_rows, dtype=np.intp) if classes is None else classes
        units, of_unit = _units(together, given)
        is_valid = np.zeros(len(of_unit), dtype=bool)
        is_valid[split_validation(len(of_unit), fraction, seed, of_unit)[1]] = True
        # A class may have rows only together with others.
        lost = np.isin(given, given[~is_valid[units]], invert=True)
        is_valid[units[lost]] = False
        if not is_valid.any():
            raise ValueError(
                "early_stopping=True needs rows to hold out, without which every class has a row "
                f"left, got {len(of_unit)} different rows of X."
            )
        return np.flatnonzero(~is_valid[units]), np.flatnonzero(is_valid[units])
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


def _units(
    together: NDArray[np.integer[Any]], classes: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each row the number of its unit, and for each unit a class.

    Units with the same set of several classes have a class of their own, and those of all sets
    that occur once have one in common.
    """
    units = np.unique(together, return_inverse=True)[1]
    n_classes = int(classes.max()) + 1
    pairs = np.unique(units * n_classes + classes)
    unit, of_pair = np.divmod(pairs, n_classes)
    counts = np.bincount(unit)
    starts = np.cumsum(counts) - counts
    of_unit = of_pair[starts]
    is_mixed = counts > 1
    if is_mixed.any():
        # Sums of random numbers, one for each class, which are equal for equal sets.
        random = np.random.default_rng(0).integers(2**63, size=n_classes, dtype=np.uint64)
        sums = np.add.reduceat(random[of_pair], starts)[is_mixed]
        _, names, sizes = np.unique(sums, return_inverse=True, return_counts=True)
        of_unit[is_mixed] = n_classes + np.where(sizes[names] > 1, 1 + names, 0)
    return units, of_unit


def _sort_by_class(
    shuffled: NDArray[np.intp], classes: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    """Shuffled rows sorted by class, without classes of one row."""
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    kept: NDArray[np.intp] = order[np.bincount(classes)[classes[order]] > 1]
    return kept


def split_groups(
    groups: NDArray[np.integer[Any]],
    fraction: float,
    seed: int,
    weight: NDArray[np.float64],
    classes: NDArray[np.integer[Any]] | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose training and validation rows by whole groups: about ``fraction`` of the weight.

    Returns sorted positions. Arguments are those of :func:`split_folds`. Every class keeps a row
    for training.
    """
    n_groups = int(groups.max()) + 1
    n_folds = min(n_groups, max(2, round(1 / fraction)))
    n_held_out = max(1, min(n_folds - 1, round(fraction * n_folds)))
    if n_groups > 1:
        folds = split_folds(n_folds, seed, weight, classes, groups)
        for first in range(n_folds):  # the first choice that leaves every class a row
            chosen = [folds[(first + i) % n_folds] for i in range(n_held_out)]
            valid = np.sort(np.concatenate(chosen))
            train = np.setdiff1d(np.arange(len(weight)), valid, assume_unique=True)
            if classes is None or np.isin(classes, classes[train]).all():
                return train, valid
    raise ValueError(
        "early_stopping=True needs groups to hold out, without which every class has a row left, "
        f"got {n_groups} groups with weight. Groups that have an equal row count as one."
    )


def group_codes(groups: Any, n_rows: int) -> NDArray[np.integer[Any]]:
    """Codes from 0 on of the user's ``groups``, one for each row of X."""
    refuse_masked(groups, "groups")
    given = missing_as_nan(as_numbers(as_array(groups), "groups"))
    if given.shape != (n_rows,):
        raise ValueError(
            f"groups must hold one group for each of {n_rows} rows of X, got shape {given.shape}."
        )
    is_missing = given != given
    if given.dtype == object:
        is_missing = np.array([value is None or value != value for value in given.tolist()])
    if is_missing.any():
        row = int(np.argmax(is_missing))
        raise ValueError(f"groups must have no missing value, got {given[row]!r} in row {row}.")
    try:
        return np.asarray(np.unique(given, return_inverse=True)[1])
    except TypeError as error:
        raise TypeError(
            f"groups must hold labels of one kind, which can be sorted: {error}."
        ) from error


def split_folds(
    n_folds: int,
    seed: int,
    weight: NDArray[np.float64],
    classes: NDArray[np.integer[Any]] | None = None,
    groups: NDArray[np.integer[Any]] | None = None,
    together: NDArray[np.integer[Any]] | None = None,
) -> list[NDArray[np.intp]]:
    """Folds that hold all rows: about the same number and weight of rows, of every class, in each.

    Where each row is held out by itself, all folds have the same number of rows, so that what is
    trained without them can be stacked. For that some rows, fewer than there are folds, are in two
    folds.

    Parameters
    ----------
    n_folds : int
    seed : int
    weight : ndarray of shape (n_rows,)
    classes : ndarray of shape (n_rows,), default=None
        Class codes from 0 on.
    groups : ndarray of shape (n_rows,), default=None
        Group codes from 0 on: the rows of a group come into the same fold.
    together : ndarray of shape (n_rows,), default=None
        Codes of many small groups, most of them of one row. Shares of rows of several classes are
        less even than with ``groups``, but a million codes take seconds.

    Returns
    -------
    list of ndarray
        Sorted positions of the rows of each fold.
    """
    random = np.random.default_rng(seed)
    strata = np.zeros(len(weight), dtype=np.intp) if classes is None else classes
    if groups is not None:
        folds = _fold_of_groups(n_folds, random, weight, strata, groups)[groups]
        return [np.flatnonzero(folds == fold) for fold in range(n_folds)]
    if together is not None:
        units, of_unit = _units(together, strata)
        folds = _deal(n_folds, random, np.bincount(units, weight), of_unit)
        if _is_undivided(folds, units, strata):
            has_rows = np.zeros((len(folds), int(strata.max()) + 1), dtype=bool)
            has_rows[units, strata] = True
            _divide_strata(folds, has_rows, n_folds)
        return [np.flatnonzero(folds[units] == fold) for fold in range(n_folds)]
    folds = _deal(n_folds, random, weight, strata)
    counts = np.bincount(folds, minlength=n_folds)
    present, sizes = np.unique(strata, return_counts=True)
    short = np.flatnonzero(counts < counts.max())
    spare = random.permutation(np.flatnonzero(strata == present[sizes.argmax()]))
    second = dict(zip(short.tolist(), _of_other_folds(short, spare, folds)))
    return [
        np.sort(np.append(np.flatnonzero(folds == fold), second.get(fold, [])).astype(np.intp))
        for fold in range(n_folds)
    ]


def _deal(
    n_folds: int,
    random: np.random.Generator,
    weight: NDArray[Any],
    strata: NDArray[np.integer[Any]],
) -> NDArray[np.intp]:
    """The fold of each row: as many rows, of each stratum and of about each weight, in all."""
    folds = np.empty(len(weight), dtype=np.intp)
    counts = np.zeros(n_folds, dtype=np.intp)
    shuffled = random.permutation(len(weight))
    shuffled = shuffled[np.argsort(-weight[shuffled], kind="stable")]
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    for rows in np.split(by_stratum, np.flatnonzero(np.diff(strata[by_stratum])) + 1):
        n_rounds, n_left = divmod(len(rows), n_folds)
        # In each round every fold gets one of the rows, which weigh about the same.
        rounds = np.tile(np.arange(n_folds), (n_rounds, 1))
        dealt = random.permuted(rounds, axis=1).ravel()
        folds_with_fewest = np.lexsort((random.random(n_folds), counts))[:n_left]
        folds[rows] = np.concatenate([dealt, random.permutation(folds_with_fewest)])
        counts += np.bincount(folds[rows], minlength=n_folds)
    return folds


def _of_other_folds(
    short: NDArray[np.intp], spare: NDArray[np.intp], folds: NDArray[np.intp]
) -> list[list[int]]:
    """For each of the short folds one of the spare rows, of another fold; none where none is."""
    left = spare.tolist()
    chosen: list[list[int]] = []
    for fold in short:
        row = next((row for row in left if folds[row] != fold), None)
        chosen.append([] if row is None else [row])
        if row is not None:
            left.remove(row)
    return chosen


def _fold_of_groups(
    n_folds: int,
    random: np.random.Generator,
    weight: NDArray[np.float64],
    strata: NDArray[np.integer[Any]],
    groups: NDArray[np.integer[Any]],
) -> NDArray[np.intp]:
    """The fold of each group, heavy groups first: the one where it makes shares most even."""
    n_groups, n_strata = int(groups.max()) + 1, int(strata.max()) + 1
    shares = np.zeros((n_groups, n_strata))
    np.add.at(shares, (groups, strata), weight)
    shares /= np.maximum(shares.sum(axis=0), np.finfo(float).tiny)
    folds = np.empty(n_groups, dtype=np.intp)
    totals, counts = np.zeros((n_folds, n_strata)), np.zeros(n_folds)
    for group in np.lexsort((random.random(n_groups), -shares.sum(axis=1))):
        # The sum of squares of all totals grows least there; of equal ones, the fold of fewest.
        growth = totals @ shares[group]
        fold = np.lexsort((random.random(n_folds), counts, growth))[0]
        folds[group] = fold
        totals[fold] += shares[group]
        counts[fold] += 1
    _divide_strata(folds, shares > 0, n_folds)
    return folds


def _is_undivided(
    folds: NDArray[np.intp], units: NDArray[np.intp], strata: NDArray[np.integer[Any]]
) -> bool:
    """Whether some stratum has all of its units in one fold, though it has several."""
    n_strata = int(strata.max()) + 1
    in_units = np.unique(units * n_strata + strata) % n_strata
    in_folds = np.unique(folds[units] * n_strata + strata) % n_strata
    n_units, n_folds = (np.bincount(found, minlength=n_strata) for found in (in_units, in_folds))
    return bool(((n_units > 1) & (n_folds == 1)).any())


def _divide_strata(folds: NDArray[np.intp], has_rows: NDArray[np.bool_], n_folds: int) -> None:
    """Move a group of each stratum that is in one fold only, so that no fold holds all of it.

    With very few groups there may be no such folds; then a stratum stays in one.

    ``has_rows``, of shape (n_groups, n_strata), says which groups have rows of a stratum.
    """
    several = np.flatnonzero(has_rows.sum(axis=0) > 1)
    for _ in range(_MOST_PASSES):  # a move may undo an earlier one
        n_moved = 0
        for stratum in several:
            groups = np.flatnonzero(has_rows[:, stratum])
            if len(np.unique(folds[groups])) == 1:
                # The one with the fewest other strata leaves the fewest of them behind.
                moved = groups[has_rows[groups].sum(axis=1).argmin()]
                folds[moved] = (folds[moved] + 1) % n_folds
                n_moved += 1
        if not n_moved:
            return


def join_groups(
    groups: NDArray[np.integer[Any]], rows: NDArray[np.intp]
) -> NDArray[np.integer[Any]]:
    """Codes from 0 on for groups, of which those that have a row in common count as one.

    Parameters
    ----------
    groups, rows : ndarray of shape (n,)
        Codes of groups, and numbers of the rows that are in them, both from 0 on.

    Returns
    -------
    ndarray of shape (n_rows,)
        The code of each row.
    """
    n_rows, n_groups = int(rows.max()) + 1, int(groups.max()) + 1
    edges = sparse.coo_matrix(
        (np.ones(len(rows), dtype=bool), (rows, n_rows + groups)),
        shape=(n_rows + n_groups, n_rows + n_groups),
    )
    _, component = connected_components(edges, directed=False)
    return np.asarray(np.unique(component[:n_rows], return_inverse=True)[1])
