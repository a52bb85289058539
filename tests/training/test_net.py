"""An epoch: the loop that one would write by hand, with or without per-batch callbacks.

How the gradients of a batch are made is in ``test_steps.py``.
"""

import pickle
import sys
from functools import partial

import numpy as np
import pytest
import torch
from helpers import RecordedKernels, assert_same_tensors
from numpy.testing import assert_array_equal
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    GradientNormClipping,
    ProgressBar,
)
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.data import RowDataset, place
from skweight.losses import CrossEntropy, RowLoss
from skweight.modules import MLP
from skweight.training import (
    ReplayedStep,
    TrainingStep,
    WeightedNet,
    isolated_torch,
    prepare,
)
from skweight.weights import distinct_rows, to_mean_one

QUICK = {
    "max_epochs": 4,
    "batch_size": 64,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]
LOSSES = ("train_loss", "valid_loss")


class OnBatchBegin(Callback):
    def on_batch_begin(self, net, **kwargs):
        pass


class OnBatchEnd(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class OnGradComputed(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert sum(parameter.grad is not None for _, parameter in named_parameters) == 6


class Records(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        squares = sum(float((p.grad**2).sum()) for _, p in named_parameters)
        net.history.record_batch("gradient_norm", squares**0.5)


class OnEpochs(Callback):
    def on_epoch_begin(self, net, **kwargs):
        pass

    def on_epoch_end(self, net, **kwargs):
        pass


PER_BATCH = {
    "on_batch_begin": OnBatchBegin(),
    "on_batch_end": OnBatchEnd(),
    "progress_bar": ProgressBar(),
    "epoch_scoring": EpochScoring("neg_mean_squared_error", name="score", on_train=True),
    "batch_scoring": BatchScoring("neg_mean_squared_error", name="score", on_train=True),
}
OTHERS = {"on_grad_computed": OnGradComputed(), "on_epochs": OnEpochs()}


def fit(rows, *callbacks, estimator=WeightedTorchClassifier, **params):
    params = QUICK | {"early_stopping": True} | params
    if "module" not in params:
        params = {"module__dropout": 0.3} | params
    return estimator(callbacks=list(callbacks), **params).fit(*rows)


def assert_same_fit(found, expected):
    """Parameters and losses are equal bit for bit."""
    columns = tuple(name for name in LOSSES if name in expected.history_[0])
    losses, others = (model.history_[:, columns] for model in (found, expected))
    assert losses == others and len(set(losses)) == len(losses) > 1
    assert_same_tensors(found.module_.state_dict(), expected.module_.state_dict())


# The loop written by hand


@pytest.mark.parametrize(("n_rows", "sizes"), [(301, [61, 60, 60, 60, 60]), (50, [50])])
def test_a_fit_is_the_loop_written_by_hand_to_the_bit(n_rows, sizes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 5)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=n_rows) > 0).astype(int)
    mass = rng.integers(1, 4, n_rows).astype(float)
    params = {"batch_size": 64, "max_epochs": 6, "lr": 1e-3, "random_state": 0, "device": "cpu"}
    model = WeightedTorchClassifier(early_stopping=False, **params).fit(X, y, mass)

    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    index, mass = distinct_rows(X, y, mass)
    assert len(index) == n_rows
    cpu = torch.device("cpu")
    rows = RowDataset(place(X, cpu), index, y[index], to_mean_one(mass), cpu)
    with isolated_torch(seed, cpu):
        module = prepare(MLP(5, 1), RowLoss(CrossEntropy()), rows, (1, 2), True)
    before = [parameter.detach().clone() for parameter in module.parameters()]

    features, target, weight = torch.from_numpy(X[index]), torch.from_numpy(y[index]), mass
    target, weight = target.float(), torch.from_numpy(mass / mass.mean()).float()
    parts = [[p for p in module.parameters() if p.ndim == n] for n in (2, 1)]
    groups = [{"params": p, "weight_decay": decay} for p, decay in zip(parts, (1.0, 0.0))]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(6):
        for chosen in torch.randperm(n_rows, generator=generator).split(sizes):
            optimizer.zero_grad()
            score = module(features[chosen])[:, 0]
            loss = F.binary_cross_entropy_with_logits(score, target[chosen], reduction="none")
            (loss * weight[chosen]).mean().backward()
            optimizer.step()

    expected = dict(module.named_parameters())
    assert_same_tensors(dict(model.module_.named_parameters()), expected)
    for name, initial in zip(expected, before):
        assert not torch.equal(initial, expected[name]), f"{name} was not trained"
    assert model.history_[:, "train_batch_count"] == [len(sizes)] * 6


# With and without per-batch callbacks


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", PER_BATCH | OTHERS)
def test_a_callback_that_changes_nothing_leaves_the_training_as_it_is_to_the_bit(
    name, estimator, weighting, binary
):
    expected = fit(binary, estimator=estimator, weighting=weighting)
    callback = (PER_BATCH | OTHERS)[name]
    assert_same_fit(fit(binary, callback, estimator=estimator, weighting=weighting), expected)
    other = fit(binary, callback, estimator=estimator, weighting=weighting, module__dropout=0.0)
    assert other.history_[:, LOSSES] != expected.history_[:, LOSSES]


def test_what_a_callback_records_of_gradients_is_kept(binary):
    history = fit(binary, Records(), early_stopping=False).history_
    norms = history[:, "batches", :, ("gradient_norm", "train_loss")]
    assert len(norms) == 4 and len(norms[0]) == history[0, "train_batch_count"]
    assert min(norm for epoch in norms for norm, _ in epoch) > 0


@pytest.mark.parametrize("name", PER_BATCH | OTHERS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_batches_are_in_the_history_only_for_per_batch_callbacks(name, early_stopping, binary):
    callback, kept = (PER_BATCH | OTHERS)[name], name in (*PER_BATCH, "on_grad_computed")
    history = fit(binary, ("named", callback), early_stopping=early_stopping).history_
    n_train = history[0, "train_batch_count"]
    n_valid = history[0, "valid_batch_count"] if early_stopping else 0
    assert (n_train, n_valid) == ((5, 1) if early_stopping else (6, 0))
    for batches in history[:, "batches"]:
        assert len(batches) == (n_train + n_valid if kept else 0)
    if kept:
        losses, sizes = np.transpose(
            history[-1, "batches", :n_train, ("train_loss", "train_batch_size")]
        )
        assert len(set(losses)) == n_train and set(np.diff(sizes)) <= {-1, 0}
        assert history[-1, "train_loss"] == pytest.approx(np.average(losses, weights=sizes))
    columns = {"epoch", "batches", "dur", "train_loss", "train_loss_best", "train_batch_count"}
    columns |= {"score", "score_best"} if "scoring" in name else set()
    columns |= {name.replace("train", "valid") for name in columns} if early_stopping else set()
    assert history[-1].keys() == columns
    assert all(duration > 0 for duration in history[:, "dur"])


@pytest.mark.parametrize("callbacks", [[], [OnBatchEnd()]], ids=["quick", "per_batch"])
def test_the_loss_of_a_batch_is_that_before_its_update_also_of_several_tries(callbacks, binary):
    params = {"batch_size": -1, "early_stopping": False, "module__dropout": 0.0}
    lbfgs = fit(binary, *callbacks, optimizer=torch.optim.LBFGS, **params).history_
    adam = fit(binary, *callbacks, **params).history_
    assert lbfgs[0, "train_loss"] == adam[0, "train_loss"]
    assert lbfgs[1, "train_loss"] < adam[1, "train_loss"] < adam[0, "train_loss"]


class Outputs(Callback):
    """The outputs that belong to the losses of batches."""

    def __init__(self):
        self.of_batches = []

    def __sklearn_clone__(self):
        return self  # a fit works with copies of its callbacks

    def on_batch_end(self, net, training, y_pred, **kwargs):
        if training:
            self.of_batches.append(y_pred.clone())


class Evaluates(torch.optim.SGD):
    """Compute the loss several times in a step, at other parameters each time."""

    def step(self, closure):
        loss = closure()
        for _ in range(3):
            super().step()
            closure()
        return loss


def autograd_step(net, n_steps):
    return TrainingStep(net.module_, net.criterion_)


def replayed_step(net, n_steps):
    def record(step):
        with RecordedKernels() as recording:
            step()
        return recording.replay

    return ReplayedStep(net.module_, net.criterion_, record)


@pytest.mark.parametrize(
    "optimizer", [partial(torch.optim.LBFGS, max_iter=4), Evaluates, torch.optim.AdamW]
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("make_step", [WeightedNet.make_step, replayed_step])
def test_callbacks_get_the_output_before_the_update_also_of_several_tries(
    make_step, estimator, optimizer, binary, monkeypatch
):
    found, params = [], {"module__dropout": 0.0}
    for make in (autograd_step, make_step):
        monkeypatch.setattr(WeightedNet, "make_step", make)
        outputs = Outputs()
        model = fit(binary, outputs, estimator=estimator, optimizer=optimizer, **params)
        found.append({str(i): output for i, output in enumerate(outputs.of_batches)})
    assert make_step is replayed_step or model.net_.step_ == "direct"
    assert len(found[0]) == 4 * 5
    assert_same_tensors(found[1], found[0])


@pytest.mark.parametrize("callbacks", [[], [OnBatchEnd()]], ids=["quick", "per_batch"])
def test_the_lowest_loss_so_far_is_marked(callbacks, binary):
    history = fit(binary, *callbacks, max_epochs=30, lr=0.05, n_iter_no_change=30).history_
    for name in LOSSES:
        losses = np.array(history[:, name])
        lowest = np.r_[True, losses[1:] < np.minimum.accumulate(losses)[:-1]]
        assert_array_equal(history[:, f"{name}_best"], lowest)
        assert 1 < sum(lowest) < 30


@pytest.mark.parametrize("callbacks", [[], [OnBatchEnd()]], ids=["quick", "per_batch"])
def test_a_checkpoint_keeps_the_best_network(callbacks, binary, tmp_path):
    checkpoint = Checkpoint(monitor="valid_loss_best", dirname=tmp_path, f_pickle="net.pkl")
    model = fit(binary, checkpoint, *callbacks, max_epochs=30, lr=0.05, n_iter_no_change=30)
    history = model.history_
    assert_array_equal(history[:, "event_cp"], history[:, "valid_loss_best"])
    assert 1 < sum(history[:, "event_cp"]) < 30
    with open(tmp_path / "net.pkl", "rb") as file:
        states = torch.load(tmp_path / "params.pt"), pickle.load(file).module_.state_dict()
    for state in states:
        assert_same_tensors(state, model.module_.state_dict())


class Pickles(Callback):
    """Pickle the net in the middle of the training, as a checkpoint may."""

    def on_epoch_end(self, net, **kwargs):
        self.loaded_ = pickle.loads(pickle.dumps(net))
        assert self.loaded_.fit_state_ is None


@pytest.mark.parametrize("compile", [False, True])
def test_a_net_that_is_pickled_in_the_middle_of_its_training_can_predict(
    compile, binary, monkeypatch
):
    monkeypatch.setattr("torch.compile", lambda function: lambda *args: function(*args))
    monkeypatch.setenv("CXX", sys.executable)  # there is such a program
    model = fit(binary, Pickles(), compile=compile, early_stopping=False)
    ((_, pickles),) = [pair for pair in model.net_.callbacks_ if isinstance(pair[1], Pickles)]
    X = binary[0].astype(np.float32)
    assert_array_equal(pickles.loaded_.predict_proba(X), model.net_.predict_proba(X))
    assert pickles.loaded_.predict_proba(X).std() > 0.1


class Predicts(Callback):
    """Use the network in the middle of the training."""

    def __init__(self, X):
        self.X = X

    def on_epoch_end(self, net, **kwargs):
        assert net.predict(self.X).shape == (len(self.X),)
        assert not net.module_.training


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("callbacks", [[], [OnBatchEnd()]], ids=["quick", "per_batch"])
def test_a_prediction_at_the_end_of_an_epoch_does_not_change_the_training(
    callbacks, early_stopping, binary
):
    X = binary[0].astype(np.float32)
    params = {"early_stopping": early_stopping, "module__dropout": 0.5}
    models = [fit(binary, *callbacks, **params), fit(binary, *callbacks, Predicts(X), **params)]
    losses = [model.history_[:, "train_loss"] for model in models]
    assert losses[0] == losses[1] and len(set(losses[0])) == 4
    assert losses[0] != fit(binary, early_stopping=early_stopping).history_[:, "train_loss"]
    assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))


class HoldsStatistics(Callback):
    """Let batch norm use its running statistics and no longer change them."""

    def on_epoch_begin(self, net, **kwargs):
        net.module_[1].eval()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_mode_of_a_layer_does_not_depend_on_per_batch_callbacks(early_stopping, binary):
    module = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    params = {"module": module, "early_stopping": early_stopping}
    models = [fit(binary, HoldsStatistics(), *more, **params) for more in ([], [OnBatchEnd()])]
    assert models[1].module_[1].num_batches_tracked > 0
    assert_same_fit(*models)


# What an epoch does beside its steps


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_losses_are_put_together_now_and_then_in_their_order(at_once, binary, monkeypatch):
    expected = fit(binary, OnGradComputed())
    monkeypatch.setattr(WeightedNet, "losses_at_once", at_once)  # of five in an epoch
    stacked, stack = [], torch.stack
    monkeypatch.setattr(torch, "stack", lambda losses: stacked.append(len(losses)) or stack(losses))
    found = fit(binary, OnGradComputed())
    at = slice(None), "batches", slice(0, 5), "train_loss"
    assert found.history_[at] == expected.history_[at]
    assert max(stacked) == at_once and sum(stacked) == 4 * (5 + 1)


class Reads(TorchDispatchMode):
    """Count the values that Python reads from tensors: each waits for a GPU."""

    def __init__(self):
        super().__init__()
        self.n_read = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n_read += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


class CountsModes(nn.Linear):
    """Count the changes of mode."""

    n_changes = 0

    def train(self, mode=True):
        CountsModes.n_changes += 1
        return super().train(mode)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_an_epoch_reads_no_value_between_its_steps(weighting, estimator, binary, monkeypatch):
    reads, run = [], WeightedNet.run_single_epoch

    def run_and_count(*args, **kwargs):
        with Reads() as reading:
            run(*args, **kwargs)
        reads.append(reading.n_read)

    fit(binary, estimator=estimator, weighting=weighting)  # its steps are tried in the first fit
    monkeypatch.setattr(WeightedNet, "run_single_epoch", run_and_count)
    fit(binary, estimator=estimator, weighting=weighting)
    assert reads == [0] * 8  # training and validation of four epochs
    fit(binary, GradientNormClipping(1.0), estimator=estimator, weighting=weighting)
    assert reads[8:] == [0] * 8
    fit(binary, OnBatchEnd(), estimator=estimator, weighting=weighting)
    assert reads[16:] == [5, 1] * 4


def test_the_mode_of_the_network_is_not_set_for_each_batch(binary):
    changes = []
    for callbacks in ([], [OnBatchEnd()]):
        CountsModes.n_changes = 0
        model = WeightedTorchClassifier(
            CountsModes, callbacks=callbacks, early_stopping=False, **QUICK
        )
        model.fit(*binary)
        changes.append(CountsModes.n_changes)
    assert changes[0] < 4 + 4 and changes[1] >= 4 * model.history_[0, "train_batch_count"] == 24


def test_a_net_whose_optimizer_is_released_predicts_as_before(binary):
    net = fit(binary).net_
    X = binary[0].astype(np.float32)
    before = net.predict_proba(X)
    assert net.optimizer_.state
    for _ in range(2):
        net.release_optimizer()
        assert not hasattr(net, "optimizer_")
    assert_array_equal(net.predict_proba(X), before)
