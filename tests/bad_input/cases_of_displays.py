"""The calibration table and the displays.

``case_table.py`` says what a row means.
"""

import numpy as np
from calls import LABELS, MULTILABEL, NAN, ONES, WORDS, N, X, spoiled
from sklearn.exceptions import NotFittedError

from skweight import WeightedTorchClassifier, WeightSearchCV

CASES = {
    "calibration_table": [
        (
            {"y_true": np.arange(N)},
            ValueError,
            "must hold two classes at most ... got 40: [0, 1, 2, 3, 4] and more",
        ),
        ({"y_true": LABELS[1:]}, ValueError, "must be 1-D with one label per row of ... got shape"),
        (
            {"y_true": spoiled(LABELS, None)},
            ValueError,
            "must not be missing in a row with weight ... got None at position 3",
        ),
        (
            {"y_true": [0, "a"] * 20},
            TypeError,
            "must hold labels of one kind, which can be sorted: '<' not supported between",
        ),
        ({"y_true": "target"}, TypeError, "must hold a target for each row of X ... got 'target'"),
        ({"y_prob": 2 * ONES}, ValueError, "must be in [0, 1] ... got 2.0 at position 0"),
        (
            {"y_prob": np.ones((N, 2)) / 2},
            ValueError,
            "must be 1-D with one probability per row ... got shape",
        ),
        ({"y_prob": spoiled(ONES, NAN)}, ValueError, "must be in [0, 1] ... got nan at position 3"),
        ({"y_prob": ["a"] * N}, TypeError, "must hold real numbers ... got dtype <U1"),
        ({"y_prob": []}, ValueError, "must be 1-D with one probability per row ... got shape"),
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
            {"sample_weight": 0 * ONES},
            ValueError,
            "must hold at least one positive weight, but all 40 are zero",
        ),
        ({"n_bins": 0}, ValueError, "must be an integer of at least 1 ... got 0"),
        ({"n_bins": 2.5}, ValueError, "must be an integer of at least 1 ... got 2.5"),
        ({"n_bins": "ten"}, ValueError, "must be an integer of at least 1 ... got 'ten'"),
        ({"pos_label": "yes"}, ValueError, "must be a label in y_true, [0, 1] ... got 'yes'"),
        ({"pos_label": [1]}, ValueError, "must be a label in y_true, [0, 1] ... got [1]"),
        ({"pos_label": ONES}, ValueError, "must be a label in y_true, [0, 1] ... got array("),
        (
            {"pos_label": None, "y_true": WORDS},
            ValueError,
            "must be given unless the labels are 0 and ... got None and the labels ['no', '",
        ),
    ],
    "WeightDisplay": [
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        ({"sample_weight": 3.0}, TypeError, "must have one entry per row ... got 3.0"),
        ({"sample_weight": "weight"}, TypeError, "must have one entry per row ... got 'weight'"),
        ({"summary": None}, TypeError, "must be that of weight_summary ... got NoneType"),
        ({"summary": {"rows": [1]}}, TypeError, "must be that of weight_summary ... got dict"),
    ],
    "WeightDisplay.from_weights": [
        (
            {"sample_weight": ONES[1:]},
            ValueError,
            "must have one weight per row: expected 40 ... got 39",
        ),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"sample_weight": None, "y": None},
            ValueError,
            "or y must be given ... got None for both",
        ),
        (
            {"y": spoiled(LABELS, None)},
            ValueError,
            "must not be missing in a row with weight ... got None at position 3",
        ),
        ({"y": "target"}, TypeError, "must have one entry per row ... got 'target'"),
        (
            {"class_weight": "balance"},
            ValueError,
            "must be None, \"balanced\", a dict or a ... got 'balance'",
        ),
        ({"class_weight": {7: 1}}, ValueError, "must name classes that are in y, [0, 1] ... got 7"),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "WeightDisplay.from_estimator": [
        ({"estimator": 3}, TypeError, "must be a fitted WeightedTorchClassifier or ... got int"),
        (
            {"estimator": WeightedTorchClassifier()},
            NotFittedError,
            "This WeightedTorchClassifier is not fitted yet",
            "not fitted",
        ),
        (
            {"y": WORDS},
            ValueError,
            "must hold the classes of the estimator, [0, ... got 'no' at position 0",
        ),
        (
            {"y": LABELS + 5},
            ValueError,
            "must hold the classes of the estimator, [0, ... got 5 at position 0",
        ),
        ({"y": X}, ValueError, "must be 1-D with one label per row ... got shape"),
        ({"y": LABELS[1:]}, ValueError, "sample_weight must have one weight per row: ... got 40"),
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
        ({"ax": "axes"}, TypeError, "must be axes of matplotlib, or None ... got str"),
    ],
    "WeightDisplay.plot": [
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
        ({"ax": "axes"}, TypeError, "must be axes of matplotlib, or None ... got str"),
    ],
    "TrainingCurveDisplay": [
        ({"train_loss": None}, ValueError, "must hold an array of shape ... got None"),
        ({"train_loss": [2.0, 1.0]}, ValueError, "must hold an array of shape ... got shape"),
        (
            {"train_loss": [["a"]]},
            ValueError,
            "must hold numbers: could not convert string to float: 'a'",
        ),
        ({"train_loss": 3}, ValueError, "must hold an array of shape ... got 3"),
        (
            {"valid_loss": [[1.0]]},
            ValueError,
            "must hold as many epochs as train_loss, [2] ... got [1]",
        ),
        (
            {"valid_loss": [[1.0, 2.0]] * 2},
            ValueError,
            "must hold one array for each of 1 members ... got 2",
        ),
        ({"valid_loss": "abc"}, ValueError, "must hold an array of shape ... got 'abc'"),
        ({"is_averaged": "yes"}, ValueError, "must be True or False ... got 'yes'"),
        ({"is_averaged": None}, ValueError, "must be True or False ... got None"),
    ],
    "TrainingCurveDisplay.from_estimator": [
        ({"estimator": 3}, TypeError, "must be a fitted WeightedTorchClassifier or ... got int"),
        (
            {"estimator": WeightedTorchClassifier()},
            NotFittedError,
            "This WeightedTorchClassifier is not fitted yet",
            "not fitted",
        ),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "TrainingCurveDisplay.plot": [
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
        ({"ax": "axes"}, TypeError, "must be axes of matplotlib, or None ... got str"),
    ],
    "CalibrationDisplay": [
        ({"table": None}, TypeError, "must be that of calibration_table ... got NoneType"),
        ({"table": {"rows": [1]}}, TypeError, "must be that of calibration_table ... got dict"),
        ({"y_prob": 2 * ONES}, ValueError, "must be in [0, 1] ... got 2.0 at position 0"),
        ({"y_prob": "p"}, TypeError, "must hold real numbers ... got dtype <U1"),
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
        ({"name": 3}, TypeError, "must be a str or None ... got 3"),
    ],
    "CalibrationDisplay.from_predictions": [
        ({"y_true": LABELS[1:]}, ValueError, "must be 1-D with one label per row of ... got shape"),
        (
            {"y_true": np.arange(N)},
            ValueError,
            "must hold two classes at most ... got 40: [0, 1, 2, 3, 4] and more",
        ),
        ({"y_prob": -ONES}, ValueError, "must be in [0, 1] ... got -1.0 at position 0"),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        ({"n_bins": 0}, ValueError, "must be an integer of at least 1 ... got 0"),
        ({"pos_label": "yes"}, ValueError, "must be a label in y_true, [0, 1] ... got 'yes'"),
        ({"name": 3}, TypeError, "must be a str or None ... got 3"),
        ({"scale": "logit"}, ValueError, "must be one of ['linear', 'log'] ... got 'logit'"),
        ({"scale": ONES}, ValueError, "must be one of ['linear', 'log'] ... got array("),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "CalibrationDisplay.from_estimator": [
        ({"estimator": 3}, TypeError, "must be a fitted classifier with ... got int"),
        (
            {"estimator": WeightedTorchClassifier},
            TypeError,
            "must be a fitted classifier with ... got the class WeightedTorchClassifie",
        ),
        (
            {"X": X[:, :2]},
            ValueError,
            "has 2 features, but WeightedTorchClassifier is expecting 3 features as input",
        ),
        (
            {"y": WORDS},
            ValueError,
            "must hold the classes of the estimator, [0, ... got 'no' at position 0",
        ),
        ({"y": MULTILABEL}, ValueError, "must hold one label per row, of a ... got y of shape"),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        ({"n_bins": "ten"}, ValueError, "must be an integer of at least 1 ... got 'ten'"),
        ({"pos_label": 7}, ValueError, "must be one of [0, 1] ... got 7"),
        ({"pos_label": ONES}, ValueError, "must be one of [0, 1] ... got array("),
        ({"name": 3}, TypeError, "must be a str or None ... got 3"),
        ({"scale": None}, ValueError, "must be one of ['linear', 'log'] ... got None"),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "CalibrationDisplay.plot": [
        ({"scale": "logit"}, ValueError, "must be one of ['linear', 'log'] ... got 'logit'"),
        ({"scale": ONES}, ValueError, "must be one of ['linear', 'log'] ... got array("),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "WeightSearchDisplay": [
        ({"settings": None}, TypeError, "must be a list of dicts of parameters ... got None"),
        ({"settings": "lr"}, TypeError, "must be a list of dicts of parameters ... got 'lr'"),
        ({"settings": [1]}, TypeError, "must be a list of dicts of parameters ... got [1]"),
        ({"scores": [1.0]}, ValueError, "must have shape ... got"),
        ({"scores": [["a", "b"]]}, TypeError, "must hold real numbers ... got dtype <U1"),
        ({"scores": None}, ValueError, "must have shape ... got"),
        ({"best_index": 2}, ValueError, "must be None or an integer from 0 to 0 ... got 2"),
        ({"best_index": "0"}, ValueError, "must be None or an integer from 0 to 0 ... got '0'"),
        ({"metric": 3}, TypeError, "must be a str ... got 3"),
        ({"curves": []}, ValueError, "must hold one pair for each of 1 candidates ... got 0"),
        ({"curves": 3}, ValueError, "must hold one pair for each of 1 candidates ... got None"),
    ],
    "WeightSearchDisplay.from_estimator": [
        ({"search": 3}, TypeError, "must be a fitted search, such as ... got int"),
        (
            {"search": WeightSearchCV(WeightedTorchClassifier(), {})},
            NotFittedError,
            "This WeightSearchCV is not fitted yet",
            "not fitted",
        ),
        (
            {"metric": "no_such_score"},
            ValueError,
            "must be one of the scores ['score'] of the ... got 'no_such_score'",
        ),
        ({"metric": 3}, ValueError, "must be one of the scores ['score'] of the ... got 3"),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "WeightSearchDisplay.from_predictions": [
        ({"search": 3}, TypeError, "must be a fitted search, such as ... got int"),
        ({"y": LABELS[1:]}, ValueError, "must have a label for each of 40 rows of ... got 39"),
        (
            {"y": np.array([object()] * N)},
            TypeError,
            "must hold labels of one kind, which can be sorted: '<' not supported between",
        ),
        ({"y": X}, ValueError, "must hold the labels that the search was ... got shape"),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"sample_weight": LABELS == 0},
            ValueError,
            "must leave weight to held-out rows of the ... got 0 for all of them",
        ),
        ({"pos_label": 7}, ValueError, "must be one of [0, 1] ... got 7"),
        ({"pos_label": ONES}, ValueError, "must be one of [0, 1] ... got array("),
        (
            {"metric": "no_such_score"},
            ValueError,
            "must be one of the scores ['score'] of the ... got 'no_such_score'",
        ),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "WeightSearchDisplay.plot": [
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
        ({"ax": "axes"}, TypeError, "must be axes of matplotlib, or None ... got str"),
    ],
    "FeatureWeightDisplay": [
        ({"weights": ["a"]}, ValueError, "must be finite numbers of shape ... got ['a']"),
        ({"weights": []}, ValueError, "must be finite numbers of shape ... got []"),
        ({"weights": [NAN, 1.0]}, ValueError, "must be finite numbers of shape ... got [nan, 1.0]"),
        ({"weights": [1j, 1.0]}, ValueError, "must be finite numbers of shape ... got [1j, 1.0]"),
        (
            {"weights": np.array(["2020-01-01"], dtype="M8[D]")},
            ValueError,
            "must be finite numbers of shape ... got array(",
        ),
        (
            {"feature_names": ["age"]},
            ValueError,
            "must hold one entry for each of 3 features ... got 1",
        ),
        ({"feature_names": 3}, ValueError, "must hold one entry for each of 3 features ... got 3"),
        ({"initial": [1.0]}, ValueError, "must be finite numbers of shape ... got [1.0]"),
        (
            {"initial": 10**400},
            ValueError,
            "must be finite numbers of shape ... got 10000000000000000000000000000000",
        ),
    ],
    "FeatureWeightDisplay.from_estimator": [
        ({"estimator": 3}, TypeError, "must be a fitted WeightedTorchClassifier or ... got int"),
        (
            {"estimator": WeightedTorchClassifier()},
            NotFittedError,
            "This WeightedTorchClassifier is not fitted yet",
            "not fitted",
        ),
        ({"max_features": 0}, ValueError, "must be an integer >= 1 ... got 0"),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
    "FeatureWeightDisplay.plot": [
        ({"max_features": 2.0}, ValueError, "must be an integer >= 1 ... got 2.0"),
        ({"max_features": None}, ValueError, "must be an integer >= 1 ... got None"),
        ({"ax": 3}, TypeError, "must be axes of matplotlib, or None ... got int"),
    ],
}
