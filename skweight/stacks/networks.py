"""Networks of one architecture as one network."""

import copy
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from skweight.modules import MLP, FeatureWeight, PiecewiseLinear, WeightedLinear
from skweight.stacks.layers import (
    StackedActivation,
    StackedFeatureWeight,
    StackedLinear,
    StackedPiecewiseLinear,
    StackedReLU,
    StackedWeightedLinear,
    set_tensors,
)

# What these do to (n, ...) they do to (n_models, n, ...), if their tensors have an axis for
# the models and one for the rows; each number is rounded alike.
_AS_THEY_ARE = (MLP, nn.Sequential, nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh)
_ELEMENTWISE = (
    *(nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign),
)


class NotStackable(Exception):
    """Why networks are trained one by one."""


class StackedNetwork:
    """Several networks of one structure that are run as one.

    Linear layers become batched matrix products where the network consists of known layers; any
    other network goes through :func:`torch.func.vmap`.

    Parameters
    ----------
    modules : sequence of nn.Module
        Of the same structure; they are copied.
    X : Tensor of shape (n_models, n, ...)
        A few rows for each, on which the stack must do what the networks do.

    Raises
    ------
    NotStackable
        With the reason.
    """

    def __init__(self, modules: Sequence[nn.Module], X: Tensor) -> None:
        first = modules[0]
        expected = _run_alone(modules, X)
        forward = _that_does(expected, modules, X, _Layered)
        if forward is None:
            # That torch can batch it tells that it takes the same way for all rows.
            forward = _that_does(expected, modules, X, _Mapped)
            if forward is None:
                raise NotStackable(
                    f"the forward of {type(first).__name__} cannot be run for several networks at "
                    "once"
                )
            forward = _that_does(expected, modules, X, _OwnForward) or forward
        self.forward = forward
        self.has_known_forward = type(forward) is _Layered
        self.is_layered = type(forward) is not _Mapped
        self.tensors = forward.tensors
        self._shapes = {name: tensor.shape for name, tensor in _named_tensors(first)}

    def __call__(self, X: Tensor) -> Tensor:
        """Raw scores of shape (n_models, n, ...), which the next call may overwrite."""
        return self.forward(X)

    def check_rounding(self, modules: Sequence[nn.Module], X: Tensor) -> None:
        """Refuse a stack whose scores or gradients are not those of the networks to the bit.

        Training amplifies rounding errors: after a few hundred steps another order of the sums is
        another network. Known layers are batched in ways that round alike.

        Parameters
        ----------
        modules : sequence of nn.Module
            Of which the stack was made.
        X : Tensor of shape (n_models, n, ...)
            As many rows as a batch has: kernels are chosen by it.

        Raises
        ------
        NotStackable
        """
        scores = self(X)
        slope = torch.randn(scores.shape, generator=torch.Generator("cpu").manual_seed(0))
        stacked = {name: p for name, p in self.named_parameters() if p.requires_grad}
        of_stack = torch.autograd.grad(scores, [*stacked.values()], slope, allow_unused=True)
        for number, module in enumerate(modules):
            alone = copy.deepcopy(module)
            own = alone(X[number].clone())  # where batches of one network begin
            parameters = dict(alone.named_parameters())
            of_one = torch.autograd.grad(
                own, [parameters[name] for name in stacked], slope[number], allow_unused=True
            )
            pairs = [(own, scores[number])]
            pairs += [(a, b[number]) for a, b in zip(of_one, of_stack) if b is not None]
            if not all(torch.equal(a, b.reshape(a.shape)) for a, b in pairs):
                raise NotStackable(
                    f"{type(module).__name__} has a forward of its own, which torch rounds in "
                    "another way for several networks at once"
                )

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names, as in one network, and stacked parameters."""
        return self.tensors.named_parameters()

    @torch.no_grad()
    def keep(self, positions: Tensor) -> None:
        """Keep some of the models only."""
        for _, tensor in _named_tensors(self.tensors):
            tensor.grad = None
            tensor.data = tensor.data[positions]

    @torch.no_grad()
    def copy_to(self, module: nn.Module, position: int) -> None:
        """Give a network the parameters and buffers of the model at a position."""
        stacked = dict(_named_tensors(self.tensors))
        for name, tensor in _named_tensors(module):
            tensor.copy_(stacked[name][position].reshape(self._shapes[name]))


class _Layered:
    """Known layers, with batched matrix products in place of matrix products."""

    own_forward = False

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.tensors = _stacked_layers(modules, self.own_forward)

    def __call__(self, X: Tensor) -> Tensor:
        output: Tensor = self.tensors(X)
        return output


class _OwnForward(_Layered):
    """Known layers in a forward that may not notice the axis of the models."""

    own_forward = True

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        if not any(isinstance(layer, StackedLinear) for layer in self.tensors.modules()):
            raise TypeError("without linear layers there is nothing to batch")


class _Mapped:
    """Any network whose operations torch can batch."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.tensors = _with_tensors_of(modules, rows=False)
        body = copy.deepcopy(modules[0]).to("meta")

        def one(tensors: dict[str, Tensor], X: Tensor) -> Any:
            return functional_call(body, tensors, (X,))

        self._all = vmap(one)

    def __call__(self, X: Tensor) -> Tensor:
        output: Tensor = self._all(dict(_named_tensors(self.tensors)), X)
        return output


