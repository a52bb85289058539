"""Ctrl-C and the stop button of a notebook keep the network so far, and stop whatever called fit.

What a search in processes does is in ``tests/search/test_interrupt.py``.
"""

import signal
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

X = np.random.default_rng(0).normal(size=(200, 4))
Y = (X[:, 0] + X[:, 1] > 0) * 1
QUICK = {"lr": 0.02, "random_state": 0}
ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]


class ActsInEpoch(Callback):
    """Acts once, in a method of the epoch with this number."""

    def __init__(self, method, epoch=3):
        self.method, self.epoch = method, epoch

    def on_train_begin(self, net, **kwargs):
        self.has_acted = False

    def in_method(self, method, net):
        if (method, len(net.history), self.has_acted) == (self.method, self.epoch, False):
            self.has_acted = True
            self.act()

    def on_epoch_begin(self, net, **kwargs):
        self.in_method("on_epoch_begin", net)

    def on_batch_begin(self, net, **kwargs):
        self.in_method("on_batch_begin", net)

    def on_batch_end(self, net, **kwargs):
        self.in_method("on_batch_end", net)

    def on_epoch_end(self, net, **kwargs):
        self.in_method("on_epoch_end", net)


class PressesCtrlC(ActsInEpoch):
    def act(self):
        signal.raise_signal(signal.SIGINT)


class Stops(ActsInEpoch):
    """Stops the training as skorch's callbacks do."""

    def act(self):
        raise KeyboardInterrupt


pytestmark = pytest.mark.usefixtures("python_handles_ctrl_c")


METHODS = ["on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_ctrl_c_raises_keyboard_interrupt_and_leaves_a_fitted_estimator(estimator, method):
    model = estimator(callbacks=[PressesCtrlC(method)], **QUICK, early_stopping=False)
    with pytest.raises(KeyboardInterrupt, match=r"stopped in epoch 3\. .* fitted") as stop:
        model.fit(X, Y)
    assert type(stop.value) is KeyboardInterrupt
    assert model.n_iter_ == 3
    assert len(np.unique(model.predict(X))) > 1
    assert model.score(X, Y) > 0.4


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_that_raises_it_ends_the_training_and_nothing_else(method):
    model = WeightedTorchClassifier(callbacks=[Stops(method)], **QUICK).fit(X, Y)
    assert model.n_iter_ == 3
    scores = cross_val_score(model, X, Y, cv=3, error_score="raise")
    assert (scores > 0.6).all()


def test_the_network_that_is_kept_is_the_best_one_so_far():
    # Such a rate makes validation losses go up and down.
    settings = {
        "random_state": 2,
        "n_members": 1,
        "early_stopping": True,
        "lr": 1.0,
        "ema_decay": 0.0,
    }
    stopped = WeightedTorchClassifier(callbacks=[PressesCtrlC("on_epoch_begin", 9)], **settings)
    with pytest.raises(KeyboardInterrupt, match="best network so far"):
        stopped.fit(X, Y)
    best = 1 + int(np.argmin(stopped.history_[:-1, "valid_loss"]))
    assert 1 < best < 7
    expected = WeightedTorchClassifier(max_epochs=best, **settings).fit(X, Y)
    assert_array_equal(stopped.predict_proba(X), expected.predict_proba(X))


def test_ctrl_c_before_the_training_leaves_the_estimator_as_it_was():
    class Network(WeightedTorchClassifier):
        def _make_task(self, *args):
            signal.raise_signal(signal.SIGINT)

    model = Network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_partial_fit_keeps_what_it_has_learned_too():
    model = WeightedTorchRegressor(callbacks=[PressesCtrlC("on_batch_end", 1)], batch_size=20)
    with pytest.raises(KeyboardInterrupt, match="stopped in epoch 1"):
        model.partial_fit(X, Y)
    before = model.predict(X)
    assert model.partial_fit(X, Y).n_iter_ == 2
    assert not np.array_equal(model.predict(X), before)


def fit_in_a_loop(model):
    for _ in range(3):
        clone(model).fit(X, Y)


@pytest.mark.parametrize(
    "run",
    [
        fit_in_a_loop,
        lambda model: cross_val_score(model, X, Y, error_score=0.0),
        lambda model: GridSearchCV(model, {"lr": [0.1, 0.2]}, error_score=0.0).fit(X, Y),
        lambda model: WeightSearchCV(model, {"class_weight": [None, "balanced"]}).fit(X, Y),
        lambda model: WeightSearchCV(
            model, {"class_weight": [None, "balanced"]}, stack_size=1, error_score=0.0
        ).fit(X, Y),
    ],
    ids=["loop", "cross_val_score", "GridSearchCV", "stacks", "one by one"],
)
def test_whatever_calls_fit_stops(run):
    model = WeightedTorchClassifier(max_epochs=1_000_000, early_stopping=False)
    ended, presses = threading.Event(), []

    def press():
        while not ended.wait(60 if presses else 2):
            presses.append(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(model)
    ended.set()
    thread.join()
    assert len(presses) == 1


def test_a_network_that_is_not_finite_is_not_kept():
    class Diverges(Callback):
        def on_epoch_end(self, net, **kwargs):
            for parameter in net.module_.parameters():
                parameter.data.fill_(np.nan)
            signal.raise_signal(signal.SIGINT)

    model = WeightedTorchClassifier(callbacks=[Diverges()], early_stopping=False)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)
