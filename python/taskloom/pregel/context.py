"""Which task the running code belongs to, and what it may ask: config, store, stream writer."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.pregel.runtime import Runtime
    from taskloom.pregel.tasks import Task
    from taskloom.pregel.types import RunnableConfig, StreamWriter


class Lane:
    """A thread's (or coroutine's) place in a run; it says which task is on it.

    One variable points to the lane for its whole life, so that beginning a task is an attribute
    set and not a change of context.
    """

    __slots__ = ("task",)

    def __init__(self, task: Task | None = None) -> None:
        self.task = task


LANE: ContextVar[Lane | None] = ContextVar("taskloom_pregel_lane", default=None)


def ambient_task() -> Task | None:
    """The task that the calling code runs in, or None outside of a state graph."""
    lane = LANE.get()
    return None if lane is None else lane.task


def current_task(what: str) -> Task:
    """The task that the calling code runs in.

    Raises:
        RuntimeError: there is none; the message names `what` was called.
    """
    task = ambient_task()
    if task is None:
        raise RuntimeError(
            f"{what} called outside of a runnable context: "
            "call it in a node or task while its graph runs"
        )
    return task


def get_config() -> RunnableConfig:
    """The config of the task that the calling code runs in.

    Raises:
        RuntimeError: called outside of a node.

    Example:
        >>> from taskloom.pregel import get_config
        >>> def work(state: dict) -> dict:
        ...     return {"thread": get_config()["configurable"]["thread_id"]}
    """
    return current_task("get_config()").config


def get_store() -> Any:
    """The store that the graph was compiled with, or None.

    Raises:
        RuntimeError: called outside of a node.

    Example:
        >>> from taskloom.pregel import get_store
        >>> def work(state: dict) -> dict:
        ...     return {"known": get_store() is not None}
    """
    return current_task("get_store()").runtime.store


def get_stream_writer() -> StreamWriter:
    """A function that emits its argument in the `custom` stream mode.

    Raises:
        RuntimeError: called outside of a node.

    Example:
        >>> from taskloom.pregel import get_stream_writer
        >>> def work(state: dict) -> dict:
        ...     get_stream_writer()({"progress": 0.5})
        ...     return {}
    """
    return current_task("get_stream_writer()").stream_writer


def get_runtime(context_schema: Any = None) -> Runtime[Any]:
    """The `Runtime` of the task that the calling code runs in.

    Args:
        context_schema: the type of `runtime.context`, for the type checker.

    Raises:
        RuntimeError: called outside of a node.

    Example:
        >>> from taskloom.pregel import get_runtime
        >>> def work(state: dict) -> dict:
        ...     return {"user": get_runtime().context["user"]}
    """
    return current_task("get_runtime()").runtime
