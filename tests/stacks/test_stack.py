"""Every model of a stack is the one that its own training would have made, to the bit.

Searches, which train in stacks, are in ``tests/search``; stacked networks in ``test_networks.py``.
"""

import copy
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors
from scipy import sparse
from skorch.callbacks import Checkpoint, EpochScoring, GradientNormClipping, LRScheduler
from torch import nn

from skweight import WeightedLinear, WeightedTorchClassifier, WeightedTorchRegressor
from skweight.estimators import FitData, plan
from skweight.stacks import (
    NotStackable,
    Stack,
    StackedNetwork,
    choose_implementation,
    models_at_once,
    train_together,
)
from skweight.training import DirectReLU, TrainingOptions, isolated_torch, make_net, train

rng = np.random.default_rng(0)
X = rng.normal(size=(303, 5)).astype(np.float32)
Y = (X[:, 0] + rng.normal(size=303) > 0.7).astype(int)
CLASSES = np.digitize(X[:, 0] + rng.normal(size=303), [-0.5, 1.2])
LABELS = np.stack([Y, X[:, 1] > 0.3], axis=1).astype(int)
AMOUNT = X[:, 0] + rng.normal(size=303)
WEIGHT = rng.integers(0, 3, 303)
FOLDS = [np.flatnonzero(np.arange(303) % 3 != fold) for fold in range(3)]
QUICK = {
    "batch_size": 32,
    "max_epochs": 6,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
STOPPING = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 40, "lr": 0.03}
WEIGHTS = [{"class_weight": w} for w in (None, "balanced", {0: 1, 1: 3})]
POWERS = [{"sample_weight_power": power} for power in (0.0, 0.5, 1.0)]

SCHEDULES = {
    "epochs": LRScheduler("StepLR", step_size=2, gamma=0.5),
    "batches": LRScheduler("CosineAnnealingLR", T_max=9, step_every="batch"),
    "recorded": LRScheduler("ExponentialLR", gamma=0.7, event_name="rate"),
}
OWN = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))


def case(settings, y=Y, **params):
    return settings, y, params


CASES = {
    "binary": case(WEIGHTS),
    "classes": case([*WEIGHTS, {"class_weight": {2: 0.5}}], CLASSES),
    "labels": case(WEIGHTS, LABELS),
    "labels with one weight": case([{"logit_adjustment": t} for t in (0, 1.0)], LABELS),
    "sampling": case([{"weighting": w, **c} for w in ("loss", "sampling") for c in WEIGHTS]),
    "logit adjustment": case([{"logit_adjustment": t} for t in (0.0, 0.5, 1.0)], CLASSES),
    "binary adjusted": case([{"logit_adjustment": t} for t in (0.0, 0.5, 1.0)]),
    "early stopping": case(WEIGHTS, **STOPPING),
    "stopping regression": case(POWERS, AMOUNT, **STOPPING),
    "seeds": case([{"random_state": seed} for seed in range(4)]),
    "feature weights": case([{"module__feature_weights": w} for w in (None, 1.0, 2.0)]),
    "linear": case(WEIGHTS, module__hidden_sizes=()),
    "odd widths": case(WEIGHTS, module__hidden_sizes=(7, 50), batch_size=41),
    "own network": case(WEIGHTS, module=OWN),
    "all rows": case(WEIGHTS, batch_size=-1, optimizer=torch.optim.Adam),
    "momentum": case(WEIGHTS, optimizer=torch.optim.SGD, optimizer__momentum=0.9),
    "groups": case(WEIGHTS, optimizer__param_groups=[("output.*", {"lr": 0.1})]),
    "rmsprop": case(WEIGHTS, optimizer=torch.optim.RMSprop, optimizer__weight_decay=0.1),
    "averaged": case(WEIGHTS, ema_decay=0.9, module__hidden_sizes=(7, 50)),
    "averaged until stopped": case(WEIGHTS, ema_decay=0.9, **STOPPING),
    "clipped": case(WEIGHTS, callbacks=[GradientNormClipping(0.1)]),
    "clipped odd widths": case(
        WEIGHTS, callbacks=[GradientNormClipping(0.05)], module__hidden_sizes=(7, 16, 3, 16)
    ),
    "clipped by another norm": case(
        WEIGHTS, callbacks=[GradientNormClipping(0.2, gradient_clip_norm_type=1)]
    ),
    "not clipped": case(WEIGHTS, callbacks=[GradientNormClipping(None)]),
    **{f"schedule of {k}": case(WEIGHTS, callbacks=[c]) for k, c in SCHEDULES.items()},
    "partial fused": case(
        WEIGHTS, optimizer=partial(torch.optim.AdamW, fused=True), module__hidden_sizes=(7,)
    ),
    **{
        f"{name}": case(WEIGHTS, module__activation=name, module__hidden_sizes=(16, 32))
        for name in ("tanh", "gelu", "silu")
    },
    "focal": case(WEIGHTS, criterion="focal"),
    "smoothing": case(WEIGHTS, criterion__label_smoothing=0.1),
    "of torch": case(WEIGHTS, criterion=nn.CrossEntropyLoss),
    "function": case(WEIGHTS, criterion=lambda z, t: (z - t) ** 2),
    "squared error": case(POWERS, AMOUNT),
    "one target in a column": case(POWERS, AMOUNT[:, None]),
    "two targets": case(POWERS, np.stack([AMOUNT, -AMOUNT], axis=1)),
    "quantiles": case(POWERS, AMOUNT, criterion="quantile", criterion__quantile=[0.1, 0.5]),
    "gamma": case(POWERS, np.exp(AMOUNT), criterion="gamma"),
}


