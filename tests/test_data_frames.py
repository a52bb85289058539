"""A DataFrame with strings, categories and holes goes straight into a fit; the weight laws hold.

How columns are read is in ``data/test_columns.py``, how categories are numbered in
``weights/test_categories.py``, and their layers in ``modules``.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV

sklearn_version = tuple(map(int, sklearn.__version__.split(".")[:2]))
N_ROWS = 400
QUICK = {
    "max_epochs": 3,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
    "module__hidden_sizes": (16,),
}
ESTIMATORS = {"classifier": WeightedTorchClassifier, "regressor": WeightedTorchRegressor}
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def make_frame(n_rows=N_ROWS, seed=0):
    """Numbers with holes, mostly zeros, strings with holes, categories, booleans; and a target."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n_rows).round(),
            "city": rng.choice([*"abcdefghijklmnop"], n_rows),
            "gain": np.where(rng.random(n_rows) < 0.8, 0.0, rng.exponential(1e4, n_rows)),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], n_rows), ["l", "m", "s", "xl"]),
            "member": rng.random(n_rows) < 0.5,
        }
    )
    effect = (frame["city"].isin([*"abc"]) * 2 + (frame["gain"] > 0) + frame["member"]).to_numpy()
    target = effect + (frame["age"] > 45) + rng.normal(0, 0.3, n_rows)
    frame.loc[rng.random(n_rows) < 0.1, "age"] = np.nan
    frame.loc[rng.random(n_rows) < 0.1, "city"] = None
    return frame, target


FRAME, TARGET = make_frame()
TARGETS = {"classifier": (TARGET > 2).astype(int), "regressor": TARGET}
WEIGHT = np.random.default_rng(1).integers(0, 4, N_ROWS)
RENAMED = {"city": dict(zip("abcdefghijklmnop", "qhzkxbjwmvncrtpd")), "size": {"s": "A", "m": "C"}}


def predictions(name, frame, y, weight=None, asked=FRAME, **params):
    """What a network that is fitted to a table predicts for another table."""
    model = ESTIMATORS[name](**QUICK, **params).fit(frame, y, weight)
    found = model.predict_proba(asked) if name == "classifier" else model.predict(asked)
    assert np.isfinite(found).all() and np.ptp(found) > 0.01
    return found


# What it is for


@each_estimator
def test_a_frame_is_learned_without_a_pipeline(name):
    frame, target = make_frame(2000)
    y = (target > 2).astype(int) if name == "classifier" else target
    model = ESTIMATORS[name](random_state=0).fit(frame[:1500], y[:1500])
    score = model.score(frame[1500:], y[1500:])
    assert score > 0.8
    shuffled = frame.assign(city=frame["city"].sample(frac=1, random_state=0).to_numpy())
    assert model.score(shuffled[1500:], y[1500:]) < score - 0.1


def test_what_is_missing_says_something():
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    y = np.where(x > 0.5, 3.0, x) + rng.normal(0, 0.1, 600)
    frame = pd.DataFrame({"x": np.where(x > 0.5, np.nan, x)})
    predicted = WeightedTorchRegressor(random_state=0).fit(frame, y).predict(frame)
    assert_allclose(predicted[x > 0.5], 3, atol=0.3)
    assert_allclose(predicted[np.abs(x) < 0.4], x[np.abs(x) < 0.4], atol=0.3)


def test_bins_are_for_the_values_beside_the_zeros():
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(3000) < 0.9, 0.0, rng.exponential(1.0, 3000))
    y = np.where(gain == 0, 0.5, np.where(gain < 0.7, 0.0, 1.0))
    model = WeightedTorchRegressor(random_state=0).fit(gain[:, None], y)
    at = np.array([[0.0], [0.35], [0.5], [1.2], [2.0]])
    assert_allclose(model.predict(at), [0.5, 0, 0, 1, 1], atol=0.2)


# Weight laws


@each_estimator
@pytest.mark.parametrize("early_stopping", [True, False])
def test_weights_are_copies_and_rows_without_weight_are_missing(name, early_stopping):
    y, params = TARGETS[name], {"early_stopping": early_stopping}
    weighted = predictions(name, FRAME, y, WEIGHT, **params)
    copies = np.repeat(np.arange(N_ROWS), WEIGHT)
    assert_array_equal(weighted, predictions(name, FRAME.iloc[copies], y[copies], **params))
    kept = WEIGHT > 0
    assert_array_equal(weighted, predictions(name, FRAME[kept], y[kept], WEIGHT[kept], **params))
    assert not np.array_equal(weighted, predictions(name, FRAME, y, **params))


@each_estimator
def test_the_order_of_rows_and_of_the_categories_of_a_dtype_mean_nothing(name):
    y = TARGETS[name]
    expected = predictions(name, FRAME, y, WEIGHT)
    order = np.random.default_rng(2).permutation(N_ROWS)
    assert_array_equal(expected, predictions(name, FRAME.iloc[order], y[order], WEIGHT[order]))
    for dtype in (
        pd.CategoricalDtype(["m", "s", "l"]),
        pd.CategoricalDtype([*"mls"], True),
        object,
    ):
        other = FRAME.assign(size=FRAME["size"].astype(dtype))
        assert_array_equal(expected, predictions(name, other, y, WEIGHT))


@each_estimator
@pytest.mark.parametrize("n_rows", [60, N_ROWS])
def test_other_labels_change_nothing(name, n_rows):
    frame, y, weight = FRAME[:n_rows], TARGETS[name][:n_rows], WEIGHT[:n_rows]
    renamed = frame.assign(**{c: frame[c].astype(object).replace(n) for c, n in RENAMED.items()})
    assert set(renamed["size"]) == {"A", "C", "l"}
    assert_array_equal(
        predictions(name, frame, y, weight, asked=frame),
        predictions(name, renamed, y, weight, asked=renamed),
    )


