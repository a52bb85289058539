"""Layers, the default network, losses as modules, and files of them.

``case_table.py`` says what a row means.
"""

import torch
from calls import INF, NAN, ONES
from scipy import sparse

CASES = {
    "FeatureWeight": [
        ({"n_features": 0}, ValueError, "must be an integer >= 1 ... got 0"),
        ({"n_features": "a"}, ValueError, "must be an integer >= 1 ... got 'a'"),
        ({"n_features": 1.5}, ValueError, "must be an integer >= 1 ... got 1.5"),
        ({"n_features": True}, ValueError, "must be an integer >= 1 ... got True"),
        ({"n_features": ONES}, ValueError, "must be an integer >= 1 ... got array("),
        ({"init": [1.0, 2.0]}, ValueError, "must be a number or hold one number for ... got shape"),
        (
            {"init": -1.0},
            ValueError,
            "must be finite and non-negative ... got values from -1.0 to -1.0",
        ),
        (
            {"init": NAN},
            ValueError,
            "must be finite and non-negative ... got values from nan to nan",
        ),
        (
            {"init": "a"},
            TypeError,
            "must be a number or hold one number for ... got str: new(): invalid data type",
        ),
        (
            {"init": None},
            TypeError,
            "must be a number or hold one number for ... got NoneType: must be real number,",
        ),
        (
            {"init": 10**400},
            TypeError,
            "must be a number or hold one number for ... got int: int too large to convert",
        ),
        (
            {"init": sparse.csr_matrix(ONES)},
            TypeError,
            "must be a number or hold one number for ... got csr_matrix: sparse array lengt",
        ),
        ({"learnable": 3}, ValueError, "must be True or False ... got 3"),
        ({"learnable": "no"}, ValueError, "must be True or False ... got 'no'"),
        ({"learnable": None}, ValueError, "must be True or False ... got None"),
        ({"learnable": ONES}, ValueError, "must be True or False ... got array("),
    ],
    "WeightedLinear": [
        ({"in_features": "a"}, ValueError, "must be an integer >= 1 ... got 'a'"),
        ({"in_features": -1}, ValueError, "must be an integer >= 1 ... got -1"),
        ({"in_features": None}, ValueError, "must be an integer >= 1 ... got None"),
        ({"out_features": 0}, ValueError, "must be an integer >= 1 ... got 0"),
        ({"out_features": 2.0}, ValueError, "must be an integer >= 1 ... got 2.0"),
        (
            {"feature_weights": [1.0]},
            ValueError,
            "must be a number or hold one number for ... got shape",
        ),
        (
            {"feature_weights": -1},
            ValueError,
            "must be finite and non-negative ... got values from -1.0 to -1.0",
        ),
        (
            {"feature_weights": {"age": 1.0}},
            TypeError,
            "must be a number or hold one number for ... got dict: must be real number, not",
        ),
        (
            {"output_weights": [1.0, 2.0, 3.0]},
            ValueError,
            "must be a number or hold one number for ... got shape",
        ),
        (
            {"output_weights": INF},
            ValueError,
            "must be finite and non-negative ... got values from inf to inf",
        ),
        (
            {"output_weights": "a"},
            TypeError,
            "must be a number or hold one number for ... got str: new(): invalid data type",
        ),
        ({"learnable": 3}, ValueError, "must be True or False ... got 3"),
        ({"learnable": None}, ValueError, "must be True or False ... got None"),
        ({"bias": "yes"}, ValueError, "must be True or False ... got 'yes'"),
        ({"bias": 1}, ValueError, "must be True or False ... got 1"),
    ],
    "MLP": [
        ({"n_features": 0}, ValueError, "must be an integer >= 1 ... got 0"),
        ({"n_features": "a"}, ValueError, "must be an integer >= 1 ... got 'a'"),
        ({"n_outputs": -1}, ValueError, "must be an integer >= 1 ... got -1"),
        ({"n_outputs": None}, ValueError, "must be an integer >= 1 ... got None"),
        (
            {"hidden_sizes": b"ab"},
            ValueError,
            "module__hidden_sizes must be a sequence of ... got b'ab'",
        ),
        (
            {"hidden_sizes": {4: 4}},
            ValueError,
            "module__hidden_sizes must be a sequence of ... got {4: 4}",
        ),
        ({"dropout": NAN}, ValueError, "module__dropout must be a number in [0, 1) ... got nan"),
        (
            {"clip": 10**400},
            ValueError,
            "module__clip must be a number > 0, None or ... got 100000000000000000000000000",
        ),
        (
            {"n_bins": int},
            ValueError,
            "module__n_bins must be 0, an integer >= 2 ... got <class 'int'>",
        ),
        (
            {"max_indicators": ONES},
            ValueError,
            "module__max_indicators must be an integer ... got array(",
        ),
        (
            {"embedding_size": 2.0},
            ValueError,
            "module__embedding_size must be an integer ... got 2.0",
        ),
        ({"activation": 3}, ValueError, "module__activation must be one of ['relu', ... got 3"),
        (
            {"feature_weights": "a"},
            TypeError,
            "module__feature_weights must be a number or ... got str: new(): invalid data t",
        ),
        (
            {"learnable_feature_weights": None},
            ValueError,
            "module__learnable_feature_weights must be ... got None",
        ),
        (
            {"zero_output": ONES},
            ValueError,
            "module__zero_output must be True or False ... got array(",
        ),
    ],
    "CrossEntropy": [
        (
            {"label_smoothing": 1.0},
            ValueError,
            "criterion__label_smoothing must be a number ... got 1.0",
        ),
        (
            {"label_smoothing": -0.1},
            ValueError,
            "criterion__label_smoothing must be a number ... got -0.1",
        ),
        (
            {"label_smoothing": "0"},
            ValueError,
            "criterion__label_smoothing must be a number ... got '0'",
        ),
    ],
    "Focal": [
        ({"gamma": -1}, ValueError, "criterion__gamma must be a number >= 0 ... got -1"),
        ({"gamma": NAN}, ValueError, "criterion__gamma must be a number >= 0 ... got nan"),
        (
            {"gamma": 10**400},
            ValueError,
            "criterion__gamma must be a number >= 0 ... got 1000000000000000000000000000000",
        ),
    ],
    "PolyTailed": [
        ({"alpha": 0}, ValueError, "criterion__alpha must be a number > 0 ... got 0"),
        ({"alpha": None}, ValueError, "criterion__alpha must be a number > 0 ... got None"),
        ({"alpha": True}, ValueError, "criterion__alpha must be a number > 0 ... got True"),
    ],
    "Huber": [
        ({"delta": 0}, ValueError, "criterion__delta must be a number > 0 ... got 0"),
        ({"delta": INF}, ValueError, "criterion__delta must be a number > 0 ... got inf"),
        ({"delta": "1"}, ValueError, "criterion__delta must be a number > 0 ... got '1'"),
    ],
    "Quantile": [
        ({"quantile": 0}, ValueError, "criterion__quantile must be a number ... got 0"),
        (
            {"quantile": [0.5, 0.5]},
            ValueError,
            "criterion__quantile must be a number ... got [0.5, 0.5]",
        ),
        ({"quantile": []}, ValueError, "criterion__quantile must be a number ... got []"),
        ({"quantile": "0.5"}, ValueError, "criterion__quantile must be a number ... got '0.5'"),
    ],
    "TweedieDeviance": [
        ({"power": 0.5}, ValueError, "criterion__power must be a number >= 1 ... got 0.5"),
        ({"power": NAN}, ValueError, "criterion__power must be a number >= 1 ... got nan"),
        ({"power": 1j}, ValueError, "criterion__power must be a number >= 1 ... got 1j"),
    ],
    "skops_types": [
        ({"own": 3}, TypeError, "must be classes or functions ... got 3"),
        ({"own": "Net"}, TypeError, "must be classes or functions ... got 'Net'"),
        (
            {"own": torch.nn.Linear(3, 1)},
            TypeError,
            "must be classes or functions ... got Linear(in_features=3, out_featur",
        ),
        ({"own": None}, TypeError, "must be classes or functions ... got None"),
    ],
    "TrainingCheckpoint": [
        ({"path": 3}, TypeError, "callbacks: TrainingCheckpoint must have a ... got int"),
        ({"path": None}, TypeError, "callbacks: TrainingCheckpoint must have a ... got NoneType"),
        (
            {"path": "/no/such/folder/file"},
            ValueError,
            "callbacks: TrainingCheckpoint must have the ... got '/no/such/folder/file'",
        ),
        ({"every": 0}, ValueError, "callbacks: TrainingCheckpoint must have an ... got 0"),
        ({"every": 1.5}, ValueError, "callbacks: TrainingCheckpoint must have an ... got 1.5"),
        (
            {"every": "often"},
            ValueError,
            "callbacks: TrainingCheckpoint must have an ... got 'often'",
        ),
    ],
}
