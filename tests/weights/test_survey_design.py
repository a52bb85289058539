"""Replicate weights of a design, against examples by hand and the variance formulas of totals."""

import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skweight import bootstrap_weights, brr_weights, jackknife_weights
from skweight.weights.hadamard import hadamard_rows


def variance(replicates, statistic, of_all):
    """The variance of a statistic of weights about its value of all rows."""
    deviations = [statistic(weight) - of_all for weight in replicates.weights.T]
    return float(replicates.scale @ np.square(deviations))


def survey(seed, sizes, rows_per_cluster=4):
    """Strata, clusters, weights and y; clusters are numbered within strata, rows are shuffled."""
    rng = np.random.default_rng(seed)
    pairs = [(h, i) for h, size in enumerate(sizes) for i in range(size)]
    rows = [pair for pair in pairs for _ in range(rng.integers(1, 2 * rows_per_cluster))]
    strata, clusters = np.array([*rng.permutation(rows)]).T
    y = 3.0 + strata + rng.normal(size=len(rows)) + rng.normal(size=99)[clusters]
    return strata, clusters, rng.exponential(size=len(rows)) * (rng.random(len(rows)) > 0.1), y


def cluster_totals(strata, clusters, weight, y):
    """Weighted totals of the clusters of each stratum, as a list of arrays."""
    return [
        np.array([(weight * y)[(strata == h) & (clusters == i)].sum() for i in of_stratum])
        for h in np.unique(strata)
        for of_stratum in [np.unique(clusters[strata == h])]
    ]


def linearised(totals):
    """The variance formula of a total."""
    return sum(len(z) / (len(z) - 1) * np.square(z - z.mean()).sum() for z in totals)


def centred_deviation(totals, h):
    """The squared deviation of the one cluster of stratum h from the mean cluster, as it counts."""
    z = np.concatenate(totals)
    return len(z) / (len(z) - 1) * (totals[h][0] - z.mean()) ** 2


# The jackknife


def test_the_jackknife_leaves_out_one_cluster_after_the_other():
    strata = ["b", "a", "a", "b", "b", "a", "b"]
    clusters = [1, 1, 2, 2, 3, 1, 1]
    weight = np.array([1.0, 2, 3, 4, 5, 6, 7])
    replicates = jackknife_weights(strata, clusters, weight)
    factors = [
        [1, 1, 0, 1.5, 1.5],
        [0, 2, 1, 1, 1],
        [2, 0, 1, 1, 1],
        [1, 1, 1.5, 0, 1.5],
        [1, 1, 1.5, 1.5, 0],
        [0, 2, 1, 1, 1],
        [1, 1, 0, 1.5, 1.5],
    ]
    assert_array_equal(replicates.weights, weight[:, None] * factors)
    assert replicates.method == "jkn" and replicates.degrees_of_freedom == 3
    assert_allclose(replicates.scale, [1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3], rtol=1e-15)


@pytest.mark.parametrize("strata", [None, ["all", "all", "all"]])
def test_the_jackknife_of_one_stratum_has_one_factor(strata):
    replicates = jackknife_weights(strata, None, [1, 2, 4])
    assert_array_equal(replicates.weights, [[0, 1.5, 1.5], [3, 0, 3], [6, 6, 0]])
    assert replicates.method == "jk1" and replicates.degrees_of_freedom == 2
    assert_allclose(replicates.scale, 2 / 3, rtol=1e-15)


@pytest.mark.parametrize("sizes", [[2, 2, 2], [5, 2, 3, 9], [7]])
def test_the_jackknife_of_a_total_is_the_formula(sizes):
    strata, clusters, weight, y = survey(0, sizes)
    replicates = jackknife_weights(strata, clusters, weight)
    found = variance(replicates, lambda w: w @ y, weight @ y)
    assert_allclose(found, linearised(cluster_totals(strata, clusters, weight, y)), rtol=1e-12)
    assert found > 1


def test_the_jackknife_of_a_mean_is_near_the_linearised_formula():
    strata, clusters, weight, y = survey(1, [40, 60], rows_per_cluster=9)
    mean = np.average(y, weights=weight)
    replicates = jackknife_weights(strata, clusters, weight)
    found = variance(replicates, lambda w: np.average(y, weights=w), mean)
    scores = (y - mean) / weight.sum()
    expected = linearised(cluster_totals(strata, clusters, weight, scores))
    assert_allclose(found, expected, rtol=0.05)


# Balanced repeated replication


