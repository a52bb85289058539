"""Which trainings can be stacked, and how many models a stack should have."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import Tensor, nn

from skweight._keywords import unwrap
from skweight.data import RowDataset, TensorBatches, rows_at_once
from skweight.losses import width
from skweight.stacks.networks import NotStackable, StackedNetwork, structure
from skweight.training import Training, WeightedNet, isolated_torch, make_net

# Optimizers that treat every number in the parameters by itself.
_ELEMENTWISE = tuple(
    getattr(torch.optim, name)
    for name in (
        *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"),
        *("Adagrad", "Adadelta", "Rprop", "ASGD"),
    )
)
# Bytes that a stack computes with at most: with more, memory costs what fewer calls save.
_MOST_BYTES = 64 * 2**20
# Activations or parameters of a step that is all numbers and hardly any calls.
_MANY_ACTIVATIONS, _MANY_PARAMETERS = 2**18, 2**17
_MOST = {"cpu": 64, "cuda": 1024}
# Fewer models than these cost as much together as alone: with batched layers, and without.
_FEWEST = {True: 3, False: 8}


def models_at_once(training: Training) -> int:
    """How many models like this one a stack should have; 1 if stacking would save nothing.

    Raises
    ------
    NotStackable
        If they can only be trained one by one, with the reason.
    """
    check_stackable(training)
    with isolated_torch(training.options.seed, device := training.rows.device):
        net = make_net(training)
        n_rows = min(net.batch_size, len(training.rows))
        n_activations = n_rows * _values_per_row(net.module_, _few(training))
        n_parameters = sum(parameter.numel() for parameter in net.module_.parameters())
        is_long = n_activations > _MANY_ACTIVATIONS or n_parameters > _MANY_PARAMETERS
        if device.type == "cpu" and is_long:
            return 1
        network = _network([training] * 3, [net] * 3)
    # Activations with their gradients; parameters with gradients, moments and average.
    n_bytes = 4 * (3 * n_activations + 5 * n_parameters)
    if device.type == "cuda":
        return int(min(_MOST["cuda"], torch.cuda.mem_get_info(device)[0] // (4 * n_bytes)))
    size = min(_MOST["cpu"], _MOST_BYTES // n_bytes)
    return 1 if size < _FEWEST[network.is_layered] else int(size)


def _network(trainings: Sequence[Training], nets: Sequence[WeightedNet]) -> StackedNetwork:
    """The networks as one that rounds as each of them does on batches of these trainings."""
    modules = [net.module_ for net in nets]
    network = StackedNetwork(modules, torch.stack([*map(_few, trainings)]))
    if not network.has_known_forward and trainings[0].rows.device.type == "cpu":
        sizes = [*TensorBatches(trainings[0].rows, nets[0].batch_size).sizes]
        if trainings[0].valid_rows is not None:
            sizes += _validation_batches(trainings[0].valid_rows).sizes
        for n_rows in {*chain(*sizes)}:
            network.check_rounding(modules, torch.stack([_few(t, n_rows) for t in trainings]))
    return network


def _validation_batches(rows: RowDataset) -> TensorBatches:
    return TensorBatches(rows, rows_at_once(rows.X, rows.device))


def _few(training: Training, n_rows: int = 3) -> Tensor:
    """X of a few rows."""
    positions = torch.arange(n_rows, device="cpu") % len(training.rows)
    X: Tensor = training.rows.batch(positions)[0]["X"]
    return X


def _values_per_row(module: nn.Module, X: Tensor) -> int:
    """Values that the layers of a network return for a row."""
    found: list[int] = [width(X)]
    layers = [layer for layer in module.modules() if not [*layer.children()]]
    hooks = [
        layer.register_forward_hook(lambda _, given, output: found.append(output[0].numel()))
        for layer in layers
    ]
    try:
        with torch.no_grad():
            module(X)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found)


def check_stackable(training: Training) -> None:
    """Refuse options that let trainings be made only one by one, with the reason."""
    options, criterion = training.options, training.criterion
    if training.is_partial:
        raise NotStackable("a stream goes on with one network")
    optimizer = unwrap(options.optimizer_class)[0]
    if optimizer not in _ELEMENTWISE:
        name = getattr(optimizer, "__name__", repr(optimizer))
        raise NotStackable(f"optimizer {name} is not known to treat every parameter by itself")
    for callback in options.callbacks or []:
        callback = callback[1] if isinstance(callback, tuple) else callback
        if not (type(callback) is GradientNormClipping or _is_schedule(callback)):
            name = getattr(callback, "__name__", type(callback).__name__)
            raise NotStackable(f"callback {name} acts on one net")
    if options.verbose:
        raise NotStackable("verbose prints a table for each training")
    if options.compile:
        raise NotStackable("compile=True compiles one network")
    if [*criterion.parameters()]:
        raise NotStackable("the criterion has parameters to be trained")


def _is_schedule(callback: Any) -> bool:
    """Whether it is a schedule of learning rates that does not look at losses."""
    policy = getattr(callback, "policy", None)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    looks = policy == plateau.__name__ or (isinstance(policy, type) and issubclass(policy, plateau))
    return type(callback) is LRScheduler and not looks


def _of_one_kind(trainings: Sequence[Training], nets: dict[int, WeightedNet]) -> list[list[int]]:
    """Numbers of the trainings that take the same steps on batches of the same shapes.

    A batch of a row more would be rounded in another way.
    """
    kinds: dict[Any, list[int]] = {}
    for number, net in nets.items():
        rows, valid = trainings[number].rows, trainings[number].valid_rows
        lengths = len(rows), 0 if valid is None else len(valid)
        shapes = rows.X.shape[1:], rows.y.shape[1:], rows.row_weight.shape[1:]
        tensors = tuple((n, p.shape, p.requires_grad) for n, p in net.module_.named_parameters())
        kind = (*lengths, *shapes, rows.y.dtype, structure(net.module_), tensors)
        kinds.setdefault((*kind, net.criterion_.per_column), []).append(number)
    return [*kinds.values()]
