"""What a checkpoint is, and what a place that stores checkpoints must do.

The names, the methods and the shapes of the records are LangGraph's (`langgraph.checkpoint.base`),
so that its savers serve this engine as they are, and one who knows them knows these. A saver need
not derive from `BaseCheckpointSaver`: whatever has its methods will do.

A *thread* is one conversation or computation, named by `config["configurable"]["thread_id"]`; a
*namespace* (`checkpoint_ns`, "" for the root) keeps the checkpoints of subgraphs apart. Each
checkpoint names its parent, so a thread is a tree: going back in time and going on from there
starts a branch. *Cell* values (LangGraph: channels) are stored once for each version of the cell,
not once for each checkpoint.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import (
    Any,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
)

from taskloom._taskloom import _next_version
from taskloom.pregel.checkpoint.serde.base import SerializerProtocol
from taskloom.pregel.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED
from taskloom.pregel.ids import checkpoint_id, timestamp

V = TypeVar("V", int, float, str)

Config: TypeAlias = dict[str, Any]
"""A run's configuration; a saver reads `configurable` and `metadata` of it."""
ChannelVersions: TypeAlias = dict[str, str | int | float]
"""The version of each cell; versions of one cell only grow."""
PendingWrite: TypeAlias = tuple[str, str, Any]
"""A write that waits for its superstep to end: `(task id, cell, value)`."""

LATEST_VERSION = 4
"""The format that a new `Checkpoint` says it has."""

WRITES_IDX_MAP = {ERROR: -1, SCHEDULED: -2, INTERRUPT: -3, RESUME: -4}
"""Writes under these names have fixed places below zero and replace what was there; all others
are numbered from zero, and the first to arrive stays."""

_BATCH = 64  # checkpoints read at a time by `alist`

EXCLUDED_METADATA_KEYS = frozenset(
    {
        "thread_id",
        "checkpoint_id",
        "checkpoint_ns",
        "checkpoint_map",
        "langgraph_step",
        "langgraph_node",
        "langgraph_triggers",
        "langgraph_path",
        "langgraph_checkpoint_ns",
    }
)
"""Keys of a configuration that say where a checkpoint is, not what it is."""


class CheckpointMetadata(TypedDict, total=False):
    """What is known about a checkpoint besides its content. Further keys are kept.

    Example:
        >>> known: CheckpointMetadata = {"source": "loop", "step": 3, "parents": {}}
    """

    source: Literal["input", "loop", "update", "fork"]
    """Made by the input of a run, by a superstep, by an update by hand, or as a copy."""
    step: int
    """-1 for the first input, 0 for the first superstep, counting on from there."""
    parents: dict[str, str]
    """The ids of the checkpoints of the graphs around this one, by namespace."""
    run_id: str
    """The run that made it."""
    counters_since_delta_snapshot: dict[str, tuple[int, int]]
    """LangGraph's bookkeeping for its delta channels; carried, not read."""


class Checkpoint(TypedDict):
    """The state of a graph between two supersteps.

    Example:
        >>> checkpoint = empty_checkpoint()
        >>> checkpoint["channel_values"], checkpoint["channel_versions"]
        ({}, {})
    """

    v: int
    """The version of this format."""
    id: str
    """Unique; ids of one thread sort by the time they were made."""
    ts: str
    """When it was made, in ISO 8601."""
    channel_values: dict[str, Any]
    """The content of each cell that has any."""
    channel_versions: ChannelVersions
    """The version of each cell that was ever written."""
    versions_seen: dict[str, ChannelVersions]
    """For each node, the versions of its cells that it has already run on."""
    updated_channels: NotRequired[list[str] | None]
    """The cells that the step before this checkpoint wrote."""


@final
class CheckpointTuple(NamedTuple):
    """A checkpoint with all that belongs to it.

    Example:
        >>> config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
        >>> CheckpointTuple(config, empty_checkpoint(), {"step": -1}).metadata["step"]
        -1
    """

    config: Config
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_config: Config | None = None
    pending_writes: list[PendingWrite] | None = None


class DeltaChannelHistory(TypedDict):
    """What one cell was given on the way to a checkpoint, oldest first, since its `seed`."""

    writes: list[PendingWrite]
    seed: NotRequired[Any]


