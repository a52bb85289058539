"""X in a file: an estimator makes of it what it makes of the same X in memory, bit for bit.

That such a file is read in blocks, is left as it was and is let go of comes at the end.
"""

import gc
import pickle
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.data import MappedRows, RowDataset, as_dense, is_mapped, validation
from skweight.weights import distinct_rows

QUICK = {
    "max_epochs": 4,
    "batch_size": 32,
    "lr": 0.02,
    "random_state": 0,
    "n_members": 1,
    "device": "cpu",
}
ESTIMATORS = {"classifier": WeightedTorchClassifier, "regressor": WeightedTorchRegressor}

rng = np.random.default_rng(0)
KIND = rng.integers(0, 100, 160)
X = rng.normal(scale=3, size=(100, 6)).astype(np.float32)[KIND]
Y = {"classifier": np.array(["no", "yes"])[(X.sum(axis=1) > 0) * 1]}
Y["regressor"] = X.sum(axis=1).round().astype(np.float64)
WEIGHT = rng.integers(0, 3, len(X))
# Copies in float32 that are none in float64.
NEARLY = X + 1e-12 * rng.uniform(size=X.shape)


def on_disk(path, array, mode="r"):
    """The array in a file, mapped in the order in which it is."""
    np.save(f"{path}.npy", array)
    return np.load(f"{path}.npy", mmap_mode=mode)


