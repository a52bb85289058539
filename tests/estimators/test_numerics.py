"""X, y, weights and scores of any size: the fit is right, or a warning names the column.

Every case is the same easy table in other units, so that its fit can be compared with that of the
table in ordinary units. Weights and y at the ends of float64 are in ``test_extreme_scales``.
"""

import warnings
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
)
from skweight.modules import MLP

N_ROWS = 120
# Multiples of 1/64 between -2 and 2, which every float holds, down to float16.
X = np.random.default_rng(0).integers(-128, 128, size=(N_ROWS, 3)) / 64
SIGNAL = X[:, 0] - X[:, 1] / 2
ROW = np.arange(N_ROWS)
LABELS = (SIGNAL > 0).astype(int)
POSITIVE = np.exp(SIGNAL / 2)
FAST = {"max_epochs": 20, "early_stopping": False, "random_state": 0, "n_members": 1}


class Eager(MLP):
    """The default network, for which the direct loop is not used."""


class Own(nn.Module):
    """A network of a user's, which does not scale X."""

    def __init__(self, n_features, n_outputs, first=None):
        super().__init__()
        hidden = [nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_outputs)]
        self.layers = nn.Sequential(*([] if first is None else [first(n_features)]), *hidden)

    def forward(self, X):
        return self.layers(X)


LINEAR = {"module__hidden_sizes": (), "lr": 0.05}
FITS = {
    "classifier": (WeightedTorchClassifier, {}, LABELS),
    "squared error, 3 members": (WeightedTorchRegressor, {"n_members": 3}, SIGNAL),
    "poisson": (WeightedTorchRegressor, {"criterion": "poisson"}, POSITIVE),
    "quantile, sampling": (
        WeightedTorchRegressor,
        {"criterion": "quantile", "weighting": "sampling"},
        SIGNAL,
    ),
    "eager squared error": (WeightedTorchRegressor, {"module": Eager}, SIGNAL),
    "linear classifier, sampling": (
        WeightedTorchClassifier,
        {"weighting": "sampling", **LINEAR},
        LABELS,
    ),
    "linear huber": (WeightedTorchRegressor, {"criterion": "huber", **LINEAR}, SIGNAL),
    "linear gamma, 3 members": (
        WeightedTorchRegressor,
        {"criterion": "gamma", "n_members": 3, **LINEAR},
        POSITIVE,
    ),
    "linear tweedie": (WeightedTorchRegressor, {"criterion": "tweedie", **LINEAR}, POSITIVE),
}
each_fit = pytest.mark.parametrize("name", FITS)


def fitted(name, X, **fit_params):
    estimator, params, y = FITS[name]
    return estimator(**{**FAST, **params}).fit(X, y, **fit_params)


def predicted(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def with_column(column):
    return np.column_stack([column, X[:, 1:]])


@lru_cache
def in_ordinary_units(name):
    """Predictions and score for the table as it is."""
    model = fitted(name, X)
    score = model.score(X, FITS[name][2])
    assert score > 0.9
    return predicted(model, X), score


# Columns of X -------------------------------------------------------------------------------


COLUMNS = {
    "1e-30": 1e-30 * X[:, 0],
    "1e-12": 1e-12 * X[:, 0],
    "1e12": 1e12 * X[:, 0],
    "1e30": 1e30 * X[:, 0],
    "1e37": 1e37 * X[:, 0],
    "1e9 and a little": 1e9 + X[:, 0],
    "1e12 and 0.01": 1e12 + 0.01 * X[:, 0],
    "-1e15 and 100": -1e15 + 100 * X[:, 0],
    "nearly constant": 1 + 1e-9 * X[:, 0],
    "ids above 2**24": (64 * X[:, 0]).astype(int) + 2**24,
    "ids above 2**50": (64 * X[:, 0]).astype(int) + 2**50,
    "ids above 2**53": (6400 * X[:, 0]).astype(int) + 2**53,
    "float32 ids": (64 * X[:, 0] + 2**23).astype(np.float32),
    "few float32 ids": (5 * X[:, 0] + 2**23).astype(np.float32),
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for place, name in enumerate(FITS)
        for case in [*COLUMNS][:: 1 if place in (0, 2, 6) else 5]
    ],
)
def test_a_column_of_any_size_is_learned_as_in_ordinary_units(name, case):
    frame = pd.DataFrame({"a": COLUMNS[case], "b": X[:, 1], "c": X[:, 2]})
    score = in_ordinary_units(name)[1]
    assert fitted(name, frame).score(frame, FITS[name][2]) > score - 0.03


