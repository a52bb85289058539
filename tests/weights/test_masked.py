"""Masked arrays: masked values are refused with what to do instead, never used or dropped."""

import numpy as np
import pytest
from numpy import ma
from numpy.testing import assert_array_equal

from skweight import (
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    clip_weights,
    effective_number,
    effective_sample_size,
    time_decay,
    weight_summary,
)

N_ROWS = 12
MASK = np.arange(N_ROWS) == 2
X = np.random.default_rng(0).normal(size=(N_ROWS, 2))
Y = X[:, 0]
LABELS = np.arange(N_ROWS) % 2
WEIGHT = np.arange(N_ROWS) + 1.0
MASKED_X = ma.array(X, mask=np.c_[MASK, ~MASK & False])
MASKED_Y, MASKED_LABELS, MASKED_WEIGHT = (
    ma.array(values, mask=MASK) for values in (Y, LABELS, WEIGHT)
)


def regressor():
    return WeightedTorchRegressor(max_epochs=2, random_state=0)


def classifier(**params):
    return WeightedTorchClassifier(max_epochs=2, random_state=0, **params)


def masked(name, remedy, position="2"):
    return rf"{name} must hold no masked values, got 1 of them, .*position {position}\. {remedy}"


IN_X = masked("X", r"Fill masked .* X\.filled\(0\)\. Or impute", r"\(2, 0\)")
IN_Y = masked("y", r"Fill masked .*sample_weight 0: y\.filled\(y\.compressed\(\)\[0\]\)")
IN_WEIGHT = masked("sample_weight", r"Give masked rows weight 0: sample_weight\.filled\(0\)")
IN_VALIDATION_WEIGHT = masked("sample_weight_val", r"Give .*: sample_weight_val\.filled\(0\)")
CASES = {
    "X": (lambda: regressor().fit(MASKED_X, Y), IN_X),
    "predict": (lambda: regressor().fit(X, Y).predict(MASKED_X), IN_X),
    "X_val": (lambda: regressor().fit(X, Y, X_val=MASKED_X, y_val=Y), f"X_val.*{IN_X}"),
    "y": (lambda: regressor().fit(X, MASKED_Y), IN_Y),
    "y and weights": (lambda: regressor().fit(X, MASKED_Y, WEIGHT), IN_Y),
    "labels": (lambda: classifier().fit(X, MASKED_LABELS), IN_Y),
    "targets": (
        lambda: regressor().fit(X, ma.array(X, mask=MASKED_X.mask)),
        masked("y", "Fill masked", r"\(2, 0\)"),
    ),
    "y_val": (lambda: regressor().fit(X, Y, X_val=X, y_val=MASKED_Y), f"y_val: {IN_Y}"),
    "partial_fit": (lambda: regressor().partial_fit(X, MASKED_Y), IN_Y),
    "classes": (
        lambda: classifier().partial_fit(X, LABELS, ma.array([0, 1, 2], mask=[0, 0, 1])),
        masked("classes", "Leave them out"),
    ),
    "score": (lambda: regressor().fit(X, Y).score(X, MASKED_Y), IN_Y),
    "accuracy": (lambda: classifier().fit(X, LABELS).score(X, MASKED_LABELS), IN_Y),
    "weights": (lambda: regressor().fit(X, Y, MASKED_WEIGHT), IN_WEIGHT),
    "weights of objects": (lambda: regressor().fit(X, Y, MASKED_WEIGHT.astype(object)), IN_WEIGHT),
    "weights in partial_fit": (lambda: regressor().partial_fit(X, Y, MASKED_WEIGHT), IN_WEIGHT),
    "weights in score": (lambda: regressor().fit(X, Y).score(X, Y, MASKED_WEIGHT), IN_WEIGHT),
    "weights in accuracy": (
        lambda: classifier().fit(X, LABELS).score(X, LABELS, MASKED_WEIGHT),
        IN_WEIGHT,
    ),
    "sample_weight_val": (
        lambda: regressor().fit(X, Y, X_val=X, y_val=Y, sample_weight_val=MASKED_WEIGHT),
        IN_VALIDATION_WEIGHT,
    ),
    "class_weight": (
        lambda: classifier(class_weight=lambda n: ma.array(n, mask=[0, 1])).fit(X, LABELS),
        masked("The result of class_weight", "Leave them out", "1"),
    ),
    "search": (
        lambda: WeightSearchCV(
            classifier(), {"class_weight": [None, "balanced"]}, cv=2, error_score="raise"
        ).fit(X, LABELS, sample_weight=MASKED_WEIGHT),
        IN_WEIGHT,
    ),
    "summary of y": (lambda: weight_summary(MASKED_LABELS), IN_Y),
    "summary of weights": (lambda: weight_summary(LABELS, MASKED_WEIGHT), IN_WEIGHT),
    "effective_sample_size": (lambda: effective_sample_size(MASKED_WEIGHT), IN_WEIGHT),
    "clip_weights": (lambda: clip_weights(MASKED_WEIGHT, 2), IN_WEIGHT),
    "age": (lambda: time_decay(MASKED_WEIGHT, 1), masked("age", "Leave them out")),
    "half_life": (lambda: time_decay([1], ma.masked), masked("half_life", "Leave them out", "0")),
    "counts": (lambda: effective_number(0.9)(MASKED_WEIGHT), masked("counts", "Leave them out")),
}


@pytest.mark.parametrize(("call", "message"), CASES.values(), ids=CASES)
def test_masked_values_are_refused_with_what_to_do_instead(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_masked_array_without_masked_values_is_an_array():
    no_mask = np.zeros(N_ROWS, dtype=bool)
    expected = regressor().fit(X, Y, WEIGHT)
    found = regressor().fit(ma.array(X), ma.array(Y, mask=no_mask), ma.array(WEIGHT, mask=False))
    assert_array_equal(found.predict(ma.array(X)), expected.predict(X))
    assert found.score(ma.array(X), ma.array(Y), ma.array(WEIGHT)) == expected.score(X, Y, WEIGHT)
    assert effective_sample_size(ma.array(WEIGHT)) == effective_sample_size(WEIGHT)


def test_the_advice_gives_the_fit_without_the_masked_rows():
    expected = regressor().fit(X[~MASK], Y[~MASK]).predict(X)
    weight = ma.array(np.ones(N_ROWS), mask=MASK).filled(0)
    filled = MASKED_Y.filled(MASKED_Y.compressed()[0])
    assert_array_equal(regressor().fit(MASKED_X.filled(0), filled, weight).predict(X), expected)


@pytest.mark.parametrize("dtype", [int, str, object, bool, np.float32])
def test_the_advice_for_y_works_for_labels_of_every_dtype(dtype):
    labels = np.array(["no", "yes"], dtype=dtype)[LABELS] if dtype in (str, object) else LABELS
    y, weight = ma.array(labels.astype(dtype), mask=MASK), (~MASK).astype(float)
    with pytest.raises(ValueError) as refused:
        classifier().fit(X, y)
    advice = str(refused.value).rsplit("sample_weight 0: ", 1)[1].rstrip(".")
    found = classifier().fit(X, eval(advice, {"y": y}), weight)
    expected = classifier().fit(X[~MASK], labels[~MASK])
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
