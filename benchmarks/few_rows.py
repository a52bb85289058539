"""From how many rows on a fifth of them should be held out, and how long to train without.

One network is trained, and by the defaults several. Each fit gets rows of a table until it has 40
to 600 distinct ones; the loss is that on up to 5,000 of the others, by the weights of the table.
The tables are those of ``tables.py`` and a few that are drawn from known distributions. Two more
tables are printed: one of tables whose many rows have few distinct values, and one of a caller that
boosts with members of 60 rows, half of them of the rare class.

Run ``OMP_NUM_THREADS=1 python benchmarks/few_rows.py --keep FILE --minutes 9``: it writes each
result to the file as it is measured, stops after nine minutes, and goes on when it is run again;
about half an hour in all. The run that finds everything in the file prints the tables.
"""

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from defaults import of_numbers
from sklearn.datasets import make_classification, make_friedman1
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from tables import (
    MORE_CLASSIFICATION,
    MORE_REGRESSION,
    TABLES,
    Rows,
    has_classes,
    load,
    make_encoder,
)

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

SIZES = (40, 60, 80, 100, 150, 200, 300, 400, 500, 600)
N_DRAWS = 6
MOST_TEST_ROWS, FEWEST_TEST_ROWS = 5000, 100
ALL_ROWS, HELD_OUT, DEFAULTS = "all rows", "a fifth held out", "the defaults"
# What could be done where no rows are held out: fewer sizes and draws tell.
SIZES_OF_VARIANTS, N_DRAWS_OF_VARIANTS = (40, 100, 200, 400), 2
AVERAGED = "the parameters averaged"
VARIANTS = ("30 updates", "120 updates", "250 updates", "500 updates", AVERAGED)

OF_CELLS = (DEFAULTS, ALL_ROWS, HELD_OUT)
OF_BOOSTING = (*OF_CELLS, "500 updates")

Job = tuple[Any, ...]
SYNTHETIC = {
    "two classes, clear": True,
    "two classes, noisy": True,
    "a tenth of one class": True,
    "classes by chance": True,
    "linear": False,
    "linear, noisy": False,
    "Friedman": False,
    "numbers by chance": False,
}
NAMES = (*TABLES, *MORE_CLASSIFICATION, *MORE_REGRESSION, *SYNTHETIC)

# Two or three columns of a table, cut into thirds: thousands of rows become a few cells.
CELLS = {
    "mlc_churn": ("international_plan", "voice_mail_plan", "total_day_minutes"),
    "Arrests": ("colour", "sex", "employed", "citizen", "checks"),
    "HI": ("education", "race", "hispanic"),
    "credit_data": ("Home", "Marital", "Records", "Job"),
    "wa_churn": ("contract", "payment_method", "internet_service", "partner", "tenure"),
    "HMDA": ("hirat", "lvrat", "chist", "afam", "single"),
    "Chile": ("region", "sex", "education", "age"),
    "nassCDS": ("dvcat", "airbag", "seatbelt", "frontal", "sex", "ageOFocc"),
}
N_MEMBERS, ROWS_OF_MEMBER = 10, 60
BOOSTED = ("Arrests", "Caravan", "HMDA", "attrition", "email", "lending_club", "mlc_churn", "taxi")


# --------------------------------------------------------------------------------------
# Rows
# --------------------------------------------------------------------------------------


def is_class(name: str) -> bool:
    """Whether the target is a class."""
    return SYNTHETIC[name] if name in SYNTHETIC else has_classes(name)


def draw_synthetic(name: str) -> Rows:
    """20 features, and a target of known difficulty."""
    rng, n_rows = np.random.default_rng(0), 6000
    X = rng.normal(size=(n_rows, 20))
    signal = X[:, :5].sum(axis=1) / math.sqrt(5)
    noise = rng.normal(size=n_rows)
    made = {"n_samples": n_rows, "n_informative": 6, "random_state": 0}
    if name == "two classes, clear":
        X, y = make_classification(**made, class_sep=1.5, flip_y=0)
    elif name == "two classes, noisy":
        X, y = make_classification(**made, class_sep=0.7, flip_y=0.3)
    elif name == "a tenth of one class":
        X, y = make_classification(**made, weights=[0.9])
    elif name == "classes by chance":
        y = rng.integers(2, size=n_rows)
    elif name == "linear":
        y = signal + 0.1 * noise
    elif name == "linear, noisy":
        y = signal + 2 * noise
    elif name == "Friedman":
        X, y = make_friedman1(n_rows, 20, noise=1, random_state=0)
    else:
        y = noise
    return Rows(X, y, None)


