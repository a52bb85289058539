"""The displays: the numbers that are drawn, laws of weights in them, and wrong arguments."""

import builtins
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV, weight_summary
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
def predicted():
    """Labels, probabilities, and integer weights with zeros among them."""
    rng = np.random.default_rng(0)
    probability = rng.random(400)
    return (rng.random(400) < probability).astype(int), probability, rng.integers(0, 4, 400)


def drawn(line):
    """The points of a line."""
    return np.array(line.get_data())


# The training curve -------------------------------------------------------------------------


@pytest.mark.parametrize("n_members", [1, 3])
def test_the_training_curve_shows_the_losses_of_every_member(binary, n_members):
    X, y, weight = binary
    model = WeightedTorchClassifier(n_members=n_members, early_stopping=True, **QUICK)
    model.fit(X, y, weight)
    for given in (model, make_pipeline(StandardScaler(), model)):
        display = TrainingCurveDisplay.from_estimator(given)
        assert len(display.train_lines_) == len(display.valid_lines_) == n_members
        for number, net in enumerate(model.nets_):
            train, valid = net.history[:, "train_loss"], net.history[:, "valid_loss"]
            assert_array_equal(drawn(display.train_lines_[number])[1], train)
            epochs, losses = drawn(display.valid_lines_[number])
            assert_array_equal(losses, valid)
            assert display.best_epoch[number] == epochs[np.argmin(valid)] == np.argmin(valid) + 1
        texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert len(texts) == 3 and "averaged network" in texts[1]


def test_the_training_curve_needs_neither_validation_rows_nor_several_epochs(regression):
    X, y, _ = regression
    model = WeightedTorchRegressor(**QUICK | {"max_epochs": 1, "early_stopping": False}).fit(X, y)
    figure, ax = plt.subplots()
    display = TrainingCurveDisplay.from_estimator(model, ax=ax)
    assert display.ax_ is ax and display.figure_ is figure
    assert display.valid_loss is None and display.best_epoch == [] == display.valid_lines_
    assert display.train_lines_[0].get_marker() == "o"
    plain = TrainingCurveDisplay([[2.0, 1.0]], [[2.0, 3.0]], is_averaged=False).plot()
    assert plain.best_epoch == [1]
    assert "averaged" not in plain.ax_.get_legend().get_texts()[1].get_text()


# Weights ------------------------------------------------------------------------------------


def test_the_weight_display_shows_shares_of_rows_and_mass(predicted):
    y, _, weight = predicted
    display = WeightDisplay.from_weights(weight, y, class_weight="balanced")
    for name, values in weight_summary(y, weight, "balanced").items():
        assert_array_equal(display.summary[name], values)
    assert display.row_share.sum() == pytest.approx(1)
    assert display.mass_share.sum() == pytest.approx(1)
    kept = weight[weight > 0]
    heavy = display.edges[:-1] * kept.mean() > 1.5
    assert display.row_share[heavy].sum() == pytest.approx((kept > 1.5).mean())
    assert display.mass_share[heavy].sum() == pytest.approx(kept[kept > 1.5].sum() / kept.sum())
    bars = np.array([patch.get_width() for patch in display.axes_[1].patches]).reshape(3, 2)
    loss = display.summary["loss_share"][:-1]
    assert_allclose(bars[2], loss)
    assert_allclose(loss, 0.5)
    assert "effective size" in display.ax_.get_title()


def test_the_scale_of_weights_rows_of_weight_0_and_the_order_mean_nothing(predicted):
    y, probability, weight = predicted
    order = np.random.default_rng(1).permutation(len(y))
    kept = weight > 0
    others = [
        (y, probability, 7.5 * weight),
        (y[kept], probability[kept], weight[kept]),
        (y[order], probability[order], weight[order]),
    ]
    expected = WeightDisplay.from_weights(weight, y)
    calibration = CalibrationDisplay.from_predictions(y, probability, sample_weight=weight)
    for y_, probability_, weight_ in others:
        display = WeightDisplay.from_weights(weight_, y_)
        for name in ("edges", "row_share", "mass_share"):
            assert_allclose(getattr(display, name), getattr(expected, name), rtol=1e-12)
        shares = display.summary["loss_share"]
        assert_allclose(shares, expected.summary["loss_share"], rtol=1e-12)
        found = CalibrationDisplay.from_predictions(y_, probability_, sample_weight=weight_)
        assert_allclose(found.mass_share_, calibration.mass_share_, atol=1e-12)
        assert_allclose(found.table["observed_share"], calibration.table["observed_share"])


