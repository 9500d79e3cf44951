"""What every cell is. (LangGraph calls cells channels; the class names are kept.)"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

from taskloom.pregel.errors import EmptyChannelError
from taskloom.pregel.missing import MISSING

Value = TypeVar("Value")
Update = TypeVar("Update")
Stored = TypeVar("Stored")


class BaseChannel(ABC, Generic[Value, Update, Stored]):
    """A cell: it holds a value between supersteps and takes a superstep's writes at once.

    Args:
        typ: the type of its value.
        key: its name in the graph.

    Example:
        >>> from taskloom.pregel.channels import BaseChannel, LastValue
        >>> isinstance(LastValue(int), BaseChannel)
        True
    """

    __slots__ = ("key", "typ")

    def __init__(self, typ: Any, key: str = "") -> None:
        self.typ = typ
        self.key = key

    @property
    @abstractmethod
    def ValueType(self) -> Any:
        """The type of what `get` returns."""

    @property
    @abstractmethod
    def UpdateType(self) -> Any:
        """The type of one write."""

    def copy(self) -> Self:
        """A cell with the same value that changes independently."""
        return self.from_checkpoint(self.checkpoint())

    def checkpoint(self) -> Stored | Any:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        try:
            return self.get()
        except EmptyChannelError:
            return MISSING

    def stored(self) -> Stored | Any:
        """What the engine stores of this cell: what `checkpoint` says, unless there is more."""
        return self.checkpoint()

    @abstractmethod
    def from_checkpoint(self, checkpoint: Stored | Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""

    @abstractmethod
    def get(self) -> Value:
        """The value.

        Raises:
            EmptyChannelError: there is none.
        """

    def is_available(self) -> bool:
        """Whether `get` would return a value."""
        try:
            self.get()
        except EmptyChannelError:
            return False
        return True

    @abstractmethod
    def update(self, values: Sequence[Update]) -> bool:
        """Take the writes of one superstep; called with none at the end of a step without any.

        Returns:
            Whether the cell changed.

        Raises:
            InvalidUpdateError: the cell cannot take these writes together.
        """

    def consume(self) -> bool:
        """A node that this cell triggers has run. Returns whether the cell changed."""
        return False

    def finish(self) -> bool:
        """The run is about to end. Returns whether the cell changed."""
        return False


class SingleValue(BaseChannel[Value, Value, Value]):
    """A cell whose value, write and stored form are of one type."""

    __slots__ = ("value",)

    value: Any

    def __init__(self, typ: Any, key: str = "") -> None:
        super().__init__(typ, key)
        self.value = MISSING

    @property
    def ValueType(self) -> Any:
        """The type of what `get` returns."""
        return self.typ

    @property
    def UpdateType(self) -> Any:
        """The type of one write."""
        return self.typ

    def _empty(self) -> Self:
        return self.__class__(self.typ, self.key)

    def copy(self) -> Self:
        """A cell with the same value that changes independently."""
        cell = self._empty()
        cell.value = self.value
        return cell

    def from_checkpoint(self, checkpoint: Value | Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""
        cell = self._empty()
        if checkpoint is not MISSING:
            cell.value = checkpoint
        return cell

    def checkpoint(self) -> Value | Any:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        return self.value

    def get(self) -> Value:
        """The value."""
        if self.value is MISSING:
            raise EmptyChannelError
        return self.value  # type: ignore[no-any-return]

    def is_available(self) -> bool:
        """Whether `get` would return a value."""
        return self.value is not MISSING
