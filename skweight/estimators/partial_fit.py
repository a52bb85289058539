"""``partial_fit``: when it is available, and the plan of one call."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.metaestimators import available_if

from skweight._keywords import underflow_is_zero
from skweight.data import RowDataset, holds_integers, place, resolve_device
from skweight.estimators.class_task import is_fixed
from skweight.estimators.members import seed_of_member
from skweight.estimators.offsets import check_continued
from skweight.estimators.planning import (
    ADVICE_ON_ROWS,
    FitData,
    PartialFits,
    Task,
    draw_seed,
    encode,
    make_criterion,
    make_training,
    scales_of_weights,
    warn_of_few_effective_rows,
)
from skweight.estimators.tables import order_by_rows, pool_rare, validate
from skweight.training import Training, WeightedNet, advised_if_out_of_memory
from skweight.weights import merge

Method = TypeVar("Method", bound=Callable[..., Any])


def check_partial_fit(estimator: Any) -> bool:
    """Raise ValueError if the parameters of an estimator rule out ``partial_fit``."""
    class_weight = getattr(estimator, "class_weight", None)
    if not is_fixed(class_weight):
        raise ValueError(
            "partial_fit needs class_weight to be None or a dict, because the classes of later "
            f"rows cannot be counted yet, got {class_weight!r}. Compute the weights from rows "
            "that you have with sklearn.utils.class_weight.compute_class_weight, and pass them "
            "as a dict."
        )
    adjustment = getattr(estimator, "logit_adjustment", 0)
    if adjustment:
        raise ValueError(
            "partial_fit does not support logit_adjustment, because class priors are unknown "
            f"before all rows have arrived, got {adjustment!r}. Pass class weights as a dict."
        )
    if estimator.early_stopping and estimator.early_stopping != "auto":
        raise ValueError(
            'partial_fit needs early_stopping=False or "auto", because it makes one pass over '
            "its rows, got True. Evaluate the model on validation rows of your own between calls."
        )
    if estimator.n_members not in (1, "auto"):
        raise ValueError(
            'partial_fit needs n_members=1 or "auto", because no member holds out rows of later '
            f"calls, got {estimator.n_members!r}. Pass all rows to fit instead."
        )
    if estimator.match_mean:
        raise ValueError(
            "partial_fit needs match_mean=False, because the mean of y in later calls is unknown, "
            f"got {estimator.match_mean!r}. Pass all rows to fit instead."
        )
    if estimator.ema_decay not in ("auto", 0):
        raise ValueError(
            'partial_fit needs ema_decay="auto" or 0, because later calls train the parameters '
            f"themselves and not their average, got {estimator.ema_decay!r}."
        )
    return True


def if_available(method: Method) -> Method:
    """Decorate ``partial_fit``: there is none where ``check_partial_fit`` raises an error."""
    decorated: Method = available_if(check_partial_fit)(method)
    return decorated


@advised_if_out_of_memory(ADVICE_ON_ROWS)
@underflow_is_zero
def plan_partial_fit(
    estimator: Any, data: FitData, find_task: Callable[[Any, bool], Task]
) -> list[Training]:
    """Plan one pass over more rows, with weights on the scale of the first call's rows.

    ``find_task(y, first)`` makes the task in the first call and returns it in later ones. After a
    fit of several members, each of them is trained on all of the rows.
    """
    estimator._check_params()
    nets: list[WeightedNet | None] = [*getattr(estimator, "nets_", [])]
    first = not nets
    if first:
        nets, criteria = [None], [make_criterion(estimator)]
    else:
        criteria = [copy.deepcopy(net.criterion_) for net in nets if net is not None]
    given, power = (data.X, data.y, data.sample_weight), estimator.sample_weight_power
    X, y = validate(estimator, *given, reset=first, only_known=True)
    task = find_task(y, first)
    if not first:
        check_continued(estimator, data.offset, "partial_fit")
    codes, of_rows, _ = encode(task, y, data, criteria[0])
    rows = merge(X, codes, data.sample_weight, power, offset=of_rows)
    if first:
        rows = order_by_rows(estimator, rows)
        criteria[0].more_rows_follow = True
        task.learn(rows, criteria[0])
        estimator._partial_fits = scales_of_weights(rows, task, power)
    calls = estimator._partial_fits = copy.copy(estimator._partial_fits)
    n_distinct = len(rows.index)
    rows = task.weigh(rows.on_scale(calls.mass_unit, power))
    task.check(rows)
    if first:
        if len(rows.index) < n_distinct:
            rows = order_by_rows(estimator, rows)
        rows = pool_rare(estimator, rows)
        warn_of_few_effective_rows(estimator, task, codes, data.sample_weight)
    (targets,), (offset,) = task.targets([rows]), task.offsets([rows])
    estimator._keep(task)
    seed = _seed_of_call(calls, estimator.random_state)
    device = resolve_device(estimator.device)
    weights = rows.weight / calls.weight_unit
    row_set = RowDataset(place(rows.X, device), rows.index, targets, weights, device, offset)
    are_integers = holds_integers(data.X)
    seeds = [seed_of_member(seed, n) for n in range(len(nets))] if len(nets) > 1 else [seed]
    of_nets = zip(criteria, seeds, nets)
    return [
        make_training(estimator, [row_set], *of_net, is_partial=True, holds_integers=are_integers)
        for of_net in of_nets
    ]


def _seed_of_call(calls: PartialFits, random_state: Any) -> int:
    """Another seed for each call of ``partial_fit``, all derived from that of the first."""
    if calls.first_seed is None:
        calls.first_seed = draw_seed(random_state)
    calls.n_calls += 1
    sequence = np.random.SeedSequence([calls.first_seed, calls.n_calls])
    return int(sequence.generate_state(1)[0] >> 1)
