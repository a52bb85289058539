"""How the network is made of the user's ``module``: with the sizes of the data, or as in skorch."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.modules import build_module


class Sizes(nn.Module):
    """Tells what it was made with."""

    def __init__(self, n_features, n_outputs, width=3):
        super().__init__()
        self.made = n_features, n_outputs, width


class SizesByName(nn.Module):
    def __init__(self, width=3, *, n_features=9, n_outputs=9):
        super().__init__()
        self.made = n_features, n_outputs, width


class OtherNames(nn.Module):
    def __init__(self, inputs, outputs=1, width=3):
        super().__init__()
        self.made = inputs, outputs, width


class OwnSizes(nn.Module):
    """As in skorch: it knows its sizes, and all that it takes has a default."""

    def __init__(self, width=3, dropout=0.5):
        super().__init__()
        self.made = width, dropout


class OnlyKeywords(nn.Module):
    def __init__(self, *, width=3):
        super().__init__()
        self.made = (width,)


class Nothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.made = ()


class Anything(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.made = args, kwargs


def make_without_sizes(width=3):
    return OwnSizes(width)


@pytest.mark.parametrize(
    ("module", "params", "made"),
    [
        (Sizes, {}, (5, 2, 3)),
        (Sizes, {"width": 4}, (5, 2, 4)),
        (partial(Sizes, width=4), {}, (5, 2, 4)),
        (partial(Sizes, width=4), {"width": 5}, (5, 2, 5)),
        (SizesByName, {"width": 4}, (5, 2, 4)),
        (OtherNames, {}, (5, 2, 3)),
        (lambda n_features, n_outputs: Sizes(n_features, n_outputs), {}, (5, 2, 3)),
        (lambda *sizes: Sizes(*sizes), {}, (5, 2, 3)),
        (Anything, {"width": 4}, ((5, 2), {"width": 4})),
        # The user gives the sizes, as in skorch.
        (Sizes, {"n_features": 6, "n_outputs": 1}, (6, 1, 3)),
        (Sizes, {"n_features": 6}, (6, 2, 3)),
        (OtherNames, {"inputs": 6}, (6, 1, 3)),
        (partial(Sizes, n_features=6, n_outputs=1), {}, (6, 1, 3)),
        (partial(SizesByName, n_features=6, n_outputs=1), {}, (6, 1, 3)),
        # It knows its sizes.
        (OwnSizes, {}, (3, 0.5)),
        (OwnSizes, {"width": 4, "dropout": 0.1}, (4, 0.1)),
        (partial(OwnSizes, 4), {}, (4, 0.5)),
        (partial(OwnSizes, dropout=0.1), {"width": 4}, (4, 0.1)),
        (OnlyKeywords, {"width": 4}, (4,)),
        (Nothing, {}, ()),
        (lambda: OwnSizes(4), {}, (4, 0.5)),
        (make_without_sizes, {"width": 4}, (4, 0.5)),
    ],
)
def test_a_module_is_given_the_sizes_unless_it_knows_them(module, params, made):
    assert build_module(module, 5, 2, params).made == made


@pytest.mark.parametrize(
    ("module", "params", "called"),
    [
        (lambda a, b: OwnSizes(a), {"b": 6}, r"module\(b=6\)"),
        (lambda width: OwnSizes(width), {}, r"module\(\)"),
        (lambda a, b, c: OwnSizes(), {}, r"module\(5, 2\)"),
    ],
)
def test_a_module_that_cannot_be_called_says_how_it_was_called(module, params, called):
    with pytest.raises(TypeError, match=rf"could not be called as {called}, .*missing") as caught:
        build_module(module, 5, 2, params)
    assert "lambda n_features, n_outputs: Net(...)" in str(caught.value)


# In a fit

X = np.random.default_rng(0).normal(size=(90, 20))
Y = (X[:, 0] > 0).astype(int)
QUICK = {"max_epochs": 2, "random_state": 0}


class OfSkorch(nn.Module):
    """The kind of module in skorch's tutorials, but for its softmax."""

    def __init__(self, num_units=10, dropout=0.5):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(20, num_units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(num_units, 2)
        )

    def forward(self, X):
        return self.layers(X)