@pytest.mark.parametrize("zero", [False, True])
def test_class_weights_are_the_sample_weights_that_they_mean(zero):
    y = TARGETS["classifier"]
    if zero:
        y = np.where(np.arange(N_ROWS) % 3 == 0, 2, y)
        frame = FRAME.assign(size=np.where(y == 2, "only here", FRAME["size"].astype(object)))
        weights = {0: 1.0, 1: 4.0, 2: 0.0}
        of_rows = np.array([1.0, 4.0, 0.0])[y]
        found = predictions("classifier", frame, y, class_weight=weights)
        assert_array_equal(found, predictions("classifier", frame, y, of_rows))
        return
    frame = FRAME.assign(rare=np.where(np.arange(N_ROWS) % 150 == 0, "rare", "common"))
    of_classes = predictions("classifier", frame, y, class_weight={0: 1, 1: 4}, asked=frame)
    of_rows = predictions("classifier", frame, y, np.where(y == 1, 4, 1), asked=frame)
    assert_array_equal(of_classes, of_rows)


@each_estimator
def test_a_category_of_rows_without_weight_is_unseen(name):
    frame = FRAME.copy()
    frame.loc[WEIGHT == 0, "city"] = "only without weight"
    y = TARGETS[name]
    asked = FRAME.assign(city="only without weight"), FRAME.assign(city="never")
    found = [predictions(name, frame, y, WEIGHT, asked=table) for table in asked]
    assert_array_equal(*found)
    assert not np.array_equal(found[0], predictions(name, frame, y, WEIGHT))


@each_estimator
def test_rows_without_weight_may_hold_cells_of_any_kind(name):
    """Neither what is a category nor the kind of labels is decided by them."""
    mixed = FRAME.astype({"city": object, "gain": object, "member": object})
    for column, cell in {"city": 3.5, "gain": "much", "member": {"no": "cell"}}.items():
        mixed[column] = [cell if w == 0 else known for known, w in zip(mixed[column], WEIGHT)]
    y, kept = TARGETS[name], WEIGHT > 0
    found = predictions(name, mixed, y, WEIGHT)
    assert_array_equal(found, predictions(name, FRAME[kept], y[kept], WEIGHT[kept]))


@pytest.mark.parametrize("dtype", [object, "str", "string"])
@pytest.mark.parametrize("hole", [np.nan, None])
def test_a_column_that_is_missing_in_training_may_have_labels_later(dtype, hole):
    frame = FRAME.assign(city=pd.Series([hole] * N_ROWS, dtype=object).astype(dtype))
    model = WeightedTorchRegressor(**QUICK).fit(frame, TARGET)
    assert_array_equal(model.predict(frame), model.predict(FRAME))
    assert np.ptp(model.predict(FRAME)) > 0.01


@each_estimator
@pytest.mark.parametrize("label", ["one", None])
def test_a_table_that_says_nothing_gives_a_constant_fit(name, label):
    frame = pd.DataFrame({"a": [label] * N_ROWS, "b": ["other"] * N_ROWS}, dtype=object)
    found = ESTIMATORS[name](**QUICK).fit(frame, TARGETS[name]).predict(frame)
    assert len(set(found)) == 1
    if name == "regressor":
        assert_allclose(found[0], TARGET.mean(), rtol=0.05)


@each_estimator
def test_a_search_gives_the_scores_of_grid_search(name):
    grid = {"sample_weight_power": [0.0, 0.5, 1.0]}
    if name == "classifier":
        grid["class_weight"] = [None, "balanced"]
    weight = np.random.default_rng(3).exponential(size=N_ROWS)
    estimator, y = ESTIMATORS[name](**QUICK), TARGETS[name]
    one, other = (
        search(estimator, grid, cv=3).fit(FRAME, y, sample_weight=weight)
        for search in (GridSearchCV, WeightSearchCV)
    )
    for split in range(3):
        scores = one.cv_results_[f"split{split}_test_score"]
        assert_array_equal(scores, other.cv_results_[f"split{split}_test_score"])
        assert len(set(scores)) > 1


@pytest.mark.parametrize("max_indicators", ["auto", 0])
def test_a_search_learns_the_categories_that_have_weight_under_each_setting(max_indicators):
    """Classes of weight 0 are missing rows, and so are the categories that only they have."""
    y = TARGETS["classifier"] + (np.arange(N_ROWS) % 3 == 0)
    frame = FRAME.assign(part=np.where(y == 2, "of the last class", FRAME["city"]))
    frame.loc[y != 2, "part"] = FRAME.loc[y != 2, "city"]
    grid = {"class_weight": [None, {0: 1, 1: 1, 2: 0}, {0: 0, 1: 1, 2: 1}]}
    model = WeightedTorchClassifier(**QUICK, module__max_indicators=max_indicators)
    one, other = (
        search(model, grid, cv=4).fit(frame, y) for search in (GridSearchCV, WeightSearchCV)
    )
    for split in range(4):
        scores = one.cv_results_[f"split{split}_test_score"]
        assert_array_equal(scores, other.cv_results_[f"split{split}_test_score"])
        assert len(set(scores)) > 1
    every, without = (
        clone(model).set_params(class_weight=class_weight).fit(frame, y)
        for class_weight in grid["class_weight"][:2]
    )
    assert every.module_.cardinalities != without.module_.cardinalities


