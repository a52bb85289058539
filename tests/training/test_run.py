"""The training path: history, callbacks, global state, pickles, compile=True.

Early stopping is in ``test_stopping.py``, an epoch in ``test_net.py``, weight laws are in
``test_weight_laws.py``, the normaliser in ``test_minibatch.py``.
"""

import copy
import pickle
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import Intercept, assert_same_tensors
from numpy.testing import assert_array_equal
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.training import isolated_torch

QUICK = {
    "max_epochs": 8,
    "batch_size": 64,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}


# --------------------------------------------------------------------------------------
# History
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_rows", "epochs"), [(40, 30), (2000, 20)])
def test_the_default_budget_depends_on_the_number_of_distinct_rows_alone(n_rows, epochs):
    X = np.arange(n_rows, dtype=float)[:, None]
    model = WeightedTorchRegressor(nn.Linear(1, 1), lr=1e-9, early_stopping=False)
    for copies in (1, 3):
        rows = np.repeat(X, copies, axis=0)
        assert model.fit(rows, rows.ravel()).n_iter_ == epochs


def test_batches_are_shuffled_anew_in_each_epoch(binary):
    X, y, _ = binary
    seen = []

    class Order(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            seen.append(batch[0]["X"][0].tolist())

    WeightedTorchClassifier(callbacks=[Order()], early_stopping=False, **QUICK).fit(X, y)
    assert len(seen) == 8 * 7
    assert seen[0] != seen[7] and len({tuple(row) for row in seen}) > 40


# --------------------------------------------------------------------------------------
# Callbacks
# --------------------------------------------------------------------------------------


def test_epoch_scoring_sees_targets_and_labels_without_weights(binary):
    X, y, weight = binary
    scores = [
        EpochScoring("accuracy", name="accuracy", on_train=True, lower_is_better=False),
        EpochScoring("roc_auc", name="auc", lower_is_better=False),
    ]
    model = WeightedTorchClassifier(callbacks=scores, early_stopping=True, **QUICK)
    model.fit(X, y, weight)
    assert model.history_[-1, "accuracy"] > 0.8
    assert 0.5 < model.history_[-1, "auc"] <= 1


def test_epoch_scoring_works_for_a_regressor(regression):
    X, y, weight = regression
    score = EpochScoring("r2", name="r2", on_train=True, lower_is_better=False)
    model = WeightedTorchRegressor(callbacks=[("r2", score)], **QUICK | {"max_epochs": 40})
    assert model.fit(X, y, weight).history_[-1, "r2"] > 0.8


def test_the_callers_callbacks_are_copied(binary):
    X, y, _ = binary
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0, sink=lambda text: 0)
    before = copy.deepcopy(vars(stopping))
    model = WeightedTorchClassifier(callbacks=[stopping], **QUICK).fit(X, y)
    assert model.n_iter_ == 3  # it stopped the training, the skorch way
    assert vars(stopping).keys() == before.keys()
    assert model.callbacks == [stopping]


