"""Embeddings of categories: which row is read, how it begins, and what stays at 0."""

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skweight.modules import CategoryEmbedding


def layer(size=3):
    torch.manual_seed(0)
    return CategoryEmbedding([1, 3], [20, 11], size)


def test_every_column_reads_its_own_rows_of_the_table():
    embedding = layer()
    X = torch.tensor([[9.0, 4.0, 9.0, 10.0], [9.0, 19.0, 9.0, 1.0]])
    expected = embedding.weight[torch.tensor([[4, 20 + 10], [19, 20 + 1]])]
    assert_array_equal(embedding(X).detach(), expected.flatten(1).detach())
    assert embedding(X).shape == (2, 6) and embedding(X).any(dim=0).all()
    assert embedding(X.reshape(2, 1, 4)).shape == (2, 1, 6)
    assert repr(embedding) == "CategoryEmbedding(((1, 20), (3, 11)), size=3)"


def test_rows_begin_small_and_random_and_those_of_code_0_at_zero():
    embedding = layer(size=50)
    others = np.delete(embedding.weight.detach().numpy(), [0, 20], axis=0)
    assert not embedding.weight[[0, 20]].any() and others.all()
    assert_allclose(others.std(), 0.1, rtol=0.1)
    assert abs(others.mean()) < 0.01


def test_codes_without_training_rows_are_set_to_zero_and_no_others():
    embedding = layer()
    before = embedding.weight.detach().clone()
    shares = {1: torch.full((20,), 0.05), 3: torch.full((11,), 0.1)}
    shares[1][7] = shares[3][0] = shares[3][10] = 0.0
    embedding.adapt(shares)
    changed = (embedding.weight != before).any(dim=1).nonzero().flatten()
    assert_array_equal(changed, [7, 30])
    assert not embedding.weight[[7, 20, 30]].any()


def test_only_rows_that_are_read_have_a_gradient():
    embedding = layer()
    embedding(torch.tensor([[0.0, 4.0, 0.0, 0.0]] * 2)).sum().backward()
    assert_array_equal(embedding.weight.grad.any(dim=1).nonzero().flatten(), [4, 20])
    assert_array_equal(embedding.weight.grad[4], [2, 2, 2])
