"""Classes and functions that other processes cannot import: those of a notebook or a function.

A pickle refers to a class by module and name. In a file that is opened elsewhere the name of a
notebook's class leads nowhere, so the code of such a class goes into the file beside its name.
"""

import importlib
import io
import sys
from functools import reduce
from types import FunctionType
from typing import Any

import numpy as np

from skweight._keywords import warn

try:  # the one that joblib's processes use
    from joblib.externals import cloudpickle  # before joblib 1.6
except ImportError:
    import cloudpickle

# Code seldom refers to arrays as large as this; if it does, they may be data.
_LARGEST_CONSTANT = 100


def is_importable(definition: Any) -> bool:
    """Whether a class or function can be imported by module and name in another process."""
    module, name = definition.__module__, definition.__qualname__
    if module == "builtins":  # where some are that have no name, such as the class of None
        return True
    if module == "__main__" or "." in name:
        return False
    # Not by ``hasattr``: some modules import what they are asked for.
    return vars(sys.modules.get(module, object)).get(name) is definition


class Definition:
    """A class or function that cannot be imported, as a file holds it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickles: the name, and the code unless the name is enough."""
        module, name = self.value.__module__, self.value.__qualname__
        known = _look_up(module, name)
        is_enough = known is self.value and module != "__main__"
        code = None if is_enough else _code_of(self.value)
        is_other = known is not None and known is not self.value
        return restore_definition, (module, name, is_other, code, _python())

    def __getstate__(self) -> Any:
        """Refuse libraries that store classes by name only, such as skops."""
        raise TypeError(
            f"{_describe(self.value.__module__, self.value.__qualname__)}, so that it cannot be "
            f"saved without its code, as skops does. {_REMEDY} pickle and joblib can save it."
        )

    def __deepcopy__(self, memo: Any) -> "Definition":
        """Classes and functions are not copied."""
        return self


_REMEDY = (
    "Put it at the top level of a .py file, import it from there, and fit and save the model again."
)


def restore_definition(
    module: str, name: str, is_other: bool, code: bytes | None, python: str
) -> Definition:
    """What was saved, by its name if it is known here, else by its code.

    ``is_other`` says that the name meant something else when this was saved, as in a notebook whose
    cell was changed and run again.
    """
    found = None if is_other else _look_up(module, name)
    if found is not None:
        return Definition(found)
    where = f"{_describe(module, name, 'was')} when the model was saved, and is not known here"
    if code is None:
        raise ImportError(f"{where}. {_REMEDY} Or define it here before the model is loaded.")
    try:
        return Definition(cloudpickle.loads(code))
    except Exception as error:
        raise ImportError(
            f"{where}. The file has its code, from Python {python}, but it cannot be used here, in "
            f"Python {_python()}: {type(error).__name__}: {error}. {_REMEDY}"
        ) from error


def _look_up(module: str, name: str) -> Any:
    """What a module calls by this name; None if there is no such thing."""
    try:
        if module != "__main__":
            importlib.import_module(module)
        return reduce(getattr, name.split("."), sys.modules[module])
    except (ImportError, AttributeError, KeyError):
        return None


def _describe(module: str, name: str, verb: str = "is") -> str:
    """``Net is defined in a notebook or script (__main__)``."""
    where = "a notebook or script (__main__)" if module == "__main__" else f"{module}"
    return f"{name} {verb} defined in {where}"


def _python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _code_of(definition: Any) -> bytes | None:
    """The code with all that it refers to; None if that cannot be saved, and only the name is."""
    buffer = io.BytesIO()
    pickler = _CodePickler(buffer)
    try:
        pickler.dump(definition)
    except Exception:
        return None
    if pickler.data:
        warn(
            f"The code of {definition.__qualname__} refers to {pickler.data[0]}, which is saved "
            "with it. If that is data, pass what is needed of it as an argument instead."
        )
    return buffer.getvalue()


class _CodePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Saves code, and notes arrays and tables that it refers to."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.data: list[str] = []

    def reducer_override(self, obj: Any) -> Any:
        """Called for every object but the simplest."""
        shape = () if isinstance(obj, type | FunctionType) else getattr(obj, "shape", ())
        if isinstance(shape, tuple) and shape and np.prod(shape) >= _LARGEST_CONSTANT:
            self.data.append(f"a {type(obj).__name__} of shape {tuple(shape)}")
        return super().reducer_override(obj)