@cache
def encoded(name: str) -> tuple[Rows, np.ndarray]:
    """All rows of a table as numbers, and for each the number of its distinct row."""
    if name in SYNTHETIC:
        rows = draw_synthetic(name)
    else:
        X, y, weight, _ = load(name)
        rows = Rows(make_encoder().fit_transform(X), y, weight)
    return rows, np.unique(np.column_stack([rows.X, rows.y]), axis=0, return_inverse=True)[1]


@cache
def cells(name: str) -> tuple[Rows, int]:
    """Rows of a few columns without weights, and how many are distinct."""
    X, y, _, _ = load(name)
    X = X[[*CELLS[name]]].copy()
    for column in X.select_dtypes("number"):
        X[column] = pd.qcut(X[column], 3, labels=False, duplicates="drop")
    X = make_encoder().fit_transform(X)
    return Rows(X, y, None), len(np.unique(np.column_stack([X, y]), axis=0))


def take(rows: Rows, index: np.ndarray) -> Rows:
    """Some of the rows."""
    weight = None if rows.weight is None else rows.weight[index]
    return Rows(rows.X[index], rows.y[index], weight)


@cache
def enough_rows(name: str, n_rows: int) -> bool:
    """Whether rows are left to test on."""
    rows, codes = encoded(name)
    first = np.sort(np.unique(codes, return_index=True)[1])
    return len(first) >= n_rows and len(rows.y) - first[n_rows - 1] > FEWEST_TEST_ROWS


def draw(name: str, n_rows: int, seed: int) -> tuple[Rows, Rows]:
    """``n_rows`` distinct rows, with two of each class at least, and others."""
    rows, codes = encoded(name)
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(codes))
        first = np.sort(np.unique(codes[order], return_index=True)[1])
        end = first[n_rows - 1] + 1
        distinct = rows.y[order[first[:n_rows]]]
        if not is_class(name) or np.bincount(distinct, minlength=rows.y.max() + 1).min() >= 2:
            return take(rows, order[:end]), take(rows, order[end : end + MOST_TEST_ROWS])


# --------------------------------------------------------------------------------------
# Fits
# --------------------------------------------------------------------------------------


def params_of(contender: str, n_rows: int) -> dict[str, Any]:
    """The parameters of the estimators; batches have 32 rows below 2,048 rows."""
    if contender == DEFAULTS:
        return {}
    if contender == HELD_OUT:
        return {"early_stopping": True, "n_members": 1}
    n_batches = math.ceil(n_rows / 32)
    if contender in (ALL_ROWS, AVERAGED):  # the default of few rows, here for any number of rows
        epochs = max(20, math.ceil(60 / n_batches))
    else:
        epochs = math.ceil(int(contender.split()[0]) / n_batches)
    decay = 0.99 if contender == AVERAGED else 0
    return {"early_stopping": False, "max_epochs": epochs, "ema_decay": decay}


def fit(contender: str, name: str, n_rows: int, seed: int) -> dict[str, float]:
    """Measure on rows that were not in training."""
    return measure(contender, name, seed, n_rows, *draw(name, n_rows, seed))


def fit_cells(contender: str, name: str, n_cells: int, seed: int) -> dict[str, float]:
    """Train on half of the rows, which are copies of a few, and measure on the other half."""
    rows, _ = cells(name)
    halves = train_test_split(np.arange(len(rows.y)), train_size=0.5, random_state=seed)
    return measure(contender, name, seed, n_cells, *(take(rows, half) for half in halves))


