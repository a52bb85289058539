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
    """A PyTorch network as a scikit-learn regressor with exact sample weights.

    A row with ``sample_weight`` 3 has the same effect as three copies of the row, and a row with
    weight 0 the same effect as leaving it out: the fitted networks are equal bit for bit. For this,
    equal rows are merged and their weights added up before training. The objective is in the notes.

    Parameters
    ----------
    module : None, nn.Module class, callable or nn.Module instance, default=None
        The network. None is :class:`~skweight.modules.MLP`, to which the parameters ``module__*``
        below belong. The notes say what a network of your own needs.
    module__hidden_sizes : sequence of int, default=(64, 64)
        Width of each hidden layer. An empty sequence is a linear model.
    module__activation : {"relu", "gelu", "silu", "tanh"} or callable, default="relu"
        Activation of the hidden layers: a name, or a callable without arguments that returns an
        ``nn.Module``.
    module__dropout : float, default=0.0
        Probability, in [0, 1), of dropping a hidden unit in training.
    module__n_bins : 0, int >= 2 or "auto", default="auto"
        Number of bins, between weighted quantiles, in which each column of numbers is encoded
        beside its standardised value. 0 is no bins. "auto" is 8 to 32, more with many rows and
        fewer with many columns, and 0 without hidden layers; see :class:`~skweight.modules.MLP`.
    module__clip : float, None or "auto", default="auto"
        Bound on the size of standardised numbers, which limits the influence of outliers: values
        bend smoothly towards it. None is no bound. "auto" is 3. Without hidden layers "auto" bends
        nothing, but values beyond 1,000 count as 1,000.
    module__max_indicators : int >= 0 or "auto", default="auto"
        Largest number of categories of a column that is encoded by indicators (one-hot); a column
        with more has an embedding. "auto" is 16, and 1,000 without hidden layers.
    module__embedding_size : int >= 1, default=8
        Length of the embedding vector of a category.
    module__feature_weights : float, array-like of shape (n_features,), dict or Series, default=None
        Initial weights by which the columns of X are multiplied, see
        :class:`~skweight.FeatureWeight`; a number is the weight of every column. A dict or a Series
        has them by column name, or by position if X is an array; columns that it leaves out have
        weight 1. None is a network without feature weights.
    module__learnable_feature_weights : bool, default=True
        Whether training changes the feature weights.
    module__zero_output : bool, default=False
        Whether the first predictions ignore X, because the weights of the output layer start at
        zero: they are the best constant or, in a fit with an offset, the offset alone.
    criterion : None, str, nn loss class or callable, default=None
        The loss of a row. None is "squared_error". Other names are "absolute_error", "huber"
        (``criterion__delta``), "quantile" (``criterion__quantile``), "poisson", "gamma", "tweedie"
        (``criterion__power``) and "gaussian_nll"; see :mod:`skweight.losses`. A class is built with
        ``reduction="none"`` and ``criterion__*``. A callable ``f(output, target)`` returns one loss
        per row; both arguments are in the units of y, in float64 (float32 on MPS), and have the
        shape of the network's output.
    criterion__delta : float, default=1.0
        For "huber": size of an error, in robust standard deviations of y, up to which its loss is
        quadratic; beyond, it is linear.
    criterion__quantile : float or sequence of float, default=0.5
        For "quantile": the level to predict, between 0 and 1 exclusive, or several levels.
    criterion__power : float, default=1.5
        For "tweedie": the variance is proportional to this power, at least 1, of the mean. 1 is
        Poisson, 2 gamma, 3 inverse Gaussian.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of X are categories. "from_dtype" are the columns of a DataFrame that hold
        strings or booleans or have a categorical dtype; in an array, none. Otherwise names of
        columns, their positions, or a mask of shape (n_features,). None is no column. A missing
        value is a category. Categories with fewer than 3 distinct rows, and less than 1 % of them,
        count as one category, together with values that were not seen in training. A module of your
        own gets categories as integer codes if it has a method ``adapt_categories``; otherwise they
        are refused. See docs/tables.md.
    sample_weight_power : float, default=1.0
        Exponent, at least 0, on the total weight of each distinct row. 1 uses the weights as they
        are. Below 1 they are more even, which lowers the variance of the fit and adds bias; with 0
        all distinct rows count the same.
    weighting : {"loss", "sampling"}, default="loss"
        "loss" multiplies the loss of a row by its weight. "sampling" draws rows with replacement,
        with probability proportional to their weight; an epoch draws as many as there are distinct
        rows. The objective is the same; choose "sampling" if few rows have most of the weight,
        where its gradients are less noisy.
    match_mean : bool, default=False
        Whether the weighted mean of the predictions for the rows of ``fit``, held-out ones
        included, equals that of y, for each target; use it if totals matter. After training, a
        constant is added to each raw score, which makes them equal to 1e-9 of the mean or standard
        deviation of y (see docs/balance.md for exceptions). Weights are ``sample_weight **
        sample_weight_power``. Each of several members is matched; ``oof_prediction_`` is not, since
        the constant depends on y of all rows. Needs the criterion "squared_error", "poisson",
        "gamma", "tweedie", "gaussian_nll", ``nn.MSELoss`` or ``nn.PoissonNLLLoss``. Makes
        ``partial_fit`` unavailable.
    optimizer : None or torch.optim.Optimizer class, default=None
        Built with ``lr`` and ``optimizer__*``. None is :class:`torch.optim.AdamW`; the weights of
        an :class:`~skweight.modules.MLP` with hidden layers then have a weight decay of ``min(1,
        0.001 / lr)`` and its biases have none, unless ``optimizer__weight_decay`` or
        ``optimizer__param_groups`` is given.
    lr : float, default=0.001
        Learning rate, above 0. It need not follow the scale of the weights, which are scaled to
        mean 1.
    batch_size : int or "auto", default="auto"
        Largest number of distinct rows in a batch; -1 is all rows. "auto" is a 32nd of the distinct
        training rows, rounded down to a power of two, but at least 32 and at most 256.
    max_epochs : int or "auto", default="auto"
        Largest number of passes over the distinct rows. "auto" is at least 20. Without early
        stopping it is 20, or as many as 60 updates take, if that is more; large batches get as many
        updates as batches of 32 rows would, up to 500. With early stopping it is 100, or as many as
        2,500 updates take, if that is more, but beyond 20 epochs no more than 100,000 updates.
    early_stopping : bool or "auto", default="auto"
        Whether to stop when the weighted loss of validation rows no longer improves, and keep the
        network of the best epoch. Validation rows are the ``X_val`` of ``fit``, or else rows that
        are held out. If the values of y recur, as counts do, rows with the same x are held out
        together and count once. "auto" is True from 200 distinct rows on, with several members and
        with ``X_val``, but not in ``partial_fit``.
    validation_fraction : float, default=0.2
        Share, between 0 and 1 exclusive, of the distinct rows that early stopping holds out. Each
        of K members holds out a K-th of them instead.
    n_members : int or "auto", default="auto"
        Number of networks (members) whose mean is predicted. With several, the distinct rows are
        divided into as many folds, with about the same number and weight of rows. Each member is
        trained on all folds but one, and stops early on that one, so that every row is used for
        training and also has a prediction by a member that was not trained on it. "auto" is ``1 /
        validation_fraction``, so 5 by default and at most 10, with fewer than 2,000 distinct rows,
        and otherwise 1. It is 1 in any case with a ``module`` or ``callbacks`` of your own, with
        ``X_val``, without early stopping, in ``partial_fit``, with fewer than 20 distinct rows;
        with ``warm_start`` it is the number of the fit before. 1 is several times as fast. See
        docs/members.md.
    ema_decay : float or "auto", default="auto"
        Decay per update, in [0, 1), of an exponential moving average of the network's parameters.
        The averaged network is the one that is validated, kept and used for prediction; callbacks
        see it from the end of an epoch's updates to the start of the next epoch. 0 is no average.
        "auto" is 0.99 with early stopping, otherwise 0. ``partial_fit`` has no average, and needs
        "auto" or 0.
    n_iter_no_change : int, default=10
        Number of epochs without improvement after which early stopping ends the training.
    tol : float, default=1e-4
        Smallest decrease of the validation loss that counts as an improvement. That loss does not
        depend on the units of y, see the notes.
    device : str or torch.device, default="auto"
        Where to train and predict. "auto" is CUDA if available, else MPS, else the CPU, as found
        when ``fit`` is called.
    compile : bool, default=False
        Whether to compile the training step. The first batches then take longer and the others are
        faster. On a GPU the step is replayed as one CUDA graph; elsewhere :func:`torch.compile` is
        used, which pays for large networks only.
    warm_start : bool, default=False
        Whether ``fit`` goes on with the networks of the last fit, with a new optimizer, and does
        not begin anew.
    random_state : int, RandomState instance or None, default=None
        Seeds initial values, shuffling, sampling, dropout and the choice of rows to hold out. An
        int gives the same network in each fit to the same data on one machine.
    callbacks : None or list of skorch callbacks, default=None
        Called with the skorch net of each member. Each fit makes new callbacks from the parameters
        of these, which never change; lists and loggers among the parameters are used as they are.
    verbose : int, default=0
        0 shows nothing, 1 prints a line for each epoch, 2 shows a progress bar. Both end with the
        epoch at which the training stopped and the best one. See docs/progress.md.
    **params
        ``optimizer__*``; for a module or loss of your own also ``module__*`` or ``criterion__*``.
        ``fit`` checks these names, since ``set_params`` may still change the part to which they
        belong. Any other unknown name raises a TypeError at once.

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
    category_codes_ : dict of dict
        For each column of categories, by its name (its position in an array), the integer code of
        each label. :meth:`encode_columns` and ONNX files use them. The label None is a missing
        value; labels that are not listed have the code 0.
    nets_ : list of WeightedNet
        The fitted skorch nets, one for each member.
    net_ : WeightedNet
        The only one of them. It, ``module_`` and ``history_`` raise an AttributeError if there are
        several members.
    module_ : nn.Module
        The trained network.
    history_ : skorch History
        ``train_loss`` (of the batches, each before its update) and ``valid_loss`` (after the epoch)
        of each epoch, both weighted means. Batches are recorded only if a callback defines
        ``on_batch_begin``, ``on_grad_computed`` or ``on_batch_end``. For a table of all members see
        :meth:`history_frame`.
    n_iter_ : int
        Number of epochs of the last fit, of the member that was trained longest, plus the number of
        calls of ``partial_fit`` since.
    best_epoch_ : int, or ndarray of shape (n_members,)
        The epoch with the lowest validation loss, counted from 1, whose network was kept. It and
        ``best_loss_`` raise an AttributeError if there were no validation rows.
    best_loss_ : float, or ndarray of shape (n_members,)
        The ``valid_loss`` of that epoch.
    oof_prediction_ : ndarray of the shape that ``predict`` returns for the rows of ``fit``
        Out-of-fold predictions, with several members only: those of the rows of ``fit`` by the
        member that was not trained on them, without the constant of ``match_mean``. Rows of weight
        0, on which no member was trained, have the mean of all members. With early stopping the
        fold decided when its member stopped, so with few rows these predictions are a little better
        than those of new rows.
    oof_score_ : float
        With several members only: :meth:`score` of ``oof_prediction_``.
    feature_weights_ : ndarray of shape (n_features,)
        Feature weights after training, the mean over the members. AttributeError if the network has
        none.

    Notes
    -----
    **The objective.** The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power

    over distinct rows i, where ``sample_weight_i`` is the sum over the copies of a row, with
    mini-batches that estimate the gradient of R without bias.

    **Units of y.** Predictions are in the units of y. Under the criteria that have names,
    ``nn.MSELoss``, ``nn.L1Loss`` and ``nn.PoissonNLLLoss``, the units do not matter to the fit: if
    y is replaced by ``a * y + b`` with ``a > 0``, or under a deviance ("poisson", "gamma",
    "tweedie") by ``a * y``, so are the predictions. For this the network learns at unit scale: y is
    standardised by its weighted mean and standard deviation; by its weighted
    median and a standard deviation that ignores outliers under "absolute_error", "huber",
    "quantile" and ``nn.L1Loss``; or divided by its weighted mean under a deviance. The losses that
    are recorded are those of the rescaled y.

    Any other loss may have a unit of its own, such as a threshold. It is given y as it is, and
    ``location + scale * output`` as the prediction; its values are divided by the loss of an error
    of one ``scale``. A loss whose best prediction of y is not y itself, but for instance its
    logarithm, is given the raw output, which ``predict`` returns.

    **A network of your own.** It returns raw scores and never sees weights. A class or callable is
    called as ``module(n_features, n_outputs, **module__)``, where ``n_features`` is ``X.shape[1]``
    and ``n_outputs`` is the number of targets, times that of quantiles, or times 2 under
    "gaussian_nll".
    One whose first parameter has a default, as modules for skorch have, is called as
    ``module(**module__)``, unless it has parameters called ``n_features`` and ``n_outputs``. An
    instance is copied, and the copy is trained from its current state.

    X may have more than two dimensions. A module that fails on float32, as one that begins with an
    ``nn.Embedding``, is given int64 if X holds integers. If X is a dict of inputs, ``forward`` is
    given them by their names, and ``n_features`` is a dict of the number of columns of each.

    If the network has one of these methods, it is called before training, in this order. See
    docs/modules_and_losses.md.

    - ``adapt(X, y, row_weight)``: all training data.
    - ``adapt_categories(cardinalities)``: the number of codes of each column, 0 for numbers. Only
      if X is 2-D, and no dict.
    - ``adapt_input(mean, spread)``: the weighted mean and standard deviation of each column.
    - ``adapt_values(columns, values, shares)``: the categories, and the numbers that many rows
      have, with their shares of the weight. Not if X is a dict.
    - ``adapt_bins(edges)``: for each column ``n_bins + 1`` weighted quantiles of the other numbers.
    - ``adapt_output(constant)``: the raw scores of the best constant model.

    If X is a dict, ``adapt`` is given a dict of all inputs, ``adapt_input`` dicts of the inputs
    that hold floats, and ``adapt_bins`` a dict of the tables of floats.

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
            Numbers, and categories as ``categorical_features`` says. The default network takes NaN
            and other missing numbers, except in a sparse matrix. float32 is not copied, and an
            ``np.memmap`` is never loaded whole unless the module has a method ``adapt``.
            A module of your own may take more dimensions, (n_samples, ...), or a dict of dense
            inputs of numbers: floats become float32, integers and booleans int64. Searches of
            scikit-learn can split a ``SliceDict`` of :mod:`skorch.helper`, but no dict.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers. May be missing or infinite in rows of weight 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; only their ratios matter. A row of weight 0 is ignored, whatever
            it holds. None is 1 for every row.
        groups : array-like of shape (n_samples,), default=None
            The group of each row, such as a person with several rows. Groups are held out whole,
            for early stopping or by members. Groups with an equal row (x, y) count as one.
        offset : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Known numbers that are added to the output of the network, in training and in
            prediction; the network learns the rest. Under "poisson", "gamma" and "tweedie" they are
            added to the logarithm of the mean, so counts may have ``np.log(exposure)``. Under other
            criteria they are added to the predictions in units of y, as in a fit to
            ``y - offset``. All predictions then need an offset too. See docs/offset.md.
        X_val, y_val : array-like, default=None
            Validation rows for early stopping, so that no rows of X are held out. A pipeline does
            not transform them unless its ``transform_input`` names them.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows; None is 1 for every row.
        offset_val : array-like, default=None
            Offset of the validation rows; needed if there is an ``offset``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or an argument is not as described; the message names it, what was
            expected and what was given. The estimator is left as it was.
        KeyboardInterrupt
            If the user stops the training. The estimator then has the best networks so far.

        Warns
        -----
        EffectiveSampleSizeWarning
            If the effective sample size is below 10 % of the rows, with ``weighting="loss"``.
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

        Weights have the same meaning in all calls: their unit is the mean weight of the rows of the
        first call. The first call also fixes the units of y, the codes of categories, and the
        scaling and bins of the default network. A new estimator gets one network; after a fit of
        several members, each of them is trained.

        Unavailable with ``early_stopping=True``, ``n_members`` above 1, ``match_mean=True`` and
        ``ema_decay`` above 0.

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
            If an argument is not as described. The estimator is left as it was.
        AttributeError
            If the parameters of the estimator make ``partial_fit`` unavailable.
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
            With the columns of ``fit``, in the same order. Categories may be new, and numbers
            missing where ``fit`` allows it.
        return_std : bool, default=False
            Whether to return the standard deviation of y around the prediction too, which
            ``criterion="gaussian_nll"`` predicts.
        offset : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            With several quantiles there is one more axis, in the order of
            ``criterion__quantile``; quantiles do not cross.
        std : ndarray of the same shape
            Only with ``return_std=True``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described, or ``return_std=True`` with another criterion.
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
        """Weighted share of the variance or deviance that is explained: R2 or D2.

        It is D2 of the deviance under "poisson", "gamma" and "tweedie", D2 of the pinball loss,
        averaged over levels, under "quantile", and else R2. 1 is a perfect prediction, 0 is as good
        as the best constant without an offset. With several targets it is the mean over them.

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

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If an argument is not as described.
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