class BaseCheckpointSaver(Generic[V]):
    """A place where checkpoints are stored. Derive from it to add one.

    A saver of one's own implements `get_tuple`, `list`, `put`, `put_writes` and `delete_thread`.
    The asynchronous twins run those in a thread unless they are overridden too. `delete_for_runs`,
    `copy_thread` and `prune` are optional.

    Args:
        serde: how values become bytes; `JsonPlusSerializer()` unless given.

    Example:
        >>> from taskloom.pregel.checkpoint.memory import InMemorySaver
        >>> from taskloom.pregel.checkpoint.base import empty_checkpoint
        >>> saver = InMemorySaver()
        >>> config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
        >>> saved = saver.put(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
        >>> saver.get_tuple(config).metadata["step"]
        -1
    """

    serde: SerializerProtocol

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        if serde is None:
            from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer

            serde = JsonPlusSerializer()
        self.serde = serde

    @property
    def config_specs(self) -> Sequence[Any]:
        """Configuration fields of this saver, for tools that list them: none."""
        return []

    def get(self, config: Config) -> Checkpoint | None:
        """Return the checkpoint that `config` names, or the thread's newest; `None` if none."""
        found = self.get_tuple(config)
        return None if found is None else found.checkpoint

    def get_tuple(self, config: Config) -> CheckpointTuple | None:
        """Return the checkpoint that `config` names, or the thread's newest, with its writes.

        Args:
            config: `configurable` holds `thread_id`, and may hold `checkpoint_ns` and
                `checkpoint_id`.

        Returns:
            The tuple, its pending writes ordered by task path, task id and index; `None` if there
            is no such checkpoint.
        """
        raise NotImplementedError

    def list(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Return checkpoints, newest first.

        Args:
            config: the thread, and the namespace if it names one; `None` for all threads.
            filter: metadata that must be equal, key by key.
            before: only checkpoints with a smaller id than the one this names.
            limit: at most so many.
        """
        raise NotImplementedError

    def put(
        self,
        config: Config,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Config:
        """Store a checkpoint. When this returns, it is as safe as the saver makes it.

        Args:
            config: thread and namespace; its `checkpoint_id` is the parent's.
            checkpoint: what to store. Only the cells in `new_versions` are stored anew.
            metadata: what is known about it.
            new_versions: the cells that changed since the parent, with their new versions.

        Returns:
            A configuration that names the stored checkpoint.
        """
        raise NotImplementedError

    def put_writes(
        self,
        config: Config,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a finished task wrote while others of its superstep still run.

        Args:
            config: names the checkpoint that the superstep started from.
            writes: `(cell, value)` pairs. Storing those of one task again changes nothing, but
                for the reserved names in `WRITES_IDX_MAP`, which are replaced.
            task_id: the task.
            task_path: where the task comes in the order in which writes are applied.
        """
        raise NotImplementedError

    def batch(self) -> AbstractContextManager[None]:
        """Return a block whose `put` and `put_writes` are stored together, all or nothing.

        They are safe when the block ends, not before. A saver for which that is no cheaper than
        one by one stores them as they come.
        """
        return nullcontext()

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread, in all its namespaces."""
        raise NotImplementedError

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints, and their writes, that these runs made."""
        raise NotImplementedError

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another."""
        raise NotImplementedError

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forget old checkpoints.

        Args:
            thread_ids: the threads.
            strategy: `"keep_latest"` keeps the newest of each namespace, `"delete"` none.
        """
        raise NotImplementedError

    async def aget(self, config: Config) -> Checkpoint | None:
        """Return what `get` returns."""
        found = await self.aget_tuple(config)
        return None if found is None else found.checkpoint

    async def aget_tuple(self, config: Config) -> CheckpointTuple | None:
        """Return what `get_tuple` returns."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Iterate over what `list` returns."""

        found = iter(self.list(config, filter=filter, before=before, limit=limit))
        while batch := await asyncio.to_thread(tuple, islice(found, _BATCH)):
            for one in batch:
                yield one

    async def aput(
        self,
        config: Config,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Config:
        """Do what `put` does."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: Config,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Do what `put_writes` does."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Do what `delete_thread` does."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what `delete_for_runs` does."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what `copy_thread` does."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what `prune` does."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)

    def get_delta_channel_history(
        self, *, config: Config, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what each cell was written on the way to a checkpoint, since its last value.

        Args:
            config: names the checkpoint; its own pending writes do not count.
            channels: the cells.

        Returns:
            For each cell the writes, oldest first, and as `seed` the value they add to, from the
            nearest ancestor that stored one; no `seed` if none did.
        """
        walk = _AncestorWalk(channels)
        found = self.get_tuple(config) if channels else None
        parent = found.parent_config if found is not None else None
        while parent is not None and not walk.done:
            found = self.get_tuple(parent)
            parent = None if found is None else walk.visit(found)
        return walk.result()

    async def aget_delta_channel_history(
        self, *, config: Config, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what `get_delta_channel_history` returns."""
        walk = _AncestorWalk(channels)
        found = await self.aget_tuple(config) if channels else None
        parent = found.parent_config if found is not None else None
        while parent is not None and not walk.done:
            found = await self.aget_tuple(parent)
            parent = None if found is None else walk.visit(found)
        return walk.result()

    def get_next_version(self, current: V | None, channel: None) -> V:
        """Return a version greater than `current`, which is `None` for a cell without one.

        The lower 32 bits are random, so that two branches of one thread do not give the same
        version to different values. Versions that are text, as LangGraph's savers make them, go on
        as text.
        """
        if isinstance(current, str):  # of a thread that came from a saver of LangGraph's
            grown = int(current.partition(".")[0]) + 1
            text = f"{grown:032}.{random.random():016}"
            return text  # pyright: ignore[reportReturnType]
        return _next_version(None if current is None else int(current))  # type: ignore[return-value]

    def with_allowlist(
        self, extra_allowlist: Collection[tuple[str, ...] | type]
    ) -> BaseCheckpointSaver[V]:
        """Return a saver on the same store that may also store and rebuild these classes.

        Args:
            extra_allowlist: classes, or `(module, qualified name)` pairs.
        """
        widen = getattr(self.serde, "with_msgpack_allowlist", None)
        wider = self.serde if widen is None or not extra_allowlist else widen(extra_allowlist)
        if wider is self.serde:
            return self
        clone = copy.copy(self)
        clone.serde = wider
        return clone


class _AncestorWalk:
    """Gathers the writes of cells from a checkpoint's ancestors, newest first."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._writes: dict[str, list[PendingWrite]] = {name: [] for name in channels}
        self._seeds: dict[str, Any] = {}

    @property
    def done(self) -> bool:
        return len(self._seeds) == len(self._writes)

    def visit(self, found: CheckpointTuple) -> Config | None:
        for write in reversed(found.pending_writes or ()):
            if write[1] in self._writes and write[1] not in self._seeds:
                self._writes[write[1]].append(write)
        values = found.checkpoint["channel_values"]
        for name in self._writes:
            if name in values and name not in self._seeds:
                self._seeds[name] = values[name]
        return found.parent_config

    def result(self) -> dict[str, DeltaChannelHistory]:
        history: dict[str, DeltaChannelHistory] = {}
        for name, writes in self._writes.items():
            history[name] = {"writes": writes[::-1]}
            if name in self._seeds:
                history[name]["seed"] = self._seeds[name]
        return history


def get_checkpoint_id(config: Config) -> str | None:
    """Return the id of the checkpoint that a configuration names, if it names one."""
    found: str | None = config["configurable"].get("checkpoint_id")
    return found


def get_checkpoint_metadata(config: Config, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Return the metadata with the plain values that the configuration adds to it.

    The configuration's `metadata` and the keys of its `configurable` that mean nothing to the
    engine are added, if they are text, numbers or truth values; the metadata's own keys win.
    """
    extra: dict[str, Any] = {}
    for source in (config.get("configurable"), config.get("metadata")):
        if source and not source.keys() <= EXCLUDED_METADATA_KEYS:
            for key, value in source.items():
                if (
                    isinstance(value, (str, int, float))
                    and key not in EXCLUDED_METADATA_KEYS
                    and not key.startswith("__")
                ):
                    extra[key] = value
    if not extra:
        return metadata
    extra.update(metadata)
    return extra  # type: ignore[return-value]


def passes(metadata: Any, filter: dict[str, Any]) -> bool:
    """Whether metadata have what a filter asks for: values by key, or by keys with dots between
    for what is one within the other."""
    for key, wanted in filter.items():
        found = metadata
        for part in (key,) if key in metadata else key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found != wanted:
            return False
    return True


def copy_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Return a copy whose maps may be changed without changing the original; values are shared."""
    copied = checkpoint.copy()
    copied["channel_values"] = checkpoint["channel_values"].copy()
    copied["channel_versions"] = checkpoint["channel_versions"].copy()
    copied["versions_seen"] = {
        node: seen.copy() for node, seen in checkpoint["versions_seen"].items()
    }
    return copied


def empty_checkpoint() -> Checkpoint:
    """Return a checkpoint of a graph that nothing was written to yet."""
    return {
        "v": LATEST_VERSION,
        "id": checkpoint_id(-2),
        "ts": timestamp(),
        "channel_values": {},
        "channel_versions": {},
        "versions_seen": {},
        "updated_channels": None,
    }
