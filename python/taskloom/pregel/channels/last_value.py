"""The plain cell: the last value written, one write per superstep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from taskloom.pregel.channels.base import BaseChannel, SingleValue, Value
from taskloom.pregel.errors import EmptyChannelError, InvalidUpdateError
from taskloom.pregel.missing import MISSING

ONE_VALUE = (
    "At key '{key}': Can receive only one value per step. "
    "Use an Annotated key with a reducer to take several."
)


class LastValue(SingleValue[Value]):
    """Holds the last value written; takes at most one write per superstep.

    Example:
        >>> from taskloom.pregel.channels import LastValue
        >>> cell = LastValue(int)
        >>> cell.update([3]), cell.get()
        (True, 3)
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LastValue)

    __hash__ = None  # type: ignore[assignment]

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if not values:
            return False
        if len(values) != 1:
            raise InvalidUpdateError(ONE_VALUE.format(key=self.key))
        self.value = values[0]
        return True


class LastValueAfterFinish(BaseChannel[Value, Value, tuple[Value, bool]]):
    """Holds the last value written, shown only when the run is about to end, and then once.

    Example:
        >>> from taskloom.pregel.channels import LastValueAfterFinish
        >>> cell = LastValueAfterFinish(int)
        >>> cell.update([3]), cell.is_available(), cell.finish(), cell.get()
        (True, False, True, 3)
    """

    __slots__ = ("finished", "value")

    value: Any

    def __init__(self, typ: Any, key: str = "") -> None:
        super().__init__(typ, key)
        self.value = MISSING
        self.finished = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LastValueAfterFinish)

    __hash__ = None  # type: ignore[assignment]

    @property
    def ValueType(self) -> Any:
        """The type of what `get` returns."""
        return self.typ

    @property
    def UpdateType(self) -> Any:
        """The type of one write."""
        return self.typ

    def checkpoint(self) -> tuple[Value, bool] | Any:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        return MISSING if self.value is MISSING else (self.value, self.finished)

    def from_checkpoint(self, checkpoint: tuple[Value, bool] | Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""
        cell = self.__class__(self.typ, self.key)
        if checkpoint is not MISSING:
            cell.value, cell.finished = checkpoint
        return cell

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if not values:
            return False
        self.finished = False
        self.value = values[-1]
        return True

    def consume(self) -> bool:
        """A node that this cell triggers has run. Returns whether the cell changed."""
        if not self.finished:
            return False
        self.finished = False
        self.value = MISSING
        return True

    def finish(self) -> bool:
        """The run is about to end. Returns whether the cell changed."""
        if self.finished or self.value is MISSING:
            return False
        self.finished = True
        return True

    def is_available(self) -> bool:
        """Whether `get` would return a value."""
        return self.finished and self.value is not MISSING

    def get(self) -> Value:
        """The value."""
        if not self.is_available():
            raise EmptyChannelError
        return self.value  # type: ignore[no-any-return]
