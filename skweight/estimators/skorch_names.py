"""What to use instead of parameters, attributes and methods that only skorch's nets have.

``docs/from_skorch.md`` has the same as a table.
"""

from collections.abc import Mapping
from typing import Any

import torch

# Parameters by their names, or by what comes before the double underscore.
_PARAMETERS = {
    "iterator_train__batch_size": "pass batch_size",
    "iterator_train__shuffle": "leave it out, since rows are shuffled in every epoch",
    "iterator_train__drop_last": "leave it out, since every row is used in every epoch",
    "iterator_train__sampler": 'pass weighting="sampling", and the weights as sample_weight to fit',
    "iterator_train": "leave it out, since batches are taken from X without a DataLoader; their "
    'size is batch_size, and weighting="sampling" draws rows by their weights',
    "iterator_valid": "leave it out, since validation rows and rows to predict are taken in large "
    "batches, whose size changes no result",
    "train_split": "pass early_stopping=True with validation_fraction for ValidSplit, X_val and "
    "y_val to fit for predefined_split, or early_stopping=False for None",
    "dataset": "leave it out, and pass arrays, tensors or DataFrames to fit",
    "predict_nonlinearity": "leave it out, since predict_proba knows what the criterion's scores "
    "mean; a module returns raw scores",
    "classes": "leave it out, since fit finds the labels in y; partial_fit takes classes",
    "threshold": "wrap the estimator in sklearn.model_selection.FixedThresholdClassifier",
    "use_caching": "leave it out, since scores in callbacks use the outputs of the epoch",
    "torch_load_kwargs": "leave it out; joblib.dump saves a fitted estimator",
    "compile": "pass compile=True alone",
    "history": "leave it out; after a fit it is history_",
    "callbacks__print_log": "pass verbose=0 or verbose=1",
    "callbacks__valid_acc": "leave it out: an EpochScoring among callbacks records an accuracy",
    **dict.fromkeys(
        ("callbacks__train_loss", "callbacks__valid_loss", "callbacks__epoch_timer"),
        "leave it out: losses and times are recorded by the training itself",
    ),
}
_CLASS_WEIGHT = "pass class_weight, which takes a dict of labels, and balances over all rows"
_SAVE = "joblib.dump and joblib.load keep the whole estimator, {name} of net_ the parameters alone"
_LOSS = "pass a criterion, which returns one loss per row, and the weights of rows to fit"
_CALLBACK = "write a skorch Callback and pass it in callbacks"
_ATTRIBUTES = {
    "history": "use history_",
    "criterion_": "use net_.criterion_",
    "optimizer_": "use net_.optimizer_, which is not pickled",
    "callbacks_": "use net_.callbacks_",
    "initialize": "leave it out, since fit makes the network",
    "initialized_": "use sklearn.utils.validation.check_is_fitted",
    **{name: _SAVE.format(name=name) for name in ("save_params", "load_params")},
    **dict.fromkeys(
        ("forward", "forward_iter", "infer", "evaluation_step"),
        "use module_(tensor) for the raw output, or decision_function or predict_proba",
    ),
    "check_data": "leave it out, since fit checks X and y",
    "check_is_fitted": "use sklearn.utils.validation.check_is_fitted",
    "get_all_learnable_params": "use module_.named_parameters()",
    "notify": _CALLBACK,
    "predict_proba": "use predict",  # of regressors
    "trim_for_prediction": "leave it out; joblib.dump leaves out callbacks and, but for "
    "partial_fit, the optimizer",
}
# Methods that skorch calls, and that a subclass here would write in vain.
_HOOKS = {
    "get_loss": _LOSS,
    **dict.fromkeys(
        ("train_step", "train_step_single", "validation_step", "run_single_epoch", "fit_loop"),
        f"{_LOSS}; {_CALLBACK} for what is done in each epoch or batch",
    ),
    "infer": "give the module a forward that takes X, or a dict of inputs",
    "get_dataset": "pass arrays, tensors or DataFrames to fit",
    "get_iterator": _PARAMETERS["iterator_train"],
    "get_split_datasets": "pass X_val and y_val to fit",
    "initialize_module": "pass a function as module",
    "initialize_criterion": "pass a function as criterion",
    "initialize_optimizer": "pass a function as optimizer, or optimizer__param_groups",
    "initialize_callbacks": "pass callbacks",
    "initialize_history": "read history_ after the fit",
    "initialize_virtual_params": "pass parameters of the module, criterion or optimizer",
    "initialized_instance": "pass a class, or a function, as module or criterion",
    "check_training_readiness": "leave it out, since a fitted estimator can always be fitted again",
    "torch_compile": "pass compile=True",
    **dict.fromkeys(
        ("get_params_for", "get_params_for_optimizer"),
        "pass module__*, criterion__* and optimizer__*, such as optimizer__param_groups",
    ),
    "get_train_step_accumulator": "leave it out, since the loss of a batch is the first one that "
    "the optimizer computes for it",
    "get_default_callbacks": "pass callbacks",
    **dict.fromkeys(
        (
            *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
            *("on_batch_begin", "on_batch_end", "on_grad_computed"),
        ),
        _CALLBACK,
    ),
}


def parameter_instead(name: str) -> str:
    """What to write instead of a parameter of skorch's nets; empty if it is none."""
    prefix = name.partition("__")[0]
    for iterator in ("iterator_train", "iterator_valid"):  # also with one underscore
        prefix = iterator if name.startswith(iterator) else prefix
    if prefix == name == "compile":
        return ""
    callback = "__".join(name.split("__")[:2])
    known = [found for found in (name, callback, prefix) if found in _PARAMETERS]
    return _PARAMETERS[known[0]] if known else ""


def attribute_instead(name: str) -> str:
    """What to use instead of an attribute of skorch's nets; empty if it is none."""
    return _ATTRIBUTES.get(name, _HOOKS.get(name, ""))


def refuse_class_weights_of_skorch(params: Mapping[str, Any], estimator: str) -> None:
    """Refuse weights of classes for a criterion that has none of its own."""
    criterion = params.get("criterion")
    for name in ("criterion__weight", "criterion__pos_weight"):
        if (
            name in params
            and "class_weight" in params
            and (criterion is None or isinstance(criterion, str))
        ):
            raise ValueError(
                f"Unknown parameter {name!r} of {estimator} with criterion={criterion!r}: "
                f"{_CLASS_WEIGHT}."
            )


def refuse_hooks(estimator: Any) -> None:
    """Refuse a subclass with a method that skorch would call, and that nobody calls here."""
    kind = type(estimator)
    for name, instead in _HOOKS.items():
        if hasattr(kind, name):
            raise TypeError(
                f"{kind.__name__}.{name} would never be called: it is a method of skorch's nets. "
                f"Instead, {instead}."
            )


def refuse_datasets(X: Any) -> None:
    """Refuse torch's data sets and loaders, whose rows cannot be weighed and merged as arrays."""
    kinds = (torch.utils.data.Dataset, torch.utils.data.DataLoader)
    if isinstance(X, kinds) or type(X).__name__ == "SliceDataset":  # skorch's, a sequence of rows
        raise TypeError(
            "X must be an array, a tensor, a DataFrame or a dict of arrays, got "
            f"{type(X).__name__}: pass what it is made of, such as dataset.X and dataset.y of a "
            "skorch Dataset, X, y = dataset.tensors of a TensorDataset, or np.asarray of a "
            "SliceDataset. An np.memmap of a file is never loaded whole."
        )
