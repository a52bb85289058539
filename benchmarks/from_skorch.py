"""A script of skorch beside the same in skweight: test scores, and weighted losses.

Run ``OMP_NUM_THREADS=1 python benchmarks/from_skorch.py``: 5 minutes. Both libraries train on the
same rows: five folds with three seeds. The second table is of a class that one row in a hundred
has, balanced weights and X that says nothing: its mean probability should be 0.5.
"""

import warnings

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
)

SEEDS, N_FOLDS = range(3), 5
N_EPOCHS, N_ROWS, PREVALENCE, BATCH_SIZE = 30, 20_000, 0.01, 32
TABLES = {
    "breast cancer": (load_breast_cancer, 2),
    "digits": (load_digits, 10),
    "diabetes": (load_diabetes, 0),
}


class Net(nn.Module):
    """As in skorch, it knows its sizes."""

    def __init__(self, num_inputs=20, num_units=64, num_outputs=2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_inputs, num_units), nn.ReLU(), nn.Linear(num_units, num_outputs)
        )

    def forward(self, X):
        """Raw scores."""
        return self.layers(X)


# --------------------------------------------------------------------------------------
# Scores of scripts
# --------------------------------------------------------------------------------------


def script(n_features, n_classes):
    """What both libraries are given."""
    return {
        "module": Net,
        "module__num_inputs": n_features,
        "module__num_outputs": n_classes or 1,
        "optimizer": torch.optim.Adam,
        "lr": 0.005,
        "max_epochs": 100,
        "batch_size": 32,
    }


def with_skorch(n_features, n_classes, seed):
    """The script as it is in skorch."""
    kind = NeuralNetClassifier if n_classes else NeuralNetRegressor
    split = ValidSplit(5, stratified=bool(n_classes))
    stopping = EarlyStopping(patience=10, load_best=True, threshold_mode="abs")
    net = kind(
        **script(n_features, n_classes),
        **({"criterion": nn.CrossEntropyLoss} if n_classes else {}),
        iterator_train__shuffle=True,
        train_split=split,
        callbacks=[stopping],
        verbose=0,
    )
    torch.manual_seed(seed)
    return make_pipeline(StandardScaler(), FunctionTransformer(as_float32), net)


def as_float32(X):
    """The only numbers that skorch's modules take."""
    return X.astype(np.float32)


def with_skweight(n_features, n_classes, seed):
    """The same script."""
    kind = WeightedTorchClassifier if n_classes else WeightedTorchRegressor
    model = kind(
        **script(n_features, n_classes),
        early_stopping=True,
        n_iter_no_change=10,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), model)


def by_default(n_features, n_classes, seed):
    """Nothing set but the seed."""
    kind = WeightedTorchClassifier if n_classes else WeightedTorchRegressor
    return kind(random_state=seed)


WAYS = {
    "skorch": with_skorch,
    "skweight, same settings": with_skweight,
    "skweight, defaults": by_default,
}


def scores_of(table, way, seeds=SEEDS, n_folds=N_FOLDS):
    """Test scores of all folds and seeds: accuracy, or R2."""
    load, n_classes = TABLES[table]
    X, y = load(return_X_y=True)
    scores = []
    for seed in seeds:
        kind = StratifiedKFold if n_classes else KFold
        for train, test in kind(n_folds, shuffle=True, random_state=seed).split(X, y):
            model = WAYS[way](X.shape[1], n_classes, seed)
            # skorch wants a column of float32 for numbers, and int64 for classes.
            of_skorch = y.astype(np.int64) if n_classes else y.astype(np.float32)[:, None]
            target = of_skorch if way == "skorch" else y
            scores.append(model.fit(X[train], target[train]).score(X[test], target[test]))
    return np.array(scores)


# --------------------------------------------------------------------------------------
# Weighted losses
# --------------------------------------------------------------------------------------


class OfBatch(NeuralNetClassifier):
    """The recipe that divides by the weights of the batch, as ``criterion__weight`` does too."""

    def get_loss(self, y_pred, y_true, X=None, *args, **kwargs):
        """The weighted mean of a batch."""
        loss = nn.functional.cross_entropy(y_pred, y_true, reduction="none")
        return (X["weight"] * loss).sum() / X["weight"].sum()


class OfRows(OfBatch):
    """The recipe of skorch's FAQ."""

    def get_loss(self, y_pred, y_true, X=None, *args, **kwargs):
        """The mean of the weighted losses."""
        loss = nn.functional.cross_entropy(y_pred, y_true, reduction="none")
        return (X["weight"] * loss).mean()


class IgnoresWeight(nn.Module):
    """A linear model, which the recipes make take the weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, X, weight=None):
        """Raw scores."""
        return self.linear(X)


def rare_classes(n_rows=N_ROWS, seed=0):
    """X that says nothing about y, which is 1 in one row of a hundred, and balanced weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 1)).astype(np.float32)
    y = np.zeros(n_rows, dtype=np.int64)
    y[rng.choice(n_rows, int(PREVALENCE * n_rows), replace=False)] = 1
    weight = n_rows / (2 * np.bincount(y))[y]
    return X, y, weight.astype(np.float32)


SETTINGS = {"optimizer": torch.optim.SGD, "lr": 0.02, "batch_size": BATCH_SIZE}


def with_recipe(net, unit=1.0, n_rows=N_ROWS, n_epochs=N_EPOCHS):
    """Mean probability of the rare class, by a recipe of skorch's users."""
    X, y, weight = rare_classes(n_rows)
    torch.manual_seed(0)
    model = net(
        IgnoresWeight,
        criterion=nn.CrossEntropyLoss,
        iterator_train__shuffle=True,
        train_split=None,
        max_epochs=n_epochs,
        verbose=0,
        **SETTINGS,
    )
    rows = {"X": X, "weight": weight * np.float32(unit)}
    return float(model.fit(rows, y).predict_proba(rows)[:, 1].mean())


def with_sample_weight(unit=1.0, n_rows=N_ROWS, n_epochs=N_EPOCHS):
    """The same by skweight."""
    X, y, weight = rare_classes(n_rows)
    model = WeightedTorchClassifier(
        IgnoresWeight, early_stopping=False, max_epochs=n_epochs, random_state=0, **SETTINGS
    )
    return float(model.fit(X, y, weight * unit).predict_proba(X)[:, 1].mean())


def main():
    """Print the tables."""
    warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
    print("| table | score | " + " | ".join(WAYS) + " |")
    print("| --- | --- | " + " | ".join("---" for _ in WAYS) + " |")
    for table, (_, n_classes) in TABLES.items():
        found = [scores_of(table, way) for way in WAYS]
        cells = [
            f"{scores.mean():.3f} ± {scores.std() / len(scores) ** 0.5:.3f}" for scores in found
        ]
        print(f"| {table} | {'accuracy' if n_classes else 'R2'} | {' | '.join(cells)} |")
    print()
    print("| loss of a batch | weights | weights times 100 |")
    print("| --- | --- | --- |")
    for name, probability in {
        "`(w * loss).sum() / w.sum()`": lambda unit: with_recipe(OfBatch, unit),
        "`(w * loss).mean()`": lambda unit: with_recipe(OfRows, unit),
        "skweight, `sample_weight=w`": with_sample_weight,
    }.items():
        print(f"| {name} | {probability(1.0):.2f} | {probability(100.0):.2f} |")


if __name__ == "__main__":
    main()
