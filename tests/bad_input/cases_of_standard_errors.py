"""The replicate estimator and its statistics.

``case_table.py`` says what a row means.
"""

import numpy as np
import pandas as pd
from calls import GROUPS, LABELS, NAN, NUMBERS, ONES, REPLICATES, WORDS, X, spoiled
from sklearn.linear_model import LogisticRegression

from skweight import WeightedTorchRegressor

CASES = {
    "ReplicateEstimator": [
        (
            {"estimator": LogisticRegression()},
            TypeError,
            "must be a WeightedTorchClassifier or ... got LogisticRegression",
        ),
        (
            {"estimator": WeightedTorchRegressor},
            TypeError,
            "must be a WeightedTorchClassifier or ... got type",
        ),
        ({"method": None}, ValueError, "must say how the replicate weights were ... got None"),
        (
            {"method": "boot"},
            ValueError,
            "must be one of ['bootstrap', 'brr', 'jk1', ... got 'boot'",
        ),
        ({"method": ONES}, ValueError, "must be one of ['bootstrap', 'brr', 'jk1', ... got array("),
        (
            {"fay": 0.5},
            ValueError,
            "must be 0 unless method is \"brr\" ... got 0.5 with 'bootstrap'",
        ),
        ({"fay": NAN}, ValueError, "must be a number in [0, 1) ... got nan"),
        ({"scale": -1}, ValueError, "must be finite and non-negative ... got -1.0 for replicate 0"),
        ({"scale": [1, 2]}, ValueError, "must be a number or hold one for each of ... got shape"),
        ({"mse": "yes"}, TypeError, "must be True or False ... got 'yes'"),
        ({"stack_size": 0}, ValueError, 'must be "auto" or an int >= 1 ... got 0'),
        ({"stack_size": ONES}, ValueError, 'must be "auto" or an int >= 1 ... got array('),
        ({"n_jobs": "two"}, ValueError, "must be None or an integer other than 0 ... got 'two'"),
        ({"n_jobs": 1.5}, ValueError, "must be None or an integer other than 0 ... got 1.5"),
        ({"n_jobs": 0}, ValueError, "must be None or an integer other than 0 ... got 0"),
        ({"verbose": -1}, ValueError, "must be an integer >= 0 ... got -1"),
        ({"verbose": "1"}, ValueError, "must be an integer >= 0 ... got '1'"),
    ],
    "ReplicateEstimator.fit": [
        ({"X": None}, ValueError, "must have rows and columns ... got NoneType"),
        ({"X": 3}, ValueError, "must have rows and columns ... got int"),
        ({"X": X[1:]}, ValueError, "sample_weight must have one weight per row: ... got 40"),
        ({"X": X[:, 0]}, ValueError, "must have rows and columns, shape ... got shape"),
        ({"y": NUMBERS[1:]}, ValueError, "must have one entry for each of 40 rows of X ... got 39"),
        ({"y": WORDS}, ValueError, "must hold numbers ... got 'no' at position 0"),
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
        (
            {"sample_weight": 100 * ONES},
            ValueError,
            "replicate_weights must be on the scale of ... got a median sum of 40.1022",
        ),
        ({"replicate_weights": None}, TypeError, "must be an array, a DataFrame, ... got None"),
        ({"replicate_weights": "w"}, TypeError, "must be an array, a DataFrame, ... got 'w'"),
        (
            {"replicate_weights": ["w1", "w2"]},
            TypeError,
            "may name columns of a DataFrame X only ... got an X of type ndarray",
        ),
        ({"replicate_weights": ONES}, ValueError, "must have shape ... got shape"),
        (
            {"replicate_weights": -REPLICATES},
            ValueError,
            "[:, 0] must be non-negative ... got -1.0992282380237257 in row 27",
        ),
        (
            {"replicate_weights": REPLICATES[1:]},
            ValueError,
            "[:, 0] must have one weight per row: ... got 39",
        ),
        (
            {"replicate_weights": REPLICATES * np.nan},
            ValueError,
            "[:, 0] must be finite ... got 40 NaN value(s), the first at po",
        ),
        (
            {"replicate_weights": pd.DataFrame(REPLICATES, columns=["a", "a", "b", "c"])},
            ValueError,
            "must have a different name for each column ... got 'a' more than once",
        ),
        (
            {"groups": GROUPS[1:]},
            ValueError,
            "must hold one group for each of 40 rows of X ... got shape",
        ),
        ({"offset": np.zeros(3)}, ValueError, "must have shape ... got"),
    ],
    "ReplicateEstimator.predict": [
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchRegressor is expecting 3 features as input",
        ),
        ({"X": X[0]}, ValueError, "must have rows and columns, shape ... got shape"),
        ({"return_std": "yes"}, ValueError, "must be True or False ... got 'yes'"),
        ({"return_std": 1}, ValueError, "must be True or False ... got 1"),
        (
            {"offset": ONES},
            ValueError,
            "must be None, because this WeightedTorchRegressor was fitted without one",
        ),
    ],
    "ReplicateEstimator.predict of classes": [
        (
            {"return_std": True},
            ValueError,
            "=True needs predict_proba: labels have no ... got a classifier's predict",
        ),
    ],
    "ReplicateEstimator.predict_proba": [
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchClassifier is expecting 3 features as input",
        ),
        ({"return_std": None}, ValueError, "must be True or False ... got None"),
        (
            {"offset": ONES},
            ValueError,
            "must be None, because this WeightedTorchClassifier was fitted without one",
        ),
    ],
    "ReplicateEstimator.decision_function": [
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchClassifier is expecting 3 features as input",
        ),
        ({"X": None}, ValueError, "must be a table of numbers with rows and ... got NoneType"),
        (
            {"offset": ONES},
            ValueError,
            "must be None, because this WeightedTorchClassifier was fitted without one",
        ),
    ],
    "ReplicateEstimator.score": [
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchRegressor is expecting 3 features as input",
        ),
        ({"y": NUMBERS[1:]}, ValueError, "must have one entry for each of 40 rows of X ... got 39"),
        ({"y": WORDS}, ValueError, "must hold numbers ... got 'no' at position 0"),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"offset": ONES},
            ValueError,
            "must be None, because this WeightedTorchRegressor was fitted without one",
        ),
    ],
    "ReplicateEstimator.statistic": [
        ({"function": 3}, TypeError, "must accept ... got 3"),
        (
            {"function": "no_such_score"},
            ValueError,
            "must be callable or the name of a scorer of ... got 'no_such_score'",
        ),
        (
            {"function": lambda estimator, X: 1.0},
            TypeError,
            "must accept ... got <function <lambda>",
        ),
        (
            {"function": lambda estimator, X, y, sample_weight: "many"},
            TypeError,
            "must return a number or an array of numbers ... got 'many' for the full sample",
        ),
        (
            {"function": lambda estimator, X, y, sample_weight: NAN},
            ValueError,
            "must return finite numbers ... got nan for the full sample",
        ),
        ({"X": X[1:]}, ValueError, "sample_weight must have one weight per row: ... got 40"),
        ({"X": None}, ValueError, "must have rows and columns ... got NoneType"),
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchRegressor is expecting 3 features as input",
        ),
        (
            {"y": NUMBERS[1:], "function": "r2"},
            ValueError,
            "must have one entry for each of 40 rows of X ... got 39",
        ),
        (
            {"sample_weight": None},
            ValueError,
            "and replicate_weights of the rows of X must ... got None for sample_weight",
        ),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"replicate_weights": None},
            ValueError,
            "sample_weight and replicate_weights of the ... got None for replicate_weights",
        ),
        (
            {"replicate_weights": REPLICATES[:, :2]},
            ValueError,
            "must have the 4 replicates of fit ... got 2",
        ),
        ({"degrees_of_freedom": 0}, ValueError, "must be None or a positive number ... got 0"),
        ({"degrees_of_freedom": "3"}, ValueError, "must be None or a positive number ... got '3'"),
        (
            {"names": ["a", "b"]},
            ValueError,
            "must hold one name for each of the 1 ... got 2: ['a', 'b']",
        ),
        ({"names": None}, TypeError, "must be a str or a sequence of str ... got None"),
        ({"names": 3}, TypeError, "must be a str or a sequence of str ... got 3"),
    ],
    "ReplicateStatistic.confidence_interval": [
        ({"level": 1}, ValueError, "must be between 0 and 1 ... got 1"),
        ({"level": "95 %"}, ValueError, "must be between 0 and 1 ... got '95 %'"),
        ({"level": ONES}, ValueError, "must be between 0 and 1 ... got array("),
        ({"level": 95}, ValueError, "must be between 0 and 1 ... got 95"),
    ],
    "ReplicateStatistic": [
        (
            {"names": ["a", "b"]},
            ValueError,
            "must hold one name for each of the 1 ... got 2: ['a', 'b']",
        ),
        ({"degrees_of_freedom": -1}, ValueError, "must be None or a positive number ... got -1"),
        ({"degrees_of_freedom": "3"}, ValueError, "must be None or a positive number ... got '3'"),
    ],
    "mean_prediction": [
        ({"estimator": 3}, TypeError, "must have a method predict ... got int"),
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchRegressor is expecting 3 features as input",
        ),
        ({"X": X[0]}, ValueError, "must have rows and columns, shape ... got shape"),
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
        (
            {"sample_weight": spoiled(ONES, NAN)},
            ValueError,
            "must be finite ... got 1 NaN value(s), the first at pos",
        ),
        ({"sample_weight": "weight"}, TypeError, "must hold real numbers ... got dtype <U6"),
    ],
    "GroupDifference": [
        (
            {"in_group": LABELS},
            ValueError,
            "must hold a bool for each of 40 rows ... got dtype int64 with shape",
        ),
        (
            {"in_group": LABELS[1:] == 1},
            ValueError,
            "must hold a bool for each of 40 rows ... got dtype bool with shape",
        ),
        ({"in_group": LABELS == 7}, ValueError, "leaves no row with weight in the group"),
        (
            {"in_group": "women"},
            ValueError,
            "must hold a bool for each of 40 rows ... got dtype <U5 with shape",
        ),
        (
            {"in_group": [True, [False, True]] * 20},
            ValueError,
            "must have the same shape in every row: setting an array element with a sequenc",
        ),
        ({"in_group": LABELS >= 0}, ValueError, "leaves no row with weight outside of the group"),
    ],
    "GroupDifference.__call__": [
        ({"estimator": 3}, TypeError, "must have a method predict ... got int"),
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchRegressor is expecting 3 features as input",
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
        (
            {"sample_weight": 3.0},
            ValueError,
            "must be 1-D with one weight per row, shape ... got 0-D with shape",
        ),
    ],
    "MarginalEffect": [
        ({"column": 7}, ValueError, "must be a position from -3 to 2 in an X ... got 7"),
        ({"column": "age"}, ValueError, "must be a position from -3 to 2 in an X ... got 'age'"),
        ({"column": 1.5}, ValueError, "must be a position from -3 to 2 in an X ... got 1.5"),
        ({"step": NAN}, ValueError, "must be a finite number ... got nan"),
        ({"step": "1"}, ValueError, "must be a finite number ... got '1'"),
        (
            {"step": 10**400},
            ValueError,
            "must be a finite number ... got 10000000000000000000000000000000",
        ),
        ({"values": 3}, ValueError, "must be a pair ... got 3"),
        ({"values": "ab"}, ValueError, "must be a pair ... got 'ab'"),
        ({"values": (1, 2, 3)}, ValueError, "must be a pair ... got"),
        ({"values": [0, [1, 2]]}, ValueError, "must be a pair ... got [0, [1, 2]]"),
    ],
    "MarginalEffect of a frame": [
        (
            {"column": "cty", "values": ("a", "b")},
            ValueError,
            "must be a column of X ... got 'cty', which is none",
        ),
        (
            {"values": ("a", "bb")},
            ValueError,
            "must be labels of column 'city' ... got 'bb', which neither X nor the es",
        ),
        (
            {"values": ("a", 3)},
            ValueError,
            "must be labels of column 'city' ... got 3, which neither X nor the estim",
        ),
        (
            {"values": None},
            ValueError,
            "must be given for column 'city', to which ... got a column of String",
        ),
        (
            {"column": "age", "values": ("a", "b")},
            ValueError,
            "values must be numbers for column 'age' of ... got 'a'",
        ),
    ],
    "MarginalEffect.__call__": [
        ({"estimator": 3}, TypeError, "must have a method predict ... got int"),
        ({"X": X[:, 0]}, ValueError, "must have rows and columns ... got shape"),
        ({"X": 3}, ValueError, "must have rows and columns ... got shape"),
        ({"X": None}, ValueError, "must have rows and columns ... got shape"),
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
    ],
}
