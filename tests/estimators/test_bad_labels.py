"""Bad input to criteria, priors, labels, validation rows: its own error, and nothing is touched.

What is wrong with weights, modules and other parameters is in ``test_bad_input.py``, with
streams in ``test_partial_fit.py``.
"""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
binary = np.arange(60) % 2
three = np.arange(60) % 3
labels = (X[:, :3] > 0).astype(int)
amounts = rng.gamma(2.0, size=60)
ones = np.ones(60)
QUICK = {"max_epochs": 3, "random_state": 0, "n_members": 1}
LABELS = "For labels use WeightedTorchClassifier."


def state(model):
    """All that a fit leaves, apart from the parameters."""
    return {k: v for k, v in vars(model).items() if k.endswith("_") or k.startswith("_")}


def assert_refused_and_untouched(model, match, X_bad, y_bad, error=ValueError, **fit_params):
    """The call fails with this message, and whatever was there before is still there."""
    before, expected = state(model), model.predict(X)
    with pytest.raises(error, match=match):
        model.fit(X_bad, y_bad, **fit_params)
    after = state(model)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before if name != "_params")
    assert_array_equal(model.predict(X), expected)


def refuses_fit(estimator, params, y_good, match, y_bad=None, error=ValueError, **fit_params):
    """A fitted model refuses new parameters or data; a new one does too and stays unfitted."""
    y_bad = y_good if y_bad is None else y_bad
    model = estimator(**QUICK).fit(X, y_good)
    model.set_params(**params)
    assert_refused_and_untouched(model, match, X, y_bad, error, **fit_params)
    fresh = estimator(**QUICK, **params)
    with pytest.raises(error, match=match):
        fresh.fit(X, y_bad, **fit_params)
    assert not hasattr(fresh, "n_features_in_")


# Targets

TAKES_ZEROS = r"Where some amounts are 0, use criterion='tweedie' with criterion__power below 2\."


@pytest.mark.parametrize(
    ("criterion", "value", "match"),
    [
        ("poisson", -1.0, r"^y must be non-negative for criterion='poisson', got .* -1\.0\.$"),
        ("tweedie", -0.5, r"^y must be non-negative for criterion='tweedie', got .* -0\.5\.$"),
        ("gamma", 0.0, rf"^y must be positive for criterion='gamma', got .* 0\.0\. {TAKES_ZEROS}$"),
        ("gamma", -2.0, r"^y must be positive for criterion='gamma', got .* -2\.0\.$"),
    ],
)
def test_targets_outside_the_domain_of_a_deviance_are_refused(criterion, value, match):
    y = amounts.copy()
    y[7] = value
    refuses_fit(WeightedTorchRegressor, {"criterion": criterion}, amounts, match, y)
    weight = ones.copy()
    weight[7] = 0  # a missing row
    assert WeightedTorchRegressor(criterion=criterion, **QUICK).fit(X, y, weight).n_iter_ == 3


def test_a_tweedie_power_from_two_on_needs_positive_targets():
    params = {"criterion": "tweedie", "criterion__power": 2.5}
    refuses_fit(
        WeightedTorchRegressor,
        params,
        amounts,
        f"^y must be positive.*0.0. {TAKES_ZEROS}$",
        ones * 0,
    )


def test_torchs_own_poisson_loss_has_the_domain_and_the_score_of_ours():
    refuses_fit(
        WeightedTorchRegressor,
        {"criterion": nn.PoissonNLLLoss},
        amounts,
        "^y must be non-negative",
        amounts - 9,
    )
    theirs, ours = (
        WeightedTorchRegressor(criterion=criterion, batch_size=-1, random_state=0).fit(
            X, 1e9 * amounts
        )
        for criterion in (nn.PoissonNLLLoss, "poisson")
    )
    assert_allclose(theirs.predict(X), ours.predict(X), rtol=2e-2)
    score = theirs.score(X, 1e9 * amounts)
    assert score == pytest.approx(ours.score(X, 1e9 * amounts), abs=1e-3) and score > 0.1


@pytest.mark.parametrize("criterion", ["poisson", "gamma", "tweedie"])
def test_a_constant_y_has_no_deviance_to_explain(criterion):
    model = WeightedTorchRegressor(criterion=criterion, **QUICK).fit(X, amounts)
    assert model.score(X, ones) == 0.0
    assert model.score(X[:1], model.predict(X[:1])) == 1.0


