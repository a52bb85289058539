"""What happens to a network before it is trained: it adapts to its data and is tried.

What ``MLP`` makes of its data is in ``test_mlp.py``, how moments are computed in
``test_moments.py``, what a constant is in ``test_row_loss.py``, which criterion is refused in
``test_torch_losses.py``.
"""

from functools import partial

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors, copy_of_state
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from torch import nn

from skweight.data import RowDataset, gather, moments, values
from skweight.data import rows as rows_file
from skweight.losses import CLASSIFIER_CRITERIA, REGRESSOR_CRITERIA, RowLoss, from_criterion
from skweight.modules import MLP
from skweight.training import Output, Training, TrainingOptions, prepare, train

CPU = torch.device("cpu")
N = 12
X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
INDEX = np.arange(N)[::-1] + 3
CODES = np.arange(N) % 2
WEIGHT = np.linspace(0.5, 1.5, N)


def make_rows(y=CODES, weight=WEIGHT, n=N, csr=False):
    given = sparse.csr_array(X) if csr else torch.from_numpy(X)
    return RowDataset(given, INDEX[:n], np.asarray(y)[:n], weight[:n], CPU)


def of_classes(criterion=None):
    return from_criterion(criterion, {}, CLASSIFIER_CRITERIA)


def of_numbers(criterion=None, **params):
    return from_criterion(criterion, params, REGRESSOR_CRITERIA)


class Recording(nn.Linear):
    """Writes down what is asked of it."""

    def __init__(self, n_outputs=1):
        super().__init__(3, n_outputs)
        self.calls = []

    def adapt(self, X, y, row_weight):
        self.calls.append(("adapt", X, y, row_weight))

    def adapt_input(self, mean, spread):
        self.calls.append(("adapt_input", mean, spread))

    def adapt_output(self, constant):
        self.calls.append(("adapt_output", constant))

    def called(self, name):
        """The arguments of the one call of this name."""
        ((_, *arguments),) = (call for call in self.calls if call[0] == name)
        return arguments

    def forward(self, X):
        self.calls.append(("forward", X, self.training, torch.is_grad_enabled()))
        return super().forward(X)


# The order of the steps


def test_a_network_adapts_then_is_tried_then_adapts_its_output():
    module = Recording()
    assert prepare(module, of_classes(), make_rows(), (1, 2), adapt=True) is module
    names = [name for name, *_ in module.calls]
    assert names == ["adapt", "adapt_input", "forward", "adapt_output"]
    assert module.training
    few, in_training, with_gradient = module.called("forward")
    assert (in_training, with_gradient) == (False, True)  # what no gradient reaches is refused
    assert_array_equal(few, X[INDEX[:5]])


DEFAULTS = {
    **{"optimizer": None, "optimizer_params": {}, "lr": 0.001, "batch_size": 4, "max_epochs": 3},
    **{"n_iter_no_change": 10, "tol": 0.0, "ema_decay": 0, "weighting": "loss"},
    **{"callbacks": None, "compile": False, "verbose": 0, "seed": 0},
}


class ReadsCategories(Recording):
    """The same with methods for categories, values and bins."""

    n_bins = 4

    def adapt_categories(self, cardinalities):
        self.calls.append(("adapt_categories", cardinalities))

    def adapt_values(self, columns, values, shares):
        self.calls.append(("adapt_values", columns, values, shares))

    def adapt_bins(self, edges):
        self.calls.append(("adapt_bins", edges))


def rows_with_categories():
    rows = make_rows()
    rows.X = rows.X.clone()
    rows.X[:, 1] = torch.arange(len(X)) % 3 + 1
    rows.X[5, 2] = torch.nan
    return rows


