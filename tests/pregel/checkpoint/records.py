"""Builds checkpoints step by step, as an engine would, for the tests of savers."""

from __future__ import annotations

from typing import Any

from taskloom.pregel.checkpoint.base import (
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointTuple,
    Config,
    empty_checkpoint,
)


class Writer:
    """Puts one checkpoint after another on one namespace of a thread."""

    def __init__(
        self, saver: BaseCheckpointSaver[Any], thread_id: str = "t", namespace: str = ""
    ) -> None:
        self.saver = saver
        self.config: Config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}
        self.values: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.step = -1

    def put(self, *, metadata: dict[str, Any] | None = None, ts: str = "", **cells: Any) -> Config:
        """Write the cells, then store a checkpoint; returns its configuration."""
        current = max(self.versions.values(), default=None)
        version = self.saver.get_next_version(current, None)
        self.values |= cells
        changed = dict.fromkeys(cells, version)
        self.versions = self.versions | changed
        checkpoint: Checkpoint = {
            **empty_checkpoint(),
            "channel_values": dict(self.values),
            "channel_versions": dict(self.versions),
            "versions_seen": {node: dict(seen) for node, seen in self.seen.items()},
            "updated_channels": sorted(cells),
        }
        if ts:
            checkpoint["ts"] = ts
        known: Any = {"source": "loop", "step": self.step, "parents": {}} | (metadata or {})
        self.step += 1
        self.config = self.saver.put(self.config, checkpoint, known, changed)
        return self.config


def where(thread_id: str = "t", namespace: str | None = None, id: str | None = None) -> Config:
    """A configuration that names a thread, and more if given."""
    configurable: dict[str, Any] = {"thread_id": thread_id}
    if namespace is not None:
        configurable["checkpoint_ns"] = namespace
    if id is not None:
        configurable["checkpoint_id"] = id
    return {"configurable": configurable}


def newest(
    saver: BaseCheckpointSaver[Any], thread_id: str = "t", namespace: str = ""
) -> CheckpointTuple:
    """The newest checkpoint of a thread, which has one."""
    found = saver.get_tuple(where(thread_id, namespace))
    assert found is not None
    return found


def steps(saver: BaseCheckpointSaver[Any], *args: Any, **options: Any) -> list[Any]:
    """The numbers of the steps that a listing has."""
    return [found.metadata["step"] for found in saver.list(*args, **options)]
