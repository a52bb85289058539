"""The table of calibration: by hand, under the weight laws, and against its own formulas."""

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import calibration_curve

from skweight import calibration_table

Y = np.array([0, 0, 1, 0, 1, 1, 0, 1])
PROB = np.array([0.1, 0.1, 0.2, 0.4, 0.6, 0.6, 0.7, 0.9])
WEIGHT = np.array([1.0, 2, 1, 2, 1, 1, 2, 2])
COLUMNS = ["lowest", "highest", "rows", "weight_share", "mean_probability", "observed_share"]
COLUMNS += ["standard_error"]


def rows(seed, n=2000, tied=True):
    """Labels, probabilities and weights, some of them 0; probabilities that tie are calibrated."""
    rng = np.random.default_rng(seed)
    prob = rng.beta(1, 4, n)
    prob = prob.round(2) if tied else prob
    y = (rng.random(n) < prob).astype(int)
    return y, prob, rng.integers(0, 4, n).astype(float)


def assert_same_table(found, expected, columns=COLUMNS, rtol=1e-12):
    assert [*found] == [*expected] == COLUMNS
    for name in columns:
        assert_allclose(found[name], expected[name], rtol=rtol, err_msg=name)
    assert_allclose(found.calibration_error, expected.calibration_error, rtol=rtol)


def test_a_table_holds_the_formulas_bin_by_bin():
    table = calibration_table(Y, PROB, WEIGHT, n_bins=3)
    assert [*table] == COLUMNS
    assert table["lowest"].tolist() == [0.1, 0.4, 0.7]
    assert table["highest"].tolist() == [0.2, 0.6, 0.9]
    assert table["rows"].tolist() == [3, 3, 2] and table["rows"].dtype.kind == "i"
    assert_allclose(table["weight_share"], [1 / 3] * 3, rtol=1e-15)
    assert_allclose(table["mean_probability"], [0.5 / 4, 2 / 4, 3.2 / 4], rtol=1e-14)
    assert_allclose(table["observed_share"], [1 / 4, 2 / 4, 2 / 4], rtol=1e-14)
    variance = np.array([5 * 0.25**2 + 0.75**2, (4 + 1 + 1) * 0.5**2, (4 + 4) * 0.5**2]) / 16
    assert_allclose(table["standard_error"], np.sqrt(variance), rtol=1e-14)
    assert table.calibration_error == pytest.approx((0.125 + 0 + 0.3) / 3)


def test_a_table_is_shown_copied_and_made_a_data_frame():
    table = calibration_table(Y, PROB, WEIGHT, n_bins=2)
    first, *_, last = repr(table).splitlines()
    assert first.split() == COLUMNS and last == f"calibration error {table.calibration_error:.6g}"
    assert pd.DataFrame(table).shape == (2, 7)
    for other in (pickle.loads(pickle.dumps(table)), copy.copy(table), copy.deepcopy(table)):
        assert repr(other) == repr(table) and other.calibration_error == table.calibration_error


def test_bins_of_equal_weights_are_those_of_scikit_learn():
    y, prob, _ = rows(0, tied=False)
    table = calibration_table(y, prob, n_bins=8)
    observed, mean = calibration_curve(y, prob, n_bins=8, strategy="quantile")
    assert_allclose(table["observed_share"], observed, rtol=1e-12)
    assert_allclose(table["mean_probability"], mean, rtol=1e-12)
    assert table["rows"].tolist() == [250] * 8


@pytest.mark.parametrize("n_bins", [1, 2, 5, 10, 1000])
def test_ties_are_never_divided_and_bins_have_about_the_same_weight(n_bins):
    y, prob, weight = rows(1)
    table = calibration_table(y, prob, weight, n_bins)
    assert (table["lowest"][1:] > table["highest"][:-1]).all()
    assert len(table["rows"]) <= n_bins and table["rows"].sum() == (weight > 0).sum()
    heaviest = np.bincount(np.unique(prob, return_inverse=True)[1], weight).max() / weight.sum()
    assert abs(table["weight_share"] - 1 / n_bins).max() <= heaviest or n_bins == 1000
    assert_allclose(table["weight_share"].sum(), 1, rtol=1e-12)
    share = table["weight_share"]
    assert_allclose(share @ table["observed_share"], np.average(y, weights=weight), rtol=1e-12)
    assert_allclose(share @ table["mean_probability"], np.average(prob, weights=weight), rtol=1e-12)


@pytest.mark.parametrize("prob", [0.0, 0.3, 1.0])
def test_one_probability_is_one_bin(prob):
    table = calibration_table([0, 1, 1, 0], [prob] * 4, [1, 2, 0, 1])
    assert table["rows"].tolist() == [3] and table["observed_share"].tolist() == [0.5]
    assert table.calibration_error == pytest.approx(abs(0.5 - prob))


# Weight laws


