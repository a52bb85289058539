"""What ``docs/routing.md`` says of scikit-learn's meta-estimators, line by line."""

import inspect
import re
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from routing import (
    RECORDS,
    SETTINGS,
    SKLEARN,
    SKLEARN_NAMES,
    Row,
    names_for,
    observed,
    rows_of,
    run_line,
    said,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator

ROWS = rows_of("scikit-learn")
# What a line warns of, by its beginning and the setting of routing.
WARNS = {
    ("CalibratedClassifierCV(pipe", "without"): "Pipeline does not appear to accept sample_weight",
    ("WeightSearchCV(net", "without"): "one by one.*overrides fit",  # as the recording one does
    ("WeightSearchCV(net", "with"): "one by one.*overrides fit",
}


def warned(row, setting):
    """Expect the warning of a row, if it has one."""
    found = [
        text
        for (line, when), text in WARNS.items()
        if row.line.startswith(line) and when == setting
    ]
    return pytest.warns(UserWarning, match=found[0]) if found else warnings.catch_warnings()


def clients_of_sklearn():
    """Classes of scikit-learn that hold estimators, and functions of an estimator and weights."""
    holds = {"estimator", "estimators", "regressor", "steps", "transformers", "transformer_list"}
    for name, client in SKLEARN_NAMES.items():
        parameters = {*inspect.signature(client).parameters}
        if inspect.isclass(client):
            is_client = parameters & holds
        else:
            is_client = "estimator" in parameters and parameters & {"sample_weight", "params"}
        if is_client:
            yield name


def test_the_page_has_the_rows_of_all_meta_estimators():
    rows = {row.clients[0] for row in ROWS}
    rows |= {re.sub("Classifier$", "Regressor", client) for client in rows}
    found = {*clients_of_sklearn()}
    assert {"Pipeline", "GridSearchCV", "RFE", "cross_validate"} <= found and len(found) > 35
    assert found - rows == set()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_a_line_does_with_weights_is_what_the_page_says(row, setting):
    with warned(row, setting):
        assert observed(row, setting) == said(row, setting)


def regression_rows():
    """Rows that also hold for regressors, with that name of the client if it is not on the page."""
    own = {row.clients[0] for row in ROWS}
    for row in ROWS:
        client = row.clients[0]
        regressor = re.sub("Classifier$", "Regressor", client)
        generic = regressor == client and "Classifier" not in client and "reg" not in row.line
        if generic or (regressor not in own and regressor in SKLEARN_NAMES):
            yield row


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", regression_rows(), ids=str)
def test_a_line_does_the_same_with_a_regressor(row, setting):
    with warned(row, setting):
        assert observed(row, setting, regression=True) == said(row, setting)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", rows_of("Other arguments of fit"), ids=str)
def test_other_arguments_arrive_where_the_page_says(row, setting):
    assert observed(row, setting, of=row.clients[0]) == said(row, setting)


# --------------------------------------------------------------------------------------
# Effects
# --------------------------------------------------------------------------------------


def without_folds():
    """Rows and settings in which all fits are weighted, and rows of weight 0 count nowhere.

    The others count rows, in folds or in what they draw, or return numbers instead of a model.
    """
    others = re.compile("cv|cross_val|permutation|partial_dependence|Halving|RANSAC")
    for row in ROWS:
        other = others.search(row.line)
        scaler_alone = "net__sample_weight" in row.line and "scale__" not in row.line
        for setting in SETTINGS:
            if said(row, setting).startswith("fit") and not other and not scaler_alone:
                yield pytest.param(row, setting, id=f"{row}-{setting}")


N_KEPT = 70


@pytest.mark.parametrize(("row", "setting"), without_folds())
def test_rows_of_weight_0_are_absent_for_the_client_as_well(row, setting):
    fitting = Row(row.clients, row.line.partition(".score(")[0], row.says)
    whole, names = run_line(fitting, setting, w=zeros_at_the_end())
    columns = ("X", "frame", "y", "y3", "Y", "t", "T", "w")
    part, _ = run_line(fitting, setting, **{name: names[name][:N_KEPT] for name in columns})
    again, _ = run_line(fitting, setting, w=zeros_at_the_end()[::-1])
    X = names["frame" if "frame" in row.line else "X"]
    X = np.c_[X, names["w"]] if "column_net" in row.line else X
    found, expected, other = (numbers_of(model, X) for model in (whole, part, again))
    assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - other).max() > 1e-4


def zeros_at_the_end():
    """Weights of the page, with 0 for the last rows."""
    w = names_for(ROWS[0], routing=False)["w"]
    return np.where(np.arange(len(w)) < N_KEPT, w, 0)


def numbers_of(model, X):
    """What a fitted client predicts, as numbers that any change of its networks changes."""
    if not hasattr(model, "predict"):  # SelectFromModel
        return model.estimator_.predict_proba(X)
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            found = getattr(model, method)(X)
            return np.concatenate(found) if isinstance(found, list) else found
    if hasattr(model, "named_estimators_"):  # which vote
        return np.concatenate(
            [numbers_of(one, X[:, : one.n_features_in_]) for one in model.estimators_]
        )
    return model.predict(X)


