"""Budgets of the properties: a few examples, the same in every run, or very many random ones."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "ordinary",
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=SLOW,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.register_profile(
    "long",
    max_examples=int(os.environ.get("EXAMPLES", "1000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=SLOW,
)


def is_long_run(config):
    """Whether ``-m long`` was asked for."""
    return config.getoption("-m") == "long"


def pytest_configure(config):
    """Choose the budget before tests are defined."""
    settings.load_profile("long" if is_long_run(config) else "ordinary")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """All properties are tests of a long run too."""
    for item in items:
        if is_long_run(config) and "properties" in item.path.parts:
            item.add_marker("long")