def test_a_learning_rate_schedule_and_gradient_clipping_act(binary):
    X, y, _ = binary
    schedule = LRScheduler(policy=torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    model = WeightedTorchClassifier(
        callbacks=[schedule, GradientNormClipping(0.1)], optimizer=torch.optim.SGD, **QUICK
    )
    model.fit(X, y)
    assert_array_equal(np.round(np.log10(model.history_[:, "event_lr"])), -2.0 - np.arange(8))


class Follows(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


@pytest.mark.parametrize("n_calls", [0, 1])
def test_an_interrupt_before_the_first_epoch_keeps_the_network(n_calls, binary, monkeypatch):
    X, y, _ = binary
    model = WeightedTorchClassifier(callbacks=[Follows()], **QUICK)
    for _ in range(n_calls):
        model.partial_fit(X, y, classes=[0, 1])

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skorch.NeuralNet.get_iterator", interrupt)
    with pytest.raises(KeyboardInterrupt, match=f"stopped in epoch {n_calls}"):
        model.partial_fit(X, y, classes=[0, 1])
    assert len(model.history_) == n_calls
    assert all(len(epoch["batches"]) > 1 for epoch in model.history_)
    assert model.predict(X).shape == y.shape


def test_verbose_prints_losses_and_silence_is_the_default(binary, capsys):
    X, y, _ = binary
    WeightedTorchClassifier(**QUICK).fit(X, y)
    assert capsys.readouterr().out == ""
    WeightedTorchClassifier(verbose=1, **QUICK).fit(X, y)
    assert "train_loss" in capsys.readouterr().out


# --------------------------------------------------------------------------------------
# Global state
# --------------------------------------------------------------------------------------


class Fails(nn.Module):
    """Fails in training, after having drawn random numbers."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X):
        if self.training:
            raise RuntimeError("out of order")
        return self.layer(X)


@pytest.mark.parametrize("module", [None, Fails])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fit_leaves_global_state_as_it_was_also_after_an_error(binary, module, dtype):
    X, y, weight = binary
    given = X.copy(), y.copy(), weight.copy()
    torch.set_default_dtype(dtype)
    try:
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
        threads = torch.get_num_threads()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                WeightedTorchClassifier(module, **QUICK).fit(X, y, weight)
                assert module is None
            except RuntimeError as error:
                assert "out of order" in str(error)
            assert not torch.is_grad_enabled()
        assert_same_tensors({"random state": torch.get_rng_state()}, {"random state": torch_state})
        for i, (now, before) in enumerate(zip(np.random.get_state(), numpy_state)):
            assert_array_equal(now, before, err_msg=f"part {i} of numpy's random state")
        assert torch.get_default_dtype() == dtype
        assert torch.get_num_threads() == threads
        for name, before, now in zip(("X", "y", "weight"), given, (X, y, weight)):
            assert_array_equal(now, before, err_msg=name)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_default_dtype_does_not_reach_the_fit(binary):
    X, y, _ = binary
    expected = WeightedTorchClassifier(**QUICK).fit(X, y).predict_proba(X)
    torch.set_default_dtype(torch.float64)
    try:
        found = WeightedTorchClassifier(**QUICK).fit(X, y).predict_proba(X)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.device("meta"),
    ],
    ids=["inference_mode", "autocast", "default_device"],
)
def test_modes_of_torch_do_not_reach_the_fit_or_the_prediction(binary, mode):
    X, y, weight = binary
    expected = WeightedTorchClassifier(**QUICK).fit(X, y, weight).predict_proba(X)
    with mode():
        found = WeightedTorchClassifier(**QUICK).fit(X, y, weight).predict_proba(X)
    assert_array_equal(found, expected)


def precision():
    """torch's switches for the rounding of products."""
    backends = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return torch.get_float32_matmul_precision(), *backends


class SeesPrecision(nn.Linear):
    seen = []

    def forward(self, X):
        self.seen.append(precision())
        return super().forward(X)


@pytest.mark.parametrize("chosen", ["highest", "high"])
def test_the_precision_of_products_is_what_the_user_has_set(chosen, binary):
    X, y, weight = binary
    before = torch.get_float32_matmul_precision()
    SeesPrecision.seen.clear()
    torch.set_float32_matmul_precision(chosen)
    try:
        expected = precision()
        WeightedTorchClassifier(SeesPrecision, **QUICK).fit(X, y, weight).predict(X)
        assert {*SeesPrecision.seen} == {expected} == {precision()}
        assert expected[:2] == (chosen, chosen == "high")
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_random_state_is_kept_and_the_fit_is_seeded():
    device = torch.device("cuda")
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated_torch(0, device):
            draws.append(torch.rand(3, device=device).tolist())
    assert draws[0] == draws[1]
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_fit_on_a_gpu_pickles_to_the_cpu(binary):
    X, y, weight = binary
    model = WeightedTorchClassifier(early_stopping=True, **QUICK | {"device": "cuda"})
    model.fit(X, y, weight)
    assert next(model.module_.parameters()).is_cuda
    loaded = pickle.loads(pickle.dumps(model))
    assert next(model.module_.parameters()).is_cuda
    assert all(tensor.device.type == "cpu" for tensor in tensors_in(loaded))
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), atol=1e-5)


def test_fits_in_threads_are_the_fits_of_a_loop(binary):
    X, y, weight = binary

    def fit(seed):
        model = WeightedTorchClassifier(
            **QUICK | {"random_state": seed, "module__dropout": 0.5, "max_epochs": 4}
        )
        return model.fit(X, y, weight).predict_proba(X)

    state = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(fit, range(8)))
    assert torch.equal(torch.get_rng_state(), state)
    for seed, found in enumerate(threaded):
        assert_array_equal(found, fit(seed))


def test_the_seed_decides_what_is_drawn_inside():
    with isolated_torch(5, torch.device("cpu")):
        first = torch.rand(3)
    with isolated_torch(5, torch.device("cpu")):
        assert torch.equal(torch.rand(3), first)
    with isolated_torch(6, torch.device("cpu")):
        assert not torch.equal(torch.rand(3), first)


