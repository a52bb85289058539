"""Every callback of skorch leaves the same history here as in skorch, on the same batches.

With one batch an epoch, plain SGD and no average both libraries make the same steps, so that what
a callback does, and what it records, can be compared number by number.
"""

import copy
import sys
from collections import OrderedDict
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, callbacks
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
    WarmRestartLR,
)
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from skweight import WeightedTorchClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(260, 5)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] + RNG.normal(size=260) > 0).astype(np.int64)
TRAIN, VALID = slice(0, 200), slice(200, 260)
N_EPOCHS = 8


def make_network():
    """One of known layers: it is trained without autograd, unless something needs that."""
    torch.manual_seed(0)
    layers = {"dense": nn.Linear(5, 16), "relu": nn.ReLU(), "output": nn.Linear(16, 2)}
    return nn.Sequential(OrderedDict(layers))


class Recorder:
    """Stands for the run, client, experiment or writer of a logger: keeps what it is told."""

    def __init__(self, folder):
        self.dir = folder
        self.told, self.n_gradients = [], 0
        self.info = SimpleNamespace(run_id="run")

    def add_scalar(self, tag, scalar_value, global_step):  # tensorboard
        self.told.append((tag, scalar_value))

    def close(self):
        pass

    def watch(self, module):  # wandb looks at gradients by hooks
        for parameter in module.parameters():
            parameter.register_hook(self._count)

    def _count(self, gradient):
        self.n_gradients += 1

    def log(self, values):
        self.told += values.items()

    def log_metric(self, run_id, key, value, step):  # mlflow
        self.told.append((key, value))

    def log_artifact(self, run_id, path):
        self.told.append((path.name, path.stat().st_size > 0))

    def set_terminated(self, run_id):
        pass

    def log_scalar(self, name, value, step=None):  # sacred
        self.told.append((name, value))

    def __getitem__(self, name):  # neptune
        return Series(self, name)

    def __setitem__(self, name, value):
        self.told.append((name, value))

    def stop(self):
        pass


class Series:
    """A part of a run of neptune."""

    def __init__(self, recorder, name):
        self.recorder, self.name = recorder, name

    def __getitem__(self, name):
        return Series(self.recorder, f"{self.name}/{name}")

    def __setitem__(self, name, value):
        self.recorder[f"{self.name}/{name}"] = value

    def append(self, value):
        self.recorder.told.append((self.name, value))


class Rates(Callback):
    """Record the learning rate of each epoch."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("rate", net.optimizer_.param_groups[0]["lr"])


def zero(parameter):
    parameter.data.zero_()


def accuracy():
    return EpochScoring("accuracy", name="valid_acc", lower_is_better=False)


PLATEAU = {"policy": "ReduceLROnPlateau", "factor": 0.7, "patience": 1, "threshold": 0.05}
# Callback of skorch: what to pass, given a recorder.
SAME = {
    "BatchScoring": lambda r: [BatchScoring("roc_auc", lower_is_better=False)],
    "BatchScoring on_train": lambda r: [BatchScoring("accuracy", on_train=True, name="acc")],
    "Callback": lambda r: [Callback()],
    "Checkpoint": lambda r: [Checkpoint(dirname=r.dir)],
    "Checkpoint of a score": lambda r: [
        accuracy(),
        Checkpoint("valid_acc_best", dirname=r.dir, f_pickle="net.pkl", load_best=True),
    ],
    "EarlyStopping": lambda r: [EarlyStopping(patience=3, threshold=0.05)],
    "EarlyStopping of a score": lambda r: [
        accuracy(),
        ("early_stopping", EarlyStopping("valid_acc", lower_is_better=False, patience=2)),
    ],
    "EarlyStopping load_best": lambda r: [EarlyStopping("train_loss", load_best=True)],
    "EpochScoring": lambda r: [EpochScoring("roc_auc", lower_is_better=False)],
    "EpochScoring on_train": lambda r: [EpochScoring("neg_log_loss", on_train=True)],
    "EpochTimer": lambda r: [EpochTimer()],
    "Freezer": lambda r: [Freezer("dense.*")],
    "GradientNormClipping": lambda r: [GradientNormClipping(0.05)],
    "Initializer": lambda r: [Initializer("output.bias", fn=nn.init.ones_)],
    "LRScheduler": lambda r: [LRScheduler("StepLR", step_size=2, gamma=0.5), Rates()],
    "LRScheduler of a class": lambda r: [
        LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=20)
    ],
    "LRScheduler of batches": lambda r: [
        LRScheduler("StepLR", step_every="batch", step_size=3),
        Rates(),
    ],
    "LRScheduler of valid_loss": lambda r: [LRScheduler(monitor="valid_loss", **PLATEAU), Rates()],
    "LRScheduler of a score": lambda r: [
        accuracy(),
        LRScheduler(monitor="valid_acc", mode="max", **PLATEAU),
        Rates(),
    ],
    "LoadInitState": lambda r: [
        checkpoint := Checkpoint(dirname=r.dir, monitor=None),
        LoadInitState(checkpoint),
    ],
    "MlflowLogger": lambda r: [MlflowLogger(r, r)],
    "MlflowLogger of batches": lambda r: [MlflowLogger(r, r, log_on_batch_end=True)],
    "NeptuneLogger": lambda r: [NeptuneLogger(r)],
    "NeptuneLogger of batches": lambda r: [NeptuneLogger(r, log_on_batch_end=True)],
    "ParamMapper": lambda r: [ParamMapper("*.weight", at=4, fn=zero)],
    "PassthroughScoring": lambda r: [PassthroughScoring("valid_loss")],
    "PrintLog": lambda r: [PrintLog(sink=lambda text: r.told.append(("line", len(text) > 9)))],
    "ProgressBar": lambda r: [ProgressBar()],
    "SacredLogger": lambda r: [SacredLogger(r)],
    "SacredLogger of batches": lambda r: [SacredLogger(r, log_on_batch_end=True)],
    "TensorBoard": lambda r: [TensorBoard(r)],
    "TrainEndCheckpoint": lambda r: [TrainEndCheckpoint(dirname=r.dir)],
    "Unfreezer": lambda r: [Freezer("dense.*"), Unfreezer("dense.*", at=4)],
    "WandbLogger": lambda r: [WandbLogger(r)],
    "WarmRestartLR": lambda r: [LRScheduler(WarmRestartLR, min_lr=0.3, max_lr=0.6)],
    "WarmRestartLR by name": lambda r: [LRScheduler(min_lr=0.3, max_lr=0.4)],
}
# Refused in test_skorch_callbacks.py.
REFUSED = {"InputShapeSetter"}


def test_all_callbacks_of_skorch_are_compared():
    """A new one of skorch's has to be looked at."""
    compared = {name.partition(" ")[0] for name in SAME}
    assert compared | REFUSED == set(callbacks.__all__)


