"""One network, members and other methods, by number of distinct rows.

Each fit gets distinct rows of a table, drawn at random, and is measured on up to 5,000 others by
the weights of the table. Tables on which the defaults are judged (``held_out`` in ``tables.py``)
are left out: the number of members is chosen here. A second table counts seconds of fits.

Run ``OMP_NUM_THREADS=1 python benchmarks/members.py --keep FILE --minutes 9``: it writes each
result to the file as it is measured, stops after nine minutes, and goes on when it is run again;
about half an hour in all. The run that finds everything in the file prints the tables.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
import peers
from defaults import Make, boosting, fit, linear, of_numbers, ours, scaled
from few_rows import draw, enough_rows, is_class, measure_all
from side_by_side import in_turns, machine, median, ratio
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from tables import MORE_CLASSIFICATION, MORE_REGRESSION, TABLES, held_out

SIZES = (50, 100, 200, 400, 800, 1600, 3200)
FEW_OF_CLASS = 100
N_DRAWS = 1
SEEN = [name for name in TABLES if not held_out(name)]
NAMES = [*SEEN, *MORE_CLASSIFICATION, *MORE_REGRESSION]


ONE, FIVE, EIGHT = "one network", "5 members", "8 members"
OURS: dict[str, Make] = {
    ONE: ours(n_members=1),
    FIVE: ours(n_members=5),
    EIGHT: ours(n_members=8),
}
OTHERS: dict[str, Make] = {
    "linear": linear,
    "MLP": scaled(MLPClassifier, MLPRegressor),
    "boosting": boosting,
}
CONTENDERS = OURS | OTHERS


def measure(contender: str, name: str, n_rows: int, seed: int) -> dict[str, float]:
    """Loss on rows that were not in training, and the training rows of the rarest class."""
    train, test = draw(name, n_rows, seed)
    model = CONTENDERS[contender](is_class(name), seed)
    fit(model, train)
    if not is_class(name):
        return {"loss": of_numbers(model, test)["loss"]}
    p = np.zeros((len(test.y), int(max(train.y.max(), test.y.max())) + 1))
    p[:, model.classes_] = model.predict_proba(test.X)
    p = np.clip(p, 1e-15, None)
    p /= p.sum(axis=1, keepdims=True)
    loss = log_loss(test.y, p, labels=np.arange(p.shape[1]), **test.weights)
    return {"loss": loss, "rarest": int(np.unique(train.y, return_counts=True)[1].min())}


def jobs() -> Iterator[tuple[str, str, int, int]]:
    """Who is measured on which table, with how many rows, in which draw."""
    for seed in range(N_DRAWS):
        for name in NAMES:
            for n_rows in (n for n in SIZES if enough_rows(name, n)):
                yield from ((contender, name, n_rows, seed) for contender in CONTENDERS)


def run(keep: str | None, minutes: float) -> pd.DataFrame | None:
    """All results, or None if time ended before all were measured."""
    todo = [*jobs()]
    found = measure_all(todo, lambda job: measure(*job), keep, minutes)
    if found is None:
        return None
    where = pd.DataFrame(todo, columns=["who", "table", "rows", "seed"])
    return where.join(pd.DataFrame(found).drop(columns="job"))


def losses_of(results: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean over draws of the loss, a column for each contender."""
    return results.groupby([by, "table", "who"], observed=True)["loss"].mean().unstack()


def print_losses(losses: pd.DataFrame, by: str) -> None:
    """For each size, the geometric mean of the losses over that of one network."""
    others = [who for who in CONTENDERS if who != ONE]
    print(f"| {by} | tables | " + " | ".join(others) + f" | {FIVE} better than one |")
    print("| --- " * (len(others) + 3) + "|")
    for size, of_size in losses.groupby(level=0, observed=True):
        ratios = of_size[others].div(of_size[ONE], axis=0)
        means = [f"{np.exp(np.log(ratios[who]).mean()) - 1:+.1%}" for who in others]
        better = f"{(ratios[FIVE] < 1).sum()} of {len(ratios)}"
        print(f"| {size} | {len(ratios)} | " + " | ".join([*means, better]) + " |")
    print()


