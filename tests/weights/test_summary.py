"""The table of weights by class, against its formulas and against a fit."""

import datetime
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skweight import WeightedTorchClassifier, effective_number, weight_summary

LABELS = np.array(["yes", "no", "no", "yes", "unseen", "no", "yes"])
WEIGHTS = np.array([0.5, 2, 1, 0, 0, 3, 0.25])


def test_a_summary_holds_the_formulas_class_by_class():
    table = weight_summary(LABELS, WEIGHTS, {"yes": 4, "no": 0.5})
    assert table["class"].tolist() == ["no", "unseen", "yes", "all"]
    assert table["rows"].tolist() == [3, 0, 2, 5]
    assert table["mass"].tolist() == [6, 0, 0.75, 6.75]
    size = [36 / 14, 0, 0.75**2 / (0.5**2 + 0.25**2), 6**2 / (2**2 + 1 + 1 + 0.5**2 + 1.5**2)]
    assert_allclose(table["effective_size"], size, rtol=1e-15)
    assert_array_equal(table["class_weight"], [0.5, 1, 4, np.nan])
    assert table["loss_share"].tolist() == [0.5, 0, 0.5, 1]
    assert {name: column.dtype.kind for name, column in table.items()} == {
        "class": "O",
        "rows": "i",
        **dict.fromkeys(["mass", "effective_size", "class_weight", "loss_share"], "f"),
    }


def test_a_summary_prints_as_a_table_and_makes_a_data_frame():
    table = weight_summary(LABELS, WEIGHTS, {"yes": 4, "no": 0.5})
    assert repr(table).splitlines() == [
        " class  rows  mass  effective_size  class_weight  loss_share",
        "    no     3     6         2.57143           0.5         0.5",
        "unseen     0     0               0             1           0",
        "   yes     2  0.75             1.8             4         0.5",
        "   all     5  6.75         4.23529           nan           1",
    ]
    frame = pd.DataFrame(table).set_index("class")
    assert frame.shape == (4, 5) and frame.loc["yes", "mass"] == 0.75
    assert repr(pickle.loads(pickle.dumps(table))) == repr(table)


@pytest.mark.parametrize("scale", [1, 2.0**1000, 2.0**-1000, 1e-5])
def test_balanced_classes_share_the_loss_alike_on_any_scale(scale):
    y, weight = [0, 1, 0, 0, 1, 2], np.array([3.0, 1, 0.5, 7, 0.25, 40]) * scale
    table = weight_summary(y, weight, "balanced")
    assert_allclose(table["loss_share"], [1 / 3] * 3 + [1], rtol=1e-15)
    shares = weight_summary(y, weight)["loss_share"]
    assert_allclose(shares, [10.5 / 51.75, 1.25 / 51.75, 40 / 51.75, 1], rtol=1e-15)
    assert_allclose(table["mass"] / scale, [10.5, 1.25, 40, 51.75], rtol=1e-15)


def test_classes_of_any_scale_beside_each_other_keep_their_effective_size():
    table = weight_summary([0, 0, 1, 1, 1], [1e-300, 1e-300, 1e300, 1e300, 5e299])
    assert_allclose(table["effective_size"], [2, 2.5**2 / 2.25, 2.5**2 / 2.25], rtol=1e-15)
    assert table["rows"].tolist() == [2, 3, 5]


