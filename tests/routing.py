"""What ``docs/routing.md`` says about weights, read from the page and observed.

A table there has a line of code in each row and says in one word what becomes of the weights,
without and with metadata routing. ``observed`` runs the line with estimators that record their
weights, and says the word.
"""

import importlib.util
import re
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import sklearn
from helpers import ROOT
from sklearn.experimental import (  # noqa: F401  (they add names to the lists below)
    enable_halving_search_cv,
    enable_iterative_imputer,
)
from sklearn.metrics import make_scorer
from sklearn.model_selection import GroupKFold
from sklearn.utils.discovery import all_estimators, all_functions

import skweight

PAGE = ROOT / "docs" / "routing.md"
TEXT = PAGE.read_text()
SKLEARN = tuple(map(int, sklearn.__version__.split(".")[:2]))
ABOUT_ARGUMENTS = re.compile(
    "sample.weight|offset|groups|unexpected arg|metadata.routing|sample_domain|transform_input"
)
SKLEARN_NAMES = {**dict(all_estimators()), **dict(all_functions()), "GroupKFold": GroupKFold}
RECORDS: list[tuple[str, Any, dict[str, Any]]] = []  # method, X or None, other arguments
SETTINGS = {"without": False, "with": True}  # routing
FAILED = "error"
# What scikit-learn and other libraries refuse arguments with.
REFUSED = TypeError, ValueError, NotImplementedError, RuntimeError

# --------------------------------------------------------------------------------------
# The page
# --------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A row of a table of the page; ``says`` has the word for each of ``SETTINGS``."""

    clients: tuple[str, ...]
    line: str
    says: dict[str, str]

    def __str__(self):
        """What pytest calls a test of this row."""
        return f"{self.clients[0].rpartition('.')[2]}: {self.line[:60]}"