@pytest.mark.parametrize("column", ["street", "id"])
@pytest.mark.parametrize("by", ["class_weight", "sample_weight"])
def test_many_categories_that_say_nothing_do_not_give_the_class_away(column, by):
    """A street was kept if a row of the rare class was in it, and pooled otherwise."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=2000)
        of_rows = {"street": rng.integers(0, 700, 2000), "id": np.arange(2000) + 10_000 * seed}
        frame = pd.DataFrame({"a": a, column: [f"s{i}" for i in of_rows[column]]})
        return frame, (rng.random(2000) < 1 / (1 + np.exp(3.0 - 1.5 * a))).astype(int)

    (X, y), (new, truth) = draw(0), draw(1)
    params = {"class_weight": "balanced" if by == "class_weight" else None, "random_state": 0}
    weight = np.where(y == 1, 12.0, 1.0) if by == "sample_weight" else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Column 'id'")
        model = WeightedTorchClassifier(**params, device="cpu").fit(X, y, weight)
    alone = WeightedTorchClassifier(**params, device="cpu").fit(X[["a"]], y, weight)
    scores = [
        balanced_accuracy_score(truth, network.predict(table))
        for network, table in ((model, new), (alone, new[["a"]]))
    ]
    assert scores[1] > 0.7 and scores[0] > scores[1] - 0.05


# Libraries and dtypes


def frames_of_libraries():
    """The same table, as libraries and dtypes hold it."""
    nullable = FRAME.convert_dtypes()
    yield "nullable", nullable
    yield "arrow dtypes", FRAME.convert_dtypes(dtype_backend="pyarrow")
    yield "objects", FRAME.astype({"city": object, "size": object, "member": object})
    as_polars = pl.from_pandas(FRAME)
    yield "polars", as_polars
    yield "polars categories", as_polars.with_columns(pl.col("city").cast(pl.Categorical))
    yield (
        "polars enum",
        as_polars.with_columns(pl.col("size").cast(pl.String).cast(pl.Enum([*"slm"]))),
    )
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    yield "pyarrow", table
    coded = table["city"].dictionary_encode()
    yield "pyarrow dictionary", table.set_column(1, "city", coded)


LIBRARIES = dict(frames_of_libraries())


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_library_gives_the_same_fit(library):
    expected = predictions("regressor", FRAME, TARGET, WEIGHT)
    frame = LIBRARIES[library]
    assert_array_equal(expected, predictions("regressor", frame, TARGET, WEIGHT, asked=frame))


@pytest.mark.parametrize("library", LIBRARIES)
def test_scores_and_searches_take_every_library(library):
    frame, weight = LIBRARIES[library], WEIGHT.astype(float)
    model = WeightedTorchRegressor(**QUICK)
    model.fit(frame, TARGET, X_val=frame, y_val=TARGET, sample_weight_val=weight)
    expected = clone(model).fit(FRAME, TARGET, X_val=FRAME, y_val=TARGET, sample_weight_val=weight)
    assert model.score(frame, TARGET, weight) == expected.score(FRAME, TARGET, weight)
    if "pyarrow" in library and sklearn_version < (1, 9):
        return  # scikit-learn cannot split such tables
    grid = {"sample_weight_power": [0.0, 1.0]}
    one, other = (
        WeightSearchCV(WeightedTorchRegressor(**QUICK), grid, cv=2).fit(
            table, TARGET, sample_weight=weight
        )
        for table in (frame, FRAME)
    )
    scores = one.cv_results_["mean_test_score"]
    assert_array_equal(scores, other.cv_results_["mean_test_score"])
    assert len(set(scores)) == 2


def test_a_frame_that_is_not_read_yet_is_refused():
    with pytest.raises(TypeError, match=r"X must hold its rows, got a LazyFrame. Pass X.collect"):
        WeightedTorchRegressor().fit(pl.from_pandas(FRAME).lazy(), TARGET)
    model = WeightedTorchRegressor(**QUICK).fit(pl.from_pandas(FRAME), TARGET)
    with pytest.raises(TypeError, match=r"X must hold its rows, got a LazyFrame. Pass X.collect"):
        model.predict(pl.from_pandas(FRAME).lazy())


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_continued_fit_refuses_other_columns_as_categories(method):
    model = getattr(WeightedTorchRegressor(**QUICK, warm_start=True), method)(FRAME, TARGET)
    model.set_params(categorical_features=["city", "size", "age", "member"])
    with pytest.raises(ValueError, match="categorical_features was 'from_dtype', got \\['city'"):
        getattr(model, method)(FRAME, TARGET)


def test_columns_are_named_and_their_order_is_checked():
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, TARGET)
    assert_array_equal(model.feature_names_in_, FRAME.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(FRAME[FRAME.columns[::-1]])
    with pytest.raises(ValueError, match="Feature names seen at fit time, yet now missing"):
        model.predict(FRAME.drop(columns="city"))


def test_unseen_and_missing_labels_and_numbers_have_an_answer():
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, TARGET)
    asked = FRAME[:4].copy()
    asked["city"] = ["a", "never", None, "b"]
    asked["size"] = [None, "l", "never", "m"]
    asked["gain"] = [np.nan, 0, 1, np.nan]
    asked["member"] = pd.array([True, None, False, None], dtype="boolean")
    assert np.isfinite(model.predict(asked)).all()


def test_a_missing_number_is_the_mean_where_training_had_none():
    x = np.random.default_rng(0).normal(size=(300, 1))
    model = WeightedTorchRegressor(**QUICK).fit(x, x[:, 0])
    at_mean, missing = model.predict([[x.mean()], [np.nan]])
    assert_allclose(missing, at_mean, atol=0.01)
    assert np.ptp(model.predict(x)) > 0.3


@pytest.mark.parametrize("dtype", [object, "string"])
def test_a_column_without_a_label_in_training_is_a_category(dtype):
    empty = FRAME.assign(city=pd.Series([None] * N_ROWS, dtype=dtype))
    model = WeightedTorchRegressor(**QUICK)
    with pytest.warns(UserWarning, match="Column 'note' of X is not used"):
        model.fit(empty.assign(note=np.arange(N_ROWS).astype(str)), TARGET)
    model.fit(empty, TARGET)
    assert_array_equal(model.predict(empty), model.predict(FRAME))


def test_which_columns_are_categories_stays_when_a_fit_continues():
    model = WeightedTorchRegressor(**QUICK, warm_start=True).fit(FRAME, TARGET)
    with pytest.raises(ValueError, match=r"categorical_features.* must not change"):
        model.set_params(categorical_features=[1, 3, 4]).fit(FRAME, TARGET)
    model = WeightedTorchRegressor(**QUICK).partial_fit(FRAME, TARGET)
    with pytest.raises(ValueError, match=r"categorical_features.* must not change"):
        model.set_params(categorical_features=None).partial_fit(FRAME, TARGET)


@pytest.mark.parametrize(
    ("held", "got", "message"),
    [
        ([True, False], "xy", "must hold numbers or booleans, as in fit, got strings"),
        ([True, None], "xy", "must hold numbers or booleans, as in fit, got strings"),
        (pd.Categorical([1, 2]), "xy", "must hold numbers, as in fit, got strings"),
        ("xy", [True, False], "must hold strings, as in fit, got booleans"),
        ("xy", pd.Categorical([1, 2]), "must hold strings, as in fit, got numbers"),
    ],
)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_error_about_another_kind_says_what_the_column_held(held, got, message, library):
    def table(values):
        column = pd.Series([*values] * 30, dtype=getattr(values, "dtype", None))
        frame = pd.DataFrame({"x": np.arange(60.0), "flag": column})
        return pl.from_pandas(frame) if library == "polars" else frame

    if library == "polars" and isinstance(held, pd.Categorical):
        held = [1, 2]
    params = {**QUICK, "categorical_features": ["flag"]}
    model = WeightedTorchRegressor(**params).fit(table(held), np.arange(60.0))
    with pytest.raises(TypeError, match=f"^Column 'flag' of X {message}"):
        model.predict(table([*got]))


def test_booleans_and_numbers_are_the_same_categories():
    frame = FRAME[["age", "member"]]
    model = WeightedTorchRegressor(**QUICK).fit(frame, TARGET)
    as_numbers = frame.astype({"member": int})
    assert_array_equal(model.predict(as_numbers), model.predict(frame))
    assert np.ptp(model.predict(frame)) > 0.01


def test_labels_of_another_kind_are_refused_in_predictions():
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, TARGET)
    with pytest.raises(TypeError, match="Column 'city' of X must hold strings, as in fit, got num"):
        model.predict(FRAME.assign(city=1))
    with pytest.raises(TypeError, match="Column 'age' of X must hold numbers, as in fit"):
        model.predict(FRAME.assign(age="old"))


def test_later_parts_may_have_new_categories():
    y = TARGETS["classifier"]
    model = WeightedTorchClassifier(**QUICK).partial_fit(FRAME[:200], y[:200], classes=[0, 1])
    later = FRAME[200:].assign(city="new")
    before = model.predict_proba(later)
    model.partial_fit(later, y[200:])
    assert not np.array_equal(model.predict_proba(later), before)
    assert_array_equal(model.predict_proba(later), model.predict_proba(later.assign(city="other")))


def test_a_warm_start_keeps_the_codes_of_the_first_fit():
    model = WeightedTorchRegressor(**QUICK, warm_start=True).fit(FRAME, TARGET)
    first = model.module_.state_dict()["embedding.weight"].clone()
    model.fit(FRAME[FRAME["city"].isin([*"abc"])], TARGET[FRAME["city"].isin([*"abc"])])
    assert model.module_.state_dict()["embedding.weight"].shape == first.shape


def test_a_fitted_model_is_pickled_cloned_and_used_by_other_processes():
    model = WeightedTorchClassifier(**QUICK).fit(FRAME, TARGETS["classifier"])
    expected = model.predict_proba(FRAME)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(FRAME), expected)
    again = clone(model).fit(FRAME, TARGETS["classifier"])
    assert_array_equal(again.predict_proba(FRAME), expected)
    scores = cross_val_score(again, FRAME, TARGETS["classifier"], n_jobs=2, cv=3)
    assert (scores > 0.6).all()


def test_given_validation_rows_are_encoded_as_those_of_training():
    model = WeightedTorchRegressor(**QUICK)
    model.fit(FRAME[:300], TARGET[:300], X_val=FRAME[300:].assign(city="new"), y_val=TARGET[300:])
    assert len(model.history_[:, "valid_loss"]) == 3


# Which columns are categories


def codes_table():
    """Numbers and integer codes as an array, and the same as a frame with names."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 12, N_ROWS)
    X = np.c_[rng.normal(size=N_ROWS), codes, rng.integers(0, 3, N_ROWS)]
    return X, np.isin(codes, [1, 5, 7]) + 0.1 * X[:, 0]


