"""Robust losses under outliers in y: the error on the clean signal, for outliers of many sizes.

Of 2,000 rows, 1 % have a target that is wrong by plus or minus the size in the first column, where
the signal has a standard deviation of about 1.4 and the noise one of 0.3. Cells are the median
absolute error on the signal of 2,000 other rows, and of that the median over 5 seeds. The last two
columns are scikit-learn's.

Run ``OMP_NUM_THREADS=1 python benchmarks/outliers.py``: two minutes.
"""

from collections.abc import Callable

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import HuberRegressor
from torch import nn

from skweight import WeightedTorchRegressor

N_ROWS, SHARE, SEEDS = 2000, 0.01, range(5)
SIZES = (0.0, 1e2, 1e3, 1e4, 1e6)
MODELS: dict[str, Callable[[int], object]] = {
    "huber": lambda seed: WeightedTorchRegressor(criterion="huber", random_state=seed),
    "absolute_error": lambda seed: WeightedTorchRegressor(
        criterion="absolute_error", random_state=seed
    ),
    "quantile": lambda seed: WeightedTorchRegressor(criterion="quantile", random_state=seed),
    "nn.HuberLoss": lambda seed: WeightedTorchRegressor(criterion=nn.HuberLoss, random_state=seed),
    "callable": lambda seed: WeightedTorchRegressor(
        criterion=lambda output, target: (output - target).abs(), random_state=seed
    ),
    "squared_error": lambda seed: WeightedTorchRegressor(random_state=seed),
    "median of y": lambda seed: DummyRegressor(strategy="median"),
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(
        loss="absolute_error", random_state=seed
    ),
    "HuberRegressor": lambda seed: HuberRegressor(max_iter=1000),
}


def rows_and_signal(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X of five columns, and a smooth signal of three of them."""
    X = np.random.default_rng(seed).normal(size=(2 * N_ROWS, 5))
    return X, X[:, 0] + np.sin(2 * X[:, 1]) + 0.5 * X[:, 2]


def median_error(make: Callable[[int], object], size: float, seed: int) -> float:
    """Median absolute error on the signal of rows that the model has not seen."""
    X, signal = rows_and_signal(seed)
    rng = np.random.default_rng(seed + 1000)
    y = signal + 0.3 * rng.normal(size=len(X))
    wrong = rng.choice(N_ROWS, round(SHARE * N_ROWS), replace=False)
    y[wrong] += size * rng.choice([-1, 1], size=len(wrong))
    model = make(seed).fit(X[:N_ROWS], y[:N_ROWS])
    return float(np.median(np.abs(model.predict(X[N_ROWS:]) - signal[N_ROWS:])))


def main() -> None:
    """Print the table."""
    print("| size | " + " | ".join(MODELS) + " |")
    print("| --- |" + " --- |" * len(MODELS))
    for size in SIZES:
        errors = [
            np.median([median_error(make, size, seed) for seed in SEEDS])
            for make in MODELS.values()
        ]
        print(f"| {size:,.0f} | " + " | ".join(f"{error:.3g}" for error in errors) + " |")


if __name__ == "__main__":
    main()
