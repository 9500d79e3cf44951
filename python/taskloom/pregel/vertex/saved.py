"""Vertex programs that are stored as they go, to be taken up again after a crash or a cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskloom.pregel.checkpoint.base import empty_checkpoint
from taskloom.pregel.ids import checkpoint_id

_CELL = "vertex_program"

State = dict[str, Any]


class Saved:
    """The checkpoints of one run of a vertex program.

    Args:
        saver: where they go: any checkpointer of state graphs.
        config: names the thread: `{"configurable": {"thread_id": ...}}`.
        every: store after so many supersteps.
        shape: numbers of vertices and edges, which a stored run must agree with.

    Raises:
        ValueError: there is no thread id, `every` is below 1, or what is stored is of another
            graph.
    """

    def __init__(
        self, saver: Any, config: Mapping[str, Any] | None, every: int, shape: tuple[int, int]
    ) -> None:
        thread_id = ((config or {}).get("configurable") or {}).get("thread_id")
        if thread_id is None:
            raise ValueError(
                'A checkpointer needs a thread: config={"configurable": {"thread_id": "ranks"}}'
            )
        if every < 1:
            raise ValueError(f"checkpoint_every={every}: give 1 or more supersteps")
        self._saver = saver
        self._every = every
        self._shape = list(shape)
        self._where: dict[str, Any] = {"thread_id": str(thread_id), "checkpoint_ns": ""}
        self._version: Any = None
        self.state: State | None = None
        """What the thread holds, or None."""
        found = saver.get_tuple({"configurable": self._where})
        if found is None:
            return
        stored = found.checkpoint["channel_values"].get(_CELL)
        if stored is None or stored["shape"] != self._shape:
            what = (
                "a state graph"
                if stored is None
                else "a graph of {} vertices and {} edges".format(*stored["shape"])
            )
            raise ValueError(
                f"The thread {thread_id!r} holds a run over {what}, not over one of "
                f"{shape[0]} vertices and {shape[1]} edges: give another thread_id"
            )
        self._where = dict(found.config["configurable"])
        self._version = found.checkpoint["channel_versions"][_CELL]
        self.state = stored["state"]

    def step(self, superstep: int, done: bool, state: Callable[[], State]) -> None:
        """A superstep has ended: store the state, if it is time to."""
        if not done and superstep % self._every:
            return
        version = self._version = self._saver.get_next_version(self._version, None)
        checkpoint = empty_checkpoint()
        checkpoint["id"] = checkpoint_id(superstep)
        checkpoint["channel_values"] = {_CELL: {"shape": self._shape, "state": state()}}
        checkpoint["channel_versions"] = {_CELL: version}
        metadata = {"source": "loop", "step": superstep, "parents": {}}
        config = {"configurable": self._where}
        self._where = self._saver.put(config, checkpoint, metadata, {_CELL: version})[
            "configurable"
        ]
