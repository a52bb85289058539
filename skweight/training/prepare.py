"""A network before its training: adapted to its data and tried on a few rows."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skweight._keywords import warn
from skweight.data import (
    NamedInputs,
    RowDataset,
    find_values,
    rows_at_once,
    weighted_moments,
    weighted_quantiles,
)
from skweight.losses import RowLoss, width
from skweight.training.scales import warn_of_outliers, warn_of_scales
from skweight.training.trial import last_function, try_module

# Logarithm of a mean beside that of all rows: predictions 22,000 times as large are no start.
_FURTHEST_START = 10.0
# Columns that an error names.
_MOST_NAMES = 5


def prepare(
    module: nn.Module,
    criterion: RowLoss,
    rows: RowDataset,
    widths: tuple[int, ...],
    adapt: bool,
    cardinalities: tuple[int, ...] = (),
    column_names: tuple[Any, ...] = (),
    holds_integers: bool = False,
    neutral: Tensor | None = None,
) -> nn.Module:
    """Adapt the module to its training rows, and try it and the criterion on a few of them.

    Of the following methods those that it has are called in this order, unless ``adapt`` is False
    because the module has been trained before: ``adapt(X, y, row_weight)``;
    ``adapt_categories(cardinalities)`` if X is a table, with 0 for each column of numbers;
    ``adapt_input(mean, spread)``; ``adapt_values(columns, values, shares)`` with the values that
    :func:`find_values` finds, without mass points if it has ``uses_mass_points = False``;
    ``adapt_bins(edges)`` with ``n_bins + 1`` quantiles of the other
    values; and last ``adapt_output(constant)``. ``widths`` are the numbers of output columns that
    the problem allows, ``cardinalities``, ``column_names`` and ``holds_integers`` those of
    :class:`Training`, and ``neutral`` that of :class:`Output`.

    Raises
    ------
    ValueError
        If the module cannot read the categories of X, if it does not return raw scores of one of
        the widths, or if the criterion cannot compare them with the targets.
    """
    if adapt:
        _check_categories(module, cardinalities, column_names)
        _adapt_to_input(module, rows, cardinalities, column_names)
    module.eval()  # neither dropout nor running statistics
    output, tried_y = try_module(module, rows, widths, holds_integers)
    if adapt and _gets_numbers_as_they_are(module, rows):
        warn_of_scales(module, rows, column_names or range(rows.X.shape[1]))
    if not tried_y.is_floating_point():
        _warn_of_probabilities(module, rows, output)
    criterion.to(rows.device).check(output, tried_y)
    if criterion.compares_with_y and tried_y.is_floating_point():
        criterion.learn_units(rows.y, rows.row_weight, output, rows.offset)
        criterion.check(output, tried_y)
    if adapt and _has_method(module, "adapt_output"):
        constant = criterion.constant(rows.y, rows.row_weight, width(output), rows.offset)
        if neutral is not None and getattr(module, "starts_at_offset", False):
            constant = criterion.without_effect(constant, neutral)
        module.adapt_output(constant)  # type: ignore[operator]
        if criterion.traits.log_link:
            _start_near_constant(module, rows, constant)
    return module.train()


def _check_categories(
    module: nn.Module, cardinalities: Sequence[int], column_names: Sequence[Any]
) -> None:
    """Refuse categories that the module would take for numbers."""
    if not any(cardinalities) or _has_method(module, "adapt_categories"):
        return
    names = column_names or range(len(cardinalities))
    found = [repr(name) for name, n_codes in zip(names, cardinalities) if n_codes > 0]
    listed = ", ".join(found[:_MOST_NAMES]) + (", ..." if len(found) > _MOST_NAMES else "")
    raise ValueError(
        f"module {type(module).__name__} has no method adapt_categories, so it would take the "
        f"categories of X for numbers, got categories in {listed}. Give it a method "
        "adapt_categories(cardinalities), or encode them before, in a Pipeline. Those that "
        "are numbers are taken as numbers with categorical_features=None."
    )


def _gets_numbers_as_they_are(module: nn.Module, rows: RowDataset) -> bool:
    """Whether X is a table of numbers, of which the module has not seen the scale."""
    is_table = len(rows.X.shape) == 2 and not isinstance(rows.X, NamedInputs)
    knows_scale = _has_method(module, "adapt") or _has_method(module, "adapt_input")
    return is_table and not rows.as_integers and not knows_scale


def _adapt_to_input(
    module: Any, rows: RowDataset, cardinalities: tuple[int, ...], column_names: Sequence[Any]
) -> None:
    if _has_method(module, "adapt"):
        X, y, weight = rows.tensors()
        y = y.float() if y.is_floating_point() else y
        X = X.by_name if isinstance(X, NamedInputs) else X
        module.adapt(X, y, weight if weight.ndim == 1 else weight.mean(dim=1))
        del X
    if isinstance(rows.X, NamedInputs):
        _adapt_to_inputs(module, rows, rows.X)
        return
    if len(rows.X.shape) == 2 and _has_method(module, "adapt_categories"):
        module.adapt_categories(cardinalities or (0,) * rows.X.shape[1])
    if _has_method(module, "adapt_input"):
        mean, spread = weighted_moments(rows)
        module.adapt_input(mean, spread)
        if len(rows.X.shape) == 2 and _number_of_bins(module, len(rows)) == 0:
            warn_of_outliers(rows, spread, column_names or range(len(spread)))
    columns = values = None
    if _has_method(module, "adapt_values"):
        mass_points = getattr(module, "uses_mass_points", True)
        columns, values, shares = find_values(rows, cardinalities, mass_points)
        module.adapt_values(columns, values, shares)
    if _has_method(module, "adapt_bins") and (n_bins := _number_of_bins(module, len(rows))):
        module.adapt_bins(weighted_quantiles(rows, n_bins, columns, values))


def _adapt_to_inputs(module: Any, rows: RowDataset, X: NamedInputs) -> None:
    """Give the module dicts of the moments of the inputs of floats, and of their quantiles."""
    floats = {name: rows.of_input(name) for name in X.by_name if X.holds_floats(name)}
    if _has_method(module, "adapt_input"):
        moments = {name: weighted_moments(of_input) for name, of_input in floats.items()}
        mean = {name: mean for name, (mean, _) in moments.items()}
        spread = {name: spread for name, (_, spread) in moments.items()}
        module.adapt_input(mean, spread)
    if _has_method(module, "adapt_bins") and (n_bins := _number_of_bins(module, len(rows))):
        tables = [name for name, of_input in floats.items() if of_input.X.ndim == 2]
        edges = {name: weighted_quantiles(floats[name], n_bins) for name in tables}
        module.adapt_bins(edges)


@torch.no_grad()
def _start_near_constant(module: Any, rows: RowDataset, constant: Tensor) -> None:
    """Start from the constant alone if the first predictions of some rows are far from it.

    A rare value of a column is far out without hidden layers, and a random weight times it may be a
    score whose exponential is infinite.
    """
    if not _has_method(module, "forget_input") or module.clip is not None:
        return
    step = rows_at_once(rows.X, rows.device)
    for start in range(0, len(rows), step):
        positions = torch.arange(start, min(start + step, len(rows)), device="cpu")
        scores = module(rows.batch(positions)[0]["X"])
        if not bool(((scores - constant.to(scores)).abs() < _FURTHEST_START).all()):
            module.forget_input()
            return


def _number_of_bins(module: Any, n_rows: int) -> int:
    """The attribute ``n_bins`` of a module, or what it chooses for its training rows."""
    if _has_method(module, "choose_n_bins"):
        return int(module.choose_n_bins(n_rows))
    return int(getattr(module, "n_bins", 0))


def _has_method(module: nn.Module, name: str) -> bool:
    return callable(getattr(module, name, None))


def _warn_of_probabilities(module: nn.Module, rows: RowDataset, output: Tensor) -> None:
    if link := _link(module, rows, output):
        warn(
            f"module {type(module).__name__} ends with {link}, but must return raw "
            "scores: predict and predict_proba would apply it a second time. Leave it out, and let "
            "criterion be None or nn.CrossEntropyLoss, or nn.BCEWithLogitsLoss for one logit."
        )


def _link(module: nn.Module, rows: RowDataset, output: Tensor) -> str:
    """The function that makes probabilities of the scores; empty if there is none.

    A softmax of a single score is 1 in every row, and its logarithm is 0. Of several scores, cross
    entropy changes nothing of a log-softmax.
    """
    last, is_single = [*module.modules()][-1], width(output) == 1
    is_logarithm = is_single and isinstance(last, nn.LogSoftmax)
    if isinstance(last, (nn.Sigmoid, nn.Softmax)) or is_logarithm:
        return type(last).__name__
    if bool(((output < 0) | (output > 1)).any()):
        return ""
    sums = output.sum(dim=-1)
    if not is_single and torch.allclose(sums, torch.ones_like(sums), atol=1e-5):
        return "a softmax"
    if _has_method(module, "adapt_output"):
        return ""  # it starts from the best constant, and so knows that it returns raw scores
    function = last_function(module, rows, len(output))
    links = {"Sigmoid": "a sigmoid", "Softmax": "a softmax", "LogSoftmax": "a log-softmax"}
    return links.get(function.partition("Backward")[0], "")
