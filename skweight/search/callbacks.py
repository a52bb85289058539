"""scikit-learn's callbacks on a search, which know nothing of the copy that scikit-learn fits.

Estimators are trained before scikit-learn asks for them, but within the tasks that it will have for
them, so that callbacks hear of their epochs.
"""

import functools
import weakref
from collections.abc import Callable
from itertools import product
from typing import Any

HOOKS = ("setup", "teardown", "on_fit_task_begin", "on_fit_task_end")


class SearchCallback:
    """A callback of scikit-learn 1.9 or later whose hooks are given the search itself.

    ``search_of`` is a method of the search that takes what its copy has found so far, and returns
    the search; of another estimator, it returns that. In another process it is the callback itself.
    """

    def __init__(self, callback: Any, search_of: Callable[[Any], Any]) -> None:
        self._callback = callback
        # Weak, since scikit-learn caches the signatures of hooks, and with them the hooks.
        self._search_of = weakref.WeakMethod(search_of)
        for name in HOOKS:
            setattr(self, name, self._with_search(getattr(callback, name)))
        if hasattr(callback, "max_propagation_depth"):
            self.max_propagation_depth = callback.max_propagation_depth

    def __reduce__(self) -> Any:
        return _itself, (self._callback,)

    def _with_search(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(hook)  # scikit-learn passes what the signature asks for
        def call(estimator: Any, context: Any, **kwargs: Any) -> Any:
            search_of: Any = self._search_of()
            return hook(search_of(estimator), context, **kwargs)

        return call


def _itself(callback: Any) -> Any:
    return callback


class FitContexts:
    """The tasks of the fits of a search, which are made before scikit-learn asks for them.

    It takes the place of the context of the search, of which scikit-learn makes them.
    """

    def __init__(self, context: Any, n_candidates: int, n_splits: int) -> None:
        self._made = [
            context.subcontext(task_name="candidate-split-evaluation", task_id=number)
            for number in range(n_candidates * n_splits)
        ]
        self.of_pairs = dict(zip(product(range(n_candidates), range(n_splits)), self._made))

    def subcontext(self, task_name: str, task_id: int) -> Any:
        """The context of the fit with this number."""
        return self._made[task_id]