FORMS = {
    "float32": on_disk,
    "float64": lambda path, X, *mode: on_disk(path, NEARLY, *mode),
    "float16": lambda path, X, *mode: on_disk(path, X.astype(np.float16), *mode),
    "int64": lambda path, X, *mode: on_disk(path, X.astype(np.int64), *mode),
    "uint8": lambda path, X, *mode: on_disk(path, (X + 20).astype(np.uint8), *mode),
    "bool": lambda path, X, *mode: on_disk(path, X > 0, *mode),
    "big_endian": lambda path, X, *mode: on_disk(path, X.astype(">f4"), *mode),
    "fortran": lambda path, X, *mode: on_disk(path, np.asfortranarray(X), *mode),
    "every_other_row": lambda path, X, *mode: on_disk(path, X.repeat(2, axis=0), *mode)[::2],
    "some_columns": lambda path, X, *mode: on_disk(path, np.c_[X, X], *mode)[:, 3:9],
    "backwards": lambda path, X, *mode: on_disk(path, X[::-1], *mode)[::-1],
}
each_form = pytest.mark.parametrize("form", FORMS)
some_forms = pytest.mark.parametrize("form", ["float32", "float64", "fortran"])
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def outputs(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


def assert_same_fit(model, expected):
    """Parameters and losses of all epochs are equal to the bit, and not those of no training."""
    assert_same_tensors(model.module_.state_dict(), expected.module_.state_dict())
    losses = [fitted.history_[:, "train_loss"] for fitted in (model, expected)]
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == len(losses[0]) > 1


# The same numbers


@each_form
@each_estimator
def test_fit_and_predictions_are_those_of_the_same_numbers_in_memory(tmp_path, name, form):
    mapped, y = FORMS[form](tmp_path / "X", X), Y[name]
    array = np.array(mapped)
    assert is_mapped(mapped) is (form != "float32")
    assert type(array) is np.ndarray and array.dtype == mapped.dtype
    model = ESTIMATORS[name](**QUICK).fit(mapped, y, WEIGHT)
    expected = ESTIMATORS[name](**QUICK).fit(array, y, WEIGHT)
    assert_same_fit(model, expected)
    assert_array_equal(model.predict(mapped), expected.predict(array), strict=True)
    assert_array_equal(outputs(model, mapped), outputs(expected, array), strict=True)
    assert len(np.unique(outputs(model, mapped), axis=0)) > 20
    assert model.score(mapped, y, WEIGHT) == expected.score(array, y, WEIGHT) > 0.3
    assert model.n_features_in_ == 6


WAYS = {
    "own_validation_rows": lambda model, X, y: model.set_params(early_stopping=True).fit(
        X[40:], y[40:], WEIGHT[40:], X_val=X[:40], y_val=y[:40], sample_weight_val=WEIGHT[:40]
    ),
    "early_stopping": lambda model, X, y: model.set_params(early_stopping=True).fit(X, y, WEIGHT),
    "warm_start": lambda model, X, y: (
        model.set_params(warm_start=True).fit(X[::2], y[::2], WEIGHT[::2]).fit(X, y)
    ),
    "sampling": lambda model, X, y: model.set_params(weighting="sampling").fit(X, y, WEIGHT),
    "all_at_once": lambda model, X, y: model.set_params(batch_size=-1).fit(X, y, WEIGHT),
}


@pytest.mark.parametrize("way", WAYS)
@some_forms
@each_estimator
def test_every_way_of_fitting_is_the_one_in_memory(tmp_path, name, form, way):
    mapped = FORMS[form](tmp_path / "X", X)
    models = [
        WAYS[way](ESTIMATORS[name](**QUICK), rows, Y[name]) for rows in (mapped, np.array(mapped))
    ]
    assert_same_fit(*models)
    assert "valid_loss" in models[0].history_[-1] or "stopping" not in way
    assert_array_equal(outputs(models[0], mapped), outputs(models[1], np.array(mapped)))


@some_forms
@each_estimator
def test_partial_fit_on_slices_of_a_file_is_that_on_slices_in_memory(tmp_path, name, form):
    mapped, models = FORMS[form](tmp_path / "X", X), []
    for rows in (mapped, np.array(mapped)):
        models.append(ESTIMATORS[name](**QUICK))
        for part in range(3):
            first = {"classes": ["no", "yes"]} if name == "classifier" else {}
            kept = slice(part, None, 3)
            models[-1].partial_fit(rows[kept], Y[name][kept], sample_weight=WEIGHT[kept], **first)
    assert_same_fit(*models)
    assert_array_equal(outputs(models[0], mapped), outputs(models[1], np.array(mapped)))


@each_estimator
def test_rows_may_be_in_a_file_and_validation_rows_in_memory_or_the_other_way_round(tmp_path, name):
    mapped, y = on_disk(tmp_path / "X", NEARLY), Y[name]
    settings = QUICK | {"early_stopping": True}
    expected = ESTIMATORS[name](**settings).fit(NEARLY, y, X_val=NEARLY[:50], y_val=y[:50])
    for rows, others in [(mapped, NEARLY), (NEARLY, mapped), (mapped, mapped)]:
        model = ESTIMATORS[name](**settings).fit(rows, y, X_val=others[:50], y_val=y[:50])
        assert_same_fit(model, expected)
        assert model.history_[:, "valid_loss"] == expected.history_[:, "valid_loss"]


@each_estimator
def test_rows_that_are_equal_as_float32_are_one_row_of_more_weight(tmp_path, name):
    mapped = on_disk(tmp_path / "X", NEARLY)
    assert len(np.unique(mapped, axis=0)) == len(X)
    model = ESTIMATORS[name](**QUICK).fit(mapped, Y[name])
    _, first, count = np.unique(KIND, return_index=True, return_counts=True)
    assert len(first) < 90
    assert_same_fit(model, ESTIMATORS[name](**QUICK).fit(X[first], Y[name][first], count))


def test_rows_whose_projections_tie_are_told_apart_in_a_file_too(tmp_path):
    # Beside 1e30 the other columns vanish in the projection by which rows are sorted.
    rows = np.c_[rng.choice([1e30, 2e30], len(X)), NEARLY[:, :2]]
    mass = rng.integers(0, 3, len(X)).astype(np.float64)
    found = distinct_rows(MappedRows(on_disk(tmp_path / "X", rows)), np.zeros(len(X)), mass)
    expected = distinct_rows(rows.astype(np.float32), np.zeros(len(X)), mass)
    for name, part, other in zip(("index", "mass"), found, expected, strict=True):
        assert_array_equal(part, other, strict=True, err_msg=name)
    assert 50 < len(found[0]) < np.count_nonzero(mass)


def flat(n_features, n_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * n_features, n_outputs))


@some_forms
@each_estimator
def test_rows_of_more_dimensions_may_be_in_a_file(tmp_path, name, form):
    given = {"float64": NEARLY}.get(form, X).reshape(-1, 3, 2)
    mapped = on_disk(tmp_path / "X", given.copy("F" if form == "fortran" else "C"))
    models = [ESTIMATORS[name](flat, **QUICK).fit(a, Y[name], WEIGHT) for a in (mapped, given)]
    assert_same_fit(*models)
    assert_array_equal(outputs(models[0], mapped), outputs(models[1], given))
    assert models[0].score(mapped, Y[name]) > 0.3


