"""The bar of a search, and what estimators with ``verbose`` show in it."""

import re

import pytest
from searches import BINARY, WEIGHT, X, Y, classifier, grid_of
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweight import WeightSearchCV

STOPPING = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 40, "lr": 0.05}
TWO_GROUPS = BINARY | {"lr": [0.05, 0.02]}


def states_of(bar):
    """All states that were drawn, in order."""
    return [state for state in re.split(r"[\r\n]+", bar) if state.strip()]


def fit(grid=TWO_GROUPS, estimator=None, **params):
    estimator = classifier(**STOPPING) if estimator is None else estimator
    params = {"cv": 2, "refit": False, "verbose": 1} | params
    return WeightSearchCV(estimator, grid, **params).fit(X, Y, sample_weight=WEIGHT)


@pytest.mark.usefixtures("every_state")
@pytest.mark.parametrize("stack_size", ["auto", 1])
def test_the_bar_moves_with_epochs_and_names_the_group_at_work(capsys, stack_size):
    search = fit(stack_size=stack_size)
    states = states_of(capsys.readouterr().err)
    shares = [int(re.match(r" *(\d+)%", state)[1]) for state in states]
    assert shares == sorted(shares) and {*shares} > {0, 100} and len({*shares}) > 10
    named = [re.search(r"lr=[\d.]+", state)[0] for state in states if "lr=" in state]
    assert [*dict.fromkeys(named)] == ["lr=0.05", "lr=0.02"]
    assert all("class_weight, class_weight_power" in state for state in states if "lr=" in state)
    assert any(re.search("epoch  2 of 40", state) for state in states)
    assert states[-1].startswith("100%|") and "24 of 24 fits" in states[-1]
    assert search.stacked_.all() == (stack_size == "auto")


@pytest.mark.usefixtures("every_state")
def test_with_several_processes_the_bar_counts_tasks_when_they_end(capsys):
    fit(n_jobs=2)
    out, bar = capsys.readouterr()
    assert "epoch" not in bar and "lr=0.05" in bar and out == ""
    assert states_of(bar)[-1].startswith("100%|") and "24 of 24 fits" in bar


@pytest.mark.parametrize(
    ("estimator", "grid", "error_score"),
    [
        (make_pipeline(StandardScaler(), classifier()), grid_of("weightedtorchclassifier"), -1),
        (classifier(n_members=2), {"class_weight": [None, "balanced"]}, -1),
        (classifier(module__dropout=0.1), {"class_weight": [None, "balanced"]}, -1),
        (classifier(), {"class_weight": [None, {9: 1}], "callbacks": [None, []]}, -1),
        (classifier(), [{"class_weight": ["balanced"]}, {"class_weight_power": [0.5, 1]}], -1),
    ],
    ids=["pipeline", "members", "one by one", "failures", "grids"],
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.FitFailedWarning", "ignore:.*trained one by one"
)
def test_the_bar_ends_at_100_percent_whatever_is_searched(capsys, estimator, grid, error_score):
    grid = grid or {"weightedtorchclassifier__class_weight": [None, "balanced"]}
    search = WeightSearchCV(estimator, grid, cv=2, refit=False, verbose=1, error_score=error_score)
    search.fit(X, Y)
    n_fits = 2 * len(search.cv_results_["params"])
    state = states_of(capsys.readouterr().err)[-1]
    assert state.startswith("100%|") and f" {n_fits} of {n_fits} fits" in state


def test_long_values_are_cut_in_the_bar(capsys):
    hidden = tuple(range(20, 4, -1))
    fit({"module__hidden_sizes": [hidden], "class_weight": [None, "balanced"]})
    assert f"module__hidden_sizes={str(hidden)[:27]}..., class_weight" in capsys.readouterr().err


def test_an_estimator_that_prints_is_stacked_and_prints_means_of_its_stack(capsys):
    estimator, grid = classifier(verbose=1), {"class_weight": [None, "balanced"]}
    search = WeightSearchCV(estimator, grid, cv=2, refit=False).fit(X, Y)
    out, bar = capsys.readouterr()
    lines = out.splitlines()
    assert search.stacked_.all() and bar == ""
    assert lines[1].startswith("epoch 1 of 4, 4 of 4 networks: mean train_loss")
    assert len(lines) == 6 and lines[-1].startswith("4 networks: reached max_epochs at epoch 4")
    other = GridSearchCV(estimator, grid, cv=2, refit=False).fit(X, Y)
    losses = [float(loss) for loss in re.findall(r"1 of 4: train_loss ([\d.]+)", _out(capsys))]
    mean = float(re.search(r"mean train_loss ([\d.]+)", lines[1])[1])
    assert len(losses) == 4 and mean == pytest.approx(sum(losses) / 4, abs=1e-4)
    assert other.cv_results_["mean_test_score"].tolist() == [*search.cv_results_["mean_test_score"]]


def _out(capsys):
    return capsys.readouterr().out


def test_a_refit_prints_its_lines(capsys):
    fit({"class_weight": ["balanced"]}, classifier(verbose=1), refit=True, verbose=0)
    assert _out(capsys).count("epoch 4 of 4") == 3
