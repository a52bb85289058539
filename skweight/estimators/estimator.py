"""What the two estimators share."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skweight._keywords import check_keywords
from skweight.data import (
    RowDataset,
    place,
    resolve_device,
    split_validation,
    validate_X,
    validate_X_y,
)
from skweight.estimators.fitted import FittedNetwork
from skweight.losses import RowLoss, from_criterion
from skweight.modules import build_module
from skweight.training import (
    Output,
    Training,
    TrainingOptions,
    WeightedNet,
    predict,
    resolve_early_stopping,
    train,
)
from skweight.weights import (
    DistinctRows,
    check_sample_weight,
    effective_sample_size,
    flatten_mass,
    merge,
    scale_near_one,
    to_mean_one,
)

_FEW_EFFECTIVE_ROWS = 0.1
_MOSTLY_DISTINCT = 0.9
_warned_of_few_rows = False


class WeightedTorchEstimator(FittedNetwork):
    """Validation, training and raw scores: what the two estimators share."""

    _row_shape: tuple[int, ...]
    _scale: tuple[float, float]  # of masses and of weights, for the rows of a stream
    _first_seed: int
    _n_calls: int  # of partial_fit

    # What the classifier and the regressor decide ----------------------------------------

    def _make_criterion(self) -> RowLoss:
        raise NotImplementedError

    def _learn_target(self, y: Any) -> NDArray[Any]:
        """Encode y, and keep what it takes to do so again."""
        raise NotImplementedError

    def _announce(self, announced: Any, y: Any, first: bool) -> None:
        """Keep what later calls of ``partial_fit`` must agree with, or see whether they do."""
        raise NotImplementedError

    def _check_domain(self, rows: DistinctRows) -> None:
        """Refuse targets that the criterion is not for."""

    def _check_present(self, rows: DistinctRows) -> None:
        """Refuse rows from which nothing can be learned."""

    def _encode(self, y: Any, name: str) -> NDArray[Any]:
        """Encode a y of the kind that was learned."""
        raise NotImplementedError

    def _learn_weights(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Keep what multiplies the weights of rows."""
        raise NotImplementedError

    def _multiply(self, rows: DistinctRows) -> DistinctRows:
        """Multiply weights by what was learned; rows that then weigh nothing are left out."""
        raise NotImplementedError

    def _learn_units(self, rows: DistinctRows, criterion: RowLoss) -> None:
        """Keep what targets are shifted and divided by."""
        raise NotImplementedError

    def _in_units(self, y: NDArray[Any]) -> NDArray[Any]:
        """Targets as training sees them."""
        raise NotImplementedError

    def _output(self, criterion: RowLoss) -> Output:
        """What the output of the network is for."""
        raise NotImplementedError

    # Fits -------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any]) -> Any:
        """Fit on all rows at once; ``validation`` is X, y and weights of rows for stopping."""
        with self._unchanged_by_failure():
            self.net_ = train(self._plan(X, y, sample_weight, validation))
        return self

    def _plan(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any]
    ) -> Training:
        """Learn from the rows all but the network: what is left is to train it."""
        self._check_params()
        self._check_validation(*validation)
        criterion = self._make_criterion()
        X, y = self._validate(X, y=y, sample_weight=sample_weight, reset=not self._continues)
        y = self._learn_target(y)
        merged = merge(X, y, sample_weight, self.sample_weight_power)
        self._learn_weights(merged, criterion)
        self._check_domain(merged)
        seed = self._draw_seed()
        rows = self._multiply(merged)
        self._check_present(rows)
        self._warn_of_few_effective_rows(y, sample_weight)
        self._warn_of_flattened_copies(sample_weight, len(y), len(merged.index))
        parts = self._parts(rows, validation, seed)
        self._learn_units(parts[0], criterion)
        self._set_scale(parts[0])
        row_weights = [to_mean_one(part.weight) for part in parts]
        return self._training(parts, row_weights, criterion, seed)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, announced: Any = None) -> Any:
        """One pass over rows of a stream, with weights on the scale of its first rows."""
        with self._unchanged_by_failure():
            self.net_ = train(self._plan_pass(X, y, sample_weight, announced))
        return self

    def _plan_pass(self, X: Any, y: Any, sample_weight: Any, announced: Any) -> Training:
        """Learn from the rows all but the network, and only from the first what stays."""
        self._check_params()
        previous = getattr(self, "net_", None)
        first = previous is None
        criterion = copy.deepcopy(previous.criterion_) if previous else self._make_criterion()
        X, y = self._validate(X, y=y, sample_weight=sample_weight, reset=first)
        self._announce(announced, y, first)
        y = self._encode(y, "y")
        merged = merge(X, y, sample_weight, self.sample_weight_power)
        if first:
            criterion.more_rows_follow = True
            self._learn_weights(merged, criterion)
            self._set_scale(merged)
        self._check_domain(merged)
        mass_unit, weight_unit = self._scale
        rows = self._multiply(merged.on_scale(mass_unit, self.sample_weight_power))
        if not len(rows.index):
            raise ValueError("y must hold a row whose class has weight, got none.")
        if first:
            self._learn_units(rows, criterion)
            self._warn_of_few_effective_rows(y, sample_weight)
        row_weights, seed = [rows.weight / weight_unit], self._stream_seed()
        return self._training([rows], row_weights, criterion, seed, True, previous)

    @contextmanager
    def _unchanged_by_failure(self) -> Iterator[None]:
        """A fit that fails leaves the estimator as it found it."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _validate(self, X: Any, **kwargs: Any) -> Any:
        """X as training reads it, of rows with the shape of those of ``fit``; y beside it."""
        if self.module is None and getattr(X, "ndim", 2) > 2:
            raise ValueError(
                "X must be 2-D for the default network, with shape (n_samples, n_features), got "
                f"shape {tuple(X.shape)}. Pass a module that takes such X."
            )
        kwargs["allow_nd"] = self.module is not None
        if "y" in kwargs:
            X, _ = checked = validate_X_y(self, X, **kwargs)
        else:
            X = checked = validate_X(self, X, **kwargs)
        if kwargs["reset"]:
            self._row_shape = X.shape[1:]
        elif X.shape[1:] != self._row_shape:
            raise ValueError(
                f"X must have rows of shape {self._row_shape}, as in fit, got {X.shape[1:]}."
            )
        return checked

    def _check_validation(self, X_val: Any, y_val: Any, sample_weight_val: Any) -> None:
        if (X_val is None) != (y_val is None):
            given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
            raise ValueError(f"{missing} must be given together with {given}, got None.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val, got None for both.")
        if X_val is not None and not self.early_stopping:
            raise ValueError(
                "X_val and y_val are what early stopping looks at: they need early_stopping=True "
                'or "auto", got False.'
            )

    def _parts(
        self, rows: DistinctRows, validation: tuple[Any, Any, Any], seed: int
    ) -> list[DistinctRows]:
        """Rows for training and, with early stopping, rows for validation."""
        if validation[0] is not None:
            return [rows, self._validation_rows(*validation)]
        if not resolve_early_stopping(self.early_stopping, len(rows.index)):
            return [rows]
        codes = rows.y if rows.y.dtype.kind == "i" and rows.y.ndim == 1 else None
        try:
            split = split_validation(len(rows.index), self.validation_fraction, seed, codes)
        except ValueError:  # nothing can be held out, and nobody asked for it
            if self.early_stopping == "auto":
                return [rows]
            raise
        return [rows.take(part) for part in split]

    def _validation_rows(self, X: Any, y: Any, sample_weight: Any) -> DistinctRows:
        try:
            X, y = self._validate(X, y=y, sample_weight=sample_weight, reset=False)
        except ValueError as error:
            raise ValueError(f"X_val and y_val: {error}") from error
        y = self._encode(y, "y_val")
        try:
            merged = merge(X, y, sample_weight, self.sample_weight_power)
            self._check_domain(merged)
        except (TypeError, ValueError) as error:
            argument, _, rest = str(error).partition(" ")
            raise type(error)(f"{argument}_val {rest}") from error
        rows = self._multiply(merged)
        if not len(rows.index):
            raise ValueError("sample_weight_val and class_weight leave no row of X_val any weight.")
        return rows

    def _warn_of_few_effective_rows(self, y: NDArray[Any], sample_weight: Any) -> None:
        """Say it once: a search would say it for each candidate and fold.

        Of the rows as they were passed: that copies of a row weigh much is no one's setting.
        """
        global _warned_of_few_rows
        weighted = sample_weight is not None or getattr(self, "class_weight", None) is not None
        if not weighted or self.weighting != "loss" or _warned_of_few_rows:
            return
        mass = check_sample_weight(sample_weight, len(y))
        weight = scale_near_one(flatten_mass(mass, self.sample_weight_power))
        passed = DistinctRows(None, np.arange(len(y)), y, mass, weight)
        per_row = self._multiply(passed if mass.all() else passed.take(mass > 0)).weight
        per_row = per_row if per_row.ndim == 1 else per_row.mean(axis=1)
        if effective_sample_size(per_row) < _FEW_EFFECTIVE_ROWS * len(per_row):
            warnings.warn(
                "The weights rest on few rows: their effective sample size is below 10 % of the "
                'rows, and gradients are noisy. weighting="sampling" draws heavy rows more often '
                "instead; sample_weight_power or class_weight_power below 1, or clip_weights, make "
                "the weights more even. weight_summary shows them.",
                stacklevel=5,
            )
            _warned_of_few_rows = True

    def _warn_of_flattened_copies(self, sample_weight: Any, n_rows: int, n_distinct: int) -> None:
        """Warn where a power does more than to flatten the weights that were passed."""
        if self.sample_weight_power == 1:
            return
        weighing = np.count_nonzero(check_sample_weight(sample_weight, n_rows))
        if n_distinct > _MOSTLY_DISTINCT * weighing:
            return
        warnings.warn(
            f"sample_weight_power={self.sample_weight_power} acts on the total weight of equal "
            f"rows (x, y), and {1 - n_distinct / weighing:.0%} of the rows are copies of others: "
            "frequent rows, and with them frequent values of y, count less. To flatten only the "
            "weights that you pass, pass them to fit to that power.",
            stacklevel=5,
        )

    # Streams ----------------------------------------------------------------------------

    def _set_scale(self, rows: DistinctRows) -> None:
        """Keep the mean mass, and the mean of what powers and classes make of it."""
        unit = float(rows.mass.mean())
        rows = self._multiply(rows.on_scale(unit, self.sample_weight_power))
        self._scale = unit, float(rows.weight.mean()) if len(rows.index) else 0.0
        self._n_calls = 0

    def _check_streams(self) -> None:
        """Say why there is no ``partial_fit``, if there is none."""
        if self.early_stopping and self.early_stopping != "auto":
            raise ValueError(
                'partial_fit needs early_stopping=False or "auto", since it makes one pass over '
                "its rows, got True. Keep rows of your own to look at between the calls."
            )
        if self.ema_decay not in ("auto", 0):
            raise ValueError(
                'partial_fit needs ema_decay="auto" or 0, since it trains the network itself on, '
                f"got {self.ema_decay!r}."
            )

    def _stream_seed(self) -> int:
        """Another one for each call, all of them from that of the first."""
        if not self._n_calls:
            self._first_seed = self._draw_seed()
        self._n_calls += 1
        sequence = np.random.SeedSequence([self._first_seed, self._n_calls])
        return int(sequence.generate_state(1)[0] >> 1)

    # Training ---------------------------------------------------------------------------

    @property
    def _continues(self) -> bool:
        """Whether this fit goes on from the last one."""
        return bool(self.warm_start) and hasattr(self, "net_")

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _training(
        self,
        parts: list[DistinctRows],
        row_weights: list[NDArray[np.float64]],
        criterion: RowLoss,
        seed: int,
        stream: bool = False,
        previous: WeightedNet | None = None,
    ) -> Training:
        device = resolve_device(self.device)
        output: Output = self._output(criterion)
        given = self._shaping()
        goes_on = previous is not None or (self._continues and not stream)
        if goes_on:
            self._check_unchanged(given, stream)
        rows: list[RowDataset] = []
        for part, weight in zip(parts, row_weights):
            X = rows[0].X if rows and part.X is parts[0].X else place(part.X, device)
            rows.append(RowDataset(X, part.index, self._in_units(part.y), weight, device))
        self._given = given
        return Training(
            partial(copy.deepcopy, self.net_.module_)
            if goes_on
            else partial(self._build_module, output.widths[0]),
            criterion,
            rows[0],
            rows[1] if len(rows) > 1 else None,
            self._training_options(seed, stream),
            output,
            adapt=not goes_on,
            is_partial=stream,
            previous=previous,
        )

    def _build_module(self, n_outputs: int) -> nn.Module:
        params = self._params_for("module")
        return build_module(self.module, self.n_features_in_, n_outputs, params)

    def _training_options(self, seed: int, stream: bool) -> TrainingOptions:
        optimizer = torch.optim.AdamW if self.optimizer is None else self.optimizer
        optimizer_params = self._params_for("optimizer")
        # param_groups is skorch's: pairs of a pattern of parameter names and their settings.
        own = {k: v for k, v in optimizer_params.items() if k != "param_groups"} | {"lr": self.lr}
        check_keywords(optimizer, own, "optimizer")
        if "lr" in optimizer_params:
            raise ValueError(
                "The learning rate must be given as lr, got optimizer__lr="
                f"{optimizer_params['lr']!r} beside lr={self.lr!r}."
            )
        names = {field.name for field in fields(TrainingOptions)} - {"optimizer_params", "seed"}
        given = {name: getattr(self, name) for name in names} | (
            {"max_epochs": 1} if stream else {}
        )
        return TrainingOptions(**given, optimizer_params=optimizer_params, seed=seed)

    def _predict(
        self, X: Any, link: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> NDArray[np.float64]:
        """Raw scores of shape (n_samples, n_outputs), or what ``link`` makes of them."""
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        device = torch.device(self.net_.device)
        return np.asarray(predict(self.net_.module_, X, device, link).numpy())

    def _criterion_for_tags(self, names: dict[str, Any]) -> RowLoss | None:
        """The criterion, or None for one that ``fit`` will refuse: tags never fail."""
        try:
            return from_criterion(self.criterion, self._params_for("criterion"), names)
        except (TypeError, ValueError):
            return None

    def __sklearn_tags__(self) -> Any:
        """Sparse X is welcome, and X of more dimensions where a module is given for it."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = self.module is not None
        return tags
