"""What the two estimators share: parameters, fits, raw predictions, pickles.

What classes and numbers need is in the tasks, the order of steps in a fit in ``planning``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import nn

from skweight._keywords import Floats, Mask, warn
from skweight.data import Encoding, as_array, has_named_inputs
from skweight.estimators.callbacks import callback_params, set_callback_params
from skweight.estimators.documentation import arrange_table, doc_link_template
from skweight.estimators.members import FitPlan, set_nets
from skweight.estimators.offsets import check_given_as_in_fit, check_offset
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
from skweight.estimators.tables import validate_to_predict
from skweight.losses import Traits, build_criterion, traits_of
from skweight.modules import check_module, input_feature_weights, is_mlp
from skweight.stacks import train_in_stacks
from skweight.training import (
    Training,
    TrainingInterrupted,
    WeightedNet,
    check_optimizer,
    on_cpu,
    train,
)
from skweight.weights import (
    fill_targets_without_weight,
    refuse_masked,
    rows_with_weight,
    take_rows,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class TorchEstimator(BaseEstimator):  # type: ignore[misc]
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
    _task: Any  # ClassTask or NumberTask
    _row_shape: tuple[int, ...]
    _encoding: Encoding  # how X becomes float32
    _shaping: dict[str, Any]  # parameters that a fit which continues this one must keep
    _partial_fits: PartialFits

    # Parameters -----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, ``module__*`` and the like included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the defaults of ``module__*`` for the default network and of
            ``criterion__*`` for a named criterion, and the parameters of ``callbacks``, which are
            called ``callbacks__name__param``. Otherwise only what was set for them.

        Returns
        -------
        dict
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
        """Set parameters; ``module__*``, ``criterion__*``, ``optimizer__*`` may be new ones.

        ``callbacks__name__param`` is a parameter of the callback ``("name", callback)`` or of the
        only one of the class ``name``. ``callbacks__name`` replaces it; None leaves it out.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        self
        """
        extra = {k: v for k, v in params.items() if k in self._params or has_prefix(k)}
        of_callbacks = {k: v for k, v in params.items() if k.startswith("callbacks__")}
        own = params.keys() - extra.keys() - of_callbacks.keys()
        known = [*super().get_params(deep=False), *self._defaults_of_parts()]
        for name in sorted(own):
            if name.partition("__")[0] not in known:
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
        own = super().get_params(deep=False)
        check_parameters({**own, **self._params}, [*own], type(self).__name__)
        check_module(self.module, self._params_for("module"))
        check_optimizer(self.optimizer, self._params_for("optimizer"), self.lr)

    # Fits -----------------------------------------------------------------------------------

    def _fit(self, data: FitData) -> Self:
        """Fit on all rows at once."""
        with self._unchanged_by_failure():
            planned = plan(self, data)
            try:
                nets = _train_all(planned.trainings)
            except TrainingInterrupted as stop:
                _match_means_of_stopped(planned, self, stop.nets)
                raise
            planned.complete(self, nets)
        return self

    def _partial_fit(self, data: FitData, find_task: Callable[[Any, bool], Task]) -> Self:
        """Make one pass over more rows."""
        with self._unchanged_by_failure():
            set_nets(self, _train_all(plan_partial_fit(self, data, find_task)))
            if len(self.nets_) > 1:
                self._n_folds = 0  # now each has seen all rows
        return self

    @contextmanager
    def _unchanged_by_failure(self) -> Iterator[None]:
        """A fit that fails leaves the estimator as it was; one that the user stops is a fit."""
        before = dict(self.__dict__)
        try:
            yield
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
        """What each of the ``n_members`` networks predicts: probabilities of classes, or numbers.

        Their mean is :meth:`predict_proba` of a classifier and ``predict`` of a regressor. Their
        spread says how much the prediction depends on which rows the networks were trained on and
        on their random numbers. It is neither a standard error nor the spread of y around the
        prediction: all members share most of their rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        offset : array-like, default=None
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_members, n_samples, ...)
            For each member the shape of ``predict_proba`` or ``predict``.
        """
        X, of_rows = self._read(X, offset)
        return np.stack([self._values([net], X, of_rows) for net in self.nets_])

    @property
    def net_(self) -> WeightedNet:
        """The trained skorch net, if there is one."""
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
        """The trained network."""
        module: nn.Module = self.net_.module_
        return module

    @property
    def history_(self) -> Any:
        """What skorch recorded in each epoch; losses are weighted means."""
        return self.net_.history

    @property
    def n_iter_(self) -> int:
        """Number of epochs of the last fit, and of calls of ``partial_fit`` since.

        With several members, that of the member that was trained longest.
        """
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
        """Weights on the input features after the fit, if the network has such a layer.

        With several members, the means of theirs.
        """
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

    def __getstate__(self) -> dict[str, Any]:
        """Pickle a module that was given as an instance on the CPU, as ``net_`` does its own."""
        state = dict(super().__getstate__())
        if isinstance(self.module, nn.Module):
            state["module"] = on_cpu(self.module)
            if "_shaping" in state:
                state["_shaping"] = {**state["_shaping"], "module": state["module"]}
        return state

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


def without_weightless_rows(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """X, y and weights to score on: a row of weight 0 counts as missing, whatever it holds."""
    refuse_masked(sample_weight, "sample_weight")
    X, y, sample_weight = as_array(X), as_array(y), as_array(sample_weight)
    y = fill_targets_without_weight(y, sample_weight)
    n_rows = y.shape[0] if hasattr(y, "shape") else len(y)
    has_weight = rows_with_weight(sample_weight, n_rows)
    if has_weight is None:
        return X, y, sample_weight
    check_consistent_length(*(X.values() if has_named_inputs(X) else [X]), y)
    kept = np.flatnonzero(has_weight)
    X = X.tocsr() if hasattr(X, "tocsr") else X
    return take_rows(X, kept), take_rows(y, kept), take_rows(sample_weight, kept)
