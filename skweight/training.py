"""The training path: a skorch net that trains on ``(x, y, row_weight)``.

What is trained and on which weights is decided elsewhere; how it is trained, when it
stops and what of it is kept is decided here.
This is the only file that imports skorch.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin, clone
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochScoring
from skorch.helper import predefined_split
from skorch.history import History
from torch import Tensor, nn

from skweight.criteria import RowLoss
from skweight.data import Rows, TensorBatches, place, rows_at_once
from skweight.isolation import isolated_torch
from skweight.losses import weighted_mean
from skweight.options import Task, TrainingOptions
from skweight.preparation import prepare
from skweight.streams import carry, go_on, go_on_scheduling, on_cpu_too


class WeightedNet(NeuralNet):  # type: ignore[misc]
    """A skorch net whose batches are ``({"X": ..., "row_weight": ...}, y)``.

    The weights travel beside X, so that callbacks which collect y (``EpochScoring``)
    find nothing but targets in it. Without its optimizer and callbacks, which only
    training needs, it is pickled on the CPU; in a stream the optimizer's state goes along.
    """

    carried: Any = None  # what a call of ``partial_fit`` hands on, see ``streams``

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Give the module X alone: it never sees weights."""
        X = x["X"] if isinstance(x, Mapping) else x
        return super().infer(X, **fit_params)  # type: ignore[no-any-return]

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Reduce the losses of the rows with their weights."""
        return weighted_mean(self.criterion_(y_pred, y_true), X["row_weight"])

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Wrap plain arrays, as skorch's own methods and scorers pass them."""
        if isinstance(X, torch.utils.data.Dataset):
            return X
        n_rows = X.shape[0]
        y = np.zeros(n_rows, dtype=np.int64) if y is None else np.asarray(y)
        device = torch.device(self.device)
        X = X if sparse.issparse(X) else np.asarray(X, dtype=np.float32)
        return Rows(place(X, device), np.arange(n_rows), y, np.ones(n_rows), device)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell every callback, also of the epoch in which one of them ends the training.

        skorch's way to end it is KeyboardInterrupt, which must not be taken for the user's.
        """
        stopped = None
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as stop:
                if not method_name.startswith("on_epoch"):
                    raise
                stopped = stop
        if stopped is not None:
            raise _StoppedByCallback from stopped

    def torch_compile(self, module: nn.Module, name: str) -> Any:
        """Compile the network only; the loss checks shapes, which the compiler cannot follow."""
        return super().torch_compile(module, name) if name == "module" else module

    @property
    def plain_module(self) -> nn.Module:
        """The network without the compiler's wrapper."""
        module: nn.Module = self.module_
        return getattr(module, "_orig_mod", module)  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """Keep what prediction needs, on the CPU: network, loss, settings and history."""
        state = dict(self.__dict__)
        for name in ("optimizer_", "callbacks", "callbacks_"):
            state.pop(name, None)
        if "module_" in state:
            state["module"] = state["module_"] = on_cpu(self.plain_module)
            state["criterion"] = state["criterion_"] = on_cpu(self.criterion_)
        state["carried"] = on_cpu_too(self.carried)
        return state | {"callbacks": None, "callbacks_": [], "device": "cpu"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`__getstate__` kept."""
        self.__dict__.update(state)


class WeightedClassifierNet(ClassifierMixin, WeightedNet):  # type: ignore[misc]
    """A :class:`WeightedNet` that scorers in callbacks recognise as a classifier of codes."""

    def __init__(self, *args: Any, n_classes: int, labels: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_classes = n_classes
        self.labels = labels

    @property
    def classes_(self) -> Any:
        """Class codes, 0 to n_classes - 1, or a list of those of each label."""
        return [np.arange(2)] * self.n_classes if self.labels else np.arange(self.n_classes)

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Return the code of the most probable class, or 1 for each probable label."""
        probability = self.predict_proba(X)
        if self.labels:
            return np.asarray(probability > 0.5, dtype=np.intp)
        return np.asarray(probability.argmax(axis=1))


def on_cpu(module: nn.Module) -> nn.Module:
    """Return the module if it lies on the CPU, else a copy that does."""
    if all(t.device.type == "cpu" for t in [*module.parameters(), *module.buffers()]):
        return module
    return copy.deepcopy(module).cpu()


def train(
    make_module: Callable[[], nn.Module],
    criterion: RowLoss,
    rows: Rows,
    valid_rows: Rows | None,
    options: TrainingOptions,
    task: Task,
    *,
    adapt: bool = True,
    stream: bool = False,
    previous: WeightedNet | None = None,
) -> WeightedNet:
    """Make a network and train it on weighted rows.

    Parameters
    ----------
    make_module : callable
        Called without arguments, under the fit's own random state.
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

    Returns
    -------
    WeightedNet
        Trained and in evaluation mode; with ``valid_rows``, at its best epoch.
    """
    with isolated_torch(options.seed, rows.device):
        with torch.device("cpu"):  # initial values do not depend on the default device
            module = make_module()
        module = prepare(module.to(rows.device), criterion, rows, task.widths, adapt)
        _check_param_groups(module, options.optimizer_params.get("param_groups", ()))
        net = _make_net(module, criterion, rows, valid_rows, options, task)
        net.initialize()
        if previous is not None:
            net.history_ = History(previous.history)
            go_on(net, previous)
        _run(net, rows, previous)
        net.carried = carry(net) if stream else None
    _check_finite(net)
    net.module_.eval()
    net.train_split = None  # it holds the validation rows
    return net


def _make_net(
    module: nn.Module,
    criterion: RowLoss,
    rows: Rows,
    valid_rows: Rows | None,
    options: TrainingOptions,
    task: Task,
) -> WeightedNet:
    batch_size = len(rows) if options.batch_size == -1 else options.batch_size
    callbacks: list[Any] = [("finite_loss", FiniteLoss())]
    if valid_rows is not None:
        callbacks.append(("early_stopping", EarlyStopping(options.patience, options.tol)))
    settings: dict[str, Any] = {
        "optimizer": options.optimizer,
        "lr": options.lr,
        "max_epochs": _resolve_epochs(options.max_epochs, math.ceil(len(rows) / batch_size)),
        "batch_size": batch_size,
        "iterator_train": TensorBatches,
        "iterator_train__shuffle": True,
        "iterator_train__sampling": options.sampling,
        "iterator_train__seed": options.seed,
        "iterator_valid": TensorBatches,
        "iterator_valid__batch_size": rows_at_once(rows.X),
        "train_split": None if valid_rows is None else predefined_split(valid_rows),
        "callbacks": callbacks + _check_callbacks(clone(options.callbacks, safe=False)),
        "verbose": options.verbose,
        "device": str(rows.device),
        "compile": options.compile,
        **{f"optimizer__{name}": value for name, value in options.optimizer_params.items()},
    }
    if not options.verbose:
        settings["callbacks__print_log"] = None  # it formats its table even when silent
    settings["predict_nonlinearity"] = task.link
    if task.n_classes is None:
        return WeightedNet(module, criterion, **settings)
    return WeightedClassifierNet(
        module, criterion, n_classes=task.n_classes, labels=task.labels, **settings
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


def _resolve_epochs(max_epochs: int | str, n_batches: int) -> int:
    """Give "auto" a number; rows merged into few would otherwise get too few updates."""
    return max(20, math.ceil(500 / n_batches)) if max_epochs == "auto" else int(max_epochs)


def _run(net: WeightedNet, rows: Rows, previous: WeightedNet | None) -> None:
    net.notify("on_train_begin", X=rows, y=None)
    if previous is not None:
        go_on_scheduling(net, previous)
    try:
        net.fit_loop(rows)
    except _StoppedByCallback:
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
            f"A callback reads {error.args[0]!s}, but there are no validation rows: pass "
            "early_stopping=True, or let the callback monitor 'train_loss'."
        ) from error
    net.notify("on_train_end", X=rows, y=None)


class _StoppedByCallback(Exception):
    """A callback ended the training, the skorch way: by raising KeyboardInterrupt."""


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
                raise _not_finite(net, f"{name} became {epoch[name]}")


def _check_finite(net: WeightedNet) -> None:
    """Refuse a network whose last step led out of the finite numbers."""
    if not all(bool(parameter.isfinite().all()) for parameter in net.module_.parameters()):
        raise _not_finite(net, "The network's parameters became NaN or infinite")


def _not_finite(net: NeuralNet, what: str) -> ValueError:
    return ValueError(
        f"{what} in epoch {net.history[-1, 'epoch']}. Try a smaller lr (it was {net.lr}), or "
        "scale X and y."
    )
