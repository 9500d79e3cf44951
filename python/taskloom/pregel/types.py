"""The values that a graph and its user exchange: commands, sends, interrupts, snapshots."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
)

from taskloom.pregel.answer import checked_by
from taskloom.pregel.constants import INTERRUPT, OVERWRITE, ROOT
from taskloom.pregel.context import current_task
from taskloom.pregel.ids import digest
from taskloom.pregel.policy import CacheKey as CacheKey
from taskloom.pregel.policy import CachePolicy as CachePolicy
from taskloom.pregel.policy import RetryPolicy as RetryPolicy
from taskloom.pregel.policy import TimeoutPolicy as TimeoutPolicy
from taskloom.pregel.policy import default_cache_key as default_cache_key
from taskloom.pregel.policy import default_retry_on as default_retry_on
from taskloom.pregel.updates import annotated_keys, update_as_tuples

Durability: TypeAlias = Literal["sync", "async", "exit"]
"""When checkpoints are written: before the next superstep, beside it, or once at the end."""
All: TypeAlias = Literal["*"]
StreamMode: TypeAlias = Literal[
    "values", "updates", "checkpoints", "tasks", "debug", "messages", "custom", "tools"
]
StreamWriter: TypeAlias = Callable[[Any], None]
Checkpointer: TypeAlias = Any
"""A saver; or True (a subgraph keeps its own thread), False (none), None (the parent's)."""


class RunnableConfig(TypedDict, total=False):
    """How one run is configured; the second argument of `invoke` and `stream`.

    Example:
        >>> from taskloom.pregel import RunnableConfig
        >>> config: RunnableConfig = {"configurable": {"thread_id": "1"}, "recursion_limit": 50}
    """

    tags: list[str]
    metadata: dict[str, Any]
    callbacks: Any
    run_name: str
    max_concurrency: int | None
    recursion_limit: int
    configurable: dict[str, Any]
    run_id: Any


def ensure_valid_checkpointer(checkpointer: Checkpointer) -> Checkpointer:
    """Return `checkpointer` if it can be one.

    Raises:
        TypeError: it is neither None, True, False nor an object with a saver's methods.
    """
    if checkpointer is None or isinstance(checkpointer, bool):
        return checkpointer
    if isinstance(checkpointer, type) or not all(
        callable(getattr(checkpointer, name, None)) for name in ("get_tuple", "put", "put_writes")
    ):
        raise TypeError(
            "Invalid checkpointer provided. Expected an instance of `BaseCheckpointSaver`, "
            f"`True`, `False`, or `None`. Received {type(checkpointer).__name__}."
        )
    return checkpointer


class TaskPayload(TypedDict):
    """What the `tasks` stream says when a task starts."""

    id: str
    name: str
    input: Any
    triggers: Sequence[str]
    metadata: NotRequired[dict[str, Any]]


class TaskResultPayload(TypedDict):
    """What the `tasks` stream says when a task ends."""

    id: str
    name: str
    error: Any
    interrupts: list[dict[str, Any]]
    result: dict[str, Any]


class CheckpointTask(TypedDict):
    """One task in a `CheckpointPayload`."""

    id: str
    name: str
    error: NotRequired[Any]
    result: NotRequired[Any]
    interrupts: NotRequired[Sequence[dict[str, Any]]]
    state: Any


class CheckpointPayload(TypedDict):
    """What the `checkpoints` stream says about a checkpoint."""

    config: RunnableConfig | None
    metadata: Any
    values: Any
    next: list[str]
    parent_config: RunnableConfig | None
    tasks: list[CheckpointTask]


class DebugPayload(TypedDict):
    """What the `debug` stream says: a payload of `checkpoints` or `tasks`, with its superstep."""

    step: int
    timestamp: str
    type: Literal["checkpoint", "task", "task_result"]
    payload: CheckpointPayload | TaskPayload | TaskResultPayload


class ValuesStreamPart(TypedDict):
    """The state after a superstep."""

    type: Literal["values"]
    ns: tuple[str, ...]
    data: Any
    interrupts: tuple[Interrupt, ...]


class UpdatesStreamPart(TypedDict):
    """What nodes returned, by node."""

    type: Literal["updates"]
    ns: tuple[str, ...]
    data: dict[str, Any]


class MessagesStreamPart(TypedDict):
    """A chat message or a piece of one, and what is known about its task."""

    type: Literal["messages"]
    ns: tuple[str, ...]
    data: tuple[Any, dict[str, Any]]


class CustomStreamPart(TypedDict):
    """What a node handed to its stream writer."""

    type: Literal["custom"]
    ns: tuple[str, ...]
    data: Any


class ToolsStreamPart(TypedDict):
    """The beginning or the end of a tool, or what it says meanwhile."""

    type: Literal["tools"]
    ns: tuple[str, ...]
    data: dict[str, Any]


class CheckpointStreamPart(TypedDict):
    """A checkpoint."""

    type: Literal["checkpoints"]
    ns: tuple[str, ...]
    data: CheckpointPayload


class TasksStreamPart(TypedDict):
    """The start or the end of a task."""

    type: Literal["tasks"]
    ns: tuple[str, ...]
    data: TaskPayload | TaskResultPayload


class DebugStreamPart(TypedDict):
    """A checkpoint, or the start or the end of a task, with its superstep and time."""

    type: Literal["debug"]
    ns: tuple[str, ...]
    data: DebugPayload


StreamPart: TypeAlias = (
    ValuesStreamPart
    | UpdatesStreamPart
    | MessagesStreamPart
    | CustomStreamPart
    | ToolsStreamPart
    | CheckpointStreamPart
    | TasksStreamPart
    | DebugStreamPart
)
"""One item of a stream asked for with `version="v2"`; its `type` tells which."""


OutputT = TypeVar("OutputT")


@final
@dataclass(frozen=True)
class GraphOutput(Generic[OutputT]):
    """What `invoke(..., version="v2")` returns: the output, and what the run waits for.

    Example:
        >>> from taskloom.pregel import GraphOutput
        >>> GraphOutput({"x": 1}).value["x"]
        1
    """

    value: OutputT
    interrupts: tuple[Interrupt, ...] = ()

    def __getitem__(self, key: str) -> Any:
        if key == INTERRUPT:
            return self.interrupts
        if isinstance(self.value, dict):
            return self.value[key]
        try:
            return getattr(self.value, key)
        except AttributeError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        if key == INTERRUPT:
            return bool(self.interrupts)
        if isinstance(self.value, dict):
            return key in self.value
        return isinstance(key, str) and hasattr(self.value, key)


@final
@dataclass(init=False, slots=True)
class Interrupt:
    """A question that a node asked by `interrupt()`.

    Attributes:
        value: what the node handed to `interrupt`.
        id: names the question, for `Command(resume={id: answer})`.
        response_schema: what an answer must look like, as JSON Schema, if the node said so.

    Example:
        >>> from taskloom.pregel import Interrupt
        >>> Interrupt("Really?", id="1").value
        'Really?'
    """

    value: Any
    id: str
    response_schema: Any = None

    def __init__(
        self,
        value: Any,
        id: str = "placeholder-id",
        response_schema: Any = None,
        *,
        ns: Sequence[str] | None = None,
        resumable: bool = True,
        when: str = "during",
    ) -> None:
        # `ns`, `resumable` and `when` are in interrupts that old versions of LangGraph stored.
        del resumable, when
        self.value = value
        self.id = digest("|".join(ns)) if ns is not None and id == "placeholder-id" else id
        self.response_schema = response_schema

    @classmethod
    def from_ns(cls, value: Any, ns: str) -> Interrupt:
        """The interrupt that the task with namespace `ns` raises."""
        return cls(value, digest(ns))


@final
class StateUpdate(NamedTuple):
    """One update for `bulk_update_state`.

    Example:
        >>> from taskloom.pregel import StateUpdate
        >>> StateUpdate({"x": 1}, as_node="work").as_node
        'work'
    """

    values: Any
    as_node: str | None = None
    task_id: str | None = None


@final
class PregelTask(NamedTuple):
    """A task as a snapshot shows it.

    Example:
        >>> from taskloom.pregel import PregelTask
        >>> PregelTask("1", "work", ("__pregel_pull", "work")).result is None
        True
    """

    id: str
    name: str
    path: tuple[Any, ...]
    error: Any = None
    interrupts: tuple[Interrupt, ...] = ()
    state: Any = None
    result: Any = None


@final
class StateSnapshot(NamedTuple):
    """A thread's state at one checkpoint.

    Attributes:
        values: the state's cells.
        next: the nodes due in the superstep that follows.
        config: fetches this snapshot again, and runs the graph from it.
        metadata: source, step and parents of the checkpoint.
        created_at: ISO 8601.
        parent_config: fetches the checkpoint before, if any.
        tasks: the tasks of the superstep that follows, with results if already tried.
        interrupts: the questions that wait for an answer.

    Example:
        >>> from taskloom.pregel import StateSnapshot
        >>> empty = StateSnapshot({}, (), {}, None, None, None, (), ())
        >>> empty.next
        ()
    """

    values: Any
    next: tuple[str, ...]
    config: RunnableConfig
    metadata: Any
    created_at: str | None
    parent_config: RunnableConfig | None
    tasks: tuple[PregelTask, ...]
    interrupts: tuple[Interrupt, ...]


@final
@dataclass(init=False, eq=False, repr=False, slots=True)
class Send:
    """Runs a node in the next superstep with an input of its own (map-reduce).

    Args:
        node: the node's name.
        arg: its input, instead of the graph's state.
        timeout: seconds, a timedelta or a `TimeoutPolicy` for this task alone.

    Example:
        >>> from taskloom.pregel import Send
        >>> def fan_out(state: dict) -> list[Send]:
        ...     return [Send("work", {"item": item}) for item in state["items"]]
    """

    node: str
    arg: Any
    timeout: TimeoutPolicy | None = None

    def __init__(
        self,
        /,
        node: str,
        arg: Any,
        *,
        timeout: float | timedelta | TimeoutPolicy | None = None,
    ) -> None:
        self.node = node
        self.arg = arg
        self.timeout = None if timeout is None else TimeoutPolicy.coerce(timeout)

    def __hash__(self) -> int:
        return hash((self.node, self.arg, self.timeout))

    def __repr__(self) -> str:
        tail = "" if self.timeout is None else f", timeout={self.timeout!r}"
        return f"Send(node={self.node!r}, arg={self.arg!r}{tail})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Send)
            and self.node == other.node
            and self.arg == other.arg
            and self.timeout == other.timeout
        )


