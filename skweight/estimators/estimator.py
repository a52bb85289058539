"""What the two estimators share: parameters, fits, raw predictions, pickles.

What classes and numbers need is in the tasks, the order of steps in a fit in ``planning``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skweight._keywords import Floats, Mask, Self, warn
from skweight.data import Encoding, as_array, has_named_inputs
from skweight.estimators.callbacks import callback_params, set_callback_params
from skweight.estimators.documentation import arrange_table, doc_link_template
from skweight.estimators.epochs import best_epochs, history_frame, per_member, shown
from skweight.estimators.exported import to_module
from skweight.estimators.members import FitPlan, set_nets
from skweight.estimators.missing import reason_of_missing
from skweight.estimators.offsets import check_given_as_in_fit, check_offset, of_weighted_rows
from skweight.estimators.onnx_file import DEFAULT_OPSET, write_onnx
from skweight.estimators.parameters import (
    check_parameters,
    defaults_of_parts,
    has_prefix,
    unknown_parameter,
    without_prefix,
)
from skweight.estimators.partial_fit import plan_partial_fit
from skweight.estimators.planning import (
    FitData,
    PartialFits,
    Task,
    criterion_arguments,
    plan,
)
from skweight.estimators.sklearn_callbacks import (
    CallbackSupportMixin,
    FitTasks,
    with_callbacks,
)
from skweight.estimators.skorch_names import refuse_hooks
from skweight.estimators.tables import columns_as_given, validate_to_predict
from skweight.losses import Traits, build_criterion, traits_of
from skweight.modules import check_module, input_feature_weights, is_mlp
from skweight.stacks import train_in_stacks
from skweight.training import (
    Training,
    TrainingInterrupted,
    WeightedNet,
    check_optimizer,
    if_out_of_memory,
    lower_batch_size,
    pack,
    train,
    unpack,
)
from skweight.weights import (
    check_sample_weight,
    fill_targets_without_weight,
    n_rows_of,
    refuse_masked,
    rows_with_weight,
    take_rows,
)


class TorchEstimator(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn estimator that trains a network.

    The constructor of a subclass stores, unchecked, what it is given for module, criterion and
    optimizer as ``_params``, see ``stores_params``. A subclass has a task, which ``_make_task``
    makes, and ``_output`` says what its network is for.
    """

    # They go to splitters, unless asked for here.
    __metadata_request__fit: ClassVar = {"groups": False}
    _doc_link_module = "skweight"
    _doc_link_template = property(doc_link_template)
    nets_: list[WeightedNet]
    oof_prediction_: NDArray[np.float64]  # with several members only, as the next two
    oof_score_: float
    _fold_seed: int
    _n_folds: int
    _criteria: Mapping[str, type[nn.Module]]  # names that ``criterion`` may have
    _params: dict[str, Any]
    module: Any
    criterion: Any
    optimizer: Any
    lr: float
    callbacks: Any
    verbose: int
    _task: Any  # ClassTask or NumberTask
    _row_shape: tuple[int, ...]
    _encoding: Encoding  # how X becomes float32
    _shaping: dict[str, Any]  # parameters that a fit which continues this one must keep
    _partial_fits: PartialFits

    # Parameters -----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get all parameters, also those of network, criterion, optimizer and callbacks.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the defaults of ``module__*`` for the default network and of
            ``criterion__*`` for a criterion with a name, and the parameters of callbacks as
            ``callbacks__name__param``. If False, only those ``module__*``, ``criterion__*`` and
            ``optimizer__*`` that were set.

        Returns
        -------
        dict
            Values by name.
        """
        of_parts = {**self._defaults_of_parts(), **callback_params(self.callbacks)} if deep else {}
        return {**super().get_params(deep), **of_parts, **self._params}

    def _defaults_of_parts(self) -> dict[str, Any]:
        """Defaults of ``module__*`` and ``criterion__*``, as far as they are known."""
        return defaults_of_parts(self.module, self.criterion, self._criteria)

    def _get_params_html(self, *args: Any, **kwargs: Any) -> Any:
        """The table in a notebook, from scikit-learn 1.7 on."""
        table = super()._get_params_html(*args, **kwargs)
        return arrange_table(table, self._defaults_of_parts().keys() - self._params.keys())

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Names of parameters that are attributes: those of parts are in ``_params``, if set."""
        return [name for name in super()._get_param_names() if not has_prefix(name)]

    def set_params(self, **params: Any) -> Self:
        """Set parameters for the next fit; ``correct_prior`` also changes predictions at once.

        Parameters
        ----------
        **params
            Values by name. Any ``module__*``, ``criterion__*`` and ``optimizer__*`` is accepted and
            checked by ``fit``. ``callbacks__name__param`` is a parameter of the callback
            ``("name", callback)``, or of the only callback of the class ``name``;
            ``callbacks__name`` replaces this callback, and None removes it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        extra = {k: v for k, v in params.items() if k in self._params or has_prefix(k)}
        of_callbacks = {k: v for k, v in params.items() if k.startswith("callbacks__")}
        own = params.keys() - extra.keys() - of_callbacks.keys()
        known = [*super().get_params(deep=False), *self._defaults_of_parts()]
        for name in sorted(own):
            of, has_part, _ = name.partition("__")
            part = params.get(of, getattr(self, of, None))
            if of not in known or (has_part and not hasattr(part, "set_params")):
                raise ValueError(unknown_parameter(name, known, type(self).__name__))
        super().set_params(**{k: v for k, v in params.items() if k in own})
        if of_callbacks:
            self.callbacks = set_callback_params(self.callbacks, of_callbacks)
        self._params = {**self._params, **extra}
        return self

    def __sklearn_clone__(self) -> Any:
        """Clone the parameters but for callbacks, of which each fit makes copies of its own."""
        others = copy.copy(self)
        others.callbacks = None
        cloned = BaseEstimator.__sklearn_clone__(others)
        cloned.callbacks = copy.copy(self.callbacks)
        return cloned

    def _params_for(self, prefix: str) -> dict[str, Any]:
        """What was given as ``prefix__*``, without the prefix."""
        return without_prefix(self._params, prefix)

    def _check_params(self) -> None:
        """Refuse unknown names and values out of range, before data are read.

        Only now is it known which network, criterion and optimizer the names belong to.
        """
        refuse_hooks(self)
        own = super().get_params(deep=False)
        check_parameters({**own, **self._params}, [*own], type(self).__name__)
        check_module(self.module, self._params_for("module"))
        check_optimizer(self.optimizer, self._params_for("optimizer"), self.lr)

    if not TYPE_CHECKING:  # attributes that are misspelt in this package are still found

        def __getattr__(self, name: str) -> Any:
            """A parameter of a part; else what an attribute of other libraries is called here."""
            if has_prefix(name) and name in (params := self.get_params()):
                return params[name]
            if reason := reason_of_missing(name, type(self).__name__):
                raise AttributeError(reason)
            return self.__getattribute__(name)  # its own error, or that of a property

        def __setattr__(self, name: str, value: Any) -> None:
            """Set ``module__*`` and the like as ``set_params`` does: they are no attributes."""
            if has_prefix(name):
                self.set_params(**{name: value})
            else:
                super().__setattr__(name, value)

    # Fits -----------------------------------------------------------------------------------

    def _fit(self, data: FitData) -> Self:
        """Fit on all rows at once."""
        self._unchanged_by_failure(partial(self._plan_and_train, data))
        return self

    @with_callbacks  # type: ignore[untyped-decorator]
    def _plan_and_train(self, data: FitData) -> None:
        planned = plan(self, data)
        tasks = begin_tasks(self, planned, lambda: data)
        try:
            with shown(self.verbose, tasks.trainings) as trainings:
                nets = _train_all(trainings)
        except TrainingInterrupted as stop:
            _match_means_of_stopped(planned, self, stop.nets)
            raise
        planned.complete(self, nets)
        tasks.end()

    def _begin_callbacks(self, **shape: Any) -> Any:
        """The context of scikit-learn's callbacks for a fit, whose callbacks are set up."""
        return self._init_callback_context(**shape)

    def _partial_fit(self, data: FitData, find_task: Callable[[Any, bool], Task]) -> Self:
        """Make one pass over more rows."""

        def train_once() -> None:
            planned = plan_partial_fit(self, data, find_task)
            with shown(self.verbose, planned) as trainings:
                set_nets(self, _train_all(trainings))
            if len(self.nets_) > 1:
                self._n_folds = 0  # now each has seen all rows

        self._unchanged_by_failure(train_once)
        return self

    def _unchanged_by_failure(self, fit: Callable[[], None]) -> None:
        """A fit that fails leaves the estimator as it was; one that the user stops is a fit.

        No context manager: one that is interrupted on its way out would restore what was before
        when its traceback is dropped, which may be after the next fit.
        """
        before = dict(self.__dict__)
        try:
            fit()
        except TrainingInterrupted as stop:
            set_nets(self, stop.nets)
            # A plain one, which holds no networks.
            raise KeyboardInterrupt(str(stop)) from None
        except BaseException:
            self.__dict__ = before
            raise

    def _keep(self, task: Any) -> None:
        """Keep a task that has learned, and show what it learned."""
        self._task = task
        for name, value in task.attributes().items():
            setattr(self, name, value)

    # The fitted network ---------------------------------------------------------------------

    def _read(self, X: Any, offset: Any) -> tuple[Any, Floats | None]:
        """X and offset as prediction reads them."""
        self._check_is_fitted()
        X = validate_to_predict(self, X)
        check_given_as_in_fit(self, offset)
        return X, check_offset(offset, X.shape[0], self._task)

    def predict_members(self, X: Any, *, offset: Any = None) -> NDArray[np.float64]:
        """What each member predicts: probabilities of a classifier, numbers of a regressor.

        The mean over the members is what ``predict_proba`` of a classifier and ``predict`` of a
        regressor return. The spread of the members shows how much a prediction depends on random
        numbers and on which rows were held out. It is not a standard error, since all members share
        most of their rows, and not the spread of y around the prediction.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_members, n_samples, ...)
            For each member, what ``predict_proba`` or ``predict`` would return.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
        """
        X, of_rows = self._read(X, offset)
        return np.stack([self._values([net], X, of_rows) for net in self.nets_])

    # Without skweight ------------------------------------------------------------------------

    def to_module(self) -> nn.Module:
        """Convert the fitted estimator to one torch module that predicts from raw columns.

        The module holds all members and every step of a prediction: encoding and scaling of
        columns, the link from scores to probabilities or means, the units of y, ``correct_prior``
        and ``match_mean``. It shares nothing with the estimator, and :func:`torch.export.export`
        can export it.

        Returns
        -------
        nn.Module
            On the CPU, in evaluation mode. ``module(X)``, or ``module(X, offset)`` after a fit with
            an offset, returns in float64 what ``predict_proba`` of a classifier or ``predict`` of a
            regressor returns, up to float32 rounding. X is a tensor of shape (n, n_features) with
            categories as codes, see :meth:`encode_columns`. float32 is exact enough for X unless
            columns need more digits, such as seconds since 1970. For a module of your own X may
            have more dimensions, or be a dict of tensors. The module does not check its inputs.

        Raises
        ------
        NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from skweight import WeightedTorchClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = WeightedTorchClassifier(max_epochs=1).fit(X, y)
        >>> clf.to_module()(torch.from_numpy(X)).shape
        torch.Size([150, 3])
        """
        self._check_is_fitted()
        return to_module(self)

    def to_onnx(self, path: Any, opset_version: int = DEFAULT_OPSET) -> None:
        """Write the fitted estimator to an ONNX file that predicts from raw columns.

        The file predicts what :meth:`to_module` predicts, for any number of rows, in an ONNX
        runtime without skweight and torch. Its inputs are "X", of float64, as
        :meth:`encode_columns` returns it, and "offset" after a fit with an offset. Its output is
        "probabilities" of a classifier and "predictions" of a regressor. Needs the packages onnx
        and onnxscript: ``pip install "skweight[onnx]"``. See docs/saving.md.

        Parameters
        ----------
        path : str or path-like
            The file to write, in a folder that exists. It may not exceed 2 GB.
        opset_version : int, default=18
            Version of the ONNX operators, from 18 to the newest that the installed onnx can write.
            Change it if your runtime needs a newer one.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ImportError
            If onnx or onnxscript is missing.
        ValueError
            If the network cannot be exported, with the reason that torch gives; or if the module
            takes a dict of inputs.
        """
        self._check_is_fitted()
        write_onnx(self, path, opset_version)

    def encode_columns(self, X: Any) -> Any:
        """Convert X to the numbers that :meth:`to_module` and ONNX files take.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float64
            Numbers as they are, NaN where one is missing, and for categories their code in
            ``category_codes_``, or 0 if it has none for them. A dict of arrays for a module that
            takes a dict.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X does not have the columns of ``fit``.
        """
        self._check_is_fitted()
        return columns_as_given(self, X)

    @property
    def category_codes_(self) -> dict[Any, dict[Any, int]]:
        """The code of each label, by column; None is a missing value, unlisted labels have 0.

        Columns are known by their names, or by their positions in an array.
        """
        self._check_is_fitted()
        columns = self._encoding.categories.values()
        return {column.name: dict(column.codes) for column in columns}

    @property
    def net_(self) -> WeightedNet:
        """The skorch net of a fit of one network; AttributeError if there are several members."""
        self._check_is_fitted()
        if len(self.nets_) > 1:
            raise AttributeError(
                f"This {type(self).__name__} has {len(self.nets_)} members: nets_ is a list of "
                "their nets, and nets_[0].module_ and nets_[0].history are those of the first. "
                "n_members=1 trains one network."
            )
        return self.nets_[0]

    def _check_is_fitted(self) -> None:
        """Raise NotFittedError before a fit."""
        if not hasattr(self, "nets_"):  # scikit-learn's own check takes as long as a prediction
            check_is_fitted(self)

    @property
    def module_(self) -> nn.Module:
        """The trained torch module; AttributeError if there are several members."""
        module: nn.Module = self.net_.module_
        return module

    @property
    def history_(self) -> Any:
        """Losses of each epoch, as weighted means, and other records; not for several members.

        The two losses are not those of one network. ``train_loss`` is the mean over the batches of
        the epoch, each before its update and with dropout, if there is any. ``valid_loss`` is that
        of the network after the epoch, which with ``ema_decay`` is the averaged one.
        """
        return self.net_.history

    def history_frame(self) -> Any:
        """Table of the epochs of the last fit, and of calls of ``partial_fit`` since.

        Returns
        -------
        pandas.DataFrame
            A row for each epoch of each member. ``member`` counts from 0 and ``epoch`` from 1.
            ``train_loss`` is the mean over the batches of the epoch, each before its update.
            ``valid_loss``, if there are validation rows, is that of the network after the epoch.
            ``dur`` is the time in seconds. ``is_best`` marks the epoch whose network was kept, see
            ``best_epoch_``. Values that callbacks recorded are further columns.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ImportError
            If pandas is not installed.
        """
        self._check_is_fitted()
        return history_frame(self.nets_)

    @property
    def best_epoch_(self) -> Any:
        """The epoch, from 1, whose network was kept; AttributeError without validation rows.

        It has the lowest validation loss. An int; with several members an ndarray of shape
        (n_members,). AttributeError also after ``partial_fit``.
        """
        self._check_is_fitted()
        return per_member([epoch for epoch, _ in best_epochs(self.nets_, "best_epoch_")])

    @property
    def best_loss_(self) -> Any:
        """The validation loss of ``best_epoch_``; AttributeError without validation rows.

        In the units of ``history_``. A float; with several members an ndarray of shape
        (n_members,).
        """
        self._check_is_fitted()
        return per_member([loss for _, loss in best_epochs(self.nets_, "best_loss_")])

    @property
    def n_iter_(self) -> int:
        """Number of epochs, of the member with most, and of calls of ``partial_fit`` since."""
        self._check_is_fitted()
        return max(len(net.history) for net in self.nets_)

    @property
    def is_categorical_(self) -> Mask | None:
        """Which columns of X are categories; None if none is."""
        self._check_is_fitted()
        if not self._encoding.categories:
            return None
        return np.isin(np.arange(self.n_features_in_), [*self._encoding.categories])

    @property
    def feature_weights_(self) -> NDArray[np.float32]:
        """Feature weights after training, the mean over members; AttributeError without any."""
        self._check_is_fitted()
        found = [input_feature_weights(net.module_, self.n_features_in_) for net in self.nets_]
        weights = [of_net.detach().cpu() for of_net in found if of_net is not None]
        if len(weights) < len(found):
            raise AttributeError(
                "feature_weights_ needs a network with a FeatureWeight on its "
                f"{self.n_features_in_} inputs, such as module__feature_weights=1 gives."
            )
        # In float64: the mean of equal weights is that weight.
        return np.asarray(torch.stack(weights).double().mean(dim=0).float().numpy())

    def __copy__(self) -> Any:
        """A copy that shares parameters and networks; a pickle would encode them."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays, for files: nothing of torch, and everything on the CPU."""
        state = dict(super().__getstate__())
        if "nets_" in state:  # before a fit, they are for the process that fits
            state.pop("_skl_callbacks", None)
        packed: dict[str, Any] = pack(state)
        return packed

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild what :meth:`__getstate__` took apart."""
        super().__setstate__(unpack(state))

    # Tags -----------------------------------------------------------------------------------

    def _traits_for_tags(self) -> Traits | None:
        """Traits of the criterion, or None for one that ``fit`` will refuse: tags never fail."""
        try:
            return traits_of(build_criterion(*criterion_arguments(self)))
        except (TypeError, ValueError):
            return None

    def __sklearn_tags__(self) -> Any:
        """X may be sparse; other properties depend on the module."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = is_mlp(self.module)
        tags.input_tags.three_d_array = tags.input_tags.dict = self.module is not None
        return tags


