"""The direct step gives the bits of autograd, for every network, loss and option that takes it."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import assert_same_tensors, run_python, train_by_autograd
from skorch.callbacks import Callback, EpochScoring, GradientNormClipping, LRScheduler
from torch import nn

from skweight import WeightedLinear, WeightedTorchClassifier, WeightedTorchRegressor

N_ROWS = 300
rng = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "number": rng.normal(size=N_ROWS),
        "mostly zero": np.where(rng.random(N_ROWS) < 0.7, 0, rng.normal(size=N_ROWS)),
        "few": rng.choice([*"abcdef"], N_ROWS),
        "many": rng.choice([f"k{i}" for i in range(30)], N_ROWS),
        "holes": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.normal(size=N_ROWS)),
    }
)
TABLE = FRAME[["number", "mostly zero"]].to_numpy()
SIGNAL = FRAME["number"].to_numpy() + (FRAME["few"] == "a") + rng.normal(size=N_ROWS) * 0.5
TARGETS = {
    "two classes": (SIGNAL > 0.5).astype(int),
    "three classes": np.digitize(SIGNAL, [0, 1]),
    "labels": np.c_[SIGNAL > 0, SIGNAL > 1].astype(int),
    "number": SIGNAL,
    "two numbers": np.c_[SIGNAL, SIGNAL**2],
    "positive": np.exp(SIGNAL / 3),
}
WEIGHT = rng.exponential(size=N_ROWS)
QUICK = {"max_epochs": 3, "batch_size": 64, "random_state": 0, "n_members": 1, "device": "cpu"}


def fit_both(monkeypatch, X, target, weight=WEIGHT, **params):
    """The estimator as it is, and trained by autograd and torch's optimizer alone."""
    kind = WeightedTorchRegressor if target in REGRESSIONS else WeightedTorchClassifier
    fits = []
    for direct in (True, False):
        with monkeypatch.context() as patch:
            if not direct:
                train_by_autograd(patch)
            fits.append(kind(**QUICK | params).fit(X, TARGETS[target], weight))
    assert fits[1].net_.step_.startswith("autograd")
    return fits


REGRESSIONS = ("number", "two numbers", "positive")


def assert_same_fit(fits):
    """Equal networks and histories, which learned something."""
    one, other = fits
    assert_same_tensors(one.module_.state_dict(), other.module_.state_dict())
    for name in ("train_loss", "valid_loss"):
        losses = [[epoch.get(name) for epoch in model.history_] for model in fits]
        assert losses[0] == losses[1]
        assert losses[0] == [None] * len(losses[0]) or len({*losses[0]}) > 1


LOSSES = [
    *(("two classes", {"criterion": c}) for c in (None, "focal", "poly_tailed")),
    ("two classes", {"criterion": nn.BCEWithLogitsLoss}),
    ("two classes", {"criterion__label_smoothing": 0.1}),
    ("two classes", {"class_weight": "balanced", "logit_adjustment": 1.0}),
    *(("three classes", {"criterion": c}) for c in (None, "focal", nn.CrossEntropyLoss)),
    ("three classes", {"criterion__label_smoothing": 0.1, "logit_adjustment": 0.5}),
    *(("labels", {"criterion": c, "class_weight": "balanced"}) for c in (None, "focal")),
    *(("number", {"criterion": c}) for c in (None, "absolute_error", "huber", "gaussian_nll")),
    ("number", {"criterion": "quantile", "criterion__quantile": [0.1, 0.5, 0.9]}),
    ("number", {"criterion": nn.HuberLoss}),
    ("number", {"criterion": lambda output, target: (output - target).abs() ** 1.5}),
    ("two numbers", {}),
    *(("positive", {"criterion": c}) for c in ("poisson", "gamma", "tweedie")),
]


@pytest.mark.parametrize(("target", "params"), LOSSES)
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_every_loss_has_the_bits_of_autograd(
    monkeypatch, target, params, early_stopping, weighting
):
    fits = fit_both(
        monkeypatch, FRAME, target, early_stopping=early_stopping, weighting=weighting, **params
    )
    assert fits[0].net_.step_ == "direct"
    assert_same_fit(fits)


OPTIONS = [
    *({"module__hidden_sizes": sizes} for sizes in ((), (33,), (5, 5, 5))),
    *({"module__activation": name} for name in ("gelu", "silu", "tanh")),
    {"module__dropout": 0.3},
    {"module__feature_weights": 1.0},
    {"module__feature_weights": {"few": 2}, "module__learnable_feature_weights": False},
    {"module__feature_weights": 1.0, "module__max_indicators": 0},
    *({"module__n_bins": n_bins} for n_bins in (0, 3)),
    {"module__clip": None, "module__max_indicators": 100},
    *({"batch_size": size} for size in (1, 7, 100, -1)),
    {"optimizer__weight_decay": 0.1, "lr": 0.01},
    {"optimizer__betas": (0.8, 0.95), "optimizer__eps": 1e-6},
    {"optimizer__amsgrad": True},
    *({"optimizer": getattr(torch.optim, n)} for n in ("Adam", "SGD", "RMSprop", "LBFGS")),
    *({"ema_decay": decay} for decay in (0, 0.9)),
]


