"""Stacked networks do what their networks do: to the bit for layers that are known.

How they are trained is in ``test_stack.py``.
"""

import types

import pytest
import torch
from helpers import assert_same_tensors, copy_of_state
from torch import nn

from skweight import FeatureWeight, WeightedLinear
from skweight.modules import MLP
from skweight.stacks import NotStackable, StackedLinear, StackedNetwork, structure


class Own(nn.Module):
    """A network with a forward of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(5, 7), nn.Linear(7, 2)

    def forward(self, X):
        return self.last(torch.relu(self.first(X)))


class Residual(nn.Module):
    """Layers whose input is used again after them, and activations out of their order."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(5, 5) for _ in range(3)])
        self.act, self.last = nn.ReLU(), nn.Linear(5, 1)

    def forward(self, X):
        for block in self.blocks:
            X = X + self.act(block(X))
        return self.last(X).squeeze(-1)


class Matrix(nn.Module):
    """A parameter that is no layer's."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(5, 3))

    def forward(self, X):
        return torch.relu(X @ self.matrix) + X[:, :1]


def with_categories(max_indicators=8, **params):
    """A network whose second and fourth columns are categories, for rows of normal numbers.

    The first and last column have values that are drawn in ``rows_of``.
    """
    network = MLP(5, 2, n_bins=2, max_indicators=max_indicators, embedding_size=3, **params)
    network.adapt_categories((0, 4, 0, 12, 0))
    network.adapt_input(torch.rand(5).double(), 1 + torch.rand(5).double())
    columns = torch.tensor([0, 1, 1, 1, *[3] * 9, 4])
    values = torch.tensor([0.0, *range(1, 4), *range(1, 10), torch.nan])
    network.adapt_values(columns, values, torch.rand(14).double())
    network.adapt_bins((torch.arange(3) - torch.rand(3)).double()[:, None].expand(3, 5))
    return network


def rows_of(kind, n_rows, n_models=4):
    """Normal numbers, with codes, mass points and missing numbers for ``with_categories``."""
    X = torch.randn(n_models, n_rows, 5)
    if kind in CATEGORIES:
        X[..., 1], X[..., 3] = torch.randint(4, X.shape[:2]), torch.randint(12, X.shape[:2])
        X[..., 0] *= torch.rand(X.shape[:2]) < 0.5
        X[..., 4].masked_fill_(torch.rand(X.shape[:2]) < 0.3, torch.nan)
    return X


CATEGORIES = {
    "categories": with_categories,
    "categories and feature weights": lambda: with_categories(feature_weights=[1, 2, 3, 4, 5]),
    "categories and fixed weights": lambda: with_categories(
        feature_weights=2.0, learnable_feature_weights=False
    ),
    "embeddings alone": lambda: with_categories(max_indicators=0),
    "indicators alone": lambda: with_categories(max_indicators=11, hidden_sizes=(4,)),
}
LAYERED = {
    **CATEGORIES,
    "default": lambda: MLP(5, 3),
    "one output": lambda: MLP(5, 1, hidden_sizes=(4,)),
    "linear": lambda: MLP(5, 1, hidden_sizes=()),
    "feature weights": lambda: MLP(5, 2, feature_weights=[1, 2, 3, 4, 5]),
    "fixed": lambda: MLP(5, 2, feature_weights=2.0, learnable_feature_weights=False),
    "weighted linear": lambda: nn.Sequential(
        WeightedLinear(5, 4, feature_weights=[1, 2, 3, 4, 5], output_weights=2.0),
        nn.ReLU(),
        WeightedLinear(4, 1, output_weights=0.5, learnable=False, bias=False),
    ),
    "nested": lambda: nn.Sequential(
        nn.Sequential(FeatureWeight(5), nn.Linear(5, 3)), nn.Identity()
    ),
    "activations": lambda: nn.Sequential(
        nn.ReLU(), nn.Linear(5, 4), nn.ELU(), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.ReLU()
    ),
    "no bias": lambda: nn.Sequential(nn.Linear(5, 3, bias=False), nn.ReLU(), nn.Linear(3, 1)),
    "own forward": Own,
    "residual": Residual,
    "norm": lambda: nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 1)),
    "softmax": lambda: nn.Sequential(nn.Linear(5, 4), nn.LogSoftmax(dim=1)),
    "slopes": lambda: nn.Sequential(nn.Linear(5, 4), nn.PReLU(4), nn.Linear(4, 1)),
}
MAPPED = {"matrix": Matrix}


def networks(make, n_models=4, seed=0):
    torch.manual_seed(seed)
    made = [make() for _ in range(n_models)]
    with torch.no_grad():
        for module in made:
            for tensor in module.parameters():
                tensor.add_(torch.rand_like(tensor))
    return made


def nearly(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def gradients(module, scores, slope):
    scores.backward(slope)
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("n_rows", [1, 7, 64, 250])
@pytest.mark.parametrize("kind", LAYERED | MAPPED)
def test_scores_and_gradients_are_those_of_the_networks(kind, n_rows):
    modules = networks((LAYERED | MAPPED)[kind])
    X = rows_of(kind, n_rows)
    stack = StackedNetwork(modules, X)
    assert stack.is_layered == (kind in LAYERED)
    scores = stack(X)
    slope = torch.randn(scores.shape)
    scores.backward(slope)
    stacked = dict(stack.named_parameters())
    same = torch.equal if stack.is_layered else nearly
    for number, module in enumerate(modules):
        expected = module(X[number].clone())  # beginning where a batch of one does
        assert same(scores[number], expected)
        assert expected.abs().max() > 0.1 or n_rows == 1
        of_one = gradients(module, expected, slope[number])
        assert of_one and stacked.keys() == dict(module.named_parameters()).keys()
        for name, gradient in of_one.items():
            assert same(stacked[name].grad[number].reshape(gradient.shape), gradient), name
            assert gradient.any() or n_rows == 1  # whose units may all be off
        fixed = [name for name, p in module.named_parameters() if not p.requires_grad]
        assert all(stacked[name].grad is None for name in fixed)


@pytest.mark.parametrize("kind", LAYERED | MAPPED)
def test_some_models_are_kept_and_copied_back(kind):
    modules = networks((LAYERED | MAPPED)[kind])
    before = [*map(copy_of_state, modules)]
    X = rows_of(kind, 6)
    stack = StackedNetwork(modules, X)
    stack.keep(torch.tensor([3, 1]))
    kept = stack(X[[3, 1]])
    empty = networks((LAYERED | MAPPED)[kind], 2, seed=1)
    for place, number in enumerate([3, 1]):
        stack.copy_to(empty[place], place)
        assert torch.allclose(kept[place], modules[number](X[number]))
        assert_same_tensors(empty[place].state_dict(), modules[number].state_dict())
    with torch.no_grad():
        for _, parameter in stack.named_parameters():
            parameter.add_(1)
    for module, states in zip(modules, before):  # which the stack has copied
        assert_same_tensors(module.state_dict(), states)


def test_inputs_of_more_dimensions_go_through_linear_layers():
    modules = networks(lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2)))
    X = torch.randn(4, 6, 2, 5)
    scores = StackedNetwork(modules, X)(X)
    for number, module in enumerate(modules):
        assert torch.allclose(scores[number], module(X[number]))


def test_networks_with_other_columns_or_values_differ_in_structure():
    def network(columns=(0, 1, 1), values=(0.0, 1.0, 2.0), cardinalities=(0, 4)):
        made = MLP(2, 1)
        made.adapt_categories(cardinalities)
        made.adapt_values(torch.tensor(columns), torch.tensor(values), torch.full((3,), 0.4))
        return made

    others = [
        network(columns=(0, 0, 1)),
        network(values=(3.0, 1.0, 2.0)),
        network(values=(torch.nan, 1.0, 2.0)),
        network(values=(0.0, 1.0, 3.0)),
        network(cardinalities=(0, 5)),
        network(cardinalities=(0, 20)),
        MLP(2, 1),
    ]
    texts = [structure(made) for made in [network(), *others]]
    assert len({*texts}) == len(texts) and structure(network()) == texts[0]


class Shares(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.second.weight = self.first.weight

    def forward(self, X):
        return self.second(self.first(X))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.last = nn.LSTM(1, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, X):
        return self.last(self.cells(X[..., None])[0][:, -1])


class Branches(nn.Linear):
    def forward(self, X):
        return super().forward(X) if X.sum() > 0 else super().forward(-X)


def hooked(module):
    module.register_forward_hook(lambda *given: None)
    return module


class Doubled(nn.Linear):
    def forward(self, X):
        return super().forward(X) * (1 if self.training else 2)


class Counting(nn.Linear):
    n_calls = 0

    def forward(self, X):
        self.n_calls += 1
        return super().forward(X)


def bound(module):
    module.forward = types.MethodType(type(module).forward, module)
    return module


REFUSED = {
    "training": (lambda: Doubled(5, 1), "Doubled differs between train and eval mode"),
    "counting": (lambda: Counting(5, 1), "Counting changes its attributes"),
    "bound": (lambda: bound(nn.Linear(5, 1)), "Linear has a forward that is bound to one instance"),
    "dropout": (lambda: MLP(5, 1, dropout=0.2), "MLP draws random numbers, as dropout does"),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)),
        "Sequential changes its buffers, as running statistics do",
    ),
    "shared": (Shares, "Shares uses a parameter in two places"),
    "recurrent": (Recurrent, "the forward of Recurrent cannot be run for several networks at once"),
    "hooks": (lambda: hooked(nn.Linear(5, 1)), "Linear has hooks"),
    "branches": (lambda: Branches(5, 1), "the forward of Branches cannot be run for several"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_stacked_is_refused_with_the_reason_and_left_as_it_was(kind):
    make, reason = REFUSED[kind]
    modules = networks(make, 2)
    before = [*map(copy_of_state, modules)]
    random_state = torch.get_rng_state()
    with pytest.raises(NotStackable, match=f"^{reason}"):
        StackedNetwork(modules, torch.ones(2, 6, 5))
    for module, states in zip(modules, before):
        assert_same_tensors(module.state_dict(), states)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_forward_that_torch_rounds_in_another_way_is_refused_on_batches_of_that_size():
    modules = networks(lambda: nn.Sequential(Matrix(), nn.Linear(3, 1)))
    X = torch.randn(4, 250, 5)
    StackedNetwork(networks(Own), X).check_rounding(networks(Own), X)
    stack = StackedNetwork(modules, X)
    stack.tensors.get_parameter("1.weight").data += 1e-6  # as another order of sums would
    with pytest.raises(NotStackable, match=r"^Sequential has its own forward, which rounds"):
        stack.check_rounding(modules, X)


def test_for_large_products_nothing_is_tried_and_no_memory_is_asked_for():
    layers = [nn.Linear(2**10, 2**10 + 1) for _ in range(2)]
    stacked = StackedLinear(layers)
    X = torch.randn(2, 3, 2**10)
    with torch.profiler.profile(profile_memory=True) as profile:
        scores = stacked(X)
    assert (
        sum(max(0, e.self_cpu_memory_usage) for e in profile.events()) < 4 * stacked.weight.nbytes
    )
    expected = {i: layer(x) for i, (layer, x) in enumerate(zip(layers, X))}
    assert_same_tensors(dict(enumerate(scores)), expected)
