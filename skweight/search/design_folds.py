"""Folds of a survey: clusters stay whole, and every fold is a smaller sample of the same design."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from skweight._keywords import Floats, divide, underflow_is_zero
from skweight.weights import (
    SurveyClusters,
    check_sample_weight,
    fill_targets_without_weight,
    find_clusters,
    n_rows_of,
)

# Integers of more values than that are counts or amounts, which no fold can have the shares of.
_MOST_CLASSES = 100


class DesignKFold(BaseEstimator, BaseCrossValidator):  # type: ignore[misc]
    """K-fold cross-validation that follows the design of a survey.

    Each fold is a sample of the same kind as the whole one: clusters are never divided, the
    clusters of each stratum are spread evenly over the folds, and folds have about the same weight
    and the same weighted share of each class. So no row is predicted by a model that has seen rows
    of its cluster.

    Use it as ``cv`` of a search or of ``cross_val_score``. The weights given here only decide about
    the folds: pass them to ``fit`` and to the score too.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    strata : array-like of shape (n_samples,), default=None
        The stratum of each row of the X that is split: labels of any dtype that can be sorted. None
        is one stratum.
    clusters : array-like of shape (n_samples,), default=None
        The cluster of each row: the primary sampling unit. Clusters are within strata: the same
        label in two strata is two clusters. None uses the ``groups`` that ``split`` is given;
        without these, each row is a cluster.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the rows. None is 1 for every row. Clusters of weight 0 are spread
        over the folds as the others are.
    shuffle : bool, default=False
        Whether clusters are put into the folds in random order. By default the largest come first,
        which gives more even shares and always the same folds.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling; an int gives the same folds in each call of ``split``. Only with
        ``shuffle=True``.

    See Also
    --------
    WeightSearchCV : A search over weight settings, with ``cv=DesignKFold(...)``.

    Notes
    -----
    In each stratum, the numbers of clusters in any two folds differ by at most one, and so do the
    numbers of clusters of all strata together.

    A stratum with fewer clusters than folds is missing from some test folds. Its clusters are in
    different folds, so that each fit trains on all of them but one; a stratum of a single cluster
    is missing from the training rows of one fit. If every fold is to have rows of every stratum,
    choose fewer folds, or give similar strata one label.

    Shares are balanced for the labels in y, for integers in y with at most 100 different values,
    and for the labels of multilabel y; otherwise for the weights only. The numbers of clusters come
    first, so that with few clusters the shares are uneven.

    References
    ----------
    J. Wieczorek, C. Guerin and T. McMahon, K-fold cross-validation for complex sample surveys,
    Stat 11(1), 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skweight import DesignKFold
    >>> strata = ["north"] * 4 + ["south"] * 4
    >>> clusters = [1, 1, 2, 2, 1, 1, 2, 2]
    >>> X, y = np.zeros((8, 1)), [0, 1, 0, 1, 0, 1, 0, 1]
    >>> for train, test in DesignKFold(2, strata=strata, clusters=clusters).split(X, y):
    ...     print(test)
    [0 1 4 5]
    [2 3 6 7]
    """

    # Routed groups reach ``split``, as those of scikit-learn's splitters for groups.
    __metadata_request__split: ClassVar = {"groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        strata: Any = None,
        clusters: Any = None,
        sample_weight: Any = None,
        shuffle: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_splits = n_splits
        self.strata = strata
        self.clusters = clusters
        self.sample_weight = sample_weight
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the positions of the training and the test rows of each fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Only its number of rows is used.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            The targets, for the shares of classes. May be missing where the weight is 0.
        groups : array-like of shape (n_samples,), default=None
            The clusters, if ``clusters`` is None.

        Yields
        ------
        train, test : ndarray of int
            Positions of rows.

        Raises
        ------
        TypeError, ValueError
            If a parameter is not as described or has another number of rows than X, or if there are
            fewer clusters than folds.
        """
        self._check_params()
        n = n_rows_of(X)
        if n is None:
            raise TypeError(f"X must have rows, got {X!r}.")
        if y is not None and n_rows_of(y) != n:
            raise ValueError(
                f"y must have one entry for each of {n} rows of X, got {n_rows_of(y)}."
            )
        clusters, name = self.clusters, "clusters"
        if clusters is None and groups is not None:
            clusters, name = groups, "groups"
        design = find_clusters(self.strata, clusters, n, name)
        if len(design.stratum) < self.n_splits:
            raise ValueError(
                f"n_splits must be at most the number of clusters, got {self.n_splits} folds for "
                f"{len(design.stratum)} clusters{' (groups)' if name == 'groups' else ''}."
            )
        weight = check_sample_weight(self.sample_weight, n)
        shares = _shares(design, weight, y)
        folds = _spread(design, shares, self._order(design, shares), self.n_splits)
        fold_of_row = folds[design.of_rows]
        for fold in range(self.n_splits):
            yield np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold)

    def _check_params(self) -> None:
        """Refuse parameters that are not as described."""
        n = self.n_splits
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 2:
            raise ValueError(f"n_splits must be an integer of at least 2, got {n!r}.")
        if not isinstance(self.shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle must be True or False, got {self.shuffle!r}.")
        if self.random_state is not None:
            _check_seed(self.random_state)
        if self.random_state is not None and not self.shuffle:
            raise ValueError(
                f"random_state must be None without shuffle=True, got {self.random_state!r}: "
                "nothing is drawn."
            )

    def _order(self, design: SurveyClusters, shares: Floats) -> NDArray[np.intp]:
        """The order in which clusters are put into folds, one stratum after the other."""
        # The largest first: those that follow can make up for them.
        size = np.square(shares).sum(axis=1)
        if not self.shuffle:
            largest = np.zeros(len(design.labels))
            np.maximum.at(largest, design.stratum, size)
            return np.lexsort((-size, design.stratum, -largest[design.stratum]))
        draw = check_random_state(self.random_state)
        stratum = draw.permutation(len(design.labels))[design.stratum]
        order = np.lexsort((draw.permutation(len(size)), stratum))
        # Which clusters come one into each fold is random, and of these the largest come first.
        starts = np.searchsorted(stratum[order], stratum[order])
        turn = (np.arange(len(order)) - starts) // self.n_splits
        return np.asarray(order[np.lexsort((-size[order], turn, stratum[order]))])


def _check_seed(random_state: Any) -> None:
    try:
        check_random_state(random_state)
    except ValueError as error:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1, or a RandomState, got "
            f"{random_state!r}."
        ) from error


