"""A DataFrame as it is, against the same network behind a pipeline, and against boosting.

On the tables of ``frames.py``, five folds and two seeds: ``raw`` gets strings and NaN,
``pipeline`` imputes and scales numbers and has an indicator for each category, and ``boosting`` is
scikit-learn's with its own categories and holes.

Run ``OMP_NUM_THREADS=1 python benchmarks/raw_tables.py --keep FILE``: about an hour on two cores.
It writes each result to the file as it is measured, and goes on when it is run again.
``--before FILE`` names the file of an earlier commit: its ``pipeline`` is what was possible before.
``--variants`` changes one setting at a time instead, on the tables that are not held out. Both take
``--tables adult,loans``; ``--contenders pipeline,boosting`` measures only some, and ``--seeds 1``
takes half the time.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from defaults import (
    SEEDS,
    Make,
    gaps,
    measure_rows,
    ours,
    print_ablation,
    run,
    spread_of_seeds,
)
from frames import folds, has_classes, held_out, names, traits
from side_by_side import print_table
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import N_FOLDS
from variants import VARIANTS_OF_FRAMES

RAW, PIPELINE, BOOSTING, BEFORE = "raw", "pipeline", "boosting", "before"
N_FOLDS_OF_VARIANTS = 2
NUMBERS = make_column_selector(dtype_include="number")
OTHERS = make_column_selector(dtype_exclude="number")


# --------------------------------------------------------------------------------------
# Contenders
# --------------------------------------------------------------------------------------


class Categories(TransformerMixin, BaseEstimator):
    """Turn strings into the categories that boosting understands, the most frequent 254 at most."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> "Categories":
        """Learn which."""
        self.kept_ = {c: X[c].value_counts().index[:254] for c in OTHERS(X)}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Others count as missing."""
        found = {c: pd.Categorical(X[c], categories=kept) for c, kept in self.kept_.items()}
        return X.assign(**found)


# Columns are compared, and members would only take longer.
one_network = ours(n_members=1)


def pipeline(is_class: bool, seed: int) -> Any:
    """What is customary: impute, scale, and an indicator for each category, missing or not."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = make_column_transformer(
        (numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), OTHERS)
    )
    return make_pipeline(encoder, one_network(is_class, seed))


def boosting(is_class: bool, seed: int) -> Any:
    """Gradient boosting, which splits categories and holes by itself."""
    kind = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    return make_pipeline(Categories(), kind(categorical_features="from_dtype", random_state=seed))


CONTENDERS: dict[str, Make] = {RAW: one_network, PIPELINE: pipeline, BOOSTING: boosting}


def measure(make: Make, name: str, fold: int, seed: int) -> dict[str, float]:
    """Fit on the training rows of a fold and measure on its test rows."""
    return measure_rows(make(has_classes(name), seed), *folds(name)[fold], has_classes(name))


def all_jobs(
    on: Iterable[str], contenders: dict[str, Make], n_seeds: int
) -> Iterable[tuple[str, Make, str, int, int]]:
    """Contenders in turns, each first in every other fold, so that their times compare."""
    for name in on:
        for seed in SEEDS[:n_seeds]:
            for fold in range(N_FOLDS):
                for contender in list(contenders)[:: 1 if fold % 2 else -1]:
                    yield contender, contenders[contender], name, fold, seed


def variant_jobs(on: Iterable[str]) -> Iterable[tuple[str, Make, str, int, int]]:
    """The defaults and their variants on tables on which choices may be made."""
    for name in on:
        if not held_out(name):
            for fold in range(N_FOLDS_OF_VARIANTS):
                for contender, params in {"the defaults": {}, **VARIANTS_OF_FRAMES}.items():
                    yield contender, ours(n_members=1, **params), name, fold, 0


# --------------------------------------------------------------------------------------
# Tables
# --------------------------------------------------------------------------------------


def shares(answers: pd.Series) -> list[str]:
    """How many tables say yes, in all, seen and held out."""
    held = answers.index.map(held_out).to_numpy(bool)
    parts = answers, answers[~held], answers[held]
    return [f"{part.sum()} of {len(part)}" for part in parts]


def is_mixed(name: str) -> bool:
    """Whether a table has categories or holes."""
    return bool(traits(name).categories or traits(name).holes)


def has_mass(name: str) -> bool:
    """Whether a table has a mass point."""
    return bool(traits(name).mass)


CLAIMS = (
    ("with categories or holes", is_mixed, RAW, PIPELINE),
    ("with categories or holes", is_mixed, RAW, BEFORE),
    ("with categories or holes", is_mixed, RAW, BOOSTING),
    ("with categories or holes", is_mixed, PIPELINE, BOOSTING),
    ("with a mass point", has_mass, RAW, BOOSTING),
    ("with a mass point", has_mass, BEFORE, BOOSTING),
)


