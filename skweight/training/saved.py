"""What is saved of a network: NumPy arrays, and a recipe that rebuilds it.

``pack`` turns the state of an object into plain Python values, arrays and objects of this file, and
``unpack`` turns these back. So libraries that look at every object they save, such as skops, can
save networks, and a network opens on another device.

pickle's own protocol, ``__reduce_ex__``, takes objects apart and says how they are put together:
modules that change their state for a pickle, such as ``nn.LSTM``, are saved as they want to be.
"""

import copy
import copyreg
import io
import pickle
from contextlib import suppress
from enum import Enum
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from skweight.training.definitions import Definition, is_importable
from skweight.training.torch_internals import add_parametrized_properties, is_compiled

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_OF_TORCH = (Tensor, nn.Module, torch.dtype, torch.device, torch.Size, torch.Generator)
# Where NumPy lacks a dtype of torch, integers of the same size hold its bits.
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def pack(value: Any) -> Any:
    """The value without anything of torch; what is not of torch is not copied."""
    return _Packer().pack(value)


def unpack(packed: Any) -> Any:
    """What :func:`pack` was given, on the CPU and with memory of its own."""
    return _Unpacker().unpack(packed)


def on_cpu(module: nn.Module) -> nn.Module:
    """Return the module if it lies on the CPU, else a copy that does."""
    if all(t.device.type == "cpu" for t in [*module.parameters(), *module.buffers()]):
        return module
    return copy.deepcopy(module).cpu()


# --------------------------------------------------------------------------------------
# What a file holds
# --------------------------------------------------------------------------------------


class SavedTensor:
    """A tensor or parameter: its numbers, and ``strides`` if they are not in C order."""

    strides: tuple[int, ...] | None = None
    requires_grad = False
    is_parameter = False
    attributes: Any = None  # that Python code has given it

    def __init__(self, tensor: Tensor) -> None:
        self.dtype = str(tensor.dtype).removeprefix("torch.")
        self.array = _as_numpy(tensor.detach().cpu().resolve_conj().resolve_neg())
        strides = torch.empty_like(tensor, device="meta").stride()
        if strides != torch.empty(tensor.shape, device="meta").stride():
            self.strides = strides
        if tensor.requires_grad:
            self.requires_grad = True
        if isinstance(tensor, nn.Parameter):
            self.is_parameter = True

    def make(self) -> Tensor:
        """The tensor, in memory of torch, whose alignment decides how sums are rounded."""
        shape, dtype = np.shape(self.array), _dtype(self.dtype)
        made = torch.empty(shape, dtype=dtype, device="cpu")
        if self.strides is not None:
            made = torch.empty_strided(shape, self.strides, dtype=dtype, device="cpu")
        np.copyto(_as_numpy(made), self.array)
        if self.is_parameter:
            return nn.Parameter(made, self.requires_grad)
        return made.requires_grad_(self.requires_grad)


class SavedObject:
    """An object, by its class and what pickle would keep of it.

    It is made by ``kind(*args)`` if it ``is_called``, else by ``kind.__new__(kind, *args)``.
    """

    kind: Any
    is_called = False
    args: tuple[Any, ...] = ()
    state: Any = None
    items: Any = ()  # of a list
    entries: Any = ()  # keys and values of a dict
    parametrized: tuple[str, ...] = ()  # tensors that ``torch.nn.utils.parametrize`` computes


class SavedDict:
    """A dict whose keys are not all strings, which formats like JSON do not keep apart."""

    def __init__(self, keys: list[Any], values: list[Any]) -> None:
        self.keys = keys
        self.values = values


class SavedDtype:
    """A dtype of torch."""

    def __init__(self, name: str) -> None:
        self.name = name


