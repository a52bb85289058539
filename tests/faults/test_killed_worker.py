"""A worker that is killed, as by a system that runs out of memory, ends what it worked for."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILDREN = Path("/proc/self/task").exists()
# In a run a worker says who it is and waits to be killed. The next run, of which the same workers
# are used for the search, is left alone.
SCRIPT = """
import json, os, signal, sys, threading, time
import numpy as np
from pathlib import Path
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import nn
from skweight import (
    ReplicateEstimator, WeightedTorchClassifier, WeightSearchCV, bootstrap_weights
)

folder, parent = Path(sys.argv[1]), os.getpid()


def workers():
    lists = [f.read_text() for f in Path("/proc/self/task").glob("*/children")]
    commands = [Path(f"/proc/{child}/cmdline") for child in " ".join(lists).split()]
    return sum(f.exists() and b"popen_loky" in f.read_bytes() for f in commands)


class Waiting(nn.Linear):
    def forward(self, X):
        if os.getpid() != parent and (folder / "wait").exists():
            (folder / f"{os.getpid()}.worker").touch()
            time.sleep(60)
        return super().forward(X)


def kill_one():
    while not (found := [*folder.glob("*.worker")]):
        time.sleep(0.02)
    (folder / "wait").unlink()
    killed_at.append(time.perf_counter())
    os.kill(int(found[0].stem), signal.SIGKILL)
    for file in found:
        file.unlink()


X = np.random.default_rng(0).normal(size=(4000, 50))  # so large that joblib writes it to a file
y = (X[:, 0] > 0) * 1
weights = bootstrap_weights(None, None, np.ones(4000), n_replicates=2, random_state=0)
model = WeightedTorchClassifier(
    device="cpu", module=Waiting, max_epochs=1, random_state=0, n_members=1
)


def search():
    grid = {"class_weight_power": [0.5, 1.0]}
    WeightSearchCV(model, grid, cv=2, n_jobs=2, refit=False).fit(X, y)


def replicates():
    found = ReplicateEstimator(model, n_jobs=2).fit(X, y, replicate_weights=weights)
    return found.predict_proba(X[:4])


for run in (replicates, search):
    killed_at = []
    (folder / "wait").touch()
    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        run()
        error = None
    except TerminatedWorkerError as raised:
        error = str(raised)
    seconds = time.perf_counter() - killed_at[0]
    killer.join()
    deadline = time.perf_counter() + 20
    while workers() and time.perf_counter() < deadline:
        time.sleep(0.05)
    print(json.dumps({"error": error, "seconds": seconds, "left": workers()}))
    if run is replicates:
        print(json.dumps(run().tolist()))
"""


@pytest.mark.skipif(not CHILDREN, reason="looks for processes where Linux lists them")
def test_a_killed_worker_is_an_error_and_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "JOBLIB_TEMP_FOLDER": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    of_replicates, again, of_search = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(again) == 4 and again[0] != again[1]
    for report in (of_replicates, of_search):
        assert report["error"].startswith("A process of n_jobs=2 ended, most likely killed")
        assert "lower n_jobs. " in report["error"] and "SIGKILL" in report["error"]
        assert report["seconds"] < 20
        assert report["left"] == 0
    assert "Traceback" not in done.stderr
    # Neither files of joblib, which another process removes, nor of the script.
    deadline = time.monotonic() + 20
    while [*tmp_path.iterdir()] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [*tmp_path.iterdir()]
