"""Training: which net is made of network, criterion and options, and when it stops.

What is trained and on which weights is decided elsewhere; how an epoch goes is left to ``net``.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any

import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochScoring
from skorch.helper import predefined_split
from skorch.history import History
from torch import nn

from skweight.batches import Rows, TensorBatches, rows_at_once
from skweight.budget import resolve_batch_size, resolve_ema_decay, resolve_epochs
from skweight.criteria import RowLoss
from skweight.isolation import isolated_torch
from skweight.keywords import unwrap
from skweight.modules import MLP
from skweight.net import StoppedByCallback, WeightedClassifierNet, WeightedNet
from skweight.options import Task, TrainingOptions
from skweight.preparation import prepare
from skweight.streams import carry, go_on, go_on_scheduling

# Optimizers with a fused kernel, and where it runs. That of SGD takes no sparse gradients, and
# no parameters whose first gradient comes later than that of others.
_FUSED = (torch.optim.AdamW, torch.optim.Adam)
_FUSED_ON = ("cpu", "cuda", "mps")
# What a step takes away of the weights of the default network, and of them times the learning
# rate, at most. The former is what decay does where large learning rates do not enlarge it.
_DECAY_OF_A_STEP, _DECAY = 0.001, 1.0


@dataclass(frozen=True)
class Training:
    """All that a training needs, so that it can be made alone or beside others.

    Parameters
    ----------
    make_module : callable
        Called without arguments, under the training's own random state.
    criterion : RowLoss
    rows : Rows
        Training rows, ``row_weight`` of mean 1, but for the later rows of a stream.
    valid_rows : Rows or None
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
    rows: Rows
    valid_rows: Rows | None
    options: TrainingOptions
    task: Task
    adapt: bool = True
    stream: bool = False
    previous: WeightedNet | None = None


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
        net.carried = carry(net) if training.stream else None
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
    module = prepare(module.to(rows.device), criterion, rows, training.task.widths, training.adapt)
    _check_param_groups(module, training.options.optimizer_params.get("param_groups", ()))
    net = _wrap(module, training)
    net.initialize()
    if training.previous is not None:
        net.history_ = History(training.previous.history)
        go_on(net, training.previous)
    return net


def finish(net: WeightedNet) -> WeightedNet:
    """Check a trained net, and let go of what only training needed."""
    _check_finite(net)
    net.module_.eval()
    net.train_split = None  # it holds the validation rows
    return net


def _wrap(module: nn.Module, training: Training) -> WeightedNet:
    criterion, options, task = training.criterion, training.options, training.task
    rows, valid_rows = training.rows, training.valid_rows
    batch_size = resolve_batch_size(options.batch_size, len(rows))
    n_batches = math.ceil(len(rows) / batch_size)
    callbacks: list[Any] = [("finite_loss", FiniteLoss())]
    if valid_rows is not None:
        callbacks.append(("early_stopping", EarlyStopping(options.patience, options.tol)))
    settings: dict[str, Any] = {
        "optimizer": options.optimizer,
        "lr": options.lr,
        "max_epochs": resolve_epochs(options.max_epochs, n_batches, valid_rows is not None),
        "batch_size": batch_size,
        "iterator_train": TensorBatches,
        "iterator_train__shuffle": True,
        "iterator_train__sampling": options.sampling,
        "iterator_train__seed": options.seed,
        "iterator_valid": TensorBatches,
        "iterator_valid__batch_size": rows_at_once(rows.X, rows.device),
        "train_split": None if valid_rows is None else predefined_split(valid_rows),
        "callbacks": callbacks + _check_callbacks(clone(options.callbacks, safe=False)),
        "verbose": options.verbose,
        "device": str(rows.device),
        "compile": options.compile,
        **{f"optimizer__{name}": value for name, value in _optimizer_params(options, module)},
    }
    settings["predict_nonlinearity"] = task.link
    if task.n_classes is None:
        net = WeightedNet(module, criterion, **settings)
    else:
        net = WeightedClassifierNet(
            module, criterion, n_classes=task.n_classes, labels=task.labels, **settings
        )
    net.ema_decay = resolve_ema_decay(options.ema_decay, valid_rows is not None)
    return net


