"""The parameters of an estimator: getting, setting, cloning, and refusing what is wrong.

Names are refused by the constructor and by ``set_params``, and values and names that depend on the
network, the criterion or the optimizer when ``fit`` begins. Values that only the
network, the loss or the device can judge are left to ``test_mlp.py``,
``test_classification.py`` and ``test_arrays.py``.
"""

import copy
import inspect

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.estimators import ALLOWED

X = np.random.default_rng(0).normal(size=(12, 2))
Y = np.arange(12) % 2
ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]
PREFIXED = {
    "module__hidden_sizes": (8,),
    "criterion__whatever": 1,
    "optimizer__weight_decay": 0.1,
}

both = pytest.mark.parametrize("estimator", ESTIMATORS)


# Getting, setting, cloning, printing


@both
def test_parameters_are_those_of_the_signature_and_the_prefixed_ones(estimator):
    names = {n for n in inspect.signature(estimator).parameters if "__" not in n} - {"params"}
    assert {"module", "criterion", "lr", "random_state"} < names
    assert set(estimator().get_params(deep=False)) == names
    params = estimator(lr=0.5, **PREFIXED).get_params(deep=False)
    assert set(params) == names | set(PREFIXED)
    assert params["lr"] == 0.5
    assert params.items() >= PREFIXED.items()


@both
def test_the_constructor_stores_what_it_gets_unchanged_and_unchecked(estimator):
    for name, parameter in inspect.signature(estimator).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            value = object()
            assert estimator(**{name: value}).get_params()[name] is value
    assert estimator(optimizer__no_such=1).get_params()["optimizer__no_such"] == 1


@both
def test_set_params_takes_plain_names_and_new_prefixed_ones(estimator):
    model = estimator(module__hidden_sizes=(8,))
    assert model.set_params(lr=0.5, module__hidden_sizes=(4,), module__dropout=0.1) is model
    assert model.lr == 0.5
    assert model.get_params()["module__hidden_sizes"] == (4,)
    assert model.get_params()["module__dropout"] == 0.1
    assert model.set_params() is model


@both
@pytest.mark.parametrize("name", ["foo", "learning_rate", "modul__dropout"])
def test_set_params_refuses_other_names_and_changes_nothing(estimator, name):
    model = estimator(**PREFIXED)
    before = model.get_params()
    with pytest.raises(ValueError, match="parameter"):
        model.set_params(**{"module__dropout": 0.1, name: 1})
    assert model.get_params() == before


@both
@pytest.mark.parametrize("duplicate", [clone, copy.copy, copy.deepcopy])
def test_setting_a_parameter_of_a_copy_leaves_the_original_alone(estimator, duplicate):
    model = estimator(lr=0.5, **PREFIXED)
    twin = duplicate(model)
    assert type(twin) is estimator
    assert twin is not model
    assert twin.get_params() == model.get_params()
    twin.set_params(module__hidden_sizes=(1,), optimizer__eps=1e-3)
    assert model.get_params()["module__hidden_sizes"] == (8,)
    assert "optimizer__eps" not in model.get_params()


@both
def test_a_clone_has_a_network_of_its_own(estimator):
    network = nn.Linear(2, 1)
    twin = clone(estimator(module=network))
    assert twin.module is not network
    assert_array_equal(twin.module.weight.detach(), network.weight.detach())


@both
def test_the_printed_form_shows_what_differs_from_the_defaults(estimator):
    assert repr(estimator()) == f"{estimator.__name__}()"
    model = estimator(lr=0.5, batch_size="auto", module__hidden_sizes=(8,))
    assert repr(model) == f"{estimator.__name__}(lr=0.5, module__hidden_sizes=(8,))"


def test_a_grid_search_reaches_prefixed_parameters():
    grid = {"module__hidden_sizes": [(), (3,)], "module__activation": ["tanh"], "lr": [0.1]}
    search = GridSearchCV(WeightedTorchClassifier(max_epochs=1, random_state=0), grid, cv=2)
    search.fit(X, Y)
    assert len(search.cv_results_["params"]) == 2
    sizes = search.best_params_["module__hidden_sizes"]
    assert len(search.best_estimator_.module_.hidden) == 2 * len(sizes)


# Names


