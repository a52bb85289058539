"""Tables, targets and weights of any kind, made from a few words and a seed."""

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse


def with_holes(values, rng, missing=np.nan):
    """A copy in which about a quarter is missing, but not the first value."""
    is_missing = rng.random(len(values)) < 0.25
    is_missing[0] = False
    return np.where(is_missing, missing, values)


def with_zeros(values, rng):
    """A copy in which about half is zero, of either sign."""
    return np.where(rng.random(len(values)) < 0.5, rng.choice([0.0, -0.0], len(values)), values)


NUMBERS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "few values": lambda rng, n: rng.integers(0, 3, n) / 2,
    "constant": lambda rng, n: np.full(n, 0.1),
    "mostly zero": lambda rng, n: with_zeros(rng.normal(size=n), rng),
    "holes": lambda rng, n: with_holes(rng.normal(size=n), rng),
    "timestamps": lambda rng, n: 1.7e9 + rng.integers(0, 1000, n),
    "huge": lambda rng, n: 1e30 * rng.normal(size=n),
    "tiny": lambda rng, n: 1e-30 * rng.normal(size=n),
    "heavy tails": lambda rng, n: np.sign(rng.normal(size=n)) * np.exp(5 * rng.normal(size=n)),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "integers": lambda rng, n: rng.integers(-50, 50, n),
    "bytes": lambda rng, n: rng.integers(-128, 128, n).astype(np.int8),
    "booleans": lambda rng, n: rng.random(n) < 0.5,
    "number objects": lambda rng, n: rng.integers(0, 9, n).astype(object),
}
LABELS = {
    "strings": lambda rng, n: with_holes(rng.choice([*"abc"], n).astype(object), rng, None),
    "category": lambda rng, n: pd.Categorical(
        with_holes(rng.choice([*"abc"], n).astype(object), rng, None), categories=[*"cbaz"]
    ),
    "nullable integers": lambda rng, n: pd.array(
        with_holes(rng.integers(0, 5, n).astype(object), rng, None), dtype="Int64"
    ),
    "nullable booleans": lambda rng, n: pd.array(
        with_holes((rng.random(n) < 0.5).astype(object), rng, None), dtype="boolean"
    ),
    "string dtype": lambda rng, n: pd.array(
        with_holes(rng.choice([*"xyz"], n).astype(object), rng, None), dtype="string"
    ),
}
CONTAINERS = {
    "array": np.ascontiguousarray,
    "float32": lambda table: table.astype(np.float32),
    "columns first": np.asfortranarray,
    "every second row": lambda table: np.repeat(table, 2, axis=0)[::2],
    "objects": lambda table: table.astype(object),
    "list": lambda table: table.tolist(),
    "csr": sparse.csr_array,
}


def draw_columns(columns, n_kinds, seed):
    """A frame of ``n_kinds`` different rows."""
    rng = np.random.default_rng(seed)
    made = {
        f"{i} {kind}": pd.Series((NUMBERS | LABELS)[kind](rng, n_kinds))
        for i, kind in enumerate(columns)
    }
    return pd.DataFrame(made)


def put_in(frame, container):
    """The table in what a user would pass."""
    if container == "frame":
        return frame
    if container == "polars":
        return pl.DataFrame({name: [*column] for name, column in frame.items()})
    return CONTAINERS[container](frame.to_numpy(dtype=np.float64))


TARGETS = {
    # of classes: codes, and what they are called
    "integers": (2, np.array([0, 1])),
    "negative": (2, np.array([-1, 1])),
    "booleans": (2, np.array([False, True])),
    "strings": (2, np.array(["no", "yes"])),
    "three integers": (3, np.array([1, 2, 5])),
    "three strings": (3, np.array(["high", "low", "middle"], dtype=object)),
    "four floats": (4, np.array([0.0, 1.0, 2.0, 7.0])),
    # columns of zeros and ones
    "labels": (2, np.array([0, 1])),
}
NUMBERS_OF_Y = {
    "real": lambda rng, n: 10 * rng.normal(size=n) + 3,
    "billions": lambda rng, n: 1e9 * rng.normal(size=n) + 5e9,
    "millionths": lambda rng, n: 1e-6 * rng.normal(size=n),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "integers": lambda rng, n: rng.integers(-5, 6, n),
    "constant": lambda rng, n: np.full(n, 0.3),
    "two targets": lambda rng, n: np.c_[rng.normal(size=n), 1e3 * rng.normal(size=n)],
    "counts": lambda rng, n: np.maximum(rng.poisson(1, n), np.arange(n) == 0),
    "amounts": lambda rng, n: rng.gamma(2, 100, n),
    "claims": lambda rng, n: (
        rng.gamma(2, 100, n) * np.maximum(rng.random(n) < 0.5, np.arange(n) < 1)
    ),
}
WEIGHTS = {
    "none": lambda rng, n: None,
    "ones": lambda rng, n: np.ones(n),
    "counts": lambda rng, n: rng.integers(0, 4, n),
    "booleans": lambda rng, n: rng.random(n) < 0.7,
    "float32": lambda rng, n: rng.exponential(size=n).astype(np.float32),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "tiny": lambda rng, n: 1e-300 * rng.exponential(size=n),
    "huge": lambda rng, n: 1e303 * rng.exponential(size=n),
    "subnormal": lambda rng, n: 5e-324 * rng.integers(0, 9, n),
    "ratios of 1e12": lambda rng, n: 10.0 ** rng.uniform(-12, 0, n),
    "all of float64": lambda rng, n: 10.0 ** rng.uniform(-323, 300, n),
    "one heavy row": lambda rng, n: np.where(np.arange(n) == n - 1, 1e12, 1.0),
}


def draw_classes(kind, n, rng):
    """Labels of n rows: the first ones are of different classes."""
    if kind == "labels":
        y = rng.integers(0, 2, (n, 2))
        y[:2] = [[0, 1], [1, 0]]
        return y
    n_classes, names = TARGETS[kind]
    codes = rng.integers(0, n_classes, n)
    codes[: 2 * n_classes] = np.tile(np.arange(n_classes), 2)[:n]
    return names[codes]
