"""A public yardstick: skweight and well-known peers on the same folds of the same real tables.

All get the same numbers (``tables.py``), at most 1,000 training rows of a fold, and the weights of
the table where their ``fit`` takes weights; RealMLP and TabM take none. Each is at its own
defaults, alone and bagged (``contenders.py``), with one thread. The loss is the weighted log-loss
or the weighted RMSE over the spread of the target, on all test rows of the fold. Elo is that of
``bencheval``, which TabArena uses: a rating from who has the lower loss on each table, in which
HistGradientBoosting has 1000. Improvability is the share by which the best contender's loss is
lower, mean over tables. Seconds are those of the processor for 1,000 training rows, median over
tables.

It has an environment of its own (see CONTRIBUTING.md). Run
``OMP_NUM_THREADS=1 python benchmarks/yardstick.py --keep FILE --minutes 9``: it writes each result
to the file as it is measured, stops after nine minutes, and goes on when it is run again. The run
that finds everything in the file prints the tables. The first fold takes about an hour and a half,
more than half of it for RealMLP and TabM, which are measured on that fold only; each other fold
takes ten minutes. ``--folds 1`` measures the first fold alone.

To measure skweight again and keep its peers, delete its lines: ``sed -i /skweight/d FILE``.
"""

import argparse
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from contenders import CONTENDERS, OURS, PEERS, SLOW
from defaults import measure_rows, wins
from few_rows import measure_all, take
from side_by_side import machine, print_table
from sklearn.model_selection import train_test_split
from tables import TABLES, Rows, folds, has_classes, held_out

MOST_TRAINING_ROWS = 1000
N_FOLDS = 3
ANCHOR = "HistGradientBoosting"  # its Elo is 1000


@cache
def rows(name: str, fold: int) -> tuple[Rows, Rows]:
    """Training rows, drawn at random if there are many, and test rows."""
    train, test = folds(name)[fold]
    if len(train.y) > MOST_TRAINING_ROWS:
        drawn, _ = train_test_split(
            np.arange(len(train.y)),
            train_size=MOST_TRAINING_ROWS,
            random_state=0,
            stratify=train.y if has_classes(name) else None,
        )
        train = take(train, drawn)
    return train, test


def measure(contender: str, name: str, fold: int) -> dict[str, float]:
    """Losses on the test rows, and seconds of the fit."""
    train, test = rows(name, fold)
    model = CONTENDERS[contender](has_classes(name), fold)
    return {"rows": len(train.y), **measure_rows(model, train, test, has_classes(name))}


def jobs(n_folds: int) -> Iterator[tuple[str, str, int]]:
    """Who is measured on which table and fold: skweight last, slow peers on the first fold."""
    for fold in range(n_folds):
        for contender in (*PEERS, *({} if fold else SLOW), *OURS):
            yield from ((contender, name, fold) for name in TABLES)


def run(n_folds: int, keep: str | None, minutes: float) -> pd.DataFrame | None:
    """All results, or None if time ended before all were measured."""
    todo = [*jobs(n_folds)]
    found = measure_all(todo, lambda job: measure(*job), keep, minutes)
    if found is None:
        return None
    where = pd.DataFrame(todo, columns=["contender", "table", "fold"])
    return where.join(pd.DataFrame(found).drop(columns="job"))


# --------------------------------------------------------------------------------------
# Tables
# --------------------------------------------------------------------------------------


def label(contender: str) -> str:
    """The name, with a star if it is trained without weights."""
    return contender + " *" * (contender in SLOW)


def describe(name: str) -> str:
    """The name of a table, with what is special about it."""
    notes = ["weights"] * bool(TABLES[name].weight) + ["held out"] * held_out(name)
    return f"{name} ({', '.join(notes)})" if notes else name


def in_common(results: pd.DataFrame) -> pd.DataFrame:
    """Results on the folds that all contenders were measured on."""
    by_fold = results.groupby(["table", "fold"])["contender"]
    return results[by_fold.transform("nunique") == results["contender"].nunique()]


def leaderboard(common: pd.DataFrame) -> pd.DataFrame:
    """Ratings, with 95 % intervals from tables drawn with replacement."""
    from bencheval.evaluator import BenchmarkEvaluator

    evaluator = BenchmarkEvaluator(
        method_col="contender",
        task_col="table",
        error_col="loss",
        seed_column="fold",
        columns_to_agg_extra=None,
    )
    elo: dict[str, Any] = {"calibration_framework": ANCHOR, "BOOTSTRAP_ROUNDS": 1000}
    return evaluator.leaderboard(common, metrics=["elo", "improvability"], elo_kwargs=elo)


def print_leaderboard(results: pd.DataFrame) -> None:
    """A row for each contender, the best first."""
    common = in_common(results)
    per_thousand = 1000 * common["processor"] / common["rows"]
    seconds = per_thousand.groupby(common["contender"]).median()
    ratings = leaderboard(common).sort_values("elo", ascending=False)
    judged = leaderboard(common[common["table"].map(held_out)])["elo"]
    n_folds = common["fold"].nunique()
    print(f"{common['table'].nunique()} tables, {n_folds} fold(s) that all were measured on:\n")
    found = [
        (
            label(contender),
            f"{row['elo']:.0f}",
            f"{row['elo'] - row['elo-']:.0f} to {row['elo'] + row['elo+']:.0f}",
            f"{judged[contender]:.0f}",
            f"{row['rank']:.1f}",
            f"{row['improvability']:.1%}",
            f"{seconds[contender]:.2g}",
        )
        for contender, row in ratings.iterrows()
    ]
    headers = ("contender", "Elo", "95 % interval", "Elo on held-out tables")
    print_table((*headers, "mean rank", "improvability", "seconds"), found)
    print()


def print_wins(results: pd.DataFrame) -> None:
    """On how many tables skweight has the lower loss: all, seen and held out."""
    for own in OURS:
        found = []
        for peer in (*PEERS, *SLOW):
            found.append((label(peer), *wins(results, peer, False, own=own)))
            if peer == ANCHOR and results["fold"].nunique() > 1:
                within = wins(results, peer, True, own=own)
                found.append((f"{peer}, or within one SE of it", *within))
        print_table((f"{own} is better than", "all tables", "seen", "held out"), found)
        print()


def print_losses(results: pd.DataFrame) -> None:
    """A row for each table: the mean of the losses on the folds that all were measured on."""
    names = [*OURS, *PEERS, *SLOW]
    means = in_common(results).groupby(["table", "contender"])["loss"].mean().unstack()[names]
    found = [
        (describe(name), *(f"{loss:.3f}" for loss in means.loc[name]))
        for name in sorted(TABLES, key=held_out)
    ]
    print_table(("table", *map(label, names)), found)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", metavar="FILE", help="file of the results")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="1 to 5")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = run(options.folds, options.keep, options.minutes)
    if results is not None:
        print(machine() + "\n")
        print_leaderboard(results)
        print_wins(results)
        print_losses(results)


if __name__ == "__main__":
    main()