class Centred(nn.Module):
    """Asks for all training rows before the first step."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs)

    def adapt(self, X, y, row_weight):
        self.register_buffer("mean", (row_weight @ X) / row_weight.sum())

    def forward(self, X):
        return self.linear(X - self.mean)


def test_a_network_that_adapts_to_all_rows_gets_those_of_the_file(tmp_path):
    mapped, y = on_disk(tmp_path / "X", NEARLY), Y["classifier"]
    models = [WeightedTorchClassifier(Centred, **QUICK).fit(a, y, WEIGHT) for a in (mapped, X)]
    assert_same_fit(*models)
    assert models[0].module_.mean.abs().min() > 0


@each_form
def test_rows_are_read_as_float32_by_slice_and_by_position(tmp_path, form):
    mapped = FORMS[form](tmp_path / "X", X)
    values, rows = np.array(mapped, dtype=np.float32), MappedRows(mapped)
    assert len(rows) == len(X) and rows.shape == X.shape
    for part in (slice(3, 50), slice(150, 400), np.array([7, 2, 2]), [5]):
        read = rows[part]
        assert type(read) is np.ndarray and read.flags.c_contiguous and read.flags.writeable
        assert_array_equal(read, values[part], strict=True)
        assert_array_equal(as_dense(read), values[part])
    index, cpu = np.array([9, 0, 4]), torch.device("cpu")
    batch, _ = RowDataset(rows, index, np.arange(3), np.ones(3), cpu).batch(torch.tensor([2, 0]))
    assert_array_equal(batch["X"], values[[4, 9]], strict=True)


VIEWS = {
    "array": np.asarray,
    "view": lambda mapped: mapped.view(np.ndarray),
    "slice": lambda mapped: np.asarray(mapped[:])[:],
    "strided": np.lib.stride_tricks.as_strided,
    "buffer": lambda mapped: np.asarray(memoryview(mapped)),
}


@pytest.mark.parametrize("view", VIEWS)
@some_forms
def test_a_view_of_a_file_is_read_as_the_file_is(tmp_path, form, view):
    mapped = FORMS[form](tmp_path / "X", X)
    seen = VIEWS[view](mapped)
    assert type(seen) is np.ndarray and is_mapped(seen) == is_mapped(mapped)
    assert is_mapped(mapped) == (form != "float32")
    for in_memory in (mapped[[2, 1]], np.array(mapped), mapped + 1):
        assert not is_mapped(in_memory)


@some_forms
def test_the_net_of_an_estimator_reads_a_file_some_rows_at_a_time(tmp_path, form, monkeypatch):
    mapped, lengths = FORMS[form](tmp_path / "X", X), []
    net = WeightedTorchClassifier(**QUICK).fit(mapped, Y["classifier"]).net_
    net.iterator_valid__batch_size = 64
    monkeypatch.setattr("skweight.data.batches.VALUES_AT_ONCE", {"cpu": 1})
    expected = net.predict_proba(np.array(mapped, dtype=np.float32))
    read = MappedRows.__getitem__
    monkeypatch.setattr(
        MappedRows, "__getitem__", lambda self, rows: lengths.append(len(rows)) or read(self, rows)
    )
    assert_array_equal(net.predict_proba(mapped), expected)
    assert expected.std() > 0.1
    assert lengths == ([] if form == "float32" else [54, 53, 53])


# What scikit-learn does with X


def test_cross_validation_and_a_search_give_the_scores_of_an_array(tmp_path):
    y, scores, searches = Y["classifier"], [], []
    for rows in (on_disk(tmp_path / "X", NEARLY), NEARLY):
        model = WeightedTorchClassifier(**QUICK)
        scores.append(cross_val_score(model, rows, y, cv=3))
        searches.append(GridSearchCV(model, {"lr": [1e-5, 0.02]}, cv=2).fit(rows, y))
    assert_array_equal(*scores)
    assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))
    assert_same_fit(*(search.best_estimator_ for search in searches))
    assert searches[0].best_params_ == {"lr": 0.02}
    assert scores[0].min() > 0.5


@pytest.mark.parametrize("first", [StandardScaler(), "passthrough"], ids=["scaler", "passthrough"])
@each_estimator
def test_a_pipeline_takes_a_file(tmp_path, name, first):
    mapped = on_disk(tmp_path / "X", NEARLY)
    models = [
        make_pipeline(first, ESTIMATORS[name](**QUICK)).fit(rows, Y[name])
        for rows in (mapped, NEARLY)
    ]
    assert_same_fit(models[0][-1], models[1][-1])
    assert_array_equal(models[0].predict(mapped), models[1].predict(NEARLY))
    assert models[0].score(mapped, Y[name]) > 0.3


# The file


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@some_forms
@each_estimator
def test_nothing_is_written_to_a_file_and_no_warning_is_given(tmp_path, name, form, mode):
    mapped = FORMS[form](tmp_path / "X", X, mode)
    before, values = (tmp_path / "X.npy").read_bytes(), np.array(mapped)
    torch.set_warn_always(True)  # or only the first warning of a process is seen
    try:
        model = ESTIMATORS[name](early_stopping=True, **QUICK).fit(mapped, Y[name], WEIGHT)
        assert model.score(mapped, Y[name]) > 0.3
    finally:
        torch.set_warn_always(False)
    assert_array_equal(mapped, values, strict=True)
    mapped.flush()
    assert (tmp_path / "X.npy").read_bytes() == before
    assert len(before) > mapped.nbytes > 1000


@pytest.mark.parametrize("form", ["float32", "float64"])
@each_estimator
def test_an_estimator_lets_go_of_the_file(tmp_path, name, form):
    mapped = FORMS[form](tmp_path / "X", X)
    stopped = ESTIMATORS[name](early_stopping=True, **QUICK).fit(mapped, Y[name])
    continued = ESTIMATORS[name](**QUICK).fit(mapped, Y[name]).partial_fit(mapped, Y[name])
    with pytest.raises(ValueError, match="features"):
        continued.predict(mapped[:, :4])
    scores = [model.score(mapped, Y[name]) for model in (stopped, continued)]
    file = weakref.ref(mapped._mmap)
    assert file() is not None
    del mapped
    gc.collect()
    assert file() is None
    assert min(scores) > 0.3


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """100,000 rows of 200 small integers, and as many with copies: 20 MB each, 80 as float32."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    rows = rng.integers(-9, 10, (100_000, 200), dtype=np.int8)
    return {
        "distinct": on_disk(folder / "distinct", rows),
        "copies": on_disk(folder / "copies", rows[rng.integers(0, 50_000, 100_000)]),
    }


