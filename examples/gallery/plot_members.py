"""
======================================
Few rows: five networks instead of one
======================================

A network that stops early needs rows that it is not trained on. If rows are few,
these are missed in training. With ``n_members=5``, five networks each hold out
another fifth of the rows, so that every row is used by four of them, and their
mean is predicted. With 20 to 1,999 distinct rows this is the default.
"""

# %%
# The data
# --------
#
# They are made up, with ten features and two classes, so there can be as many new
# rows as we like.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.metrics import log_loss

from skweight import WeightedTorchClassifier


def rows(n, seed):
    """Features, classes and their true probability."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    truth = 1 / (
        1 + np.exp(-(1.5 * X[:, 0] + X[:, 1] * X[:, 2] + np.abs(X[:, 3]) - 0.8))
    )
    return X, rng.binomial(1, truth), truth


X_new, y_new, truth = rows(10_000, seed=999)
best = log_loss(y_new, truth)

# %%
# One network and five, by the number of rows
# -------------------------------------------
#
# Each number of rows is tried with several data sets, since with few rows much is
# chance.

SIZES = {50: 10, 100: 10, 200: 6, 400: 4, 800: 2}  # rows, and data sets
network = WeightedTorchClassifier(early_stopping=True, random_state=0)
loss, out_of_fold = {1: [], 5: []}, []
for n, n_sets in SIZES.items():
    for n_members, losses in loss.items():
        found = []
        for seed in range(n_sets):
            X, y, _ = rows(n, seed)
            fitted = clone(network).set_params(n_members=n_members).fit(X, y)
            found.append(log_loss(y_new, fitted.predict_proba(X_new)) - best)
            if n_members == 5:
                out_of_fold.append(
                    (n, log_loss(y, fitted.oof_prediction_) - best, found[-1])
                )
        losses.append(np.array(found))
    one, five = loss[1][-1].mean(), loss[5][-1].mean()
    print(f"{n:>5} rows: {one:.3f} with one, {five:.3f} with five")

# %%
# ``oof_prediction_`` has a prediction of every row by the network that was not
# trained on it. Its loss estimates how good the fit is, without test rows. With
# few rows this estimate is too good, because the same rows decided when to stop.

n_rows, estimated, on_new_rows = np.transpose(out_of_fold)
measured = {
    "out of fold": [best + estimated[n_rows == n].mean() for n in SIZES],
    "on new rows": [best + on_new_rows[n_rows == n].mean() for n in SIZES],
}
for name, values in measured.items():
    print(f"loss {name}: " + ", ".join(f"{v:.3f}" for v in values))

# %%
# The picture
# -----------
#
# Left: how far the loss is above that of the true probabilities, the smallest
# possible one. Small points are data sets, large ones their means. The fewer the
# rows, the more five networks help. Right: the loss of five networks, out of fold
# and on new rows. See also :doc:`/members`.

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#808080"
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 4.3), layout="constrained"
)
styles = {
    1: (RED, "--", "^", "one network"),
    5: (BLUE, "-", "o", "five networks"),
}
for n_members, (color, line, mark, name) in styles.items():
    means = [found.mean() for found in loss[n_members]]
    left.plot(
        list(SIZES),
        means,
        line,
        marker=mark,
        color=color,
        markersize=8,
        label=name,
    )
    for n, found in zip(SIZES, loss[n_members]):
        shift = 0.92 if n_members == 1 else 1.08
        left.plot(
            np.full(len(found), n * shift),
            found,
            mark,
            color=color,
            alpha=0.5,
            markersize=3,
        )
left.set(
    title="Loss on new rows",
    ylabel="log-loss above the best possible",
    yscale="log",
)
left.set_yticks([0.05, 0.1, 0.2, 0.5, 1])
left.yaxis.set_major_formatter("{x:g}")
for (name, values), color, style in zip(
    measured.items(), (GREEN, BLUE), ("s-.", "o-")
):
    right.plot(list(SIZES), values, style, color=color, markersize=8, label=name)
right.axhline(best, color=GREY, linewidth=1)
right.annotate(
    "best possible", (800, best), (0, 4), textcoords="offset points", ha="right"
)
right.set(
    title="Five networks, measured in two ways", ylabel="log-loss", xscale="log"
)
for ax in (left, right):
    ax.set_xscale("log")
    ax.set_xticks(list(SIZES), list(SIZES))
    ax.minorticks_off()
    ax.set_xlabel("rows")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
