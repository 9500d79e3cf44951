"""What it costs a saver to store one step, beside LangGraph's savers.

The step is that of a small graph: three cells of which one changes, two nodes. Only `put` is timed;
what an engine does around it is in the benches of state graphs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import Contender, Workload
from taskloom.pregel.checkpoint.base import empty_checkpoint
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.sqlite import SqliteSaver
from taskloom.pregel.ids import checkpoint_id

MEMORY_STEPS = 2_000
FILE_STEPS = 2_000
SYNCED_STEPS = 50

Step = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]

memory = Workload("checkpoint-memory", "store a step in memory", unit="µs/step", aim=3.0)
sqlite = Workload("checkpoint-sqlite", "store a step in a SQLite file", unit="µs/step", aim=120.0)
synced = Workload(
    "checkpoint-sqlite-synced", "the same, waiting for the disk each time", unit="µs/step"
)


def steps_of(saver: Any, count: int) -> list[Step]:
    """The arguments of as many puts, made beforehand."""
    versions: dict[str, Any] = {}
    for cell in ("number", "text", "branch:to:work"):
        versions[cell] = saver.get_next_version(None, None)
    made: list[Step] = []
    for number in range(count):
        version = saver.get_next_version(versions["number"], None)
        versions = versions | {"number": version}
        checkpoint = {
            **empty_checkpoint(),
            "id": checkpoint_id(number),
            "channel_values": {"number": [number, "of many"], "text": "unchanged"},
            "channel_versions": versions,
            "versions_seen": {"work": {"number": version}, "rest": {"text": versions["text"]}},
        }
        made.append((checkpoint, {"source": "loop", "step": number}, {"number": version}))
    return made


def storing(make: Callable[[], Any], count: int) -> Contender:
    """Puts on a saver, each round on a thread of its own; seconds a step."""
    saver = make()
    rounds = 0

    def put_all() -> float:
        nonlocal rounds
        rounds += 1
        config = {"configurable": {"thread_id": f"thread {rounds}", "checkpoint_ns": ""}}
        prepared = steps_of(saver, count)
        put = saver.put
        began = time.perf_counter()
        for checkpoint, metadata, changed in prepared:
            config = put(config, checkpoint, metadata, changed)
        return (time.perf_counter() - began) / count

    yield put_all


@contextmanager
def scratch_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "checkpoints.sqlite"


@memory.contender("taskloom InMemorySaver")
def in_memory() -> Contender:
    yield from storing(InMemorySaver, MEMORY_STEPS)


@memory.contender("LangGraph InMemorySaver")
def their_memory() -> Contender:
    from langgraph.checkpoint.memory import InMemorySaver as Theirs

    yield from storing(Theirs, MEMORY_STEPS)


@sqlite.contender("taskloom SqliteSaver", note="survives kill -9")
def in_a_file() -> Contender:
    with scratch_file() as path, SqliteSaver.from_conn_string(path) as saver:
        yield from storing(lambda: saver, FILE_STEPS)


@sqlite.contender("LangGraph SqliteSaver", note="in its default setting, which syncs when it moves")
def their_file() -> Contender:
    from langgraph.checkpoint.sqlite import SqliteSaver as Theirs

    with scratch_file() as path, Theirs.from_conn_string(str(path)) as saver:
        yield from storing(lambda: saver, SYNCED_STEPS)


@synced.contender("taskloom, synchronous='full'", note="survives a loss of power")
def in_a_synced_file() -> Contender:
    with scratch_file() as path, SqliteSaver.from_conn_string(path, synchronous="full") as saver:
        yield from storing(lambda: saver, SYNCED_STEPS)
