"""Values become shares of bins, and the default network reads them."""

import numpy as np
import pytest
import torch

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.modules import MLP, PiecewiseLinear

# Of three features: the first has two values, the last a bin without width.
EDGES = torch.tensor([[0.0, -1.0, 2.0], [0.0, 0.0, 2.0], [1.0, 3.0, 4.0], [1.0, 5.0, 8.0]])


def adapted():
    layer = PiecewiseLinear(3)
    layer.adapt(EDGES.double())
    return layer


def test_bins_hold_how_far_a_value_is_through_them():
    layer = adapted()
    assert layer.features == (1, 2) and layer(torch.zeros(1, 3)).shape == (1, 3 + 6)
    X = torch.tensor([[1.0, 1.5, 3.0], [0.0, -9.0, 99.0], [0.5, 4.0, 2.0]])
    bins = layer(X)[:, 3:].reshape(3, 3, 2) + 0.5
    assert torch.equal(layer(X)[:, :3], X)
    for row, values in enumerate(X[:, 1:]):
        for place, value in enumerate(values):
            feature = place + 1
            for number, (a, b) in enumerate(zip(EDGES[:-1, feature], EDGES[1:, feature])):
                share = ((value - a) / (b - a)).clamp(0, 1) if b > a else 0.0
                assert bins[row, number, place] == share
    assert 0 < bins.mean() < 1


def test_without_edges_the_input_is_returned():
    X = torch.randn(4, 3)
    assert PiecewiseLinear(3)(X) is X
    assert adapted()(X).isfinite().all()


def test_input_is_left_alone_and_may_have_more_dimensions_and_a_gradient():
    layer = adapted()
    X = torch.randn(2, 5, 3, requires_grad=True)
    kept = X.detach().clone()
    output = layer(X)
    assert output.shape == (2, 5, 9) and torch.equal(output[1], layer(X[1]))
    output.sum().backward()
    assert torch.equal(X, kept) and X.grad.abs().sum() > 0


# In the default network


def test_the_first_layer_follows_the_features_that_have_bins():
    network = MLP(3, 1, n_bins=3, hidden_sizes=(4,))
    network.adapt_bins(EDGES.double())
    first = network.hidden[0]
    assert first.in_features == 9 and network(torch.randn(5, 3)).shape == (5, 1)
    network.adapt_bins(EDGES.double() + 1)
    assert network.hidden[0] is first  # what it has learned stays
    linear = MLP(3, 2, n_bins=3, hidden_sizes=())
    linear.adapt_bins(EDGES.double())
    assert linear.output.in_features == 9 and linear(torch.randn(5, 3)).shape == (5, 2)


def test_edges_are_in_the_units_of_the_input():
    network = MLP(1, 1, n_bins=2)
    network.adapt_input(torch.tensor([100.0]).double(), torch.tensor([10.0]).double())
    network.adapt_bins(torch.tensor([[80.0], [100.0], [150.0]]).double())
    seen = []
    network.bins.register_forward_hook(lambda *given: seen.append(given[2]))
    network(torch.tensor([[80.0], [100.0], [150.0]]))
    z = torch.tensor([-2.0, 0.0, 5.0])
    expected = torch.stack([z / (1 + (z / 3) ** 2).sqrt(), z.sign() / 2 + 0, z.sign() / 2], dim=1)
    expected[:, 1:] = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]])
    torch.testing.assert_close(seen[0], expected)


