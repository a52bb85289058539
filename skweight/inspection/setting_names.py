"""Names of the settings of a search, which fit into a picture and tell the settings apart."""

from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

from skweight.inspection.plotting import short

_LENGTHS = 24, 60  # of a value; the second one where the first leaves two settings with one name
_MISSING = object()


def varied_parameters(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Parameters that not all settings have with the same value, in their order."""
    names = dict.fromkeys(name for setting in settings for name in setting)
    return [name for name in names if len({key_of(setting, [name]) for setting in settings}) > 1]


def key_of(setting: Mapping[str, Any], parameters: Sequence[str]) -> Hashable:
    """What is equal for settings that have the same values of these parameters."""
    return tuple(repr(setting.get(name, _MISSING)) for name in parameters)


def names_of(settings: Sequence[Mapping[str, Any]], parameters: Sequence[str]) -> list[str]:
    """``lr=0.1, class_weight=balanced`` of each setting; with its number if that is not enough."""
    found = {key_of(setting, parameters): setting for setting in settings}
    for length in _LENGTHS:
        names = {key: _name(setting, parameters, length) for key, setting in found.items()}
        if len({*names.values()}) == len(names):
            return [names[key_of(setting, parameters)] for setting in settings]
    numbers = {key: number for number, key in enumerate(found, start=1)}
    keys = [key_of(setting, parameters) for setting in settings]
    return [f"{_name(found[key], parameters, _LENGTHS[0])} ({numbers[key]})" for key in keys]


def is_number(value: Any) -> bool:
    """Whether a value can be drawn on an axis."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _name(setting: Mapping[str, Any], parameters: Sequence[str], length: int) -> str:
    values = {name: setting[name] for name in parameters if name in setting}
    return ", ".join(f"{name}={_text(value, length)}" for name, value in values.items())


def _text(value: Any, length: int) -> str:
    if is_number(value):
        return f"{float(value):.4g}" if length == _LENGTHS[0] else f"{float(value):.12g}"
    return short(getattr(value, "__name__", value), length)
