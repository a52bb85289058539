"""A fit that ends in the middle goes on from its file as if it had never ended."""

import copy
import io
import pickle
import signal
from collections import deque

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors, full_disk
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch import NeuralNetRegressor
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    Unfreezer,
)
from torch import nn
from torch.optim import lr_scheduler
from torch.utils._pytree import tree_leaves

import skweight.training.checkpoint_file
from skweight import (
    ReplicateEstimator,
    TrainingCheckpoint,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    bootstrap_weights,
)

rng = np.random.default_rng(0)
X = np.random.default_rng(1).normal(size=(260, 5))
Y = (X[:, 0] + X[:, 1] ** 2 + np.random.default_rng(2).normal(size=260) > 1).astype(int)
WEIGHT = np.random.default_rng(3).integers(0, 4, 260)
N_EPOCHS = 7
QUICK = {
    "max_epochs": N_EPOCHS,
    "batch_size": 64,
    "lr": 0.02,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
    "early_stopping": True,
    "module__hidden_sizes": (8,),
}
DEFAULTS = {name: value for name, value in QUICK.items() if not name.startswith("module__")}


class Killed(BaseException):
    """The process ends here."""


def kill_in_epoch(monkeypatch, epoch, after_writing=False):
    """End the process when an epoch is over: before or after its file is written."""
    kind = skweight.training.checkpoint_file.CheckpointFile
    write = kind.epoch_ended

    def epoch_ended(self, net, is_over):
        if len(net.history) == epoch and not after_writing:
            raise Killed
        write(self, net, is_over)
        if len(net.history) == epoch:
            raise Killed

    monkeypatch.setattr(kind, "epoch_ended", epoch_ended)