N = TypeVar("N", bound=Hashable)


@final
@dataclass(kw_only=True, slots=True, frozen=True)
class Command(Generic[N]):
    """An update, and where to go on, in one value. Nodes return it; `invoke` takes it.

    Attributes:
        graph: None for this graph, `Command.PARENT` for the one around it.
        update: the state update.
        resume: the answer to an interrupt, or a mapping of interrupt ids to answers.
        goto: a node, a `Send`, or several.

    Example:
        >>> from taskloom.pregel import Command
        >>> def triage(state: dict) -> Command:
        ...     return Command(update={"seen": True}, goto="fast" if state["hot"] else "slow")
    """

    graph: str | None = None
    update: Any | None = None
    resume: Any | None = None
    goto: Send | Sequence[Send | N] | N = ()

    PARENT: ClassVar[Literal["__parent__"]] = "__parent__"

    def __repr__(self) -> str:
        given = ((key, getattr(self, key)) for key in ("graph", "update", "resume", "goto"))
        return f"Command({', '.join(f'{key}={value!r}' for key, value in given if value)})"

    def _update_as_tuples(self) -> Sequence[tuple[str, Any]]:
        update = self.update
        if isinstance(update, dict):
            return list(update.items())
        if isinstance(update, list | tuple) and all(
            isinstance(t, tuple) and len(t) == 2 and isinstance(t[0], str) for t in update
        ):
            return update
        keys = annotated_keys(type(update))
        if keys:
            return update_as_tuples(update, keys)
        return [] if update is None else [(ROOT, update)]


