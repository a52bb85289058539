"""Training steps without autograd, for networks of known layers.

Most of the time of a step on a CPU is spent on building a graph and walking back through it. The
gradients of these networks are known, so their kernels are called one after the other instead.
"""

import copy
from collections.abc import Callable
from itertools import chain
from operator import is_
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skweight._keywords import is_out_of_memory
from skweight.data import Batch, NamedInputs, RowDataset, TensorBatches
from skweight.losses import (
    RowLoss,
    gradient_formula,
    loss_and_gradient,
    means_of_batches,
    validation_mean,
)
from skweight.modules import (
    MLP,
    CategoryEmbedding,
    EncodedFeatureWeight,
    FeatureWeight,
    WeightedLinear,
)
from skweight.training.direct_layers import (
    AutogradLayer,
    DirectEmbedding,
    DirectLayer,
    DirectLinear,
    DirectReLU,
)
from skweight.training.steps import LossAndOutput, TrainingStep
from skweight.training.structure import structure
from skweight.training.torch_internals import has_hooks

LayersOf = Callable[[nn.Module, bool], list[DirectLayer]]
_TORCH = "torch.nn.modules"  # where torch defines its layers


class NotDirect(Exception):
    """The reason why a network needs autograd."""


class DirectNetwork:
    """A network as a list of layers, each with the input that is the output of the last.

    What comes before the first trained layer of the default network is its encoding, which never
    changes: ``encode`` turns X into the input of ``layers``.

    ``layers_of(module, after_linear)`` makes the layers of a module that is no container, or raises
    :class:`NotDirect`.
    """

    def __init__(self, module: nn.Module, layers_of: LayersOf) -> None:
        named = [*module.named_parameters(remove_duplicate=False)]
        if len(named) != len([*module.parameters()]):
            raise NotDirect("a parameter is used in two places")
        if any(map(has_hooks, module.modules())):
            raise NotDirect("a layer has hooks")
        self.encode: Callable[[Tensor], Tensor] = unchanged
        self.has_encoding = type(module) is MLP
        self.layers: list[DirectLayer] = []
        self._layers_of = layers_of
        if type(module) is MLP:
            self._add_default(module)
        else:
            self._add(module)

    def _add_default(self, module: MLP) -> None:
        self.encode = module.encode_untrained
        if module.embedding is not None:
            self._add(module.embedding)
        if module.feature_weight is not None:
            self._add(module.feature_weight)
        self._add(module.hidden)
        self._add(module.output)

    def _add(self, module: nn.Module) -> None:
        """Append a layer, or those that it is made of."""
        if "forward" in vars(module):
            name = type(module).__name__
            raise NotDirect(f"{name} has a forward that is bound to one instance")
        if type(module) is nn.Sequential:
            for child in module.children():
                self._add(child)
        else:
            after_linear = bool(self.layers) and self.layers[-1].is_linear
            self.layers += self._layers_of(module, after_linear)

    def begin(self) -> None:
        """Prepare for steps with the current parameters."""
        needs_input_gradient = False
        for layer in self.layers:
            layer.begin(needs_input_gradient)
            needs_input_gradient |= any(p.requires_grad for p in layer.parameters)

    def forward(self, encoded: Tensor) -> Tensor:
        """Raw scores, which the next call may overwrite."""
        for layer in self.layers:
            encoded = layer.forward(encoded)
        return encoded

    def backward(self, gradient: Tensor) -> None:
        """Set the gradients of all parameters, from that of the scores, which is overwritten."""
        found: Tensor | None = gradient
        for layer in reversed(self.layers):
            if found is None:
                return
            found = layer.backward(found)


def unchanged(X: Tensor) -> Tensor:
    """X as it is."""
    return X


def layers_of(module: nn.Module, after_linear: bool) -> list[DirectLayer]:
    """The direct layers of a layer that torch or this package defines."""
    kind: Any = type(module)
    layer: Any = module
    if kind is nn.Linear:
        return [DirectLinear(layer.weight, layer.bias)]
    if kind is WeightedLinear:
        return _layers_of_weighted(layer)
    if kind is nn.ReLU:
        return [DirectReLU(in_place=after_linear)]
    if kind is CategoryEmbedding:
        return [DirectEmbedding(layer.weight, layer.starts)]
    if kind in (FeatureWeight, EncodedFeatureWeight) or kind.__module__.startswith(_TORCH):
        return [AutogradLayer(module, [*module.parameters()])]
    raise NotDirect(f"the forward of {kind.__name__} is not known")


def _layers_of_weighted(layer: WeightedLinear) -> list[DirectLayer]:
    weights = layer.feature_weights
    before = [] if weights is None else layers_of(weights, False)
    linear: list[DirectLayer] = [DirectLinear(layer.weight, layer.bias)]  # type: ignore[arg-type]
    if layer.output_weights is None:
        return before + linear
    trained = [layer.output_weights] if isinstance(layer.output_weights, nn.Parameter) else []
    return [*before, *linear, AutogradLayer(layer.weigh_outputs, trained)]