@both
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("batchsize", "'batch_size'"),
        ("max_epoch", "'max_epochs'"),
        ("learnin_rate", None),
        ("dropout", "'module__dropout'"),
        ("clip", "'module__clip'"),
        ("n_bins", "'module__n_bins'"),
        ("hidden_layer_sizes", "'module__hidden_sizes'"),
        ("moduel", "'module'"),
        ("module_", "'module'|'module__'"),
        ("early_stoping", "'early_stopping'"),
        ("xyz", None),
        ("optimiser__weight_decay", "'optimizer__weight_decay'"),
        ("module__", "'module'|'module__dropout'"),
    ],
)
def test_unknown_names_are_refused_by_the_constructor_with_the_nearest(estimator, name, near):
    """As by the constructors of scikit-learn, with a TypeError."""
    hint = rf"Did you mean ({near})\? " if near else ""
    message = rf"^{hint}Unknown parameter '{name}' of {estimator.__name__}: expected one of .*\]\.$"
    with pytest.raises(TypeError, match=message):
        estimator(**{name: 1})
    kind = type("Sub", (estimator,), {})
    with pytest.raises(TypeError, match=f"'{name}' of Sub"):
        kind(**{name: 1})


@both
@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("sample_weight", "sample_weight to fit"),  # not sample_weight_power
        ("weights", "sample_weight to fit"),  # not weighting
        ("eval_set", "X_val and y_val to fit"),
        ("groups", "groups to fit"),
        ("exposure", r"offset \(the logarithm of the exposure\) to fit"),
        ("n_jobs", "n_jobs to a search, or call torch.set_num_threads"),  # not module__n_bins
    ],
)
def test_what_belongs_elsewhere_is_refused_with_where(estimator, name, instead):
    message = rf"^Unknown parameter '{name}' of {estimator.__name__}: pass {instead}\.$"
    with pytest.raises(TypeError, match=message):
        estimator(**{name: 1})
    with pytest.raises(ValueError, match=message):
        estimator().set_params(**{name: 1})


@pytest.mark.parametrize(
    ("estimator", "name", "near"),
    [
        (WeightedTorchClassifier, "seed", "random_state"),
        (WeightedTorchClassifier, "patience", "n_iter_no_change"),
        (WeightedTorchRegressor, "l2", "optimizer__weight_decay"),
        (WeightedTorchRegressor, "quantile", "criterion__quantile"),
        (WeightedTorchClassifier, "quantile", None),  # it said criterion__alpha
    ],
)
def test_names_of_other_libraries_are_known_where_there_is_such_a_parameter(estimator, name, near):
    hint = f"Did you mean '{near}'\\? " if near else ""
    with pytest.raises(TypeError, match=f"^{hint}Unknown parameter '{name}'"):
        estimator(**{name: 1})


@both
@pytest.mark.parametrize(
    ("name", "shown"), [("adam", "Adam"), ("SGD", "SGD"), ("rmsprop", "RMSprop"), ("best", None)]
)
def test_the_name_of_an_optimizer_is_refused_with_the_class(estimator, name, shown):
    example = rf", such as torch\.optim\.{shown}" if shown else ""
    match = f"^optimizer must be None or a torch.optim.Optimizer class{example}, got '{name}'"
    with pytest.raises(ValueError, match=match):
        estimator(optimizer=name).fit(X, Y)


@both
def test_the_name_of_the_further_parameters_is_refused_at_fit(estimator):
    """scikit-learn's checks pass every name of the signature, and want no error before ``fit``."""
    model = clone(estimator(params={"lr": 0.1}))
    with pytest.raises(ValueError, match=r"Unknown parameter 'params' of"):
        model.fit(X, Y)


@both
@pytest.mark.parametrize("name", ["module__hidden_size", "criterion__no_such", "optimizer__decay"])
def test_names_of_parts_are_known_only_in_fit_and_refused_before_data_are_read(estimator, name):
    """Until then ``set_params`` may choose a part that has them, and a clone is made meanwhile."""
    model = clone(estimator(**{name: 1}))
    with pytest.raises(ValueError, match=f"Unknown parameter {name}: "):
        model.fit("no X", "no y")

    class Further(nn.Linear):
        def __init__(self, n_features, n_outputs, hidden_size):
            super().__init__(n_features, n_outputs)

    chosen = {
        "module": Further,
        "criterion": lambda output, target, no_such: (output.flatten() - target.flatten()) ** 2,
        "optimizer": lambda params, lr, decay: torch.optim.SGD(params, lr),
    }
    part = name.partition("__")[0]
    fitted = clone(model).set_params(**{part: chosen[part]}, max_epochs=1, n_members=1).fit(X, Y)
    assert fitted.n_iter_ == 1


