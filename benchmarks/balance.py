"""``match_mean=True`` on the tables of ``defaults.py``: how far means are apart, and test losses.

Run ``OMP_NUM_THREADS=1 python benchmarks/balance.py``: about 3 minutes on two cores. Both columns
of a pair are of the same networks, with their shifts and without. Differences of weighted means are
relative to the share of a class, of which the largest is shown, or in standard deviations of a
target. ``--folds 5`` means over folds, ``--tables`` takes only some tables.
"""

import argparse
import warnings
from typing import Any

import numpy as np
from defaults import of_classes, of_numbers, ours
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tables import CLASSIFICATION, TABLES, Rows, folds, held_out

# By more than this no test loss is to get worse.
ALLOWED = 0.002


def gap(model: Any, rows: Rows, is_class: bool) -> float:
    """By how much the weighted means of predictions and of y differ."""
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    if not is_class:
        spread = np.sqrt(np.cov(rows.y, aweights=weight))
        return float(abs(np.average(model.predict(rows.X) - rows.y, weights=weight)) / spread)
    share = np.average(rows.y[:, None] == model.classes_, axis=0, weights=weight)
    mean = np.average(model.predict_proba(rows.X), axis=0, weights=weight)
    return float(np.abs(mean / share - 1).max())


def measure(name: str, fold: int) -> dict[str, NDArray[np.float64]]:
    """Fit once; measure with the shift and, of the same networks, without it."""
    warnings.simplefilter("ignore")  # weights on few rows
    is_class = name in CLASSIFICATION
    train, test = folds(name)[fold]
    model = ours(match_mean=True)(is_class, 0).fit(train.X, train.y, **train.weights)
    found = {}
    for kind in ("with", "without"):
        measured = (
            of_classes(model, test, int(train.y.max()) + 1) if is_class else of_numbers(model, test)
        )
        gaps = gap(model, train, is_class), gap(model, test, is_class)
        found[kind] = np.array([*gaps, measured["loss"]])
        for net in model.nets_:
            net.score_shift_ = None
    return found


def print_row(name: str, results: list[dict[str, NDArray[np.float64]]]) -> float:
    """Print the means over folds of a table; return by how much its loss changes."""
    without, shifted = (np.mean([r[kind] for r in results], axis=0) for kind in ("without", "with"))
    gaps = [f"{kind[part]:.1e}" for part in (0, 1) for kind in (without, shifted)]
    change = float(shifted[2] / without[2] - 1)
    cells = [*gaps, f"{without[2]:.4f}", f"{shifted[2]:.4f}", f"{change:+.2%}"]
    if len(results) > 1:
        each = [r["with"][2] - r["without"][2] for r in results]
        error = np.std(each, ddof=1) / np.sqrt(len(each)) / without[2]
        cells[-1] += f" ± {error:.2%}"
    print(f"| {name}{' (held out)' * held_out(name)} | " + " | ".join(cells) + " |")
    return change


def main() -> None:
    """Measure every table, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--tables", nargs="+", choices=[*TABLES], default=[*TABLES])
    options = parser.parse_args()
    jobs = [(name, fold) for name in options.tables for fold in range(options.folds)]
    measured = Parallel(n_jobs=2)(delayed(measure)(*job) for job in jobs)
    pair = ["without", "with"]
    columns = [f"{what}, {kind}" for what in ("training gap", "test gap") for kind in pair]
    columns += ["test loss, without", "with", "change"]
    print("| table | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    changes = [
        print_row(name, [r for job, r in zip(jobs, measured) if job[0] == name])
        for name in options.tables
    ]
    largest = max(result["with"][0] for result in measured)
    worse = sum(change > ALLOWED for change in changes)
    print(
        f"\nThe largest training gap with the shift is {largest:.1e}. The test loss is lower on "
        f"{sum(c < 0 for c in changes)} of {len(changes)} tables, and worse by more than "
        f"{ALLOWED:.1%} on {worse}; the median change is {np.median(changes):+.3%}."
    )


if __name__ == "__main__":
    main()
