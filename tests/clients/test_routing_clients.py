"""What ``docs/routing.md`` says of other libraries, line by line."""

import inspect
import re
from importlib.metadata import version

import numpy as np
import pytest
from helpers import run_python
from numpy.testing import assert_allclose, assert_array_equal
from routing import RECORDS, SETTINGS, TEXT, names_for, observed, rows_of, run_line, said
from sklearn.frozen import FrozenEstimator

pytestmark = pytest.mark.clients
ROWS = rows_of("Other libraries")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_a_line_does_with_weights_is_what_the_page_says(row, setting):
    assert observed(row, setting) == said(row, setting)


def test_the_page_names_the_versions_that_these_tests_run_with():
    stated = re.search(r"Tested with (.*?)\.\n", TEXT, flags=re.DOTALL)[1]
    versions = dict(re.findall(r"([\w-]+)\s([\d.]+)", stated))
    assert len(versions) == 11
    assert versions == {name: version(name) for name in versions}


def row_with(text):
    """The first row whose line has this text."""
    return next(row for row in ROWS if text in row.line)


def given_weights():
    """The weights of each recorded fit."""
    return [arguments["sample_weight"] for method, _, arguments in RECORDS if method == "fit"]


def zeros_for_some(w):
    """The weights, with 0 for the last 20 rows."""
    return np.where(np.arange(len(w)) < 70, w, 0)


# imbalanced-learn


def test_smote_gives_new_rows_weights_between_those_of_others():
    _, names = run_line(row_with("SMOTE"), "without")
    [found], w = given_weights(), names["w"]
    assert_array_equal(found[:90], w)
    assert len(found) > 90 and np.isin(found[90:], w).mean() < 0.5
    assert w.min() <= found[90:].min() and found[90:].max() <= w.max()


def test_balanced_bagging_fails_with_routing_if_the_estimator_requests_weights():
    line = "BalancedBaggingClassifier(net, n_estimators=2).fit(X, y)"
    row = row_with("BalancedBagging")._replace(line=line)
    run_line(row, "without")
    with pytest.raises(ValueError, match="sample_weight must have one weight per row"):
        run_line(row, "with")


# fairlearn


def test_weights_in_a_column_multiply_those_of_a_reduction():
    row = row_with("ExponentiatedGradient(column_net")
    w = names_for(row, routing=False)["w"]
    run_line(row, "without", w=zeros_for_some(w))
    found = given_weights()
    ratios = [weights[:70] / w[:70] for weights in found]
    assert all((weights[70:] == 0).all() for weights in found)
    assert_allclose(ratios[0], 1)  # a reduction begins without weights of its own
    assert max(ratio.std() for ratio in ratios) > 0.01


def test_the_threshold_optimizer_chooses_thresholds_without_weights():
    row = row_with("ThresholdOptimizer")
    names = names_for(row, routing=False)
    fitted = FrozenEstimator(names["net"].fit(names["X"], names["y"]))
    thresholds = []
    for weight in (names["w"], np.where(names["y"] == 1, 9.0, 0.1)):
        model, _ = run_line(row, "without", net=fitted, w=weight)
        thresholds.append(str(model.interpolated_thresholder_.interpolation_dict))
    assert thresholds[0] == thresholds[1]


# econml and doubleml


def test_the_effect_of_linear_dml_is_weighted():
    from econml.dml import LinearDML
    from sklearn.dummy import DummyRegressor

    rng = np.random.default_rng(0)
    X, t, noise, w = rng.normal(size=(4, 200))
    y, w = t * (1 + X) + noise, np.exp(w)
    zero = DummyRegressor(strategy="constant", constant=0.0)  # residuals are y and t themselves
    model = LinearDML(model_y=zero, model_t=zero, cv=2).fit(y, t, X=X[:, None], sample_weight=w)
    regressors = np.c_[t, t * X] * np.sqrt(w)[:, None]
    expected = np.linalg.lstsq(regressors, y * np.sqrt(w), rcond=None)[0]
    assert_allclose([model.intercept_, model.coef_[0]], expected, rtol=1e-6)


def test_the_final_model_of_non_param_dml_gets_weights_times_squared_residuals():
    row = row_with("NonParamDML")
    row = row._replace(
        line=row.line.replace("sample_weight=w", "sample_weight=w, cache_values=True")
    )
    model, names = run_line(row, "without")
    of_treatment = model.residuals_[1].ravel()
    assert_allclose(given_weights()[-1], names["w"] * of_treatment**2)


def test_mean_effects_of_econml_are_unweighted():
    row = row_with("DRLearner")
    model, names = run_line(row, "without")
    effect = model.effect(names["X"])
    assert model.ate(names["X"]) == pytest.approx(effect.mean())
    assert abs(np.average(effect, weights=names["w"]) - effect.mean()) > 1e-4


def test_the_weight_of_a_row_to_predict_means_nothing_in_a_learner_by_column():
    model, names = run_line(row_with("TLearner(models=column_reg)"), "without")
    X, w = names["X"], names["w"]
    assert_array_equal(model.effect(np.c_[X, w]), model.effect(np.c_[X, 0 * w]))


def test_weights_of_a_doubleml_model_change_the_effect_and_not_the_networks():
    row = row_with("DoubleMLIRM(DoubleMLData.from_arrays(X, t, y)")
    effects = []
    for weight in (1.0, 9.0):
        w = np.where(names_for(row, routing=False)["X"][:, 1] > 0, weight, 1.0)
        np.random.seed(0)  # from which doubleml draws its folds
        model, _ = run_line(row, "without", w=w)
        assert not any(given_weights())
        effects.append(model.coef[0])
    assert abs(effects[0] - effects[1]) > 1e-3


# mapie and cleanlab


def test_the_width_of_the_intervals_of_mapie_takes_no_weights():
    for row in ROWS:
        if row.clients[0].startswith("mapie"):
            kind = names_for(row, routing=False)[row.clients[0].rpartition(".")[2]]
            split = hasattr(kind, "conformalize")
            method = kind.conformalize if split else kind.fit_conformalize
            assert "sample_weight" not in inspect.signature(method).parameters


def test_cleanlab_invents_weights_for_its_last_fit():
    row = row_with("CleanLearning(net")
    run_line(row._replace(line=row.line.replace(", sample_weight=w", "")), "without")
    *before, last = given_weights()
    assert before == [None, None] and len(np.unique(last)) == 2


# shap, skrub, skada


def test_shap_starts_from_the_weighted_mean_and_changes_the_weights_that_it_is_given():
    row = row_with("KernelExplainer")
    explainer, names = run_line(row, "without")
    w, probability = names["w"], names["net"].predict_proba(names["X"])
    expected = np.average(probability, axis=0, weights=w)
    assert_allclose(explainer.expected_value, expected)
    assert np.abs(expected - probability.mean(axis=0)).max() > 1e-3
    before = w.copy()
    names["DenseData"](names["X"], [*"abcd"], None, w)
    assert_allclose(w, before / before.sum())


def test_skada_replaces_weights_writes_into_y_and_turns_on_routing():
    row = row_with("DensityReweightAdapter")
    found = []
    for sign in (1, -1):
        w = names_for(row, routing=True)["w"][::sign]
        run_line(row, "with", w=w)
        found += given_weights()
    assert_array_equal(found[0], found[1])
    _, names = run_line(row._replace(line=row.line.replace("y.copy()", "y")), "with")
    assert (names["y"][names["domain"] < 0] == -1).all()
    imported = "import skada, sklearn; print(sklearn.get_config()['enable_metadata_routing'])"
    assert run_python(imported).stdout.strip() == "True"
