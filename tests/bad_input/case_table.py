"""The table of bad inputs: a row for each, and what its error says.

A row is one wrong call of a callable of ``calls.py``: the arguments that take the place of right
ones, the one at fault first; the class of the error; and what its message says. Of a text
``"must be a number ... got -1"`` both parts are in the message, in this order. The message also
names the argument, or has the fourth entry of a row in its place.

``python tests/bad_input/case_table.py`` prints how many rows there are.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import cases_of_displays
import cases_of_estimators
import cases_of_layers_and_losses
import cases_of_searches
import cases_of_standard_errors
import cases_of_weights

AREAS = {
    "estimators": cases_of_estimators.CASES,
    "searches and splits": cases_of_searches.CASES,
    "weights": cases_of_weights.CASES,
    "standard errors": cases_of_standard_errors.CASES,
    "layers, losses and files": cases_of_layers_and_losses.CASES,
    "displays": cases_of_displays.CASES,
}


@dataclass(frozen=True)
class Case:
    """A wrong call, and what its error says."""

    area: str
    call: str
    arguments: dict[str, Any]
    error: type[Exception]
    says: str
    names: str

    @property
    def argument(self) -> str:
        """The argument at fault."""
        return next(iter(self.arguments))

    @property
    def id(self) -> str:
        """The same in every process: without the addresses of objects."""
        shown = re.sub(" at 0x[0-9a-fA-F]+", "", repr(self.arguments[self.argument]))
        shown = " ".join(shown.split())
        return f"{self.call}-{self.argument}={shown:.24}"


def _case(area: str, call: str, row: tuple[Any, ...]) -> Case:
    arguments, error, says, *names = row
    return Case(area, call, arguments, error, says, *(names or [next(iter(arguments))]))


TABLE = [
    _case(area, call, row)
    for area, of_calls in AREAS.items()
    for call, rows in of_calls.items()
    for row in rows
]

if __name__ == "__main__":
    for area, number in Counter(case.area for case in TABLE).items():
        print(f"{number:5}  {area}")
    print(f"{len(TABLE):5}  cases of {len({case.call for case in TABLE})} calls")
