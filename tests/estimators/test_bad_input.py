"""Bad input gets an error that names the argument, what was expected and what came.

The table of ``tests/bad_input`` has single arguments; here is what takes more than one.
Weights by themselves are in ``test_sample_weight.py``, constructor values in
``test_parameters.py``; here is what ``fit`` and ``predict`` make of them.
"""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.nn import functional as F

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

ESTIMATORS = [WeightedTorchClassifier, WeightedTorchRegressor]
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
y = np.arange(60) % 2


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return request.param


@pytest.mark.parametrize("value", [np.inf, 1e300])
def test_values_that_float32_cannot_hold_are_refused_in_X(estimator, value):
    bad = X.copy()
    bad[3, 1] = value
    expected = r"X holds infinity, or numbers beyond .* in columns \[1\]\. .* \(Input X contains"
    with pytest.raises(ValueError, match=expected), np.errstate(over="ignore"):
        estimator().fit(bad, y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_in_y(estimator, value):
    with pytest.raises(
        ValueError, match=r"^y must .* in a row with weight, got (NaN|infinity) at position 0"
    ):
        estimator().fit(X, np.r_[value, y[1:].astype(float)])


@pytest.mark.parametrize(
    ("labels", "sample_weight", "class_weight"),
    [
        (np.ones(60), None, None),
        (y, 1.0 - y, None),
        (y, None, {1: 0}),
    ],
    ids=["one_label", "one_weighted", "one_class_weight"],
)
def test_one_class_is_refused(labels, sample_weight, class_weight):
    with pytest.raises(ValueError, match=r"y must hold at least two classes.*got 1 class: \["):
        WeightedTorchClassifier(class_weight=class_weight).fit(X, labels, sample_weight)


@pytest.mark.parametrize(
    ("class_weight", "error", "match"),
    [
        ({"yess": 2}, ValueError, "class_weight.*'no', 'yes'.*got 'yess'.*mean 'yes'"),
        ({"yes": -2.0}, ValueError, "class_weight.*non-negative.*-2.0 for class 'yes'"),
        ({"yes": np.nan}, ValueError, "class_weight.*finite.*nan"),
        ("balance", ValueError, "class_weight.*balance"),
        ([1, 2], TypeError, "class_weight.*list"),
        (lambda counts: counts[:1], ValueError, "class_weight.*shape"),
    ],
)
def test_bad_class_weights_are_refused(class_weight, error, match):
    with pytest.raises(error, match=match):
        WeightedTorchClassifier(class_weight=class_weight).fit(X, np.array(["no", "yes"])[y])


def test_a_continuous_target_is_no_class(estimator):
    if estimator is WeightedTorchClassifier:
        with pytest.raises(ValueError, match="label type"):
            estimator().fit(X, X[:, 0])


@pytest.mark.parametrize(
    ("module", "error", "match"),
    [
        (nn.Linear(4, 3), ValueError, r"module Linear must return.*\(n, 1\).*got \(5, 3\)"),
        (nn.Linear(7, 1), ValueError, r"module Linear failed on X of shape \(5, 4\)"),
        (lambda n_features: nn.Linear(n_features, 1), TypeError, r"as module\(\), .*'n_features'"),
        (lambda n_features, n_outputs: 3, TypeError, "module must make an nn.Module, got int"),
        ("mlp", TypeError, "module must be None, an nn.Module class.*got str"),
    ],
    ids=["width", "input", "signature", "no_module", "string"],
)
def test_modules_that_do_not_fit_are_refused(estimator, module, error, match):
    with pytest.raises(error, match=match):
        estimator(module).fit(X, y)


def test_a_classifier_with_three_classes_needs_three_columns():
    with pytest.raises(ValueError, match=r"shape \(n, 3\).*got \(5, 1\)"):
        WeightedTorchClassifier(nn.Linear(4, 1)).fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match=r"shape \(n, 2\).*got \(5, 1\)"):
        WeightedTorchClassifier(nn.Linear(4, 1), criterion=nn.CrossEntropyLoss).fit(X, y)


@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss(), lambda o, t: F.mse_loss(o, t)])
def test_a_criterion_that_returns_a_scalar_says_how_to_mend_it(estimator, criterion):
    with pytest.raises(ValueError, match=r"criterion must return one loss per row.*reduction="):
        estimator(criterion=criterion).fit(X, y)


