"""Grids of these tests have exponents of class weights beside ``class_weight=None``."""

import pytest


def pytest_itemcollected(item):
    """Such a candidate is the same as one without an exponent, and warns of it."""
    item.add_marker(pytest.mark.filterwarnings("ignore:class_weight_power="))
