"""Make files of fitted models that later versions must open; ``README.md`` says how.

They are in a folder named after the version; no older one is changed.
"""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

import skweight

CITIES = ["Ulm", "Bonn", None]


def rows(n, seed):
    """A table with numbers, a missing value, and a category."""
    rng = np.random.default_rng(seed)
    table = {
        "a": rng.normal(size=n).round(3).tolist(),
        "b": rng.normal(size=n).round(3).tolist(),
        "city": [CITIES[i] for i in rng.integers(3, size=n)],
    }
    table["b"][3] = None
    return table


def frame(table):
    """The table as a DataFrame."""
    made = pd.DataFrame(table)
    return made.astype({"a": float, "b": float, "city": "category"})


def fit_and_pickle(folder):
    """Fit, save as pickles, and keep what the models predict for other rows."""
    folder.mkdir()
    X, others = frame(rows(120, 0)), rows(8, 1)
    rng = np.random.default_rng(2)
    weight, noise = rng.uniform(0.5, 2, size=120), rng.normal(size=120)
    params = {"module__hidden_sizes": (4,), "module__n_bins": 2, "max_epochs": 5}
    params |= {"random_state": 0, "device": "cpu"}
    classifier = skweight.WeightedTorchClassifier(
        class_weight="balanced", correct_prior=True, n_members=2, **params
    ).fit(X, np.where(X["a"] + noise > 1, "yes", "no"), weight)
    regressor = skweight.WeightedTorchRegressor(
        criterion="quantile", criterion__quantile=[0.1, 0.5, 0.9], n_members=1, **params
    ).fit(X, X["a"] + noise, weight)
    for name, model in {"classifier": classifier, "regressor": regressor}.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=4))
    kept = {
        "rows": others,
        "classifier": classifier.predict_proba(frame(others)).tolist(),
        "regressor": regressor.predict(frame(others)).tolist(),
    }
    (folder / "predictions.json").write_text(json.dumps(kept) + "\n")


def save_with_skops(folder):
    """Save the pickled models with skops."""
    import skops.io

    for path in folder.glob("*.pkl"):
        model, file = pickle.loads(path.read_bytes()), path.with_suffix(".skops")
        skops.io.dump(model, file, compression=zipfile.ZIP_DEFLATED, compresslevel=9)


if __name__ == "__main__":
    of_version = Path(__file__).parent / skweight.__version__
    if of_version.exists():
        save_with_skops(of_version)
    else:
        fit_and_pickle(of_version)
