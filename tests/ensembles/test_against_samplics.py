"""Standard errors are those of survey software, on surveys with published replicate weights.

``data/README.md`` says where the tables and the reference numbers come from.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import TO_CONVERGENCE
from torch import nn

from skweight import (
    ReplicateEstimator,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    brr_weights,
    jackknife_weights,
    mean_prediction,
)

FOLDER = Path(__file__).parent / "data"
REFERENCE = json.loads((FOLDER / "reference.json").read_text())
SURVEYS = ["nhanes2_brr", "nhanes2_jackknife", "nmihs_bootstrap"]
FEATURES = ["decimetres", "decimetres_above"]
ESTIMATORS = {"gaussian": WeightedTorchRegressor, "binomial": WeightedTorchClassifier}
MODELS = [("gaussian", "weight"), ("binomial", "overweight")]
# The parameter mse, and the name in the reference of what deviations are from.
CENTRES = [(True, "estimate"), (False, "replicate_mean")]


class Linear(nn.Linear):
    """A linear model that takes the input as it is."""


@dataclass(frozen=True)
class ColumnStatistic:
    """A statistic of columns of X, in which the network has no part."""

    statistic: str
    columns: list[str]

    def __call__(self, estimator, X, y, sample_weight):
        numerator, *denominator = (sample_weight @ X[name].to_numpy() for name in self.columns)
        if self.statistic == "mean":
            return numerator / sample_weight.sum()
        return numerator / denominator[0] if self.statistic == "ratio" else numerator


def coefficients(estimator, X, y, sample_weight):
    """Intercept and slopes, from predictions at zero and at unit vectors."""
    is_classifier = hasattr(estimator, "decision_function")
    predict = estimator.decision_function if is_classifier else estimator.predict
    points = pd.DataFrame(np.eye(3)[:, 1:], columns=FEATURES)
    at_zero, *at_units = np.asarray(predict(points), dtype=float).reshape(3)
    return [at_zero, *(value - at_zero for value in at_units)]


def load(survey):
    """A table, the names of its replicate weights, and the reference numbers."""
    reference = REFERENCE[survey]
    table = pd.read_csv(FOLDER / f"{survey}.csv.gz")
    names = [name for name in table if name.startswith(reference.get("prefix", "none"))]
    assert len(table) == reference["rows"]
    assert len(names) == reference.get("replicates", 0)
    return table, names, reference


def fit(estimator, survey, columns, y, mse=True, given_scale=True):
    """A fitted ReplicateEstimator, and the X that it was given, with its replicate weights."""
    table, names, reference = load(survey)
    scale = reference["scale"]["estimate" if mse else "replicate_mean"]
    model = ReplicateEstimator(
        estimator, method=reference["method"], scale=scale if given_scale else None, mse=mse
    )
    X = table[[*columns, *names]]
    weight = table[reference["weight"]].to_numpy(float)
    return model.fit(X, table[y], weight, replicate_weights=names), X


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize(("mse", "centre"), CENTRES)
def test_statistics_of_columns_have_the_standard_errors_of_samplics(survey, mse, centre):
    expected = {
        name: entry
        for name, entry in REFERENCE[survey]["statistics"].items()
        if entry["statistic"] not in ESTIMATORS
    }
    assert len(expected) >= 3
    columns = list(dict.fromkeys(name for e in expected.values() for name in e["columns"]))
    estimator = WeightedTorchRegressor(Linear, max_epochs=1, early_stopping=False, n_members=1)
    # The factor of the jackknife with strata does not follow from the weights.
    model, X = fit(
        estimator, survey, columns, columns[0], mse, given_scale=survey == "nhanes2_jackknife"
    )
    for entry in expected.values():
        result = model.statistic(ColumnStatistic(entry["statistic"], entry["columns"]), X)
        assert result.value == pytest.approx(entry["value"], rel=1e-12)
        assert result.standard_error == pytest.approx(entry["standard_error"][centre], rel=1e-9)
        by_other_centre = entry["standard_error"][dict(CENTRES)[not mse]]
        if entry["statistic"] != "total" or survey == "nmihs_bootstrap":
            assert result.standard_error != pytest.approx(by_other_centre, rel=1e-9)


@pytest.mark.parametrize("survey", ["nhanes2_brr", "nhanes2_jackknife"])
@pytest.mark.parametrize(("family", "y"), MODELS)
@pytest.mark.parametrize(("mse", "centre"), CENTRES)
def test_a_linear_network_has_the_standard_errors_of_regression(survey, family, y, mse, centre):
    """Its coefficients, and the mean of its predictions, which is the weighted mean of y."""
    estimator = ESTIMATORS[family](Linear, n_members=1, **TO_CONVERGENCE)
    model, X = fit(estimator, survey, FEATURES, y, mse)
    statistics = REFERENCE[survey]["statistics"]
    for function, name in ((coefficients, f"{family}_{y}"), (mean_prediction, f"mean_{y}")):
        expected = statistics[name]
        result = model.statistic(function, X)
        error = np.array(expected["standard_error"][centre])
        assert result.replicates.shape == (REFERENCE[survey]["replicates"], *error.shape)
        assert (abs(result.value - np.array(expected["value"])) < 1e-3 * error).all()
        np.testing.assert_allclose(result.standard_error, error, rtol=1e-4)


def test_a_network_without_inputs_has_the_standard_error_of_the_mean():
    estimator = WeightedTorchRegressor(Linear, n_members=1, **TO_CONVERGENCE)
    table, names, reference = load("nmihs_bootstrap")
    constant = np.zeros((len(table), 1))
    model = ReplicateEstimator(estimator, method="bootstrap")
    model.fit(
        constant,
        table["birth_weight"],
        table[reference["weight"]],
        replicate_weights=table[names],
    )
    expected = reference["statistics"]["mean_birth_weight"]
    result = model.statistic(
        mean_prediction, constant, degrees_of_freedom=reference["degrees_of_freedom"]
    )
    error = expected["standard_error"]["estimate"]
    assert result.value == pytest.approx(expected["value"], rel=1e-6)
    assert result.standard_error == pytest.approx(error, rel=1e-4)
    low, high = result.confidence_interval(0.95)
    assert (high - low) / 2 == pytest.approx(2.009575 * error, rel=1e-4)  # Student's t with 49


@pytest.mark.parametrize("name", ["mean_zinc", "mean_highbp", "total_highbp"])
@pytest.mark.parametrize("method", ["jkn", "brr"])
def test_weights_made_from_the_design_give_the_standard_errors_of_svy(method, name):
    """Rows whose y is unknown have weight 0, and their clusters remain in the design."""
    table, _, reference = load("nhanes2_design")
    entry = reference["statistics"][name]
    expected = entry["standard_error"]
    y = table[entry["columns"][0]]
    weight = np.where(y.notna(), table["finalwgt"], 0.0)
    y = y.fillna(0).to_numpy(float)
    make = {"jkn": jackknife_weights, "brr": brr_weights}[method]
    made = make(table["stratid"], table["psuid"], weight)
    assert (made.method, made.degrees_of_freedom) == (method, reference["degrees_of_freedom"])

    def statistic(w):
        return w @ y / (w.sum() if entry["statistic"] == "mean" else 1)

    def linear(w):
        """The statistic, linearised at the weights of the full sample."""
        return statistic(w) if is_total else w @ (y - value) / weight.sum() + value

    def error(of):
        return np.sqrt(made.scale @ (np.array([of(w) for w in made.weights.T]) - value) ** 2)

    value, is_total = statistic(weight), entry["statistic"] == "total"
    assert value == pytest.approx(entry["value"], rel=1e-12)
    assert error(linear) == pytest.approx(expected["linearised"], rel=1e-9)
    # Half-samples are another choice than svy's. Over 2,000 choices of columns and signs of
    # Hadamard's matrix, the error of the mean of zinc was 0.4954 with a spread of 0.0037.
    same = method == "jkn" or is_total
    assert error(statistic) == pytest.approx(expected[method], rel=1e-9 if same else 0.03)
