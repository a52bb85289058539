"""How long a network is trained, in how large batches and on which rows, if nothing is said."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from skweight import WeightedTorchClassifier, WeightedTorchRegressor
from skweight.training import resolve_batch_size, resolve_early_stopping, resolve_epochs


def test_batches_are_powers_of_two_that_grow_with_the_rows():
    rows = (10, 1000, 2048, 4095, 4096, 8192, 2 * 10**6)
    assert [resolve_batch_size("auto", n) for n in rows] == [32, 32, 64, 64, 128, 256, 256]
    assert resolve_batch_size(-1, 77) == 77 and resolve_batch_size(5, 77) == 5


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("n_rows", [1, 24, 200, 5000, 10**6])
def test_few_rows_get_updates_enough_and_many_no_more_than_it_takes(n_rows, early_stopping):
    n_batches = -(-n_rows // resolve_batch_size("auto", n_rows))
    epochs = resolve_epochs("auto", n_rows, n_batches, early_stopping)
    assert epochs * n_batches >= (2500 if early_stopping else 60)
    assert epochs >= 20
    assert epochs <= 20 or epochs * n_batches <= 100_000
    assert resolve_epochs(7, n_rows, n_batches, early_stopping) == 7


def test_without_rows_to_stop_by_few_rows_are_not_learnt_by_heart():
    updates = {}
    for n_rows in (10, 40, 100, 160, 200, 400):
        n_batches = -(-n_rows // resolve_batch_size("auto", n_rows))
        updates[n_rows] = n_batches * resolve_epochs("auto", n_rows, n_batches, False)
    assert updates == {10: 60, 40: 60, 100: 80, 160: 100, 200: 140, 400: 260}


def test_one_batch_of_many_rows_gets_as_many_updates_as_batches_of_32_up_to_500():
    assert [resolve_epochs("auto", n, 1, False) for n in (24, 320, 480, 10**6)] == [
        60,
        200,
        300,
        500,
    ]


def test_a_fifth_of_few_rows_is_not_held_out():
    assert [resolve_early_stopping("auto", n) for n in (10, 199, 200, 10**6)] == [
        False,
        False,
        True,
        True,
    ]
    assert resolve_early_stopping(True, 10) and not resolve_early_stopping(False, 10**6)


def rows(n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 3))
    return X, (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_copies_of_rows_change_nothing_of_the_budget(estimator):
    for n_rows, stops in ((50, False), (199, False), (200, True)):
        X, y = rows(n_rows)
        fits = [
            estimator(random_state=0, max_epochs=3, n_members=1).fit(
                np.tile(X, (k, 1)), np.tile(y, k)
            )
            for k in (1, 3)
        ]
        assert [("valid_loss" in model.history_[0]) for model in fits] == [stops, stops]
        assert fits[0].history_[0, "train_batch_count"] == fits[1].history_[0, "train_batch_count"]
        np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


def drawn(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 10))
    return X, 2 * X[:, 0] - X[:, 1] + rng.logistic(size=n_rows)


@pytest.mark.parametrize("estimator", [WeightedTorchClassifier, WeightedTorchRegressor])
def test_few_rows_miss_those_held_out_and_are_soon_learnt_by_heart(estimator):
    """At 40 rows the differences are far larger than those between seeds."""
    is_class = estimator is WeightedTorchClassifier
    X, y = drawn(4000, 99)

    def loss(**params):
        losses = []
        for seed in range(6):
            rows, numbers = drawn(40, seed)
            model = estimator(random_state=seed, n_members=1, **params)
            model.fit(rows, numbers > 0 if is_class else numbers)
            losses.append(
                log_loss(y > 0, model.predict_proba(X))
                if is_class
                else np.mean((y - model.predict(X)) ** 2)
            )
        return np.mean(losses)

    assert loss() < min(loss(early_stopping=True), loss(early_stopping=False, max_epochs=100))


def test_where_every_row_has_a_class_of_its_own_none_is_held_out():
    X, classes = np.tile(rows(100)[0], (3, 1)), np.tile(np.arange(100), 3)
    model = WeightedTorchClassifier(max_epochs=1, random_state=0).fit(X, classes)
    assert "valid_loss" not in model.history_[0]
    with pytest.raises(ValueError, match="early_stopping=True needs a class with two"):
        model.set_params(early_stopping=True).fit(X, classes)


def test_rows_of_the_users_own_end_training_without_another_word():
    X, y = rows(50)
    model = WeightedTorchClassifier(random_state=0, lr=0.02)
    model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert model.history_[0, "valid_loss"] > min(model.history_[:, "valid_loss"])
    assert model.n_iter_ < resolve_epochs("auto", 40, 2, True)


def test_partial_fit_makes_one_pass_over_its_rows():
    X, y = rows(300)
    model = WeightedTorchClassifier(random_state=0).partial_fit(X, y, classes=[0, 1])
    assert "valid_loss" not in model.history_[0] and model.n_iter_ == 1
    with pytest.raises(AttributeError) as caught:
        WeightedTorchClassifier(early_stopping=True).partial_fit(X, y, classes=[0, 1])
    assert 'early_stopping=False or "auto"' in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"batch_size": "all"}, r'batch_size must be an integer >= 1, -1 for all rows, or "auto"'),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"early_stopping": "yes"}, "early_stopping must be True, False or \"auto\", got 'yes'"),
        ({"max_epochs": "many"}, "max_epochs must be an integer >= 1 or \"auto\", got 'many'"),
    ],
)
def test_other_words_than_auto_are_refused(params, expected):
    with pytest.raises(ValueError, match=f"^{expected}"):
        WeightedTorchRegressor(**params).fit(*rows(50))