@pytest.mark.parametrize("params", OPTIONS)
@pytest.mark.parametrize("target", ["two classes", "number"])
def test_every_option_has_the_bits_of_autograd(monkeypatch, params, target):
    fits = fit_both(monkeypatch, FRAME, target, **params)
    assert fits[0].net_.step_ == "direct"
    assert_same_fit(fits)


def partly_frozen():
    """A network some of whose parameters are not trained."""
    network = nn.Sequential(
        nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 1)
    )
    network[2].weight.requires_grad_(False)
    network[0].bias.requires_grad_(False)
    return network


MODULES = {
    "linear": lambda: nn.Linear(2, 1),
    "relu": lambda: nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1)),
    "without bias": lambda: nn.Sequential(
        nn.Linear(2, 9, bias=False), nn.ReLU(), nn.Linear(9, 1, bias=False)
    ),
    "activations": lambda: nn.Sequential(
        *(nn.Linear(2, 16), nn.GELU(), nn.Linear(16, 7), nn.Tanh(), nn.ReLU(), nn.Linear(7, 1))
    ),
    "batch norm and dropout": lambda: nn.Sequential(
        *(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
    ),
    "layer norm first": lambda: nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 5), nn.Linear(5, 1)),
    "relu first": lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)),
    "weighted": lambda: nn.Sequential(
        WeightedLinear(2, 16, feature_weights=1.0, output_weights=1.0), nn.ReLU(), nn.Linear(16, 1)
    ),
    "fixed weights": lambda: WeightedLinear(2, 1, feature_weights=[1, 2], learnable=False),
    "nested": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(2, 9), nn.ReLU()), nn.Identity(), nn.Linear(9, 1)
    ),
    "partly frozen": partly_frozen,
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("target", ["two classes", "number"])
def test_every_network_of_known_layers_has_the_bits_of_autograd(monkeypatch, name, target):
    torch.manual_seed(0)
    fits = fit_both(monkeypatch, TABLE, target, module=MODULES[name](), ema_decay=0.5)
    assert fits[0].net_.step_ == "direct"
    assert_same_fit(fits)


