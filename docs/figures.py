"""Draw the figures of ``docs/weights.md``. Each one compares two options that are easy to confuse.

Run ``OMP_NUM_THREADS=1 python docs/figures.py`` from the root of the repository. It takes about
two minutes. With the argument ``pictures`` it draws those of ``docs/pictures.md`` by running the
code on that page, and with ``choosing`` the questions of ``docs/choosing.md``.
"""

import re
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import FancyBboxPatch
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score, log_loss
from skorch.callbacks import Callback

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    clip_weights,
    effective_number,
    effective_sample_size,
)
from skweight.losses import CrossEntropy, Focal, PolyTailed

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
import feature_weights  # noqa: E402
import gradient_noise  # noqa: E402
from peers import PLAIN  # noqa: E402

BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#d9661f", "#2a8f5b", "#777777"
SEEDS = range(3)


def panels(title: str) -> tuple[Any, Any]:
    """A figure with two panels side by side and one title."""
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.3), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Any, name: str, dpi: int = 110) -> None:
    """Save a figure in the folder of this file."""
    figure.savefig(DOCS / f"{name}.png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
    print(f"docs/{name}.png")


def rare_classes(seed: int, n_train: int = 4000) -> tuple[np.ndarray, ...]:
    """Noisy data with 20 features and 5 % positives: X and y for training, X and y for testing."""
    X, y = make_classification(
        n_train + 16_000,
        20,
        n_informative=8,
        weights=[0.95],
        flip_y=0.02,
        class_sep=0.8,
        random_state=seed,
    )
    return X[:n_train], y[:n_train], X[n_train:], y[n_train:]


class Watch(Callback):  # type: ignore[misc]
    """A callback that computes a number from the network after each epoch."""

    def __init__(self, compute: Any) -> None:
        self.compute = compute

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start an empty list."""
        self.seen: list[float] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Append the number."""
        net.module_.eval()
        self.seen.append(self.compute(net))
        net.history.record("watched", self.seen[-1])


def balanced_accuracy(X: np.ndarray, y: np.ndarray, net: Any) -> float:
    """Balanced accuracy of the network on X and y."""
    return float(balanced_accuracy_score(y, net.predict(X)))


def loss_or_sampling() -> None:
    """Weights in the loss or as sampling probabilities: the same objective, different noise."""
    figure, (left, right) = panels(
        "The same weights, multiplied into the loss or used to sample rows"
    )
    rows = gradient_noise.balanced_rows(0.01)
    bins = np.linspace(-1.2, 0.6, 61)
    for sampling, color, name in ((False, ORANGE, '"loss"'), (True, BLUE, '"sampling"')):
        gradients = gradient_noise.batch_gradients(rows, sampling)
        label = f"weighting={name}, sd {gradients.std():.3f}"
        left.hist(gradients, bins, color=color, alpha=0.65, label=label, density=True)
    left.set(xlabel="gradient of a batch of 64 at the optimum (1 % positives)", ylabel="density")
    left.set_xticks([-1, -0.5, 0, 0.5])
    left.legend(frameon=False, fontsize=8)

    prevalence = np.geomspace(0.001, 0.5, 30)
    share = [effective_sample_size([0.5 / p] * int(1e5 * p) + [0.5 / (1 - p)] * int(1e5 * (1 - p)))
             / 1e5 for p in prevalence]  # fmt: skip
    right.semilogx(prevalence, share, color=GREY)
    right.axhline(0.1, color=ORANGE, linestyle=":", label="a fit warns below this line")
    right.set(xlabel="share of positives (balanced weights)", ylabel="effective sample size / rows")
    right.legend(frameon=False, fontsize=8)
    save(figure, "loss_or_sampling")


def class_weight_or_logit_adjustment() -> None:
    """Class weights and logit adjustment: accuracy over the epochs, and log loss once corrected."""
    figure, (left, right) = panels(
        "Class weights or logit adjustment, on test data with 5 % positives"
    )
    settings = (
        ({"class_weight": "balanced"}, ORANGE, 'class_weight="balanced"'),
        ({"logit_adjustment": 1.0}, BLUE, "logit_adjustment=1"),
        ({}, GREY, "neither"),
    )
    for params, color, name in settings:
        curves = []
        for seed in SEEDS:
            X, y, X_test, y_test = rare_classes(seed)
            watch = Watch(partial(balanced_accuracy, X_test.astype(np.float32), y_test))
            model = WeightedTorchClassifier(
                max_epochs=40, callbacks=[watch], random_state=seed, **PLAIN, **params
            ).fit(X, y)
            corrected = model.set_params(correct_prior=True).predict_proba(X_test)
            curves.append((*model.history_[:, "watched"], log_loss(y_test, corrected)))
        mean = np.mean(curves, axis=0)
        left.plot(range(1, 41), mean[:-1], color=color, label=name)
        right.bar(name.replace("class_weight=", "class_weight=\n"), mean[-1], color=color)
        right.text(name.replace("class_weight=", "class_weight=\n"), mean[-1], f"{mean[-1]:.3f}",
                   ha="center", va="bottom", fontsize=8)  # fmt: skip
    left.set(xlabel="epoch", ylabel="balanced accuracy")
    left.legend(frameon=False, fontsize=8)
    right.set(xlabel="trained with", ylabel="log loss with correct_prior=True")
    right.tick_params(axis="x", labelsize=8)
    save(figure, "class_weight_or_logit_adjustment")


def as_fitted_or_corrected() -> None:
    """Calibration of probabilities from a balanced fit, before and after the correction."""
    figure, (left, right) = panels(
        'Probabilities of a fit with class_weight="balanced" when positives are rare'
    )
    X, y, X_test, y_test = rare_classes(0, n_train=8000)
    model = WeightedTorchClassifier(class_weight="balanced", random_state=0, **PLAIN).fit(X, y)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    edges = np.linspace(0, 1, 11)
    for correct, color in ((False, ORANGE), (True, BLUE)):
        p = model.set_params(correct_prior=correct).predict_proba(X_test)[:, 1]
        place = np.clip(np.digitize(p, edges) - 1, 0, 9)
        count = np.bincount(place, minlength=10)
        kept = count > 20
        claimed = (np.bincount(place, weights=p, minlength=10) / count.clip(1))[kept]
        found = (np.bincount(place, weights=y_test, minlength=10) / count.clip(1))[kept]
        label = f"correct_prior={correct}, mean prediction {p.mean():.3f}"
        left.plot(claimed, found, "o-", color=color, label=label)
        right.hist(p, edges, color=color, alpha=0.6, label=f"correct_prior={correct}")
    left.set(xlabel="predicted probability", ylabel="observed share of positives")
    left.legend(frameon=False, fontsize=8, title=f"positives in the test data: {y_test.mean():.3f}")
    right.set(xlabel="predicted probability", ylabel="number of test rows", yscale="log")
    right.legend(frameon=False, fontsize=8)
    save(figure, "as_fitted_or_corrected")


def how_much_class_weight() -> None:
    """Class weight by size of the class, and training weight by ``sample_weight``."""
    figure, (left, right) = panels(
        "How much weight a rare class gets, and how much a heavy row keeps"
    )
    counts = np.geomspace(1, 1e4, 60)
    left.loglog(counts, 1e4 / counts, color=ORANGE, label='"balanced"')
    left.loglog(
        counts, np.sqrt(1e4 / counts), color=GREEN, label='"balanced", class_weight_power=0.5'
    )
    for beta, style in ((0.9, ":"), (0.99, "--"), (0.999, "-")):
        weight = np.array([effective_number(beta)(np.array([n, 1e4])) for n in counts])
        label = f"effective_number({beta})"
        left.loglog(counts, weight[:, 0] / weight[:, 1], style, color=BLUE, label=label)
    left.set(xlabel="rows in the class", ylabel="weight (10,000 rows: weight 1)")
    left.legend(frameon=False, fontsize=8)

    weight = np.sort(np.random.default_rng(0).lognormal(sigma=1.5, size=2000))
    right.loglog(weight, weight / weight.mean(), color=GREY, label="sample_weight")
    flat = np.sqrt(weight)
    right.loglog(weight, flat / flat.mean(), color=GREEN, label="sample_weight_power=0.5")
    clipped = clip_weights(weight, 3)
    right.loglog(weight, clipped / clipped.mean(), color=BLUE, label="clip_weights(w, 3)")
    right.set(xlabel="sample_weight", ylabel="weight used in training (mean 1)")
    right.legend(frameon=False, fontsize=8)
    save(figure, "how_much_weight")


def focal_or_class_weight() -> None:
    """A criterion decides how much easy rows count, a class weight how much a class counts."""
    figure, (left, right) = panels(
        "A criterion weighs rows by their margin, a class weight weighs a whole class"
    )
    z = torch.linspace(-4, 8, 200)[:, None]
    ones = torch.ones_like(z)
    criteria = (
        (CrossEntropy(), GREY, "cross_entropy", 1.0),
        (CrossEntropy(), ORANGE, "cross_entropy, class weight 3", 3.0),
        (Focal(), BLUE, "focal, gamma=2", 1.0),
        (PolyTailed(), GREEN, "poly_tailed", 1.0),
    )
    for loss, color, name, weight in criteria:
        left.semilogy(z, weight * loss(z, ones), color=color, label=name)
    left.set(xlabel="margin (score of the true class)", ylabel="loss of one row", ylim=(1e-3, 20))
    left.legend(frameon=False, fontsize=8)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8))
    y = (X[:, 0] + 1.5 * rng.normal(size=400) > 0).astype(int)
    X_test = rng.normal(size=(4000, 8)).astype(np.float32)
    for criterion, color in (("cross_entropy", GREY), ("poly_tailed", GREEN)):
        for weight, style in ((16.0, "-"), (1 / 16, "--")):
            called = Watch(lambda net: float(net.predict(X_test).mean()))
            model = WeightedTorchClassifier(
                criterion=criterion,
                class_weight={1: weight},
                module__hidden_sizes=(256, 256),
                max_epochs=200,
                callbacks=[called],
                random_state=0,
                **PLAIN | {"optimizer__weight_decay": 0.0},
            ).fit(X, y)
            label = f"{criterion}, weight {'16' if weight > 1 else '1/16'}"
            right.plot(model.history_[:, "watched"], style, color=color, label=label)
    right.set(
        xlabel="epoch (the training rows end up memorised)",
        ylabel="share predicted as class 1",
        ylim=(0, 1),
    )
    right.legend(frameon=False, fontsize=8)
    save(figure, "criterion_or_class_weight")


