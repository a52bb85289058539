"""Errors of memory that say what takes less of it."""

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from skweight._keywords import is_out_of_memory
from skweight.training.defaults import resolve_batch_size
from skweight.training.plan import Training

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
_KINDS = (torch.OutOfMemoryError, MemoryError, RuntimeError)


@contextmanager
def if_out_of_memory(advice: str) -> Iterator[None]:
    """Raise an out-of-memory error again, with advice, as one that the same ``except`` catches."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        kind = next(kind for kind in _KINDS if isinstance(error, kind))
        raise kind(f"Out of memory: {advice} {str(error) or type(error).__name__}") from error


def advised_if_out_of_memory(
    advice: str,
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Decorate a function with :func:`if_out_of_memory`.

    As a decorator, that would put a function of the standard library between those of this package,
    which :func:`~skweight._keywords.warn` would take for the user's.
    """

    def decorate(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        @wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
            with if_out_of_memory(advice):
                return function(*args, **kwargs)

        return call

    return decorate


@contextmanager
def if_process_is_killed(n_jobs: Any) -> Iterator[None]:
    """Raise joblib's error of a process that was killed again, and name ``n_jobs`` in it."""
    try:
        yield
    except BrokenProcessPool as error:
        raise type(error)(
            f"A process of n_jobs={n_jobs} ended, most likely killed because memory ran out: lower "
            f"n_jobs. {error}"
        ) from error


def lower_batch_size(training: Training, *others: str) -> str:
    """The advice to lower another parameter or the batch size, which changes the results."""
    n_rows = resolve_batch_size(training.options.batch_size, len(training.rows))
    return f"lower {' or '.join([*others, f'batch_size, which is {n_rows} here'])}."
