"""Estimators at their defaults on real tables: five folds, weighted losses, calibration, time.

Run ``OMP_NUM_THREADS=1 python benchmarks/defaults.py``: about 15 minutes on two cores. It prints
the tables of ``docs/defaults.md``. ``--ablation`` changes one part of the default recipe at a time
instead, on the tables that were looked at when it was chosen: about 15 minutes. ``--keep FILE``
writes each result to a file as it is measured, and the next run continues from there.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import CLASSIFICATION, N_FOLDS, TABLES, Rows, folds, held_out
from variants import VARIANTS

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

SEEDS = (0, 1)
# Large tables, of which an ablation uses only one fold.
LARGE = ("HI", "CPS1988", "nassCDS", "diamonds", "HI_hours")
Make = Callable[[bool, int], Any]


def ours(**params: Any) -> Make:
    """Networks of this package; a criterion may be given for either kind."""

    def make(is_class: bool, seed: int) -> Any:
        kind = WeightedTorchClassifier if is_class else WeightedTorchRegressor
        own = {k: v[is_class] if k == "criterion" else v for k, v in params.items()}
        return kind(random_state=seed, device="cpu", **own)

    return make


def scaled(classifier: Any, regressor: Any, **params: Any) -> Make:
    """Networks and linear models of scikit-learn, behind a scaler."""

    def make(is_class: bool, seed: int) -> Any:
        model = (classifier if is_class else regressor)(**params)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        return make_pipeline(StandardScaler(), model)

    return make


def linear(is_class: bool, seed: int) -> Any:
    """Linear models."""
    model = LogisticRegression(max_iter=2000) if is_class else Ridge()
    return make_pipeline(StandardScaler(), model)


def boosting(is_class: bool, seed: int) -> Any:
    """Gradient boosting."""
    kind = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    return kind(random_state=seed)


CONTENDERS: dict[str, Make] = {
    "skweight": ours(),
    "MLP": scaled(MLPClassifier, MLPRegressor),
    "MLP, early stopping": scaled(MLPClassifier, MLPRegressor, early_stopping=True),
    "linear": linear,
    "boosting": boosting,
}
BALANCED: dict[str, Make] = {
    "skweight, balanced": ours(class_weight="balanced"),
    "skweight, corrected": ours(class_weight="balanced", correct_prior=True),
    "linear, balanced": scaled(LogisticRegression, None, max_iter=2000, class_weight="balanced"),
}
WITHOUT_SEED = ("linear", "linear, balanced")


# --------------------------------------------------------------------------------------
# Measures
# --------------------------------------------------------------------------------------


def calibration_error(happened: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean distance of claimed and observed shares, over ten bins of equal weight."""
    order = np.argsort(probability, kind="stable")
    happened, probability, weight = happened[order], probability[order], weight[order]
    bins = np.minimum((np.cumsum(weight) / weight.sum() * 10).astype(int), 9)
    gaps = np.bincount(bins, weight * (happened - probability), minlength=10)
    return float(np.abs(gaps).sum() / weight.sum())


def of_classes(model: Any, rows: Rows, n_classes: int) -> dict[str, float]:
    """Weighted log-loss, AUC, balanced accuracy and calibration error."""
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    p = model.predict_proba(rows.X).astype(float)
    p /= p.sum(axis=1, keepdims=True)
    codes = np.arange(n_classes)
    score = p[:, 1] if n_classes == 2 else p
    of_auc = {"sample_weight": weight} if n_classes == 2 else {"multi_class": "ovr"}
    errors = [calibration_error(rows.y == c, p[:, c], weight) for c in codes]
    return {
        "loss": log_loss(rows.y, p, sample_weight=weight, labels=codes),
        "auc": roc_auc_score(rows.y, score, labels=codes, **of_auc),
        "balanced": balanced_accuracy_score(rows.y, p.argmax(axis=1), sample_weight=weight),
        "calibration": float(np.mean(errors)),
    }


def of_numbers(model: Any, rows: Rows) -> dict[str, float]:
    """Weighted root mean squared error over the weighted spread of the targets."""
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    error = np.average((model.predict(rows.X) - rows.y) ** 2, weights=weight)
    spread = np.average((rows.y - np.average(rows.y, weights=weight)) ** 2, weights=weight)
    return {"loss": float(np.sqrt(error / spread))}