class Versioned(nn.Module):
    """A module that converts states of its first version, and has more state than tensors."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.linear, self.n_calls = nn.Linear(5, 1), 0

    def forward(self, X):
        self.n_calls += self.training
        return self.linear(X) * (1 + 0.01 * self.n_calls)

    def get_extra_state(self):
        return torch.tensor(self.n_calls)

    def set_extra_state(self, state):
        self.n_calls = int(state)

    def _load_from_state_dict(self, state, prefix, local_metadata, *args):
        if local_metadata.get("version") != 2:
            state[prefix + "linear.weight"] = -state[prefix + "linear.weight"]
        super()._load_from_state_dict(state, prefix, local_metadata, *args)


def own_network():
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)
    )


class Counts(Callback):
    """A callback with a state of its own, on which the training depends."""

    def __init__(self, scale=0.9):
        self.scale = scale

    def on_train_begin(self, net, **kwargs):
        self.seen_ = deque(maxlen=3)
        self.numbers_ = {"sum": np.zeros(2), 3: [np.float32(1)]}

    def on_epoch_end(self, net, **kwargs):
        self.seen_.append(net.history[-1, "train_loss"])
        self.numbers_["sum"] += len(self.seen_)
        net.history.record("sum", float(self.numbers_["sum"][0]))
        with torch.no_grad():
            for parameter in net.module_.parameters():
                parameter.mul_(1 - 0.01 * float(np.mean(self.seen_)))


def schedule(policy, **params):
    return {"callbacks": [LRScheduler(policy, **params)]}


def accuracy():
    return EpochScoring("accuracy", name="accuracy", lower_is_better=False)


CASES = {
    "default": {},
    "no validation": {"early_stopping": False},
    "no average": {"ema_decay": 0},
    "average without validation": {"early_stopping": False, "ema_decay": 0.9},
    "sampling": {"weighting": "sampling"},
    "dropout": {"module__dropout": 0.3},
    "stops early": {"max_epochs": 40, "n_iter_no_change": 4, "lr": 0.1},
    "sgd": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    "lbfgs": {"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 3, "batch_size": -1},
    "amsgrad": {"optimizer": torch.optim.Adam, "optimizer__amsgrad": True},
    "groups": {"optimizer__param_groups": [("*bias", {"lr": 0.1})]},
    "match_mean": {"match_mean": True},
    "StepLR": schedule("StepLR", step_size=2, gamma=0.5),
    "CosineAnnealingLR": schedule("CosineAnnealingLR", T_max=5),
    "MultiStepLR": schedule(lr_scheduler.MultiStepLR, milestones=[2, 4], gamma=0.5),
    "OneCycleLR": schedule(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=40, step_every="batch"),
    "CyclicLR": schedule("CyclicLR", base_lr=0.01, max_lr=0.1, step_every="batch"),
    "LambdaLR": schedule(lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 0.8**epoch),
    "ReduceLROnPlateau": schedule("ReduceLROnPlateau", monitor="valid_loss", patience=0),
    "WarmRestartLR": schedule("WarmRestartLR", min_lr=0.01, max_lr=0.1),
    "schedule of a class": schedule(lr_scheduler.ExponentialLR, gamma=0.7),
    "clipping": {"callbacks": [GradientNormClipping(0.05)]},
    "score": {"callbacks": [accuracy(), EarlyStopping("accuracy", lower_is_better=False)]},
    "skorch stops": {
        "callbacks": [EarlyStopping("train_loss", threshold=0.1, patience=2, load_best=True)],
        "max_epochs": 20,
    },
    "freezer": {"callbacks": [Freezer("hidden*"), Unfreezer("hidden*", at=6)]},
    "own state": {"callbacks": [Counts()]},
}
KINDS = {"classifier": WeightedTorchClassifier, "regressor": WeightedTorchRegressor}


def made(kind, path, every=1, **params):
    """An estimator as a script makes it anew in each process."""
    params = copy.deepcopy(QUICK | params)
    if path is not None:
        params["callbacks"] = [TrainingCheckpoint(path, every), *params.get("callbacks", [])]
    return kind(**params)


def fit(model):
    y = Y if isinstance(model, WeightedTorchClassifier) else X[:, 0] * 3 + Y
    return model.fit(X, y, sample_weight=WEIGHT)


def without_times(history):
    return [{k: v for k, v in epoch.items() if k not in ("dur", "batches")} for epoch in history]


def assert_same_fit(found, expected):
    assert len(found.nets_) == len(expected.nets_)
    for net, other in zip(found.nets_, expected.nets_):
        assert without_times(net.history) == without_times(other.history)
        assert_same_tensors(net.module_.state_dict(), other.module_.state_dict())
    predict = getattr(found, "predict_proba", found.predict)
    assert_array_equal(predict(X), getattr(expected, "predict_proba", expected.predict)(X))
    if "valid_loss" in expected.nets_[0].history[-1]:
        assert_array_equal(found.best_epoch_, expected.best_epoch_)
        assert_array_equal(found.best_loss_, expected.best_loss_)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_is_killed_goes_on_bit_for_bit(kind, name, tmp_path, monkeypatch):
    make, path = KINDS[kind], tmp_path / "fit.pt"
    if kind == "regressor" and name == "score":
        pytest.skip("accuracy is for classes")
    expected = fit(made(make, None, **CASES[name]))
    n_epochs = expected.n_iter_
    assert n_epochs > 4 and len({*expected.history_[:, "train_loss"]}) > 4
    for epoch, after_writing in ((2, False), (4, True)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_in_epoch(patch, epoch, after_writing)
            fit(made(make, path, **CASES[name]))
    again = fit(made(make, path, **CASES[name]))
    assert_same_fit(again, expected)
    assert again.net_.step_ == expected.net_.step_
    last = fit(made(make, path, **CASES[name]))  # from the file alone
    assert_same_fit(last, expected)


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
@pytest.mark.parametrize("module", [own_network, Versioned])
def test_a_module_of_ones_own_goes_on(module, weighting, tmp_path, monkeypatch):
    path, params = tmp_path / "fit.pt", DEFAULTS | {"weighting": weighting, "lr": 0.1}
    others = [EarlyStopping("train_loss", load_best=True)] if module is Versioned else []
    expected = WeightedTorchClassifier(module, callbacks=others, **params).fit(X, Y, WEIGHT)
    assert (expected.net_.step_ == "direct") is (module is own_network)
    assert expected.n_iter_ == N_EPOCHS
    for epoch in (1, 3):
        callbacks = [TrainingCheckpoint(path), *others]
        model = WeightedTorchClassifier(module, callbacks=callbacks, **params)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_in_epoch(patch, epoch, after_writing=True)
            model.fit(X, Y, WEIGHT)
    assert_same_fit(clone(model).fit(X, Y, WEIGHT), expected)


# Each fit has its file --------------------------------------------------------------------


def interrupted(tmp_path, monkeypatch, **params):
    """A classifier whose fit has ended after three epochs, and the path of its file."""
    path = tmp_path / "fit.pt"
    model = made(WeightedTorchClassifier, path, **params)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_in_epoch(patch, 3, after_writing=True)
        fit(model)
    assert not hasattr(model, "nets_")
    return model, path


ANOTHER = {
    "lr": ({"lr": 0.05}, "lr was 0.02, now it is 0.05"),
    "seed": ({"random_state": 1}, "seed of random_state was .*; the initial values of the net"),
    "batch size": ({"batch_size": 32}, "batch_size was 64, now it is 32"),
    "optimizer": ({"optimizer": torch.optim.SGD}, "optimizer was .*AdamW.*, now it is .*SGD"),
    "of optimizer": ({"optimizer__eps": 0.1}, "optimizer__eps was not given, now it is 0.1"),
    "average": ({"ema_decay": 0.5}, "ema_decay was .*, now it is 0.5"),
    "network": ({"module__hidden_sizes": (9,)}, "the layers of the network"),
    "activation": ({"module__activation": nn.Tanh}, "in: the layers of the network. To go on"),
    "criterion": ({"criterion": "focal"}, "in: the criterion. To go on"),
    "of criterion": (
        {"criterion": "focal", "criterion__gamma": 3.0},
        "in: the criterion. To go on",
    ),
    "class weight": ({"class_weight": "balanced"}, r"the weights \(sample_weight, class_weight\);"),
    "validation": ({"early_stopping": False}, "number of validation rows was 40, now it is 0"),
    "patience": ({"n_iter_no_change": 2}, "n_iter_no_change was .*, now it is 2"),
    "weighting": ({"weighting": "sampling"}, "weighting was loss, now it is sampling"),
    "callbacks": ({"callbacks": [Counts()]}, "in: the other callbacks. To go on"),
}


@pytest.mark.parametrize("name", ANOTHER)
def test_the_file_of_a_fit_with_other_parameters_is_refused(name, tmp_path, monkeypatch):
    first = {"criterion": "focal"} if name == "of criterion" else {}
    _, path = interrupted(tmp_path, monkeypatch, **first)
    before = path.read_bytes()
    changed, message = ANOTHER[name]
    model = made(WeightedTorchClassifier, path, **changed)
    with pytest.raises(ValueError, match=rf"^callbacks: .*fit\.pt' of another fit. .*{message}"):
        fit(model)
    assert not hasattr(model, "nets_") and path.read_bytes() == before
    path.unlink()
    assert_same_fit(fit(model), fit(made(WeightedTorchClassifier, None, **changed)))


def test_the_file_of_a_fit_of_other_rows_is_refused(tmp_path, monkeypatch):
    model, _ = interrupted(tmp_path, monkeypatch)
    other, flipped = X.copy(), Y.copy()
    other[np.flatnonzero(WEIGHT)[0], 0] += 1e-3
    flipped[np.flatnonzero(WEIGHT)[0]] ^= 1
    for data, message in (
        ((other, Y, WEIGHT), "in: X. To go on"),
        ((X, flipped, WEIGHT), r"; y \(less any offset\);"),
        ((X, Y, WEIGHT + 1), "number of training rows"),
        ((X, Y, np.where(WEIGHT == 3, 2, WEIGHT)), "the weights .*"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(*data)
    rows = np.repeat(np.arange(len(X)), WEIGHT)[::-1]  # the same data
    assert_same_fit(model.fit(X[rows], Y[rows]), fit(made(WeightedTorchClassifier, None)))


def test_what_is_not_part_of_a_fit_may_change(tmp_path, monkeypatch, capsys):
    model, path = interrupted(tmp_path, monkeypatch)
    moved = path.rename(tmp_path / "moved.pt")
    model.set_params(callbacks=[TrainingCheckpoint(str(moved), every=2)], verbose=1)
    assert_same_fit(fit(model), fit(made(WeightedTorchClassifier, None)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"continued after epoch 3, from {str(moved)!r}"
    assert lines[1].startswith("epoch 4 of 7: train_loss ") and len(lines) == 2 + 4


def test_more_epochs_may_follow_and_fewer_not(tmp_path):
    path = tmp_path / "fit.pt"
    fit(made(WeightedTorchClassifier, path, max_epochs=3))
    longer = fit(made(WeightedTorchClassifier, path))
    assert_same_fit(longer, fit(made(WeightedTorchClassifier, None)))
    with pytest.raises(ValueError, match=r"found 7 epochs in .* at least 7, got 5"):
        fit(made(WeightedTorchClassifier, path, max_epochs=5))


def test_a_training_that_a_callback_has_ended_does_not_go_on(tmp_path, capsys):
    path, params = tmp_path / "fit.pt", {"max_epochs": 30, "n_iter_no_change": 3, "lr": 0.1}
    first = fit(made(WeightedTorchClassifier, path, **params))
    assert first.n_iter_ < 30
    again = fit(made(WeightedTorchClassifier, path, **params | {"max_epochs": 60}, verbose=1))
    assert_same_fit(again, first)
    ending = f"stopped at epoch {first.n_iter_}, best {first.best_epoch_} (valid_loss"
    assert capsys.readouterr().out.splitlines()[-1].startswith(ending)


@pytest.mark.parametrize(("every", "n_repeated"), [(1, 0), (2, 1), (3, 2), (100, 5)])
def test_a_file_is_written_after_every_kth_epoch_and_the_last(
    every, n_repeated, tmp_path, monkeypatch
):
    path, told = tmp_path / "fit.pt", []
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_in_epoch(patch, 5, after_writing=True)
        fit(made(WeightedTorchClassifier, path, every))
    write = torch.save
    monkeypatch.setattr(
        "torch.save",
        lambda content, file: (
            told.append(len(content["training"]["history"])) or write(content, file)
        ),
    )
    again = fit(made(WeightedTorchClassifier, path, every))
    assert_same_fit(again, fit(made(WeightedTorchClassifier, None)))
    begin = 5 - n_repeated
    expected = [n for n in range(begin + 1, N_EPOCHS + 1) if n % every == 0 or n == N_EPOCHS]
    assert told == expected


def test_a_file_is_read_without_running_code(tmp_path):
    path, witness = tmp_path / "fit.pt", tmp_path / "witness"

    class Runs:
        def __reduce__(self):
            return witness.write_text, ("code has run",)

    torch.save({"format": "skweight training 1", "fit": Runs()}, path)
    with pytest.raises(ValueError, match=r"^callbacks: .*cannot read .*fit\.pt', .*delete the fi"):
        fit(made(WeightedTorchClassifier, path))
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_damaged_file_is_refused(share, tmp_path, monkeypatch):
    model, path = interrupted(tmp_path, monkeypatch)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cannot read .*fit\.pt', which is .*damaged"):
        fit(model)
    torch.save({"other": 1}, path)
    with pytest.raises(ValueError, match="it was written by something else"):
        fit(model)


def test_a_full_disk_ends_the_fit_and_leaves_the_file_of_the_epoch_before(tmp_path, monkeypatch):
    model, path = interrupted(tmp_path, monkeypatch)
    before = path.read_bytes()
    with (
        full_disk(),
        pytest.raises(OSError, match=r"TrainingCheckpoint could not write epoch 4.*fit\.pt'"),
    ):
        fit(model)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
    assert_same_fit(fit(model), fit(made(WeightedTorchClassifier, None)))


def test_an_error_in_an_epoch_leaves_the_file(tmp_path):
    class Fails(Counts):
        fails = True

        def on_epoch_begin(self, net, **kwargs):
            if self.fails and len(net.history) == 4:
                raise RuntimeError("in epoch 4")

    model = made(WeightedTorchClassifier, tmp_path / "fit.pt", callbacks=[Fails()])
    with pytest.raises(RuntimeError, match="in epoch 4"):
        fit(model)
    Fails.fails = False
    assert_same_fit(fit(model), fit(made(WeightedTorchClassifier, None, callbacks=[Fails()])))


def test_a_fit_that_the_user_stops_goes_on(tmp_path, monkeypatch):
    class Stops(Counts):
        stops = True

        def on_epoch_begin(self, net, **kwargs):
            if self.stops and len(net.history) == 4:
                signal.raise_signal(signal.SIGINT)

    model = made(WeightedTorchClassifier, tmp_path / "fit.pt", callbacks=[Stops()])
    with pytest.raises(KeyboardInterrupt, match="stopped in epoch 4"):
        fit(model)
    assert model.n_iter_ == 4  # of which the last is not complete
    Stops.stops = False
    assert_same_fit(fit(model), fit(made(WeightedTorchClassifier, None, callbacks=[Stops()])))


def test_a_file_holds_no_rows(tmp_path):
    """Neither of X nor of y, nor what a score has collected of an epoch."""
    path, told = tmp_path / "fit.pt", []

    class Sizes(EpochScoring):
        def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
            super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
            told.extend([len(dataset_train), len(dataset_valid), len(X)])

    fit(made(WeightedTorchRegressor, path, callbacks=[Sizes("r2", lower_is_better=False)]))
    content = torch.load(path, weights_only=True)
    lengths = {
        len(leaf) for leaf in tree_leaves(content) if isinstance(leaf, torch.Tensor) and leaf.ndim
    }
    assert 8 in lengths and min(told) > 30 and not lengths & {*told}


# Members, inputs, and where it is refused --------------------------------------------------


def test_members_have_a_file_each(tmp_path, monkeypatch):
    path, params = tmp_path / "fit.pt", {"n_members": 3}
    expected = fit(made(WeightedTorchClassifier, tmp_path / "other.pt", **params))
    for file in tmp_path.iterdir():
        file.unlink()
    write, n_written = skweight.training.checkpoint_file.CheckpointFile.epoch_ended, []

    def epoch_ended(self, net, is_over):
        write(self, net, is_over)
        n_written.append(self.path.name)
        if len(n_written) == N_EPOCHS + 2:
            raise Killed

    monkeypatch.setattr(
        skweight.training.checkpoint_file.CheckpointFile, "epoch_ended", epoch_ended
    )
    with pytest.raises(Killed):
        fit(made(WeightedTorchClassifier, path, **params))
    assert {*n_written} == {"fit-member-0.pt", "fit-member-1.pt"}
    again = fit(made(WeightedTorchClassifier, path, **params))
    assert_same_fit(again, expected)
    assert_array_equal(again.oof_prediction_, expected.oof_prediction_)
    in_stack = fit(made(WeightedTorchClassifier, None, **params))
    assert_array_equal(in_stack.predict_proba(X), again.predict_proba(X))
    assert len(n_written) == 3 * N_EPOCHS
    names = [f"fit-member-{number}.pt" for number in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_several_inputs_and_offsets_go_on(tmp_path, monkeypatch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.linear = nn.Embedding(9, 3), nn.Linear(8, 1)

        def forward(self, numbers, words):
            return self.linear(torch.cat([numbers, self.words(words).mean(dim=1)], dim=1))

    inputs = {"numbers": X, "words": np.random.default_rng(0).integers(0, 9, (260, 2))}
    offset = np.random.default_rng(1).normal(size=260)
    arguments = {"sample_weight": WEIGHT, "offset": offset}
    model = WeightedTorchRegressor(Net, **DEFAULTS)
    expected = clone(model).fit(inputs, Y + X[:, 0], **arguments)
    model.set_params(callbacks=[TrainingCheckpoint(tmp_path / "fit.pt")])
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_in_epoch(patch, 3)
        model.fit(inputs, Y + X[:, 0], **arguments)
    for changed, message in (({"offset": offset + X[:, 1]}, r"y \(less any"), ({}, "in: X")):
        other = inputs | ({} if changed else {"words": 8 - inputs["words"]})
        with pytest.raises(ValueError, match=message):
            model.fit(other, Y + X[:, 0], **arguments | changed)
    model.fit(inputs, Y + X[:, 0], **arguments)
    assert_same_tensors(model.module_.state_dict(), expected.module_.state_dict())
    assert without_times(model.history_) == without_times(expected.history_)


def test_estimators_with_a_checkpoint_are_copied_and_saved(tmp_path):
    model = made(WeightedTorchClassifier, tmp_path / "fit.pt", every=3)
    fitted = fit(clone(model))
    for copied in (clone(model), pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        (checkpoint,) = copied.callbacks
        assert (checkpoint.path, checkpoint.every) == (tmp_path / "fit.pt", 3)
        assert_same_fit(fit(copied), fitted)
    model.set_params(callbacks__TrainingCheckpoint__every=2)
    assert model.get_params()["callbacks__TrainingCheckpoint__every"] == 2


class Holds(Callback):
    def on_train_begin(self, net, **kwargs):
        self.file_ = io.StringIO()


class HoldsAndSays(Holds):
    def state_dict(self):
        return {"text": self.file_.getvalue()}

    def load_state_dict(self, state):
        self.file_.write(state["text"])

    def on_epoch_end(self, net, **kwargs):
        self.file_.write(str(len(net.history)))
        net.history.record("text", self.file_.getvalue())


def test_what_cannot_be_kept_of_a_callback_is_refused_before_the_first_epoch(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Holds has a StringIO in its attribute file_, .*Give"):
        fit(made(WeightedTorchClassifier, tmp_path / "fit.pt", callbacks=[Holds()]))
    assert not [*tmp_path.iterdir()]
    model, _ = interrupted(tmp_path, monkeypatch, callbacks=[HoldsAndSays()])
    assert fit(model).history_[-1, "text"] == "1234567"


class RecordsObjects(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("file", io.StringIO())


REFUSED = {
    "no seed": ({"random_state": None}, "random_state must be an int, or a RandomState"),
    "two": ({"callbacks": [TrainingCheckpoint("a.pt")]}, "one TrainingCheckpoint at most"),
    "history": ({"callbacks": [RecordsObjects()]}, "cannot keep a StringIO, which is in the hist"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fits_that_could_not_go_on_are_refused(name, tmp_path):
    params, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        fit(made(WeightedTorchClassifier, tmp_path / "fit.pt", **params))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "str or path-like object as path, got int"),
        ((None,), TypeError, "str or path-like object as path, got NoneType"),
        (("",), ValueError, "in a folder that exists, got ''"),
        (("nowhere/fit.pt",), ValueError, "in a folder that exists, got 'nowhere/fit.pt'"),
        ((".",), ValueError, r"in a folder that exists, got '\.'"),
        (("fit.pt", 0), ValueError, "integer >= 1 as every, got 0"),
        (("fit.pt", 1.5), ValueError, "integer >= 1 as every, got 1.5"),
        (("fit.pt", True), ValueError, "integer >= 1 as every, got True"),
        (("fit.pt", "a"), ValueError, "integer >= 1 as every, got 'a'"),
    ],
)
@pytest.mark.parametrize("n_members", [1, 2])
def test_wrong_parameters_are_refused(arguments, error, message, n_members, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    callbacks = [TrainingCheckpoint(*arguments)]
    params = QUICK | {"n_members": n_members}
    with pytest.raises(error, match=f"^callbacks: TrainingCheckpoint must .*{message}"):
        WeightedTorchClassifier(callbacks=callbacks, **params).fit(X, Y)
    with pytest.raises(TypeError, match="TrainingCheckpoint needs a path, as in"):
        WeightedTorchClassifier(callbacks=[TrainingCheckpoint], **params).fit(X, Y)
    assert not [*tmp_path.iterdir()]


def test_it_is_refused_where_fits_would_share_the_file(tmp_path):
    model = made(WeightedTorchClassifier, tmp_path / "fit.pt", early_stopping=False)
    with pytest.raises(ValueError, match="TrainingCheckpoint must be used with fit: a call"):
        model.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="cannot be used in a search"):
        WeightSearchCV(model, {"lr": [0.1, 0.2]}).fit(X, Y)
    plain = made(WeightedTorchClassifier, None)
    with pytest.raises(ValueError, match="cannot be used in a search"):
        WeightSearchCV(plain, {"callbacks": [None, model.callbacks]}).fit(X, Y)
    weights = bootstrap_weights(None, np.arange(260), WEIGHT, n_replicates=3, random_state=0)
    with pytest.raises(ValueError, match="cannot be used in ReplicateEstimator"):
        ReplicateEstimator(model).fit(X, Y, WEIGHT, replicate_weights=weights)
    assert not [*tmp_path.iterdir()]


def test_nets_of_skorch_are_refused(tmp_path):
    net = NeuralNetRegressor(
        nn.Linear(5, 1), callbacks=[TrainingCheckpoint(tmp_path / "fit.pt")], verbose=0
    )
    with pytest.raises(
        TypeError, match=r"of a WeightedTorchClassifier .* got a NeuralNetRegressor"
    ):
        net.fit(X.astype(np.float32), X[:, :1].astype(np.float32))


def test_a_net_without_a_checkpoint_trains_the_same(tmp_path):
    with_file = fit(made(WeightedTorchClassifier, tmp_path / "fit.pt"))
    assert_same_fit(with_file, fit(made(WeightedTorchClassifier, None)))
    assert with_file.net_.step_ == "direct"
    without = fit(made(WeightedTorchClassifier, None))
    assert with_file.net_.__getstate__().keys() == without.net_.__getstate__().keys()
