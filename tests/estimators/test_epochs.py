"""The best epoch, its loss, and the table of epochs."""

import builtins
import pickle
import signal

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from skorch.callbacks import Callback, EpochScoring

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

QUICK = {"lr": 0.05, "random_state": 0, "device": "cpu", "n_members": 1}
STOPPING = {"early_stopping": True, "n_iter_no_change": 4, "max_epochs": 60}


@pytest.mark.parametrize("params", [{}, {"tol": 0.05}, {"tol": 0.0, "ema_decay": 0}])
def test_the_best_epoch_is_the_one_whose_network_was_kept(binary, params):
    X, y, weight = binary
    rows = np.arange(len(y)) % 4 == 0
    model = WeightedTorchClassifier(**QUICK | STOPPING | params)
    model.fit(X[~rows], y[~rows], weight[~rows], X_val=X[rows], y_val=y[rows])
    losses = model.history_[:, "valid_loss"]
    assert type(model.best_epoch_) is int and type(model.best_loss_) is float
    assert 1 < model.best_epoch_ < model.n_iter_ == len(losses)
    assert model.best_loss_ == losses[model.best_epoch_ - 1] == min(losses)
    assert log_loss(y[rows], model.predict_proba(X[rows])) == pytest.approx(min(losses), rel=1e-5)
    copied = pickle.loads(pickle.dumps(model))
    assert (copied.best_epoch_, copied.best_loss_) == (model.best_epoch_, model.best_loss_)
    with pytest.raises(NotFittedError):
        clone(model).best_epoch_


def test_members_have_arrays_of_best_epochs(binary):
    X, y, _ = binary
    for params in ({}, {"module__dropout": 0.1}):
        model = WeightedTorchClassifier(**QUICK | STOPPING | {"n_members": 3} | params).fit(X, y)
        assert model.best_epoch_.shape == model.best_loss_.shape == (3,)
        assert model.best_epoch_.dtype.kind == "i"
        for net, epoch, loss in zip(model.nets_, model.best_epoch_, model.best_loss_):
            losses = net.history[:, "valid_loss"]
            assert (epoch, loss) == (np.argmin(losses) + 1, min(losses))


def test_without_validation_rows_there_is_no_best_epoch(regression):
    X, y, _ = regression
    model = WeightedTorchRegressor(**QUICK, early_stopping=False, max_epochs=2).fit(X, y)
    for name in ("best_epoch_", "best_loss_"):
        assert not hasattr(model, name)
        with pytest.raises(
            AttributeError, match=rf"^{name} is unavailable: no epoch was valid.*X_"
        ):
            getattr(model, name)
    members = clone(model).set_params(n_members=2).fit(X, y)
    with pytest.raises(AttributeError, match=r"unavailable \(member 0\): no epoch"):
        members.best_epoch_


def test_after_partial_fit_there_is_no_best_epoch_until_the_next_fit(binary):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK | STOPPING | {"early_stopping": "auto"}).fit(X, y)
    n_epochs = model.n_iter_
    model.partial_fit(X, y)
    assert model.n_iter_ == n_epochs + 1
    for found in (model, pickle.loads(pickle.dumps(model))):
        with pytest.raises(AttributeError, match="partial_fit has no validation rows"):
            found.best_epoch_
        assert not found.history_frame()["is_best"].any()
    assert model.fit(X, y).best_epoch_ <= model.n_iter_ == n_epochs


def test_a_warm_start_counts_the_epochs_of_its_last_fit(binary):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK | STOPPING, warm_start=True).fit(X, y)
    first = model.best_loss_
    model.fit(X, y)
    assert model.best_loss_ == min(model.history_[:, "valid_loss"]) != first
    assert model.best_epoch_ <= model.n_iter_ == len(model.history_frame())


class Interrupts(Callback):
    """Presses Ctrl-C, in the epoch with this number, when a method is called."""

    def __init__(self, method, epoch):
        self.method, self.epoch = method, epoch

    def __getattribute__(self, name):
        if name.startswith("on_") and name == super().__getattribute__("method"):
            return self.press
        return super().__getattribute__(name)

    def press(self, net, **kwargs):
        if len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("params", [{}, {"ema_decay": 0}])
@pytest.mark.parametrize(("method", "best"), [("on_epoch_begin", 2), ("on_epoch_end", 3)])
def test_a_fit_that_the_user_stops_keeps_the_network_of_its_best_epoch(
    binary, monkeypatch, params, method, best
):
    """Also if that epoch was recorded but its network not copied yet: callbacks come first here."""
    X, y, _ = binary
    rows = np.arange(len(y)) % 4 == 0
    params = QUICK | STOPPING | params | {"lr": 0.002}
    model = WeightedTorchClassifier(**params, callbacks=[Interrupts(method, 3)])
    order = "skweight.training.net.WeightedNet.get_default_callbacks"
    monkeypatch.setattr(order, lambda net: [("first", Interrupts(method, 3))])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[~rows], y[~rows], X_val=X[rows], y_val=y[rows])
    assert (model.n_iter_, model.best_epoch_) == (3, best)
    found = log_loss(y[rows], model.predict_proba(X[rows]))
    assert found == pytest.approx(model.best_loss_, rel=1e-6)
    frame = model.history_frame()
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["is_best"].tolist() == [False, best == 2, best == 3]


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_fit_that_is_stopped_before_its_first_validation_has_no_best_epoch(binary):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK | STOPPING, callbacks=[Interrupts("on_epoch_begin", 1)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "best_epoch_")
    assert model.history_frame().loc[0, ["member", "epoch", "is_best"]].tolist() == [0, 1, False]


def test_the_table_has_all_epochs_of_all_members_without_batches(binary):
    X, y, _ = binary
    score = EpochScoring("roc_auc", name="auc", lower_is_better=False)
    model = WeightedTorchClassifier(**QUICK | STOPPING | {"n_members": 2}, callbacks=[score])
    frame = model.fit(X, y).history_frame()
    first = ["member", "epoch", "train_loss", "valid_loss"]
    assert [*frame.columns[:4], frame.columns[-1]] == [*first, "is_best"]
    assert {"auc", "dur"} <= {*frame.columns} and "batches" not in frame
    for member, net in enumerate(model.nets_):
        own = frame[frame["member"] == member]
        assert_array_equal(own["epoch"], np.arange(len(net.history)) + 1)
        for name in ("train_loss", "valid_loss", "auc"):
            assert_array_equal(own[name], net.history[:, name])
        assert own.loc[own["is_best"], "epoch"].tolist() == [model.best_epoch_[member]]
    one = WeightedTorchClassifier(**QUICK, early_stopping=False, max_epochs=2).fit(X, y)
    assert [*one.history_frame().columns] == ["member", "epoch", "train_loss", "dur", "is_best"]


def test_without_pandas_the_table_says_what_to_install(binary, monkeypatch):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK, max_epochs=2).fit(X, y)
    original = builtins.__import__

    def without_pandas(name, *args):
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ImportError, match=r'pip install "skweight\[pandas\]"'):
        model.history_frame()
    with pytest.raises(NotFittedError):
        clone(model).history_frame()
