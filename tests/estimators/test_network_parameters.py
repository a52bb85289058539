"""The parameters of the default network and of named criteria: where they are shown, and as what.

They are in the signature and in ``get_params``, with the defaults that the network itself has. What
the user did not set is shown only: it is never passed on to a network of the user's own.
"""

import copy
import inspect
import pickle
import re
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV
from skweight.estimators import Weighting
from skweight.losses import (
    CLASSIFIER_CRITERIA,
    REGRESSOR_CRITERIA,
    ClassifierCriterion,
    RegressorCriterion,
)
from skweight.modules import MLP, Activation

X = np.random.default_rng(0).normal(size=(40, 2))
Y = np.arange(40) % 2
ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]
CRITERIA = {
    WeightedTorchClassifier: CLASSIFIER_CRITERIA,
    WeightedTorchRegressor: REGRESSOR_CRITERIA,
}
HAS_TABLES = parse_version(sklearn.__version__) >= parse_version("1.7")

both = pytest.mark.parametrize("estimator", ESTIMATORS)


class Own(nn.Module):
    """A network whose parameters are called like those of the default one, with other defaults."""

    def __init__(self, n_features, n_outputs, hidden_sizes=(3,), width=5):
        super().__init__()
        sizes = [n_features, *hidden_sizes, width]
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))
        self.output = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.output(self.layers(X))


def defaults_of(function, prefix):
    """Parameters with defaults, by their names in an estimator."""
    parameters = inspect.signature(function).parameters.values()
    has_default = [p for p in parameters if p.default is not p.empty]
    return {f"{prefix}__{p.name}": p.default for p in has_default}


def of_criterion(model):
    return {k: v for k, v in model.get_params().items() if k.startswith("criterion__")}


# --------------------------------------------------------------------------------------
# In the signature and in the docstring
# --------------------------------------------------------------------------------------


def written_signature(estimator):
    """That of the source, which type checkers and editors read."""
    return inspect.signature(estimator.__init__.__wrapped__)


@both
def test_the_constructor_has_the_parameters_of_the_network_and_of_all_named_criteria(estimator):
    written = written_signature(estimator).parameters
    written = {n: p.default for n, p in written.items() if "__" in n}
    expected = defaults_of(MLP, "module")
    for criterion in CRITERIA[estimator].values():
        of_one = defaults_of(criterion, "criterion")
        assert not expected.keys() & of_one.keys()
        expected |= of_one
    assert written == expected
    assert len(written) >= 12


@both
def test_help_shows_the_parameters_of_a_new_estimator_with_their_defaults(estimator):
    signature = inspect.signature(estimator)
    shown = {n: p.default for n, p in signature.parameters.items() if n != "params"}
    assert shown == estimator().get_params()
    assert [*shown][:3] == ["module", "module__hidden_sizes", "module__activation"]
    assert str(signature).startswith("(module=None, *, module__hidden_sizes=(64, 64), module__act")
    assert signature == inspect.signature(type("Sub", (estimator,), {}))


@both
def test_a_constructor_of_ones_own_has_a_signature_of_its_own(estimator):
    def init(self, lr=0.1, module__dropout=0.5, **params):
        estimator.__init__(self, lr=lr, module__dropout=module__dropout, **params)

    sub = type("Sub", (estimator,), {"__init__": init})
    assert [*inspect.signature(sub).parameters] == ["lr", "module__dropout", "params"]
    model = clone(sub(module__hidden_sizes=(7,)))
    assert model.get_params(deep=False) == {
        "lr": 0.1,
        "module__dropout": 0.5,
        "module__hidden_sizes": (7,),
    }
    assert repr(model) == "Sub(module__hidden_sizes=(7,))"


@both
def test_the_first_lines_of_the_docstring_name_the_parameters_of_the_network(estimator):
    _, _, after_summary = inspect.getdoc(estimator).partition("\n")
    first = "\n".join(after_summary.strip().splitlines()[:25])
    for name in ("hidden_sizes", "activation", "dropout", "n_bins"):
        assert f"\nmodule__{name} : " in first


@both
def test_the_docstring_has_the_parameters_of_the_signature_in_its_order_with_defaults(
    estimator,
):
    section = inspect.getdoc(estimator).partition("\nParameters\n---")[2].partition("\n---")[0]
    documented = re.findall(r"^(\*{0,2}\w+)(?: :.*?default=(.*))?$", section, flags=re.MULTILINE)
    expected = [
        ("**params", "")
        if p.kind is p.VAR_KEYWORD
        else (name, f'"{p.default}"' if isinstance(p.default, str) else str(p.default))
        for name, p in [*written_signature(estimator).parameters.items()][1:]
    ]
    found = [(name, "0.0001" if default == "1e-4" else default) for name, default in documented]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("names", "param"),
    [
        (get_args(Activation), "module__activation"),
        (get_args(ClassifierCriterion), "criterion"),
        (get_args(RegressorCriterion), "criterion"),
        (get_args(Weighting), "weighting"),
    ],
)
def test_the_names_that_type_checkers_know_are_those_that_fit_accepts(names, param):
    of_regressor = names == get_args(RegressorCriterion)
    estimator = WeightedTorchRegressor if of_regressor else WeightedTorchClassifier
    for name in names:
        assert estimator(**{param: name}, max_epochs=1, n_members=1).fit(X, Y + 1).n_iter_ == 1
    quoted = ", ".join(f"['\"]{name}['\"]" for name in names)
    with pytest.raises(ValueError, match=rf"^{param} must be one of \[{quoted}\]"):
        estimator(**{param: "no such"}).fit(X, Y)


