"""What a node is told about its run."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar, final

from taskloom.pregel.context import get_runtime as get_runtime
from taskloom.pregel.types import StreamWriter

ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True)
class ExecutionInfo:
    """Where in which run a task is.

    Attributes:
        checkpoint_id: of the checkpoint that the superstep starts from.
        checkpoint_ns: the task's namespace.
        task_id: the task's id.
        thread_id: the thread's, if there is one.
        run_id: the run's, if it was given one.
        node_attempt: 1 for the first attempt.
        node_first_attempt_time: seconds since the epoch when the first attempt began.
    """

    checkpoint_id: str
    checkpoint_ns: str
    task_id: str
    thread_id: str | None = None
    run_id: str | None = None
    node_attempt: int = 1
    node_first_attempt_time: float | None = None

    def patch(self, **overrides: Any) -> ExecutionInfo:
        """A copy with some fields changed."""
        return replace(self, **overrides)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who runs the graph, when a server does."""

    assistant_id: str
    graph_id: str
    user: Any = None


@final
class RunControl:
    """Asks a run to stop between two supersteps.

    Example:
        >>> from taskloom.pregel import RunControl
        >>> control = RunControl()
        >>> control.request_drain("deploying")   # from any thread; the run raises GraphDrained
        >>> assert control.drain_requested
    """

    __slots__ = ("_reason",)

    def __init__(self) -> None:
        self._reason: str | None = None

    def request_drain(self, reason: str = "shutdown") -> None:
        """Let the superstep end, save the state, and raise `GraphDrained` with `reason`."""
        self._reason = reason

    @property
    def drain_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self._reason is not None

    @property
    def drain_reason(self) -> str | None:
        """Why, or None."""
        return self._reason


def no_stream_writer(_: Any) -> None:
    """Drops what is written: nobody streams `custom`."""


def no_heartbeat() -> None:
    """Does nothing: the node has no idle timeout."""


@final
@dataclass(kw_only=True, slots=True, frozen=True)
class Runtime(Generic[ContextT]):
    """Handed to a node that has a parameter named `runtime`.

    Attributes:
        context: what `invoke(..., context=)` was given.
        store: what the graph was compiled with.
        stream_writer: emits its argument in the `custom` stream mode.
        heartbeat: call it to say that a node with an idle timeout is alive.
        previous: what the thread's last run of an entrypoint saved.
        execution_info: where in the run this is.
        server_info: set by servers.
        control: the run's `RunControl`.

    Example:
        >>> from taskloom.pregel import Runtime
        >>> def greet(state: dict, runtime: Runtime[dict]) -> dict:
        ...     return {"greeting": f"Hello, {runtime.context['user']}"}
        >>> greet({}, Runtime(context={"user": "Ada"}))
        {'greeting': 'Hello, Ada'}
    """

    context: ContextT = field(default=None)  # type: ignore[assignment]
    store: Any = field(default=None)
    stream_writer: StreamWriter = field(default=no_stream_writer)
    heartbeat: Callable[[], None] = field(default=no_heartbeat)
    previous: Any = field(default=None)
    execution_info: ExecutionInfo | None = field(default=None)
    server_info: ServerInfo | None = field(default=None)
    control: RunControl | None = field(default=None)

    def merge(self, other: Runtime[ContextT]) -> Runtime[ContextT]:
        """This runtime with whatever `other` sets."""
        writer, beat = other.stream_writer, other.heartbeat
        return Runtime(
            context=other.context or self.context,
            store=other.store or self.store,
            stream_writer=self.stream_writer if writer is no_stream_writer else writer,
            heartbeat=self.heartbeat if beat is no_heartbeat else beat,
            previous=self.previous if other.previous is None else other.previous,
            execution_info=other.execution_info or self.execution_info,
            server_info=other.server_info or self.server_info,
            control=other.control or self.control,
        )

    def override(self, **overrides: Any) -> Runtime[ContextT]:
        """A copy with some fields changed."""
        return replace(self, **overrides)

    def patch_execution_info(self, **overrides: Any) -> Runtime[ContextT]:
        """A copy with some fields of `execution_info` changed.

        Raises:
            RuntimeError: there is no execution_info yet.
        """
        if self.execution_info is None:
            raise RuntimeError("Cannot patch execution_info before it has been set")
        return replace(self, execution_info=self.execution_info.patch(**overrides))

    @property
    def drain_requested(self) -> bool:
        """Whether the run was asked to stop after this superstep."""
        return self.control is not None and self.control.drain_requested

    @property
    def drain_reason(self) -> str | None:
        """Why the run was asked to stop, or None."""
        return None if self.control is None else self.control.drain_reason


DEFAULT_RUNTIME: Final[Runtime[Any]] = Runtime()
"""What code outside of a run is given."""


def as_context(schema: type | None, context: Any) -> Any:
    """What nodes get as context: made of a dict, if the schema is a class with fields."""
    if schema is None or not isinstance(context, dict):
        return context
    if hasattr(schema, "model_fields") or hasattr(schema, "__dataclass_fields__"):
        return schema(**context)
    return context