# --------------------------------------------------------------------------------------
# What a fitted estimator holds on to
# --------------------------------------------------------------------------------------


def tensors_in(thing, seen=None):
    """All tensors reachable from an object, without the classes and functions it names."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type):
        return []
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return [thing]
    parts = []
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, (list, tuple, set)):
        parts = list(thing)
    elif hasattr(thing, "__dict__"):
        parts = list(vars(thing).values())
    return [tensor for part in parts for tensor in tensors_in(part, seen)]


def test_a_pickle_holds_the_network_once_and_neither_data_nor_optimizer(binary):
    X, y, weight = binary
    schedule = LRScheduler(policy=torch.optim.lr_scheduler.StepLR, step_size=1)
    model = WeightedTorchClassifier(
        early_stopping=True,
        module__hidden_sizes=(128, 128),
        callbacks=[schedule, EarlyStopping(load_best=True, sink=print)],
        **QUICK,
    )
    model.fit(X, y, weight)
    bytes_of_network = sum(4 * t.numel() for t in model.module_.state_dict().values())
    loaded = pickle.loads(pickle.dumps(model))
    assert len(pickle.dumps(model)) < 1.2 * bytes_of_network
    own = {id(t) for t in tensors_in(loaded.module_)}
    assert own and all(id(t) in own or t.numel() == 0 for t in tensors_in(loaded.net_))
    assert all(t.device.type == "cpu" for t in tensors_in(loaded))
    # The fitted model itself holds no data either.
    shapes = {tuple(t.shape) for t in tensors_in(model.net_)}
    assert not any(len(shape) and shape[0] > 128 for shape in shapes)


def test_the_skorch_net_of_a_fitted_estimator_can_be_used_by_itself(binary, tmp_path):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK).fit(X, y)
    net = model.net_
    np.testing.assert_allclose(net.predict_proba(X), model.predict_proba(X), rtol=1e-5)
    assert_array_equal(net.predict(X.astype(np.float32)), model.predict(X))
    net.save_params(f_params=tmp_path / "params.pt")
    saved = torch.load(tmp_path / "params.pt")
    assert_array_equal(saved["output.bias"], model.module_.output.bias.detach())


def test_lazy_modules_find_their_shapes(binary):
    X, y, _ = binary
    lazy = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(1))
    model = WeightedTorchClassifier(lazy, **QUICK).fit(X, y)
    assert model.module_[0].weight.shape == (6, 8)


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_a_module_may_return_a_view_of_a_parameter(binary, estimator):
    X, y, _ = binary
    assert estimator(Intercept, **QUICK).fit(X, y).predict(X).shape == y.shape


class Adapts(nn.Linear):
    """Remember the data that ``adapt`` was given."""

    def adapt(self, X, y, row_weight):
        self.given = X.clone(), y.clone(), row_weight.clone()


def test_adapt_gets_the_training_rows_and_their_weights_once(binary):
    X, y, weight = binary
    model = WeightedTorchClassifier(Adapts, early_stopping=True, **QUICK).fit(X, y, weight)
    rows, target, row_weight = model.module_.given
    n_weighted = (weight > 0).sum()
    assert len(rows) == len(target) == n_weighted - round(0.2 * n_weighted)
    assert row_weight.mean().item() == pytest.approx(1)
    assert target.dtype == torch.int64 and rows.dtype == torch.float32


# --------------------------------------------------------------------------------------
# compile=True, whose steps are in test_steps.py
# --------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_compiled_network_trains_predicts_and_pickles(task, request):
    X, y, weight = request.getfixturevalue(task)
    estimator = WeightedTorchRegressor if task == "regression" else WeightedTorchClassifier
    params = QUICK | {"max_epochs": 2, "module__hidden_sizes": (4,)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        compiled = estimator(compile=True, **params).fit(X, y, weight)
        found = compiled.predict(X)
    plain = estimator(**params).fit(X, y, weight)
    np.testing.assert_allclose(found, plain.predict(X), rtol=1e-3, atol=1e-3 * np.std(y))
    np.testing.assert_allclose(pickle.loads(pickle.dumps(compiled)).predict(X), found, rtol=1e-4)


def test_without_a_compiler_a_fit_warns_and_is_that_without_compile(binary, monkeypatch):
    X, y, weight = binary
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.warns(UserWarning, match="^compile=True has no effect: .*no-such-compiler"):
        found = WeightedTorchClassifier(compile=True, **QUICK).fit(X, y, weight)
    expected = WeightedTorchClassifier(**QUICK).fit(X, y, weight)
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
