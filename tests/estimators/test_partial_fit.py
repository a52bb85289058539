"""``partial_fit``: the laws of weights, and what calls keep, need and refuse."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, effective_number

N_ROWS, N_CHUNKS = 240, 4

rng = np.random.default_rng(0)
X = rng.normal(size=(N_ROWS, 4))
noisy = X[:, 0] + 0.5 * X[:, 1] ** 2 + 0.5 * rng.normal(size=N_ROWS)
TARGETS = {
    "classifier": np.digitize(noisy, [0, 1]),
    "labels": np.c_[noisy > 1, X[:, 2] > 0].astype(int),
    "regressor": 10 * noisy + 3,
    "two_targets": np.c_[noisy, 100 * X[:, 1]],
}
WEIGHT = rng.integers(0, 4, N_ROWS)


class Calls:
    """An estimator and the rows that come to it."""

    def __init__(self, name, **fixed):
        self.y = TARGETS[name]
        of_classes = self.y.dtype.kind == "i"
        self.estimator = WeightedTorchClassifier if of_classes else WeightedTorchRegressor
        self.first = {"classes": [0, 1, 2]} if name == "classifier" else {}
        self.fixed = {"batch_size": 16, "lr": 0.01, "random_state": 0} | fixed

    def new(self, **params):
        return self.estimator(module__hidden_sizes=(16,), n_members=1, **self.fixed | params)

    def chunks(self, weight=WEIGHT):
        """``(X, y, weight)`` of each call."""
        weights = np.array_split(weight, N_CHUNKS)
        return list(zip(np.array_split(X, N_CHUNKS), np.array_split(self.y, N_CHUNKS), weights))

    def feed(self, model, chunks):
        for rows, y, weight in chunks:
            first = {} if hasattr(model, "net_") else self.first
            model.partial_fit(rows, y, sample_weight=weight, **first)
        return model

    def predictions(self, model):
        return getattr(model, "predict_proba", model.predict)(X)

    def after(self, chunks, **params):
        """What a model predicts after calls with these chunks, and what it recorded."""
        model = self.feed(self.new(**params), chunks)
        return np.append(self.predictions(model), model.history_[:, "train_loss"])


@pytest.fixture(params=["classifier", "regressor"])
def calls(request):
    return Calls(request.param)


# Laws


@pytest.fixture(params=[*TARGETS, "class_weight", "power"])
def any_calls(request):
    settings = {"class_weight": {"class_weight": {1: 5, 2: 0.3}}}
    settings["power"] = {"sample_weight_power": 0.5}
    name = "classifier" if request.param in settings else request.param
    return Calls(name, **settings.get(request.param, {}))


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_the_laws_of_weights_hold_within_each_call(any_calls, weighting):
    after = partial(any_calls.after, weighting=weighting)
    chunks = any_calls.chunks()
    expected = after(chunks)
    copies = [(np.repeat(X, w, 0), np.repeat(y, w, 0), None) for X, y, w in chunks]
    present = [(X[w > 0], y[w > 0], w[w > 0]) for X, y, w in chunks]
    reversed_rows = [(X[::-1], y[::-1], w[::-1]) for X, y, w in chunks]
    halves = [(np.r_[X, X], np.r_[y, y], np.r_[w / 4, w - w / 4]) for X, y, w in chunks]
    doubled = [(X, y, w * 2.0**30) for X, y, w in chunks]
    for same in (copies, present, reversed_rows, halves, doubled):
        assert_array_equal(after(same), expected)
    unweighted = after([(X, y, None) for X, y, _ in chunks])
    assert_array_equal(after([(X, y, np.ones(len(X))) for X, y, _ in chunks]), unweighted)
    assert expected.std() > 0.01 and np.abs(expected - unweighted).max() > 0.01


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_weights_are_on_one_scale_whose_unit_is_the_mean_of_the_first_call(calls, weighting):
    """One step of SGD a call: three times the weight is three times the step."""
    one_step = {"optimizer": torch.optim.SGD, "batch_size": -1, "weighting": weighting, "lr": 0.01}
    first, second, *_ = calls.chunks(np.full(N_ROWS, 7.0))

    def step(weight):
        model = calls.feed(calls.new(**one_step), [first])
        before = copy.deepcopy(model.module_)
        calls.feed(model, [(*second[:2], weight)])
        pairs = zip(model.module_.parameters(), before.parameters())
        return torch.cat([(now - old).detach().ravel() for now, old in pairs])

    assert step(second[2]).abs().max() > 1e-4
    torch.testing.assert_close(step(second[2] * 3), step(second[2]) * 3, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(step(None), step(second[2]) / 7, rtol=1e-3, atol=1e-6)


def test_calls_of_partial_fit_are_this_loop():
    """Written out in float64, for two classes, class weights and full batches."""
    y, class_weight, unit = (noisy > 0.5).astype(int), np.array([1.0, 4.0]), None
    network = nn.Linear(4, 1)
    expected = copy.deepcopy(network).double()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.5)
    model = WeightedTorchClassifier(
        network, class_weight={1: 4}, optimizer=torch.optim.SGD, lr=0.5, batch_size=-1
    )
    for rows, labels, weight in [(X[i::3], y[i::3], WEIGHT[i::3] + 1.0) for i in range(3)]:
        model.partial_fit(rows, labels, [0, 1], weight)
        weight = weight * class_weight[labels]
        unit = unit or weight.mean()
        scores, target = expected(torch.from_numpy(rows))[:, 0], torch.from_numpy(labels).double()
        loss = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
        optimizer.zero_grad()
        (torch.from_numpy(weight / unit) * loss).mean().backward()
        optimizer.step()
    for name, start in network.named_parameters():
        found, wanted = model.module_.get_parameter(name), expected.get_parameter(name)
        assert (wanted - start).abs().max() > 0.05, name
        assert_allclose(found.detach(), wanted.detach(), rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_class_weight_is_the_sample_weight_it_means():
    calls = Calls("classifier")
    chunks = calls.chunks(WEIGHT + 1)
    meant = [(X, y, w * np.array([1, 5, 0.3])[y]) for X, y, w in chunks]
    by_class = calls.after(chunks, class_weight={1: 5, 2: 0.3})
    assert np.abs(by_class - calls.after(chunks)).max() > 0.05
    assert_allclose(by_class, calls.after(meant), rtol=1e-4, atol=1e-5)


def test_class_weights_are_taken_out_again_by_correct_prior():
    calls = Calls("classifier", class_weight={1: 5, 2: 0.3})
    model = calls.feed(calls.new(), calls.chunks())
    weighted = model.decision_function(X)
    corrected = model.set_params(correct_prior=True).decision_function(X)
    assert_allclose(weighted - corrected, np.tile(np.log([1, 5, 0.3]), (N_ROWS, 1)), rtol=1e-6)
    assert_array_equal(model.classes_[corrected.argmax(axis=1)], model.predict(X))


# What calls keep


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("weighting", ["loss", "sampling"])
def test_calls_of_partial_fit_learn_as_a_fit_does(name, weighting):
    calls = Calls(name, weighting=weighting)
    model = calls.new(lr=0.02)
    for _ in range(8):
        calls.feed(model, calls.chunks(np.ones(N_ROWS)))
    score = calls.new(lr=0.02, max_epochs=8).fit(X, calls.y).score(X, calls.y)
    assert model.n_iter_ == len(model.history_) == 8 * N_CHUNKS
    assert model.score(X, calls.y) > score - 0.05 > 0.6


def save_and_load(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("save", [save_and_load, copy.deepcopy])
@pytest.mark.parametrize("begin", ["partial_fit", "fit"])
def test_a_copy_continues_bit_for_bit(calls, save, begin):
    chunks, model = calls.chunks(), calls.new(max_epochs=2)
    model = model.fit(X, calls.y) if begin == "fit" else calls.feed(model, chunks[:2])
    saved = save(model)
    before = calls.predictions(saved)
    assert_array_equal(before, calls.predictions(model))
    calls.feed(model, chunks[2:])
    assert_array_equal(calls.predictions(saved), before)  # nothing is shared
    calls.feed(saved, chunks[2:])
    assert_array_equal(calls.predictions(saved), calls.predictions(model))
    assert np.abs(calls.predictions(saved) - before).max() > 0.01


def test_partial_fit_continues_a_fit(calls):
    fitted = calls.new(max_epochs=5).fit(X, calls.y)
    before, history, chunk = calls.predictions(fitted), list(fitted.history_), calls.chunks()[0]
    calls.feed(fitted, [chunk])
    assert fitted.n_iter_ == 6 and list(fitted.history_)[:5] == history
    alone = calls.feed(calls.new(), [chunk])
    continued, afresh = (np.abs(calls.predictions(m) - before).mean() for m in (fitted, alone))
    assert 0 < continued < afresh / 2


def test_fit_after_partial_fit_starts_afresh(calls):
    model = calls.feed(calls.new(max_epochs=3), calls.chunks())
    fresh = calls.new(max_epochs=3).fit(X[:60], calls.y[:60])
    model.fit(X[:60], calls.y[:60])
    assert model.n_iter_ == 3
    assert_array_equal(calls.predictions(model), calls.predictions(fresh))


def test_random_state_decides_everything_whatever_the_global_seeds(calls):
    after = partial(calls.after, calls.chunks())
    torch.manual_seed(1), np.random.seed(1)
    expected = after(random_state=3)
    torch.manual_seed(2), np.random.seed(2)
    assert_array_equal(after(random_state=3), expected)
    assert np.abs(after(random_state=4) - expected).max() > 1e-3
    by_state = after(random_state=np.random.RandomState(3))
    assert_array_equal(after(random_state=np.random.RandomState(3)), by_state)
    assert np.abs(after(random_state=None) - after(random_state=None)).max() > 1e-3
    model = calls.new()
    orders = [calls.feed(model, [c]).net_.iterator_train__seed for c in calls.chunks()]
    assert len(set(orders)) == N_CHUNKS  # each call has one of its own


def test_the_first_call_decides_the_units_of_a_regression():
    calls = Calls("regressor")
    chunks = calls.chunks(np.ones(N_ROWS))
    model = calls.feed(calls.new(), chunks[:1])
    units, shift = (model.target_location_, model.target_scale_), model.module_.shift.clone()
    assert_allclose(units, (chunks[0][1].mean(), chunks[0][1].std()))
    for _ in range(30):
        calls.feed(model, [(X, y + 1000, w) for X, y, w in chunks[1:]])
    assert (model.target_location_, model.target_scale_) == units
    assert torch.equal(model.module_.shift, shift)  # of the input, as well
    assert abs(model.predict(X).mean() - 1000 - calls.y.mean()) < 100


def test_settings_of_training_may_change_between_calls(calls):
    model = calls.feed(calls.new(), calls.chunks()[:2])
    before = calls.predictions(model)
    calls.feed(model.set_params(lr=1e-12), calls.chunks()[2:3])
    assert_allclose(calls.predictions(model), before, atol=1e-6)
    model.set_params(lr=0.01, optimizer=torch.optim.RMSprop, weighting="sampling", batch_size=8)
    calls.feed(model, calls.chunks()[3:])
    assert np.abs(calls.predictions(model) - before).max() > 0.01


def test_a_sparse_matrix_is_the_same_data(calls):
    holes = np.where(np.abs(X) < 0.5, 0.0, X)
    chunks = [(rows, y, w) for rows, (_, y, w) in zip(np.split(holes, N_CHUNKS), calls.chunks())]
    as_sparse = [(sparse.csr_array(rows), y, w) for rows, y, w in chunks]
    expected = calls.after(chunks)
    for same in (as_sparse, as_sparse[:1] + chunks[1:]):
        # The moments of the columns are summed in another order.
        assert_allclose(calls.after(same), expected, rtol=1e-3, atol=1e-4)


def test_feature_names_are_kept_and_checked(calls):
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = calls.feed(calls.new(), [(frame, calls.y, WEIGHT)] * 2)
    assert_array_equal(model.feature_names_in_, list("abcd"))
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame.rename(columns={"a": "z"}), calls.y)


def test_the_first_rows_may_all_be_of_one_class():
    calls = Calls("classifier")
    order = np.argsort(calls.y, kind="stable")
    model = calls.new(lr=0.02).partial_fit(X[order[:40]], calls.y[order[:40]], [0, 1, 2])
    assert set(calls.y[order[:40]]) == {0} == set(model.predict(X))
    for _ in range(20):
        calls.feed(model, calls.chunks(np.ones(N_ROWS)))
    assert set(model.predict(X)) == {0, 1, 2}
    assert model.score(X, calls.y) > 0.75


def test_labels_need_no_classes_but_may_have_them():
    calls = Calls("labels")
    unannounced = calls.after(calls.chunks())
    calls.first = {"classes": [0, 1]}
    assert_array_equal(calls.after(calls.chunks()), unannounced)


# What calls need, and refuse


@pytest.mark.parametrize(
    ("params", "way_out"),
    [
        ({"class_weight": "balanced"}, "compute_class_weight"),
        ({"class_weight": effective_number(0.9)}, "compute_class_weight"),
        ({"class_weight": ["balanced", None]}, "compute_class_weight"),
        ({"logit_adjustment": 1.0}, "class weights as a dict"),
        ({"early_stopping": True}, "early_stopping=False"),
    ],
    ids=str,
)
def test_there_is_no_partial_fit_with_what_needs_all_rows(params, way_out):
    model = WeightedTorchClassifier(**params)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as caught:
        model.partial_fit
    reason = str(caught.value.__cause__)  # which Python shows above the error
    assert reason.startswith("partial_fit ") and way_out in reason
    assert hasattr(WeightedTorchClassifier(class_weight={0: 2}), "partial_fit")
    assert not hasattr(WeightedTorchRegressor(early_stopping=True), "partial_fit")


class Fails(Callback):
    def on_batch_end(self, net, **kwargs):
        raise RuntimeError("callback")


codes = TARGETS["classifier"]
BAD_CALLS = {  # arguments or settings, and what is said of them
    "features": ({"X": X[:, :3]}, "features"),
    "length": ({"y": codes[:-1]}, "y must have one entry for each of"),
    "infinity": ({"X": X * np.inf}, "infinity"),
    "weights": ({"sample_weight": -np.ones(N_ROWS)}, "sample_weight.*non-negative"),
    "no_weight": ({"sample_weight": np.zeros(N_ROWS)}, "sample_weight.*positive"),
    "columns": ({"y": np.c_[codes, codes]}, "y must"),
    "setting": ({"batch_size": 0}, "batch_size must be"),
    "callback": ({"callbacks": [Fails]}, "callback"),
    "diverges": ({"lr": 1e30}, "smaller lr"),
}
BAD_CALLS_OF_CLASSES = {
    "unknown_class": ({"y": codes + 1}, r"classes among \[0, 1, 2\], got 3"),
    "strings": ({"y": codes.astype(str)}, "y must"),
    "other_classes": ({"classes": [0, 1]}, r"classes must be \[0, 1, 2\]"),
}


def fail(model, bad, **arguments):
    """Make a bad call; settings are again what they were."""
    wrong, match = (BAD_CALLS | BAD_CALLS_OF_CLASSES)[bad]
    settings = {name: value for name, value in wrong.items() if hasattr(model, name)}
    before = {name: getattr(model, name) for name in settings}
    arguments = {"X": X, "y": codes} | arguments | {k: wrong[k] for k in wrong.keys() - settings}
    model.set_params(**settings)
    with pytest.raises((ValueError, RuntimeError), match=match):
        model.partial_fit(**arguments)
    model.set_params(**before)


@pytest.mark.parametrize(
    ("name", "bad"),
    [(name, bad) for name in ("classifier", "regressor") for bad in BAD_CALLS]
    + [("classifier", bad) for bad in BAD_CALLS_OF_CLASSES],
)
def test_a_call_that_fails_leaves_no_trace(name, bad):
    calls = Calls(name)
    chunks = calls.chunks()
    model = calls.feed(calls.new(), chunks[:2])
    before, state = calls.predictions(model), set(model.__dict__)
    fail(model, bad)
    assert set(model.__dict__) == state and model.n_iter_ == 2
    assert_array_equal(calls.predictions(model), before)
    calls.feed(model, chunks[2:])
    expected = calls.feed(calls.new(), chunks)
    assert_array_equal(calls.predictions(model), calls.predictions(expected))
    assert model.n_iter_ == N_CHUNKS


@pytest.mark.parametrize("bad", ["infinity", "length", "weights", "callback"])
def test_a_first_call_that_fails_leaves_no_trace(calls, bad):
    model = calls.new()
    state = set(model.__dict__)
    fail(model, bad, **calls.first)
    assert set(model.__dict__) == state
    with pytest.raises(NotFittedError):
        model.predict(X)
    calls.feed(model, calls.chunks())
    expected = calls.feed(calls.new(), calls.chunks())
    assert_array_equal(calls.predictions(model), calls.predictions(expected))


def test_classes_must_be_announced_in_the_first_call():
    y = TARGETS["classifier"]
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        WeightedTorchClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"classes among \[0, 1\], got 2"):
        WeightedTorchClassifier().partial_fit(X, y, classes=[0, 1])


def test_rows_of_classes_without_weight_alone_are_refused():
    model = WeightedTorchClassifier(class_weight={0: 0})
    with pytest.raises(ValueError, match="class has weight"):
        model.partial_fit(X, np.zeros(N_ROWS), classes=[0, 1])


def test_targets_keep_their_number_of_columns():
    model = WeightedTorchRegressor().partial_fit(X, TARGETS["two_targets"])
    assert model.predict(X).shape == (N_ROWS, 2)
    with pytest.raises(ValueError, match=r"y must have shape \('n_samples', 2\)"):
        model.partial_fit(X, TARGETS["regressor"])