@pytest.fixture
def neptune(monkeypatch):
    """What skorch imports of neptune."""
    types, handler = ModuleType("neptune.types"), ModuleType("neptune.handler")
    types.File = SimpleNamespace(from_content=lambda text, extension: text)
    handler.Handler = type("Handler", (), {})
    for name, module in {"types": types, "handler": handler}.items():
        monkeypatch.setitem(sys.modules, f"neptune.{name}", module)
    monkeypatch.setitem(sys.modules, "neptune", ModuleType("neptune"))


def fit_both(make_callbacks, folders):
    """Fit skorch's classifier and ours with the same callbacks; return both and their recorders."""
    network, recorders = make_network(), [Recorder(folder) for folder in folders]
    shared = {"optimizer": torch.optim.SGD, "lr": 0.5, "max_epochs": N_EPOCHS, "batch_size": 200}
    peer = NeuralNetClassifier(
        copy.deepcopy(network),
        criterion=nn.CrossEntropyLoss,
        train_split=predefined_split(Dataset(X[VALID], Y[VALID])),
        callbacks=make_callbacks(recorders[0]),
        callbacks__valid_acc=None,
        verbose=0,
        **shared,
    )
    peer.fit(X[TRAIN], Y[TRAIN])
    ours = WeightedTorchClassifier(
        network,
        criterion=nn.CrossEntropyLoss,
        early_stopping=True,
        n_iter_no_change=N_EPOCHS + 1,
        ema_decay=0,
        callbacks=make_callbacks(recorders[1]),
        **shared,
    )
    ours.fit(X[TRAIN], Y[TRAIN], X_val=X[VALID], y_val=Y[VALID])
    return peer, ours, recorders


def columns_of(history):
    """The numbers of a history by their names, without times and batches.

    Without whether a loss is the lowest so far, too: rounding decides that of nearly equal losses.
    """
    names = {name for name in history[-1] if not name.endswith("_best")} - {"batches", "dur"}
    return {name: np.array(history[:, name], dtype=float) for name in names}


def assert_same_numbers(found, expected):
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (name, number), (_, other) in zip(found, expected):
        if np.ndim(number) or isinstance(number, (int, float, np.number)):
            is_time = name.startswith("dur") or name.endswith("duration")
            assert is_time or number == pytest.approx(other, rel=2e-3), name


@pytest.mark.parametrize("name", SAME)
def test_a_callback_does_what_it_does_in_skorch(name, tmp_path, neptune, capsys):
    folders = tmp_path / "skorch", tmp_path / "skweight"
    for folder in folders:
        folder.mkdir()
    peer, ours, (theirs, told) = fit_both(SAME[name], folders)
    expected, found = columns_of(peer.history), columns_of(ours.history_)
    assert found.keys() == expected.keys() and len(found) >= 5
    for column in expected:
        np.testing.assert_allclose(found[column], expected[column], rtol=2e-4, err_msg=column)
    assert sorted(p.name for p in folders[0].iterdir()) == sorted(
        p.name for p in folders[1].iterdir()
    )
    assert_same_numbers(sorted_by_name(told.told), sorted_by_name(theirs.told))
    assert told.n_gradients == theirs.n_gradients
    plain = fit_both(lambda recorder: [], folders)[1].history_
    if name in CHANGES_TRAINING:
        assert plain[:, "train_loss"] != ours.history_[:, "train_loss"]


def sorted_by_name(told):
    """In the order in which each name came; the columns of an epoch have none."""
    return sorted(told, key=lambda pair: pair[0])


CHANGES_TRAINING = {
    *("EarlyStopping", "EarlyStopping of a score", "Freezer", "GradientNormClipping"),
    *("Initializer", "LRScheduler", "LRScheduler of a class", "LRScheduler of batches"),
    *("LRScheduler of valid_loss", "LRScheduler of a score", "ParamMapper", "Unfreezer"),
    *("WarmRestartLR", "WarmRestartLR by name"),
}
