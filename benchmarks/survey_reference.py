"""Data and reference numbers of ``tests/ensembles/test_against_samplics.py``.

The tables are those that the wheel of samplics ships. Means, proportions, totals and ratios are
computed by samplics, and svy has to agree; the replicates of regressions are fitted by statsmodels,
and svy has to agree where it computes the same, which is around the mean of the replicates.

It needs packages that nothing else here needs, so it has an environment of its own:

    python -m venv .venv-survey
    .venv-survey/bin/pip install samplics==0.6.1 svy==0.35.0
    .venv-survey/bin/python benchmarks/survey_reference.py

Both lie in ``tests/ensembles/data`` then; a second run writes the same bytes.
"""

import gzip
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parents[1] / "tests" / "ensembles" / "data"
WEIGHT = "finalwgt"
FEATURES = ["decimetres", "decimetres_above"]


@dataclass(frozen=True)
class Survey:
    """A table with replicate weights, and what is estimated from it.

    Parameters
    ----------
    table : DataFrame
    prefix : str
        The columns of replicate weights are those that begin with it.
    method : str
        As in skweight.
    scale : float
        Factor of a squared deviation from the estimate of the full sample.
    scale_of_mean : float
        Factor of a squared deviation from the mean of the replicates.
    numbers, shares : list of str
        Columns with a mean; those of 0 and 1, which have a total too.
    models : dict
        Target of a regression on ``FEATURES``, and its family.
    degrees_of_freedom : int
    """

    table: pd.DataFrame
    prefix: str
    method: str
    scale: float
    scale_of_mean: float
    numbers: list[str]
    shares: list[str]
    models: dict[str, str]
    degrees_of_freedom: int

    @property
    def weight(self) -> Any:
        """Weights of the full sample."""
        return self.table[WEIGHT].to_numpy(float)

    @property
    def replicates(self) -> Any:
        """Weights of the replicates, one in each column."""
        return self.table.filter(regex=f"^{self.prefix}").to_numpy(float)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """Height as a line that bends at 168 cm, and whether the body mass index is 25 or more."""
    decimetres = ((table["height"] - 168) / 10).round(8)
    index = table["weight"] / (table["height"] / 100) ** 2
    own = {
        "decimetres": decimetres,
        "decimetres_above": decimetres.clip(lower=0),
        "overweight": (index >= 25).astype(int),
    }
    return pd.concat([pd.DataFrame(own), table], axis=1)


def surveys() -> dict[str, Survey]:
    """The three tables with replicate weights."""
    from samplics.datasets import load_nhanes2brr, load_nhanes2jk, load_nmihs

    births = load_nmihs()["data"]
    births.insert(0, "low_birth_weight", (births["birth_weight"] < 2500).astype(int))
    models = {"weight": "gaussian", "overweight": "binomial"}
    people = ["weight", "height"], ["overweight"], models
    born = ["birth_weight"], ["low_birth_weight"], {}
    brr, jackknife = measured(load_nhanes2brr()["data"]), measured(load_nhanes2jk()["data"])
    return {
        "nhanes2_brr": Survey(brr, "brr_", "brr", 1 / 32, 1 / 32, *people, 31),
        # Two clusters in each of 31 strata: (n_h - 1) / n_h = 1/2.
        "nhanes2_jackknife": Survey(jackknife, "jkw_", "jkn", 1 / 2, 1 / 2, *people, 31),
        "nmihs_bootstrap": Survey(births, "bsrw", "bootstrap", 1 / 50, 1 / 49, *born, 49),
    }


# --------------------------------------------------------------------------------------
# Means and totals
# --------------------------------------------------------------------------------------


