"""Time of merging equal rows into masses, per table, one thread.

Run ``OMP_NUM_THREADS=1 python benchmarks/merging.py``.
"""

import time

import numpy as np
from scipy import sparse

from skweight.weights import distinct_rows


def main() -> None:
    """Print the table: the best of three runs."""
    rng = np.random.default_rng(0)
    continuous = rng.normal(size=(1_000_000, 20)).astype(np.float32)
    tables = {
        "1,000,000 x 20, all rows differ": continuous,
        "1,000,000 x 20, every row twice": np.repeat(continuous[::2], 2, axis=0),
        "1,000,000 x 5, 32 kinds of rows": rng.integers(0, 2, (1_000_000, 5)).astype(np.float32),
        "60,000 x 784": rng.normal(size=(60_000, 784)).astype(np.float32),
        "100,000 x 20,000 CSR, 0.1 % stored": sparse.random(
            100_000, 20_000, 0.001, format="csr", dtype=np.float32, random_state=0
        ),
    }
    print("| X | distinct rows | seconds |\n| --- | --- | --- |")
    for name, X in tables.items():
        y = (np.arange(X.shape[0]) // 2 % 2).astype(np.int64)
        mass = rng.exponential(size=X.shape[0])
        times = []
        for _ in range(3):
            start = time.perf_counter()
            index, _ = distinct_rows(X, y, mass)
            times.append(time.perf_counter() - start)
        print(f"| {name} | {len(index):,} | {min(times):.2f} |")


if __name__ == "__main__":
    main()
