"""Gradients of a batch are the same operation by operation and compiled; who chooses between them.

Steps that are recorded and replayed are in ``test_replays.py``.
"""

import sys

import pytest
import torch
from helpers import (
    assert_same_tensors,
    assert_same_training,
    gradients_of,
    make_batches,
    network_with_spare_parameter,
    train_thirty_batches,
)
from torch import nn

from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    CrossEntropy,
    RowLoss,
    weighted_mean,
)
from skweight.training import (
    CompiledStep,
    ReplayedStep,
    TrainingStep,
    compiled_losses,
    make_step,
)

# Operation by operation


def settings_of_criteria():
    """Criteria with numbers of outputs, targets, and columns of weights."""
    codes, labels = torch.arange(13) % 2, torch.arange(39).reshape(13, 3) % 2
    for name, criterion in CLASSIFIER_CRITERIA.items():
        yield pytest.param(criterion, 1, codes, id=f"{name}-binary")
        yield pytest.param(criterion, 3, labels, id=f"{name}-labels")
        if not criterion.traits.binary_only:
            yield pytest.param(criterion, 4, torch.arange(13) % 4, id=f"{name}-classes")
    amounts = torch.rand(13, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    for name, criterion in REGRESSOR_CRITERIA.items():
        yield pytest.param(criterion, criterion().traits.n_columns, amounts[:, 0], id=name)
        yield pytest.param(criterion, 2 * criterion().traits.n_columns, amounts, id=f"{name}-two")


@pytest.mark.parametrize(("criterion", "n_outputs", "y"), settings_of_criteria())
def test_a_step_makes_the_gradients_of_the_weighted_mean_to_the_bit(criterion, n_outputs, y):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, n_outputs))
    loss = RowLoss(criterion())
    loss.per_column = y.ndim == 2 and not y.is_floating_point()
    X, weight = torch.randn(13, 5), torch.rand(y.shape if loss.per_column else (13,)) * 2
    output = module(X)
    expected = weighted_mean(loss(output, y), weight)
    names, parameters = zip(*module.named_parameters())
    gradients = dict(zip(names, torch.autograd.grad(expected, parameters)))
    for _ in range(2):  # gradients of the last step are dropped
        found, scores = TrainingStep(module, loss)(({"X": X, "row_weight": weight}, y))
        assert not found.requires_grad
        assert_same_tensors({"loss": found, "scores": scores}, {"loss": expected, "scores": output})
        assert_same_tensors(gradients_of(module), gradients)
    assert all(gradient.abs().max() > 1e-3 for gradient in gradients.values())


def test_parameters_that_take_no_part_in_a_step_have_no_gradient_after_it():
    module, criterion = network_with_spare_parameter(), RowLoss(CrossEntropy())
    criterion.register_parameter("unused", nn.Parameter(torch.ones(2)))
    for parameter in (*module.parameters(), criterion.unused):
        parameter.grad = torch.ones_like(parameter)
    (batch,) = make_batches([13])
    TrainingStep(module, criterion)(batch)
    assert module.spare.grad is None and criterion.unused.grad is None
    assert not torch.equal(module[0].weight.grad, torch.ones(8, 5))


# The choice, and what compile=True does where it cannot


class Unused:
    def __init__(self, device):
        assert device.type == "cuda"

    record = warmup = None


def test_the_device_and_compile_decide_how_gradients_are_made(monkeypatch):
    def choice(device, compile, n_steps=100):
        parts = network_with_spare_parameter(), RowLoss(CrossEntropy())
        return type(make_step(*parts, torch.device(device), compile, n_steps, Unused))

    monkeypatch.setattr("torch.compile", lambda function: function)
    monkeypatch.setenv("CXX", sys.executable)  # there is such a program
    assert choice("cpu", True) is CompiledStep
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert choice("cuda", True) is ReplayedStep
    assert choice("cpu", False) is choice("cuda", False) is TrainingStep
    assert choice("cuda", True, n_steps=99) is TrainingStep  # over before a recording would pay
    message = "^compile=True has no effect: .*'no-such-compiler' is not a program on the PATH"
    with pytest.warns(UserWarning, match=message):
        assert choice("cpu", True) is TrainingStep


def test_hooks_are_called_in_every_step_on_a_gpu_too():
    """A recording would call them once."""
    module = network_with_spare_parameter()
    module[0].weight.register_hook(lambda gradient: None)
    parts = module, RowLoss(CrossEntropy()), torch.device("cuda"), True, 100, Unused
    with pytest.warns(UserWarning, match="^compile=True has no effect: hooks of the network"):
        assert type(make_step(*parts)) is TrainingStep


class Keeps(torch.optim.SGD):
    """Let gradients add up."""

    def zero_grad(self, set_to_none=True):
        pass


def test_gradients_are_reset_in_the_way_of_the_optimizer_and_of_its_parameters_alone():
    module, criterion = network_with_spare_parameter(), RowLoss(CrossEntropy())
    step, batches = TrainingStep(module, criterion), [*make_batches([13, 12])]
    gradients = []
    for batch in batches:
        step(batch)
        gradients.append(gradients_of(module[0]))
    first, second = gradients
    total = {name: first[name] + second[name] for name in first}
    layer = [*module[0].parameters()]
    for optimizer, adds_up in ((Keeps(layer), True), (torch.optim.SGD(layer), False)):
        module.zero_grad()
        step.attach(optimizer)
        step(batches[0])
        step(batches[1])
        assert_same_tensors(gradients_of(module[0]), total if adds_up else second)
    others = torch.optim.SGD(module[-1].parameters())
    step.attach(others)
    step(batches[0])
    assert_same_tensors(gradients_of(module[0]), total)


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    compiled_losses.cache_clear()
    yield
    compiled_losses.cache_clear()


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
def test_where_torch_compile_fails_the_training_warns_once_and_continues(
    package, text, monkeypatch
):
    error = type("BackendCompilerFailed", (RuntimeError,), {"__module__": package})(text)
    compiled, calls = failing(error)
    monkeypatch.setattr("torch.compile", compiled)
    with pytest.warns(UserWarning) as warned:
        found = train_thirty_batches(CompiledStep)
    assert len(warned) == len(calls) == 1
    message = str(warned[0].message)
    assert message.startswith("compile=True has no effect: torch.compile failed: BackendCompiler")
    assert "and more" not in message and ("a reason" in message) == bool(text)
    assert_same_training(found, train_thirty_batches(TrainingStep))


@pytest.mark.parametrize("error", [RuntimeError("out of order"), ValueError("out of range")])
def test_an_error_of_the_network_under_compile_is_raised_as_it_is(error, monkeypatch):
    compiled, calls = failing(error)
    monkeypatch.setattr("torch.compile", compiled)
    with pytest.raises(type(error), match=f"^{error}$") as raised:
        train_thirty_batches(CompiledStep)
    assert raised.value is error and len(calls) == 1


def compiled_for(module):
    return CompiledStep(module, RowLoss(CrossEntropy())).compiled.__code__


class Bare(nn.Module):
    """Its representation does not tell its size."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, width))


def test_networks_share_compiled_code_if_they_have_the_same_structure_and_shapes(monkeypatch):
    """torch compiles the same code eight times at most, and then silently runs it as it is."""
    monkeypatch.setattr("torch.compile", lambda function: function)
    codes = [compiled_for(module) for module in (Bare(1), Bare(2), Bare(1), nn.Linear(5, 1))]
    assert repr(Bare(1)) == repr(Bare(2))
    assert codes[0] is codes[2]
    assert len({code.co_name for code in codes}) == len(set(codes)) == 3
