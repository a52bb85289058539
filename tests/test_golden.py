"""Moving code changes no number: fits have the bits that they had before, see ``golden.py``."""

import json

import pytest
from golden import FILE, FITS, compute, where

KNOWN = json.loads(FILE.read_text())


@pytest.mark.skipif(KNOWN["where"] != where(), reason=f"written on {KNOWN['where']}")
@pytest.mark.parametrize("name", FITS)
def test_fits_have_the_bits_that_they_had(name):
    assert compute(name) == KNOWN["fits"][name]


def test_different_fits_have_different_fingerprints():
    """All but those that must be equal by law, such as a dense X and its CSR form."""
    digests = [*KNOWN["fits"].values()]
    assert [*KNOWN["fits"]] == [*FITS]
    assert len({*digests}) > 0.85 * len(digests)
