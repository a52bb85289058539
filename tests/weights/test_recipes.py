"""Ways to make weights, against their formulas written out in exact arithmetic."""

import copy
import datetime
import math
import pickle
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skweight import (
    WeightedTorchClassifier,
    clip_weights,
    effective_number,
    effective_sample_size,
    time_decay,
)
from skweight.weights import resolve_class_weight

SPREAD = np.random.default_rng(0).exponential(size=50)

# effective_number

COUNTS = np.array([1, 7, 300, 5000])


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-12, 1 - 2.0**-53])
@pytest.mark.parametrize("factor", [1, 0.3], ids=["whole counts", "fractional counts"])
def test_effective_number_is_the_formula_of_the_paper_in_60_digits(beta, factor):
    counts = COUNTS * factor
    with localcontext(prec=60):
        plain = [(1 - Decimal(beta)) / (1 - Decimal(beta) ** Decimal(n)) for n in counts.tolist()]
        expected = [float(w * len(plain) / sum(plain)) for w in plain]
    weight = effective_number(beta)(counts)
    assert weight[0] > 1.1 * weight[2]
    # Each weight is expm1 of a rounded product, and a quotient: a few units of 1.1e-16.
    assert_allclose(weight, expected, rtol=1e-14)


def test_effective_number_runs_from_equal_weights_to_inverse_frequency():
    assert_array_equal(effective_number(0)(COUNTS), np.ones(4))
    assert_allclose(effective_number(1e-15)(COUNTS), np.ones(4), atol=1e-15)
    inverse = 1 / COUNTS
    inverse *= 4 / inverse.sum()
    assert inverse[0] > 1000 * inverse[3]
    assert_allclose(effective_number(1 - 2.0**-53)(COUNTS), inverse, rtol=1e-12)


def test_effective_number_leaves_a_class_without_rows_out_of_the_sum():
    weight = effective_number(0.99)(np.array([30.0, 0, 2]))
    assert_array_equal(weight[[0, 2]], effective_number(0.99)([30, 2]))
    assert_allclose(weight[0] + weight[2], 2, rtol=1e-15)
    assert np.isfinite(weight[1]) and weight[2] > 5 * weight[0]
    resolved = resolve_class_weight(
        effective_number(0.99), np.array(["a", "b", "c"]), np.array([0] * 30 + [2] * 2), np.ones(32)
    )
    assert_array_equal(resolved, [weight[0], 1, weight[2]])


def test_effective_number_stays_finite_for_a_class_of_next_to_no_mass():
    weight = effective_number(1 - 2.0**-53)(np.array([1e-308, 1e3]))
    assert_allclose(weight, [2, 0], atol=1e-12)
    assert np.isfinite(weight).all()


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda given: pickle.loads(pickle.dumps(given)),
        lambda given: clone(WeightedTorchClassifier(class_weight=given)).class_weight,
        lambda given: clone({"class_weight": given}, safe=False)["class_weight"],
    ],
    ids=["deepcopy", "pickle", "clone of an estimator", "clone of a dict"],
)
def test_effective_number_is_a_value(copied):
    given = effective_number(np.float32(0.75))
    copied = copied(given)
    assert copied == given and hash(copied) == hash(given) and copied != effective_number(0.5)
    assert repr(copied) == "effective_number(0.75)"
    assert_array_equal(copied([1, 2]), given([1, 2]))
    assert len(set(given([1, 2]))) == 2


@pytest.mark.parametrize(
    "beta", [1, 1.0, -0.1, math.nan, math.inf, "0.9", None, [0.9], 1j, Fraction(10**20 - 1, 10**20)]
)
def test_a_beta_outside_its_range_is_refused(beta):
    with pytest.raises(ValueError, match=r"^beta must be a real number in \[0, 1\), got "):
        effective_number(beta)


# time_decay

DAYS = [0, 1, 2.5, 30, 400]
DAY = np.timedelta64(1, "D")


def test_time_decay_halves_the_weight_with_every_half_life():
    weight = time_decay(DAYS, 10)
    with localcontext(prec=40):
        expected = [float(Decimal(2) ** (-Decimal(day) / 10)) for day in DAYS]
    assert weight[0] == 1 and weight[3] == 0.125 and weight[-1] < 1e-11
    assert_allclose(weight, expected, rtol=1e-14)  # 40 half-lives: 40 roundings of exponent
    assert weight.dtype == np.float64