LARGE = {"max_epochs": 1, "lr": 0.005, "batch_size": 2048, "module__hidden_sizes": (8,)}
each_large = pytest.mark.parametrize("rows", ["distinct", "copies"])


def use(mapped, early_stopping=True):
    """Whatever reads X, on few passes."""
    y = np.asarray(mapped[:, 0] > 0) * 1
    model = WeightedTorchClassifier(early_stopping=early_stopping, **QUICK | LARGE).fit(mapped, y)
    if not early_stopping:
        model.partial_fit(mapped, y)
    assert np.ptp(model.decision_function(mapped)) > 0.1
    return model


@each_large
@pytest.mark.parametrize("early_stopping", [True, False], ids=["early_stopping", "partial_fit"])
def test_every_read_is_of_a_small_share_of_the_rows(large, rows, early_stopping, monkeypatch):
    mapped, lengths, checked = large[rows], [], []
    read, check = MappedRows.__getitem__, validation.check_array

    def recorded(self, rows):
        found = read(self, rows)
        lengths.append(len(found))
        return found

    def recorded_check(array, **kwargs):
        checked.append(array.shape)
        return check(array, **kwargs)

    monkeypatch.setattr(MappedRows, "__getitem__", recorded)
    monkeypatch.setattr(validation, "check_array", recorded_check)
    use(mapped, early_stopping)
    # A prediction reads 1,024 rows at once, and merging, moments and batches fewer; they are
    # checked 2^22 values at once.
    assert max(lengths) <= 5_000
    assert max(shape[0] for shape in checked if shape[1:]) < 25_000
    # Looked at for moments, trained on, predicted; quantiles are those of some rows.
    assert sum(lengths) > 3 * len(mapped)


@each_large
def test_memory_does_not_hold_what_is_in_the_file(large, rows):
    mapped = large[rows]
    use(mapped[:5000])  # imports what is imported late
    peaks = []
    for X in (mapped, np.array(mapped)):
        tracemalloc.start()
        try:
            model = use(X)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # As float32 X has 80 MB. The block that is checked has 16.8, and nothing else of X then;
    # later there are some 5 vectors of 8 bytes for each of 100,000 rows beside smaller blocks.
    assert peaks[0] < 30e6
    assert peaks[1] > 80e6
    assert len(pickle.dumps(model)) < 1e5
