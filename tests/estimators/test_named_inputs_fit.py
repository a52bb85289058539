"""Networks of several named inputs: they learn, obey the weight laws, and work in scikit-learn.

What is checked of each input is in ``test_named_inputs.py``.
"""

import pickle
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import assert_same_tensors
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from skorch.helper import DataFrameTransformer, SliceDict
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV
from skweight.estimators import FitData, plan
from skweight.modules import MLP
from skweight.stacks import NotStackable, models_at_once, train_together

N, N_WORDS = 320, 12
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, N_WORDS, size=(N, 4))
TABLE = RNG.normal(size=(N, 3))
IMAGE = RNG.normal(size=(N, 1, 6, 6))
X = {"tokens": TOKENS, "table": TABLE}
HAS_WORD = (TOKENS < 3).any(axis=1)
Y = (HAS_WORD ^ (TABLE[:, 0] > 0)).astype(int)
BRIGHT = 3 * IMAGE.mean(axis=(1, 2, 3)) + TABLE[:, 1]
WEIGHT = RNG.integers(0, 4, size=N)
QUICK = {"max_epochs": 4, "random_state": 0, "device": "cpu"}
LONG = {"lr": 0.01, "random_state": 0, "device": "cpu"}


class TextAndTable(nn.Module):
    """A sum of embeddings beside a table."""

    def __init__(self, n_features, n_outputs, width=16):
        super().__init__()
        self.n_features = n_features
        self.embedding = nn.Embedding(N_WORDS, 4)
        self.layers = nn.Sequential(
            nn.Linear(4 + n_features["table"], width), nn.ReLU(), nn.Linear(width, n_outputs)
        )

    def forward(self, tokens, table):
        return self.layers(torch.cat([self.embedding(tokens).amax(1), table], dim=1))


