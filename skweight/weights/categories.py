"""The order and the pooling of categories, which depend on the distinct rows and not on labels.

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

# A category with fewer distinct rows, and a smaller share of them, is pooled with others like it.
_SMALLEST_SHARE, _FEWEST_ROWS = 0.01, 3
Codes = NDArray[np.int64]
Hashes = NDArray[np.uint64]
# Bits of a hash that are summed at once: sums of them over 2^27 rows are exact in float64.
_BITS = 26
_LOW_BITS = np.uint64(2**_BITS - 1)
# Passes over the rows that tell categories apart; more of them for few rows. Then codes decide.
_MOST_PASSES, _MOST_ROWS_READ = 32, 2**23


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
    """New codes, in the order of the old ones, with 0 for those of few distinct rows.

    These have a share of them below ``_SMALLEST_SHARE``, and fewer than ``_FEWEST_ROWS``.
    Parameters and result are those of :func:`order_categories`; the rows are in canonical order.

    What is pooled must not depend on y, or the pool would give y away: if weights decided, under
    class weights one row of a rare class would save its category from the pool, and "pooled" would
    mean "of the frequent class". So neither weights nor, if y are classes, y count.
    """
    counted = np.ones(len(rows.y), dtype=bool)
    if rows.y.dtype.kind == "i":
        key = project_rows(rows.X, rows.index, np.arange(rows.X.shape[1]))
        counted[1:] = key[1:] != key[:-1]  # rows that differ in y only are neighbours
    needed = min(_SMALLEST_SHARE * counted.sum(), _FEWEST_ROWS)
    kept = [np.bincount(codes, weights=counted) >= needed for codes in _codes(rows, columns)]
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
    n_passes: int = 0

    def find(self) -> list[Codes]:
        """The place of each code, from 0."""
        self._refine()
        if self._has_ties():
            weight_rank = _ranks_within(self.row_rank, self.mass).astype(np.uint64)
            _scramble(self.row_rank)
            self.row_rank += weight_rank
            self._refine()
        while self._has_ties() and self._may_go_on():
            self._order_twins()
            self._refine()
            self._order_in_components()
            self._refine()
        for column in range(len(self.place)):  # if that took too long
            self.place[column] = _ranks(self.place[column], np.arange(len(self.place[column])))
            self._refine()
        return self.place

    def _has_ties(self) -> bool:
        return any(_n_different(place) < len(place) for place in self.place)

    def _may_go_on(self) -> bool:
        return self.n_passes < max(_MOST_PASSES, _MOST_ROWS_READ // len(self.mass))

    def _refine(self) -> None:
        """Tell categories apart by their rows until that tells no more."""
        while self._has_ties() and self._may_go_on():
            self.n_passes += 1
            before = sum(map(_n_different, self.place))
            known = self._row_hashes()
            columns = zip(self.place, self.codes)
            self.place = [_ranks(place, *_sums(codes, known)) for place, codes in columns]
            if sum(map(_n_different, self.place)) == before:
                return

    def _row_hashes(self) -> Hashes:
        """A number for what is known of each row."""
        known: Hashes = self.row_rank.copy()
        _scramble(known)
        for column, place in enumerate(self.place):
            of_places = _hashes(place, column)
            known ^= of_places[self.codes[column]]
            _scramble(known)
        return known

    def _order_twins(self) -> None:
        """Order by their codes equal categories that could change places with each other.

        These are twins: their rows differ in nothing but them.
        """
        known: Hashes = self.row_rank.copy()
        _scramble(known)
        labels = [_hashes(np.arange(len(p)), column) for column, p in enumerate(self.place)]
        for of_column, codes in zip(labels, self.codes):
            known ^= of_column[codes]
        for column, (of_column, codes) in enumerate(zip(labels, self.codes)):
            place = self.place[column]
            if _n_different(place) == len(place):
                continue
            others = known ^ of_column[codes]
            _scramble(others)
            twins = _ranks(place, *_sums(codes, others))
            self.place[column] = _ranks(place, _ranks_within(twins, np.arange(len(twins))))

    def _order_in_components(self) -> None:
        """Make one of the equal categories of each component the first, or order the components.

        A component holds the categories that are connected by rows, through equal ones. Components
        without equal categories in a column could change places as a whole.
        """
        component = self._components()
        column = np.repeat(np.arange(len(self.place)), [len(place) for place in self.place])
        cells = _ranks(component, column, np.concatenate(self.place))
        is_tied = np.bincount(cells)[cells] > 1
        if is_tied.any():
            # Lower ranks are earlier columns and places of a component; the first code is chosen.
            tied = np.flatnonzero(is_tied)
            tied = tied[np.argsort(cells[tied], kind="stable")]
            _, first = np.unique(component[tied], return_index=True)
            chosen = np.ones(len(cells), dtype=np.int64)
            chosen[tied[first]] = 0
            component = chosen
        ends = np.cumsum([len(place) for place in self.place])
        of_columns = np.split(component, ends[:-1])
        self.place = [_ranks(place, key) for place, key in zip(self.place, of_columns)]

    def _components(self) -> Codes:
        """The component of each category of all columns: the smallest position of one in it."""
        starts = np.cumsum([0, *map(len, self.place)])
        label = np.arange(starts[-1])
        tied = []
        for start, place, codes in zip(starts, self.place, self.codes):
            is_tied = np.bincount(place)[place] > 1
            rows = np.flatnonzero(is_tied[codes])
            tied.append((rows, codes[rows] + start))
        while True:
            of_rows = np.full(len(self.mass), len(label))
            for rows, categories in tied:
                of_rows[rows] = np.minimum(of_rows[rows], label[categories])
            found = label.copy()
            for rows, categories in tied:
                np.minimum.at(found, categories, of_rows[rows])
            found = found[found]
            if np.array_equal(found, label):
                return label
            label = found


def _n_different(place: Codes) -> int:
    return int(place.max()) + 1


def _ranks(*keys: NDArray[Any]) -> Codes:
    """Dense ranks from 0 by the first key, and by the others where that is equal."""
    order = np.lexsort(keys[::-1])
    differs = np.zeros(len(order), dtype=np.int64)
    for key in keys:
        differs[1:] |= key[order[1:]] != key[order[:-1]]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = differs.cumsum()
    return ranks


def _ranks_within(groups: NDArray[Any], values: NDArray[Any]) -> Codes:
    """Dense ranks from 0 of the values of each group."""
    ranks = _ranks(groups, values)
    first = np.full(len(ranks), len(ranks))
    of_groups = _ranks(groups)
    np.minimum.at(first, of_groups, ranks)
    return np.asarray(ranks - first[of_groups])


def _sums(codes: NDArray[np.int32], known: Hashes) -> list[Floats]:
    """Sums of the hashes of the rows that have each code, in two halves."""
    halves = ((known >> np.uint64(shift) & _LOW_BITS).astype(np.float64) for shift in (0, _BITS))
    return [np.asarray(np.bincount(codes, half), dtype=np.float64) for half in halves]


def _hashes(numbers: Codes, column: int) -> Hashes:
    """A hash of each number, another one in each column."""
    hashes = numbers.astype(np.uint64)
    _scramble(hashes)
    hashes += np.uint64(column)
    _scramble(hashes)
    return hashes


def _scramble(values: Hashes) -> None:
    """Replace each number by its hash (SplitMix64 of Steele, Lea & Flood, OOPSLA 2014)."""
    values += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
