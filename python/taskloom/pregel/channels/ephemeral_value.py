"""The cell that lasts one superstep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from taskloom.pregel.channels.base import SingleValue, Value
from taskloom.pregel.errors import InvalidUpdateError
from taskloom.pregel.missing import MISSING

GUARDED = (
    "At key '{key}': {cell}(guard=True) can receive only one value per step. "
    "Use guard=False to keep any one of several."
)


class EphemeralValue(SingleValue[Value]):
    """Holds what the superstep before wrote, and is empty after the next.

    Args:
        typ: the type of its value.
        guard: refuse more than one write per superstep; otherwise the last one counts.

    Example:
        >>> from taskloom.pregel.channels import EphemeralValue
        >>> cell = EphemeralValue(int)
        >>> cell.update([3]), cell.get(), cell.update([]), cell.is_available()
        (True, 3, True, False)
    """

    __slots__ = ("guard",)

    def __init__(self, typ: Any, guard: bool = True) -> None:
        super().__init__(typ)
        self.guard = guard

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EphemeralValue) and other.guard == self.guard

    __hash__ = None  # type: ignore[assignment]

    def _empty(self) -> Self:
        cell = self.__class__(self.typ, self.guard)
        cell.key = self.key
        return cell

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if not values:
            if self.value is MISSING:
                return False
            self.value = MISSING
            return True
        if len(values) != 1 and self.guard:
            raise InvalidUpdateError(GUARDED.format(key=self.key, cell="EphemeralValue"))
        self.value = values[-1]
        return True