@pytest.mark.parametrize(
    "age",
    [
        pd.to_timedelta(DAYS, unit="D"),
        pd.Series(pd.to_timedelta(DAYS, unit="D"), index=[5, 3, 1, 2, 4]),
        pd.Series(pd.to_timedelta(DAYS, unit="D")).astype(object),
        list(pd.to_timedelta(DAYS, unit="D")),
        [datetime.timedelta(days=day) for day in DAYS],
        (np.array(DAYS) * 24).astype("m8[h]"),
        (np.array(DAYS) * 86400e9).astype("m8[ns]"),
        (np.array(DAYS) * 4).astype("m8[6h]"),
    ],
    ids=["index", "Series", "boxed", "list", "datetime", "hours", "nanoseconds", "6 hours"],
)
@pytest.mark.parametrize(
    "half_life",
    [10 * DAY, np.timedelta64(240, "h"), datetime.timedelta(10), pd.Timedelta("10D")],
    ids=lambda half_life: f"{type(half_life).__module__}-{half_life}",
)
def test_timedeltas_of_every_kind_give_the_decay_of_their_numbers(age, half_life):
    expected = time_decay(DAYS, 10)
    assert len(set(expected)) == 5
    assert_array_equal(time_decay(age, half_life), expected, strict=True)


def test_ages_of_centuries_do_not_wrap_around():
    """300 years in nanoseconds are more than int64 holds."""
    weight = time_decay(
        np.array([0, 36525, 3 * 36525], "m8[D]"), pd.Timedelta(36525, "D").as_unit("ns")
    )
    assert_array_equal(weight, [1, 0.5, 0.125])


def test_time_decay_holds_at_the_ends_of_float64_and_takes_a_tensor():
    assert_array_equal(time_decay([0, 1e-320, 1e308], 1e-320), [1, 0.5, 0])
    assert_array_equal(time_decay(torch.tensor([0.0, 1.0], requires_grad=True), 1), [1, 0.5])
    assert time_decay([], 3).shape == (0,)


@pytest.mark.parametrize(
    ("age", "half_life", "error", "came"),
    [
        ([1, -2, -3], 1, ValueError, "age must be non-negative .* got -2 at position 1"),
        ([1, math.nan], 1, ValueError, "age must be .* finite, got nan at position 1"),
        ([1, 2, math.inf], 1, ValueError, "age must be .* finite, got inf at position 2"),
        (-DAY * np.arange(3), DAY, ValueError, "age must be .* got -1 days at position 1"),
        (np.array([1, "NaT"], "m8[D]"), DAY, ValueError, "age must be .* NaT at position 1"),
        ([pd.Timedelta(1), pd.NaT], DAY, ValueError, "age must be .* NaT at position 1"),
        ([[1, 2]], 1, ValueError, r"age must be 1-D .* got shape \(1, 2\)"),
        (3, 1, ValueError, r"age must be 1-D .* got shape \(\)"),
        (["1"], 1, TypeError, "age must hold real numbers, got dtype <U1"),
        (
            np.array(["2024"], "M8[D]"),
            DAY,
            TypeError,
            "age must hold real numbers, got .*datetime64",
        ),
        (np.array([3], "m8[M]"), DAY, TypeError, "age must hold timedeltas of a fixed length: .*M"),
        (np.array([3], "m8"), DAY, TypeError, "age must hold timedeltas .*: these have no unit"),
        ([datetime.timedelta(1), "x"], DAY, TypeError, "age must hold timedeltas .*'str'"),
        ([1], 0, ValueError, "half_life must be one positive, finite value, got 0"),
        ([1], -1.5, ValueError, "half_life must be .* got -1.5"),
        ([1], math.nan, ValueError, "half_life must be .* got nan"),
        ([1], math.inf, ValueError, "half_life must be .* got inf"),
        ([1], [1], ValueError, r"half_life must be one .* got \[1\]"),
        ([1], "3", TypeError, "half_life must hold real numbers, got dtype <U1"),
        ([DAY], 0 * DAY, ValueError, r"half_life must be .* got .*timedelta64\(0,'D'\)"),
        ([DAY], np.timedelta64("NaT"), TypeError, "half_life must hold timedeltas .* no unit"),
        (
            [DAY],
            np.timedelta64("NaT", "D"),
            ValueError,
            r"half_life must be .*timedelta64\('NaT'",
        ),
        (
            [DAY],
            datetime.timedelta(-1),
            ValueError,
            r"half_life must be .* got datetime.timedelta\(days=-1",
        ),
        ([DAY], 1, TypeError, "half_life must be a timedelta, as age holds timedeltas, got 1"),
        ([1], DAY, TypeError, "half_life must be a number, as age holds numbers, got .*timedelta"),
    ],
)
def test_ages_and_half_lives_are_refused_by_name_value_and_position(age, half_life, error, came):
    with pytest.raises(error, match=f"^({came})"):
        time_decay(age, half_life)