def test_none_is_ones():
    y, prob, _ = rows(2)
    ones = calibration_table(y, prob, np.ones(len(y)))
    assert repr(calibration_table(y, prob)) == repr(ones)


def test_a_row_of_weight_zero_is_a_missing_row():
    y, prob, weight = rows(3)
    kept = weight > 0
    assert 0 < kept.sum() < len(y)
    expected = calibration_table(y[kept], prob[kept], weight[kept])
    assert repr(calibration_table(y, prob, weight)) == repr(expected)
    unknown = np.where(kept, y, np.nan)
    anything = np.where(kept, prob, np.arange(len(y)) * np.nan)
    assert repr(calibration_table(unknown, anything, weight)) == repr(expected)
    third = np.where(kept, y, 7)
    assert repr(calibration_table(third, prob, weight)) == repr(expected)


@pytest.mark.parametrize("n_bins", [2, 7, 10])
def test_an_integer_weight_is_the_same_as_copies(n_bins):
    y, prob, weight = rows(4)
    copies = np.repeat(np.arange(len(y)), weight.astype(int))
    columns = [name for name in COLUMNS if name not in ("rows", "standard_error")]
    found = calibration_table(y[copies], prob[copies], n_bins=n_bins)
    assert_same_table(found, calibration_table(y, prob, weight, n_bins), columns)
    assert len(found["rows"]) == n_bins


def test_the_order_of_rows_means_nothing_to_the_bit():
    y, prob, weight = rows(5)
    weight = weight * np.random.default_rng(0).random(len(weight))
    p = np.random.default_rng(1).permutation(len(y))
    found, expected = (
        calibration_table(*table) for table in [(y[p], prob[p], weight[p]), (y, prob, weight)]
    )
    for name in COLUMNS:
        assert_array_equal(found[name], expected[name])
    assert found.calibration_error == expected.calibration_error


@pytest.mark.parametrize("scale", [0.1, 3, 1e300, 1e-300, 2.0**-1050])
@pytest.mark.parametrize("n_bins", [2, 3, 10])
def test_the_scale_of_weights_means_nothing(scale, n_bins):
    y, prob, weight = rows(6)
    with np.errstate(all="raise"):
        found = calibration_table(y, prob, weight * scale, n_bins)
    assert_same_table(found, calibration_table(y, prob, weight, n_bins), rtol=1e-6)


@pytest.mark.parametrize("n_rows", [5, 9, 15])
def test_the_end_of_a_bin_within_a_row_does_not_depend_on_rounding(n_rows):
    """There the middle of the weight of a row is where a bin ends."""
    y, prob = np.arange(n_rows) % 2, np.arange(n_rows) / n_rows
    for n_bins in (2, 6, 10):
        expected = calibration_table(y, prob, n_bins=n_bins)["rows"].tolist()
        for scale in (0.1, 0.3, 3, 7, 1e-5, 1e300):
            found = calibration_table(y, prob, np.full(n_rows, scale), n_bins)
            assert found["rows"].tolist() == expected


def test_weights_of_very_different_size_give_finite_numbers():
    table = calibration_table([0, 1, 1, 0], [0.1, 0.2, 0.3, 0.4], [1e300, 1e-300, 1e-10, 1e300])
    assert all(np.isfinite(column).all() for column in table.values())
    assert table["weight_share"].tolist() == [0.5, pytest.approx(0), 0.5]
    assert table.calibration_error == pytest.approx(0.25)


# What the documentation says


def test_the_standard_error_is_the_spread_of_the_observed_share():
    rng = np.random.default_rng(0)
    prob = np.repeat([0.2, 0.7], 200)
    weight = rng.exponential(size=400)
    draws = [calibration_table(rng.random(400) < prob, prob, weight, 2) for _ in range(400)]
    spread = np.std([table["observed_share"] for table in draws], axis=0)
    stated = np.mean([table["standard_error"] for table in draws], axis=0)
    assert_allclose(stated, spread, rtol=5 / math.sqrt(2 * 400))


def test_the_error_of_perfect_probabilities_is_what_the_docstring_says():
    errors, stated = [], []
    for seed in range(60):
        y, prob, weight = rows(seed)
        table = calibration_table(y, prob, weight)
        errors.append(table.calibration_error)
        stated.append(0.8 * table["weight_share"] @ table["standard_error"])
    assert np.mean(errors) == pytest.approx(np.mean(stated), rel=0.1)
    assert np.mean(errors) > 0.01


# Labels and bad input


