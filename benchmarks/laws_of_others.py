"""What weights do in other libraries: two fits that should be the same, and how far they differ.

Run ``OMP_NUM_THREADS=1 python benchmarks/laws_of_others.py``. It takes half a minute and prints
a Markdown table of the largest difference between predicted probabilities. LightGBM has a row if it
is installed. Each estimator has its default settings and a fixed seed.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from side_by_side import machine, print_table
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skweight import WeightedTorchClassifier

N_ROWS = 600
Table = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]


def tables() -> dict[str, tuple[Table, Table]]:
    """Pairs of tables that mean the same: X, y and weights or None."""
    rng = np.random.default_rng(0)
    X, y = make_classification(N_ROWS, 10, n_informative=5, flip_y=0.1, random_state=0)
    counts = rng.integers(1, 4, N_ROWS)
    copies = np.repeat(np.arange(N_ROWS), counts)
    is_there = rng.random(N_ROWS) < 0.8
    order = rng.permutation(N_ROWS)
    weight = rng.exponential(size=N_ROWS)
    return {
        "weight 3 or three copies": ((X, y, counts), (X[copies], y[copies], None)),
        "weight 0 or no row": ((X, y, is_there), (X[is_there], y[is_there], None)),
        "weights or weights times 1,000": ((X, y, weight), (X, y, 1000 * weight)),
        "rows in another order": ((X, y, weight), (X[order], y[order], weight[order])),
    }


def estimators() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names, and functions that make a new estimator."""
    yield "skweight", lambda: WeightedTorchClassifier(random_state=0)
    yield "scikit-learn's `MLPClassifier`", lambda: MLPClassifier(random_state=0)
    yield (
        "scikit-learn's `HistGradientBoostingClassifier`",
        lambda: HistGradientBoostingClassifier(random_state=0),
    )
    try:
        from lightgbm import LGBMClassifier
    except ImportError:
        pass
    else:
        yield "LightGBM", lambda: LGBMClassifier(random_state=0, verbose=-1)
    yield "scikit-learn's `LogisticRegression`", LogisticRegression


def difference(make: Callable[[], Any], one: Table, other: Table) -> float:
    """The largest difference between probabilities of two fits, for the rows of the first."""
    found = []
    for X, y, weight in (one, other):
        weight = None if weight is None else weight.astype(np.float64)
        found.append(make().fit(X, y, sample_weight=weight).predict_proba(one[0])[:, 1])
    return float(np.abs(found[0] - found[1]).max())


def text(value: float) -> str:
    """Return a difference as text; below a millionth as its magnitude, which is rounding."""
    if value == 0 or value >= 1e-6:
        return f"{value:.2g}"
    return "below 1e-6"


def main() -> None:
    """Print the versions and the table."""
    warnings.simplefilter("ignore")  # a network of scikit-learn that has not converged
    print(machine() + "\n")
    pairs = tables()
    rows = []
    for name, make in estimators():
        values = [text(difference(make, *pair)) for pair in pairs.values()]
        rows.append((name, *values))
    print_table(("largest difference of a probability", *pairs), rows)


if __name__ == "__main__":
    main()
