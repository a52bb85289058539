"""A fit depends on the weighted data and not on the table, for tables of any kind.

The laws of ``test_weight_laws.py``, bit for bit, in networks, recorded losses and predictions.
"""

import math
from dataclasses import replace

import numpy as np
from drawn_fits import cases, expected_warnings, fit_quietly, losses_of, take
from hypothesis import given
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**16)
# Weights whose sums and halves float64 holds.
COARSE = ["none", "ones", "counts", "booleans", "float32", "exponential", "ratios of 1e12"]


@given(cases(weights=["none"]))
def test_no_weights_are_weights_of_one(case):
    case.assert_same(case.fit(np.ones(case.n_rows)), case.fit(None))


@given(cases(weights=["counts"]), SEEDS)
def test_validation_rows_obey_the_laws_too(case, seed):
    rng = np.random.default_rng(seed)
    rows = np.arange(case.n_rows)
    copies = rng.permutation(np.repeat(rows, case.counts))

    def fit(rows, weight):
        validation = {
            "X_val": take(case.X, rows),
            "y_val": case.y[rows],
            "sample_weight_val": weight,
            "offset_val": None if case.offsets is None else case.offsets[rows],
        }
        model = case.estimator(early_stopping=True, n_members=1)
        return fit_quietly(model, case.X, case.y, case.weight, case.offsets, **validation)

    weighted = fit(rows, case.counts)
    assert np.isfinite(losses_of(weighted.net_, "valid_loss")).all()
    case.assert_same(fit(copies, None), weighted)


@given(cases(weights=["counts"]), SEEDS)
def test_calls_of_partial_fit_obey_the_laws_too(case, seed):
    rng = np.random.default_rng(seed)
    rows = np.arange(case.n_rows)
    copies = rng.permutation(np.repeat(rows, case.counts))
    classes = {"classes": np.unique(case.y)} if case.of_classes and case.y.ndim == 1 else {}
    plain = {"early_stopping": False, "n_members": 1, "ema_decay": "auto"}
    if case.of_classes:
        plain |= {"class_weight": None, "class_weight_power": 1, "logit_adjustment": 0}

    def fit(rows, weight):
        model = case.estimator(**plain)
        for _ in range(2):
            X, y, offset = take(case.X, rows), case.y[rows], case.offsets
            offset = None if offset is None else offset[rows]
            with expected_warnings():
                model.partial_fit(X, y, sample_weight=weight, offset=offset, **classes)
        return model

    case.assert_same(fit(copies, None), fit(rows, case.counts))


@given(cases(weights=["counts"]), SEEDS)
def test_an_integer_weight_is_as_many_copies_in_any_order(case, seed):
    rows = np.random.default_rng(seed).permutation(np.repeat(np.arange(case.n_rows), case.counts))
    case.assert_same(case.fit(None, rows), case.fit(case.counts))


@given(cases())
def test_weight_zero_is_a_missing_row(case):
    kept = np.flatnonzero(case.counts)
    weight = np.where(case.counts > 0, case.numbers, 0)
    case.assert_same(case.fit(weight), case.fit(weight[kept], kept))


@given(cases(), SEEDS)
def test_the_order_of_rows_means_nothing(case, seed):
    order = np.random.default_rng(seed).permutation(case.n_rows)
    weight = None if case.weight is None else case.weight[order]
    case.assert_same(case.fit(weight, order), case.fit(case.weight))


@given(cases(weights=COARSE), st.integers(-900, 900))
def test_a_power_of_two_on_all_weights_changes_nothing(case, exponent):
    case.assert_same(case.fit(np.ldexp(case.numbers, exponent)), case.fit(case.weight))


@given(cases(weights=COARSE), SEEDS)
def test_a_weight_may_be_split_over_copies(case, seed):
    rng = np.random.default_rng(seed)
    rows, parts = [], []
    for row, weight in enumerate(case.numbers):
        while rng.random() < 0.5 and weight > 0:
            part = float(np.float32(weight * rng.uniform(0.5, 1)))  # the rest is exact
            if weight / 2 <= part < weight:
                rows.append(row)
                parts.append(part)
                weight -= part
        rows.append(row)
        parts.append(weight)
    order = rng.permutation(len(rows))
    case.assert_same(case.fit(np.array(parts)[order], np.array(rows)[order]), case.fit(case.weight))


@given(cases(), SEEDS)
def test_copies_weigh_their_exact_sum_rounded_once(case, seed):
    rng = np.random.default_rng(seed)
    case = replace(case, columns=("normal", *case.columns))  # so that these rows are different
    different = np.arange(case.n_kinds)
    rows = np.r_[different, rng.choice(different, 3 * case.n_kinds)]
    parts = case.numbers[rows] * 10.0 ** rng.uniform(-8, 0, len(rows)) / 32
    parts[different] = np.maximum(parts[different], 5e-324)
    total = np.array([math.fsum(parts[rows == row]) for row in different])
    case.assert_same(case.fit(parts, rows), case.fit(total, different))


@given(
    cases(weights=COARSE, of_classes=True),
    st.lists(st.sampled_from([1.0, 2.0, 0.25, 2.0**-30, 2.0**20]), min_size=4, max_size=4),
)
def test_a_class_weight_is_the_sample_weight_that_it_means(case, factors):
    if case.y.ndim == 2:  # one weight per row and label
        return
    classes, codes = np.unique(case.y, return_inverse=True)
    plain = dict.fromkeys(["sample_weight_power", "class_weight_power"], 1)
    plain |= {"logit_adjustment": 0, "correct_prior": False}
    by_class = case.fit(case.weight, class_weight=dict(zip(classes, factors)), **plain)
    by_row = case.fit(case.numbers * np.array(factors)[codes], class_weight=None, **plain)
    case.assert_same(by_class, by_row)
