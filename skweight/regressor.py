"""The regressor: targets in, standardised for training, predictions in their units out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from skweight import losses
from skweight.criteria import RowLoss, from_criterion
from skweight.data import Rows, place, resolve_device
from skweight.estimators import WeightedTorchEstimator
from skweight.merging import distinct_rows
from skweight.weights import check_sample_weight, flatten_mass, to_mean_one


class WeightedTorchRegressor(RegressorMixin, WeightedTorchEstimator):  # type: ignore[misc]
    """A PyTorch network as a scikit-learn regressor whose weights are exact.

    The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power

    over distinct rows, with mini-batches that estimate the gradient of R without bias. Equal
    rows are merged and their ``sample_weight`` added before anything else happens, so that a
    weight of 3 and three copies, or a weight of 0 and a missing row, give the same network
    bit for bit.

    Under "squared_error", ``nn.MSELoss`` and ``nn.L1Loss`` the network is trained on y
    brought to weighted mean 0 and standard deviation 1, and losses are in these units;
    predictions are in the units of y. Under other criteria the network is trained on y as it
    is, and predictions are what it returns: under ``nn.PoissonNLLLoss``, logarithms of rates.

    Parameters
    ----------
    module : None, nn.Module class, callable or nn.Module instance, default=None
        The network; it returns one column and never sees weights. None is
        :class:`~skweight.modules.MLP`. A class or callable is called as
        ``module(n_features, 1, **module__)``. An instance is copied and trained from the
        state it is in. A module with a method ``adapt(X, y, row_weight)`` is given the
        training data once before training.
    criterion : None, "squared_error", nn loss class or callable, default=None
        None is "squared_error". A class is built with ``reduction="none"`` and
        ``criterion__*``. A callable ``f(output, target)`` returns one loss per row; it gets
        the target in the units of y and in the shape of the output.
    sample_weight_power : float, default=1.0
        Exponent on the total weight of each distinct row: 1 follows the weights, smaller
        values trade bias for variance.
    optimizer : None or torch.optim.Optimizer class, default=None
        None is :class:`torch.optim.AdamW`. Built with ``lr`` and ``optimizer__*``.
    lr : float, default=0.001
        Learning rate. Weights do not change its meaning: they are scaled to mean 1.
    batch_size : int, default=256
        Largest number of distinct rows in a batch; -1 takes all rows at once.
    max_epochs : int or "auto", default="auto"
        Number of passes over the distinct rows. "auto" is 20, or as many as 500 updates take.
    early_stopping : bool, default=False
        Whether to hold out validation rows, stop when their weighted loss no longer
        improves, and keep the best state.
    validation_fraction : float, default=0.1
        Share of the distinct rows that early stopping holds out.
    n_iter_no_change : int, default=10
        Epochs without improvement after which early stopping ends the training.
    tol : float, default=1e-4
        What counts as an improvement of the validation loss.
    device : str or torch.device, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; it is looked up in ``fit``.
    compile : bool, default=False
        Whether to run the network through :func:`torch.compile`.
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
    target_mean_, target_scale_ : float
        What y was shifted and divided by; 0 and 1 under other criteria.
    net_ : WeightedNet
        The trained skorch net.
    module_ : nn.Module
    history_ : skorch History
        ``train_loss`` and ``valid_loss`` of each epoch, weighted means.
    n_iter_ : int
        Number of epochs of the last fit.
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
        optimizer: Any = None,
        lr: float = 0.001,
        batch_size: int = 256,
        max_epochs: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
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
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.compile = compile
        self.warm_start = warm_start
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose
        self._params = params

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "WeightedTorchRegressor":
        """Fit the network to weighted rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative, on any scale. None is 1 for every row.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input, naming the argument, what was expected and what came.
        """
        self._check_params()
        X, y = self._validate(X, y=y, y_numeric=True, reset=not self._continues)
        y = y.astype(np.float64)
        criterion = from_criterion(
            self.criterion, self._params_for("criterion"), losses.REGRESSOR_CRITERIA
        )
        device = resolve_device(self.device)
        index, mass = distinct_rows(X, y, check_sample_weight(sample_weight, len(y)))
        y, mass = y[index], flatten_mass(mass, self.sample_weight_power)
        seed = self._draw_seed()
        positions = self._split(len(index), seed)
        weights = [to_mean_one(mass[part]) for part in positions]
        mean, scale = self._target_units(y[positions[0]], weights[0], criterion)
        X = place(X, device)
        parts = [
            Rows(X, index[part], (y[part] - mean) / scale, weight, device)
            for part, weight in zip(positions, weights)
        ]
        self.net_ = self._train(parts, criterion, seed, widths=(1,))
        self.target_mean_, self.target_scale_ = mean, scale
        return self

    def _target_units(
        self, y: NDArray[np.float64], row_weight: NDArray[np.float64], criterion: RowLoss
    ) -> tuple[float, float]:
        """Weighted mean and standard deviation of y where the criterion allows for them."""
        if self._continues:
            return self.target_mean_, self.target_scale_
        if not criterion.standardises_target:
            return 0.0, 1.0
        mean = np.average(y, weights=row_weight)
        largest = np.abs(y - mean).max()
        # A spread of rounding errors alone is no spread.
        if largest <= 10 * np.finfo(np.float64).eps * abs(mean):
            return float(mean), 1.0
        # Divided first: squares of very large or small numbers leave float64.
        squares = ((y - mean) / largest) ** 2
        return float(mean), float(largest * np.sqrt(np.average(squares, weights=row_weight)))

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predictions in the units of y.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.asarray(self._predict(X)[:, 0] * self.target_scale_ + self.target_mean_)