def singly_and_together(settings, y, params, X=X, folds=FOLDS, **options):
    """Nets of settings and folds that are trained one by one, and the outcomes of a stack."""
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier

    def plans():
        for one in settings:
            for fold in folds:
                model = kind(**QUICK | params | one)
                yield plan(model, FitData(X[fold], y[fold], WEIGHT[fold])).training

    return [train(training) for training in plans()], train_together([*plans()], **options)


# Of the five columns: a mass point, few categories, missing numbers, many categories, a number.
CARDINALITIES = (0, 4, 0, 30, 0)
TABLES = {
    "categories": case(WEIGHTS),
    "categories, stopping": case(WEIGHTS, **STOPPING),
    "feature weights of categories": case(WEIGHTS, module__feature_weights=1.0),
    "fixed weights": case(
        WEIGHTS, module__feature_weights=[1, 2, 3, 4, 5], module__learnable_feature_weights=False
    ),
    "embeddings alone": case(POWERS, AMOUNT, module__max_indicators=0),
    "indicators alone": case(POWERS, AMOUNT, module__max_indicators=30, ema_decay=0.9),
    "embeddings of odd size": case(WEIGHTS, CLASSES, module__embedding_size=3),
    "linear": case(WEIGHTS, module__hidden_sizes=(), optimizer=torch.optim.SGD),
}


def with_categories(training):
    """The same training with categories, a mass point and missing numbers in its table."""
    rows, valid_rows = training.rows, training.valid_rows
    table = rows.X.clone()
    table[:, 1] = (table[:, 1].abs() * 2).floor().clamp(max=2) + 1
    table[:, 3] = (table[:, 3].abs() * 12).floor().clamp(max=29)
    table[table[:, 0] < 0, 0] = 0
    table[table[:, 2] > 1, 2] = torch.nan
    for part in (rows, valid_rows):
        if part is not None:
            part.X = table
    return replace(training, cardinalities=CARDINALITIES, column_names=tuple("abcde"))


@pytest.mark.parametrize("name", TABLES)
def test_so_are_models_of_tables_with_categories_and_missing_numbers(name):
    settings, y, params = TABLES[name]

    def plans():
        kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
        for one in settings:
            for fold in FOLDS:
                data = FitData(X[fold], y[fold], WEIGHT[fold])
                yield with_categories(plan(kind(**QUICK | params | one), data).training)

    outcomes = train_together([*plans()])
    assert all(outcome.stacked for outcome in outcomes)
    assert_same_nets([*map(train, plans())], outcomes)
    network = outcomes[0].net.module_
    assert network.numbers.columns == (0, 2, 4)
    assert [j for j, _ in network.value_indicators.indicated] == (
        [2] if name == "linear" else [0, 2]
    )
    assert (network.embedding is None) is (name in ("indicators alone", "linear"))
    decays = [g["weight_decay"] for g in outcomes[0].net.optimizer_.param_groups]
    if name == "categories":
        assert decays == [0.1, 0.0]


