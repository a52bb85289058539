"""``callbacks__name__param``: the parameters of callbacks in ``set_params`` and in grids."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import StepLR

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X[:, 0]


class Log(Callback):
    """Appends a note to a list of the user's in each fit."""

    def __init__(self, log, note="as given"):
        self.log = log
        self.note = note

    def on_train_begin(self, net, **kwargs):
        self.log.append(self.note)


class Duck:
    def on_epoch_end(self, net, **kwargs):
        pass


def regressor(*callbacks):
    return WeightedTorchRegressor(callbacks=[*callbacks], max_epochs=2, random_state=0)


def names_in_skorch(callbacks):
    """Names of the parameters of callbacks of a skorch net."""
    net = NeuralNetRegressor(nn.Linear(3, 1), callbacks=callbacks).initialize()
    return {name for name in net.get_params() if name.startswith("callbacks__")}


def test_parameters_are_named_as_in_skorch():
    callbacks = [("log", Log([])), Log([]), EarlyStopping(), ("rate", LRScheduler(StepLR)), Log([])]
    model = WeightedTorchRegressor(callbacks=callbacks)
    found = {name for name in model.get_params() if name.startswith("callbacks__")}
    assert found == names_in_skorch(callbacks) - names_in_skorch([])
    assert found >= {"callbacks__Log_1", "callbacks__Log_2__note", "callbacks__rate__policy"}
    assert model.get_params()["callbacks__log"] is callbacks[0][1]
    assert not [name for name in model.get_params(deep=False) if name.startswith("callbacks__")]


@pytest.mark.parametrize("name", ["log", "Log"])
def test_a_parameter_is_set_for_the_next_fit_and_the_callback_of_the_user_is_not_changed(name):
    log = []
    callback = Log(log)
    model = regressor(("log", callback) if name == "log" else callback)
    copied = clone(model)
    params = {f"callbacks__{name}__note": "set"}
    assert model.set_params(**params) is model
    assert model.get_params()[f"callbacks__{name}__note"] == "set"
    model.fit(X, Y)
    copied.fit(X, Y)
    clone(model).fit(X, Y)
    assert log == ["set", "as given", "set"]
    assert callback.note == "as given"
    assert callback.log is log


@pytest.mark.parametrize("search", [GridSearchCV, WeightSearchCV])
@pytest.mark.filterwarnings("ignore:.*candidates were trained one by one")
def test_a_search_tries_parameters_of_callbacks(search):
    log = []
    callback = Log(log)
    pipeline = make_pipeline(StandardScaler(), regressor(("log", callback)))
    name = "weightedtorchregressor__callbacks__log__note"
    search(pipeline, {name: ["a", "b"]}, cv=2, refit=False).fit(X, Y)
    assert sorted(log) == ["a", "a", "b", "b"]
    assert callback.note == "as given"


@pytest.mark.parametrize("search", [GridSearchCV, WeightSearchCV])
def test_a_search_over_a_learning_rate_schedule_gives_what_schedules_of_their_own_give(search):
    rates = [0.01, 0.5]
    model = regressor(("rate", LRScheduler(StepLR, step_size=1, gamma=0.1)))
    found = search(model, {"callbacks__rate__gamma": rates}, cv=2).fit(X, Y)
    grid = [[("rate", LRScheduler(StepLR, step_size=1, gamma=rate))] for rate in rates]
    expected = GridSearchCV(model, {"callbacks": grid}, cv=2).fit(X, Y)
    scores = found.cv_results_["mean_test_score"]
    assert_array_equal(scores, expected.cv_results_["mean_test_score"])
    assert scores[0] != scores[1]


def test_a_callback_is_replaced_left_out_and_set_after_the_list_of_callbacks():
    log = []
    model = regressor(("a", Log(log, "first")), ("b", Log(log, "second")), Duck())
    model.set_params(callbacks__b__note="changed", callbacks__b=Log(log, "other"))
    assert [model.get_params()[f"callbacks__{name}__note"] for name in "ab"] == ["first", "changed"]
    model.set_params(callbacks__a=None, callbacks__Duck=None).fit(X, Y)
    assert log == ["changed"]
    model.set_params(callbacks__c__note="new", callbacks=[("c", Log(log))]).fit(X, Y)
    assert log == ["changed", "new"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"callbacks__lok__note": 1},
            r"callbacks \['log', 'Duck'\], got 'lok'. Did you mean 'log'",
        ),
        ({"callbacks__Duck__note": 1}, "callbacks__Duck__note needs a callback with a method set_"),
        ({"callbacks__log__nope": 1}, "Invalid parameter 'nope' for estimator"),
        ({"callbacks__log__nope": 1, "callbacks": None}, r"one of the callbacks \[\], got 'log'"),
    ],
)
def test_names_that_do_not_exist_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        regressor(("log", Log([])), Duck()).set_params(**params)


def test_the_constructor_refuses_them_and_says_where_they_go():
    with pytest.raises(TypeError, match=r"'callbacks__log__note'.* pass it to set_params"):
        WeightedTorchRegressor(callbacks=[("log", Log([]))], callbacks__log__note="a")


@pytest.mark.parametrize(
    "item", [("a", Duck(), 3), (1, Duck()), ("a",), ()], ids=["3", "number", "1", "0"]
)
def test_a_tuple_that_is_no_name_and_callback_is_refused_by_fit_alone(item):
    model = clone(WeightedTorchRegressor(callbacks=[item]))
    assert model.get_params()["callbacks"] == [item]
    with pytest.raises(ValueError, match=r"callbacks must be .* or \(name, callback\) pairs, got"):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "params",
    [
        {"lr__policy": 1},
        {"early_stopping__patience": 3},
        {"class_weight__yes": 2.0},
        {"optimizer": None, "verbose__level": 1},
    ],
)
def test_parameters_that_have_no_parameters_of_their_own_are_named(params):
    name = [*params][-1]
    with pytest.raises(ValueError, match=f"Unknown parameter '{name}' of WeightedTorchClassifier"):
        WeightedTorchClassifier().set_params(**params)
    with pytest.raises(ValueError, match=f"Unknown parameter '{name}' of WeightedTorchClassifier"):
        wrapped = FrozenNames(WeightedTorchClassifier())
        wrapped.set_params(**{f"estimator__{key}": value for key, value in params.items()})


class FrozenNames(BaseEstimator):
    """Holds an estimator."""

    def __init__(self, estimator):
        self.estimator = estimator


class WithPart(WeightedTorchClassifier):
    """Has a parameter with parameters of its own."""

    def __init__(self, part=None, **params):
        super().__init__(**params)
        self.part = part


def test_parameters_of_a_part_of_ones_own_are_set():
    model = WithPart(part=StandardScaler()).set_params(part__with_mean=False)
    assert model.part.with_mean is False
    assert WithPart().set_params(part=StandardScaler(), part__with_std=False).part.with_std is False
