"""Weighted layers: what they compute, what is learned of them, what they accept.

What a weight on a feature does to a fit, and ``feature_weights_`` after it, are left to
``test_estimator.py``.
"""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional as F

from skweight import FeatureWeight, WeightedLinear
from skweight.modules import feature_weights

WEIGHTS = [1.0, 0.0, 0.5, 3.0, 2.0]  # powers of two and 3: products with small integers are exact


def make(kind, weights=None, **kwargs):
    """A layer on five features with weights on them."""
    weights = WEIGHTS if weights is None else weights
    if kind == "FeatureWeight":
        return FeatureWeight(5, weights, **kwargs)
    return WeightedLinear(5, 2, feature_weights=weights, **kwargs)


def held_weight(layer):
    return layer.weight if type(layer) is FeatureWeight else layer.feature_weights.weight


both_layers = pytest.mark.parametrize("kind", ["FeatureWeight", "WeightedLinear"])
both_ways = pytest.mark.parametrize("learnable", [True, False])


# Values and shapes


@both_ways
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (0, 5)])
def test_feature_weight_multiplies_the_last_dimension(shape, learnable):
    X = torch.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    output = FeatureWeight(5, WEIGHTS, learnable)(X)
    assert_array_equal(
        output.detach(), X.numpy() * np.array(WEIGHTS, dtype=np.float32), strict=True
    )


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
def test_one_number_counts_for_every_feature(number):
    assert_array_equal(FeatureWeight(3, number).weight.detach(), [2, 2, 2])
    assert_array_equal(FeatureWeight(3).weight.detach(), [1, 1, 1])


@both_ways
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("output_weights", [None, [3.0, 0.5]])
@pytest.mark.parametrize("inputs", [None, WEIGHTS])
def test_weighted_linear_is_its_formula(inputs, output_weights, bias, shape, learnable):
    layer = WeightedLinear(5, 2, inputs, output_weights, learnable, bias).double()
    rng = np.random.default_rng(0)
    X, weight, shift = rng.normal(size=shape), rng.normal(size=(2, 5)), rng.normal(size=2) * bias
    layer.weight.data = torch.from_numpy(weight)
    if bias:
        layer.bias.data = torch.from_numpy(shift)
    output = layer(torch.from_numpy(X)).detach()
    expected = (X * (1 if inputs is None else np.array(inputs))) @ weight.T + shift
    expected = expected * (1 if output_weights is None else np.array(output_weights))
    assert output.shape == (*shape[:-1], 2)
    assert np.abs(expected).max() > 0.1
    assert_allclose(output, expected, rtol=1e-12, atol=1e-14)


def test_a_fixed_feature_weight_is_a_prescaled_column():
    layer = WeightedLinear(5, 2, feature_weights=WEIGHTS, learnable=False)
    X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    prescaled = F.linear(X * torch.tensor(WEIGHTS), layer.weight, layer.bias)
    assert not torch.equal(prescaled, F.linear(X, layer.weight, layer.bias))
    assert_array_equal(layer(X).detach(), prescaled.detach())


def test_a_feature_of_weight_zero_is_not_seen():
    layer = WeightedLinear(5, 2, feature_weights=WEIGHTS)
    X, changed = torch.ones(3, 5), torch.ones(3, 5)
    changed[:, 1] = 1e6
    assert_array_equal(layer(changed).detach(), layer(X).detach())
    changed[:, 0] = 2.0
    assert not torch.equal(layer(changed), layer(X))


