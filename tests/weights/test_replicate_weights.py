"""What each replicate counts in a variance, and the object that holds replicate weights."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skweight import ReplicateWeights
from skweight.weights import REPLICATE_METHODS, variance_factors

WEIGHTS = np.array([[0.0, 2, 1], [2, 0, 1], [3, 3, 0]])


@pytest.mark.parametrize(
    ("method", "options", "factor"),
    [
        ("brr", {}, 1 / 8),
        ("brr", {"fay": 0.5}, 1 / 2),
        ("brr", {"fay": 0.3}, 1 / (8 * 0.49)),
        ("jk1", {}, 7 / 8),
        ("bootstrap", {}, 1 / 8),
        ("bootstrap", {"mse": False}, 1 / 7),
        ("brr", {"mse": False}, 1 / 8),
        ("sdr", {}, 4 / 8),
        ("jkn", {"scale": 0.5}, 0.5),
        ("sdr", {"scale": 0.05}, 0.05),
        ("brr", {"fay": 0.5, "scale": 3}, 3),
    ],
)
def test_a_replicate_counts_what_the_formula_of_its_method_says(method, options, factor):
    factors = variance_factors(method, 8, **options)
    assert factors.shape == (8,) and factors.dtype == np.float64
    assert_allclose(factors, factor, rtol=1e-15)


@pytest.mark.parametrize("method", REPLICATE_METHODS)
def test_a_scale_per_replicate_takes_the_place_of_any_formula(method):
    scale = pd.Series([0.5, 0.75, 0.0], index=[4, 2, 1])
    assert_array_equal(variance_factors(method, 3, scale=scale), [0.5, 0.75, 0.0])
    assert variance_factors(method, 3, scale=scale) is not scale.to_numpy()


@pytest.mark.parametrize(
    ("args", "options", "error", "came"),
    [
        (("BRR", 8), {}, ValueError, r"method must be one of \[.*got 'BRR'\. Did you mean 'brr'"),
        (("bootstap", 8), {}, ValueError, r"method must .* Did you mean 'bootstrap'\?"),
        ((None, 8), {}, ValueError, r"method must be one of .*, got None\.$"),
        (("brr", 1), {}, ValueError, "n_replicates must be an integer of at least 2, got 1"),
        (("brr", 2.0), {}, ValueError, r"n_replicates must .* got 2\.0"),
        (("brr", True), {}, ValueError, r"n_replicates must .* got True"),
        (("brr", 8), {"fay": 1}, ValueError, r"fay must be a number in \[0, 1\), got 1"),
        (("brr", 8), {"fay": -0.1}, ValueError, r"fay must be .* got -0\.1"),
        (("brr", 8), {"fay": math.nan}, ValueError, "fay must be .* got nan"),
        (("brr", 8), {"fay": "0.5"}, ValueError, "fay must be .* got '0.5'"),
        (("jk1", 8), {"fay": 0.5}, ValueError, "fay must be 0 unless .* got 0.5 with 'jk1'"),
        (("jkn", 8), {}, ValueError, r'scale must be given for method "jkn", got None: \(n_h'),
        (
            ("jkn", 3),
            {"scale": [1, 2]},
            ValueError,
            r"scale must .* 3 rep.* got shape \(2,\)",
        ),
        (("brr", 2), {"scale": [[1], [1]]}, ValueError, r"scale must .* got shape \(2, 1\)"),
        (("brr", 2), {"scale": [1, -1]}, ValueError, r"scale .* got -1\.0 for replicate 1"),
        (("brr", 2), {"scale": [math.nan, 1]}, ValueError, "scale .* got nan for replicate 0"),
        (("brr", 2), {"scale": math.inf}, ValueError, "scale .* got inf for replicate 0"),
        (("brr", 2), {"scale": "1"}, TypeError, "scale must hold real numbers"),
    ],
)
def test_what_gives_no_variance_is_refused_by_name(args, options, error, came):
    with pytest.raises(error, match=f"^{came}"):
        variance_factors(*args, **options)


def test_replicate_weights_hold_arrays_and_are_shown_in_a_line():
    replicates = ReplicateWeights(pd.DataFrame(WEIGHTS), "jkn", [0.5, 0.5, 0.75], 2)
    assert_array_equal(np.asarray(replicates), WEIGHTS)
    assert np.asarray(replicates, dtype=np.float32).dtype == np.float32
    assert np.array(replicates, copy=True) is not replicates.weights
    assert replicates.scale.tolist() == [0.5, 0.5, 0.75] and replicates.degrees_of_freedom == 2
    shown = "ReplicateWeights('jkn', 3 rows, 3 replicates, scale 0.5 to 0.75, 2 degrees of freedom)"
    assert repr(replicates) == shown
    assert repr(pickle.loads(pickle.dumps(replicates))) == shown
    with pytest.raises(AttributeError):
        replicates.method = "brr"


def test_replicate_weights_are_a_copy_of_what_was_passed():
    weights, scale = WEIGHTS.copy(), np.array([0.5, 0.5, 0.75])
    replicates = ReplicateWeights(weights, "jkn", scale)
    weights[:], scale[:] = 7, 7
    assert_array_equal(replicates.weights, WEIGHTS)
    assert replicates.scale[0] == 0.5 and replicates.degrees_of_freedom is None


NO_WEIGHT, NEGATIVE, NOT_FINITE = WEIGHTS.copy(), WEIGHTS.copy(), WEIGHTS.copy()
NO_WEIGHT[:, 1], NEGATIVE[1, 2], NOT_FINITE[2, 0] = 0, -1, math.nan


@pytest.mark.parametrize(
    ("args", "error", "came"),
    [
        (([1, 2, 3], "jk1", 1), ValueError, r"weights must be 2-D .* got shape \(3,\)"),
        ((np.ones((0, 3)), "jk1", 1), ValueError, r"weights must be 2-D .* got shape \(0, 3\)"),
        (([["a", "b"]], "jk1", 1), TypeError, "weights must hold real numbers"),
        (
            (np.ones((3, 1)), "jk1", 1),
            ValueError,
            r"weights must hold at least two replicates, got 1",
        ),
        ((NO_WEIGHT, "jk1", 1), ValueError, r"weights\[:, 1\] must hold at least one positive"),
        ((NEGATIVE, "jk1", 1), ValueError, r"weights\[:, 2\] must be non-negative.* position 1"),
        ((NOT_FINITE, "jk1", 1), ValueError, r"weights\[:, 0\] must be finite.* position 2"),
        ((WEIGHTS, "jk", 1), ValueError, r"method must be one of .* Did you mean 'jk"),
        ((WEIGHTS, "jkn", [1, 2]), ValueError, "scale must be a number or hold one for each"),
        ((WEIGHTS, "jkn", None), ValueError, "scale must be given"),
        ((WEIGHTS, "jk1", 1, 0), ValueError, "degrees_of_freedom must be .* got 0"),
        ((WEIGHTS, "jk1", 1, 2.5), ValueError, r"degrees_of_freedom must be .* got 2\.5"),
    ],
)
def test_what_are_no_replicate_weights_is_refused_by_name(args, error, came):
    with pytest.raises(error, match=f"^{came}"):
        ReplicateWeights(*args)


def test_some_rows_of_replicate_weights_keep_what_the_others_are():
    weights = np.arange(1.0, 13.0).reshape(4, 3)
    every = ReplicateWeights(weights, "jkn", [0.5, 0.25, 0.75], 2)
    some = every[[3, 0]]
    np.testing.assert_array_equal(some.weights, weights[[3, 0]])
    np.testing.assert_array_equal(some.scale, every.scale)
    assert (some.method, some.degrees_of_freedom, some.shape) == ("jkn", 2, (2, 3))
    assert repr(some) == (
        "ReplicateWeights('jkn', 2 rows, 3 replicates, scale 0.25 to 0.75, 2 degrees of freedom)"
    )
    plain = ReplicateWeights(weights, "bootstrap", [0.5, 0.5, 0.5])
    assert repr(plain) == (
        "ReplicateWeights('bootstrap', 4 rows, 3 replicates, scale 0.5, unknown degrees of freedom)"
    )


def test_an_array_of_replicate_weights_is_a_copy_if_one_is_asked_for():
    weights = ReplicateWeights(np.ones((3, 2)), "bootstrap", 0.5)
    assert weights.__array__() is weights.weights
    assert weights.__array__(np.float64) is weights.weights
    assert np.asarray(weights, dtype=np.float32).dtype == np.float32
    copy = weights.__array__(copy=True)
    assert copy is not weights.weights and copy.dtype == np.float64
    assert weights.__array__(np.float32, copy=True).dtype == np.float32
