"""What a weight means: checks, effective size, class weights, scaling.

Everything here is numpy: exact claims are compared bit for bit. That a whole fit keeps
these laws is left to ``test_weight_laws.py``, how tensors come about to ``test_arrays.py``.
"""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_class_weight

from skweight import effective_sample_size
from skweight.weights import (
    check_sample_weight,
    flatten_mass,
    merge,
    resolve_class_weight,
    to_mean_one,
)

# check_sample_weight


@pytest.mark.parametrize(
    "given",
    [
        [1, 0, 2],
        (1.0, 0.0, 2.0),
        np.array([1, 0, 2], dtype=np.uint8),
        np.array([1, 0, 2], dtype=np.float32),
        np.array([1.0, 0.0, 2.0]),
        np.array([1, 0, 2], dtype=object),
        pd.Series([1.0, 0.0, 2.0], index=[7, 3, 5]),
        pd.Series([1, 0, 2], dtype="Int64"),
        torch.tensor([1.0, 0.0, 2.0]),
        torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True),
        torch.tensor([1.0, 0.0, 2.0], dtype=torch.bfloat16),
    ],
    ids=lambda given: f"{type(given).__name__}-{getattr(given, 'dtype', 'of numbers')}",
)
def test_weights_of_any_real_type_come_back_as_a_float64_copy(given):
    before = copy.deepcopy(given)
    weight = check_sample_weight(given, 3)
    assert_array_equal(weight, np.array([1.0, 0.0, 2.0]), strict=True)
    weight[:] = 7
    for now, then in zip(given, before, strict=True):
        assert now == then


def test_no_weights_are_ones_and_a_mask_is_ones_and_zeros():
    assert_array_equal(check_sample_weight(None, 3), np.ones(3), strict=True)
    mask = np.array([True, False, True])
    assert_array_equal(check_sample_weight(mask, 3), np.array([1.0, 0.0, 1.0]), strict=True)


@pytest.mark.parametrize(
    ("given", "error", "came"),
    [
        pytest.param([1, 2], ValueError, "expected 3 .* got 2", id="too short"),
        pytest.param([1, 2, 1, 2], ValueError, "expected 3 .* got 4", id="too long"),
        pytest.param([[1], [2], [1]], ValueError, r"2-D with shape \(3, 1\)", id="2-D"),
        pytest.param(2.0, ValueError, "0-D", id="0-D"),
        pytest.param([[1, 2], [1]], ValueError, "inhomogeneous", id="ragged"),
        pytest.param([1, -0.5, 1], ValueError, "-0.5 at position 1", id="negative"),
        pytest.param([1, math.nan, 1], ValueError, "1 NaN .* position 1", id="NaN"),
        pytest.param([1, None, 1], ValueError, "1 NaN .* position 1", id="None"),
        pytest.param([1, 1, math.inf], ValueError, "1 infinite .* position 2", id="infinite"),
        pytest.param([0, 0, 0], ValueError, "all 3 are zero", id="all zero"),
        pytest.param([1e308] * 3, ValueError, r"sum .* 1e\+308", id="sum beyond float64"),
        pytest.param([10**400, 1, 1], (TypeError, ValueError), "too large", id="beyond float64"),
        pytest.param(["1", "2", "1"], TypeError, "<U1", id="strings"),
        pytest.param("balanced", TypeError, "<U8", id="one string"),
        pytest.param(np.array(["1", "2", "1"], object), TypeError, "(object|str)", id="boxed"),
        pytest.param(pd.Series(["1", "2", "1"]), TypeError, "(object|str)", id="Series of strings"),
        pytest.param([{}, 1, 1], TypeError, "dict", id="objects"),
        pytest.param([1j, 1, 1], TypeError, "complex128", id="complex"),
        pytest.param(torch.tensor([1j, 1, 1]), TypeError, "complex", id="complex tensor"),
        pytest.param(np.zeros(3, "M8[D]"), TypeError, "datetime64", id="dates"),
    ],
)
def test_bad_weights_are_refused_by_name_and_value(given, error, came):
    with pytest.raises(error, match=f"^sample_weight must .*{came}"):
        check_sample_weight(given, 3)


@pytest.mark.parametrize(
    "given", [["1"] * 3, [[1], [1], [1]], [1], [-1, 1, 1], [0] * 3, [1e308] * 3]
)
def test_errors_call_the_weights_what_the_caller_calls_them(given):
    with pytest.raises((TypeError, ValueError), match=r"^sample_weight_val must "):
        check_sample_weight(given, 3, "sample_weight_val")
    with pytest.raises((TypeError, ValueError), match=r"^sample_weight_val must "):
        merge(np.ones((3, 1)), np.zeros(3), given, 1.0, "sample_weight_val")


# effective_sample_size

SPREAD = np.random.default_rng(0).exponential(size=50)