class ImageAndTable(nn.Module):
    """A convolution beside a table."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(n_features["image"], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8)
        )
        self.last = nn.Linear(8 + n_features["table"], n_outputs)

    def forward(self, table, image):
        return self.last(torch.cat([self.image(image), table], dim=1))


def classifier(**params):
    return WeightedTorchClassifier(TextAndTable, **{**QUICK, **params})


def rows_of(X, rows):
    return {name: values[rows] for name, values in X.items()}


# They learn


def test_a_network_of_tokens_and_a_table_beats_chance_on_new_rows():
    train, test = np.arange(240), np.arange(240, N)
    clf = classifier(**LONG, max_epochs=60, early_stopping=False).fit(rows_of(X, train), Y[train])
    assert clf.score(rows_of(X, test), Y[test]) > 0.85 > Y[test].mean() + 0.1
    assert clf.predict_proba(X).shape == (N, 2)
    assert np.isfinite(clf.predict_log_proba(X)).all()


def test_a_network_of_images_and_a_table_explains_new_rows():
    given = {"image": IMAGE, "table": TABLE}
    train, test = np.arange(240), np.arange(240, N)
    reg = WeightedTorchRegressor(ImageAndTable, **LONG).fit(rows_of(given, train), BRIGHT[train])
    weight = WEIGHT[test]
    assert reg.score(rows_of(given, test), BRIGHT[test], weight) > 0.7
    assert reg.n_features_in_ == 4


def test_the_factory_gets_the_number_of_columns_of_each_input():
    clf = classifier().fit({**X, "table": pd.DataFrame(TABLE, columns=list("abc"))}, Y)
    assert clf.module_.n_features == {"table": 3, "tokens": 4}
    assert clf.n_features_in_ == 7
    assert not hasattr(clf, "feature_names_in_")


def test_an_instance_is_copied():
    module = TextAndTable({"table": 3}, 1)
    before = module.embedding.weight.clone()
    clf = WeightedTorchClassifier(module, **QUICK).fit(X, Y)
    assert torch.equal(module.embedding.weight, before)
    assert not torch.equal(clf.module_.embedding.weight, before)


def test_names_of_columns_of_an_earlier_fit_are_gone():
    clf = WeightedTorchClassifier(**QUICK).fit(pd.DataFrame(TABLE, columns=list("abc")), Y)
    assert hasattr(clf, "feature_names_in_")
    clf.set_params(module=TextAndTable).fit(X, Y)
    assert not hasattr(clf, "feature_names_in_")


# Weights


def fit(X, y, weight=None, **params):
    return classifier(early_stopping=True, max_epochs=8, **params).fit(X, y, weight)


def assert_same_fits(found, expected):
    assert_same_tensors(found.module_.state_dict(), expected.module_.state_dict())
    assert len(found.history_) == len(expected.history_) > 1
    assert found.history_[:, "valid_loss"] == expected.history_[:, "valid_loss"]
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_weights_are_copies_and_weight_zero_is_a_missing_row(weighting):
    weighted = fit(X, Y, WEIGHT, weighting=weighting)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(N), WEIGHT))
    repeated = fit(rows_of(X, order), Y[order], weighting=weighting)
    assert_same_fits(repeated, weighted)
    removed = fit(
        rows_of(X, WEIGHT > 0), Y[WEIGHT > 0], 7 * WEIGHT[WEIGHT > 0], weighting=weighting
    )
    assert_same_fits(removed, weighted)
    assert np.ptp(weighted.predict_proba(X)[:, 1]) > 0.05
    unweighted = fit(X, Y, weighting=weighting)
    assert (unweighted.predict_proba(X) != weighted.predict_proba(X)).any()


def test_a_row_of_weight_zero_may_hold_nan_and_any_token():
    given = {"tokens": TOKENS.copy(), "table": TABLE.copy()}
    given["tokens"][WEIGHT == 0], given["table"][WEIGHT == 0] = 2**60, np.nan
    assert_same_fits(fit(given, Y, WEIGHT), fit(X, Y, WEIGHT))


def test_the_order_of_the_inputs_means_nothing():
    turned = {name: X[name] for name in reversed(X)}
    assert [*turned] != [*X]
    assert_same_fits(fit(turned, Y), fit(X, Y))
    assert_array_equal(fit(X, Y).predict_proba(turned), fit(X, Y).predict_proba(X))


def test_weights_are_copies_with_validation_rows_of_ones_own():
    half, other = np.arange(N) < 200, np.arange(N) >= 200
    validation = {"X_val": rows_of(X, other), "y_val": Y[other]}
    weight = WEIGHT[other]
    copies = np.repeat(np.flatnonzero(other), weight)
    weighted = classifier().fit(rows_of(X, half), Y[half], **validation, sample_weight_val=weight)
    copied = {"X_val": rows_of(X, copies), "y_val": Y[copies]}
    repeated = classifier().fit(rows_of(X, half), Y[half], **copied)
    assert_same_fits(weighted, repeated)


def test_partial_fit_and_warm_start_continue():
    clf = classifier().partial_fit(X, Y, classes=[0, 1], sample_weight=WEIGHT)
    first = clf.predict_proba(X)
    clf.partial_fit(rows_of(X, slice(0, 100)), Y[:100])
    assert (clf.predict_proba(X) != first).any()
    assert clf.n_iter_ == 2
    warm = classifier(warm_start=True).fit(X, Y)
    first = warm.predict_proba(X)
    assert (warm.fit(X, Y).predict_proba(X) != first).any()


def test_scores_ignore_rows_of_weight_zero():
    clf = classifier().fit(X, Y)
    given = {"tokens": TOKENS.tolist(), "table": pd.DataFrame(TABLE.copy())}
    given["table"].loc[WEIGHT == 0] = np.nan
    kept = WEIGHT > 0
    expected = clf.score(rows_of(X, kept), Y[kept], WEIGHT[kept])
    assert clf.score(given, Y, WEIGHT) == expected < 1
    with pytest.raises(ValueError, match="y must have one entry for each of"):
        clf.score({**given, "tokens": TOKENS[:5]}, Y, WEIGHT)


def test_files_on_disk_train_the_network_that_arrays_train(tmp_path):
    files = {}
    for name, values in {"tokens": TOKENS.astype(np.uint16), "table": TABLE}.items():
        np.save(tmp_path / f"{name}.npy", values)
        files[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    from_disk = fit(files, Y, WEIGHT)
    assert_same_fits(from_disk, fit(X, Y, WEIGHT))
    assert_array_equal(from_disk.predict_proba(files), from_disk.predict_proba(X))


# What a network adapts to


class Adapting(TextAndTable):
    def adapt(self, X, y, row_weight):
        self.adapted = {name: tuple(values.shape) for name, values in X.items()}

    def adapt_input(self, mean, spread):
        self.mean, self.spread = mean["table"], spread["table"]
        self.names = [*mean], [*spread]

    n_bins = 4

    def adapt_bins(self, edges):
        self.edges = edges


def test_a_network_gets_moments_and_quantiles_of_its_inputs_of_floats():
    clf = WeightedTorchClassifier(Adapting, **QUICK, early_stopping=False)
    module = clf.fit({**X, "table": 5 * TABLE}, Y, WEIGHT).module_
    mean = np.average(5 * TABLE, axis=0, weights=WEIGHT)
    np.testing.assert_allclose(module.mean, mean, rtol=1e-5)
    assert (module.spread > 3).all()
    assert module.names == (["table"], ["table"])
    assert {name: tuple(edges.shape) for name, edges in module.edges.items()} == {"table": (5, 3)}
    n_rows = np.count_nonzero(WEIGHT)
    assert module.adapted == {"table": (n_rows, 3), "tokens": (n_rows, 4)}


def test_a_default_network_may_be_a_part_of_a_network():
    class Both(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.embedding = nn.EmbeddingBag(N_WORDS, n_outputs)
            self.table = MLP(n_features["table"], n_outputs)
            self.n_bins = self.table.n_bins

        def forward(self, tokens, table):
            return self.embedding(tokens) + self.table(table)

        def adapt_input(self, mean, spread):
            self.table.adapt_input(mean["table"], spread["table"])

        def adapt_bins(self, edges):
            self.table.adapt_bins(edges["table"])

    y = TABLE[:, 0] > 0
    clf = WeightedTorchClassifier(Both, **LONG).fit(X, y)
    assert clf.score(X, y) > 0.85
    assert clf.module_.table.n_bins > 0


# In scikit-learn


class ToInputs(TransformerMixin, BaseEstimator):
    """From a table to a dict."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return {"tokens": X[:, :4].astype(int), "table": X[:, 4:]}


