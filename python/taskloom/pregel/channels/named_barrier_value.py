"""The cell that waits until all of several names have been written to it (a join)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from taskloom.pregel.channels.base import BaseChannel, Value
from taskloom.pregel.errors import EmptyChannelError, InvalidUpdateError
from taskloom.pregel.missing import MISSING


class NamedBarrierValue(BaseChannel[Value, Value, set[Value]]):
    """Becomes available when every name has been received; its value is None.

    Args:
        typ: the type of a name.
        names: the names to wait for.

    Example:
        >>> from taskloom.pregel.channels import NamedBarrierValue
        >>> cell = NamedBarrierValue(str, {"a", "b"})
        >>> cell.update(["a"]), cell.is_available(), cell.update(["b"]), cell.is_available()
        (True, False, True, True)
    """

    __slots__ = ("names", "seen")

    def __init__(self, typ: Any, names: set[Value]) -> None:
        super().__init__(typ)
        self.names = names
        self.seen: set[Value] = set()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.names == self.names

    __hash__ = None  # type: ignore[assignment]

    @property
    def ValueType(self) -> Any:
        """The type of what `get` returns."""
        return self.typ

    @property
    def UpdateType(self) -> Any:
        """The type of one write."""
        return self.typ

    def _empty(self) -> Self:
        cell = self.__class__(self.typ, self.names)
        cell.key = self.key
        return cell

    def copy(self) -> Self:
        """A cell with the same value that changes independently."""
        cell = self._empty()
        cell.seen = self.seen.copy()
        return cell

    def checkpoint(self) -> Any:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        return self.seen.copy()

    def from_checkpoint(self, checkpoint: Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""
        cell = self._empty()
        if checkpoint is not MISSING:
            cell.seen = set(checkpoint)
        return cell

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        changed = False
        for value in values:
            if value not in self.names:
                raise InvalidUpdateError(f"At key '{self.key}': Value {value} not in {self.names}")
            if value not in self.seen:
                self.seen.add(value)
                changed = True
        return changed

    def is_available(self) -> bool:
        """Whether `get` would return a value."""
        return self.seen == self.names

    def get(self) -> Value:
        """The value."""
        if not self.is_available():
            raise EmptyChannelError
        return None  # type: ignore[return-value]

    def consume(self) -> bool:
        """A node that this cell triggers has run. Returns whether the cell changed."""
        if not self.is_available():
            return False
        self.seen = set()
        return True


class NamedBarrierValueAfterFinish(NamedBarrierValue[Value]):
    """A `NamedBarrierValue` that becomes available only when the run is about to end.

    Example:
        >>> from taskloom.pregel.channels import NamedBarrierValueAfterFinish
        >>> cell = NamedBarrierValueAfterFinish(str, {"a"})
        >>> cell.update(["a"]), cell.is_available(), cell.finish(), cell.is_available()
        (True, False, True, True)
    """

    __slots__ = ("finished",)

    def __init__(self, typ: Any, names: set[Value]) -> None:
        super().__init__(typ, names)
        self.finished = False

    def copy(self) -> Self:
        """A cell with the same value that changes independently."""
        cell = super().copy()
        cell.finished = self.finished
        return cell

    def checkpoint(self) -> Any:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        return self.seen.copy(), self.finished

    def from_checkpoint(self, checkpoint: Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""
        cell = self._empty()
        if checkpoint is not MISSING:
            seen, cell.finished = checkpoint
            cell.seen = set(seen)
        return cell

    def is_available(self) -> bool:
        """Whether `get` would return a value."""
        return self.finished and self.seen == self.names

    def consume(self) -> bool:
        """A node that this cell triggers has run. Returns whether the cell changed."""
        if not super().consume():
            return False
        self.finished = False
        return True

    def finish(self) -> bool:
        """The run is about to end. Returns whether the cell changed."""
        if self.finished or self.seen != self.names:
            return False
        self.finished = True
        return True
