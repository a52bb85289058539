"""The default network, its adaptation to weighted data, and how networks are built.

Where the moments of weighted data come from is in ``test_moments.py``, what a model that ignores
X scores in ``test_row_loss.py``, the order of the steps in ``test_prepare.py``, how a network
is trained in ``test_run.py``, the layers in it in ``test_feature_weights.py``.
"""

import inspect

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors, copy_of_state
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skweight import FeatureWeight
from skweight.modules import MLP, build_module

# float32 keeps 24 bits of what was computed in float64.
ROUNDED = 2.0**-24


def moments(X, weight=None):
    """Weighted mean and standard deviation of each column, in float64."""
    X = X.numpy().astype(np.float64)
    mean = np.average(X, axis=0, weights=weight)
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    return torch.from_numpy(mean), torch.from_numpy(spread)


# MLP


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("hidden_sizes", [(), (8,), [8, 4, 2], np.array([3, 3])])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_scores_have_one_row_each_and_one_column_per_output(hidden_sizes, n_outputs, dropout):
    network = MLP(4, n_outputs, hidden_sizes=hidden_sizes, dropout=dropout)
    assert network(torch.ones(5, 4)).shape == (5, n_outputs)
    widths = [layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert widths == [*hidden_sizes, n_outputs]
    dropouts = [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert dropouts == ([dropout] * len(hidden_sizes) if dropout else [])


def test_without_hidden_layers_the_network_is_linear():
    network = MLP(4, 2, hidden_sizes=()).double()
    A, B = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 6, 4)))
    bent = MLP(4, 2).double()
    for model, is_linear in ((network, True), (bent, False)):
        middle = (model(A) + model(B)) / 2
        assert torch.allclose(model((A + B) / 2), middle, rtol=1e-12, atol=1e-12) is is_linear


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        ("relu", nn.ReLU),
        ("gelu", nn.GELU),
        ("silu", nn.SiLU),
        ("tanh", nn.Tanh),
        (nn.ELU, nn.ELU),
        (lambda: nn.LeakyReLU(0.3), nn.LeakyReLU),
    ],
)
def test_every_hidden_layer_has_the_activation(activation, kind):
    network = MLP(4, 1, hidden_sizes=(8, 8), activation=activation)
    layers = list(network.hidden)
    assert [type(layer) for layer in layers] == [nn.Linear, kind, nn.Linear, kind]
    assert layers[1] is not layers[3]


@pytest.mark.parametrize("learnable", [True, False])
def test_feature_weights_act_on_standardised_features(learnable):
    plain = MLP(3, 1, clip=None)
    weighted = MLP(
        3, 1, clip=None, feature_weights=[0.0, 1.0, 4.0], learnable_feature_weights=learnable
    )
    weighted.load_state_dict(plain.state_dict(), strict=False)
    X = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 3 + 2
    for network in (plain, weighted):
        network.adapt_input(*moments(X))
    scaled = (X - plain.shift) * torch.tensor([0.0, 1.0, 4.0]) + plain.shift
    assert not torch.allclose(plain(X), plain(scaled), atol=1e-3)
    # Other roundings of numbers of order 1.
    assert_allclose(weighted(X).detach(), plain(scaled).detach(), atol=1e-5)
    assert isinstance(weighted.feature_weight, FeatureWeight)
    assert weighted.feature_weight.weight.requires_grad is learnable
    assert plain.feature_weight is None


