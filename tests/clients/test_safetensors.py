"""Parameters in safetensors files, and files that only pretend to be one."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from saved_models import Own, X, classifier

pytestmark = pytest.mark.clients
Y = np.where(X[:, 0] > 0, "yes", "no")


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def header(**tensors):
    """A file with this header and 16 bytes of numbers."""
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + bytes(16)


def tensor(shape, start, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


NOT_SAFETENSORS = {
    "empty": b"",
    "words": b"no tensors",
    "header as large as the disk": (2**60).to_bytes(8, "little") + b"{}",
    "behind the end": header(w=tensor([400], 0, 1600)),
    "before the start": header(w=tensor([4], -16, 0)),
    "more than its shape": header(w=tensor([2], 0, 16)),
    "the same bytes twice": header(w=tensor([4], 0, 16), v=tensor([4], 0, 16)),
}


@pytest.mark.parametrize("name", NOT_SAFETENSORS)
def test_a_file_that_is_not_safetensors_is_refused(tmp_path, name):
    path = tmp_path / "net.safetensors"
    path.write_bytes(NOT_SAFETENSORS[name])
    with pytest.raises(SafetensorError):
        load_file(path)
    path.write_bytes(header(w=tensor([4], 0, 16)))  # the same means can make a good file
    assert load_file(path)["w"].shape == (4,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "zip"])
def test_code_in_a_file_that_pretends_to_be_safetensors_is_not_run(tmp_path, kind):
    path, made = tmp_path / "net.safetensors", tmp_path / "made"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(RunsCode(made)))
    elif kind == "torch":
        torch.save(RunsCode(made), path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.pkl", pickle.dumps(RunsCode(made)))
    with pytest.raises(SafetensorError):
        load_file(path)
    assert not made.exists()
    if kind == "pickle":  # the same file does run code when it is opened as what it is
        pickle.loads(path.read_bytes())
        assert made.exists()


@pytest.mark.parametrize("module", [Own, None], ids=["own", "default"])
def test_a_network_with_loaded_parameters_has_the_same_scores(tmp_path, module):
    model = classifier(module=module, n_members=1).fit(X, Y)
    path = tmp_path / "net.safetensors"
    save_file(model.net_.module_.state_dict(), path)
    other = classifier(module=module, n_members=1, random_state=1).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), model.predict_proba(X))
    other.net_.module_.load_state_dict(load_file(path))
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
