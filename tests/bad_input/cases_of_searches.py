"""Searches and splits.

``case_table.py`` says what a row means.
"""

import numpy as np
from calls import GROUPS, LABELS, NAN, ONES, N, X, spoiled
from sklearn.linear_model import LogisticRegression

CASES = {
    "WeightSearchCV": [
        (
            {"estimator": LogisticRegression()},
            TypeError,
            "must be a WeightedTorchClassifier or ... got LogisticRegression",
        ),
        ({"estimator": 3}, TypeError, "must be a WeightedTorchClassifier or ... got int"),
        (
            {"param_grid": {"class_wait": [1]}},
            ValueError,
            "Did you mean 'class_weight'? ... Unknown parameter 'class_wait' of WeightedTor",
            "class_wait",
        ),
        ({"param_grid": 3}, ValueError, "The 'param_grid' parameter ... Got 3 instead."),
        (
            {"param_grid": {"class_weight": []}},
            ValueError,
            "Parameter grid for parameter 'class_weight' need to be a non-empty sequence,",
            "class_weight",
        ),
        (
            {"param_grid": {"class_weight": "balanced"}},
            TypeError,
            "Parameter grid for parameter 'class_weight' ... got 'balanced'",
            "class_weight",
        ),
        ({"param_grid": {"lr": [-1.0]}}, ValueError, "lr must be a number > 0 ... got -1.0", "lr"),
        (
            {"scoring": "no_such_score"},
            ValueError,
            "The 'scoring' parameter ... Got 'no_such_score' instead.",
        ),
        ({"cv": 1}, ValueError, "The 'cv' parameter ... Got 1 instead."),
        ({"cv": "five"}, ValueError, "The 'cv' parameter ... Got 'five' instead."),
        ({"refit": 3}, ValueError, "The 'refit' parameter ... Got 3 instead."),
        ({"n_jobs": "two"}, ValueError, "The 'n_jobs' parameter ... Got 'two' instead."),
        ({"error_score": "bad"}, ValueError, "The 'error_score' parameter ... Got 'bad' instead."),
        (
            {"return_train_score": "yes"},
            ValueError,
            "The 'return_train_score' parameter ... Got 'yes' instead.",
        ),
        ({"stack_size": 0}, ValueError, 'must be "auto" or an int >= 1 ... got 0'),
        ({"stack_size": ONES}, ValueError, 'must be "auto" or an int >= 1 ... got array('),
        ({"return_predictions": "yes"}, ValueError, "must be True or False ... got 'yes'"),
        ({"verbose": -1}, ValueError, "The 'verbose' parameter ... Got -1 instead."),
        ({"pre_dispatch": 1.5}, ValueError, "The 'pre_dispatch' parameter ... Got 1.5 instead."),
    ],
    "RandomizedWeightSearchCV": [
        (
            {"estimator": LogisticRegression()},
            TypeError,
            "must be a WeightedTorchClassifier or ... got LogisticRegression",
        ),
        (
            {"param_distributions": 3},
            ValueError,
            "The 'param_distributions' parameter ... Got 3 instead.",
        ),
        (
            {"param_distributions": {"lr": 3}},
            TypeError,
            "Parameter grid for parameter 'lr' is not iterable or a distribution (value=3)",
            "lr",
        ),
        ({"n_iter": 0}, ValueError, "The 'n_iter' parameter ... Got 0 instead."),
        ({"random_state": "0"}, ValueError, "The 'random_state' parameter ... Got '0' instead."),
        ({"scoring": 3}, ValueError, "The 'scoring' parameter ... Got 3 instead."),
        ({"cv": 2.5}, ValueError, "The 'cv' parameter ... Got 2.5 instead."),
        ({"refit": 3}, ValueError, "The 'refit' parameter ... Got 3 instead."),
        ({"n_jobs": 1.5}, ValueError, "The 'n_jobs' parameter ... Got 1.5 instead."),
        ({"error_score": None}, ValueError, "The 'error_score' parameter ... Got None instead."),
        (
            {"return_train_score": 3},
            ValueError,
            "The 'return_train_score' parameter ... Got 3 instead.",
        ),
        ({"stack_size": "many"}, ValueError, "must be \"auto\" or an int >= 1 ... got 'many'"),
        ({"return_predictions": None}, ValueError, "must be True or False ... got None"),
        ({"verbose": "1"}, ValueError, "The 'verbose' parameter ... Got '1' instead."),
        ({"pre_dispatch": None}, ValueError, "The 'pre_dispatch' parameter ... Got None instead."),
    ],
    "WeightSearchCV.fit": [
        ({"X": {"age": X}}, TypeError, "must be something whose rows can be ... got dict"),
        ({"X": X[:, 0]}, ValueError, "must have rows and columns, shape ... got shape"),
        ({"y": LABELS[:-1]}, ValueError, "must have one entry for each of 40 rows of X ... got 39"),
        ({"y": X[:, 0]}, ValueError, "must hold labels: Unknown label type: continuous"),
        ({"y": "target"}, TypeError, "must hold a target for each row of X ... got 'target'"),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"sample_weight": ONES[:-1]},
            ValueError,
            "must have one weight per row: expected 20 ... got 39",
        ),
        (
            {"sample_wait": ONES},
            TypeError,
            "Did you mean 'sample_weight'? ... WeightedTorchClassifier.fit got an unexpecte",
        ),
    ],
    "RandomizedWeightSearchCV.fit": [
        ({"X": {"age": X}}, TypeError, "must be something whose rows can be ... got dict"),
        ({"y": LABELS[:-1]}, ValueError, "must have one entry for each of 40 rows of X ... got 39"),
        (
            {"y": None},
            ValueError,
            "WeightedTorchClassifier requires y to be passed, but the target y is None",
        ),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
    ],
    "WeightSearchCV.predict": [
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchClassifier is expecting 3 features as input",
        ),
        ({"X": X[0]}, ValueError, "must have rows and columns, shape ... got shape"),
        ({"X": None}, ValueError, "must be a table of numbers with rows and ... got NoneType"),
    ],
    "DesignKFold": [
        ({"n_splits": 1}, ValueError, "must be an integer of at least 2 ... got 1"),
        ({"n_splits": 2.0}, ValueError, "must be an integer of at least 2 ... got 2.0"),
        (
            {"n_splits": 50},
            ValueError,
            "must be at most the number of clusters ... got 50 folds for 40 clusters",
        ),
        ({"strata": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        ({"strata": "region"}, TypeError, "must have one label per row ... got 'region'"),
        (
            {"strata": spoiled(GROUPS, None)},
            ValueError,
            "must not be missing ... got None at position 3",
        ),
        (
            {"strata": [1, "a"] * 20},
            TypeError,
            "must hold labels of one kind, which can be sorted: '<' not supported between",
        ),
        ({"clusters": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        (
            {"clusters": np.zeros(N)},
            ValueError,
            "n_splits must be at most the number of ... got 2 folds for 1 clusters",
        ),
        (
            {"clusters": spoiled(GROUPS, NAN)},
            ValueError,
            "must not be missing ... got nan at position 3",
        ),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"sample_weight": ONES[1:]},
            ValueError,
            "must have one weight per row: expected 40 ... got 39",
        ),
        ({"shuffle": "yes"}, TypeError, "must be True or False ... got 'yes'"),
        (
            {"random_state": 0},
            ValueError,
            "must be None without shuffle=True ... got 0: nothing is drawn",
        ),
        (
            {"random_state": "0", "shuffle": True},
            ValueError,
            "must be None, an integer from 0 to 2**32 - ... got '0'",
        ),
    ],
    "DesignKFold.split": [
        ({"X": None}, TypeError, "must have rows ... got None"),
        ({"X": 3}, TypeError, "must have rows ... got 3"),
        ({"X": X[1:]}, ValueError, "y must have one entry for each of 39 rows ... got 40"),
        ({"y": LABELS[1:]}, ValueError, "must have one entry for each of 40 rows of X ... got 39"),
        (
            {"y": LABELS + 1j},
            ValueError,
            "must hold labels or real numbers ... got complex numbers",
        ),
        ({"groups": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        (
            {"groups": np.zeros(N)},
            ValueError,
            "n_splits must be at most the number of ... got 2 folds for 1 clusters",
        ),
        (
            {"groups": spoiled(GROUPS, None)},
            ValueError,
            "must not be missing ... got None at position 3",
        ),
        ({"groups": "person"}, TypeError, "must have one label per row ... got 'person'"),
    ],
}
