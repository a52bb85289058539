"""The regressor."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, r2_score
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from skweight.data import as_array
from skweight.estimators.availability import only_if
from skweight.estimators.regression import RegressionSteps
from skweight.losses import GaussianNLL, Quantile, RowLoss
from skweight.weights import check_sample_weight, fill_targets_without_weight


class WeightedTorchRegressor(RegressorMixin, RegressionSteps):  # type: ignore[misc]
    """A PyTorch network as a scikit-learn regressor whose weights are exact.

    The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power

    over distinct rows, with mini-batches that estimate the gradient of R without bias. Equal
    rows are merged and their ``sample_weight`` added before anything else happens, so that a
    weight of 3 and three copies, or a weight of 0 and a missing row, give the same network
    bit for bit.

    Predictions are in the units of y. Training and the losses that it records have their own:
    y is brought to weighted mean 0 and standard deviation 1, or under a deviance to weighted
    mean 1. Callables and ``nn`` losses but ``MSELoss`` and ``L1Loss`` get y as it is.

    Parameters
    ----------
    module : None, nn.Module class, callable or nn.Module instance, default=None
        The network; it returns raw scores and never sees weights. None is
        :class:`~skweight.modules.MLP`. A class or callable is called as
        ``module(n_features, n_outputs, **module__)``, where ``n_features`` is ``X.shape[1]``
        and ``n_outputs`` the number of targets, times that of quantiles, or times 2 under
        "gaussian_nll". An instance is copied and trained from the state it is in. Before
        training its methods are called, if it has them: ``adapt(X, y, row_weight)`` with all
        training data, ``adapt_input(mean, spread)`` with the weighted moments of X,
        ``adapt_bins(edges)`` with ``n_bins + 1`` weighted quantiles of its columns,
        ``adapt_output(constant)`` with the raw scores of a model that ignores X. With a
        module of your own X may have more than two dimensions.
    criterion : None, str, nn loss class or callable, default=None
        None is "squared_error". The other names are "absolute_error", "huber"
        (``criterion__delta``), "quantile" (``criterion__quantile``, one level or several),
        "poisson", "gamma", "tweedie" (``criterion__power``) and "gaussian_nll", see
        :mod:`skweight.target_losses`. A class is built with ``reduction="none"`` and
        ``criterion__*``. A callable ``f(output, target)`` returns one loss per row; it gets
        the target in the units of y and in the shape of the output.
    sample_weight_power : float, default=1.0
        Exponent on the total weight of each distinct row: 1 follows the weights, smaller
        values trade bias for variance.
    weighting : {"loss", "sampling"}, default="loss"
        "loss" multiplies the loss of a row by its weight. "sampling" draws rows with
        replacement and with probability proportional to their weight, as many in an epoch
        as there are distinct rows: the same objective, with less noise if few rows weigh much.
    optimizer : None or torch.optim.Optimizer class, default=None
        None is :class:`torch.optim.AdamW`. Built with ``lr`` and ``optimizer__*``. Unless these
        say how weights decay, None lets those of an :class:`~skweight.modules.MLP` with hidden
        layers decay by ``min(1, 0.001 / lr)``, and its biases not at all.
    lr : float, default=0.001
        Learning rate. Weights do not change its meaning: they are scaled to mean 1.
    batch_size : int or "auto", default="auto"
        Largest number of distinct rows in a batch; -1 takes all rows at once. "auto" is about a
        32nd of them: a power of two between 32 and 256.
    max_epochs : int or "auto", default="auto"
        Number of passes over the distinct rows. "auto" is 20, or as many as 500 updates take, and
        with early stopping five times as many, unless these are more than 100,000 updates.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out validation rows, or to take those given to ``fit``, stop when
        their weighted loss no longer improves, and keep the best state. "auto" does so from 60
        distinct rows on, but not in ``partial_fit``.
    validation_fraction : float, default=0.2
        Share of the distinct rows that early stopping holds out.
    ema_decay : float or "auto", default="auto"
        Decay, in [0, 1), of an exponential moving average of the network's parameters over the
        updates. The average is what is validated, kept and used, and what callbacks see from the
        end of an epoch's updates to the next epoch. 0 is none; "auto" is 0.99 with early
        stopping, otherwise 0. ``partial_fit`` has none.
    n_iter_no_change : int, default=10
        Epochs without improvement after which early stopping ends the training.
    tol : float, default=1e-4
        What counts as an improvement of the validation loss.
    device : str or torch.device, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; it is looked up in ``fit``.
    compile : bool, default=False
        Whether to spend time on the first batches to save it on the others: on a GPU the
        training step is replayed as one CUDA graph, elsewhere it goes through
        :func:`torch.compile`, which pays for large networks only.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit's network, with a new optimizer.
    random_state : int, RandomState instance or None, default=None
        Decides initial values, shuffling, dropout and the validation rows.
    callbacks : None or list of skorch callbacks, default=None
        Copied before use. They get the skorch net, ``net_``.
    verbose : int, default=0
        1 prints a line per epoch.
    **params
        ``module__*``, ``criterion__*`` and ``optimizer__*``.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X had names for all columns.
    target_mean_, target_scale_ : float or ndarray of shape (n_targets,)
        What y was shifted and divided by.
    net_ : WeightedNet
        The trained skorch net.
    module_ : nn.Module
    history_ : skorch History
        ``train_loss`` and ``valid_loss`` of each epoch, weighted means.
        Of batches nothing is kept, unless a callback has a method ``on_batch_begin``,
        ``on_grad_computed`` or ``on_batch_end``, be it an empty one.
    n_iter_ : int
        Number of epochs of the last fit, and of calls of ``partial_fit`` since.
    feature_weights_ : ndarray of shape (n_features_in_,)
        Only if the network weighs its input features.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from skweight import WeightedTorchRegressor
    >>> X, y = make_regression(n_features=5, random_state=0)
    >>> reg = WeightedTorchRegressor(random_state=0)
    >>> reg.fit(X, y, sample_weight=[2.0] * 50 + [1.0] * 50).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        module: Any = None,
        *,
        criterion: Any = None,
        sample_weight_power: float = 1.0,
        weighting: str = "loss",
        optimizer: Any = None,
        lr: float = 0.001,
        batch_size: int | str = "auto",
        max_epochs: int | str = "auto",
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        ema_decay: float | str = "auto",
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        device: Any = "auto",
        compile: bool = False,
        warm_start: bool = False,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: int = 0,
        **params: Any,
    ) -> None:
        self.module = module
        self.criterion = criterion
        self.sample_weight_power = sample_weight_power
        self.weighting = weighting
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.ema_decay = ema_decay
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.compile = compile
        self.warm_start = warm_start
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose
        self._params = params

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> "WeightedTorchRegressor":
        """Fit the network to weighted rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            Or (n_samples, ...) for a module of your own. float32 is not copied, and
            an ``np.memmap`` is never loaded whole, unless a module has a method ``adapt``.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            NaN and infinite values are ignored where the weight is 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative, on any scale. None is 1 for every row.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of some of X. A pipeline leaves them as they are
            unless ``transform_input`` says otherwise.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; None is 1 for every row.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input, naming the argument, what was expected and what came. The
            estimator is then as it was before.
        """
        validation = X_val, y_val, sample_weight_val
        fitted: WeightedTorchRegressor = self._fit(X, y, sample_weight, validation)
        return fitted

    @only_if(RegressionSteps._check_streams)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "WeightedTorchRegressor":
        """Make one pass over more rows, in batches, whatever ``max_epochs`` is.

        Weights are on one scale across calls, whose unit is the mean of the first call. The
        first call also decides the units of y, and gives the default network its input
        scaling and bins. Not there with ``early_stopping=True``.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. None is 1 for every row.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input. The estimator is then as it was before.
        """
        fitted: WeightedTorchRegressor = self._partial_fit(X, y, sample_weight)
        return fitted

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions in the units of y.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the predicted standard deviation too, under "gaussian_nll".

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            With several quantiles, one more axis of that length, in the order in which the
            levels were given; they do not cross.
        std : ndarray of the same shape
            Only with ``return_std=True``.
        """
        check_is_fitted(self)
        criterion = self.net_.criterion_
        loss = criterion.criterion
        if not return_std:
            return self._in_units_of_y(self._predict(X, criterion.predictions))
        if not isinstance(loss, GaussianNLL):
            raise ValueError(
                'return_std=True needs criterion="gaussian_nll", which predicts a spread, got '
                f"criterion={self.criterion!r}."
            )
        scores = self._predict(X, criterion.by_target)
        mean, std = (f(torch.from_numpy(scores)).numpy() for f in (loss.mean, loss.spread))
        return self._in_units_of_y(mean), self._in_units_of_y(std, shift=False)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the variance or deviance that is explained, weighted.

        R2, or D2 where the criterion is a deviance (of that deviance) or a quantile loss (of
        that loss, averaged over the levels): 1 for perfect predictions, 0 for those of the
        best constant. Averaged over targets.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Ignored where the weight is 0.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        y = fill_targets_without_weight(as_array(y), as_array(sample_weight))
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        weight = check_sample_weight(sample_weight, len(y))
        predicted = self.predict(X)
        check_consistent_length(predicted, y)
        if y.shape[1:] != self._target_shape:
            raise ValueError(
                f"y must have shape {('n_samples', *self._target_shape)}, as in fit, got {y.shape}."
            )
        kept = weight > 0
        n_targets = int(np.prod(self._target_shape))
        pairs = zip(
            y[kept].reshape(-1, n_targets).T,
            np.moveaxis(predicted[kept].reshape(kept.sum(), n_targets, -1), 1, 0),
        )
        criterion = self.net_.criterion_
        return float(np.mean([_score(y, f, weight[kept], criterion) for y, f in pairs]))


def _score(
    y: NDArray[np.float64],
    predicted: NDArray[np.float64],
    weight: NDArray[np.float64],
    criterion: RowLoss,
) -> float:
    """R2 or D2 of one target; ``predicted`` has shape (n_samples, n_levels)."""
    if isinstance(criterion.criterion, Quantile):
        scores = [
            d2_pinball_score(y, column, sample_weight=weight, alpha=level)
            for column, level in zip(predicted.T, criterion.criterion.levels)
        ]
        return float(np.mean(scores))
    predicted = predicted[:, 0]
    if criterion.traits.power is None:
        return float(r2_score(y, predicted, sample_weight=weight))
    if np.ptp(y) == 0:  # no deviance to explain: what r2_score says of a constant y
        return float(np.array_equal(y, predicted))
    return float(d2_tweedie_score(y, predicted, sample_weight=weight, power=criterion.traits.power))
