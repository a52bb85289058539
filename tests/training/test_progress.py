"""Lines and bars of a fit, the best epoch, and what observers are told.

What a search shows is in ``tests/search/test_search_progress.py``.
"""

import copy
import re
import signal

import numpy as np
import pytest
from helpers import assert_same_tensors
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, EpochScoring, PrintLog
from torch import nn

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    bootstrap_weights,
)
from skweight.estimators import FitData, observing, plan
from skweight.stacks import train_in_stacks
from skweight.training import Training, train, watched

QUICK = {"lr": 0.02, "random_state": 0, "device": "cpu", "n_members": 1}
STOPPING = {"early_stopping": True, "n_iter_no_change": 3, "max_epochs": 60, "lr": 0.05}
HEADER = (
    "train_loss is the mean over the batches of an epoch, each before its update; "
    "valid_loss that of the network after the epoch, on rows held out"
)


def lines_of(capsys):
    return capsys.readouterr().out.splitlines()


def final(text):
    """The last state of each line that a bar drew on standard error."""
    return [line.split("\r")[-1] for line in text.splitlines() if line.strip()]


# --------------------------------------------------------------------------------------
# Lines
# --------------------------------------------------------------------------------------


def test_a_line_for_each_epoch_and_the_best_one_at_the_end(binary, capsys):
    X, y, weight = binary
    model = WeightedTorchClassifier(**QUICK | STOPPING, verbose=1).fit(X, y, weight)
    header, *lines, end = lines_of(capsys)
    assert header == HEADER
    history = model.history_
    assert 4 < len(history) < 60 and model.best_epoch_ < len(history)
    lowest = np.inf
    for line, epoch in zip(lines, history, strict=True):
        losses = f"train_loss {epoch['train_loss']:.4f}, valid_loss {epoch['valid_loss']:.4f}"
        best = " (best)" if epoch["valid_loss"] < lowest else ""
        lowest = min(lowest, epoch["valid_loss"])
        assert line == f"epoch {epoch['epoch']:2} of 60: {losses}{best}"
    n, best = len(history), model.best_epoch_
    assert end == f"stopped at epoch {n}, best {best} (valid_loss {lowest:.4f})"


def test_silence_is_the_default_and_lines_change_no_bit(binary, capsys):
    X, y, weight = binary
    silent = WeightedTorchClassifier(**QUICK | STOPPING).fit(X, y, weight)
    assert capsys.readouterr() == ("", "")
    for verbose in (1, 2, True):
        shown = WeightedTorchClassifier(**QUICK | STOPPING, verbose=verbose).fit(X, y, weight)
        assert_same_tensors(shown.module_.state_dict(), silent.module_.state_dict())
        assert shown.net_.step_ == silent.net_.step_ == "direct"
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"max_epochs": 2, "early_stopping": True},
            r"reached max_epochs at epoch 2, best \d \(val",
        ),
        (
            {"max_epochs": 2, "early_stopping": False},
            r"reached max_epochs at epoch 2 \(train_loss 0\.\d{4}, no validation rows\)",
        ),
    ],
)
def test_the_end_says_why_training_stopped(regression, capsys, params, expected):
    X, y, _ = regression
    WeightedTorchRegressor(**QUICK | params, verbose=1).fit(X, y)
    lines = lines_of(capsys)
    assert re.match(expected, lines[-1]) and len(lines) == 4
    assert ("valid_loss" in lines[0]) is params["early_stopping"]