def test_a_scaler_without_weights_lets_rows_of_weight_0_change_the_fit():
    row = Row(("Pipeline",), "pipe.fit(X, y, net__sample_weight=w)", {})
    whole, names = run_line(row, "without", w=zeros_at_the_end())
    kept = {name: names[name][:N_KEPT] for name in ("X", "y", "w")}
    part, _ = run_line(row, "without", **kept)
    assert np.abs(whole.predict_proba(names["X"]) - part.predict_proba(names["X"])).max() > 1e-4


def given_weights():
    """The weights of each recorded fit."""
    return [arguments["sample_weight"] for method, _, arguments in RECORDS if method == "fit"]


def row_of(client):
    """The first row of a client."""
    return next(row for row in ROWS if row.clients[0] == client)


def test_adaboost_begins_with_the_weights_and_scales_them_to_sum_1():
    _, names = run_line(row_of("AdaBoostClassifier"), "without")
    first, second = given_weights()
    assert_allclose(first, names["w"] / names["w"].sum())
    assert second.sum() == pytest.approx(1) and np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("setting", SETTINGS)
def test_bagging_draws_no_row_of_weight_0(setting):
    w = zeros_at_the_end()
    run_line(row_of("BaggingClassifier"), setting, w=w)
    for counts in given_weights():
        assert (counts[N_KEPT:] == 0).all()
        drawn = counts if SKLEARN >= (1, 8) else counts[:N_KEPT] / w[:N_KEPT]
        assert_allclose(drawn, drawn.round(), atol=1e-9)
        assert drawn.max() > 1


def test_adaboost_of_regressors_draws_no_row_of_weight_0():
    _, names = run_line(row_of("AdaBoostRegressor"), "without", w=zeros_at_the_end())
    used = np.concatenate([of_X[:, 0] for method, of_X, _ in RECORDS if method == "fit"])
    assert not np.isin(names["X"][N_KEPT:, 0], used).any() and len(used) == 2 * len(names["X"])


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_partial_dependence_is_a_weighted_mean(setting):
    found, names = run_line(row_of("partial_dependence"), setting)
    X, fixed = names["X"].copy(), found["grid_values"][0][3]
    X[:, 0] = fixed
    probability = names["net"].predict_proba(X)[:, 1]
    expected = np.average(probability, weights=names["w"])
    assert found["average"][0, 3] == pytest.approx(expected, abs=1e-6)
    assert abs(expected - probability.mean()) > 1e-4


def test_ransac_draws_rows_without_weights():
    run_line(row_of("RANSACRegressor"), "without", w=zeros_at_the_end())
    first = RECORDS[0][2]["sample_weight"]
    assert len(first) == 45 and 0 < (first == 0).sum() < 20


@pytest.mark.filterwarnings("ignore:Since FrozenEstimator does not appear")
@pytest.mark.parametrize("setting", SETTINGS)
def test_calibrators_and_final_estimators_are_weighted_too(setting):
    with sklearn.config_context(enable_metadata_routing=SETTINGS[setting]):
        names = names_for(ROWS[0], SETTINGS[setting])
        net, X, y, w = (names[name] for name in ("net", "X", "y", "w"))
        net.fit(X, y, w)
        found = [
            CalibratedClassifierCV(FrozenEstimator(net))
            .fit(X, y, sample_weight=weight)
            .predict_proba(X)
            for weight in (w, w[::-1])
        ]
        assert np.abs(found[0] - found[1]).max() > 0.01
        stack = StackingClassifier([("net", net)], cv="prefit")
        finals = [
            stack.fit(X, y, sample_weight=weight).final_estimator_.coef_ for weight in (w, w[::-1])
        ]
        assert np.abs(finals[0] - finals[1]).max() > 0.01


# --------------------------------------------------------------------------------------
# Other arguments
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_val", "n_in_a_fold"), [(20, 20), (90, 45)])
def test_validation_rows_are_split_only_if_they_are_as_many_as_those_of_x(n_val, n_in_a_fold):
    row = next(
        row
        for row in rows_of("Other arguments of fit")
        if "X_val" in row.line and "Grid" in row.line
    )
    rng = np.random.default_rng(0)
    X_val, y_val = rng.normal(size=(n_val, 4)), rng.integers(2, size=n_val)
    run_line(row, "without", X_val=X_val, y_val=y_val)
    used = [len(arguments["X_val"]) for method, _, arguments in RECORDS if method == "fit"]
    assert used == [n_in_a_fold] * 4 + [n_val]  # two settings, two folds, and the best on all rows


def test_validation_rows_are_scaled_only_by_transform_input():
    lines = [
        row
        for row in rows_of("Other arguments of fit")
        if "X_val" in row.line and "pipe" in row.line
    ]
    values = []
    for row, setting in zip(lines, ["without", "with"]):
        _, names = run_line(row, setting)
        values.append(RECORDS[0][2]["X_val"])
    assert_array_equal(values[0], names["X_val"])
    assert np.abs(values[1] - names["X_val"]).max() > 0.01
    assert_allclose(values[1], names["pipe"][0].transform(names["X_val"]))
