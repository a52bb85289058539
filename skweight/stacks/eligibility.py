"""Which trainings can be stacked, and how many models a stack should have."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import Tensor, nn

from skweight._keywords import unwrap
from skweight.data import NamedInputs, RowDataset, TensorBatches, free_memory, rows_at_once
from skweight.losses import width
from skweight.stacks.networks import NotStackable, StackedNetwork
from skweight.training import Training, WeightedNet, isolated_torch, make_net, structure

# Optimizers whose update of a number depends on no other number in the parameters.
_ELEMENTWISE_OPTIMIZERS = tuple(
    getattr(torch.optim, name)
    for name in (
        *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"),
        *("Adagrad", "Adadelta", "Rprop", "ASGD"),
    )
)
# Bytes that a stack computes with at most: larger stacks save no time, since access to memory costs
# what fewer calls save.
_MOST_BYTES = 64 * 2**20
# With more activations or parameters, a step spends its time on arithmetic and not on calls.
_MANY_ACTIVATIONS, _MANY_PARAMETERS = 2**17, 2**15
_MOST_MODELS = {"cpu": 64, "cuda": 1024}
# A stack of fewer models takes as long as one training after the other: with batched layers and few
# activations, and else.
_FEWEST_MODELS, _FEWEST_OF_LARGER_MODELS = 3, 8
_FEW_ACTIVATIONS = 2**16


def models_at_once(training: Training, n_models: int | None = None) -> int:
    """How many models like this one a stack should have; 1 if stacking would save nothing.

    There are ``n_models`` to be trained, None for many.

    Raises
    ------
    NotStackable
        If such models can only be trained one by one, with the reason.
    """
    check_stackable(training)
    with isolated_torch(training.options.seed, device := training.rows.device):
        net = make_net(training)
        check_takes_floats(net)
        n_activations = _activations(training, net)
        n_parameters = sum(parameter.numel() for parameter in net.module_.parameters())
        is_long = n_activations > _MANY_ACTIVATIONS or n_parameters > _MANY_PARAMETERS
        is_worth = n_models is None or may_be_worth_stacking(training, net, n_models)
        if device.type == "cpu" and (is_long or not is_worth):
            return 1
        network = stack_networks([training] * 3, [net] * 3)
    # Activations with their gradients; parameters with gradients, moments and average.
    n_bytes = 4 * (3 * n_activations + 5 * n_parameters)
    if device.type == "cuda":
        return int(min(_MOST_MODELS["cuda"], free_memory(device) // (4 * n_bytes)))
    size = min(_MOST_MODELS["cpu"], _MOST_BYTES // n_bytes)
    return 1 if size < _fewest_models(network, n_activations) else int(size)


def may_be_worth_stacking(training: Training, net: WeightedNet, n_models: int) -> bool:
    """Whether to make a stack of so many models like this one."""
    if n_models >= _FEWEST_OF_LARGER_MODELS or training.rows.device.type != "cpu":
        return n_models > 1
    # Two of small models cost no more than one after the other.
    return n_models > 1 and _activations(training, net) <= _FEW_ACTIVATIONS


def is_worth_stacking(network: StackedNetwork) -> bool:
    """Whether to train a stack that :func:`may_be_worth_stacking`."""
    return network.is_layered or network.n_models >= _FEWEST_OF_LARGER_MODELS


def _fewest_models(network: StackedNetwork, n_activations: int) -> int:
    is_small = network.is_layered and n_activations <= _FEW_ACTIVATIONS
    return _FEWEST_MODELS if is_small else _FEWEST_OF_LARGER_MODELS


def _activations(training: Training, net: WeightedNet) -> int:
    """Number of values that a batch has in the input and in all layers."""
    n_rows = min(net.batch_size, len(training.rows))
    return int(n_rows * _values_per_row(net.module_, _sample_rows(training)))


def stack_networks(trainings: Sequence[Training], nets: Sequence[WeightedNet]) -> StackedNetwork:
    """One network of all, which rounds as each of them does on batches of these trainings."""
    modules = [net.module_ for net in nets]
    network = StackedNetwork(modules, torch.stack([*map(_sample_rows, trainings)]))
    if not network.has_known_forward and trainings[0].rows.device.type == "cpu":
        sizes = [*TensorBatches(trainings[0].rows, nets[0].batch_size).sizes]
        if trainings[0].valid_rows is not None:
            sizes += validation_batches(trainings[0].valid_rows).sizes
        for n_rows in {*chain(*sizes)}:
            network.check_rounding(
                modules, torch.stack([_sample_rows(t, n_rows) for t in trainings])
            )
    return network


def validation_batches(rows: RowDataset) -> TensorBatches:
    """Batches of validation rows, as large as in the training of a single network."""
    return TensorBatches(rows, rows_at_once(rows.X, rows.device))


def _sample_rows(training: Training, n_rows: int = 3) -> Tensor:
    """X of the first ``n_rows`` rows, from the beginning again if there are fewer."""
    positions = torch.arange(n_rows, device="cpu") % len(training.rows)
    X: Tensor = training.rows.batch(positions)[0]["X"]
    return X


def _values_per_row(module: nn.Module, X: Tensor) -> int:
    """Number of values that the input and all layers of a network have for a row."""
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
    """Refuse options with which networks can only be trained one by one, with the reason."""
    options, criterion = training.options, training.criterion
    if training.is_partial:
        raise NotStackable("partial_fit continues with one network")
    if isinstance(training.rows.X, NamedInputs):
        raise NotStackable("X has several named inputs")
    optimizer = unwrap(options.optimizer_class)[0]
    if optimizer not in _ELEMENTWISE_OPTIMIZERS:
        name = getattr(optimizer, "__name__", repr(optimizer))
        raise NotStackable(f"optimizer {name} is not known to update each parameter independently")
    for callback in options.callbacks or []:
        callback = callback[1] if isinstance(callback, tuple) else callback
        if not (type(callback) is GradientNormClipping or _is_schedule(callback)):
            name = getattr(callback, "__name__", type(callback).__name__)
            raise NotStackable(f"callback {name} is not supported in stacks")
    if options.compile:
        raise NotStackable("compile=True compiles one network")
    if [*criterion.parameters()]:
        raise NotStackable("the criterion has parameters to be trained")


def check_takes_floats(net: WeightedNet) -> None:
    """Refuse a network that turned out to be one of integers, such as token ids."""
    if net.takes_integers:
        raise NotStackable("the module takes X as integers")


def _is_schedule(callback: Any) -> bool:
    """Whether a callback is a schedule of learning rates that does not depend on losses."""
    policy = getattr(callback, "policy", None)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    is_plateau = policy == plateau.__name__ or (
        isinstance(policy, type) and issubclass(policy, plateau)
    )
    return type(callback) is LRScheduler and not is_plateau


def group_alike(trainings: Sequence[Training], nets: dict[int, WeightedNet]) -> list[list[int]]:
    """Numbers of the trainings whose networks and batches have the same shapes, in groups.

    Even a batch with one row more would be rounded differently.
    """
    groups: dict[Any, list[int]] = {}
    for number, net in nets.items():
        rows, valid = trainings[number].rows, trainings[number].valid_rows
        lengths = len(rows), 0 if valid is None else len(valid)
        shapes = rows.X.shape[1:], rows.y.shape[1:], rows.row_weight.shape[1:], rows.offset is None
        tensors = tuple((n, p.shape, p.requires_grad) for n, p in net.module_.named_parameters())
        key = (*lengths, *shapes, rows.y.dtype, structure(net.module_), tensors)
        groups.setdefault((*key, net.criterion_.per_column), []).append(number)
    return [*groups.values()]
