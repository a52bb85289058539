"""The estimators that ``yardstick.py`` compares, each at its own defaults, alone and bagged.

Bagged estimators are trained eight times, each time without one of eight folds of the rows, and
their predictions are averaged. Where ``fit`` takes validation rows, that fold decides when to
stop. skweight and pytabkit do this themselves (``n_members=8`` and ``n_cv=8``).

Libraries that only this comparison needs are imported where they are used: the others can then
be looked at without them.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from defaults import Make, boosting, fit, linear, ours, scaled
from few_rows import take
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from tables import Rows

N_FOLDS = 8
PATIENCE = 50  # trees without progress on the validation rows

# --------------------------------------------------------------------------------------
# Boosted trees of other libraries, with one thread each
# --------------------------------------------------------------------------------------


def lightgbm(is_class: bool, seed: int) -> Any:
    """LightGBM."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMClassifier if is_class else LGBMRegressor)(random_state=seed, n_jobs=1, verbose=-1)


def xgboost(is_class: bool, seed: int) -> Any:
    """XGBoost."""
    from xgboost import XGBClassifier, XGBRegressor

    return (XGBClassifier if is_class else XGBRegressor)(random_state=seed, n_jobs=1)


def catboost(is_class: bool, seed: int) -> Any:
    """CatBoost."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    return (CatBoostClassifier if is_class else CatBoostRegressor)(
        random_state=seed, thread_count=1, verbose=False, allow_writing_files=False
    )


# --------------------------------------------------------------------------------------
# Networks of pytabkit
# --------------------------------------------------------------------------------------


class Unweighted:
    """An estimator whose ``fit`` takes no weights: it is trained without them."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
        """Fit without the weights."""
        self.model.fit(X, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict numbers."""
        return self.model.predict(X)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict probabilities."""
        return self.model.predict_proba(X)


def pytabkit(name: str, of_classes: dict[str, Any] | None = None, **params: Any) -> Make:
    """A network of pytabkit, such as ``RealMLP_TD``, with parameters for classes and for both."""

    def make(is_class: bool, seed: int) -> Unweighted:
        import pytabkit

        for logger in ("pytorch_lightning", "lightning.pytorch"):  # a line for each fit
            logging.getLogger(logger).setLevel(logging.ERROR)
        kind = getattr(pytabkit, f"{name}_{'Classifier' if is_class else 'Regressor'}")
        chosen = params | ((of_classes or {}) if is_class else {})
        return Unweighted(kind(device="cpu", random_state=seed, n_threads=1, **chosen))

    return make


# --------------------------------------------------------------------------------------
# Bagging
# --------------------------------------------------------------------------------------


class Bag:
    """Members that are each trained without one fold of the rows; the mean of their predictions.

    Parameters
    ----------
    members : list
        Estimators that were not fitted.
    is_class : bool
        Whether each fold gets its share of each class.
    fit_member : callable
        Called with a member, its training rows, and the rows that it is not trained on.
    """

    def __init__(
        self, members: list[Any], is_class: bool, fit_member: Callable[[Any, Rows, Rows], Any]
    ) -> None:
        self.members, self.fit_member = members, fit_member
        splitter = StratifiedKFold if is_class else KFold
        self.splitter = splitter(len(members), shuffle=True, random_state=0)

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
        """Fit each member."""
        rows = Rows(X, y, sample_weight)
        for member, (others, fold) in zip(self.members, self.splitter.split(X, y)):
            self.fit_member(member, take(rows, others), take(rows, fold))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict numbers."""
        return np.mean([member.predict(X) for member in self.members], axis=0)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict probabilities."""
        return np.mean([member.predict_proba(X) for member in self.members], axis=0)


def stop_lightgbm(model: Any, train: Rows, fold: Rows) -> None:
    """Fit LightGBM with validation rows."""
    from lightgbm import early_stopping

    model.fit(
        train.X,
        train.y,
        **train.weights,
        eval_set=[(fold.X, fold.y)],
        eval_sample_weight=None if fold.weight is None else [fold.weight],
        callbacks=[early_stopping(PATIENCE, verbose=False)],
    )


def stop_xgboost(model: Any, train: Rows, fold: Rows) -> None:
    """Fit XGBoost with validation rows."""
    model.set_params(early_stopping_rounds=PATIENCE)
    model.fit(
        train.X,
        train.y,
        **train.weights,
        eval_set=[(fold.X, fold.y)],
        sample_weight_eval_set=None if fold.weight is None else [fold.weight],
        verbose=False,
    )


def stop_catboost(model: Any, train: Rows, fold: Rows) -> None:
    """Fit CatBoost with validation rows."""
    from catboost import Pool

    of_fold = Pool(fold.X, fold.y, weight=fold.weight)
    model.fit(train.X, train.y, **train.weights, eval_set=of_fold, early_stopping_rounds=PATIENCE)


def stop_boosting(model: Any, train: Rows, fold: Rows) -> None:
    """Fit scikit-learn's gradient boosting with validation rows."""
    model.set_params(early_stopping=True)
    of_fold = {"X_val": fold.X, "y_val": fold.y, "sample_weight_val": fold.weight}
    model.fit(train.X, train.y, **train.weights, **of_fold)


def leave_out(model: Any, train: Rows, fold: Rows) -> None:
    """Fit an estimator that takes no validation rows."""
    fit(model, train)


def bagged(make: Make, fit_member: Callable[[Any, Rows, Rows], Any]) -> Make:
    """Eight of an estimator, each with a seed of its own."""

    def make_bag(is_class: bool, seed: int) -> Bag:
        members = [make(is_class, N_FOLDS * seed + k) for k in range(N_FOLDS)]
        return Bag(members, is_class, fit_member)

    return make_bag


# --------------------------------------------------------------------------------------
# All of them
# --------------------------------------------------------------------------------------

mlp = scaled(MLPClassifier, MLPRegressor)
OURS: dict[str, Make] = {"skweight": ours(), "skweight, 8 members": ours(n_members=N_FOLDS)}
PEERS: dict[str, Make] = {
    "linear": linear,
    "HistGradientBoosting": boosting,
    "LightGBM": lightgbm,
    "XGBoost": xgboost,
    "CatBoost": catboost,
    "MLP": mlp,
    "HistGradientBoosting, 8 folds": bagged(boosting, stop_boosting),
    "LightGBM, 8 folds": bagged(lightgbm, stop_lightgbm),
    "XGBoost, 8 folds": bagged(xgboost, stop_xgboost),
    "CatBoost, 8 folds": bagged(catboost, stop_catboost),
    "MLP, 8 folds": bagged(mlp, leave_out),
}
# They take no weights, and up to minutes for a fit. TabM with 8 folds would take five hours.
#
# The defaults of pytabkit are chosen for the share of wrong classes. Its documentation recommends
# others for RealMLP where the log-loss is measured. They are not measured for TabM: pytabkit 1.7.3
# computes the log-loss that stops TabM from probabilities as if they were scores.
FOR_LOG_LOSS = {"val_metric_name": "cross_entropy", "use_ls": False}
realmlp = partial(pytabkit, "RealMLP_TD")
SLOW: dict[str, Make] = {
    "RealMLP": realmlp(),
    "TabM": pytabkit("TabM_D"),
    "RealMLP for log-loss": realmlp(FOR_LOG_LOSS),
    "RealMLP for log-loss, 8 folds": realmlp(FOR_LOG_LOSS, n_cv=N_FOLDS),
}
CONTENDERS = OURS | PEERS | SLOW
