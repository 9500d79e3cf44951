"""The cells of one run: their values, and how a superstep's writes are applied to them.

Cells of the common kinds are no objects here. The value of a plain or reduced cell is an entry of
`values`, so that a node's state is one dict copy; what an ephemeral cell holds is an entry of
`signals`, so that forgetting a superstep is dropping one dict. Any other kind is an object.

Versions count the changes of cells for checkpoints and interrupts. A run that has neither keeps
none: what is due then follows from what the last superstep changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from taskloom._taskloom import _absorb_writes, _apply_step, _bump, _note_seen
from taskloom.pregel import revive
from taskloom.pregel.channels.base import BaseChannel
from taskloom.pregel.channels.binop import ONE_OVERWRITE, unwrap_overwrite
from taskloom.pregel.channels.ephemeral_value import GUARDED
from taskloom.pregel.constants import ROOT, SIGNALS_ONLY, TASKS
from taskloom.pregel.errors import EmptyChannelError, InvalidUpdateError
from taskloom.pregel.missing import MISSING
from taskloom.pregel.types import Overwrite, Send

if TYPE_CHECKING:
    from taskloom.pregel.program import Program
    from taskloom.pregel.tasks import Task

logger = logging.getLogger("taskloom.pregel")

LAST, REDUCE, SIGNAL, GUARDED_SIGNAL, OBJECT, SENDS = range(6)

Versions = dict[str, Any]


def next_int(current: Any, _: None) -> int:
    """The version after `current`, for runs without a saver."""
    return 1 if current is None else int(current) + 1


class Cells:
    """The values of all cells of one run.

    Args:
        program: the compiled graph.
        stored: `channel_values` of the checkpoint to start from.
        versions: its `channel_versions`, or None to keep no versions.
        seen: its `versions_seen`.
        next_version: makes the version after a given one.
    """

    __slots__ = (
        "bumped",
        "highest",
        "kinds",
        "next_version",
        "objects",
        "operators",
        "program",
        "seen",
        "sends",
        "signals",
        "values",
        "versions",
    )

    def __init__(
        self,
        program: Program,
        stored: dict[str, Any] | None = None,
        versions: Versions | None = None,
        seen: dict[str, Versions] | None = None,
        next_version: Callable[[Any, None], Any] = next_int,
    ) -> None:
        self.program = program
        self.kinds, self.operators = program.kinds, program.operators
        self.values: dict[str, Any] = {key: spec.initial() for key, spec in program.reduced}
        self.signals: dict[str, Any] = {}
        self.sends: list[Send] = []
        self.objects: dict[str, BaseChannel[Any, Any, Any]] = {}
        for key, spec in program.objects:
            self.objects[key] = spec.from_checkpoint(MISSING)
        for key in program.bare:
            if self.values[key] is MISSING:
                del self.values[key]
        if stored:
            self._load(stored)
        self.versions = versions
        self.seen: dict[str, Versions] = {} if seen is None else seen
        self.next_version = next_version
        self.highest: Any = max(versions.values()) if versions else None
        self.bumped: set[str] = set()

    def _load(self, stored: dict[str, Any]) -> None:
        kinds = self.program.kinds
        for key, value in stored.items():
            kind = kinds.get(key)
            if kind is None:
                continue
            if kind <= REDUCE:
                self.values[key] = value
            elif kind == OBJECT:
                self.objects[key] = self.program.specs[key].from_checkpoint(value)
            elif kind == SENDS:
                stored_sends = value[1] if isinstance(value, tuple) else value
                self.sends = [revive.send(item) for item in stored_sends]
            else:
                self.signals[key] = value

    # Reading

    def get(self, key: str) -> Any:
        """A cell's value, or MISSING."""
        kind = self.program.kinds.get(key)
        if kind is None:
            return MISSING
        if kind <= REDUCE:
            return self.values.get(key, MISSING)
        if kind == OBJECT:
            try:
                return self.objects[key].get()
            except EmptyChannelError:
                return MISSING
        if kind == SENDS:
            return list(self.sends) if self.sends else MISSING
        return self.signals.get(key, MISSING)

    def is_available(self, key: str) -> bool:
        """Whether a cell holds a value."""
        kind = self.program.kinds[key]
        if kind <= REDUCE:
            return key in self.values
        if kind == OBJECT:
            return self.objects[key].is_available()
        return bool(self.sends) if kind == SENDS else key in self.signals

    def read(self, select: str | Sequence[str]) -> Any:
        """One cell's value (None if it holds none), or a dict of those that hold one."""
        if isinstance(select, str):
            value = self.get(select)
            return None if value is MISSING else value
        if self.program.all_plain(select):
            values = self.values
            return {key: values[key] for key in select if key in values}
        found = {}
        for key in select:
            value = self.get(key)
            if value is not MISSING:
                found[key] = value
        return found

    def read_fresh(
        self,
        select: str | Sequence[str],
        writes: Iterable[tuple[str, Any]],
        *,
        all_plain: bool = False,
    ) -> Any:
        """As `read`, with `writes` applied to a copy; `all_plain` if these are all plain cells."""
        single = isinstance(select, str)
        wanted = (select,) if isinstance(select, str) else select
        found = self.values.copy() if all_plain else self.read(wanted)
        kinds, operators = self.program.kinds, self.program.operators
        pending: dict[str, list[Any]] = {}
        chosen: Any = wanted
        if all_plain:
            chosen = self.program.plain_keys
        elif len(wanted) > 8:
            chosen = frozenset(wanted)
        for key, value in writes:
            if key not in chosen:
                continue
            kind = kinds[key]
            if kind == LAST:
                found[key] = value
            elif kind == REDUCE:
                new = unwrap_overwrite(value)
                if new is not MISSING:
                    found[key] = new
                else:
                    found[key] = operators[key](found[key], value) if key in found else value
            else:
                pending.setdefault(key, []).append(value)
        for key, new in pending.items():
            cell = self.objects[key].copy() if key in self.objects else self._signal(key)
            cell.update(new)
            if cell.is_available():
                found[key] = cell.get()
        return found.get(wanted[0]) if single else found

    def _signal(self, key: str) -> BaseChannel[Any, Any, Any]:
        return self.program.specs[key].from_checkpoint(self.signals.get(key, MISSING))

    # Writing

    def apply(self, tasks: Sequence[Task], stepping: bool = True) -> list[str]:
        """Apply the writes of `tasks`, which are in their order of precedence.

        Args:
            tasks: what ran; each write is a pair of cell name and value.
            stepping: this ends a superstep: cells that were not written are told so.

        Returns:
            The names of the cells that changed and hold a value.

        Raises:
            InvalidUpdateError: a cell cannot take its writes together.
        """
        program, versions = self.program, self.versions
        changed: list[str] = []
        pending: dict[str, list[Any]] | None = None
        if stepping and not program.objects:
            found = _apply_step(self, tasks, Overwrite)
            if isinstance(found, list):
                return found
        else:
            if versions is not None:
                _note_seen(tasks, versions, self.seen)
            if program.consuming:
                changed = self._consume(tasks)
            found = _absorb_writes(tasks, self.kinds, self.operators, self.values, Overwrite)
        updated, signals, sends, written, place = found
        if place is not None:
            pending = self._apply_from(place, tasks, written, signals, sends)
            updated = [*written, *signals]
        if pending is not None or program.objects:
            self._update_objects(pending, stepping, updated, changed)
        if stepping:
            old = self.signals
            self.signals = signals
            if versions is not None:
                changed += [key for key in old if key not in signals]
            if sends or self.sends:
                self.sends = sends
                (updated if sends else changed).append(TASKS)
            if program.finishing and program.triggers.isdisjoint(updated):
                self._finish(updated)
        else:
            if signals:
                self.signals = {**self.signals, **signals}
            if sends:
                self.sends = sends
                updated.append(TASKS)
        if versions is not None and (updated or changed):
            self.highest = version = self.next_version(self.highest, None)
            _bump(version, updated, changed, versions, self.bumped)
        return updated

    def _apply_from(
        self,
        place: tuple[int, int],
        tasks: Sequence[Task],
        written: set[str],
        signals: dict[str, Any],
        sends: list[Send],
    ) -> dict[str, list[Any]]:
        """Apply all writes from one on (of which task, and which of its writes) that is not plain.

        Returns:
            The writes to cells that are objects.
        """
        program, values = self.program, self.values
        kinds = program.kinds
        pending: dict[str, list[Any]] = {}
        overwritten: set[str] = set()
        first, start = place
        for number in range(first, len(tasks)):
            task = tasks[number]
            for key, value in task.writes[start:]:
                kind = kinds.get(key)
                if kind == SIGNAL:
                    signals[key] = value
                elif kind == LAST:
                    if key in written:
                        raise InvalidUpdateError(_clash(key, tasks))
                    written.add(key)
                    values[key] = value
                elif kind == REDUCE:
                    written.add(key)
                    new = unwrap_overwrite(value)
                    if new is not MISSING:
                        if key in overwritten:
                            raise InvalidUpdateError(ONE_OVERWRITE.format(key=key))
                        overwritten.add(key)
                        values[key] = new
                    elif key not in overwritten:
                        if key in values:
                            values[key] = program.operators[key](values[key], value)
                        else:
                            values[key] = value
                elif kind == SENDS:
                    sends.append(value)
                elif kind == OBJECT:
                    pending.setdefault(key, []).append(value)
                elif kind == GUARDED_SIGNAL:
                    if key in signals:
                        raise InvalidUpdateError(GUARDED.format(key=key, cell="EphemeralValue"))
                    signals[key] = value
                elif key not in SIGNALS_ONLY:
                    logger.warning("Task %s wrote to the unknown cell %r; ignored.", task.name, key)
            start = 0
        return pending

    def _consume(self, tasks: Sequence[Task]) -> list[str]:
        """Tell the cells that triggered tasks that these ran; returns which of them changed."""
        consuming = self.program.consuming
        changed: list[str] = []
        for task in tasks:
            for key in task.triggers:
                if key in consuming and key not in changed and self.objects[key].consume():
                    changed.append(key)
        return changed

    def _update_objects(
        self,
        pending: dict[str, list[Any]] | None,
        stepping: bool,
        updated: list[str],
        changed: list[str],
    ) -> None:
        objects = self.objects
        done: set[str] = set()
        for key, new in (pending or {}).items():
            if objects[key].update(new):
                if objects[key].is_available():
                    updated.append(key)
                    done.add(key)
                else:
                    changed.append(key)
        if stepping:
            for key in self.program.volatile:
                cell = objects[key]
                if key not in done and cell.is_available() and cell.update(()):
                    (updated if cell.is_available() else changed).append(key)

    def _finish(self, updated: list[str]) -> None:
        for key in self.program.finishing:
            cell = self.objects[key]
            if cell.finish() and cell.is_available():
                updated.append(key)

    # Storing

    def checkpoint(self) -> dict[str, Any]:
        """What a checkpoint stores of each cell that was ever written."""
        versions = self.versions or {}
        stored = self.values.copy()
        for key, _ in self.program.reduced:  # these hold a value before they are written
            if key not in versions:
                stored.pop(key, None)
        stored.update(self.signals)
        for key, cell in self.objects.items():
            if key in versions:
                value = cell.stored()
                if value is not MISSING:
                    stored[key] = value
        if TASKS in versions:
            stored[TASKS] = self._storable_sends()
        return stored

    def storable(self, key: str) -> tuple[Any, ...]:
        """What is stored of a cell that is an object, or of the sends: that, or nothing."""
        if key == TASKS:
            return (self._storable_sends(),)
        value = self.objects[key].stored()
        return () if value is MISSING else (value,)

    def _storable_sends(self) -> list[Send]:
        untracked = self.program.untracked
        if not untracked:
            return self.sends
        return [strip_untracked(send, untracked) for send in self.sends]


def strip_untracked(send: Send, untracked: frozenset[str]) -> Send:
    """A send without the values of cells that are never stored."""
    if not isinstance(send, Send) or not isinstance(send.arg, dict):
        return send
    arg = {key: value for key, value in send.arg.items() if key not in untracked}
    return Send(send.node, arg, timeout=send.timeout)


def _clash(key: str, tasks: Sequence[Task]) -> str:
    names = [task.name for task in tasks for name, _ in task.writes if name == key]
    where = "the state" if key == ROOT else f"key '{key}'"
    return (
        f"At key '{key}': Can receive only one value per step, but {where} was written by "
        f"{' and '.join(repr(name) for name in names)}. "
        "Use an Annotated key with a reducer to take several."
    )
