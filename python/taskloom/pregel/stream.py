"""What a run emits, and how it is shown to who streams it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from taskloom.pregel.checkpoint.base import EXCLUDED_METADATA_KEYS
from taskloom.pregel.config import patch_checkpoint_map, patch_configurable, public_config
from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_NS,
    CONF,
    ERROR,
    ERROR_SOURCE_NODE,
    INTERRUPT,
    NS_SEP,
    RESUME,
    RETURN,
    TAG_NOSTREAM,
)
from taskloom.pregel.ids import timestamp
from taskloom.pregel.missing import MISSING
from taskloom.pregel.types import PregelTask
from taskloom.pregel.updates import annotated_keys

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.tasks import Task

Chunk = tuple[tuple[str, ...], str, Any]
Writes = Sequence[tuple[str, Any]]

# By this LangGraph's programs tell the messages that nodes return from the tokens of a model.
SHOWN_BY = {"ls_integration": "langgraph"}


class Stream:
    """Where one run's emissions go: to its reader, and to the reader of the graph around it.

    Args:
        modes: what the reader wants.
        outer: the stream around it that wants a subgraph's emissions too, or None.
    """

    __slots__ = ("chunks", "modes", "notify", "outer", "own", "subgraphs")

    def __init__(
        self, modes: Iterable[str], outer: Stream | None = None, *, subgraphs: bool = False
    ) -> None:
        self.own = frozenset(modes)
        self.outer = outer
        self.modes: frozenset[str] = self.own | (outer.modes if outer is not None else frozenset())
        self.subgraphs = subgraphs
        self.chunks: deque[Chunk] = deque()
        self.notify: Callable[[], None] | None = None

    def put_own(self, chunk: Chunk) -> None:
        """Emit a chunk to this run's reader alone; from any thread."""
        self.chunks.append(chunk)
        notify = self.notify  # may be taken away by another thread
        if notify is not None:
            notify()

    def put(self, chunk: Chunk) -> None:
        """Emit a chunk to whoever wants its mode; from any thread."""
        if chunk[1] in self.own:
            self.put_own(chunk)
        if self.outer is not None and chunk[1] in self.outer.modes:
            self.outer.put(chunk)

    def emit(self, loop: Loop, mode: str, values: Iterable[Any]) -> None:
        """Emit values of one mode, and of the debug mode where that shows them too."""
        wanted = mode in self.modes
        debug = mode in ("checkpoints", "tasks") and "debug" in self.modes
        if not wanted and not debug:
            return
        ns = tuple(loop.ns.split(NS_SEP)) if loop.ns else ()
        for value in values:
            if wanted:
                self.put((ns, mode, value))
            if debug:
                kind = "checkpoint" if mode == "checkpoints" else "task"
                if kind == "task" and "result" in value:
                    kind = "task_result"
                step = loop.step - 1 if kind == "checkpoint" else loop.step
                payload = {"step": step, "timestamp": timestamp(), "type": kind, "payload": value}
                self.put((ns, "debug", payload))

    def message(self, task: Task, message: Any) -> None:
        """Emit a chat message in the `messages` mode, with what is known about its task."""
        if "messages" in self.modes and TAG_NOSTREAM not in task.node.tags:
            ns = tuple(task.ns.split(NS_SEP)[:-1])
            task.loop.shown_messages.add(message_id(message))
            self.put((ns, "messages", (message, {**SHOWN_BY, **task.metadata})))

    def wants(self, mode: str) -> bool:
        """Whether anybody reads emissions of `mode`."""
        return mode in self.modes or (mode in ("checkpoints", "tasks") and "debug" in self.modes)


def message_id(message: Any) -> Any:
    """The id of a chat message, or None."""
    return message.get("id") if isinstance(message, dict) else getattr(message, "id", None)


def is_message(value: Any) -> bool:
    """Whether a value is a chat message: a dict with role and content, or an object like it."""
    if isinstance(value, dict):
        return "content" in value and ("role" in value or "type" in value)
    return hasattr(value, "content") and hasattr(value, "type") and hasattr(value, "id")


def state_values(state: Any) -> Iterable[Any]:
    """The values in what a node was given: a dict, a state object, or one value."""
    if isinstance(state, dict):
        return state.values()
    keys = annotated_keys(type(state))
    return [getattr(state, key, None) for key in keys] if keys else (state,)


