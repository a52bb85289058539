"""The user's callbacks: a fit uses copies, and what they were made with stays the user's."""

import threading
from collections import defaultdict, deque
from copy import copy, deepcopy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback, EpochScoring, MlflowLogger, TensorBoard

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X[:, 0]
FAST = {"max_epochs": 3, "random_state": 0}


class Log(Callback):
    """Appends the loss of each epoch to a list of the user's."""

    def __init__(self, log):
        self.log = log

    def on_epoch_end(self, net, **kwargs):
        self.log.append(net.history[-1, "train_loss"])


class Duck:
    """Follows epochs without being a skorch callback, and counts them in a private attribute."""

    def __init__(self, log):
        self.log = log
        self.n_epochs = 0
        self.losses = []

    def __getattr__(self, name):
        if name.startswith("on_"):
            return lambda net, **kwargs: None
        raise AttributeError(name)

    def initialize(self):
        return self

    def set_params(self):
        pass

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        self.losses.append(net.history[-1, "train_loss"])
        self.log.append(net.history[-1, "train_loss"])
        assert len(self.losses) == self.n_epochs == len(net.history)


class Counter(Callback):
    """Has attributes that are no parameters, which each fit must begin with anew."""

    def __init__(self, log):
        self.log = log
        self.losses = []
        self.n_epochs = 0
        self.best_ = []

    def on_train_begin(self, net, **kwargs):
        self.began_ = True

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        self.losses.append(net.history[-1, "train_loss"])
        self.best_.append(min(self.losses))
        self.log.append(self.losses[-1])
        assert len(self.best_) == len(self.losses) == self.n_epochs == len(net.history)


class Writer:
    """As tensorboard's ``SummaryWriter``: it holds a lock, which nothing can copy."""

    def __init__(self):
        self.lock = threading.Lock()
        self.scalars = []

    def add_scalar(self, tag, scalar_value, global_step):
        with self.lock:
            self.scalars.append((tag, scalar_value))

    def close(self):
        pass


class Run:
    """As a run of mlflow."""

    def __init__(self):
        self.lock = threading.Lock()
        self.info = self
        self.run_id = "run"


class Client:
    """As the client of mlflow."""

    def __init__(self):
        self.lock = threading.Lock()
        self.metrics = []

    def log_metric(self, run_id, key, value, **kwargs):
        self.metrics.append(key)

    def set_terminated(self, run_id, **kwargs):
        pass

    def log_artifact(self, *args, **kwargs):
        pass


@pytest.mark.parametrize("kind", [Log, Duck, Counter])
@pytest.mark.parametrize("named", [False, True])
def test_a_list_of_the_user_is_filled_by_every_fit_and_the_callback_itself_unchanged(kind, named):
    log = []
    callback = kind(log)
    before = {name: copy(value) for name, value in vars(callback).items() if name != "log"}
    callbacks = [("log", callback) if named else callback]
    regressor = WeightedTorchRegressor(callbacks=callbacks, **FAST).fit(X, Y)
    assert log == regressor.history_[:, "train_loss"]
    regressor.fit(X, Y)
    clone(regressor).fit(X, Y)
    assert log == 3 * regressor.history_[:, "train_loss"]
    assert {name: value for name, value in vars(callback).items() if name != "log"} == before
    assert regressor.callbacks is callbacks


def test_searches_folds_and_ensembles_fill_the_list_of_the_user():
    log = []
    regressor = WeightedTorchRegressor(callbacks=[Log(log)], **FAST)
    grid = {"sample_weight_power": [0.5, 1.0]}
    cross_val_score(regressor, X, Y, cv=2)
    assert len(log) == 2 * 3
    GridSearchCV(regressor, grid, cv=2).fit(X, Y)
    assert len(log) == (2 + 5) * 3
    BaggingRegressor(regressor, n_estimators=2).fit(X, Y)
    assert len(log) == (2 + 5 + 2) * 3
    with pytest.warns(UserWarning, match="callback Log is not supported in stacks"):
        WeightSearchCV(regressor, grid, cv=2).fit(X, Y)
    assert len(log) == (2 + 5 + 2 + 5) * 3


def test_tensorboard_writes_with_the_writer_of_the_user():
    writer = Writer()
    classifier = WeightedTorchClassifier(callbacks=[TensorBoard(writer)], **FAST)
    classifier.fit(X, Y > 0)
    assert [tag for tag, _ in writer.scalars].count("Loss/train_loss") == 3
    cross_val_score(classifier, X, Y > 0, cv=2)
    assert [tag for tag, _ in writer.scalars].count("Loss/train_loss") == 9


def test_an_mlflow_logger_logs_with_the_client_of_the_user():
    client = Client()
    logger = MlflowLogger(Run(), client, create_artifact=False)
    cross_val_score(WeightedTorchRegressor(callbacks=[("mlflow", logger)], **FAST), X, Y, cv=2)
    assert client.metrics.count("train_loss") == 6
    assert not hasattr(logger, "run_")


