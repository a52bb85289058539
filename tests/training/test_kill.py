"""``kill -9`` at any moment: the same script goes on where its last file ends."""

import os

import numpy as np
import pytest
from helpers import assert_same_tensors, run_python

from skweight import TrainingCheckpoint, WeightedTorchRegressor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGKILL")
N_EPOCHS = 6
DATA = """
import numpy as np
rng = np.random.default_rng(0)
X, noise, weight = rng.normal(size=(260, 5)), rng.normal(size=260), rng.integers(0, 4, 260)
y = X[:, 0] * 3 + X[:, 1] ** 2 + noise
params = dict(max_epochs=6, batch_size=64, lr=0.02, random_state=0, n_members=1, device="cpu",
              early_stopping=True, module__dropout=0.1)
"""
# Each run is a process of its own, which kills itself at the nth call of a function: in a step, or
# while a file is written, named, or just after. The first argument is the path.
SCRIPT = (
    DATA
    + """
import os, signal
import torch
import skweight.training.adam
from skweight import TrainingCheckpoint, WeightedTorchRegressor

def kill_at(owner, name, n_calls, before=True):
    function, calls = getattr(owner, name), []
    def call(*args, **kwargs):
        calls.append(1)
        if before and len(calls) == n_calls:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if len(calls) == n_calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)

def run(*where):
    child = os.fork()
    if child == 0:
        kill_at(*where)
        WeightedTorchRegressor(callbacks=[TrainingCheckpoint(PATH)], **params).fit(X, y, weight)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    n_epochs = 0
    if os.path.exists(PATH):
        n_epochs = len(torch.load(PATH, weights_only=True)["training"]["history"])
    print(os.WTERMSIG(status) == signal.SIGKILL, n_epochs)

run(skweight.training.adam, "adam_", 2)
run(skweight.training.adam, "adam_", 8)
run(os, "fsync", 1)
run(os, "replace", 1)
run(os, "replace", 1, False)
run(os, "fsync", 4)
run(torch, "save", 1, False)
"""
)


def test_a_script_that_is_killed_goes_on_bit_for_bit(tmp_path):
    path = tmp_path / "fit.pt"
    done = run_python(f"PATH = {str(path)!r}\n" + SCRIPT)
    assert done.returncode == 0, done.stderr
    # In the first epoch, in the second, three times as it writes that one, and as it writes others.
    found = [line.split() for line in done.stdout.splitlines()]
    assert found == [["True", str(n)] for n in (0, 1, 1, 1, 2, 4, 4)], done.stdout
    assert len([*tmp_path.iterdir()]) == 1 + 3  # files that were being written
    given = {}
    exec(DATA, given)
    data = given["X"], given["y"], given["weight"]
    expected = WeightedTorchRegressor(**given["params"]).fit(*data)
    model = WeightedTorchRegressor(callbacks=[TrainingCheckpoint(path)], **given["params"])
    model.fit(*data)  # in this process
    assert_same_tensors(model.module_.state_dict(), expected.module_.state_dict())
    np.testing.assert_array_equal(model.predict(data[0]), expected.predict(data[0]))
    for name in ("train_loss", "valid_loss"):
        losses = expected.history_[:, name]
        assert model.history_[:, name] == losses and len({*losses}) == N_EPOCHS
    assert model.best_epoch_ == expected.best_epoch_
