"""Types of constructor parameters, for type checkers.

Values are checked in ``parameters``. A type may be wider than what is accepted, but not narrower:
a type checker that refuses what works is worse than one that misses a mistake.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from skweight._keywords import HasArray

Columns = list[Any] | tuple[Any, ...] | HasArray
ClassWeight = Literal["balanced"] | Mapping[Any, float] | Callable[[Any], ArrayLike] | list[Any]
Module = nn.Module | Callable[..., nn.Module]
RandomState = int | np.integer[Any] | np.random.RandomState
Weighting = Literal["loss", "sampling"]
