"""Attributes that an estimator does not have: why, or what to use instead."""

from skweight.estimators.skorch_names import attribute_instead

_OF_MEMBERS = "a fit of several members (n_members) makes it, unless it is stopped"
_INSTEAD = {
    **dict.fromkeys(("oof_prediction_", "oof_score_"), _OF_MEMBERS),
    # Of scikit-learn's MLP and boosted trees, of xgboost and of lightgbm.
    **dict.fromkeys(("loss_curve_", "loss_", "train_score_"), 'use history_frame()["train_loss"]'),
    **dict.fromkeys(
        ("validation_scores_", "validation_score_", "evals_result_"),
        'use history_frame()["valid_loss"]',
    ),
    **dict.fromkeys(("best_iteration", "best_iteration_"), "use best_epoch_"),
    **dict.fromkeys(("best_score", "best_score_", "best_validation_score_"), "use best_loss_"),
    **dict.fromkeys(("coefs_", "intercepts_", "coef_", "intercept_"), "use module_.parameters()"),
    "feature_importances_": "use sklearn.inspection.permutation_importance",
}


def reason_of_missing(name: str, estimator: str) -> str:
    """The error for an attribute of other libraries, or of other fits; empty if it is neither."""
    if instead := attribute_instead(name):
        return f"{estimator} has no {name!r} as skorch's nets have: {instead}."
    return f"{estimator} has no {name!r}: {_INSTEAD[name]}." if name in _INSTEAD else ""
