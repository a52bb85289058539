"""The plan of a fit: everything but the training of the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skweight.training import Training


@dataclass(frozen=True)
class FitData:
    """The arguments of ``fit``, as the user passed them."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None


def plan(estimator: Any, data: FitData) -> Training:
    """Learn from the rows everything but the network; what is left is to train it."""
    validation = data.X_val, data.y_val, data.sample_weight_val
    training: Training = estimator._plan(data.X, data.y, data.sample_weight, validation)
    return training


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a training as every fit does."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