@pytest.mark.parametrize("unit", [1e-30, 2.0**-40, 1e12, 1e30])
@pytest.mark.parametrize("name", ["classifier", "poisson", "eager squared error", "linear huber"])
def test_without_batches_the_unit_of_a_column_changes_rounding_only(name, unit):
    """The order of batches depends on X, and so on its units."""
    estimator, params, y = FITS[name]
    model = estimator(**{**FAST, **params, "batch_size": -1})
    expected = predicted(model.fit(X, y), X)
    changed = with_column(unit * X[:, 0])
    assert_allclose(predicted(model.fit(changed, y), changed), expected, atol=1e-5)
    assert np.ptp(expected) > 0.1


@each_fit
@pytest.mark.parametrize("column", [np.full(N_ROWS, 1e9), 1e9 * (1 + 1e-16 * X[:, 0])])
def test_a_constant_column_is_as_good_as_none(name, column):
    wide = np.column_stack([X, column])
    model = fitted(name, wide)
    assert model.score(wide, FITS[name][2]) > in_ordinary_units(name)[1] - 0.03


UNSEEN = {
    "subnormal": (1e-40 * X[:, 0], "numbers below 1.2e-38 only"),
    "subnormal float32": ((1e-40 * X[:, 0]).astype(np.float32), "numbers below 1.2e-38 only"),
    "below float32": (1e-60 * X[:, 0], "numbers below 1.2e-38 only"),
    "rounding errors": (1e12 + 1e-3 * X[:, 0], "differ by little more than the rounding errors"),
    "integers": ((3 * X[:, 0]).astype(int) + 2**53 + 10, "integers above 2\\*\\*53"),
    "64 bits": (ROW.astype(np.uint64) % 9 + np.uint64(2**63), "integers above 2\\*\\*53"),
}


@pytest.mark.parametrize("name", ["classifier", "linear huber", "squared error, 3 members"])
@pytest.mark.parametrize("case", UNSEEN)
def test_a_column_whose_values_no_network_can_tell_apart_is_named(name, case):
    column, message = UNSEEN[case]
    table = pd.DataFrame({"b": X[:, 1], "small": column, "c": X[:, 2]})
    with pytest.warns(UserWarning, match=rf"Columns \['small'\] of X hold {message}|{message}"):
        model = fitted(name, table)
    without = fitted(name, table.assign(small=0.0))
    y = FITS[name][2]
    assert model.score(table, y) == pytest.approx(without.score(table.assign(small=0), y), abs=0.05)


# Outliers in X ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e6, 1e12, -1e30])
@pytest.mark.parametrize("name", [name for name in FITS if "linear" not in name])
def test_an_outlier_does_not_hide_the_other_values_of_its_column(name, size):
    table = with_column(np.where(ROW == 7, size, X[:, 0]))
    y = FITS[name][2]
    others = ROW != 7
    model = fitted(name, table)
    assert model.score(table[others], y[others]) > in_ordinary_units(name)[1] - 0.03


@pytest.mark.parametrize("name", [name for name in FITS if "linear" in name])
def test_without_hidden_layers_a_column_with_an_outlier_is_named(name):
    table = with_column(np.where(ROW == 7, 1e12, X[:, 0]))
    with pytest.warns(UserWarning, match=r"Columns \[0\] of X hold numbers so far out"):
        fitted(name, table)
    clipped = np.clip(table, -2, 2)
    y = FITS[name][2]
    assert fitted(name, clipped).score(clipped, y) > in_ordinary_units(name)[1] - 0.1


# A module that gets X as it is --------------------------------------------------------------