def test_categories_and_values_come_in_their_order_with_quantiles_of_the_other_values():
    module, rows = ReadsCategories(), rows_with_categories()
    rows.X[5, 2] = 0  # a linear layer cannot read NaN
    prepare(module, of_classes(), rows, (1, 2), True, (0, 4, 0), ("a", "b", "c"))
    names = [name for name, *_ in module.calls]
    assert names[:3] == ["adapt", "adapt_categories", "adapt_input"]
    assert names[3:] == ["adapt_values", "adapt_bins", "forward", "adapt_output"]
    assert module.called("adapt_categories") == [(0, 4, 0)]
    columns, values, shares = module.called("adapt_values")
    assert columns.tolist() == [1, 1, 1] and values.tolist() == [1, 2, 3]
    assert_allclose(shares.sum(), 1)
    (edges,) = module.called("adapt_bins")
    assert edges.shape == (5, 3)
    assert_array_equal(edges[:, 1], np.zeros(5))
    assert (edges[:, [0, 2]].diff(dim=0) > 0).all()


@pytest.mark.parametrize("csr", [False, True])
def test_of_a_table_of_numbers_a_network_is_told_that_no_column_is_a_category(csr):
    module = ReadsCategories()
    prepare(module, of_classes(), make_rows(csr=csr), (1, 2), adapt=True)
    names = [name for name, *_ in module.calls]
    assert names[:3] == ["adapt", "adapt_categories", "adapt_input"]
    assert module.called("adapt_categories") == [(0, 0, 0)]
    assert [len(given) for given in module.called("adapt_values")] == [0, 0, 0]


def test_the_default_network_reads_categories_and_missing_numbers():
    rows = rows_with_categories()
    module = prepare(MLP(3, 1), of_classes(), rows, (1, 2), True, (0, 4, 0))
    assert module.category_indicators.indicated == tuple((1, 4, code) for code in (1, 2, 3))
    assert module.value_indicators.indicated[0][0] == 2
    assert module(rows.X).isfinite().all() and module(rows.X).std() > 0


def test_embeddings_decay_towards_zero_by_default():
    training = Training(
        partial(MLP, 3, 1, max_indicators=2),
        of_classes(),
        rows_with_categories(),
        None,
        TrainingOptions(**DEFAULTS),
        Output((1, 2), torch.sigmoid, n_classes=2),
        cardinalities=(0, 4, 0),
        column_names=("a", "b", "c"),
    )
    net = train(training)
    network, groups = net.module_, net.optimizer_.param_groups
    table = network.embedding.weight
    assert [g["weight_decay"] for g in groups if any(p is table for p in g["params"])] == [1.0]
    assert table[1:].all() and not table[0].any()


@pytest.mark.parametrize(
    ("cardinalities", "names", "found"),
    [
        ((0, 4, 9), ("a", "colour", "city"), "'colour', 'city'"),
        ((0, 4, 0), (), "1"),
        ((0, 4, 0), (0, 1, 2), "1"),
    ],
)
def test_a_network_that_would_take_categories_for_numbers_is_refused(cardinalities, names, found):
    given = (of_classes(), rows_with_categories(), (1, 2), True, cardinalities, names)
    expected = (
        rf"^module Linear has no method adapt_categories, .* got categories in {found}\. Give it "
        r".*adapt_categories\(cardinalities\), .*Pipeline\. .* categorical_features=None\.$"
    )
    with pytest.raises(ValueError, match=expected):
        prepare(nn.Linear(3, 1), *given)


def test_of_many_categories_an_error_names_a_few():
    given = make_rows(), (1,), True, (3,) * 7, tuple("abcdefg")
    with pytest.raises(ValueError, match=r"in 'a', 'b', 'c', 'd', 'e', \.\.\.\. Give"):
        prepare(nn.Linear(7, 1), of_classes(), *given)


@pytest.mark.parametrize("csr", [False, True])
def test_adapt_gets_all_rows_with_their_targets_and_weights(csr):
    module = Recording()
    prepare(module, of_classes(), make_rows(csr=csr), (1,), adapt=True)
    given, y, weight = module.called("adapt")
    assert given.is_sparse is csr
    assert_array_equal(given.to_dense(), X[INDEX])
    assert_array_equal(y, CODES)
    assert_array_equal(weight, np.float32(WEIGHT), strict=True)


