"""A small run of ``benchmarks/audit.py``: distributions over seeds, and class weights at 1 %."""

import numpy as np
import pytest
from helpers import load_script

audit = load_script("benchmarks/audit.py")
SEEDS = 24


@pytest.mark.parametrize("case", ["two classes, loss", "numbers, sampling"])
def test_weighted_and_repeated_fits_have_the_same_distribution_over_seeds(case):
    weighted, repeated, unweighted = audit.fits(case, SEEDS)
    assert audit.smallest_p(weighted, repeated, audit.N_POINTS) > 0.05
    assert audit.smallest_p(weighted, unweighted, audit.N_POINTS) < 0.01


@pytest.mark.parametrize("weighting", ["loss", "sampling"])
@pytest.mark.parametrize("criterion", ["cross_entropy", "focal", "poly_tailed"])
@pytest.mark.filterwarnings("ignore:A few rows have most of the weight")
def test_balanced_class_weights_lead_to_one_half_for_every_criterion(criterion, weighting):
    means = [audit.mean_probability(seed, criterion, weighting) for seed in range(2)]
    assert np.mean(means) == pytest.approx(0.5, abs=0.015)