def print_best(losses: pd.DataFrame, by: str) -> None:
    """On how many tables the loss is at most that of the best other method plus 3 %."""
    best = losses[[*OTHERS]].min(axis=1)
    print(f"| {by} | " + " | ".join(OURS) + " |\n" + "| --- " * (len(OURS) + 1) + "|")
    for size, of_size in losses.groupby(level=0, observed=True):
        counts = [(of_size[who] <= 1.03 * best[of_size.index]).sum() for who in OURS]
        print(f"| {size} | " + " | ".join(f"{n} of {len(of_size)}" for n in counts) + " |")
    print()


def draw_figure(results: pd.DataFrame, path: str) -> None:
    """Losses over that of one network, by number of rows; MLPs are far above."""
    import matplotlib.pyplot as plt

    losses = losses_of(results, "rows")
    logs = np.log(losses.div(losses[ONE], axis=0)).groupby("rows")
    means, errors = np.exp(logs.mean()), logs.sem()
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    styles = {
        ONE: ("#777777", "-", "."),
        FIVE: ("#1f5fa8", "-", "o"),
        "linear": ("#2a8f5b", ":", "^"),
        "boosting": ("#d9661f", "-.", "D"),
    }
    for who, (color, line, marker) in styles.items():
        half = means[who] * errors[who]
        axis.errorbar(
            means.index, means[who], half, color=color, ls=line, marker=marker, ms=4, label=who
        )
    axis.set_xscale("log")
    axis.set_xticks(SIZES, SIZES)
    axis.minorticks_off()
    axis.set_xlabel("distinct rows")
    axis.set_ylabel("loss, over that of one network")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def print_seconds(turns: int) -> None:
    """Fits of one network, and of members, side by side."""
    print("| rows | " + " | ".join(OURS) + f" | {FIVE} in fits | {EIGHT} in fits |")
    print("| --- " * 6 + "|")
    for n_rows, n_features in ((300, 10), (500, 10), (1_000, 20), (5_000, 20), (20_000, 20)):
        data = peers.rows(n_rows, n_features)
        runs = {who: partial(make(True, 0).fit, *data) for who, make in OURS.items()}
        seconds = in_turns(runs, turns)
        times = " | ".join(f"{median(seconds[who])}" for who in runs)
        in_fits = " | ".join(f"{ratio(seconds, who, ONE):.1f}" for who in (FIVE, EIGHT))
        print(f"| {n_rows:,} x {n_features} | {times} | {in_fits} |", flush=True)


def print_out_of_fold() -> None:
    """How far the loss out of fold is from that on new rows, of one member and of their mean."""
    print("| rows | out of fold | all members on new rows | one member on new rows |")
    print("| --- " * 4 + "|")
    for n_rows in (100, 200, 500, 2000):
        losses = []
        for seed in range(20 if n_rows <= 500 else 6):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(n_rows + 4000, 10))
            y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0] - X[:, 1] * X[:, 2]))).astype(int)
            model = OURS[FIVE](True, seed).fit(X[:n_rows], y[:n_rows])
            new, of_new = X[n_rows:], y[n_rows:]
            of_members = [log_loss(of_new, p) for p in model.predict_members(new)]
            out_of_fold = log_loss(y[:n_rows], model.oof_prediction_)
            together = log_loss(of_new, model.predict_proba(new))
            losses.append([out_of_fold, together, np.mean(of_members)])
        means = " | ".join(f"{loss:.3f}" for loss in np.mean(losses, axis=0))
        print(f"| {n_rows} | {means} |", flush=True)
    print()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", help="file of the results")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--figure", help="file of a picture to draw of the losses")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    results = run(options.keep, options.minutes)
    if results is not None:
        print(machine() + "\n")
        sizes = {"1 to 9": 0, "10 to 29": 10, "30 to 99": 30}
        results["rows of the rarest class"] = pd.cut(
            results["rarest"], [*sizes.values(), FEW_OF_CLASS], right=False, labels=[*sizes]
        )
        for by in ("rows", "rows of the rarest class"):
            losses = losses_of(results, by)
            print_losses(losses, by)
            print_best(losses, by)
        if options.figure:
            draw_figure(results, options.figure)
        print_out_of_fold()
        print_seconds(options.turns)


if __name__ == "__main__":
    main()
