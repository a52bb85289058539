"""What the settings of a search are called in a legend or beside an axis."""

from collections.abc import Mapping, Sequence
from numbers import Real
from textwrap import wrap
from typing import Any

from skweight.inspection.plotting import short

Setting = Mapping[str, Any]


def varied(settings: Sequence[Setting]) -> list[str]:
    """Parameters that not all candidates have with the same value, in their order."""
    names = dict.fromkeys(name for setting in settings for name in setting)
    missing = object()
    return [
        name
        for name in names
        if len({repr(setting.get(name, missing)) for setting in settings}) > 1
    ]


def short_names(settings: Sequence[Setting]) -> dict[str, str]:
    """The shortest end of each parameter, after a double underscore, that no other one has."""
    names, ends = dict.fromkeys(name for setting in settings for name in setting), {}
    for name in names:
        parts = name.split("__")
        tails = ["__".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [f"__{other}" for other in names if other != name]
        ends[name] = next(
            (tail for tail in tails if not any(o.endswith(f"__{tail}") for o in others)), name
        )
    return ends


def describe(setting: Setting, names: Mapping[str, str], width: int) -> str:
    """Parameters, by the names to be shown, with their values; in lines of a width if possible."""
    texts = [f"{shown}={_value(setting[name])}" for name, shown in names.items() if name in setting]
    # A setting is parted between its parameters, not at the spaces in their values.
    joined = ", ".join(text.replace(" ", "\0") for text in texts)
    lines = wrap(joined, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def is_number(value: Any) -> bool:
    """Whether a value has a place on an axis."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _value(value: Any) -> str:
    return f"{float(value):.4g}" if is_number(value) else short(getattr(value, "__name__", value))
