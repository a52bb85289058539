"""The classes that a file of skops may name without a reason to distrust it.

skops calls a class or function by the name that a file gives, with arguments from the file. A
prefix such as "skweight." is therefore no safe rule: a module's names include all that it imports,
and ``restore_definition`` of a pickle runs code. Only whole names say what is called.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

# All of them are given their attributes and nothing else: none opens files or runs code.
_SKWEIGHT = """
data.encoding: ColumnCodes Encoding
ensembles.replicates: ReplicateEstimator
estimators.class_task: ClassTask Labels
estimators.classifier: WeightedTorchClassifier
estimators.number_task: NumberTask Units
estimators.planning: PartialFits
estimators.regressor: WeightedTorchRegressor
losses.base: Traits
losses.classification: ClassLink CrossEntropy Focal PolyTailed
losses.regression: AbsoluteError GammaDeviance GaussianNLL Huber PoissonDeviance Quantile
    SquaredError TweedieDeviance
losses.row_loss: NumberLink RowLoss
modules.bins: PiecewiseLinear
modules.columns: Columns
modules.embeddings: CategoryEmbedding
modules.feature_weights: EncodedFeatureWeight FeatureWeight WeightedLinear
modules.indicators: CategoryIndicators ValueIndicators
modules.mlp: MLP
search.search_cv: RandomizedWeightSearchCV WeightSearchCV
training.net: WeightedClassifierNet WeightedRegressorNet
training.saved: SavedDict SavedDtype SavedObject SavedTensor
"""
# What a search and calibration need beside the estimator; skops knows most of scikit-learn itself.
_OTHERS = [
    "datetime.date",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "torch.optim.adamw.AdamW",
]


def skops_types(*own: Any) -> list[str]:
    """Return the classes that skops may make when it opens a saved model.

    For the argument ``trusted`` of ``skops.io.load``, which refuses a file that names anything
    else.

    Parameters
    ----------
    *own : class or function
        What you have passed to the estimator: a module, a criterion, an optimizer.

    Returns
    -------
    list of str
        Full names of classes of skweight, of the layers and losses of torch, of some that searches
        of scikit-learn use, and of your own. None but your own open files or run code of the file.

    Raises
    ------
    TypeError
        If one of ``own`` is neither a class nor a function.

    Examples
    --------
    >>> from skweight import skops_types
    >>> "skweight.modules.mlp.MLP" in skops_types()
    True

    With skops installed, ``skops.io.load("model.skops", trusted=skops_types())`` opens a model, and
    ``trusted=skops_types(Net)`` one with the module ``Net``.
    """
    for given in own:
        if not inspect.isclass(given) and not inspect.isfunction(given):
            raise TypeError(f"own must be classes or functions, got {given!r}.")
    classes = [kind for _, kind in inspect.getmembers(nn, inspect.isclass)]
    layers = [kind for kind in classes if kind.__module__.startswith("torch.nn.modules.")]
    names = {f"{named.__module__}.{named.__qualname__}" for named in [*layers, *own]}
    return sorted([*names, *_of_skweight(), *_OTHERS])


def _of_skweight() -> Iterator[str]:
    for line in _SKWEIGHT.replace("\n    ", " ").strip().splitlines():
        module, names = line.split(":")
        yield from (f"skweight.{module}.{name}" for name in names.split())
