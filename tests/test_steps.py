"""Gradients of a batch are the same operation by operation, compiled, and replayed.

CUDA graphs are tried on a CPU: ``kernels`` records and replays what they would.
"""

import sys
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from skorch.callbacks import GradientNormClipping
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.criteria import RowLoss
from skweight.losses import CLASSIFIER_CRITERIA, CrossEntropy, weighted_mean
from skweight.steps import CompiledGradients, Gradients, ReplayedGradients, _compiled, make_step
from skweight.target_losses import REGRESSOR_CRITERIA

QUICK = {"max_epochs": 8, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}


class Kernels(TorchDispatchMode):
    """Keep every operation with the tensors that it reads and writes, as a CUDA graph does."""

    def __init__(self):
        super().__init__()
        self.launches = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        results = function(*args, **(kwargs or {}))
        given = {place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        new = [t for t in tree_leaves(results) if isinstance(t, torch.Tensor)]
        written = [None if place(t) in given else t for t in new]  # not views, nor in place
        self.launches.append((function, args, kwargs or {}, written))
        return results

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, written in self.launches:
            results = tree_leaves(function(*args, **kwargs))
            for old, new in zip(written, results):
                if old is not None:
                    old.copy_(new)


def place(tensor):
    return tensor.untyped_storage().data_ptr()


def kernels(module):
    """Make a ``record`` that changes nothing, and whose replays run no Python of the step."""

    def record(step):
        touched = [*module.state_dict().values()]
        touched += [p.grad for p in module.parameters() if p.grad is not None]
        before, random_state = [t.clone() for t in touched], torch.get_rng_state()
        with Kernels() as recording:
            step()
        for tensor, value in zip(touched, before):
            tensor.detach().copy_(value)
        torch.set_rng_state(random_state)
        return recording.replay

    return record


def steps(module):
    """Make a ``record`` whose replays are the step itself."""
    return lambda step: step


def network(*between):
    """A network with a parameter that takes no part."""
    module = nn.Sequential(nn.Linear(5, 8), *between, nn.Tanh(), nn.Linear(8, 1))
    module.register_parameter("spare", nn.Parameter(torch.ones(3)))
    return module


def make_batches(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for size in sizes:
        X = torch.randn(size, 5, generator=generator)
        y = (X[:, 0] + torch.randn(size, generator=generator) > 0).long()
        yield {"X": X, "row_weight": torch.rand(size, generator=generator) * 2}, y


def training(make, *between, optimizer=None, after=lambda module: None, frozen=()):
    """Train on 30 batches of two sizes; return the module, and losses, outputs and weights."""
    torch.manual_seed(0)
    module = network(*(layer() for layer in between))
    step = make(module, RowLoss(CrossEntropy()))
    kind, options = optimizer or (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1})
    stepping = kind(module.parameters(), **options)
    losses, outputs, weights = [], [], [module[0].weight.detach().clone()]
    for i, batch in enumerate(make_batches([13, 13, 12, 12, 12] * 6)):
        module[0].weight.requires_grad_(i not in frozen)

        def closure(batch=batch):
            loss, output = step(batch)
            after(module)
            losses.append(loss)
            outputs.append(output)
            return loss

        stepping.step(closure)
        weights.append(module[0].weight.detach().clone())
    return module, losses, outputs, weights


def replayed(record):
    return lambda module, criterion: ReplayedGradients(module, criterion, record(module))


def check_same(found, expected):
    """Networks with their gradients, losses, outputs and weights are equal bit for bit."""
    for a, b in zip(found[1:], expected[1:]):
        assert len(a) == len(b) and all(map(torch.equal, a, b))
    states = found[0].state_dict(), expected[0].state_dict()
    assert [*states[0]] == [*states[1]]
    assert all(map(torch.equal, states[0].values(), states[1].values()))
    assert torch.equal(expected[0].spare, torch.ones(3))  # and did not decay
    for a, b in zip(found[0].parameters(), expected[0].parameters()):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or torch.equal(a.grad, b.grad)


# Operation by operation


def settings_of_criteria():
    """Criteria with numbers of outputs, targets, and columns of weights."""
    codes, labels = torch.arange(13) % 2, torch.arange(39).reshape(13, 3) % 2
    for name, criterion in CLASSIFIER_CRITERIA.items():
        yield pytest.param(criterion, 1, codes, id=f"{name}-binary")
        yield pytest.param(criterion, 3, labels, id=f"{name}-labels")
        if not criterion.binary_only:
            yield pytest.param(criterion, 4, torch.arange(13) % 4, id=f"{name}-classes")
    amounts = torch.rand(13, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    for name, criterion in REGRESSOR_CRITERIA.items():
        yield pytest.param(criterion, criterion().n_columns, amounts[:, 0], id=name)
        yield pytest.param(criterion, 2 * criterion().n_columns, amounts, id=f"{name}-two")


@pytest.mark.parametrize(("criterion", "n_outputs", "y"), settings_of_criteria())
def test_a_step_makes_the_gradients_of_the_weighted_mean_to_the_bit(criterion, n_outputs, y):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, n_outputs))
    loss = RowLoss(criterion())
    loss.per_column = y.ndim == 2 and not y.is_floating_point()
    X, weight = torch.randn(13, 5), torch.rand(y.shape if loss.per_column else (13,)) * 2
    output = module(X)
    expected = weighted_mean(loss(output, y), weight)
    gradients = torch.autograd.grad(expected, [*module.parameters()])
    for _ in range(2):  # gradients of the last step are dropped
        found, scores = Gradients(module, loss)(({"X": X, "row_weight": weight}, y))
        assert torch.equal(found, expected) and not found.requires_grad
        assert torch.equal(scores, output)
        assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), gradients))
    assert all(gradient.abs().max() > 1e-3 for gradient in gradients)


