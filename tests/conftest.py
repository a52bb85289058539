"""Tables that several test files train on, and one thread per process for small networks."""

import os
import signal
import zlib

# Before torch and scikit-learn are imported. scikit-learn skips its array-API check
# unless SciPy was told that it may be asked for one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression


def pytest_ignore_collect(collection_path, config):
    """Leave out ``tests/clients``, which needs other libraries, unless it is asked for."""
    if collection_path.name == "clients" and config.getoption("-m") != "clients":
        return True
    return None


pytest.register_assert_rewrite("helpers")  # so that a failing comparison there shows its values


@pytest.fixture(scope="session")
def classes3():
    """420 rows, 8 features, three classes, integer weights with zeros among them."""
    X, y = make_classification(420, 8, n_informative=5, n_classes=3, flip_y=0.1, random_state=0)
    return X, y, np.random.default_rng(0).integers(0, 4, len(y))


@pytest.fixture(scope="session")
def binary():
    """420 rows, 8 features, a fifth of them positive, integer weights with zeros."""
    X, y = make_classification(420, 8, weights=[0.8], flip_y=0.1, random_state=1)
    return X, y, np.random.default_rng(1).integers(0, 4, len(y))


@pytest.fixture(scope="session")
def regression():
    """420 rows, 8 features, a noisy target, integer weights with zeros among them."""
    X, y = make_regression(420, 8, noise=20.0, random_state=2)
    return X, y, np.random.default_rng(2).integers(0, 4, len(y))


@pytest.fixture(autouse=True)
def numbers_of_this_test(request):
    """The file's ``rng`` starts from the test's name: no test depends on those before it."""
    rng = getattr(request.module, "rng", None)
    if isinstance(rng, np.random.Generator):
        seed = zlib.crc32(request.node.name.encode())
        rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state


@pytest.fixture
def python_handles_ctrl_c():
    """The interrupt signal raises KeyboardInterrupt, also in processes of the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def every_state(monkeypatch):
    """Bars draw each of their states, and not one in a tenth of a second."""

    def update(bar, n=1):
        bar.n += n
        bar.refresh()

    monkeypatch.setattr("tqdm.std.tqdm.update", update)