@pytest.mark.parametrize(
    ("params", "labels", "match"),
    [
        ({"criterion": lambda o, t: (o.squeeze(-1) - t) ** 2}, y, r"one loss per row.*\(5, 5\)"),
        ({"criterion": lambda o, t: (o - t) ** 2}, np.arange(60) % 3, "criterion <lambda> failed"),
        ({"criterion": nn.GaussianNLLLoss}, y, "criterion GaussianNLLLoss failed on output"),
        ({"criterion": nn.BCELoss}, y, "BCELoss takes probabilities.*BCEWithLogitsLoss"),
        ({"criterion": nn.NLLLoss}, y, "NLLLoss takes logarithms.*CrossEntropyLoss"),
        (
            {"criterion": nn.BCEWithLogitsLoss, "module": nn.Linear(4, 2)},
            y,
            r"criterion BCEWithLogitsLoss failed on output of shape \(5, 2\)",
        ),
        (
            {"criterion": lambda o, t: F.cross_entropy(o, t, reduction="none")},
            y,
            "criterion <lambda> does not depend on the one column.*2 columns",
        ),
    ],
    ids=["broadcast", "codes", "arguments", "probabilities", "logs", "width", "softmax"],
)
def test_a_criterion_that_cannot_work_is_refused_before_training(params, labels, match):
    with pytest.raises(ValueError, match=match):
        WeightedTorchClassifier(**params).fit(X, labels)


def test_a_squeezed_output_against_a_column_of_targets_is_refused_by_the_regressor_too():
    with pytest.raises(ValueError, match=r"one loss per row.*do not squeeze only one"):
        WeightedTorchRegressor(criterion=lambda o, t: (o.squeeze(-1) - t) ** 2).fit(X, X[:, 0])


@pytest.mark.parametrize(
    ("criterion", "params"),
    [
        (F.cross_entropy, {"criterion__reduction": "none"}),
        (partial(F.cross_entropy, reduction="none"), {}),
        (partial(nn.CrossEntropyLoss, label_smoothing=0.1), {}),
        (nn.NLLLoss, {"module": nn.Sequential(nn.Linear(4, 2), nn.LogSoftmax(dim=1))}),
    ],
    ids=["function", "partial", "partial_of_class", "log_softmax"],
)
def test_softmax_losses_get_two_columns_for_a_binary_y(criterion, params):
    labels = (X[:, 0] > 0).astype(int)
    model = WeightedTorchClassifier(
        criterion=criterion, lr=0.05, max_epochs=50, early_stopping=False, **params
    )
    assert model.fit(X, labels).score(X, labels) > 0.9


def test_a_criterion_with_class_weights_of_its_own_warns_of_counting_twice():
    weight = torch.tensor([1.0, 3.0])
    function = partial(F.cross_entropy, reduction="none", weight=weight)
    for own in (
        {"criterion": nn.CrossEntropyLoss, "criterion__weight": weight},
        {"criterion": function},
        {"criterion": nn.BCEWithLogitsLoss, "criterion__pos_weight": weight[1:]},
    ):
        with pytest.warns(UserWarning, match=r"weights of its own \((pos_)?weight\).*twice"):
            WeightedTorchClassifier(class_weight="balanced", max_epochs=1, **own).fit(X, y)
        WeightedTorchClassifier(max_epochs=1, **own).fit(X, y)  # alone it is no error


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused(estimator):
    with pytest.raises(ValueError, match=r"device must be.*'cuda'"):
        estimator(device="cuda").fit(X, y)


def test_a_loss_that_diverges_stops_the_fit_and_says_when(estimator):
    if estimator is WeightedTorchRegressor:
        with pytest.raises(ValueError, match=r"train_loss became .* in epoch \d+.*lr.*scale"):
            estimator(nn.Linear(4, 1), optimizer=torch.optim.SGD, lr=1e6).fit(X, X[:, 0])
    else:
        with pytest.raises(ValueError, match=r"train_loss became .* in epoch 1\..*lr.*scale"):
            estimator(criterion=lambda o, t: o * float("nan")).fit(X, y)


def test_a_last_step_that_diverges_is_refused(estimator):
    with pytest.raises(ValueError, match=r"parameters became NaN or infinite in epoch 1\..*lr"):
        steep = {"criterion": lambda o, t: (1e3 * o - t) ** 2, "optimizer": torch.optim.SGD}
        once = {"batch_size": -1, "max_epochs": 1, "early_stopping": False}
        estimator(lr=1e38, **once, **steep).fit(X, y)