@underflow_is_zero
def _shares(design: SurveyClusters, weight: Floats, y: Any) -> Floats:
    """The share of each cluster in all weight and in that of each class, one row per cluster.

    Rows are summed in an order of their own, so that the order of the table means nothing.
    """
    columns = [weight, *_class_weights(fill_targets_without_weight(y, weight), weight)]
    masses = []
    for column in columns:
        order = np.lexsort((column, design.of_rows))
        masses.append(np.bincount(design.of_rows[order], column[order], len(design.stratum)))
    mass = np.stack(masses, axis=1)
    total = np.stack([np.sort(of_class).sum() for of_class in masses])
    return divide(mass, np.where(total > 0, total, 1.0))


def _class_weights(y: Any, weight: Floats) -> list[Floats]:
    """For each class the weights of its rows, 0 in other rows; none if y holds no classes."""
    if np.iscomplexobj(y if hasattr(y, "toarray") else np.asarray(y)):
        raise ValueError("y must hold labels or real numbers, got complex numbers.")
    kind = "unknown" if y is None else type_of_target(y, input_name="y")
    if kind == "multilabel-indicator":
        dense = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        return [weight * (label != 0) for label in dense.T]
    if kind not in ("binary", "multiclass"):
        return []
    values, codes = np.unique(np.asarray(y).ravel(), return_inverse=True)
    if len(values) > _MOST_CLASSES and values.dtype.kind in "iuf":
        return []
    return [weight * (codes == code) for code in range(len(values))]


def _spread(
    design: SurveyClusters, shares: Floats, order: NDArray[np.intp], n_folds: int
) -> NDArray[np.intp]:
    """The fold of each cluster: even numbers per stratum, then overall, then even shares.

    Of the folds that keep the numbers even, a cluster comes into the one to which it adds least to
    the sum of squared shares.
    """
    folds = np.zeros(len(order), dtype=np.intp)
    held = np.zeros((n_folds, shares.shape[1]))
    of_all = np.zeros(n_folds, dtype=np.intp)
    left = design.sizes
    of_stratum = np.zeros((len(left), n_folds), dtype=np.intp)
    for cluster in order:
        h = design.stratum[cluster]
        open_folds = np.flatnonzero(of_stratum[h] == of_stratum[h].min())
        if left[h] < len(open_folds):  # not each of them will get one: not those that have more
            counts = of_all[open_folds]
            open_folds = open_folds[counts == counts.min()]
        added = held[open_folds] @ shares[cluster]
        fold = open_folds[added.argmin()]
        folds[cluster] = fold
        held[fold] += shares[cluster]
        of_all[fold] += 1
        of_stratum[h, fold] += 1
        left[h] -= 1
    return folds
