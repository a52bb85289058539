"""``match_mean=True``: the weighted mean of the predictions equals that of y, exactly."""

import pickle
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from skweight import WeightedTorchClassifier, WeightedTorchRegressor, WeightSearchCV
from skweight.estimators.balance import Balance
from skweight.training import WeightedNet

# Weights are heavy-tailed on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:A few rows have most of the weight")

N = 300
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4)).astype(np.float32)
signal_of_x = X[:, 0] + 0.5 * X[:, 1] ** 2
noisy = signal_of_x + rng.normal(size=N)
amounts = rng.gamma(2.0, np.exp(signal_of_x / 2))
TARGETS = {
    "binary": (noisy > 1).astype(int),
    "classes": np.array(["a", "b", "c"])[np.digitize(noisy, [0, 1.5])],
    "labels": np.c_[noisy > 1, noisy + rng.normal(size=N) > 0, signal_of_x > 1].astype(int),
    "real": 1e4 * noisy + 3e5,
    "counts": rng.poisson(np.exp(signal_of_x / 2)),
    "amounts": 1e-6 * amounts,
    "claims": amounts * (rng.random(N) < 0.6),
    "two_reals": np.c_[noisy, 1e6 + 100 * signal_of_x],
    "two_counts": rng.poisson(np.exp(signal_of_x / 2), size=(2, N)).T,
}
HEAVY = rng.pareto(1.1, N) + 1e-3
COUNTS = rng.integers(0, 4, N)
QUICK = {"max_epochs": 4, "lr": 0.01, "batch_size": 32, "module__hidden_sizes": (8,)}
SMALL = {"n_members": 1, "random_state": 0, "match_mean": True, "device": "cpu"}
# The target and the parameters of a fit.
NUMBERS = {
    "squared_error": ("real", {}),
    "squared_error of two targets": ("two_reals", {}),
    "nn.MSELoss": ("real", {"criterion": nn.MSELoss}),
    "poisson": ("counts", {"criterion": "poisson"}),
    "poisson of two targets": ("two_counts", {"criterion": "poisson"}),
    "nn.PoissonNLLLoss": ("counts", {"criterion": nn.PoissonNLLLoss}),
    "gamma": ("amounts", {"criterion": "gamma"}),
    "tweedie": ("claims", {"criterion": "tweedie", "criterion__power": 1.4}),
    "gaussian_nll": ("real", {"criterion": "gaussian_nll"}),
    "gaussian_nll of two targets": ("two_reals", {"criterion": "gaussian_nll"}),
    "flattened weights": ("counts", {"criterion": "poisson", "sample_weight_power": 0.5}),
    "sampled numbers": ("real", {"weighting": "sampling"}),
    "numbers, stopped early": ("real", {"early_stopping": True}),
    "numbers, members": ("counts", {"criterion": "poisson", "n_members": 3}),
    "two targets, members": ("two_reals", {"n_members": 3}),
}
CLASSES = {
    "one logit": ("binary", {}),
    "two scores": ("binary", {"criterion": nn.CrossEntropyLoss}),
    "three classes": ("classes", {}),
    "labels": ("labels", {}),
    "functions": ("classes", {"criterion": F.cross_entropy, "criterion__reduction": "none"}),
    "function of one logit": (
        "binary",
        {"criterion": F.binary_cross_entropy_with_logits, "criterion__reduction": "none"},
    ),
    "class of one logit": ("labels", {"criterion": nn.BCEWithLogitsLoss}),
    "focal": ("binary", {"criterion": "focal"}),
    "focal of three classes": ("classes", {"criterion": "focal"}),
    "focal of labels": ("labels", {"criterion": "focal", "criterion__gamma": 0.5}),
    "poly_tailed": ("binary", {"criterion": "poly_tailed"}),
    "poly_tailed of labels": ("labels", {"criterion": "poly_tailed"}),
    "balanced": ("binary", {"class_weight": "balanced"}),
    "balanced classes": ("classes", {"class_weight": "balanced", "class_weight_power": 0.5}),
    "balanced labels": ("labels", {"class_weight": "balanced"}),
    "weights of each label": ("labels", {"class_weight": [{1: 3}, None, {0: 0.5}]}),
    "corrected": ("binary", {"class_weight": {1: 5.0}, "correct_prior": True}),
    "corrected classes": ("classes", {"class_weight": "balanced", "correct_prior": True}),
    "corrected labels": ("labels", {"class_weight": "balanced", "correct_prior": True}),
    "adjusted": ("binary", {"logit_adjustment": 1.0}),
    "adjusted classes": ("classes", {"logit_adjustment": 0.7, "class_weight": {"c": 2.0}}),
    "adjusted labels": ("labels", {"logit_adjustment": 1.0}),
    "adjusted and corrected": ("classes", {"logit_adjustment": 1.0, "correct_prior": True}),
    "flattened": ("classes", {"sample_weight_power": 0.5, "class_weight": "balanced"}),
    "sampled classes": ("classes", {"weighting": "sampling", "class_weight": "balanced"}),
    "classes, stopped early": ("classes", {"early_stopping": True}),
    "binary, members": ("binary", {"n_members": 3, "class_weight": "balanced"}),
    "classes, members": ("classes", {"n_members": 3}),
    "labels, members": ("labels", {"n_members": 3, "class_weight": "balanced"}),
}
CASES = NUMBERS | CLASSES
# One of each way in which a shift is solved.
FEW = ["squared_error", "poisson", "gaussian_nll", "one logit", "two scores", "three classes"]
FEW += ["labels", "focal of three classes", "balanced labels", "numbers, members"]