def fit_own(X, y=SIGNAL, module=Own, **params):
    kind = WeightedTorchClassifier if y is LABELS else WeightedTorchRegressor
    return kind(module, **{**FAST, "lr": 0.05, **params}).fit(X, y)


OWN_COLUMNS = {
    "1e12": (1e12 * X[:, 0], "large as 1e"),
    "1e30": (1e30 * X[:, 0], "large as 1e"),
    "1e8": (1e8 * X[:, 0], "large as 1e"),
    "outlier": (np.where(ROW == 7, 1e12, X[:, 0]), "large as 1e"),
    "constant": (np.full(N_ROWS, 1e12), "large as 1e"),
    "1e-12": (1e-12 * X[:, 0], "small as 1e"),
    "1e-30": (1e-30 * X[:, 0], "small as 1e"),
}


@pytest.mark.parametrize("y", [LABELS, SIGNAL], ids=["labels", "numbers"])
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("case", OWN_COLUMNS)
def test_a_column_from_which_a_module_can_hardly_learn_is_named(y, n_members, case):
    column, message = OWN_COLUMNS[case]
    table = pd.DataFrame({"b": X[:, 1], "a": column, "c": X[:, 2]})
    match = rf"Columns \['a'\] of X hold numbers as {message}.* module Own gets them as they are"
    with pytest.warns(UserWarning, match=match):
        try:
            fit_own(table, y, n_members=n_members, max_epochs=1)
        except ValueError as error:  # no silent NaN either
            assert "became" in str(error)


@pytest.mark.parametrize("case", [case for case in OWN_COLUMNS if case not in ("outlier",)])
def test_the_named_column_is_learned_once_it_is_scaled(case):
    table = with_column(OWN_COLUMNS[case][0])
    model = WeightedTorchRegressor(Own, **FAST, lr=0.05)
    pipe = make_pipeline(StandardScaler(), model).fit(table, SIGNAL)
    assert pipe.score(table, SIGNAL) > (0.1 if case == "constant" else 0.95)


class ByHand(Own):
    """A network that scales X itself."""

    def __init__(self, n_features, n_outputs, factor):
        super().__init__(n_features, n_outputs)
        self.factor = factor

    def forward(self, X):
        return super().forward(X * torch.tensor([self.factor, 1, 1]))


@pytest.mark.parametrize(
    ("column", "params"),
    [
        (X[:, 0], {}),
        (1e3 * X[:, 0], {}),
        (1e-3 * X[:, 0], {}),
        (np.exp(5 * X[:, 0]), {}),
        (np.zeros(N_ROWS), {}),
        (1e12 * X[:, 0], {"module": ByHand, "module__factor": 1e-12}),
        (1e-12 * X[:, 0], {"module": ByHand, "module__factor": 1e12}),
        (1e12 * X[:, 0], {"module__first": nn.BatchNorm1d}),
    ],
)
def test_a_module_that_can_learn_from_its_columns_causes_no_warning(column, params):
    model = fit_own(with_column(column), **params)  # warnings are errors
    assert np.isfinite(model.predict(with_column(column))).all()


# Types of X ---------------------------------------------------------------------------------


TYPES = {
    "float16": X.astype(np.float16),
    "float32": X.astype(np.float32),
    "a DataFrame": pd.DataFrame(X),
    "a DataFrame of float32": pd.DataFrame(X.astype(np.float32)),
    "a list": X.tolist(),
    "CSR": sparse.csr_matrix(X),
    "a tensor": torch.tensor(X),
    "Fortran order": np.asfortranarray(X),
}


@pytest.mark.parametrize("name", ["classifier", "linear gamma, 3 members"])
@pytest.mark.parametrize("table", TYPES.values(), ids=TYPES)
def test_the_type_of_x_changes_no_bit_of_values_that_it_can_hold(name, table):
    found = predicted(fitted(name, table), table)
    if sparse.issparse(table):  # mass points and sums take another path
        assert_allclose(found, in_ordinary_units(name)[0], rtol=1e-3)
    else:
        assert_array_equal(found, in_ordinary_units(name)[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_a_file_is_read_as_the_array_in_it(dtype, tmp_path):
    table = (64 * X).astype(dtype)
    file = np.memmap(tmp_path / "x", dtype=dtype, mode="w+", shape=table.shape)
    file[:] = table
    found = fitted("poisson", file)
    assert_array_equal(found.predict(file), fitted("poisson", table).predict(table))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int16, np.uint64, np.int64])
