"""``match_mean=True`` on the tables of ``defaults.py``: how far means were apart, and the test loss.

Run ``OMP_NUM_THREADS=1 python benchmarks/balance.py``: about 2 minutes on two cores. Both columns
of a pair are of one network, with its shift and without. Differences of weighted means are relative
to the share of a class, of which the largest is shown, or in standard deviations of a target.
"""

from typing import Any

import numpy as np
from defaults import of_classes, of_numbers, ours
from joblib import Parallel, delayed
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


def measure(name: str) -> dict[str, Any]:
    """Fit once; measure with the shift and, of the same networks, without it."""
    is_class = name in CLASSIFICATION
    train, test = folds(name)[0]
    model = ours(match_mean=True)(is_class, 0).fit(train.X, train.y, **train.weights)
    found: dict[str, Any] = {"table": name}
    for kind in ("with", "without"):
        loss = of_classes(model, test, int(train.y.max()) + 1) if is_class else None
        loss = loss or of_numbers(model, test)
        found[kind] = gap(model, train, is_class), gap(model, test, is_class), loss["loss"]
        for net in model.nets_:
            net.score_shift_ = None
    return found


def main() -> None:
    """Measure every table, and print Markdown."""
    results = Parallel(n_jobs=2)(delayed(measure)(name) for name in TABLES)
    pair = ["without", "with"]
    columns = [f"{what}, {kind}" for what in ("training gap", "test gap") for kind in pair]
    columns += ["test loss, without", "with", "change"]
    print("| table | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    changes = []
    for result in results:
        gaps = [f"{result[kind][part]:.1e}" for part in (0, 1) for kind in pair]
        before, after = (result[kind][2] for kind in pair)
        changes.append(after / before - 1)
        name = result["table"] + " (held out)" * held_out(result["table"])
        cells = [*gaps, f"{before:.4f}", f"{after:.4f}", f"{changes[-1]:+.2%}"]
        print(f"| {name} | " + " | ".join(cells) + " |")
    largest = max(result["with"][0] for result in results)
    worse = sum(change > ALLOWED for change in changes)
    print(f"\nThe largest training gap with the shift is {largest:.1e}.")
    print(f"The test loss is lower on {sum(c < 0 for c in changes)} of {len(changes)} tables, and ")
    print(f"worse by more than {ALLOWED:.1%} on {worse}; median change {np.median(changes):+.3%}.")


if __name__ == "__main__":
    main()