# clip_weights


@pytest.mark.parametrize("ratio", [1, 1.5, 3, np.float32(2)])
def test_clipped_weights_are_the_smaller_of_weight_and_cap(ratio):
    before = SPREAD.copy()
    cap = Fraction(float(ratio)) * sum(map(Fraction, SPREAD)) / len(SPREAD)
    expected = [min(w, float(cap)) for w in SPREAD]
    clipped = clip_weights(SPREAD, ratio)
    assert 0 < (clipped < SPREAD).sum() < 40
    assert_allclose(clipped, expected, rtol=1e-15)
    below = clipped < 0.99 * float(cap)
    assert_array_equal(clipped[below], SPREAD[below])
    assert effective_sample_size(clipped) > effective_sample_size(SPREAD)
    assert_array_equal(SPREAD, before)


@pytest.mark.parametrize("exponent", [-900, -3, 1, 1000])
def test_clipping_is_exact_under_powers_of_two(exponent):
    clipped = clip_weights(SPREAD, 1.5)
    assert clipped.max() < SPREAD.max()
    assert_array_equal(clip_weights(np.ldexp(SPREAD, exponent), 1.5), np.ldexp(clipped, exponent))


def test_rows_of_weight_zero_are_missing_rows_to_the_clipping():
    weight = np.array([1.0, 0, 2, 0, 9])
    clipped = clip_weights(weight, 1.25)
    assert_array_equal(clipped, [1, 0, 2, 0, 5])
    assert_array_equal(clipped[weight > 0], clip_weights(weight[weight > 0], 1.25))


def test_a_large_ratio_and_equal_weights_leave_every_bit_alone():
    large = SPREAD * 1e300
    assert_array_equal(clip_weights(large, 1e308), large)
    assert not np.shares_memory(clip_weights(large, 1e308), large)
    assert_array_equal(clip_weights([0.1] * 7, 1), [0.1] * 7)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([1e308, 1e307, 1e307], [4e307, 1e307, 1e307]),
        ([5e-324, 0, 1.5e-323], [5e-324, 0, 1e-323]),
        ([5e-324, 1e308], [5e-324, 5e307]),
    ],
)
def test_clipping_holds_at_the_ends_of_float64(weight, expected):
    assert_allclose(clip_weights(weight, 1), expected, rtol=1e-15)


@pytest.mark.parametrize("ratio", [0.99, 0, -1, math.nan, math.inf, "2", None, [2], 2j])
def test_a_ratio_below_one_is_refused(ratio):
    with pytest.raises(ValueError, match=r"^ratio must be a finite number of at least 1, got "):
        clip_weights(SPREAD, ratio)


@pytest.mark.parametrize("bad", [[1, -1], [0, 0], [1, math.nan], [[1, 2]], ["1"], 3.0, []])
def test_clipping_refuses_what_is_no_weight(bad):
    with pytest.raises((TypeError, ValueError), match=r"^sample_weight must"):
        clip_weights(bad, 2)


def test_a_function_that_is_passed_in_place_of_its_result_is_named():
    with pytest.raises(ValueError) as refused:
        effective_number(np.array([5.0, 10.0]))
    assert str(refused.value) == (
        "beta must be a real number in [0, 1), got an array: pass effective_number(0.99) as "
        "class_weight, and not effective_number itself."
    )
