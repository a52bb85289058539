"""Methods that are available for some parameters only."""

from collections.abc import Callable
from typing import Any


class only_if:
    """Hide a method unless ``check(self)`` returns; its ValueError becomes the AttributeError.

    scikit-learn's ``available_if`` does the same, but keeps the reason to itself.
    """

    def __init__(self, check: Callable[[Any], None]) -> None:
        self.check = check

    def __call__(self, method: Callable[..., Any]) -> "only_if":
        """Take the method that is decorated."""
        self.method = method
        self.__doc__ = method.__doc__
        return self

    def __get__(self, instance: Any, owner: type) -> Any:
        """Bind the method, or say why it is not there."""
        if instance is None:
            return self.method
        try:
            self.check(instance)
        except ValueError as reason:
            raise AttributeError(str(reason)) from None
        return self.method.__get__(instance, owner)