@pytest.mark.parametrize("criterion", ["poisson", "gamma", nn.PoissonNLLLoss])
def test_means_far_out_are_positive_and_finite(criterion):
    model = WeightedTorchRegressor(criterion=criterion, lr=0.01, random_state=0, module__clip=None)
    predicted = model.fit(X, np.exp(3 * X[:, 0])).predict(1e5 * X)
    assert predicted.min() > 0 and np.isfinite(predicted).all()
    assert np.ptp(np.log(predicted)) > 200


def test_positive_targets_that_float32_would_take_for_zero_are_refused():
    y = np.r_[np.full(20, 1e-60), np.ones(40)]
    match = "^y must not span more than float32.*1e-60 and a mean of 0.66"
    params = {"criterion": "gamma", "early_stopping": False}
    refuses_fit(WeightedTorchRegressor, params, amounts, match, y)


def test_one_row_may_have_nearly_all_the_weight():
    for weight in (np.r_[1.0, np.full(59, 1e-60)], np.r_[1e-300, np.ones(58), 1e300]):
        with pytest.warns(UserWarning, match="A few rows have most of the weight"):
            model = WeightedTorchRegressor(**QUICK).fit(X, amounts, weight)
        assert np.isfinite(model.predict(X)).all()


def test_a_warm_start_keeps_what_the_output_means():
    model = WeightedTorchRegressor(warm_start=True, **QUICK).fit(X, amounts)
    for criterion in ("poisson", nn.HuberLoss, "gaussian_nll"):
        model.set_params(criterion=criterion)
        assert_refused_and_untouched(model, "whose output does not mean", X, amounts)
    column = model.set_params(criterion="absolute_error").fit(X, amounts[:, None])
    assert column.predict(X).shape == (60, 1)


def test_a_score_needs_as_many_targets_as_the_fit():
    model = WeightedTorchRegressor(**QUICK).fit(X, np.stack([amounts, ones], axis=1))
    with pytest.raises(ValueError, match=r"^y must have shape \('n_samples', 2\), as in fit, got"):
        model.score(X, amounts)


def test_a_group_of_parameters_must_be_there():
    params = {"optimizer__param_groups": [("feature_weights", {"weight_decay": 0.1})]}
    params["module__feature_weights"] = 1.0
    match = "^optimizer__param_groups must name.*'hidden.0.weight'.*Did you mean 'feature_weight"
    refuses_fit(WeightedTorchRegressor, params, amounts, match)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (
            np.array(["low", "high"] * 30),
            f"^y must hold numbers, got 'low' at position 0. {LABELS}",
        ),
        ([*amounts[:5], "n/a", *amounts[6:]], "^y must hold numbers, got 'n/a' at position 5. For"),
        (pd.Series(["low", "high"] * 30, dtype="category"), "got 'low' at position 0. For labels"),
        (np.array([1.0, b"x"] * 30, dtype=object), "^y must hold numbers, got b'x' at position 1."),
        (np.array([1.0, (2, 3)] * 30, dtype=object), r"got \(2, 3\) at position 1\.$"),
        (np.array([["1", "2"], ["3", "high"]] * 30), "got 'high' in row 1, column 1. For labels"),
        (["1", "nan", *amounts[2:].astype(str)], "^y must be finite, got nan at position 1"),
        (np.array([1.0, None] * 30, dtype=object), "^y must not be missing .* None at position 1"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(y, match):
    refuses_fit(WeightedTorchRegressor, {}, amounts, match, y, (TypeError, ValueError))


def spoiled(make, bad, y):
    """Targets of which one is no number, as one kind of container."""
    y = np.array(y, dtype=float)
    y[7] = bad
    return make(y)


CONTAINERS = {
    "array": np.asarray,
    "float32": np.float32,
    "list": list,
    "objects": lambda y: y.astype(object),
    "series": pd.Series,
    "polars": pl.Series,
    "tensor": torch.tensor,
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (np.nan, "^y must not be missing in a row with weight, got NaN at position 7. Leave such"),
        (np.inf, "^y must be finite in a row with weight, got infinity at position 7. Leave such"),
        (
            -np.inf,
            "^y must be finite in a row with weight, got -infinity at position 7. Leave such",
        ),
    ],
)
@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_a_target_that_is_not_finite_is_refused_with_its_position(estimator, bad, match, make):
    y = spoiled(make, bad, binary)
    refuses_fit(estimator, {}, binary, match, y)
    model = estimator(**QUICK).fit(X, binary)
    for given in ([X, y], [X, y, ones]):
        with pytest.raises(ValueError, match=match):
            model.score(*given)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=f"^X_val and y_val: {match[1:]}"):
        model.fit(X, binary, X_val=X, y_val=y)
    weight = ones.copy()
    weight[7] = 0  # what the error says
    assert estimator(**QUICK).fit(X, y, weight).n_iter_ == 3


