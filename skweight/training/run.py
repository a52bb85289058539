"""The training of one network from its plan."""

import math
from contextlib import nullcontext
from typing import Any

import torch
from skorch.helper import predefined_split
from skorch.history import History
from torch import nn

from skweight.data import TensorBatches, rows_at_once
from skweight.training.callback_checks import check_callbacks
from skweight.training.callbacks import copy_for_fit
from skweight.training.checkpoint_file import begin_checkpoint
from skweight.training.defaults import resolve_batch_size, resolve_ema_decay, resolve_epochs
from skweight.training.isolation import isolated_torch
from skweight.training.net import WeightedClassifierNet, WeightedNet, WeightedRegressorNet
from skweight.training.observers import Reason
from skweight.training.optimizers import check_param_groups, optimizer_params
from skweight.training.out_of_memory import if_out_of_memory, lower_batch_size
from skweight.training.plan import Training
from skweight.training.prepare import prepare
from skweight.training.resume import restore_optimizer, restore_schedules, training_state
from skweight.training.stopping import (
    EarlyStopping,
    FiniteLoss,
    StoppedByCallback,
    TrainingInterrupted,
    check_finite_parameters,
)
from skweight.training.trial import try_on_validation


def train(training: Training) -> WeightedNet:
    """Make a network and train it on weighted rows.

    Returns
    -------
    WeightedNet
        Trained and in evaluation mode; with validation rows, at its best epoch.

    Raises
    ------
    TrainingInterrupted
        If the user stops the training, with the network so far.
    """
    with (
        if_out_of_memory(lower_batch_size(training)),
        isolated_torch(training.options.seed, training.rows.device),
    ):
        net = make_net(training)
        reason = _run(net, training)
        net.resume_state = training_state(net) if training.is_partial else None
        for watch in training.watches:
            watch.observer.training_ended(watch.key, net, reason)
    if reason != "user":
        return finish(net)
    try:
        finish(net)
    except ValueError as error:  # there is no network to keep
        raise KeyboardInterrupt from error
    raise TrainingInterrupted([net], is_best=training.valid_rows is not None)


def make_net(training: Training) -> WeightedNet:
    """Make a network, adapt it to its training rows, and make the net that will train it.

    Call it within :func:`isolated_torch`.
    """
    rows = training.rows if training.adapt_rows is None else training.adapt_rows
    criterion = training.criterion
    # Initial values do not depend on the default device.
    has_other_default = torch.get_default_device().type != "cpu"
    with torch.device("cpu") if has_other_default else nullcontext():
        module = training.make_module()
    module = prepare(
        module.to(rows.device),
        criterion,
        rows,
        training.output.widths,
        training.adapt,
        training.cardinalities,
        training.column_names,
        training.holds_integers,
        training.output.neutral,
    )
    training.rows.as_integers = rows.as_integers
    if training.valid_rows is not None:
        try_on_validation(module, rows, training.valid_rows)
    check_param_groups(module, training.options.optimizer_params.get("param_groups", ()))
    net = _wrap(module, training)
    net.takes_integers = rows.as_integers
    net.initialize()
    check_callbacks(net)
    if training.previous is not None:
        net.history_ = History(training.previous.history)
        restore_optimizer(net, training.previous)
    return net


def finish(net: WeightedNet) -> WeightedNet:
    """Check a trained net, and drop what only training needed."""
    check_finite_parameters(net)
    net.module_.eval()
    net.train_split = None  # it holds the validation rows
    return net


def _wrap(module: nn.Module, training: Training) -> WeightedNet:
    criterion, output = training.criterion, training.output
    arguments = _net_arguments(module, training)
    if output.n_classes is None:
        return WeightedRegressorNet(module, criterion, **arguments)
    return WeightedClassifierNet(
        module, criterion, n_classes=output.n_classes, multilabel=output.multilabel, **arguments
    )


def max_epochs_of(training: Training) -> int:
    """The largest number of epochs that a training has."""
    n_rows, options = len(training.rows), training.options
    n_batches = math.ceil(n_rows / resolve_batch_size(options.batch_size, n_rows))
    return resolve_epochs(options.max_epochs, n_rows, n_batches, training.valid_rows is not None)


def _net_arguments(module: nn.Module, training: Training) -> dict[str, Any]:
    """The keyword arguments of the net."""
    options, rows, valid_rows = training.options, training.rows, training.valid_rows
    # Names that no user gives: skorch refuses a callback with the name of another.
    callbacks: list[Any] = [("_finite_loss", FiniteLoss())]
    if valid_rows is not None:
        callbacks.append(("_early_stopping", EarlyStopping(options.n_iter_no_change, options.tol)))
    optimizer = optimizer_params(options, module)
    return {
        "optimizer": options.optimizer_class,
        "lr": options.lr,
        "max_epochs": max_epochs_of(training),
        "batch_size": resolve_batch_size(options.batch_size, len(rows)),
        "iterator_train": TensorBatches,
        "iterator_train__shuffle": True,
        "iterator_train__sampling": options.weighting == "sampling",
        "iterator_train__seed": options.seed,
        "iterator_valid": TensorBatches,
        "iterator_valid__batch_size": rows_at_once(rows.X, rows.device),
        "train_split": None if valid_rows is None else predefined_split(valid_rows),
        "callbacks": callbacks + [copy_for_fit(callback) for callback in options.callbacks or []],
        "verbose": int(options.verbose),
        "device": str(rows.device),
        "compile": options.compile,
        "predict_nonlinearity": training.output.link,
        "ema_decay": resolve_ema_decay(options.ema_decay, valid_rows is not None),
        **{f"optimizer__{name}": value for name, value in optimizer.items()},
    }


def _run(net: WeightedNet, training: Training) -> Reason:
    """Train, and return why the training ended."""
    rows, n_epochs_before = training.rows, len(net.history)
    reason: Reason = "max_epochs"
    checkpoint = begin_checkpoint(net, training)
    net.notify("on_train_begin", X=rows, y=None)
    if training.previous is not None:
        restore_schedules(net, training.previous)
    n_epochs = net.max_epochs if checkpoint is None else checkpoint.resume(net)
    net.watches, net.checkpoint_ = training.watches, checkpoint
    try:
        if n_epochs > 0:
            net.fit_loop(rows, epochs=n_epochs)
        elif checkpoint is not None and checkpoint.was_stopped:
            reason = _who_stopped(net)
    except StoppedByCallback:
        reason = _who_stopped(net)
    except KeyboardInterrupt:
        reason = "user"
    finally:
        net.watches, net.checkpoint_, net.interrupted_ = (), None, None
    net.notify("on_train_end", X=rows, y=None)
    net.forget_batches(net.history[n_epochs_before:])
    return reason


def _who_stopped(net: WeightedNet) -> Reason:
    own = [callback for _, callback in net.callbacks_ if isinstance(callback, EarlyStopping)]
    return "early_stopping" if any(found.patience_.is_over for found in own) else "callback"
