"""Replicates: what they cost, what common random numbers save, and whether intervals cover.

Run ``OMP_NUM_THREADS=1 python benchmarks/replicates.py PART``, where PART is

- ``seconds``: 20 to 80 replicates of 500 x 10 and 5,000 x 20 rows beside one fit, in one process
  and in two. Medians of three turns; about 3 minutes on two cores.
- ``random``: standard errors of replicates that share random numbers with the full sample, and of
  replicates that do not. About 2 minutes.
- ``coverage --keep FILE``: how many of the 95 % intervals of 300 samples of a clustered population
  contain the truth. About 25 minutes on two cores; FILE keeps what is done, so that it resumes.

Each prints a Markdown table. See docs/surveys.md.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LinearRegression

from skweight import (
    MarginalEffect,
    ReplicateEstimator,
    WeightedTorchRegressor,
    bootstrap_weights,
    mean_prediction,
)

SIZES = ((500, 10), (5_000, 20))
TURNS = 3


# --------------------------------------------------------------------------------------
# Seconds
# --------------------------------------------------------------------------------------


def rows(n_rows, n_features, seed=0):
    """X, y and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + rng.normal(size=n_rows)
    return X, y, rng.uniform(1, 3, size=n_rows)


def seconds_of(model, *args, **params):
    """How long a fit takes."""
    start = time.perf_counter()
    model.fit(*args, **params)
    return time.perf_counter() - start


