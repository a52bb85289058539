"""Labels to codes and back, for one y of classes and for several labels.

What a class weight is worth is in ``test_sample_weight.py``; here it meets codes and priors.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

from skweight import WeightedTorchClassifier
from skweight.estimators import Labels, is_fixed

INDICATORS = np.array([[0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
MASS = np.array([1.0, 2.0, 4.0, 1.0])

# Which classes or labels there are


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([2, 0, 2, 7], [0, 2, 7]),
        ([1.0, 3.0, 1.0, 3.0], [1.0, 3.0]),
        ([True, False, True, True], [False, True]),
        (["b", "a", "10", "9"], ["10", "9", "a", "b"]),
        (np.array(["b", "a", "a", "b"], dtype=object), ["a", "b"]),
        (pd.Series([5, 4, 5, 4], index=list("wxyz")), [4, 5]),
        (pd.Series(["no", "yes", "no", "no"], dtype="category"), ["no", "yes"]),
    ],
)
def test_classes_are_sorted_and_codes_lead_back_to_them(y, classes):
    labels = Labels.of(y)
    assert not labels.multilabel
    assert labels.classes.tolist() == classes
    codes = labels.encode(y)
    assert codes.dtype == np.int32
    assert_array_equal(labels.classes[codes], np.asarray(y))
    assert len(set(codes)) == len(classes) > 1


@pytest.mark.parametrize(
    "convert",
    [
        np.array,
        lambda y: y.astype(bool),
        lambda y: y.astype(np.float32),
        pd.DataFrame,
        lambda y: pd.DataFrame(y, columns=list("abc"), index=list("wxyz")),
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_array,
        sparse.lil_array,
    ],
)
def test_zeros_and_ones_in_several_columns_are_labels(convert):
    y = convert(INDICATORS)
    labels = Labels.of(y)
    assert labels.multilabel
    assert_array_equal(labels.classes, [0, 1, 2])
    codes = labels.encode(y)
    assert_array_equal(codes, INDICATORS)
    assert type(codes) is np.ndarray and codes.dtype == np.int32


def test_a_column_of_classes_is_a_y_of_classes_with_a_warning():
    column = np.array([["b"], ["a"], ["b"]])
    with pytest.warns(DataConversionWarning, match="column-vector"):
        labels = Labels.of(column)
    assert not labels.multilabel
    # Whoever is asked to encode it has been warned.
    assert_array_equal(labels.encode(column), [1, 0, 1])


@pytest.mark.parametrize(
    ("y", "error", "came"),
    [
        (np.array([0.3, 0.7]), ValueError, "continuous"),
        (np.array([[0, 1, 2], [1, 0, 2]]), ValueError, r"multiclass-multioutput.*\(2, 3\)\.$"),
        (np.array([[0.5, 1.0], [1.0, 0.0]]), ValueError, r"continuous-multioutput .*\(2, 2\)"),
        (np.array([[1, 2], [2, 1]]), ValueError, r"zeros and ones .*\[1, 2\].*\(2, 2\)"),
        (np.array([[-1, 1], [1, 1]]), ValueError, r"zeros and ones .*\[-1, 1\]"),
        (sparse.csr_array([[0, 2], [2, 0]]), ValueError, r"zeros and ones .*2"),
        (np.array([["a", "b"], ["b", "a"]]), ValueError, "multiclass-multioutput"),
        (np.array(["a", 1], dtype=object), TypeError, "one kind, which can be sorted"),
        (np.array([None, "a"], dtype=object), ValueError, "unknown"),
    ],
)
def test_what_is_neither_is_refused_and_says_what_came(y, error, came):
    with pytest.raises(error, match=came):
        Labels.of(y)


def test_the_message_names_the_argument():
    with pytest.raises(ValueError, match=r"^y_val must have one column"):
        Labels.of(np.array([[0, 1, 2], [1, 0, 2]]), "y_val")
    with pytest.raises(TypeError, match=r"^classes must hold labels of one kind"):
        Labels.of(np.array(["a", 1], dtype=object), "classes")


# Codes of another y


@pytest.mark.parametrize(
    ("classes", "y", "error", "match"),
    [
        ([0, 1, 5], [0, 3], ValueError, r"^y_val must hold classes among \[0, 1, 5\], got 3\.$"),
        ([0, 1, 5], [0, 9, -1], ValueError, r"got 9\.$"),
        (["a", "b"], ["a", "z"], ValueError, r"among \['a', 'b'\], got 'z'\.$"),
        ([0, 1], ["0", "1"], (TypeError, ValueError), "^y_val must .*class"),
        (["0", "1"], [0, 1], (TypeError, ValueError), "^y_val must .*class"),
        ([0, 1], [[0, 1], [1, 0]], ValueError, r"one column of 2 classes, got 2 columns\.$"),
        ([0, 1], [0.5, 1], ValueError, r"got 0\.5\.$"),
    ],
)
def test_a_class_that_was_not_there_is_refused_by_its_name(classes, y, error, match):
    with pytest.raises(error, match=match):
        Labels(np.array(classes)).encode(np.array(y), "y_val")


def test_labels_of_a_mixed_kind_are_refused_where_the_classes_were_objects():
    labels = Labels.of(np.array(["a", "b"], dtype=object))
    assert_array_equal(labels.encode(np.array(["b", "a"], dtype=object)), [1, 0])
    with pytest.raises(TypeError, match=r"^y must be one column of 2 classes: "):
        labels.encode(np.array([0, 1]))


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (INDICATORS[:, :2], r"^y_val must be multilabel with 3 labels, got multilabel with 2"),
        (INDICATORS[:, 0], r"with 3 labels, got one column of 2 classes\.$"),
        (INDICATORS * 2, r"^y_val must have .*\[0, 2\]"),
        (sparse.csr_array(INDICATORS[:, :2]), "with 3 labels, got multilabel with 2"),
    ],
)
def test_other_labels_than_before_are_refused(y, match):
    labels = Labels.of(INDICATORS)
    with pytest.raises(ValueError, match=match):
        labels.encode(y, "y_val")
    # Rows that happen to hold one value only are labels all the same.
    assert_array_equal(labels.encode(np.zeros((2, 3))), np.zeros((2, 3)))


def test_labels_are_equal_if_they_stand_for_the_same_y():
    assert Labels.of(["a", "b"]) == Labels(np.array(["a", "b"], dtype=object))
    assert Labels.of([0, 1]) != Labels.of([0, 1, 2])
    assert Labels.of([0, 1, 2]) != Labels.of(INDICATORS)
    assert Labels.of(INDICATORS) == Labels.of(sparse.csr_array(INDICATORS))
    assert Labels.of([0, 1]) != [0, 1]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Labels.of([0, 1]))


# Scores to labels


def test_scores_become_the_classes_themselves():
    labels = Labels(np.array(["no", "so", "yes"]))
    assert labels.decode(np.array([[0, 1, 2.0], [3, 3, 1], [-5, -4, -9]])).tolist() == [
        "yes",
        "no",
        "so",
    ]
    two = Labels(np.array([10, 20]))
    assert_array_equal(two.decode(np.array([-0.1, 0.0, 1e-9, np.inf])), [10, 10, 20, 20])


def test_scores_of_labels_become_zeros_and_ones():
    found = Labels.of(INDICATORS).decode(np.array([[-1.0, 0.0, 2.0], [1e-9, -0.0, -3.0]]))
    assert_array_equal(found, [[0, 0, 1], [1, 0, 0]])
    assert found.dtype == np.int64


@pytest.mark.parametrize("y", [np.array(["b", "a", "c", "b"]), INDICATORS])
def test_what_was_encoded_is_decoded_from_its_scores(y):
    labels = Labels.of(y)
    codes = labels.encode(y)
    scores = 2.0 * codes - 1 if labels.multilabel else np.eye(3)[codes]
    assert_array_equal(labels.decode(scores), y)


# Priors


@pytest.mark.parametrize("factor", [1, 2.0**-1074, 2.0**1021])
def test_priors_are_shares_of_the_mass_on_any_scale(factor):
    labels = Labels(np.array(["a", "b", "c"]))
    prior = labels.priors(np.array([0, 2, 0, 2]), MASS * factor)
    assert_allclose(prior, [5 / 8, 0, 3 / 8], rtol=1e-15)
    assert prior.dtype == np.float64


def test_priors_of_labels_are_those_of_absence_and_presence():
    prior = Labels.of(INDICATORS).priors(INDICATORS, MASS)
    assert_allclose(prior, [[6 / 8, 2 / 8], [1 / 8, 7 / 8], [3 / 8, 5 / 8]], rtol=1e-15)
    assert_allclose(prior.sum(axis=1), np.ones(3), rtol=1e-15)


# Class weights


@pytest.mark.parametrize(
    ("class_weight", "power", "expected"),
    [
        (None, 1.0, [1, 1, 1]),
        ({"b": 4.0}, 1.0, [1, 4, 1]),
        ({"b": 4.0}, 0.5, [1, 2, 1]),
        ("balanced", 1.0, [8 / 6, 8 / 12, 8 / 6]),
        ("balanced", 0.0, [1, 1, 1]),
    ],
)
def test_classes_have_a_weight_each(class_weight, power, expected):
    labels, codes = Labels(np.array(["a", "b", "c"])), np.array([0, 1, 1, 2])
    weight = labels.class_weights(class_weight, codes, np.array([2.0, 3.0, 1.0, 2.0]), power)
    assert_allclose(weight, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("class_weight", "power", "expected"),
    [
        (None, 1.0, np.ones((3, 2))),
        ({1: 4.0}, 1.0, [[1, 4]] * 3),
        ({1: 4.0}, 0.5, [[1, 2]] * 3),
        ([{1: 9.0}, None, {0: 2.0}], 1.0, [[1, 9], [1, 1], [2, 1]]),
        ("balanced", 1.0, [[4 / 6, 4 / 2], [4 / 1, 4 / 7], [4 / 3, 4 / 5]]),
        ([None, "balanced", None], 1.0, [[1, 1], [4 / 1, 4 / 7], [1, 1]]),
    ],
)
def test_labels_have_a_weight_for_absence_and_one_for_presence(class_weight, power, expected):
    weight = Labels.of(INDICATORS).class_weights(class_weight, INDICATORS, MASS, power)
    assert_allclose(weight, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("class_weight", "error", "match"),
    [
        ([{1: 2.0}], ValueError, r"^class_weight .*each of 3 labels .*list, got 1\.$"),
        ([{1: 2.0}] * 4, ValueError, r"got 4\.$"),
        ({2: 2.0}, ValueError, "class_weight"),
        ([None, None, "balance"], ValueError, "class_weight"),
        ({1: -1.0}, ValueError, "class_weight"),
    ],
)
def test_class_weights_that_fit_no_labels_are_refused(class_weight, error, match):
    with pytest.raises(error, match=match):
        Labels.of(INDICATORS).class_weights(class_weight, INDICATORS, MASS, 1.0)


def test_rows_are_multiplied_by_the_weight_of_their_class():
    labels, mass = Labels(np.array([3, 4])), np.array([1.0, 2.0, 4.0])
    weight = labels.weigh(mass, np.array([1, 0, 1]), np.array([0.5, 10.0]))
    assert_array_equal(weight, [10, 1, 40])
    assert_array_equal(mass, [1, 2, 4])


def test_labels_of_a_row_have_weights_of_their_own():
    class_weight = np.array([[1.0, 9.0], [2.0, 1.0], [0.0, 5.0]])
    weight = Labels.of(INDICATORS).weigh(MASS, INDICATORS, class_weight)
    expected = [[1, 1, 0], [18, 2, 0], [4, 4, 20], [1, 2, 5]]
    assert_array_equal(weight, expected)
    assert_array_equal(MASS, [1, 2, 4, 1])


def test_without_class_weights_rows_of_labels_keep_one_weight():
    weight = Labels.of(INDICATORS).weigh(MASS, INDICATORS, np.ones((3, 2)))
    assert_array_equal(weight, MASS, strict=True)


def test_balanced_weights_give_both_sides_of_a_label_the_same_mass():
    labels = Labels.of(INDICATORS)
    class_weight = labels.class_weights("balanced", INDICATORS, MASS, 1.0)
    weight = labels.weigh(MASS, INDICATORS, class_weight)
    assert_allclose((weight * INDICATORS).sum(axis=0), [4, 4, 4], rtol=1e-12)
    assert_allclose((weight * (1 - INDICATORS)).sum(axis=0), [4, 4, 4], rtol=1e-12)


# Logarithms and names


def test_logarithms_are_taken_in_float64():
    found = Labels(np.array([0, 1])).log(np.array([0.25, 4.0]), "priors")
    assert_array_equal(found, np.log([0.25, 4.0]))
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("values", "labels", "named"),
    [
        ([1.0, 0.0, 0.0], Labels(np.array(["a", "b", "c"])), "class 'b'"),
        ([0.0, 1.0], Labels(np.array([7, 9])), "class 7"),
        ([[1.0, 1.0], [1.0, 0.0]], Labels.of(INDICATORS[:, :2]), "presence of label 1"),
        ([[1.0, 1.0], [0.0, 2.0]], Labels.of(INDICATORS[:, :2]), "absence of label 1"),
    ],
)
def test_a_zero_has_no_logarithm_and_is_named(values, labels, named):
    with pytest.raises(ValueError, match=rf"^such things need mass, got 0 for {named}\.$"):
        labels.log(np.array(values), "such things need mass")


# What is known before a row is seen


@pytest.mark.parametrize(
    ("class_weight", "fixed"),
    [
        (None, True),
        ({0: 1.0}, True),
        ([{1: 2.0}, None], True),
        ([], True),
        ("balanced", False),
        (np.sqrt, False),
        ([{1: 2.0}, "balanced"], False),
        ([None, np.sqrt], False),
    ],
)
def test_only_numbers_are_known_before_any_row(class_weight, fixed):
    assert is_fixed(class_weight) is fixed


@pytest.mark.parametrize("power", [0.5, 0, 2.0])
def test_a_power_of_class_weights_that_there_are_not_warns(power):
    """It is a parameter that changes nothing, as in a grid without ``class_weight``."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    y, quick = np.arange(40) % 2, {"max_epochs": 1, "n_members": 1, "random_state": 0}
    with pytest.warns(UserWarning, match=rf"class_weight_power={power} has no effect"):
        unused = WeightedTorchClassifier(class_weight_power=power, **quick).fit(X, y)
    plain = WeightedTorchClassifier(**quick).fit(X, y)
    np.testing.assert_array_equal(unused.predict_proba(X), plain.predict_proba(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WeightedTorchClassifier(class_weight="balanced", class_weight_power=power, **quick).fit(
            X, y
        )
