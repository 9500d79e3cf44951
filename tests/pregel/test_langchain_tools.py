"""The `tools` stream: what LangChain's tools do in the nodes that call them."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from taskloom.pregel import START, StateGraph, entrypoint, interrupt, task
from taskloom.pregel.checkpoint.memory import InMemorySaver

tools = pytest.importorskip("langchain_core.tools")


class State(TypedDict, total=False):
    text: str


def shout(text: str) -> str:
    """Shout."""
    if text == "quiet":
        raise ValueError("I cannot")
    return text.upper()


def ask(text: str) -> str:
    """Ask."""
    return str(interrupt(text))


def calling(func: Any) -> StateGraph[Any]:
    tool = tools.StructuredTool.from_function(func)

    def node(state: State) -> State:
        return {"text": tool.invoke({"text": state["text"]})}

    return StateGraph(State).add_node("node", node).add_edge(START, "node")


def events(chunks: Any) -> list[tuple[Any, ...]]:
    return [
        (chunk["event"], *(chunk[key] for key in ("input", "output", "message") if key in chunk))
        for chunk in chunks
    ]


def test_a_tool_is_shown_from_its_beginning_to_its_end() -> None:
    chunks = list(calling(shout).compile().stream({"text": "hi"}, stream_mode="tools"))
    assert events(chunks) == [("tool-started", {"text": "hi"}), ("tool-finished", "HI")]
    assert len({chunk["tool_call_id"] for chunk in chunks}) == 1
    assert chunks[0]["tool_name"] == "shout"


def test_a_tool_that_fails_is_shown_with_its_error() -> None:
    chunks: list[Any] = []
    with pytest.raises(ValueError, match="I cannot"):
        chunks.extend(calling(shout).compile().stream({"text": "quiet"}, stream_mode="tools"))
    assert events(chunks) == [("tool-started", {"text": "quiet"}), ("tool-error", "I cannot")]


def test_a_tool_that_asks_has_neither_ended_nor_failed() -> None:
    graph = calling(ask).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    chunks = list(graph.stream({"text": "Really?"}, config, stream_mode="tools"))
    assert events(chunks) == [("tool-started", {"text": "Really?"})]


def test_a_subgraphs_tools_are_shown_where_subgraphs_are() -> None:
    outer = StateGraph(State).add_node("inner", calling(shout).compile())
    graph = outer.add_edge(START, "inner").compile()
    assert list(graph.stream({"text": "hi"}, stream_mode="tools")) == []
    shown = list(graph.stream({"text": "hi"}, stream_mode="tools", subgraphs=True))
    assert [[part.split(":")[0] for part in ns] for ns, _ in shown] == [["inner"], ["inner"]]


def test_a_tool_of_a_called_task_is_shown_as_its_graphs() -> None:
    tool = tools.StructuredTool.from_function(shout)

    @task
    def called(text: str) -> Any:
        return tool.invoke({"text": text})

    @entrypoint()
    def flow(text: str) -> Any:
        return called(text).result()

    parts = list(flow.stream("hi", stream_mode="tools", version="v2"))
    assert [(part["type"], part["ns"]) for part in parts] == [("tools", ()), ("tools", ())]


def test_an_async_run_shows_tools_too() -> None:
    tool = tools.StructuredTool.from_function(shout)

    async def node(state: State) -> State:
        return {"text": await tool.ainvoke({"text": state["text"]})}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()

    async def run() -> list[Any]:
        return [chunk async for chunk in graph.astream({"text": "hi"}, stream_mode="tools")]

    assert events(asyncio.run(run())) == [
        ("tool-started", {"text": "hi"}),
        ("tool-finished", "HI"),
    ]
