"""What an offset may be, and that one is given to ``fit`` and predictions, or to neither."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

rng = np.random.default_rng(0)
N_ROWS = 80
X = rng.normal(size=(N_ROWS, 3))
Y = rng.integers(0, 2, N_ROWS)
CLASSES = rng.integers(0, 3, N_ROWS)
COUNT = rng.poisson(2.0, N_ROWS).astype(float)
OFFSET = np.round(rng.normal(size=N_ROWS), 2)
BAD = [3, 5, 70]
WEIGHT = rng.integers(1, 4, N_ROWS).astype(float)
WEIGHT[BAD] = 0
QUICK = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
MODELS = {
    "classifier": (WeightedTorchClassifier(**QUICK), Y),
    "poisson": (WeightedTorchRegressor(criterion="poisson", **QUICK), COUNT),
    "squared error": (WeightedTorchRegressor(**QUICK), COUNT),
}
each_model = pytest.mark.parametrize(("model", "y"), MODELS.values(), ids=MODELS)


def changed(value, dtype=float):
    """The offset with another value in one row with weight."""
    offset = OFFSET.astype(dtype)
    offset[7] = value
    return offset


REFUSED = {
    "NaN": (changed(np.nan), ValueError, r"{name} must be finite, got nan at position 7"),
    "log of 0": (
        changed(-np.inf),
        ValueError,
        r"{name} must be finite, got -inf at position 7\. Leave out a log of an exposure of 0",
    ),
    "None": (changed(None, object), ValueError, r"{name} must be finite, got nan at position 7"),
    "NA": (changed(pd.NA, object), ValueError, r"{name} must be finite, got nan at position 7"),
    "text": (changed("a", object), TypeError, r"{name} must hold real numbers, got dtype"),
    "complex": (OFFSET + 1j, TypeError, r"{name} must hold real numbers, got dtype complex128"),
    "dates": (OFFSET.astype("M8[D]"), TypeError, r"{name} must hold real numbers, got dtype"),
    "scalar": (0.5, ValueError, r"{name} must have shape \(80,\) .*got \(\)\. Pass numpy\.full"),
    "short": (OFFSET[:-1], ValueError, r"{name} must have shape \(80,\) .*got \(79,\)"),
    "wide": (np.zeros((N_ROWS, 4)), ValueError, r"{name} must have shape .*got \(80, 4\)"),
    "three axes": (np.zeros((N_ROWS, 1, 1)), ValueError, r"{name} must have shape .*1, 1\)"),
    "ragged": ([[0.0], [0.0, 1.0]] * 40, ValueError, r"{name} must "),
    "masked": (
        np.ma.masked_array(OFFSET, np.arange(N_ROWS) == 7),
        ValueError,
        r"{name} must hold no masked values, got 1 of them, the first at position 7",
    ),
}


@each_model
@pytest.mark.parametrize("kind", REFUSED)
def test_bad_offsets_are_refused_in_every_method(model, y, kind):
    bad, error, words = REFUSED[kind]
    with pytest.raises(error, match="^" + words.format(name="offset")):
        clone(model).fit(X, y, offset=bad)
    with pytest.raises(error, match="^" + words.format(name="offset_val")):
        clone(model).set_params(early_stopping=True, n_members=1).fit(
            X, y, offset=OFFSET, X_val=X, y_val=y, offset_val=bad
        )
    fitted = clone(model).fit(X, y, offset=OFFSET)
    methods = ["predict", "predict_members"]
    if hasattr(model, "predict_proba"):
        methods += ["predict_proba", "predict_log_proba", "decision_function"]
    for method in methods:
        with pytest.raises(error, match="^" + words.format(name="offset")):
            getattr(fitted, method)(X, offset=bad)
    with pytest.raises(error, match="^" + words.format(name="offset")):
        fitted.score(X, y, offset=bad)
    labels = {"classes": [0, 1]} if "predict_proba" in methods else {}
    with pytest.raises(error, match="^" + words.format(name="offset")):
        clone(model).partial_fit(X, y, **labels, offset=bad)


def test_a_sparse_offset_is_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"^offset must be dense, got a sparse matrix\."):
        WeightedTorchClassifier(**QUICK).fit(X, Y, offset=sparse.csr_matrix(OFFSET[:, None]))


def test_shapes_say_what_their_numbers_are():
    model = WeightedTorchClassifier(**QUICK)
    with pytest.raises(ValueError, match=r"^offset must have shape \(80, 3\), one number for each"):
        clone(model).fit(X, CLASSES, offset=OFFSET)
    with pytest.raises(ValueError, match=r"\(80,\) or \(80, 1\) or \(80, 2\), .*got \(80, 3\)"):
        clone(model).fit(X, Y, offset=np.zeros((N_ROWS, 3)))
    with pytest.raises(ValueError, match=r"^offset must have shape \(80, 2\), one .*each target"):
        WeightedTorchRegressor(**QUICK).fit(X, np.c_[COUNT, Y], offset=OFFSET)


def test_numbers_beyond_those_of_the_loss_are_refused():
    model = WeightedTorchClassifier(**QUICK)
    with pytest.raises(ValueError, match=r"^offset must be finite in float32 .*got 1e\+300"):
        model.fit(X, Y, offset=changed(1e300))
    with pytest.raises(ValueError, match=r"^offset must leave a finite y - offset, got -1e\+308"):
        WeightedTorchRegressor(**QUICK).fit(X, Y + 1.7e308 * (X[:, 0] > 0), offset=changed(-1e308))


KINDS = {
    "list": OFFSET.tolist(),
    "tuple": tuple(OFFSET),
    "tensor": torch.tensor(OFFSET, requires_grad=True),
    "series": pd.Series(OFFSET, index=range(N_ROWS, 0, -1)),
    "frame": pd.DataFrame({"log exposure": OFFSET}),
    "Float64": pd.Series(OFFSET, dtype="Float64"),
    "objects": OFFSET.astype(object),
    "column": OFFSET[:, None],
    "read-only": np.broadcast_to(OFFSET, (2, N_ROWS))[0],
    "unmasked": np.ma.masked_array(OFFSET, False),
}


@each_model
@pytest.mark.parametrize("kind", KINDS)
def test_an_offset_may_be_of_any_kind(model, y, kind):
    expected = clone(model).fit(X, y, offset=OFFSET)
    found = clone(model).fit(X, y, offset=KINDS[kind])
    predicted = expected.predict(X, offset=OFFSET)
    assert_array_equal(found.predict(X, offset=KINDS[kind]), predicted)
    assert found.score(X, y, WEIGHT, KINDS[kind]) == expected.score(X, y, WEIGHT, OFFSET)


def spoiled(bad):
    """Offsets with something in rows of weight 0."""
    offset = OFFSET.astype(float if isinstance(bad, float) else object)
    offset[BAD] = bad
    return offset


@each_model
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, -np.inf, None, pd.NA, "n/a"])
def test_a_row_without_weight_may_have_anything_as_its_offset(model, y, bad, n_members):
    kept = np.flatnonzero(WEIGHT)
    model = clone(model).set_params(n_members=n_members, early_stopping=True)
    found = clone(model).fit(X, y, WEIGHT, offset=spoiled(bad))
    expected = clone(model).fit(X[kept], y[kept], WEIGHT[kept], offset=OFFSET[kept])
    assert_array_equal(found.predict(X, offset=OFFSET), expected.predict(X, offset=OFFSET))
    score = expected.score(X[kept], y[kept], WEIGHT[kept], OFFSET[kept])
    assert found.score(X, y, WEIGHT, spoiled(bad)) == score
    if n_members > 1:
        assert_array_equal(found.oof_prediction_[kept], expected.oof_prediction_)
        assert found.oof_score_ == expected.oof_score_
    with pytest.raises((TypeError, ValueError), match=r"^offset must"):
        found.predict(X, offset=spoiled(bad))
    labels = {"classes": [0, 1]} if hasattr(model, "predict_proba") else {}
    online = clone(model).set_params(n_members=1, early_stopping=False)
    online.partial_fit(X, y, **labels, sample_weight=WEIGHT, offset=spoiled(bad))
    assert np.isfinite(online.predict(X, offset=OFFSET)).all()


@each_model
def test_of_bad_weights_and_missing_offsets_the_weights_are_named(model, y):
    with pytest.raises(ValueError, match=r"^sample_weight must"):
        clone(model).fit(X, y, -WEIGHT, offset=OFFSET)


@each_model
def test_predictions_without_the_offset_of_the_fit_are_refused(model, y):
    fitted = clone(model).fit(X, y, offset=OFFSET)
    calls = {
        "predict": lambda: fitted.predict(X),
        "predict_members": lambda: fitted.predict_members(X),
        "score": lambda: fitted.score(X, y),
    }
    for call in calls.values():
        with pytest.raises(ValueError, match=r"^offset must be given, because this Weig"):
            call()
    with pytest.raises(ValueError, match=r"set_fit_request\(offset=True\)"):
        fitted.predict(X)
    fitted.fit(X, y)
    with pytest.raises(ValueError, match=r"^offset must be None, because this Weighted"):
        fitted.predict(X, offset=OFFSET)
    assert len(fitted.predict(X)) == N_ROWS


@each_model
def test_fits_continue_with_an_offset_or_without(model, y):
    warm = clone(model).set_params(warm_start=True).fit(X, y, offset=OFFSET)
    before = warm.predict(X, offset=OFFSET)
    with pytest.raises(ValueError, match=r"^warm_start=True continues a fit with an offset, got"):
        warm.fit(X, y)
    with pytest.raises(ValueError, match=r"^partial_fit continues a fit with an offset, got a"):
        warm.partial_fit(X, y)
    assert_array_equal(warm.predict(X, offset=OFFSET), before)
    warm = clone(warm).fit(X, y)
    with pytest.raises(ValueError, match=r"continues a fit without an offset, got a call with"):
        warm.fit(X, y, offset=OFFSET)


@each_model
def test_validation_rows_need_one_if_the_training_rows_have_one(model, y):
    model = clone(model).set_params(early_stopping=True, n_members=1)
    valid = {"X_val": X, "y_val": y}
    with pytest.raises(ValueError, match=r"^offset_val must be given together with offset and"):
        model.fit(X, y, offset=OFFSET, **valid)
    with pytest.raises(ValueError, match=r"^offset must be given together with offset_val and"):
        model.fit(X, y, offset_val=OFFSET, **valid)
    with pytest.raises(ValueError, match=r"^offset_val needs X_val and y_val, got None for both"):
        model.fit(X, y, offset=OFFSET, offset_val=OFFSET)


def test_a_subclass_may_predict_without_knowing_of_offsets():
    class Own(WeightedTorchClassifier):
        def decision_function(self, X):
            return super().decision_function(X)

        def predict(self, X):
            return super().predict(X)

    model = Own(**QUICK).fit(X, Y)
    assert model.score(X, Y) == WeightedTorchClassifier(**QUICK).fit(X, Y).score(X, Y)


def test_the_caller_s_offset_is_not_changed():
    offset = OFFSET.copy()
    offset.flags.writeable = False
    model = WeightedTorchRegressor(criterion="poisson", **QUICK).fit(X, COUNT, offset=offset)
    model.predict(X, offset=offset)
    assert_array_equal(offset, OFFSET)
