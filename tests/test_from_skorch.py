"""Scripts of skorch taken to skweight step by step, as ``docs/from_skorch.md`` says.

The step after an error is what its message says. Names one by one are in ``test_skorch_names.py``,
callbacks in ``test_same_as_skorch.py``.
"""

import re

import numpy as np
import pytest
import torch
from helpers import ROOT, load_script
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

from skweight import EffectiveSampleSizeWarning, WeightedTorchClassifier, WeightedTorchRegressor

PAGE = (ROOT / "docs" / "from_skorch.md").read_text()
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text()


class Net(nn.Module):
    """As in the tutorials of skorch: its sizes are defaults, and it ends with probabilities."""

    def __init__(self, num_inputs=30, num_units=16, num_outputs=2, link=None):
        super().__init__()
        self.dense = nn.Linear(num_inputs, num_units)
        self.output = nn.Linear(num_units, num_outputs)
        self.link = nn.Identity() if link is None else link

    def forward(self, X):
        return self.link(self.output(torch.relu(self.dense(X))))


SKORCH = {
    "optimizer": torch.optim.Adam,
    "optimizer__param_groups": [("dense.*", {"weight_decay": 1e-3})],
    "lr": 0.01,
    "max_epochs": 30,
    "iterator_train__batch_size": 32,
    "iterator_train__shuffle": True,
    "verbose": 0,
}
CALLBACKS = [
    ("rate", LRScheduler("StepLR", step_size=10)),
    ("early_stopping", EarlyStopping(patience=8)),
]
CLASSES = SKORCH | {
    "module__link": nn.Softmax(dim=-1),
    "criterion": nn.NLLLoss,
    "train_split": ValidSplit(5, stratified=True),
    "callbacks": [("valid_auc", EpochScoring("roc_auc", lower_is_better=False)), *CALLBACKS],
    "callbacks__print_log": None,
}
BINARY = SKORCH | {
    "module__num_outputs": 1,
    "criterion": nn.BCEWithLogitsLoss,
    "criterion__pos_weight": torch.tensor(2.0),
    "train_split": None,
    "threshold": 0.4,
    "iterator_valid__batch_size": 500,
    "callbacks": [EpochScoring("f1", lower_is_better=False)],
}
NUMBERS = SKORCH | {
    "module__num_inputs": 10,
    "module__num_outputs": 1,
    "train_split": ValidSplit(5),
    "callbacks": [*CALLBACKS, EarlyStopping("valid_acc")],
    "predict_nonlinearity": None,
}
# What each message asks for: how it begins, what it says, and what is changed.
STEPS = {
    "Unknown parameter 'iterator_train__batch_size'": ("pass batch_size", {"batch_size": 32}),
    "Unknown parameter 'iterator_train__shuffle'": ("leave it out, since rows are shuffled", {}),
    "Unknown parameter 'iterator_valid__batch_size'": ("leave it out", {}),
    "Unknown parameter 'callbacks__print_log'": ("pass verbose=0", {}),
    "Unknown parameter 'predict_nonlinearity'": ("leave it out", {}),
    "Unknown parameter 'threshold'": ("FixedThresholdClassifier", {}),
    "Unknown parameter 'train_split'": ("early_stopping=True with", {"early_stopping": True}),
    "criterion NLLLoss takes": ("pass nn.CrossEntropyLoss", {"criterion": nn.CrossEntropyLoss}),
    "module Net ends with": ("Leave it out", {"module__link": None}),
    "callbacks: EpochScoring scores": (
        "on_train=True",
        {"callbacks": [EpochScoring("f1", lower_is_better=False, on_train=True)]},
    ),
    "callbacks: EarlyStopping monitors 'valid_acc'": ("put Epoch", {"callbacks": CALLBACKS}),
}


