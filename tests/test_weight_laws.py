"""A fit depends on the weighted data, not on the table: exact laws, bit for bit.

Every law holds for both estimators, in mini-batches, shuffled, with early stopping off
and on. What weights mean in detail is in ``test_sample_weight.py``; that they lead to the right
answer in ``test_minibatch.py`` and ``test_against_sklearn.py``.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight
from skorch.callbacks import Callback
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

# 420 rows each; the last problem has 40 distinct ones.
PROBLEMS = ["binary", "classes3", "regression", "few_distinct"]


def own_loss(output, target):
    """A user's criterion: absolute error or, for classes, a squared margin."""
    return (output.reshape(len(output), -1).mean(1) - target.reshape(len(target), -1).mean(1)) ** 4


@pytest.fixture
def few_distinct():
    rng = np.random.default_rng(3)
    kinds = rng.normal(size=(40, 8))
    kind = rng.integers(0, 40, 420)
    return kinds[kind], (kind % 3 == 0).astype(int), rng.integers(0, 4, 420)


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return request.param, *request.getfixturevalue(request.param)


@pytest.fixture(
    params=[(False, 1), (True, 1), (True, 3)], ids=["no_stopping", "early_stopping", "members"]
)
def fit(request, problem):
    """Fit to a version of the data; return 100 or more predictions, then the history."""
    name, X_fixed, *_ = problem
    estimator = WeightedTorchRegressor if name == "regression" else WeightedTorchClassifier

    def predictions(X, y, sample_weight=None, **params):
        settings = {"batch_size": 32, "max_epochs": 6, "lr": 0.01, "random_state": 0} | params
        stops, n_members = request.param
        settings |= {"early_stopping": stops, "n_members": n_members}
        model = estimator(n_iter_no_change=3, **settings)
        model.fit(X, y, sample_weight)
        predict = getattr(model, "predict_proba", model.predict)
        recorded = ["train_loss", "valid_loss"] if stops else ["train_loss"]
        losses = [net.history[:, name] for net in model.nets_ for name in recorded]
        return np.concatenate([predict(X_fixed[:100]).ravel(), *losses])

    return predictions


def test_no_weights_are_weights_of_one(problem, fit):
    _, X, y, _ = problem
    unweighted = fit(X, y)
    assert unweighted.std() > 0.01
    assert_array_equal(fit(X, y, np.ones(len(y))), unweighted)
    assert_array_equal(fit(X, y, np.full(len(y), 7, dtype=np.int32)), unweighted)


def test_weights_change_the_fit(problem, fit):
    _, X, y, weight = problem
    assert np.abs(fit(X, y, weight)[:100] - fit(X, y)[:100]).max() > 0.01


@pytest.mark.parametrize("factor", [1024.0, 2.0**-40])
def test_a_power_of_two_on_all_weights_changes_nothing(problem, fit, factor):
    _, X, y, _ = problem
    weight = np.random.default_rng(4).exponential(size=len(y))
    assert_array_equal(fit(X, y, weight * factor), fit(X, y, weight))


@pytest.mark.parametrize("factor", [1000.0, 1e-6])
def test_any_factor_on_all_weights_changes_no_more_than_rounding(problem, fit, factor):
    _, X, y, _ = problem
    weight = np.random.default_rng(4).exponential(size=len(y))
    np.testing.assert_allclose(fit(X, y, weight * factor), fit(X, y, weight), rtol=1e-5, atol=1e-5)


def test_weight_zero_is_a_missing_row(problem, fit):
    _, X, y, weight = problem
    kept = weight > 0
    assert 0 < kept.sum() < len(y)
    assert_array_equal(fit(X, y, weight), fit(X[kept], y[kept], weight[kept]))


def test_an_integer_weight_is_as_many_copies(problem, fit):
    _, X, y, weight = problem
    assert_array_equal(fit(X, y, weight), fit(np.repeat(X, weight, 0), np.repeat(y, weight)))


def test_the_order_of_rows_means_nothing(problem, fit):
    _, X, y, _ = problem
    weight = np.random.default_rng(4).exponential(size=len(y))
    order = np.random.default_rng(5).permutation(len(y))
    assert_array_equal(fit(X[order], y[order], weight[order]), fit(X, y, weight))


def test_a_weight_may_be_split_over_two_copies(problem, fit):
    _, X, y, weight = problem
    first = weight * 0.25  # exact in binary
    twice = np.concatenate([first, weight - first])
    assert_array_equal(fit(np.r_[X, X], np.r_[y, y], twice), fit(X, y, weight))