def rows_of(heading: str) -> list[Row]:
    """The rows of the table under a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?`) \| `(.+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    return [
        Row(tuple(re.findall("`(.+?)`", clients)), line, dict(zip(SETTINGS, words)))
        for clients, line, *words in cells
    ]


def said(row: Row, setting: str) -> str:
    """What a cell says of this version of scikit-learn: ``fit, score; before 1.7: fit only``."""
    word, _, earlier = row.says[setting].partition("; before ")
    version, _, then = earlier.partition(": ")
    return then if earlier and tuple(map(int, version.split("."))) > SKLEARN else word


def snippets() -> list[str]:
    """The blocks of Python of the page: the names that the lines use come first."""
    return re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


# --------------------------------------------------------------------------------------
# Estimators and metrics that record their weights
# --------------------------------------------------------------------------------------


def recorded(method):
    """A method that records what it is called with; its signature stays what clients read."""

    @wraps(method)
    def called(self, X, y, sample_weight=None, **others):
        RECORDS.append((method.__name__, X, {"sample_weight": sample_weight, **others}))
        return method(self, X, y, sample_weight, **others)

    return called


class WeightedTorchClassifier(skweight.WeightedTorchClassifier):
    """Named as its parent, because a pipeline names its steps by their classes."""

    fit = recorded(skweight.WeightedTorchClassifier.fit)
    score = recorded(skweight.WeightedTorchClassifier.score)


class WeightedTorchRegressor(skweight.WeightedTorchRegressor):
    """As the classifier."""

    fit = recorded(skweight.WeightedTorchRegressor.fit)
    score = recorded(skweight.WeightedTorchRegressor.score)


RECORDING = WeightedTorchClassifier, WeightedTorchRegressor


def recorded_metric(y_true, y_pred, sample_weight=None):
    """Minus the weighted mean absolute difference."""
    RECORDS.append(("score", None, {"sample_weight": sample_weight}))
    return -np.average(np.abs(y_true - y_pred), weights=sample_weight)


def recording(model):
    """An estimator of the page as one that records, with the same parameters."""
    own = type(model)
    parent = next(kind for kind in RECORDING if issubclass(own, kind.__base__))
    if own is not parent.__base__:  # a class of the page, whose parent is an estimator
        parent = type(own.__name__, (own, parent), {"__module__": __name__})
        globals()[own.__name__] = parent  # where pickle looks for it
    return parent(**model.get_params(deep=False))


# --------------------------------------------------------------------------------------
# A line of the page
# --------------------------------------------------------------------------------------


def names_for(row: Row, routing: bool, regression: bool = False) -> dict[str, Any]:
    """What the line of a row may use: the names of the page, with estimators that record.

    With ``regression``, ``net`` is a regressor and y are numbers.
    """
    names: dict[str, Any] = dict(SKLEARN_NAMES)
    _, setup, requests, by_column = snippets()[:4]
    exec(setup + by_column, names)
    for name in ("net", "reg", "column_net", "column_reg"):
        names[name] = recording(names[name])
    if regression:
        names |= {"net": names["reg"], "y": names["t"], "Y": names["T"]}
    names["scorer"] = make_scorer(recorded_metric)
    names["pipe"].set_params(net=names["net"])
    if routing:
        exec(requests, names)
    for client in row.clients:
        module, _, name = client.rpartition(".")
        if module or (name not in names and importlib.util.find_spec(name)):
            names[name] = imported(module, name)
    return names


def imported(module: str, name: str) -> Any:
    """A name of another library, or the library; skada turns on routing when it is imported."""
    with sklearn.config_context():
        return (
            getattr(importlib.import_module(module), name)
            if module
            else importlib.import_module(name)
        )


def run_line(row: Row, setting: str, regression: bool = False, **changed: Any) -> Any:
    """Run the line of a row under a setting of routing; ``changed`` are names with other values."""
    with sklearn.config_context(enable_metadata_routing=SETTINGS[setting]):
        names = names_for(row, SETTINGS[setting], regression) | changed
        line = row.line
        if regression:
            line = re.sub(r"Classifier\b", "Regressor", line)
        RECORDS.clear()
        np.random.seed(0)  # for clients without a random_state in their line
        return eval(compile(line, f"{PAGE.name}: {line}", "eval"), names), names


# --------------------------------------------------------------------------------------
# The word for what arrived
# --------------------------------------------------------------------------------------


def observed(row: Row, setting: str, regression: bool = False, of: str = "sample_weight") -> str:
    """The word of the page for what becomes of the weights, or of another argument, in a line."""
    try:
        _, names = run_line(row, setting, regression)
    except REFUSED as error:
        if not ABOUT_ARGUMENTS.search(str(error)):
            raise
        return FAILED
    X, passed = np.asarray(names["X"]), names[{"sample_weight": "w", "groups": "team"}.get(of, of)]
    words: dict[str, set[str]] = {"fit": set(), "score": set()}
    for method, of_X, arguments in RECORDS:
        words[method].add(word_for(arguments.get(of), of_X, X, passed))
    return word_of_all(words["fit"], words["score"])


def word_of_all(fits: set[str], scores: set[str]) -> str:
    """One word for all fits and scores of a line."""
    if fits == {"weights"}:
        return {(): "fit", ("none",): "fit only", ("weights",): "fit, score"}[tuple(scores)]
    mixtures = {("none", "weights"): "some fits", ("own", "weights"): "fit and own"}
    return mixtures.get(tuple(sorted(fits))) or " and ".join(sorted(fits))


def word_for(given, of_X, X, passed) -> str:
    """The word for the weights of one fit or score, whose rows are ``of_X``."""
    if given is None:
        drawn = of_X is not None and len(np.unique(np.asarray(of_X)[:, 0])) < len(of_X)
        return "drawn" if drawn else "none"
    given = np.asarray(given, dtype=float)
    if given.ndim == 2:  # validation rows, which may be scaled
        return "weights" if len(given) == len(passed) else "own"
    rows = np.array([np.argmin(np.abs(passed - value)) for value in given])
    if np.array_equal(passed[rows], given):
        repeated = len(np.unique(passed)) < len(passed)  # groups do not tell rows apart
        known = of_X is not None and not repeated
        assert not known or are_rows_of(of_X, X[rows]), "the weights are those of other rows"
        return "weights"
    if np.array_equal(given, given.round()) and given.sum() == len(X) and given.min() == 0:
        return "counts"
    return "own"


def are_rows_of(of_X, expected) -> bool:
    """Whether rows are these ones: a column may be scaled, but one must be in the same order."""
    of_X = np.asarray(of_X)
    if len(of_X) != len(expected):
        return False
    orders = [np.argsort(column, kind="stable") for column in expected.T]
    found = [np.argsort(column, kind="stable") for column in of_X.T]
    return any(np.array_equal(one, other) for one in orders for other in found)