@pytest.mark.parametrize("scale", [1.0, 1e300, 1e-300])
def test_effective_size_is_kish_on_any_scale(scale):
    expected = math.fsum(SPREAD) ** 2 / math.fsum(SPREAD**2)
    assert 10 < expected < 45
    # The products with the scale are rounded, 1.1e-16 each.
    assert_allclose(effective_sample_size(SPREAD * scale), expected, rtol=1e-14)


@pytest.mark.parametrize("weight", [0.1, 1, 5e-324, 1e300])
def test_effective_size_of_equal_weights_is_their_number_and_zeros_count_nothing(weight):
    assert effective_sample_size([weight] * 7) == 7.0
    assert effective_sample_size([weight] * 7 + [0.0] * 3) == 7.0


def test_effective_size_grows_from_one_to_the_number_of_rows():
    sizes = [effective_sample_size([1.0] + [w] * 9) for w in (0, 1e-3, 0.5, 1)]
    assert 1.0 == sizes[0] < sizes[1] < sizes[2] < sizes[3] == 10.0


@pytest.mark.parametrize("bad", [[1, -1], [0, 0], [1, math.nan], [[1, 2]], ["1"], 3.0, []])
def test_effective_size_refuses_what_is_no_weight(bad):
    with pytest.raises((TypeError, ValueError), match=r"^sample_weight must"):
        effective_sample_size(bad)


# Class weights and row weights

ABC = np.array(["a", "b", "c"])
CODES = np.array([0, 2, 1, 2, 2])
MASS = np.array([1.0, 0.5, 2.0, 11.0, 0.5])  # 1, 2 and 12 in the classes


def test_without_class_weight_every_class_weighs_one():
    assert_array_equal(resolve_class_weight(None, ABC, CODES, MASS), [1, 1, 1])


def test_balanced_gives_every_class_the_same_mass():
    weight = resolve_class_weight("balanced", ABC, CODES, MASS)
    assert_array_equal(weight, 15 / (3 * np.array([1, 2, 12])))
    assert_allclose(np.bincount(CODES, MASS * weight[CODES]), [5, 5, 5], rtol=1e-15)


def test_balanced_without_weights_is_the_formula_of_scikit_learn():
    y = np.random.default_rng(0).choice(4, 300, p=[0.6, 0.3, 0.07, 0.03])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=y)
    assert expected.max() > 5 * expected.min()
    assert_array_equal(resolve_class_weight("balanced", np.arange(4), y, np.ones(300)), expected)


@pytest.mark.parametrize("labels", [["0", "1"], [0, 1], [1.5, 2.5], [False, True]])
@pytest.mark.parametrize("boxed", [False, True], ids=["python label", "numpy label"])
def test_a_dict_finds_labels_of_any_dtype_and_leaves_the_others_at_one(labels, boxed):
    classes = np.array(labels)
    given = {classes[1] if boxed else labels[1]: 3}
    weight = resolve_class_weight(given, classes, np.array([0, 1]), np.ones(2))
    assert_array_equal(weight, [1, 3])


def test_a_callable_gets_counts_in_units_of_the_average_row():
    seen = []
    weight = resolve_class_weight(lambda c: seen.append(c) or [3, 2, 1], ABC, CODES, MASS)
    assert_array_equal(weight, [3, 2, 1])
    assert_allclose(seen[0], np.array([1, 2, 12]) * 5 / 15, rtol=1e-15)
    assert_allclose(seen[0].sum(), len(CODES), rtol=1e-15)


@pytest.mark.parametrize("class_weight", ["balanced", np.reciprocal], ids=["balanced", "callable"])
@pytest.mark.parametrize("exponent", [1020, 900, -900, -1073])
def test_class_weights_know_no_scale(class_weight, exponent):
    mass = np.ldexp(MASS, exponent)  # exact: a power of two
    assert np.isfinite(mass.sum())
    weight = resolve_class_weight(class_weight, ABC, CODES, mass)
    assert weight.max() > 5 * weight.min() > 0
    assert_array_equal(weight, resolve_class_weight(class_weight, ABC, CODES, MASS))


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
@pytest.mark.parametrize("class_weight", [{"a": 4, "c": 0.25}, "balanced", np.sqrt])
def test_power_is_an_exponent_on_the_class_weights(class_weight, power):
    full = resolve_class_weight(class_weight, ABC, CODES, MASS)
    assert len(np.unique(full)) == 3
    weight = resolve_class_weight(class_weight, ABC, CODES, MASS, power=power)
    assert_array_equal(weight, full**power)


@pytest.mark.parametrize("class_weight", ["balanced", np.reciprocal], ids=["balanced", "callable"])
def test_a_class_without_mass_weighs_one_and_changes_no_other(class_weight):
    weight = resolve_class_weight(class_weight, ABC, np.array([0, 2]), np.array([1.0, 7]))
    without = resolve_class_weight(class_weight, ABC[:2], np.array([0, 1]), np.array([1.0, 7]))
    assert without[0] > without[1]
    assert_array_equal(weight, [without[0], 1, without[1]])