def test_replicates_of_two_strata_are_the_half_samples():
    replicates = brr_weights([1, 1, 2, 2], ["p", "q", "p", "q"], [1, 1, 1, 1])
    halves = {tuple(column) for column in replicates.weights.T.tolist()}
    assert halves == {(2, 0, 2, 0), (2, 0, 0, 2), (0, 2, 2, 0), (0, 2, 0, 2)}
    assert replicates.scale.tolist() == [0.25] * 4 and replicates.degrees_of_freedom == 2


@pytest.mark.parametrize(("n_strata", "order"), [(1, 4), (3, 4), (4, 8), (51, 52), (91, 96)])
@pytest.mark.parametrize("fay", [0.0, 0.3])
def test_brr_of_a_total_is_the_paired_formula_and_balances_fully(n_strata, order, fay):
    strata, clusters, weight, y = survey(2, [2] * n_strata, rows_per_cluster=2)
    replicates = brr_weights(strata, clusters, weight, fay)
    assert replicates.weights.shape[1] == order and replicates.method == "brr"
    totals = cluster_totals(strata, clusters, weight, y)
    expected = sum((first - second) ** 2 for first, second in totals)
    assert_allclose(variance(replicates, lambda w: w @ y, weight @ y), expected, rtol=1e-10)
    assert_allclose(replicates.weights.mean(axis=1), weight, rtol=1e-13)
    assert_allclose(replicates.weights.min(), fay * weight.min(), atol=1e-12)
    assert expected > 1


def test_hadamard_rows_are_orthogonal_to_each_other_and_to_ones():
    """From every construction: doubling, both of Paley, fields of prime powers, products."""
    reached = []
    for n_rows in [1, 2, 3, 4, 11, 19, 27, 35, 51, 91, 99, 115, 155, 243]:
        rows = hadamard_rows(n_rows).astype(int)
        order = rows.shape[1]
        assert {*rows.ravel()} == {-1, 1} and (rows.sum(axis=1) == 0).all()
        assert_array_equal(rows @ rows.T, order * np.eye(n_rows))
        reached.append(order)
    assert reached == [4, 4, 4, 8, 12, 20, 28, 36, 52, 96, 100, 120, 160, 244]


# The bootstrap


def test_the_bootstrap_draws_one_cluster_less_than_there_are():
    strata, clusters, weight, _ = survey(3, [2, 3, 5])
    replicates = bootstrap_weights(strata, clusters, weight, 60, 0)
    used = weight > 0
    factors = replicates.weights[used] / weight[used, None]
    assert replicates.method == "bootstrap" and replicates.degrees_of_freedom == 7
    assert_array_equal(replicates.scale, np.full(60, 1 / 60))
    for h, size in enumerate([2, 3, 5]):
        chosen = strata[used] == h
        draws = factors[chosen] * (size - 1) / size
        assert_allclose(draws, draws.round(), atol=1e-12)
        _, first = np.unique(clusters[used][chosen], return_index=True)
        assert len(first) == size
        assert_allclose(draws[first].sum(axis=0), size - 1)
        assert len(np.unique(draws[first], axis=1).T) > 1


def assert_bootstrap_variance(design, expected, of_all, y, **options):
    """The mean over replicates, within five standard errors of this mean."""
    replicates = bootstrap_weights(*design, 20_000, 0, **options)
    squares = np.square(y @ replicates.weights - of_all)
    error = squares.std() / math.sqrt(len(squares))
    assert error < 0.02 * expected
    assert abs(squares.mean() - expected) < 5 * error
    total = y @ replicates.weights
    assert abs(total.mean() - of_all) < 5 * total.std() / math.sqrt(len(total))


@pytest.mark.parametrize("sizes", [[2, 2, 2], [5, 2, 3], [7]])
def test_the_bootstrap_of_a_total_has_the_variance_of_the_formula(sizes):
    *design, y = survey(4, sizes)
    expected = linearised(cluster_totals(*design, y))
    assert_bootstrap_variance(design, expected, design[2] @ y, y)


