"""What exact laws cannot see: whether weighted and repeated fits have the same distribution.

Run ``OMP_NUM_THREADS=1 python benchmarks/audit.py``, which takes half an hour on one core;
``--seeds 20`` takes two minutes. It prints two Markdown tables.

**Weighted or repeated.** By the laws a weighted fit and a fit on repeated rows with the *same* seed
are equal. Here all seeds differ, so that nothing but the distribution can be the same. For each of
``N_POINTS`` rows the predictions of all seeds of one way are compared with those of the other by
the two-sample Kolmogorov-Smirnov test. The smallest p-value of the points is multiplied by the
number of all tests (Bonferroni), at most 1. The last column says what the comparison can see: it is
the same test against fits that ignore the weights.

**Class weights.** One percent of rows are positive, class weights are balanced, batches have 32
rows, and the network is one constant, which starts at a probability of 0.88. The right one is 0.5,
where the weighted loss of each criterion is smallest by symmetry.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from side_by_side import machine, print_table
from sklearn.datasets import make_classification, make_regression
from sklearn.neural_network import MLPClassifier
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

N_ROWS, N_POINTS = 120, 20
SEEDS_APART = 10_000  # between the first seeds of two series of fits
SMALL = {"n_members": 1, "max_epochs": 20, "module__hidden_sizes": (16,), "batch_size": 32}


def table(n_classes: int | None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """X, y and weights that are counts, a quarter of them 0; numbers to predict without classes."""
    if n_classes is None:
        X, y = make_regression(N_ROWS, 5, noise=20.0, random_state=0)
    else:
        X, y = make_classification(
            N_ROWS, 5, n_informative=3, n_classes=n_classes, flip_y=0.1, random_state=0
        )
    counts = np.random.default_rng(0).integers(0, 4, N_ROWS) * (1 + 3 * (y > np.median(y)))
    return X, y, counts


def cases() -> dict[str, tuple[int | None, Callable[[int], Any]]]:
    """For each name the number of classes, and a function that makes an estimator from a seed."""

    def of(kind: Any, **params: Any) -> Callable[[int], Any]:
        return lambda seed: kind(random_state=seed, **{**SMALL, **params})

    balanced = {"class_weight": "balanced"}
    clf, reg = WeightedTorchClassifier, WeightedTorchRegressor
    found: dict[str, tuple[int | None, Callable[[int], Any]]] = {}
    for weighting in ("loss", "sampling"):
        own = {"weighting": weighting}
        found[f"two classes, {weighting}"] = 2, of(clf, **own)
        found[f"three classes, balanced, {weighting}"] = 3, of(clf, **own, **balanced)
        found[f"numbers, {weighting}"] = None, of(reg, **own)
        found[f"numbers, early stopping, {weighting}"] = None, of(reg, early_stopping=True, **own)
        found[f"two classes, three members, {weighting}"] = 2, of(clf, **own, n_members=3)
    settings = {"hidden_layer_sizes": (16,), "batch_size": 32, "max_iter": 20}
    found["scikit-learn's `MLPClassifier`"] = (
        2,
        lambda seed: MLPClassifier(random_state=seed, **settings),
    )
    return found


def predict(model: Any, X: NDArray[Any]) -> NDArray[Any]:
    """One number for each row: the probability of the last class, or the prediction."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X)[:, -1])
    return np.asarray(model.predict(X))


def fits(name: str, n_seeds: int) -> list[NDArray[Any]]:
    """Predictions, of shape (n_seeds, N_POINTS): weighted, repeated and shuffled, unweighted."""
    n_classes, make = cases()[name]
    first = 3 * [*cases()].index(name) * SEEDS_APART  # so that chance differs between cases
    X, y, counts = table(n_classes)
    points = X[:N_POINTS]
    copies = np.repeat(np.arange(N_ROWS), counts)
    found: list[list[NDArray[Any]]] = [[], [], []]
    for seed in range(first, first + n_seeds):
        weighted = make(seed).fit(X, y, sample_weight=counts)
        order = np.random.default_rng(seed).permutation(copies)
        repeated = make(seed + SEEDS_APART).fit(X[order], y[order])
        unweighted = make(seed + 2 * SEEDS_APART).fit(X, y)
        for predictions, model in zip(found, (weighted, repeated, unweighted)):
            predictions.append(predict(model, points))
    return [np.array(predictions) for predictions in found]


def smallest_p(one: NDArray[Any], other: NDArray[Any], n_tests: int) -> float:
    """The smallest p-value of the points, corrected for the number of tests."""
    p = [ks_2samp(a, b).pvalue for a, b in zip(one.T, other.T)]
    return float(min(1.0, min(p) * n_tests))


def distributions(n_seeds: int) -> None:
    """Print the table of weighted and repeated fits."""
    rows = []
    n_tests = N_POINTS * len(cases())
    for name in cases():
        weighted, repeated, unweighted = fits(name, n_seeds)
        p = (smallest_p(weighted, other, n_tests) for other in (repeated, unweighted))
        rows.append((name, *(f"{value:.2g}" for value in p)))
    print_table((f"{n_seeds} seeds", "p, repeated", "p, weights ignored"), rows)


class Constant(nn.Module):
    """The same logit for all rows."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.full((n_outputs,), 2.0))  # a probability of 0.88

    def forward(self, X: Any) -> Any:
        """Logits of shape (n, n_outputs)."""
        return self.logit.expand(len(X), -1)


def class_weights(n_seeds: int) -> None:
    """Print the table of balanced class weights at one percent."""
    rows = []
    for criterion in ("cross_entropy", "focal", "poly_tailed"):
        for weighting in ("loss", "sampling"):
            means = [mean_probability(seed, criterion, weighting) for seed in range(n_seeds)]
            error = np.std(means, ddof=1) / np.sqrt(n_seeds)
            rows.append((f"{criterion}, {weighting}", f"{np.mean(means):.4f}", f"{error:.4f}"))
    print_table((f"{n_seeds} seeds, 1 % positives", "mean probability", "standard error"), rows)


def mean_probability(seed: int, criterion: str, weighting: str) -> float:
    """Of one fit."""
    X = np.random.default_rng(seed).normal(size=(5000, 2))
    y = np.arange(len(X)) % 100 == 0
    model = WeightedTorchClassifier(
        criterion=criterion,
        class_weight="balanced",
        weighting=weighting,
        module=Constant,
        n_members=1,
        batch_size=32,
        max_epochs=10,
        lr=0.01,
        random_state=seed,
    )
    return float(model.fit(X, y).predict_proba(X[:1])[0, 1])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--part", choices=["distributions", "class_weights"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine(), end="\n\n")
    for part in (distributions, class_weights):
        if arguments.part in (None, part.__name__):
            part(arguments.seeds)
            print()


if __name__ == "__main__":
    main()
