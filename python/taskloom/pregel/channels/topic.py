"""The cell that collects what is published to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from taskloom.pregel.channels.base import BaseChannel, Value
from taskloom.pregel.errors import EmptyChannelError
from taskloom.pregel.missing import MISSING


def _flatten(values: Sequence[Value | list[Value]]) -> Iterator[Value]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


class Topic(BaseChannel[Sequence[Value], Value | list[Value], list[Value]]):
    """Holds the values published in the last superstep, or in all.

    Args:
        typ: the type of one value.
        accumulate: keep the values of earlier supersteps.

    Example:
        >>> from taskloom.pregel.channels import Topic
        >>> cell = Topic(int, accumulate=True)
        >>> cell.update([1, [2, 3]]), cell.get()
        (True, [1, 2, 3])
    """

    __slots__ = ("accumulate", "values")

    def __init__(self, typ: Any, accumulate: bool = False) -> None:
        super().__init__(typ)
        self.accumulate = accumulate
        self.values: list[Value] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topic) and other.accumulate == self.accumulate

    __hash__ = None  # type: ignore[assignment]

    @property
    def ValueType(self) -> Any:
        """The type of what `get` returns."""
        return Sequence[self.typ]  # type: ignore[name-defined]

    @property
    def UpdateType(self) -> Any:
        """The type of one write."""
        return self.typ | list[self.typ]  # type: ignore[name-defined]

    def _empty(self) -> Self:
        cell = self.__class__(self.typ, self.accumulate)
        cell.key = self.key
        return cell

    def copy(self) -> Self:
        """A cell with the same value that changes independently."""
        cell = self._empty()
        cell.values = self.values.copy()
        return cell

    def checkpoint(self) -> list[Value]:
        """What a checkpoint stores of this cell; MISSING for nothing."""
        return self.values

    def from_checkpoint(self, checkpoint: Any) -> Self:
        """A new cell like this one, with the stored value, or empty for MISSING."""
        cell = self._empty()
        if checkpoint is not MISSING:
            # Old checkpoints hold a pair of all values ever seen and the present ones.
            present = checkpoint[1] if isinstance(checkpoint, tuple) else checkpoint
            cell.values = list(present)
        return cell

    def update(self, values: Sequence[Value | list[Value]]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        new = list(_flatten(values))
        if self.accumulate:
            self.values = self.values + new if new else self.values
            return bool(new)
        changed = bool(new or self.values)
        self.values = new
        return changed

    def get(self) -> Sequence[Value]:
        """The value."""
        if not self.values:
            raise EmptyChannelError
        return list(self.values)

    def is_available(self) -> bool:
        """Whether `get` would return a value."""
        return bool(self.values)