class _OneByOne(nn.Module):
    """A layer of another kind, for one model after the other."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, modules, rows=False)
        self._bodies = [copy.deepcopy(modules[0]).to("meta")]  # in a list: no layer of this one

    def forward(self, X: Tensor) -> Tensor:
        """The layer of each model on its rows."""
        of_models = zip(*(tensor for _, tensor in _named_tensors(self)))
        names = [name for name, _ in _named_tensors(self)]
        tensors = (dict(zip(names, of_model)) for of_model in of_models) if names else repeat({})
        parts = zip(tensors, X)
        return torch.stack([functional_call(self._bodies[0], own, (rows,)) for own, rows in parts])


Forward = _Layered | _Mapped


def _that_does(
    expected: Tensor, modules: Sequence[nn.Module], X: Tensor, make: type[Forward]
) -> Forward | None:
    """A forward of all networks that gives what is expected of X, or None."""
    try:
        forward = make(modules)
        output = forward(X)
    except Exception:  # whatever an operation says that cannot be batched
        return None
    same = output.shape == expected.shape and torch.allclose(
        output, expected, rtol=1e-3, atol=1e-5, equal_nan=True
    )
    return forward if same else None


def _stacked_layers(modules: Sequence[nn.Module], own_forward: bool) -> nn.Module:
    """A network of the same structure for inputs that have the models as their first axis."""
    kind = type(modules[0])
    if kind is nn.Linear:
        return StackedLinear(modules)  # type: ignore[arg-type]
    if kind is FeatureWeight:
        return StackedFeatureWeight(modules)
    if kind is PiecewiseLinear:
        return StackedPiecewiseLinear(modules)
    if kind is WeightedLinear:
        return StackedWeightedLinear(modules)  # type: ignore[arg-type]
    if kind in _ELEMENTWISE:
        return StackedActivation(copy.deepcopy(modules[0]))
    if own_forward and kind not in _AS_THEY_ARE and not modules[0]._modules:
        return _OneByOne(modules)
    if kind not in _AS_THEY_ARE and not own_forward:
        raise TypeError(f"{kind.__name__} is not a layer whose forward is known")
    in_order = kind in _AS_THEY_ARE
    together = copy.copy(modules[0])
    together._modules, together._parameters, together._buffers = {}, {}, {}
    before: nn.Module | None = None
    for name, child in modules[0].named_children():
        children = [module.get_submodule(name) for module in modules]
        # Other layers before it may look again at what it would overwrite.
        overwrites = type(child) is nn.ReLU and isinstance(before, nn.Linear) and in_order
        stacked = StackedReLU() if overwrites else _stacked_layers(children, own_forward)
        together.add_module(name, stacked)
        before = child
    set_tensors(together, modules, rows=True)
    for name, absent in modules[0]._modules.items():
        if absent is None:
            together.register_module(name, None)
    return together


def _with_tensors_of(modules: Sequence[nn.Module], rows: bool) -> nn.Module:
    together = copy.deepcopy(modules[0])
    for path, part in together.named_modules():
        set_tensors(part, [module.get_submodule(path) for module in modules], rows)
    return together


def _named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _run_alone(modules: Sequence[nn.Module], X: Tensor) -> Tensor:
    """What each network makes of its rows, if it does nothing but compute."""
    first = modules[0]
    name = type(first).__name__
    named = [*first.named_parameters(remove_duplicate=False)]
    if len(named) != len([*first.parameters()]):
        raise NotStackable(f"{name} uses a parameter in two places")
    if any(part._forward_hooks or part._forward_pre_hooks for part in first.modules()):
        raise NotStackable(f"{name} has hooks, which would see several networks at once")
    if any("forward" in vars(part) for module in modules for part in module.modules()):
        raise NotStackable(f"{name} has a forward that is bound to one instance")
    copies = [copy.deepcopy(module).train() for module in modules]
    with torch.random.fork_rng(devices=[X.device] if X.is_cuda else []):
        random_state = _random_states(X.device)
        outputs = [module(rows) for module, rows in zip(copies, X)]
        if not all(map(torch.equal, random_state, _random_states(X.device))):
            raise NotStackable(f"{name} draws random numbers, as dropout does")
    for module, used in zip(modules, copies):
        if not all(map(torch.equal, module.buffers(), used.buffers())):
            raise NotStackable(f"{name} changes its buffers, as running statistics do")
        if structure(module) != structure(used):
            raise NotStackable(f"{name} changes its attributes, which are not stacked")
    for module, rows, output in zip(copies, X, outputs):
        evaluated = module.eval()(rows)
        if not torch.allclose(evaluated, output, rtol=0, atol=0, equal_nan=True):
            raise NotStackable(f"{name} does something else in training than in prediction")
    return torch.stack(outputs)


def structure(module: nn.Module) -> str:
    """What networks of one stack have in common: all but tensors."""
    return repr((module, [*map(_plain_attributes, module.modules())]))


def _plain_attributes(part: nn.Module) -> dict[str, str]:
    """What a network keeps besides tensors and layers."""
    plain = (bool, int, float, str, list, tuple, dict, set)
    return {
        name: repr(value)
        for name, value in vars(part).items()
        if isinstance(value, plain) and name != "training" and not name.startswith("_")
    }


def _random_states(device: torch.device) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]