def print_seconds():
    """A row for each size and number of replicates."""
    print("| rows | replicates | one fit | all, one process | in fits | two processes | in fits |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    net = WeightedTorchRegressor(n_members=1, random_state=0)
    for n_rows, n_features in SIZES:
        X, y, weight = rows(n_rows, n_features)
        net.fit(X, y, weight)
        for n_replicates in (20, 40, 80):
            W = bootstrap_weights(None, None, weight, n_replicates, random_state=0)
            found = []
            for _ in range(TURNS):
                turn = [seconds_of(net, X, y, weight)]
                for n_jobs in (1, 2):
                    model = ReplicateEstimator(net, n_jobs=n_jobs)
                    turn.append(seconds_of(model, X, y, weight, replicate_weights=W))
                found.append(turn)
            alone, one, two = np.median(found, axis=0)
            print(
                f"| {n_rows:,} x {n_features} | {n_replicates} | {alone:.2f} s | {one:.1f} s | "
                f"{one / alone:.0f} | {two:.1f} s | {two / alone:.0f} |",
                flush=True,
            )


# --------------------------------------------------------------------------------------
# Common random numbers
# --------------------------------------------------------------------------------------


def print_random():
    """Standard errors of a mean prediction and of single predictions, with both kinds."""
    print("| rows | networks | statistic | common | own random numbers | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_rows, n_features in SIZES:
        X, y, weight = rows(n_rows, n_features)
        W = bootstrap_weights(None, None, weight, 40, random_state=0)
        for n_members in (1, 5):
            net = WeightedTorchRegressor(n_members=n_members, random_state=0)
            model = ReplicateEstimator(net).fit(X, y, weight, replicate_weights=W)
            others = [
                WeightedTorchRegressor(n_members=n_members, random_state=1 + number).fit(X, y, w)
                for number, w in enumerate(W.weights.T)
            ]
            full = model.predict(X)
            for name, statistic in (
                ("mean prediction", lambda of_rows, w: np.average(of_rows, weights=w)),
                ("prediction of a row", lambda of_rows, w: of_rows),
            ):
                value = statistic(full, weight)
                errors = []
                for replicates in (model.replicates_, others):
                    found = [statistic(r.predict(X), w) for r, w in zip(replicates, W.weights.T)]
                    variance = np.mean((np.array(found) - value) ** 2, axis=0)
                    errors.append(np.sqrt(np.mean(variance)))
                common, own = errors
                print(
                    f"| {n_rows:,} x {n_features} | {n_members} | {name} | {common:.4f} | "
                    f"{own:.4f} | {own / common:.2f} |",
                    flush=True,
                )


# --------------------------------------------------------------------------------------
# Coverage
# --------------------------------------------------------------------------------------

N_STRATA, N_CLUSTERS, N_DRAWN, N_PER_CLUSTER = 15, 80, 4, 12
N_SAMPLES, N_REPLICATES = 300, 60


STEP = 0.5


class Population(NamedTuple):
    """Everybody: x, y, stratum and cluster, and the truth about each statistic."""

    X: np.ndarray
    y: np.ndarray
    stratum: np.ndarray
    cluster: np.ndarray
    truth: dict[str, float]


def mean_of_y(X):
    """The expected y of a row without the effect of its cluster."""
    return 1.0 + 0.8 * X[:, 0] + np.sin(1.5 * X[:, 1]) + 0.5 * X[:, 0] * X[:, 2]


def population():
    """Clusters of one size in strata that differ, where x and y of a cluster are alike."""
    rng = np.random.default_rng(0)
    n_clusters = N_STRATA * N_CLUSTERS
    stratum = np.repeat(np.arange(N_STRATA), N_CLUSTERS * N_PER_CLUSTER)
    cluster = np.repeat(np.arange(n_clusters), N_PER_CLUSTER)
    X = rng.normal(size=(len(cluster), 3)) * 0.8 + rng.normal(size=(n_clusters, 3))[cluster] * 0.6
    X[:, 0] += np.linspace(-0.5, 0.5, N_STRATA)[stratum]
    y = mean_of_y(X) + 0.5 * rng.normal(size=n_clusters)[cluster] + rng.normal(size=len(cluster))
    moved = X + np.array([STEP, 0, 0])
    truth = {
        "mean of the network": float(y.mean()),
        "effect, linear network": STEP * float(LinearRegression().fit(X, y).coef_[0]),
        "effect, default network": float(np.mean(mean_of_y(moved) - mean_of_y(X))),
    }
    return Population(X, y, stratum, cluster, truth)


def draw(everybody, seed):
    """Rows of a sample, and their weights: some strata are sampled four times as densely."""
    rng = np.random.default_rng(seed)
    chosen, weights = [], []
    for stratum in range(N_STRATA):
        n_drawn = N_DRAWN * (4 if stratum % 3 == 0 else 1)
        first = stratum * N_CLUSTERS
        drawn = first + rng.choice(N_CLUSTERS, n_drawn, replace=False)
        members = np.flatnonzero(np.isin(everybody.cluster, drawn))
        chosen.append(members)
        weights.append(np.full(len(members), N_CLUSTERS / n_drawn))
    return np.concatenate(chosen), np.concatenate(weights)


# A network without hidden layers that is trained to convergence, so without bias.
LINEAR = {
    "module__hidden_sizes": (),
    "module__n_bins": 0,
    "module__clip": None,
    "early_stopping": False,
    "optimizer__weight_decay": 0,
    "batch_size": -1,
    "lr": 0.05,
    "max_epochs": 300,
    "ema_decay": 0,
}


def measure(everybody, seed):
    """Value, standard error, and whether the interval holds the truth, of each statistic."""
    members, weight = draw(everybody, seed)
    X, y = everybody.X[members], everybody.y[members]
    default = WeightedTorchRegressor(n_members=1, match_mean=True, random_state=seed)
    linear = WeightedTorchRegressor(n_members=1, random_state=seed, **LINEAR)
    effect = MarginalEffect(0, step=STEP)
    designs = {
        "design": (everybody.stratum[members], everybody.cluster[members]),
        "simple random sample": (None, None),
    }
    found = {"seed": seed, "rows": len(members)}
    for name, (strata, clusters) in designs.items():
        W = bootstrap_weights(strata, clusters, weight, N_REPLICATES, random_state=seed)
        fitted = [
            ReplicateEstimator(n).fit(X, y, weight, replicate_weights=W) for n in (default, linear)
        ]
        results = {
            "mean of the network": fitted[0].statistic(mean_prediction, X),
            "effect, linear network": fitted[1].statistic(effect, X),
            "effect, default network": fitted[0].statistic(effect, X),
        }
        for kind, result in results.items():
            low, high = result.confidence_interval()
            covers = bool(low <= everybody.truth[kind] <= high)
            found[f"{name}, {kind}"] = [result.value, result.standard_error, covers]
    return found


def print_coverage(keep):
    """A row for each statistic and kind of standard error."""
    everybody, path = population(), Path(keep)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    left = sorted({*range(N_SAMPLES)} - {row["seed"] for row in done})
    jobs = (delayed(measure)(everybody, seed) for seed in left)
    for row in Parallel(n_jobs=2, return_as="generator")(jobs):
        done.append(row)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(
        "| statistic | standard errors of | truth | mean value | spread of values | mean standard "
        "error | covered |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, truth in everybody.truth.items():
        for name in ("design", "simple random sample"):
            values = np.array([row[f"{name}, {kind}"] for row in done], dtype=float)
            value, error, covered = values.mean(axis=0)
            spread = values[:, 0].std(ddof=1)
            print(
                f"| {kind} | {name} | {truth:.3f} | {value:.3f} | {spread:.4f} | {error:.4f} | "
                f"{covered:.1%} |"
            )


def main():
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["seconds", "random", "coverage"])
    parser.add_argument("--keep", metavar="FILE", default="replicates.jsonl")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.part == "coverage":
        print_coverage(options.keep)
    else:
        {"seconds": print_seconds, "random": print_random}[options.part]()


if __name__ == "__main__":
    main()