def test_an_integer_weight_is_that_many_rows_but_for_errors(predicted):
    y, probability, weight = predicted
    copies = np.repeat(np.arange(len(y)), weight)
    found = CalibrationDisplay.from_predictions(y, probability, sample_weight=weight)
    repeated = CalibrationDisplay.from_predictions(y[copies], probability[copies])
    for name in ("mean_probability", "observed_share", "weight_share"):
        assert_allclose(found.table[name], repeated.table[name], rtol=1e-9)
    assert_allclose(found.mass_share_, repeated.mass_share_, atol=1e-12)
    shares = WeightDisplay.from_weights(weight, y).summary
    assert_allclose(shares["mass"], WeightDisplay.from_weights(None, y[copies]).summary["mass"])


def test_the_weights_of_a_fit_include_powers_and_class_weights(binary):
    X, y, weight = binary
    params = {"class_weight": "balanced", "class_weight_power": 0.5, "sample_weight_power": 0.5}
    model = WeightedTorchClassifier(**QUICK | params).fit(X, y, weight)
    display = WeightDisplay.from_estimator(model, y, weight)
    root = np.sqrt(weight)
    assert_allclose(display.summary["mass"][-1], root.sum())
    assert_allclose(display.summary["class_weight"][:-1], model.class_weight_)
    loss = np.array([(root * model.class_weight_[y])[y == c].sum() for c in (0, 1)])
    assert_allclose(display.summary["loss_share"][:-1], loss / loss.sum())
    numbers = WeightedTorchRegressor(**QUICK).fit(X, y * 1.5 + X[:, 0], weight)
    one = WeightDisplay.from_estimator(numbers, y * 1.5 + X[:, 0], weight)
    assert one.axes_ == [one.ax_]


def test_many_classes_and_very_uneven_weights_are_drawn():
    rng = np.random.default_rng(0)
    y, weight = np.arange(300) % 30, np.exp(3 * rng.normal(size=300))
    figure, grid = plt.subplots(1, 2)
    display = WeightDisplay.from_weights(weight, y, ax=grid[0])
    assert display.figure_ is figure and display.ax_.get_xscale() == "log"
    names = [text.get_text() for text in display.axes_[1].get_yticklabels()]
    assert len(names) == 12 and names[-1] == "19 other classes"
    bars = np.array([patch.get_width() for patch in display.axes_[1].patches])
    assert_allclose(bars.reshape(3, 12).sum(axis=1), 1)
    assert WeightDisplay.from_weights(np.ones(9)).row_share.max() == 1


# Calibration --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_calibration_display_draws_the_table_and_the_mass(predicted, scale):
    y, probability, weight = predicted
    display = CalibrationDisplay.from_predictions(
        y, probability, sample_weight=weight, n_bins=5, scale=scale, name="mine"
    )
    points = drawn(display.errorbar_.lines[0])
    assert_array_equal(points[0], display.table["mean_probability"])
    assert_array_equal(points[1], display.table["observed_share"])
    ends = display.errorbar_.lines[2][0].get_segments()
    error = 1.96 * display.table["standard_error"]
    lengths = [np.ptp(segment[:, 1]) for segment in ends]
    inside = (points[1] - error >= 0) & (points[1] + error <= 1)
    assert inside.sum() >= 3
    assert_allclose(np.array(lengths)[inside], 2 * error[inside])
    assert display.mass_share_.sum() == pytest.approx(1)
    high = display.mass_edges_[:-1] >= display.mass_edges_[20]
    above = probability >= display.mass_edges_[20]
    share = weight[above].sum() / weight.sum()
    assert display.mass_share_[high].sum() == pytest.approx(share)
    assert display.ax_.get_xscale() == display.axes_[1].get_xscale() == scale


