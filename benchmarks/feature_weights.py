"""What weights on features do: 5 useful and 45 noise features, 400 rows, test R2.

A learnable weight on each input feature helps when weight decay acts on the weights and on
the layer behind them; together they are a group lasso. A weight on the outputs of that
layer, or one on the inputs without decay, is absorbed.

Run ``OMP_NUM_THREADS=1 python benchmarks/feature_weights.py``: two minutes.
"""

import numpy as np
import torch
from torch import nn

from skweight import WeightedLinear, WeightedTorchRegressor
from skweight.modules import MLP

N_TRAIN, N_FEATURES, WIDTH = 400, 50, 64
SEEDS = range(5)


def make_data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal features, of which the first five matter, and a little noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_TRAIN + 4000, N_FEATURES))
    signal = 2 * np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + X[:, 3] + np.abs(X[:, 4])
    return X, signal + 0.3 * rng.normal(size=len(X))


def network(n_features: int, n_outputs: int, **weights: object) -> nn.Module:
    """One hidden layer behind a :class:`WeightedLinear`."""
    first = WeightedLinear(n_features, WIDTH, **weights)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(WIDTH, n_outputs))


def penalty(**decays: float) -> dict[str, object]:
    """L2 penalties, half the decay times the square, on the parameters of these names."""
    groups = [(name, {"weight_decay": decay}) for name, decay in decays.items()]
    return {"optimizer": torch.optim.Adam, "optimizer__param_groups": groups}


NO_PENALTY = penalty()
ON_LAYER = penalty(**{"0.weight": 0.01})
ON_OUTPUTS = penalty(**{"0.weight": 0.01, "0.output_weights": 0.03})
ON_INPUTS = penalty(**{"0.weight": 0.01, "0.feature_weights.weight": 0.03})
# One input a feature, which the importance is read from.
PLAIN = {"module__n_bins": 0, "module__clip": None}
ON_DEFAULT = penalty(**{"hidden.0.weight": 0.01, "feature_weight.weight": 0.03})


def fit(seed: int, **params: object) -> tuple[float, np.ndarray]:
    """Test R2, and for each feature its weight times the norm of what layer 1 has for it."""
    X, y = make_data(seed)
    model = WeightedTorchRegressor(
        **{"module": network} | params,
        max_epochs=300,
        batch_size=64,
        early_stopping=False,
        lr=3e-3,
        random_state=seed,
        device="cpu",
    ).fit(X[:N_TRAIN], y[:N_TRAIN])
    module = model.module_
    layer = module.hidden[0] if isinstance(module, MLP) else module[0]
    importance = layer.weight.detach().norm(dim=0).numpy()
    if hasattr(model, "feature_weights_"):
        importance = importance * np.abs(model.feature_weights_)
    return model.score(X[N_TRAIN:], y[N_TRAIN:]), importance


def measure(seed: int, **params: object) -> tuple[float, float]:
    """Test R2, and the mean weight of the useful features over that of the others."""
    score, importance = fit(seed, **params)
    return score, importance[:5].mean() / importance[5:].mean()


def main() -> None:
    """Print the table."""
    none, inputs, outputs = {}, {"module__feature_weights": 1.0}, {"module__output_weights": 1.0}
    guess = {"module__feature_weights": [3.0] * 5 + [1.0] * 45, "module__learnable": False}
    default = {"module": None, **PLAIN}
    rows = [
        ("no feature weights", none, NO_PENALTY),
        ("no feature weights, penalty 0.01 on layer 1", none, ON_LAYER),
        ("learned on the outputs of layer 1, penalties 0.03, 0.01", outputs, ON_OUTPUTS),
        ("learned on the inputs, no penalty", inputs, NO_PENALTY),
        ("learned on the inputs, penalties 0.03, 0.01", inputs, ON_INPUTS),
        ("fixed at 3 for the useful, no penalty", guess, NO_PENALTY),
        ("fixed at 3 for the useful, penalty 0.01 on layer 1", guess, ON_LAYER),
        ("default network without bins", default, NO_PENALTY),
        (
            "the same, module__feature_weights=1, penalties 0.03, 0.01",
            default | inputs,
            ON_DEFAULT,
        ),
    ]
    print(f"| feature weights | test R2 | useful : noise |\n{'| --- ' * 3}|")
    for name, weights, penalties in rows:
        found = np.array([measure(seed, **weights, **penalties) for seed in SEEDS])
        print(f"| {name} | {found[:, 0].mean():.2f} | {found[:, 1].mean():.1f} |", flush=True)


if __name__ == "__main__":
    main()
