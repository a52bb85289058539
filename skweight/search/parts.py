"""Which part of an estimator a search trains."""

from typing import Any

from sklearn.pipeline import Pipeline

from skweight.estimators import TorchEstimator, overrides


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
