"""Networks of one structure as one network, whose tensors have the models as their first axis.

What cannot be stacked is found out by trying. How a stack is trained is left to ``stacks``.
Only torch here.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from skweight.layers import FeatureWeight, WeightedLinear
from skweight.modules import MLP

# What these do to (n, ...) they do to (n_models, n, ...), if their tensors have an axis for
# the models and one for the rows.
_AS_THEY_ARE = (MLP, nn.Sequential, nn.Identity)
_ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.LogSigmoid),
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
        for make in (_Layered, _Mapped):
            try:
                forward = make(modules)
                output = forward(X)
                same = output.shape == expected.shape and torch.allclose(
                    output, expected, rtol=1e-3, atol=1e-5, equal_nan=True
                )
            except (RuntimeError, ValueError, TypeError, NotImplementedError):
                same = False
            if same:
                break
        else:
            raise NotStackable(
                f"the forward of {type(first).__name__} cannot be run for several networks at once"
            )
        self.forward = forward
        self.is_layered = make is _Layered
        self.tensors = forward.tensors
        self._shapes = {name: tensor.shape for name, tensor in _named_tensors(first)}

    def __call__(self, X: Tensor) -> Tensor:
        """Raw scores of shape (n_models, n, ...)."""
        return self.forward(X)

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

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.tensors = _stacked_layers(modules)

    def __call__(self, X: Tensor) -> Tensor:
        output: Tensor = self.tensors(X)
        return output


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


class StackedLinear(nn.Module):
    """Linear layers side by side: ``(n_models, n, ..., in)`` to ``(n_models, n, ..., out)``."""

    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stack([layer.weight for layer in layers], rows=False)
        biases = [layer.bias for layer in layers]
        self.bias = None if biases[0] is None else _stack(biases, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """Batched matrix products."""
        flat = X if X.ndim == 3 else X.flatten(1, -2)
        product: Tensor = _Linear.apply(flat, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return product if X.ndim == 3 else product.reshape(*X.shape[:-1], -1)


class StackedWeightedLinear(StackedLinear):
    """The same with weights on inputs and outputs, see :class:`~skweight.WeightedLinear`."""

    def __init__(self, layers: Sequence[WeightedLinear]) -> None:
        super().__init__(layers)
        inputs = [layer.feature_weights for layer in layers if layer.feature_weights is not None]
        self.feature_weights = _stacked_layers(inputs) if inputs else None
        outputs = [layer.output_weights for layer in layers if layer.output_weights is not None]
        if outputs and isinstance(outputs[0], nn.Parameter):
            self.output_weights: Tensor | None = _stack(outputs, rows=True)
        else:
            self.register_buffer("output_weights", _stack(outputs, rows=True) if outputs else None)

    def forward(self, X: Tensor) -> Tensor:
        """Weigh the inputs, map them, weigh the outputs."""
        X = X if self.feature_weights is None else self.feature_weights(X)
        X = super().forward(X)
        return X if self.output_weights is None else _scaled(X, self.output_weights)


class StackedFeatureWeight(nn.Module):
    """Feature weights side by side, see :class:`~skweight.FeatureWeight`."""

    weight: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        _set_tensors(self, layers, rows=True)

    def forward(self, X: Tensor) -> Tensor:
        """``X * weight``."""
        return _scaled(X, self.weight)


def _scaled(X: Tensor, weight: Tensor) -> Tensor:
    flat = X if X.ndim == 3 else X.flatten(1, -2)
    return _Scale.apply(flat, weight).reshape(X.shape)  # type: ignore[no-untyped-call, no-any-return]


class _Scale(torch.autograd.Function):
    """``X * weight`` with weights of shape (n_models, 1, n_features)."""

    @staticmethod
    def forward(ctx: Any, X: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(X, weight)
        return X * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        X, weight = ctx.saved_tensors
        of_X, of_weight = ctx.needs_input_grad
        return (
            gradient * weight if of_X else None,
            _as_alone(_SUMS, gradient * X) if of_weight else None,
        )


class _Linear(torch.autograd.Function):
    """Linear layers side by side, and the gradients that autograd gives to one."""

    @staticmethod
    def forward(ctx: Any, X: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(X, weight)
        if bias is None:
            return _as_alone(_PRODUCTS, X, weight)
        return _as_alone(_LINEAR, X, weight, bias)

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        X, weight = ctx.saved_tensors
        of_X, of_weight, of_bias = ctx.needs_input_grad
        return (
            _as_alone(_OF_X, gradient, weight) if of_X else None,
            _as_alone(_OF_WEIGHT, gradient, X) if of_weight else None,
            _as_alone(_SUMS, gradient) if of_bias else None,
        )


Way = Callable[..., Tensor]


def _one_by_one(operation: Way) -> Way:
    """For one model after the other, on tensors that begin where those of one model do.

    Kernels may round by where in a cache line a tensor begins.
    """

    def one_by_one(*tensors: Tensor) -> Tensor:
        return torch.stack([operation(*(t.clone() for t in of_one)) for of_one in zip(*tensors)])

    return one_by_one


# Ways to do something for all models, and last of all to do it for one after the other.
_LINEAR: tuple[Way, ...] = (
    lambda X, weight, bias: torch.baddbmm(bias, X, weight.transpose(1, 2)),
    lambda X, weight, bias: torch.bmm(weight, X.transpose(1, 2)).transpose(1, 2) + bias,
    _one_by_one(lambda X, weight, bias: F.linear(X, weight, bias[0])),
)
_PRODUCTS: tuple[Way, ...] = (
    lambda X, weight: torch.bmm(X, weight.transpose(1, 2)),
    lambda X, weight: torch.bmm(weight, X.transpose(1, 2)).transpose(1, 2),
    _one_by_one(F.linear),
)
_OF_X: tuple[Way, ...] = (torch.bmm, _one_by_one(torch.mm))
_OF_WEIGHT: tuple[Way, ...] = (
    lambda gradient, X: torch.bmm(gradient.transpose(1, 2), X),
    lambda gradient, X: torch.bmm(X.transpose(1, 2), gradient).transpose(1, 2),
    _one_by_one(lambda gradient, X: gradient.t() @ X),
)
_SUMS: tuple[Way, ...] = (
    lambda values: values.sum(dim=1, keepdim=True),
    _one_by_one(lambda values: values.sum(dim=0, keepdim=True)),
)
_chosen: dict[Any, Way] = {}
_TRIALS = 10


def _as_alone(ways: tuple[Way, ...], *tensors: Tensor) -> Tensor:
    """Do it in the first way that rounds each model as if it were alone.

    Which one does depends on the shapes: libraries choose their kernels by them. On a GPU the
    first way is taken: rounding differs from one GPU to the other anyway.
    """
    if tensors[0].device.type != "cpu":
        return ways[0](*tensors)
    tensors = tuple(tensor.contiguous() for tensor in tensors)
    kind = (ways, *(tensor.shape for tensor in tensors))
    if kind not in _chosen:
        generator = torch.Generator().manual_seed(0)
        draws = [
            [torch.randn(tensor.shape, generator=generator) for tensor in tensors]
            for _ in range(_TRIALS)
        ]
        expected = [ways[-1](*draw) for draw in draws]
        _chosen[kind] = next(
            way for way in ways if all(map(torch.equal, starmap(way, draws), expected))
        )
    return _chosen[kind](*tensors)


def _stacked_layers(modules: Sequence[nn.Module]) -> nn.Module:
    """A network of the same structure for inputs that have the models as their first axis."""
    kind = type(modules[0])
    if kind is nn.Linear:
        return StackedLinear(modules)  # type: ignore[arg-type]
    if kind is FeatureWeight:
        return StackedFeatureWeight(modules)
    if kind is WeightedLinear:
        return StackedWeightedLinear(modules)  # type: ignore[arg-type]
    if kind not in (*_AS_THEY_ARE, *_ELEMENTWISE):
        raise TypeError(f"{kind.__name__} is not a layer whose forward is known")
    together = copy.copy(modules[0])
    together._modules, together._parameters, together._buffers = {}, {}, {}
    for name, _ in modules[0].named_children():
        children = [module.get_submodule(name) for module in modules]
        together.add_module(name, _stacked_layers(children))
    _set_tensors(together, modules, rows=True)
    for name, child in modules[0]._modules.items():
        if child is None:
            together.register_module(name, None)
    return together


def _with_tensors_of(modules: Sequence[nn.Module], rows: bool) -> nn.Module:
    together = copy.deepcopy(modules[0])
    for path, part in together.named_modules():
        _set_tensors(part, [module.get_submodule(path) for module in modules], rows)
    return together


def _set_tensors(together: nn.Module, modules: Sequence[nn.Module], rows: bool) -> None:
    for name, _ in modules[0].named_parameters(recurse=False):
        stacked = _stack([getattr(module, name) for module in modules], rows)
        together.register_parameter(name, stacked)  # type: ignore[arg-type]
    for name, _ in modules[0].named_buffers(recurse=False):
        buffers = [getattr(module, name) for module in modules]
        together.register_buffer(name, _stack(buffers, rows))


def _stack(tensors: Sequence[Tensor], rows: bool) -> Tensor:
    """The tensors of the models along a first axis, before one for the rows if it is wanted."""
    stacked = torch.stack([tensor.detach() for tensor in tensors])
    stacked = stacked.unsqueeze(1) if rows else stacked
    if isinstance(tensors[0], nn.Parameter):
        return nn.Parameter(stacked, requires_grad=tensors[0].requires_grad)
    return stacked


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
    copies = [copy.deepcopy(module).train() for module in modules]
    with torch.random.fork_rng(devices=[X.device] if X.is_cuda else []):
        random_state = _random_states(X.device)
        outputs = [module(rows) for module, rows in zip(copies, X)]
        if not all(map(torch.equal, random_state, _random_states(X.device))):
            raise NotStackable(f"{name} draws random numbers, as dropout does")
    for module, used in zip(modules, copies):
        if not all(map(torch.equal, module.buffers(), used.buffers())):
            raise NotStackable(f"{name} changes its buffers, as running statistics do")
    return torch.stack(outputs)


def _random_states(device: torch.device) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]