def measure(make: Make, name: str, fold: int, seed: int) -> dict[str, float]:
    """Fit on the training rows of a fold and measure on its test rows."""
    train, test = folds(name)[fold]
    return measure_rows(make(name in CLASSIFICATION, seed), train, test, name in CLASSIFICATION)


def fit(model: Any, rows: Rows) -> None:
    """Fit; the weights go to the last step of a pipeline."""
    prefix = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
    model.fit(rows.X, rows.y, **{prefix + k: v for k, v in rows.weights.items()})


def measure_rows(model: Any, train: Rows, test: Rows, is_class: bool) -> dict[str, float]:
    """Fit on some rows and measure on others."""
    warnings.simplefilter("ignore")  # networks that have not converged, weights on few rows
    start, start_of_process = time.perf_counter(), time.process_time()
    fit(model, train)
    seconds, of_process = time.perf_counter() - start, time.process_time() - start_of_process
    found = of_classes(model, test, int(train.y.max()) + 1) if is_class else of_numbers(model, test)
    return {"seconds": seconds, "processor": of_process, **found}


def run(
    jobs: Iterable[tuple[str, Make, str, int, int]],
    keep: str | None,
    measure: Callable[[Make, str, int, int], dict[str, float]] = measure,
) -> pd.DataFrame:
    """Run all fits that are not in the file yet; return all results as a table."""
    path = Path(keep) if keep else None
    lines = path.read_text().splitlines() if path and path.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(r["contender"], r["table"], r["fold"], r["seed"]) for r in rows}
    left = [job for job in jobs if (job[0], *job[2:]) not in done]
    fits = (delayed(measure)(make, *where) for _, make, *where in left)
    found = Parallel(n_jobs=2, return_as="generator")(fits)
    for (contender, _, name, fold, seed), values in zip(left, found):
        row = {"contender": contender, "table": name, "fold": fold, "seed": seed, **values}
        rows.append(row)
        if path:
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
    return pd.DataFrame(rows)


# --------------------------------------------------------------------------------------
# Tables
# --------------------------------------------------------------------------------------


def all_jobs() -> Iterable[tuple[str, Make, str, int, int]]:
    """Every contender on every table it is for."""
    for name, table in TABLES.items():
        contenders = CONTENDERS | (BALANCED if table.balanced else {})
        for contender, make in contenders.items():
            for seed in SEEDS[: 1 if contender in WITHOUT_SEED else None]:
                for fold in range(N_FOLDS):
                    yield contender, make, name, fold, seed


def ablation_jobs() -> Iterable[tuple[str, Make, str, int, int]]:
    """The defaults and their variants on the tables that were looked at when they were chosen."""
    seen = [name for name in TABLES if not held_out(name)]
    members = {name: n_members_of(name) for name in seen}
    for contender, params in {"the defaults": {}, **VARIANTS}.items():
        for name in seen:
            make = ours(**{"n_members": members[name], **params})
            for fold in range(1 if name in LARGE else 3):
                yield contender, make, name, fold, 0


def n_members_of(name: str) -> int:
    """The number of networks that the defaults train on a table, also for modules of one's own."""
    train, _ = folds(name)[0]
    model = ours(max_epochs=1)(name in CLASSIFICATION, 0)
    return len(model.fit(train.X, train.y, **train.weights).nets_)


def spread_of_seeds(losses: pd.DataFrame) -> pd.Series:
    """Standard deviation over seeds of the mean over folds."""
    by_seed = losses.groupby(["contender", "table", "seed"])
    return by_seed.mean(numeric_only=True).groupby(["contender", "table"]).std(ddof=0)


def print_losses(results: pd.DataFrame, measure: str, contenders: list[str], digits: int) -> None:
    """A row a table: mean over folds and seeds, plus or minus the spread of seeds."""
    values = results[results["contender"].isin(contenders)].dropna(subset=[measure])
    means = values.groupby(["table", "contender"])[measure].mean().unstack()[contenders].dropna()
    spreads = spread_of_seeds(values)[measure].unstack(level=0)[contenders]
    print("| table | " + " | ".join(contenders) + " |\n" + "| --- " * (len(contenders) + 1) + "|")
    for held in (False, True):
        for name in [n for n in TABLES if n in means.index and held_out(n) == held]:
            label = f"{name} (held out)" if held else name
            row = zip(means.loc[name], spreads.loc[name])
            cells = [f"{m:.{digits}f} ± {s:.{digits}f}" for m, s in row]
            print(f"| {label} | " + " | ".join(cells) + " |")
    print()


