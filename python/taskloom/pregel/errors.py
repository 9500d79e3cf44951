"""What a state graph raises."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, final

from taskloom.pregel.answer import is_invalid_resume as is_invalid_resume

if TYPE_CHECKING:
    from taskloom.pregel.types import Command, Interrupt


class ErrorCode(Enum):
    """Stable codes of the errors that users meet most."""

    GRAPH_RECURSION_LIMIT = "GRAPH_RECURSION_LIMIT"
    INVALID_CONCURRENT_GRAPH_UPDATE = "INVALID_CONCURRENT_GRAPH_UPDATE"
    INVALID_GRAPH_NODE_RETURN_VALUE = "INVALID_GRAPH_NODE_RETURN_VALUE"
    MULTIPLE_SUBGRAPHS = "MULTIPLE_SUBGRAPHS"
    INVALID_CHAT_HISTORY = "INVALID_CHAT_HISTORY"


class EmptyChannelError(Exception):
    """A cell was read that holds no value."""


class GraphBubbleUp(Exception):
    """Base of what travels up through graphs on purpose; retries and handlers let it pass."""


class GraphDrained(GraphBubbleUp):
    """A run stopped between two supersteps because `RunControl.request_drain` was called.

    Its state is saved; invoke the graph with `None` to go on.
    """

    def __init__(self, reason: str = "shutdown") -> None:
        self.reason = reason
        super().__init__(f"Graph drained: {reason}")


class GraphRecursionError(RecursionError):
    """A run took as many supersteps as `recursion_limit` allows and was not done.

    `step` is the superstep that was not begun, `nodes` are the nodes that it would have run.
    """

    def __init__(self, *args: object, step: int = 0, nodes: Sequence[str] = ()) -> None:
        super().__init__(*args)
        self.step = step
        self.nodes = tuple(nodes)


RecursionLimitError = GraphRecursionError


class InvalidUpdateError(Exception):
    """A cell cannot take what was written to it, or a node returned what is no update."""


class UnknownInterruptError(Exception):
    """An answer fits no question that waits for one; nothing has been stored.

    Raised with `configurable={"__pregel_strict_resume": True}`, as servers set it. `reason` is
    "not_pending" (the answers to `interrupt_ids` answer nothing), "empty_map" or "ambiguous" (one
    answer, several questions); `pending_ids` are the questions that wait.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Literal["not_pending", "empty_map", "ambiguous"],
        interrupt_ids: Sequence[str] = (),
        pending_ids: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.interrupt_ids = tuple(interrupt_ids)
        self.pending_ids = tuple(pending_ids)


class GraphInterrupt(GraphBubbleUp):
    """A node asked for input by `interrupt()`. The outermost graph ends its run on it."""

    def __init__(self, interrupts: Sequence[Interrupt] = ()) -> None:
        super().__init__(interrupts)


class NodeInterrupt(GraphInterrupt):
    """Raise it in a node to interrupt; `interrupt()` is the better way, it returns the answer."""

    def __init__(self, value: Any, id: str | None = None) -> None:
        from taskloom.pregel.types import Interrupt

        super().__init__((Interrupt(value) if id is None else Interrupt(value, id=id),))


class ParentCommand(GraphBubbleUp):
    """A `Command` on its way to the graph it addresses."""

    args: tuple[Command[Any]]

    def __init__(self, command: Command[Any]) -> None:
        super().__init__(command)


class EmptyInputError(Exception):
    """A run was given no input and has nothing to resume."""


class TaskNotFound(Exception):
    """A task was named that the graph does not have."""


@final
@dataclass(frozen=True, slots=True)
class NodeError:
    """What an error handler is told: the node that failed and what it raised.

    Example:
        >>> from taskloom.pregel import Command, NodeError
        >>> def recover(state: dict, error: NodeError) -> Command:
        ...     return Command(update={"note": f"{error.node} failed: {error.error}"})
    """

    node: str
    error: BaseException


class NodeCancelledError(Exception):
    """A node raised `asyncio.CancelledError` itself; the run fails with this instead."""

    def __init__(self, node: str, message: str | None = None) -> None:
        super().__init__(message or f"Node {node!r} raised asyncio.CancelledError")
        self.node = node


class NodeTimeoutError(Exception):
    """One attempt of a node took longer than its `TimeoutPolicy` allows.

    It is no `TimeoutError`, which is an `OSError` and so not retried by default.

    Args:
        node: the node's name.
        elapsed: seconds since the attempt began.
        kind: "run" for the cap on the whole attempt, "idle" for time without progress.
        idle_timeout: seconds, as configured, or None.
        run_timeout: seconds, as configured, or None.
    """

    def __init__(
        self,
        node: str,
        elapsed: float,
        *,
        kind: Literal["idle", "run"],
        idle_timeout: float | None = None,
        run_timeout: float | None = None,
    ) -> None:
        if kind == "idle":
            if idle_timeout is None:
                raise ValueError("idle_timeout is required when kind='idle'")
            self.timeout = idle_timeout
            message = (
                f"Node '{node}' exceeded its idle timeout of {idle_timeout:.3f}s: "
                f"no progress for that long (elapsed: {elapsed:.3f}s)."
            )
        elif kind == "run":
            if run_timeout is None:
                raise ValueError("run_timeout is required when kind='run'")
            self.timeout = run_timeout
            message = (
                f"Node '{node}' exceeded its run timeout of {run_timeout:.3f}s "
                f"(elapsed: {elapsed:.3f}s)."
            )
        else:
            raise ValueError("kind must be 'idle' or 'run'")
        super().__init__(message)
        self.node = node
        self.elapsed = elapsed
        self.kind = kind
        self.idle_timeout = idle_timeout
        self.run_timeout = run_timeout
