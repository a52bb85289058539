"""Fingerprints of small fits, to show that moving code changes no number.

``golden.json`` beside this file holds a SHA-256 of the parameters, predictions and history of each
fit, computed by the code before the package was divided into packages. ``tests/test_golden.py``
computes them again. Bits depend on the processor and on the versions of torch and numpy, so the
file names those it was written with, and the test is skipped elsewhere. Write it anew with

    python tests/golden.py --write
"""

import hashlib
import json
import os
import platform
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import sklearn
import torch
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from skweight import (
    RandomizedWeightSearchCV,
    WeightedLinear,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    effective_number,
)

FILE = Path(__file__).with_name("golden.json")


def where():
    """What the bits of a fit depend on besides the code."""
    try:
        info = Path("/proc/cpuinfo").read_text()
        cpu = next(line.split(":")[1].strip() for line in info.splitlines() if "model name" in line)
    except (OSError, StopIteration):
        cpu = platform.processor()
    versions = f"torch {torch.__version__}, numpy {np.__version__}, scikit-learn"
    return f"{cpu}, {torch.backends.cpu.get_cpu_capability()}, {versions} {sklearn.__version__}"


def digest(*parts):
    """SHA-256 of arrays, tensors and numbers."""
    sha = hashlib.sha256()
    for part in parts:
        array = np.ascontiguousarray(part.detach() if isinstance(part, torch.Tensor) else part)
        sha.update(str((array.dtype.kind, array.shape)).encode() + array.tobytes())
    return sha.hexdigest()


def of_fit(estimator, X):
    """Digest of what a fitted estimator holds and predicts."""
    state = [tensor for _, tensor in sorted(estimator.module_.state_dict().items())]
    history = [
        [epoch[name] for epoch in estimator.history_]
        for name in ("train_loss", "valid_loss", "train_loss_best")
        if name in estimator.history_[0]
    ]
    names = ("predict_proba", "decision_function", "predict")
    predicted = [getattr(estimator, name)(X) for name in names if hasattr(estimator, name)]
    return digest(*state, *history, *predicted)


def of_search(search, X):
    """Digest of scores, predictions of held-out rows and the best estimator."""
    results = search.cv_results_
    scores = [results[name] for name in sorted(results) if "test_" in name]
    kept = [part for pair in getattr(search, "predictions_", []) for part in pair]
    return digest(*scores, *kept, search.predict(X))


rng = np.random.default_rng(0)
X = rng.normal(size=(150, 6)).round(1)
X[100:] = X[:50]  # copies
noise = rng.normal(size=150)
score = X[:, 0] - X[:, 1] ** 2 + noise
binary = np.where(score > 0.3, "yes", "no")
three = np.digitize(score, [-1, 0.5])
labels = np.stack([score > 0, X[:, 2] + noise > 0, noise > 1], axis=1).astype(int)
numbers = 100 * score + 30
positive = np.exp(score / 2)
several = np.stack([numbers, noise], axis=1)
two_amounts = np.stack([positive, 5 * np.exp(X[:, 2])], axis=1)
weight = rng.integers(0, 4, 150).astype(float)
FITS = {}


def case(function):
    """Register a function that returns a digest."""
    FITS[function.__name__] = function
    return function


def fit(estimator, y, X=X, w=weight, **params):
    return of_fit(estimator.fit(X, y, w, **params), X)


def classifier(*args, **params):
    given = {"max_epochs": 4, "random_state": 0, "device": "cpu", "batch_size": 16} | params
    return WeightedTorchClassifier(*args, **given)


def regressor(*args, **params):
    given = {"max_epochs": 4, "random_state": 0, "device": "cpu", "batch_size": 16} | params
    return WeightedTorchRegressor(*args, **given)


def add(name, make, y, X=X, w=weight, **params):
    FITS[name] = lambda: fit(make(), y, X, w, **params)