@pytest.mark.parametrize(
    ("params", "came"),
    [
        ({"activation": "rel"}, r"activation .*'relu', .*got 'rel'"),
        ({"hidden_sizes": 64}, "hidden_sizes .*got 64"),
        ({"hidden_sizes": np.int64(64)}, "hidden_sizes .*64"),
        ({"hidden_sizes": None}, "hidden_sizes .*None"),
        ({"hidden_sizes": "64"}, "hidden_sizes .*got '64'"),
        ({"hidden_sizes": (64, 0)}, r"hidden_sizes .*got \(64, 0\)"),
        ({"hidden_sizes": (-1,)}, r"hidden_sizes .*got \(-1,\)"),
        ({"hidden_sizes": (8.0,)}, r"hidden_sizes .*got \(8.0,\)"),
        ({"dropout": -0.1}, "dropout .*-0.1"),
        ({"dropout": 1.0}, "dropout .*1.0"),
        ({"dropout": 1.5}, "dropout .*1.5"),
        ({"dropout": 1.5, "hidden_sizes": ()}, "dropout .*1.5"),
        ({"dropout": float("nan")}, "dropout .*nan"),
        ({"dropout": "0.1"}, r"module__dropout must be a number in \[0, 1\), got '0.1'"),
        ({"dropout": None}, "dropout .*got None"),
        ({"dropout": [0.1]}, r"dropout .*got \[0.1\]"),
        ({"dropout": True}, "dropout .*got True"),
        ({"activation": None}, "module__activation must be one of .* or a callable .*got None"),
        ({"activation": ["relu"]}, r"activation .*got \['relu'\]"),
        ({"activation": lambda: 3}, "module__activation must make an nn.Module, .*got 3"),
        ({"activation": torch.relu}, "module__activation must make an nn.Module, .*relu"),
        ({"learnable_feature_weights": "False", "feature_weights": 1.0}, "True or False, got 'F"),
        ({"learnable_feature_weights": None, "feature_weights": 1.0}, "True or False, got None"),
        ({"learnable_feature_weights": 0, "feature_weights": 1.0}, "True or False, got 0"),
        ({"zero_output": "no"}, "module__zero_output must be True or False, got 'no'"),
        ({"feature_weights": [1, 2]}, "feature_weights .*2"),
        ({"feature_weights": [1, 2, 3, -4]}, "feature_weights .*-4"),
        (
            {"max_indicators": -1},
            'module__max_indicators must be an integer >= 0 or "auto", got -1',
        ),
        ({"max_indicators": 2.0}, "module__max_indicators .*got 2.0"),
        ({"max_indicators": None}, "module__max_indicators .*got None"),
        ({"embedding_size": 0}, "module__embedding_size must be an integer >= 1, got 0"),
        ({"embedding_size": True}, "module__embedding_size .*got True"),
    ],
)
def test_bad_settings_of_the_network_are_refused_by_name_and_value(params, came):
    with pytest.raises(ValueError, match=came):
        MLP(4, 1, **params)


@pytest.mark.parametrize("flag", [True, False])
def test_flags_of_numpy_are_taken(flag):
    params = {"feature_weights": 1.0, "learnable_feature_weights": np.bool_(flag)}
    network = MLP(4, 1, zero_output=np.bool_(flag), **params)
    assert network.feature_weight.weight.requires_grad is flag is network.starts_at_offset


# adapt_input, adapt_output


def adapted(mean, spread, n_outputs=1):
    network = MLP(len(mean), n_outputs)
    network.adapt_input(
        torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(spread, dtype=torch.float64)
    )
    return network


