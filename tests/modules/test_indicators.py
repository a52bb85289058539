"""Indicators of categories and of special values are standardised, and 0 for the unknown."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skweight.modules import CategoryIndicators, ValueIndicators


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def shares_of(codes, weight, cardinality):
    mass = np.bincount(codes, weights=weight, minlength=cardinality)
    return torch.from_numpy(mass / mass.sum())


def weighted_moments(values, weight):
    mean = np.average(values, axis=0, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))


@pytest.fixture
def data():
    """Codes of two columns beside a number, and weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    X[:, 0], X[:, 2] = rng.integers(1, 5, 300), rng.integers(0, 3, 300)
    return X, rng.exponential(size=300)


def of_codes(data, clip=None):
    X, weight = data
    shares = {j: shares_of(X[:, j].astype(int), weight, n) for j, n in ((0, 5), (2, 3))}
    return CategoryIndicators(shares, clip)


def test_indicators_have_weighted_mean_zero_and_spread_one_over_the_training_rows(data):
    X, weight = data
    layer = of_codes(data)
    assert layer.indicated == (
        (0, 5, 1),
        (0, 5, 2),
        (0, 5, 3),
        (0, 5, 4),
        *((2, 3, c) for c in range(3)),
    )
    assert_array_equal(layer.columns, [0, 0, 0, 0, 2, 2, 2])
    found = layer(torch.from_numpy(X)).double().numpy()
    mean, spread = weighted_moments(found, weight)
    assert_allclose(mean, np.zeros(7), atol=1e-6)
    assert_allclose(spread, np.ones(7), rtol=1e-6)
    expected = [X[:, 0] == 1, X[:, 0] == 2, X[:, 0] == 3, X[:, 0] == 4]
    expected += [X[:, 2] == 0, X[:, 2] == 1, X[:, 2] == 2]
    assert_array_equal(found > 0, np.stack(expected, axis=1))


def test_a_code_without_training_rows_has_the_mean_of_every_indicator(data):
    layer = of_codes(data)
    found = layer(torch.tensor([[0.0, 9.0, 1.0], [1.0, 9.0, 1.0]]))
    assert_array_equal(found[0, :4], np.zeros(4))
    assert found[1].all() and found[0, 4:].all()
    rare = CategoryIndicators({0: doubles(0.5, 0.0, 0.3, 0.2)})  # one in validation rows only
    assert_array_equal(rare(torch.tensor([[1.0]])), np.zeros((1, 3)))


def test_of_two_codes_one_has_an_indicator_and_of_one_none():
    layer = CategoryIndicators({0: doubles(0, 0.8, 0.2), 1: doubles(0, 1, 0), 2: doubles(0.5, 0.5)})
    assert layer.indicated == ((0, 3, 2), (2, 2, 1))
    found = layer(torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0], [0.0, 0.0, 1.0]]))
    assert_allclose(found, [[-0.5, -1], [2, 1], [0, 1]], rtol=1e-6)
    assert CategoryIndicators({1: doubles(0, 1, 0)})(torch.ones(4, 2)).shape == (4, 0)


def test_numbers_are_clipped_smoothly_as_those_of_the_network_are():
    share = doubles(0, 0.999, 0.001)
    plain, clipped = CategoryIndicators({0: share}), CategoryIndicators({0: share}, 3.0)
    X = torch.tensor([[1.0], [2.0], [0.0]])
    z = plain(X)
    assert z.max() > 30
    torch.testing.assert_close(clipped(X), z / (1 + (z / 3) ** 2).sqrt())
    assert clipped(X).max() < 3


@pytest.mark.parametrize("share", [0.0, 1.0, 1e-300, 1 - 1e-16])
def test_indicators_that_are_constant_are_zero(share):
    values = ValueIndicators(torch.tensor([0]), torch.tensor([7.0]), doubles(share))
    assert_array_equal(values(torch.tensor([[7.0], [1.0]])), np.zeros((2, 1)))
    codes = CategoryIndicators({0: doubles(0.0, share, 1 - share)})
    assert not codes(torch.tensor([[1.0], [2.0], [0.0]])).any()


def test_values_of_number_columns_are_found_and_missing_is_one_of_them():
    X = torch.tensor([[0.0, torch.nan], [1.5, 2.0], [-0.0, 0.0], [torch.nan, 2.0]])
    columns, values = torch.tensor([0, 0, 1]), torch.tensor([0.0, torch.nan, torch.nan])
    layer = ValueIndicators(columns, values, doubles(0.5, 0.2, 0.2))
    expected = [[1, -0.5, 2], [-1, -0.5, -0.5], [1, -0.5, -0.5], [-1, 2, -0.5]]
    assert_allclose(layer(X), expected, rtol=1e-6)
    assert all(buffer.isfinite().all() for buffer in layer.buffers())  # equal to a copy
    assert repr(layer) == "ValueIndicators(((0, 0.0), (0, nan), (1, nan)))"


def test_more_dimensions_and_another_precision_are_fine(data):
    layer = of_codes(data).double()
    X = torch.from_numpy(data[0]).double()
    found = layer(X.reshape(3, 100, 3))
    assert found.dtype == torch.float64 and found.shape == (3, 100, 7)
    assert_array_equal(found[1], layer(X[100:200]))
    assert found.std() > 0.5