def test_the_sign_of_a_zero_means_nothing(problem, fit):
    _, X, y, weight = problem
    X = np.where(np.abs(X) < 0.7, 0.0, X)
    X, y, weight = np.r_[X, X], np.r_[y, y], np.r_[weight, weight]
    minus = np.random.default_rng(6).random(X.shape) < 0.5  # other ones in copies of a row
    signed = np.where((X == 0) & minus, -0.0, X)
    assert 0.3 < np.signbit(signed[X == 0]).mean() < 0.7
    expected = fit(X, y, weight)
    assert fit(signed, y, weight).tobytes() == expected.tobytes()
    assert fit(sparse.csr_array(X), y, weight).tobytes() == expected.tobytes()
    assert fit(sparse.csr_array(signed), y, weight).tobytes() == expected.tobytes()


def test_the_sign_of_a_zero_means_nothing_in_targets_and_in_prediction(regression):
    X, y, weight = regression
    X, y = np.where(np.abs(X) < 0.7, 0.0, X), np.where(np.abs(y) < 0.5, 0.0, y)
    minus = np.where(X == 0, -0.0, X)
    settings = {"batch_size": 32, "max_epochs": 6, "lr": 0.01, "random_state": 0}
    model = WeightedTorchRegressor(**settings).fit(np.r_[X, X], np.r_[y, y], np.r_[weight, weight])
    signed = np.r_[y, np.where(y == 0, -0.0, y)]
    again = WeightedTorchRegressor(**settings).fit(np.r_[X, X], signed, np.r_[weight, weight])
    assert np.signbit(signed).sum() > np.signbit(y).sum() * 2
    for version in (X, minus, sparse.csr_array(X)):
        assert again.predict(version).tobytes() == model.predict(X).tobytes()


@pytest.mark.filterwarnings("ignore:sample_weight_power=0.5 acts on the total weight")
def test_powers_below_one_keep_the_laws(problem, fit):
    _, X, y, weight = problem
    flat = fit(X, y, weight, sample_weight_power=0.5)
    assert np.abs(flat[:100] - fit(X, y, weight)[:100]).max() > 1e-3
    copies = fit(np.repeat(X, weight, 0), np.repeat(y, weight), sample_weight_power=0.5)
    assert_array_equal(copies, flat)


def test_a_sparse_matrix_is_the_same_data(problem, fit):
    _, X, y, weight = problem
    X = np.where(np.abs(X) < 0.5, 0.0, X)
    sparse_fit = fit(sparse.csr_matrix(X), y, weight)
    # The moments of the columns are summed in another order.
    np.testing.assert_allclose(sparse_fit, fit(X, y, weight), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("module", [None, "dropout", "batch_norm"])
def test_copies_law_holds_for_modules_with_random_or_batch_dependent_parts(problem, fit, module):
    name, X, y, weight = problem
    n_outputs = 3 if name == "classes3" else 1
    modules = {
        "dropout": nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, n_outputs)),
        "batch_norm": nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, n_outputs)),
    }
    module = modules.get(module)
    weighted = fit(X, y, weight, module=module)
    copies = fit(np.repeat(X, weight, 0), np.repeat(y, weight), module=module)
    assert_array_equal(copies, weighted)


@pytest.mark.parametrize("criterion", [nn.L1Loss, nn.HuberLoss, own_loss])
def test_copies_law_holds_under_every_kind_of_criterion(regression, criterion):
    X, y, weight = regression
    settings = {"criterion": criterion, "batch_size": 32, "max_epochs": 4, "random_state": 0}
    y = y / np.abs(y).max()
    weighted = WeightedTorchRegressor(**settings).fit(X, y, weight).predict(X)
    copies = WeightedTorchRegressor(**settings).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert weighted.std() > 0.01
    assert_array_equal(copies.predict(X), weighted)


# --------------------------------------------------------------------------------------
# Class weights
# --------------------------------------------------------------------------------------

CLASSIFICATIONS = ["binary", "classes3", "few_distinct"]


def classifier_fit(X, y, sample_weight=None, **params):
    settings = {"batch_size": 32, "max_epochs": 6, "lr": 0.01, "random_state": 0} | params
    return WeightedTorchClassifier(**settings).fit(X, y, sample_weight)


