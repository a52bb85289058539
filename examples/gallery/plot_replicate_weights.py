"""
==============================================
Replicate weights: standard errors of a survey
==============================================

With survey weights a network describes the population, but the weights alone do
not say how large its errors are. Pupils of one school are alike, so 30 pupils of
one school say less than 30 pupils of 30 schools. Replicate weights take this
into account: whole schools are drawn again and again, and ``ReplicateEstimator``
trains the network on each draw.
"""

# %%
# Many surveys of one population
# ------------------------------
#
# The population is made up: the points of a pupil in a test depend on the hours
# of homework and on the school. A survey draws 20 schools, and 15 pupils in each.
# Since the truth is known, we can draw many surveys and count how often the
# interval of a survey covers it.

import matplotlib.pyplot as plt
import numpy as np

from skweight import (
    ReplicateEstimator,
    WeightedTorchRegressor,
    bootstrap_weights,
    mean_prediction,
)

rng = np.random.default_rng(0)
SCHOOLS, PUPILS, SURVEYS = 20, 15, 20


def truth(hours):
    """Mean points of pupils who do so many hours of homework a week."""
    return 40 + 8 * hours - 0.8 * hours**2


def survey():
    """Hours, points, weight and school of the pupils of one survey."""
    school = np.repeat(np.arange(SCHOOLS), PUPILS)
    hours = rng.gamma(3, size=len(school))
    good = rng.normal(scale=6, size=SCHOOLS)[
        school
    ]  # what all pupils of a school share
    points = truth(hours) + good + rng.normal(scale=6, size=len(school))
    weight = rng.uniform(1, 3, SCHOOLS)[school]
    return hours[:, None], points, weight, school


MEAN = truth(rng.gamma(3, size=1_000_000)).mean()  # of the population
print(f"mean points of the population: {MEAN:.1f}")

# %%
# Two kinds of replicates
# -----------------------
#
# ``bootstrap_weights`` draws clusters anew. First, the clusters are the schools,
# as the survey drew them. Second, each pupil is a cluster, as if the survey had
# drawn pupils one by one. ``match_mean=True`` makes the weighted mean of the
# predictions equal to that of the sample.

network = WeightedTorchRegressor(
    module__hidden_sizes=(16,),
    lr=0.02,
    max_epochs=12,
    early_stopping=False,
    match_mean=True,
    random_state=0,
)


def fitted(hours, points, weight, clusters):
    """The network on the survey and on 25 replicates of its weights."""
    replicates = bootstrap_weights(
        None, clusters, weight, n_replicates=25, random_state=0
    )
    return ReplicateEstimator(network).fit(
        hours, points, weight, replicate_weights=replicates
    )


surveys = [survey() for _ in range(SURVEYS)]
results = {"schools drawn anew": [], "pupils drawn anew": []}
last = {}
for hours, points, weight, school in surveys:
    for name, clusters in zip(results, (school, np.arange(len(school)))):
        replicates = fitted(hours, points, weight, clusters)
        results[name].append(replicates.statistic(mean_prediction, hours))
        last[name] = replicates

# %%
# If standard errors are right, 95 % of the intervals cover the truth.

for name, found in results.items():
    low, high = np.transpose([result.confidence_interval() for result in found])
    covered = np.sum((low < MEAN) & (high > MEAN))
    error = np.mean([result.standard_error for result in found])
    print(
        f"{name}: mean standard error {error:.2f}, {covered} of {SURVEYS} cover"
    )
spread = np.std([result.value for result in found])
print(f"how much the estimates of {SURVEYS} surveys really differ: {spread:.2f}")

# %%
# The picture
# -----------
#
# Left: the intervals of all surveys. If pupils are drawn anew, the estimates are
# the same, but the bars are too short. Right: the predictions for each number of
# hours in the last survey, with bands of 1.96 standard errors. The band of
# redrawn schools holds the truth where there are pupils. See also
# :doc:`/surveys`.

BLUE, RED, BLACK, GREY = "#0072B2", "#D55E00", "black", "#808080"
styles = {
    "schools drawn anew": (BLUE, "o", -0.17),
    "pupils drawn anew": (RED, "s", 0.17),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.8), layout="constrained")
left.plot([MEAN, MEAN], [-0.8, SURVEYS], color=BLACK, linewidth=3, label="truth")
for name, (color, marker, shift) in styles.items():
    for place, result in enumerate(results[name]):
        low, high = result.confidence_interval()
        covers = low < MEAN < high
        left.errorbar(
            result.value,
            place + shift,
            xerr=(high - low) / 2,
            fmt=marker,
            color=color,
            markersize=4,
            markerfacecolor=color if covers else "white",
            label=name if place == 0 else None,
        )
left.plot(
    [],
    [],
    "o",
    color=GREY,
    markerfacecolor="white",
    markersize=5,
    label="misses the truth",
)
left.set(title="95 % intervals of the mean", xlabel="points", ylabel="survey")
left.set_yticks([])
left.set_ylim(-0.8, SURVEYS + 4.5)
left.legend(frameon=False, loc="upper center", ncols=2, fontsize="small")

grid = np.linspace(0.3, 7, 100)
for name, (color, _, _) in styles.items():
    predicted, std = last[name].predict(grid[:, None], return_std=True)
    band = predicted - 1.96 * std, predicted + 1.96 * std
    right.fill_between(
        grid, *band, color=color, alpha=0.35, linewidth=0, label=name
    )
right.plot(grid, predicted, color=BLUE, label="network")
right.plot(grid, truth(grid), color=BLACK, linewidth=3, label="truth")
right.plot(hours, np.full(len(hours), 31), "|", color=GREY, markersize=6)
right.annotate("pupils of the survey", (0.3, 32))
right.set(
    title="The last survey", xlabel="hours of homework a week", ylabel="points"
)
right.set(xlim=(0, 7), ylim=(30, 72))
right.legend(frameon=False, loc="upper left", fontsize="small")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
