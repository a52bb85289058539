"""
=============================================
Covariate shift: weights from a density ratio
=============================================

The training rows come from one place, the rows to predict from another. If y
depends on x in the same way in both, the right weight of a training row is the
ratio of the densities of x in the new place and in the old one. A classifier
that tells the places apart estimates this ratio.
"""

# %%
# The data
# --------
#
# Training rows have small x, the rows to predict have large x. The truth is
# curved and the model will be a straight line. No line is right everywhere, so
# it matters where it should be right.

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from skweight import (
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    effective_sample_size,
)

rng = np.random.default_rng(0)
OLD, NEW = norm(1.0, 0.5), norm(1.8, 0.35)  # the densities of x in the two places


def truth(x):
    """Mean of y."""
    return np.sinc(x)


x_old, x_new = OLD.rvs(1500, random_state=rng), NEW.rvs(1500, random_state=rng)
y_old = truth(x_old) + rng.normal(
    scale=0.2, size=len(x_old)
)  # of the new place we have no y

# %%
# From a classifier to weights
# ----------------------------
#
# Train a classifier to tell the two places apart. If it says that a row is new
# with probability p, the density ratio is ``p / (1 - p)``, because there are as
# many new rows as old ones.

both = np.concatenate([x_old, x_new])[:, None]
is_new = np.repeat([0, 1], len(x_old))
places = WeightedTorchClassifier(random_state=0).fit(both, is_new)
probability = places.predict_proba(x_old[:, None])[:, 1]
ratio = probability / (1 - probability)
n_effective = effective_sample_size(ratio)
print(f"effective sample size: {n_effective:.0f} of {len(ratio):,} rows")

# %%
# Fits with and without them
# --------------------------
#
# A network without hidden layers is a line. ``sample_weight_power`` is an
# exponent on the weights: 0 ignores them, 1 uses them as they are. What is in
# between has less bias than no weights and less variance than full ones
# (H. Shimodaira, Improving predictive inference under covariate shift by
# weighting the log-likelihood function, 2000).

line = WeightedTorchRegressor(
    module__hidden_sizes=(),
    lr=0.02,
    early_stopping=False,
    max_epochs=60,
    random_state=0,
)
errors, fits = {}, {}
grid = np.linspace(-0.4, 3, 200)
for power in (0.0, 0.5, 1.0):
    line.set_params(sample_weight_power=power).fit(
        x_old[:, None], y_old, sample_weight=ratio
    )
    fits[power] = line.predict(grid[:, None])
    for name, place in (("old", x_old), ("new", x_new)):
        errors[name, power] = np.sqrt(
            np.mean((line.predict(place[:, None]) - truth(place)) ** 2)
        )
    print(
        f"power {power}: error {errors['old', power]:.2f} in the old place, "
        f"{errors['new', power]:.2f} in the new one"
    )

# %%
# The picture
# -----------
#
# Left: the ratio that the classifier found follows the true one, except where
# there are hardly any training rows. Right: the size of a point is its weight,
# and most rows have next to none. With the weights the line is close to the truth
# where the new rows are. See also :doc:`/choosing`.

BLUE, RED, GREEN, BLACK, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "black",
    "#808080",
)
figure, axes = plt.subplot_mosaic("ac;bc", figsize=(9, 4.6), layout="constrained")
above, below, right = (axes[name] for name in "abc")
above.hist(x_old, 40, color=GREY, alpha=0.7, label="training rows")
above.hist(
    x_new, 40, color=BLUE, histtype="step", linewidth=1.5, label="to predict"
)
above.set(title="Where the rows are", ylabel="rows")
order = np.argsort(x_old)
below.plot(
    grid,
    NEW.pdf(grid) / OLD.pdf(grid),
    color=BLACK,
    linewidth=3,
    label="true ratio",
)
below.plot(
    x_old[order], ratio[order], "--", color=RED, label="weight of a training row"
)
below.set(title="Ratio of the densities", xlabel="x", ylabel="new / old")
for ax in (above, below):
    ax.set_xlim(-0.6, 2.8)
    ax.legend(frameon=False, loc="upper left")

right.scatter(
    x_old,
    y_old,
    s=2 + 20 * ratio / ratio.mean(),
    color=GREY,
    alpha=0.3,
    linewidth=0,
)
right.plot(grid, truth(grid), color=BLACK, linewidth=3, label="truth")
styles = {
    0.0: (RED, "--", "no weights"),
    0.5: (GREEN, "-.", "weights, power 0.5"),
    1.0: (BLUE, "-", "weights"),
}
for power, (color, style, name) in styles.items():
    label = f"{name}: error {errors['new', power]:.2f}"
    right.plot(grid, fits[power], style, color=color, linewidth=2, label=label)
right.set(
    title="Lines, and their error in the new place",
    xlabel="x",
    ylabel="y",
    ylim=(-1.1, 1.9),
    xlim=(-0.6, 2.8),
)
right.legend(frameon=False)
for ax in axes.values():
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
