"""Numbers that become too small are 0, also where ``np.seterr`` makes that an error."""

from datetime import timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skweight import (
    clip_weights,
    effective_number,
    effective_sample_size,
    time_decay,
    weight_summary,
)
from skweight.weights import flatten_mass, scale_near_one, to_mean_one

WEIGHTS = {
    "near underflow": np.array([5e-324, 1e-310, 1.0]),
    "over all of float64": np.array([1e-300, 1.0, 1e300]),
    "one row": np.array([1e-200, 1e-200, 1.0]),
    "the smallest": np.full(3, 5e-324),
    "float32": np.array([1e-45, 1.0, 3e38], dtype=np.float32),
    "zero": np.array([0.0, 1e-320, 1e307]),
}
each_weights = pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)


@pytest.fixture(autouse=True)
def _every_floating_point_error_is_raised():
    with np.errstate(all="raise"):
        yield


@pytest.mark.parametrize(
    ("age", "half_life", "expected"),
    [
        ([0, 1, 100_000], 1, [1, 0.5, 0]),
        ([0, 1074, 1076], 1, [1, 5e-324, 0]),
        ([1e-320, 1e308], 1e308, [1, 0.5]),
        ([0, 1e300], 1e-300, [1, 0]),
        ([timedelta(0), timedelta(days=999_999)], timedelta(microseconds=1), [1, 0]),
        (np.array([0, 10**9], "m8[D]"), np.timedelta64(1, "s"), [1, 0]),
    ],
)
def test_the_weight_of_very_old_rows_decays_to_0(age, half_life, expected):
    assert time_decay(age, half_life).tolist() == expected


@each_weights
def test_recipes_and_summaries_take_weights_of_any_scale(weight):
    assert 1 <= effective_sample_size(weight) <= 3
    assert clip_weights(weight, 2).max() > 0
    for class_weight in (None, "balanced", {0: 1e-300, 1: 1e300}, effective_number(0.999)):
        summary = weight_summary([0, 1, 1], weight, class_weight)
        assert_allclose(summary["loss_share"][:2].sum(), 1)


@each_weights
def test_scaled_and_flattened_weights_keep_their_largest(weight):
    weight = weight.astype(np.float64)
    assert_allclose(to_mean_one(weight).mean(), 1)
    assert 0.5 <= scale_near_one(weight).max() < 1
    for power in (1e-9, 0.5, 3, 1000):
        assert flatten_mass(weight, power).argmax() == weight.argmax()
    assert_allclose(flatten_mass(weight, 0), weight > 0)  # a weight of 0 stays 0


@pytest.mark.parametrize("beta", [0, 1e-300, 0.5, 1 - 1e-16])
@pytest.mark.parametrize("counts", [[5e-324, 1], [1e-300, 1], [1, 1e300], [0, 1]])
def test_class_weights_by_the_effective_number_are_those_of_the_classes_with_rows(beta, counts):
    weight = effective_number(beta)(counts)
    assert_allclose(weight[np.array(counts) > 0].mean(), 1)


def test_the_setting_of_the_caller_is_kept_and_overflow_is_still_an_error():
    effective_sample_size(WEIGHTS["over all of float64"])
    assert set(np.geterr().values()) == {"raise"}
    with pytest.raises(ValueError, match="sum that float64 can hold"):
        effective_sample_size([1e308, 1e308])