def make(name, **params):
    """The target of a case, and its estimator."""
    target, own = CASES[name]
    kind = WeightedTorchRegressor if name in NUMBERS else WeightedTorchClassifier
    quick = {} if "module" in params else QUICK
    return TARGETS[target], kind(**{**SMALL, **quick, **own, **params})


def fitted(name, weight=HEAVY, **params):
    y, model = make(name, **params)
    return model.fit(X, y, weight)


def predicted(model, X=X):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


def indicators(model, y):
    """What probabilities are to have the mean of; y itself for numbers."""
    if not hasattr(model, "classes_") or y.ndim == 2:
        return y.astype(float)
    return (y[:, None] == model.classes_).astype(float)


def class_factors(model, y):
    """What the weight of each row, or row and label, is multiplied by where predictions hold."""
    if not hasattr(model, "classes_") or model.correct_prior:
        return np.ones(len(y))
    factor = model.class_weight_ * model.class_prior_**-model.logit_adjustment
    if y.ndim == 2:
        return factor[np.arange(y.shape[1]), y]
    return factor[np.searchsorted(model.classes_, y)]


def gaps(model, y, weight, X=X):
    """Differences of the two means: relative ones of shares, else in units of the spread of y."""
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=float)
    weight = weight**model.sample_weight_power
    factors = class_factors(model, y)
    weight = weight.reshape(-1, *[1] * (factors.ndim - 1)) * factors
    expected, found = indicators(model, y), predicted(model, X)
    weight = np.broadcast_to(weight.reshape(len(y), -1), expected.reshape(len(y), -1).shape)
    means = [
        np.array([np.average(v, weights=w) for v, w in zip(a.reshape(len(y), -1).T, weight.T)])
        for a in (expected, found)
    ]
    scale = means[0] if hasattr(model, "classes_") else y.std(axis=0)
    return np.abs(means[1] - means[0]) / scale


# --------------------------------------------------------------------------------------
# Balance
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_weighted_means_of_predictions_and_of_y_are_equal(name):
    model = fitted(name)
    y = TARGETS[CASES[name][0]]
    assert gaps(model, y, HEAVY).max() < 1e-9
    assert all(net.score_shift_.dtype == np.float64 for net in model.nets_)
    unmatched = clone(model).set_params(match_mean=False).fit(X, y, HEAVY)
    assert gaps(unmatched, y, HEAVY).max() > 1e-5
    assert all(net.score_shift_ is None for net in unmatched.nets_)
    assert_array_equal(
        model.nets_[0].history[:, "train_loss"], unmatched.nets_[0].history[:, "train_loss"]
    )


