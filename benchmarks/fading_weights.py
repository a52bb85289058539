"""Where weights stop working: a network that fits its training data perfectly.

400 noisy rows, class 1 weighted by 16, a 256-256 network. A class that weighs 16 times as
much should be predicted for most rows; the table shows the share of 4,000 new rows that
are, and the training accuracy. After Byrd & Lipton, What is the effect of importance
weighting in deep learning?, ICML 2019.

Run ``python benchmarks/fading_weights.py``: about 40 seconds.
"""

import numpy as np
import torch
from peers import PLAIN
from sklearn.datasets import make_classification

from skweight import WeightedTorchClassifier

N_TRAIN = 400
SEEDS = range(3)


def make_data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two classes of the same size, a fifth of them with a label drawn at random."""
    return make_classification(
        N_TRAIN + 4000, 20, n_informative=6, flip_y=0.3, class_sep=0.7, random_state=seed
    )


def measure(seed: int, **params: object) -> tuple[float, float, int]:
    """Share of new rows called 1, training accuracy, epochs."""
    X, y = make_data(seed)
    model = WeightedTorchClassifier(
        module__hidden_sizes=(256, 256),
        class_weight={1: 16},
        random_state=seed,
        device="cpu",
        **PLAIN | {"batch_size": 64} | params,
    ).fit(X[:N_TRAIN], y[:N_TRAIN])
    called = model.predict(X[N_TRAIN:]).mean()
    return called, model.score(X[:N_TRAIN], y[:N_TRAIN]), model.n_iter_


def main() -> None:
    """Print the table."""
    decay = {"optimizer": torch.optim.Adam, "optimizer__weight_decay": 1e-2}
    rows: list[tuple[str, dict[str, object]]] = [
        ("10 epochs", {"max_epochs": 10}),
        ("50 epochs", {"max_epochs": 50}),
        ("300 epochs", {"max_epochs": 300}),
        ("300 epochs, L2 penalty 0.01", {"max_epochs": 300, **decay}),
        ("300 epochs, early stopping", {"max_epochs": 300, "early_stopping": True}),
    ]
    print(f"| training | called 1 | training accuracy | epochs |\n{'| --- ' * 4}|")
    for name, params in rows:
        called, accuracy, epochs = np.mean([measure(seed, **params) for seed in SEEDS], axis=0)
        print(f"| {name} | {called:.2f} | {accuracy:.2f} | {epochs:.0f} |")


if __name__ == "__main__":
    main()
