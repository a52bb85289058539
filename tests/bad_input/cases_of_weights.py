"""Summaries, recipes and replicate weights.

``case_table.py`` says what a row means.
"""

from datetime import timedelta

import numpy as np
from calls import GROUPS, INF, LABELS, NAN, NUMBERS, ONES, REPLICATES, N, spoiled

CASES = {
    "weight_summary": [
        ({"y": "target"}, TypeError, "must hold a target for each row of X ... got 'target'"),
        ({"y": np.ones((N, 2))}, ValueError, "must be 1-D with one label per row ... got shape"),
        ({"y": []}, ValueError, "must be 1-D with one label per row ... got shape"),
        (
            {"y": spoiled(LABELS, None)},
            ValueError,
            "must not be missing in a row with weight ... got None at position 3",
        ),
        (
            {"y": [0, "a"] * 20},
            TypeError,
            "must hold labels of one kind, which can be sorted: '<' not supported between",
        ),
        (
            {"y": [0, [1, 2]] * 20},
            ValueError,
            "must have the same shape in every row: setting an array element with a sequenc",
        ),
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
            {"sample_weight": 10**400},
            ValueError,
            "must hold real numbers: int too large to convert to float",
        ),
        (
            {"class_weight": "balance"},
            ValueError,
            "must be None, \"balanced\", a dict or a ... got 'balance'",
        ),
        ({"class_weight": {7: 1}}, ValueError, "must name classes that are in y, [0, 1] ... got 7"),
        ({"class_weight": [1, 2]}, TypeError, 'must be None, "balanced", a dict or a ... got list'),
        (
            {"class_weight": "balanced", "y": NUMBERS},
            ValueError,
            "must be None where y is a regression target ... got 'balanced' and non-integra",
        ),
    ],
    "effective_sample_size": [
        (
            {"sample_weight": 0 * ONES},
            ValueError,
            "must hold at least one positive weight, but all 40 are zero",
        ),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"sample_weight": []},
            ValueError,
            "must hold at least one positive weight, but all 0 are zero",
        ),
        (
            {"sample_weight": 3.0},
            ValueError,
            "must be 1-D with one weight per row, shape ... got 0-D with shape",
        ),
        (
            {"sample_weight": np.ones((N, 2))},
            ValueError,
            "must be 1-D with one weight per row, shape ... got 2-D with shape",
        ),
    ],
    "effective_number": [
        ({"beta": 1}, ValueError, "must be a real number in [0, 1) ... got 1"),
        ({"beta": -0.1}, ValueError, "must be a real number in [0, 1) ... got -0.1"),
        ({"beta": "0.9"}, ValueError, "must be a real number in [0, 1) ... got '0.9'"),
        ({"beta": NAN}, ValueError, "must be a real number in [0, 1) ... got nan"),
        (
            {"beta": 10**400},
            ValueError,
            "must be a real number in [0, 1) ... got 10000000000000000000000000000000",
        ),
        (
            {"beta": np.array([10.0, 20.0])},
            ValueError,
            "must be a real number in [0, 1) ... got an array: pass effective_number(",
        ),
        ({"beta": False}, ValueError, "must be a real number in [0, 1) ... got False"),
    ],
    "effective_number called": [
        ({"counts": ["a", "b"]}, TypeError, "must hold real numbers ... got dtype <U1"),
        (
            {"counts": [1, [2, 3]]},
            ValueError,
            "must have the same shape in every row: setting an array element with a sequenc",
        ),
        ({"counts": [1j, 2j]}, TypeError, "must hold real numbers ... got dtype complex128"),
    ],
    "time_decay": [
        ({"age": -ONES}, ValueError, "must be non-negative and finite ... got -1.0 at position 0"),
        ({"age": 3.0}, ValueError, "must be 1-D with one value per row ... got shape"),
        (
            {"age": spoiled(ONES, NAN)},
            ValueError,
            "must be non-negative and finite ... got nan at position 3",
        ),
        ({"age": ["old"] * N}, TypeError, "must hold real numbers ... got dtype <U3"),
        (
            {"age": [1, [2, 3]]},
            ValueError,
            "must have the same shape in every row: setting an array element with a sequenc",
        ),
        (
            {"age": np.ma.array(ONES, mask=LABELS == 1)},
            ValueError,
            "must hold no masked values ... got 20 of them, the first at positio",
        ),
        ({"half_life": 0}, ValueError, "must be one positive, finite value ... got 0"),
        ({"half_life": [1, 2]}, ValueError, "must be one positive, finite value ... got [1, 2]"),
        ({"half_life": "a week"}, TypeError, "must hold real numbers ... got dtype <U6"),
        (
            {"half_life": timedelta(days=1)},
            TypeError,
            "must be a number, as age holds numbers ... got datetime.timedelta(days=1)",
        ),
        (
            {"half_life": np.timedelta64(1, "M")},
            TypeError,
            "must hold timedeltas of a fixed length: Cannot get a common metadata divisor",
        ),
    ],
    "clip_weights": [
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        (
            {"sample_weight": 0 * ONES},
            ValueError,
            "must hold at least one positive weight, but all 40 are zero",
        ),
        ({"sample_weight": "weight"}, TypeError, "must hold real numbers ... got dtype <U6"),
        ({"ratio": 0.5}, ValueError, "must be a finite number of at least 1 ... got 0.5"),
        ({"ratio": INF}, ValueError, "must be a finite number of at least 1 ... got inf"),
        ({"ratio": "2"}, ValueError, "must be a finite number of at least 1 ... got '2'"),
        ({"ratio": True}, ValueError, "must be a finite number of at least 1 ... got True"),
        (
            {"ratio": 10**400},
            ValueError,
            "must be a finite number of at least 1 ... got 10000000000000000000000000000000",
        ),
    ],
    "bootstrap_weights": [
        ({"strata": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        ({"strata": "region"}, TypeError, "must have one label per row ... got 'region'"),
        (
            {"strata": spoiled(GROUPS, NAN)},
            ValueError,
            "must not be missing ... got nan at position 3",
        ),
        (
            {"strata": np.arange(N) % 8},
            ValueError,
            "must have at least two clusters in some ... got one in each of the 8 strata",
        ),
        ({"clusters": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        (
            {"clusters": [1, "a"] * 20},
            TypeError,
            "must hold labels of one kind, which can be sorted: '<' not supported between",
        ),
        (
            {"clusters": np.ones((N, 2))},
            ValueError,
            "must have one label per row, shape ... got shape",
        ),
        (
            {"sample_weight": -ONES},
            ValueError,
            "must be non-negative ... got a smallest value of -1.0 at posi",
        ),
        ({"n_replicates": 1}, ValueError, "must be an integer of at least 2 ... got 1"),
        ({"n_replicates": 2.5}, ValueError, "must be an integer of at least 2 ... got 2.5"),
        ({"random_state": -1}, ValueError, "must be None, a non-negative integer, a ... got -1"),
        ({"random_state": "0"}, ValueError, "must be None, a non-negative integer, a ... got '0'"),
        ({"random_state": 1.5}, ValueError, "must be None, a non-negative integer, a ... got 1.5"),
        (
            {"single_cluster": "centre"},
            ValueError,
            "must be one of ['error', 'center', ... got 'centre'",
        ),
        ({"single_cluster": ONES}, ValueError, "must be one of ['error', 'center', ... got array("),
    ],
    "jackknife_weights": [
        (
            {"strata": [1, [2, 3]] * 20},
            ValueError,
            "must have the same shape in every row: setting an array element with a sequenc",
        ),
        (
            {"strata": np.arange(N)},
            ValueError,
            "must have at least two clusters in some ... got one in each of the 40 strata",
        ),
        ({"clusters": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        ({"clusters": "person"}, TypeError, "must have one label per row ... got 'person'"),
        (
            {"sample_weight": spoiled(ONES, NAN)},
            ValueError,
            "must be finite ... got 1 NaN value(s), the first at pos",
        ),
        ({"single_cluster": None}, ValueError, "must be one of ['error', 'center', ... got None"),
    ],
    "brr_weights": [
        (
            {"strata": np.arange(N) % 2},
            ValueError,
            "must have exactly two clusters each for ... got 4 clusters at most, and more t",
        ),
        ({"strata": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        (
            {"clusters": spoiled(GROUPS, None)},
            ValueError,
            "must not be missing ... got None at position 3",
        ),
        ({"clusters": GROUPS[1:]}, ValueError, "must have one label per row, shape ... got shape"),
        (
            {"sample_weight": 0 * ONES},
            ValueError,
            "must hold at least one positive weight, but all 40 are zero",
        ),
        ({"fay": 1}, ValueError, "must be a number in [0, 1) ... got 1"),
        ({"fay": "0"}, ValueError, "must be a number in [0, 1) ... got '0'"),
        ({"fay": ONES}, ValueError, "must be a number in [0, 1) ... got array("),
        ({"single_cluster": 3}, ValueError, "must be one of ['error', 'center', ... got 3"),
    ],
    "ReplicateWeights": [
        (
            {"weights": ONES},
            ValueError,
            "must be 2-D with a row per row and a column ... got shape",
        ),
        (
            {"weights": np.ones((N, 1))},
            ValueError,
            "must hold at least two replicates ... got 1 in shape",
        ),
        (
            {"weights": -REPLICATES},
            ValueError,
            "[:, 0] must be non-negative ... got a smallest value of -1.099228238",
        ),
        ({"weights": "w"}, TypeError, "must hold real numbers ... got dtype <U1"),
        (
            {"weights": 0 * REPLICATES},
            ValueError,
            "[:, 0] must hold at least one positive weight, but all 40 are zero",
        ),
        (
            {"method": "boot"},
            ValueError,
            "must be one of ['bootstrap', 'brr', 'jk1', ... got 'boot'",
        ),
        ({"method": None}, ValueError, "must be one of ['bootstrap', 'brr', 'jk1', ... got None"),
        ({"method": ONES}, ValueError, "must be one of ['bootstrap', 'brr', 'jk1', ... got array("),
        (
            {"method": "jkn", "scale": None},
            ValueError,
            'scale must be given for method "jkn" ... got None:',
        ),
        ({"scale": -1}, ValueError, "must be finite and non-negative ... got -1.0 for replicate 0"),
        ({"scale": [1, 2]}, ValueError, "must be a number or hold one for each of ... got shape"),
        ({"scale": NAN}, ValueError, "must be finite and non-negative ... got nan for replicate 0"),
        ({"scale": "1"}, TypeError, "must hold real numbers ... got dtype <U1"),
        (
            {"degrees_of_freedom": 0},
            ValueError,
            "must be None or an integer of at least 1 ... got 0",
        ),
        (
            {"degrees_of_freedom": 2.5},
            ValueError,
            "must be None or an integer of at least 1 ... got 2.5",
        ),
        (
            {"degrees_of_freedom": "3"},
            ValueError,
            "must be None or an integer of at least 1 ... got '3'",
        ),
    ],
}
