"""What torch does not document behaves as the package expects: see this first with a new torch."""

import pytest
import torch
from torch import nn

from skweight.training import children_of, empty_copy, has_hooks, relu_gradient


def test_an_empty_copy_has_the_attributes_and_shares_no_tensor_and_no_layer():
    module = nn.Sequential(nn.Linear(2, 3))
    module.register_buffer("mean", torch.zeros(3))
    module.note = "kept"
    copied = empty_copy(module)
    assert type(copied) is nn.Sequential and copied.note == "kept"
    assert not [*copied.parameters(), *copied.buffers(), *copied.children()]
    copied.add_module("0", nn.ReLU())
    copied.register_buffer("mean", torch.ones(3))
    assert isinstance(module[0], nn.Linear) and not module.mean.any()


def test_children_that_are_none_are_among_the_children():
    module = nn.Sequential(nn.Identity())
    module.register_module("absent", None)
    assert [*dict(module.named_children())] == ["0"]
    assert [*children_of(module)] == ["0", "absent"] and children_of(module)["absent"] is None


@pytest.mark.parametrize(
    ("part", "register"),
    [
        ("", "register_forward_hook"),
        ("", "register_forward_pre_hook"),
        ("", "register_full_backward_hook"),
        ("", "register_full_backward_pre_hook"),
        ("weight", "register_hook"),
        ("bias", "register_post_accumulate_grad_hook"),
    ],
)
def test_hooks_of_a_layer_and_its_parameters_are_seen_until_they_are_removed(part, register):
    module = nn.Linear(2, 3)
    assert not has_hooks(module)
    holder = getattr(module, part) if part else module
    hook = getattr(holder, register)(lambda *given: None)
    assert has_hooks(module) and not has_hooks(nn.Sequential(module))
    hook.remove()
    assert not has_hooks(module)


def test_the_gradient_of_relu_is_that_of_autograd_to_the_bit():
    X = torch.randn(7, 5, requires_grad=True)
    slope = torch.randn(7, 5)
    rectified = X.relu()
    (expected,) = torch.autograd.grad(rectified, X, slope)
    out = torch.full((7, 5), 3.0)
    assert relu_gradient(slope, rectified.detach(), out) is out
    assert torch.equal(out, expected) and 0 < (out == 0).sum() < 35
