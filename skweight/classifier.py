"""The classifier: labels and class weights in, probabilities and labels out."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from skweight import losses
from skweight.criteria import RowLoss, from_criterion
from skweight.data import Rows, place, resolve_device
from skweight.estimators import WeightedTorchEstimator
from skweight.merging import distinct_rows
from skweight.weights import (
    around_one,
    check_sample_weight,
    flatten_mass,
    resolve_class_weight,
    to_mean_one,
)


class WeightedTorchClassifier(ClassifierMixin, WeightedTorchEstimator):  # type: ignore[misc]
    """A PyTorch network as a scikit-learn classifier whose weights are exact.

    The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power * class_weight[y_i] ** class_weight_power

    over distinct rows, with mini-batches that estimate the gradient of R without bias. Equal
    rows are merged and their ``sample_weight`` added before anything else happens, so that a
    weight of 3 and three copies, or a weight of 0 and a missing row, give the same network
    bit for bit.

    Parameters
    ----------
    module : None, nn.Module class, callable or nn.Module instance, default=None
        The network; it returns raw scores and never sees weights. None is
        :class:`~skweight.modules.MLP`. A class or callable is called as
        ``module(n_features, n_outputs, **module__)``, where ``n_outputs`` is 1 for two
        classes (the logit of ``classes_[1]``) and else the number of classes. An instance
        is copied and trained from the state it is in. A module with a method
        ``adapt(X, y, row_weight)`` is given the training data once before training.
    criterion : None, "cross_entropy", nn loss class or callable, default=None
        None is "cross_entropy". A class is built with ``reduction="none"`` and
        ``criterion__*``. A callable ``f(output, target)`` returns one loss per row; for one
        column of logits the target has 0.0 and 1.0 in the output's shape, for several
        columns it holds class codes of shape (n,).
    class_weight : None, "balanced", dict or callable, default=None
        Weights of the classes, times those of the rows. "balanced" gives every class the
        same share of the loss, counted with the weights. A dict maps labels to weights. A
        callable maps the weighted class counts, in units of the average distinct row, to
        weights.
    class_weight_power : float, default=1.0
        Exponent on the class weights: 0 is none, 0.5 the square root, 1 all of them.
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
        Whether to hold out validation rows, in each class its share, stop when their
        weighted loss no longer improves, and keep the best state.
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
    classes_ : ndarray of shape (n_classes,)
        All labels in y, those of rows without weight included.
    class_weight_ : ndarray of shape (n_classes,)
        The class weights that were used.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X had names for all columns.
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
    >>> from sklearn.datasets import make_classification
    >>> from skweight import WeightedTorchClassifier
    >>> X, y = make_classification(random_state=0)
    >>> clf = WeightedTorchClassifier(class_weight="balanced", random_state=0)
    >>> clf.fit(X, y, sample_weight=[2.0] * 50 + [1.0] * 50).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        module: Any = None,
        *,
        criterion: Any = None,
        class_weight: Any = None,
        class_weight_power: float = 1.0,
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
        self.class_weight = class_weight
        self.class_weight_power = class_weight_power
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "WeightedTorchClassifier":
        """Fit the network to weighted rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any dtype.
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
        X, y = self._validate(X, y=y, reset=not self._continues)
        classes, codes = self._encode(y)
        criterion = self._check_criterion()
        device = resolve_device(self.device)
        index, mass = distinct_rows(X, codes, check_sample_weight(sample_weight, len(codes)))
        codes = codes[index]
        mass = flatten_mass(mass, self.sample_weight_power)
        class_weight = resolve_class_weight(
            self.class_weight, classes, codes, mass, power=self.class_weight_power
        )
        index, codes, mass = _weigh_classes(index, codes, mass, class_weight, classes)
        seed = self._draw_seed()
        X = place(X, device)
        parts = [
            Rows(X, index[part], codes[part], to_mean_one(mass[part]), device)
            for part in self._split(len(index), seed, codes)
        ]
        self.net_ = self._train(
            parts, criterion, seed, _class_widths(len(classes), criterion), len(classes)
        )
        self.classes_, self.class_weight_ = classes, class_weight
        return self

    def _encode(self, y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
        try:
            check_classification_targets(y)
            classes, codes = np.unique(y, return_inverse=True)
        except TypeError as error:
            raise TypeError(
                f"y must hold labels of one kind, which can be sorted: {error}."
            ) from error
        if self._continues and not np.array_equal(classes, self.classes_):
            raise ValueError(
                "warm_start=True needs the classes of the last fit, "
                f"{self.classes_.tolist()}, got {classes.tolist()}."
            )
        return classes, codes.astype(np.int64)

    def _check_criterion(self) -> RowLoss:
        criterion = from_criterion(
            self.criterion, self._params_for("criterion"), losses.CLASSIFIER_CRITERIA
        )
        if criterion.own_weight and self.class_weight is not None:
            warnings.warn(
                f"The criterion carries class weights of its own ({criterion.own_weight}) and "
                f"class_weight={self.class_weight!r} is given too: classes are weighted twice.",
                stacklevel=3,
            )
        return criterion

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Raw scores of the classes.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, the log-odds of ``classes_[1]``.
        """
        scores = self._predict(X)
        if scores.shape[1] == 1:
            return np.asarray(scores[:, 0])
        return np.asarray(scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores)

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels of the most probable classes.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self.decision_function(X)
        codes = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, under the weights of the fit.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        return self._predict(X, losses.class_probabilities)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Logarithms of :meth:`predict_proba`, all finite.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.asarray(np.log(self.predict_proba(X)))


def _weigh_classes(
    index: NDArray[np.intp],
    codes: NDArray[np.int64],
    mass: NDArray[np.float64],
    class_weight: NDArray[np.float64],
    classes: NDArray[Any],
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
    """Multiply class weights into the masses; a row that weighs nothing is no row."""
    mass = around_one(mass) * class_weight[codes]
    kept = mass > 0
    present = np.unique(codes[kept])
    if len(present) < 2:
        raise ValueError(
            "y must hold at least two classes whose rows have weight, got "
            f"{len(present)} class{'es' * (len(present) != 1)}: {classes[present].tolist()}."
        )
    return index[kept], codes[kept], mass[kept]


def _class_widths(n_classes: int, criterion: RowLoss) -> tuple[int, ...]:
    """Numbers of output columns that fit, the one to ask a module class for first."""
    if n_classes > 2:
        return (n_classes,)
    return (2,) if criterion.one_column_per_class else (1, 2)
