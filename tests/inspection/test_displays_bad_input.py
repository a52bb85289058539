"""The displays given labels, weights, losses and axes that make no picture, or nearly none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from skweight import (
    WeightedTorchClassifier,
    WeightSearchCV,
    calibration_table,
    weight_summary,
)
from skweight.inspection import (
    CalibrationDisplay,
    FeatureWeightDisplay,
    TrainingCurveDisplay,
    WeightDisplay,
    WeightSearchDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")
QUICK = {"max_epochs": 4, "random_state": 0, "device": "cpu"}
# An old matplotlib with a new pyparsing.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def no_figures_are_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def labelled():
    """A classifier of "no" and "yes", with its X, labels and weights."""
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(200, 3)), rng.exponential(size=200)
    y = np.where(X[:, 0] + rng.normal(size=200) > 0, "yes", "no")
    return WeightedTorchClassifier(**QUICK).fit(X, y, weight), X, y, weight


# The calibration display --------------------------------------------------------------------


@pytest.mark.parametrize("other", ["maybe", 1, True, 1.0, "Yes"])
def test_labels_that_the_classifier_does_not_know_are_refused(labelled, other):
    model, X, y, weight = labelled
    y = np.array(y, dtype=object)
    y[5] = other
    with pytest.raises(ValueError, match=rf"y must hold the classes .*'no', 'yes'.*got {other!r} "):
        CalibrationDisplay.from_estimator(model, X, y, pos_label="yes")
    all_other = [other] * len(y)
    with pytest.raises(ValueError, match="at position 0"):
        CalibrationDisplay.from_estimator(model, X, all_other)
    weight = np.where(np.arange(200) == 5, 0.0, weight)
    display = CalibrationDisplay.from_estimator(model, X, y, sample_weight=weight)
    # A row of weight 0 counts as missing.
    expected = calibration_table(y == "yes", model.predict_proba(X)[:, 1], weight)
    assert_array_equal(display.table["observed_share"], expected["observed_share"])


@pytest.mark.parametrize("missing", [np.nan, None, np.datetime64("NaT")])
def test_missing_labels_are_refused_where_there_is_weight(labelled, missing):
    model, X, y, weight = labelled
    y = np.array(y, dtype=object)
    y[7] = missing
    with pytest.raises(ValueError, match=r"y must not be missing in a row with weight, got .* 7"):
        CalibrationDisplay.from_estimator(model, X, y, sample_weight=weight)
    weight = np.where(np.arange(200) == 7, 0.0, weight)
    display = CalibrationDisplay.from_estimator(model, X, y, sample_weight=weight)
    assert 0 < display.table["observed_share"].mean() < 1


def test_probabilities_of_several_labels_are_not_those_of_classes(labelled):
    _, X, y, _ = labelled
    both = np.c_[y == "yes", X[:, 1] > 0].astype(int)
    model = WeightedTorchClassifier(**QUICK).fit(X, both)
    for given in (both, both[:, 0], both[:, 1]):
        with pytest.raises(ValueError, match=r"multilabel.*from_predictions\(y\[:, 0\]"):
            CalibrationDisplay.from_estimator(model, X, given)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("probability", [0.0, 5e-324, 1e-300, 1e-12, 0.5, 1.0])
@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 0]])
def test_constant_probabilities_are_drawn(probability, labels, scale):
    given = np.full(3, probability)
    display = CalibrationDisplay.from_predictions(labels, given, pos_label=1, scale=scale)
    display.figure_.canvas.draw()
    low, high = display.ax_.get_xlim()
    assert low < high and np.isfinite([low, high]).all()
    assert_allclose(display.mass_share_.sum(), 1.0)


def test_a_class_instead_of_an_estimator_is_refused(labelled):
    _, X, y, _ = labelled
    with pytest.raises(TypeError, match=r"estimator must be a fitted classifier .*, got the class"):
        CalibrationDisplay.from_estimator(WeightedTorchClassifier, X, y)


def test_rows_of_a_calibration_display_have_one_weight_each(labelled):
    model, X, y, weight = labelled
    probability = model.predict_proba(X)[:, 1]
    table = calibration_table(y == "yes", probability)
    for bad in (weight[1:], weight * 0, weight * np.nan, -weight):
        with pytest.raises(ValueError, match="sample_weight must"):
            CalibrationDisplay(table, probability, bad)
    for bad in (probability[:, None], probability * np.nan, probability + 1):
        with pytest.raises(ValueError, match="y_prob must"):
            CalibrationDisplay(table, bad, weight)


# The training curve -------------------------------------------------------------------------


class StopIn(Callback):
    """Stops the fit when an epoch begins, as the user may."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("n_members", [1, 3])
def test_only_finished_epochs_of_a_stopped_fit_are_drawn(labelled, n_members, early_stopping):
    _, X, y, _ = labelled
    n_members = n_members if early_stopping else 1
    for epoch in (2, 3):
        model = WeightedTorchClassifier(
            n_members=n_members, early_stopping=early_stopping, callbacks=[StopIn(epoch)], **QUICK
        ).fit(X, y)
        display = TrainingCurveDisplay.from_estimator(model)
        assert [len(line.get_xdata()) for line in display.train_lines_] == [epoch - 1] * n_members
        n_valid = n_members if early_stopping else 0
        assert [len(line.get_xdata()) for line in display.valid_lines_] == [epoch - 1] * n_valid
        if early_stopping:
            assert_array_equal(display.best_epoch, np.atleast_1d(model.best_epoch_))


