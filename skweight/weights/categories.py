"""The order and the pooling of categories, which depend on the weighted data and not on labels.

Which number stands for a category decides about initial values and about the canonical order of
rows. It is therefore chosen by the rows that have the category: renaming the labels, or listing
them in another order, changes nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats
from skweight.weights.merging import DistinctRows, project_rows
from skweight.weights.sample_weight import scale_near_one

# A category with a smaller share of the weight, and less than the weight of so many average rows,
# is pooled with others like it.
SMALLEST_SHARE, FEWEST_ROWS = 0.01, 3
# Sums of weights differ by rounding; a category is not pooled for that.
_SLACK = 1e-9
Codes = NDArray[np.int64]
Hashes = NDArray[np.uint64]
# Bits of a hash that are summed at once: sums of them over 2^27 rows are exact in float64.
_BITS = 26
_LOW_BITS = np.uint64(2**_BITS - 1)


def order_categories(rows: DistinctRows, columns: list[int]) -> list[Codes]:
    """New codes 1, 2, ... for the categories in some columns of X.

    Parameters
    ----------
    rows : DistinctRows
        Of a dense X, whose ``columns`` hold codes 0, 1, 2, ... in any order.
    columns : list of int

    Returns
    -------
    list of ndarray of shape (n_codes,)
        The new code of each old one; those that no row has become 0. The others are ordered by the
        rows that have them: by their other columns, their y and, where these are equal, their
        weights. Only among categories that the data do not tell apart does the old code decide.
    """
    numbers = np.setdiff1d(np.arange(rows.X.shape[1]), columns)
    codes = _codes(rows, columns)
    has_rows = [np.bincount(of_column) > 0 for of_column in codes]
    search = _Search(
        [(h.cumsum(dtype=np.int32) - 1)[of_column] for h, of_column in zip(has_rows, codes)],
        [np.zeros(h.sum(), dtype=np.int64) for h in has_rows],
        _rank_rows(rows, numbers),
        rows.mass,
    )
    del codes
    new_codes = [np.zeros(len(h), dtype=np.int64) for h in has_rows]
    for new, h, place in zip(new_codes, has_rows, search.find()):
        new[h] = place + 1
    return new_codes


def pool_categories(rows: DistinctRows, columns: list[int]) -> list[Codes]:
    """New codes, in the order of the old ones, with 0 for those of little weight.

    These have a share of the weight below ``SMALLEST_SHARE`` and less than ``FEWEST_ROWS`` average
    rows have. Parameters and result are those of :func:`order_categories`.
    """
    weight = scale_near_one(rows.weight_per_row)
    needed = min(SMALLEST_SHARE, FEWEST_ROWS / len(weight)) * weight.sum() * (1 - _SLACK)
    kept = [np.bincount(codes, weights=weight) >= needed for codes in _codes(rows, columns)]
    return [np.where(of_column, of_column.cumsum(), 0) for of_column in kept]


def _codes(rows: DistinctRows, columns: list[int]) -> list[NDArray[np.int32]]:
    return [rows.X[rows.index, column].astype(np.int32) for column in columns]


def _rank_rows(rows: DistinctRows, numbers: NDArray[np.intp]) -> Hashes:
    """Rank of each row by its numbers and its y alone; equal rows have the same rank."""
    key = project_rows(rows.X, rows.index, numbers)
    y = rows.y.reshape(len(rows.y), -1)
    order = np.argsort(key)
    in_order = key[order]
    differs = np.ones(len(key), dtype=bool)
    differs[1:] = in_order[1:] != in_order[:-1]
    if not differs.all():
        order = np.lexsort((*y.T[::-1], key))
        differs[1:] |= (y[order[1:]] != y[order[:-1]]).any(axis=1)
    del key, in_order  # a table may fill the memory
    rank = np.empty(len(order), dtype=np.uint64)
    rank[order] = np.cumsum(differs, dtype=np.uint64)
    return rank


@dataclass
class _Search:
    """The search for an order of the categories that does not depend on their codes.

    Categories of a column are first equal. They are told apart by the rows that have them, where a
    row is known by its numbers, its y and what is known of its categories; that is repeated until
    nothing changes, as in the refinement of colours of graphs (Weisfeiler & Leman 1968).
    """

    codes: list[NDArray[np.int32]]  # of each column, shape (n,)
    place: list[Codes]  # of each code in each column; equal where they are not told apart
    row_rank: Hashes
    mass: Floats

    def find(self) -> list[Codes]:
        """The place of each code, from 0."""
        self._refine()
        if self._has_ties():
            self._tell_apart_by_mass()
            self._refine()
        for column in range(len(self.place)):
            place = self.place[column]
            if _n_different(place) < len(place):  # the data do not tell them apart: by code
                self.place[column] = _ranks(place, np.arange(len(place)))
                self._refine()
        return self.place

    def _has_ties(self) -> bool:
        return any(_n_different(place) < len(place) for place in self.place)

    def _refine(self) -> None:
        """Tell categories apart by their rows until that tells no more."""
        while self._has_ties():
            before = sum(map(_n_different, self.place))
            known = self._row_hashes()
            sums: list[list[Floats]] = [[] for _ in self.place]
            for shift in (0, _BITS):
                half = (known >> np.uint64(shift) & _LOW_BITS).astype(np.float64)
                for of_column, codes in zip(sums, self.codes):
                    of_column.append(np.asarray(np.bincount(codes, half), dtype=np.float64))
            self.place = [_ranks(*of_column) for of_column in zip(self.place, *zip(*sums))]
            if sum(map(_n_different, self.place)) == before:
                return

    def _row_hashes(self) -> Hashes:
        """A number for what is known of each row."""
        known: Hashes = self.row_rank.copy()
        _scramble(known)
        for column, place in enumerate(self.place):
            of_places = place.astype(np.uint64)
            _scramble(of_places)
            of_places += np.uint64(column)
            _scramble(of_places)
            known ^= of_places[self.codes[column]]
            _scramble(known)
        return known

    def _tell_apart_by_mass(self) -> None:
        """Compare categories with the same rows by the weights of these, in the same order."""
        known = self._row_hashes()
        for column, place in enumerate(self.place):
            is_tied = np.bincount(place)[place] > 1
            rows = np.flatnonzero(is_tied[self.codes[column]])
            codes = self.codes[column][rows]
            order = np.lexsort((self.mass[rows], known[rows], codes))
            ends = np.cumsum(np.bincount(codes, minlength=len(place)))
            masses = np.split(self.mass[rows][order], ends[:-1])
            sequences = sorted({tuple(of_code.tolist()) for of_code in masses})
            ranks = {sequence: rank for rank, sequence in enumerate(sequences)}
            self.place[column] = _ranks(place, [ranks[tuple(m.tolist())] for m in masses])


def _n_different(place: Codes) -> int:
    return int(place.max()) + 1


def _ranks(*keys: Any) -> Codes:
    """Dense ranks from 0 by the first key, and by the others where that is equal."""
    _, ranks = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)
    return ranks.reshape(-1)


def _scramble(values: Hashes) -> None:
    """Replace each number by its hash (SplitMix64 of Steele, Lea & Flood, OOPSLA 2014)."""
    values += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
