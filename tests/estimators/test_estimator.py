"""What both estimators do for a scikit-learn user: inputs, pipelines, searches, pickles.

Laws of weights are in ``test_weight_laws.py``, bad input in ``test_bad_input.py``, the
training itself in ``test_run.py``.
"""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import assert_same_tensors
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import FeatureWeight, WeightedLinear, WeightedTorchClassifier, WeightedTorchRegressor

QUICK = {
    "max_epochs": 8,
    "batch_size": 64,
    "lr": 0.01,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}


@pytest.fixture(params=["classifier", "regressor"])
def task(request, binary, regression):
    """Estimator class, X, y and weights."""
    if request.param == "classifier":
        return WeightedTorchClassifier, *binary
    return WeightedTorchRegressor, *regression


def outputs(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


# --------------------------------------------------------------------------------------
# Inputs
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: np.asfortranarray(X),
        lambda X: X.tolist(),
        lambda X: torch.tensor(X, requires_grad=True),
        lambda X: pd.DataFrame(X).to_numpy(),
        lambda X: X.astype(np.float32).astype(np.float64),
    ],
    ids=["fortran", "list", "tensor", "frame_values", "float32"],
)
def test_every_container_of_the_same_numbers_gives_the_same_fit(task, convert):
    estimator, X, y, weight = task
    X = X.astype(np.float32).astype(np.float64)
    expected = estimator(**QUICK).fit(X, y, weight).predict(X)
    assert_array_equal(estimator(**QUICK).fit(convert(X), y, weight).predict(convert(X)), expected)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_containers_give_one_fit_and_stay_as_they_were(task, container):
    estimator, X, y, weight = task
    X = np.where(np.abs(X) < 0.5, 0.0, X)
    X_sparse = container(X)
    before = X_sparse.copy()
    model = estimator(**QUICK).fit(X_sparse, y, weight)
    assert_array_equal(X_sparse.toarray(), before.toarray())
    expected = estimator(**QUICK).fit(sparse.csr_matrix(X), y, weight)
    assert_array_equal(model.predict(X_sparse), expected.predict(sparse.csr_matrix(X)))
    np.testing.assert_allclose(outputs(model, X_sparse), outputs(model, X), rtol=1e-5)


@pytest.mark.parametrize(
    "convert",
    [list, pd.Series, lambda w: torch.tensor(w), lambda w: w.astype(np.float32)],
    ids=["list", "series", "tensor", "float32"],
)
def test_weights_may_come_in_any_container_and_are_not_changed(task, convert):
    estimator, X, y, weight = task
    given = convert(weight)
    model = estimator(**QUICK).fit(X, y, sample_weight=given)
    assert_array_equal(np.asarray(given), weight)
    assert_array_equal(model.predict(X), estimator(**QUICK).fit(X, y, weight).predict(X))


def test_feature_names_are_kept_and_checked(task):
    estimator, X, y, _ = task
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    model = estimator(**QUICK).fit(frame, y)
    assert_array_equal(model.feature_names_in_, list("abcdefgh"))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("badcefgh")])


def test_float32_input_gives_the_same_fit_as_its_float64_copy(task):
    estimator, X, y, _ = task
    X = X.astype(np.float32)
    single = estimator(**QUICK).fit(X, y)
    assert_array_equal(single.predict(X), estimator(**QUICK).fit(X.astype(float), y).predict(X))
    assert next(single.module_.parameters()).dtype == torch.float32


@pytest.mark.parametrize("labels", [["0", "1", "10"], ["a", "b", "c"], [-1, 5, 7], [1.0, 2.0, 3.0]])
def test_labels_of_any_dtype_come_back(classes3, labels):
    X, y, weight = classes3
    labels = np.array(labels, dtype=object if "a" in labels else None)
    class_weight = dict(zip(labels.tolist(), [1, 2, 3]))
    model = WeightedTorchClassifier(class_weight=class_weight, **QUICK)
    model.fit(X, labels[y], weight)
    codes = WeightedTorchClassifier(class_weight={0: 1, 1: 2, 2: 3}, **QUICK).fit(X, y, weight)
    assert_array_equal(model.classes_, np.sort(labels))
    assert set(codes.predict(X)) == {0, 1, 2}
    assert_array_equal(model.predict(X), labels[codes.predict(X)])
    assert_array_equal(model.class_weight_, [1, 2, 3])


def test_a_prediction_does_not_depend_on_the_rows_predicted_with_it(task):
    estimator, X, y, _ = task
    model = estimator(**QUICK).fit(X, y)
    together = outputs(model, X)
    one_by_one = np.concatenate([outputs(model, X[i : i + 1]) for i in range(40)])
    assert together.dtype == np.float64
    # The network's float32 output is equal to the bit; sigmoid and softmax in float64 may round.
    np.testing.assert_allclose(one_by_one, together[:40], rtol=1e-14)


