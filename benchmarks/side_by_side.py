"""Times of several ways to do the same thing, measured in turns: A B C, A B C, and so on.

The speed of a machine varies while it is measured, so only times of the same turn are
compared: a ratio is the median of the ratios within turns.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch


def in_turns(ways: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    """Run each way once to warm up and then ``turns`` times; return the seconds of each run."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], one: str, other: str) -> float:
    """Return how many times as long one way takes as the other."""
    return statistics.median(a / b for a, b in zip(seconds[one], seconds[other]))


def median(seconds: list[float]) -> str:
    """Return the median as text with a unit."""
    value = statistics.median(seconds)
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def print_table(header: tuple[str, ...], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text as a Markdown table."""
    for row in (header, ("---",) * len(header), *rows):
        print("| " + " | ".join(row) + " |")


def machine() -> str:
    """Return the number of threads, the versions of libraries and the GPU, as text."""
    versions = ", ".join(
        f"{name} {sys.modules[name].__version__}"
        for name in ("torch", "sklearn", "skorch", "numpy")
        if name in sys.modules
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.get_num_threads()} thread(s), {versions}{gpu}"
