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
    """A PyTorch network as a scikit-learn classifier with exact sample weights.

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
        The loss of a row. None is "cross_entropy", with ``criterion__label_smoothing``. Other names
        are "focal", with ``criterion__gamma``, and, for two classes or multilabel y, "poly_tailed",
        with ``criterion__alpha``; see :mod:`skweight.losses`. A class is built with
        ``reduction="none"`` and ``criterion__*``. A callable ``f(output, target)`` returns one loss
        per row. If the output is one logit per row, or y is multilabel, the target has the shape of
        the output and holds 0.0 and 1.0; otherwise it holds class codes of shape (n,).
    criterion__label_smoothing : float, default=0.0
        For "cross_entropy": share of the target, in [0, 1), that is spread evenly over all classes.
    criterion__gamma : float, default=2.0
        For "focal": exponent of at least 0. With 0 it is cross entropy; the larger it is, the less
        a row counts whose class is already predicted well.
    criterion__alpha : float, default=1.0
        For "poly_tailed": exponent above 0. The larger it is, the faster the loss falls for rows
        that are classified correctly by a wide margin.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of X are categories. "from_dtype" are the columns of a DataFrame that hold
        strings or booleans or have a categorical dtype; in an array, none. Otherwise names of
        columns, their positions, or a mask of shape (n_features,). None is no column. A missing
        value is a category. Categories with fewer than 3 distinct rows, and less than 1 % of them,
        count as one category, together with values that were not seen in training. A module of your
        own gets categories as integer codes if it has a method ``adapt_categories``; otherwise they
        are refused. See docs/tables.md.
    class_weight : None, "balanced", dict, callable or list, default=None
        Weights of the classes; the weight of a row is multiplied by that of its class. "balanced"
        gives every class the same total weight. A dict maps labels to weights; labels that it
        leaves out have weight 1. A callable, such as ``effective_number(0.99)``, is given the total
        weight of each class, divided by the mean weight of a distinct row, and returns weights of
        the same shape (n_classes,). For multilabel y, each label has the classes 0 (absent) and 1
        (present), and a list has one entry per label. See docs/rare_classes.md.
    logit_adjustment : float, default=0.0
        Strength tau, at least 0, of a logit adjustment (Menon et al., ICLR 2021): the loss is that
        of ``z + tau * log(pi)`` in place of the scores z, where pi is ``class_prior_``. 0 is none;
        1 aims at the best balanced accuracy.
    class_weight_power : float, default=1.0
        Exponent, at least 0, on the class weights: 1 uses them as they are, 0.5 their square roots,
        and 0 makes all of them 1, except weights of 0.
    sample_weight_power : float, default=1.0
        Exponent, at least 0, on the total weight of each distinct row. 1 uses the weights as they
        are. Below 1 they are more even, which lowers the variance of the fit and adds bias; with 0
        all distinct rows count the same.
    weighting : {"loss", "sampling"}, default="loss"
        "loss" multiplies the loss of a row by its weight. "sampling" draws rows with replacement,
        with probability proportional to their weight; an epoch draws as many as there are distinct
        rows. The objective is the same; choose "sampling" if few rows have most of the weight,
        where its gradients are less noisy.
    correct_prior : bool, default=False
        Whether to remove the effect of class weights and logit adjustment from
        ``decision_function``, ``predict_proba`` and ``predict``, so that probabilities describe the
        population that ``sample_weight`` describes. The effect of ``sample_weight`` is never
        removed. It can be changed after ``fit``, unless ``match_mean=True``. Needs class weights
        above 0, and a criterion without label smoothing or class weights of its own.
    match_mean : bool, default=False
        Whether the weighted mean of ``predict_proba`` over the rows of ``fit``, held-out ones
        included, equals the share of each class or label; use it if totals matter. After training,
        a constant is added to each raw score, which makes them equal to 1e-9 of the share (see
        docs/balance.md for exceptions). Rows have the weights under which the probabilities hold:
        ``sample_weight ** sample_weight_power``; without ``correct_prior`` also times the class
        weights and, with logit adjustment, times ``1 / pi ** tau``. Each of several members is
        matched; ``oof_prediction_`` is not, since the constant depends on y of all rows. Needs the
        criterion "cross_entropy" without label smoothing, "focal", "poly_tailed",
        ``nn.CrossEntropyLoss``, ``nn.BCEWithLogitsLoss`` or ``nn.NLLLoss``. Makes ``partial_fit``
        unavailable.
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
        are held out, the same share of every class. Rows with the same x are held out together and
        count once. "auto" is True from 200 distinct rows on, with several members and with
        ``X_val``, but not in ``partial_fit``.
    validation_fraction : float, default=0.2
        Share, between 0 and 1 exclusive, of the distinct rows that early stopping holds out. Each
        of K members holds out a K-th of them instead.
    n_members : int or "auto", default="auto"
        Number of networks (members) whose mean probabilities are predicted. With several, the
        distinct rows are divided into as many folds, with about the same number and weight of rows
        of every class. Each member is trained on all folds but one, and stops early on that one, so
        that every row is used for training and also has a prediction by a member that was not
        trained on it. "auto" is ``1 / validation_fraction``, so 5 by default and at most 10, with
        fewer than 2,000 distinct rows or fewer than 100 of a class, and otherwise 1. It is 1 in any
        case with a ``module`` or ``callbacks`` of your own, with ``X_val``, without early stopping,
        in ``partial_fit``, with fewer than 20 distinct rows and with a class of one; with
        ``warm_start`` it is the number of the fit before. 1 is several times as fast. See
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
        Smallest decrease of the validation loss that counts as an improvement.
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
    classes_ : ndarray of shape (n_classes,)
        All labels in y, also those of rows without weight. For multilabel y, the column numbers.
    class_weight_ : ndarray of shape (n_classes,) or (n_labels, 2)
        The class weights that were used, after ``class_weight_power``. For multilabel y, those of
        absence and presence of each label.
    class_prior_ : ndarray of shape (n_classes,) or (n_labels, 2)
        Shares of the classes in the total of ``sample_weight ** sample_weight_power``, without
        class weights.
    n_features_in_ : int
        Number of columns of X, where a category counts as one, or of all inputs if X is a dict of
        them.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a DataFrame. Only if all of them are strings.
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
    oof_prediction_ : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        Out-of-fold probabilities, with several members only: those of the rows of ``fit`` by the
        member that was not trained on them, with ``correct_prior`` as it was set then and without
        the constant of ``match_mean``. Rows of weight 0, on which no member was trained, have the
        mean of all members. With early stopping the fold decided when its member stopped, so with
        few rows these predictions are a little better than those of new rows.
    oof_score_ : float
        With several members only: the weighted accuracy of ``oof_prediction_``.
    feature_weights_ : ndarray of shape (n_features,)
        Feature weights after training, the mean over the members. AttributeError if the network has
        none.

    Notes
    -----
    **The objective.** The fit minimises

        R(theta) = sum_i w_i loss(f(x_i), y_i) / sum_i w_i,
        w_i = sample_weight_i ** sample_weight_power * class_weight[y_i] ** class_weight_power

    over distinct rows i, where ``sample_weight_i`` is the sum over the copies of a row, with
    mini-batches that estimate the gradient of R without bias.

    **A network of your own.** It returns raw scores and never sees weights. A class or callable is
    called as ``module(n_features, n_outputs, **module__)``, where ``n_features`` is ``X.shape[1]``
    and ``n_outputs`` is 1 for two classes (the logit of ``classes_[1]``) and else the number of
    classes or labels.
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
            Numbers, and categories as ``categorical_features`` says. The default network takes NaN
            and other missing numbers, except in a sparse matrix. float32 is not copied, and an
            ``np.memmap`` is never loaded whole unless the module has a method ``adapt``.
            A module of your own may take more dimensions, (n_samples, ...), or a dict of dense
            inputs of numbers: floats become float32, integers and booleans int64. Searches of
            scikit-learn can split a ``SliceDict`` of :mod:`skorch.helper`, but no dict.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of any dtype; for multilabel y, zeros and ones in one column per label. May be
            missing in rows of weight 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; only their ratios matter. A row of weight 0 is ignored, whatever
            it holds. None is 1 for every row.
        groups : array-like of shape (n_samples,), default=None
            The group of each row, such as a person with several rows. Groups are held out whole,
            for early stopping or by members. Groups with an equal row (x, y) count as one.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Known numbers that are added to the raw scores, in training and in prediction; the
            network learns the rest. For two classes, of shape (n_samples,), they are added to the
            log-odds of ``classes_[1]``; for multilabel y, to those of each label; and for more
            classes there is one for each class, such as the logarithm of its probability. All
            predictions then need an offset too. See docs/offset.md.
        X_val, y_val : array-like, default=None
            Validation rows for early stopping, so that no rows of X are held out. A pipeline does
            not transform them unless its ``transform_input`` names them.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows; None is 1 for every row. Class weights apply too.
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
        classes: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> Self:
        """Train on more rows: one pass over them in batches, whatever ``max_epochs`` is.

        Weights have the same meaning in all calls: their unit is the mean weight of the rows of the
        first call. The first call also fixes the codes of categories, and the scaling and bins of
        the default network. A new estimator gets one network; after a fit of several members, each
        of them is trained.

        Unavailable with ``early_stopping=True``, ``n_members`` above 1, ``match_mean=True``,
        ``ema_decay`` above 0, ``logit_adjustment``, and class weights that depend on class counts.

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
            If an argument is not as described. The estimator is left as it was.
        AttributeError
            If the parameters of the estimator make ``partial_fit`` unavailable.
        """
        find_task = partial(self._find_partial_task, classes)
        data = FitData(X, y, sample_weight, offset=offset)
        return self._partial_fit(data, find_task)

    def decision_function(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores of the classes: log-odds, or logarithms of probabilities up to a constant.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Categories may be new, and numbers
            missing where ``fit`` allows it.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            For two classes, the log-odds of ``classes_[1]``; for multilabel y, those of each label.
            With several members, those of the mean probabilities.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
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
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Categories may be new, and numbers
            missing where ``fit`` allows it.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels of ``classes_``; for multilabel y, 1 where a label is more probable than not.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
        """
        scores = self.decision_function(X, **as_keyword(offset))
        return self._task.labels.decode(scores)

    def predict_proba(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Probabilities of the classes, as they are in the weighted training data.

        Class weights and logit adjustment are part of the weights, so that
        ``class_weight="balanced"`` makes rare classes more probable than they are;
        ``correct_prior=True`` removes this.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
            With the columns of ``fit``, in the same order. Categories may be new, and numbers
            missing where ``fit`` allows it.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Columns in the order of ``classes_``; for multilabel y, the probability of each
            label.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
        """
        X, of_rows = self._read(X, offset)
        return self._values(self.nets_, X, of_rows)

    def predict_log_proba(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[np.float64]:
        """Logarithms of the probabilities of :meth:`predict_proba`, all finite.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed after a fit with an offset, whose shape it has.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If X or offset is not as described.
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
        """Weighted accuracy; for multilabel y, the weighted share of rows with all labels right.

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
