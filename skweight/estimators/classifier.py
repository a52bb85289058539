"""The classifier."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skweight.estimators.availability import only_if
from skweight.estimators.classification import ClassificationSteps
from skweight.estimators.labels import Labels
from skweight.losses import CLASSIFIER_CRITERIA


class WeightedTorchClassifier(ClassifierMixin, ClassificationSteps):  # type: ignore[misc]
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
        ``module(n_features, n_outputs, **module__)``, where ``n_features`` is ``X.shape[1]``
        and ``n_outputs`` is 1 for two classes (the logit of ``classes_[1]``) and else the
        number of classes or labels. An instance is copied and trained from the state it is
        in. Before training its methods are called, if it has them: ``adapt(X, y, row_weight)``
        with all training data, ``adapt_input(mean, spread)`` with the weighted moments of X,
        ``adapt_bins(edges)`` with ``n_bins + 1`` weighted quantiles of its columns,
        ``adapt_output(constant)`` with the raw scores of a model that ignores X. With a
        module of your own X may have more than two dimensions.
    criterion : None, str, nn loss class or callable, default=None
        None is "cross_entropy", with ``criterion__label_smoothing``. "focal", with
        ``criterion__gamma``, and for two classes or labels "poly_tailed", with
        ``criterion__alpha``, are in :mod:`skweight.losses`. A class is built with
        ``reduction="none"`` and ``criterion__*``. A callable ``f(output, target)`` returns one
        loss per row; for one column of logits the target has 0.0 and 1.0 in the output's
        shape, for several columns it holds class codes of shape (n,).
    class_weight : None, "balanced", dict, callable or list, default=None
        Weights of the classes, times those of the rows. "balanced" gives every class the
        same share of the loss, counted with the weights. A dict maps labels to weights. A
        callable such as ``effective_number(0.99)`` maps the weighted class counts,
        in units of the average distinct row, to weights. For multilabel y the classes are
        the absence 0 and presence 1 of each label, and a list has one entry per label.
    logit_adjustment : float, default=0.0
        tau of the loss on ``z + tau log pi``, with pi the shares of the classes in the
        weight before ``class_weight`` (Menon et al. 2021). 1 aims at balanced accuracy.
    class_weight_power : float, default=1.0
        Exponent on the class weights: 0 is none, 0.5 the square root, 1 all of them.
    sample_weight_power : float, default=1.0
        Exponent on the total weight of each distinct row: 1 follows the weights, smaller
        values trade bias for variance.
    weighting : {"loss", "sampling"}, default="loss"
        "loss" multiplies the loss of a row by its weight. "sampling" draws rows with
        replacement and with probability proportional to their weight, as many in an epoch
        as there are distinct rows: the same objective, with less noise if few rows weigh much.
    correct_prior : bool, default=False
        Whether to take class weights and logit adjustment back out of ``decision_function``,
        ``predict_proba`` and ``predict``, so that probabilities are those of the population
        that ``sample_weight`` stands for. Weights of rows are never taken out.
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
        Whether to hold out validation rows, in each class its share, or to take those given
        to ``fit``, stop when their weighted loss no longer improves, and keep the best state.
        "auto" does so from 60 distinct rows on, but not in ``partial_fit``.
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
    classes_ : ndarray of shape (n_classes,)
        All labels in y, those of rows without weight included.
        For multilabel y, the numbers of its columns.
    class_weight_ : ndarray of shape (n_classes,) or (n_labels, 2)
        The class weights that were used.
    class_prior_ : ndarray of shape (n_classes,) or (n_labels, 2)
        Shares of the classes in the weight before ``class_weight``.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X had names for all columns.
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
        logit_adjustment: float = 0.0,
        class_weight_power: float = 1.0,
        sample_weight_power: float = 1.0,
        weighting: str = "loss",
        correct_prior: bool = False,
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
        self.class_weight = class_weight
        self.logit_adjustment = logit_adjustment
        self.class_weight_power = class_weight_power
        self.sample_weight_power = sample_weight_power
        self.weighting = weighting
        self.correct_prior = correct_prior
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
    ) -> "WeightedTorchClassifier":
        """Fit the network to weighted rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            Or (n_samples, ...) for a module of your own. float32 is not copied, and
            an ``np.memmap`` is never loaded whole, unless a module has a method ``adapt``.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of any dtype, or zeros and ones in one column per label.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative, on any scale. None is 1 for every row.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of some of X. A pipeline leaves them as they are
            unless ``transform_input`` says otherwise.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; None is 1 for every row. Class weights apply to them too.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input, naming the argument, what was expected and what came. The
            estimator is then as it was before.
        """
        fitted: WeightedTorchClassifier = self._fit(
            X, y, sample_weight, (X_val, y_val, sample_weight_val)
        )
        return fitted

    @only_if(ClassificationSteps._check_streams)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> "WeightedTorchClassifier":
        """Make one pass over more rows, in batches, whatever ``max_epochs`` is.

        Weights are on one scale across calls, whose unit is the mean of the first call. The
        first call also gives the default network its input scaling and bins. Not there with
        ``early_stopping=True``, ``logit_adjustment`` or class weights that count rows.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever come; needed in the first call, unless y is
            multilabel.
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
        announced = None if classes is None else Labels.announced(classes)
        fitted: WeightedTorchClassifier = self._partial_fit(X, y, sample_weight, announced)
        return fitted

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores of the classes: logarithms of odds, or of probabilities up to a constant.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            For two classes, the log-odds of ``classes_[1]``; for labels, those of each.
        """
        check_is_fitted(self)
        scores = self._predict(X, self._link(self.net_.criterion_).scores)
        if self._labels.multilabel:
            return scores
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
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        scores = self.decision_function(X)
        return self._labels.decode(scores)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, under the weights of the fit.

        With ``correct_prior=True``, under the weights of its rows alone.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Columns in the order of ``classes_``; for multilabel y, the probability of each
            label.
        """
        check_is_fitted(self)
        return self._predict(X, self._link(self.net_.criterion_).probabilities)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Logarithms of :meth:`predict_proba`, all finite.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        return np.asarray(np.log(self.predict_proba(X)))

    def __sklearn_tags__(self) -> Any:
        """Y may hold many classes, or several labels, unless the criterion is not for that."""
        tags = super().__sklearn_tags__()
        criterion = self._criterion_for_tags(CLASSIFIER_CRITERIA)
        tags.classifier_tags.multi_class = not (criterion and criterion.traits.binary_only)
        tags.classifier_tags.multi_label = not (criterion and criterion.traits.one_column_per_class)
        return tags