def test_one_class_of_several_is_drawn_against_the_others(classes3):
    X, y, weight = classes3
    names = np.array(["a", "b", "c"])[y]
    model = WeightedTorchClassifier(**QUICK).fit(X, names, weight)
    display = CalibrationDisplay.from_estimator(
        model, X, names, sample_weight=weight, pos_label="b"
    )
    probability = model.predict_proba(X)[:, 1]
    expected = CalibrationDisplay.from_predictions(names == "b", probability, sample_weight=weight)
    assert_array_equal(display.table["observed_share"], expected.table["observed_share"])
    with pytest.raises(ValueError, match=r"pos_label must be one of the classes \['a', 'b', 'c'\]"):
        CalibrationDisplay.from_estimator(model, X, names)
    with pytest.raises(ValueError, match=r"pos_label must be one of \['a', 'b', 'c'\], got 'd'"):
        CalibrationDisplay.from_estimator(model, X, names, pos_label="d")
    two = WeightedTorchClassifier(**QUICK).fit(X, names == "a")
    second = CalibrationDisplay.from_estimator(two, X, names == "a")
    observed = second.table["weight_share"] @ second.table["observed_share"]
    assert observed == pytest.approx((names == "a").mean())


# Searches -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search(binary):
    X, y, weight = binary
    model = WeightedTorchClassifier(class_weight="balanced", module__hidden_sizes=(4,), **QUICK)
    grid = {"class_weight_power": [1.0, 0.0, 0.5], "sample_weight_power": [0.0, 1.0]}
    found = WeightSearchCV(model, grid, scoring="balanced_accuracy", return_predictions=True, cv=3)
    return found.fit(X, y, sample_weight=weight)


def test_the_search_display_draws_means_and_the_spread_of_folds(search):
    display = WeightSearchDisplay.from_estimator(search)
    results = search.cv_results_
    assert_allclose(display.mean_score, results["mean_test_score"])
    assert_allclose(display.std_score, results["std_test_score"])
    assert display.varied == ["class_weight_power", "sample_weight_power"]
    assert display.ax_.get_xlabel() == "class_weight_power"
    assert display.ax_.get_ylabel() == "balanced_accuracy"
    assert display.ax_.get_title() == "mean ± standard deviation of the folds"
    first = drawn(display.ax_.containers[0].lines[0])
    assert_array_equal(first[0], [0.0, 0.5, 1.0])
    scores = dict(zip(map(str, results["params"]), results["mean_test_score"]))
    of_first = [
        str({"class_weight_power": p, "sample_weight_power": 0.0}) for p in first[0].tolist()
    ]
    assert_allclose(first[1], [scores[setting] for setting in of_first])
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert {*texts} == {"sample_weight_power=0", "sample_weight_power=1", "chosen"}


def test_the_search_display_draws_weighted_precision_and_recall(search, binary):
    _, y, weight = binary
    display = WeightSearchDisplay.from_predictions(search, y, sample_weight=weight)
    assert len(display.curves) == 6
    rows = np.concatenate([test for test, _ in search.predictions_])
    probability = np.concatenate([p[3, :, 1] for _, p in search.predictions_])
    expected = precision_recall_curve(y[rows], probability, sample_weight=weight[rows])
    recall, precision = display.curves[3]
    # scikit-learn keeps points of rows of weight 0, which lie on those of others.
    at_half = np.interp(0.5, expected[1][::-1], expected[0][::-1])
    assert np.interp(0.5, recall[::-1], precision[::-1]) == pytest.approx(at_half, abs=1e-6)
    kept = weight > 0
    doubled = WeightSearchDisplay.from_predictions(search, y, sample_weight=2.0 * weight)
    assert_allclose(doubled.curves[3][1], precision)
    other = WeightSearchDisplay.from_predictions(search, y, pos_label=0)
    assert kept.any() and other.curves[0][1][0] == pytest.approx((y == 0).mean())