def test_defaults_of_a_module_are_not_overwritten_by_sizes():
    """It had 20 units and dropped all of them."""
    module = WeightedTorchClassifier(OfSkorch, **QUICK).fit(X, Y).module_
    assert module.layers[0].out_features == 10 and module.layers[2].p == 0.5


def test_a_grid_reaches_the_parameters_of_a_module_that_knows_its_sizes():
    search = GridSearchCV(
        WeightedTorchClassifier(OfSkorch, **QUICK), {"module__num_units": [3, 4]}, cv=2
    )
    search.fit(X, Y)
    units = search.best_estimator_.module_.layers[0].out_features
    assert units == search.best_params_["module__num_units"] and units in (3, 4)


def test_a_module_that_knows_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"module OfSkorch failed on X of shape \(5, 7\)"):
        WeightedTorchClassifier(OfSkorch, **QUICK).fit(X[:, :7], Y)
    with pytest.raises(ValueError, match=r"scores of shape \(n, 3\) .* got \(5, 2\)"):
        WeightedTorchClassifier(OfSkorch, **QUICK).fit(X, np.arange(90) % 3)
    with pytest.raises(ValueError, match=r"scores of shape \(n, 1\) .* got \(5, 2\)"):
        WeightedTorchRegressor(OfSkorch, **QUICK).fit(X, X[:, 0])


class EndsWithSoftmax(OfSkorch):
    """As skorch's NeuralNetClassifier wants it by default."""

    def forward(self, X):
        return torch.softmax(self.layers(X), dim=-1)


@pytest.mark.parametrize("criterion", [None, nn.CrossEntropyLoss])
def test_a_module_of_probabilities_is_told_to_leave_out_its_softmax(criterion):
    with pytest.warns(UserWarning, match=r"ends with a softmax.* Leave it out, and let criterion"):
        WeightedTorchClassifier(EndsWithSoftmax, criterion=criterion, **QUICK).fit(X, Y)


@pytest.mark.filterwarnings("ignore:module EndsWithSoftmax ends with")
def test_the_default_loss_of_skorch_is_refused_with_what_to_write():
    model = WeightedTorchClassifier(EndsWithSoftmax, criterion=nn.NLLLoss, **QUICK)
    with pytest.raises(ValueError, match=r"pass nn.CrossEntropyLoss and a module that returns raw"):
        model.fit(X, Y)


class WithLink(nn.Module):
    """With two classes a module is asked for one score, and its last function may be a link."""

    def __init__(self, n_features, n_outputs, link):
        super().__init__()
        self.layer, self.link = nn.Linear(n_features, n_outputs), link

    def forward(self, X):
        return self.link(self.layer(X))


@pytest.mark.parametrize(
    ("link", "name"),
    [
        (partial(torch.softmax, dim=-1), "a softmax"),  # 1 in every row
        (partial(torch.log_softmax, dim=-1), "a log-softmax"),  # 0 in every row
        (nn.LogSoftmax(dim=-1), "LogSoftmax"),
        (torch.sigmoid, "a sigmoid"),
        (lambda scores: torch.sigmoid(scores).squeeze(-1), "a sigmoid"),
        (lambda scores: torch.sigmoid(scores)[:, 0], "a sigmoid"),
    ],
)
def test_links_that_are_no_layers_are_seen_with_a_single_score(link, name):
    """A softmax of one score is the same for all rows: predictions were constant, unwarned."""
    with pytest.warns(UserWarning, match=f"WithLink ends with {name}, but must return raw"):
        WeightedTorchClassifier(WithLink, module__link=link, **QUICK).fit(X, Y)


@pytest.mark.parametrize("target", [np.arange(90) % 3, np.c_[Y, 1 - Y]])
def test_a_sigmoid_that_is_no_layer_is_seen_with_several_scores(target):
    with pytest.warns(UserWarning, match="WithLink ends with a sigmoid, but must return raw"):
        WeightedTorchClassifier(WithLink, module__link=torch.sigmoid, **QUICK).fit(X, target)


@pytest.mark.parametrize(
    ("link", "classes"),
    [
        (nn.Identity(), 2),
        (nn.functional.logsigmoid, 2),  # no probability
        (partial(torch.log_softmax, dim=-1), 3),  # cross entropy changes nothing of it
    ],
)
def test_scores_are_not_taken_for_probabilities(link, classes):
    WeightedTorchClassifier(WithLink, module__link=link, **QUICK).fit(X, np.arange(90) % classes)
