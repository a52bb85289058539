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
    os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(2000, 5))
threading.Thread(target=interrupt, daemon=True).start()
try:
    WeightSearchCV(
        WeightedTorchClassifier(device="cpu", max_epochs=100_000),
        {"class_weight": [None, "balanced"]},
        n_jobs=2,
    ).fit(X, (X[:, 0] > 0) * 1)
except KeyboardInterrupt:
    waited = 0
    while workers() and waited < 20:
        time.sleep(0.1)
        waited += 0.1
    print("interrupted,", workers(), "left")
"""


@pytest.mark.skipif(not CHILDREN, reason="looks for processes where Linux lists them")
def test_an_interrupt_leaves_no_worker_behind():
    done = subprocess.run(
        [sys.executable, "-c", SEARCH], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "interrupted, 0 left", done.stderr
