"""Whether an estimator has a fit of its own.

Searches and replicates are trained past ``fit``, from plans. A subclass that changes ``fit``, or
anything that a fit calls, must therefore be trained by its own ``fit``.
"""

import inspect
from typing import Any

from sklearn.pipeline import Pipeline

# What skweight's estimators have for other purposes than a fit; all else counts as part of it.
_NOT_USED_BY_FIT = {
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "score"),
    *("partial_fit", "_partial_fit", "_find_partial_task", "_read"),
    *("predict_members", "net_", "to_module", "to_onnx", "encode_columns", "category_codes_"),
    *("best_epoch_", "best_loss_", "history_frame"),
    *("module_", "history_", "n_iter_", "feature_weights_", "_criterion_for_tags"),
    *("set_fit_request", "set_partial_fit_request", "set_predict_request", "set_score_request"),
    *("set_predict_proba_request", "set_predict_log_proba_request"),
    *("set_decision_function_request", "_doc_link_module", "_doc_link_template"),
    "_get_params_html",
}
_USED_BY_FIT_OF_PIPELINE = {
    *("_fit", "_iter", "_final_estimator", "_validate_steps", "_check_method_params"),
    *("get_params", "set_params"),
}
_USED_BY_EVERY_FIT = {"fit", "__getattribute__", "__setattr__"}
# Their pipelines fit one step after the other, as the search does.
_KNOWN_PACKAGES = ("skweight", "sklearn", "imblearn")


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