def gaps(results: pd.DataFrame, own: str, peer: str, measure: str = "loss") -> pd.DataFrame:
    """Mean over folds of the difference of two contenders, and its standard error, by table."""
    of_folds = results.groupby(["contender", "table", "fold"])[measure].mean()
    gap = (of_folds[own] - of_folds[peer]).dropna().groupby("table")
    return pd.DataFrame({"mean": gap.mean(), "error": gap.sem()})


def wins(
    results: pd.DataFrame, peer: str, slack: bool, measure: str = "loss", own: str | None = None
) -> list[str]:
    """On how many of the tables the defaults are better, in all, seen and held out.

    With ``slack`` also those within one standard error, over folds, of the differences.
    """
    own = own or ("skweight" if measure == "loss" else "skweight, balanced")
    gap = gaps(results, own, peer, measure)
    mean, error = gap["mean"] * (1 if measure == "loss" else -1), gap["error"]
    better = (mean <= error * slack) if slack or measure != "loss" else mean < 0
    held = better.index.map(held_out)
    parts = better, better[~held], better[held]
    return [f"{part.sum()} of {len(part)}" for part in parts]


def print_wins(results: pd.DataFrame) -> None:
    """The claims, counted."""
    is_class = results["table"].isin(CLASSIFICATION)
    rows = [
        (f"{what} better than {peer}", wins(part, peer, False))
        for peer in ("MLP", "MLP, early stopping", "linear", "boosting")
        for what, part in (("log-loss", results[is_class]), ("RMSE", results[~is_class]))
    ]
    rows.append(("better than boosting or within one SE", wins(results, "boosting", True)))
    for slack, what in ((False, "at least"), (True, "at least, or within one SE of,")):
        found = wins(results, "linear, balanced", slack, "balanced")
        rows.append((f"balanced accuracy {what} that of balanced linear", found))
    print("| | all tables | seen | held out |\n| --- | --- | --- | --- |")
    for what, counts in rows:
        print(f"| {what} | " + " | ".join(counts) + " |")
    seconds = results[results["seed"] == 0].groupby("contender")["seconds"].sum()
    print("\n| contender | seconds for all fits of one seed |\n| --- | --- |")
    for name in CONTENDERS:
        print(f"| {name} | {seconds[name]:.0f} |")
    print()


def print_ablation(results: pd.DataFrame, variants: Iterable[str] = tuple(VARIANTS)) -> None:
    """A row a variant: how the loss changes, and on how many tables it gets better."""
    losses = results.groupby(["contender", "table"])["loss"].mean()
    print("| change | loss, geometric mean | median | better on |\n" + "| --- " * 4 + "|")
    for name in variants:
        ratio = losses[name] / losses["the defaults"]
        mean, median = np.exp(np.log(ratio).mean()) - 1, ratio.median() - 1
        better = f"{(ratio < 1).sum()} of {len(ratio)}"
        print(f"| {name} | {mean:+.1%} | {median:+.1%} | {better} |")


def main() -> None:
    """Run, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--keep", metavar="FILE")
    options = parser.parse_args()
    if options.ablation:
        print_ablation(run(ablation_jobs(), options.keep))
        return
    results = run(all_jobs(), options.keep)
    print_wins(results)
    is_class = results["table"].isin(CLASSIFICATION)
    print_losses(results[is_class], "loss", [*CONTENDERS], 3)
    print_losses(results[~is_class], "loss", [*CONTENDERS], 3)
    print_losses(results, "balanced", [*BALANCED], 3)
    print_losses(results, "calibration", ["skweight", "skweight, corrected"], 3)
    print_losses(results, "auc", ["skweight", "MLP, early stopping", "linear", "boosting"], 3)


if __name__ == "__main__":
    main()
