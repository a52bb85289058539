"""The clusters and strata of a survey, found by their labels in the rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight._keywords import Floats
from skweight.weights.missing import missing_rows
from skweight.weights.sample_weight import as_labels, refuse_masked

Codes = NDArray[np.intp]


@dataclass(frozen=True)
class SurveyClusters:
    """The clusters of a sample, sorted by stratum and label, so that no order of rows matters."""

    of_rows: Codes  # the cluster of each row, shape (n_samples,)
    stratum: Codes  # the stratum of each cluster, shape (n_clusters,)
    labels: list[Any]  # of the strata

    @property
    def sizes(self) -> Codes:
        """The number of clusters in each stratum."""
        return np.bincount(self.stratum)

    def name_strata(self, chosen: NDArray[np.bool_]) -> str:
        """The labels of these strata for an error: the first five."""
        names = [repr(self.labels[h]) for h in np.flatnonzero(chosen)]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return ", ".join(names[:5]) + more

    def per_row(self, of_clusters: Floats) -> Floats:
        """What the clusters have, for each row."""
        return of_clusters[self.of_rows]


def find_clusters(
    strata: Any, clusters: Any, n_rows: int, name_of_clusters: str = "clusters"
) -> SurveyClusters:
    """The clusters of ``n_rows`` rows, within strata: a label in two strata is two clusters.

    Without strata there is one, and without clusters each row is one.
    """
    labels, of_rows = _sorted_labels(strata, "strata", n_rows)
    if clusters is None:
        inside = np.arange(n_rows)
    else:
        inside = _sorted_labels(clusters, name_of_clusters, n_rows)[1]
    pairs, found = np.unique(of_rows * (inside.max() + 1) + inside, return_inverse=True)
    return SurveyClusters(found, pairs // (inside.max() + 1), labels)


def _sorted_labels(labels: Any, name: str, n_rows: int) -> tuple[list[Any], Codes]:
    """The labels that occur, sorted, and which one each row has."""
    if labels is None:
        return ["all rows"], np.zeros(n_rows, dtype=np.intp)
    values = _label_array(labels, name)
    if values.ndim != 1 or len(values) != n_rows:
        raise ValueError(
            f"{name} must have one label per row, shape ({n_rows},), got shape {values.shape}."
        )
    missing = missing_rows(values)
    if missing.any():
        row = int(missing.argmax())
        raise ValueError(
            f"{name} must not be missing, got {values[row]} at position {row}. Leave such rows "
            "out, or give them a label of their own."
        )
    try:
        found, codes = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise TypeError(
            f"{name} must hold labels of one kind, which can be sorted: {error}."
        ) from error
    return found.tolist(), codes


def _label_array(labels: Any, name: str) -> NDArray[Any]:
    refuse_masked(labels, name)
    if isinstance(labels, str):
        raise TypeError(
            f"{name} must have one label per row, got {labels!r}. Pass the column itself, such as "
            f"table[{labels!r}]."
        )
    return as_labels(labels, name)  # NaN beside strings is not the string "nan"


def count_rows(**arrays: Any) -> int:
    """How many rows the first of these arguments has that is not None."""
    given = [(name, values) for name, values in arrays.items() if values is not None]
    if not given:
        raise ValueError(f"One of {[*arrays]} must be given, got None for all of them.")
    name, values = given[0]
    try:
        return len(values)
    except TypeError as error:
        raise TypeError(f"{name} must have one entry per row, got {values!r}.") from error