@pytest.fixture
def data():
    """300 rows, 3 columns of different units; half of the values 0; weights of mean 1."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(300, 3)) * [1, 1000, 0.01] + [5, -3000, 0]).astype(np.float32)
    X[rng.random(X.shape) < 0.5] = 0
    weight = rng.exponential(size=300) * (rng.random(300) < 0.8)
    return torch.from_numpy(X), weight / weight.mean()


def test_shift_and_scale_are_mean_and_spread_in_the_precision_of_the_network():
    mean, spread = [0.1, -1000.3, 1 / 3], [0.7, 0.3, 200.1]
    network = adapted(mean, spread)
    assert_array_equal(network.shift, np.float32(mean), strict=True)
    assert_array_equal(network.scale, np.float32(spread), strict=True)
    assert not np.array_equal(network.shift, mean)


def test_adapted_input_has_weighted_mean_zero_and_spread_one(data):
    X, weight = data
    network = adapted(*moments(X, weight))
    Z = ((X - network.shift) / network.scale).double().numpy()
    assert_allclose(np.average(Z, axis=0, weights=weight), np.zeros(3), atol=1e-6)
    assert_allclose(np.average(Z**2, axis=0, weights=weight), np.ones(3), rtol=1e-6)
    assert np.abs(Z.mean(axis=0)).min() > 1e-4


@pytest.mark.parametrize("spread", [0.0, 1e-13, 1e-7])  # of the mean
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-20, -1e5])
def test_a_constant_column_is_shifted_to_zero_and_not_scaled(value, spread):
    network = adapted([value, 0.1], [abs(value) * spread, 1.1])
    X = torch.tensor([[value, 0.1]])
    assert network.shift[0] == X[0, 0]
    assert_array_equal(network.scale, np.float32([1, 1.1]))
    assert network(X).isfinite().all()


@pytest.mark.parametrize("spread", [0.0, 1e-13, 1e-7])  # of the mean
@pytest.mark.parametrize("value", [1e8, -1e30, 3e38])
def test_a_constant_column_of_large_numbers_is_divided_by_the_smallest_spread(value, spread):
    network = adapted([value, 0.1], [abs(value) * spread, 1.1])
    assert_allclose(network.scale, [abs(value) * 1e-6, 1.1], rtol=1e-6)
    others = torch.tensor([[-value, 0.1], [value / 3, 0.1], [0.0, 0.1]])  # rows of little weight
    assert network.encode_values(others).abs().max() < 1e7


def test_a_column_that_is_constant_but_for_rounding_is_not_blown_up():
    X = torch.full((1000, 1), 0.1)
    X[::3] = torch.nextafter(X[0], torch.tensor([1.0]))
    assert len(X.unique()) == 2
    mean, spread = moments(X)
    assert spread.item() > 0
    assert adapted(mean, spread).scale.item() == 1


def test_a_small_spread_beside_the_mean_is_scaled_as_long_as_float32_shows_it():
    network = adapted([1.0, -1.0, 1e6], [1e-5, 1e-5, 20.0])
    assert_array_equal(network.scale, np.float32([1e-5, 1e-5, 20.0]))


@pytest.mark.parametrize(("small", "scaled"), [(1e-20, True), (1e-37, False), (1.4e-45, False)])
def test_a_column_of_small_numbers_gives_finite_scores(small, scaled):
    X = torch.zeros(100, 1)
    X[0] = small
    network = adapted(*moments(X))
    assert X[0] > 0
    assert network.scale.item() > 0
    assert (network.scale.item() < 1) is scaled
    assert network(X).isfinite().all()


def test_a_large_offset_is_taken_off():
    X = torch.from_numpy(np.random.default_rng(0).normal(1e6, 20, size=(5000, 1))).float()
    network = adapted(*moments(X))
    Z = ((X - network.shift) / network.scale).double()
    # float32 resolves 1/16 at 1e6, so the shift is off by up to 1/32, a 600th of the spread.
    assert_allclose(Z.mean(), 0, atol=1 / 600)
    assert_allclose(Z.std(), 1, rtol=1e-3)
    assert_allclose(network.scale, moments(X)[1], rtol=2 * ROUNDED)


def test_adaptation_is_part_of_the_state_and_leaves_weights_and_moments_alone(data):
    X, weight = data
    network = MLP(3, 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    given = moments(X, weight)
    given[1][2] = 0  # a constant column, which is not scaled
    kept = [tensor.clone() for tensor in given]
    network.adapt_input(*given)
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"shift", "scale"}
    for name, now, then in zip(("mean", "spread"), given, kept, strict=True):
        assert_array_equal(now, then, err_msg=name)
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    other = MLP(3, 3)
    assert not torch.equal(other(X), network(X))
    other.load_state_dict(network.state_dict())
    assert_array_equal(other(X).detach(), network(X).detach())


@pytest.mark.parametrize("constant", [[0.25], [-1.0, 3.0, 1e-3]])
def test_adapting_the_output_sets_its_bias_and_nothing_else(constant):
    network = MLP(2, len(constant), hidden_sizes=())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.adapt_output(torch.tensor(constant, dtype=torch.float64))
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"output.bias"}
    # Without an input there is nothing but the constant, in the precision of the network.
    assert_array_equal(network(torch.zeros(4, 2)).detach(), [np.float32(constant)] * 4)
    assert network.output.bias.requires_grad


def test_adapting_to_the_input_and_to_the_output_leave_each_other_alone(data):
    mean, spread = moments(*data)
    network = adapted(mean, spread, 3)
    shift = network.shift.clone()
    network.adapt_output(torch.tensor([1.0, 2.0, 3.0]))
    assert_array_equal(network.shift, shift)
    network.adapt_input(mean + 1, spread)
    assert_array_equal(network.output.bias.detach(), [1, 2, 3])
    assert (network.shift > shift).all()


def test_moments_and_constants_of_another_number_of_columns_are_not_broadcast():
    network = MLP(4, 3)
    with pytest.raises(RuntimeError, match="size"):
        network.adapt_output(torch.zeros(2))
    with pytest.raises(RuntimeError, match="size"):
        network.adapt_input(torch.zeros(2), torch.ones(2))
    assert network.output.bias.any() and not network.shift.any()


# Categories, missing values and mass points

# A column of few categories, a number with a mass point, one of many categories, a number that may
# be missing.
CARDINALITIES = (4, 0, 20, 0)
EDGES = torch.tensor([-2.0, 0.0, 2.0]).double()[:, None].expand(3, 4)


@pytest.fixture
def mixed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32) * 2 + 1
    X[:, 0], X[:, 2] = rng.integers(1, 4, 300), rng.integers(1, 19, 300)
    X[rng.random(300) < 0.4, 1] = 0
    X[rng.random(300) < 0.2, 3] = np.nan
    return torch.from_numpy(X)


def adapted_to(X, cardinalities=CARDINALITIES, **params):
    """A network that was adapted to rows of weight 1."""
    torch.manual_seed(0)
    network = MLP(X.shape[1], 2, **{"n_bins": 2, **params})
    network.adapt_categories(cardinalities)
    present = X.double().nan_to_num(0.0), (~X.isnan()).double()
    mean = present[0].sum(0) / present[1].sum(0)
    spread = (((present[0] - mean) ** 2 * present[1]).sum(0) / present[1].sum(0)).sqrt()
    network.adapt_input(mean, spread)
    found = [(j, code) for j in (0, 2) for code in X[:, j].unique().tolist()]
    found += [(1, 0.0), (3, torch.nan)]
    columns, values = torch.tensor([j for j, _ in found]), torch.tensor([v for _, v in found])
    equal = (X[:, columns] == values) | (X[:, columns].isnan() & values.isnan())
    network.adapt_values(columns, values, equal.double().mean(0))
    if network.n_bins:
        network.adapt_bins(EDGES)
    return network


# Of the two numbers: values and bins; three indicators, two of special values; an embedding.
OWNER = [1, 3, *[1, 3] * 2, 0, 0, 0, 1, 3, *[2] * 8]


def test_the_first_layer_sees_numbers_bins_indicators_and_embeddings(mixed):
    network = adapted_to(mixed)
    encoded = network.encode(mixed)
    assert encoded.shape == (300, len(OWNER)) and network.hidden[0].in_features == len(OWNER)
    assert_array_equal(encoded[:, 1] == 0, mixed[:, 3].isnan())
    assert_array_equal((encoded[:, 6:9] > 0).nonzero()[:, 1] + 1, mixed[:, 0])
    assert_array_equal(encoded[:, 9] > 0, mixed[:, 1] == 0)
    assert_array_equal(encoded[:, 10] > 0, mixed[:, 3].isnan())
    rows = network.embedding.weight[mixed[:, 2].long()]
    assert_array_equal(encoded[:, 11:].detach(), rows.detach())
    assert network(mixed).isfinite().all()


def test_a_missing_number_is_the_mean_and_its_bins_are_those_of_the_mean(mixed):
    network = adapted_to(mixed)
    X = mixed[:2].clone()
    X[0, 3], X[1] = torch.nan, X[0]
    X[1, 3] = network.shift[1]
    encoded = network.encode(X).detach()
    where = torch.tensor(OWNER) == 3
    where[10] = False  # the indicator
    assert_array_equal(encoded[0, where], encoded[1, where])
    assert encoded[0, 1] == 0 and encoded[0, 10] > 0 > encoded[1, 10]


def test_a_missing_number_in_a_column_without_any_in_training_is_the_mean():
    network = MLP(2, 1)
    network.adapt_input(torch.tensor([3.0, 5.0]).double(), torch.ones(2).double())
    scores = network(torch.tensor([[1.0, torch.nan], [1.0, 5.0]]))
    assert scores[0] == scores[1] and scores.isfinite().all()


def test_a_category_that_is_not_in_the_training_rows_is_zero_throughout(mixed):
    network = adapted_to(mixed)
    X = mixed[:2].clone()
    X[0, [0, 2]] = 0
    X[1, 2] = 19  # of validation rows, say
    encoded = network.encode(X).detach()
    assert not encoded[0, 6:9].any() and not encoded[:, 11:].any()
    assert encoded[1, 6:9].all()


@pytest.mark.parametrize(
    ("n_most", "of_categories"), [(0, 5 + 5), (2, 5 + 5), (3, 3 + 5), (18, 3 + 5), (19, 3 + 18)]
)
def test_the_number_of_categories_decides_between_indicators_and_embeddings(
    mixed, n_most, of_categories
):
    network = adapted_to(mixed, max_indicators=n_most, embedding_size=5)
    n_inputs = 2 + 2 * 2 + 2 + of_categories
    assert network.hidden[0].in_features == network.encode(mixed).shape[1] == n_inputs
    assert (network.embedding is None) is (n_most == 19)


def test_a_feature_weight_multiplies_all_that_is_made_of_its_column(mixed):
    weights = torch.tensor([2.0, 3.0, 5.0, 0.0])
    plain, weighed = adapted_to(mixed), adapted_to(mixed, feature_weights=weights)
    expected = plain.encode(mixed) * weights[OWNER]
    assert_array_equal(weighed.encode(mixed).detach(), expected.detach())
    weighed(mixed).sum().backward()
    gradient = weighed.feature_weight.weight.grad
    assert gradient.shape == (4,) and gradient.all()
    assert isinstance(weighed.feature_weight, FeatureWeight)


def test_a_network_without_bins_has_no_indicators_of_numbers_but_of_missing_ones(mixed):
    network = adapted_to(mixed, n_bins=0, hidden_sizes=(), max_indicators=8)
    assert network.output.in_features == 2 + 3 + 1 + 8
    assert network.value_indicators.indicated[0][0] == 3
    assert network(mixed).isfinite().all()


def test_categories_alone_and_numbers_alone_are_fine(mixed):
    codes = mixed[:, [0, 2]]
    network = MLP(2, 1)
    network.adapt_categories((4, 20))
    network.adapt_input(torch.zeros(2).double(), torch.ones(2).double())
    columns, values = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 2.0, 1.0, 2.0])
    network.adapt_values(columns, values, torch.full((4,), 0.5).double())
    network.adapt_bins(torch.zeros(9, 2).double())
    assert network.hidden[0].in_features == 1 + 8 and network(codes).std() > 0
    with pytest.raises(ValueError, match=r"^cardinalities must hold .* each of 2 columns, got 3"):
        network.adapt_categories((4, 20, 0))
    before = copy_of_state(network := MLP(2, 1))
    nothing = torch.zeros(0)
    state = torch.get_rng_state()
    network.adapt_values(nothing.long(), nothing, nothing.double())
    assert_same_tensors(network.state_dict(), before)
    assert torch.equal(state, torch.get_rng_state())  # later draws are what they were


def test_a_network_that_is_told_of_no_category_stays_as_it_was_made():
    before = copy_of_state(network := MLP(3, 1, n_bins="auto", feature_weights=2.0))
    layers, state = [*network.modules()], torch.get_rng_state()
    network.adapt_categories((0, 0, 0))
    assert_same_tensors(network.state_dict(), before)
    assert torch.equal(state, torch.get_rng_state())
    assert network.numbers is None and network.cardinalities == ()
    assert all(one is other for one, other in zip(layers, network.modules(), strict=True))


def test_a_network_that_had_categories_forgets_them(mixed):
    network, new = adapted_to(mixed), MLP(4, 1)
    assert network.embedding is not None
    table = torch.rand(50, 4)
    for adapted in (network, new):
        adapted.adapt_categories((0, 0, 0, 0))
        adapted.adapt_input(table.mean(dim=0).double(), table.std(dim=0).double())
        adapted.adapt_values(torch.zeros(0).long(), torch.zeros(0), torch.zeros(0).double())
        adapted.adapt_bins(torch.linspace(0, 1, 9).double()[:, None].expand(9, 4))
    assert network.embedding is network.numbers is None and network.cardinalities == ()
    assert_array_equal(network.encode(table), new.encode(table))
    assert network(table).std() > 0


def test_a_network_with_categories_can_be_copied_and_moved_to_another_precision(mixed):
    network = adapted_to(mixed, feature_weights=1.0)
    other = adapted_to(mixed, feature_weights=2.0)
    other.load_state_dict(network.state_dict())
    assert_array_equal(other(mixed).detach(), network(mixed).detach())
    assert_allclose(
        network.double()(mixed.double()).detach(), other(mixed).detach(), rtol=1e-3, atol=1e-5
    )


# build_module


def make_linear(n_features, n_outputs, bias=True):
    return nn.Linear(n_features, n_outputs, bias=bias)


def test_no_module_is_the_default_network_with_its_parameters():
    network = build_module(None, 4, 3, {"hidden_sizes": (7,)})
    assert type(network) is MLP
    assert (network.hidden[0].in_features, network.output.out_features) == (4, 3)
    assert network.hidden[0].out_features == 7


@pytest.mark.parametrize("module", [nn.Linear, make_linear])
def test_classes_and_callables_get_the_numbers_of_features_and_outputs(module):
    for params, has_bias in (({}, True), ({"bias": False}, False)):
        network = build_module(module, 4, 3, params)
        assert (network.in_features, network.out_features) == (4, 3)
        assert (network.bias is not None) is has_bias


def test_an_instance_is_copied_with_its_state():
    given = nn.Sequential(nn.Linear(4, 1), nn.BatchNorm1d(1)).eval()
    network = build_module(given, 4, 1, {})
    assert network is not given
    before = copy_of_state(given)
    assert_same_tensors(network.state_dict(), before)
    for value in network.state_dict().values():
        value.add_(1)
    assert_same_tensors(given.state_dict(), before)


@pytest.mark.parametrize(
    ("module", "params", "error", "came"),
    [
        (3, {}, TypeError, "got int"),
        ("MLP", {}, TypeError, "got str"),
        (lambda n_features: nn.Linear(n_features, 1), {}, TypeError, r"module\(\), .*n_features"),
        (lambda a, b, c: nn.Linear(a, b), {}, TypeError, r"module\(4, 3\), .*'c'"),
        (lambda a, b: "network", {}, TypeError, "nn.Module, got str"),
        (lambda a, b: nn.Linear, {}, TypeError, "nn.Module, got type"),
        (nn.Linear(4, 3), {"bias": True}, ValueError, r"instance of Linear .*module__bias"),
        (None, {"hidden_size": (8,)}, ValueError, "Did you mean 'module__hidden_sizes'"),
        (nn.Linear, {"bia": True}, ValueError, "Did you mean 'module__bias'"),
        (make_linear, {"xyz": 1}, ValueError, r"module__xyz: module make_linear .*\]\.$"),
        (None, {"n_features": 5}, TypeError, "n_features"),
    ],
)
def test_what_makes_no_network_is_refused(module, params, error, came):
    with pytest.raises(error, match=f"(?=.*module).*{came}"):
        build_module(module, 4, 3, params)


def test_weights_decay_by_default_where_there_are_hidden_layers():
    assert MLP(2, 1).decays_by_default is MLP(2, 1, hidden_sizes=(4,)).decays_by_default is True
    assert MLP(2, 1, hidden_sizes=()).decays_by_default is False


def test_defaults_of_the_network_are_those_its_signature_shows():
    defaults = inspect.signature(MLP).parameters
    assert defaults["hidden_sizes"].default == (64, 64)
    widths = [m.out_features for m in MLP(2, 1).modules() if isinstance(m, nn.Linear)]
    assert widths == [64, 64, 1]
