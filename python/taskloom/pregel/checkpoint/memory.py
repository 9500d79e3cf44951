"""Checkpoints in this process's memory, for tests, notebooks and short-lived programs.

Values are stored as bytes, so that changing a value later does not change the past, and they never
leave the process: every class that holds plain data is allowed, there is nobody to distrust.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import AsyncIterator, Iterator, Sequence
from operator import itemgetter
from types import TracebackType
from typing import Any, TypeAlias

from taskloom.pregel.checkpoint.base import (
    EXCLUDED_METADATA_KEYS,
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Config,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from taskloom.pregel.checkpoint.frame import Frame, difference, is_wide, new_frame
from taskloom.pregel.checkpoint.patch import Chain, Patch
from taskloom.pregel.checkpoint.retention import Retention, check_strategy, is_call_namespace
from taskloom.pregel.checkpoint.serde.base import SerializationError, SerializerProtocol
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer

# A stored value: ("", the value itself) if it cannot change, (tag, bytes), or a patch upon another.
Stored: TypeAlias = "tuple[str, Any] | _Patched"
# ((checkpoint without its values, metadata) as bytes, what its frame adds, parent id, time stamp).
# Without containers in it: the garbage collector would visit them again and again.
_Record: TypeAlias = tuple[tuple[str, bytes], Frame | None, str | None, str]
# (task path, task id, index, cell, value); sorts as writes are applied
_Write: TypeAlias = tuple[str, str, int, str, tuple[str, Any]]

_UNCHANGING = frozenset({int, str, float, bool, type(None), bytes})
_PATCHED_FROM = 256  # bytes; see `patch`


class _Patched:
    """A value stored as a patch upon another one, which it keeps alive."""

    __slots__ = ("base", "patch", "tag")

    def __init__(self, base: Stored, tag: str, patch: Patch) -> None:
        self.base = base
        self.tag = tag
        self.patch = patch

    def whole(self) -> tuple[str, bytes]:
        patches = [self.patch]
        base = self.base
        while isinstance(base, _Patched):
            patches.append(base.patch)
            base = base.base
        raw: bytes = base[1]
        for patch in reversed(patches):
            raw = patch.apply(raw)
        return self.tag, raw


class _Line:
    """The checkpoints of one namespace of a thread."""

    __slots__ = ("chains", "frame", "ids", "records", "root", "since_sweep", "values", "writes")

    def __init__(self) -> None:
        self.ids: list[str] = []  # sorted
        self.records: dict[str, _Record] = {}
        self.values: dict[tuple[str, Any], Stored] = {}
        self.writes: dict[str, dict[str, list[_Write]]] = {}  # by checkpoint and task
        self.chains: dict[str, Chain] = {}
        self.frame = Frame("", {}, {})
        self.root = ""  # the newest checkpoint of the root namespace that this one belongs to
        self.since_sweep = 0

    def narrow(self, rest: Checkpoint) -> Frame:
        """Reduce the maps of a checkpoint to what differs from the frame that is returned."""
        versions, seen = rest["channel_versions"], rest["versions_seen"]
        changed = difference(self.frame, versions, seen)
        if changed is None:
            self.frame = new_frame(rest["id"], versions, seen)
            rest["channel_versions"], rest["versions_seen"] = {}, {}
        else:
            rest["channel_versions"], rest["versions_seen"] = changed
        return self.frame

    def drop(self, id: str) -> None:
        del self.records[id]
        self.writes.pop(id, None)

    def sweep(self, serde: SerializerProtocol) -> None:
        """Forget the values that no checkpoint refers to."""
        alive: set[tuple[str, Any]] = set()
        for packed, frame, _, _ in self.records.values():
            versions = serde.loads_typed(packed)[0]["channel_versions"]
            alive.update(versions.items() if frame is None else (frame.versions | versions).items())
        self.values = {key: value for key, value in self.values.items() if key in alive}
        self.chains = {
            cell: chain for cell, chain in self.chains.items() if (cell, chain.version) in alive
        }
        self.since_sweep = 0


class InMemorySaver(BaseCheckpointSaver[int]):
    """Keeps checkpoints in memory; they end with the process.

    Safe to use from several threads. A thread's memory grows with what changes, not with the
    number of steps times the size of the state.

    Args:
        serde: how values become bytes; by default every class that holds plain data is allowed.
        keep_last: keep only so many checkpoints of each namespace, the newest.
        max_age: keep checkpoints only for so many seconds; the newest stays.

    Example:
        >>> from taskloom.pregel.checkpoint.base import empty_checkpoint
        >>> saver = InMemorySaver(keep_last=1)
        >>> config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
        >>> for step in range(3):
        ...     _ = saver.put(config, empty_checkpoint(), {"step": step}, {})
        >>> [found.metadata["step"] for found in saver.list(config)]
        [2]
    """

    def __init__(
        self,
        *,
        serde: SerializerProtocol | None = None,
        keep_last: int | None = None,
        max_age: float | None = None,
    ) -> None:
        super().__init__(serde=serde or JsonPlusSerializer(allowed_msgpack_modules=True))
        self._retention = Retention(keep_last=keep_last, max_age=max_age)
        self._retires = bool(self._retention)
        self._threads: dict[str, dict[str, _Line]] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> InMemorySaver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def __aenter__(self) -> InMemorySaver:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    # -- storing ------------------------------------------------------------------------------

    def put(
        self,
        config: Config,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Config:
        """Store a checkpoint; see `BaseCheckpointSaver.put`."""
        where = config["configurable"]
        thread_id, namespace = where["thread_id"], where.get("checkpoint_ns", "")
        known = metadata
        if config.get("metadata") or not where.keys() <= EXCLUDED_METADATA_KEYS:
            known = get_checkpoint_metadata(config, metadata)
        id = checkpoint["id"]
        rest = checkpoint.copy()
        contents = rest["channel_values"]
        rest["channel_values"] = {}
        wide = is_wide(rest["channel_versions"], rest["versions_seen"])
        frame: Frame | None = None
        packed = None if wide else self.serde.dumps_typed([rest, known])
        with self._lock:
            try:
                line = self._threads[thread_id][namespace]
            except KeyError:
                line = self._line(thread_id, namespace)
            for cell, version in new_versions.items():
                if cell in contents:
                    self._store(line, cell, version, contents[cell])
            if packed is None:
                frame = line.narrow(rest)
                packed = self.serde.dumps_typed([rest, known])
            if id not in line.records:
                if line.ids and id < line.ids[-1]:
                    insort(line.ids, id)
                else:
                    line.ids.append(id)
            line.records[id] = (packed, frame, where.get("checkpoint_id"), rest["ts"])
            if namespace and (parents := metadata.get("parents")):
                line.root = max(line.root, parents.get("", ""))
            if self._retires:
                self._retire(thread_id, line)
        return {
            "configurable": {
                "thread_id": thread_id,
                "checkpoint_ns": namespace,
                "checkpoint_id": id,
            }
        }

    def _line(self, thread_id: str, namespace: str) -> _Line:
        lines = self._threads.get(thread_id)
        if lines is None:
            lines = self._threads[thread_id] = {}
        line = lines.get(namespace)
        if line is None:
            line = lines[namespace] = _Line()
        return line

    def _store(self, line: _Line, cell: str, version: Any, value: Any) -> None:
        key = (cell, version)
        if key in line.values:
            return  # a version never changes its value
        if type(value) in _UNCHANGING:
            line.values[key] = ("", value)
            return
        try:
            tag, raw = self.serde.dumps_typed(value)
        except SerializationError as error:
            error.add_note(f"this was the value of the cell {cell!r}")
            raise
        if len(raw) < _PATCHED_FROM:
            line.values[key] = (tag, raw)
            return
        chain = line.chains.get(cell)
        base = None if chain is None else line.values.get((cell, chain.version))
        if chain is None or base is None:
            line.chains[cell] = Chain(version, tag, raw)
            line.values[key] = (tag, raw)
            return
        patch = chain.advance(version, tag, raw)
        line.values[key] = (tag, raw) if patch is None else _Patched(base, tag, patch)

    def put_writes(
        self,
        config: Config,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote; see `BaseCheckpointSaver.put_writes`."""
        where = config["configurable"]
        rows: list[_Write] = []
        for index, (cell, value) in enumerate(writes):
            if type(value) in _UNCHANGING:
                stored: tuple[str, Any] = ("", value)
            else:
                try:
                    stored = self.serde.dumps_typed(value)
                except SerializationError as error:
                    error.add_note(f"this was written to the cell {cell!r} by the task {task_id}")
                    raise
            rows.append((task_path, task_id, WRITES_IDX_MAP.get(cell, index), cell, stored))
        with self._lock:
            line = self._line(where["thread_id"], where.get("checkpoint_ns", ""))
            tasks = line.writes.get(where["checkpoint_id"])
            if tasks is None:
                tasks = line.writes[where["checkpoint_id"]] = {}
            held = tasks.get(task_id)
            if held is None:
                tasks[task_id] = rows
            else:
                by_index = {row[2]: row for row in held}
                for row in rows:
                    if row[2] < 0 or row[2] not in by_index:
                        by_index[row[2]] = row
                tasks[task_id] = [*by_index.values()]

    # -- reading ------------------------------------------------------------------------------

    def get_tuple(self, config: Config) -> CheckpointTuple | None:
        """Return a checkpoint; see `BaseCheckpointSaver.get_tuple`."""
        where = config["configurable"]
        thread_id, namespace = where["thread_id"], where.get("checkpoint_ns", "")
        with self._lock:
            line = self._threads.get(thread_id, {}).get(namespace)
            if line is None or not line.ids:
                return None
            id = get_checkpoint_id(config) or line.ids[-1]
            return self._load(thread_id, namespace, line, id) if id in line.records else None

    def list(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Return checkpoints, newest first; see `BaseCheckpointSaver.list`."""
        where = {} if config is None else config["configurable"]
        with self._lock:
            threads = tuple(self._threads) if config is None else (where["thread_id"],)
            found = [
                (thread_id, namespace, line, id)
                for thread_id in threads
                for namespace, line in self._threads.get(thread_id, {}).items()
                if where.get("checkpoint_ns") in (None, namespace)
                for id in reversed(line.ids)
            ]
        found.sort(key=itemgetter(3), reverse=True)
        wanted = where.get("checkpoint_id")
        bound = get_checkpoint_id(before) if before else None
        left = len(found) if limit is None else limit
        for thread_id, namespace, line, id in found:
            if left <= 0:
                return
            if (wanted and id != wanted) or (bound and id >= bound):
                continue
            with self._lock:
                record = line.records.get(id)
                if record is None:
                    continue  # dropped since
                if filter:
                    known = self.serde.loads_typed(record[0])[1]
                    if any(known.get(key) != value for key, value in filter.items()):
                        continue
                loaded = self._load(thread_id, namespace, line, id)
            left -= 1
            yield loaded

    def _load(self, thread_id: str, namespace: str, line: _Line, id: str) -> CheckpointTuple:
        packed, frame, parent, _ = line.records[id]
        checkpoint, known = self.serde.loads_typed(packed)
        if frame is not None:
            seen = frame.seen | checkpoint["versions_seen"]
            checkpoint["versions_seen"] = {node: cells.copy() for node, cells in seen.items()}
            checkpoint["channel_versions"] = frame.versions | checkpoint["channel_versions"]
        contents = checkpoint["channel_values"]
        for key in checkpoint["channel_versions"].items():
            stored = line.values.get(key)
            if stored is not None:
                contents[key[0]] = self._value(stored)
        tasks = line.writes.get(id, {})
        writes = sorted((row for rows in tasks.values() for row in rows), key=itemgetter(0, 1, 2))

        def named(id: str) -> Config:
            return {
                "configurable": {
                    "thread_id": thread_id,
                    "checkpoint_ns": namespace,
                    "checkpoint_id": id,
                }
            }

        return CheckpointTuple(
            config=named(id),
            checkpoint=checkpoint,
            metadata=known,
            parent_config=named(parent) if parent else None,
            pending_writes=[
                (task_id, cell, self._value(stored)) for _, task_id, _, cell, stored in writes
            ],
        )

    def _value(self, stored: Stored) -> Any:
        if isinstance(stored, _Patched):
            return self.serde.loads_typed(stored.whole())
        return self.serde.loads_typed(stored) if stored[0] else stored[1]

    # -- forgetting ---------------------------------------------------------------------------

    def _retire(self, thread_id: str, line: _Line) -> None:
        """Drop what is not kept any longer. The lock is held."""
        retention = self._retention
        over = len(line.ids) - (retention.keep_last or len(line.ids))
        oldest = [line.records[id][3] for id in line.ids[: max(8, over)]]
        drop = retention.excess(oldest, len(line.ids))
        for id in line.ids[:drop]:
            line.drop(id)
        del line.ids[:drop]
        line.since_sweep += drop
        if line.since_sweep >= retention.sweep_interval:
            self._sweep(thread_id)

    def _sweep(self, thread_id: str) -> None:
        lines = self._threads[thread_id]
        root = lines.get("")
        if root is not None and root.ids:
            for namespace in tuple(lines):
                if is_call_namespace(namespace) and "" < lines[namespace].root < root.ids[0]:
                    del lines[namespace]
        for line in lines.values():
            line.sweep(self.serde)

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread, in all its namespaces."""
        with self._lock:
            self._threads.pop(thread_id, None)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints, and their writes, that these runs made."""
        runs = set(run_ids)
        with self._lock:
            for lines in self._threads.values():
                for line in lines.values():
                    for id, record in tuple(line.records.items()):
                        if self.serde.loads_typed(record[0])[1].get("run_id") in runs:
                            line.drop(id)
                    line.ids = sorted(line.records)
                    line.sweep(self.serde)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another, replacing what that held."""
        with self._lock:
            source = self._threads.get(source_thread_id)
            if source is None or source_thread_id == target_thread_id:
                return
            # A frame, and whatever a record holds, is never changed: the copies share them.
            copies: dict[str, _Line] = {}
            for namespace, line in source.items():
                copied = copies[namespace] = _Line()
                copied.ids = line.ids.copy()
                copied.records = line.records.copy()
                copied.values = line.values.copy()
                copied.writes = {id: writes.copy() for id, writes in line.writes.items()}
                copied.frame = line.frame
                copied.root = line.root
            self._threads[target_thread_id] = copies

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forget old checkpoints; see `BaseCheckpointSaver.prune`."""
        check_strategy(strategy)
        with self._lock:
            for thread_id in thread_ids:
                if strategy == "delete":
                    self._threads.pop(thread_id, None)
                    continue
                for line in self._threads.get(thread_id, {}).values():
                    for id in line.ids[:-1]:
                        line.drop(id)
                    del line.ids[:-1]
                    line.sweep(self.serde)

    # -- the asynchronous face: nothing here waits, so it runs where it is called -----------------

    async def aget_tuple(self, config: Config) -> CheckpointTuple | None:
        """Return what `get_tuple` returns."""
        return self.get_tuple(config)

    async def alist(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Iterate over what `list` returns."""
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def aput(
        self,
        config: Config,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Config:
        """Do what `put` does."""
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: Config,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Do what `put_writes` does."""
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Do what `delete_thread` does."""
        self.delete_thread(thread_id)


MemorySaver = InMemorySaver
"""LangGraph's older name."""
