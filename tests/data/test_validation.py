"""X and y before anything is learned from them: what comes out, what is refused, and how.

Bad weights and parameters are in ``test_bad_input.py``, fits on files in ``test_memory_mapped.py``.
"""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.data import Encoding, MappedRows, XReader, as_tensor

ESTIMATORS = {"classifier": WeightedTorchClassifier, "regressor": WeightedTorchRegressor}
QUICK = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
X = np.random.default_rng(0).normal(size=(60, 6))
Y = np.arange(60) % 2
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def on_disk(folder, array):
    np.save(folder / "X.npy", array)
    return np.load(folder / "X.npy", mmap_mode="r")


@pytest.fixture(params=["memory", "file"])
def where(request, tmp_path):
    """Leaves an array in memory or puts it in a file."""
    return partial(on_disk, tmp_path) if request.param == "file" else lambda array: array


def validate(X, *, reset=True, allow_nd=False, estimator=None):
    return make_reader(estimator, reset=reset, allow_nd=allow_nd).read(X)


def validate_both(X, y, weight=None):
    return make_reader().read_with_y(X, y, weight)


def make_reader(estimator=None, reset=True, allow_nd=False):
    """A reader without missing numbers and categories."""
    return XReader(
        estimator or WeightedTorchClassifier(),
        reset=reset,
        allow_nd=allow_nd,
        allow_nan=False,
        has_categories=False,
        find_encoding=lambda X, has_weight: Encoding(),
    )


# X


@pytest.mark.parametrize(
    "container",
    [
        lambda X: X,
        np.asfortranarray,
        lambda X: X.tolist(),
        lambda X: torch.tensor(X, requires_grad=True),
        lambda X: torch.tensor(X).T.contiguous().T,
        pd.DataFrame,
        lambda X: X.repeat(2, axis=0)[::2],
    ],
    ids=["array", "fortran", "list", "tensor", "transposed_tensor", "frame", "strided"],
)
def test_X_becomes_a_contiguous_float32_array(container):
    found = validate(container(X))
    assert type(found) is np.ndarray and found.flags.c_contiguous
    assert_array_equal(found, X.astype(np.float32), strict=True)


def test_a_bfloat16_tensor_keeps_its_values():
    given = torch.tensor(X).to(torch.bfloat16)
    assert_array_equal(validate(given), given.float().numpy(), strict=True)


def test_contiguous_float32_is_not_copied(where):
    given = where(X.astype(np.float32))
    found = validate(given)
    assert as_tensor(found).data_ptr() == given.ctypes.data
    assert found.shape == X.shape


@pytest.mark.parametrize("with_y", [True, False])
def test_other_files_are_wrapped_and_csr_is_made_canonical(tmp_path, with_y):
    mapped = on_disk(tmp_path, X)
    messy = sparse.csr_matrix(([1.0, 2.0, 5.0, 0.0], [3, 3, 1, 0], [0, 3, 4] + [4] * 58), (60, 6))
    if with_y:
        found, targets = zip(*(validate_both(rows, Y) for rows in (mapped, messy)))
        assert_array_equal(targets, [Y, Y])
    else:
        found = [validate(rows) for rows in (mapped, messy)]
    assert type(found[0]) is MappedRows and found[0].array is mapped
    assert_array_equal(found[0][:], X.astype(np.float32), strict=True)
    assert found[1].format == "csr" and found[1].dtype == np.float32
    assert_array_equal(found[1].indices, [1, 3])
    assert_array_equal(found[1].data, [5, 3])
    assert_array_equal(messy.data, [1, 2, 5, 0])


def test_more_dimensions_need_to_be_allowed(where):
    given = where(X.reshape(60, 2, 3))
    assert validate(given, allow_nd=True).shape == (60, 2, 3)
    with pytest.raises(ValueError, match="Found array with dim 3"):
        validate(given)


def test_features_are_learned_on_reset_and_compared_without(where):
    given = where(X)
    estimator = WeightedTorchRegressor()
    validate(given, estimator=estimator)
    assert estimator.n_features_in_ == 6
    assert len(validate(given, estimator=estimator, reset=False)) == 60
    with pytest.raises(ValueError, match=r"X has 4 features, .*expecting 6 features"):
        validate(given[:, :4], estimator=estimator, reset=False)
    validate(given[:, :4], estimator=estimator)
    assert estimator.n_features_in_ == 4


def test_rows_without_names_where_there_were_names_are_warned_of(where):
    given = where(X)
    estimator = WeightedTorchRegressor()
    validate(pd.DataFrame(X, columns=list("abcdef")), estimator=estimator)
    with pytest.warns(UserWarning, match="does not have valid feature names") as caught:
        assert len(validate(given, estimator=estimator, reset=False)) == 60
    assert len(caught) == 1


# y


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array(["no", "yes"])[Y], np.array(["no", "yes"])[Y]),
        (Y.tolist(), Y),
        (torch.tensor(Y / 3, requires_grad=True), Y / 3),
        (pd.Series(Y, index=range(60, 0, -1)), Y),
        (np.c_[Y, 1 - Y], np.c_[Y, 1 - Y]),
    ],
    ids=["text", "list", "tensor", "series", "two_columns"],
)
def test_y_keeps_its_values_and_type(where, y, expected):
    rows, found = validate_both(where(X), y)
    assert_array_equal(found, expected, strict=True)
    assert len(rows) == 60