def assert_same_nets(singly, outcomes):
    """Every outcome has the network and the history of the training by itself."""
    assert len(singly) == len(outcomes)
    states = []
    for one, outcome in zip(singly, outcomes):
        assert outcome.error is None
        other = outcome.net
        assert not other.module_.training and type(other) is type(one)
        states.append(one.module_.state_dict())
        assert_same_tensors(other.module_.state_dict(), states[-1])
        assert len(one.history) == len(other.history)
        for epoch, its_epoch in zip(one.history, other.history):
            assert epoch.keys() == its_epoch.keys()
            for name in epoch.keys() - {"dur", "batches", "train_loss"}:
                assert epoch[name] == its_epoch[name], name
            assert epoch["train_loss"] == pytest.approx(its_epoch["train_loss"], rel=1e-6)
            assert its_epoch["dur"] > 0
    for state in states[1:]:
        assert not all(map(torch.equal, state.values(), states[0].values()))


@pytest.mark.parametrize("name", CASES)
def test_every_model_of_a_stack_is_that_of_its_own_training_to_the_bit(name):
    singly, together = singly_and_together(*CASES[name])
    assert_same_nets(singly, together)
    if "stopping" in name:
        assert len({len(net.history) for net in singly}) > 1


SHARING = ("binary", "early stopping", "averaged", "silu", "odd widths", "two targets", "clipped")


@pytest.mark.parametrize("name", [*SHARING, *TABLES])
def test_models_with_the_same_rows_share_them_and_are_the_same_to_the_bit(name):
    settings, y, params = (CASES | TABLES)[name]
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
    models = [kind(**QUICK | params | one) for one in settings]
    trainings = [plan(model, FitData(X, y, WEIGHT)).training for model in models]
    if name in TABLES:
        trainings = [with_categories(training) for training in trainings]
    for training in trainings:
        for rows in (training.rows, training.valid_rows):
            if rows is not None:
                rows.X = trainings[0].rows.X
    trainings = [replace(training, adapt_rows=trainings[0].rows) for training in trainings]
    singly = [train(copy.deepcopy(training)) for training in trainings]
    assert_same_nets(singly, train_together(copy.deepcopy(trainings)))
    with isolated_torch(0, torch.device("cpu")):
        stack = Stack(trainings, [*map(make_net, trainings)], 0.75)
    assert stack.batches.have_same_rows
    first = singly[0].module_
    assert all(torch.equal(net.module_.shift, first.shift) for net in singly)


def test_sparse_rows_are_stacked_too():
    assert_same_nets(*singly_and_together(WEIGHTS, Y, {}, X=sparse.csr_array(X * (X > 0))))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_models_that_have_stopped_change_nothing_whether_they_leave_the_stack_or_not(
    share, monkeypatch
):
    lengths, keep = [], Stack.keep

    def kept(self, positions):
        lengths.append(len(positions))
        keep(self, positions)
        if positions:  # the models that have left cost nothing more
            of_models = [p for group in self.optimizer.param_groups for p in group["params"]]
            assert len(of_models) == len(self.optimizer.state)
            parameters = self.parameters
            n_views = len(parameters.per_model) * len(positions)
            assert len(of_models) == len(parameters.stacked) + n_views

    monkeypatch.setattr(Stack, "keep", kept)
    settings = [{"random_state": seed, **w} for seed in range(2) for w in WEIGHTS]
    params = STOPPING | {"module__hidden_sizes": (9,)}
    assert_same_nets(*singly_and_together(settings, Y, params, still_trained=share))
    assert (len(lengths) > 3) == (share > 0)
    assert share == 0 or lengths[-1] == 0


@pytest.mark.parametrize(
    "module",
    [
        {"module__feature_weights": 1.0},
        {"module__activation": "silu"},
        {
            "module": lambda n_features, n_outputs: nn.Sequential(
                WeightedLinear(n_features, 8, feature_weights=1.0, output_weights=1.0),
                nn.ReLU(),
                nn.Linear(8, n_outputs),
            )
        },
    ],
    ids=["feature weights", "activation", "weighted layer"],
)
def test_models_may_leave_a_stack_of_layers_with_graphs_of_their_own(module):
    settings = [{"random_state": seed, **w} for seed in range(2) for w in WEIGHTS]
    singly, together = singly_and_together(settings, Y, STOPPING | module, still_trained=1.0)
    assert_same_nets(singly, together)
    assert len({len(net.history) for net in singly}) > 2