def test_early_stopping_without_rows_to_hold_out_is_refused(estimator):
    copies = np.repeat(X[:2], 30, axis=0)
    with pytest.raises(ValueError, match="early_stopping=True needs"):
        estimator(early_stopping=True, validation_fraction=0.9).fit(copies, np.repeat([0, 1], 30))


def test_a_callback_that_reads_the_validation_loss_says_what_to_pass(estimator):
    from skorch.callbacks import EarlyStopping

    with pytest.raises(ValueError, match=r"valid_loss.*early_stopping=True"):
        estimator(callbacks=[EarlyStopping()], early_stopping=False).fit(X, y)


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Softmax(dim=1)])
def test_a_module_that_ends_with_a_link_warns(last):
    module = nn.Sequential(nn.Linear(4, 2 if isinstance(last, nn.Softmax) else 1), last)
    with pytest.warns(UserWarning, match=r"ends with S\w+, but must return raw scores"):
        WeightedTorchClassifier(module, max_epochs=1).fit(X, y)


def test_class_weights_of_a_criterion_in_a_list_are_refused_by_name():
    with pytest.raises(
        TypeError, match=r"criterion CrossEntropyLoss.*criterion__weight=\[1.0, 2.0"
    ):
        WeightedTorchClassifier(criterion=nn.CrossEntropyLoss, criterion__weight=[1.0, 2.0]).fit(
            X, y
        )


def test_labels_that_cannot_be_sorted_are_refused():
    with pytest.raises(TypeError, match="y must hold labels of one kind"):
        WeightedTorchClassifier().fit(X, np.array(["a", 1] * 30, dtype=object))


def test_a_callback_that_reads_what_nobody_records_is_not_blamed_on_missing_rows(estimator):
    from skorch.callbacks import EarlyStopping

    with pytest.raises(ValueError, match=r"not among what is recorded of epochs.*'valid_loss'"):
        estimator(early_stopping=True, callbacks=[EarlyStopping(monitor="valid_acc")]).fit(X, y)


def test_an_uncached_epoch_scoring_says_what_to_pass(estimator):
    from skorch.callbacks import EpochScoring

    scoring = EpochScoring("r2", use_caching=False)
    with pytest.raises(ValueError, match=r"EpochScoring must have use_caching=True, got False"):
        estimator(callbacks=[scoring]).fit(X, y)


def test_a_sparse_tensor_is_refused(estimator):
    with pytest.raises(TypeError, match=r"SciPy sparse matrix, got a tensor of torch.sparse_coo"):
        estimator().fit(torch.tensor(X).to_sparse_coo(), y)


def test_a_warm_start_with_another_network_is_refused(estimator):
    model = estimator(warm_start=True, max_epochs=2, module__hidden_sizes=(4,)).fit(X, y)
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"module__hidden_sizes was \(4,\), got \(5,\)"):
        model.set_params(module__hidden_sizes=(5,)).fit(X, y)


def test_class_weights_whose_power_overflows_are_refused():
    with pytest.raises(ValueError, match=r"class_weight_power must be finite.*power=2"):
        WeightedTorchClassifier(class_weight={0: 1e200}, class_weight_power=2).fit(X, y)


def test_prediction_before_fit_is_refused(estimator):
    for method in ("predict", "predict_proba", "decision_function", "predict_log_proba"):
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(estimator(), method)(X)


def test_a_warm_start_with_other_classes_or_columns_is_refused():
    model = WeightedTorchClassifier(warm_start=True, max_epochs=2).fit(X, y)
    before = copy.deepcopy(model).predict_proba(X)
    with pytest.raises(ValueError, match=r"classes of the last fit, \[0, 1\], got \[0, 1, 2\]"):
        model.fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="expecting 4 features"):
        model.fit(X[:, :3], y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    "bad",
    [
        {"y": np.zeros(60)},
        {"sample_weight": -np.ones(60)},
        {"y_val": np.full(60, 7)},
        {"sample_weight_val": -np.ones(60)},
        {"X_val": np.ones((60, 2))},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_rows_that_are_refused_leave_the_callers_random_state_as_it_was(bad):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    data = {"X": rows, "y": np.arange(60) % 2, "X_val": rows + 1, "y_val": np.arange(60) % 2}
    state = np.random.RandomState(0)
    with pytest.raises(ValueError, match=next(iter(bad)).partition("_")[0]):
        WeightedTorchClassifier(random_state=state).fit(**data | bad)
    assert state.randint(10**9) == np.random.RandomState(0).randint(10**9)
