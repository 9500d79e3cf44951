"""What the way to a first executor needs of `typing` when it runs, without importing that.

To import `typing` takes as long as all of that way besides. Type checkers read the other branch.
"""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "Generic", "final", "overload"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Generic, final, overload
else:
    from types import GenericAlias

    def final(decorated):
        """Says that a class has no subclasses."""
        decorated.__final__ = True
        return decorated

    def overload(function):
        """Says that a signature is one of several; the function that follows takes its place."""
        return function

    class Generic:
        """A base of classes that take parameters, which serve annotations alone."""

        __slots__ = ()

        def __class_getitem__(cls, parameters):
            return cls if cls is Generic else GenericAlias(cls, parameters)