class Own(nn.Module):
    """Layers of which one is unknown, in a forward of its own."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first, self.norm = nn.Linear(n_features, 8), nn.LayerNorm(8)
        self.last = nn.Linear(8, n_outputs)

    def forward(self, X):
        X = self.norm(self.first(X))
        return self.last(X + torch.tanh(X))


class Remembers(Own):
    """It learns a number of its rows that is no tensor."""

    center = 0.0

    def adapt(self, X, y, row_weight):
        self.center = float((X[:, 0] * row_weight).mean())

    def forward(self, X):
        return super().forward(X - self.center)


class Bare(nn.Module):
    """A parameter that is no layer's, which only torch can stack."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(n_features, n_outputs, 50))

    def forward(self, X):
        return (X @ self.matrix.flatten(1)).tanh().reshape(len(X), -1, 50).sum(-1)


def test_networks_whose_numbers_differ_are_not_stacked_and_networks_whose_do_not_are():
    singly, together = singly_and_together(WEIGHTS, Y, {"module": Remembers})
    assert_same_nets(singly, together)
    assert len({outcome.net.module_.center for outcome in together}) > 3
    assert not any(outcome.stacked for outcome in together)
    seeds = [{"random_state": seed} for seed in range(4)]
    whole = {"module": Remembers, "early_stopping": False}
    singly, together = singly_and_together(seeds, Y, whole, folds=FOLDS[:1])
    assert_same_nets(singly, together)
    assert all(outcome.stacked for outcome in together)


@pytest.mark.parametrize("params", [{}, STOPPING], ids=["to the end", "stopping"])
def test_networks_with_a_forward_of_their_own_are_those_of_their_training_to_the_bit(params):
    singly, together = singly_and_together(WEIGHTS, Y, {"module": Own, "max_epochs": 20} | params)
    assert_same_nets(singly, together)
    assert all(outcome.stacked for outcome in together)


def test_networks_that_torch_would_round_in_another_way_are_not_stacked(monkeypatch):
    def refuse(self, modules, X):
        assert X.shape == (3, 20, 5)
        raise NotStackable("rounded in another way")

    monkeypatch.setattr(StackedNetwork, "check_rounding", refuse)
    made = [*plans(module=Bare, batch_size=20, early_stopping=False)]
    rows = made[0].rows
    rows.index, rows.row_weight = rows.index[:100], rows.row_weight[:100]
    with pytest.raises(NotStackable, match="rounded in another way"):
        models_at_once(made[0])


def test_stacks_that_would_save_nothing_are_not_made():
    for n_models in (1, 2, 3):
        made = [*plans(WEIGHTS[:n_models])]
        found = train_together(made)
        assert_same_nets([*map(train, plans(WEIGHTS[:n_models]))], found)
        assert [outcome.stacked for outcome in found] == [n_models > 1] * n_models


def plans(settings=WEIGHTS, y=Y, **params):
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
    for one in settings:
        yield plan(kind(**QUICK | params | one), FitData(X, y, WEIGHT)).training


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_training_that_fails_does_not_spoil_its_stack(early_stopping):
    params = {"early_stopping": early_stopping}
    expected = [train(plan) for plan in plans(POWERS, AMOUNT, **params)]
    together = [*plans(POWERS, AMOUNT, **params)]
    together[1].rows.y[3] = np.nan
    found = train_together(together)
    assert_same_nets([expected[0], expected[2]], [found[0], found[2]])
    with pytest.raises(ValueError) as raised:
        train(together[1])
    assert found[1].net is None and type(found[1].error) is ValueError
    assert str(found[1].error) == str(raised.value)
    assert str(found[1].error).startswith("train_loss became nan in epoch 1. Try a smaller lr")


def test_a_network_that_cannot_be_made_is_the_error_of_its_own_training():
    together = [*plans()]
    broken = copy.copy(together[1])

    def make_module():
        raise ValueError("no network")

    object.__setattr__(broken, "make_module", make_module)
    found = train_together([together[0], broken, together[2]])
    assert_same_nets([train(plan) for plan in [*plans()][::2]], [found[0], found[2]])
    assert found[1].net is None and str(found[1].error) == "no network"