def by_samplics(
    survey: Survey, statistic: str, y: str, x: str | None, mse: bool
) -> tuple[float, float]:
    """An estimate and its standard error by samplics."""
    from samplics.estimation import ReplicateEstimator
    from samplics.utils.types import PopParam, RepMethod

    method = {"brr": RepMethod.brr, "jkn": RepMethod.jackknife, "bootstrap": RepMethod.bootstrap}
    estimator = ReplicateEstimator(method[survey.method], PopParam[statistic])
    scale = survey.scale if mse else survey.scale_of_mean
    estimator.estimate(
        y=survey.table[y].to_numpy(float),
        x=None if x is None else survey.table[x].to_numpy(float),
        samp_weight=survey.weight,
        rep_weights=survey.replicates,
        rep_coefs=np.full(survey.replicates.shape[1], scale),
        conservative=mse,
    )
    return float(estimator.point_est), float(estimator.stderror)


def svy_sample(survey: Survey, mse: bool) -> Any:
    """The survey as svy takes it."""
    import polars as pl
    import svy

    kind = {"brr": svy.BrrWgts, "jkn": svy.JackknifeWgts, "bootstrap": svy.BootstrapWgts}
    n = survey.replicates.shape[1]
    weights = kind[survey.method](
        prefix=survey.prefix,
        n_reps=n,
        df=survey.degrees_of_freedom,
        scale=[survey.scale if mse else survey.scale_of_mean] * n,
    )
    return svy.Sample(pl.from_pandas(survey.table), svy.Design(wgt=WEIGHT, rep_wgts=weights))


def by_svy(survey: Survey, name: str, y: str, x: str | None, mse: bool) -> tuple[float, float]:
    """An estimate and its standard error by svy, which would linearise without ``method``."""
    estimation = svy_sample(survey, mse).estimation
    found = getattr(estimation, name)(
        *([y] if x is None else [y, x]),
        method="replication",
        variance_center="estimate" if mse else "rep_mean",
    ).to_polars()
    return found["est"].item(), found["se"].item()


def means(survey: Survey) -> Iterator[tuple[str, dict[str, Any]]]:
    """Statistics that need no model."""
    wanted = [("mean", y, None) for y in survey.numbers + survey.shares]
    wanted += [("total", y, None) for y in survey.shares]
    if len(survey.numbers) > 1:
        wanted.append(("ratio", *survey.numbers))
    for name, y, x in wanted:
        errors = {}
        for mse in (True, False):
            value, errors[around(mse)] = by_samplics(survey, name, y, x, mse)
            other = by_svy(survey, name, y, x, mse)
            np.testing.assert_allclose(other, (value, errors[around(mse)]), rtol=1e-9)
        entry = {"statistic": name, "columns": [y] if x is None else [y, x]}
        yield f"{name}_{y}", entry | {"value": value, "standard_error": errors}


def around(mse: bool) -> str:
    """What deviations are from."""
    return "estimate" if mse else "replicate_mean"


# --------------------------------------------------------------------------------------
# Regressions
# --------------------------------------------------------------------------------------


def coefficients(survey: Survey, y: str, weight: Any) -> Any:
    """Intercept and slopes of a weighted regression."""
    import statsmodels.api as sm

    family = {"gaussian": sm.families.Gaussian, "binomial": sm.families.Binomial}
    rows = weight > 0
    X = sm.add_constant(survey.table[FEATURES].to_numpy(float))[rows]
    model = sm.GLM(
        survey.table[y].to_numpy(float)[rows],
        X,
        family=family[survey.models[y]](),
        freq_weights=weight[rows] / weight[rows].mean(),
    )
    return model.fit(tol=1e-13, tol_criterion="params", maxiter=100).params