# --------------------------------------------------------------------------------------
# In get_params
# --------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("module", [None, MLP])
def test_parameters_of_the_default_network_are_listed_with_their_defaults(estimator, module):
    model = estimator(module, module__dropout=0.3, module__hidden_sizes=(8,))
    expected = defaults_of(MLP, "module") | {
        "module__dropout": 0.3,
        "module__hidden_sizes": (8,),
    }
    assert model.get_params().items() >= expected.items()
    shallow = {k: v for k, v in model.get_params(deep=False).items() if "__" in k}
    assert shallow == {"module__dropout": 0.3, "module__hidden_sizes": (8,)}


@both
def test_those_of_the_criterion_that_is_named_are_listed_and_no_others(estimator):
    for name, criterion in CRITERIA[estimator].items():
        expected = defaults_of(criterion, "criterion")
        assert of_criterion(estimator(criterion=name)) == expected
    default = next(iter(CRITERIA[estimator]))
    assert of_criterion(estimator()) == of_criterion(estimator(criterion=default))
    for other in (nn.MSELoss, lambda output, target: output, "no such", 3, ["huber"], np.ones(2)):
        assert of_criterion(estimator(criterion=other)) == {}


@both
@pytest.mark.parametrize(
    "module",
    [Own, nn.Linear(2, 1), lambda n, m: nn.Linear(n, m), 3, np.ones(2)],
    ids=["class", "instance", "function", "number", "array"],
)
def test_other_networks_list_only_what_was_set(estimator, module):
    params = estimator(module, module__width=3).get_params()
    assert [name for name in params if name.startswith("module__")] == ["module__width"]


@both
def test_what_is_listed_can_be_set_again_and_is_then_the_same_model(estimator):
    model = estimator(max_epochs=2, n_members=1, random_state=0, module__dropout=0.1)
    twins = [
        estimator(**model.get_params()),
        clone(model).set_params(**model.get_params()),
        clone(model),
    ]
    expected = model.fit(X, Y).predict_members(X)
    for twin in twins:
        assert twin.get_params() == model.get_params()
        assert repr(twin) == repr(model)
        np.testing.assert_array_equal(twin.fit(X, Y).predict_members(X), expected)


# --------------------------------------------------------------------------------------
# What is listed is not set
# --------------------------------------------------------------------------------------

COPIES = [
    clone,
    copy.deepcopy,
    copy.copy,
    lambda model: pickle.loads(pickle.dumps(model)),
    lambda model: clone(Pipeline([("clf", model)]))["clf"],
    lambda model: clone(GridSearchCV(model, {})).estimator,
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("name", "value"),
    [("module__dropout", 0.25), ("criterion__delta", 2.0), ("optimizer__weight_decay", 0.1)],
)
def test_parameters_of_parts_are_read_and_set_as_attributes_too(estimator, name, value):
    one, other = estimator(), clone(estimator().set_params(**{name: value}))
    if name == "module__dropout":
        assert one.module__dropout == 0.0
    else:
        with pytest.raises(AttributeError, match=name):
            getattr(one, name)
    setattr(one, name, value)
    assert one.get_params() == other.get_params()
    assert getattr(other, name) == getattr(pickle.loads(pickle.dumps(one)), name) == value
    assert name not in vars(one)


@both
@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_takes_another_network_which_keeps_its_own_defaults(estimator, copied):
    model = copied(estimator(max_epochs=1, n_members=1)).set_params(module=Own)
    layers = model.fit(X, Y).module_.layers
    assert [layer.out_features for layer in layers] == [3, 5]
    model = copied(estimator(max_epochs=1, n_members=1, module__hidden_sizes=(64, 64)))
    layers = model.set_params(module=Own).fit(X, Y).module_.layers
    assert [layer.out_features for layer in layers] == [64, 64, 5]


@both
def test_a_copy_takes_another_criterion(estimator):
    first, second = ("focal", "poly_tailed") if estimator is ESTIMATORS[0] else ("huber", "tweedie")
    model = clone(estimator(criterion=first, max_epochs=1, n_members=1))
    assert clone(model.set_params(criterion=second)).fit(X, Y).n_iter_ == 1


# --------------------------------------------------------------------------------------
# As text and as a table
# --------------------------------------------------------------------------------------