@pytest.mark.parametrize(
    ("y", "got"),
    [
        ("target", r"'target'\. Pass the column itself, such as table\['target'\]\.$"),
        (3, "3"),
        (np.float64(2.5), "2.5"),
        (np.array(3), "3"),
        (torch.tensor(1.0), "1.0"),
        ({"a": binary}, "dict"),
        ({0, 1}, "set"),
        (iter(binary), "iterator|generator"),
    ],
)
@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_y_without_rows_is_refused_by_its_name(estimator, y, got):
    match = f"^y must hold a target for each row of X, got .*({got})"
    for table in (X, pd.DataFrame(X), pd.DataFrame(X).assign(c="x").rename(columns=str)):
        with pytest.raises(TypeError, match=match):
            estimator(**QUICK).fit(table, y)
    with pytest.raises(TypeError, match=match):
        estimator(**QUICK).fit(X, binary).score(X, y)


def test_counts_that_are_all_zero_have_no_rate():
    match = "^y must hold at least one positive value.*0.0"
    refuses_fit(WeightedTorchRegressor, {"criterion": "poisson"}, amounts, match, ones * 0)


def test_validation_targets_are_refused_by_their_own_name():
    y_val = amounts.copy()
    y_val[0] = -1
    params = {"criterion": "poisson", "early_stopping": True}
    refuses_fit(
        WeightedTorchRegressor, params, amounts, "^y_val must be non-neg.*-1", X_val=X, y_val=y_val
    )


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"criterion": "quantile", "criterion__quantile": 1.0}, "^criterion__quantile must.*1.0"),
        ({"criterion": "quantile", "criterion__quantile": [0.1, 0]}, "^criterion__quantile must"),
        ({"criterion": "quantile", "criterion__quantile": [0.5, 0.5]}, "^criterion__quantile must"),
        ({"criterion": "quantile", "criterion__quantile": []}, "^criterion__quantile must"),
        ({"criterion": "huber", "criterion__delta": 0}, "^criterion__delta must.*0"),
        ({"criterion": "tweedie", "criterion__power": 0.5}, "^criterion__power must.*0.5"),
        ({"criterion": "poisson", "criterion__power": 1.5}, "criterion__power"),
        ({"criterion": "poison"}, "criterion must be one of.*got 'poison'.*'poisson'"),
        ({"weighting": "resample"}, r'^weighting must be one of \["loss", "sampling"\], got'),
    ],
)
def test_bad_settings_of_a_regression_are_refused(params, match):
    refuses_fit(WeightedTorchRegressor, params, amounts, match)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"criterion__label_smoothing": 1.0}, "^criterion__label_smoothing must.*1.0"),
        ({"criterion": "focal", "criterion__gamma": -1}, "^criterion__gamma must.*-1"),
        ({"criterion": "poly_tailed", "criterion__alpha": 0}, "^criterion__alpha must.*0"),
        ({"criterion": "poisson"}, "^criterion must be one of.*got 'poisson'"),
        ({"logit_adjustment": -1.0}, "^logit_adjustment must be a number >= 0, got -1.0"),
        ({"logit_adjustment": np.nan}, "^logit_adjustment must be a number >= 0, got nan"),
        ({"weighting": None}, "^weighting must be one of"),
    ],
)
def test_bad_settings_of_a_classification_are_refused(params, match):
    refuses_fit(WeightedTorchClassifier, params, binary, match)


def test_a_poly_tailed_loss_of_three_classes_is_refused():
    match = 'criterion "poly_tailed" is a loss of one logit.*5, 3'
    refuses_fit(WeightedTorchClassifier, {"criterion": "poly_tailed"}, three, match)