def print_counts(results: pd.DataFrame) -> None:
    """How often one contender is at least as good as another, and where it is not."""
    present, rows = {*results["contender"]}, []
    for what, belongs, own, peer in CLAIMS:
        if {own, peer} <= present:
            gap = gaps(results, own, peer)
            gap = gap[[belongs(name) for name in gap.index]]
            for slack in (False, True):
                holds = gap["mean"] <= gap["error"] * slack
                claim = f"{what}: {own} at most {peer}" + ", or within one SE" * slack
                others = ", ".join(gap.index[~holds]) if slack else ""
                rows.append([claim, *shares(holds), others])
    print_table(("loss", "all tables", "seen", "held out", "not on"), rows)
    print()


def print_seconds(results: pd.DataFrame) -> None:
    """Seconds of fits, and over those of the pipeline, which were measured in turns with them."""
    results = results[results["contender"] != BEFORE]
    rows = []
    for what, by in (("seconds", "by the clock"), ("processor", "of the processor")):
        if what in results:
            sums = results.groupby(["table", "contender"])[what].sum(min_count=1).unstack()
            for name in sums:
                own, peer = sums[[name, PIPELINE]].dropna().to_numpy().T
                ratios = own.sum() / peer.sum(), np.median(own / peer)
                cells = [f"{own.sum():.0f}", *(f"{ratio:.2f}" for ratio in ratios)]
                rows.append([f"{name}, {by}", *cells])
    print_table(("seconds", "all fits", "over pipeline", "median over tables"), rows)
    print()


def print_mass(results: pd.DataFrame) -> None:
    """Of tables with a mass point, how much worse than boosting, before and after."""
    losses = results.groupby(["contender", "table"])["loss"].mean().unstack(level=0)
    now = RAW if RAW in losses else PIPELINE
    losses = losses[[has_mass(name) for name in losses.index]]
    worse = losses[[BEFORE, now]].div(losses[BOOSTING], axis=0) - 1
    rows = [
        [
            f"{name} (held out)" if held_out(name) else name,
            *(f"{losses[c][name]:.4f}" for c in (BEFORE, now, BOOSTING)),
            *(f"{share:+.1%}" for share in row),
        ]
        for name, row in zip(worse.index, worse.to_numpy())
    ]
    header = "mass point", BEFORE, now, BOOSTING, "before over boosting", f"{now} over boosting"
    print_table(header, rows)
    print()
    behind = worse[worse[BEFORE] > 0]
    closed = 1 - behind[now] / behind[BEFORE]
    print(f"Behind boosting before: {len(behind)} of {len(worse)} tables. There the loss was worse")
    print(f"by {behind[BEFORE].mean():.1%} on average, and is now by {behind[now].mean():.1%};")
    print(f"the median share of the gap that is closed is {closed.median():.0%}.\n")


def print_losses(results: pd.DataFrame) -> None:
    """A row a table: what it has, and loss and seconds of each contender."""
    present = [c for c in (*CONTENDERS, BEFORE) if c in {*results["contender"]}]
    means = results.groupby(["table", "contender"])["loss"].mean().unstack()
    spreads = spread_of_seeds(results)["loss"].unstack(level=0)
    seconds = results.groupby(["table", "contender"])["seconds"].mean().unstack()
    for is_class in (True, False):
        rows = []
        for name in sorted(means.index, key=lambda name: (held_out(name), name.lower())):
            if has_classes(name) != is_class:
                continue
            found = traits(name)
            most = max(found.categories, default=0)
            losses = (f"{means[c][name]:.4f} ± {spreads[c][name]:.4f}" for c in present)
            rows.append(
                [
                    f"{name} (held out)" if held_out(name) else name,
                    f"{found.n_rows:,} x {found.n_columns}",
                    f"{len(found.categories)}, up to {most}" if most else "",
                    *(str(len(part)) if part else "" for part in (found.holes, found.mass)),
                    *losses,
                    *(f"{seconds[c][name]:.2f}" for c in present if c != BEFORE),
                ]
            )
        what = "log-loss" if is_class else "RMSE / spread"
        header = what, "rows x columns", "categories", "holes", "mass points", *present
        print_table((*header, *(f"s, {c}" for c in present if c != BEFORE)), rows)
        print()


def earlier(path: str) -> pd.DataFrame:
    """The pipeline of an earlier commit, as a contender of its own."""
    rows = pd.DataFrame([json.loads(line) for line in Path(path).read_text().splitlines()])
    return rows[rows["contender"] == PIPELINE].assign(contender=BEFORE)


def main() -> None:
    """Run, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", metavar="FILE")
    parser.add_argument("--before", metavar="FILE")
    parser.add_argument("--tables", metavar="A,B")
    parser.add_argument("--contenders", metavar="A,B", default=",".join(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--variants", action="store_true")
    options = parser.parse_args()
    on = options.tables.split(",") if options.tables else names()
    if options.variants:
        results = run(variant_jobs(on), options.keep, measure)
        print_ablation(results[results["table"].isin(on)], VARIANTS_OF_FRAMES)
        return
    contenders = {name: CONTENDERS[name] for name in options.contenders.split(",")}
    results = run(all_jobs(on, contenders, options.seeds), options.keep, measure)
    if options.before:
        results = pd.concat([results, earlier(options.before)])
    results = results[results["table"].isin(on)]
    print_counts(results)
    print_seconds(results)
    if options.before:
        print_mass(results)
    print_losses(results)


if __name__ == "__main__":
    main()