def test_a_random_state_fixes_the_draws():
    *design, _ = survey(5, [4, 4])
    first, again, other = (bootstrap_weights(*design, 9, seed).weights for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert (first != other).any()
    for kind in (np.random.default_rng, np.random.RandomState):
        state = kind(3)
        drawn = [bootstrap_weights(*design, 9, state).weights for _ in range(2)]
        assert (drawn[0] != drawn[1]).any()
        assert_array_equal(drawn[0], bootstrap_weights(*design, 9, kind(3)).weights)
    assert bootstrap_weights(*design).weights.shape[1] == 200


# Strata with a single cluster

SINGLE = {"sizes": [4, 1, 6, 3, 1, 8], "single": [1, 4]}


def test_a_single_cluster_is_centred_at_the_mean_cluster_by_the_jackknife():
    *design, y = survey(6, SINGLE["sizes"])
    y = np.where(np.isin(design[0], SINGLE["single"]), 10 * y, y)
    totals = cluster_totals(*design, y)
    replicates = jackknife_weights(*design, single_cluster="center")
    assert replicates.method == "jkn" and replicates.weights.shape[1] == 23
    assert replicates.degrees_of_freedom == 23 - 6
    expected = linearised([z for z in totals if len(z) > 1])
    added = [centred_deviation(totals, h) for h in SINGLE["single"]]
    assert min(added) > 0.01 * expected
    found = variance(replicates, lambda w: w @ y, design[2] @ y)
    assert_allclose(found, expected + sum(added), rtol=1e-12)


def test_a_single_cluster_is_centred_in_the_bootstrap_up_to_its_share_of_the_clusters():
    *design, y = survey(7, [9, 12, 1])
    y = np.where(design[0] == 2, 10 * y, y)
    totals = cluster_totals(*design, y)
    n, added = 22, centred_deviation(totals, 2)
    ordinary = linearised(totals[:2])
    expected = ordinary * (1 + 1 / (n * (n - 1))) + added
    assert added > 0.05 * expected
    assert_bootstrap_variance(design, expected, design[2] @ y, y, single_cluster="center")


@pytest.mark.parametrize("fay", [0.0, 0.5])
def test_a_single_cluster_is_centred_in_brr_up_to_its_share_of_the_clusters(fay):
    *design, y = survey(8, [2] * 30 + [1])
    y = np.where(design[0] == 30, 40 * y, y)
    totals = cluster_totals(*design, y)
    replicates = brr_weights(*design, fay, single_cluster="center")
    found = variance(replicates, lambda w: w @ y, design[2] @ y)
    ordinary, added = linearised(totals[:30]), centred_deviation(totals, 30)
    assert added > 0.5 * ordinary
    assert_allclose(found, ordinary + added, atol=2 / 61 * ordinary)
    assert replicates.weights.min() >= 0 and replicates.degrees_of_freedom == 30


@pytest.mark.parametrize("make", [jackknife_weights, brr_weights])
def test_a_mean_sees_a_centred_cluster_as_its_linearised_score(make):
    """Scores of a mean sum to 0: centred at the mean cluster, the cluster counts its own square."""
    strata, clusters, weight, _ = survey(9, [2] * 40 + [1], rows_per_cluster=9)
    y = 1.0 * (strata == 40)  # varies between strata only
    mean = np.average(y, weights=weight)
    scores = cluster_totals(strata, clusters, weight, (y - mean) / weight.sum())
    replicates = make(strata, clusters, weight, single_cluster="center")
    found = variance(replicates, lambda w: np.average(y, weights=w), mean)
    assert_allclose(found, centred_deviation(scores, 40) + linearised(scores[:40]), rtol=0.15)


@pytest.mark.parametrize("make", [jackknife_weights, brr_weights, bootstrap_weights])
def test_a_cluster_of_certainty_keeps_its_weights(make):
    strata, clusters, weight, _ = survey(10, [2, 1, 2, 2])
    replicates = make(strata, clusters, weight, single_cluster="certainty")
    certain = strata == 1
    expected = np.repeat(weight[certain, None], replicates.weights.shape[1], axis=1)
    assert_array_equal(replicates.weights[certain], expected)
    others = ~certain & (weight > 0)
    assert (replicates.weights[others] != weight[others, None]).any(axis=0).all()
    assert replicates.degrees_of_freedom == 3


def test_without_single_clusters_it_does_not_matter_what_is_done_about_them():
    *design, _ = survey(11, [2, 2, 2])
    for make in (jackknife_weights, brr_weights):
        weights = [make(*design, single_cluster=c).weights for c in ("error", "center")]
        assert_array_equal(*weights)


# What holds for all three

MAKERS = {
    "jackknife": jackknife_weights,
    "brr": brr_weights,
    "fay": lambda *design, **kw: brr_weights(*design, 0.5, **kw),
    "bootstrap": lambda *design, **kw: bootstrap_weights(*design, 30, 0, **kw),
}


@pytest.mark.parametrize("single_cluster", ["error", "center"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_order_of_rows_means_nothing(make, single_cluster):
    strata, clusters, weight, _ = survey(12, [2] * 5 + [1] * (single_cluster == "center"))
    order = np.random.default_rng(0).permutation(len(strata))
    design = strata, clusters, weight
    before = make(*design, single_cluster=single_cluster)
    after = make(*(values[order] for values in design), single_cluster=single_cluster)
    assert_array_equal(after.weights, before.weights[order])
    assert_array_equal(after.scale, before.scale)
    assert (before.weights != weight[:, None]).any()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_labels_may_be_of_any_kind(make):
    strata, clusters, weight, _ = survey(13, [2, 2, 2])
    expected = make(strata, clusters, weight)
    names = np.array(["east", "north", "west"])[strata]
    letters = np.array(list("ab"))[clusters]
    for of_strata, of_clusters in [
        (names, letters),
        (pd.Series(names, index=np.arange(len(names))[::-1]), pd.Series(letters, dtype="category")),
        (names.astype(object), letters.tolist()),
        (strata.astype(float), clusters == 1),
        (pd.array(strata, dtype="Int64"), clusters.astype("M8[D]")),
    ]:
        assert_array_equal(make(of_strata, of_clusters, weight).weights, expected.weights)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_one_label_in_two_strata_is_two_clusters(make):
    strata, clusters, weight, _ = survey(14, [2, 2, 2])
    apart = make(strata, 10 * strata + clusters, weight)
    assert_array_equal(make(strata, clusters, weight).weights, apart.weights)


def test_clusters_without_weight_are_clusters_of_the_design():
    """As when the standard error is about a part of the population."""
    strata, clusters, weight, y = survey(15, [3, 4])
    domain = weight * (clusters < 2)
    replicates = jackknife_weights(strata, clusters, domain)
    assert replicates.weights.shape[1] == 7 and replicates.degrees_of_freedom == 5
    found = variance(replicates, lambda w: w @ y, domain @ y)
    totals = cluster_totals(strata, clusters, domain, y)
    assert [(z == 0).sum() for z in totals] == [1, 2]
    assert_allclose(found, linearised(totals), rtol=1e-12)


def test_without_weights_each_row_weighs_one():
    replicates = jackknife_weights([1, 1, 2, 2], None, None)
    assert_array_equal(replicates.weights, jackknife_weights([1, 1, 2, 2], None, [1] * 4).weights)
    assert replicates.weights.sum() == 16


@pytest.mark.parametrize("scale", [2.0**1000, 2.0**-900])
def test_weights_may_be_on_any_scale(scale):
    *design, weight, _ = survey(16, [2, 2])
    expected = brr_weights(*design, weight).weights
    with np.errstate(all="raise"):
        found = brr_weights(*design, weight * scale).weights
    assert_array_equal(found, expected * scale)


GOOD = ["a", "a", "b", "b"], [1, 2, 1, 2], [1, 1, 1, 1]


def changed(**changes):
    """The good arguments, with others in the place of these."""
    names = "strata", "clusters", "sample_weight"
    return tuple(changes.get(name, good) for name, good in zip(names, GOOD))


SINGLES = [*"abcdefghh"]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("design", "error", "came"),
    [
        (changed(strata=["a"]), ValueError, r"strata must have one .* \(4,\), got shape \(1,\)"),
        (changed(clusters=[[1, 2]] * 4), ValueError, r"clusters must .* got shape \(4, 2\)"),
        (changed(clusters=[[1], [1, 2], 3, 4]), (ValueError, TypeError), "clusters must "),
        (changed(strata="region"), TypeError, r"strata must .* 'region'\. Pass the column itself"),
        (changed(strata=["a", None, "b", "b"]), ValueError, "strata .* got None at position 1"),
        (changed(strata=["a", math.nan, "b", "b"]), ValueError, "strata .* got nan at position 1"),
        (changed(clusters=[1, 2, 1, math.nan]), ValueError, "clusters .* got nan at position 3"),
        (changed(clusters=pd.array([1, 2, None, 1])), ValueError, "clusters .* at position 2"),
        (changed(clusters=[1, "a", 1, 2]), TypeError, "clusters must hold labels of one kind"),
        (
            changed(strata=np.ma.array([1, 1, 2, 2], mask=[0, 0, 0, 1])),
            ValueError,
            "strata must hold no masked values",
        ),
        (changed(sample_weight=[1, 1]), ValueError, r"strata must have one .* got shape \(4,\)"),
        (changed(sample_weight=[1, -1, 1, 1]), ValueError, "sample_weight must be non-negative"),
        (changed(sample_weight=3.0), TypeError, r"sample_weight must have one .* got 3\.0"),
        ((None, None, None), ValueError, "One of .*'strata'.* must be given, got None"),
        ((None, None, [1]), ValueError, "sample_weight must hold at least two clusters, got one"),
        ((None, [1, 1], [1, 1]), ValueError, "clusters must hold at least two clusters, got one"),
        ((["a", "b"], None, None), ValueError, "strata must .* in some stratum, got one in each"),
        (
            changed(strata=["a", "b", "b", "b"], clusters=[1, 1, 2, 2]),
            ValueError,
            "strata must .* got a single one in stratum 'a'. Give similar .*center.*certainty",
        ),
        (
            (SINGLES, None, None),
            ValueError,
            "strata .* in stratum 'a', 'b', 'c', 'd', 'e' and 2 more",
        ),
    ],
)
def test_what_is_no_design_is_refused_by_name(make, design, error, came):
    with pytest.raises(error, match=f"^{came}"):
        make(*design)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_unknown_way_with_single_clusters_is_refused(make):
    with pytest.raises(ValueError, match=r"^single_cluster must .*'centre'\. Did you mean 'center"):
        make(*GOOD, single_cluster="centre")


def test_brr_refuses_strata_of_more_than_two_clusters():
    with pytest.raises(ValueError, match=r"^strata must have exactly two .* 3 clusters .* 'b'\."):
        brr_weights(list("aabbb"), None, None)
    with pytest.raises(ValueError, match=r"^fay must be a number in \[0, 1\), got 1\.5"):
        brr_weights(*GOOD, 1.5)


@pytest.mark.parametrize("bad", [-1, "0", 1.5, [1]])
def test_the_bootstrap_refuses_what_is_no_random_state(bad):
    with pytest.raises(ValueError, match=r"^random_state must be None, a non-negative integer"):
        bootstrap_weights(*GOOD, 10, bad)
    with pytest.raises(ValueError, match=r"^n_replicates must be an integer of at least 2, got 1"):
        bootstrap_weights(*GOOD, 1)


def test_a_replicate_without_weight_is_refused():
    """All weight is in one cluster."""
    with pytest.raises(ValueError, match=r"^weights\[:, 0\] must hold at least one positive"):
        jackknife_weights(["a"] * 3, None, [1, 0, 0])


def test_a_centred_cluster_moves_against_all_others_of_the_sample():
    """The factors of the docstring: with n clusters, 1 +- c and 1 -+ c / (n - 1)."""
    strata = ["a", "b", "b", "c", "c"]
    weights = brr_weights(strata, None, None, single_cluster="center").weights
    plain = brr_weights(strata[1:], None, None).weights
    step = np.sqrt(4 / 5)
    moved = weights[0] - 1
    assert np.allclose(np.abs(moved), step) and 0 < (moved > 0).mean() < 1
    of_others = 1 - moved / 4
    assert set(np.round(weights[1:] / of_others, 9).ravel()) == set(plain.ravel()) == {0.0, 2.0}


def test_a_single_cluster_is_refused_with_what_to_do():
    with pytest.raises(ValueError) as refused:
        bootstrap_weights(["a", "b", "b"], None, None)
    assert str(refused.value) == (
        "strata must have at least two clusters each, got a single one in stratum 'a'. Give "
        'similar strata one label, or pass single_cluster="center" or, for clusters that were '
        'certain to be in the sample, "certainty".'
    )
    for n_single, more in ((5, ""), (6, " and 1 more")):
        strata = [*map(str, range(n_single)), "x", "x"]
        with pytest.raises(ValueError) as refused:
            jackknife_weights(strata, None, None)
        assert f"'0', '1', '2', '3', '4'{more}. Give similar" in str(refused.value)


def test_a_missing_label_is_named_with_its_place():
    with pytest.raises(ValueError) as refused:
        jackknife_weights(None, np.array([1.0, 2.0, np.nan]), None)
    assert str(refused.value) == (
        "clusters must not be missing, got nan at position 2. Leave such rows out, or give them a "
        "label of their own."
    )


def test_one_argument_is_enough_to_count_rows():
    assert jackknife_weights(None, [1, 1, 2], None).shape == (3, 2)
    assert jackknife_weights([1, 1, 2, 2], None, None).shape == (4, 4)
    assert jackknife_weights(None, None, [1, 1, 2]).shape == (3, 3)
