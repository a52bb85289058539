"""Ctrl-C ends a search in processes and leaves none of them behind."""

import subprocess
import sys
from pathlib import Path

import pytest

CHILDREN = Path("/proc/self/task").exists()
SEARCH = """
import os, signal, sys, threading, time
import numpy as np
from pathlib import Path
from sklearn.model_selection import GridSearchCV, cross_val_score
from skweight import WeightedTorchClassifier, WeightSearchCV


def workers():
    lists = [f.read_text() for f in Path("/proc/self/task").glob("*/children")]
    children = " ".join(lists).split()
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    return sum(b"popen_loky" in command for command in commands)


def interrupt():
    while workers() < 2:
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(os.getpgid(0), signal.SIGINT)  # as a terminal does


signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(2000, 5))
threading.Thread(target=interrupt, daemon=True).start()
try:
    model = WeightedTorchClassifier(device="cpu", max_epochs=100_000)
    grid = {"class_weight": [None, "balanced"]}
    RUN
except KeyboardInterrupt:
    waited = 0
    while workers() and waited < 20:
        time.sleep(0.1)
        waited += 0.1
    print("interrupted,", workers(), "left")
"""


@pytest.mark.skipif(not CHILDREN, reason="looks for processes where Linux lists them")
@pytest.mark.parametrize(
    "run",
    [
        "WeightSearchCV(model, grid, n_jobs=2).fit(X, (X[:, 0] > 0) * 1)",
        "GridSearchCV(model, grid, n_jobs=2, error_score=0.0).fit(X, (X[:, 0] > 0) * 1)",
        "cross_val_score(model, X, (X[:, 0] > 0) * 1, n_jobs=2, error_score=0.0)",
    ],
)
def test_an_interrupt_ends_it_and_leaves_no_worker_behind(run):
    done = subprocess.run(
        [sys.executable, "-c", SEARCH.replace("RUN", run)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    assert done.stdout.strip() == "interrupted, 0 left", done.stderr
