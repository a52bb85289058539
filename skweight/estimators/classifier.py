"""The classifier: parameters, docstrings, and scores, probabilities and labels for X."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from torch import Tensor, nn
from torch.optim import Optimizer

from skweight._keywords import Auto, Floats, Self, check_flag
from skweight.estimators.annotations import (
    ClassWeight,
    Columns,
    Module,
    RandomState,
    Weighting,
)
from skweight.estimators.class_task import ClassTask, Labels, scores_of
from skweight.estimators.estimator import TorchEstimator, without_weightless_rows
from skweight.estimators.fit_arguments import explain_unknown
from skweight.estimators.members import mean_output
from skweight.estimators.offsets import as_keyword, of_weighted_rows
from skweight.estimators.parameters import stores_params
from skweight.estimators.partial_fit import if_available
from skweight.estimators.planning import FitData
from skweight.losses import (
    CLASSIFIER_CRITERIA,
    ClassifierCriterion,
    ClassLink,
    RowLoss,
    matching_shift_of_classes,
)
from skweight.modules import Activation, FeatureWeights
from skweight.training import Output, WeightedNet


class WeightedTorchClassifier(ClassifierMixin, TorchEstimator):  # type: ignore[misc]
    """A PyTorch network as a scikit-learn classifier whose weights are exact.

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
        The loss. None is "cross_entropy", with ``criterion__label_smoothing``. Other names are
        "focal", with ``criterion__gamma``, and, for two classes or for labels, "poly_tailed",
        with ``criterion__alpha``; see :mod:`skweight.losses`. A class is built with
        ``reduction="none"`` and ``criterion__*``. A callable ``f(output, target)`` returns one
        loss per row. If the output has one column of logits, the target has the same shape and
        holds 0.0 and 1.0; if it has several, the target holds class codes of shape (n,).
    criterion__label_smoothing : float, default=0.0
        Of "cross_entropy": share of the target, in [0, 1), that is spread evenly over the classes.
    criterion__gamma : float, default=2.0
        Of "focal": at least 0; 0 is cross entropy, and the larger it is, the less count rows whose
        classes are predicted well.
    criterion__alpha : float, default=1.0
        Of "poly_tailed": above 0, how fast the tail of the loss falls.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of X are categories. "from_dtype": columns of a DataFrame that hold strings or
        booleans, or have a dtype for categories; no column of an array. Otherwise names of columns,
        their positions, or a mask of shape (n_features,); None for no column. A missing label is a
        category. Categories that fewer than 3 distinct rows have, and less than 1 % of them, are
        treated as one category, together with labels that were not seen in training; weights do
        not count in this. Your own module is given categories as whole numbers if it has a method
        ``adapt_categories``; else they are refused. See docs/tables.md.
    class_weight : None, "balanced", dict, callable or list, default=None
        Weights of the classes; the weight of a row is multiplied by that of its class. "balanced"
        gives every class the same total weight. A dict maps labels to weights. A callable such as
        ``effective_number(0.99)`` maps weighted class counts, of shape (n_classes,) and in units
        of the average distinct row, to weights. For multilabel y, each label has the classes 0
        (absent) and 1 (present), and a list has one entry per label.
    logit_adjustment : float, default=0.0
        The tau of a loss on ``z + tau log pi`` in place of the scores z, where pi are the shares of
        the classes in the total ``sample_weight`` (Menon et al., ICLR 2021). 1 maximises balanced
        accuracy.
    class_weight_power : float, default=1.0
        Exponent on the class weights: 0 switches them off, 0.5 is their square root, 1 uses them
        as they are.
    sample_weight_power : float, default=1.0
        Exponent on the total weight of each distinct row. 1 uses the weights as they are; below 1
        they become more even, which lowers the variance of the fit and adds bias.
    weighting : {"loss", "sampling"}, default="loss"
        "loss" multiplies the loss of a row by its weight. "sampling" draws rows with replacement,
        with probability proportional to their weight, as many in an epoch as there are distinct
        rows. Both minimise the same objective; sampling is less noisy if few rows have most of
        the weight.
    correct_prior : bool, default=False
        Whether to remove the effect of class weights and logit adjustment from
        ``decision_function``, ``predict_proba`` and ``predict``. Probabilities are then those of
        the population that ``sample_weight`` describes. The effect of ``sample_weight`` is never
        removed.
    match_mean : bool, default=False
        Whether the mean of ``predict_proba`` over the rows of ``fit`` is made equal to the share of
        each class or label (to 1e-9 of it), by a constant for each raw score that is solved for
        after training. All rows count, also those held out, but not ``X_val``. They have the
        weights under which the probabilities hold: with ``correct_prior=True`` ``sample_weight **
        sample_weight_power``, otherwise this times the class weights, and times ``1 / pi ** tau``
        with logit adjustment. It holds for ``correct_prior`` as it was in ``fit``. Each of several
        members is matched on all rows. ``oof_prediction_`` is made before, since the shift knows y
        of every row. Needs the criterion "cross_entropy" without label smoothing, "focal",
        "poly_tailed", or torch's cross entropies. Rules out ``partial_fit``. See docs/balance.md.
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
        best network. The validation rows are those given to ``fit``, or else are held out, the
        same share of every class. Rows with the same x are held out together and count once. "auto"
        is True from 200 distinct rows on, and with several members, except in ``partial_fit``.
    validation_fraction : float, default=0.2
        Share of the distinct rows that early stopping holds out. With ``n_members=K`` each network
        holds out a K-th of them instead.
    n_members : int or "auto", default="auto"
        Number of networks whose mean probabilities are predicted. With several, the distinct rows
        are divided into as many folds, of the same share of every class and of the weight. Each
        network is trained on all folds but one, which tells it when to stop, so that every row is
        used for training and has a prediction by a network that was not trained on it. They are
        trained in one stack where that is faster. "auto" is ``1 / validation_fraction`` (so 5),
        at most 10, with fewer than 2,000 distinct rows or fewer than 100 of a class, and otherwise
        1. It is 1, whatever the rows, with a ``module`` or ``callbacks`` of your own, with
        ``X_val``, without early stopping and in ``partial_fit``, and also with fewer than 20
        distinct rows or a class of one. With ``warm_start`` it is the number of the fit before.
        See docs/members.md.
    ema_decay : float or "auto", default="auto"
        Decay, in [0, 1), of an exponential moving average of the network's parameters over the
        updates. The averaged network is the one that is validated, kept and used for prediction;
        callbacks see it from the end of an epoch's updates to the start of the next epoch. 0 means
        no average. "auto" is 0.99 with early stopping, otherwise 0. ``partial_fit`` never
        averages.
    n_iter_no_change : int, default=10
        Epochs without improvement after which early stopping ends the training.
    tol : float, default=1e-4
        Smallest decrease of the validation loss that counts as an improvement.
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
    classes_ : ndarray of shape (n_classes,)
        All labels in y, also those of rows without weight. For multilabel y, the column numbers.
    class_weight_ : ndarray of shape (n_classes,) or (n_labels, 2)
        The class weights that were used.
    class_prior_ : ndarray of shape (n_classes,) or (n_labels, 2)
        Shares of the classes in the total ``sample_weight``.
    n_features_in_ : int
        Number of columns of X, where a category counts as one, or of all inputs if X is a dict of
        them.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a DataFrame. Only if all of them are strings.
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
    oof_prediction_ : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        Only with several members: probabilities for the rows of ``fit`` by the member that was not
        trained on them, with ``correct_prior`` as it was set then. Copies of a row are held out
        together. Rows of weight 0, which no member was trained on, have the mean of all members.
        They are without the shift of ``match_mean``.
        With early stopping these rows decided when the member stopped, so with few rows the
        predictions are a little better than those of new rows.
    oof_score_ : float
        Only with several members: the weighted accuracy of ``oof_prediction_``.
    feature_weights_ : ndarray of shape (n_features,)
        Weights of the input features. Only if the network has such a layer.

    Notes
    -----
    **The objective.** The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power * class_weight[y_i] ** class_weight_power

    over distinct rows, with mini-batches that estimate the gradient of R without bias.

    **A network of your own.** It returns raw scores and never sees weights. A class or callable is
    called as ``module(n_features, n_outputs, **module__)``, where ``n_features`` is ``X.shape[1]``
    and ``n_outputs`` is 1 for two classes (the logit of ``classes_[1]``) and else the number of
    classes or labels. One whose first parameter has a default, as modules for skorch have, is
    called as ``module(**module__)``, unless it has parameters called ``n_features`` and
    ``n_outputs``. An instance is copied, and the copy is trained from its current state. Before
    training, these methods of the network are called if it has them: ``adapt(X, y, row_weight)``
    with all training data; ``adapt_categories(cardinalities)``, if X is 2-D, with the number of
    codes of each column, 0 for numbers; ``adapt_input(mean, spread)`` with the weighted mean and
    standard deviation of each column of X; ``adapt_values(columns, values, shares)`` with the
    categories, and with the numbers that many rows have, and their shares of the weight;
    ``adapt_bins(edges)`` with ``n_bins + 1`` weighted quantiles of the other numbers of each
    column; ``adapt_output(constant)`` with the raw scores of the best constant model. With your own
    module, X may have more than two dimensions. A module that fails on float32, as one that begins
    with an ``nn.Embedding``, is given int64 if X holds integers. If X is a dict of inputs,
    ``forward`` is given them by their names, ``n_features`` is a dict of the number of columns of
    each, ``adapt``, ``adapt_input`` and ``adapt_bins`` are given dicts too, of all inputs, of those
    of floats, and of tables of floats, and neither ``adapt_categories`` nor ``adapt_values`` is
    called.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skweight import WeightedTorchClassifier
    >>> X, y = make_classification(random_state=0)
    >>> clf = WeightedTorchClassifier(class_weight="balanced", random_state=0)
    >>> clf.fit(X, y, sample_weight=[2.0] * 50 + [1.0] * 50).score(X, y) > 0.9
    True
    """

    classes_: NDArray[Any]
    class_weight_: NDArray[np.float64]
    class_prior_: NDArray[np.float64]
    _criteria = CLASSIFIER_CRITERIA
    _task: ClassTask

    @stores_params(CLASSIFIER_CRITERIA)
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
        criterion: ClassifierCriterion | Callable[..., Any] | None = None,
        criterion__label_smoothing: float = 0.0,
        criterion__gamma: float = 2.0,
        criterion__alpha: float = 1.0,
        categorical_features: Literal["from_dtype"] | Columns | None = "from_dtype",
        class_weight: ClassWeight | None = None,
        logit_adjustment: float = 0.0,
        class_weight_power: float = 1.0,
        sample_weight_power: float = 1.0,
        weighting: Weighting = "loss",
        correct_prior: bool = False,
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
        self.class_weight = class_weight
        self.logit_adjustment = logit_adjustment
        self.class_weight_power = class_weight_power
        self.sample_weight_power = sample_weight_power
        self.weighting = weighting
        self.correct_prior = correct_prior
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
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of any dtype, or zeros and ones in one column per label.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative, on any scale. None is 1 for every row.
        groups : array-like of shape (n_samples,), default=None
            Rows that belong together, such as those of one person. Rows that are held out, for
            early stopping or by members, are held out by whole groups. Groups that have an equal
            row of the same y count as one.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Numbers that are added to the raw scores of the rows, in training and in prediction: the
            log-odds of ``classes_[1]``, shape (n_samples,), for two classes, those of each label,
            or one number for each class, such as a logarithm of its probability. The network learns
            what they leave. Rows are merged if they have equal x, y and offset. All
            predictions then need an offset too. See docs/offset.md.
        X_val, y_val : array-like, default=None
            Validation rows for early stopping, instead of some of the rows of X. A pipeline does
            not transform them unless its ``transform_input`` names them.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; None is 1 for every row. Class weights apply to them too.
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
        classes: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> Self:
        """Train on more rows: one pass over them in batches, whatever ``max_epochs`` is.

        Weights are on one scale across calls; its unit is the mean weight in the first call. The
        first call also sets the codes of categories, and the input scaling and bins of the default
        network. It begins with one network; after a fit of several members it trains each of them.
        Unavailable with ``early_stopping=True``, with ``n_members=2`` or more, with
        ``match_mean=True``, with ``logit_adjustment``, and with class weights that depend on class
        counts.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), default=None
            All classes that will occur in any call; needed in the first call, unless y is
            multilabel.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. None is 1 for every row.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            As in ``fit``, in all calls or in none.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On bad input. The estimator is left as it was.
        """
        find_task = partial(self._find_partial_task, classes)
        data = FitData(X, y, sample_weight, offset=offset)
        return self._partial_fit(data, find_task)

    def decision_function(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores of the classes: log-odds, or log-probabilities up to a constant.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Labels may be new, and numbers missing
            where ``fit`` allows it.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            For two classes, the log-odds of ``classes_[1]``; for labels, those of each. With
            several members they are those of the mean probabilities.
        """
        X, of_rows = self._read(X, offset)
        if len(self.nets_) > 1:
            return scores_of(
                mean_output(self.nets_, X, lambda net: self._link(net).all_probabilities, of_rows)
            )
        scores = mean_output(self.nets_, X, lambda net: self._link(net).scores, of_rows)
        if self._task.labels.multilabel:
            return scores
        if scores.shape[1] == 1:
            return np.asarray(scores[:, 0])
        return np.asarray(scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores)

    def predict(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[Any]:
        """Labels of the most probable classes.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Labels may be new, and numbers missing
            where ``fit`` allows it.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        scores = self.decision_function(X, **as_keyword(offset))
        return self._task.labels.decode(scores)

    def predict_proba(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Probabilities of the classes in the weighted training data.

        With ``correct_prior=True``, in the data weighted by ``sample_weight`` alone.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Labels may be new, and numbers missing
            where ``fit`` allows it.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Columns in the order of ``classes_``; for multilabel y, the probability of each
            label.
        """
        X, of_rows = self._read(X, offset)
        return self._values(self.nets_, X, of_rows)

    def predict_log_proba(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Logarithms of :meth:`predict_proba`, all finite.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        return np.asarray(np.log(self.predict_proba(X, **as_keyword(offset))))

    @explain_unknown
    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Weighted accuracy; for multilabel y, of rows whose labels are all right.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Rows of weight 0 are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        float
        """
        offset = of_weighted_rows(offset, sample_weight)
        X, y, sample_weight = without_weightless_rows(X, y, sample_weight)
        self._check_is_fitted()
        self._task.labels.check_alike(y)
        predicted = self.predict(X, **as_keyword(offset))
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def _make_task(self, y: Any, continues: bool) -> ClassTask:
        labels = Labels.of(y)
        if continues and labels != self._task.labels:
            raise ValueError(
                "warm_start=True needs the classes of the last fit, "
                f"{self.classes_.tolist()}, got {labels.classes.tolist()}."
            )
        return self._task_for(labels)

    def _find_partial_task(self, classes: Any, y: Any, first: bool) -> ClassTask:
        """The task of ``partial_fit``, made in the first call; later ones must fit to it."""
        labels = Labels.of(y) if first else self._task.labels
        listed = None if classes is None else Labels.from_classes(classes)
        if first and not labels.multilabel:
            if listed is None:
                raise ValueError(
                    "classes must be given in the first call of partial_fit: all classes that "
                    "will occur in any call, got None."
                )
            labels = listed
        elif listed is not None and not np.array_equal(listed.classes, labels.classes):
            raise ValueError(
                f"classes must be {labels.classes.tolist()}, "
                f"{'the columns of y' if first else 'those of the first call or of fit'}, got "
                f"{listed.classes.tolist()}."
            )
        return self._task_for(labels) if first else self._task

    def _task_for(self, labels: Labels) -> ClassTask:
        weights = self.class_weight, self.class_weight_power, self.logit_adjustment
        return ClassTask(labels, *weights)

    def _output(self, criterion: RowLoss) -> Output:
        return self._task.output(criterion, self.correct_prior)

    def _link(self, net: WeightedNet) -> ClassLink:
        """From raw scores of a net to scores and probabilities of the classes."""
        # It may have been set after the fit, which checks it.
        correct_prior = check_flag(self.correct_prior, "correct_prior")
        return self._task.link(net.criterion_, correct_prior)

    def _matching_shift(
        self, net: WeightedNet, raw: Tensor, weight: Tensor, mean: Tensor
    ) -> tuple[Tensor, float]:
        """Shift of the raw scores of a net that gives its probabilities this mean."""
        return matching_shift_of_classes(self._link(net), raw, weight, mean)

    def _values(
        self, nets: list[WeightedNet], X: Any, offset: Floats | None
    ) -> NDArray[np.float64]:
        """Mean probabilities for checked X and offset."""
        return mean_output(nets, X, self._link_of_values, offset)

    def _link_of_values(self, net: WeightedNet) -> Callable[[Tensor], Tensor]:
        return self._link(net).probabilities

    def _score_of(self, y: Any, probability: NDArray[np.float64], sample_weight: Any) -> float:
        """Weighted accuracy of the classes with the largest probabilities."""
        found = self._task.labels.decode_probabilities(probability)
        return float(accuracy_score(y, found, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        """Tags: several classes or labels, unless the criterion does not support them."""
        tags = super().__sklearn_tags__()
        traits = self._traits_for_tags()
        tags.classifier_tags.multi_class = not (traits and traits.binary_only)
        tags.classifier_tags.multi_label = not (traits and traits.one_column_per_class)
        return tags
