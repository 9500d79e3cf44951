"""One namespace of a thread, as it is held in memory.

A thread may have many checkpoints, so each is held as a few flat objects: bytes, text, numbers, and
tuples of these, which the garbage collector does not visit again and again.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from taskloom._taskloom import _Outline
from taskloom.pregel.checkpoint.base import LATEST_VERSION, WRITES_IDX_MAP, Checkpoint
from taskloom.pregel.checkpoint.frame import Frame, difference, new_frame
from taskloom.pregel.checkpoint.patch import Chain, Patch
from taskloom.pregel.checkpoint.serde.base import SerializationError, SerializerProtocol
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer
from taskloom.pregel.ids import stamp, task_id

# A stored value: itself if it cannot change, (tag, bytes), or (tag, value, patch...) for a patch
# upon another.
Stored: TypeAlias = Any
# (task path, task id, index, cell, value); sorts as writes are applied
Write: TypeAlias = tuple[str, str, int, str, Stored]
Names: TypeAlias = tuple[str, str, int | None, str | None, str | None]
"""What names a task: its path; what its id is made of besides the checkpoint (namespace, superstep,
node, triggers), or the id and nothing else."""

Alone: TypeAlias = tuple[Names, Sequence[tuple[str, Any]]]
"""The only task of a superstep, and its writes."""
# A checkpoint without the values of its cells, flat, so that the garbage collector has one object
# to look at: the frame that adds to its versions, or None; the id of the checkpoint before; the
# time stamp, or the nanoseconds that it is made of; then None and the parts of versions, what nodes
# have seen, updated cells and metadata (see `parts_of`), or tag and bytes of these or of the whole.
Record: TypeAlias = tuple[Any, ...]

UNCHANGING = frozenset({int, str, float, bool, type(None), bytes})
_PATCHED_FROM = 256  # bytes; see `patch`


def whole(stored: tuple[Any, ...]) -> tuple[str, bytes]:
    """The tag and bytes of a value that is stored as such, or as a patch."""
    if len(stored) == 2:
        return stored
    tag = stored[0]
    patches: list[Patch] = []
    while len(stored) != 2:
        patches.append(Patch(*stored[2:]))
        stored = stored[1]
    raw: bytes = stored[1]
    for patch in reversed(patches):
        raw = patch.apply(raw)
    return tag, raw


def dumps(serde: SerializerProtocol, value: Any, where: str, name: str) -> Stored:
    """A value in its stored form.

    Raises:
        SerializationError: it has none; a note says `where` in `name` it was.
    """
    if type(value) in UNCHANGING:
        return value
    try:
        return serde.dumps_typed(value)
    except SerializationError as error:
        error.add_note(f"this was {where} {name!r}")
        raise


def loads(serde: SerializerProtocol, stored: Stored) -> Any:
    """A value from its stored form."""
    return serde.loads_typed(whole(stored)) if type(stored) is tuple else stored


NOTHING_ADDED: tuple[list[Any], Stored] = ([], None)


def parts_of(flat: Sequence[Any]) -> list[Any]:
    """The versions, what nodes have seen, the updated cells and the metadata of a flat record."""
    parts = iter(flat)
    versions = _map(parts)
    seen = {}
    for _ in range(next(parts)):
        node = next(parts)
        seen[node] = _map(parts)
    names = next(parts)
    updated = None if names is None else [next(parts) for _ in range(names)]
    metadata = {
        key: _map(iter(value)) if type(value) is tuple else value
        for key, value in _map(parts).items()
    }
    return [versions, seen, updated, metadata]


def _map(parts: Iterator[Any]) -> dict[str, Any]:
    return {next(parts): next(parts) for _ in range(next(parts))}


class Line:
    """The checkpoints of one namespace of a thread."""

    __slots__ = (
        "added",
        "alone",
        "chains",
        "frame",
        "ids",
        "records",
        "root",
        "since_sweep",
        "values",
        "writes",
    )

    dumps = staticmethod(dumps)

    def __init__(self) -> None:
        self.ids: list[str] = []  # sorted
        self.records: dict[str, Record] = {}
        self.values: dict[tuple[str, Any], Stored] = {}
        self.writes: dict[str, dict[str, list[Write]]] = {}  # by checkpoint and task
        # By checkpoint: the writes of the only task of its superstep, not yet made into rows; flat,
        # so that the garbage collector has one object to look at:
        # (path, what its id is made of besides the checkpoint..., cell, value, cell, value, ...)
        self.alone: dict[str, tuple[Any, ...]] = {}
        self.chains: dict[str, Chain] = {}
        self.added: tuple[list[Any], Stored] = NOTHING_ADDED  # to a list, by the last `store`
        self.frame = Frame("", {}, {})
        self.root = ""  # the newest checkpoint of the root namespace that this one belongs to
        self.since_sweep = 0

    def copy(self) -> Line:
        """A line with the same checkpoints. What records and rows hold is never changed."""
        twin = Line()
        twin.ids = self.ids.copy()
        twin.records = self.records.copy()
        twin.values = self.values.copy()
        twin.writes = {id: writes.copy() for id, writes in self.writes.items()}
        twin.alone = self.alone.copy()
        twin.frame = self.frame
        twin.root = self.root
        return twin

    # -- storing ------------------------------------------------------------------------------

    def add(self, id: str, record: Record) -> None:
        """Add a checkpoint, or put it in the place of one with its id."""
        if id not in self.records:
            if self.ids and id < self.ids[-1]:
                insort(self.ids, id)
            else:
                self.ids.append(id)
        self.records[id] = record

    def narrow(
        self, id: str, versions: dict[str, Any], seen: dict[str, Any]
    ) -> tuple[Frame, dict[str, Any], dict[str, Any]]:
        """A frame for a checkpoint's maps, and how they differ from it."""
        changed = difference(self.frame, versions, seen)
        if changed is None:
            self.frame = new_frame(id, versions, seen)
            return self.frame, {}, {}
        newer, seen_since = changed
        return self.frame, newer, seen_since

    def store(self, serde: SerializerProtocol, cell: str, version: Any, value: Any) -> Stored:
        """Store the value that a cell has in one version; a version never changes its value."""
        key = (cell, version)
        held = self.values.get(key, self)
        if held is not self:
            return held
        self.added = NOTHING_ADDED
        chain = self.chains.get(cell)
        base = None if chain is None else self.values.get((cell, chain.version))
        lengthens = base is not None and value.__class__ is list
        lengthens = lengthens and serde.__class__ is JsonPlusSerializer
        if chain is not None and lengthens:
            # The next version may be stored as what was added to this one, by the engine.
            chain.items = 0
            if chain.outline is None:
                chain.outline = _Outline()
            chain.outline.grown(value)
        stored = dumps(serde, value, "the value of the cell", cell)
        if type(stored) is tuple and len(stored[1]) >= _PATCHED_FROM:
            stored = self._patched(cell, version, stored, base)
            if lengthens and stored[0] == "msgpack":
                self.chains[cell].items = len(value)
        self.values[key] = stored
        return stored

    def _patched(self, cell: str, version: Any, stored: tuple[str, bytes], base: Stored) -> Stored:
        tag, raw = stored
        chain = self.chains.get(cell)
        if chain is None or base is None:
            self.chains[cell] = Chain(version, tag, raw)
            return stored
        if chain.raw is None:
            chain.raw = whole(base)[1]
        patch = chain.advance(version, tag, raw)
        return stored if patch is None else (tag, base, *patch)

    def add_row(self, id: str, row: tuple[Any, ...]) -> None:
        """Store what the only task of a superstep wrote, beside what is stored upon the checkpoint
        that it started from."""
        name = _task_id(id, row)
        self.add_writes(id, name, _rows(name, row[0], row[_NAMED:]))

    def add_writes(self, id: str, task: str, rows: list[Write]) -> None:
        """Store what a task wrote, beside what it wrote before."""
        tasks = self.writes_at(id, make=True)
        held = tasks.get(task)
        if held is None:
            tasks[task] = rows
            return
        by_index = {row[2]: row for row in held}
        for row in rows:
            if row[2] < 0 or row[2] not in by_index:
                by_index[row[2]] = row
        tasks[task] = [*by_index.values()]

    def writes_at(self, id: str, *, make: bool = False) -> dict[str, list[Write]]:
        """The writes upon a checkpoint, by task; with `make`, to be added to."""
        alone = self.alone.get(id)
        if alone is not None:
            name = _task_id(id, alone)
            found = {name: _rows(name, alone[0], alone[_NAMED:])}
            if make:
                self.writes[id] = found
                del self.alone[id]
            return found
        return self.writes.setdefault(id, {}) if make else self.writes.get(id, {})

    # -- reading ------------------------------------------------------------------------------

    def read(self, serde: SerializerProtocol, id: str) -> tuple[Checkpoint, Any]:
        """A checkpoint without the values of its cells, and its metadata."""
        frame, _, _, tag, *form = self.records[id]
        found = parts_of(form) if tag is None else serde.loads_typed((tag, form[0]))
        checkpoint: Checkpoint
        if len(found) == 2:
            checkpoint, metadata = found
        else:
            versions, seen, updated, metadata = found
            checkpoint = {
                "v": LATEST_VERSION,
                "ts": self.stamp_of(id),
                "id": id,
                "channel_values": {},
                "channel_versions": versions,
                "versions_seen": seen,
                "updated_channels": updated,
            }
        if frame is not None:
            seen = frame.seen | checkpoint["versions_seen"]
            checkpoint["versions_seen"] = {node: cells.copy() for node, cells in seen.items()}
            checkpoint["channel_versions"] = frame.versions | checkpoint["channel_versions"]
        return checkpoint, metadata

    def stamp_of(self, id: str) -> str:
        """The time stamp of a checkpoint."""
        time = self.records[id][2]
        return stamp(time) if isinstance(time, int) else time

    def read_writes(self, serde: SerializerProtocol, id: str) -> list[tuple[str, str, Any]]:
        """The writes upon a checkpoint, in the order in which they are applied."""
        rows = [row for task in self.writes_at(id).values() for row in task]
        rows.sort(key=itemgetter(0, 1, 2))
        return [(task, cell, loads(serde, stored)) for _, task, _, cell, stored in rows]

    # -- forgetting ---------------------------------------------------------------------------

    def drop(self, id: str) -> None:
        """Forget a checkpoint, and leave its place in `ids` to the caller."""
        del self.records[id]
        self.writes.pop(id, None)
        self.alone.pop(id, None)

    def sweep(self, serde: SerializerProtocol) -> None:
        """Forget the values that no checkpoint refers to."""
        alive: set[tuple[str, Any]] = set()
        for id in self.records:
            alive.update(self.read(serde, id)[0]["channel_versions"].items())
        self.values = {key: value for key, value in self.values.items() if key in alive}
        self.chains = {
            cell: chain for cell, chain in self.chains.items() if (cell, chain.version) in alive
        }
        self.since_sweep = 0


_NAMED = 5  # what stands in a row before its cells and values


def _task_id(checkpoint: str, row: Sequence[Any]) -> str:
    _, scope, step, name, triggers = row[:_NAMED]
    return scope if step is None else task_id(checkpoint, scope, str(step), name, triggers)


def _rows(task: str, path: str, flat: Sequence[Any]) -> list[Write]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [
        (path, task, WRITES_IDX_MAP.get(cell, index), cell, stored)
        for index, (cell, stored) in enumerate(pairs)
    ]
