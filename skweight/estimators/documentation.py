"""What a notebook shows of an estimator: the "?" that leads to its page, and its parameters."""

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, metadata
from numbers import Real
from typing import Any

# The page of a class, below the address that the package's metadata call "Documentation".
_PAGE = "api/{estimator_name}.html"


def doc_link_template(_: Any) -> str:
    """The address of the page, for scikit-learn to fill in the name; empty if none is known.

    Empty is no "?". The address is that of ``[project.urls]`` in pyproject.toml.
    """
    try:
        urls = metadata("skweight").get_all("Project-URL") or []
    except PackageNotFoundError:  # the source is imported, and not installed
        return ""
    addresses = {name.strip().lower(): url.strip() for name, url in map(_split, urls)}
    address = addresses.get("documentation", "")
    return f"{address.rstrip('/')}/{_PAGE}" if address else ""


def _split(url: str) -> tuple[str, str]:
    name, _, address = url.partition(",")
    return name, address


def arrange_table(table: Any, unset: Collection[str]) -> Any:
    """scikit-learn's table of parameters, in which those that are ``unset`` are not marked.

    Sequences of numbers, such as ``module__hidden_sizes``, are shown whole as far as they are
    short: scikit-learn shows the first entry of a tuple and two of a list.
    """
    table.non_default = tuple(name for name in table.non_default if name not in unset)
    names = [*table.non_default, *(name for name in table.data if name not in table.non_default)]
    table.data = {name: _whole(table.data[name]) for name in names}
    return table


def _whole(value: Any) -> Any:
    is_sequence = isinstance(value, (tuple, list)) and all(isinstance(v, Real) for v in value)
    return _Whole(value) if is_sequence else value


class _Whole:
    """A value of a kind that ``reprlib`` does not know, so that it cuts its text at 30 letters."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)