def test_how_many_bins_there_are_unless_it_is_said():
    networks = [MLP(n, 1) for n in (1, 128, 200, 512, 513)]
    assert [network.choose_n_bins(10**6) for network in networks] == [32, 8, 5, 2, 0]
    assert [MLP(4, 1).choose_n_bins(n) for n in (1, 512, 1000, 8000, 10**9)] == [8, 8, 10, 20, 32]
    assert MLP(4, 1, n_bins=5).choose_n_bins(10**6) == 5
    some_are_categories = [MLP(n, 1) for n in (600, 128, 513, 3)]
    for network, n_numbers in zip(some_are_categories, (64, 113, 513, 0)):
        n_categories = network.n_features - n_numbers
        network.adapt_categories([0] * n_numbers + [3] * n_categories)
    assert [network.choose_n_bins(10**6) for network in some_are_categories] == [16, 9, 0, 32]
    assert MLP(3, 1, hidden_sizes=()).n_bins == 0 and MLP(3, 1, hidden_sizes=()).clip is None
    assert MLP(3, 1).clip == 3.0 and MLP(3, 1, clip=None).clip is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"n_bins": -1}, 'n_bins must be 0, an integer >= 2 or "auto", got -1'),
        ({"n_bins": 1}, 'n_bins must be 0, an integer >= 2 or "auto", got 1'),
        ({"n_bins": 1, "feature_weights": 1.0}, "n_bins must be 0, an integer >= 2"),
        ({"n_bins": 1, "hidden_sizes": ()}, "n_bins must be 0, an integer >= 2"),
        ({"n_bins": True}, 'n_bins must be 0, an integer >= 2 or "auto", got True'),
        ({"n_bins": 2.5}, "n_bins must be 0, an integer >= 2"),
        ({"n_bins": "many"}, "n_bins must be 0, an integer >= 2 or \"auto\", got 'many'"),
        ({"clip": 0}, 'clip must be a number > 0, None or "auto", got 0'),
        ({"clip": float("nan")}, "clip must be a number > 0"),
        ({"clip": "some"}, "clip must be a number > 0, None or \"auto\", got 'some'"),
    ],
)
def test_bad_bins_and_clips_are_refused(params, expected):
    with pytest.raises(ValueError, match=f"^module__{expected}"):
        MLP(3, 1, **params)


def steps(n_rows=400):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n_rows, 2))
    return X, np.sin(8 * X[:, 0]) + 0.1 * rng.normal(size=n_rows)


def test_steep_functions_are_learned_in_fewer_epochs():
    X, y = steps()
    scores = [
        WeightedTorchRegressor(
            module__n_bins=n_bins, max_epochs=20, early_stopping=False, random_state=0
        )
        .fit(X, y)
        .score(X, y)
        for n_bins in (0, 8)
    ]
    assert scores[1] > scores[0] + 0.2 and scores[1] > 0.7


def test_what_lies_far_out_is_not_extrapolated_to():
    X, y = steps()
    model = WeightedTorchRegressor(max_epochs=20, random_state=0).fit(X, y)
    far = model.predict(np.array([[1e6, 0.0], [1e9, 0.0]]))
    assert far[0] == pytest.approx(far[1], rel=1e-3)
    assert np.abs(far).max() < 3 * np.abs(y).max()


def test_values_whose_squares_overflow_are_clipped_too():
    far = MLP(1, 1).encode(torch.tensor([[1e18], [-1e20], [3e38]]))
    torch.testing.assert_close(far, torch.tensor([[3.0], [-3.0], [3.0]]))


def test_feature_weights_weigh_the_bins_of_their_feature_too():
    X, y = steps()
    fixed = {"module__feature_weights": [0, 1], "module__learnable_feature_weights": False}
    model = WeightedTorchClassifier(max_epochs=5, random_state=0, **fixed).fit(X, y > 0)
    to_device = X.copy()
    to_device[:, 0] = -X[:, 0]
    np.testing.assert_array_equal(model.predict_proba(to_device), model.predict_proba(X))
    assert np.ptp(model.predict_proba(X)[:, 1]) > 1e-3
    assert model.feature_weights_.shape == (2,)


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
@pytest.mark.parametrize("unit", [1e-41, 1e-60])
def test_a_column_that_is_next_to_nothing_leaves_the_others_as_they_are(estimator, unit):
    X = np.random.default_rng(0).normal(size=(300, 2))
    X[:, 1] *= unit
    y = (X[:, 0] > 0).astype(int)
    model = estimator(random_state=0, lr=0.01, n_members=1)
    with pytest.warns(UserWarning, match=r"Columns \[1\] of X hold numbers below 1.2e-38 only"):
        model.fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.module_.bins.features == (0,)


def test_bins_too_narrow_for_float32_are_none():
    layer = PiecewiseLinear(3)
    layer.adapt(EDGES.double() * 1e-41)
    assert layer.features == ()