def test_parameters_that_take_no_part_in_a_step_have_no_gradient_after_it():
    module, criterion = network(), RowLoss(CrossEntropy())
    criterion.register_parameter("unused", nn.Parameter(torch.ones(2)))
    for parameter in (*module.parameters(), criterion.unused):
        parameter.grad = torch.ones_like(parameter)
    (batch,) = make_batches([13])
    Gradients(module, criterion)(batch)
    assert module.spare.grad is None and criterion.unused.grad is None
    assert not torch.equal(module[0].weight.grad, torch.ones(8, 5))


# Replayed


def clipped(module):
    nn.utils.clip_grad_norm_(module.parameters(), 0.05)


def replaced(module):
    for parameter in module.parameters():
        parameter.grad = None if parameter.grad is None else parameter.grad.sign()


TRAININGS = {
    "plain": {},
    "dropout": {"between": [lambda: nn.Dropout(0.3)]},
    "batch_norm": {"between": [lambda: nn.BatchNorm1d(8)]},
    "both": {"between": [lambda: nn.BatchNorm1d(8), lambda: nn.Dropout(0.3)], "after": clipped},
    "clipped": {"after": clipped},
    "replaced": {"after": replaced},
    "momentum": {"optimizer": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})},
    "fused": {"optimizer": (torch.optim.AdamW, {"lr": 0.01, "fused": True})},
    "LBFGS": {"optimizer": (torch.optim.LBFGS, {"lr": 0.1, "max_iter": 4})},
}


@pytest.mark.parametrize("record", [steps, kernels])
@pytest.mark.parametrize("kind", TRAININGS)
def test_a_replayed_training_is_that_without_recordings_to_the_bit(kind, record):
    options = dict(TRAININGS[kind])
    between = options.pop("between", [])
    expected = training(Gradients, *between, **options)
    check_same(training(replayed(record), *between, **options), expected)
    _, losses, _, weights = expected
    assert losses[-1] < losses[0] and (weights[-1] - weights[0]).abs().max() > 0.1
    if kind == "batch_norm":
        assert expected[0][1].num_batches_tracked == 30
    if kind != "plain":
        assert not torch.equal(losses[-1], training(Gradients)[1][-1])


# Which gradients there are when a step is recorded may be due to a step of another kind.
@pytest.mark.parametrize(
    "frozen",  # of every five batches the first two have one row more
    [
        pytest.param(range(15, 30), id="from_the_middle_on"),
        pytest.param(range(10, 20), id="for_a_while"),
        pytest.param(range(5, 10), id="before_a_recording"),
        pytest.param([*range(5, 10), *range(15, 20)], id="by_turns"),
    ],
)
def test_a_frozen_parameter_stays_as_it_is_and_moves_when_it_is_not_frozen(frozen):
    expected = training(Gradients, frozen=frozen)
    check_same(training(replayed(kernels), frozen=frozen), expected)
    for i, (before, after) in enumerate(pairwise(expected[3])):
        assert torch.equal(before, after) == (i in frozen)


@pytest.mark.parametrize("record", [steps, kernels])
def test_a_step_is_recorded_at_the_third_batch_of_a_shape_and_once_for_each_shape(record):
    at, passed, calls = [], [], []

    def counted(module):
        def counting(step):
            at.append(len(passed))
            return record(module)(step)

        return counting

    module = network()
    module.register_forward_hook(lambda *given: calls.append(given))
    step = replayed(counted)(module, RowLoss(CrossEntropy()))
    for batch in make_batches([7, 8, 8, 7, 7, 7, 8, 8, 9, 9, 7]):
        passed.append(step(batch))
    assert at == [4, 6]
    assert len(calls) == (8 if record is kernels else 11)  # a replay does not ask Python again


@pytest.mark.parametrize("record", [steps, kernels])
def test_what_a_step_returned_is_not_overwritten_by_the_next(record):
    module = network()
    step = replayed(record)(module, RowLoss(CrossEntropy()))
    results = [step(batch) for batch in make_batches([7] * 8)]
    assert all(not output.requires_grad for _, output in results[2:])
    assert len({loss.item() for loss, _ in results}) == 8
    assert len({tuple(output.flatten().tolist()) for _, output in results}) == 8
    for (loss, output), (X, y) in zip(results, make_batches([7] * 8)):
        assert torch.equal(output, module(X["X"]))
        again = weighted_mean(RowLoss(CrossEntropy())(output, y), X["row_weight"])
        assert torch.equal(again, loss)


