"""What training is told, apart from the data, the network and the loss.

What is done with it is decided in ``training``. Only torch here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Task:
    """What the network's output is for.

    ``widths`` are the numbers of output columns that the problem allows. ``link`` makes
    probabilities, or predictions in the units of training, of raw output: what callbacks see.
    ``n_classes`` is None for a regression, and ``labels`` says that each column is a label.
    """

    widths: tuple[int, ...]
    link: Callable[[Tensor], Tensor]
    n_classes: int | None = None
    labels: bool = False


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, apart from the data, the network and the loss.

    ``batch_size=-1`` is all rows at once, and what "auto" is for ``batch_size``, ``max_epochs``
    and ``ema_decay`` is decided in ``budget``. ``patience`` is the number of epochs without an
    improvement of the validation loss by more than ``tol`` that ends training. ``decays`` says that
    nobody has chosen how weights decay.
    """

    optimizer: Callable[..., torch.optim.Optimizer]
    optimizer_params: Mapping[str, Any]
    lr: float
    batch_size: int | str
    max_epochs: int | str
    patience: int
    tol: float
    seed: int
    callbacks: list[Any]
    verbose: int
    compile: bool
    sampling: bool
    ema_decay: float | str
    decays: bool
