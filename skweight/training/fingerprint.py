"""What tells one fit from another, so that a file is not taken for that of the same fit."""

import hashlib
import re
from typing import Any

import torch
from skorch.callbacks import Checkpoint, LoadInitState, TrainEndCheckpoint
from torch import nn

from skweight._keywords import name_of
from skweight.data import digests
from skweight.training.checkpoint import TrainingCheckpoint
from skweight.training.plan import Training
from skweight.training.structure import structure

# Their parameters are names of files, which change nothing in a training.
_OF_FILES = (TrainingCheckpoint, Checkpoint, TrainEndCheckpoint, LoadInitState)
# What digests of rows are called in errors.
_NAMES = {
    "X": "X",
    "y": "y (less any offset)",
    "weights": "the weights (sample_weight, class_weight)",
    "offset": "the offset",
}


def fingerprint(net: Any, training: Training) -> dict[str, dict[str, str]]:
    """Settings as text, and digests of what is too long for that, by names that users know.

    The net is made and not yet trained.
    """
    long = {
        **_rows(training),
        "the layers of the network": structure(net.module_),
        "the initial values of the network": _sizes(net.module_),
        "the criterion": f"{structure(net.criterion_)} {name_of(net.criterion_.criterion)}",
        "the other callbacks": _describe_callbacks(net),
    }
    return {
        "settings": {name: _text(value) for name, value in _settings(net, training).items()},
        "digests": {
            name: hashlib.blake2b(_text(value).encode(), digest_size=16).hexdigest()
            for name, value in long.items()
        },
    }


def _settings(net: Any, training: Training) -> dict[str, Any]:
    options, valid_rows = training.options, training.valid_rows
    names = ("lr", "weighting", "n_iter_no_change", "tol", "compile")
    return {
        **{name: getattr(options, name) for name in names},
        **{name: getattr(net, name) for name in ("batch_size", "ema_decay")},
        "seed of random_state": options.seed,
        "device": torch.device(net.device).type,
        "optimizer": net.optimizer,
        **{k: v for k, v in vars(net).items() if k.startswith("optimizer__")},
        "number of training rows": len(training.rows),
        "number of validation rows": 0 if valid_rows is None else len(valid_rows),
    }


def _rows(training: Training) -> dict[str, str]:
    """Digests of training and validation rows in one."""
    parts = [digests(training.rows)]
    if training.valid_rows is not None:
        parts.append(digests(training.valid_rows))
    return {_NAMES[name]: " ".join(part[name] for part in parts) for name in parts[0]}


def differences(before: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> list[str]:
    """What differs between two fits, for people."""
    old, new = before["settings"], now["settings"]
    found = [
        f"{name} was {old.get(name, 'not given')}, now it is {new.get(name, 'not given')}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    old, new = before["digests"], now["digests"]
    return found + [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _describe_callbacks(net: Any) -> str:
    """Names, classes and parameters of the user's callbacks."""
    return repr(
        [
            (name, type(callback).__qualname__, _parameters(callback))
            for name, callback in net.callbacks_
            if not (isinstance(callback, TrainingCheckpoint) or name.startswith("_"))
        ]
    )


def _parameters(callback: Any) -> Any:
    if isinstance(callback, _OF_FILES) or not hasattr(callback, "get_params"):
        return ()
    return sorted((name, _text(value)) for name, value in callback.get_params(deep=False).items())


def _sizes(module: nn.Module) -> str:
    """Norms of tensors to four digits: another processor may round the last ones differently."""
    norms = {name: t.detach().double().norm().item() for name, t in module.state_dict().items()}
    return repr({name: f"{norm:.3e}" for name, norm in norms.items()})


def _text(value: Any) -> str:
    """A text that is the same in every process: without addresses of objects."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", value if isinstance(value, str) else repr(value))
