"""Changing a thread's state from outside, as if a node had written."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from taskloom.pregel.cells import Cells
from taskloom.pregel.config import (
    checkpoint_metadata_of,
    configurable_of,
    ensure_config,
    patch_checkpoint_map,
    patch_configurable,
    recast_ns,
)
from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_NS,
    CHECKPOINTER_KEY,
    CONF,
    END,
    ERROR,
    INPUT,
    INTERRUPT,
    NULL_TASK_ID,
    PUSH,
    THREAD_ID,
)
from taskloom.pregel.effect import Effect, NullTask, in_order
from taskloom.pregel.entry import load, map_input
from taskloom.pregel.errors import InvalidUpdateError
from taskloom.pregel.ids import checkpoint_id, task_id, timestamp
from taskloom.pregel.loop import Loop
from taskloom.pregel.persist import FORMAT
from taskloom.pregel.replayed import refill
from taskloom.pregel.snapshot import own_thread, owner_of, saver_of
from taskloom.pregel.tasks import Task
from taskloom.pregel.types import RunnableConfig, StateUpdate

if TYPE_CHECKING:
    from taskloom.pregel.pregel import Pregel

COPY = "__copy__"


def bulk_update(
    graph: Pregel, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
) -> Generator[Effect, Any, RunnableConfig]:
    """Apply updates, superstep by superstep; each makes a checkpoint.

    Raises:
        ValueError: there is nothing to apply, no saver, or no such subgraph.
        InvalidUpdateError: an update cannot be applied as the node it names.
    """
    saver = saver_of(graph, config)
    if not supersteps:
        raise ValueError("No supersteps provided")
    if any(not updates for updates in supersteps):
        raise ValueError("No updates provided")
    owner = owner_of(graph, config, saver)
    if owner is not None:
        return (yield from bulk_update(*owner, supersteps))
    ns = configurable_of(config).get(CHECKPOINT_NS)
    if ns and CHECKPOINTER_KEY not in configurable_of(config):
        raise ValueError(f"Subgraph {recast_ns(ns)} not found")
    thread_id = str(configurable_of(config)[THREAD_ID])
    current = patch_configurable(config, {THREAD_ID: thread_id})
    for index, updates in enumerate(supersteps):
        step = Superstep(graph, saver, current, first=index == 0)
        current = yield from step.perform([StateUpdate(*update) for update in updates])
    return current


class Superstep:
    """One superstep of updates.

    Args:
        graph: the graph.
        saver: where the thread is stored.
        config: names the thread and, maybe, the checkpoint to update.
        first: whether the user named the checkpoint; those that follow begin a branch.
    """

    loop: Loop
    saved: Any

    def __init__(
        self, graph: Pregel, saver: Any, config: RunnableConfig, *, first: bool = False
    ) -> None:
        self.first = first
        self.graph = graph
        self.saver = saver
        self.config = own_thread(graph, ensure_config(graph.config, config))

    def perform(self, updates: list[StateUpdate]) -> Generator[Effect, Any, RunnableConfig]:
        """Apply the updates and store what comes of it. Returns the new checkpoint's config."""
        configurable = {
            key: value
            for key, value in configurable_of(self.config).items()
            if key != CHECKPOINTER_KEY
        }
        configurable.setdefault(CHECKPOINT_NS, "")
        self.where: RunnableConfig = {
            CONF: configurable,
            "metadata": checkpoint_metadata_of(self.config),
        }
        self.saved = yield Effect("get_tuple", ({CONF: configurable},))
        self.loop = loop = Loop(self.graph, None, self.config, saver=self.saver)
        loop.ns = configurable[CHECKPOINT_NS]
        yield from refill(self.graph, self.saved, self.saver)
        load(loop, self.saved)
        loop.updated = None
        self.step = loop.metadata.get("step", -1) if self.saved is not None else -1
        if self.saved is not None:
            self.where = patch_configurable(self.where, self.saved.config[CONF])
        values, as_node = updates[0][:2]
        if values is None and as_node == END:
            self._alone(updates, "Cannot apply multiple updates when clearing state")
            return (yield from self._clear())
        if as_node == INPUT:
            self._alone(updates, "Cannot apply multiple updates when updating as input")
            return (yield from self._as_input(values))
        if as_node == COPY:
            self._alone(updates, "Cannot copy checkpoint with multiple updates")
            return (yield from self._copy(values))
        return (yield from self._as_nodes(updates))

    @staticmethod
    def _alone(updates: list[StateUpdate], message: str) -> None:
        if len(updates) > 1:
            raise InvalidUpdateError(message)

    @property
    def _parents(self) -> Any:
        return {} if self.saved is None else self.saved.metadata.get("parents", {})

    def _store(
        self,
        source: str,
        step: int,
        *,
        where: RunnableConfig | None = None,
        cells: Cells | None = None,
    ) -> Generator[Effect, Any, RunnableConfig]:
        loop = self.loop
        cells = loop.cells if cells is None else cells
        versions = cells.versions or {}
        if self.saved is None or cells is not loop.cells:
            changed = dict(versions) if self.saved is None else {}
        else:
            changed = {key: versions[key] for key in cells.bumped if key in versions}
        checkpoint = {
            "v": FORMAT,
            "ts": timestamp(),
            "id": checkpoint_id(step),
            "channel_values": cells.checkpoint(),
            "channel_versions": dict(versions),
            "versions_seen": dict(cells.seen),
            "updated_channels": None,
        }
        metadata = {"source": source, "step": step, "parents": self._parents}
        arguments = (where or self.where, checkpoint, metadata, changed)
        stored: RunnableConfig = yield Effect("put", arguments)
        return stored

    def _mapped(self, config: RunnableConfig) -> RunnableConfig:
        known = None if self.saved is None else self.saved.metadata
        return patch_checkpoint_map(config, known) or config

    def _clear(self) -> Generator[Effect, Any, RunnableConfig]:
        """Count what is due as done, with what it has written so far."""
        loop = self.loop
        if self.saved is not None:
            tasks = loop.plan(None)
            null_writes = [(k, v) for tid, k, v in loop.pending if tid == NULL_TASK_ID]
            if null_writes:
                loop.cells.apply([NullTask(null_writes)], stepping=False)  # type: ignore[list-item]
            for task in tasks:
                task.writes += [
                    (key, value)
                    for tid, key, value in loop.pending
                    if tid == task.id and key not in (ERROR, INTERRUPT)
                ]
            loop.cells.apply(in_order(tasks))
        return self._mapped((yield from self._store("update", self.step + 1)))

    def _as_input(self, values: Any) -> Generator[Effect, Any, RunnableConfig]:
        loop = self.loop
        writes = list(map_input(self.graph.input_channels, values))
        if not writes:
            raise InvalidUpdateError(f"Received no input writes for {self.graph.input_channels}")
        before = loop.checkpoint_id
        loop.cells.apply([NullTask(writes)], stepping=False)  # type: ignore[list-item]
        step = self.step + 1 if self.saved is not None else -1
        stored = yield from self._store("input", step)
        yield Effect("put_writes", (stored, writes, task_id(before, INPUT)))
        return self._mapped(stored)

    def _copy(self, values: Any) -> Generator[Effect, Any, RunnableConfig]:
        """Store the checkpoint again as a fork, and maybe update the fork."""
        saved = self.saved
        if saved is None:
            raise InvalidUpdateError("Cannot copy a non-existent checkpoint")
        where = saved.parent_config or patch_configurable(saved.config, {CHECKPOINT_ID: None})
        where = patch_configurable(self.where, configurable_of(where))
        loop = self.loop
        loop.cells.bumped = set()
        stored = yield from self._store("fork", self.step + 1, where=where)
        if not isinstance(values, list) or not values:
            return self._mapped(stored)
        after = Superstep(self.graph, self.saver, self._mapped(stored))
        loop.stand_at(configurable_of(stored)[CHECKPOINT_ID])
        loop.step = self.step + 2
        free: dict[str, deque[str]] = {}
        for task in loop.plan(None):
            free.setdefault(task.name, deque()).append(task.id)
        updates: dict[Any, list[StateUpdate]] = {}
        for item in values:
            if not isinstance(item, Sequence):
                raise InvalidUpdateError(f"Invalid update item: {item} when copying checkpoint")
            value, as_node = item[:2]
            ids = free.get(as_node)
            update = StateUpdate(value, as_node, ids.popleft() if ids else None)
            updates.setdefault(as_node, []).append(update)
        flat = [update for group in updates.values() for update in group]
        return (yield from after.perform(flat))

    def _as_nodes(self, updates: list[StateUpdate]) -> Generator[Effect, Any, RunnableConfig]:
        loop = self.loop
        free: dict[str, deque[str]] = {}
        if self.saved is not None and self.saved.pending_writes is not None:
            for task in loop.plan(None):
                free.setdefault(task.name, deque()).append(task.id)
        tasks = []
        ids = []
        for values, as_node, given_id in self._resolved(updates):
            node = loop.program.nodes[as_node]
            if not node.writers:
                raise InvalidUpdateError(f"Node {as_node} has no writers")
            task = Task(loop, node, values)
            task.triggers = (INTERRUPT,)
            waiting = free.get(as_node)
            tid = given_id or (
                waiting.popleft() if waiting else task_id(loop.checkpoint_id, INTERRUPT)
            )
            task.set_id(tid)
            yield Effect("emit", (task, values))
            tasks.append(task)
            ids.append(tid)
        # Results that are stored upon a checkpoint are seen by all that goes on from it.
        if self.saved is not None and not (yield from self._superseded()):
            for tid, task in zip(ids, tasks, strict=True):
                writes = [write for write in task.writes if write[0] != PUSH]
                if writes:
                    yield Effect("put_writes", (self.where, writes, tid))
        loop.cells.apply(tasks)
        stored = yield from self._store("update", self.step + 1)
        return self._mapped(stored)

    def _superseded(self) -> Generator[Effect, Any, bool]:
        """Whether the thread has gone on from the checkpoint that is updated."""
        asked = configurable_of(self.config)
        if not asked.get(CHECKPOINT_ID) or not self.first:
            return False
        latest = {key: value for key, value in asked.items() if key != CHECKPOINT_ID}
        latest.pop(CHECKPOINTER_KEY, None)
        newest = yield Effect("get_tuple", ({CONF: {CHECKPOINT_NS: "", **latest}},))
        return newest is not None and newest.checkpoint["id"] != self.saved.checkpoint["id"]

    def _resolved(self, updates: list[StateUpdate]) -> list[tuple[Any, str, str | None]]:
        nodes = self.loop.program.nodes
        resolved = []
        for values, as_node, tid in updates:
            name = as_node
            if name is None:
                if len(updates) > 1:
                    raise InvalidUpdateError("as_node is required when applying multiple updates")
                name = self._last_node()
            if name is None:
                raise InvalidUpdateError("Ambiguous update, specify as_node")
            if name not in nodes:
                raise InvalidUpdateError(
                    f"Node {name} does not exist; the graph has {', '.join(nodes)}"
                )
            resolved.append((values, name, tid))
        return resolved

    def _last_node(self) -> str | None:
        """The node that an update without a name is taken to come from: the last that ran."""
        nodes, seen = self.loop.program.nodes, self.loop.cells.seen
        if len(nodes) == 1:
            return next(iter(nodes))
        if not any(version for versions in seen.values() for version in versions.values()):
            channel = self.graph.input_channels
            return channel if isinstance(channel, str) and channel in nodes else None
        ran = sorted(
            (version, name)
            for name, versions in seen.items()
            if name in nodes
            for version in versions.values()
        )
        if not ran:
            return None
        if len(ran) > 1 and ran[-1][0] == ran[-2][0]:
            return None
        return ran[-1][1]
