"""Folds of a survey: whole clusters, strata and shares spread evenly, in every search."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from searches import classifier, fit_both
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from skweight import DesignKFold, WeightedTorchRegressor, WeightSearchCV


def survey(seed=0, sizes=(9, 5, 12, 7), largest=15):
    """X, labels, weights, strata and clusters of a sample with clusters of any size."""
    rng = np.random.default_rng(seed)
    pairs = [(h, i) for h, size in enumerate(sizes) for i in range(size)]
    rows = rng.permutation([pair for pair in pairs for _ in range(rng.integers(1, largest))])
    strata, clusters = rows.T
    X = rng.normal(size=(len(rows), 3)) + rng.normal(size=(99, 3))[clusters]
    y = np.where(X[:, 0] + rng.normal(size=len(rows)) > 0.8, "yes", "no")
    weight = rng.exponential(size=len(rows)) * (1 + strata) * (rng.random(len(rows)) > 0.1)
    return X, y, weight, strata, clusters


def folds_of(cv, X, y=None, groups=None):
    """The fold that tests each row; training rows are those of the other folds."""
    folds = np.full(len(X), -1)
    for fold, (train, test) in enumerate(cv.split(X, y, groups)):
        assert (folds[test] == -1).all()
        folds[test] = fold
        assert_array_equal(train, np.setdiff1d(np.arange(len(X)), test))
    assert (folds >= 0).all()
    return folds


def cluster_counts(folds, strata, clusters, n_folds):
    """Clusters per stratum and fold; each cluster is in one fold."""
    table = pd.DataFrame({"h": strata, "i": clusters, "fold": folds}).drop_duplicates()
    assert not table.duplicated(["h", "i"]).any()
    return pd.crosstab(table.h, table.fold).reindex(columns=range(n_folds), fill_value=0).to_numpy()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_folds", [2, 3, 5, 8])
@pytest.mark.parametrize("sizes", [(9, 5, 12, 7), (2,) * 20, (1, 1, 2, 3, 30), (8,)])
def test_clusters_stay_whole_and_strata_are_spread_evenly(sizes, n_folds, shuffle):
    X, y, weight, strata, clusters = survey(1, sizes)
    cv = DesignKFold(
        n_folds, strata=strata, clusters=clusters, sample_weight=weight, shuffle=shuffle
    )
    counts = cluster_counts(folds_of(cv, X, y), strata, clusters, n_folds)
    assert_array_equal(counts.sum(axis=1), sizes)
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(axis=0)) <= 1 and counts.sum(axis=0).min() >= 1


def worst_share(folds, y, weight, n_folds):
    """How far the weighted share of a class in a fold is from its even share."""
    return max(
        abs(n_folds * weight[(folds == k) & (y == c)].sum() / weight[y == c].sum() - 1)
        for k in range(n_folds)
        for c in np.unique(y)
    )


@pytest.mark.parametrize(
    ("sizes", "shuffle", "gain"),
    [((30, 20, 40), False, 0.2), ((30, 20, 40), True, 0.4), ((2,) * 45, False, 0.6)],
)
def test_weighted_shares_of_classes_are_more_even_than_by_chance(sizes, shuffle, gain):
    found, blind = [], []
    for seed in range(20):
        X, y, weight, strata, clusters = survey(seed, sizes)
        design = {"strata": strata, "clusters": clusters}
        random = {"shuffle": True, "random_state": seed} if shuffle else {}
        cv = DesignKFold(5, **design, sample_weight=weight, **random)
        found.append(worst_share(folds_of(cv, X, y), y, weight, 5))
        # Without y and weights, folds are even in rows only.
        cv = DesignKFold(5, **design, shuffle=True, random_state=seed)
        blind.append(worst_share(folds_of(cv, X), y, weight, 5))
    assert np.median(found) < gain * np.median(blind)


def test_rows_without_clusters_are_spread_as_by_strata_of_labels():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    folds = folds_of(DesignKFold(5), np.zeros((100, 1)), y)
    assert_array_equal([np.bincount(folds[y == c]) for c in range(3)], [[12] * 5, [6] * 5, [2] * 5])
    standard = folds_of(StratifiedKFold(5), np.zeros((100, 1)), y)
    assert_array_equal(np.bincount(folds), np.bincount(standard))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_the_scale_of_weights_mean_nothing(seed):
    X, y, weight, strata, clusters = survey(seed)
    folds = folds_of(DesignKFold(strata=strata, clusters=clusters, sample_weight=weight), X, y)
    assert len(np.unique(folds)) == 5
    p = np.random.default_rng(9).permutation(len(X))
    for scale in (1.0, 2.0**900, 2.0**-900):
        design = {"strata": strata[p], "clusters": clusters[p], "sample_weight": weight[p] * scale}
        assert_array_equal(folds_of(DesignKFold(**design), X[p], y[p]), folds[p])


def test_sums_of_weights_in_another_order_tie_all_the_same():
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit, and would decide."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(12), 3)
    weight = np.concatenate([rng.permutation([0.1, 0.2, 0.3]) for _ in range(12)])
    assert len(np.unique(np.bincount(clusters, weight))) > 1
    cv = DesignKFold(3, clusters=clusters, sample_weight=weight)
    assert_array_equal(folds_of(cv, weight[:, None])[::3], np.arange(12) % 3)


def test_copies_and_integer_weights_make_the_same_folds():
    X, y, _, strata, clusters = survey(4)
    weight = np.random.default_rng(0).integers(1, 4, len(X))
    folds = folds_of(DesignKFold(strata=strata, clusters=clusters, sample_weight=weight), X, y)
    repeated = np.repeat(np.arange(len(X)), weight)
    cv = DesignKFold(strata=strata[repeated], clusters=clusters[repeated])
    assert_array_equal(folds_of(cv, X[repeated], y[repeated]), folds[repeated])


def test_shuffled_folds_differ_by_seed_and_are_fixed_by_it():
    X, y, weight, strata, clusters = survey()
    design = {"strata": strata, "clusters": clusters, "sample_weight": weight, "shuffle": True}
    first, again, other = (
        folds_of(DesignKFold(**design, random_state=s), X, y) for s in (0, 0, np.int64(1))
    )
    assert_array_equal(first, again)
    assert (first != other).any()
    state = np.random.RandomState(0)
    cv = DesignKFold(**design, random_state=state)
    assert (folds_of(cv, X, y) != folds_of(cv, X, y)).any()


@pytest.mark.parametrize(
    "kind", ["numbers", "counts", "labels", "multilabel", "missing", "none", "column"]
)
def test_every_kind_of_target_can_be_split(kind):
    X, labels, weight, strata, clusters = survey()
    targets = {
        "numbers": X[:, 0],
        "counts": np.arange(len(X)),
        "labels": pd.Series(labels),
        "multilabel": (X > 0).astype(int),
        "missing": np.where(weight > 0, labels, None),
        "none": None,
        "column": X[:, :2],
    }
    cv = DesignKFold(3, strata=strata, clusters=clusters, sample_weight=weight)
    counts = cluster_counts(folds_of(cv, X, targets[kind]), strata, clusters, 3)
    assert np.ptp(counts, axis=1).max() <= 1


def test_groups_are_the_clusters_where_none_are_given():
    X, y, _, strata, clusters = survey()
    expected = folds_of(DesignKFold(3, strata=strata, clusters=clusters), X, y)
    assert_array_equal(folds_of(DesignKFold(3, strata=strata), X, y, clusters), expected)
    cv = DesignKFold(3, strata=strata, clusters=clusters)
    assert_array_equal(folds_of(cv, X, y, np.arange(len(X))), expected)
    rows = folds_of(DesignKFold(3, strata=strata), X, y)
    assert (rows != expected).any()


# In searches


def test_a_search_of_weights_has_the_folds_of_a_grid_search():
    X, y, weight, strata, clusters = survey()
    cv = DesignKFold(3, strata=strata, clusters=clusters, sample_weight=weight)
    settings = {"class_weight": [None, "balanced"]}
    fit_both(classifier(), settings, X, y, {"sample_weight": weight}, cv=cv, scoring="roc_auc")


def test_a_search_scores_the_folds_of_the_design():
    X, y, _, strata, clusters = survey()
    cv = DesignKFold(4, strata=strata, clusters=clusters)
    found = cross_val_score(LogisticRegression(), X, y, cv=cv)
    expected = [
        LogisticRegression().fit(X[train], y[train]).score(X[test], y[test])
        for train, test in cv.split(X, y)
    ]
    assert_array_equal(found, expected)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=cv).fit(X, y)
    assert search.n_splits_ == 4 and search.cv_results_["mean_test_score"][1] == np.mean(expected)
    regressor = WeightedTorchRegressor(max_epochs=1, device="cpu")
    search = WeightSearchCV(regressor, {"sample_weight_power": [0, 1]}, cv=cv).fit(X, X[:, 0])
    assert search.n_splits_ == 4


def test_groups_of_a_search_are_clusters_with_and_without_routing():
    X, y, _, _, clusters = survey()
    expected = cross_val_score(LogisticRegression(), X, y, cv=DesignKFold(3, clusters=clusters))
    found = cross_val_score(LogisticRegression(), X, y, cv=DesignKFold(3), groups=clusters)
    assert_array_equal(found, expected)
    with sklearn.config_context(enable_metadata_routing=True):
        groups = {"groups": clusters}
        found = cross_val_score(LogisticRegression(), X, y, cv=DesignKFold(3), params=groups)
        assert_array_equal(found, expected)


def test_it_can_be_cloned_copied_pickled_and_shown():
    X, y, weight, strata, clusters = survey()
    cv = DesignKFold(3, strata=strata, clusters=clusters, sample_weight=weight)
    folds = folds_of(cv, X, y)
    for other in (clone(cv), copy.deepcopy(cv), pickle.loads(pickle.dumps(cv))):
        assert_array_equal(folds_of(other, X, y), folds)
    assert cv.get_n_splits() == cv.get_n_splits(X, y) == 3
    assert repr(cv).startswith("DesignKFold(clusters=array([") and "..." in repr(cv)
    assert repr(DesignKFold()) == "DesignKFold()"
    assert folds_of(clone(cv).set_params(n_splits=2), X, y).max() == 1


N_ROWS = 6
TABLE = np.zeros((N_ROWS, 2))


@pytest.mark.parametrize(
    ("params", "error", "came"),
    [
        ({"n_splits": 1}, ValueError, "n_splits must be an integer of at least 2, got 1"),
        ({"n_splits": 2.0}, ValueError, r"n_splits must .* got 2\.0"),
        ({"n_splits": True}, ValueError, "n_splits must .* got True"),
        ({"n_splits": 7}, ValueError, "n_splits must be at most .* got 7 folds for 6 clusters"),
        (
            {"n_splits": 3, "clusters": [1, 1, 1, 2, 2, 2]},
            ValueError,
            "n_splits must be at most .* got 3 folds for 2 clusters",
        ),
        ({"shuffle": "yes"}, TypeError, "shuffle must be True or False, got 'yes'"),
        ({"random_state": 0}, ValueError, "random_state must be None without shuffle=True, got 0"),
        ({"strata": ["a"]}, ValueError, r"strata must have one label .* \(6,\), got shape \(1,\)"),
        ({"strata": "region"}, TypeError, "strata must have one label per row, got 'region'"),
        ({"clusters": [1, 2]}, ValueError, r"clusters must .* got shape \(2,\)"),
        ({"clusters": [1, 2, 3, 4, 5, None]}, ValueError, "clusters .* None at position 5"),
        ({"sample_weight": [1, 2]}, ValueError, "sample_weight must have one weight per row"),
        ({"sample_weight": [1] * 5 + [-1]}, ValueError, "sample_weight must be non-negative"),
    ],
)
def test_bad_parameters_are_refused_by_name(params, error, came):
    with pytest.raises(error, match=f"^{came}"):
        next(DesignKFold(**params).split(TABLE))


def test_bad_data_are_refused_by_name():
    with pytest.raises(ValueError, match=r"^y must not be missing .* at position 2"):
        next(DesignKFold().split(TABLE, ["a", "b", None, "a", "b", "a"]))
    with pytest.raises(ValueError, match=r"^y must have one entry for each of 6 rows of X, got 2"):
        next(DesignKFold().split(TABLE, [0, 1]))