def _train_all(trainings: list[Training]) -> list[WeightedNet]:
    """Train one network, or all members."""
    if len(trainings) == 1:
        return [train(trainings[0])]
    with if_out_of_memory(lower_batch_size(trainings[0], "n_members")):
        outcomes = train_in_stacks(trainings)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.net for outcome in outcomes if outcome.net is not None]


def _match_means_of_stopped(planned: FitPlan, estimator: Any, nets: list[WeightedNet]) -> None:
    """Match the nets of a fit that the user stopped; a second interrupt keeps them as they are."""
    try:
        planned.match_means(estimator, nets)
    except KeyboardInterrupt:
        for net in nets:
            net.score_shift_ = None
        warn(
            "match_mean=True: the means were not matched, because the fit was interrupted again. "
            "The networks are kept without a shift."
        )


def begin_tasks(
    estimator: TorchEstimator, planned: FitPlan, find_data: Callable[[], FitData]
) -> FitTasks:
    """Tell scikit-learn's callbacks of an estimator that a planned fit begins."""
    rows = partial(_weighted_rows, find_data)
    return FitTasks(estimator, planned, estimator._begin_callbacks, rows)


def _weighted_rows(
    find_data: Callable[[], FitData],
) -> tuple[Any, Any, dict[str, Any] | None]:
    """X, y and metadata of a fit for scorers: rows of weight 0 are no training data."""
    data = find_data()
    X, y, weight = without_weightless_rows(data.X, data.y, data.sample_weight)
    offset = of_weighted_rows(data.offset, data.sample_weight)
    if weight is None or len(weight) == len(data.sample_weight):
        X, y, weight, offset = data.X, data.y, data.sample_weight, data.offset
    metadata = {"sample_weight": weight, "offset": offset}
    return X, y, {k: v for k, v in metadata.items() if v is not None} or None


def without_weightless_rows(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """X, y and weights to score on: a row of weight 0 counts as missing, whatever it holds."""
    refuse_masked(sample_weight, "sample_weight")
    X, y, sample_weight = as_array(X), as_array(y), as_array(sample_weight)
    y = fill_targets_without_weight(y, sample_weight)
    n_rows = n_rows_of(y)
    for values in X.values() if has_named_inputs(X) else [X]:
        expected = n_rows_of(values)
        if None not in (expected, n_rows) and n_rows != expected:
            raise ValueError(
                f"y must have one entry for each of {expected} rows of X, got {n_rows}."
            )
    if sample_weight is None or n_rows is None:
        return X, y, sample_weight
    sample_weight = check_sample_weight(sample_weight, n_rows)
    has_weight = rows_with_weight(sample_weight, n_rows)
    if has_weight is None:
        return X, y, sample_weight
    kept = np.flatnonzero(has_weight)
    X = X.tocsr() if hasattr(X, "tocsr") else X
    return take_rows(X, kept), take_rows(y, kept), take_rows(sample_weight, kept)
