"""A full disk loses no file in silence, and leaves none that is half written."""

import errno
import io
import json
import os
import stat
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors, full_disk
from skorch.callbacks import Callback, Checkpoint, TrainEndCheckpoint

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.training import open_whole, whole_file

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4))
Y = (X[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)
QUICK = {"max_epochs": 3, "batch_size": 64, "n_members": 1, "random_state": 0, "device": "cpu"}
LARGE = {"module__hidden_sizes": (64, 64)}  # its files are larger than the disk


def load(data):
    return torch.load(io.BytesIO(data), weights_only=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


NONE = {"f_params": None, "f_optimizer": None, "f_criterion": None, "f_history": None}
SAVING = {
    "checkpoint": lambda folder: Checkpoint(monitor=None, dirname=folder),
    "train end": lambda folder: TrainEndCheckpoint(dirname=folder),
    "parameters": lambda folder: Checkpoint(None, dirname=folder, **NONE | {"f_params": "p.pt"}),
    "optimizer": lambda folder: Checkpoint(None, dirname=folder, **NONE | {"f_optimizer": "o.pt"}),
    "best": lambda folder: Checkpoint("valid_loss_best", dirname=folder, load_best=True),
}


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("name", SAVING)
def test_a_checkpoint_that_is_lost_stops_the_fit(name, verbose, tmp_path, capsys):
    model = WeightedTorchClassifier(
        callbacks=[SAVING[name](tmp_path)], early_stopping=True, verbose=verbose, **QUICK, **LARGE
    )
    with (
        full_disk(),
        pytest.raises(OSError, match=r"^callbacks: \w+ could not save f_\w+, .*: \[Errno 27\]"),
    ):
        model.fit(X, Y)
    assert not hasattr(model, "nets_")
    for path in tmp_path.iterdir():  # small files may be there, as a whole
        whole = json.loads if path.suffix == ".json" else load
        assert whole(path.read_bytes()) is not None
    model.fit(X, Y)
    assert [file for file in names(tmp_path) if file.endswith(".pt")]


def test_the_files_of_an_earlier_fit_survive_a_full_disk(tmp_path):
    checkpoint = Checkpoint(monitor=None, dirname=tmp_path)
    model = WeightedTorchRegressor(callbacks=[checkpoint], **QUICK, **LARGE).fit(X, Y)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {"params.pt", "optimizer.pt", "criterion.pt", "history.json"}
    model.set_params(lr=0.1)
    with full_disk(), pytest.raises(OSError, match="could not save"):
        model.fit(X, Y)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after["params.pt"] == before["params.pt"]
    assert after["optimizer.pt"] == before["optimizer.pt"] and after.keys() == before.keys()
    assert torch.load(tmp_path / "params.pt", weights_only=True).keys()


class Records(Callback):
    """Record what JSON cannot hold."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("mean", np.float32(1))


def test_a_history_that_json_cannot_hold_is_a_lost_checkpoint(tmp_path):
    callbacks = [Records(), Checkpoint(monitor=None, dirname=tmp_path)]
    with pytest.raises(RuntimeError, match=r"Checkpoint could not save f_history, .* float32"):
        WeightedTorchClassifier(callbacks=callbacks, **QUICK).fit(X, Y)
    assert "history.json" not in names(tmp_path)


class FullFile(io.BytesIO):
    """A file of the user's on a full disk."""

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_open_file_that_takes_no_more_is_a_lost_checkpoint():
    checkpoint = Checkpoint(monitor=None, **NONE | {"f_params": FullFile()})
    with pytest.raises((OSError, RuntimeError), match="Checkpoint could not save f_params"):
        WeightedTorchClassifier(callbacks=[checkpoint], **QUICK).fit(X, Y)


class SavesElsewhere(Callback):
    """A callback that knows what to do if a folder is full."""

    def on_epoch_end(self, net, **kwargs):
        try:
            net.save_params(f_params=FullFile())
        except (OSError, RuntimeError):
            self.n_misses_ = getattr(self, "n_misses_", 0) + 1


def test_a_callback_of_the_user_may_handle_the_error(tmp_path):
    callbacks = [SavesElsewhere(), Checkpoint(monitor=None, dirname=tmp_path)]
    model = WeightedTorchClassifier(callbacks=callbacks, **QUICK).fit(X, Y)
    (own,) = [c for _, c in model.net_.callbacks_ if isinstance(c, SavesElsewhere)]
    assert own.n_misses_ == 3 and "params.pt" in names(tmp_path)


@pytest.mark.parametrize("use_safetensors", [False, True])
def test_a_net_saves_its_parameters_whole_or_not_at_all(use_safetensors, tmp_path, monkeypatch):
    library = ModuleType("safetensors.torch")  # what skorch calls of it for an open file
    library.save, library.save_file = lambda state: b"0" * 10_000, None
    monkeypatch.setitem(sys.modules, "safetensors", ModuleType("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", library)
    net = WeightedTorchClassifier(**QUICK, **LARGE).fit(X, Y).net_
    path = tmp_path / "params.pt"
    path.write_text("before")
    with full_disk(), pytest.raises(OSError, match=r"params\.pt'"):
        net.save_params(f_params=path, use_safetensors=use_safetensors)
    assert names(tmp_path) == ["params.pt"] and path.read_text() == "before"
    net.save_params(f_params=str(path), f_history=tmp_path / "history.json")
    assert_same_tensors(torch.load(path, weights_only=True), net.module_.state_dict())
    assert names(tmp_path) == ["history.json", "params.pt"]


# Files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("in the middle"), KeyboardInterrupt()])
def test_a_file_whose_writing_fails_stays_as_it_was(error, tmp_path):
    path = tmp_path / "file"
    for before in (None, "before"):
        with pytest.raises(type(error)), open_whole(path, "w") as file:
            file.write("half")
            raise error
        assert (path.read_text() if path.exists() else None) == before
        assert names(tmp_path) == ([] if before is None else ["file"])
        path.write_text("before")


def test_a_file_keeps_its_permissions_and_a_link_what_it_leads_to(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to(file)
    with open_whole(link, "w") as opened:
        opened.write("after")
    assert link.is_symlink() and file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    new = tmp_path / "new"
    with open_whole(new, "w") as opened:
        opened.write("new")
    (tmp_path / "usual").write_text("")
    assert new.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_device_is_written_to_and_not_replaced():
    with (
        pytest.raises(OSError, match=r"No space left on device: '/dev/full'"),
        open_whole("/dev/full", "wb") as file,
    ):
        file.write(b"0")
        file.flush()
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="nowhere/file'"),
        whole_file(tmp_path / "nowhere" / "file") as path,
    ):
        path.write_text("")
