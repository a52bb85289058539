"""
====================================================
Prediction intervals: quantiles under sample weights
====================================================

A network with ``criterion="quantile"`` predicts several quantiles at once, such
as the ends of an interval that holds 90 % of the values. They never cross. Like
means, quantiles depend on the population that the rows stand for, so they need
the weights too.
"""

# %%
# The data
# --------
#
# Travel times to work, made up. A survey asked as many people who drive as people
# who take the train, but in the population nine of ten drive. The network sees
# only the distance, not the mode of transport.

import matplotlib.pyplot as plt
import numpy as np

from skweight import WeightedTorchRegressor

LEVELS = [0.05, 0.5, 0.95]
SHARE_OF_DRIVERS = 0.9
rng = np.random.default_rng(0)


def minutes(km, drives):
    """Travel time: cars meet traffic, trains have a walk at both ends."""
    car = 5 + 1.3 * km + rng.gamma(2.0, 0.15 * km)
    train = 25 + 1.0 * km + rng.gamma(4.0, 5.0, len(km))
    return np.where(drives, car, train)


def people(n, share):
    """Distances and travel times of n people, of whom this share drives."""
    km, drives = rng.uniform(2, 40, n), rng.random(n) < share
    return km[:, None], minutes(km, drives), drives


X, y, drives = people(6_000, 0.5)  # the survey
X_new, y_new, _ = people(40_000, SHARE_OF_DRIVERS)  # the population
weight = np.where(drives, SHARE_OF_DRIVERS, 1 - SHARE_OF_DRIVERS)

# %%
# Three quantiles, with and without the weights
# ---------------------------------------------

network = WeightedTorchRegressor(
    criterion="quantile", criterion__quantile=LEVELS, random_state=0
)
grid = np.linspace(2, 40, 150)
curves, below = {}, {}
for name, w in {
    "with weights": weight,
    "without weights": np.ones(len(X)),
}.items():
    network.fit(X, y, sample_weight=w)
    curves[name] = network.predict(grid[:, None])
    below[name] = np.mean(y_new[:, None] < network.predict(X_new), axis=0)
    print(f"{name}:")
    for level, share in zip(LEVELS, below[name]):
        print(
            f"  quantile {level:.2f}: {share:.1%} of the population are below it"
        )

# %%
# The picture
# -----------
#
# Left: thick lines are medians, and thin ones hold the middle 90 %. Those of the
# network without weights describe the people who answered: its median is near the
# fastest trains. Right: 86 % of the population are below that median, where 50 %
# are expected. See also :doc:`/targets`.

BLUE, RED, BLACK, GREY = "#0072B2", "#D55E00", "black", "#808080"
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 4.5), width_ratios=(1.5, 1), layout="constrained"
)
shown = slice(0, 1_500)
for is_driver, color, mark in ((1, BLUE, "o"), (0, RED, "^")):
    rows = np.flatnonzero(drives[shown] == is_driver)
    size = 3 if is_driver else 5
    left.plot(
        X[rows],
        y[rows],
        mark,
        color=color,
        alpha=0.35,
        markersize=size,
        linewidth=0,
    )
styles = {"with weights": (BLUE, "-"), "without weights": (RED, "--")}
for name, (color, line) in styles.items():
    low, median, high = curves[name].T
    left.plot(
        grid, median, line, color=color, linewidth=3, label=f"median {name}"
    )
    left.plot(
        grid, low, line, color=color, linewidth=1.2, label=f"5 % and 95 % {name}"
    )
    left.plot(grid, high, line, color=color, linewidth=1.2)
left.annotate("by car", (26, 24), color=BLUE, fontsize=12)
left.annotate("by train", (26, 105), color=RED, fontsize=12)
left.set(
    title="Travel times of the survey",
    xlabel="distance (km)",
    ylabel="minutes",
    ylim=(0, 125),
)
left.legend(frameon=False, fontsize="small", loc="upper left")
place = np.arange(3)
right.bar(
    place - 0.2,
    100 * below["with weights"],
    0.38,
    color=BLUE,
    label="with weights",
)
right.bar(
    place + 0.2,
    100 * below["without weights"],
    0.38,
    color=RED,
    hatch="//",
    edgecolor="white",
    label="without weights",
)
for x, level in zip(place, LEVELS):
    right.plot(
        [x - 0.45, x + 0.45],
        [100 * level] * 2,
        color=BLACK,
        linewidth=2,
        label="as promised" if x == 0 else None,
    )
right.set_xticks(place, [f"{100 * level:g} %" for level in LEVELS])
right.set(
    title="Who is below, in the population",
    xlabel="quantile",
    ylabel="% of the population",
)
right.legend(frameon=False, fontsize="small", loc="upper left")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