def _optimizer_params(options: TrainingOptions, module: nn.Module) -> Iterable[tuple[str, Any]]:
    """Parameters of the optimizer; one kernel for all of the network's, where torch has one."""
    params = dict(options.optimizer_params)
    if options.decays and isinstance(module, MLP) and len(module.hidden):
        of_weights = {"weight_decay": min(_DECAY, _DECAY_OF_A_STEP / options.lr)}
        params |= {"weight_decay": 0.0, "param_groups": [("*.weight", of_weights)]}
    optimizer, keywords = unwrap(options.optimizer)
    chosen = {"fused", "foreach", "capturable", "differentiable"} & {*params, *keywords}
    tensors = [*module.parameters()]
    if optimizer in _FUSED and not chosen and all(map(_has_fused_kernel, tensors)):
        params["fused"] = True
    return params.items()


def _has_fused_kernel(parameter: torch.Tensor) -> bool:
    # The kernels go through memory from one end to the other, whatever the strides are.
    return (
        parameter.is_floating_point()
        and parameter.is_contiguous()
        and parameter.device.type in _FUSED_ON
    )


def _check_param_groups(module: nn.Module, groups: Any) -> None:
    """Refuse a pattern that no parameter's name matches: skorch would leave it out silently."""
    names = [name for name, _ in module.named_parameters()]
    for pattern, _ in groups:
        if not any(fnmatch(name, pattern) for name in names):
            near = get_close_matches(pattern, names, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                "optimizer__param_groups must name parameters of the network, "
                f"{names}, got {pattern!r}.{hint}"
            )


def _check_callbacks(callbacks: list[Any]) -> list[Any]:
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) else item
        if isinstance(callback, EpochScoring) and not callback.use_caching:
            raise ValueError(
                "callbacks: EpochScoring must have use_caching=True, got False: without it skorch "
                "looks for targets in a dataset of its own kind."
            )
    return callbacks


def _run(net: WeightedNet, rows: Rows, previous: WeightedNet | None) -> None:
    net.notify("on_train_begin", X=rows, y=None)
    if previous is not None:
        go_on_scheduling(net, previous)
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


class EarlyStopping(Callback):  # type: ignore[misc]
    """End training when the weighted validation loss stalls, and restore its best state.

    Unlike skorch's, it keeps the lowest loss, not the last one that was lower by ``tol``.
    """

    def __init__(self, patience: int, tol: float) -> None:
        self.patience = patience
        self.tol = tol

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start without a best state."""
        self.best_loss_, self.best_state_, self.misses_ = math.inf, None, 0

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Count epochs without improvement, keep the state of the best one."""
        loss = net.history[-1, "valid_loss"]
        self.misses_ = 0 if loss < self.best_loss_ - self.tol else self.misses_ + 1
        if loss < self.best_loss_:
            self.best_loss_ = loss
            self.best_state_ = copy.deepcopy(net.module_.state_dict())
        if self.misses_ == self.patience:
            raise KeyboardInterrupt

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best state and let go of it."""
        if self.best_state_ is not None:
            net.module_.load_state_dict(self.best_state_)
        self.best_state_ = None


class FiniteLoss(Callback):  # type: ignore[misc]
    """Stop with an error in the first epoch whose loss is NaN or infinite."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check the losses that the epoch recorded."""
        epoch = net.history[-1]
        for name in ("train_loss", "valid_loss"):
            if not math.isfinite(epoch.get(name, 0.0)):
                raise diverged(f"{name} became {epoch[name]}", epoch["epoch"], net.lr)


def _check_finite(net: WeightedNet) -> None:
    """Refuse a network whose last step led out of the finite numbers."""
    if not all(bool(parameter.isfinite().all()) for parameter in net.module_.parameters()):
        what = "The network's parameters became NaN or infinite"
        raise diverged(what, net.history[-1, "epoch"], net.lr)


def diverged(what: str, epoch: int, lr: float) -> ValueError:
    """The error of a training that left the finite numbers."""
    return ValueError(f"{what} in epoch {epoch}. Try a smaller lr (it was {lr}), or scale X and y.")
