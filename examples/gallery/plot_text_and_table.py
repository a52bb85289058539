"""
===============================
Text plus table, and an archive
===============================

X may be a dict of several inputs, here the words of a message and a table of
numbers. A module of your own gets both by their names. It does not see the
sample weights, which are applied to the loss.
"""

# %%
# The data
# --------
#
# Messages to a repair service, made up: each has eight words and two numbers, and
# is urgent or not. Words and numbers make it more or less urgent. The archive has
# kept all urgent messages but only one in five of the others, which therefore
# have weight 5.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import WeightedTorchClassifier

EFFECT = {
    "smoke": 3,
    "fire": 2.5,
    "leak": 1.5,
    "broken": 1,
    "noise": 0.5,
    "slow": -0.5,
}
EFFECT |= {"question": -1, "invoice": -1.5, "thanks": -2}
NEUTRAL = [
    "please",
    "again",
    "machine",
    "the",
    "is",
    "it",
    "our",
    "we",
    "from",
    "since",
    "today",
]
EFFECT |= dict.fromkeys([*NEUTRAL, "yesterday", "week", "hello", "and"], 0)
WORDS = np.array(list(EFFECT))
rng = np.random.default_rng(0)


def messages(n):
    """Numbers of words, table, whether urgent, and its true probability."""
    words = rng.integers(len(WORDS), size=(n, 8))
    table = np.column_stack(
        [rng.uniform(0, 20, n), rng.normal(3, 1, n)]
    )  # age, log of customers
    log_odds = np.array(list(EFFECT.values()))[words].sum(axis=1)
    log_odds += 0.15 * (table[:, 0] - 10) + 0.5 * (table[:, 1] - 3) - 4
    truth = 1 / (1 + np.exp(-log_odds))
    return words, table, rng.binomial(1, truth), truth


words, table, urgent, _ = messages(20_000)
kept = (urgent == 1) | (rng.random(len(urgent)) < 0.2)
words, table, urgent = words[kept], table[kept], urgent[kept]
weight = np.where(urgent == 1, 1.0, 5.0)
print(f"the first message: {' '.join(WORDS[words[0]])}; {table[0].round(1)}")
print(f"{len(urgent):,} messages, urgent: {urgent.mean():.1%} of them", end=", ")
print(f"{np.average(urgent, weights=weight):.1%} of all that came in")

# %%
# A module with two inputs
# ------------------------
#
# The arguments of ``forward`` are the keys of the dict. Integers stay integers,
# as an embedding needs them. A module of your own is given numbers as they are,
# so they are standardised before the fit, with the weights.


class TextAndTable(nn.Module):
    """The sum of the vectors of words, and the table, into a small network."""

    def __init__(self, n_features, n_outputs, use=("words", "table")):
        super().__init__()
        self.use = use
        self.embedding = nn.EmbeddingBag(len(WORDS), 8, mode="sum")
        width = 8 * ("words" in use) + n_features["table"] * ("table" in use)
        self.layers = nn.Sequential(
            nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, n_outputs)
        )

    def forward(self, words, table):
        """Raw scores."""
        inputs = {"words": self.embedding(words), "table": table}
        return self.layers(torch.cat([inputs[name] for name in self.use], dim=1))


scaler = StandardScaler().fit(table, sample_weight=weight)
X = {"words": words, "table": scaler.transform(table)}
new_words, new_table, new_urgent, truth = messages(20_000)
X_new = {"words": new_words, "table": scaler.transform(new_table)}

fits, auc = {}, {}
for name, use in {
    "words": ["words"],
    "table": ["table"],
    "both": ["words", "table"],
}.items():
    fits[name] = WeightedTorchClassifier(
        TextAndTable, module__use=use, lr=0.003, random_state=0
    )
    fits[name].fit(X, urgent, sample_weight=weight)
    auc[name] = roc_auc_score(new_urgent, fits[name].predict_proba(X_new)[:, 1])
    print(f"AUC of {name:<6} {auc[name]:.3f}")
print(f"AUC of the true probabilities {roc_auc_score(new_urgent, truth):.3f}")

# %%
# Without weights, the same network describes the archive, and not all messages
# that came in:

unweighted = WeightedTorchClassifier(TextAndTable, lr=0.003, random_state=0).fit(
    X, urgent
)
predicted = {
    "with weights": fits["both"].predict_proba(X_new)[:, 1],
    "without weights": unweighted.predict_proba(X_new)[:, 1],
}
for name, probability in predicted.items():
    print(f"mean probability {name}: {probability.mean():.1%}")
print(f"urgent: {new_urgent.mean():.1%}")

# %%
# The picture
# -----------
#
# Left: how the log-odds change if one word of a message of neutral words is
# replaced. The network has learned roughly the effect of each word. Right:
# probabilities of new messages, in groups of the same size. Without weights, all
# are too high. See also :doc:`/modules_and_losses`.

BLUE, RED, BLACK = "#0072B2", "#D55E00", "black"


def log_odds(word):
    """Log-odds of a message of seven neutral words and this one."""
    numbers = {name: number for number, name in enumerate(WORDS)}
    message = np.array([[numbers[word], *[numbers["the"]] * 7]])
    return fits["both"].decision_function(
        {"words": message, "table": np.zeros((1, 2))}
    )[0]


learned = {
    word: log_odds(word) - log_odds("the")
    for word in [*list(EFFECT)[:9], "please"]
}
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 4.4), layout="constrained"
)
left.axline((0, 0), slope=1, color=BLACK, linewidth=1, linestyle=":")
for word, value in learned.items():
    left.plot(EFFECT[word], value, "o", color=BLUE)
    side = "right" if word in ("fire", "thanks") else "left"
    left.annotate(f"  {word}  ", (EFFECT[word], value), va="center", ha=side)
left.set(
    title="What a word does",
    xlabel="true change of the log-odds",
    ylabel="learned change",
)
left.margins(x=0.2)

groups = np.array_split(np.argsort(truth), 12)
true = [truth[rows].mean() for rows in groups]
right.axline((0, 0), slope=1, color=BLACK, linewidth=3, label="truth")
for (name, p), color, style in zip(predicted.items(), (BLUE, RED), ("o-", "^--")):
    right.plot(
        true, [p[rows].mean() for rows in groups], style, color=color, label=name
    )
right.set(
    title="New messages",
    xlabel="true probability",
    ylabel="predicted probability",
)
right.legend(frameon=False, loc="lower right")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
