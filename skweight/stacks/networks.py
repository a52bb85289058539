"""Networks of one architecture as one network."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from skweight.modules import (
    MLP,
    CategoryEmbedding,
    CategoryIndicators,
    Columns,
    EncodedFeatureWeight,
    FeatureWeight,
    PiecewiseLinear,
    ValueIndicators,
    WeightedLinear,
)
from skweight.stacks.layers import (
    StackedActivation,
    StackedCategoryEmbedding,
    StackedCategoryIndicators,
    StackedColumns,
    StackedEncodedFeatureWeight,
    StackedFeatureWeight,
    StackedLinear,
    StackedPiecewiseLinear,
    StackedReLU,
    StackedValueIndicators,
    StackedWeightedLinear,
    set_tensors,
)
from skweight.training import children_of, empty_copy, has_hooks, structure, with_row_axis

# Layers whose forward works on (n_models, n, ...) as on (n, ...), if their tensors have an axis
# for the models and one for the rows; every number is rounded alike.
_UNCHANGED_LAYERS = (MLP, nn.Sequential, nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh)
_ELEMENTWISE_ACTIVATIONS = (
    *(nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign),
)


class NotStackable(Exception):
    """The reason why networks can only be trained one by one."""


class StackedNetwork:
    """Several networks of one structure that are run as one.

    Linear layers become batched matrix products where the network consists of known layers; any
    other network goes through :func:`torch.func.vmap`. ``modules`` are copied. ``X`` of shape
    (n_models, n, ...) holds a few rows for each: networks whose scores for these rows the stack
    cannot reproduce are refused with :class:`NotStackable`.
    """

    def __init__(self, modules: Sequence[nn.Module], X: Tensor) -> None:
        first = modules[0]
        _check_structure(modules)
        expected = _run_one_by_one(modules, X)
        forward = _matching_forward(_Layered, modules, X, expected)
        self.has_known_forward = forward is not None
        if forward is None:
            # If torch can batch it, no branch in it depends on values.
            forward = _matching_forward(_Mapped, modules, X, expected)
            if forward is None:
                raise NotStackable(
                    f"the forward of {type(first).__name__} cannot be run for several networks at "
                    "once"
                )
            in_own_forward = partial(_Layered, own_forward=True)
            forward = _matching_forward(in_own_forward, modules, X, expected) or forward
        self.forward = forward
        self.n_models = len(modules)
        self._row_shape = expected.shape[2:]
        self.is_layered = isinstance(forward, _Layered)
        self.tensors = forward.tensors
        self._shapes = {name: tensor.shape for name, tensor in _named_tensors(first)}

    def __call__(self, X: Tensor) -> Tensor:
        """Raw scores of shape (n_models, n, ...), which the next call may overwrite."""
        scores = self.forward(X)
        if scores.ndim == 2 + len(self._row_shape):
            return scores
        # squeeze() in a module also drops the axis of one row, or of one model.
        return scores.reshape(*X.shape[:2], *self._row_shape)

    def check_rounding(self, modules: Sequence[nn.Module], X: Tensor) -> None:
        """Refuse a stack whose scores or gradients are not those of ``modules`` to the bit.

        Training amplifies rounding errors: after a few hundred steps another order of the sums
        leads to another network. Known layers need no check, since they round alike. ``X`` of
        shape (n_models, n, ...) has as many rows as a batch: kernels are chosen by it.
        """
        scores = self(X)
        slope = torch.randn(scores.shape, generator=torch.Generator("cpu").manual_seed(0))
        stacked = {name: p for name, p in self.named_parameters() if p.requires_grad}
        stack_gradients = torch.autograd.grad(scores, [*stacked.values()], slope, allow_unused=True)
        for number, module in enumerate(modules):
            single = copy.deepcopy(module)
            rows = X[number].clone()  # a copy begins where batches of one network do
            own = with_row_axis(single(rows), len(rows))
            parameters = dict(single.named_parameters())
            own_gradients = torch.autograd.grad(
                own, [parameters[name] for name in stacked], slope[number], allow_unused=True
            )
            pairs = [(own, scores[number])]
            pairs += [
                (a, b[number]) for a, b in zip(own_gradients, stack_gradients) if b is not None
            ]
            if not all(torch.equal(a, b.reshape(a.shape)) for a, b in pairs):
                raise NotStackable(
                    f"{type(module).__name__} has its own forward, which rounds differently "
                    "when stacked"
                )

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names, as in one network, and stacked parameters."""
        return self.tensors.named_parameters()

    def have_same_buffers(self) -> bool:
        """Whether all models have the same buffers, such as bins and the scaling of X."""
        return all(
            torch.equal(buffer.nan_to_num(), buffer[:1].nan_to_num().expand_as(buffer))
            for buffer in self.tensors.buffers()
        )

    def first(self) -> nn.Module:
        """A stack of the first model only, with tensors of its own."""
        module = copy.deepcopy(self.tensors)
        for _, tensor in _named_tensors(module):
            tensor.data = tensor.data[:1]
        return module

    @torch.no_grad()
    def keep(self, positions: Tensor) -> None:
        """Keep only the models at these positions."""
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
    """Known layers, with batched matrix products in place of matrix products.

    With ``own_forward`` they may be in a forward of the user's, if it also works with an axis of
    models.
    """

    def __init__(self, modules: Sequence[nn.Module], own_forward: bool = False) -> None:
        self.tensors = _stacked_layers(modules, own_forward)
        has_linear = any(isinstance(layer, StackedLinear) for layer in self.tensors.modules())
        if own_forward and not has_linear:
            raise TypeError("a network without linear layers gains nothing from batched products")

    def __call__(self, X: Tensor) -> Tensor:
        output: Tensor = self.tensors(X)
        return output