def measure(
    contender: str, name: str, seed: int, n_rows: int, train: Rows, test: Rows
) -> dict[str, float]:
    """Loss, and AUC of two classes."""
    kind = WeightedTorchClassifier if is_class(name) else WeightedTorchRegressor
    model = kind(random_state=seed, device="cpu", **params_of(contender, n_rows))
    model.fit(train.X, train.y, **train.weights)
    if not is_class(name):
        return of_numbers(model, test)
    p = model.predict_proba(test.X).astype(float)
    p /= p.sum(axis=1, keepdims=True)
    loss = log_loss(test.y, p, labels=np.arange(p.shape[1]), **test.weights)
    auc = roc_auc_score(test.y, p[:, 1], **test.weights) if p.shape[1] == 2 else math.nan
    return {"loss": loss, "auc": auc}


def boost(contender: str, name: str, n_rows: int, seed: int) -> dict[str, float]:
    """Members that get half of their rows from each class, drawn by the weights of AdaBoost."""
    rows, _ = encoded(name)
    parts = train_test_split(np.arange(len(rows.y)), stratify=rows.y, random_state=seed)
    train, test = (take(rows, part) for part in parts)
    rng = np.random.default_rng(seed)
    weight, votes = np.full(len(train.y), 1 / len(train.y)), np.zeros(len(test.y))
    for member in range(N_MEMBERS):
        drawn = []
        for code in (0, 1):
            of_class = np.flatnonzero(train.y == code)
            share = weight[of_class] / weight[of_class].sum()
            drawn.append(rng.choice(of_class, n_rows // 2, replace=False, p=share))
        some = np.concatenate(drawn)
        model = WeightedTorchClassifier(
            random_state=member, device="cpu", **params_of(contender, n_rows)
        )
        model.fit(train.X[some], train.y[some])
        wrong = model.predict(train.X) != train.y
        error = np.clip(weight[wrong].sum(), 1e-6, 0.5)
        vote = math.log((1 - error) / error)
        weight *= np.exp(vote * wrong)
        weight /= weight.sum()
        votes += vote * (2 * model.predict(test.X) - 1)
    return {
        "auc": roc_auc_score(test.y, votes),
        "balanced": balanced_accuracy_score(test.y, votes > 0),
    }


MEASURES = {"fit": fit, "cells": fit_cells, "boost": boost}


def all_jobs() -> Iterator[tuple[str, str, str, int, int]]:
    """What is measured, for whom, on which table, with how many rows, in which draw."""
    both = (ALL_ROWS, HELD_OUT)
    for seed in range(N_DRAWS):
        for name in NAMES:
            for n_rows in (n for n in SIZES if enough_rows(name, n)):
                yield from (("fit", c, name, n_rows, seed) for c in both)
    for seed in range(N_DRAWS_OF_VARIANTS):
        for name in CELLS:
            n_cells = cells(name)[1]
            yield from (("cells", c, name, n_cells, seed) for c in (*OF_CELLS, *VARIANTS))
        for name in BOOSTED:
            yield from (("boost", c, name, ROWS_OF_MEMBER, seed) for c in OF_BOOSTING)
    for seed in range(N_DRAWS_OF_VARIANTS):
        for name in NAMES:
            for n_rows in (n for n in SIZES_OF_VARIANTS if enough_rows(name, n)):
                yield from (("fit", c, name, n_rows, seed) for c in VARIANTS)


def measure_all(
    jobs: list[Job], measure: Callable[[Job], dict[str, float]], keep: str | None, minutes: float
) -> list[dict[str, Any]] | None:
    """Results of jobs, with the job, or None if time ended before all were measured.

    Results are read from and written to the file ``keep``, so that another run goes on.
    """
    warnings.simplefilter("ignore")  # few effective rows
    path, end = Path(keep) if keep else None, time.monotonic() + 60 * minutes
    lines = path.read_text().splitlines() if path and path.exists() else []
    found = {tuple(json.loads(line)["job"]): json.loads(line) for line in lines}
    for job in jobs:
        if job in found:
            continue
        if time.monotonic() > end:
            print(f"{len(found)} results are in {keep}: run this again to go on.")
            return None
        found[job] = {"job": job, **measure(job)}
        if path:
            with path.open("a") as file:
                file.write(json.dumps(found[job]) + "\n")
    return [found[job] for job in jobs]  # the file may have more


def run(keep: str | None, minutes: float) -> pd.DataFrame | None:
    """All results, or None if time ended before all were measured."""
    jobs = [*all_jobs()]
    found = measure_all(jobs, lambda job: MEASURES[job[0]](*job[1:]), keep, minutes)
    if found is None:
        return None
    columns = ["what", "contender", "table", "rows", "seed"]
    return pd.DataFrame(jobs, columns=columns).join(pd.DataFrame(found).drop(columns="job"))


# --------------------------------------------------------------------------------------
# Tables
# --------------------------------------------------------------------------------------


def compare(fits: pd.DataFrame, contender: str) -> pd.DataFrame:
    """For each size and table: how a contender differs from ``ALL_ROWS`` on the same draws."""
    where = ["rows", "table", "seed"]
    both = fits.pivot(index=where, columns="contender", values=["loss", "auc"])
    both = both.loc[both["loss", contender].notna()]
    means = both.groupby(["rows", "table"]).mean()
    change = (both["loss", contender] - both["loss", ALL_ROWS]).groupby(["rows", "table"])
    return pd.DataFrame(
        {
            "ratio": means["loss", contender] / means["loss", ALL_ROWS],
            "errors": change.mean() / change.sem(),
            "auc": means["auc", contender] - means["auc", ALL_ROWS],
        }
    )


def print_held_out(fits: pd.DataFrame) -> None:
    """A row for each size: how holding rows out differs from training on all."""
    print(
        "| rows | loss, median | geometric mean | better on | better by more than one SE "
        "| worse by more than one SE | AUC | better on |\n" + "| --- " * 8 + "|"
    )
    for n_rows, on in compare(fits, HELD_OUT).groupby("rows"):
        auc = on["auc"].dropna()
        print(
            f"| {n_rows} | {summary(on['ratio'])[0]} | {summary(on['ratio'])[1]} "
            f"| {(on['ratio'] < 1).sum()} of {len(on)} | {(on['errors'] < -1).sum()} "
            f"| {(on['errors'] > 1).sum()} | {auc.mean():+.3f} | {(auc > 0).sum()} of {len(auc)} |"
        )
    print()


def print_variants(fits: pd.DataFrame) -> None:
    """A row for each variant, a column for each size."""
    sizes = " | ".join(f"{n_rows} rows" for n_rows in SIZES_OF_VARIANTS)
    print(f"| loss, median and geometric mean | {sizes} |")
    print("| --- " * (len(SIZES_OF_VARIANTS) + 1) + "|")
    for variant in VARIANTS:
        ratios = compare(fits, variant)["ratio"].groupby("rows")
        print(f"| {variant} | " + " | ".join(", ".join(summary(r)) for _, r in ratios) + " |")
    print()


def summary(ratios: pd.Series) -> tuple[str, str]:
    """Median and geometric mean of ratios, as changes."""
    return f"{ratios.median() - 1:+.1%}", f"{np.exp(np.log(ratios).mean()) - 1:+.1%}"


def print_means(results: pd.DataFrame, column: str, title: str, contenders: list[str]) -> None:
    """A row for each table, a column for each contender."""
    means = results.groupby(["table", "rows", "contender"])[column].mean().unstack()
    print(f"| {title} | rows | " + " | ".join(contenders) + " |")
    print("| --- " * (len(contenders) + 2) + "|")
    for (name, n_rows), row in means[contenders].sort_index(level="rows").iterrows():
        print(f"| {name} | {n_rows} | " + " | ".join(f"{cell:.3f}" for cell in row) + " |")
    print("| mean | | " + " | ".join(f"{cell:.3f}" for cell in means[contenders].mean()) + " |\n")


def main() -> None:
    """Run, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", metavar="FILE")
    parser.add_argument("--minutes", type=float, default=math.inf)
    options = parser.parse_args()
    results = run(options.keep, options.minutes)
    if results is None:
        return
    fits = results[results["what"] == "fit"]
    print_held_out(fits)
    print_variants(fits)
    print_means(results[results["what"] == "cells"], "loss", "cells, loss", [*OF_CELLS, *VARIANTS])
    boosts = results[results["what"] == "boost"]
    print_means(boosts, "balanced", "boosting, balanced accuracy", [*OF_BOOSTING])
    print_means(boosts, "auc", "boosting, AUC", [*OF_BOOSTING])


if __name__ == "__main__":
    main()
