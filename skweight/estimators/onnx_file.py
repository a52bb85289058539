"""ONNX files of fitted estimators, by the exporter of torch."""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from skweight.estimators.exported import to_module
from skweight.training import whole_file

DEFAULT_OPSET = 18  # the first one that the exporter of torch writes without converting


def write_onnx(estimator: Any, path: Any, opset_version: int) -> None:
    """Write the module of an estimator to a file."""
    try:
        target = Path(os.fsdecode(path))
    except TypeError as error:
        raise TypeError(
            f"path must be a str or path-like object, got {type(path).__name__}."
        ) from error
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(
            f"path must be that of a file in a folder that exists, got {os.fsdecode(path)!r}."
        )
    is_integer = isinstance(opset_version, Integral) and not isinstance(opset_version, bool)
    if not is_integer or opset_version < DEFAULT_OPSET:
        raise ValueError(
            f"opset_version must be an integer >= {DEFAULT_OPSET}, got {opset_version!r}."
        )
    _check_installed()
    inputs = _example(estimator)
    with _quiet():
        program = torch.onnx.export(
            _exported(estimator, inputs),
            dynamo=True,
            opset_version=int(opset_version),
            input_names=["X", "offset"][: len(inputs)],
            output_names=["probabilities" if is_classifier(estimator) else "predictions"],
            verbose=False,
        )
    assert program is not None  # it is None if torch writes the file itself
    if program.model.opset_imports[""] != opset_version:  # torch falls back to another one
        raise ValueError(
            "opset_version must be one that the installed onnx and onnxscript can write, got "
            f"{opset_version}. Leave it out for {DEFAULT_OPSET}."
        )
    program.model.metadata_props.update(_names(estimator))
    with whole_file(target) as written:
        program.save(written, external_data=False)


def _exported(estimator: Any, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """The module for any number of rows: torch.onnx.export alone would settle for two of them."""
    n_rows = torch.export.Dim("n_rows", min=1)
    try:
        return torch.export.export(
            to_module(estimator), inputs, dynamic_shapes=tuple({0: n_rows} for _ in inputs)
        )
    except Exception as error:  # of many kinds
        raise ValueError(
            "module cannot be written to a file, because torch.export does not understand it for "
            "any number of rows. Its forward must consist of tensor operations that do not depend "
            f"on values, with X.shape[0] in place of len(X): {error}"
        ) from error


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the packages onnx and onnxscript: pip install 'skweight[onnx]' "
            f"({error})"
        ) from error


def _example(estimator: Any) -> tuple[Tensor, ...]:
    """Two rows of zeros, by which the exporter learns shapes."""
    shape = estimator._row_shape
    if isinstance(shape, Mapping):
        raise ValueError(
            "to_onnx cannot name the inputs of a module that takes a dict, got the inputs "
            f"{[*shape]}. Export to_module() with torch.onnx.export and an example of the dict."
        )
    X = torch.zeros(2, *shape, dtype=torch.float64)
    if not estimator._task.has_offset:
        return (X,)
    return X, torch.zeros(2, estimator._task.n_offsets, dtype=torch.float64)


def _names(estimator: Any) -> dict[str, str]:
    """What the numbers in the file mean, as JSON: columns, codes of categories and classes.

    The codes of a column are pairs, since keys in JSON are texts, and labels need not be.
    """
    names: dict[str, Any] = {}
    if hasattr(estimator, "feature_names_in_"):
        names["columns"] = estimator.feature_names_in_.tolist()
    codes = estimator.category_codes_
    names["category_codes"] = [[name, [*found.items()]] for name, found in codes.items()]
    if is_classifier(estimator):
        names["classes"] = estimator.classes_
    return {name: json.dumps(value, default=_plain) for name, value in names.items()}


def _plain(value: Any) -> Any:
    """Arrays and numbers of NumPy as those of Python; other labels, such as dates, as text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of and logs what users can do nothing about."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
