"""The plan of a training: rows, network, loss and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skweight.data import RowDataset
from skweight.losses import RowLoss
from skweight.training.net import WeightedNet
from skweight.training.observers import Watch


@dataclass(frozen=True)
class Output:
    """How the output of the network is read.

    ``widths`` are the numbers of output columns that the problem allows. ``link`` turns raw output
    into probabilities, or into predictions in the units of training: callbacks see these.
    ``n_classes`` is None for a regression, and ``multilabel`` says that each column is a label.
    ``neutral`` are the raw scores with which predictions are those of the user's offset alone: one
    for all scores, or one for each target; None if there is no offset.
    """

    widths: tuple[int, ...]
    link: Callable[[Tensor], Tensor]
    n_classes: int | None = None
    multilabel: bool = False
    neutral: Tensor | None = None


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, apart from the data, the network and the loss.

    The fields are parameters of the estimators, as the user gave them, and the ``seed`` of all
    random draws of the training. ``optimizer_params`` are ``optimizer__*``. ``max_epochs`` is 1
    in ``partial_fit``.
    """

    optimizer: Callable[..., torch.optim.Optimizer] | None
    optimizer_params: Mapping[str, Any]
    lr: float
    batch_size: int | str
    max_epochs: int | str
    n_iter_no_change: int
    tol: float
    ema_decay: float | str
    weighting: str
    callbacks: Sequence[Any] | None
    compile: bool
    verbose: int
    seed: int

    @property
    def optimizer_class(self) -> Callable[..., torch.optim.Optimizer]:
        """The class of the optimizer: AdamW if the user gave none."""
        return optimizer_class(self.optimizer)


def optimizer_class(optimizer: Any) -> Callable[..., torch.optim.Optimizer]:
    """The class of the optimizer: AdamW if the user gave none."""
    return torch.optim.AdamW if optimizer is None else optimizer  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Training:
    """All that a training needs, so that it can run by itself or in a stack.

    Parameters
    ----------
    make_module : callable
        Called without arguments, with torch's random state seeded for this training.
    criterion : RowLoss
    rows : RowDataset
        Training rows, with ``row_weight`` of mean 1 except in later calls of ``partial_fit``.
    valid_rows : RowDataset or None
        Rows for early stopping, with ``row_weight`` of mean 1.
    options : TrainingOptions
    output : Output
    adapt : bool, default=True
        Whether to call the module's ``adapt`` and ``adapt_output``, if it has them.
    adapt_rows : RowDataset, default=None
        The rows that these are given; None is ``rows``. Networks that are to begin alike, whatever
        the weights of their rows, are given the same.
    is_partial : bool, default=False
        Whether this is a call of ``partial_fit``, so that more rows may follow.
    previous : WeightedNet, default=None
        The net of the last call of ``partial_fit``, whose optimizer state and history this training
        continues.
    cardinalities : tuple of int, default=()
        Number of codes of each category column of X, and 0 for a number column; empty if no column
        is a category.
    column_names : tuple, default=()
        Names or positions of the columns of X, for messages.
    holds_integers : bool, default=False
        Whether X may be given to the module as integers, if that fails on floats: the user passed
        integers, or the network that is trained further takes them.
    watches : tuple of Watch, default=()
        Who is told of each epoch. A copy in another process has none.
    """

    make_module: Callable[[], nn.Module]
    criterion: RowLoss
    rows: RowDataset
    valid_rows: RowDataset | None
    options: TrainingOptions
    output: Output
    adapt: bool = True
    adapt_rows: RowDataset | None = None
    is_partial: bool = False
    previous: WeightedNet | None = None
    cardinalities: tuple[int, ...] = ()
    column_names: tuple[Any, ...] = ()
    holds_integers: bool = False
    watches: tuple[Watch, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Leave observers in this process: bars and lines of another one are not seen."""
        return {**self.__dict__, "watches": ()}
