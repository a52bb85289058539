"""What many rows cost: time per row, memory, data on disk, text-like sparse data, merging.

Each case runs in a process of its own. Memory is what the process itself holds beyond what it held
before the fit (``RssAnon`` of Linux, looked at every 2 ms): pages of files do not count.

Run ``OMP_NUM_THREADS=1 python benchmarks/scale.py``: about twelve minutes; ``python
benchmarks/scale.py memory_dense`` runs one case.
"""

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peers
from scipy import sparse
from scipy.stats import norm
from side_by_side import machine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from skweight import WeightedTorchClassifier, WeightSearchCV
from skweight.weights import distinct_rows

N_ROWS = 5_000_000
MB = 1e6


def estimator(epochs: int = 1) -> WeightedTorchClassifier:
    """The default estimator."""
    return WeightedTorchClassifier(max_epochs=epochs, device="cpu", random_state=0, **peers.PLAIN)


def seconds(function: Callable[[], Any]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def held() -> float:
    """Bytes of memory that the process holds, without pages of files."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(re.search(r"RssAnon:\s+(\d+)", status)[1])


def peak(function: Callable[[], Any]) -> float:
    """The most bytes of memory held during a call, beyond those held before it."""
    before, most, over = held(), [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            most[0] = max(most[0], held())

    watch = threading.Thread(target=look)
    watch.start()
    try:
        function()
    finally:
        over.set()
        watch.join()
    return most[0] - before


def warm_up() -> None:
    """Let libraries load what they load at the first fit."""
    estimator().fit(*peers.rows(1000))


def cost_per_row() -> None:
    """Time of one epoch, and of a whole fit, per million rows."""
    warm_up()
    for n_rows in (10_000, 100_000, 1_000_000, N_ROWS):
        data, turns = peers.rows(n_rows), max(2, 1_000_000 // n_rows)
        one, three = (
            min(seconds(partial(estimator(epochs).fit, *data)) for _ in range(turns))
            for epochs in (1, 3)
        )
        epoch = (three - one) / 2
        per_million = 1e6 / n_rows
        print(
            f"{n_rows:>9,} x 20: {epoch * per_million:.2f} s per million rows and epoch, "
            f"{(one - epoch) * per_million:.2f} s per million rows before the first epoch"
        )


def merging_share() -> None:
    """Share of a fit of 20 epochs that merging and the canonical order take."""
    warm_up()
    X, y, weight = peers.rows(1_000_000)
    shares = []
    for _ in range(3):
        merging = seconds(lambda: distinct_rows(X, y, weight))
        shares.append(merging / seconds(lambda: estimator(20).fit(X, y, weight)))
    print(f"1,000,000 x 20: merging takes {np.median(shares):.1%} of a fit of 20 epochs")


def memory_dense() -> None:
    """Memory of a fit to many rows in memory."""
    warm_up()
    X, y, weight = peers.rows(N_ROWS)
    for early_stopping in (False, True):
        model = estimator().set_params(early_stopping=early_stopping)
        extra = peak(lambda model=model: model.fit(X, y, weight))
        print(
            f"{N_ROWS:,} x 20 float32{', early stopping' * early_stopping}: {extra / MB:.0f} MB, "
            f"{extra / X.nbytes:.2f} times X"
        )


def memory_mapped() -> None:
    """Memory of a fit to many rows on disk, in float64."""
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        shape = (N_ROWS, 20)
        X = np.lib.format.open_memmap(f"{folder}/X.npy", "w+", np.float64, shape)
        rng = np.random.default_rng(0)
        for start in range(0, N_ROWS, 100_000):
            block = X[start : start + 100_000]
            block[:] = rng.standard_normal(block.shape)
        y = (X[:, 0] > 0).astype(np.int64)
        X = np.load(f"{folder}/X.npy", mmap_mode="r")
        extra = peak(lambda: estimator().fit(X, y))
        print(
            f"{N_ROWS:,} x 20 float64 on disk: {extra / MB:.0f} MB, {extra / X.nbytes:.2f} times X"
        )


def memory_sparse() -> None:
    """Memory and time of a fit to sparse rows, as bags of words are."""
    warm_up()
    rng = np.random.default_rng(0)
    n_rows, n_words, length = 100_000, 20_000, 100
    words = np.minimum(rng.zipf(1.3, n_rows * length) - 1, n_words - 1)
    counts = np.ones(n_rows * length, dtype=np.float32)
    X = sparse.csr_matrix((counts, words, np.arange(n_rows + 1) * length), (n_rows, n_words))
    X.sum_duplicates()
    y = (X[:, 5].toarray()[:, 0] > X[:, 6].toarray()[:, 0]).astype(np.int64)
    with_X, took = held(), []
    extra = peak(lambda: took.append(seconds(lambda: estimator().fit(X, y))))
    print(
        f"{n_rows:,} x {n_words:,} CSR, {X.nnz / n_rows:.0f} words a row: {extra / MB:.0f} MB, "
        f"{(with_X + extra) / MB:.0f} MB with X and all libraries, {took[0]:.0f} s an epoch"
    )


def memory_search(stack_size: int | None) -> None:
    """Memory of a search over weight settings, by the number of models in a stack."""
    warm_up()
    X, y, weight = peers.rows(100_000)
    settings = {
        "class_weight": [None, "balanced", {0: 1, 1: 2}, {0: 1, 1: 4}],
        "sample_weight_power": [0.5, 1.0],
    }
    model = estimator().set_params(early_stopping=True)
    search = GridSearchCV(model, settings, refit=False)
    if stack_size is not None:
        search = WeightSearchCV(model, settings, refit=False, stack_size=stack_size)
    extra = peak(lambda: search.fit(X, y, sample_weight=weight))
    how = "GridSearchCV" if stack_size is None else f"stacks of {stack_size}"
    print(f"100,000 x 20, 8 settings, 5 folds, {how}: {extra / MB:.0f} MB")


def defaults() -> None:
    """The defaults on few rows and on many, and how close they come to the best log-loss."""
    warm_up()
    X, _, _ = peers.rows(2_100_000)
    probability = norm.cdf(X[:, 0] + X[:, 1] * X[:, 2])
    y = (np.random.default_rng(1).random(len(X)) < probability).astype(np.int64)
    new = slice(2_000_000, None)
    best = log_loss(y[new], probability[new])
    for n_rows in (200, 20_000, 2_000_000):
        model = WeightedTorchClassifier(device="cpu", random_state=0)
        took = seconds(partial(model.fit, X[:n_rows], y[:n_rows]))
        loss = log_loss(y[new], model.predict_proba(X[new]))
        print(
            f"{n_rows:,} x 20, the defaults: {took:.1f} s, {model.n_iter_} epochs, "
            f"log-loss {loss:.3f} where {best:.3f} is the least"
        )


CASES = {
    case.__name__: case
    for case in (cost_per_row, merging_share, memory_dense, memory_mapped, memory_sparse, defaults)
} | {f"memory_search_{size}": partial(memory_search, size) for size in (None, 4, 8, 40)}


def main() -> None:
    """Run one case here, or each in a process of its own."""
    if len(sys.argv) > 1:
        if sys.argv[1] not in CASES:
            sys.exit(f"expected one of {', '.join(CASES)}, got {sys.argv[1]}")
        CASES[sys.argv[1]]()
        return
    print(machine() + "\n", flush=True)
    for name in CASES:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
