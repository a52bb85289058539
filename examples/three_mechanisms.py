"""Weights of rows, of classes and of features, each compared with a loop written by hand.

A tutorial on weighted training in PyTorch has three programs: a logistic model whose loss
is multiplied by sample weights, a classifier with ``CrossEntropyLoss(weight=...)``, and a
layer that multiplies by feature weights. Here each of them is written twice: as an estimator
of skweight, and as a training loop by hand with the same start and the same optimizer. On
full batches both have the same loss in every epoch, up to the rounding of float32, since
skweight merges equal rows and sorts the rest, and so sums in another order.

skweight minimises sum(w * loss) / sum(w). This has three consequences, and the programs
print a number for each:

- ``(w * loss).mean()`` has the same minimum, but its gradient is mean(w) times as long.
- ``CrossEntropyLoss(weight=...)`` is the same objective on a full batch, but not on small
  batches. It divides by the sum of the weights in the batch, so a rare class counts too little
  in the batches that contain it.
- A feature weight belongs on the input of a layer, with one weight per input.

Run ``python examples/three_mechanisms.py``. It takes a few seconds.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import hypergeom
from torch import Tensor, nn
from torch.nn import functional as F

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedLinear,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
)

Floats = NDArray[np.float64]
Objective = Callable[[Tensor, Tensor], Tensor]

EPOCHS = 100
LR = 0.2
# batch_size=-1 makes one batch of all rows. Other devices than the loop's would round differently.
FULL_BATCH: dict[str, Any] = {
    "optimizer": torch.optim.SGD,
    "lr": LR,
    "batch_size": -1,
    "max_epochs": EPOCHS,
    "early_stopping": False,
    "device": "cpu",
    "random_state": 0,
}


class Losses(NamedTuple):
    """Training loss of each epoch, for three trainings from the same start."""

    ours: Floats
    by_hand: Floats
    unweighted: Floats  # by hand, without the weights
    start_unchanged: bool  # whether the fit left the module that was passed unchanged

    @property
    def gap(self) -> float:
        """Largest difference between skweight and the loop in any epoch."""
        return float(np.abs(self.ours - self.by_hand).max())


class SampleWeights(NamedTuple):
    """Results of the first program."""

    losses: Losses
    doubtful: tuple[float, float]  # mean loss of the first 20 rows: unweighted, weighted
    others: tuple[float, float]  # the same for the other 80 rows
    mean_weight: float
    mean_gap: float  # skweight against (w * loss).mean() / mean(w), with the same lr
    mean_gap_rescaled: float  # the same, with lr / mean(w) in the loop


class ClassWeights(NamedTuple):
    """Results of the second program."""

    losses: Losses
    recall: tuple[float, float]  # of the third class: unweighted, weighted


class BatchNormaliser(NamedTuple):
    """The probability of the rare class that a model without inputs learns."""

    ours: float
    by_hand: float
    expected_by_hand: float  # where the mean gradient of the loop is 0, by a formula


class FeatureWeights(NamedTuple):
    """Results of the third program."""

    losses: Losses
    before: Floats
    after: Floats
    error: str  # torch's error if weights of inputs are multiplied with outputs


def train_by_hand(
    start: nn.Module,
    X: Tensor,
    y: Tensor,
    objective: Objective,
    *,
    lr: float = LR,
    epochs: int = EPOCHS,
    batch_size: int | None = None,
) -> tuple[nn.Module, Floats]:
    """Train a copy of ``start`` with SGD; return it and the mean batch loss of each epoch.

    Without ``batch_size``, each step uses all rows in their order. With it, rows are
    shuffled in every epoch.
    """
    module = copy.deepcopy(start)
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(epochs):
        order = torch.arange(len(X))
        if batch_size is not None:
            order = torch.randperm(len(X), generator=generator)
        in_epoch = []
        for rows in order.split(batch_size or len(X)):
            optimizer.zero_grad()
            loss = objective(module(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            in_epoch.append(loss.item())
        losses.append(np.mean(in_epoch))
    return module, np.array(losses)


def recorded_losses(estimator: Any) -> Floats:
    """The training loss that the estimator recorded in each epoch."""
    return np.array(estimator.history_[:, "train_loss"])


def same_state(module: nn.Module, other: nn.Module) -> bool:
    """Whether two modules of the same class have equal parameters and buffers."""
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def sample_weights() -> SampleWeights:
    """Logistic regression on 100 rows; the first 20 have wrong labels, and weight 0.2."""
    torch.manual_seed(0)
    X = torch.randn(100, 20)
    y = (X[:, 0] + X[:, 1] > 0).double()
    y[:20] = 1 - y[:20]
    w = torch.ones(100)
    w[:20] = 0.2
    start = nn.Linear(20, 1)
    kept = copy.deepcopy(start)

    estimator = WeightedTorchClassifier(start, **FULL_BATCH).fit(X, y, sample_weight=w)
    ours = recorded_losses(estimator)

    def row_loss(output: Tensor, target: Tensor) -> Tensor:
        # Drop the column: (100, 1) times w of shape (100,) would have shape (100, 100).
        return F.binary_cross_entropy_with_logits(output[:, 0], target.float(), reduction="none")

    def weighted(output: Tensor, target: Tensor) -> Tensor:
        return (w * row_loss(output, target)).sum() / w.sum()

    def weighted_over_n(output: Tensor, target: Tensor) -> Tensor:
        return (w * row_loss(output, target)).mean()

    def unweighted(output: Tensor, target: Tensor) -> Tensor:
        return row_loss(output, target).mean()

    _, by_hand = train_by_hand(start, X, y, weighted)
    plain, without = train_by_hand(start, X, y, unweighted)
    mean_weight = w.mean().item()
    _, over_n = train_by_hand(start, X, y, weighted_over_n)
    _, over_n_rescaled = train_by_hand(start, X, y, weighted_over_n, lr=LR / mean_weight)
    with torch.no_grad():
        plain_loss, our_loss = (row_loss(m(X), y) for m in (plain, estimator.module_))
    return SampleWeights(
        Losses(ours, by_hand, without, same_state(start, kept)),
        (plain_loss[:20].mean().item(), our_loss[:20].mean().item()),
        (plain_loss[20:].mean().item(), our_loss[20:].mean().item()),
        mean_weight,
        float(np.abs(over_n / mean_weight - ours).max()),
        float(np.abs(over_n_rescaled / mean_weight - ours).max()),
    )


def class_weights() -> ClassWeights:
    """Three overlapping classes; the third one is rare and has weight 3."""
    torch.manual_seed(0)
    y = torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([140, 120, 40]))
    X = torch.randn(300, 4)
    X[:, :3] += F.one_hot(y)
    start = nn.Linear(4, 3)
    kept = copy.deepcopy(start)

    estimator = WeightedTorchClassifier(start, class_weight={0: 1, 1: 1, 2: 3}, **FULL_BATCH)
    estimator.fit(X, y)

    # It divides by the sum of the weights in the batch: on a full batch, of all weights.
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 3.0]))
    _, by_hand = train_by_hand(start, X, y, criterion)
    plain, without = train_by_hand(start, X, y, nn.CrossEntropyLoss())
    rare = y == 2
    recalled = torch.from_numpy(estimator.predict(X)) == 2
    recalled_plain = plain(X).argmax(dim=1) == 2
    return ClassWeights(
        Losses(recorded_losses(estimator), by_hand, without, same_state(start, kept)),
        (recalled_plain[rare].float().mean().item(), recalled[rare].float().mean().item()),
    )


class Intercept(nn.Module):
    """Two scores that are the same for every row; they start at 1 % for the second class."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([0.99, 0.01]).log())

    def forward(self, X: Tensor) -> Tensor:
        """Repeat the scores for each row."""
        return self.scores.repeat(len(X), 1)


