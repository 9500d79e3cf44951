"""Handlers that hear when a run stops to ask and when it goes on."""

import asyncio
import logging
from typing import Any, TypedDict

import pytest
from taskloom.pregel import START, Command, Interrupt, StateGraph, interrupt
from taskloom.pregel.callbacks import (
    GraphCallbackHandler,
    GraphInterruptEvent,
    GraphLifecycleEvent,
    GraphResumeEvent,
)
from taskloom.pregel.checkpoint.memory import InMemorySaver


class State(TypedDict):
    answer: str


class Recorder(GraphCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[GraphLifecycleEvent] = []

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        self.heard.append(event)

    def on_resume(self, event: GraphResumeEvent) -> None:
        self.heard.append(event)


class Failing(GraphCallbackHandler):
    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        raise ValueError("no bell")


def asking(**options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("ask", lambda state: {"answer": interrupt("Really?")})
    builder.add_edge(START, "ask")
    return builder.compile(**options)


def config_of(*handlers: Any) -> Any:
    return {"configurable": {"thread_id": "1"}, "callbacks": list(handlers)}


def test_a_handler_hears_of_a_question_and_of_the_answer() -> None:
    bell = Recorder()
    graph, config = asking(checkpointer=InMemorySaver()), config_of(bell)
    graph.invoke({"answer": ""}, config)
    (stopped,) = bell.heard
    assert isinstance(stopped, GraphInterruptEvent)
    assert [asked.value for asked in stopped.interrupts] == ["Really?"]
    assert (stopped.checkpoint_ns, stopped.status) == ((), "pending")
    assert graph.invoke(Command(resume="yes"), config) == {"answer": "yes"}
    (_, resumed) = bell.heard
    assert isinstance(resumed, GraphResumeEvent)
    assert resumed.checkpoint_id == stopped.checkpoint_id


def test_a_handler_hears_of_a_stop_before_a_node() -> None:
    bell = Recorder()
    graph = asking(checkpointer=InMemorySaver(), interrupt_before=["ask"])
    graph.invoke({"answer": ""}, config_of(bell))
    (stopped,) = bell.heard
    assert isinstance(stopped, GraphInterruptEvent)
    assert (stopped.interrupts, stopped.status) == ((), "interrupt_before")


def test_a_run_that_asks_nothing_tells_nothing() -> None:
    bell = Recorder()
    builder = StateGraph(State).add_node("a", lambda state: state).add_edge(START, "a")
    builder.compile().invoke({"answer": ""}, {"callbacks": [bell]})
    assert bell.heard == []


def test_a_subgraphs_run_is_told_by_its_namespace_when_it_goes_on() -> None:
    bell = Recorder()
    builder = StateGraph(State).add_node("inner", asking()).add_edge(START, "inner")
    graph, config = builder.compile(checkpointer=InMemorySaver()), config_of(bell)
    graph.invoke({"answer": ""}, config)
    graph.invoke(Command(resume="yes"), config)
    kinds = [(type(event).__name__, len(event.checkpoint_ns)) for event in bell.heard]
    assert kinds == [("GraphInterruptEvent", 0), ("GraphResumeEvent", 0), ("GraphResumeEvent", 1)]


def test_an_error_of_a_handler_is_logged_and_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    bell = Recorder()
    with caplog.at_level(logging.WARNING, "taskloom.pregel"):
        asking(checkpointer=InMemorySaver()).invoke({"answer": ""}, config_of(Failing(), bell))
    assert "no bell" in caplog.text
    assert len(bell.heard) == 1


def test_an_error_of_a_handler_that_says_so_ends_the_run() -> None:
    handler = Failing()
    handler.raise_error = True
    with pytest.raises(ValueError, match="no bell"):
        asking(checkpointer=InMemorySaver()).invoke({"answer": ""}, config_of(handler))


class Later(Recorder):
    async def on_interrupt(self, event: GraphInterruptEvent) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.heard.append(event)


def test_an_async_method_is_waited_for_in_an_async_run() -> None:
    bell = Later()
    graph = asking(checkpointer=InMemorySaver())
    found = asyncio.run(graph.ainvoke({"answer": ""}, config_of(bell)))
    (asked,) = found["__interrupt__"]
    (stopped,) = bell.heard
    assert isinstance(asked, Interrupt)
    assert isinstance(stopped, GraphInterruptEvent)
    assert stopped.interrupts == (asked,)


def test_an_async_method_in_a_sync_run_is_told_to_be_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "taskloom.pregel"):
        asking(checkpointer=InMemorySaver()).invoke({"answer": ""}, config_of(Later()))
    assert "run the graph by ainvoke or astream" in caplog.text