def regressions(survey: Survey) -> Iterator[tuple[str, dict[str, Any]]]:
    """Coefficients with standard errors."""
    for y, family in survey.models.items():
        value = coefficients(survey, y, survey.weight)
        replicates = np.array([coefficients(survey, y, w) for w in survey.replicates.T])
        errors = {
            around(mse): np.sqrt(scale * ((replicates - centre) ** 2).sum(axis=0))
            for mse, scale, centre in (
                (True, survey.scale, value),
                (False, survey.scale_of_mean, replicates.mean(axis=0)),
            )
        }
        fit = svy_sample(survey, mse=False).glm.fit(
            y=y, x=FEATURES, family=family, method="replication", tol=1e-13
        )
        theirs = fit.to_polars()
        np.testing.assert_allclose(theirs["estimate"], value, rtol=1e-7)
        np.testing.assert_allclose(theirs["std_err"], errors[around(False)], rtol=1e-7)
        yield (
            f"{family}_{y}",
            {
                "statistic": family,
                "columns": [y, *FEATURES],
                "value": value.tolist(),
                "standard_error": {name: error.tolist() for name, error in errors.items()},
            },
        )


# --------------------------------------------------------------------------------------
# A design without replicate weights
# --------------------------------------------------------------------------------------


def design_reference(table: pd.DataFrame) -> dict[str, Any]:
    """Standard errors from strata and clusters: linearised, jackknife, balanced half-samples."""
    import polars as pl
    import svy
    from samplics.estimation import TaylorEstimator
    from samplics.utils.types import PopParam

    sample = svy.Sample(
        pl.from_pandas(table), svy.Design(stratum="stratid", psu="psuid", wgt=WEIGHT)
    )
    made = {
        "jkn": sample.weighting.create_jk_wgts().estimation,
        "brr": sample.weighting.create_brr_wgts().estimation,
    }
    statistics = {}
    for name, y in (("mean", "zinc"), ("mean", "highbp"), ("total", "highbp")):
        linearised = TaylorEstimator(PopParam[name])
        linearised.estimate(
            y=table[y],
            samp_weight=table[WEIGHT],
            stratum=table["stratid"],
            psu=table["psuid"],
            remove_nan=True,
        )
        errors = {"linearised": float(linearised.stderror)}
        for method, estimation in made.items():
            found = getattr(estimation, name)(
                y, method="replication", variance_center="estimate", drop_nulls=True
            ).to_polars()
            np.testing.assert_allclose(found["est"].item(), linearised.point_est, rtol=1e-12)
            errors[method] = found["se"].item()
        statistics[f"{name}_{y}"] = {
            "statistic": name,
            "columns": [y],
            "value": float(linearised.point_est),
            "standard_error": errors,
        }
    return {"rows": len(table), "degrees_of_freedom": 31, "statistics": statistics}


# --------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------


def write(table: pd.DataFrame, name: str) -> None:
    """A compressed CSV whose bytes depend on the table only."""
    text = table.to_csv(index=False, lineterminator="\n")
    path = FOLDER / f"{name}.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    pd.testing.assert_frame_equal(pd.read_csv(path), table, check_exact=True)


def main() -> None:
    """Write the tables and ``reference.json``."""
    warnings.filterwarnings("ignore", "samplics is archived", FutureWarning)
    from samplics.datasets import load_nhanes2

    FOLDER.mkdir(parents=True, exist_ok=True)
    packages = ("samplics", "svy", "svy-rs", "statsmodels", "numpy")
    found: dict[str, Any] = {"versions": {name: version(name) for name in packages}}
    for name, survey in surveys().items():
        ratio = survey.replicates / survey.weight[:, None]
        found[name] = {
            "rows": len(survey.table),
            "weight": WEIGHT,
            "prefix": survey.prefix,
            "replicates": survey.replicates.shape[1],
            "method": survey.method,
            "scale": {"estimate": survey.scale, "replicate_mean": survey.scale_of_mean},
            "degrees_of_freedom": survey.degrees_of_freedom,
            "rank": int(np.linalg.matrix_rank(ratio - 1)),
            "statistics": dict([*means(survey), *regressions(survey)]),
        }
        write(survey.table, name)
    table = load_nhanes2()["data"][["stratid", "psuid", WEIGHT, "zinc", "highbp"]]
    found["nhanes2_design"] = design_reference(table)
    write(table, "nhanes2_design")
    (FOLDER / "reference.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
