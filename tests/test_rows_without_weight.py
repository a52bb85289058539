"""A row of weight 0 is a missing row, whatever it holds: in X, in y, and in every method."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV
from sklearn.utils import _safe_indexing

from skweight import (
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    WeightSearchCV,
    weight_summary,
)

rng = np.random.default_rng(0)
N_ROWS = 100
BAD = [3, 5, 70]
X = rng.normal(size=(N_ROWS, 3))
IS_HIGH = X[:, 0] > 0
WEIGHT = rng.integers(1, 4, N_ROWS).astype(float)
WEIGHT[BAD] = 0
KEPT = np.flatnonzero(WEIGHT)
QUICK = {"max_epochs": 3, "random_state": 0, "device": "cpu"}
ESTIMATORS = {"classifier": WeightedTorchClassifier, "regressor": WeightedTorchRegressor}


def spoiled(values, bad):
    """A copy, as objects, with a bad value in rows without weight."""
    values = np.asarray(values).astype(object)
    values[BAD] = bad
    return values


LABELS = np.where(IS_HIGH, "high", "low")
CODES = IS_HIGH.astype(int)
DATES = np.where(IS_HIGH, np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
CLASSES_WITH_MISSING = {
    "objects_None": spoiled(LABELS, None),
    "objects_nan": spoiled(LABELS, np.nan),
    "objects_NA": spoiled(LABELS, pd.NA),
    "objects_NaT": spoiled(LABELS, pd.NaT),
    "list_of_strings": spoiled(LABELS, np.nan).tolist(),
    "list_of_numbers": spoiled(CODES, None).tolist(),
    "tuple": tuple(spoiled(CODES, None)),
    "floats_nan": spoiled(CODES, np.nan).astype(float),
    "floats_inf": spoiled(CODES, np.inf).astype(float),
    "float32": spoiled(CODES, np.nan).astype(np.float32),
    "tensor": torch.tensor(spoiled(CODES, np.nan).astype(float)),
    "series": pd.Series(spoiled(LABELS, None)),
    "series_with_index": pd.Series(spoiled(LABELS, None), index=range(N_ROWS, 0, -1)),
    "category": pd.Series(spoiled(LABELS, None)).astype("category"),
    "category_of_numbers": pd.Series(spoiled(CODES, np.nan)).astype("category"),
    "categorical": pd.Categorical(spoiled(LABELS, None)),
    "boolean": pd.Series(spoiled(IS_HIGH, None), dtype="boolean"),
    "Int64": pd.Series(spoiled(CODES, None), dtype="Int64"),
    "Float64": pd.Series(spoiled(CODES, None), dtype="Float64"),
    "string": pd.Series(spoiled(LABELS, None), dtype="string"),
    "array_of_strings": pd.array(spoiled(LABELS, None), dtype="string"),
    "index": pd.Index(spoiled(LABELS, None)),
    "objects_bool": spoiled(IS_HIGH, None),
    "objects_int": spoiled(CODES, pd.NA),
    "objects_float": spoiled(CODES.astype(float), None),
    "series_of_bool": pd.Series(spoiled(IS_HIGH, None)),
    "frame_of_bool": pd.DataFrame({"y": spoiled(IS_HIGH, None)})["y"],
    "array_of_boolean": pd.array(spoiled(IS_HIGH, None), dtype="boolean"),
    "array_of_Int64": pd.array(spoiled(CODES, None), dtype="Int64"),
    "datetime": spoiled(DATES, None).astype("M8[D]"),
    "series_of_datetime": pd.Series(spoiled(DATES, None).astype("M8[ns]")),
    "timedelta": spoiled(DATES - DATES.min(), None).astype("m8[D]"),
}


def rows_of(values, positions):
    if isinstance(values, (pd.Categorical, pd.Index, pd.api.extensions.ExtensionArray)):
        return values[positions]
    return _safe_indexing(values, positions)


@pytest.mark.parametrize("kind", CLASSES_WITH_MISSING)
def test_a_missing_label_without_weight_is_no_row_and_no_class(kind):
    y = CLASSES_WITH_MISSING[kind]
    found = WeightedTorchClassifier(**QUICK).fit(X, y, WEIGHT)
    expected = WeightedTorchClassifier(**QUICK).fit(X[KEPT], rows_of(y, KEPT), WEIGHT[KEPT])
    assert len(found.classes_) == 2
    assert_array_equal(found.classes_, expected.classes_, strict=True)
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    score = expected.score(X[KEPT], rows_of(y, KEPT), WEIGHT[KEPT])
    assert found.score(X, y, WEIGHT) == score > 0.4
    assert weight_summary(y, WEIGHT)["rows"][-1] == len(KEPT)
    online = WeightedTorchClassifier(**QUICK).partial_fit(X, y, found.classes_, WEIGHT)
    online.partial_fit(X, y, sample_weight=WEIGHT)
    assert_array_equal(online.classes_, found.classes_)


@pytest.mark.parametrize("kind", CLASSES_WITH_MISSING)
def test_a_missing_label_with_weight_is_refused(kind):
    y = CLASSES_WITH_MISSING[kind]
    words = "^y must (not be missing|be finite) in a row with weight, got .* at position 3. Leave"
    for weight in (None, np.ones(N_ROWS)):
        with pytest.raises(ValueError, match=words):
            WeightedTorchClassifier(**QUICK).fit(X, y, weight)
        with pytest.raises(ValueError, match=words):
            weight_summary(y, weight)


NUMBERS_WITH_MISSING = {
    "floats": spoiled(X[:, 0], np.nan).astype(float),
    "infinite": spoiled(X[:, 0], -np.inf).astype(float),
    "objects": spoiled(X[:, 0], None),
    "list": spoiled(X[:, 0], None).tolist(),
    "Float64": pd.Series(spoiled(X[:, 0], None), dtype="Float64"),
    "series": pd.Series(spoiled(X[:, 0], np.nan).astype(float)),
    "two_targets": spoiled(X[:, :2], np.nan).astype(float),
    "frame": pd.DataFrame(spoiled(X[:, :2], np.nan).astype(float)),
}


@pytest.mark.parametrize("kind", NUMBERS_WITH_MISSING)
def test_a_missing_number_without_weight_is_no_row(kind):
    y = NUMBERS_WITH_MISSING[kind]
    found = WeightedTorchRegressor(**QUICK).fit(X, y, WEIGHT)
    expected = WeightedTorchRegressor(**QUICK).fit(X[KEPT], rows_of(y, KEPT), WEIGHT[KEPT])
    assert_array_equal(found.predict(X), expected.predict(X))
    score = expected.score(X[KEPT], rows_of(y, KEPT), WEIGHT[KEPT])
    assert found.score(X, y, WEIGHT) == score
    online = WeightedTorchRegressor(**QUICK).partial_fit(X, y, WEIGHT)
    assert np.isfinite(online.partial_fit(X, y, WEIGHT).predict(X)).all()
    with pytest.raises(ValueError, match=r"^y must (not be missing|be finite) .*(position|row) 3"):
        WeightedTorchRegressor(**QUICK).fit(X, y)


@pytest.mark.parametrize("bad", ["n/a", "", "12 or 13"])
@pytest.mark.parametrize("kind", [np.array, list, pd.Series])
def test_a_target_without_weight_may_be_no_number(bad, kind):
    y = kind(spoiled(X[:, 0], bad))
    found = WeightedTorchRegressor(**QUICK).fit(X, y, WEIGHT)
    expected = WeightedTorchRegressor(**QUICK).fit(X[KEPT], X[KEPT, 0], WEIGHT[KEPT])
    assert_array_equal(found.predict(X), expected.predict(X))
    assert found.score(X, y, WEIGHT) == expected.score(X, X[:, 0], WEIGHT)
    online = WeightedTorchRegressor(**QUICK).partial_fit(X, y, WEIGHT)
    assert np.isfinite(online.predict(X)).all()


@pytest.mark.parametrize("dtype", ["m8[ns]", "M8[ns]"])
def test_times_are_no_numbers_and_missing_ones_are_missing(dtype):
    y = (1e9 * X[:, 0]).astype(np.int64).astype(dtype)
    model = WeightedTorchRegressor(**QUICK)
    with pytest.raises(TypeError, match=r"^y must hold numbers, got dtype .*\[ns\]\. Divide"):
        model.fit(X, y)
    y[BAD] = "NaT"
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"^y must not be missing .*got .*NaT"):
            call(X, y)


@pytest.mark.parametrize("estimator", ESTIMATORS.values())
def test_of_bad_weights_and_missing_targets_the_weights_are_named(estimator):
    y = [None if weight == 0 else code for weight, code in zip(WEIGHT, CODES.tolist())]
    for bad, words in (
        (WEIGHT[:, None], "^sample_weight must be 1-D .*Pass its one column"),
        (0 * WEIGHT, "^sample_weight must hold at least one positive weight"),
        (np.where(WEIGHT == 0, np.nan, 1), "^sample_weight must be finite"),
        (WEIGHT[:-1], "^sample_weight must have one weight per row"),
    ):
        with pytest.raises(ValueError, match=words):
            estimator(**QUICK).fit(X, y, bad)
        with pytest.raises(ValueError, match=r"^X_val and y_val: sample_weight must"):
            estimator(**QUICK).fit(X, CODES, X_val=X, y_val=y, sample_weight_val=bad)


def test_columns_of_labels_without_weight_may_be_missing_objects():
    labels = np.c_[IS_HIGH, X[:, 1] > 0]
    found, expected = WeightedTorchClassifier(**QUICK), WeightedTorchClassifier(**QUICK)
    found.fit(X, spoiled(labels, None), WEIGHT)
    expected.fit(X[KEPT], labels[KEPT], WEIGHT[KEPT])
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


def on_disk(folder, rows):
    np.save(folder / "X.npy", rows)
    return np.load(folder / "X.npy", mmap_mode="r")


ROWS = {
    "array": lambda folder, rows: rows,
    "frame": lambda folder, rows: pd.DataFrame(rows),
    "csr": lambda folder, rows: sparse.csr_matrix(rows),
    "coo": lambda folder, rows: sparse.coo_matrix(rows),
    "file": on_disk,
    "list": lambda folder, rows: rows.tolist(),
    "float32": lambda folder, rows: rows.astype(np.float32),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of the float32 table itself
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("kind", ROWS)
def test_rows_without_weight_may_hold_any_number_in_X(name, bad, kind, tmp_path):
    table = X.copy()
    table[3], table[70, 1] = bad, bad
    rows, y = ROWS[kind](tmp_path, table), IS_HIGH * 1.0
    found = ESTIMATORS[name](**QUICK).fit(rows, y, WEIGHT)
    expected = ESTIMATORS[name](**QUICK).fit(X[KEPT], y[KEPT], WEIGHT[KEPT])
    assert_array_equal(found.predict(X), expected.predict(X))
    score = expected.score(X[KEPT], y[KEPT], WEIGHT[KEPT])
    assert found.score(rows, y, WEIGHT) == score
    if np.isnan(bad) and kind not in ("csr", "coo"):  # a missing number
        assert np.isfinite(found.predict(rows)).all()
        return
    with pytest.raises(ValueError, match="Input X contains"):
        ESTIMATORS[name](**QUICK).fit(rows, y)
    with pytest.raises(ValueError, match="Input X contains"):
        found.predict(rows)


def test_validation_rows_without_weight_may_hold_unknown_labels():
    y_val = LABELS.astype(object)
    y_val[3], y_val[5], y_val[70] = "unknown", None, np.nan
    X_val = X.copy()
    X_val[5] = np.nan
    settings = QUICK | {"early_stopping": True}
    found = WeightedTorchClassifier(**settings).fit(
        X, LABELS, X_val=X_val, y_val=y_val, sample_weight_val=WEIGHT
    )
    expected = WeightedTorchClassifier(**settings).fit(
        X, LABELS, X_val=X[KEPT], y_val=LABELS[KEPT], sample_weight_val=WEIGHT[KEPT]
    )
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    assert found.history_[:, "valid_loss"] == expected.history_[:, "valid_loss"]
    with pytest.raises(ValueError, match="unknown"):
        found.fit(X, LABELS, X_val=X, y_val=np.where(WEIGHT == 0, "unknown", LABELS))


def test_later_rows_without_weight_may_hold_unknown_labels():
    model = WeightedTorchClassifier(**QUICK).partial_fit(X, LABELS, classes=["high", "low"])
    before = model.predict_proba(X)
    model.partial_fit(X, np.where(WEIGHT == 0, "unknown", LABELS), sample_weight=WEIGHT)
    assert not np.array_equal(model.predict_proba(X), before)
    warm = WeightedTorchClassifier(warm_start=True, **QUICK).fit(X, LABELS)
    warm.fit(X, np.where(WEIGHT == 0, "unknown", LABELS), WEIGHT)
    assert_array_equal(warm.classes_, ["high", "low"])


def test_known_labels_of_rows_without_weight_stay_classes():
    y = np.where(WEIGHT == 0, "rare", LABELS)
    model = WeightedTorchClassifier(**QUICK).fit(X, y, WEIGHT)
    assert_array_equal(model.classes_, ["high", "low", "rare"])


def test_a_search_trains_on_such_rows_as_well():
    y = spoiled(X[:, 0], np.nan).astype(float)
    folds = [(np.setdiff1d(np.arange(N_ROWS), part), part) for part in np.split(KEPT[:96], 3)]
    grid = {"sample_weight_power": [0.5, 1.0]}
    scores = [
        search(WeightedTorchRegressor(**QUICK), grid, cv=folds)
        .fit(X, y, sample_weight=WEIGHT)
        .cv_results_["mean_test_score"]
        for search in (WeightSearchCV, GridSearchCV)
    ]
    assert_array_equal(*scores)
    assert np.isfinite(scores).all() and np.ptp(scores) > 0


def test_nothing_of_the_caller_is_changed():
    table, y, weight = X.copy(), spoiled(LABELS, None), WEIGHT.copy()
    table[3] = np.nan
    before = table.tobytes(), y.copy(), weight.tobytes()
    WeightedTorchClassifier(**QUICK).fit(table, y, weight).score(table, y, weight)
    assert (table.tobytes(), weight.tobytes()) == (before[0], before[2])
    assert_array_equal(y, before[1])
