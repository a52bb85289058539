"""Estimators as objects, for tables of any kind: clones, pickles, and what the caller passed."""

import copy
import pickle

import numpy as np
import pandas as pd
from drawn_fits import Case, cases, fit_quietly
from hypothesis import given
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone


@given(cases())
def test_a_clone_and_another_fit_give_the_same_bits(case: Case):
    model = case.fit(case.weight)
    again = fit_quietly(clone(model), case.X, case.y, case.weight, case.offsets)
    case.assert_same(again, model)
    expected = copy.deepcopy(model)
    case.assert_same(fit_quietly(model, case.X, case.y, case.weight, case.offsets), expected)


@given(cases())
def test_a_pickle_predicts_and_fits_the_same(case: Case):
    model = case.fit(case.weight)
    loaded = pickle.loads(pickle.dumps(model))
    case.assert_same(loaded, model)
    case.assert_same(fit_quietly(loaded, case.X, case.y, case.weight, case.offsets), model)


def snapshot(value):
    """What a table or array holds, with its dtypes."""
    if isinstance(value, pd.DataFrame):
        columns = [(name, repr(c.dtype), c.tolist()) for name, c in value.items()]
        return columns, value.index.tolist()
    if sparse.issparse(value):
        return [part.tobytes() for part in (value.data, value.indices, value.indptr)]
    if isinstance(value, np.ndarray):
        return value.dtype, value.flags.writeable, value.tolist(), value.strides
    return copy.deepcopy(value)


@given(cases())
def test_nothing_of_the_caller_is_changed(case: Case):
    passed = [case.X, case.y, case.weight, case.offsets, case.params]
    before = [repr(snapshot(value)) for value in passed]
    of_numpy, settings = np.random.get_state()[1].tolist(), np.geterr()
    case.predictions(case.fit(case.weight))
    assert [repr(snapshot(value)) for value in passed] == before
    assert (np.random.get_state()[1].tolist(), np.geterr()) == (of_numpy, settings)


@given(cases(containers=["array"]))
def test_read_only_data_in_any_layout_are_the_same_data(case: Case):
    expected = case.fit(case.weight)
    versions = [np.asfortranarray(case.X), np.repeat(case.X, 2, axis=0)[::2], case.X.copy()]
    versions[-1].flags.writeable = False
    for X in versions:
        found = fit_quietly(case.estimator(), X, case.y, case.weight, case.offsets)
        case.assert_same(found, expected)


@given(cases(containers=["array"]))
def test_a_list_and_a_frame_are_the_same_data(case: Case):
    expected = case.predictions(case.fit(case.weight))
    for X in (case.X.tolist(), pd.DataFrame(case.X)):
        model = fit_quietly(case.estimator(), X, case.y, case.weight, case.offsets)
        names = [name for name in expected if hasattr(model, name)]
        for name in names:
            found = getattr(model, name)(X, offset=case.offsets)
            assert_array_equal(found, expected[name])
