"""The regressor: parameters, docstrings, predictions in the units of y, and weighted scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from torch import Tensor, nn
from torch.optim import Optimizer

from skweight._keywords import Auto, Floats, Self, check_flag, underflow_is_zero
from skweight.estimators.annotations import Columns, Module, RandomState, Weighting
from skweight.estimators.estimator import TorchEstimator, without_weightless_rows
from skweight.estimators.fit_arguments import explain_unknown
from skweight.estimators.members import mean_output, output
from skweight.estimators.number_task import NumberTask
from skweight.estimators.offsets import as_keyword, of_weighted_rows
from skweight.estimators.parameters import stores_params
from skweight.estimators.partial_fit import if_available
from skweight.estimators.planning import FitData
from skweight.losses import (
    REGRESSOR_CRITERIA,
    GaussianNLL,
    RegressorCriterion,
    RowLoss,
    matching_shift_of_numbers,
)
from skweight.modules import Activation, FeatureWeights
from skweight.training import Output, WeightedNet, explained_share
from skweight.weights import check_sample_weight, scale_near_one


class WeightedTorchRegressor(RegressorMixin, TorchEstimator):  # type: ignore[misc]
    """A PyTorch network as a scikit-learn regressor whose weights are exact.

    Equal rows are merged and their ``sample_weight`` added up before anything else happens. A
    weight of 3 therefore gives the same network, bit for bit, as three copies of the row, and a
    weight of 0 the same as leaving the row out. The objective is in the notes.

    Parameters
    ----------
    module : None, nn.Module class, callable or nn.Module instance, default=None
        The network. None is :class:`~skweight.modules.MLP`, which has the parameters
        ``module__*`` below. See the notes for a network of your own.
    module__hidden_sizes : sequence of int, default=(64, 64)
        Width of each hidden layer; empty for a linear model.
    module__activation : {"relu", "gelu", "silu", "tanh"} or callable, default="relu"
        A name, or a callable without arguments that returns an ``nn.Module``.
    module__dropout : float, default=0.0
        Probability of dropping a hidden unit, in [0, 1).
    module__n_bins : 0, int >= 2 or "auto", default="auto"
        Number of bins in which the network reads each number, beside the number itself. "auto" is
        8 to 32, more with many rows and fewer with many columns; see
        :class:`~skweight.modules.MLP`.
    module__clip : float, None or "auto", default="auto"
        Standardised numbers are clipped smoothly to this size. None is no clipping; "auto" is 3,
        and None without hidden layers.
    module__max_indicators : int >= 0 or "auto", default="auto"
        A column of at most so many categories is encoded by indicators, any other by an embedding.
        "auto" is 16, and 1,000 without hidden layers.
    module__embedding_size : int >= 1, default=8
        Length of the vector of a category in an embedding.
    module__feature_weights : float, array-like of shape (n_features,), dict or Series, default=None
        Initial weights that the columns are multiplied by, see :class:`~skweight.FeatureWeight`.
        A dict or a Series has them by the names of columns, or by the positions in an array;
        columns that it leaves out have weight 1. None is a network without them.
    module__learnable_feature_weights : bool, default=True
        Whether training changes them.
    module__zero_output : bool, default=False
        Whether training starts from a model that ignores X: the best constant or, in a fit with an
        offset, the offset alone.
    criterion : None, str, nn loss class or callable, default=None
        The loss. None is "squared_error". Other names are "absolute_error", "huber"
        (``criterion__delta``), "quantile" (``criterion__quantile``, one level or several),
        "poisson", "gamma", "tweedie" (``criterion__power``) and "gaussian_nll"; see
        :mod:`skweight.losses`. A class is built with ``reduction="none"`` and ``criterion__*``. A
        callable ``f(output, target)`` returns one loss per row; both are in the units of y, in
        float64 (float32 on MPS), and have the shape of the network's output.
    criterion__delta : float, default=1.0
        Of "huber": size of an error, in robust standard deviations of y, up to which its loss is
        quadratic.
    criterion__quantile : float or sequence of float, default=0.5
        Of "quantile": one level strictly between 0 and 1, or several.
    criterion__power : float, default=1.5
        Of "tweedie": at least 1, the power of the mean that the variance is proportional to. 1 is
        Poisson, 2 gamma, 3 inverse Gaussian.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of X are categories. "from_dtype": columns of a DataFrame that hold strings or
        booleans, or have a dtype for categories; no column of an array. Otherwise names of columns,
        their positions, or a mask of shape (n_features,); None for no column. A missing label is a
        category. Categories that fewer than 3 distinct rows have, and less than 1 % of them, are
        treated as one category, together with labels that were not seen in training; weights do
        not count in this. Your own module is given categories as whole numbers if it has a method
        ``adapt_categories``; else they are refused. See docs/tables.md.
    sample_weight_power : float, default=1.0
        Exponent on the total weight of each distinct row. 1 uses the weights as they are; below 1
        they become more even, which lowers the variance of the fit and adds bias.
    weighting : {"loss", "sampling"}, default="loss"
        "loss" multiplies the loss of a row by its weight. "sampling" draws rows with replacement,
        with probability proportional to their weight, as many in an epoch as there are distinct
        rows. Both minimise the same objective; sampling is less noisy if few rows have most of
        the weight.
    match_mean : bool, default=False
        Whether the weighted mean of the predictions for the rows of ``fit`` is made equal to that
        of y, for each target (to 1e-9 of its standard deviation or mean), by a constant for each
        raw score that is computed after training. Weights are ``sample_weight **
        sample_weight_power``. All rows count, also those held out, but not ``X_val``. Each of
        several members is matched on all rows. ``oof_prediction_`` is made before, since the shift
        knows y of every row. Needs the criterion "squared_error", "poisson", "gamma", "tweedie",
        "gaussian_nll", ``nn.MSELoss`` or ``nn.PoissonNLLLoss``. Rules out ``partial_fit``. See
        docs/balance.md.
    optimizer : None or torch.optim.Optimizer class, default=None
        None is :class:`torch.optim.AdamW`. Built with ``lr`` and ``optimizer__*``. If None, and
        unless ``optimizer__weight_decay`` or ``optimizer__param_groups`` is given, the weights of
        an :class:`~skweight.modules.MLP` with hidden layers have a weight decay of
        ``min(1, 0.001 / lr)`` and its biases have none.
    lr : float, default=0.001
        Learning rate. It does not depend on the scale of the weights, which are scaled to mean 1.
    batch_size : int or "auto", default="auto"
        Largest number of distinct rows in a batch; -1 is all rows. "auto" is the power of two, from
        32 to 256, at or below a 32nd of the number of distinct training rows.
    max_epochs : int or "auto", default="auto"
        Number of passes over the distinct rows. "auto" is 20, or as many as 60 updates take if that
        is more; large batches get as many updates as batches of 32 rows would, up to 500. With
        early stopping it is at most 100, or as many as 2,500 updates take if that is more, but
        beyond 20 epochs no more than 100,000 updates.
    early_stopping : bool or "auto", default="auto"
        Whether to stop when the weighted loss of validation rows no longer improves, and keep the
        best network. The validation rows are those given to ``fit``, or else are held out. If the
        values of y recur, as counts do, rows with the same x are held out together and count once.
        "auto" is True from 200 distinct rows on, and with several members, except in
        ``partial_fit``.
    validation_fraction : float, default=0.2
        Share of the distinct rows that early stopping holds out. With ``n_members=K`` each network
        holds out a K-th of them instead.
    n_members : int or "auto", default="auto"
        Number of networks whose mean is predicted. With several, the distinct rows are divided into
        as many folds, of the same share of the weight. Each network is trained on all folds but
        one, which tells it when to stop, so that every row is used for training and has a
        prediction by a network that was not trained on it. They are trained in one stack where that
        is faster. "auto" is ``1 / validation_fraction`` (so 5), at most 10, with fewer than 2,000
        distinct rows, and otherwise 1. It is 1, whatever the rows, with a ``module`` or
        ``callbacks`` of your own, with ``X_val``, without early stopping and in ``partial_fit``,
        and also with fewer than 20 distinct rows. With ``warm_start`` it is the number of the fit
        before. See docs/members.md.
    ema_decay : float or "auto", default="auto"
        Decay, in [0, 1), of an exponential moving average of the network's parameters over the
        updates. The averaged network is the one that is validated, kept and used for prediction;
        callbacks see it from the end of an epoch's updates to the start of the next epoch. 0 means
        no average. "auto" is 0.99 with early stopping, otherwise 0. ``partial_fit`` never
        averages.
    n_iter_no_change : int, default=10
        Epochs without improvement after which early stopping ends the training.
    tol : float, default=1e-4
        Smallest decrease of the validation loss that counts as an improvement. That loss does not
        depend on the units of y, see above.
    device : str or torch.device, default="auto"
        "auto" is CUDA if available, else MPS, else the CPU, as found when ``fit`` is called.
    compile : bool, default=False
        Whether to compile the training step, which costs time in the first batches and saves it
        later: on a GPU the step is replayed as one CUDA graph, elsewhere
        :func:`torch.compile` is used, which is worth it for large networks only.
    warm_start : bool, default=False
        Whether ``fit`` continues with the network of the last fit, with a new optimizer.
    random_state : int, RandomState instance or None, default=None
        Seeds initial values, shuffling, sampling, dropout and the choice of validation rows.
    callbacks : None or list of skorch callbacks, default=None
        Called with the skorch net, ``net_``. Each fit makes new ones from the parameters of these,
        so that these never change; lists and loggers among the parameters are used as they are.
    verbose : int, default=0
        0 shows nothing. 1 prints a line for each epoch, 2 shows a progress bar; both end with the
        epoch at which the training stopped and the best one. See docs/progress.md.
    **params
        ``optimizer__*``; for a network or loss of your own also ``module__*`` or ``criterion__*``.
        ``fit`` refuses unknown ones: not before is it known which network, loss and optimizer they
        belong to, since ``set_params`` may change these. All other unknown names are refused here.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of X, where a category counts as one, or of all inputs if X is a dict of
        them.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a DataFrame. Only if all of them are strings.
    target_location_, target_scale_ : float or ndarray of shape (n_targets,)
        What y, less any offset that has its units, was shifted and divided by for training; 0 and 1
        if the loss is given y as it is.
    offset_location_ : float or ndarray of shape (n_targets,)
        What an offset under "poisson", "gamma" or "tweedie" was shifted by for training, so that a
        network of outputs 0 is the best constant beside it: predictions are ``target_scale_ *
        exp(output + offset - offset_location_)``. Otherwise 0.
    is_categorical_ : ndarray of bool of shape (n_features,), or None
        Which columns of X are categories; None if none is.
    category_codes_ : dict of str to dict
        The number that stands for each label of each column of categories, for
        :meth:`encode_columns` and ONNX files. The label None is a missing one; any other has 0.
    nets_ : list of WeightedNet
        The trained skorch nets, one for each member.
    net_ : WeightedNet
        The only one of them. Not with several members, like ``module_`` and ``history_``.
    module_ : nn.Module
    history_ : skorch History
        ``train_loss`` (of the batches, each before its update) and ``valid_loss`` (after the epoch)
        of each epoch, both weighted means. Batches are recorded only if a callback defines
        ``on_batch_begin``, ``on_grad_computed`` or ``on_batch_end``.
    n_iter_ : int
        Number of epochs of the last fit, plus the number of calls of ``partial_fit`` since.
    best_epoch_ : int, or ndarray of shape (n_members,)
        The epoch, from 1, whose network was kept; only with rows held out.
    best_loss_ : float, or ndarray of shape (n_members,)
        The ``valid_loss`` of that epoch.
    oof_prediction_ : ndarray of the shape that ``predict`` returns for the rows of ``fit``
        Only with several members: predictions by the member that was not trained on a row. Copies
        of a row are held out together. Rows of weight 0, which no member was trained on, have the
        mean of all members.
        They are without the shift of ``match_mean``.
        With early stopping these rows decided when the member stopped, so with few rows the
        predictions are a little better than those of new rows.
    oof_score_ : float
        Only with several members: :meth:`score` of ``oof_prediction_``.
    feature_weights_ : ndarray of shape (n_features,)
        Weights of the input features. Only if the network has such a layer.

    Notes
    -----
    **The objective.** The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power

    over distinct rows, with mini-batches that estimate the gradient of R without bias.

    **Units of y.** Predictions are in the units of y. Under a loss without a unit of its own, a fit
    to ``a * y + b`` predicts ``a * f(x) + b`` for any ``a > 0``; under a deviance, which knows no
    shift, this holds for ``a * y``. For this the network learns at unit scale: y is standardised by
    its weighted mean and standard deviation; by its weighted median and a standard deviation that
    ignores outliers under "absolute_error", "huber", "quantile" and ``nn.L1Loss``; or divided by
    its weighted mean under a deviance. The losses that are recorded are those of the rescaled y.

    Any other loss is given y as it is, so that its thresholds are in the units of y, and
    ``location + scale * output`` as the prediction; its losses are divided by that of an error of
    one ``scale``. A loss whose best prediction of y is not y itself, but for instance its
    logarithm, is given the raw output, which ``predict`` returns.

    **A network of your own.** It returns raw scores and never sees weights. A class or callable is
    called as ``module(n_features, n_outputs, **module__)``, where ``n_features`` is ``X.shape[1]``
    and ``n_outputs`` the number of targets, times that of quantiles, or times 2 under
    "gaussian_nll". One whose first parameter has a default, as modules for skorch have, is called
    as ``module(**module__)``, unless it has parameters called ``n_features`` and ``n_outputs``. An
    instance is copied, and the copy is trained from its current state. Before training, these
    methods of the network are called if it has them: ``adapt(X, y, row_weight)`` with all training
    data; ``adapt_categories(cardinalities)``, if X is 2-D, with the number of codes of each column,
    0 for numbers; ``adapt_input(mean, spread)`` with the weighted mean and standard deviation of
    each column of X; ``adapt_values(columns, values, shares)`` with the categories, and with the
    numbers that many rows have, and their shares of the weight; ``adapt_bins(edges)`` with ``n_bins
    + 1`` weighted quantiles of the other numbers of each column; ``adapt_output(constant)`` with
    the raw scores of the best constant model. With your own module, X may have more than two
    dimensions. A module that fails on float32, as one that begins with an ``nn.Embedding``, is
    given int64 if X holds integers. If X is a dict of inputs, ``forward`` is given them by their
    names, ``n_features`` is a dict of the number of columns of each, ``adapt``, ``adapt_input`` and
    ``adapt_bins`` are given dicts too, of all inputs, of those of floats, and of tables of floats,
    and neither ``adapt_categories`` nor ``adapt_values`` is called.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from skweight import WeightedTorchRegressor
    >>> X, y = make_regression(n_features=5, random_state=0)
    >>> reg = WeightedTorchRegressor(random_state=0)
    >>> reg.fit(X, y, sample_weight=[2.0] * 50 + [1.0] * 50).score(X, y) > 0.9
    True
    """

    target_location_: Any
    target_scale_: Any
    _criteria = REGRESSOR_CRITERIA
    _task: NumberTask

    @stores_params(REGRESSOR_CRITERIA)
    def __init__(
        self,
        module: Module | None = None,
        *,
        module__hidden_sizes: Sequence[int] = (64, 64),
        module__activation: Activation | Callable[[], nn.Module] = "relu",
        module__dropout: float = 0.0,
        module__n_bins: int | Auto = "auto",
        module__clip: float | Auto | None = "auto",
        module__max_indicators: int | Auto = "auto",
        module__embedding_size: int = 8,
        module__feature_weights: FeatureWeights | None = None,
        module__learnable_feature_weights: bool = True,
        module__zero_output: bool = False,
        criterion: RegressorCriterion | Callable[..., Any] | None = None,
        criterion__delta: float = 1.0,
        criterion__quantile: float | Sequence[float] = 0.5,
        criterion__power: float = 1.5,
        categorical_features: Literal["from_dtype"] | Columns | None = "from_dtype",
        sample_weight_power: float = 1.0,
        weighting: Weighting = "loss",
        match_mean: bool = False,
        optimizer: Callable[..., Optimizer] | None = None,
        lr: float = 0.001,
        batch_size: int | Auto = "auto",
        max_epochs: int | Auto = "auto",
        early_stopping: bool | Auto = "auto",
        validation_fraction: float = 0.2,
        n_members: int | Auto = "auto",
        ema_decay: float | Auto = "auto",
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        device: str | torch.device = "auto",
        compile: bool = False,
        warm_start: bool = False,
        random_state: RandomState | None = None,
        callbacks: Sequence[Any] | None = None,
        verbose: int = 0,
        **params: Any,
    ) -> None:
        self.module = module
        self.criterion = criterion
        self.categorical_features = categorical_features
        self.sample_weight_power = sample_weight_power
        self.weighting = weighting
        self.match_mean = match_mean
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_members = n_members
        self.ema_decay = ema_decay
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.compile = compile
        self.warm_start = warm_start
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    @explain_unknown
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        offset_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to weighted rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            Numbers, and categories as ``categorical_features`` says. NaN and other missing numbers
            are allowed for the default network, except in a sparse matrix.
            Or (n_samples, ...) for your own module. float32 is not copied, and an ``np.memmap`` is
            never loaded whole unless the module has a method ``adapt``.
            Your own module may also take a dict of such inputs, dense and of numbers: floats become
            float32, integers and booleans int64. Scikit-learn's searches can split a
            ``SliceDict`` of :mod:`skorch.helper`, but no dict.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            NaN and infinite values are allowed in rows of weight 0, which are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative, on any scale. None is 1 for every row.
        groups : array-like of shape (n_samples,), default=None
            Rows that belong together, such as those of one person. Rows that are held out, for
            early stopping or by members, are held out by whole groups. Groups that have an equal
            row count as one.
        offset : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Numbers that are added to what the network says of the rows, in training and in
            prediction: to the logarithm of the mean under "poisson", "gamma" and "tweedie", so that
            counts may have ``np.log(exposure)``, and to the predictions in units of y under other
            criteria, which is the fit to ``y - offset``. The network learns what they leave. Rows
            are merged if they have equal x, y and offset. All predictions then need an offset
            too. See docs/offset.md.
        X_val, y_val : array-like, default=None
            Validation rows for early stopping, instead of some of the rows of X. A pipeline does
            not transform them unless its ``transform_input`` names them.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; None is 1 for every row.
        offset_val : array-like, default=None
            Their offset; needed with ``X_val`` if there is an ``offset``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input; the message names the argument, what was expected and what was given.
            The estimator is left as it was.
        """
        validation = X_val, y_val, sample_weight_val
        data = FitData(X, y, sample_weight, *validation, groups, offset, offset_val)
        return self._fit(data)

    @if_available
    @explain_unknown
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> Self:
        """Train on more rows: one pass over them in batches, whatever ``max_epochs`` is.

        Weights are on one scale across calls; its unit is the mean weight in the first call. The
        first call also sets the units of y, the codes of categories, and the input scaling and bins
        of the default network. It begins with one network; after a fit of several members it trains
        each of them. Unavailable with ``early_stopping=True``, with ``n_members=2`` or more
        and with ``match_mean=True``.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. None is 1 for every row.
        offset : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            As in ``fit``, in all calls or in none.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input. The estimator is left as it was.
        """
        data = FitData(X, y, sample_weight, offset=offset)
        return self._partial_fit(data, self._find_partial_task)

    @overload
    def predict(
        self, X: Any, return_std: Literal[False] = False, *, offset: ArrayLike | None = None
    ) -> Floats: ...
    @overload
    def predict(
        self, X: Any, return_std: Literal[True], *, offset: ArrayLike | None = None
    ) -> tuple[Floats, Floats]: ...
    @overload
    def predict(
        self, X: Any, return_std: bool, *, offset: ArrayLike | None = None
    ) -> Floats | tuple[Floats, Floats]: ...
    @underflow_is_zero
    def predict(self, X: Any, return_std: bool = False, *, offset: ArrayLike | None = None) -> Any:
        """Predictions in the units of y.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Labels may be new, and numbers missing
            where ``fit`` allows it.
        return_std : bool, default=False
            Whether to also return the predicted standard deviation; needs
            ``criterion="gaussian_nll"``.
        offset : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            With several quantiles there is one more axis, in the order of
            ``criterion__quantile``; quantiles do not cross.
        std : ndarray of the same shape
            Only with ``return_std=True``.
        """
        check_flag(return_std, "return_std")
        X, of_rows = self._read(X, offset)
        if not return_std:
            return self._values(self.nets_, X, of_rows)
        if not isinstance(self.nets_[0].criterion_.criterion, GaussianNLL):
            raise ValueError(
                'return_std=True needs criterion="gaussian_nll", which predicts a spread, got '
                f"criterion={self.criterion!r}."
            )
        means, spreads = map(np.stack, zip(*(_mean_and_spread(net, X) for net in self.nets_)))
        mean, std = means[0], spreads[0]
        if len(self.nets_) > 1:  # those of the mixture of the members' normal distributions
            mean = means.mean(axis=0)
            std = np.sqrt((spreads**2).mean(axis=0) + means.var(axis=0))
        mean = self._task.offset_of_predictions(of_rows, self._task.from_units(mean))
        return mean, self._task.from_units(std, shift=False)

    @explain_unknown
    @underflow_is_zero
    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Weighted share of the variance or deviance that is explained.

        R2; or D2 of the deviance if the criterion is one, or of the pinball loss, averaged over
        the levels, if it is a quantile loss. 1 is a perfect prediction, 0 that of the best
        constant, without an offset. Averaged over targets.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Rows of weight 0 are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
        offset : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        float
        """
        offset = of_weighted_rows(offset, sample_weight)
        X, y, sample_weight = without_weightless_rows(X, y, sample_weight)
        self._check_is_fitted()
        y = self._task.encode(np.asarray(y) if isinstance(y, (list, tuple)) else y)
        predicted = self.predict(X, **as_keyword(offset))
        return self._score_of(y, predicted, sample_weight)

    def _matching_shift(
        self, net: WeightedNet, raw: Tensor, weight: Tensor, mean: Tensor
    ) -> tuple[Tensor, float]:
        """Shift of the raw scores of a net that gives its predictions this mean."""
        return matching_shift_of_numbers(net.criterion_, raw, weight, mean)

    def _values(
        self, nets: list[WeightedNet], X: Any, offset: Floats | None
    ) -> NDArray[np.float64]:
        """Mean predictions for checked X and offset in units of y."""
        task = self._task
        found = mean_output(nets, X, self._link_of_values, task.offset_of_scores(offset))
        return task.offset_of_predictions(offset, task.from_units(found))

    def _link_of_values(self, net: WeightedNet) -> Callable[[torch.Tensor], torch.Tensor]:
        predictions: Callable[[torch.Tensor], torch.Tensor] = net.criterion_.predictions
        return predictions

    def _score_of(self, y: Any, predicted: NDArray[np.float64], sample_weight: Any) -> float:
        """The score of predictions for finite y."""
        y = np.asarray(y, dtype=np.float64)
        weight = scale_near_one(check_sample_weight(sample_weight, len(y)))  # no sum overflows
        return explained_share(y, predicted, weight, self.nets_[0].criterion_)

    def _make_task(self, y: Any, continues: bool) -> NumberTask:
        previous = self._task if continues else None
        return NumberTask(np.shape(y)[1:], self.criterion, previous)

    def _find_partial_task(self, y: Any, first: bool) -> NumberTask:
        return self._make_task(y, continues=False) if first else self._task

    def _output(self, criterion: RowLoss) -> Output:
        return self._task.output(criterion)

    def __sklearn_tags__(self) -> Any:
        """Tags: y may have several columns, and must be positive for some criteria."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        traits = self._traits_for_tags()
        tags.target_tags.positive_only = bool(traits and traits.positive)
        return tags


def _mean_and_spread(net: WeightedNet, X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of the normal distributions that a net predicts for checked X, in units of training."""
    criterion = net.criterion_
    scores = torch.from_numpy(output(net, X, criterion.by_target))
    loss = criterion.criterion
    return loss.mean(scores).numpy(), loss.spread(scores).numpy()
