"""
=====================================
Noisy labels: precise rows count more
=====================================

The y of some rows was measured precisely, that of others was not. Using only the
precise rows wastes the others; treating all alike lets the noisy rows dominate.
If the noise of a row has the standard deviation s, the right weight is
``1 / s**2``, and a rough guess of s is enough.
"""

# %%
# The data
# --------
#
# Temperatures along a river, from three thermometers: a precise one of a
# laboratory, one of a school, and a cheap one. The noise of each is known from
# its data sheet. The data are made up, so that the true temperature is known.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skweight import EffectiveSampleSizeWarning, WeightedTorchRegressor

NOISE = {"laboratory": 0.2, "school": 0.6, "cheap": 4.0}  # standard deviations
ROWS = {"laboratory": 30, "school": 200, "cheap": 1_000}
noise = np.repeat(list(NOISE.values()), list(ROWS.values()))


def truth(km):
    """Temperature of the water at a place of the river."""
    return 12 + 2 * np.sin(km) + 1.5 * np.exp(-((km - 7) ** 2) * 4)


def measurements(seed):
    """Place and temperature of each row."""
    rng = np.random.default_rng(seed)
    km = rng.uniform(0, 10, len(noise))
    return km[:, None], truth(km) + noise * rng.normal(size=len(noise))


# %%
# Six ways to weigh
# -----------------
#
# The weight is ``1 / s**power``: with power 0 all rows count the same, and with a
# large one only the laboratory counts. Each way is tried with ten sets of
# measurements, to see what is chance. Few rows have most of the weight, which
# makes gradients noisy: ``fit`` would warn of it, and large batches reduce it.

warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
ways = {f"1 / s^{power}": noise ** (-1.0 * power) for power in range(5)}
ways["laboratory only"] = np.where(noise == NOISE["laboratory"], 1.0, 0.0)
network = WeightedTorchRegressor(
    module__hidden_sizes=(32,),
    lr=0.01,
    batch_size=256,
    max_epochs=200,
    early_stopping=False,
    ema_decay=0.95,
    random_state=0,
)
grid = np.linspace(0, 10, 300)
curves = {
    name: [
        network.fit(*measurements(seed), weight).predict(grid[:, None])
        for seed in range(10)
    ]
    for name, weight in ways.items()
}
errors = {
    name: np.sqrt(np.mean((np.array(found) - truth(grid)) ** 2, axis=1))
    for name, found in curves.items()
}
for name, error in errors.items():
    print(f"{name:<16} error {error.mean():.2f} degrees")

# %%
# The picture
# -----------
#
# Left: one set of measurements; a few of the cheap ones lie outside the panel.
# Right: the error of all ten sets (small points) and their mean (large points),
# which is smallest at ``1 / s**2``. Weights that are somewhat wrong, ``1 / s`` or
# ``1 / s**3``, are still better than no weights, and better than the laboratory
# alone. See also :doc:`/meaning`.

BLUE, RED, GREEN, BLACK, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "black",
    "#808080",
)
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 4.5), layout="constrained"
)
X, y = measurements(0)
marks = {
    "cheap": ("o", 0.3, 6),
    "school": ("s", 0.6, 10),
    "laboratory": ("D", 1.0, 45),
}
for name, (mark, alpha, size) in marks.items():
    rows = noise == NOISE[name]
    label = f"{name} (s = {NOISE[name]})"
    color = GREEN if name == "laboratory" else GREY
    left.scatter(
        X[rows],
        y[rows],
        size,
        color,
        marker=mark,
        alpha=alpha,
        linewidth=0,
        label=label,
    )
left.plot(grid, truth(grid), color=BLACK, linewidth=3, label="truth")
for name, style, color in (("1 / s^0", "--", RED), ("1 / s^2", "-", BLUE)):
    label = "all rows alike" if name == "1 / s^0" else "weight 1 / s²"
    left.plot(grid, curves[name][0], style, color=color, linewidth=2, label=label)
left.set(
    title="One set of measurements",
    xlabel="km along the river",
    ylabel="temperature",
)
left.set(ylim=(6, 21))
left.legend(edgecolor="none", ncols=2, fontsize="small", loc="upper center")

names = ["all\nalike", "1/s", "1/s²", "1/s³", "1/s⁴", "laboratory\nonly"]
for place, error in enumerate(errors.values()):
    right.plot(
        np.full(10, place), error, "o", color=GREY, markersize=3, alpha=0.6
    )
means = [error.mean() for error in errors.values()]
right.plot(means[:5], "-", color=GREY)
for place, (mean, color) in enumerate(
    zip(means, [RED, GREY, BLUE, GREY, GREY, GREEN])
):
    right.plot(
        place, mean, "D" if color == GREEN else "o", color=color, markersize=10
    )
right.set_xticks(range(6), names)
right.set(title="Error by weight, ten sets", ylabel="degrees", ylim=(0, None))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