@pytest.mark.parametrize("name", FEW)
def test_it_is_a_shift_of_the_raw_scores_of_the_same_network(name):
    model = fitted(name)
    unmatched = fitted(name, match_mean=False)
    for net, other in zip(model.nets_, unmatched.nets_):
        for tensor, expected in zip(
            net.module_.state_dict().values(), other.module_.state_dict().values()
        ):
            assert torch.equal(tensor, expected)
    order = [
        np.argsort(predicted(m).reshape(N, -1)[:, -1], kind="stable") for m in (model, unmatched)
    ]
    if len(model.nets_) == 1 and model.nets_[0].score_shift_.size == 1:
        assert_array_equal(*order)
    assert np.abs(predicted(model) - predicted(unmatched)).max() > 0


@pytest.mark.parametrize("name", ["binary, members", "classes, members", "numbers, members"])
def test_each_member_is_matched_on_all_rows(name):
    model = fitted(name)
    assert len(model.nets_) == 3
    y = TARGETS[CASES[name][0]]
    weight = HEAVY * class_factors(model, y)
    expected = np.average(indicators(model, y), axis=0, weights=weight)
    for member in model.predict_members(X):
        assert_allclose(np.average(member, axis=0, weights=weight), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["binary, members", "numbers, members", "labels, members"])
def test_predictions_out_of_fold_do_not_know_the_shift(name):
    model, unmatched = fitted(name), fitted(name, match_mean=False)
    assert_array_equal(model.oof_prediction_, unmatched.oof_prediction_)
    assert model.oof_score_ == unmatched.oof_score_


@pytest.mark.parametrize("name", ["real", "counts"])
def test_means_are_equal_where_the_rows_of_early_stopping_are_included_and_X_val_is_not(name):
    y = TARGETS[name]
    criterion = "poisson" if name == "counts" else "squared_error"
    model = WeightedTorchRegressor(criterion=criterion, early_stopping=True, **SMALL | QUICK)
    model.fit(X[:200], y[:200], HEAVY[:200], X_val=X[200:], y_val=y[200:])
    assert gaps(model, y[:200], HEAVY[:200], X[:200]).max() < 1e-9
    assert gaps(model, y, HEAVY).max() > 1e-5