CLASS_CRITERIA = {
    "cross_entropy": {},
    "smoothed": {"criterion": "cross_entropy", "criterion__label_smoothing": 0.1},
    "focal": {"criterion": "focal"},
    "poly_tailed": {"criterion": "poly_tailed"},
    "nn.CrossEntropyLoss": {"criterion": nn.CrossEntropyLoss},
    "nn.BCEWithLogitsLoss": {"criterion": nn.BCEWithLogitsLoss},
    "nn.MultiMarginLoss": {"criterion": nn.MultiMarginLoss},
    "F.cross_entropy": {"criterion": partial(F.cross_entropy, reduction="none")},
}
NUMBER_CRITERIA = {
    "squared_error": {},
    "absolute_error": {"criterion": "absolute_error"},
    "huber": {"criterion": "huber"},
    "quantile": {"criterion": "quantile", "criterion__quantile": 0.8},
    "quantiles": {"criterion": "quantile", "criterion__quantile": [0.9, 0.1]},
    "poisson": {"criterion": "poisson"},
    "gamma": {"criterion": "gamma"},
    "tweedie": {"criterion": "tweedie"},
    "gaussian_nll": {"criterion": "gaussian_nll"},
    "nn.MSELoss": {"criterion": nn.MSELoss},
    "nn.L1Loss": {"criterion": nn.L1Loss},
    "nn.HuberLoss": {"criterion": nn.HuberLoss},
    "nn.PoissonNLLLoss": {"criterion": nn.PoissonNLLLoss},
    "F.mse_loss": {"criterion": partial(F.mse_loss, reduction="none")},
}
DEVIANCES = ("poisson", "gamma", "tweedie", "nn.PoissonNLLLoss")
for weighting in ("loss", "sampling"):
    for early in (True, False):
        both = {"weighting": weighting, "early_stopping": early}
        for name, setting in CLASS_CRITERIA.items():
            setting = both | setting
            add(f"classifier {name} {both}", lambda s=setting: classifier(**s), binary)
        for name, setting in NUMBER_CRITERIA.items():
            setting, y = both | setting, positive if name in DEVIANCES else numbers
            add(f"regressor {name} {both}", lambda s=setting: regressor(**s), y)
        for class_weight in (None, "balanced", effective_number(0.9)):
            setting = both | {"class_weight": class_weight}
            add(f"three {setting}", lambda s=setting: classifier(**s), three)
            add(f"labels {setting}", lambda s=setting: classifier(**s), labels)
        add(f"several {both}", lambda s=both: regressor(**s), several)
        add(f"several gamma {both}", lambda s=both: regressor(criterion="gamma", **s), two_amounts)
for name, setting in {
    "three nn": {"criterion": nn.CrossEntropyLoss},
    "three focal": {"criterion": "focal", "class_weight": {0: 2.0, 2: 0.5}},
    "three nll": {
        "criterion": nn.NLLLoss,
        "module": lambda n, k: nn.Sequential(nn.Linear(n, k), nn.LogSoftmax(1)),
    },
    "adjusted": {"logit_adjustment": 1.0, "correct_prior": True},
    "corrected": {"class_weight": "balanced", "correct_prior": True, "class_weight_power": 0.5},
    "flattened": {"sample_weight_power": 0.5},
}.items():
    add(name, lambda s=setting: classifier(**s), three)
for name, setting in {
    "defaults": {"max_epochs": "auto", "batch_size": "auto"},
    "all rows": {"batch_size": -1},
    "no average": {"ema_decay": 0},
    "average": {"ema_decay": 0.9, "early_stopping": False},
    "sgd": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    "adam": {"optimizer": torch.optim.Adam, "lr": 0.01},
    "decay": {"optimizer__weight_decay": 0.1},
    "lbfgs": {"optimizer": torch.optim.LBFGS, "batch_size": -1},
    "dropout": {"module__dropout": 0.2, "module__activation": "gelu"},
    "linear": {"module__hidden_sizes": ()},
    "feature weights": {"module__feature_weights": [1, 2, 0, 1, 1, 3.0]},
    "fixed": {"module__feature_weights": 0.5, "module__learnable_feature_weights": False},
    "no bins": {"module__n_bins": 0, "module__clip": None},
    "own": {
        "module": lambda n, k: nn.Sequential(
            WeightedLinear(n, 8, [1, 1, 1, 3, 1, 1], 1.0),
            nn.BatchNorm1d(8),
            nn.Tanh(),
            nn.Linear(8, k),
        )
    },
}.items():
    add(f"binary {name}", lambda s=setting: classifier(**s), binary)
    add(f"numbers {name}", lambda s=setting: regressor(**s), numbers)