CALLBACKS = {
    "schedule": LRScheduler("CosineAnnealingLR", T_max=3),
    "schedule of batches": LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR, max_lr=0.01, total_steps=15, step_every="batch"
    ),
    "clipping": GradientNormClipping(0.1),
    "score": EpochScoring("roc_auc", lower_is_better=False),
    "score of training rows": EpochScoring("accuracy", on_train=True, name="train_accuracy"),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_see_and_do_the_same(monkeypatch, name):
    fits = fit_both(monkeypatch, FRAME, "two classes", callbacks=[CALLBACKS[name]])
    assert fits[0].net_.step_ == "direct"
    assert_same_fit(fits)
    for one, other in zip(*(model.history_ for model in fits)):
        assert {**one, "dur": 0, "batches": 0} == {**other, "dur": 0, "batches": 0}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_two_threads_have_the_bits_of_autograd(monkeypatch, n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        fits = fit_both(monkeypatch, FRAME, "two classes", max_epochs=2, batch_size=150)
    finally:
        torch.set_num_threads(before)
    assert_same_fit(fits)


@pytest.mark.parametrize("params", [{}, {"callbacks": [CALLBACKS["schedule"]]}])
def test_partial_fits_and_warm_starts_continue_with_the_same_bits(monkeypatch, params):
    found = []
    for direct in (True, False):
        with monkeypatch.context() as patch:
            if not direct:
                train_by_autograd(patch)
            model = WeightedTorchRegressor(**QUICK, **params)
            for part in np.array_split(np.arange(N_ROWS), 3):
                model.partial_fit(FRAME.iloc[part], SIGNAL[part], WEIGHT[part])
            found.append(model.module_.state_dict())
            model = WeightedTorchRegressor(**QUICK, **params, warm_start=True)
            for _ in range(2):
                model.fit(FRAME, SIGNAL, WEIGHT)
            found.append(model.module_.state_dict())
    assert_same_tensors(found[0], found[2])
    assert_same_tensors(found[1], found[3])


class OwnForward(nn.Module):
    """A forward that nobody knows."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.hidden, self.output = nn.Linear(n_features, 8), nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.output(self.hidden(X).relu())


class Doubled(nn.Sequential):
    """A container with a forward of its own."""

    def forward(self, X):
        return 2 * super().forward(X)


def hooked():
    """A network with a hook."""
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    network[0].register_forward_hook(lambda module, given, output: output * 2)
    return network


def shared():
    """A network that uses a layer twice."""
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(2, 1))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (OwnForward, "the forward of OwnForward is not known"),
        (lambda *sizes: Doubled(nn.Linear(*sizes)), "the forward of Doubled is not known"),
        (hooked(), "a layer has hooks"),
        (shared(), "a parameter is used in two places"),
    ],
)
def test_other_networks_take_autograd_and_say_why(monkeypatch, module, reason):
    fits = fit_both(monkeypatch, TABLE, "two classes", module=module)
    assert fits[0].net_.step_ == f"autograd, because {reason}"
    assert_same_fit(fits)  # Adam by its kernel


def test_a_first_fit_does_not_import_the_compiler_of_torch():
    code = """
import sys
import numpy as np
from skweight import WeightedTorchClassifier, WeightedTorchRegressor
X = np.random.default_rng(0).normal(size=(300, 3))
for model, y in ((WeightedTorchClassifier, X[:, 0] > 0), (WeightedTorchRegressor, X[:, 0])):
    for criterion in (None, "focal" if model is WeightedTorchClassifier else "huber"):
        model(criterion=criterion, max_epochs=2, device="cpu").fit(X, y).predict(X)
found = {"sympy", "torch._dynamo", "torch._inductor"} & {*sys.modules}
print("imported", sorted(found))
"""
    process = run_python(code)
    assert process.stdout.strip().endswith("imported []"), process.stdout + process.stderr


def test_a_fitted_network_does_not_share_memory(tmp_path):
    """Parameters lie in one tensor during a fit, which a pickle would hold as a whole."""
    model = WeightedTorchClassifier(**QUICK).fit(FRAME, TARGETS["two classes"])
    for parameter in model.module_.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.nbytes


@pytest.mark.parametrize("most_bytes", [0, 4 * 40 * N_ROWS])
@pytest.mark.parametrize("target", ["two classes", "number"])
def test_rows_that_are_not_kept_encoded_are_encoded_in_each_batch(monkeypatch, most_bytes, target):
    kind = WeightedTorchRegressor if target in REGRESSIONS else WeightedTorchClassifier
    states = []
    for limit in (2**25, most_bytes):
        monkeypatch.setattr("skweight.training.encoded.MOST_BYTES", limit)
        model = kind(**QUICK, module__n_bins=8).fit(FRAME, TARGETS[target], WEIGHT)
        states.append(model.module_.state_dict())
    assert_same_tensors(*states)


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
@pytest.mark.parametrize("target", ["two classes", "three classes", "number"])
def test_an_epoch_of_several_blocks_of_batches_is_the_same(monkeypatch, target, weighting):
    monkeypatch.setattr("skweight.data.batches.ROWS_IN_ORDER", 70)
    assert_same_fit(fit_both(monkeypatch, FRAME, target, weighting=weighting, batch_size=32))


class AtTheEndOf(Callback):
    """Does something to the net at the end of the second epoch."""

    def __init__(self, change):
        self.change = change

    def on_epoch_end(self, net, **kwargs):
        """Change the net."""
        if len(net.history) == 2:
            self.change(net)


def move_parameters(net):
    """Give parameters other memory and other values."""
    for parameter in net.module_.parameters():
        parameter.data = parameter.data.clone() * 0.5


def replace_a_layer(net):
    """Have another activation."""
    net.module_.hidden[1] = nn.Tanh()


def freeze(net):
    """Train the first layer no more."""
    net.module_.hidden[0].weight.requires_grad_(False)


def encode_otherwise(net):
    """Change a buffer that the encoding of X uses."""
    net.module_.shift.add_(1.0)


def drop_gradients(net):
    """Take the gradients away."""
    for parameter in net.module_.parameters():
        parameter.grad = None


def change_rates(net):
    """Set other learning rates."""
    for group in net.optimizer_.param_groups:
        group["lr"] = 0.05


@pytest.mark.parametrize(
    "change",
    [move_parameters, replace_a_layer, freeze, encode_otherwise, drop_gradients, change_rates],
)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_what_a_callback_does_to_a_network_is_respected(monkeypatch, change, early_stopping):
    params = {"callbacks": [AtTheEndOf(change)], "early_stopping": early_stopping, "ema_decay": 0.9}
    fits = fit_both(monkeypatch, FRAME, "two classes", **params)
    assert_same_fit(fits)
    for parameter in fits[0].module_.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.nbytes


def test_weights_that_share_memory_stay_tied(monkeypatch):
    def tied(n_features, n_outputs):
        one, other = nn.Linear(n_features, n_features), nn.Linear(n_features, n_features)
        other.weight.data = one.weight.data
        return nn.Sequential(one, nn.ReLU(), other, nn.ReLU(), nn.Linear(n_features, n_outputs))

    fits = fit_both(monkeypatch, TABLE, "two classes", module=tied, ema_decay=0.9)
    assert_same_fit(fits)
    first, _, second, *_ = fits[0].module_
    assert torch.equal(first.weight, second.weight)
