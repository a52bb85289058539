"""WeightSearchCV finds what GridSearchCV finds: every score, to the bit.

Errors are in ``test_errors.py``, how stacks are trained in ``tests/stacks``.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from searches import (
    AMOUNT,
    BINARY,
    CLASSES,
    GROUPS,
    RARE,
    STOPPING,
    WEIGHT,
    CountedScaler,
    N,
    X,
    Y,
    assert_same_search_results,
    classifier,
    fit_both,
    grid_of,
    regressor,
)
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import get_scorer, make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skweight import (
    RandomizedWeightSearchCV,
    WeightSearchCV,
)

POWERS = {"sample_weight_power": [0.0, 0.5, 1.0]}
SEARCHES = {
    "binary": (classifier(), BINARY, Y, {"scoring": "neg_log_loss"}),
    "default score": (classifier(), BINARY, Y, {}),
    "multiclass": (classifier(), {"class_weight": [None, "balanced"]}, CLASSES, {}),
    "regression": (regressor(), {**POWERS, "random_state": [0, 1]}, AMOUNT, {}),
    "early stopping": (classifier(**STOPPING), BINARY, Y, {"scoring": "neg_log_loss"}),
    "sampling": (classifier(), {"weighting": ["loss", "sampling"], **BINARY}, Y, {"cv": 3}),
    "prior": (
        classifier(),
        {"correct_prior": [False, True], "logit_adjustment": [0.0, 1.0]},
        CLASSES,
        {"scoring": "neg_log_loss"},
    ),
    "mixed": (
        classifier(),
        [{"lr": [0.001, 0.03], "class_weight": [None, "balanced"]}, {"batch_size": [16]}],
        Y,
        {"scoring": "neg_log_loss"},
    ),
    "functions": (
        classifier(),
        {
            "criterion": [lambda z, t: (z - t) ** 2, lambda z, t: (z - t).abs()],
            "class_weight": [None, lambda counts: 1 / counts],
        },
        Y,
        {"scoring": "roc_auc", "cv": 2},
    ),
    "equal values apart": (
        classifier(),
        [{"lr": [0.01], "class_weight": [None]}, {"lr": [1e-2], "class_weight": ["balanced"]}],
        Y,
        {"scoring": "neg_log_loss", "cv": 2},
    ),
    "seeds": (classifier(), {"random_state": [0, 1, 2]}, Y, {"scoring": "neg_log_loss"}),
    "several metrics": (
        classifier(),
        BINARY,
        Y,
        {
            "scoring": {"recall": make_scorer(recall_score), "loss": "neg_log_loss"},
            "refit": "loss",
            "return_train_score": True,
        },
    ),
    "refit chooses": (classifier(), BINARY, Y, {"refit": lambda results: 2}),
    "no refit": (classifier(), BINARY, Y, {"refit": False}),
    "repeated": (
        classifier(),
        {"class_weight": [None, "balanced"]},
        Y,
        {
            "cv": RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
            "scoring": "neg_log_loss",
        },
    ),
    "shuffled": (
        classifier(),
        {"class_weight": [None, "balanced"]},
        Y,
        {"cv": ShuffleSplit(3, random_state=0), "scoring": "neg_log_loss"},
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SEARCHES)
def test_all_results_are_those_of_grid_search(name, weighted):
    estimator, grid, y, params = SEARCHES[name]
    fit_params = {"sample_weight": WEIGHT} if weighted else {}
    found = fit_both(estimator, grid, X, y, fit_params, **params)
    assert found.stacked_.all() or name == "mixed"
    assert found.one_by_one_ == {}


def test_splits_may_come_one_by_one():
    expected, found = (
        kind(classifier(), BINARY, cv=KFold(3).split(X), scoring="neg_log_loss").fit(X, Y)
        for kind in (GridSearchCV, WeightSearchCV)
    )
    assert_same_search_results(found, expected)


def test_a_fold_that_lacks_a_class_is_treated_as_grid_search_does():
    found = fit_both(
        classifier(), {"class_weight": [None, "balanced"]}, X, RARE, cv=KFold(5), scoring="accuracy"
    )
    assert found.stacked_.all()


@pytest.mark.parametrize("form", ["frame", "float32", "list"])
def test_x_may_come_in_every_form(form):
    forms = {
        "frame": pd.DataFrame(X, columns=[*"abcdef"]),
        "float32": X.astype(np.float32),
        "list": X.tolist(),
    }
    grid = {"class_weight": [None, "balanced"]}
    found = fit_both(classifier(), grid, forms[form], Y, cv=2, scoring="neg_log_loss")
    assert found.n_features_in_ == 6
    assert hasattr(found, "feature_names_in_") == (form == "frame")


# Pipelines


def test_transformers_that_do_not_vary_are_fitted_once_a_fold():
    pipeline = make_pipeline(CountedScaler(), classifier())
    steps = "countedscaler", "weightedtorchclassifier"
    weights = {f"{step}__sample_weight": WEIGHT for step in steps}
    CountedScaler.n_fits = 0
    grid = grid_of("weightedtorchclassifier", **BINARY)
    WeightSearchCV(pipeline, grid, cv=3, refit=False).fit(X, Y, **weights)
    assert CountedScaler.n_fits == 3
    found = fit_both(pipeline, grid, X, Y, weights, cv=3, scoring="neg_log_loss")
    assert found.stacked_.all()
    assert found.best_estimator_[0].mean_.shape == (6,)


def test_transformers_may_vary_too():
    pipeline = make_pipeline(StandardScaler(), PCA(), classifier())
    grid = {"pca__n_components": [2, 5], "standardscaler": [StandardScaler(), "passthrough"]}
    grid |= grid_of("weightedtorchclassifier", class_weight=[None, "balanced"])
    found = fit_both(pipeline, grid, X, Y, cv=2, scoring="neg_log_loss")
    assert found.stacked_.all() and len(found.stacked_) == 8


# Metadata


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_metadata_are_routed_as_grid_search_routes_them(in_pipeline):
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = classifier().set_fit_request(sample_weight=True)
        estimator = estimator.set_score_request(sample_weight=True)
        grid = {"class_weight": [None, "balanced"]}
        if in_pipeline:
            scaler = StandardScaler().set_fit_request(sample_weight=True)
            estimator = make_pipeline(scaler, estimator)
            grid = grid_of("weightedtorchclassifier", **grid)
        fit_params = {"sample_weight": WEIGHT, "groups": GROUPS}
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        params = {"cv": GroupKFold(3), "scoring": scorer if in_pipeline else None}
        found = fit_both(estimator, grid, X, Y, fit_params, **params)
        unweighted = WeightSearchCV(estimator, grid, **params).fit(X, Y, groups=GROUPS)
        name = "mean_test_score"
        assert not np.array_equal(found.cv_results_[name], unweighted.cv_results_[name])
        assert found.stacked_.all()


def test_groups_reach_the_splitter_without_routing():
    grid = {"class_weight": [None, "balanced"]}
    fit_params = {"sample_weight": WEIGHT, "groups": GROUPS}
    fit_both(classifier(), grid, X, Y, fit_params, cv=GroupKFold(3), scoring="neg_log_loss")
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        WeightSearchCV(classifier(), grid, cv=GroupKFold(3)).fit(X, Y)


# What cannot be stacked


NOT_STACKED = {
    "dropout": (classifier(module__dropout=0.3), "MLP draws random numbers, as dropout does"),
    "batch norm": (
        classifier(module=nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))),
        "Sequential changes its buffers, as running statistics do",
    ),
    "optimizer": (
        classifier(optimizer=torch.optim.LBFGS, max_epochs=2),
        "optimizer LBFGS is not known to update each parameter independently",
    ),
}


@pytest.mark.parametrize("name", NOT_STACKED)
def test_what_cannot_be_stacked_is_trained_one_by_one_and_said_so_once(name):
    estimator, reason = NOT_STACKED[name]
    grid = {"class_weight": [None, "balanced"]}
    with pytest.warns(UserWarning) as warned:
        found = fit_both(estimator, grid, X, Y, cv=2, scoring="neg_log_loss")
    message = f"2 of 2 candidates were trained one by one, with the same results: {reason}."
    assert [str(warning.message) for warning in warned] == [message]
    assert warned[0].filename == fit_both.__code__.co_filename  # which called fit
    assert found.one_by_one_ == {reason: [0, 1]} and not found.stacked_.any()


@pytest.mark.parametrize("stack_size", [1, 2, 100])
def test_the_size_of_a_stack_changes_no_result(stack_size):
    params = {"cv": 3, "scoring": "neg_log_loss"}
    found = fit_both(classifier(), BINARY, X, Y, **params)
    other = WeightSearchCV(classifier(), BINARY, stack_size=stack_size, **params).fit(X, Y)
    assert_same_search_results(other, found)
    assert other.stacked_.all() == (stack_size > 1) and other.one_by_one_ == {}


def test_two_processes_find_the_same(capfd):
    params = {"cv": 3, "scoring": "neg_log_loss"}
    one = WeightSearchCV(classifier(), BINARY, **params).fit(X, Y)
    two = WeightSearchCV(classifier(), BINARY, n_jobs=2, verbose=1, **params).fit(X, Y)
    assert_same_search_results(two, one)
    assert two.stacked_.all()
    assert "18 of 18 fits" in capfd.readouterr().err


# What is kept


def test_predictions_of_held_out_rows_are_kept_on_request():
    grid = [{"class_weight": [None, "balanced"]}, {"class_weight": [{9: 1}]}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = WeightSearchCV(classifier(), grid, cv=3, return_predictions=True).fit(X, Y)
    assert len(search.predictions_) == 3
    assert_array_equal(np.sort(np.concatenate([test for test, _ in search.predictions_])), range(N))
    for split, (test, probability) in enumerate(search.predictions_):
        assert probability.shape == (3, len(test), 2) and np.isnan(probability[2]).all()
        for candidate in range(2):
            accuracy = np.mean(probability[candidate].argmax(axis=1) == Y[test])
            assert accuracy == search.cv_results_[f"split{split}_test_score"][candidate]
    regression = WeightSearchCV(regressor(), POWERS, cv=2, return_predictions=True).fit(X, AMOUNT)
    assert [p.shape for _, p in regression.predictions_] == [(3, N // 2)] * 2
    assert not hasattr(WeightSearchCV(regressor(), POWERS, cv=2).fit(X, AMOUNT), "predictions_")


def test_a_refit_that_chooses_by_time_sees_the_time_of_the_fits():
    seen = []
    search = WeightSearchCV(classifier(max_epochs=40), BINARY, cv=2)
    search.set_params(refit=lambda results: seen.append(results["mean_fit_time"].min()) or 0)
    search.fit(X, Y)
    assert seen == [search.cv_results_["mean_fit_time"].min()]
    assert seen[0] > 1e-3  # to take a fit that is made takes some 1e-4 seconds


def test_a_search_is_left_as_it_was_but_for_its_results_and_keeps_no_data():
    search = WeightSearchCV(classifier(), BINARY, cv=2)
    before = search.get_params()
    search.fit(X, Y)
    assert search.get_params().keys() == before.keys()
    assert all(search.get_params()[name] is value for name, value in before.items())
    assert not hasattr(search.estimator, "net_")
    assert search.scorer_(search.best_estimator_, X, Y) == search.score(X, Y)
    loaded = pickle.loads(pickle.dumps(search))
    assert_array_equal(loaded.predict_proba(X), search.predict_proba(X))
    assert len(pickle.dumps(search)) < 150_000
    assert clone(search).get_params().keys() == before.keys()


@pytest.mark.parametrize("random_state", [0, 3])
def test_a_randomized_search_draws_what_scikit_learn_draws(random_state):
    params = {"n_iter": 4, "random_state": random_state, "cv": 2, "scoring": "neg_log_loss"}
    found = RandomizedWeightSearchCV(classifier(), BINARY, **params).fit(X, Y)
    assert_same_search_results(found, RandomizedSearchCV(classifier(), BINARY, **params).fit(X, Y))
    assert found.stacked_.all() and len(found.stacked_) == 4
