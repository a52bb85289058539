"""What a training needs: rows, network, loss and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skweight.data import RowDataset
from skweight.losses import RowLoss
from skweight.training.net import WeightedNet


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


@dataclass(frozen=True)
class Training:
    """All that a training needs, so that it can be made alone or beside others.

    Parameters
    ----------
    make_module : callable
        Called without arguments, under the training's own random state.
    criterion : RowLoss
    rows : RowDataset
        Training rows, ``row_weight`` of mean 1, but for the later rows of a stream.
    valid_rows : RowDataset or None
        Rows for early stopping, ``row_weight`` of mean 1 among themselves.
    options : TrainingOptions
    task : Task
    adapt : bool, default=True
        Whether to call the module's ``adapt`` and ``adapt_output``, if it has them.
    stream : bool, default=False
        Whether more rows are to come.
    previous : WeightedNet, default=None
        The net that the stream goes on from: its optimizer's state and history are kept on.
    """

    make_module: Callable[[], nn.Module]
    criterion: RowLoss
    rows: RowDataset
    valid_rows: RowDataset | None
    options: TrainingOptions
    task: Task
    adapt: bool = True
    stream: bool = False
    previous: WeightedNet | None = None