class _Mapped:
    """Any network whose operations torch can batch."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.tensors = copy.deepcopy(modules[0])
        for path, part in self.tensors.named_modules():
            set_tensors(part, [module.get_submodule(path) for module in modules], rows=False)
        body = copy.deepcopy(modules[0]).to("meta")

        def run_one(tensors: dict[str, Tensor], X: Tensor) -> Any:
            return functional_call(body, tensors, (X,))

        self._run_all = vmap(run_one)

    def __call__(self, X: Tensor) -> Tensor:
        output: Tensor = self._run_all(dict(_named_tensors(self.tensors)), X)
        return output


class _OneByOne(nn.Module):
    """A layer of unknown kind, which runs for one model after the other."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        set_tensors(self, modules, rows=False)
        # In a list, so that it is not registered as a layer of this one.
        self._bodies = [copy.deepcopy(modules[0]).to("meta")]

    def forward(self, X: Tensor) -> Tensor:
        """The layer of each model on its rows."""
        names = [name for name, _ in _named_tensors(self)]
        per_model = zip(*(tensor for _, tensor in _named_tensors(self)))
        tensors = (dict(zip(names, own)) for own in per_model) if names else repeat({})
        parts = zip(tensors, X)
        return torch.stack([functional_call(self._bodies[0], own, (rows,)) for own, rows in parts])


Forward = _Layered | _Mapped


def _matching_forward(
    make: Callable[[Sequence[nn.Module]], Forward],
    modules: Sequence[nn.Module],
    X: Tensor,
    expected: Tensor,
) -> Forward | None:
    """A forward of all networks, or None if it fails or its scores are not the expected ones."""
    try:
        forward = make(modules)
        output = forward(X)
    except Exception:  # any: operations that cannot be batched raise errors of many kinds
        return None
    same = output.shape == expected.shape and torch.allclose(
        output, expected, rtol=1e-3, atol=1e-5, equal_nan=True
    )
    return forward if same else None


def _stacked_layers(modules: Sequence[nn.Module], own_forward: bool) -> nn.Module:
    """A network of the same structure for inputs that have the models as their first axis."""
    kind = type(modules[0])
    if kind in _STACKED_LAYERS:
        return _STACKED_LAYERS[kind](modules)
    if kind in _ELEMENTWISE_ACTIVATIONS:
        return StackedActivation(copy.deepcopy(modules[0]))
    if kind not in _UNCHANGED_LAYERS:
        if not own_forward:
            raise TypeError(f"{kind.__name__} is not a layer whose forward is known")
        if not children_of(modules[0]):
            return _OneByOne(modules)
    return _stacked_container(modules, own_forward)


_STACKED_LAYERS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.Linear: StackedLinear,
    Columns: StackedColumns,
    CategoryIndicators: StackedCategoryIndicators,
    ValueIndicators: StackedValueIndicators,
    CategoryEmbedding: StackedCategoryEmbedding,
    EncodedFeatureWeight: StackedEncodedFeatureWeight,
    FeatureWeight: StackedFeatureWeight,
    PiecewiseLinear: StackedPiecewiseLinear,
    WeightedLinear: StackedWeightedLinear,
}


# Layers that draw no random numbers, and change nothing when they run.
_WITHOUT_SIDE_EFFECTS = {*_STACKED_LAYERS, *_ELEMENTWISE_ACTIVATIONS, *_UNCHANGED_LAYERS}


def _stacked_container(modules: Sequence[nn.Module], own_forward: bool) -> nn.Module:
    """A module with the forward of the first one, on stacked layers and tensors."""
    runs_in_order = type(modules[0]) in _UNCHANGED_LAYERS
    stacked = empty_copy(modules[0])
    before: nn.Module | None = None
    for name, child in children_of(modules[0]).items():
        if child is None:
            stacked.register_module(name, None)
            continue
        # Layers other than linear ones may need their output again, which it would overwrite.
        overwrites = type(child) is nn.ReLU and isinstance(before, nn.Linear) and runs_in_order
        children = [module.get_submodule(name) for module in modules]
        layer = StackedReLU() if overwrites else _stacked_layers(children, own_forward)
        stacked.add_module(name, layer)
        before = child
    set_tensors(stacked, modules, rows=True)
    return stacked


def _named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _check_structure(modules: Sequence[nn.Module]) -> None:
    """Refuse networks with shared parameters, hooks or a forward of an instance."""
    first = modules[0]
    name = type(first).__name__
    named = [*first.named_parameters(remove_duplicate=False)]
    if len(named) != len([*first.parameters()]):
        raise NotStackable(f"{name} uses a parameter in two places")
    if any(map(has_hooks, first.modules())):
        raise NotStackable(f"{name} has hooks, which would see several networks at once")
    if any("forward" in vars(part) for module in modules for part in module.modules()):
        raise NotStackable(f"{name} has a forward that is bound to one instance")


def _run_one_by_one(modules: Sequence[nn.Module], X: Tensor) -> Tensor:
    """The scores of each network for its rows; refuse networks whose forward has side effects."""
    if all(type(part) in _WITHOUT_SIDE_EFFECTS for part in modules[0].modules()):
        with torch.no_grad():
            return torch.stack([module(rows) for module, rows in zip(modules, X)])
    name = type(modules[0]).__name__
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
            raise NotStackable(f"{name} differs between train and eval mode")
    return torch.stack(outputs)


def _random_states(device: torch.device) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]