def test_global_state_is_left_as_it_was():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    made = [*plans()]
    torch.set_default_dtype(torch.float64)
    try:
        found = train_together(made)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0].net.module_.output.weight.dtype == torch.float32


MODES = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_torch_do_not_reach_a_stack(mode):
    expected = [outcome.net for outcome in train_together([*plans()])]
    choose_implementation.cache_clear()
    together = [*plans()]
    with MODES[mode]():
        assert models_at_once(together[0]) > 1
        found = train_together(together)
    assert_same_nets(expected, found)


def test_a_net_holds_on_to_no_other_model_of_its_stack():
    params = {"callbacks": [LRScheduler("StepLR", step_size=2)]}
    for net in [outcome.net for outcome in train_together([*plans(**params)])]:
        own = {p.shape for p in net.module_.parameters()}
        of_optimizer = [p for group in net.optimizer_.param_groups for p in group["params"]]
        assert {p.shape for p in of_optimizer} == own
        schedules = [c for _, c in net.callbacks_ if isinstance(c, LRScheduler)]
        assert len(schedules) == 1 and schedules[0].lr_scheduler_ is None


class Learns(nn.BCEWithLogitsLoss):
    def __init__(self):
        super().__init__(reduction="none")
        self.slope = nn.Parameter(torch.ones(1))


class Plateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    pass


NOT_STACKED = {
    "LBFGS": ({"optimizer": torch.optim.LBFGS}, "optimizer LBFGS is not known to update"),
    "callback": (
        {"callbacks": [("score", EpochScoring("accuracy"))]},
        "callback EpochScoring is not supported in stacks",
    ),
    "class": ({"callbacks": [Checkpoint]}, "callback Checkpoint is not supported in stacks"),
    "of plateau": (
        {"callbacks": [LRScheduler(Plateau, monitor="train_loss")]},
        "callback LRScheduler is not supported in stacks",
    ),
    "plateau": (
        {"callbacks": [LRScheduler("ReduceLROnPlateau", monitor="train_loss")]},
        "callback LRScheduler is not supported in stacks",
    ),
    "compile": ({"compile": True}, "compile=True compiles one network"),
    "criterion": ({"criterion": Learns}, "the criterion has parameters to be trained"),
    "dropout": ({"module__dropout": 0.1}, "MLP draws random numbers"),
}


@pytest.mark.parametrize("name", NOT_STACKED)
def test_what_cannot_be_stacked_says_why(name):
    params, reason = NOT_STACKED[name]
    for refused in (train_together, lambda made: models_at_once(made[0])):
        with pytest.raises(NotStackable, match=f"^{reason}"):
            refused([*plans(**params)])


# How many


def size(width, batch_size, X=X, **params):
    params = QUICK | {"module__hidden_sizes": (width, width), "batch_size": batch_size} | params
    X = np.resize(X, (batch_size, X.shape[1]))
    y = np.arange(batch_size) % 2
    return models_at_once(plan(WeightedTorchClassifier(**params), FitData(X, y)).training)


