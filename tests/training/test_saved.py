"""Networks of every kind are taken apart into arrays and put together again."""

import copy
import pickle
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from helpers import assert_same_tensors
from torch import nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm

from skweight.training import on_cpu, pack, unpack

TORCH = (torch.Tensor, nn.Module, torch.dtype, torch.device, torch.Generator, torch.Size)


def parts(value, seen):
    """All objects in a packed value, with those that attributes hold."""
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, dict):
        inside = [*value, *value.values()]
    elif isinstance(value, (list, tuple, set)):
        inside = [*value]
    else:
        inside = [] if isinstance(value, type) else [*getattr(value, "__dict__", {}).values()]
    for part in inside:
        parts(part, seen)


def of_torch(value):
    """What of a packed value is of torch, classes and functions aside."""
    seen = {}
    parts(value, seen)
    return [part for part in seen.values() if isinstance(part, TORCH)]


def again(value):
    """A value after it was packed, pickled, loaded and unpacked."""
    packed = pack(value)
    assert of_torch(packed) == []
    return unpack(pickle.loads(pickle.dumps(packed)))


class Tied(nn.Module):
    """Two layers with one weight, one of which is also a list's."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.layers = [self.first]
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("dropped", torch.arange(2.0), persistent=False)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, X):
        return self.second(self.layers[0](X)) + self.dropped.sum() + self.frozen.sum()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, X):
        return self.attention(X[:, None], X[:, None], X[:, None])[0][:, 0]


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(4, 3, num_layers=2, batch_first=True)

    def forward(self, X):
        return self.layer(X[:, None])[0][:, 0]


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([torch.ones(4, 2), torch.full((4, 2), 0.3)])
        self.named = nn.ParameterDict({"bias": torch.tensor([0.5, 2.0])})
        self.layers = nn.ModuleList([nn.Linear(4, 2)])
        self.by_name = nn.ModuleDict({"first": nn.Linear(4, 2)})

    def forward(self, X):
        of_layers = self.layers[0](X) + self.by_name["first"](X)
        return (
            of_layers + X @ self.weights[0] @ torch.eye(2) + X @ self.weights[1] + self.named.bias
        )


def double(module, inputs):
    """A hook."""
    return (2 * inputs[0],)


def hooked():
    module = nn.Linear(4, 2)
    module.register_forward_pre_hook(double)
    return module


def transposed():
    module = nn.Linear(4, 3)
    module.weight = nn.Parameter(torch.randn(4, 3).t())
    return module


def channels_last():
    layers = nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2), nn.Flatten()
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def materialised():
    module = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    module(torch.zeros(2, 4))
    return module


@dataclass(frozen=True)
class Settings:
    scale: torch.Tensor
    dtype: torch.dtype
    by_code: dict


class WithSettings(nn.Module):
    """Attributes of torch within objects that are not of torch."""

    def __init__(self):
        super().__init__()
        self.settings = Settings(torch.tensor(2.0), torch.float32, {None: 1, True: 2, 1.5: 3})
        self.device, self.size = torch.device("cpu"), torch.Size([2, 3])
        self.make, self.names = partial(nn.Linear, 4, bias=False), OrderedDict(b=1, a=2)
        self.layer, self.generator = self.make(2), torch.Generator().manual_seed(5)

    def forward(self, X):
        return self.layer(X).to(self.settings.dtype) * self.settings.scale


MODULES = {
    "linear": partial(nn.Linear, 4, 2),
    "batch norm": lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)),
    "tied": Tied,
    "LSTM": partial(Recurrent, nn.LSTM),
    "GRU": partial(Recurrent, nn.GRU),
    "attention": Attention,
    "transformer": partial(nn.TransformerEncoderLayer, 4, 2, 8, batch_first=True),
    "lists": Lists,
    "hooked": hooked,
    "transposed": transposed,
    "channels last": channels_last,
    "materialised": materialised,
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(4, 2)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(4, 2)),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 2))),
    "old spectral norm": lambda: spectral_norm(nn.Linear(4, 2)),
    "bfloat16": lambda: nn.Linear(4, 2).bfloat16(),
    "settings": WithSettings,
}


def scores(module):
    """Scores of a module in evaluation mode, for the same rows."""
    X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return module.eval()(X.to(next(module.parameters()).dtype))


@pytest.mark.parametrize("kind", MODULES)
def test_a_network_is_the_same_after_it_is_packed(kind):
    torch.manual_seed(0)
    module = MODULES[kind]()
    expected, made = scores(module), again(module)
    assert type(made) is type(module) or parametrize.is_parametrized(made)
    assert expected.std() > 0 and torch.equal(scores(made), expected)
    assert_same_tensors(made.state_dict(), module.state_dict())
    assert [*dict(made.named_parameters())] == [*dict(module.named_parameters())]
    flags = [[p.requires_grad for p in m.parameters()] for m in (made, module)]
    assert flags[0] == flags[1]
    strides = [[p.stride() for p in m.parameters()] for m in (made, module)]
    assert strides[0] == strides[1]
    assert made.training is False and made.train().training is True
    own = {p.data_ptr() for p in module.parameters()}
    assert not own & {p.data_ptr() for p in made.parameters()}
    made(torch.randn(5, 4).to(expected.dtype)).sum().backward()
    assert any(p.grad is not None for p in made.parameters())


def test_tensors_modules_and_lists_that_are_shared_stay_shared():
    module = Tied()
    made = again([module, module.first, module.first.weight])
    assert made[0].second.weight is made[0].first.weight is made[2]
    assert made[0].layers[0] is made[0].first is made[1]
    assert "dropped" not in made[0].state_dict() and "kept" in made[0].state_dict()
    assert len([*made[0].parameters()]) == len([*module.parameters()])
    assert isinstance(made[0].frozen, nn.Parameter) and not made[0].frozen.requires_grad


def test_recurrent_layers_use_the_parameters_that_they_show():
    made = again(nn.LSTM(4, 3))
    before = made(torch.ones(1, 1, 4))[0]
    with torch.no_grad():
        made.weight_ih_l0.mul_(2)
    assert not torch.equal(made(torch.ones(1, 1, 4))[0], before)
    assert made._flat_weights[0] is made.weight_ih_l0


def test_a_module_that_holds_itself_is_put_together():
    module = nn.Linear(2, 2)
    module.parents = [module]
    assert (made := again(module)).parents[0] is made


def test_objects_within_a_module_are_as_they_were():
    module = WithSettings()
    made = again(module)
    assert made.settings.by_code == module.settings.by_code
    assert [type(key) for key in made.settings.by_code] == [type(None), bool, float]
    assert made.settings.dtype is torch.float32 and made.device == torch.device("cpu")
    assert made.size == module.size and type(made.size) is torch.Size
    assert made.names == module.names and type(made.names) is OrderedDict
    assert made.make.func is nn.Linear and made.make.keywords == {"bias": False}
    numbers = [torch.rand(3, generator=m.generator) for m in (made, module)]
    assert torch.equal(*numbers)


def test_a_parametrization_still_computes_its_tensor():
    made = again(parametrizations.weight_norm(nn.Linear(4, 2)))
    before = made.weight.clone()
    with torch.no_grad():
        made.parametrizations.weight.original0.mul_(2)
    torch.testing.assert_close(made.weight, 2 * before)
    assert "Parametrized" in type(again(made)).__name__


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(1.5),
        torch.zeros(0, 3),
        torch.tensor([1.0, float("nan"), -float("inf"), -0.0], dtype=torch.bfloat16),
        torch.tensor([1.0, -2.0]).to(torch.float8_e4m3fn),
        torch.tensor([1 + 2j, 3 - 1j]).conj(),
        torch.tensor([True, False]),
        torch.arange(6).reshape(2, 3).t(),
        torch.ones(3).expand(2, 3),
        torch.tensor([1, 2], dtype=torch.uint16),
        torch.ones(2, requires_grad=True),
        nn.Parameter(torch.arange(3), requires_grad=False),
    ],
    ids=str,
)
def test_a_tensor_has_the_same_bits_dtype_and_flags(tensor):
    made = again(tensor)
    assert type(made) is type(tensor) and made.requires_grad is tensor.requires_grad
    assert made.dtype is tensor.dtype and made.shape == tensor.shape
    bits = [
        [*t.detach().clone().resolve_conj().flatten().contiguous().view(torch.uint8)]
        if t.numel()
        else []
        for t in (made, tensor)
    ]
    assert bits[0] == bits[1]
    tensor.note = "kept"
    assert again(tensor).note == "kept"


def test_arrays_that_cannot_be_written_to_are_copied():
    packed = pack(nn.Linear(2, 1))
    packed.state["_parameters"]["weight"].array.flags.writeable = False
    made = unpack(packed)
    with torch.no_grad():
        made.weight.zero_()
    assert packed.state["_parameters"]["weight"].array.any()


def test_what_is_not_of_torch_is_not_touched():
    lock, table = threading.Lock(), np.arange(3)
    class_, state = dict, np.random.default_rng(0)
    values = [lock, table, class_, state, 1.5, None, {"a": {1, 2}}]
    for made, value in zip(unpack(pack(values)), values):
        assert made is value or (isinstance(value, dict) and made == value)


def make_own():
    return OwnPickle()


class OwnPickle(nn.Module):
    def __reduce__(self):
        return make_own, ()


def with_method():
    module = nn.Linear(2, 1)
    module.alias = module.extra_repr
    return module


def with_sparse():
    module = nn.Linear(2, 1)
    module.register_buffer("sparse", torch.eye(2).to_sparse())
    return module


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch.compile
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (OwnPickle, "OwnPickle in it is pickled in a way of its own"),
        (with_method, "method in it is pickled in a way of its own"),
        (with_sparse, "torch.sparse_coo"),
        (partial(nn.LazyLinear, 3), "UninitializedParameter"),
        (lambda: torch.compile(nn.Linear(2, 1)), "OptimizedModule in it is pickled"),
    ],
    ids=["own pickle", "bound method", "sparse", "lazy", "compiled"],
)
def test_a_network_that_cannot_be_packed_is_pickled_as_it_is(make, why):
    module = make()
    packed = pack([module, module])
    assert packed[0] is packed[1] and packed[0].value is module
    with pytest.raises(TypeError, match=why) as error:
        packed[0].__getstate__()
    assert type(module).__name__ in str(error.value) and "pickle" in str(error.value)
    for made in (unpack(pickle.loads(pickle.dumps(packed))), unpack(copy.deepcopy(packed))):
        assert type(made[0]) is type(module) and made[0] is made[1] is not module


def test_a_file_cannot_name_something_that_is_no_class():
    packed = pack(nn.Linear(2, 1))
    packed.kind = print
    with pytest.raises(TypeError, match="must have a class"):
        unpack(packed)
    packed = pack(torch.zeros(2))
    packed.dtype = "load"
    with pytest.raises(TypeError, match="must have a dtype"):
        unpack(packed)


def test_on_cpu_returns_a_module_that_is_there():
    module = nn.Linear(1, 1)
    assert on_cpu(module) is module
