"""Which part of an estimator a search trains, and whether that has a fit of its own.

Stacks are trained past ``fit``, from plans. A subclass that changes ``fit``, or anything that
a fit calls, is therefore trained by its own ``fit``.
"""

import inspect
from typing import Any

from sklearn.pipeline import Pipeline

from skweight.estimators import TorchEstimator

# What skweight's estimators have for other purposes than a fit; all else counts as part of it.
_NOT_USED_BY_FIT = {
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "score"),
    *("partial_fit", "_partial_fit", "_find_partial_task", "_read"),
    *("predict_members", "net_"),
    *("module_", "history_", "n_iter_", "feature_weights_", "_criterion_for_tags"),
    *("set_fit_request", "set_partial_fit_request", "set_predict_request", "set_score_request"),
    *("set_predict_proba_request", "set_predict_log_proba_request"),
    "set_decision_function_request",
}
_USED_BY_FIT_OF_PIPELINE = {
    *("_fit", "_iter", "_final_estimator", "_validate_steps", "_check_method_params"),
    *("get_params", "set_params"),
}
_USED_BY_EVERY_FIT = {"fit", "__getattribute__", "__setattr__"}
# Their pipelines fit one step after the other, as the search does.
_KNOWN_PACKAGES = ("skweight", "sklearn", "imblearn")


def last_step(estimator: Any, name: str = "estimator") -> tuple[Any, str]:
    """The skweight estimator in ``estimator``, and the prefix that its parameters have there."""
    is_pipeline = isinstance(estimator, Pipeline) and bool(estimator.steps)
    step_name, step = estimator.steps[-1] if is_pipeline else ("", estimator)
    if not isinstance(step, TorchEstimator):
        found = f" whose last step is {type(step).__name__}" if is_pipeline else ""
        raise TypeError(
            f"{name} must be a WeightedTorchClassifier or WeightedTorchRegressor, or a Pipeline "
            f"whose last step is one of them, got {type(estimator).__name__}{found}. For other "
            "estimators use sklearn.model_selection.GridSearchCV."
        )
    return step, f"{step_name}__" if is_pipeline else ""


def trained_part(estimator: Any) -> tuple[Any, str]:
    """What is trained for each candidate and split, and the prefix of its parameters.

    It is the last step of a pipeline, behind transformers that candidates share. A pipeline with
    a fit of its own is trained as a whole.
    """
    if isinstance(estimator, Pipeline) and overrides(estimator):
        return estimator, ""
    return last_step(estimator)


def overrides(estimator: Any) -> str:
    """What an estimator or its class overrides of its fit, in words; empty if nothing.

    Methods that predict and the constructor are no part of a fit.
    """
    kind = type(estimator)
    names = [
        name
        for name in sorted(_used_by_fit(estimator))
        if name in vars(estimator) or _is_overridden(kind, name)
    ]
    names += [name for name in _parameters(kind) if _is_property(kind, name)]
    return f"{kind.__name__} overrides {' and '.join(names)}" if names else ""


def _used_by_fit(estimator: Any) -> set[str]:
    if isinstance(estimator, Pipeline):
        return _USED_BY_FIT_OF_PIPELINE | _USED_BY_EVERY_FIT
    own = [vars(kind) for kind in type(estimator).__mro__ if _package(kind) == "skweight"]
    names = {name for attributes in own for name in attributes if not name.startswith("__")}
    return names - _NOT_USED_BY_FIT | _USED_BY_EVERY_FIT


def _is_overridden(kind: type, name: str) -> bool:
    """Whether a class of the user is the first of the bases that has the name."""
    first = next((base for base in kind.__mro__ if name in vars(base)), object)
    return first is not object and _package(first) not in _KNOWN_PACKAGES


def _parameters(kind: type) -> list[str]:
    """Names that the constructor of the first known class among the bases stores."""
    known = next(base for base in kind.__mro__ if _package(base) in _KNOWN_PACKAGES)
    parameters = inspect.signature(known).parameters.values()
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]


def _is_property(kind: type, name: str) -> bool:
    return inspect.isdatadescriptor(inspect.getattr_static(kind, name, None))


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]