@pytest.mark.parametrize("csr", [False, True])
def test_adapt_input_gets_the_weighted_mean_and_spread_of_the_rows(csr):
    module = Recording()
    prepare(module, of_classes(), make_rows(csr=csr), (1,), adapt=True)
    mean, spread = module.called("adapt_input")
    assert mean.dtype == spread.dtype == torch.float64
    expected = np.average(X[INDEX], axis=0, weights=WEIGHT)
    assert_allclose(mean, expected, rtol=1e-6)
    assert_allclose(
        spread, np.average((X[INDEX] - expected) ** 2, axis=0, weights=WEIGHT) ** 0.5, rtol=1e-6
    )
    assert not np.allclose(expected, X[INDEX].mean(axis=0), rtol=1e-3)


def test_moments_of_rows_of_three_dimensions_have_the_shape_of_a_row():
    class Image(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))

        def adapt_input(self, mean, spread):
            self.mean, self.spread = mean, spread

        def forward(self, X):
            return self.layers((X - self.mean.float()) / self.spread.float())

    images = np.random.default_rng(1).normal(size=(N, 2, 3)).astype(np.float32)
    rows = RowDataset(torch.from_numpy(images), np.arange(N), CODES, np.ones(N), CPU)
    module = prepare(Image(), of_classes(), rows, (1,), adapt=True)
    assert_allclose(module.mean, images.mean(axis=0, dtype=float), rtol=1e-10)
    assert_allclose(module.spread, images.std(axis=0, dtype=float), rtol=1e-10)