class DirectStep(TrainingStep):
    """A step without a graph of the network, see :func:`direct_step`."""

    criterion: RowLoss

    def __init__(self, module: nn.Module, criterion: RowLoss) -> None:
        super().__init__(module, criterion)
        self.network = DirectNetwork(module, layers_of)
        # Whether losses of several batches may be computed at once, see ``direct_loop``.
        self.can_join_losses = False
        self._parts = self._find_parts()

    def _find_parts(self) -> list[Any]:
        return [*self.module.modules(), *self.module.parameters()]

    def is_current(self) -> bool:
        """Whether the network still consists of the same layers, none of which has hooks."""
        now = self._find_parts()
        return (
            len(now) == len(self._parts)
            and all(map(is_, now, self._parts))
            and not any(map(has_hooks, self.module.modules()))
        )

    def attach(self, optimizer: Any) -> None:
        """Use the current parameters and optimizer."""
        super().attach(optimizer)
        self.network.begin()

    def __call__(self, batch: Batch) -> LossAndOutput:
        """Return the weighted mean of the losses and the output, both without a graph.

        The next step overwrites the output.
        """
        with torch.no_grad():
            encoded = self.network.encode(batch[0]["X"])
            return self.on_encoded(({**batch[0], "X": encoded}, batch[1]))

    def on_encoded(self, batch: Batch) -> LossAndOutput:
        """The same for a batch of encoded rows, while no graph is built."""
        if self.reset is not None:
            self.reset()
            self.network.begin()
        rows, y = batch
        output, offset = self.network.forward(rows["X"]), rows.get("offset")
        loss, gradient = loss_and_gradient(self.criterion, output, y, rows["row_weight"], offset)
        if offset is not None:
            output = self.criterion.with_offset(output, offset)
        self.network.backward(gradient)
        return loss, output

    @torch.no_grad()
    def validation_loss(self, batch: Batch, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """The weighted mean of the losses of validation rows."""
        rows, y = batch
        output = self.network.forward(encode(rows["X"]))
        if "offset" in rows:
            output = self.criterion.with_offset(output, rows["offset"])
        return validation_mean(self.criterion(output, y), rows["row_weight"])


def direct_step(module: nn.Module, criterion: RowLoss, batches: TensorBatches) -> DirectStep:
    """A step without a graph of the network.

    It is tried on a batch of each size.

    Raises
    ------
    NotDirect
        If the network needs autograd, or if the trial shows another bit than autograd does.
    """
    rows, parameters = batches.rows, [*module.parameters()]
    if rows.as_integers or isinstance(rows.X, NamedInputs) or len(rows.X.shape) != 2:
        raise NotDirect("X is not a table of numbers")
    if [*criterion.parameters()]:
        raise NotDirect("the criterion has parameters to be trained")
    if any(parameter.dtype != torch.float32 for parameter in parameters):
        raise NotDirect("a parameter is not float32")
    step = DirectStep(module, criterion)
    # What rounding depends on; the tensors themselves would keep the rows of a fit in memory.
    described = (
        *(structure(module), structure(criterion), criterion.adjustment is None),
        *(tuple((p.shape, p.requires_grad) for p in parameters), torch.get_num_threads()),
        *(rows.X.shape[1], rows.y.shape[1:], rows.y.dtype, rows.row_weight.shape[1:]),
        rows.offset is None,
    )
    step.can_join_losses = True
    for n_rows in {*chain(*batches.sizes)}:
        key = (*described, n_rows)
        if key not in _results:
            if len(_results) >= _MOST_RESULTS:
                _results.clear()
            positions = torch.arange(n_rows, device="cpu") % len(rows)
            _results[key] = _try(module, criterion, rows, positions)
        if not _results[key].is_equal:
            raise NotDirect(f"batches of {n_rows} rows fail or are rounded differently")
        step.can_join_losses &= _results[key].can_join_losses
    return step


class _Result(NamedTuple):
    """Whether a direct step has the bits of autograd, and losses of two batches those of one."""

    is_equal: bool
    can_join_losses: bool = False


# Of the trials of this process, which are forgotten when they are many.
_results: dict[tuple[Any, ...], _Result] = {}
_MOST_RESULTS = 1_000
# What networks raise that cannot be trained so, or that do not fit into memory.
_FAILURES = (AttributeError, IndexError, MemoryError, RuntimeError, TypeError, ValueError)


def _try(module: nn.Module, criterion: RowLoss, rows: RowDataset, positions: Tensor) -> _Result:
    """Make a step of both kinds with these rows."""
    batch = rows.batch(positions)
    one, other = copy.deepcopy(module), copy.deepcopy(module)
    state = torch.get_rng_state()
    try:
        expected = TrainingStep(one, criterion)(batch)
        torch.set_rng_state(state)
        step = DirectStep(other, criterion)
        step.network.begin()
        found = step(batch)
    except _FAILURES as error:
        if is_out_of_memory(error):  # the next fit may have more of it
            raise NotDirect("its trial runs out of memory") from error
        return _Result(False)  # an error of the network itself comes again in its training
    finally:
        torch.set_rng_state(state)
    pairs = [*zip(expected, found), *zip(one.buffers(), other.buffers())]
    for parameter, copied in zip(one.parameters(), other.parameters()):
        if parameter.grad is None or copied.grad is None:
            if parameter.grad is not copied.grad:
                return _Result(False)
        else:
            pairs.append((parameter.grad, copied.grad))
    is_equal = all(torch.equal(a, b.reshape(a.shape)) for a, b in pairs)
    return _Result(is_equal, is_equal and _can_join_losses(criterion, expected, batch))


@torch.no_grad()
def _can_join_losses(criterion: RowLoss, expected: LossAndOutput, batch: Batch) -> bool:
    """Whether losses of two batches that are computed together are those of each."""
    loss, output = expected
    row_weight, y = batch[0]["row_weight"], batch[1]
    if gradient_formula(criterion, output, row_weight) is None:
        return False
    losses = criterion(torch.cat([output, output]), torch.cat([y, y]))
    means = means_of_batches(losses, torch.cat([row_weight] * 2), [len(y)] * 2)
    return torch.equal(means, torch.stack([loss, loss]))