@pytest.fixture(params=CLASSIFICATIONS)
def classification(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("stop", [False, True])
def test_a_class_weight_is_the_sample_weight_it_means(classification, stop):
    X, y, weight = classification
    class_weight = {0: 0.3, 1: 5}
    meant = weight * np.array([0.3, 5, 1])[y]
    by_class = classifier_fit(X, y, weight, class_weight=class_weight, early_stopping=stop)
    by_row = classifier_fit(X, y, meant, early_stopping=stop)
    assert np.abs(by_class.predict_proba(X) - classifier_fit(X, y).predict_proba(X)).max() > 0.05
    assert_array_equal(by_class.predict_proba(X), by_row.predict_proba(X))


@pytest.mark.parametrize("stop", [False, True])
def test_balanced_with_weights_is_balanced_on_copies(classification, stop):
    X, y, weight = classification
    weighted = classifier_fit(X, y, weight, class_weight="balanced", early_stopping=stop)
    copies = classifier_fit(
        np.repeat(X, weight, 0),
        np.repeat(y, weight),
        class_weight="balanced",
        early_stopping=stop,
    )
    assert_array_equal(weighted.class_weight_, copies.class_weight_)
    assert_array_equal(weighted.predict_proba(X), copies.predict_proba(X))


def test_balanced_is_the_dict_that_scikit_learn_computes(binary):
    X, y, _ = binary
    computed = compute_class_weight("balanced", classes=np.unique(y), y=y)
    balanced = classifier_fit(X, y, class_weight="balanced")
    np.testing.assert_allclose(balanced.class_weight_, computed, rtol=1e-15)
    as_dict = classifier_fit(X, y, class_weight=dict(enumerate(computed)))
    assert_array_equal(balanced.predict_proba(X), as_dict.predict_proba(X))


def test_class_weight_zero_is_a_class_without_rows(classes3):
    X, y, _ = classes3
    dropped = classifier_fit(X, y, class_weight={2: 0})
    zeroed = classifier_fit(X, y, (y != 2).astype(float))
    assert_array_equal(dropped.classes_, [0, 1, 2])
    assert_array_equal(dropped.predict_proba(X), zeroed.predict_proba(X))
    assert dropped.predict_proba(X)[:, 2].max() < 0.01


def test_a_class_without_weight_stays_in_classes_and_breaks_nothing(classes3):
    X, y, _ = classes3
    weight = (y != 1).astype(float)
    model = classifier_fit(X, y, weight, class_weight="balanced")
    assert_array_equal(model.classes_, [0, 1, 2])
    assert np.isfinite(model.predict_proba(X)).all()
    assert set(model.predict(X)) == {0, 2}


def test_a_callable_gets_weighted_counts_that_know_no_scale(binary):
    X, y, weight = binary
    seen = []

    def inverse_root(counts):
        seen.append(counts)
        return counts**-0.5

    called = classifier_fit(X, y, weight, class_weight=inverse_root)
    power = classifier_fit(X, y, weight, class_weight="balanced", class_weight_power=0.5)
    np.testing.assert_allclose(called.predict_proba(X), power.predict_proba(X), atol=1e-5)
    classifier_fit(np.repeat(X, weight, 0), np.repeat(y, weight), class_weight=inverse_root)
    classifier_fit(X, y, weight * 1e6, class_weight=inverse_root)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-14)
    np.testing.assert_allclose(seen[2], seen[0], rtol=1e-14)
    assert seen[0].sum() == pytest.approx((weight > 0).sum())


def test_weights_near_the_end_of_float64_meet_class_weights(binary):
    X, y, weight = binary
    huge = np.ldexp(weight.astype(float), 1010)
    expected = classifier_fit(X, y, weight, class_weight={0: 1024})
    found = classifier_fit(X, y, huge, class_weight={0: 1024})
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


def test_class_weight_power_zero_takes_class_weights_away(binary):
    X, y, weight = binary
    none = classifier_fit(X, y, weight, class_weight="balanced", class_weight_power=0)
    assert_array_equal(none.predict_proba(X), classifier_fit(X, y, weight).predict_proba(X))


# --------------------------------------------------------------------------------------
# Validation rows
# --------------------------------------------------------------------------------------


def test_copies_of_a_row_never_sit_on_both_sides_of_the_validation_split(few_distinct):
    X, y, _ = few_distinct

    class Spy(Callback):
        def on_train_begin(self, net, **kwargs):
            train, valid = net.get_split_datasets(kwargs["X"])
            sides = [
                {row.tobytes() for row in part.X[part.index].numpy()} for part in (train, valid)
            ]
            assert len(sides[0]) == len(train) and len(sides[1]) == len(valid) >= 4
            assert not sides[0] & sides[1]
            met.append(len(train) + len(valid))

    met = []
    classifier_fit(X, y, early_stopping=True, callbacks=[Spy])
    assert met == [len(np.unique(np.c_[X, y], axis=0))]