def carry_over(kind, params, X, y):
    """Follow the errors and warnings of fits until one fits; return it and how many there were."""
    params, n_steps = dict(params), 0
    while n_steps < 20:
        try:
            return kind(Net, **params, random_state=0).fit(X, y), n_steps
        except (ValueError, TypeError, UserWarning) as error:  # warnings are errors here
            begin = next(begin for begin in STEPS if str(error).startswith(begin))
            way, change = STEPS[begin]
            assert way in str(error), begin
            if named := re.search("Unknown parameter '(\\w+)'", begin):
                is_without = params.pop(named[1]) is None and named[1] == "train_split"
                change = {"early_stopping": False} if is_without else change
            params |= change
            n_steps += 1
    raise AssertionError("The errors lead nowhere.")


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def test_a_script_of_the_classifier_is_carried_over_by_its_errors():
    X, y = standardised(load_breast_cancer)
    torch.manual_seed(0)
    net = NeuralNetClassifier(Net, **CLASSES).fit(X.astype(np.float32), y)
    model, n_steps = carry_over(WeightedTorchClassifier, CLASSES, X, y)
    assert n_steps == 6 and model.score(X, y) > 0.96 and net.score(X.astype(np.float32), y) > 0.96
    names = {"roc_auc", "roc_auc_best", "event_lr", "valid_loss", "train_loss"}
    assert names <= model.history_[-1].keys() & net.history[-1].keys()
    assert model.history_[10, "event_lr"] == pytest.approx(0.001) == net.history[10, "event_lr"]
    assert model.n_iter_ < 30 and model.module_.dense.out_features == 16


def test_a_script_of_the_binary_classifier_is_carried_over_by_its_errors():
    X, y = standardised(load_breast_cancer)
    params = BINARY | {"callbacks": []}  # skorch leaves out the score
    torch.manual_seed(0)
    net = NeuralNetBinaryClassifier(Net, **params).fit(X.astype(np.float32), y.astype(np.float32))
    model, n_steps = carry_over(WeightedTorchClassifier, BINARY, X, y)
    assert n_steps == 6 and len(model.history_[:, "f1"]) == 30
    assert model.score(X, y) > 0.96 and net.score(X.astype(np.float32), y) > 0.96
    assert set(model.predict(X)) == {0, 1} and model.predict_proba(X).shape == (569, 2)


def test_a_script_of_the_regressor_is_carried_over_by_its_errors():
    X, y = standardised(load_diabetes)
    y = y / 100
    params = NUMBERS | {"callbacks": CALLBACKS, "predict_nonlinearity": "auto"}
    column = y.astype(np.float32)[:, None]
    torch.manual_seed(0)
    net = NeuralNetRegressor(Net, **params).fit(X.astype(np.float32), column)
    model, n_steps = carry_over(WeightedTorchRegressor, NUMBERS, X, y)
    assert n_steps == 5 and model.score(X, y) > 0.45
    assert net.score(X.astype(np.float32), column) > 0.45
    assert model.predict(X).shape == (442,) and net.predict(X.astype(np.float32)).shape == (442, 1)


@pytest.mark.parametrize("kind", ["OfBatch", "OfRows"])
def test_recipes_for_weighted_losses_are_biased_or_depend_on_the_unit_of_weights(kind):
    """The second table of the page, with fewer rows and epochs."""
    benchmark = load_script("benchmarks/from_skorch.py")
    quick = {"n_rows": 4000, "n_epochs": 40}
    recipe = getattr(benchmark, kind)
    once, times = (benchmark.with_recipe(recipe, unit, **quick) for unit in (1.0, 100.0))
    if kind == "OfBatch":
        assert once < 0.35 and once == pytest.approx(times, abs=1e-3)
    else:
        assert 0.35 < once < 0.65 and abs(once - times) > 0.2


@pytest.mark.filterwarnings("ignore::skweight.EffectiveSampleSizeWarning")
def test_sample_weight_is_neither_biased_nor_does_its_unit_matter():
    assert issubclass(EffectiveSampleSizeWarning, UserWarning)
    benchmark = load_script("benchmarks/from_skorch.py")
    quick = {"n_rows": 4000, "n_epochs": 40}
    once, times = (benchmark.with_sample_weight(unit, **quick) for unit in (1.0, 128.0))
    assert 0.35 < once < 0.65 and once == times


def test_numbers_of_the_page_are_those_of_the_last_run():
    tables = r"^\| .* ± .* \|$|^\| .*(?:w \*|=w`).* \|$"
    stated = re.findall(tables, PAGE, flags=re.MULTILINE)
    assert len(stated) == 6 and set(stated) <= set(RESULTS.splitlines())


def test_a_table_of_the_benchmark_is_measured():
    benchmark = load_script("benchmarks/from_skorch.py")
    for way in benchmark.WAYS:
        scores = benchmark.scores_of("diabetes", way, seeds=[0], n_folds=2)
        assert len(scores) == 2 and (scores > 0.3).all(), way