def test_an_open_file_gets_the_text_of_a_callback(tmp_path):
    class Write(Callback):
        def __init__(self, file):
            self.file = file

        def on_train_end(self, net, **kwargs):
            self.file.write(f"{len(net.history)} epochs\n")

    with open(tmp_path / "log.txt", "w") as file:
        cross_val_score(WeightedTorchRegressor(callbacks=[Write(file)], **FAST), X, Y, cv=2)
    assert (tmp_path / "log.txt").read_text() == "3 epochs\n3 epochs\n"


def test_scores_of_one_fit_do_not_reach_the_next():
    scoring = EpochScoring("r2", name="r2", on_train=True, lower_is_better=False)
    regressor = WeightedTorchRegressor(callbacks=[scoring], **FAST)
    first = regressor.fit(X, Y).history_[:, "r2"]
    assert regressor.fit(X, Y).history_[:, "r2"] == first
    assert not [name for name in vars(scoring) if name.endswith("_")]


class Options(Callback):
    """Keeps keywords of its constructor together in one attribute."""

    def __init__(self, log, **options):
        self.log = log
        self.options = options
        self.n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        self.log.append((self.n_epochs, self.options))


def test_a_callback_keeps_the_keywords_that_its_constructor_collected():
    log = []
    regressor = WeightedTorchRegressor(callbacks=[Options(log, every=2)], **FAST).fit(X, Y)
    assert log == [(n, {"every": 2}) for n in (1, 2, 3)]
    clone(regressor).set_params(callbacks__Options__log=log).fit(X, Y)
    assert log == 2 * [(n, {"every": 2}) for n in (1, 2, 3)]


class Hidden(Callback):
    """Keeps a list of the user's under a private name."""

    def __init__(self, log):
        self._log = log

    def on_epoch_end(self, net, **kwargs):
        self._log.append(len(net.history))


class Trailing(Callback):
    """Keeps a list of the user's as scikit-learn names what is learned."""

    def __init__(self, log):
        self.log_ = log

    def on_epoch_end(self, net, **kwargs):
        self.log_.append(len(net.history))


@pytest.mark.parametrize("kind", [Hidden, Trailing])
def test_a_list_that_a_callback_keeps_under_a_private_name_is_filled(kind):
    log = []
    cross_val_score(WeightedTorchRegressor(callbacks=[kind(log)], **FAST), X, Y, cv=2)
    assert log == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ({"loss": []}, lambda state: state["loss"].append(1)),
        (defaultdict(list, loss=[]), lambda state: state["loss"].append(1)),
        ([[]], lambda state: state[0].append(1)),
        (([], {}), lambda state: state[0].append(1)),
        ([{"seen": {0}}], lambda state: state[0]["seen"].add(1)),
        (deque(maxlen=3), lambda state: state.append(1)),
        (np.zeros(3), lambda state: np.add(state, 1, out=state)),
        (torch.zeros(3), lambda state: state.add_(1)),
    ],
    ids=["dict", "defaultdict", "list", "tuple", "set", "deque", "array", "tensor"],
)
def test_what_a_constructor_made_is_new_in_each_fit_at_any_depth(state, change):
    class Stateful(Callback):
        def __init__(self, log):
            self.log = log
            self.state = deepcopy(state)

        def on_train_begin(self, net, **kwargs):
            self.log.append(repr(self.state))

        def on_epoch_end(self, net, **kwargs):
            change(self.state)
            assert repr(self.state) != self.log[-1]

    log = []
    callback = Stateful(log)
    WeightedTorchRegressor(callbacks=[callback], **FAST).fit(X, Y).fit(X, Y)
    assert log == 2 * [repr(state)] == 2 * [repr(callback.state)]


def test_a_callback_may_be_given_as_a_class():
    epochs = []

    class Follow(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(len(net.history))

    clone(WeightedTorchRegressor(callbacks=[Follow, ("again", Follow)], **FAST)).fit(X, Y)
    assert epochs == [1, 1, 2, 2, 3, 3]


def test_a_callback_may_say_itself_what_its_copy_is():
    class Same(Callback):
        def __init__(self):
            self.n_epochs = 0

        def __sklearn_clone__(self):
            return self

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    callback = Same()
    regressor = WeightedTorchRegressor(callbacks=[("same", callback)], **FAST).fit(X, Y)
    assert callback.n_epochs == 3
    cross_val_score(regressor, X, Y, cv=2)
    assert callback.n_epochs == 3 + 2 * 3


def test_a_clone_has_a_list_of_callbacks_of_its_own():
    log = []
    regressor = WeightedTorchRegressor(callbacks=[Log(log)], **FAST)
    cloned = clone(regressor)
    assert cloned.callbacks == regressor.callbacks
    cloned.callbacks.append(Log(log))
    assert len(regressor.callbacks) == 1
    assert clone(WeightedTorchRegressor()).callbacks is None
    assert clone(WeightedTorchRegressor(callbacks="wrong")).callbacks == "wrong"