def batch_normaliser() -> BatchNormaliser:
    """Balanced weights, 1 % positives, no signal, batches of 32: the right answer is 0.5."""
    n_rows, n_positive, batch_size = 3200, 32, 32
    torch.manual_seed(0)
    # The model ignores X, but rows must differ: otherwise they would be merged into two rows.
    X = torch.randn(n_rows, 1)
    y = torch.zeros(n_rows, dtype=torch.int64)
    y[:n_positive] = 1
    budget: dict[str, Any] = {"lr": 0.01, "epochs": 40, "batch_size": batch_size}

    estimator = WeightedTorchClassifier(
        Intercept(),
        class_weight="balanced",
        optimizer=torch.optim.SGD,
        lr=budget["lr"],
        batch_size=batch_size,
        max_epochs=budget["epochs"],
        early_stopping=False,
        device="cpu",
        random_state=0,
    )
    with warnings.catch_warnings():
        # The warning is expected: this program puts half of the weight on 1 % of the rows.
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        estimator.fit(X, y)

    balanced = n_rows / (2 * torch.bincount(y))
    module, _ = train_by_hand(Intercept(), X, y, nn.CrossEntropyLoss(weight=balanced), **budget)
    by_hand = torch.softmax(module(X[:1]), dim=1)[0, 1].item()

    # The gradient of a batch is p minus the share of the positives in the weights of the batch.
    # Training ends where it is 0 on average: at the mean share, if k of 32 rows are positive.
    k = np.arange(batch_size + 1)
    light, heavy = balanced.tolist()
    share = heavy * k / (heavy * k + light * (batch_size - k))
    chance = hypergeom(n_rows, n_positive, batch_size).pmf(k)
    return BatchNormaliser(
        float(estimator.predict_proba(X[:1])[0, 1]), by_hand, float((chance * share).sum())
    )