def test_a_sparse_y_stays_sparse(where):
    given = where(X)
    found = validate_both(given, sparse.csr_matrix(np.c_[Y, Y]))[1]
    assert sparse.issparse(found)
    assert_array_equal(found.toarray(), np.c_[Y, Y])


@pytest.mark.parametrize("as_weight", [list, torch.tensor], ids=["list", "tensor"])
def test_targets_of_rows_that_weigh_nothing_may_be_missing(where, as_weight):
    given = where(X)
    y, weight = Y + 0.5, np.ones(60)
    y[[4, 7]], weight[[4, 7]] = [np.nan, np.inf], 0
    _, found = validate_both(given, y, as_weight(weight))
    assert_array_equal(np.delete(found, [4, 7]), np.delete(y, [4, 7]))
    assert np.isfinite(found).all()
    assert np.isnan(y[4])  # what the user passed stays as it was
    weight[4] = 1
    with pytest.raises(ValueError, match=r"^y must not be missing .* NaN at position 4"):
        validate_both(given, y, as_weight(weight))


# The words for a file are those for an array


def raised(call):
    with pytest.raises((TypeError, ValueError)) as caught, np.errstate(over="ignore"):
        call()
    return type(caught.value), str(caught.value)


def spoiled(value):
    rows = X.copy()
    rows[50, 1] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (spoiled(-np.inf), "Input X contains infinity"),
        (spoiled(1e300), "too large for dtype"),
        (X.astype(complex), "Complex data not supported"),
        (X[:, 0].copy(), "Expected 2D array, got 1D array"),
        (X.reshape(-1, 2, 3), "X must be 2-D for the default network"),
        (np.zeros(60, [("a", float), ("b", float)]), "an array with the fields"),
        (np.zeros((60, 2), [("a", float), ("b", float)]), "an array with the fields"),
        (np.full((60, 2), b"x"), "X holds strings in row 0, column 0"),
    ],
    ids=["inf", "1e300", "complex", "1-D", "3-D", "records", "structured", "text"],
)
@each_estimator
def test_a_bad_X_in_a_file_is_refused_as_in_memory(tmp_path, name, rows, words):
    mapped = on_disk(tmp_path, rows)
    model = ESTIMATORS[name](**QUICK)
    error = raised(lambda: model.fit(mapped, Y))
    assert error == raised(lambda: model.fit(rows, Y))
    assert words in error[1]
    assert not hasattr(model, "n_features_in_")


MISFITS = {
    "columns": lambda model, X: model.predict(X[:, :4]),
    "row": lambda model, X: model.predict(X[0]),
    "no_rows": lambda model, X: model.predict(X[:0]),
    "no_columns": lambda model, X: model.predict(X[:, :0]),
    "partial_fit": lambda model, X: model.partial_fit(X[:, :4], Y),
    "scalar_y": lambda model, X: model.fit(X, 3.0),
    "text_y": lambda model, X: model.fit(X, "no_targets"),
    "nan_y": lambda model, X: model.fit(X, np.r_[np.nan, np.zeros(59)]),
    "3-D_y": lambda model, X: model.fit(X, Y.reshape(60, 1, 1)),
    "weights": lambda model, X: model.fit(X, Y, np.ones(9)),
    "score": lambda model, X: model.score(X, Y[:9]),
    "validation": lambda model, X: model.set_params(early_stopping=True).fit(
        X, Y, X_val=X[:, :4], y_val=Y
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
@each_estimator
def test_what_does_not_fit_together_is_refused_as_in_memory(tmp_path, name, misfit):
    mapped = on_disk(tmp_path, X)
    model = ESTIMATORS[name](**QUICK).fit(X, Y)
    before = model.predict(X)
    error = raised(partial(MISFITS[misfit], model, mapped))
    assert error == raised(partial(MISFITS[misfit], model, X))
    assert len(error[1]) > 20
    assert_array_equal(model.predict(mapped), before)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (Y[:59], r"of 60 rows of X, got 59|numbers of samples: \[60, 59\]"),
        (None, "requires y to be passed.*None|needs y, the targets, got None"),
    ],
    ids=["too_short", "none"],
)
@each_estimator
def test_a_y_that_is_none_for_these_rows_is_refused(where, name, y, match):
    with pytest.raises(ValueError, match=match):
        ESTIMATORS[name](**QUICK).fit(where(X), y)


def test_a_bad_value_is_found_in_whatever_block_of_a_file_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("skweight.data.arrays.COPIED_AT_ONCE", 6 * 25)
    for row in (0, 24, 25, 49, 59):
        rows = X.copy()
        rows[row, 5] = np.nan
        with pytest.raises(ValueError, match=r"NaN in columns \[5\].*Input X contains NaN"):
            validate(on_disk(tmp_path, rows))
    assert len(validate(on_disk(tmp_path, X))) == 60