class Acts(Callback):
    """Stops in the third epoch: as the user does, as a callback does, or by an error."""

    def __init__(self, how):
        self.how = how

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3 and self.how == "user":
            signal.raise_signal(signal.SIGINT)

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3 and self.how == "callback":
            raise KeyboardInterrupt
        if len(net.history) == 3 and self.how == "error":
            raise ArithmeticError("stopped")


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("verbose", [1, 2])
@pytest.mark.parametrize(
    ("how", "error", "expected"),
    [
        ("user", KeyboardInterrupt, "stopped by the user in epoch 3, best 2 (valid_loss"),
        ("callback", None, "stopped by a callback at epoch 3, best 3 (valid_loss"),
        ("error", ArithmeticError, None),
    ],
)
def test_a_training_that_is_stopped_says_by_whom(binary, capsys, verbose, how, error, expected):
    X, y, _ = binary
    model = WeightedTorchClassifier(
        **QUICK | STOPPING | {"lr": 0.002}, callbacks=[Acts(how)], verbose=verbose
    )
    if error is None:
        model.fit(X, y)
    else:
        with pytest.raises(error):
            model.fit(X, y)
    out, bar = capsys.readouterr()
    last = out.splitlines()[-1] if out else ""
    assert last.startswith(expected) if expected else "stopped" not in last
    if verbose == 2:
        assert ("100%" in bar) is (how == "callback")
    if how == "user":  # the third epoch is begun, and the network is that of the second
        assert (model.n_iter_, model.best_epoch_) == (3, 2)
        assert model.best_loss_ == model.history_[1, "valid_loss"]


def test_values_of_callbacks_stand_beside_the_losses_and_skorch_still_has_its_table(binary, capsys):
    X, y, _ = binary
    score = EpochScoring("roc_auc", name="auc", lower_is_better=False)
    model = WeightedTorchClassifier(**QUICK | STOPPING, callbacks=[score], verbose=1).fit(X, y)
    assert f", auc {model.history_[0, 'auc']:.4f} (best)" in lines_of(capsys)[1]
    lines = []
    params = {"callbacks": [PrintLog(sink=lines.append)], "max_epochs": 2}
    WeightedTorchClassifier(**QUICK | params).fit(X, y)
    assert "valid_loss" in lines[0] and capsys.readouterr().out == ""


def test_partial_fit_prints_its_epoch_and_a_warm_start_begins_anew(binary, capsys):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK, verbose=1)
    for _ in range(2):
        model.partial_fit(X, y, classes=[0, 1])
    losses = model.history_[:, "train_loss"]
    header, *lines = lines_of(capsys)
    assert header == HEADER.partition(";")[0]
    assert lines == [f"epoch {n}: train_loss {loss:.4f}" for n, loss in zip((1, 2), losses)]
    model = WeightedTorchClassifier(**QUICK | STOPPING, verbose=1, warm_start=True).fit(X, y)
    capsys.readouterr()
    model.fit(X, y)
    lines = lines_of(capsys)
    assert lines[1].startswith("epoch  1 of 60: ") and len(lines) == model.n_iter_ + 2


# --------------------------------------------------------------------------------------
# Members
# --------------------------------------------------------------------------------------


def test_members_in_a_stack_have_lines_of_means_and_say_how_many_are_still_trained(binary, capsys):
    X, y, weight = binary
    model = WeightedTorchClassifier(**QUICK | STOPPING | {"n_members": 4}, verbose=1)
    model.fit(X, y, weight)
    header, *lines, end = lines_of(capsys)
    assert header == HEADER and len(lines) == model.n_iter_
    for n, line in enumerate(lines, 1):
        epochs = [net.history[n - 1] for net in model.nets_ if len(net.history) >= n]
        mean = "mean " if len(epochs) > 1 else ""
        losses = [np.mean([e[name] for e in epochs]) for name in ("train_loss", "valid_loss")]
        start = f"epoch {n:2} of 60, {len(epochs)} of 4 networks: "
        text = f"{mean}train_loss {losses[0]:.4f}, {mean}valid_loss {losses[1]:.4f}"
        assert line.removesuffix(" (best)") == start + text
    lengths, best = [len(net.history) for net in model.nets_], model.best_epoch_
    assert min(lengths) < max(lengths)
    assert end == (
        f"4 networks: stopped at epochs {min(lengths)} to {max(lengths)}, best "
        f"{best.min()} to {best.max()} (mean valid_loss {model.best_loss_.mean():.4f})"
    )


