"""What a prediction costs by the estimator, by its module, and by an ONNX runtime.

Run ``OMP_NUM_THREADS=1 python benchmarks/export.py`` with ``pip install "skweight[onnx]"``. It
takes about a minute, and prints a Markdown table. See docs/saving.md.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import make_classification

from skweight import WeightedTorchClassifier

SECONDS = 1.0


def median_seconds(functions):
    """The median time of each function; they take turns."""
    times = {name: [] for name in functions}
    for function in functions.values():
        function()
    end = time.perf_counter() + SECONDS * len(functions)
    while time.perf_counter() < end:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(of_name)) for name, of_name in times.items()}


def contenders(model, folder):
    """Functions that predict for X, by name, and the size of the file in bytes."""
    path = Path(folder) / "model.onnx"
    model.to_onnx(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    module = model.to_module()

    def by_module(X):
        with torch.inference_mode():
            return module(torch.from_numpy(X)).numpy()

    return {
        "predict_proba": model.predict_proba,
        "to_module": by_module,
        "onnxruntime": lambda X: session.run(None, {"X": X})[0],
    }, path.stat().st_size


def main():
    """Print a row for each number of members and of rows."""
    torch.set_num_threads(1)
    X, y = make_classification(5_000, 20, n_informative=8, random_state=0)
    print("| networks | rows | predict_proba | to_module | onnxruntime | file |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_members in (1, 5):
        model = WeightedTorchClassifier(n_members=n_members, max_epochs=5, random_state=0)
        model.fit(X, y)
        with tempfile.TemporaryDirectory() as folder:
            functions, size = contenders(model, folder)
            for n_rows in (1, 1_000):
                rows = X[:n_rows]
                expected = model.predict_proba(rows)
                assert all(np.abs(f(rows) - expected).max() < 1e-6 for f in functions.values())
                found = median_seconds({k: partial(f, rows) for k, f in functions.items()})
                cells = [f"{1000 * found[name]:.2f} ms" for name in functions]
                print(f"| {n_members} | {n_rows:,} | {' | '.join(cells)} | {size / 1000:.0f} kB |")


if __name__ == "__main__":
    main()