@pytest.mark.parametrize(
    ("labels", "pos_label"),
    [
        ([0, 1], None),
        ([-1, 1], None),
        ([False, True], None),
        ([0.0, 1.0], None),
        ([1, 0], 0),
        ([2, 5], 5),
        (["no", "yes"], "yes"),
        (["yes", "no"], "no"),
        (np.array(["no", "yes"], dtype=object), "yes"),
        (np.array(["2024", "2023"], "M8[Y]"), np.datetime64("2023", "Y").item()),
    ],
)
def test_labels_of_any_kind_are_classes(labels, pos_label):
    expected = repr(calibration_table(Y, PROB, WEIGHT))
    y = np.asarray(labels)[Y]
    assert repr(calibration_table(y, PROB, WEIGHT, pos_label=pos_label)) == expected


def test_columns_of_other_libraries_are_taken():
    expected = repr(calibration_table(Y, PROB, WEIGHT))
    frame = pd.DataFrame({"y": Y, "p": PROB, "w": WEIGHT}, index=np.arange(8)[::-1])
    assert repr(calibration_table(frame.y, frame.p, frame.w)) == expected
    text = frame.y.map({0: "no", 1: "yes"}).astype("category")
    assert repr(calibration_table(text, frame.p, frame.w, pos_label="yes")) == expected
    tensors = torch.tensor(Y), torch.tensor(PROB, requires_grad=True), torch.tensor(WEIGHT)
    assert repr(calibration_table(*tensors)) == expected
    assert repr(calibration_table(Y.tolist(), PROB.tolist(), WEIGHT.tolist())) == expected


@pytest.mark.parametrize(("y", "pos_label", "observed"), [([0] * 8, None, 0), (["b"] * 8, "b", 1)])
def test_one_class_is_observed_never_or_always(y, pos_label, observed):
    table = calibration_table(y, PROB, pos_label=pos_label)
    assert (table["observed_share"] == observed).all() and (table["standard_error"] == 0).all()
    other = calibration_table(["b"] * 8, PROB, pos_label="a")
    assert (other["observed_share"] == 0).all()


@pytest.mark.parametrize(
    ("args", "options", "error", "came"),
    [
        (
            (Y, np.c_[1 - PROB, PROB]),
            {},
            ValueError,
            r"y_prob .* \(8, 2\)\. Pass .*\[:, 1\]",
        ),
        ((Y, PROB[:, None]), {}, ValueError, r"y_prob must be 1-D .* got shape \(8, 1\)\.$"),
        (([], []), {}, ValueError, r"y_prob must be 1-D .* got shape \(0,\)"),
        ((Y, PROB + 0.2), {}, ValueError, r"y_prob must be in \[0, 1\], got 1\.1 at position 7"),
        ((Y, PROB - 0.2), {}, ValueError, r"y_prob must be in \[0, 1\], got -0\.1 at position 0"),
        ((Y, np.where(PROB > 0.8, np.nan, PROB)), {}, ValueError, "y_prob .* nan at position 7"),
        ((Y, ["a"] * 8), {}, TypeError, "y_prob must hold real numbers"),
        ((Y[:5], PROB), {}, ValueError, r"y_true must .* shape \(8,\), got shape \(5,\)"),
        ((Y[:, None], PROB), {}, ValueError, r"y_true must .* got shape \(8, 1\)"),
        (([0, 1, None, 0, 1, 1, 0, 1], PROB), {}, ValueError, "y_true must not be missing .* 2"),
        (
            (np.arange(8), PROB),
            {},
            ValueError,
            r"y_true must .* 8: \[.* 4\] and more\. For",
        ),
        (([0, 1, 2] + [0] * 5, PROB), {}, ValueError, r"y_true must .* got 3: \[0, 1, 2\]\. For"),
        (
            (np.array(["a", 1] * 4, object), PROB),
            {},
            TypeError,
            "y_true must hold labels of one kind",
        ),
        ((["no", "yes"] * 4, PROB), {}, ValueError, "pos_label must be given .* got None and"),
        (([1, 2] * 4, PROB), {}, ValueError, r"pos_label must be given .* labels \[1, 2\]"),
        ((Y, PROB), {"pos_label": "1"}, ValueError, r"pos_label must be .* \[0, 1\], got '1'"),
        ((Y, PROB, [1]), {}, ValueError, "sample_weight must have one weight per row"),
        ((Y, PROB, -WEIGHT), {}, ValueError, "sample_weight must be non-negative"),
        ((Y, PROB), {"n_bins": 0}, ValueError, "n_bins must be an integer of at least 1, got 0"),
        ((Y, PROB), {"n_bins": 2.5}, ValueError, r"n_bins must .* got 2\.5"),
        ((Y, PROB), {"n_bins": True}, ValueError, "n_bins must .* got True"),
        ((np.ma.array(Y, mask=Y == 1), PROB), {}, ValueError, "y_true must hold no masked values"),
        ((Y, np.ma.array(PROB, mask=Y == 1)), {}, ValueError, "y_prob must hold no masked values"),
    ],
)
def test_bad_input_is_refused_by_name(args, options, error, came):
    with pytest.raises(error, match=f"^{came}"):
        calibration_table(*args, **options)
