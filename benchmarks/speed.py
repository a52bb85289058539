"""Time of ``fit`` and ``predict_proba`` beside those of peers.

Run ``OMP_NUM_THREADS=1 python benchmarks/speed.py``: about two minutes. On a GPU,
``python benchmarks/speed.py --device cuda``.
"""

import argparse
import statistics
import subprocess
import sys
import warnings
from functools import partial

import peers
import torch
from side_by_side import in_turns, machine, median, print_table, ratio
from sklearn.exceptions import ConvergenceWarning

from skweight import WeightedTorchClassifier
from skweight.data import rows_at_once

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


def predictions(n_rows: int, device: str) -> dict:
    """``predict_proba``, and the forward pass of its network over tensors in memory."""
    X, y, weight = peers.rows(n_rows)
    model = WeightedTorchClassifier(max_epochs=1, device=device, random_state=0, **peers.PLAIN)
    model.fit(X[:LARGE], y[:LARGE], weight[:LARGE])
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
    table += compare(
        "`{own}` of 1,000,000 x 20 against the {other}", predictions(1_000_000, device), turns
    )
    print(f"{machine()}; medians of {turns} turns or more, of the ratios within turns too\n")
    print_table(("what", "skweight", "peer", "skweight / peer"), table)
    print(f"\n`import skweight` takes {import_time(turns):.2f} s beyond torch and scikit-learn")


if __name__ == "__main__":
    main()