@pytest.mark.parametrize("class_weight", ["balanced", effective_number(0.99)])
def test_a_row_of_weight_zero_is_a_missing_row_to_a_summary(class_weight):
    y, weight = np.array([0, 1, 1, 1, 0, 1]), np.array([1.0, 2, 0, 3, 0, 5])
    table = weight_summary(y, weight, class_weight)
    kept = weight_summary(y[weight > 0], weight[weight > 0], class_weight)
    assert repr(table) == repr(kept) and table["class_weight"][0] > 2 * table["class_weight"][1]


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3, 2: 0.5}, effective_number(0.99)])
def test_the_class_weights_of_a_summary_are_those_of_a_fit(classes3, class_weight):
    X, y, weight = classes3
    assert len(np.unique(X, axis=0)) == len(X)  # no copies that a fit would merge
    model = WeightedTorchClassifier(class_weight=class_weight, max_epochs=1, device="cpu")
    fitted = model.fit(X, y, sample_weight=weight).class_weight_
    assert np.ptp(fitted) > 0.01
    shown = weight_summary(y, weight, class_weight)["class_weight"][:-1]
    assert_allclose(shown, fitted, rtol=1e-13)  # sums in another order


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([True, False, True], [False, True]),
        ([2, -1, 2], [-1, 2]),
        ([2.0, -1.0, 2.0], [-1.0, 2.0]),
        (np.array(["b", "a", "b"], dtype=object), ["a", "b"]),
        (pd.Series(["b", "a", "b"], index=[4, 2, 9]), ["a", "b"]),
        (pd.Series(["b", "a", "b"], dtype="category"), ["a", "b"]),
        (torch.tensor([1, 0, 1]), [0, 1]),
        (
            np.array(["2024", "2023", "2024"], "M8[Y]"),
            [datetime.date(y, 1, 1) for y in (2023, 2024)],
        ),
    ],
)
def test_labels_of_any_kind_are_classes(y, labels):
    table = weight_summary(y, [1, 2, 4], {labels[1]: 2})
    assert table["class"].tolist() == [*labels, "all"]
    assert [type(label) for label in table["class"][:2]] == [type(label) for label in labels]
    assert table["mass"].tolist() == [2, 5, 7]
    assert table["class_weight"].tolist()[:2] == [1, 2]


def test_a_regression_target_has_one_row():
    table = weight_summary([0.5, 1.0, 7.25], [1, 0, 3])
    assert table["class"].tolist() == ["all"] and table["rows"].tolist() == [2]
    assert table["mass"].tolist() == [4] and table["loss_share"].tolist() == [1]
    assert_allclose(table["effective_size"], [1.6], rtol=1e-15)
    assert_array_equal(table["class_weight"], [np.nan])


@pytest.mark.parametrize(
    ("y", "weight", "class_weight", "error", "came"),
    [
        ([[0], [1]], None, None, ValueError, r"y must be 1-D .* got shape \(2, 1\)"),
        ([], None, None, ValueError, r"y must be 1-D with one label per row, got shape \(0,\)"),
        ([0, math.nan], None, None, ValueError, "y must not be missing .* NaN at position 1"),
        ([math.inf, 1], None, None, ValueError, "y must be finite .* infinity at position 0"),
        ("target", None, None, TypeError, "y must hold a target for each row of X, got 'target'"),
        (np.array([0, "a"], object), None, None, TypeError, "y must hold labels of one kind"),
        ([0.5, 1], None, "balanced", ValueError, "class_weight must be None .* got 'balanced'"),
        ([0, 1], [1], None, ValueError, "sample_weight must have one .* got 1"),
        ([0, 1], [1, -1], None, ValueError, "sample_weight must be non-negative"),
        ([0, 1], None, {2: 1}, ValueError, "class_weight must name classes .* got 2"),
        ([0, 1], [1, 0], {0: 0}, ValueError, r"class_weight must leave .* \{0: 0.0, 1: 1.0\}"),
    ],
)
def test_what_cannot_be_summarised_is_refused_by_name(y, weight, class_weight, error, came):
    with pytest.raises(error, match=f"^{came}"):
        weight_summary(y, weight, class_weight)


def test_weights_that_are_passed_as_y_warn():
    """Numbers that are no labels, without weights: every row counts 1, which says nothing."""
    weight = [0.5, 2.5, 1.0]
    with pytest.warns(UserWarning, match=r"pass them as weight_summary\(y, sample_weight\)"):
        weight_summary(weight)
    assert weight_summary([0.5, 2.5, 1.0], weight)["mass"].tolist() == [4.0]