def test_a_fit_that_was_stopped_in_its_first_epoch_has_nothing_to_draw(labelled):
    _, X, y, _ = labelled
    for params in ({}, {"early_stopping": False}, {"n_members": 3, "early_stopping": True}):
        model = WeightedTorchClassifier(callbacks=[StopIn(1)], **QUICK, **params).fit(X, y)
        with pytest.raises(ValueError, match="estimator must have finished an epoch, got a fit"):
            TrainingCurveDisplay.from_estimator(model)


def test_losses_are_those_of_as_many_members_and_epochs():
    for bad in ([], None, 3.0):
        with pytest.raises(ValueError, match=r"train_loss must hold an array .* for each member"):
            TrainingCurveDisplay(bad)
    for bad in (["abc"], [[1.0, "a"]]):
        with pytest.raises(ValueError, match="train_loss must hold numbers"):
            TrainingCurveDisplay(bad)
    with pytest.raises(ValueError, match="valid_loss must hold as many epochs as train_loss"):
        TrainingCurveDisplay([[2.0, 1.0]], [[2.0]])


# The weight display -------------------------------------------------------------------------


@pytest.mark.parametrize("smallest", [1e-300, 1e-12, 5e-324])
@pytest.mark.parametrize("largest", [1e300, 1.0])
def test_weights_of_any_range_are_drawn(smallest, largest):
    weight = np.array([smallest, 1.0, largest, largest])
    display = WeightDisplay.from_weights(weight, [0, 1, 0, 1])
    display.figure_.canvas.draw()
    assert (np.diff(display.edges) > 0).all()
    assert_allclose([display.row_share.sum(), display.mass_share.sum()], 1.0)


def test_a_weight_display_needs_weights():
    summary = weight_summary([0, 1, 1])
    for bad in ([0, 0, 0], [1, np.nan, 1], [-1, 1, 1], [1, np.inf, 1], [[1, 1, 1]]):
        with pytest.raises(ValueError, match="sample_weight must"):
            WeightDisplay(bad, summary)


@pytest.mark.parametrize("draw", ["weights", "probabilities"])
def test_axes_that_were_divided_are_not_divided_again(labelled, draw):
    model, X, y, weight = labelled
    figure, axes = plt.subplots(1, 3)

    def make(ax):
        if draw == "weights":
            return WeightDisplay.from_weights(weight, y, ax=ax)
        return CalibrationDisplay.from_estimator(model, X, y, ax=ax)

    make(axes[0])
    with pytest.raises(ValueError, match="ax must be axes with nothing in their place"):
        make(axes[0])
    make(axes[1])
    assert len(figure.axes) == 3 + 4
    with pytest.raises(ValueError, match="ax must be axes with nothing in their place"):
        FeatureWeightDisplay(np.ones(3)).plot(axes[1])
    FeatureWeightDisplay(np.ones(3)).plot(axes[2])


# The search display -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search(labelled):
    model, X, y, _ = labelled
    return WeightSearchCV(model, {"lr": [0.01, 0.1]}, cv=2, return_predictions=True).fit(X, y)


def test_labels_of_more_rows_than_the_search_had_are_refused(labelled, search):
    _, _, y, _ = labelled
    for more in (1, 17, 200):
        with pytest.raises(ValueError, match=f"each of 200 rows .*, got {200 + more}"):
            WeightSearchDisplay.from_predictions(search, np.r_[y, y[:more]])


def test_a_class_without_weight_has_no_recall(labelled, search):
    _, _, y, weight = labelled
    for label in ("yes", "no"):
        without = np.where(y == label, 0.0, weight)
        with pytest.raises(ValueError, match=f"sample_weight must leave weight to .*, {label},"):
            WeightSearchDisplay.from_predictions(search, y, sample_weight=without, pos_label=label)
    WeightSearchDisplay.from_predictions(search, y, sample_weight=np.where(y == "no", 0.0, weight))


def test_the_chosen_candidate_and_the_curves_are_those_of_candidates():
    settings, scores = [{"lr": 0.1}, {"lr": 0.2}], [[0.1, 0.2], [0.3, 0.4]]
    for bad in (2, -1, "lr", 0.5, True):
        with pytest.raises(ValueError, match="best_index must be None or an integer from 0 to 1"):
            WeightSearchDisplay(settings, scores, bad)
    curve = ([0.0, 1.0], [1.0, 0.0])
    for curves in ([curve], [curve] * 3, []):
        with pytest.raises(ValueError, match="curves must hold one pair for each of 2 candidates"):
            WeightSearchDisplay(settings, scores, curves=curves)
    WeightSearchDisplay(settings, scores, np.int64(1), curves=[curve] * 2).plot()


# Feature weights ----------------------------------------------------------------------------


def test_weights_of_features_are_finite_numbers_and_any_integer_limits_them():
    for bad in ([], [1.0, np.nan], [np.inf], np.ones((2, 2, 2)), ["a"]):
        with pytest.raises(ValueError, match="weights must be finite numbers of shape"):
            FeatureWeightDisplay(bad)
    for bad in (1.0, np.ones((3, 2)), [1.0, 2.0], [1.0, 2.0, np.nan]):
        with pytest.raises(ValueError, match="initial must be finite numbers of shape"):
            FeatureWeightDisplay(np.ones(3), initial=bad)
    for bad in (3, "abc", ["a"]):
        with pytest.raises(ValueError, match="feature_names must hold one entry for each of 3"):
            FeatureWeightDisplay(np.ones(3), bad)
    for integer in (np.int64(2), np.uint8(2), 2):
        assert len(FeatureWeightDisplay(np.ones(3)).plot(max_features=integer).order_) == 2
    for bad in (2.0, True, None, "2"):
        with pytest.raises(ValueError, match="max_features must be an integer >= 1"):
            FeatureWeightDisplay(np.ones(3)).plot(max_features=bad)