@both
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("module__hidden_size", r"^Did you mean 'module__hidden_sizes'\? .* module__hidden_size: "),
        ("criterion__scale", r"criterion__scale"),
        ("optimizer__weight_decy", r"optimizer__weight_decay'\? .*optimizer__weight_decy"),
    ],
)
def test_unknown_prefixed_names_are_refused_at_fit_with_the_nearest(estimator, name, message):
    with pytest.raises((TypeError, ValueError), match=message):
        estimator(max_epochs=1, **{name: 0.1}).fit(X, Y)


@pytest.mark.parametrize(
    ("estimator", "params", "message"),
    [
        (
            WeightedTorchClassifier,
            {"criterion__label_smothing": 0.1},
            r"^Did you mean 'criterion__label_smoothing'.* takes \['label_smoothing'\]\.$",
        ),
        (
            WeightedTorchClassifier,
            {"criterion": "focal", "criterion__label_smoothing": 0.1},
            r"criterion__label_smoothing: criterion Focal takes \['gamma'\]\.$",
        ),
        (
            WeightedTorchRegressor,
            {"criterion": "quantile", "criterion__quantiles": [0.1, 0.9]},
            r"^Did you mean 'criterion__quantile'\?.*Quantile takes \['quantile'\]\.$",
        ),
    ],
)
def test_a_criterion_by_name_says_which_parameters_it_takes(estimator, params, message):
    with pytest.raises(ValueError, match=message):
        estimator(max_epochs=1, **params).fit(X, Y)


@pytest.mark.parametrize(
    "params", [{"class_weight": "balanced"}, {"logit_adjustment": 1.0}, {"correct_prior": True}]
)
def test_what_is_about_classes_is_no_parameter_of_the_regressor(params):
    (name,) = params
    assert name in WeightedTorchClassifier().get_params()
    message = rf"Unknown parameter '{name}' of WeightedTorchRegressor"
    with pytest.raises(TypeError, match=message):
        WeightedTorchRegressor(**params)


# Values

NAN, INF = float("nan"), float("inf")
BAD = {
    "categorical_features": ["all", "", 3, True, 1.5, b"x", {"a": 1}],
    "class_weight_power": [-1, NAN, INF, "1", None],
    "sample_weight_power": [-0.5, NAN, INF, "1", None],
    "logit_adjustment": [-0.5, NAN, INF, "1", None, True, [1.0]],
    "weighting": ["losses", "Sampling", "", None, True, ["loss"], b"loss"],
    "correct_prior": [1, 0, "yes", None],
    "match_mean": [1, 0, "yes", None, "auto"],
    "optimizer": ["adam", 3, torch.optim.SGD([torch.zeros(1)], lr=0.1)],
    "lr": [0, -0.1, NAN, INF, "0.1", None, np.float32(-1)],
    "batch_size": [0, -2, 32.0, "all", None, np.int64(0)],
    "max_epochs": [0, -1, 3.0, "many", None],
    "early_stopping": [1, 0, "yes", None],
    "ema_decay": [1, 1.0, -0.1, True, NAN, "0.9", None],
    "n_members": [0, -1, 1.5, "many", True, None, NAN],
    "validation_fraction": [0, 1, 0.0, 1.0, -0.1, NAN, "0.1", None],
    "n_iter_no_change": [0, -1, 2.0, "5", None],
    "tol": [-1e-9, NAN, INF, "0", None],
    "compile": [1, "yes", None],
    "warm_start": [0, "no", None],
    "callbacks": ["EarlyStopping", 3, {"a": 1}],
    "random_state": [-1, 2**32, 1.5, "0", True, [1], np.random.default_rng(0)],
    "verbose": [-1, 1.5, "1", None],
}
GOOD = {
    "categorical_features": ["from_dtype", None, [], np.str_("from_dtype")],
    "class_weight_power": [0, 0.5, np.float32(0.5), np.int64(2)],
    "sample_weight_power": [0, 1, np.float64(0.5)],
    "logit_adjustment": [0, 1.5, np.float32(0.5), np.int64(1)],
    "weighting": ["loss", "sampling", np.str_("sampling")],
    "correct_prior": [True, False, np.True_],
    "match_mean": [True, False, np.True_],
    "optimizer": [None, torch.optim.SGD, lambda params, lr: torch.optim.SGD(params, lr)],
    "lr": [1, 1e-3, np.float32(0.1), np.int64(1)],
    "batch_size": [1, -1, np.int64(32), np.uint8(200)],
    "max_epochs": ["auto", 1, np.int32(2), np.str_("auto")],
    "early_stopping": [True, False, np.True_],
    "ema_decay": [0, 0.99, np.float32(0.5), "auto"],
    "n_members": [1, np.int64(2), "auto"],
    "validation_fraction": [0.5, np.float32(0.1)],
    "n_iter_no_change": [1, np.int64(5)],
    "tol": [0, 1e-4, np.float64(0)],
    "compile": [False, True, np.False_],
    "warm_start": [True, np.False_],
    "callbacks": [None, [], ()],
    "random_state": [None, 0, 2**32 - 1, np.int64(3), np.random.RandomState(0)],
    "verbose": [0, 2, True, np.int64(1)],
}


