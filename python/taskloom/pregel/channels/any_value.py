"""The cell that takes any of several equal writes and forgets in a step without one."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.pregel.channels.base import SingleValue, Value
from taskloom.pregel.missing import MISSING


class AnyValue(SingleValue[Value]):
    """Holds the last of the values written in a superstep, which are taken to be equal.

    Example:
        >>> from taskloom.pregel.channels import AnyValue
        >>> cell = AnyValue(int)
        >>> cell.update([3, 3]), cell.get()
        (True, 3)
        >>> cell.update([]), cell.is_available()
        (True, False)
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyValue)

    __hash__ = None  # type: ignore[assignment]

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if values:
            self.value = values[-1]
            return True
        if self.value is MISSING:
            return False
        self.value = MISSING
        return True
