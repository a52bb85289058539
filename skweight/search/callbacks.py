"""scikit-learn's callbacks on a search, which know nothing of the copy that scikit-learn fits."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

HOOKS = ("setup", "teardown", "on_fit_task_begin", "on_fit_task_end")


class SearchCallback:
    """A callback of scikit-learn 1.9 or later whose hooks are given the search itself.

    ``search_of(copy)`` is a method of the search that takes what the copy has found so far, and
    returns the search. Callbacks are not propagated to the estimators, which are trained before
    scikit-learn asks for them.
    """

    def __init__(self, callback: Any, search_of: Callable[[Any], Any]) -> None:
        # Weak, since scikit-learn caches the signatures of hooks, and with them the hooks.
        self._search_of = weakref.WeakMethod(search_of)
        for name in HOOKS:
            setattr(self, name, self._with_search(getattr(callback, name)))
        if hasattr(callback, "max_propagation_depth"):
            self.max_propagation_depth = 0

    def _with_search(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(hook)  # scikit-learn passes what the signature asks for
        def call(estimator: Any, context: Any, **kwargs: Any) -> Any:
            search_of: Any = self._search_of()
            return hook(search_of(estimator), context, **kwargs)

        return call