@pytest.mark.parametrize("csr", [False, True])
def test_only_adapt_has_all_rows_gathered(monkeypatch, csr):
    monkeypatch.setattr(moments, "MOMENTS_AT_ONCE", 12)
    monkeypatch.setattr(moments, "SPARSE_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(moments, "ROWS_SORTED", 4)
    gathered = []

    def recorded(X, rows, device):
        gathered.append(len(rows))
        return gather(X, rows, device)

    monkeypatch.setattr(rows_file, "gather", recorded)
    monkeypatch.setattr(moments, "gather", recorded)
    monkeypatch.setattr(values, "gather", recorded)
    monkeypatch.setattr(RowDataset, "tensors", lambda self: pytest.fail("all rows were gathered"))
    module = prepare(MLP(3, 1), of_classes(), make_rows(csr=csr), (1, 2), adapt=True)
    # For moments, for missing values, for mass points, for quantiles, to be tried.
    assert gathered == ([*([] if csr else [4, 4, 4] * 2), 4, 4, 5])
    assert module.shift.all()
    with pytest.raises(pytest.fail.Exception, match="all rows"):
        prepare(Recording(), of_classes(), make_rows(csr=csr), (1, 2), adapt=True)


def test_weights_of_labels_are_averaged_over_each_row_for_the_input_alone():
    labels = np.stack([CODES, 1 - CODES], axis=1)
    weight = np.stack([WEIGHT, 3 * WEIGHT], axis=1) / 2
    criterion, module = of_classes(), Recording(2)
    criterion.per_column = True
    prepare(module, criterion, make_rows(labels, weight), (2,), adapt=True)
    _, y, row_weight = module.called("adapt")
    assert_array_equal(y, labels)
    assert_allclose(row_weight, WEIGHT, rtol=1e-6)
    mean, _ = module.called("adapt_input")
    assert_allclose(mean, np.average(X[INDEX], axis=0, weights=WEIGHT), rtol=1e-6)
    (constant,) = module.called("adapt_output")
    share = np.average(CODES, weights=WEIGHT)
    assert abs(share - 0.5) > 0.01
    assert_allclose(constant, [np.log(share / (1 - share)), np.log(1 / share - 1)], rtol=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_output_gets_the_constant_for_the_columns_that_the_network_has(n_outputs):
    criterion, rows, module = of_classes(), make_rows(), Recording(n_outputs)
    criterion.adjust(torch.tensor([0.0, 2.0]))
    prepare(module, criterion, rows, (1, 2), adapt=True)
    (constant,) = module.called("adapt_output")
    assert constant.shape == (n_outputs,)
    assert_array_equal(constant, criterion.constant(rows.y, rows.row_weight, n_outputs))
    odds = constant[0] if n_outputs == 1 else constant[1] - constant[0]
    assert odds < -1


def test_several_quantiles_of_several_targets_have_a_constant_each():
    target = np.stack([np.arange(N), 100 - np.arange(N)], axis=1).astype(float)
    module = MLP(3, 4, hidden_sizes=())
    prepare(
        module, of_numbers("quantile", quantile=[0.1, 0.9]), make_rows(target), (4,), adapt=True
    )
    bias = module.output.bias.detach()
    assert bias[0] < bias[1] < bias[2] < bias[3]
    assert set(bias.tolist()) <= set(target.ravel())
    assert_allclose(module.shift, np.average(X[INDEX], axis=0, weights=WEIGHT), rtol=1e-5)


def test_a_network_trained_before_is_tried_and_keeps_what_it_has():
    module = Recording()
    state = copy_of_state(module)
    prepare(module.eval(), of_classes(), make_rows(), (1,), adapt=False)
    assert [name for name, *_ in module.calls] == ["forward"]
    assert module.training
    assert_same_tensors(module.state_dict(), state)
    with pytest.raises(ValueError, match=r"raw scores of shape \(n, 3\)"):
        prepare(module, of_classes(), make_rows(), (3,), adapt=False)


def test_networks_without_these_methods_and_attributes_of_their_names_are_fine():
    plain, named = nn.Linear(3, 1), nn.Linear(3, 1)
    named.adapt, named.adapt_input, named.adapt_output = True, 3.5, None
    for module in (plain, named):
        before = module.weight.clone()
        assert prepare(module, of_classes(), make_rows(), (1,), adapt=True) is module
        assert_array_equal(module.weight.detach(), before.detach())


@pytest.mark.parametrize("name", ["adapt", "adapt_input", "adapt_output"])
def test_a_network_may_have_one_of_the_three_methods(name):
    class OfOne(nn.Linear):
        pass

    def keep(self, *given):
        self.given = given

    setattr(OfOne, name, keep)
    module = prepare(OfOne(3, 1), of_numbers(), make_rows(WEIGHT), (1,), adapt=True)
    shapes = {"adapt": [(N, 3), (N,), (N,)], "adapt_input": [(3,), (3,)], "adapt_output": [(1,)]}
    assert [tuple(given.shape) for given in module.given] == shapes[name]
    if name == "adapt_output":
        assert_allclose(module.given[0], [np.average(WEIGHT, weights=WEIGHT)], rtol=1e-6)
        assert module.given[0][0] > 1.01


def test_the_trial_moves_neither_running_statistics_nor_the_random_state():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    before, state = module[1].running_mean.clone(), torch.get_rng_state()
    prepare(module, of_classes(), make_rows(), (1,), adapt=True)
    assert_array_equal(module[1].running_mean, before)
    assert_array_equal(torch.get_rng_state(), state)
    module(torch.from_numpy(X))
    assert not torch.equal(module[1].running_mean, before)  # it would have in training
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_criterion_is_tried_before_the_output_adapts():
    module = Recording()
    with pytest.raises(ValueError, match="one loss per row"):
        prepare(module, RowLoss(lambda o, t: o.sum()), make_rows(), (1,), adapt=True)
    assert [name for name, *_ in module.calls] == ["adapt", "adapt_input", "forward"]


# Shapes


@pytest.mark.parametrize("width", [1, 2, 4, 5, 6])
def test_a_loss_per_column_is_never_taken_for_a_loss_per_row(width):
    y = np.zeros((N, width)) if width > 1 else np.zeros(N)
    averaged = RowLoss(lambda output, target: ((output - target) ** 2).mean(0))
    with pytest.raises(ValueError, match="one loss per row"):
        prepare(nn.Linear(3, width), averaged, make_rows(y), (width,), adapt=True)
    right = RowLoss(lambda output, target: ((output - target) ** 2).mean(1))
    prepare(nn.Linear(3, width), right, make_rows(y), (width,), adapt=True)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_rows_than_a_trial_takes_are_all_tried(n):
    module = Recording()
    prepare(module, of_classes(), make_rows(n=n), (1, 2), adapt=True)
    assert_array_equal(module.called("forward")[0], X[INDEX[:n]])


class Reshaped(nn.Linear):
    """Scores of all rows in another shape."""

    def __init__(self, n_outputs, shape):
        super().__init__(3, n_outputs)
        self.shape = shape

    def forward(self, X):
        return super().forward(X).reshape(len(X), *self.shape)


@pytest.mark.parametrize(
    ("module", "widths", "match"),
    [
        (nn.Linear(3, 3), (1, 2), r"shape \(n, 1\) or \(n, 2\) for .*got \(5, 3\) for 5 rows"),
        (nn.Linear(3, 1), (2,), r"shape \(n, 2\) for this y and criterion, got \(5, 1\)"),
        (nn.Linear(3, 4), (5,), r"shape \(n, 5\) .*got \(4, 4\) for 4 rows"),
        (Reshaped(1, ()), (2,), r"got \(5,\) for 5 rows"),
        (Reshaped(2, (2, 1)), (2,), r"got \(5, 2, 1\)"),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0), nn.Unflatten(0, (1, -1))), (1,), "1, 5"),
        (nn.Sequential(nn.GRU(3, 1)), (1,), "got tuple"),
    ],
)
def test_other_shapes_than_the_problem_has_are_refused(module, widths, match):
    with pytest.raises(ValueError, match=rf"^module {type(module).__name__} must .*{match}"):
        prepare(module, of_classes(), make_rows(), widths, adapt=True)


