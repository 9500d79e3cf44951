"""Checkpoints in this process's memory, for tests, notebooks and short-lived programs.

Values are stored as bytes, so that changing a value later does not change the past, and they never
leave the process: every class that holds plain data is allowed, there is nobody to distrust.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from taskloom._taskloom import _store_put, _store_step
from taskloom.pregel.checkpoint.base import (
    LATEST_VERSION,
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Config,
    get_checkpoint_id,
    get_checkpoint_metadata,
    passes,
)
from taskloom.pregel.checkpoint.frame import Frame, is_wide
from taskloom.pregel.checkpoint.memory.line import Alone, Line, Write, dumps, loads
from taskloom.pregel.checkpoint.retention import Retention, check_strategy, is_call_namespace
from taskloom.pregel.checkpoint.serde.base import SerializerProtocol
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:
    from taskloom.pregel.cells import Cells


def _lines() -> dict[str, Line]:
    return defaultdict(Line)


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
        self._threads: dict[str, dict[str, Line]] = defaultdict(_lines)
        self._lock = threading.RLock()

    @property
    def usual_serde(self) -> bool:
        """Whether values are serialised as by default, so that the engine may do it.

        One of the user's own hears of every checkpoint.
        """
        return type(self.serde) is JsonPlusSerializer

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
        known, parent = metadata, where.get("checkpoint_id")
        bare = len(where) == 3 and "checkpoint_id" in where and "checkpoint_ns" in where
        if not bare or config.get("metadata"):
            known = get_checkpoint_metadata(config, metadata)
        id = checkpoint["id"]
        with self._lock:
            line = self._threads[thread_id][namespace]
            if not self.usual_serde or not _store_put(
                line, self.serde, checkpoint, LATEST_VERSION, known, new_versions, parent
            ):
                versions, seen = checkpoint["channel_versions"], checkpoint["versions_seen"]
                frame: Frame | None = None
                if is_wide(versions, seen):
                    frame, versions, seen = line.narrow(id, versions, seen)
                rest = dict(checkpoint, channel_values={})
                rest.update(channel_versions=versions, versions_seen=seen)
                tag, raw = self.serde.dumps_typed([rest, known])
                line.add(id, (frame, parent, checkpoint["ts"], tag, raw))
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

    def put_step(  # noqa: PLR0917 (called by the engine, once a superstep)
        self,
        thread_id: str,
        namespace: str,
        id: str,
        parent: str | None,
        cells: Cells,
        about: tuple[list[str] | None, Any],
        alone: Alone | None,
    ) -> None:
        """Store a superstep at once: its checkpoint, and what its only task wrote.

        This does what `put_writes` and `put` do, with less to hand over; the engine calls it if
        neither was overridden.

        Args:
            thread_id: the thread.
            namespace: the namespace.
            id: the checkpoint's id.
            parent: the id of the checkpoint that the superstep started from.
            cells: the cells; those that have changed since the last step are stored.
            about: the checkpoint's updated channels and metadata.
            alone: the task and its writes, if the superstep had only one.
        """
        with self._lock:
            line = self._threads[thread_id][namespace]
            _store_step(line, self.serde, cells, id, parent, about, alone)
            if namespace and (parents := about[1].get("parents")):
                line.root = max(line.root, parents.get("", ""))
            if self._retires:
                self._retire(thread_id, line)

    def put_writes(
        self,
        config: Config,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote; see `BaseCheckpointSaver.put_writes`."""
        where = config["configurable"]
        rows: list[Write] = []
        for index, (cell, value) in enumerate(writes):
            stored = dumps(self.serde, value, f"written by the task {task_id} to the cell", cell)
            rows.append((task_path, task_id, WRITES_IDX_MAP.get(cell, index), cell, stored))
        with self._lock:
            line = self._threads[where["thread_id"]][where.get("checkpoint_ns", "")]
            line.add_writes(where["checkpoint_id"], task_id, rows)

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
                if id not in line.records:
                    continue  # dropped since
                if filter:
                    known = line.read(self.serde, id)[1]
                    if not passes(known, filter):
                        continue
                loaded = self._load(thread_id, namespace, line, id)
            left -= 1
            yield loaded

    def _load(self, thread_id: str, namespace: str, line: Line, id: str) -> CheckpointTuple:
        parent = line.records[id][1]
        checkpoint, known = line.read(self.serde, id)
        contents = checkpoint["channel_values"]
        for key in checkpoint["channel_versions"].items():
            stored = line.values.get(key, line)
            if stored is not line:
                contents[key[0]] = loads(self.serde, stored)

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
            pending_writes=line.read_writes(self.serde, id),
        )

    # -- forgetting ---------------------------------------------------------------------------

    def _retire(self, thread_id: str, line: Line) -> None:
        """Drop what is not kept any longer. The lock is held."""
        retention = self._retention
        over = len(line.ids) - (retention.keep_last or len(line.ids))
        oldest = [line.stamp_of(id) for id in line.ids[: max(8, over)]]
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
                    for id in tuple(line.records):
                        if line.read(self.serde, id)[1].get("run_id") in runs:
                            line.drop(id)
                    line.ids = sorted(line.records)
                    line.sweep(self.serde)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another, replacing what that held."""
        with self._lock:
            source = self._threads.get(source_thread_id)
            if source is None or source_thread_id == target_thread_id:
                return
            copies = {namespace: line.copy() for namespace, line in source.items()}
            self._threads[target_thread_id] = defaultdict(Line, copies)

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