def test_settings_that_are_no_numbers_are_ranked_by_name(binary):
    X, y, _ = binary
    grid = {"class_weight": [None, "balanced", {0: 1, 1: 5}, lambda counts: 1 / counts]}
    model = WeightedTorchClassifier(**QUICK | {"max_epochs": 1})
    search = GridSearchCV(model, grid, cv=2, scoring=["accuracy", "f1"], refit=False).fit(X, y)
    display = WeightSearchDisplay.from_estimator(search, metric="f1")
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert {*names} == {
        "class_weight=None",
        "class_weight=balanced",
        "class_weight={0: 1, 1: 5}",
        "class_weight=<lambda>",
    }
    best = int(np.argmax(search.cv_results_["mean_test_f1"]))
    assert names[0] == f"class_weight={['None', 'balanced', '{0: 1, 1: 5}', '<lambda>'][best]}"
    figure_of_all = WeightSearchDisplay.from_estimator(search, metric="f1").figure_
    assert figure_of_all.get_figheight() == plt.rcParams["figure.figsize"][1]
    failed = WeightSearchDisplay([{"a": "x"}, {"a": "y"}], [[np.nan, 1.0], [0.5, 0.6]]).plot()
    texts = [text.get_text() for text in failed.ax_.get_yticklabels()]
    assert texts == ["a=y", "a=x (failed)"]


@pytest.mark.parametrize(
    ("settings", "scale"),
    [([1e-4, 1e-3, 1e-2], "log"), ([0.0, 1e-3, 1.0], "linear"), ([0.5, 1.0, 2.0], "linear")],
)
def test_settings_of_several_magnitudes_have_a_logarithmic_axis(settings, scale):
    display = WeightSearchDisplay([{"lr": lr} for lr in settings], [[0.5, 0.6]] * 3, 1).plot()
    assert display.ax_.get_xscale() == scale


# Long names and many of them ----------------------------------------------------------------


def boxes(display, artists):
    """Where artists are in the picture, in pixels, as rows of left, bottom, right and top."""
    display.figure_.canvas.draw()
    return np.array([artist.get_window_extent().extents for artist in artists])


def is_inside_and_apart(display, legend, drawn_there):
    """Whether a legend is whole in the picture, and hides nothing of what is drawn."""
    (left, bottom, right, top) = boxes(display, [legend])[0]
    width, height = display.figure_.canvas.get_width_height()
    is_inside = min(left, bottom) >= 0 and right <= width and top <= height
    others = boxes(display, drawn_there)
    apart = (others[:, 0] >= right) | (others[:, 2] <= left)
    apart |= (others[:, 1] >= top) | (others[:, 3] <= bottom)
    return is_inside and apart.all()