def interrupt(value: Any, *, response_schema: Any = None) -> Any:
    """Stop the run here and ask; when it is resumed, return the answer.

    The node runs again from its start when resumed, and each of its `interrupt` calls returns
    the answer that belongs to it, in order. Needs a checkpointer.

    Args:
        value: the question, shown to whoever runs the graph.
        response_schema: what the answer must look like: a JSON Schema dict, which is only shown,
            or a pydantic model, dataclass or TypedDict, by which the answer is validated.

    Returns:
        What `Command(resume=...)` gave.

    Raises:
        GraphInterrupt: there is no answer yet; let it pass.
        RuntimeError: called outside a node.
        pydantic.ValidationError: the answer does not fit; nothing is stored, so that it can be
            given again (`taskloom.pregel.errors.is_invalid_resume` tells).

    Example:
        >>> from taskloom.pregel import interrupt
        >>> def approve(state: dict) -> dict:
        ...     return {"approved": interrupt(f"Send this? {state['draft']}") == "yes"}
    """
    task = current_task("interrupt()")
    return task.interrupt(value, *checked_by(response_schema))


@final
@dataclass(slots=True)
class Overwrite:
    """Replaces a cell's value instead of going through its reducer; one per cell and superstep.

    Example:
        >>> from taskloom.pregel import Overwrite
        >>> def forget(state: dict) -> dict:
        ...     return {"messages": Overwrite([])}
    """

    value: Any
    type: Literal["__overwrite__"] = OVERWRITE