def test_five_inputs_and_ten_outputs_go_together_inside_a_sequence():
    network = nn.Sequential(
        WeightedLinear(5, 10, feature_weights=[1, 1, 1, 3, 1]), nn.ReLU(), nn.Linear(10, 1)
    )
    assert network(torch.ones(4, 5)).shape == (4, 1)
    first = network[0]
    step = first(torch.eye(5)) - first(torch.zeros(5))
    assert_allclose(step.detach()[3], 3 * first.weight.detach()[:, 3], atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_initial_weights_are_those_of_a_linear_layer_under_the_same_seed(bias):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = nn.Linear(5, 2, bias=bias)
        after = torch.rand(3)
        torch.manual_seed(0)
        weighted = WeightedLinear(5, 2, WEIGHTS, [1.0, 2.0], bias=bias)
        assert_array_equal(torch.rand(3), after)
    assert_array_equal(weighted.weight.detach(), plain.weight.detach())
    assert (weighted.bias is None) is not bias
    if bias:
        assert_array_equal(weighted.bias.detach(), plain.bias.detach())


# What is learned and kept


@both_layers
def test_learnable_weights_are_parameters_and_get_gradients(kind):
    layer = make(kind)
    weight = held_weight(layer)
    assert any(weight is parameter for parameter in layer.parameters())
    assert not list(layer.buffers())
    X = torch.arange(1.0, 11.0).reshape(2, 5)
    layer(X).sum().backward()
    slope = 1.0 if kind == "FeatureWeight" else layer.weight.detach().sum(0)
    assert weight.grad.abs().min() > 0
    assert_allclose(weight.grad, X.sum(0) * slope, rtol=1e-5, atol=1e-5)


@both_layers
def test_fixed_weights_are_buffers_and_stay(kind):
    layer = make(kind, learnable=False)
    weight = held_weight(layer)
    assert not any(weight is parameter for parameter in layer.parameters())
    assert any(weight is buffer for buffer in layer.buffers())
    X = torch.ones(2, 5, requires_grad=True)
    layer(X).sum().backward()
    slope = torch.ones(5) if kind == "FeatureWeight" else layer.weight.detach().sum(0)
    assert_allclose(X.grad[0], torch.tensor(WEIGHTS) * slope, rtol=1e-5, atol=1e-6)
    for parameter in layer.parameters():
        assert parameter.grad is not None
    if list(layer.parameters()):
        torch.optim.SGD(layer.parameters(), lr=1.0).step()
    assert_array_equal(weight, WEIGHTS)


@both_ways
def test_output_weights_are_learned_or_fixed_with_the_feature_weights(learnable):
    layer = WeightedLinear(5, 2, output_weights=[3.0, 0.5], learnable=learnable)
    held = dict(layer.named_parameters() if learnable else layer.named_buffers())
    assert held["output_weights"] is layer.output_weights
    assert layer.output_weights.requires_grad is learnable
    assert layer.feature_weights is None


def test_without_weights_the_layer_is_a_linear_one():
    layer, plain = WeightedLinear(5, 2), nn.Linear(5, 2)
    plain.load_state_dict(layer.state_dict())
    X = torch.ones(3, 5)
    assert_array_equal(layer(X).detach(), plain(X).detach())
    assert layer(X).abs().max() > 0


@both_ways
@both_layers
def test_state_is_saved_and_loaded_with_the_weights(kind, learnable):
    layer, other = make(kind, learnable=learnable), make(kind, 1.0, learnable=learnable)
    X = torch.ones(2, 5)
    assert not torch.equal(layer(X), other(X))
    other.load_state_dict(layer.state_dict())
    assert_array_equal(other(X).detach(), layer(X).detach())
    assert_array_equal(held_weight(other).detach(), WEIGHTS)


@both_ways
@both_layers
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_compute_the_same_and_share_nothing(kind, learnable, duplicate):
    layer = make(kind, learnable=learnable)
    twin, X = duplicate(layer), torch.ones(2, 5)
    before = layer(X).detach().clone()
    assert_array_equal(twin(X).detach(), before)
    with torch.no_grad():
        held_weight(twin).add_(1)
    assert_array_equal(layer(X).detach(), before)
    assert not torch.equal(twin(X).detach(), before)


# What is accepted


@both_ways
@both_layers
@pytest.mark.parametrize(
    "given",
    [
        list(WEIGHTS),
        np.array(WEIGHTS),
        np.array(WEIGHTS, dtype=np.float32),
        pd.Series(WEIGHTS, index=list("abcde")),
        torch.tensor(WEIGHTS),
        torch.tensor(WEIGHTS, dtype=torch.float64, requires_grad=True),
        nn.Parameter(torch.tensor(WEIGHTS)),
    ],
    ids=lambda given: f"{type(given).__name__}-{getattr(given, 'dtype', '')}",
)
def test_the_callers_weights_are_copied(kind, given, learnable):
    layer = make(kind, given, learnable=learnable)
    weight = held_weight(layer)
    assert_array_equal(weight.detach(), np.float32(WEIGHTS), strict=True)
    with torch.no_grad():
        weight.fill_(7)
    given = given.detach() if isinstance(given, torch.Tensor) else given
    assert [float(value) for value in given] == WEIGHTS


def test_read_only_arrays_are_copied_without_a_warning():
    given = np.array(WEIGHTS)
    given.setflags(write=False)
    torch.set_warn_always(True)  # or only the first warning of a process is seen
    try:
        assert_array_equal(FeatureWeight(5, given).weight.detach(), WEIGHTS)
    finally:
        torch.set_warn_always(False)


@both_ways
@both_layers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_have_the_default_dtype(kind, learnable, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        layer = make(kind, [1, 2, 3, 4, 5], learnable=learnable)
    finally:
        torch.set_default_dtype(before)
    assert {tensor.dtype for tensor in layer.state_dict().values()} == {dtype}
    assert layer(torch.ones(2, 5, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("weights", "came"),
    [
        ([1, 2], r"\(5,\), got shape \(2,\)"),
        ([[1, 2, 3, 4, 5]], r"\(5,\), got shape \(1, 5\)"),
        ([1, 1, 1, 1, -0.5], "non-negative, got values from -0.5 to 1.0"),
        (-1, "non-negative, got values from -1.0"),
        ([1, 1, 1, 1, float("nan")], "finite .* nan"),
        (float("inf"), "finite .* inf"),
        ([1, 1, 1, 1, 1e40], "finite .* inf"),  # beyond float32
        ("heavy", "str"),
        (["1", "2", "3", "4", "5"], "str"),
    ],
)
@pytest.mark.parametrize("name", ["init", "feature_weights", "output_weights"])
def test_bad_weights_are_refused_by_name_and_value(name, weights, came):
    with pytest.raises((TypeError, ValueError), match=f"(?s)^{name} must .*{came}"):
        FeatureWeight(5, weights) if name == "init" else WeightedLinear(5, 5, **{name: weights})


def test_layers_say_what_they_are():
    assert "5, learnable=True" in repr(make("FeatureWeight"))
    assert "5, learnable=False" in repr(make("WeightedLinear", learnable=False))


# Finding the weights in a network


class OwnModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(5, 3), FeatureWeight(3, 4.0), nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("network", "n_features", "expected"),
    [
        (FeatureWeight(5, WEIGHTS), 5, WEIGHTS),
        (FeatureWeight(5, WEIGHTS), 3, None),
        (nn.Sequential(WeightedLinear(5, 2, WEIGHTS), nn.Linear(2, 1)), 5, WEIGHTS),
        (nn.Sequential(FeatureWeight(5, 1.0), FeatureWeight(5, WEIGHTS)), 5, [1.0] * 5),
        (nn.Sequential(FeatureWeight(5, WEIGHTS, learnable=False)), 5, WEIGHTS),
        (OwnModule(), 3, None),  # behind a layer that mixes features
        (OwnModule(), 5, None),
        (WeightedLinear(5, 2, output_weights=[1.0, 2.0]), 5, None),
        (nn.Linear(5, 2), 5, None),
    ],
)
def test_the_first_feature_weight_on_the_input_is_found(network, n_features, expected):
    found = feature_weights(network, n_features)
    if expected is None:
        assert found is None
    else:
        assert_array_equal(found.detach(), expected)
