"""Time of ``fit`` and ``predict_proba`` beside those of peers.

Run ``OMP_NUM_THREADS=1 python benchmarks/speed.py``: about two minutes. On a GPU,
``python benchmarks/speed.py --device cuda``.
"""

import argparse
import json
import statistics
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import peers
import torch
from side_by_side import in_turns, machine, median, print_table, ratio
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from skweight import WeightedTorchClassifier
from skweight.data import rows_at_once
from skweight.training import NotDirect

EPOCHS = 20
LARGE, SMALL = 20_000, 150


def fits(n_rows: int, epochs: int, device: str) -> dict:
    """The ways to fit the same network to the same rows."""
    data = peers.rows(n_rows)
    model = WeightedTorchClassifier(max_epochs=epochs, device=device, random_state=0, **peers.PLAIN)
    ways = {
        "fit": lambda: model.fit(*data),
        "loop": lambda: peers.loop(*data, epochs, device),
        "skorch with its DataLoader": lambda: peers.skorch(*data, epochs, device),
    }
    if device == "cpu":
        ways["scikit-learn"] = lambda: peers.scikit_learn(*data, epochs)
    return ways


def compiled_fits(device: str) -> dict:
    """The same with a compiled training step; the time of compiling is left out."""
    ways = fits(LARGE, EPOCHS, device)
    model = WeightedTorchClassifier(
        max_epochs=EPOCHS, device=device, random_state=0, compile=True, **peers.PLAIN
    )
    data = peers.rows(LARGE)
    return {
        "fit with compile=True": lambda: model.fit(*data),
        "fit": ways["fit"],
        "loop": ways["loop"],
    }


class OwnNetwork(nn.Module):
    """The network of the loop with a forward that skweight does not know."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_features, 64), nn.Linear(64, 64)
        self.output = nn.Linear(64, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Raw scores."""
        return self.output(self.second(self.first(X).relu()).relu())


def own_network(device: str) -> dict:
    """The fit of a module of one's own, and the loop."""
    data = peers.rows(LARGE)
    settings = {name: peers.PLAIN[name] for name in peers.PLAIN if not name.startswith("module")}
    model = WeightedTorchClassifier(
        OwnNetwork, max_epochs=EPOCHS, device=device, random_state=0, **settings
    )
    return {
        "fit of an own module": lambda: model.fit(*data),
        "loop": lambda: peers.loop(*data, EPOCHS, device),
    }


@contextmanager
def by_autograd() -> Iterator[None]:
    """Train by autograd and by the optimizers of torch, as fits do that need them."""

    def refuse(*args: Any) -> None:
        raise NotDirect("it is compared with")

    with (
        patch("skweight.training.net.direct_step", refuse),
        patch("skweight.training.net.fused_adam", lambda *args: None),
        patch("skweight.training.net.with_kernel", lambda optimizer: optimizer),
    ):
        yield


def default_fits(n_rows: int, n_features: int, device: str) -> dict:
    """The defaults but for members, and the same by autograd."""
    data = peers.rows(n_rows, n_features)
    model = WeightedTorchClassifier(device=device, random_state=0, n_members=1)

    def fit_by_autograd() -> None:
        with by_autograd():
            model.fit(*data)

    return {"default fit": lambda: model.fit(*data), "itself by autograd": fit_by_autograd}


FIRST_FIT = """
import json, time
import numpy as np
from skweight import WeightedTorchClassifier
X = np.random.default_rng(0).normal(size=(300, 5))
seconds = []
for _ in range(2):
    start = time.perf_counter()
    WeightedTorchClassifier(device="cpu", random_state=0).fit(X, X[:, 0] > 0)
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds))
"""


def first_fit(turns: int) -> float:
    """Seconds of the first fit of a process, 300 x 5, beyond those of the second."""
    found = []
    for _ in range(turns):
        command = [sys.executable, "-c", FIRST_FIT]
        process = subprocess.run(command, check=True, capture_output=True, text=True)
        first, second = json.loads(process.stdout)
        found.append(first - second)
    return statistics.median(found)


def predictions(n_rows: int, device: str) -> dict:
    """``predict_proba``, and the forward pass of its network over tensors in memory."""
    X, _, _ = peers.rows(n_rows)
    model = WeightedTorchClassifier(max_epochs=1, device=device, random_state=0, **peers.PLAIN)
    model.fit(*peers.rows(LARGE))
    inputs = torch.from_numpy(X).to(device)
    at_once = rows_at_once(inputs, inputs.device)

    def forward() -> torch.Tensor:
        scores = torch.empty(n_rows, 1)
        with torch.inference_mode():
            for start in range(0, n_rows, at_once):
                scores[start : start + at_once] = model.module_(inputs[start : start + at_once])
        return scores

    return {"predict_proba": lambda: model.predict_proba(X), "forward pass": forward}


def import_time(turns: int) -> float:
    """Seconds to import skweight beyond those of torch and scikit-learn."""
    needed = "import torch, sklearn"
    commands = {"with": f"{needed}, skweight", "without": needed}
    seconds = in_turns(
        {
            name: partial(subprocess.run, [sys.executable, "-c", command], check=True)
            for name, command in commands.items()
        },
        turns,
    )
    return statistics.median(a - b for a, b in zip(seconds["with"], seconds["without"]))


def compare(what: str, ways: dict, turns: int) -> list[tuple[str, ...]]:
    """One row of the table for each peer of the first way."""
    seconds = in_turns(ways, turns)
    own, *others = seconds
    return [
        (what.format(own=own, other=name), median(seconds[own]), median(times), f"{share:.2f}")
        for name, times in seconds.items()
        if name in others
        for share in [ratio(seconds, own, name)]
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given
    device, turns = options.device, options.turns
    table = compare(
        f"`{{own}}` of {LARGE:,} x 20, {EPOCHS} epochs, against {{other}}",
        fits(LARGE, EPOCHS, device),
        turns,
    )
    table += compare(
        f"`{{own}}` of {LARGE:,} x 20, {EPOCHS} epochs, against {{other}}",
        compiled_fits(device),
        turns,
    )
    table += compare(
        f"`{{own}}` of {SMALL} x 20, 10 epochs, against {{other}}",
        fits(SMALL, 10, device),
        8 * turns,
    )
    table += compare(f"`{{own}}`, {LARGE:,} x 20, against {{other}}", own_network(device), turns)
    for n_rows, n_features in ((LARGE, 20), (500, 10)):
        table += compare(
            f"`{{own}}` of {n_rows:,} x {n_features} against {{other}}",
            default_fits(n_rows, n_features, device),
            turns if n_rows == LARGE else 4 * turns,
        )
    for n_rows in (500, 1_000_000):
        table += compare(
            f"`{{own}}` of {n_rows:,} x 20 against the {{other}}",
            predictions(n_rows, device),
            turns if n_rows > LARGE else 100 * turns,
        )
    print(f"{machine()}; medians of {turns} turns or more, of the ratios within turns too\n")
    print_table(("what", "skweight", "peer", "skweight / peer"), table)
    print(f"\n`import skweight` takes {import_time(turns):.2f} s beyond torch and scikit-learn")
    print(f"\nThe first fit of a process takes {first_fit(turns):.2f} s longer than the second")


if __name__ == "__main__":
    main()