@pytest.mark.parametrize("name", ["classifier", "linear huber"])
def test_integers_and_booleans_are_the_numbers_that_they_are(name, dtype):
    table = (X > 0 if dtype == np.bool_ else 31 * np.abs(X)).astype(dtype)
    expected = fitted(name, table.astype(np.float64))
    found = predicted(fitted(name, table), table)
    assert_array_equal(found, predicted(expected, table.astype(np.float64)))
    assert len(np.unique(found)) > 3


def test_the_largest_numbers_of_float16_do_not_overflow():
    table = (X / 2 * 65504).astype(np.float16)
    assert np.abs(table).max() == 65504
    assert fitted("squared error, 3 members", table).score(table, SIGNAL) > 0.9


# Targets ------------------------------------------------------------------------------------


TARGETS = {
    "1e9": 1e9 * SIGNAL,
    "1e9 plus and minus 1": 1e9 + SIGNAL,
    "1e-9": 1e-9 * SIGNAL,
    "1e30": 1e30 * SIGNAL,
    "float16": SIGNAL.astype(np.float16),
    "integers": (128 * SIGNAL).astype(int),
    "integers of 2**60": (2.0**58 * SIGNAL).astype(np.int64),
}
RATES = {
    "1e9": 1e9 * POSITIVE,
    "1e-9": 1e-9 * POSITIVE,
    "1e30": 1e30 * POSITIVE,
    "counts of 1e9": np.round(1e9 * POSITIVE).astype(np.int64),
}


@pytest.mark.parametrize("criterion", ["squared_error", "huber", "quantile"])
@pytest.mark.parametrize(("case", "n_members"), [*((case, 1) for case in TARGETS), ("1e9", 3)])
def test_a_target_of_any_size_is_learned_as_in_ordinary_units(criterion, case, n_members):
    _assert_same_fit(criterion, n_members, SIGNAL, TARGETS[case])