class Native:
    """A value that only pickle can save, and the ``reason``."""

    def __init__(self, value: Any, reason: str) -> None:
        self.value = value
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickles: the value itself."""
        return make_native, (self.value, self.reason)

    def __getstate__(self) -> Any:
        """Refuse libraries that save plain values only, such as skops."""
        raise TypeError(
            f"{type(self.value).__name__} can be saved by pickle and joblib only, because "
            f"{self.reason}. To save the model with skops, change that part of the network."
        )


def make_native(value: Any, reason: str) -> Native:
    """What :class:`Native` is loaded by."""
    return Native(value, reason)


class _NotPlain(Exception):
    """Part of a module cannot be packed; the message completes "because"."""


# --------------------------------------------------------------------------------------
# To plain values
# --------------------------------------------------------------------------------------


class _Packer:
    """Packs a graph of objects, in which each object is packed once."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, Any]] = {}  # with the object, so that ids stay its own
        self.is_in_module = False

    def pack(self, value: Any) -> Any:
        """A packed value, the same one for the same object."""
        if type(value) in _PLAIN or isinstance(value, np.generic):
            return value
        if id(value) in self.known:
            return self.known[id(value)][1]
        if isinstance(value, nn.Module) and not self.is_in_module:
            return self._pack_outermost(value)
        return self._pack_new(value)

    def _know(self, value: Any, packed: Any) -> Any:
        self.known[id(value)] = value, packed
        return packed

    def _pack_new(self, value: Any) -> Any:
        kind = type(value)
        if kind is dict:
            return self._pack_dict(value)
        if kind is list:
            packed = self._know(value, [])
            packed.extend(map(self.pack, value))
            return packed
        if kind in (tuple, set):
            return self._know(value, kind(map(self.pack, value)))
        if isinstance(value, Tensor):
            return self._pack_tensor(value)
        if isinstance(value, torch.dtype):
            return SavedDtype(str(value).removeprefix("torch."))
        if isinstance(value, type | FunctionType):
            return value if is_importable(value) else self._know(value, Definition(value))
        if isinstance(value, nn.Module) or needs_packing(value):
            return self._pack_object(value)
        args = _arguments(value)
        return value if args is None else self._know(value, self._pack_call(value, args))

    def _pack_call(self, value: Any, args: tuple[Any, ...]) -> SavedObject:
        saved = SavedObject()
        saved.kind, saved.is_called, saved.args = self.pack(type(value)), True, self.pack(args)
        return saved

    def _pack_dict(self, value: dict[Any, Any]) -> Any:
        if all(type(key) is str for key in value):
            packed = self._know(value, {})
            packed.update((key, self.pack(item)) for key, item in value.items())
            return packed
        saved = self._know(value, SavedDict([], []))
        saved.keys += map(self.pack, value)
        saved.values += map(self.pack, value.values())
        return saved

    def _pack_tensor(self, tensor: Tensor) -> Any:
        is_known = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
        if not is_known or tensor.is_quantized or tensor.is_meta:
            reason = f"it is a {type(tensor).__name__} of {tensor.layout} on {tensor.device}"
            if self.is_in_module:
                raise _NotPlain(f"of one of its tensors: {reason}")
            return self._know(tensor, Native(tensor, reason))
        saved: SavedTensor = self._know(tensor, SavedTensor(tensor))
        if vars(tensor):
            saved.attributes = self.pack(vars(tensor))
        return saved

    def _pack_outermost(self, module: nn.Module) -> Any:
        """A whole network; as it is if part of it cannot be packed, since parts share tensors."""
        before, self.is_in_module = dict(self.known), True
        try:
            return self._pack_new(module)
        except _NotPlain as reason:
            self.known = before
            return self._know(module, Native(on_cpu(module), str(reason)))
        finally:
            self.is_in_module = False

    def _pack_object(self, value: Any) -> Any:
        """An object with something of torch in it, or a definition that cannot be imported."""
        names: tuple[str, ...] = ()
        if isinstance(value, nn.Module) and parametrize.is_parametrized(value):
            reduced, names = _reduce_parametrized(value)
        else:
            reduced = _reduce(value)
        if reduced is None:
            if self.is_in_module:
                raise _NotPlain(f"{type(value).__name__} in it is pickled in a way of its own")
            return value
        function, args, state, items, entries = (*reduced, None, None, None)[:5]
        saved = self._know(value, SavedObject())
        if function is type(value):
            kind, saved.is_called = function, True
        else:
            kind, *args = args
        saved.kind = self.pack(kind)
        if isinstance(value, nn.Module) and isinstance(state, dict):
            state = _without_defaults(state)
        parts = {
            "parametrized": names,
            "args": tuple(args),
            "items": [*(items or ())],
            "entries": [*(entries or ())],
        }
        for name, part in parts.items():
            if part:
                setattr(saved, name, self.pack(part))
        if state is not None:
            saved.state = self.pack(state)
        return saved


def _arguments(value: Any) -> tuple[Any, ...] | None:
    """What makes a label of a category, of which skops would keep the class alone; else None.

    Such are enums, and the times of pandas.
    """
    if isinstance(value, Enum):
        return (value.value,)
    with suppress(Exception):  # pickle will say what is wrong
        if hasattr(value, "isoformat") and value.__reduce__()[0] is not type(value):
            args = (value.isoformat(),)
            return args if type(value)(*args) == value else None
    return None


def _reduce(value: Any) -> Any:
    """What pickle would make of an object, if it is class, arguments and state; else None."""
    if is_compiled(value):
        return None
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # pickle will say it
        return None
    known = copyreg.__newobj__, type(value)  # type: ignore[attr-defined]
    is_known = isinstance(reduced, tuple) and len(reduced) < 6 and reduced[0] in known
    return reduced if is_known else None


