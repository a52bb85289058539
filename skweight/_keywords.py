"""What every package uses: checks of keywords and values, hints, warnings, type aliases."""

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import lru_cache, partial, wraps
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

if sys.version_info >= (3, 11):
    from typing import Self as Self
else:
    from typing_extensions import Self as Self  # also at run time: get_type_hints looks it up

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Auto = Literal["auto"]
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
# Warnings are shown at the first line outside of these packages: the user's, or scikit-learn's.
_OWN_PACKAGES = ("skweight", "skorch", "torch")
_SHOWN: set[type[Warning]] = set()  # categories that were shown once
_ARE_SHOWN = ContextVar("_ARE_SHOWN", default=True)  # whether a thread shows warnings


class HasArray(Protocol):
    """An array, a series or an index. A str, which is a sequence of str, is none."""

    def __array__(self) -> NDArray[Any]:
        """As an array."""


def check_keywords(function: Callable[..., Any], params: Mapping[str, Any], prefix: str) -> None:
    """Refuse ``prefix__*`` parameters that ``function`` does not take, naming the nearest."""
    if not params:
        return
    try:
        parameters = parameters_of(function).values()
    except ValueError:  # some builtins have no signature: the call itself will tell
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in params:
        if name not in known:
            hint = did_you_mean(name, {k: f"{prefix}__{k}" for k in known})
            text = f"{prefix} {name_of(function)} takes {known}."
            raise ValueError(f"{hint} Unknown parameter {prefix}__{name}: {text}".strip())


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Parameters by name; classes are looked at once, since many fits name the same."""
    return _of_class(function) if isinstance(function, type) else _parameters(function)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


_of_class = lru_cache(maxsize=32)(_parameters)


def name_of(function: Any) -> str:
    """Name of a function, class or object, through partials."""
    function = unwrap(function)[0]
    return str(getattr(function, "__name__", type(function).__name__))


def unwrap(function: Any) -> tuple[Any, dict[str, Any]]:
    """The function inside of partials, and the keywords that they hold."""
    keywords: dict[str, Any] = {}
    while isinstance(function, partial):
        function, keywords = function.func, {**function.keywords, **keywords}
    return function, keywords


def did_you_mean(name: str, known: Iterable[str] | Mapping[str, Any], cutoff: float = 0.6) -> str:
    """A hint at the nearest known name, or what it maps to; empty if none is near."""
    shown = known if isinstance(known, Mapping) else {k: k for k in known}
    near = get_close_matches(name, [*shown], n=1, cutoff=cutoff)
    return f" Did you mean {shown[near[0]]!r}?" if near else ""


def is_integer(value: Any, least: int) -> bool:
    """Whether a value is an integer of Python or NumPy, no bool, and at least so large."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def as_real(value: Any) -> float:
    """A real number, which no bool is, as a float; NaN if it is none or too large."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def is_flag(value: Any) -> bool:
    """Whether a value is True or False."""
    return isinstance(value, (bool, np.bool_))


def check_flag(value: Any, name: str) -> bool:
    """Return a value that is True or False; ``name`` is what the error calls it."""
    if not is_flag(value):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_choice(value: Any, choices: Iterable[str], name: str) -> None:
    """Refuse what is none of the texts that may be chosen, naming the nearest."""
    known = [*choices]
    if not isinstance(value, str) or value not in known:
        hint = did_you_mean(str(value), known)
        raise ValueError(f"{name} must be one of {known}, got {value!r}.{hint}")


def divide(values: NDArray[Any], divisor: Any) -> NDArray[Any]:
    """``values / divisor``. NumPy 1 reports an overflow where the divisor is subnormal."""
    with np.errstate(over="ignore"):
        return np.asarray(values / divisor)


def underflow_is_zero(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Decorate a function in which numbers may become too small, whatever ``np.seterr`` says.

    A weight that is 1e-320 of another is 0 to every sum. ``np.errstate`` is itself a decorator, but
    before NumPy 2 one whose calls from several threads restore each other's settings.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        with np.errstate(under="ignore"):
            return function(*args, **kwargs)

    return call


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch says that memory has run out.

    torch raises ``torch.OutOfMemoryError`` on a GPU, and a plain RuntimeError elsewhere.
    """
    if isinstance(error, MemoryError):
        return True
    is_of_torch = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    texts = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and (
        is_of_torch or any(text in str(error) for text in texts)
    )


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called skweight, however deep the call is.

    Python 3.12 has ``skip_file_prefixes`` for this.
    """
    if not _ARE_SHOWN.get():
        return
    frame, level = inspect.currentframe(), 0
    while frame is not None and _is_inside(frame.f_globals):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)


@contextmanager
def shown_before() -> Iterator[None]:
    """Show none of this package's warnings again, in this thread.

    ``warnings.catch_warnings`` changes the filters of all threads. Two threads that leave it in the
    order in which they entered it leave the filters of the first one behind, for good.
    """
    token = _ARE_SHOWN.set(False)
    try:
        yield
    finally:
        _ARE_SHOWN.reset(token)


def warn_once(message: str, category: type[Warning]) -> None:
    """Warn as :func:`warn` does, but once in a process unless a filter names the category.

    Python's own "once" forgets what it has shown whenever filters change, which scikit-learn does
    in every fit and search.
    """
    is_filtered = any(
        issubclass(category, named) and (text is None or text.match(message))
        for _, text, named, _, _ in warnings.filters
    )
    if is_filtered:
        warn(message, category)
    elif category not in _SHOWN and _ARE_SHOWN.get():
        _SHOWN.add(category)
        warn(message, category)


def _is_inside(names: Mapping[str, Any]) -> bool:
    """Whether code is skweight's, or of the callbacks of scikit-learn that call ``fit`` for it."""
    module = str(names.get("__name__", ""))
    return module.partition(".")[0] in _OWN_PACKAGES or module.startswith("sklearn.callback.")
