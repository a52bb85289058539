"""The training of one network from its plan."""

from __future__ import annotations

import math
import warnings
from contextlib import nullcontext
from typing import Any

import torch
from sklearn.base import clone
from skorch.callbacks import EpochScoring
from skorch.helper import predefined_split
from skorch.history import History
from torch import nn

from skweight.data import RowDataset, TensorBatches, rows_at_once
from skweight.training.defaults import resolve_batch_size, resolve_ema_decay, resolve_epochs
from skweight.training.isolation import isolated_torch
from skweight.training.net import StoppedByCallback, WeightedClassifierNet, WeightedNet
from skweight.training.optimizers import _check_param_groups, _optimizer_params
from skweight.training.plan import Training
from skweight.training.prepare import prepare
from skweight.training.resume import restore_optimizer, restore_schedules, training_state
from skweight.training.stopping import EarlyStopping, FiniteLoss, _check_finite


def train(training: Training) -> WeightedNet:
    """Make a network and train it on weighted rows.

    Returns
    -------
    WeightedNet
        Trained and in evaluation mode; with validation rows, at its best epoch.
    """
    with isolated_torch(training.options.seed, training.rows.device):
        net = make_net(training)
        _run(net, training.rows, training.previous)
        net.resume_state = training_state(net) if training.is_partial else None
    return finish(net)


def make_net(training: Training) -> WeightedNet:
    """Make a network that has met its data, and the net and optimizer that will train it.

    To be called with torch's state isolated.
    """
    rows, criterion = training.rows, training.criterion
    # Initial values do not depend on the default device.
    elsewhere = torch.get_default_device().type != "cpu"
    with torch.device("cpu") if elsewhere else nullcontext():
        module = training.make_module()
    module = prepare(
        module.to(rows.device), criterion, rows, training.output.widths, training.adapt
    )
    _check_param_groups(module, training.options.optimizer_params.get("param_groups", ()))
    net = _wrap(module, training)
    net.initialize()
    if training.previous is not None:
        net.history_ = History(training.previous.history)
        restore_optimizer(net, training.previous)
    return net


def finish(net: WeightedNet) -> WeightedNet:
    """Check a trained net, and let go of what only training needed."""
    _check_finite(net)
    net.module_.eval()
    net.train_split = None  # it holds the validation rows
    return net


def _wrap(module: nn.Module, training: Training) -> WeightedNet:
    criterion, options, output = training.criterion, training.options, training.output
    rows, valid_rows = training.rows, training.valid_rows
    batch_size = resolve_batch_size(options.batch_size, len(rows))
    n_batches = math.ceil(len(rows) / batch_size)
    callbacks: list[Any] = [("finite_loss", FiniteLoss())]
    if valid_rows is not None:
        callbacks.append(("early_stopping", EarlyStopping(options.n_iter_no_change, options.tol)))
    settings: dict[str, Any] = {
        "optimizer": options.optimizer_class,
        "lr": options.lr,
        "max_epochs": resolve_epochs(options.max_epochs, n_batches, valid_rows is not None),
        "batch_size": batch_size,
        "iterator_train": TensorBatches,
        "iterator_train__shuffle": True,
        "iterator_train__sampling": options.weighting == "sampling",
        "iterator_train__seed": options.seed,
        "iterator_valid": TensorBatches,
        "iterator_valid__batch_size": rows_at_once(rows.X, rows.device),
        "train_split": None if valid_rows is None else predefined_split(valid_rows),
        "callbacks": callbacks + _check_callbacks(clone([*(options.callbacks or [])], safe=False)),
        "verbose": int(options.verbose),
        "device": str(rows.device),
        "compile": options.compile,
        **{f"optimizer__{name}": value for name, value in _optimizer_params(options, module)},
    }
    settings["predict_nonlinearity"] = output.link
    if output.n_classes is None:
        net = WeightedNet(module, criterion, **settings)
    else:
        net = WeightedClassifierNet(
            module, criterion, n_classes=output.n_classes, multilabel=output.multilabel, **settings
        )
    net.ema_decay = resolve_ema_decay(options.ema_decay, valid_rows is not None)
    return net


def _check_callbacks(callbacks: list[Any]) -> list[Any]:
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) else item
        if isinstance(callback, EpochScoring) and not callback.use_caching:
            raise ValueError(
                "callbacks: EpochScoring must have use_caching=True, got False: without it skorch "
                "looks for targets in a dataset of its own kind."
            )
    return callbacks


def _run(net: WeightedNet, rows: RowDataset, previous: WeightedNet | None) -> None:
    net.notify("on_train_begin", X=rows, y=None)
    if previous is not None:
        restore_schedules(net, previous)
    try:
        net.fit_loop(rows)
    except StoppedByCallback:
        pass
    except KeyboardInterrupt:
        warnings.warn(
            f"Training was interrupted in epoch {len(net.history)}; the network is kept as it was.",
            stacklevel=5,
        )
    except KeyError as error:
        if net.train_split is not None or "valid_" not in str(error):
            raise
        raise ValueError(
            f"A callback looks for what there is with validation rows only ({error.args[0]}): pass "
            "early_stopping=True, or let the callback monitor 'train_loss'."
        ) from error
    net.notify("on_train_end", X=rows, y=None)
    net.forget_batches(-1)