def test_scores_may_come_without_a_column_where_one_is_wanted():
    module = Reshaped(1, ())
    assert prepare(module, of_classes(), make_rows(), (1, 2), adapt=True) is module
    assert module(torch.from_numpy(X)).shape == (20,)


@pytest.mark.parametrize(("widths", "n_few"), [((1,), 5), ((1, 5), 4)])
def test_a_network_that_fails_says_on_which_shape(widths, n_few):
    match = rf"^module Linear failed on X of shape \({n_few}, 3\): ."
    with pytest.raises(ValueError, match=match) as caught:
        prepare(nn.Linear(4, 1), of_classes(), make_rows(), widths, adapt=True)
    assert isinstance(caught.value.__cause__, RuntimeError)


# A final sigmoid


@pytest.mark.parametrize(
    ("last", "n_outputs"), [(nn.Sigmoid(), 1), (nn.Softmax(dim=1), 2), (nn.Sigmoid(), 2)]
)
def test_a_network_that_ends_with_probabilities_is_warned_of(last, n_outputs):
    module = nn.Sequential(nn.Linear(3, n_outputs), last)
    warned = rf"Sequential ends with {type(last).__name__}, but must return raw scores"
    with pytest.warns(UserWarning, match=warned):
        prepare(module, of_classes(), make_rows(), (1, 2), adapt=True)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(3, 2), nn.LogSoftmax(dim=1)),
        nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 1)),
    ],
)
def test_a_network_of_scores_is_not_warned_of(module):
    assert prepare(module, of_classes(), make_rows(), (1, 2), adapt=True) is module


def test_a_regression_may_end_with_a_sigmoid():
    module = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    assert prepare(module, of_numbers(), make_rows(WEIGHT), (1,), adapt=True) is module
