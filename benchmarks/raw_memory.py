"""Memory of a fit to a DataFrame: a million rows, 5,000 categories and ten or twenty numbers.

Each case runs in a process of its own: one epoch, after a fit to a few rows that loads all
libraries. The most that was held is Linux's own record (``VmHWM``), reset before the fit. Where
pyarrow is installed, it holds the strings of ``str``, and an ``object`` column holds Python's.

Run ``OMP_NUM_THREADS=1 python benchmarks/raw_memory.py``: a few minutes. ``--pipeline`` puts
the pipeline of ``raw_tables.py`` before the same network instead; ``--case str 10`` runs one case.
"""

import argparse
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from defaults import ours
from raw_tables import pipeline
from side_by_side import machine

N_ROWS, N_CATEGORIES = 1_000_000, 5_000
MB = 1e6
HEADER = (
    "| categories and numbers | frame | fit, beside the frame | process with all libraries "
    "| fit / frame | (frame + fit) / frame | seconds |\n" + "| --- " * 7 + "|"
)
CASES = [(kind, n_numbers) for n_numbers in (10, 20) for kind in ("category", "str", "object")]


def memory(what: str) -> float:
    """Bytes of this process: ``VmRSS`` are held now, ``VmHWM`` were held at most."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(re.search(rf"{what}:\s+(\d+)", status)[1])


def forget_peak() -> None:
    """Let the record of the most memory begin with what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def make_frame(kind: str, n_numbers: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose class depends on the category and on the first number.

    Every string is an object of its own, as in a table that was read; a ``category`` has each once.
    """
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=N_ROWS) for i in range(n_numbers)})
    codes = rng.integers(N_CATEGORIES, size=N_ROWS)
    names = [
        f"product {code:05d}" for code in (range(N_CATEGORIES) if kind == "category" else codes)
    ]
    if kind == "category":
        frame.insert(0, "product", pd.Categorical.from_codes(codes, names))
    else:
        frame.insert(0, "product", pd.Series(names, dtype=kind))
    effect = rng.normal(size=N_CATEGORIES)[codes] + frame["x0"].to_numpy()
    return frame, (effect + rng.normal(size=N_ROWS) > 0).astype(np.int64)


def measure(model: Any, kind: str, n_numbers: int) -> None:
    """Print what a fit takes beside the frame."""
    frame, y = make_frame(kind, n_numbers)
    model.fit(frame[:2000], y[:2000])
    size, with_frame = frame.memory_usage(deep=True).sum(), memory("VmRSS")
    forget_peak()
    start = time.perf_counter()
    model.fit(frame, y)
    seconds = time.perf_counter() - start
    peak = memory("VmHWM")
    beside = peak - with_frame
    cells = [f"{N_CATEGORIES:,} as {kind}, {n_numbers} numbers"]
    cells += [f"{part / MB:.0f} MB" for part in (size, beside, peak)]
    cells += [f"{part / size:.2f}" for part in (beside, size + beside)]
    print("| " + " | ".join([*cells, f"{seconds:.1f}"]) + " |", flush=True)


def main() -> None:
    """Run one case here, or each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", action="store_true")
    parser.add_argument("--case", nargs=2, metavar=("DTYPE", "NUMBERS"))
    options = parser.parse_args()
    if options.case is None:
        print(f"{machine()}; {N_ROWS:,} rows\n")
        print(HEADER, flush=True)
        for kind, n_numbers in CASES:
            case = ["--case", kind, str(n_numbers)]
            subprocess.run([sys.executable, *sys.argv, *case], check=True)
        return
    warnings.simplefilter("ignore")  # one epoch is not enough
    model = pipeline(True, 0) if options.pipeline else ours()(True, 0)
    (model[-1] if options.pipeline else model).set_params(max_epochs=1)
    measure(model, options.case[0], int(options.case[1]))


if __name__ == "__main__":
    main()