@pytest.mark.parametrize(
    "given",
    [
        [1, 2],
        np.array([False, True, True]),
        pd.Series([False, True, True], dtype=object),
        pl.Series([False, True, True]),
        ["code", "kind"],
        pd.Index(["kind", "code"]),
    ],
)
def test_categories_may_be_named_numbered_or_masked(given):
    X, y = codes_table()
    frame = pd.DataFrame(X, columns=["x", "code", "kind"])
    typed = frame.astype({"code": "category", "kind": "category"})
    expected = predictions("regressor", typed, y, asked=typed)
    found = predictions("regressor", frame, y, asked=frame, categorical_features=given)
    assert_array_equal(found, expected)
    if not isinstance(np.asarray(given)[0], str):
        assert_array_equal(
            predictions("regressor", X, y, asked=X, categorical_features=given), expected
        )
    assert not np.array_equal(expected, predictions("regressor", frame, y, asked=frame))


def test_none_takes_categories_of_numbers_as_numbers_and_refuses_strings():
    X, y = codes_table()
    typed = pd.DataFrame(X).astype({1: "category"}).rename(columns=str)
    numbers = predictions("regressor", X, y, asked=X)
    found = predictions("regressor", typed, y, asked=typed, categorical_features=None)
    assert_array_equal(found, numbers)
    with pytest.raises(TypeError, match=r"Column 'city' of X holds strings.*categorical_fe"):
        WeightedTorchRegressor(categorical_features=None).fit(FRAME, TARGET)