def test_wide_networks_and_large_batches_make_small_stacks_or_none():
    wide = rng.normal(size=(3000, 20)).astype(np.float32)
    sizes = [size(width, 256, wide) for width in (16, 64, 128, 256, 1024)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 64 and sizes[-1] == 1
    sizes = [size(128, b, wide, module__n_bins=0) for b in (32, 200, 2048)]
    assert sizes[0] > 50 > sizes[1] > 20 > sizes[2] == 1


def test_every_option_of_a_training_is_used_or_refused_by_stacks():
    """A new option belongs into one of these sets, and into stacks or ``check_stackable``."""
    of_nets = {"optimizer", "optimizer_params", "lr", "batch_size", "max_epochs", "ema_decay"}
    of_models = {"seed", "weighting", "n_iter_no_change", "tol"}
    of_callbacks_that_are_known = {"callbacks"}
    of_observers, refused = {"verbose"}, {"compile"}
    known = of_nets | of_models | of_callbacks_that_are_known | of_observers | refused
    assert {field.name for field in fields(TrainingOptions)} == known


@pytest.mark.parametrize(
    ("name", "is_direct", "at_once"),
    [
        ("binary", True, True),
        ("binary adjusted", True, True),
        ("stopping regression", True, True),
        ("one target in a column", True, True),
        ("classes", True, False),
        ("labels", True, False),
        ("feature weights", True, True),
        ("odd widths", True, True),
        ("own network", True, True),
    ],
)
def test_stacks_of_known_layers_train_without_the_graph_of_autograd(name, is_direct, at_once):
    settings, y, params = CASES[name]
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
    data = FitData(X[FOLDS[0]], y[FOLDS[0]], WEIGHT[FOLDS[0]])
    models = [kind(**QUICK | params | settings[-1] | {"random_state": s}) for s in (0, 1)]
    trainings = [plan(model, data).training for model in models]
    with isolated_torch(0, torch.device("cpu")):
        stack = Stack(trainings, [make_net(training) for training in trainings], 0.75)
    assert (stack.direct is not None) is is_direct
    assert stack.direct.can_join_losses is at_once


def test_a_stack_whose_steps_show_another_bit_is_trained_by_autograd(monkeypatch):
    settings, y, params = CASES["binary"]
    expected, _ = singly_and_together(settings, y, params)
    monkeypatch.setattr(DirectReLU, "backward", lambda self, gradient: gradient.mul_(1 + 1e-6))
    found = []
    for one in settings:
        for fold in FOLDS:
            model = WeightedTorchClassifier(**QUICK | params | one)
            found.append(plan(model, FitData(X[fold], y[fold], WEIGHT[fold])).training)
    assert_same_nets(expected, train_together(found))


@pytest.mark.parametrize("name", ["binary", "classes", "sampling", "stopping regression"])
def test_an_epoch_of_several_blocks_of_batches_is_the_same(monkeypatch, name):
    monkeypatch.setattr("skweight.data.batches.ROWS_IN_ORDER", 70)
    monkeypatch.setattr("skweight.stacks.batches.ROWS_IN_ORDER", 70 * 9)
    assert_same_nets(*singly_and_together(*CASES[name]))


@pytest.mark.parametrize("most_bytes", [0, 2**14])
@pytest.mark.parametrize("name", ["early stopping", "labels", "seeds"])
def test_rows_that_are_encoded_batch_by_batch_give_the_same_networks(monkeypatch, name, most_bytes):
    settings, y, params = CASES[name]
    params = params | {"module__n_bins": 4}
    expected, _ = singly_and_together(settings, y, params)
    monkeypatch.setattr("skweight.training.encoded.MOST_BYTES", most_bytes)
    _, found = singly_and_together(settings, y, params)
    assert_same_nets(expected, found)


@pytest.mark.parametrize("name", [n for n in TABLES if n != "indicators alone"])
def test_embeddings_are_stacked_without_the_graph_of_autograd(name):
    settings, y, params = TABLES[name]
    kind = WeightedTorchRegressor if y.dtype.kind == "f" else WeightedTorchClassifier
    fold = FOLDS[0]
    trainings = [
        with_categories(
            plan(kind(**QUICK | params | one), FitData(X[fold], y[fold], WEIGHT[fold])).training
        )
        for one in settings
    ]
    with isolated_torch(0, torch.device("cpu")):
        nets = [make_net(training) for training in trainings]
        assert Stack(trainings, nets, 0.75).direct is not None


def shuffled(settings):
    """The orders that the models of a stack draw for an epoch."""
    models = [WeightedTorchClassifier(**QUICK | one) for one in settings]
    trainings = [plan(model, FitData(X, Y, WEIGHT)).training for model in models]
    with isolated_torch(0, torch.device("cpu")):
        stack = Stack(trainings, [make_net(training) for training in trainings], 0.75)
    n_distinct = len({id(order) for order in stack.batches._orders()})
    return n_distinct, len(models)


def test_models_of_one_seed_draw_one_order_unless_they_sample_by_their_weights():
    assert shuffled(WEIGHTS) == (1, 3)
    assert shuffled(CASES["seeds"][0]) == (4, 4)
    sampled = [{"weighting": "sampling", **one} for one in WEIGHTS]
    assert shuffled(sampled) == (3, 3)