def takes(estimator, name):
    return name in inspect.signature(estimator).parameters


def cases(values):
    return [
        pytest.param(estimator, name, value, id=f"{estimator.__name__}-{name}={value!r:.20}")
        for estimator in ESTIMATORS
        for name, several in values.items()
        for value in several
        if takes(estimator, name)
    ]


@pytest.mark.parametrize(
    ("given", "end"),
    [
        ("city", "of columns, such as ['city'], got 'city'."),
        ("the city", "of columns, such as ['the city'], got 'the city'."),
        (3, "of columns, such as [3], got 3."),
        ("from_dtypes", "of columns, got 'from_dtypes'."),
        (True, "of columns, got True."),
    ],
)
@both
def test_a_single_column_of_categories_is_told_to_be_a_list(estimator, given, end):
    with pytest.raises(ValueError, match=r"^categorical_features must be") as caught:
        estimator(categorical_features=given).fit(X, Y)
    assert str(caught.value).endswith(end)


def test_every_checked_parameter_has_good_and_bad_values_here():
    assert set(BAD) == set(GOOD) == set(ALLOWED)
    assert all(takes(WeightedTorchClassifier, name) for name in ALLOWED)


@pytest.mark.parametrize(("estimator", "name", "value"), cases(BAD))
def test_a_value_out_of_range_is_refused_by_name_and_value(estimator, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got ") as caught:
        estimator(**{name: value}).fit(X, Y)
    assert str(caught.value).endswith(f", got {value!r}.")


@pytest.mark.parametrize(("estimator", "name", "value"), cases(GOOD))
def test_values_of_python_and_numpy_are_accepted(estimator, name, value):
    estimator(**{name: value})._check_params()


@pytest.mark.parametrize(
    "params",
    [
        {"batch_size": np.int64(4), "max_epochs": np.int64(2), "verbose": np.int64(0)},
        {"lr": np.float32(0.01), "tol": np.float32(0.1), "validation_fraction": np.float32(0.2)},
        {"early_stopping": np.True_, "warm_start": np.False_, "n_iter_no_change": np.int64(1)},
        {"weighting": np.str_("sampling"), "sample_weight_power": np.float32(0.5)},
    ],
)
@both
def test_a_fit_runs_with_numpy_values(estimator, params):
    model = estimator(**{"max_epochs": 2, "random_state": np.int64(0), **params}).fit(X, Y)
    assert 1 <= model.n_iter_ <= 2


@both
def test_a_refused_fit_leaves_the_estimator_unfitted(estimator):
    model = estimator(lr=-1)
    with pytest.raises(ValueError, match=r"^lr must"):
        model.fit(X, Y)
    assert not [name for name in vars(model) if name.endswith("_")]
    assert model.set_params(lr=0.1, max_epochs=1).fit(X, Y).n_iter_ == 1