def test_a_spread_is_only_predicted_under_a_likelihood():
    model = WeightedTorchRegressor(**QUICK).fit(X, amounts)
    with pytest.raises(ValueError, match=r"^return_std=True needs.*gaussian_nll.*criterion=None"):
        model.predict(X, return_std=True)


# Priors and class weights


def test_logit_adjustment_needs_weight_in_every_class():
    match = "^logit_adjustment needs weight in every class of y, got 0 for class 2.$"
    params = {"logit_adjustment": 1.0}
    weight = (three != 2).astype(float)
    refuses_fit(WeightedTorchClassifier, params, three, match, sample_weight=weight)


def test_logit_adjustment_names_the_label_that_is_never_there():
    y = labels.copy()
    y[:, 1] = 0
    match = "^logit_adjustment needs weight.*got 0 for presence of label 1.$"
    refuses_fit(WeightedTorchClassifier, {"logit_adjustment": 1.0}, labels, match, y)


@pytest.mark.parametrize(
    ("y", "class_weight", "where"),
    [(three, {2: 0}, "class 2"), (labels, [{}, {0: 0}, {}], "absence of label 1")],
)
def test_a_class_weight_of_zero_cannot_be_taken_back(y, class_weight, where):
    params = {"class_weight": class_weight, "correct_prior": True}
    match = f"^correct_prior=True needs class weights above 0, got 0 for {where}.$"
    refuses_fit(WeightedTorchClassifier, params, y, match)


@pytest.mark.parametrize(
    "params",
    [
        {"criterion__label_smoothing": 0.1},
        {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1},
        {"criterion": nn.BCEWithLogitsLoss, "criterion__pos_weight": None},
        {"criterion": nn.MultiMarginLoss},
        {"criterion": nn.SoftMarginLoss},
    ],
)
def test_a_prior_is_not_corrected_where_scores_tell_no_probability(params):
    if "criterion__pos_weight" in params:
        params = params | {"criterion__pos_weight": torch.tensor([3.0])}
    match = "^correct_prior=True needs a criterion whose scores give probabilities"
    refuses_fit(WeightedTorchClassifier, params | {"correct_prior": True}, binary, match)


@pytest.mark.parametrize(
    ("class_weight", "error", "match"),
    [
        ([{}, {1: 2}], ValueError, "^class_weight must have one entry for each of 3 labels.*got 2"),
        (
            {2: 1.0},
            ValueError,
            r"^class_weight of label 0 .* must name classes that are in y, \[0, 1\], got 2",
        ),
        ("even", ValueError, "^class_weight of label 0 .* must be None"),
        ([1.0, 2.0, 3.0], TypeError, "^class_weight of label 0 .* must be None"),
    ],
)
def test_bad_class_weights_of_labels_are_refused(class_weight, error, match):
    params = {"class_weight": class_weight}
    refuses_fit(WeightedTorchClassifier, params, labels, match, error=error)


# Labels and several targets


def test_several_outputs_of_several_classes_are_refused():
    y = np.stack([three, binary], axis=1)
    match = r"^y must have one column, or zeros and ones.*not supported.*\(60, 2\)"
    refuses_fit(WeightedTorchClassifier, {}, binary, match, y)


def test_a_softmax_loss_of_labels_is_refused():
    params = {"criterion": nn.CrossEntropyLoss}
    match = "^criterion must score each label by itself.*CrossEntropyLoss"
    refuses_fit(WeightedTorchClassifier, params, labels, match)


def test_class_weights_of_labels_need_one_loss_per_label():
    params = {"criterion": nn.MultiLabelSoftMarginLoss, "class_weight": {1: 5}}
    match = r"^criterion must return one loss per row and label.*\(5, 3\), got shape \(5,\)"
    refuses_fit(WeightedTorchClassifier, params, labels, match)
    unweighted = WeightedTorchClassifier(criterion=params["criterion"], **QUICK).fit(X, labels)
    assert unweighted.predict(X).shape == (60, 3)


def test_a_warm_start_keeps_to_the_kind_of_y():
    model = WeightedTorchClassifier(warm_start=True, **QUICK).fit(X, binary)
    assert_refused_and_untouched(model, "warm_start=True needs the classes", X, labels)
    model = WeightedTorchRegressor(warm_start=True, **QUICK).fit(X, amounts)
    match = r"^y must have shape \('n_samples',\), as in fit, got \(60, 2\)"
    assert_refused_and_untouched(model, match, X, np.stack([amounts, amounts], axis=1))