@pytest.mark.parametrize(
    ("class_weight", "error", "came"),
    [
        ("balance", ValueError, "\"balanced\".*got 'balance'"),
        (3, TypeError, "got int"),
        ([1, 2, 3], TypeError, "got list"),
        ({"d": 1}, ValueError, r"\['a', 'b', 'c'\], got 'd' \(str\)"),
        ({0: 1}, ValueError, r"got 0 \(int\)"),
        ({"a": 1, "bb": 1}, ValueError, "got 'bb'.*Did you mean 'b'"),
        ({"a": -2}, ValueError, "got -2.0 for class 'a'"),
        ({"b": math.nan}, ValueError, "got nan for class 'b'"),
        ({"c": math.inf}, ValueError, "got inf for class 'c'"),
        ({"c": "2"}, TypeError, "real numbers"),
        ({"c": [1, 2]}, (TypeError, ValueError), "inhomogeneous"),
        (lambda counts: counts[:2], ValueError, r"shape \(3,\), got shape \(2,\)"),
        (lambda counts: counts.sum(), ValueError, r"shape \(3,\), got shape \(\)"),
        (lambda counts: -counts, ValueError, "for class 'a'"),
        (lambda counts: ["x"] * 3, TypeError, "numbers, got dtype <U1"),
    ],
)
def test_bad_class_weights_are_refused_by_name_and_value(class_weight, error, came):
    with pytest.raises(error, match=f"class_weight.* must .*{came}"):
        resolve_class_weight(class_weight, ABC, CODES, MASS)


@pytest.mark.parametrize(
    ("given", "power"),
    [("x", 1), (3, 1), ({"d": 1}, 1), ({"a": -1}, 1), ({"a": "x"}, 1), ({"a": 1e300}, 2)]
    + [(function, 1) for function in (lambda n: n[:2], lambda n: -n)],
)
def test_errors_call_class_weights_what_the_caller_calls_them(given, power):
    with pytest.raises((TypeError, ValueError), match=r"^class_weight\[2\][ ,]"):
        resolve_class_weight(given, ABC, CODES, MASS, power=power, name="class_weight[2]")


def test_a_label_of_another_type_is_not_taken_for_one_in_y():
    with pytest.raises(ValueError, match=r"\[0, 1\], got '1' \(str\)\. Did you mean 1\?"):
        resolve_class_weight({"1": 2}, np.array([0, 1]), np.array([0, 1]), np.ones(2))


def test_flattened_masses_run_from_the_masses_to_equal_ones():
    assert_array_equal(flatten_mass(MASS, 1), MASS)
    assert_array_equal(flatten_mass(MASS, 0), np.ones(5))
    half = flatten_mass(MASS, 0.5)
    assert_allclose(half / half[0], np.sqrt(MASS / MASS[0]), rtol=1e-15)
    assert_array_equal(flatten_mass(MASS * 2.0**1000, 0.5), half)


@pytest.mark.parametrize("factor", [1024, 2.0**1020, 2.0**-1073, 1 / 1024])
def test_mean_one_is_the_same_to_the_last_bit_under_a_power_of_two(factor):
    weight = to_mean_one(MASS)
    assert_allclose(weight, MASS / 3, rtol=1e-15)
    assert_array_equal(to_mean_one(MASS * factor), weight)


@pytest.mark.parametrize("mass", [[1e308, 1.7e308], [5e-324, 1e-323], [5e-324, 1e308]])
def test_mean_one_holds_at_the_ends_of_float64(mass):
    weight = to_mean_one(np.array(mass))
    assert_allclose(weight.mean(), 1, rtol=1e-15)
    assert 0 <= weight[0] < weight[1] <= 2


@pytest.mark.parametrize(
    "given", [[1, 5], (1, 5), np.array([1, 5])], ids=["list", "tuple", "array"]
)
def test_class_weights_without_names_are_refused_with_a_hint(given):
    with pytest.raises(TypeError) as refused:
        resolve_class_weight(given, ABC, CODES, MASS)
    kind = type(given).__name__
    assert str(refused.value) == (
        f'class_weight must be None, "balanced", a dict or a callable, got {kind}. '
        "Name the classes: {0: 1, 1: 5}."
    )
    with pytest.raises(TypeError, match=r"callable, got int\.$"):
        resolve_class_weight(3, ABC, CODES, MASS)
    with pytest.raises(ValueError, match=r"^class_weight .* or a callable, got 'even'\.$"):
        resolve_class_weight("even", ABC, CODES, MASS)


def test_weights_of_two_dimensions_are_refused_with_a_hint_if_there_is_one_column():
    expected = "sample_weight must be 1-D with one weight per row, shape (3,), got 2-D with shape"
    with pytest.raises(ValueError) as refused:
        check_sample_weight(np.ones((3, 1)), 3)
    assert str(refused.value) == f"{expected} (3, 1). Pass its one column."
    with pytest.raises(ValueError) as refused:
        check_sample_weight(np.ones((3, 2)), 3)
    assert str(refused.value) == f"{expected} (3, 2)."
