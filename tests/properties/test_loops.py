"""The direct training loops give the bits of autograd, for tables of any kind."""

import pytest
from drawn_fits import Case, cases, losses_of
from helpers import train_by_autograd
from hypothesis import given
from numpy.testing import assert_allclose

from skweight.stacks import train_in_stacks


def fit_by_autograd(case, **params):
    """Each network is trained alone, by the graph of autograd and the optimizers of torch."""
    with pytest.MonkeyPatch.context() as patch:
        train_by_autograd(patch)
        one_by_one = "skweight.estimators.estimator.train_in_stacks"
        patch.setattr(one_by_one, lambda trainings: train_in_stacks(trainings, most=1))
        model = case.fit(case.weight, **params)
    assert all(net.step_.startswith("autograd") for net in model.nets_)
    return model


@given(cases())
def test_the_direct_loop_has_the_bits_of_autograd(case: Case):
    found = case.fit(case.weight, n_members=1)
    assert found.net_.step_ == "direct"
    case.assert_same(found, fit_by_autograd(case, n_members=1))


@given(cases())
def test_members_in_a_stack_have_the_bits_of_autograd(case: Case):
    members = {"n_members": 3 if case.n_kinds >= 8 else 2}
    found, expected = case.fit(case.weight, **members), fit_by_autograd(case, **members)
    case.assert_same_networks(found, expected)
    for net, other in zip(found.nets_, expected.nets_):  # the mean of an epoch is summed otherwise
        losses = [losses_of(n, "train_loss") for n in (net, other)]
        assert_allclose(*losses, rtol=1e-4, atol=1e-6)