def test_members_that_are_trained_one_by_one_are_numbered(binary, capsys):
    X, y, _ = binary
    params = {"n_members": 2, "module__dropout": 0.1, "max_epochs": 2, "early_stopping": False}
    WeightedTorchClassifier(**QUICK | params, verbose=1).fit(X, y)
    lines = [re.sub(r"\d\.\d{4}", "x", line) for line in lines_of(capsys)]
    own = [
        [
            f"network {n} of 2, epoch 1 of 2: train_loss x",
            f"network {n} of 2, epoch 2 of 2: train_loss x",
            f"network {n} of 2, reached max_epochs at epoch 2 (train_loss x, no validation rows)",
        ]
        for n in (1, 2)
    ]
    assert lines[1:-1] == own[0] + own[1]
    assert lines[-1].startswith("2 networks: reached max_epochs at epoch 2 (mean train_loss x")


# --------------------------------------------------------------------------------------
# Bars
# --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("every_state")
@pytest.mark.parametrize("n_members", [1, 3])
def test_a_bar_ends_at_100_percent_though_training_stops_early(binary, capsys, n_members):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK | STOPPING | {"n_members": n_members}, verbose=2)
    model.fit(X, y)
    out, bar = capsys.readouterr()
    assert final(bar)[-1].startswith("100%|") and "0%|" in bar
    assert "train_loss 0." in bar and re.search(r"epoch [ \d]\d of 60", bar)
    assert model.n_iter_ < 60 and len(out.splitlines()) == 1
    assert re.match(r"(3 networks: )?stopped at epochs? \d", out)


@pytest.mark.usefixtures("every_state")
def test_the_bar_of_replicates_moves_with_epochs_and_ends_with_the_last_replicate(binary, capsys):
    X, y, _ = binary
    W = bootstrap_weights(None, None, np.ones(len(y)), n_replicates=4, random_state=0)
    for params in ({}, {"n_jobs": 2}, {"stack_size": 1}):
        net = WeightedTorchClassifier(**QUICK | STOPPING | {"n_members": 2})
        ReplicateEstimator(net, verbose=1, **params).fit(X, y, replicate_weights=W)
        out, bar = capsys.readouterr()
        assert "5 of 5 fits" in final(bar)[-1] and final(bar)[-1].startswith("100%|")
        assert ("epoch" in bar) is ("n_jobs" not in params) and out == ""
    ReplicateEstimator(net, mse=False).fit(X, y, replicate_weights=W)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match=r"^verbose must be an integer >= 0, got 'yes'"):
        ReplicateEstimator(net, verbose="yes").fit(X, y, replicate_weights=W)


# --------------------------------------------------------------------------------------
# Observers
# --------------------------------------------------------------------------------------


class Records:
    """Record all that is told; end trainings after ``last`` epochs."""

    def __init__(self, last=10**9):
        self.calls, self.states, self.train_losses, self.last = [], {}, [], last

    def epoch_began(self, keys):
        self.calls += [("began", key) for key in keys]

    def epoch_ended(self, epochs):
        for end in epochs:
            epoch = {k: v for k, v in end.net.history[-1].items() if k not in ("dur", "batches")}
            self.train_losses.append((end.key, epoch["epoch"], epoch.pop("train_loss")))
            self.calls.append(("ended", end.key, epoch))
            self.states[end.key, epoch["epoch"]] = end.copy_network().state_dict()
            end.stop = epoch["epoch"] >= self.last

    def training_ended(self, key, net, reason):
        self.calls.append(("over", key, reason))

    def of(self, key):
        return [(what, *rest) for what, found, *rest in self.calls if found == key]


def trainings_of(binary, **params):
    X, y, weight = binary
    model = WeightedTorchClassifier(**QUICK | {"n_members": 4} | params)
    return plan(model, FitData(X, y, weight)).trainings


CASES = {
    "stopping": STOPPING,
    "stopping without ema": STOPPING | {"ema_decay": 0},
    "no rows held out": {"early_stopping": False, "max_epochs": 5},
    "ema": {"early_stopping": False, "max_epochs": 5, "ema_decay": 0.9},
    "autograd": STOPPING | {"criterion": lambda f, y: nn.functional.softplus(f * (1 - 2 * y))},
}


