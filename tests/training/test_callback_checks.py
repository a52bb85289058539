"""Callbacks that would do nothing, or fail after an epoch, are refused before the training."""

import re

import numpy as np
import pytest
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    WandbLogger,
)

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

QUICK = {"max_epochs": 3, "batch_size": 64, "random_state": 0, "device": "cpu", "n_members": 1}
X = np.random.default_rng(0).normal(size=(220, 3))
Y = (X[:, 0] > 0).astype(int)
PLATEAU = "ReduceLROnPlateau"


def accuracy(name="acc", **params):
    return EpochScoring("accuracy", name=name, lower_is_better=False, **params)


class Run:
    def watch(self, module):
        pass

    def log(self, values):
        pass


def refusal(callbacks, early_stopping, **params):
    """The message of the refusal, and that no epoch was begun."""
    begun = []
    follow = type("EpochTimer", (EpochTimer,), {"__module__": "skorch"})
    follow.on_train_begin = lambda self, net, **kwargs: begun.append(True)
    model = WeightedTorchClassifier(early_stopping=early_stopping, **QUICK | params)
    with pytest.raises(ValueError, match=r"^callbacks: ") as caught:
        model.set_params(callbacks=[*callbacks, follow]).fit(X, Y)
    assert not begun and not hasattr(model, "nets_")
    return str(caught.value)


# Without validation rows