def messages_in(writes: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    """The chat messages in a task's writes."""
    for _, value in writes:
        for item in value if isinstance(value, list | tuple) else (value,):
            if is_message(item):
                yield item


def grouped_writes(writes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Writes as a dict; several to one cell as `{"$writes": [...]}`."""
    result: dict[str, Any] = {}
    for cell, value in writes:
        before = result.get(cell)
        if before is None:
            result[cell] = value
        elif isinstance(before, dict) and isinstance(before.get("$writes"), list):
            before["$writes"].append(value)
        else:
            result[cell] = {"$writes": [before, value]}
    return result


def updates_of(
    output_keys: str | Sequence[str], task: Task, writes: Writes, *, cached: bool = False
) -> Iterator[dict[str, Any]]:
    """What the `updates` mode shows of a task's writes."""
    if task.node.hidden or not writes or writes[0][0] in (ERROR, INTERRUPT):
        return
    found: list[Any] = []
    returned = next((value for cell, value in writes if cell == RETURN), MISSING)
    if returned is not MISSING:
        found.append(returned)
    elif isinstance(output_keys, str):
        found += [value for cell, value in writes if cell == output_keys]
    else:
        mine = [(cell, value) for cell, value in writes if cell in output_keys]
        if any(count > 1 for count in Counter(cell for cell, _ in mine).values()):
            found += [{cell: value} for cell, value in mine]
        elif mine:
            found.append(dict(mine))
    value = None if not found else found[0] if len(found) == 1 else found
    update: dict[str, Any] = {task.name: value}
    if cached:
        update["__metadata__"] = {"cached": cached}
    yield update


def task_payloads(tasks: Iterable[Task]) -> Iterator[dict[str, Any]]:
    """What the `tasks` mode shows when tasks start."""
    for task in tasks:
        if task.node.hidden:
            continue
        payload = {
            "id": task.id,
            "name": task.name,
            "input": task.input,
            "triggers": task.triggers,
        }
        metadata = {k: v for k, v in task.metadata.items() if k not in EXCLUDED_METADATA_KEYS}
        tags = [*(task.loop.config.get("tags") or ()), *task.node.tags]
        if tags:
            metadata["tags"] = tags
        if metadata:
            payload["metadata"] = metadata
        yield payload


def result_payload(task: Task, writes: Writes, stream_keys: str | Sequence[str]) -> dict[str, Any]:
    """What the `tasks` mode shows when a task ends."""
    keys = (stream_keys,) if isinstance(stream_keys, str) else stream_keys
    return {
        "id": task.id,
        "name": task.name,
        "error": next((value for cell, value in writes if cell == ERROR), None),
        "result": grouped_writes(w for w in writes if w[0] in keys or w[0] == RETURN),
        "interrupts": [shown(i) for cell, found in writes if cell == INTERRUPT for i in found],
    }


def shown(interrupt: Any) -> dict[str, Any]:
    """An interrupt as a dict, without a schema that it has not."""
    fields = asdict(interrupt)
    if fields.get("response_schema") is None:
        fields.pop("response_schema", None)
    return fields


def tasks_with_results(
    tasks: Iterable[Task],
    pending: Iterable[tuple[str, str, Any]] | None,
    states: dict[str, Any],
    output_keys: str | Sequence[str],
    *,
    live: bool = False,
) -> tuple[PregelTask, ...]:
    """Tasks as a snapshot shows them, with what is stored of their results.

    With `live`, a task that has finished shows no interrupts: none of its questions is open.
    """
    by_task: dict[str, list[tuple[str, Any]]] = {}
    for tid, cell, value in pending or ():
        by_task.setdefault(tid, []).append((cell, value))
    snapshots = []
    for task in tasks:
        stored = by_task.get(task.id, [])
        interrupts: list[Any] = []
        error = None
        returned: Any = MISSING
        writes = []
        for cell, value in stored:
            if cell == INTERRUPT:
                interrupts += value if isinstance(value, list | tuple) else [value]
            elif cell == ERROR:
                error = value if error is None else error
            elif cell == RETURN:
                returned = value
            elif cell not in (RESUME, ERROR_SOURCE_NODE):
                writes.append((cell, value))
        if live and (writes or returned is not MISSING):
            interrupts = []
        result: Any = None
        if returned is not MISSING:
            result = returned
        elif writes:
            if isinstance(output_keys, str):
                result = grouped_writes(w for w in writes if w[0] == output_keys).get(output_keys)
            else:
                result = grouped_writes(w for w in writes if w[0] in output_keys)
        snapshots.append(
            PregelTask(
                task.id, task.name, task.path, error, tuple(interrupts), states.get(task.id), result
            )
        )
    return tuple(snapshots)


def subgraph_configs(loop: Loop, tasks: Iterable[Task]) -> dict[str, Any]:
    """For each task that runs a graph, the config that fetches that graph's state."""
    return {
        task.id: {CONF: {"thread_id": loop.thread_id, CHECKPOINT_NS: task.ns}}
        for task in tasks
        if task.node.subgraphs
    }


def checkpoint_payload(loop: Loop) -> dict[str, Any]:
    """What the `checkpoints` mode shows of the checkpoint that the superstep starts from."""
    config = patch_configurable(loop.checkpoint_config, {CHECKPOINT_ID: loop.checkpoint_id})
    metadata = loop.metadata
    tasks = []
    known = tasks_with_results(
        loop.tasks, loop.pending, subgraph_configs(loop, loop.tasks), loop.output_keys
    )
    for task in known:
        entry: dict[str, Any] = {"id": task.id, "name": task.name}
        if task.error:
            entry["error"] = task.error
        else:
            if task.result:
                entry["result"] = task.result
            entry["interrupts"] = tuple(shown(i) for i in task.interrupts)
        entry["state"] = task.state
        tasks.append(entry)
    return {
        "config": public_config(patch_checkpoint_map(config, metadata)),
        "parent_config": public_config(patch_checkpoint_map(loop.parent_config, metadata)),
        "values": loop.cells.read(loop.graph.stream_keys),
        "metadata": metadata,
        "next": [task.name for task in loop.tasks],
        "tasks": tasks,
    }
