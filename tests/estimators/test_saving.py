"""The state of a fitted estimator: plain values and arrays, and none of the training data."""

import copy
import io
import pickle
import time

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from saved_models import MODELS, X, classifier, fitted, markers_in, regressor
from sklearn.base import clone
from torch import nn

from skweight import WeightedTorchClassifier

OF_TORCH = (torch.Tensor, nn.Module, torch.dtype, torch.device, torch.Generator)


class Look(pickle.Pickler):
    """Looks at every object that a pickle holds."""

    def __init__(self):
        super().__init__(io.BytesIO(), 4)
        self.found = []

    def persistent_id(self, value):
        if isinstance(value, OF_TORCH):
            self.found.append(value)


@pytest.mark.parametrize("name", MODELS)
def test_a_file_holds_nothing_of_torch_and_no_training_data_and_predicts_the_same(name):
    model, predict = fitted(name)
    look = Look()
    look.dump(model)
    assert look.found == []
    content, joblib_file = pickle.dumps(model), io.BytesIO()
    joblib.dump(model, joblib_file)
    # The estimator with replicates keeps the weights of its rows.
    expected_markers = ["sample_weight"] if name == "replicates" else []
    assert markers_in(content) == markers_in(joblib_file.getvalue()) == expected_markers
    expected = predict(model)
    assert expected.std() > 0
    joblib_file.seek(0)
    copies = pickle.loads(content), joblib.load(joblib_file), copy.deepcopy(model), copy.copy(model)
    for other in copies:
        assert_array_equal(predict(other), expected)
    assert repr(copies[0]) == repr(model)
    assert repr(clone(copies[0])) == repr(clone(model))


def test_the_markers_are_found_where_they_are():
    assert markers_in(pickle.dumps(X)) == ["X"]
    assert markers_in(pickle.dumps(X.astype(np.float32))) == ["X"]
    assert markers_in(b"0.731650912 1.2387190") == ["X", "sample_weight"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_works(protocol):
    model, predict = fitted("frame")
    assert_array_equal(predict(pickle.loads(pickle.dumps(model, protocol))), predict(model))


def test_a_memory_mapped_file_is_read_but_not_written(tmp_path):
    model, predict = fitted("partial_fit")
    joblib.dump(model, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model", mmap_mode="r")
    expected = predict(model)
    assert_array_equal(predict(loaded), expected)
    loaded.partial_fit(X, np.where(X[:, 0] > 0, "yes", "no"))
    assert np.abs(predict(loaded) - expected).max() > 0
    assert_array_equal(predict(joblib.load(tmp_path / "model")), expected)


@pytest.mark.parametrize(
    "save", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy]
)
def test_a_copy_is_trained_further_as_the_model_itself(save):
    model, predict = fitted("partial_fit")
    other, labels = save(model), np.where(X[:, 1] > 0, "yes", "no")
    before = predict(model)
    assert_array_equal(predict(other.partial_fit(X, labels)), predict(model.partial_fit(X, labels)))
    assert np.abs(predict(model) - before).max() > 0


def test_parameters_are_the_same_after_loading():
    own = nn.Linear(3, 1)
    params = {
        "module": own,
        "criterion__weight": torch.tensor([1.0, 2.0]),
        "criterion": nn.CrossEntropyLoss,
        "class_weight": {0: 1, "0": 2, None: 3, True: 4},
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": np.float64(0.5),
        "device": torch.device("cpu"),
        "random_state": np.random.RandomState(0),
    }
    loaded = pickle.loads(pickle.dumps(WeightedTorchClassifier(**params))).get_params()
    assert torch.equal(loaded["module"].weight, own.weight) and loaded["module"] is not own
    assert torch.equal(loaded["criterion__weight"], params["criterion__weight"])
    assert loaded["criterion"] is nn.CrossEntropyLoss and loaded["optimizer"] is torch.optim.SGD
    assert [*loaded["class_weight"].items()] == [*params["class_weight"].items()]
    assert loaded["device"] == torch.device("cpu")
    assert loaded["random_state"].randint(1000) == params["random_state"].randint(1000)


def test_a_copy_shares_the_network_and_a_deep_copy_does_not():
    model, _ = fitted("regressor")
    assert copy.copy(model).nets_[0] is model.nets_[0]
    assert copy.deepcopy(model).nets_[0].module_ is not model.nets_[0].module_


@pytest.mark.parametrize("make", [classifier, regressor])
def test_history_and_settings_of_the_net_are_the_same(make):
    model = make(max_epochs=3).fit(X, np.arange(len(X)) % 2)
    loaded = pickle.loads(pickle.dumps(model))
    assert [*loaded.history_] == [*model.history_] and len(loaded.history_) == 3
    kinds = [[type(value) for value in epoch.values()] for epoch in loaded.history_]
    assert kinds == [[type(value) for value in epoch.values()] for epoch in model.history_]
    assert loaded.net_.module is loaded.net_.module_
    assert loaded.net_.criterion is loaded.net_.criterion_
    params = model.net_.get_params(deep=False)
    differs = {
        name
        for name, value in loaded.net_.get_params(deep=False).items()
        if name not in ("callbacks", "module", "criterion", "predict_nonlinearity")
        and value != params[name]
    }
    assert differs == set() and loaded.net_.optimizer is torch.optim.AdamW


def test_a_pickle_is_no_larger_than_its_network():
    model = classifier(module__hidden_sizes=(256, 256)).fit(X, np.arange(len(X)) % 2)
    tensors = [*model.module_.parameters(), *model.module_.buffers()]
    assert len(pickle.dumps(model)) < 1.05 * sum(4 * t.numel() for t in tensors) + 10_000


def test_saving_takes_milliseconds():
    model, _ = fitted("classifier")
    start = time.perf_counter()
    for _ in range(20):
        pickle.loads(pickle.dumps(model))
    assert (time.perf_counter() - start) / 20 < 0.1