add("no weights", classifier, binary, w=None)
add("float32", classifier, binary, X=X.astype(np.float32))
add("csr", classifier, binary, X=sparse.csr_matrix(X))
add("csr numbers", regressor, numbers, X=sparse.csr_matrix(X))
add(
    "validation",
    classifier,
    binary,
    X_val=X[:40] + 0.05,
    y_val=binary[:40],
    sample_weight_val=weight[:40],
)
add("validation numbers", regressor, numbers, X_val=X[:40] + 0.05, y_val=numbers[:40])


@case
def memmap():
    with tempfile.NamedTemporaryFile() as file:
        mapped = np.memmap(file.name, "float64", "w+", shape=X.shape)
        mapped[:] = X
        return fit(regressor(), numbers, mapped) + fit(classifier(), three, mapped)


@case
def partial_fits():
    digests = []
    for estimator, y in ((classifier(), three), (regressor(), numbers), (classifier(), labels)):
        params = {"classes": [0, 1, 2]} if y is three else {}
        for rows in (slice(0, 50), slice(50, 90), slice(90, 150)):
            estimator.partial_fit(X[rows], y[rows], sample_weight=weight[rows], **params)
            params = {}
        digests.append(of_fit(estimator, X))
    return "".join(digests)


@case
def warm_starts():
    digests = []
    for make, y in ((classifier, three), (regressor, several)):
        estimator = make(warm_start=True).fit(X, y, weight).set_params(lr=0.01)
        digests.append(of_fit(estimator.fit(X, y), X))
    return "".join(digests)


@case
def instance():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))
    return fit(regressor(module), numbers) + fit(classifier(module), binary)


@case
def interrupted_by_a_callback():
    from skorch.callbacks import EpochScoring, LRScheduler

    callbacks = [LRScheduler("StepLR", step_size=1), EpochScoring("neg_log_loss", name="ll")]
    return fit(classifier(callbacks=callbacks), three)


GRID = {"class_weight": [None, "balanced"], "sample_weight_power": [0.5, 1.0]}


@case
def search():
    found = WeightSearchCV(classifier(), GRID, cv=3, return_predictions=True)
    return of_search(found.fit(X, three, sample_weight=weight), X)


@case
def search_of_sampling():
    grid = {"weighting": ["loss", "sampling"], "random_state": [0, 1], "lr": [0.001, 0.01]}
    found = WeightSearchCV(regressor(early_stopping=False), grid, cv=3, return_predictions=True)
    return of_search(found.fit(X, numbers, sample_weight=weight), X)


@case
def search_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), classifier())
    grid = {f"weightedtorchclassifier__{name}": values for name, values in GRID.items()}
    given = {"weightedtorchclassifier__sample_weight": weight}
    return of_search(WeightSearchCV(pipeline, grid, cv=3).fit(X, binary, **given), X)


@case
def search_of_own_networks():
    def own(n, k):
        return nn.Sequential(nn.Linear(n, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, k))

    found = RandomizedWeightSearchCV(classifier(own), GRID, n_iter=3, random_state=0, cv=3)
    return of_search(found.fit(X, labels, sample_weight=weight), X)


@case
def search_with_feature_weights():
    grid = {"module__feature_weights": [1.0, 2.0, 0.5], "class_weight_power": [0.0, 1.0]}
    found = WeightSearchCV(classifier(class_weight="balanced", logit_adjustment=0.5), grid, cv=2)
    return of_search(found.fit(X, binary), X)


def compute(name):
    """Digest of one fit, without its warnings and on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hashlib.sha256(FITS[name]().encode()).hexdigest()
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    digests = {name: compute(name) for name in FITS}
    known = json.loads(FILE.read_text()) if FILE.exists() else {"fits": {}}
    changed = [name for name in digests if known["fits"].get(name) != digests[name]]
    print(
        f"{len(digests)} fits, {len(changed)} of them other than in {FILE.name}:",
        *changed,
        sep="\n  ",
    )
    if "--write" in sys.argv:
        FILE.write_text(json.dumps({"where": where(), "fits": digests}, indent=1) + "\n")
    sys.exit(bool(changed) and "--write" not in sys.argv)