@pytest.mark.parametrize(
    ("X", "given", "error", "message"),
    [
        (FRAME, ["town"], ValueError, r"must hold columns of X, \['age', .*got 'town'"),
        (FRAME, ["cities"], ValueError, "got 'cities'. Did you mean 'city'?"),
        (FRAME, [1, 5], ValueError, "positions from 0 to 4, because X has 5 columns, got 5"),
        (FRAME, [-1], ValueError, "positions from 0 to 4.* got -1"),
        (FRAME, [True, False], ValueError, "one entry for each of 5 columns.*mask, got shape"),
        (np.ones((N_ROWS, 2)), ["a"], ValueError, "positions: X has no column names, got 'a'"),
        (
            sparse.csr_matrix(np.eye(N_ROWS)),
            [1],
            ValueError,
            r"got a sparse matrix. Pass X.toarray",
        ),
        (np.ones(N_ROWS), [0], ValueError, r"shape \(n_samples, n_features\), got shape \(400,\)"),
        (FRAME, [[0, 1]], ValueError, r"with one dimension, got shape \(1, 2\)"),
        (FRAME, np.array(0), ValueError, r"a list of names or positions.*got array\(0\)"),
        (FRAME, [1.5], ValueError, "must hold columns of X.*got 1.5"),
        (FRAME, ["city", "city"], ValueError, r"not name a column twice, got 'city' twice\.$"),
        (FRAME, [0, 0, 1, 0, 1], ValueError, "got 0 twice; a mask must hold booleans"),
        (np.ones((N_ROWS, 3)), [0, 1, 1], ValueError, "got 1 twice; a mask must hold booleans"),
        (FRAME, np.array([3, 1, 3]), ValueError, r"twice, got 3 twice\.$"),
    ],
)
def test_categories_that_X_does_not_have_are_refused(X, given, error, message):
    with pytest.raises(error, match=message):
        WeightedTorchRegressor(categorical_features=given).fit(X, TARGET)


def test_files_hold_numbers_only(tmp_path):
    np.save(tmp_path / "X.npy", codes_table()[0])
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=r"got a memory-mapped array. Pass numpy.array\(X\)"):
        WeightedTorchRegressor(categorical_features=[1]).fit(mapped, TARGET)


def test_missing_numbers_in_files_are_read_and_in_sparse_matrices_refused(tmp_path):
    X = np.random.default_rng(0).normal(size=(N_ROWS, 3))
    X[::7, 1] = np.nan
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = predictions("regressor", X, TARGET, asked=X)
    assert_array_equal(predictions("regressor", mapped, TARGET, asked=mapped), expected)
    with pytest.raises(ValueError, match=r"NaN.*In a sparse matrix.*pass X.toarray\(\)"):
        WeightedTorchRegressor().fit(sparse.csr_matrix(X), TARGET)


@pytest.mark.filterwarnings("default")
def test_columns_that_say_nothing_are_warned_of():
    frame = FRAME.assign(name=[f"row {i}" for i in range(N_ROWS)])
    with pytest.warns(UserWarning, match="Column 'name' of X is not used, because each of its"):
        named = WeightedTorchRegressor(**QUICK).fit(frame, TARGET)
    assert_array_equal(named.predict(frame), named.predict(frame.assign(name="x")))


