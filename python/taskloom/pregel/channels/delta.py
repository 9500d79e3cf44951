"""The batch-reduced cell: all writes of a superstep are handed to one call of its reducer."""

from __future__ import annotations

import copy
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Self

from taskloom.pregel.channels.base import SingleValue, Value
from taskloom.pregel.channels.binop import (
    ONE_OVERWRITE,
    concrete_type,
    same_operator,
    unwrap_overwrite,
)
from taskloom.pregel.checkpoint.serde.types import DeltaSnapshot
from taskloom.pregel.errors import InvalidUpdateError
from taskloom.pregel.missing import MISSING

_ROLES = frozenset(("user", "human", "assistant", "ai", "system", "developer", "tool", "function"))


def unwrapped(stored: Any) -> Any:
    """The value that LangGraph has put into a wrapper, to tell it from what is to be replayed."""
    if isinstance(stored, DeltaSnapshot) or type(stored).__name__ == "_DeltaSnapshot":
        return stored.value
    return stored


def _named(langchain: Any, item: Any, *, spell_out: bool) -> Any:
    if isinstance(item, langchain.BaseMessage):
        if not item.id:
            item.id = str(uuid.uuid4())
    elif spell_out and isinstance(item, dict):
        role = item.get("role", item.get("type"))
        if isinstance(role, str) and role in _ROLES:
            return _named(langchain, langchain.convert_to_messages([item])[0], spell_out=False)
    return item


def _name_messages(values: Sequence[Any]) -> list[Any]:
    """Give LangChain's messages among the writes an id, as LangGraph does for this cell: a reducer
    that only appends gives none, and one without an id can be neither replaced nor removed.
    Messages in a list may also be dicts."""
    langchain: Any = sys.modules.get("langchain_core.messages")
    if langchain is None:
        return list(values)
    named = []
    for value in values:
        replacement = unwrap_overwrite(value)
        if replacement is not MISSING:
            for item in replacement if isinstance(replacement, list | tuple) else ():
                _named(langchain, item, spell_out=False)
            named.append(value)
        elif isinstance(value, list):
            named.append([_named(langchain, item, spell_out=True) for item in value])
        else:
            named.append(_named(langchain, value, spell_out=False))
    return named


class DeltaChannel(SingleValue[Value]):
    """Holds what a reducer makes of its value and of all writes of a superstep at once.

    It is stored like any other cell. (LangGraph stores the writes and replays them, with a full
    value now and then; the savers here store a long value as what changed in it, whatever its
    cell, so that there is nothing to replay; what LangGraph has stored is read.)

    Args:
        reducer: takes the value so far and a list of writes, and returns the new value.
        typ: the type of its value; called without arguments for the first one. That of the
            annotation if it stands in one.
        snapshot_frequency: LangGraph's, checked and otherwise without effect.

    Raises:
        ValueError: `snapshot_frequency` is not positive.

    Example:
        >>> from taskloom.pregel.channels import DeltaChannel
        >>> seen = DeltaChannel(lambda held, writes: held | set().union(*writes), set)
        >>> seen.update([{1}, {2, 3}])
        True
        >>> assert seen.get() == {1, 2, 3}
    """

    __slots__ = ("reducer", "snapshot_frequency")

    def __init__(
        self,
        reducer: Callable[[Any, Sequence[Any]], Any],
        typ: Any = list,
        *,
        snapshot_frequency: int = 100,
    ) -> None:
        if snapshot_frequency <= 0:
            raise ValueError(f"snapshot_frequency must be a positive int, got {snapshot_frequency}")
        super().__init__(list if typ is None else concrete_type(typ))
        self.reducer = reducer
        self.snapshot_frequency = snapshot_frequency

    def of_type(self, typ: Any) -> Self:
        """A cell like this one for values of another type."""
        cell = self._empty()
        cell.typ = concrete_type(typ)
        return cell

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeltaChannel):
            return False
        if self.snapshot_frequency != other.snapshot_frequency:
            return False
        return same_operator(self.reducer, other.reducer)

    __hash__ = None  # type: ignore[assignment]

    def _empty(self) -> Self:
        cell = self.__class__(self.reducer, self.typ, snapshot_frequency=self.snapshot_frequency)
        cell.key = self.key
        return cell

    def checkpoint(self) -> Any:
        """MISSING, as LangGraph has it, whose savers keep such a cell's writes."""
        return MISSING

    def stored(self) -> Any:
        """The value, which the engine stores like any other cell's."""
        return self.value

    def from_checkpoint(self, checkpoint: Any) -> Self:
        """A new cell like this one, with the stored value, or its type's empty one for MISSING."""
        cell = self._empty()
        cell.value = self.typ() if checkpoint is MISSING else unwrapped(checkpoint)
        return cell

    def copy(self) -> Self:
        """A cell with the same value that changes independently, also in place."""
        cell = super().copy()
        if cell.value is not MISSING:
            cell.value = copy.copy(cell.value)
        return cell

    def replay_writes(self, writes: Sequence[tuple[str, str, Any]]) -> None:
        """Take writes of many supersteps, as a saver hands them out, in one call of the reducer.

        Args:
            writes: (task id, cell, value) each, the oldest first. The last `Overwrite` among
                them replaces the value, and only what follows it is reduced.
        """
        rest = [value for _, _, value in writes]
        for index in range(len(rest) - 1, -1, -1):
            replacement = unwrap_overwrite(rest[index])
            if replacement is not MISSING:
                self.value = self.typ() if replacement is None else copy.copy(replacement)
                rest = rest[index + 1 :]
                break
        if rest:
            self.value = self.reducer(self.typ() if self.value is MISSING else self.value, rest)

    def update(self, values: Sequence[Any]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if not values:
            return False
        values = _name_messages(values)
        replacement: Any = MISSING
        for value in values:
            new = unwrap_overwrite(value)
            if new is MISSING:
                continue
            if replacement is not MISSING:
                raise InvalidUpdateError(ONE_OVERWRITE.format(key=self.key))
            replacement = new
        if replacement is not MISSING:
            self.value = self.typ() if replacement is None else copy.copy(replacement)
            if getattr(self.reducer, "__name__", "") == "messages_delta_reducer":
                # It accepts messages in any form, and so must what replaces its value.
                self.value = self.reducer(list(self.value), ())
        else:
            base = self.typ() if self.value is MISSING else self.value
            self.value = self.reducer(base, values)
        return True
