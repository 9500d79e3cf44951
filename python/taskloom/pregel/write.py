"""Writers: how what a node returned becomes writes to cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from taskloom.pregel.constants import BRANCH_TO, END, ROOT, TASKS
from taskloom.pregel.errors import InvalidUpdateError, ParentCommand
from taskloom.pregel.types import Command, Send
from taskloom.pregel.updates import annotated_keys, update_as_tuples

if TYPE_CHECKING:
    from taskloom.pregel.tasks import Task

PASSTHROUGH: Final[Any] = object()
"""Stands for the value that the node returned."""
SKIP_WRITE: Final[Any] = object()
"""A mapper returns it to write nothing."""

Writes = Sequence[tuple[str, Any]]
Declared = tuple[str, str | None]
"""A cell that may be written, and the label of the edge that this draws."""


class ChannelWriteEntry(NamedTuple):
    """One cell that a node writes."""

    channel: str
    value: Any = PASSTHROUGH
    skip_none: bool = False
    mapper: Callable[[Any], Any] | None = None


class ChannelWriteTupleEntry(NamedTuple):
    """A function of what the node returned that says which cells to write, and what."""

    mapper: Callable[[Any], Writes | None]
    value: Any = PASSTHROUGH
    static: Sequence[tuple[str, Any, str | None]] | None = None


class ChannelWrite:
    """Writes what a node returned, or constants, to cells.

    Args:
        writes: what to write, in order.

    Raises:
        InvalidUpdateError: an entry writes to a reserved cell.
    """

    __slots__ = ("writes",)

    def __init__(self, writes: Sequence[ChannelWriteEntry | ChannelWriteTupleEntry | Send]) -> None:
        for entry in writes:
            if isinstance(entry, ChannelWriteEntry) and entry.channel == TASKS:
                raise InvalidUpdateError(f"Cannot write to the reserved channel {TASKS}")
        self.writes = list(writes)

    def write(self, task: Task, value: Any) -> None:
        for entry in self.writes:
            if isinstance(entry, Send):
                task.writes.append((TASKS, entry))
                continue
            given = value if entry.value is PASSTHROUGH else entry.value
            if isinstance(entry, ChannelWriteTupleEntry):
                task.writes.extend(entry.mapper(given) or ())
                continue
            if entry.mapper is not None:
                given = entry.mapper(given)
            if given is SKIP_WRITE or (entry.skip_none and given is None):
                continue
            task.writes.append((entry.channel, given))

    def declared(self) -> list[Declared]:
        found: list[Declared] = []
        for entry in self.writes:
            if isinstance(entry, ChannelWriteEntry):
                found.append((entry.channel, None))
            elif isinstance(entry, ChannelWriteTupleEntry):
                found += [(cell, label) for cell, _, label in entry.static or ()]
        return found


class StateWrite:
    """Writes a state update: a dict, a state object, commands, or a list of these.

    Args:
        keys: the state's keys; others in an update are left out.
        ends: where commands of this node may go, for drawing.
        strict: refuse a dict with a key that is not in the state.
    """

    __slots__ = ("edges", "ends", "keys", "ordered", "root")

    def __init__(self, keys: Sequence[str], ends: Sequence[Declared] = ()) -> None:
        self.ordered = tuple(keys)
        self.keys = frozenset(keys)
        self.root = list(keys) == [ROOT]
        self.ends = list(ends)
        self.edges: tuple[tuple[str, Any], ...] = ()

    def write(self, task: Task, value: Any) -> None:
        writes = task.writes
        if value.__class__ is dict and not self.root:
            keys = self.keys
            if keys.issuperset(value):
                writes += value.items()
            else:
                writes += [item for item in value.items() if item[0] in keys]
        elif value is not None:
            writes += self.updates(value)
            if not isinstance(value, dict):
                writes += control_writes(value)
        writes += self.edges

    def updates(self, value: Any) -> list[tuple[str, Any]]:
        """The writes of a state update.

        Raises:
            InvalidUpdateError: `value` is no update.
        """
        if isinstance(value, Command):
            if value.graph == Command.PARENT:
                return []
            return [(k, v) for k, v in value._update_as_tuples() if self.root or k in self.keys]
        if isinstance(value, list | tuple) and any(isinstance(item, Command) for item in value):
            return [w for item in value if item is not None for w in self.updates(item)]
        if self.root:
            return [(ROOT, value)]
        if isinstance(value, dict):
            return [(k, v) for k, v in value.items() if k in self.keys]
        if annotated_keys(type(value)):
            return update_as_tuples(value, self.ordered)
        raise InvalidUpdateError(
            f"Expected dict, got {value}. A node returns an update of the state "
            f"(a dict with keys of {', '.join(sorted(self.keys))}), a Command, or None."
        )

    def declared(self) -> list[Declared]:
        return [*((key, None) for key, _ in self.edges), *self.ends]


def _targets(goto: Any) -> Iterable[Any]:
    if isinstance(goto, Send | str) or not isinstance(goto, Iterable):
        return (goto,)
    return goto


def control_writes(value: Any) -> list[tuple[str, Any]]:
    """Where the sends and commands in what a node returned go on.

    Raises:
        ParentCommand: a command addresses the graph around this one.
        TypeError: a command goes to something that is neither a node's name nor a `Send`.
    """
    if isinstance(value, Send):
        return [(TASKS, value)]
    if isinstance(value, Command):
        commands = [value]
    elif isinstance(value, list | tuple):
        commands = [item for item in value if isinstance(item, Command)]
    else:
        return []
    writes: list[tuple[str, Any]] = []
    for command in commands:
        if command.graph == Command.PARENT:
            raise ParentCommand(command)
        for target in _targets(command.goto):
            if isinstance(target, Send):
                writes.append((TASKS, target))
            elif not isinstance(target, str):
                raise TypeError(
                    f"Command(goto=) is a node's name, a Send, or several of these, not {target!r}"
                )
            elif target != END:
                writes.append((BRANCH_TO + target, None))
    return writes
