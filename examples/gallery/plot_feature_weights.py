"""
=============================================
Feature weights: what you know, what is found
=============================================

Four of forty features matter. If you know which, give them a larger, fixed
feature weight. If you do not, learned weights can find them. These need a weight
decay of their own: without it hardly any weight becomes small, because the next
layer can make up for a small weight.
"""

# %%
# The data
# --------
#
# The first four features matter. 400 training rows are few for 40 features.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from skweight import WeightedLinear, WeightedTorchRegressor

USEFUL, FEATURES = 4, 40
rng = np.random.default_rng(0)
X = rng.normal(size=(4_400, FEATURES))
signal = 2 * np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + np.abs(X[:, 3])
y = signal + rng.normal(scale=0.3, size=len(X))
X_train, y_train, X_test, y_test = X[:400], y[:400], X[400:], y[400:]

# %%
# A layer with feature weights
# ----------------------------
#
# ``WeightedLinear`` is a linear layer that multiplies its inputs by one weight
# for each feature. In your own network it takes the place of the first
# ``nn.Linear``.


def net(n_features, n_outputs, **weights):
    """One hidden layer behind weighted features."""
    first = WeightedLinear(n_features, 64, **weights)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(64, n_outputs))


def fit(feature_weights, learnable=True, **decay):
    """A network with a weight decay for the parameters of these names."""
    return WeightedTorchRegressor(
        net,
        module__feature_weights=feature_weights,
        module__learnable=learnable,
        optimizer=torch.optim.Adam,
        optimizer__param_groups=[
            (name, {"weight_decay": d}) for name, d in decay.items()
        ],
        lr=0.003,
        batch_size=64,
        max_epochs=200,
        early_stopping=False,
        random_state=0,
    ).fit(X_train, y_train)


layer, features = {"0.weight": 0.01}, {"0.feature_weights.weight": 0.03}
known = np.where(np.arange(FEATURES) < USEFUL, 3.0, 1.0)
fits = {
    "all weights 1": fit(1.0, learnable=False, **layer),
    "learned, no decay": fit(1.0, **layer),
    "learned, with decay": fit(1.0, **layer, **features),
    "known: 3 for the useful": fit(known, learnable=False, **layer),
}
scores = {name: model.score(X_test, y_test) for name, model in fits.items()}
for name, score in scores.items():
    print(f"{name:<26} R2 on new rows {score:.2f}")

# %%
# The picture
# -----------
#
# Left: with decay, the weights of useless features shrink to about 0.1, and those
# of the useful ones stay above 0.5. Without decay all stay near 1, where they
# began, or grow. Only the ratios of the weights matter here, since the first
# layer can make up for their common size. Right: the share of the variance of new
# rows that each network explains. See also :doc:`/modules_and_losses`.

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#808080"
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 4.2), width_ratios=(1.4, 1), layout="constrained"
)
left.axvspan(-0.5, USEFUL - 0.5, color=GREY, alpha=0.2, linewidth=0)
left.annotate("useful", (USEFUL - 0.2, 1.6), color="black")
for name, color, mark in (
    ("learned, no decay", RED, "^"),
    ("learned, with decay", BLUE, "o"),
):
    left.plot(np.abs(fits[name].feature_weights_), mark, color=color, label=name)
left.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
left.set(
    title="Feature weights after training",
    xlabel="feature",
    ylabel="size of the weight",
)
left.set_ylim(0, None)
left.legend(frameon=False, loc="upper right")
colors = (GREY, RED, BLUE, GREEN)
names = [name.replace(", ", ",\n").replace(": ", ":\n") for name in scores]
bars = right.barh(names, list(scores.values()), color=colors)
right.bar_label(bars, fmt=" {:.2f}")
right.invert_yaxis()
right.set(title="R2 on new rows", xlim=(0, 1.1))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
