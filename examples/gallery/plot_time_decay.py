"""
=====================================
Drift: how fast should old data fade?
=====================================

If y changes with time, old rows mislead, but the newest rows alone are few.
``time_decay`` gives each row a weight that halves with every ``half_life`` of its
age. To choose the half-life, predict past periods from the rows before them, and
compare the errors.
"""

# %%
# The data
# --------
#
# A made-up shop, so that the truth is known for every day. The number of parcels
# that it sends on a day depends on its price, and the price that sells most rises
# from 3 to 6 in 900 days.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchRegressor,
    effective_sample_size,
    time_decay,
)

rng = np.random.default_rng(0)
DAYS = 900


def truth(price, day):
    """Expected sales at a price on a day."""
    best = 3 + 3 * day / DAYS
    return 10 * np.exp(-(((price - best) / 2) ** 2))


day = np.arange(DAYS)
price = rng.uniform(0, 9, DAYS)
sales = rng.poisson(truth(price, day))
X = price[:, None]

# %%
# Walk forward
# ------------
#
# Every 80 days, fit to all days before, with weights by their age on that day,
# and predict the next four weeks. The error is the difference from the true
# expectation. With real data, take the difference from the sales: their noise
# adds on average the same to the squared error of every half-life. (A fit warns
# if few rows have most of the weight. Here this is intended.)

warnings.simplefilter("ignore", EffectiveSampleSizeWarning)

network = WeightedTorchRegressor(
    criterion="poisson",
    module__hidden_sizes=(16,),
    lr=0.005,
    max_epochs=40,
    n_members=1,
    random_state=0,
)
half_lives = [7, 15, 30, 60, 120, 240, np.inf]
starts = range(400, DAYS - 28, 80)


def weights(half_life, today):
    """Weights of the rows before today, by their age in days."""
    age = today - day[day < today]
    return (
        np.ones(len(age)) if np.isinf(half_life) else time_decay(age, half_life)
    )


errors = {}
for half_life in half_lives:
    squares = []
    for today in starts:
        past, soon = day < today, (day >= today) & (day < today + 28)
        network.fit(X[past], sales[past], sample_weight=weights(half_life, today))
        squares.append(
            (network.predict(X[soon]) - truth(price[soon], day[soon])) ** 2
        )
    errors[half_life] = np.sqrt(np.mean(np.concatenate(squares)))
    n = effective_sample_size(weights(half_life, today))
    error = errors[half_life]
    print(f"half-life {half_life:>4}: error {error:.2f}, effective rows {n:.0f}")

# %%
# The picture
# -----------
#
# Left: a short half-life leaves too little data, a long one uses data that are
# out of date, and the error is smallest in between. Right: predictions for the
# day after the last one. Without decay the network describes the mean of 900
# days, and its best price is that of long ago. See also :doc:`/choosing`.

BLUE, RED, BLACK, GREY = "#0072B2", "#D55E00", "black", "#808080"
best = min(errors, key=errors.get)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
names = ["none" if np.isinf(h) else str(h) for h in half_lives]
left.plot(names, list(errors.values()), "o-", color=GREY)
left.plot(
    names[half_lives.index(best)], errors[best], "o", color=BLUE, markersize=11
)
left.plot("none", errors[np.inf], "^", color=RED, markersize=11)
left.annotate(
    "too little data", (0, errors[7]), (12, 0), textcoords="offset points"
)
left.annotate(
    "too much of the past",
    (len(names) - 1, errors[np.inf]),
    (-12, 8),
    ha="right",
    textcoords="offset points",
)
left.set(
    title="Error on the next four weeks",
    xlabel="half-life (days)",
    ylabel="error (parcels a day)",
)
left.set_ylim(0, 1.2 * max(errors.values()))

grid = np.linspace(0, 9, 200)
right.plot(grid, truth(grid, DAYS), color=BLACK, linewidth=3, label="truth today")
for past_day, fade in ((DAYS // 2, 0.5), (0, 0.25)):
    label = f"truth {DAYS - past_day} days ago"
    right.plot(
        grid,
        truth(grid, past_day),
        color=BLACK,
        alpha=fade,
        linewidth=1,
        label=label,
    )
for half_life, color, line in ((best, BLUE, "-"), (np.inf, RED, "--")):
    network.fit(X, sales, sample_weight=weights(half_life, DAYS))
    label = "no decay" if np.isinf(half_life) else f"half-life {half_life} days"
    right.plot(
        grid, network.predict(grid[:, None]), line, color=color, label=label
    )
right.set(title="Sales by price", xlabel="price", ylabel="parcels a day")
right.set_ylim(0, 15)
right.legend(frameon=False, loc="upper center", ncols=2, fontsize="small")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
