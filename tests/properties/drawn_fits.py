"""Random cases, each a table with what to do with it, and their fits."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from drawn_tables import (
    CONTAINERS,
    LABELS,
    NUMBERS,
    NUMBERS_OF_Y,
    TARGETS,
    WEIGHTS,
    draw_classes,
    draw_columns,
    put_in,
)
from helpers import assert_same_tensors
from hypothesis import reject
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.utils import _safe_indexing

from skweight import EffectiveSampleSizeWarning, WeightedTorchClassifier, WeightedTorchRegressor

# About few rows with much of the weight, of which a random table may be full.
EXPECTED_WARNINGS = [
    ("Columns .* of X hold numbers (so far out|that differ by little|below 1.2e-38)", UserWarning),
    ("", EffectiveSampleSizeWarning),
    ("sample_weight_power=.* acts on the total weight", UserWarning),
    ("n_members=. needs as many", UserWarning),
    ("Column .* of X is not used, because each of its categories is rare", UserWarning),
]
# Tables that cannot be learned from: too few different rows, or all weight in one class, or on
# targets beside which the others are too large.
REFUSED = (
    "early_stopping=True needs",
    "y must hold at least two classes whose rows have weight",
    "y must not span more than float32 can hold",
)


@dataclass(frozen=True)
class Case:
    """A table, a target, weights and parameters; its text is enough to make it again."""

    columns: tuple[str, ...]
    container: str
    n_kinds: int  # of different x
    n_rows: int
    target: str
    weights: str
    offset: bool
    seed: int
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def of_classes(self):
        """Whether y holds classes."""
        return self.target.startswith("classes: ")

    @cached_property
    def kind_of_row(self):
        """Which of the different x each row has: the first rows differ."""
        rng = np.random.default_rng([self.seed, 1])
        kinds = rng.integers(0, self.n_kinds, self.n_rows)
        kinds[: self.n_kinds] = np.arange(self.n_kinds)[: self.n_rows]
        return kinds

    @cached_property
    def X(self):
        """The rows."""
        frame = draw_columns(self.columns, self.n_kinds, [self.seed, 0])
        return put_in(frame.iloc[self.kind_of_row].reset_index(drop=True), self.container)

    @cached_property
    def y(self):
        """Targets, most of which are equal for equal x."""
        rng = np.random.default_rng([self.seed, 2])
        kind = self.target.split(": ")[1]
        of_kind = (
            draw_classes(kind, self.n_kinds, rng)
            if self.of_classes
            else NUMBERS_OF_Y[kind](rng, self.n_kinds)
        )
        others = rng.integers(0, self.n_kinds, self.n_rows)
        changes = rng.random(self.n_rows) < 0.2
        changes[: self.n_kinds] = False
        return of_kind[np.where(changes, others, self.kind_of_row)]

    @cached_property
    def weight(self):
        """Weights of rows; the first ones are positive, so that no class is without weight."""
        weight = WEIGHTS[self.weights](np.random.default_rng([self.seed, 3]), self.n_rows)
        if weight is not None:
            first = weight[: self.n_kinds]
            first[first == 0] = max(weight.max(), 5e-324)
        return weight

    @cached_property
    def numbers(self):
        """Weights as float64."""
        weight = np.ones(self.n_rows) if self.weight is None else self.weight
        return weight.astype(np.float64)

    @cached_property
    def counts(self):
        """Integer weights: how many copies there are of each row."""
        counts = np.random.default_rng([self.seed, 4]).integers(0, 4, self.n_rows)
        counts[: self.n_kinds] = np.maximum(counts[: self.n_kinds], 1)
        return counts

    @cached_property
    def offsets(self):
        """What is added to scores: None, or a number per row (and class, if there are several)."""
        if not self.offset:
            return None
        rng = np.random.default_rng([self.seed, 5])
        n_outputs = {"labels": 2, "two targets": 2}.get(self.target.split(": ")[1], 1)
        if self.of_classes and n_outputs == 1 and (k := len(TARGETS[self.target[9:]][1])) > 2:
            n_outputs = k
        values = rng.integers(-2, 3, (self.n_kinds, n_outputs)) / 2
        values = values[self.kind_of_row]
        return values if n_outputs > 1 else values[:, 0]

    def estimator(self, **params):
        """The estimator that is fitted, not fitted yet."""
        kind = WeightedTorchClassifier if self.of_classes else WeightedTorchRegressor
        return kind(**self.params | params)

    def fit(self, sample_weight=None, rows=None, **params):
        """Fit to the rows in these positions, with these weights."""
        X, y, offset = self.X, self.y, self.offsets
        if rows is not None:
            X, y = take(X, rows), y[rows]
            offset = offset if offset is None else offset[rows]
        return fit_quietly(self.estimator(**params), X, y, sample_weight, offset)

    def predictions(self, model):
        """All that the model says about the rows, by method."""
        names = ["predict", "predict_proba", "decision_function"]
        return {
            name: getattr(model, name)(self.X, offset=self.offsets)
            for name in names
            if hasattr(model, name)
        }

    def assert_same(self, found, expected):
        """Two fits have the same networks, losses and predictions, bit for bit."""
        self.assert_same_networks(found, expected)
        for net, other in zip(found.nets_, expected.nets_):
            assert losses_of(net, "train_loss") == losses_of(other, "train_loss")

    def assert_same_networks(self, found, expected):
        """Two fits have the same networks, validation losses and predictions, bit for bit."""
        assert len(found.nets_) == len(expected.nets_)
        for net, other in zip(found.nets_, expected.nets_):
            assert_same_tensors(net.module_.state_dict(), other.module_.state_dict())
            assert losses_of(net, "valid_loss") == losses_of(other, "valid_loss")
        expected_values = self.predictions(expected)
        for name, values in self.predictions(found).items():
            assert_array_equal(values, expected_values[name], err_msg=name)


def losses_of(net, name):
    """The recorded losses; None in each epoch if they are not recorded."""
    return [epoch.get(name) for epoch in net.history]


@contextmanager
def expected_warnings():
    """Without the warnings that random tables cause by right."""
    with warnings.catch_warnings():
        for message, category in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


def fit_quietly(model, X, y, sample_weight=None, offset=None, **validation):
    """Fit, if the table can be learned from, without expected warnings."""
    try:
        with expected_warnings():
            return model.fit(X, y, sample_weight, offset=offset, **validation)
    except ValueError as error:
        if str(error).startswith(REFUSED):
            reject()
        raise


def take(X, rows):
    """Rows of any kind of table."""
    return _safe_indexing(X, rows)


CRITERIA_OF_CLASSES = [{}, {}, {"criterion": "focal"}, {"criterion__label_smoothing": 0.1}]
BALANCED = {"class_weight": "balanced"}
WEIGHTS_OF_CLASSES = [{}, {}, BALANCED, {**BALANCED, "class_weight_power": 0.5}]
# They need a weight in every class, and scores without smoothing or margin.
PRIORS = [
    *({}, {}, {"correct_prior": True, "class_weight": "balanced"}),
    *({"logit_adjustment": 1.0}, {"logit_adjustment": 0.5, "correct_prior": True}),
]
CRITERIA_OF_NUMBERS = [
    {},
    {},
    {"criterion": "absolute_error"},
    {"criterion": "huber"},
    {"criterion": "quantile", "criterion__quantile": 0.8},
    {"criterion": "quantile", "criterion__quantile": [0.9, 0.1, 0.5]},
    {"criterion": "gaussian_nll"},
]
CRITERIA_OF_TARGET = {
    "counts": [{"criterion": "poisson"}],
    "amounts": [{"criterion": "gamma"}],
    "claims": [{"criterion": "tweedie", "criterion__power": 1.4}],
}
NETWORKS = [
    {"module__hidden_sizes": (4,)},
    {"module__hidden_sizes": (4,)},
    {"module__hidden_sizes": ()},
    {"module__hidden_sizes": (5, 3), "module__activation": "tanh"},
    {"module__hidden_sizes": (4,), "module__dropout": 0.3},
    {"module__hidden_sizes": (4,), "module__n_bins": 0, "module__clip": None},
    {"module__hidden_sizes": (4,), "module__feature_weights": 1.0},
]
CLIPPED_NETWORKS = [
    network
    for network in NETWORKS
    if network["module__hidden_sizes"] and "module__clip" not in network
]
LOG_LINKS = ("poisson", "gamma", "tweedie")


def criteria(target, weights):
    """Strategy for the criterion of this target, and what goes with it."""
    kind = target.split(": ")[1]
    if not target.startswith("classes"):
        return st.sampled_from(CRITERIA_OF_NUMBERS + CRITERIA_OF_TARGET.get(kind, []))
    chosen = st.sampled_from(CRITERIA_OF_CLASSES)
    if len(TARGETS[kind][1]) == 2:
        chosen |= st.just({"criterion": "poly_tailed"})
    first = st.builds(dict.__or__, chosen, st.sampled_from(WEIGHTS_OF_CLASSES))
    if weights == "all of float64":
        return first
    return first | st.sampled_from(PRIORS)


@st.composite
def params_of(draw, target, weights, n_kinds):
    """Parameters for an estimator of this target."""
    chosen = draw(criteria(target, weights))
    stops, n_members = False, 1
    if n_kinds >= 8:  # few rows of a class cannot be held out
        stops = draw(st.booleans())
        n_members = draw(st.sampled_from([1, 1, 1, 1, 2, 3]))
    # Exponentials of inputs that are not clipped, in rows of hardly any weight, may be infinite.
    networks = CLIPPED_NETWORKS if chosen.get("criterion") in LOG_LINKS else NETWORKS
    return {
        **chosen,
        **draw(st.sampled_from(networks)),
        "weighting": draw(st.sampled_from(["loss", "sampling"])),
        "batch_size": draw(st.sampled_from([8, 1, 3, 64, -1, "auto"])),
        "max_epochs": draw(st.sampled_from([2, 1, 3])),
        "lr": draw(st.sampled_from([0.01, 0.001])),
        "sample_weight_power": draw(st.sampled_from([1, 1, 1, 0.5, 0])),
        "ema_decay": draw(st.sampled_from(["auto", 0.0, 0.9])),
        "early_stopping": stops,
        "n_iter_no_change": draw(st.sampled_from([10, 1])),
        "n_members": n_members,
        "random_state": draw(st.sampled_from([0, 1])),
    }


@st.composite
def cases(draw, weights=None, containers=None, of_classes=False):
    """Any table, target, weights and parameters, or only of these kinds."""
    container = draw(st.sampled_from(containers or [*CONTAINERS, *["frame"] * 6, "polars"]))
    kinds = [*NUMBERS, *LABELS] if container == "frame" else [*NUMBERS]
    columns = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    if container == "csr":
        columns = ["mostly zero" if kind == "holes" else kind for kind in columns]
    targets = [f"classes: {kind}" for kind in TARGETS]
    targets += [] if of_classes else [f"numbers: {kind}" for kind in NUMBERS_OF_Y]
    target = draw(st.sampled_from(targets))
    kind_of_weights = draw(st.sampled_from(weights or [*WEIGHTS]))
    n_kinds = draw(st.integers(4, 24))
    return Case(
        columns=tuple(columns),
        container=container,
        n_kinds=n_kinds,
        n_rows=n_kinds + draw(st.integers(0, 20)),
        target=target,
        weights=kind_of_weights,
        offset=draw(st.sampled_from([False, False, False, True])),
        seed=draw(st.integers(0, 2**16)),
        params=draw(params_of(target, kind_of_weights, n_kinds)),
    )
