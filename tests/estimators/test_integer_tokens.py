"""Token ids in one array reach a module that needs integers; other modules get floats as ever."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import assert_same_tensors
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import EpochScoring
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV
from skweight.estimators import FitData, plan
from skweight.stacks import NotStackable, models_at_once, train_together

N, N_WORDS = 300, 12
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, N_WORDS, size=(N, 5))
Y = (TOKENS < 2).any(axis=1).astype(int)
WEIGHT = RNG.integers(0, 4, size=N)
QUICK = {"max_epochs": 4, "random_state": 0, "device": "cpu"}


class Words(nn.Module):
    """The largest of the scores of the words."""

    def __init__(self, n_features, n_outputs, n_words=N_WORDS):
        super().__init__()
        self.embedding = nn.Embedding(n_words, n_outputs)

    def forward(self, X):
        return self.embedding(X).amax(dim=1)


class Converting(Words):
    """Makes integers of floats itself, as a module had to until now."""

    def forward(self, X):
        assert X.dtype == torch.float32
        return super().forward(X.long())


def classifier(module=Words, **params):
    return WeightedTorchClassifier(module, **{**QUICK, **params})


def assert_same_networks(found, expected):
    assert_same_tensors(found.module_.state_dict(), expected.module_.state_dict())


def test_a_network_of_tokens_learns_and_predicts_new_rows():
    train, test = slice(0, 220), slice(220, N)
    clf = classifier(lr=0.03, max_epochs=60, early_stopping=True).fit(TOKENS[train], Y[train])
    assert clf.net_.takes_integers
    assert clf.score(TOKENS[test], Y[test], WEIGHT[test]) > 0.95
    assert 0.4 < Y[test].mean() < 0.75


AS = {
    "int32": TOKENS.astype(np.int32),
    "uint8": TOKENS.astype(np.uint8),
    "list": TOKENS.tolist(),
    "tensor": torch.from_numpy(TOKENS),
    "frame": pd.DataFrame(TOKENS),
    "nullable": pd.DataFrame(TOKENS).astype("Int64"),
    "sparse": sparse.csr_array(TOKENS),
}


@pytest.mark.parametrize("X", AS.values(), ids=AS)
def test_integers_of_every_kind_train_the_network_that_converts_floats_itself(X):
    expected = classifier(Converting).fit(TOKENS, Y, WEIGHT)
    assert not expected.net_.takes_integers
    found = classifier().fit(X, Y, WEIGHT)
    assert_same_networks(found, expected)
    assert_array_equal(found.predict_proba(X), expected.predict_proba(TOKENS))
    assert np.ptp(found.predict_proba(X)[:, 1]) > 0.1


def test_tokens_on_disk_are_integers(tmp_path):
    np.save(tmp_path / "tokens.npy", TOKENS.astype(np.uint16))
    X = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    found = classifier().fit(X, Y)
    assert found.net_.takes_integers
    assert_same_networks(found, classifier().fit(TOKENS, Y))


def test_weights_are_copies_and_weight_zero_is_a_missing_row():
    weighted = classifier(early_stopping=True).fit(TOKENS, Y, WEIGHT)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(N), WEIGHT))
    assert_same_networks(classifier(early_stopping=True).fit(TOKENS[order], Y[order]), weighted)
    assert "valid_loss" in weighted.history_[-1]
    anything = np.where(WEIGHT[:, None] == 0, 2**40, TOKENS)
    found = classifier(early_stopping=True).fit(anything, Y, WEIGHT)
    assert_same_networks(found, weighted)


def test_validation_rows_of_ones_own_are_integers():
    options = {"X_val": TOKENS[200:], "y_val": Y[200:]}
    found = classifier(early_stopping=True).fit(TOKENS[:200], Y[:200], **options)
    expected = classifier(Converting, early_stopping=True).fit(TOKENS[:200], Y[:200], **options)
    assert found.history_[:, "valid_loss"] == expected.history_[:, "valid_loss"]


def test_pickles_and_the_net_remember_that_the_module_takes_integers():
    clf = classifier().fit(TOKENS, Y)
    restored = pickle.loads(pickle.dumps(clf))
    assert_array_equal(restored.predict_proba(TOKENS), clf.predict_proba(TOKENS))
    assert_array_equal(restored.net_.predict(TOKENS), clf.predict(TOKENS))
    assert_array_equal(copy.deepcopy(clf).net_.predict(TOKENS), clf.predict(TOKENS))
    assert_array_equal(clf.predict_proba(TOKENS.astype(float)), clf.predict_proba(TOKENS))


def test_later_fits_continue_with_integers_also_for_whole_floats():
    clf = classifier().partial_fit(TOKENS, Y, classes=[0, 1])
    expected = classifier(Converting).partial_fit(TOKENS, Y, classes=[0, 1])
    clf.partial_fit(TOKENS.astype(float), Y)
    assert_same_networks(clf, expected.partial_fit(TOKENS, Y))
    warm = classifier(warm_start=True).fit(TOKENS, Y).fit(TOKENS.astype(float), Y)
    again = classifier(Converting, warm_start=True).fit(TOKENS, Y).fit(TOKENS, Y)
    assert_same_networks(warm, again)


def test_a_table_of_integers_is_floats_for_a_module_of_floats():
    clf = WeightedTorchClassifier(nn.Linear(5, 1), **QUICK)
    found, expected = (copy.deepcopy(clf).fit(X, Y) for X in (TOKENS, TOKENS.astype(np.float32)))
    assert not found.net_.takes_integers
    assert_same_networks(found, expected)


def test_callbacks_score_batches_of_integers():
    score = EpochScoring("neg_log_loss", name="score", lower_is_better=False)
    clf = classifier(callbacks=[score], early_stopping=True).fit(TOKENS, Y)
    losses = np.array(clf.history_[:, "valid_loss"])
    np.testing.assert_allclose(np.array(clf.history_[:, "score"]), -losses, rtol=1e-5)


def test_searches_agree_to_the_bit_and_train_one_by_one():
    grid, options = {"class_weight": [None, "balanced"]}, {"scoring": "neg_log_loss", "cv": 2}
    search = WeightSearchCV(classifier(), grid, **options)
    with pytest.warns(UserWarning, match="trained one by one, .*the module takes X as integers"):
        search.fit(TOKENS, Y)
    searched = GridSearchCV(classifier(), grid, **options).fit(TOKENS, Y)
    assert_array_equal(*(s.cv_results_["mean_test_score"] for s in (search, searched)))
    assert cross_val_score(classifier(lr=0.1), TOKENS, Y, cv=2).min() > Y.mean()


def test_stacks_refuse_networks_of_integers():
    for refuse in (models_at_once, lambda training: train_together([training])):
        with pytest.raises(NotStackable, match="the module takes X as integers"):
            refuse(plan(classifier(), FitData(TOKENS, Y)).training)


# Refused


def test_floats_are_not_made_integers():
    with pytest.raises(ValueError, match=r"module Words failed on X of shape \(5, 5\): Expected"):
        classifier().fit(TOKENS.astype(float), Y)


def test_a_module_that_fails_on_both_says_how():
    class Wrong(Words):
        def forward(self, X):
            raise RuntimeError(f"no {X.dtype} here")

    message = r"module Wrong failed on X of shape \(5, 5\) as float32, no torch.float32 here, and "
    message += "as integers: no torch.int64 here"
    with pytest.raises(ValueError, match=message):
        classifier(Wrong).fit(TOKENS, Y)


def test_numbers_that_are_no_tokens_are_refused():
    clf = classifier().fit(TOKENS, Y)
    with pytest.raises(ValueError, match=r"X must hold whole numbers .*got \d\.5"):
        clf.predict(TOKENS / 2)
    with pytest.raises(ValueError, match=r"X must hold whole numbers .*got \d\.5"):
        clf.net_.predict(TOKENS / 2)
    with pytest.raises(ValueError, match=r"X_val must hold whole numbers .*got \d\.5"):
        classifier(early_stopping=True).fit(TOKENS, Y, X_val=TOKENS / 2, y_val=Y)
    large = TOKENS.copy()
    large[7, 2] = 2**24 + 1
    with pytest.raises(ValueError, match=r"whole numbers below 2\*\*24 .*got 16777216"):
        classifier().fit(large, Y)


@pytest.mark.parametrize("unknown", [N_WORDS, -1])
def test_a_token_that_the_network_does_not_know_is_named(unknown):
    X = TOKENS.copy()
    X[250, 3] = unknown
    message = rf"module Words failed on X .*from .*{unknown}.*index out of range"
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        classifier(early_stopping=True).fit(TOKENS, Y, X_val=X, y_val=Y)
    with pytest.raises(ValueError, match=message):
        classifier().fit(TOKENS, Y).predict(X)


def test_regressors_take_tokens_as_well():
    reg = WeightedTorchRegressor(Words, **QUICK, lr=0.1).fit(TOKENS, 100.0 * Y)
    assert reg.score(TOKENS, 100.0 * Y) > 0.1
