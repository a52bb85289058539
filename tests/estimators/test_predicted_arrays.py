"""Plain arrays are predicted without scikit-learn's checks, with the same results and errors."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3)).astype(np.float32)
Y = (X[:, 0] + rng.normal(size=90) > 0).astype(int)
QUICK = {"max_epochs": 2, "device": "cpu", "random_state": 0}
MODEL = WeightedTorchClassifier(**QUICK).fit(X, Y)


class Table(np.ndarray):
    """Not a plain array, so that scikit-learn checks it."""


def in_another_form(X):
    forms = {
        "columns": np.asfortranarray(X),
        "every second row": np.repeat(X, 2, axis=0)[::2],
        "read-only": X.copy(),
        "float64": X.astype(np.float64),
        "list": X.tolist(),
        "subclass": X.view(Table),
        "tensor": torch.from_numpy(X),
    }
    forms["read-only"].flags.writeable = False
    return forms


@pytest.mark.parametrize("form", in_another_form(X))
@pytest.mark.parametrize("n_rows", [1, 63, 64, 90])
def test_the_form_of_X_changes_nothing(form, n_rows):
    given = in_another_form(X[:n_rows])[form]
    assert np.array_equal(MODEL.predict_proba(given), MODEL.predict_proba(X[:n_rows]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X[:, :2], "2 features, but WeightedTorchClassifier is expecting 3"),
        (X[:0], "0 sample"),
        (X[0], "1D array"),
        (X[None], "must be 2-D"),
        (np.where(X > 2, np.inf, X), "X holds infinity"),
        (X.astype(np.float64) * 1e300, "X holds infinity"),
        (X.astype(complex), "omplex"),
        (np.ma.masked_array(X, X > 1), "masked"),
    ],
)
def test_bad_arrays_are_refused_as_ever(bad, message):
    assert X.max() > 2
    with pytest.raises((ValueError, TypeError), match=message):
        MODEL.predict(bad)


def test_nan_is_refused_where_it_is_no_missing_number():
    module = nn.Linear(3, 1)
    model = WeightedTorchRegressor(module=module, **QUICK).fit(X, X[:, 0])
    holes = np.where(X > 1, np.nan, X)
    with pytest.raises(ValueError, match="X holds NaN in columns"):
        model.predict(holes)


def test_arrays_without_the_names_of_the_fit_still_warn():
    model = WeightedTorchClassifier(**QUICK).fit(pd.DataFrame(X, columns=list("abc")), Y)
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(pd.DataFrame(X, columns=list("abc")))


class Constant(nn.Module):
    """Returns its parameter, for 64 rows as it is."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(1, n_outputs))

    def forward(self, X):
        return self.constant.expand(len(X), -1)


def test_a_prediction_shares_no_memory_with_the_network():
    model = WeightedTorchRegressor(Constant, **QUICK).fit(X, X[:, 0])
    before = model.module_.constant.detach().clone()
    for given in (X[:64], X[:1]):
        predicted = model.predict(given)
        predicted[:] = 77.0
    assert torch.equal(model.module_.constant, before)
