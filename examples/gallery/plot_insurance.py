"""
===================================================
Insurance: frequency and severity, with an exposure
===================================================

What does a policy cost in a year? The usual answer is a product: how many claims
there are in a year (frequency), times how much a claim costs (severity). Each
has its own weights. For the frequency, they are the years that a policy was
observed; for the severity, the number of claims that the mean was taken over.
"""

# %%
# The data
# --------
#
# A made-up portfolio of cars, so that the true frequency and severity are known.
# Many policies were observed for only a part of a year, young drivers most of
# all.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone

from skweight import WeightedTorchRegressor

rng = np.random.default_rng(0)
N = 30_000
age = rng.uniform(18, 85, N).round(2)
X = pd.DataFrame({"age": age, "power": rng.choice(["low", "middle", "high"], N)})


def truth(X):
    """Claims per year, and mean amount of a claim, of a policy."""
    young, strong = np.exp(-(X["age"] - 18) / 12), X["power"] == "high"
    frequency = 0.08 * np.exp(
        1.4 * young + 0.4 * strong + (X["age"] - 45) ** 2 / 2500
    )
    return frequency.to_numpy(), 1500 * np.exp(
        0.3 * young + 0.5 * strong
    ).to_numpy()


true_frequency, true_severity = truth(X)
young = np.exp(-(age - 18) / 12)
years = np.clip(rng.beta(0.4, 0.4 + young, N), 1 / 365, 1)

claims = rng.poisson(years * true_frequency)
has_claims = claims > 0
shape = (
    2.0 * claims[has_claims]
)  # the mean of k gamma variables is a gamma variable
mean_claim = rng.gamma(shape, true_severity[has_claims] / shape)
print(f"{N:,} policies, {years.sum():,.0f} years, {claims.sum():,} claims")

# %%
# Frequency
# ---------
#
# Model claims per year, with the years as weights. A policy that was observed for
# one month and had one claim has a rate of 12 claims a year, but only a twelfth
# of the weight of a full year. ``match_mean=True`` makes the predicted number of
# claims equal to the observed one.

poisson = WeightedTorchRegressor(
    criterion="poisson", match_mean=True, random_state=0
)
by_weight = clone(poisson).fit(X, claims / years, sample_weight=years)
frequency = by_weight.predict(X)

# %%
# The same model can be written another way: model the number of claims, with the
# logarithm of the years as an offset. The gradient of a row is the same, so the
# two differ only by the random numbers of training.

by_offset = clone(poisson).fit(X, claims, offset=np.log(years))

# %%
# Two mistakes, to compare with: rates without weights, and numbers of claims as
# if every policy had been observed for a whole year.

no_weights = clone(poisson).fit(X, claims / years)
no_years = clone(poisson).fit(X, claims)

fits = {
    "years as weights": frequency,
    "years as offset": by_offset.predict(
        X, offset=np.zeros(N)
    ),  # claims in one year
    "rates without weights": no_weights.predict(X),
    "years ignored": no_years.predict(X),
}
print("claims expected in the years observed, and typical error of a frequency:")
for name, rate in fits.items():
    error = np.mean(np.abs(rate / true_frequency - 1))
    print(f"  {name:<24}{rate @ years:6,.0f}  {error:4.0%}")
print(f"  {'observed':<24}{claims.sum():6,}")

# %%
# Severity and premium
# --------------------
#
# Only policies with claims say how much a claim costs. The mean of two claims has
# half the variance of one claim, so the number of claims is the weight. The
# premium is the product of frequency and severity.

gamma = WeightedTorchRegressor(criterion="gamma", match_mean=True, random_state=0)
gamma.fit(X[has_claims], mean_claim, sample_weight=claims[has_claims])
severity = gamma.predict(X)
premium = frequency * severity
paid = (mean_claim * claims[has_claims]).sum()
true_premium = true_frequency * true_severity
print(
    f"paid {paid / 1e6:.2f} million, premiums {premium @ years / 1e6:.2f} million"
)
error = np.mean(np.abs(premium / true_premium - 1))
print(f"typical error of a premium: {error:.0%}")

# %%
# The picture
# -----------
#
# Left: weights and offset agree, and follow the truth. Rates without weights are
# noisy, because one claim in a few days is a rate of a hundred a year and counts
# in full. If the years are ignored, the frequency is too low for all, and most
# for the young, who were observed for the shortest time. Right: the product of
# frequency and severity. See also :doc:`/offset` and :doc:`/balance`.

BLUE, RED, GREEN, ORANGE, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "black",
)
ages = np.linspace(18, 85, 200)
low, high = (
    pd.DataFrame({"age": ages, "power": power}) for power in ("low", "high")
)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
left.plot(ages, truth(low)[0], color=BLACK, linewidth=3, label="truth")
left.plot(ages, by_weight.predict(low), color=BLUE, label="years as weights")
predicted = by_offset.predict(low, offset=np.zeros(200))
left.plot(ages, predicted, "-.", color=GREEN, label="years as offset")
left.plot(
    ages, no_weights.predict(low), "--", color=RED, label="rates without weights"
)
left.plot(
    ages,
    no_years.predict(low),
    ":",
    color=ORANGE,
    linewidth=2,
    label="years ignored",
)
left.set(title="Frequency, cars of low power", ylabel="claims per year")
for table, name, line in ((high, "high power", "-"), (low, "low power", "--")):
    true, ours = (
        np.prod(truth(table), axis=0),
        by_weight.predict(table) * gamma.predict(table),
    )
    right.plot(ages, true, line, color=BLACK, linewidth=3, label=f"truth, {name}")
    right.plot(ages, ours, line, color=BLUE, label=f"networks, {name}")
right.set(title="Premium: frequency times severity", ylabel="cost per year")
for ax in (left, right):
    ax.set(xlabel="age of the driver", ylim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper center")
plt.show()
