"""What only skorch's nets have is refused by name, with what to use instead."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint, EpochScoring, LoadInitState, TrainEndCheckpoint
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import SliceDataset
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
QUICK = {"max_epochs": 2, "random_state": 0}
ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]
NETS = [NeuralNetClassifier, NeuralNetBinaryClassifier, NeuralNetRegressor]

both = pytest.mark.parametrize("estimator", ESTIMATORS)


# Parameters

WAYS = {
    "iterator_train": "without a DataLoader",
    "iterator_train__batch_size": "pass batch_size",
    "iterator_train__shuffle": "rows are shuffled",
    "iterator_train__drop_last": "every row is used",
    "iterator_train__sampler": 'weighting="sampling"',
    "iterator_train__num_workers": "without a DataLoader",
    "iterator_train_shuffle": "without a DataLoader",
    "iterator_valid": "changes no result",
    "iterator_valid__batch_size": "changes no result",
    "train_split": "early_stopping=True with validation_fraction for ValidSplit, X_val and y_val",
    "train_split__cv": "early_stopping=True",
    "dataset": "pass arrays",
    "dataset__length": "pass arrays",
    "predict_nonlinearity": "a module returns raw scores",
    "classes": "fit finds the labels in y",
    "threshold": "FixedThresholdClassifier",
    "use_caching": "leave it out",
    "torch_load_kwargs": "joblib.dump",
    "compile__mode": "pass compile=True alone",
    "history": "history_",
    "callbacks__print_log": "verbose=0",
    "callbacks__print_log__sink": "verbose=0",
    "callbacks__valid_acc": "an EpochScoring",
    "callbacks__train_loss": "leave it out",
    "callbacks__valid_loss": "leave it out",
    "callbacks__valid_loss__name": "leave it out",
    "callbacks__epoch_timer": "leave it out",
}


@both
@pytest.mark.parametrize("name", WAYS)
def test_a_parameter_of_skorch_says_what_to_write_instead(estimator, name):
    message = rf"^Unknown parameter '{name}' of {estimator.__name__}, which skorch's nets have: .*"
    with pytest.raises(TypeError, match=message + WAYS[name]):
        estimator(**{name: None}, **QUICK)


@both
@pytest.mark.parametrize("name", WAYS)
def test_so_it_does_in_set_params(estimator, name):
    model = estimator(**QUICK)
    if name == "compile__mode":
        return  # a parameter of an estimator called compile, for scikit-learn
    with pytest.raises(ValueError, match=f"skorch's nets have.*: .*{WAYS[name]}"):
        model.set_params(**{name: None})
    assert model.get_params() == estimator(**QUICK).get_params()


@both
def test_every_parameter_of_skorch_s_nets_is_known_here_or_explained(estimator):
    known = estimator().get_params()
    for net in NETS:
        for name in inspect.signature(net).parameters:
            if name not in (*known, "args", "kwargs"):
                assert name in WAYS, name
        for name in net(nn.Linear(3, 1), criterion=nn.MSELoss).initialize().get_params():
            # The last is a slip of skorch's.
            own = name.partition("__")[0] in (
                "module",
                "criterion",
                "optimizer",
                "",
                "_params_to_validate",
            )
            callback = "__".join(name.split("__")[:2])
            assert own or name in known or name in WAYS or callback in WAYS, name


@pytest.mark.parametrize("name", ["criterion__weight", "criterion__pos_weight"])
@pytest.mark.parametrize("criterion", [None, "cross_entropy", "focal"])
def test_class_weights_of_a_criterion_that_has_none_are_refused(name, criterion):
    model = WeightedTorchClassifier(criterion=criterion, **{name: torch.ones(2)}, **QUICK)
    with pytest.raises(ValueError, match=rf"^Unknown parameter '{name}'.*: pass class_weight, "):
        model.fit(X, Y)


def test_class_weights_of_a_loss_of_torch_are_its_own_and_those_of_regressors_unknown():
    WeightedTorchClassifier(
        criterion=nn.CrossEntropyLoss, criterion__weight=torch.ones(2), **QUICK
    ).fit(X, Y)
    with pytest.raises(ValueError, match=r"criterion__weight: criterion SquaredError takes"):
        WeightedTorchRegressor(criterion__weight=torch.ones(2), **QUICK).fit(X, Y)


def test_parameters_that_carry_over_are_taken():
    model = WeightedTorchClassifier(
        nn.Linear(3, 2),
        criterion=nn.CrossEntropyLoss,
        criterion__label_smoothing=0.1,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        optimizer__param_groups=[("bias", {"lr": 0.0})],
        lr=0.01,
        max_epochs=3,
        batch_size=16,
        warm_start=True,
        verbose=0,
        device="cpu",
        compile=False,
        callbacks=[("acc", EpochScoring("accuracy", name="acc", on_train=True))],
    )
    bias = model.module.bias.detach().clone()
    model.set_params(callbacks__acc__lower_is_better=False).fit(X, Y)
    assert torch.equal(model.module_.bias, bias) and model.n_iter_ == 3
    assert not torch.equal(model.module_.weight, model.module.weight)
    assert len(model.history_[:, "acc"]) == 3


# Attributes, and methods of subclasses

ATTRIBUTES = {
    "history": "use history_",
    "criterion_": r"use net_\.criterion_",
    "optimizer_": r"use net_\.optimizer_",
    "callbacks_": r"use net_\.callbacks_",
    "initialize": "fit makes the network",
    "initialized_": "check_is_fitted",
    "save_params": "joblib.dump",
    "load_params": "joblib.dump",
    "forward": "module_",
    "forward_iter": "module_",
    "infer": "module_",
    "evaluation_step": "module_",
    "get_loss": "criterion",
    "train_step": "criterion",
    "get_iterator": "without a DataLoader",
    "on_epoch_end": "Callback",
    "get_all_learnable_params": r"module_\.named_parameters",
    "trim_for_prediction": "joblib.dump",
    "notify": "Callback",
    "check_data": "fit checks X and y",
}


@both
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_of_skorch_says_what_to_use_instead(estimator, name):
    fitted = estimator(n_members=1, **QUICK).fit(X, Y)
    for model in (estimator(), fitted):
        assert not hasattr(model, name)
        message = rf"^{estimator.__name__} has no '{name}' as skorch's nets have: .*"
        with pytest.raises(AttributeError, match=message + ATTRIBUTES[name]):
            getattr(model, name)
    assert hasattr(NeuralNetClassifier(nn.Linear(3, 1)).initialize(), name)


@both
def test_every_method_of_skorch_s_nets_is_known_here_or_explained(estimator):
    model, unknown = estimator(n_members=1, **QUICK).fit(X, Y), []
    methods = {
        name
        for kind in NETS
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
    assert len(methods) > 50
    for name in sorted(methods):
        try:
            getattr(model, name)
        except AttributeError as error:
            unknown += [] if "as skorch's nets have: " in str(error) else [name]
    assert unknown == []


def test_what_the_attributes_are_replaced_by_exists(tmp_path):
    model = WeightedTorchClassifier(nn.Linear(3, 2), **QUICK).fit(X, Y)
    net = model.net_
    assert net.criterion_ is not None and net.optimizer_ is not None and net.callbacks_
    assert model.history_ is net.history
    assert [name for name, _ in model.module_.named_parameters()] == ["weight", "bias"]
    net.save_params(f_params=tmp_path / "params.pt", f_history=tmp_path / "history.json")
    other = WeightedTorchClassifier(nn.Linear(3, 2), **QUICK).fit(X[::-1], Y[::-1] == 0)
    assert not np.allclose(other.predict_proba(X), model.predict_proba(X))
    other.net_.load_params(f_params=tmp_path / "params.pt")
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


@both
def test_other_attributes_have_the_errors_of_python_and_of_properties(estimator):
    model = estimator(n_members=3, **QUICK).fit(X, Y)
    with pytest.raises(AttributeError, match=r"^'\w+' object has no attribute 'histories'$"):
        model.histories
    for name in ("net_", "history_", "module_"):
        with pytest.raises(AttributeError, match="has 3 members: nets_ is a list"):
            getattr(model, name)
    for same in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert not hasattr(clone(model), "nets_")


@both
@pytest.mark.parametrize(
    "name",
    [
        *("get_loss", "train_step_single", "infer", "get_iterator", "on_epoch_end"),
        *("get_params_for_optimizer", "initialize_history", "get_train_step_accumulator"),
    ],
)
def test_a_method_that_skorch_would_call_is_refused_in_a_subclass(estimator, name):
    own = type("Own", (estimator,), {name: lambda self, *args, **kwargs: None})
    with pytest.raises(TypeError, match=rf"^Own\.{name} would never be called: .* Instead, "):
        own(**QUICK).fit(X, Y)


# Data


@both
@pytest.mark.parametrize(
    "data",
    [
        Dataset(X, Y),
        SliceDataset(Dataset(X, Y)),
        TensorDataset(torch.tensor(X), torch.tensor(Y)),
        DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y))),
    ],
    ids=lambda data: type(data).__name__,
)
def test_data_sets_of_torch_are_refused_with_what_to_pass(estimator, data):
    message = rf"X must be an array.*, got {type(data).__name__}: pass what it is made of"
    for y in (None, Y):
        with pytest.raises(TypeError, match=message):
            estimator(**QUICK).fit(data, y)
    fitted = estimator(**QUICK).fit(X, Y)
    with pytest.raises(TypeError, match=message):
        fitted.predict(data)
    with pytest.raises(TypeError, match=message):
        estimator(**QUICK).fit(X, Y, X_val=data, y_val=Y)


def test_what_data_sets_are_made_of_is_taken():
    model = WeightedTorchClassifier(**QUICK)
    expected = model.fit(X, Y).predict_proba(X)
    dataset = Dataset(X, Y)
    tensors = TensorDataset(torch.tensor(X), torch.tensor(Y)).tensors
    sliced = np.asarray(SliceDataset(dataset)), np.asarray(SliceDataset(dataset, idx=1))
    for rows, y in ((dataset.X, dataset.y), tensors, sliced):
        np.testing.assert_array_equal(model.fit(rows, y).predict_proba(rows), expected)


@pytest.mark.parametrize("y", [Y.astype(np.float32), Y.astype(np.int32), torch.tensor(Y), list(Y)])
def test_y_needs_no_dtype_of_its_own(y):
    """skorch wants int64 for CrossEntropyLoss, and float32 for BCEWithLogitsLoss and MSELoss."""
    for module in (nn.Linear(3, 2), nn.Linear(3, 1)):
        model = WeightedTorchClassifier(module, lr=0.1, max_epochs=20, random_state=0)
        assert model.fit(X.astype(float), y).score(X, y) > 0.8
    regressor = WeightedTorchRegressor(**QUICK)
    np.testing.assert_array_equal(
        regressor.fit(X, y).predict(X), regressor.fit(X, Y.astype(float)).predict(X)
    )


# Several members


@pytest.mark.parametrize(
    "callback",
    [Checkpoint(), Checkpoint, ("mine", TrainEndCheckpoint()), LoadInitState(Checkpoint())],
)
def test_members_do_not_share_files(callback):
    """The last one would overwrite the others, or continue with rows that it should not see."""
    with pytest.raises(ValueError, match=r"^callbacks: \w+ must be used with n_members=1, because"):
        WeightedTorchClassifier(callbacks=[callback], n_members=3, **QUICK).fit(X, Y)


def test_callbacks_make_one_network_unless_members_are_asked_for():
    rows = RNG.normal(size=(100, 3))
    log = EpochScoring("accuracy", name="acc", on_train=True)
    assert len(WeightedTorchClassifier(**QUICK).fit(rows, rows[:, 0] > 0).nets_) == 5
    assert len(WeightedTorchClassifier(callbacks=[log], **QUICK).fit(X, Y).nets_) == 1
    several = WeightedTorchClassifier(callbacks=[log], n_members=3, **QUICK).fit(X, Y)
    scores = [net.history[:, "acc"] for net in several.nets_]
    assert len(scores) == 3 and scores[0] != scores[1]


def test_a_split_of_skorch_is_named_in_the_error():
    with pytest.raises(TypeError, match="validation_fraction for ValidSplit"):
        WeightedTorchClassifier(train_split=ValidSplit(5))
