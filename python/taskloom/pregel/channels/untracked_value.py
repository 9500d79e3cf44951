"""The cell that no checkpoint stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from taskloom.pregel.channels.base import SingleValue, Value
from taskloom.pregel.channels.ephemeral_value import GUARDED
from taskloom.pregel.errors import InvalidUpdateError
from taskloom.pregel.missing import MISSING


class UntrackedValue(SingleValue[Value]):
    """Holds the last value written, for the length of a run; never stored.

    Args:
        typ: the type of its value.
        guard: refuse more than one write per superstep; otherwise the last one counts.

    Example:
        >>> from taskloom.pregel.channels import UntrackedValue
        >>> cell = UntrackedValue(object)
        >>> cell.update([print]), cell.get() is print, cell.checkpoint()
        (True, True, MISSING)
    """

    __slots__ = ("guard",)

    def __init__(self, typ: Any, guard: bool = True) -> None:
        super().__init__(typ)
        self.guard = guard

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntrackedValue) and other.guard == self.guard

    __hash__ = None  # type: ignore[assignment]

    def _empty(self) -> Self:
        cell = self.__class__(self.typ, self.guard)
        cell.key = self.key
        return cell

    def checkpoint(self) -> Any:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        return MISSING

    def from_checkpoint(self, checkpoint: Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""
        return self._empty()

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if not values:
            return False
        if len(values) != 1 and self.guard:
            raise InvalidUpdateError(GUARDED.format(key=self.key, cell="UntrackedValue"))
        self.value = values[-1]
        return True