def test_probabilities_agree_with_scores_and_labels(classes3, binary):
    for X, y, weight in (classes3, binary):
        model = WeightedTorchClassifier(**QUICK).fit(X, y, weight)
        probability = model.predict_proba(X)
        np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)
        assert_array_equal(model.predict(X), model.classes_[probability.argmax(1)])
        assert_array_equal(model.predict_log_proba(X), np.log(probability))
        scores = model.decision_function(X)
        assert scores.shape == ((len(X),) if len(model.classes_) == 2 else probability.shape)


def test_two_columns_of_scores_are_a_binary_classifier_too(binary):
    X, y, weight = binary
    model = WeightedTorchClassifier(nn.Linear(8, 2), **QUICK).fit(X, y, weight)
    assert model.decision_function(X).shape == (len(X),)
    assert_array_equal(model.predict(X), (model.predict_proba(X)[:, 1] > 0.5).astype(int))
    by_class = WeightedTorchClassifier(criterion=nn.CrossEntropyLoss, **QUICK).fit(X, y, weight)
    assert by_class.module_(torch.zeros(3, 8)).shape == (3, 2)


def test_predictions_are_in_the_units_of_the_target(regression):
    X, y, weight = regression
    # In one batch: another y gives rows another order, and small batches other rows.
    params = QUICK | {"max_epochs": 60, "batch_size": -1, "early_stopping": False}
    params["optimizer__weight_decay"] = 0.01  # more of it makes more of what is rounded
    model = WeightedTorchRegressor(**params).fit(X, y, weight)
    to_device = WeightedTorchRegressor(**params).fit(X, y * 1024 + 2**20, weight)
    assert model.score(X, y) > 0.5
    np.testing.assert_allclose(to_device.predict(X), model.predict(X) * 1024 + 2**20, rtol=1e-4)
    assert model.target_location_ == pytest.approx(np.average(y, weights=weight))


@pytest.mark.parametrize("unit", [1e160, 1e-170])
def test_targets_may_have_any_unit_that_float64_holds(regression, unit):
    X, y, weight = regression
    model = WeightedTorchRegressor(**QUICK | {"max_epochs": 40}).fit(X, y * unit, weight)
    scaled = model.predict(X) / unit
    assert np.corrcoef(scaled, y)[0, 1] > 0.9
    assert 0.5 < scaled.std() / y.std() < 1.5


def test_a_constant_target_is_predicted(regression):
    X, _, _ = regression
    model = WeightedTorchRegressor(**QUICK).fit(X, np.full(len(X), 3e8))
    np.testing.assert_allclose(model.predict(X), 3e8, rtol=1e-6)


