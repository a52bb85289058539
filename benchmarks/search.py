"""WeightSearchCV beside GridSearchCV: 10 weight settings, 5 folds, 5,000 rows of 20 features.

Run ``OMP_NUM_THREADS=1 python benchmarks/search.py``: about eight minutes; ``--grid`` compares
them for widths of 16 to 512 and batches of 32 to 2,048 and for other settings and networks
instead: about eight minutes too.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers
import torch
from side_by_side import in_turns, machine, median, print_table, ratio
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from torch import nn

from skweight import WeightedTorchClassifier, WeightSearchCV

WEIGHTS = [None, "balanced", {0: 1, 1: 2}, {0: 1, 1: 4}, {0: 1, 1: 8}]
UNSAID = {"max_epochs": "auto", "batch_size": "auto"}
PEERS = {
    "grid": "GridSearchCV",
    "sklearn": "scikit-learn's MLP",
    "loops": "50 loops written by hand",
}
SETTINGS = {"class_weight": WEIGHTS, "sample_weight_power": [0.5, 1.0]}


def estimator(width: int, batch_size: int, epochs: int | str) -> WeightedTorchClassifier:
    """A network with two hidden layers, such as scikit-learn's."""
    return WeightedTorchClassifier(
        module__hidden_sizes=(width, width),
        max_epochs=epochs,
        device="cpu",
        random_state=0,
        **peers.PLAIN | {"batch_size": batch_size},
    )


def search(kind: Any, model: Any, settings: Any, data: Any, n_jobs: int = 1) -> Callable[[], Any]:
    """A search without a final fit."""
    X, y, weight = data
    params = {} if weight is None else {"sample_weight": weight}
    made = kind(model, settings, scoring="neg_log_loss", cv=5, n_jobs=n_jobs, refit=False)
    return partial(made.fit, X, y, **params)


def of_scikit_learn(width: int, batch_size: int, epochs: int, data: Any) -> Callable[[], Any]:
    """Ten settings of scikit-learn's network with as many updates; it has no class weights."""
    model = MLPClassifier(
        hidden_layer_sizes=(width, width),
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        random_state=0,
    )
    settings = {"alpha": np.geomspace(1e-6, 1e-3, 10).tolist()}
    return search(GridSearchCV, model, settings, (*data[:2], None))


def loops_by_hand(epochs: int, data: Any) -> None:
    """As many fits by a loop of the width and batches of ``peers``: ten settings, five folds."""
    in_fold = [part[: len(part) * 4 // 5] for part in data]
    for _ in range(50):
        peers.loop(*in_fold, epochs)


def side_by_side(turns: int) -> None:
    """Whole searches."""
    data = peers.rows(5_000)
    rows = []
    for width, batch_size, epochs in ((64, 256, 20), (32, 64, 20)):
        model = estimator(width, batch_size, epochs)
        name = f"MLP {width}-{width}, batches of {batch_size}"
        for n_jobs in (1, 2):
            runs = {
                "own": search(WeightSearchCV, model, SETTINGS, data, n_jobs),
                "grid": search(GridSearchCV, model, SETTINGS, data, n_jobs),
            }
            if n_jobs == 1:
                runs["sklearn"] = of_scikit_learn(width, batch_size, epochs, data)
            if n_jobs == 1 and (width, batch_size) == (64, peers.BATCH_SIZE):
                runs["loops"] = partial(loops_by_hand, epochs, data)
            seconds = in_turns(runs, turns)
            for peer, of_whom in PEERS.items():
                if peer in seconds:
                    what = f"{name}, n_jobs={n_jobs}, against {of_whom}"
                    times = median(seconds["own"]), median(seconds[peer])
                    rows.append((what, *times, f"{ratio(seconds, peer, 'own'):.2f}"))
    model = WeightedTorchClassifier(device="cpu", random_state=0)
    kinds = {"own": WeightSearchCV, "grid": GridSearchCV}
    seconds = in_turns({k: search(kind, model, SETTINGS, data) for k, kind in kinds.items()}, turns)
    times = median(seconds["own"]), median(seconds["grid"])
    what = "the defaults, with bins and early stopping, n_jobs=1, against GridSearchCV"
    rows.append((what, *times, f"{ratio(seconds, 'grid', 'own'):.2f}"))
    print_table(("what", "together", "one by one", "times faster"), rows)


def over_sizes(turns: int) -> None:
    """Searches over networks and batches of many sizes: four settings, five folds."""
    data = peers.rows(5_000)
    settings = {"class_weight": WEIGHTS[:4]}
    rows = []
    for width in (16, 64, 128, 256, 512):
        for batch_size in (32, 256, 2048):
            epochs = {32: 1, 256: 2, 2048: 20 if width <= 128 else 6}[batch_size]
            model = estimator(width, batch_size, epochs)
            runs = {
                "own": search(WeightSearchCV, model, settings, data),
                "grid": search(GridSearchCV, model, settings, data),
            }
            seconds = in_turns(runs, turns)
            stacked = runs["own"]().stacked_.all()
            saved = f"{ratio(seconds, 'grid', 'own'):.2f}"
            rows.append((str(width), str(batch_size), saved, "yes" if stacked else "no"))
            print(*rows[-1], file=sys.stderr, flush=True)
    print_table(("width", "batch", "times faster", "stacked"), rows)


class Normalised(nn.Module):
    """A network with a normalisation, as a user might write it."""

    def __init__(self, n_features: int, n_outputs: int, norm: type[nn.Module] = nn.LayerNorm):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(n_features, 64), norm(64), nn.Linear(64, 64)
        self.output = nn.Linear(64, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Raw scores."""
        hidden = torch.relu(self.norm(self.first(X)))
        return self.output(torch.relu(self.last(hidden)))


def over_kinds(turns: int) -> None:
    """Searches of other kinds: other settings, networks and rows."""
    data, odd, few = peers.rows(5_000), peers.rows(4_999), peers.rows(300)
    plain = estimator(64, 256, 5)
    weights = {"class_weight": WEIGHTS[:4]}
    own = {"device": "cpu", "random_state": 0, "max_epochs": 5, "batch_size": 256}
    normalised = WeightedTorchClassifier(Normalised, **own)
    in_batches = WeightedTorchClassifier(Normalised, module__norm=nn.BatchNorm1d, **own)
    kinds = {
        "learning rates": (plain, {"lr": [1e-4, 3e-4, 1e-3, 3e-3]}, data),
        "one setting": (plain, {"class_weight": ["balanced"]}, data),
        "folds of two lengths": (plain, weights, odd),
        "a network of one's own": (normalised, weights, data),
        "batch norm": (in_batches, weights, data),
        "the defaults, 300 rows": (WeightedTorchClassifier(**own | UNSAID), weights, few),
    }
    rows = []
    for name, (model, settings, of_kind) in kinds.items():
        runs = {
            "own": search(WeightSearchCV, model, settings, of_kind),
            "grid": search(GridSearchCV, model, settings, of_kind),
        }
        seconds = in_turns(runs, turns)
        stacked = "yes" if runs["own"]().stacked_.all() else "no"
        rows.append((name, f"{ratio(seconds, 'grid', 'own'):.2f}", stacked))
        print(*rows[-1], file=sys.stderr, flush=True)
    print()
    print_table(("search", "times faster", "stacked"), rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--grid", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn's network says that it has not converged
    print(machine() + "\n", flush=True)
    if options.grid:
        over_sizes(options.turns)
        over_kinds(options.turns)
    else:
        side_by_side(options.turns)


if __name__ == "__main__":
    main()