def test_a_pipeline_may_end_with_a_dict():
    pipe = make_pipeline(ToInputs(), classifier())
    stacked = np.hstack([TOKENS, TABLE])
    pipe.fit(stacked, Y, weightedtorchclassifier__sample_weight=WEIGHT)
    direct = classifier().fit(X, Y, WEIGHT)
    assert_array_equal(pipe.predict_proba(stacked), direct.predict_proba(X))
    assert np.ptp(direct.predict_proba(X)[:, 1]) > 0.01
    grid = {"weightedtorchclassifier__class_weight": [None, "balanced"]}
    scores = [
        search(pipe, grid, scoring="neg_log_loss", cv=3).fit(stacked, Y).cv_results_
        for search in (GridSearchCV, quiet_search)
    ]
    assert_array_equal(*(result["mean_test_score"] for result in scores))


def quiet_search(*args, **kwargs):
    """WeightSearchCV that has been told of networks which are trained one by one."""

    class Quiet(WeightSearchCV):
        def _warn_of_one_by_one(self):
            pass

    return Quiet(*args, **kwargs)


def test_the_dicts_of_skorchs_transformer_of_frames_can_be_fitted():
    class OfColumns(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            assert n_features == {"X": 3, "word": 1}
            self.embedding, self.table = nn.Embedding(4, n_outputs), nn.Linear(3, n_outputs)

        def forward(self, X, word):
            return self.embedding(word) + self.table(X)

    frame = pd.DataFrame(TABLE.astype(np.float32), columns=list("abc"))
    frame["word"] = pd.Categorical(np.array(list("wxyz"))[TOKENS[:, 0] % 4])
    y = TOKENS[:, 0] % 4 == 2
    pipe = make_pipeline(DataFrameTransformer(), WeightedTorchClassifier(OfColumns, **LONG))
    assert pipe.fit(frame, y).score(frame, y) > 0.95 > 0.2 + np.mean(~y)


def test_searches_slice_a_slicedict_and_agree_to_the_bit():
    grid = {"class_weight": [None, "balanced"], "module__width": [4, 8]}
    options = {"scoring": "neg_log_loss", "cv": 3}
    searched = GridSearchCV(classifier(), grid, **options).fit(SliceDict(**X), Y)
    search = WeightSearchCV(classifier(), grid, **options, return_predictions=True)
    with pytest.warns(UserWarning, match="trained one by one, .*X has several named inputs"):
        search.fit(SliceDict(**X), Y)
    for name in ("mean_test_score", "split0_test_score", "rank_test_score"):
        assert_array_equal(search.cv_results_[name], searched.cv_results_[name])
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    assert search.one_by_one_ == {"X has several named inputs": [0, 1, 2, 3]}
    assert not search.stacked_.any()
    assert search.predictions_[0][1].shape == (4, len(search.predictions_[0][0]), 2)


def test_a_search_says_how_to_pass_a_dict():
    search = WeightSearchCV(classifier(), {"class_weight": [None]})
    with pytest.raises(TypeError, match=r"got dict\. Pass skorch.helper.SliceDict\(\*\*X\)"):
        search.fit(X, Y)


def test_stacks_refuse_several_inputs():
    training = plan(classifier(), FitData(X, Y)).training
    for refuse in (models_at_once, lambda training: train_together([training])):
        with pytest.raises(NotStackable, match="X has several named inputs"):
            refuse(training)


def test_folds_clones_and_pickles_give_the_same_network():
    with joblib.parallel_config("multiprocessing", n_jobs=2):
        scores = cross_val_score(classifier(), SliceDict(**X), Y, cv=2)
    assert_array_equal(scores, cross_val_score(clone(classifier()), SliceDict(**X), Y, cv=2))
    clf = classifier().fit(SliceDict(**X), Y)
    restored = pickle.loads(pickle.dumps(clf))
    assert_array_equal(restored.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(restored.net_.predict_proba(X), clf.net_.predict_proba(X))


# The net and its callbacks


class Batches(Callback):
    """Keep what a batch holds."""

    def __init__(self, seen):
        self.seen = seen

    def on_batch_end(self, net, batch, training, **kwargs):
        inputs = batch[0]["X"]
        with torch.no_grad():
            output = net.module_(**inputs)
        self.seen.append((training, len(inputs), [*inputs.keys()], tuple(output.shape)))


def test_callbacks_see_the_inputs_of_batches_and_can_score():
    seen = []
    callbacks = [
        Batches(seen),
        EpochScoring("neg_log_loss", name="by_skorch", lower_is_better=False),
        EpochScoring("accuracy", name="of_training", on_train=True),
        ("batches", BatchScoring("accuracy", name="of_batches")),
    ]
    clf = classifier(callbacks=callbacks, early_stopping=True).fit(X, Y)
    assert {training for training, *_ in seen} == {True, False}
    for _, n_rows, names, shape in seen:
        assert names == ["table", "tokens"]
        assert shape == (n_rows, 1)
    assert sum(n_rows for _, n_rows, *_ in seen) == N * clf.n_iter_
    assert clf.history_[-1, "of_training"] > 0.4
    assert clf.history_[-1, "of_batches"] > 0.4
    losses = np.array(clf.history_[:, "valid_loss"])
    np.testing.assert_allclose(np.array(clf.history_[:, "by_skorch"]), -losses, rtol=1e-5)


def test_the_net_predicts_for_dicts_and_batches():
    clf = classifier().fit(X, Y)
    by_net = clf.net_.predict_proba(X)
    np.testing.assert_allclose(by_net, clf.predict_proba(X), rtol=1e-5)
    assert_array_equal(clf.net_.predict_proba(SliceDict(**X)), by_net)
    assert clf.net_.infer(rows_of(X, slice(0, 5))).shape == (5, 1)
    assert clf.net_.forward(X).shape == (N, 1)


def test_a_compiled_step_takes_several_inputs(monkeypatch):
    """As one graph; without the backend, which takes long."""
    traced = partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr("torch.compile", traced)
    compiled = classifier(compile=True).fit(X, Y)
    np.testing.assert_allclose(
        compiled.predict_proba(X), classifier().fit(X, Y).predict_proba(X), atol=1e-4
    )


# Refused


class NoImages(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = nn.Linear(3, n_outputs)

    def forward(self, table, other=None):
        return self.layer(table)


REFUSED = {
    "default network": (
        lambda: WeightedTorchClassifier(**QUICK).fit(X, Y),
        r"one table for the default network, .*\['tokens', 'table'\].*pass pandas.DataFrame\(X\)",
    ),
    "MLP": (
        lambda: WeightedTorchClassifier(MLP, **QUICK).fit(X, Y),
        "one table for the default network",
    ),
    "name that forward does not take": (
        lambda: WeightedTorchClassifier(NoImages, **QUICK).fit({"table": TABLE, "image": IMAGE}, Y),
        r"module NoImages failed on the inputs 'image' \(5, 1, 6, 6\) of torch.float32, "
        r"'table' .*unexpected keyword argument 'image'",
    ),
    "input that is missing": (
        lambda: classifier().fit({"table": TABLE}, Y),
        "module TextAndTable failed on the inputs 'table' .*missing.*'tokens'",
    ),
    "integers for a layer of floats": (
        lambda: WeightedTorchClassifier(NoImages, **QUICK).fit({"table": TOKENS[:, :3]}, Y),
        r"module NoImages failed on the inputs 'table' \(5, 3\) of torch.int64",
    ),
    "validation rows": (
        lambda: classifier().fit(X, Y, X_val={"table": TABLE}, y_val=Y),
        r"X_val and y_val: X must have rows of shape .*got \{'table': \(3,\)\}",
    ),
    "other names": (
        lambda: FITTED.predict({"tokens": TOKENS, "numbers": TABLE}),
        r"of shape \{'table': \(3,\), 'tokens': \(4,\)\}, as in fit, got \{'numbers'",
    ),
    "other shapes": (
        lambda: FITTED.predict({"tokens": TOKENS[:, :2], "table": TABLE}),
        r"as in fit, got \{'table': \(3,\), 'tokens': \(2,\)\}",
    ),
    "an array": (
        lambda: FITTED.predict(np.hstack([TOKENS, TABLE])),
        r"X must be a dict of the inputs \['table', 'tokens'\], as in fit, got one array",
    ),
    "a dict instead of an array": (
        lambda: WeightedTorchClassifier(nn.Linear(3, 1), **QUICK).fit(TABLE, Y).predict(X),
        r"X must be one array, as in fit, got a dict of the inputs \['tokens', 'table'\]",
    ),
    "partial_fit on others": (
        lambda: classifier().partial_fit(X, Y, classes=[0, 1]).partial_fit(TABLE, Y),
        "X must be a dict of the inputs",
    ),
    "strings to predict": (
        lambda: FITTED.predict({**X, "table": np.full((N, 3), "x")}),
        "Input 'table' of X: X holds strings",
    ),
}
FITTED = classifier().fit(X, Y)


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(call, message):
    before = FITTED.predict_proba(X)
    with pytest.raises((TypeError, ValueError), match=message):
        call()
    assert_array_equal(FITTED.predict_proba(X), before)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was():
    clf = classifier().fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match="must have inputs with the same number of rows"):
        clf.fit({**X, "tokens": TOKENS[:9]}, Y)
    assert_array_equal(clf.predict_proba(X), before)


def test_own_scorers_get_the_dict():
    def score(estimator, X, y):
        assert isinstance(X, SliceDict)
        return -log_loss(y, estimator.predict_proba(X))

    scores = cross_val_score(classifier(), SliceDict(**X), Y, cv=2, scoring=score)
    by_name = cross_val_score(classifier(), SliceDict(**X), Y, cv=2, scoring="neg_log_loss")
    assert_array_equal(scores, by_name)