def test_score_is_weighted(task):
    estimator, X, y, weight = task
    model = estimator(**QUICK | {"max_epochs": 2}).fit(X, y)
    copies = model.score(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert model.score(X, y, weight) == pytest.approx(copies)
    assert model.score(X, y, weight) != pytest.approx(model.score(X, y))


# --------------------------------------------------------------------------------------
# Random state, warm start, copies
# --------------------------------------------------------------------------------------


def test_random_state_decides_everything_whatever_the_global_seeds(task):
    estimator, X, y, _ = task
    params = QUICK | {"module__dropout": 0.3, "early_stopping": True}
    torch.manual_seed(1)
    np.random.seed(1)
    first = outputs(estimator(**params).fit(X, y), X)
    torch.manual_seed(2)
    np.random.seed(2)
    assert_array_equal(outputs(estimator(**params).fit(X, y), X), first)
    other = outputs(estimator(**params | {"random_state": 1}).fit(X, y), X)
    assert np.abs(other - first).max() > 1e-3


def test_a_second_fit_starts_again_and_a_warm_start_continues(task):
    estimator, X, y, weight = task
    model = estimator(**QUICK).fit(X, y, weight)
    first = model.history_[:, "train_loss"]
    assert model.fit(X, y, weight).history_[:, "train_loss"] == first
    model.set_params(warm_start=True).fit(X, y, weight)
    assert model.history_[0, "train_loss"] < first[0] / 2
    assert model.n_iter_ == QUICK["max_epochs"]


def test_a_warm_start_keeps_the_input_scaling_and_the_units_of_the_first_fit(regression):
    X, y, _ = regression
    model = WeightedTorchRegressor(warm_start=True, **QUICK).fit(X, y)
    shift, mean = model.module_.shift.clone(), model.target_location_
    model.fit(X[:50] + 10, y[:50] + 10)
    assert_array_equal(model.module_.shift, shift)
    assert model.target_location_ == mean


def test_an_own_module_instance_is_trained_from_its_state_and_left_alone(task):
    estimator, X, y, _ = task
    module = nn.Linear(8, 1)
    before = copy.deepcopy(module.state_dict())
    untouched = estimator(module, **QUICK | {"max_epochs": 1, "lr": 1e-12}).fit(X, y)
    torch.testing.assert_close(untouched.module_.weight, before["weight"])
    trained = estimator(module, **QUICK).fit(X, y)
    assert (trained.module_.weight - before["weight"]).abs().max() > 1e-3
    assert_same_tensors(module.state_dict(), before)
    assert module.weight.grad is None


@pytest.mark.parametrize("save", [pickle.dumps, "joblib", copy.deepcopy])
def test_a_copy_predicts_the_same_and_can_be_trained_further(task, save, tmp_path):
    estimator, X, y, weight = task
    model = estimator(early_stopping=True, warm_start=True, **QUICK).fit(X, y, weight)
    if save == "joblib":
        joblib.dump(model, tmp_path / "model")
        loaded = joblib.load(tmp_path / "model")
    else:
        saved = save(model)
        loaded = pickle.loads(saved) if isinstance(saved, bytes) else saved
    assert_array_equal(outputs(loaded, X), outputs(model, X))
    assert loaded.history_[:, "train_loss"] == model.history_[:, "train_loss"]
    assert_array_equal(outputs(loaded.fit(X, y), X), outputs(model.fit(X, y), X))


def test_clone_and_repr_keep_parameters_of_the_network(task):
    estimator, *_ = task
    model = estimator(module__hidden_sizes=(5,), optimizer__weight_decay=0.1)
    copied = clone(model).set_params(module__dropout=0.2, lr=0.5)
    assert copied.get_params()["module__hidden_sizes"] == (5,)
    assert copied.get_params()["module__dropout"] == 0.2
    assert model.get_params()["module__dropout"] == 0.0
    assert "optimizer__weight_decay=0.1" in repr(model)


# --------------------------------------------------------------------------------------
# Callers
# --------------------------------------------------------------------------------------


def test_grid_search_over_weight_settings_in_a_pipeline_with_two_processes(binary):
    X, y, weight = binary
    pipe = make_pipeline(StandardScaler(), WeightedTorchClassifier(**QUICK))
    name = "weightedtorchclassifier__"
    grid = {
        name + "class_weight": [None, "balanced", {0: 1, 1: 5}],
        name + "sample_weight_power": [0.5, 1.0],
        name + "module__hidden_sizes": [(4,), (8, 8)],
    }
    search = GridSearchCV(pipe, grid, cv=3, n_jobs=2)
    search.fit(X, y, **{name + "sample_weight": weight})
    assert len(np.unique(search.cv_results_["mean_test_score"])) > 4
    again = clone(search.best_estimator_).fit(X, y, **{name + "sample_weight": weight})
    assert_array_equal(search.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: AdaBoostClassifier(net, n_estimators=3, random_state=0),
        lambda net: BaggingClassifier(net, n_estimators=3, random_state=0),
        lambda net: CalibratedClassifierCV(net, cv=2),
    ],
    ids=["adaboost", "bagging", "calibrated"],
)
def test_meta_estimators_may_send_their_own_weights(binary, wrap):
    X, y, weight = binary
    weight = weight + 0.5  # AdaBoost takes the logarithm
    model = wrap(WeightedTorchClassifier(**QUICK)).fit(X, y, sample_weight=weight)
    assert roc_auc_score(y, model.predict_proba(X)[:, 1], sample_weight=weight) > 0.7


def test_fit_by_position_and_by_name_are_the_same(task):
    estimator, X, y, weight = task
    by_position = estimator(**QUICK).fit(X, y, weight)
    by_name = estimator(**QUICK).fit(X, y, sample_weight=weight)
    assert_array_equal(by_position.predict(X), by_name.predict(X))


# --------------------------------------------------------------------------------------
# Feature weights
# --------------------------------------------------------------------------------------


def test_the_seed_example_trains_and_shows_its_feature_weights(regression):
    X, y, weight = regression
    X = X[:, :5]
    module = nn.Sequential(
        WeightedLinear(5, 10, feature_weights=[1, 1, 1, 3, 1]), nn.ReLU(), nn.Linear(10, 1)
    )
    model = WeightedTorchRegressor(module, **QUICK).fit(X, y, weight)
    learned = model.feature_weights_
    assert learned.shape == (5,) and learned[3] > 2.5
    assert np.abs(learned - [1, 1, 1, 3, 1]).max() > 1e-3


@pytest.mark.parametrize("learnable", [True, False])
def test_feature_weights_of_the_default_network_are_learned_or_held(task, learnable):
    estimator, X, y, _ = task
    given = np.linspace(0.5, 2, 8).astype(np.float32)
    model = estimator(
        module__feature_weights=given, module__learnable_feature_weights=learnable, **QUICK
    ).fit(X, y)
    changed = np.abs(model.feature_weights_ - given).max()
    assert changed > 1e-3 if learnable else changed == 0


def test_a_network_without_feature_weights_says_so(task):
    estimator, X, y, _ = task
    model = estimator(**QUICK).fit(X, y)
    assert not hasattr(model, "feature_weights_")
    with pytest.raises(AttributeError, match="module__feature_weights"):
        model.feature_weights_
    # A weight on a hidden layer is not a weight on the input, even if it is as long.
    hidden = nn.Sequential(nn.Linear(8, 8), FeatureWeight(8), nn.Linear(8, 1))
    assert not hasattr(estimator(hidden, **QUICK).fit(X, y), "feature_weights_")
