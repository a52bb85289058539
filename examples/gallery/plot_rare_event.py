"""
======================================================
Rare events: calibrated probabilities, then a decision
======================================================

One case in forty is positive, and missing it costs twenty times as much as a
false alarm. With ``class_weight="balanced"`` a network finds most of the
positives, but its probabilities are those of data in which half of the cases are
positive. ``correct_prior=True`` corrects them, and the right threshold then
follows from the costs.
"""

# %%
# The data
# --------
#
# They are made up, so the true probability of each row is known.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import make_scorer
from sklearn.model_selection import TunedThresholdClassifierCV

from skweight import WeightedTorchClassifier, calibration_table
from skweight.inspection import CalibrationDisplay

MISS, ALARM = 20, 1  # the costs of the two errors
rng = np.random.default_rng(0)
X = rng.normal(size=(40_000, 8))
log_odds = -5.3 + 1.2 * X[:, 0] + X[:, 1] * X[:, 2] + 0.7 * np.abs(X[:, 3])
truth = 1 / (1 + np.exp(-log_odds))
y = rng.binomial(1, truth)
X_train, y_train, X_test, y_test = X[:15_000], y[:15_000], X[15_000:], y[15_000:]
truth = truth[15_000:]
print(f"positive: {y_train.mean():.1%} of {len(y_train):,} training rows")

# %%
# Balanced training, with and without the correction
# --------------------------------------------------
#
# Balanced weights give each positive row forty times the weight of a negative
# one. A batch of 256 rows holds few positive rows, so we draw heavy rows more
# often (``weighting="sampling"``) instead of multiplying their loss.
# ``correct_prior`` needs no second fit: it takes the class weights back out of
# the predictions.

network = WeightedTorchClassifier(
    class_weight="balanced", weighting="sampling", random_state=0
)
network.fit(X_train, y_train)
probability = {"as fitted": network.predict_proba(X_test)[:, 1]}
network.set_params(correct_prior=True)
probability["corrected"] = network.predict_proba(X_test)[:, 1]

print(f"observed share of positives: {y_test.mean():.3f}")
for name, p in probability.items():
    error = calibration_table(y_test, p).calibration_error
    print(
        f"mean probability {name}: {p.mean():.3f}, calibration error {error:.3f}"
    )

# %%
# What a decision costs
# ---------------------
#
# An alarm is right if the expected cost of a miss, ``p * MISS``, is more than
# that of a false alarm, ``(1 - p) * ALARM``. This is so for p above the threshold
# ``ALARM / (ALARM + MISS)``, if p is the true probability.
# ``TunedThresholdClassifierCV`` of scikit-learn does not need true probabilities:
# it finds a threshold by cross-validation.


def cost(y_true, y_pred):
    """Mean cost of a row."""
    return np.mean(MISS * (y_true > y_pred) + ALARM * (y_true < y_pred))


thresholds = np.geomspace(0.003, 0.9, 60)
curve = {
    name: [cost(y_test, p >= t) for t in thresholds]
    for name, p in probability.items()
}
rule = ALARM / (ALARM + MISS)
tuned = TunedThresholdClassifierCV(
    network,
    scoring=make_scorer(cost, greater_is_better=False),
    cv=3,
    random_state=0,
).fit(X_train, y_train)

costs = {
    "never an alarm": cost(y_test, np.zeros(len(y_test))),
    "always an alarm": cost(y_test, np.ones(len(y_test))),
    "corrected, threshold 0.5": cost(y_test, probability["corrected"] >= 0.5),
    "as fitted, threshold by the costs": cost(
        y_test, probability["as fitted"] >= rule
    ),
    "as fitted, threshold 0.5": cost(y_test, probability["as fitted"] >= 0.5),
    "corrected, threshold by the costs": cost(
        y_test, probability["corrected"] >= rule
    ),
    "corrected, threshold tuned": cost(y_test, tuned.predict(X_test)),
    "the true probabilities": cost(y_test, truth >= rule),
}
for name, value in costs.items():
    print(f"{name:<36}{value:.3f}")
print(f"threshold by the costs {rule:.3f}, tuned {tuned.best_threshold_:.3f}")

# %%
# The pictures
# ------------
#
# On the dashed line, predicted probabilities equal the observed shares. Those as
# fitted are far too high everywhere. The corrected ones are right from 2 % on,
# where the threshold is; smaller ones are too low.

BLUE, RED, BLACK = "#0072B2", "#D55E00", "black"
figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.3), layout="constrained")
titles = ("as fitted, balanced", "correct_prior=True")
for ax, title, p in zip(axes, titles, probability.values()):
    display = CalibrationDisplay.from_predictions(y_test, p, scale="log", ax=ax)
    display.ax_.set_title(title)
figure.suptitle("Do the probabilities come true?")

# %%
# The correction keeps the order of the rows, so both curves have the same
# minimum. But only for the corrected probabilities is it at the threshold that
# follows from the costs; the tuned threshold is next to it. See also
# :doc:`/rare_classes`.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
styles = {"as fitted": (RED, "--"), "corrected": (BLUE, "-")}
for name, (color, line) in styles.items():
    ax.plot(
        thresholds, curve[name], line, color=color, label=f"probability {name}"
    )
ax.axvline(rule, color=BLACK, linestyle=":", linewidth=1)
ax.annotate(f" threshold by the costs: 1/{1 + MISS}", (rule, 0.93))
tuned_cost = costs["corrected, threshold tuned"]
ax.plot(
    tuned.best_threshold_,
    tuned_cost,
    "o",
    color=BLUE,
    markersize=9,
    label="tuned threshold",
)
best = costs["the true probabilities"]
ax.axhline(best, color=BLACK, linewidth=0.8)
ax.annotate(
    "if the true probabilities were known", (0.0031, best - 0.04), va="center"
)
ax.set(
    xscale="log",
    ylim=(0.2, 1),
    xlabel="threshold for an alarm",
    ylabel="mean cost of a case",
)
ax.set_title("A miss costs 20, a false alarm 1")
ax.xaxis.set_major_formatter("{x:g}")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.85))
plt.show()