@pytest.mark.parametrize("criterion", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize(("case", "n_members"), [*((case, 1) for case in RATES), ("1e-9", 3)])
def test_counts_and_rates_of_any_size_are_learned_as_in_ordinary_units(criterion, case, n_members):
    _assert_same_fit(criterion, n_members, POSITIVE, RATES[case])


@lru_cache
def _fit_of_target(criterion, n_members, is_positive):
    y = POSITIVE if is_positive else SIGNAL
    model = WeightedTorchRegressor(criterion=criterion, **{**FAST, "n_members": n_members})
    return model.fit(X, y).predict(X)


def _assert_same_fit(criterion, n_members, ordinary, y):
    expected = _fit_of_target(criterion, n_members, ordinary is POSITIVE)
    model = WeightedTorchRegressor(criterion=criterion, **{**FAST, "n_members": n_members})
    found = model.fit(X, y).predict(X)
    assert model.score(X, y) > 0.9
    y = y.astype(np.float64)
    ours, theirs = (found - y.mean()) / y.std(), (expected - ordinary.mean()) / ordinary.std()
    assert_allclose(ours, theirs, atol=0.05)


@pytest.mark.parametrize("criterion", ["squared_error", "quantile", "poisson", "gamma"])
@pytest.mark.parametrize("unit", [2.0**-200, 2.0**200])
def test_a_power_of_two_in_y_multiplies_predictions_and_changes_no_other_bit(criterion, unit):
    model = WeightedTorchRegressor(criterion=criterion, **FAST)
    expected = _fit_of_target(criterion, 1, True)
    assert_array_equal(model.fit(X, unit * POSITIVE).predict(X), unit * expected)


@pytest.mark.parametrize("criterion", ["huber", "quantile", "absolute_error"])
def test_an_outlier_in_y_does_not_hide_the_others_from_a_robust_loss(criterion):
    y = np.where(ROW == 3, 1e12, SIGNAL)
    model = WeightedTorchRegressor(criterion=criterion, **FAST, lr=0.01).fit(X, y)
    others = ROW != 3
    residual = (model.predict(X) - y)[others]
    assert np.abs(residual).mean() < 0.2 * np.abs(y[others]).mean()


# Weights ------------------------------------------------------------------------------------


@pytest.fixture
def _few_rows_have_most_of_the_weight():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        yield


@each_fit
@pytest.mark.parametrize("ratio", [1e-12])
def test_rows_of_hardly_any_weight_count_for_nothing(name, ratio):
    estimator, params, y = FITS[name]
    light = ROW % 2 == 0
    wrong = np.where(light, 1 - y if estimator is WeightedTorchClassifier else y[::-1], y)
    model = estimator(**{**FAST, **params, "max_epochs": 30})
    model.fit(X, wrong, np.where(light, ratio, 1.0))
    assert model.score(X[~light], y[~light]) > 0.9
    assert model.score(X, y) > 0.85


@each_fit
@pytest.mark.usefixtures("_few_rows_have_most_of_the_weight")
@pytest.mark.parametrize("ratio", [1e12, 1e-12])
def test_one_row_may_be_so_much_heavier_or_lighter_than_all_others(name, ratio):
    y = FITS[name][2]
    row = 5
    model = fitted(name, X, sample_weight=np.where(row == ROW, ratio, 1.0))
    assert np.isfinite(predicted(model, X)).all()
    if ratio < 1:
        assert model.score(X, y) > 0.9
    elif model.n_members == 1:  # that one of three which is trained without it knows nothing of it
        tolerance = 0.5 if "linear" in name else 0.1
        assert abs(model.predict(X[[row]])[0] - y[row]) < tolerance * y.std()


@pytest.mark.usefixtures("_few_rows_have_most_of_the_weight")
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("criterion", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize(("tail", "is_weighted"), [(1, True), (4, False), (4, True)])
def test_a_logarithmic_link_without_hidden_layers_survives_any_table(
    n_members, criterion, tail, is_weighted
):
    """Rare values are far out in units of the spread, and their scores are exponents."""
    rng = np.random.default_rng(3)
    table, y = np.exp(tail * rng.normal(size=(60, 2))), np.exp(2 * rng.normal(size=60))
    weight = 10.0 ** rng.uniform(-6, 6, 60) if is_weighted else None
    params = {**FAST, "n_members": n_members, "early_stopping": n_members > 1, "lr": 0.01}
    params["max_epochs"] = 10
    model = WeightedTorchRegressor(criterion=criterion, **params, module__hidden_sizes=())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Columns .* so far out", UserWarning)
        model.fit(table, y, weight)
    assert np.isfinite(model.predict(table)).all()
    assert max(net.history[-1, "train_loss"] for net in model.nets_) < 1e4


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
@pytest.mark.parametrize("ratio", [1e-12, 1e12])
@pytest.mark.parametrize("network", [{}, LINEAR], ids=["default", "linear"])
def test_class_weights_may_be_far_apart(weighting, ratio, network):
    model = WeightedTorchClassifier(
        class_weight={0: 1, 1: ratio}, weighting=weighting, **{**FAST, **network}
    ).fit(X, LABELS)
    assert_array_equal(model.predict(X), np.full(N_ROWS, int(ratio > 1)))
    before = model.predict_proba(X)
    after = model.set_params(correct_prior=True).predict_proba(X)
    assert ((before[:, 1] - after[:, 1]) * np.log(ratio) > 0).all()


@pytest.mark.parametrize("name", ["classifier", "linear gamma, 3 members"])
def test_float16_weights_are_the_numbers_that_they_are(name):
    weight = 1 + ROW % 4
    expected = predicted(fitted(name, X, sample_weight=weight), X)
    for same in (weight.astype(np.float16), (8192.0 * weight).astype(np.float16) / 8192):
        assert_array_equal(predicted(fitted(name, X, sample_weight=same), X), expected)
    largest = np.full(N_ROWS, 65504, np.float16)  # their sum is infinite in float16
    assert_array_equal(
        predicted(fitted(name, X, sample_weight=largest), X), predicted(fitted(name, X), X)
    )


def test_a_power_brings_weights_together_in_float64():
    params = {**FAST, "criterion": "poisson"}
    spread = 2.0 ** (80 * (ROW % 2) - 40)
    model = WeightedTorchRegressor(**params, sample_weight_power=0.5)
    found = model.fit(X, POSITIVE, spread**2).predict(X)
    expected = WeightedTorchRegressor(**params).fit(X, POSITIVE, spread).predict(X)
    assert_allclose(found, expected, rtol=1e-5)


# Scores -------------------------------------------------------------------------------------


class Certain(nn.Module):
    """Scores of a given size, right in every row: those of the class in the first column."""

    def __init__(self, n_features, n_outputs, size, dtype):
        super().__init__()
        self.size, self.dtype = size, dtype
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, X):
        sign = torch.where(X[:, :1] == torch.arange(len(self.bias)), 1.0, -1.0)
        if len(self.bias) == 1:
            sign = -sign
        return (self.size * sign + self.bias).to(self.dtype)


TWO, THREE = ROW % 2, ROW % 3
SCORES = [
    (1e4, torch.float32),
    (-1e4, torch.float32),
    (1e30, torch.float32),
    (-1e4, torch.float16),
    (-1e30, torch.bfloat16),
]


@pytest.mark.parametrize(("size", "dtype"), SCORES)
@pytest.mark.parametrize("y", [TWO, THREE], ids=["two classes", "three classes"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"class_weight": {0: 1e-12}, "correct_prior": True},
        {"logit_adjustment": 1.0, "correct_prior": True},
        {"criterion__label_smoothing": 0.1},
        {"criterion": "focal"},
        {"criterion": "focal", "criterion__gamma": 0.5, "class_weight": "balanced"},
        {"criterion": "poly_tailed", "class_weight": {0: 5}, "correct_prior": True},
        {"criterion": nn.CrossEntropyLoss},
    ],
    ids=str,
)
def test_scores_of_any_size_are_probabilities_with_a_finite_log_loss(size, dtype, y, params):
    """Positive scores are right in every row, and negative ones wrong in every row."""
    if params.get("criterion") == "poly_tailed" and y is THREE:
        return  # a loss of two classes
    rows = np.column_stack([y, ROW])
    settings = {"module__size": size, "module__dtype": dtype}
    params = {**FAST, **params, **settings, "max_epochs": 1}
    model = WeightedTorchClassifier(Certain, **params).fit(rows, y)
    probability = model.predict_proba(rows)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert_allclose(probability.sum(axis=1), 1)
    assert np.isfinite(log_loss(y, probability))
    assert np.isfinite(model.history_[-1]["train_loss"])
    decision = model.decision_function(rows)
    assert np.isfinite(decision).all()
    assert np.abs(decision).max() > 4
    assert (model.predict(rows) == y).mean() == (size > 0)


@pytest.mark.parametrize("size", [1e4, -1e4, 1e30])
def test_scores_of_labels_of_any_size_are_probabilities(size):
    y = np.column_stack([TWO, 1 - TWO])
    rows = np.column_stack([np.where(TWO, 1, 0), ROW])
    model = WeightedTorchClassifier(
        Certain, **{**FAST, "max_epochs": 1}, module__size=size, module__dtype=torch.float32
    ).fit(rows, y)
    probability = model.predict_proba(rows)
    assert ((probability > 0) & (probability <= 1)).all()
    assert np.isfinite(log_loss(y.ravel(), np.clip(probability.ravel(), 1e-300, 1)))


@pytest.mark.parametrize("criterion", ["poisson", "gamma", "tweedie"])
def test_exponentials_of_large_scores_are_an_error_and_no_nan(criterion):
    rows = np.column_stack([ROW % 2, ROW])
    params = {"module__size": 1e4, "module__dtype": torch.float32, "criterion": criterion}
    with pytest.raises(ValueError, match=r"train_loss became (inf|nan) in epoch 1"):
        WeightedTorchRegressor(Certain, **{**FAST, "max_epochs": 1}, **params).fit(rows, POSITIVE)