@pytest.mark.parametrize("copies", [1, 4])
def test_a_column_that_identifies_rows_is_warned_of_once(copies):
    n_rows = 11_000 * copies
    label = (np.arange(n_rows) // copies).astype(str)
    label[: n_rows // 2] = [f"id {i}" for i in range(n_rows // 2)]
    frame = pd.DataFrame({"id": label, "x": np.arange(n_rows) % 7})
    with pytest.warns(UserWarning) as caught:
        WeightedTorchRegressor(**{**QUICK, "max_epochs": 1}).fit(frame, frame["x"])
    [message] = [str(one.message) for one in caught if "Column 'id'" in str(one.message)]
    if copies == 1:
        assert "Column 'id' of X is not used" in message
        assert "11,000 categories in 11,000 distinct rows" in message
    else:
        assert "has 27,500 categories in 44,000 distinct rows. Leave it out if" in message


# Modules of one's own


class CodesNet(nn.Module):
    """Embeds the categories that it is told of."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.n_outputs, self.head = n_outputs, nn.Linear(n_features, n_outputs)

    def adapt_categories(self, cardinalities):
        self.cardinalities = cardinalities
        self.tables = nn.ModuleDict(
            {str(j): nn.Embedding(n, self.n_outputs) for j, n in enumerate(cardinalities) if n}
        )

    def forward(self, X):
        numbers = X[:, [j for j, n in enumerate(self.cardinalities) if n == 0]]
        codes = [table(X[:, int(j)].long()) for j, table in self.tables.items()]
        return self.head(torch.zeros_like(X)) + sum(codes) + numbers.mean(dim=1, keepdim=True)


@each_estimator
def test_a_module_with_adapt_categories_gets_codes(name):
    frame = FRAME.drop(columns="age").assign(gain=FRAME["gain"] / 1e4)
    model = ESTIMATORS[name](CodesNet, max_epochs=30, lr=0.05, random_state=0, device="cpu")
    model.fit(frame, TARGETS[name])
    assert model.module_.cardinalities == (18, 0, 4, 3)
    assert model.score(frame, TARGETS[name]) > 0.4
    assert np.isfinite(model.predict(frame.assign(city="never"))).all()


@pytest.mark.parametrize("make", [lambda X: X, np.asarray, pl.from_pandas, sparse.csr_matrix])
def test_a_module_with_adapt_categories_is_told_of_a_table_of_numbers(make):
    X = make(pd.DataFrame({"a": np.arange(60) / 60, "b": np.ones(60)}))
    model = WeightedTorchRegressor(CodesNet, **QUICK_NET).fit(X, np.arange(60.0))
    assert model.module_.cardinalities == (0, 0)
    assert model.predict(X).shape == (60,)


@pytest.mark.parametrize("module", [nn.Linear(2, 1), lambda n_in, n_out: nn.Linear(n_in, n_out)])
def test_a_module_without_it_is_told_of_the_categories(module):
    frame = FRAME[["city", "gain"]]
    message = "city.*adapt_categories.*categorical_features=None"
    with pytest.raises(ValueError, match=message):
        WeightedTorchRegressor(module).fit(frame, TARGET)


def test_booleans_are_numbers_for_a_module_without_it():
    frame = FRAME[["member", "gain"]].assign(gain=FRAME["gain"] / 1e4)
    model = WeightedTorchRegressor(nn.Linear(2, 1), max_epochs=2, random_state=0)
    numbers = clone(model).fit(frame.to_numpy(dtype=float), TARGET)
    expected = numbers.predict(frame.to_numpy(dtype=float))
    assert_array_equal(model.fit(frame, TARGET).predict(frame), expected)


def test_a_module_of_ones_own_is_not_given_missing_numbers():
    frame = FRAME[["gain", "age"]]
    message = r"NaN in columns \['age'\].*SimpleImputer\(add_indicator=True\).*contains NaN"
    with pytest.raises(ValueError, match=message):
        WeightedTorchRegressor(nn.Linear(2, 1)).fit(frame, TARGET)
    pipeline = make_pipeline(
        SimpleImputer(add_indicator=True), WeightedTorchRegressor(nn.Linear(3, 1), max_epochs=2)
    )
    assert np.isfinite(pipeline.fit(frame, TARGET).predict(frame)).all()


@pytest.mark.parametrize("module", [CodesNet, nn.Linear(3, 1), lambda n, m: nn.Linear(n, m)])
@pytest.mark.parametrize("categorical_features", ["from_dtype", ["city", "size"]])
def test_beside_categories_the_advice_about_missing_numbers_works(module, categorical_features):
    frame = FRAME[["city", "age", "size"]]
    model = WeightedTorchRegressor(module, categorical_features=categorical_features, **QUICK_NET)
    with pytest.raises(
        ValueError, match=r"^X holds NaN in columns \['age'\] beside categorie"
    ) as e:
        model.fit(frame, TARGET)
    assert "method adapt_categories needs the categories encoded as well." in str(e.value)
    advice = str(e.value).partition("for example with ")[2].partition(", which leaves")[0]
    names = {"make_column_transformer": make_column_transformer, "SimpleImputer": SimpleImputer}
    imputer = eval(advice, names)
    if module is CodesNet:
        pipeline = make_pipeline(imputer, model).fit(frame, TARGET)
        assert pipeline[-1].module_.cardinalities == (0, 0, 18, 4)
    else:
        encode = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["city", "size"]), remainder="passthrough"
        )
        last = WeightedTorchRegressor(lambda n, m: nn.Linear(n, m), **QUICK_NET)
        pipeline = make_pipeline(imputer, encode, last).fit(frame, TARGET)
    assert np.isfinite(pipeline.predict(frame)).all()


def test_beside_categories_of_an_array_the_columns_to_impute_are_named():
    table = FRAME[["city", "age"]].to_numpy(dtype=object)
    model = WeightedTorchRegressor(CodesNet, categorical_features=[0], **QUICK_NET)
    with pytest.raises(
        ValueError, match=r"NaN in columns \[1\] beside .*: impute these columns alo"
    ):
        model.fit(table, TARGET)
    table[:, [1]] = SimpleImputer().fit_transform(table[:, [1]])
    fitted = model.fit(table, TARGET)
    table[3, 1] = None
    with pytest.raises(
        ValueError, match=r"NaN in columns \[1\] beside .*: impute these columns alo"
    ):
        fitted.predict(table)


# Beside other tools


def test_frames_pass_through_pipelines_and_bagging():
    y = TARGETS["classifier"]
    keep = make_pipeline(FunctionTransformer(), WeightedTorchClassifier(**QUICK)).fit(FRAME, y)
    assert keep.predict_proba(FRAME).shape == (N_ROWS, 2)
    encode = make_column_transformer(
        (OneHotEncoder(), ["size"]), remainder="passthrough"
    ).set_output(transform="default")
    numbers = FRAME[["size", "gain"]]
    model = make_pipeline(encode, WeightedTorchClassifier(**QUICK)).fit(numbers, y)
    assert model.predict_proba(numbers).shape == (N_ROWS, 2)
    bagged = BaggingClassifier(
        WeightedTorchClassifier(**QUICK, categorical_features=None), n_estimators=2, random_state=0
    )
    assert bagged.fit(FRAME[["age", "gain"]], y).score(FRAME[["age", "gain"]], y) > 0.5


def test_what_makes_arrays_of_frames_needs_the_positions_of_categories():
    y, table = TARGETS["classifier"], FRAME[["gain", "city"]]
    bagged = BaggingClassifier(WeightedTorchClassifier(**QUICK), n_estimators=2, random_state=0)
    with pytest.raises(
        ValueError, match=r"strings in row 0, column 1.*List their columns in categ"
    ):
        bagged.fit(table, y)
    bagged.set_params(estimator__categorical_features=[1]).fit(table, y)
    assert_array_equal(bagged.estimators_[0].is_categorical_, [False, True])
    first = WeightedTorchClassifier(**QUICK)
    last = WeightedTorchClassifier(**QUICK, categorical_features=[2])  # after a prediction
    stack = StackingClassifier([("first", first)], last, passthrough=True, cv=2).fit(table, y)
    assert_array_equal(stack.final_estimator_.is_categorical_, [False, False, True])
    for model in (bagged, stack):
        assert np.ptp(model.predict_proba(table)[:, 1]) > 0.01


@pytest.mark.parametrize("weights", [{"city": 0.0}, {"city": 0.0, "age": 1.0}])
def test_feature_weights_may_be_given_by_name(weights):
    params = {"module__feature_weights": weights, "module__learnable_feature_weights": False}
    model = WeightedTorchRegressor(**QUICK, **params).fit(FRAME, TARGET)
    assert_array_equal(model.feature_weights_, [1, 0, 1, 1, 1])
    assert_array_equal(model.predict(FRAME), model.predict(FRAME.assign(city="x")))
    with pytest.raises(ValueError, match=r"module__feature_weights must hold .*'town'"):
        model.set_params(module__feature_weights={"town": 1}).fit(FRAME, TARGET)


def test_feature_weights_of_an_array_may_be_given_by_position():
    params = {"module__feature_weights": {1: 0.0}, "module__learnable_feature_weights": False}
    X = np.random.default_rng(0).normal(size=(N_ROWS, 3))
    model = WeightedTorchRegressor(**QUICK, **params).fit(X, X.sum(axis=1))
    assert_array_equal(model.feature_weights_, [1, 0, 1])
    learned = model.set_params(module__learnable_feature_weights=True).fit(X, X.sum(axis=1))
    assert learned.feature_weights_[1] > 0  # only a start


@pytest.mark.parametrize(
    ("weight", "shown"),
    [
        (float("nan"), "nan"),
        (-3, "-3"),
        ("high", "'high'"),
        (np.inf, "inf"),
        (np.float64(-0.5), "-0.5"),
        (np.str_("low"), "'low'"),
        (torch.tensor(-1.0), r"tensor\(-1.0*\)"),
        (None, "None"),
        ([1, 2], r"\[1, 2\]"),
    ],
)
@pytest.mark.parametrize("make", [dict, pd.Series, "all", "list", "array", "series"])
def test_a_bad_feature_weight_is_named_with_its_column(weight, shown, make):
    every = [1.0, weight, 1.0, 1.0, 1.0]
    given = {
        "all": dict(zip(FRAME.columns, every)),
        "list": every,
        "array": np.array(every, dtype=object),
        "series": pd.Series(every, dtype=object),
    }
    if isinstance(make, str):
        weights = given[make]
    else:
        weights = {"city": weight} if make is dict else pd.Series({"city": weight}, dtype=object)
    message = f"^module__feature_weights must hold finite numbers >= 0, got {shown} for .* 'city'"
    with pytest.raises((TypeError, ValueError), match=message):
        WeightedTorchRegressor(**QUICK, module__feature_weights=weights).fit(FRAME, TARGET)


@pytest.mark.parametrize(("weight", "shown"), [(-3, "-3"), ("high", "'high'"), (np.nan, "nan")])
def test_a_bad_weight_of_all_features_is_shown(weight, shown):
    with pytest.raises((TypeError, ValueError), match=f"^module__feature_weights must .*{shown}"):
        WeightedTorchRegressor(**QUICK, module__feature_weights=weight).fit(FRAME, TARGET)


def test_a_bad_feature_weight_of_an_array_is_named_with_its_position():
    params = {**QUICK, "module__feature_weights": {2: -1.0}}
    with pytest.raises(ValueError, match=r"finite numbers >= 0, got -1.0 for column 2\.$"):
        WeightedTorchRegressor(**params).fit(np.eye(60)[:, :3], np.arange(60.0))


NAMES = [*FRAME.columns]


@pytest.mark.parametrize(
    "weights",
    [
        pd.Series({"member": 2.0, "city": 0.0}),
        pd.Series([1.0, 0.0, 1.0, 1.0, 2.0]),
        pd.Series({name: {"member": 2.0, "city": 0.0}.get(name, 1.0) for name in NAMES[::-1]}),
    ],
    ids=["some names", "positions", "all names in another order"],
)
def test_feature_weights_in_a_series_go_by_its_labels(weights):
    params = {"module__feature_weights": weights, "module__learnable_feature_weights": False}
    model = WeightedTorchRegressor(**QUICK, **params).fit(FRAME, TARGET)
    assert_array_equal(model.feature_weights_, [1, 0, 1, 1, 2])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (pd.Series({"town": 0.0}), "'town'"),
        (pd.Series([1.0, 2.0], index=["age", "age"]), "once, got 'age' more than once"),
        (pd.Series([1.0, 2.0]), r"shape|length|5"),
    ],
)
def test_feature_weights_in_a_series_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=f"module__feature_weights must .*({message})"):
        WeightedTorchRegressor(**QUICK, module__feature_weights=weights).fit(FRAME, TARGET)


def test_an_estimator_tells_which_columns_are_categories():
    model = WeightedTorchRegressor(**QUICK)
    assert not hasattr(model, "is_categorical_")
    model.fit(FRAME, TARGET)
    assert_array_equal(model.is_categorical_, [False, True, False, True, True])
    assert model.fit(FRAME[["age", "gain"]], TARGET).is_categorical_ is None


NOT_NUMBERS = {
    "strings": ["old"] * N_ROWS,
    "dates": pd.date_range("2020-01-01", periods=N_ROWS),
    "several values in one cell": [[1, 2]] * N_ROWS,
    "durations": pd.to_timedelta(np.arange(N_ROWS), unit="h"),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_a_number_column_must_hold_numbers_in_predictions(kind):
    model = WeightedTorchRegressor(**QUICK).fit(FRAME, TARGET)
    with pytest.raises(
        TypeError, match=f"Column 'age' of X must hold numbers, as in fit, got {kind}[^L]*$"
    ):
        model.predict(FRAME.assign(age=NOT_NUMBERS[kind]))


def test_strings_that_hold_numbers_are_numbers_in_an_array_with_categories():
    numbers = np.column_stack([np.arange(N_ROWS) % 3, TARGET.round(2)])
    params = {**QUICK, "categorical_features": [0]}
    expected = WeightedTorchRegressor(**params).fit(numbers, TARGET).predict(numbers)
    labels = np.array([*"abc"])[np.arange(N_ROWS) % 3]
    for table in (
        np.column_stack([labels, numbers[:, 1].astype(str)]),
        np.column_stack([labels.astype(object), numbers[:, 1]]),
        np.column_stack([labels.astype(object), numbers[:, 1].astype(str).astype(object)]),
    ):
        found = WeightedTorchRegressor(**params).fit(table, TARGET).predict(table)
        assert_array_equal(found, expected)
    table[7, 1] = "many"
    with pytest.raises(TypeError, match="Column 1 of X holds strings, such as 'many'"):
        WeightedTorchRegressor(**params).fit(table, TARGET)


@pytest.mark.parametrize("categorical_features", ["from_dtype", [1]])
def test_the_missing_value_of_pandas_is_missing_in_an_array(categorical_features):
    frame = pd.DataFrame({"x": FRAME["age"].astype("Int64"), "code": np.arange(N_ROWS) % 3})
    params = {**QUICK, "categorical_features": categorical_features}
    table = frame.to_numpy()
    assert table.dtype == object and any(cell is pd.NA for cell in table[:, 0])
    before = table.copy()
    found = WeightedTorchRegressor(**params).fit(table, TARGET).predict(table)
    assert all(one is other for one, other in zip(table.flat, before.flat))
    as_floats = WeightedTorchRegressor(**params).fit(frame.to_numpy(float, na_value=np.nan), TARGET)
    assert_array_equal(found, as_floats.predict(table))
    if categorical_features == "from_dtype":
        with pytest.raises(TypeError, match=r"missing values of pandas in row \d+, column 0"):
            WeightedTorchRegressor(**params).fit(table.tolist(), TARGET)
        with pytest.raises(ValueError, match=r"NaN in columns \[0\]"):
            WeightedTorchRegressor(nn.Linear(2, 1), **QUICK_NET).fit(table, TARGET)


QUICK_NET = {"max_epochs": 1, "device": "cpu"}


def test_categories_of_a_dtype_that_no_row_has_mean_nothing():
    listed = [*FRAME["size"].cat.categories, 7, True, 2.5]
    frame = FRAME.assign(size=FRAME["size"].cat.set_categories(listed))
    expected = WeightedTorchRegressor(**QUICK).fit(FRAME, TARGET).predict(FRAME)
    model = WeightedTorchRegressor(**QUICK).fit(frame, TARGET)
    assert_array_equal(model.predict(frame), expected)
    assert_array_equal(model.predict(frame[:5]), expected[:5])
    frame.loc[3, "size"] = 7
    with pytest.raises(TypeError, match="Column 'size' of X mixes"):
        WeightedTorchRegressor(**QUICK).fit(frame, TARGET)


# Strings that look like dates


DAYS = pd.date_range("2020-11-25", periods=60)
LOOKS = {
    "days": DAYS.strftime("%Y-%m-%d"),
    "times": DAYS.strftime("%Y-%m-%d %H:%M:%S"),
    "seconds and a zone": DAYS.strftime("%Y-%m-%dT%H:%M:%S.%f+01:00"),
    "zulu": DAYS.strftime("%Y-%m-%dT%H:%MZ"),
    "slashes": DAYS.strftime("%d/%m/%Y"),
    "American": DAYS.strftime("%m/%d/%y %I:%M %p"),
    "dots": DAYS.strftime("%d.%m.%Y"),
    "hyphens": DAYS.strftime("%d-%m-%Y"),
    "year first": DAYS.strftime("%Y/%m/%d"),
}


def with_dates(labels, missing=(3, 4)):
    """A table with a column of strings, some of them missing, four rows a label, and a target."""
    labels = pd.Series(np.repeat(np.asarray(labels, dtype=object), 4))
    labels[[*missing]] = None
    return pd.DataFrame({"x": np.arange(len(labels)) / 60.0, "d": labels})


@pytest.mark.parametrize("make", [lambda X: X, pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize("look", LOOKS)
def test_strings_that_look_like_dates_are_warned_of_once(look, make):
    frame = with_dates(LOOKS[look])
    label = frame["d"].dropna().min()
    with pytest.warns(UserWarning) as caught:
        WeightedTorchRegressor(**QUICK).fit(make(frame), frame["x"])
    [message] = [str(one.message) for one in caught if "look like dates" in str(one.message)]
    assert message.startswith(
        f"Column 'd' of X holds strings that look like dates, such as {label!r}, and is taken as "
        "categories. Turn it into numbers"
    )
    assert "categorical_features" in message


def test_the_advice_about_dates_ends_the_warning():
    """Warnings are errors here."""
    frame = with_dates(LOOKS["days"], missing=())
    listed = WeightedTorchRegressor(**QUICK, categorical_features=["d"])
    assert_array_equal(listed.fit(frame, frame["x"]).is_categorical_, [False, True])
    WeightedTorchRegressor(**QUICK).fit(frame.astype({"d": "category"}), frame["x"])
    with pytest.warns(UserWarning, match="look like dates") as caught:
        WeightedTorchRegressor(**QUICK).fit(frame, frame["x"])
    remedy = str(caught[0].message).partition("fixed date: ")[2].partition(". If")[0]
    days = eval(remedy, {"pandas": pd, "np": np, "X": frame})
    assert_array_equal(days, np.repeat(np.arange(60), 4))
    WeightedTorchRegressor(**QUICK).fit(frame.assign(d=days), frame["x"])


@pytest.mark.parametrize(
    "labels",
    [
        LOOKS["days"][:16],
        [*LOOKS["days"][:-1], "unknown"],
        [f"v1.{i}.2021" for i in range(60)],
        [f"10.{i}.31.2021" for i in range(60)],
        [f"{i + 40}/13/2021" for i in range(60)],
        [f"2021-{i}" for i in range(60)],
        [f"20210{i:03}" for i in range(60)],
        [f"{i}:30" for i in range(60)],
        [f"555-{i:02}-1234" for i in range(60)],
    ],
)
def test_few_or_other_strings_are_not_taken_for_dates(labels):
    """Warnings are errors here."""
    frame = with_dates(labels)
    model = WeightedTorchRegressor(**QUICK).fit(frame, frame["x"])
    assert_array_equal(model.is_categorical_, [False, True])