def _reduce_parametrized(module: nn.Module) -> tuple[Any, tuple[str, ...]]:
    """A module by the class that it had, and the names of its parametrized tensors."""
    kind = parametrize.type_before_parametrizations(module)
    names = tuple(module.parametrizations.keys())  # type: ignore[operator, union-attr]
    return (copyreg.__newobj__, (kind,), dict(vars(module))), names  # type: ignore[attr-defined]


def _without_defaults(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a module without what every new module has, such as its empty lists of hooks."""
    new = vars(nn.Module())
    return {
        name: value
        for name, value in state.items()
        if name not in new or type(value) is not type(new[name]) or value != new[name]
    }


class _Scanner(pickle.Pickler):
    """Goes through all that pickle would save of an object, until something needs packing."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), 4)
        self.found = False

    def persistent_id(self, value: Any) -> None:
        """Called for every object."""
        kind = type(value)
        if isinstance(value, type | FunctionType):
            self.found = not is_importable(value)
        elif kind is dict:
            self.found = not all(type(key) is str for key in value)
        else:
            self.found = isinstance(value, _OF_TORCH)
        if self.found:
            raise StopIteration


def needs_packing(value: Any) -> bool:
    """Whether there is something of torch in an object, or what cannot be saved by name."""
    scanner = _Scanner()
    with suppress(Exception):  # pickle will say what is wrong
        scanner.dump(value)
    return scanner.found


def _as_numpy(tensor: Tensor) -> Any:
    """An array of the numbers of a tensor on the CPU, or of their bits, in the same memory."""
    try:
        return tensor.numpy()
    except TypeError:
        return tensor.view(_INTEGERS[tensor.element_size()]).numpy()


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"A saved tensor must have a dtype of torch, got {name!r}.")
    return found


# --------------------------------------------------------------------------------------
# Back
# --------------------------------------------------------------------------------------


class _Unpacker:
    """Unpacks a graph of objects, in which each object is made once."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}

    def unpack(self, packed: Any) -> Any:
        """What was packed, the same object for the same one."""
        make = _MAKERS.get(type(packed))
        if make is None:
            return packed
        if id(packed) not in self.made:
            make(self, packed)
        return self.made[id(packed)]

    def _know(self, packed: Any, made: Any) -> Any:
        self.made[id(packed)] = made
        return made

    def _make_list(self, packed: list[Any]) -> None:
        self._know(packed, []).extend(map(self.unpack, packed))

    def _make_collection(self, packed: Any) -> None:
        self._know(packed, type(packed)(map(self.unpack, packed)))

    def _make_dict(self, packed: dict[str, Any]) -> None:
        made = self._know(packed, {})
        made.update((key, self.unpack(value)) for key, value in packed.items())

    def _make_keyed(self, packed: SavedDict) -> None:
        made = self._know(packed, {})
        made.update(zip(map(self.unpack, packed.keys), map(self.unpack, packed.values)))

    def _make_tensor(self, packed: SavedTensor) -> None:
        made = self._know(packed, packed.make())
        if packed.attributes:
            vars(made).update(self.unpack(packed.attributes))

    def _make_dtype(self, packed: SavedDtype) -> None:
        self._know(packed, _dtype(packed.name))

    def _make_held(self, packed: Any) -> None:
        self._know(packed, packed.value)

    def _make_object(self, packed: SavedObject) -> None:
        kind = self.unpack(packed.kind)
        if not isinstance(kind, type):
            raise TypeError(f"A saved object must have a class, got {kind!r}.")
        args = self.unpack(packed.args)
        made = self._know(packed, kind(*args) if packed.is_called else kind.__new__(kind, *args))
        state = self.unpack(packed.state)
        if isinstance(made, nn.Module) and isinstance(state, dict):
            state = {**vars(nn.Module()), **state}
        if state is not None:
            _set_state(made, state)
        if packed.items:
            made.extend(self.unpack(packed.items))
        for key, value in self.unpack(packed.entries):
            made[key] = value
        if packed.parametrized:
            add_parametrized_properties(made, packed.parametrized)


def _set_state(made: Any, state: Any) -> None:
    """Give an object its state, as pickle does."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    state, slots = state if isinstance(state, tuple) else (state, None)
    vars(made).update(state or {})
    for name, value in (slots or {}).items():
        setattr(made, name, value)


_MAKERS: dict[type, Any] = {
    list: _Unpacker._make_list,
    tuple: _Unpacker._make_collection,
    set: _Unpacker._make_collection,
    dict: _Unpacker._make_dict,
    SavedDict: _Unpacker._make_keyed,
    SavedTensor: _Unpacker._make_tensor,
    SavedDtype: _Unpacker._make_dtype,
    SavedObject: _Unpacker._make_object,
    Definition: _Unpacker._make_held,
    Native: _Unpacker._make_held,
}