class Wide(nn.Module):
    """A user's network without ``adapt_output``, whose scores begin far from the best."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 8), nn.Tanh(), nn.Linear(8, n_outputs))

    def forward(self, X):
        return 30 * self.layers(X)


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_ones_own_with_saturated_scores_is_matched(name):
    params = {"module": Wide, "max_epochs": 1, "lr": 1e-4}
    y, model = make(name, **params)
    model.fit(X, y, HEAVY)
    assert gaps(model, y, HEAVY).max() < 1e-9


def test_inputs_of_several_kinds_are_matched():
    y = TARGETS["binary"]
    sparse_model = make("one logit")[1].fit(sparse.csr_matrix(X), y, HEAVY)
    assert gaps(sparse_model, y, HEAVY, sparse.csr_matrix(X)).max() < 1e-9
    named = {"a": X[:, :2], "b": X[:, 2:]}

    class Joined(Wide):
        def __init__(self, n_features, n_outputs):
            super().__init__(sum(n_features.values()), n_outputs)

        def forward(self, a, b):
            return super().forward(torch.cat([a, b], dim=1))

    model = make("one logit", module=Joined, max_epochs=1)[1].fit(named, y, HEAVY)
    assert gaps(model, y, HEAVY, named).max() < 1e-9


@pytest.mark.parametrize("n_features", [5, 13, 37])
@pytest.mark.parametrize("target", ["binary", "classes", "two_reals", "labels"])
def test_kernels_that_round_by_the_place_of_a_row_are_no_fault(target, n_features):
    """Those of narrow layers with an odd number of inputs do, on some processors."""
    rows = np.random.default_rng(3).normal(size=(N, n_features)).astype(np.float32)
    weight = np.where(COUNTS > 0, HEAVY, 0)
    kind = WeightedTorchRegressor if target == "two_reals" else WeightedTorchClassifier
    y = TARGETS[target]
    criterion = nn.CrossEntropyLoss if target in ("binary", "classes") else None
    model = kind(nn.Linear, criterion=criterion, max_epochs=2, **SMALL).fit(rows, y, weight)
    assert gaps(model, y, weight, rows).max() < 1e-9


@pytest.mark.parametrize(
    "name", ["squared_error", "poisson", "one logit", "three classes", "labels"]
)
def test_the_loss_of_the_training_rows_gets_no_worse_where_the_mean_is_its_optimum(name):
    """These losses are the smallest, among all shifts, where the means are equal."""
    losses = []
    for match_mean in (False, True):
        model = fitted(name, match_mean=match_mean)
        y = TARGETS[CASES[name][0]]
        if name == "squared_error":
            losses.append(np.average((model.predict(X) - y) ** 2, weights=HEAVY))
        elif name == "poisson":
            mean = model.predict(X)
            losses.append(np.average(mean - y * np.log(mean), weights=HEAVY))
        elif name == "labels":
            p = model.predict_proba(X)
            losses.append(np.average(-np.log(np.where(y, p, 1 - p)).sum(1), weights=HEAVY))
        else:
            losses.append(log_loss(y, model.predict_proba(X), sample_weight=HEAVY))
    unmatched, matched = losses
    assert matched < unmatched
    assert abs(matched - unmatched) < 0.1 * abs(unmatched)


# --------------------------------------------------------------------------------------
# The weight laws
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_the_weight_laws_hold_to_the_bit(name):
    y, model = make(name)

    def fit(X, y, weight=None):
        estimator = clone(model).fit(X, y, weight)
        return [predicted(estimator), *[net.score_shift_ for net in estimator.nets_]]

    def assert_same(found, expected):
        for one, other in zip(found, expected):
            assert_array_equal(one, other)

    by_counts = fit(X, y, COUNTS)
    assert_same(fit(np.repeat(X, COUNTS, axis=0), np.repeat(y, COUNTS, axis=0)), by_counts)
    assert_same(fit(X[COUNTS > 0], y[COUNTS > 0], COUNTS[COUNTS > 0]), by_counts)
    assert_same(fit(X, y, 1024 * COUNTS), by_counts)
    order = np.random.default_rng(1).permutation(N)
    assert_same(fit(X[order], y[order], COUNTS[order]), by_counts)
    assert_same(fit(X, y), fit(X, y, np.ones(N)))
    assert np.abs(fit(X, y)[1] - by_counts[1]).max() > 1e-6


# --------------------------------------------------------------------------------------
# What works with it
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_pickles_and_copies_carry_the_shift(name):
    model = fitted(name)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(predicted(again), predicted(model))
    assert gaps(again, TARGETS[CASES[name][0]], HEAVY).max() < 1e-9
    assert clone(model).match_mean is True
    assert not hasattr(clone(model), "nets_")


@pytest.mark.parametrize("name", ["squared_error", "poisson", "one logit", "three classes"])
def test_the_skorch_net_itself_predicts_with_the_shift(name):
    model = fitted(name)
    of_net = model.net_.predict_proba(X) if name in CLASSES else model.net_.predict(X)
    if name in NUMBERS:
        of_net = of_net[:, 0] * model.target_scale_ + model.target_location_
    assert_allclose(of_net, predicted(model), rtol=2e-4)


def test_scores_and_labels_agree_with_the_probabilities():
    model = fitted("one logit")
    p = model.predict_proba(X)[:, 1]
    assert_allclose(model.decision_function(X), np.log(p / (1 - p)), rtol=1e-9)
    assert_array_equal(model.predict(X), (p > 0.5).astype(int))


def test_the_spread_of_a_gaussian_likelihood_is_left_as_it_is():
    y, model = make("gaussian_nll of two targets")
    mean, std = model.fit(X, y, HEAVY).predict(X, return_std=True)
    other, same = clone(model).set_params(match_mean=False).fit(X, y, HEAVY).predict(X, True)
    assert_array_equal(std, same)
    assert_array_equal(mean, model.predict(X))
    assert_allclose(mean - other, np.tile((mean - other)[0], (N, 1)), rtol=1e-5)


@pytest.mark.parametrize("name", ["poisson", "three classes"])
def test_a_warm_start_solves_the_shift_anew(name):
    y, model = make(name, warm_start=True)
    first = model.fit(X, y, HEAVY).net_.score_shift_
    model.fit(X, y, COUNTS)
    assert gaps(model, y, COUNTS).max() < 1e-9
    assert (model.net_.score_shift_ != first).any()
    model.set_params(match_mean=False).fit(X, y, COUNTS)
    assert model.net_.score_shift_ is None


class Watch(Callback):
    """Keeps whether a shift was there, and what the net said, whenever it is called."""

    def __init__(self, seen):
        self.seen = seen

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.score_shift_)


def test_callbacks_see_networks_without_a_shift():
    seen = []
    y, model = make("one logit", callbacks=[Watch(seen)], warm_start=True)
    model.fit(X, y, HEAVY).fit(X, y, HEAVY)
    assert seen == [None] * 8


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("name", ["one logit", "numbers, members"])
def test_the_network_of_a_fit_that_is_stopped_is_matched_too(name):
    y, model = make(name, callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt, match="fitted"):
        model.fit(X, y, HEAVY)
    assert gaps(model, y, HEAVY).max() < 1e-9


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_second_interrupt_keeps_the_network_and_says_that_it_is_not_matched(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Balance, "_raw_scores", interrupted)
    y, model = make("one logit", callbacks=[Interrupt()])
    with (
        pytest.warns(UserWarning, match="match_mean=True: the means were not matched"),
        pytest.raises(KeyboardInterrupt, match="fitted"),
    ):
        model.fit(X, y, HEAVY)
    assert model.net_.score_shift_ is None
    assert np.isfinite(model.predict_proba(X)).all()


class Steep(Wide):
    """Scores so large that float64 has no number between 0 and what one row adds to a mean."""

    def forward(self, X):
        return 1e17 * super().forward(X)


@pytest.mark.parametrize("name", ["one logit", "three classes", "labels"])
def test_scores_that_cannot_be_shifted_exactly_are_told(name):
    y, model = make(name, module=Steep, max_epochs=1, lr=1e-30)
    with pytest.warns(UserWarning, match=r"^match_mean=True: the weighted mean .* by \d\.\de"):
        model.fit(X, y, HEAVY)
    assert np.isfinite(model.net_.score_shift_).all()


def test_categories_of_a_table_are_matched_also_in_a_search():
    rows = pd.DataFrame({"number": X[:, 0], "letter": np.array([*"abcd"])[rng.integers(0, 4, N)]})
    y, model = make("three classes")
    model.fit(rows, y, HEAVY)
    assert gaps(model, y, HEAVY, rows).max() < 1e-9
    grid = {"class_weight": [None, "balanced"]}
    for search in (WeightSearchCV, GridSearchCV):
        best = search(model, grid, cv=2).fit(rows, y, sample_weight=HEAVY).best_estimator_
        assert gaps(best, y, HEAVY, rows).max() < 1e-9


SEARCHES = {
    "classes": (
        "three classes",
        {"class_weight": [None, "balanced"], "match_mean": [False, True]},
        "neg_log_loss",
    ),
    "prior": (
        "one logit",
        {"class_weight": ["balanced"], "correct_prior": [False, True]},
        "neg_log_loss",
    ),
    "numbers": ("poisson", {"sample_weight_power": [0.5, 1.0]}, "neg_mean_poisson_deviance"),
    "members": ("numbers, members", {"random_state": [0, 1]}, "neg_mean_poisson_deviance"),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_stacked_search_is_that_of_scikit_learn_to_the_bit(name):
    case, grid, scoring = SEARCHES[name]
    y, model = make(case)
    stacked, expected = (
        search(model, grid, cv=3, scoring=scoring).fit(X, y, sample_weight=HEAVY)
        for search in (WeightSearchCV, GridSearchCV)
    )
    assert_array_equal(
        stacked.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert_array_equal(predicted(stacked.best_estimator_), predicted(expected.best_estimator_))
    assert stacked.stacked_.all()
    assert (expected.cv_results_["std_test_score"] > 0).all()


def test_the_shift_is_solved_for_the_prior_of_the_fit():
    """A later change of ``correct_prior`` keeps the shift."""
    y, model = make("one logit", class_weight="balanced")
    before = model.fit(X, y, HEAVY).net_.score_shift_
    model.set_params(correct_prior=True)
    assert gaps(model, y, HEAVY).max() > 1e-9
    model.fit(X, y, HEAVY)
    assert gaps(model, y, HEAVY).max() < 1e-9
    assert (model.net_.score_shift_ != before).any()


# --------------------------------------------------------------------------------------
# What is refused
# --------------------------------------------------------------------------------------

REFUSED = {
    "absolute_error": ("real", {"criterion": "absolute_error"}),
    "huber": ("real", {"criterion": "huber"}),
    "quantile": ("real", {"criterion": "quantile"}),
    "nn.L1Loss": ("real", {"criterion": nn.L1Loss}),
    "nn.HuberLoss": ("real", {"criterion": nn.HuberLoss}),
    "rates": ("counts", {"criterion": nn.PoissonNLLLoss, "criterion__log_input": False}),
    "own of numbers": ("real", {"criterion": lambda z, y: (z - y) ** 2}),
    "logits of numbers": (
        "counts",
        {"criterion": F.binary_cross_entropy_with_logits, "criterion__reduction": "none"},
    ),
    "label smoothing": ("classes", {"criterion__label_smoothing": 0.1}),
    "torch's label smoothing": (
        "classes",
        {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1},
    ),
    "own weights": (
        "classes",
        {"criterion": nn.CrossEntropyLoss, "criterion__weight": torch.ones(3)},
    ),
    "hinge": ("binary", {"criterion": nn.SoftMarginLoss}),
    "own of classes": ("binary", {"criterion": lambda z, y: (z - y) ** 2}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_criteria_whose_best_constant_is_no_mean_are_refused(name):
    target, params = REFUSED[name]
    y = TARGETS[target]
    kind = WeightedTorchRegressor if target in ("real", "counts") else WeightedTorchClassifier
    model = kind(**SMALL | QUICK | params)
    names = (
        r'"squared_error", "poisson", "gamma", "tweedie", "gaussian_nll", nn.MSELoss'
        if kind is WeightedTorchRegressor
        else r'"cross_entropy", "focal", "poly_tailed", nn.CrossEntropyLoss'
    )
    message = rf"^match_mean=True needs a criterion whose best constant .*{names}.*, got criterion="
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, HEAVY)
    assert not hasattr(model, "nets_")
    assert model.set_params(match_mean=False).fit(X, y, HEAVY).net_.score_shift_ is None


@pytest.mark.parametrize(
    ("target", "change", "named"),
    [
        ("labels", lambda y: y * [1, 0, 1], "presence of label 1"),
        ("labels", lambda y: y | [0, 0, 1], "absence of label 2"),
        ("classes", lambda y: y, "class 'c'"),
        ("classes", lambda y: y.astype(object), "class 'c'"),
    ],
)
def test_a_class_without_weight_is_refused_by_name(target, change, named):
    """No finite score gives a mean of 0 or 1."""
    y = change(TARGETS[target])
    weight = np.where(y == "c", 0.0, 1.0) if target == "classes" else np.ones(N)
    model = WeightedTorchClassifier(**SMALL | QUICK)
    with pytest.raises(ValueError, match=f"^match_mean=True needs weight .*, got 0 for {named}"):
        model.fit(X, y, weight)
    assert not hasattr(model, "nets_")


@pytest.mark.parametrize("name", ["squared_error", "one logit"])
def test_partial_fit_is_refused_and_forgets_the_shift(name):
    y, model = make(name)
    model.fit(X, y)
    assert not hasattr(model, "partial_fit")
    assert WeightedNet.score_shift_ is None
    model.set_params(match_mean=False).partial_fit(X, y)
    assert model.net_.score_shift_ is None


@pytest.mark.parametrize("found", [(np.inf, 0.0), (np.nan, 0.0), (0.0, np.nan), (0.0, np.inf)])
def test_a_shift_that_failed_for_a_later_member_is_told(monkeypatch, found):
    """The solver is not known to fail so: what it returns is replaced for the last member."""
    calls, solve = [], WeightedTorchRegressor._matching_shift

    def failing(self, *args):
        calls.append(1)
        shift, gap = solve(self, *args)
        return (torch.full_like(shift, found[0]), found[1]) if len(calls) == 2 else (shift, gap)

    monkeypatch.setattr(WeightedTorchRegressor, "_matching_shift", failing)
    model = WeightedTorchRegressor(n_members=2, match_mean=True, random_state=0, **QUICK)
    with pytest.warns(UserWarning, match="match_mean=True: .* still differs .* by (inf|nan)"):
        model.fit(X, X[:, 0] ** 2)
    assert len(calls) == 2 and np.isfinite(model.predict(X)).all()
