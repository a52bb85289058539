"""Rows with an offset, without random numbers, and what statsmodels' linear models say of them.

The coefficients are those that this command prints, here with statsmodels 0.15.0, which no test
needs: ``pip install statsmodels && python tests/estimators/glm_reference.py``.
"""

import numpy as np

_i = np.arange(200)
X = np.c_[np.cos(_i), np.sin(2.3 * _i), (_i % 7) / 3 - 1]
EXPOSURE = 0.2 + (37 * _i**2 % 101) / 50
OFFSET = np.log(EXPOSURE)
WEIGHT = 1.0 + 5 * _i % 4
COUNT = np.floor(EXPOSURE * np.exp(X @ [0.5, -0.4, 0.2]) + (13 * _i % 17) / 10)
AMOUNT = COUNT + 0.5
_share = 1 / (1 + np.exp(-(X @ [1.0, -0.5, 0.5] + OFFSET)))
HIT = ((29 * _i % 31) / 31 < _share).astype(int)

TARGETS = {"poisson": COUNT, "gamma": AMOUNT, "tweedie": COUNT, "logistic": HIT}
# The intercept, and the coefficients of the columns of X.
COEFFICIENTS = {
    "poisson": [0.24472952, 0.40424429, -0.37120882, 0.15398183],
    "gamma": [0.74463131, 0.30420951, -0.19923727, 0.02919772],
    "tweedie": [0.30245687, 0.4162284, -0.33951654, 0.10943647],
    "logistic": [0.07286191, 0.7676239, -0.60778957, 0.44721373],
}


def main() -> None:
    """Print the coefficients."""
    import statsmodels.api as sm

    families = sm.families
    log = families.links.Log()
    of = {
        "poisson": families.Poisson(log),
        "gamma": families.Gamma(log),
        "tweedie": families.Tweedie(log, var_power=1.5),
        "logistic": families.Binomial(),
    }
    for name, family in of.items():
        model = sm.GLM(
            TARGETS[name], sm.add_constant(X), family, offset=OFFSET, freq_weights=WEIGHT
        )
        found = model.fit(tol=1e-12, maxiter=200).params
        print(f'    "{name}": {[round(float(value), 8) for value in found]},')


if __name__ == "__main__":
    main()
