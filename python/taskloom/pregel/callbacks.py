"""Handlers that hear when a run stops to ask, and when it goes on; in a config's `callbacks`.

They need no LangChain. In a program that has imported LangChain's callbacks, a handler is one of
LangChain's, too, and hears of all that these hear of.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

from taskloom.pregel.constants import NS_SEP
from taskloom.pregel.effect import Effect
from taskloom.pregel.types import Interrupt

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop

logger = logging.getLogger("taskloom.pregel")

GraphLifecycleStatus: TypeAlias = Literal[
    "input", "pending", "done", "interrupt_before", "interrupt_after", "out_of_steps"
]
"""How far a run had come."""

_langchain: Any = sys.modules.get("langchain_core.callbacks")
_Base: Any = object if _langchain is None else _langchain.BaseCallbackHandler


@dataclass(frozen=True)
class GraphInterruptEvent:
    """A run has stopped, to ask or where it was told to.

    Attributes:
        run_id: the run's id, if it has one.
        status: how far the run had come.
        checkpoint_id: the checkpoint that it goes on from.
        checkpoint_ns: the names of the tasks around it; empty for a run that is no part of another.
        interrupts: what it asks.
    """

    run_id: UUID | None
    status: GraphLifecycleStatus
    checkpoint_id: str
    checkpoint_ns: tuple[str, ...]
    interrupts: tuple[Interrupt, ...]


@dataclass(frozen=True)
class GraphResumeEvent:
    """A run, or a subgraph's, goes on from a checkpoint.

    Attributes:
        run_id: the run's id, if it has one.
        status: how far the run had come.
        checkpoint_id: the checkpoint that it goes on from.
        checkpoint_ns: the names of the tasks around it; empty for a run that is no part of another.
    """

    run_id: UUID | None
    status: GraphLifecycleStatus
    checkpoint_id: str
    checkpoint_ns: tuple[str, ...]


GraphLifecycleEvent: TypeAlias = GraphInterruptEvent | GraphResumeEvent
"""What a handler hears of."""


class GraphCallbackHandler(_Base):  # type: ignore[misc]
    """Derive from it, and give an instance in a config's `callbacks`.

    An error of a handler is logged, and the run goes on, unless its `raise_error` is True. In an
    async run its methods may be async.

    Example:
        >>> from taskloom.pregel import START, StateGraph, interrupt
        >>> from taskloom.pregel.callbacks import GraphCallbackHandler
        >>> from taskloom.pregel.checkpoint.memory import InMemorySaver
        >>> class Bell(GraphCallbackHandler):
        ...     def on_interrupt(self, event):
        ...         print("asked:", event.interrupts[0].value)
        >>> builder = StateGraph(dict)
        >>> _ = builder.add_node("ask", lambda state: interrupt("Really?"))
        >>> _ = builder.add_edge(START, "ask")
        >>> graph = builder.compile(checkpointer=InMemorySaver())
        >>> config = {"configurable": {"thread_id": "1"}, "callbacks": [Bell()]}
        >>> _ = graph.invoke({}, config)
        asked: Really?
    """

    raise_error: bool = False

    def on_interrupt(self, event: GraphInterruptEvent) -> Any:
        """The run has stopped."""

    def on_resume(self, event: GraphResumeEvent) -> Any:
        """The run goes on."""


if _langchain is None:
    # Given together with LangChain's handlers all the same, it must be passed over by these.
    for _kind in ("llm", "chat_model", "chain", "agent", "retriever", "retry", "custom_event"):
        setattr(GraphCallbackHandler, f"ignore_{_kind}", True)


def handlers_in(callbacks: Any) -> tuple[Any, ...]:
    """The handlers in a config's `callbacks`: a list, a manager of LangChain's, or one handler."""
    if not callbacks:
        return ()
    if isinstance(callbacks, Sequence):
        return tuple(callbacks)
    return tuple(getattr(callbacks, "handlers", (callbacks,)))


class Listeners:
    """The handlers of a run that hear of its stops."""

    def __init__(self, handlers: Sequence[GraphCallbackHandler]) -> None:
        self.handlers = handlers

    @staticmethod
    def among(callbacks: Any) -> Listeners | None:
        """Those in a config's `callbacks`, or None if there are none."""
        found = [h for h in handlers_in(callbacks) if isinstance(h, GraphCallbackHandler)]
        return Listeners(found) if found else None

    def resumed(self, loop: Loop) -> Effect:
        """What tells that the run goes on."""
        return Effect("tell", ("on_resume", GraphResumeEvent(*_place_of(loop))))

    def stopped(self, loop: Loop, error: BaseException | None) -> Effect:
        """What tells that the run has stopped."""
        asked = tuple(error.args[0]) if error is not None and error.args else ()
        return Effect("tell", ("on_interrupt", GraphInterruptEvent(*_place_of(loop), asked)))

    def tell(self, method: str, event: GraphLifecycleEvent) -> None:
        """Tell all; a handler whose method is async is an error."""
        for handler in self.handlers:
            try:
                told = getattr(handler, method)(event)
                if inspect.iscoroutine(told):
                    told.close()
                    raise TypeError(
                        f"{method} of {type(handler).__name__} is async: "
                        "run the graph by ainvoke or astream"
                    )
            except Exception as error:
                _failed(handler, method, error)

    async def atell(self, method: str, event: GraphLifecycleEvent) -> None:
        """Tell all, and wait for those whose method is async."""
        for handler in self.handlers:
            try:
                told = getattr(handler, method)(event)
                if inspect.isawaitable(told):
                    await told
            except Exception as error:
                _failed(handler, method, error)


def _failed(handler: Any, method: str, error: Exception) -> None:
    if handler.raise_error:
        raise error
    logger.warning("%s of %s failed: %r", method, type(handler).__name__, error)


def _place_of(loop: Loop) -> tuple[UUID | None, Any, str, tuple[str, ...]]:
    run_id: Any = loop.config.get("run_id")
    if loop.tracing is not None:
        run_id = loop.tracing.run.run_id
    ns = tuple(loop.ns.split(NS_SEP)) if loop.ns else ()
    return run_id, loop.status, loop.checkpoint_id, ns