SCORES = {
    "EpochScoring": EpochScoring("accuracy"),
    "BatchScoring": BatchScoring("accuracy"),
    "PassthroughScoring": PassthroughScoring("valid_loss"),
    "mine": ("mine", EpochScoring("neg_log_loss")),
    "PassthroughScoring of a score": PassthroughScoring("acc"),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_of_validation_rows_is_refused_where_there_are_none(name):
    message = refusal([SCORES[name]], False)
    assert message == (
        f"callbacks: {name.partition(' ')[0]} scores validation rows, and this fit has none: pass "
        "early_stopping=True, or X_val and y_val to fit, or score the training rows with "
        "on_train=True."
    )


@pytest.mark.parametrize("way", ["early_stopping", "X_val", "on_train"])
def test_each_way_out_of_that_refusal_records_the_score(way):
    score = accuracy(on_train=way == "on_train")
    model = WeightedTorchClassifier(callbacks=[score], early_stopping=way != "on_train", **QUICK)
    model.fit(X, Y, **({"X_val": X, "y_val": Y} if way == "X_val" else {}))
    assert all(0.2 < value <= 1 for value in model.history_[:, "acc"])


def test_few_rows_of_which_none_are_held_out_by_default_are_no_validation_rows():
    model = WeightedTorchClassifier(callbacks=[accuracy()], **QUICK)
    assert len(model.fit(X, Y).history_[:, "acc"]) == 3
    with pytest.raises(ValueError, match="EpochScoring scores validation rows"):
        model.fit(X[:150], Y[:150])
    with pytest.raises(ValueError, match="EpochScoring scores validation rows"):
        WeightedTorchClassifier(callbacks=[accuracy()]).partial_fit(X, Y, classes=[0, 1])


class OwnRows(EpochScoring):
    """Scores rows of its own."""

    def on_epoch_end(self, net, **kwargs):
        self._record_score(net.history, self._scoring(net, X, Y))


def test_a_score_of_rows_of_its_own_needs_no_validation_rows():
    score = OwnRows("accuracy", name="acc", lower_is_better=False)
    model = WeightedTorchClassifier(callbacks=[score], early_stopping=False, **QUICK)
    model.fit(X, Y)
    assert model.history_[-1, "acc"] == model.score(X, Y)


MONITORS = {
    "plateau": (LRScheduler(PLATEAU, monitor="valid_loss"), "LRScheduler monitors 'valid_loss'"),
    "checkpoint": (Checkpoint(), "Checkpoint monitors 'valid_loss_best'"),
    "stopping": (EarlyStopping(), "EarlyStopping monitors 'valid_loss'"),
    "bar": (ProgressBar(postfix_keys=["valid_loss"]), "ProgressBar monitors 'valid_loss'"),
    "wandb": (WandbLogger(Run()), "WandbLogger saves the network with the lowest 'valid_loss'"),
}


@pytest.mark.parametrize("name", MONITORS)
def test_what_reads_a_validation_loss_is_refused_where_there_is_none(name):
    callback, message = MONITORS[name]
    found = refusal([callback], False)
    assert found.startswith(f"callbacks: {message}, which is recorded with validation rows only: ")
    assert "pass early_stopping=True, or X_val and y_val to fit, or " in found


def test_what_needs_no_validation_rows_is_accepted_without_them():
    callbacks = [
        ProgressBar(),
        WandbLogger(Run(), save_model=False),
        accuracy("valid_loss", on_train=True),
        EarlyStopping("valid_loss", lower_is_better=False, patience=9),
        LRScheduler("StepLR", step_size=2, monitor="valid_loss"),  # which it does not read
    ]
    model = WeightedTorchClassifier(callbacks=callbacks, early_stopping=False, **QUICK)
    assert model.fit(X, Y).n_iter_ == 3


# Names that nothing records

VALID_ACC = r"put EpochScoring\('accuracy', name='valid_acc', lower_is_better=False\) before it"
UNRECORDED = {
    "EarlyStopping": (
        [EarlyStopping("valid_acc", lower_is_better=False)],
        f"EarlyStopping monitors 'valid_acc', .* of epochs, .*'valid_loss'.*: {VALID_ACC}",
    ),
    "Checkpoint": ([Checkpoint("valid_acc_best")], f"Checkpoint monitors .*: {VALID_ACC}"),
    "a misspelt name": (
        [accuracy(), Checkpoint("acc_bets")],
        r"Checkpoint .*: put a score with this name before it. Did you mean 'acc_best'\?",
    ),
    "plateau": (
        [LRScheduler(PLATEAU, monitor="acc")],
        "LRScheduler monitors 'acc', .*: put a score with this name before it",
    ),
    "an order": (
        [EarlyStopping("acc"), ("mine", accuracy())],
        "EarlyStopping monitors 'acc', .*: put it after mine, which records it",
    ),
    "a plateau of batches": (
        [LRScheduler(PLATEAU, monitor="valid_loss", step_every="batch")],
        "LRScheduler monitors 'valid_loss', .* what is recorded of training batches",
    ),
    "PassthroughScoring": (
        [PassthroughScoring("acc", on_train=True)],
        "PassthroughScoring monitors 'acc', .* of batches, .*: a BatchScoring records",
    ),
    "a score of epochs": (
        [accuracy(), PassthroughScoring("acc")],
        "PassthroughScoring monitors 'acc', .* of batches, .*: a BatchScoring records",
    ),
    "ProgressBar": (
        [accuracy("valid_acc"), ProgressBar(postfix_keys=["train_loss", "valid_acc"])],
        "ProgressBar monitors 'valid_acc', .* of batches, .*: a BatchScoring records",
    ),
    "an event without a name": (
        [Checkpoint(event_name=None), EarlyStopping("event_cp")],
        "EarlyStopping monitors 'event_cp'",
    ),
}


@pytest.mark.parametrize("name", UNRECORDED)
def test_a_callback_that_reads_a_name_that_is_not_recorded_is_refused(name):
    callbacks, message = UNRECORDED[name]
    assert re.search(f"^callbacks: {message}", refusal(callbacks, True))


class Records(Callback):
    def on_epoch_begin(self, net, **kwargs):
        net.history.record("mine", -len(net.history))


@pytest.mark.parametrize("position", [0, 1])
def test_a_callback_of_ones_own_may_record_what_others_monitor(position):
    stopping = EarlyStopping("mine", lower_is_better=False, patience=2, sink=lambda text: None)
    callbacks = [stopping]
    callbacks.insert(position, Records())
    model = WeightedTorchRegressor(callbacks=callbacks, **QUICK | {"max_epochs": 9})
    assert model.fit(X, X[:, 0]).n_iter_ == 3


def test_scores_of_batches_are_read_wherever_they_are_placed():
    callbacks = [
        PassthroughScoring("roc_auc"),
        ProgressBar(postfix_keys=["roc_auc", "train_loss", "rate"]),
        LRScheduler("StepLR", step_every="batch", step_size=1, event_name="rate"),
        BatchScoring("roc_auc", lower_is_better=False),
        EarlyStopping("roc_auc_best", patience=9),
    ]
    model = WeightedTorchClassifier(callbacks=callbacks, early_stopping=True, **QUICK)
    assert len(model.fit(X, Y).history_[:, "roc_auc"]) == 3


# Printing, and names


def test_a_log_that_prints_nothing_is_refused():
    message = refusal([PrintLog()], False)
    assert message == (
        "callbacks: PrintLog prints nothing with verbose=0: pass verbose=1, or a sink other than "
        "print."
    )


@pytest.mark.parametrize("log", [PrintLog, ("print_log", PrintLog(floatfmt=".6f"))])
def test_a_log_of_the_user_is_the_only_one(log, capsys):
    WeightedTorchClassifier(callbacks=[log], verbose=1, **QUICK).fit(X, Y)
    rows = re.findall(r"^ +[123] .*", capsys.readouterr().out, flags=re.MULTILINE)
    assert len(rows) == 3
    assert len(re.findall(r"\d\.\d{6}(?!\d)", rows[0])) == (0 if log is PrintLog else 3)


@pytest.mark.parametrize("name", ["early_stopping", "finite_loss", "epoch_timer"])
def test_a_callback_may_have_any_name(name):
    timer = EpochTimer if name == "epoch_timer" else accuracy
    model = WeightedTorchClassifier(callbacks=[(name, timer())], early_stopping=True, **QUICK)
    assert dict(model.fit(X, Y).net_.callbacks_)[name] is not None
    assert model.history_[-1, "dur"] > 0