@both
def test_the_printed_form_shows_what_was_set(estimator):
    name = estimator.__name__
    assert repr(estimator()) == repr(clone(estimator())) == f"{name}()"
    assert repr(estimator(module__dropout=0.0)) == f"{name}()"  # as for every other parameter
    model = estimator(module__hidden_sizes=(8,), optimizer__eps=1e-6)
    assert repr(model) == f"{name}(module__hidden_sizes=(8,), optimizer__eps=1e-06)"
    with sklearn.config_context(print_changed_only=False):
        assert "dropout" not in repr(model)
        assert "module__hidden_sizes=(8,)" in repr(model)


def rows_of_table(html):
    """Names of parameters in the tables of a HTML repr, by whether they are marked as set."""
    rows = re.findall(r'<tr class="([\w-]+)">(.*?)</tr>', html, flags=re.DOTALL)
    names = [(kind, re.search(r"copyToClipboard\('(\w+)'", row)[1]) for kind, row in rows]
    return {kind: [n for k, n in names if k == kind] for kind in ("user-set", "default")}


@pytest.mark.skipif(not HAS_TABLES, reason="scikit-learn 1.6 shows the printed form")
@both
def test_the_table_of_a_notebook_marks_what_was_set_and_shows_the_rest(estimator):
    model = estimator(lr=0.5, module__dropout=0.1, optimizer__eps=1e-6)
    for shown in (model, Pipeline([("scale", StandardScaler()), ("clf", model)])):
        html = estimator_html_repr(shown)
        rows = rows_of_table(html[html.index("WeightedTorch") :])
        assert {"lr", "module__dropout", "optimizer__eps"} <= {*rows["user-set"]}
        assert {"module__hidden_sizes", "module__n_bins", "batch_size"} <= {*rows["default"]}
        assert not {*rows["user-set"]} & {*rows["default"]}
    rows = rows_of_table(estimator_html_repr(model))
    assert {*rows["user-set"], *rows["default"]} == {*model.get_params()}


@pytest.mark.skipif(not HAS_TABLES, reason="scikit-learn 1.6 shows the printed form")
@both
def test_a_default_of_a_criterion_that_was_named_is_not_marked(estimator):
    name, param = ("focal", "gamma") if estimator is ESTIMATORS[0] else ("huber", "delta")
    rows = rows_of_table(estimator_html_repr(estimator(criterion=name)))
    assert rows["user-set"] == ["criterion"]
    assert f"criterion__{param}" in rows["default"]
    model = estimator(criterion=name, **{f"criterion__{param}": 3.0})
    rows = rows_of_table(estimator_html_repr(model))
    assert rows["user-set"] == ["criterion", f"criterion__{param}"]


@pytest.mark.skipif(not HAS_TABLES, reason="scikit-learn 1.6 shows the printed form")
@both
def test_the_table_shows_the_sizes_of_all_hidden_layers(estimator):
    html = estimator_html_repr(estimator(module__hidden_sizes=(128, 64, 32)))
    assert '<td class="value">(128, 64, 32)</td>' in html
    long = estimator_html_repr(estimator(module__hidden_sizes=[100] * 1000))
    assert '<td class="value">[100, 100, 10...100, 100, 100]</td>' in long


@pytest.mark.parametrize("n_members", [1, 2])
def test_a_fitted_estimator_has_a_table_too(n_members):
    model = WeightedTorchClassifier(max_epochs=1, n_members=n_members).fit(X, Y)
    html = estimator_html_repr(model)
    assert "Fitted" in html and "max_epochs" in html


# --------------------------------------------------------------------------------------
# In searches and pipelines
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [GridSearchCV, WeightSearchCV])
def test_a_search_finds_the_parameters_of_the_network_in_a_pipeline(search):
    model = WeightedTorchClassifier(max_epochs=2, n_members=1, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", model)])
    grid = {"clf__module__hidden_sizes": [(4,), ()], "clf__criterion__label_smoothing": [0.0, 0.1]}
    assert grid.keys() <= pipeline.get_params().keys()
    found = search(pipeline, grid, cv=2, error_score="raise").fit(X, Y)
    assert len(found.cv_results_["params"]) == 4
    hidden = found.best_estimator_["clf"].module_.hidden
    assert len(hidden) == 2 * len(found.best_params_["clf__module__hidden_sizes"])


def test_candidates_with_other_parameters_of_the_network_are_in_other_stacks():
    """Stacks hold networks of one shape; the scores are those of fits one by one."""
    model = WeightedTorchClassifier(max_epochs=2, n_members=1, random_state=0)
    grid = {
        "module__n_bins": ["auto", 0, 4],
        "criterion__label_smoothing": [0.0, 0.2],
        "class_weight": [None, "balanced"],
    }
    searches = [
        kind(model, grid, cv=2, scoring="neg_log_loss", error_score="raise").fit(X, Y)
        for kind in (GridSearchCV, WeightSearchCV)
    ]
    expected, found = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_array_equal(found, expected)
    assert searches[1].stacked_.all()
    assert len({*expected}) >= 6


def test_a_search_over_networks_of_ones_own_begins_with_the_default_one():
    grid = [{"module": [None]}, {"module": [Own], "module__width": [2, 4]}]
    model = WeightedTorchClassifier(max_epochs=1, n_members=1, random_state=0)
    found = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, Y)
    assert len(found.cv_results_["params"]) == 3