@pytest.mark.parametrize("last", [10**9, 2])
@pytest.mark.parametrize("name", CASES)
def test_a_stack_tells_what_lone_trainings_tell(binary, name, last):
    found, expected = Records(last), Records(last)
    outcomes = train_in_stacks(watched(trainings_of(binary, **CASES[name]), found))
    nets = [train(t) for t in watched(trainings_of(binary, **CASES[name]), expected)]
    assert all(outcome.stacked for outcome in outcomes)
    for key, (outcome, net) in enumerate(zip(outcomes, nets)):
        assert found.of(key) == expected.of(key)
        assert [call[0] for call in found.of(key)] == ["began", "ended"] * len(net.history) + [
            "over"
        ]
        assert_same_tensors(outcome.net.module_.state_dict(), net.module_.state_dict())
    assert len({call[-1] for call in found.calls if call[0] == "over"}) == 1
    # Stacks add losses of batches up in another order.
    pairs = sorted(found.train_losses), sorted(expected.train_losses)
    assert_allclose(*pairs, rtol=1e-6)
    assert found.states.keys() == expected.states.keys()
    for key, state in found.states.items():
        assert_same_tensors(state, expected.states[key])


@pytest.mark.parametrize("name", CASES)
def test_an_observer_is_given_the_network_of_the_epoch_and_changes_no_bit(binary, name):
    record, params = Records(), CASES[name]
    plain = [train(training) for training in trainings_of(binary, **params)]
    nets = [train(training) for training in watched(trainings_of(binary, **params), record)]
    for key, (net, other) in enumerate(zip(nets, plain)):
        kept = net.module_.state_dict()
        assert_same_tensors(kept, other.module_.state_dict())
        losses = net.history[:, "valid_loss"] if "valid_loss" in net.history[0] else None
        epoch = len(net.history) if losses is None else int(np.argmin(losses)) + 1
        assert_same_tensors(record.states[key, epoch], kept)
        assert "watches" not in net.__getstate__() and net.watches == ()


def test_observers_within_a_block_are_told_of_the_fits_in_it_by_this_thread(binary):
    X, y, _ = binary
    records = []

    def make(n_networks):
        records.append((n_networks, Records()))
        return records[-1][1]

    with observing(make):
        WeightedTorchClassifier(**QUICK, max_epochs=2).fit(X, y)
        WeightedTorchClassifier(**QUICK | {"n_members": 2}, max_epochs=2).fit(X, y)
    WeightedTorchClassifier(**QUICK, max_epochs=2).fit(X, y)
    assert [(n, len(record.calls)) for n, record in records] == [(1, 5), (2, 10)]


def test_a_training_is_pickled_without_those_who_watch_it(binary):
    (training,) = watched(trainings_of(binary, n_members=1), Records())
    assert len(training.watches) == 1
    copied = copy.deepcopy(training)
    assert copied.watches == () and isinstance(copied, Training)
    assert_array_equal(copied.rows.index, training.rows.index)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_members_that_were_never_begun_are_not_counted_as_ended(binary, capsys):
    X, y, _ = binary
    params = {"n_members": 3, "max_epochs": 4, "early_stopping": False, "verbose": 1}
    model = WeightedTorchClassifier(**QUICK | params, callbacks=[InSecondMember()])
    InSecondMember.n_begun = 0
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    end = lines_of(capsys)[-1]
    assert end.startswith("1 of 3 networks reached max_epochs at epoch 4; ")
    assert "1 of 3 networks stopped by the user in epoch 3 (mean train_loss" in end


class InSecondMember(Callback):
    """Presses Ctrl-C in the third epoch of the second network."""

    n_begun = 0

    def on_train_begin(self, net, **kwargs):
        InSecondMember.n_begun += 1

    def on_epoch_end(self, net, **kwargs):
        if (InSecondMember.n_begun, len(net.history)) == (2, 3):
            signal.raise_signal(signal.SIGINT)
