"""Early stopping: when training ends, which state is kept, and which rows are held out.

How rows are split is in ``test_arrays.py``, the rest of the training in ``test_run.py``.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback, Checkpoint, EpochScoring, LRScheduler
from skorch.callbacks import EarlyStopping as SkorchStopping
from skorch.history import History

from skweight import WeightedTorchClassifier
from skweight.training import EpochLosses, Patience, check_finite_losses

QUICK = {"max_epochs": 8, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}


def weighted_log_loss(model, X, y, weight):
    chosen = model.predict_proba(X)[np.arange(len(y)), y]
    return np.average(-np.log(chosen), weights=weight)


class CaughtRows(Callback):
    """Keep the validation rows that the net was given."""

    valid = None

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        CaughtRows.valid = dataset_valid


def test_early_stopping_keeps_the_state_with_the_best_weighted_validation_loss(binary):
    X, y, weight = binary
    params = QUICK | {"max_epochs": 300, "lr": 0.05}
    model = WeightedTorchClassifier(
        early_stopping=True, n_iter_no_change=5, tol=0.0, callbacks=[CaughtRows], **params
    )
    model.fit(X, y, weight)
    losses = np.array(model.history_[:, "valid_loss"])
    best = losses.argmin()
    assert model.n_iter_ == best + 6 < 300
    rows = CaughtRows.valid
    index, w = rows.index.numpy(), rows.row_weight.numpy()
    now = weighted_log_loss(model, X[index], y[index], w)
    assert now == pytest.approx(losses[best], rel=1e-5)
    assert losses[-1] > losses[best] + 1e-4
    assert now != pytest.approx(weighted_log_loss(model, X[index], y[index], None), rel=1e-3)


def test_the_best_state_is_kept_whatever_counts_as_an_improvement(binary):
    X, y, weight = binary
    model = WeightedTorchClassifier(
        early_stopping=True, tol=0.02, callbacks=[CaughtRows], **QUICK | {"max_epochs": 60}
    )
    model.fit(X, y, weight)
    losses = np.array(model.history_[:, "valid_loss"])
    rows = CaughtRows.valid
    index, w = rows.index.numpy(), rows.row_weight.numpy()
    assert losses.argmin() < len(losses) - 1
    now = weighted_log_loss(model, X[index], y[index], w)
    assert now == pytest.approx(losses.min(), rel=1e-5)


def test_every_callback_sees_the_epoch_in_which_training_stops(binary, capsys):
    X, y, _ = binary
    score = EpochScoring("roc_auc", name="auc", lower_is_better=False)
    params = QUICK | {"max_epochs": 300, "lr": 0.05}
    model = WeightedTorchClassifier(
        callbacks=[score], early_stopping=True, n_iter_no_change=3, verbose=1, **params
    )
    model.fit(X, y)
    assert model.n_iter_ == len(model.history_[:, "auc"]) < 300
    assert len(capsys.readouterr().out.strip().splitlines()) == model.n_iter_ + 2  # the header


def test_each_class_has_its_share_among_the_validation_rows(classes3):
    X, y, _ = classes3
    y = np.where(np.arange(len(y)) < 30, 2, y % 2)
    model = WeightedTorchClassifier(
        early_stopping=True, validation_fraction=0.2, callbacks=[CaughtRows], **QUICK
    )
    model.fit(X, y)
    assert_array_equal(np.bincount(CaughtRows.valid.y.numpy())[2], 6)


def test_no_rows_are_held_out_without_early_stopping(binary):
    X, y, _ = binary
    sizes = []

    class Sizes(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            sizes.append(len(batch[1]) if training else 0)

    CaughtRows.valid = "nothing was seen"
    model = WeightedTorchClassifier(
        callbacks=[CaughtRows, Sizes], early_stopping=False, **QUICK
    ).fit(X, y)
    assert CaughtRows.valid is None
    assert "valid_loss" not in model.history_[-1]
    n_batches = model.history_[0, "train_batch_count"]
    assert n_batches == len(sizes) // 8 == 7
    assert sum(sizes[:n_batches]) == len(np.unique(np.c_[X, y], axis=0))


def test_patience_counts_epochs_without_improvement_and_keeps_the_lowest_loss():
    patience = Patience(n_iter_no_change=3, tol=0.1)
    losses = [1.0, 0.95, 0.8, 0.75, 0.9, float("nan")]
    found = [(patience.update(loss), patience.n_misses, patience.is_over) for loss in losses]
    # 0.95 and 0.75 are the lowest so far, but not lower than the lowest before by tol.
    assert [best for best, _, _ in found] == [True, True, True, True, False, False]
    assert [misses for _, misses, _ in found] == [0, 1, 0, 1, 2, 3]
    assert [over for _, _, over in found] == [False] * 5 + [True]
    assert patience.best_loss == 0.75


def test_losses_are_recorded_with_whether_they_are_the_lowest():
    history, losses = History(), EpochLosses()
    for train, valid in ((2.0, 3.0), (1.0, 3.0), (1.5, 2.0)):
        history.new_epoch()
        losses.record(history, "train", train)
        losses.record(history, "valid", valid)
    assert history[:, "train_loss"] == [2.0, 1.0, 1.5]
    assert history[:, "train_loss_best"] == [True, True, False]
    assert history[:, "valid_loss_best"] == [True, False, True]


@pytest.mark.parametrize("name", ["train_loss", "valid_loss"])
@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused_with_its_epoch_and_the_learning_rate(name, loss):
    epoch = {"epoch": 7, "train_loss": 1.0, "valid_loss": 1.0}
    check_finite_losses(epoch, lr=0.5)
    check_finite_losses({"epoch": 7, "train_loss": 1.0}, lr=0.5)
    message = rf"^{name} became {loss} in epoch 7\. Try a smaller lr \(it was 0\.5\)"
    with pytest.raises(ValueError, match=message):
        check_finite_losses(epoch | {name: loss}, lr=0.5)


ACCURACY = EpochScoring("accuracy", name="accuracy", lower_is_better=False)
MONITORS = {
    "checkpoint": ([Checkpoint()], "Checkpoint monitors 'valid_loss_best'"),
    "class": ([SkorchStopping], "EarlyStopping monitors 'valid_loss'"),
    "named": ([("mine", SkorchStopping())], "mine monitors 'valid_loss'"),
    "score": (
        [ACCURACY, SkorchStopping("accuracy", lower_is_better=False)],
        "EpochScoring scores validation rows",
    ),
}


@pytest.mark.parametrize("name", MONITORS)
def test_a_callback_that_monitors_validation_rows_is_refused_where_there_are_none(name, binary):
    callbacks, message = MONITORS[name]
    model = WeightedTorchClassifier(callbacks=callbacks, early_stopping=False, **QUICK)
    with pytest.raises(ValueError, match=rf"^callbacks: {message}.*pass early_stopping=True"):
        model.fit(*binary)


def test_a_callback_that_monitors_what_is_recorded_without_validation_rows_is_not(binary):
    score = EpochScoring("accuracy", name="accuracy", on_train=True, lower_is_better=False)
    callbacks = [
        score,
        SkorchStopping("accuracy_best", sink=lambda text: None, patience=99),
        LRScheduler("StepLR", step_size=2, monitor="valid_loss"),  # which it does not look at
    ]
    model = WeightedTorchClassifier(callbacks=callbacks, early_stopping=False, **QUICK)
    assert model.fit(*binary).n_iter_ == 8