@pytest.mark.parametrize("n_settings", [1, 4, 8, 12])
@pytest.mark.parametrize("has_curves", [False, True])
def test_names_of_settings_are_whole_however_long_and_many(n_settings, has_curves):
    others = [
        {"class_weight": {"survived": 1, "died in hospital": number}, "criterion": "cross_entropy"}
        for number in range(n_settings // 2 or 1)
    ]
    settings = [other | {"lr": lr} for other in others for lr in (0.1, 0.2)][: max(n_settings, 1)]
    grid = np.linspace(0, 1, 9)
    curves = [(grid[::-1], grid)] * len(settings) if has_curves else None
    scores = np.arange(3.0 * len(settings)).reshape(-1, 3)
    display = WeightSearchDisplay(settings, scores, 0, curves=curves).plot()
    assert is_inside_and_apart(display, display.ax_.get_legend(), [display.ax_.patch])
    (box,) = boxes(display, [display.ax_.patch])
    assert box[3] - box[1] > 200  # the picture is not squeezed by its legend


def test_settings_that_differ_at_the_end_of_long_values_are_told_apart():
    """Names were cut at the end, and were then the same: all of these settings were one line."""
    weights = [{"survived": 1, "died in hospital": number} for number in range(3)]
    settings = [{"class_weight": weight, "lr": lr} for weight in weights for lr in (0.1, 0.2)]
    scores = np.arange(12.0).reshape(6, 2)
    display = WeightSearchDisplay(settings, scores).plot()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == [f"class_weight={{'survived'…ospital': {number}}}" for number in range(3)]
    lines = [drawn(container.lines[0]) for container in display.ax_.containers]
    assert_array_equal([line[1] for line in lines], scores.mean(axis=1).reshape(3, 2))
    close = [{"lr": 0.1 + number * 1e-7, "criterion": "focal"} for number in range(4)]
    names = WeightSearchDisplay(close, np.ones((4, 2)), curves=[([1, 0], [0, 1])] * 4).plot()
    texts = [text.get_text() for text in names.ax_.get_legend().get_texts()]
    assert texts == ["lr=0.1", "lr=0.1000001", "lr=0.1000002", "lr=0.1000003"]
    middle = [{"class_weight": {"a": "b" * 30 + str(number) + "c" * 15}} for number in range(2)]
    ranked = WeightSearchDisplay(middle, [[1.0, 2.0], [2.0, 3.0]]).plot()
    names = [text.get_text().replace("\n", "") for text in ranked.ax_.get_yticklabels()]
    assert names == [f"class_weight={setting['class_weight']}" for setting in middle[::-1]]
    long = [{"class_weight": {"a" * 99: number, "b" * 99: 1}} for number in (1, 2)]
    ranked = WeightSearchDisplay(long, [[1.0, 2.0], [2.0, 3.0]]).plot()
    names = [text.get_text().replace("\n", " ") for text in ranked.ax_.get_yticklabels()]
    assert [name[-3:] for name in names] == ["(2)", "(1)"]
    unnamed = [{"class_weight": lambda counts: counts}, {"class_weight": lambda counts: 1}]
    ranked = WeightSearchDisplay(unnamed, [[1.0, 2.0], [2.0, 3.0]]).plot()
    names = [text.get_text() for text in ranked.ax_.get_yticklabels()]
    assert names == ["class_weight=<lambda> (2)", "class_weight=<lambda> (1)"]


@pytest.mark.parametrize("n_settings", [2, 14, 30])
def test_long_names_beside_an_axis_leave_room_for_the_picture(n_settings):
    settings = [
        {
            "class_weight": f"weights of kind {number}",
            "criterion": "x" * (number % 24),
            "module": "y",
        }
        for number in range(n_settings)
    ]
    display = WeightSearchDisplay(settings, np.arange(2.0 * n_settings).reshape(-1, 2)).plot()
    (panel,) = boxes(display, [display.ax_.patch])
    names = boxes(display, display.ax_.get_yticklabels())
    assert panel[2] - panel[0] > 250 and names[:, 0].min() >= 0
    order = np.argsort(names[:, 1])
    assert (names[order][1:, 1] >= names[order][:-1, 3]).all()  # none covers the next one
    (legend,) = boxes(display, [display.ax_.get_legend()])
    assert 0 < panel[1] - legend[3] < 80


def test_curves_without_a_name_are_counted_in_the_legend():
    settings = [{"lr": 0.1 * number} for number in range(1, 11)]
    curves = [(np.array([1.0, 0.0]), np.array([0.1, 1.0]))] * 10
    display = WeightSearchDisplay(settings, np.ones((10, 2)), 3, curves=curves).plot()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert {*texts} == {"lr=0.4 (chosen)", "the other 9 settings"}
    unchosen = WeightSearchDisplay(settings, np.ones((10, 2)), curves=curves).plot()
    texts = [text.get_text() for text in unchosen.ax_.get_legend().get_texts()]
    assert texts == ["10 settings"]


@pytest.mark.parametrize("n_classes", [2, 6, 12, 30])
def test_the_bars_of_all_classes_can_be_told_apart(n_classes):
    y = np.array([f"class {number}" for number in range(n_classes)] * 5)
    display = WeightDisplay.from_weights(np.arange(1.0, len(y) + 1), y)
    bars = display.axes_[1].patches
    assert is_inside_and_apart(display, display.axes_[1].get_legend(), bars)
    heights = boxes(display, bars)[:, 3] - boxes(display, bars)[:, 1]
    assert heights.min() > 5  # in pixels, so that the hatches can be seen
    assert display.axes_[0].get_window_extent().height > 100


@pytest.mark.parametrize("prefix", ["", "weightedtorchclassifier__"])
@pytest.mark.parametrize("powers", [[0.0, 0.5, 1.0], None])
def test_long_names_of_settings_leave_room_for_the_scores(prefix, powers):
    """A legend or names of eight settings left a tenth of the figure, and were cut off."""
    grid = {
        f"{prefix}class_weight": [None, "balanced", "effective_number(0.99)"],
        f"{prefix}module__hidden_sizes": [(16,), (64, 64)],
        **({f"{prefix}sample_weight_power": powers} if powers else {}),
        f"{prefix}module__activation": ["relu"] if powers else ["relu", "tanh"],
    }
    settings = [*ParameterGrid(grid)]
    scores = np.random.default_rng(0).normal(0.8, 0.02, size=(len(settings), 3))
    display = WeightSearchDisplay(settings, scores, 2).plot()
    figure = display.figure_
    figure.draw_without_rendering()
    box, inside = display.ax_.get_window_extent(), figure.bbox
    assert box.width > 0.4 * inside.width and box.height > 0.4 * inside.height
    names = display.ax_.get_yticklabels() if powers is None else []
    texts = [*display.ax_.get_legend().get_texts(), *names]
    extents = [text.get_window_extent() for text in texts]
    assert all(found.x0 >= 0 and found.x1 <= inside.width for found in extents)
    assert all(found.y0 >= 0 and found.y1 <= inside.height for found in extents)
    in_order = sorted((found.y0, found.y1) for found in extents)
    assert all(below[1] <= above[0] for below, above in pairwise(in_order))


def test_the_score_that_refit_names_is_drawn_by_default(binary):
    X, y, _ = binary
    model = WeightedTorchClassifier(**QUICK | {"max_epochs": 1})
    search = WeightSearchCV(
        model,
        {"lr": [0.01, 0.1]},
        scoring=["accuracy", "f1"],
        refit="f1",
        cv=2,
        return_predictions=True,
    ).fit(X, y)
    display = WeightSearchDisplay.from_estimator(search)
    assert display.metric == "f1" and display.ax_.get_ylabel() == "f1"
    assert_allclose(display.mean_score, search.cv_results_["mean_test_f1"])
    assert WeightSearchDisplay.from_predictions(search, y).metric == "f1"
    several = GridSearchCV(model, {"lr": [0.01]}, scoring=["accuracy", "f1"], refit=False, cv=2)
    with pytest.raises(ValueError, match=r"metric must be one of the scores \['accuracy', 'f1'\]"):
        WeightSearchDisplay.from_estimator(several.fit(X, y))


# Feature weights ----------------------------------------------------------------------------


@pytest.mark.parametrize("initial", [2.0, [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0]])
def test_feature_weights_are_drawn_beside_those_before_training(binary, initial):
    X, y, _ = binary
    params = {"module__feature_weights": initial, "n_members": 2}
    model = WeightedTorchClassifier(**QUICK | params).fit(X, y)
    display = FeatureWeightDisplay.from_estimator(model)
    assert_allclose(display.weights.mean(axis=0), model.feature_weights_, rtol=1e-6)
    assert display.weights.shape == (2, 8)
    assert_array_equal(display.initial, np.broadcast_to(initial, 8))
    means = display.weights.mean(axis=0)[display.order_]
    assert (np.diff(means) <= 0).all() and np.ptp(means) > 0
    assert_array_equal(drawn(display.ax_.lines[0])[0], display.initial[display.order_])
    assert_array_equal(drawn(display.ax_.lines[-1])[0], means)
    assert "not importances" in display.ax_.get_title()


def test_names_of_features_and_only_the_largest_of_many_are_shown():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame(rng.normal(size=(60, 30)), columns=[f"name {j}" for j in range(30)])
    weights = {"name 3": 9.0, "name 5": 7.0}
    model = WeightedTorchRegressor(module__feature_weights=weights, **QUICK).fit(X, X["name 3"])
    display = FeatureWeightDisplay.from_estimator(model, max_features=3)
    assert display.order_[:2].tolist() == [3, 5] and len(display.order_) == 3
    assert display.initial[3] == 9 and display.initial[0] == 1
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names[:2] == ["name 3", "name 5"]
    assert "3 largest of 30" in display.ax_.get_title()


def test_long_names_of_features_keep_their_ends_and_the_title_is_not_cut_off():
    """Columns such as income_of_the_household_2019 and ..._2020 had the same name."""
    names = [f"income_of_the_household_20{j}" for j in range(10, 20)]
    display = FeatureWeightDisplay(np.linspace(0.5, 1.5, 10), names).plot()
    shown = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert len({*shown}) == 10 and all(len(name) == 24 for name in shown)
    assert shown[0].startswith("income_of") and shown[0].endswith("hold_2019")
    display.figure_.draw_without_rendering()
    title = display.ax_.title.get_window_extent()
    assert title.x0 >= 0 and title.x1 <= display.figure_.bbox.width


# Wrong arguments ----------------------------------------------------------------------------


def test_wrong_arguments_are_named(binary, search, monkeypatch):
    X, y, weight = binary
    model = WeightedTorchClassifier(**QUICK).fit(X, y)
    for make in (TrainingCurveDisplay, FeatureWeightDisplay):
        with pytest.raises(NotFittedError, match="WeightedTorchClassifier is not fitted yet"):
            make.from_estimator(WeightedTorchClassifier())
        with pytest.raises(TypeError, match=r"estimator must be a fitted .*, got StandardScaler"):
            make.from_estimator(StandardScaler())
    with pytest.raises(NotFittedError, match="WeightSearchCV is not fitted yet"):
        WeightSearchDisplay.from_estimator(WeightSearchCV(model, {}))
    with pytest.raises(TypeError, match=r"search must be a fitted search, .*, got int"):
        WeightSearchDisplay.from_estimator(3)
    with pytest.raises(ValueError, match=r"metric must be one of the scores \['score'\]"):
        WeightSearchDisplay.from_estimator(search, metric="f1")
    with pytest.raises(ValueError, match=r"y must have a label for each of .* rows .*, got 50"):
        WeightSearchDisplay.from_predictions(search, y[:50])
    with pytest.raises(ValueError, match="return_predictions=True"):
        bare = GridSearchCV(model, {"lr": [0.1, 0.2]}, cv=2).fit(X, y)
        WeightSearchDisplay.from_predictions(bare, y)
    with pytest.raises(AttributeError, match="module__feature_weights=1"):
        FeatureWeightDisplay.from_estimator(model)
    with pytest.raises(ValueError, match="max_features must be an integer >= 1, got 0"):
        FeatureWeightDisplay(np.ones(3)).plot(max_features=0)
    with pytest.raises(ValueError, match="feature_names must hold one entry for each of 3"):
        FeatureWeightDisplay(np.ones(3), ["a"])
    with pytest.raises(ValueError, match="non-negative"):
        WeightDisplay.from_weights(-weight, y)
    with pytest.raises(ValueError, match="sample_weight or y must be given"):
        WeightDisplay.from_weights(None)
    with pytest.raises(TypeError, match=r"sample_weight must have one entry per row, got 3\.0"):
        WeightDisplay.from_weights(3.0)
    for one in (1, "yes"):
        with pytest.raises(TypeError, match="y must have one entry per row, got"):
            WeightDisplay.from_weights(None, one)
        with pytest.raises(TypeError, match="y must have one entry per row, got"):
            WeightDisplay.from_estimator(model, one)
    with pytest.raises(ValueError, match=r"scale must be one of \['linear', 'log'\], got 'cube'"):
        CalibrationDisplay.from_predictions(y, y * 0.5, scale="cube")
    with pytest.raises(TypeError, match="estimator must be a fitted classifier with predict_proba"):
        CalibrationDisplay.from_estimator(WeightedTorchRegressor(), X, y)
    with pytest.raises(TypeError, match="ax must be axes of matplotlib, or None, got str"):
        TrainingCurveDisplay.from_estimator(model, ax="left")
    with pytest.raises(ValueError, match="ax must be one of a grid"):
        WeightDisplay.from_weights(weight, y, ax=plt.figure().add_axes((0, 0, 1, 1)))
    with pytest.raises(ValueError, match=r"array of shape \(n_epochs,\)"):
        TrainingCurveDisplay([[[1.0]]])
    installed = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name!r}")
        return installed(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'skweight\[examples\]'"):
        TrainingCurveDisplay.from_estimator(model)