def exposure() -> None:
    """Exposure as the weight of a rate, as the weight of a count, and ignored."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3))
    years = rng.uniform(0.05, 1.0, size=len(X))
    rate = np.exp(0.5 * X[:, 0] - 0.5)
    count = rng.poisson(rate * years)
    train, test = slice(0, 10_000), slice(10_000, None)
    settings = (
        ("y / exposure, sample_weight=exposure", count / years, years, BLUE),
        ("y / exposure, no weight", count / years, None, GREEN),
        ("y, sample_weight=exposure", count, years, ORANGE),
    )
    figure, (left, right) = panels(
        "Exposure belongs on the rate: fit y / exposure, weighted by exposure"
    )
    order = np.argsort(rate[test])
    for name, target, weight, color in settings:
        model = WeightedTorchRegressor(criterion="poisson", random_state=0, **PLAIN)
        model.fit(X[train], target[train], None if weight is None else weight[train])
        predicted = model.predict(X[test])
        groups = np.array_split(order, 12)
        true, claimed = ([values[g].mean() for g in groups] for values in (rate[test], predicted))
        left.plot(true, claimed, "o-", color=color, markersize=3, label=name)
        error = np.sqrt(np.mean((np.log(predicted) - np.log(rate[test])) ** 2))
        right.barh(name.replace(", ", ",\n"), error, color=color)
    left.axline((0.6, 0.6), slope=1, color=GREY, linewidth=0.8)
    left.set(xlabel="true events per year", ylabel="predicted events per year")
    left.legend(frameon=False, fontsize=8)
    right.set(xlabel="root mean squared error of the log rate")
    right.tick_params(axis="y", labelsize=8)
    save(figure, "exposure")


def inputs_or_outputs() -> None:
    """Feature weights on the inputs or on the outputs of a layer, with penalties in both cases."""
    figure, (left, right) = panels(
        "Feature weights on the inputs or on the outputs of layer 1 (5 of 50 features are useful)"
    )
    settings = (
        ("none", {}, feature_weights.ON_LAYER, GREY),
        ("outputs", {"module__output_weights": 1.0}, feature_weights.ON_OUTPUTS, ORANGE),
        ("inputs", {"module__feature_weights": 1.0}, feature_weights.ON_INPUTS, BLUE),
    )
    for place, (name, weights, penalty, color) in enumerate(settings):
        score, importance = feature_weights.fit(0, **weights, **penalty)
        right.bar(name, score, color=color)
        right.text(name, score, f"{score:.2f}", ha="center", va="bottom", fontsize=8)
        features = np.arange(50) + 0.25 * (place - 1)
        left.plot(features, importance / importance.max(), ".", color=color, label=name)
    left.axvline(4.5, color=GREY, linewidth=0.8, linestyle=":")
    left.set(xlabel="feature (the first 5 are useful)", ylabel="weight x norm in layer 1 (max 1)")
    left.legend(frameon=False, fontsize=8, title="weights on")
    right.set(xlabel="feature weights on (layer 1 has a penalty in all three)", ylabel="test R2")
    save(figure, "inputs_or_outputs")


# Questions of docs/choosing.md with the code for a yes; those of depth 1 are asked after a yes.
CHOICES: tuple[tuple[str, tuple[tuple[int, str, str], ...]], ...] = (
    (
        "Rows",
        (
            (0, "Do rows stand for\nseveral units?", "clf.fit(X, y,\n  sample_weight=w)"),
            (1, "Standard errors, too?", "ReplicateEstimator(clf)"),
            (
                0,
                "Did sampling change\nthe base rate?",
                "sample_weight=np.where(\n  y_kept == 1, 1, 10)",
            ),
            (
                0,
                "Were rows observed\nfor unequal times?",
                "reg.fit(X, counts,\n  offset=np.log(years))",
            ),
            (0, "Do old rows say less?", "sample_weight=time_decay(\n  days, half_life=365)"),
            (0, "Will you predict\nother kinds of rows?", "sample_weight=p / (1 - p)"),
        ),
    ),
    (
        "Classes",
        (
            (0, "Is a class rare, or its\nerrors more costly?", ""),
            (1, "Do you need\nprobabilities?", "predict_proba(X)[:, 1]\n  > 0.1"),
            (1, "Do you need labels\nonly?", "class_weight={1: 9}"),
            (1, "Probabilities from a\nweighted fit?", "correct_prior=True"),
        ),
    ),
    (
        "Training",
        (
            (0, "Does the fit warn of\nfew effective rows?", 'weighting="sampling"'),
            (0, "Must totals be right?", "match_mean=True"),
            (0, "Do you trust some\ncolumns more?", 'module__feature_weights=\n  {"age": 2.0}'),
        ),
    ),
)


def choosing() -> None:
    """The questions from top to bottom, on paper that is narrow enough for a phone."""
    height = sum(0.38 + 0.5 * len(group) for _, group in CHOICES) + 0.06
    figure = plt.figure(figsize=(4.0, height))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, 4.0), ylim=(-height, 0))
    axis.axis("off")
    y, mains = 0.0, []
    for title, group in CHOICES:
        axis.text(0.22, y - 0.24, title, fontsize=10.5, weight="bold", color=BLUE, va="center")
        y -= 0.13
        parent = 0.0
        for depth, question, code in group:
            y -= 0.5
            if depth:
                axis.plot([0.32, 0.32, 0.4], [parent - 0.2, y, y], color=GREY, zorder=0)
            else:
                parent = y
                mains.append(y)
            draw_choice(axis, y, depth, question, code)
        y -= 0.25
    axis.plot([0.1, 0.1], [mains[0], mains[-1]], color=GREY, zorder=0)
    save(figure, "choosing", dpi=125)


def draw_choice(axis: Any, y: float, depth: int, question: str, code: str) -> None:
    """One question, and an arrow to its code if it has any."""
    left, right = (0.4 if depth else 0.22), 1.84
    box = {"boxstyle": "round,pad=0,rounding_size=0.06", "linewidth": 1.1}
    axis.add_patch(FancyBboxPatch((left, y - 0.2), right - left, 0.4, fc="white", ec=BLUE, **box))
    axis.text(left + 0.07, y, question, fontsize=8.6, va="center", linespacing=1.1)
    if not depth:
        axis.plot([0.1, left], [y, y], color=GREY, zorder=0)
    if code:
        arrow = {"arrowstyle": "-|>", "color": GREEN, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", (2.1, y), (right, y), arrowprops=arrow)
        axis.text(1.95, y + 0.05, "yes", fontsize=8, color=GREEN, ha="center", va="bottom")
        leaf = FancyBboxPatch((2.1, y - 0.2), 1.86, 0.4, fc="#eef7f1", ec=GREEN, **box)
        axis.add_patch(leaf)
        axis.text(2.16, y, code, fontsize=8.2, family="monospace", va="center", linespacing=1.1)


def pictures() -> None:
    """The displays of ``docs/pictures.md``, which its code keeps under these names."""
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / "pictures.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec("\n".join(snippets), names)
    for name in ("weights", "training", "calibration", "features", "scores", "curves"):
        save(names[name].figure_, f"pictures_{name}")


def main() -> None:
    """Draw all figures."""
    warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
    torch.set_num_threads(1)
    if sys.argv[1:] == ["pictures"]:
        pictures()
        return
    if sys.argv[1:] == ["choosing"]:
        choosing()
        return
    for draw in (
        loss_or_sampling,
        class_weight_or_logit_adjustment,
        as_fitted_or_corrected,
        how_much_class_weight,
        focal_or_class_weight,
        exposure,
        inputs_or_outputs,
    ):
        draw()


if __name__ == "__main__":
    main()