def test_a_failed_fit_on_other_columns_forgets_nothing_of_the_last():
    model = WeightedTorchRegressor(criterion="gamma", **QUICK).fit(X, amounts)
    assert_refused_and_untouched(model, "y must be positive", X[:, :2], -amounts)
    assert model.n_features_in_ == 4


# Validation rows


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"X_val": X}, "^y_val must be given together with X_val, got None"),
        ({"y_val": binary}, "^X_val must be given together with y_val, got None"),
        ({"sample_weight_val": ones}, "^sample_weight_val needs X_val and y_val"),
        ({"X_val": X[:, :2], "y_val": binary}, "^X_val and y_val: X has 2 features.*expecting 4"),
        (
            {"X_val": X, "y_val": binary[:9]},
            "^X_val and y_val: y must have one entry for each of 60 rows of X, got 9",
        ),
        ({"X_val": X, "y_val": binary + 1}, r"^y_val must hold classes among \[0, 1\], got 2"),
        ({"X_val": X, "y_val": labels}, "^y_val must be one column of 2 classes, got 3 columns"),
        (
            {"X_val": X, "y_val": binary, "sample_weight_val": -ones},
            "^sample_weight_val must be non-negative",
        ),
        (
            {"X_val": X, "y_val": binary, "sample_weight_val": ones * 0},
            "^sample_weight_val must hold at least one positive",
        ),
    ],
)
def test_bad_validation_rows_are_refused(given, match):
    params = {"early_stopping": True}
    refuses_fit(WeightedTorchClassifier, params, binary, match, **given)


def test_validation_rows_without_early_stopping_are_refused():
    match = "^X_val and y_val are used by early stopping.*early_stopping=True .*, got False"
    params = {"early_stopping": False}
    refuses_fit(WeightedTorchClassifier, params, binary, match, X_val=X, y_val=binary)


def test_validation_rows_whose_classes_weigh_nothing_are_refused():
    params = {"early_stopping": True, "class_weight": {2: 0}}
    given = {"X_val": X, "y_val": np.full(60, 2)}
    match = "^y_val must hold a row whose class has weight"
    refuses_fit(WeightedTorchClassifier, params, three, match, **given)


# X of more dimensions


def test_the_default_network_refuses_images_and_says_what_to_do():
    images = rng.normal(size=(60, 1, 4, 4))
    match = re.escape("X must be 2-D for the default network") + r".*\(60, 1, 4, 4\).*module"
    for estimator, y in ((WeightedTorchClassifier, binary), (WeightedTorchRegressor, amounts)):
        with pytest.raises(ValueError, match=match):
            estimator().fit(images, y)


def test_images_of_another_size_are_refused_at_prediction():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    images = rng.normal(size=(60, 1, 6, 6))
    model = WeightedTorchClassifier(net, **QUICK).fit(images, binary)
    assert model.predict(images).shape == (60,)
    with pytest.raises(ValueError, match=r"^X must have rows of shape \(1, 6, 6\).*\(1, 8, 8\)"):
        model.predict(rng.normal(size=(2, 1, 8, 8)))


# Streams


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"criterion": "focal"}, "criterion"),
        ({"criterion__label_smoothing": 0.1}, "criterion__label_smoothing"),
        ({"class_weight": {1: 3}}, "class_weight"),
        ({"sample_weight_power": 0.5}, "sample_weight_power"),
        ({"module__hidden_sizes": (8,)}, "module__hidden_sizes"),
    ],
)
def test_settings_of_network_and_weights_are_fixed_between_calls_of_partial_fit(change, name):
    model = WeightedTorchClassifier(class_weight={1: 2}, random_state=0)
    model.partial_fit(X, binary, classes=[0, 1]).partial_fit(X, binary)
    expected, given = model.predict_proba(X), model.get_params()
    with pytest.raises(ValueError, match=f"^partial_fit continues.*: {name} was "):
        model.set_params(**change).partial_fit(X, binary)
    assert_array_equal(model.predict_proba(X), expected)
    if "__" not in name:
        model.set_params(**{name: given[name]}).partial_fit(X, binary)
        assert np.abs(model.predict_proba(X) - expected).max() > 1e-5