class OutputsTimesInputWeights(nn.Module):
    """The layer of the tutorial: multiplies its 10 outputs by 5 weights meant for its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 10)
        self.weights = torch.tensor([1.0, 1.0, 1.0, 3.0, 1.0])

    def forward(self, X: Tensor) -> Tensor:
        """Fail, because shapes (n, 10) and (5,) do not match."""
        return self.linear(X) * self.weights


def error_of_weights_on_outputs() -> str:
    """The error of torch when that layer is called."""
    try:
        OutputsTimesInputWeights()(torch.ones(3, 5))
    except RuntimeError as error:
        return str(error)
    raise AssertionError("The layer ran, although (n, 10) times (5,) has no meaning.")


def feature_weights() -> FeatureWeights:
    """Regression on five features; the fourth starts with three times the weight of the others."""
    torch.manual_seed(0)
    X = torch.randn(200, 5)
    y = 20 + 5 * X[:, 3].relu() + X[:, 0] + 0.5 * torch.randn(200)
    y = y.double()  # because the estimator standardises y in float64
    start = nn.Sequential(
        WeightedLinear(5, 10, feature_weights=[1, 1, 1, 3, 1]), nn.ReLU(), nn.Linear(10, 1)
    )
    kept = copy.deepcopy(start)
    settings = FULL_BATCH | {"lr": LR / 4}

    estimator = WeightedTorchRegressor(start, **settings).fit(X, y)

    def squared_error(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output[:, 0], target)

    target = ((y - y.mean()) / y.std(correction=0)).float()
    _, by_hand = train_by_hand(start, X, target, squared_error, lr=settings["lr"])
    equal_weights = copy.deepcopy(start)
    nn.init.ones_(equal_weights[0].feature_weights.weight)
    _, without = train_by_hand(equal_weights, X, target, squared_error, lr=settings["lr"])
    return FeatureWeights(
        Losses(recorded_losses(estimator), by_hand, without, same_state(start, kept)),
        start[0].feature_weights.weight.detach().double().numpy(),
        estimator.feature_weights_.astype(np.float64),
        error_of_weights_on_outputs(),
    )


def print_losses(losses: Losses) -> None:
    """Print the losses of skweight, and how far they are from those of the loop."""
    without = np.abs(losses.unweighted - losses.ours).max()
    print(f"  loss of skweight, first and last epoch  {losses.ours[0]:.4f}  {losses.ours[-1]:.4f}")
    print(f"  largest difference to the loop by hand  {losses.gap:.1e}")
    print(f"  largest difference to no weights        {without:.4f}")
    print(f"  the module that was passed is unchanged {losses.start_unchanged}")


def print_sample_weights(result: SampleWeights) -> None:
    """Print the results of the first program."""
    print("(a) sample weights: the first 20 of 100 rows have wrong labels and weight 0.2")
    print_losses(result.losses)
    print("  mean loss of                      no weights  weighted")
    for name, losses in [("20 rows of weight 0.2", result.doubtful), ("80 others", result.others)]:
        print(f"    the {name:24}        {losses[0]:.3f}     {losses[1]:.3f}")
    mean = f"{result.mean_weight:.2f}"
    print(
        "  A loop with (w * loss).mean() divides by n, where skweight divides by sum(w). With SGD"
    )
    print(f"  this multiplies the learning rate by mean(w), here {mean}. The largest difference")
    print("  between the losses of this loop, divided by mean(w), and those of skweight is")
    print(f"    with the same lr                      {result.mean_gap:.4f}")
    print(f"    with lr / mean(w)                     {result.mean_gap_rescaled:.1e}")


def print_class_weights(result: ClassWeights, batches: BatchNormaliser) -> None:
    """Print the results of the second program."""
    print("(b) class weights: three classes with 140, 120 and 40 rows and weights 1, 1 and 3")
    print_losses(result.losses)
    without, weighted = result.recall
    print(f"  recall of class 2                       {weighted:.2f}, unweighted {without:.2f}")
    print("  CrossEntropyLoss(weight=...) is the same objective on a full batch, but not on small")
    print("  batches. With batches of 32, 1 % positives, balanced weights and no signal, the right")
    print("  probability of a positive is 0.5. The learned one is")
    print(f"    skweight, weights scaled to mean 1 over all rows  {batches.ours:.3f}")
    print(f"    by hand, divided by the weights of the batch      {batches.by_hand:.3f}")
    print(f"    expected by hand: mean share of the positives     {batches.expected_by_hand:.3f}")


def print_feature_weights(result: FeatureWeights) -> None:
    """Print the results of the third program."""
    print("(c) feature weights 1, 1, 1, 3, 1: y depends on features 0 and 3 of five")
    print_losses(result.losses)
    print(f"  feature_weights_ before                 {np.round(result.before, 3)}")
    print(f"  feature_weights_ after                  {np.round(result.after, 3)}")
    print("  WeightedLinear(5, 10) multiplies its 5 inputs by these weights. Multiplying the 10")
    print(f"  outputs by them, by hand: RuntimeError: {result.error}")
    print("  The loop has to standardise y itself. The regressor does this in fit, and predicts in")
    print("  the units of y.")


def main() -> None:
    """Run the three programs and print the effect of the weights."""
    print_sample_weights(sample_weights())
    print()
    print_class_weights(class_weights(), batch_normaliser())
    print()
    print_feature_weights(feature_weights())


if __name__ == "__main__":
    main()