@pytest.mark.parametrize("dropped_from", [12, 6, 0])
def test_replays_find_gradients_where_the_recording_left_them(dropped_from):
    module = network()
    step = replayed(kernels)(module, RowLoss(CrossEntropy()))
    places = {7: set(), 8: set()}
    for position, batch in enumerate(make_batches([7, 8] * 6)):
        step(batch)
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        assert len(gradients) == 4 and all(gradient.any() for gradient in gradients)
        if position >= 4:
            places[len(batch[1])].add(tuple(map(place, gradients)))
        if position >= dropped_from:
            module.zero_grad()
    assert [len(found) for found in places.values()] == [1, 1]


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_a_replayed_fit_is_the_fit_to_the_bit(estimator, binary, monkeypatch):
    X, y, weight = binary
    model = estimator(
        nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 1)),
        early_stopping=True,
        callbacks=[GradientNormClipping(0.1)],
        **QUICK,
    )
    recorded = []

    def make(module, criterion, device, compile):
        def record(step):
            recorded.append(compile)
            return kernels(module)(step)

        return ReplayedGradients(module, criterion, record)

    expected = model.fit(X, y, weight).history_[:, ("train_loss", "valid_loss")]
    states = [model.module_.state_dict()]
    monkeypatch.setattr("skweight.net.make_step", make)
    model.set_params(compile=True).fit(X, y, weight)
    states.append(model.module_.state_dict())
    assert recorded == [True, True]
    assert model.history_[:, ("train_loss", "valid_loss")] == expected
    assert all(map(torch.equal, *(state.values() for state in states)))
    assert len(set(expected)) == 8


# The choice, and what compile=True does where it cannot


def test_the_device_and_compile_decide_how_gradients_are_made(monkeypatch):
    def choice(device, compile):
        step = make_step(network(), RowLoss(CrossEntropy()), torch.device(device), compile)
        return type(step)

    monkeypatch.setattr("torch.compile", lambda function: function)
    monkeypatch.setenv("CXX", sys.executable)  # there is such a program
    assert choice("cpu", True) is CompiledGradients
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert choice("cuda", True) is ReplayedGradients
    assert choice("cpu", False) is choice("cuda", False) is Gradients
    message = "^compile=True has no effect: .*'no-such-compiler' is not a program on the PATH"
    with pytest.warns(UserWarning, match=message):
        assert choice("cpu", True) is Gradients


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    _compiled.cache_clear()
    yield
    _compiled.cache_clear()


def failing(error):
    """A ``torch.compile`` whose functions fail, and the calls of such functions."""
    calls = []

    def compiled(function):
        def fails(*args):
            calls.append(args)
            raise error

        return fails

    return compiled, calls


@pytest.mark.parametrize("package", ["torch._dynamo.exc", "torch._inductor.exc"])
@pytest.mark.parametrize("text", ["\n a reason\nand more", ""])
def test_where_torch_compile_fails_the_training_warns_once_and_goes_on(package, text, monkeypatch):
    error = type("BackendCompilerFailed", (RuntimeError,), {"__module__": package})(text)
    compiled, calls = failing(error)
    monkeypatch.setattr("torch.compile", compiled)
    with pytest.warns(UserWarning) as warned:
        found = training(CompiledGradients)
    assert len(warned) == len(calls) == 1
    message = str(warned[0].message)
    assert message.startswith("compile=True has no effect: torch.compile failed: BackendCompiler")
    assert "and more" not in message and ("a reason" in message) == bool(text)
    check_same(found, training(Gradients))


@pytest.mark.parametrize("error", [RuntimeError("out of order"), ValueError("out of range")])
def test_an_error_of_the_network_under_compile_is_raised_as_it_is(error, monkeypatch):
    compiled, calls = failing(error)
    monkeypatch.setattr("torch.compile", compiled)
    with pytest.raises(type(error), match=f"^{error}$") as raised:
        training(CompiledGradients)
    assert raised.value is error and len(calls) == 1


class Looks(nn.Linear):
    """Do what no recording allows, while it is trained."""

    def forward(self, X):
        scale = 1.0 if not self.training or X.sum().item() > -np.inf else 2.0
        return super().forward(X) * scale


def test_a_network_that_looks_at_values_cannot_be_recorded_and_is_told_so(monkeypatch):
    monkeypatch.setattr("torch.cuda.CUDAGraph", Kernels)
    monkeypatch.setattr("torch.cuda.device", lambda device: nullcontext())
    monkeypatch.setattr("torch.cuda.graph", lambda graph, capture_error_mode: graph)
    for module in (nn.Linear(5, 1), Looks(5, 1)):
        step = make_step(module, RowLoss(CrossEntropy()), torch.device("cuda"), True)
        refused = pytest.raises(ValueError, match=r"^compile=True .* Pass compile=False\.$")
        with refused if isinstance(module, Looks) else nullcontext():
            for batch in make_batches([7] * 4):
                step(batch)
